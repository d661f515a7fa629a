/* SPDX-License-Identifier: MIT */
/*
 * switch.S - the context switch, a goroutine's entry, and argument capture, for AAPCS64.
 *
 * Only callee-saved registers are kept: a switch is a call. fpcr is not; a goroutine that changes the
 * rounding mode restores it before it waits.
 *
 * struct rn__call: 0 gp[8], 64 vec[8], 192 stack[8], 256 fn, 264 op (asserted in call.c).
 */
        .text

/* void *rn__switch(void **save_sp, void *to_sp, void *pass): returns, on the other stack, pass. */
        .globl  rn__switch
        .hidden rn__switch
        .type   rn__switch, %function
        .p2align 4
rn__switch:
        .cfi_startproc
        hint    #34                     /* bti c */
        sub     sp, sp, #160
        .cfi_adjust_cfa_offset 160
        stp     d8, d9, [sp, #0]
        stp     d10, d11, [sp, #16]
        stp     d12, d13, [sp, #32]
        stp     d14, d15, [sp, #48]
        stp     x19, x20, [sp, #64]
        stp     x21, x22, [sp, #80]
        stp     x23, x24, [sp, #96]
        stp     x25, x26, [sp, #112]
        stp     x27, x28, [sp, #128]
        stp     x29, x30, [sp, #144]
        .cfi_rel_offset x19, 64
        .cfi_rel_offset x20, 72
        .cfi_rel_offset x21, 80
        .cfi_rel_offset x22, 88
        .cfi_rel_offset x23, 96
        .cfi_rel_offset x24, 104
        .cfi_rel_offset x25, 112
        .cfi_rel_offset x26, 120
        .cfi_rel_offset x27, 128
        .cfi_rel_offset x28, 136
        .cfi_rel_offset x29, 144
        .cfi_rel_offset x30, 152
        mov     x9, sp
        str     x9, [x0]
        mov     sp, x1                  /* the other stack has the same layout, so the CFI holds */
        mov     x0, x2
        ldp     d8, d9, [sp, #0]
        ldp     d10, d11, [sp, #16]
        ldp     d12, d13, [sp, #32]
        ldp     d14, d15, [sp, #48]
        ldp     x19, x20, [sp, #64]
        ldp     x21, x22, [sp, #80]
        ldp     x23, x24, [sp, #96]
        ldp     x25, x26, [sp, #112]
        ldp     x27, x28, [sp, #128]
        ldp     x29, x30, [sp, #144]
        add     sp, sp, #160
        .cfi_adjust_cfa_offset -160
        ret
        .cfi_endproc
        .size   rn__switch, .-rn__switch

/* Where a new goroutine's first switch returns to: x0 is what was passed. Backtraces end here. */
        .globl  rn__entry
        .hidden rn__entry
        .type   rn__entry, %function
        .p2align 4
        .cfi_startproc
        .cfi_undefined x30
        nop                             /* so that the return address minus one is inside this FDE */
rn__entry:
        hint    #36                     /* bti j */
        mov     x29, #0
        mov     x30, #0
1:      bl      rn__goroutine_main
        brk     #1
        .cfi_endproc
        .size   rn__entry, .-rn__entry

/*
 * void rn__restart(void *sp): run the goroutine anew on its own, empty stack. By rn__entry's call, for its return address is
 * in each stack, and reports put together those whose stacks are the same.
 */
        .globl  rn__restart
        .hidden rn__restart
        .type   rn__restart, %function
        .p2align 4
rn__restart:
        .cfi_startproc
        .cfi_undefined x30
        hint    #34
        mov     sp, x0
        mov     x29, #0
        mov     x30, #0
        mov     x0, #0
        b       1b
        .cfi_endproc
        .size   rn__restart, .-rn__restart

/* void rn__call_on(void *sp, void (*fn)(void *), void *arg): call fn on another stack, below sp, and come back. */
        .globl  rn__call_on
        .hidden rn__call_on
        .type   rn__call_on, %function
        .p2align 4
rn__call_on:
        .cfi_startproc
        hint    #34
        stp     x29, x30, [sp, #-16]!
        .cfi_adjust_cfa_offset 16
        .cfi_rel_offset x29, 0
        .cfi_rel_offset x30, 8
        mov     x29, sp
        .cfi_def_cfa x29, 16
        and     x3, x0, #-16
        mov     sp, x3
        mov     x0, x2
        blr     x1
        mov     sp, x29
        .cfi_def_cfa sp, 16
        ldp     x29, x30, [sp], #16
        .cfi_adjust_cfa_offset -16
        .cfi_restore x29
        .cfi_restore x30
        ret
        .cfi_endproc
        .size   rn__call_on, .-rn__call_on

/* The capturing thunks: the record is in x18 (gcc, older clang) or x15; everything else as the called
 * function would get it. */
        .globl  rn__capture_x15
        .hidden rn__capture_x15
        .type   rn__capture_x15, %function
        .p2align 4
rn__capture_x15:
        .cfi_startproc
        hint    #34
        mov     x18, x15
        b       rn__capture
        .cfi_endproc
        .size   rn__capture_x15, .-rn__capture_x15

        .globl  rn__capture
        .hidden rn__capture
        .type   rn__capture, %function
        .p2align 4
rn__capture:
        .cfi_startproc
        hint    #34
        stp     x0, x1, [x18, #0]
        stp     x2, x3, [x18, #16]
        stp     x4, x5, [x18, #32]
        stp     x6, x7, [x18, #48]
        stp     q0, q1, [x18, #64]
        stp     q2, q3, [x18, #96]
        stp     q4, q5, [x18, #128]
        stp     q6, q7, [x18, #160]
        ldp     q0, q1, [sp, #0]
        ldp     q2, q3, [sp, #32]
        stp     q0, q1, [x18, #192]
        stp     q2, q3, [x18, #224]
        mov     x0, x18
        ldr     x16, [x18, #264]
        br      x16
        .cfi_endproc
        .size   rn__capture, .-rn__capture

/* int rn__call_invoke(struct rn__call *) */
        .globl  rn__call_invoke
        .hidden rn__call_invoke
        .type   rn__call_invoke, %function
        .p2align 4
rn__call_invoke:
        .cfi_startproc
        hint    #34
        stp     x29, x30, [sp, #-16]!
        .cfi_adjust_cfa_offset 16
        .cfi_rel_offset x29, 0
        .cfi_rel_offset x30, 8
        mov     x29, sp
        .cfi_def_cfa_register x29
        sub     sp, sp, #64
        mov     x16, x0
        ldp     q0, q1, [x16, #192]
        ldp     q2, q3, [x16, #224]
        stp     q0, q1, [sp, #0]
        stp     q2, q3, [sp, #32]
        ldp     q0, q1, [x16, #64]
        ldp     q2, q3, [x16, #96]
        ldp     q4, q5, [x16, #128]
        ldp     q6, q7, [x16, #160]
        ldp     x2, x3, [x16, #16]
        ldp     x4, x5, [x16, #32]
        ldp     x6, x7, [x16, #48]
        ldp     x0, x1, [x16, #0]
        ldr     x16, [x16, #256]
        blr     x16
        mov     sp, x29
        .cfi_def_cfa_register sp
        ldp     x29, x30, [sp], #16
        .cfi_adjust_cfa_offset -16
        .cfi_restore x29
        .cfi_restore x30
        ret
        .cfi_endproc
        .size   rn__call_invoke, .-rn__call_invoke

        .section .note.GNU-stack, "", %progbits
