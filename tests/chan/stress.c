/* SPDX-License-Identifier: MIT */
/*
 * stress.c - many goroutines on channels: nothing lost, nothing doubled, no deadlock.
 */
#include "support.h"

#include <stdlib.h>

static void send_range(rn_wg *wg, rn_send_only(int) out, int n)
{
    for (int i = 0; i < n; i++)
        rn_send(out, i);
    rn_wg_done(wg);
}

static void recv_range(rn_send_only(int *) results, rn_recv_only(int) in, int n)
{
    int *seen = calloc((size_t)n, sizeof(int));

    CHECK(seen);
    for (int i = 0; i < n; i++) {
        int value = rn_recv(in);

        CHECK(value >= 0 && value < n);
        seen[value]++;
    }
    rn_send(results, seen);
}

/* CHAN-20: 4 senders of the same numbers, 4 receivers: each number arrives 4 times. */
GO_TEST(chan_20_nothing_lost_nothing_doubled)
{
    static const int caps[] = {0, 1, 2, 10, 100};
    enum { P = 4 };
    int n = test_times(1000) * 10;

    for (size_t c = 0; c < sizeof(caps) / sizeof(caps[0]); c++) {
        rn_chan(int) ch = rn_chan_make(int, caps[c]);
        rn_chan(int *) results = rn_chan_make(int *, 0);
        int *sum = calloc((size_t)n, sizeof(int));
        rn_wg wg = {0};

        CHECK(sum);
        for (int p = 0; p < P; p++) {
            rn_wg_add(&wg, 1);
            rn_go(send_range, &wg, ch, n);
            rn_go(recv_range, results, ch, n);
        }
        rn_wg_wait(&wg);
        for (int p = 0; p < P; p++) {
            int *seen = rn_recv(results);

            for (int i = 0; i < n; i++)
                sum[i] += seen[i];
            free(seen);
        }
        for (int i = 0; i < n; i++)
            CHECK_EQ(sum[i], P);
        CHECK(!rn_try_recv(ch, NULL));
        free(sum);
        test_expect_settled(__FILE__, __LINE__);
        rn_chan_release(ch);
        rn_chan_release(results);
    }
}

static void forward(rn_recv_only(int) queue, rn_send_only(int) results)
{
    rn_range (value, queue)
        rn_send(results, value);
}

static void feed(rn_send_only(int) queue, int n, _Atomic long *sent)
{
    for (int i = 0; i < n; i++) {
        int value = i * 3 % 1000;

        *sent += value;
        rn_send(queue, value);
    }
    rn_close(queue);
}

static void close_after(rn_wg *wg, rn_send_only(int) out)
{
    rn_wg_wait(wg);
    rn_close(out);
}

/* CHAN-21, CHAN-35: 23 workers range over one queue; a closer ends the results after all of them. */
GO_TEST(chan_21_many_consumers)
{
    int n = test_times(271828);
    rn_chan(int) queue = rn_chan_make(int, 23 * 3);
    rn_chan(int) results = rn_chan_make(int, 23 * 3);
    _Atomic long sent = 0;
    long received = 0;
    int count = 0;
    rn_wg wg = {0};

    for (int i = 0; i < 23; i++)
        rn_wg_go(&wg, forward, queue, results);
    rn_go(close_after, &wg, results);
    rn_go(feed, queue, n, &sent);
    rn_range (value, results) {
        received += value;
        count++;
    }
    CHECK_EQ(count, n);
    CHECK_EQ(received, sent);
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(queue);
    rn_chan_release(results);
}

static _Atomic int inside;

static void enter_and_leave(rn_chan(rn_unit) sem, int limit)
{
    rn_send(sem, RN_UNIT);
    CHECK(++inside <= limit);
    rn_yield();
    inside--;
    (void)rn_recv(sem);
}

/* CHAN-42: a channel of capacity C lets at most C holders in. */
GO_TEST(chan_42_semaphore)
{
    for (int limit = 1; limit <= 3; limit++) {
        rn_chan(rn_unit) sem = rn_chan_make(rn_unit, limit);
        rn_wg wg = {0};

        for (int i = 0; i < test_times(3000); i++)
            rn_wg_go(&wg, enter_and_leave, sem, limit);
        rn_wg_wait(&wg);
        CHECK_EQ(inside, 0);
        CHECK_EQ(rn_len(sem), 0);
        test_expect_settled(__FILE__, __LINE__);
        rn_chan_release(sem);
    }
}

static void must_receive(rn_recv_only(int) in, rn_wg *wg)
{
    bool ok = false;
    int value = 0;

    switch (rn_select(rn_on_recv_ok(in, &value, &ok), rn_default)) {
    case 0:
        CHECK(ok && value == 1);
        break;
    default:
        FAIL("the default branch, although a value was there");
    }
    rn_wg_done(wg);
}

static void must_try_receive(rn_recv_only(int) in, rn_wg *wg)
{
    CHECK(rn_try_recv(in, NULL));
    rn_wg_done(wg);
}

/* CHAN-43, F6: a receive that does not wait, racing with close, finds the value that was there. */
GO_TEST(chan_43_try_receive_against_close)
{
    for (int i = 0; i < test_times(100000); i++) {
        rn_chan(int) ch = rn_chan_make(int, 1);
        rn_wg wg = {0};

        rn_send(ch, 1);
        rn_wg_add(&wg, 1);
        if (i % 2 == 0)
            rn_go(must_receive, ch, &wg);
        else
            rn_go(must_try_receive, ch, &wg);
        rn_close(ch);
        rn_wg_wait(&wg);
        rn_chan_release(ch);
    }
}

static void pass_on(rn_recv_only(int) right, rn_send_only(int) left)
{
    rn_send(left, rn_recv(right) + 1);
}

/* CHAN-44: a daisy chain of 10000 goroutines and channels; all of them end. */
GO_TEST(chan_44_daisy_chain)
{
    int n = test_times(10000);
    rn_chan(int) *chain = malloc(((size_t)n + 1) * sizeof(*chain));

    CHECK(chain);
    chain[0] = rn_chan_make(int, 0);
    for (int i = 0; i < n; i++) {
        chain[i + 1] = rn_chan_make(int, 0);
        rn_go(pass_on, chain[i + 1], chain[i]);
    }
    rn_send(chain[n], 0);
    CHECK_EQ(rn_recv(chain[0]), n);
    test_expect_settled(__FILE__, __LINE__);
    for (int i = 0; i <= n; i++)
        rn_chan_release(chain[i]);
    free(chain);
}

/* ---- The prime sieve -------------------------------------------------------------------------- */

static void count_up(rn_ctx *ctx, rn_send_only(int) out)
{
    for (int i = 2;; i++) {
        if (rn_send_ctx(ctx, out, i) != 0)
            return;
    }
}

static void count_up_select(rn_ctx *ctx, rn_send_only(int) out)
{
    for (int i = 2;; i++) {
        if (rn_select(rn_on_done(ctx), rn_on_send(out, i)) == 0)
            return;
    }
}

static void filter(rn_ctx *ctx, rn_recv_only(int) in, rn_send_only(int) out, int prime)
{
    for (;;) {
        int i;

        if (rn_recv_ctx(ctx, in, &i) != 0)
            return;
        if (i % prime != 0 && rn_send_ctx(ctx, out, i) != 0)
            return;
    }
}

static void filter_select(rn_ctx *ctx, rn_recv_only(int) in, rn_send_only(int) out, int prime)
{
    for (;;) {
        int i;

        if (rn_select(rn_on_recv(in, &i), rn_on_done(ctx)) == 1)
            return;
        if (i % prime != 0 && rn_select(rn_on_done(ctx), rn_on_send(out, i)) == 0)
            return;
    }
}

static bool is_prime(int n)
{
    for (int d = 2; d * d <= n; d++) {
        if (n % d == 0)
            return false;
    }
    return n > 1;
}

static void sieve(bool with_select)
{
    enum { MOST = 200 };
    int n = test_is_slow() ? 25 : MOST, expected = 2;
    rn_chan(int) chans[MOST + 1];
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());

    chans[0] = rn_chan_make(int, 0);
    rn_go(with_select ? count_up_select : count_up, ctx, chans[0]);
    for (int k = 0; k < n; k++) {
        int prime = rn_recv(chans[k]);

        while (!is_prime(expected))
            expected++;
        CHECK_EQ(prime, expected);
        expected++;
        chans[k + 1] = rn_chan_make(int, 0);
        rn_go(with_select ? filter_select : filter, ctx, chans[k], chans[k + 1], prime);
    }
    rn_ctx_cancel(ctx);
    test_expect_settled(__FILE__, __LINE__);
    rn_ctx_end(ctx);
    for (int k = 0; k <= n; k++)
        rn_chan_release(chans[k]);
}

/* CHAN-45: the sieve of one goroutine and one channel for each prime. */
GO_TEST(chan_45_prime_sieve)
{
    sieve(false);
}

/* CHAN-45: with each operation in a select. */
GO_TEST(chan_45_prime_sieve_select)
{
    sieve(true);
}

/* ---- Power series, produced on demand ---------------------------------------------------------
 * A series is a goroutine that answers each request with its next coefficient, a fraction. */

struct fraction {
    int64_t num, den;
};

struct series {
    rn_chan(rn_unit) request;
    rn_chan(struct fraction) answer;
};

enum { SERIES_MAX = 512 };
static struct series *all_series[SERIES_MAX];
static _Atomic int series_made;
static rn_ctx *series_ctx;

static struct fraction fraction(int64_t num, int64_t den)
{
    int64_t a = num < 0 ? -num : num, b = den;

    while (b != 0) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return (struct fraction){num / a, den / a};
}

static struct fraction add(struct fraction a, struct fraction b)
{
    return fraction(a.num * b.den + b.num * a.den, a.den * b.den);
}

static struct fraction mul(struct fraction a, struct fraction b)
{
    return fraction(a.num * b.num, a.den * b.den);
}

static struct series *series_new(void)
{
    struct series *s = malloc(sizeof(*s));
    int i = series_made++;

    CHECK(s && i < SERIES_MAX);
    s->request = rn_chan_make(rn_unit, 0);
    s->answer = rn_chan_make(struct fraction, 0);
    all_series[i] = s;
    return s;
}

/* False when the test is over. */
static bool next_of(struct series *s, struct fraction *f)
{
    return rn_send_ctx(series_ctx, s->request, RN_UNIT) == 0 &&
           rn_recv_ctx(series_ctx, s->answer, f) == 0;
}

static bool asked(struct series *s)
{
    return rn_recv_ctx(series_ctx, s->request, NULL) == 0;
}

static bool answer(struct series *s, struct fraction f)
{
    return rn_select(rn_on_done(series_ctx), rn_on_send(s->answer, f)) == 1;
}

/* Both copies get every coefficient of s, each at its own pace. While s is asked for one, the other
 * copy is served from what is there: s itself may be computed from it. */
static void split_loop(struct series *s, struct series *one, struct series *two)
{
    struct series *copy[2] = {one, two};
    struct fraction ahead[32];
    bool waits[2] = {false, false}, fetching = false;
    int taken[2] = {0, 0}, made = 0;

    for (;;) {
        /* A nil channel is a case that never comes. */
        int who = rn_select(rn_on_recv(waits[0] ? NULL : one->request, NULL),
                            rn_on_recv(waits[1] ? NULL : two->request, NULL),
                            rn_on_recv(fetching ? s->answer : NULL, &ahead[made]),
                            rn_on_done(series_ctx));

        if (who == 3)
            return;
        if (who == 2) {
            fetching = false;
            made++;
        } else {
            waits[who] = true;
        }
        for (int i = 0; i < 2; i++) {
            if (!waits[i])
                continue;
            if (taken[i] < made) {
                waits[i] = false;
                if (!answer(copy[i], ahead[taken[i]++]))
                    return;
            } else if (!fetching) {
                CHECK(made < 32);
                fetching = true;
                if (rn_send_ctx(series_ctx, s->request, RN_UNIT) != 0)
                    return;
            }
        }
    }
}

static void split(struct series *s, struct series **one, struct series **two)
{
    *one = series_new();
    *two = series_new();
    rn_go(split_loop, s, *one, *two);
}

static void scale_loop(struct series *s, struct series *f, struct fraction c)
{
    struct fraction a;

    while (asked(s) && next_of(f, &a) && answer(s, mul(a, c)))
        ;
}

static struct series *scaled(struct series *f, struct fraction c)
{
    struct series *s = series_new();

    rn_go(scale_loop, s, f, c);
    return s;
}

/* The integral of f from 0, plus c. */
static void integral_loop(struct series *s, struct series *f, struct fraction c)
{
    struct fraction a;

    if (!asked(s) || !answer(s, c))
        return;
    for (int64_t n = 1; asked(s) && next_of(f, &a); n++) {
        if (!answer(s, mul(a, fraction(1, n))))
            return;
    }
}

static struct series *product(struct series *f, struct series *g);

/* (f0 + x*F) * (g0 + x*G) = f0*g0 + x*(f0*G + g0*F) + x*x*F*G */
static void product_loop(struct series *s, struct series *f, struct series *g)
{
    struct fraction f0, g0, a, b, c;
    struct series *f1, *f2, *g1, *g2, *left, *right, *rest;

    if (!asked(s) || !next_of(f, &f0) || !next_of(g, &g0) || !answer(s, mul(f0, g0)) || !asked(s))
        return;
    split(f, &f1, &f2);
    split(g, &g1, &g2);
    left = scaled(f1, g0);
    right = scaled(g1, f0);
    rest = product(f2, g2);
    if (!next_of(left, &a) || !next_of(right, &b) || !answer(s, add(a, b)))
        return;
    while (asked(s) && next_of(left, &a) && next_of(right, &b) && next_of(rest, &c) &&
           answer(s, add(add(a, b), c)))
        ;
}

static struct series *product(struct series *f, struct series *g)
{
    struct series *s = series_new();

    rn_go(product_loop, s, f, g);
    return s;
}

/* exp(x) = 1 + the integral of exp(x): a series made from itself. */
static struct series *exponential(void)
{
    struct series *s = series_new(), *result, *itself;

    split(s, &result, &itself);
    rn_go(integral_loop, s, itself, fraction(1, 1));
    return result;
}

static void check_exponential(struct series *s, int64_t base)
{
    struct fraction expected = {1, 1}, got;

    for (int64_t n = 1; n <= 10; n++) {
        CHECK(next_of(s, &got));
        CHECK_EQ(got.num, expected.num);
        CHECK_EQ(got.den, expected.den);
        expected = mul(expected, fraction(base, n));
    }
}

/* CHAN-46: exact coefficients out of a network of small channels, requests and selects. */
GO_TEST(chan_46_power_series)
{
    series_ctx = rn_ctx_with_cancel(rn_ctx_background());
    check_exponential(exponential(), 1);
    check_exponential(product(exponential(), exponential()), 2); /* exp(x)*exp(x) = exp(2x) */
    rn_ctx_cancel(series_ctx);
    test_expect_settled(__FILE__, __LINE__);
    for (int i = 0; i < series_made; i++) {
        rn_chan_release(all_series[i]->request);
        rn_chan_release(all_series[i]->answer);
        free(all_series[i]);
    }
    rn_ctx_end(series_ctx);
}

static void query(rn_chan(int) ch, int cap, _Atomic bool *stop)
{
    while (!*stop) {
        CHECK(rn_len(ch) <= (size_t)cap);
        CHECK_EQ(rn_cap(ch), cap);
        rn_yield();
    }
}

/* CHAN-47: length and capacity may be asked while others send, receive and close. */
GO_TEST(chan_47_queries_at_any_time)
{
    for (int round = 0; round < test_times(200); round++) {
        int cap = round % 3, n = 0;
        rn_chan(int) ch = rn_chan_make(int, cap);
        _Atomic bool stop = false;
        _Atomic long sent = 0;

        rn_go(query, ch, cap, &stop);
        rn_go(query, ch, cap, &stop);
        rn_go(feed, ch, 200, &sent);
        rn_range (value, ch)
            n += value >= 0;
        CHECK_EQ(n, 200);
        stop = true;
        test_expect_settled(__FILE__, __LINE__);
        rn_chan_release(ch);
    }
}

static void try_both(rn_chan(int) ch, int n, _Atomic long *balance)
{
    for (int i = 0; i < n; i++) {
        int value = 0;

        if (rn_try_send(ch, i))
            *balance += i;
        else if (rn_try_recv(ch, &value))
            *balance -= value;
        if (i % 16 == 0)
            rn_yield();
    }
}

/* CHAN-13, CHAN-14 under load: tries of many goroutines lose and double nothing. */
GO_TEST(chan_tries_under_load)
{
    for (int cap = 0; cap < 4; cap++) {
        rn_chan(int) ch = rn_chan_make(int, cap);
        _Atomic long balance = 0;
        rn_wg wg = {0};
        int value;

        for (int i = 0; i < 8; i++)
            rn_wg_go(&wg, try_both, ch, test_times(20000), &balance);
        rn_wg_wait(&wg);
        while (rn_try_recv(ch, &value))
            balance -= value;
        CHECK_EQ(balance, 0);
        test_expect_settled(__FILE__, __LINE__);
        rn_chan_release(ch);
    }
}
