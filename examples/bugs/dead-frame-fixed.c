/* SPDX-License-Identifier: MIT */
/*
 * dead-frame-fixed.c - the cure of dead-frame.c.
 *
 * Pass the value, or rn_go_copy for a large one.
 */
#include <runnel.h>

static void show(int job, rn_chan(int) go_on, rn_chan(int) out)
{
    (void)rn_recv(go_on);
    rn_send(out, job);
}

static void start(rn_chan(int) go_on, rn_chan(int) out)
{
    int job = 42;

    rn_go(show, job, go_on, out);
}

static int program(void)
{
    rn_chan(int) go_on = rn_chan_make(int, 0);
    rn_chan(int) out = rn_chan_make(int, 0);
    int v;

    start(go_on, out);
    rn_send(go_on, 1);
    v = rn_recv(out);
    rn_chan_release(go_on);
    rn_chan_release(out);
    return v == 42 ? 0 : 1;
}

int main(void)
{
    return rn_run(program);
}
