/* SPDX-License-Identifier: MIT */
/*
 * copy.c - copying elements and raw frames.
 *
 * Not memcpy: tools intercept that and would take the copy for an access of whoever happens to run it,
 * to memory of another goroutine (decision 21). Volatile word accesses are not made into calls.
 */
#include "sched/sched.h"

typedef uint64_t __attribute__((may_alias, aligned(1))) any64;
typedef uint32_t __attribute__((may_alias, aligned(1))) any32;
typedef uint16_t __attribute__((may_alias, aligned(1))) any16;

void rn__copy(void *to, const void *from, size_t size)
{
    volatile char *t = to;
    const volatile char *f = from;

    while (size >= 8) {
        *(volatile any64 *)t = *(const volatile any64 *)f;
        t += 8, f += 8, size -= 8;
    }
    if (size & 4) {
        *(volatile any32 *)t = *(const volatile any32 *)f;
        t += 4, f += 4;
    }
    if (size & 2) {
        *(volatile any16 *)t = *(const volatile any16 *)f;
        t += 2, f += 2;
    }
    if (size & 1)
        *t = *f;
}

void rn__zero(void *to, size_t size)
{
    volatile char *t = to;

    while (size >= 8) {
        *(volatile any64 *)t = 0;
        t += 8, size -= 8;
    }
    while (size--)
        *t++ = 0;
}
