/* SPDX-License-Identifier: MIT */
/*
 * httpd.h - the server inside.
 *
 * A serving is one call of rn_httpd_serve, rn_httpd_serve_over or rn_httpd_serve_stream: its connections in a list, and
 * how far ending has come. While a server has servings a goroutine sweeps over them all. A connection is a goroutine
 * with a struct conn on its stack, and nothing else while it is idle: what a request needs is a block, taken from the
 * server's pool when the first byte has come and given back when there is no more to do. An idle connection that has
 * called a handler gives the rest of its stack back when the sweeper comes by.
 *
 * Beside a handler that has asked for its request's context a goroutine reads ahead: see watcher.
 *
 * Time limits. A connection never looks at the clock. It changes its word with every step: a number that is never the
 * same, and the phase. The sweeper notes when it first saw a word, and where one is too old, it writes it down as the
 * verdict and lets the read or write in progress end, by a deadline in the past. The connection compares: a verdict about
 * another word is about what is over, and the deadline is taken back. For a read that is done when one has ended for it; a
 * write that has ended so cannot be taken up again, and so no write begins before its deadline is known to be gone.
 *
 * Ending: see the stages. A connection says that it is idle before it looks at the stage, and the stage is set before
 * the idle ones are told, with a fence on both sides: one of the two sees the other.
 *
 * Out of memory. A connection whose goroutine cannot be started is closed, one without a block answered 503 from what is
 * there. A request has room for its path, and for all that is handed out of path and query, before a handler sees it.
 * What is lacking later is written down in the response (lacks): it fails until the handler makes another one, whole,
 * and if it does not, the answer is the server's.
 *
 * The end of rn_run drops goroutines where they wait, and a server that served goes on in the next: what its servings had in
 * common (struct sweeping) is known to be of a run that is gone, and made anew. Nobody waits with the server's own lock held.
 *
 * Locks: sweeping.lock (the list of servings; the sweep holds it), then serving.lock (the list of connections; the sweep, a
 * stage and a beginning hold it, and call a stream's deadlines and cancel with it); rn_httpd.lock and pool locks, by
 * themselves.
 */
#ifndef RN_SRC_HTTPD_H
#define RN_SRC_HTTPD_H

#include <runnel.h>
#include <runnel/httpd.h>

#include "base/atomic.h"
#include "httpd/head.h"

enum { IN_SIZE = 8192, OUT_SIZE = 8192, GATHER = 4096, ARENA = 1024, LINES = 1024, POOLS = 8 };
enum { READ_AHEAD = 512 }; /* bytes that there should be room for */
enum { PIECE = 16384 };    /* a record's of TLS */
enum {
    SKIP_MAX = 256 * 1024
}; /* bytes of a body nobody wants, read so that the connection can go on */

enum phase { BUSY, HEAD_PHASE, BODY_PHASE, IDLE, WRITING, LINGER, PHASES };
enum stage { SERVING, DRAINING, CLOSING, CUT };

struct route {
    struct rn__call call; /* rq and rs are filled in */
    rn_httpd *h;
    char *method;  /* NULL: any */
    char *pattern; /* the path */
    size_t fixed;  /* its length before the first { */
    bool subtree;
};

struct pool {
    rn_mutex lock;
    struct block *first;
    int count;
} ALIGNED(CACHE_LINE);

struct rn_httpd {
    rn_httpd_options o;
    struct route **routes;
    int count;
    struct pool pools[POOLS];
    uint32_t turn; /* atomic: which pool is next */
    rn_mutex lock;
    struct sweeping *sweeping; /* guarded by lock; NULL: nothing is served */
};

/* What the servings of a server have in common, from when the first begins until the last has ended. */
struct sweeping {
    const rn_httpd_options *o;
    uint64_t run;      /* of which rn_run; 0: of a plain thread, which stays */
    uint32_t servings; /* guarded by rn_httpd.lock */
    rn_ctx *alive;     /* ends the sweeper */
    rn_ctx *over;      /* has ended: of a request for whose context there is no memory */
    rn_wg sweeper;
    rn_mutex lock;
    struct serving *first; /* guarded by lock */
};

struct serving {
    rn_httpd *h;
    const rn_httpd_transport *over; /* of the connections that it accepts; NULL: of a lone stream */
    void *over_arg;
    uint32_t stage; /* atomic */
    rn_mutex lock;
    struct conn *first; /* guarded by lock */
    rn_wg open;         /* connections */
    rn_ctx *cut;        /* parent of requests' contexts */
    rn_ctx *alive;      /* of a lone stream: ends when it has; NULL: nothing ends it from outside */
    struct sweeping *sweeping;
    struct serving *next, **link; /* guarded by sweeping->lock */
};

struct conn {
    struct serving *sv;
    rn_httpd *h;
    const rn_httpd_stream *ops;
    void *stream;
    struct block *b; /* NULL while idle */
    uint32_t word;   /* atomic: steps * 8 + phase */
    uint32_t verdict;
    uint32_t nudged; /* atomic: the sweeper wants the stack trimmed */
    uint32_t deep;   /* atomic: a handler has run since it was */
    uint32_t pool;
    int err;                   /* of writing */
    struct conn *next, **link; /* guarded by sv->lock */
    /* The sweeper's; guarded by sv->lock. */
    uint32_t seen;
    rn_time seen_at;
    uint64_t seen_sent;
};

struct piece {
    struct piece *next;
};

struct rn_httpd_request {
    struct conn *c;
    struct block *b;
    char *path;
    char *places; /* for strings that are handed out; see place_all */
    const char *target;
    struct route *route;
    struct piece *pieces;
    size_t arena_used;
    /* The body: bytes after the head in rb, from rb_at to rb_end. */
    char *rb;
    size_t rb_at, rb_end, rb_room;
    int64_t left, got; /* of a body with a length; all bytes so far */
    bool done, continued, watched;
    bool unwatched; /* there was no memory for ctx, or for who reads ahead */
    int body_err;
    rn_ctx *ctx;
    rn_wg watcher;
    uint32_t stop; /* atomic: the watcher shall end */
};

/* Lines of headers, as they are sent. */
struct lines {
    char *text;
    size_t size, room;
    char own[LINES];
};

struct rn_httpd_response {
    struct conn *c;
    struct block *b;
    int status;
    bool sealed, chunked, bodyless, is_head, close, ended;
    bool lacks;     /* a part of it, or of its request, for which there was no memory */
    int64_t length; /* that was set; -1 */
    int64_t written;
    size_t gathered;
    struct lines lines;
    char *trailers;
    size_t trailers_size;
};

struct block {
    struct block *next;
    struct head head;
    struct rn_httpd_request rq;
    struct rn_httpd_response rs;
    char *in;
    size_t in_size, in_at, in_end;
    size_t out_size; /* bytes of out that wait to be written */
    time_t date_at;
    char date[40];
    char arena[ARENA];
    char in_own[IN_SIZE];
    char gather[GATHER];
    char out[OUT_SIZE];
};

/* conn.c */
void rn__httpd_conn(struct conn *c);
/* A handler has ended its goroutine: what its request holds. */
void rn__httpd_abandon(struct conn *c);
void rn__httpd_blocks_free(rn_httpd *h);
ssize_t rn__c_flush(struct conn *c);
/* response.c */
void rn__rs_start(struct conn *c, struct block *b);
void rn__rs_finish(rn_httpd_response *rs);
void rn__rs_end(rn_httpd_response *rs);
bool rn__rs_has(const rn_httpd_response *rs, const char *name);
bool rn__rs_is_whole(const rn_httpd_response *rs);
int rn__rs_seal(rn_httpd_response *rs, int64_t length);
/* Bytes of the body go out in another way: the head, and what was written, first. */
ssize_t rn__c_writev(struct conn *c, struct iovec *iov, int count);
void rn__c_phase(struct conn *c, enum phase phase);
void rn__c_wrote(struct conn *c);
const char *rn__status_text(int status);
void rn__date_text(time_t t, char out[40]);
/* server.c */
struct route *rn__route_find(rn_httpd *h, const char *method, const char *path, char *allow,
                             size_t room);
bool rn__route_match(const struct route *r, const char *path, const char *name, const char **ret_at,
                     size_t *ret_n);
extern const rn_httpd_transport rn__httpd_tcp;
static inline bool is_socket(const struct conn *c)
{
    return c->ops == &rn__httpd_tcp.stream;
}

#endif
