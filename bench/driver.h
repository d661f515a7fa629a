/* SPDX-License-Identifier: MIT */
/*
 * driver.h - the small harness under every benchmark program.
 *
 * A program is a table of entries and `return bench_main(argc, argv, entries, count);`. A benchmark
 * is a function that does b->n iterations, in a goroutine, and returns. The driver calls it with
 * growing n until one call takes at least the target time (100 ms), and prints that call's time
 * divided by n. bench/go/driver.go follows the same rule.
 */
#ifndef BENCH_DRIVER_H
#define BENCH_DRIVER_H

#include <runnel.h>
#include <runnel/metrics.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BENCH_METRICS_MAX = 6, BENCH_LINE = 64 };

struct bench {
    int64_t n;     /* iterations to do */
    int64_t grain; /* iterations that one goroutine of a parallel loop takes at a time */
    int64_t arg;   /* of the entry */
    int procs;     /* goroutines that may run at the same time */
    bool is_smoke; /* only prove that it works: shrink what n does not shrink */
    bool is_final; /* set by the benchmark: no further call, whatever the time */
    bool is_skipped;
    bool is_running;
    rn_time started;
    int64_t elapsed;
    int64_t cpu_started, cpu; /* ns of all the process's threads, while the clock ran */
    struct rn_metrics before; /* the scheduler's counts when the benchmark was called */
    int metric_count;
    struct {
        double value;
        const char *unit;
    } metrics[BENCH_METRICS_MAX];
};

struct bench_entry {
    const char *name;
    void (*fn)(struct bench *b);
    int64_t arg;
    int procs; /* 0: as asked for on the command line */
};

int bench_main(int argc, char **argv, const struct bench_entry *entries, size_t count);

/* The clock runs when the benchmark is called. Set-up work: bench_reset after it, or stop/start. */
void bench_start(struct bench *b);
void bench_stop(struct bench *b);
void bench_reset(struct bench *b);

/* Report a value of its own instead of ns/op. unit is a literal. A benchmark whose size n does not
 * set also sets b->is_final, so that it is called once. */
void bench_report(struct bench *b, double value, const char *unit);

/* Sort, so that ns[n * p / 100] is percentile p. */
void bench_sort(int64_t *ns, int64_t n);

/* The CPU time that all threads of the process have used so far, in ns. */
int64_t bench_cpu(void);

/* Leave this benchmark out: it means nothing with so few processors. */
void bench_skip(struct bench *b);

/* End the process with a message: a benchmark that computed something wrong. */
void bench_fail(const char *fmt, ...) RN__PRINTF(1, 2) __attribute__((noreturn));

/* ---- Parallel loops: procs * k goroutines share b->n iterations ---------------------------- */

struct bench_share {
    _Alignas(BENCH_LINE) _Atomic int64_t taken;
    int64_t n, grain;
};

struct bench_part {
    struct bench_share *share;
    int64_t left;
    int index; /* of this goroutine, from 0 */
};

bool bench_take(struct bench_part *p);

/* True b->n times altogether. */
static inline bool bench_next(struct bench_part *p)
{
    if (p->left == 0 && !bench_take(p))
        return false;
    p->left--;
    return true;
}

typedef void bench_body(struct bench_part *p, void *arg);
void bench_parallel(struct bench *b, int k, bench_body *body, void *arg);

/* ---- Small change ---------------------------------------------------------------------------- */

/* w rounds of arithmetic on a local variable that the compiler may not remove; about four cycles
 * each, here and in Go. */
void local_work(int64_t w);

/* Keep the compiler from dropping what computes v. */
#define bench_keep(v) __asm__ volatile("" : : "r"(v) : "memory")

#endif
