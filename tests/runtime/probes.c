/* SPDX-License-Identifier: MIT */
/*
 * probes.c - a program whose static probes probes.sh counts in gdb. It prints what rn_metrics has counted of the same:
 * parks, readies, spawned, steals, handoffs. With the argument "many" it goes on until there were a steal and a hand-off;
 * without, one processor does what is written here and nothing else.
 */
#include <runnel.h>

#include <stdatomic.h>
#include <stdio.h>

static rn_chan(int) numbers, full;
static _Atomic int spins;

static void adder(rn_wg *done)
{
    int sum = 0;

    rn_range (n, numbers)
        sum += n;
    if (sum == 6) /* probes.sh: 4 receives, one of them of the end */
        rn_wg_done(done);
}

static void print_counts(void)
{
    struct rn_metrics m;

    rn_metrics(&m, sizeof m);
    printf("counted: parks %d readies %d spawned %d steals %d handoffs %d\n", (int)m.parks,
           (int)m.readies, (int)m.spawned, (int)m.steals, (int)m.handoffs);
    fflush(stdout);
}

static int few(void)
{
    rn_wg done = {0};
    int n = 0;
    bool got;

    numbers = rn_chan_make(int, 1);
    rn_wg_add(&done, 1);
    rn_go(adder, &done);
    rn_send(numbers, 1);
    full = rn_chan_make(int, 1); /* nobody receives from it, also if we are asked to yield */
    rn_send(full, 8);
    (void)rn_try_send(full, 9); /* nothing is sent, and no probe says so */
    rn_yield();
    rn_send(numbers, 2);
    rn_select(rn_on_send(numbers, 3), rn_on_timeout(RN_HOUR));
    rn_close(numbers);
    rn_wg_wait(&done);
    got = rn_select(rn_on_recv(numbers, &n), rn_default) == 0;
    print_counts();
    return got && n == 0 ? 0 : 1;
}

static void spin(void)
{
    for (;;)
        atomic_fetch_add(&spins, 1);
}

static void leaf(rn_wg *done)
{
    rn_wg_done(done);
}

static void batch(struct rn_metrics *ret)
{
    rn_wg done = {0};

    rn_wg_add(&done, 100);
    for (int i = 0; i < 100; i++)
        rn_go(leaf, &done);
    rn_wg_wait(&done);
    rn_metrics(ret, sizeof *ret);
}

static int many(void)
{
    struct rn_metrics m;

    do
        batch(&m);
    while (m.steals == 0);
    for (int i = 0; i < 2; i++) /* more that compute than there are processors */
        rn_go(spin);
    do
        batch(&m);
    while (m.handoffs == 0);
    print_counts();
    return 0;
}

int main(int argc, char **argv)
{
    (void)argv;
    if (rn_set_procs(argc > 1 ? 2 : 1) != 0)
        return 1;
    return argc > 1 ? rn_run(many) : rn_run(few);
}
