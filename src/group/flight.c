/* SPDX-License-Identifier: MIT */
/*
 * flight.c - calls in flight by key: the first caller of a key makes the call, those that come while it is
 * in flight share its result.
 *
 * The first caller, the leader, has a struct leader on its stack, which is in the flight's tree while its key
 * is to be found there. Followers queue in the lot at the leader's address. When the call has ended the leader
 * takes its key out of the tree, and then everybody out of the queue, and gives each follower its result, the
 * error's message and a copy of *out, before it readies it. Followers are parked, so their stacks may be
 * written to; and the leader need not wait for anybody to read from its own.
 *
 * The tree is a digital search tree over the bits of the key's hash: a node at depth d hangs left or right
 * by bit d. No node but the callers' own, no rotation, depth about log2 of the keys in flight. The hash's
 * bits are reused after the 64th, so keys of one hash hang below each other.
 *
 * rn_exit in the function. The goroutine's completion callback is replaced for the time of the call: it gets
 * the result that rn_exit was given, ends the flight with it, and hands on. Every follower's call
 * returns that result, with *out as it was. (In Go the followers exit too, for want of a result.)
 *
 * Invariants
 *   I1  the tree, and in_tree, change only with the flight's lock held.
 *   I2  a follower queues with the flight's lock held, while its leader is in the tree. So when the leader has
 *       left the tree nobody else queues.
 *   I3  a key is borrowed from its leader while in flight.
 * Lock order: the flight's lock, then the bucket's.
 *
 * Edges
 *   E1  the return of the function -> rn__ready -> the return of each follower's call
 *
 * Last access. The leader's to the flight is the unlock after it left the tree and emptied the queue, before
 * it readies anybody.
 *
 * Rejected: a record per call on the heap with a count of readers (an allocation, and operations on a count,
 * to save copies that are made one way or the other); rn_exit seen by a deferred call (it does not know the
 * result).
 */
#include <runnel/group.h>

#include "base/tools.h"
#include "sched/lot.h"

/* What is in the words of an rn_flight. */
struct flight {
    struct spin lock;
    uint32_t reserved0;
    struct leader *root; /* guarded by lock */
    uint64_t reserved[6];
} __attribute__((may_alias));

_Static_assert(sizeof(struct flight) == sizeof(rn_flight) && sizeof(rn_flight) == 64, "decision 9");

struct leader {
    struct leader *kid[2]; /* guarded by the flight's lock */
    uint64_t hash;
    struct rn__flight_call *call;
    bool in_tree; /* guarded by the flight's lock */
    bool shared;
    void (*done)(void *owner, int result); /* the goroutine's own */
    void *owner;
};

struct follower {
    struct lot_waiter w;
    struct rn__flight_call *call;
    bool exited;
    rn_error error;
};

static inline struct flight *flight_of(rn_flight *f)
{
    return (struct flight *)(void *)f;
}

/* FNV-1a, with a final mix because the tree takes the high bits first. */
static uint64_t hash_of(const char *key)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (; *key; key++)
        hash = (hash ^ (unsigned char)*key) * 0x100000001b3u;
    hash ^= hash >> 32;
    hash *= 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 29;
}

/* ---- The tree; with the flight's lock held ----------------------------------------------------------- */

/* The link to key's leader, or the NULL link where it would hang. */
static struct leader **tree_find(struct flight *f, const char *key, uint64_t hash)
{
    struct leader **at = &f->root;
    uint64_t bits = hash;

    while (*at && ((*at)->hash != hash || strcmp((*at)->call->key, key) != 0)) {
        at = &(*at)->kid[bits >> 63];
        bits = bits << 1 | bits >> 63;
    }
    return at;
}

/* The link to l, which is in the tree. Its key is not looked at: the function may have spoilt it. */
static struct leader **tree_link(struct flight *f, const struct leader *l)
{
    struct leader **at = &f->root;

    for (uint64_t bits = l->hash; *at != l; bits = bits << 1 | bits >> 63)
        at = &(*at)->kid[bits >> 63];
    return at;
}

/* Take *at out: any leaf below it may take its place. */
static void tree_remove(struct leader **at)
{
    struct leader *l = *at, **leaf_at = at, *leaf;

    while ((*leaf_at)->kid[0] || (*leaf_at)->kid[1])
        leaf_at = &(*leaf_at)->kid[(*leaf_at)->kid[0] == NULL];
    leaf = *leaf_at;
    *leaf_at = NULL;
    if (leaf != l) {
        leaf->kid[0] = l->kid[0];
        leaf->kid[1] = l->kid[1];
        *at = leaf;
    }
    l->in_tree = false;
}

/* ---- The leader -------------------------------------------------------------------------------------- */

/* The function ended with result: everybody who follows gets it. */
static void land(struct leader *l, int result, bool exited)
{
    struct rn__flight_call *call = l->call;
    struct flight *f = flight_of(call->flight);
    struct lot_waiter *list, *next;
    struct lot_bucket *b;
    rn_error error;

    edge_release(l);
    spin_lock(&f->lock);
    if (l->in_tree)
        tree_remove(tree_link(f, l));
    b = rn__lot_lock(l);
    list = rn__lot_remove_all(b, l, LOT_FLIGHT);
    rn__lot_unlock(b);
    spin_unlock(&f->lock);

    l->shared = list != NULL;
    if (!list)
        return;
    if (result < 0)
        error = rn_error_of(result);
    if (call->out && !exited)
        tool_read(call->out, call->out_size);
    for (struct lot_waiter *w = list; w; w = next) {
        struct follower *to = container_of(w, struct follower, w);
        size_t size = call->out_size < to->call->out_size ? call->out_size : to->call->out_size;

        next = w->next;
        to->exited = exited;
        to->call->result = result;
        if (result < 0)
            to->error = error;
        if (call->out && to->call->out && !exited)
            rn__copy(to->call->out, call->out, size);
        rn__ready(w->g); /* E1; to is gone with this */
    }
}

/* The leader's goroutine ends inside the function, by rn_exit. */
static void exit_inside(void *owner, int result)
{
    struct leader *l = owner;

    land(l, result, true);
    if (l->done)
        l->done(l->owner, result);
}

static void lead(struct leader *l)
{
    struct g *g = rn__self();
    int result;

    l->done = g->done;
    l->owner = g->owner;
    g->done = exit_inside;
    g->owner = l;
    result = rn__call_invoke(&l->call->call);
    g->done = l->done;
    g->owner = l->owner;
    l->call->result = result;
    land(l, result, false);
    if (l->call->shared)
        *l->call->shared = l->shared;
}

/* ---- The followers ----------------------------------------------------------------------------------- */

static void follow(struct follower *me)
{
    struct rn__flight_call *call = me->call;

    rn__lot_park(&me->w, WAIT_FLIGHT, NULL); /* E1 */
    edge_acquire(me->w.addr);
    if (call->result < 0)
        rn_error_raise(&me->error);
    if (call->out && !me->exited)
        tool_write(call->out, call->out_size);
    if (call->shared)
        *call->shared = true;
}

static void flight_op(struct rn__call *captured)
{
    struct rn__flight_call *call = container_of(captured, struct rn__flight_call, call);
    struct flight *f = flight_of(call->flight);
    uint64_t hash = hash_of(call->key);
    struct follower follower;
    struct leader leader = {.hash = hash, .call = call, .in_tree = true};
    struct leader **at;
    struct lot_bucket *b;

    spin_lock(&f->lock);
    at = tree_find(f, call->key, hash);
    if (!*at) {
        *at = &leader;
        spin_unlock(&f->lock);
        lead(&leader);
        return;
    }
    follower.call = call;
    follower.exited = false;
    follower.error.code = 0;
    b = rn__lot_lock(*at);
    rn__lot_enqueue(b, &follower.w, *at, LOT_FLIGHT, false); /* I2 */
    rn__lot_unlock(b);
    spin_unlock(&f->lock);
    follow(&follower);
}

struct rn__call *rn__flight_begin(struct rn__flight_call *c, rn_flight *f, const char *key,
                                  void *out, size_t out_size, bool *shared, void (*fn)(void))
{
    c->call.fn = fn;
    c->call.op = flight_op;
    c->flight = f;
    c->key = key;
    c->out = out;
    c->out_size = out_size;
    c->shared = shared;
    c->result = 0;
    return &c->call;
}

void rn_flight_forget(rn_flight *flight, const char *key)
{
    struct flight *f = flight_of(flight);
    uint64_t hash = hash_of(key);
    struct leader **at;

    spin_lock(&f->lock);
    at = tree_find(f, key, hash);
    if (*at)
        tree_remove(at);
    spin_unlock(&f->lock);
}
