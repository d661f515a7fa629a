/* SPDX-License-Identifier: MIT */
/*
 * timers.c - rn_timer, rn_ticker and after-functions, with the meaning of Go 1.23 and later.
 *
 * A timer of the user's is a struct timer and a channel of capacity 1 with its one slot. Whoever arms, stops, brings or frees
 * it has the channel's lock meanwhile, so that a timer may be in many hands; a heap's lock comes after that. A fire sends
 * under the channel's lock, too. Who sets or stops a timer finds it firing or not: if not, he drops what is buffered, and so
 * nothing of an old setting can be received after a reset or stop has returned, and a value that expired but was not received
 * still counts as pending. If it fires, the channel must be let go until it is done; meanwhile hands are held, which keep off
 * all others who would set or stop it.
 *
 * A timer follows whoever waits for it: a goroutine about to park for the channel brings the timer to its own
 * processor, so that a tick finds the goroutine's data where it was, and two processors with a ticker each need nothing of
 * one another.
 *
 * Last access. A timer may leave scope when its value has been received, or when it has been stopped. So a fire is over,
 * for whoever waits for it, before it sends, under the channel's lock; the store that unlocks is the last access of both
 * fire and receive; and who stops a timer takes that lock after it has waited for the fire.
 *
 * An after-function's timer has no channel: its fire starts a goroutine with a copy of the captured call, so that
 * it can be reset and fire again. Its memory begins with the rn_timer that the user holds. Whoever arms or stops it holds
 * hands.
 *
 * Edges: arming releases the channel (or the call); the receive, or the function's start, acquires it.
 */
#include <runnel/time.h>

#include "base/mem.h"
#include "base/tools.h"
#include "chan/bias.h"
#include "sched/rt.h"
#include "time/timer.h"

enum timer_face { FACE_NEW, FACE_CHANNEL, FACE_AFTER, FACE_AFTER_ONCE };

struct user_timer {
    struct timer timer;
    int64_t slot; /* the channel's one element */
    struct spin hands;
    uint32_t face; /* atomic, enum timer_face */
    struct chan chan;
};

_Static_assert(sizeof(struct user_timer) <= sizeof(rn_timer), "rn_timer has room");
_Static_assert(sizeof(rn_timer) == sizeof(rn_ticker), "one code for both");

struct after {
    union {
        rn_timer public;
        struct user_timer ut;
    };
    void *created_at;
    struct rn__call call;
};

static struct user_timer *of(rn_timer *t)
{
    return (struct user_timer *)(void *)t;
}

static struct user_timer *of_ticker(rn_ticker *t)
{
    return (struct user_timer *)(void *)t;
}

/* ---- Timers with a channel ------------------------------------------------------------------------------ */

static void channel_fire(struct timer *t, int64_t when)
{
    struct user_timer *ut = container_of(t, struct user_timer, timer);
    struct g *wake = NULL;

    chan_lock(&ut->chan);
    rn__timer_fired(t);
    /* A tick that finds one unreceived is dropped. */
    (void)rn__chan_send_locked(&ut->chan, &when, &wake);
    spin_unlock(&ut->chan.lock);
    if (wake)
        rn__ready(wake);
}

void rn__timer_awaited(struct chan *c)
{
    if (worker_self()->proc) /* a thread has none to bring it to */
        rn__timer_bring(&container_of(c, struct user_timer, chan)->timer);
}

/* First use: zero until now. */
static COLD void make_channel(struct user_timer *ut)
{
    spin_lock(&ut->hands);
    if (ut->face == FACE_NEW) {
        rn__chan_init(&ut->chan, sizeof(int64_t), 1, (char *)&ut->slot, CHAN_TIMER);
        ut->timer.kind = TIMER_FIRES_ITSELF;
        ut->timer.fire = channel_fire;
        store_release(&ut->face, FACE_CHANNEL); /* pairs with with_channel */
    }
    spin_unlock(&ut->hands);
}

static struct chan *with_channel(struct user_timer *ut)
{
    if (unlikely(load_acquire(&ut->face) == FACE_NEW))
        make_channel(ut);
    return &ut->chan;
}

static struct chan *channel_of(struct user_timer *ut)
{
    if (load_relaxed(&ut->face) == FACE_AFTER) /* what it is from its beginning to its end */
        return NULL;
    return with_channel(ut);
}

/* Have ut: its channel's lock, and no hands but ours. */
static void have(struct user_timer *ut)
{
    struct chan *c = with_channel(ut);

    chan_lock(c);
    while (unlikely(load_relaxed(&ut->hands.word) & SPIN_HELD)) {
        spin_unlock(&c->lock);
        spin_pass(&ut->hands);
        chan_lock(c);
    }
}

static void let_go(struct user_timer *ut)
{
    spin_unlock(&ut->chan.lock);
}

/* A fire is under way, of ut, which we have, and which is not armed: let it have the channel. */
static COLD void wait_for_fire(struct user_timer *ut)
{
    spin_lock(&ut->hands); /* who passes by them lets them go at once */
    let_go(ut);
    rn__timer_wait_fired(&ut->timer);
    chan_lock(&ut->chan);
    spin_unlock(&ut->hands);
}

/* Take ut, which we have, out of its heap, and withdraw its value; true if it was pending. */
static bool withdraw(struct user_timer *ut)
{
    bool was = rn__timer_stop(&ut->timer);

    if (unlikely(timer_is_firing(&ut->timer)))
        wait_for_fire(ut);
    return chan_drain(&ut->chan) > 0 || was;
}

/* What is left to do of rn__timer_set, with no lock held. */
static void was_set(int err, int64_t when, bool is_first)
{
    if (err < 0)
        rn__panic("out of memory for a timer");
    if (is_first)
        rn__timer_wake(when);
}

/* A new setting, whatever the last one; true if that was pending. */
static bool set(struct user_timer *ut, rn_dur d, int64_t period)
{
    int64_t when = time_after(now_ns(), d);
    bool was = false, is_first;
    int err;

    if (unlikely(!worker_self()->proc)) /* it may start the runtime: not with the channel locked */
        (void)rn__timer_heap();
    have(ut);
    edge_release(&ut->chan);
    while (unlikely((err = rn__timer_set(&ut->timer, when, period, &was, &is_first)) == -EAGAIN))
        wait_for_fire(ut);
    if (chan_drain(&ut->chan) > 0)
        was = true;
    let_go(ut);
    was_set(err, when, is_first);
    return was;
}

static bool unset(struct user_timer *ut)
{
    bool was;

    if (load_acquire(&ut->face) == FACE_NEW)
        return false;
    have(ut);
    was = withdraw(ut);
    let_go(ut);
    return was;
}

/* Stop ut; then it is as new. */
static void end(struct user_timer *ut)
{
    bool in_use;

    if (load_acquire(&ut->face) == FACE_NEW)
        return;
    have(ut);
    (void)withdraw(ut);
    in_use = ut->chan.receivers.first;
    store_relaxed(&ut->face, FACE_NEW);
    let_go(ut);
    if (in_use)
        rn__panic("release of a channel in use");
}

rn_recv_only(rn_time) rn_timer_chan(rn_timer *t)
{
    return (rn_recv_only(rn_time))(void *)channel_of(of(t));
}

rn_recv_only(rn_time) rn_ticker_chan(rn_ticker *t)
{
    return (rn_recv_only(rn_time))(void *)channel_of(of_ticker(t));
}

void rn_ticker_start(rn_ticker *t, rn_dur d)
{
    if (d <= 0)
        rn__panic("non-positive interval for NewTicker");
    (void)set(of_ticker(t), d, d);
}

bool rn_ticker_reset(rn_ticker *t, rn_dur d)
{
    if (d <= 0)
        rn__panic("non-positive interval for Ticker.Reset");
    return set(of_ticker(t), d, d);
}

void rn_ticker_stop(rn_ticker *t)
{
    (void)unset(of_ticker(t));
}

void rn_ticker_free(rn_ticker *t)
{
    if (t)
        end(of_ticker(t));
}

/* ---- After-functions ------------------------------------------------------------------------------------ */

static void after_fire(struct timer *t, int64_t when)
{
    struct after *a = container_of(container_of(t, struct user_timer, timer), struct after, ut);
    struct fresh *f;

    (void)when;
    f = rn__fresh_new(a->call.fn, NULL, NULL, a->created_at);
    if (!f)
        rn__panic("out of memory for an after-function");
    rn__fresh_unlabelled(f);
    rn__copy(f->call.gp, a->call.gp, offsetof(struct rn__call, fn));
    edge_acquire(a);
    rn__fresh_start(&f->call);
    if (a->ut.face == FACE_AFTER_ONCE)
        rn__mem_free(a); /* TIMER_OWNED: it is ours */
}

/* The runtime ended first: a handle is still its owner's, a function without one is forgotten. */
static void after_drop(struct timer *t)
{
    struct after *a = container_of(container_of(t, struct user_timer, timer), struct after, ut);

    if (a->ut.face == FACE_AFTER_ONCE)
        rn__mem_free(a);
}

static void after_start(struct rn__call *call)
{
    struct after *a = container_of(call, struct after, call);

    edge_release(a);
    if (rn__timer_start(&a->ut.timer, a->ut.slot) < 0)
        rn__panic("out of memory for a timer");
}

struct rn__call *rn__after_begin(rn_dur d, void (*fn)(void), rn_timer **ret_timer)
{
    struct after *a;

    if (!fn)
        rn__fatal("go of nil func value");
    a = rn__mem_new_zero(sizeof *a, 16);
    if (!a)
        rn__panic("out of memory for a timer");
    a->ut.face = ret_timer ? FACE_AFTER : FACE_AFTER_ONCE;
    a->ut.timer.kind = ret_timer ? TIMER_BORROWED : TIMER_OWNED;
    a->ut.timer.fire = after_fire;
    a->ut.timer.drop = after_drop;
    a->ut.slot = time_after(now_ns(), d); /* when; the arguments are evaluated in between */
    a->created_at = __builtin_return_address(0);
    a->call.fn = fn;
    a->call.op = after_start;
    if (ret_timer)
        *ret_timer = &a->public;
    return &a->call;
}

/* ---- Both ------------------------------------------------------------------------------------------------ */

bool rn_timer_reset(rn_timer *t, rn_dur d)
{
    struct user_timer *ut = of(t);
    int64_t when;
    bool was = false, is_first;
    int err;

    if (load_relaxed(&ut->face) != FACE_AFTER)
        return set(ut, d, 0);
    when = time_after(now_ns(), d);
    spin_lock(&ut->hands);
    edge_release(container_of(ut, struct after, ut));
    while (unlikely((err = rn__timer_set(&ut->timer, when, 0, &was, &is_first)) == -EAGAIN))
        rn__timer_wait_fired(&ut->timer);
    spin_unlock(&ut->hands);
    was_set(err, when, is_first);
    return was;
}

bool rn_timer_stop(rn_timer *t)
{
    struct user_timer *ut = of(t);
    bool was;

    if (load_relaxed(&ut->face) != FACE_AFTER)
        return unset(ut);
    spin_lock(&ut->hands);
    was = rn__timer_stop_sync(&ut->timer); /* false: its goroutine has been started */
    spin_unlock(&ut->hands);
    return was;
}

void rn_timer_free(rn_timer *t)
{
    if (!t)
        return;
    if (load_relaxed(&of(t)->face) != FACE_AFTER) {
        end(of(t));
        return;
    }
    (void)rn_timer_stop(t);
    rn__mem_free(container_of(of(t), struct after, ut));
}
