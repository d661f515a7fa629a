/* SPDX-License-Identifier: MIT */
/*
 * double-release.c - two give up the one reference of a channel.
 *
 * Both sides think that the channel is theirs. The second release may be of another channel by now, which then is gone
 * under its users.
 *
 * AddressSanitizer reports the second release, and where the first one was.
 */
#include <runnel.h>

static void produce(rn_chan(int) out, rn_wg *wg)
{
    rn_send(out, 1);
    rn_close(out);
    rn_chan_release(out);
    rn_wg_done(wg);
}

static int program(void)
{
    rn_chan(int) ch = rn_chan_make(int, 1);
    rn_wg wg = {0};

    rn_wg_add(&wg, 1);
    rn_go(produce, ch, &wg);
    rn_wg_wait(&wg);
    rn_chan_release(ch); /* BLAMED */
    return 0;
}

int main(void)
{
    return rn_run(program);
}
