/* SPDX-License-Identifier: MIT */
/*
 * Testing concurrent code. Three habits make such tests dependable. Wait for what must happen
 * instead of sleeping and hoping. Bound the wait generously, so that a broken test fails and does
 * not hang. And after each test ask rn_settle how many goroutines are left: one that was started
 * and forgotten is found on the spot. Then run the tests under -fsanitize=thread, too.
 */
#include <runnel.h>
#include <stdio.h>

/* ---- What is tested: a sum that is computed meanwhile, to be received when it is wanted ---- */

static void add(const int *numbers, int n, rn_chan(int) result)
{
    int sum = 0;

    for (int i = 0; i < n; i++)
        sum += numbers[i];
    rn_send(result, sum);
    rn_chan_release(result);
}

static rn_chan(int) sum_later(const int *numbers, int n, int room)
{
    rn_chan(int) result = rn_chan_make(int, room);

    rn_go(add, numbers, n, rn_chan_retain(result));
    return result;
}

/* ---- The tests ---- */

static const int numbers[] = {1, 2, 3};
static rn_chan(int) unread;

static bool test_sum(void)
{
    rn_ctx *limit = rn_ctx_with_timeout(rn_ctx_background(), 30 * RN_SECOND);
    rn_defer(rn_ctx_end, limit);
    rn_chan(int) result = sum_later(&numbers[0], 3, 1);
    int sum = 0, err = rn_recv_ctx(limit, result, &sum); /* fails in time, should nothing come */

    rn_chan_release(result);
    return err == 0 && sum == 6;
}

static bool test_nobody_reads(void)
{
    rn_chan_release(sum_later(&numbers[0], 3, 1));
    return true;
}

static bool test_nobody_reads_unbuffered(void) /* shows what the leak check is for */
{
    unread = sum_later(&numbers[0], 3, 0);
    return true;
}

static void run(const char *name, bool (*test)(void), rn_dur patience)
{
    bool ok = test();
    size_t left = rn_settle(patience); /* returns at once when nobody is left */

    printf("%s: %s, %zu left behind\n", name, ok && left == 0 ? "ok" : "FAILED", left);
}

static int program(void)
{
    run("sum", test_sum, 30 * RN_SECOND);
    run("nobody reads", test_nobody_reads, 30 * RN_SECOND);
    run("nobody reads, unbuffered", test_nobody_reads_unbuffered, 10 * RN_MILLISECOND);
    (void)rn_recv(unread); /* set it free, since it is only a demonstration */
    rn_chan_release(unread);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
