/* SPDX-License-Identifier: MIT */
/*
 * lock-order.c - two goroutines lock the same two mutexes in opposite order.
 *
 * Each holds what the other wants. Here a barrier makes it happen every time.
 *
 * The deadlock report shows both second locks and the mutexes' addresses.
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
    rn_wg wg = {0};

    rn_wg_add(&both, 2);
    rn_wg_go(&wg, transfer, &a, &b);
    rn_wg_go(&wg, transfer, &b, &a);
    rn_wg_wait(&wg);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
