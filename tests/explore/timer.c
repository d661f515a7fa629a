/* SPDX-License-Identifier: MIT */
/*
 * timer.c - timers: fire against stop, against the end of the timer's memory, and against a select and a close.
 *
 * Threads stand on a processor of the test's own, so that its heap is theirs without a runtime.
 */
#include <runnel.h>

#include "explorer.h"

#include "chan/chan.h"
#include "explore.h"
#include "sched/rt.h"

static struct proc here;
static struct timer_heap heap;

static void stand_here(void)
{
    struct worker *w = worker_self();

    w->proc = &here;
}

static void reset(void)
{
    memset(&here, 0, sizeof here);
    memset(&heap, 0, sizeof heap);
    here.timers = &heap;
    rn__timers_begin(&heap);
    stand_here();
}

static void run_timers(void *arg)
{
    int64_t when = (int64_t)(intptr_t)arg;

    stand_here();
    rn__timers_run(&heap, when ? when : rn__clock());
}

static void clear(void)
{
    EXPECT(!rn__timers_end(&heap));
    EXPECT(explore_allocated() == 0);
}

/* ---- A timer on somebody's stack ---------------------------------------------------------------------- */

static struct {
    struct timer t;
    uint64_t fired; /* plain: written by fire, read by whoever knows that it is over */
} *borrowed;

static void fire_borrowed(struct timer *t, int64_t when)
{
    (void)t;
    (void)when;
    explore_write(&borrowed->fired, 8);
    borrowed->fired++;
}

static void make_borrowed(void)
{
    borrowed = explore_malloc(sizeof *borrowed);
    memset(borrowed, 0, sizeof *borrowed);
    borrowed->t.kind = TIMER_BORROWED;
    borrowed->t.fire = fire_borrowed;
}

/* After stop_sync the memory may go: fire has not begun, or is over and has touched it for the last time. */
EXPLORE(timer_stop_sync, .preemptions = 3, .stale = 2, .random_runs = 10000,
        .breaks = {{"rn__timer_fired", "and_acq_rel", 0}, {"timer_is_firing", "load_acquire", 0}})
{
    bool stopped;
    int f;

    reset();
    make_borrowed();
    EXPECT(rn__timer_start(&borrowed->t, rn__clock()) == 0);
    f = explore_start(run_timers, NULL);
    stopped = rn__timer_stop_sync(&borrowed->t);
    explore_read(&borrowed->fired, 8);
    EXPECT(borrowed->fired == (stopped ? 0 : 1));
    explore_free(borrowed);
    explore_join(f);
    clear();
}

/* Two workers look for due timers at once: it fires once. */
EXPLORE(timer_fires_once, .preemptions = 3, .stale = 2, .random_runs = 10000)
{
    reset();
    make_borrowed();
    EXPECT(rn__timer_start(&borrowed->t, rn__clock()) == 0);
    explore_start(run_timers, NULL);
    run_timers(NULL);
    explore_join_all();
    EXPECT(borrowed->fired == 1);
    EXPECT(!rn__timer_stop_sync(&borrowed->t));
    explore_free(borrowed);
    clear();
}

/* A periodic one is due again while its fire still runs: no two fires at once, and none after stop_sync. */
static void run_timers_twice(void *arg)
{
    (void)arg;
    stand_here();
    rn__timers_run(&heap, rn__clock());
    rn__timers_run(&heap, rn__clock() + 10);
}

EXPLORE(timer_periodic, .preemptions = 3, .stale = 1, .random_runs = 10000,
        .breaks = {{"rn__timers_run", "load_acquire", 0}, {"disarm", "load_acquire", 0}})
{
    bool was = false, is_first;

    reset();
    make_borrowed();
    EXPECT(rn__timer_set(&borrowed->t, rn__clock(), 10, &was, &is_first) == 0 && !was && is_first);
    explore_start(run_timers_twice, NULL);
    rn__timers_run(&heap, rn__clock() + 10);
    rn__timer_stop_sync(&borrowed->t);
    explore_free(borrowed);
    explore_join_all();
    clear();
}

/* ---- Select ------------------------------------------------------------------------------------------------- */

static rn_chan(uint64_t) ch;

static void send_one(void *arg)
{
    (void)arg;
    EXPECT(rn_try_send(ch, 6) || true);
}

static void close_it(void *arg)
{
    (void)arg;
    rn_close(ch);
}

static int select_until(rn_dur d, uint64_t *v, bool *ok)
{
    rn_case cases[2] = {rn_on_recv_ok(ch, v, ok), rn_on_timeout(d)};
    int chosen = rn_select_array(cases, 2);

    explore_write(cases, sizeof cases); /* they are ours again */
    return chosen;
}

/* The timer and a send want to decide the select: one does, and a value is neither lost nor doubled. */
EXPLORE(select_timer_against_send, .preemptions = 1, .stale = 1, .random_runs = 10000)
{
    uint64_t v = 0;
    bool ok = true;
    int chosen;

    reset();
    ch = rn_chan_make(uint64_t, 1);
    explore_start(run_timers, (void *)(intptr_t)(rn__clock() + 10));
    explore_start(run_timers, (void *)(intptr_t)(rn__clock() + 20));
    explore_start(send_one, NULL);
    chosen = select_until(10, &v, &ok);
    EXPECT(chosen == 0 ? ok && v == 6 : v == 0);
    explore_join_all();
    EXPECT(rn_len(ch) == (chosen == 0 ? 0 : 1));
    rn_chan_release(ch);
    clear();
}

/* ... and a close. The loser finds it decided. */
EXPLORE(select_timer_against_close, .preemptions = 2, .stale = 1, .random_runs = 10000)
{
    uint64_t v = 1;
    bool ok = true;
    int chosen;

    reset();
    ch = rn_chan_make(uint64_t, 0);
    explore_start(run_timers, (void *)(intptr_t)(rn__clock() + 10));
    explore_start(close_it, NULL);
    chosen = select_until(10, &v, &ok);
    EXPECT(chosen == 0 ? !ok && v == 0 : v == 1);
    explore_join_all();
    rn_chan_release(ch);
    clear();
}

/* ---- The public timer ----------------------------------------------------------------------------------------- */

static rn_timer *timer;

/* Stop: it says whether it prevented the value, and nothing of the old setting is received after it. */
EXPLORE(timer_channel_stop, .preemptions = 3, .stale = 1, .random_runs = 10000)
{
    rn_time t = 0;

    reset();
    timer = new_zero(sizeof *timer);
    rn_timer_reset(timer, 10);
    explore_start(run_timers, (void *)(intptr_t)(rn__clock() + 10));
    EXPECT(rn_timer_stop(timer));
    EXPECT(!rn_try_recv(rn_timer_chan(timer), &t));
    explore_join_all();
    EXPECT(!rn_try_recv(rn_timer_chan(timer), &t));
    rn_timer_free(timer);
    explore_free(timer);
    clear();
}

/* Free, while it fires. */
EXPLORE(timer_channel_free, .preemptions = 3, .stale = 1, .random_runs = 10000)
{
    int f;

    reset();
    timer = new_zero(sizeof *timer);
    rn_timer_reset(timer, 10);
    f = explore_start(run_timers, (void *)(intptr_t)(rn__clock() + 10));
    rn_timer_free(timer);
    explore_free(timer);
    explore_join(f);
    clear();
}

/* Reset by one, receive by another: the value is of one of the settings, and comes once each at most. */
static void reset_it(void *arg)
{
    (void)arg;
    stand_here();
    rn_timer_reset(timer, 20);
}

EXPLORE(timer_channel_reset, .preemptions = 2, .stale = 1, .random_runs = 10000)
{
    rn_time t = 0, began = rn__clock();

    reset();
    timer = new_zero(sizeof *timer);
    rn_timer_reset(timer, 10);
    explore_start(reset_it, NULL);
    explore_start(run_timers, (void *)(intptr_t)(began + 10));
    if (rn_try_recv(rn_timer_chan(timer), &t))
        EXPECT(t == began + 10);
    explore_join_all();
    rn__timers_run(&heap, began + 100);
    EXPECT(rn_try_recv(rn_timer_chan(timer), &t));
    EXPECT(t == began + 20);
    EXPECT(!rn_try_recv(rn_timer_chan(timer), &t));
    rn_timer_free(timer);
    explore_free(timer);
    clear();
}

/* Two set it while it fires: either finds it pending, or its value there; the last setting is the one that fires, once. */
static bool found_pending;
static void set_it(void *arg)
{
    (void)arg;
    stand_here();
    found_pending = rn_timer_reset(timer, 20);
}

EXPLORE(timer_set_by_two, .preemptions = 3, .stale = 1, .random_runs = 10000)
{
    rn_time t = 0, began = rn__clock();

    reset();
    timer = new_zero(sizeof *timer);
    rn_timer_reset(timer, 10);
    explore_start(run_timers, (void *)(intptr_t)(began + 10));
    explore_start(set_it, NULL);
    EXPECT(rn_timer_reset(timer, 30)); /* nobody receives */
    explore_join_all();
    EXPECT(found_pending);
    EXPECT(heap.count == 1);
    rn__timers_run(&heap, began + 100);
    EXPECT(rn_try_recv(rn_timer_chan(timer), &t));
    EXPECT(t == began + 20 || t == began + 30);
    EXPECT(!rn_try_recv(rn_timer_chan(timer), &t));
    rn_timer_free(timer);
    explore_free(timer);
    clear();
}

/* Another processor's goroutine waits for it and brings it there, while it is stopped or due on either. */
static struct proc there;
static struct timer_heap other_heap;

static void bring_it(void *arg)
{
    struct chan *c = (struct chan *)(uintptr_t)rn_timer_chan(timer);

    (void)arg;
    worker_self()->proc = &there;
    spin_lock(&c->lock);
    rn__timer_awaited(c);
    spin_unlock(&c->lock);
}

static void run_both(void *arg)
{
    int64_t when = (int64_t)(intptr_t)arg;

    stand_here();
    rn__timers_run(&heap, when);
    rn__timers_run(&other_heap, when);
}

static void reset_with_other(void)
{
    reset();
    memset(&there, 0, sizeof there);
    memset(&other_heap, 0, sizeof other_heap);
    there.timers = &other_heap;
    rn__timers_begin(&other_heap);
    timer = new_zero(sizeof *timer);
    rn_timer_reset(timer, 10);
}

static void clear_with_other(void)
{
    rn_timer_free(timer);
    explore_free(timer);
    EXPECT(!rn__timers_end(&other_heap));
    clear();
}

EXPLORE(timer_brought, .preemptions = 1, .stale = 1, .random_runs = 100)
{
    reset_with_other();
    explore_start(bring_it, NULL);
    explore_join_all();
    EXPECT(heap.count == 0 && other_heap.count == 1);
    EXPECT(timers_first(&heap) == INT64_MAX && timers_first(&other_heap) < INT64_MAX);
    EXPECT(rn_timer_stop(timer));
    clear_with_other();
}

EXPLORE(timer_brought_and_stopped, .preemptions = 3, .stale = 1, .random_runs = 10000)
{
    rn_time t = 0;

    reset_with_other();
    explore_start(bring_it, NULL);
    explore_start(run_both, (void *)(intptr_t)(rn__clock() + 10));
    EXPECT(rn_timer_stop(timer));
    EXPECT(!rn_try_recv(rn_timer_chan(timer), &t));
    explore_join_all();
    run_both((void *)(intptr_t)(rn__clock() + 10));
    EXPECT(!rn_try_recv(rn_timer_chan(timer), &t));
    clear_with_other();
}

EXPLORE(timer_brought_and_due, .preemptions = 3, .stale = 1, .random_runs = 10000)
{
    rn_time t = 0, due;

    reset_with_other();
    due = rn__clock() + 10;
    explore_start(bring_it, NULL);
    explore_start(run_both, (void *)(intptr_t)due);
    explore_join_all();
    run_both((void *)(intptr_t)due); /* the first look may have missed it on its way */
    EXPECT(rn_try_recv(rn_timer_chan(timer), &t) && t <= due);
    EXPECT(!rn_try_recv(rn_timer_chan(timer), &t));
    clear_with_other();
}

/* Sleep under a context: woken once, by the timer or by the end of the context. */
static rn_ctx *ctx;

/* What lay on the stack of a call that has returned is somebody else's now. */
static __attribute__((noinline)) void scribble(void)
{
    char room[2048];

    explore_write(room, sizeof room);
}

static void sleep_under_ctx(void *arg)
{
    int err;

    (void)arg;
    stand_here();
    err = rn_sleep_ctx(ctx, 10);
    EXPECT(err == 0 || err == -ECANCELED);
    scribble();
}

EXPLORE(sleep_against_cancel, .preemptions = 2, .stale = 1, .random_runs = 10000)
{
    reset();
    ctx = rn_ctx_with_cancel(rn_ctx_background());
    explore_start(sleep_under_ctx, NULL);
    explore_start(run_timers, (void *)(intptr_t)(rn__clock() + 10));
    rn_ctx_cancel(ctx);
    explore_join_all();
    rn_ctx_end(ctx);
    clear();
}

/* D7: the last reference to a context goes while its timer fires: the memory stays until that is over. */
EXPLORE(ctx_released_while_its_timer_fires, .preemptions = 3, .stale = 1, .random_runs = 10000)
{
    reset();
    ctx = rn_ctx_with_timeout(rn_ctx_background(), 10);
    explore_start(run_timers, (void *)(intptr_t)(rn__clock() + 10));
    rn_ctx_release(ctx);
    explore_join_all();
    clear();
}
