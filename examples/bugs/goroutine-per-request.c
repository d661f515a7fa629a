/* SPDX-License-Identifier: MIT */
/*
 * goroutine-per-request.c - a server starts a goroutine for each request, however many there are.
 *
 * Each is cheap, and what it waits for is not: memory, connections, a database. Under load they
 * pile up.
 *
 * rn_count shows the number; rn_dump, or SIGQUIT on the running server, shows where they all wait:
 * 500 alike.
 */
#include <runnel.h>

static rn_sem database = RN_SEM(2);
static rn_wg wg;

static void handle(rn_chan(int) gate)
{
    if (rn_sem_acquire(NULL, &database, 1) != 0) /* BLAMED */
        return;
    (void)rn_recv_ok(gate, NULL);
    rn_sem_release(&database, 1);
}

static int program(void)
{
    rn_chan(int) gate = rn_chan_make(int, 0);

    for (int request = 0; request < 502; request++)
        rn_wg_go(&wg, handle, gate);
    rn_sleep(50 * RN_MILLISECOND);
    if (rn_count() > 20)
        rn_dump(2);
    rn_close(gate);
    rn_wg_wait(&wg);
    rn_chan_release(gate);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
