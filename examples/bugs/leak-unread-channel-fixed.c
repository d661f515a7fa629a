/* SPDX-License-Identifier: MIT */
/*
 * leak-unread-channel-fixed.c - the cure of leak-unread-channel.c.
 *
 * Room for the one answer, so that the sender never waits.
 */
#include <runnel.h>

static void answer(rn_chan(int) ch)
{
    rn_send(ch, 42);
    rn_chan_release(ch);
}

static int program(void)
{
    rn_chan(int) ch = rn_chan_make(int, 1);

    rn_go(answer, rn_chan_retain(ch));
    rn_chan_release(ch);
    return 0; /* something else failed: the answer is not wanted any more */
}

int main(void)
{
    return rn_run(program);
}
