/* SPDX-License-Identifier: MIT */
/* target.h - the process that is looked at: its scheduler in numbers, and its goroutines by kind. */
#ifndef RNTOP_TARGET_H
#define RNTOP_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum state { STATE_RUNNING, STATE_RUNNABLE, STATE_NEW, STATE_WAITING };

/* Goroutines that are alike. */
struct kind {
    struct kind *next; /* of the same hash */
    enum state state;
    uint8_t why; /* STATE_WAITING */
    uint64_t
        at; /* the program's call into the library, a return address; STATE_NEW: the function; 0: not known */
    uint64_t created_at; /* a return address */
    uint64_t count;
    int64_t since;   /* STATE_WAITING: when the one that waits longest began to, CLOCK_MONOTONIC */
    uint64_t id;     /* the lowest */
    char name[32];   /* its name */
    uint64_t labels; /* where they are; 0: it has none */
};

struct processor {
    uint64_t ready, fresh; /* queued */
    uint64_t picks;        /* goroutines that got it; modulo 2^32 */
    bool held;
    int tid;          /* of the thread that has it; 0: not known */
    uint64_t running; /* the id of a goroutine; 0: none */
};

enum count { PARKS, READIES, YIELDS, STEALS, HANDOFFS, LENDS, COUNTS };

struct look {
    uint64_t run; /* the number of the runtime: counts are of it */
    int64_t now, began;
    uint64_t started, ended, count[COUNTS];
    uint64_t states
        [4]; /* of those found; the sum differs from started - ended by what changed meanwhile */
    uint64_t blocked; /* of the running: in C calls, without a processor */
    uint64_t queued_global, starving;
    uint64_t processors, processors_idle, threads, threads_idle, spinning;
    size_t proc_count;
    struct processor *proc;
    size_t kind_count;
    struct kind *kind; /* most first */
};

enum result {
    LOOKED,
    NO_RUNTIME, /* nothing runs now: before the first use, or after the end, of rn_run */
    ENDED,
    FAILED, /* target_error says why */
};

struct target;

/* NULL: target_error says why. */
struct target *target_open(int pid);
const char *target_error(void);
/* Look; *ret is valid until the next look. */
enum result target_look(struct target *t, struct look *ret);
/* The labels of a kind's, as reports have them, without control characters; "" if it has none any more. */
void target_labels(const struct target *t, const struct kind *k, char *to, size_t size);
/* What it waits for, in words. */
const char *target_reason(const struct target *t, uint8_t why);
/* 10000 * major + 100 * minor + patch of the library in it. */
unsigned target_version(const struct target *t);

#endif
