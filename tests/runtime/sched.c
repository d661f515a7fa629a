/* SPDX-License-Identifier: MIT */
/*
 * sched.c - goroutines and the scheduler: ids, names, counts, processors, fairness, park and ready,
 * threads, errno, arguments. RT items that are about a living program.
 */
#define _GNU_SOURCE
#include "process.h"

#include <runnel/errno.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static long thread_id(void)
{
    return syscall(SYS_gettid);
}

/* ---- Ids, names, counts ---------------------------------------------------------------------------- */

static void note_id(_Atomic uint64_t *slot)
{
    *slot = rn_self_id();
    for (int i = 0; i < 3; i++) {
        rn_yield();
        CHECK(*slot == rn_self_id());
    }
}

GO_TEST(rt_20_21_ids_and_count)
{
    enum { N = 200 };
    static _Atomic uint64_t id[2 * N];
    rn_wg wg = {0};

    CHECK_EQ(rn_self_id(), 1);
    CHECK_EQ(rn_count(), 1);
    for (int i = 0; i < N; i++)
        rn_wg_go(&wg, note_id, &id[i]);
    rn_wg_wait(&wg);
    for (int i = 0; i < N; i++)
        rn_wg_go(&wg, note_id, &id[N + i]); /* the first ones are dead: no id comes again */
    rn_wg_wait(&wg);
    for (int i = 0; i < 2 * N; i++) {
        CHECK(id[i] > 1);
        for (int k = 0; k < i; k++)
            CHECK(id[i] != id[k]);
    }
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    CHECK_EQ(rn_count(), 1);
}

static void until_closed(rn_chan(int) gate)
{
    (void)rn_recv(gate);
}
static void nothing(void) {}

/* D19: whether it has run or not, a goroutine counts. */
GO_TEST(rt_20_count_sees_started_and_unstarted_but_no_pending_timers)
{
    rn_chan(int) gate = rn_chan_make(int, 0);
    rn_timer *t = rn_after_func(RN_HOUR, nothing);

    rn_go_after(RN_HOUR, nothing);
    CHECK_EQ(rn_count(), 1);
    for (int i = 0; i < 100; i++) {
        rn_go(until_closed, gate);
        CHECK_EQ(rn_count(), 2 + i);
    }
    test_let_run();
    CHECK_EQ(rn_count(), 101);
    rn_close(gate);
    AWAIT(rn_count() == 1);
    rn_timer_free(t);
    rn_chan_release(gate);
}

GO_TEST(d38_settle)
{
    rn_chan(int) gate = rn_chan_make(int, 0);

    CHECK_EQ(rn_settle(0), 0);
    CHECK_EQ(rn_settle(RN_HOUR), 0); /* at once */
    for (int i = 0; i < 10; i++)
        rn_go(until_closed, gate);
    CHECK_EQ(rn_settle(RN_MILLISECOND), 10);
    CHECK_EQ(rn_settle(0), 10);
    rn_close(gate);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    rn_chan_release(gate);
}

static void set_names(void)
{
    rn_set_name("worker");
    rn_set_name("a name that is far too long for the thirty-one bytes there are");
    rn_yield();
    rn_set_name(NULL);
}

GO_TEST(rt_names_are_copied)
{
    char name[] = "short-lived";
    rn_wg wg = {0};

    rn_go_with(RN_ATTR(.name = name), set_names);
    memset(name, 'x', sizeof(name) - 1);
    rn_wg_go(&wg, set_names);
    rn_set_name("first");
    rn_wg_wait(&wg);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
}

PLAIN_TEST(rt_a_plain_thread_is_nobody)
{
    CHECK_EQ(rn_self_id(), 0);
    rn_set_name("no effect");
    rn_yield();
    rn_lock_thread();
    rn_unlock_thread();
    rn_unlock_thread();
}

/* ---- Arguments --------------------------------------------------------------------------------------- */

struct pair {
    int64_t a;
    double b;
};

static void many_args(rn_chan(int) ok, int8_t a, double b, float c, const char *d, struct pair e,
                      uint64_t f, double g, double h, int64_t i, int64_t j, float k, int64_t l)
{
    rn_yield();
    rn_send(ok, a == -3 && b == 1.25 && c == 2.5f && strcmp(d, "text") == 0 && e.a == 7 &&
                    e.b == 8.5 && f == UINT64_MAX && g == -0.5 && h == 1e300 && i == INT64_MIN &&
                    j == 11 && k == 0.125f && l == 12);
}

static void long_doubles(rn_chan(int) ok, long double a, int b, long double c)
{
    rn_send(ok, a == 1.5L && b == 2 && c == -2.25L);
}

GO_TEST(rt_01_arguments_in_all_registers_and_on_the_stack)
{
    rn_chan(int) ok = rn_chan_make(int, 0);
    struct pair e = {7, 8.5};
    int a = -3;

    rn_go(many_args, ok, (int8_t)a, 1.25, 2.5f, "text", e, UINT64_MAX, -0.5, 1e300, INT64_MIN, 11,
          0.125f, 12);
    a = 0; /* evaluated and copied then */
    e.a = 0;
    CHECK(rn_recv(ok));
    rn_go(long_doubles, ok, 1.5L, 2, -2.25L);
    CHECK(rn_recv(ok));
    rn_chan_release(ok);
}

static double keep_floats(int i)
{
    double sum = 0, x = i * 0.5, y = x + 1, z = y * 2;

    for (int k = 0; k < 50; k++) {
        sum += x * y + z;
        rn_yield(); /* x, y and z live in registers that callers keep, or on this stack */
        CHECK(x == i * 0.5 && y == x + 1 && z == y * 2);
    }
    return sum;
}
static void check_floats(int i)
{
    double x = i * 0.5, y = x + 1, z = y * 2;

    CHECK(keep_floats(i) > 50 * (x * y + z) - 1);
}

GO_TEST(rt_floating_point_survives_switches)
{
    rn_wg wg = {0};

    for (int i = 0; i < 100; i++)
        rn_wg_go(&wg, check_floats, i);
    rn_wg_wait(&wg);
}

/* ---- Yield and fairness -------------------------------------------------------------------------------- */

static void send_one(rn_chan(int) ch)
{
    rn_send(ch, 1);
}

static void spin_on_yield(void)
{
    for (int locked = 0; locked < 2; locked++) {
        rn_chan(int) ch = rn_chan_make(int, 0);
        int v;

        if (locked)
            rn_lock_thread();
        rn_go(send_one, ch);
        while (!rn_try_recv(ch, &v))
            rn_yield();
        CHECK_EQ(v, 1);
        if (locked)
            rn_unlock_thread();
        CHECK_EQ(rn_settle(RN_MINUTE), 0);
        rn_chan_release(ch);
    }
}

static _Atomic int yields; /* of all */
static void yield_always(const _Atomic int *over)
{
    while (!*over) {
        yields++;
        rn_yield();
    }
}
static void see_yields(rn_recv_only(int) in, rn_send_only(int) out)
{
    rn_range (before, in)
        rn_send(out, yields - before);
}
/* Who is woken goes before all that yielded, but for one that has its turn. */
GO_TEST_PROCS(rt_22_who_is_woken_goes_before_those_that_yield, 1)
{
    enum { SPINNERS = 20, ROUNDS = 1000 };
    rn_chan(int) in = rn_chan_make(int, 0), out = rn_chan_make(int, 0);
    _Atomic int over = 0;
    int at_once = 0;
    rn_wg wg = {0};

    yields = 0;
    for (int i = 0; i < SPINNERS; i++)
        rn_wg_go(&wg, yield_always, &over);
    rn_go(see_yields, in, out);
    for (int i = 0; i < ROUNDS; i++) {
        rn_yield(); /* the spinners are queued, and the receiver waits */
        rn_send(in, yields);
        at_once += rn_recv(out) <= 1;
    }
    over = 1;
    rn_wg_wait(&wg);
    rn_close(in);
    CHECK(at_once > ROUNDS / 2); /* a machine that stands still may spoil some */
    AWAIT(rn_count() == 1);
    rn_chan_release(in);
    rn_chan_release(out);
}

GO_TEST(rt_22_a_spinner_on_yield_gets_its_message)
{
    spin_on_yield();
}

GO_TEST_PROCS(rt_22_and_on_one_processor, 1)
{
    spin_on_yield();
}

static void set_flag(_Atomic int *flag)
{
    *flag = 1;
}

static int rt_24_spinner(void)
{
    _Atomic int flag = 0;

    CHECK_EQ(rn_procs(), 1);
    rn_go(set_flag, &flag);
    while (!flag)
        ; /* never yields: the processor is taken from it */
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    return 0;
}

PLAIN_TEST(rt_24_a_spinner_does_not_starve_others)
{
    CHECK_EQ(rn_set_procs(1), 0);
    CHECK_EQ(rn_run(rt_24_spinner), 0);
}

static void alternate(_Atomic int *turn, int me, int n)
{
    for (int i = 0; i < n; i++) {
        while (*turn != me)
            ;
        *turn = !me;
    }
}

static int rt_24_alternating(void)
{
    _Atomic int turn = 0;
    rn_wg wg = {0};

    rn_wg_go(&wg, alternate, &turn, 0, 5);
    rn_wg_go(&wg, alternate, &turn, 1, 5);
    rn_wg_wait(&wg);
    return 0;
}

PLAIN_TEST(rt_24_two_spinners_alternate)
{
    CHECK_EQ(rn_set_procs(1), 0);
    CHECK_EQ(rn_run(rt_24_alternating), 0);
}

static void ping(rn_chan(int) in, rn_chan(int) out, _Atomic int64_t *n, _Atomic int *stop)
{
    for (;;) {
        int v = rn_recv(in);

        ++*n;
        if (*stop)
            v = -1;
        rn_send(out, v);
        if (v < 0)
            return;
    }
}

static int hog_pair(rn_chan(int) a, rn_chan(int) b)
{
    static _Atomic int stop,
        flag; /* not on the stack: the last of the pair may outlive this goroutine */
    static _Atomic int64_t n;

    stop = flag = 0;
    n = 0;
    rn_go(ping, a, b, &n, &stop);
    rn_go(ping, b, a, &n, &stop);
    rn_send(a, 1);
    AWAIT(n > 1000);
    rn_go(set_flag, &flag);   /* behind the pair, in the same queue */
    rn_sleep(RN_MILLISECOND); /* and a timer is seen to */
    AWAIT(flag);
    stop = 1;
    AWAIT(rn_count() <= 2); /* the last may wait for an answer that does not come */
    return 0;
}

PLAIN_TEST(rt_25_a_pair_that_talks_only_to_each_other_does_not_starve_the_rest)
{
    for (int procs = 1; procs <= 3; procs += 2) {
        rn_chan(int) a = rn_chan_make(int, 1), b = rn_chan_make(int, 1);

        CHECK_EQ(rn_set_procs(procs), 0);
        CHECK_EQ(rn_run(hog_pair, a, b), 0);
        rn_chan_release(a);
        rn_chan_release(b);
    }
}

static void light(rn_chan(int) in, rn_chan(int) out, _Atomic int64_t *n)
{
    for (;;) {
        int v = rn_recv(in);

        ++*n;
        rn_send(out, v);
    }
}

static int ping_pong_hog(void)
{
    static rn_chan(int) a, b, c, d;
    static _Atomic int stop;
    static _Atomic int64_t hog, calm;
    double ratio;

    a = rn_chan_make(int, 1), b = rn_chan_make(int, 1);
    c = rn_chan_make(int, 1), d = rn_chan_make(int, 1);
    rn_go(ping, a, b, &hog, &stop);
    rn_go(ping, b, a, &hog, &stop);
    rn_go(light, c, d, &calm);
    rn_go(light, d, c, &calm);
    rn_send(a, 1);
    rn_send(c, 1);
    rn_sleep(100 * RN_MILLISECOND);
    ratio = (double)hog / ((double)calm + 1);
    CHECK(calm > 0);
    if (ratio > 20 || ratio < 0.05)
        test_fail(__FILE__, __LINE__, "one pair %lld rounds, the other %lld", (long long)hog,
                  (long long)calm);
    return 0;
}

PLAIN_TEST(rt_25_two_pairs_share_a_processor)
{
    CHECK_EQ(rn_set_procs(1), 0);
    CHECK_EQ(rn_run(ping_pong_hog), 0);
}

static void yield_until(_Atomic int *stop)
{
    while (!*stop)
        rn_yield();
}
static void *go_from_thread(void *flag)
{
    rn_go(set_flag, (_Atomic int *)flag);
    return NULL;
}

static int global_queue(void)
{
    _Atomic int stop = 0, flag = 0;
    pthread_t t;

    for (int i = 0; i < 8; i++)
        rn_go(yield_until, &stop); /* the local queue is never empty */
    pthread_create(&t, NULL, go_from_thread, &flag);
    AWAIT(flag);
    stop = 1;
    (void)rn_blocking(pthread_join(t, NULL));
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    return 0;
}

/* Also by who yields alone, and would go on at once otherwise, many times over. */
static _Atomic int queued_from_outside;
static void *go_and_tell(void *flag)
{
    (void)go_from_thread(flag);
    queued_from_outside = 1;
    return NULL;
}
GO_TEST_PROCS(rt_28_who_yields_alone_lets_those_from_outside_run, 1)
{
    _Atomic int flag = 0;
    pthread_t t;

    queued_from_outside = 0;
    pthread_create(&t, NULL, go_and_tell, &flag);
    while (!queued_from_outside)
        ;
    for (int i = 0; i < 4 && !flag; i++)
        rn_yield();
    CHECK(flag);
    (void)rn_blocking(pthread_join(t, NULL));
}

PLAIN_TEST(rt_28_a_goroutine_from_outside_is_reached)
{
    for (int procs = 1; procs <= 2; procs++) {
        CHECK_EQ(rn_set_procs(procs), 0);
        for (int round = 0; round < test_times(20); round++)
            CHECK_EQ(rn_run(global_queue), 0);
    }
}

static void hand_round(_Atomic int *turn, int me, int n, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        while (*turn % n != me)
            ;
        ++*turn;
    }
}

static int parallel(int n)
{
    _Atomic int turn = 0;
    rn_wg wg = {0};

    CHECK_EQ(rn_procs(), n);
    for (int i = 0; i < n; i++)
        rn_wg_go(&wg, hand_round, &turn, i, n, 20);
    rn_wg_wait(&wg);
    CHECK_EQ(turn, 20 * n);
    rn_sleep(5 * RN_MILLISECOND); /* all idle, and again */
    turn = 0;
    for (int i = 0; i < n; i++)
        rn_wg_go(&wg, hand_round, &turn, i, n, 20);
    rn_wg_wait(&wg);
    return 0;
}

PLAIN_TEST(rt_23_as_many_run_at_once_as_there_are_processors)
{
    for (int n = 1; n <= 4; n++) {
        CHECK_EQ(rn_set_procs(n), 0);
        CHECK_EQ(rn_run(parallel, n), 0);
    }
}

static uint64_t handoffs(void)
{
    struct rn_metrics m;

    (void)rn_metrics(&m, sizeof m);
    return m.handoffs;
}
static void meet(_Atomic int *here, int n)
{
    ++*here;
    while (*here < n)
        ;
}

/* Goroutines that wait for one another without yielding: all run at once, or the monitor has to take the processor of
 * one that waits for the next. On a busy machine it does so at times. */
static int meet_without_the_monitor(int n, bool nested, int rounds)
{
    for (int round = 0; round < rounds; round++) {
        uint64_t before = handoffs();
        _Atomic int here = 0;
        rn_wg wg = {0};

        if (round % 4 == 3)
            rn_sleep(RN_MILLISECOND); /* all have been idle */
        for (int i = nested; i < n; i++)
            rn_wg_go(&wg, meet, &here, n);
        if (nested)
            meet(&here, n);
        rn_wg_wait(&wg);
        if (handoffs() == before)
            return 0;
    }
    return -1;
}

PLAIN_TEST(rt_23_without_the_monitors_help)
{
    if (test_is_slow())
        SKIP("tools run one thread at a time, or for long");
    for (int n = 2; n <= 4; n++) {
        CHECK_EQ(rn_set_procs(n), 0);
        for (int nested = 0; nested <= 1; nested++)
            CHECK_EQ(rn_run(meet_without_the_monitor, n, nested, 1000), 0);
    }
    CHECK_EQ(rn_set_procs(1), 0); /* and more do not */
    CHECK_EQ(rn_run(meet_without_the_monitor, 2, false, 3), -1);
}

static void nest(rn_wg *wg, _Atomic int *n, int depth)
{
    ++*n;
    for (int i = 0; i < 3 && depth > 0; i++)
        rn_wg_go(wg, nest, wg, n, depth - 1);
}

GO_TEST(rt_26_none_is_lost_or_run_twice)
{
    _Atomic int n = 0;
    rn_wg wg = {0};

    rn_wg_go(&wg, nest, &wg, &n, test_is_slow() ? 7 : 11);
    rn_wg_wait(&wg);
    CHECK_EQ(n, test_is_slow() ? 3280 : 265720);
}

static void short_calls(_Atomic int *stop, rn_wg *up, bool announced)
{
    rn_wg_done(up);
    while (!*stop) {
        if (announced)
            (void)rn_sys(getppid());
        else
            (void)getppid();
    }
}

static int short_system_calls(bool announced)
{
    _Atomic int stop = 0;
    rn_wg wg = {0}, up = {0};

    rn_wg_add(&up, 8);
    for (int i = 0; i < 8; i++)
        rn_wg_go(&wg, short_calls, &stop, &up, announced);
    rn_wg_wait(&up);
    stop = 1;
    rn_wg_wait(&wg);
    return 0;
}

PLAIN_TEST(rt_29_short_system_calls_in_a_loop_starve_nobody)
{
    CHECK_EQ(rn_set_procs(2), 0);
    CHECK_EQ(rn_run(short_system_calls, true), 0);
    CHECK_EQ(rn_run(short_system_calls, false), 0);
}

/* ---- Processors ---------------------------------------------------------------------------------------- */

static int return_procs(void)
{
    return rn_procs();
}

static int work_on_many(void)
{
    _Atomic int n = 0;
    rn_wg wg = {0};

    rn_wg_go(&wg, nest, &wg, &n, 6);
    rn_wg_wait(&wg);
    CHECK_EQ(n, 1093);
    return rn_procs();
}

PLAIN_TEST(rt_33_procs_are_set_before_the_start)
{
    int usual = rn_procs();

    CHECK(usual >= 1);
    CHECK_EQ(rn_set_procs(-1), -EINVAL);
    CHECK_EQ(rn_set_procs(1025), -EINVAL);
    CHECK_EQ(rn_procs(), usual);
    CHECK_EQ(rn_set_procs(7), 0);
    CHECK_EQ(rn_run(return_procs), 7);
    CHECK_EQ(rn_set_procs(1024), 0);
    CHECK_EQ(rn_run(work_on_many), 1024);
    CHECK_EQ(rn_set_procs(0), 0);
    CHECK_EQ(rn_run(return_procs), usual);
}

static int set_procs_inside(void)
{
    CHECK_EQ(rn_set_procs(3), -EBUSY);
    CHECK_EQ(rn_set_procs(0), -EBUSY);
    return rn_procs();
}

PLAIN_TEST(rt_procs_cannot_change_while_it_runs)
{
    CHECK_EQ(rn_set_procs(2), 0);
    CHECK_EQ(rn_run(set_procs_inside), 2);
    CHECK_EQ(rn_set_procs(3), 0);
    CHECK_EQ(rn_run(return_procs), 3);
}

static void print_procs(void)
{
    printf("procs %d\n", rn_run(return_procs));
}

PLAIN_TEST(rt_procs_from_the_environment)
{
    static const char *const bad[] = {"0",   "-1", "1025", "99999999999999999999",
                                      "abc", "2x", "",     " "};
    char want[32];
    struct child c;

    unsetenv("RUNNEL_PROCS");
    c = run_child(print_procs);
    CHECK_EXIT(&c, 0);
    snprintf(want, sizeof(want), "%s", strstr(c.said, "procs"));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        setenv("RUNNEL_PROCS", bad[i], 1);
        c = run_child(print_procs);
        CHECK_EXIT(&c, 0);
        CHECK_SAYS(&c, want); /* an invalid value changes nothing */
    }
    setenv("RUNNEL_PROCS", "5", 1);
    c = run_child(print_procs);
    CHECK_SAYS(&c, "procs 5\n");
    setenv("RUNNEL_PROCS", "1", 1);
    c = run_child(print_procs);
    CHECK_SAYS(&c, "procs 1\n");
}

PLAIN_TEST(rt_procs_by_the_affinity_mask)
{
    cpu_set_t all, one;
    struct child c;
    size_t first = 0;

    unsetenv("RUNNEL_PROCS");
    CHECK_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
    while (!CPU_ISSET(first, &all))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    c = run_child(print_procs);
    CHECK_SAYS(&c, "procs 1\n");
    CHECK_EQ(sched_setaffinity(0, sizeof(all), &all), 0);
    if (CPU_COUNT(&all) > 1) {
        c = run_child(print_procs);
        CHECK(!strstr(c.said, "procs 1\n"));
    }
}

PLAIN_TEST(rt_procs_by_the_cgroup_quota)
{
    struct quota q;
    struct child c;

    unsetenv("RUNNEL_PROCS");
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
        SKIP("one CPU only");
    if (!quota_begin(&q))
        SKIP("no cgroup to write to");
    c = run_child(print_procs);
    quota_end(&q);
    CHECK_SAYS(&c, "procs 1\n");
}

/* ---- Park and ready ------------------------------------------------------------------------------------ */

enum { READIERS = 4, TICKETS = 500 };
static rn_ticket tickets[TICKETS];
static _Atomic int readied[TICKETS];
static _Atomic int ready_next;

static void *ready_all(void *arg)
{
    (void)arg;
    for (int i = 0; i < TICKETS; i++) {
        while (ready_next < i)
            sched_yield();
        readied[i] += rn_ready(&tickets[i]);
    }
    return NULL;
}

GO_TEST(rt_ready_from_foreign_threads_exactly_once)
{
    pthread_t t[READIERS];

    for (int i = 0; i < TICKETS; i++)
        rn_park_init(&tickets[i]);
    ready_next = -1;
    for (int i = 0; i < READIERS; i++)
        pthread_create(&t[i], NULL, ready_all, NULL);
    for (int i = 0; i < TICKETS; i++) {
        ready_next = i;
        if (i % 2)
            rn_yield();
        rn_park(&tickets[i]); /* before or after */
    }
    for (int i = 0; i < READIERS; i++)
        (void)rn_blocking(pthread_join(t[i], NULL));
    for (int i = 0; i < TICKETS; i++)
        CHECK_EQ(readied[i], 1);
}

static void ready_one(rn_ticket *t, int *value)
{
    *value = 42;
    CHECK(rn_ready(t));
}

GO_TEST(rt_park_before_and_after_ready)
{
    for (int i = 0; i < test_times(20000); i++) {
        rn_ticket t;
        int value = 0;

        rn_park_init(&t);
        if (i % 2) {
            CHECK(rn_ready(&t));
            CHECK(!rn_ready(&t));
            rn_park(&t);
        } else {
            rn_go(ready_one, &t, &value);
            rn_park(&t); /* t may leave scope now */
            CHECK_EQ(value, 42);
        }
    }
}

static void *park_thread(void *arg)
{
    rn_park(arg);
    return NULL;
}

PLAIN_TEST(rt_park_on_a_plain_thread)
{
    for (int i = 0; i < test_times(500); i++) {
        rn_ticket t;
        pthread_t thread;

        rn_park_init(&t);
        pthread_create(&thread, NULL, park_thread, &t);
        if (i % 2)
            sched_yield();
        CHECK(rn_ready(&t));
        pthread_join(thread, NULL);
    }
}

/* ---- Threads --------------------------------------------------------------------------------------------- */

static void bounce(rn_chan(int) in, rn_chan(int) out)
{
    rn_range (v, in)
        rn_send(out, v);
}

struct intruders {
    _Atomic long forbidden;
    _Atomic int stop, seen;
};

static void watch_thread(struct intruders *w)
{
    while (!w->stop) {
        if (thread_id() == w->forbidden)
            w->seen = 1;
        rn_yield();
    }
}

GO_TEST(rt_30_31_a_locked_goroutine_stays_and_is_alone)
{
    rn_chan(int) in = rn_chan_make(int, 0), out = rn_chan_make(int, 0);
    static struct intruders w;
    rn_mutex mu = {0};
    rn_wg wg = {0};
    long me;

    rn_go(bounce, in, out);
    rn_lock_thread();
    rn_lock_thread();
    me = thread_id();
    w.forbidden = me;
    for (int i = 0; i < 8; i++)
        rn_wg_go(&wg, watch_thread, &w);
    for (int i = 0; i < test_times(2000); i++) {
        rn_send(in, i);
        CHECK_EQ(thread_id(), me);
        CHECK_EQ(rn_recv(out), i);
        CHECK_EQ(thread_id(), me);
        rn_yield();
        CHECK_EQ(thread_id(), me);
        rn_mutex_lock(&mu);
        rn_mutex_unlock(&mu);
        if (i % 50 == 0) {
            rn_sleep(10000);
            CHECK_EQ(thread_id(), me);
            (void)rn_blocking(usleep(1));
            CHECK_EQ(thread_id(), me);
        }
    }
    rn_unlock_thread();
    rn_yield();
    CHECK_EQ(thread_id(), me); /* one lock is left */
    CHECK(!w.seen);
    w.forbidden = 0;
    rn_unlock_thread();
    rn_unlock_thread(); /* surplus: it is not owed by the next lock */
    rn_lock_thread();
    me = thread_id();
    w.forbidden = me;
    for (int i = 0; i < test_times(500); i++) {
        rn_yield();
        CHECK_EQ(thread_id(), me);
    }
    CHECK(!w.seen);
    rn_unlock_thread();
    w.stop = 1;
    rn_wg_wait(&wg);
    rn_close(in);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    rn_chan_release(in);
    rn_chan_release(out);
}

static void end_locked(_Atomic long *tid)
{
    rn_lock_thread();
    *tid = thread_id();
}
static void compare_thread(_Atomic long *dead, int n, _Atomic int *same)
{
    for (int i = 0; i < n; i++)
        *same += dead[i] == thread_id();
}

GO_TEST(rt_32_the_thread_of_one_that_ended_locked_ends)
{
    enum { N = 20 };
    static _Atomic long tid[N];
    _Atomic int same = 0;
    rn_wg wg = {0};
    char path[64];

    for (int i = 0; i < N; i++) {
        rn_wg_go(&wg, end_locked, &tid[i]);
        rn_wg_wait(&wg);
        if (tid[i] == getpid())
            continue; /* the first thread of a process cannot end */
        snprintf(path, sizeof(path), "/proc/self/task/%ld", (long)tid[i]);
        AWAIT(access(path, F_OK) != 0);
        rn_wg_go(&wg, compare_thread, &tid[0], i, &same);
        rn_wg_wait(&wg);
    }
    CHECK_EQ(same, 0); /* ids come again only after the kernel has gone through all of them */
}

/* The CPUs that this thread may use, as what a thread has from the one that made it. */
static int own_cpus(void)
{
    cpu_set_t set;

    CHECK_EQ(sched_getaffinity(0, sizeof set, &set), 0);
    return CPU_COUNT(&set);
}

static void look_at_cpus(rn_chan(int) gate, int expected, _Atomic int *good)
{
    *good += own_cpus() == expected;
    (void)rn_blocking(usleep(1000)); /* so that the next one needs another thread */
    (void)rn_recv(gate);
}

enum { LOOKERS = 40 };
static _Atomic int lookers_good, rounds_spoilt;

/* Its thread is left with one CPU, which no thread that comes after it shall have from it. */
static void spoil_thread(rn_chan(int) gate, int all)
{
    cpu_set_t one;
    int cpu = sched_getcpu();

    rn_lock_thread();
    if (thread_id() != getpid()) { /* the first thread does not end with us */
        CPU_ZERO(&one);
        CPU_SET((size_t)(cpu < 0 ? 0 : cpu), &one);
        CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
        CHECK_EQ(own_cpus(), 1);
        rounds_spoilt++;
    }
    for (int i = 0; i < LOOKERS; i++) {
        rn_go(look_at_cpus, gate, all, &lookers_good);
        if (i % 2)
            rn_yield();
    }
}

static int look_after_spoiling(int all)
{
    rn_chan(int) gate = rn_chan_make(int, 0);

    lookers_good = 0;
    rn_go(spoil_thread, gate, all); /* before there is any other worker */
    AWAIT(test_parked() == LOOKERS);
    CHECK_EQ(lookers_good, LOOKERS);
    rn_close(gate);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    rn_chan_release(gate);
    return 0;
}

/* RT-32: no thread is made from that of a goroutine which is, or was, locked to it. */
PLAIN_TEST(rt_32_no_thread_comes_from_a_locked_one)
{
    int all = own_cpus();

    if (all < 2)
        SKIP("one CPU only");
    for (int procs = 2; procs <= 8; procs *= 2) {
        for (int round = 0; round < test_times(20); round++) {
            CHECK_EQ(rn_set_procs(procs), 0);
            CHECK_EQ(rn_run(look_after_spoiling, all), 0);
        }
        CHECK(rounds_spoilt > 0);
        rounds_spoilt = 0;
    }
}

/* ---- errno ------------------------------------------------------------------------------------------------ */

/* Two share a channel; when one sends the other receives. */
static void keep_errno(int mine, bool sends, rn_chan(int) a, rn_mutex *mu)
{
    for (int i = 0; i < 30; i++) {
        errno = mine;
        switch (i % 5) {
        case 0:
            rn_yield();
            break;
        case 1:
        case 4:
            if ((i % 5 == 1) == sends)
                rn_send(a, 1);
            else
                (void)rn_recv(a);
            break;
        case 2:
            rn_mutex_lock(mu);
            rn_mutex_unlock(mu);
            break;
        default:
            rn_sleep(1000);
        }
        CHECK_EQ(errno, mine); /* <runnel/errno.h>: the address is taken anew */
    }
}

GO_TEST(d23_errno_survives_waits)
{
    rn_chan(int) a[25];
    rn_mutex mu = {0};
    rn_wg wg = {0};

    for (int i = 0; i < 25; i++) {
        a[i] = rn_chan_make(int, 0);
        rn_wg_go(&wg, keep_errno, 1000 + i, true, a[i], &mu);
        rn_wg_go(&wg, keep_errno, 2000 + i, false, a[i], &mu);
    }
    rn_wg_wait(&wg);
    for (int i = 0; i < 25; i++)
        rn_chan_release(a[i]);
}

struct numbers {
    double a, b[2];
};

static struct numbers some_numbers(void)
{
    return (struct numbers){1, {2, 3}};
}

static void fail_without_a_value(int *calls)
{
    errno = EDOM;
    ++*calls;
}

GO_TEST(d35_sys_and_blocking)
{
    struct numbers numbers;
    int fds[2], calls = 0;
    char buf[1];

    CHECK_EQ(rn_sys(close(-1)), -EBADF);
    CHECK_EQ(rn_sys(open("/nonexistent/nowhere", O_RDONLY)), -ENOENT);
    CHECK_EQ(rn_blocking(40 + 2), 42);
    CHECK(rn_blocking(1.5) == 1.5);
    numbers = rn_blocking(some_numbers());
    CHECK(numbers.a == 1 && numbers.b[1] == 3);
    rn_blocking(fail_without_a_value(&calls)); /* any expression, also of type void; once */
    CHECK_EQ(calls, 1);
    CHECK_EQ(errno, EDOM);
    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(rn_sys(write(fds[1], "x", 1)), 1);
    CHECK_EQ(rn_sys(read(fds[0], buf, 1)), 1);
    CHECK_EQ(buf[0], 'x');
    close(fds[0]);
    close(fds[1]);
}

static void read_byte(int fd, _Atomic int *got)
{
    char c = 0;

    *got = (int)rn_blocking(read(fd, &c, 1)) == 1 ? c : -1;
}

static int blocking_on_one_processor(void)
{
    int fds[2];
    _Atomic int got[20] = {0};
    rn_wg wg = {0};

    CHECK_EQ(pipe(fds), 0);
    for (int i = 0; i < 20; i++)
        rn_wg_go(&wg, read_byte, fds[0], &got[i]);
    test_let_run(); /* twenty goroutines block in read; one processor, and we still run */
    for (int i = 0; i < 20; i++)
        CHECK_EQ(write(fds[1], "y", 1), 1);
    rn_wg_wait(&wg);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(got[i], 'y');
    close(fds[0]);
    close(fds[1]);
    return 0;
}

PLAIN_TEST(d13_blocking_calls_do_not_hold_the_processor)
{
    CHECK_EQ(rn_set_procs(1), 0);
    CHECK_EQ(rn_run(blocking_on_one_processor), 0);
}

static void read_byte_unannounced(int fd, _Atomic int *got)
{
    char c = 0;

    *got = read(fd, &c, 1) == 1 ? c : -1;
}

static int unannounced_blocking(void)
{
    int fds[2];
    _Atomic int got = 0;
    rn_wg wg = {0};

    CHECK_EQ(pipe(fds), 0);
    rn_wg_go(&wg, read_byte_unannounced, fds[0], &got);
    rn_yield(); /* it blocks the only processor's thread; the monitor notices */
    CHECK_EQ(write(fds[1], "z", 1), 1);
    rn_wg_wait(&wg);
    CHECK_EQ(got, 'z');
    close(fds[0]);
    close(fds[1]);
    return 0;
}

PLAIN_TEST(d12_an_unannounced_blocking_call_is_noticed)
{
    CHECK_EQ(rn_set_procs(1), 0);
    CHECK_EQ(rn_run(unannounced_blocking), 0);
}

/* ---- Idle --------------------------------------------------------------------------------------------------- */

GO_TEST(rt_an_idle_program_uses_no_cpu)
{
    struct rusage a, b;
    rn_chan(int) gate = rn_chan_make(int, 0);
    rn_timer far = {0};
    long used;

    for (int i = 0; i < 100; i++)
        rn_go(until_closed, gate);
    rn_timer_reset(&far, RN_HOUR);
    rn_sleep(50 * RN_MILLISECOND); /* the searchers have given up */
    getrusage(RUSAGE_SELF, &a);
    rn_sleep(RN_SECOND);
    getrusage(RUSAGE_SELF, &b);
    used = (b.ru_utime.tv_sec - a.ru_utime.tv_sec + b.ru_stime.tv_sec - a.ru_stime.tv_sec) *
               1000000 +
           b.ru_utime.tv_usec - a.ru_utime.tv_usec + b.ru_stime.tv_usec - a.ru_stime.tv_usec;
    if (!test_is_slow() && used >= 10000)
        test_fail(__FILE__, __LINE__, "%ld us of CPU in an idle second", used);
    rn_timer_free(&far);
    rn_close(gate);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    rn_chan_release(gate);
}

/* ---- A yield with nobody else queued --------------------------------------------------------------------------------- */

static void sleep_and_set(_Atomic int *flag)
{
    rn_sleep(RN_MILLISECOND);
    *flag = 1;
}

/* Timers that are due come first, however seldom there is a yield; unless another thread is just about to fire them. */
GO_TEST_PROCS(yield_lets_timers_fire, 1)
{
    int at_once = 0;

    for (int i = 0; i < 20; i++) {
        _Atomic int flag = 0;
        rn_time due;

        rn_go(sleep_and_set, &flag);
        rn_yield(); /* it sleeps */
        due = rn_now() + 2 * RN_MILLISECOND;
        while (rn_now() < due)
            ;
        rn_yield();
        at_once += flag;
        while (!flag)
            rn_yield();
    }
    CHECK(at_once >= 10);
}
