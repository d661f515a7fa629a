/* SPDX-License-Identifier: MIT */
/*
 * forgotten-unlock-fixed.c - the cure of forgotten-unlock.c.
 *
 * rn_defer(rn_mutex_unlock, &mu) right after the lock.
 */
#include <runnel.h>

static rn_mutex mu;

static int divide(int a, int b)
{
    rn_mutex_lock(&mu);
    rn_defer(rn_mutex_unlock, &mu);
    if (b == 0)
        return -1;
    return a / b;
}

static int program(void)
{
    (void)divide(1, 0);
    return divide(4, 2) == 2 ? 0 : 1;
}

int main(void)
{
    return rn_run(program);
}
