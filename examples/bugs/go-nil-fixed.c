/* SPDX-License-Identifier: MIT */
/*
 * go-nil-fixed.c - the cure of go-nil.c.
 *
 * Check, or have a default.
 */
#include <runnel.h>

static void (*on_done)(void);

static int program(void)
{
    if (on_done)
        rn_go(on_done);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
