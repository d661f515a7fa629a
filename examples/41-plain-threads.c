/* SPDX-License-Identifier: MIT */
/*
 * Plain threads. Every call that may wait works from any thread of the process: a plain pthread
 * waits as a thread, while goroutines go on. So channels, contexts and locks connect existing
 * threads with goroutines, and a program can take up goroutines little by little. Even rn_run is
 * not needed: the runtime starts by itself at the first rn_go.
 */
#include <pthread.h>
#include <runnel.h>
#include <stdio.h>

struct sensor {
    rn_send_only(int) out;
    int first;
};

static void *sensor_thread(void *arg)
{
    const struct sensor *s = arg;

    for (int i = 0; i < 10; i++)
        rn_send(s->out, s->first + i);
    return NULL;
}

static void collect(rn_recv_only(int) in, rn_send_only(long) result)
{
    long sum = 0;

    rn_range (value, in)
        sum += value;
    rn_send(result, sum);
}

int main(void)
{
    enum { SENSORS = 3 };
    rn_chan(int) values = rn_chan_make(int, 0);
    rn_chan(long) result = rn_chan_make(long, 0);
    struct sensor sensors[SENSORS];
    pthread_t threads[SENSORS];

    rn_go(collect, values, result); /* from main, a plain thread */
    for (int i = 0; i < SENSORS; i++) {
        sensors[i] = (struct sensor){.out = values, .first = 100 * i};
        if (pthread_create(&threads[i], NULL, sensor_thread, &sensors[i]) != 0)
            return 1;
    }
    for (int i = 0; i < SENSORS; i++)
        pthread_join(threads[i], NULL);
    rn_close(values);
    printf("sum %ld\n", rn_recv(result));

    rn_chan_release(result);
    rn_chan_release(values);
    return 0;
}
