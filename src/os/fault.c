/* SPDX-License-Identifier: MIT */
/* fault.c - SIGSEGV, and stacks for signal handlers. See os.h. */
#define _GNU_SOURCE
#include "os/os.h"

#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { GENERAL_PROTECTION = 13 };

static void (*on_fault)(const struct os_fault *fault);

static void fault_of(struct os_fault *f, const siginfo_t *info, const ucontext_t *at)
{
    f->address = info->si_code > 0 ? (uintptr_t)info->si_addr : 0; /* else sent by somebody */
    f->no_room = info->si_code == SI_KERNEL;
#if defined(__x86_64__)
    if (at->uc_mcontext.gregs[REG_TRAPNO] == GENERAL_PROTECTION)
        f->no_room = false; /* an address that cannot be one */
    if (f->no_room)
        f->address = (uintptr_t)at->uc_mcontext.gregs[REG_RSP];
    f->pc = (uintptr_t)at->uc_mcontext.gregs[REG_RIP];
    f->fp = (uintptr_t)at->uc_mcontext.gregs[REG_RBP];
#elif defined(__aarch64__)
    if (f->no_room)
        f->address = (uintptr_t)at->uc_mcontext.sp;
    f->pc = (uintptr_t)at->uc_mcontext.pc;
    f->fp = (uintptr_t)at->uc_mcontext.regs[29];
#else
    f->pc = f->fp = 0;
#endif
}

static void handler(int sig, siginfo_t *info, void *context)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    struct os_fault f;
    int saved = errno;

    fault_of(&f, info, context);
    on_fault(&f);
    /* Not ours: as if we had not been there. The instruction faults again; what no instruction did is sent again. */
    sigaction(sig, &dfl, NULL);
    if (info->si_code <= 0 || f.no_room)
        syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), sig);
    errno = saved;
}

bool rn__os_fault_begin(void (*fn)(const struct os_fault *fault))
{
    struct sigaction was, sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    if (sigaction(SIGSEGV, NULL, &was) != 0 || (was.sa_flags & SA_SIGINFO) ||
        was.sa_handler != SIG_DFL)
        return false;
    on_fault = fn;
    return sigaction(SIGSEGV, &sa, NULL) == 0;
}

void rn__os_fault_end(void)
{
    struct sigaction now, dfl = {.sa_handler = SIG_DFL};

    /* A user's handler that was installed meanwhile stays. */
    if (sigaction(SIGSEGV, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) &&
        now.sa_sigaction == handler)
        sigaction(SIGSEGV, &dfl, NULL);
}

/* Room for a report and for what the kernel saves of the CPU; only what is used is committed. */
static size_t signal_stack_size(void)
{
    long least = sysconf(_SC_SIGSTKSZ);

    return ((size_t)(least > 0 ? least : 0) + (128 << 10) + 4095) & ~(size_t)4095;
}

void *rn__os_signal_stack_new(void)
{
    stack_t now, alt = {.ss_size = signal_stack_size()};

    if (sigaltstack(NULL, &now) != 0 || !(now.ss_flags & SS_DISABLE))
        return NULL; /* the thread has one */
    alt.ss_sp = rn__os_map(alt.ss_size);
    if (alt.ss_sp && sigaltstack(&alt, NULL) != 0) {
        rn__os_unmap(alt.ss_sp, alt.ss_size);
        alt.ss_sp = NULL;
    }
    return alt.ss_sp;
}

void rn__os_signal_stack_free(void *stack)
{
    stack_t now, none = {.ss_flags = SS_DISABLE};

    if (!stack)
        return;
    if (sigaltstack(NULL, &now) == 0 && now.ss_sp == stack)
        sigaltstack(&none, NULL);
    rn__os_unmap(stack, signal_stack_size());
}

void rn__os_end_within(unsigned seconds)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    sigset_t set;

    sigaction(SIGALRM, &dfl, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    alarm(seconds);
}
