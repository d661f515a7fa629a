/* SPDX-License-Identifier: MIT */
/*
 * linux.c - the kernel.
 *
 * System calls are made directly where a tool's interceptor would see more in the library function than
 * is meant (futex, mmap of stacks); errno is read beside the call and becomes a value at once.
 */
#define _GNU_SOURCE
#include "os/os.h"

#include <dirent.h>
#include <fcntl.h>
#include <link.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/tools.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#endif

void rn__os_futex_wait(uint32_t *word, uint32_t value, int64_t until)
{
    struct timespec ts, *timeout = NULL;
    const bool patrol = rn__tools & TOOL_TSAN;

    /* ThreadSanitizer keeps a signal back until its thread calls something it intercepts: not this. */
    if (patrol && until - 10000000 > rn__os_now())
        until = rn__os_now() + 10000000;
    if (until != INT64_MAX) {
        if (until < 0)
            until = 0;
        ts.tv_sec = until / 1000000000;
        ts.tv_nsec = until % 1000000000;
        timeout = &ts;
    }
    /* The bitset form takes an absolute time on CLOCK_MONOTONIC. */
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value, timeout, NULL,
            FUTEX_BITSET_MATCH_ANY);
    if (patrol)
        usleep(0);
}

bool rn__os_is_there(const uint32_t *word)
{
    struct timespec at_once = {0};

    /* The kernel compares first; neither it nor we wait. */
    return syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 0, &at_once, NULL, 0) == 0 ||
           errno != EFAULT;
}

void rn__os_futex_wake(uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1);
}

int rn__os_poll(int fd, bool read, bool write)
{
    struct pollfd p = {.fd = fd,
                       .events = (short)((read ? POLLIN | POLLRDHUP : 0) | (write ? POLLOUT : 0))};
    struct timespec now = {0, 0};
    int ready = 0;

    if (fd < 0)
        return -EBADF;
    while (syscall(SYS_ppoll, &p, 1, &now, NULL, 8) < 0)
        if (errno != EINTR)
            return -errno;
    if (p.revents & POLLNVAL)
        return -EBADF;
    if (read && (p.revents & (POLLIN | POLLRDHUP | POLLHUP | POLLERR)))
        ready |= 1;
    if (write && (p.revents & (POLLOUT | POLLHUP | POLLERR)))
        ready |= 2;
    return ready;
}

int64_t rn__os_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void *rn__os_map(size_t size)
{
    void *at = (void *)syscall(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED)
        return NULL;
    madvise(at, size, MADV_NOHUGEPAGE); /* a huge page under a stack would commit 2 MiB for 4 KiB */
    return at;
}

void rn__os_unmap(void *at, size_t size)
{
    munmap(at, size); /* libc's, so that ThreadSanitizer forgets the range */
}

/* 1: the kernel installs guards without splitting the mapping; -1: it does not; 0: not asked yet. */
static int guard_install; /* atomic; racing threads find the same */

/* Does MADV_GUARD_INSTALL work here? Some emulators answer 0 and do nothing, so look: the kernel must
 * refuse to read from a guarded page. */
static int probe_guard_install(void)
{
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int works = -1;
    int fds[2];

    if (page == MAP_FAILED)
        return -1;
    if (madvise(page, 4096, MADV_GUARD_INSTALL) == 0 && pipe2(fds, O_CLOEXEC) == 0) {
        if (syscall(SYS_write, fds[1], page, 1) < 0)
            works = 1;
        close(fds[0]);
        close(fds[1]);
    }
    munmap(page, 4096);
    return works;
}

int rn__os_guard(void *at, size_t size)
{
    int how = load_relaxed(&guard_install);

    if (how == 0) {
        how = probe_guard_install();
        store_relaxed(&guard_install, how);
    }
    /* LeakSanitizer reads what the list of mappings says can be read, and such a guard does not show there. */
    if (how > 0 && !(rn__tools & TOOL_ASAN) && madvise(at, size, MADV_GUARD_INSTALL) == 0)
        return 0;
    /* An older kernel, or locked memory. Each such guard splits the mapping in two, of which the kernel
     * allows about 65,000. */
    return mprotect(at, size, PROT_NONE) == 0 ? 0 : -errno;
}

int rn__os_renew(void *at, size_t size)
{
    void *got = mmap(at, size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

    return got == at ? 0 : -errno;
}

void rn__os_forget(void *at, size_t size)
{
    madvise(at, size, MADV_DONTNEED); /* refused for locked memory: then it stays */
}

size_t rn__os_untouched(const void *at, size_t size)
{
    enum {
        PAGE = 4096,
        PAGES = 256
    }; /* a larger page of the kernel's: it says less, and is right */
    unsigned char in_memory[PAGES];

    for (size_t done = 0; done < size; done += (size_t)PAGES * PAGE) {
        size_t left = (size - done + PAGE - 1) / PAGE;
        size_t n = left < PAGES ? left : PAGES;

        if (mincore((char *)(uintptr_t)at + done, n * PAGE, in_memory) < 0)
            return done;
        for (size_t i = 0; i < n; i++)
            if (in_memory[i] & 1)
                return done + i * PAGE;
    }
    return size;
}

/* ---- How many CPUs ------------------------------------------------------------------------------ */

static bool read_file(const char *path, char *text, size_t room)
{
    /* Directly: the number may have been a socket's, whose close no interceptor has seen (socket.c). */
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return false;
    n = syscall(SYS_read, fd, text, room - 1);
    syscall(SYS_close, fd);
    if (n < 0)
        return false;
    text[n] = 0;
    return true;
}

static int quota_cpus(double quota, double period, int cpus)
{
    int whole;

    if (quota <= 0 || period <= 0)
        return cpus;
    whole = (int)(quota / period);
    if (whole * period < quota)
        whole++; /* 1.5 CPUs can keep two threads busy most of the time */
    return whole < cpus ? whole : cpus;
}

/* Walk from the process's cgroup to the root; the tightest quota on the way counts, not the leaf's. */
static int cgroup_cpus(const char *mount, char *path, bool v2, int cpus)
{
    for (;;) {
        char file[4300], text[128];
        double quota, period;
        char *slash;

        if (v2) {
            snprintf(file, sizeof file, "%s%s/cpu.max", mount, path);
            if (read_file(file, text, sizeof text) && sscanf(text, "%lf %lf", &quota, &period) == 2)
                cpus = quota_cpus(quota, period, cpus);
        } else {
            snprintf(file, sizeof file, "%s%s/cpu.cfs_quota_us", mount, path);
            if (read_file(file, text, sizeof text) && sscanf(text, "%lf", &quota) == 1) {
                snprintf(file, sizeof file, "%s%s/cpu.cfs_period_us", mount, path);
                if (read_file(file, text, sizeof text) && sscanf(text, "%lf", &period) == 1)
                    cpus = quota_cpus(quota, period, cpus);
            }
        }
        slash = strrchr(path, '/');
        if (!slash || path[0] == 0)
            return cpus;
        *slash = 0;
    }
}

static int cgroup_quota(int cpus)
{
    char text[8192];
    char *save = NULL;

    if (!read_file("/proc/self/cgroup", text, sizeof text))
        return cpus;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *controllers = strchr(line, ':'), *path;

        if (!controllers)
            continue;
        path = strchr(controllers + 1, ':');
        if (!path)
            continue;
        *path++ = 0;
        controllers++;
        if (strlen(path) > 4000)
            continue;
        if (path[0] == '/' && path[1] == 0)
            path[0] = 0;
        if (controllers[0] == 0)
            cpus = cgroup_cpus("/sys/fs/cgroup", path, true, cpus);
        else if (strstr(controllers, "cpu") && !strstr(controllers, "cpuset"))
            cpus = cgroup_cpus("/sys/fs/cgroup/cpu", path, false, cpus);
    }
    return cpus;
}

int rn__os_cpus(void)
{
    int cpus = 0;

    for (int room = 1024; room <= 1 << 20; room *= 4) {
        cpu_set_t *set = CPU_ALLOC((size_t)room);
        size_t size = CPU_ALLOC_SIZE((size_t)room);

        if (!set)
            break;
        if (sched_getaffinity(0, size, set) == 0)
            cpus = CPU_COUNT_S(size, set);
        CPU_FREE(set);
        if (cpus > 0)
            break;
    }
    if (cpus < 1)
        cpus = 1;
    return cgroup_quota(cpus);
}

int rn__os_cpus_all(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n > 0 ? (int)n : 1;
}

int rn__os_threads(void)
{
    char text[4096];
    char *at;

    if (!read_file("/proc/self/status", text, sizeof text))
        return -1;
    at = strstr(text, "\nThreads:");
    return at ? atoi(at + 9) : -1;
}

bool rn__os_fence_all_start(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

bool rn__os_fence_all(void)
{
    int saved = errno;
    bool done;

    /* The kernel may lack memory for it, for a moment. */
    while (!(done = syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0) &&
           errno == ENOMEM)
        sched_yield();
    errno = saved;
    return done;
}

int rn__os_thread_new(pthread_t *ret_thread, size_t stack, bool quiet, void *(*fn)(void *),
                      void *arg)
{
    pthread_attr_t attr;
    sigset_t all, old;
    int err;

    pthread_attr_init(&attr);
    if (stack)
        pthread_attr_setstacksize(&attr, stack);
    if (quiet) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
    }
    err = pthread_create(ret_thread, &attr, fn, arg);
    if (quiet)
        pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return -err;
}

void rn__os_signal_mask(sigset_t *ret_mask)
{
    pthread_sigmask(SIG_SETMASK, NULL, ret_mask);
}

void rn__os_signal_mask_set(const sigset_t *mask)
{
    pthread_sigmask(SIG_SETMASK, mask, NULL);
}

void rn__os_signals_block(sigset_t *ret_before)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    sigset_t others;

    sigfillset(&others);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&others, faults[i]);
    pthread_sigmask(SIG_BLOCK, &others, ret_before);
}

/* The program, which is the first, and whatever has this library. */
static int binds_later(struct dl_phdr_info *info, size_t size, void *arg)
{
    const ElfW(Dyn) *dyn = NULL;
    bool *first = arg, program = *first, ours = program;
    bool binds = false, at_start = program; /* without a dynamic linker */

    (void)size;
    *first = false;
    for (ElfW(Half) i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t from = info->dlpi_addr + p->p_vaddr;

        if (p->p_type == PT_INTERP)
            at_start = false;
        else if (p->p_type == PT_DYNAMIC)
            dyn = (const ElfW(Dyn) *)from;
        else if (p->p_type == PT_LOAD && (uintptr_t)&binds_later - from < p->p_memsz)
            ours = true;
    }
    for (; ours && dyn && dyn->d_tag != DT_NULL; dyn++) {
        if (dyn->d_tag == DT_PLTRELSZ)
            binds = dyn->d_un.d_val > 0;
        else if (dyn->d_tag == DT_BIND_NOW ||
                 (dyn->d_tag == DT_FLAGS && dyn->d_un.d_val & DF_BIND_NOW) ||
                 (dyn->d_tag == DT_FLAGS_1 && dyn->d_un.d_val & DF_1_NOW))
            at_start = true;
    }
    return binds && !at_start;
}

bool rn__os_bound_at_start(void)
{
    const char *now = getenv("LD_BIND_NOW");
    bool first = true;

    return (now && *now) || dl_iterate_phdr(binds_later, &first) == 0;
}

bool rn__os_thread_stack(char **ret_lo, char **ret_hi)
{
    pthread_attr_t attr;
    void *lo;
    size_t size;
    bool ok;

    if (pthread_getattr_np(pthread_self(), &attr) != 0)
        return false;
    ok = pthread_attr_getstack(&attr, &lo, &size) == 0;
    pthread_attr_destroy(&attr);
    if (ok) {
        *ret_lo = lo;
        *ret_hi = *ret_lo + size;
    }
    return ok;
}

int rn__os_thread_id(void)
{
    return (int)syscall(SYS_gettid);
}

bool rn__os_thread_sleeps(int tid)
{
    char path[64], text[512];
    char *at;

    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    if (!read_file(path, text, sizeof text))
        return true;
    at = strrchr(text, ')'); /* the name before it may hold anything */
    return !at || at[1] != ' ' || at[2] != 'R';
}

void rn__os_thread_yield(void)
{
    sched_yield();
}

void rn__os_thread_sleep(int64_t ns)
{
    struct timespec ts = {ns / 1000000000, ns % 1000000000};

    nanosleep(&ts, NULL);
}

int64_t rn__os_slack(void)
{
    return syscall(SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);
}

void rn__os_slack_set(int64_t ns)
{
    syscall(SYS_prctl, PR_SET_TIMERSLACK, ns, 0, 0, 0);
}

int rn__os_create(const char *name)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    return fd < 0 ? -errno : fd;
}

void rn__os_write(int fd, const char *text, size_t size)
{
    int saved = errno;

    while (size > 0) {
        ssize_t put = write(fd, text, size);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            break;
        text += put;
        size -= (size_t)put;
    }
    errno = saved;
}
