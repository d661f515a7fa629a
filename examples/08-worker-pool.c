/* SPDX-License-Identifier: MIT */
/*
 * Worker pool. A fixed number of workers takes jobs from one channel and sends results to another.
 * The submitter closes the jobs, which ends the workers; a closer waits for the workers and closes
 * the results, which ends the collector. No goroutine closes what another may still send on.
 */
#include <runnel.h>
#include <stdio.h>

struct job {
    int id;
    const char *text;
};
struct result {
    int id;
    unsigned checksum;
};

static void worker(rn_recv_only(struct job) jobs, rn_send_only(struct result) results)
{
    rn_range (job, jobs) {
        unsigned sum = 0;

        for (const char *p = job.text; *p; p++)
            sum = sum * 31 + (unsigned char)*p;
        rn_send(results, (struct result){.id = job.id, .checksum = sum % 1000});
    }
}

static void submit(rn_send_only(struct job) jobs, const char *const *texts, int n)
{
    for (int i = 0; i < n; i++)
        rn_send(jobs, (struct job){.id = i, .text = texts[i]});
    rn_close(jobs);
}

static void close_after(rn_wg *workers, rn_send_only(struct result) results)
{
    rn_wg_wait(workers);
    rn_close(results);
}

static int program(void)
{
    enum { WORKERS = 3, N = 6 };
    static const char *const texts[N] = {"a", "worker", "takes", "the", "next", "job"};
    rn_chan(struct job) jobs = rn_chan_make(struct job, 0);
    rn_chan(struct result) results = rn_chan_make(struct result, 0);
    unsigned checksums[N];
    rn_wg workers = {0};

    for (int i = 0; i < WORKERS; i++)
        rn_wg_go(&workers, worker, jobs, results);
    rn_go(close_after, &workers, results);
    /* A goroutine of its own, because the results must be drained meanwhile. Arrays are passed by
     * the address of an element: rn_go wants you to have thought of how long they live. */
    rn_go(submit, jobs, &texts[0], N);

    rn_range (r, results) /* they come in any order; the id puts each in its place */
        checksums[r.id] = r.checksum;
    for (int i = 0; i < N; i++)
        printf("%-6s %u\n", texts[i], checksums[i]);

    rn_chan_release(results);
    rn_chan_release(jobs);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
