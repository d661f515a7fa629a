/* SPDX-License-Identifier: MIT */
/*
 * no-close.c - a worker ranges over a channel that is never closed.
 *
 * The range ends with the close. Without it the worker waits for one more job, for ever.
 *
 * RUNNEL_LEAKS=1 reports the worker.
 */
#include <runnel.h>

static void worker(rn_chan(int) jobs, rn_chan(int) results)
{
    rn_range (job, jobs) /* BLAMED */
        rn_send(results, 2 * job);
}

static int program(void)
{
    rn_chan(int) jobs = rn_chan_make(int, 0);
    rn_chan(int) results = rn_chan_make(int, 0);

    rn_go(worker, jobs, results);
    rn_send(jobs, 21);
    return rn_recv(results) == 42 ? 0 : 1;
}

int main(void)
{
    return rn_run(program);
}
