/* SPDX-License-Identifier: MIT */
/*
 * stack-overflow-fixed.c - the cure of stack-overflow.c.
 *
 * A larger stack for this goroutine, or a loop.
 */
#include <runnel.h>

static volatile int depth = 10000;

static int descend(int n)
{
    volatile char frame[64];

    frame[0] = (char)n;
    if (n == 0)
        return 0;
    return descend(n - 1) + frame[0] - frame[0];
}

static void walk(rn_chan(int) out)
{
    rn_send(out, descend(depth));
}

static int program(void)
{
    rn_chan(int) out = rn_chan_make(int, 0);
    int v;

    rn_go_with(RN_ATTR(.stack_size = 16 << 20), walk, out);
    v = rn_recv(out);
    rn_chan_release(out);
    return v;
}

int main(void)
{
    return rn_run(program);
}
