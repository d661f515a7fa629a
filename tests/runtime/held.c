/* SPDX-License-Identifier: MIT */
/* held.c - a look inside the runtime. With the library's own headers: its language, its warnings. */
#include "held.h"

#include "sched/rt.h"

#include <stdio.h>
#include <stdlib.h>

int procs_held(void)
{
    struct rt *rt = load_acquire(&rn__rt);
    int held = 0;

    spin_lock(&rt->lock); /* a processor passes from one to the next only with it */
    for (struct worker_slot *a = rt->slots; a; a = a->next) {
        struct proc *p = a->worker ? __atomic_load_n(&a->worker->proc, __ATOMIC_ACQUIRE) : NULL;
        const char *wrong = NULL;

        if (!p)
            continue;
        held++;
        if (p->idle)
            wrong = "an idle processor is held";
        for (struct worker_slot *b = rt->slots; b != a; b = b->next)
            if (b->worker && __atomic_load_n(&b->worker->proc, __ATOMIC_ACQUIRE) == p)
                wrong = "a processor is held twice";
        if (wrong) {
            fprintf(stderr, "held.c: %s\n", wrong);
            abort();
        }
    }
    spin_unlock(&rt->lock);
    return held;
}

bool proc_is_mine(void)
{
    return worker_self()->proc != NULL;
}

bool yield_is_due(void)
{
    return load_relaxed(&worker_self()->attention) & ATTEND_YIELD;
}

void entry_and_back(void)
{
    struct worker *w = worker_self();

    rt_enter(w);
    rt_leave(w);
}

bool entries_nest(void)
{
    struct worker *w = worker_self();
    uint32_t before = load_owned(&w->entry), inside;
    bool outer = rt_enter(w), inner = rt_enter(w);

    if (inner) /* as every entry of the library's: who did not enter does not leave */
        rt_leave(w);
    inside = load_owned(&w->entry);
    if (outer)
        rt_leave(w);
    return outer && !inner && (before & 1) == 0 && inside == before + 1 &&
           load_owned(&w->entry) == before + 2;
}
