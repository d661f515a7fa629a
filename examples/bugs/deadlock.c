/* SPDX-License-Identifier: MIT */
/*
 * deadlock.c - two goroutines each wait for the other's value.
 *
 * Each receives before it sends, so neither ever sends.
 *
 * When nothing can run any more, the library says so and shows everybody.
 */
#include <runnel.h>

static void answer(rn_chan(int) question, rn_chan(int) reply)
{
    int v = rn_recv(question); /* BLAMED */

    rn_send(reply, v);
}

static int program(void)
{
    rn_chan(int) question = rn_chan_make(int, 0);
    rn_chan(int) reply = rn_chan_make(int, 0);
    int v;

    rn_go(answer, question, reply);
    v = rn_recv(reply); /* BLAMED */
    rn_send(question, v);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
