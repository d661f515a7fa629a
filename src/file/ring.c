/* SPDX-License-Identifier: MIT */
/*
 * ring.c - a goroutine waits for io_uring.
 *
 * There is one ring for a runtime, made when somebody first needs it, if the kernel has one for us: RUNNEL_IO_URING=0,
 * a sandbox, a setting of the administrator's, an old kernel or Valgrind may say no, once and for all. Who gets no
 * ring uses a helper thread instead, silently.
 *
 * A request lies on the stack of its goroutine. One word says how it stands: who waits, and two bits.
 *
 *   DONE    its result is there, and nobody but the goroutine touches it any more
 *   ENDED   its context has ended: the goroutine is to ask the kernel to give up
 *
 * Whoever sets a bit takes the waiter out of the word in the same step, and readies it; so it is readied once per park.
 * A goroutine never leaves before DONE: until then the kernel may write to its buffer. So the end of a context only
 * makes it ask for a cancellation, and wait on; likewise the end of the runtime (op_unlink), which asks for it and
 * collects completions itself, since nobody else does then.
 *
 * Submitting. Requests are put into the queue under sq_lock, and given to the kernel by whoever finds nobody doing so:
 * it goes on until none are left, those of others included. So no lock is held during the system call, and under load
 * one call takes many requests. What the kernel refuses to take, for good or too often, comes back as -ENOSYS.
 *
 * Completions are collected under cq_lock: by whoever has submitted, where most that need no disk are found at once and
 * nobody parks; and by the poller, to whom the ring's descriptor is one more that becomes readable. No more requests are in
 * flight than the completion queue has room for, each counted twice, for its cancellation; who comes beyond gets
 * -ENOSYS.
 *
 * The kernel binds requests to the thread that submitted them: they fail if it ends, as idle workers do, with -ECANCELED
 * or -EFAULT. What nobody has asked for is -ENOSYS too: it was not done, and a helper thread does it, and finds out
 * about the address if it is wrong.
 *
 * Life. refs: one for the runtime, one for each request. The last one closes it, so that a goroutine that outlives its
 * runtime in a C call still has its ring. A child process has none of its parent's.
 *
 * Lock order: ring_lock before netpoll's; the others are leaves. Nothing is readied under any.
 */
#include "file/ring.h"

#include <linux/io_uring.h>

#include "base/mem.h"
#include "ctx/ctx.h"
#include "netpoll/netpoll.h"
#include "os/os.h"
#include "os/ring.h"
#include "sched/rt.h"

int rn__ring_edge(void);
bool rn__ring_awaited(void);
void rn__ring_stop(void);
void rn__ring_fork(void);

enum { ENTRIES = 128, COMPLETIONS = 1024, IN_FLIGHT = COMPLETIONS / 2 - 1, REFUSALS = 1000 };
static const uintptr_t done_bit = 1, ended_bit = 2, bits = 3;

struct ring {
    struct os_ring os;
    uint32_t refs;      /* atomic */
    uint32_t in_flight; /* atomic */
    struct spin sq_lock, cq_lock;
    bool submitting; /* guarded by sq_lock */
    bool broken;     /* guarded by sq_lock: the kernel takes no more */
};

struct op {
    uintptr_t word; /* atomic: the parked struct g, and bits */
    int32_t result; /* written before DONE */
    struct ring *ring;
    const struct ring_request *q;
    struct ctx_hook hook;
};

static struct spin ring_lock;
static struct ring *current; /* guarded by ring_lock */

/* ---- The ring -------------------------------------------------------------------------------------------------- */

static void ring_unref(struct ring *r)
{
    if (sub_acq_rel(&r->refs, 1) != 1) /* pairs with the others' */
        return;
    rn__os_ring_close(&r->os);
    rn__mem_free(r);
}

static struct ring *ring_new(void)
{
    struct ring *r = rn__mem_new_zero(sizeof *r, CACHE_LINE);

    if (!r)
        return NULL;
    if (rn__os_ring_open(&r->os, ENTRIES, COMPLETIONS) != 0) {
        rn__mem_free(r);
        return NULL;
    }
    if (rn__netpoll_add_ring(r->os.fd) != 0) {
        rn__os_ring_close(&r->os);
        rn__mem_free(r);
        return NULL;
    }
    r->refs = 1;
    return r;
}

/* A reference to the ring, with room for one more request; NULL: none. */
static struct ring *ring_get(const struct g *g)
{
    struct ring *r;

    if (rn__os_rings() == RINGS_NEVER || g->kind != G_GOROUTINE || load_relaxed(&g->rt->stopping))
        return NULL;
    spin_lock(&ring_lock);
    if (unlikely(!current))
        current = ring_new();
    r = current;
    if (r && add_relaxed(&r->in_flight, 1) >= IN_FLIGHT) {
        add_relaxed(&r->in_flight, (uint32_t)-1);
        r = NULL;
    }
    if (r)
        add_relaxed(&r->refs, 1);
    spin_unlock(&ring_lock);
    return r;
}

static void ring_put(struct ring *r)
{
    sub_release(&r->in_flight, 1);
    ring_unref(r);
}

/* ---- Completions ------------------------------------------------------------------------------------------------- */

/* op's result is there: whom to ready, or NULL. It may be gone after this. */
static struct g *op_done(struct op *op, int32_t result)
{
    uintptr_t word = load_relaxed(&op->word);

    op->result = result;
    while (!cas_acq_rel(&op->word, &word, (word & ended_bit) | done_bit)) /* pairs with op_wait's */
        ;
    return (struct g *)(word & ~bits);
}

/* Collect what has come; how many goroutines were readied. */
static int collect(struct ring *r)
{
    struct g *wake[64];
    int n, total = 0;

    do {
        uint32_t head, tail;

        n = 0;
        spin_lock(&r->cq_lock);
        head = load_owned(r->os.cq_head);
        tail = load_acquire(r->os.cq_tail); /* pairs with the kernel's */
        for (; head != tail && n < 64; head++) {
            const struct io_uring_cqe *cqe = &r->os.cqes[head & r->os.cq_mask];
            struct g *g = cqe->user_data ? op_done((struct op *)(uintptr_t)cqe->user_data, cqe->res)
                                         : NULL;

            if (g)
                wake[n++] = g;
        }
        store_release(r->os.cq_head,
                      head); /* pairs with the kernel's: it may use the places again */
        spin_unlock(&r->cq_lock);
        for (int i = 0; i < n; i++)
            rn__ready(wake[i]);
        total += n;
    } while (n == 64);
    return total;
}

int rn__ring_edge(void)
{
    struct ring *r;
    int n;

    spin_lock(&ring_lock);
    r = current;
    if (r)
        add_relaxed(&r->refs, 1);
    spin_unlock(&ring_lock);
    if (!r)
        return 0;
    n = collect(r);
    ring_unref(r);
    return n;
}

bool rn__ring_awaited(void)
{
    bool any;

    spin_lock(&ring_lock);
    any = current && load_acquire(&current->in_flight) > 0;
    spin_unlock(&ring_lock);
    return any;
}

/* ---- Requests ------------------------------------------------------------------------------------------------------- */

/* The kernel takes nothing of what is queued: give it back. sq_lock is held, and let go of. */
static COLD void give_back(struct ring *r)
{
    struct g *wake[ENTRIES];
    uint32_t head = load_acquire(r->os.sq_head), tail = load_owned(r->os.sq_tail);
    int n = 0;

    for (uint32_t at = head; at != tail; at++) {
        const struct io_uring_sqe *s = &r->os.sqes[at & r->os.sq_mask];
        struct g *g = s->user_data ? op_done((struct op *)(uintptr_t)s->user_data, -ENOSYS) : NULL;

        if (g)
            wake[n++] = g;
    }
    store_release(r->os.sq_tail, head);
    r->submitting = false;
    spin_unlock(&r->sq_lock);
    while (n > 0)
        rn__ready(wake[--n]);
}

/* See to it that the kernel gets all that is queued. */
static void submit(struct ring *r)
{
    int refused = 0;

    spin_lock(&r->sq_lock);
    if (r->submitting) { /* by somebody, who looks again before it stops */
        spin_unlock(&r->sq_lock);
        return;
    }
    r->submitting = true;
    for (;;) {
        uint32_t n = load_owned(r->os.sq_tail) -
                     load_acquire(r->os.sq_head); /* pairs with the kernel's */
        int took;

        if (n == 0)
            break;
        spin_unlock(&r->sq_lock);
        took = rn__os_ring_submit(&r->os, n);
        if (took == -EAGAIN || took == -EBUSY) { /* no memory for requests, or completions first */
            (void)collect(r);
            rn__os_thread_yield();
        }
        spin_lock(&r->sq_lock);
        if (took > 0 || took == -EINTR)
            continue;
        if ((took < 0 && took != -EAGAIN && took != -EBUSY) || ++refused > REFUSALS) {
            r->broken = r->broken || refused <= REFUSALS;
            give_back(r);
            return;
        }
    }
    r->submitting = false;
    spin_unlock(&r->sq_lock);
}

/* Queue a request. False: there is no room, or no use. */
static bool queue(struct ring *r, const struct io_uring_sqe *s)
{
    for (int tries = 0; tries < 3; tries++) {
        uint32_t tail;
        bool ok;

        spin_lock(&r->sq_lock);
        tail = load_owned(r->os.sq_tail);
        ok = !r->broken &&
             tail - load_acquire(r->os.sq_head) < r->os.entries; /* pairs with the kernel's */
        if (ok) {
            r->os.sqes[tail & r->os.sq_mask] = *s;
            store_release(r->os.sq_tail, tail + 1); /* pairs with the kernel's */
        }
        spin_unlock(&r->sq_lock);
        if (ok)
            return true;
        submit(r);
    }
    return false;
}

/* Ask the kernel to give up. If there is no room for that, it will be done in its time. */
static void ask_cancel(struct op *op)
{
    struct io_uring_sqe s = {.opcode = IORING_OP_ASYNC_CANCEL, .fd = -1, .addr = (uintptr_t)op};

    if (queue(op->ring, &s))
        submit(op->ring);
}

static void hook_fire(struct ctx_hook *h)
{
    struct op *op = container_of(h, struct op, hook);
    uintptr_t word = load_relaxed(&op->word);

    while (!cas_acq_rel(&op->word, &word, (word & done_bit) | ended_bit)) /* pairs with op_wait's */
        ;
    if (word & ~bits)
        rn__ready((struct g *)(word & ~bits));
}

/* The end of rn_run: the goroutine will not run again, so the kernel has to let go of its stack. */
static bool op_unlink(void *wait)
{
    struct op *op = wait;
    struct ring *r = op->ring;
    uintptr_t word = load_relaxed(&op->word);

    while (!cas_acq_rel(&op->word, &word, word & bits)) /* pairs with the others' */
        ;
    if (!(word & done_bit))
        ask_cancel(op);
    while (!(load_acquire(&op->word) & done_bit)) { /* pairs with op_done */
        submit(r);
        (void)collect(r);
        rn__os_thread_sleep(20000);
    }
    rn__ctx_hook_remove(&op->hook);
    if (op->q->dropped)
        op->q->dropped(op->q->arg);
    ring_put(r);
    return (word & ~bits) != 0;
}

/* Wait until op is done; true: a cancellation was asked for. */
static bool op_wait(struct op *op)
{
    struct g *g = rn__self();
    bool asked = false;

    if (!(load_acquire(&op->word) & done_bit) && !rn__ctx_hook_add(op->q->ctx, &op->hook) &&
        rn_ctx_err(op->q->ctx))
        hook_fire(&op->hook);
    for (;;) {
        uintptr_t word = load_acquire(&op->word);

        if (word & done_bit)
            break;
        if (word & ended_bit && !asked) {
            asked = true;
            ask_cancel(op);
            (void)collect(op->ring);
            continue;
        }
        if (!cas_acq_rel(&op->word, &word, word | (uintptr_t)g))
            continue;
        g->unlink_always = true;
        rn__park(g, WAIT_IO, op, op_unlink, op);
    }
    rn__ctx_hook_remove(&op->hook);
    return asked;
}

ssize_t rn__ring_do(const struct ring_request *q)
{
    struct io_uring_sqe s = {.fd = q->fd};
    struct op op = {.q = q, .hook = {.fire = hook_fire}};
    struct ring *r = ring_get(rn__self());
    bool asked;

    if (!r)
        return -ENOSYS;
    op.ring = r;
    if (q->what <= RING_WRITE) {
        s.opcode = q->what == RING_READ ? IORING_OP_READV : IORING_OP_WRITEV;
        s.addr = (uintptr_t)q->iov;
        s.len = (uint32_t)q->count;
        s.off = (uint64_t)q->offset;
    } else {
        s.opcode = IORING_OP_FSYNC;
        s.fsync_flags = q->what == RING_DATASYNC ? IORING_FSYNC_DATASYNC : 0;
    }
    s.user_data = (uintptr_t)&op;
    if (!queue(r, &s)) {
        ring_put(r);
        return -ENOSYS;
    }
    submit(r);
    (void)collect(r);
    asked = op_wait(&op);
    ring_put(r);
    switch (op.result) {
    case -ECANCELED:
    case -EINTR:
    case -EAGAIN:
    case -EFAULT:
        return asked ? rn_ctx_err(q->ctx) : -ENOSYS;
    default:
        return op.result;
    }
}

/* ---- Ends ------------------------------------------------------------------------------------------------------------ */

void rn__ring_stop(void)
{
    struct ring *r;

    spin_lock(&ring_lock);
    r = current;
    current = NULL;
    spin_unlock(&ring_lock);
    if (r)
        ring_unref(r);
}

void rn__ring_fork(void)
{
    struct ring *r = current;

    ring_lock = (struct spin){0};
    current = NULL;
    if (!r)
        return;
    rn__os_ring_close(&r->os); /* the parent's stays */
    rn__mem_free(r);
}
