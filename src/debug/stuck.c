/* SPDX-License-Identifier: MIT */
/*
 * stuck.c - goroutines that can never wake, because nothing is reachable any more that could wake them.
 *
 * As LeakSanitizer looks for memory. A goroutine that waits on channels can be woken by whoever has one of them: so it
 * is alive if a word that points into one of them is found in what is alive: in the program's data, all of its heap,
 * the stacks of its threads, the caller's stack, and the stacks of goroutines that are alive themselves; the
 * search begins with those that do not wait, or wait for time, descriptors and the like. The others are stuck. The
 * same for wait groups, mutexes and so on, if they lie on a goroutine's stack; then a word that points anywhere
 * into that stack will do, or that the stack's own goroutine is alive.
 *
 * Contexts that were never ended are looked for at the same time (lost.c): they are lost if no word points into them but
 * the library's own in contexts and the heaps of timers.
 *
 * Nobody is accused wrongly if the pointers of the program are in its memory as they are. That is so while nothing
 * else runs: registers of other threads are not seen. So it is only looked while all other goroutines are parked or
 * in queues, and all threads are the library's own; and if a goroutine was started or woken while we looked, all of it
 * is done again, and in the end not said. A pointer that only the kernel has, or that is kept in disguise, is not seen, as by
 * LeakSanitizer; nor one in a file that is mapped shared, in a page that the kernel has dropped from memory, or that the
 * process has not touched itself, see os/memory.c.
 *
 * A pointer may lie at any address: in a packed structure, in a ring of bytes. So a word may begin at each byte; of
 * sixty-four at a time three bytes each are compared first, which lets few through.
 *
 * What is missed: whoever waits for an object in the heap that is not a channel or a context, for its extent is not
 * known; what a word points to that means nothing any more, in freed memory or an old frame; and what is
 * referred to by garbage only.
 *
 * Left out of the search: stacks of goroutines, but for the part in use of those alive; records of goroutines that
 * have begun to run, which still have their arguments; the lot, which points to waiters; our own memory and frames.
 * A word within the object itself does not count.
 */
#include "base/tools.h"
#include "chan/chan.h"
#include "ctx/ctx.h"
#include "debug/debug.h"
#include "os/os.h"
#include "sched/lot.h"
#include "time/timer.h"

#include <string.h>

enum { BUFFER = 1 << 20, TRIES = 10, BELOW = 256 << 10, OBJECTS_EACH = 4, OBJECTS_MORE = 1024 };

struct range {
    uintptr_t lo, hi;
};
struct object {
    uintptr_t lo, hi; /* two are the same or apart */
    uint32_t who;     /* one who waits for it, or, with OF_CONTEXT, a context that is looked for */
};
#define OF_CONTEXT ((uint32_t)1 << 31)
/* Objects that lie near each other, for a quick look whether a word may point into one. */
struct group {
    uintptr_t least, most;
    size_t from;            /* of a word's bytes, from which on three are looked at */
    uint8_t lo[3], more[3]; /* each of them is at least this, and at most so much more */
};
struct who {
    struct g *g;
    uint64_t id;
    bool alive;
};

struct search {
    struct os_memory memory;
    struct rt *rt;
    const struct g *self;
    uintptr_t from;  /* the caller's frames begin here; 0: they do not count */
    struct who *who; /* by the place of their stacks */
    size_t count, room;
    struct object *objects;
    size_t object_count, object_room;
    struct group group[2]; /* as heap and mappings are far apart */
    size_t group_count;
    struct lost *lost;
    size_t lost_count, lost_room;
    struct range *skip;
    size_t skip_count, skip_room;
    uint32_t *fresh; /* who has come alive and is to be searched: a stack */
    size_t fresh_count;
    struct range own; /* this memory */
    bool failed;
};

/* ---- What they wait for ---------------------------------------------------------------------------------- */

static struct g *stack_of(struct rt *rt, uintptr_t at)
{
    for (const struct arena *a = load_acquire(&rt->arenas); a; a = a->next)
        if (at - (uintptr_t)a->base < a->count * a->stride)
            return rn__arena_g(a, (uint32_t)((at - (uintptr_t)a->base) / a->stride));
    return NULL;
}

static bool add_object(struct search *s, const void *lo, const void *hi)
{
    if (s->object_count == s->object_room)
        return false;
    s->objects[s->object_count++] =
        (struct object){(uintptr_t)lo, (uintptr_t)hi, (uint32_t)s->count};
    return true;
}

/* Of a piece of the heap that many bytes count. glibc refers to a free piece by an address one word before its beginning, which
 * is within the last word of the piece before it. */
static uintptr_t counts_until(uintptr_t end)
{
    return end - sizeof(void *);
}

/* False: who waits for it is taken for alive. */
static bool add_channel(struct search *s, const struct chan *c)
{
    const void *lo = c, *hi;

    if (c->flags & CHAN_TIMER)
        return false;
    hi = c->buffer + c->cap * c->elem_size;
    if (!load_relaxed(&c->refs))
        rn__ctx_extent(c, &lo, &hi);
    return add_object(s, lo, (const void *)counts_until((uintptr_t)hi));
}

static bool add_on_stack(struct search *s, const void *on)
{
    struct g *g = stack_of(s->rt, (uintptr_t)on);

    return g && on < (const void *)g && add_object(s, g->stack_lo, g);
}

/* The objects of g, which is parked; false if it is alive in any case. */
static bool objects_of(struct search *s, const struct g *g)
{
    rn_case *cases;
    size_t live;

    switch (g->why) {
    case WAIT_CHAN_SEND_NIL:
    case WAIT_CHAN_RECEIVE_NIL:
    case WAIT_SELECT_NO_CASES:
        return true;
    case WAIT_CHAN_SEND:
    case WAIT_CHAN_RECEIVE:
        return add_channel(s, g->wait_on);
    case WAIT_SELECT:
        if (!rn__select_cases(g->wait, &cases, &live))
            return false;
        for (size_t i = 0; i < live; i++)
            if (!add_channel(s, case_chan(live_case(cases, i))))
                return false;
        return true;
    case WAIT_MUTEX_LOCK:
    case WAIT_RWMUTEX_LOCK:
    case WAIT_RWMUTEX_RLOCK:
    case WAIT_WG_WAIT:
    case WAIT_COND_WAIT:
    case WAIT_SEM_ACQUIRE:
    case WAIT_ONCE:
        /* unlink_always: a context may end it */
        return !g->unlink_always && add_on_stack(s, g->wait_on);
    default:
        return false;
    }
}

static void skip(struct search *s, const void *lo, const void *hi)
{
    if (s->skip_count == s->skip_room)
        s->failed = true;
    else
        s->skip[s->skip_count++] = (struct range){(uintptr_t)lo, (uintptr_t)hi};
}

/* All but the caller must be at rest. */
static void collect(struct search *s)
{
    for (const struct arena *a = load_acquire(&s->rt->arenas); a; a = a->next) {
        uint32_t n = load_acquire(&a->carved);

        skip(s, a->base, a->base + a->count * a->stride);
        for (uint32_t i = 0; i < n && !s->failed; i++) {
            struct g *g = rn__arena_g(a, i);
            uint8_t status = load_acquire(&g->status);
            size_t before = s->object_count;
            bool may_be_stuck;

            if (g == s->self || status == G_FREE || status == G_DEAD)
                continue;
            if (s->count == s->room || status == G_RUNNING || load_acquire(&g->on_cpu)) {
                s->failed = true;
                return;
            }
            may_be_stuck = status == G_WAITING && objects_of(s, g);
            s->who[s->count] = (struct who){g, load_relaxed(&g->id), !may_be_stuck};
            if (!may_be_stuck) {
                s->object_count = before;
                s->fresh[s->fresh_count++] = (uint32_t)s->count;
            }
            s->count++;
        }
    }
}

/* Contexts that somebody should end. */
static void collect_contexts(struct search *s)
{
    size_t before = s->object_count;

    s->lost_count = rn__lost_list(s->lost, s->lost_room);
    for (size_t i = 0; i < s->lost_count && !s->failed; i++) {
        uintptr_t lo = ~s->lost[i].hidden;

        if (before + i == s->object_room)
            s->failed = true;
        else
            s->objects[s->object_count++] =
                (struct object){lo, counts_until(lo + s->lost[i].size), (uint32_t)i | OF_CONTEXT};
    }
}

/* ---- Sorting: no qsort, which may allocate --------------------------------------------------------------- */

static void sift(struct object *o, size_t i, size_t n)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        struct object moved = o[i];

        if (child + 1 < n && o[child + 1].lo > o[child].lo)
            child++;
        if (o[child].lo <= moved.lo)
            return;
        o[i] = o[child];
        o[child] = moved;
    }
}
static void sort_objects(struct object *o, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift(o, i, n);
    while (n > 1) {
        struct object last = o[--n];

        o[n] = o[0];
        o[0] = last;
        sift(o, 0, n);
    }
}

/* ---- Groups: of the sorted objects ------------------------------------------------------------------------- */

/* Which three bytes tell best: the highest that is not the same in all addresses, or else the sixth, and the two above. In
 * addresses those are few values; in other words they are rarely these. */
static struct group group_of(uintptr_t least, uintptr_t most)
{
    struct group a = {.least = least, .most = most};
    unsigned differ = 0;

    for (unsigned i = 1; i < sizeof least; i++)
        if ((least ^ (most - 1)) >> 8 * i)
            differ = i;
    a.from = differ < sizeof least - 3 ? differ : sizeof least - 3;
    for (unsigned i = 0; i < 3; i++) {
        unsigned byte = (unsigned)a.from + i;

        if (byte < differ) { /* may be any */
            a.more[i] = 255;
            continue;
        }
        a.lo[i] = (uint8_t)(least >> 8 * byte);
        a.more[i] = (uint8_t)(((most - 1) >> 8 * byte) - a.lo[i]);
    }
    return a;
}

/* Divided where the objects are farthest apart, if that is far. */
static void make_groups(struct search *s)
{
    const struct object *o = s->objects;
    size_t last = s->object_count - 1, at = 0;
    uintptr_t far = (uintptr_t)1 << 32;

    for (size_t i = 0; i < last; i++) {
        if (o[i + 1].lo > o[i].hi && o[i + 1].lo - o[i].hi > far) {
            far = o[i + 1].lo - o[i].hi;
            at = i + 1;
        }
    }
    s->group_count = 0;
    if (at > 0)
        s->group[s->group_count++] = group_of(o[0].lo, o[at - 1].hi);
    s->group[s->group_count++] = group_of(o[at].lo, o[last].hi);
}

/* ---- Searching ------------------------------------------------------------------------------------------- */

/* Is what lies here the library's own knowledge of contexts: of parents and children, of deadlines? Nobody can end a
 * context by it. */
static bool among_contexts(const struct search *s, uintptr_t at)
{
    for (size_t i = 0; i < PROCS_MAX; i++) {
        const struct timer_heap *h = &rn__timer_heaps[i];

        if (at - (uintptr_t)h->at < h->room * sizeof *h->at)
            return true;
    }
    for (size_t i = 0; i < s->lost_count; i++) {
        uintptr_t ctx = ~s->lost[i].hidden;

        if (at - ctx < s->lost[i].size)
            return !rn__ctx_is_value((const rn_ctx *)ctx, at);
    }
    return false;
}

/* A word that was found at this address. */
static void found(struct search *s, uintptr_t at, uintptr_t word)
{
    size_t lo = 0, hi = s->object_count;

    while (lo < hi) { /* the last that does not begin behind it */
        size_t mid = lo + (hi - lo) / 2;

        if (s->objects[mid].lo <= word)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo > 0 && word < s->objects[lo - 1].hi; lo--) {
        const struct object *o = &s->objects[lo - 1];

        if (o->who & OF_CONTEXT) {
            struct lost *l = &s->lost[o->who & ~OF_CONTEXT];

            l->found = l->found || !among_contexts(s, at);
            continue;
        }
        if (!s->who[o->who].alive && at - o->lo >= o->hi - o->lo) {
            s->who[o->who].alive = true;
            s->fresh[s->fresh_count++] = o->who;
        }
    }
}

typedef uint8_t sixteen __attribute__((vector_size(16)));

struct filter {
    sixteen lo[3], more[3];
};

/* Which words that begin at sixteen bytes from here on, of which the three to be looked at are these, may be in it. */
static inline __attribute__((always_inline)) sixteen may_be(const struct filter *f,
                                                            const char *byte)
{
    sixteen v[3];

    for (size_t i = 0; i < 3; i++)
        memcpy(&v[i], byte + i, sizeof v[i]);
    return (sixteen)((v[0] - f->lo[0] <= f->more[0]) & (v[1] - f->lo[1] <= f->more[1]) &
                     (v[2] - f->lo[2] <= f->more[2]));
}

static void look_at_each(struct search *s, const struct group *a, uintptr_t at, const char *byte,
                         size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uintptr_t word;

        memcpy(&word, byte + i, sizeof word);
        if (word - a->least < a->most - a->least)
            found(s, at + i, word);
    }
}

/* The words of n bytes that lie at this address, or of a copy of them. */
static void look_in_group(struct search *s, const struct group *a, uintptr_t at, const char *byte,
                          size_t n)
{
    enum { STEP = 4 * sizeof(sixteen) };
    struct filter f;
    size_t i = 0;

    if (n < sizeof(uintptr_t))
        return;
    n -= sizeof(uintptr_t) - 1; /* words, then, which overlap */
    for (size_t k = 0; k < 3; k++) {
        f.lo[k] = (sixteen){0} + a->lo[k];
        f.more[k] = (sixteen){0} + a->more[k];
    }
    for (; n - i >= STEP; i += STEP) {
        const char *from = byte + i + a->from;
        sixteen may = may_be(&f, from) | may_be(&f, from + 16) | may_be(&f, from + 32) |
                      may_be(&f, from + 48);
        uint64_t half[2];

        memcpy(half, &may, sizeof half);
        if (unlikely(half[0] | half[1]))
            look_at_each(s, a, at + i, byte + i, STEP);
    }
    look_at_each(s, a, at + i, byte + i, n - i);
}
static void look_at(struct search *s, uintptr_t at, const void *bytes, size_t n)
{
    for (size_t i = 0; i < s->group_count; i++)
        look_in_group(s, &s->group[i], at, bytes, n);
}

static void memory_bytes(struct os_memory *m, uintptr_t at, const char *byte, size_t n)
{
    struct search *s = container_of(m, struct search, memory);
    uintptr_t end = at + n, next;

    for (; at < end; at = next) {
        bool left_out = false;

        next = end;
        for (size_t i = 0; i < s->skip_count && !left_out; i++) {
            const struct range *r = &s->skip[i];

            left_out = at >= r->lo && at < r->hi;
            if (left_out)
                next = r->hi < end ? r->hi : end;
            else if (r->lo > at && r->lo < next)
                next = r->lo;
        }
        if (!left_out)
            look_at(s, at, byte, next - at);
        byte += next - at;
    }
}

/* The frames of one who is off the CPU, the call it was started with, and what it will do at its end. */
static void look_at_stack(struct search *s, const struct g *g, uintptr_t from)
{
    if (from >= (uintptr_t)g->stack_lo && from < (uintptr_t)g)
        look_at(s, from, (const void *)from, (uintptr_t)g - from);
    found(s, 0, (uintptr_t)g - 1); /* what lies on it is reachable */
    found(s, 0, (uintptr_t)g->owner);
}

static void look_at_records(struct search *s)
{
    for (const struct slab *slab = load_acquire(&s->rt->slabs); slab; slab = slab->next) {
        skip(s, slab, (const char *)slab + SLAB_BYTES);
        for (uint32_t i = 0; i < SLAB_RECORDS; i++) {
            const struct fresh *f = &slab->record[i];

            if (load_acquire(&f->in_use))
                look_at(s, (uintptr_t)f, f, sizeof *f);
        }
    }
}

/* ---- All of it ------------------------------------------------------------------------------------------- */

/* Starts, wake-ups and parks so far. */
static uint64_t events(struct rt *rt)
{
    uint64_t sum = load_acquire(&rt->started) + load_acquire(&rt->count[COUNT_READIES]);

    for (uint32_t i = 0; i < load_acquire(&rt->nprocs); i++) {
        const struct proc *p = &rt->procs[i];

        sum += load_acquire(&p->started) + load_acquire(&p->count[COUNT_READIES]) +
               load_acquire(&p->count[COUNT_PARKS]);
    }
    return sum;
}

static bool only_own_threads(struct rt *rt, const struct g *self)
{
    uint32_t known = load_relaxed(&rt->workers) + load_relaxed(&rt->has_monitor) +
                     load_acquire(&rn__threads_own) + (self->kind == G_THREAD);

    return load_acquire(&rn__threads_parked) == 0 && rn__os_threads() == (int)known;
}

static void search(struct search *s)
{
    const void *lot_lo, *lot_hi;

    s->count = s->object_count = s->skip_count = s->fresh_count = 0;
    s->failed = false;
    collect(s);
    collect_contexts(s);
    if (s->failed || s->object_count == 0)
        return;
    sort_objects(s->objects, s->object_count);
    make_groups(s);
    rn__lot_table(&lot_lo, &lot_hi);
    skip(s, lot_lo, lot_hi);
    skip(s, (const void *)s->own.lo, (const void *)s->own.hi);
    /* What earlier calls have left below the frames of this thread; a worker's stack has 256 KiB. */
    if (s->self->kind == G_THREAD)
        skip(s, (const void *)(s->from - BELOW), (const void *)s->from);
    else
        skip(s, (const char *)worker_self()->self.sp - BELOW / 2, worker_self()->self.sp);
    look_at_records(s);
    if (s->self->kind == G_GOROUTINE)
        look_at_stack(s, s->self, s->from ? s->from : (uintptr_t)s->self);
    if (!s->failed && rn__os_memory(&s->memory) < 0)
        s->failed = true;
    while (!s->failed && s->fresh_count > 0) {
        const struct g *g = s->who[s->fresh[--s->fresh_count]].g;

        look_at_stack(s, g, (uintptr_t)g->sp);
    }
}

/* "2-5, 9" */
static void out_stuck(struct out *o, const struct search *s, size_t n)
{
    uint64_t last = 0;
    bool first = true;

    rn__out_str(o, "\nrunnel: ");
    rn__out_int(o, n);
    rn__out_str(o, " of them can never wake, for nothing that could wake them is reachable: ");
    for (size_t left = n; left > 0; left--) { /* in order, each time the next */
        uint64_t next = UINT64_MAX;

        for (size_t i = 0; i < s->count; i++)
            if (!s->who[i].alive && s->who[i].id > last && s->who[i].id < next)
                next = s->who[i].id;
        rn__out_str(o, first ? "" : ", ");
        rn__out_int(o, next);
        first = false;
        last = next;
        if (n - left == 63) {
            rn__out_str(o, ", ...");
            break;
        }
    }
    rn__out_str(o, "\n");
}

size_t rn__out_stuck(struct out *o, struct rt *rt, const struct g *self, uintptr_t from)
{
    size_t contexts = rn__lost_count() + 16, lost = 0;
    size_t goroutines = rn__goroutines(rt) + 64, slabs = 0, arenas = 0, size, n = 0;
    struct search *s;
    char *at;
    bool sure = false;

    if (rn__tools & TOOLS_OUTSIDE) /* they have memory, and threads, of their own */
        return 0;
    for (const struct slab *slab = load_acquire(&rt->slabs); slab; slab = slab->next)
        slabs++;
    for (const struct arena *a = load_acquire(&rt->arenas); a; a = a->next)
        arenas++;
    slabs += arenas + 16;
    size = BUFFER + sizeof *s + slabs * sizeof *s->skip +
           goroutines * (sizeof *s->who + sizeof *s->fresh) +
           (OBJECTS_EACH * goroutines + OBJECTS_MORE + contexts) * sizeof *s->objects +
           contexts * sizeof *s->lost + 256;
    size = (size + 65535) & ~(size_t)65535;
    at = rn__os_map(size);
    if (!at)
        return 0;
    s = (struct search *)(void *)(at + BUFFER);
    *s =
        (struct search){.memory = {at, BUFFER, memory_bytes}, .rt = rt, .self = self, .from = from};
    s->own = (struct range){(uintptr_t)at, (uintptr_t)at + size};
    s->objects = (struct object *)(void *)(s + 1);
    s->object_room = OBJECTS_EACH * goroutines + OBJECTS_MORE + contexts;
    s->lost = (struct lost *)(void *)(s->objects + s->object_room);
    s->lost_room = contexts;
    s->who = (struct who *)(void *)(s->lost + s->lost_room);
    s->room = goroutines;
    s->skip = (struct range *)(void *)(s->who + s->room);
    s->skip_room = slabs - 1;
    s->fresh = (uint32_t *)(void *)(s->skip + slabs);
    for (unsigned tries = 0; tries < TRIES && !sure; tries++) {
        uint64_t before = events(rt);

        if (tries > 0)
            rn__os_thread_sleep(1000000); /* a thread that begins or ends, a goroutine on its way */
        if (!only_own_threads(rt, self))
            continue;
        search(s);
        fence_seq_cst(); /* all was read before we look whether it has changed */
        sure = !s->failed && events(rt) == before && only_own_threads(rt, self);
    }
    for (size_t i = 0; sure && i < s->count; i++)
        n += !s->who[i].alive;
    if (n > 0)
        out_stuck(o, s, n);
    for (size_t i = 0; sure && i < s->lost_count; i++)
        lost += !s->lost[i].found;
    if (lost > 0)
        rn__out_lost(o, s->lost, s->lost_count);
    rn__os_unmap(at, size);
    return lost;
}
