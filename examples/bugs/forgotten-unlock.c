/* SPDX-License-Identifier: MIT */
/*
 * forgotten-unlock.c - an early return leaves a mutex locked.
 *
 * The next to lock waits for ever, far from the mistake.
 *
 * The deadlock report shows who waits, and for which mutex.
 */
#include <runnel.h>

static rn_mutex mu;

static int divide(int a, int b)
{
    int v;

    rn_mutex_lock(&mu); /* BLAMED */
    if (b == 0)
        return -1;
    v = a / b;
    rn_mutex_unlock(&mu);
    return v;
}

static int program(void)
{
    (void)divide(1, 0);
    (void)divide(4, 2);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
