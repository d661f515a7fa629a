/* SPDX-License-Identifier: MIT */
/*
 * limits.c - the programs under limits as they are met in the field: little address space, few threads, as many
 * mappings as the kernel allows, system calls that a container's profile refuses, locked memory, one CPU, a quota.
 *
 *     PROGRAM [NAME...]
 *
 * Each must end with the right result, or, where memory is what is short, with a documented panic. Where the system
 * does not let us make a condition, it is skipped with the reason.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <runnel.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "programs.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum { TIMEOUT = 60, SKIPPED = 77, WRONG_PROCS = 251 };

int __real_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __real_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
    return pthread_create(t, attr, fn, arg);
}

static int failed, ran;

/* What a child is to do before the program: 0, or it cannot be done here and reason says why. */
struct condition {
    const char *name;
    int (*make)(long arg);
    long arg;
    bool may_lack; /* a documented panic for want of memory is right */
    int procs;     /* what rn_procs() must say; 0: anything */
};
static char reason[200];

#define NO_THREAD "panic: no thread to be had for goroutines that can run\n"
#define NO_STACK "panic: out of memory for a goroutine's stack\n"
static const char *must_say; /* the one panic that is right, and must come */

static bool is_panic(const char *text)
{
    if (must_say)
        return strncmp(text, must_say, strlen(must_say)) == 0;
    return strncmp(text, "panic: out of memory", 20) == 0 ||
           strncmp(text, "panic: makechan: out of memory", 30) == 0 ||
           strncmp(text, "panic: rn_run: out of memory", 28) == 0 ||
           strncmp(text, "panic: rn_ctx_with_signals: no thread", 37) == 0 ||
           strncmp(text, NO_THREAD, strlen(NO_THREAD)) == 0;
}

/* The stack that is below the caller's frame is there before memory is short. */
static __attribute__((noinline)) void have_stack(void)
{
    volatile char room[400000];

    for (size_t i = sizeof room; i > 0; i -= i < 4096 ? i : 4096)
        room[i - 1] = 0;
}

static void try_one(const struct condition *c, const struct program *p)
{
    char text[4096];
    size_t used = 0;
    ssize_t got;
    int ends[2], status;
    pid_t pid;

    fflush(NULL);
    if (pipe(ends) != 0 || (pid = fork()) < 0) {
        perror("fork");
        exit(2);
    }
    if (pid == 0) {
        have_stack();
        close(ends[0]);
        dup2(ends[1], STDERR_FILENO);
        alarm(TIMEOUT);
        if (c->procs == 0 && rn_set_procs(2) != 0)
            _exit(3);
        if (c->make(c->arg) != 0) {
            fprintf(stderr, "%s", reason);
            _exit(SKIPPED);
        }
        if (c->procs && rn_procs() != c->procs)
            _exit(WRONG_PROCS);
        exit(p->run());
    }
    close(ends[1]);
    while (used < sizeof text - 1 && (got = read(ends[0], text + used, sizeof text - 1 - used)) > 0)
        used += (size_t)got;
    text[used] = 0;
    close(ends[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    ran++;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && !must_say)
        return;
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
        printf("%s: skipped: %s\n", c->name, text);
        return;
    }
    if (c->may_lack && WIFEXITED(status) && WEXITSTATUS(status) == 2 && is_panic(text))
        return;
    failed++;
    printf("%s, %s, %ld: ", c->name, p->name, c->arg);
    if (WIFSIGNALED(status))
        printf("%s by signal %d\n", WTERMSIG(status) == SIGALRM ? "did not end: ended" : "ended",
               WTERMSIG(status));
    else
        printf("status %d\n", WEXITSTATUS(status));
    if (text[0])
        printf("    %.600s\n", text);
}

/* ---- Address space --------------------------------------------------------------------------------------- */

static long address_space(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long pages = 0;

    if (f) {
        if (fscanf(f, "%ld", &pages) != 1)
            pages = 0;
        fclose(f);
    }
    return pages * sysconf(_SC_PAGESIZE);
}

static int limit_space(long more)
{
    struct rlimit limit;

    limit.rlim_cur = limit.rlim_max = (rlim_t)(address_space() + more);
    return setrlimit(RLIMIT_AS, &limit);
}

/* ---- Threads --------------------------------------------------------------------------------------------- */

static int limit_threads(long n)
{
    struct rlimit limit = {(rlim_t)n, (rlim_t)n};
    uid_t uid;

    /* Root has no such limit, and of an ordinary user all other processes count. */
    if (getuid() != 0) {
        snprintf(reason, sizeof reason, "not root: the user's other processes count");
        return -1;
    }
    uid = 61184 + (uid_t)getpid() % 4096; /* of this run alone: others count as well */
    if (setresuid(uid, uid, uid) != 0) {
        snprintf(reason, sizeof reason, "setresuid: %s", strerror(errno));
        return -1;
    }
    return setrlimit(RLIMIT_NPROC, &limit);
}

/* ---- System calls that are refused ------------------------------------------------------------------------ */

/* number with error; if advice is not 0, only with it as the third argument. */
static int refuse(long number, int error, uint32_t advice)
{
    struct sock_filter all[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_filter one[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, advice, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {advice ? 6 : 4, advice ? one : all};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
        snprintf(reason, sizeof reason, "seccomp: %s", strerror(errno));
        return -1;
    }
    return 0;
}

static int refuse_membarrier(long error)
{
    return refuse(SYS_membarrier, (int)error, 0);
}
static int refuse_io_uring(long error)
{
    return refuse(SYS_io_uring_setup, (int)error, 0);
}
static int refuse_madvise(long error)
{
    return refuse(SYS_madvise, (int)error, 0);
}
static int refuse_guards(long error)
{
    return refuse(SYS_madvise, (int)error, MADV_GUARD_INSTALL);
}
static int refuse_mprotect_too(long error)
{
    return refuse(SYS_madvise, (int)error, MADV_GUARD_INSTALL) ||
           refuse(SYS_mprotect, (int)error, 0);
}

/* All that the profile of a well-known container runtime refuses of what a runtime might want. */
static int refuse_much(long error)
{
    static const long calls[] = {SYS_io_uring_setup, SYS_io_uring_enter,  SYS_io_uring_register,
                                 SYS_membarrier,     SYS_perf_event_open, SYS_userfaultfd,
                                 SYS_set_mempolicy};

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (refuse(calls[i], (int)error, 0) != 0)
            return -1;
    return 0;
}

/* ---- The rest ----------------------------------------------------------------------------------------------- */

static int lock_memory(long unused)
{
    struct rlimit most;

    (void)unused;
    /* Else the limit bites at any page. */
    if (geteuid() != 0 && getrlimit(RLIMIT_MEMLOCK, &most) == 0 && most.rlim_cur != RLIM_INFINITY) {
        snprintf(reason, sizeof reason, "not root, and locked memory is limited (ulimit -l)");
        return -1;
    }
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        snprintf(reason, sizeof reason, "mlockall: %s", strerror(errno));
        return -1;
    }
    return 0;
}

static int one_cpu(long unused)
{
    cpu_set_t set;
    size_t first = CPU_SETSIZE;

    (void)unused;
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        snprintf(reason, sizeof reason, "more CPUs than this test knows");
        return -1;
    }
    for (size_t i = 0; i < CPU_SETSIZE && first == CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &set))
            first = i;
    CPU_ZERO(&set);
    CPU_SET(first, &set);
    return sched_setaffinity(0, sizeof set, &set);
}

static char cgroup[200];

static bool write_file(const char *dir, const char *name, const char *text)
{
    char path[300];
    bool good;
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "w");
    if (!f)
        return false;
    good = fputs(text, f) >= 0;
    return fclose(f) == 0 && good;
}

/* Half a CPU, in a control group of our own. */
static bool make_cgroup(void)
{
    snprintf(cgroup, sizeof cgroup, "/sys/fs/cgroup/cpu/runnel-test-%ld", (long)getpid());
    if (mkdir(cgroup, 0755) == 0) {
        if (write_file(cgroup, "cpu.cfs_period_us", "100000") &&
            write_file(cgroup, "cpu.cfs_quota_us", "50000"))
            return true;
        rmdir(cgroup);
    }
    snprintf(cgroup, sizeof cgroup, "/sys/fs/cgroup/runnel-test-%ld", (long)getpid());
    if (mkdir(cgroup, 0755) == 0) {
        if (write_file(cgroup, "cpu.max", "50000 100000"))
            return true;
        rmdir(cgroup);
    }
    cgroup[0] = 0;
    return false;
}

static int enter_cgroup(long unused)
{
    char pid[32];

    (void)unused;
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    if (!cgroup[0] || !write_file(cgroup, "cgroup.procs", pid)) {
        snprintf(reason, sizeof reason, "control groups cannot be made here");
        return -1;
    }
    return 0;
}

static int nothing(long unused)
{
    (void)unused;
    return 0;
}

/* ---- As many mappings as the kernel allows -------------------------------------------------------------------- */

static void wait_for_close(rn_chan(int) gate, rn_wg *wg)
{
    (void)rn_recv_ok(gate, NULL);
    rn_wg_done(wg);
}

static int fill_mappings_main(void)
{
    enum { MANY = 40000 };
    rn_chan(int) gate = rn_chan_make(int, 0);
    rn_wg wg = {0};

    rn_wg_add(&wg, MANY);
    for (int i = 0; i < MANY; i++) {
        rn_go(wait_for_close, gate, &wg);
        if (i % 64 == 0)
            rn_yield();
    }
    while (rn_count() < MANY)
        rn_yield();
    for (int i = 0; i < 100; i++)
        rn_yield();
    rn_close(gate);
    rn_wg_wait(&wg);
    rn_chan_release(gate);
    return 0;
}

static int fill_mappings(void)
{
    return rn_run(fill_mappings_main);
}

/* ---- Goroutines that keep a thread, where hardly another is to be had -------------------------------------------- */

#define RIGHT(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            return __LINE__ % 200 + 3;                                                             \
    } while (0)

static void ring(rn_chan(int) ch, int v)
{
    rn_send(ch, v);
}

static int told_fds[2];

/* One goroutine, locked: whatever it waits for comes, although its thread is the only one. */
static int locked_alone_main(void)
{
    rn_ticker ticker = {0};
    rn_timer timer = {0};
    rn_chan(int) ch = rn_chan_make(int, 1);
    char c = 0;

    rn_lock_thread();
    for (int i = 0; i < 10; i++) {
        rn_yield();
        rn_sleep(RN_MICROSECOND);
        RIGHT(rn_blocking(usleep(10)) == 0);
    }
    rn_ticker_start(&ticker, 100 * RN_MICROSECOND);
    rn_timer_reset(&timer, RN_MILLISECOND);
    for (int i = 0; i < 3; i++)
        (void)rn_recv(rn_ticker_chan(&ticker));
    (void)rn_recv(rn_timer_chan(&timer));
    RIGHT(rn_select(rn_on_recv(ch, NULL), rn_on_timeout(RN_MILLISECOND)) == 1);
    rn_ticker_free(&ticker);
    rn_timer_free(&timer);
    /* A descriptor. The child is there already, and told to go on, so that none has to be made now. */
    RIGHT(write(told_fds[1], "g", 1) == 1);
    RIGHT(rn_wait_fd(told_fds[1], RN_READ, NULL) == RN_READ);
    RIGHT(read(told_fds[1], &c, 1) == 1 && c == 'h');
    rn_unlock_thread();
    rn_go(ring, ch, 7); /* the thread is anybody's again */
    RIGHT(rn_recv(ch) == 7);
    rn_chan_release(ch);
    return 0;
}

/* Locked goroutines that need each other, each on a thread of its own. */
static void pong(rn_chan(int) in, rn_chan(int) out)
{
    rn_lock_thread();
    rn_range (v, in) {
        rn_sleep(RN_MICROSECOND);
        rn_send(out, v + 1);
    }
    rn_unlock_thread();
    rn_close(out);
}

static int locked_pair_main(void)
{
    rn_chan(int) to = rn_chan_make(int, 0), from = rn_chan_make(int, 0);
    int v = 0;

    rn_go(pong, to, from);
    rn_yield(); /* it may take this thread */
    rn_lock_thread();
    for (int i = 0; i < 50; i++) {
        rn_send(to, i);
        RIGHT(rn_recv_ok(from, &v) && v == i + 1);
    }
    rn_close(to);
    RIGHT(!rn_recv_ok(from, &v));
    rn_unlock_thread();
    rn_chan_release(to);
    rn_chan_release(from);
    return 0;
}

/* A locked goroutine that waits for one for which there is no thread. */
static int locked_last_main(void)
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    rn_lock_thread();
    rn_go(ring, ch, 1);
    RIGHT(rn_recv(ch) == 1);
    rn_chan_release(ch);
    return 0;
}

/* The same, but it needs none: it gives its thread back before it waits. */
static int locked_kind_main(void)
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    for (int i = 0; i < 20; i++) {
        rn_lock_thread();
        rn_go(ring, ch, i);
        for (int j = 0; j < 5; j++)
            rn_yield();
        rn_unlock_thread();
        RIGHT(rn_recv(ch) == i);
    }
    rn_chan_release(ch);
    return 0;
}

static int locked_alone(void)
{
    return rn_run(locked_alone_main);
}
static int locked_pair(void)
{
    return rn_run(locked_pair_main);
}
static int locked_last(void)
{
    return rn_run(locked_last_main);
}
static int locked_kind(void)
{
    return rn_run(locked_kind_main);
}

/* A child that answers one letter. */
static bool answerer_make(void)
{
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, told_fds) != 0)
        return false;
    switch (fork()) {
    case -1:
        return false;
    case 0:
        close(told_fds[1]);
        for (char c;;) {
            if (read(told_fds[0], &c, 1) != 1)
                _exit(0);
            usleep(1000);
            c++;
            if (write(told_fds[0], &c, 1) != 1)
                _exit(0);
        }
    default:
        close(told_fds[0]);
        return true;
    }
}

/* ---- A goroutine for which there is no stack ------------------------------------------------------------------------ */

static void tell_done(rn_chan(int) ch)
{
    rn_send(ch, 1);
}

/* It waits for one. A timer that is far away, or near again and again, gives none back: that is a panic. */
static int stack_timer_main(void)
{
    rn_chan(int) ch = rn_chan_make(int, 0);
    rn_ticker ticker = {0};

    rn_ticker_start(&ticker, RN_MILLISECOND);
    rn_go_with(RN_ATTR(.stack_size = 1 << 30), tell_done, ch);
    switch (rn_select(rn_on_recv(ch, NULL), rn_on_timeout(RN_HOUR))) {
    case 0:
        return 0;
    default:
        return 3;
    }
}

/* Memory comes back: it runs. */
static int stack_back_main(void)
{
    struct rlimit little, much;
    rn_chan(int) ch = rn_chan_make(int, 0);

    RIGHT(getrlimit(RLIMIT_AS, &much) == 0);
    little = much;
    little.rlim_cur = (rlim_t)(address_space() + (256 << 20));
    RIGHT(setrlimit(RLIMIT_AS, &little) == 0);
    rn_go_with(RN_ATTR(.stack_size = 1 << 30), tell_done, ch);
    RIGHT(rn_select(rn_on_recv(ch, NULL), rn_on_timeout(RN_MILLISECOND)) == 1);
    RIGHT(setrlimit(RLIMIT_AS, &much) == 0);
    RIGHT(rn_select(rn_on_recv(ch, NULL), rn_on_timeout(RN_HOUR)) == 0);
    rn_chan_release(ch);
    return 0;
}

static int stack_timer(void)
{
    return rn_run(stack_timer_main);
}
static int stack_back(void)
{
    return rn_run(stack_back_main);
}

/* --------------------------------------------------------------------------------------------------------------- */

static bool wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc == 1;
}

int main(int argc, char **argv)
{
    static const struct condition conditions[] = {
        {"none", nothing, 0, false, 0},
        {"space", limit_space, 256 << 10, true, 0},
        {"space", limit_space, 1 << 20, true, 0},
        {"space", limit_space, 4 << 20, true, 0},
        {"space", limit_space, 10 << 20, true, 0},
        {"space", limit_space, 20 << 20, true, 0},
        {"space", limit_space, 40 << 20, true, 0},
        {"space", limit_space, 66 << 20, true, 0},
        {"space", limit_space, 80 << 20, true, 0},
        {"space", limit_space, 140 << 20, true, 0},
        {"space", limit_space, 300 << 20, true, 0},
        {"threads", limit_threads, 1, true, 0},
        {"threads", limit_threads, 2, true, 0},
        {"threads", limit_threads, 3, true, 0},
        {"threads", limit_threads, 4, true, 0},
        {"threads", limit_threads, 6, true, 0},
        {"membarrier", refuse_membarrier, EPERM, false, 0},
        {"membarrier", refuse_membarrier, ENOSYS, false, 0},
        {"io_uring", refuse_io_uring, EPERM, false, 0},
        {"madvise", refuse_madvise, EPERM, false, 0},
        {"guards", refuse_guards, EINVAL, false, 0},
        {"guards-at-all", refuse_mprotect_too, EPERM, true, 0}, /* nor can libc make threads then */
        {"container", refuse_much, EPERM, false, 0},
        {"mlockall", lock_memory, 0, false, 0},
        {"one-cpu", one_cpu, 0, false, 1},
        {"quota", enter_cgroup, 0, false, 1},
    };
    static const struct condition no_guards = {"mappings", refuse_guards, EINVAL, false, 0};
    static const struct program fill = {"fill", fill_mappings, false, false};
    /* Programs for conditions of their own. needs: the text with which it must end; NULL: 0. */
    static const struct {
        struct condition condition;
        struct program program;
        const char *needs;
    } special[] = {
        {{"locked", limit_threads, 1, false, 0}, {"alone", locked_alone, false, false}, NULL},
        {{"locked", limit_threads, 2, false, 0}, {"alone", locked_alone, false, false}, NULL},
        {{"locked", limit_threads, 3, false, 0}, {"alone", locked_alone, false, false}, NULL},
        {{"locked", limit_threads, 3, false, 0}, {"pair", locked_pair, false, false}, NULL},
        {{"locked", limit_threads, 4, false, 0}, {"pair", locked_pair, false, false}, NULL},
        {{"locked", limit_threads, 1, false, 0}, {"kind", locked_kind, false, false}, NULL},
        {{"locked", limit_threads, 2, false, 0}, {"kind", locked_kind, false, false}, NULL},
        {{"locked", limit_threads, 3, false, 0}, {"kind", locked_kind, false, false}, NULL},
        {{"locked", limit_threads, 1, true, 0}, {"last", locked_last, false, false}, NO_THREAD},
        {{"locked", limit_threads, 2, true, 0}, {"last", locked_last, false, false}, NO_THREAD},
        {{"stacks", limit_space, 500 << 20, true, 0},
         {"timer", stack_timer, false, false},
         NO_STACK},
        {{"stacks", nothing, 0, false, 0}, {"back", stack_back, false, false}, NULL},
    };

    signal(SIGPIPE, SIG_IGN);
    if (wanted("quota", argc, argv) && !make_cgroup())
        cgroup[0] = 0;
    for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++)
        for (const struct program *p = programs; p->name; p++)
            if (wanted(conditions[i].name, argc, argv))
                try_one(&conditions[i], p);
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        if (wanted(special[i].condition.name, argc, argv)) {
            if (special[i].program.run == locked_alone && !answerer_make()) {
                perror("answerer");
                return 2;
            }
            must_say = special[i].needs;
            try_one(&special[i].condition, &special[i].program);
            must_say = NULL;
            if (special[i].program.run == locked_alone)
                close(told_fds[1]);
        }
    if (wanted("mappings", argc, argv))
        try_one(&no_guards, &fill);
    if (cgroup[0])
        rmdir(cgroup);
    printf("%d runs, %d failed\n", ran, failed);
    return failed != 0 || ran == 0;
}
