/* SPDX-License-Identifier: MIT */
/*
 * sem.c - the weighted semaphore: a count of held units, and a queue in the lot.
 *
 * rn__held is a word: the units held, and in the sign bit QUEUED, when the queue may have waiters. Units are given
 * back by one subtraction, always. While QUEUED is clear they are taken by compare-exchange; while it is set, only by
 * whoever has the bucket locked, for those in the queue.
 *
 * Strictly first come, first served: while QUEUED is set, an acquire queues and a try fails, even if units
 * are free, and units given back go to the front of the queue as long as they suffice for it. A request
 * above the size does not queue: it waits for its context only, at an address of its own.
 *
 * Invariants, with the bucket locked
 *   I1  QUEUED is changed only with the bucket locked; a waiter in the queue implies QUEUED. Not the reverse:
 *       a waiter that was dropped with its runtime leaves QUEUED, to be cleared by the next that looks.
 *   I2  the first waiter, if any, asks for more than is free, or somebody is on his way to serve: who has given
 *       units back and seen QUEUED, or whom its context took out of the queue.
 *
 * Who wins when a context ends while units are granted: the context. The waiter gives the units back. (It
 * looks again after it was granted, so a context that ended first always wins.)
 *
 * Edges (release -> acquire)
 *   E1  a release's subtraction, or serve() under the bucket's lock -> the acquire that takes the units
 *
 * Last access. The subtraction; for with the units another may be served, be done and free the semaphore. Whoever
 * saw QUEUED then looks into the bucket by address alone: if there is a waiter, so is its semaphore, as long as the
 * bucket is locked; perhaps another at the same place, whose queue is then looked at for nothing. If there is none, QUEUED
 * stays, for the next acquire to clear.
 */
#include <runnel/ctx.h>
#include <runnel/sync.h>

#include "base/tools.h"
#include "sched/lot.h"

#define QUEUED ((uint64_t)1 << 63)

_Static_assert(sizeof(rn_sem) == 40, "decision 9");

static inline uint64_t *word_of(rn_sem *s)
{
    return (uint64_t *)&s->rn__held;
}
static inline int64_t held_in(uint64_t word)
{
    return (int64_t)(word & ~QUEUED);
}

/* With the bucket locked and QUEUED set: hand out what is free. Returns who got some, to be readied when the bucket is
 * unlocked. Meanwhile units may be given back, by those who then come to serve, too; none are taken. */
static struct lot_waiter *serve(struct lot_bucket *b, rn_sem *s)
{
    struct lot_waiter *list = NULL, **end = &list, *w;
    uint64_t word = load_acquire(word_of(s)); /* E1 */

    while ((w = rn__lot_first(b, s, LOT_SEM)) && s->rn__size - held_in(word) >= (int64_t)w->arg) {
        word = add_acq_rel(word_of(s), w->arg) + w->arg; /* E1; {held: +n} */
        w->granted = 1;
        rn__lot_remove(b, w);
        w->next = NULL;
        *end = w;
        end = &w->next;
    }
    if (!w)
        and_acq_rel(word_of(s), ~QUEUED); /* E1 */
    return list;
}

/* With the bucket locked: take n units if they are free and nobody waits. Else false, with QUEUED set if queue
 * says so. */
static bool take_locked(struct lot_bucket *b, rn_sem *s, int64_t n, bool queue)
{
    bool first = !rn__lot_first(b, s, LOT_SEM);
    uint64_t word = load_relaxed(word_of(s));

    for (;;) {
        if (first && s->rn__size - held_in(word) >= n) {
            /* {held: +n} */
            if (cas_acquire(word_of(s), &word, (word & ~QUEUED) + (uint64_t)n)) /* E1 */
                return true;
        } else if (!queue || cas_relaxed(word_of(s), &word, word | QUEUED)) { /* no edge: I1 */
            return false;
        }
    }
}

/* Take n units if they are free and nobody waits. */
static inline bool take(rn_sem *s, int64_t n)
{
    uint64_t word = load_relaxed(word_of(s));

    while (!(word & QUEUED) && s->rn__size - held_in(word) >= n) {
        if (cas_acquire(word_of(s), &word, word + (uint64_t)n)) /* E1; {held: +n} */
            return true;
    }
    return false;
}

/* Nobody can have n units at once: wait for the context alone. */
static COLD int wait_for_context(struct rn_ctx *ctx)
{
    struct lot_waiter w = {0};
    struct lot_bucket *b;

    if (!ctx)
        rn__park_forever(WAIT_SEM_ACQUIRE);
    b = rn__lot_lock(&w);
    rn__lot_enqueue(b, &w, &w, LOT_SEM, false);
    rn__lot_unlock(b);
    return rn__lot_park(&w, WAIT_SEM_ACQUIRE, ctx);
}

static COLD int acquire_slow(struct rn_ctx *ctx, rn_sem *s, int64_t n)
{
    struct lot_waiter *list;
    struct lot_bucket *b;
    struct lot_waiter w;
    int err;

    if (n > s->rn__size)
        return wait_for_context(ctx);

    b = rn__lot_lock(s);
    if (take_locked(b, s, n, true)) {
        rn__lot_unlock(b);
        return 0;
    }
    w.arg = (uint64_t)n;
    rn__lot_enqueue(b, &w, s, LOT_SEM, false);
    rn__lot_unlock(b);
    err = rn__lot_park(&w, WAIT_SEM_ACQUIRE, ctx); /* E1 */
    if (err) {
        /* Those behind may fit now: I2. */
        b = rn__lot_lock(s);
        list = load_relaxed(word_of(s)) & QUEUED ? serve(b, s) : NULL;
        rn__lot_unlock(b);
        rn__lot_ready_list(list);
        return err;
    }
    err = rn_ctx_err(ctx);
    if (err) { /* the context wins */
        edge_acquire(s);
        rn_sem_release(s, n);
    }
    return err;
}

int rn_sem_acquire(struct rn_ctx *ctx, rn_sem *s, int64_t n)
{
    int err;

    if (n < 0)
        return -EINVAL;
    err = rn_ctx_err(ctx);
    if (err)
        return err;
    if (!take(s, n)) {
        err = acquire_slow(ctx, s, n);
        if (err)
            return err;
    }
    edge_acquire(s);
    return 0;
}

bool rn_sem_try_acquire(rn_sem *s, int64_t n)
{
    if (n < 0)
        return false;
    if (!take(s, n)) {
        struct lot_bucket *b;
        bool taken;

        if (!(load_relaxed(word_of(s)) & QUEUED)) /* no edge: it fails, or takes under the lock */
            return false;
        b = rn__lot_lock(s);
        taken = take_locked(b, s, n, false);
        rn__lot_unlock(b);
        if (!taken)
            return false;
    }
    edge_acquire(s);
    return true;
}

/* There may be somebody to serve with what was given back. s is looked at only if somebody waits for it. */
static COLD void serve_queue(rn_sem *s)
{
    struct lot_bucket *b = rn__lot_lock(s);
    struct lot_waiter *list = rn__lot_first(b, s, LOT_SEM) ? serve(b, s) : NULL;

    rn__lot_unlock(b);
    rn__lot_ready_list(list); /* E1 */
}

void rn_sem_release(rn_sem *s, int64_t n)
{
    uint64_t word;

    edge_release(s);
    word = n < 0 ? 0 : sub_release(word_of(s), (uint64_t)n); /* E1; {held: -n} */
    if (unlikely(n < 0 || held_in(word) < n)) {
        if (n >= 0)
            add_relaxed(word_of(s), (uint64_t)n);
        rn__panic("semaphore: released more than held");
    }
    if (unlikely(word & QUEUED))
        serve_queue(s);
}
