/* SPDX-License-Identifier: MIT */
/*
 * file.c - the kernel's files and pipes.
 *
 * The calls are made directly, as those of socket.c are: who calls tells the tools of the buffers.
 *
 * A write to a pipe without readers raises SIGPIPE. Newer kernels (6.18) take a flag against that; with older ones
 * SIGPIPE is blocked around the write, and one that the write has raised is taken back. The signal is the thread's own.
 */
#define _GNU_SOURCE
#include "os/file.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>

#include "base/atomic.h"
#include "os/call.h"

#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x100
#endif

int rn__os_open(const char *path, int flags, mode_t mode)
{
    return (int)CALL(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, mode);
}

int rn__os_reopen(int fd)
{
    char path[64];
    long flags = CALL(SYS_fcntl, fd, F_GETFL);

    if (flags < 0)
        return (int)flags;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return rn__os_open(path, (int)(flags & (O_ACCMODE | O_APPEND)) | O_NONBLOCK | O_NOCTTY, 0);
}

int rn__os_dup(int fd)
{
    return (int)CALL(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0);
}

int rn__os_pipe(int fds[2])
{
    return (int)CALL(SYS_pipe2, fds, O_CLOEXEC | O_NONBLOCK);
}

int rn__os_set_blocking(int fd)
{
    long flags = CALL(SYS_fcntl, fd, F_GETFL);

    return (int)(flags < 0 ? flags : CALL(SYS_fcntl, fd, F_SETFL, flags & ~O_NONBLOCK));
}

int rn__os_stat(int fd, struct stat *ret_stat)
{
    int err = fstat(fd, ret_stat) == 0 ? 0 : -errno;

    return err;
}

ssize_t rn__os_readv(int fd, const struct iovec *iov, int count)
{
    return CALL(SYS_readv, fd, iov, count);
}

size_t rn__os_pending(int fd)
{
    int n = 0;

    return CALL(SYS_ioctl, fd, FIONREAD, &n) == 0 && n > 0 ? (size_t)n : 0;
}

static COLD ssize_t write_without_signal(int fd, const struct iovec *iov, int count)
{
    uint64_t pipe_only = (uint64_t)1 << (SIGPIPE - 1), old, waiting = 0;
    struct timespec now = {0, 0};
    ssize_t n;

    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &pipe_only, &old, sizeof old);
    syscall(SYS_rt_sigpending, &waiting, sizeof waiting);
    n = CALL(SYS_writev, fd, iov, count);
    if (n == -EPIPE && !(waiting & pipe_only))
        CALL(SYS_rt_sigtimedwait, &pipe_only, NULL, &now, sizeof pipe_only);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, sizeof old);
    return n;
}

ssize_t rn__os_writev(int fd, const struct iovec *iov, int count)
{
    static bool old; /* atomic: the kernel does not know the flag */

    if (likely(!load_relaxed(&old))) {
        ssize_t n = CALL(SYS_pwritev2, fd, iov, count, -1L, -1L, RWF_NOSIGNAL);

        if (likely(n != -EOPNOTSUPP && n != -ENOSYS && n != -EINVAL))
            return n;
        if (n != -EINVAL)
            store_relaxed(&old, true);
    }
    return write_without_signal(fd, iov, count);
}

/* Without a flag or an offset the plain calls do, which older kernels and emulators have. */
ssize_t rn__os_preadv(int fd, const struct iovec *iov, int count, int64_t offset, bool now)
{
    if (now)
        return CALL(SYS_preadv2, fd, iov, count, offset, 0L, RWF_NOWAIT);
    if (offset == -1)
        return CALL(SYS_readv, fd, iov, count);
    return CALL(SYS_preadv, fd, iov, count, offset, 0L);
}

ssize_t rn__os_pwritev(int fd, const struct iovec *iov, int count, int64_t offset)
{
    if (offset == -1)
        return CALL(SYS_writev, fd, iov, count);
    return CALL(SYS_pwritev, fd, iov, count, offset, 0L);
}

int64_t rn__os_seek(int fd, int64_t offset, int whence)
{
    return CALL(SYS_lseek, fd, offset, whence);
}

int rn__os_sync(int fd, bool data_only)
{
    return (int)CALL(data_only ? SYS_fdatasync : SYS_fsync, fd);
}

int rn__os_truncate(int fd, int64_t size)
{
    return (int)CALL(SYS_ftruncate, fd, size);
}

int rn__os_chmod(int fd, mode_t mode)
{
    return (int)CALL(SYS_fchmod, fd, mode);
}

int rn__os_rename(const char *from, const char *to)
{
    return (int)CALL(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0L);
}

int rn__os_flags(int fd)
{
    return (int)CALL(SYS_fcntl, fd, F_GETFL);
}
