/* SPDX-License-Identifier: MIT */
/*
 * copied-wait-group.c - a struct with a wait group in it is copied.
 *
 * The goroutines are done with the copy, and the wait is for the original. As an argument of rn_go a wait group, which is larger
 * than 16 bytes, does not compile; an assignment does. Go vet warns about this one.
 *
 * The deadlock report shows the wait.
 */
#include <runnel.h>

struct batch {
    rn_wg wg;
    int jobs;
};

static void job(struct batch *b)
{
    b->jobs--;
    rn_wg_done(&b->wg);
}

static int program(void)
{
    struct batch b = {.jobs = 1}, now;

    rn_wg_add(&b.wg, 1);
    now = b;
    rn_go(job, &now);
    rn_wg_wait(&b.wg); /* BLAMED */
    return now.jobs;
}

int main(void)
{
    return rn_run(program);
}
