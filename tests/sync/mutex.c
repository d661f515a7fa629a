/* SPDX-License-Identifier: MIT */
/*
 * mutex.c - mutexes and read-write mutexes.
 */
#define _GNU_SOURCE
#include "support.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Mutex -------------------------------------------------------------------------------------- */

static int unguarded; /* guarded by the mutex of the test */

static void lock_many(rn_mutex *m, int n, _Atomic int *times)
{
    for (int i = 0; i < n; i++) {
        int before;

        if (i % 3 == 0) {
            if (!rn_mutex_try_lock(m))
                continue;
        } else {
            rn_mutex_lock(m);
        }
        before = unguarded;
        if (i % 8 == 0)
            rn_yield();
        unguarded = before + 1; /* another holder meanwhile would make a step vanish */
        rn_mutex_unlock(m);
        ++*times;
    }
}

static void lock_and_count(rn_mutex *m, int n)
{
    for (int i = 0; i < n; i++) {
        int before;

        rn_mutex_lock(m);
        before = unguarded;
        if (i % 8 == 0)
            rn_yield();
        unguarded = before + 1;
        rn_mutex_unlock(m);
    }
}

/* MU-01: zero is an unlocked mutex; at most one goroutine holds it. */
GO_TEST(mu_01_exclusion)
{
    rn_mutex m = {0};
    rn_wg wg = {0};
    int n = test_times(1000) * 10;
    _Atomic int times = 0;

    for (int i = 0; i < 10; i++)
        rn_wg_go(&wg, lock_and_count, &m, n);
    rn_wg_wait(&wg);
    CHECK_EQ(unguarded, 10 * n);
    unguarded = 0;
    for (int i = 0; i < 10; i++)
        rn_wg_go(&wg, lock_many, &m, n, &times);
    rn_wg_wait(&wg);
    CHECK_EQ(unguarded, times);
    CHECK(times >= 10 * (n - (n + 2) / 3)); /* all but some tries */
    CHECK(rn_mutex_try_lock(&m));
}

/* MU-02: a try fails at once while the mutex is held, and succeeds when it is free. */
GO_TEST(mu_02_try_lock)
{
    rn_mutex m = {0};

    CHECK(rn_mutex_try_lock(&m));
    CHECK(!rn_mutex_try_lock(&m));
    rn_mutex_unlock(&m);
    rn_mutex_lock(&m);
    CHECK(!rn_mutex_try_lock(&m));
    rn_mutex_unlock(&m);
    CHECK(rn_mutex_try_lock(&m));
    rn_mutex_unlock(&m);
}

/* MU-04 */
DEATH_TEST(mu_04_unlock_of_unlocked, "fatal error: sync: unlock of unlocked mutex")
{
    rn_mutex m = {0};

    rn_mutex_unlock(&m);
}

DEATH_TEST(mu_04_unlock_twice, "fatal error: sync: unlock of unlocked mutex")
{
    rn_mutex m = {0};

    rn_mutex_lock(&m);
    rn_mutex_unlock(&m);
    rn_mutex_unlock(&m);
}

DEATH_TEST_PLAIN(mu_04_unlock_of_unlocked_plain_thread,
                 "fatal error: sync: unlock of unlocked mutex")
{
    rn_mutex m = {0};

    rn_mutex_unlock(&m);
}

static void unlock(rn_mutex *m)
{
    rn_mutex_unlock(m);
}

/* MU-05: no owner: one goroutine locks, another unlocks. */
GO_TEST(mu_05_no_owner)
{
    rn_mutex m = {0};

    for (int i = 0; i < test_times(1000); i++) {
        rn_mutex_lock(&m);
        rn_go(unlock, &m);
    }
    rn_mutex_lock(&m);
}

static _Atomic int passed;

static void lock_twice(rn_mutex *m)
{
    rn_mutex_lock(m);
    passed = 1;
    rn_mutex_lock(m);
    passed = 2;
}

/* MU-06: not recursive. */
GO_TEST_LEAVES(mu_06_not_recursive)
{
    static rn_mutex m;
    uint64_t before = test_waits();

    rn_go(lock_twice, &m);
    AWAIT(test_waits() == before + 1);
    test_let_run();
    CHECK_EQ(passed, 1);
    CHECK_EQ(test_waits(), before + 1);
    CHECK(!rn_mutex_try_lock(&m));
}

static void hog(rn_mutex *m, _Atomic bool *stop)
{
    while (!*stop) {
        rn_time end;

        rn_mutex_lock(m);
        end = rn_now() + 100 * RN_MICROSECOND;
        while (rn_now() < end)
            ;
        rn_mutex_unlock(m);
    }
}

/* MU-07, MU-08: a goroutine that wants the lock gets it, although another holds it nearly always. */
GO_TEST(mu_07_no_starvation)
{
    rn_mutex m = {0};
    _Atomic bool stop = false;

    rn_go(hog, &m, &stop);
    for (int i = 0; i < 10; i++) {
        rn_sleep(100 * RN_MICROSECOND);
        rn_mutex_lock(&m);
        rn_mutex_unlock(&m);
    }
    stop = true;
    test_expect_settled(__FILE__, __LINE__); /* the hog reads our variables */
}

static void lock_and_note(rn_mutex *m, int me, int *order, int *n)
{
    passed++;
    rn_mutex_lock(m);
    order[(*n)++] = me;
    rn_mutex_unlock(m);
}

static bool handed_over_in_order(void)
{
    enum { N = 8 };
    rn_mutex m = {0};
    int order[N], n = 0;
    bool in_order = true;

    passed = 0;
    rn_mutex_lock(&m);
    for (int i = 0; i < N; i++) {
        rn_go(lock_and_note, &m, i, &order[0], &n);
        AWAIT(passed == i + 1);
        test_let_run();
    }
    rn_sleep(5 * RN_MILLISECOND); /* all of them are now delayed by more than 1 ms */
    rn_mutex_unlock(&m);
    test_expect_settled(__FILE__, __LINE__);
    rn_mutex_lock(&m); /* that they have ended orders nothing */
    CHECK_EQ(n, N);
    for (int i = 0; i < N; i++)
        in_order = in_order && order[i] == i;
    return in_order;
}

/* MU-08: waiters delayed by more than 1 ms are handed the lock, the longest first. (Waiters that
 * lost their thread before they queued make further attempts necessary.) */
GO_TEST_PROCS(mu_08_handed_to_the_longest_waiter, 1)
{
    CHECK(handed_over_in_order() || handed_over_in_order() || handed_over_in_order());
}

/* MU-03 in C: a try fails only if the mutex is held. (That a failed one orders nothing is a case of race.c.) */
GO_TEST(mu_03_a_try_fails_only_if_it_is_held)
{
    rn_mutex m = {0};
    rn_wg wg = {0};

    for (int i = 0; i < test_times(300); i++) {
        for (int k = 0; k < 4; k++)
            rn_wg_go(&wg, lock_and_count, &m, 10);
        rn_wg_wait(&wg); /* whatever waiters left in its word */
        CHECK(rn_mutex_try_lock(&m));
        rn_mutex_unlock(&m);
    }
}

static bool overtaken(void)
{
    rn_mutex m = {0};
    int order[2], n = 0;
    bool barged;

    passed = 0;
    rn_mutex_lock(&m);
    for (int i = 0; i < 2; i++) {
        rn_go(lock_and_note, &m, i, &order[0], &n);
        AWAIT(passed == i + 1);
        rn_yield();
    }
    rn_mutex_unlock(&m);
    barged = rn_mutex_try_lock(&m); /* before the first waiter, which is awake, has run */
    if (barged) {
        rn_yield(); /* it loses */
        barged = n == 0;
        rn_mutex_unlock(&m);
    }
    test_expect_settled(__FILE__, __LINE__);
    rn_mutex_lock(&m); /* that they have ended orders nothing */
    return barged && order[0] == 0 && order[1] == 1;
}

/* MU-09: as long as nobody starves, a goroutine that runs takes the lock before a waiter that was just woken,
 * which is then the next again. (Delayed by more than a millisecond it starves: hence the attempts.) */
GO_TEST_PROCS(mu_09_a_woken_waiter_competes, 1)
{
    bool seen = false;

    for (int i = 0; i < 100 && !seen; i++)
        seen = overtaken();
    CHECK(seen);
}

static bool handed_over(void)
{
    rn_mutex m = {0};
    int order[2], n = 0;
    bool held;

    passed = 0;
    rn_mutex_lock(&m);
    for (int i = 0; i < 2; i++) {
        rn_go(lock_and_note, &m, i, &order[0], &n);
        AWAIT(passed == i + 1);
        test_let_run();
    }
    rn_sleep(2 * RN_MILLISECOND);
    rn_mutex_unlock(&m); /* the first is woken, */
    if (rn_mutex_try_lock(&m)) {
        test_let_run(); /* loses, finds that it starves, and asks for the lock */
        rn_mutex_unlock(&m);
    }
    held = !rn_mutex_try_lock(&m); /* nobody can take it from whom it was handed to */
    if (!held)
        rn_mutex_unlock(&m);
    test_expect_settled(__FILE__, __LINE__);
    rn_mutex_lock(&m);
    CHECK_EQ(n, 2);
    return held && order[0] == 0;
}

/* MU-10 in C: the hand-over does not run the waiter at once, but the lock is the waiter's at once. */
GO_TEST_PROCS(mu_10_a_hand_over_cannot_be_taken, 1)
{
    CHECK(handed_over() || handed_over() || handed_over());
}

static void trade(rn_sem *sem, int n)
{
    for (int i = 0; i < n; i++) {
        CHECK_EQ(rn_sem_acquire(NULL, sem, 1), 0);
        CHECK_EQ(passed++, 0);
        if (i % 16 == 0)
            rn_yield();
        passed--;
        rn_sem_release(sem, 1);
    }
}

/* MU-11: a semaphore of one unit passed around never loses a wake-up. */
GO_TEST(mu_11_semaphore_of_one)
{
    rn_sem sem = RN_SEM(1);
    rn_wg wg = {0};

    for (int i = 0; i < 10; i++)
        rn_wg_go(&wg, trade, &sem, test_times(1000));
    rn_wg_wait(&wg);
    CHECK(rn_sem_try_acquire(&sem, 1));
}

static void lock_under(rn_ctx *ctx, rn_mutex *m)
{
    CHECK_EQ(rn_mutex_lock_ctx(ctx, m), -ECANCELED);
    passed++;
}

/* D30: under a context: 0, or its error with the mutex not locked, before and while it waits. */
GO_TEST(mu_lock_ctx)
{
    rn_mutex m = {0};

    for (int i = 0; i < test_times(500); i++) {
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());

        passed = 0;
        CHECK_EQ(rn_mutex_lock_ctx(ctx, &m), 0);
        CHECK(!rn_mutex_try_lock(&m));
        for (int k = 0; k < 3; k++)
            rn_go(lock_under, ctx, &m);
        if (i % 2)
            test_let_run();
        rn_ctx_cancel(ctx);
        AWAIT(passed == 3);
        CHECK(!rn_mutex_try_lock(&m));
        rn_mutex_unlock(&m);
        CHECK_EQ(rn_mutex_lock_ctx(NULL, &m), 0);
        rn_mutex_unlock(&m);
        rn_ctx_end(ctx);
    }
}

/* ---- RWMutex ------------------------------------------------------------------------------------ */

static _Atomic int activity;

static void read_many(rn_rwmutex *m, int n)
{
    for (int i = 0; i < n; i++) {
        int now;

        rn_rwmutex_rlock(m);
        now = atomic_fetch_add(&activity, 1) + 1;
        CHECK(now >= 1 && now < 10000);
        if (i % 8 == 0)
            rn_yield();
        activity--;
        rn_rwmutex_runlock(m);
    }
}

static void write_many(rn_rwmutex *m, int n)
{
    for (int i = 0; i < n; i++) {
        rn_rwmutex_lock(m);
        CHECK_EQ(atomic_fetch_add(&activity, 10000), 0);
        if (i % 8 == 0)
            rn_yield();
        CHECK_EQ(atomic_fetch_sub(&activity, 10000), 10000);
        rn_rwmutex_unlock(m);
    }
}

/* RW-02: a writer excludes everybody, readers exclude writers. */
GO_TEST(rw_02_hammer)
{
    static const int readers[] = {1, 3, 10};
    int n = test_times(1000) * 5;

    for (int r = 0; r < 3; r++) {
        rn_rwmutex m = {0};
        rn_wg wg = {0};

        rn_wg_go(&wg, write_many, &m, n);
        for (int i = 0; i < readers[r] / 2; i++)
            rn_wg_go(&wg, read_many, &m, n);
        rn_wg_go(&wg, write_many, &m, n);
        for (int i = readers[r] / 2; i < readers[r]; i++)
            rn_wg_go(&wg, read_many, &m, n);
        rn_wg_wait(&wg);
        CHECK_EQ(activity, 0);
        CHECK(rn_rwmutex_try_lock(&m));
    }
}

static void read_with_all(rn_rwmutex *m, int n)
{
    rn_rwmutex_rlock(m);
    passed++;
    AWAIT(passed == n); /* everybody is in before anybody leaves */
    rn_rwmutex_runlock(m);
}

/* RW-01: any number of readers hold it together, with 1, 2 and more processors. */
static void readers_together(void)
{
    for (int n = 1; n <= 10; n += 3) {
        rn_rwmutex m = {0};

        passed = 0;
        for (int i = 0; i < n; i++)
            rn_go(read_with_all, &m, n);
        test_expect_settled(__FILE__, __LINE__);
        CHECK_EQ(passed, n);
    }
}

GO_TEST_PROCS(rw_01_readers_together_1, 1)
{
    readers_together();
}

GO_TEST_PROCS(rw_01_readers_together_4, 4)
{
    readers_together();
}

static void write_and_flag(rn_rwmutex *m)
{
    rn_rwmutex_lock(m);
    passed = 1;
    rn_rwmutex_unlock(m);
}

/* RW-03 */
GO_TEST(rw_03_tries)
{
    rn_rwmutex m = {0};

    rn_rwmutex_lock(&m);
    CHECK(!rn_rwmutex_try_lock(&m));
    CHECK(!rn_rwmutex_try_rlock(&m));
    rn_rwmutex_unlock(&m);
    CHECK(rn_rwmutex_try_lock(&m));
    rn_rwmutex_unlock(&m);
    rn_rwmutex_rlock(&m);
    CHECK(rn_rwmutex_try_rlock(&m));
    CHECK(!rn_rwmutex_try_lock(&m));
    rn_rwmutex_runlock(&m);
    CHECK(!rn_rwmutex_try_lock(&m));
    rn_rwmutex_runlock(&m);
    CHECK(rn_rwmutex_try_lock(&m));
    rn_rwmutex_unlock(&m);
}

static void read_and_count(rn_rwmutex *m, _Atomic int *readers)
{
    rn_rwmutex_rlock(m);
    ++*readers;
    rn_rwmutex_runlock(m);
}

/* RW-04, RW-05, RW-09, F15: a waiting writer holds new readers back, and a try to read fails; it gets
 * in only after all present readers have left. */
GO_TEST(rw_04_05_waiting_writer)
{
    rn_rwmutex m = {0};
    uint64_t before = test_waits();
    _Atomic int readers = 0;

    rn_rwmutex_rlock(&m);
    rn_rwmutex_rlock(&m); /* before the writer comes */
    CHECK(rn_rwmutex_try_rlock(&m));
    rn_rwmutex_runlock(&m);
    rn_go(write_and_flag, &m);
    AWAIT(test_waits() == before + 1);
    CHECK(!rn_rwmutex_try_rlock(&m));
    rn_go(read_and_count, &m, &readers);
    AWAIT(test_waits() == before + 2);
    CHECK_EQ(passed, 0);
    CHECK_EQ(readers, 0);
    CHECK(!rn_rwmutex_try_rlock(&m));
    rn_rwmutex_runlock(&m);
    test_let_run();
    CHECK_EQ(passed, 0);
    CHECK_EQ(readers, 0);
    rn_rwmutex_runlock(&m);
    AWAIT(passed == 1 && readers == 1);
}

static void write_and_check(rn_rwmutex *m, _Atomic int *readers, int expected)
{
    rn_rwmutex_lock(m);
    CHECK_EQ(*readers, expected);
    passed++;
    rn_rwmutex_unlock(m);
}

static void queue_writer(rn_rwmutex *m, _Atomic int *readers, int expected)
{
    uint64_t before = test_waits();

    rn_go(write_and_check, m, readers, expected);
    AWAIT(test_waits() == before + 1);
}

/* RW-06, F15: the readers that queued behind a writer go before the next writer, whether that one came before or after
 * them, and whether the lock is set free for it or, since it has waited for more than a millisecond, handed over. */
GO_TEST(rw_06_readers_before_the_next_writer)
{
    enum { N = 5 };

    for (int way = 0; way < 4; way++) {
        bool first = way % 2, starving = way / 2;
        rn_rwmutex m = {0};
        _Atomic int readers = 0;
        uint64_t before;

        passed = 0;
        rn_rwmutex_lock(&m);
        if (first)
            queue_writer(&m, &readers, N);
        before = test_waits();
        for (int i = 0; i < N; i++)
            rn_go(read_and_count, &m, &readers);
        AWAIT(test_waits() == before + N);
        if (!first)
            queue_writer(&m, &readers, N);
        if (starving)
            rn_sleep(2 * RN_MILLISECOND);
        CHECK_EQ(readers, 0);
        CHECK_EQ(passed, 0);
        rn_rwmutex_unlock(&m);
        test_expect_settled(__FILE__, __LINE__);
        CHECK_EQ(readers, N);
        CHECK_EQ(passed, 1);
        CHECK(rn_rwmutex_try_lock(&m));
    }
}

/* RW-07 */
DEATH_TEST(rw_07_unlock_of_unlocked, "fatal error: sync: Unlock of unlocked RWMutex")
{
    rn_rwmutex m = {0};

    rn_rwmutex_unlock(&m);
}

DEATH_TEST(rw_07_unlock_of_read_locked, "fatal error: sync: Unlock of unlocked RWMutex")
{
    rn_rwmutex m = {0};

    rn_rwmutex_rlock(&m);
    rn_rwmutex_unlock(&m);
}

DEATH_TEST(rw_07_unlock_twice, "fatal error: sync: Unlock of unlocked RWMutex")
{
    rn_rwmutex m = {0};

    rn_rwmutex_lock(&m);
    rn_rwmutex_unlock(&m);
    rn_rwmutex_unlock(&m);
}

/* RW-08 */
DEATH_TEST(rw_08_runlock_of_unlocked, "fatal error: sync: RUnlock of unlocked RWMutex")
{
    rn_rwmutex m = {0};

    rn_rwmutex_runlock(&m);
}

DEATH_TEST(rw_08_runlock_of_write_locked, "fatal error: sync: RUnlock of unlocked RWMutex")
{
    rn_rwmutex m = {0};

    rn_rwmutex_lock(&m);
    rn_rwmutex_runlock(&m);
}

DEATH_TEST(rw_08_runlock_twice, "fatal error: sync: RUnlock of unlocked RWMutex")
{
    rn_rwmutex m = {0};

    rn_rwmutex_rlock(&m);
    rn_rwmutex_runlock(&m);
    rn_rwmutex_runlock(&m);
}

static void runlock(rn_rwmutex *m)
{
    rn_rwmutex_runlock(m);
}

static void wunlock(rn_rwmutex *m)
{
    rn_rwmutex_unlock(m);
}

/* RW-10: another goroutine may release. */
GO_TEST(rw_10_no_owner)
{
    rn_rwmutex m = {0};

    for (int i = 0; i < test_times(1000); i++) {
        rn_rwmutex_lock(&m);
        rn_go(wunlock, &m);
        rn_rwmutex_rlock(&m);
        rn_rwmutex_rlock(&m);
        rn_go(runlock, &m);
        rn_go(runlock, &m);
    }
    rn_rwmutex_lock(&m);
}

static int no_mutex_of; /* which call the child makes */

static void call_without_mutex(void)
{
    rn_mutex *volatile m = NULL;
    rn_rwmutex *volatile rw = NULL;

    switch (no_mutex_of) {
    case 0:
        rn_mutex_lock(m);
        break;
    case 1:
        rn_mutex_unlock(m);
        break;
    case 2:
        (void)rn_mutex_try_lock(m);
        break;
    case 3:
        rn_rwmutex_rlock(rw);
        break;
    case 4:
        rn_rwmutex_runlock(rw);
        break;
    case 5:
        rn_rwmutex_lock(rw);
        break;
    case 6:
        (void)rn_rwmutex_try_lock(rw);
        break;
    case 7:
        (void)rn_rwmutex_try_rlock(rw);
        break;
    default:
        rn_rwmutex_unlock(rw);
        break;
    }
}

/* RW-11: a null pointer is a fault, at once, in the call that got it: never a lock that seems to be held. */
PLAIN_TEST(rw_11_null_faults)
{
    const struct rlimit none = {0, 0};

    setrlimit(RLIMIT_CORE, &none);
    for (no_mutex_of = 0; no_mutex_of < 9; no_mutex_of++) {
        int status;
        pid_t pid;

        fflush(NULL);
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            signal(SIGSEGV, SIG_DFL); /* not the handler of a sanitizer or of the test program */
            close(STDERR_FILENO);
            call_without_mutex();
            _exit(0);
        }
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK(WIFSIGNALED(status) ? WTERMSIG(status) == SIGSEGV : WEXITSTATUS(status) != 0);
    }
}
