/* SPDX-License-Identifier: MIT */
/* arch.h - what the library knows of x86-64. The contract is the same in every folder beside. */
#ifndef RN_SRC_ARCH_H
#define RN_SRC_ARCH_H

#include <stdint.h>

/* Tell the CPU that this is a spin loop. */
static inline void cpu_relax(void)
{
    __builtin_ia32_pause();
}

/* A counter that goes on evenly and is the same on all CPUs; about how far in a microsecond. */
static inline uint64_t arch_ticks(void)
{
    return __builtin_ia32_rdtsc();
}
static inline uint64_t arch_ticks_in_us(void)
{
    return 2500;
}

enum { ARCH_CALL_GP = 6 }; /* integer argument registers that a call has */

/* What a new goroutine's saved stack looks like, from the saved sp upwards: popped by rn__switch. */
struct arch_frame {
    uint64_t r15, r14, r13, r12, rbx, rbp;
    void (*pc)(void); /* rn__entry */
};

/* The other registers come up with what the stack held: rn__entry expects nothing of them. */
static inline void arch_frame_start(struct arch_frame *frame, void (*entry)(void))
{
    frame->rbp = 0; /* for who walks frames */
    frame->pc = entry;
}
static inline uint64_t arch_frame_fp(const void *sp)
{
    return ((const struct arch_frame *)sp)->rbp;
}
static inline uint64_t arch_frame_pc(const void *sp)
{
    return (uint64_t)(uintptr_t)((const struct arch_frame *)sp)->pc;
}

/* The address of a thread-local of this library, computed anew at every use: compilers keep such
 * addresses across calls, but a goroutine may come back from a call on another thread. */
#define arch_tls_address(var)                                                                      \
    __extension__({                                                                                \
        char *tls_address_;                                                                        \
        __asm__ volatile("movq " #var "@gottpoff(%%rip), %0\n\taddq %%fs:0, %0"                    \
                         : "=r"(tls_address_));                                                    \
        (__typeof__(var) *)(void *)tls_address_;                                                   \
    })

#endif
