/* SPDX-License-Identifier: MIT */
/*
 * Select over a set made at run time. rn_select_array takes an array of cases, which may be of any
 * length and is yours to fill; a zero case never proceeds, so clearing one takes it out. In a loop
 * use rn_on_send_from(ch, &value), whose value lives in a variable of yours, not in the case: a
 * value written in the case itself would be gone at the end of the loop's body.
 */
#include <runnel.h>
#include <stdio.h>

enum { N = 4 };

static void source(rn_send_only(int) out, int first, int count)
{
    for (int i = 0; i < count; i++)
        rn_send(out, first + i);
    rn_close(out);
}

/* Receives from all of them until the last is closed. */
static int drain(rn_chan(int) * sources, int *counts)
{
    rn_case cases[N];
    int values[N], sum = 0, open = N;
    bool ok[N];

    for (int i = 0; i < N; i++)
        cases[i] = rn_on_recv_ok(sources[i], &values[i], &ok[i]);
    while (open > 0) {
        int i = rn_select_array(cases, N);

        if (ok[i]) {
            sum += values[i];
            counts[i]++;
        } else {
            cases[i] = (rn_case){0}; /* closed: it would be ready for ever */
            open--;
        }
    }
    return sum;
}

static int program(void)
{
    rn_chan(int) channels[N];
    int counts[N] = {0}, outgoing[N], sum;

    for (int i = 0; i < N; i++) {
        channels[i] = rn_chan_make(int, 0);
        rn_go(source, channels[i], 100 * i, i + 1);
    }
    sum = drain(channels, counts);
    printf("sum %d; received %d %d %d %d\n", sum, counts[0], counts[1], counts[2], counts[3]);
    for (int i = 0; i < N; i++)
        rn_chan_release(channels[i]);

    /* Offer each value until all are gone, to whichever channel has room. */
    rn_case offers[N];
    for (int i = 0; i < N; i++) {
        channels[i] = rn_chan_make(int, 1);
        outgoing[i] = 10 * i;
        offers[i] = rn_on_send_from(channels[i], &outgoing[i]);
    }
    for (int left = N; left > 0; left--)
        offers[rn_select_array(offers, N)] = (rn_case){0};
    for (int i = 0; i < N; i++) {
        printf("channel %d got %d\n", i, rn_recv(channels[i]));
        rn_chan_release(channels[i]);
    }
    return 0;
}

int main(void)
{
    return rn_run(program);
}
