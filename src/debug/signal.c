/* SPDX-License-Identifier: MIT */
/*
 * signal.c - the report of all goroutines on a signal.
 *
 * The handler sets a bit and wakes a thread of ours, which writes the report: so it does not matter what the
 * interrupted thread was in the middle of. The thread is made by the first request and stays. A child process has the
 * handler, but no such thread until it has a runtime of its own; before, the signal does nothing there.
 */
#define _GNU_SOURCE
#include <runnel/debug.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "debug/debug.h"
#include "os/os.h"

enum { SIGNALS = 64 };

static uint64_t pending; /* atomic: bit n - 1: signal n has come */
static uint32_t come;    /* atomic futex word: 1 when pending is not 0 */
static struct spin lock; /* guards wanted, and the making of the thread */
static bool wanted;
static uint32_t started; /* atomic: the thread is there */

static void on_signal(int sig)
{
    int saved = errno;

    if (!load_relaxed(&started))
        return;
    rn__report_starts(); /* so that the process does not end before */
    if (or_acq_rel(&pending, (uint64_t)1 << (sig - 1)) >> (sig - 1) & 1)
        rn__report_over();   /* one report is for both */
    store_release(&come, 1); /* pairs with dump_thread's swap */
    rn__os_futex_wake(&come);
    errno = saved;
}

static void *dump_thread(void *arg)
{
    const uint64_t quit = (uint64_t)1 << (SIGQUIT - 1);

    (void)arg;
    for (;;) {
        uint64_t now;

        while (!swap_acquire(&come, 0))
            rn__os_futex_wait(&come, 0, INT64_MAX);
        now = swap_acq_rel(&pending, 0);
        if (now & quit) {
            rn__ending();
            rn__os_write(STDERR_FILENO, "SIGQUIT: quit\n\n", 15);
        }
        if (now) {
            struct rt *rt = rn__report_hold();

            rn_dump(STDERR_FILENO);
            if (rt) {
                rn__trace_file(rt);
                rn__rt_unref(rt);
            }
        }
        if (now & quit)
            rn__report_end(NULL); /* the file is written */
        for (; now; now &= now - 1)
            rn__report_over();
    }
    return NULL;
}

static int start_thread(void)
{
    sigset_t all, old;
    pthread_t thread;
    int err;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    err = pthread_create(&thread, NULL, dump_thread, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err)
        return -err;
    pthread_detach(thread);
    add_acq_rel(&rn__threads_own, 1); /* not one that might wake a goroutine */
    return 0;
}

/* lock held. */
static int thread_wanted(void)
{
    int err = load_relaxed(&started) ? 0 : start_thread();

    if (!err)
        store_relaxed(&started, 1);
    return err;
}

/* only_default: not if the signal has another disposition. */
static int dump_on(int sig, bool only_default)
{
    struct sigaction was, sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
    int err;

    if (sig < 1 || sig > SIGNALS || sigaction(sig, NULL, &was) != 0 || sig == SIGKILL ||
        sig == SIGSTOP)
        return -EINVAL;
    if (only_default && ((was.sa_flags & SA_SIGINFO) || was.sa_handler != SIG_DFL))
        return 0;
    spin_lock(&lock); /* rarely called, so a thread may be made under it */
    err = thread_wanted();
    if (!err) {
        wanted = true;
        sigaction(sig, &sa, NULL);
    }
    spin_unlock(&lock);
    return err;
}

void rn__signal_fork(void)
{
    lock = (struct spin){0};
    store_relaxed(&started, 0);
    store_relaxed(&pending, 0);
    store_relaxed(&come, 0);
}

int rn_dump_on_signal(int sig)
{
    return dump_on(sig, false);
}

COLD void rn__signal_begin(void)
{
    static uint32_t asked; /* atomic */
    const char *name = getenv("RUNNEL_DUMP_SIGNAL");
    int sig = 0;

    spin_lock(&lock);
    if (wanted)
        (void)thread_wanted(); /* in a child process; else it is there */
    spin_unlock(&lock);
    if (swap_acq_rel(&asked, 1) || !name || !*name)
        return;
    if (strncmp(name, "SIG", 3) == 0)
        name += 3;
    for (int i = 1; i < SIGRTMIN && !sig; i++) {
        const char *known = sigabbrev_np(i);

        if (known && strcmp(known, name) == 0)
            sig = i;
    }
    if (!sig || dump_on(sig, true) != 0)
        fprintf(stderr,
                "runnel: RUNNEL_DUMP_SIGNAL=%s: expected a signal such as QUIT or USR1; ignored\n",
                name);
}
