/* SPDX-License-Identifier: MIT */
/*
 * sleep.c - now, and sleeping until later.
 *
 * A sleeper's timer lies on its stack. Under a context there are two that may wake it, the timer and the
 * context's end; a word that both swap decides which one does.
 */
#include <runnel/time.h>

#include "ctx/ctx.h"
#include "time/timer.h"

struct sleeper {
    struct timer timer;
    struct ctx_hook hook;
    struct g *g;
    uint32_t claimed; /* atomic: 0, then 1 by the one that wakes */
};

rn_time rn_now(void)
{
    return now_ns();
}

static void wake(struct sleeper *s)
{
    if (!swap_acq_rel(&s->claimed, 1))
        rn__ready(s->g);
}

static void timer_fire(struct timer *t, int64_t when)
{
    (void)when;
    wake(container_of(t, struct sleeper, timer));
}

static void hook_fire(struct ctx_hook *h)
{
    wake(container_of(h, struct sleeper, hook));
}

static bool sleep_unlink(void *wait)
{
    struct sleeper *s = wait;

    rn__timer_stop_sync(&s->timer);
    rn__ctx_hook_remove(&s->hook);
    return !swap_acq_rel(&s->claimed, 1);
}

int rn_sleep_ctx(rn_ctx *ctx, rn_dur d)
{
    struct sleeper s = {
        .timer.kind = TIMER_BORROWED, .timer.fire = timer_fire, .hook.fire = hook_fire};
    int64_t until = time_after(now_ns(), d);
    int err = rn_ctx_err(ctx);

    if (err)
        return err;
    if (d <= 0) {
        rn_yield();
        return 0;
    }
    s.g = rn__self();
    s.timer.stays = s.g->kind == G_THREAD;
    if (rn__timer_start(&s.timer, until) < 0)
        rn__panic("out of memory for a timer");
    if (!rn__ctx_hook_add(ctx, &s.hook) && rn_ctx_err(ctx) && !swap_acq_rel(&s.claimed, 1)) {
        rn__timer_stop_sync(&s.timer); /* ended since we looked, and nothing has woken us */
        return rn_ctx_err(ctx);
    }
    s.g->unlink_always = true; /* the hook has to go */
    rn__park(s.g, WAIT_SLEEP, NULL, sleep_unlink, &s);
    rn__ctx_hook_remove(&s.hook);
    rn__timer_stop_sync(&s.timer);
    return now_ns() >= until ? 0 : rn_ctx_err(ctx);
}

void rn_sleep(rn_dur d)
{
    (void)rn_sleep_ctx(NULL, d);
}
