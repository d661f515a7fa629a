/* SPDX-License-Identifier: MIT */
/*
 * select.c - wait for the first of several channel operations.
 *
 * First a glance without locks: of the cases that seem ready one is drawn, each with the same chance, its channel is
 * locked, and it is performed if it is ready still. That is the whole of a select that has something to do at once: when
 * it is performed it is ready, and nobody can tell which others were. A deadline that has passed counts as
 * ready, and there is nothing to perform.
 *
 * Otherwise all channels are locked, in the order of their addresses, so that the select sees them at one moment and
 * two selects cannot wait for each other's locks; or, if all are our processor's, had by their bias (bias.h). Then:
 *   1. Of the cases that can proceed one is drawn.
 *   2. It is performed, all is unlocked, and its partner readied. Or, with a default (or a time-out that has
 *      passed), that is the answer.
 *   3. Otherwise a waiter is queued for each case, inside the case itself, all is unlocked, and the goroutine
 *      parks. Whoever sets claimed decides (chan.c); a timer claims in the same way.
 *   4. Awake, it takes its waiters off the channels that did not win. The winner's channel it touches no more:
 *      the claimer has taken all entries there out (decision 7).
 *
 * A select of one case and a default is a try, and does none of this.
 *
 * Which cases have a channel, and later the order of locking, is kept in the cases themselves, in the rn__index of the first
 * ones, so nothing is allocated, however many cases there are.
 */
#include "chan/bias.h"

#include "base/probe.h"
#include "base/tools.h"
#include "ctx/ctx.h"
#include "time/timer.h"

enum { SELECT_MAX = 65536, SORT_SMALL = 16 };

/* The channel of the i-th case in the order of locking. */
static inline struct chan *nth(const rn_case *cases, size_t i)
{
    return case_chan(&cases[cases[i].rn__index]);
}

static void sift(rn_case *cases, size_t i, size_t m)
{
    for (;;) {
        size_t child = 2 * i + 1;
        uint32_t swap;

        if (child >= m)
            return;
        if (child + 1 < m && nth(cases, child) < nth(cases, child + 1))
            child++;
        if (nth(cases, i) >= nth(cases, child))
            return;
        swap = cases[i].rn__index;
        cases[i].rn__index = cases[child].rn__index;
        cases[child].rn__index = swap;
        i = child;
    }
}

/* Sort the first m entries of the order by address: insertion for few, heap sort for many. */
static void sort_order(rn_case *cases, size_t m)
{
    if (m <= SORT_SMALL) {
        for (size_t i = 1; i < m; i++) {
            uint32_t k = cases[i].rn__index;
            size_t j = i;

            for (; j > 0 && nth(cases, j - 1) > case_chan(&cases[k]); j--)
                cases[j].rn__index = cases[j - 1].rn__index;
            cases[j].rn__index = k;
        }
        return;
    }
    for (size_t i = m / 2; i-- > 0;)
        sift(cases, i, m);
    while (m-- > 1) {
        uint32_t swap = cases[0].rn__index;

        cases[0].rn__index = cases[m].rn__index;
        cases[m].rn__index = swap;
        sift(cases, 0, m);
    }
}

/* All m channels that are our processor's, without their locks. */
static inline bool have_by_bias(const rn_case *cases, size_t m)
{
    struct stay s;
    size_t i = 0;

    if (m == 0 || !chan_is_biased(nth(cases, 0)) || !bias_enter_first(BUSY_ALL, &s))
        return false;
    while (i < m && bias_is(&s, nth(cases, i)))
        i++;
    if (likely(i == m))
        return true;
    bias_leave_kept(&s);
    return false;
}

static inline void lock_all(const rn_case *cases, size_t m)
{
    const struct chan *last = NULL;
    bool others = false;

    for (size_t i = 0; i < m; i++) {
        struct chan *c = nth(cases, i);

        if (c != last) {
            spin_lock(&c->lock);
            others |= unlikely(chan_is_biased(c)) && rn__chan_is_others(c);
        }
        last = c;
    }
    if (likely(!others))
        return;
    rn__fence_all(); /* one for all that are others' */
    for (size_t i = 0; i < m; i++) {
        struct chan *c = nth(cases, i);

        if (chan_is_biased(c) && rn__chan_is_others(c))
            rn__chan_take_away(c);
    }
}

static inline void let_all_go(const rn_case *cases, size_t m, bool by_bias)
{
    if (by_bias) {
        bias_leave();
        return;
    }
    for (size_t i = m; i-- > 0;) {
        struct chan *c = nth(cases, i);

        if (i == 0 || nth(cases, i - 1) != c)
            chan_let_go(c, false);
    }
}

static inline bool may_proceed(const rn_case *k)
{
    return k->rn__kind == RN__CASE_SEND ? chan_may_send(case_chan(k)) : chan_may_recv(case_chan(k));
}

/* ---- Time-outs ------------------------------------------------------------------------------------------ */

struct select_timer {
    struct timer timer;
    struct select_wait *select;
    uint32_t index;
};

static void timer_fire(struct timer *t, int64_t when)
{
    struct select_timer *st = container_of(t, struct select_timer, timer);
    struct select_wait *s = st->select;
    uint32_t no = 0;

    (void)when;
    if (!cas_acq_rel(&s->claimed, &no, 1))
        return;
    s->winner = st->index;
    rn__ready(s->g);
}

/* ---- Waiting -------------------------------------------------------------------------------------------- */

/* Take the waiters of a decided select off the channels where they still are. */
static void leave_queues(struct select_wait *s)
{
    bool inside = false; /* of a stay, in which all channels that are our processor's are had */
    struct stay stay = {0};

    for (size_t i = 0; i < s->live; i++) {
        rn_case *k = live_case(s->cases, i);
        struct chan_waiter *w = case_waiter(k);
        struct chan *c;
        bool by_bias;

        if (!load_acquire(&w->queued)) /* pairs with chan_dequeue: its taker is done with it */
            continue;
        c = case_chan(k);
        if (!inside)
            inside = chan_is_biased(c) && bias_enter_first(BUSY_ALL, &stay);
        by_bias = inside && bias_is(&stay, c);
        if (!by_bias) {
            if (inside) /* for in it nobody waits */
                bias_leave_kept(&stay);
            inside = false;
            chan_lock(c);
        }
        if (w->queued)
            chan_dequeue(case_queue(k), w);
        if (!by_bias)
            rn__chan_unlock_seen(c);
    }
    if (inside)
        bias_leave_kept(&stay);
}

struct select_park {
    struct select_wait *s;
    struct select_timer *timer;
};

static bool select_unlink(void *wait)
{
    struct select_park *p = wait;
    uint32_t no = 0;
    bool mine;

    if (p->timer)
        rn__timer_stop_sync(&p->timer->timer);
    mine = cas_acq_rel(&p->s->claimed, &no, 1);
    leave_queues(
        p->s); /* also if somebody has decided it: it will not run any more to do so itself */
    return mine;
}

bool rn__select_cases(const void *wait, rn_case **ret_cases, size_t *ret_live)
{
    const struct select_park *p = wait;

    *ret_cases = p->s->cases;
    *ret_live = p->s->live;
    return !p->timer;
}

/* Queue a waiter for each live case, let their channels go, and wait. The winner's index. */
static int wait_for_any(struct select_wait *s, enum wait_reason why, bool by_bias, int64_t until,
                        int timeout)
{
    rn_case *cases = s->cases;
    size_t live = s->live;
    struct select_timer st;
    struct select_park p = {s, timeout >= 0 ? &st : NULL};
    struct g *g = worker_self()->cur;

    s->g = g;
    for (size_t i = 0; i < live; i++) {
        rn_case *k = live_case(cases, i);
        struct chan *c = case_chan(k);
        struct chan_waiter *w = case_waiter(k);

        w->select = s;
        w->g = g;
        w->elem = k->rn__elem;
        w->index = cases[i].rn__index;
        if (unlikely(rn__tools))
            rn__chan_edge_before_wait(w);
        if (unlikely(c->flags & CHAN_TIMER))
            rn__timer_awaited(c);
        chan_enqueue(case_queue(k), w);
    }
    let_all_go(cases, live, by_bias);
    if (timeout >= 0) {
        st = (struct select_timer){
            .timer = {.kind = TIMER_BORROWED, .stays = g->kind == G_THREAD, .fire = timer_fire},
            .select = s,
            .index = (uint32_t)timeout};
        if (rn__timer_start(&st.timer, until) < 0)
            rn__panic("out of memory for a timer");
    }
    g->unlink_always = true; /* its waiters on the channels that did not win */
    rn__park(g, why, cases, select_unlink, &p);
    if (timeout >= 0)
        rn__timer_stop_sync(&st.timer);
    leave_queues(s);
    return (int)s->winner;
}

/* Of one case and a default: the case's index if it can proceed, else the default's. A try, which looks before it locks,
 * as Go compiles it. -1: it is not of that form. */
static inline int select_or_default(rn_case *cases)
{
    int one = cases[0].rn__kind == RN__CASE_DEFAULT;
    rn_case *k = &cases[one];
    void *ch = (void *)(uintptr_t)k->rn__ch;
    bool done;

    if (cases[!one].rn__kind != RN__CASE_DEFAULT)
        return -1;
    if (k->rn__kind == RN__CASE_SEND)
        done = rn__try_send(ch, k->rn__elem);
    else if (k->rn__kind == RN__CASE_RECV)
        done = rn__try_recv(ch, k->rn__elem, k->rn__ok);
    else
        return -1;
    return done ? one : !one;
}

/*
 * One of those that are ready is drawn: the n-th takes the place of whoever was drawn before in one case of n, so that each has
 * the same chance. What a random number has left when it has decided decides the next, as long as that is enough: for 8 of them
 * it is 17 bits of 32 at least. After those each has a number of its own.
 */
struct draw {
    uint32_t n, luck;
};
enum { DRAWS = 8 };

static inline bool drawn(struct draw *d)
{
    uint64_t x;

    if (++d->n == 1)
        return true;
    if (d->n == 2 || unlikely(d->n > DRAWS))
        d->luck = rn__random();
    x = (uint64_t)d->luck * d->n;
    d->luck = (uint32_t)x;
    return x >> 32 == 0;
}

/* What is left to do of case k, whose channel is unlocked again, or may be gone. */
static void performed(rn_case *k, enum chan_result result, uint32_t elem_size, struct g *wake)
{
    if (wake)
        rn__ready(wake);
    if (k->rn__kind == RN__CASE_SEND) {
        if (result == CHAN_WAS_CLOSED)
            rn__panic("send on closed channel");
        return;
    }
    if (k->rn__elem && k->rn__kind == RN__CASE_RECV)
        tool_write(k->rn__elem, elem_size);
    if (k->rn__ok)
        *k->rn__ok = result == CHAN_DONE;
}

/* The operation of case k, its channel locked. */
static inline enum chan_result perform(rn_case *k, struct chan *c, struct g **ret_wake)
{
    enum chan_result result = k->rn__kind == RN__CASE_SEND
                                  ? rn__chan_send_locked(c, k->rn__elem, ret_wake)
                                  : rn__chan_recv_locked(c, k->rn__elem, ret_wake);

    if (result == CHAN_WOULD_WAIT)
        return result;
    if (k->rn__kind == RN__CASE_SEND)
        probe3(chan_send, c, c->count, c->cap);
    else
        probe3(chan_recv, c, c->count, c->cap);
    return result;
}

/* A select of which m cases live, that nothing was found for at a glance. why: what it waits for. */
static NOINLINE int select_all(rn_case *cases, size_t m, int dflt, int timeout, int64_t until,
                               enum wait_reason why)
{
    struct select_wait s = {.cases = cases, .live = m};
    struct draw ready;
    bool by_bias;
    int chosen;
    rn_case *k;

    by_bias = have_by_bias(cases, m);
    if (!by_bias) {
        if (m > 1)
            sort_order(cases, m);
        lock_all(cases, m);
    }
again:
    ready = (struct draw){0};
    chosen = -1;
    for (size_t i = 0; i < m; i++)
        if (may_proceed(live_case(cases, i)) && drawn(&ready))
            chosen = (int)cases[i].rn__index;
    if (chosen >= 0) {
        struct chan *c = case_chan(&cases[chosen]);
        uint32_t size = c->elem_size;
        struct g *wake = NULL;
        enum chan_result result = perform(&cases[chosen], c, &wake);

        if (unlikely(result == CHAN_WOULD_WAIT))
            goto again; /* the waiters it saw were selects decided elsewhere; they are gone now */
        let_all_go(cases, m, by_bias);
        performed(&cases[chosen], result, size, wake);
        return chosen;
    }
    if (dflt >= 0 || (timeout >= 0 && until <= now_ns())) {
        let_all_go(cases, m, by_bias);
        return dflt >= 0 ? dflt : timeout;
    }

    chosen = wait_for_any(&s, why, by_bias, until, timeout);
    k = &cases[chosen];
    if (chosen == timeout)
        return chosen;
    /* The channel may be gone: its address says which it was, and no more. */
    if (k->rn__kind == RN__CASE_SEND) {
        probe3(chan_send, case_chan(k), (uint64_t)0, (uint64_t)0);
        if (!s.ok)
            rn__panic("send on closed channel");
        rn__chan_edge_after_wait(s.edge);
        return chosen;
    }
    probe3(chan_recv, case_chan(k), (uint64_t)0, (uint64_t)0);
    if (unlikely(rn__tools)) {
        rn__chan_edge_after_wait(s.edge);
        if (k->rn__elem && k->rn__kind == RN__CASE_RECV)
            rn__tool_write(k->rn__elem, s.elem_size);
    }
    if (k->rn__ok)
        *k->rn__ok = s.ok;
    return chosen;
}

int rn_select_array(rn_case *cases, size_t n)
{
    rn_case *order = cases; /* the next one with room for a live case's index */
    size_t m = 0;
    struct draw ready = {0};
    int chosen = -1, dflt = -1, timeout = -1;
    int64_t until = INT64_MAX, now = 0;

    if (unlikely(n > SELECT_MAX))
        rn__panic("reflect.Select: too many cases (max 65536)");
    if (n == 2) {
        int either = select_or_default(cases);

        if (either >= 0)
            return either;
    }
    for (size_t i = 0; i < n; i++) {
        rn_case *k = &cases[i];
        uint32_t kind = k->rn__kind;
        struct chan *c = NULL;
        bool may = false;

        if (likely(kind == RN__CASE_RECV)) {
            c = (struct chan *)(uintptr_t)k->rn__ch;
            if (c) {
                tool_alive(c, sizeof *c);
                may = chan_may_recv(c);
            }
        } else if (kind == RN__CASE_SEND) {
            c = (struct chan *)(uintptr_t)k->rn__ch;
            if (c) {
                rn__chan_touch_send(c, k->rn__elem);
                may = chan_may_send(c);
            }
        } else if (kind == RN__CASE_DONE) {
            c = rn__ctx_done_chan((rn_ctx *)(uintptr_t)k->rn__ch);
            may = c && chan_may_recv(c);
        } else if (kind == RN__CASE_DEFAULT) {
            if (unlikely(dflt >= 0))
                rn__panic("reflect.Select: multiple default cases");
            dflt = (int)i;
        } else if (kind == RN__CASE_TIMEOUT || kind == RN__CASE_DEADLINE) {
            int64_t when;

            if (!now)
                now = now_ns();
            when = kind == RN__CASE_TIMEOUT ? time_after(now, k->rn__when) : k->rn__when;
            if (timeout < 0 || when < until) {
                timeout = (int)i;
                until = when;
            }
            /* One that has passed is ready like any other, so that it also ends a loop that always has something to
             * do. */
            may = kind == RN__CASE_DEADLINE && when <= now;
        }
        if (c) {
            k->rn__when = (int64_t)(uintptr_t)c;
            (order++)->rn__index = (uint32_t)i;
            m++;
        }
        if (may && drawn(&ready))
            chosen = (int)i;
    }
    if (dflt < 0)
        wait_point();
    if (chosen >= 0) {
        struct chan *c = case_chan(&cases[chosen]);
        struct g *wake = NULL;
        enum chan_result result;
        uint32_t size;
        bool by_bias;

        if (unlikely(cases[chosen].rn__kind == RN__CASE_DEADLINE))
            return chosen;
        by_bias = chan_have(c);
        result = perform(&cases[chosen], c, &wake);
        size = c->elem_size;
        chan_let_go(c, by_bias);
        if (likely(result != CHAN_WOULD_WAIT)) {
            performed(&cases[chosen], result, size, wake);
            return chosen;
        }
    }
    return select_all(cases, m, dflt, timeout, until, n ? WAIT_SELECT : WAIT_SELECT_NO_CASES);
}
