/* SPDX-License-Identifier: MIT */
/*
 * cover.c - edges and timers are left to whoever is busy where that costs least (sched.c), and nothing is lost by it: who is
 * busy may compute, block, hold its thread or end, and what comes through a descriptor or from a timer meanwhile is seen to.
 *
 * With a look into the runtime for whether it has come to that. Each test then makes somebody busy who goes on only when
 * the other has been woken, so that it hangs if nobody polls. Where somebody else is to do so at once, the monitor shall not
 * have had to: it would have ended that edges are left, as it ends by chance where a machine is slow, but not always.
 */
#define _GNU_SOURCE
#include "netpoll/netpoll.h"
#include "sched/rt.h"
#include "time/timer.h"

#include "pair.h"
#include "support.h"

#include <fcntl.h>
#include <unistd.h>

static int32_t vain(void)
{
    return load_relaxed(&rn__rt->vain);
}

static void put(int fd)
{
    CHECK_EQ(write(fd, "x", 1), 1);
}
static void get(int fd)
{
    char c;

    while (read(fd, &c, 1) != 1)
        CHECK_EQ(rn_wait_fd(fd, RN_READ, NULL), RN_READ);
}

static void answer(int fd, _Atomic bool *stop)
{
    for (;;) {
        get(fd);
        if (*stop)
            return;
        put(fd);
    }
}

/* Two goroutines answer each other through a socket until it is found that no second thread is of use for that. */
static void cover(void)
{
    struct pair p = sockets_new();
    _Atomic bool stop = false;
    rn_wg wg = {0};
    rn_time bound = rn_now() + 60 * RN_SECOND;

    rn_wg_go(&wg, answer, p.at[1], &stop);
    while (vain() < VAIN_MAX) {
        put(p.at[0]);
        get(p.at[0]);
        if (rn_now() > bound)
            test_fail(__FILE__, __LINE__, "a second thread still comes: %d", (int)vain());
    }
    stop = true;
    put(p.at[0]);
    rn_wg_wait(&wg);
    pair_end(p);
}

GO_TEST_PROCS(two_who_answer_each_other_need_one_thread, 2)
{
    for (int i = 0; i < 3; i++)
        cover();
}

/* Another waits at p, and tells when it was woken. */
static void await_edge(int fd, _Atomic bool *woken)
{
    get(fd);
    *woken = true;
}
static void await_timer(_Atomic bool *woken)
{
    rn_sleep(20 * RN_MILLISECOND);
    *woken = true;
}

static void computes(struct pair p, _Atomic bool *woken)
{
    put(p.at[0]);
    while (!*woken) /* without a call */
        ;
}

GO_TEST_PROCS(who_is_busy_computes, 2)
{
    for (int i = 0; i < test_times(20); i++) {
        struct pair p = sockets_new();
        _Atomic bool woken = false;
        rn_wg wg = {0};

        rn_wg_go(&wg, await_edge, p.at[1], &woken);
        cover();
        computes(p, &woken);
        rn_wg_wait(&wg);
        pair_end(p);
    }
}

/* And once more: it is found that it waited, and somebody polls from then on. */
GO_TEST_PROCS(an_edge_has_waited, 2)
{
    struct pair p = sockets_new();
    _Atomic bool woken = false;
    rn_wg wg = {0};

    cover();
    for (int i = 0; vain() >= 0; i++) {
        CHECK(i < 10000);
        woken = false;
        rn_wg_go(&wg, await_edge, p.at[1], &woken);
        AWAIT(rn__netpoll_awaited());
        computes(p, &woken);
        rn_wg_wait(&wg);
    }
    pair_end(p);
}

GO_TEST_PROCS(a_timer_is_due, 2)
{
    for (int i = 0; i < test_times(20); i++) {
        _Atomic bool woken = false;
        rn_wg wg = {0};

        rn_wg_go(&wg, await_timer, &woken);
        cover();
        while (!woken)
            ;
        rn_wg_wait(&wg);
    }
}

static void blocks(struct pair p, int fd)
{
    char c;

    put(p.at[0]);
    CHECK_EQ(rn_blocking(read(fd, &c, 1)), 1);
}
static void wake_by_edge(int at, int fd)
{
    get(at);
    CHECK_EQ(write(fd, "x", 1), 1);
}

GO_TEST_PROCS(who_is_busy_blocks, 2)
{
    bool at_once = false;

    for (int i = 0; i < test_times(20); i++) {
        struct pair p = sockets_new();
        rn_wg wg = {0};
        int line[2];

        CHECK_EQ(pipe2(line, O_CLOEXEC), 0);
        rn_wg_go(&wg, wake_by_edge, p.at[1], line[1]);
        cover();
        blocks(p, line[0]);
        at_once |= vain() >= 0;
        rn_wg_wait(&wg);
        close(line[0]);
        close(line[1]);
        pair_end(p);
    }
    CHECK(at_once);
}

static void holds(struct pair p, rn_recv_only(int) ch)
{
    rn_lock_thread();
    put(p.at[0]);
    CHECK_EQ(rn_recv(ch), 1); /* its processor is given up on the thread */
    rn_unlock_thread();
}
static void wake_by_value(int at, rn_send_only(int) ch)
{
    get(at);
    rn_send(ch, 1);
}

GO_TEST_PROCS(who_is_busy_holds_its_thread, 2)
{
    rn_chan(int) ch = rn_chan_make(int, 0);
    bool at_once = false;

    for (int i = 0; i < test_times(20); i++) {
        struct pair p = sockets_new();
        rn_wg wg = {0};

        rn_wg_go(&wg, wake_by_value, p.at[1], ch);
        cover();
        rn_wg_go(&wg, holds, p, ch);
        rn_wg_wait(&wg);
        at_once |= vain() >= 0;
        pair_end(p);
    }
    CHECK(at_once);
    rn_chan_release(ch);
}

/* Bytes from a thread that the library does not know, while nobody is busy; fewer than it takes to begin to leave edges. */
enum { SOME = 30 };
static void *put_some(void *fd)
{
    for (int i = 0; i < SOME; i++) {
        usleep(50);
        put((int)(intptr_t)fd);
    }
    return NULL;
}
static void count_some(int fd, int n)
{
    for (int i = 0; i < n; i++)
        get(fd);
}

GO_TEST_PROCS(edges_from_outside, 2)
{
    struct pair p = sockets_new();
    bool at_once = false;

    for (int i = 0; i < test_times(5); i++) {
        rn_wg wg = {0};
        pthread_t t;

        rn_wg_go(&wg, count_some, p.at[1], SOME);
        cover();
        CHECK_EQ(pthread_create(&t, NULL, put_some, (void *)(intptr_t)p.at[0]), 0);
        rn_wg_wait(&wg);
        CHECK_EQ(rn_blocking(pthread_join(t, NULL)), 0);
        at_once |= vain() >= 0;
    }
    CHECK(at_once);
    pair_end(p);
}

/* ---- Without descriptors ----------------------------------------------------------------------------- */

/* Somebody sleeps and does nothing else, until it is found that no second thread is of use for that. */
static void cover_by_sleep(void)
{
    rn_time bound = rn_now() + 60 * RN_SECOND;

    do {
        rn_sleep(200 * RN_MICROSECOND);
        if (rn_now() > bound)
            test_fail(__FILE__, __LINE__, "a second thread still comes: %d", (int)vain());
    } while (vain() < VAIN_MAX);
}

GO_TEST_PROCS(who_sleeps_alone_needs_one_thread, 2)
{
    CHECK(!rn__netpoll_active());
    for (int i = 0; i < test_times(20); i++)
        cover_by_sleep();
}

/* Another's timer is due while somebody computes to whom it was left: it is found that it waited, and somebody minds timers
 * from then on. */
GO_TEST_PROCS(a_timer_has_waited, 2)
{
    CHECK(!rn__netpoll_active());
    for (int i = 0; vain() >= 0; i++) {
        _Atomic bool woken = false;
        rn_wg wg = {0};

        CHECK(i < 1000);
        rn_wg_go(&wg, await_timer, &woken);
        cover_by_sleep();
        while (!woken)
            ;
        rn_wg_wait(&wg);
    }
}

/* Of two who sleep each wakes while the other computes: whoever minds the timers then is of use. */
static void sleeps_and_computes(int n, _Atomic bool *of_use)
{
    for (int i = 0; i < n; i++) {
        rn_time until;

        rn_sleep(RN_MILLISECOND);
        if (vain() == 0)
            *of_use = true;
        until = rn_now() + 3 * RN_MILLISECOND;
        while (rn_now() < until)
            ;
    }
}

GO_TEST_PROCS(who_minds_timers_is_of_use, 2)
{
    _Atomic bool of_use = false;
    rn_wg wg = {0};

    CHECK(!rn__netpoll_active());
    for (int i = 0; !of_use; i++) {
        CHECK(i < 100);
        cover_by_sleep();
        for (int k = 0; k < 2; k++)
            rn_wg_go(&wg, sleeps_and_computes, 20, &of_use);
        rn_wg_wait(&wg);
    }
}

/* Whoever is made the keeper does not judge whether that was of use: only who is idle again does. */
GO_TEST_PROCS(who_becomes_the_keeper_does_not_judge_that, 2)
{
    struct rt *rt = rn__rt;
    bool unjudged = false;

    for (int i = 0; !unjudged; i++) {
        rn_time bound;

        CHECK(i < 1000);
        store_relaxed(&rt->vain, VAIN_MAX);
        rn_sleep(RN_MILLISECOND);
        if (load_relaxed(&rt->keeper_until) != INT64_MIN)
            continue;
        store_relaxed(
            &rt->vain,
            -10); /* there is none: it will be us, and when the timer is due another one */
        rn_sleep(RN_MILLISECOND);
        bound = rn_now() + 100 * RN_MILLISECOND;
        while (load_relaxed(&rt->keeper_until) == INT64_MIN && rn_now() < bound)
            ;
        unjudged = load_relaxed(&rt->keeper_until) != INT64_MIN && vain() == -10;
    }
}

/* ---- Of a processor that goes out of use ------------------------------------------------------------------ */

static void yields_until(_Atomic bool *woken)
{
    while (!*woken)
        rn_yield();
}

/* Its timers are minded although all others are busy for ever. */
GO_TEST_PROCS(timers_of_a_processor_out_of_use, 2)
{
    struct rt *rt = rn__rt;
    struct proc *other = &rt->procs[worker_self()->proc == &rt->procs[0]];
    _Atomic bool woken = false;
    rn_wg wg = {0};

    rn_wg_go(&wg, await_timer, &woken);
    while (load_relaxed(&other->timers->count) ==
           0) /* without a call: another worker comes for it */
        ;
    while (!load_relaxed(&other->idle))
        ;
    rn__procs_limit(rt, 1);
    rn_wg_go(&wg, yields_until, &woken);
    yields_until(&woken);
    rn_wg_wait(&wg);
    rn__procs_limit(rt, 2);
}

/* When the only processor polled last, and how many could run then; from its holder. */
static bool polled_last(uint32_t *ret_tick, uint32_t *ret_backlog)
{
    struct worker *w = worker_self();
    bool holds = rt_enter(w) && w->proc;

    if (holds) {
        *ret_tick = load_relaxed(&w->proc->polled);
        *ret_backlog = w->proc->backlog;
    }
    rt_leave(w);
    return holds;
}

/*
 * Who always has something to run polls in passing, but not again before all that could run has had its turn: there may be
 * more edges than can be served.
 */
GO_TEST_PROCS(who_is_busy_polls_once_a_turn, 1)
{
    enum { BUSY = 200, POLLS = 10 };
    struct pair p = sockets_new();
    _Atomic bool woken = false, stop = false;
    uint32_t before, then, tick, backlog;
    rn_wg wg = {0};

    rn_wg_go(&wg, await_edge, p.at[1], &woken);
    AWAIT(rn__netpoll_awaited());
    for (int i = 0; i < BUSY; i++)
        rn_wg_go(&wg, yields_until, &stop);
    while (!polled_last(&before, &then) || then < BUSY / 2)
        rn_yield();
    for (int polls = 0; polls < POLLS;) {
        rn_yield();
        if (!polled_last(&tick, &backlog) || tick == before)
            continue;
        CHECK(tick - before >= then);
        CHECK(backlog >= BUSY / 2);
        before = tick;
        then = backlog;
        polls++;
    }
    stop = true;
    put(p.at[0]);
    rn_wg_wait(&wg);
    pair_end(p);
}

/* ---- When the next timer is due ------------------------------------------------------------------------- */

enum { TIMERS = 100, CERTAIN = 5 /* due, of which all below are looked at */ };

PLAIN_TEST(next_timer_beside_those_that_are_due)
{
    static struct timer timer[TIMERS];
    static struct timer *at[TIMERS];

    for (uint32_t count = 0; count <= TIMERS; count++) {
        for (uint32_t due = 0; due <= count; due++) {
            struct timer_heap h = {.at = at, .count = count, .room = TIMERS};
            int64_t next;

            for (uint32_t i = 0; i < count; i++) { /* in order, and so a heap */
                timer[i].when = i < due ? 100 - (int64_t)(due - 1 - i) : 101 + 2 * (int64_t)i;
                at[i] = &timer[i];
            }
            rn__timers_begin(&h);
            next = rn__timers_next(&h, 100);
            if (due == count && (due <= CERTAIN || count <= 4 * CERTAIN + 1))
                CHECK_EQ(next, INT64_MAX);
            else if (due <= CERTAIN || count <= 4 * CERTAIN + 1)
                CHECK_EQ(next, timer[due].when);
            else
                CHECK_EQ(next, 100);
        }
    }
}
