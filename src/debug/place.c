/* SPDX-License-Identifier: MIT */
/*
 * place.c - addresses to names, and stacks.
 *
 * Names come from the symbolizer if there is one, else from dladdr, which knows exported symbols. Both may
 * take a microsecond or ten, so a report remembers what it has asked.
 *
 * What dladdr may wait for is the loader's lock: a report made while another thread is inside dlopen waits for
 * that.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <runnel/debug.h>
#include <sys/auxv.h>

#include "debug/debug.h"

static int (*symbolizer)(uintptr_t pc, rn_frame_fn *frame, void *arg); /* atomic */

void rn_set_symbolizer(int (*find)(uintptr_t pc, rn_frame_fn *frame, void *arg))
{
    store_release(&symbolizer, find);
}

/* Where this library is loaded; NULL if it is part of the program itself. */
static const void *own_base(void)
{
    static const void *base; /* atomic; every thread finds the same */
    static uint32_t known;   /* atomic */
    Dl_info own, program;

    if (!load_acquire(&known)) {
        if (dladdr((void *)(uintptr_t)&rn__walk, &own) &&
            !(dladdr((void *)getauxval(AT_PHDR), &program) && program.dli_fbase == own.dli_fbase))
            store_relaxed(&base, own.dli_fbase);
        store_release(&known, 1);
    }
    return load_relaxed(&base);
}

struct frame_text {
    struct out *o;
    uintptr_t pc;
    int n;
};

static void frame_text(void *arg, const char *function, const char *file, int line)
{
    struct frame_text *t = arg;

    t->n++;
    rn__out_str(t->o, "\t");
    rn__out_text(t->o, function ? function : "?");
    if (file) {
        rn__out_str(t->o, " at ");
        rn__out_text(t->o, file);
        rn__out_str(t->o, ":");
        rn__out_int(t->o, line > 0 ? (uint64_t)line : 0);
    }
    rn__out_str(t->o, " [");
    rn__out_hex(t->o, t->pc);
    rn__out_str(t->o, "]\n");
}

/*
 * One that has to read the debug information, which takes a frame of several KiB, and time: on a stack with room for it. 0
 * without one.
 */
struct ask {
    int (*find)(uintptr_t, rn_frame_fn *, void *);
    uintptr_t pc;
    rn_frame_fn *fn;
    void *arg;
    int n;
};
static void ask_with_room(void *arg)
{
    struct ask *a = arg;

    a->n = a->find(a->pc, a->fn, a->arg);
}
static int symbolize(uintptr_t pc, rn_frame_fn *fn, void *arg)
{
    struct ask a = {load_acquire(&symbolizer), pc, fn, arg, 0};

    if (a.find)
        rn__with_room(ask_with_room, &a);
    return a.n;
}

static void text_of(struct out *o, uintptr_t pc, bool is_call, bool *ret_own)
{
    /* A return address may be the next function's: ask for the call before it. */
    uintptr_t ask = is_call ? pc - 1 : pc;
    struct frame_text t = {o, pc, 0};
    Dl_info info;
    bool is_known = dladdr((void *)ask, &info) != 0;
    const void *own = own_base();

    *ret_own = is_known && own && info.dli_fbase == own;
    if (symbolize(ask, frame_text, &t) > 0 && t.n > 0)
        return;
    rn__out_str(o, "\t");
    if (is_known && info.dli_sname) {
        rn__out_text(o, info.dli_sname);
        rn__out_str(o, "+");
        rn__out_hex(o, pc - (uintptr_t)info.dli_saddr);
        rn__out_str(o, " ");
    } else if (is_known && info.dli_fname) {
        rn__out_text(o, info.dli_fname);
        rn__out_str(o, "(+");
        rn__out_hex(o, pc - (uintptr_t)info.dli_fbase);
        rn__out_str(o, ") ");
    }
    rn__out_str(o, "[");
    rn__out_hex(o, pc);
    rn__out_str(o, "]\n");
}

static void function_text(void *arg, const char *function, const char *file, int line)
{
    struct frame_text *t = arg;

    (void)file;
    (void)line;
    if (function && t->n++ == 0) /* the innermost */
        rn__out_text(t->o, function);
}

void rn__out_function(struct out *o, uintptr_t pc)
{
    struct frame_text t = {o, pc, 0};
    Dl_info info;

    if (symbolize(pc, function_text, &t) > 0 && t.n > 0)
        return;
    if (dladdr((void *)pc, &info) && info.dli_sname && info.dli_saddr == (void *)pc)
        rn__out_text(o, info.dli_sname);
    else
        rn__out_hex(o, pc);
}

struct places *rn__places_new(struct pool *pool)
{
    struct places *known = rn__pool_take(pool, sizeof *known);

    if (known)
        known->pool = pool;
    return known;
}

/* NULL: no memory. */
static struct place *place_of(struct places *known, uintptr_t pc, bool is_call)
{
    struct place **at, *p;
    char line[1024];
    struct out text = {-1, 0, sizeof line, line};

    if (!known)
        return NULL;
    at = &known->hash[(pc >> 2) * 0x9E3779B97F4A7C15u >> 32 & (PLACES - 1)];
    for (p = *at; p; p = p->next)
        if (p->pc == pc)
            return p;
    p = rn__pool_take(known->pool, sizeof *p);
    if (!p)
        return NULL;
    text_of(&text, pc, is_call, &p->own);
    if (text.used == text.room)
        line[text.used - 1] = '\n'; /* cut */
    p->text = rn__pool_take(known->pool, text.used);
    if (!p->text)
        return NULL;
    rn__copy(p->text, line, text.used);
    p->size = text.used;
    p->pc = pc;
    p->next = *at;
    *at = p;
    return p;
}

void rn__out_place(struct out *o, struct places *known, uintptr_t pc, bool is_call)
{
    const struct place *p = place_of(known, pc, is_call);
    bool own;

    if (p)
        rn__out_bytes(o, p->text, p->size);
    else
        text_of(o, pc, is_call, &own);
}

static bool is_own(struct places *known, uintptr_t pc, bool is_call)
{
    const struct place *p = place_of(known, pc, is_call);

    return p && p->own;
}

void rn__out_frames(struct out *o, struct places *known, const uintptr_t *pc, size_t n,
                    bool first_is_call)
{
    bool any = false;

    for (size_t i = 0; i < n; i++) {
        bool is_call = i > 0 || first_is_call;

        /* Of a run of the library's frames the outermost stays, if the program called it. */
        if (is_own(known, pc[i], is_call) && (i + 1 == n || is_own(known, pc[i + 1], true)))
            continue;
        any = true;
        rn__out_place(o, known, pc[i], is_call);
    }
    for (size_t i = 0; i < n && !any; i++)
        rn__out_place(o, known, pc[i], i > 0 || first_is_call);
}

size_t rn__walk(uintptr_t fp, uintptr_t lo, uintptr_t hi, uintptr_t *pc, size_t room)
{
    size_t n = 0;

    while (n < room && fp >= lo && fp % sizeof fp == 0 && fp + 2 * sizeof fp <= hi) {
        const uintptr_t *frame = (const uintptr_t *)fp;
        uintptr_t outer = load_relaxed(&frame[0]);
        uintptr_t at = load_relaxed(&frame[1]);

        if (!at)
            break;
        pc[n++] = at;
        if (outer <= fp)
            break;
        fp = outer;
    }
    return n;
}

NOINLINE size_t rn__walk_self(uintptr_t *pc, size_t room, size_t skip)
{
    void *at[FRAMES_MAX];
    int got = backtrace(at, FRAMES_MAX);
    size_t n = 0;

    for (int i = (int)skip + 1; i < got && n < room; i++) /* + 1: this function */
        pc[n++] = (uintptr_t)at[i];
    return n;
}
