/* SPDX-License-Identifier: MIT */
/*
 * Bounded parallelism with a channel. A buffered channel of capacity n lets at most n goroutines
 * into a section: a send takes a slot and waits while none is free, a receive gives one back.
 * Taking the slot before rn_go bounds the number of goroutines too, not only what they do at once.
 */
#include <runnel.h>
#include <stdatomic.h>
#include <stdio.h>

static atomic_int active, peak;

static void fetch(int id, int *result)
{
    int now = atomic_fetch_add(&active, 1) + 1;
    int seen = atomic_load(&peak);

    while (now > seen && !atomic_compare_exchange_weak(&peak, &seen, now))
        ;
    rn_sleep(RN_MILLISECOND); /* stands for the work */
    *result = id * 100;
    atomic_fetch_sub(&active, 1);
}

static void fetch_in_slot(rn_recv_only(rn_unit) slots, int id, int *result)
{
    fetch(id, result);
    (void)rn_recv(slots); /* give the slot back */
}

static int program(void)
{
    enum { LIMIT = 3, N = 12 };
    rn_chan(rn_unit) slots = rn_chan_make(rn_unit, LIMIT);
    int results[N], sum = 0;
    rn_wg wg = {0};

    for (int i = 0; i < N; i++) {
        rn_send(slots, RN_UNIT); /* take a slot; waits while LIMIT are taken */
        rn_wg_go(&wg, fetch_in_slot, slots, i, &results[i]);
    }
    rn_wg_wait(&wg);

    for (int i = 0; i < N; i++)
        sum += results[i];
    printf("sum %d\n", sum);
    printf("never more than %d at once: %s\n", LIMIT, atomic_load(&peak) <= LIMIT ? "yes" : "no");
    rn_chan_release(slots);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
