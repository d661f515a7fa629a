/* SPDX-License-Identifier: MIT */
/*
 * corners.c - what no other test comes by: ends of rn_run with something still under way, children of a fork, settings
 * that are nonsense, calls made twice.
 */
#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- nil functions --------------------------------------------------------------------------------------------- */

static void (*volatile no_function)(void);
static int (*volatile no_main)(void);

DEATH_TEST(nil_go_err, "fatal error: go of nil func value")
{
    (void)!rn_go_err(no_function);
}
DEATH_TEST(nil_after, "fatal error: go of nil func value")
{
    rn_go_after(RN_HOUR, no_function);
}
static void nil_run(void)
{
    (void)!rn_run(no_main);
}
PLAIN_TEST(nil_rn_run)
{
    CHECK_FATAL(nil_run, "go of nil func value");
}

/* ---- Locks that are not held ------------------------------------------------------------------------------------ */

static rn_rwmutex rw;

static void locks(void)
{
    rn_rwmutex_lock(&rw);
    rn_rwmutex_unlock(&rw);
}
static void reads(void)
{
    rn_rwmutex_rlock(&rw);
    rn_rwmutex_runlock(&rw);
}

/* A writer that waits for readers does not hold the lock yet: an unlock is wrong. */
DEATH_TEST_PROCS(unlock_while_a_writer_waits, 1, "fatal error: sync: Unlock of unlocked RWMutex")
{
    rn_rwmutex_rlock(&rw);
    rn_go(locks);
    test_let_run();
    rn_rwmutex_unlock(&rw);
}
/* A reader that waits for a writer is counted, but holds nothing. */
DEATH_TEST_PROCS(runlock_while_a_reader_waits, 1, "fatal error: sync: RUnlock of unlocked RWMutex")
{
    rn_rwmutex_lock(&rw);
    rn_go(reads);
    test_let_run();
    rn_rwmutex_runlock(&rw);
}

/* A writer ends with its runtime while it waits for a reader, which is a thread: its unlock frees the lock. */
static int leaves_a_writer(void)
{
    rn_go(locks);
    test_let_run();
    return 0;
}
PLAIN_TEST(writer_dropped_while_it_waits)
{
    CHECK_EQ(rn_set_procs(1), 0);
    rn_rwmutex_rlock(&rw);
    CHECK_EQ(rn_run(leaves_a_writer), 0);
    rn_rwmutex_runlock(&rw);
    CHECK(rn_rwmutex_try_lock(&rw));
    rn_rwmutex_unlock(&rw);
}

/* ---- Channels and select ------------------------------------------------------------------------------------------ */

static void selects_a_send(rn_send_only(int) out)
{
    (void)rn_select(rn_on_send(out, 1), rn_on_timeout(RN_HOUR));
}
DEATH_TEST_PROCS(close_under_a_waiting_select, 1, "panic: send on closed channel")
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    rn_go(selects_a_send, ch);
    test_let_run();
    rn_close(ch);
    test_let_run();
}

static void receives_from(rn_recv_only(rn_time) in)
{
    (void)rn_recv(in);
}
DEATH_TEST_PROCS(timer_freed_under_a_receiver, 1, "panic: release of a channel in use")
{
    rn_timer t = {0};

    rn_timer_reset(&t, RN_HOUR);
    rn_go(receives_from, rn_timer_chan(&t));
    test_let_run();
    rn_timer_free(&t);
}

/* More units than there are: the context's end is all that one can wait for. */
GO_TEST(sem_more_than_there_are_under_a_context)
{
    rn_sem s = RN_SEM(2);
    rn_ctx *ctx = rn_ctx_with_timeout(rn_ctx_background(), 2 * RN_MILLISECOND);

    CHECK_EQ(rn_sem_acquire(ctx, &s, 3), -ETIMEDOUT);
    CHECK(!rn_sem_try_acquire(&s, -1) && !rn_sem_try_acquire(&s, 3));
    CHECK(rn_sem_try_acquire(&s, 2));
    rn_sem_release(&s, 2);
    rn_ctx_end(ctx);
}

/* ---- Groups --------------------------------------------------------------------------------------------------------- */

static _Atomic bool go_on;
static int until_told(void)
{
    while (!go_on)
        rn_yield();
    return 0;
}
static void adds(rn_group *g, _Atomic int *added)
{
    rn_group_go(g, until_told);
    ++*added;
}

/* A limit that is taken away lets those in who waited for it. */
GO_TEST_PROCS(group_limit_taken_away, 1)
{
    rn_group g = {0};
    _Atomic int added = 0;

    rn_group_set_limit(&g, 1);
    for (int i = 0; i < 4; i++)
        rn_go(adds, &g, &added);
    test_let_run();
    CHECK_EQ(added, 1);
    rn_group_set_limit(&g, -1);
    AWAIT(added == 4);
    go_on = true;
    CHECK_EQ(rn_group_wait(&g), 0);
}

/* A second context takes the place of the first, which ends. */
GO_TEST(group_context_twice)
{
    rn_group g = {0};
    rn_ctx *first = rn_group_with_ctx(&g, rn_ctx_background());
    rn_ctx *child = rn_ctx_with_cancel(first);

    (void)rn_group_with_ctx(&g, rn_ctx_background());
    (void)rn_recv(rn_ctx_done(child));
    rn_ctx_end(child);
    CHECK_EQ(rn_group_wait(&g), 0);
}

/* rn_exit in a flight's function, in a goroutine of a group: the group gets the result too. */
static rn_flight flight;
static int exits(void)
{
    rn_exit(-EPIPE);
}
static int flies(void)
{
    int out;

    return rn_flight_do(&flight, "key", &out, exits);
}
GO_TEST(flight_left_by_exit_in_a_group)
{
    rn_group g = {0};

    rn_group_go(&g, flies);
    CHECK_EQ(rn_group_wait(&g), -EPIPE);
}

/* ---- Ends of rn_run --------------------------------------------------------------------------------------------------- */

static rn_chan(int) never;
static void locked(void)
{
    rn_lock_thread();
    for (;;) /* waits with its thread when the runtime stops */
        (void)rn_recv(never);
}
static int leaves_a_locked_one(void)
{
    never = rn_chan_make(int, 0);
    rn_go(locked);
    rn_sleep(20 * RN_MILLISECOND);
    return 5;
}
PLAIN_TEST(end_while_one_is_locked_to_its_thread)
{
    CHECK_EQ(rn_run(leaves_a_locked_one), 5);
}

/* A thread sleeps while a runtime ends: somebody must wake it. */
static _Atomic int thread_state;
static void *sleeps(void *arg)
{
    thread_state = 1;
    rn_sleep(60 * RN_MILLISECOND);
    thread_state = 2;
    return arg;
}
static int short_run(void)
{
    while (thread_state == 0)
        rn_yield();
    rn_sleep(5 * RN_MILLISECOND);
    return 0;
}
PLAIN_TEST(thread_sleeps_across_an_end)
{
    pthread_t t;

    CHECK_EQ(pthread_create(&t, NULL, sleeps, NULL), 0);
    CHECK_EQ(rn_run(short_run), 0);
    CHECK_EQ(pthread_join(t, NULL), 0);
    CHECK_EQ(thread_state, 2);
}

/* A context of signals outlives the run: the signal has its former effect again. */
static rn_ctx *left_over;
static int leaves_a_context(void)
{
    left_over = rn_ctx_with_signals(rn_ctx_background(), SIGUSR1, SIGUSR2, SIGUSR1);
    return 0;
}
PLAIN_TEST(signals_after_the_run)
{
    struct sigaction now;

    CHECK_EQ(rn_run(leaves_a_context), 0);
    CHECK(sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
    CHECK(sigaction(SIGUSR2, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
    CHECK_EQ(rn_ctx_err(left_over), 0);
    rn_ctx_end(left_over);
}

/* The thread has a stack for signal handlers: it stays. */
static int nothing_to_do(void)
{
    return 0;
}
PLAIN_TEST(own_signal_stack_stays)
{
    static char room[1 << 16];
    stack_t mine = {.ss_sp = room, .ss_size = sizeof(room)}, now;

    CHECK_EQ(sigaltstack(&mine, NULL), 0);
    CHECK_EQ(rn_run(nothing_to_do), 0);
    CHECK(sigaltstack(NULL, &now) == 0 && now.ss_sp == room);
    mine.ss_flags = SS_DISABLE;
    CHECK_EQ(sigaltstack(&mine, NULL), 0);
}

/* ---- Children --------------------------------------------------------------------------------------------------------- */

/* A thread forks while others wait for a lock, a timer, a descriptor and a signal: its child knows nothing of that. */
static rn_mutex mu;
static void waits_for_lock(void)
{
    rn_mutex_lock(&mu);
    rn_mutex_unlock(&mu);
}
static void waits_for_fd(int fd, rn_ctx *ctx)
{
    CHECK_EQ(rn_wait_fd(fd, RN_READ, ctx), -ECANCELED);
}
static void sleeps_long(rn_ctx *ctx)
{
    CHECK_EQ(rn_sleep_ctx(ctx, RN_HOUR), -ECANCELED);
}
static void writes(int fd)
{
    rn_sleep(RN_MILLISECOND);
    CHECK_EQ(write(fd, "x", 1), 1);
}
PLAIN_TEST(fork_beside_those_who_wait)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx *signals = rn_ctx_with_signals(ctx, SIGUSR1);
    int fds[2], own[2], status = -1;
    pid_t pid;

    if (UNDER_TSAN)
        SKIP("that detector does not follow a fork of several threads");
    CHECK_EQ(pipe(fds), 0);
    rn_mutex_lock(&mu);
    rn_go(waits_for_lock);
    rn_go(waits_for_fd, fds[0], ctx);
    rn_go(sleeps_long, ctx);
    rn_sleep(10 * RN_MILLISECOND);
    pid = fork();
    if (pid == 0) {
        struct sigaction now;

        if (sigaction(SIGUSR1, NULL, &now) != 0 || now.sa_handler != SIG_DFL)
            _exit(3);
        if (pipe(own) != 0)
            _exit(2);
        rn_go(writes, own[1]);
        if (rn_wait_fd(own[0], RN_READ, NULL) != RN_READ)
            _exit(4);
        rn_sleep(RN_MILLISECOND);
        _exit(rn_settle(10 * RN_SECOND) == 0 ? 7 : 5);
    }
    CHECK(pid > 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 7);
    rn_ctx_cancel(ctx);
    rn_mutex_unlock(&mu);
    rn_settle(RN_MINUTE);
    rn_ctx_end(signals);
    rn_ctx_end(ctx);
    close(fds[0]);
    close(fds[1]);
}

/* ---- Settings and reports ------------------------------------------------------------------------------------------------ */

static void nonsense_run(void)
{
    setenv("RUNNEL_MAX_THREADS", "many", 1);
    setenv("RUNNEL_DUMP_SIGNAL", "SIGNONE", 1);
    CHECK_EQ(rn_run(nothing_to_do), 0);
}
PLAIN_TEST(settings_that_are_nonsense_are_said)
{
    struct child c = run_child(nonsense_run);

    CHECK_EXIT(&c, 0);
    CHECK_SAYS(&c, "runnel: RUNNEL_MAX_THREADS=many: expected a number from 2 to 1000000; ignored");
    CHECK_SAYS(&c,
               "runnel: RUNNEL_DUMP_SIGNAL=NONE: expected a signal such as QUIT or USR1; ignored");
    free(c.said);
}

static void of_a_size(size_t size)
{
    volatile char touched = 1;

    CHECK(size > 0 && touched == 1);
}
/* A stack larger than the pieces in which address space is taken otherwise. */
GO_TEST(stack_of_half_a_gibibyte)
{
    rn_go_with(RN_ATTR(.stack_size = (size_t)512 << 20), of_a_size, (size_t)512 << 20);
}

/* Many who wait at one place, of which no two ids are neighbours: the list ends with dots. And who else waits. */
static rn_chan(int) gate;
static void at_the_gate(void)
{
    (void)rn_recv(gate);
}
static void elsewhere(void)
{
    (void)rn_recv(gate);
}
static void *waits_too(void *arg)
{
    (void)rn_recv(gate);
    return arg;
}
static void dump_of_many(void)
{
    pthread_t t;

    gate = rn_chan_make(int, 0);
    for (int i = 0; i < 40; i++) {
        rn_go(at_the_gate);
        rn_go(elsewhere);
    }
    CHECK_EQ(pthread_create(&t, NULL, waits_too, NULL), 0);
    rn_sleep(50 * RN_MILLISECOND);
    rn_dump(STDERR_FILENO);
    rn_close(gate);
    CHECK_EQ(pthread_join(t, NULL), 0);
}
PLAIN_TEST(dump_names_some_of_many)
{
    struct child c = run_child(dump_of_many);

    CHECK_EXIT(&c, 0);
    CHECK_SAYS(&c, ", ...");
    CHECK_SAYS(&c, "waiting thread");
    free(c.said);
}

/* Two panic at the same time, and the report of the first has to wait for whoever reads it: there is no other. */
static void *panics(void *arg)
{
    rn_panic("one of two");
    return arg;
}
static void two_panic(void)
{
    pthread_t a, b;

    CHECK_EQ(pthread_create(&a, NULL, panics, NULL), 0);
    CHECK_EQ(pthread_create(&b, NULL, panics, NULL), 0);
    pthread_join(a, NULL);
}
PLAIN_TEST(one_report_of_two_panics)
{
    for (int i = 0; i < 20; i++) {
        struct child c = run_child(two_panic);
        const char *first = strstr(c.said, "panic: one of two\n");

        CHECK_EXIT(&c, 2);
        CHECK(first && !strstr(first + 1, "panic: one of two\n"));
        free(c.said);
    }
}

/* A thread evaluates the arguments of rn_go, and the runtime that has the record ends meanwhile: another starts it. */
static int between(void)
{
    return 1;
}
static int runs_between(void)
{
    CHECK_EQ(rn_run(between), 1);
    return 5;
}
static _Atomic int got;
static void takes(int value)
{
    got = value;
}
PLAIN_TEST(run_while_arguments_are_evaluated)
{
    rn_go(takes, runs_between());
    AWAIT(got == 5);
    rn_settle(RN_MINUTE);
}

/* The time of a sleep and of its context come at once, before the sleeper runs: it is woken once, and what it waits
 * for next is not over at once. */
static void answers(rn_chan(int) ch, int value)
{
    rn_sleep(RN_MILLISECOND);
    rn_send(ch, value);
}
GO_TEST_PROCS(sleep_and_context_end_at_once, 1)
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    for (int i = 1; i <= test_times(20); i++) {
        rn_time t = rn_now() + RN_MILLISECOND;
        rn_ctx *ctx = rn_ctx_with_deadline(rn_ctx_background(), t);
        int err = rn_sleep_ctx(ctx, t - rn_now());

        CHECK(err == 0 || err == -ETIMEDOUT);
        rn_go(answers, ch, i);
        CHECK_EQ(rn_recv(ch), i);
        rn_ctx_end(ctx);
    }
    rn_chan_release(ch);
}
