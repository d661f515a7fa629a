/* SPDX-License-Identifier: MIT */
/*
 * use-after-release-fixed.c - the cure of use-after-release.c.
 *
 * Whoever uses it holds a reference: rn_chan_retain for each goroutine that outlives its maker.
 */
#include <runnel.h>

static int program(void)
{
    rn_chan(int) ch = rn_chan_make(int, 1);
    int v;

    rn_send(ch, 1);
    v = rn_recv(ch);
    rn_chan_release(ch);
    return v == 1 ? 0 : 1;
}

int main(void)
{
    return rn_run(program);
}
