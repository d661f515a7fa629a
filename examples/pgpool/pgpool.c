/* SPDX-License-Identifier: MIT */
/*
 * pgpool - a thousand goroutines ask a PostgreSQL server over ten connections.
 *
 * Each goroutine asks one question and waits for its answer; at no time are there more connections than --connections,
 * and the program has as many threads as it had before. The first error cancels the context, which ends the other
 * questions wherever they are, in the server too. pool.c has the pool.
 */
#include "pool.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2 };

struct work {
    const char *conninfo, *sql;
    char *from_file; /* sql, if it is */
    int goroutines, connections;
    rn_dur timeout; /* for all; 0: none */
    bool print;
    struct pool pool;
    char **answers; /* of each goroutine: the first value of its answer */
    _Atomic int done;
};

/* Static, so that a leak checker sees what a server that does not answer still holds at the end. */
static struct work work = {
    .conninfo = "", .sql = "select $1::int", .goroutines = 1000, .connections = 10};

static int ask(rn_ctx *ctx, struct work *w, int i)
{
    char number[16];
    const char *values[] = {number};
    PGresult *result;
    int err;

    (void)snprintf(number, sizeof number, "%d", i);
    err = pool_ask(ctx, &w->pool, true, w->sql, 1, values, &result);
    if (err)
        return err;
    if (PQntuples(result) > 0 && PQnfields(result) > 0)
        w->answers[i] = strdup(PQgetvalue(result, 0, 0));
    PQclear(result);
    w->done++;
    return 0;
}

static int ask_all(rn_ctx *parent, struct work *w)
{
    rn_group group = {0};
    rn_ctx *ctx = rn_group_with_ctx(&group, parent);

    for (int i = 0; i < w->goroutines; i++)
        rn_group_go(&group, ask, ctx, w, i);
    return rn_group_wait(&group);
}

static int program(struct work *w)
{
    rn_ctx *signalled = rn_ctx_with_signals(rn_ctx_background(), SIGINT, SIGTERM);
    rn_ctx *ctx = w->timeout > 0 ? rn_ctx_with_timeout(signalled, w->timeout)
                                 : rn_ctx_with_cancel(signalled);
    rn_time begun = rn_now();
    int err = pool_open(&w->pool, w->conninfo, w->connections), left;
    double seconds;

    if (!err) {
        err = ask_all(ctx, w);
        seconds = (double)(rn_now() - begun) / 1e9;
        if (rn_ctx_err(signalled))
            (void)fprintf(stderr, "pgpool: %s, %d of %d answered\n",
                          rn_errmsg(rn_ctx_cause(signalled)), w->done, w->goroutines);
        else if (err && rn_ctx_err(ctx))
            (void)fprintf(stderr, "pgpool: time is up, %d of %d answered\n", w->done,
                          w->goroutines);
        else if (err)
            (void)fprintf(stderr, "pgpool: %s\n", rn_errmsg(err));
        left = pool_close(&w->pool, 3 * RN_SECOND);
        if (left > 0)
            (void)fprintf(stderr, "pgpool: the server does not let go of %d connection%s\n", left,
                          left == 1 ? "" : "s");
    } else {
        (void)fprintf(stderr, "pgpool: %s\n", rn_errmsg(err));
    }
    rn_ctx_end(ctx);
    rn_ctx_end(signalled);
    if (err)
        return STATUS_FAILED;
    for (int i = 0; w->print && i < w->goroutines; i++)
        printf("%d %s\n", i, w->answers[i] ? w->answers[i] : "");
    printf("%d answers over %d connections, %d opened, in %.3f s\n", w->done, w->connections,
           w->pool.opened, seconds);
    return fflush(stdout) == 0 && !ferror(stdout) ? STATUS_OK : STATUS_FAILED;
}

/* ---- Options -------------------------------------------------------------------------------------------------- */

/* "1.5s", "200ms", "2m", "3": seconds. */
static bool read_duration(const char *text, rn_dur *ret)
{
    static const struct {
        const char *name;
        rn_dur unit;
    } units[] = {{"", RN_SECOND}, {"s", RN_SECOND}, {"ms", RN_MILLISECOND}, {"m", RN_MINUTE}};
    char *end;
    double n = strtod(text, &end);

    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (end != text && n > 0 && n < 1e6 && strcmp(end, units[i].name) == 0) {
            *ret = (rn_dur)(n * (double)units[i].unit);
            return true;
        }
    return false;
}

static bool read_count(const char *text, int *ret)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (end == text || *end || n < 1 || n > 1000000)
        return false;
    *ret = (int)n;
    return true;
}

/* All that is in a file; NULL: errno says why not. */
static char *read_file(const char *path)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    char *text = NULL;
    size_t room = 0;

    if (!f)
        return NULL;
    if (getdelim(&text, &room, '\0', f) < 0 && !ferror(f) && text)
        text[0] = 0; /* an empty file */
    if (f != stdin)
        (void)fclose(f);
    return text;
}

static int usage(FILE *f, int status)
{
    (void)fprintf(
        f,
        "pgpool [OPTION...] [CONNINFO]: many goroutines ask a PostgreSQL server over few "
        "connections\n\n"
        "  -g, --goroutines N   so many ask, each once (1000)\n"
        "  -c, --connections N  at most N connections (10)\n"
        "  -t, --timeout D      for all of it: 10s, 500ms, 2m\n"
        "  -q, --query SQL      what they ask; it has $1, the number of the goroutine, from 0 on\n"
        "                       (select $1::int), and is asked again if its connection breaks\n"
        "  -f, --file FILE      the question is in FILE; - is standard input\n"
        "  -p, --print          print each number and the first value of its answer\n"
        "  -h, --help           this\n\n"
        "CONNINFO is as psql takes it, such as 'host=/run/postgresql dbname=shop'; without it, or "
        "for\n"
        "what it does not say, PGHOST, PGUSER and the like count. Exit status: 0, 1 if not all "
        "were\n"
        "answered, 2 if it is called wrongly.\n");
    return status;
}

static int wrong(const char *option, const char *wants, const char *is)
{
    (void)fprintf(stderr, "pgpool: --%s wants %s, not %s\n", option, wants, is);
    return STATUS_USAGE;
}

/* -1: go on; else the exit status. */
static int read_options(int argc, char **argv, struct work *w)
{
    static const struct option options[] = {{"goroutines", required_argument, NULL, 'g'},
                                            {"connections", required_argument, NULL, 'c'},
                                            {"timeout", required_argument, NULL, 't'},
                                            {"query", required_argument, NULL, 'q'},
                                            {"file", required_argument, NULL, 'f'},
                                            {"print", no_argument, NULL, 'p'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int c;

    while ((c = getopt_long(argc, argv, "g:c:t:q:f:ph", options, NULL)) >= 0) {
        switch (c) {
        case 'g':
            if (!read_count(optarg, &w->goroutines))
                return wrong("goroutines", "a number from 1 on", optarg);
            break;
        case 'c':
            if (!read_count(optarg, &w->connections))
                return wrong("connections", "a number from 1 on", optarg);
            break;
        case 't':
            if (!read_duration(optarg, &w->timeout))
                return wrong("timeout", "a time such as 10s", optarg);
            break;
        case 'q':
            w->sql = optarg;
            break;
        case 'f':
            free(w->from_file);
            w->sql = w->from_file = read_file(optarg);
            if (!w->sql) {
                (void)fprintf(stderr, "pgpool: %s: %s\n", optarg, strerror(errno));
                return STATUS_USAGE;
            }
            break;
        case 'p':
            w->print = true;
            break;
        case 'h':
            return usage(stdout, STATUS_OK);
        default:
            return usage(stderr, STATUS_USAGE);
        }
    }
    if (argc - optind > 1)
        return usage(stderr, STATUS_USAGE);
    if (optind < argc)
        w->conninfo = argv[optind];
    return -1;
}

int main(int argc, char **argv)
{
    int status = read_options(argc, argv, &work);

    if (status >= 0)
        return status;
    work.answers = calloc((size_t)work.goroutines, sizeof *work.answers);
    if (!work.answers) {
        (void)fprintf(stderr, "pgpool: %s\n", strerror(ENOMEM));
        return STATUS_FAILED;
    }
    status = rn_run(program, &work);
    for (int i = 0; i < work.goroutines; i++)
        free(work.answers[i]);
    free(work.answers);
    free(work.from_file);
    return status;
}
