/* SPDX-License-Identifier: MIT */
/*
 * chan.c - channels and select between plain threads, with the real chan.c, select.c and park: the lock is
 * handed over with what it guards, a channel may be freed at once by whoever was made to return, and a select is
 * decided once.
 */
#include <runnel.h>

#include "explorer.h"

#include "chan/chan.h"
#include "explore.h"

typedef rn_chan(uint64_t) chan64;

static chan64 ch, other;
static uint64_t stores_of[4];

static void send(void *arg)
{
    rn_send(ch, (uint64_t)(uintptr_t)arg);
}

static void nothing_left(void)
{
    EXPECT(explore_allocated() == 0);
}

/* One value from one thread to another, and the memory that it stands for. */
static void send_made(void *arg)
{
    (void)arg;
    stores_of[0] = 7;
    explore_write(&stores_of[0], 8);
    rn_send(ch, 1);
}

EXPLORE(chan_hands_over, .preemptions = 2, .stale = 1, .random_runs = 3000,
        .breaks = {{"spin_try", "cas_acquire", 0}, {"rn__chan_unlock_seen", "store_release", 0}})
{
    uint64_t v = 0;

    ch = rn_chan_make(uint64_t, 0);
    stores_of[0] = 0;
    explore_start(send_made, NULL);
    EXPECT(rn_recv_ok(ch, &v));
    EXPECT(v == 1);
    explore_read(&stores_of[0], 8);
    EXPECT(stores_of[0] == 7);
    explore_join_all();
    rn_chan_release(ch);
    nothing_left();
}

/* The same through a buffer. */
EXPLORE(chan_buffer, .preemptions = 2, .stale = 1, .random_runs = 3000)
{
    uint64_t v = 0, w = 0;

    ch = rn_chan_make(uint64_t, 1);
    explore_start(send, (void *)1);
    explore_start(send, (void *)2);
    EXPECT(rn_recv_ok(ch, &v));
    EXPECT(rn_recv_ok(ch, &w));
    EXPECT(v + w == 3 && v != w);
    explore_join_all();
    rn_chan_release(ch);
    nothing_left();
}

/* What was made before the close is there for who finds the channel closed, though no lock is taken for that. */
static void close_made(void *arg)
{
    (void)arg;
    stores_of[0] = 7;
    explore_write(&stores_of[0], 8);
    rn_close(ch);
}

EXPLORE(chan_closed_hands_over, .preemptions = 2, .stale = 1, .random_runs = 3000,
        .breaks = {{"chan_is_closed", "load_acquire", 0}, {"spin_unlock_with", "store_release", 0}})
{
    uint64_t v = 1;

    ch = rn_chan_make(uint64_t, 1);
    rn_send(ch, 5);
    stores_of[0] = 0;
    explore_start(close_made, NULL);
    EXPECT(rn_recv_ok(ch, &v) && v == 5);
    EXPECT(!rn_recv_ok(ch, &v) && v == 0);
    explore_read(&stores_of[0], 8);
    EXPECT(stores_of[0] == 7);
    explore_join_all();
    rn_chan_release(ch);
    nothing_left();
}

/* Whoever's receive returned because of close may free: close touches the channel no more. */
static void close_it(void *arg)
{
    (void)arg;
    rn_close(ch);
}

/* D6: whoever was woken by close may free. */
EXPLORE(chan_free_after_close, .preemptions = 3, .stale = 1, .random_runs = 5000,
        .breaks = {{"spin_unlock_with", "store_release", 0}})
{
    uint64_t v = 0;

    ch = rn_chan_make(uint64_t, 0);
    explore_start(close_it, NULL);
    EXPECT(!rn_recv_ok(ch, &v));
    rn_chan_release(ch);
    nothing_left();
    explore_join_all();
}

/* The sender, once its call has returned, frees; the receiver that let it go may still be returning. */
static void send_and_release(void *arg)
{
    (void)arg;
    rn_send(ch, 5);
    rn_chan_release(ch);
}

/* D6: so may whoever has sent the last value. */
EXPLORE(chan_free_after_send, .preemptions = 3, .stale = 1, .random_runs = 5000)
{
    uint64_t v = 0;

    ch = rn_chan_make(uint64_t, 0);
    explore_start(send_and_release, NULL);
    EXPECT(rn_recv_ok(ch, &v));
    EXPECT(v == 5);
    explore_join_all();
    nothing_left();
}

/* D6: whoever sees it closed may free, too. */
EXPLORE(chan_free_seen_closed, .preemptions = 3, .stale = 1, .random_runs = 5000)
{
    uint64_t v = 0;
    bool ok = true;

    ch = rn_chan_make(uint64_t, 0);
    explore_start(close_it, NULL);
    while (!rn_try_recv_ok(ch, &v, &ok))
        explore_relax();
    EXPECT(!ok);
    rn_chan_release(ch);
    nothing_left();
    explore_join_all();
}

/* Two receivers wait, close wakes both; the last to return frees. */
static uint32_t returned;
static void receive_and_free(void *arg)
{
    uint64_t v = 1;
    static struct explore_site site = {"add_acq_rel",   "test", __FILE__, 0,
                                       EXPLORE_ACQ_REL, 0,      0,        0};

    (void)arg;
    EXPECT(!rn_recv_ok(ch, &v));
    EXPECT(v == 0);
    if (explore_rmw(&site, &returned, 4, EXPLORE_ADD, 1) == 1)
        rn_chan_release(ch);
}

EXPLORE(chan_close_wakes_all, .preemptions = 2, .stale = 1, .random_runs = 5000)
{
    returned = 0;
    ch = rn_chan_make(uint64_t, 0);
    explore_start(receive_and_free, NULL);
    explore_start(receive_and_free, NULL);
    rn_close(ch);
    explore_join_all();
    nothing_left();
}

/* D6: the receiver of the one value frees; the sender's call may still be returning. */
EXPLORE(chan_free_after_receive, .preemptions = 3, .stale = 1, .random_runs = 5000)
{
    uint64_t v = 0;

    ch = rn_chan_make(uint64_t, 0);
    explore_start(send, (void *)5);
    EXPECT(rn_recv_ok(ch, &v));
    EXPECT(v == 5);
    rn_chan_release(ch);
    nothing_left();
    explore_join_all();
}

/* The last reference goes with whoever gives it up last. */
static void release_it(void *arg)
{
    (void)arg;
    rn_send(ch, 3);
    rn_chan_release(ch);
}

/* D7: who counts gives up one of two. */
EXPLORE(chan_last_reference, .preemptions = 3, .stale = 1, .random_runs = 5000,
        .breaks = {{"rn__chan_release", "sub_acq_rel", 0}, {"rn__chan_release", "load_acquire", 0}})
{
    uint64_t v = 0;

    ch = rn_chan_make(uint64_t, 1);
    (void)rn_chan_retain(ch);
    explore_start(release_it, NULL);
    EXPECT(rn_recv_ok(ch, &v));
    EXPECT(v == 3);
    rn_chan_release(ch);
    explore_join_all();
    nothing_left();
}

/* A try glances without the lock: closed and empty is not missed, a value before a close is not either. */
static void send_and_close(void *arg)
{
    (void)arg;
    rn_send(ch, 9);
    rn_close(ch);
}

EXPLORE(chan_try_against_close, .preemptions = 3, .stale = 2, .random_runs = 5000)
{
    uint64_t v = 0, w = 0;
    bool ok = true, got_one = false;

    ch = rn_chan_make(uint64_t, 1);
    explore_start(send_and_close, NULL);
    for (int i = 0; i < 2; i++) {
        if (rn_try_recv_ok(ch, &v, &ok)) {
            EXPECT(ok == !got_one);
            EXPECT(ok ? v == 9 : v == 0);
            got_one = true;
        }
    }
    explore_join_all();
    if (!got_one) {
        EXPECT(rn_try_recv_ok(ch, &w, &ok));
        EXPECT(ok && w == 9);
    }
    rn_chan_release(ch);
    nothing_left();
}

/* ---- Select --------------------------------------------------------------------------------------------- */

static int chosen;
static uint64_t from_a, from_b;
static bool ok_a, ok_b;

static void select_two(void *arg)
{
    rn_case cases[2] = {rn_on_recv_ok(ch, &from_a, &ok_a), rn_on_recv_ok(other, &from_b, &ok_b)};

    (void)arg;
    from_a = from_b = 77;
    chosen = rn_select_array(cases, 2);
    explore_write(cases, sizeof cases); /* they are ours again */
}

static void close_other(void *arg)
{
    (void)arg;
    rn_close(other);
}

/* Close and a send want to decide the same select: one of them does; the other's channel keeps what it has. */
EXPLORE(select_close_against_send, .preemptions = 2, .stale = 1, .random_runs = 8000,
        .breaks = {{"rn__chan_unlock_seen", "store_release", 0}})
{
    ch = rn_chan_make(uint64_t, 1);
    other = rn_chan_make(uint64_t, 0);
    explore_start(select_two, NULL);
    explore_start(close_other, NULL);
    rn_send(ch, 4);
    explore_join_all();
    if (chosen == 0) {
        EXPECT(ok_a && from_a == 4 && from_b == 77);
        EXPECT(rn_len(ch) == 0);
    } else {
        EXPECT(chosen == 1 && !ok_b && from_b == 0 && from_a == 77);
        EXPECT(rn_len(ch) == 1);
    }
    rn_chan_release(ch);
    rn_chan_release(other);
    nothing_left();
}

/* Two closes at once: the select that was decided by one takes its waiter off the other by itself. */
static void close_first(void *arg)
{
    (void)arg;
    rn_close(ch);
}

EXPLORE(select_two_closes, .preemptions = 2, .stale = 1, .random_runs = 8000,
        .breaks = {{"chan_dequeue", "store_release", 0}, {"leave_queues", "load_acquire", 0}})
{
    ch = rn_chan_make(uint64_t, 0);
    other = rn_chan_make(uint64_t, 0);
    explore_start(close_first, NULL);
    explore_start(close_other, NULL);
    select_two(NULL);
    EXPECT(chosen == 0 ? !ok_a && from_a == 0 && from_b == 77
                       : !ok_b && from_b == 0 && from_a == 77);
    explore_join_all();
    rn_chan_release(ch);
    rn_chan_release(other);
    nothing_left();
}

/* The winner's channel may be freed once the other side's call has returned, also while the select does. */
static void close_and_free(void *arg)
{
    (void)arg;
    rn_close(other);
    rn_chan_release(other);
}

/* D7: of a select. */
EXPLORE(select_free_winner, .preemptions = 3, .stale = 1, .random_runs = 8000)
{
    ch = rn_chan_make(uint64_t, 0);
    other = rn_chan_make(uint64_t, 0);
    (void)rn_chan_retain(other);
    explore_start(close_and_free, NULL);
    select_two(NULL);
    EXPECT(chosen == 1 && !ok_b);
    rn_chan_release(other);
    rn_chan_release(ch);
    explore_join_all();
    nothing_left();
}

/* A select that waits twice on its winning channel: the sender's call returned, so the channel may go. */
static void send_and_free(void *arg)
{
    (void)arg;
    rn_send(ch, 3);
    rn_chan_release(ch);
}

/* D7: nothing of it is left behind. */
EXPLORE(select_twice_on_one, .preemptions = 3, .stale = 1, .random_runs = 5000)
{
    rn_case cases[2];

    from_a = from_b = 0;
    ch = rn_chan_make(uint64_t, 0);
    cases[0] = rn_on_recv_ok(ch, &from_a, &ok_a);
    cases[1] = rn_on_recv_ok(ch, &from_b, &ok_b);
    explore_start(send_and_free, NULL);
    chosen = rn_select_array(cases, 2);
    EXPECT(from_a + from_b == 3);
    explore_join_all();
    nothing_left();
}

/* Two selects, each to send on one and receive on the other: exactly one pair comes about, or both. */
static int chosen_1, chosen_2;
static void select_send(void *arg)
{
    uint64_t v = 0;

    (void)arg;
    chosen_1 = rn_select(rn_on_send(ch, 1), rn_on_recv(other, &v));
    EXPECT(chosen_1 == 0 || v == 2);
}

EXPLORE(select_against_select, .preemptions = 2, .stale = 1, .random_runs = 8000)
{
    uint64_t v = 0;

    ch = rn_chan_make(uint64_t, 0);
    other = rn_chan_make(uint64_t, 0);
    explore_start(select_send, NULL);
    chosen_2 = rn_select(rn_on_send(other, 2), rn_on_recv(ch, &v));
    EXPECT(chosen_2 == 0 || v == 1);
    explore_join_all();
    EXPECT(chosen_1 != chosen_2);
    rn_chan_release(ch);
    rn_chan_release(other);
    nothing_left();
}
