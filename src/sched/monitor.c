/* SPDX-License-Identifier: MIT */
/*
 * monitor.c - the thread that takes processors from goroutines that block or compute.
 *
 * A goroutine may call anything: a database client, getaddrinfo, a loop of ten seconds. Its processor must not wait for
 * it. The monitor looks at every processor each millisecond or two. One whose worker has run the same goroutine since
 * the last look, without an entry into the runtime, while work waits, is taken: at once if the thread sleeps in the
 * kernel, after SLICE if it computes. The goroutine goes on undisturbed on its own thread, without a
 * processor, and rejoins when it next waits: it parks like any other, or, in a call that could go on, yields first
 * (wait_point); or when it starts a goroutine, on its own thread, for it may hold something of the thread's
 * (rn__proc_regain). What it readies meanwhile goes to the global queue.
 *
 * The protocol. A worker's processor may be used only inside an entry; the monitor takes it only outside of one.
 *   worker                                       monitor
 *   M1 entry = odd                               M6 attention |= STEALING   (rt->lock held; the worker exists)
 *   -- compiler fence --                         -- a full fence in every thread: membarrier --
 *   M2 if attention has STEALING: wait for M9    M7 if entry is odd, or not what it was: go to M9
 *   M3 use the processor, if proc is not NULL    M8 proc = NULL; the processor goes to the idle list
 *   M4 ...                                       M9 attention &= ~STEALING
 *   M5 entry = even
 * Invariants
 *   P1  M3 and M8 exclude each other. Of M1 and M6 one is first for both: if M1 was before the fence, M7 sees it; if
 *       not, M2 comes after the fence and sees M6.
 *   P2  between a positive M7 and M9 the worker stays outside or waits in M2, so proc, cur and without are the
 *       monitor's to read and write (M8 -> M9 release, M2 acquire).
 *   P3  a worker does not leave rt's list of threads while STEALING is set, so M7 to M9 touch a live one.
 *   P4  every processor is held by one worker, in the idle list, or in the monitor's hand: at most nprocs run.
 * Where the kernel refuses membarrier, every worker has ATTEND_FENCE set for good, and M2 is a full fence and a second
 * look; the monitor then passes a fence of its own.
 *
 * What a thread does in the kernel is read from a file, which costs 10 us and more. One that computes, or waits for a CPU
 * that another process has, is asked about again when it has been at it for twice as long, so four times in a slice; that
 * it blocks then is seen after a time that is no longer than it had computed before.
 *
 * Who blocks comes seldom alone: fifty goroutines of one program all make the same call, and each of them that is picked
 * costs its processor. So after a processor was taken the next looks come soon, one twice as far away as the last, until
 * they are a tick apart again; the others are through in a fraction of a millisecond each, not in two ticks.
 *
 * Where it has found for LIVELY_AFTER looks that whoever holds a processor gets on or computes, or that descriptors and
 * timers are left to somebody who computes (covered in sched.c), it looks less often, though in time for the end of a
 * slice: a look costs 20 us of a CPU on a virtual machine, nearly all of it the kernel's for waking a thread, 1 to 2 % of
 * a server's time.
 *
 * A goroutine that enters often but is never done is asked to yield after SLICE, by ATTEND_YIELD, which calls that may
 * wait look at; if it makes no such call, its processor is taken after 2 SLICE wherever it is.
 *
 * A monitor that woke late was stopped, debugged or suspended with everybody else, and knows nothing: it begins anew.
 * Under Valgrind, which runs one thread at a time, slices are longer.
 *
 * It prints the lines that RUNNEL_SCHEDTRACE asks for, since it is the one thread that never runs anything else.
 *
 * Once a second, when anything runs, it looks which CPUs the process may use, and changes the number of processors. While
 * there is only one its holder takes from the queues as if nobody else did (alone). Before a second comes it is told
 * otherwise, and a take that began before is over: all threads have passed a fence, and then the holder was outside, or in
 * another entry, or another one held the processor.
 *
 * The monitor is also the last resort of idle processors: work that waits at a processor whose holder has not picked for
 * a tick, or a timer that is due with nobody to mind it, gets a worker; where nobody polls for descriptors, neither idle
 * nor between tasks, it does.
 * Where tasks are not shared since that did not pay (sched.c), it has it tried again now and then.
 * It joins threads that ended early. When all processors are idle for DEEP_AFTER ticks it sleeps until one is taken, so
 * an idle program uses no CPU.
 *
 * For the torture test the monitor can be made eager: it looks a hundred times as often, and takes whatever processor
 * it finds outside an entry at M7, whether others wait for it or not.
 *
 * Rejected: signals, as in Go, which would interrupt the user's system calls and cannot move a C frame anyway; a look at
 * every system call (ptrace, seccomp), which costs microseconds on each.
 */
#include "base/mem.h"
#include "base/tools.h"
#include "debug/debug.h"
#include "netpoll/netpoll.h"
#include "os/os.h"
#include "sched/note.h"
#include "sched/rt.h"

enum {
    DEEP_AFTER = 2,
    CALM_AFTER = 16,
    LIVELY_AFTER = 16,
    STEALS_MAX = 64,
    PROBE_MAX = 31,
    LEAVE_TRIES = 100
};
static const int64_t tick_ns = 1000000, calm_ns = 2500000, calm_max_ns = 10000000;
static const int64_t quick_ns =
    50000; /* after a processor was taken; then twice as long each time, up to a tick */
static const int64_t eager_ns = 10000;
static const int64_t lasting_ns = (int64_t)2 *
                                  PAYS_NS; /* of a task that is certainly worth to be moved */
static const int64_t late_ns = 100000000, slice_ns = 10000000;
static const int64_t follow_ns = 1000000000; /* between two looks at the CPUs that may be used */

uint32_t rn__monitor_eager;

COLD void rn__enter_slow(struct worker *w)
{
    if (load_relaxed(&w->attention) & ATTEND_FORKED)
        rn__panic(
            "runtime call in the child of a goroutine's fork: only exec and _exit work there");
    if (load_relaxed(&w->attention) & ATTEND_FENCE)
        fence_seq_cst();                                                     /* M1 before M2 */
    for (unsigned n = 0; load_acquire(&w->attention) & ATTEND_STEALING; n++) /* M2, pairs with M9 */
        rn__wait_shortly(n);
}

COLD void rn__monitor_exclude(struct worker *w)
{
    for (;;) {
        for (unsigned n = 0; load_acquire(&w->attention) & ATTEND_STEALING; n++)
            rn__wait_shortly(n); /* without the lock, which the taker wants */
        spin_lock(&w->rt->lock);
        if (!(load_acquire(&w->attention) & ATTEND_STEALING)) /* P3; pairs with M6, M9 */
            return;
        spin_unlock(&w->rt->lock);
    }
}

COLD void rn__yield_due(struct worker *w)
{
    and_acq_rel(&w->attention, ~(uint32_t)ATTEND_YIELD);
    if (w->cur->kind == G_GOROUTINE)
        rn__yield_to(AFTER_YIELD);
}

/* A processor that may be taken: what was seen of it. */
struct suspect {
    struct proc *proc;
    struct worker *worker;
    uint32_t entry;
    bool any_entry; /* it has had its time twice over: take it at whatever entry it is */
    int tid;
    int64_t since;
};

static int64_t slice(void)
{
    return rn__tools & TOOL_VALGRIND ? 50 * slice_ns : slice_ns;
}

/* What a look has found beside suspects. */
struct sight {
    bool wake;    /* work waits that somebody idle could come for */
    bool overdue; /* it is a timer, and neither is there a keeper nor did who is busy come for it */
    bool lively;  /* some have picked since the last look, or compute */
    bool changed; /* there is something that is not to wait for long */
    bool polled;  /* a holder who picks task after task has polled not long ago, or we have */
    int64_t due;  /* when somebody who computes is to be looked at again */
};

static void glance(struct glance *seen, struct worker *w, uint32_t tick, uint32_t entry,
                   int64_t now)
{
    seen->worker = w;
    seen->tick = tick;
    seen->entry = entry;
    seen->since = now;
    seen->spared = now;
}

/* p's worker is not to be asked about before its time is over; then there is to be a look. */
static void spare(const struct proc *p, struct sight *ret)
{
    if (p->seen.spared < ret->due)
        ret->due = p->seen.spared;
    ret->lively = true;
}

/*
 * p has picked so many tasks in ns. If it is known that they are better not shared, is it time to try again? At once where
 * they last: those that were known were shorter.
 */
static bool try_sharing(struct rt *rt, struct proc *p, uint32_t picks, int64_t ns)
{
    struct glance *seen = &p->seen;
    uint32_t unpaid = load_relaxed(&p->unpaid);

    if (unpaid == 0)
        seen->unshared = seen->probe = 0;
    if (unpaid < UNPAID_MAX || queued(p) < 2 || rt->idle_procs == 0)
        return false;
    if (ns < picks * lasting_ns) {
        if (seen->unshared++ < seen->probe)
            return false;
        seen->unshared = 0;
        seen->probe = seen->probe * 2 + 1 < PROBE_MAX ? seen->probe * 2 + 1 : PROBE_MAX;
    }
    store_relaxed(&p->unpaid, UNPAID_MAX - 1); /* one more that does not pay, and it is as before */
    return true;
}

/* Look at every processor, rt->lock held; the suspects. */
static uint32_t look(struct rt *rt, int64_t now, struct suspect *s, struct sight *ret)
{
    uint32_t n = 0;
    int64_t clock = now_ns();
    bool global = rt->global_len > 0;

    for (uint32_t i = 0; i < rt->nprocs; i++) {
        struct proc *p = &rt->procs[i];
        struct glance *seen = &p->seen;
        struct worker *w = p->idle ? NULL : p->worker;
        bool due = !rt->keeper && timers_first(p->timers) <= clock; /* a keeper comes by itself */
        bool own = queued(p) > 0 || due, work = own || global;
        uint32_t tick, entry, polled;

        if (!w) {
            ret->wake |= own || global_for(rt, p);
            ret->overdue |= due && !all_idle(rt);
            seen->worker = NULL;
            continue;
        }
        tick = load_relaxed(&p->tick);
        entry = load_acquire(&w->entry);
        polled = load_relaxed(&p->polled);
        if (polled != seen->polled) {
            seen->polled = polled;
            seen->polled_at = now;
        }
        if (tick != seen->tick &&
            now - (seen->polled_at > rt->polled_at ? seen->polled_at : rt->polled_at) < slice())
            ret->polled = true;
        if (unlikely(rn__monitor_eager)) {
            glance(seen, w, tick, entry, now);
            ret->changed = true;
            ret->wake |= work && rt->idle_procs > 0;
            if (n < STEALS_MAX)
                s[n++] = (struct suspect){p, w, entry, true, w->tid, now};
            continue;
        }
        if (w != seen->worker || tick != seen->tick) {
            ret->wake |= try_sharing(rt, p, tick - seen->tick, now - seen->since);
            /* Where sharing may not pay, the tries are counted in looks: those come at their pace. */
            ret->changed |= load_relaxed(&p->unpaid) > 0 && rt->idle_procs > 0;
            ret->lively = true;
            glance(seen, w, tick, entry, now);
            continue;
        }
        if (!work) {
            seen->entry = entry;
            continue;
        }
        if (rt->idle_procs > 0) { /* whoever has one can come for the work */
            store_relaxed(&p->unpaid, 0);
            ret->wake = true;
            ret->overdue |= due;
            continue;
        }
        if (entry == seen->entry && !(entry & 1)) {
            if (now < seen->spared)
                spare(p, ret);
            else if (n < STEALS_MAX)
                s[n++] = (struct suspect){p, w, entry, false, w->tid, seen->since};
            continue;
        }
        ret->changed = true;
        seen->entry = entry;
        seen->spared = now;
        if (now - seen->since >= 2 * slice() && n < STEALS_MAX)
            s[n++] = (struct suspect){p, w, entry, true, w->tid, seen->since};
        else if (now - seen->since >= slice())
            or_acq_rel(&w->attention, ATTEND_YIELD);
    }
    return n;
}

/* Is s to be taken? Without the lock: it asks the kernel. */
static bool convicted(const struct suspect *s, int64_t now)
{
    if (s->any_entry || now - s->since >= slice())
        return true;
    /* Under Valgrind others ran meanwhile, whatever this one did. */
    return !(rn__tools & TOOL_VALGRIND) && rn__os_thread_sleeps(s->tid);
}

/* It has run since the last pick, and is asked about again after as long as that was, or when its slice is over. */
static void acquit(const struct suspect *s, int64_t now, struct sight *ret)
{
    int64_t again = now + (now - s->since), end = s->since + slice();

    s->proc->seen.spared = again < end ? again : end;
    spare(s->proc, ret);
}

void rn__fence_all(void)
{
    if (!rn__os_fence_all())
        rn__panic("the kernel refuses membarrier, which it allowed when the process began");
}

void rn__everybody_fences(const struct rt *rt)
{
    if (rt->fences)
        fence_seq_cst();
    else
        rn__fence_all();
}

/* True if a processor was taken. */
static bool take(struct rt *rt, struct suspect *s, uint32_t n)
{
    uint32_t left = 0;
    bool taken = false;

    spin_lock(&rt->lock);
    for (uint32_t i = 0; i < n; i++) {
        struct proc *p = s[i].proc;

        if (p->idle || p->worker != s[i].worker || load_relaxed(&p->tick) != p->seen.tick ||
            rt->stopping)
            continue;
        or_acq_rel(&s[i].worker->attention, ATTEND_STEALING); /* M6 */
        s[left++] = s[i];
    }
    spin_unlock(&rt->lock);
    if (left == 0)
        return false;
    rn__everybody_fences(rt);
    for (uint32_t i = 0; i < left; i++) {
        struct worker *w = s[i].worker;
        uint32_t entry = load_acquire(&w->entry); /* M7, pairs with M5 */

        if (!(entry & 1) && (s[i].any_entry || entry == s[i].entry) && w->proc == s[i].proc) {
            store_relaxed(&w->proc, NULL); /* M8 */
            w->without = true;
            note_without(w, s[i].proc, true); /* P2: it is ours */
            rn__block_lost(w->cur);
            rn__proc_taken(rt, s[i].proc);
            or_acq_rel(&w->attention, ATTEND_YIELD); /* rejoin in the next call that waits */
            taken = true;
        }
        and_acq_rel(&w->attention, ~(uint32_t)ATTEND_STEALING); /* M9; w may be gone after this */
    }
    if (taken)
        rn__wake_one(rt);
    return taken;
}

static void join_retired(struct rt *rt)
{
    struct worker_slot *slot, *next;

    spin_lock(&rt->lock);
    slot = rt->retired;
    rt->retired = NULL;
    spin_unlock(&rt->lock);
    for (; slot; slot = next) {
        next = slot->next;
        pthread_join(slot->thread, NULL);
        rn__mem_free(slot);
    }
}

/* What one look has found: how soon to look again. */
enum found { FOUND_NOTHING, FOUND_LIVELY, FOUND_CHANGE, FOUND_TAKEN };

/* Has anybody asked for a worker since this was called last? rt->lock held. */
static bool was_asked(struct rt *rt)
{
    bool asked = load_relaxed(&rt->asked);

    store_relaxed(&rt->asked, false);
    return asked;
}

/* *ret_due: by when the next look is to come; INT64_MAX: that is all the same. */
static enum found tick(struct rt *rt, int64_t now, bool late, int64_t *ret_due)
{
    struct suspect s[STEALS_MAX];
    struct sight sight = {.due = INT64_MAX};
    bool taken = false, asked, left;
    uint32_t n, guilty = 0;

    spin_lock(&rt->lock);
    asked = was_asked(rt);
    if (late)
        for (uint32_t i = 0; i < rt->nprocs; i++)
            rt->procs[i].seen.worker = NULL;
    n = look(rt, now, s, &sight);
    left = rt->idle_procs > 0 && !all_idle(rt) && unminded(rt) &&
           (rn__netpoll_active() || rn__timers_first(rt) < INT64_MAX);
    spin_unlock(&rt->lock);
    for (uint32_t i = 0; i < n; i++)
        if (convicted(&s[i], now))
            s[guilty++] = s[i];
        else
            acquit(&s[i], now, &sight);
    *ret_due = sight.due;
    if (guilty)
        taken = take(rt, s, guilty);
    if (sight.overdue)
        rn__left_too_long(rt);
    if (sight.wake || asked)
        rn__wake_one(rt);
    /* Nobody idle polls, and nobody busy. Not more often, and not while there is work for whoever comes: what we find goes
     * to the global queue, and waits there while holders run what they find. */
    if (!sight.polled && rn__netpoll_active() && load_relaxed(&rt->global_len) == 0 &&
        unminded(rt)) {
        if (rn__netpoll_poll() > 0)
            rn__left_too_long(rt);
        rt->polled_at = now;
    }
    if (rt->retired) /* a glance: the next tick sees it otherwise */
        join_retired(rt);
    return taken                     ? FOUND_TAKEN
           : guilty || sight.changed ? FOUND_CHANGE
           : sight.lively || left    ? FOUND_LIVELY
                                     : FOUND_NOTHING;
}

/* The time until the next look. calm: looks in a row that found the same. */
static int64_t next_period(int64_t period, enum found found, unsigned calm)
{
    if (unlikely(rn__monitor_eager))
        return eager_ns;
    if (found == FOUND_TAKEN)
        return quick_ns;
    if (period < tick_ns)
        return 2 * period < tick_ns ? 2 * period : tick_ns;
    if (found == FOUND_NOTHING)
        return calm < CALM_AFTER ? calm_ns : calm_max_ns;
    return found == FOUND_LIVELY && calm >= LIVELY_AFTER ? calm_ns : tick_ns;
}

/* Sleep until told, or until the time. */
static void doze(struct rt *rt, int64_t until)
{
    if (!load_acquire(&rt->monitor_futex)) /* pairs with rn__monitor_rouse */
        rn__os_futex_wait(&rt->monitor_futex, 0, until);
    store_relaxed(&rt->monitor_futex, 0);
}

/* Nothing has run for a while. Sleep until a processor is taken or, if no idle worker minds the timers, one is due; or
 * until line. */
static void deep(struct rt *rt, int64_t line)
{
    bool quiet;
    int64_t until;

    swap_seq_cst(&rt->monitor_deep, 1);
    spin_lock(
        &rt->lock); /* proc_take looks at monitor_deep under it: it sees us, or we see what it took */
    quiet = all_idle(rt) && rt->global_len == 0 && !rt->stopping &&
            (!rn__netpoll_active() || (rt->keeper && !load_relaxed(&rt->unpolled)));
    until = rt->keeper ? INT64_MAX : rn__timers_first(rt);
    spin_unlock(&rt->lock);
    if (quiet)
        doze(rt, until < line ? until : line);
    store_relaxed(&rt->monitor_deep, 0);
    if (load_relaxed(&rt->asked)) /* what it was told is not to wait for the next tick */
        store_relaxed(&rt->monitor_futex, 1);
}

/* Who holds p, and in which entry that is; NULL: nobody. */
static const struct worker *holder(struct rt *rt, const struct proc *p, uint32_t *ret_entry)
{
    const struct worker *w;

    spin_lock(&rt->lock);
    w = p->idle ? NULL : p->worker;
    *ret_entry = w ? load_acquire(&w->entry) : 0; /* pairs with M5 */
    spin_unlock(&rt->lock);
    return w;
}

/* The only processor is to have company. False: not now, its holder may be taking from its queues as if it had none. */
static bool no_more_alone(struct rt *rt)
{
    struct proc *p = &rt->procs[0];
    const struct worker *w;
    uint32_t entry, later;
    bool over;

    if (!rt->alone)
        return true;
    store_relaxed(&p->alone, false);
    rn__everybody_fences(rt);
    w = holder(rt, p, &entry);
    over = !w || !(entry & 1);
    for (unsigned tries = 0; !over && tries < LEAVE_TRIES; tries++) {
        rn__os_thread_yield();
        over = holder(rt, p, &later) != w || later != entry;
    }
    rt->alone = !over;
    return over;
}

/* The CPUs that the process may use change: a mask, a quota. */
static void follow_cpus(struct rt *rt)
{
    uint32_t n = (uint32_t)rn__os_cpus();

    if (n > rt->room)
        n = rt->room;
    if (n != load_relaxed(&rt->limit) && no_more_alone(rt))
        rn__procs_limit(rt, n);
}

static void *monitor_thread(void *arg)
{
    struct rt *rt = arg;
    int64_t period = tick_ns, last = rn__os_now(), followed = last, due = INT64_MAX;
    int64_t line = rn__schedtrace(rt, last, INT64_MAX);
    enum found before = FOUND_NOTHING;
    unsigned calm = 0, idle = 0;

    while (!load_acquire(&rt->stopping)) { /* pairs with rn__stop */
        enum found found;
        int64_t now, next = last + period;

        if (due < next)
            next = due;
        doze(rt, next < line ? next : line);
        now = rn__os_now();
        if (unlikely(now >= line))
            line = rn__schedtrace(rt, now, line);
        rt_time_is(rt, now_ns());
        found = tick(rt, now, now - last > period + late_ns, &due);
        calm = found == before ? calm + 1 : 0;
        before = found;
        period = next_period(period, found, calm);
        idle = all_idle(rt) ? idle + 1 : 0;
        if (idle > DEEP_AFTER) {
            join_retired(rt);
            deep(rt, line);
            idle = 0;
            calm = 0;
        }
        last = rn__os_now();
        if (rt->follows && last - followed > follow_ns) {
            follow_cpus(rt);
            followed = last;
        }
    }
    return NULL;
}

void rn__monitor_rouse(struct rt *rt)
{
    store_release(&rt->monitor_futex, 1); /* pairs with doze */
    rn__os_futex_wake(&rt->monitor_futex);
}

void rn__monitor_tell(struct rt *rt)
{
    if (likely(!load_relaxed(&rt->monitor_deep)))
        return;
    store_relaxed(&rt->monitor_deep, 0);
    rn__monitor_rouse(rt);
}

/* Without a thread to be had there is no monitor: the next wake tries anew (decision 25). */
void rn__monitor_start(struct rt *rt)
{
    bool mine;

    spin_lock(&rt->lock);
    mine = !load_relaxed(&rt->has_monitor) && !rt->stopping;
    if (mine) {
        store_relaxed(&rt->has_monitor, true);
        add_relaxed(&rt->creating, 1);
    }
    spin_unlock(&rt->lock);
    if (!mine)
        return;
    if (rn__os_thread_new(&rt->monitor, rn__tools ? 0 : 64 << 10, true, monitor_thread, rt) != 0) {
        bool asked;

        spin_lock(&rt->lock); /* who asked saw a monitor, or sees none */
        store_relaxed(&rt->has_monitor, false);
        asked = was_asked(rt);
        spin_unlock(&rt->lock);
        if (asked)
            rn__wake_one(rt);
    }
    sub_release(&rt->creating, 1); /* pairs with rt_end */
}

void rn__monitor_end(struct rt *rt)
{
    if (rt->has_monitor) {
        rn__monitor_rouse(rt);
        pthread_join(rt->monitor, NULL);
        store_relaxed(&rt->has_monitor, false);
    }
    join_retired(rt);
}
