/* SPDX-License-Identifier: MIT */
/*
 * netpoll.h - waiting for descriptors: the contract for the scheduler, and the one for src/net.
 */
#ifndef RN_SRC_NETPOLL_H
#define RN_SRC_NETPOLL_H

#include <runnel/io.h>

#include "netpoll/backend.h"
#include "sched/sched.h"

struct rn_ctx;

/* ---- For the scheduler ------------------------------------------------------------------------------- */

extern int32_t rn__netpoll_registered; /* atomic: descriptors that the backend watches */

extern uint64_t rn__netpoll_woken; /* atomic: how many waits the scheduler has ended, ever */
extern uint64_t rn__netpoll_ahead; /* atomic: and how many reads it made for them */

/* Does anybody have to poll at all? */
static inline bool rn__netpoll_active(void)
{
    return load_relaxed(&rn__netpoll_registered) != 0;
}

/* Edges that were fetched and not delivered. */
struct poll_batch {
    int count;
    struct poll_event events[POLL_BATCH];
};

/*
 * Wait at most until the time until (now_ns()'s clock; 0: do not wait; INT64_MAX: for ever) for edges, or for a break
 * after *told has become 1; how many edges there are. Whoever fetches delivers, and soon. From any number of threads,
 * although one that waits is enough.
 */
int rn__netpoll_fetch(struct poll_batch *b, int64_t until, const uint32_t *told);
/* Ready whoever waits for what is in b; how many. Goroutines go to the caller's processor if it has one. */
int rn__netpoll_deliver(struct poll_batch *b);
/* Both, without waiting. */
int rn__netpoll_poll(void);
/* Let a fetch that waits return: called after its told was set to 1. */
void rn__netpoll_break(void);
/* Does somebody wait for a descriptor? Slow: for whoever suspects a deadlock. */
bool rn__netpoll_awaited(void);
/*
 * The end of a runtime: its goroutines wait no more, no worker polls, and none will start before this returns.
 * Threads that wait begin anew, which starts a runtime, unless the process ends. The instance is closed.
 */
void rn__netpoll_stop(bool process_ends);

/* In the child of a fork: nobody waits there, and the instance is the parent's. */
void rn__netpoll_fork(void);

/* A descriptor of the library's own, whose edges are rn__ring_edge's (src/file). Gone with the instance. */
int rn__netpoll_add_ring(int fd);

/* ---- For src/net ------------------------------------------------------------------------------------- */

/* The record of a descriptor number; see netpoll.c. Only what is atomic is for others, by the functions below. */
struct fd_desc {
    struct spin lock;
    int fd;
    /* Guarded by lock, unless noted. */
    uint32_t gen;     /* atomic for readers without the lock */
    uint32_t epoch;   /* atomic likewise: of the instance it was added to; 0: to none */
    uint32_t expired; /* atomic likewise: directions whose deadline has passed */
    bool more;        /* atomic likewise: POLL_MORE has come; set before the edge is counted */
    uint64_t edges;   /* atomic likewise: of reading in the low half, of writing in the high half */
    struct fd_wait *first; /* atomic for who only fetches it ahead */
    struct fd_wait *last;
    uint32_t *turns; /* the owner's word with TURN_TAKEN, or NULL */
} ALIGNED(CACHE_LINE);
_Static_assert(sizeof(struct fd_desc) == CACHE_LINE, "a record is a line");

enum { FD_TURN = 4 }; /* beside RN_READ and RN_WRITE: the turn */

/* A read, as recv(2), which the poller may make for who waits; then no other wait with the same edge gets it. Reads and
 * writes of it are ordered by the wait. */
struct fd_read {
    int fd;
    void *buf;
    size_t size;
    int64_t n;      /* FD_UNREAD, or the result of a read after edges */
    uint64_t edges; /* written before n */
};
#define FD_UNREAD INT64_MIN

/* How a wait goes on. */
struct fd_call {
    struct fd_desc *desc;
    uint32_t gen; /* whose descriptor it is: from rn__fd_open */
    bool foreign; /* the descriptor may be closed and reused without our knowing */
    struct rn_ctx *ctx;
    struct fd_read
        *read; /* what its waits for reading are to read, or NULL; of what stays open in the call */
    /* NULL, or called once if the end of rn_run takes away the goroutine that waits. */
    void (*dropped)(struct fd_call *call);
    bool
        has_turn; /* the caller's; and set when the turn is handed to who will not run again, before dropped */
};

/* The record of fd; NULL: no memory, or a number beyond reason. */
struct fd_desc *rn__fd_desc(int fd);
/* A new owner, who knows of every use; returns its generation. turns: where its turn is, or NULL. */
uint32_t rn__fd_open(struct fd_desc *d, uint32_t *turns);
/* The owner's last word, before close(2): all who wait get -ECANCELED, as do those who come later with gen. shared: others
 * have the open file description, which close(2) leaves in the instance. */
void rn__fd_close(struct fd_desc *d, uint32_t gen, bool shared);
/* Edges so far: to be read before trying what may say EAGAIN, and given to rn__fd_wait. */
static inline uint64_t rn__fd_edges(struct fd_desc *d)
{
    return load_acquire(&d->edges); /* an attempt that follows sees what was there at the edge */
}
/* After edges were read: has an edge until then been more than data? If not, and a read of a stream after that has
 * found less than it asked for, there is nothing to read before the next edge. */
static inline bool rn__fd_more(struct fd_desc *d)
{
    return load_relaxed(&d->more);
}
/*
 * Wait for edges of want (RN_READ, RN_WRITE) after edges. Returns those that came, 0 for "try again", -ECANCELED when
 * closed, -ETIMEDOUT when a deadline of that direction has passed, the context's error, -ENOMEM and the like.
 */
int rn__fd_wait(struct fd_call *call, uint32_t want, uint64_t edges);
/* The same, but 0 from the time until on. */
int rn__fd_wait_until(struct fd_call *call, uint32_t want, uint64_t edges, int64_t until);
/* Wait for nothing until the time until: 0, or an error as above, where want chooses the deadline. */
int rn__fd_pause(struct fd_call *call, uint32_t want, int64_t until);
/*
 * The turn: one at a time, first come, first served. It is two bits of a word of the owner's: who finds neither set takes
 * the turn by setting TURN_TAKEN, and who has it and finds no TURN_AWAITED gives it back by clearing that, both by an atomic
 * exchange of the word, with whatever else that means. Only otherwise are these two called.
 */
enum { TURN_TAKEN = 2, TURN_AWAITED = 4 };
/* Take the turn, or wait for it. 0, or an error as above. */
int rn__fd_turn_wait(struct fd_call *call, uint32_t *turns);
/* Hand it to who waits for it, or give it back. */
void rn__fd_turn_pass(struct fd_desc *d, uint32_t gen, uint32_t *turns);
/* The deadline of direction (RN_READ or RN_WRITE) has passed, or has not: see src/net. */
void rn__fd_expire(struct fd_desc *d, uint32_t gen, uint32_t direction, bool passed);
/* Deadlines that have passed. */
static inline uint32_t rn__fd_expired(struct fd_desc *d)
{
    return load_relaxed(&d->expired);
}

#endif
