/* SPDX-License-Identifier: MIT */
/*
 * self-deadlock.c - a function locks a mutex that its caller holds.
 *
 * Mutexes are not recursive: the second lock waits for the first one's holder, which is itself.
 *
 * The deadlock report shows the second lock. As long as other goroutines go on, rn_dump, SIGQUIT
 * or gdb show it.
 */
#include <runnel.h>

static rn_mutex mu;
static int balance;

static int get(void)
{
    int v;

    rn_mutex_lock(&mu); /* BLAMED */
    v = balance;
    rn_mutex_unlock(&mu);
    return v;
}

static void pay(int sum)
{
    rn_mutex_lock(&mu);
    if (get() >= sum)
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
