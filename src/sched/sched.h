/* SPDX-License-Identifier: MIT */
/*
 * sched.h - goroutines, processors, workers: the nouns, and how anything waits.
 *
 *   goroutine   struct g. Its control block lies at the top of its stack, in the same page as its
 *               first frames. Before its first run it is a struct fresh, a slab record.
 *   processor   struct proc: the right to run goroutines, with the queues and caches that go with it.
 *               There are rn_procs() of them.
 *   worker      struct worker: a thread. It runs goroutines while it holds a processor. A plain thread
 *               that calls the library has one too, without a processor, so that it can wait like
 *               anybody else.
 *   runtime     struct rt: everything of one start, from rn_run's call to its return.
 *
 * There is one way to wait: register with whoever shall wake (a channel's queue, the lot, a timer), let
 * go of that structure's lock, and call rn__park. There is one way to wake: take the waiter out of the
 * structure under its lock, let go of the lock, and call rn__ready, exactly once per park.
 *
 * on_cpu closes the window between the two: it is 1 from the moment a goroutine is picked to run until
 * the next one on that thread runs; rn__ready waits for 0 before it queues the goroutine. That wait is
 * short and cannot be circular, because a goroutine between its registration and its switch calls
 * nothing that readies: it takes the next task from its own queues, or goes to its worker's own stack
 * where all else is done. For the same reason rn__ready is never called with a lock held.
 */
#ifndef RN_SRC_SCHED_H
#define RN_SRC_SCHED_H

#include <pthread.h>
#include <runnel/go.h>

#include "base/atomic.h"
#include "base/lock.h"

struct rt;
struct proc;
struct worker;
struct g;

/* Why a goroutine is parked. Never reuse one: add. The texts are Go's where Go has one. */
enum wait_reason {
    WAIT_NONE,
    WAIT_CHAN_SEND,
    WAIT_CHAN_RECEIVE,
    WAIT_CHAN_SEND_NIL,
    WAIT_CHAN_RECEIVE_NIL,
    WAIT_SELECT,
    WAIT_SELECT_NO_CASES,
    WAIT_SLEEP,
    WAIT_MUTEX_LOCK,
    WAIT_RWMUTEX_LOCK,
    WAIT_RWMUTEX_RLOCK,
    WAIT_WG_WAIT,
    WAIT_ONCE,
    WAIT_COND_WAIT,
    WAIT_SEM_ACQUIRE,
    WAIT_GROUP_GO,
    WAIT_GROUP_WAIT,
    WAIT_FLIGHT,
    WAIT_HOOK_STOP,
    WAIT_SETTLE,
    WAIT_PARK,
    WAIT_IO,
    WAIT_REASONS
};
extern const char *const rn__wait_text[WAIT_REASONS];

enum g_kind {
    G_THREAD, /* a plain thread, or a worker's own stack */
    G_GOROUTINE
};

/* What whoever runs next on the thread does about the goroutine that left. */
enum g_after {
    AFTER_NOTHING, /* it parked: rn__ready will queue it */
    AFTER_YIELD,   /* put it at the end of the queue of those that yielded */
    AFTER_DEAD     /* put its stack into the cache */
};

enum g_status { G_FREE, G_RUNNABLE, G_RUNNING, G_WAITING, G_DEAD };

#define G_NAME_MAX 32

struct error_slots; /* err.c: messages attached by this goroutine; allocated at first use */
struct labels;

/*
 * Whoever can wait. What parking, waking and switching touch lies in the first cache line: of ten thousand that wait none
 * has its lines in a cache. The fields up to the tag belong to the thread that runs it, or to the one that took it out of a
 * queue; those after it are set at its start and then read only by reports.
 */
struct g {
    void *sp; /* saved while off the CPU */
    uint8_t on_cpu;
    uint8_t kind;       /* enum g_kind */
    uint8_t after;      /* enum g_after; valid during a switch */
    uint8_t status;     /* enum g_status; relaxed, for reports */
    uint8_t why;        /* enum wait_reason; relaxed, for reports */
    bool unlink_always; /* until rn__park returns: call unlink although g has been readied */
    bool by_loop;       /* the worker's loop has something to do before it runs */
    bool sampled;  /* queued_at says when it was queued: its wait for a processor is measured */
    int64_t since; /* atomic: when it parked last, by the runtime's coarse clock; for reports */
    struct rt *rt; /* whose goroutine it is; NULL for threads */
    struct worker
        *worker;         /* kind G_THREAD: its own; of a locked goroutine: its thread; else NULL */
    const void *wait_on; /* what it is parked on, for reports */
    bool (*unlink)(void *wait); /* take it off what it waits on, at the end of rn_run */
    void *wait;                 /* unlink's argument */

    struct g *next;            /* in the global queue or a stack cache; guarded by that */
    int64_t queued_at;         /* see count.h */
    uint64_t id;               /* atomic for reports */
    uint32_t futex;            /* kind G_THREAD: 1 when readied */
    struct rn__defer1 *defers; /* the chain of deferred calls, newest first */
    const void *locking;       /* atomic: the lock it waits for as long as it takes; holder.h */
    uint32_t lockings;         /* atomic: counts those waits; the low bits say for what kind */
    uint32_t dropped;          /* atomic: the end of rn_run has it */
    struct error_slots *errors;

    uint32_t lock_depth;  /* rn_lock_thread */
    uint32_t block_depth; /* atomic: rn_blocking; the next two are of the outermost */
    uint8_t *block_place; /* atomic: what is remembered of the place that calls; see block.c */
    uint64_t block_began; /* in ticks; 0: not measured */
    void *exceptions[2];  /* what libstdc++ keeps of exceptions caught, while off the CPU */
    void *asan_fake;

    uint32_t tag; /* atomic: no other goroutine of the process has had it; see owner.h */
    uint32_t stack_class;
    char *stack_lo; /* above the guard */
    char *stack_hi; /* end of the stack; the control block lies just below */
    uint32_t valgrind_id;

    /* From here as in struct fresh, from which it is copied. */
    struct labels *labels; /* atomic for reports: its own, or NULL; labels.h */
    void *tsan_fiber;
    char name[G_NAME_MAX];
    void (*done)(void *owner, int result); /* called when it ends */
    void *owner;
    void *created_at;    /* the address after the rn_go */
    uint64_t created_by; /* the id of the creator; 0: a plain thread */
};
_Static_assert(offsetof(struct g, next) == CACHE_LINE, "what waiting touches");

/* ---- Whoever calls ----------------------------------------------------------------------------- */

/* The calling goroutine or thread. Its result must not be kept across a park by a caller that goes on
 * to use the worker, but the g itself stays the same. */
struct g *rn__self(void);

/* ---- Waiting ----------------------------------------------------------------------------------- */

/*
 * Wait until rn__ready(g). g is the caller, registered with whoever shall ready it; no lock is held.
 *   why, on   for reports
 *   unlink    takes g off what it waits on; called by the end of rn_run, never while g runs. True if it
 *             did; false if somebody else has taken g out already and is about to ready it. g->unlink_always, set
 *             before the call: also if g has been readied and will not run, to undo what else the wait has made
 * Saves and restores errno.
 */
void rn__park(struct g *g, enum wait_reason why, const void *on, bool (*unlink)(void *),
              void *wait);

/* Let g run again. Exactly once per park, by whoever took it out of the structure it waited on; no lock
 * held. g may run, end and be gone before this returns. From any thread. */
void rn__ready(struct g *g);

/* Wait for ever, for operations on nil channels and the like. */
void rn__park_forever(enum wait_reason why) __attribute__((noreturn));

/* Atomic: called, if not NULL, by each goroutine that is about to leave its thread to others; debug/locks.c. */
enum leave { LEAVE_WAITS, LEAVE_YIELDS, LEAVE_ENDS };
extern void (*rn__leave_watch)(struct g *g, enum leave how);
static inline void leave_watch(struct g *g, enum leave how)
{
#ifndef RN_EXPLORE
    void (*watch)(struct g *, enum leave) = load_relaxed(&rn__leave_watch);

    if (unlikely(watch != NULL))
        watch(g, how);
#else
    (void)g, (void)how;
#endif
}

/* Call fn(arg), which needs a good deal of a stack and does not wait: a goroutine that has less than 64 KiB left calls it on
 * the worker's own. */
void rn__with_room(void (*fn)(void *), void *arg);

/* ---- Starting and ending ------------------------------------------------------------------------ */

/*
 * A goroutine that has not run: at most 384 bytes (decision 19). The call is captured right into it.
 */
struct fresh {
    struct rn__call call;
    struct fresh *next; /* in the global queue or a cache; before its start: see fresh_held */
    uint32_t stack_class;
    uint32_t in_use; /* for reports */
    uint64_t id;
    int64_t
        queued_at; /* 0, or when it was queued, if its wait is measured; with what follows, the words that are 0 at first are side by side */
    /* As in struct g. */
    struct labels *labels;
    void *tsan_fiber;
    char name[G_NAME_MAX];
    void (*done)(void *owner, int result);
    void *owner;
    void *created_at;
    uint64_t created_by;
};
_Static_assert(sizeof(struct fresh) <= 384, "decision 19");

/*
 * A record for a call to be captured into, which starts as a goroutine when the capture is complete.
 * done(owner, result), if not NULL, is called on the goroutine's stack when it ends; result is fn's, an
 * int, or rn_exit's. created_at: __builtin_return_address(0) of the public function.
 * NULL when out of memory.
 */
struct fresh *rn__fresh_new(void (*fn)(void), void (*done)(void *, int), void *owner,
                            void *created_at);
/* The same, but panics when out of memory, and is fatal if fn is NULL. Sets op, so that the result's
 * call can be returned to the capturing macro at once. */
struct fresh *rn__fresh_go(void (*fn)(void), void (*done)(void *, int), void *owner,
                           void *created_at);
/* f's call, or if there is no f spare, into which a call is captured and then nothing happens. */
struct rn__call *rn__call_or(struct fresh *f, struct rn__call *spare);
/* Start it: a captured call's op for struct fresh, and for calls filled by hand. */
void rn__fresh_start(struct rn__call *call);
/* Tell the tools that f starts; part of rn__fresh_start. */
void rn__fresh_announce(struct fresh *f);
/* f will be started, or given back, at another time and by anybody: it keeps its runtime. */
void rn__fresh_keep(struct fresh *f);
/* f is nobody's who runs now: it gets no labels of the caller's. */
void rn__fresh_unlabelled(struct fresh *f);
/* Give an unused record back. */
void rn__fresh_free(struct fresh *f);
/* Fill f's call with one pointer argument: for internal starts and the layer without macros. */
void rn__call_set_ptr(struct rn__call *call, void *arg);

/* Run a captured call now, on this stack; fn's int result (garbage for other types). */
int rn__call_invoke(struct rn__call *call);

/* Copy size bytes so that no compiler makes a memcpy of it: elements cross goroutines with it
 * (decision 21), and raw frames. */
void rn__copy(void *to, const void *from, size_t size);
void rn__zero(void *to, size_t size);

/* ---- Panics -------------------------------------------------------------------------------------- */

/* "panic: TEXT" / "fatal error: TEXT", the goroutine, its stack; exit status 2. */
void rn__panic(const char *text) __attribute__((noreturn));
void rn__fatal(const char *text) __attribute__((noreturn));

/* ---- Clock ---------------------------------------------------------------------------------------- */

/* The one clock, which a test can replace. */
extern int64_t (*rn__clock)(void);
static inline int64_t now_ns(void)
{
    return rn__clock();
}

/* A random number, fast, per thread; not for secrets. */
uint32_t rn__random(void);

#endif
