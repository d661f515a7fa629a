/* SPDX-License-Identifier: MIT */
/*
 * The common mistake: a leaked goroutine, and its two cures. A goroutine that sends on an
 * unbuffered channel nobody reads any more waits for ever, and holds its stack and all that it
 * refers to. Either give the answer a place (a buffer of one), or let the sender hear that nobody
 * is waiting (a context). rn_settle tells how many goroutines are left: a leak check for tests.
 */
#include <errno.h>
#include <runnel.h>
#include <stdio.h>

static void answer(rn_send_only(int) ch)
{
    rn_send(ch, 42);
}

/* The caller gives up before the answer is there, and forgets about the channel. */
static rn_chan(int) leaky(void)
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    rn_go(answer, ch);
    return ch; /* without a receive; handed out only so that program can clean up */
}

/* Cure 1: room for the answer, so that the sender never waits. The sender needs the channel after
 * the caller has left, so it has a reference of its own. */
static void answer_and_release(rn_chan(int) ch)
{
    rn_send(ch, 42);
    rn_chan_release(ch);
}

static void cured_by_buffer(void)
{
    rn_chan(int) ch = rn_chan_make(int, 1);

    rn_go(answer_and_release, rn_chan_retain(ch));
    rn_chan_release(ch);
}

/* Cure 2: the sender gives up, too, and the caller waits for that. */
static void answer_or_give_up(rn_ctx *ctx, rn_send_only(int) ch, int *result)
{
    *result = rn_send_ctx(ctx, ch, 42);
}

static void cured_by_context(int *result)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_chan(int) ch = rn_chan_make(int, 0);
    rn_wg wg = {0};

    rn_wg_go(&wg, answer_or_give_up, ctx, ch, result);
    rn_ctx_cancel(ctx);
    rn_wg_wait(&wg);
    rn_chan_release(ch);
    rn_ctx_end(ctx);
}

static int program(void)
{
    int result;

    rn_chan(int) ch = leaky();
    printf("leaky: %zu goroutine left\n", rn_settle(10 * RN_MILLISECOND));
    (void)rn_recv(ch); /* frees it after all */
    rn_chan_release(ch);

    cured_by_buffer();
    printf("with a buffer: %zu left\n", rn_settle(30 * RN_SECOND)); /* returns once all is quiet */

    cured_by_context(&result);
    printf("with a context: %zu left, the sender %s\n", rn_settle(30 * RN_SECOND),
           result == -ECANCELED ? "gave up" : "?");
    return 0;
}

int main(void)
{
    return rn_run(program);
}
