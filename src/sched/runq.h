/* SPDX-License-Identifier: MIT */
/*
 * runq.h - a processor's run queues.
 *
 * A task is a goroutine that is ready to go on, or a record of one that has not run: a word whose lowest
 * bit tells which.
 *
 * struct runq: goroutines that were readied, or that yielded, first in, first out, so that no pair that only talks to each
 * other can starve the rest. A ring: the owner appends at tail; the owner and any thief take at head. Both
 * counters run freely and are masked to address a slot.
 *   I1  0 <= tail - head <= RUNQ_SLOTS.
 *   I2  only the owner writes tail; head moves by compare-exchange.
 *   I3  the owner rewrites a slot only after head has passed it.
 *   E1  push, tail -> take, tail: the slot is filled and what it names is complete.
 *   E2  take, head -> push, head: the slot has been read (gives I3).
 * A thief loads head before tail, so it never sees tail behind head. Its head may be old; then its
 * compare-exchange fails.
 *
 * struct freshq: goroutines that have not run. The owner takes the newest, so that a tree of goroutines is
 * run depth first, in little memory; thieves, and the owner once in a while, take the oldest. The deque of
 * Chase and Lev ("Dynamic circular work-stealing deque", SPAA 2005) with the memory orders of Le, Pop, Cohen
 * and Zappa Nardelli ("Correct and efficient work-stealing for weak memory models", PPoPP 2013), of a fixed
 * size: what does not fit goes to the global queue.
 *   E3  push, bottom -> steal, bottom: the slot is filled.
 *   D1  take's store of bottom is before its load of top, and steal's load of top before its load of
 *       bottom, in one total order: of two who want the last task both see each other, and the
 *       compare-exchange on top decides.
 *
 * Where a runtime has one processor there are no thieves, and no atomic instruction is needed.
 */
#ifndef RN_SRC_RUNQ_H
#define RN_SRC_RUNQ_H

#include "sched/sched.h"

typedef uintptr_t task; /* 0: none */

static inline task task_of_g(struct g *g)
{
    return (task)g;
}
static inline task task_of_fresh(struct fresh *f)
{
    return (task)f | 1;
}
static inline bool task_is_fresh(task t)
{
    return t & 1;
}
static inline struct g *task_g(task t)
{
    return (struct g *)t;
}
static inline struct fresh *task_fresh(task t)
{
    return (struct fresh *)(t & ~(task)1);
}

#ifdef RN_EXPLORE
enum { RUNQ_SLOTS = 4 };
#else
enum { RUNQ_SLOTS = 256 };
#endif
enum { RUNQ_MASK = RUNQ_SLOTS - 1 };

struct runq {
    uint32_t head ALIGNED(CACHE_LINE);
    uint32_t tail;
    task slot[RUNQ_SLOTS];
};

/* Append t. Owner only. False, with q unchanged, when q is full. */
static inline bool runq_push(struct runq *q, task t)
{
    uint32_t tail = load_owned(&q->tail);   /* I2 */
    uint32_t head = load_acquire(&q->head); /* E2 */

    if (unlikely(tail - head >= RUNQ_SLOTS))
        return false;
    store_relaxed(&q->slot[tail & RUNQ_MASK], t);
    store_release(&q->tail, tail + 1); /* E1 */
    return true;
}

/* Take the oldest; 0 when q is empty. Any thread. */
static inline task runq_take(struct runq *q)
{
    uint32_t head = load_acquire(&q->head);

    for (;;) {
        uint32_t tail = load_acquire(&q->tail); /* E1 */
        task t;

        if (head == tail)
            return 0;
        t = load_relaxed(&q->slot[head & RUNQ_MASK]); /* a guess until the exchange */
        if (cas_acq_rel(&q->head, &head, head + 1))   /* E2 */
            return t;
    }
}

/* The same where there are no thieves. */
static inline task runq_take_alone(struct runq *q)
{
    uint32_t head = load_owned(&q->head);

    if (head == load_owned(&q->tail))
        return 0;
    store_relaxed(&q->head, head + 1);
    return load_relaxed(&q->slot[head & RUNQ_MASK]);
}

/* How many there are. Of a queue that was never empty meanwhile this is never 0: tail is read after head. */
static inline uint32_t runq_len(const struct runq *q)
{
    for (;;) {
        uint32_t head = load_acquire(&q->head);
        uint32_t n = load_acquire(&q->tail) - head;

        if (likely(n <= RUNQ_SLOTS)) /* else head was old */
            return n;
    }
}

/* Take up to half, at most RUNQ_SLOTS / 2, into to; how many. Any thread. */
static inline uint32_t runq_take_half(struct runq *q, task *to)
{
    uint32_t head = load_acquire(&q->head);

    for (;;) {
        uint32_t tail = load_acquire(&q->tail); /* E1 */
        uint32_t n = tail - head;

        n -= n / 2;
        if (n == 0)
            return 0;
        if (n > RUNQ_SLOTS / 2) { /* head and tail are of different times */
            head = load_acquire(&q->head);
            continue;
        }
        for (uint32_t i = 0; i < n; i++)
            to[i] = load_relaxed(&q->slot[(head + i) & RUNQ_MASK]);
        if (cas_acq_rel(&q->head, &head, head + n)) /* E2 */
            return n;
    }
}

struct freshq {
    int64_t top ALIGNED(CACHE_LINE); /* oldest */
    int64_t bottom;                  /* one past the newest; the owner's */
    struct fresh *slot[RUNQ_SLOTS];
};

/* Add f as the newest. Owner only. False when q is full. */
static inline bool freshq_push(struct freshq *q, struct fresh *f)
{
    int64_t bottom = load_owned(&q->bottom);
    int64_t top = load_acquire(&q->top); /* a thief has read the slot that we overwrite */

    if (unlikely(bottom - top >= RUNQ_SLOTS))
        return false;
    store_relaxed(&q->slot[bottom & RUNQ_MASK], f);
    store_release(&q->bottom, bottom + 1); /* E3 */
    return true;
}

/* Take the newest; NULL when q is empty. Owner only. */
static inline struct fresh *freshq_take(struct freshq *q)
{
    int64_t bottom = load_owned(&q->bottom) - 1;
    int64_t top;
    struct fresh *f;

    if (bottom < load_relaxed(&q->top)) /* empty, for certain: only the owner adds */
        return NULL;
    (void)swap_seq_cst(&q->bottom, bottom); /* D1 */
    top = load_seq_cst(&q->top);
    if (top > bottom) {
        store_relaxed(&q->bottom, bottom + 1);
        return NULL;
    }
    f = load_relaxed(&q->slot[bottom & RUNQ_MASK]);
    if (top == bottom) {
        if (!cas_seq_cst(&q->top, &top, top + 1)) /* D1: a thief was faster */
            f = NULL;
        store_relaxed(&q->bottom, bottom + 1);
    }
    return f;
}

static inline struct fresh *freshq_take_alone(struct freshq *q)
{
    int64_t bottom = load_owned(&q->bottom) - 1;

    if (bottom < load_owned(&q->top))
        return NULL;
    store_relaxed(&q->bottom, bottom);
    return load_relaxed(&q->slot[bottom & RUNQ_MASK]);
}

/* Take the oldest; NULL when q is empty or somebody was faster. Any thread. */
static inline struct fresh *freshq_steal(struct freshq *q)
{
    int64_t top = load_seq_cst(&q->top);
    int64_t bottom;
    struct fresh *f;

    fence_seq_cst();                   /* D1 */
    bottom = load_acquire(&q->bottom); /* E3 */
    if (top >= bottom)
        return NULL;
    f = load_relaxed(&q->slot[top & RUNQ_MASK]);
    return cas_seq_cst(&q->top, &top, top + 1) ? f : NULL;
}

static inline uint32_t freshq_len(const struct freshq *q)
{
    int64_t n = load_relaxed(&q->bottom) - load_relaxed(&q->top);

    return n > 0 ? (uint32_t)n : 0;
}

#endif
