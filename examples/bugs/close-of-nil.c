/* SPDX-License-Identifier: MIT */
/*
 * close-of-nil.c - a channel that was never made is closed.
 *
 * The pointer is NULL on the path where nothing was started.
 *
 * The library panics at the close.
 */
#include <runnel.h>

static int program(void)
{
    rn_chan(int) results = NULL;

    rn_close(results); /* BLAMED */
    return 0;
}

int main(void)
{
    return rn_run(program);
}
