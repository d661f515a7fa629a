/* SPDX-License-Identifier: MIT */
/*
 * unlock-of-unlocked.c - a mutex is unlocked twice.
 *
 * Once by hand on the path of an error, once more at the end.
 *
 * The library ends the program at the second unlock. Had somebody locked in between, it would be
 * theirs.
 */
#include <runnel.h>

static rn_mutex mu;

static int update(int v)
{
    rn_mutex_lock(&mu);
    if (v < 0)
        rn_mutex_unlock(&mu);
    rn_mutex_unlock(&mu); /* BLAMED */
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
