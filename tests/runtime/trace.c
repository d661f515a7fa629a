/* SPDX-License-Identifier: MIT */
/*
 * trace.c - programs whose flight recording trace.py reads: it knows what each has done.
 *
 * usage: runtime-trace PROGRAM FILE
 */
#define _GNU_SOURCE
#include <runnel.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *file;

#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void dump(void)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    MUST(fd >= 0);
    MUST(rn_trace_dump(fd) == 0);
    close(fd);
}

/* ---- known: every event is known ------------------------------------------------------------------ */

enum { PLAYERS = 5, ROUNDS = 20 };

static void player(rn_recv_only(int) in, rn_send_only(int) out)
{
    for (int i = 0; i < ROUNDS; i++)
        rn_send(out, rn_recv(in) + 1);
}

/* One processor. main parks in the last receive and in the wait; each player ROUNDS times for its turn, but the first
 * of each round finds the value there, or main waiting. */
static int known(void)
{
    rn_chan(int) ring[PLAYERS + 1];
    rn_wg done = {0};
    struct rn_metrics m;

    MUST(rn_trace_start() == 0);
    rn_set_name("the \"f\xc3\xb6rst\"\n\xe4");
    for (int i = 0; i <= PLAYERS; i++)
        ring[i] = rn_chan_make(int, 0);
    for (int i = 0; i < PLAYERS; i++)
        rn_wg_go(&done, player, ring[i], ring[i + 1]);
    for (int r = 0; r < ROUNDS; r++) {
        rn_send(ring[0], 0);
        MUST(rn_recv(ring[PLAYERS]) == PLAYERS);
    }
    rn_wg_wait(&done);
    rn_sleep(1000);
    rn_yield();
    rn_blocking(usleep(1));
    rn_metrics(&m, sizeof m);
    dump();
    rn_trace_stop();
    printf("%d %d %d\n", (int)m.parks, (int)m.readies, (int)m.spawned);
    for (int i = 0; i <= PLAYERS; i++)
        rn_chan_release(ring[i]);
    return 0;
}

/* ---- busy: several processors, threads from outside, rings that wrap, dumps meanwhile ------------------ */

static atomic_bool stop;

static void shuttle(rn_recv_only(int) in, rn_send_only(int) out)
{
    int n;

    while (rn_recv_ok(in, &n))
        rn_send(out, n + 1);
}

static void sink(rn_recv_only(int) in)
{
    rn_range (n, in)
        (void)n;
}

static void leaf(rn_wg *done)
{
    rn_wg_done(done);
}

static void spawner(void)
{
    while (!atomic_load(&stop)) {
        rn_wg done = {0};

        rn_wg_add(&done, 10);
        for (int i = 0; i < 10; i++)
            rn_go(leaf, &done);
        rn_wg_wait(&done);
        rn_sleep(1);
    }
}

static void computes(rn_mutex *m)
{
    while (!atomic_load(&stop)) {
        rn_mutex_lock(m);
        for (volatile int i = 0; i < 20000; i++)
            ;
        rn_mutex_unlock(m);
        rn_blocking(usleep(50));
    }
}

static void *outside(void *arg)
{
    rn_chan(int) ch = *(rn_chan(int) *)arg;

    while (!atomic_load(&stop)) {
        (void)rn_try_send(ch, 1);
        usleep(100);
    }
    return NULL;
}

static int busy(void)
{
    rn_chan(int) a = rn_chan_make(int, 0), b = rn_chan_make(int, 8), c = rn_chan_make(int, 4);
    rn_mutex m = {0};
    rn_wg all = {0};
    pthread_t thread;
    struct rn_metrics counted;
    uint64_t next = 0;

    MUST(rn_trace_start() == 0);
    rn_wg_go(&all, shuttle, a, b);
    rn_wg_go(&all, shuttle, b, a);
    rn_wg_go(&all, sink, c);
    for (int i = 0; i < 2; i++) {
        rn_wg_go(&all, spawner);
        rn_wg_go(&all, computes, &m);
    }
    MUST(pthread_create(&thread, NULL, outside, &c) == 0);
    for (int i = 0; i < 6;
         i++) /* fewer than there is room for: the shuttles never wait for each other for good */
        rn_send(a, i);
    do { /* until the rings have been written over */
        rn_sleep(RN_MILLISECOND);
        rn_metrics(&counted, sizeof counted);
        if (counted.parks >= next) { /* before, while and after the rings are written over */
            dump();
            next = counted.parks + 5000;
        }
    } while (counted.parks < 60000);
    dump();
    _exit(0); /* with all of it going on */
}

/* ---- Written without being asked ------------------------------------------------------------------------ */

static void waits(rn_recv_only(int) ch)
{
    (void)rn_recv(ch);
}

static void await_waiting(void)
{
    struct rn_metrics m;

    do {
        rn_yield();
        rn_metrics(&m, sizeof m);
    } while (m.waiting < 1);
}

static int panics(void)
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    rn_go(waits, ch);
    await_waiting();
    rn_panic("on purpose");
}

static int ends(void)
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    rn_go(waits, ch);
    await_waiting();
    rn_close(ch);
    rn_settle(RN_SECOND);
    rn_chan_release(ch);
    return 0;
}

static int deadlocks(void)
{
    (void)rn_recv(rn_chan_make(int, 0));
    return 0;
}

static int say_and_read(const char *word)
{
    char c;

    MUST(write(1, word, strlen(word)) == (ssize_t)strlen(word));
    return (int)read(0, &c, 1);
}

/* Says, from within its blocking call, that it waits; what the signal does is trace.py's to see. */
static int waits_for_signal(void)
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    rn_go(waits, ch);
    await_waiting();
    (void)rn_blocking(say_and_read("ready\n"));
    _exit(0); /* without a file of the end */
}

/* ---- On and off ------------------------------------------------------------------------------------------ */

static void sleeps(int times)
{
    for (int i = 0; i < times; i++)
        rn_sleep(RN_MILLISECOND); /* long enough to be a wait for sure */
}

/* The file, and then FILE.2, FILE.3: each has the sleeps since the recorder was turned on last. */
static int on_and_off(void)
{
    char second[1024], third[1024];

    snprintf(second, sizeof second, "%s.2", file);
    snprintf(third, sizeof third, "%s.3", file);
    MUST(!rn_trace_on());
    rn_trace_stop(); /* it is off: nothing happens */
    sleeps(1);
    MUST(rn_trace_start() == 0 && rn_trace_on());
    sleeps(3);
    MUST(rn_trace_start() == 0 && rn_trace_on()); /* it is on: it goes on */
    sleeps(1);
    rn_trace_stop();
    MUST(!rn_trace_on());
    sleeps(5);
    dump(); /* what there is can still be had */
    file = second;
    MUST(rn_trace_start() == 0);
    dump(); /* nothing of before */
    sleeps(2);
    file = third;
    dump();
    rn_trace_stop();
    return 0;
}

/* ---- Other ends than those of before ---------------------------------------------------------------- */

static void exits_in_it(void)
{
    rn_sleep(RN_MILLISECOND);
    exit(3);
}
static int exits(void)
{
    rn_go(exits_in_it);
    rn_sleep(RN_MINUTE);
    return 0;
}
static int exits_first(void)
{
    rn_sleep(RN_MILLISECOND);
    exit(3);
}
static volatile bool bottomless = true;
static int overflow(volatile char *from)
{
    volatile char frame[1000];

    frame[0] = *from;
    return bottomless ? overflow(frame) + frame[0] : 0;
}
static int overflows(void)
{
    volatile char c = 0;

    rn_sleep(RN_MILLISECOND);
    return overflow(&c);
}
static void waits_for_ever(void)
{
    rn_chan(int) none = NULL;

    (void)rn_recv(none);
}
static int leaks(void)
{
    MUST(setenv("RUNNEL_LEAKS", "fatal", 1) == 0);
    rn_go(waits_for_ever);
    rn_sleep(RN_MILLISECOND);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*program)(void);
        int procs;
    } programs[] = {{"known", known, 1},
                    {"busy", busy, 2},
                    {"panics", panics, 1},
                    {"ends", ends, 1},
                    {"deadlocks", deadlocks, 1},
                    {"signal", waits_for_signal, 1},
                    {"on-and-off", on_and_off, 1},
                    {"exits", exits, 1},
                    {"exits-first", exits_first, 1},
                    {"overflows", overflows, 1},
                    {"leaks", leaks, 1}};

    MUST(argc == 3);
    file = argv[2];
    if (strcmp(argv[1], "nothing") == 0) { /* no runtime, nothing recorded */
        dump();
        return 0;
    }
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        if (strcmp(argv[1], programs[i].name) == 0) {
            MUST(rn_set_procs(programs[i].procs) == 0);
            return rn_run(programs[i].program);
        }
    }
    return 1;
}
