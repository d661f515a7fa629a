/* SPDX-License-Identifier: MIT */
/*
 * dead-frame.c - a goroutine is given the address of a local of a function that returns.
 *
 * Go moves such a variable to the heap; C does not. The goroutine reads whatever is on the stack
 * then.
 *
 * AddressSanitizer reports the read, with the function whose frame it was.
 */
#include <runnel.h>

static void show(const int *job, rn_chan(int) go_on, rn_chan(int) out)
{
    (void)rn_recv(go_on);
    rn_send(out, *job); /* BLAMED */
}

static void start(rn_chan(int) go_on, rn_chan(int) out)
{
    int job = 42;

    rn_go(show, &job, go_on, out);
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
    return v < 0;
}

int main(void)
{
    return rn_run(program);
}
