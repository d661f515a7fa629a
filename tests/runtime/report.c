/* SPDX-License-Identifier: MIT */
/*
 * report.c - how programs die: deadlock (decision 14, RT-04 to RT-08), panic and fatal error (decision 16,
 * RT-02, RT-12, RT-13, RT-17, RT-18), and when they must not.
 */
#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEADLOCK "all goroutines are asleep - deadlock!"

/* ---- Deadlock -------------------------------------------------------------------------------------- */

static int waits_for_itself(void)
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    return rn_recv(ch);
}
static void deadlock_simple(void)
{
    (void)!rn_run(waits_for_itself);
}

PLAIN_TEST(rt_04_a_simple_deadlock)
{
    const char *report;

    report = test_expect_death(__FILE__, __LINE__, deadlock_simple, "fatal error: " DEADLOCK);
    CHECK(strstr(report, "goroutine 1 [chan receive]") != NULL);
}

static rn_chan(int) empty, full;
static rn_mutex mu;
static rn_rwmutex rw;
static rn_wg wg;
static rn_cond cond;
static rn_mutex cond_mu;
static rn_sem sem;
static rn_once once;
static rn_group group;
static rn_flight flight;

static void wait_empty(void)
{
    (void)rn_recv(empty);
}
static int wait_empty_int(void)
{
    return rn_recv(empty);
}

static void wait_of_kind(int kind)
{
    rn_chan(int) nil = NULL;
    rn_ticket ticket;
    int v;

    switch (kind) {
    case 0:
        (void)rn_recv(empty);
        break;
    case 1:
        rn_send(full, 1);
        break;
    case 2:
        rn_send(nil, 1);
        break;
    case 3:
        (void)rn_recv(nil);
        break;
    case 4:
        (void)rn_select(rn_on_recv(empty, &v), rn_on_send(full, 1));
        break;
    case 5:
        (void)rn_select_array(NULL, 0);
        break;
    case 6:
        rn_mutex_lock(&mu);
        break;
    case 7:
        rn_rwmutex_lock(&rw);
        break;
    case 8:
        rn_rwmutex_rlock(&rw);
        break;
    case 9:
        rn_wg_wait(&wg);
        break;
    case 10:
        rn_mutex_lock(&cond_mu);
        rn_cond_wait(&cond, &cond_mu);
        break;
    case 11:
        (void)!rn_sem_acquire(NULL, &sem, 1);
        break;
    case 12:
        rn_once_do(&once, wait_empty);
        break;
    case 13:
        rn_once_do(&once, wait_empty);
        break;
    case 14:
        (void)!rn_group_wait(&group);
        break;
    case 15:
        rn_group_go(&group, wait_empty_int);
        break;
    case 16:
        (void)rn_flight_do(&flight, "key", &v, wait_empty_int);
        break;
    case 17:
        (void)rn_flight_do(&flight, "key", &v, wait_empty_int);
        break;
    default:
        rn_park_init(&ticket);
        rn_park(&ticket);
        break;
    }
}

static const char *const reason[] = {
    "chan receive",
    "chan send",
    "chan send (nil chan)",
    "chan receive (nil chan)",
    "select",
    "select (no cases)",
    "sync.Mutex.Lock",
    "sync.RWMutex.Lock",
    "sync.RWMutex.RLock",
    "sync.WaitGroup.Wait",
    "sync.Cond.Wait",
    "semacquire",
    "chan receive",
    "sync.Once.Do",
    "errgroup.Wait",
    "errgroup.Go",
    "chan receive",
    "singleflight.Do",
    "park",
};
enum { KINDS = sizeof(reason) / sizeof(reason[0]) };

/* Each kind in a goroutine named after it, one after the other, so that the second of a pair waits for the
 * first. */
static int every_kind(void)
{
    char name[10];

    empty = rn_chan_make(int, 0);
    full = rn_chan_make(int, 1);
    rn_send(full, 0);
    rn_mutex_lock(&mu);
    rn_rwmutex_lock(&rw);
    rn_wg_add(&wg, 1);
    rn_group_set_limit(&group, 1);
    rn_group_go(&group, wait_empty_int);
    for (int i = 0; i < KINDS; i++) {
        snprintf(name, sizeof(name), "kind %d", i);
        rn_go_with(RN_ATTR(.name = name), wait_of_kind, i);
        test_let_run();
    }
    (void)rn_recv(empty);
    return 0;
}
static void every_kind_run(void)
{
    rn_set_procs(1);
    (void)!rn_run(every_kind);
}

/* RT-04, RT-20, SEL-33: each goroutine that is counted is listed once, with what it waits for. */
PLAIN_TEST(rt_04_d14_the_report_names_every_goroutine_and_its_wait)
{
    struct child c = run_child(every_kind_run);
    int listed = 0;

    CHECK_EXIT(&c, 2);
    CHECK(strncmp(c.said, "fatal error: " DEADLOCK "\n", strlen("fatal error: " DEADLOCK "\n")) ==
          0);
    for (int i = 0; i < KINDS; i++) {
        char name[20], why[40];

        snprintf(name, sizeof(name), "\"kind %d\"", i);
        snprintf(why, sizeof(why), "[%s]", reason[i]);
        CHECK_SAYS_LINE(&c, name, why);
    }
    CHECK_SAYS_LINE(&c, "goroutine 1 ", "[chan receive]");
    CHECK_SAYS(&c, "created by");
    for (const char *p = c.said; (p = strstr(p, "\ngoroutine ")) != NULL; p++) {
        const char *state = strchr(p, '['), *frame = strstr(p, "\n\t"),
                   *made = strstr(p, "\ncreated by ");

        CHECK(state && frame && made && state < frame &&
              frame < made); /* its state, its stack, where it was made */
        listed++;
    }
    CHECK_EQ(listed, KINDS + 2); /* the first, and the one in the group */
    free(c.said);
}

static int deadlock_locked(void)
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    rn_lock_thread();
    return rn_recv(ch);
}
static void deadlock_locked_run(void)
{
    (void)!rn_run(deadlock_locked);
}
static void receive_locked(void)
{
    rn_lock_thread();
    (void)rn_recv(empty);
}
static int deadlock_locked2(void)
{
    empty = rn_chan_make(int, 0);
    rn_go(receive_locked);
    rn_go(wait_empty);
    return rn_recv(empty);
}
static void deadlock_locked2_run(void)
{
    (void)!rn_run(deadlock_locked2);
}

/* The last that finds nothing to do is locked, and a thread of which nothing is known ends only after that. */
static void *thread_ends(void *arg)
{
    struct timespec a_while = {0, 50000000};

    nanosleep(&a_while, NULL);
    return arg;
}
static int deadlock_locked_last(void)
{
    struct timespec a_while = {0, 20000000};
    pthread_t t;

    empty = rn_chan_make(int, 0);
    rn_go(wait_empty);
    rn_yield();
    nanosleep(&a_while, NULL); /* the other workers sleep */
    rn_lock_thread();
    if (pthread_create(&t, NULL, thread_ends, NULL) != 0)
        return 1;
    return rn_recv(empty);
}
static void deadlock_locked_last_run(void)
{
    (void)!rn_run(deadlock_locked_last);
}

PLAIN_TEST(rt_05_also_when_locked_to_threads)
{
    CHECK_FATAL(deadlock_locked_run, DEADLOCK);
    CHECK_FATAL(deadlock_locked2_run, DEADLOCK);
    CHECK_FATAL(deadlock_locked_last_run, DEADLOCK);
}

static void deadlock_without_run(void)
{
    empty = rn_chan_make(int, 0);
    rn_go(wait_empty);
    (void)rn_recv(empty);
}

static void *thread_waits(void *arg)
{
    (void)arg;
    rn_mutex_lock(&mu);
    return NULL;
}
static int deadlock_with_threads(void)
{
    pthread_t t;

    empty = rn_chan_make(int, 0);
    rn_mutex_lock(&mu);
    for (int i = 0; i < 3; i++)
        pthread_create(&t, NULL, thread_waits, NULL);
    return rn_recv(empty);
}
static void deadlock_with_threads_run(void)
{
    (void)!rn_run(deadlock_with_threads);
}

/* RT-05 */
PLAIN_TEST(d14_also_with_plain_threads_that_all_wait)
{
    CHECK_FATAL(deadlock_without_run, DEADLOCK);
    CHECK_FATAL(deadlock_with_threads_run, DEADLOCK);
}

static int exit_and_leave_waiters(void)
{
    empty = rn_chan_make(int, 0);
    rn_go(wait_empty);
    rn_exit(0);
}
static void exit_and_leave_waiters_run(void)
{
    (void)!rn_run(exit_and_leave_waiters);
}

PLAIN_TEST(rt_08_the_first_has_exited_and_the_rest_wait)
{
    CHECK_FATAL(exit_and_leave_waiters_run, DEADLOCK);
}

static int deadlock_after_timer(void)
{
    rn_chan(int) ch = rn_chan_make(int, 0);
    rn_timer t = {0};

    rn_timer_reset(&t, RN_MILLISECOND);
    (void)rn_recv(rn_timer_chan(&t));
    rn_timer_reset(&t, RN_HOUR);
    rn_timer_stop(&t); /* not pending any more */
    return rn_recv(ch);
}
static void deadlock_after_timer_run(void)
{
    (void)!rn_run(deadlock_after_timer);
}

static void second_run(void)
{
    CHECK_EQ(rn_run(rn_procs) > 0, 1);
    (void)!rn_run(waits_for_itself);
}

PLAIN_TEST(d14_after_a_stopped_timer_and_in_a_second_run)
{
    CHECK_FATAL(deadlock_after_timer_run, DEADLOCK);
    CHECK_FATAL(second_run, DEADLOCK);
}

/* ---- No false deadlock ------------------------------------------------------------------------------- */

static void send_one(rn_chan(int) ch)
{
    rn_send(ch, 1);
}
static void sleep_and_send(rn_chan(int) ch)
{
    rn_sleep(50 * RN_MILLISECOND);
    rn_send(ch, 1);
}
static void block_and_send(rn_chan(int) ch)
{
    (void)rn_blocking(usleep(50000));
    rn_send(ch, 1);
}
static void block_unannounced_and_send(rn_chan(int) ch)
{
    usleep(50000);
    rn_send(ch, 1);
}
static void *thread_sends(void *ch)
{
    usleep(50000);
    rn_send((rn_chan(int))ch, 1);
    return NULL;
}

static int no_deadlock(int kind)
{
    rn_chan(int) ch = rn_chan_make(int, 0);
    rn_timer *t = NULL;
    rn_timer timer = {0};
    pthread_t thread;
    rn_ctx *ctx = NULL;
    int v = 1;

    switch (kind) {
    case 0:
        rn_go_after(50 * RN_MILLISECOND, send_one, ch);
        break;
    case 1:
        t = rn_after_func(50 * RN_MILLISECOND, send_one, ch);
        break;
    case 2:
        rn_go(sleep_and_send, ch);
        break;
    case 3:
        rn_go(block_and_send, ch);
        break;
    case 4:
        rn_go(block_unannounced_and_send, ch);
        break;
    case 5:
        pthread_create(&thread, NULL, thread_sends, (void *)ch);
        break;
    case 6:
        ctx = rn_ctx_with_timeout(rn_ctx_background(), 50 * RN_MILLISECOND);
        CHECK_EQ(rn_recv_ctx(ctx, ch, &v), -ETIMEDOUT);
        rn_ctx_end(ctx);
        rn_chan_release(ch);
        return 1;
    case 7:
        CHECK_EQ(rn_select(rn_on_recv(ch, &v), rn_on_timeout(50 * RN_MILLISECOND)), 1);
        rn_chan_release(ch);
        return 1;
    default:
        rn_timer_reset(&timer, 50 * RN_MILLISECOND);
        (void)rn_recv(rn_timer_chan(&timer));
        rn_timer_free(&timer);
        rn_chan_release(ch);
        return 1;
    }
    v = rn_recv(ch);
    if (kind == 5)
        pthread_join(thread, NULL);
    test_expect_settled(__FILE__, __LINE__);
    rn_timer_free(t);
    rn_chan_release(ch);
    return v;
}

PLAIN_TEST(rt_06_d14_no_deadlock_while_something_is_awaited)
{
    for (int procs = 1; procs <= 2; procs++) {
        CHECK_EQ(rn_set_procs(procs), 0);
        for (int kind = 0; kind < 9; kind++)
            CHECK_EQ(rn_run(no_deadlock, kind), 1);
    }
}

static int wait_for_signal(void)
{
    rn_ctx *ctx = rn_ctx_with_signals(rn_ctx_background(), SIGUSR1);

    puts("ready");
    fflush(stdout);
    (void)rn_recv(rn_ctx_done(ctx));
    rn_ctx_end(ctx);
    return 0;
}
static void wait_for_signal_run(void)
{
    pid_t parent = getpid();

    if (fork() == 0) {
        usleep(100000);
        kill(parent, SIGUSR1);
        _exit(0);
    }
    (void)!rn_run(wait_for_signal);
}

PLAIN_TEST(d14_no_deadlock_while_a_signal_is_awaited)
{
    struct child c = run_child(wait_for_signal_run);

    CHECK_EXIT(&c, 0);
    free(c.said);
}

static int wait_for_byte(int fd)
{
    char c = 0;

    CHECK_EQ(rn_wait_fd(fd, RN_READ, NULL), RN_READ);
    CHECK_EQ(read(fd, &c, 1), 1);
    return c;
}
static void wait_for_byte_run(void)
{
    int fds[2];
    pid_t writer;

    CHECK_EQ(pipe(fds), 0);
    writer = fork();
    if (writer == 0) {
        usleep(100000);
        _exit(write(fds[1], "x", 1) != 1);
    }
    close(fds[1]); /* nobody of this process can write to it */
    CHECK_EQ(rn_run(wait_for_byte, fds[0]), 'x');
    waitpid(writer, NULL, 0);
}

/* RT-06: nor while one waits for a descriptor. */
PLAIN_TEST(rt_06_no_deadlock_while_a_descriptor_is_awaited)
{
    struct child c;

    for (int procs = 1; procs <= 2; procs++) {
        CHECK_EQ(rn_set_procs(procs), 0);
        c = run_child(wait_for_byte_run);
        CHECK_EXIT(&c, 0);
        CHECK_STR(c.said, "");
        free(c.said);
    }
}

static void pass_on(rn_chan(int) in, rn_chan(int) out, int n)
{
    for (int i = 0; i < n; i++)
        rn_send(out, rn_recv(in));
}

/* All processors go idle again and again, with nothing pending but a thread about to wake somebody. */
static void *pass_on_thread(void *arg)
{
    rn_chan(int) *ch = arg;

    pass_on(ch[0], ch[1], test_times(20000));
    return NULL;
}
static int almost_deadlock(void)
{
    rn_chan(int) ch[2] = {rn_chan_make(int, 0), rn_chan_make(int, 0)};
    pthread_t t;

    pthread_create(&t, NULL, pass_on_thread, &ch[0]);
    for (int i = 0; i < test_times(20000); i++) {
        rn_send(ch[0], i);
        CHECK_EQ(rn_recv(ch[1]), i);
    }
    CHECK_EQ(rn_blocking(pthread_join(t, NULL)), 0);
    rn_chan_release(ch[0]);
    rn_chan_release(ch[1]);
    return 0;
}

PLAIN_TEST(d14_no_false_alarm_between_a_thread_and_a_goroutine)
{
    CHECK_EQ(rn_run(almost_deadlock), 0);
}

PLAIN_TEST(d14_no_false_alarm_between_two_threads)
{
    almost_deadlock();
}

/* ---- Panic ---------------------------------------------------------------------------------------------- */

static volatile int no_return = -1;
static void panicking(int depth);
static void (*volatile deeper)(int depth) =
    panicking; /* so that the calls are not inlined into one */
static void panicking(int depth)
{
    if (depth == no_return)
        return;
    if (depth == 0)
        rn_panic("number %d is %s", 7, "up");
    deeper(depth - 1);
    puts("not reached");
}
static _Atomic int deferred;
static void note_deferred(void *unused)
{
    (void)unused;
    puts("a deferred call ran");
    fflush(stdout);
}
static void panicking_goroutine(void)
{
    rn_defer(note_deferred, &deferred);
    rn_set_name("the culprit");
    panicking(3);
}
static int panic_in_goroutine(void)
{
    rn_defer(note_deferred, &deferred); /* nor another's */
    rn_go(panicking_goroutine);
    for (;;)
        rn_yield();
    return 0;
}
static void panic_in_goroutine_run(void)
{
    (void)!rn_run(panic_in_goroutine);
}

PLAIN_TEST(rt_12_13_d16_a_panics_report)
{
    struct child c = run_child(panic_in_goroutine_run);
    int frames = 0;

    CHECK_EXIT(&c, 2);
    CHECK(strncmp(c.said, "panic: number 7 is up\n", 22) == 0);
    CHECK_SAYS_LINE(&c, "goroutine ", "\"the culprit\" [running]");
    CHECK_SAYS(&c, "created by goroutine 1");
    for (const char *p = c.said; (p = strstr(p, "\n\t")) != NULL; p++)
        frames++;
    CHECK(frames >= 6); /* rn_panic, four calls deep, and where it was made */
    CHECK(!strstr(c.said, "a deferred call ran"));
    free(c.said);
}

static int panic_first(void)
{
    rn_panic("in the first");
}
static void panic_first_run(void)
{
    (void)!rn_run(panic_first);
}
static void panic_plain(void)
{
    rn_panic("on a plain thread");
}
static void *panic_thread(void *arg)
{
    (void)arg;
    rn_panic("on another thread");
}
static void panic_in_thread(void)
{
    pthread_t t;

    pthread_create(&t, NULL, panic_thread, NULL);
    pthread_join(t, NULL);
}

PLAIN_TEST(rt_12_panics_everywhere)
{
    const char *report =
        test_expect_death(__FILE__, __LINE__, panic_first_run, "panic: in the first");

    CHECK(strstr(report, "goroutine 1 [running]") != NULL);
    CHECK_PANICS(panic_plain, "on a plain thread");
    CHECK_PANICS(panic_in_thread, "on another thread");
}

static void crash_traceback(void)
{
    no_core_file();
    setenv("RUNNEL_TRACEBACK", "crash", 1);
    panic_first_run();
}

PLAIN_TEST(d16_traceback_crash_aborts)
{
    struct child c = run_child(crash_traceback);

    CHECK_SIGNAL(&c, SIGABRT);
    CHECK_SAYS(&c, "panic: in the first\n");
    free(c.said);
}

/* The report comes out whole, even if the first goroutine returns meanwhile. */
static void panic_soon(_Atomic int *begun)
{
    *begun = 1;
    rn_panic("a race");
}
static int panic_race(void)
{
    static _Atomic int begun;

    for (int i = 0; i < 4; i++)
        rn_go(panic_soon, &begun);
    AWAIT(begun); /* those that have not run when this one returns never do */
    return 0;
}
static void panic_race_run(void)
{
    (void)!rn_run(panic_race);
    for (;;)
        pause();
}

PLAIN_TEST(rt_13_the_report_is_whole_even_if_the_first_returns)
{
    for (int i = 0; i < test_times(20); i++) {
        struct child c = run_child(panic_race_run);
        const char *again;

        CHECK_EXIT(&c, 2);
        CHECK(strncmp(c.said, "panic: a race\n", strlen("panic: a race\n")) == 0);
        CHECK_SAYS_LINE(&c, "goroutine ", "[running]");
        CHECK_SAYS(&c, "created by goroutine 1 at\n\t");
        again = strstr(c.said + 1, "panic: ");
        CHECK(again == NULL); /* one report, not four mixed ones */
        free(c.said);
    }
}

/* Reading the debug information takes its time, in which the program comes to its end. */
static _Atomic bool symbols_asked;
static int slow_symbols(uintptr_t pc, rn_frame_fn *frame, void *arg)
{
    (void)pc, (void)frame, (void)arg;
    symbols_asked = true;
    usleep(10000);
    return 0;
}

static void overflowing(void);
static int overflow(volatile char *from);
static volatile int bottomless;
enum beside { PANIC, OVERFLOW, CIRCLE, ON_SIGNAL };
static void locks_both(rn_mutex *x, rn_mutex *y, rn_wg *both)
{
    rn_mutex_lock(x);
    rn_wg_done(both);
    rn_wg_wait(both);
    rn_mutex_lock(y);
}
static bool by_exit;
static int ends_beside(enum beside what)
{
    static rn_mutex a, b;
    static rn_wg both;

    if (what == PANIC)
        rn_go(rn_panic, "beside the end");
    else if (what == OVERFLOW)
        rn_go(overflowing);
    else if (what == CIRCLE) {
        rn_wg_add(&both, 2);
        rn_go(locks_both, &a, &b, &both);
        rn_go(locks_both, &b, &a, &both);
    } else {
        empty = rn_chan_make(int, 0);
        rn_go(wait_empty);
        AWAIT(test_parked() == 1);
        raise(SIGUSR1);
        return 0;
    }
    AWAIT(symbols_asked);
    if (by_exit) {
        test_leaves_behind(); /* the stack of rn_run's thread, which may be ours, is not looked at then */
        exit(0);
    }
    return 0;
}
static enum beside what_beside;
static void ends_beside_run(void)
{
    CHECK_EQ(setenv("RUNNEL_LOCKS", "1", 1), 0);
    CHECK_EQ(rn_dump_on_signal(SIGUSR1), 0);
    rn_set_symbolizer(slow_symbols);
    (void)!rn_run(ends_beside, what_beside);
    exit(0);
}

PLAIN_TEST(rt_13_no_report_is_cut_short_by_the_end)
{
    static const char *const last[] = {[PANIC] = "created by goroutine 1 at\n\t",
                                       [OVERFLOW] = "created by goroutine 1 at\n\t",
                                       [CIRCLE] = "created by goroutine 1 at\n\t",
                                       [ON_SIGNAL] = "created by goroutine 1 at\n\t"};

    for (int i = 0; i < 7; i++) {
        struct child c;

        what_beside = (enum beside)(i % 4);
        by_exit = i >= 4;
        if (what_beside == OVERFLOW && (UNDER_ASAN || UNDER_TSAN))
            continue; /* theirs to say */
        c = run_child(ends_beside_run);
        CHECK_EXIT(&c, what_beside == PANIC || what_beside == OVERFLOW ? 2 : 0);
        CHECK_SAYS(&c, last[what_beside]);
        free(c.said);
    }
}

/* And a stack of 16 KiB, for which that is too much. */
static int large_symbols(uintptr_t pc, rn_frame_fn *frame, void *arg)
{
    volatile char room[24 << 10];

    for (size_t i = 0; i < sizeof room; i += 1024)
        room[i] = 1;
    frame(arg, "found_by_us", "there.c", room[0] + (pc == 0));
    return 1;
}
static void dumps_and_panics(void)
{
    rn_dump(STDERR_FILENO);
    rn_panic("after the dump");
}
static int on_a_little_stack(void)
{
    rn_go_with(RN_ATTR(.stack_size = 16384), dumps_and_panics);
    rn_sleep(RN_MINUTE);
    return 0;
}
static void little_stack_run(void)
{
    rn_set_symbolizer(large_symbols);
    (void)!rn_run(on_a_little_stack);
}
/* A report that overflows itself ends the process all the same: it does not wait for itself. */
static int endless_symbols(uintptr_t pc, rn_frame_fn *frame, void *arg)
{
    volatile char c = 1;

    (void)pc, (void)frame, (void)arg;
    bottomless = 1;
    return overflow(&c);
}
static void endless_run(void)
{
    no_core_file();
    rn_set_symbolizer(endless_symbols);
    (void)!rn_run(ends_beside, PANIC);
}
PLAIN_TEST(a_report_that_overflows_ends_the_process)
{
    struct child c;

    if (UNDER_ASAN || UNDER_TSAN)
        SKIP("theirs to say");
    c = run_child(endless_run);
    CHECK_SIGNAL(&c, SIGSEGV);
    CHECK_SAYS(&c, "panic: beside the end\n");
    free(c.said);
}

PLAIN_TEST(a_report_needs_no_more_than_a_little_stack)
{
    struct child c;

    if (UNDER_ASAN || UNDER_TSAN)
        SKIP("reports stay on the goroutine's stack there");
    c = run_child(little_stack_run);
    CHECK_EXIT(&c, 2);
    CHECK_SAYS(&c, "runnel: 2 goroutines");
    CHECK_SAYS(&c, "panic: after the dump\n");
    CHECK_SAYS(&c, "found_by_us at there.c:1 [");
    CHECK(strstr(c.said, "overflow") == NULL);
    free(c.said);
}

static void (*nil_function)(void);
static int go_nil(void)
{
    rn_go(nil_function);
    return 0;
}
static void go_nil_run(void)
{
    (void)!rn_run(go_nil);
}
static int unlock_unlocked(void)
{
    rn_mutex_unlock(&mu);
    return 0;
}
static void unlock_unlocked_run(void)
{
    (void)!rn_run(unlock_unlocked);
}
static int release_in_use(void)
{
    empty = rn_chan_make(int, 0);
    rn_go(wait_empty);
    test_let_run();
    rn_sleep(RN_MILLISECOND);
    rn_chan_release(empty);
    return 0;
}
static void release_in_use_run(void)
{
    (void)!rn_run(release_in_use);
}

PLAIN_TEST(rt_02_17_d07_fatal_errors_and_misuse)
{
    CHECK_FATAL(go_nil_run, "go of nil func value");
    CHECK_FATAL(unlock_unlocked_run, "sync: unlock of unlocked mutex");
    CHECK_PANICS(release_in_use_run, "release of a channel in use");
}

/* ---- Stacks ------------------------------------------------------------------------------------------------- */

static volatile int bottomless;
static int overflow(volatile char *from)
{
    volatile char frame[500];

    frame[0] = from[0];
    if (bottomless)
        return overflow(frame) + frame[0];
    return 0;
}
static void overflowing(void)
{
    volatile char c = 1;

    bottomless = 1;
    overflow(&c);
}
static size_t overflow_size;
static int overflow_first(void)
{
    if (overflow_size)
        rn_go_with(RN_ATTR(.stack_size = overflow_size), overflowing);
    else
        overflowing();
    for (;;)
        rn_yield();
    return 0;
}
static void overflow_run(void)
{
    no_core_file();
    (void)!rn_run(overflow_first);
}

PLAIN_TEST(rt_18_a_stack_overflow_kills_and_not_silently)
{
    const size_t sizes[] = {0, 16384, 65536, 128 << 10, 1 << 20};
    static const char second[] = "fatal error: stack overflow\n";

    for (int i = 0; i < 5; i++) {
        struct child c;
        char first[100], advice[100];
        const char *bounds;
        unsigned long lo = 0, hi = 0;
        size_t limit = sizes[i] ? sizes[i] : 128 << 10;

        overflow_size = sizes[i];
        c = run_child(overflow_run);
        if (UNDER_ASAN || UNDER_TSAN) {
            /* Theirs to say; without an alternate stack it is the kernel that ends the process. */
            CHECK(strstr(c.said, "Sanitizer") ||
                  (WIFSIGNALED(c.status) && WTERMSIG(c.status) == SIGSEGV));
        } else {
            snprintf(first, sizeof(first), "runtime: goroutine stack exceeds %zu-byte limit\n",
                     limit);
            snprintf(advice, sizeof(advice), "rn_go_with(RN_ATTR(.stack_size = %zu), ...)",
                     2 * limit);
            CHECK_EXIT(&c, 2);
            CHECK(strncmp(c.said, first, strlen(first)) == 0);
            CHECK(strncmp(c.said + strlen(first), second, strlen(second)) == 0);
            if (i == 0)
                CHECK_SAYS(&c, "runtime: goroutine stack exceeds 131072-byte limit\n");
            bounds = strstr(c.said, "The stack is from ");
            CHECK(bounds != NULL);
            CHECK_EQ(sscanf(bounds, "The stack is from %lx to %lx.", &lo, &hi), 2);
            CHECK_EQ(hi - lo, limit < 128 << 10 ? limit + 4096 : limit - 4096);
            CHECK_SAYS(&c, advice);
            CHECK_SAYS_LINE(&c, "goroutine ", "[running]:");
            CHECK_SAYS(&c, i == 0 ? "created by a thread at\n\t" : "created by goroutine 1 at\n\t");
        }
        free(c.said);
    }
}

/* The report of an overflow shows the recursion, by frame pointers (with_frames.c) and, without them, by the unwinder. */
int with_frames(volatile char *from);
static int deep_first(void)
{
    volatile char c = 1;

    return with_frames(&c);
}
static void deep_run(void)
{
    no_core_file();
    (void)!rn_run(deep_first);
}
PLAIN_TEST(a_stack_overflow_shows_the_recursion)
{
    void (*const runs[])(void) = {overflow_run, deep_run};

    if (UNDER_ASAN || UNDER_TSAN)
        SKIP("that tool reports an overflow itself");
    overflow_size = 0;
    for (int i = 0; i < 2; i++) {
        struct child c = run_child(runs[i]);
        int frames = 0;

        CHECK_EXIT(&c, 2);
        for (const char *at = strstr(c.said, "[running]:\n\t"); at && (at = strstr(at, "\n\t"));
             at++)
            frames++;
        /* Whether all of those without frame pointers have room depends on their size. */
        CHECK(frames > 10);
        if (i == 1)
            CHECK_SAYS(&c, " more ...\n");
        free(c.said);
    }
}

/* A signal for whose frame there is no room is an overflow, too. */
static void ignore(int sig)
{
    (void)sig;
}
static void signal_at_the_end(int to)
{
    volatile char frame[200];
    volatile uintptr_t below = (uintptr_t)frame - 700;
    int fds[2] = {0, to};

    frame[0] = 0;
    if (to == 0) {
        CHECK_EQ(pipe(fds), 0);
        errno = tgkill(getpid(), gettid(), 0); /* to be bound here, all of them: that takes 3 KiB */
    }
    if (write(fds[1], (const void *)below, 1) == 1) {
        signal_at_the_end(fds[1]);
    } else {
        CHECK_EQ(errno, EFAULT); /* the guard */
        CHECK_EQ(tgkill(getpid(), gettid(), SIGUSR1), 0);
    }
    frame[1] = 0;
}
static int signal_first(void)
{
    signal(SIGUSR1, ignore);
    rn_go_with(RN_ATTR(.stack_size = 16384, .name = "full"), signal_at_the_end, 0);
    for (;;)
        rn_yield();
    return 0;
}
static void signal_without_room_run(void)
{
    no_core_file();
    (void)!rn_run(signal_first);
}
static void *signal_thread(void *unused)
{
    static char room[65536];
    const stack_t alt = {.ss_sp = room, .ss_size = sizeof room};

    CHECK_EQ(sigaltstack(&alt, NULL),
             0); /* for SIGSEGV, which is ours and asks for it; SIGUSR1 does not */
    signal_at_the_end(0);
    return unused;
}
static int signal_on_a_thread(void)
{
    pthread_attr_t attr;
    pthread_t thread;

    signal(SIGUSR1, ignore);
    pthread_attr_init(&attr);
    CHECK_EQ(pthread_attr_setstacksize(&attr, 65536), 0);
    CHECK_EQ(pthread_create(&thread, &attr, signal_thread, NULL), 0);
    pthread_join(thread, NULL);
    return 0;
}
static void thread_without_room_run(void)
{
    no_core_file();
    (void)!rn_run(signal_on_a_thread);
}
PLAIN_TEST(rt_18_a_signal_without_room_is_an_overflow)
{
    struct child c;

    if (UNDER_ASAN || UNDER_TSAN)
        SKIP("the sanitizers handle SIGSEGV, and have stacks of their own");
    c = run_child(signal_without_room_run);
    CHECK_EXIT(&c, 2);
    CHECK_SAYS(&c,
               "runtime: goroutine stack exceeds 16384-byte limit\nfatal error: stack overflow\n");
    CHECK_SAYS_LINE(&c, "goroutine 2 \"full\"", "[running]:");
    free(c.said);
    c = run_child(thread_without_room_run); /* as without us */
    CHECK_SIGNAL(&c, SIGSEGV);
    CHECK_STR(c.said, "");
    free(c.said);
}

/* Any other fault is as without us: the default, or the user's handler, whichever it is and whenever it came. */
static int *volatile nowhere;
__attribute__((no_sanitize("undefined"))) static int fault_here(void)
{
    *nowhere = 1;
    return 0;
}
static void fault_run(void)
{
    no_core_file();
    (void)!rn_run(fault_here);
}
static int send_itself(void)
{
    kill(getpid(), SIGSEGV);
    rn_sleep(RN_MINUTE);
    return 0;
}
static int impossible_address(void)
{
    *(volatile int *)(uintptr_t)0x8000000000000010 =
        1; /* not an address at all on x86-64: another trap */
    return 0;
}
static void impossible_run(void)
{
    no_core_file();
    (void)!rn_run(impossible_address);
}
static void sent_run(void)
{
    no_core_file();
    (void)!rn_run(send_itself);
}
static void on_fault(int sig)
{
    (void)sig;
    (void)!write(1, "mine\n", 5);
    _exit(7);
}
static void handled_before_run(void)
{
    signal(SIGSEGV, on_fault);
    fault_run();
}
static int handle_within(void)
{
    signal(SIGSEGV, on_fault);
    return fault_here();
}
static void handled_within_run(void)
{
    (void)!rn_run(handle_within);
}
static int nothing_to_do(void)
{
    return 0;
}
static void disposition_after_run(void)
{
    struct sigaction sa;
    stack_t before, alt;

    CHECK(sigaltstack(NULL, &before) == 0); /* a sanitizer's, or none */
    (void)!rn_run(nothing_to_do);
    CHECK(sigaction(SIGSEGV, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL);
    CHECK(sigaltstack(NULL, &alt) == 0 && alt.ss_flags == before.ss_flags &&
          alt.ss_sp == before.ss_sp);
    signal(SIGSEGV, on_fault);
    (void)!rn_run(nothing_to_do);
    CHECK(sigaction(SIGSEGV, NULL, &sa) == 0 && sa.sa_handler == on_fault);
}

PLAIN_TEST(rt_18_other_faults_are_not_ours)
{
    void (*const mine[])(void) = {handled_before_run, handled_within_run};
    void (*const plain[])(void) = {fault_run, sent_run, impossible_run};
    struct child c;

    if (UNDER_ASAN || UNDER_TSAN)
        SKIP("the sanitizers handle SIGSEGV");
    for (int i = 0; i < 2; i++) {
        c = run_child(mine[i]);
        CHECK_EXIT(&c, 7);
        CHECK_STR(c.said, "mine\n");
        free(c.said);
    }
    for (int i = 0; i < 3; i++) {
        c = run_child(plain[i]);
        CHECK_SIGNAL(&c, SIGSEGV);
        CHECK_STR(c.said, "");
        free(c.said);
    }
    c = run_child(disposition_after_run);
    CHECK_EXIT(&c, 0);
    free(c.said);
}

/* The neighbours of a stack that overflows keep their memory. The handler runs on a stack of its own, on the
 * thread to which the goroutine is locked. */
enum { NEIGHBOURS = 64, PATTERN = 4096 };
static volatile unsigned char *pattern[NEIGHBOURS];
static _Atomic int standing;

static void neighbour(int i)
{
    volatile unsigned char mine[PATTERN];

    for (int k = 0; k < PATTERN; k++)
        mine[k] = (unsigned char)(i + k);
    pattern[i] = mine;
    standing++;
    (void)rn_recv(empty);
}

static void on_overflow(int sig)
{
    static const char ok[] = "intact\n", bad[] = "damaged\n";

    (void)sig;
    for (int i = 0; i < NEIGHBOURS; i++)
        for (int k = 0; k < PATTERN; k++)
            if (pattern[i][k] != (unsigned char)(i + k)) {
                (void)!write(1, bad, sizeof(bad) - 1);
                _exit(1);
            }
    (void)!write(1, ok, sizeof(ok) - 1);
    _exit(0);
}

static void overflow_beside(void)
{
    static char room[65536];
    const stack_t alt = {.ss_sp = room, .ss_size = sizeof(room)};
    struct sigaction sa = {.sa_handler = on_overflow, .sa_flags = SA_ONSTACK};

    (void)rn_recv(full);
    rn_lock_thread();
    sigaltstack(&alt, NULL);
    sigaction(SIGSEGV, &sa, NULL);
    overflowing();
}

static int overflow_among_neighbours(void)
{
    empty = rn_chan_make(int, 0);
    full = rn_chan_make(int, 0);
    for (int i = 0; i < NEIGHBOURS / 2; i++)
        rn_go(neighbour, i);
    rn_go(overflow_beside);
    for (int i = NEIGHBOURS / 2; i < NEIGHBOURS; i++)
        rn_go(neighbour, i);
    AWAIT(standing == NEIGHBOURS);
    rn_send(full, 1);
    for (;;)
        rn_yield();
    return 0;
}
static void overflow_among_neighbours_run(void)
{
    CHECK_EQ(rn_set_procs(1), 0); /* the order of starting is the order of the stacks */
    (void)!rn_run(overflow_among_neighbours);
}

PLAIN_TEST(rt_18_the_neighbours_memory_is_intact)
{
    struct child c;

    if (UNDER_ASAN || UNDER_TSAN)
        SKIP("the sanitizers handle SIGSEGV");
    c = run_child(overflow_among_neighbours_run);
    CHECK_EXIT(&c, 0);
    CHECK_SAYS(&c, "intact");
    free(c.said);
}
