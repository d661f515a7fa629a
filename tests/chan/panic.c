/* SPDX-License-Identifier: MIT */
/*
 * panic.c - misuse of channels ends the process with Go's text and status 2. (In Go these panics can be
 * recovered; in C nothing can, so all of them are observed from outside.)
 */
#include "support.h"

/* CHAN-28, F2: a send on a closed channel panics, although the buffer has room. */
DEATH_TEST(chan_28_send_on_closed, "panic: send on closed channel")
{
    rn_chan(int) ch = rn_chan_make(int, 1);

    rn_close(ch);
    rn_send(ch, 1);
}

/* CHAN-28: without a buffer too, from a plain thread too. */
DEATH_TEST_PLAIN(chan_28_send_on_closed_plain_thread, "panic: send on closed channel")
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    rn_close(ch);
    rn_send(ch, 1);
}

/* CHAN-29, F2: a try panics as well; it does not say that it would wait. */
DEATH_TEST(chan_29_try_send_on_closed, "panic: send on closed channel")
{
    rn_chan(int) ch = rn_chan_make(int, 1);

    rn_close(ch);
    (void)rn_try_send(ch, 1);
}

DEATH_TEST(chan_29_try_send_on_closed_unbuffered, "panic: send on closed channel")
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    rn_close(ch);
    (void)rn_try_send(ch, 1);
}

DEATH_TEST(chan_28_send_ctx_on_closed, "panic: send on closed channel")
{
    rn_chan(int) ch = rn_chan_make(int, 1);
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());

    rn_close(ch);
    (void)rn_send_ctx(ctx, ch, 1);
}

static void send_one(rn_send_only(int) out)
{
    rn_send(out, 1);
}

/* CHAN-27, F3: close makes every send that already waits panic, and none of their values comes. */
static void close_under_senders(int cap)
{
    rn_chan(int) ch = rn_chan_make(int, cap);
    uint64_t before = test_waits();
    bool ok = false;
    int value = 9;

    for (int i = 0; i < cap; i++)
        rn_send(ch, 5 + i);
    for (int i = 0; i < 3; i++)
        rn_go(send_one, ch);
    AWAIT(test_waits() == before + 3);
    rn_close(ch); /* on one processor they have not run when it returns */
    for (int i = 0; i < cap; i++)
        CHECK(rn_try_recv_ok(ch, &value, &ok) && ok && value == 5 + i);
    CHECK(rn_try_recv_ok(ch, &value, &ok) && !ok && value == 0);
    rn_recv(rn_chan_make(int, 0));
}

DEATH_TEST_PROCS(chan_27_close_under_waiting_sends, 1, "panic: send on closed channel")
{
    close_under_senders(0);
}

DEATH_TEST_PROCS(chan_27_close_under_waiting_sends_full, 1, "panic: send on closed channel")
{
    close_under_senders(2);
}

/* CHAN-31 */
DEATH_TEST(chan_31_close_twice, "panic: close of closed channel")
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    rn_close(ch);
    rn_close(ch);
}

DEATH_TEST(chan_31_close_nil, "panic: close of nil channel")
{
    rn_chan(int) ch = NULL;

    rn_close(ch);
}

/* D28: the function of that name, which rn_defer takes, does the same. */
DEATH_TEST(chan_31_deferred_close_twice, "panic: close of closed channel")
{
    rn_chan(int) ch = rn_chan_make(int, 0);
    rn_defer(rn_close, ch);

    rn_close(ch);
}

static void recv_one(rn_recv_only(int) in)
{
    (void)rn_recv(in);
}

static void select_one(rn_recv_only(int) in)
{
    (void)rn_select(rn_on_recv(in, NULL), rn_on_recv((rn_chan(int))NULL, NULL));
}

/* CHAN-48, D7: giving up the last reference of a channel on which somebody waits is refused. */
DEATH_TEST_PROCS(chan_48_release_under_a_receiver, 1, "panic: release of a channel in use")
{
    rn_chan(int) ch = rn_chan_make(int, 0);
    uint64_t before = test_waits();

    rn_go(recv_one, ch);
    AWAIT(test_waits() == before + 1);
    rn_chan_release(ch);
}

DEATH_TEST_PROCS(chan_48_release_under_a_sender, 1, "panic: release of a channel in use")
{
    rn_chan(int) ch = rn_chan_make(int, 0);
    uint64_t before = test_waits();

    rn_go(send_one, ch);
    AWAIT(test_waits() == before + 1);
    rn_chan_release(ch);
}

DEATH_TEST_PROCS(chan_48_release_under_a_select, 1, "panic: release of a channel in use")
{
    rn_chan(int) ch = rn_chan_make(int, 0);
    uint64_t before = test_waits();

    rn_go(select_one, ch);
    AWAIT(test_waits() == before + 1);
    rn_chan_release(ch);
}

static void nested_panic(rn_chan(int) ch)
{
    rn_set_name("the culprit");
    rn_close(ch);
    rn_close(ch);
}

static int panicking_program(void)
{
    rn_chan(int) ch = rn_chan_make(int, 0);

    rn_go(nested_panic, ch);
    rn_recv(rn_chan_make(int, 0));
    return 0;
}

static void panicking(void)
{
    (void)!rn_run(panicking_program);
}

/* RT-13: the report names the goroutine by number and name. */
PLAIN_TEST(panic_report_names_the_goroutine)
{
    const char *report =
        test_expect_death(__FILE__, __LINE__, panicking, "panic: close of closed channel");

    CHECK(strstr(report, "\"the culprit\" [running]") != NULL);
    CHECK(strstr(report, "created by goroutine 1 ") != NULL);
}

static int misuse_of; /* of what kind the child is guilty */

static void say(const char *what)
{
    fputs(what, stderr);
}

static int misuse(void)
{
    rn_chan(int) ch = rn_chan_make(int, 1), nil = NULL;
    volatile int64_t bad = -1;
    rn_defer(say, "a deferred call ran\n");

    rn_close(ch);
    switch (misuse_of) {
    case 0:
        rn_send(ch, 1);
        break;
    case 1:
        rn_close(ch);
        break;
    case 2:
        rn_close(nil);
        break;
    default:
        ch = rn_chan_make(int, bad);
        break;
    }
    return 0;
}

static void misuse_run(void)
{
    (void)!rn_run(misuse);
}

/* CHAN-32: each is a panic and not a fatal error, of the goroutine that did it; deferred calls do not run. */
PLAIN_TEST(chan_32_misuse_is_a_panic)
{
    static const char *const text[] = {
        "panic: send on closed channel", "panic: close of closed channel",
        "panic: close of nil channel", "panic: makechan: size out of range"};

    for (misuse_of = 0; misuse_of < 4; misuse_of++) {
        const char *report = test_expect_death(__FILE__, __LINE__, misuse_run, text[misuse_of]);

        CHECK(strstr(report, "goroutine 1 [running]") != NULL);
        CHECK(strstr(report, "a deferred call ran") == NULL);
    }
}

/* Rules that hold everywhere: lack of memory is a panic where no result can carry it. */
DEATH_TEST(chan_make_without_memory, "panic: makechan: out of memory")
{
    volatile int64_t cap = INT64_C(1) << 46;

    rn_chan_release(rn_chan_make(char, cap));
}
