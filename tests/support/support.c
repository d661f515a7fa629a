/* SPDX-License-Identifier: MIT */
/*
 * support.c - bodies run as goroutines, children that are expected to die, and waiting.
 */
#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Read by the sanitizers' runtimes, if there are any. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1"; /* lack of memory is what some tests are about */
}
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

/* A test that leaves goroutines behind leaves what they hold, too. */
static bool leaves_behind;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return leaves_behind;
}

void test_leaves_behind(void)
{
    leaves_behind = true;
}

/* The machine's time: a test may have stopped the library's clock. */
static int64_t machine_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * RN_SECOND + t.tv_nsec;
}

void test_let_run(void)
{
    /* Others may be on another thread, and a yield with nobody else queued takes next to no time. */
    int64_t until = machine_ns() + 50 * RN_MICROSECOND;

    do {
        for (int i = 0; i < 200; i++)
            rn_yield();
    } while (machine_ns() < until);
}

size_t test_parked(void)
{
    struct rn_metrics m;

    (void)rn_metrics(&m, sizeof m);
    return m.waiting;
}

uint64_t test_waits(void)
{
    struct rn_metrics m;

    rn_metrics(&m, sizeof m);
    return m.parks;
}

void test_expect_settled(const char *file, int line)
{
    size_t left = rn_settle(60 * RN_SECOND);

    if (left != 0)
        test_fail(file, line, "%zu goroutines are left", left);
}

int test_run_body(const char *file, int line, void (*body)(void), bool leaves)
{
    leaves_behind = leaves;
    body();
    if (!leaves)
        test_expect_settled(file, line);
    return 0;
}

const char *test_expect_death(const char *file, int line, void (*body)(void), const char *text)
{
    static char report[65536];
    size_t used = 0, length = strlen(text);
    int ends[2], status;
    ssize_t got;
    pid_t pid;

    fflush(NULL);
    if (pipe(ends) != 0)
        test_fail(file, line, "pipe: %s", strerror(errno));
    pid = fork();
    if (pid < 0)
        test_fail(file, line, "fork: %s", strerror(errno));
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        unsetenv("RUNNEL_TRACEBACK");
        body();
        _exit(0);
    }
    close(ends[1]);
    /* What does not fit is read all the same, so that the child never waits for us. */
    for (;;) {
        char rest[4096];
        size_t room = sizeof(report) - 1 - used;

        got = read(ends[0], room ? report + used : rest, room ? room : sizeof(rest));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        used += room ? (size_t)got : 0;
    }
    report[used] = 0;
    close(ends[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;

    if (WIFSIGNALED(status))
        test_fail(file, line, "expected \"%s\"; ended by signal %d:\n%.900s", text,
                  WTERMSIG(status), report);
    if (WEXITSTATUS(status) != 2)
        test_fail(file, line, "expected \"%s\" and status 2; status is %d:\n%.900s", text,
                  WEXITSTATUS(status), report);
    for (const char *at = report; at; at = UNDER_TSAN || UNDER_ASAN ? strchr(at, '\n') : NULL) {
        at += *at == '\n';
        if (strncmp(at, text, length) == 0 && at[length] == '\n')
            return at;
    }
    test_fail(file, line, "expected \"%s\"; the report is:\n%.900s", text, report);
}
