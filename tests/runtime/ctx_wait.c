/* SPDX-License-Identifier: MIT */
/*
 * ctx_wait.c - the waits that take a context (decision 30), and contexts that signals end.
 */
#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * One wait of each kind, on an object that does not let it through. begin makes the object so that it
 * must wait; finish lets a wait through that is in progress; leaves checks that a wait which gave up
 * took nothing.
 */
struct objects {
    rn_chan(int) empty, full;
    rn_mutex held, cond_lock;
    rn_wg counting;
    rn_cond cond;
    rn_sem sem;
};

enum { SEND, RECV, SLEEP, WG, MUTEX, COND, SEM, KINDS };

static void objects_init(struct objects *o)
{
    *o = (struct objects){.sem = RN_SEM(3)};
    o->empty = rn_chan_make(int, 0);
    o->full = rn_chan_make(int, 1);
    rn_send(o->full, 1);
    rn_mutex_lock(&o->held);
    rn_wg_add(&o->counting, 1);
    CHECK_EQ(rn_sem_acquire(NULL, &o->sem, 2), 0);
}

static int wait_one(struct objects *o, rn_ctx *ctx, int kind)
{
    int value, err;

    switch (kind) {
    case SEND:
        return rn_send_ctx(ctx, o->full, 2);
    case RECV:
        return rn_recv_ctx(ctx, o->empty, &value);
    case SLEEP:
        return rn_sleep_ctx(ctx, RN_HOUR);
    case WG:
        return rn_wg_wait_ctx(ctx, &o->counting);
    case MUTEX:
        err = rn_mutex_lock_ctx(ctx, &o->held);
        if (err == 0)
            rn_mutex_unlock(&o->held);
        return err;
    case COND:
        rn_mutex_lock(&o->cond_lock);
        err = rn_cond_wait_ctx(ctx, &o->cond, &o->cond_lock);
        CHECK(!rn_mutex_try_lock(&o->cond_lock)); /* locked again either way */
        rn_mutex_unlock(&o->cond_lock);
        return err;
    default:
        err = rn_sem_acquire(ctx, &o->sem, 2);
        if (err == 0)
            rn_sem_release(&o->sem, 2);
        return err;
    }
}

/* Nothing was taken, sent or locked by those who gave up, and nobody of them is in a queue. */
static void objects_intact(struct objects *o)
{
    int value;

    CHECK(!rn_try_send(o->empty, 1)); /* no receiver left behind */
    CHECK_EQ(rn_recv(o->full), 1);
    CHECK_EQ(rn_len(o->full), 0); /* and no sender */
    CHECK(!rn_try_recv(o->full, &value));
    rn_mutex_unlock(&o->held);
    CHECK(rn_mutex_try_lock(&o->held));
    rn_mutex_unlock(&o->held);
    rn_wg_done(&o->counting);
    rn_wg_wait(&o->counting);
    CHECK(rn_mutex_try_lock(&o->cond_lock));
    rn_mutex_unlock(&o->cond_lock);
    rn_cond_signal(&o->cond);
    CHECK(rn_sem_try_acquire(&o->sem, 1));
    rn_sem_release(&o->sem, 3);
    CHECK(rn_sem_try_acquire(&o->sem, 3));
    rn_sem_release(&o->sem, 3);
    rn_chan_release(o->empty);
    rn_chan_release(o->full);
}

GO_TEST(d30_every_wait_ends_at_once_under_an_ended_context)
{
    struct objects o;
    rn_ctx *cancelled = rn_ctx_with_cancel_cause(rn_ctx_background());
    rn_ctx *expired = rn_ctx_with_timeout(rn_ctx_background(), 0);

    rn_ctx_cancel_cause(cancelled, -EIO);
    objects_init(&o);
    for (int kind = 0; kind < KINDS; kind++) {
        CHECK_EQ(wait_one(&o, cancelled, kind), -ECANCELED); /* the error, not the cause */
        CHECK_EQ(wait_one(&o, expired, kind), -ETIMEDOUT);
    }
    objects_intact(&o);
    rn_ctx_end(cancelled);
    rn_ctx_end(expired);
}

GO_TEST(d30_every_wait_ends_when_its_deadline_passes)
{
    struct objects o;

    objects_init(&o);
    for (int kind = 0; kind < KINDS; kind++) {
        rn_time end = rn_now() + 3 * RN_MILLISECOND;
        rn_ctx *ctx = rn_ctx_with_deadline(rn_ctx_background(), end);

        CHECK_EQ(wait_one(&o, ctx, kind), -ETIMEDOUT);
        CHECK(rn_now() >= end);
        rn_ctx_end(ctx);
    }
    objects_intact(&o);
}

static void wait_and_count(struct objects *o, rn_ctx *ctx, int kind, int want, _Atomic int *n)
{
    CHECK_EQ(wait_one(o, ctx, kind), want);
    ++*n;
}

GO_TEST(d30_every_wait_ends_when_its_context_is_cancelled)
{
    struct objects o;

    objects_init(&o);
    for (int round = 0; round < test_times(50); round++) {
        for (int kind = 0; kind < KINDS; kind++) {
            rn_ctx *parent = rn_ctx_with_cancel(rn_ctx_background());
            rn_ctx *ctx = rn_ctx_with_value(parent, &o, NULL);
            _Atomic int n = 0;
            rn_wg wg = {0};

            for (int i = 0; i < 5; i++)
                rn_wg_go(&wg, wait_and_count, &o, ctx, kind, -ECANCELED, &n);
            for (int i = 0; i < round % 7; i++)
                rn_yield();
            rn_ctx_cancel(parent);
            rn_wg_wait(&wg);
            CHECK_EQ(n, 5);
            rn_ctx_end(ctx);
            rn_ctx_end(parent);
        }
    }
    objects_intact(&o);
}

static void *wait_as_thread(void *arg)
{
    struct objects *o = arg;

    for (int kind = 0; kind < KINDS; kind++) {
        rn_ctx *ctx = rn_ctx_with_timeout(rn_ctx_background(), 3 * RN_MILLISECOND);

        CHECK_EQ(wait_one(o, ctx, kind), -ETIMEDOUT);
        rn_ctx_end(ctx);
    }
    return NULL;
}

GO_TEST(d30_from_plain_threads_too)
{
    struct objects o;
    pthread_t thread[3];

    objects_init(&o);
    for (int i = 0; i < 3; i++)
        pthread_create(&thread[i], NULL, wait_as_thread, &o);
    for (int i = 0; i < 3; i++)
        (void)rn_blocking(pthread_join(thread[i], NULL));
    objects_intact(&o);
}

GO_TEST(d30_waits_that_need_not_wait_succeed)
{
    rn_ctx *ctx[] = {rn_ctx_background(), NULL, rn_ctx_with_cancel(rn_ctx_background()),
                     rn_ctx_with_timeout(rn_ctx_background(), RN_HOUR)};
    rn_chan(int) ch = rn_chan_make(int, 1), closed = rn_chan_make(int, 1);
    rn_mutex mu = {0};
    rn_wg wg = {0};
    rn_sem sem = RN_SEM(2);

    rn_close(closed);
    for (int i = 0; i < 4; i++) {
        int value = 0;

        CHECK_EQ(rn_send_ctx(ctx[i], ch, 7 + i), 0);
        CHECK_EQ(rn_recv_ctx(ctx[i], ch, &value), 0);
        CHECK_EQ(value, 7 + i);
        CHECK_EQ(rn_recv_ctx(ctx[i], closed, &value), -EPIPE);
        CHECK_EQ(value, 0);
        CHECK_EQ(rn_sleep_ctx(ctx[i], RN_MILLISECOND), 0);
        CHECK_EQ(rn_sleep_ctx(ctx[i], 0), 0);
        CHECK_EQ(rn_mutex_lock_ctx(ctx[i], &mu), 0);
        CHECK(!rn_mutex_try_lock(&mu));
        rn_mutex_unlock(&mu);
        CHECK_EQ(rn_wg_wait_ctx(ctx[i], &wg), 0);
        CHECK_EQ(rn_sem_acquire(ctx[i], &sem, 2), 0);
        CHECK(!rn_sem_try_acquire(&sem, 1));
        rn_sem_release(&sem, 2);
    }
    rn_ctx_end(ctx[2]);
    rn_ctx_end(ctx[3]);
    rn_chan_release(ch);
    rn_chan_release(closed);
}

static void let_through(struct objects *o)
{
    int value;

    rn_send(o->empty, 1);
    value = rn_recv(o->full);
    CHECK_EQ(value, 1);
    rn_mutex_unlock(&o->held);
    rn_wg_done(&o->counting);
    rn_sem_release(&o->sem, 2);
}

GO_TEST(d30_waits_under_a_context_are_let_through)
{
    for (int round = 0; round < test_times(200); round++) {
        rn_ctx *ctx = rn_ctx_with_timeout(rn_ctx_background(), RN_HOUR);
        _Atomic int n = 0;
        struct objects o;
        rn_wg wg = {0};

        objects_init(&o);
        for (int kind = 0; kind < KINDS; kind++)
            if (kind != SLEEP && kind != COND)
                rn_wg_go(&wg, wait_and_count, &o, ctx, kind, 0, &n);
        for (int i = 0; i < round % 5; i++)
            rn_yield();
        let_through(&o);
        rn_wg_wait(&wg);
        CHECK_EQ(n, KINDS - 2);
        CHECK_EQ(rn_recv(o.full), 2);
        rn_ctx_end(ctx);
        rn_chan_release(o.empty);
        rn_chan_release(o.full);
    }
}

/* ---- A wake-up against a cancellation: nothing is lost ------------------------------------------- */

struct shared_cond {
    rn_mutex mu;
    rn_cond cond;
    int waiting, signalled, gave_up; /* guarded by mu */
};

static void cond_waiter(struct shared_cond *s, rn_ctx *ctx)
{
    int err;

    rn_mutex_lock(&s->mu);
    s->waiting++;
    err = rn_cond_wait_ctx(ctx, &s->cond, &s->mu);
    if (err == 0)
        s->signalled++;
    else
        s->gave_up++;
    rn_mutex_unlock(&s->mu);
}

static void signal_one(struct shared_cond *s)
{
    rn_cond_signal(&s->cond);
}

/* One signal among three waiters, two of which give up meanwhile: it reaches exactly one. A waiter that
 * is cancelled does not swallow it. */
GO_TEST(cond_06_d30_a_cancelled_waiter_swallows_no_signal)
{
    for (int round = 0; round < test_times(2000); round++) {
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
        struct shared_cond s = {0};
        rn_wg wg = {0};
        bool all = false;

        rn_wg_go(&wg, cond_waiter, &s, ctx);
        rn_wg_go(&wg, cond_waiter, &s, ctx);
        rn_wg_go(&wg, cond_waiter, &s, (rn_ctx *)NULL);
        while (!all) {
            rn_mutex_lock(&s.mu);
            all = s.waiting == 3;
            rn_mutex_unlock(&s.mu);
            rn_yield();
        }
        if (round % 2) {
            rn_wg_go(&wg, signal_one, &s);
            rn_ctx_cancel(ctx);
        } else {
            rn_wg_go(&wg, rn_ctx_cancel, ctx);
            rn_cond_signal(&s.cond);
        }
        for (;;) { /* the signal arrives, and the cancelled ones leave */
            rn_mutex_lock(&s.mu);
            all = s.signalled == 1 && s.signalled + s.gave_up >= 2;
            rn_mutex_unlock(&s.mu);
            if (all)
                break;
            rn_yield();
        }
        rn_cond_broadcast(&s.cond); /* for the one without a context, if it still waits */
        rn_wg_wait(&wg);
        CHECK(s.signalled <= 2 && s.signalled + s.gave_up == 3);
        rn_ctx_end(ctx);
    }
}

static void take_and_give(rn_ctx *ctx, rn_sem *sem, int n)
{
    if (rn_sem_acquire(ctx, sem, n) == 0)
        rn_sem_release(sem, n);
}

GO_TEST(sem_10_d30_units_granted_in_the_race_come_back)
{
    for (int round = 0; round < test_times(1000); round++) {
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
        rn_sem sem = RN_SEM(3);
        rn_wg wg = {0};

        CHECK_EQ(rn_sem_acquire(NULL, &sem, 3), 0);
        for (int i = 0; i < 6; i++)
            rn_wg_go(&wg, take_and_give, i % 2 ? ctx : NULL, &sem, 1 + i % 3);
        for (int i = 0; i < round % 5; i++)
            rn_yield();
        rn_wg_go(&wg, rn_ctx_cancel, ctx);
        rn_sem_release(&sem, 3);
        rn_wg_wait(&wg);
        CHECK(rn_sem_try_acquire(&sem, 3));
        rn_ctx_end(ctx);
    }
}

static void lock_and_unlock(rn_ctx *ctx, rn_mutex *mu, int *guarded)
{
    if (rn_mutex_lock_ctx(ctx, mu) == 0) {
        ++*guarded;
        rn_mutex_unlock(mu);
    }
}

GO_TEST(d30_a_lock_is_not_lost_to_a_cancelled_waiter)
{
    for (int round = 0; round < test_times(1000); round++) {
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
        rn_mutex mu = {0};
        rn_wg wg = {0};
        int guarded = 0;

        rn_mutex_lock(&mu);
        for (int i = 0; i < 6; i++)
            rn_wg_go(&wg, lock_and_unlock, i % 2 ? ctx : NULL, &mu, &guarded);
        for (int i = 0; i < round % 5; i++)
            rn_yield();
        rn_wg_go(&wg, rn_ctx_cancel, ctx);
        rn_mutex_unlock(&mu);
        rn_wg_wait(&wg);
        CHECK(guarded >= 3 && guarded <= 6);
        CHECK(rn_mutex_try_lock(&mu));
        rn_ctx_end(ctx);
    }
}

static void send_counted(rn_ctx *ctx, rn_chan(int) ch, _Atomic int *sent)
{
    *sent += rn_send_ctx(ctx, ch, 1) == 0;
}
static void recv_counted(rn_ctx *ctx, rn_chan(int) ch, _Atomic int *received)
{
    int value;

    *received += rn_recv_ctx(ctx, ch, &value) == 0;
}

/* "ctx's error with nothing sent": whoever got 0 has a partner that got 0. */
GO_TEST(d30_send_and_receive_agree_under_cancellation)
{
    for (int round = 0; round < test_times(1000); round++) {
        rn_ctx *a = rn_ctx_with_cancel(rn_ctx_background());
        rn_ctx *b = rn_ctx_with_cancel(rn_ctx_background());
        rn_chan(int) ch = rn_chan_make(int, 0);
        _Atomic int sent = 0, received = 0;
        rn_wg wg = {0};

        for (int i = 0; i < 4; i++) {
            rn_wg_go(&wg, send_counted, i % 2 ? a : b, ch, &sent);
            rn_wg_go(&wg, recv_counted, i % 2 ? a : b, ch, &received);
        }
        rn_wg_go(&wg, rn_ctx_cancel, a);
        for (int i = 0; i < round % 5; i++)
            rn_yield();
        rn_ctx_cancel(b);
        rn_wg_wait(&wg);
        CHECK_EQ(sent, received);
        rn_ctx_end(a);
        rn_ctx_end(b);
        rn_chan_release(ch);
    }
}

GO_TEST(ctx_04_select_on_done)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_chan(int) ch = rn_chan_make(int, 0);
    int value = 5;

    CHECK_EQ(rn_select(rn_on_done(ctx), rn_on_recv(ch, &value), rn_default), 2);
    CHECK_EQ(
        rn_select(rn_on_done(NULL), rn_on_done(rn_ctx_background()), rn_on_timeout(RN_MILLISECOND)),
        2);
    rn_go_after(RN_MILLISECOND, rn_ctx_cancel, ctx);
    CHECK_EQ(rn_select(rn_on_recv(ch, &value), rn_on_done(ctx)), 1);
    CHECK_EQ(rn_select(rn_on_recv(ch, &value), rn_on_done(ctx)), 1);
    CHECK_EQ(value, 5);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    rn_chan_release(ch);
    rn_ctx_end(ctx);
}

/* ---- Signals -------------------------------------------------------------------------------------- */

GO_TEST(ctx_signals_end_it_with_a_cause_that_names_the_signal)
{
    rn_ctx *parent = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx *ctx = rn_ctx_with_signals(parent, SIGUSR1, SIGTERM);
    rn_ctx *other = rn_ctx_with_signals(rn_ctx_background(), SIGTERM);
    rn_ctx *child = rn_ctx_with_cancel(ctx);
    const char *text;

    CHECK_EQ(rn_ctx_err(ctx), 0);
    kill(getpid(), SIGUSR1);
    (void)rn_recv(rn_ctx_done(child));
    CHECK_EQ(rn_ctx_err(ctx), -ECANCELED);
    CHECK_EQ(rn_ctx_cause(ctx), -EINTR);
    CHECK_EQ(rn_ctx_cause(child), -EINTR);
    text = rn_errmsg(rn_ctx_cause(ctx));
    CHECK(strstr(text, "USR1") || strstr(text, strsignal(SIGUSR1)));
    CHECK_EQ(rn_ctx_err(parent), 0);
    CHECK_EQ(rn_ctx_err(other), 0);

    kill(getpid(), SIGUSR1); /* the second of a kind is ignored while ctx lives */
    kill(getpid(), SIGTERM); /* ends the other, not us */
    (void)rn_recv(rn_ctx_done(other));
    text = rn_errmsg(rn_ctx_cause(other));
    CHECK(strstr(text, "TERM") || strstr(text, strsignal(SIGTERM)));
    text = rn_errmsg(rn_ctx_cause(ctx));
    CHECK(strstr(text, "USR1") || strstr(text, strsignal(SIGUSR1))); /* the first stays */
    rn_ctx_end(child);
    rn_ctx_end(other);
    rn_ctx_end(ctx);
    rn_ctx_end(parent);
}

GO_TEST(ctx_signals_two_contexts_one_signal)
{
    for (int round = 0; round < test_times(200); round++) {
        rn_ctx *a = rn_ctx_with_signals(rn_ctx_background(), SIGUSR1);
        rn_ctx *b = rn_ctx_with_signals(rn_ctx_background(), SIGUSR2, SIGUSR1);

        kill(getpid(), SIGUSR1);
        (void)rn_recv(rn_ctx_done(a));
        (void)rn_recv(rn_ctx_done(b));
        CHECK_EQ(rn_ctx_cause(a), -EINTR);
        CHECK_EQ(rn_ctx_cause(b), -EINTR);
        rn_ctx_end(a);
        rn_ctx_end(b);
    }
}

/* A context that begins while a signal is told to those that waited for it is none of them. */
GO_TEST(ctx_signals_are_not_for_who_comes_later)
{
    enum { MANY = 300 };
    rn_ctx *waiting[MANY];

    for (int round = 0; round < test_times(50); round++) {
        rn_ctx *later;

        for (int i = 0; i < MANY; i++)
            waiting[i] = rn_ctx_with_signals(rn_ctx_background(), SIGUSR1);
        kill(getpid(), SIGUSR1);
        AWAIT(rn_ctx_err(waiting[MANY - 1]) ||
              rn_ctx_err(waiting[0])); /* from the one end, or the other */
        later = rn_ctx_with_signals(rn_ctx_background(), SIGUSR1);
        for (int i = 0; i < MANY; i++) {
            (void)rn_recv(rn_ctx_done(waiting[i]));
            rn_ctx_end(waiting[i]);
        }
        CHECK_EQ(rn_ctx_err(later), 0);
        kill(getpid(), SIGUSR1);
        (void)rn_recv(rn_ctx_done(later));
        rn_ctx_end(later);
    }
}

GO_TEST(ctx_signals_cancelled_like_any_other)
{
    rn_ctx *parent = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx *ctx = rn_ctx_with_signals(parent, SIGUSR1);

    rn_ctx_cancel_cause(parent, -EIO);
    CHECK_EQ(rn_ctx_err(ctx), -ECANCELED);
    CHECK_EQ(rn_ctx_cause(ctx), -EIO);
    kill(getpid(), SIGUSR1); /* still without its default effect */
    test_let_run();
    CHECK_EQ(rn_ctx_cause(ctx), -EIO);
    rn_ctx_end(ctx);
    rn_ctx_end(parent);
}

static int signal_after_end(void)
{
    rn_ctx *ctx = rn_ctx_with_signals(rn_ctx_background(), SIGUSR1);

    rn_ctx_end(ctx);
    kill(getpid(), SIGUSR1); /* the default effect is back: we die here */
    rn_sleep(RN_MINUTE);
    return 0;
}
static void signal_after_end_run(void)
{
    (void)rn_run(signal_after_end);
}

static int signal_after_run(void)
{
    rn_ctx *ctx = rn_ctx_with_signals(rn_ctx_background(), SIGUSR1);

    rn_ctx_cancel(ctx);
    rn_ctx_end(ctx);
    return 0;
}
static void signal_after_run_run(void)
{
    (void)rn_run(signal_after_run);
    raise(SIGUSR1);
}

PLAIN_TEST(ctx_signals_default_effect_returns)
{
    struct child c = run_child(signal_after_end_run);

    CHECK_SIGNAL(&c, SIGUSR1);
    c = run_child(signal_after_run_run);
    CHECK_SIGNAL(&c, SIGUSR1);
}

static _Atomic int own_handler_ran;
static void own_handler(int sig)
{
    (void)sig;
    own_handler_ran = 1;
}

static int with_own_handler(void)
{
    struct sigaction mine = {.sa_handler = own_handler}, now;
    rn_ctx *ctx;

    sigaction(SIGUSR2, &mine, NULL);
    ctx = rn_ctx_with_signals(rn_ctx_background(), SIGUSR2);
    kill(getpid(), SIGUSR2);
    (void)rn_recv(rn_ctx_done(ctx));
    rn_ctx_end(ctx);
    sigaction(SIGUSR2, NULL, &now);
    CHECK(now.sa_handler == own_handler); /* what was there is there again */
    own_handler_ran = 0;
    kill(getpid(), SIGUSR2);
    AWAIT(own_handler_ran);
    return 0;
}

PLAIN_TEST(ctx_signals_a_handler_of_yours_returns)
{
    CHECK_EQ(rn_run(with_own_handler), 0);
}

static int no_such_signal(void)
{
    return rn_ctx_with_signals(rn_ctx_background(), SIGKILL) != NULL;
}
static void no_such_signal_run(void)
{
    (void)!rn_run(no_such_signal);
}

PLAIN_TEST(ctx_signals_that_cannot_be_caught_panic)
{
    CHECK_PANICS(no_such_signal_run, "rn_ctx_with_signals: 9 is not a signal that can be caught");
}

/*
 * A wait that had been readied when rn_run ended, but did not run any more, has left nothing in the context: to cancel it
 * afterwards touches no stack that is gone.
 */
static rn_ctx *outlives;
static rn_wg outlives_wg;
static int ready_and_leave(void)
{
    outlives = rn_ctx_with_cancel(rn_ctx_background());
    rn_wg_add(&outlives_wg, 1);
    for (int i = 0; i < 100; i++)
        rn_go(rn_wg_wait_ctx, outlives, &outlives_wg);
    test_let_run(); /* there is one processor: they have run */
    rn_wg_done(&outlives_wg);
    return 0;
}
PLAIN_TEST(readied_wait_leaves_no_hook)
{
    CHECK_EQ(rn_set_procs(1), 0);
    CHECK_EQ(rn_run(ready_and_leave), 0);
    rn_ctx_end(outlives);
}
