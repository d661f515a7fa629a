/* SPDX-License-Identifier: MIT */
/*
 * err.h - errors are negative errno values; a message may travel with one.
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
 * Never blocks. May allocate once per goroutine; without memory the message is lost, the code not.
 */
RN__API int rn_errorf(int code, const char *fmt, ...) RN__PRINTF(2, 3);

/*
 * The message this goroutine last attached to that very code (rn_errorf, rn_error_raise,
 * rn_group_wait, rn_ctx_err and rn_ctx_cause attach), else the code's standard text.
 *
 * Returns a string that is valid until this goroutine attaches its next messages or ends.
 */
RN__API const char *rn_errmsg(int code);

/* The error as a value: code and the message that rn_errmsg(code) would give. */
RN__API rn_error rn_error_of(int code);

/* Attach e's message to its code in this goroutine, and return the code. e may be NULL: 0. */
RN__API int rn_error_raise(const rn_error *e);

/*
 * End the process: the message as "panic: ...", the goroutine's identity and stack on stderr, exit
 * status 2 (RUNNEL_TRACEBACK=crash: abort, for a core). Deferred calls do not run.
 */
RN__API void rn_panic(const char *fmt, ...) RN__PRINTF(1, 2) __attribute__((noreturn));

RN__END
#endif
