/* SPDX-License-Identifier: MIT */
/*
 * watched.c - a program for rntop to look at: rntop.py knows how many of its goroutines wait where. It says "ready" when they
 * do, and goes on until its standard input ends.
 *
 * usage: rntop-watched still | churn | many | ends
 */
#define _GNU_SOURCE
#include <runnel.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static rn_chan(int) gate;
static rn_mutex mu;
static atomic_bool stop, spins;
static atomic_int woke;

static void reader(void)
{
    (void)rn_recv(gate); /* rntop.py: readers wait */
}
static void sleeper(void)
{
    rn_sleep(3600 * RN_SECOND); /* rntop.py: sleepers wait */
    atomic_fetch_add(&woke, 1); /* so that no compiler jumps there */
}
static void locker(void)
{
    rn_mutex_lock(&mu); /* rntop.py: lockers wait */
    rn_mutex_unlock(&mu);
}
static void spinner(void)
{
    atomic_store(&spins, true);
    while (!atomic_load(&stop))
        ;
}

static void leaf(rn_wg *done)
{
    rn_wg_done(done);
}
static void spawner(void)
{
    while (!atomic_load(&stop)) {
        rn_wg done = {0};

        rn_wg_add(&done, 100);
        for (int i = 0; i < 100; i++)
            rn_go(leaf, &done);
        rn_wg_wait(&done);
    }
}
static void pingpong(rn_recv_only(int) in, rn_send_only(int) out)
{
    int n;

    while (!atomic_load(&stop) && rn_recv_ok(in, &n))
        rn_send(out, n);
}

/* Until n wait. */
static void await_waiting(uint64_t n)
{
    struct rn_metrics m;

    do {
        rn_sleep(RN_MILLISECOND);
        rn_metrics(&m, sizeof m);
    } while (m.waiting < n);
}

static void start_still(int readers)
{
    for (volatile int i = 0; i < readers; i++) /* volatile: one place, not unrolled */
        rn_go(reader);                         /* rntop.py: readers begin */
    for (volatile int i = 0; i < 5; i++)
        rn_go_with(RN_ATTR(.name = "a \033sleeper"), sleeper);
    if (rn_set_label("wants", "a mutex") != 0)
        abort();
    rn_mutex_lock(&mu);
    for (volatile int i = 0; i < 3; i++)
        rn_go(locker);
    if (rn_set_label("wants", NULL) != 0)
        abort();
    await_waiting((uint64_t)readers + 8);
}

/* Is said from within the call that blocks, so that all is as it stays. */
static int say_and_read(void)
{
    char c;

    puts("ready");
    fflush(stdout);
    return (int)read(STDIN_FILENO, &c, 1);
}

static int program(const char *which)
{
    gate = rn_chan_make(int, 0);
    if (strcmp(which, "many") == 0)
        start_still(100000);
    else
        start_still(7);
    if (strcmp(which, "still") == 0) {
        rn_go(spinner);
        while (!atomic_load(&spins))
            rn_sleep(RN_MILLISECOND);
    }
    if (strcmp(which, "churn") == 0) {
        rn_chan(int) a = rn_chan_make(int, 0), b = rn_chan_make(int, 0);

        rn_go(spawner);
        rn_go(spawner);
        rn_go(pingpong, a, b);
        rn_go(pingpong, b, a);
        rn_send(a, 1);
    }
    (void)rn_blocking(say_and_read());
    _exit(0);
}

static int twice(void)
{
    rn_yield();
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 1;
    /* Where only ancestors may look, and rntop is a sibling. */
    (void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    if (strcmp(argv[1], "ends") == 0) { /* runtimes that come and go */
        puts("ready");
        fflush(stdout);
        for (int i = 0; i < 100000; i++)
            if (rn_run(twice) != 0)
                return 1;
        return 0;
    }
    if (rn_set_procs(2) != 0)
        return 1;
    return rn_run(program, (const char *)argv[1]);
}
