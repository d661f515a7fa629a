/* SPDX-License-Identifier: MIT */
/* debug.h - what the files of debug/ have in common. */
#ifndef RN_SRC_DEBUG_H
#define RN_SRC_DEBUG_H

#include "debug/out.h"
#include "sched/rt.h"

enum { FRAMES_MAX = 64 };

/* ---- place.c: what lies at an address ------------------------------------------------------------------ */

struct place {
    struct place *next;
    uintptr_t pc;
    bool own; /* in this library */
    size_t size;
    char *text; /* lines, each with its tab and newline */
};
enum { PLACES = 1024 };

/* What was asked already; NULL in its place: nothing is remembered. Lives in its pool. */
struct places {
    struct pool *pool;
    struct place *hash[PLACES];
};
struct places *rn__places_new(struct pool *pool); /* NULL: no memory */

/* A line for pc, or more where functions are inlined; is_call: it is a return address. */
void rn__out_place(struct out *o, struct places *known, uintptr_t pc, bool is_call);
/* A stack, innermost first: first is where it is, the rest return addresses. Without the library's own frames,
 * except the one that the program called. */
void rn__out_frames(struct out *o, struct places *known, const uintptr_t *pc, size_t n,
                    bool first_is_call);

/* The name of the function that begins at pc; without one, its address. */
void rn__out_function(struct out *o, uintptr_t pc);

/* The frame pointer chain from fp inside [lo, hi): up to room return addresses. */
size_t rn__walk(uintptr_t fp, uintptr_t lo, uintptr_t hi, uintptr_t *pc, size_t room);
/* The caller's own stack, without skip frames; room is at most FRAMES_MAX. */
size_t rn__walk_self(uintptr_t *pc, size_t room, size_t skip);

/* ---- dump.c --------------------------------------------------------------------------------------------- */

/* Report rt's goroutines other than self, folded; how many there are. o may be NULL: count only. */
size_t rn__dump_others(struct out *o, struct rt *rt, const struct g *self);
/* Their number; if there are any and fd >= 0, "runnel: N goroutines left<when>:" and the report. from is for
 * rn__out_stuck. *ret_lost: how many contexts nobody can end any more, which are reported too. */
size_t rn__leaks(struct rt *rt, int fd, const char *when, uintptr_t from, size_t *ret_lost);
/* Those who wait for locks in a circle: who for whom; and the entry of each. Threads are among them. */
struct lock_wait;
void rn__out_circle(struct out *o, const struct lock_wait *wait, unsigned n);
void rn__dump_these(struct out *o, struct rt *rt, const struct lock_wait *wait, unsigned n);
/* One goroutine's first line, and where it was made. g does not run elsewhere. */
void rn__out_head(struct out *o, const struct g *g, const char *state);
/* " "name" {labels}", as far as it has them. */
void rn__out_who(struct out *o, const struct g *g);
void rn__out_created(struct out *o, struct places *known, uint64_t by, const void *at);

/* ---- signal.c ------------------------------------------------------------------------------------------- */

/* At the start of a runtime, without a lock: RUNNEL_DUMP_SIGNAL. */
void rn__signal_begin(void);

/* ---- metrics.c ------------------------------------------------------------------------------------------- */

/* RUNNEL_SCHEDTRACE's line if due has come; when the next is due: INT64_MAX, which due is at first, if none is asked for. */
int64_t rn__schedtrace(struct rt *rt, int64_t now, int64_t due);

/* ---- trace.c --------------------------------------------------------------------------------------------- */

/* At the beginning of a runtime: its recorder, if there is to be one; and with its last reference. */
void rn__trace_begin(struct rt *rt);
void rn__trace_free(struct rt *rt);
/* At its end, and with reports: RUNNEL_TRACE's file, if there is to be one. */
void rn__trace_file(struct rt *rt);

/* ---- leaks.c -------------------------------------------------------------------------------------------- */

/* At the start of a runtime. */
void rn__leaks_begin(void);
/* If RUNNEL_LEAKS asks for it: what is left of rt besides the caller, after a while if that may be. */
void rn__leaks_end(struct rt *rt, const char *when, bool may_wait);

/* ---- stuck.c -------------------------------------------------------------------------------------------- */

/* Which of rt's goroutines can never wake, and which contexts are lost, if that can be told. The frames of self, the caller,
 * that count begin at from; 0: none do. How many contexts. */
size_t rn__out_stuck(struct out *o, struct rt *rt, const struct g *self, uintptr_t from);

/* ---- lost.c --------------------------------------------------------------------------------------------- */

enum { LOST_CALLS = 8 };
struct lost_record {
    struct lost_record *next, *prev;
    uintptr_t hidden; /* the complement of the context's address */
    uintptr_t pc[LOST_CALLS];
    size_t calls;
};
struct lost {
    uintptr_t hidden;
    size_t size;
    bool found; /* somebody can end it */
    const struct lost_record *record;
};

/* Contexts that are made from now on get a record. */
void rn__lost_begin(bool asked);
/* Those that have one, and a user; while nothing else runs the list is right. */
size_t rn__lost_count(void);
size_t rn__lost_list(struct lost *ret, size_t room);
/* Report those that were not found. */
void rn__out_lost(struct out *o, struct lost *lost, size_t n);

/* ---- stacks.c ------------------------------------------------------------------------------------------- */

/* At the start of a runtime: what RUNNEL_STACKS wants called by goroutines that leave, or NULL. */
void (*rn__stacks_begin(void))(struct g *, enum leave);
void rn__stacks_leave(struct g *g, enum leave how);
/* At its end: the table, if RUNNEL_STACKS asked. */
void rn__stacks_end(struct rt *rt, const char *when);

/* ---- locks.c -------------------------------------------------------------------------------------------- */

/* At the start of a runtime, without a lock: RUNNEL_LOCKS, and RUNNEL_STACKS. */
void rn__locks_begin(void);

/* ---- panic.c -------------------------------------------------------------------------------------------- */

/* A report that the end of the runtime, and of the process, waits for. The first two may be called by a signal's handler. */
void rn__report_starts(void);
void rn__report_over(void);
void rn__reports_await(void);

/* The first to call it goes on; others wait for the end of the process. It is a report that starts. */
void rn__ending(void);
/* Has the calling thread called that? */
bool rn__ending_here(void);
/* After what is said of g: all others, if they are wanted, and the end. rt may be NULL. */
void rn__report_rest(struct out *o, struct pool *pool, struct rt *rt, struct g *g, bool all)
    __attribute__((noreturn));
/* The end after a report: the flight recorder's file, if there is a runtime, and status 2. rt may be NULL. */
void rn__report_end(struct rt *rt) __attribute__((noreturn));

/* ---- overflow.c ----------------------------------------------------------------------------------------- */

/* At the start and end of a runtime, one at a time. */
void rn__overflow_begin(void);
void rn__overflow_end(void);
/* At the start of a thread that runs goroutines; its result is for rn__os_signal_stack_free at its end. */
void *rn__overflow_thread(void);

/* A hold on the running runtime, to be given back by rn__rt_unref; NULL: there is none, or it just begins or
 * ends. start.c. */
struct rt *rn__report_hold(void);

#endif
