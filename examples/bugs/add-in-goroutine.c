/* SPDX-License-Identifier: MIT */
/*
 * add-in-goroutine.c - a goroutine adds itself to the wait group, so that the wait may come first.
 *
 * rn_wg_wait returns at once if it comes before the first rn_wg_add; then nobody waits for
 * anybody. Here the wait comes second, as it mostly does.
 *
 * ThreadSanitizer reports the first rn_wg_add against an rn_wg_wait that has to wait. One that
 * finds nothing to wait for says nothing, as in Go.
 */
#include <runnel.h>
#include <stdatomic.h>

static rn_wg wg;
static _Atomic int added,
    waiting; /* make the order the same every time; relaxed, so that they order nothing */

static void work(void)
{
    rn_wg_add(&wg, 1); /* BLAMED */
    atomic_store_explicit(&added, 1, memory_order_relaxed);
    while (!atomic_load_explicit(&waiting, memory_order_relaxed))
        rn_yield();
    rn_sleep(50 * RN_MILLISECOND);
    rn_wg_done(&wg);
}

static int program(void)
{
    rn_go(work);
    while (!atomic_load_explicit(&added, memory_order_relaxed))
        rn_yield();
    atomic_store_explicit(&waiting, 1, memory_order_relaxed);
    rn_wg_wait(&wg); /* BLAMED */
    return 0;
}

int main(void)
{
    return rn_run(program);
}
