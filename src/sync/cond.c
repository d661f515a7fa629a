/* SPDX-License-Identifier: MIT */
/*
 * cond.c - the condition variable: a queue in the lot.
 *
 * Three words: [SELF] the condition's own address, stored at its first use, by which a copy is noticed;
 * [QUEUED] 1 when somebody is or was in the queue; one reserved.
 *
 * A waiter queues before it unlocks the mutex, so whoever signals with the mutex locked afterwards finds it.
 * QUEUED lets a signal without waiters be two loads. It is written with the bucket locked; the load without
 * is enough, since a signal that is meant for a waiter is ordered after the waiter's registration by the
 * mutex, or by whatever else the program orders them with. A waiter that left with its context leaves it set;
 * the next signal clears it.
 *
 * A waiter leaves the queue by a signal, in the order of arrival, or by its context; never for no reason.
 *
 * The waiter unlocks the mutex between its registration and its park, and readies somebody there. lot.c
 * says why that cannot be circular. Meanwhile it may be signalled: whoever does so then waits until it has
 * parked.
 *
 * Edges
 *   E1  signal, broadcast -> rn__ready -> the return of the wait it wakes
 *
 * Last access. What signal and broadcast touch of the condition they touch with the bucket locked, before
 * they ready anybody.
 *
 * Rejected: tickets, as in Go, which number the waiters before they queue: a signal may come upon a number
 * whose waiter is not in the queue yet, and one whose waiter left with its context.
 */
#include <runnel/ctx.h>
#include <runnel/sync.h>

#include "base/tools.h"
#include "sched/lot.h"

enum { SELF, QUEUED };

_Static_assert(sizeof(rn_cond) == 24, "decision 9");

static void check_copy(rn_cond *c)
{
    uint64_t self = (uint64_t)(uintptr_t)c;
    uint64_t seen = load_relaxed(&c->rn__word[SELF]); /* no edge: only compared */

    if (unlikely(seen != self) && !(seen == 0 && cas_relaxed(&c->rn__word[SELF], &seen, self)) &&
        seen != self)
        rn__panic("sync.Cond is copied");
}

static int cond_wait(struct rn_ctx *ctx, rn_cond *c, rn_mutex *m)
{
    struct lot_waiter w;
    struct lot_bucket *b;
    int err;

    check_copy(c);
    b = rn__lot_lock(c);
    store_relaxed(&c->rn__word[QUEUED], 1); /* see above */
    rn__lot_enqueue(b, &w, c, LOT_COND, false);
    rn__lot_unlock(b);
    rn__mutex_unlock(m);
    err = rn__lot_park(&w, WAIT_COND_WAIT, ctx); /* E1 */
    if (!err)
        edge_acquire(c);
    rn__mutex_lock(m);
    return err;
}

void rn_cond_wait(rn_cond *c, rn_mutex *m)
{
    (void)cond_wait(NULL, c, m);
}

int rn_cond_wait_ctx(struct rn_ctx *ctx, rn_cond *c, rn_mutex *m)
{
    return cond_wait(ctx, c, m);
}

void rn_cond_signal(rn_cond *c)
{
    struct lot_bucket *b;
    struct lot_waiter *w;

    check_copy(c);
    if (likely(!load_relaxed(&c->rn__word[QUEUED]))) /* see above */
        return;
    b = rn__lot_lock(c);
    w = rn__lot_first(b, c, LOT_COND);
    if (w) {
        edge_release(c);
        rn__lot_remove(b, w);
    }
    if (!rn__lot_first(b, c, LOT_COND))
        store_relaxed(&c->rn__word[QUEUED], 0);
    rn__lot_unlock(b);
    if (w)
        rn__ready(w->g); /* E1 */
}

void rn_cond_broadcast(rn_cond *c)
{
    struct lot_waiter *list;
    struct lot_bucket *b;

    check_copy(c);
    if (likely(!load_relaxed(&c->rn__word[QUEUED]))) /* see above */
        return;
    b = rn__lot_lock(c);
    list = rn__lot_remove_all(b, c, LOT_COND);
    if (list)
        edge_release(c);
    store_relaxed(&c->rn__word[QUEUED], 0);
    rn__lot_unlock(b);
    rn__lot_ready_list(list); /* E1 */
}
