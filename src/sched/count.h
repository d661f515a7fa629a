/* SPDX-License-Identifier: MIT */
/*
 * count.h - what the scheduler counts, for rn_metrics and RUNNEL_SCHEDTRACE (debug/metrics.c).
 *
 * Each processor has its own counts, which only its holder changes, inside an entry: a load and a store, no atomic
 * instruction and no line that two write. Whoever has no processor, or is on a slow path anyway, counts in the
 * runtime. Readers add all up.
 *   E1  a count's store -> a reader's load: who sees a wake-up counted sees the park before it counted too, since
 *       rn__ready waits for the park to be over before it counts.
 *
 * How long a goroutine that can run waits for its turn is measured of one in SAMPLE: a time is stored in it when it is
 * queued, and whoever runs it looks. Reading the clock of each would cost more than the switch.
 *
 * In the explorer nothing is counted: no decision depends on it, and each count would be a step more.
 */
#ifndef RN_SRC_COUNT_H
#define RN_SRC_COUNT_H

#include "base/atomic.h"

enum count {
    COUNT_PARKS,        /* goroutines that began to wait */
    COUNT_READIES,      /* goroutines that were woken */
    COUNT_YIELDS,       /* that let others go first */
    COUNT_STEALS,       /* times that a processor took work from another */
    COUNT_STOLEN,       /* goroutines that it took */
    COUNT_GLOBAL,       /* goroutines taken from the global queue */
    COUNT_HANDOFFS,     /* processors that the monitor took from a goroutine */
    COUNT_LENDS,        /* processors given up around rn_blocking */
    COUNT_WAKES,        /* workers woken or made to look for work */
    COUNT_THREADS,      /* worker threads made */
    COUNT_LATENCY_TIME, /* ns, the sum of what was measured */
    COUNT_LATENCY, /* the first of LATENCIES: below 1.024 us, 2.048 us, and so on; the last: any */
    LATENCIES = 23,
    COUNTS = COUNT_LATENCY + LATENCIES
};

enum { SAMPLE = 64 };

/* n more, by the holder of the processor that count belongs to. */
static inline void count_add(uint64_t *count, size_t what, uint64_t n)
{
#ifndef RN_EXPLORE
    store_release(&count[what], load_owned(&count[what]) + n); /* E1 */
#else
    (void)count, (void)what, (void)n;
#endif
}

/* The same for what several may count at a time. */
static inline void count_add_shared(uint64_t *count, size_t what, uint64_t n)
{
#ifndef RN_EXPLORE
    add_acq_rel(&count[what], n); /* E1 */
#else
    (void)count, (void)what, (void)n;
#endif
}

static inline unsigned latency_class(int64_t ns)
{
    unsigned c = ns < 1024 ? 0 : 54 - (unsigned)__builtin_clzll((uint64_t)ns);

    return c < LATENCIES ? c : LATENCIES - 1;
}

#endif
