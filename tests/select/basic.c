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

enum { CASES = 6 };

/* Even ones receive, odd ones send 1; the default, if there is one, stands before case number at. */
static size_t make_cases(rn_case *cases, rn_chan(int) * chans, int *values, int *one, int at)
{
    size_t n = 0;

    for (int i = 0; i <= CASES; i++) {
        if (i == at)
            cases[n++] = rn_default;
        if (i < CASES)
            cases[n++] = i % 2 == 0 ? rn_on_recv(chans[i], &values[i])
                                    : rn_on_send_from(chans[i], one);
    }
    return n;
}

/* SEL-05, SEL-06: the only case that can proceed is chosen, and takes effect, wherever it and the default stand; the
 * default only if none can. */
GO_TEST(sel_05_06_the_only_ready_case)
{
    for (int ready = 0; ready < CASES; ready++) {
        for (int closed = 0; closed < 2; closed++) {
            for (int at = -1; at <= CASES; at++) { /* -1: no default */
                bool sends = ready % 2 != 0;
                rn_chan(int) chans[CASES];
                rn_case cases[CASES + 1];
                int values[CASES], one = 1;
                size_t n;

                for (int i = 0; i < CASES; i++) {
                    chans[i] = rn_chan_make(int, 1);
                    values[i] = -1;
                    if (i % 2 != 0)
                        rn_send(chans[i], 0); /* full */
                }
                if (at >= 0) {
                    n = make_cases(cases, chans, values, &one, at);
                    CHECK_EQ(rn_select_array(cases, n), at);
                }
                if (sends)
                    CHECK_EQ(rn_recv(chans[ready]), 0);
                else if (closed)
                    rn_close(chans[ready]);
                else
                    rn_send(chans[ready], 5);
                n = make_cases(cases, chans, values, &one, at); /* a used case is made anew */
                CHECK_EQ(rn_select_array(cases, n), ready + (at >= 0 && at <= ready));
                for (int i = 0; i < CASES; i++) {
                    CHECK_EQ(values[i], i != ready || sends ? -1 : closed ? 0 : 5);
                    CHECK_EQ(rn_len(chans[i]), i % 2);
                    if (i % 2 != 0)
                        CHECK_EQ(rn_recv(chans[i]), i == ready);
                    rn_chan_release(chans[i]);
                }
            }
        }
    }
}

/* SEL-06: in a list, too, the default may stand anywhere, and be the first of two. */
GO_TEST(sel_06_default_in_a_list)
{
    rn_chan(int) ready = rn_chan_make(int, 1), never = rn_chan_make(int, 0);
    int value = 0;

    CHECK_EQ(rn_select(rn_default, rn_on_recv(never, &value)), 0);
    CHECK_EQ(rn_select(rn_default, rn_on_send(never, 1)), 0);
    CHECK_EQ(rn_select(rn_on_recv(never, &value), rn_default, rn_on_send(never, 1)), 1);
    for (int i = 1; i <= 20; i++) {
        CHECK_EQ(rn_select(rn_default, rn_on_send(ready, i)), 1);
        CHECK_EQ(rn_select(rn_default, rn_on_recv(ready, &value)), 1);
        CHECK_EQ(value, i);
        CHECK_EQ(rn_select(rn_on_recv(never, NULL), rn_default, rn_on_send(ready, i)), 2);
        CHECK_EQ(rn_select(rn_on_recv(never, NULL), rn_default, rn_on_recv(ready, NULL)), 2);
    }
    rn_chan_release(ready);
    rn_chan_release(never);
}

static _Atomic int passed;

static _Atomic int got_value;

static void select_two(rn_chan(int) a, rn_chan(int) b)
{
    int value = -1, at = rn_select(rn_on_recv(a, &value), rn_on_send(b, 5));

    got_value = value;
    passed = 1 + at;
}

/* SEL-07: without default it waits until a case can proceed: a send, a receive, a close. */
GO_TEST(sel_07_waits)
{
    for (int way = 0; way < 3; way++) {
        rn_chan(int) a = rn_chan_make(int, 0), b = rn_chan_make(int, 0);
        uint64_t before = test_waits();

        passed = 0;
        rn_go(select_two, a, b);
        AWAIT(test_waits() == before + 1);
        CHECK_EQ(passed, 0);
        if (way == 0)
            rn_send(a, 8);
        else if (way == 1)
            CHECK_EQ(rn_recv(b), 5);
        else
            rn_close(a);
        AWAIT(passed != 0);
        CHECK_EQ(passed, way == 1 ? 2 : 1);
        CHECK_EQ(got_value, way == 0 ? 8 : way == 1 ? -1 : 0);
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
        uint64_t before = test_waits();

        rn_go(wait_for_ever, way, self);
        AWAIT(test_waits() == before + 1);
        test_let_run();
        CHECK_EQ(passed, 0);
        CHECK_EQ(test_waits(), before + 1);
    }
    CHECK_EQ(rn_count(), 5);
}

/* SEL-08: with nothing but a default it returns at once. */
GO_TEST(sel_08_only_default)
{
    rn_case one = rn_default;

    CHECK_EQ(rn_select(rn_default), 0);
    CHECK_EQ(rn_select_array(&one, 1), 0);
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
    uint64_t before = test_waits();

    rn_go(select_send, never, ch);
    AWAIT(test_waits() == before + 1);
    rn_close(ch);
    (void)rn_recv(never);
}

/* Sends 0 to n - 1 in one of three ways: a plain send, a select of one case, a select of two. */
static void send_n(rn_send_only(int) out, int n, int way)
{
    for (int i = 0; i < n; i++) {
        if (way == 0)
            rn_send(out, i);
        else if (way == 1)
            CHECK_EQ(rn_select(rn_on_send(out, i)), 0);
        else
            CHECK_EQ(rn_select(rn_on_recv((rn_chan(int))NULL, NULL), rn_on_send(out, i)), 1);
    }
}

/* SEL-22, SEL-23, CHAN-25: one case is the plain operation, one case and default the try; the value
 * may be discarded, from every kind of sender. */
GO_TEST(sel_22_23_small_selects)
{
    for (int round = 0; round < 9; round++) {
        int cap = round / 3;
        rn_chan(int) ch = rn_chan_make(int, cap), nil = NULL;
        int value = -1;

        CHECK_EQ(rn_select(rn_on_recv(ch, &value), rn_default), 1);
        CHECK_EQ(value, -1);
        rn_go(send_n, ch, 20, round % 3);
        if (cap == 1)
            test_let_run();
        for (int i = 0; i < 20; i += 5) {
            CHECK_EQ(rn_select(rn_on_recv(ch, &value)), 0);
            CHECK_EQ(value, i);
            CHECK_EQ(rn_select(rn_on_recv(ch, NULL)), 0);
            CHECK_EQ(rn_select(rn_on_recv(nil, NULL), rn_on_recv(ch, NULL)), 1);
            AWAIT(rn_select(rn_on_recv(ch, &value), rn_default) == 0);
            CHECK_EQ(value, i + 3);
            CHECK(rn_recv_ok(ch, NULL));
        }
        test_expect_settled(__FILE__, __LINE__);
        for (int i = 0; i < cap; i++)
            CHECK_EQ(rn_select(rn_on_send(ch, i)), 0);
        CHECK_EQ(rn_select(rn_on_send(ch, 1), rn_default), 1);
        CHECK_EQ(rn_len(ch), cap);
        for (int i = 0; i < cap; i++)
            CHECK_EQ(rn_recv(ch), i);
        CHECK_EQ(rn_select(rn_on_recv(ch, &value), rn_default), 1);
        rn_chan_release(ch);
    }
}

static void expect_two(rn_recv_only(int) in)
{
    CHECK_EQ(rn_recv(in), 1);
    CHECK_EQ(rn_recv(in), 2);
}

/* SEL-22: one case that sends waits as the plain send does, and with a default it finds who waits as the try does. */
GO_TEST(sel_22_small_selects_send)
{
    rn_chan(int) ch = rn_chan_make(int, 0);
    uint64_t before = test_waits();

    rn_go(send_n, ch, 1, 1);
    AWAIT(test_waits() == before + 1);
    CHECK_EQ(rn_recv(ch), 0);
    test_expect_settled(__FILE__, __LINE__);

    before = test_waits();
    rn_go(expect_two, ch);
    AWAIT(test_waits() == before + 1);
    CHECK_EQ(rn_select(rn_on_send(ch, 1), rn_default), 0);
    AWAIT(test_waits() == before + 2);
    CHECK_EQ(rn_select(rn_on_send(ch, 2)), 0);
    test_expect_settled(__FILE__, __LINE__);
    CHECK_EQ(rn_select(rn_on_send(ch, 3), rn_default), 1);
    rn_chan_release(ch);
}

static int select_of(int cases, rn_recv_only(int) ready)
{
    rn_chan(int) nil = NULL;

    switch (cases) {
    case 1:
        return rn_select(rn_on_recv(ready, NULL));
    case 2:
        return rn_select(rn_on_recv(ready, NULL), rn_on_send(nil, 1));
    default:
        return rn_select(rn_on_recv(ready, NULL), rn_on_send(nil, 1), rn_default);
    }
}

/* SEL-24: break, continue and return inside a case mean what they always do. */
static int leave_loops(int cases, rn_recv_only(int) ready)
{
    int rounds = 0;

    for (int i = 0; i < 10; i++) {
        switch (select_of(cases, ready)) {
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
    int rounds = 0;

    rn_close(ready);
    for (int cases = 1; cases <= 3; cases++)
        CHECK_EQ(leave_loops(cases, ready), 6);
    for (int i = 0; i < 10; i++) { /* written out, as programs do */
        switch (rn_select(rn_on_recv(ready, NULL), rn_default)) {
        case 0:
            break;
        default:
            i = 100;
            break;
        }
        rounds++;
    }
    CHECK_EQ(rounds, 10);
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
    int source[5], got = 77;
    bool ok = true;

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
    CHECK(got == 77 && ok); /* a value and ok come of receives alone */
    CHECK_EQ(rn_recv(chans[3]), 31);
    rn_send(chans[3], 0);
    cases[3] = rn_on_send_from(chans[3], &source[3]);
    cases[4] = rn_on_recv_ok(chans[4], &got, &ok);
    cases[0] = rn_on_send_from(chans[0], &source[0]);
    cases[5] = rn_default;
    CHECK_EQ(rn_select_array(cases, 6), 5);
    CHECK(got == 77 && ok);
    ok = false;
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

enum state { NIL, WAITS, READY, CLOSED };
enum { MIX = 4 };

struct mix {
    rn_chan(int) chans[MIX];
    rn_case cases[MIX + 1];
    bool sends[MIX], can[MIX], any;
    enum state state[MIX];
    int values[MIX], one;
    bool oks[MIX];
};

/* Four cases, each in one of the four states, two bits each, and each to receive or to send. (A closed send case
 * panics, SEL-11; it is made a waiting one.) */
static void mix_make(struct mix *m, int states, int senders)
{
    m->one = 1;
    m->any = false;
    for (int i = 0; i < MIX; i++) {
        m->sends[i] = senders >> i & 1;
        m->state[i] = (enum state)(states >> (2 * i) & 3);
        if (m->sends[i] && m->state[i] == CLOSED)
            m->state[i] = WAITS;
        m->chans[i] = m->state[i] == NIL ? NULL : rn_chan_make(int, 1);
        if (m->sends[i] ? m->state[i] == WAITS : m->state[i] == READY)
            rn_send(m->chans[i], 2); /* full for a sender, ready for a receiver */
        if (m->state[i] == CLOSED)
            rn_close(m->chans[i]);
        m->can[i] = m->state[i] >= READY;
        m->any = m->any || m->can[i];
        m->values[i] = 7;
        m->oks[i] = true;
        m->cases[i] = m->sends[i] ? rn_on_send_from(m->chans[i], &m->one)
                                  : rn_on_recv_ok(m->chans[i], &m->values[i], &m->oks[i]);
    }
}

/* The chosen case took effect, and no other one did. */
static void mix_check(struct mix *m, int chosen)
{
    for (int i = 0; i < MIX; i++) {
        bool received = i == chosen && !m->sends[i], closed = m->state[i] == CLOSED;
        bool full = m->sends[i] ? m->state[i] == WAITS || i == chosen
                                : m->state[i] == READY && i != chosen;

        CHECK_EQ(m->values[i], !received ? 7 : closed ? 0 : 2);
        CHECK_EQ(m->oks[i], !received || !closed);
        CHECK_EQ(rn_len(m->chans[i]), full);
        if (full)
            CHECK_EQ(rn_recv(m->chans[i]), m->sends[i] && i == chosen ? 1 : 2);
        rn_chan_release(m->chans[i]);
    }
}

static void mix_wait(struct mix *m)
{
    passed = 1 + rn_select_array(m->cases, MIX + 1);
}

/* SEL-31: every mix of nil, waiting, ready and closed, with default and without, chooses only what can proceed, does
 * just that, and waits only if nothing can. */
GO_TEST_PROCS(sel_31_every_mix, 1)
{
    int skip = test_is_slow() ? 7 : 1; /* odd: every state and every sender comes */

    for (int n = 0; n < 256 * 16; n += skip) {
        struct mix m;
        int chosen;

        mix_make(&m, n >> 4, n & 15);
        m.cases[MIX] = rn_default;
        chosen = rn_select_array(m.cases, MIX + 1);
        CHECK(m.any ? chosen >= 0 && chosen < MIX && m.can[chosen] : chosen == MIX);
        mix_check(&m, chosen);

        mix_make(&m, n >> 4, n & 15);
        if (m.any) {
            chosen = rn_select_array(m.cases, MIX);
            CHECK(chosen >= 0 && chosen < MIX && m.can[chosen]);
        } else {
            rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
            uint64_t before = test_waits();

            m.cases[MIX] = rn_on_done(ctx);
            passed = 0;
            rn_go(mix_wait, &m);
            AWAIT(test_waits() == before + 1);
            rn_yield();
            CHECK_EQ(passed, 0);
            rn_ctx_cancel(ctx);
            AWAIT(passed == MIX + 1);
            test_expect_settled(__FILE__, __LINE__);
            rn_ctx_end(ctx);
            chosen = MIX;
        }
        mix_check(&m, chosen);
    }
}

/* Timeouts: one that is due at once comes only when nothing else can. SEL-06: a deadline in the past is ready. */
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
    CHECK_EQ(rn_select(rn_on_deadline(0), rn_default),
             0); /* it can proceed, so the default is not taken */
    CHECK_EQ(rn_select(rn_on_recv(never, NULL), rn_default, rn_on_deadline(rn_now())), 2);
    CHECK_EQ(rn_select(rn_on_deadline(rn_now() + RN_HOUR), rn_default), 1);
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
