/* SPDX-License-Identifier: MIT */
/* inject.c - see inject.h. */
#define _GNU_SOURCE
#include "inject.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct epoll_event;
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

const char *const fault_name[FAULT_KINDS] = {"allocation", "mapping", "protection",
                                             "thread",     "wait",    "poll"};

static enum fault_kind wanted = FAULT_NONE;
static long wanted_nth;
static long wanted_more;
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
    long n = __atomic_add_fetch(&counts[kind], 1, __ATOMIC_RELAXED);

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

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    long result;

    if (number == SYS_futex && (b & FUTEX_CMD_MASK) != FUTEX_WAKE && fails(FAULT_WAIT)) {
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
    return fails(FAULT_POLL) ? refused(EINTR) : __real_epoll_wait(ep, events, room, ms);
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
