/* SPDX-License-Identifier: MIT */
/*
 * copied-cond.c - a condition is copied after it was used.
 *
 * The copy has other waiters than the original: a signal goes to nobody.
 *
 * The library panics at the first use of the copy.
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
    rn_cond_signal(&q->more); /* BLAMED */
    rn_mutex_unlock(&q->mu);
}

static int program(void)
{
    struct queue q = {0}, copy;

    put(&q);
    copy = q;
    put(&copy);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
