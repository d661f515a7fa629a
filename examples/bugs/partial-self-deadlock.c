/* SPDX-License-Identifier: MIT */
/*
 * partial-self-deadlock.c - a handler locks a mutex that its caller holds, while others go on.
 *
 * As in self-deadlock.c: the second lock waits for the first one's holder, which is itself. Here other goroutines go
 * on, until they want the mutex, so nothing says that all are asleep.
 *
 * RUNNEL_LOCKS=1 reports it when it happens; rn_dump shows it too.
 */
#include <runnel.h>

static rn_mutex mu;
static int sessions;

static void log_sessions(void)
{
    rn_mutex_lock(&mu); /* BLAMED */
    sessions++;
    rn_mutex_unlock(&mu);
}

static void handle(void)
{
    rn_mutex_lock(&mu);
    log_sessions();
    rn_mutex_unlock(&mu);
}

static int program(void)
{
    rn_go(handle);
    rn_sleep(RN_MINUTE); /* the server goes on */
    return 0;
}

int main(void)
{
    return rn_run(program);
}
