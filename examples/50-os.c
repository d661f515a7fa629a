/* SPDX-License-Identifier: MIT */
/*
 * Files, child processes and signals. A file is written so that a reader never sees half of it, and
 * read under a context. A child process runs under a context too: when that ends, the child is
 * asked to go, then killed, with all its own children, and is gone when the call returns. Signals
 * come as values of a channel, beside whatever else a goroutine selects on.
 */
#define _POSIX_C_SOURCE 200809L /* kill */
#include <errno.h>
#include <runnel.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int files(rn_ctx *ctx)
{
    char path[64], *text;
    size_t size;
    int err;

    snprintf(path, sizeof path, "/tmp/runnel-example-%d", (int)getpid());
    err = rn_file_replace(ctx, path, "one line\n", 9, 0600);
    if (!err)
        err = rn_file_load(ctx, path, 1 << 20, &text, &size); /* at most a MiB of it */
    if (err)
        return err;
    printf("read %zu bytes: %s", size, text);
    free(text);
    if (remove(path) != 0)
        return -EIO;
    err = rn_file_load(ctx, path, 0, &text, &size);
    printf("once more: %s\n", err == -ENOENT ? "ENOENT" : "?");
    return 0;
}

static int children(rn_ctx *ctx)
{
    rn_ctx *soon = rn_ctx_with_timeout(ctx, 50 * RN_MILLISECOND);
    char *text;
    int status = rn_exec_output(ctx, &text, NULL, "echo", "from a child");

    if (status < 0)
        return status;
    printf("status %d, output: %s", status, text);
    free(text);

    status = rn_exec(soon, "sleep", "1000");
    printf("sleep: %s\n", status == -ETIMEDOUT ? "ETIMEDOUT" : "?");
    rn_ctx_end(soon);

    status = rn_exec(ctx, "no-such-program"); /* an error, not an exit status */
    printf("no-such-program: %s\n", status == -ENOENT ? "ENOENT" : "?");

    rn_exec_result r; /* the long form: input from memory, errors beside the output */
    rn_exec_options o = {.argv = (const char *const[]){"tr", "a-z", "A-Z", NULL},
                         .in = RN_STDIO_DATA("input\n", 6),
                         .out = RN_STDIO_KEEP(100),
                         .err = RN_STDIO_OUTPUT};

    status = rn_exec_with(ctx, &o, &r);
    if (status)
        return status;
    printf("tr: %s", r.out);
    rn_exec_free(&r);
    return 0;
}

static int signals(rn_ctx *ctx)
{
    rn_chan(int) hangups = rn_chan_make(int, 1); /* with room: a signal waits for nobody */
    int err = rn_signal_notify(hangups, SIGHUP, SIGUSR1), sig = 0;

    if (!err && kill(getpid(), SIGHUP) != 0) /* stands for the administrator */
        err = -errno;
    if (!err)
        err = rn_recv_ctx(ctx, hangups, &sig);
    if (!err)
        printf("%s: read the configuration anew\n", sig == SIGHUP ? "SIGHUP" : "?");
    rn_signal_stop(hangups); /* SIGHUP does again what it did before */
    rn_chan_release(hangups);
    return err;
}

static int program(void)
{
    rn_ctx *ctx = rn_ctx_with_timeout(rn_ctx_background(), RN_MINUTE);
    int err = files(ctx);

    if (!err)
        err = children(ctx);
    if (!err)
        err = signals(ctx);
    rn_ctx_end(ctx);
    if (err)
        printf("failed: %s\n", rn_errmsg(err));
    return err != 0;
}

int main(void)
{
    return rn_run(program);
}
