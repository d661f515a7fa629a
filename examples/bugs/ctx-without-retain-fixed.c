/* SPDX-License-Identifier: MIT */
/*
 * ctx-without-retain-fixed.c - the cure of ctx-without-retain.c.
 *
 * The goroutine has a reference of its own, and gives it up itself.
 */
#include <runnel.h>

static void work(rn_ctx *ctx, rn_chan(int) go_on, rn_wg *wg)
{
    (void)rn_recv(go_on);
    while (!rn_ctx_err(ctx))
        rn_yield();
    rn_ctx_release(ctx);
    rn_wg_done(wg);
}

static int program(void)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_chan(int) go_on = rn_chan_make(int, 0);
    rn_wg wg = {0};

    rn_wg_add(&wg, 1);
    rn_go(work, rn_ctx_retain(ctx), go_on, &wg);
    rn_ctx_end(ctx);
    rn_send(go_on, 1);
    rn_wg_wait(&wg);
    rn_chan_release(go_on);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
