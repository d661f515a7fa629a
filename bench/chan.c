/* SPDX-License-Identifier: MIT */
/* chan.c - channels without select. Workloads: README.md. */
#include "driver.h"

enum { BATCH = 1000 };

struct nothing { /* a Go struct{}: no bytes */
};
struct elem32 {
    int64_t v[4];
};
struct elem40 {
    int64_t v[5];
};

/* ---- The named two: ping-pong and producer-consumer --------------------------------------- */

static void pong(rn_recv_only(int64_t) in, rn_send_only(int64_t) out)
{
    rn_range (v, in)
        rn_send(out, v + 1);
    rn_close(out);
}

static void ping_pong(struct bench *b)
{
    rn_chan(int64_t) there = rn_chan_make(int64_t, 0);
    rn_chan(int64_t) back = rn_chan_make(int64_t, 0);
    int64_t v = 0;

    rn_go(pong, there, back);
    bench_reset(b);
    for (int64_t i = 0; i < b->n; i++) {
        rn_send(there, v);
        v = rn_recv(back);
    }
    bench_stop(b);
    rn_close(there);
    if (rn_recv_ok(back, NULL) || v != b->n)
        bench_fail("ping-pong counted %lld of %lld", (long long)v, (long long)b->n);
    rn_chan_release(there);
    rn_chan_release(back);
}

static void produce(rn_send_only(int64_t) out, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        rn_send(out, i);
    rn_close(out);
}

static void producer_consumer(struct bench *b)
{
    rn_chan(int64_t) ch = rn_chan_make(int64_t, b->arg);
    int64_t sum = 0;

    rn_go(produce, ch, b->n);
    rn_range (v, ch)
        sum += v;
    bench_stop(b);
    if (sum != b->n * (b->n - 1) / 2)
        bench_fail("producer-consumer lost a value");
    rn_chan_release(ch);
}

/* ---- Making ------------------------------------------------------------------------------- */

#define MAKE_BENCH(name, T)                                                                        \
    static void name(struct bench *b)                                                              \
    {                                                                                              \
        for (int64_t i = 0; i < b->n; i++) {                                                       \
            rn_chan(T) ch = rn_chan_make(T, 8);                                                    \
            rn_chan_release(ch);                                                                   \
        }                                                                                          \
    }
MAKE_BENCH(make_byte, uint8_t)
MAKE_BENCH(make_int, int64_t)
MAKE_BENCH(make_ptr, uint8_t *)
MAKE_BENCH(make_struct0, struct nothing)
MAKE_BENCH(make_struct32, struct elem32)
MAKE_BENCH(make_struct40, struct elem40)

static void creation_body(struct bench_part *p, void *arg)
{
    (void)arg;
    while (bench_next(p)) {
        rn_chan(int64_t) ch = rn_chan_make(int64_t, 1);

        rn_send(ch, 0);
        (void)rn_recv(ch);
        rn_chan_release(ch);
    }
}

static void creation(struct bench *b)
{
    bench_parallel(b, 1, creation_body, NULL);
}

/* ---- Parallel loops on one channel ---------------------------------------------------------- */

struct shared {
    rn_chan(int64_t) ch;
    rn_chan(struct nothing) sem;
    int64_t cap;
};

static void nonblocking_body(struct bench_part *p, void *arg)
{
    struct shared *s = arg;
    int64_t v;

    while (bench_next(p))
        if (rn_try_recv(s->ch, &v))
            bench_fail("received from an empty channel");
}

static void nonblocking(struct bench *b)
{
    struct shared s = {.ch = rn_chan_make(int64_t, 0)};

    bench_parallel(b, 1, nonblocking_body, &s);
    rn_chan_release(s.ch);
}

static void closed_body(struct bench_part *p, void *arg)
{
    struct shared *s = arg;
    int64_t v;

    while (bench_next(p))
        if (!rn_try_recv(s->ch, &v))
            bench_fail("a closed channel was not ready");
}

static void closed(struct bench *b)
{
    struct shared s = {.ch = rn_chan_make(int64_t, 0)};

    rn_close(s.ch);
    bench_parallel(b, 1, closed_body, &s);
    rn_chan_release(s.ch);
}

static void fill_and_drain(struct bench_part *p, rn_chan(int64_t) ch)
{
    while (bench_next(p)) {
        for (int64_t i = 0; i < 100; i++)
            rn_send(ch, 0);
        for (int64_t i = 0; i < 100; i++)
            (void)rn_recv(ch);
    }
}

static void uncontended_body(struct bench_part *p, void *arg)
{
    rn_chan(int64_t) ch = rn_chan_make(int64_t, 100);

    (void)arg;
    fill_and_drain(p, ch);
    rn_chan_release(ch);
}

static void uncontended(struct bench *b)
{
    bench_parallel(b, 1, uncontended_body, NULL);
}

static void contended_body(struct bench_part *p, void *arg)
{
    fill_and_drain(p, ((struct shared *)arg)->ch);
}

static void contended(struct bench *b)
{
    struct shared s = {.ch = rn_chan_make(int64_t, 100 * b->procs)};

    bench_parallel(b, 1, contended_body, &s);
    rn_chan_release(s.ch);
}

static void sem_body(struct bench_part *p, void *arg)
{
    struct shared *s = arg;

    while (bench_next(p)) {
        rn_send(s->sem, (struct nothing){});
        (void)rn_recv_ok(s->sem, NULL);
    }
}

static void sem(struct bench *b)
{
    struct shared s = {.sem = rn_chan_make(struct nothing, b->procs)};

    bench_parallel(b, 1, sem_body, &s);
    rn_chan_release(s.sem);
}

/* ---- ChanSync: two goroutines, one channel, opposite order ---------------------------------- */

struct sync_state {
    _Atomic int64_t batches;
    int64_t work;
    rn_chan(int64_t) ch;
};

static void sync_side(struct sync_state *s)
{
    int64_t batch;

    while ((batch = atomic_fetch_sub(&s->batches, 1) - 1) >= 0) {
        for (int i = 0; i < BATCH; i++) {
            if (batch % 2 == 0) {
                (void)rn_recv(s->ch);
                local_work(s->work);
                rn_send(s->ch, 0);
                local_work(s->work);
            } else {
                rn_send(s->ch, 0);
                local_work(s->work);
                (void)rn_recv(s->ch);
                local_work(s->work);
            }
        }
    }
}

/* Batches for n calls, an even number of them and at least one for each side. */
static int64_t batches_for(int64_t n)
{
    return n < 2 * BATCH ? 2 : n / BATCH / 2 * 2;
}

static void chan_sync(struct bench *b)
{
    struct sync_state s = {.work = b->arg, .ch = rn_chan_make(int64_t, 0)};
    rn_wg wg = {0};

    atomic_init(&s.batches, batches_for(b->n));
    rn_wg_go(&wg, sync_side, &s);
    rn_wg_go(&wg, sync_side, &s);
    rn_wg_wait(&wg);
    bench_stop(b);
    rn_chan_release(s.ch);
}

/* ---- ChanProdCons: procs producers and procs consumers -------------------------------------- */

struct prod_cons {
    _Atomic int64_t batches;
    int64_t work;
    rn_chan(int64_t) ch;
};

static void prod(struct prod_cons *s)
{
    while (atomic_fetch_sub(&s->batches, 1) > 0) {
        for (int i = 0; i < BATCH; i++) {
            local_work(s->work);
            rn_send(s->ch, 1);
        }
    }
    rn_send(s->ch, 0);
}

static void cons(struct prod_cons *s)
{
    while (rn_recv(s->ch) != 0)
        local_work(s->work);
}

static void prod_cons(struct bench *b, int64_t cap, int64_t work)
{
    struct prod_cons s = {.work = work, .ch = rn_chan_make(int64_t, cap)};
    rn_wg wg = {0};

    atomic_init(&s.batches, b->n < BATCH ? 1 : b->n / BATCH);
    for (int i = 0; i < b->procs; i++) {
        rn_wg_go(&wg, prod, &s);
        rn_wg_go(&wg, cons, &s);
    }
    rn_wg_wait(&wg);
    bench_stop(b);
    rn_chan_release(s.ch);
}

static void prod_cons0(struct bench *b)
{
    prod_cons(b, b->arg, 0);
}

static void prod_cons_work(struct bench *b)
{
    prod_cons(b, b->arg, 100);
}

static void receive_from_closed(struct bench *b)
{
    rn_chan(struct nothing) ch = rn_chan_make(struct nothing, b->n);
    int64_t seen = 0;

    for (int64_t i = 0; i < b->n; i++)
        rn_send(ch, (struct nothing){});
    rn_close(ch);
    bench_reset(b);
    while (rn_recv_ok(ch, NULL))
        seen++;
    bench_stop(b);
    if (seen != b->n)
        bench_fail("received %lld of %lld", (long long)seen, (long long)b->n);
    rn_chan_release(ch);
}

static const struct bench_entry entries[] = {
    {"PingPong", ping_pong, 0, 0},
    {"ProducerConsumer100", producer_consumer, 100, 0},
    {"MakeChan/Byte", make_byte, 0, 0},
    {"MakeChan/Int", make_int, 0, 0},
    {"MakeChan/Ptr", make_ptr, 0, 0},
    {"MakeChan/Struct/0", make_struct0, 0, 0},
    {"MakeChan/Struct/32", make_struct32, 0, 0},
    {"MakeChan/Struct/40", make_struct40, 0, 0},
    {"ChanNonblocking", nonblocking, 0, 0},
    {"ChanUncontended", uncontended, 0, 0},
    {"ChanContended", contended, 0, 0},
    {"ChanSync", chan_sync, 0, 0},
    {"ChanSyncWork", chan_sync, 1000, 0},
    {"ChanProdCons0", prod_cons0, 0, 0},
    {"ChanProdCons10", prod_cons0, 10, 0},
    {"ChanProdCons100", prod_cons0, 100, 0},
    {"ChanProdConsWork0", prod_cons_work, 0, 0},
    {"ChanProdConsWork10", prod_cons_work, 10, 0},
    {"ChanProdConsWork100", prod_cons_work, 100, 0},
    {"ReceiveDataFromClosedChan", receive_from_closed, 0, 0},
    {"ChanCreation", creation, 0, 0},
    {"ChanSem", sem, 0, 0},
    {"ChanClosed", closed, 0, 0},
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, entries, sizeof(entries) / sizeof(entries[0]));
}
