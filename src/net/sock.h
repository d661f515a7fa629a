/* SPDX-License-Identifier: MIT */
/*
 * sock.h - what connections and listeners have in common.
 *
 * Life. ops counts the calls in progress, and has the closed bit: a call begins only while that is not set. So the
 * descriptor is closed, by the last call in progress or by the close itself, when nobody can use its number any more,
 * and exactly once. The memory goes when the descriptor is closed and the last user's reference given up: refs counts
 * the two.
 *
 * A call: op_begin; note the edges, try, op_wait on EAGAIN, again; op_end. Nobody holds anything else meanwhile, but
 * writers the turn, which lies in ops too, so that to begin a write and to end it is one atomic exchange each. Neither of
 * its bits outlasts the last call in progress: see rn__fd_turn_wait. If the end of rn_run takes the goroutine away in op_wait, op_dropped ends the call in its stead.
 *
 * Deadlines. The time is kept here, and a timer per direction. Passing marks the record of the descriptor, under its
 * lock, and wakes who waits there; who comes later sees the mark, or the time. The end of a runtime drops timers:
 * op_wait arms one that should be and is not. hands is held by whoever sets a deadline, and nobody is readied under
 * it: a deadline in the past is left to the timer too.
 */
#ifndef RN_SRC_NET_SOCK_H
#define RN_SRC_NET_SOCK_H

#include <runnel/ctx.h>
#include <runnel/net.h>
#include <sys/socket.h>

#include "base/tools.h"
#include "netpoll/netpoll.h"
#include "sched/rt.h"
#include "time/timer.h"

/* How to read and write. */
enum sock_how {
    HOW_SOCKET, /* as a socket; its descriptor may be in blocking mode */
    HOW_FILE,   /* a pipe, a terminal, ...; non-blocking */
    HOW_BLOCKING /* the same in blocking mode, which is not ours to change: wait for readiness, then call */
};

/* What each call touches lies in the first cache line: of ten thousand connections none has its lines in a cache. */
struct sock {
    uint32_t ops;   /* atomic: OP_ONE each, OPS_CLOSED, TURN_TAKEN and TURN_AWAITED */
    uint32_t users; /* atomic */
    uint32_t refs;  /* atomic: one for the users, one for the open descriptor */
    int fd;
    uint32_t gen;
    bool stream;
    bool tcp;    /* a stream, or a listener for them, of TCP */
    uint8_t how; /* enum sock_how */
    bool
        shared; /* somebody else has the same open file description: its mode is not ours, and our close is not its last */
    struct fd_desc *desc;
    uint64_t sent; /* atomic; written by who has the turn */
    /* Atomic: DRAINED and the low half of a count of edges: all that came before the next edge was read. 0: unknown. */
    uint64_t drained;
    int64_t deadline[2]; /* atomic: of RN_READ, RN_WRITE; 0: none; written under hands */

    struct spin hands;
    struct timer timer[2]; /* of the deadlines; their start and stop under hands */
    char *path;            /* that binding has made, to be removed at the close, or NULL */
};
_Static_assert(offsetof(struct sock, hands) == CACHE_LINE, "what each call touches");
enum { OPS_CLOSED = 1, OP_ONE = 8 };
static const uint64_t DRAINED = (uint64_t)1 << 32;

struct rn_conn {
    struct sock s;
};
struct rn_listener {
    struct sock s;
};

/* A call in progress, on the caller's stack. */
struct op {
    struct fd_call call;
    struct sock *s;
};

extern char
    rn__io_sync; /* for the tools: who wrote anything is before who read anything, as Go has it */

/* Make fd's; size bytes with the struct sock first. NULL: no memory, and fd is as before. */
void *rn__sock_new(size_t size, int fd, bool stream);
void rn__sock_cancel(struct sock *s);
void rn__sock_retain(struct sock *s);
void rn__sock_release(struct sock *s);
void rn__sock_finish(struct sock *s);
int rn__sock_set_deadline(struct sock *s, uint32_t directions, int64_t t);
void rn__sock_rearm(struct sock *s, uint32_t direction);
void rn__op_dropped(struct fd_call *call);

static inline bool sock_enter(struct sock *s)
{
    uint32_t n = load_relaxed(&s->ops);

    do {
        if (n & OPS_CLOSED)
            return false;
    } while (
        !cas_acquire(&s->ops, &n, n + OP_ONE)); /* pairs with sock_leave, of who made fd usable */
    return true;
}

static inline void sock_leave(struct sock *s)
{
    /* Pairs with the same of the last: what all did with fd is before its close. s may be gone after this. */
    if (unlikely(sub_acq_rel(&s->ops, (uint32_t)OP_ONE) == (OP_ONE | OPS_CLOSED)))
        rn__sock_finish(s);
}

/* The same, with the turn if nobody has it or waits for it. */
static inline bool sock_enter_in_turn(struct sock *s, bool *ret_turn)
{
    uint32_t n = load_relaxed(&s->ops);

    do {
        if (n & OPS_CLOSED)
            return false;
        *ret_turn = !(n & (TURN_TAKEN | TURN_AWAITED));
    } while (!cas_acquire(&s->ops, &n, n + OP_ONE + (*ret_turn ? TURN_TAKEN : 0)));
    return true; /* pairs with sock_leave_turn too: what the last holder did is seen */
}

/* The same, if nobody has the turn or waits for it, nor enters or leaves in this moment: else false, and nothing is done. */
static inline bool sock_enter_alone(struct sock *s)
{
    uint32_t n = load_relaxed(&s->ops);

    return likely(!(n & (OPS_CLOSED | TURN_TAKEN | TURN_AWAITED))) &&
           cas_acquire(&s->ops, &n, n + OP_ONE + TURN_TAKEN);
}

/* Leave, and give the turn back. */
static inline void sock_leave_turn(struct sock *s)
{
    uint32_t n = load_relaxed(&s->ops);

    do {
        if (unlikely(n & TURN_AWAITED)) {
            rn__fd_turn_pass(s->desc, s->gen, &s->ops);
            sock_leave(s);
            return;
        }
    } while (!cas_acq_rel(&s->ops, &n, n - OP_ONE - TURN_TAKEN)); /* as sock_leave */
    if (unlikely(n == (OP_ONE | OPS_CLOSED | TURN_TAKEN)))
        rn__sock_finish(s);
}

static inline void op_end(struct op *op)
{
    if (op->call.has_turn)
        sock_leave_turn(op->s);
    else
        sock_leave(op->s);
}

static inline void op_init(struct op *op, struct sock *s, struct rn_ctx *ctx, bool has_turn)
{
    op->s = s;
    op->call = (struct fd_call){.desc = s->desc,
                                .gen = s->gen,
                                .ctx = ctx,
                                .dropped = rn__op_dropped,
                                .has_turn = has_turn};
}

/* Begin a call in direction; 0, or why not. in_turn: with the turn, if it is free. Not a point where others are let go first: see op_begin. */
static inline int op_begin_now(struct op *op, struct sock *s, struct rn_ctx *ctx,
                               uint32_t direction, bool in_turn)
{
    bool has_turn = false;
    int64_t at;

    if (ctx) {
        int err = rn_ctx_err(ctx);

        if (err)
            return err;
    }
    if (unlikely(!(in_turn ? sock_enter_in_turn(s, &has_turn) : sock_enter(s))))
        return -ECANCELED;
    op_init(op, s, ctx, has_turn);
    at = direction ? load_relaxed(&s->deadline[direction - 1]) : 0;
    if (unlikely(at != 0) && (rn__fd_expired(s->desc) & direction || at <= now_ns())) {
        op_end(op);
        return -ETIMEDOUT;
    }
    return 0;
}

static inline int op_begin(struct op *op, struct sock *s, struct rn_ctx *ctx, uint32_t direction)
{
    wait_point();
    return op_begin_now(op, s, ctx, direction, false);
}

/* Take the turn, in a call that has begun without it. 0, or an error, and the call is over. */
int rn__op_turn(struct op *op);
static inline int op_turn(struct op *op)
{
    return likely(op->call.has_turn) ? 0 : rn__op_turn(op);
}
/* The same as op_begin with the turn. */
static inline int op_begin_in_turn(struct op *op, struct sock *s, struct rn_ctx *ctx,
                                   uint32_t direction)
{
    int err;

    wait_point();
    err = op_begin_now(op, s, ctx, direction, true);
    return err ? err : op_turn(op);
}

/* Wait for an edge of direction after edges; 0, or an error. */
static inline int op_wait(struct op *op, uint32_t direction, uint64_t edges)
{
    int n;

    if (unlikely(load_relaxed(&op->s->deadline[direction - 1]) != 0))
        rn__sock_rearm(op->s, direction);
    n = rn__fd_wait(&op->call, direction, edges);
    return n < 0 ? n : 0;
}

/* The result of a call: what looks like an end or an error of the connection's may be the work of our own close. */
static inline int64_t sock_result(const struct sock *s, int64_t n)
{
    return n <= 0 && load_relaxed(&s->ops) & OPS_CLOSED ? -ECANCELED : n;
}
static inline int64_t op_result(const struct op *op, int64_t n)
{
    return sock_result(op->s, n);
}

/* Around rn_blocking in a call: if the end of rn_run takes the goroutine away in it, the call is ended. */
bool rn__op_unlink(void *op);
static inline void op_block(struct op *op)
{
    struct g *g = rn__self();

    g->unlink = rn__op_unlink;
    g->wait = op;
    g->unlink_always = true;
}
static inline void op_unblock(void)
{
    rn__self()->unlink_always = false;
}

/* ---- Addresses; see addr.c --------------------------------------------------------------------------------- */

enum { NET_ADDRS = 32 }; /* of a name, at most */

struct net_kind {
    int family; /* AF_UNSPEC: IPv4 or IPv6 */
    int type;   /* SOCK_STREAM, SOCK_DGRAM */
};

/* What network means; 0 or -EINVAL with a message. */
int rn__net_kind(const char *network, struct net_kind *ret_kind);
/* The addresses of text, to listen (passive) or to dial; how many, or an error with a message. */
int rn__net_resolve(struct rn_ctx *ctx, struct net_kind kind, const char *network, const char *text,
                    bool passive, rn_addr *ret_addrs, int room);

/* If text names a host that rn_set_resolver's function is to look up: true, with host and port. false: the other way. */
enum { NET_HOST = 256 };
bool rn__net_is_name(struct net_kind kind, const char *text, char host[NET_HOST], int *ret_port);
/* Look host up by that function. */
int rn__net_look_up(struct rn_ctx *ctx, struct net_kind kind, const char *host, rn_found_fn *found,
                    void *arg);
void rn__net_set_port(rn_addr *a, int port);

/* In the words of an rn_addr: a sockaddr, and in the last four bytes its length. */
static inline void addr_set_length(rn_addr *a, socklen_t n)
{
    memcpy((char *)a + sizeof *a - sizeof n, &n, sizeof n);
}
/* As the kernel wrote it, n bytes. What an IPv6 socket knows of an IPv4 peer is that peer's address, as it knows itself; the
 * kernel takes it from an IPv6 socket's owner, too. */
void rn__addr_by_kernel(rn_addr *a, socklen_t n);
static inline int addr_family(const rn_addr *a)
{
    sa_family_t family;

    memcpy(&family, a, sizeof family);
    return family;
}
static inline socklen_t addr_length_of(const rn_addr *a)
{
    socklen_t n;

    memcpy(&n, (const char *)a + sizeof *a - sizeof n, sizeof n);
    return n;
}
enum { ADDR_ROOM = sizeof(rn_addr) - sizeof(uint32_t) };

#endif
