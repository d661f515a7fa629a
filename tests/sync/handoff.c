/* SPDX-License-Identifier: MIT */
/*
 * handoff.c - when a mutex is handed over and when it is not (MU-08, MU-09), with a clock that we move.
 *
 * What a waiter's delay decides is seen by trying to barge: after an unlock, and before the waiter that it woke has
 * run, a try succeeds exactly if the lock was set free. On one processor, where goroutines run in turn, each step is
 * made by hand. A goroutine that lost its processor to a busy machine meanwhile spoils a turn, so it is repeated; what
 * must never happen is never right in any of the turns.
 */
#include "support.h"

extern int64_t (*rn__clock)(void);

enum { TURNS = 200, MOST = 8 };

static int64_t at = 1000000000;
static int64_t still_clock(void)
{
    return __atomic_load_n(&at, __ATOMIC_RELAXED);
}
static void pass(int64_t ns)
{
    __atomic_fetch_add(&at, ns, __ATOMIC_RELAXED);
}

static rn_mutex m;
static int asked;            /* goroutines that are about to wait; atomic */
static int got[MOST], n_got; /* guarded by m */
static rn_chan(int) go_on;   /* if not nil, who gets the lock keeps it until told, */
static rn_chan(int) unlocks; /* and says that it is about to let it go */

static void wait_for_lock(int me)
{
    __atomic_fetch_add(&asked, 1, __ATOMIC_RELAXED);
    rn_mutex_lock(&m);
    got[n_got++] = me;
    if (go_on) {
        (void)rn_recv(go_on);
        rn_send(unlocks, me);
    }
    rn_mutex_unlock(&m);
}

/* The next one queues, behind all others. */
static void queue(int me)
{
    int before = __atomic_load_n(&asked, __ATOMIC_RELAXED);

    rn_go(wait_for_lock, me);
    AWAIT(__atomic_load_n(&asked, __ATOMIC_RELAXED) == before + 1);
    test_let_run();
}

/* Unlock, and take the lock before the one that was woken does: whether that is to be had. */
static bool barge(void)
{
    rn_mutex_unlock(&m);
    return rn_mutex_try_lock(&m);
}

static void begin(bool keep)
{
    m = (rn_mutex){0};
    asked = n_got = 0;
    go_on = keep ? rn_chan_make(int, 0) : NULL;
    unlocks = keep ? rn_chan_make(int, MOST) : NULL;
    rn_mutex_lock(&m);
}

static bool end(int waiters)
{
    bool in_order = true;

    while (rn_count() > 1) /* no sleep ends with this clock */
        rn_yield();
    rn_mutex_lock(&m);
    CHECK_EQ(n_got, waiters);
    for (int i = 0; i < waiters; i++)
        in_order = in_order && got[i] == i;
    rn_mutex_unlock(&m);
    if (go_on) {
        rn_chan_release(go_on);
        rn_chan_release(unlocks);
    }
    go_on = NULL;
    return in_order;
}

/* A waiter that loses after delay: is the lock handed over at the next unlock? -1: the turn was spoiled. */
static int handed_after(int64_t delay)
{
    bool first, second, ordered;

    begin(false);
    queue(0);
    queue(1);
    pass(delay);
    first = barge(); /* nobody has asked for it yet */
    if (first)
        test_let_run(); /* the woken one loses, and queues again */
    second = first && barge();
    if (first && second) {
        queue(2); /* a newcomer goes to the tail in either mode */
        rn_mutex_unlock(&m);
    }
    ordered = end(first && second ? 3 : 2);
    return first && ordered ? !second : -1;
}

static void expect_handed(int64_t delay, bool handed)
{
    for (int i = 0; i < TURNS; i++) {
        int is = handed_after(delay);

        if (is == (int)handed)
            return;
    }
    test_fail(__FILE__, __LINE__, "after a delay of %lld ns the lock was %shanded over",
              (long long)delay, handed ? "not " : "");
}

/* MU-08, MU-09: a waiter that lost is handed the lock if it was delayed by more than a millisecond, and not before. */
GO_TEST_PROCS(mu_08_09_handed_after_a_millisecond_and_not_before, 1)
{
    rn__clock = still_clock;
    expect_handed(0, false);
    expect_handed(999999, false);
    expect_handed(1000000, false);
    expect_handed(1000001, true);
    expect_handed(50 * RN_MILLISECOND, true);
}

/* Who holds the lock unlocks it; true if whoever got it, or was woken, has not run yet: we are readied before it. Number n
 * got it last. */
static bool let_go(int n)
{
    rn_send(go_on, 0);
    (void)rn_recv(unlocks);
    return n_got == n + 1;
}

/*
 * Four waiters, two of long ago and two of now. The first asks for the lock, which is handed to it, to the second, and
 * to the third; but that one has waited for less than a millisecond, and so its own unlock sets the lock free. True:
 * just so.
 */
static bool ends_with_a_short_wait(void)
{
    bool handed[3] = {false, false, false}, freed = false, barged;

    begin(true);
    queue(0);
    queue(1);
    pass(2 * RN_MILLISECOND);
    barged = barge();
    test_let_run(); /* it loses, and asks for the lock */
    queue(2);
    queue(3);
    if (barged)
        rn_mutex_unlock(&m);
    for (int i = 0; i < 4; i++) {
        bool first = i == 0 ? n_got == 0 : let_go(i - 1), taken = rn_mutex_try_lock(&m);

        if (i < 3)
            handed[i] = first && !taken;
        else
            freed = first && taken;
        if (taken)
            rn_mutex_unlock(&m);
        test_let_run();
    }
    rn_send(go_on, 0);
    return end(4) && barged && handed[0] && handed[1] && handed[2] && freed;
}

GO_TEST_PROCS(mu_08_the_hand_over_ends_with_a_short_wait, 1)
{
    bool seen = false;

    rn__clock = still_clock;
    for (int i = 0; i < TURNS && !seen; i++)
        seen = ends_with_a_short_wait();
    CHECK(seen);
}

/* The last waiter gets the lock by hand-over, however long it has waited: then the mutex is as new, and who comes next
 * may be overtaken. */
static bool ends_with_the_last(void)
{
    bool barged, handed, freed;

    begin(true);
    queue(0);
    pass(2 * RN_MILLISECOND);
    barged = barge();
    test_let_run();
    pass(2 * RN_MILLISECOND);
    if (barged)
        rn_mutex_unlock(&m);
    handed = n_got == 0 && !rn_mutex_try_lock(&m);
    if (!handed && n_got == 0)
        rn_mutex_unlock(&m);
    test_let_run();
    queue(1); /* waits for number 0, which has the lock */
    freed = let_go(0) && rn_mutex_try_lock(&m);
    if (freed)
        rn_mutex_unlock(&m);
    test_let_run();
    rn_send(go_on, 0);
    return end(2) && barged && handed && freed;
}

GO_TEST_PROCS(mu_08_the_hand_over_ends_with_the_last, 1)
{
    bool seen = false;

    rn__clock = still_clock;
    for (int i = 0; i < TURNS && !seen; i++)
        seen = ends_with_the_last();
    CHECK(seen);
}
