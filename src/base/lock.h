/* SPDX-License-Identifier: MIT */
/*
 * lock.h - the spin lock under every internal structure.
 *
 * Held for tens of nanoseconds, never across a park, never while something is readied, called back
 * or freed. Its release is one store, so that the object it lives in may be freed by whoever takes it
 * next (decision 6). A waiter spins, then yields its thread, then sleeps: the holder may have been
 * preempted, or may have a lower real-time priority.
 *
 * Bits above the lowest belong to the owner (a channel's closed bit): spin_unlock_with stores them.
 */
#ifndef RN_SRC_LOCK_H
#define RN_SRC_LOCK_H

#include "base/atomic.h"

struct spin {
    uint32_t word; /* bit 0: held */
};

enum { SPIN_HELD = 1 };

void rn__spin_wait(struct spin *l);

/* Between two looks at what another thread is about to do, without a lock: for the n-th time, from 0. Waits as for a lock, and
 * keeps errno. */
void rn__wait_shortly(unsigned n);

static inline bool spin_try(struct spin *l)
{
    uint32_t word = load_relaxed(&l->word);

    return !(word & SPIN_HELD) && cas_acquire(&l->word, &word, word | SPIN_HELD);
}

static inline void spin_lock(struct spin *l)
{
    if (unlikely(!spin_try(l)))
        rn__spin_wait(l);
}

static inline void spin_unlock(struct spin *l)
{
    store_release(&l->word, load_owned(&l->word) & ~(uint32_t)SPIN_HELD);
}

static inline void spin_unlock_with(struct spin *l, uint32_t bits)
{
    store_release(&l->word, bits);
}

/* Wait until whoever has it, if anybody, has let it go. */
static inline void spin_pass(struct spin *l)
{
    if (unlikely(load_acquire(&l->word) & SPIN_HELD)) { /* pairs with the unlock */
        spin_lock(l);
        spin_unlock(l);
    }
}

#endif
