/* SPDX-License-Identifier: MIT */
/*
 * bias.h - a channel's lock, and how the processor that uses a channel alone goes without it.
 *
 * Most channels are used by goroutines of one processor for a long time: a pipeline on a server's core, a semaphore, all of
 * them where there is one processor. A locked instruction for each operation is then half of its time (20 cycles or more on
 * many CPUs). So a channel is biased towards a processor that has done many operations in a row: its operations are plain
 * loads and stores from then on, and whoever else comes takes the channel away from it first, which costs much (microseconds:
 * a fence in every thread of the process), and so must be rare. The technique is that of biased locks (Kawachiya, Koseki and
 * Onodera, OOPSLA 2002) with the system's asymmetric fence in place of the bias holder's (Dice, Huang and Yang, "Asymmetric
 * Dekker synchronization", 2001).
 *
 * The lock word is {bias, closed, held}. The bias is a processor's, or 0.
 *   the holder of processor p                    whoever else wants the channel
 *   M1, M2 an entry: p stays ours                B4 word |= HELD, by compare and exchange
 *   B1 p's busy = the channel                    B5 word = HELD: no bias
 *   -- compiler fence --                         -- a full fence in every thread: membarrier --
 *   B2 if the word is not p's bias: B3, lock     B6 while p's busy is the channel: wait
 *   ... the operation                            ... the operation
 *   B3 busy = NULL                               the word without HELD
 *   M5 the entry ends
 * Invariants
 *   B-1 An operation by bias and one by lock exclude each other. Of B1 and B4 one is first for both: if B1 came before the
 *       fence, B6 sees it; if not, B2 comes after the fence and sees HELD.
 *   B-2 By bias goes only who holds p, inside an entry, so one at a time; what one holder did the next one sees, since p was
 *       handed over.
 *   B-3 Nothing waits between B1 and B3, so B6 waits for somebody who is on his way; but for the kernel, where the memory that
 *       an element comes from or goes to is not there yet.
 *   B-4 Nothing of the channel is touched after B3, as after the store that unlocks (decision 6). busy is not the
 *       channel's, nor the runtime's: a channel outlives both its operation and, maybe, the runtime.
 *   B-5 Once a runtime has ended none of its processors goes by bias any more, though one who was left behind may hold one
 *       yet (rn__bias_leave_behind). The next runtime's processor of that index has the bias then.
 * p's holder, too, takes the lock for what is rare or needs several channels at once. It holds p at B4, so nobody else goes
 * by this bias; the bias stays. A closed channel has none.
 *
 * When is a channel biased? Whose it is is looked at now and then, under the lock: at one in fifteen operations of those that are
 * quick, and at those that are slow anyway. If it was the same processor's each time it is that one's after LONE operations or so
 * where there is but one, otherwise after MANY, and after four times as many each time that the bias was taken away, up to
 * UINT16_MAX, so that what the taking costs was about saved before.
 *
 * Where the kernel refuses membarrier, or a tool looks on, no channel is biased. In a child process the channels of the parent's
 * goroutines may be in any state, as their locks may be held.
 */
#ifndef RN_SRC_BIAS_H
#define RN_SRC_BIAS_H

#include "chan/chan.h"
#include "sched/rt.h"

/* What a quick operation by lock adds to its thread's chan_turn: when that overflows, whose channel it is is looked at. Odd, so
 * that of several channels that are used in turn each has its turn. */
#ifdef RN_EXPLORE
enum { CHAN_STEP = 128 };
extern uint32_t rn__chan_bias_after;
#else
enum { CHAN_STEP = 17 };
#endif
/* c's lock is held, its word has a bias. Afterwards it is the caller's processor's, or not there any more. */
void rn__chan_unbias(struct chan *c);
/* The same for several at a time: is it another processor's? Then, after a fence in all threads, it is taken away. */
bool rn__chan_is_others(const struct chan *c);
void rn__chan_take_away(struct chan *c);
/* Unlock c, and see whose it is. */
void rn__chan_unlock_seen(struct chan *c);
/* In busy: all channels that are the processor's. */
#define BUSY_ALL ((const struct chan *)(uintptr_t)1)

/* Is c biased, for anybody? A glance. */
static inline bool chan_is_biased(const struct chan *c)
{
    return load_relaxed(&c->lock.word) >= CHAN_BIAS;
}

/* True: c is the caller's until bias_leave, in which it must not wait. What is kept of it, in registers. */
struct stay {
    struct worker *w;
    const struct chan **busy;
    uint32_t entry, bias;
};
static ALWAYS_INLINE bool bias_enter_first(const struct chan *what, struct stay *ret_stay)
{
    struct worker *w = arch_tls_address(rn__tls_worker);
    const struct proc *p;

    if (unlikely(!rt_enter_unless(w, UINT32_MAX, &ret_stay->entry))) /* M1, M2 */
        return false;
    p = w->proc;
    if (unlikely(!p)) {
        rt_leave(w);
        return false;
    }
    ret_stay->w = w;
    ret_stay->busy = p->busy;
    /* B1; releases what was done to another channel, for B6. */
    store_release(ret_stay->busy, what);
    fence_compiler(); /* with rn__chan_unbias's fence in all threads */
    ret_stay->bias = load_relaxed(&p->bias);
    return true;
}
static ALWAYS_INLINE bool bias_is(const struct stay *s, const struct chan *c)
{
    return load_acquire(&c->lock.word) == s->bias; /* B2 */
}
static ALWAYS_INLINE void bias_leave_kept(const struct stay *s)
{
    store_release(s->busy, NULL);              /* B3, pairs with B6 */
    store_release(&s->w->entry, s->entry + 2); /* M5 */
}
static ALWAYS_INLINE bool bias_enter_keeping(struct chan *c, struct stay *ret_stay)
{
    if (unlikely(!bias_enter_first(c, ret_stay)))
        return false;
    if (likely(bias_is(ret_stay, c)))
        return true;
    bias_leave_kept(ret_stay);
    return false;
}

/* The same with nothing kept. */
static ALWAYS_INLINE bool bias_enter(struct chan *c)
{
    struct stay s;

    return bias_enter_keeping(c, &s);
}
static ALWAYS_INLINE void bias_leave(void)
{
    struct worker *w = arch_tls_address(rn__tls_worker);

    bias_leave_kept(&(struct stay){w, w->proc->busy, load_owned(&w->entry) - 1, 0});
}

/* c's lock, whatever the bias. */
static ALWAYS_INLINE void chan_lock(struct chan *c)
{
    spin_lock(&c->lock); /* B4 */
    if (unlikely(chan_is_biased(c)))
        rn__chan_unbias(c);
}

/* Have c: true by bias, false by its lock. */
static ALWAYS_INLINE bool chan_have(struct chan *c)
{
    if (chan_is_biased(c) && likely(bias_enter(c)))
        return true;
    chan_lock(c);
    return false;
}
static ALWAYS_INLINE void chan_let_go(struct chan *c, bool by_bias)
{
    if (by_bias)
        bias_leave();
    else
        rn__chan_unlock_seen(c);
}

#endif
