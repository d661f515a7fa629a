/* SPDX-License-Identifier: MIT */
/*
 * lock-order-with-thread-fixed.c - the cure of lock-order-with-thread.c.
 *
 * One order for all, threads among them: first the configuration, then the log.
 */
#include <pthread.h>
#include <runnel.h>

static rn_mutex config, log_file;

static void *reload(void *arg)
{
    rn_mutex_lock(&config);
    rn_mutex_lock(&log_file);
    rn_mutex_unlock(&log_file);
    rn_mutex_unlock(&config);
    return arg;
}

static void write_log(void)
{
    rn_mutex_lock(&config);
    rn_mutex_lock(&log_file);
    rn_mutex_unlock(&log_file);
    rn_mutex_unlock(&config);
}

static int program(void)
{
    rn_wg wg = {0};
    pthread_t t;

    rn_wg_go(&wg, write_log);
    if (pthread_create(&t, NULL, reload, NULL) != 0)
        return 1;
    rn_wg_wait(&wg);
    return rn_blocking(pthread_join(t, NULL));
}

int main(void)
{
    return rn_run(program);
}
