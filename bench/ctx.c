/* SPDX-License-Identifier: MIT */
/* ctx.c - contexts. Workloads: README.md. */
#include "driver.h"

#include <stdlib.h>

enum { AT_ONCE = 10, DEPTH_MAX = 1000 };

static char key_present, key_absent, keys[DEPTH_MAX];

/* ---- CommonParentCancel ----------------------------------------------------------------------- */

static void common_body(struct bench_part *p, void *arg)
{
    rn_ctx *shared = arg;

    while (bench_next(p)) {
        rn_ctx *child = rn_ctx_with_cancel(shared);

        if (rn_ctx_value(child, &key_present) == NULL)
            bench_fail("the value is missing");
        local_work(100);
        rn_ctx_end(child);
        local_work(100);
    }
}

static void common_parent_cancel(struct bench *b)
{
    rn_ctx *root = rn_ctx_with_value(rn_ctx_background(), &key_present, "value");
    rn_ctx *shared = rn_ctx_with_cancel(root);

    bench_reset(b);
    bench_parallel(b, 1, common_body, shared);
    bench_stop(b);
    rn_ctx_end(shared);
    rn_ctx_end(root);
}

/* ---- WithTimeout ------------------------------------------------------------------------------ */

static void timeout_body(struct bench_part *p, void *arg)
{
    (void)arg;
    while (bench_next(p)) {
        rn_ctx *ctx[AT_ONCE];

        for (int i = 0; i < AT_ONCE; i++)
            ctx[i] = rn_ctx_with_timeout(rn_ctx_background(), RN_HOUR);
        for (int i = 0; i < AT_ONCE; i++)
            rn_ctx_end(ctx[i]);
    }
}

static void with_timeout(struct bench *b)
{
    int64_t count = b->is_smoke ? 40 : b->arg;
    rn_ctx **live = calloc((size_t)count, sizeof(*live));

    if (!live)
        bench_fail("out of memory");
    for (int64_t i = 0; i < count; i++)
        live[i] = rn_ctx_with_timeout(rn_ctx_background(), RN_HOUR);
    bench_reset(b);
    bench_parallel(b, 1, timeout_body, NULL);
    bench_stop(b);
    for (int64_t i = 0; i < count; i++)
        rn_ctx_end(live[i]);
    free(live);
}

/* ---- CancelTree ------------------------------------------------------------------------------- */

/* Both give up what they build, where Go leaves it to its collector. */
static void chain_build(rn_ctx *root, rn_ctx **chain, int64_t depth)
{
    for (int64_t i = 0; i < depth; i++)
        root = chain[i] = rn_ctx_with_cancel(root);
}

static void chain_release(rn_ctx **chain, int64_t depth)
{
    for (int64_t i = depth - 1; i >= 0; i--)
        rn_ctx_release(chain[i]);
}

static void tree_background(struct bench *b)
{
    rn_ctx *chain[DEPTH_MAX];

    for (int64_t i = 0; i < b->n; i++) {
        chain_build(rn_ctx_background(), chain, b->arg);
        chain_release(chain, b->arg);
    }
}

static void tree_open(struct bench *b)
{
    rn_ctx *chain[DEPTH_MAX];

    for (int64_t i = 0; i < b->n; i++) {
        rn_ctx *top = rn_ctx_with_cancel(rn_ctx_background());

        chain_build(top, chain, b->arg);
        rn_ctx_cancel(top);
        chain_release(chain, b->arg);
        rn_ctx_release(top);
    }
}

static void tree_closed(struct bench *b)
{
    rn_ctx *chain[DEPTH_MAX];

    for (int64_t i = 0; i < b->n; i++) {
        rn_ctx *top = rn_ctx_with_cancel(rn_ctx_background());

        rn_ctx_cancel(top);
        chain_build(top, chain, b->arg);
        chain_release(chain, b->arg);
        rn_ctx_release(top);
    }
}

/* ---- Asking ----------------------------------------------------------------------------------- */

static void check_err(struct bench *b, bool is_cancelled)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());

    if (is_cancelled)
        rn_ctx_cancel(ctx);
    bench_reset(b);
    for (int64_t i = 0; i < b->n; i++)
        if ((rn_ctx_err(ctx) != 0) != is_cancelled)
            bench_fail("a wrong error");
    bench_stop(b);
    rn_ctx_end(ctx);
}

static void err_ok(struct bench *b)
{
    check_err(b, false);
}

static void err_cancelled(struct bench *b)
{
    check_err(b, true);
}

static void err_ok_body(struct bench_part *p, void *arg)
{
    while (bench_next(p))
        if (rn_ctx_err(arg) != 0)
            bench_fail("a wrong error");
}

static void err_cancelled_body(struct bench_part *p, void *arg)
{
    while (bench_next(p))
        if (rn_ctx_err(arg) == 0)
            bench_fail("a wrong error");
}

static void err_ok_parallel(struct bench *b)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());

    bench_parallel(b, 1, err_ok_body, ctx);
    rn_ctx_end(ctx);
}

static void err_cancelled_parallel(struct bench *b)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());

    rn_ctx_cancel(ctx);
    bench_parallel(b, 1, err_cancelled_body, ctx);
    rn_ctx_end(ctx);
}

static void check_done(struct bench *b)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());

    rn_ctx_cancel(ctx);
    bench_reset(b);
    for (int64_t i = 0; i < b->n; i++)
        if (!rn_try_recv(rn_ctx_done(ctx), NULL))
            bench_fail("not done");
    bench_stop(b);
    rn_ctx_end(ctx);
}

static void live_done_body(struct bench_part *p, void *arg)
{
    while (bench_next(p))
        if (rn_try_recv(rn_ctx_done(arg), NULL))
            bench_fail("done");
}

static void live_done(struct bench *b)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());

    bench_parallel(b, 1, live_done_body, ctx);
    rn_ctx_end(ctx);
}

/* ---- DeepValue -------------------------------------------------------------------------------- */

static void look_up(rn_ctx *ctx)
{
    if (rn_ctx_value(ctx, &key_absent) != NULL)
        bench_fail("found an absent key");
}

static void deep_value(struct bench *b, bool in_new_goroutine)
{
    rn_ctx *chain[DEPTH_MAX], *ctx = rn_ctx_background();

    for (int64_t i = 0; i < b->arg; i++)
        ctx = chain[i] = rn_ctx_with_value(ctx, &keys[i], &keys[i]);
    bench_reset(b);
    for (int64_t i = 0; i < b->n; i++) {
        if (in_new_goroutine) {
            rn_wg wg = {0};

            rn_wg_go(&wg, look_up, ctx);
            rn_wg_wait(&wg);
        } else {
            look_up(ctx);
        }
    }
    bench_stop(b);
    for (int64_t i = b->arg - 1; i >= 0; i--)
        rn_ctx_end(chain[i]);
}

static void deep_value_new(struct bench *b)
{
    deep_value(b, true);
}

static void deep_value_same(struct bench *b)
{
    deep_value(b, false);
}

static const struct bench_entry entries[] = {
    {"CommonParentCancel", common_parent_cancel, 0, 0},
    {"WithTimeout/concurrency=40", with_timeout, 40, 0},
    {"WithTimeout/concurrency=4000", with_timeout, 4000, 0},
    {"WithTimeout/concurrency=400000", with_timeout, 400000, 0},
    {"CancelTree/depth=1/Root=Background", tree_background, 1, 0},
    {"CancelTree/depth=1/Root=OpenCanceler", tree_open, 1, 0},
    {"CancelTree/depth=1/Root=ClosedCanceler", tree_closed, 1, 0},
    {"CancelTree/depth=10/Root=Background", tree_background, 10, 0},
    {"CancelTree/depth=10/Root=OpenCanceler", tree_open, 10, 0},
    {"CancelTree/depth=10/Root=ClosedCanceler", tree_closed, 10, 0},
    {"CancelTree/depth=100/Root=Background", tree_background, 100, 0},
    {"CancelTree/depth=100/Root=OpenCanceler", tree_open, 100, 0},
    {"CancelTree/depth=100/Root=ClosedCanceler", tree_closed, 100, 0},
    {"CancelTree/depth=1000/Root=Background", tree_background, 1000, 0},
    {"CancelTree/depth=1000/Root=OpenCanceler", tree_open, 1000, 0},
    {"CancelTree/depth=1000/Root=ClosedCanceler", tree_closed, 1000, 0},
    {"CheckCanceled/Err", err_cancelled, 0, 0},
    {"CheckCanceled/Done", check_done, 0, 0},
    {"ContextCancelDone", live_done, 0, 0},
    {"DeepValueNewGoRoutine/depth=10", deep_value_new, 10, 0},
    {"DeepValueNewGoRoutine/depth=20", deep_value_new, 20, 0},
    {"DeepValueNewGoRoutine/depth=30", deep_value_new, 30, 0},
    {"DeepValueNewGoRoutine/depth=50", deep_value_new, 50, 0},
    {"DeepValueNewGoRoutine/depth=100", deep_value_new, 100, 0},
    {"DeepValueSameGoRoutine/depth=10", deep_value_same, 10, 0},
    {"DeepValueSameGoRoutine/depth=20", deep_value_same, 20, 0},
    {"DeepValueSameGoRoutine/depth=30", deep_value_same, 30, 0},
    {"DeepValueSameGoRoutine/depth=50", deep_value_same, 50, 0},
    {"DeepValueSameGoRoutine/depth=100", deep_value_same, 100, 0},
    {"ErrOK", err_ok, 0, 0},
    {"ErrOKParallel", err_ok_parallel, 0, 0},
    {"ErrCanceledParallel", err_cancelled_parallel, 0, 0},
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, entries, sizeof(entries) / sizeof(entries[0]));
}
