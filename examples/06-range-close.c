/* SPDX-License-Identifier: MIT */
/*
 * Range and close. Closing a channel says: nothing more will come. Receivers first get what is
 * still in the buffer, then zero values with ok false, for ever and without waiting. The sender
 * closes, once; to send on a closed channel or to close it again is a panic. A channel need not be
 * closed to be released: close is a message, release is about memory.
 */
#include <runnel.h>
#include <stdio.h>

static void count_down(rn_send_only(int) out, int from)
{
    for (int i = from; i > 0; i--)
        rn_send(out, i);
    rn_close(out);
}

/* Waits for the gate: a close wakes everybody who waits, as no single send could. */
static void runner(rn_recv_only(rn_unit) gate, rn_send_only(int) finish, int number)
{
    (void)rn_recv(gate);
    rn_send(finish, number);
}

static int program(void)
{
    rn_chan(int) numbers = rn_chan_make(int, 0);
    rn_go(count_down, numbers, 3);
    rn_range (n, numbers) /* until closed and drained; break and continue work as always */
        printf("%d\n", n);
    rn_chan_release(numbers);

    rn_chan(int) buffered = rn_chan_make(int, 2);
    int value;
    bool ok;
    rn_send(buffered, 7);
    rn_send(buffered, 0);
    rn_close(buffered);
    do {
        ok = rn_recv_ok(buffered, &value); /* tells a zero that was sent from the end */
        printf("%d %s\n", value, ok ? "was sent" : "means closed");
    } while (ok);
    rn_chan_release(buffered);

    enum { RUNNERS = 4 };
    rn_chan(rn_unit) gate = rn_chan_make(rn_unit, 0);
    rn_chan(int) finish = rn_chan_make(int, RUNNERS);
    int sum = 0;
    for (int i = 1; i <= RUNNERS; i++)
        rn_go(runner, gate, finish, i);
    printf("%zu finished before the start\n", rn_len(finish));
    rn_close(gate);
    for (int i = 0; i < RUNNERS; i++)
        sum += rn_recv(finish);
    printf("numbers of those that finished: sum %d\n", sum);
    rn_chan_release(finish);
    rn_chan_release(gate);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
