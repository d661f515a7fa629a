/* SPDX-License-Identifier: MIT */
/*
 * self-deadlock-fixed.c - the cure of self-deadlock.c.
 *
 * The inner function expects the lock to be held, and says so by its name.
 */
#include <runnel.h>

static rn_mutex mu;
static int balance;

static int get_locked(void)
{
    return balance;
}

static void pay(int sum)
{
    rn_mutex_lock(&mu);
    if (get_locked() >= sum)
        balance -= sum;
    rn_mutex_unlock(&mu);
}

static int program(void)
{
    pay(1);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
