/* SPDX-License-Identifier: MIT */
/*
 * stress.c - selects of many goroutines: fairness, one winner, no stale waiters, one instant.
 */
#define _GNU_SOURCE
#include "support.h"

#include <malloc.h>
#include <stdlib.h>

static void feed(rn_recv_only(rn_unit) done, rn_send_only(int) out, int value)
{
    while (rn_select(rn_on_send(out, value), rn_on_recv(done, NULL)) == 0)
        ;
}

/* SEL-13, F7: among several ready cases the choice is uniform, also behind cases that never are.
 * The bound is missed by chance once in a million times. */
GO_TEST(sel_13_fair)
{
    enum { TRIALS = 10000 };
    rn_chan(int) a = rn_chan_make(int, TRIALS + 1), b = rn_chan_make(int, TRIALS + 1);
    rn_chan(int) never = rn_chan_make(int, 0), nil = NULL;
    int count[2] = {0, 0};

    for (int i = 0; i <= TRIALS; i++) {
        rn_send(a, 0);
        rn_send(b, 1);
    }
    for (int i = 0; i < TRIALS; i++) {
        int value = -1;
        int at = rn_select(rn_on_recv(never, NULL), rn_on_recv(nil, NULL), rn_on_recv(a, &value),
                           rn_on_recv(b, &value));

        CHECK_EQ(at, value + 2);
        count[value]++;
    }
    CHECK(abs(count[0] - TRIALS / 2) <= 244); /* 4.891676 / (2 * sqrt(10000)) = 0.0244 of all */
    rn_chan_release(a);
    rn_chan_release(b);
    rn_chan_release(never);
}

/* SEL-13: three ready cases among five: each a third. */
GO_TEST(sel_13_fair_among_three)
{
    enum { TRIALS = 9000 };
    rn_chan(int) ready = rn_chan_make(int, 0), never = rn_chan_make(int, 0);
    int count[5] = {0};

    rn_close(ready);
    for (int i = 0; i < TRIALS; i++)
        count[rn_select(rn_on_recv(ready, NULL), rn_on_send(never, 1), rn_on_recv(ready, NULL),
                        rn_on_recv(never, NULL), rn_on_recv(ready, NULL))]++;
    CHECK(count[1] == 0 && count[3] == 0);
    for (int i = 0; i < 5; i += 2)
        CHECK(abs(count[i] - TRIALS / 3) < 220); /* 4.9 * sqrt(9000 * 2/9) */
    rn_chan_release(ready);
    rn_chan_release(never);
}

/* SEL-13: many ready cases, each with the same chance. */
GO_TEST(sel_13_fair_among_many)
{
    enum { CASES = 64, TRIALS = 100 * CASES };
    rn_chan(int) ready = rn_chan_make(int, 0);
    rn_case cases[CASES];
    int count[CASES] = {0};

    rn_close(ready);
    for (int i = 0; i < CASES; i++)
        cases[i] = rn_on_recv(ready, NULL);
    for (int i = 0; i < TRIALS; i++)
        count[rn_select_array(cases, CASES)]++;
    for (int i = 0; i < CASES; i++)
        CHECK(abs(count[i] - 100) <
              60); /* six times sqrt(100): missed about once in a million times */
    rn_chan_release(ready);
}

/* SEL-13 where the cases become ready while it waits: both sides are served. On one processor, where both
 * senders are back before the next select; on more, one may be on its way between two of them. */
GO_TEST_PROCS(sel_13_fair_between_senders, 1)
{
    rn_chan(int) a = rn_chan_make(int, 0), b = rn_chan_make(int, 0);
    rn_chan(rn_unit) done = rn_chan_make(rn_unit, 0);
    int count[2] = {0, 0}, n = test_times(10000);

    rn_go(feed, done, a, 0);
    rn_go(feed, done, b, 1);
    for (int i = 0; i < n; i++) {
        int value;

        (void)rn_select(rn_on_recv(a, &value), rn_on_recv(b, &value));
        count[value]++;
    }
    CHECK(n < 500 || (count[0] > n / 20 && count[1] > n / 20));
    rn_close(done);
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(a);
    rn_chan_release(b);
    rn_chan_release(done);
}

static void send_random(rn_send_only(int) out, int n)
{
    for (int i = 0; i < n; i++)
        (void)rn_select(rn_on_send(out, 0), rn_on_send(out, 1));
    rn_close(out);
}

/* SEL-14: two sends on one channel are both used. */
GO_TEST(sel_14_two_sends_on_one_channel)
{
    for (int cap = 0; cap <= 100; cap += 100) {
        rn_chan(int) ch = rn_chan_make(int, cap);
        int count[2] = {0, 0};

        rn_go(send_random, ch, 100);
        rn_range (value, ch)
            count[value]++;
        CHECK_EQ(count[0] + count[1], 100);
        CHECK(count[0] > 10 && count[1] > 10);
        rn_chan_release(ch);
    }
}

static void select_four(rn_wg *wg, rn_chan(int) * outs, int n)
{
    for (int i = 0; i < n; i++)
        (void)rn_select(rn_on_send(outs[0], i), rn_on_send(outs[1], i), rn_on_send(outs[2], i),
                        rn_on_send(outs[3], i));
    for (int i = 0; i < 4; i++)
        rn_close(outs[i]);
    rn_wg_done(wg);
}

static void merge(rn_wg *wg, rn_recv_only(int) in, rn_send_only(int) out)
{
    rn_range (value, in)
        rn_send(out, value);
    rn_wg_done(wg);
}

static void close_after(rn_wg *wg, rn_send_only(int) out)
{
    rn_wg_wait(wg);
    rn_close(out);
}

/* SEL-15, F5: exactly one case takes effect: no counter is delivered twice, none is lost. */
GO_TEST(sel_15_one_winner)
{
    int n = test_times(100000);
    char *seen = calloc((size_t)n, 1);
    rn_chan(int) outs[4], merged = rn_chan_make(int, 0);
    rn_wg wg = {0};
    int got = 0;

    CHECK(seen);
    rn_wg_add(&wg, 5);
    for (int i = 0; i < 4; i++) {
        outs[i] = rn_chan_make(int, 0);
        rn_go(merge, &wg, outs[i], merged);
    }
    rn_go(select_four, &wg, &outs[0], n);
    rn_go(close_after, &wg, merged);
    rn_range (value, merged) {
        CHECK(!seen[value]);
        seen[value] = 1;
        got++;
    }
    CHECK_EQ(got, n);
    test_expect_settled(__FILE__, __LINE__);
    for (int i = 0; i < 4; i++)
        rn_chan_release(outs[i]);
    rn_chan_release(merged);
    free(seen);
}

static _Atomic int served;

/* A channel twice, and one that wins. */
static void select_duplicate(rn_chan(int) c, rn_chan(int) d, bool sends)
{
    int at = sends ? rn_select(rn_on_send(c, 8), rn_on_recv(d, NULL), rn_on_send(c, 9))
                   : rn_select(rn_on_recv(c, NULL), rn_on_recv(d, NULL), rn_on_recv(c, NULL));

    CHECK_EQ(at, 1);
}

static void plain(rn_chan(int) ch, bool sends)
{
    if (sends)
        rn_send(ch, 2);
    else
        CHECK_EQ(rn_recv(ch), 2);
    served++;
}

/* SEL-16, SEL-17, F5: a channel twice in a select that another case wins leaves no entry behind, wherever in the
 * queue the select stood: two tries find the two real waiters at once, and a third finds nobody. */
GO_TEST(sel_16_17_no_stale_waiters)
{
    for (int round = 0; round < test_times(2000); round++) {
        rn_chan(int) c = rn_chan_make(int, 0), d = rn_chan_make(int, 0);
        bool sends = round / 3 % 2;
        int value = 0;

        served = 0;
        for (int i = 0; i < 3; i++) {
            uint64_t before = test_waits();

            if (i == round % 3)
                rn_go(select_duplicate, c, d, sends);
            else
                rn_go(plain, c, sends);
            AWAIT(test_waits() == before + 1);
        }
        rn_send(d, 1); /* the select goes this way */
        if (round / 6 % 2)
            rn_yield(); /* perhaps it has gone already */
        for (int i = 0; i < 2; i++)
            CHECK(sends ? rn_try_recv(c, &value) && value == 2 : rn_try_send(c, 2));
        CHECK(!rn_try_send(c, 3));
        CHECK(!rn_try_recv(c, &value));
        AWAIT(served == 2);
        test_expect_settled(__FILE__, __LINE__);
        rn_chan_release(c);
        rn_chan_release(d);
    }
}

static void send_or_receive(rn_chan(int) ch, int me, int n, bool rendezvous, rn_wg *wg)
{
    for (int i = 0; i < n; i++) {
        int value = -1;

        if (rn_select(rn_on_send(ch, me), rn_on_recv(ch, &value)) == 1 && rendezvous)
            CHECK(value != me);
    }
    rn_wg_done(wg);
}

/* SEL-18, SEL-19, F5: two goroutines that both send or receive on one channel come to an end; without
 * a buffer nobody meets itself. */
GO_TEST(sel_19_never_oneself)
{
    int n = test_times(1000) * 10;

    for (int cap = 0; cap <= 10; cap += 10) {
        rn_chan(int) ch = rn_chan_make(int, cap);
        rn_wg wg = {0};

        rn_wg_add(&wg, 2);
        rn_go(send_or_receive, ch, 0, n, cap == 0, &wg);
        rn_go(send_or_receive, ch, 1, n, cap == 0, &wg);
        rn_wg_wait(&wg);
        test_expect_settled(__FILE__, __LINE__);
        rn_chan_release(ch);
    }
}

static void must_be_ready(rn_chan(int) c1, rn_chan(int) c2, rn_wg *wg)
{
    if (rn_select(rn_on_recv(c1, NULL), rn_on_recv(c2, NULL), rn_default) == 2)
        FAIL("default, although one of the channels was ready at every moment");
    rn_wg_done(wg);
}

/* SEL-20, F6: a select with default sees all its channels at one instant. */
GO_TEST(sel_20_one_instant)
{
    for (int i = 0; i < test_times(100000); i++) {
        rn_chan(int) c1 = rn_chan_make(int, 1), c2 = rn_chan_make(int, 1);
        rn_wg wg = {0};

        rn_send(c1, 1);
        rn_wg_add(&wg, 1);
        rn_go(must_be_ready, c1, c2, &wg);
        rn_send(c2, 1);
        (void)rn_select(rn_on_recv(c1, NULL), rn_default);
        rn_wg_wait(&wg);
        rn_chan_release(c1);
        rn_chan_release(c2);
    }
}

/* SEL-20, F6: the same with readiness moved by close. */
GO_TEST(sel_20_one_instant_close)
{
    for (int i = 0; i < test_times(100000); i++) {
        rn_chan(int) c1 = rn_chan_make(int, 1), c2 = rn_chan_make(int, 0);
        rn_wg wg = {0};

        rn_send(c1, 1);
        rn_wg_add(&wg, 1);
        rn_go(must_be_ready, c1, c2, &wg);
        rn_close(c2);
        (void)rn_select(rn_on_recv(c1, NULL), rn_default);
        rn_wg_wait(&wg);
        rn_chan_release(c1);
        rn_chan_release(c2);
    }
}

/* ---- SEL-21: plain and select operations of 10 goroutines over 4 channels ----------------------- */

enum { CHANS = 4 };
static rn_chan(int) stress_chans[CHANS];

static void stress_send(rn_wg *wg, int k, int n)
{
    for (int i = 0; i < n; i++)
        rn_send(stress_chans[k], 0);
    rn_wg_done(wg);
}

static void stress_recv(rn_wg *wg, int k, int n)
{
    for (int i = 0; i < n; i++)
        (void)rn_recv(stress_chans[k]);
    rn_wg_done(wg);
}

/* n of each channel; a channel that has had its share becomes nil. */
static void stress_select(rn_wg *wg, bool send, int n)
{
    rn_chan(int) open[CHANS];
    int count[CHANS] = {0}, left = CHANS;

    for (int i = 0; i < CHANS; i++)
        open[i] = stress_chans[i];
    while (left > 0) {
        int at = send ? rn_select(rn_on_send(open[3], 0), rn_on_send(open[2], 0),
                                  rn_on_send(open[0], 0), rn_on_send(open[1], 0))
                      : rn_select(rn_on_recv(open[0], NULL), rn_on_recv(open[1], NULL),
                                  rn_on_recv(open[2], NULL), rn_on_recv(open[3], NULL));
        int which = send ? (int[]){3, 2, 0, 1}[at] : at;

        if (++count[which] == n) {
            open[which] = NULL;
            left--;
        }
    }
    rn_wg_done(wg);
}

/* SEL-21: nothing is lost, nobody waits for ever. */
GO_TEST(sel_21_no_deadlock)
{
    static const int caps[CHANS] = {0, 0, 2, 3};
    int n = test_times(100000);
    rn_wg wg = {0};

    for (int i = 0; i < CHANS; i++)
        stress_chans[i] = rn_chan_make(int, caps[i]);
    rn_wg_add(&wg, 2 * CHANS + 2);
    for (int i = 0; i < CHANS; i++) {
        rn_go(stress_send, &wg, i, n);
        rn_go(stress_recv, &wg, i, n);
    }
    rn_go(stress_select, &wg, true, n);
    rn_go(stress_select, &wg, false, n);
    rn_wg_wait(&wg);
    test_expect_settled(__FILE__, __LINE__);
    for (int i = 0; i < CHANS; i++) {
        CHECK_EQ(rn_len(stress_chans[i]), 0);
        rn_chan_release(stress_chans[i]);
    }
}

static void bounce(rn_recv_only(int) in, rn_send_only(int) out, rn_recv_only(int) never, int n)
{
    for (int i = 0; i < n; i++) {
        (void)rn_select(rn_on_recv(in, NULL), rn_on_recv(never, NULL));
        (void)rn_select(rn_on_send(out, i), rn_on_recv(never, NULL));
    }
}

/* SEL-26: selects on busy channels leave no memory behind; a select never allocates. */
GO_TEST(sel_26_no_memory)
{
    rn_chan(int) a = rn_chan_make(int, 0), b = rn_chan_make(int, 0), never = rn_chan_make(int, 0);
    struct mallinfo2 before, after;
    int n = test_times(100000);

    rn_go(bounce, a, b, never, 2 * n);
    for (int i = 0; i < 2 * n; i++) {
        if (i == n)
            before = mallinfo2();
        (void)rn_select(rn_on_send(a, i), rn_on_recv(never, NULL));
        (void)rn_select(rn_on_recv(never, NULL), rn_on_recv(b, NULL), rn_on_timeout(RN_HOUR));
    }
    after = mallinfo2();
    CHECK(test_is_slow() || after.uordblks < before.uordblks + 110 * 1024);
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(a);
    rn_chan_release(b);
    rn_chan_release(never);
}

static void select_private(rn_recv_only(int) shared, rn_recv_only(int) own)
{
    for (;;) {
        bool ok;

        (void)rn_select(rn_on_recv(shared, NULL), rn_on_recv_ok(own, NULL, &ok));
        if (!ok)
            return;
    }
}

/* What one wake-up takes, where so many selects wait on one channel and each on one of its own. */
static double time_private(int waiters)
{
    enum { WAKES = 32000 };
    rn_chan(int) shared = rn_chan_make(int, 0);
    rn_chan(int) *own = calloc((size_t)waiters, sizeof(*own));
    uint32_t random = 1;
    rn_time start;
    rn_dur took;

    CHECK(own);
    for (int i = 0; i < waiters; i++) {
        own[i] = rn_chan_make(int, 0);
        rn_go(select_private, shared, own[i]);
    }
    start = rn_now();
    /* In no order: in turn, each would be the first of the queue. */
    for (int i = 0; i < WAKES; i++) {
        random = random * 1664525 + 1013904223;
        rn_send(own[(random >> 8) % (uint32_t)waiters], 0);
    }
    took = rn_now() - start;
    for (int i = 0; i < waiters; i++)
        rn_close(own[i]);
    test_expect_settled(__FILE__, __LINE__);
    for (int i = 0; i < waiters; i++)
        rn_chan_release(own[i]);
    rn_chan_release(shared);
    free(own);
    return (double)took / (double)WAKES;
}

/* SEL-27: waking a select that waits among n others takes the same time whatever n is. Among 64 times as many a
 * search takes thousands of times as long; caches make it ten times, and a busy machine a little more. */
GO_TEST(sel_27_wake_up_does_not_search)
{
    double few, many;

    if (test_is_slow())
        return;
    few = time_private(250);
    many = time_private(16000);
    CHECK(many < 200 * few);
}

static void hammer(rn_recv_only(rn_unit) done, rn_send_only(int) out)
{
    while (rn_select(rn_on_send(out, 0), rn_on_recv(done, NULL)) == 0)
        ;
}

/* SEL-32: a timer's case is chosen in the end, although another is always ready. */
GO_TEST(sel_32_timer_against_ready_case)
{
    rn_chan(int) busy = rn_chan_make(int, 0);
    rn_chan(rn_unit) done = rn_chan_make(rn_unit, 0);
    rn_timer timer = {0};

    rn_go(hammer, done, busy);
    rn_go(hammer, done, busy);
    rn_timer_reset(&timer, 5 * RN_MILLISECOND);
    while (rn_select(rn_on_recv(busy, NULL), rn_on_recv(rn_timer_chan(&timer), NULL)) == 0)
        ;
    rn_close(done);
    test_expect_settled(__FILE__, __LINE__);
    rn_timer_free(&timer);
    rn_chan_release(busy);
    rn_chan_release(done);
}

/* SEL-32, D33: a deadline bounds a whole loop in the same way. */
GO_TEST(sel_32_deadline_against_ready_case)
{
    rn_chan(int) busy = rn_chan_make(int, 0), closed = rn_chan_make(int, 0);
    rn_chan(rn_unit) done = rn_chan_make(rn_unit, 0);
    rn_time until = rn_now() + 5 * RN_MILLISECOND;

    rn_go(hammer, done, busy);
    rn_go(hammer, done, busy);
    while (rn_select(rn_on_recv(busy, NULL), rn_on_deadline(until)) == 0)
        ;
    CHECK(rn_now() >= until);
    rn_close(closed); /* and this one is ready always */
    until = rn_now() + 5 * RN_MILLISECOND;
    while (rn_select(rn_on_recv(closed, NULL), rn_on_deadline(until)) == 0)
        ;
    CHECK(rn_now() >= until);
    rn_close(done);
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(busy);
    rn_chan_release(closed);
    rn_chan_release(done);
}

/* SEL-13: a deadline that has passed has the same chance as every other ready case. */
GO_TEST(sel_13_fair_with_a_passed_deadline)
{
    enum { TRIALS = 9000 };
    rn_chan(int) ready = rn_chan_make(int, 0);
    int count[3] = {0};

    rn_close(ready);
    for (int i = 0; i < TRIALS; i++)
        count[rn_select(rn_on_recv(ready, NULL), rn_on_deadline(0), rn_on_recv(ready, NULL))]++;
    for (int i = 0; i < 3; i++)
        CHECK(abs(count[i] - TRIALS / 3) < 220); /* 4.9 * sqrt(9000 * 2/9) */
    rn_chan_release(ready);
}

static void wait_in_three(rn_chan(int) * chans, _Atomic long *sum)
{
    int value = 0;

    (void)rn_select(rn_on_recv(chans[0], &value), rn_on_recv(chans[1], &value),
                    rn_on_recv(chans[2], &value));
    *sum += value;
}

static void send_to_three(rn_chan(int) * chans, int n)
{
    for (int i = 1; i <= n; i++)
        rn_send(chans[i % 3], i);
}

/* F5: many selects over the same channels and many senders: each value goes to exactly one. */
GO_TEST(sel_many_selects_many_senders)
{
    rn_chan(int) chans[3];
    _Atomic long sum = 0;
    int n = test_times(3000);

    for (int i = 0; i < 3; i++)
        chans[i] = rn_chan_make(int, i);
    for (int i = 0; i < 4 * n; i++)
        rn_go(wait_in_three, &chans[0], &sum);
    for (int i = 0; i < 4; i++)
        rn_go(send_to_three, &chans[0], n);
    test_expect_settled(__FILE__, __LINE__);
    CHECK_EQ(sum, 4 * ((long)n * (n + 1) / 2));
    for (int i = 0; i < 3; i++)
        rn_chan_release(chans[i]);
}
