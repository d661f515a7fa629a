/* SPDX-License-Identifier: MIT */
/*
 * unread-errors.c - workers send their errors to a channel that is read until the first.
 *
 * The first error is returned, and the others' senders wait for ever.
 *
 * RUNNEL_LEAKS=1 reports the three that are left as one entry.
 */
#include <runnel.h>

static void work(rn_send_only(int) errors)
{
    rn_send(errors, -1); /* BLAMED */
}

static int program(void)
{
    rn_chan(int) errors = rn_chan_make(int, 0);

    for (volatile int i = 0; i < 4; i++)
        rn_go(work, errors);
    return rn_recv(errors) < 0 ? 0 : 1;
}

int main(void)
{
    return rn_run(program);
}
