/* SPDX-License-Identifier: MIT */
/*
 * race-on-table-fixed.c - the cure of race-on-table.c.
 *
 * One lock around the table, held for the look and the write together.
 */
#include <runnel.h>

struct table {
    rn_mutex mu;
    int used;
    int key[64];
};
static struct table table;

static void put(struct table *t, int key)
{
    rn_mutex_lock(&t->mu);
    rn_defer(rn_mutex_unlock, &t->mu);
    t->key[t->used] = key;
    t->used++;
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
    return table.used == 20 ? 0 : 1;
}

int main(void)
{
    return rn_run(program);
}
