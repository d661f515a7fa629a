/* SPDX-License-Identifier: MIT */
/*
 * overflow.c - a goroutine's stack is used up (RT-18).
 *
 * The guard below each stack makes it a SIGSEGV, whose handler runs on a stack of the worker's own, sees that
 * the address lies in the guard of the goroutine that runs there, and reports like any fatal error. All other
 * faults are as if the handler were not there. It is installed at the start of the runtime if the signal has
 * its default disposition, so not under AddressSanitizer and ThreadSanitizer, which report an overflow
 * themselves, nor in a program that handles it; not under Valgrind either; and taken back at the end.
 *
 * A small stack has no guard, but a canary, which is looked at when its goroutine leaves the CPU (stack.c).
 *
 * The stack is walked by frame pointers. Where that does not lead to its bottom, because code without them is
 * in between, the unwinder is asked; it may use malloc when it is called for the first time, which the overflow
 * may have interrupted, so all else is said before, and the process ends in any case.
 */
#include <execinfo.h>
#include <unistd.h>

#include "base/tools.h"
#include "debug/debug.h"
#include "os/os.h"

enum { TOP = 32, BOTTOM = 8, SMALL_FAR = 65536, SIGNAL_ROOM = 16384 };

static uint32_t installed; /* atomic */

static void out_stack(struct out *o, struct places *known, struct g *g, const struct os_fault *f)
{
    uintptr_t top[TOP], bottom[BOTTOM], low = (uintptr_t)g->stack_lo, high = (uintptr_t)g;
    uintptr_t fp = f->fp;
    size_t n = 0;
    size_t first;

    /* fp is in the guard if the fault was between a function's entry and its frame; then it is its caller's
     * and already valid, or it is about to be. */
    top[n++] = f->pc;
    while (fp >= low && fp % sizeof fp == 0 && fp + 2 * sizeof fp <= high) {
        const uintptr_t *frame = (const uintptr_t *)fp;

        if (!frame[1])
            break;
        if (n < TOP)
            top[n] = frame[1];
        else
            bottom[(n - TOP) % BOTTOM] = frame[1];
        n++;
        if (frame[0] <= fp)
            break;
        fp = frame[0];
    }
    /* Lost on the way; or code without them keeps the frame pointer of whoever called it first, which leads from there
     * to the bottom, past all that has used the stack up. */
    if (fp + 1024 < (uintptr_t)g_stack_top(g) || (f->fp > low && f->fp - low > (high - low) / 4)) {
        void *at[FRAMES_MAX];
        uintptr_t pc[FRAMES_MAX];
        int got, i = 0;

        rn__out_flush(o);
        rn__os_end_within(10);
        got = backtrace(at, FRAMES_MAX);
        while (i < got && (uintptr_t)at[i] != f->pc)
            i++;
        for (n = 0; i < got; i++)
            pc[n++] = (uintptr_t)at[i];
        if (n > 0) {
            rn__out_frames(o, known, pc, n, false);
            if (n + 8 > FRAMES_MAX)
                rn__out_str(o, "\t...\n");
        } else {
            rn__out_frames(o, known, top, 1, false);
        }
        return;
    }
    rn__out_frames(o, known, top, n < TOP ? n : TOP, false);
    if (n <= TOP)
        return;
    n -= TOP;
    if (n > BOTTOM) {
        rn__out_str(o, "\t... ");
        rn__out_int(o, n - BOTTOM);
        rn__out_str(o, " more ...\n");
    }
    first = n > BOTTOM ? n - BOTTOM : 0;
    for (size_t i = first; i < n; i++)
        top[i - first] = bottom[i % BOTTOM];
    rn__out_frames(o, known, top, n - first, true);
}

static void out_limit(struct out *o, size_t size)
{
    rn__out_str(o, "runtime: goroutine stack exceeds ");
    rn__out_int(o, size);
    rn__out_str(o, "-byte limit\nfatal error: stack overflow\n\n");
}

/* Not on its stack. The frames may be gone, and so may those of the goroutine below: only this one is told of. */
static void small_report(void *arg)
{
    struct g *g = arg;
    struct pool pool = {0};
    char small[256];
    struct out o = {STDERR_FILENO, 0, sizeof small, small};

    rn__ending();
    out_limit(&o, rn__stack_bytes(STACK_CLASS_SMALL));
    rn__out_str(&o, "The goroutine has a small stack, without a guard: what lies below it has been "
                    "written over. Start it\n"
                    "without small_stack.\n\n");
    rn__out_head(&o, g, "running");
    rn__out_created(&o, rn__places_new(&pool), g->created_by, g->created_at);
    rn__out_flush(&o);
    rn__report_end(g->rt);
}

/* What a signal without a stack of its own wants of a goroutine's: the kernel's record of the CPU, at most. */
static uintptr_t signal_room(const struct os_fault *f)
{
    return f->no_room ? SIGNAL_ROOM : 0;
}

static void on_fault(const struct os_fault *f)
{
    struct worker *w = arch_tls_address(rn__tls_worker);
    struct g *g = w->cur;
    struct pool pool = {0};
    char small[256];
    struct out o = {STDERR_FILENO, 0, sizeof small, small};
    struct places *known;
    uintptr_t lo;
    size_t size;

    if (!g || g->kind != G_GOROUTINE || rn__ending_here())
        return; /* the last: a report that faults is not to wait for itself */
    if (g_on_small_stack(g) && f->address < (uintptr_t)g->stack_lo + signal_room(f) &&
        f->address + SMALL_FAR > (uintptr_t)g->stack_lo)
        small_report(g);
    lo = (uintptr_t)g->stack_lo - rn__stack_guard(g->stack_class);
    if (f->address < lo || f->address >= (uintptr_t)g->stack_lo + signal_room(f))
        return;
    rn__ending();
    size = rn__stack_bytes(g->stack_class);
    out_limit(&o, size);
    rn__out_str(&o, "The stack is from ");
    rn__out_hex(&o, lo);
    rn__out_str(&o, " to ");
    rn__out_hex(&o, (uintptr_t)g->stack_hi);
    rn__out_str(&o, ". If the goroutine needs a larger one, start it with\n"
                    "rn_go_with(RN_ATTR(.stack_size = ");
    rn__out_int(&o, 2 * size);
    rn__out_str(&o, "), ...); else look below for a recursion\n"
                    "without end, or for large arrays in functions.\n\n");
    rn__out_head(&o, g, "running");
    rn__out_flush(&o);
    known = rn__places_new(&pool);
    out_stack(&o, known, g, f);
    rn__out_created(&o, known, g->created_by, g->created_at);
    rn__report_rest(&o, &pool, g->rt, g, false);
}

void rn__overflow_small(struct g *g)
{
    rn__with_room(small_report, g);
    __builtin_unreachable();
}

void rn__overflow_begin(void)
{
    if (!(rn__tools & (TOOL_TSAN | TOOL_ASAN | TOOL_VALGRIND)))
        store_relaxed(&installed, rn__os_fault_begin(on_fault));
}

void rn__overflow_end(void)
{
    if (load_relaxed(&installed))
        rn__os_fault_end();
    store_relaxed(&installed, 0);
}

void *rn__overflow_thread(void)
{
    return load_relaxed(&installed) ? rn__os_signal_stack_new() : NULL;
}
