/* SPDX-License-Identifier: MIT */
/*
 * err.h - errors are negative errno values; a message may travel with one.
 *
 * Messages belong to the goroutine that attaches them, or to the plain thread; the last four codes are kept. All calls
 * here work from any thread and never wait.
 */
#ifndef RUNNEL_ERR_H
#define RUNNEL_ERR_H

#include <runnel/base.h>

RN__BEGIN

/* An error with its message, to be copied, stored, or sent through a channel. */
typedef struct rn_error {
    int code;       /* a negative errno value; 0 means no error */
    char text[124]; /* a string; empty when the code's standard text is meant */
} rn_error;

/*
 * Attach a message to code, for rn_errmsg in this goroutine, and return code.
 *
 *   code  a negative errno value; 0 or more is returned as it is, with nothing attached
 *   fmt   as printf; the text is cut at 123 bytes. rn_errmsg may be among the arguments.
 *
 * May allocate, once per goroutine; without memory the message is lost, the code not.
 */
RN__API int rn_errorf(int code, const char *fmt, ...) RN__PRINTF(2, 3);

/*
 * The message this goroutine last attached to that very code, else the code's standard text. rn_errorf,
 * rn_error_raise, rn_group_wait, rn_flight_do and rn_ctx_cause attach, and the calls whose comment says that
 * rn_errmsg tells more. An error that comes without a message, as rn_ctx_err's or rn_read's, leaves an older one
 * of the same code in place: attach what you know when you return it.
 *
 * Returns a string, never NULL ("no error" for 0 or more), that is valid until this goroutine attaches its next
 * messages or ends.
 */
RN__API const char *rn_errmsg(int code);

/* The error as a value: code, and the message that is attached to it; without one text is empty, which stands for
 * the standard text. 0 or more: no error. */
RN__API rn_error rn_error_of(int code);

/* Attach e's message to its code in this goroutine, and return the code. With an empty text, what is attached to the
 * code is forgotten. e may be NULL: 0. */
RN__API int rn_error_raise(const rn_error *e);

/*
 * End the process: the message as "panic: ...", the goroutine's identity and stack on standard error, then all
 * others' (RUNNEL_TRACEBACK=single: not those), exit status 2 (RUNNEL_TRACEBACK=crash: abort, for a core). Deferred calls
 * and atexit functions do not run. fmt as printf.
 */
RN__NORETURN RN__API void rn_panic(const char *fmt, ...) RN__PRINTF(1, 2);

RN__END
#endif
