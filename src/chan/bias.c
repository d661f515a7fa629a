/* SPDX-License-Identifier: MIT */
/* bias.c - giving a channel's bias, and taking it away. */
#include "chan/bias.h"

#include "arch/arch.h"
#include "base/tools.h"

enum { LONE = 16, MANY = 1024, TAKEN_MAX = 3 };

#ifdef RN_EXPLORE
uint32_t rn__chan_bias_after = UINT32_MAX;
#endif

/* By a processor's index: the channel that its holder goes by bias with. */
static struct busy {
    const struct chan *chan ALIGNED(CACHE_LINE);
} busy[PROCS_MAX];

static uint32_t bias_of(uint32_t index)
{
    return (index + 1) * CHAN_BIAS;
}

void rn__bias_begin(struct rt *rt, struct proc *p)
{
    p->busy = &busy[p->index].chan;
    p->bias = rt->fences || rn__tools ? BIAS_NONE : bias_of(p->index);
}

static bool is_at(uint32_t index, const struct chan *c)
{
    const struct chan *at = load_acquire(&busy[index].chan); /* B6, pairs with B1 and B3 */

    return at == c || at == BUSY_ALL;
}

COLD bool rn__chan_is_others(const struct chan *c)
{
    struct worker *w = arch_tls_address(rn__tls_worker);
    uint32_t bias = load_owned(&c->lock.word) & ~(uint32_t)SPIN_HELD;
    bool entered = rt_enter(w); /* who holds p now has held it at B4 */
    bool ours = w->proc && load_relaxed(&w->proc->bias) == bias;

    if (entered)
        rt_leave(w);
    return !ours;
}

COLD void rn__chan_take_away(struct chan *c)
{
    uint32_t index = load_owned(&c->lock.word) / CHAN_BIAS - 1;

    store_relaxed(&c->lock.word, SPIN_HELD); /* B5 */
    c->streak = 0;
    if (c->taken < TAKEN_MAX)
        c->taken++;
    for (unsigned n = 0; is_at(index, c); n++)
        rn__wait_shortly(n);
}

COLD void rn__chan_unbias(struct chan *c)
{
    if (!rn__chan_is_others(c))
        return;
    rn__fence_all();
    rn__chan_take_away(c);
}

/* Has c been p's for long enough? Its lock is held. */
static inline bool is_long(const struct chan *c, const struct proc *p)
{
#ifdef RN_EXPLORE
    (void)p;
    return c->streak >= rn__chan_bias_after;
#else
    int enough = c->taken == 0 && load_relaxed(&p->alone) ? LONE : MANY << 2 * c->taken;

    return c->streak >= (enough < UINT16_MAX ? enough : UINT16_MAX);
#endif
}

/* A timer's channel, or a context's, is sent to from wherever its time has come. */
static inline bool may_be(const struct chan *c, const struct proc *p)
{
    return !c->flags && load_relaxed(&c->refs) && load_relaxed(&p->bias) != BIAS_NONE;
}

/* For how many operations this one stands: see may_try in chan.c. */
static inline uint16_t weight(struct worker *w)
{
    if (w->chan_turn >= CHAN_STEP)
        return 1;
    w->chan_turn += CHAN_STEP; /* once */
    return 256 / CHAN_STEP;
}

NOINLINE void rn__chan_unlock_seen(struct chan *c)
{
    struct worker *w = arch_tls_address(rn__tls_worker);
    /* It may be taken meanwhile: then its next holder has the bias. */
    const struct proc *p = load_relaxed(&w->proc);
    uint32_t word = load_owned(&c->lock.word) & ~(uint32_t)SPIN_HELD;

    if (word == 0) {
        if (!p || c->user != p->index) {
            c->user = p ? (uint16_t)p->index : NOBODY;
            c->streak = 0;
        } else {
            unsigned streak = (unsigned)c->streak + weight(w);

            c->streak = streak < UINT16_MAX ? (uint16_t)streak : UINT16_MAX;
            if (is_long(c, p) && may_be(c, p))
                word = bias_of(p->index);
        }
    }
    store_release(&c->lock.word, word);
}

void rn__bias_end(struct rt *rt)
{
    for (uint32_t i = 0; i < rt->room; i++)
        store_relaxed(&rt->procs[i].bias, BIAS_NONE);
}

bool rn__bias_leave_behind(struct rt *rt, struct worker *w)
{
    or_acq_rel(&w->attention, ATTEND_LEFT); /* in place of M6, with M7: see monitor.c */
    rn__everybody_fences(rt);
    if (!(load_acquire(&w->entry) & 1))
        return true;
    and_acq_rel(&w->attention, ~(uint32_t)ATTEND_LEFT);
    return false;
}

void rn__bias_fork(void)
{
    for (uint32_t i = 0; i < PROCS_MAX; i++)
        if (busy[i].chan)
            busy[i].chan = NULL; /* its holder is not in this process */
}
