/* SPDX-License-Identifier: MIT */
/*
 * os.c - os/os.h for the explorer: no kernel, time that stands still, two CPUs. And what the sanitizers and
 * Valgrind would be told, which nobody hears.
 */
#include "debug/debug.h"
#include "os/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <runnel.h>

#include "base/fiber.h"
#include "arch/arch.h"
#include "debug/debug.h"
#include "explorer.h"
#include "netpoll/ahead.h"

enum { MAP_MAX = 1 << 20 };

void rn__os_futex_wait(uint32_t *word, uint32_t value, int64_t until)
{
    explore_futex_wait(word, value, until);
}
bool rn__os_is_there(const uint32_t *word)
{
    (void)word;
    return true;
}
void rn__os_futex_wake(uint32_t *word)
{
    explore_futex_wake(word);
}
int64_t rn__os_now(void)
{
    return explore_now();
}

/* Arenas shrink until they fit; so that making one does not take longer than the run. */
void *rn__os_map(size_t size)
{
    void *at;

    if (size > MAP_MAX)
        return NULL;
    at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
              0);
    return at == MAP_FAILED ? NULL : at;
}
void rn__os_unmap(void *at, size_t size)
{
    munmap(at, size);
}
int rn__os_guard(void *at, size_t size)
{
    (void)at;
    (void)size;
    return 0;
}
int rn__os_renew(void *at, size_t size)
{
    (void)at;
    (void)size;
    return 0;
}
void rn__os_forget(void *at, size_t size)
{
    (void)at;
    (void)size;
}
int explore_cpus = 2;
int rn__os_cpus(void)
{
    return explore_cpus;
}
int rn__os_cpus_all(void)
{
    return 2;
}
int rn__os_threads(void)
{
    return explore_threads();
}
bool rn__os_fence_all_start(void)
{
    return true;
}
bool rn__os_fence_all(void)
{
    explore_membarrier();
    return true;
}
int explore_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attr, void *(*fn)(void *),
                           void *arg);
int rn__os_thread_new(pthread_t *ret_thread, size_t stack, bool quiet, void *(*fn)(void *),
                      void *arg)
{
    (void)stack;
    (void)quiet;
    return explore_pthread_create(ret_thread, NULL, fn, arg);
}
void rn__os_signal_mask(sigset_t *ret_mask)
{
    sigemptyset(ret_mask);
}
void rn__os_signals_block(sigset_t *ret_before)
{
    (void)ret_before;
}

bool rn__os_bound_at_start(void)
{
    return false; /* no small stacks */
}

void rn__os_signal_mask_set(const sigset_t *mask)
{
    (void)mask;
}
int rn__os_thread_id(void)
{
    return explore_self() + 1;
}
/* Nobody uses any CPU, and whoever is outside of the runtime may be asleep. */
int64_t rn__os_thread_cpu(int tid)
{
    (void)tid;
    return 0;
}
bool rn__os_thread_sleeps(int tid)
{
    (void)tid;
    return true;
}
void rn__os_thread_yield(void)
{
    explore_relax();
}
void rn__os_thread_sleep(int64_t ns)
{
    (void)ns;
    explore_relax();
}
int64_t rn__os_slack(void)
{
    return 0;
}
void rn__os_slack_set(int64_t ns)
{
    (void)ns;
}

/* ---- Tools ------------------------------------------------------------------------------------------ */

uint32_t rn__tools;
void rn__tools_find(void) {}
void rn__tool_defined(const void *p, size_t size)
{
    (void)p, (void)size;
}
void rn__tool_alive(const void *p, size_t size)
{
    (void)p;
    (void)size;
}

void rn__tool_read(const void *p, size_t size)
{
    (void)p;
    (void)size;
}
void rn__tool_write(void *p, size_t size)
{
    (void)p;
    (void)size;
}
void *rn__fiber_new(void)
{
    return NULL;
}
void rn__fiber_free(void *fiber)
{
    (void)fiber;
}
void rn__fiber_name(void *fiber, const char *name)
{
    (void)fiber;
    (void)name;
}
void *rn__fiber_current(void)
{
    return NULL;
}
void rn__fiber_borrow(void *fiber)
{
    (void)fiber;
}
void rn__fiber_leave(void *to_fiber, void **fake, const void *to_lo, size_t to_size)
{
    (void)to_fiber;
    (void)fake;
    (void)to_lo;
    (void)to_size;
}
void rn__fiber_arrive(void *fake, const void **from_lo, size_t *from_size)
{
    (void)fake;
    (void)from_lo;
    (void)from_size;
}
uint32_t rn__tool_stack_new(char *lo, char *hi)
{
    (void)lo;
    (void)hi;
    return 0;
}
void rn__tool_stack_free(uint32_t id)
{
    (void)id;
}
void rn__tool_stack_clean(char *lo, char *hi)
{
    (void)lo;
    (void)hi;
}
void rn__tool_region_new(char *lo, size_t size)
{
    (void)lo;
    (void)size;
}
void rn__tool_region_free(char *lo, size_t size)
{
    (void)lo;
    (void)size;
}
void rn__tool_shared(const void *at, size_t size)
{
    (void)at;
    (void)size;
}
void rn__tool_ignore_writes(bool on)
{
    (void)on;
}

/* ---- Panics: in this test, bugs -------------------------------------------------------------------------- */

void rn__panic(const char *text)
{
    explore_fail("panic: %s", text);
}
void rn__fatal(const char *text)
{
    explore_fail("fatal error: %s", text);
}
void rn__threads_exhausted(uint32_t max);
void rn__threads_exhausted(uint32_t max)
{
    explore_fail("more than %u threads", max);
}
#undef rn_panic
void rn_panic(const char *fmt, ...)
{
    explore_fail("panic: %s", fmt);
}

/* ---- Reports: none here --------------------------------------------------------------------------------- */

void rn__overflow_begin(void) {}

void rn__signal_fork(void) {}
void rn__reports_fork(void) {}
void rn__reports_await(void) {}

void rn__overflow_end(void) {}

void rn__overflow_small(struct g *g)
{
    (void)g;
    abort();
}

void *rn__overflow_thread(void)
{
    return NULL;
}

void rn__os_signal_stack_free(void *stack)
{
    (void)stack;
}

void rn__signal_begin(void) {}
void rn__locks_begin(void) {}
void rn__leaks_begin(void) {}

void rn__trace_begin(struct rt *rt)
{
    (void)rt;
}
void rn__trace_file(struct rt *rt)
{
    (void)rt;
}
void rn__trace_free(struct rt *rt)
{
    (void)rt;
}

int64_t rn__schedtrace(struct rt *rt, int64_t now, int64_t due)
{
    (void)rt, (void)now;
    return due;
}

void rn__stacks_end(struct rt *rt, const char *when)
{
    (void)rt, (void)when;
}
void rn__leaks_end(struct rt *rt, const char *when, bool may_wait)
{
    (void)rt;
    (void)when;
    (void)may_wait;
}

/* ---- Descriptors: nobody waits for any ---- */

int rn__os_poll(int fd, bool read, bool write)
{
    (void)fd, (void)read, (void)write;
    return -EBADF;
}

int rn__backend_open(void)
{
    return -ENOSYS;
}

void rn__backend_close(void) {}

int rn__backend_add(int fd, uint64_t key, bool again)
{
    (void)fd, (void)key, (void)again;
    return -ENOSYS;
}

void rn__backend_remove(int fd)
{
    (void)fd;
}

int rn__backend_wait(struct poll_event *events, int64_t until, bool *ret_broken)
{
    (void)events, (void)until, (void)ret_broken;
    return 0;
}

void rn__backend_break(void) {}

uint32_t rn__ahead_least = UINT32_MAX;

void rn__ahead(struct fd_read *const *reads, uint32_t n)
{
    (void)reads, (void)n;
}

void rn__ahead_end(struct proc *p)
{
    (void)p;
}

void rn__ahead_fork(struct rt *rt)
{
    (void)rt;
}
