/* SPDX-License-Identifier: MIT */
/* base.h - attributes and small tools that every file of the library may use. */
#ifndef RN_SRC_BASE_H
#define RN_SRC_BASE_H

#include <assert.h>
#include <errno.h>
#include <runnel/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define COLD __attribute__((noinline, cold))
#define NOINLINE __attribute__((noinline))
/* Where a call would cost more than what it does, on every goroutine's way. */
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define ALIGNED(n) __attribute__((aligned(n)))
#define CACHE_LINE 64
/* Bring the line at p, whatever it is, near: into the second cache, for the first is full of other things by then. */
static inline void fetch_ahead(const void *p)
{
    __builtin_prefetch(p, 0, 2);
}
#define container_of(p, type, member) ((type *)(void *)((char *)(p) - offsetof(type, member)))

/* On the tools' side of a fiber switch nothing may be instrumented; the library never is, but a
 * user may compile it into an instrumented program by accident. */
#define NO_SANITIZE __attribute__((no_sanitize("address", "thread", "undefined")))

/* err is the kernel's, and nobody has attached a message: one that this goroutine has attached to the same code before is
 * about something else. For rn_errmsg in a message of ours. */
static inline int error_bare(int err)
{
    rn_error bare = {.code = err};

    return rn_error_raise(&bare);
}

#ifdef __clang_analyzer__ /* does not see into another file: rn_errorf returns what it is given, an error */
static inline int rn__an_error(int code)
{
    if (code >= 0)
        __builtin_unreachable();
    return code;
}
#define rn_errorf(code, ...) (rn_errorf(code, __VA_ARGS__), rn__an_error(code))
#endif

#endif
