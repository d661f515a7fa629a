/* SPDX-License-Identifier: MIT */
/* lock.c - waiting for what another thread is about to do: spin, yield the thread, sleep. */
#include "base/lock.h"

#include <errno.h>

#include "arch/arch.h"
#include "os/os.h"

enum {
    PAUSES_MIN = 16,
    PAUSES_MAX = 128,
    SPINS = 5, /* 5 us or more: longer than any section of ours that was not preempted */
    PAUSES = 200,
    YIELDS =
        200 /* who is awaited lost its CPU: let it have ours; then it may be of lower priority */
};

/* For the n-th time spinning was not enough. */
static void give_way(unsigned n)
{
    int saved = errno; /* of calls that promise to keep it, or to have it from elsewhere */

    if (n < YIELDS)
        rn__os_thread_yield();
    else
        rn__os_thread_sleep(50000);
    errno = saved;
}

COLD void rn__wait_shortly(unsigned n)
{
    if (n < PAUSES)
        cpu_relax();
    else
        give_way(n - PAUSES);
}

/* Each try takes the cache line from whoever is about to write it: with two CPUs that want a channel all the time, every
 * operation would cost transfers. So the tries are further apart each time, and whoever has the lock does many. */
COLD void rn__spin_wait(struct spin *l)
{
    unsigned pauses = PAUSES_MIN;

    for (unsigned tries = 0;; tries++) {
        if (spin_try(l))
            return;
        if (tries < SPINS) {
            for (unsigned i = 0; i < pauses; i++)
                cpu_relax();
            if (pauses < PAUSES_MAX)
                pauses *= 2;
        } else {
            give_way(tries - SPINS);
        }
    }
}
