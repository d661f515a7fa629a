/* SPDX-License-Identifier: MIT */
/*
 * ring.h - a ring of requests to the kernel (io_uring). Requests and completions are the kernel's own structures. A call's
 * result is 0 or more, or a negative errno value.
 */
#ifndef RN_SRC_OS_RING_H
#define RN_SRC_OS_RING_H

#include "base/base.h"

struct io_uring_sqe;
struct io_uring_cqe;
struct os_ring {
    int fd;
    uint32_t entries, cq_entries;
    uint32_t *sq_head, *sq_tail, *cq_head, *cq_tail;
    uint32_t sq_mask, cq_mask;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
    void *rings;
    size_t rings_size;
};

/* May the process have rings? RUNNEL_IO_URING=0: never, as under Valgrind, which does not see what they read; =always: also
 * for what could be done otherwise at once, for measuring and tests. Read once. */
enum rings { RINGS_UNKNOWN, RINGS_NEVER, RINGS_PERHAPS, RINGS_ALWAYS };
enum rings rn__os_rings(void);
/* From now on never: what a ring was asked for is not to be had here. */
void rn__os_rings_never(void);

/* 0, or why there is none now. If that will not change, there is none from now on. */
int rn__os_ring_open(struct os_ring *r, uint32_t entries, uint32_t cq_entries);
void rn__os_ring_close(struct os_ring *r);
/* Give it the next n requests; how many it took. */
int rn__os_ring_submit(struct os_ring *r, uint32_t n);
/* Wait until n completions are there. */
int rn__os_ring_await(struct os_ring *r, uint32_t n);

#endif
