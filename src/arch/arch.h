/* SPDX-License-Identifier: MIT */
/* arch.h - picks the CPU's folder. */
#if defined(__x86_64__)
#include "arch/x86_64/arch.h"
#elif defined(__aarch64__)
#include "arch/aarch64/arch.h"
#else
#error "runnel: no assembly for this CPU; src/arch has x86_64 and aarch64"
#endif
