/* SPDX-License-Identifier: MIT */
/*
 * rt.h - the runtime's own structures, for the files of sched/ and for reports.
 *
 * Lock order: a timer heap's lock, then rt->lock, then rt->memory. Nothing is readied under any of them.
 */
#ifndef RN_SRC_RT_H
#define RN_SRC_RT_H

#include <signal.h>

#include "arch/arch.h"
#include "sched/count.h"
#include "sched/runq.h"
#include "sched/sched.h"
#include "time/timer.h"

enum {
    STACK_CLASS_SMALL = 0,   /* without a guard: see stack.c */
    STACK_CLASSES = 18,      /* the others: 16 KiB << (class - 1), up to 1 GiB */
    STACK_CLASS_DEFAULT = 4, /* 128 KiB */
    STACK_CACHE = 64,        /* stacks that a processor keeps for itself */
    FRESH_CACHE = 128,       /* records that a processor keeps for itself */
    CHAN_CACHE = 16,  /* freed channels that a processor keeps for itself, of each class of sizes */
    CHAN_CLASSES = 8, /* 64 bytes, 128, and so on */
    MAX_THREADS = 10000 /* worker threads, unless RUNNEL_MAX_THREADS says otherwise */
};

/*
 * What the system refuses is asked for again; but if for so long nothing in the process could make up for it, the
 * goroutines that wait for it will not run, and that is said.
 */
#define WANT_NS INT64_C(5000000000)
#define STACK_RETRY_NS INT64_C(100000000)

struct chan;

struct proc {
    struct runq ready;
    struct runq yielded;
    struct freshq fresh;

    /* The holder's own. */
    struct worker *worker ALIGNED(CACHE_LINE); /* who holds it; written with rt->lock held */
    uint32_t index;
    uint32_t
        bias; /* atomic: in the lock word of a channel that is this processor's, or BIAS_NONE; see chan/bias.h */
    const struct chan **busy; /* and the channel that its holder is at, atomic; not the runtime's */
    uint32_t tick;            /* atomic, written by the holder: counts picks */
    uint32_t looked;          /* tick at the last look at the global queue */
    uint32_t polled;          /* atomic, likewise: tick at the last look at the descriptors */
    uint64_t polled_ticks;    /* and of the CPU's clock, while it polls for all; 0: not known */
    uint64_t late, late_at;   /* for how long edges have waited, by then; see edges_were_late */
    uint32_t backlog;         /* how many could run after that */
    uint32_t ahead;           /* picks until which who is next is fetched into the caches */
    uint32_t ready_streak;    /* picks of those that are not new since somebody else had a turn */
    uint32_t turns;           /* counts those: new ones and those that yielded take turns */
    bool yielded_ran;         /* one that yielded was picked since then */
    uint32_t fresh_takes;     /* counts picks from fresh */
    int8_t
        halved; /* signed, since the explorer's SPIN_HALVED is 0; how many times the while of looking for work is halved */
    bool alone; /* atomic: the only processor: no thieves */
    uint32_t kept;   /* atomic: lone tasks that were not stolen, in a row; see sched.c */
    uint32_t unpaid; /* atomic: thefts from here that did not pay, in a row; likewise */
    struct trip {    /* the last theft by this processor, until its queues are empty again */
        uint32_t victim, moved; /* whose tasks, and how many; 0: none */
        uint32_t tick;          /* here, then; and: */
        uint64_t parks;
        uint64_t at;   /* of the CPU's clock */
        bool spilt;    /* they were in the global queue */
        uint32_t home; /* the victim's tick, and since when it has been seen to be that */
        uint64_t since;
    } trip;
    struct pace {       /* of picks while nobody shares; see sched.c */
        uint64_t ticks; /* atomic: of the CPU's clock, a pick; 0: not known */
        int64_t known;  /* atomic: since when, by rt->now */
        uint32_t from;  /* tick when the measure began */
        uint64_t began; /* and when; 0: not begun */
    } pace;
    struct g *stacks; /* cache of the default class, hottest first */
    uint32_t stack_count;
    struct fresh *free_fresh; /* cache of records */
    uint32_t fresh_count;
    struct chan *chans[CHAN_CLASSES]; /* likewise of freed channels; see chan.c */
    uint8_t chan_count[CHAN_CLASSES];
    uint64_t id_next, id_end; /* a batch of goroutine ids */
    uint64_t started, ended;  /* atomic, written by the holder: goroutines */
    uint64_t count[COUNTS];   /* atomic, written by the holder */
    struct ring *ring;        /* atomic: where events go, or NULL; see note.h */
    struct os_ring *reads;    /* by which its holder reads for many; see netpoll/ahead.c */
    uint32_t reads_pause;     /* batches until it is asked for again */

    struct timer_heap *timers; /* of the same index, for the whole process */
    struct proc *next_idle;    /* guarded by rt->lock */
    bool idle;                 /* guarded by rt->lock */
    struct glance {            /* the monitor's own: what it saw at its last tick */
        struct worker *worker;
        uint32_t tick, entry, polled;
        int64_t since;     /* since when this worker has run without a pick */
        int64_t spared;    /* until when it is not to be asked about: it computed */
        int64_t polled_at; /* when polled was seen to change */
        uint32_t
            unshared; /* looks in a row at which work waited that is not shared since that does not pay */
        uint32_t probe; /* after so many of them it is tried again */
    } seen;
};

/* What somebody else wants of a worker: bits, set by the monitor, read at every entry. See monitor.c. */
enum attention {
    ATTEND_STEALING = 1, /* its processor may be about to be taken: wait until this is clear */
    ATTEND_YIELD = 2,    /* its goroutine has had its time: yield in the next call that waits */
    ATTEND_FENCE =
        4, /* for good: the kernel refuses membarrier, so an entry needs a fence of its own */
    ATTEND_FORKED = 8, /* for good: a goroutine alone in a child process, which has no runtime */
    ATTEND_LEFT =
        16 /* for good: left behind by the end of its runtime; no channel is its processor's */
};

/* Of the timer slack of workers that wait for timers. The kernel's 50 us are more than all else that a sleep is late by; with
 * less than these hardly anything is gained, and no two timers share a wake-up. */
enum { WORKER_SLACK_NS = 10000 };

/* A thread. Its storage is thread-local, so that it costs no allocation. */
struct worker {
    struct g *cur; /* who runs here now: a goroutine, or &self */
    struct proc *
        proc; /* held, or NULL; outside an entry the monitor may take it: atomic, for whoever looks there */
    uint32_t
        entry; /* atomic, written by this thread: odd inside the runtime, even outside; a sequence */
    uint32_t attention; /* atomic: enum attention */
    bool without;       /* its goroutine runs without a processor, and is counted in rt->blocked */
    struct g self;      /* the thread's own stack as a waiter */
    struct rt *rt;      /* whose worker it is; NULL for a plain thread */
    struct g *locked;   /* the goroutine that owns this thread (rn_lock_thread) */
    task handed; /* a task that was picked on a goroutine's stack but must be run from here */
    struct proc *given; /* atomic: a processor handed to this thread for its locked goroutine */
    bool waits;     /* atomic: it waits for given or, stepped aside, for the end: see call_waiter */
    bool called;    /* atomic: it shall see to what can run */
    bool caller;    /* rn_run's thread: runs the first goroutine until it leaves, then only waits */
    struct g *last; /* the goroutine that left this thread last, for the end of rn_run */
    bool home;      /* rn_run's thread, which cannot end */
    bool doomed;    /* its goroutine ended while locked to it: the thread ends too */
    bool yielded;   /* the last goroutine to reach the loop yielded */
    bool requeue;   /* the locked goroutine yielded: queue it before the processor is given up */
    uint32_t futex; /* atomic: what an idle worker sleeps on; see idle_wait */
    bool spinning;  /* counted in rt->spinning */
    bool in_list;   /* in rt->idle_workers or rt->keeper; guarded by rt->lock */
    bool polls;     /* the keeper, and it sleeps in the poller; guarded by rt->lock */
    bool by_edge;   /* edges got it its processor while others had one, when the runtime had seen */
    uint32_t rests; /* so many rests */
    bool exact;     /* has no more than WORKER_SLACK_NS of timer slack; was: */
    int64_t slack;  /* 0: no more either */
    uint64_t told;  /* of the CPU's clock: when it was last called to work; guarded by rt->lock */
    uint64_t random;
    uint8_t chan_turn;    /* for one operation on a channel in fifteen; see chan/bias.h */
    uint32_t block_calls; /* calls of rn_blocking that kept the processor */
    bool quiet;           /* has run a goroutine with a small stack: takes no more signals; was: */
    sigset_t signal_mask;
    struct worker *next_idle;
    int *errno_at; /* errno is in the thread; its value goes with the goroutine (decision 23) */
    int tid;       /* the kernel's number of the thread */
    struct worker_slot *slot;
};

/* What the runtime remembers of a worker thread after the thread's own storage is gone. */
struct worker_slot {
    struct worker_slot *next;
    struct worker *worker; /* valid until exited */
    pthread_t thread;
    uint32_t exited; /* atomic: touches the runtime no more */
    bool orphan;     /* left behind by the end of rn_run */
};

struct arena {
    struct arena *next;
    char *base;      /* of the first stack */
    size_t below;    /* bytes of guard below that, besides its own */
    size_t stride;   /* from one stack to the next */
    uint32_t count;  /* stacks that fit */
    uint32_t carved; /* handed out at least once; atomic for reports */
    uint32_t stack_class;
};

/*
 * Records are carved from slabs, aligned so that a record finds its own. A processor's cache spills into them; one whose
 * records are all free gives its pages back to the kernel, but for a few. Guarded by rt->memory.
 */
enum { SLAB_BYTES = 65536, SLAB_RECORDS = 170, SLABS_SPARE = 8 };
struct slab {
    struct slab *next;                 /* of all */
    struct slab *next_free, **at_free; /* of those with free records */
    struct fresh *free;
    uint32_t carved;     /* records beyond were never used, or not since the pages went */
    uint32_t free_count; /* those in free, and those not carved */
    struct fresh record[] ALIGNED(16);
};
_Static_assert(sizeof(struct slab) + SLAB_RECORDS * sizeof(struct fresh) <= SLAB_BYTES - 64,
               "with malloc's head");

/*
 * Of room processors, the first nprocs have been used; off of those are out of use because the process may use fewer CPUs
 * now than it might: limit. The monitor follows affinity mask and quota, unless the number was asked for.
 */
struct rt {
    uint32_t nprocs; /* atomic: changed with lock held, never lowered */
    uint32_t room;   /* processors there is memory for */
    bool follows;
    bool alone;        /* the monitor's own: there has never been more than one */
    uint32_t stopping; /* atomic */
    uint32_t refs;     /* atomic: rn_run's, and one per orphan */
    uint64_t number;   /* of the starts of this process, from 1 */
    uint32_t tags;     /* what is added to an id for a tag; see owner.h */
    int64_t slack;     /* rn__os_slack of who started it */
    struct proc *procs;

    struct spin lock ALIGNED(CACHE_LINE);
    /* Guarded by lock: the global queue, the idle lists. */
    task global_first, global_last;
    uint32_t global_len;  /* atomic for readers without the lock */
    struct proc *spiller; /* likewise: whose queues had no room for all that is in it; or NULL */
    uint32_t idle_procs;  /* atomic for readers without the lock */
    uint32_t off_procs;   /* atomic for readers without the lock */
    uint32_t limit;       /* atomic for readers without the lock */
    struct proc *idle_proc;
    struct proc *off_proc;
    struct worker *idle_worker; /* asleep until woken */
    struct worker *keeper;      /* asleep until woken, or until the next timer is due */
    int64_t keeper_until;       /* atomic: INT64_MIN without a keeper */
    bool unpolled;         /* atomic: there is a keeper, and it leaves polling to who is busy */
    bool heir;             /* a keeper was appointed, and nothing has come to it yet */
    int32_t vain;          /* atomic: times in a row that a keeper was of no use; see sched.c */
    uint32_t rests;        /* counts processors given up for want of work */
    uint32_t idle_workers; /* in idle_worker */
    uint32_t blocked;      /* goroutines that go on without a processor */
    uint32_t
        workers; /* atomic for readers without the lock: worker threads, rn_run's caller included */
    uint32_t creating; /* atomic: threads that are being made; raised with stopping clear */
    bool refused;      /* atomic: the last thread that was asked for was not to be had */
    int64_t
        wanting; /* atomic: since when none is left but those that stand in, and somebody waits; or 0 */
    struct worker_slot *slots;
    struct worker_slot *retired; /* threads that ended early and are to be joined */
    bool fences;                 /* the kernel refuses membarrier */
    uint32_t max_workers;
    bool has_monitor; /* atomic */
    bool asked; /* atomic, changed with lock: the monitor shall wake a worker, see rn__wake_one */
    uint32_t monitor_deep;  /* atomic: the monitor sleeps until told */
    uint32_t monitor_futex; /* atomic: 1: told */
    pthread_t monitor;
    int64_t polled_at;    /* the monitor's own: when it polled last */
    sigset_t signal_mask; /* of whoever started the runtime, and so of every worker */
    uint32_t spinning ALIGNED(CACHE_LINE); /* atomic: workers that look for work */

    struct spin memory ALIGNED(CACHE_LINE);
    /* Guarded by memory: arenas and the caches behind those of the processors. */
    struct arena *arenas;
    struct g *stacks[STACK_CLASSES];
    struct slab *slabs, *free_slabs;
    uint32_t spare_slabs;                 /* of free_slabs, those that are all free */
    struct fresh *starved, *starved_last; /* records for which there was no stack, oldest first */
    uint32_t starving;                    /* atomic: how many */
    int64_t starved_at;  /* when the last stack was to be had, or the first of them began to wait */
    int64_t starved_try; /* when memory was last asked for on their behalf */

    uint64_t next_id;        /* atomic */
    uint64_t started, ended; /* atomic: by threads without a processor */
    uint64_t count[COUNTS];  /* atomic: by whoever has no processor, and on slow paths */
    int64_t began;
    struct recorder
        *recorder;        /* atomic: trace.c's; made by the first rn_trace_start, and then there */
    struct ring *outside; /* atomic: of whoever has no processor, or NULL */
    uint64_t free_stacks[STACK_CLASSES]; /* atomic: how many stacks has; written with memory held */

    bool has_main;        /* rn_run started it */
    uint32_t main_exited; /* atomic: the first goroutine called rn_exit */
    uint32_t done;        /* atomic futex word: set when stopping, for rn_run's caller */
    /* Atomic: a time not long ago, which stamps goroutines that park. The monitor refreshes it, and workers
     * do now and then on their way; written rarely, since every park reads it. */
    int64_t now ALIGNED(CACHE_LINE);
};

extern struct rt *rn__rt; /* atomic: the running runtime, or NULL */

/* What was counted since the process began: the runtimes before the running one, and that one (0: none). In start.c. */
struct counted {
    uint64_t started, ended;
    uint64_t count[COUNTS];
};
/* Fills *ret_past, and holds the running runtime, to be given back by rn__rt_unref; NULL: there is none. */
struct rt *rn__counted_hold(struct counted *ret_past);
/* Add rt's. */
void rn__counted_add(struct counted *c, struct rt *rt);

extern _Thread_local struct worker rn__tls_worker __attribute__((visibility("hidden")));
void rn__worker_init(struct worker *w);

/* The calling thread. Must be called anew after anything that may park. */
static ALWAYS_INLINE struct worker *worker_self(void)
{
    struct worker *w = arch_tls_address(rn__tls_worker);

    if (unlikely(!w->cur))
        rn__worker_init(w);
    return w;
}
/* The same for a goroutine, or a thread that has called us before. */
static ALWAYS_INLINE struct worker *worker_known(void)
{
    struct worker *w = arch_tls_address(rn__tls_worker);

    assert(w->cur);
    return w;
}
/*
 * The runtime of the calling thread: its own, which lives as long as it works for it, or the running one, started if
 * there is none. In the second case *ret_held is true and a reference taken, for rn__rt_drop. NULL when out of memory.
 */
struct rt *rn__rt_hold(struct worker *w, bool *ret_held);
/* The same, but NULL when none runs. */
struct rt *rn__rt_hold_running(struct worker *w, bool *ret_held);
void rn__rt_ref(struct rt *rt);
void rn__rt_unref(struct rt *rt);
static inline void rt_drop(struct rt *rt, bool held)
{
    if (unlikely(held))
        rn__rt_unref(rt);
}

/* ---- Entries: see monitor.c ------------------------------------------------------------------------------ */

void rn__enter_slow(struct worker *w);

/* From here to rt_leave the calling thread's processor stays with it. True if it was outside, and is to leave. */
static ALWAYS_INLINE bool rt_enter(struct worker *w)
{
    uint32_t entry = load_owned(&w->entry);

    if (entry & 1)
        return false;
    store_relaxed(&w->entry, entry + 1); /* M1 */
    fence_compiler();                    /* with the monitor's membarrier: M1 is seen, or M3 sees */
    if (unlikely(load_acquire(&w->attention) &
                 (ATTEND_STEALING | ATTEND_FENCE | ATTEND_FORKED))) /* M2 */
        rn__enter_slow(w);
    return true;
}

/* The same for what has another way: false, and outside, also if somebody wants any of these things of w. What entry was
 * before goes to *ret_entry. */
static ALWAYS_INLINE bool rt_enter_unless(struct worker *w, uint32_t wanted, uint32_t *ret_entry)
{
    uint32_t entry = load_owned(&w->entry);

    *ret_entry = entry;
    if (unlikely(entry & 1))
        return false;
    store_relaxed(&w->entry, entry + 1); /* M1 */
    fence_compiler();
    if (unlikely(load_acquire(&w->attention) & wanted)) { /* M2 */
        store_release(&w->entry, entry + 2);              /* M5, with nothing done */
        return false;
    }
    return true;
}
static inline bool rt_enter_quick(struct worker *w)
{
    uint32_t entry;

    return rt_enter_unless(w, ATTEND_STEALING | ATTEND_FENCE | ATTEND_FORKED, &entry);
}

static inline void rt_leave(struct worker *w)
{
    store_release(&w->entry, load_owned(&w->entry) + 1); /* M5 */
}

/* A call that may wait begins: whoever has had its time lets others go first. */
void rn__yield_due(struct worker *w);
static inline bool wait_point_due(void)
{
    return unlikely(load_relaxed(&arch_tls_address(rn__tls_worker)->attention) & ATTEND_YIELD);
}
static inline void wait_point(void)
{
    if (wait_point_due())
        rn__yield_due(arch_tls_address(rn__tls_worker));
}

/* Is no processor held? A glance without the lock. */
static inline bool all_idle(struct rt *rt)
{
    return load_relaxed(&rt->idle_procs) + load_relaxed(&rt->off_procs) ==
           load_relaxed(&rt->nprocs);
}

/* It is now about this late: for rt->now. A millisecond is exact enough, and rare enough to write. */
static inline void rt_time_is(struct rt *rt, int64_t now)
{
    if (now - load_relaxed(&rt->now) > 1000000)
        store_relaxed(&rt->now, now);
}

/* Does nobody idle mind timers, or nobody descriptors? A glance without the lock. */
static inline bool unminded(const struct rt *rt)
{
    return load_relaxed(&rt->keeper_until) == INT64_MIN || load_relaxed(&rt->unpolled);
}

/* sched.c */
/* So many times in a row must a keeper have been of no use before edges and timers are left to who is busy. */
enum { VAIN_MAX = 4 };
/* Edges have waited for who was busy, or the monitor has found some, or a timer: they are left to nobody from now on. */
void rn__left_too_long(struct rt *rt);
/* From now on n processors may be held, 1 to rt->room. Those beyond go out of use when they are given up. */
void rn__procs_limit(struct rt *rt, uint32_t n);
void rn__sched_loop(struct worker *w);
void rn__inject(struct rt *rt, task t);
/* f did not fit into w's processor's queue. */
void rn__fresh_overflow(struct worker *w, struct fresh *f);
/* A task was queued at p, by its holder, and a processor is idle. */
void rn__notify(struct rt *rt, struct proc *p);
void rn__wake_one(struct rt *rt);
struct proc *rn__proc_take_idle(struct rt *rt, struct worker *w);
/* The monitor has taken p from its worker: let somebody else have it. */
void rn__proc_taken(struct rt *rt, struct proc *p);
/* One more, by a worker inside an entry. */
static inline void count(struct worker *w, enum count what)
{
    if (likely(w->proc))
        count_add(w->proc->count, what, 1);
    else
        count_add_shared(w->rt->count, what, 1);
}

/* Is the wait of what is queued as n-th to be measured? Then *ret_queued_at is now. */
static inline bool sample(int64_t *ret_queued_at, uint64_t n)
{
#ifndef RN_EXPLORE
    if (unlikely(n % SAMPLE == 0)) {
        *ret_queued_at = now_ns();
        return true;
    }
#else
    (void)ret_queued_at, (void)n;
#endif
    return false;
}

/* A goroutine, queued at queued_at, gets p: how long that took. */
void rn__latency(struct proc *p, int64_t queued_at);

/* So much of a task's time is worth to take it to another processor. */
enum { PAYS_NS = 1000 };
/* Is it known that p's tasks are better left to its holder? Of no meaning without a monitor, which sees to it that the
 * question is asked again. */
enum { UNPAID_MAX = 4 };
static inline bool unpaid(const struct rt *rt, const struct proc *p)
{
    return unlikely(load_relaxed(&p->unpaid) >= UNPAID_MAX) && load_relaxed(&rt->has_monitor);
}

/* Is there something in the global queue, and p is to come for it? What its own processor had no room for is like what is
 * still there. */
static inline bool global_for(const struct rt *rt, const struct proc *p)
{
    const struct proc *s = load_relaxed(&rt->spiller);

    return load_relaxed(&rt->global_len) > 0 &&
           (!s || s == p || load_relaxed(&s->idle) || !unpaid(rt, s));
}

/* Tasks in p's own queues. */
static inline uint32_t queued(const struct proc *p)
{
    return runq_len(&p->ready) + runq_len(&p->yielded) + freshq_len(&p->fresh);
}

/* A task was queued at p, by its holder. */
static ALWAYS_INLINE void notify(struct rt *rt, struct proc *p)
{
    if (unlikely(load_relaxed(&rt->idle_procs) != 0))
        rn__notify(rt, p);
}

static ALWAYS_INLINE void push_fresh(struct worker *w, struct fresh *f)
{
    struct proc *p = w->proc;

    if (unlikely(!freshq_push(&p->fresh, f)))
        rn__fresh_overflow(w, f);
    else
        notify(w->rt, p);
}

/* When the first of all timers is due. */
int64_t rn__timers_first(struct rt *rt);
void rn__stop(struct rt *rt);
void rn__worker_join(struct worker *w, struct rt *rt, struct worker_slot *slot);
/* End the calling goroutine's stay on the CPU for good: never returns. */
void rn__switch_dead(struct g *g) __attribute__((noreturn));
/* Let the goroutine go on at the end of a queue. */
void rn__yield_to(enum g_after after);
/* The processor of a goroutine that blocks in C, and back. */
void rn__proc_lend(struct worker *w);
void rn__proc_regain(struct worker *w);
void rn__block_lost(struct g *g); /* the monitor takes the processor of g, between M7 and M9 */
/* What C++ keeps of exceptions caught goes from the thread to g, and the thread has none; and back. */
void rn__exceptions_save(struct g *g);
void rn__exceptions_restore(const struct g *g);
void rn__goroutine_main(struct g *prev);

/* chan.c */
void rn__chans_free(struct rt *rt); /* those that processors keep */

/* bias.c: see bias.h */
#define BIAS_NONE UINT32_MAX
void rn__bias_begin(struct rt *rt, struct proc *p);
void rn__bias_end(struct rt *rt); /* no more channels are its processors' */
/* w is about to be left behind by rt's end. False: not yet, it is inside the runtime. */
bool rn__bias_leave_behind(struct rt *rt, struct worker *w);
void rn__bias_fork(void); /* in a child process */

/* stack.c */
size_t rn__stack_bytes(uint32_t stack_class);  /* what was asked for */
size_t rn__stack_guard(uint32_t stack_class);  /* bytes of guard at its low end */
size_t rn__stack_stride(uint32_t stack_class); /* from one to the next, guard included */
uint32_t rn__stack_class(size_t bytes);        /* STACK_CLASSES when too large */
bool rn__stack_small(void); /* may a goroutine have a small one that wants it? Asked each time */
struct g *rn__stack_new(struct rt *rt, uint32_t stack_class); /* NULL: no memory */
void rn__stack_put(struct rt *rt, struct g *g);
/* No stack for f: keep it until one is free. */
void rn__stack_await(struct rt *rt, struct fresh *f);
/* Free stacks that idle processors keep go to whoever waits for one; true if there were any. */
bool rn__stack_gather(struct rt *rt);
/* Records wait for stacks and nothing runs: ask for memory again, now and then; panic after WANT_NS without. */
void rn__stack_retry(struct rt *rt);
void rn__stacks_free(struct rt *rt);
struct g *rn__arena_g(const struct arena *a, uint32_t i);

/* go.c */
/* g, on a free stack, becomes f's goroutine, and w takes f back. */
void rn__g_from_fresh(struct worker *w, struct g *g, struct fresh *f);
size_t rn__goroutines(struct rt *rt);
void rn__g_clear(struct g *g);
/* rn_go_copy's memory, if that is what it ends with: it will not end, its runtime has gone. */
void rn__copied_free(void (*done)(void *, int), void *owner);
/* The runtime ends without g, which has left its thread: take it off what it waits on. Once per g. */
void rn__g_drop(struct rt *rt, struct g *g);

/* monitor.c */
void rn__monitor_start(struct rt *rt);
void rn__monitor_end(struct rt *rt); /* rt->stopping is set */
/* A full fence in every thread of the process; or here alone, where each entry has its own. */
void rn__fence_all(void);
void rn__everybody_fences(const struct rt *rt);
void rn__monitor_tell(struct rt *rt);       /* if it sleeps until told */
void rn__monitor_rouse(struct rt *rt);      /* it shall look now */
void rn__monitor_exclude(struct worker *w); /* take rt->lock, with the monitor's hands off w (P3) */
extern uint32_t rn__monitor_eager; /* set before the start by a test: take all that may be taken */

/* deadlock.c */
/* Called when nothing can run: reports a deadlock if it is one. True: there are goroutines, but threads that
 * the library does not know, so look again later. */
bool rn__deadlock_check(struct rt *rt);
extern uint32_t rn__threads_parked; /* atomic: plain threads inside rn__park, not yet readied */
extern uint32_t rn__threads_own;    /* atomic: helper threads of the library */
extern bool rn__forked;             /* this is a child process of one that used the library */

/* panic.c */
void rn__reports_fork(void);
void rn__signal_fork(void); /* signal.c */
void rn__threads_exhausted(uint32_t max) __attribute__((noreturn));
/* overflow.c: the canary of g, the caller, is gone */
void rn__overflow_small(struct g *g) __attribute__((noreturn));

void *rn__switch(void **save_sp, void *to_sp, void *pass);
void rn__entry(void);
void rn__restart(void *sp) __attribute__((noreturn));
void rn__call_on(void *sp, void (*fn)(void *), void *arg);

/* The control block of a goroutine: below it its first frame, above it nothing. Valgrind wants 512 bytes
 * between the first frame and the end of a stack. */
enum { G_ROOM = 640 };
_Static_assert(sizeof(struct g) <= G_ROOM, "control block");
_Static_assert(G_ROOM % CACHE_LINE == 0, "see struct g");

/* g runs on w's thread only; NULL: on any. */
static inline void g_to_thread(struct g *g, struct worker *w)
{
    g->worker = w;
    g->by_loop = w || g->stack_class == STACK_CLASS_SMALL;
}

static inline bool g_on_small_stack(const struct g *g)
{
    return g->kind == G_GOROUTINE && g->stack_class == STACK_CLASS_SMALL;
}

/* Just below the control block lies the call that the goroutine makes, and below that its frames. */
static inline struct rn__call *g_call(struct g *g)
{
    return (struct rn__call *)(((uintptr_t)g & ~(uintptr_t)63) - sizeof(struct rn__call));
}

/* The lowest address of the call, aligned: where an empty stack's frames begin. */
static inline char *g_stack_top(struct g *g)
{
    return (char *)(void *)g_call(g) - 16;
}

#endif
