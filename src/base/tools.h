/* SPDX-License-Identifier: MIT */
/*
 * tools.h - ThreadSanitizer, AddressSanitizer and Valgrind, through weak symbols: a program compiled
 * with -fsanitize=... and linked with the ordinary library gets right reports.
 *
 * rn__tools is 0 in an ordinary process; it is the one word tested per operation (decision 22).
 */
#ifndef RN_SRC_TOOLS_H
#define RN_SRC_TOOLS_H

#include "base/base.h"

enum { TOOL_TSAN = 1, TOOL_ASAN = 2, TOOL_VALGRIND = 4, TOOL_READERS = 8 };
enum { TOOLS_OUTSIDE = TOOL_TSAN | TOOL_ASAN | TOOL_VALGRIND }; /* not the library's own */
extern uint32_t rn__tools;

void __tsan_acquire(void *addr) __attribute__((weak));
void __tsan_release(void *addr) __attribute__((weak));
void __tsan_read_range(void *addr, unsigned long size) __attribute__((weak));
void __tsan_write_range(void *addr, unsigned long size) __attribute__((weak));

/* The happens-before edges of the primitives: what I did so far is before whoever acquires obj. */
static inline void edge_release(const void *obj)
{
    if (unlikely(rn__tools & TOOL_TSAN))
        __tsan_release((void *)(uintptr_t)obj);
}
static inline void edge_acquire(const void *obj)
{
    if (unlikely(rn__tools & TOOL_TSAN))
        __tsan_acquire((void *)(uintptr_t)obj);
}
/* Memory that may never have been written and is looked at all the same: Valgrind takes it for initialised. */
void rn__tool_defined(const void *p, size_t size);
static inline void tool_defined(const void *p, size_t size)
{
    if (unlikely(rn__tools & TOOL_VALGRIND))
        rn__tool_defined(p, size);
}
/* An object of the library's that the user may have freed: AddressSanitizer reports it if so. */
void rn__tool_alive(const void *p, size_t size);
static inline void tool_alive(const void *p, size_t size)
{
    if (unlikely(rn__tools & TOOL_ASAN))
        rn__tool_alive(p, size);
}
/* My own access to memory of the user's, announced in my own fiber (decision 21). */
void rn__tool_read(const void *p, size_t size);
void rn__tool_write(void *p, size_t size);
static inline void tool_read(const void *p, size_t size)
{
    if (unlikely(rn__tools & (TOOL_TSAN | TOOL_ASAN)))
        rn__tool_read(p, size);
}
static inline void tool_write(void *p, size_t size)
{
    if (unlikely(rn__tools & (TOOL_TSAN | TOOL_ASAN)))
        rn__tool_write(p, size);
}

#endif
