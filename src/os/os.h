/* SPDX-License-Identifier: MIT */
/*
 * os.h - what the library wants of the kernel. Linux, in linux.c; the one file that knows it.
 *
 * Functions that can fail return 0 or a negative errno value.
 */
#ifndef RN_SRC_OS_H
#define RN_SRC_OS_H

#include <pthread.h>
#include <signal.h>

#include "base/base.h"

/* Sleep while *word is value, until woken or until the monotonic time (ns; INT64_MAX: for ever). May wake
 * for no reason. */
void rn__os_futex_wait(uint32_t *word, uint32_t value, int64_t until);
/* Is word in memory of this process, and not in a guard? Its value does not matter. */
bool rn__os_is_there(const uint32_t *word);
/* Wake one, or all, who sleep on word. The word itself is not accessed and may be gone. */
void rn__os_futex_wake(uint32_t *word);

/* Without waiting: bit 0 if reading from fd would not block, bit 1 if writing would not, of those asked for; both for
 * errors. -EBADF if it is not open. */
int rn__os_poll(int fd, bool read, bool write);

/* Monotonic time, ns. */
int64_t rn__os_now(void);

/* Address space of size bytes, page-aligned, readable and writable, committed when touched. NULL: none. */
void *rn__os_map(size_t size);
void rn__os_unmap(void *at, size_t size);
/* Make [at, at + size) inaccessible, cheaply if the kernel can. -ENOMEM when the kernel has no more
 * mappings: the caller goes on unguarded. */
int rn__os_guard(void *at, size_t size);
/* Replace [at, at + size), a part of a mapping, by fresh zero pages. */
int rn__os_renew(void *at, size_t size);

/* Give the pages of [at, at + size), page-aligned memory of any kind, back; they read as zero from now on, or as before. */
void rn__os_forget(void *at, size_t size);
/* How many bytes, whole pages, from at on, which is page-aligned, have no memory yet; at most size. */
size_t rn__os_untouched(const void *at, size_t size);

/*
 * All of this process's data, as it is in memory: bytes is called with the address where n of them begin and a copy of them
 * in buffer, which has room bytes, 128 KiB or more. Of two pieces that touch, the second begins with the last word of the
 * first. What is mapped only, and was never touched, is left out, and so are devices, and pages of a file mapped shared
 * that are not in our page table. Negative if it cannot be done or stopped half way.
 */
struct os_memory {
    char *buffer;
    size_t room;
    void (*bytes)(struct os_memory *m, uintptr_t at, const char *byte, size_t n);
};
int rn__os_memory(struct os_memory *m);

/* CPUs this process may use: affinity mask and the cgroup quota of every ancestor. At least 1. */
int rn__os_cpus(void);
/* CPUs that the machine has. */
int rn__os_cpus_all(void);
/* Threads of this process now; negative if it cannot be known. */
int rn__os_threads(void);
/* Make every thread of this process pass a full fence, cheaply for them; at first ask whether the kernel allows it. */
bool rn__os_fence_all_start(void);
bool rn__os_fence_all(void); /* false: the kernel refuses it now */
/* A new thread, joinable; stack 0: the default size. quiet: it takes no signals. -EAGAIN: not now. */
int rn__os_thread_new(pthread_t *ret_thread, size_t stack, bool quiet, void *(*fn)(void *),
                      void *arg);
/* Where the calling thread's stack is, not a goroutine's that it runs. False: it cannot be known. */
bool rn__os_thread_stack(char **ret_lo, char **ret_hi);
/* Which signals the calling thread blocks. */
void rn__os_signal_mask(sigset_t *ret_mask);
void rn__os_signal_mask_set(const sigset_t *mask);
/* Keep all signals off the calling thread but those of its own faults. */
void rn__os_signals_block(sigset_t *ret_before);

/* Do the program and this library have all their functions bound, or is one bound when it is called first? */
bool rn__os_bound_at_start(void);
/* The kernel's number of the calling thread; and whether a thread of this process sleeps in the kernel (true if it
 * cannot be known). */
int rn__os_thread_id(void);
bool rn__os_thread_sleeps(int tid);
void rn__os_thread_yield(void);
void rn__os_thread_sleep(int64_t ns);
/* By how much the kernel may end the calling thread's timed waits late, in ns, to wake several at once: its timer slack, which
 * threads and children that it makes have too. Below 0: it cannot be known. */
int64_t rn__os_slack(void);
void rn__os_slack_set(int64_t ns);

/* A fault of this thread: at an address (0: the signal was sent), by the code at pc with this frame pointer. no_room: of no
 * code, there is no room on the stack for what the kernel saves when it calls a handler; address is the stack pointer. */
struct os_fault {
    uintptr_t address, pc, fp;
    bool no_room;
};
/* Have fn called on each, if nobody handles them yet; true if so. When it returns the fault takes its default
 * course. fn runs on the thread's signal stack if it has one. */
bool rn__os_fault_begin(void (*fn)(const struct os_fault *fault));
void rn__os_fault_end(void);
/* A signal stack for the calling thread; NULL if it has one already, or there is no memory. Freed by the same
 * thread; NULL is fine. */
void *rn__os_signal_stack_new(void);
void rn__os_signal_stack_free(void *stack);
/* End the process if it is still here then. */
void rn__os_end_within(unsigned seconds);

/* A file for writing, made or emptied: its descriptor, or a negative errno value. */
int rn__os_create(const char *name);
/* Write all of it, as far as fd takes it. */
void rn__os_write(int fd, const char *text, size_t size);

#endif
