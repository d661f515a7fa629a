/* SPDX-License-Identifier: MIT */
/*
 * symbols.c - librunnel-symbols: file, line and inlined functions in reports, by libbacktrace.
 *
 * A library of its own, so that the core needs libc alone. Linking it is all there is to do; LD_PRELOAD does
 * it for a program that is not linked with it. libbacktrace reads the debug information of the program and
 * its libraries when the first report asks, which takes some tens of milliseconds then, and uses mmap, not
 * malloc, so it works in a process whose heap is broken.
 *
 * Several threads may ask at the same time. libbacktrace orders them by atomic operations, which ThreadSanitizer does not
 * see, as nothing here is compiled for it; it sees the memcpy and memset that the library calls, intercepted, on
 * memory that goes from one thread to another. So it is told to look away, or it would report races inside
 * libbacktrace: and those reports, made under the loader's lock, could stand still for ever.
 */
#include <backtrace-supported.h>
#include <backtrace.h>
#include <runnel/debug.h>
#include <stdbool.h>

#if BACKTRACE_USES_MALLOC
#error "runnel: this libbacktrace uses malloc, which a report must not"
#endif

void AnnotateIgnoreReadsBegin(const char *file, int line) __attribute__((weak));
void AnnotateIgnoreReadsEnd(const char *file, int line) __attribute__((weak));
void AnnotateIgnoreWritesBegin(const char *file, int line) __attribute__((weak));
void AnnotateIgnoreWritesEnd(const char *file, int line) __attribute__((weak));

struct asked {
    rn_frame_fn *frame;
    void *arg;
    int found;
};

static struct backtrace_state *state;

static void ignore_error(void *data, const char *text, int err)
{
    (void)data, (void)text, (void)err;
}

static int on_frame(void *data, uintptr_t pc, const char *file, int line, const char *function)
{
    struct asked *a = data;

    (void)pc;
    if (file || function) {
        a->frame(a->arg, function, file, line);
        a->found++;
    }
    return 0;
}

/* Without debug information: the symbol table. */
static void on_symbol(void *data, uintptr_t pc, const char *name, uintptr_t at, uintptr_t size)
{
    struct asked *a = data;

    (void)pc, (void)at, (void)size;
    if (name) {
        a->frame(a->arg, name, NULL, 0);
        a->found++;
    }
}

/* What the calling goroutine does from here on is not looked at; all four are there, or none. */
static void look_away(bool on)
{
    if (!AnnotateIgnoreReadsBegin || !AnnotateIgnoreReadsEnd || !AnnotateIgnoreWritesBegin ||
        !AnnotateIgnoreWritesEnd)
        return;
    if (on) {
        AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
        AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    } else {
        AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
        AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    }
}

static int find(uintptr_t pc, rn_frame_fn *frame, void *arg)
{
    struct asked a = {frame, arg, 0};

    look_away(true);
    backtrace_pcinfo(state, pc, on_frame, ignore_error, &a);
    if (!a.found)
        backtrace_syminfo(state, pc, on_symbol, ignore_error, &a);
    look_away(false);
    return a.found;
}

__attribute__((constructor)) static void begin(void)
{
    state = backtrace_create_state(NULL, 1, ignore_error, NULL);
    if (state)
        rn_set_symbolizer(find);
}
