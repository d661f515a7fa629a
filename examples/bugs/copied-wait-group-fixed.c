/* SPDX-License-Identifier: MIT */
/*
 * copied-wait-group-fixed.c - the cure of copied-wait-group.c.
 *
 * Everybody has a pointer to the one.
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
    struct batch b = {.jobs = 1};

    rn_wg_add(&b.wg, 1);
    rn_go(job, &b);
    rn_wg_wait(&b.wg);
    return b.jobs;
}

int main(void)
{
    return rn_run(program);
}
