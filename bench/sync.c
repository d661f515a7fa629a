/* SPDX-License-Identifier: MIT */
/* sync.c - mutexes, semaphores, wait groups, once, condition variables, groups. Workloads:
 * README.md. */
#include "driver.h"

#include <stdlib.h>

enum { PAD = 128 };

/* ---- Mutex ---------------------------------------------------------------------------------- */

struct mutex_test {
    _Alignas(PAD) rn_mutex m;
    int64_t work;
    _Alignas(PAD) uint64_t one, two; /* guarded by m */
};

static void mutex_private_body(struct bench_part *p, void *arg)
{
    _Alignas(PAD) struct {
        rn_mutex m;
        char pad[PAD];
    } own = {0};

    (void)arg;
    while (bench_next(p)) {
        rn_mutex_lock(&own.m);
        rn_mutex_unlock(&own.m);
    }
}

static void mutex_uncontended(struct bench *b)
{
    bench_parallel(b, 1, mutex_private_body, NULL);
}

/* What all read is read before the loop: beside what they write it would be taken from each other with it. */
static void mutex_body(struct bench_part *p, void *arg)
{
    struct mutex_test *t = arg;
    int64_t work = t->work;

    while (bench_next(p)) {
        rn_mutex_lock(&t->m);
        rn_mutex_unlock(&t->m);
        if (work > 0)
            local_work(work);
    }
}

static void mutex(struct bench *b)
{
    struct mutex_test t = {0};

    bench_parallel(b, (int)b->arg, mutex_body, &t);
}

static void mutex_work(struct bench *b)
{
    struct mutex_test t = {.work = 100};

    bench_parallel(b, (int)b->arg, mutex_body, &t);
}

static uint64_t *array_new(size_t bytes)
{
    uint64_t *a = calloc(1, bytes);

    if (!a)
        bench_fail("out of memory");
    return a;
}

/* Work of the benchmark's own, to be the same in both languages: by index and with the end in a register gcc's loop takes
 * what Go's takes, 1.2 us for 128 KiB on a Zen; by pointer 1.33, with the end as a constant 1.48. */
static void array_touch(uint64_t *a, size_t bytes)
{
    size_t n = bytes / sizeof(*a);

    __asm__("" : "+r"(n));
    for (size_t i = 0; i < n; i += 4) {
        __asm__("" : "+r"(i));
        a[i]++;
    }
    bench_keep(a);
}

static void update(struct mutex_test *t)
{
    rn_mutex_lock(&t->m);
    t->one -= 100;
    t->two += 100;
    rn_mutex_unlock(&t->m);
}

static void send_one(rn_send_only(bool) ch)
{
    rn_send(ch, true);
}

static void no_spin_body(struct bench_part *p, void *arg)
{
    enum { BYTES = 32 * 1024 };
    struct mutex_test *t = arg;
    rn_chan(bool) ch = rn_chan_make(bool, 0);
    uint64_t *data = array_new(BYTES);

    for (int64_t i = 0; bench_next(p); i++) {
        if (i % 4 == 0) {
            update(t);
        } else {
            array_touch(data, BYTES);
            rn_go(send_one, ch);
            (void)rn_recv(ch);
        }
    }
    free(data);
    rn_chan_release(ch);
}

static void mutex_no_spin(struct bench *b)
{
    struct mutex_test t = {0};

    bench_parallel(b, 4, no_spin_body, &t);
}

static void spin_body(struct bench_part *p, void *arg)
{
    enum { BYTES = 128 * 1024 };
    uint64_t *data = array_new(BYTES);

    while (bench_next(p)) {
        update(arg);
        array_touch(data, BYTES);
    }
    free(data);
}

static void mutex_spin(struct bench *b)
{
    struct mutex_test t = {0};

    bench_parallel(b, 1, spin_body, &t);
}

/* ---- RWMutex -------------------------------------------------------------------------------- */

struct rw_test {
    _Alignas(PAD) rn_rwmutex m;
    int64_t every; /* how many iterations a write comes */
    int64_t work;
};

static void rw_private_body(struct bench_part *p, void *arg)
{
    _Alignas(PAD) struct {
        rn_rwmutex m;
        char pad[PAD];
    } own = {0};

    (void)arg;
    while (bench_next(p)) {
        rn_rwmutex_rlock(&own.m);
        rn_rwmutex_rlock(&own.m);
        rn_rwmutex_runlock(&own.m);
        rn_rwmutex_runlock(&own.m);
        rn_rwmutex_lock(&own.m);
        rn_rwmutex_unlock(&own.m);
    }
}

static void rw_uncontended(struct bench *b)
{
    bench_parallel(b, 1, rw_private_body, NULL);
}

static void rw_body(struct bench_part *p, void *arg)
{
    struct rw_test *t = arg;
    int64_t every = t->every, work = t->work;

    for (int64_t i = 1; bench_next(p); i++) {
        if (i % every == 0) {
            rn_rwmutex_lock(&t->m);
            rn_rwmutex_unlock(&t->m);
        } else {
            rn_rwmutex_rlock(&t->m);
            if (work > 0)
                local_work(work);
            rn_rwmutex_runlock(&t->m);
        }
    }
}

static void rw_write(struct bench *b)
{
    struct rw_test t = {.every = b->arg};

    bench_parallel(b, 1, rw_body, &t);
}

static void rw_work_write(struct bench *b)
{
    struct rw_test t = {.every = b->arg, .work = 100};

    bench_parallel(b, 1, rw_body, &t);
}

/* ---- Semaphore as the runtime's: units of one ------------------------------------------------- */

static void acquire_one(rn_sem *s)
{
    if (rn_sem_acquire(NULL, s, 1) != 0)
        bench_fail("acquire failed");
}

static void sem_uncontended(struct bench *b)
{
    rn_sem s = RN_SEM(1);

    for (int64_t i = 0; i < b->n; i++) {
        acquire_one(&s);
        rn_sem_release(&s, 1);
    }
}

static void sem_side(rn_sem *s, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        acquire_one(s);
        rn_sem_release(s, 1);
    }
}

static void sem_contended(struct bench *b)
{
    rn_sem s = RN_SEM(1);
    rn_wg wg = {0};

    rn_wg_go(&wg, sem_side, &s, b->n / 2);
    rn_wg_go(&wg, sem_side, &s, b->n - b->n / 2);
    rn_wg_wait(&wg);
}

static void sema_private_body(struct bench_part *p, void *arg)
{
    _Alignas(PAD) struct {
        rn_sem s;
        char pad[PAD];
    } own = {.s = RN_SEM(1)};

    (void)arg;
    acquire_one(&own.s);
    while (bench_next(p)) {
        rn_sem_release(&own.s, 1);
        acquire_one(&own.s);
    }
}

static void sema_private(struct bench *b)
{
    bench_parallel(b, 1, sema_private_body, NULL);
}

struct sema_test {
    _Alignas(PAD) rn_sem s;
    int64_t work;
};

static void sema_body(struct bench_part *p, void *arg)
{
    struct sema_test *t = arg;
    int64_t work = t->work;

    while (bench_next(p)) {
        rn_sem_release(&t->s, 1);
        if (work > 0)
            local_work(work);
        acquire_one(&t->s);
    }
    rn_sem_release(&t->s, 1); /* for those who still wait, and the helper */
}

static void sema_helper(rn_sem *s, int units)
{
    for (int i = 0; i < units; i++)
        acquire_one(s);
}

static void sema(struct bench *b, bool blocks, int64_t work)
{
    struct sema_test t = {.s = RN_SEM(b->procs), .work = work};
    rn_wg wg = {0};

    /* As a semaphore of the runtime starts: nothing to be had before the first release. */
    if (rn_sem_acquire(NULL, &t.s, b->procs) != 0)
        bench_fail("acquire failed");
    if (blocks)
        rn_wg_go(&wg, sema_helper, &t.s, b->procs / 2);
    bench_parallel(b, 1, sema_body, &t);
    rn_wg_wait(&wg);
}

static void sema_nonblock(struct bench *b)
{
    sema(b, false, b->arg);
}

static void sema_block(struct bench *b)
{
    sema(b, true, b->arg);
}

/* ---- Weighted semaphore, and a channel as one ------------------------------------------------- */

#define SEQ(cap, size, n) ((cap) << 16 | (size) << 8 | (n))

static void weighted_acquire(struct bench *b)
{
    int64_t cap = b->arg >> 16, size = b->arg >> 8 & 255, n = b->arg & 255;
    rn_ctx *ctx = rn_ctx_background();
    rn_sem s = RN_SEM(cap);

    for (int64_t i = 0; i < b->n; i++) {
        for (int64_t k = 0; k < n; k++)
            if (rn_sem_acquire(ctx, &s, size) != 0)
                bench_fail("acquire failed");
        for (int64_t k = 0; k < n; k++)
            rn_sem_release(&s, size);
    }
}

static void weighted_try(struct bench *b)
{
    int64_t cap = b->arg >> 16, size = b->arg >> 8 & 255, n = b->arg & 255;
    rn_sem s = RN_SEM(cap);

    for (int64_t i = 0; i < b->n; i++) {
        for (int64_t k = 0; k < n; k++)
            if (!rn_sem_try_acquire(&s, size))
                bench_fail("acquire failed");
        for (int64_t k = 0; k < n; k++)
            rn_sem_release(&s, size);
    }
}

static void chan_acquire(struct bench *b)
{
    int64_t cap = b->arg >> 16, size = b->arg >> 8 & 255, n = b->arg & 255;
    rn_chan(rn_unit) s = rn_chan_make(rn_unit, cap);

    for (int64_t i = 0; i < b->n; i++) {
        for (int64_t k = 0; k < n * size; k++)
            rn_send(s, RN_UNIT);
        for (int64_t k = 0; k < n * size; k++)
            (void)rn_recv(s);
    }
    bench_stop(b);
    rn_chan_release(s);
}

/* ---- WaitGroup -------------------------------------------------------------------------------- */

struct wg_test {
    _Alignas(PAD) rn_wg wg;
    int64_t work;
};

static void wg_private_body(struct bench_part *p, void *arg)
{
    _Alignas(PAD) struct {
        rn_wg wg;
        char pad[PAD];
    } own = {0};

    (void)arg;
    while (bench_next(p)) {
        rn_wg_add(&own.wg, 1);
        rn_wg_done(&own.wg);
        rn_wg_wait(&own.wg);
    }
}

static void wg_uncontended(struct bench *b)
{
    bench_parallel(b, 1, wg_private_body, NULL);
}

static void wg_add_done_body(struct bench_part *p, void *arg)
{
    struct wg_test *t = arg;
    int64_t work = t->work;

    while (bench_next(p)) {
        rn_wg_add(&t->wg, 1);
        if (work > 0)
            local_work(work);
        rn_wg_done(&t->wg);
    }
}

static void wg_add_done(struct bench *b)
{
    struct wg_test t = {.work = b->arg};

    bench_parallel(b, 1, wg_add_done_body, &t);
}

static void wg_wait_body(struct bench_part *p, void *arg)
{
    struct wg_test *t = arg;
    int64_t work = t->work;

    while (bench_next(p)) {
        rn_wg_wait(&t->wg);
        if (work > 0)
            local_work(work);
    }
}

static void wg_wait(struct bench *b)
{
    struct wg_test t = {.work = b->arg};

    bench_parallel(b, 1, wg_wait_body, &t);
}

static void wg_really_wait_body(struct bench_part *p, void *arg)
{
    (void)arg;
    while (bench_next(p)) {
        rn_wg wg = {0};

        rn_wg_add(&wg, 1);
        rn_go(rn_wg_done, &wg);
        rn_wg_wait(&wg);
    }
}

static void wg_really_wait(struct bench *b)
{
    bench_parallel(b, 1, wg_really_wait_body, NULL);
}

/* ---- Once ------------------------------------------------------------------------------------- */

static void nothing(void) {}

static void once_body(struct bench_part *p, void *arg)
{
    rn_once *once = arg;

    while (bench_next(p))
        rn_once_do(once, nothing);
}

static void once(struct bench *b)
{
    rn_once o = {0};

    rn_once_do(&o, nothing);
    bench_parallel(b, 1, once_body, &o);
}

/* ---- Cond ------------------------------------------------------------------------------------- */

struct cond_test {
    rn_mutex m;
    rn_cond c;
    int64_t waiters, entered; /* guarded by m */
};

static void cond_side(struct cond_test *t, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        rn_mutex_lock(&t->m);
        t->entered++;
        if (t->entered == t->waiters + 1) {
            t->entered = 0;
            rn_cond_broadcast(&t->c);
        } else {
            rn_cond_wait(&t->c, &t->m);
        }
        rn_mutex_unlock(&t->m);
    }
}

static void cond(struct bench *b)
{
    struct cond_test t = {.waiters = b->arg};
    rn_wg wg = {0};

    for (int64_t i = 0; i <= b->arg; i++)
        rn_wg_go(&wg, cond_side, &t, b->n);
    rn_wg_wait(&wg);
}

/* ---- Group ------------------------------------------------------------------------------------ */

static int success(void)
{
    return 0;
}

static void group_go(struct bench *b)
{
    rn_group g = {0};

    for (int64_t i = 0; i < b->n; i++)
        rn_group_go(&g, success);
    if (rn_group_wait(&g) != 0)
        bench_fail("the group failed");
}

static void semaphore_new(struct bench *b)
{
    for (int64_t i = 0; i < b->n; i++) {
        rn_sem s = RN_SEM(b->arg);

        bench_keep(&s);
    }
}

static void semaphore_new_chan(struct bench *b)
{
    for (int64_t i = 0; i < b->n; i++)
        rn_chan_release(rn_chan_make(rn_unit, b->arg));
}

#define SEQ_ENTRIES(label, fn)                                                                     \
    {"Semaphore/" label "-1-1-1", fn, SEQ(1, 1, 1), 0},                                            \
        {"Semaphore/" label "-2-1-1", fn, SEQ(2, 1, 1), 0},                                        \
        {"Semaphore/" label "-16-1-1", fn, SEQ(16, 1, 1), 0},                                      \
        {"Semaphore/" label "-128-1-1", fn, SEQ(128, 1, 1), 0},                                    \
        {"Semaphore/" label "-2-2-1", fn, SEQ(2, 2, 1), 0},                                        \
        {"Semaphore/" label "-16-2-8", fn, SEQ(16, 2, 8), 0},                                      \
        {"Semaphore/" label "-128-2-64", fn, SEQ(128, 2, 64), 0},                                  \
        {"Semaphore/" label "-2-1-2", fn, SEQ(2, 1, 2), 0},                                        \
        {"Semaphore/" label "-16-8-2", fn, SEQ(16, 8, 2), 0},                                      \
        {"Semaphore/" label "-128-64-2", fn, SEQ(128, 64, 2), 0}

static const struct bench_entry entries[] = {
    {"MutexUncontended", mutex_uncontended, 0, 0},
    {"Mutex", mutex, 1, 0},
    {"MutexSlack", mutex, 10, 0},
    {"MutexWork", mutex_work, 1, 0},
    {"MutexWorkSlack", mutex_work, 10, 0},
    {"MutexNoSpin", mutex_no_spin, 0, 0},
    {"MutexSpin", mutex_spin, 0, 0},
    {"RWMutexUncontended", rw_uncontended, 0, 0},
    {"RWMutexWrite100", rw_write, 100, 0},
    {"RWMutexWrite10", rw_write, 10, 0},
    {"RWMutexWorkWrite100", rw_work_write, 100, 0},
    {"RWMutexWorkWrite10", rw_work_write, 10, 0},
    {"UncontendedSemaphore", sem_uncontended, 0, 0},
    {"ContendedSemaphore", sem_contended, 0, 2},
    {"ContendedSemaphore/Weighted", sem_contended, 0, 2},
    {"SemaUncontended", sema_private, 0, 0},
    {"SemaSyntNonblock", sema_nonblock, 0, 0},
    {"SemaSyntBlock", sema_block, 0, 0},
    {"SemaWorkNonblock", sema_nonblock, 100, 0},
    {"SemaWorkBlock", sema_block, 100, 0},
    {"WaitGroupUncontended", wg_uncontended, 0, 0},
    {"WaitGroupAddDone", wg_add_done, 0, 0},
    {"WaitGroupAddDoneWork", wg_add_done, 100, 0},
    {"WaitGroupWait", wg_wait, 0, 0},
    {"WaitGroupWaitWork", wg_wait, 100, 0},
    {"WaitGroupActuallyWait", wg_really_wait, 0, 0},
    {"Once", once, 0, 0},
    {"Cond1", cond, 1, 0},
    {"Cond2", cond, 2, 0},
    {"Cond4", cond, 4, 0},
    {"Cond8", cond, 8, 0},
    {"Cond16", cond, 16, 0},
    {"Cond32", cond, 32, 0},
    {"ErrgroupGo", group_go, 0, 0},
    {"SemaphoreNew/Weighted-1", semaphore_new, 1, 0},
    {"SemaphoreNew/Weighted-128", semaphore_new, 128, 0},
    {"SemaphoreNew/Chan-1", semaphore_new_chan, 1, 0},
    {"SemaphoreNew/Chan-128", semaphore_new_chan, 128, 0},
    SEQ_ENTRIES("Weighted-acquire", weighted_acquire),
    SEQ_ENTRIES("Weighted-tryAcquire", weighted_try),
    SEQ_ENTRIES("Chan-acquire", chan_acquire),
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, entries, sizeof(entries) / sizeof(entries[0]));
}
