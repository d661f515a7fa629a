/* SPDX-License-Identifier: MIT */
/* arch.h - what the library knows of aarch64. The contract is the same in every folder beside. */
#ifndef RN_SRC_ARCH_H
#define RN_SRC_ARCH_H

#include <stdint.h>

/* Tell the CPU that this is a spin loop. */
static inline void cpu_relax(void)
{
    __asm__ volatile("yield");
}

/* A counter that goes on evenly and is the same on all CPUs; about how far in a microsecond. */
static inline uint64_t arch_ticks(void)
{
    uint64_t ticks;

    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
}
static inline uint64_t arch_ticks_in_us(void)
{
    uint64_t hz;

    __asm__("mrs %0, cntfrq_el0" : "=r"(hz));
    return hz / 1000000;
}

enum { ARCH_CALL_GP = 8 }; /* integer argument registers that a call has */

/* What a new goroutine's saved stack looks like, from the saved sp upwards: loaded by rn__switch. */
struct arch_frame {
    uint64_t d[8]; /* d8 to d15 */
    uint64_t x19_x28[10];
    uint64_t fp;
    void (*pc)(void); /* rn__entry */
};

/* The other registers come up with what the stack held: rn__entry expects nothing of them. */
static inline void arch_frame_start(struct arch_frame *frame, void (*entry)(void))
{
    frame->fp = 0; /* for who walks frames */
    frame->pc = entry;
}
static inline uint64_t arch_frame_fp(const void *sp)
{
    return ((const struct arch_frame *)sp)->fp;
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
        uint64_t tls_base_;                                                                        \
        __asm__ volatile("adrp %0, :gottprel:" #var "\n\t"                                         \
                         "ldr %0, [%0, #:gottprel_lo12:" #var "]\n\t"                              \
                         "mrs %1, tpidr_el0\n\t"                                                   \
                         "add %0, %0, %1"                                                          \
                         : "=&r"(tls_address_), "=&r"(tls_base_));                                 \
        (__typeof__(var) *)(void *)tls_address_;                                                   \
    })

#endif
