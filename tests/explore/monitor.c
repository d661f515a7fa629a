/* SPDX-License-Identifier: MIT */
/*
 * monitor.c - a model of how a processor is taken from a goroutine that computes or sits in a C call, step by step
 * as the scheduler does it; a change there is a change here.
 *
 * The thread, at each of its entries into the runtime:
 *   A1  entry = odd (relaxed; nothing but the compiler keeps A2 behind it)
 *   A2  look at attention (acquire)
 *   A3  0: it has its processor, and uses it. STEALING: wait until that is decided. DETACHED: it has none.
 *   A4  entry = even (release)
 * The monitor:
 *   M1  read entry: even, and the same as last time
 *   M2  attention = STEALING
 *   M3  membarrier: a fence in every thread
 *   M4  read entry again: still the same (M1 has read the same store, so M3 acquires it already)
 *   M5  yes: the processor is taken, attention = DETACHED (release); no: attention = 0
 * The fence of M3 stands in for the one that is missing between A1 and A2: if the thread's A2 was before it, its A1 is
 * seen by M4; otherwise its A2 sees M2.
 *
 * What must hold: the processor is used by one at a time, and each use is ordered after the last (the race detector
 * sees to both); and nobody waits for ever.
 */
#include "explorer.h"

#include "base/atomic.h"

enum { ATTENTION_NONE, ATTENTION_STEALING, ATTENTION_DETACHED };

enum variant {
    WHOLE,
    NO_MEMBARRIER,  /* without M3 */
    NO_SECOND_LOOK, /* without M4 */
    LOOK_FIRST,     /* A2 before A1 */
    RELAXED_LEAVE,  /* A4 relaxed: what the thread did before is not ordered before the taking */
    NO_WAIT         /* A3 takes STEALING for 0 */
};

static enum variant variant;
static uint32_t entry, attention;
static uint32_t given;     /* the processor, given back by the monitor's worker */
static uint64_t processor; /* plain: what its holder alone may touch */
static unsigned taken;

static void use(void)
{
    explore_write(&processor, 8);
    processor++;
}

/* A1 to A3. False: the processor is gone. */
static bool enter(void)
{
    uint32_t look = 0;

    if (variant == LOOK_FIRST)
        look = load_acquire(&attention);
    store_relaxed(&entry, load_owned(&entry) + 1); /* A1 */
    if (variant != LOOK_FIRST)
        look = load_acquire(&attention); /* A2 */
    if (variant == NO_WAIT && look == ATTENTION_STEALING)
        return true;
    while (look == ATTENTION_STEALING) { /* A3 */
        explore_relax();
        look = load_acquire(&attention);
    }
    return look == ATTENTION_NONE;
}

static void leave(void)
{
    if (variant == RELAXED_LEAVE)
        store_relaxed(&entry, load_owned(&entry) + 1);
    else
        store_release(&entry, load_owned(&entry) + 1); /* A4 */
}

/* A goroutine that computes and calls the runtime now and then. */
static void thread(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        if (!enter()) {
            /* As one that comes back from a C call: wait for a processor on this thread. */
            while (!load_acquire(&given))
                explore_futex_wait(&given, 0, INT64_MAX);
            store_relaxed(&given, 0);
            store_relaxed(&attention, ATTENTION_NONE);
        }
        use();
        leave();
    }
}

static void monitor(void)
{
    uint32_t seen = load_relaxed(&entry); /* M1 */

    if (seen & 1)
        return;
    store_relaxed(&attention, ATTENTION_STEALING); /* M2 */
    if (variant != NO_MEMBARRIER)
        explore_membarrier(); /* M3 */
    if (variant != NO_SECOND_LOOK) {
        uint32_t again = load_relaxed(&entry); /* M4 */

        if (again != seen) {
            store_relaxed(&attention, ATTENTION_NONE); /* M5 */
            return;
        }
    }
    store_release(&attention, ATTENTION_DETACHED); /* M5 */
    taken++;
    use(); /* somebody else runs with it, and gives it back */
    store_release(&given, 1);
    explore_futex_wake(&given);
}

static void explore_variant(enum variant v)
{
    variant = v;
    entry = attention = given = 0;
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
/* D20: the fence that is missing shows only to an explorer that delays stores. */
EXPLORE(monitor_no_membarrier, .must_fail = true, .preemptions = 4, .stale = 2)
{
    explore_variant(NO_MEMBARRIER);
}
EXPLORE(monitor_no_second_look, .must_fail = true, .preemptions = 4, .stale = 2)
{
    explore_variant(NO_SECOND_LOOK);
}
EXPLORE(monitor_look_first, .must_fail = true, .preemptions = 4, .stale = 2)
{
    explore_variant(LOOK_FIRST);
}
/* D20: the order that is missing shows only to one that knows what a load may still read. */
EXPLORE(monitor_relaxed_leave, .must_fail = true, .preemptions = 4, .stale = 2)
{
    explore_variant(RELAXED_LEAVE);
}
EXPLORE(monitor_no_wait, .must_fail = true, .preemptions = 4, .stale = 2)
{
    explore_variant(NO_WAIT);
}
