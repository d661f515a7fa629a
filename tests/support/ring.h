/* SPDX-License-Identifier: MIT */
/* ring.h - what the tests of files and of sockets ask about io_uring. */
#ifndef TEST_RING_H
#define TEST_RING_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Whether this process has a ring open. */
static inline bool has_ring(void)
{
    for (int fd = 0; fd < 1000; fd++) {
        char link[64], text[64] = {0};

        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (readlink(link, text, sizeof text - 1) > 0 && strstr(text, "io_uring"))
            return true;
    }
    return false;
}

#endif
