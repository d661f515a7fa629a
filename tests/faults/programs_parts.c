/* SPDX-License-Identifier: MIT */
/*
 * programs_parts.c - programs over the optional parts, see programs.h: names, TLS, an HTTP server and its client. What
 * OpenSSL, c-ares and libcurl ask for themselves is not refused; all that the parts ask for is. As in programs_os.c,
 * whatever fails is told, and what did not fail is right.
 */
#define _GNU_SOURCE
#include "inject.h"
#include "programs.h"

#include "../tls/ca.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <runnel.h>
#include <runnel/dns.h>
#include <runnel/http.h>
#include <runnel/httpd.h>
#include <runnel/net.h>
#include <runnel/tls.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RIGHT(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            return __LINE__ % 200 + 3;                                                             \
    } while (0)

/* Of ca.h's checks, which run before anything is refused. */
void test_fail(const char *file, int line, const char *fmt, ...)
{
    va_list rest;

    fprintf(stderr, "%s:%d: ", file, line);
    va_start(rest, fmt);
    vfprintf(stderr, fmt, rest);
    va_end(rest);
    abort();
}

/* Is this an error that a refusal explains? */
static bool told(long err)
{
    static const int all[] = {ENOMEM,   EMFILE, ENETUNREACH, EADDRINUSE, ENOBUFS, ECONNRESET,
                              ENOTCONN, EIO,    EPERM,       ESPIPE,     EACCES,  ECONNREFUSED,
                              EPIPE,    EAGAIN, EPROTO,      ENOENT,     EINVAL,  ETIMEDOUT};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (err == -all[i])
            return true;
    return false;
}

enum { SIZE = 30000 };
static unsigned char pattern[SIZE];
static struct identity authority, server;

/* What the programs need that is not under test. */
__attribute__((constructor)) static void make_ready(void)
{
    for (int i = 0; i < SIZE; i++)
        pattern[i] = (unsigned char)(i * 7 + i / 256);
    authority = identity_new((struct wanted){.cn = "Test CA", .is_ca = true});
    server = identity_new(
        (struct wanted){.cn = "server", .names = "DNS:right.test", .issuer = &authority});
}

int __real_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __real_socket(int family, int type, int protocol);

/* ---- Names ------------------------------------------------------------------------------------------------- */

/* A server of names: every name has the address 192.0.2.7, until a packet of one byte comes. */
static void *name_server(void *arg)
{
    int fd = *(int *)arg;

    for (;;) {
        static const unsigned char address[] = {0xc0, 12, 0, 1, 0,   1, 0, 0,
                                                0,    60, 0, 4, 192, 0, 2, 7};
        unsigned char p[1000];
        struct sockaddr_storage from;
        socklen_t from_size = sizeof from;
        ssize_t n =
            recvfrom(fd, p, sizeof p - sizeof address, 0, (struct sockaddr *)&from, &from_size);
        size_t end = 12;

        if (n == 1)
            return NULL;
        if (n < 17)
            continue;
        while (p[end] && end < (size_t)n)
            end += p[end] + 1U;
        end += 5;
        p[2] = 0x84;
        p[3] = 0;
        memset(p + 6, 0, 6); /* no answer, and nothing beside the question */
        if (p[end - 3] == RN_DNS_A) {
            p[7] = 1;
            memcpy(p + end, address, sizeof address);
            end += sizeof address;
        }
        (void)!sendto(fd, p, end, 0, (struct sockaddr *)&from, from_size);
    }
}

static int ask(const char *at)
{
    rn_dns *r = NULL;
    rn_dns_answer *answer = NULL;
    rn_addr a[4];
    char text[RN_ADDR_TEXT];
    int n, err = rn_dns_new(&(rn_dns_options){.servers = at,
                                              .search = "",
                                              .resolv_file = "/nonexistent",
                                              .nsswitch_file = "",
                                              .timeout = 300 * RN_MILLISECOND,
                                              .tries = 2},
                            &r);

    RIGHT(err == 0 || told(err));
    if (err)
        return 0;
    for (int i = 0; i < 2; i++) { /* the second time it is known */
        n = rn_dns_host(NULL, r, "a.test", 0, a, 4);
        RIGHT(n == 1 || told(n));
        if (n == 1)
            RIGHT(rn_addr_text(&a[0], text, sizeof text) > 0 &&
                  strncmp(text, "192.0.2.7:", 10) == 0);
    }
    n = rn_dns_host(NULL, r, "localhost", 4, a, 4);
    RIGHT(n == 1 || told(n));
    n = rn_dns_lookup(NULL, r, "b.test", RN_DNS_A, &answer);
    RIGHT(n == 1 || told(n));
    if (n == 1) {
        RIGHT(answer->count == 1 && answer->records[0].ttl == 60);
        rn_dns_answer_free(answer);
    }
    rn_dns_release(r);
    return 0;
}

static int names(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = __real_socket(AF_INET, SOCK_DGRAM, 0), result;
    pthread_t thread;
    char text[40];

    RIGHT(fd >= 0 && bind(fd, (struct sockaddr *)&at, size) == 0);
    RIGHT(getsockname(fd, (struct sockaddr *)&at, &size) == 0);
    RIGHT(__real_pthread_create(&thread, NULL, name_server, &fd) == 0);
    snprintf(text, sizeof text, "127.0.0.1:%d", ntohs(at.sin_port));
    result = rn_run(ask, (const char *)text);
    RIGHT(sendto(fd, "x", 1, 0, (struct sockaddr *)&at, size) == 1);
    RIGHT(pthread_join(thread, NULL) == 0 && close(fd) == 0);
    return result;
}

/* ---- TLS ------------------------------------------------------------------------------------------------------- */

/* Echoes all until the end. */
static void serve_tls(rn_conn *c, rn_tls_config *config, rn_chan(int) done)
{
    static unsigned char got[SIZE];
    rn_tls *t = NULL;
    int err = rn_tls_server(c, config, &t);

    if (err) {
        rn_conn_close(c);
    } else {
        ssize_t n = rn_tls_read_full(t, got, SIZE);

        if (n == SIZE)
            n = rn_tls_write(t, got, SIZE);
        err = n < 0 ? (int)n : 0;
        rn_tls_close(t);
    }
    rn_send(done, err);
}

static int secure_main(void)
{
    static unsigned char got[SIZE];
    rn_tls_cert cert = {.cert_pem = server.cert_pem, .key_pem = server.key_pem};
    rn_tls_config *of_server = NULL, *of_client = NULL;
    rn_conn *c[2] = {NULL, NULL};
    rn_chan(int) done = NULL;
    rn_tls *t = NULL;
    rn_tls_info info;
    ssize_t n;
    int err, others, fds[2];

    if (rn_chan_make_err(&done, 1) != 0)
        return 0;
    err = rn_tls_config_new(&(rn_tls_options){.certs = &cert, .cert_count = 1}, &of_server);
    RIGHT(err == 0 || told(err));
    if (!err)
        err = rn_tls_config_new(&(rn_tls_options){.ca_pem = authority.cert_pem}, &of_client);
    RIGHT(err == 0 || told(err));
    if (err)
        goto end;
    RIGHT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    for (int i = 0; i < 2; i++) {
        err = rn_conn_adopt(fds[i], &c[i]);
        RIGHT(err == 0 || told(err));
        if (err)
            RIGHT(close(fds[i]) == 0);
    }
    if (c[0] && c[1] && (err = rn_go_err(serve_tls, c[0], of_server, done)) == 0) {
        err = rn_tls_client(c[1], "right.test", of_client, &t);
        RIGHT(err == 0 || told(err));
        if (err) {
            rn_conn_close(c[1]);
        } else {
            n = rn_tls_write(t, pattern, SIZE);
            RIGHT(n == SIZE || told(n));
            if (n == SIZE)
                n = rn_tls_read_full(t, got, SIZE);
            RIGHT(n == 0 || told(n) || (n == SIZE && memcmp(got, pattern, SIZE) == 0));
            if (n == SIZE)
                RIGHT(rn_tls_get_info(t, &info) == 0 && info.verified);
            err = n < 0 ? (int)n : 0;
            rn_tls_close(t);
        }
        others = rn_recv(done);
        RIGHT(others == 0 || told(others));
        /* What is wrong with the protocol is what the other has said of its own want of memory. */
        RIGHT((err != -EPROTO || others == -ENOMEM) && (others != -EPROTO || err == -ENOMEM));
    } else {
        rn_conn_close(c[0]);
        rn_conn_close(c[1]);
    }
end:
    rn_tls_config_release(of_server);
    rn_tls_config_release(of_client);
    rn_chan_release(done);
    return 0;
}

static int secure(void)
{
    return rn_run(secure_main);
}

/* ---- HTTP --------------------------------------------------------------------------------------------------------- */

static void answer_whole(rn_httpd_request *rq, rn_httpd_response *rs)
{
    if (rn_ctx_err(rn_httpd_ctx(rq)) == 0) /* else nothing is said, and the server answers */
        (void)rn_httpd_reply(rs, 200, "application/octet-stream", pattern, SIZE);
}

/* What was sent, in parts, with more headers than usual. */
static void answer_back(rn_httpd_request *rq, rn_httpd_response *rs)
{
    char part[1000];
    ssize_t n;

    (void)rn_httpd_set_header(rs, "X-Name", rn_httpd_param(rq, "name"));
    while ((n = rn_httpd_read(rq, part, sizeof part)) > 0)
        if (rn_httpd_write(rs, part, (size_t)n) != n)
            return;
    if (n == 0)
        (void)rn_httpd_set_trailer(rs, "X-End", "yes");
}

/* Made before anything is refused: these calls panic, see made. */
static rn_httpd *served;
static rn_httpd *server_new(void)
{
    rn_httpd *h = rn_httpd_new(&(rn_httpd_options){.drain = RN_MILLISECOND, .grace = RN_SECOND});

    rn_httpd_handle(h, "GET /whole", answer_whole);
    rn_httpd_handle(h, "POST /back/{name}", answer_back);
    return h;
}

static int made(void)
{
    rn_httpd_free(server_new());
    return 0;
}

static void serve_http(rn_ctx *ctx, rn_httpd *h, rn_listener *l, rn_chan(int) done)
{
    rn_send(done, rn_httpd_serve(ctx, h, l));
}

/* A response that says that it is complete is; the server's own for want of something is one too. */
static int check(int err, rn_http_response *r, const char *name)
{
    RIGHT(err == 0 || told(err));
    if (err)
        return 0;
    RIGHT(r->status == 200 || r->status >= 500);
    if (r->status == 200) {
        RIGHT(r->size <= SIZE && memcmp(r->body, pattern, r->size) == 0);
        /* a handler that cannot read to the end says so by the want of a trailer */
        RIGHT(r->size == SIZE || (name && !rn_http_header(r, "X-End")));
        /* a header for which there was no memory is missing, and no other */
        RIGHT(!name || !rn_http_header(r, "X-Name") ||
              strcmp(rn_http_header(r, "X-Name"), name) == 0);
    }
    rn_http_response_free(r);
    return 0;
}

static int requests(rn_http_client *client, const char *at)
{
    rn_http_response *r = NULL;
    char url[100];
    int err, wrong;

    snprintf(url, sizeof url, "http://%s/whole", at);
    err = rn_http_do(NULL, client, &(rn_http_request){.url = url}, &r);
    wrong = check(err, r, NULL);
    if (wrong)
        return wrong;
    snprintf(url, sizeof url, "http://%s/back/you", at);
    r = NULL;
    err = rn_http_do(NULL, client,
                     &(rn_http_request){.url = url, .body = pattern, .body_size = SIZE}, &r);
    return check(err, r, "you");
}

static int http_main(void)
{
    rn_http_client *client = NULL;
    rn_listener *l = NULL;
    rn_chan(int) done = NULL;
    rn_ctx *ctx = NULL;
    rn_addr a;
    char at[40];
    int err, wrong = 0;

    if (rn_chan_make_err(&done, 1) != 0)
        return 0;
    err = rn_listen("tcp4", "127.0.0.1:0", &l);
    RIGHT(err == 0 || told(err));
    if (!err)
        err = rn_listener_addr(l, &a);
    if (!err)
        err = rn__ctx_with_timeout_err(rn_ctx_background(), INT64_MAX, &ctx);
    RIGHT(err == 0 || told(err));
    if (err) {
        rn_listener_close(l);
        rn_chan_release(done);
        return 0;
    }
    snprintf(at, sizeof at, "127.0.0.1:%d", rn_addr_port(&a));
    if (rn_go_err(serve_http, ctx, served, l, done) != 0) {
        rn_listener_close(l);
    } else {
        err = rn_http_client_new(&(rn_http_options){.timeout = 3 * RN_SECOND}, &client);
        RIGHT(err == 0 || told(err));
        if (!err)
            wrong = requests(client, at);
        rn_http_client_release(client);
        rn_ctx_cancel(ctx);
        err = rn_recv(done);
        RIGHT(err == 0 || told(err));
    }
    rn_ctx_end(ctx);
    rn_chan_release(done);
    return wrong;
}

static int http(void)
{
    int result;

    fault_hold(true);
    served = server_new();
    fault_hold(false);
    result = rn_run(http_main);
    rn_httpd_free(served);
    return result;
}

/* The client alone, with a server that makes no context. */
static void answer_one(rn_listener *l, rn_chan(int) done)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    char got[1000];
    rn_conn *c = NULL;
    int err = rn_accept(l, &c);

    if (!err) {
        if (rn_read(c, got, sizeof got) > 0)
            (void)rn_write(c, answer, sizeof answer - 1);
        rn_conn_close(c);
    }
    rn_send(done, err);
}

static int asks_main(void)
{
    rn_http_client *client = NULL;
    rn_http_response *r = NULL;
    rn_listener *l = NULL;
    rn_chan(int) done = NULL;
    char url[60];
    rn_addr a;
    int err;

    if (rn_chan_make_err(&done, 1) != 0)
        return 0;
    err = rn_listen("tcp4", "127.0.0.1:0", &l);
    if (!err)
        err = rn_listener_addr(l, &a);
    if (!err)
        err = rn_go_err(answer_one, l, done);
    RIGHT(err == 0 || told(err));
    if (!err) {
        snprintf(url, sizeof url, "http://127.0.0.1:%d/", rn_addr_port(&a));
        err = rn_http_client_new(
            &(rn_http_options){.timeout = 3 * RN_SECOND, .stall_timeout = 3 * RN_SECOND}, &client);
        if (!err)
            err = rn_http_do(NULL, client, &(rn_http_request){.url = url}, &r);
        RIGHT(err == 0 ? r->size == 5 && memcmp(r->body, "hello", 5) == 0 : told(err));
        rn_http_response_free(r);
        rn_http_client_release(client);
        rn_listener_cancel(l); /* nobody may have come */
        (void)rn_recv(done);
    }
    rn_listener_close(l);
    rn_chan_release(done);
    return 0;
}

static int asks(void)
{
    return rn_run(asks_main);
}

const struct program programs[] = {
    {"names", names, true, 0}, {"secure", secure, true, 0},         {"http", http, true, 0},
    {"asks", asks, true, 0},   {"made", made, true, PANICS_SERVER}, {NULL, NULL, false, 0}};
