/* SPDX-License-Identifier: MIT */
/* ring.h - reads, writes and syncs of files by the kernel's ring of requests. */
#ifndef RN_SRC_FILE_RING_H
#define RN_SRC_FILE_RING_H

#include <sys/uio.h>

#include "base/base.h"

struct rn_ctx;

enum ring_what { RING_READ, RING_WRITE, RING_SYNC, RING_DATASYNC };

struct ring_request {
    enum ring_what what;
    int fd;
    const struct iovec *iov;
    int count;
    int64_t offset; /* -1: the file's position */
    struct rn_ctx *ctx;
    void (*dropped)(
        void *arg); /* the end of rn_run has taken the goroutine away; NULL: nothing to do */
    void *arg;
};

/*
 * Do it: the kernel's result, or a negative errno value; the context's error if that has ended it. The kernel has let
 * go of the buffers. -ENOSYS: not this way, nothing was done; now, or ever.
 */
ssize_t rn__ring_do(const struct ring_request *q);

#endif
