/* SPDX-License-Identifier: MIT */
/*
 * Timers. rn_timer is a timer with its channel inside: it delivers one value when it expires, and
 * can be stopped or set anew. rn_after_func runs a function later, in a goroutine of its own, and
 * gives a handle by which it may be called off; rn_go_after is for those that never will be.
 */
#include <runnel.h>
#include <stdio.h>

static void ring(rn_send_only(const char *) out, const char *what)
{
    rn_send(out, what);
}

static int program(void)
{
    rn_timer timer = {0}; /* zero is ready to use: a stopped timer */
    rn_time start = rn_now();

    rn_timer_reset(&timer, 2 * RN_MILLISECOND);
    rn_time due = rn_recv(rn_timer_chan(&timer));
    printf("not early: %s\n", due >= start + 2 * RN_MILLISECOND ? "yes" : "no");

    /* A timer that did not fire can be stopped: true. Moved, it forgets its former setting. */
    rn_timer_reset(&timer, RN_HOUR);
    printf("it was pending: %d\n", rn_timer_reset(&timer, RN_MILLISECOND));
    (void)rn_recv(rn_timer_chan(&timer));
    printf("still pending: %d\n", rn_timer_stop(&timer));
    rn_timer_free(&timer); /* before it leaves scope */

    rn_chan(const char *) alarms = rn_chan_make(const char *, 3);
    rn_timer *late = rn_after_func(RN_HOUR, ring, alarms, "much later");
    rn_timer *soon = rn_after_func(2 * RN_MILLISECOND, ring, alarms, "two milliseconds");
    puts(rn_recv(alarms));
    rn_go_after(RN_MILLISECOND, ring, alarms, "one more");
    puts(rn_recv(alarms));
    printf("called off: %d\n", rn_timer_stop(late));
    printf("called off: %d\n", rn_timer_stop(soon)); /* too late: it ran */
    rn_timer_free(late);                             /* a handle is freed, fired or not */
    rn_timer_free(soon);
    rn_chan_release(alarms);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
