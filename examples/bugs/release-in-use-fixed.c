/* SPDX-License-Identifier: MIT */
/*
 * release-in-use-fixed.c - the cure of release-in-use.c.
 *
 * Close first, and release when the receiver is done, or give it a reference of its own.
 */
#include <runnel.h>

static void receiver(rn_chan(int) ch)
{
    (void)rn_recv(ch);
    rn_chan_release(ch);
}

static int program(void)
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    rn_go(receiver, rn_chan_retain(ch));
    rn_close(ch);
    rn_chan_release(ch);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
