/* SPDX-License-Identifier: MIT */
/*
 * slices.c - when the monitor asks, when it takes, when it polls, and when it knows nothing (decisions 12 and 13), to the
 * tick.
 *
 * The monitor's own source, with a clock that the tests turn, a word of theirs on who sleeps in the kernel and on how many
 * CPUs there are, and a wait between two looks that ends when they say so. So no test depends on how fast anything is.
 */
#define _GNU_SOURCE
#include "netpoll/netpoll.h"
#include "os/os.h"
#include "sched/rt.h"
#include "time/timer.h"

/* Unused where a fault in the source leaves out the only call: the test shall fail, not the compiler. */
static int64_t test_now(void) __attribute__((unused));
static void test_wait(uint32_t *word, uint32_t value, int64_t until) __attribute__((unused));
static bool test_sleeps(int tid) __attribute__((unused));
static bool test_fence_all(void) __attribute__((unused));
static int test_poll(void) __attribute__((unused));
static int test_cpus(void) __attribute__((unused));
static void test_wake_one(struct rt *rt) __attribute__((unused));
static void test_left_too_long(struct rt *rt) __attribute__((unused));

#define rn__os_now test_now
#define rn__os_futex_wait test_wait
#define rn__os_thread_sleeps test_sleeps
#define rn__os_fence_all test_fence_all
#define rn__netpoll_poll test_poll
#define rn__os_cpus test_cpus
#define rn__wake_one test_wake_one
#define rn__left_too_long test_left_too_long
#include "sched/monitor.c"
#undef rn__os_now
#undef rn__os_futex_wait
#undef rn__os_thread_sleeps
#undef rn__os_fence_all
#undef rn__netpoll_poll
#undef rn__os_cpus
#undef rn__wake_one
#undef rn__left_too_long

#include "support.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

static const int64_t ms = 1000000;

static _Atomic int64_t clock_ns = 1000000000; /* stands still unless turned */
static _Atomic bool gated;                    /* the monitor looks when it is told to */
static _Atomic bool asleep;                   /* all threads are */
static _Atomic uint64_t waits, goes; /* the monitor's waits so far; the last that may end */
static _Atomic bool held;            /* the monitor is at the gate */

static int64_t test_now(void)
{
    return clock_ns;
}

static _Atomic bool enter;
static _Atomic int fences, polls, cpus, looks_at_cpus, wakes, reproaches, asks;
static _Atomic int64_t wanted; /* when the monitor wants to look next */

/* The monitor asks between its two looks at the entry. */
static bool test_sleeps(int tid)
{
    (void)tid;
    asks++;
    while (enter)
        rn__os_thread_yield();
    return asleep;
}

static bool test_fence_all(void)
{
    fences++;
    return rn__os_fence_all();
}

static int test_poll(void)
{
    polls++;
    return rn__netpoll_poll();
}

static int test_cpus(void)
{
    looks_at_cpus++;
    return cpus;
}

static void test_wake_one(struct rt *rt)
{
    wakes++;
    rn__wake_one(rt);
}

static void test_left_too_long(struct rt *rt)
{
    reproaches++;
    rn__left_too_long(rt);
}

static void test_wait(uint32_t *word, uint32_t value, int64_t until)
{
    uint64_t mine = ++waits;

    wanted = until;
    if (!gated)
        rn__os_futex_wait(word, value, rn__os_now() + ms); /* until is of another clock */
    while (gated && goes < mine) {
        held = true;
        rn__os_thread_sleep(100000);
    }
    held = false;
}

/* From now on there is a look only at each look(). No call of the library between the two: it would be an entry. */
static void gate(void)
{
    gated = true;
    while (!held)
        ;
}

static void ungate(void)
{
    gated = false;
    while (held)
        ;
}

static void entry_and_back(void)
{
    struct worker *w = worker_self();

    rt_enter(w);
    rt_leave(w);
}

/* The clock goes on by ns, and the monitor looks once. */
static void look_after(int64_t ns)
{
    uint64_t at = waits;

    clock_ns += ns;
    goes = at;
    while (waits == at || !held)
        ;
}

static bool mine(void)
{
    return worker_self()->proc != NULL;
}

static bool asked(void)
{
    return load_relaxed(&worker_self()->attention) & ATTEND_YIELD;
}

static void set(_Atomic int *flag)
{
    *flag = 1;
}

/* D12: who computes keeps its processor as long as nobody waits for it. */
GO_TEST_PROCS(d12_who_computes_alone_keeps_its_processor, 1)
{
    gate();
    for (int i = 0; i < 100; i++) {
        look_after(ms);
        CHECK(mine() && !asked());
    }
    ungate();
}

/* D12: and if somebody does, for a slice. */
GO_TEST_PROCS(d12_who_computes_is_taken_from_after_a_slice, 1)
{
    _Atomic int flag = 0;

    rn_go(set, &flag);
    gate();
    look_after(0);
    for (int i = 0; i < 10; i++) {
        CHECK(mine());
        look_after(ms);
    }
    CHECK(!mine());
    while (!flag)
        ;
    ungate();
}

/* D12: who then starts goroutines waits for a processor first, on its thread; the ones before it have their turn. */
GO_TEST_PROCS(d12_who_starts_goroutines_without_a_processor_waits_for_one, 1)
{
    const struct worker *w = worker_self();
    _Atomic int flag = 0, later = 0;

    rn_go(set, &flag);
    gate();
    for (int i = 0; i < 11; i++)
        look_after(i > 0 ? ms : 0);
    CHECK(!mine());
    errno = 4711;
    rn_go(set, &later);
    CHECK_EQ(errno, 4711);
    CHECK(mine() && !asked() && worker_self() == w);
    CHECK_EQ(flag, 1);
    CHECK_EQ(later, 0);
    ungate();
    while (!later)
        rn_yield();
}

/* But not in a call that has lent it. */
static int start_one(_Atomic int *flag)
{
    CHECK(!mine());
    rn_go(set, flag);
    CHECK(!mine());
    return 0;
}

GO_TEST_PROCS(d35_who_starts_goroutines_in_a_call_that_lends_does_not_wait, 1)
{
    _Atomic int flag = 0;

    CHECK_EQ(rn_blocking(start_one(&flag)), 0);
    while (!flag)
        rn_yield();
}

/* D12: a monitor that has slept for far longer than it wanted to was stopped together with all others: what it saw
 * before says nothing, and it begins anew. */
GO_TEST_PROCS(d12_a_monitor_that_woke_late_takes_nothing, 1)
{
    _Atomic int flag = 0;

    rn_go(set, &flag);
    gate();
    look_after(0);
    look_after(5 * ms);
    CHECK(mine());
    look_after(1000 * ms);
    CHECK(mine());
    for (int i = 0; i < 9; i++) {
        look_after(ms);
        CHECK(mine());
    }
    look_after(ms);
    CHECK(!mine());
    while (!flag)
        ;
    ungate();
}

/* D12: and asks nobody to yield. */
GO_TEST_PROCS(d12_a_monitor_that_woke_late_asks_nobody, 1)
{
    _Atomic int flag = 0;

    rn_go(set, &flag);
    gate();
    look_after(0);
    entry_and_back();
    look_after(1000 * ms);
    CHECK(mine() && !asked());
    for (int i = 0; i < 9; i++) {
        entry_and_back();
        look_after(ms);
        CHECK(mine() && !asked());
    }
    entry_and_back();
    look_after(ms);
    CHECK(mine() && asked());
    ungate();
}

/* D12: who enters between any two looks is asked to yield after a slice, and taken from after the second. */
GO_TEST_PROCS(d12_who_enters_is_asked_after_one_slice_and_taken_from_after_two, 1)
{
    _Atomic int flag = 0;

    rn_go(set, &flag);
    gate();
    look_after(0);
    for (int i = 1; i <= 20; i++) {
        CHECK(mine());
        CHECK_EQ(asked(), i > 10);
        entry_and_back();
        look_after(ms);
    }
    CHECK(!mine());
    while (!flag)
        ;
    ungate();
}

/* D12: who sleeps in the kernel is taken from at the second look, and who does so between entries is not. */
GO_TEST_PROCS(d12_who_sleeps_is_taken_from_at_once, 1)
{
    _Atomic int flag = 0;

    asleep = true;
    rn_go(set, &flag);
    gate();
    look_after(0);
    for (int i = 0; i < 5; i++) {
        entry_and_back();
        look_after(0);
        CHECK(mine());
    }
    look_after(0);
    CHECK(!mine() && (fences > 0 || worker_self()->rt->fences)); /* M6, the fence, M7 */
    while (!flag)
        ;
    asleep = false;
    ungate();
}

/* What the kernel does for a thread is dear to ask: of one that computes it is asked again when that has gone on for twice as
 * long. */
GO_TEST_PROCS(who_computes_is_asked_about_ever_less, 1)
{
    static const int expected[] = {0, 1, 2, 2, 3, 3, 3, 3, 4, 4};
    _Atomic int flag = 0;

    rn_go(set, &flag);
    gate();
    look_after(0);
    asks = 0;
    for (int i = 1; i < 10; i++) {
        look_after(ms);
        CHECK_EQ(asks, expected[i]);
    }
    CHECK(mine());
    look_after(ms);
    CHECK_EQ(asks, 4); /* the slice is over, whatever it does */
    CHECK(!mine());
    while (!flag)
        ;
    ungate();
}

/* One that sleeps then is taken from no later than it had computed, and at the second look after it was inside. */
GO_TEST_PROCS(who_computed_and_sleeps_is_taken_from_in_time, 1)
{
    for (int entries = 0; entries < 2; entries++) {
        _Atomic int flag = 0;

        rn_go(set, &flag);
        gate();
        look_after(0);
        for (int i = 0; i < 4; i++)
            look_after(ms);
        asleep = true;
        if (entries)
            entry_and_back();
        for (int i = 5; i < (entries ? 6 : 8); i++) {
            look_after(ms);
            CHECK(mine());
        }
        look_after(ms);
        CHECK(!mine());
        asleep = false;
        while (!flag)
            ;
        ungate();
        rn_yield(); /* has a processor again */
    }
}

/* However calm it is, the monitor comes when a slice is over. */
GO_TEST_PROCS(who_computes_is_looked_at_when_its_slice_ends, 1)
{
    _Atomic int flag = 0;
    int64_t start;

    rn_go(set, &flag);
    gate();
    look_after(0);
    start = clock_ns;
    for (unsigned i = 0; i <= LIVELY_AFTER; i++)
        look_after(0);
    look_after(calm_ns);
    CHECK_EQ(wanted, start + 2 * calm_ns);
    look_after(6 * ms);
    CHECK_EQ(wanted, start + slice_ns);
    CHECK(mine());
    look_after(slice_ns - calm_ns - 6 * ms);
    CHECK(!mine());
    while (!flag)
        ;
    ungate();
}

/* D12: under Valgrind, which runs one thread at a time, slices are fifty times as long, and who sleeps says nothing. */
GO_TEST_PROCS(d12_slices_scale_under_valgrind, 1)
{
    uint32_t tools = rn__tools;
    _Atomic int flag = 0;

    asleep = true;
    rn_go(set, &flag);
    gate();
    rn__tools |= TOOL_VALGRIND;
    look_after(0);
    for (int i = 0; i < 50; i++) {
        CHECK(mine());
        look_after(10 * ms);
    }
    CHECK(!mine());
    while (!flag)
        ;
    asleep = false;
    rn__tools = tools;
    ungate();
}

/* D10: whoever is inside the runtime keeps its processor, however long that is. */
GO_TEST_PROCS(d10_nothing_is_taken_inside_an_entry, 1)
{
    struct worker *w = worker_self();
    _Atomic int flag = 0;

    rn_go(set, &flag);
    gate();
    rt_enter(w);
    for (int i = 0; i < 50; i++) {
        look_after(ms);
        CHECK(mine());
    }
    rt_leave(w);
    look_after(ms);
    CHECK(!mine());
    while (!flag)
        ;
    ungate();
}

/* D10: nor is it taken from one that was inside between the monitor's two looks. */
GO_TEST_PROCS(d10_nothing_is_taken_after_an_entry_between_the_looks, 1)
{
    _Atomic int flag = 0;

    asleep = true;
    rn_go(set, &flag);
    gate();
    for (int i = 0; i < 5; i++) {
        uint64_t at;

        look_after(0);
        at = waits;
        asks = 0;
        enter = true;
        goes = at;
        while (!asks)
            ;
        entry_and_back();
        enter = false;
        while (waits == at || !held)
            ;
        CHECK(mine());
    }
    asleep = false;
    ungate();
}

enum { PROCS = 2, LOOPS = 8, TICKS = 200, SLICE = 10 };

static void loop(_Atomic int *begun, _Atomic bool *end)
{
    ++*begun;
    while (!*end)
        ;
}

/* From a plain thread: it waits in the global queue, for any holder. */
static void *go_from_outside(void *flag)
{
    rn_go(set, flag);
    return NULL;
}

static void go_by_the_global_queue(_Atomic int *flag)
{
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, go_from_outside, (void *)flag), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* D12: of two that sleep both are taken from at one look, after one fence. */
GO_TEST_PROCS(d12_one_fence_for_all_that_are_taken_from, PROCS)
{
    struct rt *rt = worker_self()->rt;
    _Atomic int begun = 0, flag = 0;
    _Atomic bool end = false;
    int before;
    rn_wg wg = {0};

    rn_wg_go(&wg, loop, &begun, &end);
    while (begun < 1) /* the second processor has come for it */
        ;
    gate();
    go_by_the_global_queue(&flag);
    look_after(0);
    asleep = true;
    before = fences;
    look_after(0);
    CHECK(!mine());
    CHECK_EQ(load_relaxed(&rt->blocked), 2);
    CHECK_EQ(fences - before, rt->fences ? 0 : 1);
    end = true;
    while (!flag)
        ;
    asleep = false;
    ungate();
    rn_wg_wait(&wg);
}

/* D13: of all that compute, at most as many as there are processors go on beside them in each slice. */
GO_TEST_PROCS(d13_no_more_go_on_without_a_processor_per_slice, PROCS)
{
    struct rt *rt = worker_self()->rt;
    uint32_t without[TICKS];
    _Atomic int begun = 0;
    _Atomic bool end = false;
    rn_wg wg = {0};

    for (int i = 0; i < LOOPS; i++)
        rn_wg_go(&wg, loop, &begun, &end);
    while (begun < 1) /* the second processor has come for one */
        ;
    gate();
    for (int t = 0; t < TICKS; t++) {
        look_after(ms);
        without[t] = load_relaxed(&rt->blocked);
        CHECK(t < SLICE || without[t] - without[t - SLICE] <= PROCS);
        /* Each processor that was taken goes to the next; of two at once the monitor wakes one now, one at its next look. */
        while (begun < LOOPS && (uint32_t)begun < 1 + without[t])
            look_after(0);
    }
    CHECK_EQ(begun, LOOPS);
    end = true;
    ungate();
    rn_wg_wait(&wg);
}

/* ---- Sharing is tried again ------------------------------------------------------------------------- */

/* A processor whose tasks are not shared, since that did not pay: the monitor has it tried after 1, 2, 4 looks and so on
 * at which work waits, and begins anew when it paid. */
PLAIN_TEST(sharing_is_tried_again)
{
    static struct proc p;
    static struct rt r;
    static struct g g[2];
    static const unsigned after[] = {1, 2, 4, 8, 16, 32, 32};

    r.idle_procs = 1;
    CHECK(runq_push(&p.ready, task_of_g(&g[0])));
    for (unsigned looks = 0; looks < 100; looks++) /* one task is its holder's business */
        CHECK(!try_sharing(&r, &p, 1000, ms));
    CHECK(runq_push(&p.ready, task_of_g(&g[1])));
    CHECK(!try_sharing(&r, &p, 1000, ms)); /* it is shared */
    for (int anew = 0; anew < 2; anew++) {
        p.unpaid = UNPAID_MAX;
        for (size_t i = 0; i < sizeof after / sizeof *after; i++) {
            if (after[i] > 1) {
                CHECK(try_sharing(&r, &p, 1000, 2 * ms)); /* they last by now */
                CHECK_EQ(p.unpaid, UNPAID_MAX - 1);
                p.unpaid = UNPAID_MAX;
            }
            for (unsigned looks = 1; looks < after[i]; looks++)
                CHECK(!try_sharing(&r, &p, 1000, ms));
            CHECK(try_sharing(&r, &p, 1000, ms));
            CHECK_EQ(p.unpaid, UNPAID_MAX - 1);
            CHECK(!try_sharing(&r, &p, 1000, ms)); /* until that theft has ended */
            p.unpaid = UNPAID_MAX;
        }
        r.idle_procs = 0;
        CHECK(!try_sharing(&r, &p, 1000, ms)); /* nobody could come */
        r.idle_procs = 1;
        p.unpaid = 0;
        CHECK(!try_sharing(&r, &p, 1000, ms));
    }
}

/* ---- Calls of rn_blocking where calls are short, which keep the processor (D35) --------------------------------------- */

static int (*volatile what)(void); /* volatile: compilers would make a place of its own for each */

/* One place in the program. */
static __attribute__((noinline)) int call_there(void)
{
    int (*f)(void) = what;

    return rn_blocking(f());
}
static int call(int (*f)(void))
{
    what = f;
    return call_there();
}

static int kept(void)
{
    return mine();
}

static void make_short_calls(void)
{
    while (!call(kept))
        ;
}

static _Atomic int other_kept; /* -1: it has not called yet */

static void other(void)
{
    other_kept = call(kept);
}

static int sleep_until_other_has_called(void)
{
    look_after(0);
    CHECK(mine());
    asleep = true;
    look_after(0);
    CHECK(!mine());
    asleep = false;
    while (other_kept < 0)
        ;
    return 0;
}

/* D35: the first call that sleeps costs its processor at the second look; whoever calls there next, while it still sleeps,
 * lends. */
GO_TEST_PROCS(d35_one_call_that_sleeps_is_enough, 1)
{
    make_short_calls();
    other_kept = -1;
    rn_go(other);
    gate();
    CHECK_EQ(call(sleep_until_other_has_called), 0);
    CHECK_EQ(other_kept, 0);
    CHECK_EQ(call(kept), 0);
    ungate();
}

static int compute_until_other_has_called(void)
{
    look_after(0);
    for (int i = 0; i < SLICE; i++) {
        CHECK(mine());
        look_after(ms);
    }
    CHECK(!mine());
    while (other_kept < 0)
        ;
    return 0;
}

/* D35: and one that computes has a slice, and no more. */
GO_TEST_PROCS(d35_a_call_that_computes_has_a_slice, 1)
{
    make_short_calls();
    other_kept = -1;
    rn_go(other);
    gate();
    CHECK_EQ(call(compute_until_other_has_called), 0);
    CHECK_EQ(other_kept, 0);
    ungate();
}

/* D35: short calls one after another have a slice altogether. */
GO_TEST_PROCS(d35_a_loop_of_short_calls_has_a_slice, 1)
{
    _Atomic int flag = 0;

    make_short_calls();
    rn_go(set, &flag);
    gate();
    look_after(0);
    for (int i = 0; i < SLICE; i++) {
        CHECK(!asked());
        CHECK_EQ(call(kept), 1);
        CHECK_EQ(flag, 0);
        look_after(ms);
    }
    CHECK(mine() && asked());
    CHECK_EQ(call(kept), 0);
    CHECK_EQ(flag, 1); /* who waited came first */
    CHECK(!asked());
    make_short_calls(); /* waking a thread may have taken long */
    ungate();
}

static int takes_long(void)
{
    int64_t start = rn__os_now();

    while (rn__os_now() - start < ms)
        ;
    return 0;
}

/* D35: and calls that are not short any more lend, although nothing was taken: of eight one is timed. */
GO_TEST_PROCS(d35_calls_that_become_long_lend, 1)
{
    make_short_calls();
    gate();
    for (int i = 0; i < 8; i++)
        CHECK_EQ(call(takes_long), 0);
    CHECK_EQ(call(kept), 0);
    ungate();
}

/* ---- Polling: for whoever waits for a descriptor where no holder and nobody idle looks -------------------------------- */

struct waiting {
    int fds[2];
    _Atomic int flag;
    rn_wg wg;
};

static void await_pipe(struct waiting *w)
{
    char c;

    CHECK(rn_wait_fd(w->fds[0], RN_READ, NULL) > 0);
    CHECK_EQ(read(w->fds[0], &c, 1), 1);
    w->flag = 1;
}

/* Somebody waits for a descriptor; there is a keeper, or none. */
static void wait_begins(struct waiting *w, bool keeper)
{
    struct rt *rt = worker_self()->rt;

    CHECK_EQ(pipe(w->fds), 0);
    rn_wg_go(&w->wg, await_pipe, w);
    AWAIT(rn__netpoll_awaited());
    AWAIT((load_relaxed(&rt->keeper_until) != INT64_MIN) == keeper);
}

static void write_one(struct waiting *w)
{
    CHECK_EQ(write(w->fds[1], "x", 1), 1);
}

static void wait_ends(struct waiting *w)
{
    rn_wg_wait(&w->wg);
    rn_forget_fd(w->fds[0]);
    close(w->fds[0]);
    close(w->fds[1]);
}

/* While the only holder is in one task, the monitor polls at each look, and what it finds is run by another. */
GO_TEST_PROCS(poll_for_a_holder_that_does_not_pick, 1)
{
    struct waiting w = {0};
    int before;

    wait_begins(&w, false);
    gate();
    look_after(0);
    for (int i = 0; i < 20; i++) { /* nobody waits for the processor: it stays ours */
        before = polls;
        look_after(ms);
        CHECK_EQ(polls, before + 1);
        CHECK(mine());
    }
    write_one(&w);
    for (int i = 0; i < 12; i++)
        look_after(ms);
    CHECK(!mine());
    while (!w.flag)
        ;
    ungate();
    wait_ends(&w);
}

/* Who picks task after task polls in passing, and then the monitor need not. */
GO_TEST_PROCS(poll_not_for_a_holder_that_polls, 1)
{
    struct proc *p = worker_self()->proc;
    struct waiting w = {0};
    int before;

    wait_begins(&w, false);
    gate();
    look_after(0);
    before = polls;
    for (int i = 0; i < 50; i++) {
        uint32_t polled = load_relaxed(&p->polled);

        while (load_relaxed(&p->polled) == polled)
            rn_yield();
        look_after(ms);
        CHECK_EQ(polls, before);
    }
    ungate();
    write_one(&w);
    wait_ends(&w);
}

/* Who picks, but has not polled for a slice, is helped out: once in a slice. */
GO_TEST_PROCS(poll_once_in_a_slice_for_a_holder_that_picks_and_does_not_poll, 1)
{
    struct proc *p = worker_self()->proc;
    struct waiting w = {0};
    uint32_t polled;
    int before;

    wait_begins(&w, false);
    gate();
    for (polled = load_relaxed(&p->polled); load_relaxed(&p->polled) == polled;)
        rn_yield();
    polled = load_relaxed(&p->polled);
    look_after(0);
    before = polls;
    for (int i = 1; i < 3 * SLICE; i++) {
        p->backlog = UINT32_MAX; /* so many could run that it has no time to */
        rn_yield();
        look_after(ms);
        CHECK_EQ(load_relaxed(&p->polled), polled);
        CHECK_EQ(polls, before + i / SLICE);
    }
    p->backlog = 0;
    ungate();
    write_one(&w);
    wait_ends(&w);
}

/* While there is work in the global queue the monitor adds none to it. */
GO_TEST_PROCS(poll_not_while_the_global_queue_has_work, 1)
{
    struct waiting w = {0};
    _Atomic int flag = 0;
    int before;

    wait_begins(&w, false);
    gate();
    look_after(0);
    go_by_the_global_queue(&flag);
    before = polls;
    for (int i = 1; i < SLICE; i++) {
        look_after(ms);
        CHECK_EQ(polls, before);
    }
    while (mine())
        look_after(ms);
    while (!flag)
        ;
    ungate();
    write_one(&w);
    wait_ends(&w);
}

/* Where somebody idle sleeps until an edge comes the monitor does not poll, whatever the holders do. */
GO_TEST_PROCS(poll_not_beside_a_keeper, 2)
{
    struct waiting w = {0};
    int before;

    wait_begins(&w, true);
    gate();
    look_after(0);
    before = polls;
    for (int i = 0; i < 20; i++) {
        look_after(ms);
        CHECK_EQ(polls, before);
    }
    write_one(&w);
    while (!w.flag) /* the keeper comes for it */
        ;
    ungate();
    wait_ends(&w);
}

/* ---- Timers that are due while their processor's holder does not pick ------------------------------------------------ */

static _Atomic int fired;
static void fire(struct timer *t, int64_t when)
{
    (void)t;
    (void)when;
    fired++;
}

/* It is due, and nobody is told. */
static void due_untold(struct timer *t)
{
    bool was = false, first;

    *t = (struct timer){.kind = TIMER_BORROWED, .fire = fire};
    CHECK_EQ(rn__timer_set(t, now_ns(), 0, &was, &first), 0);
}

/* Who minds timers comes by himself. */
GO_TEST_PROCS(timers_not_beside_a_keeper, 2)
{
    struct waiting w = {0};
    struct timer t;
    int before;

    wait_begins(&w, true);
    gate();
    look_after(0);
    due_untold(&t);
    before = wakes;
    for (int i = 0; i < 10; i++)
        look_after(ms);
    CHECK_EQ(wakes, before);
    CHECK_EQ(reproaches, 0);
    CHECK(rn__timer_stop_sync(&t));
    ungate();
    write_one(&w);
    wait_ends(&w);
}

GO_TEST_PROCS(timers_that_nobody_minds, 2)
{
    struct timer t;

    CHECK_EQ(load_relaxed(&worker_self()->rt->keeper_until), INT64_MIN);
    gate();
    look_after(0);
    due_untold(&t);
    look_after(ms);
    look_after(ms);
    CHECK(wakes > 0 && reproaches > 0);
    while (!fired) /* by who was woken */
        ;
    ungate();
    (void)rn__timer_stop_sync(&t);
}

/* ---- The number of CPUs -------------------------------------------------------------------------------------------- */

static int follow(void)
{
    struct rt *rt = worker_self()->rt;
    int before = rn_procs();

    cpus = before;
    gate();
    look_after(2000 * ms);
    for (int want = 1; want <= before + 1; want++) {
        int looked = looks_at_cpus, least = want < (int)rt->room ? want : (int)rt->room;
        int was = rn_procs();

        cpus = want;
        for (int i = 0; i < 10; i++) {
            look_after(99 * ms);
            CHECK_EQ(rn_procs(), was);
        }
        CHECK_EQ(looks_at_cpus, looked); /* once a second is often enough */
        look_after(99 * ms);
        CHECK_EQ(looks_at_cpus, looked + 1);
        CHECK_EQ(rn_procs(), least);
    }
    ungate();
    return 0;
}

/* The monitor asks once a second, and no number goes beyond the processors that there is room for. */
PLAIN_TEST(cpus_are_looked_at_once_a_second)
{
    unsetenv("RUNNEL_PROCS");
    if (rn_procs() < 2)
        test_skip("one CPU");
    CHECK_EQ(rn_run(follow), 0);
}

static int asked_for_two(void)
{
    cpus = 1;
    gate();
    for (int i = 0; i < 5; i++)
        look_after(1500 * ms);
    CHECK_EQ(looks_at_cpus, 0);
    CHECK_EQ(rn_procs(), 2);
    ungate();
    return 0;
}

/* Who said a number keeps it. */
PLAIN_TEST(cpus_are_not_looked_at_where_a_number_was_asked_for)
{
    CHECK_EQ(rn_set_procs(2), 0);
    CHECK_EQ(rn_run(asked_for_two), 0);
}

/* Begin with one CPU of several. */
static void begin_with_one(void)
{
    cpu_set_t all, one;

    unsetenv("RUNNEL_PROCS");
    CHECK_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
    if (CPU_COUNT(&all) < 2)
        test_skip("one CPU");
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    cpus = 1;
}

static int company_comes(void)
{
    _Atomic int flag = 0;

    CHECK_EQ(rn_procs(), 1);
    CHECK(worker_self()->proc->alone);
    gate();
    cpus = 2;
    look_after(1001 * ms);
    CHECK_EQ(rn_procs(), 2);
    CHECK(!worker_self()->proc->alone);
    rn_go(set, &flag);
    while (!flag) /* the second runs it: the monitor stands still */
        ;
    CHECK(mine());
    ungate();
    return 0;
}

/* Who begins with one CPU and may use more later does so. */
PLAIN_TEST(cpus_one_gets_company)
{
    begin_with_one();
    CHECK_EQ(rn_run(company_comes), 0);
}

static int company_waits(void)
{
    struct worker *w = worker_self();

    gate();
    cpus = 2;
    rt_enter(w);
    for (int i = 0; i < 3; i++) {
        look_after(1001 * ms);
        CHECK_EQ(load_relaxed(&w->rt->limit), 1);
    }
    rt_leave(w);
    look_after(1001 * ms);
    CHECK_EQ(load_relaxed(&w->rt->limit), 2);
    ungate();
    return 0;
}

/* Not while the holder is inside the runtime, where it may be taking a task as nobody else does. */
PLAIN_TEST(cpus_no_company_while_the_only_holder_is_inside)
{
    begin_with_one();
    CHECK_EQ(rn_run(company_waits), 0);
}

/* ---- Edges that are left to who is busy -------------------------------------------------------------------- */

/* They wait for less than the monitor would see, who does not look here, but again and again: who is busy finds that out. */
GO_TEST_PROCS(edges_have_waited_briefly, 2)
{
    int64_t bound = rn__os_now() + 60000 * ms;
    struct rt *rt = rn__rt;
    struct waiting w = {0};
    bool found = false;

    CHECK_EQ(pipe(w.fds), 0);
    gate();
    while (!found && rn__os_now() < bound) {
        int64_t until;

        store_relaxed(&rt->vain, VAIN_MAX);
        rn_wg_go(&w.wg, await_pipe, &w);
        AWAIT(rn__netpoll_awaited());
        write_one(&w);
        until = rn__os_now() + ms / 5;
        while (rn__os_now() < until)
            ;
        rn_wg_wait(&w.wg);
        found = load_relaxed(&rt->vain) < 0;
    }
    ungate();
    CHECK(found);
    wait_ends(&w);
}
