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
 *
 * Happens-before, within the process: a write to a file -> a read that begins after it has returned; of pipes as in net.h.
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
struct rn_file;
typedef struct rn_file rn_file;
typedef struct rn_child rn_child;

/* ---- Files ------------------------------------------------------------------------------------ */

/*
 * Open a file. flags and mode are those of open(2); O_CLOEXEC goes without saying. It may be of any kind: a regular
 * file, a device, a FIFO, a terminal, a directory (for rn_file_stat and rn_file_sync).
 *
 * A FIFO: to open it for reading does not wait for a writer, the first read does; to open it for writing waits for a
 * reader, until ctx ends.
 *
 * Ownership is that of connections: whoever opens holds a reference, rn_file_close is the owner's. A file survives the
 * end of rn_run.
 *
 * Returns 0; the error of open(2), -ENOENT, -EACCES, -EMFILE and so on; the context's error; -ENOMEM.
 */
RN__API RN__NODISCARD int rn_file_open(const char *path, int flags, mode_t mode, rn_file **ret_f);
RN__API RN__NODISCARD int rn_file_open_ctx(struct rn_ctx *ctx, const char *path, int flags,
                                           mode_t mode, rn_file **ret_f);

/*
 * A file from a descriptor of yours, which it owns from then on. Anything that may be waited for (a pipe, a terminal)
 * is made non-blocking, for everybody who shares its open file description; see rn_conn_share for descriptors of which
 * that must not be. Returns 0, or -EBADF, -ENOMEM with fd still yours.
 */
RN__API RN__NODISCARD int rn_file_adopt(int fd, rn_file **ret_f);

/*
 * Read and write at an offset. Any number of goroutines may do so at the same time.
 *
 * A read returns how many bytes it read: of a regular file fewer than asked for only at its end, 0 there or beyond.
 * From anything else it returns what there is. A write writes all, or returns an error: then a part may have been
 * written, -ENOSPC and -EIO among the reasons.
 *
 * The forms with ctx return its error if it has ended before. If it ends meanwhile, the kernel is asked to give up, and
 * the call returns when it has let go of the buffer: with the context's error, or with the result if there was one
 * already. For a regular file on a disk, where nothing can be given up, that is as long as it takes; who waits for a
 * pipe or a terminal returns at once. The buffer is never touched after the return.
 *
 * -ECANCELED if the file was closed on this side, before or (pipes, terminals) meanwhile. A read or write of a regular
 * file in progress at the close ends by itself; the descriptor goes with it.
 */
RN__API RN__NODISCARD ssize_t rn_file_pread(rn_file *f, void *buf, size_t size, int64_t offset);
RN__API RN__NODISCARD ssize_t rn_file_pread_ctx(struct rn_ctx *ctx, rn_file *f, void *buf,
                                                size_t size, int64_t offset);
RN__API ssize_t rn_file_pwrite(rn_file *f, const void *buf, size_t size, int64_t offset);
RN__API ssize_t rn_file_pwrite_ctx(struct rn_ctx *ctx, rn_file *f, const void *buf, size_t size,
                                   int64_t offset);
/* With several buffers, at most 1024. */
RN__API RN__NODISCARD ssize_t rn_file_preadv_ctx(struct rn_ctx *ctx, rn_file *f,
                                                 const struct iovec *iov, int count,
                                                 int64_t offset);
RN__API ssize_t rn_file_pwritev_ctx(struct rn_ctx *ctx, rn_file *f, const struct iovec *iov,
                                    int count, int64_t offset);

/* The same at the file's own position, which moves on. Who reads or writes there takes turns. */
RN__API RN__NODISCARD ssize_t rn_file_read(rn_file *f, void *buf, size_t size);
RN__API RN__NODISCARD ssize_t rn_file_read_ctx(struct rn_ctx *ctx, rn_file *f, void *buf,
                                               size_t size);
RN__API ssize_t rn_file_write(rn_file *f, const void *buf, size_t size);
RN__API ssize_t rn_file_write_ctx(struct rn_ctx *ctx, rn_file *f, const void *buf, size_t size);
RN__API RN__NODISCARD ssize_t rn_file_readv_ctx(struct rn_ctx *ctx, rn_file *f,
                                                const struct iovec *iov, int count);
RN__API ssize_t rn_file_writev_ctx(struct rn_ctx *ctx, rn_file *f, const struct iovec *iov,
                                   int count);
/* Move the position as lseek(2) does; the new one, or an error. */
RN__API int64_t rn_file_seek(rn_file *f, int64_t offset, int whence);

/* Have data and metadata on the disk (fsync), or what is needed to read the data again (fdatasync). 0 or an error. */
RN__API RN__NODISCARD int rn_file_sync(rn_file *f);
RN__API RN__NODISCARD int rn_file_sync_ctx(struct rn_ctx *ctx, rn_file *f);
RN__API RN__NODISCARD int rn_file_datasync_ctx(struct rn_ctx *ctx, rn_file *f);
RN__API RN__NODISCARD int rn_file_truncate(rn_file *f, int64_t size);
RN__API RN__NODISCARD int rn_file_stat(rn_file *f, struct stat *ret_stat);

/* Its descriptor, borrowed; -1 once it is closed. */
RN__API int rn_file_fd(const rn_file *f);
/* Close f and give the reference up; NULL is fine. What the kernel did not write before, it says in rn_file_sync. */
RN__API void rn_file_close(rn_file *f);
RN__API void rn_file_cancel(rn_file *f); /* the same, keeping the reference */
RN__API rn_file *rn_file_retain(rn_file *f);
RN__API void rn_file_release(rn_file *f);

/*
 * The whole of a file (or of what a FIFO or a device gives until its end) in memory that the caller frees with free(),
 * with a 0 byte after it that is not counted. limit: most bytes, 0 for no limit. ret_size may be NULL.
 * Returns 0, -EFBIG if there is more than limit, -ENOMEM, or an error of open or read.
 */
RN__API RN__NODISCARD int rn_file_load(struct rn_ctx *ctx, const char *path, size_t limit,
                                       char **ret_text, size_t *ret_size);

/*
 * Replace the file at path by size bytes of data, so that whoever reads it sees all of the old or all of the new, also
 * after a crash: written beside it under another name, synced, renamed, the folder synced. An existing file keeps its
 * mode, a new one gets mode & ~umask; a symbolic link is replaced by the file. Returns 0, or an error with the old file
 * as it was and nothing left beside it; but -EIO also if the new file is in place and the disk refused to say that its
 * folder is written.
 */
RN__API RN__NODISCARD int rn_file_replace(struct rn_ctx *ctx, const char *path, const void *data,
                                          size_t size, mode_t mode);

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

/* ---- Child processes --------------------------------------------------------------------------- */

/* Where a standard stream of a child comes from or goes to. */
enum rn_stdio_kind {
    RN__STDIO_DEFAULT, /* of zero: the input is empty, output and errors are ours */
    RN__STDIO_NULL,
    RN__STDIO_INHERIT,
    RN__STDIO_FD,
    RN__STDIO_PIPE,
    RN__STDIO_DATA,
    RN__STDIO_KEEP,
    RN__STDIO_OUTPUT
};
typedef struct rn_stdio {
    int rn__kind;
    int rn__fd;
    const void *rn__data;
    size_t rn__size;
} rn_stdio;

/* Initialisers of an rn_stdio: .out = RN_STDIO_KEEP(1 << 20). */
#define RN_STDIO_NULL {RN__STDIO_NULL, 0, 0, 0}       /* /dev/null */
#define RN_STDIO_INHERIT {RN__STDIO_INHERIT, 0, 0, 0} /* our own stream of that number */
#define RN_STDIO_FD(fd) {RN__STDIO_FD, (fd), 0, 0}    /* a descriptor, which stays the caller's */
#define RN_STDIO_PIPE {RN__STDIO_PIPE, 0, 0, 0}       /* a pipe: rn_child_in, _out, _err */
/* Input: size bytes at data, which must stay there until the child is done. */
#define RN_STDIO_DATA(data, size) {RN__STDIO_DATA, 0, (data), (size)}
/* Output: kept in memory, for the result; what goes beyond limit (0: 64 KiB) is read and dropped. */
#define RN_STDIO_KEEP(limit) {RN__STDIO_KEEP, 0, 0, (limit)}
/* Errors: where the output goes, in the order of writing. */
#define RN_STDIO_OUTPUT {RN__STDIO_OUTPUT, 0, 0, 0}

/* How to run a program. Zero means the default; argv alone is needed. */
typedef struct rn_exec_options {
    const char *const *argv; /* ends with NULL; argv[0] is the program's name */
    const char *file;        /* the program, if it is not argv[0] */
    const char *const *env;  /* NAME=VALUE texts, ends with NULL; default: our environment */
    const char *cwd;         /* default: ours. A relative program is looked for there */
    rn_stdio in, out, err;
    const int *fds; /* descriptors that the child gets as 3, 4, ... */
    int fd_count;   /* at most 61 */
    int end_signal; /* what the end of the context sends first; default SIGTERM */
    rn_dur grace;   /* from then to SIGKILL; default 5 s, negative: SIGKILL at once */
    rn_dur
        drain; /* after the exit, how long others may keep its output open; default 1 s, negative: for ever */
    bool same_group; /* stay in our process group, as a program that uses the terminal must */
    uint64_t rn__reserved[6];
} rn_exec_options;

/* How a child ended. */
typedef struct rn_exec_result {
    int status; /* what it exited with, or 128 + signal, as the shell has it */
    int signal; /* the signal that ended it, or 0 */
    bool core;  /* it left a core file */
    bool cut;   /* output or errors went beyond the limit, or were still open after drain */
    char *
        out; /* what RN_STDIO_KEEP has kept, with a 0 byte after it; NULL without; see rn_exec_free */
    size_t out_size;
    char *err;
    size_t err_size;
    rn_dur user, system; /* CPU time that it used, with children for which it waited */
    int64_t max_rss;     /* bytes */
    uint64_t rn__reserved[4];
} rn_exec_result;

/*
 * Start a program. If ctx ends before it has exited, its process group gets end_signal, and after the grace period
 * SIGKILL; whoever of the group is left when the child has gone, gets SIGKILL as well. A child is always waited for by
 * the library: there is never a zombie, and no SIGCHLD handler is touched. If a handler of the program's, or
 * its waitpid(-1), takes the exit status away, the result is -ECHILD.
 *
 * The program is looked for in PATH if its name has no slash; entries of PATH that are not absolute are skipped. The
 * child has no descriptor but those named, no blocked signal, and the dispositions of signals that the process has
 * without rn_ctx_with_signals and rn_signal_notify (exec resets handlers). It is the leader of a new process group,
 * or a Ctrl-C at the terminal would reach it before us.
 *
 * Returns 0; the context's error; what prevents the start: -ENOENT (no such program, or no such cwd), -EACCES, -ENOEXEC,
 * -E2BIG, -EMFILE, -EAGAIN, -ENOMEM, -EINVAL; rn_errmsg tells more. Nothing is left of a child that could not start.
 *
 * The child belongs to the runtime: if rn_run returns before it is done, it is killed, with its group, and gone
 * when rn_run has returned. The last rn_child_release does the same, but at once and without waiting.
 */
RN__API RN__NODISCARD int rn_exec_start(struct rn_ctx *ctx, const rn_exec_options *options,
                                        rn_child **ret_child);

/*
 * Wait until the child is done: it has exited, its output has been read to the end (or drain has passed since), and all
 * of its input has been written or refused. ctx ends the wait, not the child. Any number may wait, any number of times;
 * ret may be NULL. The memory in *ret is the child's, until its last release.
 *
 * Returns 0 whatever the exit status; the error of the context given to rn_exec_start, if that has ended it, with *ret
 * filled in; -ECHILD; -ENOMEM if there was none for the output, or the error of reading that or of writing the input, with
 * *ret filled in.
 */
RN__API int rn_child_wait(rn_child *child, rn_exec_result *ret);
RN__API int rn_child_wait_ctx(struct rn_ctx *ctx, rn_child *child, rn_exec_result *ret);

/* Its number, which is no other process's while it is not done. */
RN__API int rn_child_pid(const rn_child *child);
/* Send a signal to the child, or to its whole group. 0, -ESRCH when it is done, -EINVAL, -EPERM. */
RN__API int rn_child_signal(rn_child *child, int signal);
RN__API int rn_child_signal_group(rn_child *child, int signal);
/* Our ends of its pipes (RN_STDIO_PIPE), or NULL. Borrowed: they live as long as the child; rn_conn_cancel closes, which
 * is the end of its input. The library never closes them while the child has a reference. */
RN__API rn_conn *rn_child_in(const rn_child *child);
RN__API rn_conn *rn_child_out(const rn_child *child);
RN__API rn_conn *rn_child_err(const rn_child *child);
RN__API rn_child *rn_child_retain(rn_child *child);
/* The last one kills a child that is not done. NULL is fine. */
RN__API void rn_child_release(rn_child *child);

/*
 * Start, wait and release, in one. Streams may not be pipes (-EINVAL). ret may be NULL; rn_exec_free gives its memory
 * back, and may be called for a result of zero and after a failure.
 *
 * Returns 0 if it ran, whatever its exit status, and else the errors of rn_exec_start and rn_child_wait.
 */
RN__API RN__NODISCARD int rn_exec_with(struct rn_ctx *ctx, const rn_exec_options *options,
                                       rn_exec_result *ret);
RN__API void rn_exec_free(rn_exec_result *result);

RN__API RN__NODISCARD int rn__exec(struct rn_ctx *ctx, const char *const *argv);
RN__API RN__NODISCARD int rn__exec_output(struct rn_ctx *ctx, char **ret_text, size_t *ret_size,
                                          const char *const *argv);

RN__END

#ifndef __cplusplus

/* int rn_exec(ctx, "program", "argument", ...): run it with empty input, our output and errors. Its exit status, 0 to
 * 255, or 128 + signal; or an error as of rn_exec_with. */
#define rn_exec(ctx, ...) rn__exec((ctx), (const char *const[]){__VA_ARGS__, (const char *)0})
/* int rn_exec_output(ctx, &text, &size, "program", "argument", ...): the same, with its output in memory for free(),
 * and a 0 byte after it; size may be NULL. At most 16 MiB: -EFBIG. text is written if the result is 0 or more. */
#define rn_exec_output(ctx, ret_text, ret_size, ...)                                               \
    rn__exec_output((ctx), (ret_text), (ret_size),                                                 \
                    (const char *const[]){__VA_ARGS__, (const char *)0})

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
