/* SPDX-License-Identifier: MIT */
/*
 * group-in-group.c - a goroutine of a limited group starts another in the same group.
 *
 * The limit is 1, so the second start waits for the first to end, which waits for that start.
 *
 * The deadlock report shows both: [errgroup.Go] and [errgroup.Wait].
 */
#include <runnel.h>

static rn_group g;

static int leaf(void)
{
    return 0;
}

static int node(void)
{
    rn_group_go(&g, leaf); /* BLAMED */
    return 0;
}

static int program(void)
{
    rn_group_set_limit(&g, 1);
    rn_group_go(&g, node);
    return rn_group_wait(&g); /* BLAMED */
}

int main(void)
{
    return rn_run(program);
}
