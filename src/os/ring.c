/* SPDX-License-Identifier: MIT */
/* ring.c - io_uring by its three system calls. */
#define _GNU_SOURCE
#include "os/ring.h"

#include <linux/io_uring.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/tools.h"

/* What the first kernels lacked; requests are stable once submitted, and completions not lost. The last came with Linux 5.6,
 * as reads of sockets did. */
static const uint32_t needed = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_SUBMIT_STABLE |
                               IORING_FEAT_NODROP | IORING_FEAT_RW_CUR_POS;

static uint32_t rings; /* atomic: enum rings */

enum rings rn__os_rings(void)
{
    enum rings r = (enum rings)load_relaxed(&rings);
    const char *text;

    if (likely(r != RINGS_UNKNOWN))
        return r;
    text = getenv("RUNNEL_IO_URING");
    r = RINGS_PERHAPS;
    if ((text && strcmp(text, "0") == 0) || rn__tools & TOOL_VALGRIND)
        r = RINGS_NEVER;
    else if (text && strcmp(text, "always") == 0)
        r = RINGS_ALWAYS;
    store_relaxed(&rings, r);
    return r;
}

void rn__os_rings_never(void)
{
    store_relaxed(&rings, RINGS_NEVER);
}

static void *map(int fd, size_t size, uint64_t at)
{
    void *p = (void *)syscall(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_POPULATE, fd, at);

    return p == MAP_FAILED ? NULL : p;
}

int rn__os_ring_open(struct os_ring *r, uint32_t entries, uint32_t cq_entries)
{
    struct io_uring_params p = {.flags = IORING_SETUP_CQSIZE, .cq_entries = cq_entries};
    size_t sq_size, cq_size;
    char *base;
    uint32_t *array;

    r->fd = (int)syscall(SYS_io_uring_setup, entries, &p);
    if (r->fd < 0) {
        int err = -errno;

        if (err != -EMFILE && err != -ENFILE && err != -ENOMEM)
            rn__os_rings_never();
        return err;
    }
    r->rings = NULL;
    r->sqes = NULL;
    r->entries = p.sq_entries;
    r->cq_entries = p.cq_entries;
    if ((p.features & needed) == needed) {
        sq_size = p.sq_off.array + p.sq_entries * sizeof(uint32_t);
        cq_size = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
        r->rings_size = sq_size > cq_size ? sq_size : cq_size;
        r->rings = map(r->fd, r->rings_size, IORING_OFF_SQ_RING);
        r->sqes = map(r->fd, p.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
    }
    if (!r->rings || !r->sqes) {
        rn__os_ring_close(r);
        rn__os_rings_never();
        return -ENOSYS;
    }
    base = r->rings;
    r->sq_head = (uint32_t *)(void *)(base + p.sq_off.head);
    r->sq_tail = (uint32_t *)(void *)(base + p.sq_off.tail);
    r->sq_mask = *(uint32_t *)(void *)(base + p.sq_off.ring_mask);
    r->cq_head = (uint32_t *)(void *)(base + p.cq_off.head);
    r->cq_tail = (uint32_t *)(void *)(base + p.cq_off.tail);
    r->cq_mask = *(uint32_t *)(void *)(base + p.cq_off.ring_mask);
    r->cqes = (struct io_uring_cqe *)(void *)(base + p.cq_off.cqes);
    array = (uint32_t *)(void *)(base + p.sq_off.array);
    for (uint32_t i = 0; i < p.sq_entries; i++)
        array[i] = i;
    return 0;
}

void rn__os_ring_close(struct os_ring *r)
{
    if (r->rings)
        syscall(SYS_munmap, r->rings, r->rings_size);
    if (r->sqes)
        syscall(SYS_munmap, r->sqes, r->entries * sizeof(struct io_uring_sqe));
    syscall(SYS_close, r->fd);
}

int rn__os_ring_submit(struct os_ring *r, uint32_t n)
{
    long took = syscall(SYS_io_uring_enter, r->fd, n, 0, 0, NULL, 0);

    return took < 0 ? -errno : (int)took;
}

int rn__os_ring_await(struct os_ring *r, uint32_t n)
{
    long got = syscall(SYS_io_uring_enter, r->fd, 0, n, IORING_ENTER_GETEVENTS, NULL, 0);

    return got < 0 ? -errno : 0;
}
