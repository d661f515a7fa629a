/* SPDX-License-Identifier: MIT */
/*
 * Pipeline with cancellation. Each stage is a goroutine that reads one channel and writes the next,
 * and closes its output when it ends: the end travels forward. When the last reader stops early,
 * the stages before it would wait for ever in their sends; so each send also watches a context,
 * and cancelling it ends them all: the stop travels backward.
 */
#include <runnel.h>
#include <stdio.h>

static void generate(rn_ctx *ctx, rn_send_only(int) out)
{
    rn_defer(rn_close, out);
    for (int i = 1; rn_send_ctx(ctx, out, i) == 0; i++) /* endless, but for the context */
        ;
}

static void square(rn_ctx *ctx, rn_recv_only(int) in, rn_send_only(int) out)
{
    rn_defer(rn_close, out);
    rn_range (n, in)
        if (rn_send_ctx(ctx, out, n * n) < 0)
            return;
}

static void keep_odd(rn_ctx *ctx, rn_recv_only(int) in, rn_send_only(int) out)
{
    rn_defer(rn_close, out);
    rn_range (n, in)
        if (n % 2 != 0 && rn_send_ctx(ctx, out, n) < 0)
            return;
}

static int program(void)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_chan(int) numbers = rn_chan_make(int, 0);
    rn_chan(int) squares = rn_chan_make(int, 0);
    rn_chan(int) odd = rn_chan_make(int, 0);
    rn_wg stages = {0};

    rn_wg_go(&stages, generate, ctx, numbers);
    rn_wg_go(&stages, square, ctx, numbers, squares);
    rn_wg_go(&stages, keep_odd, ctx, squares, odd);

    rn_range (n, odd) {
        printf("%d\n", n); /* in order: one goroutine a stage */
        if (n > 40)
            break; /* seen enough */
    }

    rn_ctx_cancel(ctx);
    rn_wg_wait(&stages); /* every stage has ended; nothing leaks */
    puts("all stages ended");
    rn_chan_release(odd);
    rn_chan_release(squares);
    rn_chan_release(numbers);
    rn_ctx_end(ctx);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
