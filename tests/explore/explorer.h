/* SPDX-License-Identifier: MIT */
/*
 * explorer.h - an explorer of interleavings and of weak memory, for the tests in this folder.
 *
 * A test is a function that starts a few threads and waits for them. It is run again and again, each time with
 * another order of its atomic operations and other values for its loads, until all that the bounds allow have
 * been seen, or, in the random mode, until time is up. Threads are fibers of one real thread; a switch happens
 * only at an atomic access or where a thread waits. So a run is a list of choices, and can be repeated.
 *
 * Memory. Each location has a history of stores. A thread has a view: for each location, the oldest store that
 * it may still read. A release attaches the view to the store, an acquire that reads it takes the view over; a
 * seq_cst fence exchanges views with a global one; a seq_cst access is ordered with the other seq_cst accesses,
 * but is no fence for the rest, as in C11 and unlike on x86. A load may read any store that its view allows: so
 * the explorer shows what a store buffer, or a load made early, shows. What it does not: a load that reads a
 * store which comes later in the run (load buffering), and two stores to one location that are ordered against
 * the run. No CPU we know of does the first with what the library does between.
 *
 * Plain memory. The library's sources are compiled with -fsanitize=thread, whose callbacks are ours: an access
 * that is not ordered by happens-before after a conflicting one is an error, and so is any access to memory that
 * has been freed. That is what finds an edge that is missing between two atomics and the data they protect.
 *
 * Bounds. Exhaustive: all runs with at most so many preemptions (switches away from a thread that could go on),
 * and at most so many loads of something else than the newest store. Random: half the runs switch and read with
 * some probability, half follow random priorities that change at a few random steps (PCT, Burckhardt et al.,
 * ASPLOS 2010). A run's own seed is printed when it fails; --seed SEED --runs 1 repeats it.
 *
 * An operation's order can be taken away at run time (struct weaken): the same test must then fail.
 */
#ifndef RN_TESTS_EXPLORER_H
#define RN_TESTS_EXPLORER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The nth use, from 0, of op in func loses its order: a fence goes, an access becomes relaxed. */
struct weaken {
    const char *func, *op;
    int nth; /* -1: all */
};

struct explore_test {
    const char *name;
    void (*run)(void);
    int preemptions, stale; /* the bounds of the exhaustive search; -1: random only */
    unsigned random_runs;   /* in the ordinary test */
    bool open;              /* known to fail: run only when named */
    bool must_fail;         /* a broken variant of a model: the explorer must find the bug */
    struct weaken
        breaks[16]; /* each of them alone must make the test fail; up to the first without a func */
    struct explore_test *next;
};
void explore_register(struct explore_test *t);

/* EXPLORE(name, .preemptions = 2, .stale = 1, ...) { body } */
#define EXPLORE(test_name, ...)                                                                    \
    static void test_name(void);                                                                   \
    __attribute__((constructor)) static void test_name##_register(void)                            \
    {                                                                                              \
        static struct explore_test t = {.name = #test_name, .run = test_name, __VA_ARGS__};        \
        explore_register(&t);                                                                      \
    }                                                                                              \
    static void test_name(void)

/* Start a thread; wait for one, or for all. Both are happens-before edges. */
int explore_start(void (*fn)(void *), void *arg);
void explore_join(int thread);
void explore_join_all(void);
/* The calling thread, from 0. */
int explore_self(void);

/* This run has shown a bug. */
void explore_fail(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
#define EXPECT(cond) ((cond) ? (void)0 : explore_fail("%s:%d: %s", __FILE__, __LINE__, #cond))

/* What tests use besides the library: plain memory as the race detector sees it. */
void explore_read(const void *p, size_t size);
void explore_write(void *p, size_t size);
/* One of n, chosen by the search. */
unsigned explore_choose(unsigned n);
/* Sleep while *word is value, as a futex; wake one. */
void explore_futex_wait(uint32_t *word, uint32_t value, int64_t until);
void explore_futex_wake(uint32_t *word);
/* A fence in every thread, as membarrier makes one. */
void explore_membarrier(void);
/* Virtual time: moves when nobody can run and somebody waits with a limit, or by this. */
int64_t explore_now(void);
void explore_advance(int64_t ns);
/* Threads that have not ended. */
int explore_threads(void);
/* What a thread-local is; memory of the run, all of it freed (or not) at its end. */
size_t explore_allocated(void);
void *explore_malloc(size_t size);
void explore_free(void *p);
static inline void *new_zero(size_t size)
{
    return memset(explore_malloc(size), 0, size);
}

#endif
