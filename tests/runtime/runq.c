/* SPDX-License-Identifier: MIT */
/*
 * runq.c - the two run queues of a processor by themselves, with plain threads as owner and thieves. Built with
 * the library's own header: what is tested is not to be seen from outside.
 */
#include "process.h"
#include "sched/runq.h"

#include <pthread.h>
#include <stdlib.h>

static struct runq q;
static struct freshq fq;

/* Any word will do for a task that nobody runs. */
static task nth_task(unsigned i)
{
    return ((task)i + 1) << 4;
}
static unsigned task_no(task t)
{
    return (unsigned)(t >> 4) - 1;
}
static struct fresh *nth_fresh(unsigned i)
{
    return (struct fresh *)nth_task(i);
}

/* RT-26: first in, first out, bounded, whatever came before. */
PLAIN_TEST(rt_26_fifo_and_bounded)
{
    task half[RUNQ_SLOTS / 2];
    unsigned next = 0, out = 0;

    for (unsigned round = 0; round < 1000; round++) {
        while (runq_push(&q, nth_task(next)))
            next++;
        CHECK_EQ(next - out, RUNQ_SLOTS);
        CHECK_EQ(runq_len(&q), RUNQ_SLOTS);
        for (unsigned i = 0; i <= round % RUNQ_SLOTS; i++)
            CHECK_EQ(task_no(round % 2 ? runq_take(&q) : runq_take_alone(&q)), out++);
    }
    while (out < next) { /* half of what there is, the odd one too, the oldest first */
        uint32_t n = runq_take_half(&q, half);

        CHECK_EQ(n, next - out - (next - out) / 2);
        for (uint32_t i = 0; i < n; i++)
            CHECK_EQ(task_no(half[i]), out++);
    }
    CHECK_EQ(runq_len(&q), 0);
    CHECK(!runq_take(&q) && !runq_take_alone(&q) && runq_take_half(&q, half) == 0);
}

/* RT-26: of those that have not run the owner takes the newest and a thief the oldest. */
PLAIN_TEST(rt_26_newest_and_oldest)
{
    unsigned n = 0;

    while (freshq_push(&fq, nth_fresh(n)))
        n++;
    CHECK_EQ(n, RUNQ_SLOTS);
    for (unsigned i = 0; i < RUNQ_SLOTS / 2; i++) {
        CHECK_EQ(freshq_len(&fq), RUNQ_SLOTS - 2 * i);
        CHECK(freshq_steal(&fq) == nth_fresh(i));
        CHECK((i % 2 ? freshq_take(&fq) : freshq_take_alone(&fq)) == nth_fresh(n - 1 - i));
    }
    CHECK(!freshq_take(&fq) && !freshq_take_alone(&fq) && !freshq_steal(&fq));
}

enum { THIEVES = 3 };
static _Atomic unsigned char *seen;
static _Atomic bool over;

static void note(task t)
{
    CHECK_EQ(++seen[task_no(t)], 1);
}

static void *thief(void *fresh)
{
    task half[RUNQ_SLOTS / 2];

    for (bool last = false;; last = over) {
        uint32_t n = 0;

        if (fresh) {
            half[0] = (task)freshq_steal(&fq);
            n = half[0] != 0;
        } else {
            n = runq_take_half(&q, half);
        }
        for (uint32_t i = 0; i < n; i++)
            note(half[i]);
        if (n == 0 && last)
            return NULL;
    }
}

static void steal_from_owner(bool fresh)
{
    unsigned n = (unsigned)test_times(2000000);
    pthread_t t[THIEVES];

    seen = calloc(n, 1);
    CHECK(seen);
    over = false;
    for (int i = 0; i < THIEVES; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, thief, fresh ? &fq : NULL), 0);
    for (unsigned i = 0; i < n;) {
        task got = 0;

        if (fresh ? freshq_push(&fq, nth_fresh(i)) : runq_push(&q, nth_task(i)))
            i++;
        if (i % 3 == 0)
            got = fresh ? (task)freshq_take(&fq) : runq_take(&q);
        if (got)
            note(got);
    }
    over = true;
    for (int i = 0; i < THIEVES; i++)
        pthread_join(t[i], NULL);
    for (unsigned i = 0; i < n; i++)
        CHECK_EQ(seen[i], 1);
    free((void *)(uintptr_t)seen);
}

/* RT-26: nothing is lost or doubled between the owner and several thieves. */
PLAIN_TEST(rt_26_thieves_take_each_once)
{
    steal_from_owner(false);
}

PLAIN_TEST(rt_26_thieves_take_each_fresh_once)
{
    steal_from_owner(true);
}

static _Atomic int step;

static void *look(void *arg)
{
    (void)arg;
    for (;;) {
        int s = step;

        if (s < 0)
            return NULL;
        if (s % 2 == 0) {
            uint32_t n = runq_len(&q);

            CHECK(n > 0 ||
                  step != s); /* it held one all the while, though never the same for long */
        }
    }
}

/* RT-26: who looks whether a queue is empty does not find it so while it never was. */
PLAIN_TEST(rt_26_never_seems_empty)
{
    unsigned n = (unsigned)test_times(1000000);
    pthread_t t;

    step = 1;
    CHECK(runq_push(&q, nth_task(0)));
    step = 2;
    CHECK_EQ(pthread_create(&t, NULL, look, NULL), 0);
    for (unsigned i = 1; i < n; i++) {
        CHECK(runq_push(&q, nth_task(i)));
        CHECK_EQ(task_no(runq_take(&q)), i - 1);
    }
    step = -1;
    pthread_join(t, NULL);
    CHECK_EQ(task_no(runq_take(&q)), n - 1);
}
