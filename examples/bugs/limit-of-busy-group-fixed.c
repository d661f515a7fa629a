/* SPDX-License-Identifier: MIT */
/*
 * limit-of-busy-group-fixed.c - the cure of limit-of-busy-group.c.
 *
 * Set the limit before the first rn_group_go.
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
    int err;

    gate = rn_chan_make(int, 1);
    rn_group_set_limit(&g, 8);
    rn_group_go(&g, work);
    rn_send(gate, 0);
    err = rn_group_wait(&g);
    rn_chan_release(gate);
    return err;
}

int main(void)
{
    return rn_run(program);
}
