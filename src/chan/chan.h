/* SPDX-License-Identifier: MIT */
/*
 * chan.h - channels inside the library: see chan.c for the invariants.
 */
#ifndef RN_SRC_CHAN_H
#define RN_SRC_CHAN_H

#include <runnel/chan.h>
#include <runnel/select.h>

#include "sched/sched.h"

/* One who waits on a channel: on the waiter's stack, or inside a case of a select. */
struct chan_waiter {
    struct chan_waiter *next, *prev; /* in the queue; guarded by the channel's lock */
    struct select_wait *select;      /* NULL for a plain operation */
    struct g *g;
    void *elem;       /* where the value comes from or goes to; NULL: dropped */
    uint32_t index;   /* the case */
    uint8_t queued;   /* guarded by the channel's lock */
    uint8_t ok;       /* set by the waker: a value passed; 0: the channel was closed */
    const void *edge; /* set by the waker: what the waiter must acquire yet, or NULL; for tools */
};

/* A select that waits: on its stack. */
struct select_wait {
    uint32_t claimed; /* atomic: 0, then 1 by the waker that decides it */
    uint32_t winner;  /* index of the case; written by the claimer before it readies */
    bool ok;
    uint32_t elem_size; /* of the winner's channel, for tools */
    struct g *g;
    rn_case *cases;
    size_t live; /* how many of them have a channel */
    const void *edge;
};

struct chan_queue {
    struct chan_waiter *first, *last;
};

/* In the lock word, beside SPIN_HELD: closed, and whose processor needs no lock, as a multiple; see bias.h. */
enum { CHAN_CLOSED = 2, CHAN_BIAS = 4 };

/* What every operation reads or writes comes first: one cache line, mostly. */
struct chan {
    struct spin lock; /* {bias, closed, held}: published together by the store that unlocks */
    uint32_t refs;    /* atomic; 0 for a channel inside another object, which is never released */
    uint16_t elem_size;
    uint16_t user; /* index of whose it was seen to be last, or NOBODY; guarded by the lock, as: */
    uint16_t streak; /* for how many operations it was seen to be that one's; see bias.h */
    uint8_t taken;   /* how often its bias was taken away, up to a maximum */
    uint8_t flags;
    uint64_t cap; /* elements */
    /* Guarded by the lock, or by the bias: */
    uint64_t count;            /* elements in the buffer; read by anybody */
    uint64_t send_at, recv_at; /* next slot */
    struct chan_queue receivers, senders;
    char *buffer; /* like cap, never changed */
};

enum {
    CHAN_TIMER = 1, /* a timer's channel: shows length and capacity 0 */
    CHAN_FREED = 2, /* released, and its memory kept */
    ELEM_MAX = UINT16_MAX,
    NOBODY = UINT16_MAX
};
/* The caller is about to wait to receive from c, a timer's channel, which is locked. */
void rn__timer_awaited(struct chan *c);

/* Make an idle channel in memory of somebody else's; buffer has room for cap elements. */
void rn__chan_init(struct chan *c, size_t elem_size, uint64_t cap, char *buffer, uint32_t flags);

static inline bool chan_is_closed(const struct chan *c)
{
    return load_acquire(&c->lock.word) & CHAN_CLOSED;
}

/*
 * Would the operation proceed? With the lock held false is certain; true may rest on waiters whose selects are decided
 * elsewhere. Without it is a glance, which says false if the operation would have waited at some moment of the look. Of a
 * closed channel it is true: one once closed stays so. The bit is read first for a send, and for a receive last, so that a
 * value sent before the close is not missed.
 */
static inline bool chan_may_send(const struct chan *c)
{
    return chan_is_closed(c) || load_relaxed(&c->receivers.first) ||
           load_relaxed(&c->count) != c->cap;
}
static inline bool chan_may_recv(const struct chan *c)
{
    if (load_relaxed(&c->count) != 0 || load_relaxed(&c->senders.first))
        return true;
    fence_acquire();
    return chan_is_closed(c);
}
/* Is c closed and empty? Then it stays so, and no lock is needed to say it. */
static inline bool chan_is_over(const struct chan *c)
{
    return chan_is_closed(c) && load_relaxed(&c->count) == 0;
}

/* ---- For select.c; c's lock held ---- */

static inline void chan_enqueue(struct chan_queue *q, struct chan_waiter *w)
{
    w->next = NULL;
    w->prev = q->last;
    if (q->last)
        q->last->next = w;
    else
        store_relaxed(&q->first, w); /* a try glances at it without the lock */
    q->last = w;
    store_relaxed(&w->queued, 1);
}
static ALWAYS_INLINE void chan_dequeue(struct chan_queue *q, struct chan_waiter *w)
{
    if (w->prev)
        w->prev->next = w->next;
    else
        store_relaxed(&q->first, w->next);
    if (w->next)
        w->next->prev = w->prev;
    else
        q->last = w->prev;
    /* The last access to a select's waiter: its owner may go on without the lock. */
    store_release(&w->queued, 0);
}
/* Take the first waiter that is still there to be served (not of select mine), decide its select. */
struct chan_waiter *rn__chan_claim(struct chan *c, struct chan_queue *q);

enum chan_result { CHAN_WOULD_WAIT, CHAN_DONE, CHAN_WAS_CLOSED };
/* Perform the operation if it can proceed; *ret_wake is whom to ready once the lock is free. */
enum chan_result rn__chan_send_locked(struct chan *c, const void *elem, struct g **ret_wake);
enum chan_result rn__chan_recv_locked(struct chan *c, void *elem, struct g **ret_wake);
/* Edges of a waiter's own, before it parks and after it was served; edge is the one that was set for it. */
void rn__chan_edge_before_wait(const struct chan_waiter *w);
void rn__chan_edge_after_wait(const void *edge);
void rn__chan_touch_send(struct chan *c, const void *elem);

/* Of a goroutine parked in a select, with what it parked with: its cases, and how many of them live. False if a timer may
 * end it. */
bool rn__select_cases(const void *wait, rn_case **ret_cases, size_t *ret_live);

/*
 * The live cases of a select are those with a channel. The rn__index of the first so many cases says which they are, and
 * rn__when of a live one is its channel, also of a context's case. The cases of timers keep their time there. A live case's
 * waiter lies inside it.
 */
static inline rn_case *live_case(rn_case *cases, size_t i)
{
    return &cases[cases[i].rn__index];
}
static inline struct chan_waiter *case_waiter(rn_case *k)
{
    _Static_assert(sizeof(struct chan_waiter) <= sizeof k->rn__node, "a case holds its waiter");
    return (struct chan_waiter *)(void *)k->rn__node;
}
static inline struct chan *case_chan(const rn_case *k)
{
    return (struct chan *)(uintptr_t)k->rn__when;
}
static inline struct chan_queue *case_queue(const rn_case *k)
{
    return k->rn__kind == RN__CASE_SEND ? &case_chan(k)->senders : &case_chan(k)->receivers;
}

/* What is buffered in c, whose lock is held, is dropped; how many elements. */
static inline uint64_t chan_drain(struct chan *c)
{
    uint64_t n = c->count;

    store_relaxed(&c->count, 0);
    c->recv_at = c->send_at;
    return n;
}

#endif
