/* SPDX-License-Identifier: MIT */
/*
 * locks.c - who has a lock that is waited for, as reports tell it; goroutines that wait for each other's locks. Nobody
 * may be accused who has not locked it: not the next goroutine on the stack of one that has, nor one that had it before.
 */
#define _GNU_SOURCE
#include "process.h"
#include "said.h"

#include <errno.h>
#include <pthread.h>

static rn_mutex mu, other_mu;
static rn_rwmutex rw;
static rn_chan(int) gate;
static _Atomic int locked;

/* The dump, without how long they wait: "  for 3ms on" is "  on". */
static char *said_timeless(void)
{
    char *report = said_by(dump), *to = report;

    for (const char *from = report; *from;) {
        if (strncmp(from, "\n  for ", 7) == 0) {
            memcpy(to, "\n  ", 3);
            to += 3;
            from += 7;
            while (*from && strncmp(from, " on ", 4) != 0 && strncmp(from, ", not ", 6) != 0)
                from++;
            from++;
        } else {
            *to++ = *from++;
        }
    }
    *to = 0;
    return report;
}

/* The same as soon as it has this text. */
static char *said_with(const char *text)
{
    rn_time bound = rn_now() + 60 * RN_SECOND;

    for (;;) {
        char *report = said_timeless();

        if (strstr(report, text))
            return report;
        if (rn_now() > bound)
            test_fail(__FILE__, __LINE__, "no \"%s\" in:\n%s", text, report);
        free(report);
        rn_yield();
    }
}

/* The dump says this, as one text in which %p is the address. */
static void says(const char *fmt, const void *on)
{
    char text[200];

    snprintf(text, sizeof(text), fmt, on);
    free(said_with(text));
}

static void hold_mutex(void)
{
    rn_mutex_lock(&mu);
    locked++;
    (void)rn_recv(gate);
    rn_mutex_unlock(&mu);
}
static void hold_rw(void)
{
    rn_rwmutex_lock(&rw);
    locked++;
    (void)rn_recv(gate);
    rn_rwmutex_unlock(&rw);
}
static void read_rw(void)
{
    rn_rwmutex_rlock(&rw);
    locked++;
    (void)rn_recv(gate);
    rn_rwmutex_runlock(&rw);
}
static void want_mutex(void)
{
    rn_mutex_lock(&mu);
    rn_mutex_unlock(&mu);
}
static void want(rn_mutex *m)
{
    rn_mutex_lock(m);
    rn_mutex_unlock(m);
}
/* From one place, whatever the compiler makes of loops. */
static rn_mutex *volatile wanted;
static __attribute__((noinline)) void start_want(rn_mutex *m)
{
    wanted = m;
    rn_go(want, wanted);
}
static void want_mutex_ctx(rn_ctx *ctx)
{
    if (rn_mutex_lock_ctx(ctx, &mu) == 0)
        rn_mutex_unlock(&mu);
    rn_ctx_release(ctx);
}
static void want_rw(void)
{
    rn_rwmutex_lock(&rw);
    rn_rwmutex_unlock(&rw);
}
static void want_rw_read(void)
{
    rn_rwmutex_rlock(&rw);
    rn_rwmutex_runlock(&rw);
}

static void open_gate(void)
{
    rn_close(gate);
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(gate);
}

static void take_by(void (*take)(void), int n)
{
    gate = rn_chan_make(int, 0);
    locked = 0;
    for (int i = 0; i < n; i++)
        rn_go_with(RN_ATTR(.name = "holder"), take);
    AWAIT(locked == n);
}

/* By the inlined lock, or the library's where the program is compiled under ThreadSanitizer. */
GO_TEST_PROCS(a_mutex_and_its_holder, 1)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());

    take_by(hold_mutex, 1);
    rn_go(want_mutex);
    says("goroutine 3 [sync.Mutex.Lock]:\n  on %p, locked by goroutine 2 \"holder\"\n", &mu);
    rn_go(want_mutex_ctx, rn_ctx_retain(ctx));
    says("goroutine 4 [sync.Mutex.Lock]:\n  on %p, locked by goroutine 2 \"holder\"\n", &mu);
    rn_ctx_end(ctx);
    open_gate();
}

/* Who got it after waiting has it now. */
GO_TEST_PROCS(handed_on, 1)
{
    take_by(hold_mutex, 1);
    rn_go_with(RN_ATTR(.name = "second"), hold_mutex);
    says(" on %p, locked by goroutine 2 \"holder\"\n", &mu);
    rn_send(gate, 1);
    AWAIT(locked == 2);
    rn_go(want_mutex);
    says(" on %p, locked by goroutine 3 \"second\"\n", &mu);
    open_gate();
}

/* Each way to take it. */
static void hold_by_try(void)
{
    CHECK(rn_mutex_try_lock(&mu));
    CHECK(rn_rwmutex_try_lock(&rw));
    locked++;
    (void)rn_recv(gate);
    rn_mutex_unlock(&mu);
    rn_rwmutex_unlock(&rw);
}
static void hold_by_ctx(void)
{
    CHECK_EQ(rn_mutex_lock_ctx(NULL, &mu), 0);
    locked++;
    (void)rn_recv(gate);
    rn_mutex_unlock(&mu);
}
GO_TEST_PROCS(taken_by_try_and_under_a_context, 1)
{
    take_by(hold_by_try, 1);
    rn_go(want_mutex);
    rn_go(want_rw);
    says(" on %p, locked by goroutine 2 \"holder\"\n", &mu);
    says(" on %p, locked by goroutine 2 \"holder\"\n", &rw);
    open_gate();
    take_by(hold_by_ctx, 1);
    rn_go(want_mutex);
    says(" on %p, locked by goroutine ", &mu);
    open_gate();
}

/* The read-write mutex: its writer by name, its readers by number. */
GO_TEST_PROCS(a_rwmutex_and_its_holders, 1)
{
    take_by(hold_rw, 1);
    rn_go(want_rw);
    rn_go(want_rw_read);
    says("[sync.RWMutex.Lock]:\n  on %p, locked by goroutine 2 \"holder\"\n", &rw);
    says("[sync.RWMutex.RLock]:\n  on %p, locked by goroutine 2 \"holder\"\n", &rw);
    open_gate();

    take_by(read_rw, 2);
    rn_go(want_rw);
    says("[sync.RWMutex.Lock]:\n  on %p, locked by 2 readers\n", &rw);
    rn_go(want_rw_read);
    says("[sync.RWMutex.RLock]:\n  on %p, locked by 2 readers\n", &rw);
    rn_send(gate, 1);
    says("[sync.RWMutex.Lock]:\n  on %p, locked by 1 reader\n", &rw);
    open_gate();
}

static void lock_and_end(void)
{
    rn_mutex_lock(&mu);
    rn_rwmutex_lock(&rw);
}
/* Goroutines that come to the stack of one that ended with the lock are not taken for it. */
GO_TEST_PROCS(the_next_on_the_stack_is_not_accused, 1)
{
    char *report = NULL;

    rn_go(lock_and_end);
    test_expect_settled(__FILE__, __LINE__);
    for (int i = 0; i < 10; i++) { /* they have all stacks that were used */
        rn_go(want_mutex);
        rn_go(want_rw);
    }
    do {
        free(report);
        rn_yield();
        report = said_timeless();
    } while (strstr(report, "[runnable]"));
    has_not(report, "locked by itself");
    has_not(report, "locked by goroutine ");
    free(report);
    says(" on %p, locked by a goroutine that has ended\n", &mu);
    says(" on %p, locked by a goroutine that has ended\n", &rw);
    rn_mutex_unlock(&mu);
    rn_rwmutex_unlock(&rw);
    test_expect_settled(__FILE__, __LINE__);
}

/* Nor are those of the next rn_run, whose ids and stacks are the same. */
static int lock_and_return(void)
{
    rn_mutex_lock(&mu);
    return 0;
}
static int look_at_an_earlier_lock(void)
{
    char *report;

    rn_go(want_mutex);
    report = said_with("[sync.Mutex.Lock]:\n  on ");
    has_not(report, "locked by itself");
    has_not(report, "locked by goroutine");
    has_not(report, "locked by a thread");
    free(report);
    rn_mutex_unlock(&mu);
    test_expect_settled(__FILE__, __LINE__);
    return 0;
}
static int lock_by_second(void)
{
    rn_go_with(RN_ATTR(.stack_size = 1 << 20), lock_and_end); /* where the next run has nothing */
    test_expect_settled(__FILE__, __LINE__);
    return 0;
}
PLAIN_TEST(nor_is_one_of_the_next_run)
{
    CHECK_EQ(rn_set_procs(1), 0);
    CHECK_EQ(rn_run(lock_and_return), 0);
    CHECK_EQ(rn_run(look_at_an_earlier_lock), 0);
    CHECK_EQ(rn_run(lock_by_second), 0);
    CHECK_EQ(rn_run(look_at_an_earlier_lock), 0);
}

/* Another has unlocked it since: the one that had locked it has it no more. */
static void lock_and_wait(void)
{
    rn_mutex_lock(&mu);
    locked++;
    (void)rn_recv(gate);
}
GO_TEST_PROCS(unlocked_by_another, 1)
{
    gate = rn_chan_make(int, 0);
    locked = 0;
    rn_go(lock_and_wait);
    AWAIT(locked == 1);
    rn_mutex_unlock(&mu);
    rn_mutex_lock(&mu);
    rn_go(want_mutex);
    says(" on %p, locked by goroutine 1\n", &mu);
    rn_mutex_unlock(&mu);
    open_gate();
}

static void *look_from_thread(void *arg)
{
    (void)arg;
    rn_mutex_lock(&mu);
    rn_go(want_mutex);
    says(" on %p, locked by a thread\n", &mu);
    rn_mutex_unlock(&mu);
    return NULL;
}
PLAIN_TEST(a_thread_has_it)
{
    pthread_t t;

    CHECK_EQ(pthread_create(&t, NULL, look_from_thread, NULL), 0);
    CHECK_EQ(pthread_join(t, NULL), 0);
    AWAIT(rn_count() == 0);
}

/* Many stacks, and deep ones: whatever is said is right. */
static void hold_deep(rn_mutex *m, int depth, _Atomic uint64_t *who)
{
    volatile char frame[1000];

    frame[0] = frame[999] = (char)depth;
    if (depth > 0) {
        hold_deep(m, depth - 1, who);
    } else {
        rn_mutex_lock(m);
        *who = rn_self_id();
        locked++;
        (void)rn_recv(gate);
        rn_mutex_unlock(m);
    }
    CHECK_EQ(frame[0], (char)depth);
}
static void want_under(rn_ctx *ctx, rn_mutex *m)
{
    CHECK_EQ(rn_mutex_lock_ctx(ctx, m), -ECANCELED);
    rn_ctx_release(ctx);
}
GO_TEST(on_stacks_of_all_sizes)
{
    enum { KINDS = 6, N = 5 };
    static const struct {
        size_t stack;
        int depth;
        bool known;
    } kind[KINDS] = {{16384, 1, false},  {32768, 1, true},    {32768, 10, true},
                     {131072, 40, true}, {131072, 90, false}, {1 << 20, 30, true}};
    static rn_mutex m[KINDS][N];
    static _Atomic uint64_t who[KINDS][N];

    gate = rn_chan_make(int, 0);
    locked = 0;
    for (int i = 0; i < KINDS; i++)
        for (int j = 0; j < N; j++)
            rn_go_with(RN_ATTR(.stack_size = kind[i].stack), hold_deep, &m[i][j], kind[i].depth,
                       &who[i][j]);
    AWAIT(locked == KINDS * N);
    for (int i = 0; i < KINDS; i++) {
        for (int j = 0; j < N; j++) {
            rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
            char at[40], line[100];
            char *report, *found;

            rn_go(want_under, rn_ctx_retain(ctx), &m[i][j]);
            snprintf(at, sizeof(at), " on %p", (void *)&m[i][j]);
            report = said_with(at);
            found = strstr(report, at);
            snprintf(line, sizeof(line), "%s, locked by goroutine %llu\n", at,
                     (unsigned long long)who[i][j]);
            if (strncmp(found, line, strlen(line)) != 0) {
                CHECK(!kind[i].known);
                CHECK_EQ(found[strlen(at)], '\n'); /* nothing is said */
            }
            free(report);
            rn_ctx_end(ctx);
            AWAIT(rn_count() == KINDS * N + 1);
        }
    }
    open_gate();
}

/* Those who wait at one place for several locks are one entry, in which each has its lock. */
GO_TEST_PROCS(several_locks_in_one_entry, 1)
{
    char text[200], *report;

    take_by(hold_mutex, 1);
    rn_mutex_lock(&other_mu);
    for (int i = 0; i < 2; i++)
        start_want(i ? &other_mu : &mu);
    report = said_with("2 alike:\n   not all on the same\n");
    snprintf(text, sizeof(text), "\n    goroutine 3 on %p, locked by goroutine 2 \"holder\"\n",
             (void *)&mu);
    has(report, text);
    snprintf(text, sizeof(text), "\n    goroutine 4 on %p, locked by goroutine 1\n",
             (void *)&other_mu);
    has(report, text);
    free(report);
    rn_mutex_unlock(&other_mu);
    for (int i = 0; i < 12; i++)
        start_want(&mu);
    report = said_with("12 alike:\n");
    snprintf(text, sizeof(text), " on %p, locked by goroutine 2 \"holder\"\n", (void *)&mu);
    has(report, text);
    has_not(report, "not all on the same");
    free(report);
    open_gate();
}

/* While locks go from hand to hand reports are made: whoever is named did lock it, and is one of those. */
static void lock_now_and_then(_Atomic int *stop)
{
    while (!*stop) {
        rn_mutex_lock(&mu);
        rn_yield();
        rn_mutex_unlock(&mu);
        rn_rwmutex_lock(&rw);
        rn_yield();
        rn_rwmutex_unlock(&rw);
    }
}
GO_TEST(while_locks_change_hands)
{
    static _Atomic int stop;

    for (int i = 0; i < 8; i++)
        rn_go(lock_now_and_then, &stop);
    for (int i = 0; i < test_times(300); i++) {
        char *report = said_by(dump);

        /* A waiter is in the queue while its lock's holder is looked for, and each waits for one lock only. */
        has_not(report, "locked by itself");
        has_not(report, "has ended");
        has_not(report, "locked by goroutine 1\n");
        has_not(report, "circle");
        free(report);
        rn_yield();
    }
    stop = 1;
    test_expect_settled(__FILE__, __LINE__);
}

/* ---- Circles ------------------------------------------------------------------------------------------------ */

static rn_mutex ring[40];
static int ring_size;
static rn_ctx *ring_ctx; /* if not NULL, the last waits under it */
static rn_wg all_have;

/* The first one's lock is unlocked by another, to end it: that is allowed. */
static void take_two(int i)
{
    rn_mutex *next = &ring[(i + 1) % ring_size];

    rn_mutex_lock(&ring[i]);
    rn_wg_done(&all_have);
    rn_wg_wait(&all_have);
    if (ring_ctx && i == ring_size - 1) {
        CHECK_EQ(rn_mutex_lock_ctx(ring_ctx, next), 0);
    } else {
        rn_mutex_lock(next);
    }
    rn_mutex_unlock(next);
    if (i != 0)
        rn_mutex_unlock(&ring[i]);
}
/* One place that starts them, into whatever a compiler unrolls the loop: they are alike then. */
static __attribute__((noinline)) void start_one(int i)
{
    rn_go(take_two, i);
}
static void start_ring(int n)
{
    ring_size = n;
    rn_wg_add(&all_have, n);
    for (int i = 0; i < n; i++)
        start_one(i);
}
static void end_ring(void)
{
    rn_mutex_unlock(&ring[0]);
    test_expect_settled(__FILE__, __LINE__);
}

GO_TEST_PROCS(a_circle_in_the_dump, 1)
{
    char text[300];

    start_ring(3);
    snprintf(text, sizeof(text),
             "\nlocked in a circle:\n"
             "  goroutine 2 waits for %p, locked by goroutine 3\n"
             "  goroutine 3 waits for %p, locked by goroutine 4\n"
             "  goroutine 4 waits for %p, locked by goroutine 2\n",
             (void *)&ring[1], (void *)&ring[2], (void *)&ring[0]);
    free(said_with(text));
    end_ring();
}

/* The end of the context would end it. */
GO_TEST_PROCS(no_circle_if_a_context_may_end_it, 1)
{
    char *report;

    ring_ctx = rn_ctx_with_cancel(rn_ctx_background());
    start_ring(3);
    says(" on %p, locked by goroutine 3\n", &ring[1]);
    says(" on %p, locked by goroutine 4\n", &ring[2]);
    says("goroutine 4 [sync.Mutex.Lock]:\n  on %p, locked by goroutine 2\n", &ring[0]);
    report = said_by(dump);
    has_not(report, "circle");
    free(report);
    end_ring();
    rn_ctx_end(ring_ctx);
}

/* A reader that waits for a writer, which waits for the reader's mutex. */
static void write_then_mutex(void)
{
    rn_rwmutex_lock(&rw);
    rn_wg_done(&all_have);
    rn_wg_wait(&all_have);
    rn_mutex_lock(&mu);
    rn_mutex_unlock(&mu);
    rn_rwmutex_unlock(&rw);
}
static void mutex_then_read(void)
{
    rn_mutex_lock(&mu);
    rn_wg_done(&all_have);
    rn_wg_wait(&all_have);
    rn_rwmutex_rlock(&rw);
    rn_rwmutex_runlock(&rw);
}
GO_TEST_PROCS(a_circle_of_both_kinds, 1)
{
    char text[300];

    rn_wg_add(&all_have, 2);
    rn_go_with(RN_ATTR(.name = "writer"), write_then_mutex);
    rn_go_with(RN_ATTR(.name = "reader"), mutex_then_read);
    snprintf(text, sizeof(text),
             "\nlocked in a circle:\n"
             "  goroutine 2 \"writer\" waits for %p, locked by goroutine 3 \"reader\"\n"
             "  goroutine 3 \"reader\" waits for %p, locked by goroutine 2 \"writer\"\n",
             (void *)&mu, (void *)&rw);
    free(said_with(text));
    rn_mutex_unlock(&mu);
    test_expect_settled(__FILE__, __LINE__);
}

/* More than are looked at are said to wait, each, and that is all. */
GO_TEST_PROCS(a_circle_too_large, 1)
{
    char *report;

    start_ring(40);
    says("\n    goroutine 2 on %p, locked by goroutine 3\n", &ring[1]);
    report = said_with("40 alike:\n");
    has_not(report, "circle");
    has(report, "\n    ...\n");
    free(report);
    end_ring();
}

/* ---- RUNNEL_LOCKS ------------------------------------------------------------------------------------------- */

static const char *ask;
static int (*body)(void);
static void run_asked(void)
{
    CHECK_EQ(setenv("RUNNEL_LOCKS", ask, 1), 0);
    exit(rn_run(body));
}
static struct child with_locks(const char *value, int (*fn)(void))
{
    ask = value;
    body = fn;
    return run_child(run_asked);
}

enum { ROUNDS = 200 };
static int many_rings(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        start_ring(2);
        free(said_with("locked in a circle:\n"));
        end_ring();
    }
    return 0;
}
/* One of two that close the circle, perhaps at the same time, reports it. */
PLAIN_TEST(each_circle_is_reported_once)
{
    struct child c = with_locks("1", many_rings);

    CHECK_EXIT(&c, 0);
    CHECK_EQ(times_in(c.said, "runnel: locked in a circle:\n  goroutine "), ROUNDS);
    begins(c.said, "runnel: locked in a circle:\n  goroutine ");
    has(c.said, " waits for 0x");
    has(c.said, " [sync.Mutex.Lock]:\n\t");
    has(c.said, " [sync.Mutex.Lock]:\n  for ");
    free(c.said);
    c = with_locks("0", many_rings);
    CHECK_EXIT(&c, 0);
    CHECK_STR(c.said, "");
    free(c.said);
}

static void lock_twice(void)
{
    rn_mutex_lock(&mu);
    rn_mutex_lock(&mu);
    rn_mutex_unlock(&mu);
}
static int one_locks_twice(void)
{
    rn_go(lock_twice);
    free(said_with("locked in a circle:\n"));
    rn_mutex_unlock(&mu);
    test_expect_settled(__FILE__, __LINE__);
    return 3;
}
PLAIN_TEST(locked_twice)
{
    struct child c = with_locks("1", one_locks_twice);

    CHECK_EXIT(&c, 3);
    begins(c.said, "runnel: locked in a circle:\n  goroutine 2 waits for 0x");
    has(c.said, ", locked by itself\n\ngoroutine 2 [sync.Mutex.Lock]:\n\t");
    CHECK_EQ(times_in(c.said, "circle"), 1);
    free(c.said);
    c = with_locks("fatal", one_locks_twice);
    CHECK_EXIT(&c, 2);
    begins(c.said, "fatal error: locked in a circle:\n  goroutine 2 waits for 0x");
    has(c.said, ", locked by itself\n\ngoroutine 2 [sync.Mutex.Lock]:\n\t");
    free(c.said);
}

/* A reader that locks once more behind a writer, for reading or for writing, waits for itself. */
static void read_twice(void)
{
    rn_rwmutex_rlock(&rw);
    rn_go(want_rw);
    while (rn_rwmutex_try_rlock(&rw)) { /* until the writer waits */
        rn_rwmutex_runlock(&rw);
        rn_yield();
    }
    rn_rwmutex_rlock(&rw);
    rn_rwmutex_runlock(&rw);
}
static void read_then_write(void)
{
    CHECK(rn_rwmutex_try_rlock(&rw));
    rn_rwmutex_lock(&rw);
    rn_rwmutex_unlock(&rw);
}
static int one_reads_twice(void)
{
    rn_go_with(RN_ATTR(.name = "reader"), read_twice);
    free(said_with("[sync.RWMutex.RLock]:\n"));
    rn_rwmutex_runlock(&rw); /* the first one's, which is allowed */
    test_expect_settled(__FILE__, __LINE__);
    return 3;
}
static int one_reads_then_writes(void)
{
    rn_go(read_then_write);
    free(said_with("[sync.RWMutex.Lock]:\n"));
    rn_rwmutex_runlock(&rw);
    test_expect_settled(__FILE__, __LINE__);
    return 3;
}
PLAIN_TEST(readers_that_wait_for_themselves)
{
    struct child c = with_locks("1", one_reads_twice);

    CHECK_EXIT(&c, 3);
    begins(c.said, "runnel: locked in a circle:\n  goroutine 2 \"reader\" waits for 0x");
    has(c.said, ", locked for reading by itself, for a writer that waits for its unlock\n\n"
                "goroutine 2 \"reader\" [sync.RWMutex.RLock]:\n\t");
    CHECK_EQ(times_in(c.said, "circle"), 1);
    free(c.said);
    c = with_locks("1", one_reads_then_writes);
    CHECK_EXIT(&c, 3);
    has(c.said, ", locked for reading by itself\n\ngoroutine 2 [sync.RWMutex.Lock]:\n\t");
    free(c.said);
    c = with_locks("fatal", one_reads_twice);
    CHECK_EXIT(&c, 2);
    free(c.said);
}

/* Each run is asked anew. */
static int nothing_to_do(void)
{
    return 0;
}
static int one_read_twice_unseen(void)
{
    rn_go(lock_twice);
    rn_go(read_then_write);
    free(said_with("[sync.Mutex.Lock]:\n"));
    free(said_with("[sync.RWMutex.Lock]:\n"));
    rn_mutex_unlock(&mu);
    rn_rwmutex_runlock(&rw);
    test_expect_settled(__FILE__, __LINE__);
    return 3;
}
static void run_asked_then_not(void)
{
    CHECK_EQ(setenv("RUNNEL_LOCKS", "1", 1), 0);
    CHECK_EQ(rn_run(nothing_to_do), 0);
    CHECK_EQ(unsetenv("RUNNEL_LOCKS"), 0);
    exit(rn_run(one_read_twice_unseen));
}
PLAIN_TEST(each_run_is_asked_anew)
{
    struct child c = run_child(run_asked_then_not);

    CHECK_EXIT(&c, 3);
    CHECK_STR(c.said, "");
    free(c.said);
}

/* One of several readers waits for the mutex of one who waits to write, or to read behind a writer. */
static int stuck_reader; /* 0 to 2 */
static void read_then_mutex(int i)
{
    rn_rwmutex_rlock(&rw);
    rn_wg_done(&all_have);
    rn_wg_wait(&all_have);
    if (i == stuck_reader) {
        rn_mutex_lock(&mu);
        rn_mutex_unlock(&mu);
    } else {
        (void)rn_recv(gate);
    }
    rn_rwmutex_runlock(&rw);
}
static void mutex_then_write(void)
{
    rn_mutex_lock(&mu);
    rn_wg_done(&all_have);
    rn_wg_wait(&all_have);
    rn_rwmutex_lock(&rw);
    rn_rwmutex_unlock(&rw);
}
static void mutex_then_read_behind(void)
{
    rn_mutex_lock(&mu);
    rn_wg_done(&all_have);
    rn_wg_wait(&all_have);
    rn_go(want_rw);
    while (rn_rwmutex_try_rlock(&rw)) { /* until the writer waits */
        rn_rwmutex_runlock(&rw);
        rn_yield();
    }
    rn_rwmutex_rlock(&rw);
    rn_rwmutex_runlock(&rw);
}
static void (*last)(void);
static int several_read(void)
{
    gate = rn_chan_make(int, 0);
    rn_wg_add(&all_have, 4);
    rn_go_with(RN_ATTR(.name = "last"), last);
    for (volatile int i = 0; i < 3; i++)
        rn_go(read_then_mutex, i);
    free(said_with(last == mutex_then_write
                       ? "locked in a circle:\n  goroutine 2 \"last\" waits for "
                       : "for a writer that waits for its unlock\n"));
    rn_mutex_unlock(&mu); /* for the one that has it, which is allowed */
    open_gate();
    return 3;
}
PLAIN_TEST(a_circle_through_one_of_several_readers)
{
    char text[300];
    struct child c;

    last = mutex_then_write;
    for (stuck_reader = 0; stuck_reader < 3; stuck_reader++) {
        c = with_locks("1", several_read);
        CHECK_EXIT(&c, 3);
        CHECK_EQ(times_in(c.said, "circle"), 1);
        snprintf(text, sizeof(text),
                 "  goroutine 2 \"last\" waits for %p, locked for reading by goroutine %d\n",
                 (void *)&rw, stuck_reader + 3);
        has(c.said, text);
        has(c.said, ", locked by goroutine 2 \"last\"\n");
        has_not(c.said, "for a writer");
        free(c.said);
    }
    stuck_reader = 1;
    last = mutex_then_read_behind;
    c = with_locks("1", several_read);
    CHECK_EXIT(&c, 3);
    CHECK_EQ(times_in(c.said, "circle"), 1);
    has(c.said, ", for a writer that waits for its unlock\n");
    has(c.said, ", locked by goroutine 2 \"last\"\n");
    free(c.said);
}

/* The same, but each reader waits for what comes: nobody is accused, and nobody who has read before. */
static void read_and_wait(int i)
{
    rn_rwmutex_rlock(&rw);
    rn_rwmutex_runlock(&rw);
    if (i == 1) { /* it has been a reader */
        rn_wg_done(&all_have);
        rn_wg_wait(&all_have);
        rn_mutex_lock(&mu);
        rn_mutex_unlock(&mu);
        return;
    }
    rn_rwmutex_rlock(&rw);
    rn_wg_done(&all_have);
    (void)rn_recv(gate);
    rn_rwmutex_runlock(&rw);
}
static void mutex_then_write_and_unlock(void)
{
    mutex_then_write();
    rn_mutex_unlock(&mu);
}
static int readers_wait(void)
{
    gate = rn_chan_make(int, 0);
    rn_wg_add(&all_have, 4);
    rn_go(mutex_then_write_and_unlock);
    for (volatile int i = 0; i < 3; i++)
        rn_go(read_and_wait, i);
    free(said_with(", locked by 2 readers\n"));
    free(said_with(", locked by goroutine 2\n"));
    {
        char *report = said_by(dump);

        has_not(report, "circle");
        free(report);
    }
    open_gate();
    return 0;
}
PLAIN_TEST(no_circle_through_readers_that_go_on)
{
    struct child c = with_locks("fatal", readers_wait);

    CHECK_EXIT(&c, 0);
    CHECK_STR(c.said, "");
    free(c.said);
}

/* ---- Plain threads ------------------------------------------------------------------------------------------ */

/* A thread has one and wants the other, of a goroutine or of another thread. */
static pthread_barrier_t both_have;
static void *cross_on_thread(void *arg)
{
    int i = *(int *)arg;

    rn_mutex_lock(&ring[i]);
    pthread_barrier_wait(&both_have);
    rn_mutex_lock(&ring[1 - i]);
    rn_mutex_unlock(&ring[1 - i]);
    if (i == 1)
        rn_mutex_unlock(&ring[1]);
    return NULL;
}
static void cross_in_goroutine(void)
{
    static int zero = 0;

    (void)cross_on_thread(&zero);
}
static int thread_and_goroutine(void)
{
    static int one = 1;
    pthread_t t;

    CHECK_EQ(pthread_barrier_init(&both_have, NULL, 2), 0);
    CHECK_EQ(pthread_create(&t, NULL, cross_on_thread, &one), 0);
    rn_go(cross_in_goroutine);
    free(said_with("locked in a circle:\n"));
    rn_mutex_unlock(&ring[0]);
    CHECK_EQ(rn_blocking(pthread_join(t, NULL)), 0);
    test_expect_settled(__FILE__, __LINE__);
    return 3;
}
PLAIN_TEST(a_circle_with_a_thread)
{
    struct child c = with_locks("1", thread_and_goroutine);
    char text[200];

    CHECK_EXIT(&c, 3);
    CHECK_EQ(times_in(c.said, "circle"), 1);
    snprintf(text, sizeof(text), "  goroutine 2 waits for %p, locked by thread ", (void *)&ring[1]);
    has(c.said, text);
    has(c.said, "  thread ");
    snprintf(text, sizeof(text), " waits for %p, locked by goroutine 2\n", (void *)&ring[0]);
    has(c.said, text);
    has(c.said, "\ngoroutine 2 [sync.Mutex.Lock]:\n");
    CHECK_EQ(times_in(c.said, "\nthread "), 1);
    has(c.said, " [sync.Mutex.Lock]:\n\t");
    free(c.said);
}

/* Without a goroutine among them there is no dump to look at: the report of the second is waited for. */
static int two_threads(void)
{
    static int numbers[] = {0, 1};
    pthread_t t[2];
    char said[4096] = "";
    int out[2], err = dup(2);
    ssize_t n = 0, got;

    CHECK(err >= 0 && pipe(out) == 0 && dup2(out[1], 2) == 2);
    CHECK_EQ(pthread_barrier_init(&both_have, NULL, 2), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, cross_on_thread, &numbers[i]), 0);
    while (times_in(said, " waits for ") < 2 && n < 4000) {
        got = read(out[0], said + n, sizeof(said) - 1 - (size_t)n);
        CHECK(got > 0);
        n += got;
    }
    CHECK_EQ(dup2(err, 2), 2);
    rn_mutex_unlock(&ring[0]);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_join(t[i], NULL), 0);
    begins(said, "runnel: locked in a circle:\n  thread ");
    CHECK_EQ(times_in(said, ", locked by thread "), 2);
    return 3;
}
PLAIN_TEST(a_circle_of_threads)
{
    struct child c = with_locks("1", two_threads);

    CHECK_EXIT(&c, 3);
    free(c.said);
}

/* Threads and goroutines, each in order, or each with one lock only. */
static void *lock_on_thread(void *arg)
{
    int n = *(int *)arg;

    for (int i = 0; i < n; i++) {
        rn_mutex_lock(&ring[0]);
        rn_yield();
        rn_mutex_lock(&ring[1]);
        rn_rwmutex_lock(&rw);
        rn_rwmutex_unlock(&rw);
        rn_mutex_unlock(&ring[0]);
        rn_mutex_unlock(&ring[1]);
        rn_mutex_lock(&ring[1]); /* while others have the first and want this */
        rn_yield();
        rn_mutex_unlock(&ring[1]);
    }
    return NULL;
}
static void lock_in_goroutine(int n)
{
    (void)lock_on_thread(&n);
}
static int threads_in_order(void)
{
    enum { THREADS = 4 };
    static int n;
    pthread_t t[THREADS];
    rn_wg wg = {0};

    n = test_times(1000);
    for (int round = 0; round < 3; round++) { /* later ones are on earlier ones' stacks */
        for (int i = 0; i < THREADS; i++)
            CHECK_EQ(pthread_create(&t[i], NULL, lock_on_thread, &n), 0);
        for (int i = 0; i < 4; i++)
            rn_wg_go(&wg, lock_in_goroutine, n);
        rn_wg_wait(&wg);
        for (int i = 0; i < THREADS; i++)
            CHECK_EQ(rn_blocking(pthread_join(t[i], NULL)), 0);
    }
    return 0;
}
PLAIN_TEST(threads_are_not_accused)
{
    struct child c = with_locks("fatal", threads_in_order);

    CHECK_EXIT(&c, 0);
    CHECK_STR(c.said, "");
    free(c.said);
}

/* Others' read locks, and those that were given back, are nobody's fault. */
static void read_twice_and_then_write(int n)
{
    for (int i = 0; i < n; i++) {
        rn_rwmutex_rlock(&rw);
        rn_yield();
        rn_rwmutex_runlock(&rw);
        if (rn_rwmutex_try_rlock(&rw))
            rn_rwmutex_runlock(&rw);
        rn_rwmutex_lock(&rw);
        rn_yield();
        rn_rwmutex_unlock(&rw);
    }
}
static int readers_in_order(void)
{
    rn_wg wg = {0};

    for (int i = 0; i < 10; i++)
        rn_wg_go(&wg, read_twice_and_then_write, test_times(1000));
    rn_wg_wait(&wg);
    return 0;
}
PLAIN_TEST(readers_are_not_accused)
{
    struct child c = with_locks("fatal", readers_in_order);

    CHECK_EXIT(&c, 0);
    CHECK_STR(c.said, "");
    free(c.said);
}

/* Locks in one order, however many wait: nothing is said. */
static void lock_in_order(int n)
{
    for (int i = 0; i < n; i++) {
        int a = i % 7, b = a + 1;

        rn_mutex_lock(&ring[a]);
        rn_yield();
        rn_mutex_lock(&ring[b]);
        rn_rwmutex_rlock(&rw);
        rn_rwmutex_runlock(&rw);
        rn_mutex_unlock(&ring[a]);
        rn_yield();
        if (i % 10 == 0) {
            rn_rwmutex_lock(&rw);
            rn_rwmutex_unlock(&rw);
        }
        rn_mutex_unlock(&ring[b]);
    }
}
static int all_in_order(void)
{
    rn_wg wg = {0};

    for (int i = 0; i < 10; i++)
        rn_wg_go(&wg, lock_in_order, test_times(2000));
    rn_wg_wait(&wg);
    return 0;
}
PLAIN_TEST(nobody_is_accused)
{
    struct child c = with_locks("fatal", all_in_order);

    CHECK_EXIT(&c, 0);
    CHECK_STR(c.said, "");
    free(c.said);
}
