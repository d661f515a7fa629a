/* SPDX-License-Identifier: MIT */
/*
 * socket.h - sockets of the kernel's, each call with its result or a negative errno value. None waits; none raises
 * SIGPIPE; EINTR is not seen.
 */
#ifndef RN_SRC_OS_SOCKET_H
#define RN_SRC_OS_SOCKET_H

#include <sys/socket.h>
#include <sys/types.h>

#include "base/base.h"
#include "os/call.h"

/* Non-blocking, closed by exec. */
int rn__os_socket(int family, int type);
int rn__os_accept(int fd);
int rn__os_connect(int fd, const void *addr, socklen_t length);
int rn__os_bind(int fd, const void *addr, socklen_t length);
int rn__os_listen(int fd, int backlog);
int rn__os_shutdown(int fd, int how);
void rn__os_close(int fd);
int rn__os_set_option(int fd, int level, int name, int value);
int rn__os_get_option(int fd, int level, int name);
/* length: room before, the address's length after. */
int rn__os_local(int fd, void *addr, socklen_t *length);
int rn__os_remote(int fd, void *addr, socklen_t *length);
int rn__os_set_nonblocking(int fd);
/* These two are in every request's way: no frame of their own. */
static inline ssize_t rn__os_recv(int fd, void *buf, size_t size)
{
    return CALL(SYS_recvfrom, fd, buf, size, MSG_DONTWAIT, NULL, NULL);
}
static inline ssize_t rn__os_send(int fd, const void *buf, size_t size)
{
    return CALL(SYS_sendto, fd, buf, size, MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
}
ssize_t rn__os_recvmsg(int fd, struct msghdr *m);
ssize_t rn__os_sendmsg(int fd, const struct msghdr *m);
/* From the file in at *offset, which moves on; 0: it ends there. As with any file, a disk may have to be waited for. */
ssize_t rn__os_sendfile(int fd, int in, int64_t *offset, size_t size);
void rn__os_unlink(const char *path);

#endif
