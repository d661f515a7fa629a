/* SPDX-License-Identifier: MIT */
/*
 * programs.h - small programs that together use every primitive. Each returns 0 if all that it computed is right, or
 * the number of the check that failed; it leaves nothing behind.
 */
#ifndef RN_TESTS_PROGRAMS_H
#define RN_TESTS_PROGRAMS_H

#include <stdbool.h>

struct program {
    const char *name;
    int (*run)(void);
    bool
        keeps; /* what the library keeps for the life of the process: as much as without faults is right */
    unsigned panics; /* a call that it makes panics where there is no memory for one of these */
};
enum { PANICS_GOROUTINE = 1, PANICS_CONTEXT = 2, PANICS_SERVER = 4 };
extern const struct program programs[];

#endif
