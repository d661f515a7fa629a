/* SPDX-License-Identifier: MIT */
/*
 * lot.c - waiting by address: see lot.h for the contract.
 *
 * A bucket has a lock and a chain of queues, one per (address, tag). A queue has no head of its own: its
 * oldest waiter carries the queue's tail and the link to the bucket's next queue, and hands both on when
 * it leaves. So nothing is ever allocated, and an address without waiters has no trace here.
 *
 * Invariants, with the bucket locked
 *   I1  w->queued is 1 exactly while w is in a queue of the bucket of w->addr.
 *   I2  a waiter without prev is the head of its queue; the head's tail is the queue's last, whose next is
 *       NULL; chain and tail of any other waiter mean nothing.
 *   I3  whoever takes w out, and nobody else, readies w->g; nobody takes w out twice.
 *
 * Edges
 *   The bucket's lock orders everything under it: what an object's owner wrote to a waiter (granted) is
 *   seen by the waiter through rn__ready -> the return of rn__park, which the scheduler orders.
 *
 * Who wins, when a waiter is woken and its context ends at the same time: whoever locks the bucket first.
 * The other finds queued == 0 and does nothing. The waiter then takes its hook out of the context, which
 * waits until a hook that fired too late has returned: only then may the waiter's stack frame go.
 *
 * A waiter is registered before it parks. In between it may only do what cannot be waiting for another
 * registered goroutine to leave its CPU (see sched.h). rn__ctx_hook_add is such a thing. Unlocking a mutex
 * in between, as rn_cond_wait does, is one too: it may wait for a mutex waiter to leave its CPU, but a mutex
 * waiter between its registration and its park waits for nobody.
 *
 * Buckets are a cache line each, so that neighbours in the table do not slow each other down; pages of the
 * table that are not used cost nothing. 4096 of them keep chains short with a hundred thousand addresses
 * waited on.
 *
 * Rejected: a lock-free table (the wake-up itself costs several times what the lock does); growing the
 * table (needs a second lookup while it moves); a balanced tree per bucket as in Go (chains this short do
 * not need one).
 */
#include "sched/lot.h"

#include "arch/arch.h"
#include "ctx/ctx.h"

enum { BUCKETS = 4096, BUCKET_BITS = 12, TRIES = 1000 };

struct lot_bucket {
    struct spin lock;
    struct lot_waiter *chain; /* heads of queues; guarded by lock */
} ALIGNED(CACHE_LINE);

static struct lot_bucket table[BUCKETS];

static struct lot_bucket *bucket_of(const void *addr)
{
    /* Fibonacci hashing: the high bits of the product depend on all bits of the address. */
    uint64_t hash = (uint64_t)(uintptr_t)addr * 0x9E3779B97F4A7C15u;

    return &table[hash >> (64 - BUCKET_BITS)];
}

struct lot_bucket *rn__lot_lock(const void *addr)
{
    struct lot_bucket *b = bucket_of(addr);

    spin_lock(&b->lock);
    return b;
}

struct lot_bucket *rn__lot_try_lock(const void *addr)
{
    struct lot_bucket *b = bucket_of(addr);

    for (unsigned tries = 0; tries < TRIES; tries++) {
        if (spin_try(&b->lock))
            return b;
        cpu_relax();
    }
    return NULL;
}

void rn__lot_unlock(struct lot_bucket *b)
{
    spin_unlock(&b->lock);
}

/* The link that points to the head of addr's queue, or the NULL at the end of the chain. */
static struct lot_waiter **queue_find(struct lot_bucket *b, const void *addr, uint32_t tag)
{
    struct lot_waiter **at = &b->chain;

    while (*at && ((*at)->addr != addr || (*at)->tag != tag))
        at = &(*at)->chain;
    return at;
}

void rn__lot_enqueue(struct lot_bucket *b, struct lot_waiter *w, const void *addr, enum lot_tag tag,
                     bool front)
{
    struct lot_waiter **at = queue_find(b, addr, tag);
    struct lot_waiter *head = *at;

    w->addr = addr;
    w->tag = tag;
    w->g = rn__self();
    w->queued = 1;
    w->cancelled = 0;
    w->granted = 0;
    w->dropped = NULL;
    w->next = NULL;
    w->prev = NULL;
    if (!head) {
        w->tail = w;
        w->chain = NULL;
        *at = w;
    } else if (front) {
        w->next = head;
        w->tail = head->tail;
        w->chain = head->chain;
        head->prev = w;
        *at = w;
    } else {
        w->prev = head->tail;
        head->tail->next = w;
        head->tail = w;
    }
}

struct lot_waiter *rn__lot_first(struct lot_bucket *b, const void *addr, enum lot_tag tag)
{
    return *queue_find(b, addr, tag);
}

void rn__lot_remove(struct lot_bucket *b, struct lot_waiter *w)
{
    struct lot_waiter *next = w->next;

    assert(w->queued);
    w->queued = 0;
    if (w->prev) { /* I2: not the head, so nothing to hand on, but the tail may be w */
        w->prev->next = next;
        if (next) {
            next->prev = w->prev;
        } else {
            struct lot_waiter *head = *queue_find(b, w->addr, w->tag);

            assert(head);
            head->tail = w->prev;
        }
    } else {
        struct lot_waiter **at = queue_find(b, w->addr, w->tag);

        assert(*at == w);
        if (next) {
            next->prev = NULL;
            next->tail = w->tail;
            next->chain = w->chain;
            *at = next;
        } else {
            *at = w->chain;
        }
    }
}

struct lot_waiter *rn__lot_remove_all(struct lot_bucket *b, const void *addr, enum lot_tag tag)
{
    struct lot_waiter **at = queue_find(b, addr, tag);
    struct lot_waiter *head = *at;

    if (head)
        *at = head->chain;
    for (struct lot_waiter *w = head; w; w = w->next)
        w->queued = 0;
    return head;
}

/* ---- Parking -------------------------------------------------------------------------------------- */

/* A wait that a context may end. */
struct lot_wait {
    struct ctx_hook hook;
    struct lot_waiter *w;
};

/* Take w out if nobody has yet. */
static bool take_out(struct lot_waiter *w, bool cancelled)
{
    struct lot_bucket *b = rn__lot_lock(w->addr);
    bool mine = w->queued;

    if (mine) {
        rn__lot_remove(b, w);
        w->cancelled = cancelled;
        if (!cancelled && w->dropped)
            w->dropped(w);
    }
    rn__lot_unlock(b);
    return mine;
}

/* The context ended. The waiter cannot be gone: it waits for this to return before it goes. */
static void cancel(struct ctx_hook *h)
{
    struct lot_waiter *w = container_of(h, struct lot_wait, hook)->w;

    if (take_out(w, true))
        rn__ready(w->g);
}

static bool unlink_plain(void *wait)
{
    return take_out(wait, false);
}

/* The goroutine will not run again, so its hook has to go too, whoever took it out. */
static bool unlink_hooked(void *wait)
{
    struct lot_wait *lw = wait;
    bool mine = take_out(lw->w, false);

    rn__ctx_hook_remove(&lw->hook);
    return mine;
}

int rn__lot_park(struct lot_waiter *w, enum wait_reason why, struct rn_ctx *ctx)
{
    struct lot_wait wait;
    int err;

    if (!ctx) {
        rn__park(w->g, why, w->addr, unlink_plain, w);
        return 0;
    }
    wait.w = w;
    wait.hook = (struct ctx_hook){.fire = cancel};
    if (!rn__ctx_hook_add(ctx, &wait.hook)) {
        err = rn_ctx_err(ctx);
        if (err && take_out(w, true))
            return err;
        /* It never ends; or it has, but somebody took w out first, and will ready us. */
        rn__park(w->g, why, w->addr, unlink_plain, w);
        return 0;
    }
    w->g->unlink_always = true; /* the hook has to go */
    rn__park(w->g, why, w->addr, unlink_hooked, &wait);
    rn__ctx_hook_remove(&wait.hook);
    return w->cancelled ? rn_ctx_err(ctx) : 0;
}

void rn__lot_table(const void **ret_lo, const void **ret_hi)
{
    *ret_lo = table;
    *ret_hi = table + BUCKETS;
}

void rn__lot_fork(void)
{
    for (size_t i = 0; i < BUCKETS; i++)
        if (table[i].chain || table[i].lock.word) /* so that clean pages stay shared */
            table[i] = (struct lot_bucket){.chain = NULL};
}

void rn__lot_ready_list(struct lot_waiter *w)
{
    struct lot_waiter *next;

    for (; w; w = next) {
        next = w->next;
        rn__ready(w->g); /* w is gone with this */
    }
}
