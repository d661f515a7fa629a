/* SPDX-License-Identifier: MIT */
/*
 * ring.h - the flight recorder's ring: one writer, readers at any time, the newest RING_SLOTS events.
 *
 * Writer, for event n: fill slot n % RING_SLOTS, word by word, then next = n + 1. Reader: next (of all rings, at about the
 * same time, so that what one has of the others' doings they have too), then the slots, then next again; event i is good if i > next - RING_SLOTS at the end.
 *   R1  next -> the reader's first load: the events before it are complete.
 *   R2  each word of a slot is stored with release and loaded with acquire. A reader that got a word of event n or of
 *       a later one has therefore, in its last load of next, at least n, which was stored before that word. So an
 *       event that was overwritten while it was read, wholly or in part, is found out: no event is torn.
 * The writer is whoever holds the processor; the hand-over of the processor orders one writer and the next.
 *
 * Time. Reading the CPU's counter takes longer than all the rest of an event, 5 to 20 ns. So in a dense stretch only one event in 32
 * reads it; whoever makes the file puts those in between where they fit. The number adapts: as soon as events are so
 * rare that reading costs less than about three in a hundred, each reads the counter again. And an event reads it if the
 * runtime's coarse time has moved since the last one did. The monitor moves that at each look, so in a stretch without a
 * reading events may be put in the wrong place by the time between two looks, a millisecond or, in calm, ten.
 */
#ifndef RN_SRC_RING_H
#define RN_SRC_RING_H

#include "arch/arch.h"
#include "base/atomic.h"

enum event_kind {
    EVENT_NONE,
    EVENT_SPAWN,   /* id was started; what: its function. By whom the ring tells */
    EVENT_RUN,     /* id has got the processor */
    EVENT_PARK,    /* id waits; arg: why, what: on which object */
    EVENT_YIELD,   /* id lets others go first */
    EVENT_READY,   /* id was woken */
    EVENT_END,     /* id has ended */
    EVENT_HANDOFF, /* the monitor has taken the processor from id */
    EVENT_BLOCK,   /* id has given the processor away, around a call that blocks */
    EVENT_UNBLOCK, /* id has got this one, after that; if it had to queue for one, there is EVENT_RUN instead */
    EVENT_STEAL, /* what: goroutines taken, id: from which processor */
    EVENT_TIMER, /* what: timers that fired */
    EVENT_POLL,  /* what: waits for descriptors that ended */
    EVENT_BY /* in the ring of those without a processor: the next event is id's doing, 0: a thread's */
};

#ifdef RN_EXPLORE
enum { RING_SLOTS = 4 };
#else
enum { RING_SLOTS = 16384 };
#endif

/* head: from the lowest bit, 4 of kind, 7 of arg, 1 whether the time was read for this very event, 52 of time. */
struct event {
    uint64_t head, id, what;
};
enum { EVENT_ARG = 4, EVENT_EXACT = 11, EVENT_TIME = 12, EVENTS_UNREAD = 32 };

struct ring {
    uint64_t next ALIGNED(CACHE_LINE); /* atomic: how many events there have been */
    /* The writer's. */
    uint64_t read;         /* the counter when it was last read */
    uint64_t time;         /* the same, in its place in head */
    uint32_t left, period; /* events until it is read again; and then */
    int64_t coarse;        /* what *now was */
    const int64_t *now;    /* the runtime's coarse time */
    uint64_t dense;        /* so many of the counter for each event are few */
    struct event slot[RING_SLOTS];
};

static inline void ring_begin(struct ring *r, const int64_t *now)
{
    r->left = r->period = 1;
    r->now = now;
    r->dense = arch_ticks_in_us() * 2 / 5;
}

static inline uint64_t ring_read_time(struct ring *r)
{
    uint64_t ticks = arch_ticks();

    if (ticks - r->read < r->dense * r->period)
        r->period = r->period < EVENTS_UNREAD ? r->period * 2 : EVENTS_UNREAD;
    else
        r->period = 1;
    r->left = r->period;
    r->coarse = load_relaxed(r->now);
    r->read = ticks;
    r->time = ticks << EVENT_TIME;
    return r->time | (uint64_t)1 << EVENT_EXACT;
}

/* The next event is to have its own time. */
static inline void ring_exact(struct ring *r)
{
    r->left = 1;
}

static inline void ring_put(struct ring *r, enum event_kind kind, unsigned arg, uint64_t id,
                            uint64_t what)
{
    uint64_t n = load_owned(&r->next);
    struct event *e = &r->slot[n % RING_SLOTS];
    uint64_t head = kind | arg << EVENT_ARG;

    if (likely(--r->left != 0 && load_relaxed(r->now) == r->coarse))
        head |= r->time;
    else
        head |= ring_read_time(r);
    /* The ring is larger than the first cache, and a locked instruction waits until these stores are done. */
    __builtin_prefetch(&r->slot[(n + 8) % RING_SLOTS], 1);
    store_release(&e->head, head); /* R2 */
    store_release(&e->id, id);
    store_release(&e->what, what);
    store_release(&r->next, n + 1); /* R1 */
}

/* How many events there have been: until there it can be copied. */
static inline uint64_t ring_end(const struct ring *r)
{
    return load_acquire(&r->next); /* R1 */
}

/*
 * Copy what is still there of the events before end into to, oldest first, and how many were before those: *ret_first is
 * the number of to[0]. Returns how many were copied.
 */
static inline uint64_t ring_copy(const struct ring *r, uint64_t end,
                                 struct event to[static RING_SLOTS], uint64_t *ret_first)
{
    uint64_t first = end > RING_SLOTS ? end - RING_SLOTS : 0;
    uint64_t now, gone;

    for (uint64_t i = first; i < end; i++) {
        const struct event *e = &r->slot[i % RING_SLOTS];

        to[i - first].head = load_acquire(&e->head); /* R2 */
        to[i - first].id = load_acquire(&e->id);
        to[i - first].what = load_acquire(&e->what);
    }
    now = load_relaxed(&r->next);
    gone = now >= RING_SLOTS ? now - RING_SLOTS + 1
                             : 0; /* the last one of these may be half written */
    gone = gone < first ? first : gone > end ? end : gone;
    for (uint64_t i = gone; i < end; i++)
        to[i - gone] = to[i - first];
    *ret_first = gone;
    return end - gone;
}

#endif
