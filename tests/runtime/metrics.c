/* SPDX-License-Identifier: MIT */
/*
 * metrics.c - rn_metrics, its text, and RUNNEL_SCHEDTRACE: the numbers are those of what a program did, a snapshot
 * keeps its promises while others count, and the text is OpenMetrics.
 */
#define _GNU_SOURCE
#include "process.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static struct rn_metrics now_counted(void)
{
    struct rn_metrics m;

    CHECK_EQ(rn_metrics(&m, sizeof m), sizeof m);
    return m;
}

static void receive_one(rn_recv_only(int) ch, rn_wg *done)
{
    CHECK_EQ(rn_recv(ch), 1);
    rn_wg_done(done);
}

/* With one processor, what happens is known to the last count. */
GO_TEST_PROCS(metrics_count_exactly, 1)
{
    enum { N = 100 };
    struct rn_metrics before, parked, after;
    rn_chan(int) ch = rn_chan_make(int, 0);
    rn_wg done = {0};

    before = now_counted();
    rn_wg_add(&done, N);
    for (int i = 0; i < N; i++)
        rn_go(receive_one, ch, &done);
    CHECK_EQ(now_counted().spawned - before.spawned, N);
    CHECK_EQ(now_counted().runnable, N);
    AWAIT(now_counted().waiting == N);
    parked = now_counted();
    CHECK_EQ(parked.parks - before.parks, N);
    CHECK_EQ(parked.readies - before.readies, 0);
    CHECK_EQ(parked.goroutines, N + 1);
    CHECK_EQ(parked.runnable, 0);
    CHECK_EQ(parked.running, 1);
    CHECK_EQ(parked.finished - before.finished, 0);
    CHECK(parked.yields > before.yields); /* AWAIT's */
    for (int i = 0; i < N; i++)
        rn_send(ch, 1); /* each waits: no park of the sender */
    CHECK_EQ(now_counted().readies - before.readies, N);
    CHECK_EQ(now_counted().parks - before.parks, N);
    CHECK_EQ(now_counted().runnable, N);
    rn_wg_wait(&done); /* one more, of this goroutine */
    test_expect_settled(__FILE__, __LINE__);
    after = now_counted();
    CHECK_EQ(after.spawned - before.spawned, N);
    CHECK_EQ(after.finished - before.finished, N);
    CHECK_EQ(after.goroutines, 1);
    CHECK_EQ(after.waiting, 0);
    CHECK_EQ(after.steals, 0);
    CHECK_EQ(after.processors, 1);
    rn_chan_release(ch);
}

GO_TEST(metrics_timers_and_blocking)
{
    struct rn_metrics before = now_counted(), after;

    for (int i = 0; i < 5; i++)
        rn_sleep(1000);
    for (int i = 0; i < 3; i++)
        rn_blocking(usleep(1));
    after = now_counted();
    CHECK_EQ(after.timers_armed - before.timers_armed, 5);
    CHECK_EQ(after.timers_fired - before.timers_fired, 5);
    CHECK_EQ(after.parks - before.parks, 5);
    CHECK_EQ(after.blocking - before.blocking, 3);
    CHECK_EQ(after.timers, 0);
}

static void wait_for_fd(int fd, rn_wg *done)
{
    CHECK(rn_wait_fd(fd, RN_READ, NULL) >= 0);
    rn_wg_done(done);
}

GO_TEST(metrics_descriptors)
{
    struct rn_metrics before = now_counted();
    rn_wg done = {0};
    int fds[2];

    CHECK_EQ(pipe2(fds, O_NONBLOCK), 0);
    rn_wg_add(&done, 1);
    rn_go(wait_for_fd, fds[0], &done);
    AWAIT(now_counted().waiting == 1);
    CHECK_EQ(now_counted().netpoll_woken, before.netpoll_woken);
    CHECK_EQ(write(fds[1], "x", 1), 1);
    rn_wg_wait(&done);
    CHECK_EQ(now_counted().netpoll_woken - before.netpoll_woken, 1);
    rn_forget_fd(fds[0]);
    close(fds[0]);
    close(fds[1]);
}

static void just_end(rn_wg *done)
{
    rn_wg_done(done);
}

GO_TEST_PROCS(metrics_stacks, 1)
{
    enum { N = 50 };
    struct rn_metrics m;
    rn_wg done = {0};

    rn_wg_add(&done, N);
    for (int i = 0; i < N; i++)
        rn_go_with(RN_ATTR(.stack_size = 32 << 10), just_end, &done);
    rn_wg_wait(&done);
    test_expect_settled(__FILE__, __LINE__);
    m = now_counted();
    CHECK(m.stacks >= 2);
    CHECK_EQ(m.stacks_kept, m.stacks - 1); /* this goroutine's is in use */
    CHECK_EQ(m.stacks_mapped_bytes - m.stacks_kept_bytes, 124 << 10); /* see the head of stack.c */
}

/* One in 64 is measured, of those that are woken and of those that begin. */
GO_TEST_PROCS(metrics_latency, 1)
{
    enum { N = 64 * 20 };
    struct rn_metrics before, after;
    uint64_t measured;

    do { /* once more if this goroutine lost its processor: what it started without one is not measured */
        rn_wg done = {0};

        before = now_counted();
        rn_wg_add(&done, N);
        for (int i = 0; i < N; i++)
            rn_go(just_end, &done);
        rn_wg_wait(&done);
        after = now_counted();
        measured = 0;
        for (int i = 0; i < RN_METRICS_LATENCIES; i++)
            measured += after.latency[i] - before.latency[i];
    } while (after.handoffs != before.handoffs);
    CHECK(measured >= 20 && measured <= 22);
    CHECK(after.latency_time > before.latency_time);
}

/* The caller's size decides. */
GO_TEST(metrics_of_another_version)
{
    struct {
        struct rn_metrics m;
        uint64_t more[4];
    } larger;
    struct rn_metrics m;

    memset(&larger, 0x55, sizeof larger);
    CHECK_EQ(rn_metrics(&larger.m, sizeof larger), sizeof larger.m);
    CHECK(larger.m.spawned > 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(larger.more[i], 0);
    memset(&m, 0x55, sizeof m);
    rn_metrics(&m, offsetof(struct rn_metrics, waiting));
    CHECK_EQ(m.goroutines, 1);
    CHECK_EQ(m.waiting, 0x5555555555555555);
}

/* ---- Promises while others count ---------------------------------------------------------------- */

static atomic_int stop_reading;

static void check_promises(struct rn_metrics *last)
{
    struct rn_metrics m = now_counted();

    CHECK(m.finished <= m.spawned);
    CHECK(m.readies <= m.parks);
    CHECK_EQ(m.running + m.runnable + m.waiting + m.blocked, m.goroutines);
    for (size_t at = offsetof(struct rn_metrics, spawned);
         at <= offsetof(struct rn_metrics, latency_time); at += sizeof(uint64_t)) {
        uint64_t was, is;

        memcpy(&was, (char *)last + at, sizeof was);
        memcpy(&is, (char *)&m + at, sizeof is);
        CHECK(was <= is);
    }
    *last = m;
}

static void *reader(void *arg)
{
    struct rn_metrics last = now_counted();

    while (!atomic_load(&stop_reading))
        check_promises(&last);
    return arg;
}

static void pass_on(rn_recv_only(int) in, rn_send_only(int) out, int n)
{
    for (int i = 0; i < n; i++)
        rn_send(out, rn_recv(in) + 1);
}

static void never(rn_recv_only(int) ch)
{
    (void)rn_recv(ch);
}

static rn_chan(int) left_with; /* what never() waits on, to be released when it is gone */

static int busy(int rounds)
{
    rn_chan(int) a = rn_chan_make(int, 0), b = rn_chan_make(int, 2), c = rn_chan_make(int, 0);
    rn_wg done = {0};

    left_with = c;
    for (int r = 0; r < rounds; r++) {
        rn_wg_go(&done, pass_on, a, b, 20);
        rn_wg_go(&done, pass_on, b, a, 19);
        rn_wg_add(&done, 20);
        for (int i = 0; i < 20; i++)
            rn_go(just_end, &done);
        rn_send(a, 0);
        rn_sleep(1000);
        rn_wg_wait(&done);
        CHECK_EQ(rn_recv(b), 39);
    }
    rn_go(never, c); /* left behind: its park is never answered */
    rn_yield();
    rn_chan_release(b);
    rn_chan_release(a);
    return 0;
}

/* Readers look all the time, over several runtimes and between them. */
PLAIN_TEST(metrics_promises)
{
    struct rn_metrics last = now_counted();
    pthread_t threads[2];

    CHECK_EQ(last.processors, 0);
    CHECK_EQ(rn_set_procs(3), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, reader, NULL), 0);
    for (int i = 0; i < test_times(20); i++) {
        CHECK_EQ(rn_run(busy, test_times(20)), 0);
        rn_chan_release(left_with);
        check_promises(&last);
        CHECK_EQ(last.goroutines, 0);
    }
    atomic_store(&stop_reading, 1);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    last = now_counted();
    CHECK_EQ(last.spawned - last.finished, test_times(20)); /* those left behind */
    CHECK_EQ(last.waiting, 0);
}

/* ---- Text ------------------------------------------------------------------------------------------ */

static char *written(void)
{
    FILE *f = tmpfile();
    char *text;
    size_t n;

    CHECK(f != NULL);
    rn_metrics_write(fileno(f));
    n = (size_t)lseek(fileno(f), 0, SEEK_END);
    rewind(f);
    text = malloc(n + 1);
    CHECK(text && fread(text, 1, n, f) == n);
    text[n] = 0;
    fclose(f);
    return text;
}

static long value_of(const char *text, const char *name)
{
    const char *at = strstr(text, name); /* a name with a newline before it */
    long value = -1;

    CHECK(at != NULL);
    CHECK_EQ(sscanf(at + strlen(name), " %ld\n", &value), 1);
    return value;
}

/* The text says what the struct says; tests/runtime/openmetrics.py looks at its form. */
GO_TEST_PROCS(metrics_text, 1)
{
    const char *file = getenv("RUNNEL_TEST_METRICS");
    rn_chan(int) ch = rn_chan_make(int, 0);
    struct rn_metrics m;
    char *text;

    for (int i = 0; i < 7; i++)
        rn_go(never, ch);
    AWAIT(now_counted().waiting == 7);
    text = written();
    m = now_counted();
    CHECK_EQ(value_of(text, "\nrunnel_goroutines{state=\"waiting\"}"), 7);
    CHECK_EQ(value_of(text, "\nrunnel_goroutines{state=\"running\"}"), 1);
    CHECK_EQ(value_of(text, "\nrunnel_parks_total"), m.parks);
    CHECK_EQ(value_of(text, "\nrunnel_stacks_mapped_bytes"), m.stacks_mapped_bytes);
    CHECK_STR(text + strlen(text) - 6, "# EOF\n");
    free(text);
    if (file) {
        FILE *f = fopen(file, "w");

        CHECK(f != NULL);
        rn_metrics_write(fileno(f));
        fclose(f);
    }
    rn_close(ch);
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(ch);
}

/* ---- A line now and then --------------------------------------------------------------------------- */

/*
 * Standard error is read by the program itself, so that it goes on until the lines are there; what is wrong with them is
 * said aside. The trace begins with the runtime, so the first lines may come before the goroutine.
 */
static int read_lines(int fd, int aside)
{
    char line[1024];
    int lines = 0;

    while (lines < 3) {
        long ms;
        unsigned procs, idle, threads, spinning, asleep, all, running, runnable, waiting, blocked,
            q, a, b;
        size_t n = 0;

        do
            CHECK_EQ(rn_sys(read(fd, line + n, 1)), 1);
        while (line[n++] != '\n' && n < sizeof line - 1);
        line[n] = 0;
        if (sscanf(
                line,
                "SCHED %ldms: procs=%u idleprocs=%u threads=%u spinningthreads=%u idlethreads=%u "
                "goroutines=%u running=%u runnable=%u waiting=%u blocked=%u runqueue=%u [%u %u]\n",
                &ms, &procs, &idle, &threads, &spinning, &asleep, &all, &running, &runnable,
                &waiting, &blocked, &q, &a, &b) != 14 ||
            procs != 2 || all > 1 || (all == 0 && lines > 0)) {
            CHECK_EQ(dup2(aside, STDERR_FILENO), STDERR_FILENO);
            test_fail(__FILE__, __LINE__, "not the next line of the trace: %s", line);
        }
        lines += all == 1;
        rn_yield();
    }
    return 0;
}

static void schedtrace(void)
{
    int fds[2], aside = dup(STDERR_FILENO);

    CHECK(aside >= 0);
    CHECK_EQ(setenv("RUNNEL_SCHEDTRACE", "3", 1), 0);
    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
    CHECK_EQ(rn_set_procs(2), 0);
    CHECK_EQ(rn_run(read_lines, fds[0], aside), 0);
}

PLAIN_TEST(metrics_schedtrace)
{
    struct child c = run_child(schedtrace);

    CHECK_EXIT(&c, 0);
    free(c.said);
}

static void schedtrace_wrong(void)
{
    CHECK_EQ(setenv("RUNNEL_SCHEDTRACE", "often", 1), 0);
    CHECK_EQ(rn_run(busy, 0), 0);
}

PLAIN_TEST(metrics_schedtrace_misspelt)
{
    struct child c = run_child(schedtrace_wrong);

    CHECK_EXIT(&c, 0);
    CHECK_SAYS(&c, "RUNNEL_SCHEDTRACE=often: expected milliseconds");
    free(c.said);
}
