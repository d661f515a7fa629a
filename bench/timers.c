/* SPDX-License-Identifier: MIT */
/* timers.c - timers, tickers, sleep. Workloads: README.md. */
#include "driver.h"

#include <stdlib.h>

enum { LOAD_PER_PROC = 32768, CHUNK = 1000 };

static void nothing(void) {}

/* Timers of an hour that make the heap deep. */
struct load {
    rn_timer **timers;
    int64_t count;
};

static struct load load_start(struct bench *b)
{
    struct load l = {.count = (b->is_smoke ? 100 : LOAD_PER_PROC) * (int64_t)b->procs};

    l.timers = calloc((size_t)l.count, sizeof(*l.timers));
    if (!l.timers)
        bench_fail("out of memory");
    for (int64_t i = 0; i < l.count; i++)
        l.timers[i] = rn_after_func(RN_HOUR, nothing);
    bench_reset(b);
    return l;
}

static void load_end(struct bench *b, struct load *l)
{
    bench_stop(b);
    for (int64_t i = 0; i < l->count; i++)
        rn_timer_free(l->timers[i]);
    free(l->timers);
}

static void under_load(struct bench *b, bench_body *body)
{
    struct load l = load_start(b);

    bench_parallel(b, 1, body, NULL);
    load_end(b, &l);
}

/* ---- After-functions -------------------------------------------------------------------------- */

static void after_step(struct bench_part *p, rn_send_only(rn_unit) done)
{
    if (bench_next(p))
        rn_go_after(0, after_step, p, done);
    else
        rn_send(done, RN_UNIT);
}

static void after_func_body(struct bench_part *p, void *arg)
{
    rn_chan(rn_unit) done = rn_chan_make(rn_unit, 0);

    (void)arg;
    rn_go(after_step, p, done); /* which may find nothing to do, and then tells this one */
    (void)rn_recv(done);
    rn_chan_release(done);
}

static void after_func(struct bench *b)
{
    under_load(b, after_func_body);
}

static void simultaneous_body(struct bench_part *p, void *arg)
{
    rn_wg wg = {0};

    (void)arg;
    while (bench_next(p)) {
        rn_wg_add(&wg, 1);
        rn_go_after(0, rn_wg_done, &wg);
    }
    rn_wg_wait(&wg);
}

static void simultaneous(struct bench *b)
{
    under_load(b, simultaneous_body);
}

static void start_stop_body(struct bench_part *p, void *arg)
{
    rn_timer *timers[CHUNK];
    bool more = true;

    (void)arg;
    while (more) {
        int count = 0;

        while (count < CHUNK && (more = bench_next(p)))
            timers[count++] = rn_after_func(RN_HOUR, nothing);
        for (int i = 0; i < count; i++)
            rn_timer_free(timers[i]); /* which stops it */
    }
}

static void start_stop(struct bench *b)
{
    under_load(b, start_stop_body);
}

/* ---- Timers with a channel -------------------------------------------------------------------- */

static void after_body(struct bench_part *p, void *arg)
{
    (void)arg;
    while (bench_next(p)) {
        rn_timer t = {0};

        rn_timer_reset(&t, 1);
        (void)rn_recv(rn_timer_chan(&t));
        rn_timer_free(&t);
    }
}

static void after(struct bench *b)
{
    under_load(b, after_body);
}

static void stop_body(struct bench_part *p, void *arg)
{
    (void)arg;
    while (bench_next(p)) {
        rn_timer t = {0};

        rn_timer_reset(&t, RN_SECOND);
        rn_timer_stop(&t);
        rn_timer_free(&t);
    }
}

static void stop(struct bench *b)
{
    under_load(b, stop_body);
}

static void reset_body(struct bench_part *p, void *arg)
{
    rn_timer t = {0};

    (void)arg;
    rn_timer_reset(&t, RN_HOUR);
    while (bench_next(p))
        rn_timer_reset(&t, RN_HOUR);
    rn_timer_free(&t);
}

static void reset(struct bench *b)
{
    under_load(b, reset_body);
}

/* ---- Sleep and tickers ------------------------------------------------------------------------ */

static void sleeper(void)
{
    rn_sleep(1);
}

static void sleep_body(struct bench_part *p, void *arg)
{
    rn_wg wg = {0};

    (void)arg;
    while (bench_next(p))
        rn_wg_go(&wg, sleeper);
    rn_wg_wait(&wg);
}

static void sleep_many(struct bench *b)
{
    under_load(b, sleep_body);
}

static void ticker_body(struct bench_part *p, void *arg)
{
    rn_ticker t = {0};

    (void)arg;
    rn_ticker_start(&t, 1);
    while (bench_next(p))
        (void)rn_recv(rn_ticker_chan(&t));
    rn_ticker_free(&t);
}

static void ticker(struct bench *b)
{
    under_load(b, ticker_body);
}

static void ticker_reset_body(struct bench_part *p, void *arg)
{
    rn_ticker t = {0};

    (void)arg;
    rn_ticker_start(&t, RN_NANOSECOND);
    while (bench_next(p))
        rn_ticker_reset(&t, RN_HOUR);
    rn_ticker_free(&t);
}

static void ticker_reset(struct bench *b)
{
    under_load(b, ticker_reset_body);
}

static void ticker_naive_body(struct bench_part *p, void *arg)
{
    rn_ticker t = {0};

    (void)arg;
    rn_ticker_start(&t, RN_NANOSECOND);
    while (bench_next(p)) {
        rn_ticker_free(&t);
        t = (rn_ticker){0};
        rn_ticker_start(&t, RN_HOUR);
    }
    rn_ticker_free(&t);
}

static void ticker_naive(struct bench *b)
{
    under_load(b, ticker_naive_body);
}

/* ---- Lateness --------------------------------------------------------------------------------- */

struct lateness {
    _Alignas(BENCH_LINE) int64_t sum;
    int64_t max, count;
};

static void late(struct lateness *l, rn_time expected)
{
    int64_t d = rn_now() - expected;

    l->sum += d;
    l->count++;
    if (d > l->max)
        l->max = d;
}

static void report(struct bench *b, const struct lateness *l, int64_t n)
{
    struct lateness all = {0};

    for (int64_t i = 0; i < n; i++) {
        all.sum += l[i].sum;
        all.count += l[i].count;
        if (l[i].max > all.max)
            all.max = l[i].max;
    }
    if (all.count == 0)
        all.count = 1;
    bench_report(b, (double)all.sum / (double)all.count, "avg-late-ns");
    bench_report(b, (double)all.max, "max-late-ns");
}

static struct lateness *lateness_new(int64_t n)
{
    struct lateness *l = aligned_alloc(BENCH_LINE, (size_t)(n > 0 ? n : 1) * sizeof(*l));

    if (!l)
        bench_fail("out of memory");
    for (int64_t i = 0; i < n; i++)
        l[i] = (struct lateness){0};
    return l;
}

static void latency_fire(struct lateness *l, rn_time expected, _Atomic int64_t *left)
{
    late(l, expected);
    atomic_fetch_sub(left, 1);
}

static void parallel_latency(struct bench *b)
{
    int64_t count = b->procs - 1;
    struct lateness *l;

    if (count < 1) { /* as in Go: the goroutine that spins has a processor for itself */
        bench_skip(b);
        return;
    }
    l = lateness_new(count);
    for (int64_t i = 0; i < b->n; i++) {
        _Atomic int64_t left = count;

        for (int64_t k = 0; k < count; k++)
            rn_go_after(RN_MILLISECOND, latency_fire, &l[k], rn_now() + RN_MILLISECOND, &left);
        while (atomic_load(&left) > 0) {
        }
    }
    bench_stop(b);
    report(b, l, count);
    free(l);
}

static void spin(rn_dur d)
{
    rn_time end = rn_now() + d;

    while (rn_now() < end) {
    }
}

/* arg: work in microseconds << 8 | tickers per processor */
static void staggered_ticks(struct lateness *l, rn_dur offset, rn_dur work, int64_t n)
{
    const rn_dur period = 3 * RN_MILLISECOND;
    rn_ticker t = {0};
    rn_time expected;

    rn_sleep(offset);
    expected = rn_now() + period;
    rn_ticker_start(&t, period);
    for (int64_t i = 0; i < n; i++) {
        (void)rn_recv(rn_ticker_chan(&t));
        if (i > 0)
            late(l, expected);
        expected += period;
        spin(work);
    }
    rn_ticker_free(&t);
}

static void staggered(struct bench *b)
{
    rn_dur work = (b->arg >> 8) * RN_MICROSECOND;
    int64_t per_proc = b->arg & 255, count = per_proc * b->procs;
    struct lateness *l = lateness_new(count);
    rn_wg wg = {0};

    for (int64_t k = 0; k < count; k++)
        rn_wg_go(&wg, staggered_ticks, &l[k], 3 * RN_MILLISECOND * k / count, work, b->n);
    rn_wg_wait(&wg);
    bench_stop(b);
    report(b, l, count);
    free(l);
}

/* ---- A million at the same time --------------------------------------------------------------- */

/* In steps of a large prime, so that neither due times nor stops come in the order of arming. */
enum { MILLION = 1000000, STEP = 618033 };

/* An iteration arms one of a million timers and stops it; the million are armed, then stopped. */
static void million_stop(struct bench *b)
{
    int64_t count = b->is_smoke ? 1000 : MILLION;
    rn_timer *t = calloc((size_t)count, sizeof(*t));

    if (!t)
        bench_fail("out of memory");
    b->is_final = true;
    b->n = count;
    bench_reset(b);
    for (int64_t i = 0; i < count; i++)
        rn_timer_reset(&t[i], RN_HOUR + i * STEP % MILLION * RN_MILLISECOND);
    for (int64_t i = 0; i < count; i++)
        if (!rn_timer_stop(&t[i * 7 % count]))
            bench_fail("a timer of an hour has fired");
    bench_stop(b);
    for (int64_t i = 0; i < count; i++)
        rn_timer_free(&t[i]);
    free(t);
}

/* A million goroutines sleep for half a second to a second and a half. From the first one's start until all have ended;
 * the CPU time is what tells. */
static void million_sleep(struct bench *b)
{
    int64_t count = b->is_smoke ? 1000 : MILLION;
    rn_dur least = b->is_smoke ? RN_MILLISECOND : RN_SECOND / 2;
    rn_wg wg = {0};

    b->is_final = true;
    b->n = count;
    bench_reset(b);
    for (int64_t i = 0; i < count; i++)
        rn_wg_go(&wg, rn_sleep, least + i * STEP % MILLION * RN_MICROSECOND);
    rn_wg_wait(&wg);
}

#define STAGGERED(us, text, k)                                                                     \
    {"StaggeredTickerLatency/work-dur=" text "/tickers-per-P=" #k, staggered, (us) << 8 | (k), 0}

static const struct bench_entry entries[] = {
    {"AfterFunc", after_func, 0, 0},
    {"After", after, 0, 0},
    {"Stop", stop, 0, 0},
    {"SimultaneousAfterFunc", simultaneous, 0, 0},
    {"StartStop", start_stop, 0, 0},
    {"Reset", reset, 0, 0},
    {"Sleep", sleep_many, 0, 0},
    {"Ticker", ticker, 0, 0},
    {"TickerReset", ticker_reset, 0, 0},
    {"TickerResetNaive", ticker_naive, 0, 0},
    {"MillionTimers/stop", million_stop, 0, 0},
    {"MillionTimers/sleep", million_sleep, 0, 0},
    {"ParallelTimerLatency", parallel_latency, 0, 0},
    STAGGERED(300, "300us", 1),
    STAGGERED(300, "300us", 2),
    STAGGERED(300, "300us", 3),
    STAGGERED(300, "300us", 4),
    STAGGERED(300, "300us", 5),
    STAGGERED(300, "300us", 6),
    STAGGERED(300, "300us", 7),
    STAGGERED(300, "300us", 8),
    STAGGERED(300, "300us", 9),
    STAGGERED(300, "300us", 10),
    STAGGERED(2000, "2ms", 1),
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, entries, sizeof(entries) / sizeof(entries[0]));
}
