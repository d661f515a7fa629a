/* SPDX-License-Identifier: MIT */
/*
 * held-mutex-fixed.c - the cure of held-mutex.c.
 *
 * An rn_mutex, which belongs to no thread: whoever wants it waits as a goroutine. Or first the wait, then the lock.
 */
#include <runnel.h>

static rn_mutex mu;
static int price;

static int fetch(void)
{
    rn_sleep(RN_MILLISECOND); /* a request */
    return 42;
}

static void refresh(void)
{
    rn_mutex_lock(&mu);
    price = fetch();
    rn_mutex_unlock(&mu);
}

static int program(void)
{
    rn_wg wg = {0};

    for (int i = 0; i < 3; i++)
        rn_wg_go(&wg, refresh);
    rn_wg_wait(&wg);
    return price != 42;
}

int main(void)
{
    return rn_run(program);
}
