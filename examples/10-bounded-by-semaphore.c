/* SPDX-License-Identifier: MIT */
/*
 * Bounded parallelism with a weighted semaphore. Where jobs differ in size, each takes as many
 * units as it needs: memory, connections, bytes. Requests are served strictly in order, so a large
 * one is not overtaken for ever by small ones. The wait can be given up through a context.
 */
#include <errno.h>
#include <runnel.h>
#include <stdatomic.h>
#include <stdio.h>

enum { MEGABYTES = 8 };

static rn_sem memory = RN_SEM(MEGABYTES);
static atomic_int used, peak;

static void convert(int megabytes)
{
    rn_defer(rn_sem_release, &memory, megabytes); /* the units were taken before rn_go */
    int now = atomic_fetch_add(&used, megabytes) + megabytes;
    int seen = atomic_load(&peak);

    while (now > seen && !atomic_compare_exchange_weak(&peak, &seen, now))
        ;
    rn_sleep(RN_MILLISECOND); /* stands for the work */
    atomic_fetch_sub(&used, megabytes);
}

static int program(void)
{
    static const int sizes[] = {1, 5, 2, 8, 3, 3, 1};
    enum { N = sizeof sizes / sizeof sizes[0] };
    rn_wg wg = {0};
    int err;

    for (int i = 0; i < N; i++) {
        err = rn_sem_acquire(rn_ctx_background(), &memory, sizes[i]);
        if (err < 0)
            return 1;
        rn_wg_go(&wg, convert, sizes[i]);
    }
    rn_wg_wait(&wg);
    printf("at most %d MB: %s\n", MEGABYTES, atomic_load(&peak) <= MEGABYTES ? "yes" : "no");

    printf("7 of 8 free: %d\n", rn_sem_try_acquire(&memory, 7));
    printf("2 more free: %d\n", rn_sem_try_acquire(&memory, 2)); /* no wait, no units */

    rn_ctx *brief = rn_ctx_with_timeout(rn_ctx_background(), 2 * RN_MILLISECOND);
    rn_defer(rn_ctx_end, brief);
    err = rn_sem_acquire(brief, &memory, 2); /* waits for the units or the end of brief */
    printf("gave up: %s\n", err == -ETIMEDOUT ? "timeout" : "?");
    rn_sem_release(&memory, 7);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
