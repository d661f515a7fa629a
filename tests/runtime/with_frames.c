/* SPDX-License-Identifier: MIT */
/* with_frames.c - a recursion without end whose functions keep frame pointers, whatever the build: for report.c. */
#include <stdbool.h>

static volatile bool go_on = true;

int with_frames(volatile char *from);
int with_frames(volatile char *from)
{
    volatile char frame[100];

    frame[0] = from[0];
    if (go_on)
        return with_frames(frame) + frame[0];
    return 0;
}
