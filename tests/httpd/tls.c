/* SPDX-License-Identifier: MIT */
/*
 * tls.c - the HTTP server over TLS. The client is rn_tls too, byte by byte.
 */
#define _GNU_SOURCE
#include "ca.h"
#include "uninstrumented.h"

#include <errno.h>
#include <runnel/httpd.h>
#include <runnel/tls.h>
#include <stdlib.h>
#include <sys/socket.h>

/* ---- The server, and its clients --------------------------------------------------------------------------- */

struct server {
    struct identity ca, own;
    rn_tls_config *config, *clients;
    rn_httpd_transport counted; /* TLS, of which the following is seen */
    rn_httpd *h;
    rn_ctx *ctx;
    rn_listener *l;
    rn_wg wg;
    char at[RN_ADDR_TEXT];
    int room; /* of a connection's buffers in the kernel; 0: the usual */
};

/* What connections have read and begun to write so far; of those that a test looks at there is one at a time. */
static _Atomic size_t taken, writes;

/* A sweep that ends a read waits, and says so. */
static struct {
    rn_chan(rn_unit) sweep, go_on;
    _Atomic bool lets_wait;
} ending;

static ssize_t counted_read(void *stream, void *buf, size_t size)
{
    ssize_t n = rn_tls_httpd()->stream.read(stream, buf, size);

    if (n > 0)
        taken += (size_t)n;
    return n;
}
static ssize_t counted_writev(void *stream, const struct iovec *iov, int count)
{
    writes++;
    return rn_tls_httpd()->stream.writev(stream, iov, count);
}
static int counted_read_deadline(void *stream, rn_time t)
{
    if (t && ending.lets_wait) {
        rn_send(ending.sweep, (rn_unit){0});
        (void)rn_recv(ending.go_on);
    }
    return rn_tls_httpd()->stream.set_read_deadline(stream, t);
}

/* Little is under way, so that a writer waits for its reader. */
static void narrow(rn_conn *c, int option, int room)
{
    if (room)
        CHECK_EQ(setsockopt(rn_conn_fd(c), SOL_SOCKET, option, &room, sizeof room), 0);
}

static int counted_check(void *server)
{
    return rn_tls_httpd()->check(((struct server *)server)->config);
}
static int counted_open(rn_conn *c, void *server, void **ret_stream)
{
    const struct server *s = server;

    narrow(c, SO_SNDBUF, s->room);
    return rn_tls_httpd()->open(c, s->config, ret_stream);
}

static void serve(struct server *s)
{
    CHECK_EQ(rn_httpd_serve_over(s->ctx, s->h, s->l, &s->counted, s), 0);
}

static void server_begin(struct server *s, rn_httpd_options *o, int version)
{
    rn_tls_options options = {.max_version = (enum rn_tls_version)version};
    rn_tls_cert cert;
    rn_addr a;

    *s = (struct server){0};
    s->ca = identity_new((struct wanted){.cn = "Test CA", .is_ca = true});
    s->own =
        identity_new((struct wanted){.cn = "server", .names = "IP:127.0.0.1", .issuer = &s->ca});
    cert = (rn_tls_cert){.cert_pem = s->own.cert_pem, .key_pem = s->own.key_pem};
    options.certs = &cert;
    options.cert_count = 1;
    CHECK_EQ(rn_tls_config_new(&options, &s->config), 0);
    CHECK_EQ(rn_tls_config_new(&(rn_tls_options){.ca_pem = s->ca.cert_pem}, &s->clients), 0);
    s->counted = *rn_tls_httpd();
    s->counted.stream.read = counted_read;
    s->counted.stream.writev = counted_writev;
    s->counted.stream.set_read_deadline = counted_read_deadline;
    s->counted.check = counted_check;
    s->counted.open = counted_open;
    s->h = rn_httpd_new(o);
    s->ctx = rn_ctx_with_cancel(rn_ctx_background());
    CHECK_EQ(rn_listen("tcp4", "127.0.0.1:0", &s->l), 0);
    CHECK_EQ(rn_listener_addr(s->l, &a), 0);
    CHECK(rn_addr_text(&a, s->at, sizeof s->at) > 0);
}

/* Once its handlers are there. */
static void server_start(struct server *s)
{
    rn_wg_go(&s->wg, serve, s);
}

static void server_end(struct server *s)
{
    rn_ctx_cancel(s->ctx);
    rn_wg_wait(&s->wg);
    rn_ctx_end(s->ctx);
    rn_httpd_free(s->h);
    rn_tls_config_release(s->config);
    rn_tls_config_release(s->clients);
    identity_free(&s->ca);
    identity_free(&s->own);
}

static rn_tls *dial(struct server *s)
{
    rn_tls *t;

    CHECK_EQ(rn_tls_dial(NULL, "tcp", s->at, s->clients, &t), 0);
    narrow(rn_tls_conn(t), SO_RCVBUF, s->room);
    return t;
}

static void say(rn_tls *t, const char *text)
{
    CHECK_EQ(rn_tls_write(t, text, strlen(text)), strlen(text));
}

/* What comes, up to tail. The caller frees it. */
static char *hear(rn_tls *t, const char *tail)
{
    size_t n = 0, k = strlen(tail), room = 1 << 16;
    char *in = malloc(room);

    do {
        ssize_t got = rn_tls_read(t, in + n, room - n - 1);

        if (got <= 0)
            test_fail(__FILE__, __LINE__, "before %s: %s", tail,
                      got ? rn_errmsg((int)got) : "the end");
        n += (size_t)got;
        in[n] = 0;
        if (room - n < 4096)
            in = realloc(in, room *= 2);
    } while (n < k || strcmp(in + n - k, tail) != 0);
    return in;
}

static void expect(rn_tls *t, const char *request, const char *tail)
{
    say(t, request);
    free(hear(t, tail));
}

/* The end, and a goodbye before it. */
static void expect_end(rn_tls *t)
{
    char b;

    CHECK_EQ(rn_tls_read(t, &b, 1), 0);
}

/* Gone without a goodbye, by a reset. */
static void reset(rn_tls *t)
{
    struct linger now = {1, 0};

    CHECK_EQ(setsockopt(rn_conn_fd(rn_tls_conn(t)), SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    rn_tls_cancel(t);
    rn_tls_release(t);
}

#define EACH_VERSION(v) for (int v = RN_TLS_1_2; v <= RN_TLS_1_3; v++)
#define HOST "Host: x\r\n\r\n"

static void path(rn_httpd_request *rq, rn_httpd_response *rs)
{
    rn_httpd_printf(rs, "[%s]", rn_httpd_path(rq));
}

static void echo(rn_httpd_request *rq, rn_httpd_response *rs)
{
    char buf[5000];
    ssize_t n;

    while ((n = rn_httpd_read(rq, buf, sizeof buf)) > 0)
        rn_httpd_write(rs, buf, (size_t)n);
    CHECK_EQ(n, 0);
}

/* Without a certificate nobody is accepted. */
GO_TEST(httpd_tls_needs_a_certificate)
{
    rn_tls_config *none;
    rn_httpd *h = rn_httpd_new(NULL);
    char at[RN_ADDR_TEXT];
    rn_listener *l;
    rn_conn *c;
    rn_addr a;

    CHECK_EQ(rn_tls_config_new(NULL, &none), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(rn_listen("tcp4", "127.0.0.1:0", &l), 0);
        CHECK_EQ(rn_listener_addr(l, &a), 0);
        CHECK(rn_addr_text(&a, at, sizeof at) > 0);
        CHECK_EQ(rn_httpd_serve_over(NULL, h, l, rn_tls_httpd(), i ? none : NULL), -EINVAL);
        CHECK_STR(rn_errmsg(-EINVAL), "tls: a server needs a certificate");
        CHECK_EQ(rn_dial("tcp", at, &c), -ECONNREFUSED);
    }
    rn_tls_config_release(none);
    rn_httpd_free(h);
}

/* Who speaks no TLS, or stops in the midst of a handshake, or says nothing, is refused or closed in the time for idle ones, and
 * others are served meanwhile. */
GO_TEST(httpd_tls_survives_handshakes_that_fail)
{
    rn_httpd_options o = {.idle_timeout = RN_SECOND, .head_timeout = -1};

    EACH_VERSION(v)
    {
        static const char *const say_first[] = {"", "\x16\x03\x01", "GET / HTTP/1.1\r\n\r\n"};
        rn_conn *c[3];
        struct server s;
        char buf[64];
        ssize_t n;
        rn_tls *t;

        server_begin(&s, &o, v);
        rn_httpd_handle(s.h, "GET /a", path);
        server_start(&s);
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(rn_dial("tcp", s.at, &c[i]), 0);
            CHECK_EQ(rn_write(c[i], say_first[i], strlen(say_first[i])), strlen(say_first[i]));
        }
        t = dial(&s);
        expect(t, "GET /a HTTP/1.1\r\n" HOST, "[/a]");
        rn_tls_close(t);
        for (int i = 0; i < 3; i++) {
            while ((n = rn_read(c[i], buf, sizeof buf)) > 0) /* an alert at most */
                ;
            CHECK(n == 0 || n == -ECONNRESET);
            rn_conn_close(c[i]);
        }
        server_end(&s);
    }
}

static int refusing_open(rn_conn *c, void *server, void **ret_stream)
{
    (void)c, (void)server, (void)ret_stream;
    return -ENOMEM;
}

/* A connection of which no stream can be made is closed, and the server goes on. */
GO_TEST(httpd_tls_closes_what_it_cannot_open)
{
    struct server s;
    rn_conn *c;
    char b;

    server_begin(&s, NULL, RN_TLS_1_3);
    s.counted.open = refusing_open;
    server_start(&s);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(rn_dial("tcp", s.at, &c), 0);
        CHECK_EQ(rn_read(c, &b, 1), 0);
        rn_conn_close(c);
    }
    server_end(&s);
}

/* ---- The client's going ------------------------------------------------------------------------------------- */

static void waits_for_end(rn_httpd_request *rq, rn_httpd_response *rs, _Atomic int *state)
{
    rn_ctx *ctx = rn_httpd_ctx(rq);

    (void)rs;
    *state = 1;
    while (rn_sleep_ctx(ctx, RN_SECOND) == 0)
        ;
    *state = 2;
}

/* A request's context ends when its client says goodbye, closes, or is gone with a reset, whatever stands behind the request;
 * until then it does not, whether the client says nothing or more. */
GO_TEST(httpd_tls_context_ends_with_the_client)
{
    enum way { SAYS_GOODBYE, CLOSES, RESETS, WAYS };
    static const char request[] = "GET /wait HTTP/1.1\r\n" HOST;
    static const char *const behind[] = {"", "GET /a HT",
                                         "GET /a HTTP/1.1\r\n" HOST "GET /a HTTP/1.1\r\nHo"};
    static _Atomic int state;

    EACH_VERSION(v)
    {
        struct server s;

        server_begin(&s, NULL, v);
        rn_httpd_handle(s.h, "GET /wait", waits_for_end, &state);
        rn_httpd_handle(s.h, "GET /a", path);
        server_start(&s);
        for (int i = 0; i < WAYS * 3 * 2; i++) {
            const char *more = behind[i / WAYS % 3];
            bool later = i / (WAYS * 3);
            rn_tls *t = dial(&s);
            char all[200];

            state = 0;
            taken = 0;
            snprintf(all, sizeof all, "%s%s", request, later ? "" : more);
            say(t, all);
            AWAIT(state == 1);
            if (later)
                say(t, more);
            AWAIT(taken == strlen(request) + strlen(more));
            test_let_run();
            CHECK_EQ(state, 1);
            if (i % WAYS == SAYS_GOODBYE) {
                CHECK_EQ(rn_tls_close_write(t), 0);
                AWAIT(state == 2);
            }
            if (i % WAYS == RESETS)
                reset(t);
            else
                rn_tls_close(t);
            AWAIT(state == 2);
        }
        server_end(&s);
    }
}

static void held(rn_httpd_request *rq, rn_httpd_response *rs, rn_recv_only(rn_unit) go_on)
{
    rn_ctx *ctx = rn_httpd_ctx(rq);

    (void)rn_recv(go_on);
    CHECK_EQ(rn_ctx_err(ctx), 0);
    rn_httpd_printf(rs, "[held]");
}

/* What was read to see a client go is the next request's, wherever it was cut. */
GO_TEST(httpd_tls_keeps_what_it_read_ahead)
{
    static const char begin[] = "GET /held HTTP/1.1\r\n" HOST,
                      behind[] = "GET /a HTTP/1.1\r\n" HOST;

    EACH_VERSION(v)
    {
        rn_chan(rn_unit) go_on = rn_chan_make(rn_unit, 0);
        struct server s;
        rn_tls *t;

        server_begin(&s, NULL, v);
        rn_httpd_handle(s.h, "GET /held", held, go_on);
        rn_httpd_handle(s.h, "GET /a", path);
        server_start(&s);
        t = dial(&s);
        for (size_t cut = 0; cut < sizeof behind; cut++) {
            char part[sizeof behind] = "", *all;

            taken = 0;
            memcpy(part, behind, cut);
            say(t, begin);
            say(t, part);
            AWAIT(taken == sizeof begin - 1 + cut);
            rn_send(go_on, (rn_unit){0});
            say(t, behind + cut);
            all = hear(t, "[/a]");
            CHECK(strstr(all, "[held]"));
            free(all);
        }
        rn_tls_close(t);
        server_end(&s);
        rn_chan_release(go_on);
    }
}

/* ---- What goes over it --------------------------------------------------------------------------------------- */

static char pattern(size_t at)
{
    return (char)('a' + (at * 31 + at / 251) % 26);
}

enum { LARGE = 3000000, UPLOAD = 400000 };

static void large(rn_httpd_request *rq, rn_httpd_response *rs)
{
    char *all = malloc(LARGE);

    (void)rq;
    for (size_t i = 0; i < LARGE; i++)
        all[i] = pattern(i);
    CHECK_EQ(rn_httpd_reply(rs, 200, "text/plain", all, LARGE), 0);
    free(all);
}

static void upload(rn_tls *t)
{
    char chunk[10000], line[40];

    say(t, "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" HOST);
    for (size_t at = 0, n; at < UPLOAD; at += n) {
        n = 1 + at * 7 % sizeof chunk;
        n = n < UPLOAD - at ? n : UPLOAD - at;
        for (size_t i = 0; i < n; i++)
            chunk[i] = pattern(at + i);
        snprintf(line, sizeof line, "%zx\r\n", n);
        say(t, line);
        CHECK_EQ(rn_tls_write(t, chunk, n), n);
        say(t, "\r\n");
    }
    say(t, "0\r\n\r\n");
}

/* The pattern's first size bytes, from a body in chunks. */
static void check_chunks(const char *body, size_t size)
{
    size_t at = 0, n;
    char *end;

    while ((n = strtoul(body, &end, 16)) > 0) {
        CHECK(strncmp(end, "\r\n", 2) == 0);
        for (size_t i = 0; i < n; i++)
            CHECK_EQ(end[2 + i], pattern(at + i));
        at += n;
        body = end + 2 + n + 2;
    }
    CHECK_EQ(at, size);
}

/* One connection for all of it: requests one by one and many at once, a body in chunks that is answered while it comes, and an
 * answer that is larger than what is under way. */
GO_TEST(httpd_tls_one_connection_for_all)
{
    EACH_VERSION(v)
    {
        char many[2000] = "", want[20], *in, *at;
        struct server s;
        rn_wg wg = {0};
        rn_tls *t;
        size_t n = 0;

        server_begin(&s, NULL, v);
        rn_httpd_handle(s.h, "GET /a/", path);
        rn_httpd_handle(s.h, "POST /echo", echo);
        rn_httpd_handle(s.h, "GET /large", large);
        server_start(&s);
        t = dial(&s);
        for (int i = 0; i < 10; i++)
            expect(t, "GET /a/ HTTP/1.1\r\n" HOST, "[/a/]");

        for (int i = 0; i < 30; i++)
            n += (size_t)snprintf(many + n, sizeof many - n, "GET /a/%d HTTP/1.1\r\n" HOST, i);
        say(t, many);
        at = in = hear(t, "[/a/29]");
        for (int i = 0; i < 30; i++) {
            snprintf(want, sizeof want, "[/a/%d]", i);
            at = strstr(at, want);
            CHECK(at);
        }
        free(in);

        rn_wg_go(&wg, upload, t);
        in = hear(t, "\r\n0\r\n\r\n");
        rn_wg_wait(&wg);
        check_chunks(strstr(in, "\r\n\r\n") + 4, UPLOAD);
        free(in);

        say(t, "GET /large HTTP/1.1\r\n" HOST "GET /a/last HTTP/1.1\r\n" HOST);
        in = hear(t, "[/a/last]");
        at = strstr(in, "Content-Length: 3000000\r\n\r\n");
        CHECK(at);
        at = strchr(at, '\n') + 3;
        for (size_t i = 0; i < LARGE; i++)
            CHECK_EQ(at[i], pattern(i));
        CHECK(strncmp(at + LARGE, "HTTP/1.1 200 OK\r\n", 17) == 0);
        free(in);
        rn_tls_close(t);
        server_end(&s);
    }
}

/* ---- The end ---------------------------------------------------------------------------------------------------- */

static void slowly(rn_httpd_request *rq, rn_httpd_response *rs, rn_recv_only(rn_unit) go_on)
{
    (void)rq;
    rn_httpd_write(rs, "one ", 4);
    CHECK_EQ(rn_httpd_flush(rs), 0);
    (void)rn_recv(go_on);
    for (int i = 0; i < 1000; i++)
        rn_httpd_write(rs, "more ", 5);
    rn_httpd_write(rs, "[end]", 5);
}

/* At the end idle connections are closed with a goodbye. What is under way is answered, whether the answer has begun or not,
 * and then closed with one. */
GO_TEST(httpd_tls_ends_in_order)
{
    rn_httpd_options o = {.drain = -1, .grace = 60 * RN_SECOND};

    EACH_VERSION(v)
    {
        rn_chan(rn_unit) go_on = rn_chan_make(rn_unit, 0);
        rn_tls *idle, *begun, *not_begun;
        struct server s;
        char *in;

        server_begin(&s, &o, v);
        rn_httpd_handle(s.h, "GET /a", path);
        rn_httpd_handle(s.h, "GET /slowly", slowly, go_on);
        rn_httpd_handle(s.h, "GET /held", held, go_on);
        server_start(&s);
        idle = dial(&s);
        expect(idle, "GET /a HTTP/1.1\r\n" HOST, "[/a]");
        begun = dial(&s);
        expect(begun, "GET /slowly HTTP/1.1\r\n" HOST, "one \r\n");
        not_begun = dial(&s);
        taken = 0;
        say(not_begun, "GET /held HTTP/1.1\r\n" HOST);
        AWAIT(taken == strlen("GET /held HTTP/1.1\r\n" HOST));
        rn_ctx_cancel(s.ctx);
        expect_end(idle);
        rn_send(go_on, (rn_unit){0});
        rn_send(go_on, (rn_unit){0});
        free(hear(begun, "[end]\r\n0\r\n\r\n"));
        expect_end(begun);
        in = hear(not_begun, "[held]");
        CHECK(strstr(in, "Connection: close\r\n"));
        free(in);
        expect_end(not_begun);
        rn_tls_close(idle);
        rn_tls_close(begun);
        rn_tls_close(not_begun);
        server_end(&s);
        rn_chan_release(go_on);
    }
}

/* A connection is closed that has idled for too long, but not with a request that came before it was its turn, though it has not
 * been told of it yet: on one processor nobody looks what has come while there is something to do. */
GO_TEST_PROCS(httpd_tls_answers_what_came_before_the_sweep, 1)
{
    rn_httpd_options o = {.idle_timeout = RN_MILLISECOND};

    EACH_VERSION(v)
    {
        struct server s;
        rn_tls *t;

        ending.sweep = rn_chan_make(rn_unit, 0);
        ending.go_on = rn_chan_make(rn_unit, 0);
        server_begin(&s, &o, v);
        rn_httpd_handle(s.h, "GET /a", path);
        server_start(&s);
        ending.lets_wait = true;
        t = dial(&s);
        for (int round = test_times(100); round > 0; round--) {
            (void)rn_recv(ending.sweep);
            say(t, "GET /a HTTP/1.1\r\n" HOST);
            rn_send(ending.go_on, (rn_unit){0});
            free(hear(t, "[/a]"));
        }
        (void)rn_recv(ending.sweep);
        ending.lets_wait = false;
        rn_send(ending.go_on, (rn_unit){0});
        expect_end(t);
        rn_tls_close(t);
        server_end(&s);
        rn_chan_release(ending.sweep);
        rn_chan_release(ending.go_on);
    }
}

/* Who has sent a part of its handshake when it was to be closed for its time has that of a request, no more. */
GO_TEST_PROCS(httpd_tls_closes_who_stops_in_a_handshake, 1)
{
    rn_httpd_options o = {.idle_timeout = RN_MILLISECOND, .head_timeout = RN_MILLISECOND};

    EACH_VERSION(v)
    {
        struct server s;
        ssize_t n;
        rn_conn *c;
        char b;

        ending.sweep = rn_chan_make(rn_unit, 0);
        ending.go_on = rn_chan_make(rn_unit, 0);
        server_begin(&s, &o, v);
        server_start(&s);
        ending.lets_wait = true;
        CHECK_EQ(rn_dial("tcp", s.at, &c), 0);
        (void)rn_recv(ending.sweep);
        CHECK_EQ(rn_write(c, "\x16\x03\x01", 3), 3);
        ending.lets_wait = false;
        rn_send(ending.go_on, (rn_unit){0});
        n = rn_read(c, &b, 1);
        CHECK(n == 0 || n == -ECONNRESET);
        rn_conn_close(c);
        server_end(&s);
        rn_chan_release(ending.sweep);
        rn_chan_release(ending.go_on);
    }
}

/* After the grace contexts end and connections are cut. */
GO_TEST(httpd_tls_is_cut_after_the_grace)
{
    static _Atomic int state;
    rn_httpd_options o = {.drain = -1, .grace = RN_MILLISECOND};

    EACH_VERSION(v)
    {
        struct server s;
        rn_tls *t;
        char b;

        state = 0;
        server_begin(&s, &o, v);
        rn_httpd_handle(s.h, "GET /wait", waits_for_end, &state);
        server_start(&s);
        t = dial(&s);
        say(t, "GET /wait HTTP/1.1\r\n" HOST);
        AWAIT(state == 1);
        server_end(&s);
        CHECK_EQ(state, 2);
        CHECK(rn_tls_read(t, &b, 1) < 0); /* nothing, and no goodbye */
        rn_tls_close(t);
    }
}

/* ---- Slow readers ------------------------------------------------------------------------------------------------ */

/*
 * How long a write has stood is looked at in sweeps over all connections of a server. The witness is a stream whose write never
 * ends: from when that has stood for too long, each sweep means to end it. While it lets the sweep wait there is no other, and so
 * the time is the test's: a slow reader gets on between any two sweeps, however little, and however slow the machine is.
 */
static struct {
    rn_chan(rn_unit) over;
    rn_chan(rn_unit) sweep, go_on;
    _Atomic bool lets_wait;
    bool has_asked;
} witness;

static ssize_t witness_read(void *stream, void *buf, size_t size)
{
    static const char request[] = "GET /a HTTP/1.1\r\n" HOST;

    (void)stream;
    CHECK(size >= sizeof request);
    if (witness.has_asked)
        return 0;
    witness.has_asked = true;
    memcpy(buf, request, sizeof request - 1);
    return sizeof request - 1;
}
static ssize_t witness_writev(void *stream, const struct iovec *iov, int count)
{
    (void)stream, (void)iov, (void)count;
    (void)rn_recv(witness.over);
    return -ETIMEDOUT;
}
static int witness_wait_read(rn_ctx *ctx, void *stream)
{
    (void)ctx, (void)stream;
    return 0;
}
static int witness_read_deadline(void *stream, rn_time t)
{
    (void)stream, (void)t;
    return 0;
}
static int witness_write_deadline(void *stream, rn_time t)
{
    (void)stream;
    if (t && witness.lets_wait) {
        rn_send(witness.sweep, (rn_unit){0});
        (void)rn_recv(witness.go_on);
    }
    return 0;
}
static int witness_close_write(void *stream)
{
    (void)stream;
    return 0;
}
static void witness_cancel(void *stream)
{
    (void)stream;
}
static const rn_httpd_stream witness_ops = {.read = witness_read,
                                            .writev = witness_writev,
                                            .wait_read = witness_wait_read,
                                            .set_read_deadline = witness_read_deadline,
                                            .set_write_deadline = witness_write_deadline,
                                            .close_write = witness_close_write,
                                            .cancel = witness_cancel};

/* Until it has been enough, or fails. */
struct endless {
    _Atomic bool enough;
    _Atomic ssize_t result;
};
enum { MUCH = 8000000, SOME = 500000 };

static void endless(rn_httpd_request *rq, rn_httpd_response *rs, struct endless *e)
{
    char *much = calloc(1, MUCH);
    ssize_t n;

    (void)rq;
    do
        n = rn_httpd_write(rs, much, MUCH);
    while (n == MUCH && !e->enough);
    free(much);
    rn_httpd_printf(rs, "[end]");
    e->result = n;
}

/* Who reads nothing is cut off when a write has stood for too long. Who reads slowly is not: an answer may take many times as
 * long, if only a piece of 16 KiB goes out in that time. */
GO_TEST(httpd_tls_slow_readers)
{
    enum { SWEEPS = 24 }; /* eight in the time that a write may stand */
    rn_httpd_options o = {.write_timeout = 80 * RN_MILLISECOND};

    EACH_VERSION(v)
    {
        char *buf = malloc(SOME);
        struct endless e = {.result = 0};
        struct server s;
        rn_wg wg = {0};
        rn_tls *t;
        ssize_t n;

        server_begin(&s, &o, v);
        s.room = 32768;
        rn_httpd_handle(s.h, "GET /a", path);
        rn_httpd_handle(s.h, "GET /endless", endless, &e);
        server_start(&s);

        t = dial(&s);
        say(t, "GET /endless HTTP/1.1\r\n" HOST);
        AWAIT(e.result != 0);
        CHECK_EQ(e.result, -ETIMEDOUT);
        while ((n = rn_tls_read(t, buf, SOME)) > 0)
            ;
        CHECK(n == -EIO || n == -ECONNRESET); /* the end, but no goodbye */
        rn_tls_close(t);

        witness.has_asked = false;
        witness.lets_wait = true;
        witness.over = rn_chan_make(rn_unit, 0);
        witness.sweep = rn_chan_make(rn_unit, 0);
        witness.go_on = rn_chan_make(rn_unit, 0);
        rn_wg_go(&wg, rn_httpd_serve_stream, (rn_ctx *)NULL, s.h, &witness_ops, (void *)&witness);
        e.result = 0;
        t = dial(&s);
        writes = 0;
        say(t, "GET /endless HTTP/1.1\r\n" HOST);
        AWAIT(writes > 0);
        for (int i = 0; i < SWEEPS; i++) {
            size_t before, got = 0;

            (void)rn_recv(witness.sweep);
            before = writes;
            while (writes == before && got < SOME) { /* a little, which makes room for a piece */
                n = rn_tls_read(t, buf, 4096);
                if (n <= 0)
                    test_fail(__FILE__, __LINE__, "sweep %d: %s", i, rn_errmsg((int)n));
                got += (size_t)n;
            }
            rn_send(witness.go_on, (rn_unit){0});
        }
        (void)rn_recv(witness.sweep);
        e.enough = true;
        free(hear(t, "[end]\r\n0\r\n\r\n"));
        witness.lets_wait = false;
        rn_send(witness.go_on, (rn_unit){0});
        AWAIT(e.result == MUCH);
        rn_tls_close(t);
        rn_close(witness.over);
        rn_wg_wait(&wg);
        server_end(&s);
        rn_chan_release(witness.over);
        rn_chan_release(witness.sweep);
        rn_chan_release(witness.go_on);
        free(buf);
    }
}
