/* SPDX-License-Identifier: MIT */
/*
 * time.c - the clock, sleep, timers, tickers and after-functions: TIME-01 to TIME-31.
 *
 * What has no case in C stands in tests/conformance/exceptions.txt. Bounds from above stand only where an item demands promptness, and are generous.
 */
#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define MS RN_MILLISECOND

static bool fired(rn_timer *t)
{
    return rn_try_recv(rn_timer_chan(t), NULL);
}
static bool ticked(rn_ticker *t)
{
    return rn_try_recv(rn_ticker_chan(t), NULL);
}
static void sleep_past(rn_time t)
{
    while (rn_now() < t)
        rn_sleep(t - rn_now());
}

GO_TEST(time_the_clock_never_goes_back)
{
    rn_time last = rn_now();

    CHECK(last > 0);
    for (int i = 0; i < test_times(100000); i++) {
        rn_time now = rn_now();

        CHECK(now >= last);
        last = now;
        if (i % 1000 == 0)
            rn_yield();
    }
}

static _Atomic int signals;
static void count_signal(int sig)
{
    (void)sig;
    signals++;
}
/* Signals for the process, every 2 ms, or none. */
static void signals_often(bool often)
{
    struct sigaction sa = {.sa_handler = count_signal};
    const struct itimerval on = {{0, 2000}, {0, 2000}}, off = {{0, 0}, {0, 0}};

    if (often) {
        signals = 0;
        CHECK_EQ(sigaction(SIGALRM, &sa, NULL), 0); /* no SA_RESTART: calls end early */
    }
    CHECK_EQ(setitimer(ITIMER_REAL, often ? &on : &off, NULL), 0);
    if (!often)
        CHECK(signals > 0);
}
static void sleep_at_least(rn_dur d)
{
    rn_time start = rn_now();

    rn_sleep(d);
    CHECK(rn_now() - start >= d);
}

GO_TEST(time_01_sleep_lasts_at_least)
{
    rn_wg wg = {0};

    signals_often(true);
    for (int i = 0; i < 20; i++)
        rn_wg_go(&wg, sleep_at_least, i * MS / 2);
    sleep_at_least(20 * MS);
    rn_wg_wait(&wg);
    signals_often(false);
}

static void *sleep_in_thread(void *arg)
{
    (void)arg;
    sleep_at_least(20 * MS);
    sleep_at_least(0);
    sleep_at_least(-RN_SECOND);
    return NULL;
}

PLAIN_TEST(time_01_sleep_on_a_plain_thread)
{
    pthread_t t;

    signals_often(true);
    CHECK_EQ(pthread_create(&t, NULL, sleep_in_thread, NULL), 0);
    sleep_in_thread(NULL);
    CHECK_EQ(pthread_join(t, NULL), 0);
    signals_often(false);
}

static void keep_allocating(_Atomic int *stop)
{
    while (!*stop) {
        free(malloc(1 << 16));
        rn_yield();
    }
}

GO_TEST(time_02_sleep_of_nothing_returns)
{
    _Atomic int stop = 0;
    rn_wg wg = {0};

    for (int i = 0; i < 4; i++)
        rn_wg_go(&wg, keep_allocating, &stop);
    for (int i = 0; i < 100; i++) {
        rn_sleep(0);
        rn_sleep(-1);
        rn_sleep(INT64_MIN);
    }
    stop = 1;
    rn_wg_wait(&wg);
}

static void add_one(_Atomic int *n)
{
    ++*n;
}

static void sleep_long(rn_dur d, _Atomic int *woke)
{
    rn_sleep(d);
    *woke = 1;
}

GO_TEST_LEAVES(time_03_the_longest_duration_never_fires)
{
    static _Atomic int woke;
    const rn_dur longest[] = {INT64_MAX, INT64_MAX - 1, INT64_MAX / 2};
    rn_timer t = {0}, soon = {0};
    rn_ticker k = {0};
    int value;
    rn_chan(int) ch = rn_chan_make(int, 0);
    rn_timer *after[3];
    rn_ctx *ctx[3];

    for (int i = 0; i < 3; i++) {
        rn_go(sleep_long, longest[i], &woke);
        AWAIT(test_parked() == (size_t)i + 1);
        after[i] = rn_after_func(longest[i], add_one, &woke);
        ctx[i] = rn_ctx_with_timeout(rn_ctx_background(), longest[i]);
        rn_timer_reset(&t, longest[i]);
        rn_ticker_start(&k, longest[i]);
        rn_timer_reset(&soon, MS);
        (void)rn_recv(rn_timer_chan(&soon)); /* others are not disturbed */
        CHECK(!fired(&t));
        CHECK(!ticked(&k));
        CHECK_EQ(rn_select(rn_on_recv(ch, &value), rn_on_timeout(longest[i]), rn_on_timeout(MS)),
                 2);
    }
    CHECK_EQ(woke, 0);
    CHECK_EQ(test_parked(), 3);
    for (int i = 0; i < 3; i++) {
        CHECK(rn_timer_stop(after[i])); /* it was pending */
        rn_timer_free(after[i]);
        CHECK_EQ(rn_ctx_err(ctx[i]), 0);
        rn_ctx_end(ctx[i]);
    }
    CHECK(rn_timer_stop(&t));
    rn_ticker_stop(&k);
    rn_chan_release(ch);
}

GO_TEST(time_04_the_most_negative_duration_fires_at_once)
{
    rn_timer t = {0}, *after;
    _Atomic int n = 0;

    CHECK(!rn_timer_reset(&t, INT64_MIN));
    (void)rn_recv(rn_timer_chan(&t));
    CHECK(!rn_timer_reset(&t, -1));
    (void)rn_recv(rn_timer_chan(&t));
    CHECK_EQ(rn_select(rn_on_timeout(INT64_MIN)), 0);
    CHECK_EQ(rn_select(rn_on_deadline(INT64_MIN)), 0);
    rn_timer_free(rn_after_func(INT64_MAX, add_one, &n));
    after = rn_after_func(INT64_MIN, add_one, &n);
    AWAIT(n == 1);
    CHECK(!rn_timer_stop(after));
    rn_timer_free(after);
}

GO_TEST(time_05_a_timer_delivers_its_due_time_once)
{
    rn_timer t = {0};

    for (int i = 0; i < 10; i++) {
        rn_time start = rn_now(), v;

        CHECK(!rn_timer_reset(&t, i * MS / 2));
        v = rn_recv(rn_timer_chan(&t));
        CHECK(v >= start + i * MS / 2);
        CHECK(rn_now() >= v);
        CHECK(!fired(&t));
        CHECK(!rn_timer_stop(&t));
    }
}

static void in_order(rn_dur d, _Atomic int *place, int *got)
{
    rn_sleep(d);
    *got = (*place)++;
}

GO_TEST(time_06_sleeps_end_in_the_order_of_their_deadlines)
{
    /* 30 ms apart; a machine that stands still that long may shuffle them, but not every time. */
    for (int round = 0; round < 10; round++) {
        _Atomic int place = 0;
        int got[3] = {0};
        rn_wg wg = {0};

        rn_wg_go(&wg, in_order, 60 * MS, &place, &got[2]);
        rn_wg_go(&wg, in_order, 1 * MS, &place, &got[0]);
        rn_wg_go(&wg, in_order, 30 * MS, &place, &got[1]);
        rn_wg_wait(&wg);
        if (got[0] == 0 && got[1] == 1 && got[2] == 2)
            return;
    }
    test_fail(__FILE__, __LINE__, "out of order ten times in a row");
}

static void note_place(rn_time at, _Atomic int *waiting, _Atomic int *place, int *got)
{
    ++*waiting;
    CHECK_EQ(rn_select(rn_on_deadline(at)), 0);
    *got = (*place)++;
}

/* TIME-06: whatever is due by the time that somebody looks comes in the order of the deadlines. */
GO_TEST_PROCS(time_06_what_is_due_comes_in_order, 1)
{
    enum { N = 50 };
    int good = 0;

    for (int round = 0; good < 20 && round < 1000; round++) {
        _Atomic int waiting = 0, place = 0;
        int got[N] = {0};
        rn_wg wg = {0};
        rn_time start = rn_now() + (test_is_slow() ? 100 : 5) * MS;
        bool in_time;

        for (int i = 0; i < N; i++) { /* each number once, in no order */
            int at = (i * 37 + round) % N;

            rn_wg_go(&wg, note_place, start + at * 1000, &waiting, &place, &got[at]);
        }
        AWAIT(waiting == N);
        in_time = rn_now() < start; /* else the machine has been elsewhere, and some were late */
        while (rn_now() <= start + N * 1000) /* with the processor */
            ;
        rn_wg_wait(&wg);
        for (int i = 0; i < N && in_time; i++)
            CHECK_EQ(got[i], i);
        good += in_time;
    }
    CHECK(good > 0);
}

GO_TEST(time_07_a_million_timers_of_no_duration)
{
    rn_timer t = {0};

    for (int i = 0; i < test_times(1000000); i++) {
        rn_timer_reset(&t, 0);
        (void)rn_recv(rn_timer_chan(&t));
    }
}

struct rearm {
    _Atomic int left;
    rn_chan(int) done;
};

static void rearm_then_sleep(struct rearm *r)
{
    if (--r->left == 0) {
        rn_send(r->done, 1);
        return;
    }
    rn_go_after(0, rearm_then_sleep, r);
    rn_sleep(RN_HOUR); /* does not hold up the chain */
}

GO_TEST_LEAVES(time_08_after_functions_run_in_their_own_goroutines)
{
    static struct rearm r; /* the sleepers never end */

    r.left = 10;
    r.done = rn_chan_make(int, 1);
    rn_go_after(0, rearm_then_sleep, &r);
    CHECK_EQ(rn_recv(r.done), 1);
    rn_chan_release(r.done);
}

static void count_and_wait(_Atomic int *n, rn_chan(int) gate)
{
    ++*n;
    (void)rn_recv(gate);
    ++*n;
}

GO_TEST(time_09_stop_does_not_wait_for_the_function)
{
    rn_chan(int) gate = rn_chan_make(int, 0);
    _Atomic int n = 0;
    rn_timer *t = rn_after_func(0, count_and_wait, &n, gate);

    CHECK(rn_timer_chan(t) == NULL);
    AWAIT(n == 1);
    CHECK(!rn_timer_stop(t)); /* it was started */
    CHECK_EQ(n, 1);
    rn_send(gate, 1);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    CHECK_EQ(n, 2);
    CHECK(!rn_timer_reset(t, 0)); /* and again, with the arguments captured then */
    rn_send(gate, 1);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    CHECK_EQ(n, 4);
    CHECK(!rn_timer_reset(t, RN_HOUR));
    CHECK(rn_timer_stop(t));
    CHECK(!rn_timer_stop(t));
    rn_timer_free(t);
    rn_timer_free(NULL);
    rn_chan_release(gate);
}

GO_TEST(time_10_stop_against_firing_is_exact)
{
    for (int round = 0; round < test_times(2000); round++) {
        _Atomic int n = 0;
        rn_timer *t = rn_after_func(round % 3 * 50000, add_one, &n);
        bool stopped;

        if (round % 5 == 0)
            rn_yield();
        stopped = rn_timer_stop(t);
        CHECK(!rn_timer_stop(t)); /* the second call */
        CHECK_EQ(rn_settle(RN_MINUTE), 0);
        CHECK_EQ(n, !stopped);
        rn_timer_free(t);
    }
}

GO_TEST(time_10_a_stopped_timer_fires_nothing)
{
    _Atomic int n = 0;
    rn_timer *t[100];

    for (int i = 0; i < 100; i++)
        t[i] = rn_after_func((20 + i) * MS, add_one, &n);
    for (int i = 0; i < 100; i++)
        if (i % 2 == 0 && rn_timer_stop(t[i]))
            n += 1000;
    for (int i = 0; i < 100; i++)
        if (i % 2 == 0)
            CHECK(!rn_timer_stop(t[i]));
    sleep_past(rn_now() + 150 * MS);
    AWAIT(n % 1000 == 100 - n / 1000);
    test_let_run();
    CHECK_EQ(n % 1000, 100 - n / 1000);
    for (int i = 0; i < 100; i++)
        rn_timer_free(t[i]);
}

/* What was first is set to a later time: those behind it fire. */
GO_TEST_PROCS(time_11_a_reset_to_later_lets_others_go_first, 1)
{
    rn_timer first = {0}, second = {0}, third = {0};

    rn_timer_reset(&first, MS);
    rn_timer_reset(&second, 2 * MS);
    rn_timer_reset(&third, 3 * MS);
    CHECK(rn_timer_reset(&first, RN_HOUR));
    (void)rn_recv(rn_timer_chan(&second));
    (void)rn_recv(rn_timer_chan(&third));
    CHECK(rn_timer_stop(&first));
    rn_timer_free(&first);
    rn_timer_free(&second);
    rn_timer_free(&third);
}

/* Set to an earlier time by a thread, while all that could fire it sleep until the later one. */
static void *reset_to_earlier(void *timer)
{
    AWAIT(test_parked() == 1);
    /* Until all sleep, the monitor too; if they do not yet, it shows less, and all is well. */
    usleep(200000);
    CHECK(rn_timer_reset(timer, MS));
    return NULL;
}
GO_TEST_PROCS(time_11_a_reset_to_earlier_wakes_who_sleeps, 1)
{
    rn_timer t = {0};
    pthread_t thread;

    rn_timer_reset(&t, RN_HOUR);
    CHECK_EQ(pthread_create(&thread, NULL, reset_to_earlier, &t), 0);
    (void)rn_recv(rn_timer_chan(&t));
    (void)rn_blocking(pthread_join(thread, NULL));
    rn_timer_free(&t);
}

GO_TEST(time_11_reset_tells_whether_it_was_pending)
{
    rn_timer t = {0};
    _Atomic int n = 0;
    rn_timer *f = rn_after_func(RN_HOUR, add_one, &n);

    CHECK(!rn_timer_reset(&t, RN_HOUR)); /* zero is a stopped timer */
    CHECK(rn_timer_reset(&t, RN_HOUR));
    CHECK(rn_timer_stop(&t));
    CHECK(!rn_timer_reset(&t, 0));
    (void)rn_recv(rn_timer_chan(&t));
    CHECK(!rn_timer_reset(&t, RN_HOUR)); /* it had expired and been received */
    rn_timer_free(&t);

    CHECK(rn_timer_reset(f, 0));
    AWAIT(n == 1);
    CHECK(!rn_timer_reset(f, RN_HOUR)); /* the function was started */
    CHECK(rn_timer_stop(f));
    rn_timer_free(f);
}

GO_TEST(time_12_13_14_15_16_as_go_1_23)
{
    rn_timer t = {0};
    rn_time due, v;

    CHECK(rn_timer_chan(&t) == rn_timer_chan(&t));
    CHECK_EQ(rn_cap(rn_timer_chan(&t)), 0);
    CHECK_EQ(rn_len(rn_timer_chan(&t)), 0);

    rn_timer_reset(&t, 1);
    sleep_past(rn_now() + 2 * MS);
    CHECK_EQ(rn_len(rn_timer_chan(&t)), 0); /* 12: also while a value is due */
    CHECK_EQ(rn_cap(rn_timer_chan(&t)), 0);
    CHECK(rn_timer_stop(&t)); /* 15: nobody received it, so it was still pending */
    CHECK(!fired(&t));        /* 13: and it is withdrawn */
    CHECK(!rn_timer_stop(&t));

    rn_timer_reset(&t, 1);
    sleep_past(rn_now() + 2 * MS);
    CHECK(rn_timer_reset(&t, RN_HOUR)); /* 15 */
    CHECK(!fired(&t));                  /* 14 */
    CHECK(rn_timer_stop(&t));

    rn_timer_reset(&t, 1);
    sleep_past(rn_now() + 2 * MS);
    due = rn_now();
    CHECK(rn_timer_reset(&t, MS));
    v = rn_recv(rn_timer_chan(&t));
    CHECK(v >= due + MS);                /* 14: the new setting's value */
    CHECK(!rn_timer_reset(&t, RN_HOUR)); /* 16 */
    CHECK(rn_timer_stop(&t));
}

GO_TEST(time_12_13_14_16_tickers)
{
    rn_ticker k = {0};

    CHECK_EQ(rn_cap(rn_ticker_chan(&k)), 0);
    rn_ticker_start(&k, MS / 10);
    sleep_past(rn_now() + 3 * MS);
    CHECK_EQ(rn_len(rn_ticker_chan(&k)), 0);
    rn_ticker_stop(&k);
    CHECK(!ticked(&k));
    CHECK(!rn_ticker_reset(&k, MS)); /* it was not running */
    (void)rn_recv(rn_ticker_chan(&k));
    CHECK(rn_ticker_reset(&k, RN_HOUR)); /* 16: running, although its value was received */
    CHECK(!ticked(&k));
    CHECK(rn_ticker_reset(&k, MS / 10));
    sleep_past(rn_now() + 3 * MS);
    CHECK(rn_ticker_reset(&k, RN_HOUR)); /* 14: what was due of the old period is withdrawn */
    CHECK(!ticked(&k));
    rn_ticker_start(&k, MS / 10);
    sleep_past(rn_now() + 3 * MS);
    rn_ticker_start(&k, RN_HOUR); /* a restart withdraws as well */
    CHECK(!ticked(&k));
    rn_ticker_free(&k);
    rn_ticker_free(NULL);
}

static void wait_for_timer(rn_timer *t, _Atomic int *n)
{
    (void)rn_recv(rn_timer_chan(t));
    ++*n;
}
static void select_on_timer(rn_timer *t, rn_chan(int) stop, _Atomic int *n)
{
    if (rn_select(rn_on_recv(rn_timer_chan(t), NULL), rn_on_recv(stop, NULL)) == 0)
        ++*n;
}

GO_TEST(time_17_receivers_follow_reset)
{
    for (int round = 0; round < test_times(300); round++) {
        rn_timer t = {0};
        rn_chan(int) stop = rn_chan_make(int, 0);
        _Atomic int n = 0;
        rn_wg wg = {0};

        rn_timer_reset(&t, RN_HOUR);
        rn_wg_go(&wg, wait_for_timer, &t, &n);
        for (int i = 0; i < round % 4; i++)
            rn_yield();
        CHECK(rn_timer_reset(&t, 2 * RN_HOUR)); /* later: it keeps waiting */
        rn_yield();
        CHECK_EQ(n, 0);
        CHECK(rn_timer_reset(&t, 0)); /* now: it wakes */
        rn_wg_wait(&wg);
        CHECK_EQ(n, 1);

        n = 0; /* two on one timer get one value between them */
        rn_wg_go(&wg, select_on_timer, &t, stop, &n);
        rn_wg_go(&wg, select_on_timer, &t, stop, &n);
        rn_yield();
        CHECK(!rn_timer_reset(&t, round % 2 ? 0 : 20000));
        AWAIT(n > 0);
        test_let_run();
        CHECK_EQ(n, 1);
        rn_send(stop, 0);
        rn_wg_wait(&wg);
        CHECK_EQ(n, 1);
        rn_timer_free(&t);
        rn_chan_release(stop);
    }
}

/* TIME-17: who waits on a timer that is moved later is not woken when it was due at first. */
GO_TEST(time_17_moved_later_it_is_not_due_before)
{
    int moved = 0;

    for (int round = 0; moved < 5 && round < 1000; round++) {
        rn_timer t = {0};
        _Atomic int n = 0;
        rn_wg wg = {0};
        rn_time due;
        bool pending;

        rn_timer_reset(&t, 5 * MS);
        due = rn_now() + 5 * MS;
        rn_wg_go(&wg, wait_for_timer, &t, &n);
        AWAIT(test_parked() == 1 || n == 1);
        pending = rn_timer_reset(&t, RN_HOUR); /* else it was too late to move it */
        if (pending) {
            sleep_past(due + MS);
            test_let_run();
            CHECK_EQ(n, 0);
            CHECK_EQ(test_parked(), 1);
            CHECK(rn_timer_reset(&t, 0));
        }
        rn_wg_wait(&wg);
        CHECK_EQ(n, 1);
        moved += pending;
        rn_timer_free(&t);
    }
    CHECK(moved > 0);
}

GO_TEST(time_18_a_stopped_timers_channel_is_never_ready)
{
    rn_timer t = {0};
    rn_chan(int) stop = rn_chan_make(int, 0);
    _Atomic int n = 0;
    rn_wg wg = {0};
    rn_time due;
    int fires = 0;
    bool early;

    for (int i = 0; i < 5; i++)
        rn_wg_go(&wg, select_on_timer, &t, stop, &n); /* some wait before it was ever armed */
    AWAIT(test_parked() == 5);
    do { /* one that is due soon, and stopped before */
        due = rn_now() + 5 * MS;
        rn_timer_reset(&t, 5 * MS);
        early = rn_timer_stop(&t);
        fires += !early;
        AWAIT(n == fires); /* a machine that stood still: one of them got it */
        if (!early)
            rn_wg_go(&wg, select_on_timer, &t, stop, &n);
        AWAIT(test_parked() == 5);
    } while (!early);
    for (int i = 0; i < 5; i++)
        rn_wg_go(&wg, select_on_timer, &t, stop, &n);
    AWAIT(test_parked() == 10);
    sleep_past(due + 5 * MS);
    test_let_run();
    CHECK(!fired(&t));
    CHECK_EQ(n, fires);
    CHECK_EQ(test_parked(), 10);
    rn_close(stop);
    rn_wg_wait(&wg);
    CHECK_EQ(n, fires);
    rn_timer_free(&t);
    rn_chan_release(stop);
}

GO_TEST(time_19_a_late_receive_shows_when_it_was_due)
{
    rn_timer t = {0};
    rn_ticker k = {0};
    rn_time start = rn_now(), armed, v;

    rn_timer_reset(&t, 5 * MS);
    rn_ticker_start(&k, 200 * MS);
    armed = rn_now();
    sleep_past(armed + 300 * MS);
    v = rn_recv(rn_timer_chan(&t));
    CHECK(v >= start + 5 * MS && v <= armed + 5 * MS);
    v = rn_recv(rn_ticker_chan(&k));
    CHECK(v >= start + 200 * MS && v <= armed + 200 * MS);
    rn_ticker_free(&k);
    rn_timer_free(&t);
}

GO_TEST(time_20_moved_earlier_is_never_lost)
{
    for (int round = 0; round < test_times(1000); round++) {
        rn_timer t = {0};

        rn_timer_reset(&t, 10 * RN_SECOND);
        for (int i = 0; i < 10; i++) {
            rn_dur d = (9 - i) * 20000 - 60000;

            rn_timer_reset(&t, d);
        }
        CHECK_EQ(rn_select(rn_on_recv(rn_timer_chan(&t), NULL), rn_on_timeout(8 * RN_SECOND)), 0);
        rn_timer_free(&t);
    }
}

GO_TEST(time_21_many_timers_moved_at_random)
{
    enum { N = 100 };
    static rn_timer t[N];
    bool stopped[N] = {false};
    unsigned seed = 99;

    for (int i = 0; i < N; i++)
        rn_timer_reset(&t[i], RN_MINUTE + rand_r(&seed) % 100 * RN_SECOND);
    for (int round = 0; round < test_times(20000); round++) {
        int i = rand_r(&seed) % N;

        if (rand_r(&seed) % 4 == 0) {
            CHECK_EQ(rn_timer_stop(&t[i]), !stopped[i]);
            stopped[i] = true;
        } else {
            CHECK_EQ(rn_timer_reset(&t[i], RN_MINUTE + rand_r(&seed) % 100 * RN_SECOND),
                     !stopped[i]);
            stopped[i] = false;
        }
    }
    for (int i = 0; i < N; i++)
        CHECK_EQ(rn_timer_reset(&t[i], 0), !stopped[i]);
    for (int i = 0; i < N; i++)
        CHECK_EQ(rn_select(rn_on_recv(rn_timer_chan(&t[i]), NULL), rn_on_timeout(20 * RN_SECOND)),
                 0);
}

static void sleep_one(rn_dur d)
{
    rn_sleep(d);
}
static void answer_timeouts(rn_chan(int) in, rn_chan(int) out)
{
    rn_range (v, in)
        rn_send(out, v);
}

GO_TEST(time_22_old_sleeps_do_not_slow_later_timers)
{
    rn_chan(int) in = rn_chan_make(int, 0), out = rn_chan_make(int, 0);
    rn_wg wg = {0};
    rn_time start;

    for (int i = 0; i < test_times(5000); i++)
        rn_wg_go(&wg, sleep_one, i % 100 * 1000);
    rn_wg_wait(&wg);
    rn_go(answer_timeouts, in, out);
    start = rn_now();
    for (int i = 0; i < test_times(50000) * 2; i++) {
        int v = 0;

        CHECK_EQ(rn_select(rn_on_send(in, i), rn_on_timeout(RN_MINUTE)), 0);
        CHECK_EQ(rn_select(rn_on_timeout(RN_MINUTE), rn_on_recv(out, &v)), 1);
        CHECK_EQ(v, i);
    }
    CHECK(rn_now() - start < RN_MINUTE);
    rn_close(in);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    rn_chan_release(in);
    rn_chan_release(out);
}

/* So many periods from one tick to the n-th after it; a multiple of the period in any case, since the values show the
 * due times, which are exact whatever the machine does. */
static int64_t periods(rn_ticker *k, rn_dur period, int n)
{
    rn_time first = rn_recv(rn_ticker_chan(k)), last = first;

    for (int i = 0; i < n; i++) {
        rn_time v = rn_recv(rn_ticker_chan(k));

        CHECK(v > last);
        CHECK_EQ((v - first) % period, 0);
        last = v;
    }
    return (last - first) / period;
}

/* A machine that stands still loses ticks, but not every time. */
#define NO_TICK_LOST(k, period, n)                                                                 \
    do {                                                                                           \
        int tries = 0;                                                                             \
        while (periods((k), (period), (n)) != (n))                                                 \
            CHECK(++tries < 100);                                                                  \
    } while (0)

GO_TEST(time_23_24_ticks_stay_in_phase)
{
    rn_ticker k = {0};
    rn_time before = rn_now(), after, v;

    rn_ticker_start(&k, 3 * MS);
    after = rn_now();
    v = rn_recv(rn_ticker_chan(&k)); /* the first one, or a later one of that phase */
    CHECK(v >= before + 3 * MS && (v - before) % (3 * MS) <= after - before);
    NO_TICK_LOST(&k, 3 * MS, 10);

    before = rn_now();
    CHECK(rn_ticker_reset(&k, 5 * MS)); /* the new period counts from then on */
    after = rn_now();
    v = rn_recv(rn_ticker_chan(&k));
    CHECK(v >= before + 5 * MS && (v - before) % (5 * MS) <= after - before);
    NO_TICK_LOST(&k, 5 * MS, 5);
    rn_ticker_free(&k);
}

GO_TEST(time_24_a_slow_receiver_loses_ticks)
{
    rn_ticker k = {0};
    rn_time start = rn_now(), first, v;

    rn_ticker_start(&k, 2 * MS);
    first = rn_recv(rn_ticker_chan(&k));
    CHECK(first >= start + 2 * MS);
    sleep_past(rn_now() + 40 * MS);  /* twenty are due */
    v = rn_recv(rn_ticker_chan(&k)); /* one was kept */
    CHECK(v > first);
    CHECK_EQ((v - first) % (2 * MS), 0);
    v = rn_recv(rn_ticker_chan(&k));
    CHECK(v >= start + 40 * MS);         /* the others were not */
    CHECK_EQ((v - first) % (2 * MS), 0); /* and it goes on in phase */
    rn_ticker_free(&k);
}

/* TIME-24: of the ticks that nobody received one is there, and no second. */
GO_TEST(time_24_one_tick_is_kept)
{
    rn_ticker k = {0};
    int tries = 0;

    rn_ticker_start(&k, 20 * MS);
    do {
        sleep_past(rn_now() + 50 * MS);
        CHECK(ticked(&k));
    } while (ticked(&k) && ++tries < 20); /* the next one came just now, but not every time */
    CHECK(tries < 20);
    rn_ticker_free(&k);
}

static void count_ticks(rn_ticker *k, rn_chan(int) stop, _Atomic int *n)
{
    while (rn_select(rn_on_recv(rn_ticker_chan(k), NULL), rn_on_recv(stop, NULL)) == 0)
        ++*n;
}

/* TIME-25: who waits for ticks goes on waiting when the ticker is stopped. */
GO_TEST(time_25_receivers_of_a_stopped_ticker_wait)
{
    rn_chan(int) stop = rn_chan_make(int, 0);
    _Atomic int n = 0;
    rn_ticker k = {0};
    rn_wg wg = {0};
    int seen;

    for (int i = 0; i < 3; i++)
        rn_wg_go(&wg, count_ticks, &k, stop, &n);
    rn_ticker_start(&k, MS);
    AWAIT(n >= 5);
    rn_ticker_stop(&k);
    AWAIT(test_parked() == 3);
    seen = n;
    sleep_past(rn_now() + 10 * MS);
    test_let_run();
    CHECK_EQ(n, seen);
    CHECK_EQ(test_parked(), 3);
    rn_close(stop);
    rn_wg_wait(&wg);
    CHECK_EQ(n, seen);
    rn_ticker_free(&k);
    rn_chan_release(stop);
}

GO_TEST(time_25_a_stopped_tickers_channel_stays_open)
{
    rn_ticker k = {0};
    bool ok = false;

    rn_ticker_start(&k, MS);
    (void)rn_recv(rn_ticker_chan(&k));
    rn_ticker_stop(&k);
    rn_ticker_stop(&k);
    CHECK(!rn_try_recv_ok(rn_ticker_chan(&k), NULL, &ok));
    CHECK_EQ(rn_select(rn_on_recv(rn_ticker_chan(&k), NULL), rn_on_timeout(10 * MS)), 1);
    rn_ticker_start(&k, MS); /* and it can be started again */
    CHECK(rn_recv_ok(rn_ticker_chan(&k), NULL));
    rn_ticker_free(&k);
}

static int start_zero(void)
{
    rn_ticker k = {0};

    rn_ticker_start(&k, 0);
    return 0;
}
static void start_zero_run(void)
{
    (void)rn_run(start_zero);
}
static int start_negative(void)
{
    rn_ticker k = {0};

    rn_ticker_start(&k, -RN_SECOND);
    return 0;
}
static void start_negative_run(void)
{
    (void)rn_run(start_negative);
}
static int reset_zero(void)
{
    rn_ticker k = {0};

    rn_ticker_start(&k, 1);
    rn_ticker_reset(&k, 0);
    return 0;
}
static void reset_zero_run(void)
{
    (void)rn_run(reset_zero);
}
static int reset_negative(void)
{
    rn_ticker k = {0};

    rn_ticker_start(&k, 1);
    rn_ticker_reset(&k, -1);
    return 0;
}
static void reset_negative_run(void)
{
    (void)rn_run(reset_negative);
}

PLAIN_TEST(time_26_a_period_of_nothing_panics)
{
    CHECK_PANICS(start_zero_run, "non-positive interval for NewTicker");
    CHECK_PANICS(start_negative_run, "non-positive interval for NewTicker");
    CHECK_PANICS(reset_zero_run, "non-positive interval for Ticker.Reset");
    CHECK_PANICS(reset_negative_run, "non-positive interval for Ticker.Reset");
}

/* D33 */
GO_TEST(time_28_zero_timers_and_tickers_are_stopped_ones)
{
    rn_timer t = {0};
    rn_ticker k = {0};

    CHECK(!rn_timer_stop(&t));
    rn_ticker_stop(&k);
    CHECK(!fired(&t));
    CHECK(!ticked(&k));
    rn_timer_free(&t);
    rn_ticker_free(&k);
}

static uint64_t timers_armed(void)
{
    struct rn_metrics m;

    (void)rn_metrics(&m, sizeof m);
    return m.timers;
}

/* TIME-30 in C: every timer has an owner, and what fires or stops by itself frees itself. */
GO_TEST(time_30_after_functions_leave_nothing_behind)
{
    static _Atomic int n; /* the last one may come when this has returned */
    long before = 0;
    rn_chan(int) never = rn_chan_make(int, 0);

    for (int round = 0; round < 8; round++) {
        for (int i = 0; i < test_times(50000); i++) {
            int v;

            rn_timer_free(rn_after_func(RN_HOUR, add_one, &n));
            if (i % 10 == 0) {
                rn_ctx *ctx = rn_ctx_with_timeout(rn_ctx_background(), i % 20 ? RN_HOUR : 0);

                rn_go_after(0, add_one, &n);
                rn_ctx_end(ctx);
            }
            CHECK_EQ(rn_select(rn_on_recv(never, &v), rn_on_timeout(RN_HOUR), rn_default), 2);
        }
        AWAIT(n == (round + 1) * ((test_times(50000) + 9) / 10));
        CHECK_EQ(rn_settle(RN_MINUTE), 0);
        CHECK_EQ(timers_armed(), 0);
        if (round == 0)
            before = rss_kib();
    }
    if (!UNDER_ASAN && !UNDER_TSAN)
        CHECK(rss_kib() - before < 8 * 1024);
    rn_chan_release(never);
}

GO_TEST(time_31_a_ticker_of_one_nanosecond_delivers)
{
    _Atomic int stop = 0;
    rn_ticker k = {0};
    rn_wg wg = {0};
    rn_time last = 0;

    rn_wg_go(&wg, keep_allocating, &stop);
    rn_ticker_start(&k, 1);
    for (int i = 0; i < 100; i++) {
        rn_time v = rn_recv(rn_ticker_chan(&k));

        CHECK(v > last);
        last = v;
    }
    rn_ticker_free(&k);
    stop = 1;
    rn_wg_wait(&wg);
}

/* ---- Arguments and handles (decision 33) ---------------------------------------------------------- */

static void store_args(rn_chan(double) ch, int a, double b, const char *c)
{
    rn_send(ch, a + b + (double)strlen(c));
}

GO_TEST(d33_arguments_are_captured_at_the_call)
{
    rn_chan(double) ch = rn_chan_make(double, 0);
    char text[8] = "abc";
    int a = 1;
    double b = 0.5, first;
    rn_timer *t = rn_after_func(MS, store_args, ch, a, b, &text[0]);

    rn_go_after(5 * MS, store_args, ch, a + 10, b, "");
    a = 100;
    b = 200;
    first = rn_recv(ch); /* on a slow machine both are due, and either may come first */
    CHECK(first == 4.5 || first == 11.5);
    CHECK(rn_recv(ch) == 16 - first);
    CHECK(!rn_timer_reset(t, 0)); /* run again, with the same arguments */
    CHECK(rn_recv(ch) == 4.5);
    rn_timer_free(t);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    rn_chan_release(ch);
}

static void free_timer_later(rn_timer **t, rn_wg *wg)
{
    rn_timer_free(*t); /* a function may free the handle of its own timer */
    rn_wg_done(wg);
}

GO_TEST(d07_a_fired_handle_is_freed_like_an_unfired_one)
{
    for (int i = 0; i < test_times(2000); i++) {
        rn_timer *t;
        rn_wg wg = {0};

        rn_wg_add(&wg, 1);
        t = rn_after_func(RN_HOUR, free_timer_later, &t, &wg);
        rn_timer_reset(t, i % 2 * 1000);
        rn_wg_wait(&wg);
    }
}

GO_TEST(d33_timers_may_leave_scope_after_free)
{
    for (int i = 0; i < test_times(20000); i++) {
        rn_timer *t = calloc(1, sizeof(*t));
        rn_ticker *k = calloc(1, sizeof(*k));

        rn_timer_reset(t, i % 3 * 1000);
        rn_ticker_start(k, 1 + i % 5 * 1000);
        if (i % 4 == 0)
            rn_yield();
        rn_timer_free(t);
        rn_ticker_free(k);
        memset(t, 0xff, sizeof(*t));
        memset(k, 0xff, sizeof(*k));
        free(t);
        free(k);
    }
}

GO_TEST(d33_a_deadline_bounds_a_whole_loop)
{
    rn_time end = rn_now() + 10 * MS;
    rn_ticker k = {0};
    int n = 0;

    rn_ticker_start(&k, MS);
    while (rn_select(rn_on_recv(rn_ticker_chan(&k), NULL), rn_on_deadline(end)) == 0)
        n++;
    CHECK(rn_now() >= end);
    CHECK(n <= 11);
    rn_ticker_free(&k);
}

/* ---- Many ----------------------------------------------------------------------------------------- */

GO_TEST(time_a_million_pending_timers)
{
    const int n = test_times(1000000);
    rn_timer *t = calloc((size_t)n, sizeof(*t));
    rn_time start = rn_now();
    rn_timer soon = {0};

    CHECK(t != NULL);
    for (int i = 0; i < n; i++)
        CHECK(!rn_timer_reset(&t[i],
                              RN_HOUR + (int64_t)(((uint64_t)i * 2654435761u) % 1000000) * MS));
    rn_timer_reset(&soon, MS); /* among all those it still fires */
    (void)rn_recv(rn_timer_chan(&soon));
    for (int i = 0; i < n; i += 2)
        CHECK(rn_timer_reset(&t[i], 2 * RN_HOUR));
    for (int i = 0; i < n; i++)
        CHECK(rn_timer_stop(&t[i]));
    CHECK(rn_now() - start < 30 * RN_SECOND); /* about a second; a list would take hours */
    free(t);
}

struct hammer {
    rn_timer t;
    _Atomic int n;
};

static void hammer_one(struct hammer *h, int i)
{
    for (int k = 0; k < 200; k++) {
        if ((k + i) % 3 == 0)
            (void)rn_timer_stop(&h->t);
        else if ((k + i) % 3 == 1)
            (void)rn_timer_reset(&h->t, (k % 7) * 10000);
        else if (rn_try_recv(rn_timer_chan(&h->t), NULL))
            h->n++;
        if (k % 16 == 0)
            rn_yield();
    }
}

GO_TEST(time_10_11_one_timer_in_many_hands)
{
    for (int round = 0; round < test_times(100); round++) {
        static struct hammer h;
        rn_wg wg = {0};

        for (int i = 0; i < 6; i++)
            rn_wg_go(&wg, hammer_one, &h, i);
        rn_wg_wait(&wg);
        (void)rn_timer_stop(&h.t);
        CHECK(!fired(&h.t));
        CHECK(!rn_timer_reset(&h.t, 0));
        (void)rn_recv(rn_timer_chan(&h.t));
    }
}
