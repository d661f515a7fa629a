/* SPDX-License-Identifier: MIT */
/*
 * os.h - files, pipes, child processes and signals for goroutines.
 *
 *     char *text;
 *     size_t size;
 *     int err = rn_file_load(ctx, "/etc/motd", 1 << 20, &text, &size);
 *
 *     int status = rn_exec(ctx, "make", "-C", dir); // killed with all its children when ctx ends
 *
 *     rn_chan(int) hangups = rn_chan_make(int, 1);
 *     err = rn_signal_notify(hangups, SIGHUP);
 *
 * Results are 0 or more, errors negative errno values; results through ret_ parameters are written on success only.
 * A ctx may be NULL. All calls work from any goroutine and any thread; a call that has to wait lets other goroutines
 * run. Nothing raises SIGPIPE, and no descriptor made here is inherited by a child.
 */
#ifndef RUNNEL_OS_H
#define RUNNEL_OS_H

#include <runnel/chan.h>
#include <runnel/io.h>
#include <runnel/net.h>
#include <runnel/time.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

RN__BEGIN

struct rn_ctx;

RN__END

#ifndef __cplusplus

/* ---- Signals ------------------------------------------------------------------------------------ */

RN__API RN__NODISCARD int rn__signal_notify(rn_send_only(int) ch, const int *signals, size_t n);

/*
 * int rn_signal_notify(ch, SIGHUP, SIGUSR1, ...): from now on each of these signals is sent to ch as its number,
 * without waiting: who has no room misses it, so give ch a buffer. Signals of one kind that come faster than they are
 * sent are one. Meanwhile they have no other effect: a handler that the program has installed before is back afterwards.
 * Any number of channels and contexts (rn_ctx_with_signals) may watch a signal; each gets it. A second
 * call for the same channel adds signals.
 *
 * ch is kept until rn_signal_stop(ch), or the end of the runtime, and must not be closed before.
 * Returns 0; -EINVAL for what is no signal or cannot be caught, -ENOMEM, -EAGAIN if no thread is to be had, with nothing
 * changed. Panics "rn_signal_notify: nil channel".
 */
#define rn_signal_notify(ch, ...)                                                                  \
    rn__signal_notify((ch), (const int[]){__VA_ARGS__},                                            \
                      sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

/* No signal is sent to ch any more once this has returned; what signals did before, they do again when nobody watches.
 * For a channel that gets none: no effect. Never from a signal handler. */
RN__API void rn_signal_stop(rn_send_only(int) ch);

#endif
#endif
