/* SPDX-License-Identifier: MIT */
/*
 * stack-overflow.c - a recursion is deeper than the goroutine's stack.
 *
 * A goroutine's stack does not grow. The default is 128 KiB, of which only what is touched costs
 * memory.
 *
 * The guard below the stack is hit, and the report says which goroutine, how large its stack is,
 * and where.
 */
#include <runnel.h>

static volatile int depth = 10000;

static int descend(int n)
{
    volatile char frame[64];

    frame[0] = (char)n;
    if (n == 0)
        return 0;
    return descend(n - 1) + frame[0] - frame[0]; /* BLAMED */
}

static void walk(rn_chan(int) out)
{
    rn_send(out, descend(depth));
}

static int program(void)
{
    rn_chan(int) out = rn_chan_make(int, 0);
    int v;

    rn_go(walk, out);
    v = rn_recv(out);
    rn_chan_release(out);
    return v;
}

int main(void)
{
    return rn_run(program);
}
