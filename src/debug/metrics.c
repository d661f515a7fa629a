/* SPDX-License-Identifier: MIT */
/*
 * metrics.c - the scheduler in numbers: rn_metrics, the same as text, and a line every so often.
 *
 * Adding up is done here; count.h and include/runnel/metrics.h say what is counted and what a snapshot promises. The
 * runtimes that have ended are in struct counted, and a runtime is added to it in the same step in which it stops being
 * the running one (start.c), so nothing is counted twice. Only orphans make a difference: what they count after that
 * step is seen by whoever has taken hold of the runtime before. So whoever finds that it has ended begins anew.
 *
 * RUNNEL_SCHEDTRACE=ms makes the monitor print a line each so many milliseconds; its sleep ends for that.
 */
#include <runnel/metrics.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "debug/debug.h"
#include "netpoll/netpoll.h"
#include "os/os.h"

_Static_assert((int)LATENCIES == (int)RN_METRICS_LATENCIES, "one and the same");

/* What can only be asked of a runtime that lives. */
static void take_now(struct rn_metrics *m, struct rt *rt)
{
    uint32_t n = load_acquire(&rt->nprocs);

    spin_lock(&rt->lock);
    m->blocked = rt->blocked;
    m->queued_global = rt->global_len;
    m->processors = rt->limit;
    m->processors_idle = rt->idle_procs;
    m->threads = rt->workers;
    m->threads_idle = rt->idle_workers + (rt->keeper ? 1 : 0);
    spin_unlock(&rt->lock);
    m->spinning = load_relaxed(&rt->spinning);
    for (uint32_t i = 0; i < n; i++) {
        struct proc *p = &rt->procs[i];

        m->queued_local += queued(p);
        m->timers += load_relaxed(&p->timers->count);
        m->stacks_kept += load_relaxed(&p->stack_count);
    }
    m->stacks_kept_bytes = m->stacks_kept * rn__stack_stride(STACK_CLASS_DEFAULT);
    for (uint32_t c = 0; c < STACK_CLASSES; c++) {
        uint64_t kept = load_relaxed(&rt->free_stacks[c]);

        m->stacks_kept += kept;
        m->stacks_kept_bytes += kept * rn__stack_stride(c);
    }
    for (const struct arena *a = load_acquire(&rt->arenas); a; a = a->next) {
        uint32_t carved = load_relaxed(&a->carved);

        m->stacks += carved;
        m->stacks_mapped_bytes += carved * a->stride;
    }
}

static uint64_t at_most(uint64_t n, uint64_t *left)
{
    n = n < *left ? n : *left;
    *left -= n;
    return n;
}

/* The goroutines of rt, of whom n were counted: what they do. */
static void take_states(struct rn_metrics *m, struct rt *rt, const struct counted *c)
{
    uint64_t left = c->started - c->ended;

    m->goroutines = left;
    m->waiting = at_most(c->count[COUNT_PARKS] - c->count[COUNT_READIES], &left);
    m->blocked = at_most(m->blocked, &left);
    m->runnable = at_most(m->queued_global + m->queued_local + load_relaxed(&rt->starving), &left);
    m->running = left;
}

static void snapshot(struct rn_metrics *m)
{
    struct counted past, c;
    struct rt *rt;
    bool ended;

    do {
        *m = (struct rn_metrics){0};
        c = (struct counted){0};
        rt = rn__counted_hold(&past);
        if (!rt)
            break;
        rn__counted_add(&c, rt);
        take_now(m, rt);
        take_states(m, rt, &c);
        ended = load_acquire(&rn__rt) != rt;
        rn__rt_unref(rt);
    } while (unlikely(ended));
    for (uint32_t i = 0; i < PROCS_MAX; i++)
        m->timers_fired += load_acquire(&rn__timer_heaps[i].fired);
    for (uint32_t i = 0; i < PROCS_MAX; i++)
        m->timers_armed += load_relaxed(&rn__timer_heaps[i].armed);
    m->netpoll_woken = load_relaxed(&rn__netpoll_woken);
    m->spawned = past.started + c.started;
    m->finished = past.ended + c.ended;
    for (int k = 0; k < COUNTS; k++)
        c.count[k] += past.count[k];
    m->parks = c.count[COUNT_PARKS];
    m->readies = c.count[COUNT_READIES];
    m->yields = c.count[COUNT_YIELDS];
    m->steals = c.count[COUNT_STEALS];
    m->stolen = c.count[COUNT_STOLEN];
    m->from_global = c.count[COUNT_GLOBAL];
    m->handoffs = c.count[COUNT_HANDOFFS];
    m->blocking = c.count[COUNT_LENDS];
    m->wakeups = c.count[COUNT_WAKES];
    m->threads_made = c.count[COUNT_THREADS];
    m->latency_time = c.count[COUNT_LATENCY_TIME];
    for (unsigned i = 0; i < LATENCIES; i++)
        m->latency[i] = c.count[COUNT_LATENCY + i];
}

size_t rn_metrics(struct rn_metrics *ret, size_t size)
{
    struct rn_metrics m;

    snapshot(&m);
    rn__copy(ret, &m, size < sizeof m ? size : sizeof m);
    if (size > sizeof m)
        rn__zero((char *)ret + sizeof m, size - sizeof m);
    return sizeof m;
}

/* ---- Text ----------------------------------------------------------------------------------------------- */

enum shape { GAUGE, COUNTER };

/* name: with a unit at its end if it has one; label: NULL, or {label} of several with one name, which stand together. */
struct line {
    const char *name, *label, *unit, *help;
    enum shape shape;
    size_t offset;
};

#define LINE(shape, name, label, unit, field, help)                                                \
    {"runnel_" name, label, unit, help, shape, offsetof(struct rn_metrics, field)}

static const struct line lines[] = {
    LINE(GAUGE, "goroutines", "state=\"running\"", NULL, running, "Goroutines by state."),
    LINE(GAUGE, "goroutines", "state=\"runnable\"", NULL, runnable, NULL),
    LINE(GAUGE, "goroutines", "state=\"waiting\"", NULL, waiting, NULL),
    LINE(GAUGE, "goroutines", "state=\"blocked\"", NULL, blocked, NULL),
    LINE(COUNTER, "goroutines_spawned", NULL, NULL, spawned, "Goroutines started."),
    LINE(COUNTER, "goroutines_finished", NULL, NULL, finished, "Goroutines that have ended."),
    LINE(COUNTER, "parks", NULL, NULL, parks, "Times that a goroutine began to wait."),
    LINE(COUNTER, "readies", NULL, NULL, readies, "Times that a goroutine was woken."),
    LINE(COUNTER, "yields", NULL, NULL, yields, "Times that a goroutine let others go first."),
    LINE(COUNTER, "steals", NULL, NULL, steals, "Times that a processor took work from another."),
    LINE(COUNTER, "stolen_goroutines", NULL, NULL, stolen, "Goroutines taken that way."),
    LINE(COUNTER, "global_queue_gets", NULL, NULL, from_global,
         "Goroutines taken from the global queue."),
    LINE(COUNTER, "handoffs", NULL, NULL, handoffs,
         "Processors taken from goroutines that blocked or computed."),
    LINE(COUNTER, "blocking_calls", NULL, NULL, blocking,
         "Processors given away around blocking calls."),
    LINE(COUNTER, "wakeups", NULL, NULL, wakeups, "Times that a processor was put to work."),
    LINE(COUNTER, "threads_made", NULL, NULL, threads_made, "Worker threads made."),
    LINE(COUNTER, "timers_armed", NULL, NULL, timers_armed, "Timers set."),
    LINE(COUNTER, "timers_fired", NULL, NULL, timers_fired, "Timers that fired."),
    LINE(COUNTER, "netpoll_woken", NULL, NULL, netpoll_woken,
         "Waits for descriptors that the scheduler ended."),
    LINE(GAUGE, "threads", "state=\"idle\"", NULL, threads_idle, "Worker threads."),
    LINE(GAUGE, "threads", "state=\"busy\"", NULL, threads, NULL), /* less the idle ones */
    LINE(GAUGE, "threads_spinning", NULL, NULL, spinning, "Worker threads that look for work."),
    LINE(GAUGE, "processors", NULL, NULL, processors, "Goroutines that may run at the same time."),
    LINE(GAUGE, "processors_idle", NULL, NULL, processors_idle, "Processors that nobody uses."),
    LINE(GAUGE, "queued", "queue=\"global\"", NULL, queued_global, "Goroutines in run queues."),
    LINE(GAUGE, "queued", "queue=\"local\"", NULL, queued_local, NULL),
    LINE(GAUGE, "timers", NULL, NULL, timers, "Timers that are set."),
    LINE(GAUGE, "stacks", NULL, NULL, stacks, "Stacks of goroutines, used or kept."),
    LINE(GAUGE, "stacks_kept", NULL, NULL, stacks_kept, "Stacks kept for the next goroutine."),
    LINE(GAUGE, "stacks_mapped_bytes", NULL, "bytes", stacks_mapped_bytes,
         "Address space of all stacks."),
    LINE(GAUGE, "stacks_kept_bytes", NULL, "bytes", stacks_kept_bytes,
         "Address space of the stacks that are kept."),
};

static void out_meta(struct out *o, const char *what, const char *name, const char *text)
{
    rn__out_str(o, what);
    rn__out_str(o, name);
    rn__out_str(o, " ");
    rn__out_str(o, text);
    rn__out_str(o, "\n");
}

/* ns as seconds, all nine digits. */
static void out_seconds(struct out *o, uint64_t ns)
{
    char digits[10] = ".000000000";

    for (uint64_t i = 9, rest = ns % 1000000000; i > 0; i--, rest /= 10)
        digits[i] = (char)('0' + rest % 10);
    rn__out_int(o, ns / 1000000000);
    rn__out_bytes(o, digits, sizeof digits);
}

static void out_line(struct out *o, const struct line *l, uint64_t value)
{
    if (l->help) {
        out_meta(o, "# TYPE ", l->name, l->shape == COUNTER ? "counter" : "gauge");
        if (l->unit)
            out_meta(o, "# UNIT ", l->name, l->unit);
        out_meta(o, "# HELP ", l->name, l->help);
    }
    rn__out_str(o, l->name);
    rn__out_str(o, l->shape == COUNTER ? "_total" : "");
    if (l->label) {
        rn__out_str(o, "{");
        rn__out_str(o, l->label);
        rn__out_str(o, "}");
    }
    rn__out_str(o, " ");
    rn__out_int(o, value);
    rn__out_str(o, "\n");
}

static void out_latency(struct out *o, const struct rn_metrics *m)
{
    static const char name[] = "runnel_scheduling_latency_seconds";
    uint64_t sum = 0;

    out_meta(o, "# TYPE ", name, "histogram");
    out_meta(o, "# UNIT ", name, "seconds");
    out_meta(o, "# HELP ", name,
             "Time that runnable goroutines waited to run; one in 64 is measured.");
    for (unsigned i = 0; i < LATENCIES; i++) {
        sum += m->latency[i];
        rn__out_str(o, name);
        rn__out_str(o, "_bucket{le=\"");
        if (i + 1 < LATENCIES)
            out_seconds(o, (uint64_t)1024 << i);
        else
            rn__out_str(o, "+Inf");
        rn__out_str(o, "\"} ");
        rn__out_int(o, sum);
        rn__out_str(o, "\n");
    }
    rn__out_str(o, name);
    rn__out_str(o, "_count ");
    rn__out_int(o, sum);
    rn__out_str(o, "\n");
    rn__out_str(o, name);
    rn__out_str(o, "_sum ");
    out_seconds(o, m->latency_time);
    rn__out_str(o, "\n# EOF\n");
}

void rn_metrics_write(int fd)
{
    char text[4096];
    struct out o = {fd, 0, sizeof text, text};
    struct rn_metrics m;
    int saved = errno;

    snapshot(&m);
    m.threads -= m.threads_idle < m.threads ? m.threads_idle : m.threads;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        out_line(&o, &lines[i],
                 *(const uint64_t *)(const void *)((const char *)&m + lines[i].offset));
    out_latency(&o, &m);
    rn__out_flush(&o);
    errno = saved;
}

/* ---- A line now and then -------------------------------------------------------------------------------- */

static int64_t schedtrace_period(void)
{
    const char *text = getenv("RUNNEL_SCHEDTRACE");
    char *end;
    long ms;

    if (!text || !*text)
        return 0;
    ms = strtol(text, &end, 10);
    if (*end || ms < 0 || ms > 86400000) {
        fprintf(stderr,
                "runnel: RUNNEL_SCHEDTRACE=%s: expected milliseconds between two lines; ignored\n",
                text);
        return 0;
    }
    return ms * RN_MILLISECOND;
}

static void out_pair(struct out *o, const char *name, uint64_t value)
{
    rn__out_str(o, name);
    rn__out_int(o, value);
}

int64_t rn__schedtrace(struct rt *rt, int64_t now, int64_t due)
{
    char text[1024];
    struct out o = {STDERR_FILENO, 0, sizeof text, text};
    int64_t period = schedtrace_period();
    struct rn_metrics m = {0};
    struct counted c = {0};

    if (period == 0)
        return INT64_MAX;
    if (now < due)
        return due == INT64_MAX ? now + period : due;
    rn__counted_add(&c, rt);
    take_now(&m, rt);
    take_states(&m, rt, &c);
    out_pair(&o, "SCHED ", (uint64_t)(now_ns() - rt->began) / 1000000);
    out_pair(&o, "ms: procs=", m.processors);
    out_pair(&o, " idleprocs=", m.processors_idle);
    out_pair(&o, " threads=", m.threads);
    out_pair(&o, " spinningthreads=", m.spinning);
    out_pair(&o, " idlethreads=", m.threads_idle);
    out_pair(&o, " goroutines=", m.goroutines);
    out_pair(&o, " running=", m.running);
    out_pair(&o, " runnable=", m.runnable);
    out_pair(&o, " waiting=", m.waiting);
    out_pair(&o, " blocked=", m.blocked);
    out_pair(&o, " runqueue=", m.queued_global);
    for (uint32_t i = 0; i < load_acquire(&rt->nprocs); i++)
        out_pair(&o, i ? " " : " [", queued(&rt->procs[i]));
    rn__out_str(&o, "]\n");
    rn__out_flush(&o);
    return now - due < period ? due + period : now + period; /* in step, unless it is late */
}
