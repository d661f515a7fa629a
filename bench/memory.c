/* SPDX-License-Identifier: MIT */
/*
 * memory.c - bytes per goroutine, parked and not yet run. Workloads: README.md.
 *
 * "All told" is the growth of the process's resident memory and of its page tables, from
 * /proc/self/status. The number of mappings is reported too: each costs kernel memory that the
 * status does not show.
 */
#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMOKE_COUNT = 1000, SAMPLES = 100 };

/* Bytes resident and in page tables. */
static double footprint(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    long long kib, sum = 0;

    if (!f)
        bench_fail("no /proc/self/status");
    while (fgets(line, sizeof(line), f))
        if (sscanf(line, "VmRSS: %lld", &kib) == 1 || sscanf(line, "VmPTE: %lld", &kib) == 1)
            sum += kib;
    fclose(f);
    return (double)sum * 1024;
}

static double mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "re");
    double count = 0;
    int c;

    if (!f)
        bench_fail("no /proc/self/maps");
    while ((c = getc(f)) != EOF)
        count += c == '\n';
    fclose(f);
    return count;
}

struct parking {
    _Atomic int64_t started;
    rn_chan(rn_unit) gate;
};

static void park_here(struct parking *s, rn_wg *wg)
{
    atomic_fetch_add_explicit(&s->started, 1, memory_order_relaxed);
    (void)rn_recv(s->gate);
    rn_wg_done(wg);
}

/* arg: how many; below 0: with small stacks. */
static void parked(struct bench *b)
{
    int64_t count = b->is_smoke ? SMOKE_COUNT : b->arg < 0 ? -b->arg : b->arg;
    struct parking s = {.gate = rn_chan_make(rn_unit, 0)};
    rn_wg wg = {0};
    double before, maps;

    b->is_final = true;
    b->n = count;
    (void)footprint(); /* stdio's own memory is not the goroutines' */
    before = footprint();
    maps = mappings();
    rn_wg_add(&wg, (int)count);
    for (int64_t i = 0; i < count; i++) {
        if (b->arg < 0)
            rn_go_with(RN_ATTR(.small_stack = true), park_here, &s, &wg);
        else
            rn_go(park_here, &s, &wg);
    }
    while (atomic_load_explicit(&s.started, memory_order_relaxed) < count)
        rn_sleep(RN_MILLISECOND);
    rn_sleep(20 * RN_MILLISECOND); /* the last ones have counted but may not have parked */
    bench_report(b, (footprint() - before) / (double)count, "B/goroutine");
    bench_report(b, mappings() - maps, "mappings");
    rn_close(s.gate);
    rn_wg_wait(&wg);
    rn_chan_release(s.gate);
}

struct starting {
    _Atomic int64_t started;
};

static void start_here(struct starting *s)
{
    atomic_fetch_add_explicit(&s->started, 1, memory_order_relaxed);
}

/*
 * A spawner that does not yield still loses its processor at the end of its slice, and the
 * goroutines that then run end at once and leave their memory to the next. So count those that
 * have not run at several points, and take the footprint at the point where they were most.
 */
static void unstarted(struct bench *b)
{
    int64_t count = b->is_smoke ? SMOKE_COUNT : b->arg, most = 0;
    struct starting s = {0};
    rn_wg wg = {0};
    double before, at_most = 0;

    b->is_final = true;
    b->n = count;
    (void)footprint();
    before = footprint();
    for (int64_t i = 1; i <= count; i++) {
        rn_wg_go(&wg, start_here, &s);
        if (i % (count / SAMPLES) == 0) {
            int64_t waiting = i - atomic_load_explicit(&s.started, memory_order_relaxed);

            if (waiting > most) {
                most = waiting;
                at_most = footprint();
            }
        }
    }
    rn_wg_wait(&wg);
    bench_report(b, most > 0 ? (at_most - before) / (double)most : 0, "B/goroutine");
    bench_report(b, (double)most, "waiting");
}

static const struct bench_entry entries[] = {
    {"ParkedGoroutine/100000", parked, 100000, 0},
    {"ParkedGoroutine/1000000", parked, 1000000, 0},
    {"ParkedSmallGoroutine/1000000", parked, -1000000, 0},
    {"UnstartedGoroutine/1000000", unstarted, 1000000, 1},
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, entries, sizeof(entries) / sizeof(entries[0]));
}
