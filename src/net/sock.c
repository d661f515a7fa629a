/* SPDX-License-Identifier: MIT */
/* sock.c - the life of connections and listeners, and their deadlines: see sock.h. */
#include "net/sock.h"

#include <stdlib.h>

#include "base/mem.h"
#include "ctx/ctx.h"
#include "os/socket.h"

char rn__io_sync;

static void expire(struct sock *s, uint32_t direction)
{
    rn__fd_expire(s->desc, s->gen, direction, true);
}
static void read_expires(struct timer *t, int64_t when)
{
    (void)when;
    expire(container_of(t, struct sock, timer[RN_READ - 1]), RN_READ);
}
static void write_expires(struct timer *t, int64_t when)
{
    (void)when;
    expire(container_of(t, struct sock, timer[RN_WRITE - 1]), RN_WRITE);
}

void *rn__sock_new(size_t size, int fd, bool stream)
{
    struct fd_desc *d = rn__fd_desc(fd);
    struct sock *s = d ? rn__mem_new_zero(size, CACHE_LINE) : NULL;

    if (!s)
        return NULL;
    s->users = 1;
    s->refs = 2;
    s->fd = fd;
    s->stream = stream;
    s->desc = d;
    s->gen = rn__fd_open(d, &s->ops);
    s->timer[RN_READ - 1] = (struct timer){.kind = TIMER_BORROWED, .fire = read_expires};
    s->timer[RN_WRITE - 1] = (struct timer){.kind = TIMER_BORROWED, .fire = write_expires};
    return s;
}

static void unref(struct sock *s)
{
    if (sub_acq_rel(&s->refs, 1) == 1) /* pairs with the other's */
        rn__mem_free(s);
}

/* Closed, and the last call has left. */
void rn__sock_finish(struct sock *s)
{
    edge_release(&rn__io_sync);
    rn__timer_stop_sync(&s->timer[0]);
    rn__timer_stop_sync(&s->timer[1]);
    rn__os_close(s->fd);
    rn__mem_free(s->path);
    unref(s);
}

void rn__sock_cancel(struct sock *s)
{
    uint32_t n = load_relaxed(&s->ops);

    do {
        if (n & OPS_CLOSED)
            return;
    } while (!cas_acq_rel(&s->ops, &n,
                          (n | OPS_CLOSED) + OP_ONE)); /* a call itself: fd stays ours meanwhile */
    if (s->path)
        rn__os_unlink(s->path);
    rn__fd_close(s->desc, s->gen, s->shared);
    if (n) /* the descriptor stays open a little: let the peer know, and the port go */
        rn__os_shutdown(s->fd, SHUT_RDWR);
    sock_leave(s);
}

void rn__sock_retain(struct sock *s)
{
    add_relaxed(&s->users, 1);
}

void rn__sock_release(struct sock *s)
{
    if (sub_acq_rel(&s->users, 1) != 1) /* pairs with the other users' */
        return;
    rn__sock_cancel(s);
    unref(s);
}

/* The goroutine of a call in progress will not run again. */
void rn__op_dropped(struct fd_call *call)
{
    op_end(container_of(call, struct op, call));
}

/* Somebody has the turn, or it was not asked for at the begin. */
int rn__op_turn(struct op *op)
{
    uint32_t n = load_relaxed(&op->s->ops);
    int err = 0;

    do {
        if (n & (TURN_TAKEN | TURN_AWAITED)) {
            err = rn__fd_turn_wait(&op->call, &op->s->ops);
            break;
        }
    } while (!cas_acquire(&op->s->ops, &n, n | TURN_TAKEN)); /* as sock_enter_in_turn */
    op->call.has_turn = !err;
    if (err)
        op_end(op);
    return err;
}

bool rn__op_unlink(void *op)
{
    op_end(op);
    return true;
}

/* ---- Deadlines ------------------------------------------------------------------------------------------------ */

int rn__sock_set_deadline(struct sock *s, uint32_t directions, int64_t t)
{
    int err = 0;

    if (!sock_enter(s))
        return -ECANCELED;
    spin_lock(&s->hands);
    for (uint32_t dir = RN_READ; dir <= RN_WRITE && !err; dir <<= 1) {
        struct timer *timer = &s->timer[dir - 1];

        if (!(directions & dir))
            continue;
        rn__timer_stop_sync(timer); /* a passing under way has passed when this returns */
        rn__fd_expire(s->desc, s->gen, dir, false);
        store_relaxed(&s->deadline[dir - 1], t);
        if (t)
            err = rn__timer_start(timer, t);
        if (err)
            store_relaxed(&s->deadline[dir - 1], 0);
    }
    spin_unlock(&s->hands);
    sock_leave(s);
    return err;
}

/* Arm the timer of a deadline if the end of a runtime has dropped it. Without memory it is tried at the next wait. */
void rn__sock_rearm(struct sock *s, uint32_t direction)
{
    struct timer *timer = &s->timer[direction - 1];
    int64_t at;

    if (load_acquire(&timer->state) != 0 || rn__fd_expired(s->desc) & direction)
        return;
    spin_lock(&s->hands);
    at = load_owned(&s->deadline[direction - 1]);
    if (at && load_acquire(&timer->state) == 0 && !(rn__fd_expired(s->desc) & direction))
        (void)rn__timer_start(timer, at);
    spin_unlock(&s->hands);
}
