/* SPDX-License-Identifier: MIT */
/*
 * freed-by-another.c - one goroutine frees what another still reads.
 *
 * A pointer went through a channel, and both sides think that it is theirs.
 *
 * AddressSanitizer reports the read, and the stacks of both goroutines.
 */
#include <runnel.h>
#include <stdlib.h>

static void consume(rn_chan(int *) in, rn_chan(int) done)
{
    int *p = rn_recv(in);

    free(p);
    rn_send(done, 1);
}

static int program(void)
{
    rn_chan(int *) ch = rn_chan_make(int *, 0);
    rn_chan(int) done = rn_chan_make(int, 0);
    int *p = malloc(sizeof *p);

    if (!p)
        return 1;
    *p = 42;
    rn_go(consume, ch, done);
    rn_send(ch, p);
    (void)rn_recv(done);
    rn_chan_release(ch);
    rn_chan_release(done);
    return *p < 0; /* BLAMED */
}

int main(void)
{
    return rn_run(program);
}
