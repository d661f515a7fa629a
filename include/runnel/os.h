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

/* ---- Pipes, and descriptors of others --------------------------------------------------------- */

/*
 * A pipe as two connections: what is written to the second is read from the first. rn_read, rn_write, deadlines and
 * contexts as in net.h; there are no addresses, and half-close is rn_conn_close of one end. Closing the reading end
 * lets writers fail with -EPIPE; closing the writing end is the end of the stream. 0, -EMFILE, -ENFILE, -ENOMEM.
 */
RN__API RN__NODISCARD int rn_pipe(rn_conn **ret_read, rn_conn **ret_write);

/*
 * A connection to what fd refers to, of which others have descriptors too: standard input, a terminal. fd stays
 * the caller's, and its open file description, which those others share, is not changed. Closing the connection does
 * not close fd. Never for a regular file, which nobody waits for (-EINVAL): see rn_file_adopt.
 *
 * What holds:
 *   pipes, FIFOs, terminals, devices   opened anew, by /proc/self/fd, where the kernel permits that: reads and writes
 *                                      never hold a thread. Where it does not (another user's terminal, no /proc) each
 *                                      waits until fd is ready, and then is a call that blocks for as long as somebody
 *                                      else was faster, holding a thread, and not its context's to end
 *   sockets                            duplicated; each call asks the kernel not to wait
 *
 * 0, -EBADF, -EINVAL, -EMFILE, -ENOMEM.
 */
RN__API RN__NODISCARD int rn_conn_share(int fd, rn_conn **ret_c);

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
