/* SPDX-License-Identifier: MIT */
/*
 * small.c - small stacks: RN_ATTR(.small_stack = true). Built twice: bound at the start, so that they are granted, and,
 * with SMALL_LATER, with functions that are bound when they are called first, so that they are not.
 */
#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <poll.h>
#include <runnel/io.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SMALL RN_ATTR(.small_stack = true)

enum { MANY = UNDER_ASAN || UNDER_TSAN ? 500 : 20000, ROUNDS = 20, STACK = 2560 };

static rn_chan(long) gate;

/* ---- Whether they are granted ------------------------------------------------------------------------ */

static uintptr_t lowest, highest, closest;

static void waits(uintptr_t *ret_at, rn_wg *arrived, rn_wg *over)
{
    volatile char here = 0;

    *ret_at = (uintptr_t)&here;
    rn_wg_done(arrived);
    (void)rn_recv(gate);
    rn_wg_done(over);
}

static int compare(const void *a, const void *b)
{
    uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;

    return (x > y) - (x < y);
}

/* MANY at the same time, which wait. Sets where their stacks are. Returns bytes of memory for each. */
static long many_wait(void)
{
    uintptr_t *at = calloc(MANY, sizeof *at);
    rn_wg arrived = {0}, over = {0};
    long before, each;

    CHECK(at != NULL);
    for (size_t i = 0; i < MANY; i++)
        at[i] = 1; /* not to be counted below */
    gate = rn_chan_make(long, 0);
    before = rss_kib();
    rn_wg_add(&arrived, MANY);
    rn_wg_add(&over, MANY);
    for (size_t i = 0; i < MANY; i++)
        rn_go_with(SMALL, waits, &at[i], &arrived, &over);
    rn_wg_wait(&arrived);
    each = (rss_kib() - before) * 1024 / MANY;
    for (int i = 0; i < MANY; i++)
        rn_send(gate, 1);
    rn_wg_wait(&over);
    rn_chan_release(gate);
    qsort(at, MANY, sizeof *at, compare);
    lowest = at[0];
    highest = at[MANY - 1];
    closest = UINTPTR_MAX;
    for (size_t i = 1; i < MANY; i++)
        if (at[i] - at[i - 1] < closest)
            closest = at[i] - at[i - 1];
    free(at);
    return each;
}

#ifdef SMALL_LATER

static _Atomic bool used;

static void uses_much(rn_wg *wg)
{
    volatile char frame[8192];

    for (size_t i = 0; i < sizeof frame; i++)
        frame[i] = 1;
    used = true;
    rn_wg_done(wg);
}

GO_TEST(d18_small_stacks_are_not_for_programs_that_bind_later)
{
    rn_wg wg = {0};

    (void)many_wait();
    CHECK(closest >= 16384);
    rn_wg_add(&wg, 1);
    rn_go_with(SMALL, uses_much, &wg);
    rn_wg_wait(&wg);
    CHECK(used);
}

#else

/* Sanitizers have ordinary stacks instead. */
static void only_if_granted(void)
{
    if (UNDER_ASAN || UNDER_TSAN)
        SKIP("no small stacks under this sanitizer");
}

GO_TEST(d18_small_stacks_cost_little)
{
    long each = many_wait();

    only_if_granted();
    CHECK_EQ(closest, STACK);
    CHECK(each < 3072);
}

/* The page below them all is there, and cannot be read. */
GO_TEST(d18_rt_18_there_is_a_guard_below_all_small_stacks)
{
    int fds[2];
    char *below;

    only_if_granted();
    if (test_is_emulated())
        SKIP("the emulator has mappings of its own");
    (void)many_wait();
    below = (char *)(lowest & ~(uintptr_t)4095) - 4096;
    CHECK_EQ(pipe(fds), 0);
    CHECK(write(fds[1], below + 4095, 1) < 0 && errno == EFAULT);
    CHECK(mmap(below, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
              MAP_FAILED &&
          errno == EEXIST);
    close(fds[0]);
    close(fds[1]);
}

/* ---- What they are enough for ------------------------------------------------------------------------- */

struct all {
    rn_chan(long) none, some, other, never;
    rn_mutex mutex;
    rn_rwmutex rw;
    rn_sem sem;
    rn_cond cond;
    rn_once once;
    rn_ctx *ctx;
    long turns, seen;
    int fds[2];
    rn_wg wg;
};

static void counts(_Atomic int *n)
{
    (*n)++;
}
static int succeeds(void)
{
    return 0;
}
static void once_only(struct all *a)
{
    a->turns++;
}

static void sends(struct all *a)
{
    for (int i = 0; i < ROUNDS; i++)
        rn_send(a->none, i);
    rn_wg_done(&a->wg);
}
static void receives(struct all *a)
{
    for (int i = 0; i < ROUNDS; i++)
        CHECK_EQ(rn_recv(a->none), i);
    rn_wg_done(&a->wg);
}
static void selects(struct all *a)
{
    for (long i = 0, v; i < ROUNDS; i++) {
        int which = rn_select(rn_on_recv(a->some, &v), rn_on_send(a->some, i),
                              rn_on_recv(a->never, &v), rn_on_timeout(RN_MINUTE),
                              rn_on_done(a->ctx));

        CHECK(which == 0 || which == 1);
    }
    rn_wg_done(&a->wg);
}
static void locks(struct all *a)
{
    for (int i = 0; i < ROUNDS; i++) {
        rn_mutex_lock(&a->mutex);
        rn_yield();
        a->seen++;
        rn_cond_broadcast(&a->cond);
        rn_mutex_unlock(&a->mutex);
        rn_rwmutex_rlock(&a->rw);
        rn_yield();
        rn_rwmutex_runlock(&a->rw);
        rn_rwmutex_lock(&a->rw);
        rn_yield();
        rn_rwmutex_unlock(&a->rw);
        CHECK_EQ(rn_sem_acquire(a->ctx, &a->sem, 1), 0);
        rn_yield();
        rn_sem_release(&a->sem, 1);
        rn_once_do(&a->once, once_only, a);
    }
    rn_wg_done(&a->wg);
}
static void waits_for_cond(struct all *a)
{
    rn_mutex_lock(&a->mutex);
    while (a->seen < 3L * ROUNDS)
        rn_cond_wait(&a->cond, &a->mutex);
    rn_mutex_unlock(&a->mutex);
    rn_wg_done(&a->wg);
}
static void starts(struct all *a)
{
    rn_wg wg = {0};
    rn_group g = {0};
    _Atomic int n = 0;

    for (int i = 0; i < 300; i++)
        rn_wg_go(&wg, counts, &n);
    rn_group_go(&g, succeeds);
    rn_wg_wait(&wg);
    CHECK_EQ(n, 300);
    CHECK_EQ(rn_group_wait(&g), 0);
    rn_wg_done(&a->wg);
}
static void sleeps(struct all *a)
{
    rn_ctx *ctx = rn_ctx_with_timeout(a->ctx, RN_MILLISECOND);

    rn_sleep(RN_MICROSECOND);
    (void)rn_recv(rn_ctx_done(ctx));
    CHECK_EQ(rn_ctx_err(ctx), -ETIMEDOUT);
    rn_ctx_release(ctx);
    rn_wg_done(&a->wg);
}
static void polls(struct all *a)
{
    CHECK_EQ(rn_wait_fd(a->fds[0], POLLIN, a->ctx), POLLIN);
    rn_wg_done(&a->wg);
}
static void to_its_thread(struct all *a)
{
    rn_lock_thread();
    rn_yield();
    (void)rn_recv(a->other);
    rn_unlock_thread();
    rn_stack_trim();
    rn_wg_done(&a->wg);
}

GO_TEST(d18_all_that_waits_gets_along_with_a_small_stack)
{
    static struct all a;
    static void (*const each[])(struct all *) = {sends,  receives, selects, selects,
                                                 locks,  locks,    locks,   waits_for_cond,
                                                 starts, sleeps,   polls,   to_its_thread};

    for (int turn = 0; turn < 5; turn++) {
        a = (struct all){.sem = RN_SEM(1),
                         .none = rn_chan_make(long, 0),
                         .some = rn_chan_make(long, 3),
                         .other = rn_chan_make(long, 0),
                         .never = rn_chan_make(long, 0),
                         .ctx = rn_ctx_with_cancel(rn_ctx_background())};
        CHECK_EQ(pipe(a.fds), 0);
        for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) {
            rn_wg_add(&a.wg, 1);
            rn_go_with(SMALL, each[i], &a);
        }
        rn_send(a.other, 1);
        CHECK_EQ(write(a.fds[1], "x", 1), 1);
        rn_wg_wait(&a.wg);
        close(a.fds[0]);
        close(a.fds[1]);
        rn_ctx_cancel(a.ctx);
        rn_ctx_release(a.ctx);
        rn_chan_release(a.none);
        rn_chan_release(a.some);
        rn_chan_release(a.other);
        rn_chan_release(a.never);
    }
}

/* A thread is made from such a stack. */
static void computes(_Atomic int *running, rn_wg *wg)
{
    (*running)++;
    while (*running < 4)
        ;
    rn_wg_done(wg);
}
static void starts_threads(rn_wg *wg)
{
    static _Atomic int running;

    rn_wg_add(wg, 4);
    for (int i = 0; i < 4; i++)
        rn_go(computes, &running, wg);
    rn_wg_done(wg);
}
GO_TEST_PROCS(d18_a_small_stack_is_enough_to_wake_a_new_thread, 5)
{
    rn_wg wg = {0};

    rn_wg_add(&wg, 1);
    rn_go_with(SMALL, starts_threads, &wg);
    rn_wg_wait(&wg);
}

/* ---- Signals -------------------------------------------------------------------------------------------- */

enum { SIGNALS = 2000 };
static _Atomic int handled, on_small;
static _Atomic bool enough;

static void on_signal(int sig)
{
    volatile char frame[4000];
    uintptr_t at = (uintptr_t)frame + sizeof frame;

    frame[0] = frame[sizeof frame - 1] = (char)sig;
    on_small += at > lowest - STACK && at < highest + STACK;
    handled++;
}

/* Mostly outside of the library. */
static void computes_and_yields(_Atomic long *ret_thread, rn_wg *wg)
{
    while (!enough) {
        *ret_thread = gettid();
        for (volatile int i = 0; i < 2000; i++)
            ;
        rn_yield();
    }
    rn_wg_done(wg);
}

GO_TEST_PROCS(d18_signals_are_not_handled_on_small_stacks, 3)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    static _Atomic long thread[8];
    rn_wg wg = {0};

    only_if_granted();
    (void)many_wait();
    CHECK_EQ(closest, STACK);
    CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
    rn_lock_thread(); /* which runs no small ones, so that it may take signals */
    rn_wg_add(&wg, 8);
    for (int i = 0; i < 8; i++)
        rn_go_with(SMALL, computes_and_yields, &thread[i], &wg);
    for (int i = 0; i < 8; i++)
        AWAIT(thread[i] != 0);
    for (int i = 0; i < SIGNALS; i++) {
        long to = thread[i % 8];

        if (to != gettid())
            CHECK(tgkill(getpid(), (pid_t)to, SIGUSR1) == 0 || errno == ESRCH);
        if (i % 8 == 0)
            rn_yield();
    }
    enough = true;
    rn_wg_wait(&wg);
    CHECK_EQ(on_small, 0);
}

static _Atomic long began_on;
static _Atomic int moved;

static void signals_itself(rn_wg *wg)
{
    began_on = gettid();
    (void)rn_recv(gate);
    moved += gettid() != began_on;
    CHECK_EQ(tgkill(getpid(), gettid(), SIGUSR1), 0);
    rn_wg_done(wg);
}
/* From a thread that has run no small stack yet, if there is one. */
static void wakes_it(rn_wg *wg)
{
    rn_time end = rn_now() + 100 * RN_MILLISECOND;

    while (gettid() == began_on && rn_now() < end) {
        for (volatile int k = 0; k < 20000; k++)
            ;
        rn_yield();
    }
    rn_send(gate, 1);
    rn_yield();
    rn_wg_done(wg);
}
static int wakes_elsewhere(void)
{
    rn_wg wg = {0};

    gate = rn_chan_make(long, 0);
    began_on = 0;
    rn_wg_add(&wg, 2);
    rn_go_with(SMALL, signals_itself, &wg);
    AWAIT(began_on != 0 && test_parked() == 1);
    rn_go(wakes_it, &wg);
    rn_wg_wait(&wg);
    rn_chan_release(gate);
    return 0;
}

/* What has begun on one thread is woken on another, by a goroutine that leaves that to it. */
PLAIN_TEST(d18_signals_are_kept_off_wherever_a_small_stack_goes)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    only_if_granted();
    CHECK_EQ(rn_set_procs(2), 0);
    CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
    for (int i = 0; i < 1000 && moved < 20; i++)
        CHECK_EQ(rn_run(wakes_elsewhere), 0);
    CHECK_EQ(moved, 20);
    CHECK_EQ(handled, 0);
}

/* ---- Overflows, and other ends ---------------------------------------------------------------------------- */

static volatile char touched;

static __attribute__((noinline)) void uses(size_t n)
{
    volatile char frame[1 << 16];

    for (size_t i = 0; i < n; i++)
        frame[sizeof frame - 1 - i] = 1;
    touched = frame[sizeof frame - 1];
}
static void overflows_and_yields(size_t n)
{
    uses(n);
    rn_yield();
}
static void overflows_and_ends(size_t n)
{
    uses(n);
}
static void below(rn_wg *wg)
{
    rn_wg_done(wg);
    (void)rn_recv(gate);
}

static int overflow(void (*fn)(size_t), size_t n, bool lowest_of_all)
{
    rn_wg wg = {0};

    gate = rn_chan_make(long, 0);
    if (!lowest_of_all) { /* stacks come upwards from the lowest: the next ones overflow into those */
        rn_wg_add(&wg, 4);
        for (int i = 0; i < 4; i++)
            rn_go_with(SMALL, below, &wg);
        rn_wg_wait(&wg);
    }
    rn_go_with(RN_ATTR(.small_stack = true, .name = "deep"), fn, n);
    rn_sleep(RN_MINUTE);
    return 0;
}

static void overflow_seen_by_yield(void)
{
    (void)!rn_run(overflow, overflows_and_yields, 1700, false);
}
static void overflow_seen_at_the_end(void)
{
    (void)!rn_run(overflow, overflows_and_ends, 1700, false);
}
static void overflow_into_the_guard(void)
{
    (void)!rn_run(overflow, overflows_and_yields, 5000, true);
}

static void expect_overflow(int line, void (*fn)(void))
{
    const char *report =
        test_expect_death(__FILE__, line, fn, "runtime: goroutine stack exceeds 1536-byte limit");

    CHECK(strstr(report, "fatal error: stack overflow\n") != NULL);
    CHECK(strstr(report, "has a small stack, without a guard") != NULL);
    CHECK(strstr(report, " \"deep\" [running]:\n") != NULL);
    CHECK(strstr(report, "created by goroutine 1 at") != NULL);
}

PLAIN_TEST(d18_rt_18_the_overflow_of_a_small_stack_is_told)
{
    only_if_granted();
    expect_overflow(__LINE__, overflow_seen_by_yield);
    expect_overflow(__LINE__, overflow_seen_at_the_end);
}
PLAIN_TEST(d18_rt_18_the_overflow_of_the_lowest_small_stack_faults)
{
    only_if_granted();
    expect_overflow(__LINE__, overflow_into_the_guard);
}

/* Another trap, on x86-64, with an address that cannot be one: no overflow, although there is no room for a signal. */
static void impossible_address(size_t unused)
{
    (void)unused;
    *(volatile int *)(uintptr_t)0x8000000000000010 = 1;
}
static void other_fault(void)
{
    no_core_file();
    (void)!rn_run(overflow, impossible_address, 0, true);
}
PLAIN_TEST(d18_other_faults_on_small_stacks_are_not_ours)
{
    struct child c;

    only_if_granted();
    if (test_is_emulated())
        SKIP("the emulator says something itself");
    c = run_child(other_fault);
    CHECK_SIGNAL(&c, SIGSEGV);
    CHECK_STR(c.said, "");
    free(c.said);
}

static int panic_by(void (*fn)(void))
{
    rn_go_with(RN_ATTR(.small_stack = true, .name = "unlucky"), fn);
    rn_sleep(RN_MINUTE);
    return 0;
}
static __attribute__((noinline)) void panics_with_text(void)
{
    rn_panic("%s of %d", "one", 17);
    __asm__ volatile("");
}
static __attribute__((noinline)) void closes_nothing(void)
{
    rn_chan(long) none = NULL;

    rn_close(none);
    __asm__ volatile("");
}
static void panic_with_text(void)
{
    (void)!rn_run(panic_by, panics_with_text);
}
static void panic_of_close(void)
{
    (void)!rn_run(panic_by, closes_nothing);
}

PLAIN_TEST(d18_a_panic_on_a_small_stack_says_all)
{
    const char *report = test_expect_death(__FILE__, __LINE__, panic_with_text, "panic: one of 17");

    CHECK(strstr(report, " \"unlucky\" [running]:\n\t") != NULL);
    CHECK(strstr(report, "created by goroutine 1 at") != NULL);
    report = test_expect_death(__FILE__, __LINE__, panic_of_close, "panic: close of nil channel");
    CHECK(strstr(report, " \"unlucky\" [running]:\n\t") != NULL);
}

static int both(void)
{
    rn_go_with(RN_ATTR(.small_stack = true, .stack_size = 2048), closes_nothing);
    return 0;
}
static void run_both(void)
{
    (void)!rn_run(both);
}
PLAIN_TEST(d18_a_small_stack_has_no_other_size)
{
    CHECK_PANICS(run_both, "rn_go_with: small_stack with a stack_size");
}
#endif
