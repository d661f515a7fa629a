/* SPDX-License-Identifier: MIT */
/* stall.c - how long others stand still beside goroutines that block in C or compute. Workloads: README.md. */
#define _GNU_SOURCE
#include "driver.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef BENCH_HAVE_ENTRY
#include "sched/rt.h"
#endif

/* What the goroutines beside do, until told to end. */
struct beside {
    _Atomic bool end;
    int fds[2];
    pthread_mutex_t mutex;
};

static void in_usleep(struct beside *s)
{
    while (!s->end)
        usleep(500000);
}

static void in_read(struct beside *s)
{
    char c;

    while (!s->end)
        if (read(s->fds[0], &c, 1) != 1)
            return;
}

static void in_mutex(struct beside *s)
{
    while (!s->end) {
        pthread_mutex_lock(&s->mutex);
        usleep(5000);
        pthread_mutex_unlock(&s->mutex);
    }
}

static void in_loop(struct beside *s)
{
    while (!s->end) {
    }
}

static void ping(rn_chan(int) in, rn_chan(int) out)
{
    for (int v = 1; v > 0;) {
        v = rn_recv(in);
        rn_send(out, v);
    }
}

/* The pace of two goroutines that have nothing to do with the others: ns of a round trip. */
static double pair(const struct bench *b)
{
    rn_chan(int) to = rn_chan_make(int, 0), from = rn_chan_make(int, 0);
    int64_t rounds = 0;
    rn_time start, now;

    rn_go(ping, to, from);
    start = rn_now();
    do {
        rn_send(to, 1);
        (void)rn_recv(from);
        rounds++;
        now = rn_now();
    } while (now - start < (b->is_smoke ? 20 : 500) * RN_MILLISECOND);
    rn_send(to, -1);
    (void)rn_recv(from);
    rn_chan_release(to);
    rn_chan_release(from);
    return (double)(now - start) / (double)rounds;
}

/*
 * How many times as long a round trip of the pair takes beside others that compute, if it gets its fair share of the
 * CPUs. Of the two one runs at a time, so the pair is one of computing + 1 that want a CPU. All of them have all CPUs:
 * those that compute go on without a processor, so that the number of processors says nothing.
 */
static double fair(int computing)
{
    cpu_set_t set;
    int cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;

    return computing < cpus ? 1 : (double)(computing + 1) / cpus;
}

enum { ALONE, USLEEP, READ, MUTEX, LOOP };

/* arg: what is done beside << 16 | by how many */
static void gap(struct bench *b)
{
    static void (*const what[])(struct beside *) = {NULL, in_usleep, in_read, in_mutex, in_loop};
    struct beside s = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    rn_time end, start;
    rn_dur most = 0;
    int count = (int)(b->arg & 0xffff);
    double alone = pair(b), beside;
    rn_wg wg = {0};

    if (pipe(s.fds) != 0)
        bench_fail("no pipe");
    for (int i = 0; i < count; i++)
        rn_wg_go(&wg, what[b->arg >> 16], &s);
    start = rn_now();
    end = start + (b->is_smoke ? 20 : 2000) * RN_MILLISECOND;
    for (rn_time before = start; before < end;) {
        rn_time now;

        rn_sleep(RN_MILLISECOND);
        now = rn_now();
        if (now - before - RN_MILLISECOND > most)
            most = now - before - RN_MILLISECOND;
        before = now;
    }
    beside = pair(b);
    s.end = true;
    close(s.fds[1]); /* ends the reads */
    rn_wg_wait(&wg);
    close(s.fds[0]);
    alone = (alone + pair(b)) /
            2; /* before and after, so that a machine that becomes slower says nothing */
    b->is_final = true;
    bench_report(b, (double)most / 1e6, "ms-max-gap");
    bench_report(b, beside, "ns/round-trip");
    bench_report(b, beside / alone / fair(b->arg >> 16 == LOOP ? count : 0), "x-fair-share");
}

#ifdef BENCH_HAVE_ENTRY
/* What every call of the runtime would pay if nobody could take its processor: it looks for the worker. */
static void entry_before(struct bench *b)
{
    for (int64_t i = 0; i < b->n; i++)
        bench_keep(worker_self());
}

/* What every call that enters the runtime pays for it, so that the monitor may take processors: the library's own
 * steps M1, M2 and M5, and the look for the worker. */
static void entry_after(struct bench *b)
{
    for (int64_t i = 0; i < b->n; i++) {
        struct worker *w = worker_self();

        if (rt_enter(w))
            rt_leave(w);
    }
}

#endif

/* A processor given away and taken again. */
static void blocking(struct bench *b)
{
    for (int64_t i = 0; i < b->n; i++) {
        rn__block_enter();
        rn__block_leave();
    }
}

static const struct bench_entry entries[] = {
    {"Gap/alone", gap, ALONE << 16, 0},          {"Gap/100-in-usleep", gap, USLEEP << 16 | 100, 0},
    {"Gap/8-in-read", gap, READ << 16 | 8, 0},   {"Gap/4-on-a-mutex", gap, MUTEX << 16 | 4, 0},
    {"Gap/4-computing", gap, LOOP << 16 | 4, 0}, {"Blocking", blocking, 0, 0},

#ifdef BENCH_HAVE_ENTRY
    {"Entry/before", entry_before, 0, 0},        {"Entry/after", entry_after, 0, 0},
#endif
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, entries, sizeof(entries) / sizeof(entries[0]));
}
