/* SPDX-License-Identifier: MIT */
/*
 * locks.c - goroutines that wait for each other's locks while others go on, when RUNNEL_LOCKS asks.
 *
 * Each goroutine that is about to wait for a lock, and is in the queue for it, looks whether that closes a circle
 * (sync/holder.c). If two close it at once both may find it; the first to remember it reports it.
 *
 * Only on request: a mutex has no owner, and who uses one as a semaphore may lock it twice and have it unlocked by
 * another; that is not to be told from a deadlock.
 */
#include <stdlib.h>
#include <unistd.h>

#include "debug/debug.h"
#include "os/os.h"
#include "sync/holder.h"

enum { REMEMBERED = 64, PATIENCE = 1000 };

static bool fatal;
static struct spin lock; /* guards the next two */
static uint64_t reported[REMEMBERED];
static unsigned reports;

/* A circle is known by its waits, in whatever order. */
static bool is_new(const struct lock_wait *wait, unsigned n)
{
    uint64_t sum = 0;
    bool known = false;

    for (unsigned i = 0; i < n; i++)
        sum += (((uint64_t)wait[i].tag << 32) + wait[i].nth) * 0x9E3779B97F4A7C15u;
    spin_lock(&lock);
    for (unsigned i = 0; i < REMEMBERED && i < reports; i++)
        known |= reported[i] == sum;
    if (!known)
        reported[reports++ % REMEMBERED] = sum;
    spin_unlock(&lock);
    return !known;
}

static NOINLINE void report(struct g *g, const struct lock_wait *wait, unsigned n)
{
    uintptr_t pc[FRAMES_MAX];
    struct pool pool = {0};
    char small[256];
    struct out o = {STDERR_FILENO, 0, sizeof small, small};
    struct places *known = rn__places_new(&pool);
    char *large = rn__pool_take(&pool, 32 << 10);

    if (large) {
        o.text = large;
        o.room = 32 << 10;
    }
    if (fatal)
        rn__ending();
    rn__out_str(&o, fatal ? "fatal error: " : "runnel: ");
    rn__out_str(&o, "locked in a circle:\n");
    rn__out_circle(&o, wait, n);
    rn__out_str(&o, "\n");
    rn__out_head(&o, g->id, g->name, rn__wait_text[wait[0].why]);
    rn__out_frames(&o, known, pc, rn__walk_self(pc, FRAMES_MAX, 2), true);
    rn__out_created(&o, known, g->created_by, g->created_at);
    /* The others may still be on their way off the CPU. They wait for nobody there but for who holds up a circle of his
     * own, and each is in one only. */
    for (unsigned i = 1; i < n; i++)
        for (unsigned tries = 0; tries < PATIENCE && load_relaxed(&wait[i].g->on_cpu); tries++)
            rn__os_thread_sleep(100000);
    rn__dump_these(&o, g->rt, wait + 1, n - 1);
    rn__out_flush(&o);
    rn__pool_free(&pool);
    if (fatal) {
        rn__trace_file(g->rt);
        rn__report_end();
    }
}

static void watch(struct g *g)
{
    struct lock_wait wait[CIRCLE_MAX];
    int saved = errno;
    unsigned n;

    if (g->kind == G_GOROUTINE) {
        n = rn__lock_circle(g->rt, g, true, wait);
        if (n > 0 && is_new(wait, n))
            report(g, wait, n);
    }
    errno = saved;
}

void rn__locks_begin(void)
{
    const char *ask = getenv("RUNNEL_LOCKS");

    fatal = ask && strcmp(ask, "fatal") == 0;
    store_relaxed(&rn__lock_watch, ask && *ask && strcmp(ask, "0") != 0 ? watch : NULL);
}
