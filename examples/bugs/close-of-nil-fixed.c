/* SPDX-License-Identifier: MIT */
/*
 * close-of-nil-fixed.c - the cure of close-of-nil.c.
 *
 * Close only what was made.
 */
#include <runnel.h>

static int program(void)
{
    rn_chan(int) results = NULL;

    if (results)
        rn_close(results);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
