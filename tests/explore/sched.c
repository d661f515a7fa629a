/* SPDX-License-Identifier: MIT */
/*
 * sched.c - the scheduler itself: a whole runtime of two processors in the explorer, its workers threads of it.
 *
 * What is looked for: a wake-up that is lost (nobody can go on), a goroutine that runs on two threads, or on a stack
 * that is not yet saved (a data race on the stack, of which every word is watched), and whatever the runtime leaves
 * behind.
 */
#include <runnel.h>

#include "explorer.h"

#include "explore.h"
#include "sched/rt.h"
#include "sync/holder.h"

static rn_chan(uint64_t) ch;
static rn_wg wg;

static int run_nothing(void)
{
    return 7;
}

EXPLORE(run_and_end, .preemptions = 2, .stale = 1, .random_runs = 1500)
{
    EXPECT(rn_run(run_nothing) == 7);
    EXPECT(explore_allocated() == 0);
}

/* ---- Park and ready --------------------------------------------------------------------------------------- */

static void send_two(void)
{
    uint64_t v = 1; /* on the goroutine's stack */

    rn_send(ch, v);
    explore_write(&v, sizeof v);
    v = 2;
    rn_send(ch, v);
}

static int run_pair(void)
{
    uint64_t a = 0, b = 0;

    ch = rn_chan_make(uint64_t, 0);
    rn_go(send_two);
    rn_recv_ok(ch, &a);
    rn_recv_ok(ch, &b);
    explore_write(&a, sizeof a);
    rn_chan_release(ch);
    return (int)(a * 10 + b);
}

EXPLORE(park_and_ready, .preemptions = 1, .stale = 1, .random_runs = 1500,
        .breaks = {{"rn__ready", "load_acquire", 0}, {"arrived", "store_release", 0}})
{
    EXPECT(rn_run(run_pair) == 12);
    EXPECT(explore_allocated() == 0);
}

/* Yields send a goroutine through the queue, from where the other worker may take it. */
static void yield_some(void)
{
    uint64_t v = 0;

    for (int i = 0; i < 2; i++) {
        explore_write(&v, sizeof v);
        v++;
        rn_yield();
    }
    rn_wg_done(&wg);
}

static int run_yields(void)
{
    wg = (rn_wg){0};
    rn_wg_add(&wg, 2);
    rn_go(yield_some);
    rn_go(yield_some);
    rn_wg_wait(&wg);
    return 0;
}

EXPLORE(yields, .preemptions = 1, .stale = 0, .random_runs = 1500)
{
    rn_run(run_yields);
    EXPECT(explore_allocated() == 0);
}

/* ---- Idle: submit against going to sleep ---------------------------------------------------------------------- */

/* A thread that is no worker starts goroutines and wakes one that waits, while the workers are idle or about to be. */
static void count_one(void)
{
    rn_send(ch, 1);
}

static void submit(void *arg)
{
    (void)arg;
    rn_go(count_one);
    rn_go(count_one);
}

static int submitter;

static int run_submitted(void)
{
    uint64_t v, total = 0;
    int64_t began = explore_now();

    submitter = explore_start(submit, NULL);
    for (int i = 0; i < 2; i++) {
        rn_recv_ok(ch, &v);
        total += v;
    }
    /* Time moves only when nobody can go on: somebody has slept over the work, until the monitor saw it. */
    EXPECT(explore_now() == began);
    (void)rn_blocking((explore_join(submitter),
                       0)); /* it is still inside the runtime, which must not go before */
    return (int)total;
}

EXPLORE(submit_against_sleep, .preemptions = 1, .stale = 0, .random_runs = 1500)
{
    ch = rn_chan_make(uint64_t, 2);
    EXPECT(rn_run(run_submitted) == 2);
    rn_chan_release(ch);
    EXPECT(explore_allocated() == 0);
}

/* The same with one goroutine, which is shorter, so that the one store that must be late is late in more of the runs. */
static void submit_one(void *arg)
{
    (void)arg;
    rn_go(count_one);
}

static int run_submitted_one(void)
{
    uint64_t v = 0;
    int64_t began = explore_now();

    submitter = explore_start(submit_one, NULL);
    rn_recv_ok(ch, &v);
    EXPECT(explore_now() == began);
    (void)rn_blocking((explore_join(submitter), 0));
    return (int)v;
}

EXPLORE(submit_one_against_sleep, .preemptions = 1, .stale = 1, .random_runs = 4000,
        .breaks = {{"rn__inject", "fence_seq_cst", 0}})
{
    ch = rn_chan_make(uint64_t, 2);
    EXPECT(rn_run(run_submitted_one) == 1);
    rn_chan_release(ch);
    EXPECT(explore_allocated() == 0);
}

/* The same without a wait for the thread: the runtime ends while it is still inside a call. */
static int run_and_leave(void)
{
    uint64_t v, total = 0;

    explore_start(submit, NULL);
    for (int i = 0; i < 2; i++) {
        rn_recv_ok(ch, &v);
        total += v;
    }
    return (int)total;
}

EXPLORE(end_against_submit, .preemptions = 1, .stale = 0, .random_runs = 1500)
{
    ch = rn_chan_make(uint64_t, 2);
    EXPECT(rn_run(run_and_leave) == 2);
    explore_join_all();
    rn_chan_release(ch);
    EXPECT(explore_allocated() == 0);
}

/* A thread counts a group to zero on which a goroutine waits alone, while the runtime ends: one of the two has it. */
static void count_down(void *arg)
{
    (void)arg;
    rn_wg_done(&wg);
}
static void wait_alone_there(void)
{
    rn_wg_wait(&wg);
}
static int run_and_leave_it(void)
{
    rn_go(wait_alone_there);
    rn_yield();
    explore_start(count_down, NULL);
    return 4;
}

EXPLORE(end_against_wg, .preemptions = 1, .stale = 0, .random_runs = 4000)
{
    wg = (rn_wg){0};
    rn_wg_add(&wg, 1);
    EXPECT(rn_run(run_and_leave_it) == 4);
    explore_join_all();
    EXPECT(wg.rn__state == 0);
    EXPECT(explore_allocated() == 0);
}

/* ---- Timers: arm against the keeper's sleep --------------------------------------------------------------------- */

static int run_sleep(void)
{
    rn_sleep(1000);
    return 3;
}

EXPLORE(sleep_alone, .preemptions = 1, .stale = 1, .random_runs = 1000)
{
    EXPECT(rn_run(run_sleep) == 3);
    EXPECT(explore_allocated() == 0);
}

/* A thread that is no worker arms a timer, while the last idle worker goes to sleep until the first of all. */
static void arm(void *arg)
{
    (void)arg;
    rn_go_after(1000, count_one);
}

static int armer;

static int run_armed(void)
{
    uint64_t v = 0;
    int64_t began = explore_now();

    armer = explore_start(arm, NULL);
    rn_recv_ok(ch, &v);
    EXPECT(explore_now() <= began + 1000); /* not only when the monitor looked */
    (void)rn_blocking((explore_join(armer), 0));
    return (int)v;
}

EXPLORE(arm_against_keeper, .preemptions = 1, .stale = 0, .random_runs = 2000,
        .breaks = {{"rn__timer_wake", "fence_seq_cst", 0}, {"idle_wait", "fence_seq_cst", 0}})
{
    ch = rn_chan_make(uint64_t, 1);
    EXPECT(rn_run(run_armed) == 1);
    rn_chan_release(ch);
    EXPECT(explore_allocated() == 0);
}

/* ---- Blocking calls ------------------------------------------------------------------------------------------------ */

static int run_blocking(void)
{
    uint64_t v = 0;

    ch = rn_chan_make(uint64_t, 1);
    rn_go(count_one);
    (void)rn_blocking((explore_relax(), 0));
    rn_recv_ok(ch, &v);
    rn_chan_release(ch);
    return (int)v;
}

EXPLORE(blocking, .preemptions = 1, .stale = 0, .random_runs = 1000)
{
    EXPECT(rn_run(run_blocking) == 1);
    EXPECT(explore_allocated() == 0);
}

/* Two goroutines in C calls at once, two processors: whoever comes back waits for one on its own thread. */
static void block_and_send(void)
{
    (void)rn_blocking((explore_relax(), 0));
    rn_send(ch, 1);
}

static int run_blocking_more(void)
{
    uint64_t v = 0, total = 0;

    ch = rn_chan_make(uint64_t, 0);
    for (int i = 0; i < 2; i++)
        rn_go(block_and_send);
    for (int i = 0; i < 2; i++) {
        rn_recv_ok(ch, &v);
        total += v;
    }
    rn_chan_release(ch);
    return (int)total;
}

EXPLORE(blocking_more, .preemptions = 0, .stale = 0, .random_runs = 1500)
{
    EXPECT(rn_run(run_blocking_more) == 2);
    EXPECT(explore_allocated() == 0);
}

/* ---- Goroutines of a thread ------------------------------------------------------------------------------------------ */

static void locked(void)
{
    int before, after;

    rn_lock_thread();
    before = explore_self();
    rn_yield();
    rn_send(ch, 1);
    after = explore_self();
    EXPECT(before == after);
    rn_unlock_thread();
}

static int run_locked_one(void)
{
    uint64_t v = 0;

    ch = rn_chan_make(uint64_t, 0);
    rn_go(locked);
    rn_recv_ok(ch, &v);
    rn_chan_release(ch);
    return (int)v;
}

EXPLORE(locked_thread, .preemptions = 1, .stale = 0, .random_runs = 1000)
{
    EXPECT(rn_run(run_locked_one) == 1);
    EXPECT(explore_allocated() == 0);
}

/* ---- Tickets ---------------------------------------------------------------------------------------------------------- */

static rn_ticket ticket;

static void ready_it(void)
{
    rn_ready(&ticket);
}

static int run_ticket(void)
{
    rn_park_init(&ticket);
    rn_go(ready_it);
    rn_park(&ticket);
    return 5;
}

EXPLORE(ticket_park, .preemptions = 1, .stale = 0, .random_runs = 1000)
{
    EXPECT(rn_run(run_ticket) == 5);
    EXPECT(explore_allocated() == 0);
}

/* ---- Wake-ups between goroutines of both processors --------------------------------------------------------------------- */

static rn_mutex mutex;
static uint64_t guarded;

static void lock_some(void)
{
    for (int i = 0; i < 2; i++) {
        rn_mutex_lock(&mutex);
        explore_write(&guarded, 8);
        guarded++;
        rn_mutex_unlock(&mutex);
    }
    rn_wg_done(&wg);
}

static int run_mutex(void)
{
    mutex = (rn_mutex){0};
    wg = (rn_wg){0};
    guarded = 0;
    rn_wg_add(&wg, 3);
    for (int i = 0; i < 3; i++)
        rn_go(lock_some);
    rn_wg_wait(&wg);
    return (int)guarded;
}

EXPLORE(goroutines_lock, .preemptions = 1, .stale = 0, .random_runs = 1000)
{
    EXPECT(rn_run(run_mutex) == 6);
    EXPECT(explore_allocated() == 0);
}

/* ---- The monitor takes a processor ----------------------------------------------------------------------------------- */

/*
 * The library's own monitor, eager, against a goroutine that computes between two entries: time passes there, so that the
 * monitor comes, and the entries use the processor, whose queues a second worker may have by then. monitor.c has the
 * same protocol as a model, which can be searched further.
 */
static int run_computing(void)
{
    uint64_t v, total = 0;

    rn_sleep(1000); /* the monitor's thread has begun, and sleeps too */
    for (int i = 0; i < 2; i++) {
        explore_advance(
            2000000); /* more than a tick, and less than the monitor takes for a pause */
        rn_go(count_one);
    }
    for (int i = 0; i < 2; i++) {
        rn_recv_ok(ch, &v);
        total += v;
    }
    return (int)total;
}

EXPLORE(taken_while_computing, .preemptions = 1, .stale = 1, .random_runs = 3000)
{
    rn_set_procs(1);
    rn__monitor_eager = 1;
    ch = rn_chan_make(uint64_t, 2);
    EXPECT(rn_run(run_computing) == 2);
    rn_chan_release(ch);
    rn__monitor_eager = 0;
    rn_set_procs(0);
    EXPECT(explore_allocated() == 0);
}

/* ---- One processor gets company ------------------------------------------------------------------------------------ */

extern int explore_cpus;
static uint32_t ran; /* atomic */

static void run_once(void)
{
    rn_yield();
    add_relaxed(&ran, 1);
    rn_wg_done(&wg);
}

static int run_with_company(void)
{
    wg = (rn_wg){0};
    rn_wg_add(&wg, 3);
    explore_cpus = 2;
    explore_advance(INT64_C(2000000000));
    for (int i = 0; i < 3; i++)
        rn_go(run_once);
    rn_yield();
    rn_wg_wait(&wg);
    return (int)load_relaxed(&ran);
}

/* The only holder takes tasks as nobody else does, until there may be others: none is taken twice, and none is lost. */
EXPLORE(company, .preemptions = 1, .stale = 1, .random_runs = 12000)
{
    ran = 0;
    explore_cpus = 1;
    EXPECT(rn_run(run_with_company) == 3);
    explore_cpus = 2;
    EXPECT(explore_allocated() == 0);
}

/* ---- Who waits for whom ------------------------------------------------------------------------------------------------- */

static rn_mutex pair[2];
static uint32_t looked, found; /* atomic */

static void look_for_circle(struct g *g)
{
    struct lock_wait wait[CIRCLE_MAX];
    struct lock_search search;
    unsigned n = rn__lock_circle(g->rt, g, true, &search, wait);

    EXPECT(n == 0 || n == 2);
    if (n)
        add_relaxed(&found, 1);
    if (add_acq_rel(&looked, 1) == 1)
        rn_ready(&ticket);
}

/* Each has one and wants the other: of two that come to wait at the same time one sees it. */
static void lock_crosswise(int i)
{
    rn_mutex_lock(&pair[i]);
    rn_wg_done(&wg);
    rn_wg_wait(&wg);
    rn_mutex_lock(&pair[1 - i]);
    rn_mutex_unlock(&pair[1 - i]);
    if (i == 1)
        rn_mutex_unlock(&pair[i]);
}

static int run_crosswise(void)
{
    pair[0] = pair[1] = (rn_mutex){0};
    wg = (rn_wg){0};
    looked = found = 0;
    rn_park_init(&ticket);
    rn_wg_add(&wg, 2);
    rn_go(lock_crosswise, 0);
    rn_go(lock_crosswise, 1);
    rn_park(&ticket);
    EXPECT(load_relaxed(&found) > 0);
    rn_mutex_unlock(&pair[0]); /* for the one that has it */
    (void)rn_settle(RN_MINUTE);
    return 7;
}

EXPLORE(locked_crosswise, .preemptions = 0, .stale = 0, .random_runs = 1500,
        .breaks = {{"rn__lock_circle", "fence_seq_cst", 0}})
{
    rn__lock_watch = look_for_circle;
    EXPECT(rn_run(run_crosswise) == 7);
    rn__lock_watch = NULL;
    EXPECT(explore_allocated() == 0);
}

/* In one order, nobody is ever seen in a circle, though each may wait for the other. */
static void no_circle(struct g *g)
{
    struct lock_wait wait[CIRCLE_MAX];
    struct lock_search search;

    EXPECT(rn__lock_circle(g->rt, g, true, &search, wait) == 0);
}

static void lock_in_order(void)
{
    for (int i = 0; i < 2; i++) {
        rn_mutex_lock(&pair[0]);
        rn_mutex_lock(&pair[1]);
        rn_mutex_unlock(&pair[0]);
        rn_mutex_unlock(&pair[1]);
    }
    rn_wg_done(&wg);
}

static int run_in_order(void)
{
    pair[0] = pair[1] = (rn_mutex){0};
    wg = (rn_wg){0};
    rn_wg_add(&wg, 3);
    for (int i = 0; i < 3; i++)
        rn_go(lock_in_order);
    rn_wg_wait(&wg);
    return 7;
}

EXPLORE(locked_in_order, .preemptions = 0, .stale = 0, .random_runs = 1500)
{
    rn__lock_watch = no_circle;
    EXPECT(rn_run(run_in_order) == 7);
    rn__lock_watch = NULL;
    EXPECT(explore_allocated() == 0);
}
