/* SPDX-License-Identifier: MIT */
/*
 * double-close-fixed.c - the cure of double-close.c.
 *
 * One closes, after all the others are done.
 */
#include <runnel.h>

static void produce(rn_chan(int) ch)
{
    (void)ch;
}

static int program(void)
{
    rn_chan(int) ch = rn_chan_make(int, 0);
    rn_wg wg = {0};

    rn_wg_go(&wg, produce, ch);
    rn_wg_go(&wg, produce, ch);
    rn_wg_wait(&wg);
    rn_close(ch);
    rn_chan_release(ch);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
