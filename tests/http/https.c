/* SPDX-License-Identifier: MIT */
/*
 * https.c - the HTTP client against a scripted peer that speaks TLS: streams that are cut wherever that may be, and ends
 * with and without a goodbye.
 *
 * OpenSSL works between two pieces of memory here, so that what the peer sends can be cut at any byte, and no goroutine
 * parks in it.
 */
#define _GNU_SOURCE
#include "ca.h"
#include "peer.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

/* See http.h: neither libcurl nor what it uses is instrumented. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:libcurl.so\ncalled_from_lib:libcrypto.so\n"
           "called_from_lib:libssl.so\ncalled_from_lib:libnghttp2.so\n";
}

#define HEAD_3 "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
#define HEAD_CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define HEAD_NONE "HTTP/1.0 200 OK\r\n\r\n"

/* What the peer does with a connection. */
struct plan {
    const char *what, *says;
    bool goodbye; /* before the end */
    bool reset;   /* the end is a reset */
    int err;      /* what becomes of the request */
    size_t limit; /* bytes that are sent, of whatever they are; 0: all */
};

struct world {
    struct identity ca, server;
    SSL_CTX *ctx;
    rn_http_client *client;
    struct peer p;
    struct plan plan;
    bool cut; /* by the limit */
};

/* Send what TLS has, as far as the plan goes. */
static bool send_out(struct talk *t, struct world *w, BIO *out, size_t *sent)
{
    char *data;
    size_t n = (size_t)BIO_get_mem_data(out, &data), left = w->plan.limit - *sent;

    w->cut = w->plan.limit > 0 && n > left;
    if (w->cut)
        n = left;
    *sent += n;
    if (!talk_write(t, data, n))
        return false;
    (void)BIO_reset(out);
    return !w->cut;
}

/* The client's request, and the answer. */
static void converse(struct talk *t, struct world *w, SSL *ssl)
{
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    char request[4096];
    size_t got = 0, sent = 0;
    int n = -1;

    SSL_set_bio(ssl, in, out); /* which frees them */
    SSL_set_accept_state(ssl);
    for (;;) {
        ERR_clear_error();
        n = SSL_read(ssl, request + got, (int)(sizeof request - 1 - got));
        if (!send_out(t, w, out, &sent))
            return;
        if (n > 0) {
            got += (size_t)n;
            request[got] = 0;
            if (strstr(request, "\r\n\r\n"))
                break;
            continue;
        }
        t->size = t->at = 0;
        if (!talk_more(t))
            return;
        BIO_write(in, t->text, (int)t->size);
    }
    t->peer->requests++;
    CHECK_EQ(SSL_write(ssl, w->plan.says, (int)strlen(w->plan.says)), (int)strlen(w->plan.says));
    if (w->plan.goodbye)
        SSL_shutdown(ssl);
    (void)send_out(t, w, out, &sent);
}

static void secure(struct talk *t)
{
    struct world *w = t->peer->arg;
    SSL *ssl = SSL_new(w->ctx);

    converse(t, w, ssl);
    SSL_free(ssl);
    if (w->plan.reset) {
        talk_cut(t);
    } else {
        /* What the client still says is to meet no closed socket, which would be a reset. */
        CHECK_EQ(shutdown(t->fd, SHUT_WR), 0);
        talk_hold(t);
    }
}

static void world_begin(struct world *w, int version)
{
    *w = (struct world){0};
    w->ca = identity_new((struct wanted){.cn = "Test CA", .is_ca = true});
    w->server =
        identity_new((struct wanted){.cn = "server", .names = "IP:127.0.0.1", .issuer = &w->ca});
    w->ctx = SSL_CTX_new(TLS_server_method());
    CHECK(w->ctx);
    SSL_CTX_use_certificate(w->ctx, w->server.cert);
    SSL_CTX_use_PrivateKey(w->ctx, w->server.key);
    SSL_CTX_set_min_proto_version(w->ctx, version);
    SSL_CTX_set_max_proto_version(w->ctx, version);
    /* Each handshake is a whole one. */
    SSL_CTX_set_session_cache_mode(w->ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(w->ctx, SSL_OP_NO_TICKET);
    w->client = client_of((rn_http_options){.ca_pem = w->ca.cert_pem});
    peer_start(&w->p, secure);
    w->p.arg = w;
    snprintf(w->p.url, sizeof w->p.url, "https://127.0.0.1:%d/", w->p.port);
}

static void world_end(struct world *w)
{
    rn_http_client_release(w->client);
    peer_end(&w->p);
    SSL_CTX_free(w->ctx);
    identity_free(&w->ca);
    identity_free(&w->server);
}

/* A request by the plan; true if the answer came. */
static bool ask(struct world *w)
{
    rn_http_request rq = {.url = w->p.url, .fresh = true};
    rn_http_response *r = NULL;
    int err = rn_http_do(NULL, w->client, &rq, &r);

    if (err != w->plan.err && (err || !w->plan.limit || w->cut))
        test_fail(__FILE__, __LINE__, "%s, %zu bytes: %d, not %d: %s", w->plan.what, w->plan.limit,
                  err, w->plan.err, rn_errmsg(err));
    if (err)
        says(err, "http 127.0.0.1:");
    else
        CHECK_STR(r->body, "abc");
    rn_http_response_free(r);
    rn_http_client_close_idle(w->client);
    return !err;
}

#define EACH_VERSION(v) for (int v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++)

/* Cut in the handshake, in a record and between two, in the head and in the body. */
GO_TEST(https_cut_wherever_it_may_be)
{
    EACH_VERSION(v)
    {
        for (int reset = 0; reset < 2; reset++) {
            struct world w;
            size_t limit = 1;

            world_begin(&w, v);
            do {
                w.plan = (struct plan){.what = reset ? "reset" : "end",
                                       .says = HEAD_3 "abc",
                                       .reset = reset,
                                       .err = reset ? -ECONNRESET : -EIO,
                                       .limit = limit};
                limit += 37;
            } while (!ask(&w));
            CHECK(limit > 500 && w.p.requests > 1); /* some were cut in the answer */
            world_end(&w);
        }
    }
}

static const struct plan ends[] = {
    {.what = "whole", .says = HEAD_3 "abc"},
    {.what = "whole, and a goodbye", .says = HEAD_3 "abc", .goodbye = true},
    {.what = "chunks, whole", .says = HEAD_CHUNKED "3\r\nabc\r\n0\r\n\r\n"},
    {.what = "until a goodbye", .says = HEAD_NONE "abc", .goodbye = true},
    {.what = "nothing", .says = "", .err = -EIO},
    {.what = "nothing but a goodbye", .says = "", .goodbye = true, .err = -EIO},
    {.what = "in the body", .says = HEAD_3 "ab", .err = -EIO},
    {.what = "a goodbye in the body", .says = HEAD_3 "ab", .goodbye = true, .err = -EIO},
    {.what = "reset in the body", .says = HEAD_3 "ab", .reset = true, .err = -ECONNRESET},
    {.what = "in chunks", .says = HEAD_CHUNKED "3\r\nabc\r\n", .err = -EIO},
    {.what = "a goodbye in chunks", .says = HEAD_CHUNKED "3\r\nab", .goodbye = true, .err = -EIO},
    {.what = "a reset where the end is the body's",
     .says = HEAD_NONE "abc",
     .reset = true,
     .err = -ECONNRESET},
};

GO_TEST(https_ends)
{
    EACH_VERSION(v)
    {
        struct world w;

        world_begin(&w, v);
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
            w.plan = ends[i];
            (void)ask(&w);
        }
        world_end(&w);
    }
}
