/* SPDX-License-Identifier: MIT */
/* conn.c - a connection: waiting, reading heads and bodies, calling handlers, closing. See httpd.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "httpd/httpd.h"

_Static_assert(!RN__INLINE_FAST, "locks whose edges ThreadSanitizer is not told of");

/* ---- Blocks --------------------------------------------------------------------------------------- */

enum { POOL_MAX = 256 };

static struct block *block_get(struct conn *c)
{
    struct block *b = NULL;

    for (uint32_t i = 0; i < POOLS && !b; i++) {
        struct pool *p = &c->h->pools[(c->pool + i) % POOLS];

        if (!load_relaxed(&p->count) || !rn_mutex_try_lock(&p->lock))
            continue;
        b = p->first;
        if (b) {
            p->first = b->next;
            store_relaxed(&p->count, p->count - 1);
        }
        rn_mutex_unlock(&p->lock);
    }
    if (!b) {
        b = malloc(sizeof *b);
        if (!b)
            return NULL;
        b->date_at = 0;
    }
    b->in = b->in_own;
    b->in_size = IN_SIZE;
    b->in_at = b->in_end = b->out_size = 0;
    return b;
}

static void block_put(struct conn *c, struct block *b)
{
    struct pool *p = &c->h->pools[c->pool];

    if (b->in != b->in_own)
        free(b->in);
    rn_mutex_lock(&p->lock);
    if (p->count < POOL_MAX) {
        b->next = p->first;
        p->first = b;
        store_relaxed(&p->count, p->count + 1);
        b = NULL;
    }
    rn_mutex_unlock(&p->lock);
    free(b);
}

void rn__httpd_blocks_free(rn_httpd *h)
{
    for (int i = 0; i < POOLS; i++)
        for (struct block *b = h->pools[i].first, *next; b; b = next) {
            next = b->next;
            free(b);
        }
}

/* Until the request ends. NULL: no memory. */
static void *rq_alloc(rn_httpd_request *rq, size_t size)
{
    struct piece *p;

    size = (size + 15) & ~(size_t)15;
    if (size <= ARENA - rq->arena_used) {
        rq->arena_used += size;
        return rq->b->arena + rq->arena_used - size;
    }
    p = malloc(16 + size);
    if (!p)
        return NULL;
    p->next = rq->pieces;
    rq->pieces = p;
    return (char *)p + 16;
}

/* ---- The word, and the two ends ---------------------------------------------------------------------- */

void rn__c_phase(struct conn *c, enum phase phase)
{
    store_release(&c->word, (load_owned(&c->word) & ~(uint32_t)7) + 8 + (uint32_t)phase);
}

/* A read has ended for a deadline. Was it meant for what we do now? */
static bool timed_out(struct conn *c)
{
    if (load_acquire(&c->verdict) == load_owned(&c->word))
        return true;
    c->ops->set_read_deadline(c->stream, 0);
    return load_acquire(&c->verdict) == load_owned(&c->word); /* it may have come just before */
}

/* Read some; what waits to be written goes first. */
static ssize_t c_read(struct conn *c, enum phase phase, void *buf, size_t size)
{
    ssize_t n;

    if (c->b && c->b->out_size && (n = rn__c_flush(c)) < 0)
        return n;
    /* Of a head and of lingering the whole counts: their word stays. */
    if ((phase != HEAD_PHASE && phase != LINGER) || (load_owned(&c->word) & 7) != (uint32_t)phase)
        rn__c_phase(c, phase);
    do
        n = c->ops->read(c->stream, buf, size);
    while (n == -ETIMEDOUT && !timed_out(c) && load_relaxed(&c->sv->stage) != CUT);
    if (phase != HEAD_PHASE && phase != LINGER)
        rn__c_phase(c, BUSY);
    return n;
}

/* A write has ended. The sweeper may have let it end, or be about to: one of the two sees the other, and no deadline is
 * left for the next. */
void rn__c_wrote(struct conn *c)
{
    uint32_t word = load_owned(&c->word);

    rn__c_phase(c, BUSY);
    fence_seq_cst(); /* pairs with sweep */
    if (load_relaxed(&c->verdict) == word) {
        rn_mutex_lock(&c->sv->lock); /* the sweeper holds it until the deadline is set */
        rn_mutex_unlock(&c->sv->lock);
        c->ops->set_write_deadline(c->stream, 0);
    }
}

static ssize_t write_now(struct conn *c, const struct iovec *iov, int count)
{
    ssize_t n;

    rn__c_phase(c, WRITING);
    n = c->ops->writev(c->stream, iov, count);
    rn__c_wrote(c);
    if (n < 0)
        c->err = (int)n;
    return n;
}

/* To a stream of one's own, of which nobody can tell how far a write has come, in pieces: each is progress. */
ssize_t rn__c_writev(struct conn *c, struct iovec *iov, int count)
{
    ssize_t total = 0;

    if (c->err)
        return c->err;
    if (is_socket(c))
        return write_now(c, iov, count);
    while (count > 0) {
        size_t size = 0, over;
        int k = 0;
        ssize_t n;

        while (k < count && size < PIECE)
            size += iov[k++].iov_len;
        over = size > PIECE ? size - PIECE : 0;
        iov[k - 1].iov_len -= over;
        n = write_now(c, iov, k);
        if (n < 0)
            return n;
        total += n;
        if (over) {
            k--;
            iov[k].iov_base = (char *)iov[k].iov_base + iov[k].iov_len;
            iov[k].iov_len = over;
        }
        iov += k;
        count -= k;
    }
    return total;
}

ssize_t rn__c_flush(struct conn *c)
{
    struct block *b = c->b;
    struct iovec iov = {b->out, b->out_size};

    if (b->out_size == 0)
        return c->err;
    b->out_size = 0;
    return rn__c_writev(c, &iov, 1);
}

/* ---- The request ------------------------------------------------------------------------------------------ */

const char *rn_httpd_method(const rn_httpd_request *rq)
{
    return rq->b->head.method ? rq->b->head.method : "";
}
const char *rn_httpd_path(const rn_httpd_request *rq)
{
    return rq->path ? rq->path : "";
}
const char *rn_httpd_target(const rn_httpd_request *rq)
{
    return rq->target ? rq->target : "";
}
int rn_httpd_minor_version(const rn_httpd_request *rq)
{
    return rq->b->head.minor;
}
int64_t rn_httpd_content_length(const rn_httpd_request *rq)
{
    return rq->b->head.length;
}
int rn_httpd_remote(const rn_httpd_request *rq, rn_addr *ret_addr)
{
    return rq->c->ops->remote ? rq->c->ops->remote(rq->c->stream, ret_addr) : -ENOTCONN;
}

bool rn_httpd_header_at(const rn_httpd_request *rq, int i, const char **ret_name,
                        const char **ret_value)
{
    const struct head *h = &rq->b->head;
    const char *buf = rq->b->in + rq->b->in_at;

    if (i < 0 || i >= h->count || !rq->target)
        return false;
    *ret_name = buf + h->fields[i].name;
    *ret_value = buf + h->fields[i].value;
    return true;
}

const char *rn_httpd_header(const rn_httpd_request *rq, const char *name)
{
    const struct head *h = &rq->b->head;
    const char *buf = rq->b->in + rq->b->in_at;
    size_t n = strlen(name);

    for (int i = 0; rq->target && i < h->count; i++)
        if (h->fields[i].name_len == n && strncasecmp(buf + h->fields[i].name, name, n) == 0)
            return buf + h->fields[i].value;
    return NULL;
}

const char *rn_httpd_trailer(const rn_httpd_request *rq, const char *name)
{
    const struct head *h = &rq->b->head;

    for (size_t at = 0; rq->done && at < h->trailer_len;) {
        const char *n = h->trailer + at, *v = n + strlen(n) + 1;

        if (strcasecmp(n, name) == 0)
            return v;
        at += strlen(n) + strlen(v) + 2;
    }
    return NULL;
}

/*
 * The decoded path, and places, as many bytes as the target has and one: what is handed out of a query lies there where it
 * begins in the target, and a segment where it begins in the path, which is no longer than the target up to its query.
 * No two meet, and a string that is asked for again is written anew as it was. So who asks needs no memory.
 */
static int place_all(rn_httpd_request *rq, size_t target_len)
{
    size_t room = target_len + 2;

    rq->path = rq_alloc(rq, room + target_len + 1);
    if (!rq->path)
        return 503;
    rq->places = rq->path + room;
    if (rn__path_decode(rq->target, target_len, rq->path) >= 0)
        return 0;
    rq->path = NULL;
    return 400;
}

const char *rn_httpd_query(rn_httpd_request *rq, const char *name)
{
    const char *at = strchr(rn_httpd_target(rq), '?');

    while (at) {
        const char *field = at + 1, *end = strchr(field, '&'), *eq;
        size_t n = end ? (size_t)(end - field) : strlen(field), name_n;
        char *place = rq->places + (field - rq->target);

        eq = memchr(field, '=', n);
        name_n = eq ? (size_t)(eq - field) : n;
        if (name_n >= strlen(name)) {
            rn__query_decode(field, name_n, place);
            if (strcmp(place, name) == 0) {
                if (!eq)
                    return "";
                place += name_n + 1;
                rn__query_decode(eq + 1, n - name_n - 1, place);
                return place;
            }
        }
        at = end;
    }
    return NULL;
}

const char *rn_httpd_param(rn_httpd_request *rq, const char *name)
{
    const char *at;
    size_t n;
    char *copy;

    if (!rq->route || !rn__route_match(rq->route, rq->path, name, &at, &n))
        return NULL;
    copy = rq->places + (at - rq->path);
    memcpy(copy, at, n);
    copy[n] = 0;
    return copy;
}

/* ---- Its body ------------------------------------------------------------------------------------------------ */

/* Room to read chunks into, or ahead: what lies behind the head, which must stay where it is, or a piece of its own. 0 or
 * -ENOMEM. */
static int body_room(rn_httpd_request *rq)
{
    if (rq->rb_room - rq->rb_end >= READ_AHEAD)
        return 0;
    if (rq->rb != rq->b->in && rq->rb_at > 0) {
        memmove(rq->rb, rq->rb + rq->rb_at, rq->rb_end - rq->rb_at);
    } else {
        char *rb = rq_alloc(rq, IN_SIZE);

        if (!rb)
            return -ENOMEM;
        memcpy(rb, rq->rb + rq->rb_at, rq->rb_end - rq->rb_at);
        rq->rb = rb;
        rq->rb_room = IN_SIZE;
    }
    rq->rb_end -= rq->rb_at;
    rq->rb_at = 0;
    return 0;
}

static void watch(rn_httpd_request *rq);

static void body_done(rn_httpd_request *rq)
{
    rq->done = true;
    if (rq->ctx)
        watch(rq);
}

/* In the middle of a body: of what is wrong with it, or with us, and of waiting too long for it, the client can still be
 * told. */
static bool client_gone(int err)
{
    return err && err != -EBADMSG && err != -EFBIG && err != -ENOMEM && err != -ETIMEDOUT;
}

static ssize_t body_failed(rn_httpd_request *rq, ssize_t err)
{
    if (err == 0)
        err = -EIO; /* the stream has ended in the middle */
    rq->body_err = (int)err;
    if (rq->ctx && client_gone(rq->body_err))
        rn_ctx_cancel(rq->ctx);
    return err;
}

static ssize_t read_sized(rn_httpd_request *rq, char *buf, size_t size)
{
    size_t have = rq->rb_end - rq->rb_at;
    ssize_t n;

    if ((int64_t)size > rq->left)
        size = (size_t)rq->left;
    if (have) {
        n = (ssize_t)(have < size ? have : size);
        memcpy(buf, rq->rb + rq->rb_at, (size_t)n);
        rq->rb_at += (size_t)n;
    } else {
        n = c_read(rq->c, BODY_PHASE, buf, size);
        if (n <= 0)
            return body_failed(rq, n);
    }
    rq->left -= n;
    rq->got += n;
    if (rq->left == 0)
        body_done(rq);
    return n;
}

static ssize_t read_chunked(rn_httpd_request *rq, char *buf, size_t size)
{
    struct head *h = &rq->b->head;

    while (h->part_len == 0) {
        ptrdiff_t used = rn__chunks_feed(h, rq->rb + rq->rb_at, rq->rb_end - rq->rb_at);
        ssize_t n;

        if (used < 0)
            return body_failed(rq, h->status == 503 ? -ENOMEM : h->status ? -EFBIG : -EBADMSG);
        rq->rb_at += (size_t)used;
        if (h->part_len)
            break;
        if (h->end) {
            body_done(rq);
            return 0;
        }
        if (used > 0)
            continue;
        if (body_room(rq) < 0)
            return body_failed(rq, -ENOMEM);
        n = c_read(rq->c, BODY_PHASE, rq->rb + rq->rb_end, rq->rb_room - rq->rb_end);
        if (n <= 0)
            return body_failed(rq, n);
        rq->rb_end += (size_t)n;
    }
    if (size > h->part_len)
        size = h->part_len;
    if (rq->got + (int64_t)size > rq->c->h->o.max_body)
        return body_failed(rq, -EFBIG);
    memcpy(buf, h->part, size);
    h->part += size;
    h->part_len -= size;
    rq->got += (int64_t)size;
    return (ssize_t)size;
}

ssize_t rn_httpd_read(rn_httpd_request *rq, void *buf, size_t size)
{
    if (rq->body_err)
        return rq->body_err;
    if (rq->done || size == 0)
        return 0;
    if (rq->b->head.expect && !rq->continued) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

        rq->continued = true;
        if (!rq->b->rs.sealed && rq->rb_at == rq->rb_end) {
            struct iovec iov = {(void *)(uintptr_t)go_on, sizeof go_on - 1};

            if (rn__c_flush(rq->c) < 0 || rn__c_writev(rq->c, &iov, 1) < 0)
                return body_failed(rq, rq->c->err);
        }
    }
    return rq->b->head.chunked ? read_chunked(rq, buf, size) : read_sized(rq, buf, size);
}

/* ---- Its context ------------------------------------------------------------------------------------------------ */

/*
 * Reads ahead, behind the request: at an end or an error the client has gone; bytes are the next request's, and no reason to
 * end this one. From when the body is done until the watcher has ended nobody else reads the stream, nor touches rb from
 * rb_end on, or rb_end. request_end stops it by a deadline; one that the sweeper set about what is over looks the same,
 * and is taken back: after that the watcher looks at stop again, for it may have been the other.
 */
static void read_ahead(rn_httpd_request *rq)
{
    struct conn *c = rq->c;

    while (rq->rb_end < rq->rb_room) {
        ssize_t n = c->ops->read(c->stream, rq->rb + rq->rb_end, rq->rb_room - rq->rb_end);

        if (n > 0) {
            rq->rb_end += (size_t)n;
        } else if (n == -ETIMEDOUT) {
            if (load_relaxed(&rq->stop))
                return;
            c->ops->set_read_deadline(c->stream, 0);
            fence_seq_cst(); /* pairs with watch_end */
        } else {
            rn_ctx_cancel(rq->ctx);
            return;
        }
        if (load_relaxed(&rq->stop))
            return;
    }
}

static void watcher(rn_httpd_request *rq)
{
    read_ahead(rq);
    rn_wg_done(&rq->watcher);
}

/* Nobody would see that the client has gone: so the request ends, as far as its handler minds the context. */
static void give_up_watching(rn_httpd_request *rq)
{
    rq->unwatched = true;
    rq->b->rs.lacks |= !rn__rs_is_whole(&rq->b->rs);
    if (rq->ctx)
        rn_ctx_cancel_cause(rq->ctx, -ENOMEM);
}

static void watch(rn_httpd_request *rq)
{
    int err = 0;

    if (rq->watched)
        return;
    if (rq->rb_end - rq->rb_at <= IN_SIZE - READ_AHEAD)
        err = body_room(rq);
    if (!err) {
        rn_wg_add(&rq->watcher, 1);
        err = rn_go_err(watcher, rq);
        if (err)
            rn_wg_done(&rq->watcher);
    }
    rq->watched = !err;
    if (err)
        give_up_watching(rq);
}

static void watch_end(rn_httpd_request *rq)
{
    struct conn *c = rq->c;

    if (!rq->watched)
        return;
    store_relaxed(&rq->stop, 1);
    fence_seq_cst(); /* pairs with read_ahead */
    if (c->ops->set_read_deadline(c->stream, 1) == -ENOMEM) {
        (void)rn__c_flush(c); /* the response; there is no other way to end the read */
        c->ops->cancel(c->stream);
    }
    rn_wg_wait(&rq->watcher);
    c->ops->set_read_deadline(c->stream, 0);
}

rn_ctx *rn_httpd_ctx(rn_httpd_request *rq)
{
    struct serving *sv = rq->c->sv;

    if (rq->ctx)
        return rq->ctx;
    if (rq->unwatched || rn__ctx_with_timeout_err(sv->cut, INT64_MAX, &rq->ctx) < 0) {
        give_up_watching(rq);
        return sv->sweeping->over;
    }
    if (rq->done)
        watch(rq);
    else if (client_gone(rq->body_err))
        rn_ctx_cancel(rq->ctx);
    return rq->ctx;
}

/* ---- From head to response ---------------------------------------------------------------------------------------- */

static void request_start(struct conn *c, struct block *b)
{
    rn_httpd_request *rq = &b->rq;

    memset(rq, 0, sizeof *rq);
    rq->c = c;
    rq->b = b;
}

static void request_end(rn_httpd_request *rq)
{
    struct block *b = rq->b;

    watch_end(rq);
    if (rq->ctx)
        rn_ctx_end(rq->ctx);
    /* What came behind the request is the next one's. */
    if (rq->rb && rq->rb != b->in) {
        memmove(b->in, rq->rb + rq->rb_at, rq->rb_end - rq->rb_at);
        b->in_at = 0;
        b->in_end = rq->rb_end - rq->rb_at;
    } else if (rq->rb) {
        b->in_at = rq->rb_at;
        b->in_end = rq->rb_end;
    }
    while (rq->pieces) {
        struct piece *p = rq->pieces;

        rq->pieces = p->next;
        free(p);
    }
    rn__head_end(&b->head);
}

/* Refuse a request that nobody has seen; the connection ends. */
static void refuse(struct conn *c, struct block *b, int status)
{
    rn__rs_start(c, b);
    b->rs.close = true;
    rn_httpd_error(&b->rs, status, NULL);
    rn__rs_finish(&b->rs);
    (void)rn__c_flush(c);
    if (c->h->o.log)
        c->h->o.log(c->h->o.log_arg, &b->rq, &b->rs);
    rn__rs_end(&b->rs);
}

/* Read until the head is whole. 0, a status to refuse with, or -1: the connection is over. */
static int read_head(struct conn *c, struct block *b)
{
    const rn_httpd_options *o = &c->h->o;

    rn__head_start(&b->head, (uint32_t)o->max_target, o->max_headers, o->max_head);
    if (b->in_at == b->in_end)
        b->in_at = b->in_end = 0;
    for (;;) {
        size_t size = b->in_end - b->in_at;
        int r = size > b->head.fed ? rn__head_feed(&b->head, b->in + b->in_at, size) : 0;
        ssize_t n;

        if (r > 1)
            return r;
        if (b->head.fed > o->max_head || (r == 0 && size >= o->max_head))
            return 431;
        if (r == 1)
            return rn__head_finish(&b->head, b->in + b->in_at);
        if (b->in_end == b->in_size && b->in_at > 0) {
            memmove(b->in, b->in + b->in_at, size);
            b->in_at = 0;
            b->in_end = size;
        } else if (b->in_end == b->in_size) {
            char *in;

            assert(b->in_size > 0);
            in = malloc(b->in_size * 2);
            if (!in)
                return 503;
            memcpy(in, b->in, b->in_end);
            if (b->in != b->in_own)
                free(b->in);
            b->in = in;
            b->in_size *= 2;
        }
        n = c_read(c, HEAD_PHASE, b->in + b->in_end, b->in_size - b->in_end);
        if (n == -ETIMEDOUT) {
            c->ops->set_read_deadline(c->stream, 0);
            return 408;
        }
        if (n <= 0)
            return -1;
        b->in_end += (size_t)n;
    }
}

static void call_handler(struct conn *c, struct block *b)
{
    rn_httpd_request *rq = &b->rq;
    rn_httpd_response *rs = &b->rs;
    char allow[200];

    rq->route = rn__route_find(c->h, b->head.method, rq->path, allow, sizeof allow);
    if (rq->route) {
        struct rn__call call = rq->route->call;

        store_relaxed(&c->deep, 1);
        call.gp[0] = (uintptr_t)rq;
        call.gp[1] = (uintptr_t)rs;
        rn__call_run(&call);
    } else if (allow[0]) {
        rn_httpd_set_header(rs, "Allow", allow);
        rn_httpd_error(rs, 405, NULL);
    } else {
        rn_httpd_error(rs, 404, NULL);
    }
}

/* The body that the handler left. False: the connection cannot go on. */
static bool skip_body(rn_httpd_request *rq)
{
    int64_t limit = rq->got + SKIP_MAX;

    if (rq->b->head.expect && !rq->continued && !rq->done)
        return false; /* the client may send it, or not */
    if (!rq->done && rq->left > SKIP_MAX)
        return false;
    while (!rq->done) {
        if (rn_httpd_read(rq, rq->b->gather, GATHER) < 0 || rq->got > limit)
            return false;
    }
    return true;
}

/* What is answered to a request whose body could not be read to its end; 0: what the handler says. */
static int body_status(const rn_httpd_request *rq)
{
    switch (rq->body_err) {
    case -EFBIG:
        return rq->b->head.status ? rq->b->head.status : 413; /* of its trailers, or its own */
    case -EBADMSG:
        return 400;
    case -ENOMEM:
        return 503;
    default:
        return 0;
    }
}

/* One request. True: another may follow. */
static bool one(struct conn *c, struct block *b, bool *linger)
{
    rn_httpd_request *rq = &b->rq;
    rn_httpd_response *rs = &b->rs;
    struct head *h = &b->head;
    int status;
    bool again;

    request_start(c, b);
    rn__c_phase(c, HEAD_PHASE);
    status = read_head(c, b);
    rn__c_phase(c, BUSY);
    if (status == 0) {
        rq->target = b->in + b->in_at + h->target;
        status = place_all(rq, h->target_len);
        if (!status && h->length > c->h->o.max_body)
            status = 413;
    }
    if (status) {
        if (status > 0) {
            *linger = true;
            refuse(c, b, status);
        }
        request_end(rq);
        return false;
    }
    rq->rb = b->in;
    rq->rb_at = b->in_at + h->fed;
    rq->rb_end = b->in_end;
    rq->rb_room = b->in_size;
    rq->left = h->length;
    rq->done = h->length == 0;
    rn__rs_start(c, b);
    rs->is_head = strcmp(h->method, "HEAD") == 0;
    rs->close = !h->keep_alive || load_relaxed(&c->sv->stage) != SERVING;
    call_handler(c, b);
    status = body_status(rq);
    if (status) {
        if (!rs->sealed) /* what the handler says of a part is void */
            rn_httpd_error(rs, status, NULL);
        rs->close = true;
    } else if (rq->body_err == -ETIMEDOUT && !rs->sealed && rs->written == 0) {
        rn_httpd_error(rs, 408, NULL);
    }
    /* A head that is made has promised that the connection stays: the client may have sent its next request. */
    if (load_relaxed(&c->sv->stage) != SERVING && !rs->sealed)
        rs->close = true;
    rn__rs_finish(rs);
    if (c->h->o.log)
        c->h->o.log(c->h->o.log_arg, rq, rs);
    again = !rs->close && c->err == 0;
    if (!rq->done) {
        if (rq->body_err || !again || !skip_body(rq)) {
            *linger = true;
            again = false;
        }
    }
    rn__rs_end(rs);
    request_end(rq);
    if (!again && b->in_at < b->in_end)
        *linger =
            true; /* what was sent behind it is not read: a reset would destroy the response */
    return again;
}

/* ---- The connection ---------------------------------------------------------------------------------------------------- */

static bool has_come(const struct conn *c)
{
    return c->ops->has_come && c->ops->has_come(c->stream);
}

/* Wait for the first byte of a request, holding nothing. False: there will be none. */
static bool wait_idle(struct conn *c)
{
    for (;;) {
        bool last;
        int err;

        rn__c_phase(c, IDLE);
        fence_seq_cst(); /* pairs with stage_set */
        last = load_relaxed(&c->sv->stage) >= CLOSING;
        if (last && c->ops->set_read_deadline(c->stream, rn_now() + RN_MILLISECOND) == -ENOMEM)
            return has_come(c); /* has one come already? */
        err = c->ops->wait_read(NULL, c->stream);
        if (err == 0)
            return true;
        if (err != -ETIMEDOUT)
            return false;
        if (timed_out(c) || last)
            return has_come(c);
        if (load_acquire(&c->nudged)) {
            store_relaxed(&c->deep, 0);
            store_relaxed(&c->nudged, 0);
            rn_stack_trim();
        }
    }
}

static void say_goodbye(struct conn *c, char *buf, size_t size)
{
    size_t total = 0;
    ssize_t n = 1;

    rn__c_phase(c, LINGER);
    if (c->err || c->ops->close_write(c->stream) < 0)
        return;
    while (n > 0 && total < SKIP_MAX) {
        n = c_read(c, LINGER, buf, size);
        total += n > 0 ? (size_t)n : 0;
    }
}

/* A request has come, and there is no memory to read it. */
static void turn_away(struct conn *c)
{
    static const char sorry[] =
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    struct iovec iov = {(void *)(uintptr_t)sorry, sizeof sorry - 1};
    char buf[512];

    if (rn__c_writev(c, &iov, 1) > 0)
        say_goodbye(c, buf, sizeof buf);
}

void rn__httpd_abandon(struct conn *c)
{
    struct block *b = c->b;

    if (!b)
        return;
    rn__rs_end(&b->rs);
    request_end(&b->rq);
    c->b = NULL;
    block_put(c, b);
}

static NOINLINE bool burst(struct conn *c)
{
    struct block *b = block_get(c);
    bool again, linger = false;

    if (!b) {
        turn_away(c);
        return false;
    }
    c->b = b;
    do
        again = one(c, b, &linger);
    while (again && b->in_at < b->in_end);
    if (rn__c_flush(c) < 0)
        again = false;
    if (linger)
        say_goodbye(c, b->gather, GATHER);
    c->b = NULL;
    block_put(c, b);
    return again;
}

void rn__httpd_conn(struct conn *c)
{
    while (wait_idle(c) && burst(c))
        ;
}
