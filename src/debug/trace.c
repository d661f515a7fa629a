/* SPDX-License-Identifier: MIT */
/*
 * trace.c - the flight recorder: its rings on and off, and the file made of them.
 *
 * ring.h has the rings, note.h what is put into them. A runtime's rings are one mapping, made by the first start and kept
 * until the runtime goes, so that a writer who still has a ring that was just turned off writes into memory.
 *
 * The file, in steps:
 *   1. Copy each ring. Give events without a time of their own one: evenly between the two readings around them, but
 *      close to the first if there is a gap. Who did what is told by the order in the ring: whoever got the processor
 *      last.
 *   2. Rings reach back to different times. What is older than the oldest event of any ring that has overwritten some is
 *      left out, so that what is shown is complete. Of a ring that was written over as a whole while we copied, because the
 *      kernel let us wait, nothing is left: then all are copied once more.
 *   3. Sort by goroutine and time, and go through the life of each: waiting, runnable, running. The counters of two CPUs
 *      may differ by a few nanoseconds and readings are not exact; within a ring the order is certain, so where a
 *      goroutine runs before it was woken, the order that must have been is restored, and the later time holds for both.
 * All memory is the kernel's, and text is put together by hand: the file is also made by a process that panics.
 */
#include <runnel/debug.h>
#include <runnel/trace.h>
#include <stdlib.h>
#include <unistd.h>

#include "debug/debug.h"
#include "os/os.h"
#include "os/socket.h"
#include "sched/note.h"

struct recorder {
    size_t bytes;
    uint64_t began_ticks; /* two clocks, read at the same time */
    int64_t began;
    uint64_t since; /* atomic: when it was last turned on, by the counter */
    struct spin outside_lock;
    uint32_t
        count; /* of rings: one for each processor there may be, and the last is for those without */
    struct ring ring[]; /* ALIGNED(CACHE_LINE) */
};

static uint32_t recording; /* atomic: it is on */
static struct spin on_off; /* guards turning on and off; never held while anything is waited for */

/* ---- On and off ----------------------------------------------------------------------------------------- */

static struct recorder *recorder_new(struct rt *rt)
{
    uint32_t count = rt->room + 1;
    size_t bytes = sizeof(struct recorder) + count * sizeof(struct ring);
    struct recorder *rec = rn__os_map(bytes);

    if (!rec)
        return NULL;
    rec->bytes = bytes;
    rec->count = count;
    rec->began = now_ns();
    rec->began_ticks = arch_ticks();
    for (uint32_t i = 0; i < count; i++)
        ring_begin(&rec->ring[i], &rt->now);
    return rec;
}

/* on_off held. */
static int turn_on(struct rt *rt)
{
    struct recorder *rec = rt->recorder;

    if (!rec) {
        rec = recorder_new(rt);
        if (!rec)
            return -ENOMEM;
        store_release(&rt->recorder, rec); /* pairs with dump's load */
    }
    if (load_relaxed(&rt->outside))
        return 0;
    store_relaxed(&rec->since, arch_ticks());
    for (uint32_t i = 0; i < rt->room; i++)
        store_release(&rt->procs[i].ring, &rec->ring[i]); /* pairs with record() */
    store_release(&rt->outside, &rec->ring[rt->room]);
    return 0;
}

bool rn_trace_on(void)
{
    return load_acquire(&recording);
}

int rn_trace_start(void)
{
    struct counted unused;
    struct rt *rt = rn__counted_hold(&unused);
    int err = 0;

    spin_lock(&on_off);
    if (rt)
        err = turn_on(rt);
    if (!err)
        store_relaxed(&recording, 1);
    spin_unlock(&on_off);
    if (rt)
        rn__rt_unref(rt);
    return err;
}

void rn_trace_stop(void)
{
    struct counted unused;
    struct rt *rt = rn__counted_hold(&unused);

    spin_lock(&on_off);
    store_relaxed(&recording, 0);
    for (uint32_t i = 0; rt && i < rt->room; i++)
        store_relaxed(&rt->procs[i].ring, NULL);
    if (rt)
        store_relaxed(&rt->outside, NULL);
    spin_unlock(&on_off);
    if (rt)
        rn__rt_unref(rt);
}

void rn__trace_begin(struct rt *rt)
{
    static uint32_t asked; /* atomic */
    const char *file = getenv("RUNNEL_TRACE");

    if (!swap_acq_rel(&asked, 1) && file && *file)
        store_relaxed(&recording, 1);
    if (!load_relaxed(&recording))
        return;
    spin_lock(&on_off);
    (void)turn_on(rt); /* without memory there is no recorder */
    spin_unlock(&on_off);
}

void rn__trace_free(struct rt *rt)
{
    if (rt->recorder)
        rn__os_unmap(rt->recorder, rt->recorder->bytes);
}

COLD void rn__record_outside(struct rt *rt, uint64_t by, enum event_kind kind, unsigned arg,
                             uint64_t id, uint64_t what)
{
    struct ring *r = load_acquire(&rt->outside); /* pairs with turn_on */

    if (!r)
        return;
    spin_lock(&rt->recorder->outside_lock);
    ring_put(r, EVENT_BY, 0, by, 0);
    ring_put(r, kind, arg, id, what);
    spin_unlock(&rt->recorder->outside_lock);
}

/* ---- Events, with their times ----------------------------------------------------------------------------- */

struct item {
    int64_t time; /* ns since the recorder began */
    uint64_t id, what;
    uint64_t by;   /* spawn, ready: whose doing; 0: no goroutine's */
    uint32_t ring; /* where it was found */
    uint8_t kind, arg;
};

struct name {
    uint64_t id;
    const struct g *g;
};
struct function {
    uintptr_t pc;
    char text[72];
};
enum { FUNCTIONS = 256, TRACK_PROCS = 1 << 30 };

struct trace {
    struct rt *rt;
    struct recorder *rec;
    struct out o;
    struct pool pool;
    struct item *items;
    uint32_t *order, *spare; /* of items: by goroutine and time */
    size_t count;
    uint64_t overwritten;
    int64_t from, until; /* what is shown */
    uint64_t end_ticks;
    int64_t end;
    struct name *names;
    size_t names_room;
    struct function *functions;
    uint64_t flows, unclear;
    bool any; /* a record was written: the next one needs a comma */
};

/* The counter's lower bits as ns since the recorder began. */
static int64_t time_of(const struct trace *t, uint64_t ticks)
{
    const uint64_t mask = ((uint64_t)1 << (64 - EVENT_TIME)) - 1;
    uint64_t past = (t->end_ticks - ticks) & mask;
    uint64_t whole = t->end_ticks - t->rec->began_ticks;
    int64_t span = t->end - t->rec->began;

    if (past > whole || whole == 0)
        return past > whole ? -1 : 0; /* from before */
    return span - (int64_t)((unsigned __int128)past * (uint64_t)span / whole);
}

static bool is_later(const struct trace *t, uint64_t ticks)
{
    return (int64_t)((ticks - t->end_ticks) << EVENT_TIME) > 0;
}

/* Times for events[0, n), n > 0, of which some have only that of the last reading. */
static void place(struct trace *t, const struct event *e, uint64_t n, struct item *to)
{
    static const int64_t close =
        400; /* ns between two events of a dense stretch, at most; see ring.h */
    int64_t last = INT64_MIN;

    for (uint64_t i = 0, next; i < n; i = next) {
        bool exact = e[i].head >> EVENT_EXACT & 1;
        int64_t at = time_of(t, e[i].head >> EVENT_TIME), after = t->until, gap;

        for (next = i + 1; next < n && !(e[next].head >> EVENT_EXACT & 1); next++)
            ;
        if (next < n)
            after = time_of(t, e[next].head >> EVENT_TIME);
        gap = (after - at) / (int64_t)(next - i + !exact);
        gap = gap < 0 ? 0 : gap > close ? close : gap;
        if (!exact && next < n) /* the one with the time is gone: count from the end */
            at = after - gap * (int64_t)(next - i);
        for (uint64_t k = i; k < next; k++, at += gap) {
            last = at > last ? at : last + 1; /* strictly one after the other */
            to[k].time = last;
        }
    }
}

/* Who had the processor when the first of these happened; 0: nobody, as far as one can tell. */
static uint64_t who_first(const struct item *item, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        switch (item[i].kind) {
        case EVENT_PARK:
        case EVENT_YIELD:
        case EVENT_END:
        case EVENT_HANDOFF:
        case EVENT_BLOCK:
            return item[i].id;
        case EVENT_RUN:
        case EVENT_UNBLOCK:
            return 0;
        default:
            break;
        }
    }
    return 0;
}

static void tell_doers(struct item *item, uint64_t n)
{
    uint64_t who = who_first(item, n);

    for (uint64_t i = 0; i < n; i++) {
        switch (item[i].kind) {
        case EVENT_RUN:
        case EVENT_UNBLOCK:
        case EVENT_BY:
            who = item[i].id;
            break;
        case EVENT_PARK:
        case EVENT_YIELD:
        case EVENT_END:
        case EVENT_HANDOFF:
        case EVENT_BLOCK:
            who = 0;
            break;
        default:
            item[i].by = who;
            break;
        }
    }
}

/* Copy ring i, as far as end, into items, which have room for it. False: none of its events are there any more. */
static bool take_ring(struct trace *t, uint32_t i, uint64_t end, struct event *buffer)
{
    struct item *item = t->items + t->count;
    uint64_t first, n = ring_copy(&t->rec->ring[i], end, buffer, &first), old = 0;
    int64_t since = time_of(t, load_relaxed(&t->rec->since) & (UINT64_MAX >> EVENT_TIME));

    if (n == 0 && end > 0)
        return false;
    while (old < n && time_of(t, buffer[old].head >> EVENT_TIME) < since)
        old++; /* of the time before it was turned on again */
    for (uint64_t k = old; k < n; k++)
        if (is_later(t, buffer[k].head >> EVENT_TIME))
            n = k; /* of the time after we began to look */
    n -= old;
    if (n == 0)
        return true;
    for (uint64_t k = 0; k < n; k++) {
        const struct event *e = &buffer[old + k];

        item[k] = (struct item){
            .id = e->id,
            .what = e->what,
            .ring = i,
            .kind = e->head & 15,
            .arg = (uint8_t)(e->head >> EVENT_ARG & 127),
        };
    }
    place(t, buffer + old, n, item);
    tell_doers(item, n);
    if (first > 0 && old == 0) {
        t->overwritten += first;
        t->from = item[0].time > t->from ? item[0].time : t->from;
    }
    t->count += n;
    return true;
}

/* Copy all rings, as they are now. False: not all were to be had. */
static bool take_rings(struct trace *t, uint64_t *ends, struct event *buffer)
{
    uint32_t rings = t->rec ? t->rec->count : 0;
    bool all = true;

    t->end_ticks = arch_ticks();
    t->end = now_ns();
    t->until = t->rec ? t->end - t->rec->began : 0;
    t->from = 0;
    t->count = t->overwritten = 0;
    for (uint32_t i = 0; i < rings; i++)
        ends[i] = ring_end(&t->rec->ring[i]);
    for (uint32_t i = 0; i < rings; i++)
        all = take_ring(t, i, ends[i], buffer) && all;
    return all;
}

static bool about_goroutine(const struct item *item)
{
    return item->kind >= EVENT_SPAWN && item->kind <= EVENT_UNBLOCK;
}

static bool before(const struct trace *t, uint32_t a, uint32_t b)
{
    const struct item *x = &t->items[a], *y = &t->items[b];

    if (x->id != y->id)
        return x->id < y->id;
    return x->time != y->time ? x->time < y->time : a < b;
}

/* Merge sort of order[0, n). */
static void sort(struct trace *t, size_t n)
{
    uint32_t *from = t->order, *to = t->spare;

    for (size_t width = 1; width < n; width *= 2) {
        uint32_t *swap = from;

        for (size_t lo = 0; lo < n; lo += 2 * width) {
            size_t mid = lo + width < n ? lo + width : n, hi = mid + width < n ? mid + width : n;

            for (size_t a = lo, b = mid, at = lo; at < hi; at++)
                to[at] = a < mid && (b >= hi || !before(t, from[b], from[a])) ? from[a++]
                                                                              : from[b++];
        }
        from = to;
        to = swap;
    }
    t->order = from;
    t->spare = to;
}

/* ---- Records ------------------------------------------------------------------------------------------------ */

static void out_time(struct out *o, int64_t ns)
{
    uint64_t n = ns > 0 ? (uint64_t)ns : 0;
    char digits[4] = {'.', (char)('0' + n / 100 % 10), (char)('0' + n / 10 % 10),
                      (char)('0' + n % 10)};

    rn__out_int(o, n / 1000);
    rn__out_bytes(o, digits, sizeof digits);
}

/* A record's beginning: {"ph":"X","pid":1,"tid":7 */
static void begin(struct trace *t, const char *ph, bool proc, uint64_t track)
{
    struct out *o = &t->o;

    rn__out_str(o, t->any ? ",\n{\"ph\":\"" : "\n{\"ph\":\"");
    t->any = true;
    rn__out_str(o, ph);
    rn__out_str(o, proc ? "\",\"pid\":2,\"tid\":" : "\",\"pid\":1,\"tid\":");
    rn__out_int(o, proc ? TRACK_PROCS + track : track);
}

static void out_at(struct trace *t, int64_t time)
{
    rn__out_str(&t->o, ",\"ts\":");
    out_time(&t->o, time);
}

static void out_dur(struct trace *t, int64_t ns)
{
    rn__out_str(&t->o, ",\"dur\":");
    out_time(&t->o, ns);
}

static const struct g *name_of(const struct trace *t, uint64_t id)
{
    for (size_t i = id & (t->names_room - 1); t->names_room && t->names[i].id;
         i = (i + 1) & (t->names_room - 1))
        if (t->names[i].id == id)
            return t->names[i].g;
    return NULL;
}

static const char *function_of(struct trace *t, uintptr_t pc)
{
    struct function *f = &t->functions[(pc >> 4) & (FUNCTIONS - 1)];
    struct out text = {-1, 0, sizeof f->text - 1, f->text};

    if (f->pc != pc) {
        rn__out_function(&text, pc);
        f->text[text.used] = 0;
        f->pc = pc;
    }
    return f->text;
}

/* "G7 worker" or, of one that began before, "G7"; with its name if it lives. */
static void out_goroutine(struct trace *t, uint64_t id, uint64_t fn)
{
    const struct g *g = name_of(t, id);

    rn__out_str(&t->o, "G");
    rn__out_int(&t->o, id);
    if (fn) {
        rn__out_str(&t->o, " ");
        rn__out_escaped(&t->o, function_of(t, (uintptr_t)fn));
    }
    if (g) {
        char name[G_NAME_MAX];

        rn__copy(name, g->name, sizeof name);
        name[sizeof name - 1] = 0;
        if (name[0] && load_relaxed(&g->id) == id) {
            rn__out_str(&t->o, " \\\"");
            rn__out_escaped(&t->o, name);
            rn__out_str(&t->o, "\\\"");
        }
    }
}

/* ---- The life of a goroutine ---------------------------------------------------------------------------------- */

enum phase {
    PHASE_UNKNOWN,
    PHASE_NONE,
    PHASE_RUNNABLE,
    PHASE_RUNNING,
    PHASE_WAITING,
    PHASE_WITHOUT
};

struct life {
    uint64_t id, fn;
    enum phase phase;
    int64_t since;
    uint32_t ring;          /* running: where */
    const char *name;       /* waiting, without: for what */
    uint64_t on;            /* waiting */
    const struct item *why; /* runnable: woken or started by */
};

/* The phase ends at time. */
static void end_phase(struct trace *t, struct life *l, int64_t time)
{
    const char *name = l->phase == PHASE_RUNNABLE  ? "runnable"
                       : l->phase == PHASE_RUNNING ? "running"
                                                   : l->name;

    if (l->phase == PHASE_UNKNOWN || l->phase == PHASE_NONE)
        return;
    begin(t, "X", false, l->id);
    out_at(t, l->since);
    out_dur(t, time - l->since);
    rn__out_str(&t->o, ",\"name\":\"");
    rn__out_str(&t->o, name);
    rn__out_str(&t->o, "\"");
    if (l->phase == PHASE_RUNNING) {
        rn__out_str(&t->o, ",\"args\":{\"processor\":");
        rn__out_int(&t->o, l->ring);
        rn__out_str(&t->o, "}");
    } else if (l->phase == PHASE_WAITING && l->on) {
        rn__out_str(&t->o, ",\"args\":{\"on\":\"");
        rn__out_hex(&t->o, l->on);
        rn__out_str(&t->o, "\"}");
    }
    rn__out_str(&t->o, "}");
    if (l->phase == PHASE_RUNNING) {
        begin(t, "X", true, l->ring);
        out_at(t, l->since);
        out_dur(t, time - l->since);
        rn__out_str(&t->o, ",\"name\":\"");
        out_goroutine(t, l->id, l->fn);
        rn__out_str(&t->o, "\"}");
    }
}

/* The arrow from what made l runnable to its run at time. */
static void arrow(struct trace *t, struct life *l, int64_t time)
{
    const struct item *why = l->why;
    const char *name = why->kind == EVENT_SPAWN ? "start" : "wake";
    bool proc = why->by == 0;
    uint64_t track = proc ? why->ring : why->by;
    int64_t from = why->time < time ? why->time : time;

    if (proc) { /* an arrow begins in a slice */
        begin(t, "X", true, track);
        out_at(t, from);
        out_dur(t, 1);
        rn__out_str(&t->o, ",\"name\":\"");
        rn__out_str(&t->o, name);
        rn__out_str(&t->o, "\"}");
    }
    t->flows++;
    for (unsigned end = 0; end < 2; end++) {
        begin(t, end ? "f" : "s", end ? false : proc, end ? l->id : track);
        out_at(t, end ? time : from);
        rn__out_str(&t->o, end ? ",\"bp\":\"e\",\"id\":" : ",\"id\":");
        rn__out_int(&t->o, t->flows);
        rn__out_str(&t->o, ",\"cat\":\"");
        rn__out_str(&t->o, name);
        rn__out_str(&t->o, "\",\"name\":\"");
        rn__out_str(&t->o, name);
        rn__out_str(&t->o, "\"}");
    }
}

/* What it must have been before item, its first. */
static void assume(struct life *l, const struct item *item, int64_t from)
{
    l->since = from;
    l->name = "waiting";
    switch (item->kind) {
    case EVENT_RUN:
        l->phase = PHASE_RUNNABLE;
        break;
    case EVENT_PARK:
    case EVENT_YIELD:
    case EVENT_END:
    case EVENT_BLOCK:
    case EVENT_HANDOFF:
        l->phase = PHASE_RUNNING;
        l->ring = item->ring;
        break;
    case EVENT_READY:
        l->phase = PHASE_WAITING;
        break;
    case EVENT_UNBLOCK:
        l->phase = PHASE_WITHOUT;
        l->name = "without a processor";
        break;
    default:
        l->phase = PHASE_NONE;
        break;
    }
}

static void next_phase(struct trace *t, struct life *l, const struct item *item, int64_t time)
{
    if (l->phase == PHASE_UNKNOWN)
        assume(l, item, t->from);
    if (l->phase == PHASE_RUNNING && item->ring + 1 == t->rec->count)
        l->phase = PHASE_WITHOUT,
        l->name = "without a processor"; /* that began before what we see */
    time = time > l->since ? time : l->since;
    end_phase(t, l, time);
    if (item->kind == EVENT_RUN && l->phase == PHASE_RUNNABLE && l->why)
        arrow(t, l, time);
    l->since = time;
    l->why = NULL;
    switch (item->kind) {
    case EVENT_SPAWN:
        l->fn = item->what;
        l->why = item;
        l->phase = PHASE_RUNNABLE;
        break;
    case EVENT_READY:
        l->why = item;
        l->phase = PHASE_RUNNABLE;
        break;
    case EVENT_YIELD:
        l->phase = PHASE_RUNNABLE;
        break;
    case EVENT_RUN:
    case EVENT_UNBLOCK:
        l->phase = PHASE_RUNNING;
        l->ring = item->ring;
        break;
    case EVENT_PARK:
        l->phase = PHASE_WAITING;
        l->name = rn__wait_text[item->arg < WAIT_REASONS ? item->arg : WAIT_NONE];
        l->on = item->what;
        break;
    case EVENT_HANDOFF:
        l->phase = PHASE_WITHOUT;
        l->name = "without a processor";
        break;
    case EVENT_BLOCK:
        l->phase = PHASE_WITHOUT;
        l->name = "blocking call";
        break;
    default:
        l->phase = PHASE_NONE;
        break;
    }
}

/* May item come next? What a goroutine does while it has a processor stands in that one's ring. */
static bool fits(const struct trace *t, const struct life *l, const struct item *item)
{
    enum phase phase = l->phase;

    switch (item->kind) {
    case EVENT_SPAWN:
        return phase == PHASE_NONE || phase == PHASE_UNKNOWN;
    case EVENT_READY:
        return phase == PHASE_WAITING || phase == PHASE_UNKNOWN;
    case EVENT_RUN: /* without a processor: it has queued for one, and is on its own thread again */
        return phase == PHASE_RUNNABLE || phase == PHASE_WITHOUT || phase == PHASE_UNKNOWN;
    case EVENT_UNBLOCK:
        return phase == PHASE_WITHOUT || phase == PHASE_UNKNOWN;
    default:
        if (phase ==
            PHASE_RUNNING) /* it may have lost the processor before what we see: see next_phase */
            return item->ring == l->ring || item->ring + 1 == t->rec->count;
        return phase == PHASE_WITHOUT || phase == PHASE_UNKNOWN;
    }
}

/*
 * Where in order[i, end) is the event that comes next: the first that fits among those that are the first of their ring.
 * Within a ring the order is certain; between two, times may be wrong by what ring.h says. end: none fits.
 */
static size_t find_next(const struct trace *t, const struct life *l, size_t i, size_t end)
{
    enum { FAR = 64 };
    uint64_t seen =
        0; /* of ring % 64: with more than that many some that would fit may be passed by */

    for (size_t k = i; k < end && k < i + FAR; k++) {
        const struct item *item = &t->items[t->order[k]];
        uint64_t bit = (uint64_t)1 << item->ring % 64;

        if (!(seen & bit) && fits(t, l, item))
            return k;
        seen |= bit;
    }
    return end;
}

/* One goroutine's events: order[at, end). */
static void one_life(struct trace *t, size_t at, size_t end)
{
    struct life l = {.id = t->items[t->order[at]].id};
    bool spawned = false;

    for (size_t i = at; i < end && !spawned; i++) {
        spawned = t->items[t->order[i]].kind == EVENT_SPAWN;
        if (spawned) {
            l.fn = t->items[t->order[i]].what;
            l.phase = PHASE_NONE; /* so it was nothing before, whatever the clocks say */
        }
    }
    begin(t, "M", false, l.id);
    rn__out_str(&t->o, ",\"name\":\"thread_name\",\"args\":{\"name\":\"");
    out_goroutine(t, l.id, l.fn);
    rn__out_str(&t->o, "\"}}");
    for (size_t i = at; i < end; i++) {
        size_t k = find_next(t, &l, i, end);
        uint32_t next;

        if (k == end) {
            t->unclear++; /* what comes between was not there yet when its ring was read */
            continue;
        }
        next = t->order[k];
        for (size_t m = k; m > i; m--)
            t->order[m] = t->order[m - 1];
        t->order[i] = next;
        next_phase(t, &l, &t->items[next], t->items[next].time);
    }
    end_phase(t, &l, t->until);
}

/* ---- The file --------------------------------------------------------------------------------------------------- */

static void out_header(struct trace *t)
{
    struct out *o = &t->o;

    rn__out_str(o, "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"events\":");
    rn__out_int(o, t->count);
    rn__out_str(o, ",\"overwritten\":");
    rn__out_int(o, t->overwritten);
    rn__out_str(o, "},\"traceEvents\":[");
    for (unsigned proc = 0; proc < 2; proc++) {
        begin(t, "M", proc, 0);
        rn__out_str(o, ",\"name\":\"process_name\",\"args\":{\"name\":\"");
        rn__out_str(o, proc ? "processors" : "goroutines");
        rn__out_str(o, "\"}}");
    }
}

/* What is a processor's own: names, and marks. */
static void out_procs(struct trace *t)
{
    static const char *const text[] = {[EVENT_STEAL] = "steal",
                                       [EVENT_TIMER] = "timers",
                                       [EVENT_POLL] = "poll",
                                       [EVENT_HANDOFF] = "hand-off"};
    struct out *o = &t->o;

    for (uint32_t i = 0, known = load_relaxed(&t->rt->nprocs); i < t->rec->count; i++) {
        bool outside = i + 1 == t->rec->count;

        if (i >= known && !outside)
            continue;
        begin(t, "M", true, i);
        rn__out_str(o, ",\"name\":\"thread_name\",\"args\":{\"name\":\"");
        rn__out_str(o, outside ? "no processor" : "processor ");
        if (!outside)
            rn__out_int(o, i);
        rn__out_str(o, "\"}}");
    }
    for (size_t i = 0; i < t->count; i++) {
        const struct item *item = &t->items[i];

        if (item->time < t->from || item->kind >= sizeof text / sizeof text[0] || !text[item->kind])
            continue;
        begin(t, "i", true, item->ring);
        out_at(t, item->time);
        rn__out_str(o, ",\"s\":\"t\",\"name\":\"");
        rn__out_str(o, text[item->kind]);
        rn__out_str(o, item->kind == EVENT_HANDOFF ? "\",\"args\":{\"goroutine\":"
                                                   : "\",\"args\":{\"count\":");
        rn__out_int(o, item->kind == EVENT_HANDOFF ? item->id : item->what);
        rn__out_str(o, "}}");
    }
}

static void find_names(struct trace *t)
{
    size_t n = 0;

    for (const struct arena *a = load_acquire(&t->rt->arenas); a; a = a->next)
        n += load_acquire(&a->carved);
    for (t->names_room = 64; t->names_room < 2 * n;)
        t->names_room *= 2;
    t->names = rn__pool_take(&t->pool, t->names_room * sizeof *t->names);
    if (!t->names)
        t->names_room = 0;
    for (const struct arena *a = load_acquire(&t->rt->arenas); a; a = a->next) {
        for (uint32_t k = 0, end = load_acquire(&a->carved); k < end && n > 0; k++, n--) {
            const struct g *g = rn__arena_g(a, k);
            uint64_t id = load_relaxed(&g->id);
            size_t i = id & (t->names_room - 1);

            if (!id || !t->names_room || !g->name[0])
                continue;
            while (t->names[i].id)
                i = (i + 1) & (t->names_room - 1);
            t->names[i] = (struct name){id, g};
        }
    }
}

enum { TRIES = 10 };

static int collect(struct trace *t)
{
    uint32_t rings = t->rec ? t->rec->count : 0;
    struct event *buffer = rn__pool_take(&t->pool, RING_SLOTS * sizeof *buffer);
    uint64_t *ends = rn__pool_take(&t->pool, (rings + 1) * sizeof *ends);
    size_t room = (size_t)rings * RING_SLOTS, n = 0; /* what is not used is not touched */
    int tries = 0;

    t->items = rn__pool_take(&t->pool, room * sizeof *t->items);
    t->order = rn__pool_take(&t->pool, room * sizeof *t->order);
    t->spare = rn__pool_take(&t->pool, room * sizeof *t->spare);
    t->functions = rn__pool_take(&t->pool, FUNCTIONS * sizeof *t->functions);
    if (!buffer || !ends || !t->items || !t->order || !t->spare || !t->functions)
        return -ENOMEM;
    while (!take_rings(t, ends, buffer))
        if (++tries == TRIES) { /* the others' events are not all there was */
            t->from = t->until;
            break;
        }
    for (size_t i = 0; i < t->count; i++)
        if (t->items[i].time >= t->from && about_goroutine(&t->items[i]))
            t->order[n++] = (uint32_t)i;
    sort(t, n);
    out_header(t);
    if (!t->rec)
        return 0;
    find_names(t);
    out_procs(t);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && t->items[t->order[end]].id == t->items[t->order[i]].id; end++)
            ;
        one_life(t, i, end);
    }
    return 0;
}

enum { BUFFER = 64 << 10 };

/* rt: its recorder's events; it may be NULL. */
static int dump(struct rt *rt, int fd)
{
    struct trace t = {.rt = rt};
    int saved = errno, err;

    t.rec = rt ? load_acquire(&rt->recorder) : NULL; /* pairs with turn_on */
    t.o = (struct out){fd, 0, BUFFER, rn__pool_take(&t.pool, BUFFER)};
    err = t.o.text ? collect(&t) : -ENOMEM;
    if (!err) {
        rn__out_str(&t.o, "\n],\"unclear\":");
        rn__out_int(&t.o, t.unclear);
        rn__out_str(&t.o, "}\n");
        rn__out_flush(&t.o);
    }
    rn__pool_free(&t.pool);
    errno = saved;
    return err;
}

int rn_trace_dump(int fd)
{
    struct rt *rt = rn__report_hold();
    int err = dump(rt, fd);

    if (rt)
        rn__rt_unref(rt);
    return err;
}

/* The file's name with the process id for %p; false: there is none, or no room. */
static bool file_name(char *to, size_t room)
{
    const char *from = getenv("RUNNEL_TRACE");
    struct out o = {-1, 0, room - 1, to};

    if (!from || !*from)
        return false;
    for (; *from; from++) {
        if (from[0] == '%' && from[1] == 'p') {
            rn__out_int(&o, (uint64_t)getpid());
            from++;
        } else {
            rn__out_bytes(&o, from, 1);
        }
    }
    to[o.used] = 0;
    return o.used < room - 1;
}

void rn__trace_file(struct rt *rt)
{
    char name[1024];
    int fd;

    if (!load_acquire(&rt->recorder) || !file_name(name, sizeof name))
        return;
    fd = rn__os_create(name);
    if (fd >= 0) {
        (void)dump(rt, fd);
        rn__os_close(fd);
    } else {
        char small[256];
        struct out o = {STDERR_FILENO, 0, sizeof small, small};

        rn__out_str(&o, "runnel: RUNNEL_TRACE=");
        rn__out_str(&o, name);
        rn__out_str(&o, ": cannot be written\n");
        rn__out_flush(&o);
    }
}
