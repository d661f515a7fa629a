/* SPDX-License-Identifier: MIT */
/*
 * tls.c - TLS, client against server of our own: verification, ALPN, resumption, ends of all kinds, faults.
 */
#define _GNU_SOURCE
#include "ca.h"
#include "uninstrumented.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <runnel/net.h>
#include <runnel/tls.h>
#include <sys/socket.h>
#include <unistd.h>

/* An authority, a server with a certificate of its, a client that trusts it. */
struct world {
    struct identity ca, server;
    rn_tls_config *server_config, *client_config;
};

static rn_tls_config *config_of(rn_tls_options o)
{
    rn_tls_config *c = NULL;
    int err = rn_tls_config_new(&o, &c);

    if (err)
        test_fail(__FILE__, __LINE__, "configuration: %s", rn_errmsg(err));
    return c;
}

static rn_tls_cert cert_of(const struct identity *i)
{
    return (rn_tls_cert){.cert_pem = i->cert_pem, .key_pem = i->key_pem};
}

static rn_tls_config *server_of(const struct identity *i, rn_tls_options o)
{
    rn_tls_cert cert = cert_of(i);

    o.certs = &cert;
    o.cert_count = 1;
    return config_of(o);
}

static struct world world_with(rn_tls_options server, rn_tls_options client)
{
    struct world w;

    w.ca = identity_new((struct wanted){.cn = "Test CA", .is_ca = true});
    w.server = identity_new(
        (struct wanted){.cn = "server", .names = "DNS:right.test,IP:127.0.0.1", .issuer = &w.ca});
    w.server_config = server_of(&w.server, server);
    client.ca_pem = w.ca.cert_pem;
    w.client_config = config_of(client);
    return w;
}

static struct world world_new(void)
{
    return world_with((rn_tls_options){0}, (rn_tls_options){0});
}

static void world_end(struct world *w)
{
    rn_tls_config_release(w->server_config);
    rn_tls_config_release(w->client_config);
    identity_free(&w->ca);
    identity_free(&w->server);
}

/* Two connected sockets. */
struct wires {
    rn_conn *client, *server;
};

static struct wires wires_new(void)
{
    rn_listener *l;
    rn_addr a;
    char at[RN_ADDR_TEXT];
    struct wires w;

    CHECK_EQ(rn_listen("tcp4", "127.0.0.1:0", &l), 0);
    CHECK_EQ(rn_listener_addr(l, &a), 0);
    CHECK(rn_addr_text(&a, at, sizeof at) > 0);
    CHECK_EQ(rn_dial("tcp", at, &w.client), 0);
    CHECK_EQ(rn_accept(l, &w.server), 0);
    rn_listener_close(l);
    return w;
}

struct pair {
    rn_tls *client, *server;
};

static struct pair pair_on(struct wires w, rn_tls_config *client, const char *host,
                           rn_tls_config *server)
{
    struct pair p;

    CHECK_EQ(rn_tls_client(w.client, host, client, &p.client), 0);
    CHECK_EQ(rn_tls_server(w.server, server, &p.server), 0);
    return p;
}

static struct pair pair_new(const struct world *w)
{
    return pair_on(wires_new(), w->client_config, "right.test", w->server_config);
}

static void pair_close(struct pair p)
{
    rn_tls_close(p.client);
    rn_tls_close(p.server);
}

static void shake_into(rn_tls *t, int *ret_err)
{
    *ret_err = rn_tls_handshake(NULL, t);
    if (*ret_err)
        rn_tls_cancel(t); /* as a server does */
}

/* Both sides' results; the client's message is this goroutine's. */
static int shake(struct pair p, int *ret_server)
{
    rn_wg wg = {0};
    int err, server;
    rn_error e;

    rn_wg_go(&wg, shake_into, p.server, &server);
    err = rn_tls_handshake(NULL, p.client);
    /* With TLS 1.3 the server's verdict about the client comes after the client is done. */
    if (!err && ret_server) {
        rn_tls_set_read_deadline(p.client, rn_now() + 20 * RN_MILLISECOND);
        rn_wg_wait(&wg);
        if (server) {
            char b;

            rn_tls_set_read_deadline(p.client, 0);
            err = (int)rn_tls_read(p.client, &b, 1);
        }
        rn_tls_set_read_deadline(p.client, 0);
    }
    e = rn_error_of(err);
    if (err)
        rn_tls_cancel(p.client);
    rn_wg_wait(&wg);
    if (ret_server)
        *ret_server = server;
    return rn_error_raise(&e);
}

static void shake_ok(struct pair p)
{
    int server, err = shake(p, &server);

    if (err || server)
        test_fail(__FILE__, __LINE__, "client: %s, server: %s", err ? rn_errmsg(err) : "fine",
                  server ? rn_errmsg(server) : "fine");
}

static void says(int err, const char *part)
{
    if (!strstr(rn_errmsg(err), part))
        test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", rn_errmsg(err), part);
}

static char pattern(size_t at)
{
    return (char)(at * 31 + at / 251);
}

static void write_pattern(rn_tls *t, size_t size)
{
    static const size_t chunks[] = {1, 100, 16384, 16385, 200000};
    char *buf = malloc(200000);

    for (size_t at = 0, i = 0; at < size; i++) {
        size_t n = chunks[i % 5] < size - at ? chunks[i % 5] : size - at;
        ssize_t r;

        for (size_t k = 0; k < n; k++)
            buf[k] = pattern(at + k);
        r = rn_tls_write(t, buf, n);
        if (r != (ssize_t)n)
            test_fail(__FILE__, __LINE__, "write: %s", rn_errmsg((int)r));
        at += n;
    }
    free(buf);
}

static void read_pattern_from(rn_tls *t, size_t at, size_t size)
{
    char *buf = malloc(50000);

    while (at < size) {
        ssize_t n = rn_tls_read(t, buf, size - at < 50000 ? size - at : 50000);

        if (n <= 0)
            test_fail(__FILE__, __LINE__, "read: %s", rn_errmsg((int)n));
        for (ssize_t k = 0; k < n; k++)
            CHECK_EQ(buf[k], pattern(at + (size_t)k));
        at += (size_t)n;
    }
    free(buf);
}

static void read_pattern(rn_tls *t, size_t size)
{
    read_pattern_from(t, 0, size);
}

static void expect_end(rn_tls *t)
{
    char b;

    CHECK_EQ(rn_tls_read(t, &b, 1), 0);
    CHECK_EQ(rn_tls_read(t, &b, 1), 0); /* again and again */
}

/* ---- The plain way -------------------------------------------------------------------------------------------- */

GO_TEST(tls_versions_and_info)
{
    for (int v = RN_TLS_1_2; v <= RN_TLS_1_3; v++) {
        struct world w = world_with((rn_tls_options){0},
                                    (rn_tls_options){.max_version = (enum rn_tls_version)v});
        struct pair p = pair_new(&w);
        rn_tls_info i;
        rn_wg wg = {0};

        CHECK_EQ(rn_tls_get_info(p.client, &i), -ENOTCONN);
        rn_wg_go(&wg, write_pattern, p.server, (size_t)100000); /* shakes hands by itself */
        read_pattern(p.client, 100000);
        rn_wg_wait(&wg);
        CHECK_EQ(rn_tls_sent(p.server), 100000);
        CHECK_EQ(rn_tls_get_info(p.client, &i), 0);
        CHECK_EQ(i.version, v);
        CHECK(strncmp(i.cipher, "TLS_", 4) == 0);
        CHECK(i.verified && !i.resumed);
        CHECK_STR(i.peer_subject, "CN=server");
        CHECK_STR(i.peer_issuer, "CN=Test CA");
        CHECK_STR(i.server_name, "right.test");
        CHECK_STR(i.alpn, "");
        CHECK(i.peer_valid_until > 1700000000);
        CHECK_EQ(rn_tls_get_info(p.server, &i), 0);
        CHECK_STR(i.server_name, "right.test");
        CHECK(!i.verified);
        CHECK_STR(i.peer_subject, "");
        CHECK_EQ(rn_tls_close_write(p.client), 0);
        CHECK_EQ(rn_tls_write(p.client, "x", 1), -EPIPE);
        expect_end(p.server);
        write_pattern(p.server, 1000); /* the other direction goes on */
        read_pattern(p.client, 1000);
        rn_tls_close(p.server);
        expect_end(p.client);
        rn_tls_close(p.client);
        world_end(&w);
    }
}

static void serve_once(rn_listener *l, rn_tls_config *config)
{
    rn_conn *c;
    rn_tls *t;
    char buf[100];
    ssize_t n;

    CHECK_EQ(rn_accept(l, &c), 0);
    CHECK_EQ(rn_tls_server(c, config, &t), 0);
    while ((n = rn_tls_read(t, buf, sizeof buf)) > 0)
        CHECK_EQ(rn_tls_write(t, buf, (size_t)n), n);
    rn_tls_close(t);
}

/* A number is verified too, and the host of the address is what must be on the certificate. */
GO_TEST(tls_dial)
{
    struct world w = world_new();
    rn_listener *l;
    rn_addr a;
    rn_wg wg = {0};
    char at[RN_ADDR_TEXT], buf[6], name[RN_ADDR_TEXT];
    rn_tls *t;
    int err;

    CHECK_EQ(rn_listen("tcp4", "127.0.0.1:0", &l), 0);
    CHECK_EQ(rn_listener_addr(l, &a), 0);
    CHECK(rn_addr_text(&a, at, sizeof at) > 0);
    rn_wg_go(&wg, serve_once, l, w.server_config);
    CHECK_EQ(rn_tls_dial(NULL, "tcp", at, w.client_config, &t), 0);
    CHECK_EQ(rn_tls_write(t, "hello", 5), 5);
    CHECK_EQ(rn_tls_read_full(t, buf, 5), 5);
    CHECK(memcmp(buf, "hello", 5) == 0);
    rn_tls_close(t);
    rn_wg_wait(&wg);

    rn_wg_go(&wg, serve_once, l, w.server_config);
    snprintf(name, sizeof name, "localhost%s", strrchr(at, ':'));
    err = rn_tls_dial(NULL, "tcp4", name, w.client_config, &t);
    CHECK_EQ(err, -EKEYREJECTED);
    says(err, "tls localhost: the certificate is for right.test, 127.0.0.1");
    rn_wg_wait(&wg);
    CHECK_EQ(rn_tls_dial(NULL, "udp", at, w.client_config, &t), -EINVAL);
    rn_listener_close(l);
    world_end(&w);
}

static void *thread_client(void *arg)
{
    struct pair *p = arg;

    read_pattern(p->client, 300000);
    write_pattern(p->client, 300000);
    return NULL;
}

GO_TEST(tls_from_a_plain_thread)
{
    struct world w = world_new();
    struct pair p = pair_new(&w);
    pthread_t th;

    CHECK_EQ(pthread_create(&th, NULL, thread_client, &p), 0);
    write_pattern(p.server, 300000);
    read_pattern(p.server, 300000);
    pthread_join(th, NULL);
    pair_close(p);
    world_end(&w);
}

/* Both directions at once, on both sides: four goroutines on two connections. */
GO_TEST(tls_duplex)
{
    struct world w = world_new();
    size_t size = (size_t)test_times(10000000);
    struct pair p = pair_new(&w);
    rn_wg wg = {0};

    size = size < 1000000 ? 1000000 : size;
    rn_wg_go(&wg, write_pattern, p.client, size);
    rn_wg_go(&wg, write_pattern, p.server, size);
    rn_wg_go(&wg, read_pattern, p.client, size);
    rn_wg_go(&wg, read_pattern, p.server, size);
    rn_wg_wait(&wg);
    CHECK_EQ(rn_tls_sent(p.client), size);
    pair_close(p);
    world_end(&w);
}

enum { LINE = 3000 };

static void write_lines(rn_tls *t, int me, int n)
{
    char line[LINE];

    memset(line, 'a' + me, sizeof line);
    for (int i = 0; i < n; i++)
        CHECK_EQ(rn_tls_write(t, line, sizeof line), LINE);
}

/* Each write goes out as a whole, whoever else writes. */
GO_TEST(tls_writers_take_turns)
{
    struct world w = world_new();
    struct pair p = pair_new(&w);
    int n = test_times(200);
    rn_wg wg = {0};
    char line[LINE];

    shake_ok(p);
    for (int i = 0; i < 4; i++)
        rn_wg_go(&wg, write_lines, p.client, i, n);
    for (int i = 0; i < 4 * n; i++) {
        CHECK_EQ(rn_tls_read_full(p.server, line, LINE), LINE);
        for (int k = 1; k < LINE; k++)
            CHECK_EQ(line[k], line[0]);
    }
    rn_wg_wait(&wg);
    pair_close(p);
    world_end(&w);
}

static void wait_into(rn_ctx *ctx, rn_tls *t, int *ret_err)
{
    *ret_err = ctx ? rn_tls_wait_read_ctx(ctx, t) : rn_tls_wait_read(t);
}

/* A wait takes nothing, and ends for what OpenSSL has already, for the end, for a deadline and by its context. */
GO_TEST(tls_wait_read)
{
    struct world w = world_new();
    struct pair p = pair_new(&w);
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_wg wg = {0};
    char buf[8];
    int err = 1;

    shake_ok(p);
    rn_wg_go(&wg, wait_into, ctx, p.server, &err);
    test_let_run();
    CHECK_EQ(err, 1);
    CHECK_EQ(rn_tls_write(p.client, "abcdef", 6), 6);
    rn_wg_wait(&wg);
    CHECK_EQ(err, 0);
    CHECK_EQ(rn_tls_wait_read(p.server), 0);
    CHECK_EQ(rn_tls_read(p.server, buf, 2), 2);
    CHECK_EQ(rn_tls_wait_read_ctx(ctx, p.server), 0); /* of the same record */
    CHECK_EQ(rn_tls_read(p.server, buf + 2, 6), 4);
    CHECK(memcmp(buf, "abcdef", 6) == 0);
    CHECK_EQ(rn_tls_set_read_deadline(p.server, rn_now() + RN_MILLISECOND), 0);
    CHECK_EQ(rn_tls_wait_read(p.server), -ETIMEDOUT);
    CHECK_EQ(rn_tls_set_read_deadline(p.server, 0), 0);
    err = 1;
    rn_wg_go(&wg, wait_into, ctx, p.server, &err);
    test_let_run();
    rn_ctx_cancel(ctx);
    rn_wg_wait(&wg);
    CHECK_EQ(err, -ECANCELED);
    CHECK_EQ(rn_tls_close_write(p.client), 0);
    CHECK_EQ(rn_tls_wait_read(p.server), 0);
    expect_end(p.server);
    CHECK_EQ(rn_tls_wait_read(p.server), 0);
    rn_ctx_end(ctx);
    pair_close(p);
    world_end(&w);
}

/* The first read may be a wait, and its error is the handshake's. */
GO_TEST(tls_wait_read_makes_the_handshake)
{
    struct world w = world_new();
    rn_tls_config *strange = config_of((rn_tls_options){0});

    for (int good = 0; good < 2; good++) {
        struct pair p =
            pair_on(wires_new(), good ? w.client_config : strange, "right.test", w.server_config);
        rn_wg wg = {0};
        int err = 1;

        rn_wg_go(&wg, wait_into, (rn_ctx *)NULL, p.server, &err);
        CHECK_EQ(rn_tls_handshake(NULL, p.client), good ? 0 : -EKEYREJECTED);
        if (good)
            CHECK_EQ(rn_tls_write(p.client, "a", 1), 1);
        rn_wg_wait(&wg);
        CHECK_EQ(err, good ? 0 : -EPROTO);
        pair_close(p);
    }
    rn_tls_config_release(strange);
    world_end(&w);
}

enum { PART = 50000, PARTS = 2 * PART + 2 };
static void write_parts(rn_tls *t, int me, int n)
{
    char *part = malloc(PART);
    char first = (char)('a' + 2 * me), last = (char)(first + 1);
    struct iovec iov[] = {{&first, 1}, {NULL, 0}, {part, PART}, {part, PART}, {&last, 1}};

    memset(part, first, PART);
    for (int i = 0; i < n; i++)
        CHECK_EQ(rn_tls_writev(t, iov, 5), PARTS);
    free(part);
}

/* Buffers go out one after the other, however large, and nothing of another writer's between them. */
GO_TEST(tls_writev)
{
    enum { WRITERS = 3, EACH = 10 };
    struct world w = world_new();
    struct pair p = pair_new(&w);
    struct iovec iov[] = {{"x", SSIZE_MAX}, {"x", 1}};
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    char *all = malloc(PARTS);
    rn_wg wg = {0};

    rn_ctx_cancel(ctx);
    shake_ok(p);
    CHECK_EQ(rn_tls_writev(p.client, iov, -1), -EINVAL);
    CHECK_EQ(rn_tls_writev(p.client, iov, 1025), -EINVAL);
    CHECK_EQ(rn_tls_writev(p.client, iov, 2), -EINVAL);
    CHECK_EQ(rn_tls_writev(p.client, iov, 0), 0);
    CHECK_EQ(rn_tls_writev_ctx(ctx, p.client, iov + 1, 1), -ECANCELED);
    CHECK_EQ(rn_tls_sent(p.client), 0);
    for (int i = 0; i < WRITERS; i++)
        rn_wg_go(&wg, write_parts, p.client, i, (int)EACH);
    for (int i = 0; i < WRITERS * EACH; i++) {
        CHECK_EQ(rn_tls_read_full(p.server, all, PARTS), PARTS);
        for (int k = 0; k < PARTS - 1; k++)
            CHECK_EQ(all[k], all[0]);
        CHECK_EQ(all[PARTS - 1], all[0] + 1);
    }
    rn_wg_wait(&wg);
    CHECK_EQ(rn_tls_sent(p.client), (uint64_t)WRITERS * EACH * PARTS);
    free(all);
    rn_ctx_end(ctx);
    pair_close(p);
    world_end(&w);
}

/* ---- Verification --------------------------------------------------------------------------------------------- */

struct refusal {
    const char *what;
    struct identity cert;
    const char *host;
    int err;
    const char *text;
};

GO_TEST(tls_refuses_certificates)
{
    struct identity ca = identity_new((struct wanted){.cn = "Test CA", .is_ca = true});
    struct identity other = identity_new((struct wanted){.cn = "Other CA", .is_ca = true});
    struct identity half = identity_new((struct wanted){.cn = "Not a CA", .issuer = &ca});
    const char *n = "DNS:right.test,IP:127.0.0.1,DNS:*.wild.test";
    struct refusal r[] = {
        {"right", identity_new((struct wanted){.cn = "s", .names = n, .issuer = &ca}), "right.test",
         0, ""},
        {"dot", identity_new((struct wanted){.cn = "s", .names = n, .issuer = &ca}), "right.test.",
         0, ""},
        {"number", identity_new((struct wanted){.cn = "s", .names = n, .issuer = &ca}), "127.0.0.1",
         0, ""},
        {"wildcard", identity_new((struct wanted){.cn = "s", .names = n, .issuer = &ca}),
         "a.wild.test", 0, ""},
        {"too deep", identity_new((struct wanted){.cn = "s", .names = n, .issuer = &ca}),
         "a.b.wild.test", -EKEYREJECTED, "tls a.b.wild.test: the certificate is for right.test"},
        {"wrong name", identity_new((struct wanted){.cn = "s", .names = n, .issuer = &ca}),
         "wrong.test", -EKEYREJECTED, "tls wrong.test: the certificate is for right.test"},
        {"wrong number", identity_new((struct wanted){.cn = "s", .names = n, .issuer = &ca}),
         "127.0.0.2", -EKEYREJECTED, "the certificate is for right.test"},
        {"name in CN",
         identity_new((struct wanted){.cn = "right.test", .names = "DNS:else.test", .issuer = &ca}),
         "right.test", -EKEYREJECTED, "is for else.test"},
        {"expired",
         identity_new(
             (struct wanted){.cn = "s", .names = n, .issuer = &ca, .from = -7200, .until = -3600}),
         "right.test", -EKEYEXPIRED, "tls right.test: the certificate has expired"},
        {"early",
         identity_new(
             (struct wanted){.cn = "s", .names = n, .issuer = &ca, .from = 3600, .until = 7200}),
         "right.test", -EKEYEXPIRED, "tls right.test: the certificate is not valid yet"},
        {"unknown issuer", identity_new((struct wanted){.cn = "s", .names = n, .issuer = &other}),
         "right.test", -EKEYREJECTED, "issuer"},
        {"self-signed", identity_new((struct wanted){.cn = "s", .names = n}), "right.test",
         -EKEYREJECTED, "self-signed"},
        {"issuer is no CA", identity_new((struct wanted){.cn = "s", .names = n, .issuer = &half}),
         "right.test", -EKEYREJECTED, "the certificate does not verify"},
    };
    rn_tls_config *client = config_of((rn_tls_options){.ca_pem = ca.cert_pem});
    rn_tls_config *anything = config_of((rn_tls_options){.insecure = true});

    for (size_t i = 0; i < sizeof r / sizeof r[0]; i++) {
        rn_tls_config *server = server_of(&r[i].cert, (rn_tls_options){0});
        struct pair p = pair_on(wires_new(), client, r[i].host, server);
        int at_server = 0, err = shake(p, &at_server);

        if (err != r[i].err)
            test_fail(__FILE__, __LINE__, "%s: %d, %s", r[i].what, err, rn_errmsg(err));
        if (err) {
            says(err, r[i].text);
            CHECK_EQ(at_server, -EPROTO); /* our alert has told it */
        }
        pair_close(p);
        p = pair_on(wires_new(), anything, r[i].host, server);
        shake_ok(p);
        pair_close(p);
        rn_tls_config_release(server);
        identity_free(&r[i].cert);
    }
    rn_tls_config_release(client);
    rn_tls_config_release(anything);
    identity_free(&ca);
    identity_free(&other);
    identity_free(&half);
}

/* What the system trusts is the default, and does not know our authority. */
GO_TEST(tls_default_is_the_system)
{
    struct world w = world_new();
    struct pair p = pair_on(wires_new(), NULL, "right.test", w.server_config);
    struct wires wires;
    rn_conn *c;
    int server;

    CHECK_EQ(shake(p, &server), -EKEYREJECTED);
    pair_close(p);
    /* Without a name there is nothing to verify. */
    wires = wires_new();
    c = wires.client;
    CHECK_EQ(rn_tls_client(c, NULL, NULL, &p.client), -EINVAL);
    CHECK_EQ(rn_tls_server(c, w.client_config, &p.server), -EINVAL);
    rn_conn_close(c);
    rn_conn_close(wires.server);
    world_end(&w);
}

GO_TEST(tls_pins)
{
    struct world w = world_new();
    char right[64], wrong[64];
    struct pair p;
    int server, err;
    rn_tls_config *c = NULL;

    pin_of(&w.server, right);
    pin_of(&w.ca, wrong);
    c = config_of((rn_tls_options){.ca_pem = w.ca.cert_pem,
                                   .pins = (const char *const[]){wrong, right, NULL}});
    p = pair_on(wires_new(), c, "right.test", w.server_config);
    shake_ok(p);
    pair_close(p);
    rn_tls_config_release(c);

    c = config_of(
        (rn_tls_options){.ca_pem = w.ca.cert_pem, .pins = (const char *const[]){wrong, NULL}});
    p = pair_on(wires_new(), c, "right.test", w.server_config);
    err = shake(p, &server);
    CHECK_EQ(err, -EKEYREJECTED);
    says(err, "tls right.test: the certificate's key is not a pinned one");
    pair_close(p);
    rn_tls_config_release(c);

    /* A pin alone, for a certificate that nobody has signed. */
    c = config_of((rn_tls_options){.insecure = true, .pins = (const char *const[]){right, NULL}});
    p = pair_on(wires_new(), c, NULL, w.server_config);
    shake_ok(p);
    pair_close(p);
    rn_tls_config_release(c);
    c = config_of((rn_tls_options){.insecure = true, .pins = (const char *const[]){wrong, NULL}});
    p = pair_on(wires_new(), c, NULL, w.server_config);
    CHECK_EQ(shake(p, &server), -EKEYREJECTED);
    pair_close(p);
    rn_tls_config_release(c);

    c = NULL;
    CHECK_EQ(rn_tls_config_new(
                 &(rn_tls_options){.pins = (const char *const[]){"sha256//short", NULL}}, &c),
             -EINVAL);
    CHECK(!c);
    world_end(&w);
}

GO_TEST(tls_configurations_that_are_none)
{
    struct world w = world_new();
    rn_tls_cert mixed = {.cert_pem = w.server.cert_pem, .key_pem = w.ca.key_pem};
    rn_tls_cert no_key = {.cert_pem = w.server.cert_pem};
    rn_tls_cert no_file = {.cert_file = "/nonexistent/cert.pem"};
    rn_tls_config *c = NULL;
    int err;

    err = rn_tls_config_new(&(rn_tls_options){.certs = &mixed, .cert_count = 1}, &c);
    CHECK_EQ(err, -EINVAL);
    says(err, "the private key is not the certificate's");
    err = rn_tls_config_new(&(rn_tls_options){.certs = &no_key, .cert_count = 1}, &c);
    CHECK_EQ(err, -EINVAL);
    says(err, "no private key");
    err = rn_tls_config_new(&(rn_tls_options){.certs = &no_file, .cert_count = 1}, &c);
    CHECK_EQ(err, -ENOENT);
    says(err, "/nonexistent/cert.pem");
    CHECK_EQ(rn_tls_config_new(&(rn_tls_options){.ca_pem = "nothing"}, &c), -EINVAL);
    CHECK_EQ(rn_tls_config_new(&(rn_tls_options){.ca_file = "/nonexistent"}, &c), -ENOENT);
    CHECK(!strstr(rn_errmsg(-ENOENT), "cert.pem")); /* that was an older one's */
    CHECK_EQ(rn_tls_config_new(&(rn_tls_options){.ciphers = "NO-SUCH"}, &c), -EINVAL);
    CHECK_EQ(rn_tls_config_new(&(rn_tls_options){.alpn = (const char *const[]){"", NULL}}, &c),
             -EINVAL);
    CHECK(!c);
    world_end(&w);
}

/* The forms with a context; and a configuration that is shared goes with its last holder. */
GO_TEST(tls_forms_with_a_context)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background()), *ended = rn_ctx_with_cancel(ctx);
    struct world w = world_new();
    struct pair p = pair_new(&w);
    char b[8];

    rn_ctx_cancel(ended);
    shake_ok(p);
    CHECK_EQ(rn_tls_write_ctx(ended, p.client, "no", 2), -ECANCELED);
    CHECK_EQ(rn_tls_write_ctx(ctx, p.client, "four", 4), 4);
    CHECK_EQ(rn_tls_sent(p.client), 4);
    CHECK_EQ(rn_tls_read_full_ctx(ended, p.server, b, 4), -ECANCELED);
    CHECK_EQ(rn_tls_read_full_ctx(ctx, p.server, b, 4), 4);
    CHECK(memcmp(b, "four", 4) == 0);
    pair_close(p);

    CHECK(rn_tls_config_retain(w.client_config) == w.client_config);
    rn_tls_config_release(w.client_config); /* ours is left */
    p = pair_new(&w);
    shake_ok(p);
    pair_close(p);
    world_end(&w);
    rn_ctx_end(ended);
    rn_ctx_end(ctx);
}

GO_TEST(tls_client_certificates)
{
    struct identity ca = identity_new((struct wanted){.cn = "Test CA", .is_ca = true});
    struct identity other_ca = identity_new((struct wanted){.cn = "Other CA", .is_ca = true});
    struct identity server =
        identity_new((struct wanted){.cn = "s", .names = "DNS:right.test", .issuer = &ca});
    struct identity me = identity_new((struct wanted){.cn = "me", .issuer = &ca});
    struct identity stranger = identity_new((struct wanted){.cn = "stranger", .issuer = &other_ca});
    const struct identity *shown[] = {&me, NULL, &stranger};

    for (int v = RN_TLS_1_2; v <= RN_TLS_1_3; v++)
        for (int want = RN_TLS_ASK_CLIENT_CERT; want <= RN_TLS_REQUIRE_CLIENT_CERT; want++)
            for (int i = 0; i < 3; i++) {
                rn_tls_cert cert = shown[i] ? cert_of(shown[i]) : (rn_tls_cert){0};
                bool good = i == 0 || (i == 1 && want == RN_TLS_ASK_CLIENT_CERT);
                rn_tls_config *s = server_of(
                    &server, (rn_tls_options){.ca_pem = ca.cert_pem,
                                              .client_cert = (enum rn_tls_client_cert)want,
                                              .max_version = (enum rn_tls_version)v});
                rn_tls_config *c = config_of((rn_tls_options){
                    .ca_pem = ca.cert_pem, .certs = &cert, .cert_count = shown[i] != NULL});
                struct pair p = pair_on(wires_new(), c, "right.test", s);
                int at_server, err = shake(p, &at_server);

                if (good) {
                    rn_tls_info info;

                    CHECK_EQ(err, 0);
                    CHECK_EQ(at_server, 0);
                    CHECK_EQ(rn_tls_get_info(p.server, &info), 0);
                    CHECK_EQ(info.verified, i == 0);
                    CHECK_STR(info.peer_subject, i == 0 ? "CN=me" : "");
                } else {
                    CHECK_EQ(at_server, -EKEYREJECTED);
                    CHECK_EQ(err, -EPROTO);
                    says(err, "tls right.test: the peer says: ");
                }
                pair_close(p);
                rn_tls_config_release(s);
                rn_tls_config_release(c);
            }
    identity_free(&ca);
    identity_free(&other_ca);
    identity_free(&server);
    identity_free(&me);
    identity_free(&stranger);
}

/* ---- ALPN and SNI --------------------------------------------------------------------------------------------- */

GO_TEST(tls_alpn)
{
    static const struct {
        const char *server[3], *client[3];
        bool required;
        const char *chosen; /* NULL: the handshake fails */
    } cases[] = {
        {{"h2", "http/1.1"}, {"http/1.1", "h2"}, false, "h2"}, /* the server's preference */
        {{"http/1.1"}, {"h2", "http/1.1"}, false, "http/1.1"},
        {{NULL}, {"h2"}, false, ""},
        {{"h2"}, {NULL}, false, ""},
        {{"h2"}, {"http/1.1"}, false, NULL},
        {{NULL}, {"h2"}, true, NULL},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world w = world_with(
            (rn_tls_options){.alpn = cases[i].server},
            (rn_tls_options){.alpn = cases[i].client, .require_alpn = cases[i].required});
        struct pair p = pair_new(&w);
        int server, err = shake(p, cases[i].required ? NULL : &server);
        rn_tls_info info;

        if (cases[i].chosen) {
            CHECK_EQ(err, 0);
            CHECK_EQ(rn_tls_get_info(p.client, &info), 0);
            CHECK_STR(info.alpn, cases[i].chosen);
            CHECK_EQ(rn_tls_get_info(p.server, &info), 0);
            CHECK_STR(info.alpn, cases[i].chosen);
        } else {
            CHECK_EQ(err, -EPROTO);
            says(err,
                 cases[i].required ? "no ALPN protocol was agreed on" : "application protocol");
        }
        pair_close(p);
        world_end(&w);
    }
}

GO_TEST(tls_server_chooses_by_name)
{
    struct identity ca = identity_new((struct wanted){.cn = "Test CA", .is_ca = true});
    struct identity a =
        identity_new((struct wanted){.cn = "A", .names = "DNS:a.test", .issuer = &ca});
    struct identity b =
        identity_new((struct wanted){.cn = "B", .names = "DNS:*.b.test", .issuer = &ca});
    rn_tls_cert certs[] = {cert_of(&a), cert_of(&b)};
    rn_tls_config *server = config_of((rn_tls_options){.certs = certs, .cert_count = 2});
    static const char *const ask[][2] = {
        {"a.test", "CN=A"}, {"x.b.test", "CN=B"}, {"c.test", "CN=A"}};

    for (int v = RN_TLS_1_2; v <= RN_TLS_1_3; v++) {
        rn_tls_config *client = config_of((rn_tls_options){
            .insecure = true, .max_version = (enum rn_tls_version)v, .no_resumption = true});

        for (int i = 0; i < 3; i++) {
            struct pair p = pair_on(wires_new(), client, ask[i][0], server);
            rn_tls_info info;

            shake_ok(p);
            CHECK_EQ(rn_tls_get_info(p.client, &info), 0);
            CHECK_STR(info.peer_subject, ask[i][1]);
            pair_close(p);
        }
        rn_tls_config_release(client);
    }
    rn_tls_config_release(server);
    identity_free(&ca);
    identity_free(&a);
    identity_free(&b);
}

/* ---- Resumption and reload ------------------------------------------------------------------------------------ */

/* One connection with some data; whether it was resumed. */
static bool visit(rn_tls_config *client, const char *host, rn_tls_config *server)
{
    struct pair p = pair_on(wires_new(), client, host, server);
    rn_tls_info c, s;

    shake_ok(p);
    write_pattern(p.server, 10); /* brings the tickets along */
    read_pattern(p.client, 10);
    CHECK_EQ(rn_tls_get_info(p.client, &c), 0);
    CHECK_EQ(rn_tls_get_info(p.server, &s), 0);
    CHECK_EQ(c.resumed, s.resumed);
    CHECK(c.verified);
    CHECK_STR(c.peer_subject, "CN=server");
    pair_close(p);
    return c.resumed;
}

GO_TEST(tls_resumption)
{
    for (int v = RN_TLS_1_2; v <= RN_TLS_1_3; v++) {
        struct world w = world_with((rn_tls_options){.max_version = (enum rn_tls_version)v},
                                    (rn_tls_options){0});
        rn_tls_config *other = config_of((rn_tls_options){.ca_pem = w.ca.cert_pem});
        rn_tls_config *never =
            config_of((rn_tls_options){.ca_pem = w.ca.cert_pem, .no_resumption = true});

        CHECK(!visit(w.client_config, "right.test", w.server_config));
        for (int i = 0; i < 10; i++)
            CHECK(visit(w.client_config, "right.test", w.server_config));
        CHECK(
            !visit(w.client_config, "127.0.0.1", w.server_config)); /* another server, as it were */
        CHECK(!visit(other, "right.test", w.server_config));
        CHECK(!visit(never, "right.test", w.server_config));
        CHECK(!visit(never, "right.test", w.server_config));
        CHECK_EQ(rn_tls_config_reload(w.client_config), 0);
        CHECK(!visit(w.client_config, "right.test", w.server_config));
        CHECK(visit(w.client_config, "right.test", w.server_config));
        /* A server's tickets survive a reload, its sessions hold no memory. */
        CHECK_EQ(rn_tls_config_reload(w.server_config), 0);
        CHECK(visit(w.client_config, "right.test", w.server_config));
        rn_tls_config_release(other);
        rn_tls_config_release(never);
        world_end(&w);
    }
}

/* Sessions are bounded, the least new go first. */
GO_TEST(tls_session_cache_is_bounded)
{
    struct identity ca = identity_new((struct wanted){.cn = "Test CA", .is_ca = true});
    struct identity s = identity_new((struct wanted){
        .cn = "server", .names = "DNS:a.test,DNS:b.test,DNS:c.test", .issuer = &ca});
    rn_tls_config *server = server_of(&s, (rn_tls_options){.max_version = RN_TLS_1_2});
    rn_tls_config *client =
        config_of((rn_tls_options){.ca_pem = ca.cert_pem, .session_cache_size = 2});

    CHECK(!visit(client, "a.test", server));
    CHECK(!visit(client, "b.test", server));
    CHECK(visit(client, "b.test", server));
    CHECK(!visit(client, "c.test", server));
    CHECK(!visit(client, "a.test", server));
    rn_tls_config_release(server);
    rn_tls_config_release(client);
    identity_free(&ca);
    identity_free(&s);
}

GO_TEST(tls_reload)
{
    char path[] = "/tmp/runnel-tls-XXXXXX";
    struct identity ca = identity_new((struct wanted){.cn = "Test CA", .is_ca = true});
    struct identity one =
        identity_new((struct wanted){.cn = "one", .names = "DNS:right.test", .issuer = &ca});
    struct identity two =
        identity_new((struct wanted){.cn = "two", .names = "DNS:right.test", .issuer = &ca});
    rn_tls_config *client =
        config_of((rn_tls_options){.ca_pem = ca.cert_pem, .no_resumption = true});
    rn_tls_config *server;
    rn_tls_cert cert = {.cert_file = path, .key_file = NULL};
    char text[8192];
    const char *expected[] = {"CN=one", "CN=two", "CN=two"};
    struct pair old;

    close(mkstemp(path));
    snprintf(text, sizeof text, "%s%s", one.cert_pem, one.key_pem);
    write_file(path, text);
    server = config_of((rn_tls_options){.certs = &cert, .cert_count = 1});
    old = pair_on(wires_new(), client, "right.test", server);
    shake_ok(old);
    for (int i = 0; i < 3; i++) {
        struct pair p = pair_on(wires_new(), client, "right.test", server);
        rn_tls_info info;

        shake_ok(p);
        CHECK_EQ(rn_tls_get_info(p.client, &info), 0);
        CHECK_STR(info.peer_subject, expected[i]);
        pair_close(p);
        snprintf(text, sizeof text, "%s%s", two.cert_pem, two.key_pem);
        if (i == 1)
            text[700] = 0; /* in the middle of being written */
        write_file(path, text);
        CHECK_EQ(rn_tls_config_reload(server), i == 1 ? -EINVAL : 0);
    }
    write_pattern(old.server, 1000); /* began before, goes on */
    read_pattern(old.client, 1000);
    pair_close(old);
    unlink(path);
    rn_tls_config_release(server);
    rn_tls_config_release(client);
    identity_free(&ca);
    identity_free(&one);
    identity_free(&two);
}

/* ---- Ends ----------------------------------------------------------------------------------------------------- */

/* A stream that ends without a goodbye is told from one that ends with it. */
GO_TEST(tls_truncation)
{
    for (int v = RN_TLS_1_2; v <= RN_TLS_1_3; v++) {
        struct world w = world_with((rn_tls_options){0},
                                    (rn_tls_options){.max_version = (enum rn_tls_version)v});
        struct pair p = pair_new(&w);
        char b[4];
        ssize_t n;

        shake_ok(p);
        write_pattern(p.server, 1000);
        CHECK_EQ(rn_close_write(rn_tls_conn(p.server)), 0); /* below TLS */
        read_pattern(p.client, 1000);
        n = rn_tls_read(p.client, b, 1);
        CHECK_EQ(n, -EIO);
        says((int)n, "tls right.test: the stream ended without a goodbye");
        CHECK_EQ(rn_tls_read(p.client, b, 1), -EIO);
        CHECK_EQ(rn_tls_write(p.client, b, 1), -EIO);
        pair_close(p);

        /* With a goodbye in the middle of what was wanted. */
        p = pair_new(&w);
        shake_ok(p);
        write_pattern(p.server, 3);
        CHECK_EQ(rn_tls_close_write(p.server), 0);
        CHECK_EQ(rn_tls_read_full(p.client, b, 4), -EIO);
        pair_close(p);
        world_end(&w);
    }
}

static void read_expect(rn_tls *t, ssize_t expected)
{
    char b;

    CHECK_EQ(rn_tls_read(t, &b, 1), expected);
}

static void fill_until(rn_tls *t, ssize_t expected)
{
    static char block[100000];
    ssize_t n;

    do
        n = rn_tls_write(t, block, sizeof block);
    while (n > 0);
    CHECK_EQ(n, expected);
}

GO_TEST(tls_close_wakes_all)
{
    struct world w = world_new();
    struct pair p = pair_new(&w);
    rn_wg wg = {0};
    int server = 0;

    shake_ok(p);
    rn_tls_retain(p.client);
    for (int i = 0; i < 3; i++) {
        rn_wg_go(&wg, read_expect, p.client, (ssize_t)-ECANCELED);
        rn_wg_go(&wg, fill_until, p.client, (ssize_t)-ECANCELED);
    }
    test_let_run();
    rn_tls_close(p.client);
    rn_wg_wait(&wg);
    CHECK_EQ(rn_tls_read(p.client, &server, 1), -ECANCELED);
    rn_tls_release(p.client);
    rn_tls_close(p.server);
    world_end(&w);
}

static void read_ctx_expect(rn_ctx *ctx, rn_tls *t, bool full, ssize_t expected)
{
    char b[2];

    CHECK_EQ(full ? rn_tls_read_full_ctx(ctx, t, b, 2) : rn_tls_read_ctx(ctx, t, b, 1), expected);
}
static void write_ctx_expect(rn_ctx *ctx, rn_tls *t, ssize_t expected)
{
    static char block[20000000];

    CHECK_EQ(rn_tls_write_ctx(ctx, t, block, sizeof block), expected);
}

/* Neither deadlines nor contexts break anything. */
GO_TEST(tls_deadlines_and_contexts)
{
    struct world w = world_new();
    struct pair p = pair_new(&w);
    rn_ctx *ctx;
    rn_wg wg = {0};
    char b;

    shake_ok(p);
    CHECK_EQ(rn_tls_set_read_deadline(p.client, rn_now() + RN_MILLISECOND), 0);
    CHECK_EQ(rn_tls_read(p.client, &b, 1), -ETIMEDOUT);
    CHECK_EQ(rn_tls_set_read_deadline(p.client, 0), 0);
    ctx = rn_ctx_with_cancel(rn_ctx_background());
    for (int i = 0; i < 4; i++) { /* one waits for the socket, the others for their turn */
        rn_wg_go(&wg, read_ctx_expect, ctx, p.client, i % 2, (ssize_t)-ECANCELED);
        rn_wg_go(&wg, write_ctx_expect, ctx, p.client, (ssize_t)-ECANCELED);
    }
    AWAIT(rn_tls_sent(p.client) > 0);
    test_let_run();
    rn_ctx_cancel(ctx);
    rn_wg_wait(&wg);
    read_ctx_expect(ctx, p.client, true, -ECANCELED);
    write_ctx_expect(ctx, p.client, -ECANCELED);
    rn_ctx_end(ctx);
    write_pattern(p.server, 1000);
    read_pattern(p.client, 1000);
    pair_close(p);
    world_end(&w);
}

/* The peer resets in the middle of reads and writes: those say so, and whoever comes later too. */
GO_TEST(tls_reset)
{
    for (int v = RN_TLS_1_2; v <= RN_TLS_1_3; v++) {
        struct world w = world_with((rn_tls_options){0},
                                    (rn_tls_options){.max_version = (enum rn_tls_version)v});
        struct pair p = pair_new(&w);
        struct linger none = {.l_onoff = 1, .l_linger = 0};
        rn_wg wg = {0};
        char b;

        shake_ok(p);
        rn_wg_go(&wg, read_ctx_expect, NULL, p.client, v % 2, (ssize_t)-ECONNRESET);
        test_let_run();
        CHECK_EQ(setsockopt(rn_conn_fd(rn_tls_conn(p.server)), SOL_SOCKET, SO_LINGER, &none,
                            sizeof none),
                 0);
        rn_conn_cancel(rn_tls_conn(p.server)); /* without TLS's goodbye */
        rn_wg_wait(&wg);
        CHECK(rn_tls_write(p.client, "x", 1) < 0);
        CHECK(rn_tls_read(p.client, &b, 1) < 0);
        pair_close(p);
        world_end(&w);
    }
}

/* A reader that does not read: the writer's deadline passes in the middle of a record. What rn_tls_sent counts arrives,
 * once, and writing goes on where it stopped. */
GO_TEST(tls_slow_reader)
{
    struct world w = world_new();
    struct pair p = pair_new(&w);
    size_t total = 0;
    enum { SIZE = 300000 };
    char *block = malloc(SIZE);
    rn_wg wg = {0};
    int timeouts = 0;

    shake_ok(p);
    CHECK_EQ(rn_tls_set_write_deadline(p.client, rn_now() + 50 * RN_MILLISECOND), 0);
    for (;;) {
        ssize_t n;

        for (size_t k = 0; k < SIZE; k++)
            block[k] = pattern(total + k);
        n = rn_tls_write(p.client, block, SIZE);
        total = rn_tls_sent(p.client);
        if (n < 0) {
            CHECK_EQ(n, -ETIMEDOUT);
            if (timeouts++ == 3)
                break;
            CHECK_EQ(rn_tls_set_write_deadline(p.client, rn_now() + 10 * RN_MILLISECOND), 0);
        }
    }
    CHECK_EQ(rn_tls_set_write_deadline(p.client, 0), 0);
    rn_wg_go(&wg, read_pattern, p.server, total + SIZE);
    for (size_t k = 0; k < SIZE; k++)
        block[k] = pattern(total + k);
    CHECK_EQ(rn_tls_write(p.client, block, SIZE), SIZE);
    rn_wg_wait(&wg);
    free(block);
    pair_close(p);
    world_end(&w);
}

/* Of what goes out no faster than the peer reads no more than that and a little is taken. */
GO_TEST(tls_takes_what_goes_out)
{
    enum { MUCH = 64 << 20 };
    struct world w = world_new();
    struct pair p = pair_new(&w);
    char *much = calloc(1, MUCH);

    shake_ok(p);
    CHECK_EQ(rn_tls_set_write_deadline(p.client, rn_now() + 50 * RN_MILLISECOND), 0);
    CHECK_EQ(rn_tls_write(p.client, much, MUCH), -ETIMEDOUT);
    CHECK(rn_tls_sent(p.client) < MUCH);
    free(much);
    pair_close(p);
    world_end(&w);
}

/* With an unfinished write a close does not wait for a peer that does not read. */
GO_TEST(tls_close_with_unfinished_write)
{
    struct world w = world_new();
    struct pair p = pair_new(&w);
    rn_time before;

    shake_ok(p);
    CHECK_EQ(rn_tls_set_write_deadline(p.client, rn_now() + 20 * RN_MILLISECOND), 0);
    fill_until(p.client, -ETIMEDOUT);
    before = rn_now();
    rn_tls_close(p.client);
    CHECK(rn_now() - before < 4 * RN_SECOND);
    rn_tls_close(p.server);
    world_end(&w);
}

/* ---- Handshakes that come to nothing -------------------------------------------------------------------------- */

static void handshake_expect(rn_ctx *ctx, rn_tls *t, int expected)
{
    CHECK_EQ(rn_tls_handshake(ctx, t), expected);
}

/* The peer never answers. The handshake ends with its context, and can be taken up again. */
GO_TEST(tls_cancel_in_handshake)
{
    struct world w = world_new();
    struct wires wires = wires_new();
    struct pair p = pair_on(wires, w.client_config, "right.test", w.server_config);
    rn_ctx *ctx = rn_ctx_with_timeout(rn_ctx_background(), RN_MILLISECOND);
    rn_wg wg = {0};

    CHECK_EQ(rn_tls_handshake(ctx, p.client), -ETIMEDOUT);
    rn_ctx_end(ctx);
    ctx = rn_ctx_with_cancel(rn_ctx_background());
    for (int i = 0; i < 3; i++)
        rn_wg_go(&wg, handshake_expect, ctx, p.client, -ECANCELED);
    test_let_run();
    rn_ctx_cancel(ctx);
    rn_wg_wait(&wg);
    rn_ctx_end(ctx);
    CHECK_EQ(rn_tls_set_deadline(p.client, rn_now() + RN_MILLISECOND), 0);
    CHECK_EQ(rn_tls_handshake(NULL, p.client), -ETIMEDOUT);
    CHECK_EQ(rn_tls_set_deadline(p.client, 0), 0);
    shake_ok(p);
    write_pattern(p.client, 1000);
    read_pattern(p.server, 1000);
    pair_close(p);
    world_end(&w);
}

enum { FLIGHTS = 12 };

/* Carries n pieces over, then cuts both sides: by a reset, or by an end. */
static void carry(rn_conn *from, rn_conn *to, _Atomic int *left, rn_conn *other, bool reset)
{
    char buf[500];
    ssize_t n = 1;

    while (n > 0) {
        n = rn_read(from, buf, sizeof buf);
        if (n <= 0 || (*left)-- <= 0)
            break;
        if (rn_write(to, buf, (size_t)n) < 0)
            break;
    }
    if (reset) {
        struct linger l = {.l_onoff = 1};

        setsockopt(rn_conn_fd(to), SOL_SOCKET, SO_LINGER, &l, sizeof l);
        setsockopt(rn_conn_fd(other), SOL_SOCKET, SO_LINGER, &l, sizeof l);
    }
    rn_conn_cancel(to);
    rn_conn_cancel(other);
}

static void cut_after(const struct world *w, int pieces, bool reset, bool *ret_through)
{
    struct wires a = wires_new(), b = wires_new();
    struct pair p = pair_on((struct wires){a.client, b.server}, w->client_config, "right.test",
                            w->server_config);
    _Atomic int left = pieces;
    rn_wg wg = {0};
    int server, err;
    char c;

    rn_wg_go(&wg, carry, a.server, b.client, &left, a.server, reset);
    rn_wg_go(&wg, carry, b.client, a.server, &left, b.client, reset);
    err = shake(p, NULL);
    if (err == 0) {
        *ret_through = true;
        while (rn_tls_write(p.client, "x", 1) > 0)
            rn_yield();
    } else if (err != -EIO && err != -ECONNRESET && err != -EPIPE) {
        test_fail(__FILE__, __LINE__, "after %d pieces: %s", pieces, rn_errmsg(err));
    } else {
        says(err, "tls right.test: ");
    }
    do
        server = (int)rn_tls_read(p.server, &c, 1);
    while (server > 0);
    CHECK(server < 0);
    rn_tls_cancel(p.client);
    rn_wg_wait(&wg);
    pair_close(p);
    rn_conn_close(a.server);
    rn_conn_close(b.client);
}

/* Cut at every step of the way, in pieces smaller than a flight. */
GO_TEST(tls_cut_in_handshake)
{
    for (int v = RN_TLS_1_2; v <= RN_TLS_1_3; v++)
        for (int reset = 0; reset < 2; reset++) {
            struct world w = world_with((rn_tls_options){0},
                                        (rn_tls_options){.max_version = (enum rn_tls_version)v});
            bool through = false;

            for (int pieces = 0; pieces < FLIGHTS; pieces++)
                cut_after(&w, pieces, reset, &through);
            CHECK(through); /* the last ones cut after the handshake */
            world_end(&w);
        }
}

static void send_raw(rn_conn *c, const char *data, size_t size)
{
    (void)rn_write(c, data, size);
}

GO_TEST(tls_garbage)
{
    struct world w = world_new();
    static const char http[] = "GET / HTTP/1.0\r\n\r\n";
    char noise[3][600];

    for (size_t i = 0; i < sizeof noise[0]; i++) {
        noise[0][i] = (char)(i * 7 + 3);
        noise[1][i] = 0;
        noise[2][i] = i < 5 ? "\x16\x03\x01\x02\x00"[i] : (char)i; /* a record of nonsense */
    }
    for (int i = 0; i < 4; i++) {
        const char *data = i < 3 ? noise[i] : http;
        size_t size = i < 3 ? sizeof noise[0] : sizeof http - 1;
        struct wires wires = wires_new();
        rn_tls *t;
        int err;

        CHECK_EQ(rn_tls_server(wires.server, w.server_config, &t), 0);
        send_raw(wires.client, data, size);
        err = rn_tls_handshake(NULL, t);
        CHECK_EQ(err, -EPROTO);
        if (i == 3)
            says(err, "what came is not TLS");
        CHECK_EQ(rn_tls_handshake(NULL, t), -EPROTO); /* and stays so */
        rn_tls_close(t);
        rn_conn_close(wires.client);

        wires = wires_new();
        CHECK_EQ(rn_tls_client(wires.client, "right.test", w.client_config, &t), 0);
        send_raw(wires.server, data, size);
        CHECK_EQ(rn_tls_handshake(NULL, t), -EPROTO);
        rn_tls_close(t);
        rn_conn_close(wires.server);
    }
    world_end(&w);
}

/* A record changed on the way. */
GO_TEST(tls_damage)
{
    struct world w = world_new();
    struct pair p = pair_new(&w);
    char b;
    ssize_t n;

    shake_ok(p);
    send_raw(rn_tls_conn(p.server), "\x17\x03\x03\x00\x20 this is not what the key says it is", 37);
    n = rn_tls_read(p.client, &b, 1);
    CHECK_EQ(n, -EPROTO);
    says((int)n, "tls right.test: ");
    n = rn_tls_read(p.server, &b, 1);
    CHECK_EQ(n, -EPROTO);
    says((int)n, "the peer says: bad record mac");
    pair_close(p);
    world_end(&w);
}

/* ---- Against OpenSSL itself, on a thread of its own ------------------------------------------------------------ */

struct raw {
    int fd;
    const struct world *w;
    int updates;
};

static void *raw_server(void *arg)
{
    struct raw *r = arg;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL *ssl;
    char b;

    SSL_CTX_use_certificate(ctx, r->w->server.cert);
    SSL_CTX_use_PrivateKey(ctx, r->w->server.key);
    ssl = SSL_new(ctx);
    SSL_set_fd(ssl, r->fd);
    CHECK_EQ(SSL_accept(ssl), 1);
    for (int i = 0; i < r->updates; i++) {
        CHECK_EQ(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        CHECK_EQ(SSL_write(ssl, "u", 1), 1);
    }
    for (int i = 0; i < r->updates; i++) {
        CHECK_EQ(SSL_read(ssl, &b, 1), 1);
        CHECK_EQ(b, 'r');
    }
    SSL_shutdown(ssl);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(r->fd);
    return NULL;
}

/* The peer changes its keys and asks us to change ours. */
GO_TEST(tls_key_updates)
{
    struct world w = world_new();
    int fds[2];
    struct raw r = {.w = &w, .updates = 3000};
    pthread_t th;
    rn_conn *c;
    rn_tls *t;
    char b;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    r.fd = fds[1];
    CHECK_EQ(rn_conn_adopt(fds[0], &c), 0);
    CHECK_EQ(pthread_create(&th, NULL, raw_server, &r), 0);
    CHECK_EQ(rn_tls_client(c, "right.test", w.client_config, &t), 0);
    for (int i = 0; i < r.updates; i++) {
        CHECK_EQ(rn_tls_read(t, &b, 1), 1);
        CHECK_EQ(b, 'u');
    }
    for (int i = 0; i < r.updates; i++)
        CHECK_EQ(rn_tls_write(t, "r", 1), 1);
    CHECK_EQ(rn_tls_read(t, &b, 1), 0);
    pthread_join(th, NULL);
    rn_tls_close(t);
    world_end(&w);
}

/* ---- Stacks, memory, runs ------------------------------------------------------------------------------------- */

static void shake_small(rn_tls *t)
{
    CHECK_EQ(rn_tls_handshake(NULL, t), 0);
    write_pattern(t, 40000);
    read_pattern(t, 40000);
    rn_tls_close(t);
}

static void shake_small_wg(rn_tls *t, rn_wg *wg)
{
    shake_small(t);
    rn_wg_done(wg);
}

/* As much stack as the header says is enough, in the most expensive handshake: certificates of both sides verified. */
GO_TEST(tls_stack)
{
    struct world w = world_new();
    rn_tls_cert cert = cert_of(&w.server);
    rn_tls_config *c =
        config_of((rn_tls_options){.ca_pem = w.ca.cert_pem, .certs = &cert, .cert_count = 1});
    rn_tls_config *s = server_of(
        &w.server,
        (rn_tls_options){.ca_pem = w.ca.cert_pem, .client_cert = RN_TLS_REQUIRE_CLIENT_CERT});
    struct pair p = pair_on(wires_new(), c, "right.test", s);
    rn_wg wg = {0};

    rn_wg_add(&wg, 2);
    rn_go_with(RN_ATTR(.stack_size = UNDER_ASAN || UNDER_TSAN ? 256 << 10 : 64 << 10),
               shake_small_wg, p.client, &wg);
    rn_go_with(RN_ATTR(.stack_size = UNDER_ASAN || UNDER_TSAN ? 256 << 10 : 64 << 10),
               shake_small_wg, p.server, &wg);
    rn_wg_wait(&wg);
    rn_tls_config_release(c);
    rn_tls_config_release(s);
    world_end(&w);
}

static struct pair kept;
static _Atomic bool is_writing;

static void write_for_ever(rn_tls *t)
{
    static char block[10000];

    for (size_t at = 0;; at += sizeof block) {
        for (size_t k = 0; k < sizeof block; k++)
            block[k] = pattern(at + k);
        is_writing = true;
        CHECK_EQ(rn_tls_write(t, block, sizeof block), (ssize_t)sizeof block);
        is_writing = false;
    }
}

static bool has_no_room(rn_tls *t)
{
    struct pollfd p = {.fd = rn_conn_fd(rn_tls_conn(t)), .events = POLLOUT};

    return poll(&p, 1, 0) == 0;
}

static int first_run(struct world *w)
{
    struct wires wires;
    int fds[2];

    /* Not TCP, where room may come late, with an acknowledgement. */
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(rn_conn_adopt(fds[0], &wires.client), 0);
    CHECK_EQ(rn_conn_adopt(fds[1], &wires.server), 0);
    kept = pair_on(wires, w->client_config, "right.test", w->server_config);
    shake_ok(kept);
    rn_go(read_expect, kept.client, (ssize_t)12345); /* is in its wait when the run ends */
    rn_go(write_for_ever, kept.client); /* in the middle of a record, more likely than not */
    /* No room is left, and the writer is on its way to wait for some: one that computes when a run ends would go on for a
     * while in the next. */
    AWAIT(is_writing && has_no_room(kept.client));
    test_let_run();
    return 0;
}

static int second_run(struct world *w)
{
    size_t written = rn_tls_sent(kept.client);
    rn_wg wg = {0};
    char b;

    (void)w;
    CHECK_EQ(rn_tls_write(kept.server, "x", 1), 1);
    CHECK_EQ(rn_tls_read(kept.client, &b, 1), 1);
    CHECK_EQ(b, 'x');
    /* What was taken arrives, once, and then what is written now. */
    rn_wg_go(&wg, read_pattern, kept.server, written + 1);
    b = pattern(written);
    CHECK_EQ(rn_tls_write(kept.client, &b, 1), 1);
    rn_wg_wait(&wg);
    pair_close(kept);
    return 0;
}

/* A connection survives the end of rn_run, and what goroutines were doing with it then. */
PLAIN_TEST(tls_survives_a_run)
{
    struct world w = world_new();

    CHECK_EQ(rn_run(first_run, &w), 0);
    CHECK_EQ(rn_run(second_run, &w), 0);
    world_end(&w);
}
