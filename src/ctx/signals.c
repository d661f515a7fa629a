/* SPDX-License-Identifier: MIT */
/*
 * signals.c - contexts that a signal cancels.
 *
 * The handler may only do what is async-signal-safe: it sets a bit and posts a semaphore. A thread of ours waits for
 * that and cancels the contexts that watch the signal. It is made with the first such context and stopped at the end
 * of the runtime; a signal's former disposition comes back with the end of its last context.
 *
 * Each watching context has a record in a list, from its making until its last user's reference has gone: until
 * then the signal has no other effect, however often it comes. lock guards the list and the counts; nothing is
 * cancelled or freed under it.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <runnel/ctx.h>
#include <runnel/err.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>

#include "base/mem.h"
#include "ctx/ctx.h"
#include "sched/rt.h"

void rn__signals_stop(void);
void rn__signals_fork(void);
bool rn__signals_awaited(void);

enum { SIGNALS = 64 };

struct watch {
    struct watch *next;
    rn_ctx *ctx;
    uint64_t mask; /* bit n - 1: signal n */
};

static struct spin lock;
static struct watch *watches;
static unsigned watching[SIGNALS];
static struct sigaction former[SIGNALS];
static uint64_t pending; /* atomic: set by the handler, taken by the thread */
static uint32_t stop;    /* atomic */
static bool started;     /* guarded by lock */
static sem_t wake;
static pthread_t thread;

static void on_signal(int n)
{
    int saved = errno;

    or_acq_rel(&pending, (uint64_t)1 << (n - 1));
    sem_post(&wake);
    errno = saved;
}

static void unlisten(uint64_t mask)
{
    for (int i = 0; i < SIGNALS; i++)
        if (mask >> i & 1 && --watching[i] == 0)
            sigaction(i + 1, &former[i], NULL);
}

/* Nobody has a reference to ctx any more. */
static void watch_over(rn_ctx *ctx)
{
    struct watch **at, *w;

    spin_lock(&lock);
    for (at = &watches; (w = *at); at = &w->next)
        if (w->ctx == ctx)
            break;
    if (w) {
        *at = w->next;
        unlisten(w->mask);
    }
    spin_unlock(&lock);
    rn__mem_free(w);
}

static void cancel_for(int n)
{
    for (;;) {
        rn_ctx *ctx = NULL;
        int cause;

        spin_lock(&lock);
        for (struct watch *w = watches; w && !ctx; w = w->next)
            if ((w->mask >> (n - 1) & 1) && rn_ctx_err(w->ctx) == 0)
                ctx = w->ctx;
        /* Its memory goes after watch_over, which waits for the lock. Not a user's reference: the last user's end is
         * to bring the former disposition back, whatever we are about. */
        if (ctx)
            rn__ctx_ref(ctx);
        spin_unlock(&lock);
        if (!ctx)
            return;
        cause =
            rn_errorf(-EINTR, "%s signal received", sigdescr_np(n) ? sigdescr_np(n) : "unknown");
        rn_ctx_cancel_cause(ctx, cause);
        rn__ctx_unref(ctx);
    }
}

static void *signal_thread(void *arg)
{
    (void)arg;
    for (;;) {
        uint64_t now;

        while (sem_wait(&wake) != 0)
            ;
        if (load_acquire(&stop))
            return NULL;
        now = swap_acq_rel(&pending, 0);
        for (int n = 1; n <= SIGNALS; n++)
            if (now >> (n - 1) & 1)
                cancel_for(n);
    }
}

static void start_thread(void)
{
    sigset_t all, old;

    if (started)
        return;
    sem_init(&wake, 0, 0);
    store_relaxed(&stop, 0);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&thread, NULL, signal_thread, NULL) != 0) {
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        spin_unlock(&lock);
        rn__panic("rn_ctx_with_signals: no thread to be had");
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    add_acq_rel(&rn__threads_own, 1);
    started = true;
}

rn_ctx *rn__ctx_with_signals(rn_ctx *parent, const int *signals, size_t n)
{
    rn_ctx *ctx = rn_ctx_with_cancel(parent);
    struct watch *w;

    for (size_t i = 0; i < n; i++)
        if (signals[i] < 1 || signals[i] > SIGNALS || signals[i] == SIGKILL ||
            signals[i] == SIGSTOP)
            rn_panic("rn_ctx_with_signals: %d is not a signal that can be caught", signals[i]);
    w = rn__mem_new_zero(sizeof *w, 16);
    if (!w)
        rn__panic("out of memory for a context");
    w->ctx = ctx;
    rn__ctx_on_unused(ctx, watch_over);
    spin_lock(&lock);
    start_thread();
    for (size_t i = 0; i < n; i++) {
        struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
        int s = signals[i];

        if (w->mask >> (s - 1) & 1)
            continue;
        w->mask |= (uint64_t)1 << (s - 1);
        if (watching[s - 1]++ == 0)
            sigaction(s, &sa, &former[s - 1]);
    }
    w->next = watches;
    watches = w;
    spin_unlock(&lock);
    return ctx;
}

bool rn__signals_awaited(void)
{
    bool any = false;

    spin_lock(&lock);
    for (int i = 0; i < SIGNALS; i++)
        any = any || watching[i];
    spin_unlock(&lock);
    return any;
}

void rn__signals_stop(void)
{
    struct watch *w, *next;
    bool was;

    spin_lock(&lock);
    was = started;
    started = false;
    spin_unlock(&lock);
    if (!was)
        return;
    store_release(&stop, 1);
    sem_post(&wake);
    pthread_join(thread, NULL);
    sub_acq_rel(&rn__threads_own, 1);
    sem_destroy(&wake);
    /* Contexts that outlive the runtime keep their state, but no signal reaches them any more. */
    spin_lock(&lock);
    w = watches;
    watches = NULL;
    for (next = w; next; next = next->next)
        unlisten(next->mask);
    spin_unlock(&lock);
    for (; w; w = next) {
        next = w->next;
        rn__mem_free(w);
    }
}

/* In a child process: the thread is gone, and signals have their former effect. */
void rn__signals_fork(void)
{
    lock = (struct spin){0};
    for (int i = 0; i < SIGNALS; i++)
        if (watching[i]) {
            watching[i] = 0;
            sigaction(i + 1, &former[i], NULL);
        }
    watches = NULL;
    started = false;
    pending = 0;
}
