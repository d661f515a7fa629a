/* SPDX-License-Identifier: MIT */
/*
 * deadlock.c - nothing can ever run again (decision 14).
 *
 * It is a deadlock when all processors are idle, no goroutine is inside rn_blocking, no timer is armed, no
 * signal and no descriptor awaited, and every thread of the process is ours or parked in a call of ours. The
 * kernel is asked for the number of threads only when all the rest holds, and all is looked at again
 * afterwards; a wake-up in between shows in the counts. ThreadSanitizer has a thread of its own, which is allowed for.
 */
#include "base/tools.h"
#include "netpoll/netpoll.h"
#include "os/os.h"
#include "sched/rt.h"

uint32_t rn__threads_parked;
uint32_t rn__threads_own;
bool rn__forked;

bool rn__signals_awaited(void) __attribute__((weak));

/* Nothing runs, is runnable or will be made so by us. */
static bool quiet(struct rt *rt, uint32_t *ret_known)
{
    bool is;

    spin_lock(&rt->lock);
    is = !rt->stopping && all_idle(rt) && rt->blocked == 0 && rt->global_len == 0;
    for (uint32_t i = 0; is && i < rt->nprocs; i++) {
        const struct proc *p = &rt->procs[i];

        is = load_relaxed(&p->timers->count) == 0 && queued(p) == 0;
    }
    *ret_known = rt->workers + load_relaxed(&rt->has_monitor) + load_acquire(&rn__threads_parked) +
                 load_acquire(&rn__threads_own);
    spin_unlock(&rt->lock);
    return is && !(rn__signals_awaited && rn__signals_awaited()) && !rn__netpoll_awaited();
}

bool rn__deadlock_check(struct rt *rt)
{
    uint32_t known, again, parked = load_acquire(&rn__threads_parked);
    int threads;

    if (load_acquire(
            &rt->creating)) /* it is counted, and may never be: look again; pairs with rn__monitor_start */
        return true;
    if (!quiet(rt, &known))
        return false;
    if (rn__goroutines(rt) == 0 && parked == 0)
        return false; /* an idle runtime in somebody's program */
    threads = rn__os_threads();
    if (threads < 0)
        return false;
    if (rn__tools & TOOL_TSAN)
        threads -= rn__forked ? 2 : 1; /* it starts another in a child */
    if (threads > (int)known)
        return true;
    if (!quiet(rt, &again) || again != known || load_acquire(&rt->creating))
        return true;
    if (load_relaxed(&rt->starving)) {
        if (rn__stack_gather(rt))
            return true;
        rn__panic(
            "out of memory for a goroutine's stack"); /* and nobody is left who could give one back */
    }
    rn__fatal("all goroutines are asleep - deadlock!");
}
