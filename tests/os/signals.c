/* SPDX-License-Identifier: MIT */
/* signals.c - signals as values of a channel, beside contexts that signals end and the program's own handlers. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

GO_TEST(signal_notify_sends_each)
{
    rn_chan(int) ch = rn_chan_make(int, 4);

    CHECK_EQ(rn_signal_notify(ch, SIGUSR1, SIGUSR2, SIGUSR1), 0);
    for (int i = 0; i < test_times(200); i++) {
        int sig = i % 3 ? SIGUSR1 : SIGUSR2;

        kill(getpid(), sig);
        CHECK_EQ(rn_recv(ch), sig);
    }
    CHECK_EQ(rn_signal_notify(ch, SIGHUP, SIGUSR1), 0); /* adds one; the other still comes once */
    kill(getpid(), SIGHUP);
    CHECK_EQ(rn_recv(ch), SIGHUP);
    kill(getpid(), SIGUSR1);
    CHECK_EQ(rn_recv(ch), SIGUSR1);
    kill(getpid(), SIGHUP); /* comes after whatever was wrongly sent twice */
    CHECK_EQ(rn_recv(ch), SIGHUP);
    CHECK_EQ(rn_len(ch), 0);
    rn_signal_stop(ch);
    rn_chan_release(ch);
}

/* A channel that begins while a signal is sent to those that waited for it does not get that. */
GO_TEST(signal_notify_sends_nothing_to_who_comes_later)
{
    enum { MANY = 300 };
    rn_chan(int) waiting[MANY], later = rn_chan_make(int, 2);

    for (int i = 0; i < MANY; i++)
        waiting[i] = rn_chan_make(int, 1);
    for (int round = 0; round < test_times(50); round++) {
        for (int i = 0; i < MANY; i++)
            CHECK_EQ(rn_signal_notify(waiting[i], SIGUSR1), 0);
        kill(getpid(), SIGUSR1);
        AWAIT(rn_len(waiting[MANY - 1]) || rn_len(waiting[0])); /* from the one end, or the other */
        CHECK_EQ(rn_signal_notify(later, SIGUSR1), 0);
        for (int i = 0; i < MANY; i++) {
            CHECK_EQ(rn_recv(waiting[i]), SIGUSR1);
            rn_signal_stop(waiting[i]);
        }
        kill(getpid(), SIGUSR1);
        CHECK_EQ(rn_recv(later), SIGUSR1);
        kill(getpid(), SIGUSR1); /* comes after whatever was wrongly sent before */
        CHECK_EQ(rn_recv(later), SIGUSR1);
        CHECK_EQ(rn_len(later), 0);
        rn_signal_stop(later);
    }
    for (int i = 0; i < MANY; i++)
        rn_chan_release(waiting[i]);
    rn_chan_release(later);
}

static bool on_alternate_stack(int sig)
{
    struct sigaction now;

    CHECK_EQ(sigaction(sig, NULL, &now), 0);
    CHECK((now.sa_flags & SA_SIGINFO) || (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN));
    return now.sa_flags & SA_ONSTACK;
}

/* A goroutine's stack is small, and a signal's frame with all vector registers is large: the library's handlers run on
 * their thread's alternate stack. */
GO_TEST(signal_our_handlers_take_the_alternate_stack)
{
    rn_ctx *ctx = rn_ctx_with_signals(rn_ctx_background(), SIGUSR2);
    rn_chan(int) ch = rn_chan_make(int, 1);

    CHECK_EQ(rn_signal_notify(ch, SIGUSR1), 0);
    CHECK_EQ(rn_dump_on_signal(SIGQUIT), 0);
    CHECK(on_alternate_stack(SIGUSR1));
    CHECK(on_alternate_stack(SIGUSR2));
    CHECK(on_alternate_stack(SIGQUIT));
    if (!UNDER_ASAN && !UNDER_TSAN)         /* theirs comes first */
        CHECK(on_alternate_stack(SIGSEGV)); /* which sees the stack that is full */
    rn_signal_stop(ch);
    rn_ctx_end(ctx);
    rn_chan_release(ch);
}

/* Who has no room misses it, and nobody waits for him. */
GO_TEST(signal_notify_never_waits)
{
    rn_chan(int) none = rn_chan_make(int, 0), one = rn_chan_make(int, 1),
                 many = rn_chan_make(int, 100);

    CHECK_EQ(rn_signal_notify(none, SIGUSR1), 0);
    CHECK_EQ(rn_signal_notify(one, SIGUSR1), 0);
    CHECK_EQ(rn_signal_notify(many, SIGUSR1), 0);
    for (int i = 0; i < 20; i++) {
        kill(getpid(), SIGUSR1);
        CHECK_EQ(rn_recv(many), SIGUSR1);
    }
    AWAIT(rn_len(one) == 1);
    CHECK_EQ(rn_recv(one), SIGUSR1);
    rn_signal_stop(none);
    rn_signal_stop(one);
    rn_signal_stop(many);
    rn_signal_stop(many);
    rn_chan_release(none);
    rn_chan_release(one);
    rn_chan_release(many);
}

/* Once the stop has returned nothing is sent: the channel may be closed. */
static void send_signals(rn_ctx *ctx)
{
    while (!rn_ctx_err(ctx)) {
        kill(getpid(), SIGUSR1);
        rn_yield();
    }
}
GO_TEST(signal_stop_is_final)
{
    rn_chan(int) witness = rn_chan_make(int, 1);
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_wg senders = {0};

    signal(SIGUSR1, SIG_IGN); /* one may still be under way when the last watcher has gone */
    CHECK_EQ(rn_signal_notify(witness, SIGUSR1), 0);
    rn_wg_go(&senders, send_signals, ctx);
    for (int i = 0; i < test_times(10000); i++) {
        rn_chan(int) ch = rn_chan_make(int, 1);

        CHECK_EQ(rn_signal_notify(ch, SIGUSR1), 0);
        if (i % 16 == 0)
            CHECK_EQ(rn_recv(ch), SIGUSR1);
        rn_signal_stop(ch);
        rn_close(ch);
        rn_chan_release(ch);
    }
    rn_ctx_cancel(ctx);
    rn_wg_wait(&senders);
    rn_ctx_end(ctx);
    rn_signal_stop(witness);
    rn_chan_release(witness);
}

GO_TEST(signal_notify_beside_contexts)
{
    rn_chan(int) ch = rn_chan_make(int, 1);
    rn_ctx *ctx = rn_ctx_with_signals(rn_ctx_background(), SIGTERM);

    CHECK_EQ(rn_signal_notify(ch, SIGTERM), 0);
    kill(getpid(), SIGTERM);
    CHECK_EQ(rn_recv(ch), SIGTERM);
    (void)rn_recv(rn_ctx_done(ctx));
    CHECK_EQ(rn_ctx_cause(ctx), -EINTR);
    rn_ctx_end(ctx); /* the channel still watches */
    kill(getpid(), SIGTERM);
    CHECK_EQ(rn_recv(ch), SIGTERM);
    ctx = rn_ctx_with_signals(rn_ctx_background(), SIGTERM);
    rn_signal_stop(ch); /* the context still does */
    kill(getpid(), SIGTERM);
    (void)rn_recv(rn_ctx_done(ctx));
    CHECK_EQ(rn_len(ch), 0);
    rn_ctx_end(ctx);
    rn_chan_release(ch);
}

/* The program's own handlers, of both forms, rest meanwhile and are there again afterwards; those of other signals
 * run, whoever is interrupted. */
static _Atomic int plain_ran, info_ran, info_pid;
static void plain_handler(int sig)
{
    (void)sig;
    plain_ran++;
}
static void info_handler(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    info_pid = (int)info->si_pid;
    info_ran++;
}
GO_TEST(signal_own_handlers_return)
{
    struct sigaction plain = {.sa_handler = plain_handler},
                     info = {.sa_sigaction = info_handler, .sa_flags = SA_SIGINFO};
    rn_chan(int) ch = rn_chan_make(int, 2);

    sigaction(SIGUSR1, &plain, NULL);
    sigaction(SIGUSR2, &info, NULL);
    CHECK_EQ(rn_signal_notify(ch, SIGUSR1), 0);
    kill(getpid(), SIGUSR1);
    CHECK_EQ(rn_recv(ch), SIGUSR1);
    kill(getpid(), SIGUSR2); /* nobody watches this one */
    AWAIT(info_ran == 1);
    CHECK_EQ(info_pid, getpid());
    CHECK_EQ(plain_ran, 0);
    rn_signal_stop(ch);
    kill(getpid(), SIGUSR1);
    AWAIT(plain_ran == 1);
    rn_chan_release(ch);
}

/* Without a watcher the default effect is back; so it is after the end of rn_run, in the midst of everything. */
static int stop_then_die(void)
{
    rn_chan(int) ch = rn_chan_make(int, 1);

    CHECK_EQ(rn_signal_notify(ch, SIGUSR1), 0);
    rn_signal_stop(ch);
    rn_chan_release(ch);
    kill(getpid(), SIGUSR1);
    rn_sleep(RN_MINUTE);
    return 0;
}
static int left_watching(void)
{
    rn_chan(int) ch = rn_chan_make(int, 1);

    CHECK_EQ(rn_signal_notify(ch, SIGUSR1), 0);
    rn_chan_release(ch); /* the watching has its own reference */
    return 0;
}
PLAIN_TEST(signal_default_effect_returns)
{
    for (int kind = 0; kind < 2; kind++) {
        pid_t pid = fork();
        int status;

        CHECK(pid >= 0);
        if (pid == 0) {
            (void)rn_run(kind ? left_watching : stop_then_die);
            raise(SIGUSR1);
            _exit(0);
        }
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
    }
    CHECK_EQ(rn_run(left_watching), 0); /* and nothing is left for a leak finder */
}

GO_TEST(signal_notify_errors)
{
    rn_chan(int) ch = rn_chan_make(int, 1);

    CHECK_EQ(rn_signal_notify(ch, SIGKILL), -EINVAL);
    CHECK_EQ(rn_signal_notify(ch, SIGUSR1, SIGSTOP), -EINVAL);
    CHECK_EQ(rn_signal_notify(ch, 0), -EINVAL);
    CHECK_EQ(rn_signal_notify(ch, 65), -EINVAL);
    CHECK_EQ(rn_signal_notify(ch, 33), -EINVAL); /* libc's own */
    rn_signal_stop(ch);
    rn_signal_stop(NULL);
    rn_chan_release(ch);
}

DEATH_TEST(signal_notify_nil, "panic: rn_signal_notify: nil channel")
{
    (void)!rn_signal_notify(NULL, SIGUSR1);
}
