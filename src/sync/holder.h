/* SPDX-License-Identifier: MIT */
/* holder.h - who has the lock that a goroutine waits for, and who waits for whom in a circle. See holder.c. */
#ifndef RN_SRC_HOLDER_H
#define RN_SRC_HOLDER_H

#include "sched/lot.h"
#include "sched/owner.h"

/* A lock's mark, as it was at one moment while the lock was held. False: there was none, or it changed. Called with
 * the lock's bucket locked and somebody in its queue: then it is there. */
struct lock_mark {
    uintptr_t at;
    uint32_t by;
};
bool rn__mutex_mark(const rn_mutex *m, struct lock_mark *ret);
/* Also false if it is read-locked; then *ret_readers is by how many. */
bool rn__rwmutex_mark(const rn_rwmutex *m, struct lock_mark *ret, uint32_t *ret_readers);

static inline bool is_for_lock(uintptr_t why) /* enum wait_reason */
{
    return why == WAIT_MUTEX_LOCK || why == WAIT_RWMUTEX_LOCK || why == WAIT_RWMUTEX_RLOCK;
}

/* Who has a lock. */
struct holder {
    enum owner owner;
    uint32_t readers; /* OWNER_UNKNOWN: how many have read-locked it */
    struct g *
        g; /* OWNER_GOROUTINE, and the next two; may be another's by now. OWNER_THREAD: if it waits, or NULL */
    uint32_t tag;
    uint64_t id;
    uintptr_t at; /* not OWNER_UNKNOWN: its mark's */
};

/* Who has the lock at on, for which somebody waits with this reason? OWNER_UNKNOWN also if that is over. Takes no
 * lock that is held. The caller holds rt. */
void rn__holder(struct rt *rt, enum wait_reason why, const void *on, struct holder *ret);

/* ---- Plain threads --------------------------------------------------------------------------------------- */

/*
 * What is known of a plain thread that waits for a lock, in memory that stays: its own struct g goes with the thread. Its
 * stack, by which the marks that it made are known, and where it waits. Only while RUNNEL_LOCKS asks.
 */
enum { LOCK_THREADS = 64, THREAD_CALLS = 16 };
struct lock_thread {
    struct g
        g; /* as far as it is read: kind, status, tag, id (the kernel's), stack, locking, lockings, why */
    const struct g *of; /* atomic: the thread's own; NULL: free */
    uintptr_t pc
        [THREAD_CALLS]; /* its calls, innermost first; 0: no more. Not read before tag is looked at again */
};
/* The calling thread, whose struct g is of and whose stack this is, is in a lock's queue. NULL: there are too many. pc may be
 * filled then, and before rn__lock_thread_waits. */
struct lock_thread *rn__lock_thread_new(const struct g *of, char *lo, char *hi, uint64_t id);
void rn__lock_thread_waits(struct lock_thread *t);
void rn__lock_thread_end(const struct g *of);
static inline struct lock_thread *lock_thread_of(struct g *g)
{
    return container_of(g, struct lock_thread, g);
}

/* ---- Circles -------------------------------------------------------------------------------------------- */

/* g waits for the lock at on, which the next one has, and the last one's the first. g is a goroutine, or a lock_thread's. */
struct lock_wait {
    struct g *g;
    uint64_t id;
    const void *on;
    uint32_t tag, nth;
    uint8_t why; /* enum wait_reason */
    bool read;   /* it is read-locked by the next one, and perhaps others */
};
enum { CIRCLE_MAX = 32, SEARCH_MAX = 128, SEARCH_READERS = 64 };

/* One who has read-locked a lock. */
struct reader {
    uintptr_t at; /* in its stack */
    uint32_t tag;
};
/* Those that are known, at most room, of lock. Atomic; NULL: none are. */
extern size_t (*rn__reader_list)(const void *lock, struct reader *ret, size_t room);

/* Room to search in. */
struct lock_search {
    struct lock_visit {
        struct lock_wait wait;
        unsigned from; /* who waits for this one */
    } visit[SEARCH_MAX];
    unsigned visits;
    struct reader reader[SEARCH_READERS], again[SEARCH_READERS];
};

/*
 * Does g, a goroutine or a lock_thread's, wait in a circle? How many are in it, g first; 0: it does not, or with more than
 * CIRCLE_MAX, or more than SEARCH_MAX would have to be looked at.
 * Then there was a moment at which all of them waited so. patient: wait for locks of the lot.
 */
unsigned rn__lock_circle(struct rt *rt, struct g *g, bool patient, struct lock_search *s,
                         struct lock_wait *ret);

/* Atomic: called, if not NULL, by each that is about to wait for a lock and is in the queue for it. */
extern void (*rn__lock_watch)(struct g *g);

/* Atomic: called, with TOOL_READERS in rn__tools, by each that has read-locked a lock or is about to unlock it. */
extern void (*rn__reader_watch)(const void *lock, bool in);

/* w is in the queue of a lock, whose bucket is locked. A wait that ctx may end is no reason for a deadlock. */
enum { LOCKING_KIND = 3, LOCKING_ONE = 4 }; /* of lockings; the kind is the lot's tag */
_Static_assert((LOT_MUTEX | LOT_RW_READER | LOT_RW_WRITER) <= LOCKING_KIND, "a tag is a kind");

static inline void locking_begin(struct lot_waiter *w, const struct rn_ctx *ctx)
{
    struct g *g = w->g;

    store_relaxed(&g->lockings, (g->lockings & ~(uint32_t)LOCKING_KIND) + LOCKING_ONE + w->tag);
    store_release(&g->locking, ctx ? NULL : w->addr); /* pairs with edge() */
}
static inline void locking_watch(const struct lot_waiter *w)
{
    void (*watch)(struct g *) = load_relaxed(&rn__lock_watch);

    if (unlikely(watch != NULL))
        watch(w->g);
}
static inline void locking_end(const struct lot_waiter *w)
{
    store_relaxed(&w->g->locking, NULL); /* before the mark, which releases it */
    if (unlikely(w->g->kind == G_THREAD))
        rn__lock_thread_end(w->g);
}

#endif
