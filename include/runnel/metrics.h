/* SPDX-License-Identifier: MIT */
/*
 * metrics.h - what the scheduler has done and does now, in numbers.
 *
 * Counting is always on. Each processor counts on its own: a load and a store to its own memory where something is
 * counted, and no CPU waits for another.
 *
 * A snapshot is not of one moment: goroutines go on while it is made. What it guarantees:
 *   - Counters (spawned to latency_time) hold everything that happened before the call, are never too high,
 *     never fall from one call to a later one, and go on over the end of a runtime: they are the process's.
 *   - finished <= spawned and readies <= parks, in every snapshot.
 *   - The rest are gauges, each right at its own moment during the call. running, runnable, waiting and blocked
 *     are made to add up to goroutines: what changes meanwhile shows in running.
 *   - When nothing else runs, a snapshot is exact.
 * Not counted: plain threads, and what goroutines do that the end of an rn_run has left behind.
 */
#ifndef RUNNEL_METRICS_H
#define RUNNEL_METRICS_H

#include <runnel/base.h>
#include <stddef.h>
#include <stdint.h>

RN__BEGIN

enum { RN_METRICS_LATENCIES = 23 };

/* Later versions add to the end. */
struct rn_metrics {
    /* Goroutines now. */
    uint64_t goroutines; /* all there are */
    uint64_t running;    /* on a processor, or on their way to or from one */
    uint64_t runnable;   /* queued; new ones too */
    uint64_t waiting;    /* parked */
    uint64_t
        blocked; /* inside C calls, without a processor: rn_blocking, or taken by the monitor */

    /* Goroutines, since the process began. */
    uint64_t spawned, finished;
    uint64_t parks;   /* times that one began to wait */
    uint64_t readies; /* times that one was woken */
    uint64_t
        yields; /* times that one let others go first, by itself or because its time was over */
    uint64_t steals;      /* times that a processor took work from another one's queue */
    uint64_t stolen;      /* goroutines taken that way */
    uint64_t from_global; /* goroutines taken from the global queue */
    uint64_t handoffs; /* processors taken from goroutines that blocked in C or computed for long */
    uint64_t blocking; /* rn_blocking and rn_sys that gave a processor away */
    uint64_t wakeups;  /* times that a processor was put to work */
    uint64_t threads_made;  /* worker threads */
    uint64_t timers_armed;  /* sleeps, timeouts, tickers: each time that one was set */
    uint64_t timers_fired;  /* each tick of a ticker counts */
    uint64_t netpoll_woken; /* waits for descriptors that the scheduler ended */

    /* How long goroutines that could run waited for a processor; measured of one in 64. latency[i] counts those below
     * 1.024 us << i and not below half of that; the last one all that took longer. */
    uint64_t latency[RN_METRICS_LATENCIES];
    uint64_t latency_time; /* ns, their sum */

    /* Threads, processors, queues, memory now; all 0 when no runtime runs. */
    uint64_t threads;             /* workers, rn_run's caller included */
    uint64_t threads_idle;        /* of them asleep, for want of work */
    uint64_t processors;          /* rn_procs() */
    uint64_t processors_idle;     /* that nobody uses */
    uint64_t spinning;            /* workers that look for work */
    uint64_t queued_global;       /* in the global queue */
    uint64_t queued_local;        /* in the processors' own, all together */
    uint64_t timers;              /* armed */
    uint64_t stacks;              /* that there are, used or kept for the next goroutine */
    uint64_t stacks_kept;         /* of them free */
    uint64_t stacks_mapped_bytes; /* address space of them all; touched pages only are memory */
    uint64_t stacks_kept_bytes;   /* of those that are free */
};

/*
 * Fill *ret, of size bytes: rn_metrics(&m, sizeof m). Fields that the library does not have are 0, those that a program
 * compiled with an older header does not know are left out. Returns the size that the library knows.
 * From any thread, not from a signal handler; starts no runtime. Takes internal locks for nanoseconds, does not
 * allocate, does not wait. A microsecond or so.
 */
RN__API size_t rn_metrics(struct rn_metrics *ret, size_t size);

/*
 * Write the same to fd as OpenMetrics text, to its "# EOF": what Prometheus and others read. Names begin with runnel_.
 * As for rn_metrics, but for waiting until fd takes it.
 */
RN__API void rn_metrics_write(int fd);

RN__END

#endif
