/* SPDX-License-Identifier: MIT */
/*
 * loop-variable-fixed.c - the cure of loop-variable.c.
 *
 * Pass the value: rn_go copies its arguments.
 */
#include <runnel.h>

static void show(int i, rn_chan(int) out)
{
    rn_send(out, i);
}

static int program(void)
{
    rn_chan(int) out = rn_chan_make(int, 4);
    int sum = 0;

    for (int i = 0; i < 4; i++)
        rn_go(show, i, out);
    for (int k = 0; k < 4; k++)
        sum += rn_recv(out);
    rn_chan_release(out);
    return sum == 6 ? 0 : 1;
}

int main(void)
{
    return rn_run(program);
}
