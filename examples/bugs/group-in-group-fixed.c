/* SPDX-License-Identifier: MIT */
/*
 * group-in-group-fixed.c - the cure of group-in-group.c.
 *
 * rn_group_try_go, and do it here if there is no room.
 */
#include <runnel.h>

static rn_group g;

static int leaf(void)
{
    return 0;
}

static int node(void)
{
    if (!rn_group_try_go(&g, leaf))
        return leaf();
    return 0;
}

static int program(void)
{
    rn_group_set_limit(&g, 1);
    rn_group_go(&g, node);
    return rn_group_wait(&g);
}

int main(void)
{
    return rn_run(program);
}
