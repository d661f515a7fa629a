/* SPDX-License-Identifier: MIT */
/*
 * timers.c - rn_timer, rn_ticker and after-functions, with the meaning of Go 1.23 and later.
 *
 * A timer of the user's is a struct timer, a channel of capacity 1 with its one slot, and a setting number. Each
 * reset and stop takes the next number, under the channel's lock, and drops what is buffered there in the same
 * step; a fire that was on its way offers its value under that lock too, and only if the number is still its own.
 * So nothing of an old setting can be received after a reset or stop has returned, and a value that expired but
 * was not received still counts as pending.
 *
 * Whoever arms, stops or frees a timer holds its hands lock meanwhile, so that a timer may be in many hands; the lock
 * order is hands, then the channel's, then a heap's. A fire does not take hands, so one under way can be waited for.
 *
 * A timer follows whoever waits for it: a goroutine about to park for the channel brings the timer to its own
 * processor, so that a tick finds the goroutine's data where it was, and two processors with a ticker each need nothing of
 * one another. It has the channel locked then, so it only tries for hands: who has them is at the timer anyway.
 *
 * Last access. A timer may leave scope when its value has been received, or when it has been stopped. So a fire is over,
 * for whoever waits for it, before it sends, under the channel's lock; the store that unlocks is the last access of both
 * fire and receive; and who stops a timer takes that lock after it has waited for the fire.
 *
 * An after-function's timer has no channel: its fire starts a goroutine with a copy of the captured call, so that
 * it can be reset and fire again. Its memory begins with the rn_timer that the user holds.
 *
 * Edges: arming releases the channel (or the call); the receive, or the function's start, acquires it.
 */
#include <runnel/time.h>

#include "base/mem.h"
#include "base/tools.h"
#include "chan/chan.h"
#include "sched/rt.h"
#include "time/timer.h"

enum timer_face { FACE_NEW, FACE_CHANNEL, FACE_AFTER, FACE_AFTER_ONCE };

struct user_timer {
    struct timer timer;
    uint64_t seq; /* the present setting; guarded by the channel's lock */
    int64_t slot; /* the channel's one element */
    struct spin hands;
    uint32_t face; /* enum timer_face; guarded by hands until it is set */
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

struct firing {
    struct user_timer *ut;
    uint64_t seq;
};

/* Under the channel's lock: is the setting that fired still the present one? */
static bool still_current(void *arg)
{
    const struct firing *f = arg;
    bool current = f->ut->seq == f->seq;

    rn__timer_fired(&f->ut->timer);
    return current;
}

static void channel_fire(struct timer *t, int64_t when, uint64_t seq)
{
    struct firing f = {container_of(t, struct user_timer, timer), seq};

    rn__chan_offer(&f.ut->chan, &when, still_current, &f);
}

void rn__timer_awaited(struct chan *c)
{
    struct user_timer *ut = container_of(c, struct user_timer, chan);

    if (!worker_self()->proc) /* a thread has none to bring it to */
        return;
    if (!spin_try(&ut->hands))
        return;
    rn__timer_bring(&ut->timer);
    spin_unlock(&ut->hands);
}

/* First use: zero until now. hands is held. */
static void make_channel(struct user_timer *ut)
{
    if (ut->face != FACE_NEW)
        return;
    rn__chan_init(&ut->chan, sizeof(int64_t), 1, (char *)&ut->slot, CHAN_TIMER);
    ut->timer.kind = TIMER_FIRES_ITSELF;
    ut->timer.fire = channel_fire;
    ut->face = FACE_CHANNEL;
}

static struct chan *channel_of(struct user_timer *ut)
{
    if (ut->face == FACE_AFTER) /* what it is from its beginning to its end */
        return NULL;
    spin_lock(&ut->hands);
    make_channel(ut);
    spin_unlock(&ut->hands);
    return &ut->chan;
}

static void next_setting(void *arg)
{
    struct user_timer *ut = arg;

    ut->seq++;
}

/* Take t out of its heap, wait for a fire under way, and withdraw its value; true if it was pending. */
static bool withdraw(struct user_timer *ut)
{
    bool armed = rn__timer_stop_sync(&ut->timer);

    return rn__chan_reset(&ut->chan, next_setting, ut) > 0 || armed;
}

/* Start ut, whose hands are held and which is idle. */
static void start(struct user_timer *ut, rn_dur d, int64_t period)
{
    int err = rn__timer_start(&ut->timer, time_after(now_ns(), d), period, ut->seq);

    if (err < 0) {
        spin_unlock(&ut->hands);
        rn__panic("out of memory for a timer");
    }
}

/* A new setting, whatever the last one; true if that was pending. */
static bool set(struct user_timer *ut, rn_dur d, int64_t period)
{
    bool was;

    spin_lock(&ut->hands);
    make_channel(ut);
    was = withdraw(ut);
    edge_release(&ut->chan);
    start(ut, d, period);
    spin_unlock(&ut->hands);
    return was;
}

static bool unset(struct user_timer *ut)
{
    bool was;

    spin_lock(&ut->hands);
    was = ut->face != FACE_NEW && withdraw(ut);
    spin_unlock(&ut->hands);
    return was;
}

/* Stop ut; then it is as new. */
static void end(struct user_timer *ut)
{
    bool in_use = false;

    spin_lock(&ut->hands);
    if (ut->face != FACE_NEW) {
        withdraw(ut);
        spin_lock(&ut->chan.lock);
        in_use = ut->chan.receivers.first;
        spin_unlock(&ut->chan.lock);
        ut->face = FACE_NEW;
    }
    spin_unlock(&ut->hands);
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

static void after_fire(struct timer *t, int64_t when, uint64_t seq)
{
    struct after *a = container_of(container_of(t, struct user_timer, timer), struct after, ut);
    struct fresh *f;

    (void)when;
    (void)seq;
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
    if (rn__timer_start(&a->ut.timer, a->ut.slot, 0, 0) < 0)
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
    bool was;

    if (ut->face != FACE_AFTER)
        return set(ut, d, 0);
    spin_lock(&ut->hands);
    edge_release(container_of(ut, struct after, ut));
    was = rn__timer_stop_sync(&ut->timer);
    start(ut, d, 0);
    spin_unlock(&ut->hands);
    return was;
}

bool rn_timer_stop(rn_timer *t)
{
    struct user_timer *ut = of(t);
    bool was;

    if (ut->face != FACE_AFTER)
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
    if (of(t)->face != FACE_AFTER) {
        end(of(t));
        return;
    }
    (void)rn_timer_stop(t);
    rn__mem_free(container_of(of(t), struct after, ut));
}
