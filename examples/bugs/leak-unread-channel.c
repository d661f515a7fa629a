/* SPDX-License-Identifier: MIT */
/*
 * leak-unread-channel.c - the sender of an answer that nobody reads waits for ever.
 *
 * The caller leaves before the answer is there. The sender keeps its stack and all that it refers
 * to; a server loses one at every failure.
 *
 * RUNNEL_LEAKS=1 reports the goroutine, where it waits, where it was started, and that nothing can wake it any more.
 */
#include <runnel.h>

static void answer(rn_chan(int) ch)
{
    rn_send(ch, 42); /* BLAMED */
}

static int program(void)
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    rn_go(answer, ch);
    return 0; /* something else failed: the answer is not wanted any more */
}

int main(void)
{
    return rn_run(program);
}
