/* SPDX-License-Identifier: MIT */
/*
 * mem.h - memory of the library's own, which goroutines hand each other without telling anybody.
 *
 * malloc and free with ThreadSanitizer looking away: it would take them for accesses of whoever happens to
 * run, and the library's own synchronisation is invisible to it. Memory that is a user's object (a channel, a
 * context) is allocated by malloc itself.
 */
#ifndef RN_SRC_MEM_H
#define RN_SRC_MEM_H

#include "base/base.h"

/* NULL when there is none; errno is as before. */
void *rn__mem_new(size_t size);
void *rn__mem_new_aligned(size_t size, size_t align);
void *rn__mem_new_zero(size_t size, size_t align);
void *rn__mem_resize(void *p, size_t size);
void rn__mem_free(void *p);

#endif
