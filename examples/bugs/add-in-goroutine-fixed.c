/* SPDX-License-Identifier: MIT */
/*
 * add-in-goroutine-fixed.c - the cure of add-in-goroutine.c.
 *
 * Add before the start: rn_wg_go does both.
 */
#include <runnel.h>
#include <stdatomic.h>

static rn_wg wg;
static _Atomic int done;

static void work(void)
{
    done++;
}

static int program(void)
{
    rn_wg_go(&wg, work);
    rn_wg_go(&wg, work);
    rn_wg_wait(&wg);
    return atomic_load(&done) == 2 ? 0 : 1;
}

int main(void)
{
    return rn_run(program);
}
