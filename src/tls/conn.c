/* SPDX-License-Identifier: MIT */
/*
 * conn.c - connections: the handshake, reading and writing.
 *
 * An SSL is not thread-safe, and one goroutine may read while another writes. So it stands between two pieces of
 * memory: `in`, what has come and it has not taken, and `out`, what it has made and the kernel has not taken. A call of
 * OpenSSL never waits, and is made under t->lock, a thread's mutex: held for what OpenSSL
 * computes, never across a wait, and waiting for it is no wait of a goroutine's that the end of an rn_run could cut off. The waiting is done
 * outside, by rn_read and rn_write of the connection below, so contexts, deadlines and closes have their effect there.
 *
 *   I1  Only who has the turn of reading reads from the connection and puts what came into `in`; there it stays in
 *       order. It reads when OpenSSL has taken all of `in`.
 *   I2  Only who has the turn of writing writes to the connection: what is in `fly`, which nobody else looks at. When
 *       that is out, it swaps it with `out`, which everybody adds to under the lock. So records leave in the order in
 *       which they were made.
 *   I3  A write that ended early leaves the rest of its records in `fly`; whoever has the turn next sends that first.
 *       rn_conn_sent tells how much the kernel took, so nothing is lost or doubled, also if the writer went away with
 *       its run.
 *
 * What a read makes OpenSSL say (the answer to a KeyUpdate) need not go out before the next data does (RFC 8446,
 * 4.6.3), so a reader never waits for a writer whose peer does not read, but for a peer that asks over and over.
 *
 * Lock order: reading, writing, lock. A turn outlives the goroutine that has it if that is taken away by the end of its
 * rn_run in the middle of a wait; the next who wants it takes it then. (A plain thread that waits for a goroutine's turn
 * when that happens does not learn of it: threads and goroutines that share a connection agree on its end.)
 *
 * Rejected: OpenSSL on the descriptor itself (a lock would be held while it waits, or readers and writers would try in
 * turns, waking each other); memory BIOs (one more copy, and no say in how much is buffered).
 */
#include <arpa/inet.h>
#include <limits.h>
#include <runnel/ctx.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "tls/tls.h"

enum { IN_ROOM = 16 << 10 };
enum { WRITE_ONCE = 64 << 10 }; /* made into records before they are sent: four of the largest */
enum { IOV_ALL = 1024 };        /* as rn_writev */
enum { OUT_LAZY = 16 << 10 };   /* a reader that leaves more than this behind sees it off */
enum { KEEP_ROOM = 20 << 10 };  /* of a buffer that is empty: one record's */
static const rn_dur farewell_time = 5 * RN_SECOND;
static const rn_dur linger_time = 5 * RN_MILLISECOND;

enum { GONE = -4096 }; /* a result of flush and fill: the turn is another's, see wait_end */

/* ---- Turns ---------------------------------------------------------------------------------------------------- */

static void turn_have(struct turn *u)
{
    store_relaxed(&u->waits, 0);
    store_relaxed(&u->holder, rn__run_number());
}

static bool turn_try(struct turn *u)
{
    uint64_t holder;
    uint32_t waits = 1;

    if (rn_sem_try_acquire(&u->sem, 1)) {
        turn_have(u);
        return true;
    }
    holder = load_acquire(&u->holder);
    if (!holder || !rn__run_gone(holder) || !cas_acq_rel(&u->waits, &waits, 0))
        return false;
    pthread_mutex_lock(&u->seen);
    pthread_mutex_unlock(&u->seen);
    store_relaxed(&u->holder, 0);
    rn_sem_release(&u->sem, 1); /* in the stead of one that is no more */
    if (!rn_sem_try_acquire(&u->sem, 1))
        return false;
    turn_have(u);
    return true;
}

static int turn_take(struct rn_ctx *ctx, struct turn *u)
{
    while (!turn_try(u)) {
        uint64_t holder = load_relaxed(&u->holder);
        /* One whose run is over still computes, and goes away at its next wait, of which nobody tells. */
        bool lingers = holder && rn__run_gone(holder);
        rn_ctx *bound = ctx;
        int err =
            lingers ? rn__ctx_with_timeout_err(ctx ? ctx : rn_ctx_background(), linger_time, &bound)
                    : 0;

        if (err)
            return err;
        err = rn_sem_acquire(bound, &u->sem, 1);
        if (lingers)
            rn_ctx_end(bound);
        if (!err) {
            turn_have(u);
            return 0;
        }
        err = ctx ? rn_ctx_err(ctx) : 0;
        if (err)
            return err;
    }
    return 0;
}

static void turn_give(struct turn *u)
{
    store_relaxed(&u->holder, 0);
    rn_sem_release(&u->sem, 1);
}

/* Around a wait of the holder's. */
static void wait_begin(struct turn *u)
{
    pthread_mutex_lock(&u->seen);
    pthread_mutex_unlock(&u->seen);
    store_release(&u->waits, 1); /* pairs with turn_try: what the holder has done is seen */
}

/* False: its run is over, the turn another's, and nothing of the connection's may be touched any more. */
static bool wait_end(struct turn *u)
{
    uint32_t waits = 1;

    return cas_acq_rel(&u->waits, &waits, 0);
}

/* ---- Between OpenSSL and us: under the lock ------------------------------------------------------------------- */

static int bio_read(BIO *bio, char *buf, int size)
{
    struct rn_tls *t = BIO_get_data(bio);
    size_t n = t->in_end - t->in_start;

    BIO_clear_retry_flags(bio);
    if (n == 0) {
        if (t->in_eof)
            return 0;
        BIO_set_retry_read(bio);
        return -1;
    }
    if (n > (size_t)size)
        n = (size_t)size;
    memcpy(buf, t->in + t->in_start, n);
    t->in_start += n;
    return (int)n;
}

static int bio_write(BIO *bio, const char *data, int size)
{
    struct rn_tls *t = BIO_get_data(bio);
    struct pipe_buf *b = &t->out;

    BIO_clear_retry_flags(bio);
    if (b->room - b->end < (size_t)size) {
        size_t room = b->room ? b->room : 1024;
        char *p;

        while (room - b->end < (size_t)size)
            room *= 2;
        p = realloc(b->data, room);
        if (!p) {
            ERR_raise(ERR_LIB_USER, ERR_R_MALLOC_FAILURE); /* rn__tls_why says -ENOMEM then */
            return -1;
        }
        b->data = p;
        b->room = room;
    }
    memcpy(b->data + b->end, data, (size_t)size);
    b->end += (size_t)size;
    return size;
}

static long bio_ctrl(BIO *bio, int command, long n, void *arg)
{
    const struct rn_tls *t = BIO_get_data(bio);

    (void)n, (void)arg;
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return t->in_eof && t->in_start == t->in_end;
    default:
        return 0;
    }
}

static BIO_METHOD *bio_method;

static void bio_method_make(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "runnel");

    if (m && BIO_meth_set_read(m, bio_read) && BIO_meth_set_write(m, bio_write) &&
        BIO_meth_set_ctrl(m, bio_ctrl))
        bio_method = m;
    else
        BIO_meth_free(m);
}

/* A call has failed; the queue says why. For good. */
static void fail(struct rn_tls *t, bool handshake)
{
    t->failed.code =
        rn__tls_why(t->ssl, t->label, handshake, t->failed.text, sizeof t->failed.text);
}

static void fail_with(struct rn_tls *t, int code, const char *what)
{
    t->failed.code = code;
    snprintf(t->failed.text, sizeof t->failed.text, "tls %.60s: %s", t->label, what);
}

/* ---- To and from the connection ------------------------------------------------------------------------------- */

/* How much of fly is out: the kernel's word, also if who wrote is no more. */
static void fly_on(struct rn_tls *t)
{
    t->fly.start = (size_t)(rn_conn_sent(t->conn) - t->fly_at);
}

/* With the turn of writing: send all there is. 0, an error, or GONE. */
static int flush(struct rn_ctx *ctx, struct rn_tls *t)
{
    struct pipe_buf *f = &t->fly;

    /* Whoever had the turn before may have gone in the midst of a write: it has left that once this one is through. */
    if (f->start != f->end) {
        ssize_t n;

        wait_begin(&t->writing);
        n = rn_write_ctx(ctx, t->conn, "", 0);
        if (!wait_end(&t->writing))
            return GONE;
        if (n < 0)
            return (int)n;
        fly_on(t);
    }
    for (;;) {
        ssize_t n;

        if (f->start == f->end) {
            f->start = f->end = 0;
            if (f->room > KEEP_ROOM) {
                free(f->data);
                *f = (struct pipe_buf){0};
            }
            pthread_mutex_lock(&t->lock);
            if (t->out.start != t->out.end) {
                struct pipe_buf empty = *f;

                *f = t->out;
                t->out = empty;
                t->fly_at = rn_conn_sent(t->conn);
            }
            pthread_mutex_unlock(&t->lock);
            if (f->start == f->end)
                return 0;
        }
        wait_begin(&t->writing);
        n = rn_write_ctx(ctx, t->conn, f->data + f->start, f->end - f->start);
        if (!wait_end(&t->writing))
            return GONE;
        fly_on(t);
        if (n < 0)
            return (int)n;
    }
}

/* What was done with a turn ended with result: it is given back if it is still ours. */
static ssize_t give_after(struct turn *u, ssize_t result)
{
    if (result == GONE) {
        rn_yield(); /* does not return: the caller is of a run that is over */
        return -ECANCELED;
    }
    turn_give(u);
    return result;
}

static int take_and_flush(struct rn_ctx *ctx, struct rn_tls *t)
{
    int err = turn_take(ctx, &t->writing);

    if (err)
        return err;
    return (int)give_after(&t->writing, flush(ctx, t));
}

/* Say why this ends, if it costs no waiting for others; an alert is what OpenSSL has left. */
static void flush_alert(struct rn_tls *t)
{
    rn_ctx *bound;
    int err = 0;

    if (!turn_try(&t->writing))
        return;
    if (t->fly.start == t->fly.end &&
        rn__ctx_with_timeout_err(rn_ctx_background(), farewell_time, &bound) == 0) {
        err = flush(bound, t);
        rn_ctx_end(bound);
    }
    (void)give_after(&t->writing, err);
}

/* The same with the turn of reading, in the midst of what that is for. GONE: it is another's. */
static int flush_as_reader(struct rn_ctx *ctx, struct rn_tls *t)
{
    int err;

    wait_begin(&t->reading);
    err = take_and_flush(ctx, t);
    return wait_end(&t->reading) ? err : GONE;
}

static bool alert_as_reader(struct rn_tls *t)
{
    wait_begin(&t->reading);
    flush_alert(t);
    return wait_end(&t->reading);
}

/* With the turn of reading, and `in` empty: wait for what comes. 0, an error, or GONE. */
static int fill(struct rn_ctx *ctx, struct rn_tls *t)
{
    ssize_t n;

    wait_begin(&t->reading);
    n = rn_read_ctx(ctx, t->conn, t->in, IN_ROOM);
    if (!wait_end(&t->reading))
        return GONE;
    if (load_relaxed(&t->closed))
        return -ECANCELED;
    if (n < 0)
        return (int)n;
    pthread_mutex_lock(&t->lock);
    t->in_start = 0;
    t->in_end = (size_t)n;
    t->in_eof = n == 0;
    pthread_mutex_unlock(&t->lock);
    return 0;
}

/* An error of the connection below, with the peer's name; the errors of contexts and closes as they are. */
static int below(const struct rn_tls *t, struct rn_ctx *ctx, int err)
{
    if (err == GONE || err == -ECANCELED || err == -ETIMEDOUT || (ctx && err == rn_ctx_err(ctx)))
        return err;
    return rn_errorf(err, "tls %.60s: %.40s", t->label, rn_errmsg(error_bare(err)));
}

/* ---- Calls ---------------------------------------------------------------------------------------------------- */

static int begin(struct rn_ctx *ctx, struct rn_tls *t)
{
    int err = ctx ? rn_ctx_err(ctx) : 0;

    if (err)
        return err;
    if (load_relaxed(&t->closed))
        return -ECANCELED;
    add_relaxed(&t->refs, 1); /* the owner's is still there */
    return 0;
}

static void end(struct rn_tls *t)
{
    rn_tls_release(t);
}

enum step { STEP_DONE, STEP_READ, STEP_FAILED };

static enum step handshake_step(struct rn_tls *t, rn_error *ret_failed)
{
    enum step step = STEP_FAILED;
    int n;

    pthread_mutex_lock(&t->lock);
    if (!t->failed.code) {
        const unsigned char *alpn;
        unsigned int size;

        ERR_clear_error();
        n = SSL_do_handshake(t->ssl);
        if (n == 1) {
            SSL_get0_alpn_selected(t->ssl, &alpn, &size);
            if (size == 0 && t->config->options.require_alpn)
                fail_with(t, -EPROTO, "no ALPN protocol was agreed on");
            else
                step = STEP_DONE;
        } else if (SSL_get_error(t->ssl, n) == SSL_ERROR_WANT_READ) {
            step = STEP_READ;
        } else {
            fail(t, true);
        }
        ERR_clear_error();
    }
    *ret_failed = t->failed;
    pthread_mutex_unlock(&t->lock);
    return step;
}

/* With the turn of reading. */
static int handshake_run(struct rn_ctx *ctx, struct rn_tls *t)
{
    int unsent = 0;

    for (;;) {
        rn_error failed;
        enum step step = handshake_step(t, &failed);
        int err;

        if (step == STEP_FAILED) {
            return alert_as_reader(t) ? rn_error_raise(&failed) : GONE;
        }
        err = unsent ? 0 : flush_as_reader(ctx, t);
        if (err == -EPIPE || err == -ECONNRESET)
            unsent = err; /* there may be an alert to read that says why */
        else if (err)
            return below(t, ctx, err);
        if (step == STEP_DONE) {
            if (unsent)
                return below(t, ctx, unsent);
            store_release(&t->ready, 1);
            return 0;
        }
        err = fill(ctx, t);
        if (err || (unsent && t->in_eof))
            return err == GONE ? err : below(t, ctx, unsent ? unsent : err);
    }
}

static int handshake(struct rn_ctx *ctx, struct rn_tls *t)
{
    int err;

    if (load_acquire(&t->ready)) /* pairs with its making */
        return 0;
    err = turn_take(ctx, &t->reading);
    if (err)
        return err;
    return (int)give_after(&t->reading, load_acquire(&t->ready) ? 0 : handshake_run(ctx, t));
}

int rn_tls_handshake(struct rn_ctx *ctx, rn_tls *t)
{
    int err = begin(ctx, t);

    if (err)
        return err;
    err = handshake(ctx, t);
    end(t);
    return err;
}

/* One try; 0 or more: done, -EAGAIN: more must come. leave: what is read stays there to be read. */
static ssize_t read_step(struct rn_tls *t, void *buf, size_t size, bool leave, rn_error *ret_failed,
                         size_t *ret_left)
{
    ssize_t result = -EIO;
    size_t n = 0;

    pthread_mutex_lock(&t->lock);
    if (!t->failed.code && t->ended) {
        result = 0;
    } else if (!t->failed.code) {
        int ok;

        ERR_clear_error();
        ok = (leave ? SSL_peek_ex : SSL_read_ex)(t->ssl, buf, size, &n);
        switch (ok ? SSL_ERROR_NONE : SSL_get_error(t->ssl, ok)) {
        case SSL_ERROR_NONE:
            result = (ssize_t)n;
            break;
        case SSL_ERROR_ZERO_RETURN:
            t->ended = true;
            result = 0;
            break;
        case SSL_ERROR_WANT_READ:
            result = -EAGAIN;
            break;
        default:
            fail(t, false);
            break;
        }
        ERR_clear_error();
    }
    *ret_failed = t->failed;
    *ret_left = t->out.end - t->out.start;
    pthread_mutex_unlock(&t->lock);
    return result;
}

static ssize_t read_some(struct rn_ctx *ctx, struct rn_tls *t, void *buf, size_t size, bool leave)
{
    for (;;) {
        rn_error failed;
        size_t left;
        ssize_t n = read_step(t, buf, size, leave, &failed, &left);
        int err = 0;

        if (n >= 0)
            return n;
        if (n != -EAGAIN) {
            return alert_as_reader(t) ? rn_error_raise(&failed) : GONE;
        }
        if (left > OUT_LAZY)
            err = flush_as_reader(ctx, t);
        if (!err)
            err = fill(ctx, t);
        if (err)
            return below(t, ctx, err);
    }
}

static ssize_t read_or_leave(struct rn_ctx *ctx, rn_tls *t, void *buf, size_t size, bool leave)
{
    ssize_t n = begin(ctx, t);

    if (n)
        return n;
    n = handshake(ctx, t);
    if (!n && size > 0)
        n = turn_take(ctx, &t->reading);
    if (!n && size > 0)
        n = give_after(&t->reading, read_some(ctx, t, buf, size, leave));
    end(t);
    return n;
}

ssize_t rn_tls_read_ctx(struct rn_ctx *ctx, rn_tls *t, void *buf, size_t size)
{
    return read_or_leave(ctx, t, buf, size, false);
}

ssize_t rn_tls_read(rn_tls *t, void *buf, size_t size)
{
    return rn_tls_read_ctx(NULL, t, buf, size);
}

ssize_t rn_tls_read_full_ctx(struct rn_ctx *ctx, rn_tls *t, void *buf, size_t size)
{
    size_t got = 0;

    while (got < size) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the caller has a reference, so the read's is not the last */
        ssize_t n = rn_tls_read_ctx(ctx, t, (char *)buf + got, size - got);

        if (n < 0)
            return n;
        if (n == 0)
            return got ? rn_errorf(-EIO, "tls %.60s: the stream ended in the middle", t->label) : 0;
        got += (size_t)n;
    }
    return (ssize_t)size;
}

ssize_t rn_tls_read_full(rn_tls *t, void *buf, size_t size)
{
    return rn_tls_read_full_ctx(NULL, t, buf, size);
}

int rn_tls_wait_read_ctx(struct rn_ctx *ctx, rn_tls *t)
{
    char byte;
    ssize_t n = read_or_leave(ctx, t, &byte, 1, true);

    return n < 0 ? (int)n : 0; /* the end is something to read */
}

int rn_tls_wait_read(rn_tls *t)
{
    return rn_tls_wait_read_ctx(NULL, t);
}

bool rn__tls_has_come(struct rn_tls *t)
{
    bool has;
    char byte;

    pthread_mutex_lock(&t->lock);
    /* In a handshake what OpenSSL has is a part of a message, after which there was no more. */
    has = t->in_start != t->in_end || (load_relaxed(&t->ready) && SSL_has_pending(t->ssl));
    pthread_mutex_unlock(&t->lock);
    return has || recv(rn_conn_fd(t->conn), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

/* ---- Writing -------------------------------------------------------------------------------------------------- */

/* Make records of data, or the goodbye if it is NULL. */
static int write_step(struct rn_tls *t, const char *data, size_t size, rn_error *ret_failed)
{
    int result = 0;
    size_t n = 0;

    pthread_mutex_lock(&t->lock);
    if (t->failed.code) {
        result = -EIO;
    } else if (t->said_goodbye) {
        result = data ? -EPIPE : 0;
    } else {
        ERR_clear_error();
        if (!data) {
            t->said_goodbye = true;
            if (SSL_shutdown(t->ssl) < 0) {
                fail(t, false);
                result = -EIO;
            }
        } else if (SSL_write_ex(t->ssl, data, size, &n) != 1) {
            fail(t, false);
            result = -EIO;
        }
        ERR_clear_error();
    }
    *ret_failed = t->failed;
    pthread_mutex_unlock(&t->lock);
    return result;
}

static int write_all(struct rn_ctx *ctx, struct rn_tls *t, const struct iovec *iov, int count)
{
    int err = flush(ctx, t); /* what an earlier one left (I3) */
    size_t made = 0;         /* records that are not sent, of so many bytes */

    for (; !err && count > 0; iov++, count--) {
        const char *data = iov->iov_base;
        size_t left = iov->iov_len;

        while (!err && left > 0) {
            size_t n = left < WRITE_ONCE - made ? left : WRITE_ONCE - made;
            rn_error failed;

            err = write_step(t, data, n, &failed);
            if (err)
                return failed.code ? rn_error_raise(&failed) : err;
            store_relaxed(&t->sent, load_owned(&t->sent) + n);
            data += n;
            left -= n;
            made += n;
            if (made == WRITE_ONCE) {
                err = flush(ctx, t);
                made = 0;
            }
        }
    }
    if (!err && made > 0)
        err = flush(ctx, t);
    return err ? below(t, ctx, err) : 0;
}

ssize_t rn_tls_writev_ctx(struct rn_ctx *ctx, rn_tls *t, const struct iovec *iov, int count)
{
    ssize_t size = 0;
    int err;

    if (count < 0 || count > IOV_ALL)
        return -EINVAL;
    for (int i = 0; i < count; i++)
        if (iov[i].iov_len > SSIZE_MAX - (size_t)size)
            return -EINVAL;
        else
            size += (ssize_t)iov[i].iov_len;
    err = begin(ctx, t);
    if (err)
        return err;
    err = handshake(ctx, t);
    if (!err)
        err = turn_take(ctx, &t->writing);
    if (!err)
        err = (int)give_after(&t->writing, write_all(ctx, t, iov, count));
    end(t);
    return err ? err : size;
}

ssize_t rn_tls_writev(rn_tls *t, const struct iovec *iov, int count)
{
    return rn_tls_writev_ctx(NULL, t, iov, count);
}

ssize_t rn_tls_write_ctx(struct rn_ctx *ctx, rn_tls *t, const void *buf, size_t size)
{
    struct iovec iov = {(void *)(uintptr_t)buf, size};

    return rn_tls_writev_ctx(ctx, t, &iov, 1);
}

ssize_t rn_tls_write(rn_tls *t, const void *buf, size_t size)
{
    return rn_tls_write_ctx(NULL, t, buf, size);
}

uint64_t rn_tls_sent(const rn_tls *t)
{
    return load_relaxed(&t->sent);
}

static int say_goodbye(struct rn_ctx *ctx, struct rn_tls *t)
{
    rn_error failed;
    int err = flush(ctx, t);

    if (!err) {
        err = write_step(t, NULL, 0, &failed);
        if (err)
            return rn_error_raise(&failed);
        err = flush(ctx, t);
    }
    return err ? below(t, ctx, err) : 0;
}

int rn_tls_close_write(rn_tls *t)
{
    int err = begin(NULL, t);

    if (err)
        return err;
    err = handshake(NULL, t);
    if (!err)
        err = turn_take(NULL, &t->writing);
    if (!err)
        err = (int)give_after(&t->writing, say_goodbye(NULL, t));
    end(t);
    return err;
}

int rn_tls_set_read_deadline(rn_tls *t, rn_time at)
{
    return rn_set_read_deadline(t->conn, at);
}

int rn_tls_set_write_deadline(rn_tls *t, rn_time at)
{
    return rn_set_write_deadline(t->conn, at);
}

int rn_tls_set_deadline(rn_tls *t, rn_time at)
{
    return rn_set_deadline(t->conn, at);
}

/* ---- Begin and end -------------------------------------------------------------------------------------------- */

static void tls_free(struct rn_tls *t)
{
    if (t->ssl) {
        /* Else OpenSSL takes a session for bad whose connection ended without a goodbye. */
        if (load_relaxed(&t->ready))
            SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(t->ssl);
        ERR_clear_error();
    }
    rn__tls_setup_release(t->setup);
    rn_tls_config_release(t->config);
    rn_conn_close(t->conn);
    free(t->in);
    free(t->out.data);
    free(t->fly.data);
    pthread_mutex_destroy(&t->lock);
    pthread_mutex_destroy(&t->reading.seen);
    pthread_mutex_destroy(&t->writing.seen);
    free(t);
}

static int tls_new(rn_tls_config *config, bool is_server, struct rn_tls **ret_t)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct rn_tls *t = calloc(1, sizeof *t);
    BIO *bio;

    pthread_once(&once, bio_method_make);
    if (!t || !bio_method) {
        free(t);
        return -ENOMEM;
    }
    t->refs = 1;
    pthread_mutex_init(&t->lock, NULL);
    pthread_mutex_init(&t->reading.seen, NULL);
    pthread_mutex_init(&t->writing.seen, NULL);
    t->reading.sem = t->writing.sem = (rn_sem)RN_SEM(1);
    t->is_server = is_server;
    t->config = config ? rn_tls_config_retain(config) : rn__tls_default();
    t->in = malloc(IN_ROOM);
    if (!t->config || !t->in)
        goto fail;
    t->setup = rn__tls_setup_get(t->config);
    ERR_clear_error();
    t->ssl = SSL_new(t->setup->ctx);
    bio = BIO_new(bio_method);
    if (!t->ssl || !bio) {
        BIO_free(bio);
        ERR_clear_error();
        goto fail;
    }
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_app_data(t->ssl, t);
    *ret_t = t;
    return 0;

fail:
    tls_free(t);
    return -ENOMEM;
}

static bool is_number(const char *host)
{
    unsigned char bytes[16];

    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* The server that is meant: a name without its last dot, a number without its zone. */
static int set_host(struct rn_tls *t, const char *host)
{
    size_t n = host ? strlen(host) : 0;
    bool number;

    if (n == 0) {
        snprintf(t->label, sizeof t->label, "peer");
        return t->config->options.insecure || t->config->pin_count > 0
                   ? 0
                   : rn_errorf(-EINVAL, "tls: no name to verify the server by");
    }
    if (n >= sizeof t->host)
        return rn_errorf(-EINVAL, "tls %.60s: the name is too long", host);
    memcpy(t->host, host, n + 1);
    if (strchr(t->host, '%') && strchr(t->host, ':'))
        *strchr(t->host, '%') = 0;
    if (n > 1 && t->host[n - 1] == '.')
        t->host[n - 1] = 0;
    snprintf(t->label, sizeof t->label, "%s", t->host);
    number = is_number(t->host);
    SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if ((number ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), t->host)
                : SSL_set1_host(t->ssl, t->host)) != 1 ||
        (!number && SSL_set_tlsext_host_name(t->ssl, t->host) != 1))
        return rn_errorf(-EINVAL, "tls %.60s: no name of a server", t->host);
    return 0;
}

int rn_tls_client(rn_conn *c, const char *host, rn_tls_config *config, rn_tls **ret_t)
{
    SSL_SESSION *session;
    struct rn_tls *t;
    int err = tls_new(config, false, &t);

    if (err)
        return err;
    err = set_host(t, t->config->options.server_name ? t->config->options.server_name : host);
    ERR_clear_error();
    if (err) {
        tls_free(t);
        return err;
    }
    SSL_set_verify(t->ssl, SSL_VERIFY_PEER, NULL);
    SSL_set_connect_state(t->ssl);
    session = t->host[0] ? rn__tls_session_take(t->config, t->host) : NULL;
    if (session) {
        SSL_set_session(t->ssl, session);
        SSL_SESSION_free(session);
        ERR_clear_error();
    }
    t->conn = c;
    *ret_t = t;
    return 0;
}

int rn__tls_can_serve(const rn_tls_config *config)
{
    return config && config->options.cert_count > 0
               ? 0
               : rn_errorf(-EINVAL, "tls: a server needs a certificate");
}

int rn_tls_server(rn_conn *c, rn_tls_config *config, rn_tls **ret_t)
{
    struct rn_tls *t;
    rn_addr peer;
    int err;

    err = rn__tls_can_serve(config);
    if (!err)
        err = tls_new(config, true, &t);
    if (err)
        return err;
    if (rn_remote_addr(c, &peer) != 0 || rn_addr_text(&peer, t->label, sizeof t->label) <= 0)
        snprintf(t->label, sizeof t->label, "client");
    SSL_set_verify(t->ssl,
                   config->options.client_cert == RN_TLS_REQUIRE_CLIENT_CERT
                       ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                   : config->options.client_cert ? SSL_VERIFY_PEER
                                                 : SSL_VERIFY_NONE,
                   NULL);
    SSL_set_accept_state(t->ssl);
    t->conn = c;
    *ret_t = t;
    return 0;
}

/* The host of "host:port"; of none, this machine. */
static void host_of(const char *address, char host[NAME_MAX_TLS])
{
    const char *colon = strrchr(address, ':');
    size_t n = colon ? (size_t)(colon - address) : strlen(address);

    if (n >= 2 && address[0] == '[' && address[n - 1] == ']') {
        address++;
        n -= 2;
    }
    snprintf(host, NAME_MAX_TLS, "%.*s", (int)n, n ? address : "localhost");
    if (n == 0)
        snprintf(host, NAME_MAX_TLS, "localhost");
}

int rn_tls_dial(struct rn_ctx *ctx, const char *network, const char *address, rn_tls_config *config,
                rn_tls **ret_t)
{
    char host[NAME_MAX_TLS];
    rn_conn *c;
    rn_tls *t;
    int err;

    if (!network || (strncmp(network, "tcp", 3) != 0 && strcmp(network, "unix") != 0))
        return rn_errorf(-EINVAL, "tls over %.20s is not known", network ? network : "(null)");
    err = rn_dial_ctx(ctx, network, address, &c);
    if (err)
        return err;
    host_of(address, host);
    err = rn_tls_client(c, strcmp(network, "unix") == 0 ? NULL : host, config, &t);
    if (err) {
        rn_conn_close(c);
        return err;
    }
    err = rn_tls_handshake(ctx, t);
    if (err) {
        rn_error e = rn_error_of(err);

        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): as above, ours is the last reference */
        rn_tls_cancel(t);
        rn_tls_release(t);
        return rn_error_raise(&e);
    }
    *ret_t = t;
    return 0;
}

void rn_tls_cancel(rn_tls *t)
{
    if (t) {
        store_relaxed(&t->closed, 1);
        rn_conn_cancel(t->conn);
    }
}

void rn_tls_close(rn_tls *t)
{
    if (!t)
        return;
    if (swap_acq_rel(&t->closed, 1) == 0) {
        (void)rn_close_read(t->conn); /* whoever reads ends now */
        if (load_acquire(&t->ready) && turn_try(&t->writing)) {
            int err = 0;

            if (t->fly.start == t->fly.end &&
                rn_set_write_deadline(t->conn, rn_now() + farewell_time) == 0)
                err = say_goodbye(NULL, t);
            (void)give_after(&t->writing, err);
        }
        rn_conn_cancel(t->conn);
    }
    rn_tls_release(t);
}

rn_tls *rn_tls_retain(rn_tls *t)
{
    add_relaxed(&t->refs, 1); /* the caller holds one */
    return t;
}

void rn_tls_release(rn_tls *t)
{
    if (t && sub_acq_rel(&t->refs, 1) == 1) /* pairs with the others' */
        tls_free(t);
}

/* ---- About a connection --------------------------------------------------------------------------------------- */

static void name_text(X509_NAME *name, char *text, size_t size)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int n = 0;

    if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0)
        n = BIO_read(bio, text, (int)size - 1);
    text[n > 0 ? n : 0] = 0;
    BIO_free(bio);
}

int rn_tls_get_info(rn_tls *t, rn_tls_info *ret_info)
{
    rn_tls_info info = {0};
    const unsigned char *alpn;
    unsigned int size;
    const char *name;
    X509 *cert;

    if (!load_acquire(&t->ready))
        return -ENOTCONN;
    pthread_mutex_lock(&t->lock);
    ERR_clear_error();
    info.version = SSL_version(t->ssl);
    info.cipher = SSL_CIPHER_standard_name(SSL_get_current_cipher(t->ssl));
    info.resumed = SSL_session_reused(t->ssl) == 1;
    SSL_get0_alpn_selected(t->ssl, &alpn, &size);
    if (size > 0 && size < sizeof info.alpn)
        memcpy(info.alpn, alpn, size);
    name = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
    snprintf(info.server_name, sizeof info.server_name, "%s", name ? name : "");
    cert = SSL_get0_peer_certificate(t->ssl);
    if (cert) {
        struct tm tm;

        info.verified = !t->config->options.insecure && SSL_get_verify_result(t->ssl) == X509_V_OK;
        name_text(X509_get_subject_name(cert), info.peer_subject, sizeof info.peer_subject);
        name_text(X509_get_issuer_name(cert), info.peer_issuer, sizeof info.peer_issuer);
        X509_digest(cert, EVP_sha256(), info.peer_sha256, NULL);
        if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1)
            info.peer_valid_until = timegm(&tm);
    }
    ERR_clear_error();
    pthread_mutex_unlock(&t->lock);
    *ret_info = info;
    return 0;
}

rn_conn *rn_tls_conn(rn_tls *t)
{
    return t->conn;
}
