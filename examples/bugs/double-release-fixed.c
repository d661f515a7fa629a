/* SPDX-License-Identifier: MIT */
/*
 * double-release-fixed.c - the cure of double-release.c.
 *
 * Who made it releases it. A side that is to give up a reference of its own gets one, by rn_chan_retain.
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
    rn_chan_retain(ch);
    rn_go(produce, ch, &wg);
    rn_wg_wait(&wg);
    rn_chan_release(ch);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
