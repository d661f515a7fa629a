/* SPDX-License-Identifier: MIT */
/*
 * owner.h - who has locked it: two words beside a lock, for reports.
 *
 * A lock that is free costs one atomic instruction, inlined, which knows neither the goroutine nor the thread. What it
 * can know for nothing is its stack pointer. That names the stack, but not whose it was: a goroutine may end with
 * a lock held, and the next one on its stack must not be accused. So there is a table, indexed by a hash of the stack
 * pointer, in which each goroutine that starts writes its tag, a number that no other has; and a lock keeps
 * both, the stack pointer and what the table had for it.
 *
 *   by   the table's word
 *   at   the stack pointer; 0 while nobody has the lock
 * Both are written after the exchange that takes the lock, and at is cleared before the one that frees it. So who
 * reads at, by, then that it is locked, and then the same at and by again, knows who has it: between the
 * exchange and the mark there is none.
 *
 * Then at tells the goroutine whose stack it is in, and that one has it if by is its tag. If by is another, either an
 * earlier goroutine on that stack locked it, or one on a stack with the same hash has started since and wrote
 * over the table's word. In the second case nothing is said; it is the first for sure if the stack is free, or
 * if the table still has the goroutine's own tag.
 *
 * What is not known: a lock made deeper in a stack than the first 48 KiB, on a stack of 16 or 32 KiB some, on a small one most, and with more
 * stacks than the table reaches over (16 GiB, 127,000 of the default size) sometimes. A tag comes again after 2^32 goroutines.
 *
 * Rejected: a thread-local in the header (decision 10); a call of the library for each lock; the stack pointer
 * alone (see above); the tag alone (two stacks with one hash).
 */
#ifndef RN_SRC_OWNER_H
#define RN_SRC_OWNER_H

#include <runnel/sync.h>

#include "sched/sched.h"

#ifdef RN_EXPLORE
enum { OWNER_WORDS = 16 };
#else
enum { OWNER_WORDS = RN__ON_STACKS };
#endif
enum { OWNER_PART = 1 << RN__ON_STACKS_SHIFT }; /* of a stack, for which there is a word */

extern uint32_t rn__owner_table[OWNER_WORDS]; /* atomic */

static inline uint32_t *owner_word(uintptr_t sp)
{
    return &rn__owner_table[(sp >> RN__ON_STACKS_SHIFT) % OWNER_WORDS];
}

/* The caller has taken a lock: as rn_mutex_lock does it inlined. A release: see holder.c. */
#define owner_mark(by, at)                                                                         \
    do {                                                                                           \
        uintptr_t owner_sp_ = rn__stack_pointer();                                                 \
                                                                                                   \
        store_relaxed((by), load_relaxed(owner_word(owner_sp_)));                                  \
        store_release((at), owner_sp_);                                                            \
    } while (0)
static inline void owner_unmark(uint64_t *at)
{
    store_relaxed(at, 0);
}

/* g starts on its stack, with this tag. */
static inline void owner_born(struct g *g, uint32_t tag)
{
    uintptr_t top = (uintptr_t)g->stack_hi - 1;

    /* Not beyond its low end: that word is of another's top, whose part may begin below the stacks' border. */
    store_relaxed(&g->tag, tag);
    store_relaxed(owner_word(top), tag);
    if (g->stack_class >= 2)
        store_relaxed(owner_word(top - OWNER_PART), tag);
    if (g->stack_class >= 3) {
        store_relaxed(owner_word(top - (uintptr_t)2 * OWNER_PART), tag);
        store_relaxed(owner_word(top - (uintptr_t)3 * OWNER_PART), tag);
    }
}

enum owner {
    OWNER_UNKNOWN,
    OWNER_GOROUTINE, /* *ret_g, whose tag is by */
    OWNER_ENDED,     /* a goroutine that has ended */
    OWNER_THREAD     /* a thread of the program's */
};

/* Who made the mark by, at (not 0)? A look without a lock, at what may change; the caller holds rt. */
enum owner rn__owner_find(struct rt *rt, uint32_t by, uintptr_t at, struct g **ret_g);

#endif
