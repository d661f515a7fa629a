/* SPDX-License-Identifier: MIT */
/*
 * trace.h - the flight recorder: what the scheduler did lately, as a file that ui.perfetto.dev opens.
 *
 * While it is on, each processor keeps the last 16384 events of its own in a ring: goroutines that start, run, park and
 * why, are woken and by whom, yield, end, block in C calls; hand-offs, steals, timers. At a few nanoseconds an event it can
 * be left on in production, to be asked when something has gone wrong. Off, it costs a load and a branch.
 *
 * The file is Chrome's JSON trace format. Goroutines are tracks, with what each did and waited for, and on which
 * object; so are processors, with who ran there. Arrows go from each wake-up to the run that it led to, and from each
 * start to the first run. Times are of the CPU's counter. In stretches with more than about 2.5 million events a second
 * on a processor only one in 32 reads it, and those between are put evenly, or close to the one before; the order
 * of events of one processor is always right.
 *
 *     RUNNEL_TRACE=trace.json ./program
 *
 * records from the start, and writes the file at the end of each rn_run, at exit, on a panic or fatal error, and when
 * a report of all goroutines is asked for by signal (RUNNEL_DUMP_SIGNAL). %p in the name stands for the process id.
 */
#ifndef RUNNEL_TRACE_H
#define RUNNEL_TRACE_H

#include <runnel/base.h>
#include <stdbool.h>

RN__BEGIN

/* Record from now on, in this runtime and those to come. 0, also if it is on already; -ENOMEM. 400 KB of address space
 * for each processor, of which as much is memory as was written. From any thread. */
RN__API RN__NODISCARD int rn_trace_start(void);

/* Record no more. What there is can still be dumped, until the next start or the end of the runtime. */
RN__API void rn_trace_stop(void);

/* Is it on? Somebody else may turn it on or off meanwhile. From any thread. */
RN__API bool rn_trace_on(void);

/*
 * Write what is in the rings to fd, without stopping. An event that is overwritten meanwhile is left out. 0, or -ENOMEM.
 * Without a runtime, or if nothing was ever recorded, the file has no events. From any thread, not from a signal handler.
 * Does not use malloc, waits for nothing but fd, keeps errno. A tenth of a second for each million events.
 */
RN__API int rn_trace_dump(int fd);

RN__END

#endif
