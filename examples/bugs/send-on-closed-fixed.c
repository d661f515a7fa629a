/* SPDX-License-Identifier: MIT */
/*
 * send-on-closed-fixed.c - the cure of send-on-closed.c.
 *
 * The receiver cancels a context; the sender looks at it, and closes.
 */
#include <runnel.h>

static void produce(rn_ctx *ctx, rn_chan(int) ch)
{
    for (int i = 0; i < 3; i++) {
        if (rn_send_ctx(ctx, ch, i) < 0)
            break;
    }
    rn_close(ch);
}

static int program(void)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_chan(int) ch = rn_chan_make(int, 0);
    rn_wg wg = {0};

    rn_wg_go(&wg, produce, ctx, ch);
    (void)rn_recv(ch);
    rn_ctx_cancel(ctx);
    rn_wg_wait(&wg);
    rn_ctx_end(ctx);
    rn_chan_release(ch);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
