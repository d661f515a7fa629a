/* SPDX-License-Identifier: MIT */
/* epoll.c - the floor under the echo: P threads, each with a loop around epoll, without runnel: epoll echo P */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOOPS_MAX = 256, EVENTS = 128 };

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
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    int procs = argc == 3 ? atoi(argv[2]) : 0;
    socklen_t size = sizeof in;
    struct rlimit r;

    if (procs < 1 || procs > LOOPS_MAX || strcmp(argv[1], "echo") != 0)
        return 2;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
    if (bind(listener, (struct sockaddr *)&in, sizeof in) != 0 || listen(listener, 4096) != 0 ||
        getsockname(listener, (struct sockaddr *)&in, &size) != 0)
        return 1;
    for (int i = 0; i < procs; i++) {
        pthread_t t;

        loops[i] = epoll_create1(EPOLL_CLOEXEC);
        if (pthread_create(&t, NULL, loop, &loops[i]) != 0)
            return 1;
    }
    printf("%d\n", ntohs(in.sin_port));
    fflush(stdout);
    for (int i = 0;; i = (i + 1) % procs) { /* each loop gets its share of connections */
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

        if (fd < 0)
            continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        epoll_ctl(loops[i], EPOLL_CTL_ADD, fd, &ev);
    }
}
