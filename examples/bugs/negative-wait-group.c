/* SPDX-License-Identifier: MIT */
/*
 * negative-wait-group.c - a wait group is counted down more often than up.
 *
 * The work is counted both by its caller and by rn_wg_go.
 *
 * The library panics at the surplus rn_wg_done.
 */
#include <runnel.h>

static rn_wg wg;

static void work(void)
{
    rn_wg_done(&wg);
}

static int program(void)
{
    rn_wg_add(&wg, 1);
    rn_go(work);
    rn_wg_wait(&wg);
    rn_wg_done(&wg); /* BLAMED */
    return 0;
}

int main(void)
{
    return rn_run(program);
}
