/* SPDX-License-Identifier: MIT */
/*
 * stress.c - random programs whose books must balance.
 *
 *     stress [--seconds N] [--seed N] [--programs N]
 *
 * It runs for N seconds; without the option, for those of RUNNEL_STRESS_SECONDS, or 10. A program is drawn from a small grammar:
 *
 *     program  = step | in turn (program ...) | at once (program ...)
 *     step     = flow | swap | lock | readers | queue | units | family | errors | alarms | hooks | tickets
 *
 * Each step makes its own objects, starts goroutines and, now and then, plain threads, which work on them
 * in every form the interface has: plain, try, select, under a context that ends when it likes. At its end
 * a step compares what went in with what came out. Sizes, forms and orders are random, but follow from the
 * seed, which is printed. A program that does not end within two minutes is a failure too.
 */
#define _GNU_SOURCE
#include <runnel.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dice.h"

enum { HANG_SECONDS = 120 };

static uint64_t program_seed;
static char program_seed_text[100];

static void die(int line, const char *what, int64_t a, int64_t b)
{
    fprintf(stderr, "stress.c:%d: %s: %lld and %lld; --seed %llu --programs 1\n", line, what,
            (long long)a, (long long)b, (unsigned long long)program_seed);
    abort();
}
#define BALANCE(a, b)                                                                              \
    do {                                                                                           \
        int64_t left_ = (int64_t)(a), right_ = (int64_t)(b);                                       \
        if (left_ != right_)                                                                       \
            die(__LINE__, #a " and " #b " differ", left_, right_);                                 \
    } while (0)
#define TRUE(a) BALANCE(!!(a), 1)

static void on_alarm(int sig)
{
    (void)sig;
    (void)!write(2, program_seed_text, strlen(program_seed_text));
    abort();
}

/* ---- Chance ------------------------------------------------------------------------------------------ */

static bool one_in(struct dice *d, uint32_t n)
{
    return roll(d, n) == 0;
}
static int between(struct dice *d, int lo, int hi)
{
    return lo + (int)roll(d, (uint32_t)(hi - lo + 1));
}
static struct dice split(struct dice *d)
{
    uint64_t a = roll(d, UINT32_MAX), b = roll(d, UINT32_MAX);

    return (struct dice){(a << 32 | b) * 2 + 1};
}
/* Mostly short, sometimes none, seldom long enough for everybody to fall asleep. */
static rn_dur moment(struct dice *d)
{
    return one_in(d, 30) ? between(d, 0, 2000) * RN_MICROSECOND
                         : between(d, 0, 50) * RN_MICROSECOND;
}
static void dawdle(struct dice *d)
{
    switch (roll(d, 24)) {
    case 0:
        rn_sleep(moment(d));
        break;
    case 1:
    case 2:
        rn_yield();
        break;
    case 3:
        for (volatile uint32_t i = roll(d, 2000); i > 0; i--)
            ;
        break;
    case 4:
        (void)rn_blocking(usleep(roll(d, 20)));
        break;
    default:
        break;
    }
}
/* A context that ends soon, or never. The caller ends it. */
static rn_ctx *some_ctx(struct dice *d)
{
    return one_in(d, 3) ? rn_ctx_with_cancel(rn_ctx_background())
                        : rn_ctx_with_timeout(rn_ctx_background(), moment(d));
}

/* ---- Starting workers: goroutines, groups of them, plain threads ---------------------------------------- */

struct crew {
    rn_wg wg;
    pthread_t thread[8];
    int threads;
};

struct errand {
    void (*fn)(void *, struct dice);
    void *arg;
    struct dice dice;
};

static void run_errand(void (*fn)(void *, struct dice), void *arg, struct dice d)
{
    fn(arg, d);
}
static void *thread_errand(void *arg)
{
    struct errand e = *(struct errand *)arg;

    free(arg);
    e.fn(e.arg, e.dice);
    return NULL;
}
static void hire(struct crew *c, struct dice *d, void (*fn)(void *, struct dice), void *arg)
{
    struct dice own = split(d);
    struct errand *e;

    if (c->threads < 8 && one_in(d, 12) && (e = malloc(sizeof(*e))) != NULL) {
        *e = (struct errand){fn, arg, own};
        if (pthread_create(&c->thread[c->threads], NULL, thread_errand, e) == 0) {
            c->threads++;
            return;
        }
        free(e);
    }
    rn_wg_go(&c->wg, run_errand, fn, arg, own);
}
static void join(struct crew *c)
{
    for (int i = 0; i < c->threads; i++)
        (void)rn_blocking(pthread_join(c->thread[i], NULL));
    rn_wg_wait(&c->wg);
}

/* ---- flow: what goes into a channel comes out, once ------------------------------------------------------- */

struct flow {
    rn_chan(int64_t) ch;
    int each;
    rn_wg senders;
    _Atomic int64_t sent, sent_sum, received, received_sum;
};

static void flow_send(void *arg, struct dice d)
{
    struct flow *f = arg;

    for (int i = 0; i < f->each; i++) {
        int64_t v = (int64_t)roll(&d, 1000000);
        bool gone = false;
        rn_ctx *ctx;

        switch (roll(&d, 6)) {
        case 0:
            gone = rn_try_send(f->ch, v);
            break;
        case 1:
            gone = rn_select(rn_on_send(f->ch, v), rn_on_timeout(moment(&d))) == 0;
            break;
        case 2:
            ctx = some_ctx(&d);
            if (rn_ctx_deadline(ctx, NULL))
                gone = rn_send_ctx(ctx, f->ch, v) == 0;
            rn_ctx_end(ctx);
            break;
        case 3:
            gone = rn_select(rn_on_send(f->ch, v), rn_default) == 0;
            break;
        default:
            rn_send(f->ch, v);
            gone = true;
        }
        if (gone) {
            f->sent++;
            f->sent_sum += v;
        }
        dawdle(&d);
    }
    rn_wg_done(&f->senders);
}

static void flow_recv(void *arg, struct dice d)
{
    struct flow *f = arg;

    for (;;) {
        bool got = false, ok = true;
        int64_t v = -1;
        rn_ctx *ctx;
        int err;

        switch (roll(&d, 6)) {
        case 0:
            got = rn_try_recv_ok(f->ch, &v, &ok);
            break;
        case 1:
            got = rn_select(rn_on_timeout(moment(&d)), rn_on_recv_ok(f->ch, &v, &ok)) == 1;
            break;
        case 2:
            ctx = rn_ctx_with_timeout(rn_ctx_background(), moment(&d));
            err = rn_recv_ctx(ctx, f->ch, &v);
            got = err == 0 || err == -EPIPE;
            ok = err != -EPIPE;
            rn_ctx_end(ctx);
            break;
        case 3:
            got = rn_select(rn_on_recv_ok(f->ch, &v, &ok), rn_default) == 0;
            break;
        default:
            ok = rn_recv_ok(f->ch, &v);
            got = true;
        }
        if (!got)
            continue;
        if (!ok) {
            BALANCE(v, 0);
            return;
        }
        f->received++;
        f->received_sum += v;
        dawdle(&d);
    }
}

static void flow_close(void *arg, struct dice d)
{
    struct flow *f = arg;

    (void)d;
    rn_wg_wait(&f->senders);
    rn_close(f->ch);
}

static void flow(struct dice d)
{
    struct flow f = {.each = between(&d, 0, 60)};
    struct crew c = {0};
    int senders = between(&d, 1, 6), receivers = between(&d, 1, 6);

    f.ch = rn_chan_make(int64_t, one_in(&d, 2) ? 0 : between(&d, 1, 20));
    rn_wg_add(&f.senders, senders);
    if (one_in(&d, 2))
        hire(&c, &d, flow_close, &f);
    else
        senders = -senders;
    for (int i = 0; i < receivers; i++)
        hire(&c, &d, flow_recv, &f);
    for (int i = 0; i < abs(senders); i++)
        hire(&c, &d, flow_send, &f);
    if (senders < 0)
        flow_close(&f, d);
    join(&c);
    BALANCE(f.sent, f.received);
    BALANCE(f.sent_sum, f.received_sum);
    rn_chan_release(f.ch);
}

/* ---- swap: tokens wander between channels by selects that send and receive at once --------------------------- */

enum { SWAP_CHANNELS = 5 };
struct swap {
    rn_chan(int) ch[SWAP_CHANNELS];
    rn_chan(rn_unit) stop;
    _Atomic int64_t held, held_sum;
};

static void swap_work(void *arg, struct dice d)
{
    struct swap *s = arg;
    int token = between(&d, 1, 1000), have = 1;

    s->held++;
    s->held_sum += token;
    for (;;) {
        rn_case cases[SWAP_CHANNELS + 2];
        int n = 0, in = 0, chosen;

        for (int i = 0; i < SWAP_CHANNELS; i++) {
            if (one_in(&d, 4))
                cases[n++] = (rn_case){0};
            else if (have && one_in(&d, 2))
                cases[n++] = rn_on_send_from(s->ch[i], &token);
            else if (!have)
                cases[n++] = rn_on_recv(s->ch[i], &in);
        }
        cases[n++] = rn_on_recv(s->stop, NULL);
        cases[n++] = rn_on_timeout(moment(&d));
        chosen = rn_select_array(cases, (size_t)n);
        if (chosen == n - 2)
            break;
        if (chosen == n - 1)
            continue;
        if (have) {
            have = 0;
        } else {
            token = in;
            have = 1;
        }
        dawdle(&d);
    }
    if (have) {
        s->held--;
        s->held_sum -= token;
    }
}

static void swap(struct dice d)
{
    struct swap s = {.stop = rn_chan_make(rn_unit, 0)};
    struct crew c = {0};
    int v;

    for (int i = 0; i < SWAP_CHANNELS; i++)
        s.ch[i] = rn_chan_make(int, between(&d, 0, 2));
    for (int i = between(&d, 2, 10); i > 0; i--)
        hire(&c, &d, swap_work, &s);
    rn_sleep(between(&d, 0, 5) * RN_MILLISECOND);
    rn_close(s.stop);
    join(&c);
    for (int i = 0; i < SWAP_CHANNELS; i++) {
        while (rn_try_recv(s.ch[i], &v)) {
            s.held--;
            s.held_sum -= v;
        }
        rn_chan_release(s.ch[i]);
    }
    BALANCE(s.held, 0);
    BALANCE(s.held_sum, 0);
    rn_chan_release(s.stop);
}

/* ---- lock, readers -------------------------------------------------------------------------------------------- */

struct lock {
    rn_mutex mu;
    int64_t guarded;
    _Atomic int64_t wanted;
    int inside;
    int each;
};

static void lock_work(void *arg, struct dice d)
{
    struct lock *l = arg;

    for (int i = 0; i < l->each; i++) {
        rn_ctx *ctx;

        switch (roll(&d, 4)) {
        case 0:
            if (!rn_mutex_try_lock(&l->mu))
                continue;
            break;
        case 1:
            ctx = rn_ctx_with_timeout(rn_ctx_background(), moment(&d));
            if (rn_mutex_lock_ctx(ctx, &l->mu) != 0) {
                rn_ctx_end(ctx);
                continue;
            }
            rn_ctx_end(ctx);
            break;
        default:
            rn_mutex_lock(&l->mu);
        }
        BALANCE(l->inside, 0);
        l->inside = 1;
        l->guarded++;
        dawdle(&d);
        l->inside = 0;
        rn_mutex_unlock(&l->mu);
        l->wanted++;
    }
}

static void lock(struct dice d)
{
    struct lock l = {.each = between(&d, 1, 80)};
    struct crew c = {0};

    for (int i = between(&d, 1, 10); i > 0; i--)
        hire(&c, &d, lock_work, &l);
    join(&c);
    BALANCE(l.guarded, l.wanted);
    TRUE(rn_mutex_try_lock(&l.mu));
}

struct readers {
    rn_rwmutex mu;
    int64_t a, b;
    _Atomic int64_t writes;
    int each;
};

static void readers_work(void *arg, struct dice d)
{
    struct readers *r = arg;

    for (int i = 0; i < r->each; i++) {
        bool write = one_in(&d, 4), try = one_in(&d, 4);

        if (write) {
            if (!try)
                rn_rwmutex_lock(&r->mu);
            else if (!rn_rwmutex_try_lock(&r->mu))
                continue;
            r->a++;
            dawdle(&d);
            r->b++;
            r->writes++;
            rn_rwmutex_unlock(&r->mu);
        } else {
            if (!try)
                rn_rwmutex_rlock(&r->mu);
            else if (!rn_rwmutex_try_rlock(&r->mu))
                continue;
            BALANCE(r->a, r->b);
            dawdle(&d);
            BALANCE(r->a, r->b);
            rn_rwmutex_runlock(&r->mu);
        }
    }
}

static void readers(struct dice d)
{
    struct readers r = {.each = between(&d, 1, 80)};
    struct crew c = {0};

    for (int i = between(&d, 1, 10); i > 0; i--)
        hire(&c, &d, readers_work, &r);
    join(&c);
    BALANCE(r.a, r.writes);
    TRUE(rn_rwmutex_try_lock(&r.mu));
}

/* ---- queue: a condition variable ------------------------------------------------------------------------------------ */

struct queue {
    rn_mutex mu;
    rn_cond not_empty, not_full;
    int length, most, ended; /* guarded by mu */
    int64_t in, out;         /* guarded by mu */
    int each;
    rn_wg makers;
};

static void queue_put(void *arg, struct dice d)
{
    struct queue *q = arg;

    for (int i = 0; i < q->each; i++) {
        rn_mutex_lock(&q->mu);
        while (q->length == q->most)
            rn_cond_wait(&q->not_full, &q->mu);
        q->length++;
        q->in++;
        if (one_in(&d, 2)) {
            rn_cond_signal(&q->not_empty);
            rn_mutex_unlock(&q->mu);
        } else {
            rn_mutex_unlock(&q->mu);
            rn_cond_signal(&q->not_empty);
        }
        dawdle(&d);
    }
    rn_wg_done(&q->makers);
}

static void queue_take(void *arg, struct dice d)
{
    struct queue *q = arg;

    rn_mutex_lock(&q->mu);
    for (;;) {
        rn_ctx *ctx;

        while (q->length == 0 && !q->ended) {
            if (one_in(&d, 3)) {
                ctx = rn_ctx_with_timeout(rn_ctx_background(), moment(&d));
                (void)!rn_cond_wait_ctx(ctx, &q->not_empty, &q->mu);
                rn_ctx_end(ctx);
            } else {
                rn_cond_wait(&q->not_empty, &q->mu);
            }
        }
        if (q->length == 0)
            break;
        q->length--;
        q->out++;
        rn_mutex_unlock(&q->mu);
        rn_cond_signal(&q->not_full);
        dawdle(&d);
        rn_mutex_lock(&q->mu);
    }
    rn_mutex_unlock(&q->mu);
}

static void queue(struct dice d)
{
    struct queue q = {.each = between(&d, 0, 60), .most = between(&d, 1, 5)};
    struct crew c = {0};
    int makers = between(&d, 1, 5);

    rn_wg_add(&q.makers, makers);
    for (int i = 0; i < makers; i++)
        hire(&c, &d, queue_put, &q);
    for (int i = between(&d, 1, 5); i > 0; i--)
        hire(&c, &d, queue_take, &q);
    rn_wg_wait(&q.makers);
    rn_mutex_lock(&q.mu);
    q.ended = 1;
    rn_mutex_unlock(&q.mu);
    rn_cond_broadcast(&q.not_empty);
    join(&c);
    BALANCE(q.in, q.out);
    BALANCE(q.length, 0);
}

/* ---- units: a weighted semaphore ---------------------------------------------------------------------------------------- */

struct units {
    rn_sem sem;
    int size, each;
    _Atomic int taken;
};

static void units_work(void *arg, struct dice d)
{
    struct units *u = arg;

    for (int i = 0; i < u->each; i++) {
        int n = between(&d, 0, u->size), now;
        rn_ctx *ctx = NULL;
        bool got;

        if (one_in(&d, 3)) {
            got = rn_sem_try_acquire(&u->sem, n);
        } else {
            if (one_in(&d, 2))
                ctx = rn_ctx_with_timeout(rn_ctx_background(), moment(&d));
            got = rn_sem_acquire(ctx, &u->sem, n) == 0;
            rn_ctx_end(ctx);
        }
        if (!got)
            continue;
        now = atomic_fetch_add(&u->taken, n) + n;
        TRUE(now <= u->size);
        dawdle(&d);
        u->taken -= n;
        if (n > 1 && one_in(&d, 3)) {
            rn_sem_release(&u->sem, 1);
            n--;
        }
        rn_sem_release(&u->sem, n);
    }
}

static void units(struct dice d)
{
    struct units u = {.size = between(&d, 1, 7), .each = between(&d, 1, 60)};
    struct crew c = {0};

    u.sem = (rn_sem)RN_SEM(u.size);
    for (int i = between(&d, 1, 10); i > 0; i--)
        hire(&c, &d, units_work, &u);
    join(&c);
    TRUE(rn_sem_try_acquire(&u.sem, u.size));
}

/* ---- family: a tree of contexts and waiters, ended here and there ----------------------------------------------------------- */

static char family_key, other_key;

struct family {
    rn_ctx *ctx;
    _Atomic int dropped;
    _Atomic int64_t visits;
};

static void family_drop(void *arg)
{
    ++*(_Atomic int *)arg;
}

static void family_child(struct family *f, rn_ctx *parent, int depth, struct dice d);

static void family_visit(struct family *f, rn_ctx *ctx, struct dice d)
{
    TRUE(rn_ctx_value(ctx, &family_key) == &f->dropped);
    if (one_in(&d, 2)) {
        (void)rn_select(rn_on_done(ctx), rn_on_timeout(moment(&d)));
        if (rn_ctx_err(ctx)) {
            bool ok = true;

            TRUE(rn_try_recv_ok(rn_ctx_done(ctx), NULL, &ok) && !ok);
            TRUE(rn_ctx_cause(ctx) < 0);
        }
    }
    if (one_in(&d, 4))
        rn_ctx_cancel_cause(ctx, rn_errorf(-EIO, "cause %d", between(&d, 1, 9)));
    f->visits++;
    rn_ctx_release(ctx);
}

static void family_child(struct family *f, rn_ctx *parent, int depth, struct dice d)
{
    rn_ctx *ctx = one_in(&d, 3)   ? rn_ctx_with_cancel(parent)
                  : one_in(&d, 2) ? rn_ctx_with_timeout(parent, moment(&d))
                  : one_in(&d, 2) ? rn_ctx_with_value(parent, &other_key, NULL)
                                  : rn_ctx_without_cancel(parent);
    rn_wg wg = {0};

    for (int i = between(&d, 0, 3); i > 0; i--)
        rn_wg_go(&wg, family_visit, f, rn_ctx_retain(ctx), split(&d));
    for (int i = between(&d, 0, 3); depth > 0 && i > 0; i--)
        rn_wg_go(&wg, family_child, f, ctx, depth - 1, split(&d));
    dawdle(&d);
    if (one_in(&d, 2))
        rn_ctx_cancel(ctx);
    rn_wg_wait(&wg);
    rn_ctx_end(ctx);
}

static void family(struct dice d)
{
    struct family f = {0};

    f.ctx = rn_ctx_with_owned_value(rn_ctx_background(), &family_key, &f.dropped, family_drop);
    family_child(&f, f.ctx, 3, split(&d));
    BALANCE(f.dropped, 0);
    rn_ctx_end(f.ctx);
    while (f.dropped ==
           0) /* a deadline that passes just now may hold a reference for a moment longer */
        rn_yield();
    BALANCE(f.dropped, 1);
}

/* ---- errors: a group whose result is one of its functions' --------------------------------------------------------------------- */

struct errors {
    _Atomic int64_t ran;
    _Atomic int active, failed;
    int limit;
};

static int errors_work(struct errors *e, rn_ctx *ctx, int result, struct dice d)
{
    int now = ++e->active;

    if (e->limit > 0)
        TRUE(now <= e->limit);
    dawdle(&d);
    if (ctx && one_in(&d, 4))
        (void)rn_sleep_ctx(ctx, moment(&d));
    e->active--;
    e->ran++;
    if (result < 0) {
        e->failed++;
        return rn_errorf(result, "result %d", result);
    }
    return result;
}

static void errors(struct dice d)
{
    struct errors e = {.limit = between(&d, -1, 4)};
    rn_group g = {0};
    rn_ctx *ctx = one_in(&d, 2) ? rn_group_with_ctx(&g, rn_ctx_background()) : NULL;
    int64_t started = 0;
    char text[40];
    int result;

    if (e.limit == 0)
        e.limit = -1;
    rn_group_set_limit(&g, e.limit);
    for (int i = between(&d, 0, 20); i > 0; i--) {
        int give = one_in(&d, 6) ? -between(&d, 1, 30) : between(&d, 0, 3);

        if (one_in(&d, 3)) {
            started += rn_group_try_go(&g, errors_work, &e, ctx, give, split(&d));
        } else {
            rn_group_go(&g, errors_work, &e, ctx, give, split(&d));
            started++;
        }
    }
    result = rn_group_wait(&g);
    BALANCE(started, e.ran);
    BALANCE(result < 0, e.failed > 0);
    if (result < 0) {
        snprintf(text, sizeof(text), "result %d", result);
        BALANCE(strcmp(rn_errmsg(result), text), 0);
    }
}

/* ---- alarms: a timer fires or is stopped, never both ------------------------------------------------------------------------------- */

static void alarm_fire(_Atomic int *fired)
{
    ++*fired;
}

static void alarms(struct dice d)
{
    enum { MOST = 30 };
    rn_timer *t[MOST];
    _Atomic int fired = 0, free_fired = 0;
    int n = between(&d, 1, MOST), armed = 0, stopped = 0, free_armed = 0;
    rn_timer own = {0};
    rn_ticker tick = {0};

    for (int i = 0; i < n; i++, armed++)
        t[i] = rn_after_func(moment(&d), alarm_fire, &fired);
    for (int i = between(&d, 0, 60); i > 0; i--) {
        int k = between(&d, 0, n - 1);

        switch (roll(&d, 5)) {
        case 0:
            stopped += rn_timer_stop(t[k]);
            break;
        case 1:
        case 2:
            stopped += rn_timer_reset(t[k], moment(&d)); /* the old setting will not fire */
            armed++;
            break;
        case 3:
            rn_go_after(moment(&d), alarm_fire, &free_fired);
            free_armed++;
            break;
        default:
            rn_timer_reset(&own, moment(&d));
            rn_ticker_start(&tick, 1 + moment(&d));
            (void)rn_select(rn_on_recv(rn_timer_chan(&own), NULL),
                            rn_on_recv(rn_ticker_chan(&tick), NULL));
            break;
        }
        dawdle(&d);
    }
    for (int i = 0; i < n; i++)
        stopped += rn_timer_stop(t[i]);
    for (int i = 0; i < n; i++)
        rn_timer_free(t[i]);
    rn_timer_free(&own);
    rn_ticker_free(&tick);
    while (fired + stopped < armed || free_fired < free_armed)
        rn_sleep(10 * RN_MICROSECOND);
    for (int i = 0; i < 20; i++)
        rn_yield();
    BALANCE(fired + stopped, armed);
    BALANCE(free_fired, free_armed);
}

/* ---- hooks: an after-function runs or is taken back --------------------------------------------------------------------------------- */

static void hooks(struct dice d)
{
    enum { MOST = 12 };
    rn_ctx *ctx = some_ctx(&d);
    rn_ctx_hook hook[MOST] = {0};
    _Atomic int ran = 0;
    int n = between(&d, 1, MOST), taken = 0;
    rn_wg wg = {0};

    for (int i = 0; i < n; i++)
        rn_ctx_after_func(&hook[i], ctx, alarm_fire, &ran);
    dawdle(&d);
    if (one_in(&d, 2))
        rn_wg_go(&wg, rn_ctx_release, rn_ctx_retain(ctx));
    if (one_in(&d, 2))
        rn_ctx_cancel(ctx);
    for (int i = 0; i < n; i++)
        taken += rn_ctx_hook_stop(&hook[i]);
    BALANCE(ran + taken, n); /* stop has waited for those that ran */
    rn_wg_wait(&wg);
    rn_ctx_end(ctx);
}

/* ---- tickets: park and ready ----------------------------------------------------------------------------------------------------------- */

struct tickets {
    rn_ticket ticket[8];
    _Atomic int won;
};

static void tickets_work(void *arg, struct dice d)
{
    struct tickets *t = arg;

    for (int i = 0; i < 8; i++) {
        dawdle(&d);
        t->won += rn_ready(&t->ticket[i]);
    }
}

static void tickets(struct dice d)
{
    struct tickets t = {0};
    struct crew c = {0};

    for (int i = 0; i < 8; i++)
        rn_park_init(&t.ticket[i]);
    for (int i = between(&d, 1, 4); i > 0; i--)
        hire(&c, &d, tickets_work, &t);
    for (int i = 0; i < 8; i++) {
        dawdle(&d);
        rn_park(&t.ticket[i]);
    }
    join(&c);
    BALANCE(t.won, 8);
}

/* ---- Programs ------------------------------------------------------------------------------------------------------------------------------ */

static void (*const step[])(struct dice) = {flow,   swap,   lock,   readers, queue,  units,
                                            family, errors, alarms, hooks,   tickets};

static void program(int depth, struct dice d)
{
    int kind = depth > 0 ? between(&d, 0, 3) : 0;
    rn_wg wg = {0};

    if (one_in(&d, 40))
        rn_lock_thread();
    if (kind < 2) {
        step[roll(&d, sizeof(step) / sizeof(step[0]))](split(&d));
        return;
    }
    for (int i = between(&d, 1, 5); i > 0; i--) {
        if (kind == 2)
            program(depth - 1, split(&d));
        else
            rn_wg_go(&wg, program, depth - 1, split(&d));
    }
    rn_wg_wait(&wg);
}

static void lost(rn_chan(int) ch)
{
    (void)rn_recv(ch);
    abort(); /* nobody sends */
}

static int program_first(struct dice d, rn_chan(int) never)
{
    for (int i = one_in(&d, 4) ? between(&d, 1, 10) : 0; i > 0; i--)
        rn_go(lost, never); /* left behind on purpose */
    program(4, d);
    return 0;
}

static void run_program(uint64_t seed)
{
    struct dice d = {seed * 0x9e3779b97f4a7c15u | 1};
    rn_chan(int) never = rn_chan_make(int, 0);

    program_seed = seed;
    snprintf(program_seed_text, sizeof(program_seed_text),
             "stress.c: hung; --seed %llu --programs 1\n", (unsigned long long)seed);
    alarm(HANG_SECONDS);
    for (int i = 0; i < 8; i++)
        (void)roll(&d, 2);
    (void)rn_set_procs(one_in(&d, 4) ? between(&d, 1, 6) : 0);
    (void)!rn_run(program_first, d, never);
    rn_chan_release(never); /* nobody waits on it any more */
    alarm(0);
}

int main(int argc, char **argv)
{
    uint64_t seed = (uint64_t)rn_now() ^ (uint64_t)getpid() << 32, programs = UINT64_MAX, n;
    const char *wanted = getenv("RUNNEL_STRESS_SECONDS");
    int seconds = wanted && atoi(wanted) > 0 ? atoi(wanted) : 10;
    rn_time end;

    for (int i = 1; i + 1 < argc; i += 2) {
        unsigned long long value = strtoull(argv[i + 1], NULL, 10);

        if (strcmp(argv[i], "--seed") == 0)
            seed = value;
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = (int)value;
        else if (strcmp(argv[i], "--programs") == 0)
            programs = value;
        else
            argc = 0;
    }
    if (argc % 2 == 0) {
        fprintf(stderr, "usage: stress [--seconds N] [--seed N] [--programs N]\n");
        return 1;
    }
    signal(SIGALRM, on_alarm);
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    end = programs == UINT64_MAX ? rn_now() + seconds * RN_SECOND : INT64_MAX;
    for (n = 0; n < programs && rn_now() < end; n++)
        run_program(seed + n);
    printf("%llu programs\n", (unsigned long long)n);
    return 0;
}
