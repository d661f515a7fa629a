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
        .type   rn__arch_vfork, @function
        .p2align 4
rn__arch_vfork:
        .cfi_startproc
        endbr64
        movq    %rdi, %r9
        movq    %rsi, %r8
        movq    %rdx, %rsi
        movl    $0x4111, %edi           /* CLONE_VM | CLONE_VFORK | SIGCHLD */
        xorl    %edx, %edx
        xorl    %r10d, %r10d
        movl    $56, %eax               /* clone */
        syscall
        testl   %eax, %eax
        jz      1f
        ret
1:      .cfi_undefined %rip
        xorl    %ebp, %ebp
        andq    $-16, %rsp
        movq    %r8, %rdi
        call    *%r9
        ud2
        .cfi_endproc
        .size   rn__arch_vfork, .-rn__arch_vfork

        .section .note.GNU-stack, "", @progbits
