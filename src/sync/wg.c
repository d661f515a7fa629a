/* SPDX-License-Identifier: MIT */
/*
 * wg.c - the wait group: a counter and what waits in a word, one waiter beside it, others in the lot.
 *
 * The word: the counter in the high half, signed. Bit 0, WAITING, when somebody is or was in the queue. The rest, if it is
 * not 0, is a mark: a goroutine waits alone, without a context, and is the one that the group's other words name.
 *   (n, -)     nobody waits
 *   (n, some)  a goroutine waits alone, or waiters are queued, or were and left with their context; or both
 *   (0, some)  for a moment: whoever counted to 0 is about to wake the waiters, and nobody else will
 * An addition is one atomic instruction; only the one that makes (0, some) has more to do.
 *
 * Alone waits who finds (n, -) and puts its mark there. The mark is made of the goroutine's tag, which no other has.
 * The goroutine and then, again, the mark are written to the words beside after that, so a waker waits for this mark to
 * be there: a moment, shorter than the one in which who parks saves its registers, for which rn__ready has to wait
 * too. Words that an earlier waiter left are never taken for a later one's, so nobody clears them. To wait costs one
 * atomic instruction then and to wake two, no bucket, and nothing is queued.
 *
 * Invariants
 *   I1  WAITING is changed only with the bucket locked.
 *   I2  nobody's wait returns 0 while the word is (0, some), except those who are woken: waits that
 *       find it queue, and a waiter whose context has ended queues again. So the group is there until its
 *       waker has set the word to 0, its last access, although it is anybody's the moment after.
 *   I3  a waiter in the queue implies WAITING.
 *   I4  a mark is set by its goroutine in (n, -), and is cleared by who made (0, some), or, while the counter is not 0,
 *       by the end of rn_run, which takes the goroutine out.
 *
 * Misuse is reported, with Go's text, where it is noticed: by an addition that finds (0, some) and goes
 * up, and by a waker that finds the counter changed. A group that is used again before a wait of the batch
 * before has returned does no harm here, since who was woken looks at it no more, and is not noticed.
 *
 * A copy of a group that somebody waits on wakes nobody: who waits alone says on which group.
 *
 * Edges (release -> acquire)
 *   E1  every subtraction -> the load of a wait that finds 0 (one release sequence: all are
 *       read-modify-writes, the waker's last one too)
 *   E2  every subtraction -> the last one, whose rn__ready -> the return of the waits it wakes
 *   E3  who waits alone, the mark beside -> the waker: who it is is there too
 *   E4  the waker's 0 -> the end of rn_run, that the mark is gone: taken is set
 * ThreadSanitizer is told of a pseudo access besides, as Go does: the addition that leaves 0 reads it, the
 * first waiter writes it, so that an addition concurrent with the wait meant to see it is reported.
 *
 * Rejected: a compare-exchange that takes the last step under the bucket's lock. It needs no (0, WAITING),
 * but fails and repeats where many goroutines end at the same time.
 */
#include <runnel/ctx.h>
#include <runnel/sync.h>

#include "base/tools.h"
#include "os/os.h"
#include "sched/lot.h"

#define WAITING ((uint64_t)1)

_Static_assert(sizeof(rn_wg) == 24, "decision 9");

/* On the stack of who waits alone. */
struct waits_alone {
    struct g *g;
    rn_wg *wg;
    uint32_t mark;
    uint32_t taken; /* atomic: by a waker */
};

/* What lies in the words beside. What ThreadSanitizer sees the first addition read and the first waiter write is pseudo. */
struct alone {
    uint32_t mark; /* atomic */
    uint32_t pseudo;
    struct waits_alone *w; /* atomic */
};
_Static_assert(sizeof(struct alone) == sizeof(((rn_wg *)0)->rn__reserved), "the words beside");

static inline struct alone *alone_of(rn_wg *wg)
{
    return (struct alone *)(void *)wg->rn__reserved;
}

static inline int32_t counter(uint64_t word)
{
    return (int32_t)(uint32_t)(word >> 32);
}

/* Who waits; 0: nobody. */
static inline uint32_t waiters(uint64_t word)
{
    return (uint32_t)word;
}

static inline uint32_t mark_in(uint64_t word)
{
    return (uint32_t)word & ~(uint32_t)WAITING;
}

static inline uint32_t *pseudo(rn_wg *wg)
{
    return &alone_of(wg)->pseudo;
}

static const char called_concurrently[] =
    "sync: WaitGroup misuse: Add called concurrently with Wait";

/* The word is (0, some), some with WAITING. */
static COLD void wake_queue(rn_wg *wg, uint64_t word)
{
    struct lot_bucket *b = rn__lot_lock(wg);
    struct lot_waiter *list;

    if (!cas_release(&wg->rn__state, &word, 0)) { /* E1; I2: the last access */
        rn__lot_unlock(b);
        rn__panic(called_concurrently);
    }
    list = rn__lot_remove_all(b, wg, LOT_WG);
    for (struct lot_waiter *w = list; w; w = w->next)
        w->granted = 1;
    rn__lot_unlock(b);
    rn__lot_ready_list(list); /* E2 */
}

/* Take who has the mark; NULL: it waits on another group, of which this is a copy. */
static struct g *take_alone(rn_wg *wg, uint32_t mark)
{
    struct alone *a = alone_of(wg);
    struct waits_alone *w;

    for (unsigned n = 0; load_acquire(&a->mark) != mark; n++) /* E3 */
        rn__wait_shortly(n);
    w = load_relaxed(&a->w);
    if (w->wg != wg)
        return NULL;
    store_relaxed(&w->taken, 1); /* before the word is set to 0: E4 */
    return w->g;
}

/* The caller made the word (0, some). */
static NOINLINE void wake_all(rn_wg *wg, uint32_t some)
{
    uint32_t mark = mark_in(some);
    struct g *g = mark ? take_alone(wg, mark) : NULL;
    uint64_t word = some;

    if ((some & WAITING) || !cas_release(&wg->rn__state, &word, 0)) /* E1; I2: the last access */
        wake_queue(wg, some | WAITING); /* somebody has queued since, or it is misuse */
    if (g)
        rn__ready(g); /* E2 */
}

static inline void count_in(rn_wg *wg, int delta)
{
    uint64_t before;
    int32_t now;

    if (delta < 0)
        edge_release(wg);
    before = add_acq_rel(&wg->rn__state, (uint64_t)(int64_t)delta << 32); /* E1, E2 */
    now = (int32_t)((uint32_t)counter(before) + (uint32_t)delta);
    if (unlikely(now < 0))
        rn__panic("sync: negative WaitGroup counter");
    if (delta > 0 && counter(before) == 0) {
        tool_read(pseudo(wg), sizeof *pseudo(wg));
        if (unlikely(waiters(before)))
            rn__panic(called_concurrently);
    }
    if (unlikely(now == 0 && waiters(before) && delta != 0))
        wake_all(wg, waiters(before));
}

void rn_wg_add(rn_wg *wg, int delta)
{
    count_in(wg, delta);
}

/* rn_wg_add(wg, -1), of which every goroutine of a group has one. */
static inline void count_out(rn_wg *wg)
{
    uint64_t before;

    edge_release(wg);
    before = add_acq_rel(&wg->rn__state, (uint64_t)(int64_t)-1 << 32); /* E1, E2 */
    if (unlikely(counter(before) <= 0))
        rn__panic("sync: negative WaitGroup counter");
    if (unlikely(counter(before) == 1 && waiters(before)))
        wake_all(wg, waiters(before));
}

void rn_wg_done(rn_wg *wg)
{
    count_out(wg);
}

/* Waits that end with their contexts leave the group to another first one: no race of theirs. */
static inline void first_waits(rn_wg *wg)
{
    edge_acquire((char *)pseudo(wg) + 1);
    tool_write(pseudo(wg), sizeof *pseudo(wg));
    edge_release((char *)pseudo(wg) + 1);
}

/*
 * For the end of rn_run, which may come when the group is no more, as it was on the stack of a goroutine that has ended:
 * what is there may be anything, or nothing. If it is no longer this mark, taken tells whether a waker was here.
 */
static NO_SANITIZE bool unlink_alone(void *wait)
{
    struct waits_alone *w = wait;
    uint64_t word;

    if (!rn__os_is_there((const uint32_t *)(const void *)w->wg))
        return true;
    word = load_acquire(&w->wg->rn__state); /* E4 */
    while (mark_in(word) == w->mark) {
        if (counter(word) == 0)
            return false; /* its waker is on the way */
        if (cas_acq_rel(&w->wg->rn__state, &word, word & ~(uint64_t)w->mark)) /* I4 */
            return true;
    }
    return !load_relaxed(&w->taken);
}

/* The mark of a goroutine; 0: it has none, and queues. */
static inline uint32_t mark_of(const struct g *g)
{
#ifdef RN_EXPLORE /* its threads have tags when a test gives them some */
    return load_relaxed(&g->tag) << 1;
#else
    return g->kind == G_GOROUTINE ? load_relaxed(&g->tag) << 1 : 0;
#endif
}

/* Wait without company. False: there is some, or the counter is 0. */
static bool wait_alone(rn_wg *wg)
{
    struct g *g = rn__self();
    struct alone *a = alone_of(wg);
    struct waits_alone w = {g, wg, mark_of(g), 0};
    uint64_t word = load_relaxed(&wg->rn__state);

    if (unlikely(!w.mark))
        return false;
    do {
        if (counter(word) == 0 || waiters(word))
            return false;
    } while (!cas_acq_rel(&wg->rn__state, &word, word | w.mark));
    store_relaxed(&a->w, &w);
    store_release(&a->mark, w.mark); /* E3 */
    first_waits(wg);
    rn__park(g, WAIT_WG_WAIT, wg, unlink_alone, &w);
    return true; /* E2; the group may be gone */
}

/* Wait while the counter is not 0; 0, or the error of ctx. */
static COLD int wg_wait(rn_wg *wg, struct rn_ctx *ctx)
{
    struct lot_waiter w;

    for (;;) {
        struct lot_bucket *b = rn__lot_lock(wg);
        uint64_t word = load_acquire(&wg->rn__state); /* E1 */
        bool first;
        int err;

        do {
            if (word == 0) {
                rn__lot_unlock(b);
                return 0;
            }
            first = !waiters(word);
        } while (!(word & WAITING) && !cas_acq_rel(&wg->rn__state, &word, word | WAITING));
        rn__lot_enqueue(b, &w, wg, LOT_WG, false);
        rn__lot_unlock(b);
        if (first)
            first_waits(wg);

        err = rn__lot_park(&w, WAIT_WG_WAIT, ctx);
        if (w.granted) /* E2; the group may be gone */
            return 0;

        /* The context ended first. If there is nobody else, leave no trace; but if the counter is 0 now,
         * somebody is on the way to the queue: be there, and the wait has succeeded. */
        b = rn__lot_lock(wg);
        word = load_relaxed(&wg->rn__state);
        while (counter(word) != 0 && (word & WAITING) && !rn__lot_first(b, wg, LOT_WG) &&
               !cas_relaxed(&wg->rn__state, &word, word & ~WAITING))
            ; /* no edge: I1 */
        rn__lot_unlock(b);
        if (counter(word) != 0)
            return err;
        ctx = NULL;
    }
}

static NOINLINE void wait_long(rn_wg *wg)
{
    if (!wait_alone(wg))
        (void)wg_wait(wg, NULL);
    edge_acquire(wg);
}

void rn_wg_wait(rn_wg *wg)
{
    if (load_acquire(&wg->rn__state) != 0) /* E1 */
        wait_long(wg);
    else
        edge_acquire(wg);
}

int rn_wg_wait_ctx(struct rn_ctx *ctx, rn_wg *wg)
{
    if (load_acquire(&wg->rn__state) != 0) { /* E1 */
        int err = wg_wait(wg, ctx);

        if (err)
            return err;
    }
    edge_acquire(wg);
    return 0;
}

/* ---- Goroutines that count themselves out ---------------------------------------------------------- */

static void goroutine_done(void *wg, int result)
{
    (void)result;
    count_out(wg);
}

struct rn__call *rn__wg_go_begin(rn_wg *wg, void (*fn)(void))
{
    struct fresh *f = rn__fresh_go(fn, goroutine_done, wg, __builtin_return_address(0));

    count_in(wg, 1);
    return &f->call;
}

void rn_wg_go_fn(rn_wg *wg, void (*fn)(void *), void *arg)
{
    struct fresh *f =
        rn__fresh_go((void (*)(void))fn, goroutine_done, wg, __builtin_return_address(0));

    count_in(wg, 1);
    rn__call_set_ptr(&f->call, arg);
    rn__fresh_start(&f->call);
}
