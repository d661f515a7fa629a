/* SPDX-License-Identifier: MIT */
/*
 * race.c - each happens-before edge, with and without it, for ThreadSanitizer.
 *
 *     race CASE with       must end silently and say "done"
 *     race CASE without    must be reported as a data race
 *     race --list          each case and which of the two it has
 *
 * Two accesses to one plain variable are ordered in time in every case; what differs is whether an edge of
 * part B of the semantics orders them. Where there must be none, time is kept by relaxed atomics, from which
 * the detector learns nothing. So both answers are deterministic: a missing edge shows as a report in "with",
 * an invented one as silence in "without".
 */
#define _GNU_SOURCE
#include <runnel.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static int data; /* what races */
static int other;

/* Time without order. */
static _Atomic int clock_hand;
static void reach(int t)
{
    atomic_store_explicit(&clock_hand, t, memory_order_relaxed);
}
static void wait_for(int t)
{
    while (atomic_load_explicit(&clock_hand, memory_order_relaxed) < t)
        rn_yield();
}
/* The other side has time to park; also orders nothing. */
static void linger(void)
{
    for (int i = 0; i < 100; i++)
        rn_yield();
}

static rn_chan(int) ch, ch2;
static rn_chan(rn_unit) unit_ch;
static rn_mutex mu, mu2;
static rn_rwmutex rw;
static rn_once once;
static rn_wg wg;
static rn_cond cond;
static rn_sem sem = RN_SEM(1);
static rn_ctx *ctx;
static rn_ticket ticket;
static rn_group group;
static rn_flight flight;
static rn_timer timer;
static char key;

static void set_data(void)
{
    data = 1;
}
static int set_data_int(void)
{
    data = 1;
    return 0;
}

/* ---- Goroutines --------------------------------------------------------------------------------------- */

static void then_reach(void)
{
    data = 1;
    reach(1);
}
static void go(bool with)
{
    if (with)
        data = 2;
    rn_go(then_reach);
    if (!with)
        data = 2;
    wait_for(1);
}

static void go_from_thread_body(void)
{
    data++;
    reach(1);
}
static void *go_from_thread_thread(void *with)
{
    if (with)
        data = 2;
    rn_go(go_from_thread_body);
    if (!with)
        data = 2;
    wait_for(1);
    return NULL;
}
static void go_from_thread(bool with)
{
    pthread_t t;

    pthread_create(&t, NULL, go_from_thread_thread, with ? &key : NULL);
    (void)rn_blocking(pthread_join(t, NULL));
}

/* The end of a goroutine orders nothing, however one learns of it. */
static void end_by_count(bool with)
{
    (void)with;
    rn_go(set_data);
    while (rn_count() > 1)
        rn_yield();
    data = 2;
}
static void end_by_sleep(bool with)
{
    (void)with;
    rn_go(set_data);
    rn_sleep(50 * RN_MILLISECOND);
    data = 2;
}
static void yield_body(bool with)
{
    (void)with;
    rn_go(then_reach);
    wait_for(1); /* yields all the time */
    data = 2;
}
static void lock_thread_body(void)
{
    rn_lock_thread();
    then_reach();
    rn_unlock_thread();
}
static void lock_thread(bool with)
{
    (void)with;
    rn_go(lock_thread_body);
    wait_for(1);
    rn_lock_thread();
    data = 2;
    rn_unlock_thread();
}

/* The result of the first goroutine, and what it did, are the caller's of rn_run. */
static int run_body(void)
{
    data = 1;
    return 0;
}
static void run_twice(bool with)
{
    (void)with; /* see main */
}

/* ---- Channels ------------------------------------------------------------------------------------------- */

static void sender(bool before)
{
    if (before)
        data = 1;
    rn_send(ch, 1);
    if (!before)
        data = 1;
    reach(1);
}
static void send_recv_cap(bool with, int cap)
{
    ch = rn_chan_make(int, cap);
    rn_go(sender, with);
    (void)rn_recv(ch);
    data = 2;
    wait_for(1);
}
static void send_recv(bool with)
{
    send_recv_cap(with, 0);
}
static void send_recv_buffered(bool with)
{
    send_recv_cap(with, 2);
}
static void send_parked_first(bool with)
{
    ch = rn_chan_make(int, 0);
    rn_go(sender, with);
    linger(); /* the sender is parked by now */
    (void)rn_recv(ch);
    data = 2;
    wait_for(1);
}

/* An unbuffered receive orders the receiver's past before the end of the send; a buffered one does not. */
static void send_then_write(int n)
{
    for (int i = 0; i < n; i++)
        rn_send(ch, i);
    data = 1;
    reach(1);
}
static void recv_send(bool with)
{
    ch = rn_chan_make(int, with ? 0 : 1);
    rn_go(send_then_write, 1);
    data = 2;
    (void)rn_recv(ch);
    wait_for(1);
}
/* The k-th receive is before the end of send k + capacity, and of none before that. */
static void recv_send_capacity(bool with)
{
    ch = rn_chan_make(int, 2);
    rn_go(send_then_write, with ? 3 : 2);
    data = 2;
    (void)rn_recv(ch);
    wait_for(1);
}
/* Order follows the value: having received one does not order the sender of another. */
static void send_at(int t, bool write)
{
    wait_for(t);
    if (write)
        data = 1;
    rn_send(ch, t);
    reach(t + 1);
}
static void send_other_value(bool with)
{
    ch = rn_chan_make(int, 2);
    rn_go(send_at, 0, with);
    rn_go(send_at, 1, !with);
    wait_for(2);
    (void)rn_recv(ch); /* of the first */
    data = 2;
}
static void send_unit(bool before)
{
    if (before)
        data = 1;
    rn_send(unit_ch, RN_UNIT);
    if (!before)
        data = 1;
    reach(1);
}
static void unit_elements(bool with)
{
    unit_ch = rn_chan_make(rn_unit, 0);
    rn_go(send_unit, with);
    (void)rn_recv(unit_ch);
    data = 2;
    wait_for(1);
}

static void closer(bool before)
{
    if (before)
        data = 1;
    rn_close(ch);
    if (!before)
        data = 1;
    reach(1);
}
static void close_recv(bool with)
{
    ch = rn_chan_make(int, 1);
    rn_go(closer, with);
    (void)rn_recv(ch);
    data = 2;
    wait_for(1);
}
static void close_range(bool with)
{
    ch = rn_chan_make(int, 1);
    rn_go(closer, with);
    rn_range(v, ch)
        (void)v;
    data = 2;
    wait_for(1);
}
static void close_select(bool with)
{
    ch = rn_chan_make(int, 1);
    rn_go(closer, with);
    while (rn_select(rn_on_recv(ch, &other), rn_default) != 0)
        rn_yield();
    data = 2;
    wait_for(1);
}
/* A value that was in the buffer before the close has only its own send's edge. */
static void send_write_close(bool with)
{
    if (with)
        data = 1;
    rn_send(ch, 1);
    if (!with)
        data = 1;
    rn_close(ch);
    reach(1);
}
static void close_buffered(bool with)
{
    ch = rn_chan_make(int, 1);
    rn_go(send_write_close, with);
    wait_for(1);
    (void)rn_recv(ch);
    data = 2;
}

static void buffer_one(void)
{
    data = 1;
    rn_send(ch, 1);
    reach(1);
}
static void by_length(bool with)
{
    ch = rn_chan_make(int, 1);
    rn_go(buffer_one);
    while (rn_len(ch) == 0)
        rn_yield();
    if (with)
        (void)rn_recv(ch);
    data = 2;
    wait_for(1);
}
static void failed_try_send(bool with)
{
    ch = rn_chan_make(int, 1);
    rn_go(buffer_one);
    while (rn_try_send(ch, 2) && rn_try_recv(ch, &other) && other == 2)
        rn_yield();
    (void)with;
    data = 2; /* the buffer was full: nothing was ordered */
    wait_for(1);
}
static void take_one(bool before)
{
    if (before)
        data = 1;
    (void)rn_recv(ch);
    if (!before)
        data = 1;
    reach(1);
}
static void try_send_to_parked(bool with)
{
    ch = rn_chan_make(int, 0);
    rn_go(take_one, with); /* its past is before the end of our send */
    while (!rn_try_send(ch, 1))
        rn_yield();
    data = 2;
    wait_for(1);
}
static void try_recv(bool with)
{
    ch = rn_chan_make(int, 1);
    rn_go(sender, with);
    while (!rn_try_recv(ch, &other))
        rn_yield();
    data = 2;
    wait_for(1);
}

/* ---- Select --------------------------------------------------------------------------------------------- */

static void select_recv(bool with)
{
    ch = rn_chan_make(int, 0);
    ch2 = rn_chan_make(int, 0);
    rn_go(sender, with);
    (void)rn_select(rn_on_recv(ch2, &other), rn_on_recv(ch, &other));
    data = 2;
    wait_for(1);
}
static void select_sender(bool before)
{
    if (before)
        data = 1;
    (void)rn_select(rn_on_send(ch2, 1), rn_on_send(ch, 1));
    if (!before)
        data = 1;
    reach(1);
}
static void select_send(bool with)
{
    ch = rn_chan_make(int, 0);
    ch2 = rn_chan_make(int, 0);
    rn_go(select_sender, with);
    linger();
    (void)rn_recv(ch);
    data = 2;
    wait_for(1);
}
/* A case that was not chosen orders nothing. */
static void select_unchosen(bool with)
{
    ch = rn_chan_make(int, 1);
    ch2 = rn_chan_make(int, 1);
    rn_go(buffer_one);
    wait_for(1);
    if (with)
        (void)rn_select(rn_on_recv(ch2, &other), rn_on_recv(ch, &other));
    else
        (void)rn_select(rn_on_send(ch2, 1), rn_on_send(ch, 1)); /* ch is full */
    data = 2;
}
static void select_default(bool with)
{
    ch = rn_chan_make(int, 1);
    rn_go(buffer_one);
    wait_for(1);
    if (with)
        (void)rn_select(rn_on_recv(ch, &other), rn_default);
    else
        (void)rn_select(rn_on_send(ch, 1), rn_default);
    data = 2;
}

/* ---- Locks ------------------------------------------------------------------------------------------------ */

static void locked_write(rn_mutex *m)
{
    rn_mutex_lock(m);
    data = 1;
    rn_mutex_unlock(m);
    reach(1);
}
static void mutex(bool with)
{
    rn_go(locked_write, with ? &mu : &mu2);
    wait_for(1);
    rn_mutex_lock(&mu);
    data = 2;
    rn_mutex_unlock(&mu);
}
static void mutex_parked(bool with)
{
    rn_mutex_lock(&mu);
    rn_mutex_lock(&mu2);
    rn_go(locked_write, with ? &mu : &mu2);
    linger();
    rn_mutex_unlock(&mu2);
    if (!with)
        wait_for(1);
    data = 2;
    rn_mutex_unlock(&mu);
    wait_for(1);
}
static void mutex_try(bool with)
{
    rn_go(locked_write, &mu);
    wait_for(1);
    if (!with)
        rn_mutex_lock(&mu2);
    if (rn_mutex_try_lock(with ? &mu : &mu2) == with)
        data = 2;
}
/* A failed try orders nothing. */
static void locked_hold(void)
{
    data = 1;
    rn_mutex_lock(&mu);
    reach(1);
    wait_for(2);
    rn_mutex_unlock(&mu);
}
static void mutex_failed_try(bool with)
{
    (void)with;
    rn_go(locked_hold);
    wait_for(1);
    if (!rn_mutex_try_lock(&mu))
        data = 2;
    reach(2);
}

static void write_locked(void)
{
    rn_rwmutex_lock(&rw);
    data = 1;
    rn_rwmutex_unlock(&rw);
    reach(1);
}
static void read_locked(void)
{
    rn_rwmutex_rlock(&rw);
    data = 1; /* a write under a read lock */
    rn_rwmutex_runlock(&rw);
    reach(1);
}
static void rwmutex_write_read(bool with)
{
    rn_go(with ? write_locked : then_reach);
    wait_for(1);
    rn_rwmutex_rlock(&rw);
    data = 2;
    rn_rwmutex_runlock(&rw);
}
static void rwmutex_write_write(bool with)
{
    rn_go(with ? write_locked : then_reach);
    wait_for(1);
    rn_rwmutex_lock(&rw);
    data = 2;
    rn_rwmutex_unlock(&rw);
}
static void rwmutex_read(bool with)
{
    rn_go(read_locked);
    wait_for(1);
    if (with) { /* a read unlock is before the next write lock */
        rn_rwmutex_lock(&rw);
        data = 2;
        rn_rwmutex_unlock(&rw);
    } else { /* and readers are not ordered among themselves */
        rn_rwmutex_rlock(&rw);
        data = 2;
        rn_rwmutex_runlock(&rw);
    }
}

/* ---- Once, wait group, cond, semaphore, park ------------------------------------------------------------------ */

static void do_once(bool inside)
{
    rn_once_do(&once, inside ? set_data : linger);
    if (!inside)
        data = 1;
    reach(1);
}
static void once_do(bool with)
{
    rn_go(do_once, with);
    wait_for(1);
    rn_once_do(&once, linger);
    data = 2;
}

static void done(bool before)
{
    if (before)
        data = 1;
    rn_wg_done(&wg);
    if (!before)
        data = 1;
    reach(1);
}
static void wg_wait(bool with)
{
    rn_wg_add(&wg, 1);
    rn_go(done, with);
    rn_wg_wait(&wg);
    data = 2;
    wait_for(1);
}
static void wg_go(bool with)
{
    rn_wg_go(&wg, set_data);
    if (!with)
        data = 2;
    rn_wg_wait(&wg);
    if (with)
        data = 2;
}
static void wg_two(bool with) /* all of them, and not only the last */
{
    rn_wg_add(&wg, 2);
    rn_go(done, true);
    wait_for(1);
    if (with) {
        rn_wg_done(&wg);
        rn_wg_wait(&wg);
        data = 2;
    } else { /* a done does not order a later done */
        rn_wg_done(&wg);
        data = 2;
    }
}

static void cond_waiter(void)
{
    rn_mutex_lock(&mu);
    reach(1);
    rn_cond_wait(&cond, &mu);
    rn_mutex_unlock(&mu);
    data = 2;
    reach(2);
}
static void cond_signal(bool with)
{
    rn_go(cond_waiter);
    wait_for(1);
    rn_mutex_lock(&mu); /* it waits now */
    rn_mutex_unlock(&mu);
    if (with)
        data = 1;
    rn_cond_signal(&cond);
    if (!with)
        data = 1;
    wait_for(2);
}
static void cond_broadcast(bool with)
{
    rn_go(cond_waiter);
    wait_for(1);
    rn_mutex_lock(&mu);
    rn_mutex_unlock(&mu);
    if (with)
        data = 1;
    rn_cond_broadcast(&cond);
    if (!with)
        data = 1;
    wait_for(2);
}

static void sem_holder(bool before)
{
    linger();
    if (before)
        data = 1;
    rn_sem_release(&sem, 1);
    if (!before)
        data = 1;
    reach(1);
}
static void semaphore(bool with)
{
    int err = rn_sem_acquire(NULL, &sem, 1);

    rn_go(sem_holder, with);
    err |= rn_sem_acquire(NULL, &sem, 1);
    data = 2 + err;
    wait_for(1);
}
static void sem_take(void)
{
    data = 1;
    if (rn_sem_acquire(NULL, &sem, 1) == 0)
        reach(1);
}
static void sem_failed_try(bool with)
{
    (void)with;
    rn_go(sem_take);
    wait_for(1);
    if (!rn_sem_try_acquire(&sem, 1))
        data = 2;
}

static void readier(bool before)
{
    if (before)
        data = 1;
    rn_ready(&ticket);
    if (!before)
        data = 1;
    reach(1);
}
static void park_ready(bool with)
{
    rn_park_init(&ticket);
    rn_go(readier, with);
    rn_park(&ticket);
    data = 2;
    wait_for(1);
}

/* ---- Time ------------------------------------------------------------------------------------------------------- */

static void after_func(bool with)
{
    rn_timer *t;

    if (with)
        data = 2;
    t = rn_after_func(RN_MILLISECOND, then_reach);
    if (!with)
        data = 2;
    wait_for(1);
    rn_timer_free(t);
}
static void go_after(bool with)
{
    if (with)
        data = 2;
    rn_go_after(0, then_reach);
    if (!with)
        data = 2;
    wait_for(1);
}
static void timer_receiver(void)
{
    (void)rn_recv(rn_timer_chan(&timer));
    data = 1;
    reach(1);
}
static void timer_reset(bool with)
{
    rn_go(timer_receiver);
    linger();
    if (with)
        data = 2;
    rn_timer_reset(&timer, RN_MILLISECOND);
    if (!with)
        data = 2;
    wait_for(1);
}
static void two_callbacks(bool with)
{
    (void)with;
    rn_go_after(0, then_reach);
    rn_go_after(RN_MILLISECOND, set_data);
    rn_sleep(50 * RN_MILLISECOND);
}

/* ---- Contexts ---------------------------------------------------------------------------------------------------- */

static void canceller(bool before)
{
    if (before)
        data = 1;
    rn_ctx_cancel(ctx);
    if (!before)
        data = 1;
    reach(1);
}
static void ctx_done(bool with)
{
    rn_ctx *child;

    ctx = rn_ctx_with_cancel(rn_ctx_background());
    child = rn_ctx_with_cancel(ctx);
    rn_go(canceller, with);
    (void)rn_recv(rn_ctx_done(child));
    data = 2;
    wait_for(1);
    rn_ctx_end(child);
}
static void ctx_err(bool with)
{
    ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_go(canceller, with);
    while (rn_ctx_err(ctx) == 0)
        rn_yield();
    data = 2;
    wait_for(1);
}
static void ctx_cause(bool with)
{
    ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_go(canceller, with);
    while (rn_ctx_cause(ctx) == 0)
        rn_yield();
    data = 2;
    wait_for(1);
}
static void ctx_select(bool with)
{
    ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_go(canceller, with);
    (void)rn_select(rn_on_done(ctx));
    data = 2;
    wait_for(1);
}
static void ctx_after_func(bool with)
{
    rn_ctx_hook hook = {0};

    ctx = rn_ctx_with_cancel(rn_ctx_background());
    if (with)
        data = 2;
    rn_ctx_after_func(&hook, ctx, then_reach); /* registering is before the start */
    if (!with)
        data = 2;
    rn_go(rn_ctx_cancel, ctx);
    wait_for(1);
    rn_ctx_hook_stop(&hook);
}
static void ctx_cancel_after_func(bool with)
{
    rn_ctx_hook hook = {0};

    ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx_after_func(&hook, ctx, then_reach);
    if (with)
        data = 2;
    rn_ctx_cancel(ctx);
    if (!with)
        data = 2;
    wait_for(1);
    rn_ctx_hook_stop(&hook);
}
static void ctx_hook_stop(bool with) /* the function's return is before the stop that waited for it */
{
    rn_ctx_hook hook = {0};

    ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx_after_func(&hook, ctx, then_reach);
    rn_ctx_cancel(ctx);
    wait_for(1);
    if (with)
        rn_ctx_hook_stop(&hook);
    data = 2;
    if (!with)
        rn_ctx_hook_stop(&hook);
}
static void ctx_failed_wait(bool with) /* a wait that the cancellation ended */
{
    ctx = rn_ctx_with_cancel(rn_ctx_background());
    ch = rn_chan_make(int, 0);
    rn_go(canceller, with);
    if (rn_recv_ctx(ctx, ch, &other) == -ECANCELED)
        data = 2;
    wait_for(1);
}

/* ---- Groups ------------------------------------------------------------------------------------------------------- */

static void group_wait(bool with)
{
    int err;

    rn_group_go(&group, set_data_int);
    if (!with)
        data = 2;
    err = rn_group_wait(&group);
    if (with)
        data = 2 + err;
}
static void group_start(bool with)
{
    int err;

    if (with)
        data = 2;
    rn_group_go(&group, set_data_int);
    if (!with)
        data = 2;
    err = rn_group_wait(&group);
    (void)err;
}
static int set_and_reach(int t)
{
    wait_for(t);
    data = 1;
    reach(t + 1);
    return 0;
}
static void group_slot(bool with) /* under a limit of 1, a task's end is before the next one's start */
{
    int err;

    if (with)
        rn_group_set_limit(&group, 1);
    rn_group_go(&group, set_and_reach, 0);
    rn_group_go(&group, set_and_reach, 1);
    err = rn_group_wait(&group);
    (void)err;
}
static int set_and_fail(void)
{
    data = 1;
    return -EIO;
}
static int fail_only(void)
{
    reach(1);
    return -EIO;
}
static void group_error(bool with) /* the first error is before the context's end */
{
    rn_ctx *derived = rn_group_with_ctx(&group, rn_ctx_background());
    int err;

    rn_group_go(&group, with ? set_and_fail : fail_only);
    if (!with)
        rn_go(set_data);
    (void)rn_recv(rn_ctx_done(derived));
    data = 2;
    err = rn_group_wait(&group);
    (void)err;
    rn_sleep(10 * RN_MILLISECOND);
}

static int flight_body(int *out)
{
    reach(1);
    linger();
    data = 1;
    *out = 1;
    return 0;
}
static void flight_leader(bool inside)
{
    int out = 0, err = rn_flight_do(&flight, "key", &out, flight_body, &out);

    if (!inside)
        data = 1 + err;
    reach(2);
}
static void flight_do(bool with)
{
    int out = 0, err;

    rn_go(flight_leader, with);
    wait_for(1);
    err = rn_flight_do(&flight, "key", &out, flight_body, &out);
    data = 2 + err;
    wait_for(2);
}

/* ---- Elements ------------------------------------------------------------------------------------------------------- */

/* Sending reads the operand, receiving writes the destination, each in its own goroutine. */
static void drain(void)
{
    (void)rn_recv(ch);
}
static void send_operand(bool with)
{
    ch = rn_chan_make(int, 0);
    if (with) {
        data = 2;
        rn_go(take_one, false);
        rn_send(ch, data);
        wait_for(1);
    } else {
        rn_go(then_reach);
        wait_for(1);
        rn_go(drain);
        rn_send_fn((volatile void *)ch, &data); /* reads what another has written */
    }
}
static void send_seven(void)
{
    rn_send(ch, 7);
}
static void recv_destination(bool with)
{
    ch = rn_chan_make(int, 0);
    rn_go(then_reach);
    wait_for(1);
    rn_go(send_seven);
    (void)rn_recv_ok(ch, with ? &other : &data);
}

/* ---- Main ------------------------------------------------------------------------------------------------------------- */

enum { WITH = 1, WITHOUT = 2, BOTH = 3 };
static const struct {
    const char *name;
    void (*fn)(bool with);
    int has;
} cases[] = {
#define CASE(name, has) {#name, name, has}
    CASE(go, BOTH),
    CASE(go_from_thread, BOTH),
    CASE(end_by_count, WITHOUT),
    CASE(end_by_sleep, WITHOUT),
    CASE(yield_body, WITHOUT),
    CASE(lock_thread, WITHOUT),
    CASE(run_twice, WITH),
    CASE(send_recv, BOTH),
    CASE(send_recv_buffered, BOTH),
    CASE(send_parked_first, BOTH),
    CASE(recv_send, BOTH),
    CASE(recv_send_capacity, BOTH),
    CASE(send_other_value, BOTH),
    CASE(unit_elements, BOTH),
    CASE(close_recv, BOTH),
    CASE(close_range, BOTH),
    CASE(close_select, BOTH),
    CASE(close_buffered, BOTH),
    CASE(by_length, BOTH),
    CASE(failed_try_send, WITHOUT),
    CASE(try_send_to_parked, BOTH),
    CASE(try_recv, BOTH),
    CASE(select_recv, BOTH),
    CASE(select_send, BOTH),
    CASE(select_unchosen, BOTH),
    CASE(select_default, BOTH),
    CASE(mutex, BOTH),
    CASE(mutex_parked, BOTH),
    CASE(mutex_try, BOTH),
    CASE(mutex_failed_try, WITHOUT),
    CASE(rwmutex_write_read, BOTH),
    CASE(rwmutex_write_write, BOTH),
    CASE(rwmutex_read, BOTH),
    CASE(once_do, BOTH),
    CASE(wg_wait, BOTH),
    CASE(wg_go, BOTH),
    CASE(wg_two, BOTH),
    CASE(cond_signal, BOTH),
    CASE(cond_broadcast, BOTH),
    CASE(semaphore, BOTH),
    CASE(sem_failed_try, WITHOUT),
    CASE(park_ready, BOTH),
    CASE(after_func, BOTH),
    CASE(go_after, BOTH),
    CASE(timer_reset, BOTH),
    CASE(two_callbacks, WITHOUT),
    CASE(ctx_done, BOTH),
    CASE(ctx_err, BOTH),
    CASE(ctx_cause, BOTH),
    CASE(ctx_select, BOTH),
    CASE(ctx_after_func, BOTH),
    CASE(ctx_cancel_after_func, BOTH),
    CASE(ctx_hook_stop, BOTH),
    CASE(ctx_failed_wait, BOTH),
    CASE(group_wait, BOTH),
    CASE(group_start, BOTH),
    CASE(group_slot, BOTH),
    CASE(group_error, BOTH),
    CASE(flight_do, BOTH),
    CASE(send_operand, BOTH),
    CASE(recv_destination, BOTH),
};
enum { CASES = sizeof(cases) / sizeof(cases[0]) };

static int first(int i, bool with)
{
    cases[i].fn(with);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (int i = 0; i < CASES; i++)
            printf("%s %d\n", cases[i].name, cases[i].has);
        return 0;
    }
    for (int i = 0; argc == 3 && i < CASES; i++) {
        bool with = strcmp(argv[2], "with") == 0;

        if (strcmp(argv[1], cases[i].name) != 0)
            continue;
        if (cases[i].fn == run_twice) {
            data = 2;
            (void)!rn_run(run_body);
            data = 3;
            (void)!rn_run(run_body);
            data = 4;
        } else {
            (void)!rn_run(first, i, with);
        }
        puts("done");
        return 0;
    }
    return 1;
}
