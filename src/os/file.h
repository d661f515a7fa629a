/* SPDX-License-Identifier: MIT */
/*
 * file.h - the kernel's files and pipes, each call with its result or a negative errno value. EINTR is not seen. Calls
 * on regular files may block; so may those on descriptors in blocking mode.
 */
#ifndef RN_SRC_OS_FILE_H
#define RN_SRC_OS_FILE_H

#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/base.h"

/* Closed by exec. */
int rn__os_open(const char *path, int flags, mode_t mode);
/* The file behind fd, opened anew: an open file description of its own, non-blocking, in the same mode. */
int rn__os_reopen(int fd);
int rn__os_dup(int fd);
/* Non-blocking, closed by exec. */
int rn__os_pipe(int fds[2]);
int rn__os_set_blocking(int fd);
int rn__os_stat(int fd, struct stat *ret_stat);

/* At the file's position. A write raises no SIGPIPE. */
ssize_t rn__os_readv(int fd, const struct iovec *iov, int count);
/* How many bytes lie in a pipe; 0 where that cannot be known. */
size_t rn__os_pending(int fd);
ssize_t rn__os_writev(int fd, const struct iovec *iov, int count);
/* At an offset, or at the position with -1. now: -EAGAIN where it would wait for the disk, -EOPNOTSUPP where that
 * cannot be known. */
ssize_t rn__os_preadv(int fd, const struct iovec *iov, int count, int64_t offset, bool now);
ssize_t rn__os_pwritev(int fd, const struct iovec *iov, int count, int64_t offset);
int64_t rn__os_seek(int fd, int64_t offset, int whence);
int rn__os_sync(int fd, bool data_only);
int rn__os_truncate(int fd, int64_t size);
int rn__os_chmod(int fd, mode_t mode);
int rn__os_rename(const char *from, const char *to);
/* The flags of fd's open file description. */
int rn__os_flags(int fd);

#endif
