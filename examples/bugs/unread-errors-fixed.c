/* SPDX-License-Identifier: MIT */
/*
 * unread-errors-fixed.c - the cure of unread-errors.c.
 *
 * An error group, which keeps the first error and waits for all; or room for all of them.
 */
#include <runnel.h>

static int work(void)
{
    return -1;
}

static int program(void)
{
    rn_group g = {0};

    for (int i = 0; i < 4; i++)
        rn_group_go(&g, work);
    return rn_group_wait(&g) < 0 ? 0 : 1;
}

int main(void)
{
    return rn_run(program);
}
