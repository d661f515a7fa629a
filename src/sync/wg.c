/* SPDX-License-Identifier: MIT */
/*
 * wg.c - the wait group: a counter and one bit in a word, waiters in the lot.
 *
 * The word: the counter in the high half, signed; bit 0, WAITING, when somebody is or was in the queue.
 *   (n, -)        nobody waits
 *   (n, WAITING)  waiters are queued, or were and left with their context
 *   (0, WAITING)  for a moment: whoever counted to 0 is about to wake the waiters, and nobody else will
 * An addition is one atomic instruction; only the one that makes (0, WAITING) has more to do.
 *
 * Invariants
 *   I1  WAITING is changed only with the bucket locked.
 *   I2  nobody's wait returns 0 while the word is (0, WAITING), except those who are woken: waits that
 *       find it queue, and a waiter whose context has ended queues again. So the group is there until its
 *       waker has set the word to 0, its last access, although it is anybody's the moment after.
 *   I3  a waiter in the queue implies WAITING.
 *
 * Misuse is reported, with Go's text, where it is noticed: by an addition that finds (0, WAITING) and goes
 * up, and by a waker that finds the counter changed. A group that is used again before a wait of the batch
 * before has returned does no harm here, since who was woken looks at it no more, and is not noticed.
 *
 * Edges (release -> acquire)
 *   E1  every subtraction -> the load of a wait that finds 0 (one release sequence: all are
 *       read-modify-writes, until the waker's store, which comes after them all under the bucket's lock)
 *   E2  every subtraction -> the last one, whose rn__ready -> the return of the waits it wakes
 * ThreadSanitizer is told of a pseudo access besides, as Go does: the addition that leaves 0 reads it, the
 * first waiter writes it, so that an addition concurrent with the wait meant to see it is reported.
 *
 * Rejected: a compare-exchange that takes the last step under the bucket's lock. It needs no (0, WAITING),
 * but fails and repeats where many goroutines end at the same time.
 */
#include <runnel/ctx.h>
#include <runnel/sync.h>

#include "base/tools.h"
#include "sched/lot.h"

#define WAITING ((uint64_t)1)

_Static_assert(sizeof(rn_wg) == 24, "decision 9");

static inline int32_t counter(uint64_t word)
{
    return (int32_t)(uint32_t)(word >> 32);
}

/* What ThreadSanitizer sees the first addition read and the first waiter write. */
static inline void *pseudo(rn_wg *wg)
{
    return &wg->rn__reserved[0];
}

static const char called_concurrently[] =
    "sync: WaitGroup misuse: Add called concurrently with Wait";

/* The caller made the word (0, WAITING). */
static COLD void wake_all(rn_wg *wg)
{
    struct lot_bucket *b = rn__lot_lock(wg);
    struct lot_waiter *list;
    uint64_t word = WAITING;

    if (!cas_release(&wg->rn__state, &word, 0)) { /* E1; I2: the last access */
        rn__lot_unlock(b);
        rn__panic(called_concurrently);
    }
    list = rn__lot_remove_all(b, wg, LOT_WG);
    for (struct lot_waiter *w = list; w; w = w->next)
        w->granted = 1;
    rn__lot_unlock(b);
    rn__lot_ready_list(list); /* E2 */
}

static inline void count_in(rn_wg *wg, int delta)
{
    uint64_t before;
    int32_t now;

    if (delta < 0)
        edge_release(wg);
    before = add_acq_rel(&wg->rn__state, (uint64_t)(int64_t)delta << 32); /* E1, E2 */
    now = (int32_t)((uint32_t)counter(before) + (uint32_t)delta);
    if (unlikely(now < 0))
        rn__panic("sync: negative WaitGroup counter");
    if (delta > 0 && counter(before) == 0) {
        tool_read(pseudo(wg), sizeof wg->rn__reserved[0]);
        if (unlikely(before & WAITING))
            rn__panic(called_concurrently);
    }
    if (unlikely(now == 0 && (before & WAITING) && delta != 0))
        wake_all(wg);
}

void rn_wg_add(rn_wg *wg, int delta)
{
    count_in(wg, delta);
}

/* rn_wg_add(wg, -1), of which every goroutine of a group has one. */
static inline void count_out(rn_wg *wg)
{
    uint64_t before;

    edge_release(wg);
    before = add_acq_rel(&wg->rn__state, (uint64_t)(int64_t)-1 << 32); /* E1, E2 */
    if (unlikely(counter(before) <= 0))
        rn__panic("sync: negative WaitGroup counter");
    if (unlikely(before == ((uint64_t)1 << 32 | WAITING)))
        wake_all(wg);
}

void rn_wg_done(rn_wg *wg)
{
    count_out(wg);
}

/* Wait while the counter is not 0; 0, or the error of ctx. */
static COLD int wg_wait(rn_wg *wg, struct rn_ctx *ctx)
{
    struct lot_waiter w;

    for (;;) {
        struct lot_bucket *b = rn__lot_lock(wg);
        uint64_t word = load_acquire(&wg->rn__state); /* E1 */
        bool first;
        int err;

        do {
            if (word == 0) {
                rn__lot_unlock(b);
                return 0;
            }
            first = !(word & WAITING);
        } while (first && !cas_acq_rel(&wg->rn__state, &word, word | WAITING));
        rn__lot_enqueue(b, &w, wg, LOT_WG, false);
        rn__lot_unlock(b);
        if (first) {
            /* Waits that end with their contexts leave the group to another first one: no race of theirs. */
            edge_acquire(pseudo(wg) + 1);
            tool_write(pseudo(wg), sizeof wg->rn__reserved[0]);
            edge_release(pseudo(wg) + 1);
        }

        err = rn__lot_park(&w, WAIT_WG_WAIT, ctx);
        if (w.granted) /* E2; the group may be gone */
            return 0;

        /* The context ended first. If there is nobody else, leave no trace; but if the counter is 0 now,
         * somebody is on the way to the queue: be there, and the wait has succeeded. */
        b = rn__lot_lock(wg);
        word = load_relaxed(&wg->rn__state);
        while (counter(word) != 0 && (word & WAITING) && !rn__lot_first(b, wg, LOT_WG) &&
               !cas_relaxed(&wg->rn__state, &word, word & ~WAITING))
            ; /* no edge: I1 */
        rn__lot_unlock(b);
        if (counter(word) != 0)
            return err;
        ctx = NULL;
    }
}

void rn_wg_wait(rn_wg *wg)
{
    if (load_acquire(&wg->rn__state) != 0) /* E1 */
        wg_wait(wg, NULL);
    edge_acquire(wg);
}

int rn_wg_wait_ctx(struct rn_ctx *ctx, rn_wg *wg)
{
    if (load_acquire(&wg->rn__state) != 0) { /* E1 */
        int err = wg_wait(wg, ctx);

        if (err)
            return err;
    }
    edge_acquire(wg);
    return 0;
}

/* ---- Goroutines that count themselves out ---------------------------------------------------------- */

static void goroutine_done(void *wg, int result)
{
    (void)result;
    count_out(wg);
}

struct rn__call *rn__wg_go_begin(rn_wg *wg, void (*fn)(void))
{
    struct fresh *f = rn__fresh_go(fn, goroutine_done, wg, __builtin_return_address(0));

    count_in(wg, 1);
    return &f->call;
}

void rn_wg_go_fn(rn_wg *wg, void (*fn)(void *), void *arg)
{
    struct fresh *f =
        rn__fresh_go((void (*)(void))fn, goroutine_done, wg, __builtin_return_address(0));

    count_in(wg, 1);
    rn__call_set_ptr(&f->call, arg);
    rn__fresh_start(&f->call);
}
