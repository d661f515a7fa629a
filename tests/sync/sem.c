/* SPDX-License-Identifier: MIT */
/*
 * sem.c - weighted semaphores.
 */
#include "support.h"

static _Atomic int held, passed;

static void acquire_many(rn_sem *sem, int weight, int size, int n)
{
    for (int i = 0; i < n; i++) {
        CHECK_EQ(rn_sem_acquire(NULL, sem, weight), 0);
        CHECK(atomic_fetch_add(&held, weight) + weight <= size);
        if (i % 4 == 0)
            rn_yield();
        held -= weight;
        rn_sem_release(sem, weight);
    }
}

/* SEM-01: never more than the size is held, under a hammer of mixed weights (0 is one of them). */
GO_TEST(sem_01_never_too_many)
{
    enum { SIZE = 7 };
    rn_sem sem = RN_SEM(SIZE);
    rn_wg wg = {0};

    for (int i = 0; i < 2 * (SIZE + 1); i++)
        rn_wg_go(&wg, acquire_many, &sem, i % (SIZE + 1), SIZE, test_times(3000));
    rn_wg_wait(&wg);
    CHECK_EQ(held, 0);
    CHECK(rn_sem_try_acquire(&sem, SIZE));
    CHECK(!rn_sem_try_acquire(&sem, 1));
}

/* SEM-02 */
GO_TEST(sem_02_try)
{
    rn_sem sem = RN_SEM(2), none = {0};

    CHECK(rn_sem_try_acquire(&sem, 2));
    CHECK(!rn_sem_try_acquire(&sem, 1));
    rn_sem_release(&sem, 2);
    CHECK(rn_sem_try_acquire(&sem, 1));
    CHECK(!rn_sem_try_acquire(&sem, 2));
    CHECK(!rn_sem_try_acquire(&none, 1));
    CHECK(rn_sem_try_acquire(&none, 0));
}

static void acquire_under(rn_ctx *ctx, rn_sem *sem, int n, int expected)
{
    CHECK_EQ(rn_sem_acquire(ctx, sem, n), expected);
    passed++;
}

/* SEM-03: a context that ends while waiting: its error, nothing taken. */
GO_TEST(sem_03_context_ends)
{
    for (int i = 0; i < test_times(500); i++) {
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
        rn_sem sem = RN_SEM(2);

        passed = 0;
        CHECK_EQ(rn_sem_acquire(ctx, &sem, 2), 0);
        rn_go(acquire_under, ctx, &sem, 1, -ECANCELED);
        rn_go(acquire_under, ctx, &sem, 2, -ECANCELED);
        if (i % 2)
            test_let_run();
        rn_ctx_cancel(ctx);
        AWAIT(passed == 2);
        CHECK(!rn_sem_try_acquire(&sem, 1));
        rn_sem_release(&sem, 2);
        CHECK(rn_sem_try_acquire(&sem, 2));
        rn_ctx_end(ctx);
    }
}

/* SEM-03 with a deadline. */
GO_TEST(sem_03_timeout)
{
    rn_ctx *ctx = rn_ctx_with_timeout(rn_ctx_background(), 5 * RN_MILLISECOND);
    rn_sem sem = RN_SEM(1);

    CHECK_EQ(rn_sem_acquire(ctx, &sem, 1), 0);
    CHECK_EQ(rn_sem_acquire(ctx, &sem, 1), -ETIMEDOUT);
    CHECK(!rn_sem_try_acquire(&sem, 1));
    rn_sem_release(&sem, 1);
    CHECK(rn_sem_try_acquire(&sem, 1)); /* nothing was taken, and nobody waits */
    rn_ctx_end(ctx);
}

/* SEM-04 */
DEATH_TEST(sem_04_release_too_many, "panic: semaphore: released more than held")
{
    rn_sem sem = RN_SEM(2);

    CHECK_EQ(rn_sem_acquire(NULL, &sem, 1), 0);
    rn_sem_release(&sem, 2);
}

DEATH_TEST(sem_04_release_without_acquire, "panic: semaphore: released more than held")
{
    rn_sem sem = RN_SEM(2);

    rn_sem_release(&sem, 1);
}

/* SEM-05, F18: a request above the size waits for its context alone and blocks nobody. */
GO_TEST(sem_05_too_big_waits_aside)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_sem sem = RN_SEM(2);

    rn_go(acquire_under, ctx, &sem, 3, -ECANCELED);
    AWAIT(test_parked() == 1);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(rn_sem_acquire(NULL, &sem, 1 + i % 2), 0);
        rn_sem_release(&sem, 1 + i % 2);
    }
    CHECK(rn_sem_try_acquire(&sem, 2));
    rn_go(acquire_under, NULL, &sem, 1, 0); /* those that have to wait are served past it, too */
    AWAIT(test_parked() == 2);
    CHECK_EQ(passed, 0);
    rn_sem_release(&sem, 2);
    AWAIT(passed == 1);
    CHECK_EQ(test_parked(), 1);
    rn_ctx_cancel(ctx);
    AWAIT(passed == 2);
    rn_ctx_end(ctx);
}

static void acquire_and_note(rn_sem *sem, int n, int *order)
{
    CHECK_EQ(rn_sem_acquire(NULL, sem, n), 0);
    order[passed++] = n;
    rn_sem_release(sem, n);
}

/* SEM-06, SEM-07, F18: strictly first come, first served: small requests, and tries, do not overtake
 * a large one that waits. */
GO_TEST(sem_06_07_no_overtaking)
{
    for (int round = 0; round < test_times(300); round++) {
        rn_sem sem = RN_SEM(10);
        int order[3] = {0};

        passed = 0;
        CHECK_EQ(rn_sem_acquire(NULL, &sem, 5), 0);
        rn_go(acquire_and_note, &sem, 8, &order[0]);
        /* Five are free; once a try fails, the large request waits. */
        while (rn_sem_try_acquire(&sem, 1)) {
            rn_sem_release(&sem, 1);
            rn_yield();
        }
        rn_go(acquire_and_note, &sem, 3, &order[0]);
        if (round % 2)
            test_let_run();
        CHECK_EQ(passed, 0);
        CHECK(!rn_sem_try_acquire(&sem, 1));
        rn_sem_release(&sem, 5);
        AWAIT(passed == 2);
        test_expect_settled(__FILE__, __LINE__); /* passed is counted before order is written */
        CHECK_EQ(order[0], 8);
        CHECK_EQ(order[1], 3);
    }
}

static void acquire_and_keep(rn_sem *sem, int n, bool *has)
{
    CHECK_EQ(rn_sem_acquire(NULL, sem, n), 0);
    *has = true;
    passed++;
}

/* SEM-01, SEM-06: of many that wait, each gets its units as soon as all before it have theirs and these suffice, and
 * not before; who would fit waits behind who does not. */
GO_TEST(sem_06_the_whole_queue_in_its_order)
{
    static const int weights[] = {1, 2, 9, 1, 3, 2, 10, 1, 1, 1, 7, 3};
    enum { N = sizeof weights / sizeof *weights };
    rn_sem sem = RN_SEM(10);
    bool has[N] = {false};
    int held_now = 10, next = 0;

    CHECK_EQ(rn_sem_acquire(NULL, &sem, 10), 0);
    for (int i = 0; i < N; i++) {
        rn_go(acquire_and_keep, &sem, weights[i], &has[i]);
        AWAIT(test_parked() == (size_t)i + 1);
    }
    while (next < N) {
        int back = held_now < 4 ? held_now : 4; /* as if whoever has them gave them back */

        CHECK(back > 0);
        rn_sem_release(&sem, back);
        held_now -= back;
        for (; next < N && held_now + weights[next] <= 10; next++)
            held_now += weights[next];
        AWAIT(test_parked() == (size_t)(N - next) && rn_count() == (size_t)(N - next) + 1);
        CHECK_EQ(passed, next);
        for (int i = 0; i < N; i++)
            CHECK_EQ(has[i], i < next);
        CHECK(next == N || !rn_sem_try_acquire(&sem, 1));
    }
    rn_sem_release(&sem, held_now);
    CHECK(rn_sem_try_acquire(&sem, 10));
}

/* SEM-08, F18: a cancelled head lets those behind go that now fit. */
GO_TEST(sem_08_cancelled_head)
{
    for (int round = 0; round < test_times(300); round++) {
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
        rn_sem sem = RN_SEM(10);

        passed = 0;
        CHECK_EQ(rn_sem_acquire(NULL, &sem, 1), 0);
        rn_go(acquire_under, ctx, &sem, 10, -ECANCELED);
        while (rn_sem_try_acquire(&sem, 1)) {
            rn_sem_release(&sem, 1);
            rn_yield();
        }
        rn_go(acquire_under, NULL, &sem, 3, 0);
        AWAIT(test_parked() == 2);
        rn_go(acquire_under, NULL, &sem, 3, 0);
        AWAIT(test_parked() == 3);
        rn_go(acquire_under, NULL, &sem, 4, 0); /* does not fit yet */
        AWAIT(test_parked() == 4);
        CHECK_EQ(passed, 0);
        rn_ctx_cancel(ctx);
        AWAIT(passed == 3);
        AWAIT(rn_count() == 2 && test_parked() == 1);
        CHECK_EQ(passed, 3);
        CHECK(!rn_sem_try_acquire(&sem, 1)); /* three are free, and somebody waits */
        rn_sem_release(&sem, 1);
        AWAIT(passed == 4);
        CHECK(!rn_sem_try_acquire(&sem, 1));
        rn_sem_release(&sem, 10);
        test_expect_settled(__FILE__, __LINE__);
        rn_ctx_end(ctx);
    }
}

/* SEM-09, F18: with a context that has ended nothing is taken, although units are free. */
GO_TEST(sem_09_ended_context)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_sem sem = RN_SEM(2);

    rn_ctx_cancel(ctx);
    CHECK_EQ(rn_sem_acquire(ctx, &sem, 1), -ECANCELED);
    CHECK(rn_sem_try_acquire(&sem, 2));
    CHECK_EQ(rn_sem_acquire(ctx, &sem, 1), -ECANCELED);
    rn_ctx_end(ctx);
}

static void acquire_either(rn_ctx *ctx, rn_sem *sem)
{
    int err = rn_sem_acquire(ctx, sem, 1);

    CHECK(err == 0 || err == -ECANCELED);
    if (err == 0)
        rn_sem_release(sem, 1);
    passed++;
}

static void cancel(rn_ctx *ctx)
{
    rn_ctx_cancel(ctx);
}

/* SEM-10, F18: a cancel that races with the release loses no unit, whoever wins. */
GO_TEST(sem_10_cancel_against_release)
{
    for (int i = 0; i < test_times(20000); i++) {
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
        rn_sem sem = RN_SEM(1);

        passed = 0;
        CHECK_EQ(rn_sem_acquire(NULL, &sem, 1), 0);
        rn_go(acquire_either, ctx, &sem);
        if (i % 2)
            rn_yield();
        rn_go(cancel, ctx);
        if (i % 3 == 0)
            rn_yield();
        rn_sem_release(&sem, 1);
        AWAIT(passed == 1);
        CHECK(rn_sem_try_acquire(&sem, 1));
        test_expect_settled(__FILE__, __LINE__);
        rn_ctx_end(ctx);
    }
}

/* SEM-10: who is cancelled before it goes on fails, and units that it has been given by then are free again. */
GO_TEST_PROCS(sem_10_cancelled_before_it_goes_on, 1)
{
    for (int i = 0; i < 100; i++) {
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
        rn_sem sem = RN_SEM(2);

        passed = 0;
        CHECK_EQ(rn_sem_acquire(NULL, &sem, 2), 0);
        rn_go(acquire_under, ctx, &sem, 1 + i % 2, -ECANCELED);
        rn_yield(); /* it waits */
        if (i % 4 < 2)
            rn_ctx_cancel(ctx);
        rn_sem_release(&sem, 2);
        rn_ctx_cancel(ctx);
        CHECK_EQ(passed, 0);
        AWAIT(passed == 1);
        CHECK(rn_sem_try_acquire(&sem, 2));
        test_expect_settled(__FILE__, __LINE__);
        rn_ctx_end(ctx);
    }
}

/* SEM-11 and the interface: zero units come at once; a negative number is refused. */
GO_TEST(sem_11_zero_and_negative)
{
    rn_sem sem = RN_SEM(1);

    CHECK_EQ(rn_sem_acquire(NULL, &sem, 1), 0);
    CHECK_EQ(rn_sem_acquire(NULL, &sem, 0), 0);
    CHECK_EQ(rn_sem_acquire(NULL, &sem, -1), -EINVAL);
    rn_sem_release(&sem, 0);
    CHECK(!rn_sem_try_acquire(&sem, 1));
}
