/* SPDX-License-Identifier: MIT */
/*
 * Error group. Goroutines that work on one task and may fail: rn_group_wait waits for all of them
 * and returns the first error, with its message. A group with a context cancels it at the first
 * error, so that the others stop early. Results go to distinct slots, which need no lock: they may
 * be read after the wait.
 */
#include <errno.h>
#include <runnel.h>
#include <stdio.h>

/* 0 or more is success; an error is a negative errno value, with a message if you like. */
static int fetch(rn_ctx *ctx, int page, int *size)
{
    if (page == 13)
        return rn_errorf(-ENOENT, "page %d does not exist", page);
    if (page < 0)
        return rn_sleep_ctx(ctx, 30 * RN_SECOND); /* a slow one, which heeds the cancellation */
    *size = 100 + page;
    return 0;
}

static int fetch_all(rn_ctx *parent, const int *pages, int *sizes, size_t n)
{
    rn_group group = {0};
    rn_ctx *ctx = rn_group_with_ctx(&group, parent); /* rn_group_wait releases it */

    for (size_t i = 0; i < n; i++)
        rn_group_go(&group, fetch, ctx, pages[i], &sizes[i]);
    return rn_group_wait(&group);
}

static int program(void)
{
    static const int good[] = {1, 2, 3}, bad[] = {1, -1, 13, -1};
    int sizes[4], err;

    err = fetch_all(rn_ctx_background(), good, sizes, 3);
    printf("good: %d; sizes %d %d %d\n", err, sizes[0], sizes[1], sizes[2]);

    /* The two slow ones fail as well, because of the cancellation; but the first error counts. */
    err = fetch_all(rn_ctx_background(), bad, sizes, 4);
    printf("bad: %s: %s\n", err == -ENOENT ? "ENOENT" : "?", rn_errmsg(err));

    rn_ctx *ended = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx_cancel(ended);
    err = fetch_all(ended, &bad[1], sizes, 1);
    printf("cancelled from outside: %s\n", rn_errmsg(err));
    rn_ctx_end(ended);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
