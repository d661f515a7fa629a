/* SPDX-License-Identifier: MIT */
/*
 * Contexts: timeout and deadline. A context that ends by itself, with -ETIMEDOUT, bounds everything
 * that is done on its behalf. Deadlines only shrink on the way down: a child never outlives its
 * parent. End such a context when the work is done, so that its timer goes at once.
 */
#include <errno.h>
#include <runnel.h>
#include <stdio.h>

/* Any wait has a form that takes a context: rn_send_ctx, rn_recv_ctx, rn_sleep_ctx, ... */
static int query(rn_ctx *ctx, rn_dur duration)
{
    return rn_sleep_ctx(ctx, duration); /* stands for the work */
}

static const char *outcome(int err)
{
    switch (err) {
    case 0:
        return "finished";
    case -ETIMEDOUT:
        return "timed out";
    case -ECANCELED:
        return "cancelled";
    default:
        return "?";
    }
}

static int query_within(rn_ctx *parent, rn_dur limit, rn_dur duration)
{
    rn_ctx *ctx = rn_ctx_with_timeout(parent, limit);
    rn_defer(rn_ctx_end, ctx);
    return query(ctx, duration);
}

static int program(void)
{
    rn_ctx *root = rn_ctx_background();

    printf("quick: %s\n", outcome(query_within(root, 30 * RN_SECOND, RN_MILLISECOND)));
    printf("slow: %s\n", outcome(query_within(root, 5 * RN_MILLISECOND, 30 * RN_SECOND)));

    /* A deadline is a point in time; of parent and child the earlier one counts. */
    rn_time soon = rn_now() + 5 * RN_MILLISECOND;
    rn_ctx *parent = rn_ctx_with_deadline(root, soon);
    rn_defer(rn_ctx_end, parent);
    rn_ctx *child = rn_ctx_with_timeout(parent, RN_HOUR);
    rn_defer(rn_ctx_end, child);
    rn_time deadline;
    if (rn_ctx_deadline(child, &deadline))
        printf("the parent's deadline counts: %s\n", deadline == soon ? "yes" : "no");
    printf("child: %s\n", outcome(query(child, 30 * RN_SECOND)));
    printf("not before the deadline: %s\n", rn_now() >= soon ? "yes" : "no");

    rn_ctx *past = rn_ctx_with_deadline(root, rn_now() - RN_SECOND);
    rn_defer(rn_ctx_end, past);
    printf("too late from the start: %s\n", outcome(rn_ctx_err(past)));
    printf("the background has a deadline: %s\n", rn_ctx_deadline(root, NULL) ? "yes" : "no");
    return 0;
}

int main(void)
{
    return rn_run(program);
}
