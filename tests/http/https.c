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
    struct plan plan; /* of the next connection */
    _Atomic bool cut; /* by the limit; said by a connection once it has read its plan */
};

/* A connection's. */
struct speech {
    struct talk *t;
    struct world *w;
    struct plan plan;
    BIO *in, *out;
    size_t sent;
};

/* Send what TLS has, as far as the plan goes. */
static bool send_out(struct speech *s)
{
    char *data;
    size_t n = (size_t)BIO_get_mem_data(s->out, &data), left = s->plan.limit - s->sent;
    bool cut = s->plan.limit > 0 && n > left;

    if (cut)
        n = left;
    s->w->cut = cut;
    s->sent += n;
    if (!talk_write(s->t, data, n))
        return false;
    (void)BIO_reset(s->out);
    return !cut;
}

/* The client's request, and the answer. */
static void converse(struct speech *s, SSL *ssl)
{
    const char *answer = s->plan.says;
    char request[4096];
    size_t got = 0;

    do {
        int n;

        ERR_clear_error();
        n = SSL_read(ssl, request + got, (int)(sizeof request - 1 - got));
        if (!send_out(s))
            return;
        if (n > 0) {
            got += (size_t)n;
        } else {
            s->t->size = s->t->at = 0;
            if (!talk_more(s->t))
                return;
            BIO_write(s->in, s->t->text, (int)s->t->size);
        }
        request[got] = 0;
    } while (!strstr(request, "\r\n\r\n"));
    s->t->peer->requests++;
    if (answer[0])
        CHECK_EQ(SSL_write(ssl, answer, (int)strlen(answer)), (int)strlen(answer));
    if (s->plan.goodbye)
        SSL_shutdown(ssl);
    (void)send_out(s);
}

static void secure(struct talk *t)
{
    struct speech s = {.t = t};
    struct world *w;
    SSL *ssl;

    CHECK(t->peer->stage > 0); /* which plan_is has said */
    s.w = w = t->peer->arg;
    s.plan = w->plan;
    ssl = SSL_new(w->ctx);
    s.in = BIO_new(BIO_s_mem());
    s.out = BIO_new(BIO_s_mem());
    CHECK(ssl && s.in && s.out);
    SSL_set_bio(ssl, s.in, s.out); /* which frees them */
    SSL_set_accept_state(ssl);
    converse(&s, ssl);
    SSL_free(ssl);
    if (s.plan.reset) {
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

/* For the next connection. ThreadSanitizer sees no order by what curl reads and writes. */
static void plan_is(struct world *w, struct plan plan)
{
    (void)w->cut;
    w->plan = plan;
    w->p.stage++;
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
                plan_is(&w, (struct plan){.what = reset ? "reset" : "end",
                                          .says = HEAD_3 "abc",
                                          .reset = reset,
                                          .err = reset ? -ECONNRESET : -EIO,
                                          .limit = limit});
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
    /* Whoever sits in between could end it anywhere. */
    {.what = "no goodbye where the end is the body's", .says = HEAD_NONE "abc", .err = -EIO},
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
            plan_is(&w, ends[i]);
            (void)ask(&w);
        }
        world_end(&w);
    }
}

/* Of a connection that was kept no goodbye counts for the one that takes its place. */
GO_TEST(https_a_goodbye_is_of_its_connection)
{
    EACH_VERSION(v)
    {
        struct world w;
        rn_http_request rq;
        rn_http_response *r;
        int err;

        world_begin(&w, v);
        rq = (rn_http_request){.url = w.p.url};
        plan_is(&w, (struct plan){.says = HEAD_3 "abc", .goodbye = true});
        rn_http_response_free(answer(w.client, rq));
        plan_is(&w, (struct plan){.says = HEAD_NONE "abc"});
        err = rn_http_do(NULL, w.client, &rq, &r);
        CHECK_EQ(err, -EIO);
        says(err, "without a goodbye");
        CHECK_EQ(w.p.connections, 2);
        world_end(&w);
    }
}
