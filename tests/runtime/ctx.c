/* SPDX-License-Identifier: MIT */
/*
 * ctx.c - contexts: CTX-01 to CTX-41 and decision 8. What has no case in C stands in
 * tests/conformance/exceptions.txt.
 */
#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static char key_a, key_b;

static bool is_done(rn_ctx *ctx)
{
    bool ok = true;

    return rn_try_recv_ok(rn_ctx_done(ctx), NULL, &ok) && !ok;
}

/* Done, with this error and this cause, and for ever so. */
static void ended(rn_ctx *ctx, int err, int cause)
{
    CHECK(is_done(ctx));
    CHECK_EQ(rn_ctx_err(ctx), err);
    CHECK_EQ(rn_ctx_cause(ctx), cause);
}

static void open_still(rn_ctx *ctx)
{
    CHECK(!is_done(ctx));
    CHECK_EQ(rn_ctx_err(ctx), 0);
    CHECK_EQ(rn_ctx_cause(ctx), 0);
}

GO_TEST(ctx_01_background_is_never_done)
{
    rn_ctx *bg = rn_ctx_background();
    rn_ctx *both[] = {bg, NULL};

    CHECK(bg != NULL);
    CHECK(rn_ctx_background() == bg);
    for (int i = 0; i < 2; i++) {
        rn_ctx *ctx = both[i];
        rn_time t = 7;
        rn_case zero[2] = {rn_on_done(ctx), rn_default};

        CHECK(rn_ctx_done(ctx) == NULL);
        CHECK_EQ(rn_ctx_err(ctx), 0);
        CHECK_EQ(rn_ctx_cause(ctx), 0);
        CHECK(!rn_ctx_deadline(ctx, &t));
        CHECK(!rn_ctx_deadline(ctx, NULL));
        CHECK(rn_ctx_value(ctx, &key_a) == NULL);
        CHECK_EQ(rn_select_array(zero, 2), 1);
        rn_ctx_retain(ctx);
        rn_ctx_release(ctx);
        rn_ctx_release(ctx);
        rn_ctx_cancel(ctx);
        rn_ctx_cancel_cause(ctx, -EIO);
        rn_ctx_end(ctx);
        CHECK_EQ(rn_ctx_err(ctx), 0);
    }
}

GO_TEST(ctx_09_19_nothing_stays_of_ended_contexts)
{
    rn_ctx *parent = rn_ctx_with_cancel(rn_ctx_background());
    long before = 0;

    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < test_times(100000); i++) {
            rn_ctx *a = rn_ctx_with_cancel(parent);
            rn_ctx *b = rn_ctx_with_timeout(parent, RN_HOUR);

            (void)rn_ctx_done(a);
            rn_ctx_end(a);
            rn_ctx_end(b);
        }
        if (round == 0)
            before = rss_kib();
    }
    if (!UNDER_ASAN && !UNDER_TSAN) /* their quarantines grow */
        CHECK(rss_kib() - before < 8 * 1024);
    rn_ctx_end(parent);
}

/* The last release ends it for who waits for that, and touches nothing of it afterwards. */
static void wait_for_end(rn_recv_only(rn_unit) done, rn_chan(int) ended)
{
    rn_unit u;

    CHECK(!rn_recv_ok(done, &u));
    rn_send(ended, 1);
}
GO_TEST(ctx_09_the_last_release_ends_it_for_who_waits)
{
    rn_chan(int) ended = rn_chan_make(int, 0);

    for (int kind = 0; kind < 3; kind++) {
        rn_ctx *parent = rn_ctx_with_cancel(rn_ctx_background());
        rn_ctx *ctx = kind == 0   ? rn_ctx_with_cancel(rn_ctx_background())
                      : kind == 1 ? rn_ctx_with_cancel(parent)
                                  : rn_ctx_with_timeout(parent, RN_HOUR);

        rn_go(wait_for_end, rn_ctx_done(ctx), ended);
        AWAIT(test_parked() == 1);
        rn_ctx_release(ctx);
        CHECK_EQ(rn_recv(ended), 1);
        rn_ctx_release(parent);
    }
    rn_chan_release(ended);
}

GO_TEST(ctx_03_a_fresh_context_is_open)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());

    CHECK(rn_ctx_done(ctx) != NULL);
    CHECK_EQ(rn_len(rn_ctx_done(ctx)), 0);
    rn_chan_release(rn_chan_retain(rn_ctx_done(ctx))); /* it is ctx's, and not counted */
    rn_chan_release(rn_ctx_done(ctx));
    open_still(ctx);
    rn_ctx_end(ctx);
}

GO_TEST(ctx_04_10_13_cancel_is_synchronous_for_descendants)
{
    for (int way = 0; way < 2; way++) { /* without a cause, and with one */
        rn_ctx *root = rn_ctx_with_cancel(rn_ctx_background());
        rn_ctx *all[40];
        size_t n = 0;

        all[n++] = root;
        for (size_t i = 0; n + 4 <= 40; i++) {
            all[n++] = rn_ctx_with_cancel(all[i]);
            all[n++] = rn_ctx_with_value(all[i], &key_a, "v");
            all[n++] = rn_ctx_with_timeout(all[i], RN_HOUR);
            all[n++] = rn_ctx_with_cancel_cause(all[i]);
        }
        for (size_t i = 0; i < n; i++)
            open_still(all[i]);
        rn_ctx_cancel_cause(root, way ? -EIO : 0);
        for (size_t i = 0; i < n; i++)
            ended(all[i], -ECANCELED, way ? -EIO : -ECANCELED);
        for (size_t i = 0; i < n; i++)
            rn_ctx_end(all[i]);
    }
}

static void child_implies_parent(rn_ctx *parent, rn_ctx *child)
{
    for (int i = 0; !is_done(child); i++) {
        if (i % 200 == 199)
            rn_yield();
    }
    ended(parent, -ECANCELED, -EIO);
}

static void has_ended(rn_ctx *ctx)
{
    ended(ctx, -ECANCELED, -EIO);
}

/* CTX-13, CTX-38: a context has ended, with error and cause, before any of its descendants has, and before an
 * after-function runs. It has so many that one of them would be seen before it for a while. */
GO_TEST_PROCS(ctx_13_the_parent_ends_first, 4)
{
    enum { N = 100 };

    for (int round = 0; round < test_times(1000); round++) {
        rn_ctx *parent = rn_ctx_with_cancel(rn_ctx_background()), *child[N];
        rn_ctx_hook hook = {0};
        rn_wg wg = {0};

        rn_ctx_after_func(&hook, parent, has_ended, parent);
        for (int i = 0; i < N; i++)
            child[i] = rn_ctx_with_cancel(i % 2 ? child[i - 1] : parent);
        rn_wg_go(&wg, child_implies_parent, parent, child[0]);
        rn_wg_go(&wg, child_implies_parent, parent, child[N - 2]);
        rn_wg_go(&wg, child_implies_parent, child[0], child[1]);
        for (int i = 0; i < round % 8; i++)
            rn_yield();
        rn_ctx_cancel_cause(parent, -EIO);
        rn_wg_wait(&wg);
        CHECK(!rn_ctx_hook_stop(&hook));
        for (int i = 0; i < N; i++)
            rn_ctx_end(child[i]);
        rn_ctx_end(parent);
    }
}

static void take_done(rn_ctx *ctx, rn_recv_only(rn_unit) want, _Atomic int *same)
{
    for (int i = 0; i < 100; i++)
        *same += rn_ctx_done(ctx) == want;
}

static void take_first_done(rn_ctx *ctx, rn_recv_only(rn_unit) * slot)
{
    *slot = rn_ctx_done(ctx);
}

GO_TEST(ctx_05_done_is_one_channel)
{
    for (int round = 0; round < test_times(500); round++) {
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
        rn_recv_only(rn_unit) first[4];
        _Atomic int same = 0;
        rn_wg wg = {0};

        for (int i = 0; i < 4; i++)
            rn_wg_go(&wg, take_first_done, ctx, &first[i]);
        rn_wg_wait(&wg);
        for (int i = 0; i < 4; i++) {
            CHECK(first[i] != NULL);
            CHECK(first[i] == first[0]);
        }
        rn_wg_go(&wg, take_done, ctx, first[0], &same);
        rn_ctx_cancel(ctx);
        rn_wg_wait(&wg);
        CHECK_EQ(same, 100);
        CHECK(rn_ctx_done(ctx) == first[0]);
        CHECK_EQ(rn_ctx_err(ctx), -ECANCELED);
        CHECK_EQ(rn_ctx_err(ctx), -ECANCELED);
        rn_ctx_end(ctx);
    }
    for (int way = 0; way < 2; way++) { /* the deadline stays too, after either end */
        rn_time deadline, t = 0;
        rn_ctx *ctx = rn_ctx_with_timeout(rn_ctx_background(), way ? RN_MILLISECOND : RN_HOUR);

        CHECK(rn_ctx_deadline(ctx, &deadline));
        if (way)
            (void)rn_recv(rn_ctx_done(ctx));
        else
            rn_ctx_cancel(ctx);
        CHECK(rn_ctx_deadline(ctx, &t));
        CHECK_EQ(t, deadline);
        rn_ctx_end(ctx);
    }
}

static void err_implies_done(rn_ctx *ctx)
{
    while (rn_ctx_err(ctx) == 0)
        rn_yield();
    CHECK(is_done(ctx));
}

static void done_implies_err(rn_ctx *ctx)
{
    (void)rn_recv(rn_ctx_done(ctx));
    CHECK_EQ(rn_ctx_err(ctx), -ECANCELED);
    CHECK_EQ(rn_ctx_cause(ctx), -EIO);
}

GO_TEST(ctx_06_err_and_done_imply_each_other)
{
    for (int round = 0; round < test_times(2000); round++) {
        rn_ctx *parent = rn_ctx_with_cancel(rn_ctx_background());
        rn_ctx *child = rn_ctx_with_cancel(parent);
        rn_wg wg = {0};

        rn_wg_go(&wg, err_implies_done, parent);
        rn_wg_go(&wg, err_implies_done, child);
        rn_wg_go(&wg, done_implies_err, parent);
        rn_wg_go(&wg, done_implies_err, child);
        if (round % 2)
            rn_yield();
        rn_ctx_cancel_cause(parent, -EIO);
        rn_wg_wait(&wg);
        rn_ctx_end(child);
        rn_ctx_end(parent);
    }
}

GO_TEST(ctx_07_simultaneous_cancels_of_a_tree)
{
    for (int round = 0; round < test_times(200); round++) {
        enum { N = 101 };
        rn_ctx *all[N];
        int order[N];
        rn_wg wg = {0};
        unsigned seed = (unsigned)round + 1;

        all[0] = rn_ctx_with_cancel(rn_ctx_background());
        for (int i = 1; i < N; i++)
            all[i] = rn_ctx_with_cancel(all[(i - 1) / 4]);
        for (int i = 0; i < N; i++)
            order[i] = i;
        for (int i = N - 1; i > 0; i--) {
            int j = rand_r(&seed) % (i + 1), t = order[i];

            order[i] = order[j];
            order[j] = t;
        }
        for (int i = 0; i < N; i++)
            rn_wg_go(&wg, rn_ctx_cancel, all[order[i]]);
        for (int i = 0; i < N; i++)
            (void)rn_recv(rn_ctx_done(all[order[i]]));
        rn_wg_wait(&wg);
        for (int i = 0; i < N; i++)
            ended(all[i], -ECANCELED, -ECANCELED);
        for (int i = 0; i < N; i++)
            rn_ctx_end(all[i]);
    }
}

GO_TEST(ctx_08_a_child_does_not_touch_its_family)
{
    rn_ctx *parent = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx *child = rn_ctx_with_cancel(parent), *sibling = rn_ctx_with_timeout(parent, RN_HOUR);

    rn_ctx_cancel_cause(child, -EIO);
    rn_ctx_cancel(child); /* again: no effect */
    ended(child, -ECANCELED, -EIO);
    open_still(parent);
    open_still(sibling);
    rn_ctx_end(child);
    open_still(parent);
    rn_ctx_end(sibling);
    rn_ctx_end(parent);
}

static uint64_t spawned(void)
{
    struct rn_metrics m;

    rn_metrics(&m, sizeof m);
    return m.spawned;
}

GO_TEST(ctx_11_26_a_value_context_shares_done_and_starts_nothing)
{
    uint64_t made = spawned();
    rn_ctx *parent = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx *value = rn_ctx_with_value(parent, &key_a, "a");
    rn_ctx *child = rn_ctx_with_cancel(value);
    rn_ctx *late = rn_ctx_with_timeout(value, RN_HOUR);

    rn_ctx *rest[] = {
        rn_ctx_with_cancel_cause(value),
        rn_ctx_with_deadline(value, rn_now() + RN_HOUR),
        rn_ctx_with_timeout_cause(value, RN_HOUR, -EIO),
        rn_ctx_with_deadline_cause(value, rn_now() + RN_HOUR, -EIO),
        rn_ctx_without_cancel(value),
        rn_ctx_with_timeout(value, 0),
    };

    CHECK(rn_ctx_done(value) == rn_ctx_done(parent));
    CHECK(rn_ctx_done(child) != rn_ctx_done(parent));
    rn_ctx_cancel(value); /* it has nothing to cancel of its own, and leaves its parent alone */
    open_still(parent);
    open_still(child);
    rn_ctx_cancel(parent);
    ended(child, -ECANCELED, -ECANCELED);
    ended(late, -ECANCELED, -ECANCELED);
    CHECK_EQ(spawned(), made); /* no goroutine to derive them, nor to end them */
    CHECK_EQ(rn_count(), 1);
    for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++)
        rn_ctx_end(rest[i]);
    rn_ctx_end(late);
    rn_ctx_end(child);
    rn_ctx_end(value);
    rn_ctx_end(parent);

    value = rn_ctx_with_value(rn_ctx_background(), &key_a, "a");
    CHECK(rn_ctx_done(value) == NULL);
    rn_ctx_end(value);
}

GO_TEST(ctx_12_child_of_a_cancelled_parent)
{
    rn_ctx *parent = rn_ctx_with_cancel_cause(rn_ctx_background());
    rn_ctx *child[4];

    rn_ctx_cancel_cause(parent, rn_errorf(-EIO, "the disk"));
    child[0] = rn_ctx_with_cancel(parent);
    child[1] = rn_ctx_with_timeout(parent, RN_HOUR);
    child[2] = rn_ctx_with_value(parent, &key_a, "a");
    child[3] = rn_ctx_with_cancel(child[2]);
    for (int i = 0; i < 4; i++) {
        ended(child[i], -ECANCELED, -EIO);
        CHECK_STR(rn_errmsg(rn_ctx_cause(child[i])), "the disk");
    }
    for (int i = 0; i < 4; i++)
        rn_ctx_end(child[i]);
    rn_ctx_end(parent);
}

static void cancel_child_when_parent_is_done(rn_ctx *parent, rn_ctx *child)
{
    (void)rn_recv(rn_ctx_done(parent));
    rn_ctx_cancel(child);
}

GO_TEST(ctx_14_interlocked_cancels_do_not_deadlock)
{
    for (int round = 0; round < test_times(3000); round++) {
        rn_ctx *parent = rn_ctx_with_cancel(rn_ctx_background());
        rn_ctx *child = rn_ctx_with_cancel(parent);
        rn_wg wg = {0};

        rn_wg_go(&wg, cancel_child_when_parent_is_done, parent, child);
        if (round % 2)
            rn_yield();
        rn_ctx_cancel(parent);
        CHECK(is_done(child));
        rn_wg_wait(&wg);
        rn_ctx_end(child);
        rn_ctx_end(parent);
    }
}

GO_TEST(ctx_15_20_deadlines_pass)
{
    rn_time start = rn_now(), t;
    rn_ctx *timeout = rn_ctx_with_timeout(rn_ctx_background(), 5 * RN_MILLISECOND);
    rn_ctx *deadline = rn_ctx_with_deadline(rn_ctx_background(), start + 5 * RN_MILLISECOND);
    rn_ctx *wrapped = rn_ctx_with_value(timeout, &key_a, "a");
    rn_ctx *later = rn_ctx_with_timeout(timeout, RN_HOUR);

    CHECK(rn_ctx_deadline(timeout, &t));
    CHECK(t >= start + 5 * RN_MILLISECOND && t <= rn_now() + 5 * RN_MILLISECOND);
    CHECK(rn_ctx_deadline(deadline, &t));
    CHECK_EQ(t, start + 5 * RN_MILLISECOND);
    (void)rn_recv(rn_ctx_done(deadline));
    CHECK(rn_now() >= start + 5 * RN_MILLISECOND);
    (void)rn_recv(rn_ctx_done(later));
    (void)rn_recv(rn_ctx_done(wrapped));
    ended(timeout, -ETIMEDOUT, -ETIMEDOUT);
    ended(deadline, -ETIMEDOUT, -ETIMEDOUT);
    ended(wrapped, -ETIMEDOUT, -ETIMEDOUT);
    ended(later, -ETIMEDOUT, -ETIMEDOUT);
    rn_ctx_end(later);
    rn_ctx_end(wrapped);
    rn_ctx_end(deadline);
    rn_ctx_end(timeout);
}

GO_TEST(ctx_16_a_past_deadline_is_done_at_once)
{
    const rn_dur past[] = {0, -1, -RN_HOUR, INT64_MIN};

    for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++) {
        rn_ctx *ctx = rn_ctx_with_timeout(rn_ctx_background(), past[i]);

        ended(ctx, -ETIMEDOUT, -ETIMEDOUT);
        rn_ctx_cancel_cause(ctx, -EIO);
        ended(ctx, -ETIMEDOUT, -ETIMEDOUT);
        rn_ctx_end(ctx);
    }
    rn_ctx *now = rn_ctx_with_deadline(rn_ctx_background(), rn_now());
    ended(now, -ETIMEDOUT, -ETIMEDOUT);
    rn_ctx_end(now);
    rn_ctx *ages = rn_ctx_with_timeout(rn_ctx_background(), INT64_MAX);
    open_still(ages);
    rn_ctx_end(ages);
}

static unsigned long long timers_armed(void)
{
    struct rn_metrics m;

    rn_metrics(&m, sizeof m);
    return m.timers;
}

GO_TEST(ctx_17_a_parents_earlier_deadline_wins)
{
    rn_ctx *parent = rn_ctx_with_timeout(rn_ctx_background(), RN_MINUTE);
    unsigned long long before = timers_armed();
    rn_ctx *child = rn_ctx_with_timeout_cause(parent, RN_HOUR, -EIO);
    rn_ctx *plain = rn_ctx_with_cancel(parent);
    rn_ctx *sooner;
    rn_time p, c;

    CHECK_EQ(timers_armed(), before); /* none of their own */
    sooner = rn_ctx_with_timeout(parent, RN_SECOND * 30);
    CHECK_EQ(timers_armed(), before + 1);
    CHECK(rn_ctx_deadline(parent, &p));
    CHECK(rn_ctx_deadline(child, &c));
    CHECK_EQ(c, p);
    CHECK(rn_ctx_deadline(plain, &c));
    CHECK_EQ(c, p);
    CHECK(rn_ctx_deadline(sooner, &c));
    CHECK(c < p);
    rn_ctx_end(plain);
    rn_ctx_end(sooner);
    rn_ctx_end(child);
    rn_ctx_end(parent);

    parent = rn_ctx_with_timeout(rn_ctx_background(), RN_MILLISECOND);
    child = rn_ctx_with_timeout_cause(parent, RN_HOUR, -EIO);
    (void)rn_recv(rn_ctx_done(child));
    ended(child, -ETIMEDOUT, -ETIMEDOUT); /* the parent's end, not a timer of its own */
    rn_ctx_end(child);
    rn_ctx_end(parent);
}

GO_TEST(ctx_18_33_cancelled_before_it_expires)
{
    for (int round = 0; round < test_times(200); round++) {
        rn_ctx *ctx = rn_ctx_with_timeout_cause(rn_ctx_background(), RN_MILLISECOND, -EIO);
        int err, cause;

        if (round % 2)
            rn_sleep(RN_MILLISECOND);
        rn_ctx_cancel(ctx);
        err = rn_ctx_err(ctx);
        cause = rn_ctx_cause(ctx);
        CHECK((err == -ECANCELED && cause == -ECANCELED) || (err == -ETIMEDOUT && cause == -EIO));
        rn_sleep(2 * RN_MILLISECOND);
        ended(ctx, err, cause);
        rn_ctx_end(ctx);
    }
    rn_ctx *ctx = rn_ctx_with_timeout_cause(rn_ctx_background(), RN_HOUR, -EIO);
    rn_ctx_cancel(ctx);
    ended(ctx, -ECANCELED, -ECANCELED);
    rn_ctx_end(ctx);
    ctx = rn_ctx_with_timeout_cause(rn_ctx_background(), RN_MILLISECOND, -EIO);
    (void)rn_recv(rn_ctx_done(ctx));
    ended(ctx, -ETIMEDOUT, -EIO);
    rn_ctx_end(ctx);
}

/* CTX-19: the timer is gone when the context has ended, however it did, and not only when it is freed. */
GO_TEST(ctx_19_the_timer_goes_with_the_end)
{
    unsigned long long before = timers_armed();

    for (int way = 0; way < 3; way++) {
        rn_ctx *parent = rn_ctx_with_cancel(rn_ctx_background());
        rn_ctx *ctx = rn_ctx_with_timeout(parent, way == 2 ? RN_MILLISECOND : RN_HOUR);

        CHECK(way == 2 || timers_armed() == before + 1);
        if (way == 2)
            (void)rn_recv(rn_ctx_done(ctx));
        else
            rn_ctx_cancel(way ? parent : ctx);
        CHECK(rn_ctx_err(ctx) != 0);
        CHECK_EQ(timers_armed(), before);
        rn_ctx_end(ctx);
        rn_ctx_end(parent);
    }
}

GO_TEST(ctx_19_many_live_deadlines)
{
    const int n = test_times(400000);
    rn_ctx **all = malloc((size_t)n * sizeof(*all));

    for (int i = 0; i < n; i++)
        all[i] = rn_ctx_with_timeout(rn_ctx_background(), RN_HOUR);
    for (int i = 0; i < n; i++)
        rn_ctx_end(all[i]);
    free(all);
    CHECK_EQ(rn_count(), 1);
}

GO_TEST(ctx_21_texts)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());

    rn_ctx_cancel(ctx);
    CHECK_STR(rn_errmsg(rn_ctx_err(ctx)), strerror(ECANCELED));
    CHECK_STR(rn_errmsg(rn_ctx_cause(ctx)), strerror(ECANCELED));
    rn_ctx_end(ctx);
    ctx = rn_ctx_with_timeout(rn_ctx_background(), 0);
    CHECK_STR(rn_errmsg(rn_ctx_err(ctx)), strerror(ETIMEDOUT));
    rn_ctx_end(ctx);
}

GO_TEST(ctx_22_23_values)
{
    rn_ctx *a = rn_ctx_with_value(rn_ctx_background(), &key_a, "outer");
    rn_ctx *b = rn_ctx_with_value(a, &key_b, "b");
    rn_ctx *c = rn_ctx_with_value(b, &key_a, "inner");
    rn_ctx *d = rn_ctx_with_value(c, &key_a, NULL);
    char other;

    CHECK_STR(rn_ctx_value(a, &key_a), "outer");
    CHECK_STR(rn_ctx_value(b, &key_a), "outer");
    CHECK_STR(rn_ctx_value(b, &key_b), "b");
    CHECK_STR(rn_ctx_value(c, &key_a), "inner");
    CHECK_STR(rn_ctx_value(c, &key_b), "b");
    CHECK(rn_ctx_value(d, &key_a) == NULL); /* bound to NULL, which hides */
    CHECK(rn_ctx_value(a, &key_b) == NULL);
    CHECK(rn_ctx_value(d, &other) == NULL);
    rn_ctx_end(a); /* a child keeps its parent */
    CHECK_STR(rn_ctx_value(b, &key_a), "outer");
    rn_ctx_end(b);
    rn_ctx_end(c);
    CHECK_STR(rn_ctx_value(d, &key_b), "b");
    rn_ctx_end(d);
}

static int nil_parent_of;
static int nil_parent(void)
{
    const int sig = 10;

    switch (nil_parent_of) {
    case 0:
        return rn_ctx_with_cancel(NULL) != NULL;
    case 1:
        return rn_ctx_with_cancel_cause(NULL) != NULL;
    case 2:
        return rn_ctx_with_timeout(NULL, 1) != NULL;
    case 3:
        return rn_ctx_with_deadline(NULL, 1) != NULL;
    case 4:
        return rn_ctx_with_timeout_cause(NULL, 1, -EIO) != NULL;
    case 5:
        return rn_ctx_with_deadline_cause(NULL, 1, -EIO) != NULL;
    case 6:
        return rn_ctx_with_value(NULL, &key_a, "") != NULL;
    case 7:
        return rn_ctx_with_owned_value(NULL, &key_a, NULL, free) != NULL;
    case 8:
        return rn_ctx_without_cancel(NULL) != NULL;
    case 9:
        return rn_ctx_with_signals(NULL, sig) != NULL;
    case 10:
        return rn_ctx_with_value(rn_ctx_background(), NULL, "") != NULL;
    default:
        return rn_ctx_with_owned_value(rn_ctx_background(), NULL, NULL, free) != NULL;
    }
}
static void nil_parent_run(void)
{
    (void)rn_run(nil_parent);
}

PLAIN_TEST(ctx_24_nil_parents_and_nil_keys_panic)
{
    for (nil_parent_of = 0; nil_parent_of < 10; nil_parent_of++)
        CHECK_PANICS(nil_parent_run, "cannot create context from nil parent");
    for (; nil_parent_of < 12; nil_parent_of++)
        CHECK_PANICS(nil_parent_run, "nil key");
}

GO_TEST(ctx_25_random_layers)
{
    unsigned seed = 4711;

    for (int round = 0; round < test_times(400); round++) {
        enum { N = 32 };
        rn_ctx *layer[N];
        bool can_cancel[N];
        char keys[N];
        rn_ctx *top = rn_ctx_background();
        int stop = -1;
        bool by_timer = round % 4 == 0;

        for (int i = 0; i < N; i++) {
            int kind = by_timer && i == N / 2 ? 2 : rand_r(&seed) % 3;

            can_cancel[i] = kind != 0;
            if (kind == 0)
                top = rn_ctx_with_value(top, &keys[i], &keys[i]);
            else if (kind == 1)
                top = rn_ctx_with_cancel(top);
            else
                top = rn_ctx_with_timeout(top, by_timer && i == N / 2 ? RN_MILLISECOND : RN_HOUR);
            if (kind != 0 && !by_timer && (stop < 0 || rand_r(&seed) % 3 == 0))
                stop = i;
            if (by_timer && i == N / 2)
                stop = i;
            layer[i] = top;
        }
        if (!by_timer)
            open_still(top);
        for (int pass = 0; pass < 2; pass++) {
            for (int i = 0; i < N; i++)
                CHECK(rn_ctx_value(top, &keys[i]) == (can_cancel[i] ? NULL : (void *)&keys[i]));
            if (pass == 0 && stop >= 0) {
                if (!by_timer)
                    rn_ctx_cancel(layer[stop]);
                (void)rn_recv(rn_ctx_done(top));
                CHECK_EQ(rn_ctx_err(top), by_timer ? -ETIMEDOUT : -ECANCELED);
                for (int i = 0; i < N; i++) /* what is above that layer goes on */
                    CHECK_EQ(rn_ctx_err(layer[i]), i < stop ? 0 : rn_ctx_err(top));
            }
        }
        for (int i = 0; i < N; i++)
            rn_ctx_end(layer[round % 2 ? i : N - 1 - i]);
    }
}

GO_TEST(ctx_30_31_32_the_first_cause_stays)
{
    rn_ctx *parent, *child;

    parent = rn_ctx_with_cancel_cause(rn_ctx_background());
    open_still(parent);
    rn_ctx_cancel_cause(parent, 0); /* no cause */
    ended(parent, -ECANCELED, -ECANCELED);
    rn_ctx_cancel_cause(parent, -EIO);
    ended(parent, -ECANCELED, -ECANCELED);
    rn_ctx_end(parent);

    parent = rn_ctx_with_cancel_cause(rn_ctx_background());
    child = rn_ctx_with_cancel_cause(parent);
    rn_ctx_cancel_cause(parent, -EIO); /* parent first */
    rn_ctx_cancel_cause(child, -EPERM);
    ended(parent, -ECANCELED, -EIO);
    ended(child, -ECANCELED, -EIO);
    rn_ctx_end(child);
    rn_ctx_end(parent);

    parent = rn_ctx_with_cancel_cause(rn_ctx_background());
    child = rn_ctx_with_cancel_cause(parent);
    rn_ctx_cancel_cause(child, -EPERM); /* child first */
    rn_ctx_cancel_cause(parent, -EIO);
    ended(parent, -ECANCELED, -EIO);
    ended(child, -ECANCELED, -EPERM);
    rn_ctx_end(child);
    rn_ctx_end(parent);

    parent = rn_ctx_with_cancel_cause(rn_ctx_background());
    child = rn_ctx_with_cancel_cause(parent);
    rn_ctx_cancel_cause(child, 0); /* child first, without a cause */
    rn_ctx_cancel_cause(parent, -EIO);
    ended(parent, -ECANCELED, -EIO);
    ended(child, -ECANCELED, -ECANCELED);
    rn_ctx_end(child);
    rn_ctx_end(parent);

    parent = rn_ctx_with_cancel_cause(rn_ctx_background());
    child = rn_ctx_with_cancel_cause(parent);
    rn_ctx_cancel_cause(parent, 0); /* parent first, without a cause */
    rn_ctx_cancel_cause(child, -EPERM);
    ended(parent, -ECANCELED, -ECANCELED);
    ended(child, -ECANCELED, -ECANCELED);
    rn_ctx_end(child);
    rn_ctx_end(parent);
}

static int cause_elsewhere(rn_ctx *ctx, char *text, size_t size)
{
    int cause;

    (void)rn_recv(rn_ctx_done(ctx));
    rn_errorf(-EIO, "a message of mine");
    cause = rn_ctx_cause(ctx); /* attaches its own */
    strncpy(text, rn_errmsg(cause), size - 1);
    return 0;
}

GO_TEST(ctx_31_d31_a_causes_message_crosses_goroutines)
{
    rn_ctx *ctx = rn_ctx_with_cancel_cause(rn_ctx_background());
    rn_ctx *child = rn_ctx_with_timeout(ctx, RN_HOUR);
    char text[2][124] = {{0}};
    rn_wg wg = {0};

    rn_wg_go(&wg, cause_elsewhere, ctx, &text[0][0], sizeof(text[0]));
    rn_wg_go(&wg, cause_elsewhere, child, &text[1][0], sizeof(text[1]));
    rn_ctx_cancel_cause(ctx, rn_errorf(-EIO, "unit %d is on fire", 7));
    rn_wg_wait(&wg);
    CHECK_STR(text[0], "unit 7 is on fire");
    CHECK_STR(text[1], "unit 7 is on fire");
    rn_ctx_end(child);
    rn_ctx_end(ctx);

    ctx = rn_ctx_with_timeout_cause(rn_ctx_background(), 0, rn_errorf(-EBUSY, "too slow"));
    CHECK_EQ(rn_ctx_err(ctx), -ETIMEDOUT);
    CHECK_STR(rn_errmsg(rn_ctx_cause(ctx)), "too slow");
    rn_ctx_end(ctx);
    ctx = rn_ctx_with_timeout_cause(rn_ctx_background(), RN_MILLISECOND,
                                    rn_errorf(-EBUSY, "too slow again"));
    rn_errorf(-EBUSY, "something else");
    (void)rn_recv(rn_ctx_done(ctx));
    CHECK_STR(rn_errmsg(rn_ctx_cause(ctx)), "too slow again");
    rn_ctx_end(ctx);
}

GO_TEST(ctx_34_an_expired_child_keeps_its_own)
{
    rn_ctx *parent = rn_ctx_with_cancel_cause(rn_ctx_background());
    rn_ctx *child = rn_ctx_with_timeout_cause(parent, RN_MILLISECOND, -EBUSY);
    rn_ctx *slow = rn_ctx_with_timeout_cause(parent, RN_HOUR, -EBUSY);

    (void)rn_recv(rn_ctx_done(child));
    rn_ctx_cancel_cause(parent, -EIO);
    ended(child, -ETIMEDOUT, -EBUSY);
    ended(slow, -ECANCELED, -EIO);
    rn_ctx_end(slow);
    rn_ctx_end(child);
    rn_ctx_end(parent);
}

static void poll_cause(rn_ctx *ctx)
{
    for (;;) {
        int cause = rn_ctx_cause(ctx);

        if (cause) {
            CHECK_EQ(cause, -EIO);
            CHECK_STR(rn_errmsg(cause), "real");
            return;
        }
        rn_yield();
    }
}

GO_TEST(ctx_35_only_the_real_cause_is_seen)
{
    for (int round = 0; round < test_times(2000); round++) {
        rn_ctx *ctx = rn_ctx_with_cancel_cause(rn_ctx_background());
        rn_wg wg = {0};

        rn_wg_go(&wg, poll_cause, ctx);
        rn_wg_go(&wg, poll_cause, ctx);
        if (round % 2)
            rn_yield();
        rn_ctx_cancel_cause(ctx, rn_errorf(-EIO, "real"));
        rn_wg_wait(&wg);
        rn_ctx_end(ctx);
    }
}

GO_TEST(ctx_37_without_cancel)
{
    for (int way = 0; way < 3; way++) { /* the parent is cancelled, expires, or had ended before */
        rn_ctx *base = rn_ctx_with_value(rn_ctx_background(), &key_a, "a");
        rn_ctx *parent = rn_ctx_with_timeout_cause(base,
                                                   way == 0   ? RN_HOUR
                                                   : way == 1 ? 20 * RN_MILLISECOND
                                                              : 0,
                                                   -EIO);
        rn_ctx *free_one = rn_ctx_without_cancel(parent);
        rn_ctx *below = rn_ctx_with_cancel(free_one);

        for (int pass = 0; pass < 2; pass++) {
            CHECK(rn_ctx_done(free_one) == NULL);
            CHECK_EQ(rn_ctx_err(free_one), 0);
            CHECK_EQ(rn_ctx_cause(free_one), 0);
            CHECK(!rn_ctx_deadline(free_one, NULL));
            CHECK(!rn_ctx_deadline(below, NULL));
            CHECK_STR(rn_ctx_value(free_one, &key_a), "a");
            open_still(below);
            if (way == 0)
                rn_ctx_cancel(parent);
            (void)rn_recv(rn_ctx_done(parent));
        }
        CHECK_EQ(rn_ctx_err(parent), way == 0 ? -ECANCELED : -ETIMEDOUT);
        rn_ctx_end(parent);
        rn_ctx_end(base);
        CHECK_STR(rn_ctx_value(below, &key_a), "a");
        rn_ctx_end(free_one);
        open_still(below);
        rn_ctx_cancel(below);
        ended(below, -ECANCELED, -ECANCELED);
        rn_ctx_end(below);
    }
}

/* ---- After-functions --------------------------------------------------------------------------- */

static void note_id(rn_ctx *ctx, int err, _Atomic uint64_t *id, rn_chan(int) said)
{
    ended(ctx, err, err); /* it runs only then */
    *id = rn_self_id();
    rn_send(said, 1);
}

GO_TEST(ctx_38_after_functions_run_once_done_in_their_own_goroutine)
{
    rn_chan(int) said = rn_chan_make(int, 1);

    for (int way = 0; way < 3; way++) {
        rn_ctx *ctx = way == 1 ? rn_ctx_with_timeout(rn_ctx_background(), 5 * RN_MILLISECOND)
                               : rn_ctx_with_cancel(rn_ctx_background());
        rn_ctx_hook hook = {0};
        _Atomic uint64_t id = 0;

        if (way == 2)
            rn_ctx_cancel(ctx); /* done already: runs at once */
        rn_ctx_after_func(&hook, ctx, note_id, ctx, way == 1 ? -ETIMEDOUT : -ECANCELED, &id, said);
        if (way == 0) {
            test_let_run();
            CHECK_EQ(id, 0);
            rn_ctx_cancel(ctx);
        }
        CHECK_EQ(rn_recv(said), 1);
        CHECK(rn_ctx_err(ctx) != 0);
        CHECK(id != 0 && id != rn_self_id());
        CHECK(!rn_ctx_hook_stop(&hook)); /* it was started */
        CHECK(!rn_ctx_hook_stop(&hook));
        rn_ctx_end(ctx);
    }
    rn_chan_release(said);
}

static void count_one(_Atomic int *n)
{
    ++*n;
}

GO_TEST(ctx_39_stop_prevents_the_run)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx_hook hook = {0}, unused = {0};
    _Atomic int n = 0;

    CHECK(!rn_ctx_hook_stop(&unused));
    rn_ctx_after_func(&hook, ctx, count_one, &n);
    CHECK(rn_ctx_hook_stop(&hook));
    CHECK(!rn_ctx_hook_stop(&hook));
    rn_ctx_cancel(ctx);
    test_let_run();
    CHECK_EQ(n, 0);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    rn_ctx_after_func(&hook, ctx, count_one, &n); /* a hook can be used again */
    CHECK(!rn_ctx_hook_stop(&hook));
    CHECK_EQ(n, 1);
    rn_ctx_end(ctx);
}

GO_TEST(ctx_39_the_background_never_runs_it)
{
    rn_ctx_hook hook = {0}, other = {0};
    _Atomic int n = 0;

    rn_ctx_after_func(&hook, rn_ctx_background(), count_one, &n);
    rn_ctx_after_func(&other, NULL, count_one, &n);
    test_let_run();
    CHECK_EQ(n, 0);
    CHECK(rn_ctx_hook_stop(&hook));
    CHECK(rn_ctx_hook_stop(&other));
}

static void wait_then_finish(rn_chan(int) gate, _Atomic int *finished)
{
    (void)rn_recv(gate);
    test_let_run();
    *finished = 1;
}

static void open_gate(rn_chan(int) gate)
{
    test_let_run();
    rn_send(gate, 1);
}

GO_TEST(ctx_40_d33_cancel_does_not_wait_for_them_but_stop_does)
{
    for (int round = 0; round < test_times(100); round++) {
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
        rn_chan(int) gate = rn_chan_make(int, 0);
        _Atomic int finished = 0;
        rn_ctx_hook hook = {0};

        rn_ctx_after_func(&hook, ctx, wait_then_finish, gate, &finished);
        rn_ctx_cancel(ctx); /* returns, although the function cannot end */
        CHECK_EQ(finished, 0);
        rn_go(open_gate, gate);
        CHECK(!rn_ctx_hook_stop(&hook));
        CHECK_EQ(finished, 1); /* "false only once fn has returned" */
        rn_ctx_end(ctx);
        CHECK_EQ(rn_settle(RN_MINUTE), 0);
        rn_chan_release(gate);
    }
}

GO_TEST(ctx_41_registrations_are_independent)
{
    for (int round = 0; round < test_times(200); round++) {
        enum { N = 9 };
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
        rn_ctx_hook hook[N] = {0};
        _Atomic int ran[N] = {0};
        rn_wg wg = {0};

        for (int i = 0; i < N; i++)
            rn_ctx_after_func(&hook[i], ctx, count_one, &ran[i]);
        for (int i = 0; i < N; i += 3)
            CHECK(rn_ctx_hook_stop(&hook[i]));
        rn_wg_go(&wg, rn_ctx_cancel, ctx);
        rn_wg_go(&wg, rn_ctx_cancel, ctx);
        for (int i = 1; i < N; i += 3) { /* against the cancellation: one of the two wins */
            bool prevented = rn_ctx_hook_stop(&hook[i]);

            CHECK_EQ(ran[i], !prevented);
        }
        rn_wg_wait(&wg);
        for (int i = 2; i < N; i += 3)
            CHECK(!rn_ctx_hook_stop(&hook[i]));
        for (int i = 0; i < N; i++)
            CHECK_EQ(ran[i], i % 3 == 0 ? 0 : i % 3 == 2 ? 1 : ran[i]);
        rn_ctx_end(ctx);
    }
}

/* ---- Ownership: decision 8 ---------------------------------------------------------------------- */

GO_TEST(d08_a_release_cancels_only_as_the_last)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx *child = rn_ctx_with_cancel(ctx);

    CHECK(rn_ctx_retain(ctx) == ctx);
    CHECK(rn_ctx_retain(ctx) == ctx);
    rn_ctx_release(ctx);
    open_still(ctx);
    rn_ctx_release(ctx);
    open_still(ctx);
    open_still(child);
    rn_ctx_release(ctx); /* the last: ends it, and what hangs below */
    ended(child, -ECANCELED, -ECANCELED);
    rn_ctx_end(child);

    ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx_retain(ctx);
    rn_ctx_end(ctx); /* cancels although somebody shares it, who may still ask */
    ended(ctx, -ECANCELED, -ECANCELED);
    rn_ctx_release(ctx);
}

static void drop_count(void *n)
{
    ++*(_Atomic int *)n;
}

GO_TEST(d08_d34_owned_values_go_with_the_memory)
{
    _Atomic int dropped = 0;
    rn_ctx *owner = rn_ctx_with_owned_value(rn_ctx_background(), &key_a, &dropped, drop_count);
    rn_ctx *child = rn_ctx_with_cancel(owner);
    rn_ctx *grandchild = rn_ctx_with_value(child, &key_b, "b");

    CHECK(rn_ctx_value(grandchild, &key_a) == (void *)&dropped);
    rn_ctx_end(owner);
    rn_ctx_end(child);
    CHECK_EQ(dropped, 0); /* a child keeps its parent's memory */
    CHECK(rn_ctx_value(grandchild, &key_a) == (void *)&dropped);
    rn_ctx_end(grandchild);
    CHECK_EQ(dropped, 1);

    owner = rn_ctx_with_owned_value(rn_ctx_background(), &key_a, &dropped, drop_count);
    rn_ctx_retain(owner);
    rn_ctx_cancel(owner);
    rn_ctx_end(owner);
    CHECK_EQ(dropped, 1);
    rn_ctx_release(owner);
    CHECK_EQ(dropped, 2);
}

static void share(rn_ctx *ctx)
{
    for (int i = 0; i < 50; i++) {
        rn_ctx *child = rn_ctx_with_value(rn_ctx_retain(ctx), &key_b, "b");

        (void)rn_ctx_err(child);
        rn_ctx_end(child);
        rn_ctx_release(ctx);
    }
    rn_ctx_release(ctx);
}

GO_TEST(d08_shared_by_many)
{
    for (int round = 0; round < test_times(200); round++) {
        _Atomic int dropped = 0;
        rn_ctx *ctx = rn_ctx_with_owned_value(rn_ctx_background(), &key_a, &dropped, drop_count);
        rn_wg wg = {0};

        for (int i = 0; i < 8; i++)
            rn_wg_go(&wg, share, rn_ctx_retain(ctx));
        rn_ctx_release(ctx);
        rn_wg_wait(&wg);
        CHECK_EQ(dropped, 1);
    }
}

/* ---- Size --------------------------------------------------------------------------------------- */

GO_TEST(ctx_04_d08_ten_thousand_deep)
{
    for (int way = 0; way < 3; way++) {
        enum { N = 10000 };
        static rn_ctx *chain[N];

        for (int i = 0; i < N; i++) {
            rn_ctx *parent = i ? chain[i - 1] : rn_ctx_background();

            chain[i] = i % 3 == 0   ? rn_ctx_with_cancel(parent)
                       : i % 3 == 1 ? rn_ctx_with_value(parent, &key_a, "a")
                                    : rn_ctx_with_timeout(parent, RN_HOUR);
        }
        open_still(chain[N - 1]);
        if (way < 2) {
            rn_ctx_cancel_cause(chain[0], -EIO);
            ended(chain[N - 1], -ECANCELED, -EIO);
        }
        for (int i = 0; i < N; i++)
            rn_ctx_end(chain[way == 1 ? N - 1 - i : i]); /* the last one frees the whole chain */
    }
}

GO_TEST(ctx_04_a_hundred_thousand_wide)
{
    const int n = test_times(100000);
    rn_ctx *root = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx **all = malloc((size_t)n * sizeof(*all));

    for (int i = 0; i < n; i++)
        all[i] = i % 2 ? rn_ctx_with_cancel(root) : rn_ctx_with_timeout(root, RN_HOUR);
    for (int i = 0; i < n; i += 3)
        rn_ctx_cancel_cause(all[i], -EPERM);
    rn_ctx_cancel_cause(root, -EIO);
    for (int i = 0; i < n; i++) {
        CHECK_EQ(rn_ctx_err(all[i]), -ECANCELED);
        CHECK_EQ(rn_ctx_cause(all[i]), i % 3 ? -EIO : -EPERM);
        rn_ctx_end(all[i]);
    }
    free(all);
    rn_ctx_end(root);
}

static void churn(rn_ctx *parent, int n)
{
    for (int i = 0; i < n; i++) {
        rn_ctx *c = rn_ctx_with_cancel(parent), *d = rn_ctx_with_timeout(c, i % 50 * 1000);

        if (i % 3)
            rn_ctx_cancel(c);
        rn_ctx_end(i % 2 ? c : d);
        rn_ctx_end(i % 2 ? d : c);
    }
}

GO_TEST(ctx_07_19_children_come_and_go_while_the_parent_ends)
{
    for (int round = 0; round < test_times(100); round++) {
        rn_ctx *parent = rn_ctx_with_timeout(rn_ctx_background(), round % 7 * 100000);
        rn_wg wg = {0};

        for (int i = 0; i < 4; i++)
            rn_wg_go(&wg, churn, parent, 100);
        if (round % 2)
            rn_ctx_cancel(parent);
        rn_wg_wait(&wg);
        rn_ctx_end(parent);
    }
}

static void end_one(rn_ctx *child, int *go)
{
    while (!__atomic_load_n(go, __ATOMIC_ACQUIRE))
        rn_yield();
    rn_ctx_end(child);
}

/* Whoever ends the parent has the child in a list while the child is ended on its own: no sibling is forgotten. */
GO_TEST_PROCS(ctx_07_siblings_end_while_a_child_ends_itself, 2)
{
    enum { CHILDREN = 8 };

    for (int round = 0; round < test_times(20000); round++) {
        rn_ctx *parent = rn_ctx_with_cancel(rn_ctx_background()), *child[CHILDREN];
        rn_wg wg = {0};
        int go = 0;

        for (int i = 0; i < CHILDREN; i++)
            child[i] = rn_ctx_with_cancel(parent);
        rn_wg_go(&wg, end_one, child[CHILDREN / 2], &go);
        if (round % 2)
            rn_yield();
        __atomic_store_n(&go, 1, __ATOMIC_RELEASE);
        rn_ctx_cancel(parent);
        for (int i = 0; i < CHILDREN; i++) {
            if (i == CHILDREN / 2)
                continue;
            CHECK_EQ(rn_ctx_err(child[i]), -ECANCELED);
            rn_ctx_end(child[i]);
        }
        rn_wg_wait(&wg);
        rn_ctx_end(parent);
    }
}
