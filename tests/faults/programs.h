/* SPDX-License-Identifier: MIT */
/*
 * programs.h - small programs that together use every primitive. Each returns 0 if all that it computed is right, or
 * the number of the check that failed; it leaves nothing behind. Some say how much they lacked: see runs_without.
 */
#ifndef RN_TESTS_PROGRAMS_H
#define RN_TESTS_PROGRAMS_H

struct program {
    const char *name;
    int (*run)(void);
};
extern const struct program programs[];

#endif
