/* SPDX-License-Identifier: MIT */
/* lock.c - waiting for a spin lock: spin, yield the thread, sleep. */
#include "base/lock.h"

#include "arch/arch.h"
#include "os/os.h"

enum {
    SPINS = 200, /* about 5 us: longer than any section of ours that was not preempted */
    YIELDS = 200 /* the holder lost its CPU: let it have ours; then it may be of lower priority */
};

COLD void rn__spin_wait(struct spin *l)
{
    for (unsigned tries = 0;; tries++) {
        if (spin_try(l))
            return;
        if (tries < SPINS)
            cpu_relax();
        else if (tries < SPINS + YIELDS)
            rn__os_thread_yield();
        else
            rn__os_thread_sleep(50000);
    }
}
