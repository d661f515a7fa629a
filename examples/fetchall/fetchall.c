/* SPDX-License-Identifier: MIT */
/*
 * fetchall - fetch many URLs at the same time; the first error stops the others.
 *
 * The errgroup program: a goroutine for each URL, at most --limit of them, in one group with one context. Each result has
 * its own place, so no lock is needed, and the sizes are printed in the order of the URLs when all have come. The first
 * error cancels the context, which ends the other requests wherever they are.
 *
 * Bodies are counted and dropped, so that their size costs no memory.
 */
#include <errno.h>
#include <getopt.h>
#include <runnel.h>
#include <runnel/http.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2 };
enum { LIMIT_DEFAULT = 16 };

struct page {
    char *url;
    size_t size;
    int status;
    bool done;
};

struct work {
    struct page *pages;
    size_t count, room;
    int limit;
    rn_dur timeout; /* for all; 0: none */
    rn_http_client *client;
    bool fail_on_status;

    /* For the progress line. */
    _Atomic size_t done;
    _Atomic unsigned long long bytes;
};

/* ---- Fetching ------------------------------------------------------------------------------------------------- */

struct counter {
    struct work *w;
    size_t size;
};

static int count(void *arg, const rn_http_response *r, const void *data, size_t size)
{
    struct counter *c = arg;

    (void)r;
    (void)data;
    c->size += size;
    c->w->bytes += size;
    return 0;
}

static int fetch(rn_ctx *ctx, struct work *w, struct page *p)
{
    struct counter c = {w, 0};
    rn_http_request rq = {.url = p->url, .write = count, .arg = &c};
    rn_http_response *r;
    int err = rn_http_do(ctx, w->client, &rq, &r);

    if (err)
        return err; /* with its message */
    p->status = r->status;
    rn_http_response_free(r);
    if (w->fail_on_status && p->status >= 400)
        return rn_errorf(-EBADE, "%.80s: status %d", p->url, p->status);
    p->size = c.size;
    p->done = true;
    w->done++;
    return 0;
}

/* A line that is written over, until ctx ends. */
static void progress(rn_ctx *ctx, const struct work *w)
{
    while (rn_sleep_ctx(ctx, 100 * RN_MILLISECOND) == 0)
        (void)fprintf(stderr, "\r%zu of %zu, %.1f MB ", (size_t)w->done, w->count,
                      (double)w->bytes / 1e6);
    (void)fprintf(stderr, "\r%40s\r", "");
}

static int fetch_all(rn_ctx *parent, struct work *w)
{
    rn_group group = {0};
    rn_ctx *ctx = rn_group_with_ctx(&group, parent);
    rn_ctx *shown = rn_ctx_with_cancel(parent);
    rn_wg display = {0};
    int err;

    if (isatty(2))
        rn_wg_go(&display, progress, shown, w);
    rn_group_set_limit(&group, w->limit);
    /* A goroutine that starts after the first error finds the context ended, and returns at once. */
    for (size_t i = 0; i < w->count && rn_ctx_err(ctx) == 0; i++)
        rn_group_go(&group, fetch, ctx, w, &w->pages[i]);
    err = rn_group_wait(&group);
    rn_ctx_end(shown);
    rn_wg_wait(&display);
    return err;
}

static int program(struct work *w)
{
    rn_ctx *signalled = rn_ctx_with_signals(rn_ctx_background(), SIGINT, SIGTERM);
    rn_ctx *ctx = w->timeout > 0 ? rn_ctx_with_timeout(signalled, w->timeout)
                                 : rn_ctx_with_cancel(signalled);
    int err = fetch_all(ctx, w), status = STATUS_OK;

    if (rn_ctx_err(signalled)) {
        (void)fprintf(stderr, "fetchall: %s, %zu of %zu fetched\n",
                      rn_errmsg(rn_ctx_cause(signalled)), (size_t)w->done, w->count);
        status = STATUS_FAILED;
    } else if (err && rn_ctx_err(ctx)) {
        (void)fprintf(stderr, "fetchall: time is up, %zu of %zu fetched\n", (size_t)w->done,
                      w->count);
        status = STATUS_FAILED;
    } else if (err) {
        (void)fprintf(stderr, "fetchall: %s\n", rn_errmsg(err));
        status = STATUS_FAILED;
    }
    rn_ctx_end(ctx);
    rn_ctx_end(signalled);
    if (status == STATUS_OK)
        for (size_t i = 0; i < w->count; i++)
            printf("%d %zu %s\n", w->pages[i].status, w->pages[i].size, w->pages[i].url);
    return fflush(stdout) == 0 && !ferror(stdout) ? status : STATUS_FAILED;
}

/* ---- What to fetch -------------------------------------------------------------------------------------------- */

static bool add(struct work *w, const char *url, size_t size)
{
    if (w->count == w->room) {
        size_t room = w->room ? 2 * w->room : 64;
        struct page *more = realloc(w->pages, room * sizeof *more);

        if (!more)
            return false;
        w->pages = more;
        w->room = room;
    }
    w->pages[w->count] = (struct page){.url = strndup(url, size)};
    return w->pages[w->count++].url != NULL;
}

/* A URL a line; empty lines and those that begin with # are left out. "-": standard input. */
static bool add_list(struct work *w, const char *path)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    bool ok = f != NULL;

    while (ok && (n = getline(&line, &room, f)) > 0) {
        while (n > 0 && strchr(" \t\r\n", line[n - 1]))
            n--;
        if (n > 0 && line[0] != '#')
            ok = add(w, line, (size_t)n);
    }
    ok = ok && !ferror(f);
    free(line);
    if (f && f != stdin)
        (void)fclose(f);
    return ok;
}

/* "1.5s", "200ms", "2m", "3": seconds. */
static bool read_duration(const char *text, rn_dur *ret)
{
    static const struct {
        const char *name;
        rn_dur unit;
    } units[] = {{"", RN_SECOND},
                 {"s", RN_SECOND},
                 {"ms", RN_MILLISECOND},
                 {"m", RN_MINUTE},
                 {"h", RN_HOUR}};
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

    if (end == text || *end || n < 1 || n > 100000)
        return false;
    *ret = (int)n;
    return true;
}

static int usage(FILE *f, int status)
{
    (void)fprintf(
        f, "fetchall [OPTION...] [URL...]: fetch all at the same time; the first error stops the "
           "rest\n\n"
           "  -f, --file FILE      URLs from FILE, one a line; - is standard input\n"
           "  -l, --limit N        at most N at the same time (16)\n"
           "  -t, --timeout D      for all of it: 10s, 500ms, 2m\n"
           "      --ca FILE        trust these authorities in place of the system's\n"
           "      --fail           a status of 400 or more is an error\n"
           "  -h, --help           this\n\n"
           "Prints status, size and URL of each, in order, if all have come. Exit status: 0, 1 if\n"
           "not all have come, 2 if it is called wrongly.\n");
    return status;
}

/* -1: go on; else the exit status. */
static int read_options(int argc, char **argv, struct work *w, rn_http_options *o)
{
    static const struct option options[] = {{"file", required_argument, NULL, 'f'},
                                            {"limit", required_argument, NULL, 'l'},
                                            {"timeout", required_argument, NULL, 't'},
                                            {"ca", required_argument, NULL, 'c'},
                                            {"fail", no_argument, NULL, 'x'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int c;

    while ((c = getopt_long(argc, argv, "f:l:t:h", options, NULL)) >= 0) {
        switch (c) {
        case 'f':
            if (!add_list(w, optarg)) {
                (void)fprintf(stderr, "fetchall: %s: %s\n", optarg, strerror(errno));
                return STATUS_USAGE;
            }
            break;
        case 'l':
            if (!read_count(optarg, &w->limit)) {
                (void)fprintf(stderr, "fetchall: --limit wants a number from 1 on, not %s\n",
                              optarg);
                return STATUS_USAGE;
            }
            break;
        case 't':
            if (!read_duration(optarg, &w->timeout)) {
                (void)fprintf(stderr, "fetchall: --timeout wants a time such as 10s, not %s\n",
                              optarg);
                return STATUS_USAGE;
            }
            break;
        case 'c':
            o->ca_file = optarg;
            break;
        case 'x':
            w->fail_on_status = true;
            break;
        case 'h':
            return usage(stdout, STATUS_OK);
        default:
            return usage(stderr, STATUS_USAGE);
        }
    }
    for (int i = optind; i < argc; i++)
        if (!add(w, argv[i], strlen(argv[i])))
            return STATUS_FAILED;
    return w->count > 0 ? -1 : usage(stderr, STATUS_USAGE);
}

int main(int argc, char **argv)
{
    struct work w = {.limit = LIMIT_DEFAULT};
    rn_http_options o = {0};
    int status = read_options(argc, argv, &w, &o), err;

    if (status < 0) {
        err = rn_http_client_new(&o, &w.client);
        if (err) {
            (void)fprintf(stderr, "fetchall: %s\n", rn_errmsg(err));
            status = STATUS_USAGE;
        } else {
            status = rn_run(program, &w);
            rn_http_client_release(w.client);
        }
    }
    for (size_t i = 0; i < w.count; i++)
        free(w.pages[i].url);
    free(w.pages);
    return status;
}
