/* SPDX-License-Identifier: MIT */
/*
 * limit-of-busy-group.c - a group's limit is changed while its goroutines run.
 *
 * Those that run were counted against the old limit.
 *
 * The library panics at rn_group_set_limit.
 */
#include <runnel.h>

static rn_chan(int) gate;

static int work(void)
{
    return rn_recv(gate);
}

static int program(void)
{
    rn_group g = {0};

    gate = rn_chan_make(int, 1);
    rn_group_set_limit(&g, 4);
    rn_group_go(&g, work);
    rn_group_set_limit(&g, 8); /* BLAMED */
    rn_send(gate, 0);
    return rn_group_wait(&g);
}

int main(void)
{
    return rn_run(program);
}
