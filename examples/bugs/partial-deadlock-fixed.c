/* SPDX-License-Identifier: MIT */
/*
 * partial-deadlock-fixed.c - the cure of partial-deadlock.c.
 *
 * One order for all, say by address.
 */
#include <runnel.h>

struct account {
    rn_mutex mu;
    int balance;
};
static struct account a, b;

static void transfer(struct account *from, struct account *to)
{
    struct account *first = from < to ? from : to;
    struct account *second = from < to ? to : from;

    rn_mutex_lock(&first->mu);
    rn_mutex_lock(&second->mu);
    from->balance--;
    to->balance++;
    rn_mutex_unlock(&second->mu);
    rn_mutex_unlock(&first->mu);
}

static int program(void)
{
    rn_wg wg = {0};

    rn_wg_go(&wg, transfer, &a, &b);
    rn_wg_go(&wg, transfer, &b, &a);
    rn_sleep(RN_MILLISECOND);
    rn_wg_wait(&wg);
    return a.balance + b.balance;
}

int main(void)
{
    return rn_run(program);
}
