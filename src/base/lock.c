/* SPDX-License-Identifier: MIT */
/* lock.c - waiting for a spin lock: spin, yield the thread, sleep. */
#include "base/lock.h"

#include "arch/arch.h"
#include "os/os.h"

enum {
#ifdef RN_EXPLORE
    PAUSES_MIN = 1,
    PAUSES_MAX = 1,
    SPINS = 200,
#else
    PAUSES_MIN = 16,
    PAUSES_MAX = 128,
    SPINS = 5, /* 5 us or more: longer than any section of ours that was not preempted */
#endif
    YIELDS = 200 /* the holder lost its CPU: let it have ours; then it may be of lower priority */
};

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
        } else if (tries < SPINS + YIELDS) {
            rn__os_thread_yield();
        } else {
            rn__os_thread_sleep(50000);
        }
    }
}
