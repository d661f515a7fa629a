/* SPDX-License-Identifier: MIT */
/*
 * panic.c - panics and fatal errors: the report, then the end of the process with status 2.
 *
 * The texts are Go's. A report takes no lock and does not use malloc (but see place.c), since whatever is broken
 * may hold any lock. All other goroutines follow, alike ones folded, unless RUNNEL_TRACEBACK is single; crash
 * aborts instead, for a core file.
 *
 * The program may come to its end meanwhile: the first goroutine returns, or somebody calls exit. Both wait for the
 * reports that are under way, which are counted, so that none is cut short, and a panic never becomes exit status 0.
 */
#include <runnel/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "debug/debug.h"
#include "os/os.h"

/* Who calls exit in a signal's handler may have interrupted the report that is awaited. */
static const int64_t patience_ns = INT64_C(60000000000);

static uint32_t ending;    /* atomic: somebody reports already */
static uint32_t ending_by; /* atomic: the thread that does */
static uint32_t reports;   /* atomic: reports under way */

void rn__report_starts(void)
{
    add_acq_rel(&reports, 1);
}

void rn__report_over(void)
{
    sub_acq_rel(&reports, 1);
}

void rn__reports_await(void)
{
    int64_t until = load_acquire(&reports) ? rn__os_now() + patience_ns : 0;

    while (load_acquire(&reports) && rn__os_now() < until)
        rn__os_thread_sleep(1000000);
}

void rn__reports_fork(void)
{
    store_relaxed(&ending, 0);
    store_relaxed(&ending_by, 0);
    store_relaxed(&reports, 0);
}

bool rn__ending_here(void)
{
    return load_relaxed(&ending_by) == (uint32_t)rn__os_thread_id();
}

void rn__ending(void)
{
    rn__report_starts();
    while (swap_acq_rel(&ending, 1)) /* the process is about to end */
        rn__os_thread_sleep(1000000000);
    store_relaxed(&ending_by, (uint32_t)rn__os_thread_id());
}

static bool is(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

void rn__report_rest(struct out *o, struct pool *pool, struct rt *rt, struct g *g, bool all)
{
    if (rt && (all || !is(getenv("RUNNEL_TRACEBACK"), "single"))) {
        char *large = rn__pool_take(pool, 32 << 10);

        rn__out_flush(o);
        if (large) {
            o->text = large;
            o->room = 32 << 10;
        }
        rn__dump_others(o, rt, g);
    }
    rn__out_flush(o);
    rn__report_end(rt);
}

void rn__report_end(struct rt *rt)
{
    if (rt)
        rn__trace_file(rt);
    if (is(getenv("RUNNEL_TRACEBACK"), "crash"))
        abort();
    _exit(2);
}

struct failure {
    const char *what, *text;
    bool all;
    size_t skip;  /* calls between who looks at the stack and the one that is to blame */
    uintptr_t fp; /* on a small stack: of the frame below that */
};

static NOINLINE void report_here(void *arg)
{
    const struct failure *f = arg;
    const char *what = f->what, *text = f->text;
    bool all = f->all;
    struct worker *w = worker_self();
    struct g *g = w->cur;
    struct rt *rt = w->rt ? w->rt : rn__report_hold();
    uintptr_t pc[FRAMES_MAX];
    struct pool pool = {0};
    char small[256];
    struct out o = {STDERR_FILENO, 0, sizeof small, small};
    struct places *known;
    size_t n;

    rn__ending();
    rn__out_str(&o, what);
    rn__out_str(&o, ": ");
    rn__out_str(&o, text);
    rn__out_str(&o, "\n");
    rn__out_flush(&o); /* whatever else goes wrong, this much is said */
    known = rn__places_new(&pool);
    n = f->fp ? rn__walk(f->fp, (uintptr_t)g->stack_lo, (uintptr_t)g, pc, FRAMES_MAX)
              : rn__walk_self(pc, FRAMES_MAX, f->skip);
    if (g->kind == G_GOROUTINE) {
        rn__out_str(&o, "\n");
        rn__out_head(&o, g, "running");
        rn__out_frames(&o, known, pc, n, true);
        rn__out_created(&o, known, g->created_by, g->created_at);
    } else if (!all) {
        rn__out_str(&o, "\nthread [running]:\n");
        rn__out_frames(&o, known, pc, n, true);
    }
    rn__out_flush(&o);
    rn__report_rest(&o, &pool, rt, g, all);
}

static void report(const char *what, const char *text, bool all, uintptr_t fp)
    __attribute__((noreturn));
static NOINLINE void report(const char *what, const char *text, bool all, uintptr_t fp)
{
    struct failure f = {what, text, all, 3, 0};

    if (unlikely(g_on_small_stack(rn__self()))) {
        f.fp = fp;
        rn__with_room(report_here, &f);
    } else {
        report_here(&f);
    }
    __builtin_unreachable();
}

void rn__threads_exhausted(uint32_t max)
{
    char small[100];
    struct out o = {STDERR_FILENO, 0, sizeof small, small};

    rn__out_str(&o, "runnel: program exceeds ");
    rn__out_int(&o, max);
    rn__out_str(&o, "-thread limit\n");
    rn__out_flush(&o);
    rn__fatal("thread exhaustion");
}

void rn__panic(const char *text)
{
    report("panic", text, false, (uintptr_t)__builtin_frame_address(0));
}

void rn__fatal(const char *text)
{
    report("fatal error", text, strstr(text, "deadlock") != NULL,
           (uintptr_t)__builtin_frame_address(0));
}

struct formatted {
    const char *fmt;
    va_list *args;
    uintptr_t fp;
};
static void panic_with_room(void *arg)
{
    const struct formatted *p = arg;
    char text[1024];
    struct failure f = {"panic", text, false, 0, p->fp};

    vsnprintf(text, sizeof text, p->fmt, *p->args);
    report_here(&f);
}

static NOINLINE void panic_small(const char *fmt, va_list *args, uintptr_t fp)
{
    struct formatted p = {fmt, args, fp};

    rn__with_room(panic_with_room, &p);
}

static NOINLINE void panic_formatted(const char *fmt, va_list *args)
{
    char text[1024];
    struct failure f = {"panic", text, false, 2, 0};

    vsnprintf(text, sizeof text, fmt, *args);
    report_here(&f);
}

void rn_panic(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    if (unlikely(g_on_small_stack(rn__self())))
        panic_small(fmt, &args, (uintptr_t)__builtin_frame_address(0));
    panic_formatted(fmt, &args);
    va_end(args);
    __builtin_unreachable();
}
