/* SPDX-License-Identifier: MIT */
/*
 * block.c - C calls that block, goroutines locked to a thread, and waiting made by the user.
 *
 * Around a call that blocks, the processor is lent: others run on another thread meanwhile. The goroutine
 * stays on its thread, and gets a processor again before it goes on: an idle one, or it queues as a task of
 * this thread, and whoever picks that task hands its processor over. A locked goroutine uses the same: it is
 * a task that only its thread may run.
 */
#include "base/tools.h"
#include "sched/rt.h"

void rn__block_enter(void)
{
    struct worker *w = worker_self();
    struct g *g = w->cur;

    if (g->kind != G_GOROUTINE || g->block_depth++ > 0)
        return;
    rt_enter(w);
    if (likely(w->proc)) /* else the monitor has taken it already */
        rn__proc_lend(w);
    rt_leave(w);
}

void rn__block_leave(void)
{
    int saved = errno;
    struct worker *w = worker_self();
    struct g *g = w->cur;

    if (g->kind != G_GOROUTINE || --g->block_depth > 0)
        return;
    rt_enter(w);
    if (!w->proc) /* it has one if it waited inside */
        rn__proc_regain(w);
    rt_leave(w);
    errno = saved;
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
        g->worker = w;
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
        g->worker = NULL;
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
