/* SPDX-License-Identifier: MIT */
/*
 * Contexts: after-functions. rn_ctx_after_func runs a function, in a goroutine of its own, once a
 * context is done. That is how something that knows nothing of contexts is brought to an end: here
 * a read that would otherwise wait for ever.
 */
#include <runnel.h>
#include <stdio.h>
#include <unistd.h>

static void hang_up(int fd)
{
    close(fd); /* the reader at the other end of the pipe sees the end of file */
}

static int read_until_done(rn_ctx *ctx, int in, int out)
{
    rn_ctx_hook hook = {0};
    char buffer[64];
    ssize_t n, total = 0;

    rn_ctx_after_func(&hook, ctx, hang_up, out);
    while ((n = rn_sys(read(in, buffer, sizeof buffer))) > 0)
        total += n;

    /* Take the function back. True: it never ran, and never will. False: it ran, and has returned.
     * Either way the hook may leave scope now. */
    printf("prevented: %s\n", rn_ctx_hook_stop(&hook) ? "yes" : "no");
    return (int)total;
}

static void cancel_soon(rn_ctx *ctx)
{
    rn_sleep(2 * RN_MILLISECOND);
    rn_ctx_cancel(ctx);
}

static int program(void)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx_hook hook = {0};
    rn_wg wg = {0};
    int fds[2];

    if (pipe(fds) != 0)
        return 1;
    if (rn_sys(write(fds[1], "hello", 5)) != 5)
        return 1;
    rn_wg_go(&wg, cancel_soon, ctx);
    printf("read %d bytes\n", read_until_done(ctx, fds[0], fds[1]));
    rn_wg_wait(&wg);
    close(fds[0]);
    rn_ctx_end(ctx);

    ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx_after_func(&hook, ctx, hang_up, -1);
    printf("prevented: %s\n", rn_ctx_hook_stop(&hook) ? "yes" : "no");
    rn_ctx_end(ctx);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
