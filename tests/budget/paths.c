/* SPDX-License-Identifier: MIT */
/*
 * paths.c - the hot paths, each in a loop, for Callgrind to count. budget.py runs this and does the sums.
 *
 *   paths -list     the names, in order
 *   paths           per path: a call to warm up, then mark; TIMES times SHORT rounds, mark, LONG rounds, mark
 *
 * Callgrind writes its counters down, and clears them, at each call of mark(), so that the difference of two
 * intervals is LONG - SHORT rounds and nothing else: start-up, making and releasing cancel out.
 *
 * What makes a count repeat: one processor, so that goroutines run in the order in which they are readied; a round
 * leaves everything as it found it; all is warm, so that nothing allocates but what a round must. And the library is
 * told that it is not under Valgrind: the budget is that of an ordinary process, which announces nothing to tools. What
 * remains are the monitor, which looks in every millisecond or two, and the ends of time slices, on a busy machine
 * sooner in terms of rounds. Both only add, so the least of TIMES counts is the one without them.
 */
#define _GNU_SOURCE
#include <runnel.h>

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/tools.h"
#include "chan/chan.h"
#include "os/os.h"
#include "sched/rt.h"

enum { WARM = 300, SHORT = 1000, LONG = 3000, TIMES = 5, BATCH = 100 };

/* budget.py names it to Callgrind. */
void mark(void);
__attribute__((noinline)) void mark(void)
{
    __asm__ volatile("" ::: "memory");
}

static void nothing(void) {}

/* ---- Channels --------------------------------------------------------------------------------- */

static void chan_buffered(int64_t n)
{
    rn_chan(int64_t) ch = rn_chan_make(int64_t, 8);

    for (int64_t i = 0; i < n; i++) {
        rn_send(ch, i);
        assert(rn_recv(ch) == i);
    }
    rn_chan_release(ch);
}

/* As on a channel of several processors: none is the only one's. */
static void by_lock(void (*run)(int64_t n), int64_t n)
{
    struct proc *p = worker_self()->proc;
    uint32_t bias = p->bias;

    p->bias = BIAS_NONE;
    run(n);
    p->bias = bias;
}
static void chan_buffered_by_lock(int64_t n)
{
    by_lock(chan_buffered, n);
}

static void send_all(rn_send_only(int64_t) ch, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        rn_send(ch, i);
}

/* Either side parks for every other element, and finds the other parked for the next. */
static void chan_handoff(int64_t n)
{
    rn_chan(int64_t) ch = rn_chan_make(int64_t, 0);
    rn_wg wg = {0};

    rn_wg_go(&wg, send_all, ch, n);
    for (int64_t i = 0; i < n; i++)
        assert(rn_recv(ch) == i);
    rn_wg_wait(&wg);
    rn_chan_release(ch);
}

static void chan_handoff_by_lock(int64_t n)
{
    by_lock(chan_handoff, n);
}

static void echo(rn_chan(int64_t) ping, rn_chan(int64_t) pong)
{
    rn_range (v, ping)
        rn_send(pong, v);
}

/* Who sends always finds the other parked, who receives always parks. */
static void chan_round_trip(int64_t n)
{
    rn_chan(int64_t) ping = rn_chan_make(int64_t, 0);
    rn_chan(int64_t) pong = rn_chan_make(int64_t, 0);
    rn_wg wg = {0};

    rn_wg_go(&wg, echo, ping, pong);
    for (int64_t i = 0; i < n; i++) {
        rn_send(ping, i);
        assert(rn_recv(pong) == i);
    }
    rn_close(ping);
    rn_wg_wait(&wg);
    rn_chan_release(ping);
    rn_chan_release(pong);
}

static void chan_try_empty(int64_t n)
{
    rn_chan(int64_t) ch = rn_chan_make(int64_t, 0);
    int64_t v;

    for (int64_t i = 0; i < n; i++)
        assert(!rn_try_recv(ch, &v));
    rn_chan_release(ch);
}

static void chan_closed(int64_t n)
{
    rn_chan(int64_t) ch = rn_chan_make(int64_t, 0);
    int64_t v;

    rn_close(ch);
    for (int64_t i = 0; i < n; i++)
        assert(!rn_recv_ok(ch, &v));
    rn_chan_release(ch);
}

static void chan_make(int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        rn_chan_release(rn_chan_make(int64_t, 8));
}

/* ---- Select ----------------------------------------------------------------------------------- */

struct fan {
    rn_chan(int64_t) ch[8];
};

static void fan_make(struct fan *f, int capacity)
{
    for (int i = 0; i < 8; i++)
        f->ch[i] = rn_chan_make(int64_t, capacity);
}
static void fan_release(struct fan *f)
{
    for (int i = 0; i < 8; i++)
        rn_chan_release(f->ch[i]);
}

static int select2(struct fan *f, int64_t *v)
{
    return rn_select(rn_on_recv(f->ch[0], v), rn_on_recv(f->ch[1], v));
}
static int select8(struct fan *f, int64_t *v)
{
    return rn_select(rn_on_recv(f->ch[0], v), rn_on_recv(f->ch[1], v), rn_on_recv(f->ch[2], v),
                     rn_on_recv(f->ch[3], v), rn_on_recv(f->ch[4], v), rn_on_recv(f->ch[5], v),
                     rn_on_recv(f->ch[6], v), rn_on_recv(f->ch[7], v));
}

/* All cases ready, so that whichever the select looks at first is taken; its value is put back. */
static void select_ready(int64_t n, int (*choose)(struct fan *, int64_t *), int k)
{
    struct fan f;
    int64_t v;

    fan_make(&f, 1);
    for (int i = 0; i < k; i++)
        rn_send(f.ch[i], i);
    for (int64_t i = 0; i < n; i++) {
        int chosen = choose(&f, &v);

        assert(v == chosen);
        rn_send(f.ch[chosen], v);
    }
    fan_release(&f);
}
static void select2_ready(int64_t n)
{
    select_ready(n, select2, 2);
}
static void select8_ready(int64_t n)
{
    select_ready(n, select8, 8);
}

static void fan_send(struct fan *f, int64_t k, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        rn_send(f->ch[i % k], i);
        rn_yield(); /* so that the select is parked again */
    }
}
static void select_parked(int64_t n, int (*choose)(struct fan *, int64_t *), int64_t k)
{
    struct fan f;
    rn_wg wg = {0};
    int64_t v;

    fan_make(&f, 0);
    rn_wg_go(&wg, fan_send, &f, k, n);
    for (int64_t i = 0; i < n; i++) {
        assert(choose(&f, &v) == i % k);
        assert(v == i);
    }
    rn_wg_wait(&wg);
    fan_release(&f);
}
static void select2_parked(int64_t n)
{
    select_parked(n, select2, 2);
}
static void select8_parked(int64_t n)
{
    select_parked(n, select8, 8);
}

static void select2_default(int64_t n)
{
    rn_chan(int64_t) a = rn_chan_make(int64_t, 1);
    rn_chan(int64_t) b = rn_chan_make(int64_t, 1);

    for (int64_t i = 0; i < n; i++)
        assert(rn_select(rn_on_recv(a, NULL), rn_on_recv(b, NULL), rn_default) == 2);
    rn_chan_release(a);
    rn_chan_release(b);
}

/* One case and a default: nothing but a try. */
static void select1_default(int64_t n)
{
    rn_chan(int64_t) a = rn_chan_make(int64_t, 0);

    for (int64_t i = 0; i < n; i++)
        assert(rn_select(rn_on_send(a, i), rn_default) == 1);
    rn_chan_release(a);
}

/* ---- Goroutines ------------------------------------------------------------------------------- */

static void spawn_wait(int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        rn_wg wg = {0};

        rn_wg_go(&wg, nothing);
        rn_wg_wait(&wg);
    }
}

static void spawn_batch(int64_t n)
{
    for (int64_t left = n; left > 0; left -= BATCH) {
        rn_wg wg = {0};

        for (int64_t i = 0; i < BATCH; i++)
            rn_wg_go(&wg, nothing);
        rn_wg_wait(&wg);
    }
}

static void yield_n(int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        rn_yield();
}
static void yield_alone(int64_t n)
{
    yield_n(n);
}
/* An iteration is one of the two: a switch to the other. */
static void yield_two(int64_t n)
{
    rn_wg wg = {0};

    rn_wg_go(&wg, yield_n, n / 2);
    yield_n(n / 2);
    rn_wg_wait(&wg);
}

struct pair {
    rn_ticket here, there;
};
static void park_peer(struct pair *p, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        rn_park(&p->there);
        rn_park_init(&p->there);
        rn_ready(&p->here);
    }
}
/* A round is two parks and two readies; counted is one of each. */
static void park_ready(int64_t n)
{
    struct pair p;
    rn_wg wg = {0};

    rn_park_init(&p.here);
    rn_park_init(&p.there);
    rn_wg_go(&wg, park_peer, &p, n / 2);
    for (int64_t i = 0; i < n / 2; i++) {
        rn_ready(&p.there);
        rn_park(&p.here);
        rn_park_init(&p.here);
    }
    rn_wg_wait(&wg);
}

/* What each such call would pay if nobody could take its processor: it has to know whose it is. */
static void find_worker(int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        __asm__ volatile("" : : "r"(worker_self()) : "memory");
}

/* What each call that enters the runtime pays for it: the two stores and the look between (sched/monitor.c). */
static void entry(int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        struct worker *w = worker_self();

        if (rt_enter(w))
            rt_leave(w);
    }
}

static void blocking(int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        (void)rn_blocking(0);
}

static int deferred;
static void note(int *v)
{
    ++*v;
}
static void defer_one(void)
{
    rn_defer(note, &deferred);
}
static void defer(int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        defer_one();
}

/* ---- Sync ------------------------------------------------------------------------------------- */

static void mutex(int64_t n)
{
    rn_mutex m = {0};

    for (int64_t i = 0; i < n; i++) {
        rn_mutex_lock(&m);
        rn_mutex_unlock(&m);
    }
}

static void rwmutex_read(int64_t n)
{
    rn_rwmutex m = {0};

    for (int64_t i = 0; i < n; i++) {
        rn_rwmutex_rlock(&m);
        rn_rwmutex_runlock(&m);
    }
}

static void rwmutex_write(int64_t n)
{
    rn_rwmutex m = {0};

    for (int64_t i = 0; i < n; i++) {
        rn_rwmutex_lock(&m);
        rn_rwmutex_unlock(&m);
    }
}

static void wait_group(int64_t n)
{
    rn_wg wg = {0};

    for (int64_t i = 0; i < n; i++) {
        rn_wg_add(&wg, 1);
        rn_wg_done(&wg);
        rn_wg_wait(&wg);
    }
}

static void once(int64_t n)
{
    rn_once o = {0};

    for (int64_t i = 0; i < n; i++)
        rn_once_do(&o, nothing);
}

static void semaphore(int64_t n)
{
    rn_sem s = RN_SEM(4);

    for (int64_t i = 0; i < n; i++) {
        assert(rn_sem_acquire(rn_ctx_background(), &s, 1) == 0);
        rn_sem_release(&s, 1);
    }
}

/* The mutex is handed over between two goroutines at each round, by a condition. */
struct turn {
    rn_mutex lock;
    rn_cond changed;
    int whose;
};
static void take_turns(struct turn *t, int me, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        rn_mutex_lock(&t->lock);
        while (t->whose != me)
            rn_cond_wait(&t->changed, &t->lock);
        t->whose = !me;
        rn_mutex_unlock(&t->lock);
        rn_cond_signal(&t->changed);
    }
}
static void condition(int64_t n)
{
    struct turn t = {.whose = 0};
    rn_wg wg = {0};

    rn_wg_go(&wg, take_turns, &t, 1, n / 2);
    take_turns(&t, 0, n / 2);
    rn_wg_wait(&wg);
}

/* ---- Contexts and timers ---------------------------------------------------------------------- */

static void ctx_err(int64_t n)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());

    for (int64_t i = 0; i < n; i++)
        assert(rn_ctx_err(ctx) == 0);
    rn_ctx_end(ctx);
}

static void ctx_done(int64_t n)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_unit v;

    for (int64_t i = 0; i < n; i++)
        assert(!rn_try_recv(rn_ctx_done(ctx), &v));
    rn_ctx_end(ctx);
}

static void ctx_cancel(int64_t n)
{
    rn_ctx *parent = rn_ctx_with_cancel(rn_ctx_background());

    for (int64_t i = 0; i < n; i++)
        rn_ctx_end(rn_ctx_with_cancel(parent));
    rn_ctx_end(parent);
}

/* Another timer is due earlier, so that nobody has to be told of this one. */
static void timer(int64_t n)
{
    rn_timer t = {0}, first = {0};

    rn_timer_reset(&first, RN_MINUTE);
    for (int64_t i = 0; i < n; i++) {
        rn_timer_reset(&t, RN_HOUR);
        rn_timer_stop(&t);
    }
    rn_timer_free(&t);
    rn_timer_free(&first);
}

/* ---- Connections: what the kernel does is not counted ------------------------------------------ */

enum { CONNS = 8, MESSAGE = 64 };

static void connect_pair(rn_listener *l, rn_conn *ends[2])
{
    char at[RN_ADDR_TEXT];
    rn_addr a;
    int err = rn_listener_addr(l, &a);

    assert(err == 0 && rn_addr_text(&a, at, sizeof at) > 0);
    err = rn_dial("tcp", at, &ends[0]);
    assert(err == 0);
    err = rn_accept(l, &ends[1]);
    assert(err == 0);
    (void)err;
}

static void exchange(rn_conn *from, rn_conn *to, bool writes, bool reads)
{
    char message[MESSAGE] = {0};
    ssize_t n = MESSAGE;

    if (writes)
        n = rn_write(from, message, MESSAGE);
    assert(n == MESSAGE);
    if (reads)
        n = rn_read(to, message, MESSAGE);
    assert(n == MESSAGE);
    (void)n;
}

/* What is read is there. */
static void net_exchange(int64_t n)
{
    rn_listener *l;
    rn_conn *ends[2];
    int err = rn_listen("tcp", "127.0.0.1:0", &l);

    assert(err == 0);
    (void)err;
    connect_pair(l, ends);
    for (int64_t i = 0; i < n; i++)
        exchange(ends[0], ends[1], true, true);
    rn_conn_close(ends[0]);
    rn_conn_close(ends[1]);
    rn_listener_close(l);
}

static void net_echo_one(rn_conn *c)
{
    char buf[1024];
    ssize_t got;

    while ((got = rn_read(c, buf, sizeof buf)) > 0)
        rn_write(c, buf, (size_t)got);
    rn_conn_close(c);
}

/* As a server has it: several requests have come when the kernel is asked, and each waits for the next. A round is one, and
 * the client's part of it, a write and a read. Over Unix sockets: what is written there has arrived when the call returns,
 * however busy the machine is. */
static void net_echo(int64_t n)
{
    rn_conn *ends[CONNS][2];
    rn_wg wg = {0};
    int fds[2], err;

    for (int k = 0; k < CONNS; k++) {
        err = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
        assert(err == 0);
        for (int side = 0; side < 2; side++) {
            err = rn_conn_adopt(fds[side], &ends[k][side]);
            assert(err == 0);
        }
        (void)err;
        rn_wg_go(&wg, net_echo_one, ends[k][1]);
    }
    for (int64_t i = 0; i < n / CONNS; i++) {
        for (int k = 0; k < CONNS; k++)
            exchange(ends[k][0], NULL, true, false);
        for (int k = 0; k < CONNS; k++)
            exchange(NULL, ends[k][0], false, true);
    }
    for (int k = 0; k < CONNS; k++)
        rn_conn_close(ends[k][0]);
    rn_wg_wait(&wg);
}

/* ---- All of them ------------------------------------------------------------------------------ */

static const struct path {
    const char *name;
    void (*run)(int64_t n);
} paths[] = {
    {"chan/send+receive/buffered", chan_buffered},
    {"chan/send+receive/buffered-by-lock", chan_buffered_by_lock},
    {"chan/send+receive/handoff", chan_handoff},
    {"chan/send+receive/handoff-by-lock", chan_handoff_by_lock},
    {"chan/round-trip", chan_round_trip},
    {"chan/try-receive/empty", chan_try_empty},
    {"chan/receive/closed", chan_closed},
    {"chan/make+release", chan_make},
    {"select/2/ready+send", select2_ready},
    {"select/8/ready+send", select8_ready},
    {"select/2/parked+send", select2_parked},
    {"select/8/parked+send", select8_parked},
    {"select/1/default", select1_default},
    {"select/2/default", select2_default},
    {"go/spawn+finish+wait", spawn_wait},
    {"go/spawn+finish/batch", spawn_batch},
    {"go/yield/alone", yield_alone},
    {"go/yield/two", yield_two},
    {"go/park+ready", park_ready},
    {"go/find-worker", find_worker},
    {"go/enter+leave", entry},
    {"go/blocking-enter+leave", blocking},
    {"go/defer", defer},
    {"sync/mutex/lock+unlock", mutex},
    {"sync/rwmutex/rlock+runlock", rwmutex_read},
    {"sync/rwmutex/lock+unlock", rwmutex_write},
    {"sync/wg/add+done+wait", wait_group},
    {"sync/once/done", once},
    {"sync/sem/acquire+release", semaphore},
    {"sync/cond/turn", condition},
    {"ctx/err", ctx_err},
    {"ctx/done/try-receive", ctx_done},
    {"ctx/derive+end", ctx_cancel},
    {"time/timer/reset+stop", timer},
    {"net/write+read", net_exchange},
    {"net/echo", net_echo},
};

static int count_all(void)
{
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        paths[i].run(WARM);
        mark();
        for (int k = 0; k < TIMES; k++) {
            paths[i].run(SHORT);
            mark();
            paths[i].run(LONG);
            mark();
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "-list") == 0) {
        printf("rounds %d times %d\n", LONG - SHORT, TIMES);
        for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
            puts(paths[i].name);
        return 0;
    }
    if (!rn__os_fence_all_start()) { /* every entry then does what it does elsewhere only when asked to */
        puts("no membarrier here");
        return 77;
    }
    rn__tools = 0;
    assert(rn_set_procs(1) >= 0);
    return rn_run(count_all);
}
