/* SPDX-License-Identifier: MIT */
/*
 * freed-by-another-fixed.c - the cure of freed-by-another.c.
 *
 * A send hands ownership over: the sender does not touch it afterwards.
 */
#include <runnel.h>
#include <stdlib.h>

static void consume(rn_chan(int *) in, rn_chan(int) done)
{
    int *p = rn_recv(in);
    int v = *p;

    free(p);
    rn_send(done, v);
}

static int program(void)
{
    rn_chan(int *) ch = rn_chan_make(int *, 0);
    rn_chan(int) done = rn_chan_make(int, 0);
    int *p = malloc(sizeof *p);
    int v;

    if (!p)
        return 1;
    *p = 42;
    rn_go(consume, ch, done);
    rn_send(ch, p);
    v = rn_recv(done);
    rn_chan_release(ch);
    rn_chan_release(done);
    return v == 42 ? 0 : 1;
}

int main(void)
{
    return rn_run(program);
}
