/* SPDX-License-Identifier: MIT */
/*
 * loop-variable.c - goroutines are given the address of the loop variable.
 *
 * The loop goes on while they read, so they see any later value: the same number twice, or the
 * last.
 *
 * ThreadSanitizer reports the loop's write and their read.
 */
#include <runnel.h>

static void show(const int *i, rn_chan(int) out)
{
    rn_send(out, *i); /* BLAMED */
}

static int program(void)
{
    rn_chan(int) out = rn_chan_make(int, 4);
    int sum = 0;

    for (int i = 0; i < 4; i++)
        rn_go(show, &i, out);
    for (int k = 0; k < 4; k++)
        sum += rn_recv(out);
    rn_chan_release(out);
    return sum < 0;
}

int main(void)
{
    return rn_run(program);
}
