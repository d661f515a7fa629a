/* SPDX-License-Identifier: MIT */
/*
 * double-close.c - a channel is closed twice.
 *
 * Two goroutines think that they are the last sender.
 *
 * The library panics at the second close.
 */
#include <runnel.h>

static void produce(rn_chan(int) ch)
{
    rn_close(ch); /* BLAMED */
}

static int program(void)
{
    rn_chan(int) ch = rn_chan_make(int, 0);
    rn_wg wg = {0};

    rn_wg_go(&wg, produce, ch);
    rn_wg_go(&wg, produce, ch);
    rn_wg_wait(&wg);
    rn_chan_release(ch);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
