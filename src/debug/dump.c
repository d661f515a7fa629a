/* SPDX-License-Identifier: MIT */
/*
 * dump.c - panics, fatal errors, and the list of goroutines that goes with them.
 *
 * The texts are Go's. A report is written with write(2) from a buffer on the stack, takes no lock and
 * allocates nothing, since whatever is broken may hold any lock; then the process ends with status 2. Other
 * goroutines may run meanwhile, so what is printed of them is a glance, not a snapshot.
 *
 * A parked goroutine's stack is walked by frame pointers from its saved context, inside its bounds: the
 * library keeps them, and so should the program (-fno-omit-frame-pointer).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <inttypes.h>
#include <runnel/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/os.h"
#include "sched/rt.h"

const char *const rn__wait_text[WAIT_REASONS] = {
    [WAIT_NONE] = "waiting",
    [WAIT_CHAN_SEND] = "chan send",
    [WAIT_CHAN_RECEIVE] = "chan receive",
    [WAIT_CHAN_SEND_NIL] = "chan send (nil chan)",
    [WAIT_CHAN_RECEIVE_NIL] = "chan receive (nil chan)",
    [WAIT_SELECT] = "select",
    [WAIT_SELECT_NO_CASES] = "select (no cases)",
    [WAIT_SLEEP] = "sleep",
    [WAIT_MUTEX_LOCK] = "sync.Mutex.Lock",
    [WAIT_RWMUTEX_LOCK] = "sync.RWMutex.Lock",
    [WAIT_RWMUTEX_RLOCK] = "sync.RWMutex.RLock",
    [WAIT_WG_WAIT] = "sync.WaitGroup.Wait",
    [WAIT_ONCE] = "sync.Once.Do",
    [WAIT_COND_WAIT] = "sync.Cond.Wait",
    [WAIT_SEM_ACQUIRE] = "semacquire",
    [WAIT_GROUP_GO] = "errgroup.Go",
    [WAIT_GROUP_WAIT] = "errgroup.Wait",
    [WAIT_FLIGHT] = "singleflight.Do",
    [WAIT_HOOK_STOP] = "hook stop",
    [WAIT_SETTLE] = "settle",
    [WAIT_PARK] = "park",
};

static void out(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void out(const char *fmt, ...)
{
    char line[1024];
    va_list args;
    size_t n;

    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    n = strlen(line);
    for (size_t at = 0; at < n;) {
        ssize_t put = write(STDERR_FILENO, line + at, n - at);

        if (put <= 0)
            return;
        at += (size_t)put;
    }
}

static void out_place(const void *pc)
{
    Dl_info info;
    uintptr_t at = (uintptr_t)pc;

    if (dladdr(pc, &info) && info.dli_sname)
        out("\t%s+0x%" PRIxPTR " [0x%" PRIxPTR "]\n", info.dli_sname, at - (uintptr_t)info.dli_saddr, at);
    else if (dladdr(pc, &info) && info.dli_fname)
        out("\t%s(+0x%" PRIxPTR ") [0x%" PRIxPTR "]\n", info.dli_fname, at - (uintptr_t)info.dli_fbase,
            at);
    else
        out("\t[0x%" PRIxPTR "]\n", at);
}

static void out_created(uint64_t by, const void *at)
{
    if (!at)
        return;
    if (by)
        out("created by goroutine %" PRIu64 " at\n", by);
    else
        out("created by a thread at\n");
    out_place(at);
}

static void out_own_stack(void)
{
    void *pc[64];
    int n = backtrace(pc, 64);

    for (int i = 2; i < n; i++) /* not ourselves */
        out_place(pc[i]);
}

static void out_parked_stack(const struct g *g)
{
    uintptr_t fp = arch_frame_fp(g->sp);

    out_place((void *)(uintptr_t)arch_frame_pc(g->sp));
    for (int i = 0; i < 64; i++) {
        const uintptr_t *frame = (const uintptr_t *)fp;

        if (fp < (uintptr_t)g->stack_lo || fp + 16 > (uintptr_t)g || fp % sizeof(uintptr_t))
            break;
        if (!frame[1])
            break;
        out_place((void *)frame[1]);
        if (frame[0] <= fp)
            break;
        fp = frame[0];
    }
}

static void out_head(uint64_t id, const char *name, const char *state)
{
    out("goroutine %" PRIu64 "%s%s%s [%s]:\n", id, name[0] ? " \"" : "", name, name[0] ? "\"" : "",
        state);
}

void rn__dump_all(struct rt *rt, struct g *self)
{
    for (const struct arena *a = rt->arenas; a; a = a->next) {
        uint32_t n = load_relaxed(&a->carved);

        for (uint32_t i = 0; i < n; i++) {
            struct g *g = rn__arena_g(a, i);
            uint8_t status = load_relaxed(&g->status);

            if (g == self || status == G_FREE || status == G_DEAD)
                continue;
            out("\n");
            out_head(g->id, g->name,
                     status == G_WAITING    ? rn__wait_text[load_relaxed(&g->why)]
                     : status == G_RUNNABLE ? "runnable"
                                            : "running");
            if (status == G_WAITING)
                out_parked_stack(g);
            out_created(g->created_by, g->created_at);
        }
    }
    for (const struct slab *s = rt->slabs; s; s = s->next) {
        for (uint32_t i = 0; i < SLAB_RECORDS; i++) {
            const struct fresh *f = &s->record[i];

            if (!load_relaxed(&f->in_use))
                continue;
            out("\n");
            out_head(f->id, f->name, "runnable");
            out_place((void *)(uintptr_t)f->call.fn);
            out_created(f->created_by, f->created_at);
        }
    }
}

static uint32_t ending; /* atomic: somebody reports already */

static void report(const char *what, const char *text, bool all) __attribute__((noreturn));
static void report(const char *what, const char *text, bool all)
{
    struct worker *w = worker_self();
    struct g *g = w->cur;
    struct rt *rt = w->rt ? w->rt : load_acquire(&rn__rt);
    const char *traceback = getenv("RUNNEL_TRACEBACK");

    while (swap_acq_rel(&ending, 1)) /* the process is about to end */
        rn__os_thread_sleep(1000000000);
    out("%s: %s\n\n", what, text);
    if (g->kind == G_GOROUTINE) {
        out_head(g->id, g->name, "running");
        out_own_stack();
        out_created(g->created_by, g->created_at);
    } else if (!all) {
        out("thread [running]:\n");
        out_own_stack();
    }
    if (all && rt)
        rn__dump_all(rt, g);
    if (traceback && strcmp(traceback, "crash") == 0)
        abort();
    _exit(2);
}

void rn__threads_exhausted(uint32_t max)
{
    out("runnel: program exceeds %" PRIu32 "-thread limit\n", max);
    rn__fatal("thread exhaustion");
}

void rn__panic(const char *text)
{
    report("panic", text, false);
}

void rn__fatal(const char *text)
{
    report("fatal error", text, strstr(text, "deadlock") != NULL);
}

void rn_panic(const char *fmt, ...)
{
    char text[1024];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    rn__panic(text);
}
