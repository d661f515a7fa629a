/* SPDX-License-Identifier: MIT */
/*
 * run.c - the runtime's beginnings and ends: rn_run, again and nested, with goroutines left (decision 15),
 * rn_exit, use without rn_run, plain threads, and that nothing stays behind.
 */
#define _GNU_SOURCE
#include "process.h"
#include "slack.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- rn_run ------------------------------------------------------------------------------------------ */

static int add(int a, int b)
{
    return a + b;
}
static int add_fn(void *arg)
{
    return *(int *)arg + 1;
}
static int first_id(void)
{
    CHECK_EQ(rn_count(), 1);
    return (int)rn_self_id();
}

/* Sleeps end within 10 us of when they are due, as far as that is up to us; sooner, if somebody has wished so. */
PLAIN_TEST(sleeps_have_little_timer_slack)
{
    CHECK_EQ(rn_set_procs(1), 0);
    CHECK_EQ(slack_set(USUAL_SLACK), 0);
    CHECK_EQ(rn_run(sleeps_exactly), WORKERS_SLACK);
    CHECK_EQ(slack(), USUAL_SLACK);
    CHECK_EQ(slack_set(5000), 0);
    CHECK_EQ(rn_run(sleeps_exactly), 5000);
    CHECK_EQ(slack(), 5000);
}

PLAIN_TEST(d15_rn_run_returns_the_result_and_may_be_called_again)
{
    for (int i = 0; i < test_times(500); i++) {
        int n = i;

        CHECK_EQ(rn_run(add, i, -2 * i), -i);
        CHECK_EQ(rn_run_fn(add_fn, &n), i + 1);
        CHECK_EQ(rn_run(first_id), 1); /* RT-21 */
    }
}

static pthread_t home;
static int on_home_thread(void)
{
    return pthread_equal(pthread_self(), home) != 0;
}
static void *run_in_thread(void *arg)
{
    (void)arg;
    home = pthread_self();
    CHECK_EQ(rn_run(on_home_thread), 1);
    return NULL;
}

PLAIN_TEST(d15_the_first_goroutine_starts_on_the_calling_thread)
{
    pthread_t t;

    run_in_thread(NULL);
    pthread_create(&t, NULL, run_in_thread, NULL); /* any thread may call it */
    pthread_join(t, NULL);
}

static int run_nested(void)
{
    return rn_run(first_id);
}
static void run_nested_run(void)
{
    (void)!rn_run(run_nested);
}

static _Atomic int first_runs;
static int stay_until_killed(void)
{
    for (first_runs = 1; first_runs;)
        rn_sleep(RN_SECOND);
    return 0;
}
static void *run_stay(void *arg)
{
    (void)arg;
    (void)!rn_run(stay_until_killed);
    return NULL;
}
static void run_twice_at_once(void)
{
    pthread_t t;

    pthread_create(&t, NULL, run_stay, NULL);
    while (!first_runs)
        sched_yield();
    (void)!rn_run(first_id);
}

PLAIN_TEST(d15_a_nested_or_second_rn_run_panics)
{
    CHECK_PANICS(run_nested_run, "rn_run: called from a goroutine");
    CHECK_PANICS(run_twice_at_once, "rn_run: another rn_run is running");
}

/* ---- Goroutines left at the end ------------------------------------------------------------------------ */

static struct {
    rn_chan(int) empty, full;
    rn_mutex mu;
    rn_rwmutex rw;
    rn_wg wg;
    rn_cond cond;
    rn_mutex cond_mu;
    rn_sem sem;
    rn_ctx *ctx;
    rn_timer timer;
    rn_once once;
    rn_flight flight;
    _Atomic int parked, woke, deferred;
} left;

static void not_deferred(void *unused)
{
    (void)unused;
    left.deferred++;
}

static void block_in_once(void)
{
    (void)rn_recv(left.empty);
}
static int block_in_flight(int *out)
{
    (void)out;
    return rn_recv(left.empty);
}

enum { LEFT_KINDS = 17 };

static void park_left(int kind)
{
    rn_defer(not_deferred, &left);
    rn_ticket ticket;
    rn_group group = {0};
    int v = 1;

    left.parked++;
    switch (kind) {
    case 0:
        (void)rn_recv(left.empty);
        break;
    case 1:
        rn_send(left.full, 9);
        break;
    case 2:
        (void)rn_select(rn_on_recv(left.empty, &v), rn_on_send(left.full, 9), rn_on_done(left.ctx),
                        rn_on_timeout(RN_HOUR));
        break;
    case 3:
        rn_mutex_lock(&left.mu);
        break;
    case 4:
        rn_rwmutex_lock(&left.rw);
        break;
    case 5:
        rn_rwmutex_rlock(&left.rw);
        break;
    case 6:
        rn_wg_wait(&left.wg);
        break;
    case 7:
        rn_mutex_lock(&left.cond_mu);
        rn_cond_wait(&left.cond, &left.cond_mu);
        break;
    case 8:
        (void)!rn_sem_acquire(NULL, &left.sem, 1);
        break;
    case 9:
        rn_sleep(RN_HOUR);
        break;
    case 10:
        (void)rn_recv(rn_timer_chan(&left.timer));
        break;
    case 11:
        (void)rn_recv(rn_ctx_done(left.ctx));
        break;
    case 12:
        rn_once_do(&left.once, block_in_once);
        break;
    case 13:
        (void)rn_flight_do(&left.flight, "key", &v, block_in_flight, &v);
        break;
    case 14:
        rn_park_init(&ticket);
        rn_park(&ticket);
        break;
    case 15:
        rn_group_go(&group, block_in_flight, &v);
        (void)!rn_group_wait(&group);
        break;
    default:
        (void)rn_recv_ctx(left.ctx, left.empty, &v);
        break;
    }
    left.woke++;
}

static void not_started(int i)
{
    (void)i;
    (void)rn_recv(left.empty);
    left.woke++;
}

static int leave_them(void)
{
    left.parked = left.woke = left.deferred = 0;
    for (int i = 0; i < 3; i++)
        for (int kind = 0; kind < LEFT_KINDS; kind++)
            rn_go(park_left, kind);
    AWAIT(left.parked == 3 * LEFT_KINDS);
    test_let_run();
    for (int i = 0; i < 20; i++)
        rn_go(not_started, i); /* and some that may not have started */
    return 7;
}

static int use_again(void)
{
    int v = 0;

    rn_send(left.empty, 5);
    return rn_try_recv(left.empty, &v) ? v : -1;
}

/* What the goroutines were parked on is as if they had never been there. */
PLAIN_TEST(d15_goroutines_left_are_unlinked_and_all_objects_stay_usable)
{
    for (int round = 0; round < test_times(100); round++) {
        bool ok = true;
        int v;

        left.empty = rn_chan_make(int, 0);
        left.full = rn_chan_make(int, 1);
        rn_send(left.full, 1);
        left.ctx = rn_ctx_with_cancel(rn_ctx_background());
        left.mu = (rn_mutex){0};
        left.rw = (rn_rwmutex){0};
        left.cond = (rn_cond){0};
        left.cond_mu = (rn_mutex){0};
        left.wg = (rn_wg){0};
        left.once = (rn_once){0};
        left.flight = (rn_flight){0};
        left.sem = (rn_sem)RN_SEM(2);
        left.timer = (rn_timer){{0}};
        rn_mutex_lock(&left.mu);
        rn_rwmutex_lock(&left.rw);
        rn_wg_add(&left.wg, 1);
        CHECK_EQ(rn_sem_acquire(NULL, &left.sem, 2), 0);

        CHECK_EQ(rn_run(leave_them), 7);
        CHECK_EQ(left.woke, 0);
        CHECK_EQ(left.deferred, 0); /* their deferred calls do not run */

        CHECK(!rn_try_send(left.empty, 3)); /* nobody receives */
        CHECK(rn_try_recv(left.full, &v) && v == 1);
        CHECK(!rn_try_recv(left.full, &v)); /* nobody sends */
        rn_mutex_unlock(&left.mu);
        CHECK(rn_mutex_try_lock(&left.mu));
        rn_mutex_unlock(&left.mu);
        rn_rwmutex_unlock(&left.rw);
        CHECK(rn_rwmutex_try_lock(&left.rw));
        rn_rwmutex_unlock(&left.rw);
        CHECK(rn_rwmutex_try_rlock(&left.rw));
        rn_rwmutex_runlock(&left.rw);
        rn_wg_done(&left.wg);
        rn_wg_wait(&left.wg);
        CHECK(rn_mutex_try_lock(&left.cond_mu));
        rn_mutex_unlock(&left.cond_mu);
        rn_cond_signal(&left.cond);
        rn_cond_broadcast(&left.cond);
        rn_sem_release(&left.sem, 2);
        CHECK(rn_sem_try_acquire(&left.sem, 2)); /* no unit went to a goroutine that is gone */
        rn_sem_release(&left.sem, 2);
        CHECK(!rn_ctx_err(left.ctx));
        rn_ctx_cancel(left.ctx);
        CHECK(rn_try_recv_ok(rn_ctx_done(left.ctx), NULL, &ok) && !ok);
        rn_timer_reset(&left.timer, 0);
        (void)rn_recv(rn_timer_chan(&left.timer));
        rn_timer_free(&left.timer);
        rn_ctx_end(left.ctx);
        rn_chan_release(left.full);
        rn_chan_release(left.empty); /* not "in use" */
        left.empty = rn_chan_make(int, 1);
        CHECK_EQ(rn_run(use_again), 5);
        rn_chan_release(left.empty);
        CHECK_EQ(left.woke, 0);
    }
}

struct computing {
    _Atomic int runs, stop, after, inside;
};
static struct computing computing;

static void compute(rn_chan(int) ch)
{
    rn_defer(not_deferred, &left);
    computing.runs++;
    while (!computing.stop)
        ;
    computing.inside++;
    (void)rn_recv(ch); /* its next call that waits: here it ends */
    computing.after++;
}

static void in_c_call(int fd)
{
    char c;

    computing.runs++;
    (void)rn_blocking(read(fd, &c, 1));
    rn_yield();
    computing.after++;
}

static int leave_running(rn_chan(int) ch, int fd)
{
    rn_go(compute, ch);
    rn_go(in_c_call, fd);
    AWAIT(computing.runs == 2);
    return 3;
}

PLAIN_TEST(d15_one_that_computes_or_is_in_a_c_call_ends_at_its_next_wait)
{
    rn_chan(int) ch = rn_chan_make(int, 1);
    int fds[2], threads = count_threads_at_rest(); /* a detector may have some of its own */

    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(rn_set_procs(2), 0);
    left.deferred = 0;
    CHECK_EQ(rn_run(leave_running, ch, fds[0]), 3);
    CHECK_EQ(computing.after, 0);
    left.empty = ch;
    CHECK_EQ(rn_run(use_again), 5); /* a new runtime beside them */
    computing.stop = 1;
    CHECK_EQ(write(fds[1], "x", 1), 1);
    while (count_threads() > threads)
        sched_yield();           /* their threads end */
    CHECK(rn_run(rn_procs) > 0); /* whose end is after all that they did */
    CHECK_EQ(computing.inside, 1);
    CHECK_EQ(computing.after, 0);
    CHECK_EQ(left.deferred, 0);
    CHECK(rn_try_send(ch, 1) && rn_len(ch) == 1); /* and it left nothing in the channel's queue */
    close(fds[0]);
    close(fds[1]);
    rn_chan_release(ch);
}

static _Atomic int late;
static void too_late(void)
{
    late = 1;
}
static int leave_timers(void)
{
    rn_go_after(RN_MILLISECOND, too_late);
    left.ctx = rn_ctx_with_timeout(rn_ctx_background(), RN_MILLISECOND);
    return 0;
}

PLAIN_TEST(d15_pending_timers_are_dropped)
{
    CHECK_EQ(rn_run(leave_timers), 0);
    usleep(20000);
    CHECK_EQ(rn_run(first_id), 1);
    CHECK_EQ(late, 0);
    rn_ctx_end(left.ctx);
}

/* ---- rn_exit ------------------------------------------------------------------------------------------------- */

static _Atomic int steps;
static void step(int n)
{
    steps = steps * 10 + n;
}

static volatile int no_return = -1;
static void exit_deep(int depth)
{
    if (depth == no_return)
        return;
    rn_defer(step, depth);
    if (depth == 3)
        rn_exit(42);
    exit_deep(depth + 1);
    steps = -1000; /* not reached */
}

static int exit_first(void)
{
    exit_deep(1);
    return 0;
}

PLAIN_TEST(rt_09_exit_runs_the_deferred_calls_and_gives_the_result)
{
    steps = 0;
    CHECK_EQ(rn_run(exit_first), 42);
    CHECK_EQ(steps, 321);
}

static void step_late(rn_chan(int) gate)
{
    (void)rn_recv(gate);
    step(5);
}
static void open_later(rn_chan(int) gate)
{
    test_let_run();
    rn_sleep(RN_MILLISECOND);
    step(4);
    rn_close(gate);
}
static int exit_before_others(rn_chan(int) gate)
{
    rn_go(step_late, gate);
    rn_go(open_later, gate);
    rn_exit(17);
}

PLAIN_TEST(rt_07_exit_of_the_first_lets_the_others_go_on)
{
    rn_chan(int) gate = rn_chan_make(int, 0);

    steps = 0;
    CHECK_EQ(rn_run(exit_before_others, gate), 17); /* once the last has ended */
    CHECK_EQ(steps, 45);
    rn_chan_release(gate);
    CHECK_EQ(rn_run(first_id), 1);
}

static void exit_plain(void)
{
    rn_exit(0);
}

PLAIN_TEST(rt_exit_on_a_plain_thread_panics)
{
    CHECK_PANICS(exit_plain, "rn_exit: not a goroutine");
}

/* ---- Without rn_run, and plain threads -------------------------------------------------------------------------- */

static void echo(rn_chan(int) in, rn_chan(int) out)
{
    rn_range (v, in)
        rn_send(out, v + 1);
    rn_close(out);
}

static void *echo_client(void *arg)
{
    (void)arg;
    for (int round = 0; round < test_times(20); round++) {
        rn_chan(int) in = rn_chan_make(int, round % 3), out = rn_chan_make(int, 0);
        int v;

        rn_go(echo, in, out);
        for (int i = 0; i < 50; i++) {
            rn_send(in, i);
            CHECK_EQ(rn_recv(out), i + 1);
        }
        rn_close(in);
        CHECK(!rn_recv_ok(out, &v));
        rn_chan_release(in);
        rn_chan_release(out);
    }
    return NULL;
}

PLAIN_TEST(d15_the_runtime_starts_by_itself)
{
    pthread_t t[4];

    echo_client(NULL);
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, echo_client, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    CHECK_EQ(rn_self_id(), 0);
    CHECK_EQ(rn_run(first_id), 1); /* and makes room for an rn_run */
    echo_client(NULL);
}

static void leave_by_itself(void)
{
    rn_chan(int) never = rn_chan_make(int, 0);

    rn_go(echo, never, never);
    echo_client(NULL);
    exit(5); /* the destructor stops what idles */
}

PLAIN_TEST(d15_without_rn_run_the_process_ends_like_any_other)
{
    struct child c = run_child(leave_by_itself);

    CHECK_EXIT(&c, 5);
    free(c.said);
}

/* Two plain threads and two goroutines in every primitive at once. */
static struct {
    rn_chan(int) a, b;
    rn_mutex mu, cond_mu;
    rn_rwmutex rw;
    rn_cond cond;
    rn_sem sem;
    rn_wg all;
    rn_once once;
    int guarded, turns, tokens; /* guarded by mu, rw, cond_mu */
    _Atomic int once_ran;
} mix;

static void mix_once(void)
{
    rn_sleep(100000);
    mix.once_ran++;
}

static void mix_work(int me)
{
    for (int i = 0; i < test_times(300); i++) {
        int v;

        rn_mutex_lock(&mix.mu);
        mix.guarded++;
        rn_mutex_unlock(&mix.mu);
        rn_rwmutex_lock(&mix.rw);
        mix.turns++;
        rn_rwmutex_unlock(&mix.rw);
        rn_rwmutex_rlock(&mix.rw);
        v = mix.turns;
        rn_rwmutex_runlock(&mix.rw);
        CHECK(v > 0);
        CHECK_EQ(rn_sem_acquire(NULL, &mix.sem, 1 + (i + me) % 2), 0);
        if (i % 20 == 0)
            rn_sleep(1000);
        rn_sem_release(&mix.sem, 1 + (i + me) % 2);
        rn_once_do(&mix.once, mix_once);
        CHECK_EQ(mix.once_ran, 1);
        if (me % 2) {
            rn_send(mix.a, i);
            (void)rn_select(rn_on_recv(mix.b, &v), rn_on_timeout(RN_HOUR));
        } else {
            (void)rn_recv(mix.a);
            (void)rn_select(rn_on_timeout(RN_HOUR), rn_on_send(mix.b, i));
        }
        rn_mutex_lock(&mix.cond_mu);
        if (me % 2) {
            mix.tokens++;
            rn_cond_signal(&mix.cond);
        } else {
            while (mix.tokens == 0)
                rn_cond_wait(&mix.cond, &mix.cond_mu);
            mix.tokens--;
        }
        rn_mutex_unlock(&mix.cond_mu);
    }
    rn_wg_done(&mix.all);
}

static void *mix_thread(void *arg)
{
    mix_work((int)(intptr_t)arg);
    rn_wg_wait(&mix.all);
    return NULL;
}

static int mix_first(void)
{
    pthread_t t[4];

    mix.sem = (rn_sem)RN_SEM(2);
    mix.a = rn_chan_make(int, 0);
    mix.b = rn_chan_make(int, 2);
    rn_wg_add(&mix.all, 8);
    for (int i = 0; i < 4; i++) {
        pthread_create(&t[i], NULL, mix_thread, (void *)(intptr_t)i);
        rn_go(mix_work, i);
    }
    rn_wg_wait(&mix.all);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(rn_blocking(pthread_join(t[i], NULL)), 0);
    CHECK_EQ(mix.guarded, 8 * test_times(300));
    CHECK_EQ(mix.turns, 8 * test_times(300));
    CHECK_EQ(mix.tokens, 0);
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(mix.a);
    rn_chan_release(mix.b);
    return 0;
}

PLAIN_TEST(rt_plain_threads_block_in_every_primitive)
{
    CHECK_EQ(rn_run(mix_first), 0);
}

PLAIN_TEST(rt_plain_threads_block_without_rn_run)
{
    mix_first();
}

static void *block_for_ever(void *gate)
{
    (void)rn_recv((rn_chan(int))gate);
    return NULL;
}
static void bump(_Atomic int *n)
{
    ++*n;
}
static int go_on_beside_blocked_threads(void)
{
    rn_chan(int) gate = rn_chan_make(int, 0);
    _Atomic int n = 0;
    pthread_t t[8];

    for (int i = 0; i < 8; i++)
        pthread_create(&t[i], NULL, block_for_ever, (void *)gate);
    for (int i = 0; i < 1000; i++)
        rn_go(bump, &n);
    AWAIT(n == 1000);
    rn_close(gate);
    for (int i = 0; i < 8; i++)
        (void)rn_blocking(pthread_join(t[i], NULL));
    rn_chan_release(gate);
    return 0;
}

PLAIN_TEST(rt_blocked_threads_take_no_processor)
{
    CHECK_EQ(rn_set_procs(1), 0);
    CHECK_EQ(rn_run(go_on_beside_blocked_threads), 0);
}

/* A select that was readied but does not run any more leaves nothing on the channels that did not win. */
static void select_two(rn_chan(int) a, rn_chan(int) b)
{
    (void)rn_select(rn_on_recv(a, NULL), rn_on_recv(b, NULL));
}
static int ready_a_select(rn_chan(int) a, rn_chan(int) b)
{
    rn_go(select_two, a, b);
    test_let_run(); /* there is one processor: it has run */
    rn_send(a, 1);
    return 0;
}

PLAIN_TEST(d15_a_select_readied_at_the_end_leaves_its_channels)
{
    rn_chan(int) a = rn_chan_make(int, 0), b = rn_chan_make(int, 0);

    CHECK_EQ(rn_set_procs(1), 0);
    CHECK_EQ(rn_run(ready_a_select, a, b), 0);
    rn_chan_release(a);
    rn_chan_release(b); /* not "in use" */
}

/* ---- Nothing stays behind ------------------------------------------------------------------------------------------ */

static void small_work(rn_chan(int) ch, int i)
{
    int v;

    rn_send(ch, i);
    (void)rn_select(rn_on_recv(ch, &v), rn_on_timeout(1000));
}

static int busy_round(void)
{
    rn_chan(int) ch = rn_chan_make(int, 200);
    rn_group g = {0};
    rn_ctx *ctx = rn_group_with_ctx(&g, rn_ctx_background());

    for (int i = 0; i < 50; i++)
        rn_go(small_work, ch, i);
    rn_go_with(RN_ATTR(.stack_size = 1 << 20, .name = "large"), small_work, ch, 1);
    rn_go_after(1000, small_work, ch, 2);
    rn_group_go(&g, add, 1, 2);
    (void)rn_select(rn_on_done(ctx), rn_on_timeout(RN_MILLISECOND));
    (void)rn_blocking(usleep(100));
    CHECK_EQ(rn_group_wait(&g), 0);
    CHECK_EQ(rn_errorf(-EIO, "a message"), -EIO);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    rn_chan_release(ch);
    return 0;
}

PLAIN_TEST(d15_nothing_is_left_behind)
{
    const int rounds = test_times(100) + 3;
    int maps = 0, fds = count_fds(), threads = count_threads_at_rest();
    long vm = 0;

    mallopt(M_ARENA_MAX, 1); /* libc's arenas are of threads that come and go */

    for (int i = 0; i < rounds; i++) {
        CHECK_EQ(rn_run(busy_round), 0);
        AWAIT(count_threads() <= threads); /* joined, but the kernel may still be at it */
        CHECK_EQ(count_fds(), fds);
        if (i <=
            rounds /
                3) { /* what libc keeps for the next time, stacks of threads above all, is there by then */
            maps = count_maps() > maps ? count_maps() : maps;
            vm = vm_kib() > vm ? vm_kib() : vm;
        }
    }
#ifdef TEST_EMULATED
    vm = LONG_MAX - 1024; /* an emulator maps arenas of its own */
#endif
    if (test_is_slow())
        return; /* the tools map what they like */
    if (count_maps() > maps + 2 || vm_kib() > vm + 1024)
        test_fail(__FILE__, __LINE__, "maps %d, later %d; KiB mapped %ld, later %ld", maps,
                  count_maps(), vm, vm_kib());
}
