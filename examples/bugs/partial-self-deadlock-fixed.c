/* SPDX-License-Identifier: MIT */
/*
 * partial-self-deadlock-fixed.c - the cure of partial-self-deadlock.c.
 *
 * The inner function expects the lock to be held, and says so by its name.
 */
#include <runnel.h>

static rn_mutex mu;
static int sessions;

static void log_sessions_locked(void)
{
    sessions++;
}

static void handle(rn_wg *wg)
{
    rn_mutex_lock(&mu);
    log_sessions_locked();
    rn_mutex_unlock(&mu);
    rn_wg_done(wg);
}

static int program(void)
{
    rn_wg wg = {0};

    rn_wg_add(&wg, 1);
    rn_go(handle, &wg);
    rn_wg_wait(&wg);
    rn_settle(RN_SECOND);
    return sessions - 1;
}

int main(void)
{
    return rn_run(program);
}
