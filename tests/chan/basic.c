/* SPDX-License-Identifier: MIT */
/*
 * basic.c - one channel, at most a few goroutines: length, capacity, elements, order, closing.
 */
#include "support.h"

#include <stdlib.h>

/* CHAN-01: the length follows the sends, the capacity never changes. */
GO_TEST(chan_01_length_and_capacity)
{
    for (int cap = 0; cap <= 10; cap++) {
        rn_chan(int) ch = rn_chan_make(int, cap);

        CHECK_EQ(rn_len(ch), 0);
        CHECK_EQ(rn_cap(ch), cap);
        for (int i = 0; i < cap; i++) {
            rn_send(ch, i);
            CHECK_EQ(rn_len(ch), i + 1);
            CHECK_EQ(rn_cap(ch), cap);
        }
        for (int i = 0; i < cap; i++) {
            CHECK_EQ(rn_recv(ch), i);
            CHECK_EQ(rn_len(ch), cap - i - 1);
        }
        rn_chan_release(ch);
    }
}

static void send_one(rn_send_only(int) out, int value)
{
    rn_send(out, value);
}

/* CHAN-02: blocked senders are never counted, with and without a buffer. */
GO_TEST(chan_02_blocked_senders_do_not_count)
{
    for (int cap = 0; cap <= 2; cap++) {
        rn_chan(int) ch = rn_chan_make(int, cap);
        uint64_t before;
        int sum = 0;

        for (int i = 0; i < cap; i++)
            rn_send(ch, 0);
        before = test_waits();
        for (int i = 1; i <= 4; i++)
            rn_go(send_one, ch, i);
        AWAIT(test_waits() == before + 4);
        CHECK_EQ(rn_len(ch), cap);
        CHECK_EQ(rn_cap(ch), cap);
        for (int i = 0; i < cap + 4; i++)
            sum += rn_recv(ch);
        CHECK_EQ(sum, 10);
        CHECK_EQ(rn_len(ch), 0);
        test_expect_settled(__FILE__, __LINE__);
        rn_chan_release(ch);
    }
}

/* CHAN-03: a nil channel has length and capacity 0, in every direction. D6: releasing it is fine. */
PLAIN_TEST(chan_03_nil_length_and_capacity)
{
    rn_chan(int) ch = NULL;
    rn_recv_only(int) in = NULL;
    rn_send_only(int) out = NULL;

    CHECK_EQ(rn_len(ch) + rn_len(in) + rn_len(out), 0);
    CHECK_EQ(rn_cap(ch) + rn_cap(in) + rn_cap(out), 0);
    CHECK(rn_chan_retain(ch) == NULL);
    rn_chan_release(ch);
}

struct huge {
    unsigned char byte[65535];
};

/* CHAN-04: a negative capacity panics. */
DEATH_TEST(chan_04_negative_capacity, "panic: makechan: size out of range")
{
    volatile int64_t cap = -1;

    rn_chan_release(rn_chan_make(int, cap));
}

/* CHAN-04, CHAN-05: the form that has a result says it by that, and leaves the channel alone. */
GO_TEST(chan_04_05_capacity_out_of_range_as_a_result)
{
    static const int64_t bad[] = {-1, INT64_MIN, INT64_C(1) << 59, INT64_MAX};
    rn_chan(int) ch = NULL;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_EQ(rn_chan_make_err(&ch, bad[i]), -EINVAL);
        CHECK(ch == NULL);
    }
}

/* CHAN-05: capacities whose memory overflows or exceeds the address space panic. */
DEATH_TEST(chan_05_capacity_overflows, "panic: makechan: size out of range")
{
    volatile int64_t cap = INT64_C(1) << 59;

    rn_chan_release(rn_chan_make(int, cap));
}

DEATH_TEST(chan_05_capacity_is_the_largest_number, "panic: makechan: size out of range")
{
    volatile int64_t cap = INT64_MAX;

    rn_chan_release(rn_chan_make(int, cap));
}

DEATH_TEST(chan_05_large_elements_overflow, "panic: makechan: size out of range")
{
    volatile int64_t cap = INT64_C(1) << 46;

    rn_chan_release(rn_chan_make(struct huge, cap));
}

/* Rules that hold everywhere: where there is a result to carry it, lack of memory is -ENOMEM, and
 * the destination is untouched. */
GO_TEST(chan_make_err_reports_lack_of_memory)
{
    rn_chan(struct huge) ch = NULL;

    CHECK_EQ(rn_chan_make_err(&ch, INT64_C(1) << 31), -ENOMEM);
    CHECK(ch == NULL);
    CHECK_EQ(rn_chan_make_err(&ch, 1), 0);
    CHECK(ch != NULL);
    CHECK_EQ(rn_cap(ch), 1);
    rn_chan_release(ch);
}

/* CHAN-06: without bytes only the sign of the capacity counts. */
GO_TEST(chan_06_zero_size_needs_no_memory)
{
    void *ch = rn_chan_make_fn(0, INT64_MAX);

    CHECK_EQ(rn__cap(ch), INT64_MAX);
    for (int i = 0; i < 1000; i++)
        rn_send_fn(ch, "");
    CHECK_EQ(rn__len(ch), 1000);
    rn__chan_release(ch);
}

DEATH_TEST(chan_06_zero_size_negative, "panic: makechan: size out of range")
{
    volatile int64_t cap = -1;

    rn__chan_release(rn_chan_make_fn(0, cap));
}

__extension__ struct nothing {};
static struct nothing nothing;

static void send_nothing(rn_send_only(struct nothing) out, int n)
{
    for (int i = 0; i < n; i++)
        rn_send(out, nothing);
    rn_close(out);
}

/* CHAN-07: elements without bytes still count, buffered and not. D38: so does rn_unit. */
GO_TEST(chan_07_zero_size_elements_count)
{
    rn_chan(struct nothing) many = rn_chan_make(struct nothing, 5);
    rn_chan(struct nothing) none = rn_chan_make(struct nothing, 0);
    rn_chan(rn_unit) units = rn_chan_make(rn_unit, 2);
    struct nothing value;
    int got = 0;

    for (int i = 0; i < 5; i++) {
        rn_send(many, nothing);
        CHECK_EQ(rn_len(many), i + 1);
    }
    CHECK(!rn_try_send(many, nothing));
    for (int i = 0; i < 5; i++) {
        CHECK(rn_try_recv(many, &value));
        CHECK_EQ(rn_len(many), 4 - i);
    }
    CHECK(!rn_try_recv(many, &value));

    rn_go(send_nothing, none, 7);
    while (rn_recv_ok(none, NULL))
        got++;
    CHECK_EQ(got, 7);

    rn_send(units, RN_UNIT);
    CHECK(rn_try_send(units, RN_UNIT));
    CHECK(!rn_try_send(units, RN_UNIT));
    (void)rn_recv(units);
    CHECK_EQ(rn_len(units), 1);
    rn_chan_release(many);
    rn_chan_release(none);
    rn_chan_release(units);
}

static struct huge huge_out, huge_in;

static void send_huge(void *ch)
{
    rn_send_fn(ch, &huge_out);
}

/* CHAN-08: the largest element, 65535 bytes, travels whole through every kind of channel. */
GO_TEST(chan_08_largest_element)
{
    for (int cap = 0; cap < 3; cap++) {
        void *ch = rn_chan_make_fn(sizeof(struct huge), cap);

        for (size_t i = 0; i < sizeof(huge_out.byte); i++)
            huge_out.byte[i] = (unsigned char)(i * 7 + (size_t)cap);
        memset(&huge_in, 0xee, sizeof(huge_in));
        rn_go(send_huge, ch);
        if (cap == 1)
            test_let_run();
        CHECK(rn_recv_fn(ch, &huge_in));
        CHECK(memcmp(&huge_in, &huge_out, sizeof(huge_in)) == 0);
        test_expect_settled(__FILE__, __LINE__);
        rn__chan_release(ch);
    }
}

/* CHAN-08: one byte more is refused at run time where the compiler could not. */
DEATH_TEST(chan_08_element_of_64_kib, "panic: makechan: size out of range")
{
    volatile size_t size = 65536;

    rn__chan_release(rn_chan_make_fn(size, 1));
}

static void send_bytes(void *ch, const unsigned char *from, size_t size, int n)
{
    for (int i = 0; i < n; i++)
        rn_send_fn(ch, from + (size_t)i * size);
}

static const size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 33, 64, 100, 1000};

/* CHAN-09: whole elements of any size, and not a byte more, with every order of arrival, by sends that wait, and
 * receives that do and do not. */
GO_TEST(chan_09_whole_elements)
{
    enum { N = 4 };

    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        size_t size = sizes[s];
        unsigned char *from = malloc(size * N), *to = malloc(size + 2);

        CHECK(from && to);
        for (size_t i = 0; i < size * N; i++)
            from[i] = (unsigned char)(rand() % 255);
        for (int round = 0; round < 6; round++) {
            void *ch = rn_chan_make_fn(size, round % 3);
            bool ok;

            rn_go(send_bytes, ch, from, size, N);
            if (round >= 3)
                test_let_run();
            for (int i = 0; i < N; i++) {
                memset(to, 0xff, size + 2);
                if (i % 2 == 0)
                    CHECK(rn_recv_fn(ch, to + 1));
                else
                    AWAIT(rn__try_recv(ch, to + 1, &ok));
                CHECK(memcmp(to + 1, from + (size_t)i * size, size) == 0);
                CHECK(to[0] == 0xff && to[size + 1] == 0xff);
            }
            test_expect_settled(__FILE__, __LINE__);
            rn__chan_release(ch);
        }
        free(from);
        free(to);
    }
}

static void recv_bytes(void *ch, const unsigned char *from, size_t size, int n)
{
    unsigned char *to = malloc(size + 2);

    CHECK(to);
    for (int i = 0; i < n; i++) {
        memset(to, 0xff, size + 2);
        CHECK(rn_recv_fn(ch, to + 1));
        CHECK(memcmp(to + 1, from + (size_t)i * size, size) == 0);
        CHECK(to[0] == 0xff && to[size + 1] == 0xff);
    }
    free(to);
}

/* CHAN-09: the same by tries to send, to a receiver that waits and into the buffer. */
GO_TEST(chan_09_whole_elements_by_tries)
{
    enum { N = 4 };

    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        size_t size = sizes[s];
        unsigned char *from = malloc(size * N), *to = malloc(size + 2);

        CHECK(from && to);
        for (size_t i = 0; i < size * N; i++)
            from[i] = (unsigned char)(rand() % 255);
        for (int cap = 0; cap < 3; cap++) {
            void *ch = rn_chan_make_fn(size, cap);
            bool ok = false;
            rn_wg wg = {0};

            for (int i = 0; i < cap; i++)
                CHECK(rn__try_send(ch, from + (size_t)i * size));
            CHECK(!rn__try_send(ch, from));
            for (int i = 0; i < cap; i++) {
                memset(to, 0xff, size + 2);
                CHECK(rn__try_recv(ch, to + 1, &ok) && ok);
                CHECK(memcmp(to + 1, from + (size_t)i * size, size) == 0);
                CHECK(to[0] == 0xff && to[size + 1] == 0xff);
            }
            rn_wg_go(&wg, recv_bytes, ch, from, size, N);
            for (int i = 0; i < N; i++)
                AWAIT(rn__try_send(ch, from + (size_t)i * size));
            rn_wg_wait(&wg);
            test_expect_settled(__FILE__, __LINE__);
            rn__chan_release(ch);
        }
        free(from);
        free(to);
    }
}

static _Atomic int passed;

static void recv_and_count(rn_recv_only(int) in)
{
    (void)rn_recv(in);
    passed++;
}

static void recv_ok_and_count(rn_recv_only(int) in)
{
    int value;

    CHECK(rn_recv_ok(in, &value));
    passed++;
}

/* CHAN-10: a receive from an empty open channel waits, whatever the capacity. */
GO_TEST(chan_10_receive_blocks_when_empty)
{
    int last = test_is_slow() ? 20 : 200;

    for (int cap = 0; cap < last; cap++) {
        rn_chan(int) ch = rn_chan_make(int, cap);
        uint64_t before = test_waits();

        passed = 0;
        rn_go(recv_and_count, ch);
        rn_go(recv_ok_and_count, ch);
        AWAIT(test_waits() == before + 2);
        CHECK_EQ(passed, 0);
        rn_send(ch, 0);
        rn_send(ch, 0);
        AWAIT(passed == 2);
        test_expect_settled(__FILE__, __LINE__);
        rn_chan_release(ch);
    }
}

static void send_and_count(rn_send_only(int) out, int value)
{
    rn_send(out, value);
    passed++;
}

/* CHAN-11: a send on a full channel waits until a receive makes room. */
GO_TEST(chan_11_send_blocks_when_full)
{
    int last = test_is_slow() ? 20 : 200;

    for (int cap = 0; cap < last; cap++) {
        rn_chan(int) ch = rn_chan_make(int, cap);
        uint64_t before = test_waits();

        passed = 0;
        for (int i = 0; i < cap; i++)
            rn_send(ch, i);
        CHECK_EQ(test_waits(), before); /* there was room */
        rn_go(send_and_count, ch, cap);
        AWAIT(test_waits() == before + 1);
        CHECK_EQ(passed, 0);
        CHECK_EQ(rn_recv(ch), 0);
        AWAIT(passed == 1);
        for (int i = 1; i <= cap; i++)
            CHECK_EQ(rn_recv(ch), i);
        test_expect_settled(__FILE__, __LINE__);
        rn_chan_release(ch);
    }
}

/* CHAN-12, D30: a try on an empty channel fails at once and leaves the destinations alone. */
GO_TEST(chan_12_try_receive_on_empty)
{
    for (int cap = 0; cap < 3; cap++) {
        rn_chan(int) ch = rn_chan_make(int, cap);
        int value = 4711;
        bool ok = true;

        CHECK(!rn_try_recv(ch, &value));
        CHECK(!rn_try_recv_ok(ch, &value, &ok));
        CHECK_EQ(value, 4711);
        CHECK(ok);
        ok = false;
        CHECK(!rn_try_recv_ok(ch, &value, &ok));
        CHECK(!ok);
        rn_chan_release(ch);
    }
}

/* CHAN-13, D30: a try on a full channel fails at once and changes nothing. */
GO_TEST(chan_13_try_send_on_full)
{
    for (int cap = 0; cap < 4; cap++) {
        rn_chan(int) ch = rn_chan_make(int, cap);

        for (int i = 0; i < cap; i++)
            CHECK(rn_try_send(ch, i));
        CHECK(!rn_try_send(ch, 99));
        CHECK_EQ(rn_len(ch), cap);
        for (int i = 0; i < cap; i++)
            CHECK_EQ(rn_recv(ch), i);
        CHECK(!rn_try_recv(ch, NULL));
        rn_chan_release(ch);
    }
}

static void recv_into(rn_recv_only(int) in, _Atomic int *to)
{
    *to = rn_recv(in);
}

/* CHAN-14: on an unbuffered channel a try succeeds only when the other side is parked. */
GO_TEST(chan_14_try_on_unbuffered)
{
    rn_chan(int) ch = rn_chan_make(int, 0);
    _Atomic int got = 0;
    int value = 0;
    bool ok = false;

    CHECK(!rn_try_send(ch, 1));
    CHECK(!rn_try_recv(ch, &value));
    rn_go(recv_into, ch, &got);
    AWAIT(rn_try_send(ch, 42)); /* only a parked receiver lets it pass */
    AWAIT(got == 42);
    CHECK(!rn_try_send(ch, 43));

    rn_go(send_one, ch, 44);
    AWAIT(rn_try_recv_ok(ch, &value, &ok));
    CHECK_EQ(value, 44);
    CHECK(ok);
    CHECK(!rn_try_recv(ch, &value));
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(ch);
}

static void send_count(rn_send_only(int) out, int n)
{
    for (int i = 0; i < n; i++)
        rn_send(out, i);
    rn_close(out);
}

/* CHAN-15, CHAN-16, CHAN-17, F4: one sender's values arrive in its order, for every capacity, with
 * both forms of receive, while the buffer runs full and the sender waits again and again. */
GO_TEST(chan_15_16_order)
{
    int n = test_times(2000);

    for (int cap = 0; cap < 20; cap++) {
        rn_chan(int) ch = rn_chan_make(int, cap);
        int value;

        rn_go(send_count, ch, n);
        for (int i = 0; i < n; i++) {
            if (i % 2 == 0) {
                CHECK_EQ(rn_recv(ch), i);
            } else {
                CHECK(rn_recv_ok(ch, &value));
                CHECK_EQ(value, i);
            }
        }
        CHECK(!rn_recv_ok(ch, &value));
        rn_chan_release(ch);
    }
}

/* CHAN-17, F4: a receive from a full buffer with waiting senders takes the head, puts the longest
 * waiting sender's value at the tail and lets that sender alone go, in one step: the buffer is never seen less than full
 * by the receiver. */
GO_TEST(chan_17_full_buffer_and_a_waiting_sender)
{
    enum { N = 3 };

    for (int cap = 1; cap <= 4; cap++) {
        for (int round = 0; round < test_times(100); round++) {
            rn_chan(int) ch = rn_chan_make(int, cap);

            passed = 0;
            for (int i = 0; i < cap; i++)
                rn_send(ch, i);
            for (int i = 0; i < N; i++) { /* one behind the other */
                uint64_t before = test_waits();

                rn_go(send_and_count, ch, cap + i);
                AWAIT(test_waits() == before + 1);
            }
            for (int i = 0; i < N; i++) {
                CHECK_EQ(rn_recv(ch), i);
                CHECK_EQ(rn_len(ch), cap);
                AWAIT(passed == i + 1);
            }
            for (int i = N; i < N + cap; i++) {
                CHECK_EQ(rn_recv(ch), i);
                CHECK_EQ(rn_len(ch), N + cap - 1 - i);
            }
            CHECK_EQ(passed, N);
            test_expect_settled(__FILE__, __LINE__);
            rn_chan_release(ch);
        }
    }
}

static void select_send_one(rn_send_only(int) out, int value)
{
    CHECK_EQ(rn_select(rn_on_send(out, value), rn_on_recv((rn_chan(int))NULL, NULL)), 0);
}

static void select_recv_into(rn_recv_only(int) in, _Atomic int *to)
{
    int value = -1;

    CHECK_EQ(rn_select(rn_on_recv((rn_chan(int))NULL, NULL), rn_on_recv(in, &value)), 1);
    *to = value;
}

/* CHAN-18: waiting senders are served first come, first served, those in a select among them. */
GO_TEST(chan_18_senders_in_arrival_order)
{
    enum { N = 20 };

    for (int cap = 0; cap <= 3; cap++) {
        rn_chan(int) ch = rn_chan_make(int, cap);

        for (int i = 0; i < cap; i++)
            rn_send(ch, i);
        for (int i = 0; i < N; i++) {
            uint64_t before = test_waits();

            if (i % 3)
                rn_go(send_one, ch, cap + i);
            else
                rn_go(select_send_one, ch, cap + i);
            AWAIT(test_waits() == before + 1);
        }
        for (int i = 0; i < cap + N; i++)
            CHECK_EQ(rn_recv(ch), i);
        test_expect_settled(__FILE__, __LINE__);
        rn_chan_release(ch);
    }
}

/* CHAN-18: so are waiting receivers. */
GO_TEST(chan_18_receivers_in_arrival_order)
{
    enum { N = 20 };

    for (int cap = 0; cap <= 3; cap++) {
        rn_chan(int) ch = rn_chan_make(int, cap);
        _Atomic int got[N];

        for (int i = 0; i < N; i++) {
            uint64_t before = test_waits();

            got[i] = -1;
            if (i % 3)
                rn_go(recv_into, ch, &got[i]);
            else
                rn_go(select_recv_into, ch, &got[i]);
            AWAIT(test_waits() == before + 1);
        }
        for (int i = 0; i < N; i++)
            rn_send(ch, i);
        test_expect_settled(__FILE__, __LINE__);
        for (int i = 0; i < N; i++)
            CHECK_EQ(got[i], i);
        rn_chan_release(ch);
    }
}

/* CHAN-19: a send hands its value straight to a waiting receiver: the buffer is empty when it returns. On one
 * processor, where the receiver cannot have come and fetched the value meanwhile. */
GO_TEST_PROCS(chan_19_hand_over_past_the_buffer, 1)
{
    rn_chan(int) ch = rn_chan_make(int, 5);

    for (int round = 0; round < test_times(200); round++) {
        uint64_t before = test_waits();
        _Atomic int got = -1;

        rn_go(recv_into, ch, &got);
        AWAIT(test_waits() == before + 1);
        rn_send(ch, round);
        CHECK_EQ(rn_len(ch), 0);
        CHECK(!rn_try_recv(ch, NULL)); /* nor is it to be had any more */
        AWAIT(got == round);
        test_expect_settled(__FILE__, __LINE__); /* it may still be storing */
    }
    rn_chan_release(ch);
}

/* CHAN-22, CHAN-33, F3: after close the buffer drains in order with ok, then zero without; the
 * length counts what is left, the capacity stays. */
GO_TEST(chan_22_33_close_then_drain)
{
    rn_chan(int) ch = rn_chan_make(int, 10);
    int value = 99;
    bool ok = true;

    for (int i = 1; i <= 4; i++)
        rn_send(ch, i);
    rn_close(ch);
    CHECK_EQ(rn_len(ch), 4);
    CHECK_EQ(rn_cap(ch), 10);
    CHECK_EQ(rn_recv(ch), 1);
    CHECK(rn_recv_ok(ch, &value));
    CHECK_EQ(value, 2);
    CHECK(rn_try_recv_ok(ch, &value, &ok));
    CHECK(value == 3 && ok);
    CHECK_EQ(rn_select(rn_on_recv_ok(ch, &value, &ok)), 0);
    CHECK(value == 4 && ok);
    CHECK_EQ(rn_len(ch), 0);
    CHECK(!rn_recv_ok(ch, &value));
    CHECK_EQ(value, 0);
    CHECK_EQ(rn_cap(ch), 10);
    rn_chan_release(ch);
}

/* CHAN-23, CHAN-30: a closed and drained channel gives zero at once, any number of times, in every
 * form of receive. */
GO_TEST(chan_23_30_closed_never_blocks)
{
    for (int cap = 0; cap < 3; cap++) {
        rn_chan(int) ch = rn_chan_make(int, cap);
        rn_chan(int) never = rn_chan_make(int, 0);

        rn_close(ch);
        for (int i = 0; i < 100; i++) {
            int value = 5;
            bool ok = true;

            CHECK_EQ(rn_recv(ch), 0);
            CHECK(!rn_recv_ok(ch, &value) && value == 0);
            value = 5;
            CHECK(rn_try_recv(ch, &value) && value == 0);
            value = 5;
            CHECK(rn_try_recv_ok(ch, &value, &ok) && value == 0 && !ok);
            value = 5, ok = true;
            CHECK_EQ(rn_select(rn_on_recv_ok(ch, &value, &ok)), 0);
            CHECK(value == 0 && !ok);
            value = 5, ok = true;
            CHECK_EQ(rn_select(rn_on_recv(never, NULL), rn_on_recv_ok(ch, &value, &ok)), 1);
            CHECK(value == 0 && !ok);
            CHECK_EQ(rn_select(rn_on_recv(ch, &value), rn_default), 0);
        }
        rn_chan_release(ch);
        rn_chan_release(never);
    }
}

struct wide {
    char text[40];
    double number;
};

/* CHAN-24: a receive from a closed channel overwrites the whole destination with zero bytes. */
GO_TEST(chan_24_closed_zeroes_the_destination)
{
    static const struct wide zero;
    rn_chan(struct wide) ch = rn_chan_make(struct wide, 1);
    struct wide value;

    rn_close(ch);
    memset(&value, 0xaa, sizeof(value));
    CHECK(!rn_recv_ok(ch, &value));
    CHECK(memcmp(&value, &zero, sizeof(value)) == 0);
    memset(&value, 0xaa, sizeof(value));
    CHECK(rn_try_recv(ch, &value));
    CHECK(memcmp(&value, &zero, sizeof(value)) == 0);
    memset(&value, 0xaa, sizeof(value));
    CHECK_EQ(rn_select(rn_on_recv(ch, &value)), 0);
    CHECK(memcmp(&value, &zero, sizeof(value)) == 0);
    memset(&value, 0xaa, sizeof(value));
    CHECK_EQ(rn_recv_ctx(NULL, ch, &value), -EPIPE);
    CHECK(memcmp(&value, &zero, sizeof(value)) == 0);
    value = rn_recv(ch);
    CHECK(memcmp(&value, &zero, sizeof(value)) == 0);
    rn_chan_release(ch);
}

static void recv_closed(rn_recv_only(struct wide) in)
{
    static const struct wide zero;
    struct wide value;

    memset(&value, 0xaa, sizeof(value));
    CHECK(!rn_recv_ok(in, &value));
    CHECK(memcmp(&value, &zero, sizeof(value)) == 0);
    passed++;
}

static void select_closed(rn_recv_only(struct wide) in)
{
    static const struct wide zero;
    struct wide value;
    bool ok = true;

    memset(&value, 0xaa, sizeof(value));
    CHECK_EQ(rn_select(rn_on_recv_ok(in, &value, &ok)), 0);
    CHECK(!ok);
    CHECK(memcmp(&value, &zero, sizeof(value)) == 0);
    passed++;
}

/* CHAN-24, CHAN-26: close wakes everybody who waits to receive, each with zero and not ok. */
GO_TEST(chan_24_26_close_wakes_receivers)
{
    for (int cap = 0; cap < 3; cap++) {
        rn_chan(struct wide) ch = rn_chan_make(struct wide, cap);
        uint64_t before;

        passed = 0;
        before = test_waits();
        for (int i = 0; i < 10; i++) {
            rn_go(recv_closed, ch);
            rn_go(select_closed, ch);
        }
        AWAIT(test_waits() == before + 20);
        CHECK_EQ(passed, 0);
        rn_close(ch);
        AWAIT(passed == 20);
        test_expect_settled(__FILE__, __LINE__);
        rn_chan_release(ch);
    }
}

/* CHAN-25: a receive without a destination consumes one value like any other: from a buffer, from
 * a waiting sender, from a closed channel. */
GO_TEST(chan_25_discarding)
{
    for (int cap = 0; cap < 3; cap++) {
        rn_chan(int) ch = rn_chan_make(int, cap);
        int way = 0;

        rn_go(send_count, ch, 40);
        for (int i = 0; i < 40; i += 2) {
            switch (way++ % 5) {
            case 0:
                (void)rn_recv(ch);
                break;
            case 1:
                CHECK(rn_recv_ok(ch, NULL));
                break;
            case 2:
                AWAIT(rn_try_recv(ch, NULL));
                break;
            case 3:
                CHECK_EQ(rn_select(rn_on_recv(ch, NULL)), 0);
                break;
            case 4:
                CHECK_EQ(rn_select(rn_on_recv((rn_chan(int))NULL, NULL), rn_on_recv(ch, NULL)), 1);
                break;
            }
            CHECK_EQ(rn_recv(ch), i + 1);
        }
        CHECK(!rn_recv_ok(ch, NULL));
        CHECK(rn_try_recv(ch, NULL));
        CHECK_EQ(rn_select(rn_on_recv(ch, NULL)), 0);
        CHECK_EQ(rn_select(rn_on_recv((rn_chan(int))NULL, NULL), rn_on_recv(ch, NULL)), 1);
        CHECK_EQ(rn_recv_ctx(NULL, ch, NULL), -EPIPE);
        rn_chan_release(ch);
    }
}

static void use_nil(int way)
{
    rn_chan(int) nil = NULL;

    switch (way) {
    case 0:
        rn_send(nil, 1);
        break;
    case 1:
        (void)rn_recv(nil);
        break;
    case 2:
        (void)rn_recv_ok(nil, NULL);
        break;
    case 3: {
        rn_range (value, nil)
            (void)value;
        break;
    }
    }
    passed++;
}

/* CHAN-34, CHAN-36: send, receive and range on a nil channel wait for ever. */
GO_TEST_LEAVES(chan_34_36_nil_waits_for_ever)
{
    uint64_t before = test_waits();

    for (int way = 0; way < 4; way++)
        rn_go(use_nil, way);
    AWAIT(test_waits() == before + 4);
    test_let_run();
    CHECK_EQ(test_waits(), before + 4); /* nobody woke up and waits again */
    CHECK_EQ(passed, 0);
    CHECK_EQ(rn_count(), 5);
}

/* CHAN-34: a try on a nil channel would wait, so it is false. */
GO_TEST(chan_34_try_on_nil)
{
    rn_chan(int) nil = NULL;
    int value = 3;
    bool ok = true;

    CHECK(!rn_try_send(nil, 1));
    CHECK(!rn_try_recv(nil, &value));
    CHECK(!rn_try_recv_ok(nil, &value, &ok));
    CHECK(value == 3 && ok);
}

static void send_letters(rn_send_only(char) out)
{
    for (char c = 'a'; c <= 'z'; c++)
        rn_send(out, c);
    rn_close(out);
}

/* CHAN-35: a range yields each value until the channel is closed and drained. */
GO_TEST(chan_35_range)
{
    rn_chan(char) ch = rn_chan_make(char, 0);
    char text[27] = "";
    int n = 0;

    rn_go(send_letters, ch);
    rn_range (c, ch)
        text[n++] = c;
    CHECK_EQ(n, 26);
    CHECK_STR(text, "abcdefghijklmnopqrstuvwxyz");
    rn_range (c, ch)
        CHECK(c != c); /* closed and drained: no round at all */
    rn_chan_release(ch);
}

static void range_over(rn_recv_only(int) in)
{
    rn_range (value, in) {
        (void)value;
        passed++;
    }
    passed += 1000;
}

/* CHAN-36: a range over a channel that is never closed waits after the last value. */
GO_TEST_LEAVES(chan_36_range_without_close)
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    rn_go(range_over, ch);
    for (int i = 0; i < 3; i++)
        rn_send(ch, i);
    AWAIT(passed == 3);
    test_let_run();
    CHECK_EQ(passed, 3);
    CHECK_EQ(rn_count(), 2);
}

typedef rn_chan(int) int_chan;

static void answer(rn_recv_only(int_chan) requests)
{
    rn_range (reply, requests)
        (void)rn_select(rn_on_send(reply, 42), rn_on_recv((rn_chan(int))NULL, NULL));
}

/* CHAN-38: a channel travels over a channel and is then used, in a select too. */
GO_TEST(chan_38_channels_over_channels)
{
    rn_chan(int_chan) requests = rn_chan_make(int_chan, 0);
    rn_chan(rn_chan(int)) other = requests; /* the same type without a name */

    rn_go(answer, requests);
    for (int i = 0; i < 10; i++) {
        rn_chan(int) reply = rn_chan_make(int, 0);

        rn_send(other, reply);
        CHECK_EQ(rn_recv(reply), 42);
        rn_chan_release(reply);
    }
    rn_close(requests);
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(requests);
}

/* CHAN-39: handles are equal exactly when they are of one creation, whatever their direction. */
GO_TEST(chan_39_equality)
{
    rn_chan(int) a = rn_chan_make(int, 1), b = rn_chan_make(int, 1), nil = NULL;
    rn_recv_only(int) a_in = a;
    rn_send_only(int) a_out = a;

    CHECK(a == a_in);
    CHECK((const volatile void *)a_in == (const volatile void *)a_out);
    CHECK(a != b);
    CHECK(a != nil);
    CHECK(nil == (rn_chan(int))NULL);
    CHECK(rn_chan_retain(a) == a);
    rn_chan_release(a);
    rn_chan_release(a);
    rn_chan_release(b);
}

static char order_log[16];
static int order_n;

static rn_chan(int) log_chan(rn_chan(int) ch)
{
    order_log[order_n++] = 'c';
    return ch;
}

static int log_value(int value)
{
    order_log[order_n++] = 'v';
    return value;
}

/* CHAN-40, D27: the channel is evaluated first, the value second, each once, in every form. */
GO_TEST(chan_40_evaluation)
{
    rn_chan(int) ch = rn_chan_make(int, 4);
    int value;
    bool ok;

    rn_send(log_chan(ch), log_value(1));
    CHECK_STR(order_log, "cv");
    CHECK(rn_try_send(log_chan(ch), log_value(2)));
    CHECK_STR(order_log, "cvcv");
    CHECK_EQ(rn_send_ctx(NULL, log_chan(ch), log_value(3)), 0);
    CHECK_STR(order_log, "cvcvcv");
    order_n = 0;
    memset(order_log, 0, sizeof(order_log));
    CHECK_EQ(rn_recv(log_chan(ch)), 1);
    CHECK(rn_recv_ok(log_chan(ch), &value));
    CHECK(rn_try_recv(log_chan(ch), &value));
    CHECK_EQ(value, 3);
    CHECK(!rn_try_recv_ok(log_chan(ch), &value, &ok));
    CHECK_EQ(rn_len(log_chan(ch)), 0);
    CHECK_EQ(rn_cap(log_chan(ch)), 4);
    (void)rn_chan_retain(log_chan(ch));
    rn_chan_release(log_chan(ch));
    rn_close(log_chan(ch));
    CHECK_STR(order_log, "ccccccccc");
    rn_chan_release(log_chan(ch));
    CHECK_EQ(order_n, 10);
}

static int send_and_recv(rn_chan(int) ch, size_t value)
{
    rn_send(ch, (int)value);
    return rn_recv(ch) + 100;
}

/* D27: forms may be nested in one another's operands. */
GO_TEST(chan_nested_forms)
{
    rn_chan(int) ch = rn_chan_make(int, 3);

    rn_send(ch, 1);
    rn_send(ch, rn_recv(ch) + (int)rn_cap(ch) > 3 ? send_and_recv(ch, rn_len(ch) + 5) : 0);
    CHECK_EQ(rn_recv(ch), 105);
    rn_chan_release(ch);
}

/* CHAN-40: a send copies; what happens to the source later does not matter. */
GO_TEST(chan_40_send_copies)
{
    rn_chan(struct wide) ch = rn_chan_make(struct wide, 1);
    struct wide value = {.text = "before", .number = 1};

    rn_send(ch, value);
    memset(&value, 0, sizeof(value));
    value = rn_recv(ch);
    CHECK_STR(value.text, "before");
    CHECK(value.number == 1);
    rn_send(ch, (struct wide){.text = "literal", .number = 2}); /* commas need no parentheses */
    CHECK_STR(rn_recv(ch).text, "literal");
    rn_chan_release(ch);
}

static void send_then_flag(rn_send_only(int) out, _Atomic int *sent)
{
    rn_send(out, 1);
    *sent = 1;
}

/* CHAN-41: an unbuffered send returns only after a receiver has taken the value, a send into free
 * space at once. */
GO_TEST(chan_41_rendezvous)
{
    rn_chan(int) ch = rn_chan_make(int, 0);
    rn_chan(int) free_space = rn_chan_make(int, 1);
    uint64_t before = test_waits();
    _Atomic int sent = 0;

    rn_go(send_then_flag, ch, &sent);
    AWAIT(test_waits() == before + 1);
    CHECK_EQ(sent, 0);
    CHECK_EQ(rn_recv(ch), 1);
    AWAIT(sent == 1);
    rn_send(free_space, 1); /* with nobody else: it would be a deadlock if it waited */
    CHECK_EQ(test_waits(), before + 1);
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(ch);
    rn_chan_release(free_space);
}

/* D30: 0; -EPIPE once closed and drained; the context's error, with nothing
 * sent or received. */
GO_TEST(chan_waits_under_a_context)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_chan(int) ch = rn_chan_make(int, 1);
    int value = 9;

    CHECK_EQ(rn_send_ctx(ctx, ch, 5), 0);
    CHECK_EQ(rn_recv_ctx(ctx, ch, &value), 0);
    CHECK_EQ(value, 5);
    rn_ctx_cancel(ctx);
    CHECK_EQ(rn_recv_ctx(ctx, ch, &value), -ECANCELED);
    CHECK_EQ(value, 5);
    rn_send(ch, 6);
    CHECK_EQ(rn_send_ctx(ctx, ch, 7), -ECANCELED);
    CHECK_EQ(rn_len(ch), 1);
    rn_close(ch);
    CHECK_EQ(rn_recv_ctx(NULL, ch, &value), 0);
    CHECK_EQ(value, 6);
    CHECK_EQ(rn_recv_ctx(NULL, ch, &value), -EPIPE);
    CHECK_EQ(value, 0);
    rn_chan_release(ch);
    rn_ctx_end(ctx);
}

static void wait_under(rn_ctx *ctx, rn_chan(int) ch, bool send)
{
    int value = 9;

    CHECK_EQ(send ? rn_send_ctx(ctx, ch, 1) : rn_recv_ctx(ctx, ch, &value), -ECANCELED);
    CHECK_EQ(value, 9);
    passed++;
}

/* D30: cancelling wakes those who already wait on the channel, and takes them out of its queues. */
GO_TEST(chan_cancel_wakes_waiters)
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    for (int round = 0; round < test_times(200); round++) {
        bool send = round % 2 == 0;
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());

        passed = 0;
        for (int i = 0; i < 3; i++)
            rn_go(wait_under, ctx, ch, send);
        if (round % 4 < 2)
            test_let_run();
        rn_ctx_cancel(ctx);
        AWAIT(passed == 3);
        CHECK(!rn_try_send(ch, 1));
        CHECK(!rn_try_recv(ch, NULL));
        rn_ctx_end(ctx);
    }
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(ch);
}
