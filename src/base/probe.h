/* SPDX-License-Identifier: MIT */
/*
 * probe.h - static probes (USDT), which bpftrace, perf, SystemTap and gdb find in a running program.
 *
 * A probe is a nop where something happens, and a note in the file that says where it is and where its arguments lie at
 * that moment. Whoever looks puts a breakpoint on the nop; until then nothing is executed but the nop. The notes are in a
 * section that is not loaded. Its layout is fixed (type 3 of owner "stapsdt"): the address of the nop; the link-time address
 * of a section that tools compare with the file's, should the file have been moved; the address of a counter of those who
 * look, 0 for us; then provider, name and arguments as text, each argument "size@operand" as the assembler writes it.
 *
 * Arguments are 64 bits each, and should cost nothing: a value that is in a register anyway, a constant, or a field by
 * its address, of which the operand is written as memory and is loaded by whoever looks. What would have to be computed
 * for the probe alone does not belong into one.
 *
 * <sys/sdt.h> does the same for any compiler, CPU and argument. It is a package that few machines have, and a library with
 * or without probes, by what lay on the machine that built it, would be two libraries. What we need of it is what follows.
 * clang takes memory whenever it may, and stores values there only for that: for it an argument is a register or a constant.
 */
#ifndef RN_SRC_PROBE_H
#define RN_SRC_PROBE_H

#if !defined(RN_EXPLORE) && defined(__ELF__)

#ifdef __clang__
#define PROBE_ARG "nr"
#else
#define PROBE_ARG "nor"
#endif

#define PROBE(name, args, ...)                                                                     \
    __asm__ volatile("990: nop\n"                                                                  \
                     "    .pushsection .note.stapsdt, \"\", %%note\n"                              \
                     "    .balign 4\n"                                                             \
                     "    .4byte 992f - 991f, 994f - 993f, 3\n"                                    \
                     "991: .asciz \"stapsdt\"\n"                                                   \
                     "992: .balign 4\n"                                                            \
                     "993: .8byte 990b, _.stapsdt.base, 0\n"                                       \
                     "    .asciz \"runnel\"\n"                                                     \
                     "    .asciz \"" #name "\"\n"                                                  \
                     "    .asciz \"" args "\"\n"                                                   \
                     "994: .balign 4\n"                                                            \
                     "    .popsection\n"                                                           \
                     "    .ifndef _.stapsdt.base\n"                                                \
                     "    .pushsection .stapsdt.base, \"aG\", %%progbits, .stapsdt.base, comdat\n" \
                     "    .weak _.stapsdt.base\n"                                                  \
                     "    .hidden _.stapsdt.base\n"                                                \
                     "_.stapsdt.base:\n"                                                           \
                     "    .space 1\n"                                                              \
                     "    .size _.stapsdt.base, 1\n"                                               \
                     "    .popsection\n"                                                           \
                     "    .endif\n" ::__VA_ARGS__)

#define probe1(name, a) PROBE(name, "8@%0", PROBE_ARG(a))
#define probe2(name, a, b) PROBE(name, "8@%0 8@%1", PROBE_ARG(a), PROBE_ARG(b))
#define probe3(name, a, b, c)                                                                      \
    PROBE(name, "8@%0 8@%1 8@%2", PROBE_ARG(a), PROBE_ARG(b), PROBE_ARG(c))

#else
#define probe1(name, a) ((void)(a))
#define probe2(name, a, b) ((void)(a), (void)(b))
#define probe3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#endif

#endif
