/* SPDX-License-Identifier: MIT */
/*
 * memory.c - stacks and their guards, a million goroutines, and what happens when memory runs out.
 */
#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- Stacks --------------------------------------------------------------------------------------------- */

/* Each frame is known to the next, so that no compiler makes one of all. */
static int use_frames(size_t bytes, volatile char *above)
{
    volatile char frame[1024];
    int sum;

    frame[0] = (char)bytes;
    frame[sizeof(frame) - 1] = 1;
    sum = bytes > 1200 ? use_frames(bytes - 1200, frame) : 0;
    *above = 1;
    return sum + frame[0] + frame[sizeof(frame) - 1];
}
/* Touch bytes of stack from here down; returns something that depends on all of it. */
static int use_stack(size_t bytes)
{
    volatile char above;

    return use_frames(bytes, &above);
}

static void use_and_tell(size_t bytes, rn_chan(int) ch)
{
    rn_send(ch, use_stack(bytes) != -1);
}

GO_TEST(d32_stack_sizes_are_what_was_asked_for)
{
    const size_t sizes[] = {0,      1,         16384,   16385,   65536,
                            100000, 128 << 10, 1 << 20, 8 << 20, 64 << 20};
    rn_chan(int) ch = rn_chan_make(int, 0);

    if (UNDER_ASAN || UNDER_TSAN)
        return; /* their frames are larger */
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t size = sizes[i] == 0 ? 128 << 10 : sizes[i] < 16384 ? 16384 : sizes[i];

        /* The guard, the control block and the first frames are part of the size. */
        size = size > 65536 ? size - 24 * 1024 : size - 8 * 1024;
        rn_go_with(RN_ATTR(.stack_size = sizes[i]), use_and_tell, size, ch);
        CHECK_EQ(rn_recv(ch), 1);
        rn_go_with(RN_ATTR(.stack_size = sizes[i]), use_and_tell, size, ch); /* a used one */
        CHECK_EQ(rn_recv(ch), 1);
    }
    rn_chan_release(ch);
}

static int stack_too_large(void)
{
    rn_go_with(RN_ATTR(.stack_size = ((size_t)1 << 30) + 1), use_stack, 1000);
    return 0;
}
static void stack_too_large_run(void)
{
    (void)!rn_run(stack_too_large);
}

PLAIN_TEST(d32_a_stack_of_more_than_a_gibibyte_panics)
{
    CHECK_PANICS(stack_too_large_run, "rn_go_with: stack_size above 1 GiB");
}

enum { GUARDED = 300 };
static char *top[GUARDED];
static _Atomic int standing;

static void stand(int i, rn_chan(int) gate)
{
    char here;

    top[i] = &here;
    standing++;
    (void)rn_recv(gate);
}

/* The kernel reads for us, and says EFAULT where we would die. */
static bool readable(const char *at, const int fds[2])
{
    char c;

    if (write(fds[1], at, 1) == 1) {
        CHECK_EQ(read(fds[0], &c, 1), 1);
        return true;
    }
    CHECK_EQ(errno, EFAULT);
    return false;
}

/* The greatest common divisor of the distances. */
static size_t apart(void)
{
    size_t a = 0;

    for (int i = 1; i < GUARDED; i++) {
        size_t b = (size_t)labs(top[i] - top[0]);

        while (b) {
            size_t rest = a % b;

            a = b;
            b = rest;
        }
    }
    return a;
}

/* Below every stack, within its size, there is a page that cannot be read; and the stack ends there, since
 * nobody else's lies between. */
GO_TEST(rt_18_d18_every_stack_has_a_guard)
{
    const size_t sizes[] = {16384, 65536, 0, 1 << 20};
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    for (size_t s = 0; s < 4; s++) {
        size_t size = sizes[s] ? sizes[s] : 128 << 10;
        rn_chan(int) gate = rn_chan_make(int, 0);

        standing = 0;
        for (int i = 0; i < GUARDED; i++)
            rn_go_with(RN_ATTR(.stack_size = sizes[s]), stand, i, gate);
        AWAIT(standing == GUARDED);
        for (int i = 0; i < GUARDED; i++) {
            char *end = top[i] - size, *at = top[i];

            while (at > end && readable(at, fds))
                at -= 4096;
            if (at <= end)
                test_fail(__FILE__, __LINE__, "no guard below stack %d of %zu bytes", i, size);
            for (int k = 0; k < GUARDED; k++)
                CHECK(k == i || top[k] < at || top[k] > top[i]);
        }
        /* An odd number of pages from one to the next: see stack.c. */
        CHECK_EQ(apart() / 4096 % 2, 1);
        rn_close(gate);
        AWAIT(rn_count() == 1);
        rn_chan_release(gate);
    }
    close(fds[0]);
    close(fds[1]);
}

struct big {
    char text[3000];
};
static void check_big(struct big *b)
{
    rn_yield();
    CHECK_EQ(b->text[0], 'x');
    CHECK_EQ(b->text[2999], 'y');
    b->text[0] = 'z'; /* the goroutine's own copy */
}

GO_TEST(d32_go_copy)
{
    struct big b;

    memset(&b, 0, sizeof(b));
    b.text[0] = 'x';
    b.text[2999] = 'y';
    for (int i = 0; i < 100; i++)
        rn_go_copy(check_big, &b);
    memset(&b, 0, sizeof(b));
}

/* ---- A million -------------------------------------------------------------------------------------------- */

static void park_one(rn_chan(int) gate)
{
    standing++;
    (void)rn_recv(gate);
}

static long available_mib(void)
{
    FILE *f = fopen("/proc/meminfo", "r");
    char line[200];
    long kib = 0;

    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "MemAvailable: %ld kB", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib / 1024;
}

static int a_million(void)
{
    const int n = 1000000;
    rn_chan(int) gate = rn_chan_make(int, 0);
    long before = rss_kib();

    for (int i = 0; i < n; i++)
        rn_go(park_one, gate);
    AWAIT(standing == n);
    CHECK_EQ(rn_count(), (size_t)n + 1);
    CHECK(count_maps() < 60000);
    printf("%ld bytes of memory a goroutine\n", (rss_kib() - before) * 1024 / n);
    rn_close(gate);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    rn_chan_release(gate);
    return 0;
}

PLAIN_TEST(rt_a_million_goroutines_parked_at_once)
{
    if (test_is_slow())
        SKIP("too slow here");
    if (available_mib() < 8 * 1024)
        SKIP("needs 8 GiB of memory");
    CHECK_EQ(rn_run(a_million), 0);
    CHECK_EQ(count_threads(), 1);
    CHECK(rss_kib() < 1024 * 1024);
}

static _Atomic int trim_ready;

/* How many of the pages that end before `end` are in memory, of n. */
static int pages_held(uintptr_t end, int n)
{
    unsigned char held[64];
    uintptr_t begin = (end & ~(uintptr_t)4095) - (uintptr_t)n * 4096;
    int sum = 0;

    CHECK(n <= (int)sizeof held);
    CHECK_EQ(mincore((void *)begin, (size_t)n * 4096, held), 0);
    for (int i = 0; i < n; i++)
        sum += held[i] & 1;
    return sum;
}

static void deep_then_wait(bool trim, rn_recv_only(rn_unit) go_on, _Atomic int *held)
{
    char here[100];

    memset(here, 7, sizeof here);
    (void)use_stack(60000);
    if (trim)
        rn_stack_trim();
    *held += pages_held((uintptr_t)here - 2 * 4096,
                        10); /* the frames of the calls lie in the two pages */
    trim_ready++;
    (void)rn_recv(go_on);
    for (size_t i = 0; i < sizeof here; i++)
        CHECK_EQ(here[i], 7);
    (void)use_stack(60000);
}

/* Stacks that were used deeply give their memory back, keep what is in use, and can be used again. */
GO_TEST(stack_trim)
{
    enum { N = 200 };

    if (UNDER_ASAN || UNDER_TSAN)
        return; /* their own memory is more than that */
    for (int trim = 0; trim < 2; trim++) {
        rn_chan(rn_unit) go_on = rn_chan_make(rn_unit, 0);
        _Atomic int held = 0;

        trim_ready = 0;
        for (int i = 0; i < N; i++)
            rn_go(deep_then_wait, (bool)trim, go_on, &held);
        AWAIT(trim_ready == N);
        CHECK(trim ? held == 0 : held >= N * 8); /* a compiler may leave a page out */
        rn_close(go_on);
        rn_settle(RN_MINUTE);
        rn_chan_release(go_on);
        if (trim == 0)
            rn_stack_trim(); /* of the first goroutine: nothing that matters */
    }
}

PLAIN_TEST(stack_trim_on_a_plain_thread)
{
    char here[100];

    memset(here, 7, sizeof here);
    rn_stack_trim(); /* its stack is not ours: nothing happens */
    for (size_t i = 0; i < sizeof here; i++)
        CHECK_EQ(here[i], 7);
}

/* ---- Out of memory ------------------------------------------------------------------------------------------- */

/* Allow this much more address space than there is now. */
static void limit_memory(long mib)
{
    struct rlimit limit;

    limit.rlim_cur = limit.rlim_max = (rlim_t)(vm_kib() + mib * 1024) * 1024;
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
}

/* With large stacks, so that the address space ends before the memory does. */
static void hold(rn_chan(int) gate, _Atomic int *woken)
{
    (void)rn_recv(gate);
    ++*woken;
}

static int run_out_of_goroutines(void)
{
    rn_chan(int) gate = rn_chan_make(int, 0);
    _Atomic int woken = 0;
    int started = 0, err = 0;

    rn_go(hold, gate, &woken); /* the runtime is up */
    started++;
    test_let_run();
    limit_memory(100);
    while (started < 3000000) {
        err = rn_go_err(hold, gate, &woken);
        if (err)
            break;
        started++;
        if (started % 64 == 0)
            rn_yield();
    }
    CHECK_EQ(err, -ENOMEM);
    CHECK(started > 100);
    CHECK_EQ(rn_count(), (size_t)started + 1); /* "with nothing started" */
    rn_close(gate);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    CHECK_EQ(woken, started);
    gate = rn_chan_make(int, 1); /* and on it goes */
    rn_send(gate, 1);
    CHECK_EQ(rn_go_err(hold, gate, &woken), 0);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    rn_chan_release(gate);
    return 0;
}
static void run_out_of_goroutines_run(void)
{
    _exit(rn_run(run_out_of_goroutines));
}

static int run_out_of_channels(void)
{
    static rn_chan(int64_t) kept[1000];
    rn_chan(int64_t) ch = NULL;
    int err = 0, n = 0;

    limit_memory(100);
    while (n < 1000 && (err = rn_chan_make_err(&kept[n], 1 << 20)) == 0)
        n++;
    CHECK_EQ(err, -ENOMEM);
    CHECK(n > 0 && kept[n] == NULL); /* untouched on failure */
    CHECK_EQ(rn_chan_make_err(&ch, (int64_t)1 << 40), -ENOMEM);
    CHECK_EQ(rn_chan_make_err(&ch, -1), -EINVAL); /* where rn_chan_make panics */
    CHECK_EQ(rn_chan_make_err(&ch, INT64_MAX), -EINVAL);
    CHECK(ch == NULL);
    while (n > 0)
        rn_chan_release(kept[--n]);
    CHECK_EQ(rn_chan_make_err(&ch, 1 << 20), 0);
    rn_send(ch, 1);
    CHECK_EQ(rn_recv(ch), 1);
    rn_chan_release(ch);
    return 0;
}
static void run_out_of_channels_run(void)
{
    _exit(rn_run(run_out_of_channels));
}

static int panic_out_of_memory(void)
{
    rn_chan(int) gate = rn_chan_make(int, 0);
    _Atomic int woken = 0;

    limit_memory(100);
    for (int i = 0; i < 3000000; i++) {
        rn_go(hold, gate, &woken);
        if (i % 64 == 0)
            rn_yield();
    }
    return 0;
}
static void panic_out_of_memory_run(void)
{
    (void)!rn_run(panic_out_of_memory);
}

static int large_channel_panics(void)
{
    rn_chan(int64_t) ch;

    limit_memory(100);
    ch = rn_chan_make(int64_t, 100 << 20);
    return ch != NULL;
}
static void large_channel_panics_run(void)
{
    (void)!rn_run(large_channel_panics);
}

static int context_panics(void)
{
    limit_memory(20);
    for (int i = 0; i < 3000000; i++)
        if (!rn_ctx_with_cancel(rn_ctx_background()))
            return 1; /* never NULL */
    return 0;
}
static void context_panics_run(void)
{
    (void)!rn_run(context_panics);
}

PLAIN_TEST(d30_lack_of_memory_is_an_error_where_there_is_a_result)
{
    struct child c;

    if (UNDER_ASAN || UNDER_TSAN || test_is_slow())
        SKIP("a limit on the address space breaks the tools");
    c = run_child(run_out_of_goroutines_run);
    CHECK_EXIT(&c, 0);
    free(c.said);
    c = run_child(run_out_of_channels_run);
    CHECK_EXIT(&c, 0);
    free(c.said);
}

PLAIN_TEST(d30_lack_of_memory_is_a_panic_with_a_clear_text_elsewhere)
{
    void (*const fn[])(void) = {panic_out_of_memory_run, large_channel_panics_run,
                                context_panics_run};

    if (UNDER_ASAN || UNDER_TSAN || test_is_slow())
        SKIP("a limit on the address space breaks the tools");
    for (int i = 0; i < 3; i++) {
        struct child c = run_child(fn[i]);

        CHECK_EXIT(&c, 2);
        CHECK_SAYS_LINE(&c, "panic: ", "memory");
        free(c.said);
    }
}

/* Stacks that are given back, more than a processor keeps, are used again: no more address space is taken. */
static void held(rn_wg *arrived, rn_recv_only(rn_unit) until)
{
    rn_wg_done(arrived);
    (void)rn_recv_ok(until, NULL);
}
static void burst(int n)
{
    rn_chan(rn_unit) until = rn_chan_make(rn_unit, 0);
    rn_wg arrived = {0};

    rn_wg_add(&arrived, n);
    for (int i = 0; i < n; i++)
        rn_go(held, &arrived, until);
    rn_wg_wait(&arrived);
    rn_close(until);
    rn_settle(RN_MINUTE);
    rn_chan_release(until);
}
GO_TEST(stacks_are_used_again)
{
    long before;

    for (int i = 0; i < 3; i++)
        burst(1000);
    before = vm_kib();
    for (int i = 0; i < 20; i++)
        burst(1000);
    CHECK(vm_kib() < before + 500 * 1024); /* a burst's stacks are 125 MiB; threads may come */
}
