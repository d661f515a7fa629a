/* SPDX-License-Identifier: MIT */
/*
 * explorer.c - see explorer.h for what it promises.
 *
 * Not instrumented, and never while a fiber is in the middle of something: each call of the library's is one
 * step. State of a run is cleared by advancing `run`, the number of the run, which every entry of the tables
 * carries.
 *
 *   views      clk[f] is how much of thread f's past is before this point (its clock moves at each release);
 *              ts[l] is the oldest store to location l that may still be read. Locations are numbered as they
 *              are met.
 *   messages   a store: its value, its place in the location's order, and the view that it releases, if any.
 *   shadow     for each 8 bytes of plain memory, each thread's last reads and writes with their clocks.
 *
 * Plain writes to a location begin its history anew: the race detector has seen to it that nobody can be
 * reading it.
 */
#define _GNU_SOURCE
#include "explorer.h"

#include "explore.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "arch/arch.h"

enum {
    FIBERS = 8,
    FIBER_STACK = 256 << 10,
    LOCATIONS = 4096, /* of a run */
    LOCATION_HASH = 8192,
    SHADOW_HASH = 1 << 16,
    HEAP = 8 << 20,
    POOL = 512 << 20, /* address space for messages and views; only what is used is touched */
    DEPTH = 1 << 20,  /* choices of a run */
    STALE_DEPTH = 4,  /* how many stores back a load may look */
    TRACE = 4096,     /* steps remembered; EXPLORE_TRACE of them, or 100, are shown */
    LOCALS = 4,
    LONE_ROUNDS = 500,
    PCT_CHANGES = 4
};

void *rn__switch(void **save_sp, void *to_sp, void *pass);

/* ---- State ----------------------------------------------------------------------------------------- */

struct view {
    uint32_t n;
    uint32_t clk[FIBERS];
    uint32_t ts[]; /* n of them */
};

struct message {
    struct message *prev;
    struct view *view; /* NULL: releases nothing */
    uint64_t value;
    uint32_t ts;
    int fiber;
};

struct location {
    const void *addr;
    uint64_t run;
    uint32_t id;
    uint32_t size;
    struct message *last;
};

enum fiber_state {
    FIBER_FREE,
    FIBER_READY,
    FIBER_SPIN,
    FIBER_LOCK,
    FIBER_FUTEX,
    FIBER_JOIN,
    FIBER_DONE
};

struct fiber {
    void *sp;
    void (*fn)(void *);
    void *arg;
    void *(*thread_fn)(void *);
    enum fiber_state state;
    uint64_t spin_seen;        /* stores that there were when it began to spin */
    unsigned rounds;           /* that it has spun since somebody stored */
    uint64_t done, relaxed_at; /* steps of its own; at the last relax */
    const uint32_t *wait_word;
    int64_t until;
    bool timed_out;
    int join;
    int priority;
    struct view *cur, *acq, *rel; /* rel: of its last release fence; has_rel */
    bool has_rel;
    int error;
    char *stack;
    char locals[LOCALS][2048];
};

struct access {
    uint32_t clk;
    uint8_t mask;
};
struct cell {
    uintptr_t key;
    uint64_t run;
    struct access access[2][2][FIBERS]; /* [write][atomic] */
    bool has_location;
};

struct choice {
    uint16_t taken, of;
};

struct trace {
    int fiber;
    const struct explore_site *site;
    const char *what;
    const void *addr;
    uint64_t value, other;
    bool stale;
};

static struct fiber fibers[FIBERS];
static int self, fiber_count, alive;
static void *main_sp;
static uint64_t run, stores, steps;
static struct location locations[LOCATION_HASH];
static uint32_t location_count;
static struct cell *shadow;
static uint32_t shadow_used;
static struct view *sc; /* what seq_cst fences and accesses have published; ts alone */
static char *pool, *pool_at;
static char *heap, *heap_at;
static uint32_t *heap_block; /* for each 16 bytes: the block's number */
static struct block {
    char *at;
    size_t size;
    bool freed;
} *blocks;
static uint32_t block_count;
static size_t allocated;
static int64_t now;
static struct trace trace[TRACE];
static unsigned trace_count;

static const struct explore_test *current;
static const char *mode = "exhaustive";
static bool is_random;
static struct choice *choices;
static size_t depth, prefix;
static int preemptions_left, stale_left;
static uint64_t seed, random_state;
static unsigned preempt_one_in, stale_one_in;
static bool by_priority;
static uint64_t change_at[PCT_CHANGES], steps_expected;
static int lowest;
static uint64_t step_limit = 3000;

extern char __executable_start[];
extern struct explore_site __start_explore_sites[], __stop_explore_sites[];

/* ---- Reports --------------------------------------------------------------------------------------- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static void trace_add(const struct explore_site *s, const char *what, const void *addr,
                      uint64_t value, uint64_t other, bool stale)
{
    trace[trace_count++ % TRACE] = (struct trace){self, s, what, addr, value, other, stale};
}

static void report(void)
{
    const char *wanted = getenv("EXPLORE_TRACE");
    unsigned show = wanted ? (unsigned)strtoul(wanted, NULL, 0) : 100;
    unsigned first = trace_count > TRACE ? trace_count - TRACE : 0;

    if (trace_count - first > show)
        first = trace_count - show;
    for (unsigned i = first; i < trace_count; i++) {
        const struct trace *t = &trace[i % TRACE];

        if (t->site)
            fprintf(stderr, "  %4u  thread %d  %-16s %s:%d %s: %p %s%#llx%s\n", i, t->fiber,
                    t->site->op, base_name(t->site->file), t->site->line, t->site->func, t->addr,
                    t->what, (unsigned long long)t->value, t->stale ? " (not the newest)" : "");
        else
            fprintf(stderr, "  %4u  thread %d  %s %p %#llx\n", i, t->fiber, t->what, t->addr,
                    (unsigned long long)t->value);
    }
}

void explore_fail(const char *fmt, ...)
{
    va_list args;

    fflush(stdout);
    fprintf(stderr, "%s: ", current ? current->name : "explorer");
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\n  in thread %d, run %llu (%s", self, (unsigned long long)run, mode);
    if (is_random)
        fprintf(stderr, ", --seed %llu --runs 1", (unsigned long long)seed);
    fprintf(stderr, ")\n");
    report();
    _exit(1);
}

/* ---- Choices --------------------------------------------------------------------------------------- */

static uint32_t next_random(void)
{
    random_state += 0x9E3779B97F4A7C15u; /* splitmix64 */
    uint64_t x = random_state;

    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return (uint32_t)(x >> 32);
}

/* The next branch of the search: 0 is what happens by default. */
static unsigned branch(unsigned of)
{
    unsigned taken = 0;

    if (of <= 1)
        return 0;
    if (depth == DEPTH)
        explore_fail("too many choices");
    if (depth < prefix) {
        if (choices[depth].of != of)
            explore_fail("explorer: the run cannot be repeated: %u choices, then %u",
                         choices[depth].of, of);
        taken = choices[depth].taken;
    } else {
        choices[depth] = (struct choice){0, (uint16_t)of};
    }
    depth++;
    return taken;
}

unsigned explore_choose(unsigned n)
{
    return is_random ? next_random() % n : branch(n);
}

/* ---- Views ------------------------------------------------------------------------------------------ */

static void *pool_take(size_t size)
{
    char *at = pool_at;

    pool_at += (size + 15) & ~(size_t)15;
    if (pool_at > pool + POOL)
        explore_fail("explorer: a run too long for its pool");
    return at;
}

static void join_ts(struct view *to, const struct view *from)
{
    while (to->n < from->n)
        to->ts[to->n++] = 0;
    for (uint32_t i = 0; i < from->n; i++)
        if (to->ts[i] < from->ts[i])
            to->ts[i] = from->ts[i];
}

static void join(struct view *to, const struct view *from)
{
    join_ts(to, from);
    for (int f = 0; f < FIBERS; f++)
        if (to->clk[f] < from->clk[f])
            to->clk[f] = from->clk[f];
}

static void view_set(struct view *v, uint32_t id, uint32_t ts)
{
    while (v->n <= id)
        v->ts[v->n++] = 0;
    if (v->ts[id] < ts)
        v->ts[id] = ts;
}
static uint32_t view_get(const struct view *v, uint32_t id)
{
    return id < v->n ? v->ts[id] : 0;
}

static void view_clear(struct view *v)
{
    v->n = 0;
    memset(v->clk, 0, sizeof v->clk);
}

static struct view *view_new(const struct view *from)
{
    struct view *v = pool_take(sizeof *v + from->n * sizeof v->ts[0]);

    memcpy(v, from, sizeof *v + from->n * sizeof v->ts[0]);
    return v;
}

static struct view *view_room(void)
{
    struct view *v = calloc(1, sizeof *v + LOCATIONS * sizeof v->ts[0]);

    if (!v)
        abort();
    return v;
}

/* ---- Plain memory ------------------------------------------------------------------------------------ */

static struct cell *cell_at(uintptr_t key)
{
    uint32_t i = (uint32_t)((key * 0x9E3779B97F4A7C15u) >> 48) % SHADOW_HASH;

    while (shadow[i].run == run) {
        if (shadow[i].key == key)
            return &shadow[i];
        i = (i + 1) % SHADOW_HASH;
    }
    if (++shadow_used > SHADOW_HASH / 4 * 3)
        explore_fail("explorer: too much memory is touched");
    memset(&shadow[i], 0, sizeof shadow[i]);
    shadow[i].run = run;
    shadow[i].key = key;
    return &shadow[i];
}

static struct location *location_find(const void *addr)
{
    uint32_t i = (uint32_t)(((uintptr_t)addr * 0x9E3779B97F4A7C15u) >> 40) % LOCATION_HASH;

    while (locations[i].run == run) {
        if (locations[i].addr == addr)
            return &locations[i];
        i = (i + 1) % LOCATION_HASH;
    }
    locations[i].addr = addr;
    locations[i].last = NULL;
    return &locations[i]; /* run is not set: not in use */
}

static void check_freed(const void *p, size_t size)
{
    const char *at = p;

    if (at >= heap && at < heap_at) {
        const struct block *b = &blocks[heap_block[(at - heap) / 16]];

        if (b->freed)
            explore_fail("access to %p, %zu bytes into memory that was freed", p,
                         (size_t)(at - b->at));
        if (at + size > b->at + b->size)
            explore_fail("access to %p, beyond the end of a block of %zu bytes", p, b->size);
    }
}

/* One access to memory, plain or atomic, checked against everybody else's. */
static void touch(const void *p, size_t size, bool write, bool atomic, void *pc)
{
    uintptr_t at = (uintptr_t)p, end = at + size;
    struct fiber *me = &fibers[self];

    check_freed(p, size);
    while (at < end) {
        uintptr_t key = at >> 3, stop = (key + 1) << 3;
        uint8_t mask = 0;
        struct cell *c;

        for (uintptr_t b = at; b < end && b < stop; b++)
            mask |= (uint8_t)(1u << (b & 7));
        c = cell_at(key);
        for (int f = 0; f < fiber_count; f++) {
            if (f == self)
                continue;
            for (int w = write ? 0 : 1; w < 2; w++) { /* a read minds writes only */
                for (int a = 0; a < 2; a++) {
                    const struct access *o = &c->access[w][a][f];

                    if ((a && atomic) || !(o->mask & mask) || o->clk <= me->cur->clk[f])
                        continue;
                    trace_add(NULL, write ? "writes" : "reads", p, (uint64_t)(uintptr_t)pc, 0,
                              false);
                    explore_fail("data race: %s%s of %zu bytes at %p by thread %d (addr2line %#zx) "
                                 "is not ordered "
                                 "after a %s%s by thread %d",
                                 atomic ? "atomic " : "", write ? "write" : "read", size, p, self,
                                 (size_t)((char *)pc - __executable_start), a ? "atomic " : "",
                                 w ? "write" : "read", f);
                }
            }
        }
        {
            struct access *mine = &c->access[write][atomic][self];

            if (mine->clk != me->cur->clk[self])
                mine->mask = 0;
            mine->clk = me->cur->clk[self];
            mine->mask |= mask;
        }
        if (atomic) {
            c->has_location = true;
        } else if (write && c->has_location) {
            for (uintptr_t b = key << 3; b < stop; b++) {
                struct location *l = location_find((void *)b);

                if (l->run == run && b < end && b + l->size > (uintptr_t)p)
                    l->last = NULL; /* a history begins */
            }
        }
        at = stop;
    }
}

void explore_read(const void *p, size_t size)
{
    touch(p, size, false, false, __builtin_return_address(0));
}
void explore_write(void *p, size_t size)
{
    touch(p, size, true, false, __builtin_return_address(0));
}

#define CALLBACK_(name, size, write)                                                               \
    void name(void *p);                                                                            \
    void name(void *p)                                                                             \
    {                                                                                              \
        if (alive)                                                                                 \
            touch(p, size, write, false, __builtin_return_address(0));                             \
    }
#define CALLBACKS_(size)                                                                           \
    CALLBACK_(__tsan_read##size, size, false)                                                      \
    CALLBACK_(__tsan_write##size, size, true)                                                      \
    CALLBACK_(__tsan_volatile_read##size, size, false)                                             \
    CALLBACK_(__tsan_volatile_write##size, size, true)                                             \
    CALLBACK_(__tsan_unaligned_read##size, size, false)                                            \
    CALLBACK_(__tsan_unaligned_write##size, size, true)                                            \
    CALLBACK_(__tsan_unaligned_volatile_read##size, size, false)                                   \
    CALLBACK_(__tsan_unaligned_volatile_write##size, size, true)
CALLBACKS_(1)
CALLBACKS_(2)
CALLBACKS_(4)
CALLBACKS_(8)
CALLBACKS_(16)

void __tsan_read_range(void *p, unsigned long size);
void __tsan_read_range(void *p, unsigned long size)
{
    if (alive)
        touch(p, size, false, false, __builtin_return_address(0));
}
void __tsan_write_range(void *p, unsigned long size);
void __tsan_write_range(void *p, unsigned long size)
{
    if (alive)
        touch(p, size, true, false, __builtin_return_address(0));
}
void __tsan_init(void);
void __tsan_init(void) {}
void __tsan_func_entry(void *pc);
void __tsan_func_entry(void *pc)
{
    (void)pc;
}
void __tsan_func_exit(void);
void __tsan_func_exit(void) {}
void *__tsan_memcpy(void *to, const void *from, unsigned long size);
void *__tsan_memcpy(void *to, const void *from, unsigned long size)
{
    return memcpy(to, from, size);
}
void *__tsan_memset(void *to, int value, unsigned long size);
void *__tsan_memset(void *to, int value, unsigned long size)
{
    return memset(to, value, size);
}
void *__tsan_memmove(void *to, const void *from, unsigned long size);
void *__tsan_memmove(void *to, const void *from, unsigned long size)
{
    return memmove(to, from, size);
}

/* ---- Memory of the run -------------------------------------------------------------------------------- */

int explore_memalign(void **ret_p, size_t align, size_t size);
void *explore_realloc(void *p, size_t size);

int explore_memalign(void **ret_p, size_t align, size_t size)
{
    char *at = (char *)(((uintptr_t)heap_at + 15 + (align - 1)) &
                        ~(uintptr_t)((align < 16 ? 16 : align) - 1));
    struct block *b;

    if (at + size + 16 > heap + HEAP)
        explore_fail("explorer: the heap is too small");
    if (block_count == HEAP / 64)
        explore_fail("explorer: too many blocks");
    b = &blocks[block_count];
    *b = (struct block){at, size, false};
    for (char *p = at; p < at + size + 16; p += 16)
        heap_block[(p - heap) / 16] = block_count;
    block_count++;
    heap_at = at + ((size + 15) & ~(size_t)15);
    allocated += size;
    memset(at, 0xA5, size);
    *ret_p = at;
    return 0;
}

void *explore_malloc(size_t size)
{
    void *p;

    explore_memalign(&p, 16, size);
    return p;
}

static struct block *block_of(void *p)
{
    struct block *b = &blocks[heap_block[((char *)p - heap) / 16]];

    if ((char *)p < heap || (char *)p >= heap_at || b->at != p)
        explore_fail("free of %p, which is no block", p);
    if (b->freed)
        explore_fail("%p is freed twice", p);
    return b;
}

void explore_free(void *p)
{
    struct block *b;

    if (!p)
        return;
    b = block_of(p);
    if (b->size <= 4096) { /* whoever still uses it is not ordered before us */
        for (size_t i = 0; i < b->size; i += 8) {
            uintptr_t key = ((uintptr_t)p + i) >> 3;
            uint32_t h = (uint32_t)((key * 0x9E3779B97F4A7C15u) >> 48) % SHADOW_HASH;

            while (shadow[h].run == run && shadow[h].key != key)
                h = (h + 1) % SHADOW_HASH;
            if (shadow[h].run == run)
                touch((char *)p + i, b->size - i < 8 ? b->size - i : 8, true, false,
                      __builtin_return_address(0));
        }
    }
    trace_add(NULL, "frees", p, b->size, 0, false);
    b->freed = true;
    allocated -= b->size;
}

void *explore_realloc(void *p, size_t size)
{
    void *q = explore_malloc(size);

    if (p) {
        size_t old = block_of(p)->size;

        memcpy(q, p, old < size ? old : size);
        explore_free(p);
    }
    return q;
}

size_t explore_allocated(void)
{
    return allocated;
}

void *explore_thread_local(const char *name, unsigned long size);
void *explore_thread_local(const char *name, unsigned long size)
{
    static const char *names[LOCALS];
    static _Alignas(64) char
        outside[LOCALS][sizeof fibers[0].locals[0]]; /* at the program's end no thread runs */

    if (size > sizeof fibers[0].locals[0])
        explore_fail("explorer: a thread-local of %lu bytes", size);
    for (int i = 0; i < LOCALS; i++) {
        if (!names[i])
            names[i] = name;
        if (strcmp(names[i], name) == 0)
            return self < 0 ? (void *)outside[i] : fibers[self].locals[i];
    }
    explore_fail("explorer: too many thread-locals");
}

/* ---- Fibers -------------------------------------------------------------------------------------------- */

static bool enabled(const struct fiber *f)
{
    switch (f->state) {
    case FIBER_READY:
        return true;
    case FIBER_SPIN:
        return f->spin_seen != stores;
    case FIBER_LOCK:
        return !(*f->wait_word & 1);
    case FIBER_JOIN:
        return fibers[f->join].state == FIBER_DONE;
    default:
        return false;
    }
}

static void switch_fiber(int to)
{
    int from = self;

    if (to == from)
        return;
    self = to;
    (void)rn__switch(&fibers[from].sp, fibers[to].sp, NULL);
}

static void deadlock(void)
{
    static const char *const text[] = {
        "free", "ready", "spins", "waits for a lock", "sleeps on a futex", "joins", "done"};

    for (int f = 0; f < fiber_count; f++)
        fprintf(stderr, "  thread %d %s %p\n", f, text[fibers[f].state],
                (const void *)fibers[f].wait_word);
    explore_fail("nobody can go on");
}

/* Whose time is up need not sleep any more. */
static void wake_due(void)
{
    for (int f = 0; f < fiber_count; f++) {
        if (fibers[f].state == FIBER_FUTEX && fibers[f].until <= now) {
            fibers[f].state = FIBER_READY;
            fibers[f].timed_out = true;
        }
    }
}

/* Somebody must go on: choose whom; current is the one that could go on without a switch, or -1. */
static int schedule(int could)
{
    int others[FIBERS], n = 0;
    unsigned pick;

    if (++steps > step_limit)
        explore_fail("more than %llu steps", (unsigned long long)step_limit);
    for (;;) {
        int64_t first = INT64_MAX;

        n = 0;
        for (int f = 0; f < fiber_count; f++)
            if (f != could && enabled(&fibers[f]))
                others[n++] = f;
        if (n || could >= 0)
            break;
        for (int f = 0; f < fiber_count; f++)
            if (fibers[f].state == FIBER_FUTEX && fibers[f].until < first)
                first = fibers[f].until;
        /* Whoever spins may do so for a number of rounds only, and then sleep. */
        for (int f = 0; f < fiber_count; f++)
            if (fibers[f].state == FIBER_SPIN && fibers[f].rounds++ < LONE_ROUNDS)
                return f;
        if (first == INT64_MAX)
            deadlock();
        if (first > now)
            now = first;
        for (int f = 0; f < fiber_count; f++)
            fibers[f].rounds = 0;
        wake_due();
    }
    if (is_random) {
        if (by_priority) {
            int best = could >= 0 ? could : others[0];

            for (int i = 0; could >= 0 && i < PCT_CHANGES; i++)
                if (steps == change_at[i])
                    fibers[could].priority = --lowest;
            for (int i = 0; i < n; i++)
                if (fibers[others[i]].priority > fibers[best].priority)
                    best = others[i];
            return best;
        }
        if (could >= 0 && (n == 0 || next_random() % preempt_one_in))
            return could;
        return others[next_random() % (unsigned)n];
    }
    if (could >= 0) {
        if (n == 0 || preemptions_left == 0)
            return could;
        pick = branch((unsigned)n + 1);
        if (pick == 0)
            return could;
        preemptions_left--;
        return others[pick - 1];
    }
    return others[branch((unsigned)n)];
}

/* Before each step. */
static void point(void)
{
    fibers[self].done++;
    switch_fiber(schedule(self));
}

/* The caller cannot go on. */
static void block(void)
{
    struct fiber *me = &fibers[self];

    switch_fiber(schedule(-1));
    me->state = FIBER_READY;
}

static void all_ended(void)
{
    self = -1;
}

static void fiber_main(void)
{
    struct fiber *me = &fibers[self];

    if (me->thread_fn)
        me->thread_fn(me->arg);
    else
        me->fn(me->arg);
    me->state = FIBER_DONE;
    alive--;
    stores++;
    if (alive == 0) {
        void *dead;

        all_ended();
        (void)rn__switch(&dead, main_sp, NULL);
    }
    switch_fiber(schedule(-1));
    abort();
}

static int fiber_new(void (*fn)(void *), void *(*thread_fn)(void *), void *arg)
{
    struct fiber *f = &fibers[fiber_count];
    struct arch_frame *frame;

    if (fiber_count == FIBERS)
        explore_fail("explorer: too many threads");
    f->fn = fn;
    f->thread_fn = thread_fn;
    f->arg = arg;
    f->state = FIBER_READY;
    f->has_rel = false;
    f->error = 0;
    f->wait_word = NULL;
    f->rounds = 0;
    f->done = 1;
    f->relaxed_at = 0;
    f->priority = is_random ? (int)(next_random() % 1000) : 0;
    memset(f->locals, 0, sizeof f->locals);
    view_clear(f->cur);
    view_clear(f->acq);
    view_clear(f->rel);
    if (fiber_count > 0) {
        join(f->cur, fibers[self].cur);
        fibers[self].cur->clk[self]++;
    }
    f->cur->clk[fiber_count] = 1;
    frame = (struct arch_frame *)(void *)(f->stack + FIBER_STACK - 64 - sizeof *frame);
    memset(frame, 0, sizeof *frame);
    frame->pc = fiber_main;
    /* As a call would leave it: rn__switch returns into fiber_main, whose frame expects a return address. */
#if defined(__x86_64__)
    frame = (struct arch_frame *)(void *)((char *)frame - 8);
    memset(frame, 0, sizeof *frame);
    frame->pc = fiber_main;
#endif
    f->sp = frame;
    alive++;
    return fiber_count++;
}

int explore_start(void (*fn)(void *), void *arg)
{
    int f = fiber_new(fn, NULL, arg);

    trace_add(NULL, "starts thread", arg, (uint64_t)f, 0, false);
    point();
    return f;
}

void explore_join(int thread)
{
    fibers[self].join = thread;
    fibers[self].state = FIBER_JOIN;
    if (enabled(&fibers[self]))
        fibers[self].state = FIBER_READY;
    else
        block();
    join(fibers[self].cur, fibers[thread].cur);
}

void explore_join_all(void)
{
    for (int f = 1; f < fiber_count; f++)
        if (f != self)
            explore_join(f);
}

int explore_self(void)
{
    return self;
}

int explore_threads(void)
{
    return alive;
}

int explore_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attr, void *(*fn)(void *),
                           void *arg);
int explore_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attr, void *(*fn)(void *),
                           void *arg)
{
    int f;

    (void)attr;
    *ret_thread = (pthread_t)fiber_count;
    explore_write(ret_thread, sizeof *ret_thread);
    f = fiber_new(NULL, fn, arg);
    trace_add(NULL, "starts thread", arg, (uint64_t)f, 0, false);
    point();
    return 0;
}
int explore_pthread_join(pthread_t thread, void **ret);
int explore_pthread_join(pthread_t thread, void **ret)
{
    (void)ret;
    explore_join((int)thread);
    return 0;
}
int explore_pthread_detach(pthread_t thread);
int explore_pthread_detach(pthread_t thread)
{
    (void)thread;
    return 0;
}
pthread_t explore_pthread_self(void);
pthread_t explore_pthread_self(void)
{
    return (pthread_t)self;
}
int *explore_errno(void);
int *explore_errno(void)
{
    return &fibers[self].error;
}
int explore_pthread_once(pthread_once_t *once, void (*fn)(void));
int explore_pthread_once(pthread_once_t *once, void (*fn)(void))
{
    (void)once;
    (void)fn;
    return 0;
}

/* ---- The atomics ------------------------------------------------------------------------------------------ */

static uint64_t memory_get(const void *p, unsigned size)
{
    switch (size) {
    case 1:
        return *(const volatile uint8_t *)p;
    case 2:
        return *(const volatile uint16_t *)p;
    case 4:
        return *(const volatile uint32_t *)p;
    default:
        return *(const volatile uint64_t *)p;
    }
}

static void memory_set(void *p, unsigned size, uint64_t v)
{
    switch (size) {
    case 1:
        *(volatile uint8_t *)p = (uint8_t)v;
        break;
    case 2:
        *(volatile uint16_t *)p = (uint16_t)v;
        break;
    case 4:
        *(volatile uint32_t *)p = (uint32_t)v;
        break;
    default:
        *(volatile uint64_t *)p = v;
        break;
    }
}

static uint64_t cut(uint64_t v, unsigned size)
{
    return size == 8 ? v : v & (((uint64_t)1 << (8 * size)) - 1);
}

static struct message *message_new(struct location *l, uint64_t value, struct view *view)
{
    struct message *m = pool_take(sizeof *m);

    m->prev = l->last;
    m->view = view;
    m->value = value;
    m->ts = l->last ? l->last->ts + 1 : 0;
    m->fiber = self;
    l->last = m;
    return m;
}

/* p's location, its history begun if need be. */
static struct location *locate(const void *p, unsigned size)
{
    struct location *l = location_find(p);
    uint64_t value = memory_get(p, size);

    if (l->run != run || !l->last || l->size != size || l->last->value != value) {
        if (location_count == LOCATIONS)
            explore_fail("explorer: too many locations");
        l->run = run;
        l->size = size;
        l->id = location_count++;
        l->last = NULL;
        message_new(l, value, NULL);
    }
    return l;
}

static uint8_t order_of(const struct explore_site *s)
{
    return s->weak ? EXPLORE_RELAXED : s->order;
}

/* me has read m with the given order. */
static void take_over(struct fiber *me, const struct location *l, const struct message *m,
                      uint8_t order)
{
    view_set(me->cur, l->id, m->ts);
    if (!m->view)
        return;
    if (order & EXPLORE_ACQUIRE)
        join(me->cur, m->view);
    else
        join(me->acq, m->view);
}

/* The view that a store of me with the given order releases; under: of the message that a read-modify-write
 * has read. */
static struct view *release_view(struct fiber *me, const struct location *l, uint32_t ts,
                                 uint8_t order, struct view *under)
{
    struct view *v;

    if (order & EXPLORE_RELEASE) {
        view_set(me->cur, l->id, ts);
        v = view_new(me->cur);
        if (under) {
            me->acq->n = me->acq->n; /* acq is untouched: under joins the message alone */
            struct view *both = pool_take(sizeof *both + LOCATIONS * sizeof both->ts[0]);

            memcpy(both, v, sizeof *v + v->n * sizeof v->ts[0]);
            join(both, under);
            v = both;
        }
        me->cur->clk[self]++;
        return v;
    }
    if (me->has_rel) {
        v = view_new(me->rel);
        if (under) {
            struct view *both = pool_take(sizeof *both + LOCATIONS * sizeof both->ts[0]);

            memcpy(both, v, sizeof *v + v->n * sizeof v->ts[0]);
            join(both, under);
            v = both;
        }
        return v;
    }
    return under;
}

/* Which of the stores that me may read a load reads: how many before the newest. unlike: not this value. */
static struct message *pick_message(struct fiber *me, const struct location *l, uint8_t order,
                                    bool unlike, uint64_t value)
{
    uint32_t oldest = view_get(me->cur, l->id);
    struct message *may[STALE_DEPTH + 1], *m = l->last;
    unsigned n = 0, pick;

    if (order == EXPLORE_SEQ_CST && oldest < view_get(sc, l->id))
        oldest = view_get(sc, l->id);
    may[n++] = m;
    while (m->ts > oldest && n <= STALE_DEPTH) {
        m = m->prev;
        if (!unlike || m->value != value)
            may[n++] = m;
    }
    if (n == 1)
        return may[0];
    if (is_random)
        return stale_one_in && next_random() % stale_one_in == 0 ? may[next_random() % n] : may[0];
    if (stale_left == 0)
        return may[0];
    pick = branch(n);
    if (pick)
        stale_left--;
    return may[pick];
}

uint64_t explore_load(const struct explore_site *s, const void *p, unsigned size)
{
    struct fiber *me = &fibers[self];
    struct location *l;
    struct message *m;
    uint8_t order = order_of(s);

    if (!alive)
        return memory_get(p, size);
    if (s->order == EXPLORE_OWNED) {
        touch(p, size, false, true, __builtin_return_address(0));
        l = locate(p, size);
        if (view_get(me->cur, l->id) < l->last->ts)
            explore_fail("load_owned of %p in %s:%d, but another thread has stored", p,
                         base_name(s->file), s->line);
        return l->last->value;
    }
    if (strcmp(s->func, "spin_try") == 0) { /* the exchange that follows decides */
        check_freed(p, size);
        return memory_get(p, size);
    }
    point();
    check_freed(p, size);
    l = locate(p, size);
    m = pick_message(me, l, order, false, 0);
    take_over(me, l, m, order);
    touch(p, size, false, true,
          __builtin_return_address(0)); /* what it acquires orders the access itself */
    trace_add(s, "is ", p, m->value, 0, m != l->last);
    return m->value;
}

static void after_store(void)
{
    stores++;
}

void explore_store(const struct explore_site *s, void *p, unsigned size, uint64_t v)
{
    struct fiber *me = &fibers[self];
    struct location *l;
    struct message *m;
    uint8_t order = order_of(s);

    if (!alive) {
        memory_set(p, size, v);
        return;
    }
    point();
    touch(p, size, true, true, __builtin_return_address(0));
    l = locate(p, size);
    m = message_new(l, cut(v, size), NULL);
    m->view = release_view(me, l, m->ts, order, NULL);
    view_set(me->cur, l->id, m->ts);
    if (order == EXPLORE_SEQ_CST)
        view_set(sc, l->id, m->ts);
    memory_set(p, size, v);
    trace_add(s, "= ", p, m->value, 0, false);
    after_store();
}

static void rmw_store(struct fiber *me, const struct explore_site *s, struct location *l, void *p,
                      unsigned size, uint64_t v)
{
    struct message *was = l->last, *m;
    uint8_t order = order_of(s);

    take_over(me, l, was, order);
    touch(p, size, true, true, __builtin_return_address(0));
    m = message_new(l, cut(v, size), NULL);
    m->view = release_view(me, l, m->ts, order, was->view);
    view_set(me->cur, l->id, m->ts);
    if (order == EXPLORE_SEQ_CST)
        view_set(sc, l->id, m->ts);
    memory_set(p, size, v);
    trace_add(s, "= ", p, m->value, was->value, false);
    after_store();
}

uint64_t explore_rmw(const struct explore_site *s, void *p, unsigned size, enum explore_rmw what,
                     uint64_t v)
{
    struct location *l;
    uint64_t was, next = 0;

    if (alive) {
        point();
        check_freed(p, size);
    }
    was = memory_get(p, size);
    switch (what) {
    case EXPLORE_SWAP:
        next = v;
        break;
    case EXPLORE_ADD:
        next = was + v;
        break;
    case EXPLORE_SUB:
        next = was - v;
        break;
    case EXPLORE_OR:
        next = was | v;
        break;
    case EXPLORE_AND:
        next = was & v;
        break;
    }
    if (!alive) {
        memory_set(p, size, next);
        return was;
    }
    l = locate(p, size);
    rmw_store(&fibers[self], s, l, p, size, next);
    return was;
}

bool explore_cas(const struct explore_site *s, void *p, unsigned size, void *expected, uint64_t v)
{
    struct fiber *me = &fibers[self];
    uint64_t want = memory_get(expected, size);
    struct location *l;
    struct message *m;

    if (!alive) {
        if (memory_get(p, size) == want) {
            memory_set(p, size, v);
            return true;
        }
        memory_set(expected, size, memory_get(p, size));
        return false;
    }
    point();
    check_freed(p, size);
    l = locate(p, size);
    /* It fails by reading any value that it may read and does not expect; it succeeds on the newest alone. */
    m = strcmp(s->func, "spin_try") == 0 ? l->last
                                         : pick_message(me, l, s->weak ? 0 : s->fail, true, want);
    if (m == l->last && m->value == want) {
        rmw_store(me, s, l, p, size, v);
        return true;
    }
    take_over(me, l, m, s->weak ? EXPLORE_RELAXED : s->fail);
    touch(p, size, false, true, __builtin_return_address(0));
    trace_add(s, "fails: ", p, m->value, want, m != l->last);
    memory_set(expected, size, m->value);
    return false;
}

static void sc_fence(struct fiber *me, int f)
{
    join(me->cur, me->acq);
    join_ts(me->cur, sc);
    join_ts(sc, me->cur);
    view_clear(me->rel);
    join(me->rel, me->cur);
    me->has_rel = true;
    me->cur->clk[f]++;
}

void explore_fence(const struct explore_site *s)
{
    struct fiber *me = &fibers[self];

    if (!alive || s->weak)
        return;
    point();
    if (s->order == EXPLORE_SEQ_CST) {
        sc_fence(me, self);
    } else if (s->order == EXPLORE_ACQUIRE) {
        join(me->cur, me->acq);
    } else {
        view_clear(me->rel);
        join(me->rel, me->cur);
        me->has_rel = true;
        me->cur->clk[self]++;
    }
    trace_add(s, "", NULL, 0, 0, false);
}

void explore_membarrier(void)
{
    point();
    for (int f = 0; f < fiber_count; f++)
        join_ts(sc, fibers[f].cur);
    for (int f = 0; f < fiber_count; f++)
        sc_fence(&fibers[f], f);
    trace_add(NULL, "membarrier", NULL, 0, 0, false);
}

/* ---- Waiting ------------------------------------------------------------------------------------------------ */

/* Everything stored becomes visible in the end: to a thread that spins, now. */
static bool catch_up(struct fiber *me)
{
    bool old = false;

    for (uint32_t i = 0; i < LOCATION_HASH; i++) {
        const struct location *l = &locations[i];

        if (l->run == run && l->last && view_get(me->cur, l->id) < l->last->ts && l->last->ts > 0) {
            view_set(me->cur, l->id, l->last->ts);
            old = true;
        }
    }
    return old;
}

void explore_relax(void)
{
    struct fiber *me = &fibers[self];

    if (!alive)
        return;
    if (me->relaxed_at == me->done)
        return; /* it has not even looked meanwhile */
    me->relaxed_at = me->done;
    if (catch_up(me))
        return;
    me->spin_seen = stores;
    me->state = FIBER_SPIN;
    block();
    if (me->spin_seen != stores)
        me->rounds = 0;
    catch_up(me);
}

void explore_futex_wait(uint32_t *word, uint32_t value, int64_t until)
{
    struct fiber *me = &fibers[self];

    point();
    check_freed(word, 4);
    if (*word != value) {
        catch_up(me); /* the kernel has looked: so may we */
        return;
    }
    if (until <= now)
        return;
    trace_add(NULL, "sleeps on", word, value, (uint64_t)until, false);
    me->state = FIBER_FUTEX;
    me->wait_word = word;
    me->until = until;
    block();
    me->wait_word = NULL;
    catch_up(me);
}

void explore_futex_wake(uint32_t *word)
{
    point();
    trace_add(NULL, "wakes", word, 0, 0, false);
    for (int f = 0; f < fiber_count; f++) {
        if (fibers[f].state == FIBER_FUTEX && fibers[f].wait_word == word) {
            fibers[f].state = FIBER_READY;
            break;
        }
    }
}

struct spin;
void rn__spin_wait(struct spin *l);
void rn__wait_shortly(unsigned n);
/* In place of base/lock.c: a thread that waits for a lock is not run until it is free, one that waits shortly lets others run. */
void rn__wait_shortly(unsigned n)
{
    (void)n;
    explore_relax();
}
void rn__spin_wait(struct spin *l)
{
    static struct explore_site site = {"cas_acquire",   "spin_try", __FILE__, __LINE__,
                                       EXPLORE_ACQUIRE, 0,          0,        0};
    uint32_t *word = (uint32_t *)(void *)l;

    for (struct explore_site *s = __start_explore_sites; s != __stop_explore_sites; s++)
        if (strcmp(s->func, "spin_try") == 0 && strcmp(s->op, "cas_acquire") == 0)
            site.weak = s->weak;
    for (;;) {
        uint32_t was;

        check_freed(word, 4);
        if (*word & 1) {
            fibers[self].wait_word = word;
            fibers[self].state = FIBER_LOCK;
            block();
            fibers[self].wait_word = NULL;
        }
        was = *word;
        if (!(was & 1) && explore_cas(&site, word, 4, &was, was | 1))
            return;
    }
}

int64_t explore_now(void)
{
    return now;
}

void explore_advance(int64_t ns)
{
    now += ns;
    stores++;
    wake_due();
}

/* ---- Runs ---------------------------------------------------------------------------------------------------- */

static void body(void *arg)
{
    (void)arg;
    current->run();
    explore_join_all();
}

static void begin(void)
{
    run++;
    stores = steps = 0;
    location_count = 0;
    shadow_used = 0;
    pool_at = pool;
    heap_at = heap;
    block_count = 0;
    allocated = 0;
    now = 1000000000;
    trace_count = 0;
    depth = 0;
    fiber_count = 0;
    alive = 0;
    self = 0;
    view_clear(sc);
    preemptions_left = current->preemptions;
    stale_left = current->stale;
}

static void one_run(void)
{
    begin();
    fiber_new(body, NULL, NULL);
    self = 0;
    (void)rn__switch(&main_sp, fibers[0].sp, NULL);
}

/* The next run of the exhaustive search; false: there is none. */
static bool advance(void)
{
    while (depth > 0) {
        struct choice *c = &choices[depth - 1];

        if (++c->taken < c->of) {
            prefix = depth;
            return true;
        }
        depth--;
    }
    return false;
}

static double seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

struct options {
    bool seed_given, random_only, quiet;
    uint64_t seed;
    unsigned runs; /* random ones; 0: as the test says */
    double time;   /* seconds of random runs; 0: by number */
    double most;   /* seconds of the exhaustive search at most; 0: to its end */
};

static void search(const struct explore_test *t, const struct options *o)
{
    double began = seconds();
    uint64_t count = 0;
    bool whole = true;

    current = t;
    if (t->preemptions >= 0 && !o->random_only) {
        is_random = false;
        mode = "exhaustive";
        prefix = 0;
        do {
            one_run();
            count++;
            if (o->most > 0 && count % 1024 == 0 && seconds() - began > o->most) {
                whole = false;
                break;
            }
        } while (advance());
        if (!o->quiet)
            printf("%-28s %9llu runs with %d preemptions, %d old loads%s, %.1f s\n", t->name,
                   (unsigned long long)count, t->preemptions, t->stale,
                   whole ? ": all" : ": not all", seconds() - began);
    }
    is_random = true;
    mode = "random";
    began = seconds();
    count = 0;
    steps_expected = 100;
    for (uint64_t i = 0;; i++) {
        unsigned runs = o->runs ? o->runs : t->random_runs;

        if (o->time > 0 ? seconds() - began > o->time : i >= runs)
            break;
        seed = o->seed + i;
        random_state = seed * 0xD1342543DE82EF95u + 1;
        by_priority = next_random() % 2;
        preempt_one_in = 2u << next_random() % 6;
        stale_one_in = (unsigned[]){0, 2, 4, 10}[next_random() % 4];
        lowest = 0;
        /* A seed alone tells the run: so where the changes may fall must not depend on earlier runs. */
        for (int c = 0; c < PCT_CHANGES; c++)
            change_at[c] = next_random() % (16u << next_random() % 9);
        one_run();
        count++;
    }
    if (!o->quiet && count)
        printf("%-28s %9llu random runs from seed %llu, %.1f s\n", t->name,
               (unsigned long long)count, (unsigned long long)o->seed, seconds() - began);
    fflush(stdout);
}

/* ---- The program ------------------------------------------------------------------------------------------------ */

static struct explore_test *first_test;

void explore_register(struct explore_test *t)
{
    struct explore_test **at = &first_test;

    while (*at)
        at = &(*at)->next;
    t->next = NULL;
    *at = t;
}

static void set_up(void)
{
    shadow = mmap(NULL, SHADOW_HASH * sizeof *shadow, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    pool = mmap(NULL, POOL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                0);
    heap = mmap(NULL, HEAP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                0);
    heap_block = mmap(NULL, HEAP / 16 * 4 + 4096, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    blocks = calloc(HEAP / 64, sizeof *blocks);
    choices = mmap(NULL, DEPTH * sizeof *choices, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (shadow == MAP_FAILED || pool == MAP_FAILED || heap == MAP_FAILED || !blocks)
        abort();
    sc = view_room();
    for (int f = 0; f < FIBERS; f++) {
        fibers[f].cur = view_room();
        fibers[f].acq = view_room();
        fibers[f].rel = view_room();
        fibers[f].stack =
            mmap(NULL, FIBER_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
}

static int site_order(const void *a, const void *b)
{
    const struct explore_site *const *x = a, *const *y = b;
    int by = strcmp((*x)->file, (*y)->file);

    return by ? by : (*x)->line - (*y)->line;
}

/* Take the order of w's site away. How many sites there were; an inline function has one in each file. */
static int weaken(const struct weaken *w)
{
    struct explore_site *at[4096];
    int n = 0, nth = -1, hit = 0;
    const struct explore_site *last = NULL;

    for (struct explore_site *s = __start_explore_sites; s != __stop_explore_sites && n < 4096; s++)
        if (strcmp(s->func, w->func) == 0 && strcmp(s->op, w->op) == 0)
            at[n++] = s;
    qsort(at, (size_t)n, sizeof at[0], site_order);
    for (int i = 0; i < n; i++) {
        if (!last || strcmp(last->file, at[i]->file) != 0 || last->line != at[i]->line)
            nth++;
        last = at[i];
        if (w->nth < 0 || nth == w->nth) {
            at[i]->weak = 1;
            hit++;
        }
    }
    return hit;
}

/* In a process of its own: 0 passed, 1 found something, else an accident. */
static int in_child(const struct explore_test *t, const struct options *o, const struct weaken *w,
                    bool silent)
{
    int status;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        if (silent && !getenv("EXPLORE_TRACE")) {
            FILE *none = freopen("/dev/null", "w", stderr);

            (void)none;
        }
        if (w && weaken(w) == 0) {
            printf("%s: there is no %s in %s to weaken\n", t->name, w->op, w->func);
            exit(3);
        }
        set_up();
        search(t, o);
        exit(0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    printf("%s: ended by signal %d\n", t->name, WTERMSIG(status));
    return 4;
}

/* Weaken each site in turn and say which tests notice: not a test, a way to find tests that are missing. */
static int weaken_all(struct options o, int argc, char **argv)
{
    o.quiet = true;
    for (struct explore_site *s = __start_explore_sites; s != __stop_explore_sites; s++) {
        struct weaken w = {s->func, s->op, 0};
        bool seen = false, done = false;

        if (s->order == EXPLORE_RELAXED || s->order == EXPLORE_OWNED)
            continue;
        for (struct explore_site *e = __start_explore_sites; e != s; e++) {
            if (strcmp(e->file, s->file) == 0 && strcmp(e->func, s->func) == 0 &&
                strcmp(e->op, s->op) == 0) {
                if (e->line == s->line)
                    done = true;
                else if (e->line < s->line)
                    w.nth++;
            }
        }
        if (done)
            continue;
        printf("%s:%d %s %s:", base_name(s->file), s->line, s->func, s->op);
        for (struct explore_test *t = first_test; t; t = t->next) {
            bool wanted = argc == 0;

            for (int i = 0; i < argc; i++)
                wanted |= strstr(t->name, argv[i]) != NULL;
            if (wanted && !t->must_fail && !t->open && in_child(t, &o, &w, true) == 1) {
                printf(" %s", t->name);
                seen = true;
            }
        }
        printf("%s\n", seen ? "" : " NOBODY");
        fflush(stdout);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct options o = {.seed = 1};
    bool expect_bug = false, all_sites = false;
    int named = 0, failed = 0, ran = 0;

    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;

        if (strcmp(argv[i], "--list") == 0) {
            for (struct explore_test *t = first_test; t; t = t->next)
                puts(t->name);
            return 0;
        } else if (strcmp(argv[i], "--seed") == 0 && more) {
            o.seed = strtoull(argv[++i], NULL, 0);
            o.seed_given = o.random_only = true;
        } else if (strcmp(argv[i], "--runs") == 0 && more) {
            o.runs = (unsigned)strtoul(argv[++i], NULL, 0);
        } else if (strcmp(argv[i], "--seconds") == 0 && more) {
            o.time = strtod(argv[++i], NULL);
            o.random_only = true;
            if (!o.seed_given)
                o.seed = (uint64_t)time(NULL) * 1000000;
        } else if (strcmp(argv[i], "--most") == 0 && more) {
            o.most = strtod(argv[++i], NULL);
        } else if (strcmp(argv[i], "--expect-bug") == 0) {
            expect_bug = true; /* the program is a broken variant: the tests named must fail */
        } else if (strcmp(argv[i], "--weaken-all") == 0) {
            all_sites = true;
        } else if (argv[i][0] == '-') {
            fprintf(
                stderr,
                "usage: %s [--list] [--seed N] [--runs N] [--seconds S] [--most S] [--expect-bug] "
                "[--weaken-all] [TEST...]\n",
                argv[0]);
            return 2;
        } else {
            argv[1 + named++] = argv[i];
        }
    }
    if (all_sites)
        return weaken_all(o, named, argv + 1);
    for (struct explore_test *t = first_test; t; t = t->next) {
        bool wanted = named == 0 && !t->open;
        int result;

        for (int i = 0; i < named; i++)
            wanted |= strcmp(t->name, argv[1 + i]) == 0;
        if (!wanted)
            continue;
        ran++;
        result = in_child(t, &o, NULL, expect_bug || t->must_fail);
        if (expect_bug || t->must_fail) {
            bool found = result == 1 || result == 4; /* a crash is a find too */

            printf("%s: %s\n", t->name, found ? "found the bug" : "DID NOT FIND THE BUG");
            failed += !found;
            continue;
        }
        if (result != 0) {
            printf("%s: FAILED\n", t->name);
            failed++;
            continue;
        }
        if (o.random_only)
            continue;
        for (const struct weaken *w = t->breaks; w < t->breaks + 16 && w->func; w++) {
            struct options quiet = o;

            quiet.quiet = true;
            result = in_child(t, &quiet, w, true);
            printf("  without %s in %s (%d): %s\n", w->op, w->func, w->nth,
                   result == 1 ? "found" : "NOT FOUND");
            failed += result != 1;
        }
        fflush(stdout);
    }
    if (ran == 0)
        printf("no such test\n");
    return failed || ran == 0;
}
