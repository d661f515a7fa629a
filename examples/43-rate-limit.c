/* SPDX-License-Identifier: MIT */
/*
 * Rate limit. A request waits for a tick, so requests are at least a period apart on average. To
 * allow short bursts, keep tokens in a buffered channel: a goroutine adds one a tick, up to the
 * capacity, and a request takes one.
 */
#include <runnel.h>
#include <stdio.h>

static void refill(rn_ctx *ctx, rn_send_only(rn_unit) tokens, rn_dur period)
{
    rn_ticker ticker = {0};
    rn_defer(rn_ticker_free, &ticker);

    rn_ticker_start(&ticker, period);
    while (rn_recv_ctx(ctx, rn_ticker_chan(&ticker), NULL) == 0)
        (void)rn_try_send(tokens, RN_UNIT); /* full: enough saved up */
}

static int program(void)
{
    enum { REQUESTS = 4, BURST = 3 };
    const rn_dur period = 2 * RN_MILLISECOND;
    rn_ticker ticker = {0};
    rn_time start = rn_now();

    rn_ticker_start(&ticker, period);
    for (int i = 1; i <= REQUESTS; i++) {
        (void)rn_recv(rn_ticker_chan(&ticker));
        printf("request %d\n", i);
    }
    printf("kept the rate: %s\n", rn_now() - start >= REQUESTS * period ? "yes" : "no");
    rn_ticker_free(&ticker);

    rn_chan(rn_unit) tokens = rn_chan_make(rn_unit, BURST);
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_wg wg = {0};
    for (int i = 0; i < BURST; i++)
        rn_send(tokens, RN_UNIT); /* a full purse to begin with */
    start = rn_now();
    rn_wg_go(&wg, refill, ctx, tokens, period);
    for (int i = 1; i <= REQUESTS + BURST; i++) {
        (void)rn_recv(tokens);
        if (i == BURST)
            puts("a burst at once");
    }
    printf("then kept the rate: %s\n", rn_now() - start >= REQUESTS * period ? "yes" : "no");
    rn_ctx_cancel(ctx);
    rn_wg_wait(&wg);
    rn_ctx_end(ctx);
    rn_chan_release(tokens);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
