/* SPDX-License-Identifier: MIT */
/*
 * forms.c - rn_range, rn_select_named, zero-initialised objects, sizes, and calls from plain threads.
 */
#define _GNU_SOURCE
#include "support.h"

#include <pthread.h>
#include <stdlib.h>

/* ---- D9: sizes; they freeze with the first release ---------------------------------------------- */

_Static_assert(sizeof(rn_once) == 8, "rn_once");
_Static_assert(sizeof(rn_mutex) == 16, "rn_mutex");
_Static_assert(sizeof(rn_cond) == 24, "rn_cond");
_Static_assert(sizeof(rn_wg) == 24, "rn_wg");
_Static_assert(sizeof(rn_rwmutex) == 40, "rn_rwmutex");
_Static_assert(sizeof(rn_sem) == 40, "rn_sem");
_Static_assert(sizeof(rn_group) == 192, "rn_group");
_Static_assert(sizeof(rn_case) == 96, "rn_case");
_Static_assert(sizeof(rn_flight) == 64, "rn_flight");
_Static_assert(sizeof(rn_ctx_hook) == 64, "rn_ctx_hook");
_Static_assert(sizeof(rn_timer) == 192, "rn_timer");
_Static_assert(sizeof(rn_ticker) == 192, "rn_ticker");
_Static_assert(sizeof(rn_error) == 128, "rn_error");
_Static_assert(sizeof(rn_ticket) == 16, "rn_ticket");
_Static_assert(sizeof(rn_attr) == 48, "rn_attr");
_Static_assert(sizeof(rn_unit) == 1, "rn_unit");
_Static_assert(sizeof(rn_dur) == 8 && sizeof(rn_time) == 8, "time");
_Static_assert(RN_SECOND == 1000 * RN_MILLISECOND && RN_MILLISECOND == 1000 * RN_MICROSECOND &&
                   RN_MICROSECOND == 1000 * RN_NANOSECOND && RN_HOUR == 3600 * RN_SECOND,
               "units");

/* ---- rn_range ----------------------------------------------------------------------------------- */

static int evaluations;

static rn_chan(int) count_evaluation(rn_chan(int) ch)
{
    evaluations++;
    return ch;
}

static rn_chan(int) filled(int n)
{
    rn_chan(int) ch = rn_chan_make(int, n);

    for (int i = 0; i < n; i++)
        rn_send(ch, i);
    rn_close(ch);
    return ch;
}

static int first_above(rn_chan(int) ch, int bound)
{
    rn_range (value, ch) {
        if (value > bound)
            return value;
    }
    return -1;
}

/* D27: the channel is evaluated once; break, continue and return mean what they always do. */
GO_TEST(range_control_flow)
{
    rn_chan(int) ch = filled(10);
    int sum = 0, after = 0;

    rn_range (value, count_evaluation(ch)) {
        if (value == 1)
            continue;
        if (value == 4)
            break;
        sum += value;
    }
    CHECK_EQ(evaluations, 1);
    CHECK_EQ(sum, 0 + 2 + 3);
    CHECK_EQ(rn_recv(ch), 5); /* break takes nothing more */
    CHECK_EQ(first_above(ch, 6), 7);
    rn_range (value, ch)
        after += value;
    CHECK_EQ(after, 17);
    rn_chan_release(ch);
}

/* D27: ranges nest, also over one channel, and in if without braces. */
GO_TEST(range_nested)
{
    rn_chan(int) outer = filled(3), inner;
    int sum = 0, rounds = 0;

    rn_range (a, outer) {
        inner = filled(a);
        rn_range (b, inner) {
            if (b == 1)
                break; /* of the inner one */
            sum += 10 * a + b;
        }
        rounds++;
        rn_chan_release(inner);
    }
    CHECK_EQ(rounds, 3);
    CHECK_EQ(sum, 10 + 20);
    rn_chan_release(outer);

    inner = filled(4);
    if (sum > 0)
        rn_range (value, inner)
            rounds += value;
    else
        rounds = -1;
    CHECK_EQ(rounds, 9);
    rn_chan_release(inner);
}

/* D27: the body's variable is a copy that may be changed; pointers may be elements. */
GO_TEST(range_variable)
{
    rn_chan(const char *) ch = rn_chan_make(const char *, 2);
    size_t length = 0;

    rn_send(ch, "one");
    rn_send(ch, "three");
    rn_close(ch);
    rn_range (text, ch) {
        text++;
        length += strlen(text);
    }
    CHECK_EQ(length, 6);
    rn_chan_release(ch);
}

/* ---- rn_select_named ---------------------------------------------------------------------------- */

enum outside { TIMEOUT = 77 };

static int named(rn_chan(int) numbers, rn_chan(char) letters, rn_ctx *ctx)
{
    int number = 0;
    char letter = 0;

    switch (rn_select_named(NUMBER, rn_on_recv(numbers, &number), LETTER,
                            rn_on_recv(letters, &letter), DONE, rn_on_done(ctx), NONE,
                            rn_default)) {
    case NUMBER:
        return number;
    case LETTER:
        return letter;
    case DONE:
        return -1;
    case NONE:
        return -2;
    }
    return -3;
}

/* D26: each case has a name, in the order of the list, that lives in the switch alone. */
GO_TEST(named_select)
{
    rn_chan(int) numbers = rn_chan_make(int, 1);
    rn_chan(char) letters = rn_chan_make(char, 1);
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());

    CHECK_EQ(named(numbers, letters, ctx), -2);
    rn_send(numbers, 42);
    CHECK_EQ(named(numbers, letters, ctx), 42);
    rn_send(letters, 'x');
    CHECK_EQ(named(numbers, letters, ctx), 'x');
    rn_ctx_cancel(ctx);
    CHECK_EQ(named(numbers, letters, ctx), -1);
    CHECK_EQ(TIMEOUT, 77);

    /* The same names again, in another order, in one function. */
    rn_send(numbers, 1);
    switch (rn_select_named(LETTER, rn_on_recv(letters, NULL), NUMBER, rn_on_recv(numbers, NULL))) {
    case LETTER:
        FAIL("no letter");
        break;
    case NUMBER:
        break;
    }
    switch (rn_select_named(NUMBER, rn_on_send(numbers, 2), LETTER, rn_on_recv(letters, NULL))) {
    case NUMBER:
        break;
    case LETTER:
        FAIL("no letter");
        break;
    }
    CHECK_EQ(rn_recv(numbers), 2);
    rn_chan_release(numbers);
    rn_chan_release(letters);
    rn_ctx_end(ctx);
}

/* D26: cases are values: they can be named, assigned, and chosen between, in a loop too. */
GO_TEST(cases_are_values)
{
    rn_chan(int) ch = rn_chan_make(int, 1);
    int value = 0, values[3] = {0};
    rn_case send = rn_on_send(ch, 9), receive, none = {0};
    rn_case cases[3];

    receive = rn_on_recv(ch, &value);
    cases[0] = none;
    cases[1] = send;
    cases[2] = receive;
    CHECK_EQ(rn_select_array(cases, 3), 1);
    cases[0] = (rn_case){0};
    cases[1] = (rn_case){0};
    cases[2] = receive;
    CHECK_EQ(rn_select_array(cases, 3), 2);
    CHECK_EQ(value, 9);
    for (int i = 0; i < 3; i++)
        cases[i] = rn_on_send_from(ch, &values[i]); /* the value is mine, not the literal's */
    values[0] = values[1] = values[2] = 11;
    (void)rn_select_array(cases, 3);
    CHECK_EQ(rn_recv(ch), 11);
    rn_chan_release(ch);
}

/* ---- The small ones ----------------------------------------------------------------------------- */

/* D38: the element's type from a handle of any direction, a semaphore with its units, and a value that is none. */
GO_TEST(elements_units_and_semaphores)
{
    rn_chan(double) ch = rn_chan_make(double, 1);
    rn_recv_only(double) in = ch;
    rn_send_only(double) out = ch;
    rn_chan(rn_unit) units = rn_chan_make(rn_unit, 1);
    rn_sem two = RN_SEM(2);
    rn_elem(out) sent = 1.5;
    rn_elem(in) got;

    _Static_assert(_Generic((rn_elem(ch)){0}, double: 1, default: 0), "rn_elem");
    _Static_assert(_Generic((rn_elem(units)){0}, rn_unit: 1, default: 0), "rn_unit");
    rn_send(out, sent);
    got = rn_recv(in);
    CHECK(got == 1.5);
    rn_send(units, RN_UNIT);
    (void)rn_recv(units);
    CHECK(rn_sem_try_acquire(&two, 2));
    CHECK(!rn_sem_try_acquire(&two, 1));
    rn_sem_release(&two, 2);
    rn_chan_release(ch);
    rn_chan_release(units);
}

/* ---- Zero is ready ------------------------------------------------------------------------------ */

static void nothing(void) {}

static int zero_int(void)
{
    return 0;
}

/* D9: every object works from zero bytes, and has the size that is asserted above. */
GO_TEST(zero_is_ready)
{
    struct {
        rn_wg wg;
        rn_mutex mutex;
        rn_rwmutex rwmutex;
        rn_once once;
        rn_cond cond;
        rn_sem sem;
        rn_group group;
        rn_flight flight;
        rn_ctx_hook hook;
        rn_timer timer;
        rn_ticker ticker;
        rn_attr attr;
        rn_error error;
    } *z = calloc(1, sizeof(*z));

    CHECK(z);
    rn_wg_wait(&z->wg);
    rn_wg_go(&z->wg, nothing);
    rn_wg_wait(&z->wg);
    rn_mutex_lock(&z->mutex);
    rn_mutex_unlock(&z->mutex);
    rn_rwmutex_rlock(&z->rwmutex);
    rn_rwmutex_runlock(&z->rwmutex);
    rn_rwmutex_lock(&z->rwmutex);
    rn_rwmutex_unlock(&z->rwmutex);
    rn_once_do(&z->once, nothing);
    rn_cond_signal(&z->cond);
    rn_cond_broadcast(&z->cond);
    CHECK(!rn_sem_try_acquire(&z->sem, 1));
    CHECK_EQ(rn_group_wait(&z->group), 0);
    rn_group_go(&z->group, zero_int);
    CHECK_EQ(rn_group_wait(&z->group), 0);
    CHECK_EQ(rn_flight_do(&z->flight, "key", (int *)NULL, zero_int), 0);
    CHECK(!rn_ctx_hook_stop(&z->hook));
    CHECK(!rn_timer_stop(&z->timer));
    CHECK_EQ(rn_len(rn_timer_chan(&z->timer)), 0);
    CHECK(!rn_try_recv(rn_timer_chan(&z->timer), NULL));
    rn_ticker_stop(&z->ticker);
    CHECK(!rn_try_recv(rn_ticker_chan(&z->ticker), NULL));
    rn_timer_free(&z->timer);
    rn_ticker_free(&z->ticker);
    rn_go_with(z->attr, nothing);
    CHECK_EQ(rn_error_raise(&z->error), 0);
    test_expect_settled(__FILE__, __LINE__);
    free(z);
}

/* ---- From plain threads ------------------------------------------------------------------------- */

enum { THREADS = 4 };
static rn_chan(int) there, back;
static rn_mutex mutex;
static rn_rwmutex rwmutex;
static rn_once once;
static rn_cond cond;
static rn_sem sem = RN_SEM(1);
static rn_wg all;
static int guarded;     /* guarded by mutex */
static int read_mostly; /* guarded by rwmutex */
static _Atomic int once_runs;

static void run_once(void)
{
    once_runs++;
}

static void echo(rn_recv_only(int) in, rn_send_only(int) out, int n)
{
    for (int i = 0; i < n; i++)
        rn_send(out, rn_recv(in) + 1);
}

static int sum_of(int a, int b)
{
    return a + b;
}

static void *use_everything(void *unused)
{
    int n = test_times(1000), value;
    rn_chan(int) own = rn_chan_make(int, 1);
    rn_timer timer = {0};
    bool ok;

    (void)unused;
    CHECK_EQ(rn_self_id(), 0);
    for (int i = 0; i < n; i++) {
        rn_group g = {0};
        rn_ctx *ctx;

        rn_send(there, i);
        value = rn_recv(back);
        CHECK(value > 0);
        switch (rn_select(rn_on_send(own, value), rn_on_recv(own, &value))) {
        case 0:
            CHECK(rn_try_recv_ok(own, &value, &ok) && ok);
            break;
        default:
            FAIL("received from an empty channel");
        }
        CHECK_EQ(rn_select(rn_on_recv(own, &value), rn_on_timeout(1)), 1);
        rn_mutex_lock(&mutex);
        guarded++;
        rn_cond_broadcast(&cond);
        rn_mutex_unlock(&mutex);
        rn_rwmutex_rlock(&rwmutex);
        CHECK(read_mostly >= 0);
        rn_rwmutex_runlock(&rwmutex);
        rn_rwmutex_lock(&rwmutex);
        read_mostly++;
        rn_rwmutex_unlock(&rwmutex);
        rn_once_do(&once, run_once);
        CHECK_EQ(rn_sem_acquire(NULL, &sem, 1), 0);
        rn_yield();
        rn_sem_release(&sem, 1);
        rn_group_go(&g, sum_of, 1, i);
        rn_group_go(&g, sum_of, -2 - i, i);
        CHECK_EQ(rn_group_wait(&g), -2);
        ctx = rn_ctx_with_timeout(rn_ctx_background(), RN_HOUR);
        CHECK_EQ(rn_ctx_err(ctx), 0);
        rn_ctx_cancel(ctx);
        CHECK_EQ(rn_recv_ctx(ctx, own, &value), -ECANCELED);
        CHECK_EQ(rn_sleep_ctx(ctx, RN_HOUR), -ECANCELED);
        CHECK_EQ(rn_select(rn_on_done(ctx), rn_on_recv(own, &value)), 0);
        rn_ctx_end(ctx);
        if (i % 50 == 0) {
            rn_timer_reset(&timer, RN_MICROSECOND);
            CHECK(rn_recv(rn_timer_chan(&timer)) > 0);
            rn_sleep(10);
            CHECK_EQ(rn_blocking(sum_of(3, 4)), 7);
        }
    }
    rn_timer_free(&timer);
    rn_chan_release(own);
    rn_wg_done(&all);
    return NULL;
}

static void wait_for_all(int n, rn_wg *end)
{
    rn_mutex_lock(&mutex);
    while (guarded < n)
        rn_cond_wait(&cond, &mutex);
    rn_mutex_unlock(&mutex);
    rn_wg_done(end);
}

/* D37: every call that may wait works from any thread; the runtime starts by itself at the first use. */
PLAIN_TEST(plain_threads_use_everything)
{
    int n = test_times(1000);
    pthread_t threads[THREADS];
    rn_wg end = {0};

    there = rn_chan_make(int, 0);
    back = rn_chan_make(int, 1);
    rn_wg_add(&all, THREADS);
    rn_wg_add(&end, 1);
    rn_go(echo, there, back, n * THREADS);
    rn_go(wait_for_all, n * THREADS, &end);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, use_everything, NULL), 0);
    rn_wg_wait(&all);
    rn_wg_wait(&end);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(guarded, n * THREADS);
    CHECK_EQ(read_mostly, n * THREADS);
    CHECK_EQ(once_runs, 1);
    CHECK_EQ(rn_settle(60 * RN_SECOND), 0);
    rn_chan_release(there);
    rn_chan_release(back);
}

static int with_threads(void)
{
    plain_threads_use_everything();
    return 0;
}

/* The same while the first goroutine of rn_run waits for them. */
PLAIN_TEST(plain_threads_beside_goroutines)
{
    CHECK_EQ(rn_run(with_threads), 0);
}

static void *wait_for_condition(void *to)
{
    rn_mutex_lock(&mutex);
    while (guarded == 0)
        rn_cond_wait(&cond, &mutex);
    guarded = 2;
    rn_cond_broadcast(&cond);
    rn_mutex_unlock(&mutex);
    *(bool *)to = true;
    return NULL;
}

/* A plain thread that waits on a condition is woken by a goroutine, and wakes one. */
GO_TEST(plain_thread_on_a_condition)
{
    pthread_t thread;
    bool woken = false;

    CHECK_EQ(pthread_create(&thread, NULL, wait_for_condition, &woken), 0);
    rn_mutex_lock(&mutex);
    guarded = 1;
    rn_cond_broadcast(&cond);
    while (guarded != 2)
        rn_cond_wait(&cond, &mutex);
    rn_mutex_unlock(&mutex);
    CHECK_EQ(rn_blocking(pthread_join(thread, NULL)), 0);
    CHECK(woken);
}
