/* SPDX-License-Identifier: MIT */
/*
 * ahead.c - reads for many at once, by io_uring.
 *
 * Whoever polls learns of many sockets in one system call; then each goroutine that is woken makes one to read. Where the
 * poller knows what somebody waits to read it reads for all of them in one call, before it wakes them: that is 3 to 6 % less
 * CPU time for an echo of 64 bytes (bench/README.md). Nothing is later for it than the reads that come before one's own would
 * have made it, and nothing else of a read changes: who waits has the socket open and the buffer at hand, and there is one
 * read for one waiter, who finds its result where else there would be only the news of an edge.
 *
 * A read does not wait (MSG_DONTWAIT), so the kernel has completed it when it has taken it: no request outlives the call.
 * That it is so is not relied on, for a buffer is not to be written to later: we wait for what is not there.
 *
 * A processor has a ring of its own, made for the first batch that is worth it. Who holds the processor uses it, inside an
 * entry, so there is no lock; whose thread that is makes no difference to the kernel. Where no more descriptors are to be had
 * the processor does without, and asks again later.
 *
 * Errors. A socket tells an error once, so who waits gets it from us. What the kernel says of the request rather than of the
 * socket is no result: who waits reads again, and finds out.
 *
 * Rejected: sends that wait for others (another 1 to 3 %; the bytes would wait for whoever computes meanwhile). Rings that
 * wait for the sockets themselves, in place of epoll (as many requests as there are idle connections; slower with one buffer
 * for each read: bench/serve/uring.c, SINGLE).
 */
#include "netpoll/ahead.h"

#include <linux/io_uring.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "os/ring.h"
#include "sched/rt.h"

/* So many are worth it. Larger ones cost their copying, and would push one another out of the cache. */
enum { READS_MIN = 4, SIZE_MAX_AHEAD = 16384, PAUSE = 1000 };
uint32_t rn__ahead_least = 1;

static COLD struct os_ring *ring_new(struct proc *p)
{
    struct os_ring *r;

    if (p->reads_pause > 0) {
        p->reads_pause--;
        return NULL;
    }
    r = rn__mem_new_zero(sizeof *r, CACHE_LINE);
    if (r && rn__os_ring_open(r, POLL_BATCH, 2 * POLL_BATCH) != 0) {
        rn__mem_free(r);
        r = NULL;
    }
    if (r)
        store_release(&p->reads, r); /* for the child of a fork: it is whole */
    else
        p->reads_pause = PAUSE;
    return r;
}

/* The caller's processor's, if it has one: who delivers may have none, as the monitor. */
static struct os_ring *ring_here(void)
{
    struct proc *p = worker_self()->proc;

    if (unlikely(!p))
        return NULL;
    return likely(p->reads != NULL) ? p->reads : ring_new(p);
}

static bool is_worth(uint32_t n)
{
    enum rings rings = rn__os_rings();
    uint32_t least = rings == RINGS_NEVER ? UINT32_MAX : rings == RINGS_ALWAYS ? 1 : READS_MIN;

    if (unlikely(load_relaxed(&rn__ahead_least) != least))
        store_relaxed(&rn__ahead_least, least);
    return n >= least;
}

/* Into the kernel's queue; how many. */
static uint32_t queue(struct os_ring *r, struct fd_read *const *reads, uint32_t n)
{
    uint32_t tail = load_owned(r->sq_tail), count = 0;

    for (uint32_t i = 0; i < n; i++) {
        if (reads[i]->size > SIZE_MAX_AHEAD)
            continue;
        r->sqes[(tail + count++) & r->sq_mask] =
            (struct io_uring_sqe){.opcode = IORING_OP_RECV,
                                  .fd = reads[i]->fd,
                                  .addr = (uintptr_t)reads[i]->buf,
                                  .len = (uint32_t)reads[i]->size,
                                  .msg_flags = MSG_DONTWAIT,
                                  .user_data = (uintptr_t)reads[i]};
    }
    store_release(r->sq_tail, tail + count); /* pairs with the kernel's */
    return count;
}

/* Give the kernel the count that are queued; how many it took. */
static uint32_t submit(struct os_ring *r, uint32_t count)
{
    uint32_t taken = 0;
    int n = 1;

    while (taken < count && (n > 0 || n == -EINTR)) {
        n = rn__os_ring_submit(r, count - taken);
        if (n > 0)
            taken += (uint32_t)n;
    }
    if (unlikely(n < 0 && n != -EAGAIN && n != -EBUSY && n != -EINTR)) /* more than no memory now */
        rn__os_rings_never();
    if (unlikely(taken < count)) /* the others are as if they had not been queued */
        store_release(r->sq_tail, load_acquire(r->sq_head));
    return taken;
}

/* Is n what the socket says, and not the kernel of the request? */
static bool is_of_socket(int32_t n)
{
    switch (n) {
    case -EINTR:
    case -EINVAL:
    case -ENOSYS:
    case -EOPNOTSUPP:
    case -ECANCELED:
    case -EFAULT:
    case -ENOMEM:
    case -ENOBUFS:
        return false;
    default:
        return true;
    }
}

void rn__ahead(struct fd_read *const *reads, uint32_t n)
{
    struct os_ring *r = is_worth(n) ? ring_here() : NULL;
    uint32_t head, end;

    if (!r)
        return;
    head = load_owned(r->cq_head);
    end = head + submit(r, queue(r, reads, n));
    while (load_acquire(r->cq_tail) != end) /* pairs with the kernel's */
        (void)rn__os_ring_await(r, end - head);
    add_relaxed(&rn__netpoll_ahead, end - head);
    for (; head != end; head++) {
        const struct io_uring_cqe *c = &r->cqes[head & r->cq_mask];

        if (is_of_socket(c->res))
            ((struct fd_read *)(uintptr_t)c->user_data)->n = c->res;
    }
    store_release(r->cq_head, head); /* pairs with the kernel's: it may use the places again */
}

void rn__ahead_end(struct proc *p)
{
    struct os_ring *r = load_acquire(&p->reads); /* pairs with ring_new */

    if (!r)
        return;
    rn__os_ring_close(r);
    rn__mem_free(r);
    p->reads = NULL;
}

void rn__ahead_fork(struct rt *rt)
{
    for (uint32_t i = 0; i < load_relaxed(&rt->nprocs); i++)
        rn__ahead_end(&rt->procs[i]);
}
