/* SPDX-License-Identifier: MIT */
/*
 * Contexts: signals. rn_ctx_with_signals gives a context that the first of some signals cancels, so
 * that a service can stop in good order: the workers see the context done, finish what they have,
 * and main returns. While such a context is alive the signals do not kill the process.
 */
#define _POSIX_C_SOURCE 200809L /* kill */
#include <errno.h>
#include <runnel.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static void serve(rn_ctx *ctx, rn_send_only(rn_unit) ready)
{
    rn_send(ready, RN_UNIT);
    (void)rn_recv(rn_ctx_done(ctx)); /* a real service would select on this and on its work */
}

static int program(void)
{
    rn_ctx *ctx = rn_ctx_with_signals(rn_ctx_background(), SIGINT, SIGTERM);
    rn_chan(rn_unit) ready = rn_chan_make(rn_unit, 0);
    rn_wg services = {0};

    for (int i = 0; i < 3; i++)
        rn_wg_go(&services, serve, ctx, ready);
    for (int i = 0; i < 3; i++)
        (void)rn_recv(ready);
    puts("serving");

    if (kill(getpid(), SIGTERM) != 0) /* stands for the administrator */
        return 1;
    rn_wg_wait(&services);
    puts("all services ended");
    printf("error: %s\n", rn_ctx_err(ctx) == -ECANCELED ? "ECANCELED" : "?");
    printf("cause: %s\n", rn_ctx_cause(ctx) == -EINTR ? "EINTR" : "?"); /* its message names it */

    rn_chan_release(ready);
    rn_ctx_end(ctx); /* from now on the signals do what they did before */
    return 0;
}

int main(void)
{
    return rn_run(program);
}
