/* SPDX-License-Identifier: MIT */
/*
 * output.c - standard output.
 *
 * To a pipe or a terminal we write only when poll() sees room, and then PIPE_BUF bytes at most, for
 * which there is room then; so write() never waits, and the wait for room looks at the context.
 */
#include "output.h"

#include <limits.h>
#include <poll.h>
#include <runnel/errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { POLL_MS = 10 };
static const rn_dur PATIENCE = 40 * RN_MILLISECOND; /* with a reader, once we are to stop */

void output_init(struct output *o, struct progress *progress)
{
    struct stat st;

    *o = (struct output){.progress = progress};
    o->is_file = fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode);
    o->is_terminal = isatty(STDOUT_FILENO) == 1;
}

/* Wait until a write to standard output would not wait, or would fail. */
static int wait_for_room(rn_ctx *ctx)
{
    rn_time give_up_at = 0;

    for (;;) {
        struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
        int ready = rn_sys(poll(&out, 1, POLL_MS));

        if (ready > 0)
            return 0;
        if (ready < 0 && ready != -EINTR)
            return ready;
        if (rn_ctx_err(ctx) == 0)
            continue;
        if (give_up_at == 0)
            give_up_at = rn_now() + PATIENCE;
        else if (rn_now() >= give_up_at)
            return rn_ctx_err(ctx);
    }
}

static int write_all(struct output *o, rn_ctx *ctx)
{
    size_t done = 0;
    int err = 0;

    while (err == 0 && done < o->text.used) {
        size_t chunk = o->text.used - done;
        ssize_t n;

        if (!o->is_file) {
            err = wait_for_room(ctx);
            if (err < 0)
                break;
            chunk = chunk < PIPE_BUF ? chunk : PIPE_BUF;
        }
        n = write(STDOUT_FILENO, o->text.at + done, chunk);
        if (n >= 0)
            done += (size_t)n;
        else if (errno != EINTR && errno != EAGAIN)
            err = -errno;
    }
    memmove(o->text.at, o->text.at + done, o->text.used - done);
    o->text.used -= done;
    return err;
}

int output_flush(struct output *o, rn_ctx *ctx)
{
    int err;

    if (o->text.lost)
        return -ENOMEM;
    if (o->text.used == 0)
        return 0;
    if (!o->is_terminal)
        return write_all(o, ctx);
    progress_hide(o->progress);
    err = write_all(o, ctx);
    progress_show(o->progress);
    return err;
}

int output_finish(struct output *o, rn_ctx *ctx)
{
    int err = output_flush(o, ctx);

    text_deinit(&o->text);
    /* Standard output may have been closed from the start; that matters only to who writes. */
    if (err == 0 && close(STDOUT_FILENO) < 0 && errno != EBADF)
        err = -errno;
    return err;
}
