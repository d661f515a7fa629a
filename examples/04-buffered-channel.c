/* SPDX-License-Identifier: MIT */
/*
 * Buffered channels. A send waits only when the buffer is full, a receive only when it is empty;
 * values come out in the order in which they went in. Use a buffer for a known number of results or
 * to even out bursts; a program that needs one to be correct says so beside its size.
 */
#include <runnel.h>
#include <stdio.h>

struct reading {
    const char *sensor;
    double value;
};

static void measure(rn_chan(struct reading) out, const char *sensor, double value)
{
    rn_send(out, (struct reading){.sensor = sensor, .value = value});
}

static int program(void)
{
    rn_chan(int) queue = rn_chan_make(int, 3);

    for (int i = 1; i <= 3; i++)
        rn_send(queue, i); /* no receiver yet, and none is needed */
    printf("%zu of %zu\n", rn_len(queue), rn_cap(queue));
    printf("a fourth fits: %d\n", rn_try_send(queue, 4)); /* rn_send would wait here */
    printf("first out: %d\n", rn_recv(queue));
    printf("now it fits: %d\n", rn_try_send(queue, 4));

    /* rn_len is a snapshot: true when taken, perhaps not any more when looked at. Here nobody else
     * uses the channel. */
    while (rn_len(queue) > 0)
        printf("then %d\n", rn_recv(queue));
    rn_chan_release(queue);

    /* One slot per sender: none of them ever waits, and each ends at once. */
    enum { N = 3 };
    static const char *const sensors[N] = {"north", "east", "south"};
    rn_chan(struct reading) readings = rn_chan_make(struct reading, N);
    double sum = 0;
    for (int i = 0; i < N; i++)
        rn_go(measure, readings, sensors[i], 20 + i);
    for (int i = 0; i < N; i++)
        sum += rn_recv(readings).value; /* in any order */
    printf("mean %.1f\n", sum / (double)N);
    rn_chan_release(readings);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
