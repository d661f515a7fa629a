/* SPDX-License-Identifier: MIT */
/*
 * recursive-rlock-fixed.c - the cure of recursive-rlock.c.
 *
 * Lock once, and call what expects the lock to be held.
 */
#include <runnel.h>

static rn_rwmutex mu;
static int value;

static void writer(void)
{
    rn_rwmutex_lock(&mu);
    value++;
    rn_rwmutex_unlock(&mu);
}

static int get_locked(void)
{
    return value;
}

static int program(void)
{
    rn_wg wg = {0};

    rn_rwmutex_rlock(&mu);
    rn_wg_go(&wg, writer);
    while (rn_rwmutex_try_rlock(&mu)) { /* until the writer waits */
        rn_rwmutex_runlock(&mu);
        rn_yield();
    }
    (void)get_locked();
    rn_rwmutex_runlock(&mu);
    rn_wg_wait(&wg);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
