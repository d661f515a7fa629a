/* SPDX-License-Identifier: MIT */
/* cancel.c - from the end of a request's context until its call returns, by what the request waits for. Workloads:
 * README.md. */
#include "driver.h"

#ifdef BENCH_HAVE_HTTP
#include <runnel/http.h>
#include <runnel/net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 300, SMOKE_SAMPLES = 3 };

static const char half_head[] = "HTTP/1.1 200 OK\r\nContent-";
static const char half_body[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab";

struct cancel {
    const char *
        said; /* what the server answers before it falls silent; NULL: nothing, not even after a request */
    rn_chan(int) there; /* a request has come so far */
};
static struct cancel the;

static void serve(rn_conn *c)
{
    char buf[4096];

    if (rn_read(c, buf, sizeof buf) > 0) { /* a request, or the first of a handshake */
        if (the.said)
            rn_write(c, the.said, strlen(the.said));
        rn_send(the.there, 1);
        while (rn_read(c, buf, sizeof buf) > 0) {
        }
    }
    rn_conn_close(c);
}

static void serve_all(rn_listener *l)
{
    rn_conn *c;

    while (rn_accept(l, &c) == 0)
        rn_go(serve, c);
}

/* A name server that does not answer. */
static int resolve(struct rn_ctx *ctx, const char *host, int family, rn_found_fn *found, void *arg)
{
    (void)host, (void)family, (void)found, (void)arg;
    rn_send(the.there, 1);
    return rn_sleep_ctx(ctx, RN_HOUR);
}

static void request(rn_ctx *ctx, const char *url, rn_send_only(rn_time) over)
{
    rn_http_response *r;

    if (rn_http_get(ctx, url, &r) != -ECANCELED)
        bench_fail("the request did not end by its context");
    rn_send(over, rn_now());
}

static void cancel(struct bench *b, const char *scheme, const char *host, const char *said)
{
    int64_t *ns = calloc(SAMPLES, sizeof *ns), n = b->is_smoke ? SMOKE_SAMPLES : SAMPLES;
    rn_chan(rn_time) over = rn_chan_make(rn_time, 1);
    char url[100];
    rn_listener *l;
    rn_addr a;

    b->is_final = true;
    b->n = n;
    the.said = said;
    the.there = rn_chan_make(int, 1);
    if (!ns || rn_listen("tcp", "127.0.0.1:0", &l) != 0 || rn_listener_addr(l, &a) != 0)
        bench_fail("no server");
    snprintf(url, sizeof url, "%s://%s:%d/", scheme, host, rn_addr_port(&a));
    rn_set_resolver(resolve);
    rn_go(serve_all, l);
    for (int64_t i = 0; i < n; i++) {
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
        rn_time from;

        rn_go(request, ctx, (const char *)url, over);
        (void)rn_recv(the.there);
        rn_sleep(RN_MILLISECOND); /* what the server has said is read, and all wait */
        from = rn_now();
        rn_ctx_cancel(ctx);
        ns[i] = rn_recv(over) - from;
        rn_ctx_end(ctx);
    }
    rn_listener_close(l);
    rn_set_resolver(NULL);
    bench_sort(ns, n);
    bench_report(b, (double)ns[n / 2] / 1000, "p50-us");
    bench_report(b, (double)ns[n * 99 / 100] / 1000, "p99-us");
    free(ns);
    rn_chan_release(over);
}

static void name(struct bench *b)
{
    cancel(b, "http", "name.test", NULL);
}
static void tls(struct bench *b)
{
    cancel(b, "https", "127.0.0.1", NULL);
}
static void answer(struct bench *b)
{
    cancel(b, "http", "127.0.0.1", NULL);
}
static void head(struct bench *b)
{
    cancel(b, "http", "127.0.0.1", half_head);
}
static void body(struct bench *b)
{
    cancel(b, "http", "127.0.0.1", half_body);
}

int main(int argc, char **argv)
{
    static const struct bench_entry entries[] = {
        {"CancelHttp/name", name, 0, 0},     {"CancelHttp/tls", tls, 0, 0},
        {"CancelHttp/answer", answer, 0, 0}, {"CancelHttp/head", head, 0, 0},
        {"CancelHttp/body", body, 0, 0},
    };

    return bench_main(argc, argv, entries, sizeof entries / sizeof *entries);
}
#else
int main(int argc, char **argv)
{
    return bench_main(argc, argv, NULL, 0); /* built without librunnel-http */
}
#endif
