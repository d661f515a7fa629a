/* SPDX-License-Identifier: MIT */
/*
 * defer.c - deferred calls: a chain of records on the goroutine's stack, newest first.
 *
 * The block's cleanup runs a record only while it heads the chain; rn_exit runs the whole chain. A record
 * that was never pushed, because a switch or goto jumped over it, does not head the chain and holds no valid
 * magic, so its cleanup does nothing. Records that a longjmp jumped over are still on the chain when an older
 * one's cleanup comes: that one is known by its magic, and the dead ones are dropped with it, unread.
 */
#include "base/tools.h"
#include "sched/rt.h"

enum { MAGIC_SHORT = 0x5df1, MAGIC_FULL = 0x5df2 };

static uintptr_t magic_of(const struct rn__defer1 *d, uintptr_t kind)
{
    return (uintptr_t)d ^ (kind << 44);
}

void rn__defer1_push(struct rn__defer1 *d, void (*fn)(void), uint64_t arg)
{
    struct g *g = rn__self();

    d->fn = fn;
    d->arg = arg;
    d->magic = magic_of(d, MAGIC_SHORT);
    d->next = g->defers;
    g->defers = d;
}

static void defer_push(struct rn__call *call)
{
    struct rn__defer *d = container_of(call, struct rn__defer, call);
    struct g *g = rn__self();

    d->head.magic = magic_of(&d->head, MAGIC_FULL);
    d->head.next = g->defers;
    g->defers = &d->head;
}

struct rn__call *rn__defer_begin(struct rn__defer *d, void (*fn)(void))
{
    d->head.magic = 0; /* not pushed until the arguments are captured */
    d->call.fn = fn;
    d->call.op = defer_push;
    return &d->call;
}

void rn__defer_run(void *record)
{
    struct rn__defer1 *d = record;
    struct g *g = rn__self();
    bool full;

    /* One that was jumped over holds what the stack held. */
    tool_defined(&d->magic, sizeof d->magic);
    full = d->magic == magic_of(d, MAGIC_FULL);
    if (!full && d->magic != magic_of(d, MAGIC_SHORT))
        return;
    g->defers = d->next;
    d->magic = 0;
    if (full)
        rn__call_invoke(&container_of(d, struct rn__defer, head)->call);
    else
        ((void (*)(uint64_t))d->fn)(d->arg); /* one integer register, by every ABI we know */
}
