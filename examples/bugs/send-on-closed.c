/* SPDX-License-Identifier: MIT */
/*
 * send-on-closed.c - a value is sent after the channel was closed.
 *
 * The receiver closed it, to say that it wants no more. A close says that no more will come; it is
 * the sender's.
 *
 * The library panics at the send.
 */
#include <runnel.h>

static void produce(rn_chan(int) ch)
{
    for (int i = 0; i < 3; i++)
        rn_send(ch, i); /* BLAMED */
}

static int program(void)
{
    rn_chan(int) ch = rn_chan_make(int, 0);
    rn_wg wg = {0};

    rn_wg_go(&wg, produce, ch);
    (void)rn_recv(ch);
    rn_close(ch);
    rn_wg_wait(&wg);
    rn_chan_release(ch);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
