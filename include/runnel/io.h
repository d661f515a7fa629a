/* SPDX-License-Identifier: MIT */
/*
 * io.h - waiting for descriptors of your own, or of a C library's.
 *
 * A library with a non-blocking interface (libpq, libcurl, hiredis, c-ares, ...) hands out descriptors and says
 * what it wants of them. rn_wait_fd is the poll(2) of a goroutine: the goroutine waits, its thread does not.
 */
#ifndef RUNNEL_IO_H
#define RUNNEL_IO_H

#include <runnel/base.h>

RN__BEGIN

struct rn_ctx;

/* What to wait for, and what came. Bits. */
enum rn_io_events {
    RN_READ = 1, /* readable: data, a connection to accept, the end of the stream, an error */
    RN_WRITE = 2 /* writable: room, a connection made, an error */
};

/*
 * Wait until fd is ready for one of events, or ctx has ended.
 *
 *   fd      an open descriptor of any kind, best in non-blocking mode; it stays yours. Any number of goroutines and
 *           threads may wait for the same one
 *   events  RN_READ, RN_WRITE, or both
 *   ctx     may be NULL
 *
 * Returns which of the events are there, at least one. As with poll(2) a file that cannot be waited for, such as a
 * regular one, is always ready. Somebody else may have been faster when the caller looks, so be ready for EAGAIN and
 * wait again.
 *
 *   -ECANCELED, -ETIMEDOUT  ctx has ended, or had before
 *   -ECANCELED              rn_forget_fd was called meanwhile
 *   -EBADF                  fd is not open
 *   -EINVAL                 events is none of these
 *   -ENOMEM, -EMFILE, ...   no memory or no descriptor for waiting
 *
 * From any thread. Does not allocate but when a descriptor of a new range of numbers comes. It orders nothing: who makes
 * fd ready orders by other means.
 * A goroutine must not close a descriptor for which others wait: see rn_forget_fd.
 */
RN__API RN__NODISCARD int rn_wait_fd(int fd, int events, struct rn_ctx *ctx);

/*
 * To be called before close(2) of a descriptor that rn_wait_fd has seen: whoever waits for it gets -ECANCELED, and
 * the runtime stops to watch it. Harmless for any other. Never blocks. From any thread.
 */
RN__API void rn_forget_fd(int fd);

RN__END
#endif
