/* SPDX-License-Identifier: MIT */
/*
 * group.c - error groups, flights and after-functions: whose error is the first, how many run at once, who shares a call,
 * and that the object may go when its meaning allows.
 *
 * Groups and after-functions start goroutines, so there is a runtime of two processors, as in sched.c; flights need none,
 * and are looked at between plain threads.
 */
#include <runnel.h>

#include <errno.h>

#include "critical.h"
#include "explorer.h"

#include "explore.h"

/* ---- Error groups ---------------------------------------------------------------------------------------- */

static rn_group *group;
static uint64_t results[2];

static int fail_with(int i, int err)
{
    results[i] = 1;
    explore_write(&results[i], 8);
    return err;
}

/* Two fail at once: one of them is the first for the wait and for the context, and what both did is seen. */
static int run_two_fail(void)
{
    rn_ctx *ctx;
    int err;

    group = new_zero(sizeof *group);
    ctx = rn_ctx_retain(rn_group_with_ctx(group, rn_ctx_background()));
    rn_group_go(group, fail_with, 0, -EIO);
    rn_group_go(group, fail_with, 1, -EPERM);
    err = rn_group_wait(group);
    explore_free(group); /* the last is still returning, and touches it no more */
    explore_read(&results[0], 8);
    explore_read(&results[1], 8);
    EXPECT(err == -EIO || err == -EPERM);
    EXPECT(rn_ctx_cause(ctx) == err);
    rn_ctx_release(ctx);
    return 1;
}

EXPLORE(group_first_error, .preemptions = 1, .stale = 0, .random_runs = 2000)
{
    EXPECT(rn_run(run_two_fail) == 1);
    EXPECT(explore_allocated() == 0);
}

/* One at a time: each starts after the last has left, and sees what it did. */
static int be_alone(void)
{
    critical();
    return 0;
}

static int run_limited(void)
{
    reset();
    group = new_zero(sizeof *group);
    rn_group_set_limit(group, 1);
    for (int i = 0; i < 3; i++)
        rn_group_go(group, be_alone);
    EXPECT(rn_group_wait(group) == 0);
    explore_free(group);
    explore_read(&data, 8);
    return (int)count;
}

EXPLORE(group_limit, .preemptions = 1, .stale = 0, .random_runs = 2000)
{
    EXPECT(rn_run(run_limited) == 3);
    EXPECT(explore_allocated() == 0);
}

/* ---- Flights ------------------------------------------------------------------------------------------------- */

static rn_flight *flight;
static uint32_t executions;

static int fly(uint32_t *out)
{
    critical(); /* of one key one at a time */
    *out = add_relaxed(&executions, 1) + 1;
    return 0;
}

/* Each caller has the value of one whole execution, none older than the one that was under way when it came. */
static void call_flight(void *arg)
{
    uint32_t before = load_relaxed(&executions), value = 0;

    (void)arg;
    EXPECT(rn_flight_do(flight, "key", &value, fly, &value) == 0);
    EXPECT(value > 0 && value >= before && value <= load_relaxed(&executions));
}

EXPLORE(flight_shares, .preemptions = 2, .stale = 1, .random_runs = 10000)
{
    reset();
    executions = 0;
    flight = new_zero(sizeof *flight);
    explore_start(call_flight, NULL);
    explore_start(call_flight, NULL);
    call_flight(NULL);
    explore_join_all();
    EXPECT(executions >= 1 && executions <= 3 && executions == count);
    explore_free(flight);
    EXPECT(explore_allocated() == 0);
}

/* Forgetting a key while it flies: who came before shares, who comes after flies anew; nobody is lost. */
static int fly_apart(uint64_t *out)
{
    *out = 7;
    return 0;
}

static void call_apart(void *arg)
{
    uint64_t value = 0;

    (void)arg;
    EXPECT(rn_flight_do(flight, "key", &value, fly_apart, &value) == 0);
    EXPECT(value == 7);
}

static void forget(void *arg)
{
    (void)arg;
    rn_flight_forget(flight, "key");
}

EXPLORE(flight_forgotten, .preemptions = 2, .stale = 0, .random_runs = 10000)
{
    flight = new_zero(sizeof *flight);
    explore_start(call_apart, NULL);
    explore_start(call_apart, NULL);
    forget(NULL);
    call_apart(NULL);
    explore_join_all();
    explore_free(flight);
    EXPECT(explore_allocated() == 0);
}

/* ---- After-functions -------------------------------------------------------------------------------------------- */

static rn_ctx *ctx;

static void cancel_it(void *arg)
{
    (void)arg;
    rn_ctx_cancel(ctx);
}

/* The stop of a hook against its start: it has returned, and is seen, or it never runs; and the hook may go. */
static int run_stop_against_cancel(void)
{
    rn_ctx_hook *hook = new_zero(sizeof *hook);
    int canceller;
    bool stopped;

    reset();
    ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx_after_func(hook, ctx, critical);
    canceller = explore_start(cancel_it, NULL);
    stopped = rn_ctx_hook_stop(hook);
    explore_free(hook);
    explore_read(&data, 8);
    EXPECT(count == (stopped ? 0 : 1));
    (void)rn_blocking((explore_join(canceller), 0));
    EXPECT(count == (stopped ? 0 : 1));
    rn_ctx_end(ctx);
    return 1;
}

EXPLORE(hook_stop_against_cancel, .preemptions = 1, .stale = 0, .random_runs = 2000)
{
    EXPECT(rn_run(run_stop_against_cancel) == 1);
    EXPECT(explore_allocated() == 0);
}
