/* SPDX-License-Identifier: MIT */
/* owner.c - who has locked it: see owner.h. */
#include "sched/owner.h"

#include "sched/rt.h"

uint32_t rn__owner_table[OWNER_WORDS];
const uint32_t *const rn__on_stacks = rn__owner_table;

enum owner rn__owner_find(struct rt *rt, uint32_t by, uintptr_t at, struct g **ret_g)
{
    for (const struct arena *a = load_acquire(&rt->arenas); a; a = a->next) {
        uintptr_t offset = at - (uintptr_t)a->base;
        uint32_t i = (uint32_t)(offset / a->stride);
        uint32_t tag;
        uint8_t status;
        struct g *g;

        if (offset >= a->count * a->stride)
            continue;
        if (i >= load_acquire(&a->carved))
            return OWNER_UNKNOWN;
        g = rn__arena_g(a, i);
        tag = load_relaxed(&g->tag);
        status = load_relaxed(&g->status);
        if (status == G_FREE || status == G_DEAD)
            return OWNER_ENDED;
        if (tag != by)
            return load_relaxed(owner_word(at)) == tag ? OWNER_ENDED : OWNER_UNKNOWN;
        *ret_g = g;
        return OWNER_GOROUTINE;
    }
    /* Of no stack that this runtime has. Those of an earlier one are gone. */
    return rt->number == 1 ? OWNER_THREAD : OWNER_UNKNOWN;
}
