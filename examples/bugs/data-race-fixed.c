/* SPDX-License-Identifier: MIT */
/*
 * data-race-fixed.c - the cure of data-race.c.
 *
 * A mutex, or an atomic, or one owner that the others send to.
 */
#include <runnel.h>

static int counter;
static rn_mutex mu; /* guards counter */

static void count(rn_wg *wg)
{
    for (int i = 0; i < 100; i++) {
        rn_mutex_lock(&mu);
        counter++;
        rn_mutex_unlock(&mu);
    }
    rn_wg_done(wg);
}

static int program(void)
{
    rn_wg wg = {0};

    rn_wg_add(&wg, 2);
    rn_go(count, &wg);
    rn_go(count, &wg);
    rn_wg_wait(&wg);
    return counter == 200 ? 0 : 1;
}

int main(void)
{
    return rn_run(program);
}
