/* SPDX-License-Identifier: MIT */
/* arch.h - the CPU's own, but a spin waits for the explorer, and a thread-local is a fiber's. */
#ifndef RN_TESTS_EXPLORE_ARCH_H
#define RN_TESTS_EXPLORE_ARCH_H

#define cpu_relax arch_cpu_relax
#if defined(__x86_64__)
#include "arch/x86_64/arch.h"
#elif defined(__aarch64__)
#include "arch/aarch64/arch.h"
#endif
#undef cpu_relax
#define cpu_relax explore_relax
void explore_relax(void);

/* One block of memory a fiber for each thread-local: NAME tells which. */
void *explore_thread_local(const char *name, unsigned long size);
#undef arch_tls_address
#define arch_tls_address(var) ((__typeof__(var) *)explore_thread_local(#var, sizeof(var)))

#endif
