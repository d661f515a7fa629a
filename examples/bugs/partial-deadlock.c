/* SPDX-License-Identifier: MIT */
/*
 * partial-deadlock.c - two goroutines lock the same two mutexes in opposite order, while others go on.
 *
 * As in lock-order.c, but the program does not stand still: a clock ticks, requests come in, and nobody reports a
 * deadlock. The two never end, nor does whoever wants one of the mutexes from now on.
 *
 * RUNNEL_LOCKS=1 reports it when it happens; rn_dump shows it too.
 */
#include <runnel.h>

struct account {
    rn_mutex mu;
    int balance;
};
static struct account a, b;
static rn_wg both;

static void transfer(struct account *from, struct account *to)
{
    rn_mutex_lock(&from->mu);
    rn_wg_done(&both);
    rn_wg_wait(&both);
    rn_mutex_lock(&to->mu); /* BLAMED */
    from->balance--;
    to->balance++;
    rn_mutex_unlock(&to->mu);
    rn_mutex_unlock(&from->mu);
}

static int program(void)
{
    rn_wg_add(&both, 2);
    rn_go(transfer, &a, &b);
    rn_go(transfer, &b, &a);
    rn_sleep(RN_MINUTE); /* the server goes on */
    return 0;
}

int main(void)
{
    return rn_run(program);
}
