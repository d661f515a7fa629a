/* SPDX-License-Identifier: MIT */
/*
 * process.c - starting child processes.
 *
 * The child shares our memory, and our thread sleeps, until the program is executed: that costs the same however large
 * the process is, and however many threads it has. Until then the child may do nothing that another thread could be in
 * the midst of: it makes system calls, and touches nothing but its own stack. All signals are blocked meanwhile, so
 * that no handler of ours runs in it; handlers are reset before they are unblocked. errno, which it shares too, is
 * saved.
 *
 * Why it could not be started, the child says through a pipe that the execution closes: some emulators copy the memory.
 */
#define _GNU_SOURCE
#include "os/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "os/call.h"
#include "os/os.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
enum { CLOSE_BY_EXEC = 4 }; /* CLOSE_RANGE_CLOEXEC */
enum { CHILD_STACK = 65536, SIGNALS = 64 };

int rn__arch_vfork(void (*fn)(void *), void *arg, void *stack);

/* ---- In the child ------------------------------------------------------------------------------------------- */

struct child {
    const struct os_spawn *s;
    int report;
};

/* The kernel's own. */
struct kernel_action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static void reset_signals(uint64_t ignored)
{
    struct kernel_action now, sa = {0};
    uint64_t none = 0;

    for (int n = 1; n <= SIGNALS; n++) {
        if (syscall(SYS_rt_sigaction, n, NULL, &now, 8L) != 0 || now.handler == SIG_IGN)
            continue;
        sa.handler = ignored >> (n - 1) & 1 ? SIG_IGN : SIG_DFL;
        if (now.handler != sa.handler)
            syscall(SYS_rt_sigaction, n, &sa, NULL, 8L);
    }
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, 8L);
}

/* On a kernel that has no call for it: have exec close all from first on. */
static void close_each(int first)
{
    struct {
        uint64_t ino, off;
        uint16_t length;
        uint8_t type;
        char name[];
    } *entry;
    _Alignas(8) char room[4096];
    int dir =
        (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    long n;

    if (dir < 0) {
        for (int fd = first; fd < 65536; fd++)
            syscall(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
        return;
    }
    while ((n = syscall(SYS_getdents64, dir, room, sizeof room)) > 0) {
        for (long at = 0; at < n; at += entry->length) {
            int fd = 0;

            entry = (void *)(room + at);
            for (const char *p = entry->name; *p >= '0' && *p <= '9'; p++)
                fd = fd * 10 + (*p - '0');
            if (fd >= first)
                syscall(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
        }
    }
}

/* Our descriptors to their places; those that lie where others belong are moved out of the way first. */
static int place_descriptors(const struct os_spawn *s, int *report)
{
    int count = s->fd_count;
    int moved[64];

    if (*report < count) {
        *report = (int)CALL(SYS_fcntl, *report, F_DUPFD_CLOEXEC, count);
        if (*report < 0)
            return *report;
    }
    for (int i = 0; i < count; i++) {
        moved[i] = s->fds[i];
        if (moved[i] < count) {
            moved[i] = (int)CALL(SYS_fcntl, s->fds[i], F_DUPFD_CLOEXEC, count);
            if (moved[i] < 0)
                return moved[i];
        }
    }
    for (int i = 0; i < count; i++) {
        long r = CALL(SYS_dup3, moved[i], i, 0);

        if (r < 0)
            return (int)r;
    }
    if (CALL(SYS_close_range, count, ~0U, CLOSE_BY_EXEC) < 0)
        close_each(count);
    return 0;
}

static void child_main(void *arg)
{
    const struct child *c = arg;
    const struct os_spawn *s = c->s;
    int report = c->report;
    int err = 0;

    if (s->own_group)
        err = (int)CALL(SYS_setpgid, 0, 0);
    if (!err && s->cwd)
        err = (int)CALL(SYS_chdir, s->cwd);
    if (!err)
        err = place_descriptors(s, &report);
    if (!err) {
        reset_signals(s->ignored);
        if (s->slack > 0)
            (void)CALL(SYS_prctl, PR_SET_TIMERSLACK, s->slack, 0, 0, 0);
        err =
            (int)CALL(SYS_execve, s->path, s->argv, s->env ? s->env : (const char *const *)environ);
    }
    syscall(SYS_write, report, &err, sizeof err);
    for (;;)
        syscall(SYS_exit_group, 127);
}

/* ---- In the parent -------------------------------------------------------------------------------------------- */

int rn__os_spawn(const struct os_spawn *s, pid_t *ret_pid)
{
    int saved = errno, pipe_fds[2], pid, err = 0;
    char *stack = rn__os_map(CHILD_STACK);
    uint64_t all = ~(uint64_t)0, old;
    struct os_end end;
    struct child c = {s, -1};

    if (!stack)
        return -ENOMEM;
    if (s->fd_count > 64) {
        rn__os_unmap(stack, CHILD_STACK);
        return -EINVAL;
    }
    err = (int)CALL(SYS_pipe2, pipe_fds, O_CLOEXEC);
    if (err) {
        rn__os_unmap(stack, CHILD_STACK);
        errno = saved;
        return err;
    }
    c.report = pipe_fds[1];
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, 8L);
    pid = rn__arch_vfork(child_main, &c, stack + CHILD_STACK);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, 8L);
    syscall(SYS_close, pipe_fds[1]);
    if (pid < 0) {
        err = pid;
    } else if (CALL(SYS_read, pipe_fds[0], &err, sizeof err) == (long)sizeof err) {
        rn__os_await(pid);
        (void)rn__os_reap(pid, &end);
        err = err ? err : -EIO;
    } else {
        err = 0;
        *ret_pid = pid;
    }
    syscall(SYS_close, pipe_fds[0]);
    rn__os_unmap(stack, CHILD_STACK);
    errno = saved;
    return err;
}

int rn__os_program(const char *path)
{
    struct stat st;
    int saved = errno, err = 0;

    if (stat(path, &st) != 0)
        err = -errno;
    else if (!S_ISREG(st.st_mode))
        err = -EACCES;
    else if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) != 0)
        err = -errno;
    errno = saved;
    return err;
}

int rn__os_pidfd(pid_t pid)
{
    return (int)CALL(SYS_pidfd_open, pid, 0); /* closed by exec */
}

void rn__os_await(pid_t pid)
{
    siginfo_t info;

    CALL(SYS_waitid, P_PID, pid, &info, WEXITED | WNOWAIT, NULL);
}

int rn__os_kill(pid_t pid, int signal)
{
    return (int)CALL(SYS_kill, pid, signal);
}

int rn__os_reap(pid_t pid, struct os_end *ret_end)
{
    struct rusage used;
    int status = 0;
    long got = CALL(SYS_wait4, pid, &status, WNOHANG, &used);

    if (got <= 0)
        return got < 0 ? (int)got : -EAGAIN;
    ret_end->status = status;
    ret_end->user_ns = (int64_t)used.ru_utime.tv_sec * 1000000000 + used.ru_utime.tv_usec * 1000;
    ret_end->system_ns = (int64_t)used.ru_stime.tv_sec * 1000000000 + used.ru_stime.tv_usec * 1000;
    ret_end->max_rss = (int64_t)used.ru_maxrss * 1024;
    return 0;
}

int rn__os_event(void)
{
    return (int)CALL(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);
}

void rn__os_event_set(int fd)
{
    uint64_t one = 1;

    CALL(SYS_write, fd, &one, sizeof one);
}

int rn__os_set(void)
{
    return (int)CALL(SYS_epoll_create1, EPOLL_CLOEXEC);
}

int rn__os_set_add(int set, int fd, bool write, uint32_t bit)
{
    struct epoll_event ev = {.events = write ? EPOLLOUT : EPOLLIN, .data.u32 = bit};

    return (int)CALL(SYS_epoll_ctl, set, EPOLL_CTL_ADD, fd, &ev);
}

void rn__os_set_remove(int set, int fd)
{
    struct epoll_event ev = {0};

    CALL(SYS_epoll_ctl, set, EPOLL_CTL_DEL, fd, &ev);
}

uint32_t rn__os_set_ready(int set, int64_t until)
{
    struct epoll_event evs[8];
    int64_t rest = until ? until - rn__os_now() : 0;
    int ms = rest <= 0 ? 0 : rest > 1000000000 ? 1000 : (int)((rest + 999999) / 1000000);
    long n = CALL(SYS_epoll_pwait, set, evs, 8, ms, NULL, 8L);
    uint32_t ready = 0;

    for (long i = 0; i < n; i++)
        ready |= evs[i].data.u32;
    return ready;
}
