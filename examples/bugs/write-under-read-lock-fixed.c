/* SPDX-License-Identifier: MIT */
/*
 * write-under-read-lock-fixed.c - the cure of write-under-read-lock.c.
 *
 * What readers write is atomic, or is written under the lock for writing.
 */
#include <runnel.h>

static rn_rwmutex mu;
static _Atomic int hits;

static void look_up(rn_wg *wg)
{
    rn_rwmutex_rlock(&mu);
    hits++;
    rn_rwmutex_runlock(&mu);
    rn_wg_done(wg);
}

static int program(void)
{
    rn_wg wg = {0};

    rn_wg_add(&wg, 4);
    for (int i = 0; i < 4; i++)
        rn_go(look_up, &wg);
    rn_wg_wait(&wg);
    return hits == 4 ? 0 : 1;
}

int main(void)
{
    return rn_run(program);
}
