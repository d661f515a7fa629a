/* SPDX-License-Identifier: MIT */
/*
 * overload.c - an HTTP server for which there is no memory, at one place each: what the client gets, and that the server
 * goes on. driver.c refuses everything in turn, and takes whatever the client may get.
 *
 * The server is linked from its sources, so that what it asks for can be refused: the next allocations, or blocks of
 * records for goroutines only, which are known by their alignment. The client is of the same process, and asks for nothing
 * between the refusal and the answer: there is one processor, whose heap of timers is there by then.
 */
#define _GNU_SOURCE
#include "httpd/httpd.h"
#include "support.h"

#include <errno.h>
#include <runnel/httpd.h>
#include <runnel/net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECORDS_ALIGN = 4096 }; /* at least; nothing else that is asked for here is aligned so */

static _Atomic int skip, refused; /* so many allocations pass, then so many are refused */
static _Atomic bool no_records;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
int __real_posix_memalign(void **ret, size_t align, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
int __wrap_posix_memalign(void **ret, size_t align, size_t size);

static bool refuses(void)
{
    if (refused == 0)
        return false;
    if (skip > 0) {
        skip--;
        return false;
    }
    refused--;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return refuses() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return refuses() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return refuses() ? NULL : __real_realloc(p, size);
}

int __wrap_posix_memalign(void **ret, size_t align, size_t size)
{
    if (refuses() || (no_records && align >= RECORDS_ALIGN))
        return ENOMEM;
    return __real_posix_memalign(ret, align, size);
}

static void refuse(int pass, int times)
{
    skip = pass;
    refused = times;
}

/* ---- The server -------------------------------------------------------------------------------------------- */

static char text_of_1000[1001], text_of_3000[3001];
__attribute__((constructor)) static void make_texts(void)
{
    memset(text_of_1000, 'a', 1000);
    memset(text_of_3000, 'b', 3000);
}

static void small(rn_httpd_request *rq, rn_httpd_response *rs)
{
    const char *q = rn_httpd_query(rq, "q"), *none = rn_httpd_query(rq, "none");

    rn_httpd_printf(rs, "%s|%s|%s|%s", rn_httpd_param(rq, "name"), rn_httpd_param(rq, "and"),
                    q ? q : "-", none ? "wrong" : "-");
}

static _Atomic int read_result;
static void count(rn_httpd_request *rq, rn_httpd_response *rs)
{
    char buf[3000];
    ssize_t n;
    int sum = 0;

    while ((n = rn_httpd_read(rq, buf, sizeof buf)) > 0)
        sum += (int)n;
    read_result = (int)n;
    rn_httpd_printf(rs, "%d", sum);
}

static _Atomic int header_result, write_result;
static void headers(rn_httpd_request *rq, rn_httpd_response *rs, bool minds)
{
    (void)rq;
    header_result = rn_httpd_set_header(rs, "X-Long", text_of_3000);
    if (minds && header_result < 0)
        rn_httpd_error(rs, 507, NULL);
    else
        write_result = (int)rn_httpd_printf(rs, "body");
}

/* A head that does not fit into the buffer. */
static void many_headers(rn_httpd_request *rq, rn_httpd_response *rs)
{
    (void)rq;
    for (int i = 0; i < 9; i++)
        rn_httpd_add_header(rs, "X-Long", text_of_1000);
    refuse(0, 100);
    rn_httpd_printf(rs, "body");
}

static void far(rn_httpd_request *rq, rn_httpd_response *rs)
{
    (void)rq;
    rn_httpd_redirect(rs, 302, text_of_3000);
}

static void long_text(rn_httpd_request *rq, rn_httpd_response *rs, int before)
{
    (void)rq;
    rn_httpd_set_header(rs, "X-Long", text_of_1000); /* leaves no room for another */
    for (int i = 0; i < before; i++)
        rn_httpd_write(rs, text_of_3000, 3000);
    refuse(0, 100);
    rn_httpd_printf(rs, "%s", text_of_3000);
}

static void file(rn_httpd_request *rq, rn_httpd_response *rs)
{
    rn_httpd_set_header(rs, "X-Long", text_of_1000);
    rn_httpd_send_file(rq, rs, "/proc/self/exe");
}

static _Atomic int ctx_err, ctx_cause;
static void follows(rn_httpd_request *rq, rn_httpd_response *rs, bool replies)
{
    if (replies)
        rn_httpd_reply(rs, 200, NULL, "done", 4);
    ctx_err = rn_ctx_err(rn_httpd_ctx(rq));
    ctx_cause = rn_ctx_cause(rn_httpd_ctx(rq));
    if (!replies)
        write_result = (int)rn_httpd_printf(rs, "seen");
}

struct server {
    rn_httpd *h;
    rn_listener *l;
    rn_ctx *ctx;
    rn_wg wg;
    char at[RN_ADDR_TEXT];
    int result;
};

static void serving(struct server *s)
{
    s->result = rn_httpd_serve(s->ctx, s->h, s->l);
}

static void server_make(struct server *s)
{
    rn_addr a;

    memset(s, 0, sizeof *s);
    s->h = rn_httpd_new(&(rn_httpd_options){.drain = RN_MILLISECOND});
    rn_httpd_handle(s->h, "GET /small/{name}/{and}", small);
    rn_httpd_handle(s->h, "POST /count", count);
    rn_httpd_handle(s->h, "GET /headers", headers, false);
    rn_httpd_handle(s->h, "GET /minds", headers, true);
    rn_httpd_handle(s->h, "GET /many", many_headers);
    rn_httpd_handle(s->h, "GET /far", far);
    rn_httpd_handle(s->h, "GET /text", long_text, 0);
    rn_httpd_handle(s->h, "GET /more", long_text, 2);
    rn_httpd_handle(s->h, "GET /file", file);
    rn_httpd_handle(s->h, "/follows", follows, false);
    rn_httpd_handle(s->h, "/replies", follows, true);
    s->ctx = rn_ctx_with_cancel(rn_ctx_background());
    CHECK_EQ(rn_listen("tcp", "127.0.0.1:0", &s->l), 0);
    CHECK_EQ(rn_listener_addr(s->l, &a), 0);
    CHECK(rn_addr_text(&a, s->at, sizeof s->at) > 0);
}

static void server_start(struct server *s)
{
    server_make(s);
    rn_wg_go(&s->wg, serving, s);
}

static void server_end(struct server *s)
{
    rn_ctx_cancel(s->ctx);
    rn_wg_wait(&s->wg);
    CHECK_EQ(s->result, 0);
    rn_ctx_end(s->ctx);
    rn_httpd_free(s->h);
}

/* ---- The client -------------------------------------------------------------------------------------------- */

static rn_conn *dial(const struct server *s)
{
    rn_conn *c;

    CHECK_EQ(rn_dial("tcp", s->at, &c), 0);
    CHECK_EQ(rn_set_deadline(c, rn_now() + 20 * RN_SECOND), 0);
    return c;
}

/* The connection has been accepted, and its goroutine waits for a request: nothing is asked for any more. */
static rn_conn *dial_idle(const struct server *s, bool has_asked)
{
    static const char ask[] = "GET /none HTTP/1.1\r\nHost: a\r\n\r\n";
    char got[1000];
    rn_conn *c = dial(s);

    if (has_asked) {
        CHECK_EQ(rn_write(c, ask, sizeof ask - 1), (ssize_t)sizeof ask - 1);
        CHECK(rn_read(c, got, sizeof got) > 0);
    }
    rn_sleep(20 * RN_MILLISECOND);
    return c;
}

/* All until the connection ends. */
static size_t read_all(rn_conn *c, char *got, size_t room)
{
    size_t size = 0;
    ssize_t n;

    while ((n = rn_read(c, got + size, room - 1 - size)) > 0)
        size += (size_t)n;
    CHECK(n == 0 || n == -ECONNRESET);
    got[size] = 0;
    return size;
}

/* Send text, and read what there is until the end or, after "Connection: close" in the request, the response. */
static const char *asked(rn_conn *c, const char *text)
{
    static char got[40000];

    CHECK_EQ(rn_write(c, text, strlen(text)), (ssize_t)strlen(text));
    read_all(c, got, sizeof got);
    rn_conn_close(c);
    refuse(0, 0);
    return got;
}

static const char small_one[] =
    "GET /small/you/me?a=1&q=b+c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
static void check_goes_on(const struct server *s)
{
    CHECK(strstr(asked(dial(s), small_one), "\r\n\r\nyou|me|b c|-"));
}

#define CHECK_STATUS(answer, status)                                                               \
    CHECK(strncmp((answer), "HTTP/1.1 " status " ", sizeof("HTTP/1.1 " status)) == 0)
#define ASK(path) "GET " path " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

/* ---- Tests ------------------------------------------------------------------------------------------------- */

/* There is no memory for what a request needs before a handler sees it. */
GO_TEST_PROCS(overload_heads, 1)
{
    struct server s;
    char *head = malloc(30000);
    size_t n;

    server_start(&s);

    rn_conn *c = dial_idle(&s, false);
    refuse(0, 1); /* its block */
    CHECK_STATUS(asked(c, small_one), "503");
    check_goes_on(&s);

    c = dial_idle(&s, true);
    n = (size_t)sprintf(head, "GET /small/you HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 10; i++)
        n += (size_t)sprintf(head + n, "X-%d: %s\r\n", i, text_of_1000);
    sprintf(head + n, "\r\n");
    refuse(0, 1); /* a larger buffer for it */
    CHECK_STATUS(asked(c, head), "503");

    c = dial_idle(&s, true);
    n = (size_t)sprintf(head, "GET /small/you HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 40; i++)
        n += (size_t)sprintf(head + n, "X-%d: a\r\n", i);
    sprintf(head + n, "\r\n");
    refuse(0, 1); /* more places of fields */
    CHECK_STATUS(asked(c, head), "503");

    c = dial_idle(&s, true);
    sprintf(head, "GET /small/%s HTTP/1.1\r\nHost: a\r\n\r\n", text_of_1000);
    refuse(0, 1); /* the path, and what is handed out */
    CHECK_STATUS(asked(c, head), "503");

    check_goes_on(&s);
    free(head);
    server_end(&s);
}

/* What is handed out of a path and a query needs no memory, and is as long as they are. */
GO_TEST_PROCS(overload_strings, 1)
{
    struct server s;
    char *ask = malloc(8000), *answer = malloc(8000);
    rn_conn *c;

    server_start(&s);
    c = dial_idle(&s, true);
    refuse(0, 100);
    CHECK(strstr(asked(c, small_one), "\r\n\r\nyou|me|b c|-"));
    sprintf(ask,
            "GET /small/%s/%s?&x&%s=%%71&q=%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            text_of_1000, text_of_3000, text_of_1000, text_of_1000);
    sprintf(answer, "|%s|%s|-", text_of_3000, text_of_1000);
    c = dial_idle(&s, true);
    refuse(2, 100); /* but the room for all of them, and the text */
    CHECK(strstr(asked(c, ask), answer));
    free(ask);
    free(answer);
    server_end(&s);
}

/* A body, or what comes after it, for which there is no memory: reading it fails, and the answer is the server's. */
GO_TEST_PROCS(overload_bodies, 1)
{
    struct server s;
    char *ask = malloc(20000);
    rn_conn *c;

    server_start(&s);
    c = dial_idle(&s, true);
    sprintf(ask,
            "POST /count HTTP/1.1\r\nHost: a\r\nX-A: %s%s\r\nX-B: %.1000s\r\n"
            "Transfer-Encoding: chunked\r\n\r\nbb8\r\n%s",
            text_of_3000, text_of_3000, text_of_1000, text_of_3000);
    CHECK(strlen(ask) > 8192);
    ask[8100] = 0; /* the rest is not there yet: room for it is looked for */
    read_result = 0;
    refuse(0, 1);
    CHECK_STATUS(asked(c, ask), "503");
    CHECK_EQ(read_result, -ENOMEM);

    c = dial_idle(&s, true);
    refuse(0, 1); /* the trailer */
    CHECK_STATUS(asked(c, "POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n"),
                 "503");
    CHECK_EQ(read_result, -ENOMEM);
    check_goes_on(&s);
    free(ask);
    server_end(&s);
}

/* A response that lacks a part does not go out as if it were whole. */
GO_TEST_PROCS(overload_responses, 1)
{
    struct server s;
    const char *got;
    rn_conn *c;

    server_start(&s);
    c = dial_idle(&s, true);
    refuse(0, 1);
    CHECK_STATUS(asked(c, ASK("/headers")), "503");
    CHECK_EQ(header_result, -ENOMEM);
    CHECK_EQ(write_result, -ENOMEM);
    got = asked(dial_idle(&s, true), ASK("/headers"));
    CHECK_STATUS(got, "200");
    CHECK(strstr(got, text_of_3000) && strstr(got, "\r\n\r\nbody"));

    c = dial_idle(&s, true);
    refuse(0, 1);
    CHECK_STATUS(asked(c, ASK("/minds")), "507"); /* a whole one that is made then */

    c = dial_idle(&s, true);
    refuse(0, 1);
    CHECK_STATUS(asked(c, ASK("/far")), "503");
    CHECK_STATUS(asked(dial_idle(&s, true), ASK("/far")), "302");

    c = dial_idle(&s, true);
    refuse(0, 1);
    CHECK_STATUS(asked(c, ASK("/file")), "503");

    CHECK_STATUS(asked(dial_idle(&s, true), ASK("/text")), "503");
    got = asked(dial_idle(&s, true), ASK("/more"));
    CHECK_STATUS(got, "200");
    CHECK(strlen(got) > 6000 && !strstr(got, "\r\n0\r\n")); /* cut off */

    got = asked(dial_idle(&s, true), ASK("/many")); /* needs none */
    CHECK_STATUS(got, "200");
    CHECK(strlen(got) > 9000 && strstr(got, "\r\n\r\nbody"));
    check_goes_on(&s);
    server_end(&s);
}

/* ---- Goroutines -------------------------------------------------------------------------------------------- */

/* A record waits with each of these for a context that does not end. */
enum { HOOKS = 4096 };
static rn_ctx_hook hooks[HOOKS];
static int hooked;

static void nothing(int n)
{
    (void)n;
}

/* From now on no goroutine can be started. */
static void records_take(const struct server *s)
{
    struct rn__call spare, *call;

    no_records = true;
    for (;;) {
        CHECK(hooked < HOOKS);
        call = rn__ctx_after_err_begin(&hooks[hooked], s->ctx, &spare, RN__FN(nothing, 0));
        RN__CAPTURE(call, nothing, 0);
        if (call == &spare)
            break;
        hooked++;
    }
    CHECK(!rn_ctx_hook_stop(&hooks[hooked])); /* not registered */
    CHECK_EQ(rn_go_err(nothing, 0), -ENOMEM);
}

static void records_give(void)
{
    no_records = false;
    while (hooked > 0)
        CHECK(rn_ctx_hook_stop(&hooks[--hooked]));
}

/* A connection whose goroutine cannot be started is closed, and the next one is served. */
GO_TEST_PROCS(overload_connections, 1)
{
    struct server s;
    char got[100];
    rn_conn *c;

    server_start(&s);
    check_goes_on(&s);
    for (int i = 0; i < 3; i++) {
        records_take(&s);
        c = dial(&s);
        CHECK_EQ(read_all(c, got, sizeof got), 0);
        rn_conn_close(c);
        records_give();
        check_goes_on(&s);
    }
    server_end(&s);
}

/* A server for which there is not the little that it needs says so, and the listener is closed. */
GO_TEST_PROCS(overload_begin, 1)
{
    struct server s;
    rn_conn *c;

    for (int i = 0; i < 5; i++) { /* what is in common, the contexts */
        server_make(&s);
        refuse(i, 1);
        CHECK_EQ(rn_httpd_serve(s.ctx, s.h, s.l), -ENOMEM);
        refuse(0, 0);
        CHECK_EQ(rn_dial("tcp", s.at, &c), -ECONNREFUSED);
        rn_ctx_end(s.ctx);
        rn_httpd_free(s.h);
    }
    server_make(&s);
    records_take(&s); /* the sweeper */
    CHECK_EQ(rn_httpd_serve(s.ctx, s.h, s.l), -ENOMEM);
    records_give();
    CHECK_EQ(rn_listen("tcp", s.at, &s.l), 0); /* the server is as good as new */
    rn_wg_go(&s.wg, serving, &s);
    check_goes_on(&s);
    server_end(&s);
}

/* Nobody can see whether the client goes away: the context has ended, and the answer is the server's if there is none. */
GO_TEST_PROCS(overload_contexts, 1)
{
    struct server s;
    rn_conn *c;

    server_start(&s);
    for (int i = 0; i < 2; i++) {
        c = dial_idle(&s, true);
        if (i == 0)
            refuse(0, 1); /* the context */
        else
            records_take(&s); /* who reads ahead */
        write_result = ctx_err = ctx_cause = 0;
        CHECK_STATUS(asked(c, ASK("/follows")), "503");
        CHECK_EQ(ctx_err, -ECANCELED);
        CHECK_EQ(ctx_cause, -ENOMEM);
        CHECK_EQ(write_result, -ENOMEM);
        records_give();
    }
    c = dial_idle(&s, true);
    refuse(0, 1);
    CHECK(strstr(asked(c, ASK("/replies")), "\r\n\r\ndone")); /* was whole before */
    CHECK_EQ(ctx_cause, -ENOMEM);
    CHECK(strstr(asked(dial_idle(&s, true), ASK("/follows")), "\r\n\r\nseen"));
    server_end(&s);
}

/* A stream of one's own is given back at once. */
GO_TEST_PROCS(overload_streams, 1)
{
    const rn_httpd_stream stream = rn__httpd_tcp.stream; /* a copy is not the server's own */
    struct server s;
    int fds[2];
    rn_conn *c;

    server_start(&s);
    check_goes_on(&s); /* the sweeper is there */
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    CHECK_EQ(rn_conn_adopt(fds[0], &c), 0);
    CHECK_EQ(write(fds[1], small_one, sizeof small_one - 1), (ssize_t)sizeof small_one - 1);
    for (int i = 0; i < 3; i++) {
        refuse(i, 1);
        rn_httpd_serve_stream(s.ctx, s.h, &stream, c);
        CHECK_EQ(refused, 0);
    }
    records_take(&s); /* who ends it in order */
    rn_httpd_serve_stream(s.ctx, s.h, &stream, c);
    records_give();
    CHECK_EQ(recv(fds[1], (char[1]){0}, 1, MSG_DONTWAIT), -1); /* nobody has answered */
    rn_httpd_serve_stream(s.ctx, s.h, &stream, c);
    CHECK_EQ(recv(fds[1], (char[1]){0}, 1, MSG_DONTWAIT), 1);
    rn_conn_close(c);
    close(fds[1]);
    server_end(&s);
}

/* A request in the midst is answered although there is no memory for the limits of draining and of the grace. */
static _Atomic bool slow_began;
static void slow(rn_httpd_request *rq, rn_httpd_response *rs)
{
    (void)rq;
    slow_began = true;
    rn_sleep(100 * RN_MILLISECOND);
    rn_httpd_reply(rs, 200, NULL, "slow", 4);
}

GO_TEST_PROCS(overload_end, 1)
{
    struct server s;
    rn_conn *c, *idle;
    char got[1000];
    rn_time begin;

    server_make(&s);
    rn_httpd_handle(s.h, "GET /slow", slow);
    rn_wg_go(&s.wg, serving, &s);
    idle = dial_idle(&s, true);
    c = dial_idle(&s, true);
    CHECK(rn_write(c, ASK("/slow"), strlen(ASK("/slow"))) > 0);
    while (!slow_began)
        rn_yield();
    begin = rn_now();
    refuse(0, 1 << 30);
    rn_ctx_cancel(s.ctx);
    rn_wg_wait(&s.wg);
    refuse(0, 0);
    CHECK(rn_now() - begin < 10 * RN_SECOND); /* and not the grace, 30 s */
    read_all(c, got, sizeof got);
    CHECK(strstr(got, "\r\n\r\nslow"));
    rn_conn_close(c);
    CHECK_EQ(read_all(idle, got, sizeof got), 0);
    rn_conn_close(idle);
    CHECK_EQ(s.result, 0);
    rn_ctx_end(s.ctx);
    rn_httpd_free(s.h);
}
