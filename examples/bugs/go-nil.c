/* SPDX-License-Identifier: MIT */
/*
 * go-nil.c - a goroutine is started with a null function pointer.
 *
 * The callback was not set.
 *
 * The library ends the program at the rn_go, not in a new goroutine that nobody can tell the
 * origin of.
 */
#include <runnel.h>

static void (*on_done)(void);

static int program(void)
{
    rn_go(on_done); /* BLAMED */
    return 0;
}

int main(void)
{
    return rn_run(program);
}
