/* SPDX-License-Identifier: MIT */
/*
 * alloc.c - who allocates, and how often: the rule is that constructors and spawns may, and that send, receive,
 * select, lock, wait and sleep never do. The program has malloc of its own that counts; it stands before that
 * of the C library for the library too.
 */
#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <stdlib.h>

/* glibc's own, under the names that it keeps for those who do this. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *p);

static _Atomic long allocations, releases;

void *malloc(size_t size)
{
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return __libc_malloc(size);
}
void *calloc(size_t n, size_t size)
{
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t size)
{
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return __libc_realloc(p, size);
}
void *aligned_alloc(size_t align, size_t size)
{
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return __libc_memalign(align, size);
}
int posix_memalign(void **ret, size_t align, size_t size)
{
    void *p = aligned_alloc(align, size);

    if (!p)
        return ENOMEM;
    *ret = p;
    return 0;
}
void free(void *p)
{
    if (p)
        atomic_fetch_add_explicit(&releases, 1, memory_order_relaxed);
    __libc_free(p);
}

GO_TEST(alloc_is_counted)
{
    long before = allocations;
    rn_chan(int) ch = rn_chan_make(int, 1);
    rn_ctx *ctx;

    CHECK_EQ(allocations, before + 1);
    rn_chan_release(ch);
    ctx = rn_ctx_with_cancel(rn_ctx_background()); /* in an aligned piece */
    CHECK_EQ(allocations, before + 2);
    rn_ctx_end(ctx);
}

static long contexts(int way)
{
    rn_ctx *ctx = rn_ctx_background();
    long before = allocations;

    switch (way) {
    case 0:
        for (int i = 0; i < 100; i++)
            CHECK(rn_ctx_background() == ctx && rn_ctx_done(ctx) == NULL);
        break;
    case 1:
        ctx = rn_ctx_with_cancel(ctx);
        (void)rn_ctx_done(ctx);
        rn_ctx_end(ctx);
        break;
    case 2:
        ctx = rn_ctx_with_timeout(ctx, RN_HOUR);
        (void)rn_ctx_done(ctx);
        rn_ctx_end(ctx);
        break;
    default:
        ctx = rn_ctx_with_timeout(ctx, 1000);
        (void)rn_recv(rn_ctx_done(ctx));
        rn_ctx_end(ctx);
        break;
    }
    return allocations - before;
}

/* The memory of some channels is kept, for others of about their size; not of large ones. */
static void make_many(rn_chan(char) * ch, int64_t cap)
{
    for (int i = 0; i < 100; i++)
        ch[i] = rn_chan_make(char, cap);
    for (int i = 0; i < 100; i++)
        rn_chan_release(ch[i]);
}
GO_TEST_PROCS(alloc_channels_are_kept, 1)
{
    rn_chan(char) ch[100];
    long before;

    make_many(ch, 1);
    before = allocations;
    for (int i = 0; i < 100; i++)
        rn_chan_release(rn_chan_make(char, i % 20));
    CHECK_EQ(allocations, before);
    make_many(ch, 1);
    CHECK(allocations > before && allocations < before + 100);
    before = allocations;
    for (int i = 0; i < 100; i++)
        rn_chan_release(rn_chan_make(char, 10000));
    CHECK_EQ(allocations, before + 100);
}

DEATH_TEST_PROCS(alloc_a_second_release, 1, "panic: release of a released channel")
{
    rn_chan(int) ch = rn_chan_make(int, 1), again = ch;

    rn_chan_release(ch);
    rn_chan_release(again);
}

static int make_and_end(void)
{
    rn_chan(char) ch[100];

    for (int64_t cap = 0; cap < 1000; cap += 50)
        make_many(ch, cap);
    return 0;
}
/* And at the end all is given back. */
PLAIN_TEST(alloc_nothing_is_kept_at_the_end)
{
    long held[3];

    for (int i = 0; i < 3; i++) {
        CHECK_EQ(rn_run(make_and_end), 0);
        held[i] = allocations - releases;
    }
    CHECK_EQ(held[2], held[1]);
}

/* Channels of all sizes, many at a time, released and made anew in any order: each has its memory for itself. */
GO_TEST(alloc_channels_do_not_overlap)
{
    enum { LIVE = 200 };
    rn_chan(char) ch[LIVE] = {NULL};
    size_t cap[LIVE] = {0};
    unsigned random = 1;

    for (int round = 0; round < test_times(20000); round++) {
        int i = (int)((random = random * 1103515245 + 12345) >> 16) % LIVE;

        if (ch[i]) {
            for (size_t k = 0; k < cap[i]; k++)
                CHECK_EQ(rn_recv(ch[i]), (char)(i + (int)k));
            rn_chan_release(ch[i]);
            ch[i] = NULL;
            continue;
        }
        cap[i] = (random >> 8) % 600;
        ch[i] = rn_chan_make(char, (int64_t)cap[i]);
        CHECK_EQ(rn_cap(ch[i]), cap[i]);
        CHECK_EQ(rn_len(ch[i]), 0);
        for (size_t k = 0; k < cap[i]; k++)
            rn_send(ch[i], (char)(i + (int)k));
    }
    for (int i = 0; i < LIVE; i++)
        rn_chan_release(ch[i]);
}

/* CTX-02: the background takes nothing; a context five allocations at most, eight with a timer that is
 * cancelled, twelve with one that fires. */
GO_TEST(ctx_02_allocations)
{
    static const long most[] = {0, 5, 8, 12};

    for (int way = 0; way < 4; way++) {
        long n;

        (void)contexts(way); /* what is made once */
        n = contexts(way);
        CHECK(n <= most[way]);
        CHECK((n > 0) == (way > 0)); /* contexts are counted, and the background is none */
    }
}

struct shared {
    rn_chan(int) there, back, never;
    rn_mutex mu, cond_mu;
    rn_rwmutex rw;
    rn_cond cond;
    rn_sem sem;
    rn_once once;
    rn_wg wg[2];
    bool token; /* guarded by cond_mu */
    int n;      /* guarded by mu */
};

static void nothing(void) {}

/* One round of everything that may wait, with one other in the same round. */
static void one_round(struct shared *s, bool first, int i)
{
    int value;

    if (first) {
        rn_send(s->there, i);
        CHECK_EQ(rn_recv(s->back), i);
        CHECK_EQ(rn_select(rn_on_recv(s->never, &value), rn_on_send(s->there, i)), 1);
        CHECK_EQ(rn_select(rn_on_recv(s->back, &value), rn_on_timeout(RN_HOUR)), 0);
    } else {
        rn_send(s->back, rn_recv(s->there));
        value = -1;
        CHECK_EQ(rn_select(rn_on_timeout(RN_HOUR), rn_on_recv(s->there, &value)), 1);
        CHECK_EQ(rn_select(rn_on_send(s->back, value), rn_on_recv(s->never, NULL)), 0);
    }
    rn_mutex_lock(&s->mu);
    rn_yield();
    s->n++;
    rn_mutex_unlock(&s->mu);
    rn_rwmutex_lock(&s->rw);
    rn_yield();
    rn_rwmutex_unlock(&s->rw);
    rn_rwmutex_rlock(&s->rw);
    rn_yield();
    rn_rwmutex_runlock(&s->rw);
    CHECK_EQ(rn_sem_acquire(NULL, &s->sem, 1), 0);
    rn_yield();
    rn_sem_release(&s->sem, 1);
    rn_once_do(&s->once, nothing);
    rn_mutex_lock(&s->cond_mu);
    if (first) {
        while (!s->token)
            rn_cond_wait(&s->cond, &s->cond_mu);
        s->token = false;
    } else {
        s->token = true;
        rn_cond_signal(&s->cond);
    }
    rn_mutex_unlock(&s->cond_mu);
    rn_sleep(1);
    rn_wg_done(&s->wg[first]);
    rn_wg_wait(&s->wg[!first]);
    if (first) { /* both are past their waits before either group counts again */
        rn_send(s->there, 0);
        (void)rn_recv(s->back);
    } else {
        (void)rn_recv(s->there);
        rn_send(s->back, 0);
    }
    rn_wg_add(&s->wg[first], 1);
}

static void rounds(struct shared *s, int n)
{
    for (int i = 0; i < n; i++)
        one_round(s, false, i);
}

/* SEL-26: waiting never allocates, by whatever it waits. */
GO_TEST(alloc_waiting_takes_none)
{
    static struct shared s = {.sem = RN_SEM(1)};
    int n = test_times(2000);
    long before = 0;

    s.there = rn_chan_make(int, 0);
    s.back = rn_chan_make(int, 0);
    s.never = rn_chan_make(int, 0);
    rn_wg_add(&s.wg[0], 1);
    rn_wg_add(&s.wg[1], 1);
    rn_go(rounds, &s, n);
    for (int i = 0; i < n; i++) {
        if (i == n / 2)
            before = allocations;
        one_round(&s, true, i);
    }
    /* None of the thousands of waits; but a processor that waits for a timer for the first time has a heap to
     * make, and that may come late. */
    CHECK(allocations - before <= 2 * rn_procs());
    CHECK_EQ(s.n, 2 * n);
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(s.there);
    rn_chan_release(s.back);
    rn_chan_release(s.never);
}
