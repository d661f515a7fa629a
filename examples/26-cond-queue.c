/* SPDX-License-Identifier: MIT */
/*
 * Condition variables. A goroutine that holds a mutex and finds that it cannot go on yet waits for
 * a condition: the wait unlocks, sleeps until a signal, and locks again. The condition is always
 * looked at again in a loop, since somebody else may have been faster. Where a channel will do,
 * take the channel; here one lock guards a queue and two questions about it.
 */
#include <runnel.h>
#include <stdio.h>

enum { CAPACITY = 4 };

struct queue {
    rn_mutex mu;
    rn_cond not_empty, not_full;
    int items[CAPACITY]; /* guarded by mu, like all below */
    int head, count;
    bool closed;
};

static void queue_put(struct queue *q, int item)
{
    rn_mutex_lock(&q->mu);
    rn_defer(rn_mutex_unlock, &q->mu);
    while (q->count == CAPACITY)
        rn_cond_wait(&q->not_full, &q->mu);
    q->items[(q->head + q->count++) % CAPACITY] = item;
    rn_cond_signal(&q->not_empty); /* one item, one waiter */
}

static bool queue_take(struct queue *q, int *item)
{
    rn_mutex_lock(&q->mu);
    rn_defer(rn_mutex_unlock, &q->mu);
    while (q->count == 0 && !q->closed)
        rn_cond_wait(&q->not_empty, &q->mu);
    if (q->count == 0)
        return false;
    *item = q->items[q->head];
    q->head = (q->head + 1) % CAPACITY;
    q->count--;
    rn_cond_signal(&q->not_full);
    return true;
}

static void queue_close(struct queue *q)
{
    rn_mutex_lock(&q->mu);
    rn_defer(rn_mutex_unlock, &q->mu);
    q->closed = true;
    rn_cond_broadcast(&q->not_empty); /* it concerns all of them */
}

static void produce(struct queue *q, int from, int to)
{
    for (int i = from; i < to; i++)
        queue_put(q, i);
}

static void consume(struct queue *q, int *sum)
{
    for (int item; queue_take(q, &item);)
        *sum += item;
}

static int program(void)
{
    struct queue queue = {0};
    int sums[3] = {0};
    rn_wg producers = {0}, consumers = {0};

    for (int i = 0; i < 3; i++)
        rn_wg_go(&consumers, consume, &queue, &sums[i]);
    rn_wg_go(&producers, produce, &queue, 0, 50);
    rn_wg_go(&producers, produce, &queue, 50, 101);
    rn_wg_wait(&producers);
    queue_close(&queue);
    rn_wg_wait(&consumers);
    printf("sum %d\n", sums[0] + sums[1] + sums[2]);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
