/* SPDX-License-Identifier: MIT */
/*
 * basic.c - one select: evaluation, which case may be chosen, what it returns, what it writes.
 */
#include "support.h"

#include <stdlib.h>

static char order_log[64];
static int order_n;

static rn_chan(int) log_chan(rn_chan(int) ch, char name)
{
    order_log[order_n++] = name;
    return ch;
}

static int log_value(int value, char name)
{
    order_log[order_n++] = name;
    return value;
}

static int *log_dest(int *dest, char name)
{
    order_log[order_n++] = name;
    return dest;
}

/* SEL-01, F7, D24: each operand once, top to bottom, for chosen, unchosen and nil cases alike. */
GO_TEST(sel_01_operands_once_in_order)
{
    rn_chan(int) empty = rn_chan_make(int, 0), full = rn_chan_make(int, 1);
    int value = 0;
    bool ok = false;

    for (int i = 0; i < 20; i++) {
        order_n = 0;
        memset(order_log, 0, sizeof(order_log));
        rn_try_send(full, 1);
        CHECK_EQ(rn_select(rn_on_recv(log_chan(empty, 'a'), log_dest(&value, 'b')),
                           rn_on_send(log_chan(NULL, 'c'), log_value(1, 'd')),
                           rn_on_send(log_chan(full, 'e'), log_value(2, 'f')),
                           rn_on_recv_ok(log_chan(full, 'g'), log_dest(&value, 'h'), &ok),
                           rn_on_send(log_chan(empty, 'i'), log_value(3, 'j')),
                           rn_on_recv(log_chan(NULL, 'k'), log_dest(&value, 'l')),
                           rn_on_timeout(log_value(1000000000, 'm'))),
                 3);
        CHECK_STR(order_log, "abcdefghijklm");
    }
    /* Five selects of two sends: ten evaluations. */
    order_n = 0;
    for (int i = 0; i < 5; i++)
        CHECK_EQ(rn_select(rn_on_send(empty, log_value(1, 'x')),
                           rn_on_send(empty, log_value(2, 'y')), rn_default),
                 2);
    CHECK_EQ(order_n, 10);
    rn_chan_release(empty);
    rn_chan_release(full);
}

static _Atomic int evaluated;

static rn_chan(int) leave(void)
{
    evaluated = 1;
    rn_exit(0);
}

static rn_chan(int) must_not_run(void)
{
    evaluated = 2;
    return NULL;
}

static void select_and_leave(void)
{
    (void)rn_select(rn_on_recv(leave(), NULL), rn_on_recv(must_not_run(), NULL), rn_default);
    evaluated = 3;
}

/* SEL-02: if an early operand does not come to its end, later ones are not evaluated. */
GO_TEST(sel_02_early_operand_ends_it)
{
    rn_go(select_and_leave);
    test_expect_settled(__FILE__, __LINE__);
    CHECK_EQ(evaluated, 1);
}

static rn_chan(int) sel_ch;
static int sel_value;

static int reassign(rn_chan(int) to, int result)
{
    sel_ch = to;
    sel_value = 1000;
    return result;
}

/* SEL-03: the operands are captured on entry. */
GO_TEST(sel_03_captured_on_entry)
{
    rn_chan(int) first = rn_chan_make(int, 1), second = rn_chan_make(int, 1);

    sel_ch = first;
    sel_value = 7;
    CHECK_EQ(rn_select(rn_on_send(sel_ch, sel_value),
                       rn_on_send((rn_chan(int))NULL, reassign(second, 1))),
             0);
    CHECK_EQ(rn_len(first), 1);
    CHECK_EQ(rn_len(second), 0);
    CHECK_EQ(rn_recv(first), 7);
    rn_chan_release(first);
    rn_chan_release(second);
}

/* SEL-04, CHAN-12: destinations are written only if their case is chosen. */
GO_TEST(sel_04_targets_untouched)
{
    rn_chan(int) empty = rn_chan_make(int, 0), ready = rn_chan_make(int, 1);
    int unused = 11, value = 22;
    bool unused_ok = true, ok = false;

    rn_send(ready, 33);
    /* A bad address in an unchosen case is harmless. */
    CHECK_EQ(rn_select(rn_on_recv_ok(empty, &unused, &unused_ok),
                       rn_on_recv((rn_chan(int))NULL, (int *)(uintptr_t)8),
                       rn_on_recv_ok(ready, &value, &ok), rn_on_recv(empty, (int *)(uintptr_t)16)),
             2);
    CHECK(unused == 11 && unused_ok);
    CHECK(value == 33 && ok);
    CHECK_EQ(rn_select(rn_on_recv_ok(ready, &value, &ok), rn_default), 1);
    CHECK(value == 33 && ok);
    rn_chan_release(empty);
    rn_chan_release(ready);
}

/* SEL-05, SEL-06: the only case that can proceed is chosen, wherever it stands; default only if
 * none can. */
GO_TEST(sel_05_06_the_only_ready_case)
{
    enum { N = 6 };

    for (int ready = 0; ready < N; ready++) {
        for (int closed = 0; closed < 3; closed++) {
            for (int with_default = 0; with_default < 2; with_default++) {
                rn_chan(int) chans[N];
                rn_case cases[N + 1];
                int values[N], one = 1;

                for (int i = 0; i < N; i++) {
                    chans[i] = rn_chan_make(int, 1);
                    values[i] = -1;
                    if (i % 2 == 0) {
                        cases[i] = rn_on_recv(chans[i], &values[i]);
                    } else {
                        rn_send(chans[i], 0); /* full */
                        cases[i] = rn_on_send_from(chans[i], &one);
                    }
                }
                cases[N] = rn_default;
                if (with_default)
                    CHECK_EQ(rn_select_array(cases, N + 1), N);
                if (ready % 2 == 0) {
                    if (closed == 2)
                        rn_close(chans[ready]);
                    else
                        rn_send(chans[ready], 5);
                } else {
                    (void)rn_recv(chans[ready]);
                }
                for (int i = 0; i < N; i++) /* a used case is made anew */
                    cases[i] = i % 2 == 0 ? rn_on_recv(chans[i], &values[i])
                                          : rn_on_send_from(chans[i], &one);
                cases[N] = rn_default;
                CHECK_EQ(rn_select_array(cases, (size_t)(N + with_default)), ready);
                for (int i = 0; i < N; i++) {
                    CHECK_EQ(values[i], i != ready || i % 2 != 0 ? -1 : closed == 2 ? 0 : 5);
                    rn_chan_release(chans[i]);
                }
            }
        }
    }
}

static _Atomic int passed;

static void select_two(rn_chan(int) a, rn_chan(int) b)
{
    int value;

    passed = 1 + rn_select(rn_on_recv(a, &value), rn_on_send(b, 5));
}

/* SEL-07: without default it waits until a case can proceed: a send, a receive, a close. */
GO_TEST(sel_07_waits)
{
    for (int way = 0; way < 3; way++) {
        rn_chan(int) a = rn_chan_make(int, 0), b = rn_chan_make(int, 0);

        passed = 0;
        rn_go(select_two, a, b);
        test_let_run();
        CHECK_EQ(passed, 0);
        if (way == 0)
            rn_send(a, 1);
        else if (way == 1)
            CHECK_EQ(rn_recv(b), 5);
        else
            rn_close(a);
        AWAIT(passed != 0);
        CHECK_EQ(passed, way == 1 ? 2 : 1);
        test_expect_settled(__FILE__, __LINE__);
        rn_chan_release(a);
        rn_chan_release(b);
    }
}

static void wait_for_ever(int way, rn_chan(int) self)
{
    rn_case zero[3] = {{0}};
    rn_chan(int) nil = NULL;
    int value;

    if (way == 0)
        passed = 100 + rn_select_array(NULL, 0);
    else if (way == 1)
        passed = 100 + rn_select_array(zero, 3);
    else if (way == 2)
        passed = 100 + rn_select(rn_on_recv(nil, &value), rn_on_send(nil, 1),
                                 rn_on_done(rn_ctx_background()), rn_on_done(NULL));
    else
        passed = 100 + rn_select(rn_on_send(self, 1), rn_on_recv(self, &value));
}

/* SEL-08, SEL-09, SEL-18, D9: no case, zero cases, nil channels, the background context and oneself
 * never proceed. */
GO_TEST_LEAVES(sel_08_09_18_waits_for_ever)
{
    for (int way = 0; way < 4; way++) {
        rn_chan(int) self = rn_chan_make(int, 0);

        rn_go(wait_for_ever, way, self);
        test_let_run();
        CHECK_EQ(passed, 0);
    }
    CHECK_EQ(rn_count(), 5);
}

/* SEL-08: with nothing but a default it returns at once. */
GO_TEST(sel_08_only_default)
{
    CHECK_EQ(rn_select(rn_default), 0);
}

/* SEL-09: nil cases are ignored beside live ones, and lose to default. */
GO_TEST(sel_09_nil_cases)
{
    rn_chan(int) nil = NULL, live = rn_chan_make(int, 1);
    int value;

    CHECK_EQ(rn_select(rn_on_recv(nil, &value), rn_on_send(nil, 1), rn_default), 2);
    CHECK_EQ(rn_select(rn_on_recv(nil, &value), rn_on_send(live, 3), rn_on_send(nil, 1)), 1);
    CHECK_EQ(rn_select(rn_on_send(nil, 1), rn_on_recv(nil, &value), rn_on_recv(live, &value)), 2);
    CHECK_EQ(value, 3);
    rn_chan_release(live);
}

/* SEL-10: a receive from a closed channel is always ready: zero and not ok, after what was left. */
GO_TEST(sel_10_closed_receive)
{
    rn_chan(int) never = rn_chan_make(int, 0), ch = rn_chan_make(int, 2);
    int value = 5;
    bool ok = true;

    rn_send(ch, 8);
    rn_close(ch);
    CHECK_EQ(rn_select(rn_on_recv(never, NULL), rn_on_recv_ok(ch, &value, &ok), rn_default), 1);
    CHECK(value == 8 && ok);
    for (int i = 0; i < 100; i++) {
        value = 5, ok = true;
        CHECK_EQ(rn_select(rn_on_recv(never, NULL), rn_on_recv_ok(ch, &value, &ok), rn_default), 1);
        CHECK(value == 0 && !ok);
    }
    rn_chan_release(never);
    rn_chan_release(ch);
}

/* SEL-11, F2: a send on a closed channel counts as ready, and panics. */
DEATH_TEST(sel_11_closed_send, "panic: send on closed channel")
{
    rn_chan(int) ch = rn_chan_make(int, 1);

    rn_close(ch);
    (void)rn_select(rn_on_send(ch, 1));
}

DEATH_TEST(sel_11_closed_send_with_default, "panic: send on closed channel")
{
    rn_chan(int) never = rn_chan_make(int, 0), ch = rn_chan_make(int, 0);

    rn_close(ch);
    (void)rn_select(rn_on_recv(never, NULL), rn_on_send(ch, 1), rn_default);
}

static void select_send(rn_chan(int) never, rn_send_only(int) out)
{
    (void)rn_select(rn_on_recv(never, NULL), rn_on_send(out, 1));
}

/* SEL-12, F2: so does a select that waits already when the channel is closed. */
DEATH_TEST(sel_12_close_under_a_waiting_select, "panic: send on closed channel")
{
    rn_chan(int) never = rn_chan_make(int, 0), ch = rn_chan_make(int, 0);

    rn_go(select_send, never, ch);
    test_let_run();
    rn_close(ch);
    (void)rn_recv(never);
}

static void send_n(rn_send_only(int) out, int n)
{
    for (int i = 0; i < n; i++)
        rn_send(out, i);
}

/* SEL-22, SEL-23, CHAN-25: one case is the plain operation, one case and default the try; the value
 * may be discarded, from every kind of sender. */
GO_TEST(sel_22_23_small_selects)
{
    for (int cap = 0; cap < 3; cap++) {
        rn_chan(int) ch = rn_chan_make(int, cap), nil = NULL;
        int value = -1;

        CHECK_EQ(rn_select(rn_on_recv(ch, &value), rn_default), 1);
        CHECK_EQ(value, -1);
        rn_go(send_n, ch, 12);
        if (cap == 1)
            test_let_run();
        for (int i = 0; i < 12; i += 4) {
            CHECK_EQ(rn_select(rn_on_recv(ch, &value)), 0);
            CHECK_EQ(value, i);
            CHECK_EQ(rn_select(rn_on_recv(ch, NULL)), 0);
            CHECK_EQ(rn_select(rn_on_recv(nil, NULL), rn_on_recv(ch, NULL)), 1);
            AWAIT(rn_select(rn_on_recv(ch, &value), rn_default) == 0);
            CHECK_EQ(value, i + 3);
        }
        for (int i = 0; i < cap; i++)
            CHECK_EQ(rn_select(rn_on_send(ch, i)), 0);
        CHECK_EQ(rn_select(rn_on_send(ch, 1), rn_default), 1);
        CHECK_EQ(rn_len(ch), cap);
        rn_chan_release(ch);
    }
}

/* SEL-24: break, continue and return inside a case mean what they always do. */
static int leave_loops(rn_chan(int) ready)
{
    int rounds = 0, value;

    for (int i = 0; i < 10; i++) {
        switch (rn_select(rn_on_recv(ready, &value))) {
        case 0:
            if (i == 2)
                continue;
            if (i == 7)
                return rounds;
            break; /* the switch, not the loop */
        default:
            return -1;
        }
        rounds++;
    }
    return -2;
}

GO_TEST(sel_24_break_leaves_the_switch)
{
    rn_chan(int) ready = rn_chan_make(int, 0);

    rn_close(ready);
    CHECK_EQ(leave_loops(ready), 6);
    rn_chan_release(ready);
}

struct deep {
    struct {
        const void *any;
        bool ok;
    } *inner;
};

/* SEL-25: value and ok go to any lvalue of the right type. */
GO_TEST(sel_25_any_lvalue)
{
    rn_chan(const void *) ch = rn_chan_make(const void *, 1);
    struct deep deep = {calloc(2, sizeof(*deep.inner))};
    bool oks[2] = {false, false};

    CHECK(deep.inner);
    rn_send(ch, "text");
    CHECK_EQ(rn_select(rn_on_recv_ok(ch, &deep.inner[1].any, &deep.inner[1].ok)), 0);
    CHECK(deep.inner[1].ok);
    CHECK_STR((const char *)deep.inner[1].any, "text");
    rn_close(ch);
    oks[1] = true;
    CHECK_EQ(rn_select(rn_on_recv_ok(ch, &deep.inner[1].any, oks + 1)), 0);
    CHECK(deep.inner[1].any == NULL && !oks[1] && !oks[0]);
    free(deep.inner);
    rn_chan_release(ch);
}

/* SEL-28: 65536 cases are accepted. */
GO_TEST(sel_28_very_many_cases)
{
    enum { MOST = 65536 };
    rn_chan(int) ready = rn_chan_make(int, 1), never = rn_chan_make(int, 0);
    rn_case *cases = calloc(MOST, sizeof(*cases));
    int value = 0;

    CHECK(cases);
    for (int i = 0; i < MOST; i++) {
        if (i % 7 != 0)
            cases[i] = rn_on_recv(never, NULL);
    }
    cases[MOST - 2] = rn_on_recv(ready, &value);
    rn_send(ready, 17);
    CHECK_EQ(rn_select_array(cases, MOST), MOST - 2);
    CHECK_EQ(value, 17);
    free(cases);
    rn_chan_release(ready);
    rn_chan_release(never);
}

static void send_after_wait(rn_send_only(int) out)
{
    test_let_run();
    rn_send(out, 18);
}

/* SEL-28: and waited for. */
GO_TEST(sel_28_very_many_cases_wait)
{
    int most = test_is_slow() ? 3000 : 65536;
    rn_chan(int) ready = rn_chan_make(int, 0);
    rn_chan(int) others[64];
    rn_case *cases = calloc((size_t)most, sizeof(*cases));
    int value = 0;

    CHECK(cases);
    for (int i = 0; i < 64; i++)
        others[i] = rn_chan_make(int, 0);
    for (int i = 0; i < most; i++)
        cases[i] = rn_on_recv(others[i % 64], NULL);
    cases[most / 2] = rn_on_recv(ready, &value);
    rn_go(send_after_wait, ready);
    CHECK_EQ(rn_select_array(cases, (size_t)most), most / 2);
    CHECK_EQ(value, 18);
    test_expect_settled(__FILE__, __LINE__);
    for (int i = 0; i < 64; i++)
        rn_chan_release(others[i]);
    rn_chan_release(ready);
    free(cases);
}

DEATH_TEST(sel_28_too_many_cases, "panic: reflect.Select: too many cases (max 65536)")
{
    rn_case *cases = calloc(65537, sizeof(*cases));

    CHECK(cases);
    (void)rn_select_array(cases, 65537);
}

/* SEL-29, D26: the position is the caller's own: nil, zero and default cases keep their numbers;
 * cases can be made in a loop, assigned and named. */
GO_TEST(sel_29_own_positions)
{
    rn_chan(int) chans[5];
    rn_case cases[6] = {{0}};
    int source[5], got = 0;
    bool ok = false;

    for (int i = 0; i < 5; i++) {
        chans[i] = i == 1 ? NULL : rn_chan_make(int, 1);
        source[i] = 10 * i;
        if (i != 2) /* number 2 stays zero */
            cases[i] = rn_on_send_from(chans[i], &source[i]);
    }
    cases[4] = rn_on_recv_ok(chans[4], &got, &ok);
    cases[5] = rn_default;
    source[3] = 31; /* read when it is sent */
    rn_send(chans[0], 0);
    CHECK_EQ(rn_select_array(cases, 6), 3);
    CHECK_EQ(rn_recv(chans[3]), 31);
    rn_send(chans[3], 0);
    cases[3] = rn_on_send_from(chans[3], &source[3]);
    cases[4] = rn_on_recv_ok(chans[4], &got, &ok);
    cases[0] = rn_on_send_from(chans[0], &source[0]);
    cases[5] = rn_default;
    CHECK_EQ(rn_select_array(cases, 6), 5);
    CHECK(got == 0 && !ok);
    rn_send(chans[4], 9);
    cases[3] = rn_on_send_from(chans[3], &source[3]);
    cases[4] = rn_on_recv_ok(chans[4], &got, &ok);
    cases[0] = rn_on_send_from(chans[0], &source[0]);
    cases[5] = rn_default;
    CHECK_EQ(rn_select_array(cases, 6), 4);
    CHECK(got == 9 && ok);
    for (int i = 0; i < 5; i++)
        rn_chan_release(chans[i]);
}

/* SEL-30: two defaults are refused. */
DEATH_TEST(sel_30_two_defaults, "panic: reflect.Select: multiple default cases")
{
    rn_case cases[2];

    cases[0] = rn_default;
    cases[1] = rn_default;
    (void)rn_select_array(cases, 2);
}

enum state { NIL, EMPTY, READY, CLOSED, STATES };

/* SEL-31: every mix of nil, waiting, ready and closed, with and without default, chooses only what
 * can proceed. (A closed send case panics, SEL-11; it is left out here.) */
GO_TEST(sel_31_every_mix)
{
    enum { N = 4, MIXES = 256 };

    for (int mix = 0; mix < MIXES; mix++) {
        for (int senders = 0; senders < 16; senders++) {
            rn_chan(int) chans[N];
            rn_case cases[N + 1];
            bool can[N], any = false;
            int value, one = 1, chosen;

            for (int i = 0; i < N; i++) {
                enum state state = (enum state)(mix >> (2 * i) & 3);
                bool sends = senders >> i & 1;

                if (sends && state == CLOSED)
                    state = EMPTY;
                chans[i] = state == NIL ? NULL : rn_chan_make(int, 1);
                if ((sends && state == EMPTY) || (!sends && state == READY))
                    rn_send(chans[i], 2); /* full for a sender, ready for a receiver */
                if (state == CLOSED)
                    rn_close(chans[i]);
                can[i] = state == READY || state == CLOSED;
                any = any || can[i];
                cases[i] = sends ? rn_on_send_from(chans[i], &one) : rn_on_recv(chans[i], &value);
            }
            cases[N] = rn_default;
            chosen = rn_select_array(cases, any && mix % 2 ? N : N + 1);
            CHECK(chosen >= 0 && chosen <= N);
            CHECK(any ? chosen < N && can[chosen] : chosen == N);
            for (int i = 0; i < N; i++)
                rn_chan_release(chans[i]);
        }
    }
}

/* Timeouts: one that is due at once comes only when nothing else can; deadlines in the past too. */
GO_TEST(sel_timeouts)
{
    rn_chan(int) never = rn_chan_make(int, 0), ready = rn_chan_make(int, 1);
    rn_time start;
    int value;

    for (int i = 0; i < 50; i++) {
        rn_send(ready, i);
        CHECK_EQ(rn_select(rn_on_timeout(0), rn_on_recv(ready, &value)), 1);
        rn_send(ready, i);
        CHECK_EQ(rn_select(rn_on_recv(ready, &value), rn_on_timeout(-5)), 0);
    }
    CHECK_EQ(rn_select(rn_on_recv(never, NULL), rn_on_timeout(0)), 1);
    CHECK_EQ(rn_select(rn_on_recv(never, NULL), rn_on_timeout(INT64_MIN)), 1);
    CHECK_EQ(rn_select(rn_on_recv(never, NULL), rn_on_deadline(rn_now() - RN_SECOND)), 1);
    CHECK_EQ(rn_select(rn_on_recv(never, NULL), rn_on_deadline(0)), 1);
    start = rn_now();
    CHECK_EQ(rn_select(rn_on_timeout(INT64_MAX), rn_on_recv(never, NULL),
                       rn_on_timeout(5 * RN_MILLISECOND), rn_on_deadline(INT64_MAX)),
             2);
    CHECK(rn_now() - start >= 5 * RN_MILLISECOND);
    start = rn_now();
    CHECK_EQ(rn_select(rn_on_deadline(start + 3 * RN_MILLISECOND), rn_on_timeout(RN_HOUR)), 0);
    CHECK(rn_now() >= start + 3 * RN_MILLISECOND);
    rn_chan_release(never);
    rn_chan_release(ready);
}

static void wait_done(rn_ctx *ctx, rn_recv_only(int) never)
{
    passed = 1 + rn_select(rn_on_recv(never, NULL), rn_on_done(ctx), rn_on_timeout(RN_HOUR));
}

/* rn_on_done: when the context ends, before and while it waits. */
GO_TEST(sel_done)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_chan(int) never = rn_chan_make(int, 0);

    CHECK_EQ(rn_select(rn_on_done(ctx), rn_default), 1);
    rn_go(wait_done, ctx, never);
    test_let_run();
    CHECK_EQ(passed, 0);
    rn_ctx_cancel(ctx);
    AWAIT(passed == 2);
    CHECK_EQ(rn_select(rn_on_recv(never, NULL), rn_on_done(ctx)), 1);
    CHECK_EQ(rn_select(rn_on_done(ctx), rn_default), 0);
    test_expect_settled(__FILE__, __LINE__);
    rn_ctx_end(ctx);
    rn_chan_release(never);
}
