/* SPDX-License-Identifier: MIT */
/*
 * pages.c - the pages, and a server for them. See runnel/debugpage.h.
 *
 * What the core writes to a descriptor is written to a file in memory (memfd), and sent from there: the report of a process that
 * hangs must not wait for a slow reader in the middle.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <runnel.h>
#include <runnel/debug.h>
#include <runnel/debugpage.h>
#include <runnel/metrics.h>
#include <runnel/trace.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "debugpage/debugpage.h"

_Static_assert(!RN__INLINE_FAST, "locks whose edges ThreadSanitizer is not told of");

#define DEFAULT_PREFIX "/debug/runnel"
#define TRACE_MOST 3600.0 /* seconds */
enum { KINDS_SHOWN = 50 };

static const char style[] =
    "<style>body{font-family:sans-serif;margin:1.5em}table{border-collapse:collapse;margin:1em 0}"
    "td,th{padding:2px 12px 2px 0;text-align:left;vertical-align:top;border-bottom:1px solid #ddd}"
    "td.n{text-align:right}code,td.c{font-family:monospace}nav a{margin-right:1.5em}</style>";

/* Headers of all pages: what they show is of the moment, and is what they say it is. */
static void begin(rn_httpd_response *rs, const char *type)
{
    rn_httpd_set_header(rs, "Content-Type", type);
    rn_httpd_set_header(rs, "Cache-Control", "no-store");
    rn_httpd_set_header(rs, "X-Content-Type-Options", "nosniff");
}

static void no_memory(rn_httpd_response *rs)
{
    rn_httpd_error(rs, 503, "out of memory");
}

/* What write(fd) writes, as a string from malloc; NULL: no memory. */
static char *written(void (*write)(int fd), size_t *ret_size)
{
    int fd = memfd_create("runnel", MFD_CLOEXEC);
    struct stat st;
    char *text = NULL;
    size_t got = 0;

    if (fd < 0)
        return NULL;
    write(fd);
    if (fstat(fd, &st) == 0)
        text = malloc((size_t)st.st_size + 1);
    while (text && got < (size_t)st.st_size) {
        ssize_t n = pread(fd, text + got, (size_t)st.st_size - got, (off_t)got);

        if (n <= 0)
            break;
        got += (size_t)n;
    }
    close(fd);
    if (text)
        text[got] = 0;
    *ret_size = got;
    return text;
}

static bool read_report(struct report *r)
{
    size_t size;
    char *text = written(rn_dump, &size);

    return text && rn__report_read(r, text);
}

static void reply_text(rn_httpd_response *rs, struct body *t)
{
    if (t->failed || !t->at)
        no_memory(rs);
    else
        rn_httpd_write(rs, t->at, t->used);
    free(t->at);
}

/* ---- Pages ------------------------------------------------------------------------------------------------ */

static void page_metrics(rn_httpd_request *rq, rn_httpd_response *rs)
{
    size_t size;
    char *text = written(rn_metrics_write, &size);

    (void)rq;
    if (!text) {
        no_memory(rs);
        return;
    }
    begin(rs, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    rn_httpd_write(rs, text, size);
    free(text);
}

/* A line for each kind: the stack from outside in, below it the state, and how many. */
static void page_folded(rn_httpd_response *rs)
{
    struct body t = {0};
    struct report r;

    if (!read_report(&r)) {
        no_memory(rs);
        return;
    }
    begin(rs, "text/plain; charset=utf-8");
    for (size_t i = 0; i < r.entries; i++) {
        const struct entry *e = &r.entry[i];

        for (size_t k = e->frame_count; k-- > 0;) {
            char place[512];

            rn__report_place(e->frames[k], place, sizeof place);
            for (char *c = place; *c; c++)
                if (*c == ';')
                    *c = ',';
            rn__body_add(&t, "%s;", place);
        }
        rn__body_add(&t, "[%.*s] %" PRIu64 "\n", (int)strcspn(e->state, ","), e->state, e->count);
    }
    rn__report_free(&r);
    reply_text(rs, &t);
}

static void page_goroutines(rn_httpd_request *rq, rn_httpd_response *rs)
{
    const char *folded = rn_httpd_query(rq, "folded");
    size_t size;
    char *text;

    if (folded && strcmp(folded, "0") != 0) {
        page_folded(rs);
        return;
    }
    text = written(rn_dump, &size);
    if (!text) {
        no_memory(rs);
        return;
    }
    begin(rs, "text/plain; charset=utf-8");
    rn_httpd_write(rs, text, size);
    free(text);
}

static void page_waits(rn_httpd_request *rq, rn_httpd_response *rs)
{
    struct body t = {0};
    struct report r;

    (void)rq;
    if (!read_report(&r)) {
        no_memory(rs);
        return;
    }
    begin(rs, "image/svg+xml");
    rn__waits_draw(&t, &r);
    rn__report_free(&r);
    reply_text(rs, &t);
}

/* Recordings that this part has begun: while there are any, it was off before. */
static rn_mutex recording_lock;
static int recordings;

static int recording_begin(bool *ret_mine)
{
    int err = 0;

    rn_mutex_lock(&recording_lock);
    *ret_mine = recordings > 0 || !rn_trace_on();
    if (*ret_mine) {
        err = rn_trace_start();
        recordings += err == 0;
    }
    rn_mutex_unlock(&recording_lock);
    return err;
}

static void recording_end(bool mine)
{
    if (!mine)
        return;
    rn_mutex_lock(&recording_lock);
    if (--recordings == 0)
        rn_trace_stop();
    rn_mutex_unlock(&recording_lock);
}

static void page_trace(rn_httpd_request *rq, rn_httpd_response *rs)
{
    const char *text = rn_httpd_query(rq, "seconds");
    double seconds = 1;
    char *end;
    bool mine;
    int err, fd;

    if (text) {
        seconds = strtod(text, &end);
        if (end == text || *end || !(seconds >= 0 && seconds <= TRACE_MOST)) {
            rn_httpd_error(rs, 400, "seconds: 0 to 3600");
            return;
        }
    }
    fd = memfd_create("runnel", MFD_CLOEXEC);
    if (fd < 0 || recording_begin(&mine) < 0) {
        if (fd >= 0)
            close(fd);
        no_memory(rs);
        return;
    }
    err = rn_sleep_ctx(rn_httpd_ctx(rq), (rn_dur)(seconds * 1e9));
    if (err == 0)
        err = rn_trace_dump(fd);
    recording_end(mine);
    if (err == -ENOMEM) {
        no_memory(rs);
    } else if (err == 0) {
        begin(rs, "application/json");
        rn_httpd_set_header(rs, "Content-Disposition", "attachment; filename=\"trace.json\"");
        rn_httpd_send_fd(rq, rs, fd, "trace.json");
    } /* else nobody is there any more */
    close(fd);
}

static void overview_kinds(struct body *t, const struct report *r)
{
    rn__body_add(t, "<table><tr><th>count<th>state<th>longest<th>at<th>started at<th>ids\n");
    for (size_t i = 0; i < r->entries && i < KINDS_SHOWN; i++) {
        const struct entry *e = &r->entry[i];
        char at[512] = "", created[512] = "";
        const char *longest = e->span ? strstr(e->span, " to ") : NULL;

        rn__report_at(e, at, sizeof at);
        if (e->created_at)
            rn__report_place(e->created_at, created, sizeof created);
        rn__body_add(t, "<tr><td class=\"n\">%" PRIu64 "<td>", e->count);
        rn__body_escaped(t, e->state);
        rn__body_add(t, "<td class=\"n\">");
        rn__body_escaped(t, longest ? longest + 4 : e->span ? e->span : "");
        rn__body_add(t, "<td class=\"c\">");
        rn__body_escaped(t, at);
        rn__body_add(t, "<td class=\"c\">");
        rn__body_escaped(t, created);
        rn__body_add(t, "<td class=\"c\">");
        rn__body_escaped(t, e->ids);
        rn__body_add(t, "\n");
    }
    rn__body_add(t, "</table>\n");
    if (r->entries > KINDS_SHOWN)
        rn__body_add(t, "<p>And %zu more kinds: see <code>goroutines</code>.\n",
                     r->entries - KINDS_SHOWN);
}

static void page_overview(rn_httpd_request *rq, rn_httpd_response *rs)
{
    struct rn_metrics m;
    struct body t = {0};
    struct report r;
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"goroutines", (rn_metrics(&m, sizeof m), m.goroutines)},
        {"running", m.running},
        {"runnable", m.runnable},
        {"waiting", m.waiting},
        {"blocked in C calls", m.blocked},
        {"started since the beginning", m.spawned},
        {"processors", m.processors},
        {"of them idle", m.processors_idle},
        {"threads", m.threads},
        {"of them idle", m.threads_idle},
        {"queued", m.queued_global + m.queued_local},
        {"waits", m.parks},
        {"steals", m.steals},
        {"hand-offs", m.handoffs},
        {"timers", m.timers},
    };

    (void)rq;
    if (!read_report(&r)) {
        no_memory(rs);
        return;
    }
    begin(rs, "text/html; charset=utf-8");
    rn__body_add(&t, "<!DOCTYPE html><meta charset=\"utf-8\"><title>runnel</title>%s\n<h1>", style);
    rn__body_escaped(&t, program_invocation_short_name);
    rn__body_add(&t, "</h1>\n<nav><a href=\"goroutines\">goroutines</a><a "
                     "href=\"goroutines?folded=1\">folded</a>"
                     "<a href=\"waits\">waits</a><a href=\"metrics\">metrics</a>"
                     "<a href=\"trace?seconds=1\">trace, one second</a></nav>\n");
    rn__body_add(&t, "<p>Process %d, runnel %d.%d.%d. Open a trace in ui.perfetto.dev.\n<table>",
                 (int)getpid(), RN_VERSION_MAJOR, RN_VERSION_MINOR, RN_VERSION_PATCH);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        rn__body_add(&t, "<tr><td>%s<td class=\"n\">%" PRIu64 "\n", rows[i].name, rows[i].value);
    rn__body_add(&t, "</table>\n");
    overview_kinds(&t, &r);
    rn__report_free(&r);
    reply_text(rs, &t);
}

/* ---- Where they are ------------------------------------------------------------------------------------------ */

typedef void page_fn(rn_httpd_request *, rn_httpd_response *);

/* An address, or localhost: with a port or not. */
static bool host_is_plain(const char *host)
{
    char name[64];
    struct in6_addr ignored;
    size_t n;

    if (!host)
        return true; /* HTTP/1.0: no browser */
    n = host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":");
    if (host[0] == '[') {
        host++;
        n -= n > 0;
    }
    if (n >= sizeof name)
        return false;
    memcpy(name, host, n);
    name[n] = 0;
    return strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, &ignored) == 1 ||
           inet_pton(AF_INET6, name, &ignored) == 1;
}

/* Behind each page: whether it may be asked for; below prefix, a / at the end stands for whatever follows, and is no page. */
static void guarded(rn_httpd_request *rq, rn_httpd_response *rs, page_fn *page, bool any_host,
                    size_t prefix)
{
    if (!any_host && !host_is_plain(rn_httpd_header(rq, "Host")))
        rn_httpd_error(rs, 403, "ask by address, or as localhost");
    else if (page == page_overview && strlen(rn_httpd_path(rq)) != prefix + 1)
        rn_httpd_error(rs, 404, NULL);
    else
        page(rq, rs);
}

static void redirect(rn_httpd_request *rq, rn_httpd_response *rs)
{
    const char *path = rn_httpd_path(rq), *last = strrchr(path, '/');
    char to[512];

    snprintf(to, sizeof to, "%s/", last ? last + 1 : path);
    rn_httpd_redirect(rs, 301, to);
}

static void register_pages(rn_httpd *h, const char *prefix, bool any_host)
{
    static const struct {
        const char *path;
        page_fn *page;
    } pages[] = {{"/", page_overview},
                 {"/goroutines", page_goroutines},
                 {"/metrics", page_metrics},
                 {"/trace", page_trace},
                 {"/waits", page_waits}};
    char pattern[1024];

    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        snprintf(pattern, sizeof pattern, "GET %s%s", prefix, pages[i].path);
        rn_httpd_handle(h, pattern, guarded, pages[i].page, any_host, strlen(prefix));
    }
    if (*prefix) {
        snprintf(pattern, sizeof pattern, "GET %s", prefix);
        rn_httpd_handle(h, pattern, redirect);
    }
}

void rn_debug_handle(rn_httpd *h, const char *prefix)
{
    register_pages(h, prefix ? prefix : DEFAULT_PREFIX, true);
}

int rn_debug_serve(struct rn_ctx *ctx, const char *address)
{
    char at[RN_ADDR_TEXT], full[300];
    rn_listener *l;
    rn_addr addr;
    rn_httpd *h;
    bool is_file;
    int err;

    address = address ? address : ":6060";
    is_file = address[0] == '/';
    if (address[0] == ':') {
        snprintf(full, sizeof full, "127.0.0.1%s", address);
        address = full;
    }
    err = rn_listen(is_file ? "unix" : "tcp", address, &l);
    if (err < 0)
        return err;
    err = rn_listener_addr(l, &addr);
    if (err == 0)
        err = rn_addr_text(&addr, at, sizeof at);
    if (err < 0) {
        rn_listener_close(l);
        return err;
    }
    if (is_file)
        fprintf(stderr, "runnel: debug pages at the socket %s\n", at);
    else
        fprintf(stderr, "runnel: debug pages at http://%s/\n", at);
    h = rn_httpd_new(NULL);
    register_pages(h, "", is_file);
    err = rn_httpd_serve(ctx, h, l);
    rn_httpd_free(h);
    return err;
}
