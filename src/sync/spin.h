/* SPDX-License-Identifier: MIT */
/*
 * spin.h - a short wait on the CPU before a goroutine parks for a lock.
 *
 * Worth it only while the holder runs at the same time, so never with one processor. Four rounds of thirty
 * pauses, about one to five microseconds depending on the CPU, are what parking and waking cost.
 */
#ifndef RN_SRC_SPIN_H
#define RN_SRC_SPIN_H

#include "arch/arch.h"
#include "sched/sched.h"

enum { SPIN_ROUNDS_LOCK = 4, SPIN_PAUSES = 30 };

static inline unsigned spin_rounds(void)
{
    return rn_procs() > 1 ? SPIN_ROUNDS_LOCK : 0;
}

static inline void spin_round(void)
{
    for (unsigned i = 0; i < SPIN_PAUSES; i++)
        cpu_relax();
}

/* A waiter delayed by more than this is handed the lock when it is next released. */
static const int64_t starving_ns = 1000000;

#endif
