/* SPDX-License-Identifier: MIT */
/*
 * rwmutex.c - the reader/writer mutex: a word for the fast paths, two counters, two queues in the lot.
 *
 * The word:
 *   READERS  (the low half) readers that are in, and, while WRITER is set, those that wait too
 *   WRITER   a writer holds the lock, or has announced itself and waits for the readers that are in
 *   QUEUED   the writers' queue may have waiters
 *   WOKEN    an unlock took a writer out, and it has neither got the lock nor queued again
 * drain: how many readers the writer at the head of the queue waits for. 0 when a writer holds the lock,
 * and when WRITER is clear. admit: how many readers were let in before they came to queue.
 *
 * A reader adds itself to READERS, and is in if WRITER was not set; if it was, it goes to the queue. It
 * leaves by the reverse; if WRITER is set it also counts drain down, and lets the writer in at 0. A writer
 * goes from 0 to WRITER, or sets WRITER, which holds back later readers, and waits until drain is 0. Without
 * contention each of the four is one atomic instruction.
 *
 * A writer's unlock admits all readers that wait, before the next writer. Those in the queue are granted the
 * lock; those between their addition and the queue are counted in admit and find that out under the
 * bucket's lock. Which of the readers on their way takes an admission does not matter; the numbers agree.
 *
 * As to the next writer: normally unlock clears WRITER and wakes the oldest, which competes with other
 * writers; so a lock that writers pass around does not wait for a sleeper each time. A writer that queued
 * more than a millisecond ago is handed the lock instead: WRITER stays set, and readers admitted at that
 * moment are what it drains.
 *
 * Invariants
 *   I1  drain and admit are touched only with the bucket locked; QUEUED is changed only with it locked; WOKEN
 *       is set only with it locked and cleared only by the woken writer.
 *   I2  WRITER set and drain > 0: the head of the writers' queue waits for drain readers, who are in.
 *   I3  WRITER clear: all of READERS are in, admit of them without knowing it yet.
 *   I4  WRITER set and drain 0: a writer holds the lock, nobody else is in, and admit is 0.
 *   I5  a writer in the queue implies QUEUED, and QUEUED at the time it is set implies WRITER.
 *   I6  a waiter leaves a queue with the lock, or as the woken writer: nobody is woken for no reason.
 * In which order two announced writers come out of the queue does not matter: drain belongs to its head.
 *
 * Edges (release -> acquire)
 *   E1  a writer's exchange that clears WRITER -> a reader's addition, a writer's exchange
 *   E2  a reader's subtraction -> the exchange of a writer that then finds READERS 0
 *   E3  under the bucket's lock: a reader's last countdown -> the writer it lets in; a writer's unlock -> the
 *       reader that finds itself admitted; and through rn__ready -> whoever was granted the lock
 * Who has write-locked it is marked in the last two words, for reports: sched/owner.h.
 *
 * ThreadSanitizer is told of two objects, so that readers are not ordered among themselves: [0], what writers
 * released, and [1], what readers released.
 *
 * Last access. A writer's unlock touches the mutex for the last time in the exchange that clears WRITER
 * (admit is written before it), or before it lets go of the bucket. A reader's subtraction is its last
 * access while WRITER is clear; if it is set, the head of the queue waits for the countdown that follows, so
 * the mutex is there.
 *
 * Rejected: a mutex inside for the writers, as in Go (its unlock would come after the access that lets
 * others in); a compare-exchange for readers (with many of them it fails again and again).
 */
#include <runnel/sync.h>

#include "base/tools.h"
#include "sched/lot.h"
#include "sync/holder.h"
#include "sync/spin.h"

#define READERS ((uint64_t)UINT32_MAX)
#define WRITER ((uint64_t)1 << 63)
#define QUEUED ((uint64_t)1 << 62)
#define WOKEN ((uint64_t)1 << 61)

_Static_assert(sizeof(rn_rwmutex) == 40, "decision 9");

static inline uint64_t *word_of(rn_rwmutex *m)
{
    return &m->rn__word[0];
}
static inline uint64_t *drain_of(rn_rwmutex *m)
{
    return &m->rn__word[1];
}
static inline uint64_t *admit_of(rn_rwmutex *m)
{
    return &m->rn__word[2];
}
static inline void mark(rn_rwmutex *m)
{
    owner_mark(&m->rn__word[3], &m->rn__word[4]);
}
/* What ThreadSanitizer knows the two sides by. */
static inline const void *writers_edge(const rn_rwmutex *m)
{
    return &m->rn__word[0];
}
static inline const void *readers_edge(const rn_rwmutex *m)
{
    return &m->rn__word[1];
}

static COLD void misuse(struct lot_bucket *b, const char *text)
{
    if (b)
        rn__lot_unlock(b);
    rn__fatal(text);
}

static struct lot_waiter *first_writer(struct lot_bucket *b, rn_rwmutex *m)
{
    return rn__lot_first(b, m, LOT_RW_WRITER);
}

/* Take w, the first writer, out with the lock in its hands. */
static void grant_writer(struct lot_bucket *b, rn_rwmutex *m, struct lot_waiter *w)
{
    w->granted = 1;
    rn__lot_remove(b, w);
    if (!first_writer(b, m))
        and_acq_rel(word_of(m), ~QUEUED); /* no edge: the bucket orders it */
}

/* A writer's unlock with the bucket locked, or what is left to do after a writer that was dropped with its
 * runtime. Unlocks the bucket. */
static void release_writer(struct lot_bucket *b, rn_rwmutex *m)
{
    struct lot_waiter *writer = first_writer(b, m);
    struct lot_waiter *readers = rn__lot_remove_all(b, m, LOT_RW_READER);
    uint64_t state = load_relaxed(word_of(m));
    uint64_t n = 0;

    for (struct lot_waiter *w = readers; w; w = w->next) {
        w->granted = 1;
        n++;
    }
    if (writer && now_ns() - (int64_t)writer->arg > starving_ns) {
        /* Hand-off: WRITER stays. Readers that come after this load wait for the writer. */
        uint64_t in = state & READERS;

        *drain_of(m) = in;
        *admit_of(m) = in - n;
        if (in)
            writer = NULL; /* it waits on, for these readers */
        else
            grant_writer(b, m, writer);
    } else {
        uint64_t keep = READERS | WOKEN;

        *drain_of(m) = 0;
        if (state & WOKEN)
            writer = NULL; /* one is on its way already */
        else if (writer)
            rn__lot_remove(b, writer);
        if (first_writer(b, m))
            keep |= QUEUED;
        do { /* {WRITER: 0, WOKEN: 1 if one is woken} */
            *admit_of(m) = (state & READERS) - n;
        } while (!cas_release(word_of(m), &state, (state & keep) | (writer ? WOKEN : 0))); /* E1 */
    }
    rn__lot_unlock(b);
    rn__lot_ready_list(readers); /* E3 */
    if (writer)
        rn__ready(writer->g); /* E3 if granted */
}

bool rn__rwmutex_mark(const rn_rwmutex *m, struct lock_mark *ret, uint32_t *ret_readers)
{
    uint64_t state = load_relaxed(&m->rn__word[0]);

    if (!(state & WRITER) || m->rn__word[1] > 0) { /* drain: the bucket is locked */
        *ret_readers = (uint32_t)(state & WRITER ? m->rn__word[1] : state & READERS);
        return false;
    }
    ret->at = load_acquire(&m->rn__word[4]); /* each before the next: see holder.c */
    ret->by = (uint32_t)load_acquire(&m->rn__word[3]);
    return ret->at && (load_acquire(&m->rn__word[0]) & WRITER) &&
           (uint32_t)load_acquire(&m->rn__word[3]) == ret->by &&
           load_relaxed(&m->rn__word[4]) == ret->at;
}

/* ---- Writers ---------------------------------------------------------------------------------------- */

static COLD void writer_wait(rn_rwmutex *m)
{
    struct lot_waiter w;
    int64_t since = 0;
    unsigned spins = spin_rounds();
    uint64_t mine = 0;                         /* WOKEN if this is the woken writer */
    uint64_t state = load_relaxed(word_of(m)); /* a guess; the exchanges check it */

    for (;;) {
        struct lot_bucket *b;
        bool announced;

        if (!(state & (WRITER | READERS))) {
            if (cas_acquire(word_of(m), &state, (state & ~mine) | WRITER)) /* E1, E2 */
                return;
            continue;
        }
        if (spins > 0 && (state & WRITER)) { /* readers are held back at once, not spun for */
            spins--;
            spin_round();
            state = load_relaxed(word_of(m));
            continue;
        }

        b = rn__lot_lock(m);
        state = load_relaxed(word_of(m));
        for (;;) {
            announced = !(state & WRITER);
            if (announced && !(state & READERS))
                break; /* free: compete again */
            if (cas_acquire(word_of(m), &state, (state & ~mine) | WRITER | QUEUED))
                break; /* E1; E2 by the countdown of drain */
        }
        if (announced && !(state & READERS)) {
            rn__lot_unlock(b);
            continue;
        }
        if (announced)
            *drain_of(m) = state &
                           READERS; /* who sees WRITER waits for the bucket before it looks */
        if (!since)
            since = now_ns();
        w.arg = (uint64_t)since;
        rn__lot_enqueue(b, &w, m, LOT_RW_WRITER, announced || mine);
        locking_begin(&w, NULL);
        rn__lot_unlock(b);
        locking_watch(&w);
        rn__lot_park(&w, WAIT_RWMUTEX_LOCK, NULL);
        locking_end(&w);
        if (w.granted) /* E3 */
            return;
        mine = WOKEN;
        spins = spin_rounds();
        state = load_relaxed(word_of(m));
    }
}

void rn_rwmutex_lock(rn_rwmutex *m)
{
    uint64_t none = 0;

    tool_read(m, sizeof *m);
    if (unlikely(!cas_acquire(word_of(m), &none, WRITER))) /* E1, E2 */
        writer_wait(m);
    mark(m);
    edge_acquire(writers_edge(m));
    edge_acquire(readers_edge(m));
}

bool rn_rwmutex_try_lock(rn_rwmutex *m)
{
    uint64_t state = load_relaxed(word_of(m));

    tool_read(m, sizeof *m);
    while (!(state & (WRITER | READERS))) {
        if (cas_acquire(word_of(m), &state, state | WRITER)) { /* E1, E2 */
            mark(m);
            edge_acquire(writers_edge(m));
            edge_acquire(readers_edge(m));
            return true;
        }
    }
    return false;
}

static COLD void unlock_slow(rn_rwmutex *m)
{
    uint64_t state = load_relaxed(word_of(m));
    struct lot_bucket *b;

    /* A woken writer is on its way and no reader waits: as good as uncontended. */
    while ((state & WRITER) && (state & WOKEN) && !(state & READERS)) {
        if (cas_release(word_of(m), &state, state & ~WRITER)) /* E1 */
            return;
    }
    if (!(state & WRITER))
        misuse(NULL, "sync: Unlock of unlocked RWMutex");
    b = rn__lot_lock(m);
    if (*drain_of(m)) /* I2: nobody holds it yet */
        misuse(b, "sync: Unlock of unlocked RWMutex");
    release_writer(b, m);
}

void rn_rwmutex_unlock(rn_rwmutex *m)
{
    uint64_t alone = WRITER;

    edge_release(writers_edge(m));
    owner_unmark(&m->rn__word[4]);
    if (unlikely(!cas_release(word_of(m), &alone, 0))) /* E1 */
        unlock_slow(m);
}

void (*rn__reader_watch)(const void *lock, bool in);

static COLD void tell_reader(const rn_rwmutex *m, bool in)
{
    void (*watch)(const void *, bool) = load_acquire(&rn__reader_watch);

    if (in)
        edge_acquire(writers_edge(m));
    else
        edge_release(readers_edge(m));
    if (watch && (rn__tools & TOOL_READERS))
        watch(m, in);
}
/* The caller is in, or about to leave. */
static inline void reader(const rn_rwmutex *m, bool in)
{
    if (unlikely(rn__tools & (TOOL_TSAN | TOOL_READERS)))
        tell_reader(m, in);
}

/* ---- Readers ---------------------------------------------------------------------------------------- */

/* A waiting reader ended with its runtime: it does not count any more. */
static void reader_dropped(struct lot_waiter *w)
{
    sub_release(word_of((rn_rwmutex *)(uintptr_t)w->addr), 1);
}

/* WRITER was set when this reader added itself. */
static COLD void reader_wait(rn_rwmutex *m)
{
    struct lot_bucket *b = rn__lot_lock(m);
    struct lot_waiter w;

    if (*admit_of(m)) { /* E3 */
        --*admit_of(m);
        rn__lot_unlock(b);
        return;
    }
    rn__lot_enqueue(b, &w, m, LOT_RW_READER, false);
    w.dropped = reader_dropped;
    locking_begin(&w, NULL);
    rn__lot_unlock(b);
    locking_watch(&w);
    rn__lot_park(&w, WAIT_RWMUTEX_RLOCK, NULL); /* E3; I6: granted */
    locking_end(&w);
}

void rn_rwmutex_rlock(rn_rwmutex *m)
{
    tool_read(m, sizeof *m);
    if (unlikely(add_acq_rel(word_of(m), 1) & WRITER)) /* E1 */
        reader_wait(m);
    reader(m, true);
}

bool rn_rwmutex_try_rlock(rn_rwmutex *m)
{
    uint64_t state = load_relaxed(word_of(m));

    tool_read(m, sizeof *m);
    while (!(state & WRITER)) {
        if (cas_acquire(word_of(m), &state, state + 1)) { /* E1 */
            reader(m, true);
            return true;
        }
    }
    return false;
}

static COLD void runlock_slow(rn_rwmutex *m, uint64_t before)
{
    struct lot_bucket *b;
    struct lot_waiter *w;

    if (!(before & READERS))
        misuse(NULL, "sync: RUnlock of unlocked RWMutex");
    b = rn__lot_lock(m);
    if (!*drain_of(m)) /* I4: a writer holds it; whoever is counted only waits */
        misuse(b, "sync: RUnlock of unlocked RWMutex");
    if (--*drain_of(m)) {
        rn__lot_unlock(b);
        return;
    }
    w = first_writer(b, m);
    if (!w) { /* it was dropped with its runtime */
        release_writer(b, m);
        return;
    }
    grant_writer(b, m, w);
    rn__lot_unlock(b);
    rn__ready(w->g); /* E3 */
}

void rn_rwmutex_runlock(rn_rwmutex *m)
{
    uint64_t before;

    reader(m, false);
    before = sub_release(word_of(m), 1); /* E2 */
    if (unlikely((before & WRITER) || !(before & READERS)))
        runlock_slow(m, before);
}
