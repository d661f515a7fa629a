/* SPDX-License-Identifier: MIT */
/* latency.c - how long a wake-up takes, not on average but at the far end. Workloads: README.md. */
#include "driver.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

enum { SAMPLES = 5000, SMOKE_SAMPLES = 20, CHUNK_US = 20 };

struct latency {
    int64_t count;
    int64_t *ns;
    rn_chan(rn_time) ch;
    _Atomic bool over;
};

static struct latency *latency_new(struct bench *b)
{
    struct latency *l = calloc(1, sizeof(*l));

    b->is_final = true;
    if (!l)
        bench_fail("out of memory");
    l->count = b->n = b->is_smoke ? SMOKE_SAMPLES : SAMPLES;
    l->ns = calloc((size_t)l->count, sizeof(*l->ns));
    if (!l->ns)
        bench_fail("out of memory");
    l->ch = rn_chan_make(rn_time, 0);
    return l;
}

static void latency_report(struct bench *b, struct latency *l)
{
    bench_sort(l->ns, l->count);
    bench_report(b, (double)l->ns[l->count / 2], "p50-ns");
    bench_report(b, (double)l->ns[l->count * 99 / 100], "p99-ns");
    bench_report(b, (double)l->ns[l->count * 999 / 1000], "p99.9-ns");
    rn_chan_release(l->ch);
    free(l->ns);
    free(l);
}

/* Parked in a receive; the value is the time at which it was sent. */
static void woken(struct latency *l)
{
    for (int64_t i = 0; i < l->count; i++) {
        rn_time sent = rn_recv(l->ch);

        l->ns[i] = rn_now() - sent;
    }
}

static void spin(rn_dur d)
{
    rn_time end = rn_now() + d;

    while (rn_now() < end) {
    }
}

/* Computes, and lets others go first now and then, as careful code does. */
static void busy(struct latency *l)
{
    while (!atomic_load_explicit(&l->over, memory_order_relaxed)) {
        spin(CHUNK_US * RN_MICROSECOND);
        rn_yield();
    }
}

static void wake_beside(struct bench *b, int64_t others)
{
    struct latency *l = latency_new(b);
    rn_wg wg = {0};

    for (int64_t i = 0; i < others; i++)
        rn_wg_go(&wg, busy, l);
    rn_wg_go(&wg, woken, l);
    for (int64_t i = 0; i < l->count; i++) {
        rn_sleep(100 * RN_MICROSECOND);
        rn_send(l->ch, rn_now());
    }
    atomic_store_explicit(&l->over, true, memory_order_relaxed);
    rn_wg_wait(&wg);
    latency_report(b, l);
}

/* Nothing else to do: processors fall asleep between two wake-ups. */
static void wake_idle(struct bench *b)
{
    wake_beside(b, 0);
}

/* Beside two goroutines a processor that always have something to do. */
static void wake_busy(struct bench *b)
{
    wake_beside(b, 2 * (int64_t)b->procs);
}

/* A sleep of 1 ms: by how much it is too long. */
static void sleeper(struct bench *b)
{
    struct latency *l = latency_new(b);

    if (!b->is_smoke)
        l->count = b->n = SAMPLES / 5;
    for (int64_t i = 0; i < l->count; i++) {
        rn_time due = rn_now() + RN_MILLISECOND;

        rn_sleep(RN_MILLISECOND);
        l->ns[i] = rn_now() - due;
    }
    latency_report(b, l);
}

/* ---- What is under it all: a cache line that goes from one CPU to another -------------------------- */

enum { LINE_BATCH = 100, LINE_BATCHES = 2000, LINE_SPINS = 10000 };

struct line {
    _Alignas(BENCH_LINE) _Atomic int64_t turn;
    int64_t last;
};

static void await(struct line *l, int64_t i)
{
    int spins = 0;

    while (atomic_load_explicit(&l->turn, memory_order_acquire) != i)
        if (++spins % LINE_SPINS == 0)
            sched_yield(); /* the two may be on one CPU for a while */
}

/* The other one: writes every odd number. */
static void *line_peer(void *arg)
{
    struct line *l = arg;

    for (int64_t i = 1; i < l->last; i += 2) {
        await(l, i);
        atomic_store_explicit(&l->turn, i + 1, memory_order_release);
    }
    return NULL;
}

/* Threads, not goroutines: those could be taken in turn by one processor. */
static void line_round_trip(struct bench *b)
{
    static struct line l;
    struct latency *batches;
    pthread_t peer;

    if (b->procs < 2) {
        bench_skip(b);
        return;
    }
    batches = latency_new(b);
    batches->count = b->n = b->is_smoke ? SMOKE_SAMPLES : LINE_BATCHES;
    l.last = 2 * b->n * LINE_BATCH;
    atomic_store(&l.turn, 0);
    if (pthread_create(&peer, NULL, line_peer, &l) != 0)
        bench_fail("no thread");
    for (int64_t k = 0, i = 0; k < b->n; k++) {
        rn_time from = rn_now();

        for (int64_t end = i + (int64_t)2 * LINE_BATCH; i < end; i += 2) {
            await(&l, i);
            atomic_store_explicit(&l.turn, i + 1, memory_order_release);
        }
        batches->ns[k] = (rn_now() - from) / LINE_BATCH;
    }
    (void)rn_blocking(pthread_join(peer, NULL));
    latency_report(b, batches);
}

static const struct bench_entry entries[] = {
    {"WakeLatency/idle", wake_idle, 0, 0},
    {"WakeLatency/busy", wake_busy, 0, 0},
    {"WakeLatency/sleep", sleeper, 0, 0},
    {"LineRoundTrip", line_round_trip, 0, 0},
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, entries, sizeof(entries) / sizeof(entries[0]));
}
