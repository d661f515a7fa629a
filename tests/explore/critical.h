/* SPDX-License-Identifier: MIT */
/* critical.h - what a lock guards, for tests that run in the explorer: it sees a race if two are inside. */
#ifndef RN_TESTS_CRITICAL_H
#define RN_TESTS_CRITICAL_H

#include "explorer.h"

static uint64_t data;
static unsigned count; /* of those who have been inside */

static inline void critical(void)
{
    explore_read(&data,
                 8); /* a race if another is inside, or was and has not handed its writes over */
    data++;
    explore_write(&data, 8);
    count++;
}

static inline void reset(void)
{
    data = 0;
    count = 0;
}

#endif
