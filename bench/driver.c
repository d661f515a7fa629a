/* SPDX-License-Identifier: MIT */
#include "driver.h"

#include <errno.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { N_MAX = 1000000000, GRAIN_NS = 100000, GRAIN_MAX = 10000 };

static struct {
    const char *pattern;
    int procs; /* 0: the runtime's default */
    int count;
    int64_t target;
    int64_t fixed_n; /* 0: grow */
    int trace_pairs; /* above 0: compare with and without the flight recorder */
    bool only_list;
    bool is_smoke;
    bool counts;
} options = {.count = 1, .target = 100 * RN_MILLISECOND};

void bench_fail(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fputs("bench: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    _Exit(1);
}

int64_t bench_cpu(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * RN_SECOND + ts.tv_nsec;
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

void bench_sort(int64_t *ns, int64_t n)
{
    qsort(ns, (size_t)n, sizeof *ns, compare_times);
}

/* The CPU time is read outside of the wall time: it is a system call. */
void bench_start(struct bench *b)
{
    if (b->is_running)
        return;
    b->is_running = true;
    b->cpu_started = bench_cpu();
    b->started = rn_now();
}

void bench_stop(struct bench *b)
{
    if (!b->is_running)
        return;
    b->elapsed += rn_now() - b->started;
    b->cpu += bench_cpu() - b->cpu_started;
    b->is_running = false;
}

void bench_reset(struct bench *b)
{
    b->elapsed = b->cpu = 0;
    b->cpu_started = bench_cpu();
    b->started = rn_now();
}

void bench_report(struct bench *b, double value, const char *unit)
{
    if (b->metric_count == BENCH_METRICS_MAX)
        bench_fail("too many metrics");
    b->metrics[b->metric_count].value = value;
    b->metrics[b->metric_count].unit = unit;
    b->metric_count++;
}

void bench_skip(struct bench *b)
{
    b->is_final = true;
    b->is_skipped = true;
}

bool bench_take(struct bench_part *p)
{
    struct bench_share *s = p->share;
    int64_t from = atomic_fetch_add_explicit(&s->taken, s->grain, memory_order_relaxed);

    if (from >= s->n)
        return false;
    p->left = s->n - from < s->grain ? s->n - from : s->grain;
    return true;
}

static void part_run(bench_body *body, struct bench_share *share, int index, void *arg)
{
    struct bench_part p = {.share = share, .index = index};

    body(&p, arg);
}

void bench_parallel(struct bench *b, int k, bench_body *body, void *arg)
{
    struct bench_share share = {.n = b->n, .grain = b->grain};
    rn_wg wg = {0};

    for (int i = 0; i < b->procs * k; i++)
        rn_wg_go(&wg, part_run, body, &share, i, arg);
    rn_wg_wait(&wg);
}

__attribute__((noinline)) void local_work(int64_t w)
{
    uint64_t x = 1;

    for (int64_t i = 0; i < w; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        bench_keep(x);
    }
}

/* One call of the benchmark. */
static void call(const struct bench_entry *e, struct bench *b)
{
    b->elapsed = b->cpu = 0;
    b->metric_count = 0;
    b->is_running = false;
    rn_metrics(&b->before, sizeof b->before);
    bench_start(b);
    e->fn(b);
    bench_stop(b);
    if (b->elapsed < 1)
        b->elapsed = 1;
}

/* What the scheduler did for an operation of the last call; its set-up is counted too. */
static void print_counts(const struct bench_entry *e, const struct bench *b)
{
    const struct rn_metrics *from = &b->before;
    struct rn_metrics to;

    rn_metrics(&to, sizeof to);
    const struct {
        const char *unit;
        uint64_t count;
    } all[] = {
        {"parks/op", to.parks - from->parks},
        {"spawns/op", to.spawned - from->spawned},
        {"steals/op", to.steals - from->steals},
        {"stolen/op", to.stolen - from->stolen},
        {"wakeups/op", to.wakeups - from->wakeups},
        {"global/op", to.from_global - from->from_global},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        printf("%-44s %14.6f %-14s %12lld\n", e->name, (double)all[i].count / (double)b->n,
               all[i].unit, (long long)b->n);
}

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
    return v < low ? low : v > high ? high : v;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof values[0], compare_doubles);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

static double ns_per_op(const struct bench_entry *e, struct bench *b, bool traced)
{
    if (traced && rn_trace_start() < 0)
        bench_fail("rn_trace_start: out of memory");
    call(e, b);
    if (traced)
        rn_trace_stop();
    return (double)b->elapsed / (double)b->n;
}

/*
 * Neighbouring calls in one process, with the flight recorder off and on, whichever first: what else the machine does
 * changes more slowly than that, and single processes differ by more than what is looked for.
 */
static void compare_traced(const struct bench_entry *e, struct bench *b)
{
    int pairs = options.trace_pairs;
    double *off = calloc((size_t)pairs * 4, sizeof *off);
    double *on = off + pairs, *more = on + pairs, *ratio = more + pairs;

    if (!off)
        bench_fail("out of memory");
    for (int i = 0; i < pairs; i++) {
        bool traced_first = i % 2 == 1;
        double first = ns_per_op(e, b, traced_first), second = ns_per_op(e, b, !traced_first);

        off[i] = traced_first ? second : first;
        on[i] = traced_first ? first : second;
        more[i] = on[i] - off[i];
        ratio[i] = on[i] / off[i];
    }
    b->metric_count = 0;
    bench_report(b, median(off, pairs), "off-ns/op");
    bench_report(b, median(on, pairs), "on-ns/op");
    bench_report(b, median(more, pairs), "more-ns/op");
    bench_report(b, median(ratio, pairs), "ratio");
    bench_report(b, ratio[pairs / 4], "ratio-low");
    bench_report(b, ratio[(pairs * 3 - 1) / 4], "ratio-high");
    free(off);
}

static int measure(const struct bench_entry *e)
{
    struct bench b = {.n = options.fixed_n > 0 ? options.fixed_n : 1,
                      .grain = 1,
                      .arg = e->arg,
                      .procs = rn_procs(),
                      .is_smoke = options.is_smoke};

    call(e, &b);
    while (!b.is_final && options.fixed_n == 0 && b.elapsed < options.target && b.n < N_MAX) {
        /* The goal plus a fifth, so that the next call is the last in most cases; at most a
         * hundred times more, because a short call predicts badly. */
        double want = 1.2 * (double)options.target * (double)b.n / (double)b.elapsed;
        int64_t per_op = b.elapsed / b.n;

        b.grain = clamp(GRAIN_NS / (per_op > 0 ? per_op : 1), 1, GRAIN_MAX);
        b.n = clamp(want < 1e9 ? (int64_t)want : N_MAX, b.n + 1, b.n * 100);
        if (b.n > N_MAX)
            b.n = N_MAX;
        call(e, &b);
    }
    if (b.is_skipped)
        return 0;
    if (options.trace_pairs > 0)
        compare_traced(e, &b);
    if (b.metric_count == 0) {
        bench_report(&b, (double)b.elapsed / (double)b.n, "ns/op");
        bench_report(&b, (double)b.cpu / (double)b.n, "cpu-ns/op");
    }
    for (int i = 0; i < b.metric_count; i++)
        printf("%-44s %14.2f %-14s %12lld\n", e->name, b.metrics[i].value, b.metrics[i].unit,
               (long long)b.n);
    if (options.counts)
        print_counts(e, &b);
    fflush(stdout);
    return 0;
}

static void usage(const char *program, int status)
{
    fprintf(status == 0 ? stdout : stderr,
            "usage: %s [-run REGEX] [-procs P] [-count K] [-time MS] [-n N] [-smoke] [-counts] "
            "[-trace-pairs K] [-list]\n"
            "  prints: name, value, unit, iterations; with -counts also what the scheduler did;\n"
            "  with -trace-pairs how K neighbouring calls with the flight recorder and without it "
            "compare\n",
            program);
    exit(status);
}

static int64_t number(const char *program, const char *text)
{
    char *end;
    long long v;

    if (!text)
        usage(program, 2);
    errno = 0;
    v = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0' || end == text || v < 0)
        usage(program, 2);
    return v;
}

static void parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];

        if (a[0] == '-' && a[1] == '-')
            a++;
        if (strcmp(a, "-run") == 0 && i + 1 < argc)
            options.pattern = argv[++i];
        else if (strcmp(a, "-procs") == 0)
            options.procs = (int)number(argv[0], argv[++i]);
        else if (strcmp(a, "-count") == 0)
            options.count = (int)number(argv[0], argv[++i]);
        else if (strcmp(a, "-time") == 0)
            options.target = number(argv[0], argv[++i]) * RN_MILLISECOND;
        else if (strcmp(a, "-n") == 0)
            options.fixed_n = number(argv[0], argv[++i]);
        else if (strcmp(a, "-trace-pairs") == 0)
            options.trace_pairs = (int)number(argv[0], argv[++i]);
        else if (strcmp(a, "-smoke") == 0)
            options.is_smoke = true;
        else if (strcmp(a, "-counts") == 0)
            options.counts = true;
        else if (strcmp(a, "-list") == 0)
            options.only_list = true;
        else
            usage(argv[0], strcmp(a, "-help") == 0 ? 0 : 2);
    }
    if (options.is_smoke && options.fixed_n == 0)
        options.fixed_n = 3; /* more than one, so that loops loop */
}

int bench_main(int argc, char **argv, const struct bench_entry *entries, size_t count)
{
    regex_t pattern;

    parse(argc, argv);
    if (options.pattern && regcomp(&pattern, options.pattern, REG_EXTENDED | REG_NOSUB) != 0)
        bench_fail("not a regular expression: %s", options.pattern);
    for (size_t i = 0; i < count; i++) {
        const struct bench_entry *e = &entries[i];

        if (options.pattern && regexec(&pattern, e->name, 0, NULL, 0) != 0)
            continue;
        if (options.only_list) {
            puts(e->name);
            continue;
        }
        for (int k = 0; k < options.count; k++) {
            int procs = e->procs ? e->procs : options.procs;
            int err = rn_set_procs(procs);

            if (err < 0)
                bench_fail("rn_set_procs(%d): %s", procs, strerror(-err));
            if (rn_run(measure, e) != 0)
                bench_fail("%s failed", e->name);
        }
    }
    if (options.pattern)
        regfree(&pattern);
    return 0;
}
