/* SPDX-License-Identifier: MIT */
/* spawn.c - starting, ending and switching goroutines. Workloads: README.md. */
#include "driver.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

#ifdef BENCH_HAVE_ENTRY
#include "sched/rt.h"
#endif

static void nothing(void) {}

/* ---- The named one: spawn and finish -------------------------------------------------------- */

static void spawn_wait(struct bench *b)
{
    for (int64_t i = 0; i < b->n; i++) {
        rn_wg wg = {0};

        rn_wg_go(&wg, nothing);
        rn_wg_wait(&wg);
    }
}

static void spawn_batch(struct bench *b)
{
    for (int64_t left = b->n; left > 0; left -= b->arg) {
        rn_wg wg = {0};

        for (int64_t i = 0; i < b->arg && i < left; i++)
            rn_wg_go(&wg, nothing);
        rn_wg_wait(&wg);
    }
}

static void single(struct bench *b)
{
    rn_wg wg = {0};

    /* Warm every thread, so that thieves are there. */
    for (int i = 0; i < b->procs; i++)
        rn_wg_go(&wg, local_work, INT64_C(100000));
    rn_wg_wait(&wg);
    bench_reset(b);
    for (int64_t i = 0; i < b->n; i++)
        rn_wg_go(&wg, nothing);
    rn_wg_wait(&wg);
}

static void chain(int64_t n, rn_wg *wg)
{
    if (n > 1)
        rn_go(chain, n - 1, wg);
    else
        rn_wg_done(wg);
}

static void chains(struct bench *b, int count)
{
    rn_wg wg = {0};

    rn_wg_add(&wg, count);
    for (int i = 0; i < count; i++)
        rn_go(chain, b->n / count, &wg);
    rn_wg_wait(&wg);
}

static void create(struct bench *b)
{
    chains(b, 1);
}

static void create_parallel(struct bench *b)
{
    chains(b, b->procs);
}

static void captured(rn_wg *wg, int64_t x, int64_t y, const int64_t *limit)
{
    if (x + y > *limit)
        bench_fail("captured a wrong value");
    rn_wg_done(wg);
}

static void create_capture(struct bench *b)
{
    int64_t limit = 8;

    for (int64_t i = 0; i < b->n; i++) {
        rn_wg wg = {0};

        rn_wg_add(&wg, 4);
        for (int64_t k = 0; k < 4; k++)
            rn_go(captured, &wg, k, k + 1, &limit);
        rn_wg_wait(&wg);
    }
}

/* ---- Switching ------------------------------------------------------------------------------ */

static void yielder(int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        rn_yield();
}

static void yield(struct bench *b)
{
    int64_t count = b->arg;
    rn_wg wg = {0};

    for (int64_t i = 0; i < count; i++)
        rn_wg_go(&wg, yielder, b->n / count + (i < b->n % count));
    rn_wg_wait(&wg);
}

#ifdef BENCH_HAVE_ENTRY
/* The library's switch and nothing else, between the goroutine that measures and a stack that is there already. */
static void *switched[2];

/* Both in one loop, as two goroutines are in one rn__park: a switch returns to where it was called, which the processor
 * foresees. */
static __attribute__((noinline)) void switch_by_turns(int me, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        rn__switch(&switched[me], switched[!me], NULL);
}

static void switch_back(void)
{
    switch_by_turns(1, INT64_MAX);
}

static void context_switch(struct bench *b)
{
    static char stack[16384] __attribute__((aligned(16)));
    char *top = stack + sizeof stack;
    struct arch_frame *frame;

#ifdef __x86_64__
    top -= sizeof(void *); /* as after a call */
#endif
    frame = (struct arch_frame *)(void *)(top - sizeof *frame);
    arch_frame_start(frame, switch_back);
    switched[1] = frame;
    switch_by_turns(0, b->n / 2 + 1);
}
#endif

struct hog {
    rn_chan(bool) done;
    rn_chan(bool) ping;
    rn_chan(bool) pong;
};

static void hog_spin(struct hog *h)
{
    bool v;

    while (!rn_try_recv(h->done, &v)) {
    }
}

static void hog_pong(struct hog *h, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        rn_send(h->pong, rn_recv(h->ping));
}

static void ping_pong_hog(struct bench *b)
{
    struct hog h = {rn_chan_make(bool, 0), rn_chan_make(bool, 0), rn_chan_make(bool, 0)};
    rn_wg wg = {0};

    rn_wg_go(&wg, hog_spin, &h);
    rn_wg_go(&wg, hog_pong, &h, b->n);
    bench_reset(b);
    for (int64_t i = 0; i < b->n; i++) {
        rn_send(h.ping, true);
        (void)rn_recv(h.pong);
    }
    bench_stop(b);
    rn_close(h.done);
    rn_wg_wait(&wg);
    rn_chan_release(h.done);
    rn_chan_release(h.ping);
    rn_chan_release(h.pong);
}

/* ---- WakeupParallel: does a wake-up start a second processor soon enough? --------------------- */

static void spin(rn_dur d)
{
    rn_time end = rn_now() + d;

    while (rn_now() < end) {
    }
}

static void block(rn_dur d)
{
    struct timespec ts = {.tv_nsec = d};

    (void)rn_sys(nanosleep(&ts, NULL));
}

static void wakeup_side(rn_chan(rn_unit) ch, int64_t n, rn_dur d, bool is_sender,
                        void (*spend)(rn_dur))
{
    /* Each iteration is one turn as the sender and one as the receiver. */
    for (int64_t i = 0; i < 2 * n; i++) {
        if (is_sender) {
            spend(d + 5 * RN_MICROSECOND);
            rn_send(ch, RN_UNIT);
        } else {
            spend(d);
            (void)rn_recv(ch);
        }
        is_sender = !is_sender;
    }
}

static void wakeup(struct bench *b, void (*spend)(rn_dur))
{
    rn_chan(rn_unit) ch = rn_chan_make(rn_unit, 0);
    rn_dur d = b->arg * RN_MICROSECOND;
    rn_wg wg = {0};

    rn_wg_go(&wg, wakeup_side, ch, b->n, d, true, spend);
    rn_wg_go(&wg, wakeup_side, ch, b->n, d, false, spend);
    rn_wg_wait(&wg);
    bench_stop(b);
    rn_chan_release(ch);
}

static void wakeup_spinning(struct bench *b)
{
    wakeup(b, spin);
}

static void wakeup_syscall(struct bench *b)
{
    wakeup(b, block);
}

/* ---- Entering and leaving the system-call state ----------------------------------------------- */

static void syscall_body(struct bench_part *p, void *arg)
{
    (void)arg;
    while (bench_next(p))
        (void)rn_blocking(0);
}

static void syscall_work_body(struct bench_part *p, void *arg)
{
    (void)arg;
    while (bench_next(p))
        (void)rn_blocking((local_work(100), 0));
}

static void syscall_state(struct bench *b)
{
    bench_parallel(b, (int)b->arg, syscall_body, NULL);
}

static void syscall_work(struct bench *b)
{
    bench_parallel(b, (int)b->arg, syscall_work_body, NULL);
}

/* ---- Matmult ---------------------------------------------------------------------------------- */

enum { SPLIT_MIN = 8 };

struct matmult {
    double *a, *b, *c;
    int64_t size;
};
struct block {
    int64_t i0, i1, j0, j1, k0, k1;
};

static void multiply(const struct matmult *m, struct block r);

static void multiply_and_tell(const struct matmult *m, const struct block *r,
                              rn_send_only(rn_unit) done)
{
    multiply(m, *r);
    rn_send(done, RN_UNIT);
}

/* The first half in a goroutine of its own, the second here. */
static void multiply_both(const struct matmult *m, struct block first, struct block second)
{
    rn_chan(rn_unit) done = rn_chan_make(rn_unit, 1);

    rn_go(multiply_and_tell, m, &first, done);
    multiply(m, second);
    (void)rn_recv(done);
    rn_chan_release(done);
}

static void multiply(const struct matmult *m, struct block r)
{
    int64_t di = r.i1 - r.i0, dj = r.j1 - r.j0, dk = r.k1 - r.k0;
    struct block other = r;

    if (di >= dj && di >= dk && di >= SPLIT_MIN) {
        other.i0 = r.i1 = r.i0 + di / 2;
        multiply_both(m, r, other);
    } else if (dj >= dk && dj >= SPLIT_MIN) {
        other.j0 = r.j1 = r.j0 + dj / 2;
        multiply_both(m, r, other);
    } else if (dk >= SPLIT_MIN) {
        other.k0 = r.k1 = r.k0 + dk / 2; /* both halves add to the same elements */
        multiply(m, r);
        multiply(m, other);
    } else {
        for (int64_t i = r.i0; i < r.i1; i++)
            for (int64_t j = r.j0; j < r.j1; j++)
                for (int64_t k = r.k0; k < r.k1; k++)
                    m->c[i * m->size + j] += m->a[i * m->size + k] * m->b[k * m->size + j];
    }
}

static void matmult(struct bench *b)
{
    int64_t size = (int64_t)cbrt((double)b->n) + 1;
    size_t area = (size_t)(size * size);
    struct matmult m = {.size = size};

    m.a = calloc(area, sizeof(double));
    m.b = calloc(area, sizeof(double));
    m.c = calloc(area, sizeof(double));
    if (!m.a || !m.b || !m.c)
        bench_fail("out of memory");
    for (size_t i = 0; i < area; i++) {
        m.a[i] = 1;
        m.b[i] = 2;
    }
    bench_reset(b);
    multiply(&m, (struct block){0, size, 0, size, 0, size});
    bench_stop(b);
    for (size_t i = 0; i < area; i++)
        if (m.c[i] != 2 * (double)size)
            bench_fail("a wrong product");
    free(m.a);
    free(m.b);
    free(m.c);
}

static const struct bench_entry entries[] = {
    {"SpawnWait", spawn_wait, 0, 0},
    {"SpawnBatch1000", spawn_batch, 1000, 0},
#ifdef BENCH_HAVE_ENTRY
    {"ContextSwitch", context_switch, 0, 1},
#endif
    {"Yield1", yield, 1, 0},
    {"Yield2", yield, 2, 0},
    {"Yield1000", yield, 1000, 0},
    {"PingPongHog", ping_pong_hog, 0, 1},
    {"CreateGoroutines", create, 0, 0},
    {"CreateGoroutinesParallel", create_parallel, 0, 0},
    {"CreateGoroutinesCapture", create_capture, 0, 0},
    {"CreateGoroutinesSingle", single, 0, 0},
    {"WakeupParallelSpinning/0us", wakeup_spinning, 0, 0},
    {"WakeupParallelSpinning/1us", wakeup_spinning, 1, 0},
    {"WakeupParallelSpinning/2us", wakeup_spinning, 2, 0},
    {"WakeupParallelSpinning/5us", wakeup_spinning, 5, 0},
    {"WakeupParallelSpinning/10us", wakeup_spinning, 10, 0},
    {"WakeupParallelSpinning/20us", wakeup_spinning, 20, 0},
    {"WakeupParallelSpinning/50us", wakeup_spinning, 50, 0},
    {"WakeupParallelSpinning/100us", wakeup_spinning, 100, 0},
    {"WakeupParallelSyscall/0us", wakeup_syscall, 0, 0},
    {"WakeupParallelSyscall/1us", wakeup_syscall, 1, 0},
    {"WakeupParallelSyscall/2us", wakeup_syscall, 2, 0},
    {"WakeupParallelSyscall/5us", wakeup_syscall, 5, 0},
    {"WakeupParallelSyscall/10us", wakeup_syscall, 10, 0},
    {"WakeupParallelSyscall/20us", wakeup_syscall, 20, 0},
    {"WakeupParallelSyscall/50us", wakeup_syscall, 50, 0},
    {"WakeupParallelSyscall/100us", wakeup_syscall, 100, 0},
    {"Matmult", matmult, 0, 0},
    {"Syscall", syscall_state, 1, 0},
    {"SyscallWork", syscall_work, 1, 0},
    {"SyscallExcess", syscall_state, 4, 0},
    {"SyscallExcessWork", syscall_work, 4, 0},
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, entries, sizeof(entries) / sizeof(entries[0]));
}
