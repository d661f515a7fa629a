/* SPDX-License-Identifier: MIT */
/*
 * driver.c - each call that the library makes of libc and the kernel fails in turn, in each of the programs.
 *
 *     PROGRAM [--program NAME] [--kind NAME] [--nth N] [--every N]
 *
 * For each program and kind of fault: the calls of a run without faults are counted, and then each of them fails, once
 * alone and once with all that follow. A run is a process. It must end with the right result and nothing left behind,
 * or with one of the documented panics; by a signal, with another text, or not in time is a failure.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <runnel.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inject.h"
#include "programs.h"

enum { TIMEOUT = 20 };

/* The documented ends for want of memory or threads. */
static const char *const documented[] = {
    "panic: out of memory for a goroutine's stack",
    "panic: out of memory for rn_go_copy",
    "panic: out of memory for a timer",
    "panic: out of memory for a timer's channel",
    "panic: out of memory for an after-function",
    "panic: out of memory for a flight",
    "panic: out of memory for a group",
    "panic: out of memory for a deferred call",
    "panic: makechan: out of memory",
    "panic: rn_run: out of memory",
    "panic: rn_ctx_with_signals: no thread to be had",
    "panic: no thread to be had for goroutines that can run",
};
/* And of a program that says so. */
static const struct {
    unsigned of;
    const char *text;
} of_programs[] = {
    {PANICS_GOROUTINE, "panic: out of memory for a goroutine"},
    {PANICS_CONTEXT, "panic: out of memory for a context"},
    {PANICS_CONTEXT, "panic: out of memory for a context's timer"},
    {PANICS_SERVER, "panic: httpd: out of memory"},
};

/* What is told of a run after the library's destructor. */
struct told {
    long counts[FAULT_KINDS], hits;
    long left[3]; /* of blocks, mappings and descriptors */
};
static const char *const left_name[3] = {"blocks", "mappings", "descriptors"};

struct end {
    int status;
    char text[4096];
    struct told told;
    bool left; /* more is left than may be */
};

static int one(const struct program *p, enum fault_kind kind, long nth, long more)
{
    int result;

    fault_set(kind, nth, more);
    result = p->run();
    return result;
}

static long descriptors(void)
{
    long n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* What is left is looked at after the library's destructor has run. */
static int exit_pipe = -1;
static long descriptors_before;
__attribute__((destructor(101))) static void look_after(void)
{
    struct told told;
    ssize_t n;

    if (exit_pipe < 0)
        return;
    for (int k = 0; k < FAULT_KINDS; k++)
        told.counts[k] = fault_count((enum fault_kind)k);
    told.hits = fault_hits();
    told.left[0] = fault_blocks();
    told.left[1] = fault_mappings();
    told.left[2] = descriptors() - descriptors_before;
    n = write(exit_pipe, &told, sizeof told);
    (void)n;
}

static void run_child(const struct program *p, enum fault_kind kind, long nth, long more,
                      struct end *e)
{
    int err_pipe[2], count_pipe[2];
    size_t used = 0;
    ssize_t got;
    pid_t pid;

    memset(e, 0, sizeof *e);
    fflush(NULL);
    if (pipe(err_pipe) != 0 || pipe(count_pipe) != 0) {
        perror("pipe");
        exit(2);
    }
    pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(2);
    }
    if (pid == 0) {
        close(err_pipe[0]);
        close(count_pipe[0]);
        dup2(err_pipe[1], STDERR_FILENO);
        close(err_pipe[1]);
        exit_pipe = count_pipe[1];
        alarm(TIMEOUT);
        fault_forget();
        if (rn_set_procs(2) != 0)
            _exit(3);
        descriptors_before = descriptors();
        exit(one(p, kind, nth, more));
    }
    close(err_pipe[1]);
    close(count_pipe[1]);
    for (;;) {
        char rest[4096];
        size_t room = sizeof e->text - 1 - used;

        got = read(err_pipe[0], room ? e->text + used : rest, room ? room : sizeof rest);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        used += room ? (size_t)got : 0;
    }
    e->text[used] = 0;
    if (read(count_pipe[0], &e->told, sizeof e->told) != (ssize_t)sizeof e->told)
        memset(&e->told, 0, sizeof e->told);
    close(err_pipe[0]);
    close(count_pipe[0]);
    while (waitpid(pid, &e->status, 0) < 0 && errno == EINTR)
        ;
}

static bool begins_with(const char *text, const char *panic)
{
    size_t n = strlen(panic);

    return strncmp(text, panic, n) == 0 && text[n] == '\n';
}

static bool is_documented(const struct program *p, const char *text)
{
    for (size_t i = 0; i < sizeof documented / sizeof *documented; i++)
        if (begins_with(text, documented[i]))
            return true;
    for (size_t i = 0; i < sizeof of_programs / sizeof *of_programs; i++)
        if (p->panics & of_programs[i].of && begins_with(text, of_programs[i].text))
            return true;
    return false;
}

/* Kinds of which the library can do without: the result must be right. */
static bool must_succeed(enum fault_kind kind)
{
    return kind == FAULT_PROTECT || kind == FAULT_WAIT;
}

/* most: what a run without faults has left, or NULL where that is to be nothing. Which of the tables for descriptors are
 * there in the end depends on who had to wait, and a refusal may make somebody wait. */
enum { TABLES = 2 };
static bool is_right(const struct program *p, struct end *e, enum fault_kind kind,
                     const struct end *most)
{
    if (!WIFEXITED(e->status))
        return false;
    for (int i = 0; i < 3 && WEXITSTATUS(e->status) == 0; i++)
        e->left |= most != e &&
                   e->told.left[i] > (most ? most->told.left[i] + (i == 1 ? TABLES : 0) : 0);
    if (WEXITSTATUS(e->status) == 0)
        return !e->left;
    return WEXITSTATUS(e->status) == 2 && !must_succeed(kind) && is_documented(p, e->text);
}

/* How many fail after the first: all, but a thread is to be had, a sleep possible and a connection accepted in the end. */
static long many(enum fault_kind kind)
{
    return kind == FAULT_THREAD || kind == FAULT_WAIT || kind == FAULT_CALL ? 20 : LONG_MAX / 2;
}

static void tell(const struct program *p, enum fault_kind kind, long nth, long more,
                 const struct end *e)
{
    printf("%s: %s %ld%s: ", p->name, kind < FAULT_KINDS ? fault_name[kind] : "nothing", nth,
           more ? " and after" : "");
    if (WIFSIGNALED(e->status) && WTERMSIG(e->status) == SIGALRM)
        printf("did not end in %d s\n", TIMEOUT);
    else if (WIFSIGNALED(e->status))
        printf("ended by signal %d\n", WTERMSIG(e->status));
    else
        printf("status %d\n", WEXITSTATUS(e->status));
    for (int i = 0; i < 3 && e->left; i++)
        printf("    left behind: %ld %s\n", e->told.left[i], left_name[i]);
    if (e->text[0])
        printf("    %.400s\n", e->text);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *only_program = NULL, *only_kind = NULL;
    long only_nth = 0, every = 1;
    int failed = 0, runs = 0, panics = 0;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--program") == 0)
            only_program = argv[i + 1];
        else if (strcmp(argv[i], "--kind") == 0)
            only_kind = argv[i + 1];
        else if (strcmp(argv[i], "--nth") == 0)
            only_nth = atol(argv[i + 1]);
        else if (strcmp(argv[i], "--every") == 0)
            every = atol(argv[i + 1]);
    }
    signal(SIGPIPE, SIG_IGN);
    for (const struct program *p = programs; p->name; p++) {
        struct end whole, e;

        if (only_program && strcmp(only_program, p->name) != 0)
            continue;
        run_child(p, FAULT_NONE, 0, 0, &whole);
        if (!is_right(p, &whole, FAULT_WAIT, p->keeps ? &whole : NULL)) {
            tell(p, FAULT_NONE, 0, 0, &whole);
            failed++;
            continue;
        }
        for (int k = 0; k < FAULT_KINDS; k++) {
            enum fault_kind kind = (enum fault_kind)k;
            long calls = whole.told.counts[k];
            long step = calls > 60 * every ? calls / 60 : every;

            if (only_kind && strcmp(only_kind, fault_name[k]) != 0)
                continue;
            for (long nth = 1; nth <= calls; nth += nth < 20 ? 1 : step) {
                if (only_nth && nth != only_nth)
                    continue;
                for (int and_after = 0; and_after < 2; and_after++) {
                    long more = and_after ? many(kind) : 0;

                    run_child(p, kind, nth, more, &e);
                    runs++;
                    if (!is_right(p, &e, kind, p->keeps ? &whole : NULL)) {
                        tell(p, kind, nth, more, &e);
                        failed++;
                    } else if (WEXITSTATUS(e.status) != 0) {
                        panics++;
                    }
                }
            }
        }
    }
    printf("%d runs, %d ended in a documented panic, %d failed\n", runs, panics, failed);
    return failed != 0 || runs == 0;
}
