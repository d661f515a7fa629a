/* SPDX-License-Identifier: MIT */
/*
 * race.c - each happens-before edge, with and without it, for ThreadSanitizer.
 *
 *     race CASE with       must end silently and say "done"
 *     race CASE without    must be reported as a data race
 *     race --list          each case, which of the two it has, and what it is about
 *     race names           a race of two goroutines that have names, to be reported with them
 *
 * What a case is about is a name of tests/conformance/edges.txt. A case that has both is a pair.
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
static rn_ticker ticker;
static char key;

static void set_data(void)
{
    data = 1;
}

/* ---- Accesses ------------------------------------------------------------------------------------------- */

/* Nothing orders the two: a race if one of them writes, and one is plain. */
static volatile int read_of_data;
static void touch(bool write)
{
    if (write)
        data = 1;
    else
        read_of_data = data;
    reach(1);
}
static void two_accesses(bool with)
{
    int seen;

    rn_go(touch, !with);
    wait_for(1);
    seen = *(volatile int *)&data;
    (void)seen;
}
static _Atomic int counter;
static void count_one(void)
{
    atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed);
    reach(1);
}
static void atomic_and_plain(bool with)
{
    rn_go(count_one);
    wait_for(1);
    if (with)
        (void)atomic_load_explicit(&counter, memory_order_relaxed);
    else
        *(volatile int *)&counter = 2;
}

/* ---- Goroutines --------------------------------------------------------------------------------------- */

static void then_reach(void)
{
    data = 1;
    reach(1);
}
/* Let the other side write, and wait until it has. */
static void your_turn(void)
{
    reach(1);
    wait_for(2);
}
static void write_in_turn(void)
{
    wait_for(1);
    data = 1;
    reach(2);
}
static void go(bool with)
{
    if (with)
        data = 2;
    rn_go(write_in_turn);
    if (!with)
        data = 2;
    your_turn();
}

static void *go_from_thread_thread(void *with)
{
    if (with)
        data = 2;
    rn_go(write_in_turn);
    if (!with)
        data = 2;
    your_turn();
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

/* A library's data of the thread, which a goroutine makes and the thread's end destroys. */
static pthread_key_t of_thread;
static void destroy(void *of)
{
    (void)of;
    data = 2;
}
static void use_thread(void)
{
    data = 1;
    pthread_setspecific(of_thread, &data);
    rn_send(ch, 1);
}
static void thread_end(bool with)
{
    (void)with;
    ch = rn_chan_make(int, 0);
    pthread_key_create(&of_thread, destroy);
    rn_go(use_thread); /* on another thread than rn_run's, which does not end with it */
    (void)rn_recv(ch);
    rn_chan_release(ch);
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
    wait_for(1);
    data = 2;
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
    wait_for(1);
    data = 2;
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
/* So a channel of capacity 1 is a lock, and one of capacity 2 is none. */
static void write_holding(void)
{
    rn_send(ch, 1);
    data = 1;
    (void)rn_recv(ch);
    reach(1);
}
static void channel_as_lock(bool with)
{
    ch = rn_chan_make(int, with ? 1 : 2);
    rn_go(write_holding);
    wait_for(1);
    rn_send(ch, 1);
    data = 2;
    (void)rn_recv(ch);
}
/* And to fill one is to wait for all who had a place in it, not only for the first that left. */
static void hold_place(int t)
{
    wait_for(2 * t);
    rn_send(ch, 1);
    reach(2 * t + 1);
    wait_for(4 + t);
    if (t == 1)
        data = 1;
    (void)rn_recv(ch);
    reach(5 + t);
}
static void fill_and_write(bool with)
{
    ch = rn_chan_make(int, 2);
    rn_go(hold_place, 0);
    rn_go(hold_place, 1);
    wait_for(1);
    reach(2);
    wait_for(3);
    reach(4);
    wait_for(6);
    rn_send(ch, 1);
    if (with)
        rn_send(ch, 1);
    data = 2;
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
    wait_for(1);
    data = 2;
}

static void unit_buffered(bool with)
{
    unit_ch = rn_chan_make(rn_unit, 2);
    rn_go(send_unit, with);
    (void)rn_recv(unit_ch);
    wait_for(1);
    data = 2;
}
static void send_units_then_write(int n)
{
    for (int i = 0; i < n; i++)
        rn_send(unit_ch, RN_UNIT);
    data = 1;
    reach(1);
}
static void unit_capacity(bool with)
{
    unit_ch = rn_chan_make(rn_unit, 2);
    rn_go(send_units_then_write, with ? 3 : 2);
    data = 2;
    (void)rn_recv(unit_ch);
    wait_for(1);
}

/* A full one of capacity 2: two receivers, and whoever fills it again has the order of both. */
static void recv_unit_at(int t)
{
    wait_for(t);
    if (t == 1)
        data = 1;
    (void)rn_recv(unit_ch);
    reach(t + 1);
}
static void unit_refilled(bool with)
{
    unit_ch = rn_chan_make(rn_unit, 2);
    rn_send(unit_ch, RN_UNIT);
    rn_send(unit_ch, RN_UNIT);
    rn_go(recv_unit_at, 0);
    rn_go(recv_unit_at, 1);
    wait_for(2);
    rn_send(unit_ch, RN_UNIT);
    if (with)
        rn_send(unit_ch, RN_UNIT);
    data = 2;
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
    wait_for(1);
    data = 2;
}
static void close_range(bool with)
{
    ch = rn_chan_make(int, 1);
    rn_go(closer, with);
    rn_range (v, ch)
        (void)v;
    wait_for(1);
    data = 2;
}
static void close_select(bool with)
{
    ch = rn_chan_make(int, 1);
    rn_go(closer, with);
    while (rn_select(rn_on_recv(ch, &other), rn_default) != 0)
        rn_yield();
    wait_for(1);
    data = 2;
}
static void closer_late(bool before)
{
    linger(); /* the receiver is parked by now */
    closer(before);
}
static void close_parked(bool with)
{
    ch = rn_chan_make(int, 1);
    rn_go(closer_late, with);
    (void)rn_recv(ch);
    wait_for(1);
    data = 2;
}
/* The send and the close of one channel that nothing orders are a race themselves, and so are two closes. */
static void send_and_reach(rn_chan(int) order)
{
    rn_send(ch, 1);
    rn_close(order);
    reach(1);
}
static void close_and_reach(rn_chan(int) order)
{
    rn_close(ch);
    rn_close(order);
    reach(1);
}
static void close_after_send(bool with)
{
    ch = rn_chan_make(int, 1);
    ch2 = rn_chan_make(int, 0);
    rn_go(send_and_reach, ch2);
    wait_for(1);
    if (with)
        (void)rn_recv(ch2);
    rn_close(ch);
}
static void close_after_close(bool with)
{
    (void)with;
    ch = rn_chan_make(int, 1);
    ch2 = rn_chan_make(int, 0);
    rn_go(close_and_reach, ch2);
    wait_for(1);
    rn_close(ch); /* reported, and then it panics */
}
/* A try to send that found no room counts as a send here, and so does a send case that was looked at and not chosen. */
static void try_and_reach(rn_chan(int) order)
{
    (void)rn_try_send(ch, 2);
    rn_close(order);
    reach(1);
}
static void select_and_reach(rn_chan(int) order)
{
    (void)rn_select(rn_on_send(ch, 2), rn_default);
    rn_close(order);
    reach(1);
}
static void close_after(void (*sends)(rn_chan(int) order), bool with)
{
    ch = rn_chan_make(int, 0);
    ch2 = rn_chan_make(int, 0);
    rn_go(sends, ch2);
    wait_for(1);
    if (with)
        (void)rn_recv(ch2);
    rn_close(ch);
}
static void close_after_try(bool with)
{
    close_after(try_and_reach, with);
}
static void close_after_select(bool with)
{
    close_after(select_and_reach, with);
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
    wait_for(1);
    data = 2;
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
static void send_late(bool unused)
{
    (void)unused;
    wait_for(1);
    data = 1;
    rn_send(ch, 1);
    reach(2);
}
static void failed_try_recv(bool with)
{
    ch = rn_chan_make(int, 1);
    rn_go(send_late, with);
    (void)rn_try_recv(ch, &other); /* there is nothing yet */
    reach(1);
    if (with)
        (void)rn_recv(ch);
    wait_for(2);
    data = 2;
}
/* Who was handed a value while it was parked has the order of that value, and not of a later one that went
 * through the same slot before it ran again. */
static void send_two_values(bool with)
{
    if (with)
        data = 1;
    rn_send(ch, 1);
    if (!with)
        data = 1;
    rn_send(ch, 2);
    reach(1);
}
static void handed_over_buffered(bool with)
{
    ch = rn_chan_make(int, 1);
    rn_go(send_two_values, with);
    (void)rn_recv(ch);
    wait_for(1);
    data = 2;
}
/* Nor has a sender the order of receivers that took other values of an unbuffered channel. */
static void recv_one_of_two(int t, bool write)
{
    wait_for(t);
    if (write)
        data = 1;
    reach(t + 1);
    (void)rn_recv(ch);
}
static void recv_other_value(bool with)
{
    ch = rn_chan_make(int, 0);
    rn_go(recv_one_of_two, 0, with); /* the first to wait, so the first to be served */
    wait_for(1);
    linger();
    rn_go(recv_one_of_two, 1, !with);
    wait_for(2);
    linger();
    rn_send(ch, 1);
    data = 2;
    rn_send(ch, 2);
}
static void try_send_to_parked(bool with)
{
    ch = rn_chan_make(int, 0);
    rn_go(take_one, with); /* its past is before the end of our send */
    while (!rn_try_send(ch, 1))
        rn_yield();
    wait_for(1);
    data = 2;
}
static void try_recv(bool with)
{
    ch = rn_chan_make(int, 1);
    rn_go(sender, with);
    while (!rn_try_recv(ch, &other))
        rn_yield();
    wait_for(1);
    data = 2;
}

/* ---- Select --------------------------------------------------------------------------------------------- */

static void select_recv(bool with)
{
    ch = rn_chan_make(int, 0);
    ch2 = rn_chan_make(int, 0);
    rn_go(sender, with);
    (void)rn_select(rn_on_recv(ch2, &other), rn_on_recv(ch, &other));
    wait_for(1);
    data = 2;
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
    wait_for(1);
    data = 2;
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

/* A send case reads its operand, chosen or not. */
static void select_operand(bool with)
{
    rn_case cases[2];

    ch = rn_chan_make(int, 0);
    if (with)
        data = 1;
    else
        rn_go(then_reach);
    wait_for(with ? 0 : 1);
    cases[0] = rn_on_send_from(ch, &data);
    cases[1] = rn_default;
    (void)rn_select_array(cases, 2);
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

/* Whoever overwrites a mutex that another uses races with it; so with the variable that holds a channel. */
static void lock_and_reach(bool through_channel)
{
    rn_mutex_lock(&mu);
    rn_mutex_unlock(&mu);
    if (through_channel)
        rn_send(ch, 1);
    reach(1);
}
static void mutex_overwritten(bool with)
{
    ch = rn_chan_make(int, 1);
    rn_go(lock_and_reach, with);
    wait_for(1);
    if (with)
        (void)rn_recv(ch);
    mu = (rn_mutex){0};
}
static void len_and_reach(bool through_channel)
{
    (void)rn_len(ch2);
    if (through_channel)
        rn_send(ch, 1);
    reach(1);
}
static void channel_overwritten(bool with)
{
    ch = rn_chan_make(int, 1);
    rn_go(len_and_reach, with);
    wait_for(1);
    if (with)
        (void)rn_recv(ch);
    ch2 = ch;
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

/* The same where whoever takes the lock is parked when it is given. */
static void write_unlock_late(bool before)
{
    linger();
    if (before)
        data = 1;
    rn_rwmutex_unlock(&rw);
    if (!before)
        data = 1;
    reach(1);
}
static void read_unlock_late(bool before)
{
    linger();
    if (before)
        data = 1;
    rn_rwmutex_runlock(&rw);
    if (!before)
        data = 1;
    reach(1);
}
static void rwmutex_parked_read(bool with)
{
    rn_rwmutex_lock(&rw);
    rn_go(write_unlock_late, with);
    rn_rwmutex_rlock(&rw);
    wait_for(1);
    data = 2;
    rn_rwmutex_runlock(&rw);
}
static void rwmutex_parked_write(bool with)
{
    rn_rwmutex_lock(&rw);
    rn_go(write_unlock_late, with);
    rn_rwmutex_lock(&rw);
    wait_for(1);
    data = 2;
    rn_rwmutex_unlock(&rw);
}
static void rwmutex_parked_after_read(bool with)
{
    rn_rwmutex_rlock(&rw);
    rn_go(read_unlock_late, with);
    rn_rwmutex_lock(&rw);
    wait_for(1);
    data = 2;
    rn_rwmutex_unlock(&rw);
}

/* A failed try orders nothing. */
static void write_hold(void)
{
    data = 1;
    rn_rwmutex_lock(&rw);
    reach(1);
    wait_for(2);
    rn_rwmutex_unlock(&rw);
}
static void rwmutex_failed_try(bool with)
{
    (void)with;
    rn_go(write_hold);
    wait_for(1);
    if (!rn_rwmutex_try_rlock(&rw) && !rn_rwmutex_try_lock(&rw))
        data = 2;
    reach(2);
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

static void once_body(bool inside)
{
    reach(1);
    linger(); /* the other one waits by now */
    if (inside)
        data = 1;
}
static void do_once_slowly(bool inside)
{
    rn_once_do(&once, once_body, inside);
    if (!inside)
        data = 1;
    reach(2);
}
static void once_parked(bool with)
{
    rn_go(do_once_slowly, with);
    wait_for(1);
    rn_once_do(&once, linger);
    wait_for(2);
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
    wait_for(1);
    data = 2;
}
static void wg_go(bool with)
{
    rn_wg_go(&wg, write_in_turn);
    if (!with)
        data = 2;
    reach(1);
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

/* Adding orders nothing: neither before the wait nor before anything else. */
static void add_one(void)
{
    data = 1;
    rn_wg_add(&wg, 1);
    reach(1);
}
static void wg_add(bool with)
{
    (void)with;
    rn_wg_add(&wg, 1);
    rn_go(add_one);
    wait_for(1);
    rn_wg_add(&wg, -2);
    rn_wg_wait(&wg);
    data = 2;
}
/* Nor do an addition and a done make a lock. */
static void write_counted(void)
{
    rn_wg_add(&wg, 1);
    data = 1;
    rn_wg_done(&wg);
    reach(1);
}
static void wg_as_lock(bool with)
{
    (void)with;
    rn_wg_add(&wg, 1); /* so that theirs are not the first */
    rn_go(write_counted);
    wait_for(1);
    rn_wg_add(&wg, 1);
    data = 2;
    rn_wg_done(&wg);
}
/* The first addition and the wait meant to see it are a race themselves, if nothing orders them. */
static void add_first(bool through_channel)
{
    rn_wg_add(&wg, 1);
    if (through_channel)
        rn_send(ch, 1);
    reach(1);
    rn_sleep(20 * RN_MILLISECOND); /* the wait has registered by now */
    rn_wg_done(&wg);
}
static void wg_first_add(bool with)
{
    ch = rn_chan_make(int, 1);
    rn_go(add_first, with);
    wait_for(1);
    if (with)
        (void)rn_recv(ch);
    rn_wg_wait(&wg);
}
/* Waits that gave up, and those that come after them, do not race with one another. */
static void wait_and_give_up(void)
{
    int err = rn_wg_wait_ctx(ctx, &wg);

    (void)err;
    reach(1);
}
static void wg_gave_up(bool with)
{
    (void)with;
    ctx = rn_ctx_with_timeout(rn_ctx_background(), 0);
    rn_wg_add(&wg, 1);
    rn_go(wait_and_give_up);
    wait_for(1);
    rn_go(wait_and_give_up);
    rn_go_after(20 * RN_MILLISECOND, rn_wg_done, &wg);
    rn_wg_wait(&wg);
}

static void cond_waiter(void)
{
    rn_mutex_lock(&mu);
    reach(1);
    rn_cond_wait(&cond, &mu);
    rn_mutex_unlock(&mu);
    wait_for(2);
    data = 2;
    reach(3);
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
    reach(2);
    wait_for(3);
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
    reach(2);
    wait_for(3);
}

/* A signal that finds nobody orders nothing. */
static void signal_nobody(void)
{
    data = 1;
    rn_cond_signal(&cond);
    rn_cond_broadcast(&cond);
    reach(1);
}
static void cond_nobody(bool with)
{
    int err;

    (void)with;
    ctx = rn_ctx_with_timeout(rn_ctx_background(), 0);
    rn_go(signal_nobody);
    wait_for(1);
    rn_mutex_lock(&mu);
    err = rn_cond_wait_ctx(ctx, &cond, &mu);
    rn_mutex_unlock(&mu);
    data = 2 + err;
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
    wait_for(1);
    data = 2 + err;
}
/* The same where nobody has to wait. */
static void sem_use(bool inside)
{
    if (rn_sem_acquire(NULL, &sem, 1) != 0)
        return;
    if (inside)
        data = 1;
    rn_sem_release(&sem, 1);
    if (!inside)
        data = 1;
    reach(1);
}
static void sem_free(bool with)
{
    rn_go(sem_use, with);
    wait_for(1);
    if (rn_sem_acquire(NULL, &sem, 1) == 0)
        data = 2;
}
static void sem_try(bool with)
{
    rn_go(sem_use, with);
    wait_for(1);
    if (rn_sem_try_acquire(&sem, 1))
        data = 2;
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
    wait_for(1);
    data = 2;
}

/* ---- Time ------------------------------------------------------------------------------------------------------- */

static void after_func(bool with)
{
    rn_timer *t;

    if (with)
        data = 2;
    t = rn_after_func(RN_MILLISECOND, write_in_turn);
    if (!with)
        data = 2;
    your_turn();
    rn_timer_free(t);
}
static void go_after(bool with)
{
    if (with)
        data = 2;
    rn_go_after(0, write_in_turn);
    if (!with)
        data = 2;
    your_turn();
}
static void after_func_reset(bool with)
{
    rn_timer *t = rn_after_func(RN_HOUR, write_in_turn);

    if (with)
        data = 2;
    rn_timer_reset(t, RN_MILLISECOND);
    if (!with)
        data = 2;
    your_turn();
    rn_timer_free(t);
}
static void timer_receiver(void)
{
    (void)rn_recv(rn_timer_chan(&timer));
    write_in_turn();
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
    your_turn();
}
/* A value that was there before anybody received it. */
static void timer_receiver_late(void)
{
    wait_for(1);
    rn_sleep(5 * RN_MILLISECOND);
    (void)rn_recv(rn_timer_chan(&timer));
    data = 1;
    reach(2);
}
static void timer_late(bool with)
{
    (void)rn_timer_chan(&timer);
    rn_go(timer_receiver_late);
    if (with)
        data = 2;
    rn_timer_reset(&timer, 0);
    if (!with)
        data = 2;
    your_turn();
}
static void two_callbacks(bool with)
{
    (void)with;
    rn_go_after(0, then_reach);
    rn_go_after(RN_MILLISECOND, set_data);
    rn_sleep(50 * RN_MILLISECOND);
}

static void ticker_receiver(void)
{
    (void)rn_recv(rn_ticker_chan(&ticker));
    write_in_turn();
}
static void ticker_start(bool with)
{
    (void)rn_ticker_chan(&ticker);
    rn_go(ticker_receiver);
    linger();
    if (with)
        data = 2;
    rn_ticker_start(&ticker, RN_MILLISECOND);
    if (!with)
        data = 2;
    your_turn();
    rn_ticker_stop(&ticker);
}
static void ticker_reset(bool with)
{
    rn_ticker_start(&ticker, RN_HOUR);
    rn_go(ticker_receiver);
    linger();
    if (with)
        data = 2;
    rn_ticker_reset(&ticker, RN_MILLISECOND);
    if (!with)
        data = 2;
    your_turn();
    rn_ticker_stop(&ticker);
}
/* A stop that comes too late learns nothing of the function. */
static void timer_stop(bool with)
{
    rn_timer *t = rn_after_func(0, then_reach);

    (void)with;
    wait_for(1);
    if (!rn_timer_stop(t))
        data = 2;
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
    wait_for(1);
    data = 2;
    rn_ctx_end(child);
}
static void ctx_err(bool with)
{
    ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_go(canceller, with);
    while (rn_ctx_err(ctx) == 0)
        rn_yield();
    wait_for(1);
    data = 2;
}
static void ctx_cause(bool with)
{
    ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_go(canceller, with);
    while (rn_ctx_cause(ctx) == 0)
        rn_yield();
    wait_for(1);
    data = 2;
}
static void ctx_select(bool with)
{
    ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_go(canceller, with);
    (void)rn_select(rn_on_done(ctx));
    wait_for(1);
    data = 2;
}
static void cancel_at_one(void)
{
    wait_for(1);
    rn_ctx_cancel(ctx);
}
static void ctx_after_func(bool with)
{
    rn_ctx_hook hook = {0};

    ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_go(cancel_at_one); /* before the rest, of which it knows nothing */
    if (with)
        data = 2;
    rn_ctx_after_func(&hook, ctx, write_in_turn); /* registering is before the start */
    if (!with)
        data = 2;
    your_turn();
    rn_ctx_hook_stop(&hook);
}
static void ctx_cancel_after_func(bool with)
{
    rn_ctx_hook hook = {0};

    ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx_after_func(&hook, ctx, write_in_turn);
    if (with)
        data = 2;
    rn_ctx_cancel(ctx);
    if (!with)
        data = 2;
    your_turn();
    rn_ctx_hook_stop(&hook);
}
static void ctx_hook_stop(
    bool with) /* the function's return is before the stop that waited for it */
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
    if (rn_recv_ctx(ctx, ch, &other) != -ECANCELED)
        return;
    wait_for(1);
    data = 2;
}

static void ctx_value(bool with) /* asking for a value or the deadline orders nothing */
{
    (void)with;
    ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_go(canceller, true);
    wait_for(1);
    (void)rn_ctx_value(ctx, &key);
    (void)rn_ctx_deadline(ctx, NULL);
    data = 2;
}
/* Each use of a context that is given up is before its values are dropped. */
static void drop_value(void *value)
{
    *(int *)value = 2;
}
static void use_and_release(bool before)
{
    if (before)
        data = 1;
    rn_ctx_release(ctx);
    if (!before)
        data = 1;
    reach(1);
}
static void ctx_owned_value(bool with)
{
    ctx = rn_ctx_with_owned_value(rn_ctx_background(), &key, &data, drop_value);
    rn_ctx_retain(ctx);
    rn_go(use_and_release, with);
    wait_for(1);
    rn_ctx_release(ctx);
}

/* ---- Groups ------------------------------------------------------------------------------------------------------- */

static int write_in_turn_int(void)
{
    write_in_turn();
    return 0;
}
static void group_wait(bool with)
{
    int err;

    rn_group_go(&group, write_in_turn_int);
    if (!with)
        data = 2;
    reach(1);
    err = rn_group_wait(&group);
    if (with)
        data = 2 + err;
}
static void group_start(bool with)
{
    int err;

    if (with)
        data = 2;
    rn_group_go(&group, write_in_turn_int);
    if (!with)
        data = 2;
    reach(1);
    err = rn_group_wait(&group);
    (void)err;
}
static void group_try_start(bool with)
{
    int err;

    if (with)
        data = 2;
    if (!rn_group_try_go(&group, write_in_turn_int))
        return;
    if (!with)
        data = 2;
    reach(1);
    err = rn_group_wait(&group);
    (void)err;
}
static int reach_last(void)
{
    wait_for(2);
    linger();
    return 0;
}
static void group_two(bool with) /* all of them, and not only the last */
{
    int err;

    rn_group_go(&group, reach_last);
    rn_group_go(&group, write_in_turn_int);
    reach(1);
    wait_for(2);
    if (!with)
        data = 2;
    err = rn_group_wait(&group);
    if (with)
        data = 2 + err;
}
static int set_and_reach(int t)
{
    wait_for(t);
    data = 1;
    reach(t + 1);
    return 0;
}
static void group_slot(
    bool with) /* under a limit of 1, a task's end is before the next one's start */
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
    return -EIO;
}
static void group_error(bool with) /* the first error is before the context's end */
{
    rn_ctx *derived = rn_group_with_ctx(&group, rn_ctx_background());
    int err;

    rn_group_go(&group, with ? set_and_fail : fail_only);
    if (!with)
        rn_go(then_reach);
    (void)rn_recv(rn_ctx_done(derived));
    if (!with)
        wait_for(1);
    data = 2;
    err = rn_group_wait(&group);
    (void)err;
}

/* Whether a caller joins cannot be seen from outside, so it is tried until one has; each time with a call and
 * a variable of its own. */
enum { FLIGHTS = 200 };
static volatile int flight_data[FLIGHTS];

static int flight_body(int i, bool inside)
{
    reach(2 * i + 1);
    linger();
    if (inside)
        flight_data[i] = 1;
    return 0;
}
static int flight_alone(void)
{
    return 0;
}
static void flight_leader(int i, bool inside)
{
    int err = rn_flight_do(&flight, "key", (int *)NULL, flight_body, i, inside);

    if (!inside)
        flight_data[i] = 1 + err;
    reach(2 * i + 2);
}
static void flight_do(bool with)
{
    bool shared = false;

    for (int i = 0; i < FLIGHTS && !shared; i++) {
        int err;

        rn_go(flight_leader, i, with);
        wait_for(2 * i + 1);
        err = rn_flight_do_shared(&flight, "key", (int *)NULL, &shared, flight_alone);
        wait_for(2 * i + 2);
        if (shared)
            flight_data[i] = 2 + err;
    }
}
/* Forgetting orders nothing. */
static void flight_forgetter(void)
{
    data = 1;
    rn_flight_forget(&flight, "key");
    reach(1);
}
static void flight_forget(bool with)
{
    int err;

    (void)with;
    rn_go(flight_forgetter);
    wait_for(1);
    rn_flight_forget(&flight, "key");
    err = rn_flight_do(&flight, "key", (int *)NULL, flight_alone);
    data = 2 + err;
}

/* C's own atomics: a store is before the load that sees it, unless both are relaxed. */
static _Atomic int published;
static void publish(bool release)
{
    data = 1;
    if (release)
        atomic_store_explicit(&published, 1, memory_order_release);
    else
        atomic_store_explicit(&published, 1, memory_order_relaxed);
}
static void atomics(bool with)
{
    rn_go(publish, with);
    while (!atomic_load_explicit(&published, memory_order_relaxed))
        rn_yield();
    if (with)
        (void)atomic_load_explicit(&published, memory_order_acquire);
    data = 2;
}

/* By each operation that writes, to each that reads. A failed exchange is no more than a load in C. */
enum { OPERATIONS = 5 };
static volatile int places[OPERATIONS];
static _Atomic int words[OPERATIONS];
static void write_words(void)
{
    for (int i = 0; i < OPERATIONS; i++) {
        int none = 0;

        places[i] = 1;
        switch (i) {
        case 0:
            atomic_fetch_add_explicit(&words[i], 1, memory_order_release);
            break;
        case 1:
            atomic_exchange_explicit(&words[i], 1, memory_order_release);
            break;
        case 2:
        case 3:
            atomic_compare_exchange_strong_explicit(&words[i], &none, 1, memory_order_release,
                                                    memory_order_relaxed);
            break;
        default:
            atomic_store_explicit(&words[i], 1, memory_order_release);
            break;
        }
    }
    reach(1);
}
static void read_word(int i)
{
    int was = i == 3; /* the exchange of 3 succeeds, that of 4 fails */

    switch (i) {
    case 0:
        (void)atomic_load_explicit(&words[i], memory_order_acquire);
        break;
    case 1:
        atomic_fetch_add_explicit(&words[i], 1, memory_order_acquire);
        break;
    case 2:
        atomic_exchange_explicit(&words[i], 2, memory_order_acquire);
        break;
    case 3:
    default:
        atomic_compare_exchange_strong_explicit(&words[i], &was, 2, memory_order_acquire,
                                                memory_order_acquire);
        break;
    }
    places[i] = 2;
}
static void atomic_operations(bool with)
{
    (void)with;
    rn_go(write_words);
    wait_for(1);
    for (int i = 0; i < OPERATIONS; i++)
        read_word(i);
}
/* Of two that add, the second has the first one's order. That one was first says nothing of the other. */
static void add_after_write(void)
{
    data = 1;
    atomic_fetch_add_explicit(&counter, 1, memory_order_acq_rel);
    reach(1);
}
static void atomic_order_of_two(bool with)
{
    int before = 0;

    if (!with)
        before = atomic_fetch_add_explicit(&counter, 1, memory_order_acq_rel);
    rn_go(add_after_write);
    wait_for(1);
    if (with)
        before = atomic_fetch_add_explicit(&counter, 1, memory_order_acq_rel);
    if (before == with)
        data = 2;
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

/* ---- Names ---------------------------------------------------------------------------------------------------------- */

static void named_itself(void)
{
    rn_set_name("before");
    rn_set_name("by itself");
    data = 1; /* tools.c: by itself */
    reach(1);
    linger(); /* it has not ended, or its name may be gone with it */
    wait_for(2);
}
static void named_at_the_start(void)
{
    wait_for(1);
    data = 2; /* tools.c: at the start */
    reach(2);
}
static int names(void)
{
    rn_set_name("first");
    rn_set_name(NULL);
    rn_go_with(RN_ATTR(.name = "at the start"), named_at_the_start); /* tools.c: started */
    rn_go(named_itself);                                             /* tools.c: started, too */
    wait_for(2);
    (void)rn_settle(RN_SECOND);
    return 0;
}

/* ---- Main ------------------------------------------------------------------------------------------------------------- */

enum { WITH = 1, WITHOUT = 2, BOTH = 3 };
static const struct {
    const char *name;
    void (*fn)(bool with);
    int has;
    const char *edge; /* the name in tests/conformance/edges.txt */
} cases[] = {
#define CASE(name, has, edge) {#name, name, has, edge}
    CASE(two_accesses, BOTH, "ACCESS"),
    CASE(atomic_and_plain, BOTH, "ACCESS"),
    CASE(go, BOTH, "GO"),
    CASE(go_from_thread, BOTH, "GO"),
    CASE(end_by_count, WITHOUT, "END"),
    CASE(end_by_sleep, WITHOUT, "END"),
    CASE(yield_body, WITHOUT, "END"),
    CASE(lock_thread, WITHOUT, "END"),
    CASE(thread_end, WITH, "THREAD"),
    CASE(run_twice, WITH, "RUN"),
    CASE(send_recv, BOTH, "SEND"),
    CASE(send_recv_buffered, BOTH, "SEND-BUF"),
    CASE(send_parked_first, BOTH, "SEND"),
    CASE(recv_send, BOTH, "RECV"),
    CASE(recv_send_capacity, BOTH, "RECV-BUF"),
    CASE(channel_as_lock, BOTH, "RECV-BUF"),
    CASE(fill_and_write, BOTH, "RECV-BUF"),
    CASE(send_other_value, BOTH, "VALUE"),
    CASE(handed_over_buffered, BOTH, "VALUE"),
    CASE(recv_other_value, BOTH, "VALUE"),
    CASE(unit_elements, BOTH, "UNIT"),
    CASE(unit_buffered, BOTH, "UNIT"),
    CASE(unit_capacity, BOTH, "UNIT"),
    CASE(unit_refilled, BOTH, "UNIT"),
    CASE(close_recv, BOTH, "CLOSE"),
    CASE(close_range, BOTH, "CLOSE"),
    CASE(close_select, BOTH, "CLOSE"),
    CASE(close_parked, BOTH, "CLOSE"),
    CASE(close_after_send, BOTH, "CLOSE-RACE"),
    CASE(close_after_try, BOTH, "CLOSE-RACE"),
    CASE(close_after_select, BOTH, "CLOSE-RACE"),
    CASE(close_after_close, WITHOUT, "CLOSE-RACE"),
    CASE(close_buffered, BOTH, "CLOSE-BUF"),
    CASE(by_length, BOTH, "LEN"),
    CASE(failed_try_send, WITHOUT, "TRY"),
    CASE(failed_try_recv, BOTH, "TRY"),
    CASE(try_send_to_parked, BOTH, "RECV"),
    CASE(try_recv, BOTH, "SEND-BUF"),
    CASE(select_recv, BOTH, "SELECT"),
    CASE(select_send, BOTH, "SELECT"),
    CASE(select_unchosen, BOTH, "SELECT-NOT"),
    CASE(select_default, BOTH, "TRY"),
    CASE(select_operand, BOTH, "ELEM"),
    CASE(mutex, BOTH, "MUTEX"),
    CASE(mutex_parked, BOTH, "MUTEX"),
    CASE(mutex_try, BOTH, "MUTEX"),
    CASE(mutex_failed_try, WITHOUT, "MUTEX-TRY"),
    CASE(mutex_overwritten, BOTH, "HANDLE"),
    CASE(channel_overwritten, BOTH, "HANDLE"),
    CASE(rwmutex_write_read, BOTH, "RW-WRITE"),
    CASE(rwmutex_write_write, BOTH, "RW-WRITE"),
    CASE(rwmutex_read, BOTH, "RW-READ"),
    CASE(rwmutex_parked_read, BOTH, "RW-WRITE"),
    CASE(rwmutex_parked_write, BOTH, "RW-WRITE"),
    CASE(rwmutex_parked_after_read, BOTH, "RW-READ"),
    CASE(rwmutex_failed_try, WITHOUT, "RW-TRY"),
    CASE(once_do, BOTH, "ONCE"),
    CASE(once_parked, BOTH, "ONCE"),
    CASE(wg_wait, BOTH, "WG"),
    CASE(wg_go, BOTH, "WG"),
    CASE(wg_two, BOTH, "WG-DONE"),
    CASE(wg_add, WITHOUT, "WG-ADD"),
    CASE(wg_as_lock, WITHOUT, "WG-ADD"),
    CASE(wg_first_add, BOTH, "WG-RACE"),
    CASE(wg_gave_up, WITH, "WG-RACE"),
    CASE(cond_signal, BOTH, "COND"),
    CASE(cond_broadcast, BOTH, "COND"),
    CASE(cond_nobody, WITHOUT, "COND-NOT"),
    CASE(semaphore, BOTH, "SEM"),
    CASE(sem_free, BOTH, "SEM"),
    CASE(sem_try, BOTH, "SEM"),
    CASE(sem_failed_try, WITHOUT, "SEM-TRY"),
    CASE(park_ready, BOTH, "PARK"),
    CASE(after_func, BOTH, "TIMER"),
    CASE(go_after, BOTH, "TIMER"),
    CASE(after_func_reset, BOTH, "TIMER"),
    CASE(timer_reset, BOTH, "TIMER-CHAN"),
    CASE(timer_late, BOTH, "TIMER-CHAN"),
    CASE(ticker_start, BOTH, "TIMER-CHAN"),
    CASE(ticker_reset, BOTH, "TIMER-CHAN"),
    CASE(timer_stop, WITHOUT, "TIMER-STOP"),
    CASE(two_callbacks, WITHOUT, "TIMER-TWO"),
    CASE(ctx_done, BOTH, "CTX-DONE"),
    CASE(ctx_err, BOTH, "CTX-ERR"),
    CASE(ctx_cause, BOTH, "CTX-ERR"),
    CASE(ctx_select, BOTH, "CTX-DONE"),
    CASE(ctx_after_func, BOTH, "CTX-AFTER"),
    CASE(ctx_cancel_after_func, BOTH, "CTX-AFTER"),
    CASE(ctx_hook_stop, BOTH, "CTX-HOOK"),
    CASE(ctx_failed_wait, BOTH, "CTX-DONE"),
    CASE(ctx_value, WITHOUT, "CTX-VALUE"),
    CASE(ctx_owned_value, BOTH, "CTX-DROP"),
    CASE(group_wait, BOTH, "GROUP-WAIT"),
    CASE(group_two, BOTH, "GROUP-WAIT"),
    CASE(group_start, BOTH, "GROUP-GO"),
    CASE(group_try_start, BOTH, "GROUP-GO"),
    CASE(group_slot, BOTH, "GROUP-SLOT"),
    CASE(group_error, BOTH, "GROUP-ERR"),
    CASE(flight_do, BOTH, "FLIGHT"),
    CASE(flight_forget, WITHOUT, "FLIGHT-NOT"),
    CASE(atomics, BOTH, "ATOMIC"),
    CASE(atomic_operations, WITH, "ATOMIC"),
    CASE(atomic_order_of_two, BOTH, "ATOMIC-ADD"),
    CASE(send_operand, BOTH, "ELEM"),
    CASE(recv_destination, BOTH, "ELEM"),
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
            printf("%s %d %s\n", cases[i].name, cases[i].has, cases[i].edge);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "names") == 0)
        return rn_run(names);
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
