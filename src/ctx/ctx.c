/* SPDX-License-Identifier: MIT */
/*
 * ctx.c - contexts.
 *
 * A context is a node with a parent, which it keeps. Cancellable ones (cancel, deadline) have a channel inside,
 * closed when they end, and a list of hooks: children that end with them, after-functions, waits. Value contexts
 * add no entry anywhere: their children hook into the nearest cancellable ancestor, which each node remembers in
 * scope.
 *
 * Done is one bit: the closed bit of the channel. Error and cause are written before it is set and never after, so
 * whoever sees it set, by whatever way, may read them; and the error is not seen before the channel is closed.
 *
 * Ending a context: under its lock, if nobody was faster, error and cause are stored and the list is taken; the
 * channel is closed; then the hooks fire, without a lock. A child's hook does not recurse: it puts the child on the
 * ender's list of contexts to end, so that a tree of any depth is ended on any stack. The state of a hook goes
 * IN -> FIRING under the context's lock, FIRING -> OUT by the ender as its last access.
 *
 * References: users' and children's in one count. The memory goes with the last; and gives up the parent's, in a
 * loop. users counts the users' alone: when it reaches zero the context ends, so that timers and links to the parent
 * go. An armed deadline timer, and a pass of an ender over the child, hold a reference too.
 *
 * Edges: closing the channel releases it, and seeing it closed acquires it.
 */
#include "ctx/ctx.h"

#include <runnel/err.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/tools.h"
#include "sched/lot.h"
#include "time/timer.h"

enum ctx_kind { CTX_BACKGROUND, CTX_CANCEL, CTX_DEADLINE, CTX_VALUE, CTX_WITHOUT };

struct rn_ctx {
    uint32_t kind;  /* enum ctx_kind */
    uint32_t refs;  /* atomic: users, children, an armed timer, an ender */
    uint32_t users; /* atomic */
    bool has_deadline;
    rn_ctx *parent;
    rn_ctx *scope; /* the nearest cancellable one, itself included; NULL: can never end */
    rn_time deadline;
    const void *key;
    void *value;
    void (*drop)(void *);
    void (*unused)(rn_ctx *ctx); /* called when the last user's reference has gone */
    void *note;                  /* of debug/lost.c's, or NULL */

    /* Of cancellable ones. */
    struct spin lock;
    bool ended;            /* guarded by lock: error and cause are decided */
    struct ctx_hook hooks; /* head of the ring; guarded by lock */
    struct ctx_hook link;  /* in scope of the parent's */
    rn_ctx *next_ending; /* in the list of whoever ends the parent, and written by that one alone */
    int err;             /* written once, before done is closed */
    rn_error cause;
    rn_error expiry; /* the cause if the deadline passes */
    struct timer timer;
    struct chan done;
};

void (*rn__ctx_made)(rn_ctx *ctx);
void (*rn__ctx_gone)(void *note);

static rn_ctx background = {.kind = CTX_BACKGROUND};

rn_ctx *rn_ctx_background(void)
{
    return &background;
}

static bool is_root(const rn_ctx *ctx)
{
    return !ctx || ctx->kind == CTX_BACKGROUND;
}

static bool cancellable(const rn_ctx *ctx)
{
    return ctx->kind == CTX_CANCEL || ctx->kind == CTX_DEADLINE;
}

/* At the beginning of what the program calls: AddressSanitizer reports it if ctx was freed. */
static COLD NOINLINE void tell_alive(const rn_ctx *ctx)
{
    if (ctx)
        tool_alive(ctx, offsetof(rn_ctx, lock)); /* all that one of values has */
}
static inline void alive(const rn_ctx *ctx)
{
    if (unlikely(rn__tools))
        tell_alive(ctx);
}

static rn_ctx *scope_of(const rn_ctx *ctx)
{
    return ctx ? ctx->scope : NULL;
}

/* ---- References ------------------------------------------------------------------------------------------ */

void rn__ctx_ref(rn_ctx *ctx)
{
    if (!is_root(ctx))
        add_relaxed(&ctx->refs, 1);
}

/* The caller has a reference: is it the only one? Then no other can come to be, unless ctx is in its parent's list yet, or,
 * with an unused, in one of signals.c. */
static bool is_sole(const rn_ctx *ctx)
{
    return load_acquire(&ctx->refs) == 1; /* pairs with the other holders' */
}

void rn__ctx_unref(rn_ctx *ctx)
{
    while (!is_root(ctx)) {
        rn_ctx *parent = ctx->parent;

        edge_release(&ctx->refs);
        if (!is_sole(ctx) && sub_acq_rel(&ctx->refs, 1) != 1) /* pairs with the other holders' */
            return;
        edge_acquire(&ctx->refs);
        if (ctx->drop)
            ctx->drop(ctx->value);
        if (cancellable(ctx)) {
            rn__timer_stop(&ctx->timer);
            /* An operation that just ended may still store its unlock. */
            spin_pass(&ctx->done.lock);
        }
        if (unlikely(ctx->note != NULL))
            load_relaxed (&rn__ctx_gone)(ctx->note);
        rn__mem_free(ctx);
        ctx = parent;
    }
}

/* ---- Hooks ------------------------------------------------------------------------------------------------ */

static bool hook_add(rn_ctx *scope, struct ctx_hook *h)
{
    store_relaxed(&h->state, HOOK_OUT);
    h->ctx = scope;
    if (!scope)
        return false;
    spin_lock(&scope->lock);
    if (scope->ended) {
        spin_unlock(&scope->lock);
        for (unsigned n = 0; !chan_is_closed(&scope->done);
             n++) /* decided, and about to be published */
            rn__wait_shortly(n);
        return false;
    }
    h->next = &scope->hooks;
    h->prev = scope->hooks.prev;
    h->prev->next = h;
    scope->hooks.prev = h;
    store_relaxed(&h->state, HOOK_IN);
    spin_unlock(&scope->lock);
    return true;
}

bool rn__ctx_hook_add(rn_ctx *ctx, struct ctx_hook *h)
{
    alive(ctx);
    return hook_add(scope_of(ctx), h);
}

bool rn__ctx_hook_remove(struct ctx_hook *h)
{
    rn_ctx *scope = h->ctx;
    bool was;

    if (!scope || load_acquire(&h->state) == HOOK_OUT) /* pairs with the ender's last store */
        return false;
    spin_lock(&scope->lock);
    was = load_relaxed(&h->state) == HOOK_IN;
    if (was) {
        h->prev->next = h->next;
        h->next->prev = h->prev;
        store_relaxed(&h->state, HOOK_OUT);
    }
    spin_unlock(&scope->lock);
    for (unsigned n = 0; load_acquire(&h->state) == HOOK_FIRING; n++)
        rn__wait_shortly(n);
    return was;
}

void rn__ctx_extent(const struct chan *done, const void **ret_lo, const void **ret_hi)
{
    const rn_ctx *ctx = container_of(done, rn_ctx, done);

    *ret_lo = ctx;
    *ret_hi = ctx + 1;
}

void **rn__ctx_note(rn_ctx *ctx)
{
    return &ctx->note;
}

size_t rn__ctx_size(const rn_ctx *ctx)
{
    return cancellable(ctx) ? sizeof *ctx : offsetof(rn_ctx, lock);
}

bool rn__ctx_is_used(const rn_ctx *ctx)
{
    return load_relaxed(&ctx->users) > 0;
}

bool rn__ctx_is_value(const rn_ctx *ctx, uintptr_t at)
{
    return at == (uintptr_t)&ctx->value;
}

struct chan *rn__ctx_done_chan(rn_ctx *ctx)
{
    rn_ctx *scope;

    alive(ctx);
    scope = scope_of(ctx);
    return scope ? &scope->done : NULL;
}

/* ---- Ending ------------------------------------------------------------------------------------------------ */

static void child_fire(struct ctx_hook *h)
{
    (void)h; /* end_all knows a child by this address */
}

/* Decide ctx's error and close its channel, if nobody has; its hooks are then ring's. */
static bool decide(rn_ctx *ctx, int err, const rn_error *cause, struct ctx_hook *ring)
{
    struct ctx_hook *h;

    spin_lock(&ctx->lock);
    if (ctx->ended) {
        spin_unlock(&ctx->lock);
        for (unsigned n = 0; !chan_is_closed(&ctx->done);
             n++) /* whoever returns from a cancel finds it done */
            rn__wait_shortly(n);
        return false;
    }
    ctx->ended = true;
    ctx->err = err;
    rn__copy(&ctx->cause, cause, sizeof *cause);
    ring->next = ring->prev = ring;
    if (ctx->hooks.next != &ctx->hooks) {
        *ring = ctx->hooks;
        ring->next->prev = ring;
        ring->prev->next = ring;
        ctx->hooks.next = ctx->hooks.prev = &ctx->hooks;
        for (h = ring->next; h != ring; h = h->next) {
            if (h->fire == child_fire) /* before the child can be freed by its own end */
                rn__ctx_ref(container_of(h, rn_ctx, link));
            store_relaxed(&h->state, HOOK_FIRING);
        }
    }
    spin_unlock(&ctx->lock);
    return true;
}

/* End top and everything below it. The caller holds a reference. top itself is not linked: whoever ends its parent
 * may have it in a list at this very moment, and next_ending is that one's. */
static void end_all(rn_ctx *top, int err, const rn_error *cause)
{
    rn_ctx *todo = NULL, *ctx = top;

    for (;;) {
        struct ctx_hook ring, *h, *next;

        if (decide(ctx, err, cause, &ring)) {
            rn__ctx_hook_remove(&ctx->link);
            if (ctx->kind == CTX_DEADLINE && rn__timer_stop(&ctx->timer))
                rn__ctx_unref(ctx);
            (rn_close)(&ctx->done);
            for (h = ring.next; h != &ring; h = next) {
                next = h->next;
                if (h->fire == child_fire) {
                    rn_ctx *child = container_of(h, rn_ctx, link);

                    child->next_ending = todo;
                    todo = child;
                    store_release(&h->state, HOOK_OUT);
                } else {
                    h->fire(h);
                    store_release(&h->state,
                                  HOOK_OUT); /* pairs with rn__ctx_hook_remove; h may be gone */
                }
            }
        }
        {
            rn_ctx *ended = ctx;

            ctx = todo;
            if (ctx)
                todo = ctx->next_ending;
            if (ended != top)
                rn__ctx_unref(ended);
        }
        if (!ctx)
            return;
    }
}

static void end(rn_ctx *ctx, int err, int cause)
{
    rn_error e = cause < 0 ? rn_error_of(cause) : (rn_error){.code = err};

    end_all(ctx, err, &e);
}

void rn_ctx_cancel(rn_ctx *ctx)
{
    rn_ctx_cancel_cause(ctx, 0);
}

void rn_ctx_cancel_cause(rn_ctx *ctx, int cause)
{
    alive(ctx);
    if (is_root(ctx) || !cancellable(ctx))
        return;
    end(ctx, -ECANCELED, cause);
}

rn_ctx *rn_ctx_retain(rn_ctx *ctx)
{
    alive(ctx);
    if (!is_root(ctx)) {
        add_relaxed(&ctx->users, 1);
        rn__ctx_ref(ctx);
    }
    return ctx;
}

void rn__ctx_on_unused(rn_ctx *ctx, void (*unused)(rn_ctx *))
{
    ctx->unused = unused;
}

/* The last user's reference is given up. Can nobody see whether ctx has ended? Most have no child then, and nobody waits. */
static bool is_unseen(rn_ctx *ctx)
{
    if (unlikely(rn__tools || ctx->unused))
        return false;
    rn__ctx_hook_remove(&ctx->link);
    if (ctx->kind == CTX_DEADLINE && rn__timer_stop(&ctx->timer))
        rn__ctx_unref(ctx);
    if (!is_sole(ctx) || ctx->hooks.next != &ctx->hooks || load_relaxed(&ctx->done.receivers.first))
        return false;
    fence_acquire(); /* who has just left either of them may have its lock yet */
    return !(load_relaxed(&ctx->lock.word) & SPIN_HELD) &&
           !(load_relaxed(&ctx->done.lock.word) & SPIN_HELD);
}

/* Is this the last user's reference? */
static bool user_gone(rn_ctx *ctx)
{
    if (load_acquire(&ctx->users) != 1)
        return sub_acq_rel(&ctx->users, 1) == 1;
    store_relaxed(&ctx->users, 0); /* nobody is left who could add or take one */
    return true;
}

static void release(rn_ctx *ctx)
{
    if (is_root(ctx))
        return;
    if (user_gone(ctx)) {
        if (cancellable(ctx) && !is_unseen(ctx))
            end(ctx, -ECANCELED, 0); /* nobody is left who could */
        if (ctx->unused)
            ctx->unused(ctx);
    }
    rn__ctx_unref(ctx);
}

void rn_ctx_release(rn_ctx *ctx)
{
    alive(ctx);
    release(ctx);
}

void rn_ctx_end(rn_ctx *ctx)
{
    alive(ctx);
    if (!is_root(ctx) && load_relaxed(&ctx->users) != 1) /* the last one's release ends it */
        rn_ctx_cancel(ctx);
    release(ctx);
}

/* ---- Making ------------------------------------------------------------------------------------------------ */

static void deadline_fire(struct timer *t, int64_t when)
{
    rn_ctx *ctx = container_of(t, rn_ctx, timer);

    (void)when;
    end_all(ctx, -ETIMEDOUT, &ctx->expiry);
    rn__ctx_unref(ctx); /* the timer's */
}

static void deadline_drop(struct timer *t)
{
    rn__ctx_unref(container_of(t, rn_ctx, timer)); /* the timer's */
}

static const char no_memory[] = "out of memory for a context";

/* Of a constructor that has no result for want of memory. */
static rn_ctx *made(rn_ctx *ctx)
{
    if (!ctx)
        rn__panic(no_memory);
    return ctx;
}

/* NULL: no memory. */
static rn_ctx *ctx_new(rn_ctx *parent, enum ctx_kind kind)
{
    rn_ctx *ctx;
    size_t size = kind == CTX_CANCEL || kind == CTX_DEADLINE ? sizeof *ctx : offsetof(rn_ctx, lock);

    if (!parent)
        rn__panic("cannot create context from nil parent");
    alive(parent);
    ctx = rn__mem_new_zero(size, 16);
    if (!ctx)
        return NULL;
    ctx->kind = kind;
    ctx->refs = ctx->users = 1;
    ctx->parent = parent;
    ctx->has_deadline = parent->has_deadline;
    ctx->deadline = parent->deadline;
    ctx->scope = parent->scope;
    rn__ctx_ref(parent);
#ifndef RN_EXPLORE
    {
        void (*tell)(rn_ctx *) = load_relaxed(&rn__ctx_made);

        if (unlikely(tell != NULL))
            tell(ctx);
    }
#endif
    return ctx;
}

/* A cancellable context, hooked into its parent's scope; done at once if that is. NULL: no memory. */
static rn_ctx *cancel_new(rn_ctx *parent, enum ctx_kind kind)
{
    rn_ctx *ctx = ctx_new(parent, kind);

    if (!ctx)
        return NULL;
    ctx->scope = ctx;
    ctx->hooks.next = ctx->hooks.prev = &ctx->hooks;
    ctx->link.fire = child_fire;
    ctx->timer.kind = TIMER_OWNED;
    ctx->timer.fire = deadline_fire;
    ctx->timer.drop = deadline_drop;
    rn__chan_init(&ctx->done, sizeof(rn_unit), 0, NULL, 0);
    if (!hook_add(parent->scope, &ctx->link) && parent->scope) {
        rn_ctx *ended = parent->scope;

        edge_acquire(&ended->done);
        end_all(ctx, ended->err, &ended->cause);
    }
    return ctx;
}

rn_ctx *rn_ctx_with_cancel(rn_ctx *parent)
{
    return made(cancel_new(parent, CTX_CANCEL));
}

rn_ctx *rn_ctx_with_cancel_cause(rn_ctx *parent)
{
    return made(cancel_new(parent, CTX_CANCEL));
}

/* NULL: *ret_ctx is there; or what there is no memory for. */
static const char *deadline_try(rn_ctx *parent, rn_time t, int cause, rn_ctx **ret_ctx)
{
    rn_ctx *ctx;

    if (parent && parent->has_deadline && parent->deadline <= t) {
        ctx = cancel_new(parent, CTX_CANCEL); /* the parent's comes first: no timer of its own */
        *ret_ctx = ctx;
        return ctx ? NULL : no_memory;
    }
    ctx = cancel_new(parent, CTX_DEADLINE);
    if (!ctx)
        return no_memory;
    *ret_ctx = ctx;
    ctx->has_deadline = true;
    ctx->deadline = t;
    ctx->expiry = cause < 0 ? rn_error_of(cause) : (rn_error){.code = -ETIMEDOUT};
    if (chan_is_closed(&ctx->done))
        return NULL;
    if (t <= now_ns()) {
        end_all(ctx, -ETIMEDOUT, &ctx->expiry);
        return NULL;
    }
    rn__ctx_ref(ctx); /* the timer's */
    edge_release(&ctx->timer);
    if (rn__timer_start(&ctx->timer, t) < 0) {
        rn__ctx_unref(ctx);
        rn_ctx_end(ctx);
        return "out of memory for a context's timer";
    }
    /* Ended by its parent meanwhile: then nobody has stopped the timer. */
    if (chan_is_closed(&ctx->done) && rn__timer_stop(&ctx->timer))
        rn__ctx_unref(ctx);
    return NULL;
}

static rn_ctx *deadline_new(rn_ctx *parent, rn_time t, int cause)
{
    rn_ctx *ctx;
    const char *lack = deadline_try(parent, t, cause, &ctx);

    if (lack)
        rn__panic(lack);
    return ctx;
}

int rn__ctx_with_timeout_err(rn_ctx *parent, rn_dur d, rn_ctx **ret_ctx)
{
    rn_ctx *ctx = NULL;

    if (d == INT64_MAX)
        ctx = cancel_new(parent, CTX_CANCEL);
    else if (deadline_try(parent, time_after(now_ns(), d), 0, &ctx))
        ctx = NULL;
    if (!ctx)
        return -ENOMEM;
    *ret_ctx = ctx;
    return 0;
}

rn_ctx *rn_ctx_with_timeout(rn_ctx *parent, rn_dur d)
{
    return deadline_new(parent, time_after(now_ns(), d), 0);
}

rn_ctx *rn_ctx_with_deadline(rn_ctx *parent, rn_time t)
{
    return deadline_new(parent, t, 0);
}

rn_ctx *rn_ctx_with_timeout_cause(rn_ctx *parent, rn_dur d, int cause)
{
    return deadline_new(parent, time_after(now_ns(), d), cause);
}

rn_ctx *rn_ctx_with_deadline_cause(rn_ctx *parent, rn_time t, int cause)
{
    return deadline_new(parent, t, cause);
}

rn_ctx *rn_ctx_with_owned_value(rn_ctx *parent, const void *key, void *value, void (*drop)(void *))
{
    rn_ctx *ctx = made(ctx_new(parent, CTX_VALUE));

    if (!key)
        rn__panic("nil key");
    ctx->key = key;
    ctx->value = value;
    ctx->drop = drop;
    return ctx;
}

rn_ctx *rn_ctx_with_value(rn_ctx *parent, const void *key, const void *value)
{
    return rn_ctx_with_owned_value(parent, key, (void *)(uintptr_t)value, NULL);
}

rn_ctx *rn_ctx_without_cancel(rn_ctx *parent)
{
    rn_ctx *ctx = made(ctx_new(parent, CTX_WITHOUT));

    ctx->scope = NULL;
    ctx->has_deadline = false;
    return ctx;
}

/* ---- Asking ------------------------------------------------------------------------------------------------ */

static COLD int err_with_tools(const rn_ctx *ctx)
{
    const rn_ctx *scope;

    alive(ctx);
    scope = scope_of(ctx);
    if (!scope || !chan_is_closed(&scope->done))
        return 0;
    edge_acquire(&scope->done);
    return scope->err;
}

int rn_ctx_err(const rn_ctx *ctx)
{
    const rn_ctx *scope;

    if (unlikely(rn__tools))
        return err_with_tools(ctx);
    scope = scope_of(ctx);
    return scope && chan_is_closed(&scope->done) ? scope->err : 0;
}

int rn_ctx_cause(const rn_ctx *ctx)
{
    return rn_ctx_err(ctx) ? rn_error_raise(&ctx->scope->cause) : 0;
}

void *rn_ctx_value(const rn_ctx *ctx, const void *key)
{
    alive(ctx);
    for (; ctx; ctx = ctx->parent)
        if (ctx->kind == CTX_VALUE && ctx->key == key)
            return ctx->value;
    return NULL;
}

bool rn_ctx_deadline(const rn_ctx *ctx, rn_time *ret_t)
{
    alive(ctx);
    if (!ctx || !ctx->has_deadline)
        return false;
    if (ret_t)
        *ret_t = ctx->deadline;
    return true;
}

rn_recv_only(rn_unit) rn_ctx_done(rn_ctx *ctx)
{
    return (rn_recv_only(rn_unit))(void *)rn__ctx_done_chan(ctx);
}

/* ---- After-functions ------------------------------------------------------------------------------------------
 * state: AFTER_IDLE, AFTER_ARMED while registered, AFTER_STARTED, and AFTER_RETURNED, for which rn_ctx_hook_stop
 * waits in the lot. The store of RETURNED is the goroutine's last access to the hook; the ender's is that of HOOK_OUT,
 * which may come later: the function can have returned before the cancel that started it goes on. */

enum { AFTER_IDLE, AFTER_ARMED, AFTER_STARTED, AFTER_RETURNED };

struct after_hook {
    struct ctx_hook hook;
    struct fresh *fresh;
    rn_ctx *ctx;
    uint32_t state; /* atomic */
};
_Static_assert(sizeof(struct after_hook) <= sizeof(rn_ctx_hook), "rn_ctx_hook has room");

static void after_returned(void *owner, int result)
{
    struct after_hook *a = owner;
    struct lot_bucket *b = rn__lot_lock(a);
    struct lot_waiter *waiters;

    (void)result;
    edge_release(a);
    waiters = rn__lot_remove_all(b, a, LOT_HOOK);
    store_release(&a->state, AFTER_RETURNED); /* pairs with rn_ctx_hook_stop */
    rn__lot_unlock(b);
    rn__lot_ready_list(waiters);
}

static void after_start(struct after_hook *a)
{
    edge_acquire(a);
    store_relaxed(&a->state, AFTER_STARTED);
    rn__fresh_start(&a->fresh->call);
}

static void after_fire(struct ctx_hook *h)
{
    struct after_hook *a = container_of(h, struct after_hook, hook);

    edge_acquire(&a->ctx->done);
    after_start(a);
}

static void after_register(struct rn__call *call)
{
    struct fresh *f = container_of(call, struct fresh, call);
    struct after_hook *a = f->owner;

    call->op = rn__fresh_start;
    edge_release(a); /* registering is before the start, whoever cancels */
    store_relaxed(&a->state, AFTER_ARMED);
    if (!rn__ctx_hook_add(a->ctx, &a->hook) && rn_ctx_err(a->ctx))
        after_start(a);
}

/* f starts when ctx ends. */
static void after_prepare(struct after_hook *a, rn_ctx *ctx, struct fresh *f)
{
    rn__fresh_keep(f);
    f->call.op = after_register;
    a->hook.fire = after_fire;
    a->fresh = f;
    alive(ctx);
    a->ctx = scope_of(ctx);
    rn__ctx_ref(a->ctx);
}

struct rn__call *rn__ctx_after_begin(rn_ctx_hook *hook, rn_ctx *ctx, void (*fn)(void))
{
    struct after_hook *a = (struct after_hook *)(void *)hook;
    struct fresh *f = rn__fresh_go(fn, after_returned, a, __builtin_return_address(0));

    after_prepare(a, ctx, f);
    return &f->call;
}

struct rn__call *rn__ctx_after_err_begin(rn_ctx_hook *hook, rn_ctx *ctx, struct rn__call *spare,
                                         void (*fn)(void))
{
    struct after_hook *a = (struct after_hook *)(void *)hook;
    struct fresh *f = rn__fresh_new(fn, after_returned, a, __builtin_return_address(0));

    if (f)
        after_prepare(a, ctx, f);
    return rn__call_or(f, spare);
}

bool rn_ctx_hook_stop(rn_ctx_hook *hook)
{
    struct after_hook *a = (struct after_hook *)(void *)hook;

    if (load_relaxed(&a->state) == AFTER_IDLE)
        return false;
    if (load_acquire(&a->state) == AFTER_ARMED && (!a->ctx || rn__ctx_hook_remove(&a->hook))) {
        rn__fresh_free(a->fresh);
        rn__ctx_unref(a->ctx);
        store_relaxed(&a->state, AFTER_IDLE);
        return true;
    }
    for (;;) {
        struct lot_waiter w = {0};
        struct lot_bucket *b = rn__lot_lock(a);

        if (load_acquire(&a->state) == AFTER_RETURNED) {
            rn__lot_unlock(b);
            break;
        }
        rn__lot_enqueue(b, &w, a, LOT_HOOK, false);
        rn__lot_unlock(b);
        (void)rn__lot_park(&w, WAIT_HOOK_STOP, NULL);
    }
    if (a->ctx)
        (void)rn__ctx_hook_remove(&a->hook); /* the ender is done with the hook too */
    edge_acquire(a);
    rn__ctx_unref(a->ctx);
    store_relaxed(&a->state, AFTER_IDLE);
    return false;
}
