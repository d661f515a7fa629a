/* SPDX-License-Identifier: MIT */
/*
 * netpoll.c - goroutines that wait for descriptors.
 *
 * Every descriptor number has a record, found in a table of blocks that grows and never shrinks: a look-up needs
 * no lock and a record, once there, is there for good. It holds who waits, in the order in which they came, and how
 * many edges there have been in each direction.
 *
 * How an edge is not lost. Whoever wants to read notes the count of edges, tries, and on EAGAIN waits "after" the
 * count that it noted: if there has been an edge since, it does not wait, but tries again. The poller counts edges
 * under the record's lock, and in the same step takes out all who wait for that direction. So an edge between the
 * attempt and the wait is seen in the count, and a later one finds the waiter. All are woken, since one edge may be
 * data for several; who comes too late gets EAGAIN and waits again. A count cannot be stale as a flag could: any
 * number may use it at the same time, and nobody resets it.
 *
 * A descriptor is added to the kernel's instance when somebody waits for the first time, not before: what is ready
 * by then is reported as an edge. Descriptors of which we do not know that they stay open (rn_wait_fd) are re-armed
 * at each wait, which also finds out that the number is another file's by now.
 *
 * Generations. rn__fd_close and rn_forget_fd end a generation of the record: all who wait are woken with
 * -ECANCELED, who comes later with the old number gets that too, and reports of the old file, which may live on in
 * another process, are dropped: their key is the number and the generation.
 *
 * Waking. A waiter is taken out of its record once, under the record's lock, by an edge, a close, a deadline, the
 * end of its context, its own timer, or the end of the runtime; whoever did sets the outcome and readies it, and the
 * others find it gone. A waiter whose hook or timer came too late waits until that has returned before its stack
 * frame goes.
 *
 * Who polls: an idle worker instead of sleeping (one at a time), busy ones in passing. There is no thread for it.
 * What an idle worker fetches it delivers once it has a processor, so that who is woken runs there.
 *
 * The instance is made with the first wait and closed at the end of each runtime, so nothing is left open; the
 * records stay, because connections do. Each instance has its number, the epoch; a record notes that of the one it
 * was added to. Threads that wait at the end of a runtime are told to begin anew, with the next one.
 *
 * Break. Whoever is to leave the poller is told by a word of its own; then comes the break, a system call if anybody
 * sleeps in the poller. The sleeper counts itself before it looks at the word, so of the two one sees the other. The
 * kernel reports a break to one thread, which may be a busy worker that polls in passing, or an idle one that has
 * just taken over, while the former one, told to leave, is still inside: so whoever gets one passes it on as long as
 * anybody sleeps. To be woken for no reason is harmless.
 *
 * Lock order: a record's lock is a leaf, except that opening_lock is one too. Nothing is readied under either.
 * In a wait, between the registration in the record and the park, only what readies nobody is done (see sched.h).
 *
 * Edges: rn__fd_close and what else wakes is ordered before the return of the wait by rn__ready and rn__park. That
 * whoever wrote is before whoever read the bytes is told by src/net.
 *
 * Rejected: one-shot registrations (a system call per wait); level-triggered (the kernel repeats itself as long as
 * nobody reads); a flag instead of a count, reset before each attempt, as Go does (needs a lock around all readers);
 * a thread that polls (two thread switches per wake-up).
 */
#include "netpoll/netpoll.h"

#include "base/mem.h"
#include "ctx/ctx.h"
#include "netpoll/ahead.h"
#include "os/os.h"
#include "sched/rt.h"
#include "time/timer.h"

/* src/file/ring.c, if it is there. */
int rn__ring_edge(void) __attribute__((weak));
bool rn__ring_awaited(void) __attribute__((weak));
void rn__ring_stop(void) __attribute__((weak));
void rn__ring_fork(void) __attribute__((weak));
static const uint64_t ring_key = UINT64_MAX - 1;

/* Small, for it lies in a frame below which those of the park follow: of ten thousand that wait none is in a cache. */
struct fd_wait {
    struct fd_wait *next, *prev; /* in the record's list, oldest first; guarded by its lock */
    struct fd_call *call;
    struct g *g;
    uint32_t want; /* RN_READ, RN_WRITE, FD_TURN */
    int outcome;   /* written by who takes it out */
    bool queued;   /* is in the list; guarded by the lock */
    bool by_ctx;   /* its context took it out */
    bool bounded;  /* it is a struct bounded_wait's */
};
/* The same with a context or a time at which it ends. */
struct bounded_wait {
    struct fd_wait w;
    bool hooked, timed; /* which of the two are used */
    struct ctx_hook hook;
    struct timer timer;
};

enum { BLOCK = 1024, BLOCKS = 4096 };

static struct fd_desc *blocks[BLOCKS]; /* atomic; each set once */
static uint32_t blocks_end;            /* atomic: none is beyond; raised before one is set */

int32_t rn__netpoll_registered;

/* ---- Records ----------------------------------------------------------------------------------------------- */

static COLD struct fd_desc *block_new(uint32_t i)
{
    struct fd_desc *block = rn__os_map(BLOCK * sizeof *block), *was = NULL;
    uint32_t end = load_relaxed(&blocks_end);

    if (!block)
        return NULL;
    for (uint32_t j = 0; j < BLOCK; j++)
        block[j].fd = (int)(i * BLOCK + j);
    while (end <= i &&
           !cas_acq_rel(&blocks_end, &end, i + 1)) /* pairs with the loads of who looks at all */
        ;
    if (cas_acq_rel(&blocks[i], &was, block)) /* pairs with the load of rn__fd_desc */
        return block;
    rn__os_unmap(block, BLOCK * sizeof *block);
    return was;
}

struct fd_desc *rn__fd_desc(int fd)
{
    uint32_t i = (uint32_t)fd / BLOCK;
    struct fd_desc *block;

    if (fd < 0 || i >= BLOCKS)
        return NULL;
    block = load_acquire(&blocks[i]);
    if (unlikely(!block))
        block = block_new(i);
    return block ? &block[(uint32_t)fd % BLOCK] : NULL;
}

/* Of the edges between two counts, those of reading and writing as bits. */
static uint32_t edges_between(uint64_t then, uint64_t now)
{
    uint64_t changed = then ^ now;

    return ((uint32_t)changed ? RN_READ : 0) | ((uint32_t)(changed >> 32) ? RN_WRITE : 0);
}

static void count_edges(struct fd_desc *d, uint32_t ready)
{
    uint64_t e = d->edges;

    if (ready & RN_READ)
        e = (e & ~(uint64_t)UINT32_MAX) | (uint32_t)((uint32_t)e + 1);
    if (ready & RN_WRITE)
        e += (uint64_t)1 << 32;
    store_release(&d->edges, e);
}

static void put_last(struct fd_desc *d, struct fd_wait *w)
{
    w->queued = true;
    w->next = NULL;
    w->prev = d->last;
    if (d->last)
        d->last->next = w;
    else
        store_relaxed(&d->first, w);
    d->last = w;
}

static void take(struct fd_desc *d, struct fd_wait *w)
{
    assert(w->queued);
    w->queued = false;
    if (w->prev)
        w->prev->next = w->next;
    else
        store_relaxed(&d->first, w->next);
    if (w->next)
        w->next->prev = w->prev;
    else
        d->last = w->prev;
}

/* A list of those taken out, to be readied once no lock is held. */
struct woken {
    struct fd_wait *first, **end;
};

static void woken_add(struct woken *l, struct fd_wait *w)
{
    fetch_ahead(w->g);
    w->next = NULL;
    *l->end = w;
    l->end = &w->next;
}

static int woken_ready(struct woken *l)
{
    struct fd_wait *w = l->first, *next;
    int n = 0;

    for (; w; w = next) {
        next = w->next;
        rn__ready(w->g); /* w is gone with this */
        n++;
    }
    return n;
}

/* Take out all who want one of mask; with the lock held. error 0: the outcome is what they want of mask. */
static ALWAYS_INLINE void take_all(struct fd_desc *d, uint32_t mask, int error, struct woken *l)
{
    struct fd_wait *w, *next;

    for (w = d->first; w; w = next) {
        next = w->next;
        if (!(w->want & mask))
            continue;
        take(d, w);
        w->outcome = error ? error : (int)(w->want & mask);
        woken_add(l, w);
    }
}

/* Take w out if nobody has yet. */
static bool take_out(struct fd_wait *w, int outcome)
{
    struct fd_desc *d = w->call->desc;
    bool mine;

    spin_lock(&d->lock);
    mine = w->queued;
    if (mine) {
        take(d, w);
        w->outcome = outcome;
    }
    spin_unlock(&d->lock);
    return mine;
}

/* ---- The instance ------------------------------------------------------------------------------------------- */

/* Who uses the instance from outside the scheduler is counted, so that it is not closed under them. */
static const uint32_t inst_closing = UINT32_C(1) << 31;
static uint32_t inst_users; /* atomic */
static uint32_t inst_epoch; /* atomic: of the open instance; 0: none is open */
static uint32_t last_epoch; /* guarded by opening_lock */
static struct spin opening_lock;

static void inst_enter(void)
{
    for (unsigned n = 0;;) {
        uint32_t users = load_relaxed(&inst_users);

        if (users & inst_closing)
            rn__wait_shortly(n++);
        else if (cas_acquire(&inst_users, &users,
                             users + 1)) /* pairs with the store of netpoll_stop */
            return;
    }
}

static void inst_leave(void)
{
    sub_release(&inst_users, 1); /* pairs with netpoll_stop's cas */
}

/* The epoch of the instance, which is made if there is none; or an error. Inside enter and leave. */
static int64_t inst_open(void)
{
    uint32_t epoch = load_acquire(&inst_epoch);
    int err = 0;

    if (likely(epoch))
        return epoch;
    spin_lock(&opening_lock);
    epoch = load_relaxed(&inst_epoch);
    if (!epoch) {
        err = rn__backend_open();
        if (!err) {
            epoch = ++last_epoch ? last_epoch : ++last_epoch;
            store_release(&inst_epoch, epoch);
        }
    }
    spin_unlock(&opening_lock);
    return err < 0 ? err : (int64_t)epoch;
}

/* d is no longer watched; with its lock held, inside enter and leave. */
static void unregister(struct fd_desc *d)
{
    if (d->epoch && d->epoch == load_relaxed(&inst_epoch))
        sub_acq_rel(&rn__netpoll_registered, 1);
    store_relaxed(&d->epoch, 0);
}

static NOINLINE int watch_anew(const struct g *g, struct fd_desc *d, uint32_t gen)
{
    uint32_t epoch = load_acquire(&d->epoch);
    bool first = false;
    int64_t open;
    int err = 0;

    inst_enter();
    if (g->rt && load_relaxed(&g->rt->stopping)) { /* it will park, and that is all */
        inst_leave();
        return 0;
    }
    open = inst_open();
    if (open < 0) {
        inst_leave();
        return (int)open;
    }
    err = rn__backend_add(d->fd, (uint64_t)gen << 32 | (uint32_t)d->fd, epoch == (uint32_t)open);
    if (!err) {
        spin_lock(&d->lock);
        if (d->gen == gen && d->epoch != (uint32_t)open) {
            store_release(&d->epoch, (uint32_t)open);
            first = add_seq_cst(&rn__netpoll_registered, 1) == 0;
        }
        spin_unlock(&d->lock);
    }
    inst_leave();
    if (first)
        rn__timer_wake(INT64_MIN); /* an idle worker that sleeps shall poll instead */
    return err;
}

/* See to it that edges of d are reported from now on. */
static ALWAYS_INLINE int watch(const struct g *g, struct fd_desc *d, uint32_t gen, bool rearm)
{
    uint32_t epoch = load_acquire(&d->epoch);

    if (likely(epoch && epoch == load_relaxed(&inst_epoch) && !rearm))
        return 0;
    return watch_anew(g, d, gen);
}

int rn__netpoll_add_ring(int fd)
{
    int64_t open;
    int err;

    inst_enter();
    open = inst_open();
    err = open < 0 ? (int)open : rn__backend_add(fd, ring_key, false);
    if (!err)
        add_seq_cst(&rn__netpoll_registered, 1);
    inst_leave();
    if (!err)
        rn__timer_wake(INT64_MIN); /* an idle worker that sleeps shall poll instead */
    return err;
}

/* ---- Waiting -------------------------------------------------------------------------------------------------- */

static void hook_fire(struct ctx_hook *h)
{
    struct fd_wait *w = &container_of(h, struct bounded_wait, hook)->w;
    struct fd_desc *d = w->call->desc;
    bool mine;

    spin_lock(&d->lock);
    mine = w->queued;
    if (mine) {
        take(d, w);
        w->by_ctx = true;
    }
    spin_unlock(&d->lock);
    if (mine)
        rn__ready(w->g);
}

static void timer_fire(struct timer *t, int64_t when)
{
    struct fd_wait *w = &container_of(t, struct bounded_wait, timer)->w;

    (void)when;
    if (take_out(w, 0))
        rn__ready(w->g);
}

/* b is taken out: nobody else touches it when this returns. */
static void wait_let_go(struct bounded_wait *b)
{
    if (b->hooked)
        rn__ctx_hook_remove(&b->hook);
    if (b->timed)
        rn__timer_stop_sync(&b->timer);
}

/* The end of rn_run. The goroutine will not run again, so all that would touch its stack has to go, whoever took it
 * out; and its turn with it. */
static bool wait_unlink(void *wait)
{
    struct fd_wait *w = wait;
    struct fd_call *call = w->call;
    bool mine = take_out(w, -ECANCELED);

    if (w->bounded)
        wait_let_go(container_of(w, struct bounded_wait, w));
    if (!mine && w->outcome == FD_TURN)
        call->has_turn = true;
    if (call->dropped)
        call->dropped(call);
    return mine;
}

/* What speaks against waiting; with the lock held. */
static int refusal(struct fd_desc *d, const struct fd_call *call, uint32_t want)
{
    uint32_t directions = want & FD_TURN ? RN_WRITE : want;

    if (d->gen != call->gen)
        return -ECANCELED;
    if (d->expired & directions)
        return -ETIMEDOUT;
    return 0;
}

/* A thread that waits starts the runtime if there is none: somebody has to poll. */
static bool has_runtime(const struct g *g)
{
    bool held;
    struct rt *rt;

    if (likely(g->kind == G_GOROUTINE))
        return true;
    rt = rn__rt_hold(worker_self(), &held);
    if (rt)
        rt_drop(rt, held);
    return rt;
}

static ALWAYS_INLINE void wait_init(struct fd_wait *w, struct g *g, struct fd_call *call,
                                    uint32_t want)
{
    w->call = call;
    w->g = g;
    w->want = want;
    w->outcome = 0;
    w->by_ctx = w->bounded = false;
}

/* Into the list of its record, unless there have been edges since, which are returned, or an error is: 0, and it is there. */
static ALWAYS_INLINE int wait_enlist(struct fd_wait *w, uint64_t edges)
{
    struct fd_call *call = w->call;
    struct fd_desc *d = call->desc;
    uint32_t since;
    int err = watch(w->g, d, call->gen, call->foreign);

    if (unlikely(err))
        return err;
    spin_lock(&d->lock);
    if (unlikely(d->edges != edges || d->gen != call->gen || d->expired)) {
        err = refusal(d, call, w->want);
        since = edges_between(edges, d->edges) & w->want;
        if (err || since) {
            spin_unlock(&d->lock);
            return err ? err : (int)since;
        }
    }
    put_last(d, w);
    spin_unlock(&d->lock);
    return 0;
}

static ALWAYS_INLINE void wait_park(struct fd_wait *w)
{
    w->g->unlink_always = true;
    rn__park(w->g, WAIT_IO, w->call->desc, wait_unlink, w);
}

/*
 * w, in the list of its record, is a thread's, and the runtime has ended, without which nobody polls: then it is taken out.
 * rn__netpoll_stop, which comes after the end, finds it in the list, or the end is seen here.
 */
static bool nobody_polls(struct fd_wait *w)
{
    return unlikely(w->g->kind == G_THREAD) && !load_seq_cst(&rn__rt) && take_out(w, 0);
}

/* b->w is in the list. The wait ends at the time until too (INT64_MAX: no such), and with the context of its call. */
static int wait_bounded(struct bounded_wait *b, int64_t until)
{
    struct fd_wait *w = &b->w;
    struct fd_call *call = w->call;
    int err;

    if (nobody_polls(w))
        return 0;
    b->hooked = b->timed = false; /* read by nobody until we park */
    w->bounded = true;
    if (until != INT64_MAX) {
        b->timed = true;
        b->timer = (struct timer){.kind = TIMER_BORROWED, .fire = timer_fire};
        if (rn__timer_start(&b->timer, until) < 0 && take_out(w, 0))
            return -ENOMEM;
    }
    if (call->ctx) {
        b->hooked = true;
        b->hook = (struct ctx_hook){.fire = hook_fire};
        err = rn__ctx_hook_add(call->ctx, &b->hook) ? 0 : rn_ctx_err(call->ctx);
        if (err && take_out(w, 0)) {
            wait_let_go(b);
            return err;
        }
    }
    wait_park(w);
    wait_let_go(b);
    return w->by_ctx ? rn_ctx_err(call->ctx) : w->outcome;
}

int rn__fd_wait_until(struct fd_call *call, uint32_t want, uint64_t edges, int64_t until)
{
    struct bounded_wait b;
    int n;

    wait_init(&b.w, rn__self(), call, want);
    if (!has_runtime(b.w.g))
        return -ENOMEM;
    n = wait_enlist(&b.w, edges);
    return n ? n : wait_bounded(&b, until);
}

int rn__fd_wait(struct fd_call *call, uint32_t want, uint64_t edges)
{
    struct g *g = worker_self()->cur;
    struct fd_wait w;
    int n;

    if (unlikely(call->ctx || g->kind == G_THREAD))
        return rn__fd_wait_until(call, want, edges, INT64_MAX);
    wait_init(&w, g, call, want);
    n = wait_enlist(&w, edges);
    if (unlikely(n))
        return n;
    wait_park(&w);
    return w.outcome;
}

int rn__fd_pause(struct fd_call *call, uint32_t want, int64_t until)
{
    struct fd_desc *d = call->desc;
    struct bounded_wait b;
    int err;

    wait_init(&b.w, rn__self(), call, 0);
    if (!has_runtime(b.w.g))
        return -ENOMEM;
    spin_lock(&d->lock);
    err = refusal(d, call, want);
    if (!err) {
        b.w.want = want << 8; /* no edge's business, but a deadline's and a close's */
        put_last(d, &b.w);
    }
    spin_unlock(&d->lock);
    if (err)
        return err;
    err = wait_bounded(&b, until);
    return err < 0 ? err : 0;
}

static struct fd_wait *first_for_turn(const struct fd_desc *d)
{
    struct fd_wait *w = d->first;

    while (w && !(w->want & FD_TURN))
        w = w->next;
    return w;
}

/*
 * TURN_AWAITED is set and cleared with the lock held, and while it is set nobody takes or gives the turn but with the lock.
 * It may outlast those who wait, who are taken out by anybody; then whoever has the turn finds that out when it passes it on.
 */
int rn__fd_turn_wait(struct fd_call *call, uint32_t *turns)
{
    struct fd_desc *d = call->desc;
    struct bounded_wait b;
    int err;

    wait_init(&b.w, rn__self(), call, FD_TURN);
    do {
        if (!has_runtime(b.w.g))
            return -ENOMEM;
        spin_lock(&d->lock);
        err = refusal(d, call, FD_TURN);
        if (!err && !(or_acq_rel(turns, (uint32_t)TURN_AWAITED) & TURN_TAKEN)) {
            /* It was given back meanwhile. Pairs with that. */
            or_acq_rel(turns, (uint32_t)TURN_TAKEN);
            if (!first_for_turn(d))
                and_acq_rel(turns, ~(uint32_t)TURN_AWAITED);
            spin_unlock(&d->lock);
            return 0;
        }
        if (!err)
            put_last(d, &b.w);
        spin_unlock(&d->lock);
        if (err)
            return err;
        err = wait_bounded(&b, INT64_MAX);
    } while (err == 0);
    return err < 0 ? err : 0; /* FD_TURN: it was handed to us */
}

void rn__fd_turn_pass(struct fd_desc *d, uint32_t gen, uint32_t *turns)
{
    struct fd_wait *w = NULL;

    spin_lock(&d->lock);
    if (d->gen == gen)
        w = first_for_turn(d);
    if (w) {
        take(d, w);
        w->outcome = FD_TURN;
    }
    if (!w)
        and_acq_rel(turns, ~(uint32_t)(TURN_TAKEN | TURN_AWAITED)); /* pairs with who takes it */
    else if (!first_for_turn(d))
        and_acq_rel(turns, ~(uint32_t)TURN_AWAITED);
    spin_unlock(&d->lock);
    if (w)
        rn__ready(w->g);
}

void rn__fd_expire(struct fd_desc *d, uint32_t gen, uint32_t direction, bool passed)
{
    struct woken l = {.end = &l.first};

    spin_lock(&d->lock);
    if (d->gen == gen) {
        store_relaxed(&d->expired, passed ? d->expired | direction : d->expired & ~direction);
        if (passed)
            take_all(d, direction | direction << 8 | (direction == RN_WRITE ? FD_TURN : 0),
                     -ETIMEDOUT, &l);
    }
    spin_unlock(&d->lock);
    woken_ready(&l);
}

uint32_t rn__fd_open(struct fd_desc *d, uint32_t *turns)
{
    uint32_t gen;

    inst_enter();
    spin_lock(&d->lock);
    unregister(
        d); /* somebody has waited for a descriptor of this number, and not told us that it was closed */
    store_relaxed(&d->expired, 0);
    store_relaxed(&d->more, false);
    d->turns = turns;
    gen = d->gen;
    spin_unlock(&d->lock);
    inst_leave();
    return gen;
}

/* End the present generation, which must be *gen if that is not NULL. */
static void end_generation(struct fd_desc *d, const uint32_t *gen, bool remove)
{
    struct woken l = {.end = &l.first};

    inst_enter();
    spin_lock(&d->lock);
    if (!gen || d->gen == *gen) {
        remove = remove && d->epoch && d->epoch == load_relaxed(&inst_epoch);
        unregister(d);
        store_relaxed(&d->gen, d->gen + 1);
        store_relaxed(&d->expired, 0);
        d->turns = NULL;
        take_all(d, UINT32_MAX, -ECANCELED, &l);
    } else {
        remove = false;
    }
    spin_unlock(&d->lock);
    if (remove)
        rn__backend_remove(d->fd);
    inst_leave();
    woken_ready(&l);
}

void rn__fd_close(struct fd_desc *d, uint32_t gen, bool shared)
{
    end_generation(d, &gen, shared); /* else close(2) takes it out of the instance */
}

/* ---- The user's descriptors --------------------------------------------------------------------------------- */

int rn_wait_fd(int fd, int events, struct rn_ctx *ctx)
{
    struct fd_call call = {.foreign = true, .ctx = ctx};
    int n = rn_ctx_err(ctx);

    wait_point();
    if (events == 0 || (events & ~(RN_READ | RN_WRITE)))
        return -EINVAL;
    if (n)
        return n;
    do {
        uint64_t edges;

        n = rn__os_poll(fd, events & RN_READ, events & RN_WRITE);
        if (n)
            return n < 0 ? n : ((n & 1) ? RN_READ : 0) | ((n & 2) ? RN_WRITE : 0);
        if (!call.desc)
            call.desc = rn__fd_desc(fd);
        if (!call.desc)
            return -ENOMEM;
        call.gen = load_relaxed(&call.desc->gen);
        edges = rn__fd_edges(call.desc);
        /* What has become ready since is reported when it is re-armed. */
        n = rn__fd_wait(&call, (uint32_t)events, edges);
    } while (n == 0);
    return n;
}

void rn_forget_fd(int fd)
{
    if (fd >= 0 && (uint32_t)fd / BLOCK < BLOCKS && load_acquire(&blocks[(uint32_t)fd / BLOCK]))
        end_generation(rn__fd_desc(fd), NULL, true);
}

/* ---- For the scheduler ---------------------------------------------------------------------------------------- */

static uint32_t sleepers ALIGNED(CACHE_LINE); /* atomic */

int rn__netpoll_fetch(struct poll_batch *b, int64_t until, const uint32_t *told)
{
    bool broken = false;
    uint32_t others;

    if (until == 0) {
        b->count = rn__backend_wait(b->events, 0, &broken);
        others = load_relaxed(&sleepers);
    } else {
        add_seq_cst(&sleepers, 1); /* before the look at told; see rn__netpoll_break */
        if (load_seq_cst(told))
            until = 0;
        b->count = rn__backend_wait(b->events, until, &broken);
        others = sub_seq_cst(&sleepers, 1) - 1;
    }
    if (unlikely(broken && others > 0)) /* it was meant for one of them, perhaps */
        rn__backend_break();
    return b->count;
}

void rn__netpoll_break(void)
{
    fence_seq_cst(); /* the sleeper was told before we look whether it sleeps; see rn__netpoll_fetch */
    if (load_relaxed(&sleepers) > 0) {
        int saved = errno;

        rn__backend_break();
        errno = saved;
    }
}

/* Who delivers may have no processor: what is taken out and not yet readied is in no list and no queue, and shall not
 * look like a deadlock. */
static uint32_t delivering; /* atomic */
uint64_t rn__netpoll_woken, rn__netpoll_ahead;

/* The record under whose key something is reported: it was there to be added. */
static inline struct fd_desc *known_desc(uint64_t key)
{
    uint32_t fd = (uint32_t)key;

    return &load_acquire(&blocks[fd / BLOCK])[fd % BLOCK]; /* pairs with block_new */
}

/*
 * A full batch tells of connections by the thousand, whose records are in no cache, nor who waits there. One after another
 * each costs its time; here they come at the same time. Whose goroutine and connection they are is known only then: those are
 * fetched as each is taken out, before all are readied. For the rest of what a wake-up touches see sched.c, fetch_next.
 */
static void fetch_waiters(const struct poll_batch *b)
{
    struct fd_desc *d[POLL_BATCH];
    int n = 0;

    for (int i = 0; i < b->count; i++)
        if (b->events[i].key != ring_key) {
            d[n] = known_desc(b->events[i].key);
            fetch_ahead(d[n++]);
        }
    for (int i = 0; i < n; i++)
        fetch_ahead(load_relaxed(&d[i]->first));
}

/* Of those taken out, what the first wants to have read; NULL: nobody does. */
static struct fd_read *first_read(const struct fd_wait *w)
{
    for (; w; w = w->next)
        if (w->outcome & RN_READ && w->call->read)
            return w->call->read;
    return NULL;
}

int rn__netpoll_deliver(struct poll_batch *b)
{
    struct woken l = {.end = &l.first};
    struct fd_read *reads[POLL_BATCH];
    uint32_t read_count = 0;
    int n, of_ring = 0;
    bool ahead;

    if (b->count == 0)
        return 0;
    if (b->count == POLL_BATCH)
        fetch_waiters(b);
    ahead = rn__ahead_pays((uint32_t)b->count);
    add_seq_cst(&delivering, 1); /* before the first is taken out */
    for (int i = 0; i < b->count; i++) {
        const struct poll_event *ev = &b->events[i];
        struct fd_wait **end = l.end;
        struct fd_read *read;
        struct fd_desc *d;

        if (ev->key == ring_key) {
            of_ring += rn__ring_edge();
            continue;
        }
        d = known_desc(ev->key);
        spin_lock(&d->lock);
        if (d->gen == (uint32_t)(ev->key >> 32)) {
            if (ev->ready & POLL_MORE)
                store_relaxed(&d->more, true);
            count_edges(d, ev->ready);
            take_all(d, ev->ready, 0, &l);
            fetch_ahead(d->turns);
            read = ahead ? first_read(*end) : NULL;
            if (read) {
                read->edges = d->edges; /* it comes after these, and perhaps after others */
                reads[read_count++] = read;
            }
        }
        spin_unlock(&d->lock);
    }
    b->count = 0;
    if (read_count > 0) /* each is in a call that keeps its descriptor open, until it is readied */
        rn__ahead(reads, read_count);
    n = woken_ready(&l) + of_ring;
    add_relaxed(&rn__netpoll_woken, (uint64_t)n); /* beside the other line that all share anyway */
    sub_seq_cst(&delivering, 1);                  /* after the last is queued */
    return n;
}

int rn__netpoll_poll(void)
{
    struct poll_batch b;

    if (rn__netpoll_fetch(&b, 0, NULL) == 0)
        return 0;
    return rn__netpoll_deliver(&b);
}

bool rn__netpoll_awaited(void)
{
    static uint32_t hint; /* atomic: where the last one was found; mostly it still waits */
    uint32_t start = load_relaxed(&hint), end = load_acquire(&blocks_end);

    for (uint32_t k = 0; k < end; k++) {
        uint32_t i = (start / BLOCK + k) % end;
        struct fd_desc *block = load_acquire(&blocks[i]);

        for (uint32_t j = 0; block && j < BLOCK; j++) {
            struct fd_desc *d = &block[(start + j) % BLOCK];
            bool any = false;

            spin_lock(&d->lock);
            for (const struct fd_wait *w = d->first; w && !any; w = w->next)
                any = w->want & (RN_READ | RN_WRITE);
            spin_unlock(&d->lock);
            if (any) {
                store_relaxed(&hint, (uint32_t)d->fd);
                return true;
            }
        }
    }
    if (rn__ring_awaited && rn__ring_awaited())
        return true;
    /* After the lists: if it is 0, what was missing there is queued by now, and a second look will find it. */
    return load_seq_cst(&delivering) > 0;
}

void rn__netpoll_stop(bool process_ends)
{
    struct woken l = {.end = &l.first};
    uint32_t none = 0;

    if (rn__ring_stop)
        rn__ring_stop();
    /* Pairs with inst_leave: they are out. */
    for (unsigned n = 0; !cas_acq_rel(&inst_users, &none, inst_closing); n++) {
        none = 0;
        rn__wait_shortly(n);
    }
    if (load_relaxed(&inst_epoch)) {
        rn__backend_close();
        store_relaxed(&inst_epoch, 0);
        store_relaxed(&rn__netpoll_registered, 0);
    }
    store_release(&inst_users, 0); /* pairs with inst_enter */
    if (process_ends)
        return;
    for (uint32_t i = 0, end = load_seq_cst(&blocks_end); i < end; i++) {
        struct fd_desc *block = load_acquire(&blocks[i]);

        for (uint32_t j = 0; block && j < BLOCK; j++) {
            struct fd_desc *d = &block[j];
            struct fd_wait *next;

            spin_lock(&d->lock);
            for (struct fd_wait *w = d->first; w; w = next) {
                next = w->next;
                if (w->g->kind != G_THREAD)
                    continue;
                take(d, w);
                w->outcome = 0;
                woken_add(&l, w);
            }
            spin_unlock(&d->lock);
        }
    }
    woken_ready(&l);
}

void rn__netpoll_fork(void)
{
    if (rn__ring_fork)
        rn__ring_fork();
    if (load_relaxed(&inst_epoch))
        rn__backend_close(); /* the parent's stays open */
    store_relaxed(&inst_epoch, 0);
    store_relaxed(&inst_users, 0);
    store_relaxed(&rn__netpoll_registered, 0);
    store_relaxed(&sleepers, 0);
    store_relaxed(&delivering, 0);
    opening_lock = (struct spin){0};
    for (uint32_t i = 0; i < load_relaxed(&blocks_end); i++) {
        struct fd_desc *block = load_relaxed(&blocks[i]);

        for (uint32_t j = 0; block && j < BLOCK; j++) {
            block[j].lock = (struct spin){0};
            block[j].epoch = 0;
            if (block[j].turns) /* whoever has it, or waits for it, is the parent's */
                and_acq_rel(block[j].turns, ~(uint32_t)(TURN_TAKEN | TURN_AWAITED));
            block[j].first = block[j].last = NULL;
        }
    }
}
