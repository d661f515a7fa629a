/* SPDX-License-Identifier: MIT */
/*
 * sched.c - who runs next, who sleeps, and who is woken.
 *
 * A worker with a processor runs its loop on the thread's own stack: find a task, switch to it. A goroutine
 * that parks takes the next task from its processor's queues and switches to it directly; only when there
 * is none, or something else is due (timers, the global queue), does it go through the loop. What has to be
 * done about the goroutine that left (mark it off the CPU, queue it, cache its stack) is done by whoever
 * arrives, on another stack: see arrived().
 *
 * Order. Readied goroutines first, in the order in which they were readied; then those that yielded, likewise, whether
 * by themselves or because their time was over: who was woken has waited for something, and goes before who computes.
 * Then new ones, newest first, but every FRESH_OLDEST-th pick the oldest. After READY_RUN picks of others a new one has
 * its turn, and one that yielded, in turns, if none of those was picked meanwhile; the global queue and timers have theirs
 * every few picks. So whoever is runnable is reached within a bound, whatever the others do between picks.
 *
 * Waking. Work in a processor's own queue is never lost: its holder runs, and will look. To wake another
 * worker for it is a matter of latency, and costs microseconds. So:
 *   - two or more tasks queued: wake one worker, if a processor is idle and nobody is looking for work;
 *   - one task queued: the same, unless this processor's last KEPT_MAX lone tasks were all run by itself, as
 *     in a ping-pong, where a second processor only hurts. Then nobody is woken. Should the holder not pick for
 *     a while, the monitor finds the task waiting, and wakes somebody (monitor.c).
 *   - a worker that looks for work takes a lone task only if it has seen it wait: the holder is about to;
 *   - tasks that are over in less time than it takes to move them are not shared. Moved, a task costs transfers of its
 *     cache lines, there and back, and of what it has in common with those that stay: goroutines that only pass values
 *     along are up to seven times slower on two processors than on one. So a thief measures what became of what it took
 *     (trip_over), from the theft until its queues are empty again. The theft paid if each task, those that were moved and
 *     each that has parked since, took PAYS_NS; or if each that was moved did, counting what came of it, and tasks were
 *     picked about as fast as at home when nobody shared (pace_look): the root of a large tree pays, however small its
 *     leaves, and so does a thousand pairs that talk. What a processor has no room for lies in the global queue, by the
 *     hundred: to take it from there is a theft too (global_for), of which the pace alone is asked. And any pays where the
 *     holder has not picked for LEFT_US: it runs something long. After UNPAID_MAX thefts in a row that did not pay nobody
 *     is woken for that processor's tasks, and nobody takes any, until the monitor says that it is worth another try
 *     (try_sharing): when tasks last longer by now, or else after 1, 2, 4, up to 32 looks at which work waits.
 * Work in the global queue may come from a thread without a processor, so there it is a matter of life:
 *   submit: queue the task under rt->lock; fence; is anybody spinning? is a processor idle?      (W1)
 *   sleep:  give the processor up under rt->lock, if the global queue has nothing for it (global_for); stop
 *           spinning; fence; look at all queues again.                                            (W2)
 * Of a submitter and a worker going to sleep, one sees the other.
 *
 * Timers are in per-processor heaps; a busy worker looks at its own every few picks, a worker that looks
 * for work at everybody's, and the keeper, one of the idle workers, sleeps until the first of all.
 *   arm:    insert; fence; is it before keeper_until? then wake the keeper.                       (T1)
 *   sleep:  publish keeper_until; fence; look at all heaps again.                                 (T2)
 * The keeper is also who sleeps in the poller. While all processors are busy there is none: their holders poll in passing,
 * each when what it had found has had its turn (poll_now), and the monitor if they do not.
 * Where all that comes is done in microseconds the next edge is better left to whoever is busy already, who polls before
 * it rests: a thread woken for it costs more than the wait, and two that answer each other would wake each other each time.
 * So it is counted how often a keeper was of no use: nothing had come to it when whoever made it the keeper was back; or
 * an edge had, and another one gave up its processor while that was seen to. After VAIN_MAX such times in a row
 * (covered) none is appointed unless a timer is due soon, and one that is there while somebody is busy minds timers alone.
 * The last to go idle polls. That ends, for VAIN_AGAIN times that must pass first, when edges have waited for who was busy,
 * each for more than COVERED_US, for LATE_US in all, or if the monitor finds one, or a timer that is due. So it is with
 * goroutines that sleep, too, and do little when they wake: who was woken for their timer is idle again before a second
 * thread has got up. A keeper that came for a timer while somebody was busy was of use.
 *
 * Refused threads. The kernel may refuse a thread, or there is no memory for one. It is asked again by the next wake.
 * While somebody else picks tasks that is a matter of latency; if nobody does (nobody_minds), a thread that waits for
 * something else sees to what can run (call_waiter): rn_run's, which goes on as a worker, or the thread of a locked
 * goroutine. That one stands in: as an idle worker it minds timers and descriptors, hands processors to the threads of
 * other locked goroutines, and runs its own goroutine, but no other: those wait for a thread, which it asks for again
 * and again. If none is to be had for WANT_NS, and no goroutine is in a C call from which it could come back, it is a
 * panic.
 *
 * Rejected: Go's slot for the next goroutine (two atomic exchanges per hand-off, and a special rule so that
 * it does not starve the queue); waking on every ready (a ping-pong on two processors is then slower than on
 * one in every library measured).
 */
#include "base/fiber.h"
#include "base/mem.h"
#include "debug/debug.h"
#include "netpoll/netpoll.h"
#include "os/os.h"
#include "sched/note.h"
#include "sched/rt.h"

_Static_assert(COUNT_READIES > COUNT_PARKS, "read in this order");

enum {
    READY_RUN = 8,     /* picks of goroutines that are not new before somebody else has a turn */
    FRESH_OLDEST = 16, /* every so many new ones, the oldest */
    TICK_TIMERS = 8,   /* picks between two looks at the clock, if there are timers */
    TICK_GLOBAL = 64,  /* picks between two looks at the global queue */
    KEPT_MAX = 8,
#ifdef RN_EXPLORE
    SPIN_ROUNDS = 2,
    SPIN_HALVED = 0,
    SPIN_WORTH_US = 0,
    SPIN_WAITED = 1,
    SPIN_PARK = 1,
#else
    SPIN_US = 20,       /* of looking for work before going to sleep: less than waking costs */
    SPIN_HALVED = 3,    /* times that this is halved where it was in vain: see steal */
    SPIN_WORTH_US = 40, /* who is called sooner should have looked for longer */
    SPIN_WAITED = 6,    /* rounds that a lone task must have been seen waiting */
    SPIN_PARK = 100,    /* of a thread, before it sleeps */
#endif
    SPARE_WORKERS =
        8, /* idle threads beyond the processors that are kept for the next blocking calls */
    AHEAD_FROM = POLL_BATCH * 3 / 4, /* woken at once: what they touch is fetched ahead, */
    AHEAD_BLOCK = 3,                 /* the control block of who comes after so many others, */
    AHEAD_FRAMES = 1,                /* the frames, */
    AHEAD_LINES = 10,                /* so much of them */
    LEFT_US = 200,                   /* see above for this and what follows */
    VAIN_AGAIN = 64,
    COVERED_US = 50,
    LATE_US = 250,  /* of which is forgotten */
    LATE_PART = 50, /* this part of the time that passes */
    GLOBAL_BATCH = 64,
    GLOBAL_FAIR = 8 /* taken from the global queue while there is work of our own */
};
static const int64_t pace_valid_ns = 20000000;
static const int64_t thread_retry_ns = 10000000;
static const int64_t timer_soon_ns = 10000000;
static const char no_thread[] = "no thread to be had for goroutines that can run";
static const int64_t recheck_min_ns = 100000000, recheck_max_ns = 30000000000;

_Thread_local struct worker rn__tls_worker;

void (*rn__leave_watch)(struct g *g, enum leave how);

static int64_t os_clock(void)
{
    return rn__os_now();
}
int64_t (*rn__clock)(void) = os_clock;

/* xorshift64*; good enough for victims and cases. */
uint32_t rn__random(void)
{
    struct worker *w = worker_self();
    uint64_t x = w->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    w->random = x;
    return (uint32_t)((x * 0x2545F4914F6CDD1Du) >> 32);
}

struct g *rn__self(void)
{
    return worker_self()->cur;
}

/* ---- Idle lists; all with rt->lock held ----------------------------------------------------------- */

static void global_put(struct rt *rt, task t)
{
    if (task_is_fresh(t))
        task_fresh(t)->next = NULL;
    else
        task_g(t)->next = NULL;
    if (!rt->global_first)
        rt->global_first = t;
    else if (task_is_fresh(rt->global_last))
        task_fresh(rt->global_last)->next = (struct fresh *)t;
    else
        task_g(rt->global_last)->next = (struct g *)t;
    rt->global_last = t;
    store_relaxed(&rt->global_len, rt->global_len + 1);
    store_relaxed(&rt->spiller, NULL); /* unless who calls says otherwise */
}

/* All that is queued at p, which has no holder or is being given up by the caller. */
static void all_to_global(struct rt *rt, struct proc *p)
{
    struct fresh *f;
    task t;

    while ((t = runq_take(&p->ready)) || (t = runq_take(&p->yielded)))
        global_put(rt, t);
    while ((f = freshq_steal(&p->fresh)))
        global_put(rt, task_of_fresh(f));
}

static void proc_idle(struct rt *rt, struct proc *p)
{
    p->worker = NULL;
    store_relaxed(&p->idle, true);
    if (unlikely(rt->nprocs - rt->off_procs > rt->limit)) {
        all_to_global(rt, p);
        p->next_idle = rt->off_proc;
        rt->off_proc = p;
        store_relaxed(&rt->off_procs, rt->off_procs + 1);
        return;
    }
    p->next_idle = rt->idle_proc;
    rt->idle_proc = p;
    store_relaxed(&rt->idle_procs, rt->idle_procs + 1);
}

void rn__procs_limit(struct rt *rt, uint32_t n)
{
    bool more = false;

    spin_lock(&rt->lock);
    store_relaxed(&rt->limit, n);
    while (rt->nprocs - rt->off_procs > n && rt->idle_proc) {
        struct proc *p = rt->idle_proc;

        rt->idle_proc = p->next_idle;
        store_relaxed(&rt->idle_procs, rt->idle_procs - 1);
        proc_idle(rt, p);
    }
    while (rt->nprocs - rt->off_procs < n) {
        struct proc *p = rt->off_proc;

        if (p) {
            rt->off_proc = p->next_idle;
            store_relaxed(&rt->off_procs, rt->off_procs - 1);
        } else {
            p = &rt->procs[rt->nprocs];
            store_release(&rt->nprocs, rt->nprocs + 1);
        }
        proc_idle(rt, p);
        more = true;
    }
    spin_unlock(&rt->lock);
    if (more)
        rn__wake_one(rt);
}

/* An idle processor for w; NULL w: for a worker that is not there yet. */
static struct proc *proc_take(struct rt *rt, struct worker *w)
{
    struct proc *p = rt->idle_proc;

    if (p) {
        rt->idle_proc = p->next_idle;
        store_relaxed(&p->idle, false);
        store_relaxed(&rt->idle_procs, rt->idle_procs - 1);
        p->worker = w;
        p->polled_ticks = 0;
        rn__monitor_tell(rt);
    }
    return p;
}

struct proc *rn__proc_take_idle(struct rt *rt, struct worker *w)
{
    struct proc *p;

    spin_lock(&rt->lock);
    p = proc_take(rt, w);
    spin_unlock(&rt->lock);
    return p;
}

void rn__proc_taken(struct rt *rt, struct proc *p)
{
    spin_lock(&rt->lock);
    rt->blocked++;
    proc_idle(rt, p);
    spin_unlock(&rt->lock);
}

static task global_take(struct rt *rt)
{
    task t = rt->global_first;

    if (t) {
        rt->global_first = task_is_fresh(t) ? (task)task_fresh(t)->next : (task)task_g(t)->next;
        store_relaxed(&rt->global_len, rt->global_len - 1);
    }
    return t;
}

/* Of the CPU's clock. */
static uint64_t ticks_now(void)
{
#ifndef RN_EXPLORE
    return arch_ticks();
#else
    return 0; /* nothing pays */
#endif
}

/* ---- Waking --------------------------------------------------------------------------------------- */

/* Tell w to look up; with rt->lock held, under which it is known to be there. Then, without the lock, the
 * system call, which takes the address alone: w may have gone by then. */
static inline bool worker_tell(struct worker *w)
{
    store_release(&w->futex, 1); /* pairs with idle_wait's load */
    return w->polls;
}
/* polls: what worker_tell said, that w sleeps in the poller if it sleeps. */
static void worker_rouse(struct worker *w, bool polls)
{
    if (polls)
        rn__netpoll_break();
    else
        rn__os_futex_wake(&w->futex);
}

/* rt->lock held: is there nobody who holds a processor, sleeps until there is work, or is asked for somebody, to see to what
 * can run? */
static bool nobody_minds(struct rt *rt)
{
    return !rt->stopping && all_idle(rt) && !rt->keeper && !rt->idle_worker &&
           !load_relaxed(&rt->asked);
}

/*
 * No thread is to be had. If nobody minds, wake a thread that waits for something else: it will see to what can run as
 * far as it may. Best is rn_run's, which may run anything.
 */
static COLD void call_waiter(struct rt *rt)
{
    struct worker *heir = NULL;

    spin_lock(&rt->lock);
    if (nobody_minds(rt)) {
        for (struct worker_slot *s = rt->slots; s; s = s->next)
            if (s->worker && load_relaxed(&s->worker->waits) && (!heir || s->worker->home))
                heir = s->worker;
        if (heir) {
            store_relaxed(&heir->called, true);
            worker_tell(heir);
        }
    }
    spin_unlock(&rt->lock);
    if (heir)
        worker_rouse(heir, false);
}

/* There is no keeper from now on; rt->lock held. */
static void keeper_gone(struct rt *rt)
{
    rt->keeper = NULL;
    rt->heir = false;
    store_relaxed(&rt->unpolled, false);
    store_relaxed(&rt->keeper_until, INT64_MIN);
}

/* An idle worker to be woken, or NULL; rt->lock held. */
static struct worker *idle_pop(struct rt *rt)
{
    struct worker *w = rt->idle_worker;

    if (w) {
        rt->idle_worker = w->next_idle;
        rt->idle_workers--;
    } else if (
        rt->keeper) { /* the last: with it goes the keeper's duty, which nobody idle is left for */
        w = rt->keeper;
        keeper_gone(rt);
    }
    if (w)
        w->in_list = false;
    return w;
}

/* w, which was idle, shall look for work with p, counted as spinning; rt->lock held. For worker_rouse. */
static bool worker_give(struct worker *w, struct proc *p)
{
    w->proc = p;
    p->worker = w;
    w->spinning = true;
    w->told = ticks_now();
    return worker_tell(w);
}

static void *worker_thread(void *arg);
static void keeper_tell(struct rt *rt);

/* rt->lock held. */
static void slot_unlink(struct rt *rt, struct worker_slot *slot)
{
    struct worker_slot **at;

    for (at = &rt->slots; *at != slot; at = &(*at)->next)
        ;
    *at = slot->next;
    store_relaxed(&rt->workers, rt->workers - 1);
}

struct start {
    struct rt *rt;
    struct proc *proc;
    struct worker_slot *slot;
};

/*
 * The caller, no worker that goes idle, has left a processor idle. If it was the last, those who sleep have not seen
 * that nothing runs any more: the keeper shall look, for a deadlock and for goroutines without a stack.
 */
static COLD void came_to_rest(struct rt *rt)
{
    if (all_idle(rt))
        keeper_tell(rt);
}

struct worker_wanted {
    struct worker_slot *slot;
    struct start *start;
    int err;
};
static void worker_thread_new(void *arg)
{
    struct worker_wanted *a = arg;

    a->err = rn__os_thread_new(&a->slot->thread, rn__tools ? 0 : 256 << 10, false, worker_thread,
                               a->start);
}

/* A new worker thread for p, counted as spinning. If the kernel refuses one, p is idle again and the next
 * wake tries anew (decision 25). */
static COLD void worker_new(struct rt *rt, struct proc *p)
{
    struct start *s = rn__mem_new(sizeof *s);
    struct worker_slot *slot = rn__mem_new_zero(sizeof *slot, 16);
    int err = -ENOMEM;

    if (s && slot) {
        uint32_t workers;
        bool stopping;

        *s = (struct start){rt, p, slot};
        spin_lock(&rt->lock);
        stopping = rt->stopping;
        if (!stopping) {
            slot->next = rt->slots;
            rt->slots = slot;
            store_relaxed(&rt->workers, rt->workers + 1);
            add_relaxed(&rt->creating, 1);
            count_add_shared(rt->count, COUNT_THREADS, 1);
        }
        workers = rt->workers;
        spin_unlock(&rt->lock);
        if (workers > rt->max_workers)
            rn__threads_exhausted(rt->max_workers);
        if (!stopping) {
            struct worker_wanted wanted = {slot, s, 0};

            rn__with_room(worker_thread_new, &wanted);
            err = wanted.err;
            if (err) {
                spin_lock(&rt->lock);
                slot_unlink(rt, slot);
                spin_unlock(&rt->lock);
            }
            sub_release(&rt->creating, 1); /* pairs with rt_end: the list is as it will be */
        }
    }
    if (err) {
        struct worker *w = NULL;
        bool polls = false;

        rn__mem_free(s);
        rn__mem_free(slot);
        spin_lock(&rt->lock);
        store_relaxed(&rt->refused,
                      true); /* whoever goes idle from now on looks at the global queue again */
        if (rt->global_len)  /* and whoever has done so meanwhile may have looked too early */
            w = idle_pop(rt);
        if (w)
            polls = worker_give(w, p);
        else
            proc_idle(rt, p);
        spin_unlock(&rt->lock);
        if (w) {
            worker_rouse(w, polls);
            return;
        }
        sub_seq_cst(&rt->spinning, 1);
        call_waiter(rt);
        came_to_rest(rt);
    } else if (unlikely(load_relaxed(&rt->refused))) {
        store_relaxed(&rt->refused, false);
    }
}

/* A thread begins with what the one that makes it has: CPUs, priority, namespaces, credentials. Of a thread to which a
 * goroutine is or was locked nobody knows what became of it, so none is made from there while the monitor can. */
static bool thread_is_ours_alone(void)
{
    const struct worker *w = worker_self();

    return !(w->locked && w->locked->lock_depth > 0) && !w->doomed;
}

/* Wake a worker to look for work, if a processor is idle and nobody looks already. */
COLD void rn__wake_one(struct rt *rt)
{
    uint32_t none = 0;
    struct worker *w;
    struct proc *p;
    bool polls = false, ask = false;
    int saved;

    if (load_relaxed(&rt->idle_procs) == 0 || load_relaxed(&rt->spinning) != 0)
        return;
    if (!cas_seq_cst(&rt->spinning, &none, 1))
        return;
    saved = errno;
    spin_lock(&rt->lock);
    p = rt->stopping ? NULL : proc_take(rt, NULL);
    w = p ? idle_pop(rt) : NULL;
    if (w) {
        polls = worker_give(w, p);
    } else if (p && load_relaxed(&rt->has_monitor) && !thread_is_ours_alone()) {
        proc_idle(rt, p); /* the monitor comes here instead, and finds it */
        p = NULL;
        ask = !load_relaxed(&rt->asked);
        store_relaxed(&rt->asked, true);
    }
    spin_unlock(&rt->lock);
    if (p)
        count_add_shared(rt->count, COUNT_WAKES, 1);
    if (w)
        worker_rouse(w, polls);
    else if (p)
        worker_new(rt, p);
    else
        sub_seq_cst(&rt->spinning, 1);
    if (ask) /* not before spinning is what it was */
        rn__monitor_rouse(rt);
    if (unlikely(!load_relaxed(&rt->has_monitor)))
        rn__monitor_start(rt);
    errno = saved;
}

/* Give p to w, whose goroutine waits for a processor on its own thread, or is about to: so not into w->proc,
 * which it may still hold another in. */
static void proc_hand(struct rt *rt, struct worker *w, struct proc *p)
{
    bool polls;

    assert(p); /* in stand_in too: where nobody minds, the one that w gave up is idle */
    spin_lock(&rt->lock);
    p->worker = w;
    store_release(&w->given, p); /* pairs with wait_for_proc */
    polls = worker_tell(w);
    spin_unlock(&rt->lock);
    worker_rouse(w, polls); /* it sleeps in wait_for_proc, or stands in */
}

/* Queue t where any worker finds it; for callers without a processor of rt. */
void rn__inject(struct rt *rt, task t)
{
    spin_lock(&rt->lock);
    global_put(rt, t);
    spin_unlock(&rt->lock);
    fence_seq_cst(); /* W1, with idle(): queued before looking who is idle */
    rn__wake_one(rt);
}

/* Is all in the global queue what p had no room for? rt->lock held. */
static inline bool all_of(const struct rt *rt, const struct proc *p)
{
    return rt->global_len == 0 || rt->spiller == p;
}

/* q, of p, is full: half of it, and t, go to the global queue. */
static COLD void overflow(struct rt *rt, struct proc *p, struct runq *q, task t)
{
    task half[RUNQ_SLOTS / 2];
    uint32_t n = runq_take_half(q, half);
    bool alone;

    spin_lock(&rt->lock);
    alone = all_of(rt, p);
    for (uint32_t i = 0; i < n; i++)
        global_put(rt, half[i]);
    global_put(rt, t);
    store_relaxed(&rt->spiller, alone ? p : NULL);
    spin_unlock(&rt->lock);
    if (!unpaid(rt, p)) /* our holder looks at the global queue too */
        rn__wake_one(rt);
}

COLD void rn__fresh_overflow(struct worker *w, struct fresh *f)
{
    struct rt *rt = w->rt;
    struct proc *p = w->proc;
    bool alone;

    spin_lock(&rt->lock);
    alone = all_of(rt, p);
    for (uint32_t i = 0; i < RUNQ_SLOTS / 2; i++) {
        struct fresh *old = freshq_steal(&p->fresh);

        if (!old)
            break;
        global_put(rt, task_of_fresh(old));
    }
    store_relaxed(&rt->spiller, alone ? p : NULL);
    spin_unlock(&rt->lock);
    if (!freshq_push(&p->fresh, f))
        rn__inject(rt, task_of_fresh(f));
    if (!unpaid(rt, p))
        rn__wake_one(rt);
}

void rn__notify(struct rt *rt, struct proc *p)
{
    if (unpaid(rt, p))
        return;
    if (load_relaxed(&p->kept) >= KEPT_MAX && queued(p) < 2 &&
        load_relaxed(&rt->has_monitor)) /* which looks after it */
        return;
    rn__wake_one(rt);
}

void rn__latency(struct proc *p, int64_t queued_at)
{
    int64_t ns = now_ns() - queued_at;

    if (p && ns >= 0) {
        count_add(p->count, COUNT_LATENCY_TIME, (uint64_t)ns);
        count_add(p->count, COUNT_LATENCY + (size_t)latency_class(ns), 1);
    }
}

/* Queue g in q, one of the two of w's processor. */
static ALWAYS_INLINE void push(struct worker *w, struct runq *q, struct g *g)
{
    if (unlikely(!runq_push(q, task_of_g(g)))) {
        overflow(w->rt, w->proc, q, task_of_g(g));
        return;
    }
    notify(w->rt, w->proc);
}

static ALWAYS_INLINE void push_ready(struct worker *w, struct g *g)
{
    push(w, &w->proc->ready, g);
}

/* ---- Picking --------------------------------------------------------------------------------------- */

static ALWAYS_INLINE struct fresh *take_fresh(struct proc *p, bool alone)
{
    p->ready_streak = 0;
    if (alone) {
        if (unlikely(++p->fresh_takes % FRESH_OLDEST == 0))
            return freshq_steal(&p->fresh);
        return freshq_take_alone(&p->fresh);
    }
    if (unlikely(++p->fresh_takes % FRESH_OLDEST == 0)) {
        struct fresh *f = freshq_steal(&p->fresh);

        if (f)
            return f;
    }
    return freshq_take(&p->fresh);
}

static ALWAYS_INLINE task take(struct runq *q, bool alone)
{
    return alone ? runq_take_alone(q) : runq_take(q);
}

/* After READY_RUN picks of others: a new one, or one that yielded if none of those has been picked meanwhile; 0: none. */
static NOINLINE task take_turn(struct proc *p, bool alone)
{
    bool due = !p->yielded_ran, first = due && ++p->turns % 2 != 0;
    task t = first ? take(&p->yielded, alone) : 0;
    struct fresh *f = t ? NULL : take_fresh(p, alone);

    p->ready_streak = 0;
    p->yielded_ran = false;
    if (f)
        return task_of_fresh(f);
    return due && !first ? take(&p->yielded, alone) : t;
}

/*
 * Descriptors have woken so many at once that what they touch is in no cache: their control blocks, and the frames from which
 * they go on. One after another that is a microsecond for each; so while one runs what the next ones need is on its way.
 * What is read to find it is a guess where there are thieves, but lies in this runtime's stacks. Connections were fetched
 * when their goroutines were woken (netpoll.c).
 * Rejected: the frames then, too, which is too early. When the last one runs its lines are gone again.
 */
static NOINLINE void fetch_next(struct proc *p)
{
#ifndef RN_EXPLORE
    uint32_t head = load_relaxed(&p->ready.head), n = load_owned(&p->ready.tail) - head;

    p->ahead--;
    if (n > AHEAD_BLOCK && n <= RUNQ_SLOTS) {
        task t = load_relaxed(&p->ready.slot[(head + AHEAD_BLOCK) & RUNQ_MASK]);

        fetch_ahead((char *)(t & ~(task)1));
    }
    if (n > AHEAD_FRAMES && n <= RUNQ_SLOTS) {
        task t = load_relaxed(&p->ready.slot[(head + AHEAD_FRAMES) & RUNQ_MASK]);
        const struct g *g = task_g(t);

        if (task_is_fresh(t))
            return;
        for (int i = 0; i < AHEAD_LINES; i++)
            fetch_ahead((char *)g->sp + (size_t)i * CACHE_LINE);
    }
#else
    p->ahead = 0;
#endif
}

/* The next task of p's own queues, or 0. The holder only. */
static ALWAYS_INLINE task pick(struct proc *p)
{
    bool alone =
        load_relaxed(&p->alone); /* for as long as this takes: see the monitor's no_more_alone */
    struct fresh *f;
    task t;

    if (unlikely(p->ready_streak >= READY_RUN)) {
        t = take_turn(p, alone);
        if (t)
            return t;
    }
    t = take(&p->ready, alone);
    if (likely(t)) {
        p->ready_streak++;
        if (unlikely(p->ahead > 0))
            fetch_next(p);
        goto kept;
    }
    t = take(&p->yielded, alone);
    if (t) {
        p->ready_streak++;
        p->yielded_ran = true;
        goto kept;
    }
    f = take_fresh(p, alone);
    if (!f)
        return 0;
    t = task_of_fresh(f);
kept:
    if (!alone && load_relaxed(&p->kept) < KEPT_MAX)
        store_relaxed(&p->kept, load_relaxed(&p->kept) +
                                    1); /* a thief's zero may be lost; it will steal again */
    return t;
}

/* pick() for a goroutine that leaves, which must ready nothing: 0 also when the loop has more to do. */
static ALWAYS_INLINE task pick_quick(struct proc *p)
{
    uint32_t tick = p->tick + 1;

    store_relaxed(&p->tick, tick);
    if (unlikely(tick % TICK_TIMERS == 0) &&
        (tick % TICK_GLOBAL == 0 || load_relaxed(&p->timers->count) != 0))
        return 0;
    return pick(p);
}

/* ---- Switching -------------------------------------------------------------------------------------- */

/* A stack from p's own cache, or NULL. */
static inline struct g *cached_stack(struct proc *p)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): find_task returns with a processor */
    struct g *g = p->stacks;

    if (g) {
        p->stacks = g->next;
        p->stack_count--;
    }
    return g;
}

static void stack_free(struct worker *w, struct g *g)
{
    struct proc *p = w->proc;

    store_relaxed(&g->status, G_FREE);
    if (unlikely(rn__tools)) {
        if (g->tsan_fiber) {
            struct g keep;

            /* What this goroutine did to its stack is not to be compared with what the next one does;
             * nor is one ordered before the other. */
            rn__fiber_free(g->tsan_fiber);
            g->tsan_fiber = NULL;
            rn__tool_ignore_writes(true);
            keep = *g;
            rn__os_renew(g->stack_lo, (size_t)(g->stack_hi - g->stack_lo));
            *g = keep;
            rn__tool_ignore_writes(false);
        }
        rn__tool_stack_clean(g->stack_lo, (char *)g);
    }
    if (likely(p && g->stack_class == STACK_CLASS_DEFAULT && p->stack_count < STACK_CACHE &&
               !load_relaxed(&g->rt->starving))) {
        g->next = p->stacks;
        p->stacks = g;
        p->stack_count++;
    } else {
        rn__stack_put(g->rt, g);
    }
}

/* First thing on the new stack: what is to be done about the one that left. */
static ALWAYS_INLINE void arrived(struct g *prev)
{
    struct worker *w;

    if (likely(prev->after == AFTER_NOTHING)) {
        store_release(&prev->on_cpu, 0); /* pairs with rn__ready's load: its context is saved */
        return;
    }
    w = worker_self();
    switch (prev->after) {
    case AFTER_YIELD:
        store_release(&prev->on_cpu, 0);
        if (likely(w->proc))
            push(w, &w->proc->yielded, prev);
        else
            rn__inject(w->rt, task_of_g(prev));
        break;
    case AFTER_DEAD:
        stack_free(w, prev);
        break;
    default:
        break;
    }
}

static COLD void tools_arrived(struct g *me, struct g *prev)
{
    const void *lo = NULL;
    size_t size = 0;

    rn__fiber_arrive(me->asan_fake, &lo, &size);
    if (prev->kind == G_THREAD && lo) {
        prev->stack_lo = (char *)(uintptr_t)lo;
        prev->stack_hi = prev->stack_lo + size;
    }
}

static COLD struct g *switch_telling(struct worker *w, struct g *from, struct g *to)
{
    struct g *prev;

    edge_release(w); /* for worker_thread's end */
    rn__fiber_leave(to->tsan_fiber, from->after == AFTER_DEAD ? NULL : &from->asan_fake,
                    to->stack_lo, (size_t)(to->stack_hi - to->stack_lo));
    prev = rn__switch(&from->sp, to->sp, from);
    tools_arrived(from, prev);
    return prev;
}

/* Returns, when from is switched to again, whoever left for it. */
static ALWAYS_INLINE struct g *switch_to(struct worker *w, struct g *from, struct g *to)
{
    struct g *prev;

    w->cur = to;
    store_relaxed(&to->on_cpu, 1);
    store_relaxed(&to->status, G_RUNNING);
    note_run(w, to);
    prev = unlikely(rn__tools) ? switch_telling(w, from, to) : rn__switch(&from->sp, to->sp, from);
    arrived(prev);
    return prev;
}

/* A new goroutine's stack, so that the first switch to it arrives at rn__entry. */
static void frame_init(struct g *g)
{
    /* Once the frame is popped, the stack is aligned to 16, as rn__entry wants it. */
    struct arch_frame *frame = (struct arch_frame *)(void *)(g_stack_top(g) - sizeof *frame);

    arch_frame_start(frame, rn__entry);
    g->sp = frame;
}

/* The goroutine to switch to for t: if t is new it gets a stack from the processor's cache. NULL if the
 * loop has to see to it. */
static ALWAYS_INLINE struct g *task_goroutine(struct worker *w, task t)
{
    struct fresh *f;
    struct g *g;

    if (likely(!task_is_fresh(t))) {
        g = task_g(t);
        return likely(!g->by_loop) ? g : NULL;
    }
    f = task_fresh(t);
    if (f->stack_class != STACK_CLASS_DEFAULT)
        return NULL;
    g = cached_stack(w->proc);
    if (g) {
        rn__g_from_fresh(w, g, f);
        frame_init(g);
    }
    return g;
}

/* Leave the CPU, inside an entry; returns when g is run again, if ever, inside an entry of another worker. */
static ALWAYS_INLINE void leave_cpu(struct worker *w, struct g *g, enum g_after after)
{
    struct g *to = &w->self;

    g->after = (uint8_t)after;
    if (likely(w->proc && !g->worker && !w->caller && !load_relaxed(&w->rt->stopping))) {
        task t = pick_quick(w->proc);

        if (t) {
            to = task_goroutine(w, t);
            if (unlikely(!to)) {
                w->handed = t;
                to = &w->self;
            }
        }
    }
    (void)switch_to(w, g, to);
}

/*
 * C++ keeps the exceptions that are being handled in the thread (struct __cxa_eh_globals of the Itanium ABI: a pointer
 * and a count). In a program with libstdc++ they go with the goroutine, so that it may wait inside a catch block. What
 * ends in one, by rn_exit, leaves none to the goroutine that begins on the thread after it.
 */
void *__cxa_get_globals(void) __attribute__((weak));

COLD void rn__exceptions_save(struct g *g)
{
    void **at = __cxa_get_globals ? __cxa_get_globals() : NULL;

    if (!at)
        return;
    g->exceptions[0] = at[0];
    g->exceptions[1] = at[1];
    at[0] = at[1] = NULL;
}
COLD void rn__exceptions_restore(const struct g *g)
{
    void **at = __cxa_get_globals ? __cxa_get_globals() : NULL;

    if (!at)
        return;
    at[0] = g->exceptions[0];
    at[1] = g->exceptions[1];
}

static NOINLINE void thread_park(struct g *g)
{
    int64_t since = 0;
    struct rt *rt;
    bool held;

    for (unsigned i = 0; i < SPIN_PARK && !load_acquire(&g->futex); i++)
        cpu_relax();
    add_acq_rel(&rn__threads_parked, 1); /* rn__ready, which may have come already, takes one off */
    while (!load_acquire(&g->futex)) {   /* pairs with rn__ready's store */
        int64_t until = INT64_MAX;

        rt = rn__rt_hold_running(worker_self(), &held);
        if (rt) {
            if (load_relaxed(&rt->workers) == 0) {
                /* It started by itself, but the kernel refused it a thread: ask again, while we need one. */
                rn__wake_one(rt);
                until = rn__os_now() + thread_retry_ns;
                if (since == 0)
                    since = until;
                else if (until - since > WANT_NS && load_relaxed(&rt->workers) == 0)
                    rn__panic(no_thread);
            } else if (all_idle(rt)) {
                rn__deadlock_check(rt);
            }
            rt_drop(rt, held);
        }
        rn__os_futex_wait(&g->futex, 0, until);
    }
    store_relaxed(&g->futex, 0);
}

void rn__park(struct g *g, enum wait_reason why, const void *on, bool (*unlink)(void *), void *wait)
{
    struct worker *w = worker_known();
    int saved = *w->errno_at;

    g->wait_on = on;
    g->unlink = unlink;
    g->wait = wait;
    store_relaxed(&g->why, (uint8_t)why);
    if (unlikely(g->kind == G_THREAD)) {
        if (w->rt)
            store_relaxed(&g->since, load_relaxed(&w->rt->now));
        thread_park(g);
    } else {
        store_relaxed(&g->since, load_relaxed(&w->rt->now));
        leave_watch(g, LEAVE_WAITS);
        rt_enter(w);
        note_park(w, g, why, on);
        store_relaxed(&g->status, G_WAITING);
        if (unlikely(__cxa_get_globals))
            rn__exceptions_save(g);
        leave_cpu(w, g, AFTER_NOTHING);
        if (unlikely(__cxa_get_globals))
            rn__exceptions_restore(g);
        w = worker_known();
        rt_leave(w);
    }
    g->unlink_always = false;
    store_relaxed(&g->why, WAIT_NONE);
    *w->errno_at = saved;
}

void rn__ready(struct g *g)
{
    struct worker *w;
    bool outside;

    if (unlikely(g->kind == G_THREAD)) {
        int saved = errno;

        sub_acq_rel(&rn__threads_parked, 1);
        store_release(&g->futex, 1); /* the thread may be gone after this */
        rn__os_futex_wake(&g->futex);
        errno = saved;
        return;
    }
    for (unsigned n = 0; unlikely(load_acquire(&g->on_cpu)); n++) /* pairs with arrived() */
        rn__wait_shortly(n);
    w = worker_self();
    outside = rt_enter(w);
    if (likely(w->proc && w->rt == g->rt && !g->worker)) {
        store_relaxed(&g->status, G_RUNNABLE);
        note_ready(w, g);
        push_ready(w, g);
    } else {
        struct rt *rt = g->rt;

        /* Until g is runnable the end of rn_run waits for us; from then on our reference keeps rt. */
        if (w->rt != rt)
            rn__rt_ref(rt);
        note_ready_outside(rt, w, g);
        store_release(&g->status, G_RUNNABLE); /* pairs with the end of rn_run */
        rn__inject(rt, task_of_g(g));
        if (w->rt != rt)
            rn__rt_unref(rt);
    }
    if (outside)
        rt_leave(w);
}

/* Is nobody queued before whom g, which yields, has to stand back, and does nothing else wait for the loop, no timer either?
 * Then g has been picked. It comes to the loop now and then all the same, for descriptors. */
static ALWAYS_INLINE bool picked_again(struct worker *w, const struct g *g)
{
    struct proc *p = w->proc;
    struct rt *rt = w->rt;
    uint32_t tick;

    if (unlikely(!p) || runq_len(&p->yielded) != 0 || runq_len(&p->ready) != 0 ||
        freshq_len(&p->fresh) != 0 || load_relaxed(&rt->global_len) != 0 || g->worker ||
        w->caller || load_relaxed(&rt->stopping) || load_relaxed(&p->timers->count) != 0)
        return false;
    tick = p->tick + 1;
    if (tick % TICK_GLOBAL == 0)
        return false;
    store_relaxed(&p->tick, tick);
    return true;
}

void rn__yield_to(enum g_after after)
{
    struct worker *w = worker_self();
    struct g *g = w->cur;
    int saved;

    if (g->kind == G_THREAD) {
        rn__os_thread_yield();
        return;
    }
    leave_watch(g, LEAVE_YIELDS);
    rt_enter(w);
    if (after == AFTER_YIELD && picked_again(w, g)) {
        note_yield(w, g);
        note_run(w, g);
        rt_leave(w);
        return;
    }
    saved = *w->errno_at;
    if (unlikely(g->worker)) {
        after = AFTER_NOTHING;
        w->requeue = true;
    }
    note_yield(w, g);
    store_relaxed(&g->status, G_RUNNABLE);
    w->yielded = true;
    if (unlikely(__cxa_get_globals))
        rn__exceptions_save(g);
    leave_cpu(w, g, after);
    if (unlikely(__cxa_get_globals))
        rn__exceptions_restore(g);
    w = worker_known();
    rt_leave(w);
    *w->errno_at = saved;
}

static bool never_unlinked(void *wait)
{
    (void)wait;
    return true;
}

void rn__park_forever(enum wait_reason why)
{
    struct g *g = rn__self();

    for (;;)
        rn__park(g, why, NULL, never_unlinked, NULL);
}

void rn__switch_dead(struct g *g)
{
    struct worker *w = worker_self();
    struct g *to = &w->self;

    g->after = AFTER_DEAD;
    if (likely(w->proc && !g->worker && !w->caller && !load_relaxed(&w->rt->stopping))) {
        task t = pick_quick(w->proc);

        if (t && task_is_fresh(t) && !rn__tools && task_fresh(t)->stack_class == g->stack_class) {
            /* The stack is free, warm and ours: the next goroutine starts on it, without a switch. */
            rn__g_from_fresh(w, g, task_fresh(t));
            store_relaxed(&g->status, G_RUNNING);
            note_run(w, g);
            rn__restart(g_stack_top(g));
        }
        if (t) {
            to = task_goroutine(w, t);
            if (!to) {
                w->handed = t;
                to = &w->self;
            }
        }
    }
    (void)switch_to(w, g, to);
    __builtin_unreachable();
}

/* ---- A goroutine's life --------------------------------------------------------------------------- */

void rn__g_end(struct g *g, int result);

void rn__goroutine_main(struct g *prev)
{
    struct worker *w;
    struct g *g;

    if (prev) {
        if (unlikely(rn__tools))
            tools_arrived(worker_self()->cur, prev);
        arrived(prev);
    }
    w = worker_self();
    rt_leave(w);
    g = w->cur;
    rn__g_end(g, rn__call_invoke(g_call(g)));
}

/* ---- The loop --------------------------------------------------------------------------------------- */

/* ---- Thefts, and whether they pay -------------------------------------------------------------------- */

/* Every now and then: how fast does p, whose tasks nobody else runs, pick them? */
static void pace_look(struct rt *rt, struct proc *p)
{
    uint64_t now;

    if (!unpaid(rt, p)) {
        p->pace.began = 0;
        return;
    }
    now = ticks_now();
    if (p->pace.began) {
        store_relaxed(&p->pace.ticks, (now - p->pace.began) / (p->tick - p->pace.from));
        store_relaxed(&p->pace.known, load_relaxed(&rt->now));
    }
    p->pace.began = now;
    p->pace.from = p->tick;
}

static void trip_began(struct proc *p, const struct proc *victim, uint32_t moved, bool spilt)
{
    uint32_t home = load_relaxed(&victim->tick);
    uint64_t now = ticks_now();
    bool same = p->trip.victim == victim->index && p->trip.home == home;

    p->trip = (struct trip){victim->index, moved, p->tick, load_owned(&p->count[COUNT_PARKS]),
                            now,           spilt, home,    same ? p->trip.since : now};
}

/* p's queues are empty. */
static void trip_over(struct rt *rt, struct proc *p)
{
    struct proc *victim = &rt->procs[p->trip.victim];
    uint32_t n = load_relaxed(&victim->unpaid);
    const uint64_t pays = PAYS_NS * arch_ticks_in_us() / 1000;
    uint64_t now, took, turns, pace;
    bool paid, keeps_pace, left;

    p->pace.began = 0;
    if (p->trip.moved == 0)
        return;
    now = ticks_now();
    took = now - p->trip.at;
    left = load_relaxed(&victim->tick) == p->trip.home &&
           now - p->trip.since >= LEFT_US * arch_ticks_in_us();
    turns = p->trip.moved + load_owned(&p->count[COUNT_PARKS]) - p->trip.parks;
    pace = load_relaxed(&rt->now) - load_relaxed(&victim->pace.known) < pace_valid_ns
               ? load_relaxed(&victim->pace.ticks)
               : 0;
    keeps_pace = took * 2 <= (p->tick - p->trip.tick) * pace * 3;
    paid = left || took >= turns * pays ||
           ((took >= p->trip.moved * pays || p->trip.spilt) && keeps_pace);
    p->trip.moved = 0;
    if (paid && n > 0)
        store_relaxed(&victim->unpaid, 0);
    else if (!paid && n < UNPAID_MAX) /* of two thieves one may be forgotten */
        store_relaxed(&victim->unpaid, n + 1);
}

/* May n tasks of victim's be taken at all? A lone one only if it waits, which is the caller's to see. */
static inline bool may_take(const struct rt *rt, const struct proc *victim, uint32_t n)
{
    return n > 0 && (load_relaxed(&victim->idle) || !unpaid(rt, victim));
}

/* Take work of victim's for p; the first task is returned. */
static task steal_from(struct proc *p, struct proc *victim)
{
    task half[RUNQ_SLOTS / 2];
    struct runq *to = &p->ready;
    uint32_t n = runq_take_half(&victim->ready, half);
    struct fresh *f;

    if (!n) {
        to = &p->yielded;
        n = runq_take_half(&victim->yielded, half);
    }
    if (n) {
        note_steal(p, victim, n);
        trip_began(p, victim, n, false);
        store_relaxed(&victim->kept, 0);
        for (uint32_t i = 1; i < n; i++)
            runq_push(to, half[i]); /* p's queue is empty: it fits */
        return half[0];
    }
    n = freshq_len(&victim->fresh);
    f = freshq_steal(&victim->fresh);
    if (!f)
        return 0;
    store_relaxed(&victim->kept, 0);
    note_steal(p, victim, 1);
    trip_began(p, victim, 1, false);
    for (n = n / 2; n > 1; n--) {
        struct fresh *more = freshq_steal(&victim->fresh);

        if (!more || !freshq_push(&p->fresh, more)) {
            if (more)
                rn__inject(p->worker->rt, task_of_fresh(more));
            break;
        }
        count_add(p->count, COUNT_STOLEN, 1);
        p->trip.moved++;
    }
    return task_of_fresh(f);
}

/* Take a batch of the global queue; the first is returned, the rest queued at p. */
static task global_batch(struct rt *rt, struct proc *p, uint32_t most)
{
    task first = 0;
    task rest[GLOBAL_BATCH];
    const struct proc *spiller;
    uint32_t n, got = 0;

    if (!global_for(rt, p))
        return 0;
    spin_lock(&rt->lock);
    spiller = rt->spiller;
    n = rt->global_len / rt->nprocs + 1;
    if (n > most)
        n = most;
    first = global_take(rt);
    while (first && got + 1 < n) {
        task t = global_take(rt);

        if (!t)
            break;
        rest[got++] = t;
    }
    spin_unlock(&rt->lock);
    if (first)
        count_add(p->count, COUNT_GLOBAL, got + 1);
    if (first && spiller && spiller != p && most == GLOBAL_BATCH) /* as good as stolen */
        trip_began(p, spiller, got + 1, true);
    for (uint32_t i = 0; i < got; i++) {
        bool queued = task_is_fresh(rest[i]) ? freshq_push(&p->fresh, task_fresh(rest[i]))
                                             : runq_push(&p->ready, rest[i]);
        if (!queued)
            rn__inject(rt, rest[i]);
    }
    return first;
}

/* A thief's memory of the lone tasks that it has seen wait: a few victims at a time. */
struct lone {
    const struct proc *victim;
    uint32_t head;
    uint32_t rounds;
};
enum { LONE = 8 };

/* Has victim's one task been waiting for long enough that its holder is not about to take it? */
static bool lone_waits(struct lone *seen, const struct proc *victim)
{
    uint32_t head = load_relaxed(&victim->ready.head) + load_relaxed(&victim->yielded.head) +
                    (uint32_t)load_relaxed(&victim->fresh.top); /* none goes back */

    if (load_relaxed(&victim->idle)) /* it has no holder */
        return true;
    seen += victim->index % LONE;
    if (seen->victim != victim || seen->head != head) {
        *seen = (struct lone){victim, head, 0};
        return false;
    }
    return ++seen->rounds >= SPIN_WAITED;
}

/* Has a search that began then, by the CPU's clock, and has made so many rounds, lasted for long enough? By the clock: a round
 * among many processors is twenty times as long as one among two. A lone task has been seen wait by then. */
static bool is_long(uint64_t began, unsigned rounds, int halved)
{
#ifndef RN_EXPLORE
    uint64_t lasts = SPIN_US * arch_ticks_in_us() >> halved, lasted = ticks_now() - began;

    return lasted >= lasts && rounds > SPIN_WAITED;
#else
    return (void)began, (void)halved, rounds == SPIN_ROUNDS;
#endif
}

/* Look for work at the other processors for a while that is halved so many times; in which round it was found. */
static task steal_for(struct worker *w, int halved, unsigned *ret_round)
{
    struct rt *rt = w->rt;
    struct proc *p = w->proc;
    struct lone seen[LONE] = {{NULL, 0, 0}};
    uint64_t began = ticks_now();

    for (unsigned round = 0; round == 0 || !is_long(began, round, halved); round++) {
        uint32_t nprocs = load_acquire(&rt->nprocs); /* pairs with rn__procs_limit */
        uint32_t start = rn__random() % nprocs;
        int64_t now = round % 8 == 0 ? now_ns() : 0;
        task t;

        *ret_round = round;
        if (load_relaxed(&rt->stopping))
            return 0;
        for (uint32_t i = 0; i < nprocs; i++) {
            struct proc *victim = &rt->procs[(start + i) % nprocs];
            uint32_t n;

            if (now && load_relaxed(&victim->timers->count) &&
                timers_first(victim->timers) <= now) {
                int fired = rn__timers_run(victim->timers, now);

                note_source(p, EVENT_TIMER, fired);
                t = fired ? pick(p) : 0;
                if (t)
                    return t;
            }
            if (victim == p)
                continue;
            n = queued(victim);
            if (!may_take(rt, victim, n) || (n == 1 && !lone_waits(seen, victim)))
                continue;
            t = steal_from(p, victim);
            if (t)
                return t;
        }
        t = global_batch(rt, p, GLOBAL_BATCH);
        if (t)
            return t;
        for (unsigned i = 0; i < 16; i++)
            cpu_relax();
    }
    return 0;
}

/*
 * Look for work at the other processors for a while. Where work comes from the kernel, or seldom, that is mostly in vain: a
 * sixth of the CPU time of a server, and more than half of that of two goroutines that sleep in system calls in turn. So the
 * while is half as long after each time that nothing was found, and twice as long after each that something came; what was
 * there already says nothing. Who looked too briefly learns it by how soon he is woken: see rested. The shortest while still
 * sees a lone task wait.
 */
static task steal(struct worker *w)
{
    struct proc *p = w->proc;
    unsigned round = 0;
    task t = steal_for(w, p->halved, &round);

    if (!t && p->halved < SPIN_HALVED)
        p->halved++;
    else if (t && round > 0 && p->halved > 0)
        p->halved--;
    return t;
}

/* w, which had found nothing at the time from, has a processor again. */
static void rested(struct worker *w, uint64_t from)
{
    struct proc *p = w->proc;

    if (p->halved > 0 && w->told - from < SPIN_WORTH_US * arch_ticks_in_us())
        p->halved--;
}

static void stop_spinning(struct worker *w)
{
    if (w->spinning) {
        w->spinning = false;
        sub_seq_cst(&w->rt->spinning, 1); /* W2 */
    }
}

/* w was looking for work and found some: if there may be more, somebody else shall look. */
static void found_spinning(struct worker *w)
{
    if (w->spinning) {
        stop_spinning(w);
        if (queued(w->proc) > 0)
            rn__wake_one(w->rt);
    }
}

/* When is a timer due first? Of p, if that is not NULL, beside those that its holder, who is on his way to them, fires now. */
static ALWAYS_INLINE int64_t timers_next(struct rt *rt, const struct proc *p)
{
    int64_t next = INT64_MAX;

    for (uint32_t i = 0, n = load_acquire(&rt->nprocs); i < n; i++) {
        struct timer_heap *h = rt->procs[i].timers;
        int64_t when = &rt->procs[i] == p ? rn__timers_next(h, now_ns()) : timers_first(h);

        if (when < next)
            next = when;
    }
    return next;
}

int64_t rn__timers_first(struct rt *rt)
{
    return timers_next(rt, NULL);
}

static int64_t soon(int64_t until, int64_t ns)
{
    int64_t then = now_ns() + ns;

    return then < until ? then : until;
}

/* The keeper shall look again at what it waits for. */
static void keeper_tell(struct rt *rt)
{
    struct worker *keeper;
    bool polls = false;

    spin_lock(&rt->lock);
    keeper = rt->keeper;
    if (keeper && load_relaxed(&keeper->futex))
        keeper = NULL; /* told already, and has not looked yet */
    if (keeper)
        polls = worker_tell(keeper);
    spin_unlock(&rt->lock);
    if (keeper)
        worker_rouse(keeper, polls);
}

/* Are edges, and timers that are not due soon, better left to those who are busy? */
static inline bool covered(const struct rt *rt)
{
    return unlikely(load_relaxed(&rt->vain) >= VAIN_MAX) && load_relaxed(&rt->has_monitor);
}

/* Is nobody busy, and a keeper there that leaves the polling to who is? rt->lock held. */
static inline bool must_poll(struct rt *rt)
{
    return unlikely(load_relaxed(&rt->unpolled)) && all_idle(rt);
}

COLD void rn__left_too_long(struct rt *rt)
{
    if (!covered(rt))
        return;
    store_relaxed(&rt->vain, -VAIN_AGAIN);
    if (load_relaxed(&rt->unpolled))
        keeper_tell(rt);
    else
        rn__wake_one(rt); /* who finds nothing to do is the keeper */
}

/* w, which has run, is about to be idle: were it, or who was appointed meanwhile, of any use? rt->lock held. */
static void judge_keepers(struct rt *rt, struct worker *w)
{
    int32_t n = load_relaxed(&rt->vain);
    bool vain = w->by_edge ? rt->rests - w->rests > 1 /* its own is one */ : rt->heir;

    if (vain && n < VAIN_MAX)
        store_relaxed(&rt->vain, n + 1);
    else if (!vain && w->by_edge && n > 0)
        store_relaxed(&rt->vain, 0);
    w->by_edge = rt->heir = false;
}

/* Into the list of the idle. False: there are enough, so w is to end. rt->lock held. */
static bool idle_put(struct rt *rt, struct worker *w)
{
    if (rt->idle_workers >= rt->nprocs + SPARE_WORKERS && !w->home && !w->locked)
        return false;
    w->next_idle = rt->idle_worker;
    rt->idle_worker = w;
    rt->idle_workers++;
    w->in_list = true;
    return true;
}

/*
 * The keeper goes, with p; its duty passes to somebody still idle, if there is one, who is to be roused. rt->lock held. Not
 * while all processors are busy: their holders look at the timers and poll, and the keeper could only be woken by every
 * edge, to find that.
 */
static struct worker *keeper_leaves(struct rt *rt, const struct proc *p)
{
    struct worker *heir = load_relaxed(&rt->idle_procs) ? rt->idle_worker : NULL;

    if (heir && covered(rt) && timers_next(rt, p) > soon(INT64_MAX, timer_soon_ns))
        heir = NULL;
    rt->keeper->in_list = false;
    keeper_gone(rt);
    if (heir) {
        rt->idle_worker = heir->next_idle;
        rt->idle_workers--;
        heir->in_list = false;
        rt->heir = true;
        worker_tell(heir);
    }
    return heir;
}

/* w, which stands in, was handed a processor for its own goroutine: it is idle no more. rt->lock held; somebody to
 * rouse, or NULL. */
static struct worker *stand_in_leaves(struct rt *rt, struct worker *w)
{
    if (rt->keeper == w)
        return keeper_leaves(rt, load_relaxed(&w->given));
    if (w->in_list) {
        struct worker **at = &rt->idle_worker;

        while (*at != w)
            at = &(*at)->next_idle;
        *at = w->next_idle;
        rt->idle_workers--;
        w->in_list = false;
    }
    return NULL;
}

/* Edges have woken n, who are queued at p. */
static void found_edges(struct rt *rt, struct proc *p, int n)
{
    note_source(p, EVENT_POLL, n);
    p->polled_ticks = covered(rt) ? ticks_now() : 0;
    if (n >= AHEAD_FROM)
        p->ahead = (uint32_t)n;
}

/* w, this thread, is about to wait for a time. */
static COLD void be_exact(struct worker *w)
{
    int64_t was = rn__os_slack();

    w->exact = true;
    if (was <= WORKER_SLACK_NS) /* by somebody's wish; or it cannot be known */
        return;
    w->slack = was;
    rn__os_slack_set(WORKER_SLACK_NS);
}

/*
 * Sleep without a processor until one is given, or, as the keeper, until a timer is due and a processor idle:
 * w->proc is then set. False: the runtime stops, or w is one thread too many; of one that stands in, also that its own
 * goroutine's processor was handed to it, or that another worker is idle.
 */
static bool idle_wait(struct worker *w)
{
    struct rt *rt = w->rt;
    int64_t recheck = recheck_min_ns;
    struct poll_batch edges;
    bool keeper, again, came = true;

    for (;;) {
        int64_t until = INT64_MAX;

        edges.count = 0;
        spin_lock(&rt->lock);
        w->polls = false;
        if (unlikely(w->locked && !w->proc && !rt->stopping &&
                     (load_relaxed(&w->given) || (rt->keeper && !w->in_list)))) {
            struct worker *heir = stand_in_leaves(rt, w);

            spin_unlock(&rt->lock);
            if (heir)
                worker_rouse(heir, false);
            if (unlikely(load_relaxed(&rt->unpolled)))
                keeper_tell(rt);
            return false;
        }
        again = false;
        if (unlikely(load_relaxed(&rt->refused) && rt->global_len)) { /* see worker_new */
            if (w->locked)
                again = true;
            else if (!w->proc && !rt->stopping && !w->in_list)
                w->proc = proc_take(rt, w);
        }
        if (w->proc || rt->stopping) {
            spin_unlock(&rt->lock);
            rt_time_is(rt, now_ns()); /* nobody did while all slept */
            store_relaxed(&w->futex, 0);
            return w->proc != NULL;
        }
        store_relaxed(&w->futex,
                      0); /* whoever was told before is told by what it has just looked at */
        if (!w->in_list) {
            if (came) /* and has not been made the keeper since */
                judge_keepers(rt, w);
            if (must_poll(rt) && !rt->keeper->locked && idle_put(rt, rt->keeper)) {
                rt->keeper = w; /* and polls; the other sleeps on */
                w->in_list = true;
            } else if (!rt->keeper) {
                rt->keeper = w;
                w->in_list = true;
            } else if (!idle_put(rt, w)) {
                spin_unlock(&rt->lock);
                came_to_rest(rt);
                if (unlikely(load_relaxed(&rt->unpolled)))
                    keeper_tell(rt);
                return false;
            }
        }
        came = false;
        keeper = rt->keeper == w;
        w->polls = keeper && rn__netpoll_active() && (!covered(rt) || all_idle(rt));
        if (keeper) {
            store_relaxed(&rt->unpolled, !w->polls && rn__netpoll_active());
            /* T2: published before the heaps are looked at. */
            store_relaxed(&rt->keeper_until, INT64_MAX);
            fence_seq_cst();
            until = rn__timers_first(rt);
            store_relaxed(&rt->keeper_until, until);
        }
        spin_unlock(&rt->lock);

        /* Whoever is the last to go idle looks whether anything can ever run again. */
        if (all_idle(rt) && rn__timers_first(rt) == INT64_MAX &&
            rn__deadlock_check(
                rt)) { /* a thread we do not know may end without a word to us: the keeper looks again */
            if (keeper) {
                until = now_ns() + recheck;
                recheck = recheck * 2 > recheck_max_ns ? recheck_max_ns : recheck * 2;
            } else {
                keeper_tell(rt);
            }
        }
        if (unlikely(again))
            until = soon(until, thread_retry_ns);
        if (unlikely(load_relaxed(&rt->starving)) && all_idle(rt)) {
            rn__stack_retry(rt);
            if (keeper)
                until = soon(until, STACK_RETRY_NS);
            else
                keeper_tell(rt); /* to do so from now on */
        }
        if (until != INT64_MAX && !w->exact)
            be_exact(w);
        while (load_acquire(&w->futex) == 0) { /* pairs with worker_tell, which is before a break */
            if (w->polls) {
                rn__netpoll_fetch(&edges, until, &w->futex);
                break;
            }
            rn__os_futex_wait(&w->futex, 0, until);
            if (until != INT64_MAX && now_ns() >= until)
                break;
        }
        if (!keeper || (edges.count == 0 && !again && rn__timers_first(rt) > now_ns()))
            continue;
        spin_lock(&rt->lock);
        if (rt->keeper == w) {
            bool busy = !all_idle(rt);
            struct proc *p = proc_take(rt, w);

            rt->heir = false;
            if (p) {
                struct worker *heir = keeper_leaves(rt, p);

                w->polls = false;
                w->proc = p;
                w->by_edge = busy && edges.count > 0;
                if (busy && edges.count == 0 && load_relaxed(&rt->vain) > 0)
                    store_relaxed(&rt->vain, 0); /* it was of use for a timer */
                w->rests = rt->rests;
                spin_unlock(&rt->lock);
                if (heir)
                    worker_rouse(heir, false);
                found_edges(rt, p, rn__netpoll_deliver(&edges));
                return true;
            }
            /* All processors are busy: their holders look at the timers and descriptors, or lose them to the monitor.
             * Sleep until one is given up: whoever does so looks at the timers again, and polls. Or end: one keeper after
             * another comes by here while all are busy. */
            keeper_gone(rt);
            w->in_list = idle_put(rt, w);
            if (!w->in_list) {
                w->polls = false;
                spin_unlock(&rt->lock);
                rn__netpoll_deliver(&edges);
                return false;
            }
        }
        spin_unlock(&rt->lock);
        rn__netpoll_deliver(&edges); /* to the processor that we were given meanwhile, or for all */
    }
}

struct timer_heap *rn__timer_heap(void)
{
    struct worker *w = worker_self();
    struct proc *p = w->proc; /* a guess unless inside an entry; any heap will do */
    struct rt *rt;
    bool held;

    if (likely(p))
        return p->timers;
    rt = rn__rt_hold(w, &held);
    if (!rt)
        return NULL;
    rt_drop(rt, held);
    return rn__timer_heaps;
}

/* A timer was armed that is its heap's first. */
void rn__timer_wake(int64_t when)
{
    bool held;
    struct rt *rt = rn__rt_hold_running(worker_self(), &held);

    if (!rt)
        return;
    fence_seq_cst(); /* T1 */
    if (when < load_relaxed(&rt->keeper_until))
        keeper_tell(rt);
    else
        rn__monitor_tell(rt); /* if there is no keeper it is the one that minds */
    rt_drop(rt, held);
}

/*
 * Give w's processor up: to a locked goroutine's thread or the idle list. The caller wakes somebody if there is work.
 * The fence is with find_task: a spinner whom a waker sees will see that the processor is idle.
 */
static void proc_give_up(struct worker *w)
{
    struct rt *rt = w->rt;
    struct proc *p = w->proc;

    w->proc = NULL;
    spin_lock(&rt->lock);
    proc_idle(rt, p);
    spin_unlock(&rt->lock);
    fence_seq_cst();
}

/* p's holder fires what is due in h. */
static ALWAYS_INLINE void run_due_timers(struct proc *p, struct timer_heap *h)
{
    if (load_relaxed(&h->count) != 0 && timers_first(h) <= now_ns())
        note_source(p, EVENT_TIMER, rn__timers_run(h, now_ns()));
}

/* Those of processors that are out of use: while all others are busy nobody idle minds them, and no holder has them. */
static COLD void run_others_timers(struct rt *rt, struct proc *p)
{
    for (uint32_t i = 0, n = load_acquire(&rt->nprocs); i < n; i++) {
        const struct proc *other = &rt->procs[i];

        if (load_relaxed(&other->idle))
            run_due_timers(p, other->timers);
    }
}

/*
 * p's holder, to whom edges are left, has found some that may have waited for so many ticks. A short while is nothing by itself:
 * a virtual machine stands still for that long a hundred times a second. They are left to it no more when it comes to
 * LATE_US, less a LATE_PART of the time that passes.
 */
static COLD void edges_were_late(struct rt *rt, struct proc *p, uint64_t ticks)
{
    uint64_t forgotten = (p->polled_ticks - p->late_at) / LATE_PART;

    p->late = (p->late > forgotten ? p->late - forgotten : 0) + ticks;
    p->late_at = p->polled_ticks;
    if (p->late > LATE_US * arch_ticks_in_us()) {
        p->late = 0;
        rn__left_too_long(rt);
    }
}

/*
 * Poll in passing; how many were woken. The next such poll comes when what could run by now has had its turn. There may
 * be more edges than can be served, and if they came faster than they are, the queue would overflow, and who is in the
 * global queue would wait for as long as there are edges. Of a long global queue only a part goes first.
 */
static int poll_now(struct rt *rt, struct proc *p)
{
    uint64_t before = p->polled_ticks;
    int n = rn__netpoll_poll();
    uint32_t global = load_relaxed(&rt->global_len);

    found_edges(rt, p, n);
    if (unlikely(before && p->polled_ticks && n > 0 &&
                 p->polled_ticks - before > COVERED_US * arch_ticks_in_us() &&
                 load_relaxed(&rt->idle_procs) > 0))
        edges_were_late(rt, p, p->polled_ticks - before);
    store_relaxed(&p->polled, p->tick); /* for the monitor */
    p->backlog = queued(p) + (global < RUNQ_SLOTS ? global : RUNQ_SLOTS);
    return n;
}

/* A task to run; waits for one. 0: the runtime stops. On return w holds a processor. */
static task find_task(struct worker *w)
{
    struct rt *rt = w->rt;
    struct proc *p;
    uint32_t nprocs;
    bool look;
    task t;

again:
    if (load_relaxed(&rt->stopping)) {
        stop_spinning(w);
        return 0;
    }
    if (w->handed) {
        t = w->handed;
        w->handed = 0;
        assert(w->proc); /* in the entry that picked it */
        return t;
    }
    if (!w->proc) {
        uint64_t from = ticks_now();

        if (!idle_wait(w)) {
            stop_spinning(w);
            return 0;
        }
        rested(w, from);
    }
    p = w->proc;
    store_relaxed(&p->tick, p->tick + 1);
    run_due_timers(p, p->timers);
    look = p->tick - p->looked >= TICK_GLOBAL; /* not a multiple: pick_quick has counted too */
    if (look) {
        p->looked = p->tick;
        pace_look(rt, p);
        rt_time_is(rt, now_ns());
        if (unlikely(load_relaxed(&rt->off_procs) > 0))
            run_others_timers(rt, p);
        if (rn__netpoll_active() && p->tick - p->polled >= p->backlog)
            (void)poll_now(rt, p);
    }
    if (look || w->yielded) { /* who yields lets the global queue go first too */
        w->yielded = false;
        t = global_batch(rt, p, GLOBAL_FAIR);
        if (t)
            goto found;
    }
    t = pick(p);
    if (t)
        goto found;
    trip_over(rt, p);
    t = global_batch(rt, p, GLOBAL_BATCH);
    if (t)
        goto found;
    if (rn__netpoll_active() && poll_now(rt, p) > 0) {
        t = pick(p);
        if (t)
            goto found;
    }

    nprocs = load_relaxed(&rt->nprocs);
    if (nprocs > 1) {
        if (!w->spinning &&
            2 * load_relaxed(&rt->spinning) <
                nprocs - load_relaxed(&rt->off_procs) - load_relaxed(&rt->idle_procs) + 1) {
            w->spinning = true;
            add_seq_cst(&rt->spinning, 1);
        }
        if (w->spinning) {
            t = steal(w);
            if (t)
                goto found;
        }
    }

    /* W2: give up, then look again. */
    spin_lock(&rt->lock);
    if (global_for(rt, p) && !rt->stopping) {
        spin_unlock(&rt->lock);
        goto again;
    }
    w->proc = NULL;
    rt->rests++;
    proc_idle(rt, p);
    spin_unlock(&rt->lock);
    stop_spinning(w);
    fence_seq_cst();
    if (global_for(rt, p) || rn__timers_first(rt) <= now_ns())
        goto regain;
    nprocs = load_acquire(&rt->nprocs);
    for (uint32_t i = 0; i < nprocs; i++) {
        const struct proc *other = &rt->procs[i];
        uint32_t n = queued(other);

        /* One task is its holder's business, if there is a holder. */
        if (may_take(rt, other, n) && (n > 1 || load_relaxed(&other->idle)))
            goto regain;
    }
    goto again;

regain:
    spin_lock(&rt->lock);
    p = proc_take(rt, w);
    w->proc = p;
    spin_unlock(&rt->lock);
    if (p && !w->spinning) {
        w->spinning = true;
        add_seq_cst(&rt->spinning, 1);
    }
    goto again;

found:
    if (unlikely(load_relaxed(&rt->wanting)) && !w->locked)
        store_relaxed(&rt->wanting, 0);
    note_gap(p);
    found_spinning(w);
    return t;
}

/* A locked goroutine in the global queue, taken out of it, or NULL; rt->lock held. */
static struct g *global_take_locked(struct rt *rt)
{
    task before = 0, t = rt->global_first;

    while (t && (task_is_fresh(t) || !task_g(t)->worker)) {
        before = t;
        t = task_is_fresh(t) ? (task)task_fresh(t)->next : (task)task_g(t)->next;
    }
    if (!t)
        return NULL;
    if (!before)
        rt->global_first = (task)task_g(t)->next;
    else if (task_is_fresh(before))
        task_fresh(before)->next = (struct fresh *)task_g(t)->next;
    else
        task_g(before)->next = task_g(t)->next;
    if (rt->global_last == t)
        rt->global_last = before;
    store_relaxed(&rt->global_len, rt->global_len - 1);
    return task_g(t);
}

/* Who stands in has found t, which is not for its thread: it goes to the global queue, with all that is queued beside
 * it, and the processor to whoever can be had. */
static void pass_on(struct worker *w, task t)
{
    struct rt *rt = w->rt;
    struct proc *p = w->proc;

    w->proc = NULL;
    spin_lock(&rt->lock);
    global_put(rt, t);
    all_to_global(rt, p);
    proc_idle(rt, p);
    spin_unlock(&rt->lock);
    fence_seq_cst(); /* W1 */
    rn__wake_one(rt);
}

/*
 * Nobody minds: see to what can run on the thread of a locked goroutine that waits for a processor. True: it is to run,
 * and w holds one. False: wait, somebody else is there; or the processor was handed over; or the runtime stops.
 */
static bool stand_in(struct worker *w)
{
    struct rt *rt = w->rt;

    w->proc = rn__proc_take_idle(rt, w); /* to look at all queues before it sleeps */
    for (;;) {
        task t = find_task(w);
        struct g *g = NULL;
        struct proc *p = NULL;
        int64_t since;
        bool minded;

        if (!t) {
            if (w->proc) /* the runtime stops */
                proc_give_up(w);
            return false;
        }
        if (!task_is_fresh(t) && task_g(t)->worker) {
            g = task_g(t);
            p = w->proc;
        } else {
            pass_on(w, t);
            spin_lock(&rt->lock);
            minded = !nobody_minds(rt);
            if (!minded && (g = global_take_locked(rt)))
                p = proc_take(rt, w);
            if (g || rt->blocked != 0 || rt->global_len == 0)
                store_relaxed(&rt->wanting, 0);
            else if (!minded && load_relaxed(&rt->wanting) == 0)
                store_relaxed(&rt->wanting, rn__os_now());
            spin_unlock(&rt->lock);
            if (minded) /* or only seems so: a processor is in hands that ask for a thread right now */
                return false;
            since = load_relaxed(&rt->wanting);
            if (since && rn__os_now() - since > WANT_NS)
                rn__panic(no_thread);
            if (!g)
                continue;
        }
        w->proc = g->worker == w ? p : NULL;
        if (g->worker == w)
            return true;
        proc_hand(rt, g->worker, p);
        return false;
    }
}

/* Wait on the thread's own stack, without a processor, until somebody hands one over for the goroutine locked to it.
 * False: the runtime stops. */
static bool wait_for_proc(struct worker *w)
{
    struct rt *rt = w->rt;

    for (;;) {
        bool alone = false;

        store_relaxed(&w->waits, true);
        swap_seq_cst(&w->futex, 0); /* before the look at given; its writer sets futex after it */
        fence_seq_cst(); /* with call_waiter: it sees that we wait, or we see that nobody minds */
        w->proc = load_acquire(&w->given);
        if (w->proc) {
            store_relaxed(&w->given, NULL);
            break;
        }
        if (load_relaxed(&rt->stopping))
            break;
        if (unlikely(all_idle(rt))) {
            spin_lock(&rt->lock);
            alone = nobody_minds(rt);
            spin_unlock(&rt->lock);
        }
        if (unlikely(alone)) {
            store_relaxed(&w->waits, false);
            if (stand_in(w))
                break;
            continue;
        }
        rn__os_futex_wait(&w->futex, 0, INT64_MAX); /* rn__stop wakes every worker */
    }
    store_relaxed(&w->waits, false);
    return w->proc != NULL;
}

/* Let others have the processor of a goroutine that goes on without one. Inside an entry. */
void rn__proc_lend(struct worker *w)
{
    struct rt *rt = w->rt;
    struct proc *p = w->proc;
    bool work = queued(p) > 0 || load_relaxed(&rt->global_len) > 0 ||
                load_relaxed(&p->timers->count) > 0 || load_relaxed(&rt->starving) > 0;

    note_without(w, p, false);
    w->proc = NULL;
    w->without = true;
    rn__proc_taken(rt, p);
    fence_seq_cst(); /* with find_task: a spinner that we see will see that p is idle */
    if (work)
        rn__wake_one(rt);
    else if (unminded(rt))
        rn__wake_one(rt); /* somebody has to mind the timers and descriptors while we are away */
}

/* Get a processor again, on this thread: an idle one, or the place in the queue of a task. Inside an entry. errno stays. */
void rn__proc_regain(struct worker *w)
{
    struct rt *rt = w->rt;
    struct g *g = w->cur;
    int saved = errno;
    struct proc *p;

    spin_lock(&rt->lock);
    p = rt->stopping ? NULL : proc_take(rt, w);
    if (p) {
        rt->blocked--;
        w->without = false;
        w->proc = p;
    } else if (!rt->stopping) {
        /* Queued as a task of this thread: whoever picks it hands its processor over (decision 11). */
        rt->blocked--;
        w->without = false;
        g_to_thread(g, w);
        w->locked = g;
        global_put(rt, task_of_g(g));
    }
    spin_unlock(&rt->lock);
    if (p) {
        note_unblock(w);
        errno = saved;
        return;
    }
    if (!w->without) {
        fence_seq_cst();
        rn__wake_one(rt);
    }
    /* On the thread's own stack, where run_locked waits; or, if the runtime stops, this goroutine ends here, like one
     * that parks. */
    store_relaxed(&g->status, G_RUNNABLE);
    g->after = AFTER_NOTHING;
    (void)switch_to(w, g, &w->self);
    if (g->lock_depth == 0) {
        g_to_thread(g, NULL);
        w->locked = NULL;
    }
    errno = saved;
}

/* What is left to do on the thread's own stack for prev, which has left it. */
static void left(struct worker *w, struct g *prev)
{
    w->last = prev;
    if (unlikely(w->without)) {
        struct rt *rt = w->rt;

        w->without = false;
        spin_lock(&rt->lock);
        rt->blocked--; /* after a yield has queued it again: it never seems gone */
        spin_unlock(&rt->lock);
    }
}

/* The goroutine locked to this thread has left: wait until it is picked, then run it. */
static bool run_locked(struct worker *w)
{
    struct g *g = w->locked;
    struct rt *rt = w->rt;

    if (w->proc) {
        struct proc *p = w->proc;
        bool work = queued(p) > 0 || load_relaxed(&rt->global_len) > 0;

        if (w->requeue) /* before the processor is idle: or nobody would know that something can run */
            rn__inject(rt, task_of_g(g));
        proc_give_up(w);
        if (work || unminded(rt))
            rn__wake_one(rt);
        if (load_relaxed(&rt->global_len))
            rn__wake_one(rt);
        if (all_idle(rt) && (rn__deadlock_check(rt) || load_relaxed(&rt->starving)))
            keeper_tell(rt);
    } else if (w->requeue) {
        rn__inject(rt, task_of_g(g));
    }
    w->requeue = false;
    if (!wait_for_proc(w))
        return false;
    note_gap(w->proc); /* of g, which was elsewhere */
    left(w, switch_to(w, &w->self, g));
    return true;
}

static void run(struct worker *w, task t)
{
    struct g *g;

    if (!task_is_fresh(t)) {
        g = task_g(t);
        if (g->worker && g->worker != w) {
            struct proc *p = w->proc;

            w->proc = NULL;
            proc_hand(w->rt, g->worker, p);
            return;
        }
    } else {
        struct fresh *f = task_fresh(t);

        g = f->stack_class == STACK_CLASS_DEFAULT ? cached_stack(w->proc) : NULL;
        if (!g)
            g = rn__stack_new(w->rt, f->stack_class);
        if (unlikely(!g)) {
            rn__stack_await(w->rt, f);
            return;
        }
        rn__g_from_fresh(w, g, f);
        frame_init(g);
    }
    if (unlikely(g->stack_class == STACK_CLASS_SMALL && !w->quiet)) {
        rn__os_signals_block(&w->signal_mask);
        w->quiet = true;
    }
    left(w, switch_to(w, &w->self, g));
}

/*
 * rn_run's thread, once the first goroutine has left it: rn_run must be able to return whatever goroutines do,
 * so none but one locked to it runs here. The processor goes to a worker of its own. False: no thread is to be
 * had, so this one goes on as a worker.
 */
static bool step_aside(struct worker *w)
{
    struct rt *rt = w->rt;

    if (w->proc) {
        proc_give_up(w);
        rn__wake_one(rt);
    }
    if (load_relaxed(&rt->workers) < 2 && load_relaxed(&rt->spinning) == 0) {
        w->caller = false;
        if (!w->proc) /* nobody else will look at what is queued */
            w->proc = rn__proc_take_idle(rt, w);
        return false;
    }
    store_relaxed(&w->waits, true);
    while (!load_relaxed(&rt->stopping)) { /* rn__stop wakes us */
        swap_seq_cst(&w->futex, 0);
        if (load_relaxed(&w->called)) { /* before the stop, if both */
            store_relaxed(&w->waits, false);
            w->caller = false;
            w->proc = rn__proc_take_idle(rt, w);
            return false;
        }
        if (!load_relaxed(&rt->stopping))
            rn__os_futex_wait(&w->futex, 0, INT64_MAX);
    }
    return true;
}

/* Run goroutines until the runtime stops. */
void rn__sched_loop(struct worker *w)
{
    bool first = true;

    w->self.tsan_fiber = rn__fiber_current();
    w->self.after = AFTER_NOTHING;
    for (;;) {
        task t;

        if (w->locked) {
            if (!run_locked(w))
                break;
            continue;
        }
        if (w->caller && !first && step_aside(w))
            break;
        first = false;
        if (unlikely(w->doomed && !w->home)) {
            if (w->proc) {
                proc_give_up(w);
                rn__wake_one(w->rt);
            }
            break;
        }
        t = find_task(w);
        if (!t)
            break;
        run(w, t);
    }
}

/* w ends: as one thread too many, which the monitor joins, or with the runtime. */
static void worker_leave(struct worker *w)
{
    struct rt *rt = w->rt;
    struct worker_slot *slot = w->slot;
    struct g *last = w->last;
    bool orphan;

    rn__monitor_exclude(w);
    if (w->proc) {
        proc_idle(rt, w->proc);
        w->proc = NULL;
    }
    slot->worker = NULL;
    orphan = slot->orphan;
    w->rt = NULL;
    if (!rt->stopping) {
        slot_unlink(rt, slot);
        slot->next = rt->retired;
        rt->retired = slot;
        spin_unlock(
            &rt->lock); /* rt may be gone after this: its end waits for this thread, not for us */
        return;
    }
    spin_unlock(&rt->lock);
    if (orphan) {
        rn__g_drop(rt, last);
        store_release(&slot->exited, 1);
        rn__rt_unref(rt);
        return;
    }
    store_release(&slot->exited, 1); /* pairs with the join of start.c */
    rn__os_futex_wake(&slot->exited);
}

static void *worker_thread(void *arg)
{
    struct start s = *(struct start *)arg;
    struct worker *w = worker_self();
    struct rt *rt = s.rt;
    void *signal_stack = rn__overflow_thread();

    /* The monitor, which blocks all, may have started us; or a goroutine that blocks some for a moment. */
    rn__os_signal_mask_set(&rt->signal_mask);
    rn__mem_free(arg);
    rn__worker_join(w, rt, s.slot);
    spin_lock(&rt->lock);
    w->proc = s.proc;
    s.proc->worker = w;
    w->spinning = true; /* counted by whoever started us */
    s.slot->worker = w;
    spin_unlock(&rt->lock);
    rn__sched_loop(w);
    worker_leave(w);
    rn__os_signal_stack_free(signal_stack);
    edge_acquire(
        w); /* libraries' destructors of this thread's data see what goroutines left there */
    return NULL;
}

/* w works for rt from now on, inside the runtime until it runs a goroutine. */
void rn__worker_join(struct worker *w, struct rt *rt, struct worker_slot *slot)
{
    w->rt = rt;
    w->slot = slot;
    w->last = NULL;
    store_relaxed(&w->attention, rt->fences ? ATTEND_FENCE : 0);
    store_relaxed(&w->entry, load_owned(&w->entry) | 1);
}

void rn__stop(struct rt *rt)
{
    spin_lock(&rt->lock);
    store_release(&rt->stopping, 1);
    for (struct worker_slot *s = rt->slots; s; s = s->next)
        if (s->worker)
            worker_rouse(s->worker, worker_tell(s->worker));
    spin_unlock(&rt->lock);
}
