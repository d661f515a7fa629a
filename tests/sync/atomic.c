/* SPDX-License-Identifier: MIT */
/*
 * atomic.c - C11's own atomics between goroutines: nothing of the runtime may weaken them, as where a
 * goroutine goes on upon another thread.
 */
#include "support.h"

#include <stdlib.h>

static void count(_Atomic int32_t *a, _Atomic int64_t *b, _Atomic intptr_t *c, int n)
{
    for (int i = 0; i < n; i++) {
        ++*a;
        *b += INT64_C(1) << 33;
        ++*c;
        if (i % 64 == 0)
            rn_yield();
    }
}

/* ATOM-01, ATOM-02, ATOM-07: whole values of 4, 8 and pointer size; neighbours untouched; sums wrap. */
GO_TEST(atom_01_02_hammer)
{
    struct {
        uint64_t before;
        _Atomic int32_t a;
        uint32_t between;
        _Atomic int64_t b;
        _Atomic intptr_t c;
        uint64_t after;
    } s = {.before = 0xaaaa, .between = 0xbbbb, .after = 0xcccc, .a = INT32_MAX - 3};
    int n = test_times(100000);
    rn_wg wg = {0};

    for (int i = 0; i < 8; i++)
        rn_wg_go(&wg, count, &s.a, &s.b, &s.c, n);
    rn_wg_wait(&wg);
    CHECK_EQ(s.a, (int32_t)((uint32_t)INT32_MAX - 3 + 8 * (uint32_t)n));
    CHECK_EQ(s.b, 8 * (int64_t)n << 33);
    CHECK_EQ(s.c, 8 * n);
    CHECK(s.before == 0xaaaa && s.between == 0xbbbb && s.after == 0xcccc);
}

/* ATOM-01: what each operation gives. */
GO_TEST(atom_01_results)
{
    _Atomic uint32_t a = 12;
    _Atomic uint64_t b = UINT64_C(12) << 40;
    char text[2] = "x";
    char *_Atomic p = &text[0];
    uint32_t want = 0;
    char *at = NULL;

    CHECK_EQ(a += 3, 15);
    CHECK_EQ(atomic_fetch_add(&a, 1), 15);
    CHECK_EQ(atomic_exchange(&a, 0xf0), 16);
    CHECK_EQ(atomic_fetch_and(&a, 0x3c), 0xf0);
    CHECK_EQ(atomic_fetch_or(&a, 3), 0x30);
    CHECK(!atomic_compare_exchange_strong(&a, &want, 1) && want == 0x33);
    CHECK(atomic_compare_exchange_strong(&a, &want, 1) && a == 1);
    CHECK(atomic_fetch_sub(&b, 1) == UINT64_C(12) << 40 && b == (UINT64_C(12) << 40) - 1);
    CHECK(!atomic_compare_exchange_strong(&p, &at, NULL) && at == &text[0]);
    CHECK(atomic_exchange(&p, NULL) == &text[0] && p == NULL);
}

/* ATOM-05: a 64-bit atomic is aligned by its type, wherever it stands. */
PLAIN_TEST(atom_05_alignment)
{
    struct odd {
        char first;
        _Atomic uint64_t value;
        char last;
        _Atomic int64_t other;
    } *all = calloc(3, sizeof(*all));

    CHECK(all);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ((uintptr_t)&all[i].value % 8, 0);
        CHECK_EQ((uintptr_t)&all[i].other % 8, 0);
        CHECK(atomic_is_lock_free(&all[i].value));
    }
    free(all);
}

static void store_then_load(_Atomic int *mine, _Atomic int *other, int *seen,
                            rn_chan(rn_unit) start, rn_wg *wg)
{
    (void)rn_recv(start);
    *mine = 1;
    *seen = *other;
    rn_wg_done(wg);
}

/* ATOM-03: at least one of two sides sees the other's store. */
GO_TEST(atom_03_store_load)
{
    for (int i = 0; i < test_times(30000); i++) {
        rn_chan(rn_unit) start = rn_chan_make(rn_unit, 0);
        _Atomic int x = 0, y = 0;
        int seen_x = 0, seen_y = 0;
        rn_wg wg = {0};

        rn_wg_add(&wg, 2);
        rn_go(store_then_load, &x, &y, &seen_y, start, &wg);
        rn_go(store_then_load, &y, &x, &seen_x, start, &wg);
        rn_close(start);
        rn_wg_wait(&wg);
        CHECK(seen_x == 1 || seen_y == 1);
        rn_chan_release(start);
    }
}

struct published {
    int a, b;
};

static void publish(_Atomic(struct published *) *to, struct published *from, int n)
{
    for (int i = 1; i <= n; i++) {
        from[i].a = i;
        from[i].b = -i;
        atomic_store_explicit(to, &from[i], memory_order_release);
        if (i % 128 == 0)
            rn_yield();
    }
}

/* ATOM-04, ATOM-11: who loads a published pointer sees all that was written before. */
GO_TEST(atom_04_11_publish)
{
    int n = test_times(100000);
    struct published *all = calloc((size_t)n + 1, sizeof(*all)), *got;
    static _Atomic(struct published *) current;

    CHECK(all);
    CHECK(current == NULL);
    rn_go(publish, &current, all, n);
    do {
        got = atomic_load_explicit(&current, memory_order_acquire);
        if (got)
            CHECK(got->a == got - all && got->b == -got->a);
        else
            rn_yield();
    } while (got != &all[n]);
    test_expect_settled(__FILE__, __LINE__);
    free(all);
}

static void every_thousandth(_Atomic int *cell, int first, int goroutines, int last)
{
    for (int i = first; i < last; i += goroutines) {
        for (;;) {
            int expected = i;

            if (atomic_compare_exchange_strong(cell, &expected, i + 1))
                break;
            rn_yield();
        }
    }
}

/* ATOM-10: many goroutines drive one cell by compare-and-swap, each its own steps: none is lost. */
GO_TEST(atom_10_compare_and_swap)
{
    int goroutines = test_is_slow() ? 20 : 1000, last = goroutines * 20;
    _Atomic int cell = 0;
    rn_wg wg = {0};

    for (int i = 0; i < goroutines; i++)
        rn_wg_go(&wg, every_thousandth, &cell, i, goroutines, last);
    rn_wg_wait(&wg);
    CHECK_EQ(cell, last);
}
