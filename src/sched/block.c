/* SPDX-License-Identifier: MIT */
/*
 * block.c - C calls that block, goroutines locked to a thread, and waiting made by the user.
 *
 * Around a call that blocks, the processor is lent: others run on another thread meanwhile. The goroutine
 * stays on its thread, and gets a processor again before it goes on: an idle one, or it queues as a task of
 * this thread, and whoever picks that task hands its processor over. A locked goroutine uses the same: it is
 * a task that only its thread may run.
 *
 * Where work waits, that costs the wake-up of a thread and a way back through the queue, some ten microseconds: more than
 * many a call that might block takes when it does not. So each place in the program that makes such calls is
 * remembered by how many of its calls in a row took less than SHORT_US. After TRUSTED of them its calls keep the
 * processor, until one loses it to the monitor, which looks every millisecond or so, as it is lost in a call that nobody
 * marked. So a call that does block after many that did not costs others a tick or two; one that computes, a slice. That
 * happens once: the monitor forgets the place as it takes the processor (rn__block_lost), so that whoever else comes there
 * lends. One call in MEASURED is timed then, for those that take longer, but not a tick. And who has had its time lends in
 * any case, so that a loop of such calls shares its processor by slices, as every loop does; as does everybody while the
 * system refuses the monitor its thread.
 *
 * The places are in a table, by a hash of the address after the call, without locks: two places with one hash, or two
 * threads at one, spoil a count at worst, and a processor is lent that need not be, or the monitor takes it.
 */
#include "base/tools.h"
#include "sched/rt.h"

enum { PLACES = 256, PLACE_BITS = 8, TRUSTED = 32, MEASURED = 8, SHORT_US = 20 };

static uint8_t places[PLACES]; /* atomic: short calls in a row, up to TRUSTED */

static uint8_t *place_of(const void *pc)
{
    return &places[(uint64_t)(uintptr_t)pc * 0x9E3779B97F4A7C15u >> (64 - PLACE_BITS)];
}

static bool place_is_trusted(const uint8_t *place)
{
#ifdef RN_EXPLORE
    return (void)place, false; /* no run of the explorer is to know of those before */
#else
    return load_relaxed(place) >= TRUSTED;
#endif
}

void rn__block_enter(void)
{
    struct worker *w = worker_self();
    struct g *g = w->cur;
    uint8_t *place;
    uint32_t depth = load_owned(&g->block_depth);

    if (g->kind != G_GOROUTINE)
        return;
    store_relaxed(&g->block_depth, depth + 1);
    if (depth > 0)
        return;
    place = place_of(__builtin_return_address(0));
    store_relaxed(&g->block_place, place);
    if (place_is_trusted(place) && likely(!(load_relaxed(&w->attention) & ATTEND_YIELD)) &&
        likely(load_relaxed(&g->rt->has_monitor))) { /* else nobody would take it */
        if (++w->block_calls % MEASURED != 0) {
            g->block_began = 0;
            return;
        }
    } else {
        rt_enter(w);
        if (likely(w->proc)) { /* else the monitor has taken it already */
            if (unlikely(load_relaxed(&w->attention) & ATTEND_YIELD))
                and_acq_rel(&w->attention,
                            ~(uint32_t)ATTEND_YIELD); /* others go first: that is all */
            rn__proc_lend(w);
        }
        rt_leave(w);
    }
    g->block_began = arch_ticks(); /* the call's own time, not that of waking a thread */
}

/* g's call is over, after so many ticks. */
static void place_learn(const struct g *g, uint64_t ticks)
{
#ifndef RN_EXPLORE
    uint8_t streak = load_relaxed(g->block_place);

    if (ticks >= SHORT_US * arch_ticks_in_us())
        store_relaxed(g->block_place, 0);
    else if (streak < TRUSTED) /* written only while it changes: threads share it */
        store_relaxed(g->block_place, streak + 1);
#else
    (void)g, (void)ticks;
#endif
}

/* The monitor has taken the processor of g, which runs: if it is in a call that kept it, the place's next calls lend. A
 * glance: g may be just in front of its call, or behind. */
void rn__block_lost(struct g *g)
{
    if (load_relaxed(&g->block_depth) > 0)
        store_relaxed(load_relaxed(&g->block_place), 0);
}

void rn__block_leave(void)
{
    struct worker *w = worker_self();
    struct g *g = w->cur;
    uint32_t depth = load_owned(&g->block_depth) - 1;

    if (g->kind != G_GOROUTINE)
        return;
    store_relaxed(&g->block_depth, depth);
    if (depth > 0)
        return;
    if (g->block_began)
        place_learn(g, arch_ticks() - g->block_began);
    /* It has one if it waited inside, or kept it. Should the monitor take it just now, then as from any goroutine that
     * computes; what counts as an entry is that it gets on. */
    if (likely(load_relaxed(&w->proc) != NULL)) {
        store_release(&w->entry, load_owned(&w->entry) + 2);
        return;
    }
    rt_enter(w);
    rn__proc_regain(w);
    rt_leave(w);
}

uint64_t rn__run_number(void)
{
    struct rt *rt = worker_self()->cur->rt;

    return rt ? rt->number : 0;
}

int64_t rn__sys_result(int64_t result)
{
    return result < 0 ? -errno : result;
}

void rn_lock_thread(void)
{
    struct worker *w = worker_self();
    struct g *g = w->cur;

    if (g->kind != G_GOROUTINE)
        return;
    if (g->lock_depth++ == 0) {
        g_to_thread(g, w);
        w->locked = g;
    }
}

void rn_unlock_thread(void)
{
    struct worker *w = worker_self();
    struct g *g = w->cur;

    if (g->kind != G_GOROUTINE || g->lock_depth == 0)
        return;
    if (--g->lock_depth == 0) {
        g_to_thread(g, NULL);
        w->locked = NULL;
    }
}

/* ---- Park and ready --------------------------------------------------------------------------------
 * A ticket's first word: EMPTY -> the parked g -> READY, or EMPTY -> READY. Whoever swaps the g out, or sets
 * READY first, wins; both ends see each other by one word. */

enum { TICKET_EMPTY = 0, TICKET_READY = 1 };

void rn_park_init(rn_ticket *t)
{
    store_relaxed(&t->rn__word[0], TICKET_EMPTY);
}

static bool ticket_unlink(void *wait)
{
    rn_ticket *t = wait;

    return swap_acq_rel(&t->rn__word[0], TICKET_READY) != TICKET_READY;
}

void rn_park(rn_ticket *t)
{
    struct g *g = rn__self();
    uint64_t empty = TICKET_EMPTY;

    if (cas_acq_rel(&t->rn__word[0], &empty,
                    (uint64_t)(uintptr_t)g)) /* pairs with rn_ready's swap */
        rn__park(g, WAIT_PARK, t, ticket_unlink, t);
    edge_acquire(t);
}

bool rn_ready(rn_ticket *t)
{
    uint64_t was;

    edge_release(t);
    was = swap_acq_rel(&t->rn__word[0], TICKET_READY); /* the ticket may be gone after this */
    if (was == TICKET_READY)
        return false;
    if (was != TICKET_EMPTY)
        rn__ready((struct g *)(uintptr_t)was);
    return true;
}
