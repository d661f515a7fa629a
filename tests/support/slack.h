/* SPDX-License-Identifier: MIT */
/* slack.h - the timer slack of a thread that waits for timers: 10 us, if it was more. */
#ifndef TEST_SLACK_H
#define TEST_SLACK_H

#include <runnel.h>
#include <sys/prctl.h>

/* More than the runtime's, and another than the kernel's. */
enum { USUAL_SLACK = 70000, WORKERS_SLACK = 10000 };

static inline long slack(void)
{
    return prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
}
static inline int slack_set(long ns)
{
    return prctl(PR_SET_TIMERSLACK, ns, 0, 0, 0);
}

/* Sleep until this is a thread that has waited; a sleep may be over before anybody has to. Its slack then. */
static inline int sleeps_exactly(void)
{
    for (int i = 0; i < 3 || (i < 1000 && slack() > WORKERS_SLACK); i++)
        rn_sleep(RN_MILLISECOND);
    return (int)slack();
}

#endif
