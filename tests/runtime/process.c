/* SPDX-License-Identifier: MIT */
/* process.c - child processes, and what a process has. */
#define _GNU_SOURCE
#include "process.h"

#include <pthread.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHILD_SECONDS = 60 };

/* ---- Child processes --------------------------------------------------------------------------- */

static double seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What children said is often looked at and forgotten: for leak checkers. */
static char *last_said[64];
static unsigned last_at;

/* Read all that the child says, and reap it. */
static struct child watch(pid_t pid, int fd)
{
    struct child c = {0};
    size_t n = 0, cap = 1 << 16;
    double end = seconds_now() + CHILD_SECONDS * (test_is_slow() ? 4 : 1);
    bool late = false;

    c.said = malloc(cap + 1);
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int left = (int)((end - seconds_now()) * 1000);
        ssize_t got;

        if (!late && poll(&p, 1, left < 0 ? 0 : left) == 0) {
            late = true;
            kill(pid, SIGKILL);
        }
        if (n == cap) {
            cap *= 2;
            c.said = realloc(c.said, cap + 1);
        }
        got = read(fd, c.said + n, cap - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    c.said[n] = 0;
    last_said[last_at++ % 64] = c.said;
    close(fd);
    while (waitpid(pid, &c.status, 0) < 0 && errno == EINTR)
        ;
    if (late)
        test_fail(__FILE__, __LINE__, "the child hung; it said:\n%s", c.said);
    return c;
}

struct child run_child(void (*fn)(void))
{
    int fds[2];
    pid_t pid;

    if (pipe(fds) < 0)
        test_fail(__FILE__, __LINE__, "pipe: %s", strerror(errno));
    fflush(NULL);
    pid = fork();
    if (pid < 0)
        test_fail(__FILE__, __LINE__, "fork: %s", strerror(errno));
    if (pid == 0) {
        dup2(fds[1], 1);
        dup2(fds[1], 2);
        close(fds[0]);
        close(fds[1]);
        fn();
        fflush(NULL);
        _exit(0);
    }
    close(fds[1]);
    return watch(pid, fds[0]);
}

struct child run_program(const char *const argv[], const char *const envp[])
{
    int fds[2];
    pid_t pid;

    if (pipe(fds) < 0)
        test_fail(__FILE__, __LINE__, "pipe: %s", strerror(errno));
    fflush(NULL);
    pid = fork();
    if (pid < 0)
        test_fail(__FILE__, __LINE__, "fork: %s", strerror(errno));
    if (pid == 0) {
        dup2(fds[1], 1);
        dup2(fds[1], 2);
        close(fds[0]);
        close(fds[1]);
        for (size_t i = 0; envp && envp[i]; i++)
            putenv((char *)(uintptr_t)envp[i]);
        execv(argv[0], (char **)(uintptr_t)argv);
        _exit(127);
    }
    close(fds[1]);
    return watch(pid, fds[0]);
}

void no_core_file(void)
{
    const struct rlimit none = {0, 0};

    CHECK_EQ(setrlimit(RLIMIT_CORE, &none), 0);
}

void child_exited(const char *file, int line, const struct child *c, int status)
{
    if (!WIFEXITED(c->status) || WEXITSTATUS(c->status) != status)
        test_fail(file, line, "want exit status %d, got wait status 0x%x; it said:\n%s", status,
                  (unsigned)c->status, c->said);
}

void child_killed(const char *file, int line, const struct child *c, int sig)
{
    if (!WIFSIGNALED(c->status) || WTERMSIG(c->status) != sig)
        test_fail(file, line, "want death by signal %d, got wait status 0x%x; it said:\n%s", sig,
                  (unsigned)c->status, c->said);
}

void child_said(const char *file, int line, const struct child *c, const char *a, const char *b)
{
    for (const char *p = c->said; (p = strstr(p, a)) != NULL; p++) {
        const char *end = p + strcspn(p, "\n");
        const char *found = strstr(p + strlen(a), b);

        if (*b == 0 || (found && found < end))
            return;
    }
    test_fail(file, line, "no line with \"%s\"%s%s; the child said:\n%s", a, *b ? " and then " : "",
              b, c->said);
}

/* ---- What the process has ----------------------------------------------------------------------- */

static int count_entries(const char *path)
{
    DIR *d = opendir(path);
    int n = 0;

    if (!d)
        test_fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2; /* . and .. */
}

static void *ends_at_once(void *arg)
{
    return arg;
}

static bool write_to(const char *dir, const char *file, const char *text)
{
    char path[200];
    int fd;
    bool ok;

    snprintf(path, sizeof(path), "%s/%s", dir, file);
    fd = open(path, O_WRONLY);
    if (fd < 0)
        return false;
    ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return ok;
}

bool quota_begin(struct quota *q)
{
    const char *roots[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified"};
    char pid[20];

    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    for (int i = 0; i < 3; i++) {
        snprintf(q->root, sizeof(q->root), "%s", roots[i]);
        snprintf(q->folder, sizeof(q->folder), "%s/runnel-test-%s", roots[i], pid);
        if (mkdir(q->folder, 0755) < 0)
            continue;
        if ((write_to(q->folder, "cpu.max", "100000 100000") ||
             (write_to(q->folder, "cpu.cfs_period_us", "100000") &&
              write_to(q->folder, "cpu.cfs_quota_us", "100000"))) &&
            write_to(q->folder, "cgroup.procs", pid))
            return true;
        rmdir(q->folder);
    }
    return false;
}

void quota_end(const struct quota *q)
{
    char pid[20];

    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    if (!write_to(q->root, "cgroup.procs", pid))
        test_fail(__FILE__, __LINE__, "%s: %s", q->root, strerror(errno));
    rmdir(q->folder);
}

/* A detector may start a thread of its own with the first that a process makes. */
int count_threads_at_rest(void)
{
    pthread_t t;

    if (pthread_create(&t, NULL, ends_at_once, NULL) == 0)
        pthread_join(t, NULL);
    return count_threads();
}

int count_threads(void)
{
    return count_entries("/proc/self/task");
}

bool thread_sleeps(long tid)
{
    char path[64], state = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/self/task/%ld/stat", tid);
    f = fopen(path, "r");
    if (!f)
        test_fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
    if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
        test_fail(__FILE__, __LINE__, "%s is not as expected", path);
    fclose(f);
    return state == 'S';
}

int count_fds(void)
{
    return count_entries("/proc/self/fd") - 1; /* the one that reads it */
}

int count_maps(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    int n = 0;

    if (!f)
        test_fail(__FILE__, __LINE__, "/proc/self/maps: %s", strerror(errno));
    for (int ch; (ch = fgetc(f)) != EOF;)
        n += ch == '\n';
    fclose(f);
    return n;
}

static long statm(int field)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long v[2] = {0};

    if (!f || fscanf(f, "%ld %ld", &v[0], &v[1]) != 2)
        test_fail(__FILE__, __LINE__, "/proc/self/statm");
    fclose(f);
    return v[field] * (sysconf(_SC_PAGESIZE) / 1024);
}

long vm_kib(void)
{
    return statm(0);
}

long rss_kib(void)
{
    return statm(1);
}
