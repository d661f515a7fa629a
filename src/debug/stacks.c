/* SPDX-License-Identifier: MIT */
/*
 * stacks.c - how deep stacks get, by where their goroutines were started, when RUNNEL_STACKS asks.
 *
 * A page of a stack that was never used is not in memory, and a word of one that was used less is zero. So the lowest word
 * that is not zero is how far the goroutine got. That is looked for when it ends, before its stack goes to the next
 * one; what it used is then given back to the kernel, so that the next begins with zeroes. Of those that have not ended
 * it is looked for when the table is written, from outside, which only reads.
 *
 * A frame whose lowest words stay zero, or were never written, counts for less than it is. Not under sanitizers or Valgrind,
 * which do with stacks what they like.
 *
 * Rejected: to fill each stack with a pattern (all of it would be memory); to look at the pages alone (4 KiB is most of what
 * goroutines use).
 */
#include <runnel/debug.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/tools.h"
#include "debug/debug.h"
#include "os/os.h"

enum { PLACES_MAX = 1024, PAGE = 4096, BELOW = 1024, BUFFER = 32 << 10 };

struct use {
    const void *
        at; /* where the goroutines were started; NULL: free, but for the last, which is for all others */
    uint64_t count, sum;
    size_t peak, stack; /* of the one that got deepest */
    uint64_t id;
};

static bool on;          /* atomic */
static struct spin lock; /* guards the table */
static struct use table[PLACES_MAX + 1];

static void add(struct use *uses, const struct g *g, size_t used)
{
    const void *at = load_relaxed(&g->created_at);
    size_t i = ((uintptr_t)at * 0x9E3779B97F4A7C15u >> 40) % PLACES_MAX, tries = 0;
    struct use *u;

    while (uses[i].at && uses[i].at != at && tries++ < PLACES_MAX)
        i = (i + 1) % PLACES_MAX;
    u = &uses[tries > PLACES_MAX || !at ? PLACES_MAX : i];
    u->at = at;
    u->count++;
    u->sum += used;
    if (used > u->peak) {
        u->peak = used;
        u->stack = (size_t)(g->stack_hi - g->stack_lo);
        u->id = load_relaxed(&g->id);
    }
}

/* How far g got down its stack. It may run meanwhile. */
static size_t used_by(const struct g *g)
{
    uintptr_t lo = (uintptr_t)g->stack_lo, hi = (uintptr_t)g->stack_hi;

    lo += rn__os_untouched(g->stack_lo, hi - lo);
    while (lo < hi && load_relaxed((const uint64_t *)lo) == 0)
        lo += sizeof(uint64_t);
    return hi - lo;
}

/* The caller, whose stack goes to somebody else, leaves no trace of what it has used below this frame. */
static NOINLINE void clean(const struct g *g)
{
    uintptr_t lo = ((uintptr_t)g->stack_lo + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
    uintptr_t end = ((uintptr_t)__builtin_frame_address(0) - BELOW) & ~(uintptr_t)7;
    uintptr_t page = end & ~(uintptr_t)(PAGE - 1);

    if (page > lo)
        rn__os_forget((void *)lo, page - lo);
    for (uintptr_t at = page > lo ? page : lo; at < end; at += sizeof(uint64_t))
        *(volatile uint64_t *)at = 0;
}

void rn__stacks_leave(struct g *g, enum leave how)
{
    int saved = errno;
    size_t used;

    if (how != LEAVE_ENDS)
        return;
    used = used_by(g);
    spin_lock(&lock);
    add(table, g, used);
    spin_unlock(&lock);
    clean(g);
    errno = saved;
}

/* ---- The table ---------------------------------------------------------------------------------------------- */

static void out_uses(struct out *o, struct places *known, struct use *uses)
{
    for (;;) { /* each time the deepest that is left */
        struct use *u = NULL;

        for (size_t i = 0; i <= PLACES_MAX; i++)
            if (uses[i].count > 0 && (!u || uses[i].peak > u->peak))
                u = &uses[i];
        if (!u)
            return;
        rn__out_int(o, u->count);
        rn__out_str(o, u->count == 1 ? " goroutine: " : " goroutines: at most ");
        rn__out_int(o, u->peak);
        if (u->count > 1) {
            rn__out_str(o, " (goroutine ");
            rn__out_int(o, u->id);
            rn__out_str(o, "), on average ");
            rn__out_int(o, u->sum / u->count);
        }
        rn__out_str(o, " of ");
        rn__out_int(o, u->stack);
        rn__out_str(o, " usable bytes\n");
        if (u->at && u != &uses[PLACES_MAX])
            rn__out_place(o, known, (uintptr_t)u->at, true);
        else
            rn__out_str(o, "\t(other places)\n");
        u->count = 0;
    }
}

static void report(struct rt *rt, int fd, const char *when)
{
    struct pool pool = {0};
    struct places *known = rn__places_new(&pool);
    char *text = rn__pool_take(&pool, BUFFER);
    struct use *uses = rn__pool_take(&pool, sizeof table);
    struct out o = {fd, 0, BUFFER, text};

    if (text && uses) {
        spin_lock(&lock);
        rn__copy(uses, table, sizeof table);
        spin_unlock(&lock);
        for (const struct arena *a = load_acquire(&rt->arenas); a; a = a->next) {
            uint32_t n = load_acquire(&a->carved);

            for (uint32_t i = 0; i < n; i++) {
                struct g *g = rn__arena_g(a, i);
                uint8_t status = load_acquire(&g->status);

                if (status != G_FREE && status != G_DEAD && load_relaxed(&g->id) != 0)
                    add(uses, g, used_by(g));
            }
        }
        rn__out_str(&o, "runnel: peak use of stacks");
        rn__out_str(&o, when);
        rn__out_str(&o, ", by where the goroutines were started:\n");
        out_uses(&o, known, uses);
        rn__out_flush(&o);
    }
    rn__pool_free(&pool);
}

void rn__stacks_end(struct rt *rt, const char *when)
{
    if (load_relaxed(&on))
        report(rt, STDERR_FILENO, when);
}

int rn_stacks(int fd)
{
    struct rt *rt = load_relaxed(&on) ? rn__report_hold() : NULL;
    int saved = errno;

    if (!rt)
        return -ENODATA;
    report(rt, fd, "");
    rn__rt_unref(rt);
    errno = saved;
    return 0;
}

void (*rn__stacks_begin(void))(struct g *, enum leave)
{
    const char *ask = getenv("RUNNEL_STACKS");
    bool asked = ask && *ask && strcmp(ask, "0") != 0 && !(rn__tools & TOOLS_OUTSIDE);

    store_relaxed(&on, asked);
    return asked ? rn__stacks_leave : NULL;
}
