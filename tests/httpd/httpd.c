/* SPDX-License-Identifier: MIT */
/*
 * httpd.c - the HTTP server, asked byte by byte over sockets of ours.
 */
#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <runnel/httpd.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct server {
    rn_httpd *h;
    rn_ctx *ctx;
    rn_wg wg;
    char at[RN_ADDR_TEXT];
    int result;
};

static void serving(struct server *s, rn_listener *l)
{
    s->result = rn_httpd_serve(s->ctx, s->h, l);
}

static void echo(rn_httpd_request *rq, rn_httpd_response *rs)
{
    char buf[1000];
    ssize_t n;

    while ((n = rn_httpd_read(rq, buf, sizeof buf)) > 0)
        rn_httpd_write(rs, buf, (size_t)n);
}
static void text(rn_httpd_request *rq, rn_httpd_response *rs, const char *what)
{
    (void)rq;
    rn_httpd_reply(rs, 200, "text/plain", what, strlen(what));
}
static void param(rn_httpd_request *rq, rn_httpd_response *rs)
{
    const char *q = rn_httpd_query(rq, "q");

    rn_httpd_printf(rs, "%s|%s|%s|%s", rn_httpd_param(rq, "name"), q ? q : "-", rn_httpd_method(rq),
                    rn_httpd_path(rq));
}
static void big(rn_httpd_request *rq, rn_httpd_response *rs, int n)
{
    (void)rq;
    for (int i = 0; i < n; i++)
        if (rn_httpd_printf(rs, "line %d\n", i) < 0)
            return;
}
static void trailers(rn_httpd_request *rq, rn_httpd_response *rs)
{
    char buf[100];

    while (rn_httpd_read(rq, buf, sizeof buf) > 0)
        ;
    rn_httpd_printf(rs, "sum %s", rn_httpd_trailer(rq, "x-sum"));
    rn_httpd_set_trailer(rs, "X-End", "yes");
}
static void ignores(rn_httpd_request *rq, rn_httpd_response *rs)
{
    (void)rq;
    rn_httpd_reply(rs, 200, NULL, "ok", 2);
}

/* Reads to the end, or what takes its place, and only then answers. */
static _Atomic ssize_t swallowed;
static void swallows(rn_httpd_request *rq, rn_httpd_response *rs)
{
    char buf[100];
    ssize_t n;

    while ((n = rn_httpd_read(rq, buf, sizeof buf)) > 0)
        ;
    swallowed = n;
    rn_httpd_printf(rs, "swallowed");
}

static int use_stack(int depth)
{
    volatile char frame[1024];

    frame[0] = (char)depth;
    return depth ? use_stack(depth - 1) + frame[0] : frame[0];
}
static void deep(rn_httpd_request *rq, rn_httpd_response *rs)
{
    (void)rq;
    rn_httpd_printf(rs, "%d", use_stack(30));
}

static void server_start(struct server *s, rn_httpd_options *o)
{
    rn_listener *l;
    rn_addr a;

    memset(s, 0, sizeof *s);
    s->h = rn_httpd_new(o);
    s->ctx = rn_ctx_with_cancel(rn_ctx_background());
    CHECK_EQ(rn_listen("tcp", "127.0.0.1:0", &l), 0);
    CHECK_EQ(rn_listener_addr(l, &a), 0);
    CHECK(rn_addr_text(&a, s->at, sizeof s->at) > 0);
    rn_httpd_handle(s->h, "/echo", echo);
    rn_httpd_handle(s->h, "GET /", text, "root");
    rn_httpd_handle(s->h, "GET /a", text, "a");
    rn_httpd_handle(s->h, "GET /d", deep);
    rn_httpd_handle(s->h, "GET /a/b/", text, "under b");
    rn_httpd_handle(s->h, "GET /hello/{name}", param);
    rn_httpd_handle(s->h, "GET /hello/you", text, "you");
    rn_httpd_handle(s->h, "GET /big", big, 100000);
    rn_httpd_handle(s->h, "POST /trailers", trailers);
    rn_httpd_handle(s->h, "POST /ignores", ignores);
    rn_httpd_handle(s->h, "POST /swallows", swallows);
    rn_wg_go(&s->wg, serving, s, l);
}

static void server_end(struct server *s)
{
    rn_ctx_cancel(s->ctx);
    rn_wg_wait(&s->wg);
    CHECK_EQ(s->result, 0);
    rn_ctx_end(s->ctx);
    rn_httpd_free(s->h);
}

static rn_conn *dial(struct server *s)
{
    rn_conn *c;

    CHECK_EQ(rn_dial("tcp", s->at, &c), 0);
    return c;
}

/* All that the server says until it closes. */
static char *read_all(rn_conn *c)
{
    size_t n = 0, room = 1 << 16;
    char *all = malloc(room);
    ssize_t k;

    while ((k = rn_read(c, all + n, room - n - 1)) > 0) {
        n += (size_t)k;
        if (room - n < 4096)
            all = realloc(all, room *= 2);
    }
    CHECK(k == 0);
    all[n] = 0;
    return all;
}

/* What it answers to request, after which it must close. */
static char *ask(struct server *s, const char *request, size_t n)
{
    rn_conn *c = dial(s);
    char *all;

    CHECK_EQ(rn_write(c, request, n), n);
    all = read_all(c);
    rn_conn_close(c);
    return all;
}

static void expect(struct server *s, const char *request, const char *head, const char *tail)
{
    char *all = ask(s, request, strlen(request));
    size_t n = strlen(all), t = strlen(tail);

    if (strncmp(all, head, strlen(head)) != 0 || n < t || strcmp(all + n - t, tail) != 0)
        test_fail(__FILE__, __LINE__, "to %s\nit says %s\nnot %s ... %s", request, all, head, tail);
    free(all);
}

#define CLOSE "Host: x\r\nConnection: close\r\n\r\n"

GO_TEST(httpd_answers)
{
    struct server s;

    server_start(&s, NULL);
    expect(&s, "GET / HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK\r\nDate: ", "\r\n\r\nroot");
    expect(&s, "GET /a HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK", "\r\n\r\na");
    expect(&s, "HEAD /a HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK",
           "Content-Length: 1\r\nConnection: close\r\n\r\n");
    expect(&s, "GET /a/ HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK", "\r\n\r\nroot");
    expect(&s, "GET /a/b/c/d HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK", "\r\n\r\nunder b");
    expect(&s, "GET /x/../a/./b//%63 HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK", "\r\n\r\nunder b");
    expect(&s, "GET /hello/you HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK", "\r\n\r\nyou");
    expect(&s, "GET /hello/J%C3%B6rg?a=1&q=x+y%26%zz&q=2 HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK",
           "\r\n\r\nJ\xc3\xb6rg|x y&%zz|GET|/hello/J\xc3\xb6rg");
    expect(&s, "GET http://x/a HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK", "\r\n\r\na");
    expect(&s, "GET http://x HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK", "\r\n\r\nroot");
    expect(&s, "POST /a HTTP/1.1\r\n" CLOSE, "HTTP/1.1 405 Method Not Allowed", "\n");
    expect(&s, "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK", "\r\n\r\nroot");
    expect(&s, "POST /echo HTTP/1.1\r\nContent-Length: 5\r\n" CLOSE "hello", "HTTP/1.1 200 OK",
           "Content-Length: 5\r\nConnection: close\r\n\r\nhello");
    expect(&s,
           "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" CLOSE
           "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
           "HTTP/1.1 200 OK", "\r\n\r\nabcde");
    expect(&s,
           "POST /trailers HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" CLOSE
           "3\r\nabc\r\n0\r\nA: b\r\nX-Sum: 42\r\n\r\n",
           "HTTP/1.1 200 OK", "\r\n\r\n6\r\nsum 42\r\n0\r\nX-End: yes\r\n\r\n");
    expect(&s, "POST /echo HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n" CLOSE,
           "HTTP/1.1 100 Continue\r\n\r\n", "");
    server_end(&s);
}

/* Requests by one write are answered in turn, and a connection goes on. */
GO_TEST(httpd_pipelining)
{
    struct server s;
    char in[3000] = "", *all, *at;
    size_t n = 0;
    rn_conn *c;

    server_start(&s, NULL);
    for (int i = 0; i < 20; i++)
        n += (size_t)snprintf(in + n, sizeof in - n,
                              "GET /hello/%d HTTP/1.1\r\nHost: x\r\n\r\n"
                              "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "1\r\n%c\r\n0\r\n\r\n",
                              i, 'a' + i);
    for (size_t step = 1; step < n; step = step * 3 + 1) {
        c = dial(&s);
        for (size_t k = 0; k < n; k += step)
            CHECK(rn_write(c, in + k, n - k < step ? n - k : step) > 0);
        CHECK(rn_write(c, "GET /a HTTP/1.1\r\n" CLOSE, strlen("GET /a HTTP/1.1\r\n" CLOSE)) > 0);
        at = all = read_all(c);
        for (int i = 0; i < 20; i++) {
            char want[60];

            snprintf(want, sizeof want, "\r\n\r\n%d|-|GET|/hello/%d", i, i);
            at = strstr(at, want);
            CHECK(at);
            snprintf(want, sizeof want, "Content-Length: 1\r\n\r\n%c", 'a' + i);
            at = strstr(at, want);
            CHECK(at);
        }
        CHECK(strstr(at, "\r\n\r\na"));
        free(all);
        rn_conn_close(c);
    }
    server_end(&s);
}

/* More than can be gathered goes out in chunks; to an old client until the end. */
GO_TEST(httpd_large_bodies)
{
    enum { SIZE = 500000 };
    struct server s;
    char *all, *body = malloc(SIZE + 200);
    size_t n;

    server_start(&s, NULL);
    all = ask(&s, "GET /big HTTP/1.0\r\n\r\n", strlen("GET /big HTTP/1.0\r\n\r\n"));
    CHECK(strstr(all, "Connection: close\r\n"));
    CHECK(!strstr(all, "Content-Length"));
    CHECK(strstr(all, "line 99999\n"));
    free(all);
    all = ask(&s, "GET /big HTTP/1.1\r\n" CLOSE, strlen("GET /big HTTP/1.1\r\n" CLOSE));
    CHECK(strstr(all, "Transfer-Encoding: chunked\r\n"));
    CHECK(strcmp(all + strlen(all) - 7, "\r\n0\r\n\r\n") == 0);
    free(all);
    n = (size_t)sprintf(body, "POST /echo HTTP/1.1\r\nContent-Length: %d\r\n" CLOSE, SIZE);
    memset(body + n, 'z', SIZE);
    {
        rn_conn *c = dial(&s);
        rn_wg wg = {0};
        char *reply;
        size_t count = 0;

        rn_wg_go(&wg, rn_write, c, (const void *)body, n + SIZE);
        reply = read_all(c);
        for (char *at = strstr(reply, "\r\n\r\n"); *at; at++)
            count += *at == 'z';
        CHECK_EQ(count, SIZE);
        rn_wg_wait(&wg);
        free(reply);
        rn_conn_close(c);
    }
    /* A body that nobody reads, short or long. */
    expect(&s,
           "POST /ignores HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /a "
           "HTTP/1.1\r\n" CLOSE,
           "HTTP/1.1 200 OK", "\r\n\r\na");
    expect(&s, "POST /ignores HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\nabc",
           "HTTP/1.1 200 OK", "Content-Length: 2\r\nConnection: close\r\n\r\nok");
    free(body);
    server_end(&s);
}

/* Each is refused with that status, and the connection closed: nothing behind it is taken for a request. */
static const struct {
    const char *status, *request;
} refused[] = {
    {"400", "GET / HTTP/1.1\r\n\r\n"},
    {"400", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},
    {"400", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
    {"400", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: "
            "chunked\r\n\r\n0\r\n\r\n"},
    {"400", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: "
            "3\r\n\r\n0\r\n\r\n"},
    {"400", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc"},
    {"400", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc"},
    {"400", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc"},
    {"400", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc"},
    {"400", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc"},
    {"400", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nabc"},
    {"400", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\nabc"},
    {"501", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
    {"501", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
    {"400", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
            "identity\r\n\r\n0\r\n\r\n"},
    {"400", "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {"400", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"},
    {"400", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"},
    {"400", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"},
    {"400", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n"},
    {"400", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n"},
    {"400", "GET / HTTP/1.1\nHost: a\n\n"},
    {"400", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"},
    {"400", "GET / HTTP/1.1\r\nHost: a\r\nX: y\rZ: z\r\n\r\n"},
    {"400", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\n"},
    {"400", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"},
    {"400", "GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n"},
    {"400", "GET / HTTP/1.1\r\nHost: a\r\nX(): y\r\n\r\n"},
    {"400", "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n"},
    {"400", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"},
    {"400", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"400", "GET /\tx HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"400", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"400", "GET x HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"400", "GET /../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"400", "GET /%2e%2e/etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"400", "GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"400", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"400", "get / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"400", "\x16\x03\x01\x02\x01\x01\r\n\r\n"},
    {"501", "FROBNICATE / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"501", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"},
    {"505", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"},
    {"505", "GET / HTTP/1.2\r\nHost: a\r\n\r\n"},
    {"417", "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 1\r\n\r\nx"},
    {"400",
     "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n"},
    {"400",
     "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\nx\r\n0\r\n\r\n"},
    {"400",
     "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n"},
    {"400", "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n"},
    {"400",
     "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx"},
    {"400",
     "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n"},
    {"413", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000000\r\n\r\nx"},
};

GO_TEST(httpd_refuses)
{
    struct server s;
    int wrong = 0;

    server_start(&s, NULL);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char in[1000], *all;
        int n = snprintf(in, sizeof in, "%sGET /a HTTP/1.1\r\n" CLOSE, refused[i].request);

        all = ask(&s, in, (size_t)n);
        if (strncmp(all, "HTTP/1.1 ", 9) != 0 || strncmp(all + 9, refused[i].status, 3) != 0 ||
            !strstr(all, "Connection: close\r\n") || strstr(all + 9, "HTTP/1.1 ")) {
            printf("not %s to\n%s\nbut %s\n", refused[i].status, refused[i].request, all);
            fflush(stdout);
            wrong++;
        }
        free(all);
    }
    CHECK_EQ(wrong, 0);
    server_end(&s);
}

/* A body in chunks that a handler reads: the read says error, and the server status, once, whatever the handler says. */
static void swallow(struct server *s, const char *in, size_t n, ssize_t error, const char *status)
{
    char *all = ask(s, in, n);

    CHECK_EQ(swallowed, error);
    CHECK(strncmp(all, "HTTP/1.1 ", 9) == 0 && strncmp(all + 9, status, 3) == 0);
    CHECK((strstr(all, "swallowed") != NULL) == (error == 0));
    CHECK(strstr(all, "Connection: close\r\n") && !strstr(all + 9, "HTTP/1.1 "));
    free(all);
}

/* What has no end ends. */
GO_TEST(httpd_limits)
{
    static const char chunks[] = "POST /swallows HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" CLOSE;
    struct server s;
    rn_httpd_options o = {
        .max_target = 1000, .max_head = 20000, .max_headers = 50, .max_body = 5000};
    char *in = malloc(200000), *all;
    size_t n;

    server_start(&s, &o);
    n = (size_t)sprintf(in, "GET /%0999d HTTP/1.1\r\n" CLOSE, 0); /* 1000 bytes */
    all = ask(&s, in, n);
    CHECK(strncmp(all, "HTTP/1.1 200", 12) == 0);
    free(all);
    n = (size_t)sprintf(in, "GET /%01000d HTTP/1.1\r\n" CLOSE, 0);
    all = ask(&s, in, n);
    CHECK(strncmp(all, "HTTP/1.1 414", 12) == 0);
    free(all);
    for (int many = 48; many <= 49; many++) {
        n = (size_t)sprintf(in, "GET / HTTP/1.1\r\n");
        for (int i = 0; i < many; i++)
            n += (size_t)sprintf(in + n, "X%d: y\r\n", i);
        n += (size_t)sprintf(in + n, CLOSE);
        all = ask(&s, in, n);
        CHECK(strncmp(all, many == 48 ? "HTTP/1.1 200" : "HTTP/1.1 431", 12) == 0);
        free(all);
    }
    n = (size_t)sprintf(in, "GET / HTTP/1.1\r\nX: %019000d\r\n" CLOSE, 0); /* the buffer grows */
    all = ask(&s, in, n);
    CHECK(strncmp(all, "HTTP/1.1 200", 12) == 0);
    free(all);
    n = (size_t)sprintf(in, "GET / HTTP/1.1\r\nX: %0100000d", 0);
    all = ask(&s, in, n);
    CHECK(strncmp(all, "HTTP/1.1 431", 12) == 0);
    free(all);
    n = (size_t)sprintf(in, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5001\r\n\r\n");
    all = ask(&s, in, n);
    CHECK(strncmp(all, "HTTP/1.1 413", 12) == 0);
    free(all);
    n = (size_t)sprintf(in,
                        "POST /ignores HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "1770\r\n%06000d\r\n0\r\n\r\n",
                        0);
    all = ask(&s, in, n);
    CHECK(strncmp(all, "HTTP/1.1 200", 12) == 0); /* it had answered before */
    CHECK(strstr(all, "ok"));
    free(all);
    for (int over = 0; over <= 1; over++) { /* a body of 5000 bytes, and one more */
        n = (size_t)sprintf(in, "%s%x\r\n%0*d\r\n0\r\n\r\n", chunks, 5000 + over, 5000 + over, 0);
        swallow(&s, in, n, over ? -EFBIG : 0, over ? "413" : "200");
    }
    for (int many = 18; many <= 100; many += 82) { /* trailers without end */
        n = (size_t)sprintf(in, "%s1\r\nx\r\n0\r\n", chunks);
        for (int i = 0; i < many; i++)
            n += (size_t)sprintf(in + n, "X%d: %01000d\r\n", i, 0);
        if (many == 18)
            n += (size_t)sprintf(in + n, "\r\n");
        swallow(&s, in, n, many == 18 ? 0 : -EFBIG, many == 18 ? "200" : "431");
    }
    n = (size_t)sprintf(in, "%s1\r\nx\r\n0\r\nX: %0100000d", chunks, 0); /* or one */
    swallow(&s, in, n, -EFBIG, "431");
    n = (size_t)sprintf(in, "%s", chunks);
    for (int i = 0; i < 100; i++) /* a byte with a kilobyte of extensions each */
        n += (size_t)sprintf(in + n, "1;%01000d\r\nx\r\n", 0);
    swallow(&s, in, n, -EBADMSG, "400");
    free(in);
    server_end(&s);
}

/* Who sends nothing, or a byte now and then, is told so, or just closed; who does his part meanwhile is served. */
GO_TEST(httpd_timeouts)
{
    rn_httpd_options o = {.head_timeout = 80 * RN_MILLISECOND,
                          .body_timeout = 80 * RN_MILLISECOND,
                          .idle_timeout = 80 * RN_MILLISECOND,
                          .write_timeout = 80 * RN_MILLISECOND};
    struct server s;
    rn_conn *c;
    char *all, b;
    ssize_t n;

    server_start(&s, &o);
    c = dial(&s); /* idle */
    CHECK_EQ(rn_read(c, &b, 1), 0);
    rn_conn_close(c);
    c = dial(&s); /* a slow head */
    for (int i = 0; (n = rn_write(c, i ? "x" : "G", 1)) == 1 && i < 10000; i++)
        if (i == 0 && rn_write(c, "ET /", 4) < 0)
            break;
        else
            rn_sleep(5 * RN_MILLISECOND);
    CHECK(n < 0);
    rn_conn_close(c);
    c = dial(&s);
    CHECK_EQ(rn_write(c, "GET / HT", 8), 8);
    all = read_all(c);
    CHECK(strncmp(all, "HTTP/1.1 408", 12) == 0);
    free(all);
    rn_conn_close(c);
    c = dial(&s); /* a body that does not come */
    all = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab";
    CHECK(rn_write(c, all, strlen(all)) > 0);
    all = read_all(c);
    CHECK(strstr(all, "Connection: close"));
    free(all);
    rn_conn_close(c);
    c = dial(&s); /* nobody reads */
    for (int i = 0; i < 100 && rn_write(c, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n", 30) == 30; i++)
        ;
    rn_set_write_deadline(c, rn_now() + 60 * RN_SECOND);
    while ((n = rn_write(c, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n", 30)) == 30)
        ;
    CHECK(n == -ECONNRESET || n == -EPIPE);
    rn_conn_close(c);
    server_end(&s);
}

/* How a dribbled body was read: how long its last wait for a byte was, and what it said. */
struct dribble {
    _Atomic bool over;
    rn_dur last;
    ssize_t result;
};
static void dribbled(rn_httpd_request *rq, rn_httpd_response *rs, struct dribble *d)
{
    rn_time at;
    char b;

    do {
        at = rn_now();
        d->result = rn_httpd_read(rq, &b, 1);
        d->last = rn_now() - at;
    } while (d->result > 0);
    rn_httpd_printf(rs, "read");
    d->over = true;
}

/* The time for a body counts from its last byte: one that comes byte by byte may take many times as long. Where the machine lets
 * somebody stand for so long, a read may be cut, but none that has not waited for that time itself; then it is tried again. */
GO_TEST(httpd_body_byte_by_byte)
{
    static const char head[] = "POST /dribbled HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    static const char chunk[] = "1\r\nx\r\n";
    rn_httpd_options o = {.body_timeout = (test_is_slow() ? 1000 : 100) * RN_MILLISECOND};
    struct dribble d = {.result = -1};
    struct server s;

    server_start(&s, &o);
    rn_httpd_handle(s.h, "/dribbled", dribbled, &d);
    while (d.result != 0) {
        rn_conn *c = dial(&s);
        rn_time begin = rn_now();

        d.over = false;
        CHECK_EQ(rn_write(c, head, sizeof head - 1), sizeof head - 1);
        while (!d.over && rn_now() - begin < 4 * o.body_timeout) {
            for (const char *b = chunk; *b; b++)
                rn_write(c, b, 1);
            rn_sleep(o.body_timeout / 20);
        }
        rn_write(c, "0\r\n\r\n", 5);
        AWAIT(d.over);
        CHECK(d.result == 0 || (d.result == -ETIMEDOUT && d.last >= o.body_timeout / 2));
        rn_conn_close(c);
    }
    server_end(&s);
}

/* Clients that vanish without a word, in each phase: a filter drops what would reach them, so that they acknowledge nothing.
 * The server is rid of each by itself. */
GO_TEST(httpd_half_open_clients)
{
    static const char *const said[] = {
        "",                                                              /* nothing */
        "GET / HT",                                                      /* a part of a head */
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab", /* of a body */
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",                             /* one, and now it idles */
        "GET /endless HTTP/1.1\r\nHost: x\r\n\r\n",                      /* one for much */
    };
    enum { EACH = 10, SAID = sizeof said / sizeof *said };
    rn_httpd_options o = {.head_timeout = 80 * RN_MILLISECOND,
                          .body_timeout = 80 * RN_MILLISECOND,
                          .idle_timeout = 80 * RN_MILLISECOND,
                          .write_timeout = 80 * RN_MILLISECOND};
    struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog drop = {1, &nothing};
    rn_conn *c[SAID * EACH];
    struct server s;
    size_t before;

    server_start(&s, &o);
    rn_httpd_handle(s.h, "GET /endless", big, INT_MAX);
    rn_conn_close(dial(&s));
    AWAIT((before = rn_count()) == 3); /* this one, the server, and who looks after its times */
    for (int i = 0; i < SAID * EACH; i++) {
        const char *what = said[i % SAID];

        c[i] = dial(&s);
        CHECK_EQ(rn_write(c[i], what, strlen(what)), strlen(what));
        if (i % SAID >= 3)
            CHECK_EQ(rn_wait_read(c[i]), 0); /* the answer has begun */
        if (setsockopt(rn_conn_fd(c[i]), SOL_SOCKET, SO_ATTACH_FILTER, &drop, sizeof drop) != 0)
            test_skip("the kernel takes no filter for a socket");
    }
    AWAIT(rn_count() == before);
    for (int i = 0; i < SAID * EACH; i++)
        rn_conn_close(c[i]);
    server_end(&s);
}

static void waits_for_end(rn_httpd_request *rq, rn_httpd_response *rs, _Atomic int *state)
{
    (void)rs;
    *state = 1;
    while (rn_sleep_ctx(rn_httpd_ctx(rq), RN_SECOND) == 0)
        ;
    *state = 2;
}

GO_TEST(httpd_context_ends_with_the_client)
{
    static _Atomic int state;
    rn_httpd_options o = {.grace = RN_MILLISECOND, .drain = RN_MILLISECOND};
    struct server s;
    rn_conn *c;

    server_start(&s, &o);
    rn_httpd_handle(s.h, "GET /wait", waits_for_end, &state);
    for (int i = 0; i < 3; i++) {
        state = 0;
        c = dial(&s);
        CHECK_EQ(rn_write(c, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n", 31), 31);
        AWAIT(state == 1);
        test_let_run();
        CHECK_EQ(state, 1);
        if (i == 2)
            break;
        rn_conn_close(c);
        AWAIT(state == 2);
    }
    server_end(&s); /* after the grace it is cut off */
    CHECK_EQ(state, 2);
    rn_conn_close(c);
}

/* ---- The end under load ------------------------------------------------------------------------------- */

static _Atomic long sent_requests, answered, refused_conns, lost;

/* One more that was not answered, and why, on which request of its connection. */
static void is_lost(const char *where, ssize_t n, int i)
{
    printf("lost at %s: %s, request %d\n", where, n < 0 ? rn_errmsg((int)n) : "the end", i);
    lost++;
}

static void load(struct server *s, int per_connection)
{
    static const char request[] = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

    for (;;) {
        rn_conn *c;

        if (rn_dial("tcp", s->at, &c) != 0) {
            refused_conns++;
            return;
        }
        for (int i = 0; i < per_connection; i++) {
            char in[1000];
            size_t have = 0;
            bool whole = false;
            ssize_t n;

            sent_requests++;
            n = rn_write(c, request, sizeof request - 1);
            if (n < 0) {
                is_lost("write", n, i);
                break;
            }
            while (!whole && (n = rn_read(c, in + have, sizeof in - 1 - have)) > 0) {
                have += (size_t)n;
                in[have] = 0;
                whole = strstr(in, "\r\n\r\na") != NULL;
            }
            if (!whole) {
                if (have)
                    FAIL("half an answer");
                is_lost("read", n, i);
                break;
            }
            answered++;
            if (strstr(in, "Connection: close"))
                break;
        }
        rn_conn_close(c);
        if (rn_ctx_err(s->ctx))
            return;
    }
}

GO_TEST(httpd_ends_in_order_under_load)
{
    for (int round = 0; round < 3; round++) {
        struct server s;
        rn_httpd_options o = {.drain = 500 * RN_MILLISECOND};
        rn_wg wg = {0};

        sent_requests = answered = lost = refused_conns = 0;
        server_start(&s, &o);
        for (int i = 0; i < 20; i++)
            rn_wg_go(&wg, load, &s, 1 + i * 10);
        AWAIT(answered > test_times(2000));
        server_end(&s);
        rn_wg_wait(&wg);
        printf("%ld sent, %ld answered, %ld lost\n", sent_requests, answered, lost);
        fflush(stdout);
        CHECK_EQ(lost, 0);
        CHECK_EQ(sent_requests, answered);
    }
}

/* An answer, whose end is tail. Is it the last of the connection? */
static bool read_answer(rn_conn *c, const char *tail)
{
    char in[4000];
    size_t have = 0, t = strlen(tail);
    ssize_t n;

    do {
        n = rn_read(c, in + have, sizeof in - 1 - have);
        CHECK(n > 0);
        have += (size_t)n;
        in[have] = 0;
    } while (have < t || strcmp(in + have - t, tail) != 0);
    return strstr(in, "Connection: close\r\n") != NULL;
}

/* One request over a connection that is kept, and its answer. */
static bool last_answer(rn_conn *c, const char *request, const char *tail)
{
    CHECK_EQ(rn_write(c, request, strlen(request)), strlen(request));
    return read_answer(c, tail);
}

/* While it drains, connections that idled are answered and told that it was the last time, and new ones too. */
GO_TEST(httpd_drains)
{
    static const char request[] = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
    rn_httpd_options o = {.drain = 2 * RN_SECOND, .grace = 60 * RN_SECOND};
    struct server s;
    rn_conn *idle, *fresh;
    char b;

    server_start(&s, &o);
    idle = dial(&s);
    CHECK(!last_answer(idle, request, "\r\n\r\na"));
    rn_ctx_cancel(s.ctx);
    while (!last_answer(idle, request, "\r\n\r\na"))
        rn_yield(); /* the end has not begun yet */
    CHECK_EQ(rn_read(idle, &b, 1), 0);
    fresh = dial(&s);
    CHECK(last_answer(fresh, request, "\r\n\r\na"));
    rn_conn_close(idle);
    rn_conn_close(fresh);
    server_end(&s);
}

static const char get_a[] = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

/* n connections that were kept after an answer, each with another request under way. */
static void ask_again(struct server *s, rn_conn **c, int n)
{
    for (int i = 0; i < n; i++) {
        c[i] = dial(s);
        CHECK(!last_answer(c[i], get_a, "\r\n\r\na"));
    }
    for (int i = 0; i < n; i++)
        CHECK_EQ(rn_write(c[i], get_a, sizeof get_a - 1), sizeof get_a - 1);
}
static void all_are_answered(rn_conn **c, int n)
{
    for (int i = 0; i < n; i++) {
        char *all = read_all(c[i]);

        CHECK(strstr(all, "\r\n\r\na"));
        free(all);
        rn_conn_close(c[i]);
    }
}

/* What has been sent on connections that were kept is answered, also if the end comes at once, and before anybody has been
 * told of it: one processor, which ends the server before it looks. */
GO_TEST_PROCS(httpd_answers_what_had_come, 1)
{
    enum { N = 50 };
    rn_httpd_options o = {.drain = -1};
    struct server s;
    rn_conn *c[N];

    server_start(&s, &o);
    ask_again(&s, c, N);
    rn_ctx_cancel(s.ctx);
    all_are_answered(c, N);
    server_end(&s);
}

static void busy(rn_dur d)
{
    rn_time end = rn_now() + d;

    while (rn_now() < end)
        ;
}

/* The same where nobody is told in time: whoever has the one processor is busy for longer than connections wait for the last
 * time, and so that is over before anybody looks what has come. */
GO_TEST_PROCS(httpd_answers_what_nobody_was_told_of, 1)
{
    enum { N = 4 };
    rn_httpd_options o = {.drain = -1};

    for (int round = test_times(100); round > 0; round--) {
        struct server s;
        rn_conn *c[N];

        server_start(&s, &o);
        ask_again(&s, c, N);
        rn_ctx_cancel(s.ctx);
        for (int i = 0; i < 6; i++) {
            rn_yield();
            busy(2 * RN_MILLISECOND);
        }
        all_are_answered(c, N);
        server_end(&s);
    }
}

static void slowly(rn_httpd_request *rq, rn_httpd_response *rs, _Atomic bool *began,
                   rn_recv_only(rn_unit) go_on)
{
    (void)rq;
    rn_httpd_write(rs, "one ", 4);
    CHECK_EQ(rn_httpd_flush(rs), 0);
    *began = true;
    (void)rn_recv(go_on);
    for (int i = 0; i < 1000; i++)
        rn_httpd_write(rs, "more ", 5);
    rn_httpd_write(rs, "end", 3);
}

/* An answer that has begun when the end does is given whole, long after the last connection was accepted. */
GO_TEST(httpd_finishes_what_it_began)
{
    static const char request[] = "GET /slowly HTTP/1.1\r\nHost: x\r\n\r\n";
    rn_httpd_options o = {.drain = RN_MILLISECOND, .grace = 60 * RN_SECOND};
    rn_chan(rn_unit) go_on = rn_chan_make(rn_unit, 0);
    _Atomic bool began = false;
    struct server s;
    rn_conn *c, *more;
    char *all;

    server_start(&s, &o);
    rn_httpd_handle(s.h, "GET /slowly", slowly, &began, go_on);
    c = dial(&s);
    CHECK_EQ(rn_write(c, request, sizeof request - 1), sizeof request - 1);
    AWAIT(began);
    rn_ctx_cancel(s.ctx);
    while (rn_dial("tcp", s.at, &more) == 0) { /* until nobody listens */
        rn_conn_close(more);
        rn_yield();
    }
    test_let_run();
    rn_close(go_on);
    all = read_all(c);
    CHECK(strncmp(all, "HTTP/1.1 200 OK\r\n", 17) == 0);
    CHECK(strstr(all, "one ") && strstr(all, "end\r\n0\r\n\r\n"));
    free(all);
    rn_conn_close(c);
    server_end(&s);
    rn_chan_release(go_on);
}

/* A client may vanish at each byte; the server goes on, and keeps nothing. */
GO_TEST(httpd_resets)
{
    static const char in[] = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                             "5\r\nhello\r\n0\r\n\r\nGET /big HTTP/1.1\r\nHost: x\r\n\r\n";
    struct server s;

    server_start(&s, NULL);
    for (size_t n = 0; n < sizeof in; n++) {
        rn_conn *c = dial(&s);
        struct linger reset = {1, 0};

        CHECK_EQ(rn_write(c, in, n), n);
        if (n % 3 == 0)
            rn_yield();
        setsockopt(rn_conn_fd(c), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        rn_conn_close(c);
    }
    expect(&s, "GET /a HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK", "\r\n\r\na");
    server_end(&s);
}

static void exits(rn_httpd_request *rq, rn_httpd_response *rs)
{
    (void)rn_httpd_ctx(rq);
    rn_httpd_printf(rs, "x");
    rn_exit(0);
}

/* A handler that ends its goroutine: the connection is closed, and everything given back. */
GO_TEST(httpd_handler_exits)
{
    struct server s;

    server_start(&s, NULL);
    rn_httpd_handle(s.h, "GET /exit", exits);
    for (int i = 0; i < 10; i++) {
        expect(&s, "GET /exit HTTP/1.1\r\n" CLOSE, "", "");
        expect(&s, "GET /a HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK", "\r\n\r\na");
    }
    server_end(&s);
}

/* No descriptor is left: who has one is served, and the others when there are some again. */
GO_TEST(httpd_without_descriptors)
{
    static const char in[] = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
    struct rlimit r, low;
    struct server s;
    rn_conn *first, *second;
    char buf[1000];
    int last;

    server_start(&s, NULL);
    first = dial(&s);
    CHECK(rn_write(first, in, sizeof in - 1) > 0);
    CHECK(rn_read(first, buf, sizeof buf) > 0);
    second = dial(&s); /* a descriptor for each end; now take the rest */
    CHECK(rn_write(second, in, sizeof in - 1) > 0);
    CHECK(rn_read(second, buf, sizeof buf) > 0);
    rn_conn_close(second);
    last = dup(0);
    close(last);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &r), 0);
    low = r;
    low.rlim_cur = (rlim_t)last + 1; /* for the client's end alone */
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    second = dial(&s);
    CHECK(rn_write(second, in, sizeof in - 1) > 0);
    test_let_run();
    CHECK(rn_write(first, in, sizeof in - 1) > 0);
    CHECK(rn_read(first, buf, sizeof buf) > 0);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &r), 0);
    CHECK(rn_read(second, buf, sizeof buf) > 0);
    rn_conn_close(first);
    rn_conn_close(second);
    server_end(&s);
}

/* ---- A stream of one's own ------------------------------------------------------------------------------ */

static _Atomic size_t upside_taken;
static ssize_t upside_read(void *c, void *buf, size_t size)
{
    ssize_t n = rn_read(c, buf, size);

    for (ssize_t i = 0; i < n; i++)
        ((char *)buf)[i] ^= 0x55;
    if (n > 0)
        upside_taken += (size_t)n;
    return n;
}
static ssize_t upside_writev(void *c, const struct iovec *iov, int count)
{
    ssize_t total = 0;

    for (int i = 0; i < count; i++)
        for (size_t at = 0, n; at < iov[i].iov_len; at += n, total += (ssize_t)n) {
            char part[64];

            n = iov[i].iov_len - at < sizeof part ? iov[i].iov_len - at : sizeof part;
            for (size_t k = 0; k < n; k++)
                part[k] = (char)(((const char *)iov[i].iov_base)[at + k] ^ 0x55);
            if (rn_write(c, part, n) < 0)
                return -EPIPE;
        }
    return total;
}
static int upside_wait(rn_ctx *ctx, void *c)
{
    return rn_wait_read_ctx(ctx, c);
}
static int upside_read_deadline(void *c, rn_time t)
{
    return rn_set_read_deadline(c, t);
}
static int upside_write_deadline(void *c, rn_time t)
{
    return rn_set_write_deadline(c, t);
}
static int upside_close_write(void *c)
{
    return rn_close_write(c);
}
static void upside_cancel(void *c)
{
    rn_conn_cancel(c);
}

static const rn_httpd_stream upside_ops = {.read = upside_read,
                                           .writev = upside_writev,
                                           .wait_read = upside_wait,
                                           .set_read_deadline = upside_read_deadline,
                                           .set_write_deadline = upside_write_deadline,
                                           .close_write = upside_close_write,
                                           .cancel = upside_cancel};

/* One end of a connection, of which the other is served as a stream, by a goroutine of wg. */
static rn_conn *stream_new(rn_httpd *h, rn_ctx *ctx, rn_wg *wg, rn_conn **ret_its)
{
    rn_conn *mine;
    int fds[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(rn_conn_adopt(fds[0], &mine), 0);
    CHECK_EQ(rn_conn_adopt(fds[1], ret_its), 0);
    rn_wg_go(wg, rn_httpd_serve_stream, ctx, h, &upside_ops, (void *)*ret_its);
    return mine;
}

static void upside_ask(rn_conn *c, const char *request, const char *tail)
{
    char buf[1000];
    size_t have = 0;

    CHECK(upside_writev(c, &(struct iovec){(char *)(uintptr_t)request, strlen(request)}, 1) > 0);
    do {
        ssize_t n = upside_read(c, buf + have, sizeof buf - have - 1);

        CHECK(n > 0);
        have += (size_t)n;
        buf[have] = 0;
    } while (!strstr(buf, tail));
}

GO_TEST(httpd_stream)
{
    rn_httpd_options o = {.drain = RN_MILLISECOND};
    struct server s;

    server_start(&s, &o);
    for (int stop = 0; stop < 2; stop++) {
        rn_conn *mine, *its;
        rn_wg wg = {0};

        mine = stream_new(s.h, s.ctx, &wg, &its);
        for (int i = 0; i < 3; i++)
            upside_ask(mine, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n\r\na");
        if (stop)
            rn_ctx_cancel(s.ctx);
        else
            rn_close_write(mine);
        rn_wg_wait(&wg);
        rn_conn_close(its);
        rn_conn_close(mine);
    }
    server_end(&s);
}

/* ---- The client's going, over sockets and streams -------------------------------------------------------- */

/* A connection to s: a socket, or one end of a stream. */
struct link {
    rn_conn *c, *its; /* its: NULL for a socket */
    rn_wg wg;
};

static void link_new(struct server *s, bool stream, struct link *k)
{
    *k = (struct link){0};
    k->c = stream ? stream_new(s->h, s->ctx, &k->wg, &k->its) : dial(s);
}
static void link_say(struct link *k, const char *in, size_t n)
{
    if (k->its)
        CHECK_EQ(upside_writev(k->c, &(struct iovec){(char *)(uintptr_t)in, n}, 1), n);
    else
        CHECK_EQ(rn_write(k->c, in, n), n);
}
/* What comes, up to tail. */
static void link_read(struct link *k, char *out, size_t room, const char *tail)
{
    size_t n = 0, t = strlen(tail);

    do {
        ssize_t got = k->its ? upside_read(k->c, out + n, room - n - 1)
                             : rn_read(k->c, out + n, room - n - 1);

        CHECK(got > 0);
        n += (size_t)got;
        out[n] = 0;
    } while (n < t || strcmp(out + n - t, tail) != 0);
}
static void link_end(struct link *k)
{
    rn_conn_close(k->c);
    rn_wg_wait(&k->wg);
    rn_conn_close(k->its);
}

static void reads_and_waits(rn_httpd_request *rq, rn_httpd_response *rs, _Atomic int *state,
                            bool late)
{
    rn_ctx *ctx = late ? NULL : rn_httpd_ctx(rq);
    char buf[100];

    (void)rs;
    while (rn_httpd_read(rq, buf, sizeof buf) > 0)
        ;
    *state = 1;
    while (rn_sleep_ctx(late ? rn_httpd_ctx(rq) : ctx, RN_SECOND) == 0)
        ;
    *state = 2;
}

/* A context ends with the client wherever it stands: behind its request, whatever that was read from and into, behind a part
 * of the next one or some, and in the middle of its body. */
GO_TEST(httpd_notices_who_goes_away)
{
    static const char *const behind[] = {"", "GET /a HT",
                                         "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /a HT"};
    static _Atomic int state;
    char *in = malloc(20000);
    struct server s;

    server_start(&s, NULL);
    rn_httpd_handle(s.h, "/wait", reads_and_waits, &state, false);
    rn_httpd_handle(s.h, "/late", reads_and_waits, &state, true);
    for (int i = 0; i < 2 * 2 * 6 * 3; i++) {
        bool stream = i & 1;
        const char *path = i & 2 ? "late" : "wait", *more = behind[i / 4 % 3];
        int body = i / 12, n;
        struct link k;

        n = sprintf(in, "POST /%s HTTP/1.1\r\nHost: x\r\n", path);
        if (body == 0) /* none */
            n += sprintf(in + n, "\r\n");
        else if (body == 1) /* a short one */
            n += sprintf(in + n, "Content-Length: 3\r\n\r\nabc");
        else if (body == 2) /* in chunks, more than one piece of memory */
            n += sprintf(in + n, "Transfer-Encoding: chunked\r\n\r\n2ee0\r\n%012000d\r\n0\r\n\r\n",
                         0);
        else if (body == 3) /* a head that leaves no room behind it */
            n += sprintf(in + n, "X: %0*d\r\n\r\n", 8192 - 7 - n, 0);
        else if (body == 4) /* a part of it */
            n += sprintf(in + n, "Content-Length: 9\r\n\r\nabc");
        else
            n += sprintf(in + n, "Transfer-Encoding: chunked\r\n\r\n9\r\nabc");
        state = 0;
        link_new(&s, stream, &k);
        if (body < 4 && i % 5) /* at the same time, or later */
            n += sprintf(in + n, "%s", more);
        link_say(&k, in, (size_t)n);
        if (body < 4) {
            AWAIT(state == 1);
            if (i % 5 == 0)
                link_say(&k, more, strlen(more));
            test_let_run();
            CHECK_EQ(state, 1);
        }
        rn_close_write(k.c);
        AWAIT(state == 2);
        link_end(&k);
    }
    free(in);
    server_end(&s);
}

static void asks_for_context(rn_httpd_request *rq, rn_httpd_response *rs)
{
    char buf[10];

    (void)rn_httpd_ctx(rq);
    while (rn_httpd_read(rq, buf, sizeof buf) > 0)
        ;
    rn_yield();
    rn_httpd_printf(rs, "%s", rn_httpd_target(rq));
}

static void held(rn_httpd_request *rq, rn_httpd_response *rs, rn_recv_only(rn_unit) go_on)
{
    (void)rn_httpd_ctx(rq);
    (void)rn_recv(go_on);
    rn_httpd_printf(rs, "held");
}

/* What was read behind a request to see its client go is the next one's: a part that was surely read, and wherever the end of
 * the request and of the reading cuts it. */
GO_TEST(httpd_keeps_what_it_read_ahead)
{
    static const char begin[] = "GET /held HTTP/1.1\r\nHost: x\r\n\r\n"
                                "GET /c/behind HTTP/1.1\r\nHo";
    enum { REQUESTS = 30 };
    static char in[REQUESTS * 100], all[REQUESTS * 300];
    char want[20];
    rn_chan(rn_unit) go_on = rn_chan_make(rn_unit, 0);
    struct server s;
    struct link k;
    size_t n = 0;

    server_start(&s, NULL);
    rn_httpd_handle(s.h, "/c/", asks_for_context);
    rn_httpd_handle(s.h, "/held", held, go_on);
    link_new(&s, true, &k);
    link_say(&k, begin, sizeof begin - 1);
    AWAIT(upside_taken == sizeof begin - 1);
    rn_send(go_on, (rn_unit){0});
    link_say(&k, "st: x\r\n\r\n", 9);
    link_read(&k, all, sizeof all, "\r\n\r\n/c/behind");
    CHECK(strstr(all, "\r\n\r\nheld"));
    link_end(&k);
    for (int i = 0; i < REQUESTS; i++)
        n += (size_t)sprintf(in + n, "POST /c/%d HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n%s", i,
                             i % 3 == 0   ? "X: y"
                             : i % 3 == 1 ? "Content-Length: 1"
                                          : "Transfer-Encoding: chunked",
                             i % 3 == 0   ? ""
                             : i % 3 == 1 ? "x"
                                          : "1\r\nx\r\n0\r\n\r\n");
    n += (size_t)sprintf(in + n, "GET /a HTTP/1.1\r\n" CLOSE);
    for (size_t i = 0, step = 1; i < 40; i++, step = step * 3 / 2 + 1) {
        char *at = all;

        if (step > n)
            step = 1;
        link_new(&s, i & 1, &k);
        for (size_t from = 0; from < n; from += step) {
            link_say(&k, in + from, n - from < step ? n - from : step);
            if (i % 4 < 2)
                rn_yield();
        }
        link_read(&k, all, sizeof all, "\r\n\r\na");
        for (int r = 0; r < REQUESTS; r++) {
            sprintf(want, "\r\n\r\n/c/%d", r);
            at = strstr(at, want);
            CHECK(at);
        }
        link_end(&k);
    }
    server_end(&s);
    rn_chan_release(go_on);
}

/* A stream whose first read ahead ends for a deadline that nobody has set now, as a late one of the sweeper's does; while
 * that is taken back the handler returns, and the next deadline is set. */
static _Atomic int
    ahead; /* 0; 1: the handler runs; 2: it may return; 3: and its reader shall end */
static ssize_t ahead_read(void *c, void *buf, size_t size)
{
    return ahead == 1 ? -ETIMEDOUT : upside_read(c, buf, size);
}
static int ahead_deadline(void *c, rn_time t)
{
    int running = 1, returns = 2;

    if (t == 0 && atomic_compare_exchange_strong(&ahead, &running, 2))
        AWAIT(ahead == 3);
    if (t == 1) {
        CHECK_EQ(rn_set_read_deadline(c, 1), 0);
        atomic_compare_exchange_strong(&ahead, &returns, 3);
        return 0;
    }
    return rn_set_read_deadline(c, t);
}
static void returns_when(rn_httpd_request *rq, rn_httpd_response *rs)
{
    (void)rs;
    ahead = 1;
    (void)rn_httpd_ctx(rq);
    AWAIT(ahead == 2);
}
GO_TEST(httpd_reading_ahead_ends)
{
    rn_httpd_stream ops = upside_ops;
    rn_httpd *h = rn_httpd_new(NULL);
    rn_conn *mine, *its;
    rn_wg wg = {0};
    int fds[2];

    ops.read = ahead_read;
    ops.set_read_deadline = ahead_deadline;
    rn_httpd_handle(h, "/", returns_when);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(rn_conn_adopt(fds[0], &mine), 0);
    CHECK_EQ(rn_conn_adopt(fds[1], &its), 0);
    rn_wg_go(&wg, rn_httpd_serve_stream, (rn_ctx *)NULL, h, (const rn_httpd_stream *)&ops,
             (void *)its);
    upside_ask(mine, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n\r\n");
    rn_conn_close(mine);
    rn_wg_wait(&wg);
    rn_conn_close(its);
    rn_httpd_free(h);
}

/* A stream whose first write stalls until the sweeper ends it, and is through just then. */
static struct {
    _Atomic rn_time deadline;
    _Atomic bool ended;
    rn_chan(rn_unit) through;
    size_t most, total;
} stall;
static ssize_t stall_writev(void *c, const struct iovec *iov, int count)
{
    size_t size = 0;

    (void)c;
    if (stall.deadline)
        return -ETIMEDOUT;
    if (stall.total == 0)
        (void)rn_recv(stall.through);
    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    if (size > stall.most)
        stall.most = size;
    stall.total += size;
    return (ssize_t)size;
}
static int stall_deadline(void *c, rn_time t)
{
    (void)c;
    if (t && atomic_exchange(&stall.ended, true))
        return 0; /* another write, which was not run for so long */
    stall.deadline = t;
    if (t)
        (void)rn_try_send(stall.through, (rn_unit){0});
    return 0;
}
static void writes(rn_httpd_request *rq, rn_httpd_response *rs, int *err)
{
    enum { SIZE = 100000 };
    char *some = calloc(1, SIZE);

    (void)rq;
    *err = rn_httpd_flush(rs);
    for (int i = 0; i < 3 && *err == 0; i++)
        if (rn_httpd_write(rs, some, SIZE) != SIZE || rn_httpd_write(rs, some, 10) != 10)
            *err = 1;
    free(some);
}

/* The end that was meant for a write is none of the next one's; and much goes out in pieces, each of which is progress. */
GO_TEST(httpd_writes_to_streams)
{
    rn_httpd_stream ops = upside_ops;
    rn_httpd_options o = {.write_timeout = RN_MILLISECOND};
    rn_httpd *h = rn_httpd_new(&o);
    rn_conn *mine, *its;
    rn_wg wg = {0};
    int fds[2], err = 1;

    ops.writev = stall_writev;
    ops.set_write_deadline = stall_deadline;
    stall.through = rn_chan_make(rn_unit, 1);
    rn_httpd_handle(h, "/", writes, &err);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(rn_conn_adopt(fds[0], &mine), 0);
    CHECK_EQ(rn_conn_adopt(fds[1], &its), 0);
    rn_wg_go(&wg, rn_httpd_serve_stream, (rn_ctx *)NULL, h, (const rn_httpd_stream *)&ops,
             (void *)its);
    CHECK(upside_writev(mine, &(struct iovec){"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27}, 1) > 0);
    rn_close_write(mine);
    rn_wg_wait(&wg);
    CHECK_EQ(err, 0);
    CHECK_EQ(stall.deadline, 0);
    CHECK_EQ(stall.most, 16384);
    CHECK(stall.total > 3 * 100010);
    rn_conn_close(mine);
    rn_conn_close(its);
    rn_httpd_free(h);
    rn_chan_release(stall.through);
}

/*
 * A sweep comes to three streams in turn. The first and the last idle, and count the sweeps, for each means to end their wait;
 * the one in between is in a write, which ends just when it has stood for too long and the sweep comes to it.
 */
static struct {
    _Atomic int begun, over;  /* sweeps */
    _Atomic rn_time deadline; /* of writes */
    _Atomic bool was_ended;   /* the last write, by a sweep */
    _Atomic bool has_asked, ends;
    bool left_behind; /* a deadline that a write began with */
    int over_then;    /* when the last write ended */
    int delay;        /* from when the sweep has begun until the write ends */
    rn_chan(rn_unit) end;
} look;
enum { LOOK_DELAY = 500, LOOK_STEP = 7 };

static void look_pause(int n)
{
    for (volatile int i = n; i > 0; i--)
        ;
}
static int look_wait(rn_ctx *ctx, void *count)
{
    (void)ctx;
    if (!count)
        return 0;
    (void)rn_recv(look.end);
    return -ECANCELED;
}
static ssize_t look_read(void *count, void *buf, size_t size)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    (void)count;
    if (look.has_asked || size < sizeof request)
        return 0;
    memcpy(buf, request, sizeof request - 1);
    look.has_asked = true;
    return sizeof request - 1;
}
/* Who yields has the sweep come in between, not at the same time. */
static ssize_t look_writev(void *count, const struct iovec *iov, int iov_count)
{
    ssize_t size = 0;
    int from = look.begun;

    (void)count;
    look.left_behind |= look.deadline != 0;
    for (int i = 0; i < iov_count; i++)
        size += (ssize_t)iov[i].iov_len;
    while (look.begun < from + 2 && !look.ends) /* one finds it new, the next too old */
        ;
    look.over_then = look.over;
    look_pause(look.delay);
    return size;
}
static int look_read_deadline(void *count, rn_time t)
{
    if (count && t) {
        ++*(_Atomic int *)count;
        look_pause(LOOK_DELAY);
    }
    return 0;
}
static int look_write_deadline(void *count, rn_time t)
{
    (void)count;
    look.deadline = t;
    if (t)
        look.was_ended = true;
    return 0;
}
static int look_close_write(void *count)
{
    (void)count;
    return 0;
}
static void look_cancel(void *count)
{
    (void)count;
}
static void writes_often(rn_httpd_request *rq, rn_httpd_response *rs, int times)
{
    (void)rq;
    for (int i = 0; i < times; i++) {
        look.was_ended = false;
        rn_httpd_write(rs, "x", 1);
        CHECK_EQ(rn_httpd_flush(rs), 0);
        while (look.over == look.over_then)
            ;
        look.delay += look.was_ended ? -LOOK_STEP : LOOK_STEP; /* nearer to just then */
    }
    look.ends = true;
    rn_close(look.end);
}

static const rn_httpd_stream look_ops = {.read = look_read,
                                         .writev = look_writev,
                                         .wait_read = look_wait,
                                         .set_read_deadline = look_read_deadline,
                                         .set_write_deadline = look_write_deadline,
                                         .close_write = look_close_write,
                                         .cancel = look_cancel};

/* Who ends writes that have stood for too long looks once more whether they still do: the end would be the next one's. */
GO_TEST(httpd_no_write_begins_with_an_end)
{
    rn_httpd_options o = {.idle_timeout = RN_MILLISECOND, .write_timeout = RN_MILLISECOND};
    rn_httpd *h = rn_httpd_new(&o);
    rn_wg wg = {0};

    if (rn_procs() < 2)
        test_skip("on one processor nothing happens at the same time");
    look.end = rn_chan_make(rn_unit, 0);
    rn_httpd_handle(h, "/", writes_often, test_times(500));
    /* The newest comes first. */
    rn_wg_go(&wg, rn_httpd_serve_stream, (rn_ctx *)NULL, h, &look_ops, (void *)&look.over);
    AWAIT(look.over > 0);
    rn_wg_go(&wg, rn_httpd_serve_stream, (rn_ctx *)NULL, h, &look_ops, NULL);
    AWAIT(look.has_asked);
    rn_wg_go(&wg, rn_httpd_serve_stream, (rn_ctx *)NULL, h, &look_ops, (void *)&look.begun);
    rn_wg_wait(&wg);
    CHECK(!look.left_behind);
    rn_httpd_free(h);
    rn_chan_release(look.end);
}

/* A stream that idles lets each sweep wait when it comes to it. */
static struct {
    rn_chan(rn_unit) sweep, go_on;
    _Atomic bool over;
} hold;
static int hold_read_deadline(void *stream, rn_time t)
{
    (void)stream;
    if (t && !hold.over) {
        rn_send(hold.sweep, (rn_unit){0});
        (void)rn_recv(hold.go_on);
    }
    return 0;
}

/* Connections are closed that have idled for too long, but not with a request that came before it was their turn, though they
 * have not been told of it yet: on one processor nobody looks what has come while there is something to do. */
GO_TEST_PROCS(httpd_answers_what_came_before_the_sweep, 1)
{
    enum { N = 4 };
    rn_httpd_stream ops = look_ops;
    rn_httpd_options o = {.idle_timeout = RN_MILLISECOND};
    struct server s;
    rn_wg wg = {0};

    ops.set_read_deadline = hold_read_deadline;
    hold.sweep = rn_chan_make(rn_unit, 0);
    hold.go_on = rn_chan_make(rn_unit, 0);
    look.end = rn_chan_make(rn_unit, 0);
    server_start(&s, &o);
    rn_conn_close(dial(&s)); /* it serves, and so what begins now comes first in a sweep */
    rn_wg_go(&wg, rn_httpd_serve_stream, (rn_ctx *)NULL, s.h, (const rn_httpd_stream *)&ops,
             (void *)&look);
    for (int round = test_times(200); round > 0; round--) {
        rn_conn *c[N];

        (void)rn_recv(hold.sweep); /* which finds them new, */
        for (int i = 0; i < N; i++) {
            c[i] = dial(&s);
            CHECK(!last_answer(c[i], get_a, "\r\n\r\na"));
        }
        test_let_run();
        rn_send(hold.go_on, (rn_unit){0});
        (void)rn_recv(hold.sweep); /* and the next idle for too long */
        for (int i = 0; i < N; i++)
            CHECK_EQ(rn_write(c[i], get_a, sizeof get_a - 1), sizeof get_a - 1);
        rn_send(hold.go_on, (rn_unit){0});
        for (int i = 0; i < N; i++) {
            read_answer(c[i], "\r\n\r\na");
            rn_conn_close(c[i]);
        }
    }
    (void)rn_recv(hold.sweep);
    hold.over = true;
    rn_send(hold.go_on, (rn_unit){0});
    rn_close(look.end);
    rn_wg_wait(&wg);
    server_end(&s);
    rn_chan_release(look.end);
    rn_chan_release(hold.sweep);
    rn_chan_release(hold.go_on);
}

/* ---- Streams by number ------------------------------------------------------------------------------------ */

enum { STREAMS = 20 };
static void streams(rn_httpd *h, rn_ctx *ctx, size_t helpers)
{
    rn_conn *mine[STREAMS], *its[STREAMS];
    size_t before = rn_count();
    rn_wg wg = {0};

    for (int i = 0; i < STREAMS; i++)
        mine[i] = stream_new(h, ctx, &wg, &its[i]);
    for (int i = 0; i < STREAMS; i++)
        upside_ask(mine[i], "GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n\r\na");
    CHECK_EQ(rn_count(), before + STREAMS + helpers);
    for (int i = 0; i < STREAMS; i++)
        rn_conn_close(mine[i]);
    rn_wg_wait(&wg);
    AWAIT(rn_count() == before);
    for (int i = 0; i < STREAMS; i++)
        rn_conn_close(its[i]);
}

/* A stream costs its goroutine and no other: one sweeps over all that a server serves, while it serves any. */
GO_TEST(httpd_streams_share_a_sweeper)
{
    struct server s;
    rn_httpd *h = rn_httpd_new(NULL);
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    size_t before = rn_count();

    rn_httpd_handle(h, "GET /a", text, "a");
    streams(h, NULL, 1);
    streams(h, ctx, 1);
    rn_ctx_end(ctx);
    rn_httpd_free(h);

    server_start(&s, NULL);
    AWAIT(rn_count() == before + 2); /* who accepts, and the sweeper */
    streams(s.h, NULL, 0);
    server_end(&s);
}

/* And ends those that nothing comes from. */
GO_TEST(httpd_idle_streams_end)
{
    rn_httpd_options o = {.idle_timeout = 20 * RN_MILLISECOND};
    rn_conn *mine[STREAMS], *its[STREAMS];
    rn_httpd *h = rn_httpd_new(&o);
    rn_wg wg = {0};

    for (int i = 0; i < STREAMS; i++)
        mine[i] = stream_new(h, NULL, &wg, &its[i]);
    rn_wg_wait(&wg);
    for (int i = 0; i < STREAMS; i++) {
        rn_conn_close(mine[i]);
        rn_conn_close(its[i]);
    }
    rn_httpd_free(h);
}

/* rn_run ends while it serves: it goes on in the next one as if nothing had been. */
static rn_conn *left_mine, *left_its;
static int leave_it(rn_httpd *h)
{
    static rn_wg wg;

    left_mine = stream_new(h, NULL, &wg, &left_its);
    upside_ask(left_mine, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n\r\na");
    return 0;
}
static int serve_again(rn_httpd *h)
{
    rn_conn_close(left_mine);
    rn_conn_close(left_its);
    streams(h, NULL, 1);
    return 0;
}
PLAIN_TEST(httpd_serves_again_in_the_next_run)
{
    rn_httpd *h = rn_httpd_new(NULL);

    rn_httpd_handle(h, "GET /a", text, "a");
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(rn_run(leave_it, h), 0);
        CHECK_EQ(rn_run(serve_again, h), 0);
    }
    CHECK_EQ(rn_run(leave_it, h), 0);
    rn_conn_close(left_mine);
    rn_conn_close(left_its);
    rn_httpd_free(h);
}

static void leaves(rn_httpd_request *rq, rn_httpd_response *rs)
{
    (void)rq;
    (void)rs;
    rn_exit(0);
}

/* A handler that ends its goroutine leaves nothing of the stream behind. */
GO_TEST(httpd_stream_whose_handler_exits)
{
    rn_httpd *h = rn_httpd_new(NULL);
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    size_t before = rn_count();

    rn_httpd_handle(h, "GET /leaves", leaves);
    for (int i = 0; i < 2; i++) {
        const char *request = "GET /leaves HTTP/1.1\r\nHost: x\r\n\r\n";
        rn_conn *mine, *its;
        rn_wg wg = {0};

        mine = stream_new(h, i ? ctx : NULL, &wg, &its);
        CHECK(upside_writev(mine, &(struct iovec){(char *)(uintptr_t)request, strlen(request)}, 1) >
              0);
        rn_wg_wait(&wg);
        AWAIT(rn_count() == before);
        rn_conn_close(mine);
        rn_conn_close(its);
    }
    rn_ctx_end(ctx);
    rn_httpd_free(h);
}

/* ---- Files -------------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/runnel-httpd-XXXXXX";

static void tell(rn_httpd_request *rq, rn_httpd_response *rs, void *what)
{
    const char *name = "", *value = "";
    ssize_t written;
    rn_addr peer;
    int n = 0;

    while (rn_httpd_header_at(rq, n, &name, &value))
        n++;
    if (n > 0)
        CHECK_STR(rn_httpd_header(rq, "hOST"), "x");
    CHECK(!rn_httpd_header(rq, "X-Many"));
    CHECK_STR(rn_httpd_target(rq), "/tell?%20");
    CHECK_STR(rn_httpd_path(rq), "/tell");
    CHECK(rn_httpd_remote(rq, &peer) == 0 && rn_addr_port(&peer) == 0);
    CHECK(!rn_httpd_header_at(rq, -1, &name, &value));
    rn_httpd_set_status(rs, 418);
    CHECK_EQ(rn_httpd_add_header(rs, "X-Many", "one"), 0);
    CHECK_EQ(rn_httpd_add_header(rs, "X-Many", "two"), 0);
    CHECK_EQ(rn_httpd_add_header(rs, "X Many", "three"), -EINVAL);
    CHECK_EQ(rn_httpd_add_header(rs, "X-Many", "thr\nee"), -EINVAL);
    written = rn_httpd_printf(rs, "%s 1.%d, %d bytes, %d headers, %s: %s", (const char *)what,
                              rn_httpd_minor_version(rq), (int)rn_httpd_content_length(rq), n, name,
                              value);
    CHECK_EQ(rn_httpd_flush(rs), 0);
    rn_httpd_set_status(rs, 200); /* too late */
    CHECK_EQ(rn_httpd_add_header(rs, "X-Many", "four"), -EALREADY);
    CHECK_EQ(rn_httpd_status(rs), 418);
    CHECK_EQ(rn_httpd_written(rs), written);
}

static void move_on(rn_httpd_request *rq, rn_httpd_response *rs)
{
    (void)rq;
    CHECK_EQ(rn_httpd_redirect(rs, 308, "/file"), 0);
}

static void send_path(rn_httpd_request *rq, rn_httpd_response *rs, const char *path)
{
    (void)rn_httpd_send_file(rq, rs, path);
}

static void says_all(const char *at, const char *request, const char *const *parts)
{
    rn_conn *c;
    char *all;

    AWAIT(rn_dial("unix", at, &c) == 0); /* once the server is there */
    CHECK_EQ(rn_write(c, request, strlen(request)), (ssize_t)strlen(request));
    all = read_all(c);
    for (; *parts; parts++)
        if (!strstr(all, *parts))
            test_fail(__FILE__, __LINE__, "to %s\nit says %s\nwithout %s", request, all, *parts);
    free(all);
    rn_conn_close(c);
}

/* Handlers without macros, a listener of the server's own, and what the other tests do not ask of a request. */
GO_TEST(httpd_small_ones)
{
    char at[64], path[] = "/tmp/runnel-httpd-XXXXXX";
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_httpd *h = rn_httpd_new(NULL);
    rn_group g = {0};
    rn_listener *l;
    int fd = mkstemp(path);

    CHECK(fd >= 0 && write(fd, "a file", 6) == 6);
    snprintf(at, sizeof at, "@runnel-httpd-%d", (int)getpid());
    rn_httpd_handle_fn(h, "/tell", tell, "told");
    rn_httpd_handle(h, "GET /file", send_path, &path[0]);
    rn_httpd_handle(h, "GET /folder", send_path, "/tmp");
    rn_httpd_handle(h, "GET /moved", move_on);
    rn_httpd_handle(h, "GET /nowhere", send_path, "/no/such/file");
    CHECK_EQ(rn_httpd_listen_and_serve(ctx, h, "carrier pigeon", at), -EINVAL);
    rn_group_go(&g, rn_httpd_listen_and_serve, ctx, h, "unix", &at[0]);

    says_all(at, "POST /tell?%20 HTTP/1.1\r\nContent-Length: 3\r\n" CLOSE "abc",
             (const char *const[]){"HTTP/1.1 418 ", "\r\nX-Many: one\r\n", "\r\nX-Many: two\r\n",
                                   "told 1.1, 3 bytes, 3 headers, Connection: close", NULL});
    says_all(at, "GET /tell?%20 HTTP/1.0\r\n\r\n",
             (const char *const[]){" 418 ", "told 1.0, 0 bytes, 0 headers, : ", NULL});
    says_all(
        at, "POST /tell?%20 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" CLOSE "1\r\na\r\n0\r\n\r\n",
        (const char *const[]){" 418 ", "told 1.1, -1 bytes", NULL});
    says_all(at, "GET /file HTTP/1.1\r\n" CLOSE,
             (const char *const[]){" 200 ", "Content-Type: application/octet-stream\r\n",
                                   "\r\n\r\na file", NULL});
    says_all(at, "GET /folder HTTP/1.1\r\n" CLOSE, (const char *const[]){" 404 ", NULL});
    says_all(at, "GET /moved HTTP/1.1\r\n" CLOSE,
             (const char *const[]){" 308 ", "\r\nLocation: /file\r\n", NULL});
    says_all(at, "GET /nowhere HTTP/1.1\r\n" CLOSE, (const char *const[]){" 404 ", NULL});
    CHECK_STR(rn_httpd_type_of("/a.b/page.HTML"), "text/html; charset=utf-8");
    CHECK_STR(rn_httpd_type_of("/a.html/page"), "application/octet-stream");

    rn_ctx_cancel(ctx);
    CHECK_EQ(rn_group_wait(&g), 0);
    CHECK_EQ(rn_listen("unix", at, &l), 0); /* its listener is gone */
    rn_listener_close(l);
    rn_httpd_free(h);
    rn_ctx_end(ctx);
    close(fd);
    unlink(path);
}

static void file(rn_httpd_request *rq, rn_httpd_response *rs, int dir)
{
    int fd = rn_httpd_open_beneath(dir, rn_httpd_path(rq), false);

    if (fd < 0 || rn_httpd_send_fd(rq, rs, fd, rn_httpd_path(rq)) == -EISDIR)
        rn_httpd_error(rs, 404, NULL);
    if (fd >= 0)
        close(fd);
}

GO_TEST(httpd_files)
{
    enum { LARGE = 1000000 };
    struct server s;
    int dir, fd;
    char *all, in[300], etag[100];

    CHECK(mkdtemp(folder));
    dir = open(folder, O_RDONLY | O_DIRECTORY);
    fd = openat(dir, "ten.txt", O_CREAT | O_WRONLY, 0600);
    CHECK_EQ(write(fd, "0123456789", 10), 10);
    close(fd);
    fd = openat(dir, "large.bin", O_CREAT | O_WRONLY, 0600);
    CHECK_EQ(ftruncate(fd, LARGE), 0);
    CHECK_EQ(pwrite(fd, "end", 3, LARGE - 3), 3);
    close(fd);
    CHECK_EQ(symlinkat("/etc/passwd", dir, "out"), 0);
    CHECK_EQ(symlinkat("ten.txt", dir, "in"), 0);
    server_start(&s, NULL);
    rn_httpd_handle(s.h, "GET /files/", text, "");
    rn_httpd_handle(s.h, "/ten.txt", file, dir);
    rn_httpd_handle(s.h, "/large.bin", file, dir);
    rn_httpd_handle(s.h, "/out", file, dir);
    expect(&s, "GET /ten.txt HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK", "\r\n\r\n0123456789");
    expect(&s, "HEAD /ten.txt HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK",
           "Content-Length: 10\r\nConnection: close\r\n\r\n");
    expect(&s, "GET /ten.txt HTTP/1.1\r\nRange: bytes=2-4\r\n" CLOSE, "HTTP/1.1 206",
           "\r\n\r\n234");
    expect(&s, "GET /ten.txt HTTP/1.1\r\nRange: bytes=-3\r\n" CLOSE, "HTTP/1.1 206", "\r\n\r\n789");
    expect(&s, "GET /ten.txt HTTP/1.1\r\nRange: bytes=7-\r\n" CLOSE, "HTTP/1.1 206", "\r\n\r\n789");
    expect(&s, "GET /ten.txt HTTP/1.1\r\nRange: bytes=7-99\r\n" CLOSE, "HTTP/1.1 206",
           "\r\n\r\n789");
    expect(&s, "GET /ten.txt HTTP/1.1\r\nRange: bytes=10-\r\n" CLOSE, "HTTP/1.1 416", "\n");
    expect(&s, "GET /ten.txt HTTP/1.1\r\nRange: bytes=4-2\r\n" CLOSE, "HTTP/1.1 200", "0123456789");
    expect(&s, "GET /large.bin HTTP/1.1\r\nRange: bytes=999997-\r\n" CLOSE, "HTTP/1.1 206", "end");
    expect(&s, "GET /out HTTP/1.1\r\n" CLOSE, "HTTP/1.1 404", "\n");
    all = ask(&s, "GET /ten.txt HTTP/1.1\r\n" CLOSE, strlen("GET /ten.txt HTTP/1.1\r\n" CLOSE));
    CHECK_EQ(sscanf(strstr(all, "ETag: "), "ETag: %99s", etag), 1);
    CHECK(strstr(all, "Content-Type: text/plain; charset=utf-8\r\n"));
    free(all);
    snprintf(in, sizeof in, "GET /ten.txt HTTP/1.1\r\nIf-None-Match: \"x\", W/%s\r\n" CLOSE, etag);
    expect(&s, in, "HTTP/1.1 304", "\r\n\r\n");
    snprintf(in, sizeof in, "GET /ten.txt HTTP/1.1\r\nIf-Match: \"x\"\r\n" CLOSE);
    expect(&s, in, "HTTP/1.1 412", "\n");
    snprintf(in, sizeof in,
             "GET /ten.txt HTTP/1.1\r\nIf-Range: \"x\"\r\nRange: bytes=1-1\r\n" CLOSE);
    expect(&s, in, "HTTP/1.1 200", "0123456789");
    expect(&s,
           "GET /ten.txt HTTP/1.1\r\nIf-Modified-Since: Fri, 01 Jan 2094 00:00:00 GMT\r\n" CLOSE,
           "HTTP/1.1 304", "\r\n\r\n");
    expect(&s,
           "GET /ten.txt HTTP/1.1\r\nIf-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n" CLOSE,
           "HTTP/1.1 200", "0123456789");
    fd = rn_httpd_open_beneath(dir, "/in", true);
    CHECK(fd >= 0);
    close(fd);
    CHECK_EQ(rn_httpd_open_beneath(dir, "/in", false), -ELOOP);
    CHECK(rn_httpd_open_beneath(dir, "/out", true) < 0);
    CHECK(rn_httpd_open_beneath(dir, "../x", true) < 0);
    server_end(&s);
    unlinkat(dir, "ten.txt", 0);
    unlinkat(dir, "large.bin", 0);
    unlinkat(dir, "in", 0);
    unlinkat(dir, "out", 0);
    close(dir);
    rmdir(folder);
}

/* ---- What an idle connection costs ---------------------------------------------------------------------- */

static long rss(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    CHECK(f && fscanf(f, "%*d %ld", &pages) == 1);
    fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

/* Both ends are in this process: what a connection of the client's costs is taken away. */
GO_TEST(httpd_idle_connections_are_cheap)
{
    enum { N = 2000 };
    static rn_conn *c[N];
    struct rlimit r;
    struct server s;
    long before, fresh, used;

    if (test_is_slow())
        return;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &r), 0);
    r.rlim_cur = r.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &r), 0);
    if (r.rlim_cur < 2 * N + 100)
        test_skip("too few descriptors");
    server_start(&s, NULL);
    expect(&s, "GET /a HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 OK", "\r\n\r\na");
    before = rss();
    for (int i = 0; i < N; i++)
        c[i] = dial(&s);
    AWAIT(rn_count() >= N);
    rn_sleep(300 * RN_MILLISECOND);
    fresh = (rss() - before) / N;
    for (int i = 0; i < N; i++) {
        char in[1000];

        CHECK_EQ(rn_write(c[i], "GET /d HTTP/1.1\r\nHost: x\r\n\r\n", 28), 28);
        CHECK(rn_read(c[i], in, sizeof in) > 0);
    }
    rn_sleep(3 * RN_SECOND); /* until the sweeper has come by */
    used = (rss() - before) / N;
    printf("an idle connection: %ld bytes; after a request: %ld\n", fresh, used);
    fflush(stdout);
    CHECK(fresh <= 5120 + 400); /* with the client's end */
    CHECK(used <= 5120 + 400);
    for (int i = 0; i < N; i++)
        rn_conn_close(c[i]);
    server_end(&s);
}
