/* SPDX-License-Identifier: MIT */
/*
 * http.c - the HTTP client against scripted peers: what it sends, what it makes of answers, faults, ends of all kinds.
 */
#define _GNU_SOURCE
#include "peer.h"

#include <linux/filter.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <runnel/net.h>
#include <signal.h>

/* ---- Requests and answers ------------------------------------------------------------------------------------- */

static void ok(struct talk *t)
{
    while (talk_head(t))
        talk_say(t, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
}

GO_TEST(http_get)
{
    struct peer p;
    rn_http_response *r;

    peer_start(&p, ok);
    CHECK_EQ(rn_http_get(NULL, p.url, &r), 0);
    CHECK_EQ(r->status, 200);
    CHECK_EQ(r->version, 11);
    CHECK_EQ(r->size, 5);
    CHECK_STR(r->body, "hello");
    CHECK_STR(r->url, p.url);
    CHECK_STR(rn_http_header(r, "content-length"), "5");
    CHECK(!rn_http_header(r, "content-lengt"));
    rn_http_response_free(r);
    rn_http_response_free(NULL);
    rn_http_client_close_idle(NULL);
    peer_end(&p);
}

static void old_one(struct talk *t)
{
    if (talk_head(t))
        talk_say(t, "HTTP/1.0 200 OK\r\n\r\nuntil the end");
}

GO_TEST(http_1_0)
{
    struct peer p;
    rn_http_response *r;

    peer_start(&p, old_one);
    r = answer(NULL, (rn_http_request){.url = p.url});
    CHECK_EQ(r->version, 10);
    CHECK_STR(r->body, "until the end");
    rn_http_response_free(r);
    rn_http_client_close_idle(NULL);
    peer_end(&p);
}

static void several_heads(struct talk *t)
{
    if (talk_head(t))
        talk_say(t,
                 "HTTP/1.1 103 Early Hints\r\nLink: early\r\n\r\n"
                 "HTTP/1.1 404 Not here\r\nTransfer-Encoding: chunked\r\nX-A:  one \r\nx-a: two\r\n"
                 "X-Folded: a\r\n  b\r\nX-Empty:\r\n\r\n3\r\nabc\r\n0\r\nX-Trailer: end\r\n\r\n");
}

GO_TEST(http_headers_of_the_last_head_and_trailers)
{
    struct peer p;
    rn_http_response *r;
    const char *name, *value;
    int n = 0;

    peer_start(&p, several_heads);
    r = answer(NULL, (rn_http_request){.url = p.url});
    CHECK_EQ(r->status, 404);
    CHECK_STR(r->body, "abc");
    CHECK(!rn_http_header(r, "Link"));
    CHECK_STR(rn_http_header(r, "X-A"), "one");
    CHECK_STR(rn_http_header(r, "x-folded"), "a b");
    CHECK_STR(rn_http_header(r, "X-Empty"), "");
    CHECK_STR(rn_http_header(r, "X-Trailer"), "end");
    while (rn_http_header_at(r, n, &name, &value))
        n++;
    CHECK_EQ(n, 6);
    CHECK(!rn_http_header_at(r, -1, &name, &value));
    rn_http_response_free(r);
    rn_http_client_close_idle(NULL);
    peer_end(&p);
}

/* What was asked comes back as the answer's body. */
static void mirror(struct talk *t)
{
    char *head, *body, *length, reply[128];

    while ((head = talk_head(t))) {
        size_t n = 0, begin = t->at;

        if (strstr(head, "chunked")) {
            while (!strstr(t->text + begin, "0\r\n\r\n"))
                if (!talk_more(t))
                    return;
            t->at = t->size;
        } else if ((length = strcasestr(head, "content-length: "))) {
            n = strtoul(length + 16, NULL, 10);
            body = talk_body(t, n);
            if (!body)
                return;
        }
        head[strlen(head)] = '\r'; /* head and body in a row again */
        snprintf(reply, sizeof reply, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
                 memcmp(head, "HEAD", 4) ? t->at : (size_t)7);
        talk_say(t, reply);
        if (memcmp(head, "HEAD", 4) != 0)
            talk_write(t, head, t->at);
    }
}

static void has(const rn_http_response *r, const char *part)
{
    if (!strstr(r->body, part))
        test_fail(__FILE__, __LINE__, "no \"%s\" in:\n%s", part, r->body);
}

GO_TEST(http_methods_and_headers)
{
    static const char *const headers[] = {"X-One: 1", "Accept: text/plain", "Cookie: a=b", NULL};
    struct peer p;
    rn_http_response *r;
    rn_http_client *c = client_of((rn_http_options){.user_agent = "tester"});

    peer_start(&p, mirror);
    r = answer(c, (rn_http_request){.url = p.url, .headers = headers});
    CHECK_EQ(memcmp(r->body, "GET / HTTP/1.1\r\n", 16), 0);
    has(r, "\r\nX-One: 1\r\n");
    has(r, "\r\nAccept: text/plain\r\n");
    has(r, "\r\nUser-Agent: tester\r\n");
    has(r, "\r\nAccept-Encoding: ");
    rn_http_response_free(r);

    r = answer(c, (rn_http_request){.url = p.url, .body = "a=b\0c", .body_size = 5, .raw = true});
    CHECK_EQ(memcmp(r->body, "POST / HTTP/1.1\r\n", 17), 0);
    has(r, "\r\nContent-Length: 5\r\n");
    CHECK(!strstr(r->body, "Expect"));
    CHECK(!strstr(r->body, "Accept-Encoding"));
    CHECK_EQ(memcmp(r->body + r->size - 5, "a=b\0c", 5), 0);
    rn_http_response_free(r);

    r = answer(c, (rn_http_request){.url = p.url, .method = "PUT"});
    CHECK_EQ(memcmp(r->body, "PUT / HTTP/1.1\r\n", 16), 0);
    has(r, "\r\nContent-Length: 0\r\n");
    rn_http_response_free(r);

    r = answer(c, (rn_http_request){.url = p.url, .method = "DELETE"});
    CHECK_EQ(memcmp(r->body, "DELETE / HTTP/1.1\r\n", 19), 0);
    CHECK(!strstr(r->body, "Content-Length"));
    rn_http_response_free(r);

    r = answer(c, (rn_http_request){.url = p.url, .method = "HEAD"});
    CHECK_STR(rn_http_header(r, "Content-Length"), "7");
    CHECK_EQ(r->size, 0);
    rn_http_response_free(r);
    CHECK(rn_http_client_retain(c) == c);
    rn_http_client_release(c); /* another's: ours is as it was */
    rn_http_response_free(answer(c, (rn_http_request){.url = p.url}));
    CHECK_EQ(p.connections, 1);
    rn_http_client_release(c);
    peer_end(&p);
}

GO_TEST(http_refuses_what_is_no_request)
{
    static const char *const bad_headers[][2] = {{"X-A: b\r\nX-Injected: c", NULL},
                                                 {"X-A: b\nX-Injected: c", NULL},
                                                 {"no colon", NULL},
                                                 {"X A: b", NULL},
                                                 {": b", NULL}};
    static const char *const bad_urls[] = {"",     "no scheme",      "http://", "http://a b/",
                                           "//x/", "http://h:99999/"};
    static const char *const foreign[] = {"ftp://h/", "file:///etc/passwd", "gopher://h/"};
    rn_http_request rq = {.url = "http://127.0.0.1:1/"};
    rn_http_response *r;
    rn_http_client *strict = client_of((rn_http_options){.https_only = true});

    for (size_t i = 0; i < sizeof bad_headers / sizeof *bad_headers; i++) {
        rq.headers = bad_headers[i];
        CHECK_EQ(rn_http_do(NULL, NULL, &rq, &r), -EINVAL);
    }
    rq.headers = NULL;
    rq.method = "GET /x HTTP/1.1\r\n";
    CHECK_EQ(rn_http_do(NULL, NULL, &rq, &r), -EINVAL);
    for (size_t i = 0; i < sizeof bad_urls / sizeof *bad_urls; i++)
        CHECK_EQ(rn_http_get(NULL, bad_urls[i], &r), -EINVAL);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        CHECK_EQ(rn_http_get(NULL, foreign[i], &r), -EPROTONOSUPPORT);
    CHECK_EQ(rn_http_get(NULL, NULL, &r), -EINVAL);
    CHECK_EQ(rn_http_do(NULL, strict, &(rn_http_request){.url = "http://127.0.0.1:1/"}, &r),
             -EPROTONOSUPPORT);
    rn_http_client_release(strict);
    CHECK_EQ(rn_http_client_new(&(rn_http_options){.ca_file = "/nowhere"}, &strict), -ENOENT);
    CHECK_EQ(rn_http_client_new(&(rn_http_options){.ca_file = "/elsewhere"}, &strict), -ENOENT);
    CHECK(strstr(rn_errmsg(-ENOENT), "/elsewhere") && !strstr(rn_errmsg(-ENOENT), "/nowhere"));
    CHECK_EQ(rn_http_client_new(&(rn_http_options){.ca_pem = "nothing"}, &strict), -EINVAL);
}

/* What a message says is for logs. */
GO_TEST(http_messages_name_the_host_and_no_secret)
{
    rn_http_response *r;
    char url[128];
    int port, fd = peer_listen(1, &port), err;

    close(fd);
    snprintf(url, sizeof url, "http://user:secret@127.0.0.1:%d/path?token=secret", port);
    err = rn_http_get(NULL, url, &r);
    CHECK_EQ(err, -ECONNREFUSED);
    says(err, "127.0.0.1:");
    CHECK(!strstr(rn_errmsg(err), "secret"));
    CHECK(!strstr(rn_errmsg(err), "user"));
    err = rn_http_get(NULL, "http://user:secret@h:port/", &r);
    CHECK_EQ(err, -EINVAL);
    CHECK(!strstr(rn_errmsg(err), "secret"));
}

GO_TEST(http_url_of_a_response_has_no_password)
{
    static const char *const auth = "Authorization: Basic dXNlcjpzZWNyZXQ=";
    struct peer p;
    rn_http_response *r;
    char url[128];

    peer_start(&p, mirror);
    snprintf(url, sizeof url, "http://user:secret@127.0.0.1:%d/a%%20b?c", p.port);
    r = answer(NULL, (rn_http_request){.url = url});
    has(r, auth);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/a%%20b?c", p.port);
    CHECK_STR(r->url, url);
    rn_http_response_free(r);
    rn_http_client_close_idle(NULL);
    peer_end(&p);
}

/* ---- Bodies --------------------------------------------------------------------------------------------------- */

struct source {
    int left, rewinds, parked;
    uint64_t self;
};

static ssize_t source_read(void *arg, void *buf, size_t size)
{
    struct source *s = arg;

    CHECK_EQ(rn_self_id(), s->self);
    if (s->left == 0)
        return 0;
    CHECK(size >= 10);
    rn_sleep(RN_MICROSECOND);
    s->parked++;
    memcpy(buf, "0123456789", 10);
    s->left--;
    return 10;
}
static int source_rewind(void *arg)
{
    struct source *s = arg;

    s->rewinds++;
    s->left = 3;
    rn_sleep(RN_MICROSECOND);
    return 0;
}

GO_TEST(http_sends_a_body_from_a_callback)
{
    struct source s = {.left = 3, .self = rn_self_id()};
    struct peer p;
    rn_http_response *r;

    peer_start(&p, mirror);
    r = answer(NULL,
               (rn_http_request){.url = p.url, .read = source_read, .read_size = 30, .arg = &s});
    CHECK_EQ(memcmp(r->body, "POST", 4), 0);
    has(r, "\r\nContent-Length: 30\r\n");
    has(r, "\r\n\r\n012345678901234567890123456789");
    CHECK_EQ(s.parked, 3);
    rn_http_response_free(r);
    s.left = 2;
    r = answer(NULL,
               (rn_http_request){.url = p.url, .method = "PUT", .read = source_read, .arg = &s});
    CHECK_EQ(memcmp(r->body, "PUT", 3), 0);
    has(r, "\r\nTransfer-Encoding: chunked\r\n");
    has(r, "\r\n\r\na\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n");
    rn_http_response_free(r);
    s.left = 0;
    r = answer(NULL, (rn_http_request){.url = p.url, .read = source_read, .arg = &s});
    has(r, "\r\n\r\n0\r\n\r\n");
    rn_http_response_free(r);
    CHECK_EQ(p.connections, 1);
    rn_http_client_close_idle(NULL);
    peer_end(&p);
}

static ssize_t refuses_read(void *arg, void *buf, size_t size)
{
    (void)arg;
    (void)buf;
    (void)size;
    return rn_errorf(-EDOM, "no more");
}
static int refuses_write(void *arg, const rn_http_response *r, const void *data, size_t size)
{
    (void)arg;
    (void)data;
    CHECK_EQ(r->status, 200);
    CHECK(rn_http_header(r, "Content-Length"));
    CHECK(size > 0);
    return rn_errorf(-ERANGE, "not wanted");
}

GO_TEST(http_ends_with_a_callbacks_error)
{
    struct peer p;
    rn_http_response *r;
    rn_http_request rq;
    int sockets;

    peer_start(&p, mirror);
    sockets = open_sockets();
    rq = (rn_http_request){.url = p.url, .read = refuses_read};
    CHECK_EQ(rn_http_do(NULL, NULL, &rq, &r), -EDOM);
    says(-EDOM, "no more");
    rq = (rn_http_request){.url = p.url, .write = refuses_write};
    CHECK_EQ(rn_http_do(NULL, NULL, &rq, &r), -ERANGE);
    says(-ERANGE, "not wanted");
    rn_http_client_close_idle(NULL);
    AWAIT(open_sockets() == sockets);
    peer_end(&p);
}

enum { FLOOD = 64 << 20 };

/* Bytes without end; the stage is set when the client does not take them. */
static void flood(struct talk *t)
{
    static char block[65536];
    size_t left = FLOOD;
    int size = 65536;

    setsockopt(t->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    if (!talk_head(t) || !talk_say(t, "HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n"))
        return;
    while (left > 0) {
        ssize_t n = send(t->fd, block, left < sizeof block ? left : sizeof block, MSG_NOSIGNAL);

        if (n > 0) {
            left -= (size_t)n;
            t->peer->stage = 1;
        } else if (errno == EAGAIN) {
            t->peer->stage = 2;
            if (rn_wait_fd(t->fd, RN_WRITE, t->peer->ctx) < 0)
                return;
        } else {
            return;
        }
    }
    t->peer->stage = 3;
}

struct sink {
    struct peer *p;
    uint64_t self;
    size_t got;
    int calls;
};

/* It takes nothing until the peer can send no more. */
static int slow_write(void *arg, const rn_http_response *r, const void *data, size_t size)
{
    struct sink *s = arg;

    (void)r;
    (void)data;
    CHECK_EQ(rn_self_id(), s->self);
    if (s->calls++ == 0) {
        rn_time until = rn_now() + 50 * RN_MILLISECOND;

        AWAIT(s->p->stage == 2);
        while (rn_now() < until)
            test_let_run();
        CHECK_EQ(s->p->stage, 2);
    }
    CHECK(size <= 128 << 10);
    s->got += size;
    return 0;
}

GO_TEST(http_a_slow_callback_holds_the_peer_back)
{
    struct peer p;
    struct sink s = {.p = &p, .self = rn_self_id()};
    rn_http_response *r;

    peer_start(&p, flood);
    r = answer(NULL, (rn_http_request){.url = p.url, .write = slow_write, .arg = &s});
    CHECK_EQ(s.got, FLOOD);
    CHECK_EQ(r->size, 0);
    CHECK_STR(r->body, "");
    rn_http_response_free(r);
    rn_http_client_close_idle(NULL);
    peer_end(&p);
    CHECK_EQ(p.stage, 3);
}

GO_TEST(http_limits_the_body)
{
    struct peer p, q;
    rn_http_response *r;
    rn_http_request rq;
    struct sink s = {.self = rn_self_id(), .calls = 1};
    int err;

    peer_start(&p, flood);
    peer_start(&q, several_heads);
    rq = (rn_http_request){.url = p.url, .max_body = 1 << 20};
    err = rn_http_do(NULL, NULL, &rq, &r);
    CHECK_EQ(err, -EFBIG);
    says(err, "max_body");
    CHECK(p.stage < 3);
    rq = (rn_http_request){.url = p.url, .max_body = 1 << 20, .write = slow_write, .arg = &s};
    CHECK_EQ(rn_http_do(NULL, NULL, &rq, &r), -EFBIG);
    /* Of one that does not say how long it is. */
    rq = (rn_http_request){.url = q.url, .max_body = 2};
    CHECK_EQ(rn_http_do(NULL, NULL, &rq, &r), -EFBIG);
    rq.max_body = 3;
    r = answer(NULL, rq);
    CHECK_STR(r->body, "abc");
    rn_http_response_free(r);
    rn_http_client_close_idle(NULL);
    peer_end(&p);
    peer_end(&q);
}

/* ---- Faults of the peer --------------------------------------------------------------------------------------- */

struct fault {
    const char *what, *says;
    bool cut; /* by a reset, else by an end */
    int err;
};

static void faulty(struct talk *t)
{
    const struct fault *f = t->peer->arg;

    if (!talk_head(t))
        return;
    talk_say(t, f->says);
    if (f->cut) {
        /* What was sent is to arrive before the reset, which discards what lies there. */
        AWAIT(t->peer->stage == 0 || !f->says[0]);
        talk_cut(t);
    }
}

#define HEAD_CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
static const struct fault faults[] = {
    {"nothing", "", false, -EIO},
    {"reset at once", "", true, -ECONNRESET},
    {"reset in the status line", "HTTP/1.", true, -ECONNRESET},
    {"reset in a header", "HTTP/1.1 200 OK\r\nX-A: b", true, -ECONNRESET},
    {"reset in the body", HEAD_3 "ab", true, -ECONNRESET},
    {"end in a header", "HTTP/1.1 200 OK\r\nX-A: b", false, -EIO},
    {"end in the body", HEAD_3 "ab", false, -EIO},
    {"end in a chunk", HEAD_CHUNKED "3\r\nab", false, -EIO},
    {"end between chunks", HEAD_CHUNKED "3\r\nabc\r\n", false, -EIO},
    {"no chunk", HEAD_CHUNKED "zz\r\nabc\r\n", false, -EBADMSG},
    {"HTTP/0.9", "hello", false, -EBADMSG},
    {"no HTTP", "\r\n\r\n220 mail ready\r\n", false, -EBADMSG},
    {"no length", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", false, -EBADMSG},
    {"a length with a tail", "HTTP/1.1 200 OK\r\nContent-Length: 3x\r\n\r\nabc", false, -EBADMSG},
    {"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde", false,
     -EBADMSG},
    {"two lengths in one", "HTTP/1.1 200 OK\r\nContent-Length: 3, 5\r\n\r\nabcde", false, -EBADMSG},
    {"no gzip", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", false,
     -EBADMSG},
};

GO_TEST(http_faults_of_the_peer_are_errors)
{
    struct peer p;
    rn_http_response *r;
    int sockets;

    peer_start(&p, faulty);
    sockets = open_sockets();
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        const struct fault *f = &faults[i];
        int err;

        p.arg = (void *)(uintptr_t)f;
        err = rn_http_get(NULL, p.url, &r);
        if (err != f->err)
            test_fail(__FILE__, __LINE__, "%s: %d, not %d: %s", f->what, err, f->err,
                      rn_errmsg(err));
        says(err, "http 127.0.0.1:");
        AWAIT(open_sockets() == sockets);
    }
    peer_end(&p);
}

static void ok_twice_over(struct talk *t)
{
    while (talk_head(t))
        talk_say(t, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\ncontent-length: 3 \r\n\r\nabc");
}

GO_TEST(http_a_length_that_is_said_twice)
{
    struct peer p;
    rn_http_response *r;

    peer_start(&p, ok_twice_over);
    for (int i = 0; i < 2; i++) {
        r = answer(NULL, (rn_http_request){.url = p.url});
        CHECK_STR(r->body, "abc");
        rn_http_response_free(r);
    }
    CHECK_EQ(p.connections, 1);
    rn_http_client_close_idle(NULL);
    peer_end(&p);
}

static const struct {
    int level, name;
} probes[] = {{SOL_SOCKET, SO_KEEPALIVE},
              {IPPROTO_TCP, TCP_KEEPIDLE},
              {IPPROTO_TCP, TCP_KEEPINTVL},
              {IPPROTO_TCP, TCP_KEEPCNT},
              {IPPROTO_TCP, TCP_NODELAY}};

static int option_of(int fd, int i)
{
    int value = -1;
    socklen_t n = sizeof value;

    CHECK_EQ(getsockopt(fd, probes[i].level, probes[i].name, &value, &n), 0);
    return value;
}

/* Half an answer, and from then on nothing reaches the peer: it acknowledges nothing and answers no probe. */
static void vanishing(struct talk *t)
{
    struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog program = {1, &nothing};
    rn_conn *c = t->peer->arg;
    int fd;

    if (!talk_head(t))
        return;
    fd = other_end(t);
    CHECK(fd >= 0);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(option_of(fd, i), option_of(rn_conn_fd(c), i));
    for (int i = 1, faster = 1; i < 4; i++)
        CHECK_EQ(setsockopt(fd, probes[i].level, probes[i].name, &faster, sizeof faster), 0);
    talk_say(t, HEAD_3 "ab");
    if (setsockopt(t->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0)
        test_skip("the kernel takes no filter for a socket");
    talk_hold(t);
}

/* A peer that is gone without a word is found out by the probes that connections of net.h have too. */
GO_TEST(http_a_peer_that_vanishes_is_found_out)
{
    struct peer p;
    rn_http_response *r;
    rn_listener *l;
    rn_conn *c;
    rn_addr a;
    char at[RN_ADDR_TEXT];
    int err;

    CHECK_EQ(rn_listen("tcp4", "127.0.0.1:0", &l), 0);
    CHECK_EQ(rn_listener_addr(l, &a), 0);
    CHECK(rn_addr_text(&a, at, sizeof at) > 0);
    CHECK_EQ(rn_dial("tcp", at, &c), 0);
    peer_start(&p, vanishing);
    p.arg = c;
    err = rn_http_get(NULL, p.url, &r);
    CHECK_EQ(err, -ETIMEDOUT);
    says(err, "http 127.0.0.1:");
    peer_end(&p);
    rn_conn_close(c);
    rn_listener_close(l);
}

static void long_header(struct talk *t)
{
    if (!talk_head(t) || !talk_say(t, "HTTP/1.1 200 OK\r\nX-A: "))
        return;
    while (talk_say(t, "0123456789"))
        t->peer->stage++;
}
static void many_headers(struct talk *t)
{
    if (!talk_head(t) || !talk_say(t, "HTTP/1.1 200 OK\r\n"))
        return;
    while (talk_say(t, "X-A: 0123456789\r\n"))
        t->peer->stage++;
}
static void many_heads(struct talk *t)
{
    if (!talk_head(t))
        return;
    while (talk_say(t, "HTTP/1.1 100 Continue\r\n\r\n"))
        t->peer->stage++;
}

GO_TEST(http_limits_the_head)
{
    void (*const scripts[])(struct talk *) = {long_header, many_headers, many_heads};
    rn_http_client *c = client_of((rn_http_options){.max_head = 20000});

    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        rn_http_request rq;
        rn_http_response *r;
        struct peer p;
        int err;

        peer_start(&p, scripts[i]);
        rq.url = p.url;
        rq = (rn_http_request){.url = p.url};
        err = rn_http_do(NULL, c, &rq, &r);
        if (err != -EMSGSIZE)
            test_fail(__FILE__, __LINE__, "%zu: %d: %s", i, err, rn_errmsg(err));
        says(err, i == 0 ? "libcurl" : "max_head"); /* a line is curl's to bound */
        peer_end(&p);
    }
    rn_http_client_release(c);
}

/* What curl bounds of a request is no want of memory. */
GO_TEST(http_a_request_can_be_too_large)
{
    enum { SIZE = 3 << 20 };
    char *header = malloc(SIZE);
    const char *const headers[] = {header, NULL};
    rn_http_response *r;
    rn_http_request rq;
    struct peer p;
    int err;

    CHECK(header);
    memset(header, 'x', SIZE - 1);
    header[SIZE - 1] = 0;
    header[1] = ':';
    peer_start(&p, ok);
    rq = (rn_http_request){.url = p.url, .headers = headers};
    err = rn_http_do(NULL, NULL, &rq, &r);
    CHECK_EQ(err, -EMSGSIZE);
    says(err, "the request's head");
    peer_end(&p);
    free(header);
}

/* ---- Redirects ------------------------------------------------------------------------------------------------ */

/* /N/url: redirect with status N to the url; else a mirror. */
static void redirecting(struct talk *t)
{
    char *head;

    while ((head = talk_head(t))) {
        char *path = strchr(head, ' ') + 2, *length = strcasestr(head, "content-length: ");
        int status = atoi(path);

        if (length && !talk_body(t, strtoul(length + 16, NULL, 10)))
            return;
        if (strcasestr(head, "chunked")) {
            while (!strstr(t->text + t->at, "0\r\n\r\n"))
                if (!talk_more(t))
                    return;
            t->at = t->size;
        }
        if (status) {
            char *to = strchr(path, '/') + 1, reply[2000];

            snprintf(reply, sizeof reply,
                     "HTTP/1.1 %d Go\r\nLocation: %.*s\r\nContent-Length: 4\r\n\r\ngone", status,
                     (int)strcspn(to, " "), to);
            talk_say(t, reply);
        } else {
            char reply[100];

            snprintf(reply, sizeof reply, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
                     strlen(head));
            talk_say(t, reply);
            talk_say(t, head);
        }
    }
}

static const char *url_at(const struct peer *p, char url[300], const char *path)
{
    snprintf(url, 300, "%s%s", p->url, path);
    return url;
}

GO_TEST(http_follows_redirects)
{
    static const char *const headers[] = {"Authorization: Bearer x", "Cookie: c", "X-Mine: m",
                                          "Content-Type: text/plain", NULL};
    struct source s = {.left = 3, .self = rn_self_id()};
    struct peer p, q;
    rn_http_response *r;
    rn_http_request rq;
    char url[300], path[200];
    int err;

    peer_start(&p, redirecting);
    peer_start(&q, redirecting);
    r = answer(NULL, (rn_http_request){.url = url_at(&p, url, "301//302//end?x")});
    CHECK_EQ(r->status, 200);
    CHECK_EQ(r->redirects, 2);
    CHECK_EQ(memcmp(r->body, "GET /end?x ", 11), 0);
    CHECK_STR(r->url, url_at(&p, url, "end?x"));
    rn_http_response_free(r);

    /* What becomes of a body. */
    rq = (rn_http_request){
        .url = url_at(&p, url, "303//a"), .body = "abc", .body_size = 3, .headers = headers};
    r = answer(NULL, rq);
    CHECK_EQ(memcmp(r->body, "GET /a ", 7), 0);
    CHECK(!strstr(r->body, "Content-"));
    has(r, "Authorization: Bearer x");
    rn_http_response_free(r);
    rq.url = url_at(&p, url, "302//a");
    r = answer(NULL, rq);
    CHECK_EQ(memcmp(r->body, "GET /a ", 7), 0);
    rn_http_response_free(r);
    rq.method = "PUT";
    r = answer(NULL, rq);
    CHECK_EQ(memcmp(r->body, "PUT /a ", 7), 0);
    has(r, "Content-Length: 3");
    rn_http_response_free(r);
    rq = (rn_http_request){
        .url = url_at(&p, url, "307//a"), .read = source_read, .rewind = source_rewind, .arg = &s};
    r = answer(NULL, rq);
    CHECK_EQ(memcmp(r->body, "POST /a ", 8), 0);
    has(r, "chunked");
    CHECK_EQ(s.rewinds, 1);
    rn_http_response_free(r);
    rq.rewind = NULL;
    s.left = 3;
    CHECK_EQ(rn_http_do(NULL, NULL, &rq, &r), -ESPIPE);
    CHECK_EQ(p.connections, 1);

    /* To another server, which is to know no secret. */
    snprintf(path, sizeof path, "302/%sa", q.url);
    r = answer(NULL, (rn_http_request){.url = url_at(&p, url, path), .headers = headers});
    CHECK_EQ(memcmp(r->body, "GET /a ", 7), 0);
    CHECK(!strstr(r->body, "Authorization"));
    CHECK(!strstr(r->body, "Cookie"));
    has(r, "X-Mine: m");
    CHECK_EQ(q.connections, 1);
    rn_http_response_free(r);

    /* Not followed. */
    r = answer(NULL, (rn_http_request){.url = url_at(&p, url, "302//a"), .no_redirect = true});
    CHECK_EQ(r->status, 302);
    CHECK_STR(r->body, "gone");
    CHECK_STR(rn_http_header(r, "location"), "/a");
    rn_http_response_free(r);
    CHECK_EQ(rn_http_get(NULL, url_at(&p, url, "302/ftp://127.0.0.1/"), &r), -EPROTONOSUPPORT);
    CHECK_EQ(rn_http_get(NULL, url_at(&p, url, "302/file:///etc/passwd"), &r), -EPROTONOSUPPORT);
    err = rn_http_get(NULL, url_at(&p, url, "302/http://h:99999/"), &r);
    CHECK_EQ(err, -EBADMSG);
    rn_http_client_close_idle(NULL);
    peer_end(&p);
    peer_end(&q);
}

static void loop(struct talk *t)
{
    while (talk_head(t))
        talk_say(t, "HTTP/1.1 302 Go\r\nLocation: /\r\nContent-Length: 0\r\n\r\n");
}
/* A redirect whose body never ends. */
static void endless_redirect(struct talk *t)
{
    char *head;

    while ((head = talk_head(t))) {
        if (memcmp(head, "GET /end", 8) == 0) {
            talk_say(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            continue;
        }
        if (!talk_say(t, "HTTP/1.1 302 Go\r\nLocation: /end\r\nTransfer-Encoding: chunked\r\n\r\n"))
            return;
        while (talk_say(t, "a\r\n0123456789\r\n"))
            ;
        return;
    }
}

GO_TEST(http_redirects_have_an_end)
{
    struct peer p;
    rn_http_client *none = client_of((rn_http_options){.max_redirects = -1});
    rn_http_response *r;
    rn_http_request rq;

    peer_start(&p, loop);
    CHECK_EQ(rn_http_get(NULL, p.url, &r), -ELOOP);
    CHECK_EQ(p.requests, 11);
    CHECK_EQ(p.connections, 1);
    rq = (rn_http_request){.url = p.url};
    CHECK_EQ(rn_http_do(NULL, none, &rq, &r), -ELOOP);
    CHECK_EQ(p.requests, 12);
    rn_http_client_release(none);
    rn_http_client_close_idle(NULL);
    peer_end(&p);
    peer_start(&p, endless_redirect);
    r = answer(NULL, (rn_http_request){.url = p.url});
    CHECK_STR(r->body, "ok");
    CHECK_EQ(p.connections, 2);
    rn_http_response_free(r);
    rn_http_client_close_idle(NULL);
    peer_end(&p);
}

/* ---- Kept connections ----------------------------------------------------------------------------------------- */

/* TCP sockets that a child process would inherit. */
static int inherited_sockets(void)
{
    int n = 0;

    for (int fd = 3; fd < 1000; fd++) {
        struct sockaddr_in a = {0};
        socklen_t size = sizeof a;

        n += getsockname(fd, (struct sockaddr *)&a, &size) == 0 && a.sin_family == AF_INET &&
             !(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
    return n;
}

GO_TEST(http_keeps_connections)
{
    struct peer p;
    rn_http_client *c = client_of((rn_http_options){0});
    rn_http_client *forgetful = client_of((rn_http_options){.idle_timeout = -1});
    int sockets;

    peer_start(&p, ok);
    sockets = open_sockets();
    for (int i = 0; i < 10; i++)
        rn_http_response_free(answer(c, (rn_http_request){.url = p.url}));
    CHECK_EQ(p.connections, 1);
    CHECK_EQ(inherited_sockets(), 0);
    rn_http_response_free(answer(c, (rn_http_request){.url = p.url, .fresh = true}));
    CHECK_EQ(p.connections, 2);
    rn_http_client_close_idle(c);
    AWAIT(open_sockets() == sockets);
    for (int i = 0; i < 3; i++)
        rn_http_response_free(answer(forgetful, (rn_http_request){.url = p.url}));
    CHECK_EQ(p.connections, 5);
    AWAIT(open_sockets() == sockets);
    rn_http_client_release(forgetful);
    rn_http_response_free(answer(c, (rn_http_request){.url = p.url}));
    rn_http_client_release(c);
    AWAIT(open_sockets() == sockets);
    peer_end(&p);
}

/* name.test is where nobody listens, and at name_address. */
static _Atomic int lookups;
static const char *name_address = "127.0.0.1:0";
static int resolves(struct rn_ctx *ctx, const char *host, int family, rn_found_fn *found, void *arg)
{
    rn_addr a[2];

    (void)ctx;
    (void)family;
    lookups++;
    if (strcmp(host, "name.test") != 0)
        return rn_errorf(-ENOENT, "lookup %s: no such host", host);
    CHECK_EQ(rn_addr_parse(&a[0], "tcp", "[::1]:0"), 0);
    CHECK_EQ(rn_addr_parse(&a[1], "tcp", name_address), 0);
    found(arg, a, 2);
    return 0;
}

static const char *named(const struct peer *p, char url[100])
{
    snprintf(url, 100, "http://name.test:%d/", p->port);
    return url;
}

/* One answer a connection, which then stays open until the next request has come, and is closed without an answer. */
static void ok_once(struct talk *t)
{
    if (talk_head(t))
        talk_say(t, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    if (talk_head(t)) {
        char *length = strcasestr(t->text, "content-length: ");

        if (length)
            (void)talk_body(t, strtoul(length + 16, NULL, 10));
    }
}

GO_TEST(http_a_kept_connection_that_is_closed_is_replaced)
{
    rn_set_resolver(resolves);
    for (int by_name = 0; by_name < 2; by_name++) {
        struct peer p;
        struct source s = {.left = 3, .self = rn_self_id()};
        rn_http_response *r;
        rn_http_request rq;
        char url[100];

        peer_start(&p, ok_once);
        rq = (rn_http_request){.url = by_name ? named(&p, url) : p.url};
        for (int i = 0; i < 3; i++)
            rn_http_response_free(answer(NULL, rq));
        CHECK_EQ(p.connections, 3);
        rq.body = "abc";
        rq.body_size = 3;
        rn_http_response_free(answer(NULL, rq));
        CHECK_EQ(p.connections, 4);
        rq = (rn_http_request){.url = rq.url,
                               .read = source_read,
                               .read_size = 30,
                               .rewind = source_rewind,
                               .arg = &s};
        rn_http_response_free(answer(NULL, rq));
        CHECK_EQ(s.rewinds, 1);
        rq.rewind = NULL;
        s.left = 3;
        CHECK_EQ(rn_http_do(NULL, NULL, &rq, &r), -ESPIPE);
        CHECK_EQ(lookups, by_name * 6);
        rn_http_client_close_idle(NULL);
        peer_end(&p);
    }
    rn_set_resolver(NULL);
}

static int keep_run(struct peer *p)
{
    rn_http_response_free(answer(NULL, (rn_http_request){.url = p->url}));
    return 0;
}

/* A server on a thread of its own, which no run takes away. */
struct thread_server {
    int fd, port;
    pthread_t thread;
    const char *reply;
    _Atomic int connections, replies;
};
static void *thread_serve(void *arg)
{
    struct thread_server *s = arg;
    char buf[4096];
    int fd;

    while ((fd = accept(s->fd, NULL, NULL)) >= 0) {
        s->connections++;
        while (read(fd, buf, sizeof buf) > 0) {
            (void)!send(fd, s->reply, strlen(s->reply), MSG_NOSIGNAL);
            s->replies++;
        }
        close(fd);
    }
    return NULL;
}
static void thread_server_start(struct thread_server *s, const char *reply)
{
    s->reply = reply;
    s->fd = peer_listen(10, &s->port);
    CHECK_EQ(fcntl(s->fd, F_SETFL, 0), 0);
    CHECK_EQ(pthread_create(&s->thread, NULL, thread_serve, s), 0);
}
static void thread_server_end(struct thread_server *s)
{
    CHECK_EQ(shutdown(s->fd, SHUT_RDWR), 0);
    pthread_join(s->thread, NULL);
    close(s->fd);
}

PLAIN_TEST(http_connections_outlive_a_run)
{
    struct thread_server s = {0};
    struct peer p;

    thread_server_start(&s, HEAD_3 "abc");
    snprintf(p.url, sizeof p.url, "http://127.0.0.1:%d/", s.port);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(rn_run(keep_run, &p), 0);
    keep_run(&p); /* and a plain thread */
    CHECK_EQ(s.connections, 1);
    rn_http_client_close_idle(NULL);
    thread_server_end(&s);
}

static void get_one(const char *url, _Atomic int *good)
{
    rn_http_response *r = answer(NULL, (rn_http_request){.url = url});

    CHECK_STR(r->body, "hello");
    rn_http_response_free(r);
    ++*good;
}

/* All of them are under way at the same time: each is answered when all have come. */
static void ok_for_all(struct talk *t)
{
    while (talk_head(t)) {
        AWAIT(t->peer->requests % 200 == 0);
        talk_say(t, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        t->peer->stage++;
        AWAIT(t->peer->stage % 200 == 0);
    }
}

GO_TEST(http_200_at_the_same_time)
{
    struct peer p;
    _Atomic int good = 0;
    int sockets = open_sockets();

    peer_start(&p, ok_for_all);
    for (int round = 0; round < 2; round++) {
        rn_wg wg = {0};

        for (int i = 0; i < 200; i++)
            rn_wg_go(&wg, get_one, (const char *)p.url, &good);
        rn_wg_wait(&wg);
    }
    CHECK_EQ(good, 400);
    CHECK_EQ(p.connections, 300); /* a hundred were kept */
    rn_http_client_close_idle(NULL);
    peer_end(&p);
    AWAIT(open_sockets() == sockets);
}

/* ---- Ends ----------------------------------------------------------------------------------------------------- */

struct call {
    rn_ctx *ctx;
    rn_http_client *client;
    const char *url;
    int err;
    rn_error message;
};

static void calling(struct call *c)
{
    rn_http_request rq = {.url = c->url};
    rn_http_response *r;

    c->err = rn_http_do(c->ctx, c->client, &rq, &r);
    c->message = rn_error_of(c->err);
    if (!c->err)
        rn_http_response_free(r);
}

static void silent(struct talk *t)
{
    t->peer->stage = 1;
    talk_hold(t);
}
static void half_head(struct talk *t)
{
    if (talk_head(t) && talk_say(t, "HTTP/1.1 200 OK\r\nContent-"))
        t->peer->stage = 1;
    talk_hold(t);
}
static void half_body(struct talk *t)
{
    if (talk_head(t) && talk_say(t, HEAD_3 "ab"))
        t->peer->stage = 1;
    talk_hold(t);
}
static void deaf(struct talk *t)
{
    t->peer->stage = 1;
    while (rn_wait_fd(t->peer->fd, RN_READ, t->peer->ctx) > 0)
        ;
}

static struct peer *asked; /* by the resolver that knows nothing */
static int never_resolves(struct rn_ctx *ctx, const char *host, int family, rn_found_fn *found,
                          void *arg)
{
    (void)host;
    (void)family;
    (void)found;
    (void)arg;
    asked->stage = 1;
    return rn_sleep_ctx(ctx, RN_HOUR);
}

static ssize_t endless_read(void *arg, void *buf, size_t size)
{
    (void)arg;
    memset(buf, 'x', size);
    return (ssize_t)size;
}
static void calling_with_body(struct call *c)
{
    rn_http_request rq = {.url = c->url, .read = endless_read};
    rn_http_response *r;

    c->err = rn_http_do(c->ctx, c->client, &rq, &r);
}

/* The client's end, in every phase: at once, with the context's error, and nothing is left. */
GO_TEST(http_a_context_ends_a_request_in_every_phase)
{
    static const struct {
        const char *name;
        void (*script)(struct talk *);
        const char *url; /* NULL: the peer's; with %d: its port */
        bool body;
    } phases[] = {
        {"name", silent, "http://name.test/", false},
        {"connecting", NULL, NULL, false},
        {"TLS", silent, "https://127.0.0.1:%d/", false},
        {"answer", silent, NULL, false},
        {"head", half_head, NULL, false},
        {"body", half_body, NULL, false},
        {"sending", deaf, NULL, true},
    };

    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++) {
        rn_http_client *client = client_of((rn_http_options){0});
        int sockets = open_sockets(), fillers[16], n = 0;
        struct call c = {.client = client};
        struct peer p = {0};
        char url[100];
        rn_wg wg = {0};
        rn_time begun;

        if (phases[i].script) {
            peer_start(&p, phases[i].script);
        } else { /* a queue that is full: who comes next hears nothing */
            struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};

            p.fd = peer_listen(0, &p.port);
            a.sin_port = htons((uint16_t)p.port);
            for (; n < 16; n++) {
                fillers[n] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
                (void)!connect(fillers[n], (struct sockaddr *)&a, sizeof a);
            }
            snprintf(p.url, sizeof p.url, "http://127.0.0.1:%d/", p.port);
        }
        asked = &p;
        rn_set_resolver(never_resolves);
        snprintf(url, sizeof url, "%s", p.url);
        if (phases[i].url) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            snprintf(url, sizeof url, phases[i].url, p.port);
#pragma GCC diagnostic pop
        }
        c.url = url;
        c.ctx = rn_ctx_with_cancel(rn_ctx_background());
        if (phases[i].body)
            rn_wg_go(&wg, calling_with_body, &c);
        else
            rn_wg_go(&wg, calling, &c);
        if (phases[i].script)
            AWAIT(p.stage == 1);
        test_let_run();
        CHECK_EQ(c.err, 0);
        begun = rn_now();
        rn_ctx_cancel(c.ctx);
        rn_wg_wait(&wg);
        if (c.err != -ECANCELED)
            test_fail(__FILE__, __LINE__, "%s: %d", phases[i].name, c.err);
        /* Nothing would end it sooner than curl's thirty seconds for connecting; the rest is for a busy machine. */
        if (rn_now() - begun > 10 * RN_SECOND)
            test_fail(__FILE__, __LINE__, "%s: after %.1f s", phases[i].name,
                      (double)(rn_now() - begun) / (double)RN_SECOND);
        rn_ctx_end(c.ctx);
        rn_http_client_release(client);
        if (phases[i].script) {
            peer_end(&p);
        } else {
            close(p.fd);
            while (n > 0)
                close(fillers[--n]);
        }
        CHECK_EQ(open_sockets(), sockets);
        rn_set_resolver(NULL);
    }
}

/* The same again and again: nothing adds up. */
GO_TEST(http_cancelled_requests_leave_nothing)
{
    void (*const scripts[])(struct talk *) = {silent, half_head, half_body};
    struct peer p[3];
    int sockets;

    for (int i = 0; i < 3; i++)
        peer_start(&p[i], scripts[i]);
    test_let_run();
    sockets = open_sockets();
    for (int i = 0; i < test_times(60); i++) {
        struct call c = {.url = p[i % 3].url, .ctx = rn_ctx_with_cancel(rn_ctx_background())};
        rn_wg wg = {0};

        p[i % 3].stage = 0;
        rn_wg_go(&wg, calling, &c);
        AWAIT(p[i % 3].stage == 1);
        rn_ctx_cancel(c.ctx);
        rn_wg_wait(&wg);
        CHECK_EQ(c.err, -ECANCELED);
        rn_ctx_end(c.ctx);
        AWAIT(open_sockets() <= sockets);
    }
    for (int i = 0; i < 3; i++)
        peer_end(&p[i]);
}

GO_TEST(http_times)
{
    struct peer p;
    rn_http_client *whole = client_of((rn_http_options){.timeout = 20 * RN_MILLISECOND});
    rn_http_client *stall = client_of((rn_http_options){.stall_timeout = 20 * RN_MILLISECOND});
    rn_http_client *connect = client_of((rn_http_options){.connect_timeout = 20 * RN_MILLISECOND});
    rn_ctx *ctx = rn_ctx_with_timeout(rn_ctx_background(), 20 * RN_MILLISECOND);
    rn_http_request rq;
    rn_http_response *r;
    char url[100];

    peer_start(&p, half_body);
    rq = (rn_http_request){.url = p.url};
    CHECK_EQ(rn_http_do(NULL, whole, &rq, &r), -ETIMEDOUT);
    says(-ETIMEDOUT, "within the timeout");
    CHECK_EQ(rn_http_do(NULL, stall, &rq, &r), -ETIMEDOUT);
    says(-ETIMEDOUT, "nothing comes");
    CHECK_EQ(rn_http_do(ctx, NULL, &rq, &r), -ETIMEDOUT);
    CHECK_EQ(rn_http_do(ctx, NULL, &rq, &r), -ETIMEDOUT); /* it had ended before */
    rq.timeout = 10 * RN_MILLISECOND;
    CHECK_EQ(rn_http_do(NULL, NULL, &rq, &r), -ETIMEDOUT);
    peer_end(&p);
    peer_start(&p, silent);
    snprintf(url, sizeof url, "https://127.0.0.1:%d/", p.port);
    rq = (rn_http_request){.url = url};
    CHECK_EQ(rn_http_do(NULL, connect, &rq, &r), -ETIMEDOUT);
    says(-ETIMEDOUT, "127.0.0.1");
    peer_end(&p);
    rn_ctx_end(ctx);
    rn_http_client_release(whole);
    rn_http_client_release(stall);
    rn_http_client_release(connect);
}

/* ---- Names ---------------------------------------------------------------------------------------------------- */

GO_TEST(http_looks_names_up_as_rn_dial_does)
{
    struct peer p;
    rn_http_response *r;
    rn_http_request rq;
    char url[100];
    int err;

    peer_start(&p, ok);
    rn_set_resolver(resolves);
    named(&p, url);
    rq = (rn_http_request){.url = url, .fresh = true};
    for (int i = 1; i <= 3; i++) {
        r = answer(NULL, rq);
        CHECK_STR(r->url, url);
        rn_http_response_free(r);
        CHECK_EQ(lookups, i); /* an answer is as old as its resolver lets it be */
    }
    /* A connection that is kept needs none, wherever the host is by now; a new one goes there. */
    name_address = "127.0.0.2:0";
    rq.fresh = false;
    rn_http_response_free(answer(NULL, rq));
    CHECK_EQ(lookups, 3);
    CHECK_EQ(p.connections, 3);
    rq.fresh = true;
    CHECK_EQ(rn_http_do(NULL, NULL, &rq, &r), -ECONNREFUSED);
    CHECK_EQ(lookups, 4);
    err = rn_http_get(NULL, "http://other.test/", &r);
    CHECK_EQ(err, -ENOENT);
    says(err, "no such host");
    rn_set_resolver(NULL);
    rn_http_client_close_idle(NULL);
    peer_end(&p);
}

/* ---- Where it is called from ---------------------------------------------------------------------------------- */

static void *thread_gets(void *arg)
{
    rn_http_response_free(answer(NULL, (rn_http_request){.url = arg}));
    return NULL;
}

GO_TEST(http_from_a_plain_thread)
{
    struct peer p;
    pthread_t threads[4];

    peer_start(&p, ok);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, thread_gets, p.url), 0);
    for (int i = 0; i < 4; i++)
        (void)rn_blocking(pthread_join(threads[i], NULL));
    CHECK_EQ(p.requests, 4);
    rn_http_client_close_idle(NULL);
    peer_end(&p);
}

static int exits_write(void *arg, const rn_http_response *r, const void *data, size_t size)
{
    (void)arg;
    (void)r;
    (void)data;
    (void)size;
    rn_exit(0);
}
static void calling_exits(const char *url)
{
    rn_http_request rq = {.url = url, .write = exits_write};

    (void)!rn_http_do(NULL, NULL, &rq, NULL);
    FAIL("it came back");
}

GO_TEST(http_a_callback_may_exit)
{
    struct peer p;
    int sockets;

    peer_start(&p, half_body);
    test_let_run();
    sockets = open_sockets();
    for (int i = 0; i < 3; i++) {
        rn_wg wg = {0};

        rn_wg_go(&wg, calling_exits, (const char *)p.url);
        rn_wg_wait(&wg);
    }
    AWAIT(open_sockets() <= sockets);
    peer_end(&p);
}

static struct call left_behind;
static int leaving(struct thread_server *s, const char *url, rn_http_client *c)
{
    int before = s->replies;

    left_behind = (struct call){.client = c, .url = url};
    rn_go(calling, &left_behind);
    AWAIT(s->replies > before);
    test_let_run();
    CHECK_EQ(left_behind.err, 0);
    return 0; /* a goroutine is left: that of the request */
}
static int comes_after(rn_http_client *c)
{
    struct peer p;
    int sockets;

    peer_start(&p, ok);
    sockets = open_sockets();
    rn_http_response_free(answer(c, (rn_http_request){.url = p.url}));
    rn_http_client_close_idle(c);
    AWAIT(open_sockets() < sockets); /* those of the request before */
    peer_end(&p);
    return 0;
}

PLAIN_TEST(http_what_a_run_leaves_is_cleared_away)
{
    rn_http_client *c = client_of((rn_http_options){.timeout = RN_HOUR});
    struct thread_server s = {0};
    char url[64];
    int sockets;

    thread_server_start(&s, HEAD_3 "ab");
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", s.port);
    CHECK_EQ(rn_run(leaving, &s, (const char *)url, c), 0);
    CHECK_EQ(rn_run(comes_after, c), 0);
    CHECK_EQ(rn_run(leaving, &s, (const char *)url, c), 0);
    sockets = open_sockets();
    rn_http_client_release(c); /* and by the last release */
    CHECK(open_sockets() < sockets);
    thread_server_end(&s);
}

/* A callback that is in the kernel when its run ends, and comes back when the line has been cleared away. */
struct blocker {
    rn_http_client *client;
    const char *url;
    int pipe[2];
    _Atomic int stage;
};
static int blocks_write(void *arg, const rn_http_response *r, const void *data, size_t size)
{
    struct blocker *b = arg;
    char c;

    (void)r;
    (void)data;
    (void)size;
    b->stage = 1;
    (void)!read(b->pipe[0], &c, 1);
    b->stage = 2;
    return 0;
}
static void calling_blocks(struct blocker *b)
{
    rn_http_request rq = {.url = b->url, .write = blocks_write, .arg = b};

    (void)!rn_http_do(NULL, b->client, &rq, NULL);
    FAIL("it came back");
}
static int blocking_run(struct blocker *b)
{
    rn_go(calling_blocks, b);
    AWAIT(b->stage == 1);
    return 0;
}
static int after_blocking_run(struct blocker *b)
{
    struct peer p;
    int sockets;

    peer_start(&p, ok);
    sockets = open_sockets();
    rn_http_response_free(answer(b->client, (rn_http_request){.url = p.url}));
    rn_http_client_close_idle(b->client);
    AWAIT(open_sockets() < sockets); /* the line is no more */
    CHECK_EQ(write(b->pipe[1], "", 1), 1);
    AWAIT(b->stage == 2);
    for (int i = 0; i < 10; i++) {
        rn_http_response_free(answer(b->client, (rn_http_request){.url = p.url, .fresh = true}));
        test_let_run();
    }
    peer_end(&p);
    return 0;
}

PLAIN_TEST(http_a_callback_that_comes_back_too_late)
{
    struct blocker b = {.client = client_of((rn_http_options){0})};
    struct thread_server s = {0};
    char url[64];

    thread_server_start(&s, HEAD_3 "ab");
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", s.port);
    b.url = url;
    CHECK_EQ(pipe(b.pipe), 0);
    CHECK_EQ(rn_run(blocking_run, &b), 0);
    CHECK_EQ(rn_run(after_blocking_run, &b), 0);
    rn_http_client_release(b.client);
    thread_server_end(&s);
    close(b.pipe[0]);
    close(b.pipe[1]);
}

static void resets(struct talk *t)
{
    if (talk_head(t))
        talk_cut(t);
}

GO_TEST(http_no_signal_when_the_peer_is_gone)
{
    struct peer p;
    rn_http_response *r;

    signal(SIGPIPE, SIG_DFL);
    peer_start(&p, resets);
    for (int i = 0; i < 20; i++) {
        rn_http_request rq = {.url = p.url, .read = endless_read};

        CHECK(rn_http_do(NULL, NULL, &rq, &r) < 0);
    }
    peer_end(&p);
}

/* ---- Proxies -------------------------------------------------------------------------------------------------- */

GO_TEST(http_a_proxy_is_used_if_said_and_else_none)
{
    struct peer p;
    rn_http_client *c;
    rn_http_response *r;
    char proxy[100];

    peer_start(&p, mirror);
    snprintf(proxy, sizeof proxy, "http://user:pass@127.0.0.1:%d", p.port);
    setenv("http_proxy", proxy, 1);
    setenv("all_proxy", proxy, 1);
    CHECK_EQ(rn_http_get(NULL, "http://127.0.0.1:1/", &r), -ECONNREFUSED);
    CHECK_EQ(p.connections, 0);
    c = client_of((rn_http_options){.proxy = proxy});
    r = answer(c, (rn_http_request){.url = "http://name.test/a"});
    CHECK_EQ(memcmp(r->body, "GET http://name.test/a HTTP/1.1\r\n", 33), 0);
    has(r, "Proxy-Authorization: Basic ");
    rn_http_response_free(r);
    rn_http_client_release(c);
    peer_end(&p);
}
