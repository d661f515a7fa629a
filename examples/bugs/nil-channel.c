/* SPDX-License-Identifier: MIT */
/*
 * nil-channel.c - a channel is declared and never made.
 *
 * NULL is the nil channel, on which everybody waits for ever. That is useful in a select, and a
 * mistake elsewhere.
 *
 * The deadlock report says "nil chan".
 */
#include <runnel.h>

static rn_chan(int) results;

static int program(void)
{
    return rn_recv(results); /* BLAMED */
}

int main(void)
{
    return rn_run(program);
}
