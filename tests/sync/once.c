/* SPDX-License-Identifier: MIT */
/*
 * once.c - once and condition variables.
 */
#define _GNU_SOURCE
#include "support.h"

#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic int runs, done;

static void run_slowly(int by)
{
    runs += by;
    for (int i = 0; i < 20; i++)
        rn_yield();
    done = 1;
}

static void do_once(rn_once *once)
{
    rn_once_do(once, run_slowly, 1);
    CHECK_EQ(done, 1); /* every call returns after the run has finished, not started */
}

/* ONCE-01, F16: of many calls one runs; all return after its end. */
GO_TEST(once_01_one_run)
{
    for (int round = 0; round < test_times(1000); round++) {
        rn_once once = {0};
        rn_wg wg = {0};

        runs = done = 0;
        for (int i = 0; i < 10; i++)
            rn_wg_go(&wg, do_once, &once);
        rn_wg_wait(&wg);
        CHECK_EQ(runs, 1);
    }
}

static void other(void)
{
    runs += 100;
}

static int with_result(int a, double b)
{
    runs += a + (int)b;
    return 4711;
}

static int evaluations;

static int evaluate(int value)
{
    evaluations++;
    return value;
}

/* ONCE-02, D22: only the first function matters; the arguments are evaluated always. */
GO_TEST(once_02_only_the_first)
{
    rn_once once = {0};

    for (int i = 0; i < 3; i++)
        rn_once_do(&once, with_result, evaluate(2), 3.0);
    rn_once_do(&once, other);
    CHECK_EQ(runs, 5);
    CHECK_EQ(evaluations, 3);
}

static void exit_within(void)
{
    runs++;
    rn_exit(0);
}

static void once_and_exit(rn_once *once)
{
    rn_once_do(once, exit_within);
    FAIL("the goroutine has ended");
}

/* ONCE-04: a function that ends by rn_exit counts as done. */
GO_TEST(once_04_exit_counts)
{
    rn_once once = {0};

    rn_go(once_and_exit, &once);
    test_expect_settled(__FILE__, __LINE__);
    CHECK_EQ(runs, 1);
    rn_once_do(&once, other);
    CHECK_EQ(runs, 1);
}

static void exit_when_told(rn_recv_only(int) told)
{
    runs++;
    (void)rn_recv(told);
    rn_exit(0);
}

static void once_and_exit_when_told(rn_once *once, rn_recv_only(int) told)
{
    rn_once_do(once, exit_when_told, told);
    FAIL("the goroutine has ended");
}

static void once_and_count(rn_once *once)
{
    rn_once_do(once, other);
    done++;
}

/* ONCE-04: and those who waited for it go on. */
GO_TEST(once_04_exit_lets_go_who_waited)
{
    rn_chan(int) told = rn_chan_make(int, 0);
    uint64_t before = test_waits();
    rn_once once = {0};

    rn_go(once_and_exit_when_told, &once, told);
    AWAIT(test_waits() == before + 1);
    for (int i = 0; i < 5; i++)
        rn_go(once_and_count, &once);
    AWAIT(test_waits() == before + 6);
    CHECK_EQ(done, 0);
    rn_send(told, 1);
    test_expect_settled(__FILE__, __LINE__);
    CHECK_EQ(done, 5);
    CHECK_EQ(runs, 1);
    rn_chan_release(told);
}

static void do_within(rn_once *once)
{
    rn_once_do(once, other);
    runs += 1000;
}

static void nested(rn_once *once)
{
    rn_once_do(once, do_within, once);
    runs += 1000;
}

/* ONCE-05: a call from inside its own function waits for ever. */
GO_TEST_LEAVES(once_05_nested_waits)
{
    static rn_once once;
    uint64_t before = test_waits();

    rn_go(nested, &once);
    AWAIT(test_waits() == before + 1);
    test_let_run();
    CHECK_EQ(test_waits(), before + 1);
    CHECK_EQ(runs, 0);
    CHECK_EQ(rn_count(), 2);
}

/* With different onces they may nest. */
GO_TEST(once_nested_different)
{
    rn_once outer = {0}, inner = {0};

    rn_once_do(&outer, do_within, &inner);
    rn_once_do(&outer, do_within, &inner);
    CHECK_EQ(runs, 1100);
}

static void panic_within(void)
{
    runs++;
    for (int i = 0; i < 20; i++)
        rn_yield();
    rn_panic("in the once");
}

static void once_and_tell(rn_once *once)
{
    rn_once_do(once, panic_within);
    fputs("a caller went on\n", stderr);
}

static int once_of_panic(void)
{
    rn_once once = {0};

    for (int i = 0; i < 5; i++)
        rn_go(once_and_tell, &once);
    for (;;)
        rn_yield();
    return 0;
}

static void once_of_panic_run(void)
{
    (void)!rn_run(once_of_panic);
}

/* ONCE-03 in C: a panic in the function ends the process, and none of those who wait goes on before. */
PLAIN_TEST(once_03_panic)
{
    const char *report =
        test_expect_death(__FILE__, __LINE__, once_of_panic_run, "panic: in the once");

    CHECK(strstr(report, "a caller went on") == NULL);
}

/* ONCE-06: once it is done a call writes nothing, not even to lock, which it could not do here, and allocates
 * nothing. */
GO_TEST(once_06_done_is_one_load)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    rn_once *once = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct mallinfo2 before, after;

    CHECK(once != MAP_FAILED);
    rn_once_do(once, other);
    CHECK_EQ(mprotect(once, page, PROT_READ), 0);
    before = mallinfo2();
    for (int i = 0; i < test_times(100000); i++)
        rn_once_do(once, other);
    after = mallinfo2();
    CHECK_EQ(runs, 100);
    CHECK_EQ(after.uordblks, before.uordblks);
    munmap(once, page);
}

/* ---- Cond --------------------------------------------------------------------------------------- */

static int running, awake; /* guarded by the mutex of the test */

static void wait_once(rn_mutex *m, rn_cond *c)
{
    rn_mutex_lock(m);
    running++;
    rn_cond_wait(c, m);
    awake++;
    CHECK(!rn_mutex_try_lock(m)); /* COND-06: held again */
    rn_mutex_unlock(m);
}

static int read_locked(rn_mutex *m, const int *what)
{
    int value;

    rn_mutex_lock(m);
    value = *what;
    rn_mutex_unlock(m);
    return value;
}

/* COND-01, COND-02, COND-06, COND-07: a signal wakes exactly one, with or without the lock; none is
 * remembered. */
GO_TEST(cond_01_signal)
{
    rn_mutex m = {0};
    rn_cond c = {0};

    rn_cond_signal(&c);
    rn_cond_broadcast(&c);
    for (int i = 0; i < 4; i++)
        rn_go(wait_once, &m, &c);
    AWAIT(read_locked(&m, &running) == 4);
    test_let_run();
    CHECK_EQ(read_locked(&m, &awake), 0); /* nobody had his from before */
    for (int i = 1; i <= 4; i++) {
        if (i % 2) {
            rn_mutex_lock(&m);
            rn_cond_signal(&c);
            rn_mutex_unlock(&m);
        } else {
            rn_cond_signal(&c);
        }
        AWAIT(read_locked(&m, &awake) == i);
        test_let_run();
        CHECK_EQ(read_locked(&m, &awake), i);
    }
    rn_cond_signal(&c);
}

static int order[512];

static void wait_in_turn(rn_mutex *m, rn_cond *c, int me)
{
    rn_mutex_lock(m);
    CHECK_EQ(running++, me);
    rn_cond_wait(c, m);
    order[awake++] = me;
    rn_mutex_unlock(m);
}

/* COND-03: waiters are signalled in the order in which they came. The mutex makes that order exact. */
GO_TEST(cond_03_arrival_order)
{
    rn_mutex m = {0};
    rn_cond c = {0};

    for (int i = 0; i < 100; i++) {
        rn_go(wait_in_turn, &m, &c, i);
        AWAIT(read_locked(&m, &running) == i + 1);
    }
    for (int i = 0; i < 100; i++) {
        rn_cond_signal(&c);
        AWAIT(read_locked(&m, &awake) == i + 1);
        CHECK_EQ(order[i], i);
    }
}

static bool leaving; /* guarded by the mutex of the test */

static void wait_rounds(rn_mutex *m, rn_cond *c)
{
    rn_mutex_lock(m);
    while (!leaving) {
        running++;
        rn_cond_wait(c, m);
        awake++;
    }
    running++;
    rn_mutex_unlock(m);
}

/* COND-04: a broadcast wakes every waiter once. */
GO_TEST(cond_04_broadcast)
{
    enum { N = 200 };
    int rounds = test_times(200);
    rn_mutex m = {0};
    rn_cond c = {0};

    for (int i = 0; i < N; i++)
        rn_go(wait_rounds, &m, &c);
    for (int round = 0; round < rounds; round++) {
        AWAIT(read_locked(&m, &running) == N);
        rn_mutex_lock(&m);
        CHECK_EQ(awake, round == 0 ? 0 : N);
        running = awake = 0;
        leaving = round == rounds - 1;
        rn_cond_broadcast(&c);
        rn_mutex_unlock(&m);
    }
    AWAIT(read_locked(&m, &running) == N);
    CHECK_EQ(read_locked(&m, &awake), N);
}

static void wait_and_tell(rn_mutex *m, rn_cond *c, rn_send_only(rn_unit) waits, rn_wg *wg)
{
    rn_mutex_lock(m);
    rn_send(waits, RN_UNIT);
    rn_cond_wait(c, m);
    rn_mutex_unlock(m);
    rn_wg_done(wg);
}

static void newcomer(rn_mutex *m, rn_cond *c, bool *ready, rn_wg *wg)
{
    rn_mutex_lock(m);
    while (!*ready)
        rn_cond_wait(c, m);
    rn_mutex_unlock(m);
    rn_wg_done(wg);
}

/* COND-05: who waits already is woken by a broadcast, although another starts to wait at that moment. */
GO_TEST(cond_05_no_stolen_wake_up)
{
    for (int i = 0; i < test_times(1000); i++) {
        rn_chan(rn_unit) waits = rn_chan_make(rn_unit, 0);
        rn_mutex m = {0};
        rn_cond c = {0};
        bool ready = false;
        rn_wg wg = {0};

        rn_wg_add(&wg, 2);
        rn_go(wait_and_tell, &m, &c, waits, &wg);
        (void)rn_recv(waits);
        rn_mutex_lock(&m); /* the waiter has unlocked, so it is registered */
        rn_mutex_unlock(&m);
        rn_go(newcomer, &m, &c, &ready, &wg);
        rn_mutex_lock(&m);
        ready = true;
        rn_mutex_unlock(&m);
        rn_cond_broadcast(&c);
        rn_wg_wait(&wg);
        rn_chan_release(waits);
    }
}

static rn_cond copied_cond;
static rn_mutex copied_mutex;

/* A condition that was used, and a copy of it. */
static void copy_cond(void)
{
    static rn_cond c;

    rn_go(wait_once, &copied_mutex, &c);
    AWAIT(read_locked(&copied_mutex, &running) == 1);
    rn_cond_signal(&c);
    AWAIT(read_locked(&copied_mutex, &awake) == 1);
    memcpy(&copied_cond, &c, sizeof(c));
}

/* COND-08: the next use of a copy panics, whichever it is. */
DEATH_TEST(cond_08_copied_wait, "panic: sync.Cond is copied")
{
    copy_cond();
    rn_mutex_lock(&copied_mutex);
    rn_cond_wait(&copied_cond, &copied_mutex);
}

DEATH_TEST(cond_08_copied_wait_ctx, "panic: sync.Cond is copied")
{
    rn_ctx *ctx = rn_ctx_with_timeout(rn_ctx_background(), 0);

    copy_cond();
    rn_mutex_lock(&copied_mutex);
    (void)!rn_cond_wait_ctx(ctx, &copied_cond, &copied_mutex);
}

DEATH_TEST(cond_08_copied_signal, "panic: sync.Cond is copied")
{
    copy_cond();
    rn_cond_signal(&copied_cond);
}

DEATH_TEST(cond_08_copied_broadcast, "panic: sync.Cond is copied")
{
    copy_cond();
    rn_cond_broadcast(&copied_cond);
}

/* COND-06: it never returns without a signal, and never loses one: a bounded queue. */
struct queue {
    rn_mutex m;
    rn_cond not_empty, not_full;
    int value[4], first, n;
};

static void put_many(struct queue *q, int n)
{
    for (int i = 1; i <= n; i++) {
        rn_mutex_lock(&q->m);
        while (q->n == 4)
            rn_cond_wait(&q->not_full, &q->m);
        q->value[(q->first + q->n++) % 4] = i;
        rn_cond_signal(&q->not_empty);
        rn_mutex_unlock(&q->m);
    }
}

static void take_many(struct queue *q, int n, _Atomic long *sum)
{
    for (int i = 0; i < n; i++) {
        rn_mutex_lock(&q->m);
        while (q->n == 0)
            rn_cond_wait(&q->not_empty, &q->m);
        *sum += q->value[q->first];
        q->first = (q->first + 1) % 4;
        q->n--;
        rn_cond_signal(&q->not_full);
        rn_mutex_unlock(&q->m);
    }
}

GO_TEST(cond_06_bounded_queue)
{
    static struct queue q;
    _Atomic long sum = 0;
    long n = test_times(20000);
    rn_wg wg = {0};

    for (int i = 0; i < 4; i++) {
        rn_wg_go(&wg, put_many, &q, (int)n);
        rn_wg_go(&wg, take_many, &q, (int)n, &sum);
    }
    rn_wg_wait(&wg);
    CHECK_EQ(sum, 4 * (n * (n + 1) / 2));
}

static void wait_under(rn_ctx *ctx, rn_mutex *m, rn_cond *c)
{
    rn_mutex_lock(m);
    running++;
    CHECK_EQ(rn_cond_wait_ctx(ctx, c, m), -ECANCELED);
    CHECK(!rn_mutex_try_lock(m));
    awake++;
    rn_mutex_unlock(m);
}

/* D30: a wait under a context ends with its error, the mutex locked again; a signal then goes to
 * the next waiter. */
GO_TEST(cond_wait_ctx)
{
    for (int i = 0; i < test_times(300); i++) {
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
        rn_mutex m = {0};
        rn_cond c = {0};

        running = awake = 0;
        rn_go(wait_under, ctx, &m, &c);
        AWAIT(read_locked(&m, &running) == 1);
        rn_go(wait_once, &m, &c);
        AWAIT(read_locked(&m, &running) == 2);
        rn_ctx_cancel(ctx);
        AWAIT(read_locked(&m, &awake) == 1);
        rn_cond_signal(&c);
        AWAIT(read_locked(&m, &awake) == 2);
        rn_mutex_lock(&m);
        CHECK_EQ(rn_cond_wait_ctx(ctx, &c, &m), -ECANCELED);
        rn_mutex_unlock(&m);
        test_expect_settled(__FILE__, __LINE__);
        rn_ctx_end(ctx);
    }
}

/* COND-09: between the signal and the waiter's return a newcomer may take the lock; the waiter returns when it
 * has it. */
GO_TEST_PROCS(cond_09_a_newcomer_may_be_faster, 1)
{
    rn_mutex m = {0};
    rn_cond c = {0};

    rn_go(wait_once, &m, &c);
    AWAIT(read_locked(&m, &running) == 1);
    rn_mutex_lock(&m);
    rn_cond_signal(&c);
    rn_mutex_unlock(&m);
    CHECK(rn_mutex_try_lock(&m)); /* the waiter was signalled and has not run */
    test_let_run();
    CHECK_EQ(awake, 0);
    rn_mutex_unlock(&m);
    AWAIT(read_locked(&m, &awake) == 1);
}
