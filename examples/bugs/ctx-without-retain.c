/* SPDX-License-Identifier: MIT */
/*
 * ctx-without-retain.c - a goroutine goes on with a context whose only reference was given up.
 *
 * rn_ctx_end cancels the context and gives up the creator's reference; with the last one it is freed. The goroutine, which
 * has none of its own, asks it afterwards.
 *
 * AddressSanitizer reports the use, and where the context was made and ended.
 */
#include <runnel.h>

static void work(rn_ctx *ctx, rn_chan(int) go_on, rn_wg *wg)
{
    (void)rn_recv(go_on);
    while (!rn_ctx_err(ctx)) /* BLAMED */
        rn_yield();
    rn_wg_done(wg);
}

static int program(void)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_chan(int) go_on = rn_chan_make(int, 0);
    rn_wg wg = {0};

    rn_wg_add(&wg, 1);
    rn_go(work, ctx, go_on, &wg);
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
