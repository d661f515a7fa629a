/* SPDX-License-Identifier: MIT */
/*
 * vfork.S - a child process that shares our memory until it executes a program.
 *
 * int rn__arch_vfork(void (*fn)(void *), void *arg, void *stack): the child calls fn(arg), which does not return, on a
 * stack of its own (its upper end, aligned to 16); the caller sleeps until it has executed a program or ended. The
 * child's number, or a negative errno value. All that the child needs is in registers: some emulators make a copy of
 * the process, with the old stack.
 */
        .text
        .globl  rn__arch_vfork
        .hidden rn__arch_vfork
        .type   rn__arch_vfork, %function
        .p2align 4
rn__arch_vfork:
        .cfi_startproc
        hint    #34
        mov     x9, x0
        mov     x10, x1
        mov     x1, x2
        mov     x0, #0x4111             /* CLONE_VM | CLONE_VFORK | SIGCHLD */
        mov     x2, #0
        mov     x3, #0
        mov     x4, #0
        mov     x8, #220                /* clone */
        svc     #0
        cbz     w0, 1f
        ret
1:      .cfi_undefined x30
        mov     x29, #0
        mov     x30, #0
        mov     x0, x10
        blr     x9
        brk     #1
        .cfi_endproc
        .size   rn__arch_vfork, .-rn__arch_vfork

        .section .note.GNU-stack, "", %progbits
