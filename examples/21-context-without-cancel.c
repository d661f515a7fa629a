/* SPDX-License-Identifier: MIT */
/*
 * Contexts: without cancel. Some work must be finished although the request it belongs to is over:
 * a log entry, a roll-back, a reply that was promised. rn_ctx_without_cancel keeps the values of
 * its parent and drops its cancellation and deadline. Give it a limit of its own.
 */
#include <runnel.h>
#include <stdio.h>

static char order_key;

static int write_journal(rn_ctx *ctx, char *entry, size_t size)
{
    int err = rn_sleep_ctx(ctx, RN_MILLISECOND); /* stands for a slow disk */

    if (err < 0)
        return err;
    snprintf(entry, size, "order %s was given up", (const char *)rn_ctx_value(ctx, &order_key));
    return 0;
}

static void handle_order(rn_ctx *ctx)
{
    char entry[64];

    if (write_journal(ctx, entry, sizeof entry) < 0)
        puts("the order's own context is over");

    rn_ctx *detached = rn_ctx_without_cancel(ctx);
    rn_defer(rn_ctx_end, detached);
    rn_ctx *limited = rn_ctx_with_timeout(detached, 30 * RN_SECOND);
    rn_defer(rn_ctx_end, limited);
    if (write_journal(limited, entry, sizeof entry) == 0)
        puts(entry);
}

static int program(void)
{
    rn_ctx *request = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx *order = rn_ctx_with_value(request, &order_key, "4711");
    rn_wg wg = {0};

    rn_ctx_cancel(request); /* the customer has left */
    rn_wg_go(&wg, handle_order, order);
    rn_wg_wait(&wg);

    rn_ctx_end(order);
    rn_ctx_end(request);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
