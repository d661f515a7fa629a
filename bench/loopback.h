/* SPDX-License-Identifier: MIT */
/* loopback.h - TCP within this machine by bare system calls, for what runs without the library. */
#ifndef BENCH_LOOPBACK_H
#define BENCH_LOOPBACK_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static inline void nodelay(int fd)
{
    int one = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* A listener on a free port, and where; below 0: there is none. */
static inline int loopback_listen(struct sockaddr_in *ret_at)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof *ret_at;

    *ret_at =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)ret_at, sizeof *ret_at) != 0 ||
        listen(listener, 4096) != 0 || getsockname(listener, (struct sockaddr *)ret_at, &size) != 0)
        return -1;
    return listener;
}

/* A connection to it; below 0: it is refused. */
static inline int loopback_dial(const struct sockaddr_in *at)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, (const struct sockaddr *)at, sizeof *at) != 0)
        return -1;
    nodelay(fd);
    return fd;
}

#endif
