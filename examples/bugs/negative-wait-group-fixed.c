/* SPDX-License-Identifier: MIT */
/*
 * negative-wait-group-fixed.c - the cure of negative-wait-group.c.
 *
 * Count at one place: rn_wg_go counts both up and down.
 */
#include <runnel.h>

static rn_wg wg;

static void work(void) {}

static int program(void)
{
    rn_wg_go(&wg, work);
    rn_wg_wait(&wg);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
