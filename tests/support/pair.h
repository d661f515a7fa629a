/* SPDX-License-Identifier: MIT */
/* pair.h - two descriptors that are one another's ends, for tests that wait for them with rn_wait_fd. _GNU_SOURCE. */
#ifndef TEST_PAIR_H
#define TEST_PAIR_H

#include "support.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

struct pair {
    int at[2];
};

static inline struct pair pipe_new(void)
{
    struct pair p;

    CHECK_EQ(pipe2(p.at, O_NONBLOCK | O_CLOEXEC), 0);
    return p;
}

static inline struct pair sockets_new(void)
{
    struct pair p;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p.at), 0);
    return p;
}

static inline void pair_end(struct pair p)
{
    for (int i = 0; i < 2; i++) {
        rn_forget_fd(p.at[i]);
        close(p.at[i]);
    }
}

#endif
