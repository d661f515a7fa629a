/* SPDX-License-Identifier: MIT */
/*
 * dump.c - the list of all goroutines.
 *
 * Where they are found: started ones in the control blocks of the arenas, those that have not run yet in the
 * slabs. Both lists only grow while the runtime lives, and the memory of both stays, so they are walked without
 * a lock; the caller has a hold on the runtime. What is found may change under our eyes: a goroutine's fields
 * are read, its stack is walked within its bounds, then the fields that say who it is and that it has not moved
 * (id, status, sp, since, on_cpu) are read again. If they differ we look once more, and after a few times take
 * it for one that runs. A goroutine that begins its run while we look may be seen in both forms; the first
 * counts.
 *
 * Of one that waits for a lock is said who has it (sync/holder.c); and at the end, who waits for whom in a circle.
 *
 * Entries are kept in memory from the kernel, one group for each kind (same state, reason, stack, and place of
 * creation), sorted by id, and written at the end. Without memory they are written as they come, one by one.
 */
#include "debug/debug.h"

#include <runnel/debug.h>

#include "base/text.h"
#include "os/os.h"
#include "sched/labels.h"
#include "sync/holder.h"

const char *const rn__wait_text[WAIT_REASONS] = {
    [WAIT_NONE] = "waiting",
    [WAIT_CHAN_SEND] = "chan send",
    [WAIT_CHAN_RECEIVE] = "chan receive",
    [WAIT_CHAN_SEND_NIL] = "chan send (nil chan)",
    [WAIT_CHAN_RECEIVE_NIL] = "chan receive (nil chan)",
    [WAIT_SELECT] = "select",
    [WAIT_SELECT_NO_CASES] = "select (no cases)",
    [WAIT_SLEEP] = "sleep",
    [WAIT_MUTEX_LOCK] = "sync.Mutex.Lock",
    [WAIT_RWMUTEX_LOCK] = "sync.RWMutex.Lock",
    [WAIT_RWMUTEX_RLOCK] = "sync.RWMutex.RLock",
    [WAIT_WG_WAIT] = "sync.WaitGroup.Wait",
    [WAIT_ONCE] = "sync.Once.Do",
    [WAIT_COND_WAIT] = "sync.Cond.Wait",
    [WAIT_SEM_ACQUIRE] = "semacquire",
    [WAIT_GROUP_GO] = "errgroup.Go",
    [WAIT_GROUP_WAIT] = "errgroup.Wait",
    [WAIT_FLIGHT] = "singleflight.Do",
    [WAIT_HOOK_STOP] = "hook stop",
    [WAIT_SETTLE] = "settle",
    [WAIT_PARK] = "park",
    [WAIT_IO] = "IO wait",
};

enum {
    GLANCES = 4,        /* at a goroutine that moves, before it is taken for running */
    GROUPS_HASH = 4096, /* heads of chains */
    PLACES_SHOWN = 8    /* of a group that waits for several locks */
};

enum look { LOOK_RUNNING, LOOK_RUNNABLE, LOOK_WAITING, LOOK_NEW };

/* What is alike in the goroutines of one group, and is compared as words. */
struct kind {
    uintptr_t look, why, created_at, frames;
    uintptr_t pc[FRAMES_MAX];
};

struct entry {
    struct entry *next;
    uint64_t id;
    uint64_t created_by;
    int64_t since; /* waiting only */
    uintptr_t on;
    struct holder holder;
    struct g *g; /* waiting for a lock only */
    char name[G_NAME_MAX];
    const char *labels; /* "": none */
};

struct group {
    struct group *next;  /* in the chain of its hash */
    struct group *after; /* in the list of all */
    struct entry *first; /* newest found first */
    size_t count;
    struct kind kind; /* pc[frames] only */
};

struct dump {
    struct rt *rt;
    struct out *o; /* NULL: count */
    struct pool pool;
    struct places *known;
    struct group **hash;
    struct group *groups;
    uint64_t *ids; /* of records seen, open addressing, 0: free */
    size_t ids_room;
    size_t count;
    int64_t now;
    bool streaming;   /* no memory: entries are written as they come */
    struct kind kind; /* of the one looked at */
    struct entry entry;
    char labels[LABELS_MAX]; /* of the one looked at */
};

/* ---- Lines ---------------------------------------------------------------------------------------------- */

static void out_name(struct out *o, const char *name)
{
    if (!name[0])
        return;
    rn__out_str(o, " \"");
    rn__out_escaped(o, name);
    rn__out_str(o, "\"");
}

static void out_labels(struct out *o, const char *labels)
{
    if (!labels[0])
        return;
    rn__out_str(o, " {");
    rn__out_str(o, labels);
    rn__out_str(o, "}");
}

void rn__out_who(struct out *o, const struct g *g)
{
    out_name(o, g->name);
    if (g->labels)
        out_labels(o, g->labels->text);
}

void rn__out_head(struct out *o, const struct g *g, const char *state)
{
    rn__out_str(o, g->kind == G_GOROUTINE ? "goroutine " : "thread ");
    rn__out_int(o, g->id);
    rn__out_who(o, g);
    rn__out_str(o, " [");
    rn__out_str(o, state);
    rn__out_str(o, "]:\n");
}

void rn__out_created(struct out *o, struct places *known, uint64_t by, const void *at)
{
    if (!at)
        return;
    rn__out_str(o, "created by ");
    if (by) {
        rn__out_str(o, "goroutine ");
        rn__out_int(o, by);
    } else {
        rn__out_str(o, "a thread");
    }
    rn__out_str(o, " at\n");
    rn__out_place(o, known, (uintptr_t)at, true);
}

static void out_state(struct dump *d, const struct kind *k, int64_t longest)
{
    int64_t minutes = longest / 60000000000;

    rn__out_str(d->o, " [");
    rn__out_str(d->o, k->look == LOOK_WAITING                           ? rn__wait_text[k->why]
                      : k->look == LOOK_RUNNABLE || k->look == LOOK_NEW ? "runnable"
                                                                        : "running");
    if (minutes > 0) { /* as Go prints it */
        rn__out_str(d->o, ", ");
        rn__out_int(d->o, (uint64_t)minutes);
        rn__out_str(d->o, minutes == 1 ? " minute" : " minutes");
    }
    rn__out_str(d->o, "]");
}

/* Of a goroutine that may take another name meanwhile: of the two it may be a part of each, and then it is no text. */
static void copy_name(char *to, const char *from)
{
    char name[G_NAME_MAX];

    rn__copy(name, from, sizeof name);
    name[sizeof name - 1] = 0;
    rn__text_copy(to, sizeof name, name);
}

/* " 12 "name"", of a goroutine that may have ended. */
static void out_goroutine(struct out *o, struct g *g, uint32_t tag, uint64_t id)
{
    char name[G_NAME_MAX];

    rn__out_str(o, " ");
    rn__out_int(o, id);
    copy_name(name, g->name);
    fence_acquire(); /* the name is read before we look whose it is */
    if (load_relaxed(&g->tag) == tag)
        out_name(o, name);
}

/* Who has the lock that goroutine id waits for. */
static void out_holder(struct out *o, const struct holder *h, uint64_t id)
{
    if (h->owner == OWNER_ENDED) {
        rn__out_str(o, ", locked by a goroutine that has ended");
    } else if (h->owner == OWNER_THREAD) {
        rn__out_str(o, ", locked by a thread");
    } else if (h->owner == OWNER_GOROUTINE && h->id == id) {
        rn__out_str(o, ", locked by itself");
    } else if (h->owner == OWNER_GOROUTINE) {
        rn__out_str(o, ", locked by goroutine");
        out_goroutine(o, h->g, h->tag, h->id);
    } else if (h->readers > 0) {
        rn__out_str(o, ", locked by ");
        rn__out_int(o, h->readers);
        rn__out_str(o, h->readers == 1 ? " reader" : " readers");
    }
}

static bool same_holder(const struct entry *a, const struct entry *b)
{
    const struct holder *h = &a->holder, *i = &b->holder;

    if (h->owner != i->owner || h->readers != i->readers)
        return false;
    return h->owner != OWNER_GOROUTINE || (h->tag == i->tag && a->id != h->id && b->id != i->id);
}

/* Those of one group who wait for different locks, or for ones that others have. */
static void out_places(struct out *o, const struct entry *e)
{
    for (unsigned n = 0; e; e = e->next, n++) {
        if (n == PLACES_SHOWN) {
            rn__out_str(o, "    ...\n");
            return;
        }
        rn__out_str(o, "    goroutine ");
        rn__out_int(o, e->id);
        rn__out_str(o, " on ");
        rn__out_hex(o, e->on);
        out_holder(o, &e->holder, e->id);
        rn__out_str(o, "\n");
    }
}

static bool same_text(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static bool same_who(const struct entry *a, const struct entry *b)
{
    return same_text(a->name, b->name) && same_text(a->labels, b->labels);
}

/* "2-51, 60 "name", 61 {key="value"}": ids in order, with their names and labels; up to a number. */
static void out_ids(struct out *o, const struct entry *e)
{
    unsigned written = 0;

    for (const struct entry *last; e; e = last->next) {
        for (last = e; last->next && last->next->id == last->id + 1 && same_who(e, last->next);
             last = last->next)
            ;
        if (written > 0)
            rn__out_str(o, ", ");
        if (written == 32) {
            rn__out_str(o, "...");
            return;
        }
        rn__out_int(o, e->id);
        if (last != e) {
            rn__out_str(o, "-");
            rn__out_int(o, last->id);
        }
        out_name(o, e->name);
        out_labels(o, e->labels);
        written++;
    }
}

static void out_group(struct dump *d, const struct kind *k, const struct entry *first, size_t count)
{
    int64_t shortest = INT64_MAX, longest = 0;
    uint64_t by = first->created_by;
    bool one_place = true, one_holder = true, one_maker = true;
    struct out *o = d->o;

    for (const struct entry *e = first; e; e = e->next) {
        int64_t span = d->now > e->since ? d->now - e->since : 0;

        if (k->look == LOOK_WAITING) {
            longest = span > longest ? span : longest;
            shortest = span < shortest ? span : shortest;
        }
        one_place = one_place && e->on == first->on;
        one_holder = one_holder && (e == first || same_holder(e, first));
        one_maker = one_maker && e->created_by == by;
    }
    rn__out_str(o, count > 1 ? "\ngoroutines " : "\ngoroutine ");
    out_ids(o, first);
    out_state(d, k, longest);
    if (count > 1) {
        rn__out_str(o, ", ");
        rn__out_int(o, count);
        rn__out_str(o, " alike");
    }
    rn__out_str(o, ":\n");
    if (k->look == LOOK_WAITING) {
        rn__out_str(o, "  for ");
        if (longest - shortest > longest / 8 && count > 1) {
            rn__out_span(o, shortest);
            rn__out_str(o, " to ");
        }
        rn__out_span(o, longest);
        if (first->on && one_place) {
            rn__out_str(o, " on ");
            rn__out_hex(o, first->on);
            if (one_holder)
                out_holder(o, &first->holder, first->id);
        } else if (first->on) {
            rn__out_str(o, ", not all on the same");
        }
        rn__out_str(o, "\n");
        if (is_for_lock(k->why) && !one_place)
            out_places(o, first);
    }
    if (k->look == LOOK_RUNNING)
        rn__out_str(o, "\t(running on another thread: its stack is not to be had)\n");
    else
        rn__out_frames(o, d->known, k->pc, k->frames, k->look != LOOK_NEW);
    if (one_maker) {
        rn__out_created(o, d->known, by, (void *)k->created_at);
    } else {
        rn__out_str(o, "created by several goroutines at\n");
        rn__out_place(o, d->known, k->created_at, true);
    }
}

/* ---- Groups --------------------------------------------------------------------------------------------- */

static bool same_kind(const struct kind *a, const struct kind *b)
{
    if (a->look != b->look || a->why != b->why || a->created_at != b->created_at ||
        a->frames != b->frames)
        return false;
    for (size_t i = 0; i < a->frames; i++)
        if (a->pc[i] != b->pc[i])
            return false;
    return true;
}

static struct group **group_slot(struct dump *d, const struct kind *k)
{
    uint64_t sum = (k->look * 64 + k->why) ^ k->created_at;

    for (size_t i = 0; i < k->frames; i++)
        sum = (sum ^ k->pc[i]) * 0x9E3779B97F4A7C15u + (sum >> 29);
    return &d->hash[sum >> 40 & (GROUPS_HASH - 1)];
}

/* d->entry in the pool, with its labels; NULL: no memory. */
static struct entry *entry_copy(struct dump *d)
{
    size_t n = 0;
    struct entry *e;
    char *text;

    while (d->labels[n])
        n++;
    e = rn__pool_take(&d->pool, sizeof *e + (n ? n + 1 : 0));
    if (!e)
        return NULL;
    rn__copy(e, &d->entry, sizeof *e);
    e->labels = "";
    if (n) {
        text = (char *)(e + 1);
        rn__copy(text, d->labels, n + 1);
        e->labels = text;
    }
    return e;
}

/* d->kind and d->entry are one more goroutine. */
static void add(struct dump *d)
{
    const struct kind *k = &d->kind;
    struct group **slot, *g;
    struct entry *e;

    d->count++;
    if (!d->o)
        return;
    d->entry.next = NULL;
    if (!d->streaming) {
        slot = group_slot(d, k);
        for (g = *slot; g && !same_kind(&g->kind, k); g = g->next)
            ;
        if (!g) {
            size_t size = offsetof(struct group, kind.pc) + k->frames * sizeof k->pc[0];

            g = rn__pool_take(&d->pool, size);
            if (g) {
                rn__copy(&g->kind, k, size - offsetof(struct group, kind));
                g->next = *slot;
                *slot = g;
                g->after = d->groups;
                d->groups = g;
            }
        }
        e = g ? entry_copy(d) : NULL;
        if (e) {
            e->next = g->first;
            g->first = e;
            g->count++;
            return;
        }
    }
    out_group(d, k, &d->entry, 1);
}

/* Sort a list of n by id, stably: the lists are short or nearly in order. */
static struct entry *sort_entries(struct entry *list, size_t n)
{
    struct entry *a = list, *b, *sorted = NULL, **end = &sorted;

    if (n < 2)
        return list;
    for (size_t i = 1; i < n / 2; i++)
        list = list->next;
    b = list->next;
    list->next = NULL;
    a = sort_entries(a, n / 2);
    b = sort_entries(b, n - n / 2);
    while (a && b) {
        struct entry **least = a->id <= b->id ? &a : &b;

        *end = *least;
        end = &(*end)->next;
        *least = *end;
    }
    *end = a ? a : b;
    return sorted;
}

static struct group *sort_groups(struct group *list, size_t n)
{
    struct group *a = list, *b, *sorted = NULL, **end = &sorted;

    if (n < 2)
        return list;
    for (size_t i = 1; i < n / 2; i++)
        list = list->after;
    b = list->after;
    list->after = NULL;
    a = sort_groups(a, n / 2);
    b = sort_groups(b, n - n / 2);
    while (a && b) {
        struct group **least = a->first->id <= b->first->id ? &a : &b;

        *end = *least;
        end = &(*end)->after;
        *least = *end;
    }
    *end = a ? a : b;
    return sorted;
}

/* ---- Looking -------------------------------------------------------------------------------------------- */

/* Remember a record's id, or ask whether it was one. */
static bool seen_before(struct dump *d, uint64_t id, bool remember)
{
    size_t i;

    if (!d->ids_room)
        return false;
    for (i = (size_t)(id * 0x9E3779B97F4A7C15u >> 20) & (d->ids_room - 1); d->ids[i];
         i = (i + 1) & (d->ids_room - 1))
        if (d->ids[i] == id)
            return true;
    if (remember)
        d->ids[i] = id;
    return false;
}

static void look_for_labels(struct dump *d, struct labels *const *at)
{
    if (!d->o || !rn__labels_read(at, d->labels))
        d->labels[0] = 0;
    d->entry.labels = d->labels;
}

/* g waits, as d->kind and d->entry say: for a lock? */
static void look_for_holder(struct dump *d, struct g *g, uint32_t nth)
{
    struct entry *e = &d->entry;

    if (!is_for_lock(d->kind.why))
        return;
    rn__holder(d->rt, (enum wait_reason)d->kind.why, (const void *)e->on, &e->holder);
    fence_acquire();
    if (load_relaxed(&g->id) == e->id && load_relaxed(&g->lockings) == nth &&
        load_relaxed(&g->status) == G_WAITING && load_relaxed(&g->why) == d->kind.why &&
        (uintptr_t)load_relaxed(&g->wait_on) == e->on)
        e->g = g;
    else /* meanwhile it may have had the lock itself */
        e->holder = (struct holder){.owner = OWNER_UNKNOWN};
}

/* Fill d->kind and d->entry with what g is and does. False: it is nobody (any more). */
static bool look_at(struct dump *d, struct g *g)
{
    struct kind *k = &d->kind;
    struct entry *e = &d->entry;

    for (unsigned glance = 0;; glance++) {
        uint8_t status = load_acquire(&g->status);
        uint64_t id = load_relaxed(&g->id);
        uint8_t on_cpu = load_acquire(&g->on_cpu); /* pairs with arrived(): its context is saved */
        void *sp = load_relaxed(&g->sp);
        int64_t since = load_relaxed(&g->since);
        uint32_t nth = load_relaxed(&g->lockings);
        uintptr_t lo = (uintptr_t)load_relaxed(&g->stack_lo), hi = (uintptr_t)g;
        bool still = !on_cpu && (status == G_WAITING || status == G_RUNNABLE) &&
                     (uintptr_t)sp >= lo && (uintptr_t)sp + sizeof(struct arch_frame) <= hi &&
                     (uintptr_t)sp % sizeof lo == 0;

        if (status == G_FREE || status == G_DEAD || id == 0)
            return false;
        k->look = status == G_WAITING    ? LOOK_WAITING
                  : status == G_RUNNABLE ? LOOK_RUNNABLE
                                         : LOOK_RUNNING;
        k->why = status == G_WAITING ? load_relaxed(&g->why) : 0;
        if (k->why >= WAIT_REASONS)
            k->why = WAIT_NONE;
        k->created_at = (uintptr_t)load_relaxed(&g->created_at);
        k->frames = 0;
        e->id = id;
        e->created_by = load_relaxed(&g->created_by);
        e->since = since;
        e->on = status == G_WAITING ? (uintptr_t)load_relaxed(&g->wait_on) : 0;
        e->holder = (struct holder){.owner = OWNER_UNKNOWN};
        e->g = NULL;
        copy_name(e->name, g->name);
        look_for_labels(d, &g->labels);
        if (!d->o) /* to count, a glance is enough */
            return true;
        if (still) {
            k->pc[0] = arch_frame_pc(sp);
            k->frames = 1 + rn__walk(arch_frame_fp(sp), lo, hi, &k->pc[1], FRAMES_MAX - 1);
        }
        fence_acquire(); /* the walk is over before we look whether it was right */
        if (load_relaxed(&g->id) == id && load_relaxed(&g->status) == status) {
            if (status == G_RUNNING)
                return true;
            if (still && !load_relaxed(&g->on_cpu) && load_relaxed(&g->sp) == sp &&
                load_relaxed(&g->since) == since) {
                look_for_holder(d, g, nth);
                return true;
            }
        }
        if (glance == GLANCES && load_relaxed(&g->id) == id) {
            k->look = LOOK_RUNNING;
            k->why = 0;
            k->frames = 0;
            return true;
        }
        if (glance > GLANCES)
            return false; /* the stack of many short lives */
    }
}

static bool look_at_record(struct dump *d, const struct fresh *f)
{
    struct kind *k = &d->kind;
    struct entry *e = &d->entry;

    if (!load_acquire(&f->in_use))
        return false;
    k->look = LOOK_NEW;
    k->why = 0;
    k->created_at = (uintptr_t)load_relaxed(&f->created_at);
    k->frames = 1;
    k->pc[0] = (uintptr_t)load_relaxed(&f->call.fn);
    e->id = load_relaxed(&f->id);
    e->created_by = load_relaxed(&f->created_by);
    e->since = 0;
    e->on = 0;
    e->holder = (struct holder){.owner = OWNER_UNKNOWN};
    e->g = NULL;
    copy_name(e->name, f->name);
    look_for_labels(d, &f->labels);
    fence_acquire();
    return load_relaxed(&f->in_use) && load_relaxed(&f->id) == e->id && e->id != 0;
}

static void look_around(struct dump *d, const struct g *self)
{
    size_t records = 0;

    for (const struct slab *s = load_acquire(&d->rt->slabs); s; s = s->next)
        records += SLAB_RECORDS;
    while (records && d->ids_room < 2 * records)
        d->ids_room = d->ids_room ? 2 * d->ids_room : 512;
    d->ids = d->ids_room ? rn__pool_take(&d->pool, d->ids_room * sizeof *d->ids) : NULL;
    if (!d->ids)
        d->ids_room = 0;
    for (const struct slab *s = load_acquire(&d->rt->slabs); s; s = s->next) {
        if (records < SLAB_RECORDS)
            d->ids_room = 0; /* a slab that came meanwhile: the table may be too small */
        else
            records -= SLAB_RECORDS;
        for (uint32_t i = 0; i < SLAB_RECORDS; i++)
            if (look_at_record(d, &s->record[i]) && !seen_before(d, d->entry.id, true))
                add(d);
    }
    for (const struct arena *a = load_acquire(&d->rt->arenas); a; a = a->next) {
        uint32_t n = load_acquire(&a->carved);

        for (uint32_t i = 0; i < n; i++) {
            struct g *g = rn__arena_g(a, i);

            if (g != self && look_at(d, g) && !seen_before(d, d->entry.id, false))
                add(d);
        }
    }
}

static void out_waiter(struct out *o, const struct lock_wait *w)
{
    if (w->g->kind == G_GOROUTINE) {
        rn__out_str(o, "goroutine");
        out_goroutine(o, w->g, w->tag, w->id);
    } else {
        rn__out_str(o, "thread ");
        rn__out_int(o, w->id);
    }
}

/* The calls of a thread that waits, if it still does. */
static NOINLINE void out_thread(struct dump *d, const struct lock_wait *w)
{
    struct lock_thread *t = lock_thread_of(w->g);
    uintptr_t pc[THREAD_CALLS];
    size_t n = 0;

    for (; n < THREAD_CALLS && load_relaxed(&t->pc[n]); n++)
        pc[n] = load_relaxed(&t->pc[n]);
    fence_acquire(); /* they are read before we look whose they are */
    if (load_relaxed(&t->g.tag) != w->tag)
        return;
    rn__out_str(d->o, "\nthread ");
    rn__out_int(d->o, w->id);
    rn__out_str(d->o, " [");
    rn__out_str(d->o, rn__wait_text[w->why]);
    rn__out_str(d->o, "]:\n");
    rn__out_frames(d->o, d->known, pc, n, true);
}

void rn__out_circle(struct out *o, const struct lock_wait *wait, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const struct lock_wait *next = &wait[i + 1 < n ? i + 1 : 0];

        rn__out_str(o, "  ");
        out_waiter(o, &wait[i]);
        rn__out_str(o, " waits for ");
        rn__out_hex(o, (uintptr_t)wait[i].on);
        rn__out_str(o, wait[i].read ? ", locked for reading by " : ", locked by ");
        if (n == 1)
            rn__out_str(o, "itself");
        else
            out_waiter(o, next);
        if (wait[i].read && wait[i].why == WAIT_RWMUTEX_RLOCK)
            rn__out_str(o, ", for a writer that waits for its unlock");
        rn__out_str(o, "\n");
    }
}

/* Each circle once, with its lowest id. */
static NOINLINE void out_circles(struct dump *d)
{
    struct lock_wait wait[CIRCLE_MAX];
    struct lock_search *s = rn__pool_take(&d->pool, sizeof *s);

    for (const struct group *group = s ? d->groups : NULL; group; group = group->after) {
        for (const struct entry *e = is_for_lock(group->kind.why) ? group->first : NULL; e;
             e = e->next) {
            unsigned n = e->g && (e->holder.owner == OWNER_GOROUTINE ||
                                  e->holder.owner == OWNER_THREAD || e->holder.readers > 0)
                             ? rn__lock_circle(d->rt, e->g, false, s, wait)
                             : 0;

            for (unsigned i = 0; i < n; i++)
                if (wait[i].g->kind == G_GOROUTINE && wait[i].id < e->id)
                    n = 0;
            if (n == 0)
                continue;
            rn__out_str(d->o, "\nlocked in a circle:\n");
            rn__out_circle(d->o, wait, n);
        }
    }
}

void rn__dump_these(struct out *o, struct rt *rt, const struct lock_wait *wait, unsigned n)
{
    struct pool pool = {0};
    struct dump *d = rn__pool_take(&pool, sizeof *d);

    if (!d)
        return;
    d->pool = pool;
    d->rt = rt;
    d->o = o;
    d->now = now_ns();
    d->known = rn__places_new(&d->pool);
    d->streaming = true;
    for (unsigned i = 0; i < n; i++) {
        if (wait[i].g->kind != G_GOROUTINE)
            out_thread(d, &wait[i]);
        else if (look_at(d, wait[i].g))
            add(d);
    }
    pool = d->pool;
    rn__pool_free(&pool);
}

/* d is large for a goroutine's stack: it lies in its own pool if there is memory. */
static NOINLINE size_t dump_with(struct dump *d, struct out *o, struct rt *rt, const struct g *self)
{
    size_t groups = 0;

    d->rt = rt;
    d->o = o;
    if (o) {
        d->now = now_ns();
        d->known = rn__places_new(&d->pool);
        d->hash = rn__pool_take(&d->pool, GROUPS_HASH * sizeof *d->hash);
        d->streaming = !d->hash;
    }
    look_around(d, self);
    for (struct group *g = d->groups; g; g = g->after) {
        g->first = sort_entries(g->first, g->count);
        groups++;
    }
    d->groups = sort_groups(d->groups, groups);
    for (struct group *g = d->groups; g; g = g->after)
        out_group(d, &g->kind, g->first, g->count);
    out_circles(d);
    return d->count;
}

static NOINLINE size_t dump_without_memory(struct out *o, struct rt *rt, const struct g *self)
{
    struct dump d = {0};

    return dump_with(&d, o, rt, self);
}

size_t rn__dump_others(struct out *o, struct rt *rt, const struct g *self)
{
    struct pool pool = {0};
    struct dump *d = rn__pool_take(&pool, sizeof *d);
    size_t count;

    if (!d)
        return dump_without_memory(o, rt, self);
    d->pool = pool; /* which holds d itself */
    count = dump_with(d, o, rt, self);
    pool = d->pool;
    rn__pool_free(&pool);
    return count;
}

/* ---- Public --------------------------------------------------------------------------------------------- */

enum { BUFFER = 32 << 10, SMALL = 256 };

static void dump_self(struct out *o, struct pool *pool, const struct g *g)
{
    uintptr_t pc[FRAMES_MAX];
    struct places *known = rn__places_new(pool);
    size_t n = rn__walk_self(pc, FRAMES_MAX, 1);

    rn__out_str(o, "\n");
    rn__out_head(o, g, "running");
    rn__out_frames(o, known, pc, n, true);
    rn__out_created(o, known, g->created_by, g->created_at);
}

static void out_count(struct out *o, size_t n, const char *what)
{
    rn__out_int(o, n);
    rn__out_str(o, what);
    if (n != 1)
        rn__out_str(o, "s");
}

NOINLINE void rn_dump(int fd)
{
    struct rt *rt = rn__report_hold();
    const struct g *self = rn__self();
    struct pool pool = {0};
    char small[SMALL];
    struct out o = {fd, 0, BUFFER, rn__pool_take(&pool, BUFFER)};
    uint32_t threads = load_relaxed(&rn__threads_parked);
    int saved = errno;

    if (!o.text) {
        o.text = small;
        o.room = SMALL;
    }
    rn__out_str(&o, "runnel: ");
    out_count(&o, rt ? rn__goroutines(rt) : 0, " goroutine");
    rn__out_str(&o, ", ");
    out_count(&o, rt ? load_relaxed(&rt->nprocs) : 0, " processor");
    if (threads > 0) {
        rn__out_str(&o, ", ");
        out_count(&o, threads, " waiting thread");
        rn__out_str(&o, " of the program's");
    }
    rn__out_str(&o, "\n");
    if (self->kind == G_GOROUTINE)
        dump_self(&o, &pool, self);
    if (rt)
        rn__dump_others(&o, rt, self);
    rn__out_flush(&o);
    rn__pool_free(&pool);
    if (rt)
        rn__rt_unref(rt);
    errno = saved;
}

size_t rn__leaks(struct rt *rt, int fd, const char *when, uintptr_t from, size_t *ret_lost)
{
    const struct g *self = rn__self();
    size_t n = rn__dump_others(NULL, rt, self);
    struct pool pool = {0};
    char small[SMALL];
    struct out o = {fd, 0, BUFFER, NULL};

    *ret_lost = 0;
    if (fd < 0 || (n == 0 && rn__lost_count() == 0))
        return n;
    o.text = rn__pool_take(&pool, BUFFER);
    if (!o.text) {
        o.text = small;
        o.room = SMALL;
    }
    if (n > 0) {
        rn__out_str(&o, "runnel: ");
        out_count(&o, n, " goroutine");
        rn__out_str(&o, " left");
        rn__out_str(&o, when);
        rn__out_str(&o, ":\n");
        n = rn__dump_others(&o, rt, self);
        rn__out_flush(&o);
    }
    o.text = small; /* the other has addresses in it that nobody else may have any more */
    o.room = SMALL;
    rn__pool_free(&pool);
    *ret_lost = rn__out_stuck(&o, rt, self, from);
    rn__out_flush(&o);
    return n;
}

enum { SAVED = 128 }; /* where a function keeps the caller's registers, below its frame's address */

NOINLINE size_t rn_leaks(int fd)
{
    struct rt *rt;
    int saved = errno;
    size_t n, lost;

    __builtin_unwind_init(); /* what the caller has in registers only is in this frame now */
    rt = rn__report_hold();
    n = rt ? rn__leaks(rt, fd, "", (uintptr_t)__builtin_frame_address(0) - SAVED, &lost) : 0;

    if (rt)
        rn__rt_unref(rt);
    errno = saved;
    return n;
}
