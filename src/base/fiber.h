/* SPDX-License-Identifier: MIT */
/* fiber.h - what the scheduler tells the tools of stacks and switches; every call does nothing
 * without a tool, and is made only if rn__tools is set where it matters. */
#ifndef RN_SRC_FIBER_H
#define RN_SRC_FIBER_H

#include "base/tools.h"

/* ThreadSanitizer's view of a goroutine; NULL without it. The creator is ordered before the fiber. */
void *rn__fiber_new(void);
void rn__fiber_free(void *fiber);
void rn__fiber_name(void *fiber, const char *name);
void *rn__fiber_current(void);
/* Speak for a parked goroutine: until switched back, what is announced is its doing. */
void rn__fiber_borrow(void *fiber);

/* Around the switch: leave is the last thing before, arrive the first thing after, on the other stack.
 * fake: where this stack's fake frames are kept; NULL when it ends. */
void rn__fiber_leave(void *to_fiber, void **fake, const void *to_lo, size_t to_size);
void rn__fiber_arrive(void *fake, const void **from_lo, size_t *from_size);

/* A stack is carved, given back to the kernel, reused for another goroutine. */
uint32_t rn__tool_stack_new(char *lo, char *hi);
void rn__tool_stack_free(uint32_t id);
void rn__tool_stack_clean(char *lo, char *hi);
/* A region that holds stacks: leak checkers look for pointers there. */
void rn__tool_region_new(char *lo, size_t size);
void rn__tool_region_free(char *lo, size_t size);
/* A variable of the thread that every goroutine on it may use: that is no race. */
void rn__tool_shared(const void *at, size_t size);
/* While on, mapping memory makes ThreadSanitizer forget it instead of taking it for a write. */
void rn__tool_ignore_writes(bool on);

#endif
