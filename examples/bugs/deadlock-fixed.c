/* SPDX-License-Identifier: MIT */
/*
 * deadlock-fixed.c - the cure of deadlock.c.
 *
 * One of them speaks first.
 */
#include <runnel.h>

static void answer(rn_chan(int) question, rn_chan(int) reply)
{
    int v = rn_recv(question);

    rn_send(reply, v);
}

static int program(void)
{
    rn_chan(int) question = rn_chan_make(int, 0);
    rn_chan(int) reply = rn_chan_make(int, 0);
    int v;

    rn_go(answer, question, reply);
    rn_send(question, 42);
    v = rn_recv(reply);
    rn_chan_release(question);
    rn_chan_release(reply);
    return v == 42 ? 0 : 1;
}

int main(void)
{
    return rn_run(program);
}
