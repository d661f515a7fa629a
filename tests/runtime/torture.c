/* SPDX-License-Identifier: MIT */
/*
 * torture.c - goroutines that communicate, block, compute and exit at random, while the monitor takes every processor
 * that it may, all the time.
 *
 *     torture [--operations N] [--seed N] [--procs N] [--goroutines N] [--calm]
 *
 * stress.c has the breadth of the interface; this program has the depth of the hand-off. It makes N operations in all
 * (100,000,000 if not told), by a few dozen goroutines that live for a random number of operations each and then start
 * their successor. The monitor is eager (monitor.c): whoever is outside the runtime for a moment loses its processor,
 * so that nearly every operation begins with none, or has it taken in the middle. --calm leaves the monitor as users
 * have it.
 *
 * The books, which must balance at the end:
 *   - what was sent over each channel was received, in number and in sum, and every message still holds what was
 *     written into it before it was sent;
 *   - a plain counter behind a mutex, and one behind a semaphore of one unit, are what was added to them;
 *   - of each ticket, one rn_ready of two was the one that counted;
 *   - whoever locked itself to a thread stayed there, whoever set errno found it again after an operation;
 *   - deferred calls, exits and starts are as many as there were goroutines, and nobody is left;
 *   - the monitor has taken processors, or the run says nothing.
 * Plain memory is written on one side of each and read on the other, so that ThreadSanitizer sees a missing edge.
 * A run that stands still for two minutes is a failure, and prints the report of all goroutines.
 */
#define _GNU_SOURCE
#include <runnel.h>
#include <runnel/errno.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dice.h"

enum { STILL_SECONDS = 120, CHANS = 6, BATCH = 256 };

/* The library's own; this program is linked with the static one. */
extern uint32_t rn__monitor_eager;

static uint64_t seed;

#define TRUE(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "torture.c:%d: not so: %s; --seed %llu\n", __LINE__, #cond,            \
                    (unsigned long long)seed);                                                     \
            abort();                                                                               \
        }                                                                                          \
    } while (0)
#define BALANCE(a, b)                                                                              \
    do {                                                                                           \
        long long left_ = (long long)(a), right_ = (long long)(b);                                 \
        if (left_ != right_) {                                                                     \
            fprintf(stderr, "torture.c:%d: " #a " is %lld, " #b " is %lld; --seed %llu\n",         \
                    __LINE__, left_, right_, (unsigned long long)seed);                            \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static struct dice split(struct dice *d)
{
    uint64_t a = roll(d, UINT32_MAX), b = roll(d, UINT32_MAX);

    return (struct dice){(a << 32 | b) * 2 + 1};
}

/* ---- What they share ------------------------------------------------------------------------------------- */

struct message {
    int64_t value, check; /* plain: written before the send, read after the receive */
};

struct ticket {
    rn_ticket ticket;
    _Atomic int refs;
};

static void ticket_drop(struct ticket *t)
{
    if (atomic_fetch_sub(&t->refs, 1) == 1)
        free(t);
}

struct book {
    _Atomic int64_t sent, got, sent_sum, got_sum;
};

static struct all {
    _Atomic int64_t left, done, started, ended, deferred;
    rn_chan(struct message *) ch[CHANS];
    struct book book[CHANS];
    rn_mutex mutex;
    rn_sem unit;
    int64_t behind_mutex, behind_unit; /* plain */
    _Atomic int64_t locked, acquired;
    pthread_mutex_t foreign;
    int64_t behind_foreign; /* plain */
    _Atomic int64_t foreign_locked;
    rn_chan(struct ticket *) tickets; /* to the plain threads */
    _Atomic int64_t parks, readies, late_readies;
    rn_chan(rn_unit) banks_end;
    int pipe[2];
    rn_wg wg, banks;
} all;

/* ---- Operations -------------------------------------------------------------------------------------------- */

static void put(int k, struct dice *d, bool wait)
{
    struct message *m = malloc(sizeof(*m));
    int64_t value = roll(d, 1000);
    bool sent = true;

    TRUE(m);
    *m = (struct message){value, ~value};
    if (wait)
        rn_send(all.ch[k], m);
    else
        sent = rn_try_send(all.ch[k], m);
    if (!sent) {
        free(m);
        return;
    }
    all.book[k].sent++;
    all.book[k].sent_sum += value;
}

static void took(int k, struct message *m)
{
    TRUE(m->check == ~m->value);
    all.book[k].got++;
    all.book[k].got_sum += m->value;
    free(m);
}

static void get(int k, bool wait)
{
    struct message *m = NULL;

    if (wait)
        m = rn_recv(all.ch[k]);
    else if (!rn_try_recv(all.ch[k], &m))
        return;
    took(k, m);
}

/* One of two channels, whichever goes first; never for ever, since the banks serve both. */
static void either(int a, int b, struct dice *d)
{
    struct message *mine = malloc(sizeof(*mine)), *other = NULL;
    int64_t value = roll(d, 1000);

    TRUE(mine);
    *mine = (struct message){value, ~value};
    if (rn_select(rn_on_send(all.ch[a], mine), rn_on_recv(all.ch[b], &other)) == 0) {
        all.book[a].sent++;
        all.book[a].sent_sum += value;
    } else {
        free(mine);
        took(b, other);
    }
}

/* For each channel somebody who always wants both to send and to receive, so that nobody waits for ever. */
static void bank(int k, struct dice d)
{
    struct message *next = NULL;
    int64_t value = 0;

    for (;;) {
        struct message *m = NULL;

        if (!next) {
            value = roll(&d, 1000);
            next = malloc(sizeof(*next));
            TRUE(next);
            *next = (struct message){value, ~value};
        }
        switch (rn_select(rn_on_send(all.ch[k], next), rn_on_recv(all.ch[k], &m),
                          rn_on_recv(all.banks_end, NULL))) {
        case 0:
            all.book[k].sent++;
            all.book[k].sent_sum += value; /* next is the receiver's now */
            next = NULL;
            break;
        case 1:
            took(k, m);
            break;
        default:
            free(next);
            return;
        }
    }
}

static void compute(struct dice *d, uint32_t most)
{
    for (volatile uint32_t i = roll(d, most); i > 0; i--)
        ;
}

static void behind_a_mutex(struct dice *d)
{
    rn_mutex_lock(&all.mutex);
    all.behind_mutex++;
    if (roll(d, 8) == 0)
        compute(d, 300);
    rn_mutex_unlock(&all.mutex);
    all.locked++;
}

static void behind_a_unit(struct dice *d)
{
    TRUE(rn_sem_acquire(NULL, &all.unit, 1) == 0);
    all.behind_unit++;
    if (roll(d, 8) == 0)
        compute(d, 300);
    rn_sem_release(&all.unit, 1);
    all.acquired++;
}

/* A pthread mutex, as any library has: nothing of ours happens while it is held. */
static void behind_a_foreign_mutex(struct dice *d)
{
    TRUE(pthread_mutex_lock(&all.foreign) == 0);
    all.behind_foreign++;
    if (roll(d, 50) == 0)
        sched_yield();
    TRUE(pthread_mutex_unlock(&all.foreign) == 0);
    all.foreign_locked++;
}

/* Two plain threads, or one of them twice, ready the ticket: one of the two wakes, at most while we still park. */
static void parked(void)
{
    struct ticket *t = malloc(sizeof(*t));

    TRUE(t);
    t->refs = 3;
    rn_park_init(&t->ticket);
    rn_send(all.tickets, t);
    rn_send(all.tickets, t);
    rn_park(&t->ticket);
    all.parks++;
    ticket_drop(t);
}

static void locked(struct dice *d)
{
    pid_t me;

    rn_lock_thread();
    me = gettid(); /* not pthread_self: that is declared to give the same in one function always */
    for (uint32_t i = roll(d, 4); i > 0; i--) {
        put((int)roll(d, CHANS / 2), d, true);
        TRUE(gettid() == me);
        compute(d, 500);
        rn_yield();
        TRUE(gettid() == me);
    }
    rn_unlock_thread();
}

static void block(struct dice *d)
{
    struct timespec t = {.tv_nsec = (long)roll(d, 60000)};
    char c = 1;

    switch (roll(d, 5)) {
    case 0:
        nanosleep(&t, NULL);
        break;
    case 1:
        (void)rn_blocking(nanosleep(&t, NULL));
        break;
    case 2:
        TRUE(rn_sys(write(all.pipe[1], &c, 1)) == 1);
        TRUE(read(all.pipe[0], &c, 1) == 1); /* there is at least one byte for each that reads */
        break;
    case 3:
        TRUE(rn_sys(close(-1)) == -EBADF);
        break;
    default:
        rn_sleep(roll(d, 30000));
        break;
    }
}

static void operation(struct dice *d)
{
    /* The first half of the channels has no room, the other has some. */
    int tight = (int)roll(d, CHANS / 2), loose = CHANS / 2 + (int)roll(d, CHANS / 2);
    uint32_t what = roll(d, 2048);

    if (what < 450) {
        put(loose, d, false);
    } else if (what < 900) {
        get(loose, false);
    } else if (what < 1100) {
        put(tight, d, roll(d, 2));
    } else if (what < 1300) {
        get(tight, roll(d, 2));
    } else if (what < 1450) {
        either(tight, loose, d);
    } else if (what < 1550) {
        either(loose, tight, d);
    } else if (what < 1750) {
        behind_a_mutex(d);
    } else if (what < 1850) {
        behind_a_unit(d);
    } else if (what < 1900) {
        rn_yield();
    } else if (what < 1960) {
        compute(d, 2000);
    } else if (what < 2000) {
        behind_a_foreign_mutex(d);
    } else if (what < 2020) {
        parked();
    } else if (what < 2030) {
        locked(d);
    } else if (what < 2046) {
        block(d);
    } else {
        compute(d, 200000);
    }
}

static void deferred(void *unused)
{
    (void)unused;
    all.deferred++;
}

static void live(struct dice d);

static void successor(struct dice *d)
{
    all.started++;
    rn_wg_go(&all.wg, live, split(d));
}

/* Some frames down, an exit without a return. */
static void leave(int depth, struct dice *d)
{
    volatile char frame[100];

    frame[depth % 100] = (char)depth;
    if (depth > 0)
        leave(depth - 1, d);
    else
        rn_exit(frame[0]);
    (void)frame[1];
}

static void live(struct dice d)
{
    rn_defer(deferred, NULL);
    for (;;) {
        int64_t mine = BATCH - roll(&d, BATCH / 2);

        if (atomic_fetch_sub(&all.left, mine) <= 0)
            break;
        for (int64_t i = 0; i < mine; i++) {
            int code = (int)roll(&d, 100) + 1;
            bool check = roll(&d, 16) == 0;

            if (check) {
                errno = code;
                rn_yield();
                TRUE(errno == code);
            }
            operation(&d);
        }
        all.done += mine;
        if (roll(&d, 8) == 0) {
            successor(&d);
            all.ended++;
            if (roll(&d, 2))
                leave((int)roll(&d, 20), &d);
            if (roll(&d, 16) == 0)
                rn_lock_thread(); /* its thread ends with it */
            return;
        }
    }
    all.ended++;
}

/* ---- Foreign threads ------------------------------------------------------------------------------------------ */

static void *waker(void *unused)
{
    rn_range (t, all.tickets) {
        if (rn_ready(&t->ticket))
            all.readies++;
        else
            all.late_readies++;
        ticket_drop(t);
    }
    return unused;
}

/* ---- The run ---------------------------------------------------------------------------------------------------- */

static int goroutines = 48;

/* Ends a run that stands still. */
static void *watch(void *end)
{
    int64_t before = -1;
    int still = 0;

    while (!*(_Atomic bool *)end) {
        struct timespec t = {.tv_nsec = 100000000};
        int64_t now = all.done;

        nanosleep(&t, NULL);
        still = now == before ? still + 1 : 0;
        before = now;
        if (still > STILL_SECONDS * 10) {
            fprintf(stderr, "torture.c: it stands still after %lld operations; --seed %llu\n",
                    (long long)now, (unsigned long long)seed);
            rn_dump(2);
            abort();
        }
    }
    return NULL;
}

static int torture(struct dice d)
{
    pthread_t wakers[2];

    all.tickets = rn_chan_make(struct ticket *, 0);
    all.banks_end = rn_chan_make(rn_unit, 0);
    for (int k = 0; k < CHANS; k++) {
        all.ch[k] = rn_chan_make(struct message *, k < CHANS / 2 ? 0 : k * 3);
        if (k < CHANS / 2)
            for (int i = 0; i < 2; i++) /* two, or it could not serve itself */
                rn_wg_go(&all.banks, bank, k, split(&d));
    }
    for (int i = 0; i < 2; i++)
        TRUE(pthread_create(&wakers[i], NULL, waker, NULL) == 0);
    for (int i = 0; i < goroutines; i++)
        successor(&d);
    rn_wg_wait(&all.wg);
    rn_close(all.banks_end);
    rn_wg_wait(&all.banks);
    rn_close(all.tickets);
    for (int i = 0; i < 2; i++)
        (void)rn_blocking(pthread_join(wakers[i], NULL));
    for (int k = 0; k < CHANS; k++) {
        struct message *m;

        while (rn_try_recv(all.ch[k], &m))
            took(k, m);
        BALANCE(all.book[k].sent, all.book[k].got);
        BALANCE(all.book[k].sent_sum, all.book[k].got_sum);
        rn_chan_release(all.ch[k]);
    }
    rn_chan_release(all.tickets);
    rn_chan_release(all.banks_end);
    BALANCE(rn_settle(RN_MINUTE), 0);
    return 0;
}

int main(int argc, char **argv)
{
    int64_t operations = 100000000;
    _Atomic bool end = false;
    struct dice d;
    pthread_t watcher;
    struct rn_metrics counted;
    int procs = 0;
    rn_time start;

    seed = (uint64_t)rn_now() ^ (uint64_t)getpid() << 32;
    rn__monitor_eager = 1;
    for (int i = 1; i < argc; i++) {
        long long value = i + 1 < argc ? strtoll(argv[i + 1], NULL, 10) : 0;

        if (strcmp(argv[i], "--calm") == 0) {
            rn__monitor_eager = 0;
            continue;
        }
        if (strcmp(argv[i], "--operations") == 0 && value > 0)
            operations = value;
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(i + 1 < argc ? argv[i + 1] : "", NULL, 10);
        else if (strcmp(argv[i], "--procs") == 0 && value > 0)
            procs = (int)value;
        else if (strcmp(argv[i], "--goroutines") == 0 && value > 0)
            goroutines = (int)value;
        else {
            fprintf(stderr, "usage: torture [--operations N] [--seed N] [--procs N]"
                            " [--goroutines N] [--calm]\n");
            return 1;
        }
        i++;
    }
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    d = (struct dice){seed * 0x9e3779b97f4a7c15u | 1};
    all.left = operations;
    all.unit = (rn_sem)RN_SEM(1);
    TRUE(pthread_mutex_init(&all.foreign, NULL) == 0);
    TRUE(pipe(all.pipe) == 0);
    TRUE(rn_set_procs(procs) == 0);
    TRUE(pthread_create(&watcher, NULL, watch, &end) == 0);
    start = rn_now();
    TRUE(rn_run(torture, d) == 0);
    end = true;
    TRUE(pthread_join(watcher, NULL) == 0);
    BALANCE(all.behind_mutex, all.locked);
    BALANCE(all.behind_unit, all.acquired);
    BALANCE(all.behind_foreign, all.foreign_locked);
    BALANCE(all.parks, all.readies);
    BALANCE(all.parks, all.late_readies);
    BALANCE(all.started, all.ended);
    BALANCE(all.started, all.deferred);
    rn_metrics(&counted, sizeof counted);
    TRUE(!rn__monitor_eager || counted.handoffs > 0);
    printf("%lld operations by %lld goroutines, %llu processors taken, %.1f s\n",
           (long long)all.done, (long long)all.started, (unsigned long long)counted.handoffs,
           (double)(rn_now() - start) / 1e9);
    return 0;
}
