/* SPDX-License-Identifier: MIT */
/*
 * layout.c - the table that layout.h tells of, and the note that leads to it.
 *
 * It costs nothing while nobody looks: no thread, no socket, no file, no store. Whoever may read the process's memory, as
 * a debugger may, can look at any moment, also when every thread hangs; nobody else can. That is why it is this, and not a
 * socket that the process listens on: that would need a thread that still answers, would be one more thing that is open, and
 * would be there only in programs that asked for it.
 *
 * The note's word is a distance inside the file and needs no relocation; the table's addresses do, and lie with the data
 * that is read-only afterwards.
 */
#include "debug/layout.h"

#include <runnel/base.h>

#include "debug/debug.h"
#include "sched/labels.h"

/* In the order in which rntop's reader uses them; the script for gdb (runnel-gdb.py) takes some of the same. */
#define VARIABLE(var) {#var, (uint64_t)(uintptr_t)&(var)},
#define FUNCTION(f) VARIABLE(f) /* a place in the library's code */
#define SIZE(type) {#type ".size", sizeof(struct type)},
#define FIELD(type, field) {#type "." #field, offsetof(struct type, field)},
#define CONSTANT(name) {#name, name},

#ifdef __x86_64__
enum { FRAME_FP = offsetof(struct arch_frame, rbp) };
#else
enum { FRAME_FP = offsetof(struct arch_frame, fp) };
#endif

/* clang-format off */
const struct layout rn__layout = {
    LAYOUT_MAGIC,
    sizeof(struct layout_entry),
    {
        {"version", RN_VERSION_MAJOR * 10000 + RN_VERSION_MINOR * 100 + RN_VERSION_PATCH},
        VARIABLE(rn__rt)
        VARIABLE(rn__wait_text)
        FUNCTION(rn__park)
        CONSTANT(WAIT_REASONS)
        SIZE(rt)
        FIELD(rt, nprocs)
        FIELD(rt, number)
        FIELD(rt, procs)
        FIELD(rt, global_len)
        FIELD(rt, idle_procs)
        FIELD(rt, limit)
        FIELD(rt, idle_workers)
        FIELD(rt, keeper)
        FIELD(rt, blocked)
        FIELD(rt, workers)
        FIELD(rt, spinning)
        FIELD(rt, arenas)
        FIELD(rt, slabs)
        FIELD(rt, starving)
        FIELD(rt, started)
        FIELD(rt, ended)
        FIELD(rt, count)
        FIELD(rt, began)
        SIZE(proc)
        FIELD(proc, ready.head)
        FIELD(proc, ready.tail)
        FIELD(proc, yielded.head)
        FIELD(proc, yielded.tail)
        FIELD(proc, fresh.top)
        FIELD(proc, fresh.bottom)
        FIELD(proc, worker)
        FIELD(proc, tick)
        FIELD(proc, started)
        FIELD(proc, ended)
        FIELD(proc, count)
        CONSTANT(COUNT_PARKS)
        CONSTANT(COUNT_READIES)
        CONSTANT(COUNT_YIELDS)
        CONSTANT(COUNT_STEALS)
        CONSTANT(COUNT_HANDOFFS)
        CONSTANT(COUNT_LENDS)
        CONSTANT(COUNTS)
        FIELD(worker, cur)
        FIELD(worker, tid)
        SIZE(arena)
        FIELD(arena, next)
        FIELD(arena, base)
        FIELD(arena, stride)
        FIELD(arena, count)
        FIELD(arena, carved)
        FIELD(slab, next)
        FIELD(slab, record)
        CONSTANT(SLAB_RECORDS)
        SIZE(fresh)
        {"fresh.fn", offsetof(struct fresh, call) + offsetof(struct rn__call, fn)},
        FIELD(fresh, id)
        FIELD(fresh, in_use)
        FIELD(fresh, created_at)
        FIELD(fresh, name)
        FIELD(fresh, labels)
        CONSTANT(G_ROOM)
        SIZE(g)
        FIELD(g, sp)
        FIELD(g, on_cpu)
        FIELD(g, kind)
        FIELD(g, status)
        FIELD(g, why)
        FIELD(g, id)
        FIELD(g, created_at)
        FIELD(g, stack_lo)
        FIELD(g, name)
        FIELD(g, labels)
        FIELD(g, since)
        CONSTANT(G_NAME_MAX)
        FIELD(labels, text) /* of what g.labels and fresh.labels point to, if not 0 */
        CONSTANT(LABELS_MAX)
        CONSTANT(G_GOROUTINE)
        CONSTANT(G_FREE)
        CONSTANT(G_RUNNABLE)
        CONSTANT(G_RUNNING)
        CONSTANT(G_WAITING)
        CONSTANT(G_DEAD)
        FIELD(arch_frame, pc)
        {"arch_frame.fp", FRAME_FP},
        {"", 0},
    },
};
/* clang-format on */

__asm__(".pushsection .note.runnel, \"a\", %note\n"
        "    .balign 4\n"
        "    .4byte 2f - 1f, 8, 1\n" /* LAYOUT_NOTE */
        "1:  .asciz \"runnel\"\n"    /* LAYOUT_OWNER */
        "2:  .balign 4\n"
        "3:  .8byte rn__layout - 3b\n"
        ".popsection\n");
