/* SPDX-License-Identifier: MIT */
/*
 * atomic.c - C11's own atomics between goroutines: nothing of the runtime may weaken them, as where a
 * goroutine goes on upon another thread.
 */
#define _GNU_SOURCE
#include "support.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* What each operation gives, and leaves, between neighbours; and that sums wrap. T is unsigned or signed, most its
 * greatest value, least what follows that. */
#define OPERATIONS(T, most, least)                                                                 \
    do {                                                                                           \
        struct {                                                                                   \
            T before;                                                                              \
            _Atomic(T) a;                                                                          \
            T after;                                                                               \
        } s = {(T)0x55, (T)12, (T)0x66};                                                           \
        T want = 0;                                                                                \
                                                                                                   \
        CHECK((s.a += 3) == 15 && s.a == 15);                                                      \
        CHECK(++s.a == 16 && s.a-- == 16);                                                         \
        CHECK(atomic_fetch_add(&s.a, 1) == 15 && s.a == 16);                                       \
        CHECK(atomic_fetch_sub(&s.a, 2) == 16 && s.a == 14);                                       \
        CHECK(atomic_exchange(&s.a, (T)0x70) == 14 && s.a == 0x70);                                \
        CHECK(atomic_fetch_and(&s.a, (T)0x3c) == 0x70 && s.a == 0x30);                             \
        CHECK(atomic_fetch_or(&s.a, (T)3) == 0x30 && s.a == 0x33);                                 \
        CHECK(!atomic_compare_exchange_strong(&s.a, &want, (T)1) && want == 0x33 && s.a == 0x33);  \
        CHECK(atomic_compare_exchange_strong(&s.a, &want, (T)1) && want == 0x33 && s.a == 1);      \
        s.a = (most);                                                                              \
        CHECK(atomic_fetch_add(&s.a, 1) == (most) && s.a == (least));                              \
        CHECK(atomic_fetch_sub(&s.a, 1) == (least) && s.a == (most));                              \
        CHECK(s.before == (T)0x55 && s.after == (T)0x66);                                          \
    } while (0)

/* ATOM-01, ATOM-07: what each operation gives, for 4, 8 and pointer size, signed and not; neighbours stay; sums
 * wrap. */
GO_TEST(atom_01_07_results)
{
    char text[2] = "x";
    char *_Atomic p = &text[0];
    char *at = NULL;

    OPERATIONS(int32_t, INT32_MAX, INT32_MIN);
    OPERATIONS(uint32_t, UINT32_MAX, 0);
    OPERATIONS(int64_t, INT64_MAX, INT64_MIN);
    OPERATIONS(uint64_t, UINT64_MAX, 0);
    OPERATIONS(intptr_t, INTPTR_MAX, INTPTR_MIN);
    OPERATIONS(uintptr_t, UINTPTR_MAX, 0);
    CHECK(!atomic_compare_exchange_strong(&p, &at, NULL) && at == &text[0]);
    CHECK(atomic_compare_exchange_strong(&p, &at, &text[1]) && p == &text[1]);
    CHECK(atomic_exchange(&p, NULL) == &text[1] && p == NULL);
}

struct halves {
    _Atomic uint32_t four;
    _Atomic uint64_t eight;
    _Atomic uintptr_t pointer;
};

static void store_halves(struct halves *h, uint32_t me, int n)
{
    for (int i = 0; i < n; i++) {
        uint32_t half = me * 100000 + (uint32_t)i;

        h->four = (half & 0xffff) << 16 | (half & 0xffff);
        h->eight = (uint64_t)half << 32 | half;
        h->pointer = (uintptr_t)((uint64_t)half << 32 | half);
        if (i % 64 == 0)
            rn_yield();
    }
}

static void load_halves(struct halves *h, int n)
{
    for (int i = 0; i < n; i++) {
        uint32_t four = h->four;
        uint64_t eight = h->eight, pointer = h->pointer;

        CHECK_EQ(four >> 16, four & 0xffff);
        CHECK_EQ(eight >> 32, eight & UINT32_MAX);
        CHECK(sizeof(uintptr_t) == 4 || pointer >> 32 == (pointer & UINT32_MAX));
        if (i % 64 == 0)
            rn_yield();
    }
}

/* ATOM-02: of values whose two halves are the same none is ever seen with two that are not. */
GO_TEST(atom_02_no_halves)
{
    int n = test_times(1000000);
    struct halves h = {0};
    rn_wg wg = {0};

    for (uint32_t i = 0; i < 4; i++) {
        rn_wg_go(&wg, store_halves, &h, i, n);
        rn_wg_go(&wg, load_halves, &h, n);
    }
    rn_wg_wait(&wg);
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

/* ATOM-05: one that a cast has misaligned does not pass for an atomic where UBSan looks. */
PLAIN_TEST(atom_05_a_misaligned_one_is_reported)
{
    static _Alignas(8) char bytes[32];
    int status;
    pid_t pid;

    if (!UNDER_UBSAN)
        test_skip("only UBSan looks");
    for (int by = 0; by <= 4; by += 4) {
        _Atomic uint64_t *volatile at = (void *)(bytes + 8 + by);

        fflush(NULL);
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            close(STDERR_FILENO);
            *at += 1;
            _exit(0);
        }
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(WIFEXITED(status) && WEXITSTATUS(status) == 0, by == 0);
    }
}

/* One of the two sides of ATOM-03. */
struct side {
    _Atomic int round;
    _Atomic int result
        [2]; /* of even and odd rounds: twice the round, plus 1 if the other's store was seen */
} __attribute__((aligned(128)));

/* The two go in step: neither begins a round before the other has told the result of the last one, so that both store
 * and load at nearly the same time, again and again. */
static void store_then_load(struct side *me, struct side *other, int n)
{
    for (int i = 1; i <= n; i++) {
        bool seen;

        me->round = i;
        seen = other->round == i;
        me->result[i % 2] = 2 * i + seen;
        while (other->result[i % 2] < 2 * i)
            rn_yield();
        CHECK(seen || other->result[i % 2] == 2 * i + 1);
    }
}

/* ATOM-03: of two that store and then load the other's, at least one sees the other's store. */
GO_TEST(atom_03_store_load)
{
    static struct side x, y;
    int n = test_times(20000);
    rn_wg wg = {0};

    if (test_is_emulated())
        test_skip(
            "QEMU 7.2 on x86-64 lets an ldar pass a stlr, in a program of two plain threads too");
    rn_wg_go(&wg, store_then_load, &x, &y, n);
    rn_wg_go(&wg, store_then_load, &y, &x, n);
    rn_wg_wait(&wg);
    CHECK(x.round == n && y.round == n);
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
