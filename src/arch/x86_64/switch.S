/* SPDX-License-Identifier: MIT */
/*
 * switch.S - the context switch, a goroutine's entry, and argument capture, for the System V ABI.
 *
 * Only callee-saved registers are kept: a switch is a call. mxcsr and the x87 control word are not; a
 * goroutine that changes the rounding mode restores it before it waits.
 *
 * struct rn__call: 0 gp[8], 64 vec[8], 192 stack[8], 256 fn, 264 op (asserted in call.c).
 */
        .text

/* void *rn__switch(void **save_sp, void *to_sp, void *pass): returns, on the other stack, pass. */
        .globl  rn__switch
        .hidden rn__switch
        .type   rn__switch, @function
        .p2align 4
rn__switch:
        .cfi_startproc
        endbr64
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r15, 0
        movq    %rsp, (%rdi)
        movq    %rsi, %rsp              /* the other stack has the same layout, so the CFI holds */
        movq    %rdx, %rax
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbp
        ret
        .cfi_endproc
        .size   rn__switch, .-rn__switch

/* Where a new goroutine's first switch returns to: rax is what was passed. Backtraces end here. */
        .globl  rn__entry
        .hidden rn__entry
        .type   rn__entry, @function
        .p2align 4
        .cfi_startproc
        .cfi_undefined %rip
        nop                             /* so that the return address minus one is inside this FDE */
rn__entry:
        endbr64
        xorl    %ebp, %ebp
        movq    %rax, %rdi
1:      call    rn__goroutine_main
        ud2
        .cfi_endproc
        .size   rn__entry, .-rn__entry

/*
 * void rn__restart(void *sp): run the goroutine anew on its own, empty stack. By rn__entry's call, for its return address is
 * in each stack, and reports put together those whose stacks are the same.
 */
        .globl  rn__restart
        .hidden rn__restart
        .type   rn__restart, @function
        .p2align 4
rn__restart:
        .cfi_startproc
        .cfi_undefined %rip
        endbr64
        movq    %rdi, %rsp
        xorl    %ebp, %ebp
        xorl    %edi, %edi
        jmp     1b
        .cfi_endproc
        .size   rn__restart, .-rn__restart

/* void rn__call_on(void *sp, void (*fn)(void *), void *arg): call fn on another stack, below sp, and come back. */
        .globl  rn__call_on
        .hidden rn__call_on
        .type   rn__call_on, @function
        .p2align 4
rn__call_on:
        .cfi_startproc
        endbr64
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        movq    %rsp, %rbp
        .cfi_def_cfa_register %rbp
        andq    $-16, %rdi
        movq    %rdi, %rsp
        movq    %rdx, %rdi
        call    *%rsi
        movq    %rbp, %rsp
        popq    %rbp
        .cfi_def_cfa %rsp, 8
        .cfi_restore %rbp
        ret
        .cfi_endproc
        .size   rn__call_on, .-rn__call_on

/* The capturing thunk: r10 is the record, everything else as the called function would get it. */
        .globl  rn__capture
        .hidden rn__capture
        .type   rn__capture, @function
        .p2align 4
rn__capture:
        .cfi_startproc
        endbr64
        movq    %rdi, 0(%r10)
        movq    %rsi, 8(%r10)
        movq    %rdx, 16(%r10)
        movq    %rcx, 24(%r10)
        movq    %r8, 32(%r10)
        movq    %r9, 40(%r10)
        movaps  %xmm0, 64(%r10)
        movaps  %xmm1, 80(%r10)
        movaps  %xmm2, 96(%r10)
        movaps  %xmm3, 112(%r10)
        movaps  %xmm4, 128(%r10)
        movaps  %xmm5, 144(%r10)
        movaps  %xmm6, 160(%r10)
        movaps  %xmm7, 176(%r10)
        movups  8(%rsp), %xmm0
        movups  24(%rsp), %xmm1
        movups  40(%rsp), %xmm2
        movups  56(%rsp), %xmm3
        movaps  %xmm0, 192(%r10)
        movaps  %xmm1, 208(%r10)
        movaps  %xmm2, 224(%r10)
        movaps  %xmm3, 240(%r10)
        movq    %r10, %rdi
        jmp     *264(%r10)
        .cfi_endproc
        .size   rn__capture, .-rn__capture

/* int rn__call_invoke(struct rn__call *) */
        .globl  rn__call_invoke
        .hidden rn__call_invoke
        .type   rn__call_invoke, @function
        .p2align 4
rn__call_invoke:
        .cfi_startproc
        endbr64
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        movq    %rsp, %rbp
        .cfi_def_cfa_register %rbp
        subq    $64, %rsp
        movq    %rdi, %r11
        movaps  192(%r11), %xmm0
        movaps  208(%r11), %xmm1
        movaps  224(%r11), %xmm2
        movaps  240(%r11), %xmm3
        movaps  %xmm0, 0(%rsp)
        movaps  %xmm1, 16(%rsp)
        movaps  %xmm2, 32(%rsp)
        movaps  %xmm3, 48(%rsp)
        movaps  64(%r11), %xmm0
        movaps  80(%r11), %xmm1
        movaps  96(%r11), %xmm2
        movaps  112(%r11), %xmm3
        movaps  128(%r11), %xmm4
        movaps  144(%r11), %xmm5
        movaps  160(%r11), %xmm6
        movaps  176(%r11), %xmm7
        movq    0(%r11), %rdi
        movq    8(%r11), %rsi
        movq    16(%r11), %rdx
        movq    24(%r11), %rcx
        movq    32(%r11), %r8
        movq    40(%r11), %r9
        movl    $8, %eax                /* for a variadic function: vector registers are in use */
        call    *256(%r11)
        leave
        .cfi_def_cfa %rsp, 8
        .cfi_restore %rbp
        ret
        .cfi_endproc
        .size   rn__call_invoke, .-rn__call_invoke

        .section .note.GNU-stack, "", @progbits
