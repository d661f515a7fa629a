/* SPDX-License-Identifier: MIT */
/*
 * goroutine-per-request-fixed.c - the cure of goroutine-per-request.c.
 *
 * A limit: a semaphore before the start, a group with a limit, or a pool of workers.
 */
#include <runnel.h>

static rn_sem running = RN_SEM(10);
static rn_sem database = RN_SEM(2);
static rn_wg wg;

static void handle(void)
{
    if (rn_sem_acquire(NULL, &database, 1) == 0)
        rn_sem_release(&database, 1);
    rn_sem_release(&running, 1);
}

static int program(void)
{
    for (int request = 0; request < 502; request++) {
        if (rn_sem_acquire(NULL, &running, 1) == 0)
            rn_wg_go(&wg, handle);
        if (rn_count() > 20)
            rn_dump(2);
    }
    rn_wg_wait(&wg);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
