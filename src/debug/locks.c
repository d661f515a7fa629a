/* SPDX-License-Identifier: MIT */
/*
 * locks.c - goroutines that wait for each other's locks while others go on, and those that leave their thread with a lock of
 * the thread's, when RUNNEL_LOCKS asks.
 *
 * Circles.
 * Each goroutine that is about to wait for a lock, and is in the queue for it, looks whether that closes a circle
 * (sync/holder.c). If two close it at once both may find it; the first to remember it reports it.
 *
 * Only on request: a mutex has no owner, and who uses one as a semaphore may lock it twice and have it unlocked by
 * another; that is not to be told from a deadlock.
 *
 * Readers. A read-write mutex counts its readers and does not know them. While RUNNEL_LOCKS asks, each is written down here
 * (TOOL_READERS in rn__tools, which is asked in any case), so that a circle through one of several is found, also the smallest,
 * of one that waits for a lock that it has read-locked itself. One that another goroutine has unlocked for it is still taken for
 * a reader.
 *
 * Threads. A plain thread that waits is written down too, with its stack, by which what it has locked is known, and its calls, for
 * the report: while it waits it is in memory that stays.
 *
 * Locks of the thread, as pthread mutexes are: librunnel-locks knows who has which (src/locks), and is asked by each goroutine
 * that is about to wait, yield or end, before it leaves. One that is locked to its thread comes back there: it may
 * wait, but not end. What was reported is forgotten, since the goroutine may unlock it on any thread. Each place is reported
 * once: by where it was locked and where the goroutine leaves.
 */
#include <runnel/debug.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/tools.h"
#include "debug/debug.h"
#include "os/os.h"
#include "sync/holder.h"

enum { REMEMBERED = 64, PATIENCE = 1000, HELD_MAX = 8 };

static bool fatal;
static size_t (*held_leave)(uint64_t id, struct rn__held *ret, size_t room); /* atomic */
static struct spin lock; /* guards the next two */
static uint64_t reported[REMEMBERED];
static unsigned reports;

static uint64_t mixed(uint64_t word)
{
    return word * 0x9E3779B97F4A7C15u;
}

/* sum stands for what is to be reported. */
static bool is_new(uint64_t sum)
{
    bool known = false;

    spin_lock(&lock);
    for (unsigned i = 0; i < REMEMBERED && i < reports; i++)
        known |= reported[i] == sum;
    if (!known)
        reported[reports++ % REMEMBERED] = sum;
    spin_unlock(&lock);
    return !known;
}

/* A circle is known by its waits, in whatever order. */
static uint64_t circle_sum(const struct lock_wait *wait, unsigned n)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < n; i++)
        sum += mixed(((uint64_t)wait[i].tag << 32) + wait[i].nth);
    return sum;
}

/* ---- Reports ------------------------------------------------------------------------------------------------ */

struct report {
    struct out o;
    struct pool pool;
    struct places *known;
    char small[256];
};
enum { REPORT_ROOM = 32 << 10 };

static void report_begin(struct report *r)
{
    char *large;

    r->pool = (struct pool){0};
    r->known = rn__places_new(&r->pool);
    large = rn__pool_take(&r->pool, REPORT_ROOM);
    r->o = (struct out){STDERR_FILENO, 0, large ? REPORT_ROOM : sizeof r->small,
                        large ? large : r->small};
    if (fatal)
        rn__ending();
    else
        rn__report_starts();
    rn__out_str(&r->o, fatal ? "fatal error: " : "runnel: ");
}

static void report_self(struct report *r, const struct g *g, const char *state, const uintptr_t *pc,
                        size_t n)
{
    rn__out_str(&r->o, "\n");
    rn__out_head(&r->o, g, state);
    rn__out_frames(&r->o, r->known, pc, n, true);
    rn__out_created(&r->o, r->known, g->created_by, g->created_at);
}

static void report_end(struct report *r, struct rt *rt)
{
    rn__out_flush(&r->o);
    rn__pool_free(&r->pool);
    if (fatal)
        rn__report_end(rt);
    rn__report_over();
}

/* ---- Circles ------------------------------------------------------------------------------------------------ */

static NOINLINE void report_circle(struct rt *rt, struct g *g, const struct lock_wait *wait,
                                   unsigned n)
{
    uintptr_t pc[FRAMES_MAX];
    struct report r;

    report_begin(&r);
    rn__out_str(&r.o, "locked in a circle:\n");
    rn__out_circle(&r.o, wait, n);
    report_self(&r, g, rn__wait_text[wait[0].why], pc, rn__walk_self(pc, FRAMES_MAX, 2));
    /* The others may still be on their way off the CPU. They wait for nobody there but for who holds up a circle of his
     * own, and each is in one only. */
    for (unsigned i = 1; i < n; i++)
        for (unsigned tries = 0; tries < PATIENCE && load_relaxed(&wait[i].g->on_cpu); tries++)
            rn__os_thread_sleep(100000);
    rn__dump_these(&r.o, rt, wait + 1, n - 1);
    report_end(&r, rt);
}

/* ---- Readers ------------------------------------------------------------------------------------------------- */

/* Who has read-locked what, in no order; a slot is free if its tag is 0. What is not found room for is not known. */
enum { READERS_ROOM = 4096, READERS_NEAR = 16 };
static struct spin readers_lock;
static struct read {
    const void *lock;
    uintptr_t at; /* in the reader's stack */
    uint32_t tag, times;
} readers[READERS_ROOM];

static struct read *reads(uint32_t tag, const void *on, bool make)
{
    size_t at = mixed((uintptr_t)on + tag) >> 40;
    struct read *room = NULL;

    for (size_t i = 0; i < READERS_NEAR; i++) {
        struct read *r = &readers[(at + i) % READERS_ROOM];

        if (r->tag == tag && r->lock == on)
            return r;
        if (!room && r->tag == 0)
            room = r;
    }
    if (!make || !room)
        return NULL;
    *room = (struct read){on, 0, tag, 0};
    return room;
}

static void watch_reader(const void *on, bool in)
{
    const struct g *g = rn__self();
    struct read *r;

    if (g->kind != G_GOROUTINE)
        return;
    spin_lock(&readers_lock);
    r = reads(g->tag, on, in);
    if (r)
        r->at = (uintptr_t)g; /* which lies at its top */
    if (r)
        r->times += in ? 1 : (uint32_t)-1;
    if (r && r->times == 0)
        r->tag = 0;
    spin_unlock(&readers_lock);
}

static size_t list_readers(const void *on, struct reader *ret, size_t room)
{
    size_t n = 0;

    spin_lock(&readers_lock);
    for (size_t i = 0; i < READERS_ROOM && n < room; i++)
        if (readers[i].tag && readers[i].lock == on)
            ret[n++] = (struct reader){readers[i].at, readers[i].tag};
    spin_unlock(&readers_lock);
    return n;
}

/* ---- Each that waits ----------------------------------------------------------------------------------------- */

static struct spin search_lock; /* guards the next */
static struct lock_search searched;

/* g is a goroutine, or stands for the calling thread. */
static NOINLINE void look_for_circle(struct rt *rt, struct g *g)
{
    struct lock_wait wait[CIRCLE_MAX];
    unsigned n;

    spin_lock(&search_lock);
    n = rn__lock_circle(rt, g, true, &searched, wait);
    spin_unlock(&search_lock);
    if (n > 0 && is_new(circle_sum(wait, n)))
        report_circle(rt, g, wait, n);
}

static NOINLINE void watch_thread(const struct g *of)
{
    static _Thread_local char *lo, *hi; /* of a thread that runs no goroutines now */
    uintptr_t pc[THREAD_CALLS];
    struct lock_thread *t;
    struct rt *rt;
    size_t calls;

    if (!hi && !rn__os_thread_stack(&lo, &hi))
        return;
    t = rn__lock_thread_new(of, lo, hi, (uint64_t)rn__os_thread_id());
    if (!t)
        return;
    calls = rn__walk_self(pc, THREAD_CALLS, 2);
    rn__copy(t->pc, pc, calls * sizeof pc[0]); /* no memcpy: ThreadSanitizer sees those */
    rn__zero(t->pc + calls, (THREAD_CALLS - calls) * sizeof pc[0]);
    rn__lock_thread_waits(t);
    rt = rn__report_hold();
    if (!rt)
        return;
    look_for_circle(rt, &t->g);
    rn__rt_unref(rt);
}

static void watch(struct g *g)
{
    int saved = errno;

    if (g->kind == G_GOROUTINE)
        look_for_circle(g->rt, g);
    else
        watch_thread(g);
    errno = saved;
}

/* ---- Locks of the thread ------------------------------------------------------------------------------------- */

static NOINLINE void report_held(struct g *g, enum leave how, const struct rn__held *held, size_t n)
{
    static const char *const does[] = {
        [LEAVE_WAITS] = " waits", [LEAVE_YIELDS] = " yields", [LEAVE_ENDS] = " ends"};
    uintptr_t pc[FRAMES_MAX];
    size_t frames = rn__walk_self(pc, FRAMES_MAX, 2);
    uint64_t sum = 0;
    struct report r;

    for (size_t i = 0; i < frames; i++)
        sum = mixed(sum + pc[i]);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < RN__HELD_CALLS; j++)
            sum = mixed(sum + held[i].at[j]);
    if (!is_new(sum))
        return;
    report_begin(&r);
    rn__out_str(&r.o, "goroutine ");
    rn__out_int(&r.o, g->id);
    rn__out_who(&r.o, g);
    rn__out_str(&r.o, does[how]);
    rn__out_str(&r.o, " with a lock of its thread:\n");
    for (size_t i = 0; i < n; i++) {
        size_t calls = 0;

        while (calls < RN__HELD_CALLS && held[i].at[calls])
            calls++;
        rn__out_str(&r.o, "  ");
        rn__out_str(&r.o, held[i].what);
        rn__out_str(&r.o, " ");
        rn__out_hex(&r.o, (uintptr_t)held[i].lock);
        rn__out_str(&r.o, " locked at\n");
        rn__out_frames(&r.o, r.known, held[i].at, calls, true);
    }
    rn__out_str(
        &r.o, how == LEAVE_ENDS
                  ? "The thread still has it, and goes on with other goroutines. Unlock it before "
                    "the end.\n"
                  : "Others run on the thread meanwhile, and the goroutine may go on on another "
                    "one, which must not\nunlock it. Unlock it before; or use rn_mutex, which "
                    "belongs to no thread; or rn_lock_thread, to stay.\n");
    report_self(&r, g, how == LEAVE_WAITS ? rn__wait_text[load_relaxed(&g->why)] : "running", pc,
                frames);
    report_end(&r, g->rt);
}

static void watch_leave(struct g *g, enum leave how)
{
    size_t (*leave)(uint64_t, struct rn__held *, size_t) = load_acquire(&held_leave);
    struct rn__held held[HELD_MAX];
    int saved = errno;
    size_t n;

    if (g->worker && how != LEAVE_ENDS)
        return;
    n = leave(g->id, held, HELD_MAX);
    if (n > 0)
        report_held(g, how, held, n);
    errno = saved;
}

uint64_t rn__goroutine_calls(const void *frame, uintptr_t *ret, size_t room)
{
    struct worker *w = arch_tls_address(rn__tls_worker);
    const struct g *g = w->cur;
    size_t n;

    if (!g ||
        g->kind != G_GOROUTINE) /* not even set up, perhaps: nothing is done about that here */
        return 0;
    n = rn__walk((uintptr_t)frame, (uintptr_t)g->stack_lo, (uintptr_t)g, ret, room);
    while (n < room)
        ret[n++] = 0;
    return g->id;
}

/* ---- On request --------------------------------------------------------------------------------------------- */

static void watch_both(struct g *g, enum leave how)
{
    watch_leave(g, how);
    rn__stacks_leave(g, how);
}

void rn__locks_begin(void)
{
    void (*stacks)(struct g *, enum leave) = rn__stacks_begin();
    const char *ask = getenv("RUNNEL_LOCKS");
    bool asked = ask && *ask && strcmp(ask, "0") != 0;

    fatal = asked && strcmp(ask, "fatal") == 0;
    store_relaxed(&rn__lock_watch, asked ? watch : NULL);
    store_release(&rn__reader_list, asked ? list_readers : NULL);  /* pairs with holder.c */
    store_release(&rn__reader_watch, asked ? watch_reader : NULL); /* pairs with tell_reader */
    if (asked)
        or_acq_rel(&rn__tools, (uint32_t)TOOL_READERS);
    else if (rn__tools & TOOL_READERS)
        and_acq_rel(&rn__tools, ~(uint32_t)TOOL_READERS);
    if (asked && load_relaxed(&held_leave))
        store_relaxed(&rn__leave_watch, stacks ? watch_both : watch_leave);
    else
        store_relaxed(&rn__leave_watch, stacks);
}

void rn__set_held(size_t (*leave)(uint64_t id, struct rn__held *ret, size_t room))
{
    store_release(&held_leave, leave); /* pairs with watch_leave */
}
