/* SPDX-License-Identifier: MIT */
/*
 * write-under-read-lock.c - a cache counts its hits while it holds the lock for reading only.
 *
 * Readers run at the same time, so what they write is a race.
 *
 * ThreadSanitizer reports the two writes.
 */
#include <runnel.h>

static rn_rwmutex mu;
static int hits;

static void look_up(rn_wg *wg)
{
    rn_rwmutex_rlock(&mu);
    hits++; /* BLAMED */
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
    return 0;
}

int main(void)
{
    return rn_run(program);
}
