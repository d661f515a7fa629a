/* SPDX-License-Identifier: MIT */
/*
 * handoff.c - who has a processor, and who has not: what stall.c cannot see from outside. Linked with the static
 * library, for a look inside (held.h).
 */
#define _GNU_SOURCE
#include "held.h"
#include "process.h"

#include <runnel/errno.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void set(_Atomic int *flag)
{
    *flag = 1;
}

/* Compute until the one processor has certainly been given to another, who has ended. */
static void lose_processor(void)
{
    _Atomic int flag = 0;

    rn_go(set, &flag);
    while (!flag)
        ;
    while (proc_is_mine()) /* the other may have been run by a second one, were there more */
        ;
}

/* ---- Taking, and coming back ---------------------------------------------------------------------------------- */

/* D12: who enters again and again is asked to yield at first, so that nothing is taken from those that do in time. */
GO_TEST_PROCS(d12_who_has_had_its_time_is_asked_to_yield, 1)
{
    rn_chan(int) one = rn_chan_make(int, 1);
    rn_time end = rn_now() + RN_MINUTE;
    _Atomic int flag = 0;
    bool asked = false;

    /* On a machine that stood still for a while it is taken before we look: then once more. */
    while (!asked) {
        do {
            rn_send(one, 1); /* does what was asked of others on this thread */
            (void)rn_recv(one);
        } while (yield_is_due());
        flag = 0;
        rn_go(set, &flag); /* somebody waits for our processor */
        while (!flag && !yield_is_due())
            entry_and_back();
        asked = !flag && proc_is_mine();
        CHECK(rn_now() < end);
        AWAIT(flag);
    }
    rn_chan_release(one);
}

/* D12: and if it makes no call that waits, its processor is taken all the same. */
GO_TEST_PROCS(d12_who_enters_but_never_waits_is_taken_from, 1)
{
    _Atomic int flag = 0;

    rn_go(set, &flag);
    while (!flag)
        entry_and_back();
}

/* D11: the next call that could wait brings it back, although it need not wait. */
GO_TEST_PROCS(d11_who_lost_its_processor_rejoins_at_its_next_call, 1)
{
    rn_chan(int) one = rn_chan_make(int, 1);

    for (int i = 0; i < 10; i++) { /* fewer than after which rn_blocking would keep the processor */
        lose_processor();
        rn_send(one, i);
        CHECK(proc_is_mine()); /* nobody else wants it */
        lose_processor();
        CHECK_EQ(rn_recv(one), i);
        CHECK(proc_is_mine());
        lose_processor();
        rn_yield();
        CHECK(proc_is_mine());
        lose_processor();
        CHECK_EQ(rn_blocking(i), i);
        CHECK(proc_is_mine());
        CHECK_EQ(rn_blocking(proc_is_mine()), 0);
        CHECK(proc_is_mine());
    }
    rn_chan_release(one);
}

/* One place: is the processor ours in the call? Or, with a pipe, a call that blocks until there is a byte. */
static volatile int
    call_with; /* volatile: compilers would make a place of its own for each argument */

static __attribute__((noinline)) int call_there(void)
{
    int fd = call_with;
    char c;

    return rn_blocking(fd < 0 ? (int)proc_is_mine() : (int)read(fd, &c, 1));
}
static int call_here(int fd)
{
    call_with = fd;
    return call_there();
}
static void write_byte(int fd)
{
    CHECK_EQ(write(fd, "x", 1), 1);
}

/* D35: where calls are short again and again the processor is kept; one that blocks loses it, and the next is lent at once. */
GO_TEST_PROCS(d35_short_calls_keep_the_processor_until_one_blocks, 1)
{
    int fds[2], kept = 0;

    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(call_here(-1), 0);
    for (int i = 0; i < 1000000 && !kept; i++)
        kept = call_here(-1);
    CHECK(kept);
    rn_go(write_byte, fds[1]);
    CHECK_EQ(call_here(fds[0]), 1); /* the only processor is taken, or nobody would write */
    CHECK_EQ(call_here(-1), 0);
    close(fds[0]);
    close(fds[1]);
}

/* D10: what is inlined touches its object alone: locks that are free do not bring a processor back. See docs/stalls.md. */
GO_TEST_PROCS(d10_a_free_lock_is_no_call, 1)
{
    rn_mutex mutex = {0};

    lose_processor();
    for (int i = 0; i < 1000; i++) {
        rn_mutex_lock(&mutex);
        CHECK(!proc_is_mine());
        rn_mutex_unlock(&mutex);
        CHECK(!proc_is_mine());
    }
    rn_yield();
    CHECK(proc_is_mine());
}

static int blocks_within(int n)
{
    CHECK(!proc_is_mine());
    n = rn_blocking(n + 1);
    CHECK(!proc_is_mine());
    return n;
}
/* D35: a call that blocks in one that blocks: the processor comes back with the outer one. */
GO_TEST_PROCS(d35_blocking_calls_nest, 1)
{
    for (int i = 0; i < 10; i++) { /* so few are not known for short calls yet */
        CHECK_EQ(rn_blocking(blocks_within(i)), i + 1);
        CHECK(proc_is_mine());
    }
}

/* D10: odd inside, even outside, and an entry in an entry ends nothing. */
GO_TEST(d10_entries_nest)
{
    for (int i = 0; i < 1000; i++)
        CHECK(entries_nest());
}

/* Not pthread_self: that is declared to give the same in one function always, and is asked once. */
static long thread_id(void)
{
    return syscall(SYS_gettid);
}

static void stay(rn_ctx *ctx, rn_chan(int) closed, _Atomic int *moves)
{
    rn_chan(int) one = rn_chan_make(int, 1);
    rn_mutex mutex = {0};
    rn_wg wg = {0};

    for (int i = 0; i < test_times(300); i++) {
        long me = thread_id();
        int value;

        CHECK(rn_try_send(one, i));
        CHECK(rn_try_recv(one, &value) && value == i);
        CHECK(rn_try_recv(closed, &value));
        CHECK_EQ(rn_len(one), 0);
        CHECK(rn_mutex_try_lock(&mutex));
        rn_mutex_unlock(&mutex);
        rn_wg_add(&wg, 1);
        rn_wg_done(&wg);
        CHECK(rn_chan_retain(one) == one);
        rn_chan_release(one);
        CHECK_EQ(rn_ctx_err(ctx), 0);
        CHECK(rn_count() > 0 && rn_self_id() > 0);
        CHECK_EQ(thread_id(), me);
        rn_sleep(i % 3 * 1000); /* here it may move */
        *moves += thread_id() != me;
    }
    rn_chan_release(one);
}

/* D11: what does not wait returns on the thread it was called on, of those that often go on upon another. */
GO_TEST_PROCS(d11_what_does_not_wait_stays_on_its_thread, 4)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_chan(int) closed = rn_chan_make(int, 0);
    _Atomic int moves = 0;

    rn_close(closed);
    for (int round = 0; round < 5 || moves == 0; round++) { /* or nothing was to be seen */
        rn_wg wg = {0};

        CHECK(round < 100);
        for (int i = 0; i < 16; i++)
            rn_wg_go(&wg, stay, ctx, closed, &moves);
        rn_wg_wait(&wg);
    }
    rn_ctx_end(ctx);
    rn_chan_release(closed);
}

/* RT-04, D14: who went on without a processor is not counted for ever as one that runs. */
DEATH_TEST_PROCS(d14_a_deadlock_after_a_hand_off, 1,
                 "fatal error: all goroutines are asleep - deadlock!")
{
    lose_processor();
    rn_yield();
    lose_processor();
    (void)rn_recv(rn_chan_make(int, 0));
}

/* D12: in the kernel a goroutine loses its processor at once, computing only after a slice: so many of the one kind are
 * through before as many of the other. Both are measured here, one after the other, on one machine. */
enum { MANY = 24 };

static void in_kernel(int fd, _Atomic int *begun)
{
    char c;

    ++*begun;
    CHECK_EQ(read(fd, &c, 1), 1);
}

static void in_a_loop(_Atomic bool *end, _Atomic int *begun)
{
    ++*begun;
    while (!*end)
        ;
}

GO_TEST_PROCS(d12_who_sleeps_is_noticed_sooner_than_who_computes, 1)
{
    rn_dur asleep, busy;
    _Atomic int begun = 0;
    _Atomic bool end = false;
    int fds[2];
    rn_wg wg = {0};
    rn_time start;

    CHECK_EQ(pipe(fds), 0);
    start = rn_now();
    for (int i = 0; i < MANY; i++)
        rn_wg_go(&wg, in_kernel, fds[0], &begun);
    while (begun < MANY)
        rn_yield();
    asleep = rn_now() - start;
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(rn_sys(write(fds[1], "x", 1)), 1);
    rn_wg_wait(&wg);
    begun = 0;
    start = rn_now();
    for (int i = 0; i < MANY; i++)
        rn_wg_go(&wg, in_a_loop, &end, &begun);
    while (begun < MANY)
        rn_yield();
    busy = rn_now() - start;
    end = true;
    rn_wg_wait(&wg);
    close(fds[0]);
    close(fds[1]);
    CHECK(asleep < busy); /* by how much is exact in slices.c, where the clock is the test's */
}

/* ---- No more processors than there are --------------------------------------------------------------------------- */

static void mixed(int i, rn_chan(int) ch, _Atomic bool *end)
{
    while (!*end) {
        switch (i % 4) {
        case 0:
            usleep(200);
            break;
        case 1:
            (void)rn_blocking(usleep(100));
            break;
        case 2:
            for (volatile int k = 0; k < 300000; k++)
                ;
            break;
        default:
            break;
        }
        (void)rn_select(rn_on_send(ch, i), rn_on_recv(ch, NULL), rn_on_timeout(RN_MILLISECOND));
    }
}

/* D13: whatever is taken, lent, given back and woken, each processor has one holder. */
GO_TEST_PROCS(d13_no_processor_is_held_twice, 3)
{
    rn_chan(int) ch = rn_chan_make(int, 0);
    _Atomic bool end = false;
    rn_wg wg = {0};
    int most = 0;

    for (int i = 0; i < 24; i++)
        rn_wg_go(&wg, mixed, i, ch, &end);
    for (int i = 0; i < test_times(20000); i++) {
        int held = procs_held();

        CHECK(held <= rn_procs());
        most = held > most ? held : most;
        rn_yield();
    }
    end = true;
    rn_wg_wait(&wg);
    CHECK(most >= 1);
    rn_chan_release(ch);
}

/* ---- The number of processors follows what may be used --------------------------------------------------------------- */

static int follow_the_quota(void)
{
    int before = rn_procs();
    struct quota q;

    if (!quota_begin(&q))
        SKIP("no cgroup to write to");
    AWAIT(rn_procs() == 1);
    quota_end(&q);
    AWAIT(rn_procs() == before);
    return 0;
}

PLAIN_TEST(rt_processors_follow_the_cgroup_quota)
{
    unsetenv("RUNNEL_PROCS");
    if (rn_procs() < 2)
        SKIP("one CPU");
    CHECK_EQ(rn_run(follow_the_quota), 0);
}

/* ---- Signals ------------------------------------------------------------------------------------------------------------ */

static _Atomic int on_usual, on_alternate;

static void usual(int sig)
{
    (void)sig;
    on_usual++;
}

/* Are we on the thread's alternate stack? */
static void alternate(int sig)
{
    stack_t now;

    (void)sig;
    if (sigaltstack(NULL, &now) == 0 && (now.ss_flags & SS_ONSTACK))
        on_alternate++;
}

static void signalled(rn_chan(rn_unit) all_here, rn_chan(rn_unit) go_on)
{
    rn_lock_thread(); /* so that each has a thread of its own */
    rn_send(all_here, RN_UNIT);
    (void)rn_recv(go_on);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(raise(SIGUSR2), 0);
    rn_unlock_thread();
}

/* Handlers of the user's run on whatever thread, those with SA_ONSTACK on a stack that the thread has for it. */
GO_TEST(rt_the_users_signal_handlers_run)
{
    struct sigaction a = {.sa_handler = usual},
                     b = {.sa_handler = alternate, .sa_flags = SA_ONSTACK};
    rn_chan(rn_unit) all_here = rn_chan_make(rn_unit, 0), go_on = rn_chan_make(rn_unit, 0);
    rn_wg wg = {0};

    CHECK_EQ(sigaction(SIGUSR1, &a, NULL), 0);
    CHECK_EQ(sigaction(SIGUSR2, &b, NULL), 0);
    for (int i = 0; i < 10; i++)
        rn_wg_go(&wg, signalled, all_here, go_on);
    for (int i = 0; i < 10; i++)
        (void)rn_recv(all_here);
    rn_close(go_on);
    rn_wg_wait(&wg);
    CHECK_EQ(on_usual, 10);
    if (!UNDER_TSAN) /* which runs handlers itself, on the usual stack */
        CHECK_EQ(on_alternate, 10);
    rn_chan_release(all_here);
    rn_chan_release(go_on);
}

/* A signal to one that goes on without a processor; and then to one on a thread that the monitor has started. */
GO_TEST_PROCS(rt_a_signal_to_one_without_a_processor, 1)
{
    struct sigaction a = {.sa_handler = usual};
    rn_chan(int) one = rn_chan_make(int, 1);

    CHECK_EQ(sigaction(SIGUSR1, &a, NULL), 0);
    for (int i = 0; i < 10; i++) {
        lose_processor();
        CHECK_EQ(raise(SIGUSR1), 0);
        rn_send(one, i);
        CHECK_EQ(rn_recv(one), i);
    }
    CHECK_EQ(on_usual, 10);
    rn_chan_release(one);
}

/* ---- errno ------------------------------------------------------------------------------------------------------------- */

struct disturbed {
    long tid;
    _Atomic int here, leaves, hits;
};

/* With the only processor: interrupt the one that has made its call and waits for a processor. */
static void disturb(struct disturbed *d)
{
    int before = on_usual;

    d->here = 1;
    while (!d->leaves)
        ;
    while (!thread_sleeps(d->tid))
        ;
    CHECK_EQ(syscall(SYS_tgkill, getpid(), d->tid, SIGUSR1), 0);
    while (on_usual == before)
        ;
    d->hits += proc_is_mine(); /* else it may have had one, and not waited any more */
}

static int fail(struct disturbed *d, int code)
{
    while (!d->here)
        ;
    errno = code;
    d->leaves = 1;
    return -1;
}

/* D35: errno, and what is made of it, are the call's own, whatever becomes of the thread until it has a processor again. */
GO_TEST_PROCS(d35_errno_outlives_the_wait_for_a_processor, 1)
{
    struct sigaction a = {.sa_handler = usual}; /* calls are not restarted */
    struct disturbed d = {0};
    rn_wg wg = {0};

    CHECK_EQ(sigaction(SIGUSR1, &a, NULL), 0);
    for (int i = 0; i < 10 || (d.hits < 2 && i < 1000 && !UNDER_TSAN); i++) {
        d.tid = thread_id();
        d.here = d.leaves = 0;
        rn_wg_go(&wg, disturb, &d);
        errno = 0;
        if (i % 2) {
            CHECK_EQ(rn_sys(fail(&d, 1000 + i)), -(1000 + i));
        } else {
            CHECK_EQ(rn_blocking(fail(&d, 1000 + i)), -1);
            CHECK_EQ(errno, 1000 + i);
        }
        rn_wg_wait(&wg);
    }
    CHECK(d.hits > 0 || UNDER_TSAN); /* which keeps signals back */
}
