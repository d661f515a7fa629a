/* SPDX-License-Identifier: MIT */
/*
 * A deadline for a whole loop. rn_on_timeout starts anew each time the select is entered: in a loop
 * over a lively channel it would never expire. rn_on_deadline names a point in time, so the same
 * case bounds all turns together.
 */
#include <runnel.h>
#include <stdio.h>

/* A device that reports every half a millisecond until it is told to stop. */
static void device(rn_recv_only(rn_unit) stop, rn_send_only(int) out)
{
    for (int value = 0;; value++) {
        switch (rn_select(rn_on_recv(stop, NULL), rn_on_timeout(RN_MILLISECOND / 2))) {
        case 0:
            return;
        default:
            break;
        }
        if (rn_select(rn_on_recv(stop, NULL), rn_on_send(out, value)) == 0)
            return;
    }
}

static int program(void)
{
    rn_chan(rn_unit) stop = rn_chan_make(rn_unit, 0);
    rn_chan(int) values = rn_chan_make(int, 0);
    rn_time deadline = rn_now() + 10 * RN_MILLISECOND;
    bool in_order = true, expired = false;
    int last = -1, value;
    rn_wg wg = {0};

    rn_wg_go(&wg, device, stop, values);
    while (!expired) {
        /* The timeout is for the pause between two values, the deadline for all of them. */
        switch (rn_select_named(VALUE, rn_on_recv(values, &value), SILENCE,
                                rn_on_timeout(30 * RN_SECOND), DEADLINE,
                                rn_on_deadline(deadline))) {
        case VALUE:
            in_order = in_order && value == last + 1;
            last = value;
            break;
        case SILENCE:
            puts("the device is silent");
            expired = true;
            break;
        case DEADLINE:
            puts("time is up");
            expired = true;
            break;
        }
    }
    printf("not before the deadline: %s\n", rn_now() >= deadline ? "yes" : "no");
    printf("nothing was missed until then: %s\n", in_order ? "yes" : "no");

    rn_close(stop);
    rn_wg_wait(&wg);
    rn_chan_release(values);
    rn_chan_release(stop);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
