/* SPDX-License-Identifier: MIT */
/*
 * process.h - what the tests of this folder have beyond tests/support: child processes whose end and words
 * are looked at, and what a process has.
 *
 * Tests do not sleep to make something happen first: they hand over, or they poll. Where a test says
 * "and nothing happens", it lets the others run for a while, so that a fault has a chance to show; such
 * a test can fail to notice a fault, but it cannot report one that is not there.
 */
#ifndef RN_TESTS_RUNTIME_PROCESS_H
#define RN_TESTS_RUNTIME_PROCESS_H

#include "support.h"

/* ---- Child processes --------------------------------------------------------------------------- */

struct child {
    int status; /* as of waitpid */
    char *said; /* what it wrote to stdout and stderr; to be freed */
};

/* Run fn in a forked process and wait for its end. fn's return is exit status 0. The test must not have
 * started the runtime. A child that takes too long is killed, and the test fails. */
struct child run_child(void (*fn)(void));
/* The same for another program: argv as for execv, with NAME=VALUE strings added to the environment;
 * env may be NULL. */
struct child run_program(const char *const argv[], const char *const env[]);

void child_exited(const char *file, int line, const struct child *c, int status);
void child_killed(const char *file, int line, const struct child *c, int sig);
void child_said(const char *file, int line, const struct child *c, const char *a, const char *b);
#define CHECK_EXIT(c, status) child_exited(__FILE__, __LINE__, (c), (status))
#define CHECK_SIGNAL(c, sig) child_killed(__FILE__, __LINE__, (c), (sig))
/* The text occurs in what the child wrote. */
#define CHECK_SAYS(c, text) child_said(__FILE__, __LINE__, (c), (text), "")
/* Both occur in one line, in this order. */
#define CHECK_SAYS_LINE(c, a, b) child_said(__FILE__, __LINE__, (c), (a), (b))

/* fn, on the plain thread of a child, panics with this text, and the process ends with status 2. */
#define CHECK_PANICS(fn, text) (void)test_expect_death(__FILE__, __LINE__, (fn), "panic: " text)
#define CHECK_FATAL(fn, text)                                                                      \
    (void)test_expect_death(__FILE__, __LINE__, (fn), "fatal error: " text)

#define SKIP(why) test_skip(why)

/* This process is about to be killed, on purpose: it leaves no core file. */
void no_core_file(void);

/* ---- What the process has ----------------------------------------------------------------------- */

/* From now on this process may use as much time as one CPU has, by a cgroup of its own. False: none can be made. */
struct quota {
    char root[40], folder[100];
};
bool quota_begin(struct quota *q);
void quota_end(const struct quota *q);

int count_threads(void);
/* Does this thread of the process sleep in the kernel? */
bool thread_sleeps(long tid);
/* The same, before a test starts any. */
int count_threads_at_rest(void);
int count_maps(void);
int count_fds(void);
long rss_kib(void);
long vm_kib(void);

#endif
