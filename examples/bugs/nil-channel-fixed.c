/* SPDX-License-Identifier: MIT */
/*
 * nil-channel-fixed.c - the cure of nil-channel.c.
 *
 * Make it.
 */
#include <runnel.h>

static rn_chan(int) results;

static void answer(void)
{
    rn_send(results, 42);
}

static int program(void)
{
    int v;

    results = rn_chan_make(int, 0);
    rn_go(answer);
    v = rn_recv(results);
    rn_chan_release(results);
    return v == 42 ? 0 : 1;
}

int main(void)
{
    return rn_run(program);
}
