/* SPDX-License-Identifier: MIT */
/*
 * chan.c - channels.
 *
 * A ring of cap elements and two queues of waiters under one spin lock, in whose word the closed bit lies.
 *
 * Invariants, with the lock free:
 *   C1  receivers is empty unless the buffer is empty; senders is empty unless it is full (a select that waits
 *       to send and to receive on one channel is in both: nobody else is then in either that could be served).
 *   C2  a closed channel has no waiters.
 *   C3  a waiter is in a queue exactly while its queued is set.
 *
 * Hand-off: a sender that finds a receiver waiting copies straight into the receiver's memory and readies it;
 * likewise a receiver that finds a sender, but if the channel has a buffer it takes the oldest element and puts
 * the sender's at the end, in one step, so that order is kept.
 *
 * Freed at once (decision 6): nothing of a channel is touched after the store that unlocks it. Waiters are
 * taken out before and readied after; a woken operation works on its own stack alone. close publishes the
 * closed bit by that very store. So whoever's operation has returned, or was made to return, may free.
 *
 * Waiters of a select: it is decided by whoever sets its claimed first, under the lock of the channel in
 * question. The claimer takes all entries of that select on this channel out (decision 7); the select itself
 * takes those on its other channels out when it runs again.
 *
 * Edges for ThreadSanitizer: as Go's, by slot. For a buffered channel the object is the slot's address: the
 * k-th receive is before the completion of send k + cap, and no more. When a value goes straight to a waiter
 * it is taken to have gone through the slot it would have used. The waiter's part is made by whoever serves
 * it, in the waiter's fiber and at that moment: made by the waiter itself when it runs again, it could come
 * after the next send through the slot, which would then miss it, or take in what that one had brought. An
 * unbuffered hand-over has an object of its own, the waiter. A closed channel's object is the channel.
 * A send reads, and close writes, a location of the channel, so that the race of the two is reported.
 */
#include "chan/chan.h"

#include <stdlib.h>

#include "arch/arch.h"

#include "base/fiber.h"
#include "base/probe.h"
#include "chan/bias.h"
#include "ctx/ctx.h"

/* ---- Queues ---------------------------------------------------------------------------------------- */

struct chan_waiter *rn__chan_claim(struct chan *c, struct chan_queue *q)
{
    struct chan_waiter *w;

    while ((w = q->first)) {
        struct select_wait *s = w->select;
        uint32_t no = 0;

        if (!s) {
            chan_dequeue(q, w);
            return w;
        }
        if (!cas_acq_rel(&s->claimed, &no, 1)) {
            chan_dequeue(q, w); /* decided elsewhere */
            continue;
        }
        for (size_t i = 0; i < s->live; i++) {
            rn_case *k = live_case(s->cases, i);

            if (case_chan(k) == c && case_waiter(k)->queued)
                chan_dequeue(case_queue(k), case_waiter(k));
        }
        s->winner = w->index;
        s->elem_size = c->elem_size;
        return w;
    }
    return NULL;
}

/* The same, in line for the first of q, which is there, if it is no select's. */
static ALWAYS_INLINE struct chan_waiter *claim(struct chan *c, struct chan_queue *q)
{
    struct chan_waiter *w = q->first;

    if (unlikely(w->select != NULL))
        return rn__chan_claim(c, q);
    chan_dequeue(q, w);
    return w;
}

static inline void waiter_served(struct chan_waiter *w, bool ok, const void *edge)
{
    if (w->select) {
        w->select->ok = ok;
        w->select->edge = edge;
    } else {
        w->ok = ok;
        w->edge = edge;
    }
}

/* ---- Elements --------------------------------------------------------------------------------------- */

enum { COPY_WORDS = 4 }; /* so many are copied in line */
typedef uint64_t __attribute__((may_alias, aligned(1))) any64;
typedef uint32_t __attribute__((may_alias, aligned(1))) any32;

/* Decision 21: never memcpy. small_only: false for an element that would take a call. */
static ALWAYS_INLINE bool copy_elem_or_not(const struct chan *c, void *to, const void *from,
                                           bool small_only)
{
    uint32_t size = c->elem_size;

    if (likely(size == 8)) {
        *(volatile any64 *)to = *(const volatile any64 *)from;
    } else if (size == 4) {
        *(volatile any32 *)to = *(const volatile any32 *)from;
    } else if (size <= COPY_WORDS * 8 && size % 8 == 0) { /* none for no size */
        for (uint32_t i = 0; i < size / 8; i++)
            ((volatile any64 *)to)[i] = ((const volatile any64 *)from)[i];
    } else if (!small_only) {
        rn__copy(to, from, size);
    } else {
        return false;
    }
    return true;
}

static inline void copy_elem(const struct chan *c, void *to, const void *from)
{
    (void)copy_elem_or_not(c, to, from, false);
}

static ALWAYS_INLINE void zero_elem(const struct chan *c, void *elem)
{
    uint32_t size = c->elem_size;

    if (likely(size == 8))
        *(volatile any64 *)elem = 0;
    else if (size == 4)
        *(volatile any32 *)elem = 0;
    else if (size > 0)
        rn__zero(elem, size);
}

static inline char *slot_at(const struct chan *c, uint64_t i)
{
    return c->buffer + i * c->elem_size;
}

static inline uint64_t slot_after(const struct chan *c, uint64_t i)
{
    return i + 1 == c->cap ? 0 : i + 1;
}

/* ---- Edges ------------------------------------------------------------------------------------------ */

/* The object of a slot: elements of no size have one between them. */
static const void *edge_of(const struct chan *c, uint64_t slot)
{
    return c->cap && c->elem_size && !(c->flags & CHAN_TIMER) ? slot_at(c, slot) : (const void *)c;
}

static COLD void edge_pass(const void *slot)
{
    edge_acquire(slot);
    edge_release(slot);
}

/*
 * The edges of a value that passes between the caller and the waiter w, through slot. The waiter is off the
 * CPU or about to be, so its fiber can be borrowed. A thread's state cannot: it has released itself before it
 * queued, and acquires when it is back; in a buffered channel that makes an edge too many, but none too few.
 * What is left for the waiter to acquire, or NULL.
 */
static COLD const void *edge_meet(const struct chan *c, const void *slot, struct chan_waiter *w)
{
    const void *object = c->cap ? slot : w;
    struct g *g = w->g;
    void *mine;

    if (!(rn__tools & TOOL_TSAN))
        return NULL;
    edge_pass(object);
    if (g->kind != G_GOROUTINE) {
        edge_acquire(w);
        edge_release(object);
        return object;
    }
    mine = rn__fiber_current();
    for (unsigned n = 0; load_acquire(&g->on_cpu); n++)
        rn__wait_shortly(n);
    rn__fiber_borrow(g->tsan_fiber);
    edge_pass(object);
    rn__fiber_borrow(mine);
    if (!c->cap)
        edge_acquire(object);
    return NULL;
}

void rn__chan_edge_before_wait(const struct chan_waiter *w)
{
    edge_release(w);
}

void rn__chan_edge_after_wait(const void *edge)
{
    if (edge)
        edge_acquire(edge);
}

void rn__chan_touch_send(struct chan *c, const void *elem)
{
    if (unlikely(rn__tools)) {
        rn__tool_alive(c, sizeof *c);
        tool_read(elem, c->elem_size);
        if (rn__tools & TOOL_TSAN)
            rn__tool_read(&c->flags, 1);
    }
}

/* ---- The operations, lock held ------------------------------------------------------------------------ */

static ALWAYS_INLINE enum chan_result send_locked(struct chan *c, const void *elem,
                                                  struct g **ret_wake)
{
    struct chan_waiter *w;

    if (unlikely(load_relaxed(&c->lock.word) & CHAN_CLOSED))
        return CHAN_WAS_CLOSED;
    if (c->receivers.first && (w = claim(c, &c->receivers))) {
        const void *edge = edge_of(c, c->send_at);

        if (unlikely(rn__tools))
            edge = edge_meet(c, edge, w);
        if (c->cap) { /* as if through the slot */
            c->send_at = slot_after(c, c->send_at);
            c->recv_at = c->send_at;
        }
        if (w->elem)
            copy_elem(c, w->elem, elem);
        waiter_served(w, true, edge);
        *ret_wake = w->g;
        return CHAN_DONE;
    }
    if (c->count < c->cap) {
        copy_elem(c, slot_at(c, c->send_at), elem);
        if (unlikely(rn__tools))
            edge_pass(edge_of(c, c->send_at));
        c->send_at = slot_after(c, c->send_at);
        store_relaxed(&c->count, c->count + 1);
        return CHAN_DONE;
    }
    return CHAN_WOULD_WAIT;
}
enum chan_result rn__chan_send_locked(struct chan *c, const void *elem, struct g **ret_wake)
{
    return send_locked(c, elem, ret_wake);
}

/* A receive from c, which is closed and empty: false. */
static NOINLINE bool recv_over(const struct chan *c, void *elem)
{
    edge_acquire(c);
    if (elem)
        zero_elem(c, elem);
    return false;
}

static ALWAYS_INLINE enum chan_result recv_locked(struct chan *c, void *elem, struct g **ret_wake)
{
    struct chan_waiter *w;

    if (c->count > 0) {
        char *slot = slot_at(c, c->recv_at);
        const void *edge = edge_of(c, c->recv_at);

        if (elem)
            copy_elem(c, elem, slot);
        if (unlikely(rn__tools))
            edge_pass(edge);
        c->recv_at = slot_after(c, c->recv_at);
        if (c->senders.first && (w = claim(c, &c->senders))) {
            /* Full, so the slot just emptied is the one at the end too. */
            copy_elem(c, slot, w->elem);
            if (unlikely(rn__tools))
                edge = edge_meet(c, edge, w);
            c->send_at = c->recv_at;
            waiter_served(w, true, edge);
            *ret_wake = w->g;
        } else {
            store_relaxed(&c->count, c->count - 1);
        }
        return CHAN_DONE;
    }
    if (c->senders.first && (w = claim(c, &c->senders))) {
        const void *edge = NULL;

        if (elem)
            copy_elem(c, elem, w->elem);
        if (unlikely(rn__tools))
            edge = edge_meet(c, c, w);
        waiter_served(w, true, edge);
        *ret_wake = w->g;
        return CHAN_DONE;
    }
    if (load_relaxed(&c->lock.word) & CHAN_CLOSED) {
        recv_over(c, elem);
        return CHAN_WAS_CLOSED;
    }
    return CHAN_WOULD_WAIT;
}
enum chan_result rn__chan_recv_locked(struct chan *c, void *elem, struct g **ret_wake)
{
    return recv_locked(c, elem, ret_wake);
}

/* ---- Making and releasing ------------------------------------------------------------------------------ */

/* Field by field: gcc makes a string instruction of more, which takes longer than all the rest. */
void rn__chan_init(struct chan *c, size_t elem_size, uint64_t cap, char *buffer, uint32_t flags)
{
    c->lock.word = 0;
    c->refs = 0;
    c->elem_size = (uint16_t)elem_size;
    c->flags = (uint8_t)flags;
    c->cap = cap;
    c->count = 0;
    c->send_at = c->recv_at = 0;
    c->receivers.first = c->receivers.last = NULL;
    c->senders.first = c->senders.last = NULL;
    c->buffer = buffer;
    c->user = NOBODY;
    c->streak = c->taken = 0;
}

/*
 * A processor keeps the memory of some channels that were freed: made and released, they cost malloc and free more than
 * all else. A second release is noticed as long as the memory is not another's. Where tools look on none is kept, for a
 * use after the release is theirs to find.
 */
#ifndef RN_EXPLORE
static inline bool is_kept(size_t k)
{
    return likely(k < CHAN_CLASSES && !rn__tools);
}
#else
static inline bool is_kept(size_t k)
{
    return (void)k, false;
}
#endif

/* CHAN_CLASSES for what is too large. */
static inline size_t memory_class(size_t size)
{
    size_t k = (size - 1) / 64;

    return k < CHAN_CLASSES ? k : CHAN_CLASSES;
}

/* Where the next one of those that are kept is. */
static inline struct chan **next_kept(struct chan *c)
{
    return (struct chan **)(void *)&c->buffer;
}

static inline struct chan *memory_new(size_t size)
{
    struct worker *w = arch_tls_address(rn__tls_worker);
    size_t k = memory_class(size);
    struct chan *c = NULL;

    if (is_kept(k) && likely(w->proc && rt_enter_quick(w))) {
        struct proc *p = w->proc;

        if (likely(p && (c = p->chans[k]))) {
            p->chans[k] = *next_kept(c);
            p->chan_count[k]--;
        }
        rt_leave(w);
    }
    return c ? c : malloc(k < CHAN_CLASSES ? (k + 1) * 64 : size);
}

static inline void memory_free(struct chan *c, size_t size)
{
    struct worker *w = arch_tls_address(rn__tls_worker);
    size_t k = memory_class(size);

    if (is_kept(k) && likely(w->proc && rt_enter_quick(w))) {
        struct proc *p = w->proc;

        if (likely(p && p->chan_count[k] < CHAN_CACHE)) {
            store_relaxed(&c->refs, 0);
            c->flags = CHAN_FREED;
            *next_kept(c) = p->chans[k];
            p->chans[k] = c;
            p->chan_count[k]++;
            c = NULL;
        }
        rt_leave(w);
    }
    if (unlikely(c != NULL))
        free(c);
}

void rn__chans_free(struct rt *rt)
{
    for (uint32_t i = 0; i < rt->room; i++)
        for (int k = 0; k < CHAN_CLASSES; k++) {
            struct chan *c = rt->procs[i].chans[k], *next;

            for (; c; c = next) {
                next = *next_kept(c);
                free(c);
            }
        }
}

enum { HEAD = (sizeof(struct chan) + 15) & ~(size_t)15 };

static int chan_new(void **ret_ch, size_t elem_size, int64_t cap)
{
    struct chan *c;
    size_t bytes;

    if (cap < 0 || elem_size > ELEM_MAX)
        return -EINVAL;
    if (__builtin_mul_overflow((size_t)cap, elem_size, &bytes) || bytes > (size_t)1 << 47)
        return -EINVAL;
    c = memory_new(HEAD + bytes);
    if (!c)
        return -ENOMEM;
    rn__chan_init(c, elem_size, (uint64_t)cap, (char *)c + HEAD, 0);
    c->refs = 1;
    *ret_ch = c;
    return 0;
}

void *rn_chan_make_fn(size_t elem_size, int64_t cap)
{
    void *c = NULL;
    int err = chan_new(&c, elem_size, cap);

    if (unlikely(err == -EINVAL))
        rn__panic("makechan: size out of range");
    if (unlikely(err))
        rn__panic("makechan: out of memory");
    return c;
}

int rn__chan_make_err(void **ret_ch, size_t elem_size, int64_t cap)
{
    return chan_new(ret_ch, elem_size, cap);
}

static struct chan *chan_of(const volatile void *ch)
{
    return (struct chan *)(uintptr_t)ch;
}

void rn__chan_retain(const volatile void *ch)
{
    struct chan *c = chan_of(ch);

    if (!c)
        return;
    tool_alive(c, sizeof *c);
    if (load_relaxed(&c->refs))
        add_relaxed(&c->refs, 1);
}

void rn__chan_release(const volatile void *ch)
{
    struct chan *c = chan_of(ch);
    uint32_t refs;

    if (!c)
        return;
    tool_alive(c, sizeof *c);
    refs = load_acquire(&c->refs); /* pairs with the other holders' releases */
    if (unlikely(refs == 0)) {
        if (c->flags & CHAN_FREED)
            rn__panic("release of a released channel");
        return;
    }
    edge_release(&c->refs);
    /* Of the last reference nobody makes another, but who has it. */
    if (refs != 1 && sub_acq_rel(&c->refs, 1) != 1)
        return;
    edge_acquire(&c->refs);
    /* An operation that made us the last may still be storing its unlock; no other comes. */
    spin_pass(&c->lock);
    if (c->receivers.first || c->senders.first)
        rn__panic("release of a channel in use");
    memory_free(c, HEAD + c->cap * c->elem_size);
}

size_t rn__len(const volatile void *ch)
{
    struct chan *c = chan_of(ch);

    if (!c)
        return 0;
    tool_alive(c, sizeof *c);
    return c->flags & CHAN_TIMER ? 0 : (size_t)load_relaxed(&c->count);
}

size_t rn__cap(const volatile void *ch)
{
    struct chan *c = chan_of(ch);

    if (!c)
        return 0;
    tool_alive(c, sizeof *c);
    return c->flags & CHAN_TIMER ? 0 : (size_t)c->cap;
}

/* ---- Waiting -------------------------------------------------------------------------------------------- */

/* At the end of rn_run: take a plain operation's waiter out. */
struct plain_wait {
    struct chan_waiter w;
    struct chan *c;
    struct chan_queue *q;
};

static bool plain_unlink(void *wait)
{
    struct plain_wait *p = wait;
    bool was;

    chan_lock(p->c);
    was = p->w.queued;
    if (was)
        chan_dequeue(p->q, &p->w);
    spin_unlock(&p->c->lock);
    return was;
}

/* Queue the caller, let c go, wait. c may be gone when this returns. */
static bool wait_in(struct chan *c, bool by_bias, struct chan_queue *q, void *elem,
                    enum wait_reason why, const void **ret_edge)
{
    struct plain_wait p;

    p.w.select = NULL;
    p.w.g = worker_self()->cur;
    p.w.elem = elem;
    p.w.ok = 0;
    p.w.edge = c;
    p.c = c;
    p.q = q;
    if (unlikely(rn__tools))
        rn__chan_edge_before_wait(&p.w);
    chan_enqueue(q, &p.w);
    chan_let_go(c, by_bias);
    rn__park(p.w.g, why, c, plain_unlink, &p);
    *ret_edge = p.w.edge;
    return p.w.ok;
}

/* A send on c, which the caller has, by its bias or its lock. One function for both, so that those who wait are alike in
 * reports. */
static NOINLINE void send_having(struct chan *c, const void *elem, bool by_bias)
{
    struct g *wake = NULL;
    enum chan_result r = send_locked(c, elem, &wake);
    const void *edge;

    if (likely(r == CHAN_DONE)) {
        chan_let_go(c, by_bias);
        if (wake)
            rn__ready(wake);
        return;
    }
    if (r == CHAN_WOULD_WAIT &&
        wait_in(c, by_bias, &c->senders, (void *)(uintptr_t)elem, WAIT_CHAN_SEND, &edge)) {
        if (unlikely(rn__tools))
            rn__chan_edge_after_wait(edge);
        return;
    }
    if (r == CHAN_WAS_CLOSED)
        chan_let_go(c, by_bias);
    rn__panic("send on closed channel");
}

/* Whatever there is to be seen to before. */
static NOINLINE void send_slowly(struct chan *c, const void *elem)
{
    if (unlikely(!c))
        rn__park_forever(WAIT_CHAN_SEND_NIL);
    wait_point();
    rn__chan_touch_send(c, elem);
    chan_lock(c);
    send_having(c, elem, false);
}

/* Is there nothing to be seen to before? Now and then it is whose channel it is: see bias.h. */
static ALWAYS_INLINE bool may_try(void)
{
    struct worker *w = arch_tls_address(rn__tls_worker);

    return likely(!rn__tools && !(load_relaxed(&w->attention) & ATTEND_YIELD) &&
                  !__builtin_add_overflow(w->chan_turn, CHAN_STEP, &w->chan_turn));
}

/* Into the buffer of c, which the caller has and is open, if nobody waits for it and elem takes no call. */
static ALWAYS_INLINE bool put(struct chan *c, const void *elem)
{
    uint64_t at = c->send_at, n = c->count;

    if (unlikely(c->receivers.first || n >= c->cap ||
                 !copy_elem_or_not(c, slot_at(c, at), elem, true)))
        return false;
    c->send_at = slot_after(c, at);
    store_relaxed(&c->count, n + 1);
    return true;
}

/* Into the buffer of an open channel for which nobody waits: in line, without a frame. All else by calls. */
void rn_send_fn(volatile void *ch, const void *elem)
{
    struct chan *c = chan_of(ch);

    if (likely(c != NULL)) {
        uint32_t word = load_relaxed(&c->lock.word);
        struct stay stay;

        probe3(chan_send, c, c->count, c->cap);
        if (word >= CHAN_BIAS && likely(bias_enter_keeping(c, &stay))) {
            if (likely(put(c, elem)))
                bias_leave_kept(&stay);
            else
                send_having(c, elem, true);
            return;
        }
        if (likely(word == 0 && may_try() && cas_acquire(&c->lock.word, &word, SPIN_HELD))) {
            if (unlikely(!put(c, elem)))
                send_having(c, elem, false);
            else
                store_release(&c->lock.word, 0);
            return;
        }
    }
    send_slowly(c, elem);
}

/* A receive from c, which the caller has. */
static NOINLINE bool recv_having(struct chan *c, void *elem, bool by_bias)
{
    struct g *wake = NULL;
    enum chan_result r = recv_locked(c, elem, &wake);
    const void *edge;
    uint32_t size;
    bool ok;

    if (likely(r != CHAN_WOULD_WAIT)) {
        chan_let_go(c, by_bias);
        if (wake)
            rn__ready(wake);
        return r == CHAN_DONE;
    }
    size = c->elem_size;
    if (unlikely(c->flags & CHAN_TIMER))
        rn__timer_awaited(c);
    ok = wait_in(c, by_bias, &c->receivers, elem, WAIT_CHAN_RECEIVE, &edge);
    if (unlikely(rn__tools)) {
        rn__chan_edge_after_wait(edge);
        if (elem)
            tool_write(elem, size);
    }
    return ok; /* close has zeroed elem */
}

static NOINLINE bool recv_slowly(struct chan *c, void *elem)
{
    if (unlikely(!c))
        rn__park_forever(WAIT_CHAN_RECEIVE_NIL);
    wait_point();
    if (unlikely(rn__tools)) {
        rn__tool_alive(c, sizeof *c);
        if (elem)
            tool_write(elem, c->elem_size);
    }
    if (chan_is_over(c))
        return recv_over(c, elem);
    chan_lock(c);
    return recv_having(c, elem, false);
}

/* Out of the buffer of c, which the caller has, if nobody waits to send to it; as put. */
static ALWAYS_INLINE bool get(struct chan *c, void *elem)
{
    uint64_t at = c->recv_at, n = c->count;

    if (unlikely(c->senders.first || n == 0 ||
                 (elem && !copy_elem_or_not(c, elem, slot_at(c, at), true))))
        return false;
    c->recv_at = slot_after(c, at);
    store_relaxed(&c->count, n - 1);
    return true;
}

/* What is left in a closed channel; and that it is over, without a write to it, for that is what many look at. */
static NOINLINE bool recv_locked_or_closed(struct chan *c, void *elem)
{
    uint32_t word = CHAN_CLOSED;

    if (likely(c && chan_is_closed(c) && may_try())) {
        if (load_relaxed(&c->count) == 0) { /* recv_over without tools */
            if (elem)
                zero_elem(c, elem);
            return false;
        }
        if (likely(cas_acquire(&c->lock.word, &word, CHAN_CLOSED | SPIN_HELD))) {
            if (unlikely(!get(c, elem)))
                return recv_having(c, elem, false);
            store_release(&c->lock.word, CHAN_CLOSED);
            return true;
        }
    }
    return recv_slowly(c, elem);
}

bool rn_recv_fn(const void *ch, void *elem)
{
    struct chan *c = chan_of(ch);

    if (likely(c != NULL)) {
        uint32_t word = load_relaxed(&c->lock.word);
        struct stay stay;

        probe3(chan_recv, c, c->count, c->cap);
        if (word >= CHAN_BIAS && likely(bias_enter_keeping(c, &stay))) {
            if (unlikely(!get(c, elem)))
                return recv_having(c, elem, true);
            bias_leave_kept(&stay);
            return true;
        }
        if (likely(word == 0 && may_try() && cas_acquire(&c->lock.word, &word, SPIN_HELD))) {
            if (unlikely(!get(c, elem)))
                return recv_having(c, elem, false);
            store_release(&c->lock.word, 0);
            return true;
        }
    }
    return recv_locked_or_closed(c, elem);
}

bool rn__try_send(volatile void *ch, const void *elem)
{
    struct chan *c = chan_of(ch);
    struct g *wake = NULL;
    enum chan_result r;
    bool by_bias;

    if (!c)
        return false;
    rn__chan_touch_send(c, elem);
    if (!chan_may_send(c))
        return false;
    by_bias = chan_have(c);
    r = send_locked(c, elem, &wake);
    if (r == CHAN_DONE)
        probe3(chan_send, c, c->count, c->cap);
    chan_let_go(c, by_bias);
    if (wake)
        rn__ready(wake);
    if (r == CHAN_WAS_CLOSED)
        rn__panic("send on closed channel");
    return r == CHAN_DONE;
}

/* Apart, so that a look that finds nothing saves no register; and what finds the channel over, which is what is asked of a
 * context's again and again. */
static NOINLINE bool try_over(struct chan *c, void *elem, bool *ok)
{
    probe3(chan_recv, c, (uint64_t)0, c->cap);
    if (ok)
        *ok = false;
    (void)recv_over(c, elem);
    if (elem)
        tool_write(elem, c->elem_size);
    return true;
}

static NOINLINE bool try_recv(struct chan *c, void *elem, bool *ok)
{
    struct g *wake = NULL;
    enum chan_result r;
    uint32_t size;
    bool by_bias;

    tool_alive(c, sizeof *c);
    if (chan_is_over(c))
        return try_over(c, elem, ok);
    by_bias = chan_have(c);
    r = recv_locked(c, elem, &wake);
    if (r != CHAN_WOULD_WAIT)
        probe3(chan_recv, c, c->count, c->cap);
    size = c->elem_size; /* after the unlock another may free it */
    chan_let_go(c, by_bias);
    if (wake)
        rn__ready(wake);
    if (r == CHAN_WOULD_WAIT)
        return false;
    if (elem)
        tool_write(elem, size);
    if (ok)
        *ok = r == CHAN_DONE;
    return true;
}

bool rn__try_recv(const void *ch, void *elem, bool *ok)
{
    struct chan *c = chan_of(ch);

    if (!c)
        return false;
    if (likely(!rn__tools)) { /* with tools, nothing is asked before they are */
        if (!chan_may_recv(c))
            return false;
        if (chan_is_over(c))
            return try_over(c, elem, ok);
    }
    return try_recv(c, elem, ok);
}

/* ---- Close ------------------------------------------------------------------------------------------------ */

#undef rn_close
void rn_close(volatile void *ch)
{
    struct chan *c = chan_of(ch);
    struct chan_waiter *w, *served = NULL, **tail = &served;

    if (unlikely(!c))
        rn__panic("close of nil channel");
    probe3(chan_close, c, c->count, c->cap);
    if (unlikely(rn__tools)) {
        rn__tool_alive(c, sizeof *c);
        if (rn__tools & TOOL_TSAN)
            rn__tool_write(&c->flags, 1);
        edge_release(c);
    }
    chan_lock(c);
    if (unlikely(load_relaxed(&c->lock.word) & CHAN_CLOSED)) {
        spin_unlock(&c->lock);
        rn__panic("close of closed channel");
    }
    /* A claimed waiter's next is free for our list. */
    while ((w = rn__chan_claim(c, &c->receivers))) {
        if (w->elem)
            zero_elem(c, w->elem);
        waiter_served(w, false, c);
        *tail = w;
        tail = &w->next;
    }
    while ((w = rn__chan_claim(c, &c->senders))) {
        waiter_served(w, false, c);
        *tail = w;
        tail = &w->next;
    }
    *tail = NULL;
    spin_unlock_with(&c->lock, CHAN_CLOSED);
    while (served) {
        struct g *g = served->g;

        served = served->next;
        rn__ready(g);
    }
}

/* ---- Under a context ------------------------------------------------------------------------------------------ */

int rn__send_ctx(rn_ctx *ctx, volatile void *ch, const void *elem)
{
    rn_case cases[2] = {
        {.rn__ch = (void *)ctx, .rn__kind = RN__CASE_DONE},
        {.rn__ch = (void *)(uintptr_t)ch,
         .rn__elem = (void *)(uintptr_t)elem,
         .rn__kind = RN__CASE_SEND},
    };
    int err = rn_ctx_err(ctx);

    if (err)
        return err;
    return rn_select_array(cases, 2) == 0 ? rn_ctx_err(ctx) : 0;
}

int rn__recv_ctx(rn_ctx *ctx, const void *ch, void *elem)
{
    bool ok = false;
    rn_case cases[2] = {
        {.rn__ch = (void *)ctx, .rn__kind = RN__CASE_DONE},
        {.rn__ch = (void *)(uintptr_t)ch,
         .rn__elem = elem,
         .rn__ok = &ok,
         .rn__kind = RN__CASE_RECV},
    };
    int err = rn_ctx_err(ctx);

    if (err)
        return err;
    if (rn_select_array(cases, 2) == 0)
        return rn_ctx_err(ctx);
    return ok ? 0 : -EPIPE;
}
