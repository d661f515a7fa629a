/* SPDX-License-Identifier: MIT */
/*
 * inject.h - what the library asks of libc and the kernel, made to fail.
 *
 * The programs of this folder are linked with the static library and with --wrap for each function below, so that
 * the library is as it is shipped; calls that libc makes by itself are not touched. A process counts the calls of
 * each kind; the one with the chosen number fails, or that one and all after it.
 */
#ifndef RN_TESTS_INJECT_H
#define RN_TESTS_INJECT_H

#include <stdbool.h>
#include <stddef.h>

enum fault_kind {
    FAULT_ALLOC,   /* malloc and its like, strdup: NULL */
    FAULT_MAP,     /* mmap, also as a system call: ENOMEM */
    FAULT_PROTECT, /* madvise and mprotect: refused */
    FAULT_THREAD,  /* pthread_create: EAGAIN */
    FAULT_WAIT,    /* a wait for a futex or in epoll returns at once, as after a signal */
    FAULT_POLL,    /* epoll, eventfd, timerfd, pipe2: refused */
    FAULT_CALL,    /* sockets, files, processes: an error that the call may have */
    FAULT_KINDS,
    FAULT_NONE = FAULT_KINDS
};
extern const char *const fault_name[FAULT_KINDS];

/* From now on, the nth call (from 1) of the kind fails, and the more calls after it. */
void fault_set(enum fault_kind kind, long nth, long more);
/* While on, nothing is counted and nothing fails. */
void fault_hold(bool on);
long fault_count(enum fault_kind kind);
/* Calls of the kind that were made to fail. */
long fault_hits(void);
/* Blocks and mappings that the library has and has not given back. */
long fault_blocks(void);
long fault_mappings(void);
/* Count them from here on: what another part of the process has had before does not matter. */
void fault_forget(void);

#endif
