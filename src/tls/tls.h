/* SPDX-License-Identifier: MIT */
/*
 * tls.h - what the files of librunnel-tls share.
 *
 * OpenSSL keeps an error queue per thread, and a goroutine may come back from any wait on another one. So whatever
 * calls OpenSSL clears the queue before and reads it right after, with no wait in between; what OpenSSL calls (the
 * callbacks of verification, ALPN, sessions, input and output) does not wait either: the locks in there are a thread's,
 * held for a few instructions.
 */
#ifndef RN_SRC_TLS_H
#define RN_SRC_TLS_H

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <runnel/err.h>
#include <runnel/go.h>
#include <runnel/sync.h>
#include <runnel/tls.h>

#include "base/atomic.h"

enum { NAME_MAX_TLS = 256 };
enum { SESSIONS_DEFAULT = 256 };

/* One pair of certificate and key, loaded. */
struct loaded_cert {
    X509 *cert;
    EVP_PKEY *key;
    STACK_OF(X509) * chain;
};

struct session {
    struct session *next, *prev; /* newest first */
    SSL_SESSION *session;
    char host[];
};

/* What a reload replaces as a whole: an SSL_CTX and what its callbacks read. Counted: one reference for the
 * configuration, one for each connection that began with it. */
struct setup {
    uint32_t refs; /* atomic */
    SSL_CTX *ctx;
    struct rn_tls_config *config; /* not counted: a connection keeps both */
    struct loaded_cert *certs;
    size_t cert_count;
    unsigned long generation;
};

struct rn_tls_config {
    uint32_t refs;          /* atomic */
    rn_tls_options options; /* with copies of all it points to */
    uint8_t *alpn_wire;     /* length and name each */
    size_t alpn_size;
    uint8_t (*pins)[32];
    size_t pin_count;
    pthread_mutex_t lock;
    /* Guarded by lock: */
    struct setup *setup;
    unsigned long generation; /* how often it was reloaded */
    struct session *newest, *oldest;
    int sessions;
};

/* Guards one turn: who waits for the peer in the name of all. Held across waits, and taken from a holder that went away
 * with its runtime in the midst of one. */
struct turn {
    rn_sem sem;
    pthread_mutex_t
        seen; /* for tools, which see no atomics of ours: who sets waits, and who takes a turn by it */
    uint64_t
        holder; /* atomic: the run of the goroutine that has it; 0: a thread has it, or nobody */
    uint32_t
        waits; /* atomic: the holder is in a wait, and the first to change that decides: its return, or who takes
                        the turn in its absence */
};

struct pipe_buf {
    char *data;
    size_t start, end, room;
};

struct rn_tls {
    uint32_t refs;   /* atomic: users' and one per call in progress */
    uint32_t closed; /* atomic: no call begins any more */
    uint32_t ready;  /* atomic: the handshake is made */
    uint64_t sent;   /* atomic; written by who has the writing turn */
    bool is_server;
    rn_conn *conn;
    rn_tls_config *config;
    struct setup *setup;
    char host[NAME_MAX_TLS];  /* whose certificate is expected; empty: a server, or nobody */
    char label[NAME_MAX_TLS]; /* who the peer is, in messages */

    struct turn reading;  /* first: the handshake, reading from conn */
    struct turn writing;  /* then: writing to conn */
    pthread_mutex_t lock; /* last: guards what follows, up to fly; never held across a wait */
    SSL *ssl;
    char names[48];    /* of a certificate that has none of the right ones */
    rn_error failed;   /* for ever; code 0: no failure */
    bool ended;        /* the peer has said goodbye */
    bool said_goodbye; /* this side has, or is about to */
    bool in_eof;
    char *in; /* written by who has the turn of reading, while all of it is taken */
    size_t in_start, in_end;
    struct pipe_buf out;

    struct pipe_buf fly; /* of who has the turn of writing, without the lock */
    uint64_t fly_at;     /* what rn_conn_sent said, or would have, when fly began to go out */
};

/* ---- config.c --- */

struct setup *rn__tls_setup_get(rn_tls_config *config);
void rn__tls_setup_release(struct setup *s);
rn_tls_config *rn__tls_default(void);

/* ---- conn.c --- */

/* Is there anything that a read would begin with, or go on with in the handshake, or that the kernel has? No wait. */
bool rn__tls_has_come(struct rn_tls *t);
/* 0; -EINVAL with a message: it is NULL, or has no certificate. */
int rn__tls_can_serve(const rn_tls_config *config);

/* ---- session.c --- */

void rn__tls_session_keep(rn_tls_config *config, unsigned long generation, const char *host,
                          SSL_SESSION *session);
/* A session for host, or NULL; the caller frees it. */
SSL_SESSION *rn__tls_session_take(rn_tls_config *config, const char *host);
void rn__tls_sessions_drop(rn_tls_config *config);

/* ---- error.c --- */

/* What the queue of this thread, which it empties, and the state of ssl say about a call that has failed; returns the
 * code, and writes a text of at most size bytes. */
int rn__tls_why(SSL *ssl, const char *host, bool handshake, char *text, size_t size);
/* The names that cert is for, as many as fit. */
void rn__tls_names_of(X509 *cert, char *text, size_t size);
/* The reason of the first entry of the queue, which it empties. */
const char *rn__tls_reason(void);

#endif
