/* SPDX-License-Identifier: MIT */
/* programs.c - see programs.h. They take no longer than they must: each is run some hundred times. */
#define _GNU_SOURCE
#include "programs.h"

#include <errno.h>
#include <pthread.h>
#include <runnel.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The number of the line is the program's result: short, and it says where. */
#define RIGHT(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            return __LINE__ % 200 + 3;                                                             \
    } while (0)

/* ---- Channels and select ------------------------------------------------------------------------------ */

static void produce(rn_chan(int) ch, int n)
{
    for (int i = 1; i <= n; i++)
        rn_send(ch, i);
    rn_close(ch);
}

static int channels_main(void)
{
    rn_chan(int) plain = rn_chan_make(int, 0);
    rn_chan(int) buffered = rn_chan_make(int, 4);
    int sum = 0, open = 2;

    rn_go(produce, plain, 20);
    rn_go(produce, buffered, 20);
    while (open > 0) {
        int v = 0, w = 0;
        bool ok = false;

        switch (rn_select(rn_on_recv_ok(plain, &v, &ok), rn_on_recv_ok(buffered, &w, &ok),
                          rn_on_timeout(10 * RN_SECOND))) {
        case 0:
        case 1:
            sum += v + w;
            open -= !ok;
            if (!ok)
                break;
            continue;
        default:
            RIGHT(false); /* timed out */
        }
        if (open == 1) {
            rn_range (more, plain)
                sum += more;
            rn_range (rest, buffered)
                sum += rest;
            open = 0;
        }
    }
    RIGHT(sum == 420);
    rn_chan_release(plain);
    rn_chan_release(buffered);
    return 0;
}

static int channels(void)
{
    return rn_run(channels_main);
}

/* ---- Locks ---------------------------------------------------------------------------------------------- */

struct shared {
    rn_mutex mutex;
    rn_rwmutex rw;
    rn_cond cond;
    rn_sem sem;
    rn_once once;
    rn_wg wg;
    int count, read, times, ready;
};

static void once_fn(struct shared *s)
{
    s->times++;
}

static void use_locks(struct shared *s)
{
    for (int i = 0; i < 10; i++) {
        rn_mutex_lock(&s->mutex);
        s->count++;
        rn_yield();
        rn_mutex_unlock(&s->mutex);
        rn_rwmutex_rlock(&s->rw);
        rn_rwmutex_runlock(&s->rw);
        rn_rwmutex_lock(&s->rw);
        s->read++;
        rn_rwmutex_unlock(&s->rw);
        if (rn_sem_acquire(NULL, &s->sem, 2) != 0)
            abort();
        rn_yield();
        rn_sem_release(&s->sem, 2);
        rn_once_do(&s->once, once_fn, s);
    }
    rn_mutex_lock(&s->mutex);
    if (++s->ready == 8)
        rn_cond_broadcast(&s->cond);
    while (s->ready < 8)
        rn_cond_wait(&s->cond, &s->mutex);
    rn_mutex_unlock(&s->mutex);
}

static int locks_main(void)
{
    struct shared s = {.sem = RN_SEM(3)};

    for (int i = 0; i < 8; i++)
        rn_wg_go(&s.wg, use_locks, &s);
    rn_wg_wait(&s.wg);
    RIGHT(s.count == 80);
    RIGHT(s.read == 80);
    RIGHT(s.times == 1);
    return 0;
}

static int locks(void)
{
    return rn_run(locks_main);
}

/* ---- Contexts --------------------------------------------------------------------------------------------- */

static void drop(void *p)
{
    ++*(int *)p;
}

static void tell(int *told)
{
    __atomic_store_n(told, 1, __ATOMIC_RELEASE);
}

static void until_done(rn_ctx *ctx, rn_wg *wg, int *err)
{
    *err = rn_sleep_ctx(ctx, RN_HOUR);
    rn_wg_done(wg);
}

static int contexts_main(void)
{
    static int key;
    int dropped = 0, told = 0, err[4];
    rn_ctx *root = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx *value = rn_ctx_with_owned_value(root, &key, &dropped, drop);
    rn_ctx *timeout = rn_ctx_with_timeout(value, RN_MILLISECOND);
    rn_ctx *signals = rn_ctx_with_signals(root, SIGUSR1);
    rn_ctx_hook hook = {0};
    rn_wg wg = {0};

    rn_ctx_after_func(&hook, root, tell, &told);
    rn_wg_add(&wg, 4);
    for (int i = 0; i < 4; i++)
        rn_go(until_done, i % 2 ? timeout : root, &wg, &err[i]);
    RIGHT(rn_sleep_ctx(timeout, RN_HOUR) == -ETIMEDOUT);
    RIGHT(rn_ctx_value(timeout, &key) == &dropped);
    rn_ctx_cancel_cause(root, -EPERM);
    rn_wg_wait(&wg);
    for (int i = 0; i < 4; i++)
        RIGHT(err[i] == (i % 2 ? -ETIMEDOUT : -ECANCELED));
    RIGHT(rn_ctx_cause(root) == -EPERM);
    while (rn_ctx_hook_stop(&hook))
        ;
    while (!__atomic_load_n(&told, __ATOMIC_ACQUIRE))
        rn_yield();
    rn_ctx_end(signals);
    rn_ctx_end(timeout);
    rn_ctx_end(value);
    rn_ctx_end(root);
    RIGHT(dropped == 1);
    return 0;
}

static int contexts(void)
{
    return rn_run(contexts_main);
}

/* ---- Groups, errors, deferred calls -------------------------------------------------------------------------- */

static void count_one(int *count)
{
    __atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
}

static int work(int i, int *deferred)
{
    rn_defer(count_one, deferred);
    rn_yield();
    return i == 5 ? rn_errorf(-EIO, "number %d", i) : 0;
}

static int look_up(int *out)
{
    rn_yield();
    *out = 7;
    return 0;
}

static int follow(rn_flight *f, int *got)
{
    return rn_flight_do(f, "key", got, look_up, got);
}

static int groups_main(void)
{
    rn_group g = {0}, h = {0};
    rn_flight flight = {0};
    int deferred = 0, got[4] = {0};
    rn_ctx *ctx;

    ctx = rn_group_with_ctx(&g, rn_ctx_background());
    rn_group_set_limit(&g, 3);
    for (int i = 0; i < 10; i++)
        rn_group_go(&g, work, i, &deferred);
    (void)ctx;
    RIGHT(rn_group_wait(&g) == -EIO);
    /* The message is dropped, never wrong, when there is no memory for it. */
    RIGHT(strcmp(rn_errmsg(-EIO), "number 5") == 0 || strcmp(rn_errmsg(-EIO), strerror(EIO)) == 0);
    RIGHT(deferred == 10);
    for (int i = 0; i < 4; i++)
        rn_group_go(&h, follow, &flight, &got[i]);
    RIGHT(rn_group_wait(&h) == 0);
    for (int i = 0; i < 4; i++)
        RIGHT(got[i] == 7);
    return 0;
}

static int groups(void)
{
    return rn_run(groups_main);
}

/* ---- Time ------------------------------------------------------------------------------------------------------ */

static void ring(rn_chan(int) ch, int v)
{
    rn_send(ch, v);
}

static int time_main(void)
{
    rn_chan(int) ch = rn_chan_make(int, 0);
    rn_timer timer = {0};
    rn_ticker ticker = {0};
    rn_timer *after, *never;
    int sum = 0;

    rn_timer_reset(&timer, 100 * RN_MICROSECOND);
    rn_ticker_start(&ticker, 100 * RN_MICROSECOND);
    after = rn_after_func(200 * RN_MICROSECOND, ring, ch, 1);
    never = rn_after_func(RN_HOUR, ring, ch, 100);
    rn_go_after(300 * RN_MICROSECOND, ring, ch, 2);
    (void)rn_recv(rn_timer_chan(&timer));
    for (int i = 0; i < 3; i++)
        (void)rn_recv(rn_ticker_chan(&ticker));
    sum += rn_recv(ch);
    sum += rn_recv(ch);
    RIGHT(sum == 3);
    RIGHT(rn_timer_stop(never));
    rn_timer_free(after);
    rn_timer_free(never);
    rn_timer_free(&timer);
    rn_ticker_free(&ticker);
    rn_sleep(RN_MICROSECOND);
    rn_chan_release(ch);
    return 0;
}

static int times(void)
{
    return rn_run(time_main);
}

/* ---- Kinds of goroutines ------------------------------------------------------------------------------------------ */

struct big {
    int number[100];
};

static void sum_up(struct big *b)
{
    rn_chan(int) ch;
    int sum = 0;

    for (int i = 0; i < 100; i++)
        sum += b->number[i];
    memcpy(&ch, &b->number[0], 0);
    b->number[0] = sum;
}

static void on_a_large_stack(rn_wg *wg, int *sum)
{
    volatile char room[600000];

    room[0] = 1;
    room[sizeof room - 1] = 2;
    *sum = room[0] + room[sizeof room - 1];
    rn_wg_done(wg);
}

static void stay(rn_wg *wg, int *blocked)
{
    rn_lock_thread();
    rn_yield();
    *blocked = rn_blocking(usleep(100)) == 0;
    rn_unlock_thread();
    rn_wg_done(wg);
}

static void give_ticket(rn_ticket *t)
{
    rn_ready(t);
}

static int kinds_main(void)
{
    struct big big = {{0}};
    int sum = 0, blocked[4] = {0};
    rn_ticket ticket;
    rn_wg wg = {0};

    rn_go_copy(sum_up, &big);
    rn_wg_add(&wg, 5);
    rn_go_with(RN_ATTR(.stack_size = 1 << 20, .name = "large"), on_a_large_stack, &wg, &sum);
    for (int i = 0; i < 4; i++)
        rn_go(stay, &wg, &blocked[i]);
    rn_park_init(&ticket);
    rn_go(give_ticket, &ticket);
    rn_park(&ticket);
    rn_wg_wait(&wg);
    RIGHT(sum == 3);
    for (int i = 0; i < 4; i++)
        RIGHT(blocked[i]);
    RIGHT(rn_settle(10 * RN_SECOND) == 0);
    return 0;
}

static int kinds(void)
{
    return rn_run(kinds_main);
}

/* ---- Labels, whose blocks are kept ------------------------------------------------------------------------------------ */

/* Without memory for labels there are none, and nothing else is different. */
static int labels_main(void)
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    for (int i = 0; i < 2; i++) {
        int err = rn_set_label("kind", i ? "second" : "first");

        RIGHT(err == 0 || err == -ENOMEM);
        rn_go(produce, ch, i);
        RIGHT(i == 0 || rn_recv(ch) == 1);
        RIGHT(!rn_recv_ok(ch, NULL));
        rn_chan_release(ch);
        ch = rn_chan_make(int, 0);
    }
    RIGHT(rn_set_label("kind", NULL) == 0);
    rn_chan_release(ch);
    return 0;
}

static int labels(void)
{
    return rn_run(labels_main);
}

/* ---- Many: more stacks and records than the first arena and slab have ------------------------------------------------ */

static void wait_for_close(rn_chan(int) gate, rn_wg *wg)
{
    (void)rn_recv_ok(gate, NULL);
    rn_wg_done(wg);
}

static int many_main(void)
{
    enum { MANY = 1200 };
    rn_chan(int) gate = rn_chan_make(int, 0);
    rn_wg wg = {0};

    rn_wg_add(&wg, MANY);
    for (int i = 0; i < MANY; i++)
        rn_go(wait_for_close, gate, &wg);
    rn_yield();
    rn_close(gate);
    rn_wg_wait(&wg);
    rn_chan_release(gate);
    return 0;
}

static int many(void)
{
    return rn_run(many_main);
}

/* ---- Errors instead of panics: what ran keeps running --------------------------------------------------------------- */

static void echo(rn_chan(int) in, rn_chan(int) out)
{
    rn_range (v, in)
        rn_send(out, v + 1);
    rn_close(out);
}

static void nothing(void) {}

static int errors_main(void)
{
    rn_chan(int) in = NULL, out = NULL;
    int err, v = 0, failed = 0;

    while ((err = rn_chan_make_err(&in, 0)) != 0) {
        RIGHT(err == -ENOMEM);
        if (++failed == 100)
            return 0; /* there is no memory at all: that much is said */
    }
    while ((err = rn_chan_make_err(&out, 0)) != 0) {
        RIGHT(err == -ENOMEM);
        if (++failed == 100) {
            rn_chan_release(in);
            return 0;
        }
    }
    while ((err = rn_go_err(echo, in, out)) != 0) {
        RIGHT(err == -ENOMEM);
        if (++failed == 100) {
            rn_chan_release(in);
            rn_chan_release(out);
            return 0;
        }
    }
    for (int i = 0; i < 400; i++) {
        rn_chan(int) spare = NULL;

        err = rn_go_err(nothing);
        RIGHT(err == 0 || err == -ENOMEM);
        if (rn_chan_make_err(&spare, 4) == 0)
            rn_chan_release(spare);
        rn_send(in, i);
        RIGHT(rn_recv_ok(out, &v) && v == i + 1); /* whatever failed, the pair goes on */
    }
    rn_close(in);
    RIGHT(!rn_recv_ok(out, &v));
    rn_chan_release(in);
    rn_chan_release(out);
    return 0;
}

static int errors(void)
{
    return rn_run(errors_main);
}

/* ---- Threads that are none of ours, and no rn_run ---------------------------------------------------------------------- */

static void *thread_fn(void *arg)
{
    rn_chan(int) *ch = arg;
    int v = rn_recv(ch[0]);

    rn_send(ch[1], v + 1);
    return NULL;
}

static void pass_on(rn_chan(int) from, rn_chan(int) to)
{
    rn_send(to, rn_recv(from) * 2);
}

/* The program's own thread is not refused. */
int __real_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);

static int threads(void)
{
    rn_chan(int) ch[3];
    pthread_t thread;

    for (int i = 0; i < 3; i++)
        ch[i] = rn_chan_make(int, 0);
    if (__real_pthread_create(&thread, NULL, thread_fn, ch) != 0) {
        for (int i = 0; i < 3; i++)
            rn_chan_release(ch[i]);
        return 0; /* not the library's: there is no room for a thread */
    }
    rn_go(pass_on, ch[1], ch[2]);
    rn_send(ch[0], 4);
    RIGHT(rn_recv(ch[2]) == 10);
    pthread_join(thread, NULL);
    for (int i = 0; i < 3; i++)
        rn_chan_release(ch[i]);
    return 0;
}

enum { ALL = PANICS_GOROUTINE | PANICS_CONTEXT };
const struct program programs[] = {{"channels", channels, false, ALL},
                                   {"locks", locks, false, ALL},
                                   {"contexts", contexts, false, ALL},
                                   {"groups", groups, false, ALL},
                                   {"time", times, false, ALL},
                                   {"kinds", kinds, false, ALL},
                                   {"many", many, false, ALL},
                                   {"errors", errors, false, ALL},
                                   {"threads", threads, false, ALL},
                                   {"labels", labels, true, ALL},
                                   {NULL, NULL, false, 0}};
