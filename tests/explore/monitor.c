/* SPDX-License-Identifier: MIT */
/*
 * monitor.c - a model of how a processor is taken from a goroutine that computes or sits in a C call: the steps of
 * src/sched/monitor.c by their numbers; a change there is a change here. tests/explore/sched.c runs that file itself.
 *
 *   the thread, at each of its entries          the monitor
 *   M1 entry = odd                              M6 attention |= STEALING
 *   M2 while attention has STEALING: wait       -- membarrier --
 *   M3 use the processor, if proc is not NULL   M7 if entry is odd, or not what it was: go to M9
 *   M5 entry = even                             M8 proc = NULL; somebody else has the processor
 *                                               M9 attention &= ~STEALING
 * Where the kernel refuses membarrier the thread passes a fence of its own in M2, and the monitor one after M6.
 *
 * What must hold: the processor is used by one at a time, and each use is ordered after the last (the race detector sees
 * to both, as it does to proc, which is plain); nobody waits for ever; and at the end the thread is outside, or nothing
 * would ever be taken from it. Each step is left out, and each order taken away, in a variant of its own, which must fail.
 */
#include "explorer.h"

#include "base/atomic.h"

enum { STEALING = 1, FENCE = 4 };

enum variant {
    WHOLE,
    ANY_ENTRY, /* M7 asks only whether the thread is outside: of one that has had its time twice */
    FENCES,    /* without membarrier */

    NO_M1,         /* the thread does not say that it is inside */
    NO_M2,         /* it does not look */
    M2_FIRST,      /* it looks before it says that it is inside */
    M2_RELAXED,    /* ... and what the monitor did is not ordered before what it does */
    NO_WAIT,       /* it sees STEALING, and does not wait for M9 */
    NO_M3,         /* it does not ask whether the processor is still there */
    NO_M5,         /* it does not say that it is outside */
    M5_RELAXED,    /* ... and what it did is not ordered before the taking */
    NO_M6,         /* the monitor does not say that it takes */
    NO_MEMBARRIER, /* neither sees the other's store */
    NO_M7,         /* it looks once only */
    M7_RELAXED,    /* the pair of M5_RELAXED */
    NO_M8,         /* the processor is given to another, and not taken */
    NO_M9,         /* nobody says that it is over */
    M9_RELAXED,    /* the pair of M2_RELAXED */
    FENCES_NO_M2,  /* without membarrier, and without the thread's fence */
    FENCES_NO_M6   /* or without the monitor's */
};

static enum variant variant;
static bool any_entry, fences;
static uint32_t entry, attention;
static bool proc;          /* plain: has the thread its processor? */
static uint32_t given;     /* the processor, given back by the monitor's worker */
static uint64_t processor; /* plain: what its holder alone may touch */
static unsigned taken;

static void use(void)
{
    explore_write(&processor, 8);
    processor++;
}

static bool stealing(void)
{
    uint32_t seen = variant == M2_RELAXED ? load_relaxed(&attention) : load_acquire(&attention);

    return seen & STEALING;
}

static void enter(void)
{
    bool seen = false;

    if (variant == M2_FIRST)
        seen = stealing();
    if (variant != NO_M1)
        store_relaxed(&entry, load_owned(&entry) + 1); /* M1 */
    if (fences && variant != FENCES_NO_M2)
        fence_seq_cst();
    if (variant != M2_FIRST && variant != NO_M2)
        seen = stealing(); /* M2 */
    while (seen && variant != NO_WAIT) {
        explore_relax();
        seen = stealing();
    }
}

static void leave(void)
{
    uint32_t even = load_owned(&entry) + (variant == NO_M1 ? 2 : 1);

    if (variant == NO_M5)
        return;
    if (variant == M5_RELAXED)
        store_relaxed(&entry, even);
    else
        store_release(&entry, even); /* M5 */
}

/* A goroutine that computes and calls the runtime now and then. */
static void thread(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        enter();
        explore_read(&proc, sizeof proc);
        if (!proc && variant != NO_M3) { /* M3 */
            /* As one that comes back from a C call: wait for a processor on this thread. */
            while (!load_acquire(&given))
                explore_futex_wait(&given, 0, INT64_MAX);
            store_relaxed(&given, 0);
            explore_write(&proc, sizeof proc);
            proc = true;
        }
        use();
        leave();
    }
    EXPECT((load_owned(&entry) & 1) == 0);
}

static void monitor(void)
{
    uint32_t seen = load_acquire(&entry), again;
    bool took = false;

    if (seen & 1)
        return;
    if (variant != NO_M6)
        or_acq_rel(&attention, STEALING); /* M6 */
    if (!fences && variant != NO_MEMBARRIER)
        explore_membarrier();
    else if (fences && variant != FENCES_NO_M6)
        fence_seq_cst();
    again = variant == M7_RELAXED ? load_relaxed(&entry) : load_acquire(&entry); /* M7 */
    if (variant == NO_M7 || (!(again & 1) && (any_entry || again == seen))) {
        explore_write(&proc, sizeof proc);
        if (variant != NO_M8)
            proc = false; /* M8 */
        taken++;
        took = true;
    }
    if (variant == M9_RELAXED)
        store_relaxed(&attention, load_relaxed(&attention) & ~(uint32_t)STEALING);
    else if (variant != NO_M9)
        and_acq_rel(&attention, ~(uint32_t)STEALING); /* M9 */
    if (took) {
        use(); /* somebody else runs with it, and gives it back */
        store_release(&given, 1);
        explore_futex_wake(&given);
    }
}

static void explore_variant(enum variant v)
{
    variant = v;
    /* The thread enters between the looks, or the looks say the same, where that matters. */
    any_entry = v == ANY_ENTRY || v == M5_RELAXED || v == M7_RELAXED;
    fences = v == FENCES || v == FENCES_NO_M2 || v == FENCES_NO_M6;
    entry = given = 0;
    attention = fences ? FENCE : 0;
    proc = true;
    processor = 0;
    taken = 0;
    explore_start(thread, NULL);
    monitor();
    explore_join_all();
    EXPECT(processor == 2 + taken);
}

/* D10: a processor is taken only from a thread that is outside, and was outside all the while. */
EXPLORE(monitor_takes, .preemptions = 4, .stale = 2, .random_runs = 20000)
{
    explore_variant(WHOLE);
}
/* D12: or, of one that has had its time twice over, only from one that is outside. */
EXPLORE(monitor_takes_at_any_entry, .preemptions = 4, .stale = 2, .random_runs = 20000)
{
    explore_variant(ANY_ENTRY);
}
/* D10: the same where the kernel refuses membarrier. */
EXPLORE(monitor_takes_by_fences, .preemptions = 4, .stale = 2, .random_runs = 20000)
{
    explore_variant(FENCES);
}

/* D10, D20: nothing of it may be left out. */
EXPLORE(monitor_no_m1, .must_fail = true, .preemptions = 4, .stale = 2)
{
    explore_variant(NO_M1);
}
EXPLORE(monitor_no_m2, .must_fail = true, .preemptions = 4, .stale = 2)
{
    explore_variant(NO_M2);
}
EXPLORE(monitor_m2_first, .must_fail = true, .preemptions = 4, .stale = 2)
{
    explore_variant(M2_FIRST);
}
EXPLORE(monitor_m2_relaxed, .must_fail = true, .preemptions = 4, .stale = 2)
{
    explore_variant(M2_RELAXED);
}
EXPLORE(monitor_no_wait, .must_fail = true, .preemptions = 4, .stale = 2)
{
    explore_variant(NO_WAIT);
}
EXPLORE(monitor_no_m3, .must_fail = true, .preemptions = 4, .stale = 2)
{
    explore_variant(NO_M3);
}
EXPLORE(monitor_no_m5, .must_fail = true, .preemptions = 4, .stale = 2)
{
    explore_variant(NO_M5);
}
EXPLORE(monitor_no_m6, .must_fail = true, .preemptions = 4, .stale = 2)
{
    explore_variant(NO_M6);
}
EXPLORE(monitor_no_m7, .must_fail = true, .preemptions = 4, .stale = 2)
{
    explore_variant(NO_M7);
}
EXPLORE(monitor_no_m8, .must_fail = true, .preemptions = 4, .stale = 2)
{
    explore_variant(NO_M8);
}
EXPLORE(monitor_no_m9, .must_fail = true, .preemptions = 4, .stale = 2)
{
    explore_variant(NO_M9);
}
/* D20: the fence that is missing shows only to an explorer that delays stores. */
EXPLORE(monitor_no_membarrier, .must_fail = true, .preemptions = 4, .stale = 2)
{
    explore_variant(NO_MEMBARRIER);
}
EXPLORE(monitor_fences_no_m2, .must_fail = true, .preemptions = 4, .stale = 2)
{
    explore_variant(FENCES_NO_M2);
}
EXPLORE(monitor_fences_no_m6, .must_fail = true, .preemptions = 4, .stale = 2)
{
    explore_variant(FENCES_NO_M6);
}
/* D20: the order that is missing shows only to one that knows what a load may still read. */
EXPLORE(monitor_m5_relaxed, .must_fail = true, .preemptions = 4, .stale = 2)
{
    explore_variant(M5_RELAXED);
}
EXPLORE(monitor_m7_relaxed, .must_fail = true, .preemptions = 4, .stale = 2)
{
    explore_variant(M7_RELAXED);
}
EXPLORE(monitor_m9_relaxed, .must_fail = true, .preemptions = 4, .stale = 2)
{
    explore_variant(M9_RELAXED);
}
