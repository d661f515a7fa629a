/* SPDX-License-Identifier: MIT */
/*
 * peer.h - the rule of ../driver.c for the peers in C and C++: a benchmark does n operations; n grows until a call takes
 * long enough. Prints what bench/run reads: name, value, unit, operations.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PEER_PROCS_MAX = 256 };

struct peer_entry {
    const char *name;
    void (*fn)(int64_t n, int procs);
};

static struct {
    int64_t wall, cpu, wall_from, cpu_from;
    bool running;
} peer_clock;

static inline int64_t peer_read(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* As in driver.h: the clock runs when a benchmark is called. Set-up work: peer_reset after it. */
static inline void peer_reset(void)
{
    peer_clock.wall = peer_clock.cpu = 0;
    peer_clock.running = true;
    peer_clock.cpu_from = peer_read(CLOCK_PROCESS_CPUTIME_ID);
    peer_clock.wall_from = peer_read(CLOCK_MONOTONIC);
}
static inline void peer_stop(void)
{
    if (!peer_clock.running)
        return;
    peer_clock.wall += peer_read(CLOCK_MONOTONIC) - peer_clock.wall_from;
    peer_clock.cpu += peer_read(CLOCK_PROCESS_CPUTIME_ID) - peer_clock.cpu_from;
    peer_clock.running = false;
}

static __attribute__((noinline, unused)) void local_work(int64_t w)
{
    uint64_t x = 1;

    for (int64_t i = 0; i < w; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        __asm__ volatile("" : : "r"(x) : "memory");
    }
}

static inline void peer_measure(const struct peer_entry *e, int procs, int64_t target)
{
    int64_t n = 1;

    for (;;) {
        double want;

        peer_reset();
        e->fn(n, procs);
        peer_stop();
        if (peer_clock.wall < 1)
            peer_clock.wall = 1;
        if (peer_clock.wall >= target || n >= 1000000000)
            break;
        want = 1.2 * (double)target * (double)n / (double)peer_clock.wall;
        if (want > (double)n * 100)
            want = (double)n * 100;
        n = want > (double)(n + 1) ? (int64_t)want : n + 1;
    }
    printf("%-44s %14.2f %-14s %12lld\n", e->name, (double)peer_clock.wall / (double)n, "ns/op",
           (long long)n);
    printf("%-44s %14.2f %-14s %12lld\n", e->name, (double)peer_clock.cpu / (double)n, "cpu-ns/op",
           (long long)n);
}

/* -list, or -run ^NAME$ -procs P -time MS, as bench/run gives them; prepare gets P. */
static inline int peer_main(int argc, char **argv, const struct peer_entry *entries,
                            void (*prepare)(int procs))
{
    const char *run = "";
    int64_t target = 100000000;
    int procs = 1;
    size_t length;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-list") == 0) {
            for (const struct peer_entry *e = entries; e->name; e++)
                puts(e->name);
            return 0;
        }
        if (i + 1 == argc)
            break;
        if (strcmp(argv[i], "-run") == 0)
            run = argv[++i];
        else if (strcmp(argv[i], "-procs") == 0)
            procs = atoi(argv[++i]);
        else if (strcmp(argv[i], "-time") == 0)
            target = atoll(argv[++i]) * 1000000;
    }
    run += *run == '^';
    length = strcspn(run, "$");
    if (procs < 1 || procs > PEER_PROCS_MAX)
        return 2;
    prepare(procs);
    for (const struct peer_entry *e = entries; e->name; e++)
        if (length == 0 || (strncmp(e->name, run, length) == 0 && e->name[length] == '\0'))
            peer_measure(e, procs, target);
    return 0;
}

#endif
