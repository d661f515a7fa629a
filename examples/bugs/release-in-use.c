/* SPDX-License-Identifier: MIT */
/*
 * release-in-use.c - the last reference of a channel is given up while somebody waits on it.
 *
 * The receiver would wait on memory that is gone.
 *
 * The library panics at the release.
 */
#include <runnel.h>

static void receiver(rn_chan(int) ch)
{
    (void)rn_recv(ch);
}

static int program(void)
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    rn_go(receiver, ch);
    while (!rn_try_send(ch, 1)) /* until it waits */
        rn_yield();
    rn_go(receiver, ch);
    rn_sleep(10 * RN_MILLISECOND);
    rn_chan_release(ch); /* BLAMED */
    return 0;
}

int main(void)
{
    return rn_run(program);
}
