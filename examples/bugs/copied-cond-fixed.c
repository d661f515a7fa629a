/* SPDX-License-Identifier: MIT */
/*
 * copied-cond-fixed.c - the cure of copied-cond.c.
 *
 * Pass a pointer.
 */
#include <runnel.h>

struct queue {
    rn_mutex mu;
    rn_cond more;
    int used;
};

static void put(struct queue *q)
{
    rn_mutex_lock(&q->mu);
    q->used++;
    rn_cond_signal(&q->more);
    rn_mutex_unlock(&q->mu);
}

static int program(void)
{
    struct queue q = {0}, *same = &q;

    put(&q);
    put(same);
    return q.used == 2 ? 0 : 1;
}

int main(void)
{
    return rn_run(program);
}
