/* SPDX-License-Identifier: MIT */
/*
 * unlock-of-unlocked-fixed.c - the cure of unlock-of-unlocked.c.
 *
 * rn_defer unlocks once, whichever way the function is left.
 */
#include <runnel.h>

static rn_mutex mu;

static int update(int v)
{
    rn_mutex_lock(&mu);
    rn_defer(rn_mutex_unlock, &mu);
    if (v < 0)
        return -1;
    return v;
}

static int program(void)
{
    (void)update(-1);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
