/* SPDX-License-Identifier: MIT */
/*
 * lost-cancel-fixed.c - the cure of lost-cancel.c.
 *
 * rn_ctx_end in a defer, right where the context is made.
 */
#include <runnel.h>

static void watch(rn_ctx *ctx)
{
    (void)rn_recv_ok(rn_ctx_done(ctx), NULL);
    rn_ctx_release(ctx);
}

static void request(void)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());

    rn_defer(rn_ctx_end, ctx);
    rn_go(watch, rn_ctx_retain(ctx));
}

static int program(void)
{
    request();
    return 0;
}

int main(void)
{
    return rn_run(program);
}
