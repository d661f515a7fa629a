/* SPDX-License-Identifier: MIT */
/*
 * Unbuffered channels. With capacity 0 a send waits until a receiver takes the value, and a receive
 * until a sender brings one: the two goroutines meet. So a channel carries a value and orders
 * things at the same time: whatever the sender did before is visible to the receiver after.
 */
#include <runnel.h>
#include <stdio.h>

static void shout(rn_chan(const char *) words)
{
    rn_send(words, "hello");
    rn_send(words, "from a goroutine");
}

/* Receives a number, answers with the next one: two goroutines take turns. */
static void increment(rn_chan(int) in, rn_chan(int) out)
{
    for (int turn = 0; turn < 3; turn++)
        rn_send(out, rn_recv(in) + 1);
}

static void fill(int *table, int n, rn_chan(rn_unit) done)
{
    for (int i = 0; i < n; i++)
        table[i] = 10 * i;
    rn_send(done, RN_UNIT); /* rn_unit carries nothing: only the meeting matters */
}

static int program(void)
{
    /* rn_chan(T) is a channel of any type T; no typedef is needed. Whoever makes a channel releases
     * it once nobody uses it any more. */
    rn_chan(const char *) words = rn_chan_make(const char *, 0);
    rn_go(shout, words);
    puts(rn_recv(words));
    puts(rn_recv(words));
    rn_chan_release(words);

    rn_chan(int) ping = rn_chan_make(int, 0);
    rn_chan(int) pong = rn_chan_make(int, 0);
    rn_go(increment, ping, pong);
    for (int turn = 0; turn < 3; turn++) {
        rn_send(ping, 10 * turn);
        printf("sent %d, got %d\n", 10 * turn, rn_recv(pong));
    }
    rn_chan_release(ping);
    rn_chan_release(pong);

    int table[4];
    rn_chan(rn_unit) done = rn_chan_make(rn_unit, 0);
    rn_go(fill, &table[0], 4, done); /* an array argument would not compile: it might dangle */
    (void)rn_recv(done);
    printf("table[3] is %d\n", table[3]);
    rn_chan_release(done);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
