/* SPDX-License-Identifier: MIT */
/*
 * plain.h - D37: the layer without macros, used alike from C and C++. plain.c and plain.cc include it.
 */
#include <runnel.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct plain_job {
    void *in, *out;
    rn_mutex mutex;
    rn_wg *wg;
    int sum; /* guarded by mutex */
};

static void plain_double_all(void *arg)
{
    struct plain_job *job = (struct plain_job *)arg;
    int value;

    while (rn_recv_fn(job->in, &value)) {
        value *= 2;
        rn_send_fn(job->out, &value);
    }
    (rn_close)(job->out);
}

static void plain_add_one(void *arg)
{
    struct plain_job *job = (struct plain_job *)arg;

    rn_mutex_lock(&job->mutex);
    job->sum++;
    rn_mutex_unlock(&job->mutex);
}

static int plain_fail(void *arg)
{
    return rn_errorf(-EIO, "job %d failed", *(int *)arg);
}

static int plain_program(void *arg)
{
    struct plain_job job;
    rn_group group;
    rn_ctx *ctx;
    rn_wg wg;
    int value, sum = 0;

    memset(&job, 0, sizeof(job));
    memset(&group, 0, sizeof(group));
    memset(&wg, 0, sizeof(wg));
    MUST(rn_self_id() == 1);
    job.in = rn_chan_make_fn(sizeof(int), 0);
    job.out = rn_chan_make_fn(sizeof(int), 3);
    MUST(rn__cap(job.in) == 0 && rn__cap(job.out) == 3);
    rn_go_fn(plain_double_all, &job);
    for (int i = 1; i <= 3; i++)
        rn_send_fn(job.in, &i);
    (rn_close)(job.in);
    while (rn_recv_fn(job.out, &value))
        sum += value;
    MUST(sum == 12 && value == 0);
    MUST(!rn_recv_fn(job.out, NULL));
    rn__chan_release(job.in);
    rn__chan_release(job.out);

    for (int i = 0; i < 10; i++)
        rn_wg_go_fn(&wg, plain_add_one, &job);
    rn_wg_wait(&wg);
    MUST(job.sum == 10);
    MUST(rn_mutex_try_lock(&job.mutex));
    rn_mutex_unlock(&job.mutex);

    value = 7;
    ctx = rn_group_with_ctx(&group, rn_ctx_background());
    MUST(rn_ctx_err(ctx) == 0);
    rn_group_go_fn(&group, plain_fail, &value);
    MUST(rn_group_wait(&group) == -EIO);
    MUST(strcmp(rn_errmsg(-EIO), "job 7 failed") == 0);
    rn_yield();
    rn_sleep(1);
    return *(int *)arg + 1;
}

static int plain_main(void)
{
    int number = 41;

    MUST(rn_run_fn(plain_program, &number) == 42);
    MUST(rn_run_fn(plain_program, &number) == 42);
    return 0;
}
