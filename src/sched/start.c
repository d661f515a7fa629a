/* SPDX-License-Identifier: MIT */
/*
 * start.c - the runtime's beginning and end.
 *
 * rn_run makes a runtime, turns the calling thread into its first worker, and runs fn as goroutine 1. Any other
 * use starts one with a worker thread of its own, which lives until the process ends, or until an rn_run takes
 * it over.
 *
 * The end, in steps:
 *   1. stopping is set and every worker woken. A worker that is idle or looks for work leaves its loop; a
 *      goroutine that parks, yields, ends or starts another goes to its worker's loop, which leaves. The monitor is
 *      joined.
 *   2. rn_run's thread, out of its own loop, waits for the other workers: as long as it takes for one that is
 *      inside the runtime, and a moment for one that runs a goroutine. One that is still computing or in a C
 *      call then is an orphan: it holds a reference to the runtime, and ends at its next call that waits.
 *   3. Goroutines that have left their threads are taken off what they wait on, under the lock of what it is; if
 *      a thread of the user's was about to ready one, we wait until it has. An orphan does that for its own. Timers
 *      still armed are dropped, but those for which plain threads wait.
 *   4. rn__rt is NULL, so that new calls of plain threads start a new runtime. The last reference, normally
 *      rn_run's, frees everything; plain threads take one, under start_lock, while they use a runtime.
 */
#include "base/fiber.h"
#include "base/mem.h"
#include "debug/debug.h"
#include "debug/layout.h"
#include "netpoll/ahead.h"
#include "os/os.h"
#include "sched/labels.h"
#include "sched/lot.h"
#include "sched/note.h"
#include "sched/rt.h"

#include <stdio.h>
#include <stdlib.h>

struct rt *rn__rt;
#ifndef RN_EXPLORE
/* Nothing refers to the table, and a program linked with the archive is to have it. */
__attribute__((used)) static const struct layout *const layout = &rn__layout;
#endif
static struct spin start_lock; /* guards the making of a runtime, wanted_procs and counted */
static struct counted counted; /* of the runtimes that have ended */
static int wanted_procs;
static uint32_t running;    /* atomic: an rn_run is active */
static uint32_t tags;       /* how many ids the runtimes before have given; guarded by start_lock */
static uint64_t last_ended; /* atomic: number of the last runtime that was emptied */
static pthread_key_t thread_key;
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;

void rn__errors_free(struct g *g);
void rn__signals_stop(void) __attribute__((weak));
void rn__signals_fork(void) __attribute__((weak));
void rn__children_stop(void) __attribute__((weak));
void rn__children_fork(void) __attribute__((weak));
void rn__lookups_fork(void) __attribute__((weak));

/* ---- Threads ---------------------------------------------------------------------------------------- */

static void thread_gone(void *arg)
{
    struct worker *w = arg;

    rn__errors_free(&w->self);
    w->cur = NULL;
}

/*
 * In a child process, with the one thread that forked. The other threads are gone and whatever lock they held stays
 * held, so everything of the process's is made new: a plain thread may start a runtime as in any process. Goroutines,
 * and what they waited on, belong to the parent. A goroutine that forked has no runtime in the child.
 */
static bool used; /* some thread has called the library */

static void fork_child(void)
{
    struct worker *w = arch_tls_address(rn__tls_worker);

    rn__forked = true;
    rn__signal_fork(); /* these two also where only rn_dump_on_signal was called */
    rn__reports_fork();
    if (!used) /* all is as new */
        return;
    if (load_relaxed(&rn__rt)) {
        tags += (uint32_t)load_relaxed(&rn__rt->next_id);
        rn__ahead_fork(rn__rt);
    }
    store_relaxed(&rn__rt, NULL); /* its memory is left where it is */
    start_lock = (struct spin){0};
    counted = (struct counted){0};
    store_relaxed(&running, 0);
    store_relaxed(&rn__threads_parked, 0);
    store_relaxed(&rn__threads_own, 0);
    rn__lot_fork();
    rn__labels_fork();
    rn__timers_fork();
    rn__bias_fork();
    rn__netpoll_fork();
    if (rn__signals_fork)
        rn__signals_fork();
    if (rn__children_fork)
        rn__children_fork();
    if (rn__lookups_fork)
        rn__lookups_fork();
    if (!w->cur)
        return;
    if (w->cur->kind == G_GOROUTINE) {
        store_relaxed(&w->attention, ATTEND_FORKED);
    } else {
        w->rt = NULL;
        w->proc = NULL;
        store_relaxed(&w->attention, 0);
    }
}

static void thread_key_make(void)
{
    pthread_key_create(&thread_key, thread_gone);
    used = true;
}

__attribute__((constructor)) static void fork_watch(void)
{
    pthread_atfork(NULL, NULL, fork_child);
}

COLD void rn__worker_init(struct worker *w)
{
    int saved = errno;

    w->cur = &w->self;
    w->self.worker = w;
    w->self.on_cpu = 1;
    w->random = ((uint64_t)(uintptr_t)w ^ (uint64_t)rn__os_now()) | 1;
    w->tid = rn__os_thread_id();
    w->errno_at = &errno;
    rn__tool_shared(&errno, sizeof errno);
    pthread_once(&thread_once, thread_key_make);
    pthread_setspecific(thread_key, w); /* so that what it holds goes with the thread */
    errno = saved;
}

/* ---- Processors ------------------------------------------------------------------------------------- */

static int env_procs(void)
{
    const char *text = getenv("RUNNEL_PROCS");
    char *end;
    long n;

    if (!text || !*text)
        return 0;
    n = strtol(text, &end, 10);
    if (*end || n < 1 || n > PROCS_MAX) {
        fprintf(stderr, "runnel: RUNNEL_PROCS=%s: expected a number from 1 to %d; ignored\n", text,
                PROCS_MAX);
        return 0;
    }
    return (int)n;
}

static int default_procs(void)
{
    int n = wanted_procs;

    if (n == 0)
        n = env_procs();
    if (n == 0)
        n = rn__os_cpus();
    return n > PROCS_MAX ? PROCS_MAX : n;
}

int rn_procs(void)
{
    bool held;
    struct rt *rt = rn__rt_hold_running(worker_self(), &held);
    int n;

    if (rt) {
        n = (int)load_relaxed(&rt->limit);
        rt_drop(rt, held);
        return n;
    }
    spin_lock(&start_lock);
    n = default_procs();
    spin_unlock(&start_lock);
    return n;
}

int rn_set_procs(int n)
{
    int err = 0;

    if (n < 0 || n > PROCS_MAX)
        return -EINVAL;
    spin_lock(&start_lock);
    if (load_relaxed(&rn__rt))
        err = -EBUSY;
    else
        wanted_procs = n;
    spin_unlock(&start_lock);
    return err;
}

/* ---- Making and freeing ----------------------------------------------------------------------------- */

static uint32_t max_threads(void)
{
    const char *text = getenv("RUNNEL_MAX_THREADS");
    char *end;
    long n;

    if (!text || !*text)
        return MAX_THREADS;
    n = strtol(text, &end, 10);
    if (*end || n < 2 || n > 1000000) {
        fprintf(stderr,
                "runnel: RUNNEL_MAX_THREADS=%s: expected a number from 2 to 1000000; ignored\n",
                text);
        return MAX_THREADS;
    }
    return (uint32_t)n;
}

static struct rt *rt_new(void)
{
    static uint64_t starts; /* guarded by start_lock */
    struct rt *rt;
    uint32_t n = (uint32_t)default_procs(), room = n;
    bool follows = wanted_procs == 0 && env_procs() == 0;

    rn__overflow_begin();
    rt = rn__mem_new_zero(sizeof *rt, CACHE_LINE);
    if (!rt)
        return NULL;
    if (follows && rn__os_cpus_all() > (int)n)
        room = rn__os_cpus_all() > PROCS_MAX ? PROCS_MAX : (uint32_t)rn__os_cpus_all();
    rt->procs = rn__mem_new_zero(room * sizeof *rt->procs, CACHE_LINE);
    if (!rt->procs) {
        rn__mem_free(rt);
        return NULL;
    }
    rt->nprocs = rt->limit = n;
    rt->room = room;
    rt->follows = follows && room > 1;
    rt->alone = n == 1;
    rt->refs = 1;
    rt->next_id = 1;
    rt->number = ++starts;
    rt->tags = tags;
    rt->keeper_until = INT64_MIN;
    rt->max_workers = max_threads();
    rt->fences = !rn__os_fence_all_start();
    rt->now = rt->began = now_ns();
    rt->slack = rn__os_slack();
    rn__os_signal_mask(&rt->signal_mask);
    for (uint32_t i = room; i-- > 0;) {
        struct proc *p = &rt->procs[i];

        p->index = i;
        p->alone = n == 1 && i == 0;
        p->timers = &rn__timer_heaps[i];
        rn__bias_begin(rt, p);
        rn__timers_begin(p->timers);
        p->idle = true;
        if (i >= n)
            continue;
        p->next_idle = rt->idle_proc;
        rt->idle_proc = p;
    }
    rt->idle_procs = n;
    rn__trace_begin(rt);
    return rt;
}

static void rt_free(struct rt *rt)
{
    struct slab *next_slab;
    struct worker_slot *next_slot;

    rn__trace_free(rt);
    rn__chans_free(rt);
    rn__stacks_free(rt);
    for (struct slab *s = rt->slabs; s; s = next_slab) {
        next_slab = s->next;
        for (uint32_t i = 0; i < SLAB_RECORDS; i++) {
            if (s->record[i].in_use) {
                rn__copied_free(s->record[i].done, s->record[i].owner);
                rn__labels_free(s->record[i].labels);
                rn__fiber_free(s->record[i].tsan_fiber);
            }
        }
        rn__mem_free(s);
    }
    for (struct worker_slot *s = rt->slots; s; s = next_slot) {
        next_slot = s->next;
        rn__mem_free(s);
    }
    rn__mem_free(rt->procs);
    rn__mem_free(rt);
}

void rn__rt_ref(struct rt *rt)
{
    add_relaxed(&rt->refs, 1); /* the caller knows of a reference that stays meanwhile */
}

void rn__rt_unref(struct rt *rt)
{
    if (sub_acq_rel(&rt->refs, 1) == 1)
        rt_free(rt);
}

struct rt *rn__rt_hold_running(struct worker *w, bool *ret_held)
{
    struct rt *rt = w->rt;

    *ret_held = false;
    if (likely(rt))
        return rt;
    spin_lock(
        &start_lock); /* the running runtime's own reference is given up after rn__rt has changed under it */
    rt = load_relaxed(&rn__rt);
    if (rt) {
        rn__rt_ref(rt);
        *ret_held = true;
    }
    spin_unlock(&start_lock);
    return rt;
}

struct rt *rn__rt_hold(struct worker *w, bool *ret_held)
{
    struct rt *rt = rn__rt_hold_running(w, ret_held);

    if (likely(rt))
        return rt;
    spin_lock(&start_lock);
    rt = load_relaxed(&rn__rt);
    if (!rt) {
        rt = rt_new();
        if (rt) {
            store_release(&rn__rt, rt); /* pairs with load_acquire of whoever looks at it */
            rn__wake_one(
                rt); /* a first worker, to mind timers and wait for work; and the monitor */
        }
    }
    if (rt) {
        rn__rt_ref(rt);
        *ret_held = true;
    }
    spin_unlock(&start_lock);
    rn__signal_begin();
    rn__locks_begin();
    rn__leaks_begin();
    return rt;
}

struct rt *rn__report_hold(void)
{
    struct rt *rt = NULL;

    /* A report may come from anywhere: whoever holds the lock may be what is broken. */
    for (unsigned tries = 0; tries < 1000 && !spin_try(&start_lock); tries++) {
        if (tries == 999)
            return NULL;
        rn__os_thread_yield();
    }
    rt = load_relaxed(&rn__rt);
    if (rt)
        add_relaxed(&rt->refs, 1);
    spin_unlock(&start_lock);
    return rt;
}

void rn__counted_add(struct counted *c, struct rt *rt)
{
    uint32_t n = load_acquire(&rt->nprocs);

    /* Wake-ups before parks, ends before starts: never more of the former. See count.h, E1. */
    c->ended += load_acquire(&rt->ended);
    for (uint32_t i = 0; i < n; i++)
        c->ended += load_acquire(&rt->procs[i].ended);
    c->started += load_acquire(&rt->started);
    for (uint32_t i = 0; i < n; i++)
        c->started += load_acquire(&rt->procs[i].started);
    for (int k = COUNTS; k-- > 0;) {
        c->count[k] += load_acquire(&rt->count[k]);
        for (uint32_t i = 0; i < n; i++)
            c->count[k] += load_acquire(&rt->procs[i].count[k]);
    }
}

struct rt *rn__counted_hold(struct counted *ret_past)
{
    struct rt *rt;

    spin_lock(&start_lock);
    rt = load_relaxed(&rn__rt);
    if (rt)
        rn__rt_ref(rt);
    rn__copy(ret_past, &counted, sizeof counted);
    spin_unlock(&start_lock);
    return rt;
}

/* Wait until slot's worker is gone; for one that is in the user's code, only for a moment. False: it stays. */
static bool wait_gone(struct rt *rt, struct worker_slot *slot)
{
    int64_t until = rn__os_now() + 20000000;

    while (!load_acquire(&slot->exited)) { /* pairs with worker_leave's store */
        rn__os_futex_wait(&slot->exited, 0, rn__os_now() + 1000000);
        if (load_acquire(&slot->exited))
            break;
        if (rn__os_now() > until) {
            bool stays;

            spin_lock(&rt->lock);
            stays = slot->worker && rn__bias_leave_behind(rt, slot->worker);
            if (stays) {
                slot->orphan = true;
                rn__rt_ref(rt);
            }
            spin_unlock(&rt->lock);
            if (stays)
                return false;
        }
    }
    return true;
}

void rn__g_drop(struct rt *rt, struct g *g)
{
    uint8_t status = load_acquire(&g->status);

    if (status == G_FREE || swap_acq_rel(&g->dropped, 1))
        return;
    if (status == G_WAITING && !g->unlink(g->wait)) {
        /* Somebody has taken it out and readies it right now: with a reference to rt, once that is done. */
        for (unsigned n = 0; load_acquire(&g->status) == G_WAITING; n++) /* pairs with rn__ready */
            rn__wait_shortly(n);
        spin_lock(&rt->lock); /* nobody is between the status and the queue any more */
        spin_unlock(&rt->lock);
    }
    if (status == G_RUNNABLE && g->unlink_always)
        (void)g->unlink(g->wait);
    rn__g_clear(g);
    rn__copied_free(g->done, g->owner);
    if (g->tsan_fiber) { /* what it did is before the end of rn_run */
        void *mine = rn__fiber_current();

        rn__fiber_borrow(g->tsan_fiber);
        edge_release(&rn__threads_own);
        rn__fiber_borrow(mine);
        rn__fiber_free(g->tsan_fiber);
        g->tsan_fiber = NULL;
    }
    store_relaxed(&g->status, G_FREE);
}

/* What has left its thread. One that has not is an orphan's, whose worker drops it. */
static void drop_all(struct rt *rt)
{
    for (struct arena *a = rt->arenas; a; a = a->next) {
        for (uint32_t i = 0; i < a->carved; i++) {
            struct g *g = rn__arena_g(a, i);

            if (load_acquire(&g->on_cpu) == 0) /* pairs with arrived() */
                rn__g_drop(rt, g);
        }
    }
}

/* What comes after the end of a runtime: nothing, an rn_run's own, or the end of the process. */
enum after_end { THEN_NOTHING, THEN_RUN, THEN_EXIT };

/* Steps 1 to 4. The caller is no worker of rt any more. */
static void rt_end(struct rt *rt, enum after_end then)
{
    bool waited_for = false;

    rn__reports_await();
    rn__stop(rt);
    rn__bias_end(rt);
    /* Of threads that are being made none is added any more. */
    for (unsigned n = 0; load_acquire(&rt->creating); n++)
        rn__wait_shortly(n);
    rn__monitor_end(rt);
    for (struct worker_slot *s = rt->slots; s; s = s->next) {
        if (wait_gone(rt, s))
            pthread_join(s->thread, NULL);
        else
            pthread_detach(s->thread);
    }
    rn__trace_file(rt);
    drop_all(rt);
    if (rn__children_stop) /* whose minders have not begun; the others' are gone by now */
        rn__children_stop();
    store_release(&last_ended, rt->number); /* pairs with rn__run_gone */
    edge_acquire(&rn__threads_own);         /* with rn__g_end and rn__g_drop */
    for (uint32_t i = 0; i < rt->nprocs; i++) {
        waited_for |= rn__timers_end(rt->procs[i].timers);
        rn__ahead_end(&rt->procs[i]);
    }
    spin_lock(&start_lock);
    if (load_relaxed(&rn__rt) == rt) {
        rn__counted_add(&counted, rt); /* what an orphan still does is not counted */
        tags += (uint32_t)load_relaxed(&rt->next_id);
        (void)swap_seq_cst(&rn__rt,
                           NULL); /* before looking who waits for a descriptor; see rn__fd_wait */
    }
    rn__netpoll_stop(then == THEN_EXIT);
    rn__overflow_end();
    spin_unlock(&start_lock);
    if (rn__signals_stop)
        rn__signals_stop();
    rn__rt_unref(rt);
    if (waited_for && then == THEN_NOTHING) { /* somebody must fire them */
        bool held;

        rt = rn__rt_hold(worker_self(), &held);
        if (rt)
            rt_drop(rt, held);
    }
}

bool rn__run_gone(uint64_t number)
{
    return number <= load_acquire(&last_ended); /* pairs with its end */
}

/* ---- rn_run ----------------------------------------------------------------------------------------- */

static void run_done(void *owner, int result)
{
    struct rn__run *run = owner;
    struct rt *rt = rn__self()->rt;

    run->result = result;
    edge_release(run);
    if (!load_relaxed(&rt->main_exited)) {
        rn__stacks_end(rt, " at the end of rn_run");
        rn__leaks_end(rt, " at the end of rn_run", true);
    }
    if (!load_relaxed(&rt->main_exited))
        rn__stop(rt);
}

static void run_start(struct rn__call *call)
{
    static const char no_memory[] = "rn_run: out of memory";
    struct rn__run *run = container_of(call, struct rn__run, call);
    struct worker *w = worker_self();
    struct worker_slot slot = {.worker = w};
    struct worker_slot **at;
    struct fresh *f;
    struct rt *rt, *old;
    void *signal_stack;

    __builtin_unwind_init(); /* what our caller has in registers only is in this frame, to be found: stuck.c */
    /* A runtime that started by itself makes room for this one; and so does another that some thread starts before
     * this one is there. */
    for (;;) {
        old = load_acquire(&rn__rt);
        if (old)
            rt_end(old, THEN_RUN);
        spin_lock(&start_lock);
        if (!load_relaxed(&rn__rt))
            break;
        spin_unlock(&start_lock);
    }
    rt = rt_new();
    if (rt) {
        rt->has_main = true;
        rt->next_id = 1;
        store_release(&rn__rt, rt);
    }
    spin_unlock(&start_lock);
    if (!rt)
        rn__panic(no_memory);
    rn__signal_begin();
    rn__locks_begin();
    rn__leaks_begin();

    spin_lock(&rt->lock);
    slot.next = rt->slots;
    rt->slots = &slot;
    store_relaxed(&rt->workers, rt->workers + 1);
    spin_unlock(&rt->lock);
    rn__worker_join(w, rt, &slot);
    w->caller = w->home = true;
    w->proc = rn__proc_take_idle(rt, w);
    rn__monitor_start(rt);

    f = rn__fresh_new(call->fn, run_done, run, __builtin_return_address(0));
    if (!f)
        rn__panic(no_memory);
    rn__copy(f->call.gp, call->gp, offsetof(struct rn__call, fn));
    rn__fresh_announce(f);
    note_spawn(w, f);
    w->handed = task_of_fresh(f); /* in no queue, or another thread might be faster */
    signal_stack = rn__overflow_thread();
    rn__exceptions_save(&w->self); /* rn_run may be called in a catch block */
    rn__sched_loop(w);
    rn__exceptions_restore(&w->self);
    if (w->quiet) {
        rn__os_signal_mask_set(&w->signal_mask);
        w->quiet = false;
    }
    rn__os_signal_stack_free(signal_stack);
    if (w->slack)
        rn__os_slack_set(w->slack);
    w->exact = false;
    w->slack = 0;

    rn__monitor_exclude(w);
    for (at = &rt->slots; *at != &slot; at = &(*at)->next)
        ;
    *at = slot.next;
    store_relaxed(&rt->workers, rt->workers - 1);
    w->proc = NULL;
    w->rt = NULL;
    w->slot = NULL;
    w->last = NULL;
    w->locked = NULL;
    w->handed = 0;
    w->spinning = false;
    w->without = false;
    w->caller = w->home = false;
    w->in_list = false;
    w->yielded = false;
    w->doomed = false;
    w->given = NULL;
    w->requeue = false;
    spin_unlock(&rt->lock);
    rt_leave(w);
    edge_acquire(run);
    rt_end(rt, THEN_NOTHING);
    store_release(&running, 0);
}

struct rn__call *rn__run_begin(struct rn__run *run, void (*fn)(void))
{
    uint32_t none = 0;

    if (!fn)
        rn__fatal("go of nil func value");
    if (rn__self()->kind == G_GOROUTINE)
        rn__panic("rn_run: called from a goroutine");
    if (!cas_acq_rel(&running, &none, 1))
        rn__panic("rn_run: another rn_run is running");
    run->call.fn = fn;
    run->call.op = run_start;
    run->result = 0;
    return &run->call;
}

int rn_run_fn(int (*fn)(void *), void *arg)
{
    struct rn__run run;
    struct rn__call *call = rn__run_begin(&run, (void (*)(void))fn);

    rn__call_set_ptr(call, arg);
    run_start(call);
    return run.result;
}

/* Without rn_run, or after it: leave nothing behind for a leak checker. */
__attribute__((destructor)) static void process_end(void)
{
    struct worker *w = arch_tls_address(rn__tls_worker);
    struct rt *rt;

    rn__reports_await();
    rt = load_acquire(&rn__rt);
    if (rt)
        rn__stacks_end(rt, " at exit");
    if (w->rt) { /* exit was called in a goroutine */
        rn__leaks_end(w->rt, " at exit", false);
        rn__trace_file(w->rt);
    } else if (rt) {
        rn__leaks_end(rt, " at exit", true);
    }
    if (rt && !w->rt)
        rt_end(rt, THEN_EXIT);
    if (w->cur && !w->rt)
        rn__errors_free(&w->self);
}
