/* SPDX-License-Identifier: MIT */
/*
 * Numbers of the scheduler: how many goroutines there are and what they do, and how often this and that has
 * happened. Counting is always on and costs next to nothing. rn_metrics fills a struct; rn_metrics_write makes the
 * text that Prometheus reads, for a handler of /metrics.
 */
#include <runnel.h>
#include <stdio.h>
#include <unistd.h>

static struct rn_metrics metrics(void)
{
    struct rn_metrics m;

    rn_metrics(&m, sizeof m);
    return m;
}

static void work(rn_recv_only(int) jobs, rn_send_only(int) results)
{
    rn_range (job, jobs)
        rn_send(results, job * job);
}

static int program(void)
{
    rn_chan(int) jobs = rn_chan_make(int, 0), results = rn_chan_make(int, 0);
    struct rn_metrics before = metrics(), after;
    rn_wg workers = {0};
    int sum = 0;

    for (int i = 0; i < 3; i++)
        rn_wg_go(&workers, work, jobs, results);
    while (metrics().waiting < 3) /* until all of them wait for a job */
        rn_yield();
    printf("%d goroutines wait\n", (int)metrics().waiting);

    for (int i = 1; i <= 10; i++) {
        rn_send(jobs, i);
        sum += rn_recv(results);
    }
    rn_close(jobs);
    rn_wg_wait(&workers);
    rn_settle(RN_SECOND);
    after = metrics();
    printf("sum %d, by %d goroutines, of which %d have ended\n", sum,
           (int)(after.spawned - before.spawned), (int)(after.finished - before.finished));
    printf("every wake-up ended a wait: %s\n", after.readies <= after.parks ? "yes" : "no");
    rn_chan_release(results);
    rn_chan_release(jobs);
    if (!isatty(STDOUT_FILENO))
        return 0;
    fflush(stdout);
    rn_metrics_write(STDOUT_FILENO); /* runnel_goroutines{state="waiting"} 0 ... */
    return 0;
}

int main(void)
{
    return rn_run(program);
}
