/* SPDX-License-Identifier: MIT */
#include <runnel.h>
#include <stdio.h>

static void count(rn_send_only(int) out, int n)
{
    for (int i = 0; i < n; i++)
        rn_send(out, i);
    rn_close(out);
}

static int program(int n)
{
    rn_chan(int) numbers = rn_chan_make(int, 0);
    int sum = 0;

    rn_go(count, numbers, n);
    rn_range (i, numbers)
        sum += i;
    rn_chan_release(numbers);
    printf("sum %d\n", sum);
    return 0;
}

int main(void)
{
    return rn_run(program, 10);
}
