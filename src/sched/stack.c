/* SPDX-License-Identifier: MIT */
/*
 * stack.c - goroutine stacks.
 *
 * Stacks of one size class are carved from an arena, one large mapping without reservation, of which the
 * kernel commits a page when it is touched. Each has a guard at its low end, installed once, which
 * MADV_GUARD_INSTALL keeps in the page table, so that a million of them are one mapping; older kernels get
 * mprotect, and no guard once the kernel's limit of mappings is reached. The control block lies at the high
 * end, in the page of the first frames: a parked goroutine costs that one page and its share of the page
 * tables.
 *
 * From one stack to the next it is an odd number of pages: the size, which is a power of two, and one page of guard more,
 * or, from the default size on, less (a guard of three pages does, and there is that much less of page tables). The
 * processor finds a page's translation by the low bits of its number, so pages 128 KiB apart share a few places, and
 * with 250 goroutines each switch would wait for a walk of the page tables (of 1000 pages touched in no order, nine lines
 * each: 44 ns a page, 12 with the odd distance, on an AMD EPYC).
 *
 * A stack that is free keeps its pages and waits in a last-in-first-out cache, so that the next goroutine
 * gets the warmest. Caches: the processor's (default class only, no lock), then the runtime's.
 *
 * When no stack is to be had, the goroutine waits, unstarted, until another ends and gives its stack back, or memory is
 * to be had again, which is asked for whenever nothing runs. It is a panic when nothing is left that could end
 * (deadlock.c); and, since a timer or a descriptor may be awaited for ever by goroutines that never end, when for
 * WANT_NS no stack came back and nothing runs.
 *
 * Small stacks (decision 18), for those who ask: SMALL_BYTES in all, the control block included, one next to the other, so
 * there is no room for a guard. Instead
 *   - two words at the low end, which nobody writes if all is well, are looked at whenever the goroutine leaves the CPU
 *     (leave_watch, which costs the others nothing while there are none);
 *   - one guard, at least, lies below them all;
 *   - no signal is handled on one: a thread that is about to run such a goroutine blocks them for good. To be seen by the
 *     thread, the goroutine is run by its loop alone (g->by_loop), never by another goroutine that leaves;
 *   - what wants more of a stack, a new thread or a panic's report, runs on the worker's (rn__with_room).
 * The dynamic linker, where it binds a function at its first call, saves all vector registers: 3 KiB. So there must be no
 * such binding in the program and this library. (libc binds to the dynamic linker so: pthread_create, for one.)
 *
 * Rejected: a mapping per stack (4 us, and two entries of the kernel's 65,530 each); malloc (no guard).
 */
#include "base/fiber.h"
#include "base/mem.h"
#include "os/os.h"
#include "sched/rt.h"

enum {
    ARENA_FIRST = 64 << 20,
    TRIM_ROOM = 1024,
    PAGE = 4096,
    SMALL_BYTES = 2560,
    ROOM = 65536,
    SMALL_USE = 1536
};
#define CANARY UINT64_C(0x8f1c5a27d3b6e490)
_Static_assert(SMALL_BYTES % CACHE_LINE == 0 &&
                   G_ROOM + sizeof(struct rn__call) + (size_t)2 * 16 + SMALL_USE <= SMALL_BYTES,
               "the call, a frame of ours, the canary");
static const size_t arena_max = (size_t)1 << 30;

size_t rn__stack_bytes(uint32_t stack_class)
{
    return stack_class == STACK_CLASS_SMALL ? SMALL_USE : (size_t)16384 << (stack_class - 1);
}

size_t rn__stack_stride(uint32_t stack_class)
{
    size_t bytes = rn__stack_bytes(stack_class);

    if (stack_class == STACK_CLASS_SMALL)
        return SMALL_BYTES;
    return stack_class < STACK_CLASS_DEFAULT ? bytes + PAGE : bytes - PAGE;
}

/* Larger stacks can afford a guard that a frame of a few pages cannot step over. */
size_t rn__stack_guard(uint32_t stack_class)
{
    if (stack_class == STACK_CLASS_SMALL)
        return 0;
    return stack_class < STACK_CLASS_DEFAULT ? 2 * PAGE : 3 * PAGE;
}

uint32_t rn__stack_class(size_t bytes)
{
    uint32_t c = STACK_CLASS_SMALL + 1;

    if (bytes == 0)
        return STACK_CLASS_DEFAULT;
    while (c < STACK_CLASSES && rn__stack_bytes(c) < bytes)
        c++;
    return c;
}

struct g *rn__arena_g(const struct arena *a, uint32_t i)
{
    return (struct g *)(void *)(a->base + (size_t)(i + 1) * a->stride - G_ROOM);
}

/* Called with rt->memory held. */
static struct arena *arena_new(struct rt *rt, uint32_t stack_class)
{
    struct arena *a = rn__mem_new(sizeof *a);
    size_t size = ARENA_FIRST;
    size_t stack = rn__stack_stride(stack_class), count;

    if (!a)
        return NULL;
    for (const struct arena *b = rt->arenas; b; b = b->next)
        if (b->stack_class == stack_class && size < arena_max)
            size *= 2;
    count = size < stack ? 1 : size / stack;
    a->below = stack_class == STACK_CLASS_SMALL ? PAGE : 0;
    while (!(a->base = rn__os_map(a->below + count * stack))) {
        count /= 2; /* a limit on address space may still have room for a small one */
        if (count == 0) {
            rn__mem_free(a);
            return NULL;
        }
    }
    if (a->below)
        (void)rn__os_guard(a->base, a->below);
    a->base += a->below;
    a->stride = stack;
    a->count = (uint32_t)count;
    a->carved = 0;
    a->stack_class = stack_class;
    a->next = rt->arenas;
    store_release(&rt->arenas, a); /* pairs with reports, which read without the lock */
    return a;
}

struct g *rn__stack_new(struct rt *rt, uint32_t stack_class)
{
    struct arena *a;
    struct g *g;
    uint32_t i;

    spin_lock(&rt->memory);
    g = rt->stacks[stack_class];
    if (g) {
        rt->stacks[stack_class] = g->next;
        store_relaxed(&rt->free_stacks[stack_class], rt->free_stacks[stack_class] - 1);
        spin_unlock(&rt->memory);
        return g;
    }
    for (a = rt->arenas; a; a = a->next)
        if (a->stack_class == stack_class && a->carved < a->count)
            break;
    if (!a)
        a = arena_new(rt, stack_class);
    if (!a) {
        spin_unlock(&rt->memory);
        return NULL;
    }
    i = a->carved;
    store_relaxed(&a->carved, i + 1);
    spin_unlock(&rt->memory);

    g = rn__arena_g(a, i);
    {
        char *lo = a->base + (size_t)i * a->stride;
        size_t guard = rn__stack_guard(stack_class);

        if (guard)
            (void)rn__os_guard(lo, guard); /* unguarded beyond what the kernel allows */
        else
            ((uint64_t *)(void *)lo)[0] = ((uint64_t *)(void *)lo)[1] = CANARY;
        g->stack_lo = lo + guard;
        g->stack_hi = lo + a->stride;
        g->stack_class = stack_class;
        g->valgrind_id = rn__tool_stack_new(g->stack_lo, g->stack_hi);
        rn__tool_region_new(g->stack_lo,
                            (size_t)(g->stack_hi - g->stack_lo)); /* not the guard: it faults */
    }
    return g;
}

/* Take a free stack back into the runtime's cache; somebody may have waited for one. */
void rn__stack_put(struct rt *rt, struct g *g)
{
    struct fresh *f;

    spin_lock(&rt->memory);
    g->next = rt->stacks[g->stack_class];
    rt->stacks[g->stack_class] = g;
    store_relaxed(&rt->free_stacks[g->stack_class], rt->free_stacks[g->stack_class] + 1);
    f = rt->starved; /* the oldest tries again, whatever its class */
    if (unlikely(f != NULL)) {
        rt->starved = f->next;
        store_relaxed(&rt->starving, rt->starving - 1);
        rt->starved_at = rn__os_now();
    }
    spin_unlock(&rt->memory);
    if (unlikely(f != NULL))
        rn__inject(rt, task_of_fresh(f));
}

void rn__stack_await(struct rt *rt, struct fresh *f)
{
    bool again;

    spin_lock(&rt->memory);
    again = rt->stacks[f->stack_class] != NULL; /* given back since we looked */
    if (!again) {
        f->next = NULL;
        if (rt->starved)
            rt->starved_last->next = f;
        else
            rt->starved = f;
        rt->starved_last = f;
        if (rt->starving == 0)
            rt->starved_at = rn__os_now();
        store_relaxed(&rt->starving,
                      rt->starving + 1); /* from now on stacks go to the runtime's cache */
    }
    spin_unlock(&rt->memory);
    if (again)
        rn__inject(rt, task_of_fresh(f));
}

COLD bool rn__stack_gather(struct rt *rt)
{
    struct g *all = NULL, *g;
    bool any;

    spin_lock(&rt->lock);
    for (struct proc *p = rt->idle_proc; p; p = p->next_idle) {
        while ((g = p->stacks)) {
            p->stacks = g->next;
            g->next = all;
            all = g;
        }
        p->stack_count = 0;
    }
    spin_unlock(&rt->lock);
    any = all != NULL;
    while ((g = all)) {
        all = g->next;
        rn__stack_put(rt, g);
    }
    return any;
}

COLD void rn__stack_retry(struct rt *rt)
{
    int64_t now = rn__os_now();
    uint32_t stack_class = 0;
    bool hopeless = false;
    struct g *g;

    spin_lock(&rt->memory);
    if (rt->starved && now - rt->starved_try > STACK_RETRY_NS / 2) {
        rt->starved_try = now;
        stack_class = rt->starved->stack_class + 1;
        hopeless = now - rt->starved_at > WANT_NS;
    }
    spin_unlock(&rt->memory);
    if (!stack_class || rn__stack_gather(rt))
        return;
    g = rn__stack_new(rt, stack_class - 1);
    if (g) {
        rn__stack_put(rt, g);
    } else if (hopeless) {
        spin_lock(&rt->lock);
        hopeless = all_idle(rt) && rt->blocked == 0 && rt->global_len == 0 && !rt->stopping;
        spin_unlock(&rt->lock);
        if (hopeless)
            rn__panic("out of memory for a goroutine's stack");
    }
}

/*
 * What lies below this frame, but for the rest of its page and some room: the frames of the call that gives the memory
 * back are below, too.
 */
NOINLINE void rn_stack_trim(void)
{
    struct g *g = rn__self();
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    uintptr_t end = (here - TRIM_ROOM) & ~(uintptr_t)4095, begin;

    if (g->kind != G_GOROUTINE || g_on_small_stack(g))
        return; /* a plain thread; pages that others have parts of */
    begin = ((uintptr_t)g->stack_lo + 4095) & ~(uintptr_t)4095;
    if (end > begin)
        rn__os_forget((void *)begin, end - begin);
}

/* ---- Small ones --------------------------------------------------------------------------------------- */

static void watch_small(struct g *g, enum leave how)
{
    (void)how;
    if (unlikely(g_on_small_stack(g))) {
        const uint64_t *low = (const uint64_t *)(const void *)g->stack_lo;

        if (low[0] != CANARY || low[1] != CANARY)
            rn__overflow_small(g);
    }
}

COLD bool rn__stack_small(void)
{
    static uint32_t bound; /* atomic: 0 not asked yet, 1 no, 2 yes */
    void (*watch)(struct g *, enum leave);
    bool fits;

    if (rn__tools)
        return false;
    if (!load_relaxed(&bound))
        store_relaxed(&bound, rn__os_bound_at_start() ? 2 : 1);
    if (load_relaxed(&bound) == 1)
        return false;
    watch = load_relaxed(&rn__leave_watch); /* the start of a runtime may take ours away */
    fits = !watch || watch == watch_small;
    if (!watch)
        store_relaxed(&rn__leave_watch, watch_small);
    return fits;
}

void rn__with_room(void (*fn)(void *), void *arg)
{
    struct worker *w = worker_self();
    const struct g *g = w->cur;
    const char *here = __builtin_frame_address(0);

    /* Tools want to be told when a stack changes. */
    if (rn__tools || g->kind != G_GOROUTINE || here < g->stack_lo || here >= g->stack_hi ||
        (size_t)(here - g->stack_lo) > ROOM)
        fn(arg);
    else
        rn__call_on(w->self.sp, fn, arg);
}

void rn__stacks_free(struct rt *rt)
{
    struct arena *next;

    for (struct arena *a = rt->arenas; a; a = next) {
        size_t size = a->below + a->count * a->stride;

        next = a->next;
        for (uint32_t i = 0; rn__tools && i < a->carved; i++) {
            struct g *g = rn__arena_g(a, i);

            rn__tool_stack_free(g->valgrind_id);
            rn__tool_region_free(g->stack_lo, (size_t)(g->stack_hi - g->stack_lo));
        }
        rn__os_unmap(a->base - a->below, size);
        rn__mem_free(a);
    }
    rt->arenas = NULL;
}
