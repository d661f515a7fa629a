/* SPDX-License-Identifier: MIT */
/* inject.c - see inject.h. */
#define _GNU_SOURCE
#include "inject.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct itimerspec;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
int __real_posix_memalign(void **ret, size_t align, size_t size);
void __real_free(void *p);
void *__real_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t size);
int __real_madvise(void *at, size_t size, int advice);
int __real_mprotect(void *at, size_t size, int prot);
int __real_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
int __real_epoll_create1(int flags);
int __real_epoll_ctl(int ep, int op, int fd, struct epoll_event *event);
int __real_epoll_wait(int ep, struct epoll_event *events, int room, int ms);
int __real_eventfd(unsigned value, int flags);
int __real_timerfd_create(int clock, int flags);
int __real_pipe2(int *fds, int flags);
int __real_socket(int family, int type, int protocol);
int __real_open(const char *path, int flags, ...);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
int __wrap_posix_memalign(void **ret, size_t align, size_t size);
void __wrap_free(void *p);
void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *at, size_t size);
int __wrap_madvise(void *at, size_t size, int advice);
int __wrap_mprotect(void *at, size_t size, int prot);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
int __wrap_epoll_create1(int flags);
int __wrap_epoll_ctl(int ep, int op, int fd, struct epoll_event *event);
int __wrap_epoll_wait(int ep, struct epoll_event *events, int room, int ms);
int __wrap_eventfd(unsigned value, int flags);
int __wrap_timerfd_create(int clock, int flags);
int __wrap_pipe2(int *fds, int flags);
int __wrap_socket(int family, int type, int protocol);
int __wrap_open(const char *path, int flags, ...);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);

const char *const fault_name[FAULT_KINDS] = {"allocation", "mapping", "protection", "thread",
                                             "wait",       "poll",    "call"};

static enum fault_kind wanted = FAULT_NONE;
static long wanted_nth;
static long wanted_more;
static bool held;                                        /* one thread is there when it changes */
static long counts[FAULT_KINDS], hits, blocks, mappings; /* atomic */

void fault_set(enum fault_kind kind, long nth, long more)
{
    wanted = kind;
    wanted_nth = nth;
    wanted_more = more;
    for (int k = 0; k < FAULT_KINDS; k++)
        counts[k] = 0;
    hits = 0;
}

void fault_hold(bool on)
{
    held = on;
}

long fault_count(enum fault_kind kind)
{
    return __atomic_load_n(&counts[kind], __ATOMIC_RELAXED);
}
long fault_hits(void)
{
    return __atomic_load_n(&hits, __ATOMIC_RELAXED);
}
long fault_blocks(void)
{
    return __atomic_load_n(&blocks, __ATOMIC_RELAXED);
}
long fault_mappings(void)
{
    return __atomic_load_n(&mappings, __ATOMIC_RELAXED);
}

void fault_forget(void)
{
    blocks = 0;
    mappings = 0;
}

/* Count one; true if it has to fail. */
static bool fails(enum fault_kind kind)
{
    long n;

    if (held)
        return false;
    n = __atomic_add_fetch(&counts[kind], 1, __ATOMIC_RELAXED);
    if (kind != wanted || n < wanted_nth || n - wanted_nth > wanted_more)
        return false;
    __atomic_add_fetch(&hits, 1, __ATOMIC_RELAXED);
    return true;
}

static void add(long *what, long n)
{
    __atomic_add_fetch(what, n, __ATOMIC_RELAXED);
}

void *__wrap_malloc(size_t size)
{
    void *p = NULL;

    if (fails(FAULT_ALLOC))
        errno = ENOMEM;
    else
        p = __real_malloc(size);
    add(&blocks, p != NULL);
    return p;
}

void *__wrap_calloc(size_t n, size_t size)
{
    void *p = NULL;

    if (fails(FAULT_ALLOC))
        errno = ENOMEM;
    else
        p = __real_calloc(n, size);
    add(&blocks, p != NULL);
    return p;
}

void *__wrap_realloc(void *p, size_t size)
{
    void *q;

    if (fails(FAULT_ALLOC)) {
        errno = ENOMEM;
        return NULL;
    }
    q = __real_realloc(p, size);
    add(&blocks, !p && q);
    return q;
}

int __wrap_posix_memalign(void **ret, size_t align, size_t size)
{
    int err = fails(FAULT_ALLOC) ? ENOMEM : __real_posix_memalign(ret, align, size);

    add(&blocks, err == 0);
    return err;
}

void __wrap_free(void *p)
{
    add(&blocks, -(p != NULL));
    __real_free(p);
}

void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
    void *p = MAP_FAILED;

    if (fails(FAULT_MAP))
        errno = ENOMEM;
    else
        p = __real_mmap(at, size, prot, flags, fd, offset);
    add(&mappings, p != MAP_FAILED && !(flags & MAP_FIXED));
    return p;
}

int __wrap_munmap(void *at, size_t size)
{
    add(&mappings, -1);
    return __real_munmap(at, size);
}

int __wrap_madvise(void *at, size_t size, int advice)
{
    if (fails(FAULT_PROTECT)) {
        errno = EINVAL;
        return -1;
    }
    return __real_madvise(at, size, advice);
}

int __wrap_mprotect(void *at, size_t size, int prot)
{
    if (fails(FAULT_PROTECT)) {
        errno = ENOMEM;
        return -1;
    }
    return __real_mprotect(at, size, prot);
}

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
    return fails(FAULT_THREAD) ? EAGAIN : __real_pthread_create(t, attr, fn, arg);
}

char *__wrap_strdup(const char *text)
{
    return __wrap_strndup(text, strlen(text));
}

char *__wrap_strndup(const char *text, size_t size)
{
    size_t n = strnlen(text, size);
    char *copy = __wrap_malloc(n + 1);

    if (copy) {
        memcpy(copy, text, n);
        copy[n] = 0;
    }
    return copy;
}

/* Calls of one kind, and the error with which each may fail: one that it has, and that nobody gets used to. Not among
 * them: closing, taking out of an epoll set, and what tells others (a write to an event, a signal). */
struct failing {
    long number;
    int error;
};
static const struct failing polls[] = {
    {SYS_epoll_create1, EMFILE}, {SYS_epoll_ctl, ENOMEM},      {SYS_eventfd2, EMFILE},
    {SYS_pipe2, EMFILE},         {SYS_timerfd_create, EMFILE},
};
static const struct failing calls[] = {
    {SYS_socket, EMFILE},
    {SYS_accept4, EMFILE},
    {SYS_connect, ENETUNREACH},
    {SYS_bind, EADDRINUSE},
    {SYS_listen, EADDRINUSE},
    {SYS_getsockname, ENOBUFS},
    {SYS_getpeername, ENOBUFS},
    {SYS_setsockopt, ENOMEM},
    {SYS_getsockopt, ENOBUFS},
    {SYS_shutdown, ENOTCONN},
    {SYS_recvfrom, ECONNRESET},
    {SYS_sendto, ECONNRESET},
    {SYS_recvmsg, ECONNRESET},
    {SYS_sendmsg, ECONNRESET},
    {SYS_readv, EIO},
    {SYS_writev, EIO},
    {SYS_preadv, EIO},
    {SYS_pwritev, EIO},
    {SYS_preadv2, EIO},
    {SYS_pwritev2, EIO},
    {SYS_sendfile, EIO},
    {SYS_openat, EMFILE},
    {SYS_fsync, EIO},
    {SYS_fdatasync, EIO},
    {SYS_ftruncate, EIO},
    {SYS_fchmod, EPERM},
    {SYS_renameat2, EIO},
    {SYS_lseek, ESPIPE},
    {SYS_ioctl, ENOTTY},
    {SYS_pidfd_open, EMFILE},
    {SYS_execve, EACCES},
    {SYS_dup3, EBUSY},
    {SYS_setpgid, EPERM},
    {SYS_io_uring_setup, ENOMEM},
    {SYS_io_uring_enter, EAGAIN},
};

static int failing(const struct failing *all, size_t n, long number)
{
    for (size_t i = 0; i < n; i++)
        if (all[i].number == number)
            return all[i].error;
    return 0;
}
#define FAILING(all, number) failing(all, sizeof(all) / sizeof *(all), number)

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    int err;

    if (((err = FAILING(polls, number)) != 0 && !(number == SYS_epoll_ctl && b == EPOLL_CTL_DEL) &&
         fails(FAULT_POLL)) ||
        ((err = FAILING(calls, number)) != 0 && fails(FAULT_CALL))) {
        if (err == ECONNRESET) /* then it is no more, for the peer too */
            (void)__real_syscall(SYS_shutdown, a, SHUT_RDWR, 0, 0, 0, 0);
        errno = err;
        return -1;
    }

    if (((number == SYS_futex && (b & FUTEX_CMD_MASK) != FUTEX_WAKE) ||
         number == SYS_epoll_pwait) &&
        fails(FAULT_WAIT)) {
        errno = EINTR;
        return -1;
    }
    if (number == SYS_mmap && fails(FAULT_MAP)) {
        errno = ENOMEM;
        return -1;
    }
    result = __real_syscall(number, a, b, c, d, e, f);
    if (number == SYS_mmap)
        add(&mappings, result != -1);
    else if (number == SYS_munmap)
        add(&mappings, -1);
    return result;
}

static int refused(int err)
{
    errno = err;
    return -1;
}

int __wrap_epoll_create1(int flags)
{
    return fails(FAULT_POLL) ? refused(EMFILE) : __real_epoll_create1(flags);
}
int __wrap_epoll_ctl(int ep, int op, int fd, struct epoll_event *event)
{
    return fails(FAULT_POLL) ? refused(ENOMEM) : __real_epoll_ctl(ep, op, fd, event);
}
int __wrap_epoll_wait(int ep, struct epoll_event *events, int room, int ms)
{
    return fails(FAULT_WAIT) ? refused(EINTR) : __real_epoll_wait(ep, events, room, ms);
}
int __wrap_eventfd(unsigned value, int flags)
{
    return fails(FAULT_POLL) ? refused(EMFILE) : __real_eventfd(value, flags);
}
int __wrap_timerfd_create(int clock, int flags)
{
    return fails(FAULT_POLL) ? refused(EMFILE) : __real_timerfd_create(clock, flags);
}
int __wrap_pipe2(int *fds, int flags)
{
    return fails(FAULT_POLL) ? refused(EMFILE) : __real_pipe2(fds, flags);
}
int __wrap_socket(int family, int type, int protocol)
{
    return fails(FAULT_CALL) ? refused(EMFILE) : __real_socket(family, type, protocol);
}
int __wrap_open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    va_list rest;

    if (fails(FAULT_CALL))
        return refused(EMFILE);
    va_start(rest, flags);
    if (flags & O_CREAT)
        mode = va_arg(rest, mode_t);
    va_end(rest);
    return __real_open(path, flags, mode);
}
