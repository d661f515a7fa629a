/* SPDX-License-Identifier: MIT */
/*
 * Contexts: cancel. A context tells a tree of goroutines that their work is not wanted any more.
 * It is passed as the first argument, and whoever waits watches it too. Cancelling a context
 * cancels those derived from it, never its parent. It does not interrupt anybody: each goroutine
 * stops at its next look.
 */
#include <errno.h>
#include <runnel.h>
#include <stdio.h>

static void worker(rn_ctx *ctx, rn_recv_only(int) work, int *sum)
{
    int item;

    for (;;) {
        switch (rn_select_named(DONE, rn_on_done(ctx), WORK, rn_on_recv(work, &item))) {
        case DONE:
            return;
        case WORK:
            *sum += item;
            break;
        }
    }
}

/* Code that computes looks by itself now and then; that costs a few nanoseconds. */
static void spin(rn_ctx *ctx, int *error)
{
    while (rn_ctx_err(ctx) == 0)
        rn_yield();
    *error = rn_ctx_err(ctx);
}

static int program(void)
{
    rn_ctx *service = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx *request = rn_ctx_with_cancel(service);
    rn_chan(int) work = rn_chan_make(int, 0);
    int sums[2] = {0}, error = 0;
    rn_wg workers = {0}, spinner = {0};

    rn_wg_go(&workers, worker, request, work, &sums[0]);
    rn_wg_go(&workers, worker, request, work, &sums[1]);
    rn_wg_go(&spinner, spin, service, &error);

    for (int i = 1; i <= 10; i++)
        rn_send(work, i);
    rn_ctx_cancel(request);
    rn_wg_wait(&workers);
    printf("done so far: %d\n", sums[0] + sums[1]);
    printf("the parent goes on: %s\n", rn_ctx_err(service) == 0 ? "yes" : "no");

    /* rn_ctx_end is the creator's: cancel, and give up the reference. */
    rn_ctx *late = rn_ctx_with_cancel(service);
    rn_ctx_cancel(service);
    printf("the child ends with it: %s\n", rn_ctx_err(late) == -ECANCELED ? "yes" : "no");
    rn_wg_wait(&spinner);
    printf("the spinner saw: %s\n", rn_errmsg(error));

    rn_ctx_end(late);
    rn_ctx_end(request);
    rn_ctx_end(service);
    rn_chan_release(work);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
