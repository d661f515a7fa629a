/* SPDX-License-Identifier: MIT */
/*
 * flight.c - calls in flight by key.
 */
#include "support.h"

#include <stdlib.h>

static _Atomic int runs, passed, waiting;

struct out {
    int number;
    char text[24];
};

static int make(struct out *out, int number, int result)
{
    runs++;
    out->number = number;
    snprintf(out->text, sizeof(out->text), "number %d", number);
    return result < 0 ? rn_errorf(result, "no %d", number) : result;
}

/* SF-01, SF-04, D31: the function's result, its message and *out go to its caller, and are not kept. */
GO_TEST(sf_01_result)
{
    rn_flight f = {0};
    struct out out = {0};
    bool shared = true;

    CHECK_EQ(rn_flight_do(&f, "key", &out, make, &out, 7, 3), 3);
    CHECK_EQ(out.number, 7);
    CHECK_STR(out.text, "number 7");
    CHECK_EQ(rn_flight_do_shared(&f, "key", &out, &shared, make, &out, 8, -EIO), -EIO);
    CHECK_STR(rn_errmsg(-EIO), "no 8");
    CHECK(!shared);
    CHECK_EQ(runs, 2); /* not cached */
}

static int make_slowly(struct out *out, int number, rn_recv_only(rn_unit) go_on, int result)
{
    runs++;
    (void)rn_recv(go_on);
    out->number = number;
    strcpy(out->text, "slow");
    return result < 0 ? rn_errorf(result, "failed slowly") : result;
}

static void join(rn_flight *f, int number, rn_recv_only(rn_unit) go_on, int expected,
                 _Atomic int *shares)
{
    struct out out = {0};
    bool shared = false;
    int result;

    waiting++;
    result =
        rn_flight_do_shared(f, "key", &out, &shared, make_slowly, &out, number, go_on, expected);
    CHECK_EQ(result, expected);
    CHECK_EQ(out.number, number);
    CHECK_STR(out.text, "slow");
    if (expected < 0)
        CHECK_STR(rn_errmsg(expected), "failed slowly");
    *shares += shared;
    passed++;
}

/* SF-02, SF-03, D36: callers of one key share one execution: its result, *out, and its message; all of
 * them, the leader too, are told that it was shared. */
GO_TEST(sf_02_03_shared)
{
    for (int round = 0; round < test_times(200); round++) {
        rn_flight f = {0};
        rn_chan(rn_unit) go_on = rn_chan_make(rn_unit, 0);
        _Atomic int shares = 0;
        int result = round % 2 ? -EIO : 5;

        runs = passed = waiting = 0;
        for (int i = 0; i < 10; i++)
            rn_go(join, &f, 42, go_on, result, &shares);
        AWAIT(test_parked() == 10); /* one in the function, nine that have joined */
        CHECK_EQ(waiting, 10);
        CHECK_EQ(runs, 1);
        CHECK_EQ(passed, 0);
        rn_close(go_on);
        AWAIT(passed == 10);
        CHECK_EQ(runs, 1);
        CHECK_EQ(shares, 10);
        test_expect_settled(__FILE__, __LINE__);
        rn_chan_release(go_on);
    }
}

static void join_key(rn_flight *f, const char *key, int number, rn_recv_only(rn_unit) go_on)
{
    struct out out = {0};

    CHECK_EQ(rn_flight_do(f, key, &out, make_slowly, &out, number, go_on, 0), 0);
    CHECK_EQ(out.number, number);
    passed++;
}

static void join_alone(rn_flight *f, int number, rn_recv_only(rn_unit) go_on, bool expected)
{
    struct out out = {0};
    bool shared = !expected;

    CHECK_EQ(rn_flight_do_shared(f, "key", &out, &shared, make_slowly, &out, number, go_on, 3), 3);
    CHECK_EQ(out.number, number);
    CHECK_EQ(shared, expected);
    passed++;
}

/* SF-03: who ran it alone is told so, although another had the key before, has it now, or waits for another key. */
GO_TEST(sf_03_not_shared)
{
    rn_flight f = {0};
    rn_chan(rn_unit) first = rn_chan_make(rn_unit, 0), second = rn_chan_make(rn_unit, 0);

    rn_go(join_alone, &f, 1, first, false);
    AWAIT(test_parked() == 1);
    rn_flight_forget(&f, "key");
    rn_go(join_alone, &f, 2, second, true);
    AWAIT(test_parked() == 2);
    rn_go(join_alone, &f, 2, second, true);
    AWAIT(test_parked() == 3);
    CHECK_EQ(runs, 2);
    rn_close(second);
    AWAIT(passed == 2);
    rn_close(first);
    AWAIT(passed == 3);
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(first);
    rn_chan_release(second);
}

/* SF-02: different keys do not share; equal text is an equal key, wherever it lies. */
GO_TEST(sf_02_keys)
{
    rn_flight f = {0};
    rn_chan(rn_unit) go_on = rn_chan_make(rn_unit, 0);
    char same[] = "one";

    rn_go(join_key, &f, "one", 1, go_on);
    AWAIT(runs == 1);
    rn_go(join_key, &f, "two", 2, go_on);
    AWAIT(runs == 2);
    rn_go(join_key, &f, &same[0], 1, go_on);
    AWAIT(test_parked() == 3);
    CHECK_EQ(runs, 2);
    rn_close(go_on);
    test_expect_settled(__FILE__, __LINE__);
    CHECK_EQ(passed, 3);
    rn_chan_release(go_on);
}

static void lead(rn_flight *f, int number, rn_recv_only(rn_unit) go_on, int expected)
{
    struct out out = {0};

    waiting++;
    CHECK_EQ(rn_flight_do(f, "key", &out, make_slowly, &out, number, go_on, 0), 0);
    CHECK_EQ(out.number, expected);
    passed++;
}

/* SF-05, F19: forget makes the next call run anew; the old one's end does not remove the new one's
 * entry, so a third caller joins the second. */
GO_TEST(sf_05_forget)
{
    rn_flight f = {0};
    rn_chan(rn_unit) first = rn_chan_make(rn_unit, 0), second = rn_chan_make(rn_unit, 0);

    rn_go(lead, &f, 1, first, 1);
    AWAIT(runs == 1);
    rn_flight_forget(&f, "key");
    rn_flight_forget(&f, "key");
    rn_flight_forget(&f, "another");
    rn_go(lead, &f, 2, second, 2);
    AWAIT(runs == 2);
    rn_close(first);
    AWAIT(passed == 1);
    waiting = 0;
    rn_go(lead, &f, 3, second, 2); /* joins the second: gets its number */
    AWAIT(test_parked() == 2);     /* the first is through */
    CHECK_EQ(waiting, 1);
    CHECK_EQ(runs, 2);
    rn_close(second);
    AWAIT(passed == 3);
    CHECK_EQ(runs, 2);
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(first);
    rn_chan_release(second);
}

static int panic_within(rn_recv_only(rn_unit) go_on)
{
    runs++;
    (void)rn_recv(go_on);
    rn_panic("in flight");
}

static void do_panic(rn_flight *f, rn_recv_only(rn_unit) go_on)
{
    waiting++;
    (void)rn_flight_do(f, "key", (int *)NULL, panic_within, go_on);
    passed++;
}

/* SF-08, F19: a panic in the function ends the process; nobody hangs. */
DEATH_TEST(sf_08_panic, "panic: in flight")
{
    rn_flight f = {0};
    rn_chan(rn_unit) go_on = rn_chan_make(rn_unit, 0);

    for (int i = 0; i < 5; i++)
        rn_go(do_panic, &f, go_on);
    AWAIT(test_parked() == 5);
    if (waiting != 5 || runs != 1)
        rn_panic("%d in the function", runs);
    rn_close(go_on);
    (void)rn_recv(rn_chan_make(int, 0));
}

static int exit_within(rn_recv_only(rn_unit) go_on)
{
    runs++;
    (void)rn_recv(go_on);
    rn_exit(17);
}

static void join_exit(rn_flight *f, int i, rn_recv_only(rn_unit) go_on)
{
    int result, out = i;

    waiting++;
    result = rn_flight_do(f, "key", &out, exit_within, go_on);
    CHECK_EQ(result, 17);
    CHECK_EQ(out, i); /* nothing was written to the one of who ran it */
    passed++;
}

/* SF-11, D36: if the function calls rn_exit its goroutine ends and every follower gets the result and goes on;
 * none hangs, and the key is free again. */
GO_TEST(sf_11_exit)
{
    rn_flight f = {0};
    rn_chan(rn_unit) go_on = rn_chan_make(rn_unit, 0);
    int out = 0;

    for (int i = 0; i < 5; i++)
        rn_go(join_exit, &f, i, go_on);
    AWAIT(test_parked() == 5);
    CHECK_EQ(waiting, 5);
    CHECK_EQ(runs, 1);
    rn_close(go_on);
    test_expect_settled(__FILE__, __LINE__);
    CHECK_EQ(passed, 4); /* the leader has ended, the followers went on */
    CHECK_EQ(runs, 1);
    CHECK_EQ(rn_flight_do(&f, "key", &out, abs, -4), 4);
    rn_chan_release(go_on);
}

static int quick(_Atomic int *n)
{
    return ++*n;
}

static void many_calls(rn_flight *f, int n, _Atomic int *count)
{
    static const char *const keys[] = {"a", "b", "c", "d", "e"};

    for (int i = 0; i < n; i++)
        CHECK(rn_flight_do(f, keys[i % 5], (int *)NULL, quick, count) > 0);
}

/* SF-04: under load nothing is cached for ever and nothing is left behind. */
GO_TEST(sf_under_load)
{
    rn_flight f = {0};
    _Atomic int count = 0;
    int n = test_times(5000);
    rn_wg wg = {0};

    for (int i = 0; i < 8; i++)
        rn_wg_go(&wg, many_calls, &f, n, &count);
    rn_wg_wait(&wg);
    CHECK(count >= n && count <= 8 * n);
}
