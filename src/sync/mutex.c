/* SPDX-License-Identifier: MIT */
/*
 * mutex.c - the mutex: one word, and a queue in the lot.
 *
 * The word:
 *   LOCKED   held. The inline fast paths of sync.h exchange 0 for LOCKED, and subtract LOCKED.
 *   WAITERS  the queue may have waiters. Set with each one that queues, cleared by the unlock that finds
 *            the queue empty or takes the last waiter.
 *   WOKEN    an unlock took a waiter out, and it has neither got the lock nor queued again. While it is on
 *            its way no other waiter is woken.
 *   HANDOFF  the lock is passed on by unlock, never set free.
 * Held is also a word with WAITERS and neither LOCKED nor WOKEN: by an unlock that is to wake somebody. So unlock can
 * begin with the subtraction, which is faster than a compare-exchange where nobody waits, and still have the
 * mutex to itself for the rest.
 *
 * As in Go there are two modes. Normal: unlock sets the lock free and wakes the oldest waiter, which
 * competes with whoever runs; a running goroutine usually wins, which is fast, and the loser queues at the
 * front. Hand-off: a waiter that has lost and was delayed for more than a millisecond asks for it; from then
 * on unlock leaves LOCKED set and gives the lock to the oldest waiter, and newcomers queue. It ends with a
 * waiter that waited for less than a millisecond, or with the last.
 *
 * Invariants
 *   I1  WAITERS and HANDOFF change only with the bucket locked; WOKEN is set only with it locked and
 *       cleared only by the woken waiter, so that a word once free of both is held. LOCKED may change at any time
 *       (fast paths, try_lock).
 *   I2  HANDOFF is set only while it is held, with WAITERS and without WOKEN: it stays held while HANDOFF is set.
 *   I3  a waiter in the queue implies WAITERS. Not the reverse: a waiter whose context ended, or whose
 *       runtime did, leaves WAITERS behind; the next unlock finds nobody and clears it.
 *   I4  nobody is woken for no reason: a waiter leaves the queue with the lock, or as the woken one.
 * No wake-up is lost: who queues does so while it is held, in the same compare-exchange that sets WAITERS, so
 * the unlock to come, or under way, sees it. And if that unlock leaves the waking to a WOKEN one, that one either takes the
 * lock, and unlocks in turn, or finds it taken and clears WOKEN in the exchange that sees it held.
 *
 * Edges (release -> acquire)
 *   E1  unlock's subtraction or store that sets it free -> the exchange that sets LOCKED
 *   E2  unlock's rn__ready of a granted waiter -> the return of its park
 *
 * Last access. Unlock touches the mutex for the last time in what frees it or passes it on;
 * the bucket's lock, the queue and the waiter are not the mutex. (A lock's mark comes after the exchange that
 * takes it, and before the lock returns: who unlocks it knows that it has.)
 *
 * Who has locked it is marked beside the word, for reports: sched/owner.h.
 *
 * Rejected: a count of waiters instead of the one bit (a waiter dropped with its runtime would have to be
 * counted out); yielding to the waiter in a hand-off, so that it runs at once (a goroutine may come back from
 * a yield on another thread, and only calls that wait may do that).
 */
#include <runnel/ctx.h>
#include <runnel/sync.h>

#include "base/tools.h"
#include "sched/lot.h"
#include "sync/holder.h"
#include "sync/spin.h"

enum { LOCKED = 1, HANDOFF = 2, WAITERS = 4, WOKEN = 8 };

static inline bool is_held(uint32_t state)
{
    return (state & LOCKED) || (state & (WAITERS | WOKEN)) == WAITERS;
}

_Static_assert(sizeof(rn_mutex) == 16, "decision 9");

static COLD int mutex_wait(rn_mutex *m, struct rn_ctx *ctx)
{
    struct lot_waiter w;
    int64_t since = 0;
    unsigned spins = spin_rounds();
    uint32_t mine = 0;                            /* WOKEN if this is the woken waiter */
    uint32_t handoff = 0;                         /* HANDOFF if this waiter is starving */
    uint32_t state = load_relaxed(&m->rn__state); /* a guess; the exchanges check it */

    for (;;) {
        struct lot_bucket *b;
        int err;

        if (!is_held(state)) { /* and so not HANDOFF: I2 */
            if (cas_acquire(&m->rn__state, &state, (state & ~mine) | LOCKED)) /* E1 */
                return 0;
            continue;
        }
        if (spins > 0 && !(state & HANDOFF)) {
            spins--;
            spin_round();
            state = load_relaxed(&m->rn__state);
            continue;
        }

        b = rn__lot_lock(m);
        state = load_relaxed(&m->rn__state);
        while (is_held(state) &&
               !cas_relaxed(&m->rn__state, &state, (state & ~mine) | WAITERS | handoff))
            ; /* no edge: the bucket's lock orders the queue */
        if (!is_held(state)) {
            rn__lot_unlock(b);
            continue;
        }
        if (!since)
            since = now_ns();
        w.arg = (uint64_t)since;
        rn__lot_enqueue(b, &w, m, LOT_MUTEX, mine != 0);
        locking_begin(&w, ctx);
        rn__lot_unlock(b);
        locking_watch(&w);
        err = rn__lot_park(&w, WAIT_MUTEX_LOCK, ctx);
        locking_end(&w);
        if (w.cancelled)
            return err;
        if (w.granted) /* E2 */
            return 0;
        mine = WOKEN;
        if (now_ns() - since > starving_ns)
            handoff = HANDOFF;
        spins = spin_rounds();
        state = load_relaxed(&m->rn__state);
    }
}

/* There may be waiters, and none is on its way; the caller holds m, having subtracted LOCKED. */
static COLD void mutex_wake(rn_mutex *m)
{
    struct lot_bucket *b = rn__lot_lock(m);
    struct lot_waiter *w = rn__lot_first(b, m, LOT_MUTEX);
    uint32_t state = load_relaxed(&m->rn__state);
    uint32_t set = 0, clear = 0;

    if (!w) {
        clear = WAITERS | HANDOFF;
    } else {
        if (state & HANDOFF) { /* I1: it stays as it is */
            w->granted = 1;
            set = LOCKED;
            clear = now_ns() - (int64_t)w->arg < starving_ns ? HANDOFF : 0;
        } else {
            set = WOKEN;
        }
        rn__lot_remove(b, w);
        if (!rn__lot_first(b, m, LOT_MUTEX))
            clear |= WAITERS | HANDOFF;
    }
    /* E1. With the bucket locked nobody else changes a word that is held without LOCKED. */
    store_release(&m->rn__state, (state & ~clear) | set);
    rn__lot_unlock(b);
    if (w)
        rn__ready(w->g); /* E2 */
}

bool rn__mutex_mark(const rn_mutex *m, struct lock_mark *ret)
{
    ret->at = load_acquire(&m->rn__at); /* each before the next: see holder.c */
    ret->by = load_acquire(&m->rn__by);
    return ret->at && (load_acquire(&m->rn__state) & LOCKED) &&
           load_acquire(&m->rn__by) == ret->by && load_relaxed(&m->rn__at) == ret->at;
}

/* Take m if it is not held: the callers are here also because a waiter was woken and has not come yet, which may be so for
 * as long as they go on. */
static ALWAYS_INLINE bool lock_free(rn_mutex *m)
{
    uint32_t state = load_relaxed(&m->rn__state);

    return likely(!is_held(state)) &&
           likely(cas_acquire(&m->rn__state, &state, state | LOCKED)); /* E1 */
}

void rn__mutex_lock(rn_mutex *m)
{
    tool_read(m, sizeof *m); /* whoever overwrites a mutex in use is to be reported */
    if (!lock_free(m))
        mutex_wait(m, NULL);
    owner_mark(&m->rn__by, &m->rn__at);
    edge_acquire(m);
}

int rn_mutex_lock_ctx(struct rn_ctx *ctx, rn_mutex *m)
{
    tool_read(m, sizeof *m);
    if (!lock_free(m)) {
        int err = mutex_wait(m, ctx);

        if (err)
            return err;
    }
    owner_mark(&m->rn__by, &m->rn__at);
    edge_acquire(m);
    return 0;
}

bool rn__mutex_try_lock(rn_mutex *m)
{
    uint32_t state = load_relaxed(&m->rn__state);

    tool_read(m, sizeof *m);
    while (!is_held(state)) {
        if (cas_acquire(&m->rn__state, &state, state | LOCKED)) { /* E1 */
            owner_mark(&m->rn__by, &m->rn__at);
            edge_acquire(m);
            return true;
        }
    }
    return false;
}

void rn__mutex_unlock_rest(rn_mutex *m, uint32_t left)
{
    if (unlikely(!((left + LOCKED) & LOCKED)))
        rn__fatal("sync: unlock of unlocked mutex");
    if (is_held(left))
        mutex_wake(m);
}

void rn__mutex_unlock(rn_mutex *m)
{
    uint32_t left;

    edge_release(m);
    owner_unmark(&m->rn__at);
    left = sub_release(&m->rn__state, LOCKED) - LOCKED; /* E1 */
    if (left)
        rn__mutex_unlock_rest(m, left);
}
