/* SPDX-License-Identifier: MIT */
/*
 * group.c - error groups (EG-01 to EG-15) and errors with messages (decision 31).
 */
#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int succeed(void)
{
    return 0;
}
static int give(int result)
{
    return result;
}
static int fail_with(int code, const char *text)
{
    return rn_errorf(code, "%s", text);
}

static int ignore_cancellation(rn_chan(int) gate)
{
    return rn_recv(gate);
}

GO_TEST(eg_01_a_zero_group_is_usable)
{
    enum { MANY = 3000 };
    rn_chan(int) gate = rn_chan_make(int, 0);
    rn_group g = {0};

    CHECK_EQ(rn_group_wait(&g), 0);
    CHECK_EQ(rn_group_wait(&g), 0);
    rn_group_go(&g, succeed);
    rn_group_go(&g, give, 7); /* 0 or more is success */
    CHECK_EQ(rn_group_wait(&g), 0);
    for (int i = 0; i < MANY; i++) { /* no limit */
        if (i % 2)
            CHECK(rn_group_try_go(&g, ignore_cancellation, gate));
        else
            rn_group_go(&g, ignore_cancellation, gate);
    }
    AWAIT(test_parked() == MANY);
    for (int i = 0; i < MANY; i++)
        rn_send(gate, 0);
    CHECK_EQ(rn_group_wait(&g), 0);
    rn_chan_release(gate);
}

static int fail_in_turn(int i, rn_chan(int) turn[], const int *results)
{
    (void)rn_recv(turn[i]);
    return results[i] < 0 ? rn_errorf(results[i], "number %d", i) : results[i];
}

GO_TEST(eg_02_03_the_first_error_in_time_stays)
{
    static const int results[3][4] = {
        {-EIO, 0, -EPERM, -EBUSY}, {0, -EPERM, -EIO, 3}, {5, 0, 0, -EBUSY}};
    static const int first[3] = {0, 1, 3};

    for (int k = 0; k < 3; k++) {
        rn_group g = {0};
        rn_chan(int) turn[4];
        char text[20];

        for (int i = 0; i < 4; i++) {
            turn[i] = rn_chan_make(int, 0);
            rn_group_go(&g, fail_in_turn, i, &turn[0], &results[k][0]);
        }
        for (int i = 0; i < 4; i++) {
            rn_send(turn[i], 1);
            AWAIT(rn_count() == (size_t)(4 - i)); /* it has ended: its result counts */
        }
        snprintf(text, sizeof(text), "number %d", first[k]);
        CHECK_EQ(rn_group_wait(&g), results[k][first[k]]);
        CHECK_STR(rn_errmsg(results[k][first[k]]), text);
        rn_errorf(results[k][first[k]], "overwritten");
        CHECK_EQ(rn_group_wait(&g), results[k][first[k]]); /* again: the same, message and all */
        CHECK_STR(rn_errmsg(results[k][first[k]]), text);
        rn_group_go(&g, succeed); /* and what is started after a wait replaces it neither */
        CHECK_EQ(rn_group_wait(&g), results[k][first[k]]);
        rn_group_go(&g, fail_with, -EAGAIN, "later");
        CHECK_EQ(rn_group_wait(&g), results[k][first[k]]);
        CHECK_STR(rn_errmsg(results[k][first[k]]), text);
        for (int i = 0; i < 4; i++)
            rn_chan_release(turn[i]);
    }
}

static int finish_late(_Atomic int *n)
{
    test_let_run();
    ++*n;
    return 0;
}

GO_TEST(eg_02_wait_waits_for_all)
{
    for (int round = 0; round < test_times(200); round++) {
        rn_group g = {0};
        _Atomic int n = 0;

        rn_group_go(&g, give, -EIO);
        for (int i = 0; i < 10; i++)
            rn_group_go(&g, finish_late, &n);
        CHECK_EQ(rn_group_wait(&g), -EIO);
        CHECK_EQ(n, 10);
    }
}

static int until_done(rn_ctx *ctx)
{
    (void)rn_recv(rn_ctx_done(ctx));
    return rn_ctx_err(ctx);
}

GO_TEST(eg_04_05_the_first_error_cancels_the_context)
{
    rn_group g = {0};
    rn_ctx *ctx = rn_ctx_retain(rn_group_with_ctx(&g, rn_ctx_background()));

    CHECK_EQ(rn_ctx_err(ctx), 0);
    rn_group_go(&g, until_done, ctx);
    rn_group_go(&g, succeed);
    rn_group_go(&g, give, 7);
    AWAIT(rn_count() == 2 && test_parked() == 1);
    CHECK_EQ(rn_ctx_err(ctx), 0); /* of success it does not end */
    rn_group_go(&g, fail_with, -EIO, "the disk");
    (void)rn_recv(rn_ctx_done(ctx)); /* before anybody waits for the group */
    CHECK_EQ(rn_ctx_cause(ctx), -EIO);
    CHECK_EQ(rn_group_wait(&g), -EIO);
    CHECK_STR(rn_errmsg(-EIO), "the disk");
    CHECK_EQ(rn_ctx_err(ctx), -ECANCELED);
    rn_errorf(-EIO, "overwritten");
    CHECK_EQ(rn_ctx_cause(ctx), -EIO);
    CHECK_STR(rn_errmsg(-EIO), "the disk");
    rn_ctx_release(ctx);
}

GO_TEST(eg_04_05_wait_cancels_it_also_on_success)
{
    rn_group g = {0};
    rn_ctx *ctx = rn_ctx_retain(rn_group_with_ctx(&g, rn_ctx_background()));

    rn_group_go(&g, succeed);
    AWAIT(rn_count() == 1);
    CHECK_EQ(rn_ctx_err(ctx), 0);
    CHECK_EQ(rn_group_wait(&g), 0);
    CHECK_EQ(rn_ctx_err(ctx), -ECANCELED);
    CHECK_EQ(rn_ctx_cause(ctx), -ECANCELED);
    rn_ctx_release(ctx);
}

GO_TEST(eg_04_the_parents_end_reaches_the_functions)
{
    rn_ctx *parent = rn_ctx_with_cancel(rn_ctx_background());
    rn_group g = {0};
    rn_ctx *ctx = rn_group_with_ctx(&g, parent);

    rn_group_go(&g, until_done, ctx);
    rn_group_go(&g, until_done, ctx);
    rn_ctx_cancel(parent);
    CHECK_EQ(rn_group_wait(&g), -ECANCELED);
    rn_ctx_end(parent);
}

static int until_it_ends(rn_ctx *ctx)
{
    int err;

    while (!(err = rn_ctx_err(ctx)))
        rn_yield();
    return err;
}

/* Contexts derived from the group's make its end long, so that who sees it early has time to be wrongly first. */
GO_TEST(eg_06_a_task_that_fails_of_the_cancellation_is_never_first)
{
    enum { DERIVED = 200 };

    for (int round = 0; round < test_times(1000); round++) {
        rn_group g = {0};
        rn_ctx *ctx = rn_group_with_ctx(&g, rn_ctx_background()), *derived[DERIVED];

        for (int i = 0; i < DERIVED; i++)
            derived[i] = rn_ctx_with_cancel(ctx);
        for (int i = 0; i < 4; i++)
            rn_group_go(&g, i % 2 ? until_done : until_it_ends, ctx);
        rn_group_go(&g, fail_with, -EIO, "first");
        CHECK_EQ(rn_group_wait(&g), -EIO);
        CHECK_STR(rn_errmsg(-EIO), "first");
        for (int i = 0; i < DERIVED; i++) {
            CHECK_EQ(rn_ctx_cause(derived[i]), -EIO);
            rn_ctx_end(derived[i]);
        }
    }
}

GO_TEST(eg_07_others_are_not_interrupted)
{
    rn_group g = {0};
    rn_ctx *ctx = rn_group_with_ctx(&g, rn_ctx_background());
    rn_chan(int) gate = rn_chan_make(int, 0);

    rn_group_go(&g, ignore_cancellation, gate);
    rn_group_go(&g, give, -EIO);
    (void)rn_recv(rn_ctx_done(ctx));
    AWAIT(rn_count() == 2); /* who failed has ended */
    test_let_run();
    CHECK_EQ(rn_count(), 2); /* and the other goes on waiting */
    rn_send(gate, 0);
    CHECK_EQ(rn_group_wait(&g), -EIO);
    rn_chan_release(gate);
}

static int at_most(_Atomic int *active, _Atomic int *most)
{
    int now = ++*active, seen = *most;

    while (now > seen && !atomic_compare_exchange_weak(most, &seen, now))
        ;
    rn_yield();
    --*active;
    return 0;
}

GO_TEST(eg_08_a_limit_holds_and_go_waits)
{
    const int limits[] = {1, 2, 10};

    for (int k = 0; k < 3; k++) {
        rn_group g = {0};
        _Atomic int active = 0, most = 0;

        rn_group_set_limit(&g, limits[k]);
        for (int i = 0; i < test_times(1025); i++)
            rn_group_go(&g, at_most, &active, &most);
        CHECK_EQ(rn_group_wait(&g), 0);
        CHECK_EQ(active, 0);
        CHECK(most >= 1 && most <= limits[k]);
    }
}

static int count_and_wait(_Atomic int *begun, rn_chan(int) gate)
{
    ++*begun;
    return rn_recv(gate);
}
static void go_many(rn_group *g, int n, _Atomic int *begun, rn_chan(int) gate, _Atomic int *passed)
{
    for (int i = 0; i < n; i++) {
        rn_group_go(g, count_and_wait, begun, gate);
        ++*passed;
    }
}

/* EG-08: the whole limit is used, the one who goes beyond it waits, and for each that ends one more begins. */
GO_TEST(eg_08_go_beyond_the_limit_waits_for_a_slot)
{
    const int limits[] = {1, 2, 10};

    for (int k = 0; k < 3; k++) {
        rn_chan(int) gate = rn_chan_make(int, 0);
        _Atomic int begun = 0, passed = 0;
        rn_group g = {0};
        int limit = limits[k];

        rn_group_set_limit(&g, limit);
        rn_go(go_many, &g, limit + 5, &begun, gate, &passed);
        for (int i = 0; i <= 5; i++) {
            if (i < 5)
                AWAIT(test_parked() == (size_t)limit + 1); /* those in the group, and who goes */
            else
                AWAIT(test_parked() == (size_t)limit && rn_count() == (size_t)limit + 1);
            CHECK_EQ(begun, limit + i);
            CHECK_EQ(passed, limit + i);
            rn_send(gate, 0);
            AWAIT(passed == (i < 5 ? limit + i + 1 : limit + 5));
        }
        for (int i = 1; i < limit; i++)
            rn_send(gate, 0);
        CHECK_EQ(rn_group_wait(&g), 0);
        rn_chan_release(gate);
    }
}

GO_TEST(eg_09_10_11_try_go_and_changed_limits)
{
    rn_group g = {0};
    rn_chan(int) gate = rn_chan_make(int, 0);
    int n = 0;

    rn_group_set_limit(&g, 42);
    for (int i = 0; i < 42; i++)
        CHECK(rn_group_try_go(&g, ignore_cancellation, gate));
    CHECK(!rn_group_try_go(&g, give, -EIO)); /* not started: no error of it below */
    for (int i = 0; i < 42; i++)
        rn_send(gate, 0);
    CHECK_EQ(rn_group_wait(&g), 0);
    CHECK(rn_group_try_go(&g, succeed));
    CHECK_EQ(rn_group_wait(&g), 0);
    rn_group_set_limit(&g, 1);
    CHECK(rn_group_try_go(&g, ignore_cancellation, gate));
    CHECK(!rn_group_try_go(&g, succeed));
    rn_send(gate, 0);
    CHECK_EQ(rn_group_wait(&g), 0);
    rn_group_set_limit(&g, 0);
    for (int i = 0; i < 1024; i++)
        n += rn_group_try_go(&g, give, -EIO);
    CHECK_EQ(n, 0);
    CHECK_EQ(rn_group_wait(&g), 0); /* and none has run */
    rn_group_set_limit(&g, -1);
    for (int i = 0; i < 100; i++)
        CHECK(rn_group_try_go(&g, ignore_cancellation, gate));
    for (int i = 0; i < 100; i++)
        rn_send(gate, 0);
    CHECK_EQ(rn_group_wait(&g), 0);
    rn_chan_release(gate);
}

static void go_under_limit_zero(rn_group *g, _Atomic int *passed)
{
    rn_group_go(g, succeed);
    *passed = 1;
}

GO_TEST_LEAVES(eg_10_a_limit_of_zero_blocks_go_for_ever)
{
    static rn_group g;
    static _Atomic int passed;

    rn_group_set_limit(&g, 0);
    rn_go(go_under_limit_zero, &g, &passed);
    AWAIT(test_parked() == 1);
    test_let_run();
    CHECK_EQ(passed, 0);
    CHECK_EQ(rn_count(), 2);
}

static rn_chan(int) never;
static int stay(void)
{
    return rn_recv(never);
}
static int limit_while_active(void)
{
    rn_group g = {0};

    never = rn_chan_make(int, 0);
    rn_group_set_limit(&g, 4); /* Go counts them only under a limit */
    for (int i = 0; i < 3; i++)
        rn_group_go(&g, stay);
    rn_group_set_limit(&g, 5);
    return 0;
}
static void limit_while_active_run(void)
{
    (void)rn_run(limit_while_active);
}

PLAIN_TEST(eg_12_changing_the_limit_while_active_panics)
{
    CHECK_PANICS(limit_while_active_run,
                 "errgroup: modify limit while 3 goroutines in the group are still active");
}

GO_TEST(eg_12_no_limit_may_be_set_at_any_time)
{
    rn_group g = {0};
    rn_chan(int) gate = rn_chan_make(int, 0);

    rn_group_set_limit(&g, 2);
    for (int i = 0; i < 2; i++)
        CHECK(rn_group_try_go(&g, ignore_cancellation, gate));
    CHECK(!rn_group_try_go(&g, succeed));
    rn_group_set_limit(&g, -1);
    for (int i = 0; i < 10; i++)
        CHECK(rn_group_try_go(&g, ignore_cancellation, gate));
    for (int i = 0; i < 12; i++)
        rn_send(gate, 0);
    CHECK_EQ(rn_group_wait(&g), 0);
    rn_chan_release(gate);
}

static int panic_in_task(void)
{
    rn_panic("in a task");
}
static int group_of_panic(void)
{
    rn_group g = {0};

    rn_group_go(&g, panic_in_task);
    (void)!rn_group_wait(&g);
    puts("wait returned");
    return 0;
}
static void group_of_panic_run(void)
{
    (void)rn_run(group_of_panic);
}

PLAIN_TEST(eg_13_a_panic_takes_the_process_down)
{
    struct child c = run_child(group_of_panic_run);

    CHECK_EXIT(&c, 2);
    CHECK_SAYS(&c, "panic: in a task");
    CHECK(!strstr(c.said, "wait returned"));
    free(c.said);
}

static int exit_with(int result)
{
    rn_exit(result);
}

GO_TEST(eg_13_d36_exit_gives_its_result_slot_and_count_back)
{
    rn_group g = {0};

    rn_group_set_limit(&g, 1);
    rn_group_go(&g, exit_with, 0);
    rn_group_go(&g, exit_with, 3); /* waits for the slot of the first */
    CHECK_EQ(rn_group_wait(&g), 0);
    rn_group_go(&g, exit_with, -EIO);
    CHECK_EQ(rn_group_wait(&g), -EIO);
}

static int go_deeper(rn_group *g, int depth, _Atomic int *n)
{
    ++*n;
    if (depth > 0) {
        rn_group_go(g, go_deeper, g, depth - 1, n);
        rn_group_go(g, go_deeper, g, depth - 1, n);
    }
    return 0;
}

GO_TEST(eg_14_a_task_may_go_on_its_own_group)
{
    rn_group g = {0};
    _Atomic int n = 0;

    rn_group_go(&g, go_deeper, &g, 9, &n);
    CHECK_EQ(rn_group_wait(&g), 0);
    CHECK_EQ(n, 1023);
}

static int square_into(int i, int *slot)
{
    *slot = i * i;
    return 0;
}

GO_TEST(eg_15_distinct_slots_are_read_after_wait)
{
    enum { N = 500 };
    static int slots[N];
    rn_group g = {0};

    for (int i = 0; i < N; i++)
        rn_group_go(&g, square_into, i, &slots[i]);
    CHECK_EQ(rn_group_wait(&g), 0);
    for (int i = 0; i < N; i++)
        CHECK_EQ(slots[i], i * i);
}

static int add_from_fn(void *n)
{
    ++*(_Atomic int *)n;
    return -EBUSY;
}

GO_TEST(d37_the_layer_without_macros)
{
    rn_group g = {0};
    _Atomic int n = 0;

    rn_group_go_fn(&g, add_from_fn, &n);
    CHECK_EQ(rn_group_wait(&g), -EBUSY);
    CHECK_EQ(n, 1);
}

GO_TEST(d09_a_group_may_leave_scope_after_wait)
{
    for (int round = 0; round < test_times(20000); round++) {
        rn_group *g = calloc(1, sizeof(*g));

        rn_group_go(g, succeed);
        rn_group_go(g, give, -1);
        CHECK_EQ(rn_group_wait(g), -1);
        memset(g, 0xff, sizeof(*g));
        free(g);
    }
}

/* ---- Errors with messages ------------------------------------------------------------------------- */

GO_TEST(d31_a_message_belongs_to_its_code)
{
    CHECK_STR(rn_errmsg(-ENOENT), strerror(ENOENT));
    CHECK_EQ(rn_errorf(-EINVAL, "%d is %s", 3, "odd"), -EINVAL);
    CHECK_STR(rn_errmsg(-EINVAL), "3 is odd");
    CHECK_STR(rn_errmsg(-ENOENT), strerror(ENOENT)); /* not that one's message */
    CHECK_EQ(rn_errorf(-EINVAL, "4 is even"), -EINVAL);
    CHECK_STR(rn_errmsg(-EINVAL), "4 is even"); /* the last one */
    CHECK_EQ(rn_errorf(0, "no error"), 0);
    CHECK_EQ(rn_errorf(5, "a count"), 5);
    CHECK_STR(rn_errmsg(-EINVAL), "4 is even");
}

GO_TEST(d31_a_message_may_stand_among_its_own_arguments)
{
    int err = rn_errorf(-EIO, "sector %d", 9);

    err = rn_errorf(err, "read: %s", rn_errmsg(err));
    CHECK_STR(rn_errmsg(-EIO), "read: sector 9");
    err = rn_errorf(-EPERM, "load: %s", rn_errmsg(-EIO));
    CHECK_STR(rn_errmsg(-EPERM), "load: read: sector 9");
    CHECK_STR(rn_errmsg(-EIO), "read: sector 9");
}

GO_TEST(d31_a_long_message_is_cut)
{
    char text[400];

    memset(text, 'x', sizeof(text));
    text[399] = 0;
    rn_errorf(-EIO, "%s", text);
    CHECK_EQ(strlen(rn_errmsg(-EIO)), 123);
    CHECK(strncmp(rn_errmsg(-EIO), text, 123) == 0);
}

GO_TEST(d31_an_unknown_code_has_a_text_too)
{
    CHECK(rn_errmsg(-99999) != NULL && *rn_errmsg(-99999));
    CHECK(rn_errmsg(0) != NULL);
}

static void messages_of_my_own(int i)
{
    CHECK_STR(rn_errmsg(-EIO), strerror(EIO)); /* nothing of another goroutine, alive or dead */
    for (int k = 0; k < 20; k++) {
        char text[40];

        snprintf(text, sizeof(text), "goroutine %d step %d", i, k);
        rn_errorf(-EIO, "%s", text);
        rn_yield();
        CHECK_STR(rn_errmsg(-EIO), text);
    }
}

GO_TEST(d31_every_goroutine_has_its_own)
{
    for (int round = 0; round < test_times(50); round++) {
        rn_wg wg = {0};

        for (int i = 0; i < 50; i++)
            rn_wg_go(&wg, messages_of_my_own, i);
        rn_wg_wait(&wg);
    }
}

static void send_error(rn_chan(rn_error) ch, int i)
{
    rn_send(ch, rn_error_of(rn_errorf(-EIO - i, "number %d", i)));
}

GO_TEST(d31_errors_travel_through_channels)
{
    rn_chan(rn_error) ch = rn_chan_make(rn_error, 0);
    bool seen[10] = {false};

    for (int i = 0; i < 10; i++)
        rn_go(send_error, ch, i);
    for (int n = 0; n < 10; n++) {
        rn_error e = rn_recv(ch);
        int code = rn_error_raise(&e), i = -EIO - code;
        char text[20];

        CHECK_EQ(code, e.code);
        CHECK(i >= 0 && i < 10 && !seen[i]);
        seen[i] = true;
        snprintf(text, sizeof(text), "number %d", i);
        CHECK_STR(rn_errmsg(code), text);
        CHECK_STR(e.text, text);
    }
    rn_chan_release(ch);
}

GO_TEST(d31_errors_as_values)
{
    rn_error none = {0}, plain = {.code = -EPERM}, e;

    CHECK_EQ(rn_error_raise(NULL), 0);
    CHECK_EQ(rn_error_raise(&none), 0);
    rn_errorf(-EPERM, "old");
    CHECK_EQ(rn_error_raise(&plain), -EPERM);
    CHECK_STR(rn_errmsg(-EPERM), strerror(EPERM)); /* an empty text means the standard one */
    e = rn_error_of(-ENOENT);
    CHECK_EQ(e.code, -ENOENT);
    CHECK(e.text[0] == 0 || strcmp(e.text, strerror(ENOENT)) == 0);
    CHECK_EQ(rn_error_raise(&e), -ENOENT);
    CHECK_STR(rn_errmsg(-ENOENT), strerror(ENOENT));
}

PLAIN_TEST(d31_on_a_plain_thread)
{
    CHECK_EQ(rn_errorf(-EIO, "thread %d", 1), -EIO);
    CHECK_STR(rn_errmsg(-EIO), "thread 1");
    CHECK_STR(rn_errmsg(-EPERM), strerror(EPERM));
}

GO_TEST(d31_a_group_under_load_returns_the_right_message)
{
    for (int round = 0; round < test_times(500); round++) {
        rn_group g = {0};
        int err;

        for (int i = 0; i < 8; i++)
            rn_group_go(&g, fail_with, -EIO - i, i % 2 ? "odd" : "even");
        err = rn_group_wait(&g);
        CHECK(err <= -EIO && err > -EIO - 8);
        CHECK_STR(rn_errmsg(err), (-EIO - err) % 2 ? "odd" : "even");
    }
}
