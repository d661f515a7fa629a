/* SPDX-License-Identifier: MIT */
/*
 * lost-cancel.c - a context is made, and its cancel is forgotten.
 *
 * Whoever waits for the context waits until the parent ends, here for ever. Go vet warns about
 * this one.
 *
 * RUNNEL_LEAKS=1 reports the goroutine that waits for the context, and where the context was made that nobody can end.
 */
#include <runnel.h>

static void watch(rn_ctx *ctx)
{
    (void)rn_recv_ok(rn_ctx_done(ctx), NULL); /* BLAMED */
}

static void request(void)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background()); /* BLAMED */

    rn_go(watch, ctx);
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
