/* SPDX-License-Identifier: MIT */
/* epoll.c - the floor under the echo: P threads, each with a loop around epoll, without runnel: epoll echo P */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "echo.h"

enum { EVENTS = 128 };

static int loops[LOOPS_MAX];

static void *loop(void *arg)
{
    int ep = *(int *)arg;
    struct epoll_event evs[EVENTS];
    char buf[1024];

    for (;;) {
        int n = epoll_wait(ep, evs, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            int fd = evs[i].data.fd;
            ssize_t k = recv(fd, buf, sizeof buf, 0);

            if (k < 0 && errno == EAGAIN)
                continue;
            if (k <= 0 || send(fd, buf, (size_t)k, MSG_NOSIGNAL) != k)
                close(fd);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    int procs = echo_procs(argc, argv), port, listener;

    listener = echo_listen(RLIM_INFINITY, &port);
    for (int i = 0; i < procs; i++) {
        pthread_t t;

        loops[i] = epoll_create1(EPOLL_CLOEXEC);
        if (pthread_create(&t, NULL, loop, &loops[i]) != 0)
            return 1;
    }
    printf("%d\n", port);
    fflush(stdout);
    for (int i = 0;; i = (i + 1) % procs) { /* each loop gets its share of connections */
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

        if (fd < 0)
            continue;
        nodelay(fd);
        epoll_ctl(loops[i], EPOLL_CTL_ADD, fd, &ev);
    }
}
