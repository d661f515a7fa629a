/* SPDX-License-Identifier: MIT */
/*
 * go.c - a goroutine from its record to its end.
 *
 * rn_go captures the call into a struct fresh, a record of a slab. When the goroutine first runs, the record
 * is moved into the control block of a stack, the warmest there is, and given back. So a goroutine that waits
 * for its first turn costs less than 400 bytes, and one that never parks never has a stack of its own.
 *
 * Records are cached per processor, and in their slabs behind that; slabs go when the runtime does, their pages when
 * all their records are free.
 *
 * Labels go from who starts to who is started (labels.h). The usual start knows nothing of them: until then the record's
 * next, which it looks at anyhow, is what says that there are some.
 *
 * Counting: each processor counts what it started and ended; threads without one count in the runtime. The
 * number of goroutines is the difference of the sums, which is exact when nobody starts or ends one meanwhile.
 */
#include <runnel/sync.h>

#include "base/fiber.h"
#include "base/mem.h"
#include "base/text.h"
#include "os/os.h"
#include "sched/labels.h"
#include "sched/note.h"
#include "sched/owner.h"
#include "sched/rt.h"

#include <stdlib.h>

_Static_assert(offsetof(struct rn__call, gp) == 0 && offsetof(struct rn__call, vec) == 64 &&
                   offsetof(struct rn__call, stack) == 192 &&
                   offsetof(struct rn__call, fn) == 256 && offsetof(struct rn__call, op) == 264 &&
                   sizeof(struct rn__call) == 272,
               "the assembly knows these offsets");

void rn__capture(void);
void rn__errors_free(struct g *g);
void rn__g_end(struct g *g, int result);

const uintptr_t rn__capture_at = (uintptr_t)&rn__capture;
#if defined(__aarch64__)
void rn__capture_x15(void);
const uintptr_t rn__capture_x15_at = (uintptr_t)&rn__capture_x15;
#endif

/* ---- Records --------------------------------------------------------------------------------------- */

static void slab_link(struct rt *rt, struct slab *slab)
{
    slab->next_free = rt->free_slabs;
    slab->at_free = &rt->free_slabs;
    if (slab->next_free)
        slab->next_free->at_free = &slab->next_free;
    rt->free_slabs = slab;
}

static void slab_unlink(struct slab *slab)
{
    *slab->at_free = slab->next_free;
    if (slab->next_free)
        slab->next_free->at_free = slab->at_free;
}

/* A record of the runtime's slabs, or NULL; rt->memory held. */
static struct fresh *slab_take(struct rt *rt)
{
    struct slab *slab = rt->free_slabs;
    struct fresh *f;

    if (!slab)
        return NULL;
    if (slab->free_count == SLAB_RECORDS)
        rt->spare_slabs--;
    f = slab->free;
    if (f)
        slab->free = f->next;
    else
        f = &slab->record[slab->carved++];
    if (--slab->free_count == 0)
        slab_unlink(slab);
    return f;
}

/* f is free; rt->memory held. */
static void slab_give(struct rt *rt, struct fresh *f)
{
    struct slab *slab = (struct slab *)((uintptr_t)f & ~(uintptr_t)(SLAB_BYTES - 1));

    f->next = slab->free;
    slab->free = f;
    if (slab->free_count++ == 0)
        slab_link(rt, slab);
    if (slab->free_count < SLAB_RECORDS)
        return;
    if (rt->spare_slabs < SLABS_SPARE || rn__tools) {
        rt->spare_slabs++;
        return;
    }
    /* From now on its pages read as records not in use. */
    slab->free = NULL;
    slab->carved = 0;
    rn__os_forget((char *)slab + 4096, SLAB_BYTES - 2 * 4096);
    rt->spare_slabs++;
}

/* From the runtime's slabs, or a new one; p, if not NULL, takes a batch for its cache. */
static COLD struct fresh *fresh_refill(struct rt *rt, struct proc *p)
{
    struct fresh *f, *more;
    struct slab *slab;

    spin_lock(&rt->memory);
    f = slab_take(rt);
    for (uint32_t i = 0; f && p && i < FRESH_CACHE / 2 && (more = slab_take(rt)); i++) {
        more->next = p->free_fresh;
        p->free_fresh = more;
        p->fresh_count++;
    }
    spin_unlock(&rt->memory);
    if (f)
        return f;

    slab = rn__mem_new_aligned(sizeof *slab + SLAB_RECORDS * sizeof(struct fresh), SLAB_BYTES);
    if (!slab)
        return NULL;
    for (uint32_t i = 0; i < SLAB_RECORDS; i++)
        slab->record[i].in_use = 0;
    slab->free = NULL;
    slab->carved = 0;
    slab->free_count = SLAB_RECORDS;
    spin_lock(&rt->memory);
    slab->next = rt->slabs;
    store_release(&rt->slabs, slab); /* pairs with reports, which read without the lock */
    slab_link(rt, slab);
    rt->spare_slabs++;
    f = slab_take(rt);
    spin_unlock(&rt->memory);
    return f;
}

/* The cache of p, or without p the slabs, take f back. */
static COLD void recycle_to_slabs(struct rt *rt, struct proc *p, struct fresh *f)
{
    spin_lock(&rt->memory);
    slab_give(rt, f);
    for (uint32_t i = 0; p && i < FRESH_CACHE; i++) {
        f = p->free_fresh;
        p->free_fresh = f->next;
        p->fresh_count--;
        slab_give(rt, f);
    }
    spin_unlock(&rt->memory);
}
static inline void fresh_recycle(struct rt *rt, struct proc *p, struct fresh *f)
{
    store_relaxed(&f->in_use, 0);
    if (unlikely(!p || p->fresh_count >= 2 * SLAB_RECORDS)) {
        recycle_to_slabs(rt, p, f);
        return;
    }
    f->next = p->free_fresh;
    p->free_fresh = f;
    p->fresh_count++;
}

static uint64_t id_new(struct rt *rt, struct proc *p)
{
    if (!p)
        return add_relaxed(&rt->next_id, 1);
    if (p->id_next == p->id_end) {
        p->id_next = add_relaxed(&rt->next_id, 64);
        p->id_end = p->id_next + 64;
    }
    return p->id_next++;
}

/* A goroutine of a runtime that has ended wants to start another: it ends here. */
static COLD void end_here(void)
{
    rn__yield_to(AFTER_NOTHING);
}

/* A record of p's cache, or NULL. */
static inline struct fresh *cached_fresh(struct proc *p)
{
    struct fresh *f = p->free_fresh;

    if (likely(f != NULL)) {
        p->free_fresh = f->next;
        p->fresh_count--;
    }
    return f;
}

/*
 * Before its start a record's next is 0, or the runtime whose record it is, with HELD, which it keeps a reference to; or
 * else says that who makes it has labels, and is not used as a pointer.
 */
enum { HELD = 1 };
static inline bool fresh_held(const struct fresh *f)
{
    return (uintptr_t)f->next & HELD;
}
static inline void fresh_hold(struct fresh *f, struct rt *rt)
{
    f->next = (struct fresh *)((uintptr_t)rt | HELD);
}

/*
 * Sixteen bytes, which the compiler shall move in one register: of loops it makes calls of memcpy, which costs more than
 * the move, and wider loads of what was stored in parts a moment ago wait until the stores are done.
 */
typedef uint64_t pair __attribute__((vector_size(16), may_alias, aligned(8)));

_Static_assert(offsetof(struct fresh, labels) == offsetof(struct fresh, queued_at) + 8 &&
                   offsetof(struct fresh, name) == offsetof(struct fresh, tsan_fiber) + 8,
               "pairs of words that are 0 at first");

/* What a record says of its goroutine; rt: the runtime, if f is to keep a reference to it until it starts. */
static inline void fresh_fill(struct fresh *f, const struct worker *w, struct rt *rt,
                              void (*fn)(void), void (*done)(void *, int), void *owner,
                              void *created_at)
{
    f->next = (struct fresh *)w->cur->labels;
    if (rt)
        fresh_hold(f, rt);
    f->call.fn = fn;
    f->call.op = rn__fresh_start;
    f->done = done;
    f->owner = owner;
    f->created_at = created_at;
    f->created_by = w->cur->id;
    *(pair *)&f->queued_at = (pair){0};  /* and labels */
    *(pair *)&f->tsan_fiber = (pair){0}; /* and name */
    f->stack_class = STACK_CLASS_DEFAULT;
}

/* Whoever calls, whatever there is. */
static COLD struct fresh *fresh_new_slowly(void (*fn)(void), void (*done)(void *, int), void *owner,
                                           void *created_at)
{
    struct worker *w = worker_self();
    struct rt *rt = w->rt;
    bool held = false, outside;
    struct proc *p;
    struct fresh *f = NULL;

    if (!rt) {
        rt = rn__rt_hold(w, &held);
        if (!rt)
            return NULL;
    } else if (load_relaxed(&rt->stopping) && w->cur->kind == G_GOROUTINE) {
        end_here();
    }
    outside = rt_enter(w);
    p = w->proc;
    if (p)
        f = cached_fresh(p);
    if (!f)
        f = fresh_refill(rt, p);
    if (f)
        f->id = id_new(rt, p);
    if (outside)
        rt_leave(w);
    if (!f) {
        rt_drop(rt, held);
        return NULL;
    }
    fresh_fill(f, w, held ? rt : NULL, fn, done, owner, created_at);
    store_release(&f->in_use, 1); /* pairs with reports */
    return f;
}

/* The usual case: a worker with a processor that has a record left. */
static ALWAYS_INLINE struct fresh *fresh_new(void (*fn)(void), void (*done)(void *, int),
                                             void *owner, void *created_at)
{
    struct worker *w = arch_tls_address(rn__tls_worker); /* with rt it has been set up */
    struct rt *rt = w->rt;
    struct fresh *f = NULL;
    struct proc *p;

    if (likely(rt && !load_relaxed(&rt->stopping) && rt_enter_quick(w))) {
        p = w->proc;
        if (likely(p && p->id_next != p->id_end && (f = cached_fresh(p))))
            f->id = p->id_next++;
        rt_leave(w);
    }
    if (unlikely(!f))
        return fresh_new_slowly(fn, done, owner, created_at);
    fresh_fill(f, w, NULL, fn, done, owner, created_at);
    store_release(&f->in_use, 1); /* pairs with reports */
    return f;
}

struct fresh *rn__fresh_new(void (*fn)(void), void (*done)(void *, int), void *owner,
                            void *created_at)
{
    return fresh_new(fn, done, owner, created_at);
}

struct fresh *rn__fresh_go(void (*fn)(void), void (*done)(void *, int), void *owner,
                           void *created_at)
{
    struct fresh *f;

    if (unlikely(!fn))
        rn__fatal("go of nil func value");
    f = fresh_new(fn, done, owner, created_at);
    if (unlikely(!f))
        rn__panic("out of memory for a goroutine");
    return f;
}

static COLD void fresh_attr(struct fresh *f, const rn_attr *attr)
{
    uint32_t c = rn__stack_class(attr->stack_size);

    if (c >= STACK_CLASSES)
        rn__panic("rn_go_with: stack_size above 1 GiB");
    if (attr->small_stack) {
        if (attr->stack_size)
            rn__panic("rn_go_with: small_stack with a stack_size");
        c = rn__stack_small() ? STACK_CLASS_SMALL : rn__stack_class(1);
    }
    f->stack_class = c;
    if (attr->name)
        rn__text_copy(f->name, sizeof f->name, attr->name);
}

/* The runtime whose record f is. */
static struct rt *rt_of_fresh(const struct fresh *f, const struct worker *w)
{
    return fresh_held(f) ? (struct rt *)((uintptr_t)f->next & ~(uintptr_t)HELD) : w->rt;
}

/* f was made by the caller, who has labels: its goroutine has the same. */
static COLD void fresh_inherit(struct fresh *f, const struct g *g)
{
    f->next = NULL;
    if (g->labels && !f->labels)
        store_release(&f->labels, rn__labels_copy(g->labels)); /* pairs with reports */
}

void rn__fresh_unlabelled(struct fresh *f)
{
    if (!fresh_held(f))
        f->next = NULL;
}

void rn__fresh_keep(struct fresh *f)
{
    const struct worker *w = worker_self();

    if (!fresh_held(f)) {
        fresh_inherit(f, w->cur);
        rn__rt_ref(w->rt);
        fresh_hold(f, w->rt);
    }
}

void rn__fresh_free(struct fresh *f)
{
    struct worker *w = worker_self();
    struct rt *rt = rt_of_fresh(f, w);
    bool held = fresh_held(f);
    bool outside = rt_enter(w);

    rn__labels_free(f->labels);
    fresh_recycle(rt, rt == w->rt ? w->proc : NULL, f);
    if (outside)
        rt_leave(w);
    rt_drop(rt, held);
}

/* f's runtime has ended before f was started: the running one starts it. */
static COLD void start_elsewhere(struct fresh *f)
{
    struct fresh *now = rn__fresh_new(f->call.fn, f->done, f->owner, f->created_at);

    if (!now)
        rn__panic("out of memory for a goroutine");
    rn__copy(now->call.gp, f->call.gp, offsetof(struct rn__call, fn));
    rn__copy(now->name, f->name, sizeof now->name);
    now->stack_class = f->stack_class;
    now->labels = f->labels;
    f->labels = NULL;
    now->created_by = f->created_by;
    rn__fresh_unlabelled(now);
    rn__fresh_free(f);
    rn__fresh_start(&now->call);
}

/* What the tools call a goroutine: "goroutine 7 name". */
static COLD void fiber_name(void *fiber, uint64_t id, const char *name)
{
    char text[64], *at = text + sizeof text - 1;
    size_t n = strlen(name);

    *at = 0;
    if (n) {
        at -= n;
        memcpy(at, name, n);
        *--at = ' ';
    }
    do
        *--at = (char)('0' + id % 10);
    while (id /= 10);
    at -= 10;
    memcpy(at, "goroutine ", 10);
    rn__fiber_name(fiber, at);
}

/* Tell the tools of f, whose start is complete. */
COLD void rn__fresh_announce(struct fresh *f)
{
    f->tsan_fiber = rn__fiber_new(); /* in the creator: this is the edge from rn_go */
    if (f->tsan_fiber)
        fiber_name(f->tsan_fiber, f->id, f->name);
}

/*
 * Has w's goroutine computed for so long that the monitor has given its processor to others? Then it starts no more
 * before it has one again: those that it starts would go to the global queue one by one, under a lock that whoever runs
 * them wants too. It keeps its thread meanwhile, with whatever it holds there.
 */
static bool lost_to_others(const struct worker *w)
{
    return w->without && load_owned(&w->cur->block_depth) == 0;
}

/* Whoever calls, wherever f is from. */
static COLD void start_slowly(struct fresh *f)
{
    struct worker *w = worker_self(); /* arguments may have waited: not the one of rn__fresh_new */
    struct rt *rt = rt_of_fresh(f, w);
    bool held = fresh_held(f), outside;

    if (f->next && !held)
        fresh_inherit(f, w->cur);
    if (unlikely(held && load_relaxed(&rt->stopping))) {
        start_elsewhere(f);
        return;
    }
    if (unlikely(rn__tools))
        rn__fresh_announce(f);
    outside = rt_enter(w);
    if (unlikely(lost_to_others(w) && !held)) {
        rn__proc_regain(w);
        and_acq_rel(&w->attention, ~(uint32_t)ATTEND_YIELD); /* that was it */
    }
    if (likely(w->proc && w->rt == rt)) {
        note_spawn(w, f);
        push_fresh(w, f);
    } else {
        note_spawn_outside(rt, w, f);
        rn__inject(rt, task_of_fresh(f));
    }
    if (outside)
        rt_leave(w);
    rt_drop(rt, held);
}

void rn__fresh_start(struct rn__call *call)
{
    struct fresh *f = container_of(call, struct fresh, call);
    struct worker *w = arch_tls_address(rn__tls_worker);

    if (likely(w->rt && !f->next && !rn__tools && rt_enter_quick(w))) {
        if (likely(w->proc != NULL)) {
            note_spawn(w, f);
            push_fresh(w, f);
            rt_leave(w);
            return;
        }
        rt_leave(w);
    }
    start_slowly(f);
}

void rn__call_set_ptr(struct rn__call *call, void *arg)
{
    call->gp[0] = (uint64_t)(uintptr_t)arg;
}

#define MOVE_PAIR(to, from, i) (((pair *)(to))[i] = ((const pair *)(from))[i])
#define MOVE_4_PAIRS(to, from, i)                                                                  \
    do {                                                                                           \
        MOVE_PAIR(to, from, i);                                                                    \
        MOVE_PAIR(to, from, (i) + 1);                                                              \
        MOVE_PAIR(to, from, (i) + 2);                                                              \
        MOVE_PAIR(to, from, (i) + 3);                                                              \
    } while (0)

#define SAME_PLACE(field)                                                                          \
    (offsetof(struct g, field) - offsetof(struct g, labels) ==                                     \
     offsetof(struct fresh, field) - offsetof(struct fresh, labels))
_Static_assert(SAME_PLACE(done) && SAME_PLACE(owner) && SAME_PLACE(created_at) &&
                   SAME_PLACE(created_by) && SAME_PLACE(tsan_fiber) && SAME_PLACE(name) &&
                   offsetof(struct g, created_by) + sizeof(uint64_t) - offsetof(struct g, labels) ==
                       80,
               "five pairs, copied as one");

/* Volatile, so that it stays the eight bytes that the capture has stored. */
#define MOVE_WORD(to, from, i)                                                                     \
    (((volatile uint64_t *)(to))[i] = ((const volatile uint64_t *)(from))[i])

void rn__g_from_fresh(struct worker *w, struct g *g, struct fresh *f)
{
    struct rn__call *call = g_call(g);
    struct rt *rt = w->rt;

    MOVE_WORD(call->gp, f->call.gp, 0);
    MOVE_WORD(call->gp, f->call.gp, 1);
    MOVE_WORD(call->gp, f->call.gp, 2);
    MOVE_WORD(call->gp, f->call.gp, 3);
    MOVE_WORD(call->gp, f->call.gp, 4);
    MOVE_WORD(call->gp, f->call.gp, 5);
    if (ARCH_CALL_GP > 6) {
        MOVE_WORD(call->gp, f->call.gp, 6);
        MOVE_WORD(call->gp, f->call.gp, 7);
    }
    MOVE_4_PAIRS(call->vec, f->call.vec, 0);
    MOVE_4_PAIRS(call->vec, f->call.vec, 4);
    MOVE_4_PAIRS(call->stack, f->call.stack, 0);
    call->fn = f->call.fn;
    MOVE_4_PAIRS(&g->labels, &f->labels, 0);
    MOVE_PAIR(&g->labels, &f->labels, 4);
    g->queued_at = f->queued_at;
    g->sampled = f->queued_at != 0;
    store_relaxed(&g->id, f->id);
    g->kind = G_GOROUTINE;
    g->rt = rt;
    g_to_thread(g, NULL);
    g->lock_depth = 0;
    g->block_depth = 0;
    g->dropped = 0;
    g->defers = NULL;
    g->errors = NULL;
    owner_born(g, rt->tags + (uint32_t)f->id);
    store_relaxed(&g->locking, NULL);
    g->asan_fake = NULL;
    store_relaxed(&g->why, WAIT_NONE);
    store_relaxed(&g->status, G_RUNNABLE);
    fresh_recycle(rt, w->proc, f);
}

/* Give back what a goroutine holds besides its stack. */
void rn__g_clear(struct g *g)
{
    struct labels *labels = g->labels;

    rn__errors_free(g);
    store_relaxed(&g->labels, NULL);
    rn__labels_free(labels);
}

/* The function has returned, or rn_exit was called. */
void rn__g_end(struct g *g, int result)
{
    struct worker *w;
    struct rt *rt = g->rt;

    if (g->done)
        g->done(g->owner, result);
    if (unlikely(g->labels || g->errors))
        rn__g_clear(g);
    leave_watch(g, LEAVE_ENDS);
    w = worker_self();
    rt_enter(w);
    if (unlikely(g->lock_depth)) { /* its thread ends with it: who knows what it left there */
        w->locked = NULL;
        w->doomed = true; /* g->worker stays, so that g leaves for the thread's own stack */
    }
    store_relaxed(&g->status, G_DEAD);
    note_end(w, g);
    edge_release(&rn__threads_own); /* for rn_settle: an address that every runtime has */
    if (likely(w->proc))
        store_release(&w->proc->ended, w->proc->ended + 1); /* pairs with rn__goroutines */
    else
        add_acq_rel(&rt->ended, 1);
    if (unlikely(load_relaxed(&rt->main_exited))) {
        fence_seq_cst(); /* of two that end at once, one sees both */
        if (rn__goroutines(rt) == 0)
            rn__stop(rt);
    }
    rn__switch_dead(g);
}

size_t rn__goroutines(struct rt *rt)
{
    uint64_t ended = load_acquire(&rt->ended), started;

    /* Ends first: never more ends than starts. */
    for (uint32_t i = 0; i < load_acquire(&rt->nprocs); i++)
        ended += load_acquire(
            &rt->procs[i].ended); /* pairs with rn__g_end: who sees none left sees what they did */
    started = load_relaxed(&rt->started);
    for (uint32_t i = 0; i < load_acquire(&rt->nprocs); i++)
        started += load_relaxed(&rt->procs[i].started);
    return started > ended ? (size_t)(started - ended) : 0;
}

/* ---- Public ---------------------------------------------------------------------------------------- */

struct rn__call *rn__go_begin(const rn_attr *attr, void (*fn)(void))
{
    struct fresh *f = rn__fresh_go(fn, NULL, NULL, __builtin_return_address(0));

    if (unlikely(attr != NULL))
        fresh_attr(f, attr);
    return &f->call;
}

static void nothing(struct rn__call *call)
{
    (void)call;
}

struct rn__call *rn__call_or(struct fresh *f, struct rn__call *spare)
{
    if (f)
        return &f->call;
    spare->op = nothing; /* the arguments are evaluated all the same */
    return spare;
}

struct rn__call *rn__go_err_begin(struct rn__call *spare, void (*fn)(void))
{
    if (!fn)
        rn__fatal("go of nil func value");
    return rn__call_or(rn__fresh_new(fn, NULL, NULL, __builtin_return_address(0)), spare);
}

struct rn__call *rn__go_with_err_begin(const rn_attr *attr, struct rn__call *spare,
                                       void (*fn)(void))
{
    struct fresh *f = rn__fresh_new(fn, NULL, NULL, __builtin_return_address(0));

    if (f)
        fresh_attr(f, attr);
    return rn__call_or(f, spare);
}

void rn_go_fn(void (*fn)(void *), void *arg)
{
    struct fresh *f = rn__fresh_go((void (*)(void))fn, NULL, NULL, __builtin_return_address(0));

    rn__call_set_ptr(&f->call, arg);
    rn__fresh_start(&f->call);
}

static void copy_done(void *copy, int result)
{
    (void)result;
    free(copy);
}

void rn__copied_free(void (*done)(void *, int), void *owner)
{
    if (done == copy_done)
        free(owner);
}

void rn__go_copy(void (*fn)(void), const void *src, size_t size)
{
    void *copy = malloc(size ? size : 1);
    struct fresh *f = rn__fresh_go(fn, copy_done, copy, __builtin_return_address(0));

    if (!copy)
        rn__panic("out of memory for rn_go_copy");
    memcpy(copy, src, size);
    rn__call_set_ptr(&f->call, copy);
    rn__fresh_start(&f->call);
}

void rn_exit(int result)
{
    struct g *g = rn__self();

    if (g->kind != G_GOROUTINE)
        rn__panic("rn_exit: not a goroutine");
    while (g->defers)
        rn__defer_run(g->defers);
    rn__exceptions_save(g); /* of a catch block that it does not come back to */
    if (g->rt->has_main && g->id == 1)
        store_relaxed(&g->rt->main_exited, 1);
    rn__g_end(g, result);
    __builtin_unreachable();
}

void rn_yield(void)
{
    rn__yield_to(AFTER_YIELD);
}

int rn__call_run(struct rn__call *call)
{
    return rn__call_invoke(call);
}

uint64_t rn_self_id(void)
{
    return rn__self()->id;
}

void rn_set_name(const char *name)
{
    struct g *g = rn__self();

    rn__text_copy(g->name, sizeof g->name, name ? name : "");
    if (unlikely(rn__tools) && g->kind == G_GOROUTINE && g->tsan_fiber)
        fiber_name(g->tsan_fiber, g->id, g->name);
}

size_t rn_count(void)
{
    bool held;
    struct rt *rt = rn__rt_hold_running(worker_self(), &held);
    size_t n = rt ? rn__goroutines(rt) : 0;

    if (rt)
        rt_drop(rt, held);
    return n;
}

size_t rn_settle(rn_dur d)
{
    size_t mine = rn__self()->kind == G_GOROUTINE ? 1 : 0;
    int64_t until = time_after(now_ns(), d);
    int64_t pause = 1000;

    for (;;) {
        size_t n = rn_count() - mine;
        int64_t left;

        if (n == 0) {
            edge_acquire(&rn__threads_own); /* all ends release it */
            return 0;
        }
        left = until - now_ns();
        if (left <= 0)
            return n;
        for (unsigned i = 0; i < 4; i++)
            rn_yield();
        rn_sleep(pause < left ? pause : left);
        if (pause < 1000000)
            pause *= 2;
    }
}
