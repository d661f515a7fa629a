/* SPDX-License-Identifier: MIT */
/*
 * missing-done-fixed.c - the cure of missing-done.c.
 *
 * rn_wg_go, or rn_defer(rn_wg_done, wg) as the first line.
 */
#include <runnel.h>

static void work(rn_wg *wg, int job)
{
    rn_defer(rn_wg_done, wg);
    if (job == 0)
        return;
}

static int program(void)
{
    rn_wg wg = {0};

    rn_wg_add(&wg, 2);
    rn_go(work, &wg, 0);
    rn_go(work, &wg, 1);
    rn_wg_wait(&wg);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
