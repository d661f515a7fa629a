/* SPDX-License-Identifier: MIT */
/*
 * stacks.c - RUNNEL_STACKS and rn_stacks: how deep stacks got, by where their goroutines were started.
 */
#define _GNU_SOURCE
#include "process.h"

#include "said.h"

#include <errno.h>
#include <stdlib.h>

enum { DEEP = 50000, MANY = 200, MORE = 20000 /* what calls of the library and libc may take */ };

static rn_chan(int) gate;
static _Atomic int arrived;

static volatile char touched;
/* A loop of known length may be unrolled, and has then as many places. */
static volatile int seven = 7;

static void use(size_t n)
{
    volatile char frame[DEEP];

    for (size_t i = 0; i < n; i++)
        frame[DEEP - 1 - i] = 1;
    touched = frame[DEEP / 2];
}
static void deep(rn_wg *wg)
{
    use(DEEP);
    rn_wg_done(wg);
}
static void shallow(rn_wg *wg)
{
    rn_yield();
    rn_wg_done(wg);
}
static void deep_and_wait(void)
{
    use(DEEP);
    arrived++;
    (void)rn_recv(gate);
}

/* The line of so many goroutines: what it says of their depth. */
static void find(const char *report, int count, long *ret_peak, long *ret_average, long *ret_size)
{
    char begin[40];
    const char *at;

    snprintf(begin, sizeof(begin), "\n%d goroutines: at most ", count);
    has(report, begin);
    at = strstr(report, begin);
    CHECK_EQ(sscanf(at + strlen(begin),
                    "%ld (goroutine %*u), on average %ld of %ld usable bytes\n\t", ret_peak,
                    ret_average, ret_size),
             3);
}
static size_t stacks(int fd)
{
    CHECK_EQ(rn_stacks(fd), 0);
    return 0;
}

static int deep_then_shallow(void)
{
    rn_wg wg = {0};
    long peak, average, size, other;
    char *report;

    gate = rn_chan_make(int, 0);
    for (int i = 0; i < MANY + 2; i++) {
        rn_wg_add(&wg, 1);
        rn_go(shallow, &wg);
    }
    rn_wg_wait(&wg);
    rn_settle(RN_MINUTE);
    for (int i = 0; i < MANY; i++) {
        rn_wg_add(&wg, 1);
        rn_go(deep, &wg);
    }
    rn_wg_wait(&wg);
    for (int i = 0; i < MANY + 1;
         i++) { /* on the same stacks, but they have not used what the others had */
        rn_wg_add(&wg, 1);
        rn_go(shallow, &wg);
    }
    rn_wg_wait(&wg);
    rn_settle(RN_MINUTE);
    report = said_by(stacks);
    begins(report, "runnel: peak use of stacks, by where the goroutines were started:\n");
    find(report, MANY, &peak, &average, &size);
    CHECK(peak > DEEP && peak < DEEP + MORE && average > DEEP && average <= peak);
    CHECK(size > 100000 && size <= 131072);
    find(report, MANY + 1, &peak, &average, &size);
    CHECK(peak > 500 && peak < MORE && average > 500 && average <= peak);
    find(report, MANY + 2, &peak, &other, &size);
    CHECK(average < peak + 500); /* which way each of them took in the library is chance */
    CHECK(strstr(report, "\n200 goroutines") <
          strstr(report, "\n201 goroutines")); /* deepest first */
    free(report);

    for (int i = 0; i < seven; i++)
        rn_go(deep_and_wait);
    AWAIT(arrived == 7);
    report = said_by(stacks);
    find(report, 7, &peak, &average, &size);
    CHECK(average > DEEP && peak < DEEP + MORE);
    free(report);
    return 0; /* with the seven */
}
static void asked(void)
{
    CHECK_EQ(setenv("RUNNEL_STACKS", "1", 1), 0);
    CHECK_EQ(rn_run(deep_then_shallow), 0);
}
PLAIN_TEST(by_where_they_were_started)
{
    struct child c = run_child(asked);
    long peak, average, size;

    CHECK_EXIT(&c, 0);
    begins(
        c.said,
        "runnel: peak use of stacks at the end of rn_run, by where the goroutines were started:\n");
    find(c.said, 7, &peak, &average, &size);
    find(c.said, MANY, &peak, &average, &size);
    CHECK_EQ(times_in(c.said, "\n1 goroutine: "), 1); /* the first one */
    free(c.said);
}

GO_TEST(census_only_on_request)
{
    CHECK_EQ(rn_stacks(2), -ENODATA);
}
PLAIN_TEST(not_without_a_runtime)
{
    CHECK_EQ(setenv("RUNNEL_STACKS", "1", 1), 0);
    CHECK_EQ(rn_stacks(2), -ENODATA);
}
