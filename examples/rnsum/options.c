/* SPDX-License-Identifier: MIT */
/*
 * options.c - the command line.
 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { JOBS_MAX = 1024, FILES_BESIDES_JOBS = 32 };

static const char help[] =
    "Usage: rnsum [OPTION]... DIRECTORY...\n"
    "       rnsum --check [OPTION]... [LIST]...\n"
    "\n"
    "Print the SHA-256 of every regular file below each DIRECTORY, in the form of\n"
    "sha256sum and in the byte order of the paths; or check the files of such a LIST\n"
    "(standard input: no LIST, or -). Symbolic links below a DIRECTORY are passed\n"
    "over, and so is what is neither a file nor a directory.\n"
    "\n"
    "  -j, --jobs=N        hash N files at a time (default: one for each processor)\n"
    "  -u, --unsorted      print each line as soon as it is known\n"
    "  -L, --follow        follow symbolic links, to files and to directories\n"
    "  -z, --zero          end lines with NUL, and do not escape names\n"
    "      --timeout=TIME  stop after TIME: seconds, or with a unit as in 500ms, 1.5m, 2h\n"
    "  -c, --check         check lists instead of making one\n"
    "  -h, --help          print this help\n"
    "      --version       print the version\n"
    "\n"
    "With --check, as sha256sum has them:\n"
    "      --ignore-missing  pass over files that are not there\n"
    "  -q, --quiet           print nothing for a file that matches\n"
    "  -s, --status          print nothing for any file; the exit status tells\n"
    "      --strict          a line that is not one of a list makes the exit status 1\n"
    "  -w, --warn            say which lines are not lines of a list\n"
    "\n"
    "What cannot be read is said at the end, on standard error; the rest completes.\n"
    "While standard error is a terminal, a progress bar is shown there.\n"
    "\n"
    "Exit status:\n"
    "  0    all files were hashed, or all match\n"
    "  1    some could not be read, do not match, or are not in a proper list; or a\n"
    "       DIRECTORY is none\n"
    "  2    the command line makes no sense; nothing was done\n"
    "  3    the output could not be written, or memory ran out\n"
    "  124  stopped by --timeout\n"
    "  130  stopped by SIGINT (Ctrl-C); 143: by SIGTERM\n";

static bool bad_usage(int *ret_status)
{
    (void)fputs("Try 'rnsum --help'.\n", stderr);
    *ret_status = STATUS_USAGE;
    return false;
}

/* Print text as the whole output. */
static int print_and_leave(const char *text)
{
    if (fputs(text, stdout) >= 0 && fflush(stdout) == 0)
        return STATUS_OK;
    (void)fprintf(stderr, "rnsum: standard output: %s\n", strerror(errno));
    return STATUS_BROKEN;
}

static bool parse_jobs(const char *s, int *ret_jobs)
{
    char *end;
    long n;

    errno = 0;
    n = strtol(s, &end, 10);
    if (end == s || *end || errno != 0 || n < 1 || n > JOBS_MAX)
        return false;
    *ret_jobs = (int)n;
    return true;
}

static bool parse_time(const char *s, rn_dur *ret_time)
{
    static const struct {
        const char *name;
        rn_dur unit;
    } units[] = {
        {"", RN_SECOND}, {"s", RN_SECOND}, {"ms", RN_MILLISECOND}, {"m", RN_MINUTE}, {"h", RN_HOUR},
    };
    char *end;
    double value = strtod(s, &end);

    if (end == s || !isfinite(value) || value <= 0)
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].name) != 0)
            continue;
        value *= (double)units[i].unit;
        if (value < 1 || value > 9e18)
            return false;
        *ret_time = (rn_dur)value;
        return true;
    }
    return false;
}

/* Each worker has a file open. */
static bool enough_files(int jobs)
{
    rlim_t needed = (rlim_t)jobs + FILES_BESIDES_JOBS;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= needed)
        return true;
    limit.rlim_cur = needed < limit.rlim_max ? needed : limit.rlim_max;
    return limit.rlim_cur == needed && setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/* What an option that only --check has was; NULL: none. */
static const char *check_only(const struct options *o)
{
    return o->ignore_missing ? "--ignore-missing"
           : o->quiet        ? "--quiet"
           : o->silent       ? "--status"
           : o->strict       ? "--strict"
           : o->warn         ? "--warn"
                             : NULL;
}

bool options_parse(struct options *ret, int argc, char **argv, int *ret_status)
{
    enum { TIMEOUT = 256, VERSION, STRICT, IGNORE_MISSING };
    static const struct option names[] = {
        {"check", no_argument, NULL, 'c'},
        {"follow", no_argument, NULL, 'L'},
        {"help", no_argument, NULL, 'h'},
        {"ignore-missing", no_argument, NULL, IGNORE_MISSING},
        {"jobs", required_argument, NULL, 'j'},
        {"quiet", no_argument, NULL, 'q'},
        {"status", no_argument, NULL, 's'},
        {"strict", no_argument, NULL, STRICT},
        {"timeout", required_argument, NULL, TIMEOUT},
        {"unsorted", no_argument, NULL, 'u'},
        {"version", no_argument, NULL, VERSION},
        {"warn", no_argument, NULL, 'w'},
        {"zero", no_argument, NULL, 'z'},
        {NULL, 0, NULL, 0},
    };
    static char dash[] = "-";
    static char *standard_input[] = {dash};
    struct options o = {.sorted = true};
    int c;

    while ((c = getopt_long(argc, argv, "cj:hLqsuwz", names, NULL)) != -1) {
        switch (c) {
        case 'c':
            o.check = true;
            break;
        case 'L':
            o.follow = true;
            break;
        case 'h':
            *ret_status = print_and_leave(help);
            return false;
        case IGNORE_MISSING:
            o.ignore_missing = true;
            break;
        case 'j':
            if (!parse_jobs(optarg, &o.jobs)) {
                (void)fprintf(stderr, "rnsum: --jobs: '%s' is not a number from 1 to %d\n", optarg,
                              JOBS_MAX);
                return bad_usage(ret_status);
            }
            break;
        case 'q':
            o.quiet = true;
            break;
        case 's':
            o.silent = true;
            break;
        case STRICT:
            o.strict = true;
            break;
        case TIMEOUT:
            if (!parse_time(optarg, &o.timeout)) {
                (void)fprintf(stderr,
                              "rnsum: --timeout: '%s' is not a time above 0, such as 10 or 500ms\n",
                              optarg);
                return bad_usage(ret_status);
            }
            break;
        case 'u':
            o.sorted = false;
            break;
        case VERSION: {
            char text[64];

            (void)snprintf(text, sizeof(text), "rnsum (runnel) %d.%d.%d\n", RN_VERSION_MAJOR,
                           RN_VERSION_MINOR, RN_VERSION_PATCH);
            *ret_status = print_and_leave(text);
            return false;
        }
        case 'w':
            o.warn = true;
            break;
        case 'z':
            o.zero = true;
            break;
        default: /* getopt has said what */
            return bad_usage(ret_status);
        }
    }
    o.operands = argv + optind;
    o.operand_count = (size_t)(argc - optind);

    if (!o.check && check_only(&o)) {
        (void)fprintf(stderr, "rnsum: %s has a meaning only with --check\n", check_only(&o));
        return bad_usage(ret_status);
    }
    if (o.check && (o.zero || o.follow)) {
        (void)fprintf(stderr, "rnsum: %s has no meaning with --check\n",
                      o.zero ? "--zero" : "--follow");
        return bad_usage(ret_status);
    }
    if (o.operand_count == 0 && !o.check) {
        (void)fputs("rnsum: which directory? Name one or more\n", stderr);
        return bad_usage(ret_status);
    }
    if (o.operand_count == 0) {
        o.operands = standard_input;
        o.operand_count = 1;
    }
    if (o.jobs == 0)
        o.jobs = rn_procs() < JOBS_MAX ? rn_procs() : JOBS_MAX;
    if (!enough_files(o.jobs)) {
        (void)fprintf(stderr, "rnsum: --jobs=%d needs more open files than 'ulimit -n' allows\n",
                      o.jobs);
        *ret_status = STATUS_USAGE;
        return false;
    }
    *ret = o;
    return true;
}
