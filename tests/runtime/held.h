/* SPDX-License-Identifier: MIT */
/* held.h - a look inside the runtime, for programs that are linked with the static library. */
#ifndef RN_TESTS_RUNTIME_HELD_H
#define RN_TESTS_RUNTIME_HELD_H

#include <stdbool.h>

/* How many processors threads of the running runtime hold; called from a goroutine. Ends the process if one processor
 * is held twice, or is idle and held (P4 of monitor.c). */
int procs_held(void);

/* The caller's own state: does its thread hold a processor, and has the monitor asked it to yield? */
bool proc_is_mine(void);
bool yield_is_due(void);

/* Go into the runtime and out again, as a call does that neither waits nor yields. */
void entry_and_back(void);

/* The same with an entry in it, as where the library calls itself: is the thread inside for as long as the outer one
 * lasts, outside before and after, and does each outer entry count up the thread's sequence by two? */
bool entries_nest(void);

#endif
