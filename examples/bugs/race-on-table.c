/* SPDX-License-Identifier: MIT */
/*
 * race-on-table.c - a table is filled by several goroutines without a lock.
 *
 * Go ends such a program with "concurrent map writes" if it notices; in C the table is silently
 * broken.
 *
 * ThreadSanitizer reports the two writes.
 */
#include <runnel.h>

struct table {
    int used;
    int key[64];
};
static struct table table;

static void put(struct table *t, int key)
{
    t->key[t->used] = key;
    t->used++; /* BLAMED */
}

static void fill(rn_wg *wg, int from)
{
    for (int i = 0; i < 10; i++)
        put(&table, from + i);
    rn_wg_done(wg);
}

static int program(void)
{
    rn_wg wg = {0};

    rn_wg_add(&wg, 2);
    rn_go(fill, &wg, 0);
    rn_go(fill, &wg, 100);
    rn_wg_wait(&wg);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
