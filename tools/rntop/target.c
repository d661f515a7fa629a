/* SPDX-License-Identifier: MIT */
/*
 * target.c - reads another process's goroutines from its memory, by process_vm_readv and the table of src/debug/layout.h.
 *
 * The process goes on while we read, so nothing that is read may be believed: each number is bounded before it is used,
 * each address is only ever given back to the kernel, which says whether it can be read. Lists only grow while a runtime
 * lives. If it has ended meanwhile the look is thrown away and made again.
 *
 * Goroutines are read a thousand at a time: the control blocks, then a piece of each parked one's stack from its saved
 * stack pointer, then the control blocks again. If a goroutine has moved between the two, its stack is not to be had, and
 * it counts as running. From the stack we want one thing: the first return address outside the library, which is the
 * program's call. The library has frame pointers, so the chain is sound that far, whatever the program was compiled with.
 */
#define _GNU_SOURCE
#include "target.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

#include "debug/layout.h"
#include "names.h"

enum {
    BATCH = 1000,        /* goroutines at a time */
    STACK_PIECE = 2048,  /* of a stack: the library's frames are some hundred bytes */
    LISTS_MAX = 1 << 20, /* members of a list; beyond, it is no list */
    PROCS_MOST = 4096,
    REASONS_MOST = 128,
    RECORD_MOST = 4096, /* bytes of a struct that we copy */
    KIND_HASH = 4096
};

/* What we need of the table. */
#define NEEDS(X)                                                                                   \
    X(VERSION, "version")                                                                          \
    X(RT, "rn__rt")                                                                                \
    X(WAIT_TEXT, "rn__wait_text")                                                                  \
    X(PARK, "rn__park")                                                                            \
    X(WAIT_REASONS, "WAIT_REASONS")                                                                \
    X(RT_SIZE, "rt.size")                                                                          \
    X(RT_NPROCS, "rt.nprocs")                                                                      \
    X(RT_NUMBER, "rt.number")                                                                      \
    X(RT_PROCS, "rt.procs")                                                                        \
    X(RT_GLOBAL_LEN, "rt.global_len")                                                              \
    X(RT_IDLE_PROCS, "rt.idle_procs")                                                              \
    X(RT_LIMIT, "rt.limit")                                                                        \
    X(RT_IDLE_WORKERS, "rt.idle_workers")                                                          \
    X(RT_KEEPER, "rt.keeper")                                                                      \
    X(RT_BLOCKED, "rt.blocked")                                                                    \
    X(RT_WORKERS, "rt.workers")                                                                    \
    X(RT_SPINNING, "rt.spinning")                                                                  \
    X(RT_ARENAS, "rt.arenas")                                                                      \
    X(RT_SLABS, "rt.slabs")                                                                        \
    X(RT_STARVING, "rt.starving")                                                                  \
    X(RT_STARTED, "rt.started")                                                                    \
    X(RT_ENDED, "rt.ended")                                                                        \
    X(RT_COUNT, "rt.count")                                                                        \
    X(RT_BEGAN, "rt.began")                                                                        \
    X(PROC_SIZE, "proc.size")                                                                      \
    X(PROC_READY_HEAD, "proc.ready.head")                                                          \
    X(PROC_READY_TAIL, "proc.ready.tail")                                                          \
    X(PROC_YIELDED_HEAD, "proc.yielded.head")                                                      \
    X(PROC_YIELDED_TAIL, "proc.yielded.tail")                                                      \
    X(PROC_FRESH_TOP, "proc.fresh.top")                                                            \
    X(PROC_FRESH_BOTTOM, "proc.fresh.bottom")                                                      \
    X(PROC_WORKER, "proc.worker")                                                                  \
    X(PROC_TICK, "proc.tick")                                                                      \
    X(PROC_STARTED, "proc.started")                                                                \
    X(PROC_ENDED, "proc.ended")                                                                    \
    X(PROC_COUNT, "proc.count")                                                                    \
    X(COUNT_PARKS, "COUNT_PARKS")                                                                  \
    X(COUNT_READIES, "COUNT_READIES")                                                              \
    X(COUNT_YIELDS, "COUNT_YIELDS")                                                                \
    X(COUNT_STEALS, "COUNT_STEALS")                                                                \
    X(COUNT_HANDOFFS, "COUNT_HANDOFFS")                                                            \
    X(COUNT_LENDS, "COUNT_LENDS")                                                                  \
    X(WORKER_CUR, "worker.cur")                                                                    \
    X(WORKER_TID, "worker.tid")                                                                    \
    X(ARENA_SIZE, "arena.size")                                                                    \
    X(ARENA_NEXT, "arena.next")                                                                    \
    X(ARENA_BASE, "arena.base")                                                                    \
    X(ARENA_STRIDE, "arena.stride")                                                                \
    X(ARENA_COUNT, "arena.count")                                                                  \
    X(ARENA_CARVED, "arena.carved")                                                                \
    X(SLAB_NEXT, "slab.next")                                                                      \
    X(SLAB_RECORD, "slab.record")                                                                  \
    X(SLAB_RECORDS, "SLAB_RECORDS")                                                                \
    X(FRESH_SIZE, "fresh.size")                                                                    \
    X(FRESH_FN, "fresh.fn")                                                                        \
    X(FRESH_ID, "fresh.id")                                                                        \
    X(FRESH_IN_USE, "fresh.in_use")                                                                \
    X(FRESH_CREATED_AT, "fresh.created_at")                                                        \
    X(G_ROOM, "G_ROOM")                                                                            \
    X(G_SIZE, "g.size")                                                                            \
    X(G_SP, "g.sp")                                                                                \
    X(G_ON_CPU, "g.on_cpu")                                                                        \
    X(G_KIND, "g.kind")                                                                            \
    X(G_STATUS, "g.status")                                                                        \
    X(G_WHY, "g.why")                                                                              \
    X(G_ID, "g.id")                                                                                \
    X(G_CREATED_AT, "g.created_at")                                                                \
    X(G_STACK_LO, "g.stack_lo")                                                                    \
    X(G_NAME, "g.name")                                                                            \
    X(G_SINCE, "g.since")                                                                          \
    X(G_NAME_MAX, "G_NAME_MAX")                                                                    \
    X(G_GOROUTINE, "G_GOROUTINE")                                                                  \
    X(G_RUNNABLE, "G_RUNNABLE")                                                                    \
    X(G_RUNNING, "G_RUNNING")                                                                      \
    X(G_WAITING, "G_WAITING")                                                                      \
    X(FRAME_PC, "arch_frame.pc")                                                                   \
    X(FRAME_FP, "arch_frame.fp")                                                                   \
    X(G_LABELS, "g.labels") /* from here on: 0 if the library does not tell */                     \
    X(LABELS_TEXT, "labels.text")

#define NEED_ID(id, text) N_##id,
#define NEED_TEXT(id, text) text,
enum need { NEEDS(NEED_ID) NEED_COUNT };
enum { WISH_FIRST = N_G_LABELS };
static const char *const need_text[NEED_COUNT] = {NEEDS(NEED_TEXT)};

struct target {
    int pid;
    uint64_t n[NEED_COUNT];
    uint64_t own_lo, own_hi; /* where the library is; empty if it is in the program itself */
    char reason[REASONS_MOST][48];
    unsigned reasons;
    struct processor *proc;
    size_t proc_room;
    struct kind *kind;
    size_t kind_count, kind_room;
    size_t *hash; /* of KIND_HASH heads; index + 1 */
    size_t *chain;
    char *blocks, *again, *stacks; /* BATCH of each */
};

static char error[512];

const char *target_error(void)
{
    return error;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(error, sizeof error, format, args);
    va_end(args);
}

static void *must(void *memory)
{
    if (!memory) {
        fputs("rntop: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

/* ---- Reading ---------------------------------------------------------------------------------------- */

static bool read_at(const struct target *t, uint64_t address, void *to, size_t size)
{
    struct iovec local = {to, size}, remote = {(void *)(uintptr_t)address, size};

    return process_vm_readv(t->pid, &local, 1, &remote, 1, 0) == (ssize_t)size;
}

/* n pieces at once; what cannot be read is zero. False: nothing can be any more. */
static bool read_pieces(const struct target *t, const struct iovec *remote, size_t n, char *to,
                        size_t stride)
{
    struct iovec local[BATCH];

    for (size_t i = 0; i < n; i++)
        local[i] = (struct iovec){to + i * stride, remote[i].iov_len};
    for (size_t from = 0; from < n;) {
        ssize_t got = process_vm_readv(t->pid, local + from, n - from, remote + from, n - from, 0);

        if (got < 0 && errno != EFAULT)
            return false;
        for (; from < n && got >= (ssize_t)local[from].iov_len; from++)
            got -= (ssize_t)local[from].iov_len;
        if (from < n) {
            memset(local[from].iov_base, 0, local[from].iov_len);
            from++;
        }
    }
    return true;
}

static uint64_t word(const char *from, uint64_t offset)
{
    uint64_t w;

    memcpy(&w, from + offset, sizeof w);
    return w;
}

static uint32_t half(const char *from, uint64_t offset)
{
    uint32_t w;

    memcpy(&w, from + offset, sizeof w);
    return w;
}

/* ---- Finding the table -------------------------------------------------------------------------------- */

static uint64_t align_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

/* The table's address, by the notes of the file mapped at base; 0: it has none of ours. */
static uint64_t find_layout(const struct target *t, uint64_t base)
{
    Elf64_Ehdr head;
    Elf64_Phdr program[64];
    uint64_t first = UINT64_MAX;
    size_t n;

    if (!read_at(t, base, &head, sizeof head) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
        head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_phentsize != sizeof program[0])
        return 0;
    n = head.e_phnum < 64 ? head.e_phnum : 64;
    if (!read_at(t, base + head.e_phoff, program, n * sizeof program[0]))
        return 0;
    for (size_t i = 0; i < n; i++)
        if (program[i].p_type == PT_LOAD && program[i].p_vaddr < first)
            first = program[i].p_vaddr;
    first &= ~UINT64_C(4095);
    for (size_t i = 0; i < n; i++) {
        uint64_t at = base + program[i].p_vaddr - first, end = at + program[i].p_memsz;
        uint64_t align = program[i].p_align == 8 ? 8 : 4;

        if (program[i].p_type != PT_NOTE || program[i].p_memsz > 1 << 20)
            continue;
        while (at + sizeof(Elf64_Nhdr) <= end) {
            Elf64_Nhdr note;
            uint64_t owner = at + sizeof note, content;
            char text[sizeof LAYOUT_OWNER];
            int64_t distance;

            if (!read_at(t, at, &note, sizeof note))
                break;
            content = owner + align_up(note.n_namesz, align);
            if (note.n_type == LAYOUT_NOTE && note.n_namesz == sizeof text &&
                note.n_descsz == sizeof distance && read_at(t, owner, text, sizeof text) &&
                memcmp(text, LAYOUT_OWNER, sizeof text) == 0 &&
                read_at(t, content, &distance, sizeof distance))
                return content + (uint64_t)distance;
            at = content + align_up(note.n_descsz, align);
        }
    }
    return 0;
}

/* Fill t->n. */
static bool read_layout(struct target *t, uint64_t at)
{
    struct layout head;
    uint32_t found[NEED_COUNT] = {0};

    if (!read_at(t, at, &head, sizeof head) || head.magic != LAYOUT_MAGIC ||
        head.entry_size < sizeof(struct layout_entry) || head.entry_size > RECORD_MOST) {
        say("the library in process %d is of a kind that this rntop does not know", t->pid);
        return false;
    }
    at += sizeof head;
    for (int i = 0; i < LISTS_MAX; i++, at += head.entry_size) {
        struct layout_entry e;

        if (!read_at(t, at, &e, sizeof e) || !e.name[0])
            break;
        e.name[LAYOUT_NAME - 1] = 0;
        for (int k = 0; k < NEED_COUNT; k++)
            if (strcmp(e.name, need_text[k]) == 0) {
                t->n[k] = e.value;
                found[k] = 1;
            }
    }
    for (int k = 0; k < WISH_FIRST; k++)
        if (!found[k]) {
            say("the library in process %d does not tell where its \"%s\" is: rntop and it are of "
                "different times",
                t->pid, need_text[k]);
            return false;
        }
    if (t->n[N_RT_SIZE] > RECORD_MOST || t->n[N_PROC_SIZE] > 2 * RECORD_MOST ||
        t->n[N_G_SIZE] > RECORD_MOST || t->n[N_FRESH_SIZE] > RECORD_MOST ||
        t->n[N_ARENA_SIZE] > RECORD_MOST || t->n[N_SLAB_RECORDS] > BATCH) {
        say("the library in process %d has structures that this rntop cannot hold", t->pid);
        return false;
    }
    return true;
}

static void read_reasons(struct target *t)
{
    t->reasons = t->n[N_WAIT_REASONS] < REASONS_MOST ? (unsigned)t->n[N_WAIT_REASONS]
                                                     : REASONS_MOST;
    for (unsigned i = 0; i < t->reasons; i++) {
        uint64_t text;

        if (!read_at(t, t->n[N_WAIT_TEXT] + i * sizeof text, &text, sizeof text))
            continue;
        for (size_t c = 0; c + 1 < sizeof t->reason[i]; c++)
            if (!read_at(t, text + c, &t->reason[i][c], 1) || !t->reason[i][c])
                break;
    }
}

const char *target_reason(const struct target *t, uint8_t why)
{
    return why < t->reasons && t->reason[why][0] ? t->reason[why] : "waiting";
}

void target_labels(const struct target *t, const struct kind *k, char *to, size_t size)
{
    size_t used = 0;

    /* A piece at a time: what comes after the text may not be there. */
    for (bool over = !k->labels; !over && used + 8 < size; used += 8) {
        over = !read_at(t, k->labels + t->n[N_LABELS_TEXT] + used, to + used, 8);
        if (over)
            break;
        over = memchr(to + used, 0, 8) != NULL;
    }
    to[used] = 0;
}

unsigned target_version(const struct target *t)
{
    return (unsigned)t->n[N_VERSION];
}

struct target *target_open(int pid)
{
    struct target *t = must(calloc(1, sizeof *t));
    char name[64], line[4096 + 256], program[4096] = "", own[4096] = "";
    uint64_t layout = 0;
    bool any = false, read = false;
    FILE *maps;

    t->pid = pid;
    snprintf(name, sizeof name, "/proc/%d/maps", pid);
    maps = fopen(name, "re");
    if (!maps) {
        int err = errno;

        if (err == ENOENT || err == ESRCH)
            say("there is no process %d", pid);
        else
            say("process %d may not be looked at: %s (only its own user may, or root, as for gdb "
                "-p)",
                pid, strerror(err));
        free(t);
        return NULL;
    }
    while (fgets(line, sizeof line, maps)) {
        uint64_t from, to, offset;
        char path[4096] = "";
        char probe;

        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*4s %" SCNx64 " %*s %*s %4095[^\n]", &from, &to,
                   &offset, path) < 3)
            continue;
        any = true;
        if (path[0] != '/')
            continue;
        if (!program[0])
            strcpy(program, path);
        if (layout) {
            if (strcmp(path, own) == 0)
                t->own_hi = to;
            continue;
        }
        if (offset != 0)
            continue;
        if (read_at(t, from, &probe, 1))
            read = true;
        else if (errno == EPERM) {
            say("process %d may not be looked at: only its own user may, or root, as for gdb -p%s",
                pid, "; /proc/sys/kernel/yama/ptrace_scope may forbid it even so");
            goto fail;
        }
        layout = find_layout(t, from);
        if (layout) {
            strcpy(own, path);
            t->own_lo = from;
            t->own_hi = to;
        }
    }
    if (!layout) {
        if (!any)
            say("process %d has no memory: it has ended, or is the kernel's", pid);
        else if (!read)
            say("process %d has ended", pid);
        else
            say("process %d has no runnel in it: it is not linked with librunnel, or with one "
                "older "
                "than 0.1.0",
                pid);
        goto fail;
    }
    if (strcmp(own, program) == 0) /* librunnel.a: the library's frames are told by their names */
        t->own_lo = t->own_hi = 0;
    if (!read_layout(t, layout))
        goto fail;
    names_begin(pid, t->n[N_PARK]);
    fclose(maps);
    read_reasons(t);
    t->blocks = must(malloc(BATCH * t->n[N_G_SIZE]));
    t->again = must(malloc(BATCH * t->n[N_G_SIZE]));
    t->stacks = must(malloc((size_t)BATCH * STACK_PIECE));
    t->hash = must(malloc(KIND_HASH * sizeof *t->hash));
    return t;
fail:
    fclose(maps);
    free(t);
    return NULL;
}

/* ---- Kinds ------------------------------------------------------------------------------------------ */

static void add(struct target *t, struct look *l, const struct kind *k)
{
    uint64_t mixed = (k->at * 31 + k->created_at + k->state * 7 + k->why) * 0x9E3779B97F4A7C15u;
    size_t *head = &t->hash[mixed >> 52];
    struct kind *found;

    l->states[k->state]++;
    for (size_t i = *head; i; i = t->chain[i - 1]) {
        found = &t->kind[i - 1];
        if (found->at == k->at && found->created_at == k->created_at && found->state == k->state &&
            found->why == k->why) {
            found->count++;
            if (k->since < found->since)
                found->since = k->since;
            if (k->id < found->id) {
                found->id = k->id;
                memcpy(found->name, k->name, sizeof found->name);
                found->labels = k->labels;
            }
            return;
        }
    }
    if (t->kind_count == t->kind_room) {
        t->kind_room = t->kind_room ? 2 * t->kind_room : 256;
        t->kind = must(realloc(t->kind, t->kind_room * sizeof *t->kind));
        t->chain = must(realloc(t->chain, t->kind_room * sizeof *t->chain));
    }
    found = &t->kind[t->kind_count];
    *found = *k;
    found->count = 1;
    t->chain[t->kind_count] = *head;
    *head = ++t->kind_count;
}

static bool is_own(const struct target *t, uint64_t pc)
{
    return t->own_hi ? pc >= t->own_lo && pc < t->own_hi : names_is_library(pc);
}

/*
 * The first return address outside the library; piece is from the saved stack pointer upwards. If a goroutine's function
 * has jumped into the library as the last thing it does, there is none: then that of the library's own in whose
 * name it waits, which lies before the two that begin a goroutine.
 */
static uint64_t caller(const struct target *t, const char *piece, uint64_t sp, size_t size)
{
    uint64_t pc = word(piece, t->n[N_FRAME_PC]), fp = word(piece, t->n[N_FRAME_FP]);
    uint64_t before[3] = {0};

    while (is_own(t, pc)) {
        if (fp < sp || fp % 8 != 0 || fp - sp + 16 > size)
            return before[0];
        before[0] = before[1];
        before[1] = before[2];
        before[2] = pc;
        pc = word(piece, fp - sp + 8);
        if (word(piece, fp - sp) <= fp)
            break;
        fp = word(piece, fp - sp);
    }
    return is_own(t, pc) || !pc ? before[0] : pc;
}

static bool look_at_batch(struct target *t, struct look *l, const struct iovec *control, size_t n)
{
    size_t size = t->n[N_G_SIZE];
    struct iovec stack[BATCH];

    if (!read_pieces(t, control, n, t->blocks, size))
        return false;
    for (size_t i = 0; i < n; i++) {
        const char *g = t->blocks + i * size;
        uint64_t sp = word(g, t->n[N_G_SP]), hi = (uint64_t)(uintptr_t)control[i].iov_base;
        uint8_t status = (uint8_t)g[t->n[N_G_STATUS]];
        bool off = (status == t->n[N_G_WAITING] || status == t->n[N_G_RUNNABLE]) &&
                   g[t->n[N_G_ON_CPU]] == 0 && sp >= word(g, t->n[N_G_STACK_LO]) && sp < hi &&
                   word(g, t->n[N_G_STACK_LO]) != 0;

        stack[i].iov_base = off ? (void *)(uintptr_t)sp : (void *)(uintptr_t)hi;
        stack[i].iov_len = off ? (hi - sp < STACK_PIECE ? hi - sp : STACK_PIECE) : 0;
    }
    if (!read_pieces(t, stack, n, t->stacks, STACK_PIECE) ||
        !read_pieces(t, control, n, t->again, size))
        return false;
    for (size_t i = 0; i < n; i++) {
        const char *g = t->again + i * size, *was = t->blocks + i * size;
        uint8_t status = (uint8_t)g[t->n[N_G_STATUS]];
        bool still = stack[i].iov_len >= 128 && memcmp(was, g, size) == 0;
        uint64_t sp = (uint64_t)(uintptr_t)stack[i].iov_base;
        struct kind k = {0};

        k.id = word(g, t->n[N_G_ID]);
        if (k.id == 0 || (uint8_t)g[t->n[N_G_KIND]] != t->n[N_G_GOROUTINE])
            continue;
        if (status == t->n[N_G_WAITING] && still) {
            k.state = STATE_WAITING;
            k.why = (uint8_t)g[t->n[N_G_WHY]];
            k.since = (int64_t)word(g, t->n[N_G_SINCE]);
        } else if (status == t->n[N_G_RUNNABLE] && still) {
            k.state = STATE_RUNNABLE;
        } else if (status == t->n[N_G_RUNNABLE] || status == t->n[N_G_WAITING] ||
                   status == t->n[N_G_RUNNING]) {
            k.state = STATE_RUNNING;
            still = false;
        } else {
            continue;
        }
        k.created_at = word(g, t->n[N_G_CREATED_AT]);
        memcpy(k.name, g + t->n[N_G_NAME],
               t->n[N_G_NAME_MAX] < sizeof k.name ? t->n[N_G_NAME_MAX] : sizeof k.name);
        k.name[sizeof k.name - 1] = 0;
        if (t->n[N_G_LABELS] && t->n[N_LABELS_TEXT])
            k.labels = word(g, t->n[N_G_LABELS]);
        if (still)
            k.at = caller(t, t->stacks + i * STACK_PIECE, sp, stack[i].iov_len);
        add(t, l, &k);
    }
    return true;
}

static bool look_at_arenas(struct target *t, struct look *l, uint64_t arena)
{
    struct iovec control[BATCH];
    char a[RECORD_MOST];
    size_t n = 0;

    for (int list = 0; arena && list < LISTS_MAX; list++, arena = word(a, t->n[N_ARENA_NEXT])) {
        uint64_t base, bytes;
        uint32_t carved;

        if (!read_at(t, arena, a, t->n[N_ARENA_SIZE]))
            return false;
        base = word(a, t->n[N_ARENA_BASE]);
        bytes = word(a, t->n[N_ARENA_STRIDE]);
        carved = half(a, t->n[N_ARENA_CARVED]);
        if (carved > half(a, t->n[N_ARENA_COUNT]))
            return false;
        for (uint32_t i = 0; i < carved; i++) {
            control[n].iov_base = (void *)(uintptr_t)(base + (i + 1) * bytes - t->n[N_G_ROOM]);
            control[n].iov_len = t->n[N_G_SIZE];
            if (++n == BATCH) {
                if (!look_at_batch(t, l, control, n))
                    return false;
                n = 0;
            }
        }
    }
    return n == 0 || look_at_batch(t, l, control, n);
}

/* Those that have not run. */
static bool look_at_slabs(struct target *t, struct look *l, uint64_t slab)
{
    size_t size = t->n[N_FRESH_SIZE], count = t->n[N_SLAB_RECORDS];
    char *records = must(malloc(count * size));
    bool ok = true;

    for (int list = 0; slab && list < LISTS_MAX && ok; list++) {
        ok = read_at(t, slab + t->n[N_SLAB_RECORD], records, count * size);
        for (size_t i = 0; ok && i < count; i++) {
            const char *f = records + i * size;
            struct kind k = {.state = STATE_NEW};

            k.id = word(f, t->n[N_FRESH_ID]);
            k.at = word(f, t->n[N_FRESH_FN]);
            k.created_at = word(f, t->n[N_FRESH_CREATED_AT]);
            if (half(f, t->n[N_FRESH_IN_USE]) && k.id)
                add(t, l, &k);
        }
        ok = ok && read_at(t, slab + t->n[N_SLAB_NEXT], &slab, sizeof slab);
    }
    free(records);
    return ok;
}

/* ---- The scheduler ------------------------------------------------------------------------------------ */

static void add_counts(const struct target *t, struct look *l, const char *count)
{
    static const enum need which[COUNTS] = {N_COUNT_PARKS,  N_COUNT_READIES,  N_COUNT_YIELDS,
                                            N_COUNT_STEALS, N_COUNT_HANDOFFS, N_COUNT_LENDS};

    for (int i = 0; i < COUNTS; i++)
        l->count[i] += word(count, 8 * t->n[which[i]]);
}

static bool look_at_procs(struct target *t, struct look *l, const char *rt)
{
    uint64_t at = word(rt, t->n[N_RT_PROCS]);
    uint32_t n = half(rt, t->n[N_RT_NPROCS]);
    char p[2 * RECORD_MOST];

    if (n > PROCS_MOST)
        return false;
    if (n > t->proc_room) {
        t->proc = must(realloc(t->proc, n * sizeof *t->proc));
        t->proc_room = n;
    }
    for (uint32_t i = 0; i < n; i++, at += t->n[N_PROC_SIZE]) {
        struct processor *q = &t->proc[i];
        uint64_t worker, g, id;
        uint32_t ready;
        int64_t fresh;
        int32_t tid;

        if (!read_at(t, at, p, t->n[N_PROC_SIZE]))
            return false;
        ready = half(p, t->n[N_PROC_READY_TAIL]) - half(p, t->n[N_PROC_READY_HEAD]) +
                half(p, t->n[N_PROC_YIELDED_TAIL]) - half(p, t->n[N_PROC_YIELDED_HEAD]);
        fresh = (int64_t)(word(p, t->n[N_PROC_FRESH_BOTTOM]) - word(p, t->n[N_PROC_FRESH_TOP]));
        *q = (struct processor){.ready = ready, .fresh = fresh > 0 ? (uint64_t)fresh : 0};
        q->picks = half(p, t->n[N_PROC_TICK]);
        worker = word(p, t->n[N_PROC_WORKER]);
        q->held = worker != 0;
        l->started += word(p, t->n[N_PROC_STARTED]);
        l->ended += word(p, t->n[N_PROC_ENDED]);
        add_counts(t, l, p + t->n[N_PROC_COUNT]);
        /* A worker is its thread's own memory, which may be gone by now. */
        if (worker && read_at(t, worker + t->n[N_WORKER_TID], &tid, sizeof tid) &&
            read_at(t, worker + t->n[N_WORKER_CUR], &g, sizeof g)) {
            char kind;

            q->tid = tid;
            if (read_at(t, g + t->n[N_G_KIND], &kind, 1) && (uint8_t)kind == t->n[N_G_GOROUTINE] &&
                read_at(t, g + t->n[N_G_ID], &id, sizeof id))
                q->running = id;
        }
    }
    l->proc = t->proc;
    l->proc_count = n;
    return true;
}

static int more_first(const void *a, const void *b)
{
    const struct kind *x = a, *y = b;

    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return x->id < y->id ? -1 : x->id > y->id;
}

enum result target_look(struct target *t, struct look *l)
{
    char rt[RECORD_MOST];
    struct timespec now;
    uint64_t at, then;

    for (int tries = 0; tries < 10; tries++) {
        *l = (struct look){0};
        t->kind_count = 0;
        memset(t->hash, 0, KIND_HASH * sizeof *t->hash);
        clock_gettime(CLOCK_MONOTONIC, &now);
        l->now = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
        if (!read_at(t, t->n[N_RT], &at, sizeof at)) {
            if (errno == ESRCH || errno == EFAULT) /* EFAULT: it is another program by now */
                return ENDED;
            say("process %d cannot be read any more: %s", t->pid, strerror(errno));
            return FAILED;
        }
        if (!at)
            return NO_RUNTIME;
        if (!read_at(t, at, rt, t->n[N_RT_SIZE]))
            continue;
        l->run = word(rt, t->n[N_RT_NUMBER]);
        l->began = (int64_t)word(rt, t->n[N_RT_BEGAN]);
        l->started = word(rt, t->n[N_RT_STARTED]);
        l->ended = word(rt, t->n[N_RT_ENDED]);
        l->blocked = half(rt, t->n[N_RT_BLOCKED]);
        l->queued_global = half(rt, t->n[N_RT_GLOBAL_LEN]);
        l->starving = half(rt, t->n[N_RT_STARVING]);
        l->processors = half(rt, t->n[N_RT_LIMIT]);
        l->processors_idle = half(rt, t->n[N_RT_IDLE_PROCS]);
        l->threads = half(rt, t->n[N_RT_WORKERS]);
        l->threads_idle = half(rt, t->n[N_RT_IDLE_WORKERS]) + (word(rt, t->n[N_RT_KEEPER]) ? 1 : 0);
        l->spinning = half(rt, t->n[N_RT_SPINNING]);
        add_counts(t, l, rt + t->n[N_RT_COUNT]);
        if (look_at_procs(t, l, rt) && look_at_slabs(t, l, word(rt, t->n[N_RT_SLABS])) &&
            look_at_arenas(t, l, word(rt, t->n[N_RT_ARENAS])) &&
            read_at(t, t->n[N_RT], &then, sizeof then) && then == at) {
            if (t->kind_count)
                qsort(t->kind, t->kind_count, sizeof *t->kind, more_first);
            l->kind = t->kind;
            l->kind_count = t->kind_count;
            return LOOKED;
        }
    }
    return read_at(t, t->n[N_RT], &then, sizeof then) ? NO_RUNTIME : ENDED;
}
