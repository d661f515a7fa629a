/* SPDX-License-Identifier: MIT */
/*
 * scope.c - D9: objects of sync.h leave scope at the first moment their meaning allows, although the
 * call of another goroutine that made it possible is still returning there. The memory is overwritten at
 * once, so that a late access is seen: half of it is freed, of which the sanitizers tell; the other half,
 * since they do not see the library's own accesses, is kept for a while and must still be as it was left.
 */
#include "support.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

static void done(rn_wg *wg)
{
    rn_wg_done(wg);
}

static void nothing(void) {}

enum { SPOILT = 0xa5, KEPT = 64 };

struct kept {
    size_t size;
    unsigned char *bytes;
};
static struct kept *_Atomic kept[KEPT];
static _Atomic unsigned spoilt;

/* Used up: what a late access would read is not what it expects, and what it would write is found. */
static void spoil(void *object, size_t size)
{
    unsigned n = spoilt++;
    struct kept *k;

    memset(object, SPOILT, size);
    if (n % 2) {
        free(object);
        return;
    }
    k = malloc(sizeof(*k));
    CHECK(k);
    *k = (struct kept){size, object};
    k = atomic_exchange(&kept[n / 2 % KEPT], k);
    if (!k)
        return;
    for (size_t i = 0; i < k->size; i++)
        CHECK_EQ(k->bytes[i], SPOILT);
    free(k->bytes);
    free(k);
}

/* D9: a wait group after rn_wg_wait, the last rn_wg_done still returning. */
GO_TEST(scope_wg)
{
    for (int i = 0; i < test_times(300000); i++) {
        rn_wg *wg = calloc(1, sizeof(*wg));

        CHECK(wg);
        rn_wg_add(wg, 1 + i % 2);
        rn_go(done, wg);
        if (i % 2)
            rn_go(done, wg);
        if (i % 3 == 0)
            rn_yield();
        rn_wg_wait(wg);
        spoil(wg, sizeof(*wg));
    }
}

/* D9: the same through rn_wg_go. */
GO_TEST(scope_wg_go)
{
    for (int i = 0; i < test_times(300000); i++) {
        rn_wg *wg = calloc(1, sizeof(*wg));

        CHECK(wg);
        rn_wg_go(wg, nothing);
        if (i % 3 == 0)
            rn_yield();
        rn_wg_wait(wg);
        spoil(wg, sizeof(*wg));
    }
}

/* On the stack of a function that returns. */
static int on_the_stack(int i)
{
    rn_wg wg = {0};

    rn_wg_add(&wg, 1);
    rn_go(done, &wg);
    if (i % 3 == 0)
        rn_yield();
    rn_wg_wait(&wg);
    return i;
}

static int clobber(int i)
{
    volatile char space[256];

    memset((char *)space, i, sizeof(space));
    return space[i % 256];
}

GO_TEST(scope_wg_on_the_stack)
{
    for (int i = 0; i < test_times(300000); i++) {
        CHECK_EQ(on_the_stack(i), i);
        (void)clobber(i);
    }
}

struct counted {
    rn_mutex m;
    int refs; /* guarded by m */
};

static void drop(struct counted *c)
{
    bool last;

    rn_mutex_lock(&c->m);
    last = --c->refs == 0;
    rn_mutex_unlock(&c->m);
    if (last)
        spoil(c, sizeof(*c));
}

/* D6, D9: a mutex after the unlock of whoever knows that it was the last, although the unlock before
 * is still returning. */
GO_TEST(scope_mutex)
{
    for (int i = 0; i < test_times(200000); i++) {
        struct counted *c = calloc(1, sizeof(*c));

        CHECK(c);
        c->refs = 3;
        if (i % 2)
            rn_mutex_lock(&c->m); /* they come to wait */
        rn_go(drop, c);
        rn_go(drop, c);
        if (i % 2) {
            rn_yield();
            rn_mutex_unlock(&c->m);
        }
        drop(c);
    }
}

static void step(rn_once *once, _Atomic int *left)
{
    rn_once_do(once, nothing);
    if (--*left == 0)
        spoil(once, sizeof(*once));
}

/* D9: a once after every rn_once_do has returned. */
GO_TEST(scope_once)
{
    for (int i = 0; i < test_times(100000); i++) {
        rn_once *once = calloc(1, sizeof(*once));
        _Atomic int left = 3;

        CHECK(once);
        rn_go(step, once, &left);
        rn_go(step, once, &left);
        step(once, &left);
        AWAIT(left == 0);
    }
}

struct waiter {
    rn_mutex m;
    rn_cond c;
    bool ready; /* guarded by m */
};

static void make_ready(struct waiter *w)
{
    rn_mutex_lock(&w->m);
    w->ready = true;
    rn_cond_signal(&w->c);
    rn_mutex_unlock(&w->m); /* its last access: the waiter may then free everything */
}

/* D9: a mutex and its condition once the waiter holds the lock and knows that nobody else comes. */
GO_TEST(scope_cond)
{
    for (int i = 0; i < test_times(100000); i++) {
        struct waiter *w = calloc(1, sizeof(*w));

        CHECK(w);
        rn_go(make_ready, w);
        rn_mutex_lock(&w->m);
        while (!w->ready)
            rn_cond_wait(&w->c, &w->m);
        rn_mutex_unlock(&w->m);
        spoil(w, sizeof(*w));
    }
}

static void release(rn_sem *sem)
{
    rn_sem_release(sem, 1);
}

/* D9: a semaphore after the acquire that the last release made possible. */
GO_TEST(scope_sem)
{
    for (int i = 0; i < test_times(200000); i++) {
        rn_sem *sem = calloc(1, sizeof(*sem));

        CHECK(sem);
        *sem = (rn_sem)RN_SEM(1);
        CHECK(rn_sem_try_acquire(sem, 1));
        rn_go(release, sem);
        if (i % 2)
            rn_yield();
        CHECK_EQ(rn_sem_acquire(NULL, sem, 1), 0);
        spoil(sem, sizeof(*sem));
    }
}

static void unlock_write(rn_rwmutex *m)
{
    rn_rwmutex_unlock(m);
}

static void unlock_read(rn_rwmutex *m)
{
    rn_rwmutex_runlock(m);
}

/* D9: a read-write mutex after the lock that the last unlock made possible. */
GO_TEST(scope_rwmutex)
{
    for (int i = 0; i < test_times(200000); i++) {
        rn_rwmutex *m = calloc(1, sizeof(*m));

        CHECK(m);
        if (i % 2) {
            rn_rwmutex_lock(m);
            rn_go(unlock_write, m);
        } else {
            rn_rwmutex_rlock(m);
            rn_go(unlock_read, m);
        }
        if (i % 3 == 0)
            rn_yield();
        rn_rwmutex_lock(m);
        rn_rwmutex_unlock(m);
        spoil(m, sizeof(*m));
    }
}

static void wake(rn_ticket *t)
{
    (void)rn_ready(t);
}

/* A ticket after rn_park. */
GO_TEST(scope_ticket)
{
    for (int i = 0; i < test_times(200000); i++) {
        rn_ticket *t = malloc(sizeof(*t));

        CHECK(t);
        rn_park_init(t);
        rn_go(wake, t);
        if (i % 2)
            rn_yield();
        rn_park(t);
        spoil(t, sizeof(*t));
    }
}

static int work(int result)
{
    return result;
}

/* D9: an error group after rn_group_wait, the last goroutine still leaving; with a limit, a context, and an error. */
GO_TEST(scope_group)
{
    for (int i = 0; i < test_times(200000); i++) {
        rn_group *g = calloc(1, sizeof(*g));
        int result = i % 5 == 0 ? -EIO : 0;

        CHECK(g);
        if (i % 2)
            rn_group_set_limit(g, 1);
        if (i % 5 == 0)
            (void)rn_group_with_ctx(g, rn_ctx_background());
        rn_group_go(g, work, 0);
        rn_group_go(g, work, result);
        if (i % 3 == 0)
            rn_yield();
        CHECK_EQ(rn_group_wait(g), result);
        spoil(g, sizeof(*g));
    }
}

struct calls {
    rn_flight f;
    _Atomic int left;
};

static int answer(int *out)
{
    *out = 42;
    return 0;
}

static void call(struct calls *c)
{
    int out = 0;

    CHECK_EQ(rn_flight_do(&c->f, "key", &out, answer, &out), 0);
    CHECK_EQ(out, 42);
    if (--c->left == 0)
        spoil(c, sizeof(*c));
}

/* D9: a flight after every call has returned. */
GO_TEST(scope_flight)
{
    for (int i = 0; i < test_times(100000); i++) {
        struct calls *c = calloc(1, sizeof(*c));

        CHECK(c);
        c->left = 3;
        rn_go(call, c);
        rn_go(call, c);
        if (i % 3 == 0)
            rn_yield();
        call(c);
    }
}

static void note(_Atomic int *n)
{
    ++*n;
}

static void cancel(rn_ctx *ctx)
{
    rn_ctx_end(ctx);
}

/* An after-function's hook after rn_ctx_hook_stop, although the cancel that fires it is still returning. */
GO_TEST(scope_hook)
{
    for (int i = 0; i < test_times(200000); i++) {
        rn_ctx_hook *hook = calloc(1, sizeof(*hook));
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
        _Atomic int ran = 0;
        bool stopped;

        CHECK(hook);
        rn_ctx_after_func(hook, ctx, note, &ran);
        rn_go(cancel, ctx);
        while (i % 2 && !ran)
            rn_yield();
        stopped = rn_ctx_hook_stop(hook);
        spoil(hook, sizeof(*hook));
        CHECK_EQ(ran, stopped ? 0 : 1);
    }
}
