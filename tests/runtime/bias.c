/* SPDX-License-Identifier: MIT */
/*
 * bias.c - channels that one processor uses without a lock (src/chan/bias.h): that they come to be, and that whoever else
 * comes finds all that was sent, in order, whoever has the channel just then.
 */
#define _GNU_SOURCE
#include "support.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "chan/bias.h"

enum { OWN = 20000 }; /* operations after which a channel is somebody's */

static bool biased(const volatile void *ch)
{
    return chan_is_biased((const struct chan *)(uintptr_t)ch);
}

/* Use ch, which is empty, until it is the caller's processor's. */
static void make_own(rn_chan(int) ch)
{
    for (int i = 0; i < OWN && !biased(ch); i++) {
        rn_send(ch, i);
        CHECK_EQ(rn_recv(ch), i);
    }
    CHECK(biased(ch));
}

/* Where there is one processor a few operations are enough, also of channels that are used in turn. */
GO_TEST_PROCS(bias_comes_soon_alone, 1)
{
    rn_chan(int) ch[3];

    for (int i = 0; i < 3; i++)
        ch[i] = rn_chan_make(int, 4);
    for (int round = 0; round < 60; round++)
        for (int i = 0; i < 3; i++) {
            rn_send(ch[i], round);
            CHECK_EQ(rn_recv(ch[i]), round);
        }
    for (int i = 0; i < 3; i++) {
        CHECK(biased(ch[i]));
        rn_chan_release(ch[i]);
    }
}

/* Where there are several, not before it pays. */
GO_TEST_PROCS(bias_comes_late_in_company, 2)
{
    rn_chan(int) ch = rn_chan_make(int, 4);

    for (int i = 0; i < 200; i++) {
        rn_send(ch, i);
        CHECK_EQ(rn_recv(ch), i);
    }
    CHECK(!biased(ch));
    make_own(ch);
    rn_chan_release(ch);
}

/* So is one without a buffer, by hand-offs. */
static void echo(rn_recv_only(int) in, rn_send_only(int) out)
{
    int v;

    while (rn_recv_ok(in, &v))
        rn_send(out, v);
}

GO_TEST_PROCS(bias_by_hand_offs, 1)
{
    rn_chan(int) to = rn_chan_make(int, 0), from = rn_chan_make(int, 0);

    rn_go(echo, to, from);
    for (int i = 0; i < 100; i++) {
        rn_send(to, i);
        CHECK_EQ(rn_recv(from), i);
    }
    CHECK(biased(to) && biased(from));
    rn_close(to);
    CHECK(!biased(to));
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(to);
    rn_chan_release(from);
}

/* Who has it may need its lock, as here for a select beside a context's channel; it stays his. */
static void cancel(rn_ctx *ctx)
{
    rn_ctx_cancel(ctx);
}

GO_TEST_PROCS(bias_stays_with_who_locks, 1)
{
    bool stayed = false;

    /* A busy machine may take the processor from us in between, and then the channel. */
    for (int i = 0; i < 20 && !stayed; i++) {
        rn_chan(int) ch = rn_chan_make(int, 4);
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
        int v;

        make_own(ch);
        rn_go(cancel, ctx);
        CHECK_EQ(rn_recv_ctx(ctx, ch, &v), -ECANCELED);
        stayed = biased(ch);
        rn_ctx_release(ctx);
        rn_chan_release(ch);
    }
    CHECK(stayed);
}

/* Each time that it was taken away it takes longer. */
static void *look_once(void *arg)
{
    rn_chan(int) ch = arg;
    int v;

    rn_send(ch, 1);
    CHECK(rn_recv_ok(ch, &v) && v == 1);
    CHECK(!biased(ch));
    return NULL;
}

static void from_a_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, fn, arg), 0);
    (void)rn_blocking(pthread_join(thread, NULL));
}

GO_TEST_PROCS(bias_comes_later_each_time, 1)
{
    rn_chan(int) ch = rn_chan_make(int, 1);

    for (int i = 0; i < 3; i++) {
        make_own(ch);
        from_a_thread(look_once, (void *)ch);
    }
    for (int i = 0; i < 10 * OWN; i++) {
        rn_send(ch, i);
        CHECK_EQ(rn_recv(ch), i);
        CHECK(i > OWN || !biased(ch));
    }
    CHECK(biased(ch));
    rn_chan_release(ch);
}

/* A plain thread sends while the owner sends too and receives: nothing is lost, and each one's are in order. */
struct both {
    rn_chan(int) ch;
    int n;
};

static void *send_negative(void *arg)
{
    struct both *b = arg;

    for (int i = 1; i <= b->n; i++)
        rn_send(b->ch, -i);
    return NULL;
}

static void send_positive(struct both *b)
{
    for (int i = 1; i <= b->n; i++)
        rn_send(b->ch, i);
}

static void both_ways(int cap)
{
    for (int round = 0; round < test_times(300); round++) {
        struct both b = {rn_chan_make(int, cap), 300};
        int seen = 0, seen_negative = 0;
        pthread_t thread;

        if (cap > 0)
            make_own(b.ch);
        CHECK_EQ(pthread_create(&thread, NULL, send_negative, &b), 0);
        rn_go(send_positive, &b);
        for (int i = 0; i < 2 * b.n; i++) {
            int v = rn_recv(b.ch);

            if (v > 0)
                CHECK_EQ(v, ++seen);
            else
                CHECK_EQ(-v, ++seen_negative);
        }
        CHECK(seen == b.n && seen_negative == b.n);
        CHECK_EQ(rn_len(b.ch), 0);
        (void)rn_blocking(pthread_join(thread, NULL));
        test_expect_settled(__FILE__, __LINE__);
        rn_chan_release(b.ch);
    }
}

GO_TEST_PROCS(bias_thread_beside_the_owner_alone, 1)
{
    both_ways(0);
    both_ways(1);
    both_ways(7);
}

GO_TEST(bias_thread_beside_the_owner)
{
    both_ways(0);
    both_ways(1);
    both_ways(7);
}

/* The owner waits on both of its channels by a select, a thread sends to either by another. */
static void *send_by_select(void *arg)
{
    rn_chan(int) *ch = arg;

    for (int i = 1; i <= 200; i++)
        (void)rn_select(rn_on_send(ch[0], i), rn_on_send(ch[1], -i));
    return NULL;
}

GO_TEST_PROCS(bias_select_beside_a_thread, 1)
{
    for (int round = 0; round < test_times(200); round++) {
        rn_chan(int) ch[2];
        int seen = 0, v = 0;
        pthread_t thread;

        for (int i = 0; i < 2; i++) {
            ch[i] = rn_chan_make(int, round % 3);
            if (round % 3)
                make_own(ch[i]);
        }
        CHECK_EQ(pthread_create(&thread, NULL, send_by_select, ch), 0);
        while (seen < 200) {
            (void)rn_select(rn_on_recv(ch[0], &v), rn_on_recv(ch[1], &v));
            seen++;
        }
        (void)rn_blocking(pthread_join(thread, NULL));
        CHECK(rn_len(ch[0]) == 0 && rn_len(ch[1]) == 0);
        rn_chan_release(ch[0]);
        rn_chan_release(ch[1]);
    }
}

/* A goroutine whose processor was taken goes on with a channel that is that processor's. */
static void use_for_long(rn_chan(int) ch, rn_chan(int) done)
{
    int64_t until = rn_now() + 60000000;
    int n = 0;

    while (rn_now() < until) { /* computes, as the monitor sees it */
        for (int i = 0; i < 1000; i++) {
            if (rn_try_send(ch, n))
                n++;
        }
    }
    rn_send(done, n);
}

GO_TEST_PROCS(bias_goes_on_where_the_processor_goes, 1)
{
    rn_chan(int) ch = rn_chan_make(int, 16), done = rn_chan_make(int, 1);
    int got = 0, sent, v;

    make_own(ch);
    rn_go(use_for_long, ch, done);
    while (!rn_try_recv(done, &sent)) {
        while (rn_try_recv(ch, &v))
            CHECK_EQ(v, got++);
        rn_yield();
    }
    while (rn_try_recv(ch, &v))
        CHECK_EQ(v, got++);
    CHECK_EQ(got, sent);
    rn_chan_release(ch);
    rn_chan_release(done);
}

/* Left behind by the end of its run, and then again at a channel which is the next run's processor's. */
static rn_chan(int) shared;
static _Atomic int stage;

static void left_behind(void)
{
    make_own(shared);
    atomic_store(&stage, 1);
    while (atomic_load(&stage) != 2) /* without a call: the run ends meanwhile */
        ;
    for (int i = 0; i < 5000; i++)
        (void)rn_try_send(shared, -1);
    atomic_store(&stage, 3);
    for (;;)
        pause();
}

static int first_run(void)
{
    rn_go(left_behind);
    while (atomic_load(&stage) != 1)
        rn_yield();
    return 0;
}

static int second_run(void)
{
    int v, last = 0, next = 1;

    while (rn_try_recv(shared, &v))
        ;
    make_own(shared);
    atomic_store(&stage, 2);
    while (atomic_load(&stage) != 3 || next < 100000) {
        if (rn_try_send(shared, next))
            next++;
        while (rn_try_recv(shared, &v))
            if (v > 0) {
                CHECK_EQ(v, last + 1);
                last = v;
            }
    }
    CHECK_EQ(last, next - 1);
    CHECK_EQ(rn_len(shared), 0);
    return 0;
}

PLAIN_TEST(bias_of_a_run_that_ended)
{
    CHECK_EQ(setenv("RUNNEL_PROCS", "1", 1), 0);
    shared = rn_chan_make(int, 16);
    CHECK_EQ(rn_run(first_run), 0);
    CHECK_EQ(rn_run(second_run), 0);
    rn_chan_release(shared);
}
