/* SPDX-License-Identifier: MIT */
/*
 * sync.c - the primitives over the lot, between plain threads: mutual exclusion, hand-over to a waiter, the end of
 * waiting, and that an object may go when its meaning allows.
 *
 * Objects lie in memory of the run's own, freed when the interface says that they may go.
 */
#include <runnel.h>

#include "critical.h"
#include "explorer.h"

#include "explore.h"
#include "sync/holder.h"

/* ---- Mutex ---------------------------------------------------------------------------------------------- */

static rn_mutex *mutex;

static void locker(void *arg)
{
    uintptr_t times = (uintptr_t)arg;

    while (times--) {
        rn_mutex_lock(mutex);
        critical();
        rn_mutex_unlock(mutex);
    }
}

EXPLORE(mutex_two, .preemptions = 3, .stale = 2, .random_runs = 5000,
        .breaks = {{"lock_free", "cas_acquire", 0}, {"rn__mutex_unlock", "sub_release", 0}})
{
    reset();
    mutex = new_zero(sizeof *mutex);
    explore_start(locker, (void *)2);
    locker((void *)1);
    explore_join_all();
    EXPECT(count == 3);
    explore_free(mutex);
}

EXPLORE(mutex_three, .preemptions = 2, .stale = 1, .random_runs = 10000,
        .breaks = {{"mutex_wait", "cas_acquire", 0}, {"mutex_wake", "store_release", 0}})
{
    reset();
    mutex = new_zero(sizeof *mutex);
    explore_start(locker, (void *)1);
    explore_start(locker, (void *)1);
    locker((void *)1);
    explore_join_all();
    EXPECT(count == 3);
    explore_free(mutex);
}

/* Who has unlocked it is not said to have it, while others lock and unlock it. */
static bool is_mine(const struct lock_mark *mark)
{
    char here;
    uintptr_t apart = mark->at - (uintptr_t)&here;

    return apart + 100000 < 200000; /* of a stack of 256 KiB */
}

EXPLORE(mutex_mark, .preemptions = 2, .stale = 1, .random_runs = 5000)
{
    struct lock_mark mark;

    reset();
    mutex = new_zero(sizeof *mutex);
    explore_start(locker, (void *)2);
    explore_start(locker, (void *)1);
    locker((void *)1);
    for (int i = 0; i < 2; i++)
        EXPECT(!rn__mutex_mark(mutex, &mark) || !is_mine(&mark));
    rn_mutex_lock(mutex);
    EXPECT(rn__mutex_mark(mutex, &mark) && is_mine(&mark));
    rn_mutex_unlock(mutex);
    EXPECT(!rn__mutex_mark(mutex, &mark) || !is_mine(&mark));
    explore_join_all();
    explore_free(mutex);
}

/* Waiters that time makes starve: the lock is passed on by unlock. */
static void slow_locker(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        rn_mutex_lock(mutex);
        critical();
        explore_advance(2000000);
        rn_mutex_unlock(mutex);
    }
}

EXPLORE(mutex_hand_off, .preemptions = 2, .stale = 0, .random_runs = 10000)
{
    reset();
    mutex = new_zero(sizeof *mutex);
    explore_start(slow_locker, NULL);
    explore_start(slow_locker, NULL);
    locker((void *)1);
    explore_join_all();
    EXPECT(count == 5);
    EXPECT(rn_mutex_try_lock(mutex));
    explore_free(mutex);
}

/* A waiter whose context ends meanwhile: it has the lock, or it has not, and the others go on. */
static rn_ctx *ctx;

/* What lay on the stack of a call that has returned is somebody else's now. */
static __attribute__((noinline)) void scribble(void)
{
    char room[2048];

    explore_write(room, sizeof room);
}

static void lock_under_ctx(void *arg)
{
    (void)arg;
    if (rn_mutex_lock_ctx(ctx, mutex) == 0) {
        critical();
        rn_mutex_unlock(mutex);
    } else {
        EXPECT(rn_ctx_err(ctx) == -ECANCELED);
    }
    scribble();
}

static void cancel_it(void *arg)
{
    (void)arg;
    rn_ctx_cancel(ctx);
}

EXPLORE(mutex_cancelled, .preemptions = 2, .stale = 0, .random_runs = 10000,
        .breaks = {{"end_all", "store_release", 1}, {"rn__ctx_hook_remove", "load_acquire", -1}})
{
    reset();
    mutex = new_zero(sizeof *mutex);
    ctx = rn_ctx_with_cancel(rn_ctx_background());
    explore_start(lock_under_ctx, NULL);
    explore_start(cancel_it, NULL);
    locker((void *)1);
    explore_join_all();
    EXPECT(rn_mutex_try_lock(mutex));
    explore_free(mutex);
    rn_ctx_end(ctx);
    EXPECT(explore_allocated() == 0);
}

/* A try that succeeds is a lock like any other. */
static void try_some(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        if (rn_mutex_try_lock(mutex)) {
            critical();
            rn_mutex_unlock(mutex);
        }
    }
}

EXPLORE(mutex_try, .preemptions = 3, .stale = 1, .random_runs = 5000,
        .breaks = {{"rn__mutex_try_lock", "cas_acquire", 0}})
{
    reset();
    mutex = new_zero(sizeof *mutex);
    explore_start(try_some, NULL);
    explore_start(try_some, NULL);
    explore_join_all();
    EXPECT(count >= 2);
    explore_free(mutex);
}

/* ---- Semaphore ------------------------------------------------------------------------------------------- */

static rn_sem *sem;

static void acquire_one(void *arg)
{
    int64_t n = (int64_t)(intptr_t)arg;

    EXPECT(rn_sem_acquire(NULL, sem, n) == 0);
    if (n == 2)
        critical();
    rn_sem_release(sem, n);
}

/* Of two units one wants both and is served in its turn. */
EXPLORE(sem_weights, .preemptions = 2, .stale = 1, .random_runs = 10000)
{
    reset();
    sem = new_zero(sizeof *sem);
    *sem = (rn_sem)RN_SEM(2);
    explore_start(acquire_one, (void *)2);
    explore_start(acquire_one, (void *)1);
    acquire_one((void *)2);
    explore_join_all();
    EXPECT(count == 2);
    EXPECT(rn_sem_try_acquire(sem, 2));
    explore_free(sem);
}

EXPLORE(sem_as_mutex, .preemptions = 3, .stale = 2, .random_runs = 5000,
        .breaks = {{"take", "cas_acquire", 0}, {"rn_sem_release", "sub_release", 0}})
{
    reset();
    sem = new_zero(sizeof *sem);
    *sem = (rn_sem)RN_SEM(2);
    explore_start(acquire_one, (void *)2);
    acquire_one((void *)2);
    explore_join_all();
    EXPECT(count == 2);
    explore_free(sem);
}

static void release_one(void *arg)
{
    (void)arg;
    rn_sem_release(sem, 1);
}

/* Who has got all units may free it, though those who gave them back are still on their way to serve. */
EXPLORE(sem_last_access, .preemptions = 3, .stale = 1, .random_runs = 10000)
{
    reset();
    sem = new_zero(sizeof *sem);
    *sem = (rn_sem)RN_SEM(2);
    EXPECT(rn_sem_try_acquire(sem, 2));
    explore_start(release_one, NULL);
    explore_start(release_one, NULL);
    EXPECT(rn_sem_acquire(NULL, sem, 2) == 0);
    explore_free(sem);
    explore_join_all();
    EXPECT(explore_allocated() == 0);
}

static void acquire_under_ctx(void *arg)
{
    (void)arg;
    if (rn_sem_acquire(ctx, sem, 2) == 0)
        rn_sem_release(sem, 2);
    scribble();
}

EXPLORE(sem_cancelled, .preemptions = 2, .stale = 0, .random_runs = 10000)
{
    int behind;

    reset();
    sem = new_zero(sizeof *sem);
    *sem = (rn_sem)RN_SEM(2);
    ctx = rn_ctx_with_cancel(rn_ctx_background());
    EXPECT(rn_sem_try_acquire(sem, 1));
    explore_start(acquire_under_ctx, NULL);
    behind = explore_start(acquire_one, (void *)1);
    rn_ctx_cancel(ctx);
    explore_join(behind); /* it fits once the one before it has given up */
    rn_sem_release(sem, 1);
    explore_join_all();
    EXPECT(rn_sem_try_acquire(sem, 2));
    explore_free(sem);
    rn_ctx_end(ctx);
    EXPECT(explore_allocated() == 0);
}

/* ---- Wait group -------------------------------------------------------------------------------------------- */

static rn_wg *wg;

static void done_it(void *arg)
{
    uint64_t *mine = arg;

    *mine = 1;
    explore_write(mine, 8);
    rn_wg_done(wg);
}

static uint64_t results[2];
static void wait_for_two(void)
{
    rn_wg_add(wg, 2);
    explore_start(done_it, &results[0]);
    explore_start(done_it, &results[1]);
    rn_wg_wait(wg);
}
static void read_both(void)
{
    explore_read(&results[0], 8);
    explore_read(&results[1], 8);
}

static void free_after_wait(void)
{
    wg = new_zero(sizeof *wg);
    wait_for_two();
    explore_free(wg);
    read_both();
    explore_join_all();
}

/* D9: whoever waited may free it, although the last done is still returning. */
EXPLORE(wg_free_after_wait, .preemptions = 3, .stale = 1, .random_runs = 10000)
{
    free_after_wait();
}

/* Threads of the explorer queue; with a tag, as goroutines have one, they wait alone. */
static void tagged(uint32_t tag)
{
    store_relaxed(&rn__self()->tag, tag);
}

/* The same, by who waits alone; and again with the same group, whose words are still there. */
EXPLORE(wg_alone, .preemptions = 2, .stale = 1, .random_runs = 10000,
        .breaks = {{"wait_alone", "store_release", 0},
                   {"wait_alone", "cas_acq_rel", 0},
                   {"count_out", "add_acq_rel", 0}})
{
    static const uint64_t earlier[8]; /* whose words are there at first */

    tagged(1);
    wg = new_zero(sizeof *wg);
    wg->rn__reserved[1] = (uint64_t)(uintptr_t)earlier;
    for (int round = 0; round < 2; round++) {
        wait_for_two();
        read_both();
        explore_join_all();
    }
    explore_free(wg);
}

/* D9: whoever waited alone may free it, although the last done is still returning. */
EXPLORE(wg_alone_free_after_wait, .preemptions = 3, .stale = 1, .random_runs = 10000)
{
    tagged(1);
    free_after_wait();
}

/* Whoever comes second queues, also when the first is being woken; another one waits alone in the next batch, where the
 * first one's words are. */
static void wait_tagged(void *tag)
{
    tagged((uint32_t)(uintptr_t)tag);
    rn_wg_wait(wg);
    explore_read(&results[0], 8);
    scribble();
}
EXPLORE(wg_alone_and_others, .preemptions = 2, .stale = 1, .random_runs = 20000)
{
    wg = new_zero(sizeof *wg);
    rn_wg_add(wg, 1);
    explore_start(wait_tagged, (void *)1);
    explore_start(wait_tagged, (void *)2);
    done_it(&results[0]);
    explore_join_all();
    EXPECT(wg->rn__state == 0);
    rn_wg_add(wg, 1);
    explore_start(wait_tagged, (void *)3);
    done_it(&results[0]);
    explore_join_all();
    EXPECT(wg->rn__state == 0);
    explore_free(wg);
}

/* One of two waiters gives up with its context: the other is woken all the same, and who got 0 was the last to need it. */
static void wait_for_group(void *arg)
{
    (void)arg;
    rn_wg_wait(wg);
    explore_read(&results[0], 8);
}

static void wait_under_ctx(void *arg)
{
    int err = rn_wg_wait_ctx(ctx, wg);

    (void)arg;
    if (err == 0)
        explore_read(&results[0], 8);
    else
        EXPECT(err == -ECANCELED && rn_ctx_err(ctx) == -ECANCELED);
    scribble();
}

EXPLORE(wg_cancelled, .preemptions = 2, .stale = 0, .random_runs = 10000)
{
    wg = new_zero(sizeof *wg);
    ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_wg_add(wg, 1);
    explore_start(wait_under_ctx, NULL);
    explore_start(wait_for_group, NULL);
    rn_ctx_cancel(ctx);
    done_it(&results[0]);
    explore_join_all();
    EXPECT(wg->rn__state == 0);
    explore_free(wg);
    rn_ctx_end(ctx);
    EXPECT(explore_allocated() == 0);
}

/* D9: a wait with a context that returns 0 has the group to itself, as one without. */
EXPLORE(wg_free_after_wait_ctx, .preemptions = 2, .stale = 1, .random_runs = 10000)
{
    wg = new_zero(sizeof *wg);
    ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_wg_add(wg, 1);
    explore_start(done_it, &results[0]);
    explore_start(cancel_it, NULL);
    if (rn_wg_wait_ctx(ctx, wg) == 0)
        explore_read(&results[0], 8);
    else
        rn_wg_wait(wg);
    explore_free(wg);
    explore_join_all();
    rn_ctx_end(ctx);
    EXPECT(explore_allocated() == 0);
}

/* ---- Once ---------------------------------------------------------------------------------------------------- */

static rn_once *once;

static void first(void)
{
    critical();
}

static void do_once(void *arg)
{
    (void)arg;
    rn_once_do(once, first);
    EXPECT(count == 1);
    explore_read(&data, 8);
}

EXPLORE(once_do, .preemptions = 2, .stale = 2, .random_runs = 10000)
{
    reset();
    once = new_zero(sizeof *once);
    explore_start(do_once, NULL);
    explore_start(do_once, NULL);
    do_once(NULL);
    explore_join_all();
    explore_free(once);
}

/* ---- Condition -------------------------------------------------------------------------------------------------- */

static rn_cond *cond;
static bool ready;

static void wait_for_ready(void *arg)
{
    (void)arg;
    rn_mutex_lock(mutex);
    while (!ready)
        rn_cond_wait(cond, mutex);
    critical();
    rn_mutex_unlock(mutex);
}

EXPLORE(cond_signal, .preemptions = 2, .stale = 1, .random_runs = 10000)
{
    reset();
    ready = false;
    mutex = new_zero(sizeof *mutex);
    cond = new_zero(sizeof *cond);
    explore_start(wait_for_ready, NULL);
    rn_mutex_lock(mutex);
    ready = true;
    rn_mutex_unlock(mutex);
    rn_cond_signal(cond);
    explore_join_all();
    EXPECT(count == 1);
    explore_free(mutex);
    explore_free(cond);
}

EXPLORE(cond_broadcast, .preemptions = 2, .stale = 0, .random_runs = 10000)
{
    reset();
    ready = false;
    mutex = new_zero(sizeof *mutex);
    cond = new_zero(sizeof *cond);
    explore_start(wait_for_ready, NULL);
    explore_start(wait_for_ready, NULL);
    rn_mutex_lock(mutex);
    ready = true;
    rn_cond_broadcast(cond);
    rn_mutex_unlock(mutex);
    explore_join_all();
    EXPECT(count == 2);
    explore_free(mutex);
    explore_free(cond);
}

/* ---- Readers and writers ---------------------------------------------------------------------------------------------- */

static rn_rwmutex *rw;

static void reader(void *arg)
{
    (void)arg;
    rn_rwmutex_rlock(rw);
    explore_read(&data, 8);
    rn_rwmutex_runlock(rw);
}

static void writer(void *arg)
{
    (void)arg;
    rn_rwmutex_lock(rw);
    critical();
    rn_rwmutex_unlock(rw);
}

EXPLORE(rwmutex, .preemptions = 2, .stale = 1, .random_runs = 10000)
{
    reset();
    rw = new_zero(sizeof *rw);
    explore_start(reader, NULL);
    explore_start(writer, NULL);
    reader(NULL);
    writer(NULL);
    explore_join_all();
    EXPECT(count == 2);
    explore_free(rw);
}

/* A reader is admitted on its way to the queue: that lets in one, and not the next that comes while a writer is in. */
static void reader_then_writer(void *arg)
{
    reader(arg);
    writer(arg);
}

EXPLORE(rwmutex_admitted, .preemptions = 3, .stale = 0, .random_runs = 10000)
{
    reset();
    rw = new_zero(sizeof *rw);
    explore_start(reader_then_writer, NULL);
    explore_start(reader, NULL);
    writer(NULL);
    explore_join_all();
    EXPECT(count == 2);
    EXPECT(rn_rwmutex_try_lock(rw));
    explore_free(rw);
}

/* Writers that time makes starve: unlock keeps the lock for one, which waits for the readers let in at that moment. */
static void slow_writer(void *arg)
{
    (void)arg;
    rn_rwmutex_lock(rw);
    critical();
    (void)load_relaxed(&results[0]); /* others may come here, before time passes */
    explore_advance(2000000);
    rn_rwmutex_unlock(rw);
}

EXPLORE(rwmutex_hand_off, .preemptions = 2, .stale = 0, .random_runs = 10000)
{
    reset();
    rw = new_zero(sizeof *rw);
    explore_start(slow_writer, NULL);
    explore_start(slow_writer, NULL);
    explore_start(reader, NULL);
    explore_join_all();
    EXPECT(count == 2);
    EXPECT(rn_rwmutex_try_lock(rw));
    explore_free(rw);
}

EXPLORE(rwmutex_mark, .preemptions = 2, .stale = 1, .random_runs = 5000)
{
    struct lot_bucket *b;
    struct lock_mark mark;
    uint32_t readers = 0;

    reset();
    rw = new_zero(sizeof *rw);
    explore_start(writer, NULL);
    explore_start(reader, NULL);
    writer(NULL);
    b = rn__lot_lock(rw);
    EXPECT(!rn__rwmutex_mark(rw, &mark, &readers) || !is_mine(&mark));
    EXPECT(readers <= 1);
    rn__lot_unlock(b);
    rn_rwmutex_rlock(rw);
    b = rn__lot_lock(rw);
    EXPECT(!rn__rwmutex_mark(rw, &mark, &readers));
    EXPECT(readers == 1 || readers == 2);
    rn__lot_unlock(b);
    rn_rwmutex_runlock(rw);
    explore_join_all();
    explore_free(rw);
}

/* ---- Contexts ---------------------------------------------------------------------------------------------------------- */

/* Ending a parent while a child is ended by its own: each context ends, and is freed once, after its last use. */
static rn_ctx *child, *sibling;
static void end_child(void *arg)
{
    (void)arg;
    rn_ctx_end(child);
}

/* D8: the memory goes with the last of both. */
EXPLORE(ctx_end_both, .preemptions = 3, .stale = 1, .random_runs = 10000,
        .breaks = {{"rn__ctx_unref", "sub_acq_rel", 0}})
{
    ctx = rn_ctx_with_cancel(rn_ctx_background());
    child = rn_ctx_with_cancel(ctx);
    explore_start(end_child, NULL);
    rn_ctx_end(ctx);
    explore_join_all();
    EXPECT(explore_allocated() == 0);
}

/* The same with a sibling, which must end too. */
EXPLORE(ctx_end_siblings, .preemptions = 2, .stale = 0, .random_runs = 10000)
{
    ctx = rn_ctx_with_cancel(rn_ctx_background());
    sibling = rn_ctx_with_cancel(ctx);
    child = rn_ctx_with_cancel(ctx);
    explore_start(end_child, NULL);
    rn_ctx_cancel(ctx);
    EXPECT(rn_ctx_err(sibling) == -ECANCELED);
    explore_join_all();
    rn_ctx_end(sibling);
    rn_ctx_end(ctx);
    EXPECT(explore_allocated() == 0);
}

static void wait_for_end(void *arg)
{
    uint64_t v;
    rn_chan(uint64_t) c = arg;

    EXPECT(rn_recv_ctx(child, c, &v) == -ECANCELED);
    EXPECT(rn_ctx_err(child) == -ECANCELED);
}

EXPLORE(ctx_cancel_wakes, .preemptions = 2, .stale = 1, .random_runs = 10000)
{
    rn_chan(uint64_t) c = rn_chan_make(uint64_t, 0);

    ctx = rn_ctx_with_cancel(rn_ctx_background());
    child = rn_ctx_with_cancel(ctx);
    explore_start(wait_for_end, (void *)(uintptr_t)c);
    rn_ctx_cancel(ctx);
    explore_join_all();
    rn_ctx_end(child);
    rn_ctx_end(ctx);
    rn_chan_release(c);
    EXPECT(explore_allocated() == 0);
}
