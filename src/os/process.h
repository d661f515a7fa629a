/* SPDX-License-Identifier: MIT */
/*
 * process.h - child processes of the kernel's, and sets of descriptors. Results or negative errno values.
 */
#ifndef RN_SRC_OS_PROCESS_H
#define RN_SRC_OS_PROCESS_H

#include <sys/types.h>

#include "base/base.h"

/* What a child is to be. Nothing here is changed. */
struct os_spawn {
    const char *path;        /* the program's file */
    const char *const *argv; /* end with NULL */
    const char *const *env;  /* NULL: ours */
    const char *cwd;         /* NULL: ours */
    const int *fds;          /* the child's descriptors 0, 1, ..., by ours; all others are closed */
    int fd_count;
    bool own_group;
    uint64_t
        ignored; /* bit n - 1: signal n is ignored, although the process has a handler for it now */
    int64_t slack; /* of its timers, see rn__os_slack; 0: the calling thread's */
};
/* Start it; blocks until the program is executed. 0, or why not, with nothing left. */
int rn__os_spawn(const struct os_spawn *s, pid_t *ret_pid);

/* Is there a program at path? 0 or an error. */
int rn__os_program(const char *path);

/* A descriptor that is readable once pid has ended. -ENOSYS and the like: the kernel has none. */
int rn__os_pidfd(pid_t pid);
/* Wait until pid has ended, leaving it to be reaped. */
void rn__os_await(pid_t pid);
int rn__os_kill(pid_t pid, int signal);

struct os_end {
    int status; /* as of waitpid(2) */
    int64_t user_ns, system_ns, max_rss;
};
/* Reap pid, which has ended. 0; -ECHILD if somebody else has; -EAGAIN if it has not ended. */
int rn__os_reap(pid_t pid, struct os_end *ret_end);

/* A counter that is readable while it is not 0; and adding to it. */
int rn__os_event(void);
void rn__os_event_set(int fd);

/* A set of descriptors: itself a descriptor, readable while one of it is ready. */
int rn__os_set(void);
/* bit: what rn__os_set_ready reports for fd. */
int rn__os_set_add(int set, int fd, bool write, uint32_t bit);
void rn__os_set_remove(int set, int fd);
/* Those that are ready now, or until the time until. */
uint32_t rn__os_set_ready(int set, int64_t until);

#endif
