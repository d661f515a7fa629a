/* SPDX-License-Identifier: MIT */
/*
 * use-after-release.c - a channel is used after its last reference was given up.
 *
 * The memory may be another channel by now.
 *
 * AddressSanitizer reports the use, where the channel was made, and where it was freed.
 */
#include <runnel.h>

static int program(void)
{
    rn_chan(int) ch = rn_chan_make(int, 1);

    rn_send(ch, 1);
    rn_chan_release(ch);
    return rn_recv(ch) < 0; /* BLAMED */
}

int main(void)
{
    return rn_run(program);
}
