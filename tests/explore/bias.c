/* SPDX-License-Identifier: MIT */
/*
 * bias.c - channels that are one processor's (src/chan/bias.h), with the real chan.c and select.c, between threads that hold
 * processors as workers do, and others: an operation by bias and one by lock exclude each other, and each takes over what the
 * other has left. The race detector sees to both: all that a channel is made of is plain, but for its count.
 */
#include <runnel.h>

#include "explorer.h"

#include "chan/bias.h"
#include "explore.h"

typedef rn_chan(uint64_t) chan64;

static chan64 ch, other;
static struct proc procs[2], later_procs[1];
static struct rt rt, later;
static struct worker *first; /* the first thread's */

static bool biased(chan64 c)
{
    return chan_is_biased((const struct chan *)(const void *)c);
}

/* Two runtimes' processors, one after the other; those of one index have one bias. */
static void begin(void)
{
    memset(procs, 0, sizeof procs);
    memset(later_procs, 0, sizeof later_procs);
    rt.procs = procs;
    rt.room = 2;
    later.procs = later_procs;
    later.room = 1;
    for (uint32_t i = 0; i < 2; i++) {
        procs[i].index = i;
        rn__bias_begin(&rt, &procs[i]);
    }
    rn__bias_begin(&later, &later_procs[0]);
    first = worker_self();
    store_relaxed(&first->proc, &procs[0]);
}

static void end(void)
{
    explore_join_all();
    store_relaxed(&first->proc, NULL);
    rn_chan_release(ch);
    if (other)
        rn_chan_release(other);
    other = NULL;
    EXPECT(explore_allocated() == 0);
}

/* A channel of the first thread's processor. */
static chan64 make_biased(int64_t cap)
{
    chan64 c = rn_chan_make(uint64_t, cap);
    uint64_t v = 0;

    rn__chan_bias_after = 1;
    for (uint64_t i = 0; i < 4 && !biased(c); i++) {
        rn_send(c, i);
        EXPECT(rn_recv_ok(c, &v) && v == i);
    }
    rn__chan_bias_after = UINT32_MAX;
    EXPECT(biased(c));
    return c;
}

static void receive_two(void *arg)
{
    uint64_t v = 0, w = 0;

    (void)arg;
    EXPECT(rn_recv_ok(ch, &v));
    EXPECT(rn_recv_ok(ch, &w));
    EXPECT(v == 1 && w == 2);
    EXPECT(!biased(ch));
}

/* A thread without a processor takes the channel away from one that is about to use it, or is at it. */
EXPLORE(bias_taken_away, .preemptions = 2, .stale = 1, .random_runs = 4000,
        .breaks = {{"bias_leave_kept", "store_release", 0}, {"is_at", "load_acquire", 0}})
{
    begin();
    ch = make_biased(2);
    explore_start(receive_two, NULL);
    rn_send(ch, 1);
    rn_send(ch, 2);
    end();
}

/* The same with hand-offs: who waits was queued by bias, and is served by lock, or the other way round. */
EXPLORE(bias_hands_over, .preemptions = 2, .stale = 1, .random_runs = 4000)
{
    begin();
    ch = make_biased(1);
    explore_start(receive_two, NULL);
    rn_send(ch, 1);
    rn_send(ch, 2);
    end();
}

static void send_two(void *arg)
{
    (void)arg;
    rn_send(ch, 1);
    rn_send(ch, 2);
}

EXPLORE(bias_waits, .preemptions = 2, .stale = 1, .random_runs = 4000)
{
    begin();
    ch = make_biased(1);
    explore_start(send_two, NULL);
    receive_two(NULL);
    end();
}

/* The holder goes from one of its channels to another; busy then says nothing of the first. */
static void receive_one(void *arg)
{
    uint64_t v = 0;

    (void)arg;
    EXPECT(rn_recv_ok(ch, &v) && v == 1);
}

EXPLORE(bias_of_two, .preemptions = 3, .stale = 2, .random_runs = 8000,
        .breaks = {{"bias_enter_first", "store_release", 0}})
{
    begin();
    ch = make_biased(1);
    other = make_biased(1);
    explore_start(receive_one, NULL);
    rn_send(ch, 1);
    rn_send(other, 2);
    end();
}

/* A select by bias of both. */
static void send_to_other(void *arg)
{
    (void)arg;
    rn_send(other, 7);
}

EXPLORE(bias_select, .preemptions = 2, .stale = 1, .random_runs = 8000)
{
    uint64_t v = 0, w = 0;
    int chosen;

    begin();
    ch = make_biased(1);
    other = make_biased(1);
    explore_start(send_to_other, NULL);
    chosen = rn_select(rn_on_recv(ch, &v), rn_on_recv(other, &w));
    EXPECT(chosen == 1 && w == 7);
    end();
}

/* It has waited on both, and takes itself off the one that did not win by bias, or by lock where that is taken away. */
static void send_to_both(void *arg)
{
    (void)arg;
    rn_send(ch, 1);
    rn_send(other, 2);
}

EXPLORE(bias_leaves_a_select, .preemptions = 2, .stale = 1, .random_runs = 8000)
{
    uint64_t v = 0, w = 0;

    begin();
    ch = make_biased(1);
    other = make_biased(1);
    explore_start(send_to_both, NULL);
    if (rn_select(rn_on_recv(ch, &v), rn_on_recv(other, &w)) == 0)
        EXPECT(rn_recv_ok(other, &w));
    else
        EXPECT(rn_recv_ok(ch, &v));
    EXPECT(v == 1 && w == 2);
    end();
}

/* A select of a thread's takes both away, with one fence. */
static void select_both(void *arg)
{
    uint64_t v = 0, w = 0;

    (void)arg;
    while (v + w < 3)
        (void)rn_select(rn_on_recv(ch, &v), rn_on_recv(other, &w));
}

EXPLORE(bias_taken_in_a_select, .preemptions = 2, .stale = 1, .random_runs = 8000)
{
    begin();
    ch = make_biased(1);
    other = make_biased(1);
    explore_start(select_both, NULL);
    rn_send(ch, 1);
    rn_send(other, 2);
    end();
}

/* Two threads of one runtime, each with its processor: who takes it away, and has it for a while, may have its own bias. */
static void use_biased(void *arg)
{
    uint64_t v = 0;

    (void)arg;
    store_relaxed(&worker_self()->proc, &procs[1]);
    for (uint64_t i = 3; i < 5; i++)
        rn_send(ch, i);
    EXPECT(rn_recv_ok(ch, &v));
    store_relaxed(&worker_self()->proc, NULL);
}

EXPLORE(bias_goes_over, .preemptions = 2, .stale = 1, .random_runs = 8000)
{
    uint64_t v = 0;

    begin();
    ch = make_biased(4);
    rn__chan_bias_after = 1;
    explore_start(use_biased, NULL);
    rn_send(ch, 1);
    EXPECT(rn_recv_ok(ch, &v));
    end();
    rn__chan_bias_after = UINT32_MAX;
}

/* Its processor is taken from the first thread and given to another while the first makes the channel its own. */
static void take_processor(void *arg)
{
    uint64_t v = 0;
    bool outside;

    (void)arg;
    or_acq_rel(&first->attention, ATTEND_STEALING); /* M6 */
    explore_membarrier();
    outside = !(load_acquire(&first->entry) & 1); /* M7 */
    if (outside)
        store_relaxed(&first->proc, NULL);                      /* M8 */
    and_acq_rel(&first->attention, ~(uint32_t)ATTEND_STEALING); /* M9 */
    if (outside)
        store_relaxed(&worker_self()->proc, &procs[0]);
    EXPECT(rn_recv_ok(ch, &v) && v == 1);
    store_relaxed(&worker_self()->proc, NULL);
}

EXPLORE(bias_processor_taken, .preemptions = 3, .stale = 2, .random_runs = 8000,
        .breaks = {{"bias_is", "load_acquire", 0}})
{
    uint64_t v = 0;

    begin();
    ch = rn_chan_make(uint64_t, 2);
    rn__chan_bias_after = 1;
    first->chan_turn = UINT8_MAX; /* the next operation is looked at */
    rn_send(ch, 0);
    EXPECT(rn_recv_ok(ch, &v));
    first->chan_turn = UINT8_MAX;
    EXPECT(!biased(ch));
    explore_start(take_processor, NULL);
    rn_send(ch, 1);
    rn_send(ch, 2);
    end();
    rn__chan_bias_after = UINT32_MAX;
}

/* The first thread is left behind with its processor by the end of its runtime; the next one has the bias. */
static void begin_anew(void *arg)
{
    uint64_t v = 0;

    (void)arg;
    rn__bias_end(&rt);
    while (!rn__bias_leave_behind(&rt, first))
        explore_relax();
    store_relaxed(&worker_self()->proc, &later_procs[0]);
    EXPECT(rn_recv_ok(ch, &v) && v == 1);
    EXPECT(rn_recv_ok(ch, &v) && v == 2);
    store_relaxed(&worker_self()->proc, NULL);
}

EXPLORE(bias_left_behind, .preemptions = 2, .stale = 1, .random_runs = 8000)
{
    begin();
    ch = make_biased(2);
    explore_start(begin_anew, NULL);
    rn_send(ch, 1);
    rn_send(ch, 2);
    end();
    store_relaxed(&first->attention, 0);
}
