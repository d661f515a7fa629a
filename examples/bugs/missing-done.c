/* SPDX-License-Identifier: MIT */
/*
 * missing-done.c - a goroutine ends without counting down the wait group.
 *
 * One path returns before rn_wg_done, and the one who waits waits for ever.
 *
 * The deadlock report shows the wait.
 */
#include <runnel.h>

static void work(rn_wg *wg, int job)
{
    if (job == 0)
        return;
    rn_wg_done(wg);
}

static int program(void)
{
    rn_wg wg = {0};

    rn_wg_add(&wg, 2);
    rn_go(work, &wg, 0);
    rn_go(work, &wg, 1);
    rn_wg_wait(&wg); /* BLAMED */
    return 0;
}

int main(void)
{
    return rn_run(program);
}
