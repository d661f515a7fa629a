/* SPDX-License-Identifier: MIT */
/*
 * group.c - the error group: goroutines that are waited for together, of which the first error counts.
 *
 * The word counts the goroutines that are in the group, from the moment they have their slot under the
 * limit, in its high half; two bits say which of the queues in the lot may have waiters:
 *   WAITING  rn_group_wait
 *   SLOTS    rn_group_go at the limit
 * A goroutine that ends while others wait for a slot passes its own on to the oldest; the count stays.
 *
 * Invariants
 *   I1  WAITING and SLOTS are changed only with the bucket locked; a waiter in a queue implies its bit. Not
 *       the reverse: a waiter that was dropped with its runtime leaves its bit, to be cleared by the next.
 *   I2  while SLOTS is set nobody takes a slot but by being given it: first come, first served.
 *   I3  the count goes to 0 with WAITING set only with the bucket locked, in one exchange that clears all.
 *   I4  error is written by whoever moves taken from 0 to 1, before it leaves the group.
 *
 * Order of an error: it is stored, with the message that its goroutine attached; then the context is
 * cancelled with it as the cause; then the goroutine leaves. So what fails because of the cancellation comes
 * too late to be the group's error.
 *
 * Edges (release -> acquire)
 *   E1  a goroutine's exchange when it leaves -> the load of a wait that finds 0; or, for the last one, its
 *       rn__ready -> the return of the wait
 *   E2  a goroutine's exchange when it leaves, or its rn__ready -> the rn_group_go that takes its slot
 * ThreadSanitizer knows E1 by the group's address, E2 by that of the limit, and E2 only under a limit.
 *
 * Last access. The exchange by which a goroutine leaves, or what it does with the bucket locked before it
 * readies somebody. rn_group_wait returns after it has taken the error out of the group.
 *
 * Rejected: a wait group and a semaphore inside (two counters that say the same, and 64 bytes).
 */
#include <runnel/group.h>

#include "base/tools.h"
#include "sched/lot.h"

#define WAITING ((uint64_t)1)
#define SLOTS ((uint64_t)2)
#define ONE ((uint64_t)1 << 32)

/* What is in the words of an rn_group. */
struct group {
    uint64_t word;  /* atomic: {count, bits} */
    int64_t limit;  /* atomic, changed with the bucket locked: the limit plus 1; 0 means none */
    rn_ctx *ctx;    /* atomic: owned; NULL without one and after the wait */
    uint32_t taken; /* atomic: 1 once there is an error */
    uint32_t reserved0;
    rn_error error; /* I4 */
    uint64_t reserved[4];
} __attribute__((may_alias));

_Static_assert(sizeof(struct group) == sizeof(rn_group) && sizeof(rn_group) == 192, "decision 9");

static inline struct group *group_of(rn_group *g)
{
    return (struct group *)(void *)g;
}

static inline uint32_t count_in(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

/* May one more come in, as far as the limit goes? */
static inline bool has_room(const struct group *g, uint64_t word)
{
    int64_t limit = load_relaxed(&g->limit); /* no edge: changed while nobody is in the group */

    return limit == 0 || (int64_t)count_in(word) < limit - 1;
}

/* ---- Slots ------------------------------------------------------------------------------------------ */

static bool slot_try(struct group *g)
{
    uint64_t word = load_relaxed(&g->word);

    while (!(word & SLOTS) && has_room(g, word)) {
        if (cas_acquire(&g->word, &word, word + ONE)) { /* E2; {count: +1} */
            if (load_relaxed(&g->limit))
                edge_acquire(&g->limit);
            return true;
        }
    }
    return false;
}

static COLD void slot_wait(struct group *g)
{
    struct lot_bucket *b = rn__lot_lock(g);
    uint64_t word = load_relaxed(&g->word);
    struct lot_waiter w;

    for (;;) {
        if (has_room(g, word) && !rn__lot_first(b, g, LOT_GROUP_SLOT)) {
            if (cas_acquire(&g->word, &word, (word & ~SLOTS) + ONE)) { /* E2; {count: +1} */
                rn__lot_unlock(b);
                edge_acquire(&g->limit);
                return;
            }
        } else if (cas_relaxed(&g->word, &word, word | SLOTS)) { /* no edge: I1 */
            break;
        }
    }
    rn__lot_enqueue(b, &w, g, LOT_GROUP_SLOT, false);
    rn__lot_unlock(b);
    rn__lot_park(&w, WAIT_GROUP_GO, NULL); /* E2: with a slot */
    edge_acquire(&g->limit);
}

static void slot_take(struct group *g)
{
    if (unlikely(!slot_try(g)))
        slot_wait(g);
}

void rn_group_set_limit(rn_group *group, int n)
{
    struct group *g = group_of(group);
    struct lot_waiter *list = NULL, **end = &list, *w = NULL;
    struct lot_bucket *b = rn__lot_lock(g);
    uint64_t word = load_relaxed(&g->word), next;
    uint32_t given = 0;

    if (n >= 0 && count_in(word)) {
        rn__lot_unlock(b);
        rn_panic("errgroup: modify limit while %u goroutines in the group are still active",
                 (unsigned)count_in(word));
    }
    store_relaxed(&g->limit, n < 0 ? 0 : (int64_t)n + 1);
    /* Whoever waited under the old limit has come first. */
    while ((word & SLOTS) && (w = rn__lot_first(b, g, LOT_GROUP_SLOT)) &&
           has_room(g, word + given * ONE)) {
        rn__lot_remove(b, w);
        w->next = NULL;
        *end = w;
        end = &w->next;
        given++;
    }
    do {
        next = word + given * ONE; /* {count: +given} */
        if (!w)
            next &= ~SLOTS;
    } while (next != word && !cas_acq_rel(&g->word, &word, next));
    rn__lot_unlock(b);
    rn__lot_ready_list(list);
}

/* ---- Leaving ---------------------------------------------------------------------------------------- */

/* The caller's goroutine leaves, and somebody waits. Returns the list of whom to ready. */
static COLD struct lot_waiter *leave_locked(struct lot_bucket *b, struct group *g)
{
    uint64_t word = load_relaxed(&g->word);

    for (;;) {
        uint64_t next = word - ONE; /* {count: -1} */
        bool last = count_in(next) == 0;

        if (word & SLOTS) {
            struct lot_waiter *w = rn__lot_first(b, g, LOT_GROUP_SLOT);

            if (w) { /* {count: +0}: the slot is passed on */
                rn__lot_remove(b, w);
                w->next = NULL;
                if (!rn__lot_first(b, g, LOT_GROUP_SLOT))
                    and_acq_rel(&g->word, ~SLOTS);
                return w;
            }
            next &= ~SLOTS;
        }
        if (last)
            next &= ~WAITING;
        if (cas_acq_rel(&g->word, &word, next)) /* E1, E2 */
            return last ? rn__lot_remove_all(b, g, LOT_GROUP) : NULL;
    }
}

static void leave(struct group *g)
{
    uint64_t word = load_relaxed(&g->word);
    struct lot_waiter *list;
    struct lot_bucket *b;

    edge_release(g);
    if (load_relaxed(&g->limit))
        edge_release(&g->limit);
    while (!(word & SLOTS) && !((word & WAITING) && count_in(word) == 1)) {
        if (cas_acq_rel(&g->word, &word, word - ONE)) /* E1, E2; {count: -1} */
            return;
    }
    b = rn__lot_lock(g);
    list = leave_locked(b, g);
    rn__lot_unlock(b);
    rn__lot_ready_list(list); /* E1, E2 */
}

/* A goroutine of the group has ended: its function returned, or called rn_exit. */
static void goroutine_done(void *owner, int result)
{
    struct group *g = owner;
    uint32_t none = 0;

    if (result < 0 && cas_relaxed(&g->taken, &none, 1)) { /* I4; leaving publishes the error */
        rn_ctx *ctx = load_relaxed(&g->ctx);

        g->error = rn_error_of(result);
        g->error.code = result;
        if (ctx)
            rn_ctx_cancel_cause(ctx, result);
    }
    leave(g);
}

/* ---- Public ----------------------------------------------------------------------------------------- */

rn_ctx *rn_group_with_ctx(rn_group *group, rn_ctx *parent)
{
    rn_ctx *ctx = rn_ctx_with_cancel_cause(parent), *old;

    old = swap_acq_rel(&group_of(group)->ctx, ctx);
    if (old)
        rn_ctx_end(old);
    return ctx;
}

int rn_group_wait(rn_group *group)
{
    struct group *g = group_of(group);
    uint64_t word = load_acquire(&g->word); /* E1 */
    rn_error error = {0};
    rn_ctx *ctx;

    if (count_in(word)) {
        struct lot_bucket *b = rn__lot_lock(g);
        struct lot_waiter w;

        word = load_acquire(&g->word); /* E1 */
        while (count_in(word) && !(word & WAITING) &&
               !cas_acq_rel(&g->word, &word, word | WAITING)) /* E1, if the count is 0 by now */
            ;
        if (count_in(word)) {
            rn__lot_enqueue(b, &w, g, LOT_GROUP, false);
            rn__lot_unlock(b);
            rn__lot_park(&w, WAIT_GROUP_WAIT, NULL); /* E1 */
        } else {
            rn__lot_unlock(b);
        }
    }
    edge_acquire(g);
    if (load_relaxed(&g->taken)) /* E1 */
        error = g->error;
    ctx = swap_acq_rel(&g->ctx, NULL); /* of several that wait, one releases it */
    if (ctx)
        rn_ctx_end(ctx);
    return error.code ? rn_error_raise(&error) : 0;
}

/* Begin a goroutine whose slot has been taken. */
static struct fresh *group_start(struct group *g, void (*fn)(void), void *created_at)
{
    return rn__fresh_go(fn, goroutine_done, g, created_at);
}

struct rn__call *rn__group_go_begin(rn_group *group, void (*fn)(void))
{
    slot_take(group_of(group));
    return &group_start(group_of(group), fn, __builtin_return_address(0))->call;
}

struct rn__call *rn__group_try_go_begin(rn_group *group, void (*fn)(void))
{
    if (!slot_try(group_of(group)))
        return NULL;
    return &group_start(group_of(group), fn, __builtin_return_address(0))->call;
}

void rn_group_go_fn(rn_group *group, int (*fn)(void *), void *arg)
{
    struct fresh *f;

    slot_take(group_of(group));
    f = group_start(group_of(group), (void (*)(void))fn, __builtin_return_address(0));
    rn__call_set_ptr(&f->call, arg);
    rn__fresh_start(&f->call);
}
