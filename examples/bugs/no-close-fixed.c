/* SPDX-License-Identifier: MIT */
/*
 * no-close-fixed.c - the cure of no-close.c.
 *
 * Whoever sends last closes.
 */
#include <runnel.h>

static void worker(rn_chan(int) jobs, rn_chan(int) results)
{
    rn_range (job, jobs)
        rn_send(results, 2 * job);
    rn_close(results);
}

static int program(void)
{
    rn_chan(int) jobs = rn_chan_make(int, 0);
    rn_chan(int) results = rn_chan_make(int, 0);
    int sum = 0;

    rn_go(worker, jobs, results);
    rn_send(jobs, 21);
    rn_close(jobs);
    rn_range (v, results)
        sum += v;
    rn_chan_release(jobs);
    rn_chan_release(results);
    return sum == 42 ? 0 : 1;
}

int main(void)
{
    return rn_run(program);
}
