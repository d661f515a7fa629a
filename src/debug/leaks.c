/* SPDX-License-Identifier: MIT */
/*
 * leaks.c - goroutines left at the end, when RUNNEL_LEAKS asks.
 *
 * The others get a while to end: a wait group's last goroutine, say, has still to return when the first goes
 * on. Only then is anybody accused.
 */
#include <stdlib.h>
#include <unistd.h>

#include "debug/debug.h"

static const rn_dur patience = 100 * RN_MILLISECOND;

static bool asked(const char *ask)
{
    return ask && *ask && strcmp(ask, "0") != 0;
}

void rn__leaks_begin(void)
{
    rn__lost_begin(asked(getenv("RUNNEL_LEAKS")));
}

/* Contexts that are made before the runtime starts count too. */
__attribute__((constructor)) static void begin(void)
{
    rn__leaks_begin();
}

void rn__leaks_end(struct rt *rt, const char *when, bool may_wait)
{
    const char *ask = getenv("RUNNEL_LEAKS");
    size_t left, lost = 0;
    uintptr_t from;

    if (!asked(ask))
        return;
    if (may_wait && rn_settle(patience) == 0 && rn__lost_count() == 0)
        return;
    /* At the end of rn_run its function has returned. */
    from = may_wait && rn__self()->kind == G_GOROUTINE ? 0 : (uintptr_t)__builtin_frame_address(0);
    left = rn__leaks(rt, STDERR_FILENO, when, from, &lost);
    if (left + lost > 0 && strcmp(ask, "fatal") == 0) {
        rn__ending();
        rn__report_end(rt);
    }
}
