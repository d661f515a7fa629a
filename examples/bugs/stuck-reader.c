/* SPDX-License-Identifier: MIT */
/*
 * stuck-reader.c - one of several readers waits for a mutex, whose owner waits to write.
 *
 * A writer waits for all readers, and new readers wait for the writer. So one reader that cannot go on is enough to stop all
 * who use the table, readers and writers, while the rest of the program goes on.
 *
 * RUNNEL_LOCKS=1 reports it when it happens, and which of the readers it is.
 */
#include <runnel.h>

static rn_rwmutex table;
static rn_mutex statistics;
static rn_wg all_in;

static void all_are_in(void)
{
    rn_wg_done(&all_in);
    rn_wg_wait(&all_in);
}

static void look_up(bool count)
{
    rn_rwmutex_rlock(&table);
    all_are_in();
    if (count) {
        rn_mutex_lock(&statistics); /* BLAMED */
        rn_mutex_unlock(&statistics);
    } else {
        rn_sleep(RN_MINUTE); /* a long look */
    }
    rn_rwmutex_runlock(&table);
}

static void rebuild(void)
{
    rn_mutex_lock(&statistics);
    all_are_in();
    rn_rwmutex_lock(&table); /* BLAMED */
    rn_rwmutex_unlock(&table);
    rn_mutex_unlock(&statistics);
}

static int program(void)
{
    rn_wg_add(&all_in, 4);
    rn_go(look_up, false);
    rn_go(look_up, true);
    rn_go(look_up, false);
    rn_go(rebuild);
    rn_sleep(RN_MINUTE); /* the server goes on */
    return 0;
}

int main(void)
{
    return rn_run(program);
}
