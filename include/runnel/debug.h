/* SPDX-License-Identifier: MIT */
/*
 * debug.h - see what all goroutines do, and which are left over.
 *
 * A report lists goroutines as panics and deadlocks do:
 *
 *     goroutine 7 "reader" {peer="10.0.0.7"} [chan receive, 3 minutes]:
 *       for 3m12s on 0x55d2c81f2a0
 *             reader at server.c:41 [0x55d2c67e1b3]
 *             serve at server.c:88 [0x55d2c67e4d0]
 *     created by goroutine 1 at
 *             program at server.c:102 [0x55d2c67e66e]
 *
 * that is: its id, name and labels (rn_set_label); its state, or the reason why it waits, with Go's whole minutes once there is one;
 * for how long (to a few milliseconds) and on which channel, mutex or other object; its stack; who started it
 * and where. Goroutines in the same state, with the same stack, started at the same place are one entry:
 * "goroutines 2-51 [chan receive], 50 alike:". Calls inside the library are left out but for the one that the
 * program made.
 *
 * A stack is walked by frame pointers: compile with -fno-omit-frame-pointer, else only the function that made
 * the call into the library is sure to be there. Functions have names if they are exported; file, line and
 * all other names come with librunnel-symbols, which needs only be linked, or preloaded.
 *
 * Goroutines go on while a report is made, so it is a glance, not a snapshot, at all of them; each entry is
 * right in itself. Of who waits for a mutex or a read-write mutex it says which goroutine has locked it, if that is
 * known for sure, and at the end who waits for whom in a circle. A running goroutine's stack is not to be had, except the caller's own.
 */
#ifndef RUNNEL_DEBUG_H
#define RUNNEL_DEBUG_H

#include <runnel/base.h>
#include <stddef.h>
#include <stdint.h>

RN__BEGIN

/*
 * Write a report of all goroutines to fd, the caller first. 10,000 take 5 to 40 milliseconds; the process's first with
 * librunnel-symbols, which reads the debug information of the program and its libraries, about a tenth of a second more.
 * From any thread, not from a signal handler. Takes no lock that anything but the start and end of the runtime
 * holds, does not use malloc, waits for nothing but fd, and keeps errno.
 */
RN__API void rn_dump(int fd);

/*
 * With RUNNEL_LOCKS=1 in the environment, read when the runtime starts, goroutines, and plain threads, that wait for each other's mutexes
 * and read-write mutexes in a circle are reported on standard error when the circle closes, each circle once; with
 * RUNNEL_LOCKS=fatal the process then ends with status 2, for tests. Whoever has locked one is taken for the one who
 * will unlock it: a program that locks a mutex in one goroutine and unlocks it in another may be reported wrongly.
 * Waits with a context are in no circle. docs/debugging.md says what is not found.
 *
 * If librunnel-locks is linked, or preloaded, the same is done about goroutines that wait, yield or end while their thread has
 * a pthread mutex, rwlock or spin lock, a mtx_t or FILE locked that they have locked: each such place once.
 */

/*
 * How many goroutines there are besides the caller. If there are any and fd is not negative, report them there.
 * One that is about to end counts: call rn_settle first.
 *
 * Then it says which of them can never wake, because nothing that could wake them is reachable any more from the
 * program's data, heap, threads, or other goroutines: if that can be told for sure, which takes that nothing else runs.
 * All of the process's memory is looked at for it. docs/debugging.md says what is missed. Contexts that were made with
 * RUNNEL_LEAKS set, and that nobody can end any more since nothing refers to them, are reported in the same way.
 *
 * With RUNNEL_LEAKS=1 in the environment the same is reported on standard error at the end of rn_run, and at
 * exit, after goroutines have had a tenth of a second to end (not where a goroutine calls exit). With
 * RUNNEL_LEAKS=fatal the process then ends with status 2, for tests.
 * As for rn_dump otherwise.
 */
RN__API size_t rn_leaks(int fd);

/*
 * With RUNNEL_STACKS=1 in the environment, read when the runtime starts: how deep stacks got, for each place where
 * goroutines are started, deepest first, on standard error at the end of rn_run and at exit; and now, on fd, with what those
 * that have not ended have used so far.
 *
 *     10000 goroutines: at most 2104 (goroutine 17), on average 1880 of 114688 usable bytes
 *             serve at server.c:52 [0x55d2c67e4d0]
 *
 * Of .stack_size 16 KiB are not usable (4 KiB below 128 KiB): the guard's. A stack must also have room for signals, about
 * 4 KiB, and for what was not reached this time. Returns 0, or -ENODATA: without RUNNEL_STACKS, and under sanitizers and
 * Valgrind.
 */
RN__API int rn_stacks(int fd);

/*
 * From now on signal sig writes the report to standard error, by a thread made for that; after SIGQUIT the
 * process then ends with status 2, as a Go program's. RUNNEL_DUMP_SIGNAL=QUIT (or USR1, USR2) in the
 * environment does the same at the start of the runtime if the signal has its default disposition.
 * For the life of the process: a handler installed later takes its place.
 * Returns 0, -EINVAL if sig cannot be caught, -EAGAIN or -ENOMEM if there is no thread to be had.
 */
RN__API int rn_dump_on_signal(int sig);

/*
 * Where reports ask what lies at an address: librunnel-symbols sets it. find calls frame once for each
 * function at pc, innermost (inlined) first, with function, file or both, and returns how often; the strings
 * need only live for the call. find is called while the process may be broken: from any thread, on a
 * goroutine's stack, with any lock held. NULL: dladdr only.
 */
typedef void rn_frame_fn(void *arg, const char *function, const char *file, int line);
RN__API void rn_set_symbolizer(int (*find)(uintptr_t pc, rn_frame_fn *frame, void *arg));

/* Between the library and librunnel-locks, which tells what a goroutine that leaves its thread has locked there. */
#define RN__HELD_CALLS 6
struct rn__held {
    const void *lock;
    const char *what;
    uintptr_t
        at[RN__HELD_CALLS]; /* return addresses of whoever locked it, innermost first; 0: no more */
};
/* leave: goroutine id leaves the calling thread; what it has locked, up to room, which is then forgotten. */
RN__API void rn__set_held(size_t (*leave)(uint64_t id, struct rn__held *ret, size_t room));
/* The id of the calling goroutine and where frame and its callers return to; 0 if it is none. */
RN__API uint64_t rn__goroutine_calls(const void *frame, uintptr_t *ret, size_t room);

RN__END

#endif
