/* SPDX-License-Identifier: MIT */
/*
 * stuck-reader-fixed.c - the cure of stuck-reader.c.
 *
 * Nothing is waited for with the table locked: who counts does it afterwards.
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
    rn_rwmutex_runlock(&table);
    if (count) {
        rn_mutex_lock(&statistics);
        rn_mutex_unlock(&statistics);
    }
}

static void rebuild(void)
{
    rn_mutex_lock(&statistics);
    all_are_in();
    rn_rwmutex_lock(&table);
    rn_rwmutex_unlock(&table);
    rn_mutex_unlock(&statistics);
}

static int program(void)
{
    rn_wg wg = {0};

    rn_wg_add(&all_in, 4);
    rn_wg_go(&wg, look_up, false);
    rn_wg_go(&wg, look_up, true);
    rn_wg_go(&wg, look_up, false);
    rn_wg_go(&wg, rebuild);
    rn_wg_wait(&wg);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
