/* SPDX-License-Identifier: MIT */
/*
 * runq.c - the run queues: nothing is lost, nothing is taken twice, and a task that was taken is seen complete.
 */
#include "explorer.h"

#include "sched/runq.h"

enum { TASKS = 8 };

static struct runq q;
static struct freshq fq;
static struct g gs[TASKS];
static struct fresh records[TASKS];
static uint32_t
    taken[TASKS]; /* by anybody; each at most once, which the race detector and EXPECT see to */

static void reset(void)
{
    memset(&q, 0, sizeof q);
    memset(&fq, 0, sizeof fq);
    memset(taken, 0, sizeof taken);
    /* The slots' owners count up for ever: begin just before the counters wrap. */
    q.head = q.tail = UINT32_MAX - 1;
}

/* A task is made: its memory is written. */
static task make(unsigned i)
{
    gs[i].id = i + 1;
    return task_of_g(&gs[i]);
}
static struct fresh *make_fresh(unsigned i)
{
    records[i].id = i + 1;
    return &records[i];
}

static void take(task t)
{
    struct g *g = task_g(t);

    EXPECT(g >= gs && g < gs + TASKS);
    EXPECT(g->id == (uint64_t)(g - gs) + 1); /* a race unless the push is before */
    taken[g - gs]++;                         /* a race if two take it */
    g->id = 0;
}
static void take_fresh(struct fresh *f)
{
    EXPECT(f >= records && f < records + TASKS);
    EXPECT(f->id == (uint64_t)(f - records) + 1);
    taken[f - records]++;
    f->id = 0;
}

static void all_taken(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        EXPECT(taken[i] == 1);
}

static void thief_one(void *arg)
{
    task t;

    (void)arg;
    for (unsigned i = 0; i < 2; i++)
        if ((t = runq_take(&q)))
            take(t);
}

static void thief_half(void *arg)
{
    task half[RUNQ_SLOTS / 2];
    uint32_t n = runq_take_half(&q, half);

    (void)arg;
    for (uint32_t i = 0; i < n; i++)
        take(half[i]);
}

static void drain(void)
{
    task t;

    while ((t = runq_take(&q)))
        take(t);
}

/* The owner pushes and takes, two thieves take one at a time. */
EXPLORE(runq_take_against_push, .preemptions = 3, .stale = 2, .random_runs = 20000,
        .breaks = {{"runq_push", "store_release", 0}, {"runq_take", "load_acquire", 1}})
{
    reset();
    explore_start(thief_one, NULL);
    for (unsigned i = 0; i < 3; i++)
        EXPECT(runq_push(&q, make(i)));
    drain();
    explore_join_all();
    drain();
    all_taken(3);
}

/* A queue of four slots is filled, emptied by thieves, and filled again. (That a slot is not rewritten before it has
 * been read, E2, is beyond the explorer, which lets no load read what is stored later.) */
EXPLORE(runq_wraps, .preemptions = 2, .stale = 2, .random_runs = 20000)
{
    unsigned pushed = 0;

    reset();
    for (unsigned i = 0; i < RUNQ_SLOTS; i++)
        EXPECT(runq_push(&q, make(pushed++)));
    explore_start(thief_half, NULL);
    explore_start(thief_one, NULL);
    while (pushed < 6)
        if (runq_push(&q, make(pushed)))
            pushed++;
        else
            explore_relax();
    explore_join_all();
    drain();
    all_taken(6);
}

static void thief_halves(void *arg)
{
    thief_half(arg);
    thief_half(arg);
}

EXPLORE(runq_take_half_against_take, .preemptions = 3, .stale = 2, .random_runs = 20000,
        .breaks = {{"runq_take_half", "load_acquire", 1}})
{
    reset();
    explore_start(thief_halves, NULL);
    for (unsigned i = 0; i < 4; i++) {
        EXPECT(runq_push(&q, make(i)));
        if (i == 2)
            thief_one(NULL);
    }
    drain();
    explore_join_all();
    drain();
    all_taken(4);
}

static void thief_fresh(void *arg)
{
    unsigned times = (unsigned)(uintptr_t)arg;
    struct fresh *f;

    while (times--)
        if ((f = freshq_steal(&fq)))
            take_fresh(f);
}

static void drain_fresh(void)
{
    struct fresh *f;

    while ((f = freshq_take(&fq)))
        take_fresh(f);
}

/* The owner takes the newest while a thief takes the oldest: the last one goes to one of them. */
EXPLORE(freshq_last_task, .preemptions = 3, .stale = 3, .random_runs = 20000,
        .breaks = {{"freshq_push", "store_release", 0},
                   {"freshq_take", "swap_seq_cst", 0},
                   {"freshq_take", "load_seq_cst", 0},
                   {"freshq_steal", "fence_seq_cst", 0},
                   {"freshq_steal", "load_acquire", 0}})
{
    reset();
    explore_start(thief_fresh, (void *)2);
    EXPECT(freshq_push(&fq, make_fresh(0)));
    EXPECT(freshq_push(&fq, make_fresh(1)));
    drain_fresh();
    explore_join_all();
    drain_fresh();
    all_taken(2);
}

EXPLORE(freshq_two_thieves, .preemptions = 2, .stale = 2, .random_runs = 20000)
{
    reset();
    EXPECT(freshq_push(&fq, make_fresh(0)));
    explore_start(thief_fresh, (void *)1);
    explore_start(thief_fresh, (void *)1);
    EXPECT(freshq_push(&fq, make_fresh(1)));
    drain_fresh();
    EXPECT(freshq_push(&fq, make_fresh(2)));
    drain_fresh();
    explore_join_all();
    drain_fresh();
    all_taken(3);
}

/* Full, and used again by the owner once a thief has made room: the thief has read the slot by then. */
EXPLORE(freshq_wraps, .preemptions = 3, .stale = 2, .random_runs = 20000)
{
    unsigned pushed = 0;

    reset();
    while (freshq_push(&fq, make_fresh(pushed)))
        pushed++;
    EXPECT(pushed == RUNQ_SLOTS);
    explore_start(thief_fresh, (void *)2);
    if (freshq_push(&fq, make_fresh(pushed)))
        pushed++;
    drain_fresh();
    explore_join_all();
    drain_fresh();
    all_taken(pushed);
}
