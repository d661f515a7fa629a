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
 * Readers. A lock that is read-locked has no mark, but while RUNNEL_LOCKS asks, its readers are known, each by itself
 * (debug/locks.c). Whoever waits for such a lock, to write or behind a writer who waits, waits for each of them. So g's edge
 * leads to several then, and a circle through one of them is enough. It stands as above: h has read-locked the lock at both
 * times, and has waited in between.
 *
 * Threads. The mark of a plain thread is in its stack, of which is known whose it is while the thread waits for a lock itself
 * and RUNNEL_LOCKS asks. A thread that has ended with a lock is taken for the next one on its stack, which the library
 * cannot tell from it; the lock is not unlocked by that one either, so the circle stands.
 *
 * Nobody closes a circle unseen, if each looks when it is in the queue: of two that queue at the same time
 * the second to lock the other's bucket finds the other in it; both fence before they look. The search is by breadth, so
 * the shortest circle is found.
 *
 * Not found: circles that go through anything but locks, that are longer than CIRCLE_MAX, or in which a plain thread has
 * read-locked a lock that is waited for.
 */
#include "sync/holder.h"

#include "sched/rt.h"

void (*rn__lock_watch)(struct g *g);
size_t (*rn__reader_list)(const void *lock, struct reader *ret, size_t room);

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
    ret->at = mark.at;
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

/* ---- Plain threads --------------------------------------------------------------------------------------- */

static struct lock_thread threads[LOCK_THREADS];
static uint32_t threads_waiting, thread_tags; /* atomic */

struct lock_thread *rn__lock_thread_new(const struct g *of, char *lo, char *hi, uint64_t id)
{
    for (unsigned i = 0; i < LOCK_THREADS; i++) {
        struct lock_thread *t = &threads[i];
        const struct g *none = NULL;

        if (load_relaxed(&t->of) || !cas_acquire(&t->of, &none, of))
            continue;
        add_relaxed(&threads_waiting, 1);
        fence_seq_cst(); /* who sees what is written here sees that the place was given up */
        t->g.kind = G_THREAD;
        store_relaxed(&t->g.stack_lo, lo);
        store_relaxed(&t->g.stack_hi, hi);
        store_relaxed(&t->g.id, id);
        store_relaxed(&t->g.lockings, of->lockings);
        return t;
    }
    return NULL;
}

void rn__lock_thread_waits(struct lock_thread *t)
{
    store_relaxed(&t->g.locking, load_relaxed(&load_relaxed(&t->of)->locking));
    store_release(&t->g.tag,
                  add_relaxed(&thread_tags, 1) + 1); /* pairs with thread_find and edge */
}

void rn__lock_thread_end(const struct g *of)
{
    if (load_relaxed(&threads_waiting) == 0) /* no edge: who waits has counted itself */
        return;
    for (unsigned i = 0; i < LOCK_THREADS; i++) {
        struct lock_thread *t = &threads[i];

        if (load_relaxed(&t->of) != of)
            continue;
        store_relaxed(&t->g.locking, NULL);
        store_relaxed(
            &t->g.tag,
            0); /* nothing of the next one's is written before: the exchange that takes the place */
        add_relaxed(&threads_waiting, (uint32_t)-1);
        store_release(&t->of, NULL);
        return;
    }
}

/* Whose stack has at in it, of threads that wait for a lock. */
static void thread_find(uintptr_t at, struct holder *ret)
{
    ret->g = NULL;
    for (unsigned i = 0; i < LOCK_THREADS && load_relaxed(&threads_waiting) > 0; i++) {
        struct lock_thread *t = &threads[i];
        uint32_t tag = load_acquire(&t->g.tag);
        uintptr_t lo = (uintptr_t)load_relaxed(&t->g.stack_lo);

        if (!tag || at < lo || at >= (uintptr_t)load_relaxed(&t->g.stack_hi))
            continue;
        ret->g = &t->g;
        ret->tag = tag;
        ret->id = load_relaxed(&t->g.id);
        fence_acquire();
        if (load_relaxed(&t->g.tag) == tag)
            return;
        ret->g = NULL;
    }
}

/* ---- Circles -------------------------------------------------------------------------------------------- */

/* Who the edges that leave g, whose tag is given, lead to: one, or readers. False: there are none. */
static bool edge(struct rt *rt, struct g *g, uint32_t tag, bool patient, struct lock_wait *ret,
                 struct holder *ret_holder)
{
    uint32_t now = load_acquire(&g->tag);       /* pairs with rn__lock_thread_waits */
    const void *on = load_acquire(&g->locking); /* pairs with locking_begin */
    uint32_t nth = load_relaxed(&g->lockings);
    enum lot_tag kind = (enum lot_tag)(nth & LOCKING_KIND);
    struct lot_bucket *b;

    if (!on || now != tag)
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
                                                      : WAIT_RWMUTEX_RLOCK,
                              false};
    if (ret_holder->owner == OWNER_THREAD)
        thread_find(ret_holder->at, ret_holder);
    ret->read = ret_holder->owner == OWNER_UNKNOWN;
    fence_acquire();
    return (ret_holder->owner == OWNER_GOROUTINE ||
            (ret_holder->owner == OWNER_THREAD && ret_holder->g) || ret_holder->readers > 0) &&
           load_relaxed(&g->locking) == on && load_relaxed(&g->lockings) == nth &&
           load_relaxed(&g->tag) == tag;
}

static size_t readers_of(const void *on, struct reader *ret)
{
    size_t (*list)(const void *, struct reader *, size_t) = load_acquire(&rn__reader_list);

    return list ? list(on, ret, SEARCH_READERS) : 0;
}

/* The circle that visit i closes: how many are in it, in ret; all of its edges stand, still or again. */
static unsigned circle_of(struct rt *rt, struct lock_search *s, unsigned i, bool patient,
                          struct lock_wait *ret)
{
    unsigned n = 1, k;

    for (unsigned at = i; at != 0; at = s->visit[at].from)
        n++;
    if (n > CIRCLE_MAX)
        return 0;
    for (k = n; k-- > 0; i = s->visit[i].from)
        ret[k] = s->visit[i].wait;

    for (k = 0; k < n; k++) {
        const struct lock_wait *next = &ret[k + 1 < n ? k + 1 : 0];
        struct lock_wait again;
        struct holder h;

        if (!edge(rt, ret[k].g, ret[k].tag, patient, &again, &h) || again.nth != ret[k].nth ||
            again.on != ret[k].on || again.read != ret[k].read)
            return 0;
        if (!again.read && (h.g != next->g || h.tag != next->tag))
            return 0;
        if (again.read) {
            size_t readers = readers_of(again.on, s->again), r = 0;

            while (r < readers && s->again[r].tag != next->tag)
                r++;
            if (r == readers)
                return 0;
        }
    }
    return n;
}

/* visit i waits for this one: if that closes the circle, how many are in it. */
static unsigned visit(struct rt *rt, struct lock_search *s, unsigned i, struct g *g, uint32_t tag,
                      bool patient, struct lock_wait *ret)
{
    if (g == s->visit[0].wait.g && tag == s->visit[0].wait.tag)
        return circle_of(rt, s, i, patient, ret);
    for (unsigned k = 1; k < s->visits; k++)
        if (s->visit[k].wait.g == g && s->visit[k].wait.tag == tag)
            return 0;
    if (s->visits < SEARCH_MAX) {
        s->visit[s->visits].wait = (struct lock_wait){.g = g, .tag = tag};
        s->visit[s->visits++].from = i;
    }
    return 0;
}

unsigned rn__lock_circle(struct rt *rt, struct g *g, bool patient, struct lock_search *s,
                         struct lock_wait *ret)
{
    unsigned n = 0;

    fence_seq_cst(); /* of two that queue and look, one sees the other */
    s->visit[0].wait = (struct lock_wait){.g = g, .tag = load_relaxed(&g->tag)};
    s->visits = 1;
    for (unsigned i = 0; i < s->visits && n == 0; i++) {
        struct lock_wait *w = &s->visit[i].wait;
        struct holder h;

        if (!edge(rt, w->g, w->tag, patient, w, &h))
            continue;
        if (!w->read) {
            n = visit(rt, s, i, h.g, h.tag, patient, ret);
            continue;
        }
        for (size_t r = 0, readers = readers_of(w->on, s->reader); r < readers && n == 0; r++) {
            uint32_t tag = s->reader[r].tag;
            struct g *reader;

            if (rn__owner_find(rt, tag, s->reader[r].at, &reader) == OWNER_GOROUTINE)
                n = visit(rt, s, i, reader, tag, patient, ret);
        }
    }
    return n;
}
