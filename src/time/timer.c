/* SPDX-License-Identifier: MIT */
/*
 * timer.c - a 4-ary heap of timers per processor.
 *
 * The heap is an array ordered by when; a timer knows its place, so it can be taken out from anywhere in
 * logarithmic time. A timer that expires later than most, as time-outs do, goes in and out near the bottom,
 * in a step or two. Four children per node: half the depth of a binary heap, and siblings share cache lines.
 *
 * A timer that is ARMED is in heap->at[index]. FIRING, beside or instead of it, says that fire is running on a
 * timer that is not OWNED, without the lock; clearing it is the last access of the worker that fired. An OWNED timer is idle
 * when its fire is called, and fire's own. A periodic timer is re-armed before fire is called; should it be due again
 * while that still runs, the tick is dropped, so no two fires of a timer overlap.
 *
 * heap changes under the new heap's lock, while the timer is idle, by the one who starts it, or under both heaps' locks,
 * those of lower address first, by the one who brings it. Start, stop and bring of one timer are never made at the same
 * time, so whoever stops a timer loads heap, locks it, and finds the timer in there or idle.
 */
#include "time/timer.h"

#include "base/mem.h"

enum { HEAP_FIRST = 64, NEXT_LOOKS = 1 + 4 + 16 };

struct timer_heap rn__timer_heaps[PROCS_MAX];

static inline void place(struct timer_heap *h, uint32_t i, struct timer *t)
{
    h->at[i] = t;
    t->index = i;
}

static void up(struct timer_heap *h, uint32_t i, struct timer *t)
{
    while (i > 0) {
        uint32_t parent = (i - 1) / 4;

        if (h->at[parent]->when <= t->when)
            break;
        place(h, i, h->at[parent]);
        i = parent;
    }
    place(h, i, t);
}

static void down(struct timer_heap *h, uint32_t i, struct timer *t)
{
    for (;;) {
        uint32_t first = 4 * i + 1, least = first;

        if (first >= h->count)
            break;
        for (uint32_t c = first + 1; c < first + 4 && c < h->count; c++)
            if (h->at[c]->when < h->at[least]->when)
                least = c;
        if (h->at[least]->when >= t->when)
            break;
        place(h, i, h->at[least]);
        i = least;
    }
    place(h, i, t);
}

static void publish_first(struct timer_heap *h)
{
    store_relaxed(&h->first, h->count ? h->at[0]->when : INT64_MAX);
}

static void take_out(struct timer_heap *h, struct timer *t)
{
    uint32_t i = t->index;
    struct timer *last = h->at[h->count - 1];

    store_relaxed(&h->count, h->count - 1);
    if (last != t) {
        if (last->when < t->when)
            up(h, i, last);
        else
            down(h, i, last);
    }
    publish_first(h);
}

/* Room for one more; false: no memory. */
static bool make_room(struct timer_heap *h)
{
    uint32_t room = h->room ? h->room * 2 : HEAP_FIRST;
    struct timer **at;

    if (likely(h->count < h->room))
        return true;
    at = rn__mem_resize(h->at, room * sizeof(struct timer *));
    if (!at)
        return false;
    h->at = at;
    h->room = room;
    return true;
}

/* There is room. True if t is the first now. */
static bool put_in(struct timer_heap *h, struct timer *t)
{
    store_relaxed(&t->heap, h);
    store_relaxed(&h->count, h->count + 1);
    up(h, h->count - 1, t);
    publish_first(h);
    return h->at[0] == t;
}

static void count_armed(struct timer_heap *h)
{
    store_relaxed(&h->armed, h->armed + 1);
}

/* t is idle, h's lock is held. */
static int arm(struct timer_heap *h, struct timer *t, int64_t when, int64_t period, bool *ret_first)
{
    if (unlikely(!make_room(h)))
        return -ENOMEM;
    t->when = when;
    t->period = period;
    store_relaxed(&t->state, TIMER_ARMED); /* it was idle: nobody clears FIRING meanwhile */
    count_armed(h);
    *ret_first = put_in(h, t);
    return 0;
}

/* t is armed in h, whose lock is held, and does not fire; it stays in there. */
static void move(struct timer_heap *h, struct timer *t, int64_t when, int64_t period,
                 bool *ret_first)
{
    int64_t before = t->when;

    t->when = when;
    t->period = period;
    count_armed(h);
    if (when < before)
        up(h, t->index, t);
    else
        down(h, t->index, t);
    publish_first(h);
    *ret_first = when < before && h->at[0] == t;
}

/* t, which is armed, is so no more; h's lock is held. */
static void disarm(struct timer_heap *h, struct timer *t)
{
    take_out(h, t);
    /* FIRING is set under the lock alone, and cleared without it. Acquire: after the store nobody can see any more who cleared
     * it, and what he had done before. */
    if (likely(load_acquire(&t->state) == TIMER_ARMED))
        store_relaxed(&t->state, 0);
    else
        and_acq_rel(&t->state, ~(uint32_t)TIMER_ARMED);
}

int rn__timer_start(struct timer *t, int64_t when)
{
    struct timer_heap *h = rn__timer_heap();
    bool first = false;
    int err;

    if (!h)
        return -ENOMEM;
    spin_lock(&h->lock);
    err = arm(h, t, when, 0, &first);
    spin_unlock(&h->lock);
    if (first)
        rn__timer_wake(when);
    return err;
}

int rn__timer_set(struct timer *t, int64_t when, int64_t period, bool *was, bool *ret_first)
{
    struct timer_heap *h = rn__timer_heap();
    uint32_t state;
    int err = 0;

    *ret_first = false;
    if (!h)
        return -ENOMEM;
    if (load_relaxed(&t->heap) != h && rn__timer_stop(t))
        *was = true;
    spin_lock(&h->lock);
    state = load_acquire(&t->state); /* pairs with rn__timer_fired */
    if (state & TIMER_ARMED)
        *was = true;
    if (likely(state == TIMER_ARMED)) {
        move(h, t, when, period, ret_first);
    } else if (state == 0) {
        err = arm(h, t, when, period, ret_first);
    } else {
        if (state & TIMER_ARMED)
            disarm(h, t);
        err = -EAGAIN;
    }
    spin_unlock(&h->lock);
    return err;
}

void rn__timer_bring(struct timer *t)
{
    struct timer_heap *from = load_relaxed(&t->heap), *to = rn__timer_heap();
    bool is_first = false;
    int64_t when = 0;

    if (!from || !to || from == to)
        return;
    spin_lock(from < to ? &from->lock : &to->lock);
    spin_lock(from < to ? &to->lock : &from->lock);
    if (load_relaxed(&t->state) == TIMER_ARMED && make_room(to)) {
        when = t->when;
        take_out(from, t);
        is_first = put_in(to, t);
    }
    spin_unlock(&from->lock);
    spin_unlock(&to->lock);
    if (is_first) /* one about to sleep may have looked at one heap before, at the other after */
        rn__timer_wake(when);
}

bool rn__timer_stop(struct timer *t)
{
    struct timer_heap *h = load_relaxed(&t->heap);
    bool was;

    if (!h)
        return false;
    spin_lock(&h->lock);
    was = load_relaxed(&t->state) & TIMER_ARMED;
    if (was)
        disarm(h, t);
    spin_unlock(&h->lock);
    return was;
}

void rn__timer_wait_fired(struct timer *t)
{
    for (unsigned n = 0; timer_is_firing(t); n++)
        rn__wait_shortly(n);
}

bool rn__timer_stop_sync(struct timer *t)
{
    bool was = rn__timer_stop(t);

    rn__timer_wait_fired(t);
    return was;
}

void rn__timer_fired(struct timer *t)
{
    and_acq_rel(&t->state, ~(uint32_t)TIMER_FIRING); /* pairs with timer_is_firing */
}

int64_t rn__timers_next(struct timer_heap *h, int64_t now)
{
    int64_t next = timers_first(h);

    if (next > now)
        return next;
    if (!spin_try(&h->lock)) /* the caller has a lock that many wait for */
        return now;
    next = INT64_MAX;
    for (uint32_t i = 0; i < NEXT_LOOKS && i < h->count; i++) {
        int64_t when = h->at[i]->when;

        if (when <= now && 4 * i + 1 >= NEXT_LOOKS && 4 * i + 1 < h->count)
            when = now; /* those below it are not looked at */
        else if (when <= now)
            continue;
        if (when < next)
            next = when;
    }
    spin_unlock(&h->lock);
    return next;
}

int rn__timers_run(struct timer_heap *h, int64_t now)
{
    int fired = 0;

    for (;;) {
        struct timer *t;
        int64_t when;
        bool again, owned, itself, busy;

        spin_lock(&h->lock);
        t = h->count ? h->at[0] : NULL;
        if (!t || t->when > now) {
            spin_unlock(&h->lock);
            return fired;
        }
        when = t->when;
        again = t->period > 0;
        owned = t->kind == TIMER_OWNED;
        itself = t->kind == TIMER_FIRES_ITSELF;
        busy = load_acquire(&t->state) & TIMER_FIRING;
        if (again) {
            /* The next tick after now, in phase with the first. */
            int64_t periods = (now - when) / t->period + 1;
            int64_t step;

            if (__builtin_mul_overflow(periods, t->period, &step) ||
                __builtin_add_overflow(when, step, &t->when))
                t->when = INT64_MAX;
            down(h, 0, t);
            publish_first(h);
        } else {
            take_out(h, t);
        }
        if (!busy) {
            store_relaxed(&t->state, (again ? TIMER_ARMED : 0) | (owned ? 0 : TIMER_FIRING));
            store_release(&h->fired, h->fired + 1); /* a reader who sees it sees it armed */
        }
        spin_unlock(&h->lock);
        if (busy) /* the last tick's fire still runs: this one is dropped */
            continue;
        t->fire(t, when);
        if (!owned && !itself)
            rn__timer_fired(t); /* t may be gone now */
        fired++;
        if (timers_first(h) > now) /* who arms an earlier one meanwhile sees to it */
            return fired;
    }
}

void rn__timers_begin(struct timer_heap *h)
{
    spin_lock(&h->lock);
    publish_first(h); /* of one never used it would be 0 */
    spin_unlock(&h->lock);
}

bool rn__timers_end(struct timer_heap *h)
{
    uint32_t kept = 0;

    for (;;) {
        struct timer *t = NULL;

        spin_lock(&h->lock);
        while (h->count > kept && !t) {
            t = h->at[h->count - 1 - kept];
            if (t->stays) {
                kept++;
                t = NULL;
                continue;
            }
            disarm(h, t);
        }
        if (!t && h->count == 0) {
            struct timer **at = h->at;

            h->at = NULL;
            h->room = 0;
            spin_unlock(&h->lock);
            rn__mem_free(at);
            return false;
        }
        spin_unlock(&h->lock);
        if (!t)
            return true;
        if (t->drop)
            t->drop(t);
        kept = 0; /* the order has changed */
    }
}

void rn__timers_fork(void)
{
    for (size_t i = 0; i < PROCS_MAX; i++)
        if (rn__timer_heaps[i].room || rn__timer_heaps[i].armed)
            rn__timer_heaps[i] = (struct timer_heap){.first = INT64_MAX};
        else
            rn__timer_heaps[i].lock = (struct spin){0};
}
