/* SPDX-License-Identifier: MIT */
/*
 * note.h - what happens in the scheduler, told to whoever wants to know: the counts (count.h), the flight recorder's rings
 * (ring.h) and the static probes (base/probe.h; docs/debugging.md lists them). One line where it happens, inside an entry
 * of the worker w.
 *
 * A processor's ring is NULL while nothing is recorded: a load of the processor's own and a branch that is never taken.
 * Whoever has no processor writes into the runtime's ring, under a lock.
 */
#ifndef RN_SRC_NOTE_H
#define RN_SRC_NOTE_H

#include "base/probe.h"
#include "sched/ring.h"
#include "sched/rt.h"

/* In the runtime's ring, with who does it. */
void rn__record_outside(struct rt *rt, uint64_t by, enum event_kind kind, unsigned arg, uint64_t id,
                        uint64_t what);

static inline void record_in(struct proc *p, enum event_kind kind, unsigned arg, uint64_t id,
                             uint64_t what)
{
    struct ring *r = load_acquire(&p->ring); /* pairs with rn_trace_start */

    if (r)
        ring_put(r, kind, arg, id, what);
}

/* The arguments are looked at only if p has a ring. */
#ifndef RN_EXPLORE
#define record(p, ...)                                                                             \
    do {                                                                                           \
        if (unlikely(load_relaxed(&(p)->ring) != NULL))                                            \
            record_in(p, __VA_ARGS__);                                                             \
    } while (0)
#else
#define record(p, kind, arg, id, what)                                                             \
    ((void)(p), (void)(kind), (void)(arg), (void)(id), (void)(what))
#endif

/*
 * The next event of p comes after a while, or is the next of a goroutine that was on another processor: it is to have its
 * own time, or it may be put too early, before what it follows; see ring.h.
 */
static inline void note_gap(struct proc *p)
{
#ifndef RN_EXPLORE
    struct ring *r = load_relaxed(&p->ring);

    if (unlikely(r != NULL))
        ring_exact(r);
#else
    (void)p;
#endif
}

static inline void record_outside(struct rt *rt, const struct worker *w, enum event_kind kind,
                                  unsigned arg, uint64_t id, uint64_t what)
{
#ifndef RN_EXPLORE
    if (unlikely(load_relaxed(&rt->outside) != NULL))
        rn__record_outside(rt, w->cur->id, kind, arg, id, what);
#else
    (void)rt, (void)w, (void)kind, (void)arg, (void)id, (void)what;
#endif
}

/* By w, wherever it is. */
static inline void record_by(struct worker *w, enum event_kind kind, unsigned arg, uint64_t id,
                             uint64_t what)
{
    if (likely(w->proc))
        record(w->proc, kind, arg, id, what);
    else
        record_outside(w->rt, w, kind, arg, id, what);
}

static ALWAYS_INLINE void note_spawn(struct worker *w, struct fresh *f)
{
    struct proc *p = w->proc;

    store_relaxed(&p->started, p->started + 1);
    (void)sample(&f->queued_at, p->started);
    probe3(spawn, f->id, f->call.fn, f->created_by);
    record(p, EVENT_SPAWN, 0, f->id, (uint64_t)(uintptr_t)f->call.fn);
}

static inline void note_spawn_outside(struct rt *rt, struct worker *w, struct fresh *f)
{
    add_relaxed(&rt->started, 1);
    probe3(spawn, f->id, f->call.fn, f->created_by);
    record_outside(rt, w, EVENT_SPAWN, 0, f->id, (uint64_t)(uintptr_t)f->call.fn);
}

/* g gets w's processor. */
static ALWAYS_INLINE void note_run(struct worker *w, struct g *g)
{
    if (unlikely(g->kind != G_GOROUTINE))
        return;
    if (unlikely(g->sampled)) {
        rn__latency(w->proc, g->queued_at);
        g->sampled = false;
    }
    probe1(run, g->id);
    if (likely(w->proc))
        record(w->proc, EVENT_RUN, 0, g->id, 0);
}

static inline void note_park(struct worker *w, struct g *g, enum wait_reason why, const void *on)
{
    probe3(park, g->id, rn__wait_text[why], on);
    if (likely(w->proc)) {
        count_add(w->proc->count, COUNT_PARKS, 1);
        record(w->proc, EVENT_PARK, why, g->id, (uint64_t)(uintptr_t)on);
    } else {
        count_add_shared(w->rt->count, COUNT_PARKS, 1);
        record_outside(w->rt, w, EVENT_PARK, why, g->id, (uint64_t)(uintptr_t)on);
    }
}

static inline void note_yield(struct worker *w, struct g *g)
{
    count(w, COUNT_YIELDS);
    probe1(yield, g->id);
    record_by(w, EVENT_YIELD, 0, g->id, 0);
}

static inline void note_ready(struct worker *w, struct g *g)
{
    struct proc *p = w->proc;

    count_add(p->count, COUNT_READIES, 1);
    g->sampled = sample(&g->queued_at, p->count[COUNT_READIES]);
    probe2(ready, g->id, w->cur->id);
    record(p, EVENT_READY, 0, g->id, 0);
}

static inline void note_ready_outside(struct rt *rt, struct worker *w, struct g *g)
{
    count_add_shared(rt->count, COUNT_READIES, 1);
    probe2(ready, g->id, w->cur->id);
    record_outside(rt, w, EVENT_READY, 0, g->id, 0);
}

static inline void note_end(struct worker *w, struct g *g)
{
    probe1(end, g->id);
    record_by(w, EVENT_END, 0, g->id, 0);
}

/* n tasks for p from victim. */
static inline void note_steal(struct proc *p, const struct proc *victim, uint64_t n)
{
    count_add(p->count, COUNT_STEALS, 1);
    count_add(p->count, COUNT_STOLEN, n);
    probe3(steal, (uint64_t)p->index, (uint64_t)victim->index, n);
    record(p, EVENT_STEAL, 0, victim->index, n);
}

/* w->proc is taken, or given away, and w's goroutine goes on without. */
static inline void note_without(struct worker *w, struct proc *p, bool taken)
{
    count_add(p->count, taken ? COUNT_HANDOFFS : COUNT_LENDS, 1);
    note_gap(p);
    if (taken)
        probe2(handoff, w->cur->id, (uint64_t)p->index);
    else
        probe2(block, w->cur->id, (uint64_t)p->index);
    record(p, taken ? EVENT_HANDOFF : EVENT_BLOCK, 0, w->cur->id, 0);
}

static inline void note_unblock(struct worker *w)
{
    note_gap(w->proc);
    probe2(unblock, w->cur->id, (uint64_t)w->proc->index);
    record(w->proc, EVENT_UNBLOCK, 0, w->cur->id, 0);
}

/* n were woken by a timer, or descriptors. */
static inline void note_source(struct proc *p, enum event_kind kind, int n)
{
    if (n > 0)
        record(p, kind, 0, 0, (uint64_t)n);
}

#endif
