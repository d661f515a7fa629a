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
    struct g *g;      /* OWNER_GOROUTINE, and the next two; may be another's by now */
    uint32_t tag;
    uint64_t id;
};

/* Who has the lock at on, for which somebody waits with this reason? OWNER_UNKNOWN also if that is over. Takes no
 * lock that is held. The caller holds rt. */
void rn__holder(struct rt *rt, enum wait_reason why, const void *on, struct holder *ret);

/* ---- Circles -------------------------------------------------------------------------------------------- */

/* g waits for the lock at on, which the next one has, and the last one's the first. */
struct lock_wait {
    struct g *g;
    uint64_t id;
    const void *on;
    uint32_t tag, nth;
    uint8_t why; /* enum wait_reason */
};
enum { CIRCLE_MAX = 32 };

/*
 * Does g, a goroutine, wait in a circle? How many are in it, g first; 0: it does not, or with more than CIRCLE_MAX.
 * Then there was a moment at which all of them waited so. patient: wait for locks of the lot.
 */
unsigned rn__lock_circle(struct rt *rt, struct g *g, bool patient, struct lock_wait *ret);

/* Atomic: called, if not NULL, by each goroutine that is about to wait for a lock and is in the queue for it. */
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
}

#endif
