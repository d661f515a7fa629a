/* SPDX-License-Identifier: MIT */
/*
 * The prime sieve: a pipeline that grows while it runs. Each prime found becomes a filter, a
 * goroutine that passes on what its prime does not divide. What comes out at the end next is prime.
 * Goroutines and channels are cheap enough to have one for each number.
 */
#include <runnel.h>
#include <stdio.h>

enum { PRIMES = 30 };

static void generate(rn_ctx *ctx, rn_send_only(int) out)
{
    for (int i = 2; rn_send_ctx(ctx, out, i) == 0; i++)
        ;
}

static void filter(rn_ctx *ctx, rn_recv_only(int) in, rn_send_only(int) out, int prime)
{
    int n;

    while (rn_recv_ctx(ctx, in, &n) == 0)
        if (n % prime != 0 && rn_send_ctx(ctx, out, n) < 0)
            return;
}

static int program(void)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_chan(int) stages[PRIMES + 1];
    rn_wg wg = {0};

    stages[0] = rn_chan_make(int, 0);
    rn_wg_go(&wg, generate, ctx, stages[0]);
    for (int i = 0; i < PRIMES; i++) {
        int prime = rn_recv(stages[i]);

        printf("%d%c", prime, (i + 1) % 10 == 0 ? '\n' : ' ');
        stages[i + 1] = rn_chan_make(int, 0);
        rn_wg_go(&wg, filter, ctx, stages[i], stages[i + 1], prime);
    }

    rn_ctx_cancel(ctx); /* the numbers never end; the filters do */
    rn_wg_wait(&wg);
    for (int i = 0; i <= PRIMES; i++)
        rn_chan_release(stages[i]);
    rn_ctx_end(ctx);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
