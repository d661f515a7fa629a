/* SPDX-License-Identifier: MIT */
/*
 * held-mutex.c - a goroutine waits while it has a pthread mutex locked.
 *
 * The mutex belongs to the thread, and the thread goes on with others: one of them that locks it waits for the thread
 * that runs it; and whoever comes back on another thread unlocks what is not that thread's. Often nothing happens
 * for a long time.
 *
 * RUNNEL_LOCKS=1, with librunnel-locks linked or preloaded, reports it when it happens.
 */
#include <pthread.h>
#include <runnel.h>

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static int price;

static int fetch(void)
{
    rn_sleep(RN_MILLISECOND); /* a request */ /* BLAMED */
    return 42;
}

static void refresh(void)
{
    pthread_mutex_lock(&mu); /* BLAMED */
    price = fetch();
    pthread_mutex_unlock(&mu);
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
