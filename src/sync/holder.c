/* SPDX-License-Identifier: MIT */
/*
 * holder.c - who has the lock that a goroutine waits for, and circles of those.
 *
 * A mark (owner.h) is read as at, by, whether the lock is held, by, at. at is cleared before a lock is set free,
 * and set after it was taken; so a mark that was the same before and after is of whoever had it in between.
 * The memory of a lock is there while somebody is in its queue, who leaves with the bucket locked. Of a goroutine
 * only the control block is read, which stays, and no frame.
 *
 * A circle. An edge of it is: g is in its nth wait for a lock, from when it is in the queue until it has the lock or
 * queues again, and the lock's mark is h's. All edges are looked at in turn, one bucket locked at a time, and then all of
 * them again. If they are the same, there was a moment, between the two, at which all stood: for g waited all the
 * while, its nth wait being one call; and h, which waited all the while too, has not locked it in between, so its mark is
 * from before. Nobody in the circle will go on then, unless somebody outside unlocks what one of them has locked,
 * which is allowed, and cannot be known.
 * A wait that is over is not taken for one that stands because of an old store, where the lock has gone on to who
 * is next in the circle: the end of the wait is before the unlock of that lock, and so before the next mark, which is
 * a release.
 *
 * Nobody closes a circle unseen, if each looks when it is in the queue: of two that queue at the same time
 * the second to lock the other's bucket finds the other in it; both fence before they look.
 *
 * Not found: circles in which a plain thread waits, a reader is waited for, or that go through anything but locks.
 */
#include "sync/holder.h"

#include "sched/rt.h"

void (*rn__lock_watch)(struct g *g);

/* With the bucket of on locked. */
static void holder_look(struct rt *rt, struct lot_bucket *b, enum lot_tag tag, const void *on,
                        struct holder *ret)
{
    struct lock_mark mark;

    ret->owner = OWNER_UNKNOWN;
    ret->readers = 0;
    if (!rn__lot_first(b, on, tag))
        return;
    if (tag == LOT_MUTEX ? !rn__mutex_mark(on, &mark) : !rn__rwmutex_mark(on, &mark, &ret->readers))
        return;
    ret->owner = rn__owner_find(rt, mark.by, mark.at, &ret->g);
    if (ret->owner == OWNER_GOROUTINE) {
        ret->tag = mark.by;
        ret->id = load_relaxed(&ret->g->id);
    }
}

void rn__holder(struct rt *rt, enum wait_reason why, const void *on, struct holder *ret)
{
    enum lot_tag tag = why == WAIT_MUTEX_LOCK     ? LOT_MUTEX
                       : why == WAIT_RWMUTEX_LOCK ? LOT_RW_WRITER
                                                  : LOT_RW_READER;
    struct lot_bucket *b;

    *ret = (struct holder){.owner = OWNER_UNKNOWN};
    if (!is_for_lock(why))
        return;
    b = rn__lot_try_lock(on);
    if (!b)
        return;
    holder_look(rt, b, tag, on, ret);
    rn__lot_unlock(b);
    if (ret->owner == OWNER_GOROUTINE && load_relaxed(&ret->g->tag) != ret->tag)
        ret->owner = OWNER_ENDED; /* meanwhile */
}

/* The edge that leaves g, whose tag is given. */
static bool edge(struct rt *rt, struct g *g, uint32_t tag, bool patient, struct lock_wait *ret,
                 struct holder *ret_holder)
{
    const void *on = load_acquire(&g->locking); /* pairs with locking_begin */
    uint32_t nth = load_relaxed(&g->lockings);
    enum lot_tag kind = (enum lot_tag)(nth & LOCKING_KIND);
    struct lot_bucket *b;

    if (!on)
        return false;
    b = patient ? rn__lot_lock(on) : rn__lot_try_lock(on);
    if (!b)
        return false;
    holder_look(rt, b, kind, on, ret_holder);
    rn__lot_unlock(b);
    *ret = (struct lock_wait){g,
                              load_relaxed(&g->id),
                              on,
                              tag,
                              nth,
                              kind == LOT_MUTEX       ? WAIT_MUTEX_LOCK
                              : kind == LOT_RW_WRITER ? WAIT_RWMUTEX_LOCK
                                                      : WAIT_RWMUTEX_RLOCK};
    return ret_holder->owner == OWNER_GOROUTINE && load_relaxed(&g->locking) == on &&
           load_relaxed(&g->lockings) == nth && load_relaxed(&g->tag) == tag;
}

unsigned rn__lock_circle(struct rt *rt, struct g *g, bool patient, struct lock_wait *ret)
{
    uint32_t first = load_relaxed(&g->tag), tag = first;
    struct g *at = g;
    struct holder h;
    unsigned n = 0;

    fence_seq_cst(); /* of two that queue and look, one sees the other */
    do {
        if (n == CIRCLE_MAX || !edge(rt, at, tag, patient, &ret[n], &h))
            return 0;
        n++;
        at = h.g;
        tag = h.tag;
    } while (at != g || tag != first);

    for (unsigned i = 0; i < n; i++) {
        const struct lock_wait *next = &ret[i + 1 < n ? i + 1 : 0];
        struct lock_wait again;

        if (!edge(rt, ret[i].g, ret[i].tag, patient, &again, &h) || again.nth != ret[i].nth ||
            again.on != ret[i].on || h.g != next->g || h.tag != next->tag)
            return 0;
    }
    return n;
}
