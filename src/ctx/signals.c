/* SPDX-License-Identifier: MIT */
/*
 * signals.c - contexts that a signal cancels, and channels that receive signals.
 *
 * The handler may only do what is async-signal-safe: it sets a bit and posts a semaphore. A thread of ours waits for
 * that, cancels the contexts that watch the signal, and sends its number to the channels that do, without waiting. It
 * is made with the first watcher and stopped at the end of the runtime, in this order: the former dispositions come back,
 * so that no handler begins any more; the thread delivers what the handlers have noted, and is joined; the watchers go.
 * Each signal so has the one effect or the other. A handler that another thread has only just entered may come after all
 * that: the semaphore is never destroyed, and the bit is dropped by the next thread's start.
 *
 * A signal's former disposition comes back with the end of its last watcher. Until then the program's own handler is
 * not called: who watches has taken the signal over, and a handler that ends the process, as many do, would make the
 * watching useless.
 *
 * Each watching context has a record in a list, from its making until its last user's reference has gone: until
 * then the signal has no other effect, however often it comes. A channel has one for each rn_signal_notify, until
 * rn_signal_stop, with a reference to the channel. lock guards the list and the counts; nothing is cancelled, sent or
 * freed under it. So that a stop can promise that nothing more is sent, the thread says in `sending` to which channel
 * it is about to send, and the stop waits until it is another.
 *
 * A signal is for those that watched when the thread took it, and not for who begins while it is told to the others:
 * that may be who was told first, has ended its context and made another.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <runnel/ctx.h>
#include <runnel/err.h>
#include <runnel/os.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/tools.h"
#include "ctx/ctx.h"
#include "os/os.h"
#include "sched/rt.h"

void rn__signals_stop(void);
void rn__signals_fork(void);
bool rn__signals_awaited(void);
bool rn__signals_ignored(int n);

enum { SIGNALS = 64 };

struct watch {
    struct watch *next;
    rn_ctx *ctx; /* or */
    volatile void *ch;
    uint64_t round; /* of the last signal that was sent to ch; the thread's own */
    uint64_t mask;  /* bit n - 1: signal n */
    uint64_t since; /* takes, when this began */
};

static struct spin lock;
static struct watch *watches;
static unsigned watching[SIGNALS];
static struct sigaction former[SIGNALS];
static uint64_t pending; /* atomic: set by the handler, taken by the thread under lock */
static uint64_t takes;   /* guarded by lock: how often pending was taken */
static uint32_t stop;    /* atomic */
static bool started;     /* guarded by lock */
static bool stopping;    /* guarded by lock: who comes meanwhile waits */
static sem_t wake;
static pthread_once_t wake_once = PTHREAD_ONCE_INIT;
static pthread_t thread;

static const volatile void *sending; /* guarded by lock: the channel that is being sent to */
static uint64_t round_now;           /* the thread's own: a number for each signal */

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
        if (mask >> i & 1 && watching[i]) {
            watching[i]--;
            if (!watching[i])
                sigaction(i + 1, &former[i], NULL);
        }
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

/* Did w watch signal n when that was taken? */
static bool watched(const struct watch *w, int n)
{
    return (w->mask >> (n - 1) & 1) && w->since < takes;
}

static void cancel_for(int n)
{
    for (;;) {
        rn_ctx *ctx = NULL;
        int cause;

        spin_lock(&lock);
        for (struct watch *w = watches; w && !ctx; w = w->next)
            if (w->ctx && watched(w, n) && rn_ctx_err(w->ctx) == 0)
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

/* Once to each channel, however many records it has. */
static void send_to_all(int n)
{
    round_now++;
    for (;;) {
        volatile void *ch = NULL;

        spin_lock(&lock);
        for (struct watch *w = watches; w; w = w->next) {
            if (!w->ch || !watched(w, n) || w->round == round_now || (ch && w->ch != ch))
                continue;
            ch = w->ch;
            w->round = round_now;
        }
        if (ch)
            rn__chan_retain(ch);
        sending = ch;
        spin_unlock(&lock);
        if (!ch)
            return;
        edge_acquire(&watches); /* whoever made ch */
        (void)rn__try_send(ch, &n);
        edge_release(&sending); /* before the return of rn_signal_stop */
        spin_lock(&lock);
        sending = NULL;
        spin_unlock(&lock);
        rn__chan_release(ch);
    }
}

static void *signal_thread(void *arg)
{
    bool last = false;

    (void)arg;
    while (!last) {
        uint64_t now;

        while (sem_wait(&wake) != 0)
            ;
        last = load_acquire(&stop); /* before the look: what was noted by then is delivered */
        spin_lock(&lock);
        takes++;
        now = swap_acq_rel(&pending, 0);
        spin_unlock(&lock);
        for (int n = 1; n <= SIGNALS; n++)
            if (now >> (n - 1) & 1) {
                cancel_for(n);
                send_to_all(n);
            }
    }
    return NULL;
}

static void wake_make(void)
{
    sem_init(&wake, 0, 0);
}

/* False: no thread is to be had. */
static bool start_thread(void)
{
    if (started)
        return true;
    pthread_once(&wake_once, wake_make);
    store_relaxed(&stop, 0);
    store_relaxed(&pending, 0); /* of a former thread's watchers */
    if (rn__os_thread_new(&thread, 0, true, signal_thread, NULL) != 0)
        return false;
    add_acq_rel(&rn__threads_own, 1);
    started = true;
    return true;
}

static bool can_be_caught(int n)
{
    return n >= 1 && n <= SIGNALS && n != SIGKILL && n != SIGSTOP &&
           (n < 32 || n >= SIGRTMIN); /* between them lie libc's own */
}

/* w watches these signals from now on; false, with w in no list: no thread is to be had. */
static bool watch_begin(struct watch *w, const int *signals, size_t n)
{
    spin_lock(&lock);
    for (unsigned k = 0; stopping; k++) {
        spin_unlock(&lock);
        rn__wait_shortly(k);
        spin_lock(&lock);
    }
    if (!start_thread()) {
        spin_unlock(&lock);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
        int s = signals[i];

        if (w->mask >> (s - 1) & 1)
            continue;
        w->mask |= (uint64_t)1 << (s - 1);
        if (watching[s - 1]++ == 0)
            sigaction(s, &sa, &former[s - 1]);
    }
    w->since = takes;
    w->next = watches;
    watches = w;
    spin_unlock(&lock);
    return true;
}

rn_ctx *rn__ctx_with_signals(rn_ctx *parent, const int *signals, size_t n)
{
    rn_ctx *ctx = rn_ctx_with_cancel(parent);
    struct watch *w;

    for (size_t i = 0; i < n; i++)
        if (!can_be_caught(signals[i]))
            rn_panic("rn_ctx_with_signals: %d is not a signal that can be caught", signals[i]);
    w = rn__mem_new_zero(sizeof *w, 16);
    if (!w)
        rn__panic("out of memory for a context");
    w->ctx = ctx;
    rn__ctx_on_unused(ctx, watch_over);
    if (!watch_begin(w, signals, n))
        rn__panic("rn_ctx_with_signals: no thread to be had");
    return ctx;
}

int rn__signal_notify(rn_send_only(int) ch, const int *signals, size_t n)
{
    struct watch *w;

    if (!ch)
        rn__panic("rn_signal_notify: nil channel");
    for (size_t i = 0; i < n; i++)
        if (!can_be_caught(signals[i]))
            return -EINVAL;
    w = rn__mem_new_zero(sizeof *w, 16);
    if (!w)
        return -ENOMEM;
    w->ch = ch;
    rn__chan_retain(ch);
    edge_release(&watches);
    if (!watch_begin(w, signals, n)) {
        rn__chan_release(ch);
        rn__mem_free(w);
        return -EAGAIN;
    }
    return 0;
}

void rn_signal_stop(rn_send_only(int) ch)
{
    for (unsigned n = 0;;) {
        struct watch **at, *w = NULL;
        bool busy;

        spin_lock(&lock);
        for (at = &watches; *at && (*at)->ch != ch; at = &(*at)->next)
            ;
        if (ch)
            w = *at;
        if (w) {
            *at = w->next;
            unlisten(w->mask);
        }
        busy = ch && sending == ch; /* for a moment: it never waits */
        spin_unlock(&lock);
        if (w)
            rn__chan_release(ch);
        else if (!busy)
            break;
        else
            rn__wait_shortly(n++);
        rn__mem_free(w);
    }
    edge_acquire(&sending);
}

bool rn__signals_ignored(int n)
{
    bool ignored;

    spin_lock(&lock);
    ignored = watching[n - 1] && !(former[n - 1].sa_flags & SA_SIGINFO) &&
              former[n - 1].sa_handler == SIG_IGN;
    spin_unlock(&lock);
    return ignored;
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
    was = started && !stopping;
    stopping = stopping || was;
    for (w = was ? watches : NULL; w; w = w->next)
        unlisten(w->mask);
    spin_unlock(&lock);
    if (!was)
        return;
    store_release(&stop, 1);
    sem_post(&wake);
    pthread_join(thread, NULL);
    sub_acq_rel(&rn__threads_own, 1);
    /* Contexts and channels that outlive the runtime keep their state, but no signal reaches them any more. */
    spin_lock(&lock);
    w = watches;
    watches = NULL;
    started = stopping = false;
    spin_unlock(&lock);
    for (; w; w = next) {
        next = w->next;
        if (w->ch)
            rn__chan_release(w->ch);
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
    sending = NULL;
    started = stopping = false;
    wake_once = (pthread_once_t)PTHREAD_ONCE_INIT; /* the count may be anything */
    pending = 0;
}
