/* SPDX-License-Identifier: MIT */
/*
 * lock-order-with-thread.c - a goroutine and a plain thread lock the same two mutexes in opposite order, while others go on.
 *
 * An rn_mutex works from any thread, so a library's callback thread may share one with goroutines. That the other side is
 * no goroutine does not make the order of locks matter less.
 *
 * RUNNEL_LOCKS=1 reports it when it happens.
 */
#include <pthread.h>
#include <runnel.h>

static rn_mutex config, log_file;
static rn_chan(int) config_taken;

static void *reload(void *arg)
{
    rn_mutex_lock(&config);
    rn_send(config_taken, 1);
    rn_mutex_lock(&log_file); /* BLAMED */
    rn_mutex_unlock(&log_file);
    rn_mutex_unlock(&config);
    return arg;
}

static void write_log(void)
{
    rn_mutex_lock(&log_file);
    (void)rn_recv(config_taken);
    rn_mutex_lock(&config); /* BLAMED */
    rn_mutex_unlock(&config);
    rn_mutex_unlock(&log_file);
}

static int program(void)
{
    pthread_t t;

    config_taken = rn_chan_make(int, 0);
    rn_go(write_log);
    if (pthread_create(&t, NULL, reload, NULL) != 0)
        return 1;
    rn_sleep(RN_MINUTE); /* the server goes on */
    return 0;
}

int main(void)
{
    return rn_run(program);
}
