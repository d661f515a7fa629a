/* SPDX-License-Identifier: MIT */
/* held.h - a look inside the runtime, for programs that are linked with the static library. */
#ifndef RN_TESTS_RUNTIME_HELD_H
#define RN_TESTS_RUNTIME_HELD_H

/* How many processors threads of the running runtime hold; called from a goroutine. Ends the process if one processor
 * is held twice, or is idle and held (P4 of monitor.c). */
int procs_held(void);

#endif
