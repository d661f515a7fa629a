/* SPDX-License-Identifier: MIT */
/* select.c - select. Workloads: README.md. */
#include "driver.h"

#include <stdlib.h>

enum { BATCH = 1000, FAN_MAX = 8, POPULAR = 1000 };

/* ---- Parallel loops ------------------------------------------------------------------------- */

struct shared {
    rn_chan(int64_t) a;
    rn_chan(int64_t) b;
    rn_chan(int64_t) c;
    rn_chan(int64_t) d;
    rn_chan(bool) done;
    rn_wg helpers;
};

static void uncontended_body(struct bench_part *p, void *arg)
{
    rn_chan(int64_t) one = rn_chan_make(int64_t, 1);
    rn_chan(int64_t) two = rn_chan_make(int64_t, 1);

    (void)arg;
    rn_send(one, 0);
    while (bench_next(p)) {
        if (rn_select(rn_on_recv(one, NULL), rn_on_recv(two, NULL)) == 0)
            rn_send(two, 0);
        else
            rn_send(one, 0);
    }
    rn_chan_release(one);
    rn_chan_release(two);
}

static void uncontended(struct bench *b)
{
    bench_parallel(b, 1, uncontended_body, NULL);
}

static void sync_helper(struct shared *s)
{
    while (rn_select(rn_on_send(s->a, 0), rn_on_send(s->b, 0), rn_on_send(s->c, 0),
                     rn_on_recv(s->done, NULL)) != 3) {
    }
}

static void sync_contended_body(struct bench_part *p, void *arg)
{
    struct shared *s = arg;

    rn_wg_go(&s->helpers, sync_helper, s);
    while (bench_next(p))
        (void)rn_select(rn_on_recv(s->a, NULL), rn_on_recv(s->b, NULL), rn_on_recv(s->c, NULL));
}

static void sync_contended(struct bench *b)
{
    struct shared s = {.a = rn_chan_make(int64_t, 0),
                       .b = rn_chan_make(int64_t, 0),
                       .c = rn_chan_make(int64_t, 0),
                       .done = rn_chan_make(bool, 0)};

    bench_parallel(b, 1, sync_contended_body, &s);
    bench_stop(b);
    rn_close(s.done);
    rn_wg_wait(&s.helpers);
    rn_chan_release(s.a);
    rn_chan_release(s.b);
    rn_chan_release(s.c);
    rn_chan_release(s.done);
}

static void async_contended_body(struct bench_part *p, void *arg)
{
    struct shared *s = arg;

    rn_send(s->a, 0);
    while (bench_next(p)) {
        if (rn_select(rn_on_recv(s->a, NULL), rn_on_recv(s->b, NULL)) == 0)
            rn_send(s->b, 0);
        else
            rn_send(s->a, 0);
    }
}

static void async_contended(struct bench *b)
{
    struct shared s = {.a = rn_chan_make(int64_t, b->procs), .b = rn_chan_make(int64_t, b->procs)};

    bench_parallel(b, 1, async_contended_body, &s);
    bench_stop(b);
    rn_chan_release(s.a);
    rn_chan_release(s.b);
}

static void nonblock_body(struct bench_part *p, void *arg)
{
    struct shared *s = arg;

    while (bench_next(p)) {
        (void)rn_select(rn_on_recv(s->a, NULL), rn_default);
        (void)rn_select(rn_on_send(s->b, 0), rn_default);
        (void)rn_select(rn_on_recv(s->c, NULL), rn_default);
        (void)rn_select(rn_on_send(s->d, 0), rn_default);
    }
}

static void nonblock(struct bench *b)
{
    struct shared s = {.a = rn_chan_make(int64_t, 0),
                       .b = rn_chan_make(int64_t, 0),
                       .c = rn_chan_make(int64_t, 1),
                       .d = rn_chan_make(int64_t, 1)};

    bench_parallel(b, 1, nonblock_body, &s);
    rn_chan_release(s.a);
    rn_chan_release(s.b);
    rn_chan_release(s.c);
    rn_chan_release(s.d);
}

/* ---- SelectProdCons -------------------------------------------------------------------------- */

struct prod_cons {
    _Atomic int64_t batches;
    rn_chan(int64_t) ch;
    rn_chan(bool) closing;
    rn_timer timer;
};

static void prod(struct prod_cons *s)
{
    rn_recv_only(rn_time) expired = rn_timer_chan(&s->timer);

    while (atomic_fetch_sub(&s->batches, 1) > 0) {
        for (int i = 0; i < BATCH; i++) {
            local_work(100);
            if (rn_select(rn_on_send(s->ch, 1), rn_on_recv(expired, NULL),
                          rn_on_recv(s->closing, NULL)) != 0)
                bench_fail("the wrong case");
        }
    }
    rn_send(s->ch, 0);
}

static void cons(struct prod_cons *s)
{
    rn_recv_only(rn_time) expired = rn_timer_chan(&s->timer);

    for (;;) {
        int64_t v;

        if (rn_select(rn_on_recv(s->ch, &v), rn_on_recv(expired, NULL),
                      rn_on_recv(s->closing, NULL)) != 0)
            bench_fail("the wrong case");
        if (v == 0)
            return;
        local_work(100);
    }
}

static void select_prod_cons(struct bench *b)
{
    struct prod_cons s = {.ch = rn_chan_make(int64_t, 128), .closing = rn_chan_make(bool, 0)};
    rn_wg wg = {0};

    atomic_init(&s.batches, b->n < BATCH ? 1 : b->n / BATCH);
    rn_timer_reset(&s.timer, RN_HOUR);
    for (int i = 0; i < b->procs; i++) {
        rn_wg_go(&wg, prod, &s);
        rn_wg_go(&wg, cons, &s);
    }
    rn_wg_wait(&wg);
    bench_stop(b);
    rn_timer_free(&s.timer);
    rn_chan_release(s.ch);
    rn_chan_release(s.closing);
}

/* ---- ChanPopular ------------------------------------------------------------------------------ */

static void popular_waiter(rn_recv_only(bool) shared, rn_recv_only(bool) own, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (rn_select(rn_on_recv(shared, NULL), rn_on_recv(own, NULL)) != 1)
            bench_fail("the wrong case");
}

static void popular(struct bench *b)
{
    rn_chan(bool) shared = rn_chan_make(bool, 0);
    rn_chan(bool) *own = calloc(POPULAR, sizeof(*own));
    rn_wg wg = {0};

    if (!own)
        bench_fail("out of memory");
    for (int i = 0; i < POPULAR; i++) {
        own[i] = rn_chan_make(bool, 0);
        rn_wg_go(&wg, popular_waiter, shared, own[i], b->n);
    }
    for (int64_t k = 0; k < b->n; k++)
        for (int i = 0; i < POPULAR; i++)
            rn_send(own[i], true);
    rn_wg_wait(&wg);
    bench_stop(b);
    for (int i = 0; i < POPULAR; i++)
        rn_chan_release(own[i]);
    free(own);
    rn_chan_release(shared);
}

/* ---- SelectFan: one sender in turn over k channels, one receiver selecting among them --------- */

static void fan_sender(rn_chan(int64_t) * chs, int64_t k, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        rn_send(chs[i % k], i);
}

static void fan(struct bench *b)
{
    rn_chan(int64_t) ch[FAN_MAX];
    rn_wg wg = {0};
    int64_t v = 0, sum = 0;

    for (int i = 0; i < FAN_MAX; i++)
        ch[i] = rn_chan_make(int64_t, 0);
    rn_wg_go(&wg, fan_sender, &ch[0], b->arg, b->n);
    for (int64_t i = 0; i < b->n; i++) {
        if (b->arg == 2)
            (void)rn_select(rn_on_recv(ch[0], &v), rn_on_recv(ch[1], &v));
        else
            (void)rn_select(rn_on_recv(ch[0], &v), rn_on_recv(ch[1], &v), rn_on_recv(ch[2], &v),
                            rn_on_recv(ch[3], &v), rn_on_recv(ch[4], &v), rn_on_recv(ch[5], &v),
                            rn_on_recv(ch[6], &v), rn_on_recv(ch[7], &v));
        sum += v;
    }
    rn_wg_wait(&wg);
    bench_stop(b);
    if (sum != b->n * (b->n - 1) / 2)
        bench_fail("select lost a value");
    for (int i = 0; i < FAN_MAX; i++)
        rn_chan_release(ch[i]);
}

static const struct bench_entry entries[] = {
    {"SelectUncontended", uncontended, 0, 0},
    {"SelectSyncContended", sync_contended, 0, 0},
    {"SelectAsyncContended", async_contended, 0, 0},
    {"SelectNonblock", nonblock, 0, 0},
    {"SelectProdCons", select_prod_cons, 0, 0},
    {"ChanPopular", popular, 0, 0},
    {"SelectFan2", fan, 2, 0},
    {"SelectFan8", fan, 8, 0},
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, entries, sizeof(entries) / sizeof(entries[0]));
}
