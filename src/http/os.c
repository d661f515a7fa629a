/* SPDX-License-Identifier: MIT */
/*
 * os.c - what librunnel-http asks the kernel itself; errno is read here and nowhere else.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <runnel/io.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/http.h"

/* A socket that no child process inherits. */
int rn__http_socket(int family, int type, int protocol)
{
    return socket(family, type | SOCK_CLOEXEC, protocol);
}

void rn__http_close(int fd)
{
    rn_forget_fd(fd);
    close(fd);
}

int rn__http_poll_new(void)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

bool rn__http_poll_add(int poll, int fd, int events)
{
    struct epoll_event e = {.events = (events & RN_READ ? (uint32_t)EPOLLIN : 0) |
                                      (events & RN_WRITE ? (uint32_t)EPOLLOUT : 0),
                            .data.fd = fd};

    return epoll_ctl(poll, EPOLL_CTL_ADD, fd, &e) == 0;
}

int rn__http_poll_get(int poll, int fds[SOCKETS], int events[SOCKETS])
{
    struct epoll_event e[SOCKETS];
    int n = epoll_wait(poll, e, SOCKETS, 0);

    for (int i = 0; i < n; i++) {
        fds[i] = e[i].data.fd;
        events[i] = (e[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP) ? RN_READ : 0) |
                    (e[i].events & EPOLLOUT ? RN_WRITE : 0);
    }
    return n > 0 ? n : 0;
}

/* Why a file cannot be read; 0: it can. */
int rn__http_file_error(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

void rn__http_begin_work(void)
{
    errno = 0;
}

bool rn__http_short_of_memory(void)
{
    return errno == ENOMEM;
}
