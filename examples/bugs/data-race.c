/* SPDX-License-Identifier: MIT */
/*
 * data-race.c - two goroutines add to one variable.
 *
 * counter++ reads, adds and writes; two that do it at the same time lose one. It may work for
 * years.
 *
 * ThreadSanitizer reports it, also if both goroutines ran on one thread.
 */
#include <runnel.h>

static int counter;

static void count(rn_wg *wg)
{
    for (int i = 0; i < 100; i++)
        counter++; /* BLAMED */
    rn_wg_done(wg);
}

static int program(void)
{
    rn_wg wg = {0};

    rn_wg_add(&wg, 2);
    rn_go(count, &wg);
    rn_go(count, &wg);
    rn_wg_wait(&wg);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
