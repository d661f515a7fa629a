/* SPDX-License-Identifier: MIT */
/*
 * once.c - the call that is made once.
 *
 * The word goes NEW -> RUNNING -> RUNNING | WAITED -> DONE, the third only if somebody comes meanwhile.
 * Whoever moves it from NEW makes the call, on its own stack; others wait in the lot until DONE.
 *
 * The call also ends when its function calls rn_exit. Therefore the step to DONE is a deferred call, which
 * rn_exit runs, and which is otherwise run when the function has returned.
 *
 * Edges (release -> acquire)
 *   E1  the exchange to DONE -> the load, here or inlined, that finds DONE
 *
 * Last access. The exchange to DONE. The waiters are woken by address; a waker that comes late may meet
 * waiters of another once at the same address, so a woken waiter looks again.
 */
#include <runnel/sync.h>

#include "base/tools.h"
#include "sched/lot.h"

enum { NEW = 0, RUNNING = 1, DONE = 2, WAITED = 4 };

_Static_assert(sizeof(rn_once) == 8, "decision 9");

static void once_finish(rn_once *once)
{
    struct lot_waiter *list;
    struct lot_bucket *b;

    edge_release(once);
    if (!(swap_acq_rel(&once->rn__state, DONE) & WAITED)) /* E1 */
        return;
    b = rn__lot_lock(once);
    list = rn__lot_remove_all(b, once, LOT_ONCE);
    rn__lot_unlock(b);
    rn__lot_ready_list(list);
}

static COLD void once_wait(rn_once *once)
{
    for (;;) {
        struct lot_bucket *b = rn__lot_lock(once);
        uint32_t state = load_acquire(&once->rn__state); /* E1 */
        struct lot_waiter w;

        while (state == RUNNING && !cas_acq_rel(&once->rn__state, &state, RUNNING | WAITED))
            ; /* only to DONE can it have changed: E1 */
        if (state == DONE) {
            rn__lot_unlock(b);
            return;
        }
        rn__lot_enqueue(b, &w, once, LOT_ONCE, false);
        rn__lot_unlock(b);
        rn__lot_park(&w, WAIT_ONCE, NULL);
    }
}

static void once_op(struct rn__call *call)
{
    struct rn__once_call *c = container_of(call, struct rn__once_call, call);
    rn_once *once = c->once;
    uint32_t fresh = NEW;
    struct rn__defer1 finish;

    if (load_acquire(&once->rn__state) == DONE) { /* E1 */
        edge_acquire(once);
        return;
    }
    if (!cas_relaxed(&once->rn__state, &fresh, RUNNING)) { /* no edge: nothing came before NEW */
        once_wait(once);
        edge_acquire(once);
        return;
    }
    rn__defer1_push(&finish, (void (*)(void))once_finish, (uint64_t)(uintptr_t)once);
    rn__call_invoke(call);
    rn__defer_run(&finish);
}

struct rn__call *rn__once_begin(struct rn__once_call *c, rn_once *once, void (*fn)(void))
{
    c->call.fn = fn;
    c->call.op = once_op;
    c->once = once;
    return &c->call;
}
