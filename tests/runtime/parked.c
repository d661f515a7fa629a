/* SPDX-License-Identifier: MIT */
/*
 * parked.c - a program for gdb.sh to look at: goroutines that wait at known lines, one that computes, one that
 * has not run. Compiled without optimisation, so that gdb finds every local, and once more with it, so that calls are
 * inlined. With an argument it aborts, for a core file of the kernel's.
 */
#include <runnel.h>

#include <stdatomic.h>
#include <stdlib.h>

static rn_chan(int) gate;
static rn_mutex mu;
static _Atomic int spins;

static int deep(int depth)
{
    int local_of_deep = depth * 100 + 7;

    if (depth == 0)
        local_of_deep += rn_recv(gate); /* gdb.sh: reader waits */
    else
        local_of_deep += deep(depth - 1);
    return local_of_deep;
}
static void reader(int depth)
{
    (void)deep(depth);
}
static void locker(void)
{
    if (rn_set_label("wants", "the mutex") != 0)
        abort();
    rn_mutex_lock(&mu); /* gdb.sh: locker waits */
    rn_mutex_unlock(&mu);
}
static void spinner(void)
{
    for (;;)
        spins++;
}
static void never(void) {}

void all_are_there(void) __attribute__((noinline));
void all_are_there(void)
{
    atomic_signal_fence(memory_order_seq_cst); /* gdb stops here */
}

static int program(int argc)
{
    gate = rn_chan_make(int, 0);
    rn_mutex_lock(&mu);
    rn_go_with(RN_ATTR(.name = "reader"), reader, 3);
    rn_go(locker);
    rn_sleep(20 * RN_MILLISECOND);
    while (rn_len(gate) > 0)
        rn_yield();
    for (int i = 0; i < 1000; i++)
        rn_yield();
    rn_go_with(RN_ATTR(.name = "spinner"), spinner);
    while (!spins)
        rn_yield();
    if (rn_set_label("request", "7") != 0)
        abort();
    rn_go_with(RN_ATTR(.name = "unborn"), never);
    all_are_there();
    if (argc > 1)
        abort();
    return 0;
}

int main(int argc, char **argv)
{
    (void)argv;
    if (rn_set_procs(2))
        return 1;
    exit(rn_run(program, argc));
}
