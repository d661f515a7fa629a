/* SPDX-License-Identifier: MIT */
/*
 * lot.h - waiting by address: the queue of every synchronisation object that has no room for one.
 *
 * A waiter lies on the stack of whoever waits. Objects are found through a table of buckets keyed by
 * their address; a bucket's lock is also the lock of the slow paths of the objects that hash to it. A
 * wake-up touches the object's address but never its memory, so an object may be gone by the time that
 * it is woken "by address" (decision 9). The price: a waker that comes late may find waiters of a new
 * object at the same address. Therefore a waiter re-checks its condition when it was woken without a
 * grant, and grants are given under the bucket's lock to a waiter that is in the queue.
 *
 * tag is the kind of object (an enum of sync/): queues of different kinds at one address are apart.
 */
#ifndef RN_SRC_LOT_H
#define RN_SRC_LOT_H

#include "sched/sched.h"

struct rn_ctx;

enum lot_tag {
    LOT_MUTEX,
    LOT_RW_READER,
    LOT_RW_WRITER,
    LOT_WG,
    LOT_ONCE,
    LOT_COND,
    LOT_SEM,
    LOT_GROUP,
    LOT_GROUP_SLOT,
    LOT_FLIGHT,
    LOT_HOOK,
    LOT_SETTLE
};

struct lot_waiter {
    struct lot_waiter *next, *prev; /* same address and tag, oldest first; guarded by the bucket */
    struct lot_waiter *chain;       /* next address in the bucket: valid in a queue's head */
    struct lot_waiter *tail;        /* valid in a queue's head */
    const void *addr;
    struct g *g;
    uint32_t tag;
    uint8_t queued;    /* is in the queue; guarded by the bucket */
    uint8_t cancelled; /* taken out because its context ended; guarded by the bucket */
    uint8_t granted;   /* for the object's use: what it waited for was given to it */
    uint64_t arg;      /* for the object's use */
    /* Called, with the bucket locked, when the end of rn_run has taken w out: gives back what w counted as in
     * the object. NULL after rn__lot_enqueue. */
    void (*dropped)(struct lot_waiter *w);
};

struct lot_bucket;

/* Lock the bucket of addr. */
struct lot_bucket *rn__lot_lock(const void *addr);
void rn__lot_unlock(struct lot_bucket *b);
/* The same without waiting for long, for reports: NULL if it is held, perhaps by who will not go on. */
struct lot_bucket *rn__lot_try_lock(const void *addr);

/* Everything below with the bucket of addr locked. */

/* Put w (of the calling goroutine) at the end, or the front, of addr's queue. Fills w; w->arg is kept. */
void rn__lot_enqueue(struct lot_bucket *b, struct lot_waiter *w, const void *addr, enum lot_tag tag,
                     bool front);
/* The oldest waiter of addr, or NULL; go on with w->next. */
struct lot_waiter *rn__lot_first(struct lot_bucket *b, const void *addr, enum lot_tag tag);
/* Take w out of its queue. */
void rn__lot_remove(struct lot_bucket *b, struct lot_waiter *w);
/* Take all of addr's waiters out; the oldest is returned, linked by next. */
struct lot_waiter *rn__lot_remove_all(struct lot_bucket *b, const void *addr, enum lot_tag tag);

/* Unlocked. */

/*
 * Park the caller, whose w was enqueued; the bucket has been unlocked since. Ends when somebody took w
 * out and readied w->g, or when ctx (NULL: none) ended first: then w is out of the queue, w->cancelled
 * is set and ctx's error is returned. Returns 0 otherwise, also if ctx ended afterwards.
 */
int rn__lot_park(struct lot_waiter *w, enum wait_reason why, struct rn_ctx *ctx);
/* Where the table is, which has pointers to waiters. */
void rn__lot_table(const void **ret_lo, const void **ret_hi);
/* In a child process: nobody waits, no bucket is locked. */
void rn__lot_fork(void);
/* Ready a list that was taken out, linked by next. Nothing of it may be touched afterwards. */
void rn__lot_ready_list(struct lot_waiter *w);

#endif
