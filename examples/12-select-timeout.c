/* SPDX-License-Identifier: MIT */
/*
 * Select. rn_select waits for whichever of several channel operations can proceed first, performs
 * that one, and leaves the others alone; among several that can, it picks at random. With
 * rn_select_named each case has a name that lives in the switch alone, and the compiler warns of a
 * case that was forgotten. break, continue and return mean what they always do.
 */
#include <errno.h>
#include <runnel.h>
#include <stdio.h>

static void reply(rn_send_only(const char *) out, const char *text)
{
    rn_send(out, text);
}

static void fail(rn_send_only(int) out, int error)
{
    rn_send(out, error);
}

/* A NULL channel is never ready; so a case can be switched off by its operand. */
static int wait_for(rn_recv_only(const char *) replies, rn_recv_only(int) errors, rn_dur patience)
{
    const char *text;
    int error;

    switch (rn_select_named(REPLY, rn_on_recv(replies, &text), FAILED, rn_on_recv(errors, &error),
                            TIMEOUT, rn_on_timeout(patience))) {
    case REPLY:
        printf("reply: %s\n", text);
        return 0;
    case FAILED:
        return error;
    case TIMEOUT:
        break;
    }
    return -ETIMEDOUT;
}

static int program(void)
{
    rn_chan(const char *) replies = rn_chan_make(const char *, 0);
    rn_chan(int) errors = rn_chan_make(int, 0);
    int err;

    rn_go(reply, replies, "all is well");
    err = wait_for(replies, errors, 30 * RN_SECOND);
    printf("result %d\n", err);

    rn_go(fail, errors, -EIO);
    err = wait_for(replies, errors, 30 * RN_SECOND);
    printf("failed: %s\n", err == -EIO ? "EIO" : "?");

    err = wait_for(replies, NULL, 5 * RN_MILLISECOND); /* nobody sends */
    printf("gave up: %s\n", err == -ETIMEDOUT ? "timeout" : "?");

    rn_chan_release(errors);
    rn_chan_release(replies);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
