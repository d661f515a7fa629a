/* SPDX-License-Identifier: MIT */
/*
 * Contexts: cause. rn_ctx_err says that a context ended: -ECANCELED or -ETIMEDOUT. rn_ctx_cause
 * says why, if whoever ended it gave a reason: an error code, with the message that belongs to it,
 * also in other goroutines. The first to end a context fixes both for ever.
 */
#include <errno.h>
#include <runnel.h>
#include <stdio.h>

static void parse(rn_ctx *ctx, int line)
{
    /* rn_errorf attaches a message to a code, and returns the code. */
    rn_ctx_cancel_cause(ctx, rn_errorf(-EPROTO, "bad header in line %d", line));
}

static void report(rn_ctx *ctx, char *text, size_t size)
{
    (void)rn_recv(rn_ctx_done(ctx)); /* the channel that is closed when ctx is done */
    snprintf(text, size, "%s, because: %s",
             rn_ctx_err(ctx) == -ECANCELED ? "cancelled" : "timed out",
             rn_errmsg(rn_ctx_cause(ctx)));
}

static int program(void)
{
    char text[128];
    rn_ctx *ctx = rn_ctx_with_cancel_cause(rn_ctx_background());
    rn_defer(rn_ctx_end, ctx);
    rn_ctx *child = rn_ctx_with_cancel(ctx);
    rn_defer(rn_ctx_end, child);
    rn_wg wg = {0};

    rn_wg_go(&wg, report, child, &text[0], sizeof text);
    rn_wg_go(&wg, parse, ctx, 7);
    rn_wg_wait(&wg);
    puts(text);

    rn_ctx_cancel_cause(ctx, -EIO); /* too late */
    printf("still the first: %s\n", rn_ctx_cause(ctx) == -EPROTO ? "yes" : "no");

    /* For a timeout the cause is given beforehand. */
    rn_ctx *brief = rn_ctx_with_timeout_cause(rn_ctx_background(), RN_MILLISECOND,
                                              rn_errorf(-EHOSTDOWN, "the printer is asleep"));
    rn_defer(rn_ctx_end, brief);
    report(brief, text, sizeof text);
    puts(text);

    /* Without a cause, the cause is the error. */
    rn_ctx *plain = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx_cancel(plain);
    printf("no cause: %s\n", rn_errmsg(rn_ctx_cause(plain)));
    rn_ctx_end(plain);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
