/* SPDX-License-Identifier: MIT */
/*
 * owner.c - who may free a channel, and when: at the first moment that its meaning allows. What goes
 * wrong here is seen by AddressSanitizer or as a corrupted heap; so memory is used again at once.
 */
#define _GNU_SOURCE
#include "support.h"

#include <malloc.h>
#include <stdlib.h>

static void close_it(rn_send_only(int) out)
{
    rn_close(out);
}

/* D6: the receiver that saw the channel closed releases it at once, while the close may still be
 * returning on another thread. */
GO_TEST(own_release_after_close)
{
    for (int i = 0; i < test_times(1000000); i++) {
        rn_chan(int) ch = rn_chan_make(int, 0);

        rn_go(close_it, ch);
        CHECK(!rn_recv_ok(ch, NULL));
        rn_chan_release(ch);
    }
}

static void send_it(rn_send_only(int) out, int value)
{
    rn_send(out, value);
}

/* D6: so does the receiver of the last value, whoever waited for whom. */
GO_TEST(own_release_after_last_receive)
{
    for (int i = 0; i < test_times(300000); i++) {
        rn_chan(int) ch = rn_chan_make(int, i % 2);

        rn_go(send_it, ch, i);
        if (i % 4 >= 2)
            rn_yield();
        CHECK_EQ(rn_recv(ch), i);
        rn_chan_release(ch);
    }
}

static void recv_it(rn_recv_only(int) in, _Atomic int *got)
{
    *got = rn_recv(in);
}

/* D6: and the sender, once its value was taken: a rendezvous ends the receiver's interest too. */
GO_TEST(own_release_after_last_send)
{
    for (int i = 1; i < test_times(300000); i++) {
        rn_chan(int) ch = rn_chan_make(int, 0);
        static _Atomic int got;

        rn_go(recv_it, ch, &got);
        if (i % 2)
            rn_yield();
        rn_send(ch, i);
        rn_chan_release(ch);
        AWAIT(got == i);
    }
}

static void select_send(rn_send_only(int) out, rn_recv_only(int) never, int value)
{
    CHECK_EQ(rn_select(rn_on_recv(never, NULL), rn_on_send(out, value)), 1);
}

/* D7: a select touches the channel that won no more once the other side's call has returned. */
GO_TEST(own_release_after_select)
{
    rn_chan(int) never = rn_chan_make(int, 0);

    for (int i = 0; i < test_times(300000); i++) {
        rn_chan(int) ch = rn_chan_make(int, 0);
        int value = 0;

        rn_go(select_send, ch, never, i);
        if (i % 2)
            rn_yield();
        if (i % 4 >= 2)
            CHECK_EQ(rn_select(rn_on_recv(ch, &value), rn_on_recv(never, NULL)), 0);
        else
            value = rn_recv(ch);
        CHECK_EQ(value, i);
        rn_chan_release(ch);
    }
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(never);
}

static void select_many(rn_recv_only(int) in, rn_wg *wg)
{
    int value;

    (void)rn_select(rn_on_recv(in, &value), rn_on_recv(in, &value));
    rn_wg_done(wg);
}

/* D7: the same channel twice in one select: the winner leaves no entry behind on it. */
GO_TEST(own_release_after_double_select)
{
    for (int i = 0; i < test_times(200000); i++) {
        rn_chan(int) ch = rn_chan_make(int, 0);
        rn_wg wg = {0};

        rn_wg_add(&wg, 1);
        rn_go(select_many, ch, &wg);
        if (i % 2)
            rn_yield();
        rn_send(ch, i);
        if (i % 4 < 2)
            rn_wg_wait(&wg);
        rn_chan_release(ch);
        if (i % 4 >= 2)
            rn_wg_wait(&wg);
    }
}

/* D6, CHAN-22: what was still in the buffer goes with the channel. */
GO_TEST(own_release_with_buffered_values)
{
    for (int i = 0; i < test_times(10000); i++) {
        rn_chan(int) ch = rn_chan_make(int, 8);

        for (int k = 0; k < i % 9; k++)
            rn_send(ch, k);
        if (i % 2)
            rn_close(ch);
        rn_chan_release(ch);
    }
}

static void use_and_release(rn_recv_only(int) in, int expected)
{
    CHECK_EQ(rn_recv(in), expected);
    rn_chan_release(in);
}

/* D7: counted: whoever retained keeps the channel alive, from a handle of any direction. */
GO_TEST(own_retain_and_release)
{
    for (int i = 0; i < test_times(200000); i++) {
        rn_chan(int) ch = rn_chan_make(int, 1);
        rn_recv_only(int) in = ch;

        rn_go(use_and_release, rn_chan_retain(in), i);
        rn_send(ch, i);
        rn_chan_release(ch);
    }
}

static void hold(rn_chan(int) ch, int n)
{
    for (int i = 0; i < n; i++) {
        rn_send_only(int) out = rn_chan_retain(ch);

        CHECK_EQ(rn_cap(out), 3);
        rn_chan_release(out);
    }
    rn_chan_release(ch);
}

/* D7: from many goroutines at once; the last one out frees. */
GO_TEST(own_many_holders)
{
    for (int round = 0; round < test_times(2000); round++) {
        rn_chan(int) ch = rn_chan_make(int, 3);

        for (int i = 0; i < 4; i++)
            rn_go(hold, rn_chan_retain(ch), 20);
        rn_chan_release(ch);
    }
}

static size_t allocated(void)
{
    struct mallinfo2 now = mallinfo2();

    return now.uordblks + now.hblkhd;
}

/* Is that so of the malloc that this program has? Not of AddressSanitizer's. */
static bool is_counted(void)
{
    size_t before = allocated();
    void *volatile p = malloc(100000);
    bool more = allocated() >= before + 100000;

    free(p);
    return more;
}

/* CHAN-48: channels that are made and released leave no memory behind, whether they were alive one after the other
 * or together. */
GO_TEST(own_48_no_memory_left)
{
    int n = test_times(10000);
    rn_chan(int) *all = malloc((size_t)n * sizeof(*all));
    size_t bytes = (size_t)n * 4000; /* what their buffers take */
    size_t before;

    CHECK(all);
    for (int i = 0; i < 100; i++)
        rn_chan_release(rn_chan_make(int, 1000));
    rn_sleep(RN_MILLISECOND);
    before = allocated();
    for (int i = 0; i < n; i++)
        rn_chan_release(rn_chan_make(int, 1000));
    CHECK(test_is_slow() || allocated() < before + bytes / 5);
    for (int i = 0; i < n; i++)
        all[i] = rn_chan_make(int, 1000);
    CHECK(test_is_slow() || !is_counted() ||
          allocated() >= before + bytes); /* so that it would be seen */
    for (int i = 0; i < n; i++)
        rn_chan_release(all[i]);
    CHECK(test_is_slow() || allocated() < before + bytes / 5);
    free(all);
}

static void ping(rn_recv_only(int) in, rn_send_only(int) out, int n)
{
    for (int i = 0; i < n; i++)
        rn_send(out, rn_recv(in));
}

/* Rules that hold everywhere: send, receive and try never allocate. */
GO_TEST(own_operations_do_not_allocate)
{
    rn_chan(int) there = rn_chan_make(int, 0), back = rn_chan_make(int, 2);
    struct mallinfo2 before, after;
    int n = test_times(100000);

    rn_go(ping, there, back, 2 * n);
    for (int i = 0; i < n; i++) {
        rn_send(there, i);
        CHECK_EQ(rn_recv(back), i);
    }
    before = mallinfo2();
    for (int i = 0; i < n; i++) {
        rn_send(there, i);
        CHECK_EQ(rn_recv(back), i);
    }
    after = mallinfo2();
    CHECK(test_is_slow() || after.uordblks < before.uordblks + 4096);
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(there);
    rn_chan_release(back);
}
