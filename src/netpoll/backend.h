/* SPDX-License-Identifier: MIT */
/*
 * backend.h - what netpoll.c wants of the kernel's way to tell readiness: one file implements it (epoll.c).
 *
 * A backend reports edges: that a descriptor became readable or writable since it was added, re-armed, or since the
 * last such report. It may report too much, never too little. Every report carries the key under which the
 * descriptor was added. Functions that can fail return 0 or more, or a negative errno value.
 */
#ifndef RN_SRC_NETPOLL_BACKEND_H
#define RN_SRC_NETPOLL_BACKEND_H

#include "base/base.h"

/* Bits of want and of what comes: RN_READ and RN_WRITE. Hang-ups and errors are both. What comes may have POLL_MORE
 * beside: reading has more to tell than a read that finds less than it has room for, the end of the stream, an error
 * or urgent data. */
struct poll_event {
    uint64_t key;
    uint32_t ready;
};

/* POLL_BATCH: to tell of a socket the kernel touches what its read will touch, and that shall be in the second cache still
 * when the last of a batch is read. Of 128, a request on 10,000 connections takes 1 to 3 % more CPU time (bench_load). */
enum { POLL_BATCH = 64, POLL_MORE = 8 };

/* Make the instance. Not inherited by programs that are executed. */
int rn__backend_open(void);
/* Take it away. Nobody is inside any other of these. */
void rn__backend_close(void);
/* Report the edges of fd under key from now on; what is ready now is an edge. -EPERM: a file that is never waited
 * for. again: fd was added before, so that this is to report anew what is ready now; but if the kernel has forgotten
 * it meanwhile, it is added. */
int rn__backend_add(int fd, uint64_t key, bool again);
void rn__backend_remove(int fd);
/* Wait until the monotonic time until (0: not at all; INT64_MAX: for ever) for edges or a break; how many edges are
 * in events, which has room for POLL_BATCH, and whether there was a break. */
int rn__backend_wait(struct poll_event *events, int64_t until, bool *ret_broken);
/* Let one wait that sleeps now, or else the next one, return. */
void rn__backend_break(void);

#endif
