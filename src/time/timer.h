/* SPDX-License-Identifier: MIT */
/*
 * timer.h - timers inside the library: a 4-ary heap per processor.
 *
 * A timer lies in somebody's memory. Armed, it is in the heap of one processor; when due, a worker takes
 * it out and calls fire on its own stack, without any lock held. fire must be short and must not park.
 *
 * What may be done with the memory while fire runs on another thread is the difference between the
 * kinds: a TIMER_BORROWED one (on a stack) is touched once more after fire, so its owner calls
 * rn__timer_stop_sync before the memory goes; a TIMER_FIRES_ITSELF one is the same, but fire makes that last
 * access itself, by rn__timer_fired; a TIMER_OWNED one belongs to fire, which may free it, and is not touched
 * after.
 */
#ifndef RN_SRC_TIMER_H
#define RN_SRC_TIMER_H

#include "sched/sched.h"

enum timer_kind { TIMER_BORROWED, TIMER_OWNED, TIMER_FIRES_ITSELF };
/* Both, either or none; an OWNED one is never FIRING. */
enum timer_state { TIMER_ARMED = 1, TIMER_FIRING = 2 };

struct timer_heap;

struct timer {
    int64_t when;   /* on now_ns()'s clock; guarded by the heap's lock while armed */
    int64_t period; /* 0, or re-armed by this before fire is called; guarded likewise */
    struct timer_heap
        *heap;      /* atomic: the heap it is in or was in last; NULL before the first time */
    uint32_t index; /* in the heap; guarded by the heap's lock */
    uint32_t state; /* atomic, enum timer_state; FIRING is cleared without the heap's lock */
    uint8_t kind;   /* enum timer_kind */
    uint8_t stays;  /* a plain thread waits for it: it outlives the runtime */
    /* when is the time at which it was due. */
    void (*fire)(struct timer *t, int64_t when);
    /* NULL, or called when the runtime ends with t armed: t is idle then, and will not fire. */
    void (*drop)(struct timer *t);
};

struct timer_heap {
    struct spin lock ALIGNED(
        CACHE_LINE); /* each processor writes its own at every arm: none shares a line with another's */
    uint32_t count; /* atomic for readers without the lock */
    uint32_t room;
    int64_t first; /* atomic: when of the root, INT64_MAX when empty */
    struct timer **at;
    uint64_t armed, fired; /* atomic for readers without the lock: how often, ever */
};

/*
 * Arm t, which must be idle, to fire once, at when (in the past: at once). Allocates only when the heap grows; returns 0, or
 * -ENOMEM with t idle. From any thread; starts the runtime if need be.
 */
int rn__timer_start(struct timer *t, int64_t when);
/*
 * The same, whether t is armed or not, and then every period if that is not 0. *was becomes true if it was armed. Who would
 * sleep past when is not told: if *ret_first, the caller has to, by rn__timer_wake, once he has no lock. -EAGAIN: fire is running
 * on another thread; t is not armed any more, and may be set again once rn__timer_wait_fired has returned. -ENOMEM with t
 * idle, or as it was.
 */
int rn__timer_set(struct timer *t, int64_t when, int64_t period, bool *was, bool *ret_first);
/* Take t out. True if it was armed, and will not fire (a periodic one: not again); false if it was not. A
 * fire may be running on another thread. Does not wait. Start and stop of one timer are not made at the same time
 * by two: who shares a timer has a lock for that. */
bool rn__timer_stop(struct timer *t);
/* The same, and if fire is running on another thread, wait (spinning) until it has returned: t is idle then. Not
 * from fire itself, not for TIMER_OWNED. */
bool rn__timer_stop_sync(struct timer *t);
/* That wait by itself. */
void rn__timer_wait_fired(struct timer *t);
/* Is fire running? Without the heap's lock that may be over by now. */
static inline bool timer_is_firing(const struct timer *t)
{
    return load_acquire(&t->state) & TIMER_FIRING; /* pairs with rn__timer_fired */
}

/* The caller's processor is to fire t, if t is armed, whichever is now. Not at the same time as a start or stop. */
void rn__timer_bring(struct timer *t);

/* From a TIMER_FIRES_ITSELF timer's fire: it is over, as far as rn__timer_stop_sync is concerned. */
void rn__timer_fired(struct timer *t);

/* From the scheduler. */

/* The caller's processor's heap, or processor 0's for a thread without one; starts the runtime. NULL: no memory. */
struct timer_heap *rn__timer_heap(void);
/* A timer was armed that is its heap's first: nobody idle shall sleep past when. */
void rn__timer_wake(int64_t when);

/* For the scheduler. */

/*
 * A heap for each processor of any runtime. They are of the process, not of a runtime, so that a timer can be stopped
 * whatever has ended meanwhile.
 */
enum { PROCS_MAX = 1024 };
extern struct timer_heap rn__timer_heaps[PROCS_MAX];
/* A runtime begins that uses h. */
void rn__timers_begin(struct timer_heap *h);

/* When the first timer in h that is not due at time now is; INT64_MAX: there is none. now if that cannot be
 * told quickly. */
int64_t rn__timers_next(struct timer_heap *h, int64_t now);
/* Fire what is due in h at time now; how many fired. */
int rn__timers_run(struct timer_heap *h, int64_t now);
/* The runtime has ended: drop what is armed in h but timers that stay; true if there are such. */
bool rn__timers_end(struct timer_heap *h);
/* In a child process: all heaps are empty. */
void rn__timers_fork(void);

static inline int64_t timers_first(struct timer_heap *h)
{
    return load_relaxed(&h->first);
}

/* now + d, held at the ends of the range. */
static inline int64_t time_after(int64_t now, int64_t d)
{
    int64_t when;

    if (d <= 0)
        return now;
    return __builtin_add_overflow(now, d, &when) ? INT64_MAX : when;
}

#endif
