/* SPDX-License-Identifier: MIT */
/*
 * Error group with a limit. rn_group_set_limit bounds how many functions run at once; rn_group_go
 * then waits for a free slot, which also slows down whoever makes the work. rn_group_try_go does
 * not wait: it says whether the function was started.
 */
#include <runnel.h>
#include <stdatomic.h>
#include <stdio.h>

static atomic_int active, peak;

static int resize(int image, int *bytes)
{
    int now = atomic_fetch_add(&active, 1) + 1;
    int seen = atomic_load(&peak);

    while (now > seen && !atomic_compare_exchange_weak(&peak, &seen, now))
        ;
    rn_sleep(RN_MILLISECOND / 2); /* stands for the work */
    *bytes = 1000 * image;
    atomic_fetch_sub(&active, 1);
    return 0;
}

static int wait_at(rn_recv_only(rn_unit) gate)
{
    (void)rn_recv(gate);
    return 0;
}

static int program(void)
{
    enum { LIMIT = 4, N = 20 };
    rn_group group = {0};
    int bytes[N], sum = 0, err;

    rn_group_set_limit(&group, LIMIT);
    for (int i = 0; i < N; i++)
        rn_group_go(&group, resize, i, &bytes[i]);
    err = rn_group_wait(&group);
    for (int i = 0; i < N; i++)
        sum += bytes[i];
    printf("result %d, %d bytes\n", err, sum);
    printf("at most %d at once: %s\n", LIMIT, atomic_load(&peak) <= LIMIT ? "yes" : "no");

    rn_group pair = {0};
    rn_chan(rn_unit) gate = rn_chan_make(rn_unit, 0);
    rn_group_set_limit(&pair, 2);
    for (int i = 1; i <= 3; i++)
        printf("started %d: %s\n", i, rn_group_try_go(&pair, wait_at, gate) ? "yes" : "no");
    rn_close(gate);
    err = rn_group_wait(&pair);
    printf("result %d\n", err);
    rn_chan_release(gate);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
