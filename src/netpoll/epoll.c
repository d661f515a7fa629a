/* SPDX-License-Identifier: MIT */
/*
 * epoll.c - edges by epoll.
 *
 * A descriptor is added once, edge-triggered and for both directions. Modifying a registration makes the kernel look
 * again and report what is ready, which is what re-arming means. A break is a write to an eventfd that nobody reads:
 * edge-triggered, each write is a report of its own.
 *
 * All calls are made directly: what the sanitizers' interceptors would conclude of them (that whoever waits is
 * ordered after whoever adds) is not what happens. errno stays here.
 */
#define _GNU_SOURCE
#include <runnel/io.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/tools.h"
#include "netpoll/backend.h"
#include "os/os.h"

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

static const uint64_t break_key = UINT64_MAX;
static int instance = -1; /* atomic */
static int breaker = -1;  /* atomic */
static int coarse;        /* atomic: 1: the kernel has no epoll_pwait2 */

int rn__backend_open(void)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.u64 = break_key};
    int ep = (int)syscall(SYS_epoll_create1, EPOLL_CLOEXEC);
    int bk, err;

    if (ep < 0)
        return -errno;
    bk = (int)syscall(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (bk < 0 || syscall(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, bk, &ev) < 0) {
        err = -errno;
        if (bk >= 0)
            syscall(SYS_close, bk);
        syscall(SYS_close, ep);
        return err;
    }
    store_relaxed(&breaker, bk);
    store_release(&instance, ep); /* pairs with the loads below */
    return 0;
}

void rn__backend_close(void)
{
    syscall(SYS_close, load_relaxed(&instance));
    syscall(SYS_close, load_relaxed(&breaker));
    store_relaxed(&instance, -1);
    store_relaxed(&breaker, -1);
}

int rn__backend_add(int fd, uint64_t key, bool again)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                             .data.u64 = key};
    int ep = load_acquire(&instance);
    int op = again ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

    for (int tries = 0; tries < 3; tries++) {
        if (syscall(SYS_epoll_ctl, ep, op, fd, &ev) == 0)
            return 0;
        if (errno == EEXIST && op == EPOLL_CTL_ADD)
            op =
                EPOLL_CTL_MOD; /* by another waiter at the same time, or by an owner who has not told us */
        else if (errno == ENOENT && op == EPOLL_CTL_MOD)
            op = EPOLL_CTL_ADD; /* it was closed, and the number is another file's now */
        else
            break;
    }
    return -errno;
}

void rn__backend_remove(int fd)
{
    struct epoll_event ev = {0};

    syscall(SYS_epoll_ctl, load_acquire(&instance), EPOLL_CTL_DEL, fd, &ev);
}

static long wait_coarse(int ep, struct epoll_event *evs, int64_t rest)
{
    int64_t ms = rest < 0 ? -1 : (rest + 999999) / 1000000;

    return syscall(SYS_epoll_pwait, ep, evs, POLL_BATCH, ms > INT32_MAX ? INT32_MAX : (int)ms, NULL,
                   8);
}

int rn__backend_wait(struct poll_event *events, int64_t until, bool *ret_broken)
{
    struct epoll_event evs[POLL_BATCH];
    int ep = load_acquire(&instance);
    int64_t rest = -1;
    int count = 0;
    long n;

    if (ep < 0)
        return 0;
    if (until != INT64_MAX) {
        rest = until <= 0 ? 0 : until - rn__os_now();
        if (rest < 0)
            rest = 0;
    }
    if (rest <= 0 || load_relaxed(&coarse) ||
        rn__tools & TOOL_VALGRIND) { /* which does not know the finer call */
        n = wait_coarse(ep, evs, rest);
    } else {
        struct timespec ts = {rest / 1000000000, rest % 1000000000};

        n = syscall(SYS_epoll_pwait2, ep, evs, POLL_BATCH, &ts, NULL, 8);
        if (n < 0 &&
            (errno == ENOSYS || errno == EPERM)) { /* an old kernel, or a sandbox's filter */
            store_relaxed(&coarse, 1);
            n = wait_coarse(ep, evs, rest);
        }
    }
    for (long i = 0; i < n; i++) {
        uint32_t got = evs[i].events, ready = 0;

        if (evs[i].data.u64 == break_key) {
            *ret_broken = true;
            continue;
        }
        if (got & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            ready |= RN_READ;
        if (got & (EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            ready |= POLL_MORE;
        if (got & (EPOLLOUT | EPOLLHUP | EPOLLERR))
            ready |= RN_WRITE;
        events[count++] = (struct poll_event){evs[i].data.u64, ready};
    }
    return count;
}

void rn__backend_break(void)
{
    uint64_t one = 1;

    syscall(SYS_write, load_relaxed(&breaker), &one, sizeof one);
}
