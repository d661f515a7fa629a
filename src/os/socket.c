/* SPDX-License-Identifier: MIT */
/*
 * socket.c - the kernel's sockets.
 *
 * The calls are made directly: a sanitizer's interceptor would take them for accesses of its own invention to the
 * descriptor. src/net tells the tools of the buffers.
 */
#define _GNU_SOURCE
#include "os/socket.h"

#include <fcntl.h>
#include <signal.h>
#include <time.h>

#include "os/call.h"

int rn__os_socket(int family, int type)
{
    return (int)CALL(SYS_socket, family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

int rn__os_accept(int fd)
{
    return (int)CALL(SYS_accept4, fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int rn__os_connect(int fd, const void *addr, socklen_t length)
{
    return (int)CALL(SYS_connect, fd, addr, length);
}

int rn__os_bind(int fd, const void *addr, socklen_t length)
{
    return (int)CALL(SYS_bind, fd, addr, length);
}

int rn__os_listen(int fd, int backlog)
{
    return (int)CALL(SYS_listen, fd, backlog);
}

int rn__os_shutdown(int fd, int how)
{
    return (int)CALL(SYS_shutdown, fd, how);
}

void rn__os_close(int fd)
{
    syscall(SYS_close, fd); /* not again on EINTR: the number is free already */
}

int rn__os_set_option(int fd, int level, int name, int value)
{
    return (int)CALL(SYS_setsockopt, fd, level, name, &value, sizeof value);
}

int rn__os_get_option(int fd, int level, int name)
{
    int value = 0;
    socklen_t length = sizeof value;
    int err = (int)CALL(SYS_getsockopt, fd, level, name, &value, &length);

    return err < 0 ? err : value;
}

int rn__os_local(int fd, void *addr, socklen_t *length)
{
    return (int)CALL(SYS_getsockname, fd, addr, length);
}

int rn__os_remote(int fd, void *addr, socklen_t *length)
{
    return (int)CALL(SYS_getpeername, fd, addr, length);
}

int rn__os_set_nonblocking(int fd)
{
    long flags = CALL(SYS_fcntl, fd, F_GETFL);

    return (int)(flags < 0 ? flags : CALL(SYS_fcntl, fd, F_SETFL, flags | O_NONBLOCK));
}

ssize_t rn__os_recvmsg(int fd, struct msghdr *m)
{
    return CALL(SYS_recvmsg, fd, m, MSG_DONTWAIT);
}

ssize_t rn__os_sendmsg(int fd, const struct msghdr *m)
{
    return CALL(SYS_sendmsg, fd, m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

ssize_t rn__os_sendfile(int fd, int in, int64_t *offset, size_t size)
{
    /* The kernel has no MSG_NOSIGNAL for this one: the signal, which is this thread's own, is held and taken away. Where
     * the thread holds it anyway one may be there already, which is somebody else's and stays. */
    static const uint64_t sigpipe = UINT64_C(1) << (SIGPIPE - 1);
    static const struct timespec now = {0, 0};
    uint64_t before = 0, waiting = 0;
    ssize_t n;

    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &sigpipe, &before, sizeof before);
    if (unlikely(before & sigpipe))
        syscall(SYS_rt_sigpending, &waiting, sizeof waiting);
    n = CALL(SYS_sendfile, fd, in, offset, size);
    if (n != (ssize_t)size && !(waiting & sigpipe)) /* also where a part went out before */
        syscall(SYS_rt_sigtimedwait, &sigpipe, NULL, &now, sizeof sigpipe);
    if (!(before & sigpipe))
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof before);
    return n;
}

void rn__os_unlink(const char *path)
{
    syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}
