/* SPDX-License-Identifier: MIT */
/*
 * rules.c - what holds between a program and its runtime: how main ends, what a panic on the way out does,
 * that a search for work passes nobody by, that a sleeping runtime can be woken, that stacks stay where they
 * are. RT items that need no time to be measured.
 */
#define _GNU_SOURCE
#include "process.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- The end of main ------------------------------------------------------------------------------------- */

static void say_at_end(const char *what)
{
    puts(what);
    fflush(stdout);
}

static void stay(rn_chan(int) ch)
{
    rn_defer(say_at_end, "a deferred call ran");

    (void)rn_recv(ch);
    puts("it went on");
}

static rn_chan(int) never;

static int leave_waiting(void)
{
    never = rn_chan_make(int, 0);
    for (int i = 0; i < 10; i++)
        rn_go(stay, never);
    test_let_run();
    return 3;
}

static void main_with_goroutines_left(void)
{
    exit(rn_run(leave_waiting) +
         4); /* main goes on after rn_run, and its status is the process's */
}

/* RT-03 */
PLAIN_TEST(rt_03_main_ends_and_waits_for_nobody)
{
    struct child c = run_child(main_with_goroutines_left);

    CHECK_EXIT(&c, 7);
    CHECK_STR(c.said, ""); /* nobody went on, and no deferred call ran */
    free(c.said);
}

static void panic_deferred(int unused)
{
    (void)unused;
    rn_panic("on the way out");
}

static int panic_while_exiting(void)
{
    rn_defer(say_at_end, "the rest ran");
    rn_defer(panic_deferred, 1);

    rn_exit(0);
}

static void panic_while_exiting_run(void)
{
    (void)!rn_run(panic_while_exiting);
}

/* RT-10 in C: a panic in a deferred call during rn_exit ends the process; the deferred calls that were still
 * to come do not run. */
PLAIN_TEST(rt_10_a_panic_during_exit_kills)
{
    struct child c = run_child(panic_while_exiting_run);

    CHECK_EXIT(&c, 2);
    CHECK(strncmp(c.said, "panic: on the way out\n", strlen("panic: on the way out\n")) == 0);
    CHECK(strstr(c.said, "the rest ran") == NULL);
    free(c.said);
}

/* ---- The search for work ----------------------------------------------------------------------------------- */

enum { BUSY_MOST = 7, CHILDREN = 64 };
static _Atomic int arrived, ran[BUSY_MOST];

static void child(int of)
{
    ran[of]++;
}

/* Fills its own processor's queue, and keeps that processor until one of them has run elsewhere. */
static void parent(int me, int n)
{
    arrived++;
    while (arrived < n)
        rn_yield();
    for (int i = 0; i < CHILDREN; i++)
        rn_go(child, me);
    while (ran[me] == 0)
        ;
}

static int all_but_one_busy(int procs)
{
    for (int round = 0; round < test_times(50); round++) {
        rn_wg wg = {0};

        arrived = 0;
        for (int i = 0; i < procs - 1; i++) {
            ran[i] = 0;
            rn_wg_go(&wg, parent, i, procs - 1);
        }
        rn_wg_wait(&wg);
        test_expect_settled(__FILE__, __LINE__);
        for (int i = 0; i < procs - 1; i++)
            CHECK_EQ(ran[i], CHILDREN);
    }
    return 0;
}

/* RT-27: all processors but one are kept by goroutines that wait, without yielding, for what is in their own
 * queue; so the one that is free must come by each of them in its search. (A monitor that takes processors
 * from those who compute frees them too, but later.) */
PLAIN_TEST(rt_27_a_search_visits_every_processor)
{
    for (int procs = 2; procs <= BUSY_MOST; procs++) {
        CHECK_EQ(rn_set_procs(procs), 0);
        CHECK_EQ(rn_run(all_but_one_busy, procs), 0);
    }
}

/* ---- A runtime that sleeps ----------------------------------------------------------------------------------- */

static _Atomic int about_to_sleep;

static void *wake_from_thread(void *ch)
{
    while (!about_to_sleep)
        usleep(1000);
    usleep(20000); /* that it sleeps is likely by now; the result is the same if it does not */
    rn_send((rn_chan(int))ch, 1);
    return NULL;
}

static int sleep_until_woken(int procs)
{
    rn_chan(int) ch = rn_chan_make(int, 0);
    pthread_t t;
    rn_time due;

    (void)procs;
    about_to_sleep = 0;
    CHECK_EQ(pthread_create(&t, NULL, wake_from_thread, (void *)ch), 0);
    due = rn_now() + 30 * RN_SECOND;
    about_to_sleep = 1;
    CHECK_EQ(rn_select(rn_on_recv(ch, NULL), rn_on_deadline(due)), 0);
    CHECK(rn_now() < due); /* not because the timer woke it */
    (void)rn_blocking(pthread_join(t, NULL));
    rn_chan_release(ch);
    return 0;
}

/* RT-34: what another thread wakes need not wait until the next timer is due. */
PLAIN_TEST(rt_34_another_thread_wakes_a_sleeping_runtime)
{
    for (int procs = 1; procs <= 2; procs++) {
        CHECK_EQ(rn_set_procs(procs), 0);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(rn_run(sleep_until_woken, procs), 0);
    }
}

/* ---- Stacks of those who wait --------------------------------------------------------------------------------- */

struct large {
    unsigned char byte[2000];
};

static void fill(struct large *l, int seed)
{
    for (size_t i = 0; i < sizeof(l->byte); i++)
        l->byte[i] = (unsigned char)(i * 31 + (size_t)seed);
}

static bool is_filled(const struct large *l, int seed)
{
    for (size_t i = 0; i < sizeof(l->byte); i++) {
        if (l->byte[i] != (unsigned char)(i * 31 + (size_t)seed))
            return false;
    }
    return true;
}

/* Values, destinations and cases on the stack, and a pointer into it kept elsewhere. */
static void wait_with_pointers(rn_chan(struct large) in, rn_chan(struct large) out, int seed,
                               struct large *volatile *place)
{
    struct large sent, got;
    bool ok = false;

    fill(&sent, seed);
    memset(&got, 0, sizeof(got));
    *place = &sent;
    CHECK_EQ(rn_select(rn_on_recv_ok(in, &got, &ok), rn_on_timeout(RN_HOUR)), 0);
    CHECK(ok && is_filled(&got, 77));
    CHECK(*place == &sent && is_filled(*place, seed));
    rn_send(out, sent);
    CHECK(is_filled(&sent, seed));
}

static int use_stack_below(size_t bytes)
{
    volatile char frame[1024];

    frame[0] = frame[1023] = (char)bytes;
    return (bytes > 1100 ? use_stack_below(bytes - 1100) : 0) + frame[0] + frame[1023];
}

static void churn(int i)
{
    CHECK(use_stack_below((size_t)(1 + i % 50) * 1024) != INT32_MIN);
    rn_yield();
}

/* RT-35: what points into the stack of one that waits stays valid until it goes on, while thousands of other
 * stacks are made, used deeply and given back. */
GO_TEST(rt_35_stacks_stay_where_they_are)
{
    enum { N = 100 };
    rn_chan(struct large) in = rn_chan_make(struct large, 0), out = rn_chan_make(struct large, 0);
    static struct large *volatile place[N];
    bool seen[N] = {false};
    struct large value;

    for (int i = 0; i < N; i++)
        rn_go(wait_with_pointers, in, out, i, &place[i]);
    for (int round = 0; round < 10; round++) {
        rn_wg wg = {0};

        for (int i = 0; i < test_times(1000); i++)
            rn_wg_go(&wg, churn, i);
        rn_wg_wait(&wg);
    }
    fill(&value, 77);
    for (int i = 0; i < N; i++)
        rn_send(in, value);
    AWAIT(test_parked() == N); /* and all over again, while they wait to send */
    for (int round = 0; round < 3; round++) {
        rn_wg wg = {0};

        for (int i = 0; i < test_times(1000); i++)
            rn_wg_go(&wg, churn, i);
        rn_wg_wait(&wg);
    }
    for (int i = 0; i < N; i++) {
        int seed;

        value = rn_recv(out);
        seed = value.byte[0];
        CHECK(seed < N && !seen[seed] && is_filled(&value, seed));
        seen[seed] = true;
    }
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(in);
    rn_chan_release(out);
}
