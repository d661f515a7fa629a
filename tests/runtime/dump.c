/* SPDX-License-Identifier: MIT */
/*
 * dump.c - rn_dump, rn_leaks and what they say of goroutines in each state. Linked with the static library, so
 * that the clock can be replaced.
 */
#define _GNU_SOURCE
#include "process.h"
#include "said.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <sys/mman.h>
#include <unistd.h>

/* The library's own. */
extern int64_t (*rn__clock)(void);

/* A symbolizer that makes addresses of this test readable, whatever the program was built with: each function
 * here registers a range by calling from inside it. */
static const char *volatile known_name[8];
static volatile uintptr_t known_pc[8];
static int known_symbols(uintptr_t pc, rn_frame_fn *frame, void *arg)
{
    for (int i = 0; i < 8; i++) {
        if (known_name[i] && pc - known_pc[i] < 400) {
            frame(arg, known_name[i], "here.c", 7);
            return 1;
        }
    }
    return 0;
}

static rn_chan(int) gate;
static rn_mutex mu;
static _Atomic int arrived;

static void receiver(void)
{
    arrived++;
    (void)rn_recv(gate);
}
static void other_receiver(void)
{
    int v;

    arrived++;
    rn_recv_fn(gate, &v);
}
static void locker(void)
{
    arrived++;
    rn_mutex_lock(&mu);
    rn_mutex_unlock(&mu);
}
static void busy(_Atomic int *stop)
{
    arrived++;
    while (!*stop)
        ;
}

static void until_arrived(int n)
{
    AWAIT(arrived == n);
    test_let_run(); /* from there to where they wait */
}

static rn_chan(int) fresh_gate;

static void fresh(void)
{
    (void)rn_recv(fresh_gate);
}

/* The report while a goroutine has not run yet: it does not before we wait, unless the monitor finds that we are slow. */
static char *said_while_fresh(void)
{
    char *report;

    for (int tries = 0;; tries++) {
        rn_go_with(RN_ATTR(.name = "fresh"), fresh);
        errno = 77;
        report = said_by(dump);
        CHECK_EQ(errno, 77);
        if (strstr(report, "\"fresh\" [runnable]") || tries == 20)
            return report;
        free(report);
        rn_send(fresh_gate, 0);
        AWAIT(rn_count() == 3);
    }
}

/* D19, D32: one goroutine of each state, one that has not run among them, and the caller. */
GO_TEST_PROCS(every_state, 1)
{
    const char *at;
    char *report;
    char on[60];

    gate = rn_chan_make(int, 0);
    fresh_gate = rn_chan_make(int, 0);
    rn_mutex_lock(&mu);
    rn_go_with(RN_ATTR(.name = "reader"), receiver);
    rn_go_with(RN_ATTR(.name = "locker"), locker);
    until_arrived(2);
    report = said_while_fresh();
    begins(report, "runnel: 4 goroutines, 1 processor\n\n");
    has(report, "\ngoroutine 1 [running]:\n\t");
    has(report, "goroutine 2 \"reader\" [chan receive]:\n  for ");
    has(report, "goroutine 3 \"locker\" [sync.Mutex.Lock]:\n  for ");
    has(report, " \"fresh\" [runnable]:\n\t");
    snprintf(on, sizeof(on), " on %p, locked by goroutine 1\n", (void *)&mu);
    has(report, on);
    CHECK_EQ(times_in(report, "created by goroutine 1 at\n\t"), 3);
    CHECK_EQ(times_in(report, "created by a thread at\n\t"), 1);
    CHECK(strstr(report, "goroutine 1 ") < strstr(report, "goroutine 2 "));
    CHECK(strstr(report, "goroutine 2 ") < strstr(report, "goroutine 3 "));
    at = strstr(report, "goroutine 3 ");
    CHECK(at && at < strstr(report, " \"fresh\""));
    free(report);

    report = said_by(rn_leaks);
    begins(report, "runnel: 3 goroutines left:\n\n");
    has_not(report, "goroutine 1 [");
    has(report, "goroutine 2 \"reader\" [chan receive]:\n");
    free(report);
    CHECK_EQ(rn_leaks(-1), 3);

    rn_mutex_unlock(&mu);
    rn_close(gate);
    rn_close(fresh_gate);
    test_expect_settled(__FILE__, __LINE__);
    CHECK_EQ(rn_leaks(-1), 0);
    report = said_by(rn_leaks);
    CHECK_STR(report, "");
    free(report);
    rn_chan_release(gate);
    rn_chan_release(fresh_gate);
}

/* A goroutine that computes on another thread is said to run. */
PLAIN_TEST(a_running_one)
{
    _Atomic int stop = 0;
    char *report;

    rn_go(busy, &stop);
    AWAIT(arrived == 1);
    report = said_by(dump);
    has(report, "goroutine 1 [running]:\n\t(running on another thread");
    has(report, "created by a thread at\n\t");
    stop = 1;
    AWAIT(rn_count() == 0);
    free(report);
}

/* Without a runtime there is nothing to say, and none is started. */
PLAIN_TEST(no_runtime)
{
    int threads = count_threads();
    char *report = said_by(dump);

    CHECK_STR(report, "runnel: 0 goroutines, 0 processors\n");
    free(report);
    CHECK_EQ(rn_leaks(-1), 0);
    CHECK_EQ(count_threads(), threads);
}

static void do_start_alike(int n)
{
    for (int i = 0; i < n; i++)
        rn_go(receiver);
}
static void (*volatile start_alike)(int n) = do_start_alike; /* one place, never inlined */

static void do_start_named(const char *name)
{
    rn_go_with(RN_ATTR(.name = name), receiver);
}
static void (*volatile start_named)(const char *name) = do_start_named; /* again one place */

/* Alike: one entry with their number and ids. Not alike: another reason, place, stack or creator's place. */
GO_TEST_PROCS(alike_ones_are_folded, 1)
{
    const char *const names[] = {NULL, "odd", NULL};
    char *report;

    gate = rn_chan_make(int, 0);
    start_alike(50);
    until_arrived(50);
    report = said_by(dump);
    has(report, "\ngoroutines 2-51 [chan receive], 50 alike:\n  for ");
    CHECK_EQ(times_in(report, "[chan receive]"), 1);
    free(report);

    rn_mutex_lock(&mu);
    rn_go(locker);
    rn_go(receiver); /* created elsewhere */
    rn_go(other_receiver);
    start_alike(2);
    until_arrived(55);
    for (int i = 0; i < 3; i++)
        start_named(names[i]);
    report = said_by(dump);
    has(report, "\ngoroutines 2-51, 55-56 [chan receive], 52 alike:\n");
    has(report, "\ngoroutine 52 [sync.Mutex.Lock]:\n");
    has(report, "\ngoroutine 53 [chan receive]:\n");
    has(report, "\ngoroutine 54 [chan receive]:\n");
    has(report, "\ngoroutines 57, 58 \"odd\", 59 [runnable], 3 alike:\n");
    free(report);
    rn_mutex_unlock(&mu);
    rn_close(gate);
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(gate);
}

static void nothing(void) {}
static void do_start_after_nothing(int n)
{
    for (int i = 0; i < n; i++) {
        rn_go(nothing);
        rn_go(receiver);
    }
}
static void (*volatile start_after_nothing)(int n) = do_start_after_nothing;

/* How a goroutine came by its stack is no difference: some begin on a fresh one, some in place of one that ended. */
GO_TEST_PROCS(alike_whatever_was_there_before, 1)
{
    char *report;

    gate = rn_chan_make(int, 0);
    for (int i = 0; i < 5; i++) /* stacks that have been used */
        rn_go(nothing);
    test_expect_settled(__FILE__, __LINE__);
    start_after_nothing(10);
    while (arrived < 10) /* not by yields, after which each begins anew */
        rn_sleep(RN_MILLISECOND);
    test_let_run();
    report = said_by(dump);
    has(report, "[chan receive], 10 alike:\n");
    CHECK_EQ(times_in(report, "[chan receive]"), 1);
    free(report);
    rn_close(gate);
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(gate);
}

static _Atomic int64_t ahead;
static int64_t (*true_clock)(void);
static int64_t moved_clock(void)
{
    return true_clock() + ahead;
}

static int how_long(void)
{
    char *report;

    gate = rn_chan_make(int, 0);
    rn_go(receiver);
    until_arrived(1);
    report = said_by(dump);
    has(report, "[chan receive]:\n  for ");
    has(report, "s on 0x"); /* seconds or milliseconds, as slow as this machine is */
    has_not(report, "minute");
    free(report);
    ahead = 1500 * RN_MILLISECOND; /* or a little more */
    report = said_by(dump);
    has(report, "s on 0x");
    has_not(report, "ms on 0x");
    free(report);
    ahead = 61 * RN_SECOND;
    report = said_by(dump);
    has(report, "[chan receive, 1 minute]:\n  for 1m");
    free(report);
    ahead = 3 * RN_MINUTE + 30 * RN_SECOND;
    report = said_by(dump);
    has(report, "[chan receive, 3 minutes]:\n  for 3m3");
    free(report);

    /* Who parks now has not waited for minutes: the stamps follow the clock. */
    rn_go_with(RN_ATTR(.name = "late"), other_receiver);
    for (int i = 0; i < 200; i++)
        rn_yield();
    rn_go_with(RN_ATTR(.name = "later"), locker);
    AWAIT(arrived == 3);
    test_let_run();
    ahead = 2 * RN_HOUR + 5 * RN_MINUTE + 30 * RN_SECOND;
    report = said_by(dump);
    has(report, "\"later\" [sync.Mutex.Lock, 122 minutes]:\n  for 2h2m on 0x");
    has(report, "[chan receive, 125 minutes]:\n  for 2h5m on 0x");
    free(report);
    ahead = 0; /* or a sleep would take its time */
    rn_mutex_unlock(&mu);
    rn_close(gate);
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(gate);
    return 0;
}

/* The time each has waited, with a clock that we move. */
PLAIN_TEST(how_long_they_wait)
{
    true_clock = rn__clock;
    rn__clock = moved_clock;
    rn_mutex_lock(&mu);
    CHECK_EQ(rn_set_procs(1), 0);
    CHECK_EQ(rn_run(how_long), 0);
}

static void named(void)
{
    known_pc[0] = (uintptr_t)&named;
    known_name[0] = "a_name_of_ours";
    arrived++;
    (void)rn_recv(gate);
    arrived++;
}

/* rn_set_symbolizer is asked, and dladdr where it knows nothing. */
GO_TEST(a_symbolizer)
{
    char *report;

    gate = rn_chan_make(int, 0);
    rn_set_symbolizer(known_symbols);
    rn_go(named);
    until_arrived(1);
    report = said_by(dump);
    has(report, "\ta_name_of_ours at here.c:7 [0x");
    free(report);
    rn_set_symbolizer(NULL);
    report = said_by(dump);
    has_not(report, "a_name_of_ours");
    free(report);
    rn_close(gate);
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(gate);
}

/* Frames of several depths, ends and starts all the time, while reports are made from three sides. Each entry
 * must be of a goroutine, with a known state. */
static _Atomic int enough;

static int deep(rn_chan(int) ch, int depth)
{
    volatile char frame[64];

    frame[0] = (char)depth;
    if (depth == 0)
        return rn_recv(ch) + frame[0];
    return deep(ch, depth - 1) + frame[0];
}
static void sender(rn_chan(int) ch)
{
    rn_send(ch, 1);
}
static void pair(int depth)
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    rn_go(sender, ch);
    (void)deep(ch, depth);
    rn_yield();
    rn_chan_release(ch);
}
static void churn(int seed)
{
    rn_wg wg = {0};

    for (int i = 0; !enough; i++) {
        for (int k = 0; k < 20; k++)
            rn_wg_go(&wg, pair, (i + k + seed) % 40);
        rn_wg_wait(&wg);
    }
}

static void check_report(const char *report)
{
    static const char *const states[] = {"[running", "[runnable", "[chan ",
                                         "[sync.",   "[sleep",    "[waiting"};

    for (const char *p = report; (p = strstr(p, "\n\ngoroutine")) != NULL; p++) {
        const char *end = strchr(p + 2, '\n');
        const char *state = strchr(p, '[');
        bool ok = false;

        CHECK(end != NULL && state != NULL && state < end);
        CHECK(end[-1] == ':');
        for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
            ok = ok || strncmp(state, states[i], strlen(states[i])) == 0;
        CHECK(ok);
    }
}

static void *dump_thread(void *arg)
{
    (void)arg;
    while (!enough) {
        char *report = said_by(dump);

        check_report(report);
        free(report);
    }
    return NULL;
}
static int in_a_storm(void)
{
    pthread_t t[2];

    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, dump_thread, NULL), 0);
    for (int i = 0; i < 4; i++)
        rn_go(churn, i);
    for (int i = 0; i < test_times(200); i++) {
        char *report = said_by(i % 2 ? dump : rn_leaks);

        check_report(report);
        free(report);
        rn_yield();
    }
    enough = 1;
    for (int i = 0; i < 2; i++)
        CHECK_EQ(rn_blocking(pthread_join(t[i], NULL)), 0);
    test_expect_settled(__FILE__, __LINE__);
    return 0;
}
PLAIN_TEST(while_goroutines_start_and_end)
{
    CHECK_EQ(rn_run(in_a_storm), 0);
}

/* Reports while runtimes begin and end: the hold keeps what is being read. */
static int nothing_much(int n)
{
    for (int i = 0; i < n; i++)
        rn_go(receiver);
    rn_yield();
    return 0;
}
PLAIN_TEST(while_runtimes_start_and_end)
{
    pthread_t t;

    gate = rn_chan_make(int, 0);
    CHECK_EQ(pthread_create(&t, NULL, dump_thread, NULL), 0);
    for (int i = 0; i < test_times(500); i++)
        CHECK_EQ(rn_run(nothing_much, i % 10), 0);
    enough = 1;
    CHECK_EQ(pthread_join(t, NULL), 0);
    rn_chan_release(gate);
}

/* Many, in less than a time that is far beyond what is promised. */
GO_TEST(ten_thousand)
{
    const int n = test_times(10000);
    rn_time t;
    char *report;

    gate = rn_chan_make(int, 0);
    start_alike(n);
    AWAIT(arrived == n);
    t = rn_now();
    report = said_by(dump);
    CHECK(rn_now() - t < 5 * RN_SECOND);
    CHECK_EQ(strncmp(report, "runnel: ", 8), 0);
    CHECK_EQ(atoi(report + 8), n + 1);
    CHECK_EQ(rn_leaks(-1), n);
    free(report);
    rn_close(gate);
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(gate);
}

/* Address space runs out: the report comes one by one, and whole. */
GO_TEST_PROCS(without_memory, 1)
{
    char *report;
    int lines;

    gate = rn_chan_make(int, 0);
    start_alike(20);
    until_arrived(20);
    report = said_by(dump);
    CHECK_EQ(times_in(report, "[chan receive]"), 1);
    free(report);
    {
        extern void *(*rn__pool_map)(size_t);
        void *(*was)(size_t) = rn__pool_map;

        rn__pool_map = NULL;
        report = said_by(dump);
        rn__pool_map = was;
    }
    lines = times_in(report, "[chan receive]");
    CHECK_EQ(lines, 20);
    for (int id = 2; id <= 21; id++) {
        char head[40];

        snprintf(head, sizeof(head), "\ngoroutine %d [chan receive]:\n", id);
        has(report, head);
    }
    free(report);
    rn_close(gate);
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(gate);
}

static int panics_among_others(void)
{
    gate = rn_chan_make(int, 0);
    start_alike(3);
    until_arrived(3);
    rn_panic("on purpose");
}
static void panic_run(void)
{
    CHECK_EQ(rn_set_procs(1), 0);
    (void)!rn_run(panics_among_others);
}
static void panic_run_single(void)
{
    setenv("RUNNEL_TRACEBACK", "single", 1);
    panic_run();
}
/* A child process has the handler, but not the thread that writes: it does not wait for it, and has one of its own as
 * soon as it has a runtime. */
static int returns_at_once(void)
{
    return 0;
}
static int raises(void)
{
    CHECK_EQ(raise(SIGUSR1), 0);
    return 0;
}
static void signal_after_fork(void)
{
    int status;
    pid_t pid;

    CHECK_EQ(rn_dump_on_signal(SIGUSR1), 0);
    CHECK_EQ(rn_run(returns_at_once), 0);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(raise(SIGUSR1), 0);
        exit(7);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7);
    if (UNDER_TSAN)
        return; /* no threads in a child of a process with threads */
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        exit(rn_run(raises));
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
PLAIN_TEST(a_dump_by_signal_after_fork)
{
    struct child c = run_child(signal_after_fork);

    CHECK_EXIT(&c, 0);
    CHECK_EQ(times_in(c.said, "runnel: "), UNDER_TSAN ? 0 : 1); /* the second child's */
    free(c.said);
}

PLAIN_TEST(traceback_of_all_or_a_single_one)
{
    struct child c = run_child(panic_run_single);

    CHECK_EXIT(&c, 2);
    has_not(c.said, "goroutines 2-4");
    free(c.said);
    c = run_child(panic_run);
    CHECK_EXIT(&c, 2);
    begins(c.said, "panic: on purpose\n\ngoroutine 1 [running]:\n\t");
    has(c.said, "\ngoroutines 2-4 [chan receive], 3 alike:\n");
    free(c.said);
}

/* ---- Leaks ----------------------------------------------------------------------------- */

static const char *ask = "1"; /* RUNNEL_LEAKS */
static void (*first_one)(void);
static int call_first_one(void)
{
    first_one();
    return 0;
}
static struct child with_leaks(const char *value, void (*fn)(void))
{
    ask = value;
    return run_child(fn);
}
#define AS_FIRST(name)                                                                             \
    static void name##_run(void)                                                                   \
    {                                                                                              \
        CHECK_EQ(setenv("RUNNEL_LEAKS", ask, 1), 0);                                               \
        first_one = name;                                                                          \
        (void)!rn_run(call_first_one);                                                             \
        exit(0);                                                                                   \
    }

static void leak_two(void)
{
    gate = rn_chan_make(int, 0);
    for (int i = 0; i < 2; i++)
        start_named("forgotten");
}
AS_FIRST(leak_two)

/* The last to count down has still to come to its end when the first goes on. */
static void slow_to_end(rn_wg *wg)
{
    rn_wg_done(wg);
    for (int i = 0; i < 50; i++)
        rn_yield();
}
static void leak_nothing(void)
{
    rn_wg wg = {0};

    for (int i = 0; i < 20; i++) {
        rn_wg_add(&wg, 1);
        rn_go(slow_to_end, &wg);
    }
    rn_wg_wait(&wg);
}
AS_FIRST(leak_nothing)

static void leave_by_exit(void)
{
    leak_two();
    AWAIT(arrived == 2);
    test_let_run();
    exit(3);
}
AS_FIRST(leave_by_exit)

static void leak_without_run(void)
{
    CHECK_EQ(setenv("RUNNEL_LEAKS", ask, 1), 0);
    leak_two();
    exit(0);
}

/* LEAK-01, LEAK-14 */
PLAIN_TEST(leak_01_reported_at_the_end)
{
    struct child c = with_leaks("1", leak_two_run);

    CHECK_EXIT(&c, 0);
    begins(c.said, "runnel: 2 goroutines left at the end of rn_run:\n\ngoroutines ");
    has(c.said, "\"forgotten\" [chan receive], 2 alike:\n  for ");
    has(c.said, "created by goroutine 1 at\n\t");
    CHECK_EQ(times_in(c.said, "runnel: "), 1); /* not once more at exit */
    free(c.said);

    c = with_leaks("1", leave_by_exit_run);
    CHECK_EXIT(&c, 3);
    begins(c.said, "runnel: 2 goroutines left at exit:\n\n");
    free(c.said);

    c = with_leaks("1", leak_without_run);
    CHECK_EXIT(&c, 0);
    begins(c.said, "runnel: 2 goroutines left at exit:\n\n");
    has(c.said, "created by a thread at\n\t");
    free(c.said);
}

PLAIN_TEST(leak_06_fatal_if_told)
{
    struct child c = with_leaks("fatal", leak_two_run);

    CHECK_EXIT(&c, 2);
    begins(c.said, "runnel: 2 goroutines left at the end of rn_run:\n\n");
    free(c.said);
    c = with_leaks("fatal", leak_without_run);
    CHECK_EXIT(&c, 2);
    free(c.said);
}

PLAIN_TEST(leak_02_no_false_report)
{
    struct child c = with_leaks("fatal", leak_nothing_run);

    CHECK_EXIT(&c, 0);
    CHECK_STR(c.said, "");
    free(c.said);
    c = with_leaks("0", leak_two_run);
    CHECK_EXIT(&c, 0);
    CHECK_STR(c.said, "");
    free(c.said);
    c = with_leaks("", leak_without_run);
    CHECK_EXIT(&c, 0);
    CHECK_STR(c.said, "");
    free(c.said);
}

static void receive_from(rn_chan(int) ch)
{
    arrived++;
    (void)rn_recv_ok(ch, NULL);
}
/* Whoever is let go is not found the next time, and whoever is not let go is. */
GO_TEST(leak_03_once_let_go)
{
    rn_chan(int) other = rn_chan_make(int, 0);
    char *report;

    gate = rn_chan_make(int, 0);
    start_named("forgotten");
    rn_go_with(RN_ATTR(.name = "let go"), receive_from, other);
    until_arrived(2);
    CHECK_EQ(rn_settle(RN_MILLISECOND), 2);
    report = said_by(rn_leaks);
    begins(report, "runnel: 2 goroutines left:\n\n");
    has(report, "\"forgotten\" [chan receive]");
    has(report, "\"let go\" [chan receive]");
    free(report);

    rn_close(other);
    AWAIT(rn_settle(RN_MILLISECOND) == 1);
    report = said_by(rn_leaks);
    begins(report, "runnel: 1 goroutine left:\n\n");
    has(report, "\"forgotten\" [chan receive]");
    has_not(report, "let go");
    free(report);

    rn_close(gate);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    CHECK_EQ(rn_leaks(-1), 0);
    report = said_by(rn_leaks);
    CHECK_STR(report, "");
    free(report);
    rn_chan_release(other);
    rn_chan_release(gate);
}

/* Reports of both kinds by four threads at once: none leaves out or counts twice what another is looking at. */
enum { OVERLAPPED = 50 };
static _Atomic int overlapping;
static void *report_counts(void *arg)
{
    int rounds = test_times(100);

    (void)arg;
    overlapping++;
    while (overlapping < 4)
        ;
    for (int i = 0; i < rounds; i++) {
        char *report = said_by(i % 2 ? dump : rn_leaks), text[60];

        /* and the first one, which waits for the threads */
        snprintf(text, sizeof(text), "runnel: %d goroutines%s", OVERLAPPED + 1,
                 i % 2 ? ", " : " left:\n");
        begins(report, text);
        snprintf(text, sizeof(text), " [chan receive], %d alike:\n", OVERLAPPED);
        has(report, text);
        free(report);
        CHECK_EQ(rn_leaks(-1), OVERLAPPED + 1);
    }
    return NULL;
}
GO_TEST(leak_15_reports_that_overlap)
{
    pthread_t t[4];

    gate = rn_chan_make(int, 0);
    start_alike(OVERLAPPED);
    until_arrived(OVERLAPPED);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, report_counts, NULL), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(rn_blocking(pthread_join(t[i], NULL)), 0);
    rn_close(gate);
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(gate);
}

/* ---- By signal --------------------------------------------------------------------------------------------- */

static int by_signal = SIGUSR1;
static void await_report(int fd, int n)
{
    struct timespec a_while = {0, 1000000};
    char text[4096];

    for (;;) {
        ssize_t size = pread(fd, text, sizeof(text) - 1, 0);

        text[size > 0 ? size : 0] = 0;
        if (times_in(text, "created by goroutine 1 at\n\t") == n && text[size - 1] == '\n')
            return;
        (void)rn_blocking(nanosleep(&a_while, NULL));
    }
}
static int signalled(void)
{
    int fd = memfd_create("report", MFD_CLOEXEC);
    int keep = dup(2);

    dup2(fd, 2);
    gate = rn_chan_make(int, 0);
    rn_go(receiver);
    until_arrived(1);
    for (int i = 1; i <= 3; i++) { /* again and again */
        kill(getpid(), by_signal);
        await_report(fd, i);
    }
    dup2(keep, 2);
    rn_close(gate);
    test_expect_settled(__FILE__, __LINE__);
    return 4;
}
static void by_call(void)
{
    CHECK_EQ(rn_dump_on_signal(SIGUSR1), 0);
    CHECK_EQ(rn_run(signalled), 4);
}
static void by_environment(void)
{
    CHECK_EQ(setenv("RUNNEL_DUMP_SIGNAL", "USR2", 1), 0);
    by_signal = SIGUSR2;
    CHECK_EQ(rn_run(signalled), 4);
}
static int wait_for_it(void)
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    kill(getpid(), SIGQUIT);
    (void)rn_select(rn_on_timeout(RN_MINUTE), rn_on_recv_ok(ch, NULL, NULL));
    return 0;
}
static void quit_by_call(void)
{
    CHECK_EQ(rn_dump_on_signal(SIGQUIT), 0);
    (void)!rn_run(wait_for_it);
}
static void quit_by_environment(void)
{
    CHECK_EQ(setenv("RUNNEL_DUMP_SIGNAL", "QUIT", 1), 0);
    (void)!rn_run(wait_for_it);
}
static void users_handler(int sig)
{
    (void)sig;
    (void)!write(1, "mine\n", 5);
    _exit(9);
}
static void users_own_comes_first(void)
{
    signal(SIGQUIT, users_handler);
    quit_by_environment();
}
static int deadlock(void)
{
    gate = rn_chan_make(int, 0);
    return rn_recv(gate);
}
static void deadlock_although(void)
{
    CHECK_EQ(rn_dump_on_signal(SIGUSR1), 0);
    (void)!rn_run(deadlock);
}

PLAIN_TEST(a_signal_writes_the_report)
{
    struct child c = run_child(by_call);

    CHECK_EXIT(&c, 0);
    free(c.said);
    c = run_child(by_environment);
    CHECK_EXIT(&c, 0);
    free(c.said);
    CHECK_EQ(rn_dump_on_signal(0), -EINVAL);
    CHECK_EQ(rn_dump_on_signal(65), -EINVAL);
    CHECK_EQ(rn_dump_on_signal(SIGKILL), -EINVAL);
}

PLAIN_TEST(sigquit_ends_with_status_2)
{
    struct child c = run_child(quit_by_call);

    CHECK_EXIT(&c, 2);
    begins(c.said, "SIGQUIT: quit\n\nrunnel: ");
    free(c.said);
    c = run_child(quit_by_environment);
    CHECK_EXIT(&c, 2);
    begins(c.said, "SIGQUIT: quit\n\nrunnel: ");
    free(c.said);
}

PLAIN_TEST(who_did_not_ask_keeps_the_signal)
{
    struct child c = run_child(users_own_comes_first);

    CHECK_EXIT(&c, 9);
    CHECK_STR(c.said, "mine\n");
    free(c.said);
    if (count_threads() > 1)
        return;                       /* an emulator's: no deadlock is reported then */
    c = run_child(deadlock_although); /* our thread is not taken for one that may wake somebody */
    CHECK_EXIT(&c, 2);
    begins(c.said, "fatal error: all goroutines are asleep - deadlock!\n");
    free(c.said);
}
