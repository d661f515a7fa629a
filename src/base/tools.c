/* SPDX-License-Identifier: MIT */
/*
 * tools.c - which tools are in the process, and what they must be told. See tools.h and fiber.h.
 *
 * The symbols of the sanitizers are weak: present when the program was linked with -fsanitize=thread or
 * address. Valgrind is asked by its magic instruction sequence, which does nothing on a CPU.
 */
#include "base/tools.h"

#include "base/atomic.h"
#include "base/fiber.h"

#include <link.h>

uint32_t rn__tools;

void *__tsan_create_fiber(unsigned flags) __attribute__((weak));
void __tsan_destroy_fiber(void *fiber) __attribute__((weak));
void __tsan_switch_to_fiber(void *fiber, unsigned flags) __attribute__((weak));
void __tsan_set_fiber_name(void *fiber, const char *name) __attribute__((weak));
void *__tsan_get_current_fiber(void) __attribute__((weak));
void __tsan_func_entry(void *call_pc) __attribute__((weak));
void __tsan_func_exit(void) __attribute__((weak));
void __sanitizer_start_switch_fiber(void **fake, const void *bottom, size_t size)
    __attribute__((weak));
void __sanitizer_finish_switch_fiber(void *fake, const void **bottom, size_t *size)
    __attribute__((weak));
void __asan_unpoison_memory_region(const volatile void *p, size_t size) __attribute__((weak));
void __asan_poison_memory_region(const volatile void *p, size_t size) __attribute__((weak));
void *__asan_region_is_poisoned(void *p, size_t size) __attribute__((weak));
void __asan_report_load_n(void *p, size_t size) __attribute__((weak));
void __asan_loadN(void *p, size_t size) __attribute__((weak));
void __asan_storeN(void *p, size_t size) __attribute__((weak));
void __lsan_register_root_region(const void *p, size_t size) __attribute__((weak));
void __lsan_unregister_root_region(const void *p, size_t size) __attribute__((weak));
void AnnotateIgnoreWritesBegin(const char *file, int line) __attribute__((weak));
void AnnotateBenignRaceSized(const char *file, int line, const volatile void *at, size_t size,
                             const char *what) __attribute__((weak));
void AnnotateIgnoreWritesEnd(const char *file, int line) __attribute__((weak));

/* A Valgrind client request; the default answer where there is no Valgrind. */
static uint64_t valgrind_request(uint64_t fallback, uint64_t request, uint64_t a1, uint64_t a2)
{
    uint64_t args[6] = {request, a1, a2, 0, 0, 0};
#if defined(__x86_64__)
    uint64_t result = fallback;

    __asm__ volatile("rolq $3, %%rdi; rolq $13, %%rdi; rolq $61, %%rdi; rolq $51, %%rdi\n\t"
                     "xchgq %%rbx, %%rbx"
                     : "+d"(result)
                     : "a"(&args[0])
                     : "cc", "memory");
    return result;
#elif defined(__aarch64__)
    register uint64_t result __asm__("x3") = fallback;
    register uint64_t *block __asm__("x4") = &args[0];

    __asm__ volatile("ror x12, x12, #3; ror x12, x12, #13; ror x12, x12, #51; ror x12, x12, #61\n\t"
                     "orr x10, x10, x10"
                     : "+r"(result)
                     : "r"(block)
                     : "cc", "memory");
    return result;
#else
    (void)args;
    return fallback;
#endif
}

enum {
    VG_RUNNING = 0x1001,
    VG_STACK_REGISTER = 0x1501,
    VG_STACK_DEREGISTER = 0x1502,
    VG_MAKE_DEFINED = 0x4d430002, /* memcheck's: 'M', 'C', 2 */
};

/* This library as it is loaded; the whole program if it is linked into that. The linker's own symbols. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char etext[] __attribute__((visibility("hidden")));
static bool within_program; /* linked into it: only a program names an interpreter */

static void within_find(void)
{
    const ElfW(Ehdr) *head = (const void *)__ehdr_start;
    const ElfW(Phdr) *part = (const void *)(__ehdr_start + head->e_phoff);

    for (unsigned i = 0; i < head->e_phnum; i++)
        within_program |= part[i].p_type == PT_INTERP;
}

/* Before any call of the library: also what never asks who calls, such as a lock that is free, makes edges. */
__attribute__((constructor(101))) static void tools_find(void)
{
    uint32_t tools = 0;

    if (__tsan_create_fiber && __tsan_switch_to_fiber)
        tools |= TOOL_TSAN;
    if (__sanitizer_start_switch_fiber && __asan_unpoison_memory_region)
        tools |= TOOL_ASAN;
    if (valgrind_request(0, VG_RUNNING, 0, 0))
        tools |= TOOL_VALGRIND;
    rn__tools = tools;
    if (tools & TOOL_TSAN)
        within_find();
}

/*
 * Where the program called the library from; NULL if that cannot be told, as with the static library.
 * ThreadSanitizer knows the call stack from instrumented functions, and the library has none, so its reports
 * would end with whoever called the function that called us. The library keeps frame pointers; whoever called it may
 * use that register for something else, so of a frame that is not surely ours nothing is read.
 */
static NOINLINE void *caller_outside(void)
{
    const uintptr_t *frame = __builtin_frame_address(0);

    if (within_program)
        return NULL;
    for (unsigned i = 0; i < 32; i++) {
        uintptr_t at = frame[1], next = frame[0];

        if (at < (uintptr_t)__ehdr_start || at >= (uintptr_t)etext)
            return (void *)at;
        /* The library may also be linked into another one, whose frames are then between. */
        if (next <= (uintptr_t)frame || next - (uintptr_t)frame > 65536 || next % sizeof next)
            return NULL;
        frame = (const uintptr_t *)next;
    }
    return NULL;
}

/* Around what ThreadSanitizer may report, or take for the origin of something: the program's line. */
static void *frame_begin(void)
{
    void *pc = __tsan_func_entry && __tsan_func_exit ? caller_outside() : NULL;

    if (pc)
        __tsan_func_entry(pc);
    return pc;
}
static void frame_end(const void *frame)
{
    if (frame)
        __tsan_func_exit();
}

void rn__tool_defined(const void *p, size_t size)
{
    valgrind_request(0, VG_MAKE_DEFINED, (uint64_t)(uintptr_t)p, size);
}

void rn__tool_alive(const void *p, size_t size)
{
    if ((rn__tools & TOOL_ASAN) && __asan_loadN && __asan_region_is_poisoned &&
        __asan_region_is_poisoned((void *)(uintptr_t)p, size))
        __asan_loadN((void *)(uintptr_t)p, size);
}

void rn__tool_read(const void *p, size_t size)
{
    if (size == 0)
        return;
    if (rn__tools & TOOL_TSAN) {
        void *frame = frame_begin();

        __tsan_read_range((void *)(uintptr_t)p, size);
        frame_end(frame);
    }
    if ((rn__tools & TOOL_ASAN) && __asan_loadN && __asan_region_is_poisoned &&
        __asan_region_is_poisoned((void *)(uintptr_t)p, size))
        __asan_loadN((void *)(uintptr_t)p, size);
}

void rn__tool_write(void *p, size_t size)
{
    if (size == 0)
        return;
    if (rn__tools & TOOL_TSAN) {
        void *frame = frame_begin();

        __tsan_write_range(p, size);
        frame_end(frame);
    }
    if ((rn__tools & TOOL_ASAN) && __asan_storeN && __asan_region_is_poisoned &&
        __asan_region_is_poisoned(p, size))
        __asan_storeN(p, size);
}

/* ---- Fibers -------------------------------------------------------------------------------------- */

void *rn__fiber_new(void)
{
    void *frame, *fiber;

    if (!(rn__tools & TOOL_TSAN))
        return NULL;
    frame = frame_begin();
    fiber = __tsan_create_fiber(0);
    frame_end(frame);
    return fiber;
}

void rn__fiber_free(void *fiber)
{
    if (fiber)
        __tsan_destroy_fiber(fiber);
}

void rn__fiber_name(void *fiber, const char *name)
{
    if (fiber && __tsan_set_fiber_name)
        __tsan_set_fiber_name(fiber, name);
}

void *rn__fiber_current(void)
{
    return rn__tools & TOOL_TSAN ? __tsan_get_current_fiber() : NULL;
}

void rn__fiber_borrow(void *fiber)
{
    __tsan_switch_to_fiber(fiber, 1);
}

NO_SANITIZE void rn__fiber_leave(void *to_fiber, void **fake, const void *to_lo, size_t to_size)
{
    if (rn__tools & TOOL_ASAN)
        __sanitizer_start_switch_fiber(fake, to_lo, to_size);
    /* 1: no edge. The default would order everything that shared a thread, and hide races. */
    if (rn__tools & TOOL_TSAN)
        __tsan_switch_to_fiber(to_fiber, 1);
}

NO_SANITIZE void rn__fiber_arrive(void *fake, const void **from_lo, size_t *from_size)
{
    if (rn__tools & TOOL_ASAN)
        __sanitizer_finish_switch_fiber(fake, from_lo, from_size);
}

/* ---- Stacks -------------------------------------------------------------------------------------- */

uint32_t rn__tool_stack_new(char *lo, char *hi)
{
    if (rn__tools & TOOL_VALGRIND)
        return (uint32_t)valgrind_request(0, VG_STACK_REGISTER, (uint64_t)(uintptr_t)lo,
                                          (uint64_t)(uintptr_t)hi);
    return 0;
}

void rn__tool_stack_free(uint32_t id)
{
    if (rn__tools & TOOL_VALGRIND)
        valgrind_request(0, VG_STACK_DEREGISTER, id, 0);
}

void rn__tool_stack_clean(char *lo, char *hi)
{
    if (rn__tools & TOOL_ASAN)
        __asan_unpoison_memory_region(lo, (size_t)(hi - lo));
}

void rn__tool_region_new(char *lo, size_t size)
{
    if ((rn__tools & TOOL_ASAN) && __lsan_register_root_region)
        __lsan_register_root_region(lo, size);
}

void rn__tool_region_free(char *lo, size_t size)
{
    if (rn__tools & TOOL_ASAN) {
        __asan_unpoison_memory_region(lo, size);
        if (__lsan_unregister_root_region)
            __lsan_unregister_root_region(lo, size);
    }
}

void rn__tool_ignore_writes(bool on)
{
    if (!(rn__tools & TOOL_TSAN) || !AnnotateIgnoreWritesBegin)
        return;
    if (on)
        AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    else
        AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
}

void rn__tool_shared(const void *at, size_t size)
{
    if ((rn__tools & TOOL_TSAN) && AnnotateBenignRaceSized)
        AnnotateBenignRaceSized(__FILE__, __LINE__, at, size, "a variable of the thread");
}
