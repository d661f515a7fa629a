/* SPDX-License-Identifier: MIT */
/*
 * Tickers. A ticker delivers the time again and again, one period apart. At most one tick waits: a
 * receiver that is slow loses the others, but the phase stays, so ticks never drift. Stopping a
 * ticker does not close its channel; end the loop by a context or a channel of your own.
 */
#include <runnel.h>
#include <stdio.h>

static void sample(rn_ctx *ctx, rn_dur period, rn_send_only(int) out)
{
    rn_ticker ticker = {0};
    rn_defer(rn_ticker_free, &ticker);                     /* stops it first */
    rn_recv_only(rn_time) ticks = rn_ticker_chan(&ticker); /* the ticker's own; not released */

    rn_ticker_start(&ticker, period);
    for (int n = 1;; n++) {
        switch (rn_select_named(TICK, rn_on_recv(ticks, NULL), DONE, rn_on_done(ctx))) {
        case TICK:
            if (rn_send_ctx(ctx, out, n) < 0)
                return;
            break;
        case DONE:
            return;
        }
    }
}

static int program(void)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_chan(int) samples = rn_chan_make(int, 0);
    rn_time start = rn_now();
    rn_wg wg = {0};

    rn_wg_go(&wg, sample, ctx, RN_MILLISECOND, samples);
    for (int i = 0; i < 5; i++)
        printf("sample %d\n", rn_recv(samples));
    printf("not early: %s\n", rn_now() >= start + 5 * RN_MILLISECOND ? "yes" : "no");
    rn_ctx_cancel(ctx);
    rn_wg_wait(&wg);

    rn_ticker ticker = {0};
    rn_ticker_start(&ticker, RN_MILLISECOND);
    rn_sleep(5 * RN_MILLISECOND); /* several ticks were due; one is kept */
    (void)rn_recv(rn_ticker_chan(&ticker));
    rn_ticker_stop(&ticker);
    printf("a tick after the stop: %d\n", rn_try_recv(rn_ticker_chan(&ticker), NULL));
    rn_ticker_free(&ticker);

    rn_chan_release(samples);
    rn_ctx_end(ctx);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
