/* SPDX-License-Identifier: MIT */
/*
 * ring.c - the flight recorder's ring: what a reader gets while it is written is whole, in order, and the newest.
 */
#include "explorer.h"

#include "sched/ring.h"

static struct ring ring;
static int64_t now;

static void put(uint64_t n)
{
    ring_put(&ring, EVENT_READY, (unsigned)(n & 127), n, ~n);
}

static void write_on(void *arg)
{
    uint64_t n = load_owned(&ring.next);

    for (uint64_t i = 0; i < (uint64_t)(uintptr_t)arg; i++)
        put(n + i);
}

static uint64_t look(void)
{
    struct event got[RING_SLOTS];
    uint64_t first, n = ring_copy(&ring, ring_end(&ring), got, &first);

    for (uint64_t i = 0; i < n; i++) {
        EXPECT(got[i].id == first + i);
        EXPECT(got[i].what == ~(first + i));
        EXPECT((got[i].head >> EVENT_ARG & 127) == ((first + i) & 127));
        EXPECT((got[i].head & 15) == EVENT_READY);
    }
    return first + n;
}

static void reset(unsigned before)
{
    memset(&ring, 0, sizeof ring);
    ring_begin(&ring, &now);
    for (unsigned i = 0; i < before; i++)
        put(i);
}

/* D17: slots that are written for the first time. */
EXPLORE(ring_fills, .preemptions = 3, .stale = 3, .random_runs = 20000,
        .breaks = {{"ring_put", "store_release", 3}, {"ring_end", "load_acquire", 0}})
{
    reset(0);
    explore_start(write_on, (void *)3);
    EXPECT(look() <= 3);
    explore_join_all();
    EXPECT(look() == 3);
}

/* D17: slots that are overwritten while they are read: not torn, and at most one more is left out than must be. */
EXPLORE(ring_wraps, .preemptions = 3, .stale = 3, .random_runs = 40000,
        .breaks = {{"ring_put", "store_release", 0},
                   {"ring_put", "store_release", 1},
                   {"ring_put", "store_release", 2},
                   {"ring_copy", "load_acquire", 0},
                   {"ring_copy", "load_acquire", 1},
                   {"ring_copy", "load_acquire", 2}})
{
    reset(RING_SLOTS);
    explore_start(write_on, (void *)3);
    EXPECT(look() >= RING_SLOTS);
    explore_join_all();
    EXPECT(look() == RING_SLOTS + 3);
}
