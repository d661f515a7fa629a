/* SPDX-License-Identifier: MIT */
/*
 * Fan-out and fan-in. Several goroutines receive from one channel, each value going to exactly one
 * of them (fan-out); their results meet in one channel again (fan-in), which a closer goroutine
 * closes when the last of them has ended. Order is lost on the way: sum, sort, or carry an index.
 */
#include <runnel.h>
#include <stdio.h>

static void produce(rn_send_only(int) out, int n)
{
    for (int i = 1; i <= n; i++)
        rn_send(out, i);
    rn_close(out);
}

/* Each worker has an output of its own and closes it: whoever sends last closes. */
static void square_each(rn_recv_only(int) in, rn_send_only(int) out)
{
    rn_range (n, in)
        rn_send(out, n * n);
    rn_close(out);
}

static void forward(rn_recv_only(int) in, rn_send_only(int) out)
{
    rn_range (n, in)
        rn_send(out, n);
}

/* Several goroutines send to the merged channel, so none of them may close it. */
static void close_after(rn_wg *forwarders, rn_send_only(int) merged)
{
    rn_wg_wait(forwarders);
    rn_close(merged);
}

static int program(void)
{
    enum { WORKERS = 3, N = 20 };
    rn_chan(int) numbers = rn_chan_make(int, 0);
    rn_chan(int) squares[WORKERS];
    rn_chan(int) merged = rn_chan_make(int, 0);
    rn_wg forwarders = {0};
    int count = 0, sum = 0;

    rn_go(produce, numbers, N);
    for (int i = 0; i < WORKERS; i++) {
        squares[i] = rn_chan_make(int, 0);
        rn_go(square_each, numbers, squares[i]);            /* fan-out: one input for all */
        rn_wg_go(&forwarders, forward, squares[i], merged); /* fan-in: one output for all */
    }
    rn_go(close_after, &forwarders, merged);

    rn_range (n, merged) {
        count++;
        sum += n;
    }
    printf("%d squares, sum %d\n", count, sum); /* each value went to exactly one worker */

    for (int i = 0; i < WORKERS; i++)
        rn_chan_release(squares[i]);
    rn_chan_release(merged);
    rn_chan_release(numbers);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
