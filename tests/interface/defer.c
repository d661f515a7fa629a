/* SPDX-License-Identifier: MIT */
/*
 * defer.c - D5: rn_defer, in both forms of its record, and every way out of a block.
 */
#include "support.h"

#include <setjmp.h>
#include <stdlib.h>

static char said[64];
static int said_n;

/* Exactly void (*)(T) with one pointer or integer: the short record. */
static void say(const char *text)
{
    size_t n = strlen(text);

    CHECK(said_n + (int)n < (int)sizeof(said));
    memcpy(said + said_n, text, n);
    said_n += (int)n;
    said[said_n] = 0;
}

static void say_char(char c)
{
    say((char[]){c, 0});
}

/* Anything else: the long record. */
static int say_two(const char *text, double number)
{
    say(text);
    say_char((char)('0' + (int)number));
    return 1;
}

static void say_nothing(void)
{
    say("-");
}

static void reset(void)
{
    said_n = 0;
    said[0] = 0;
}

#define SAYS(text)                                                                                 \
    do {                                                                                           \
        CHECK_STR(said, text);                                                                     \
        reset();                                                                                   \
    } while (0)

static void in_a_block(void)
{
    rn_defer(say, "a");
    rn_defer(say_two, "b", 2.0);
    rn_defer(say_char, 'c');
    rn_defer(say_nothing);
    say("<");
    {
        rn_defer(say, "x");
        rn_defer(say_two, "y", 5.0);
        say("{");
    }
    say(">");
}

/* D5: last deferred, first called, when the block is left; both forms mix. */
GO_TEST(defer_order)
{
    in_a_block();
    SAYS("<{y5x>-cb2a");
    say("1");
    {
        rn_defer(say, "2");
    }
    SAYS("12");
}

static int return_from(int way)
{
    rn_defer(say, "r");
    if (way == 0)
        return said_n; /* evaluated before the deferred calls */
    {
        rn_defer(say_two, "i", 1.0);
        if (way == 1)
            return said_n;
        say("n");
    }
    return said_n;
}

/* D5: return from any depth. */
GO_TEST(defer_return)
{
    CHECK_EQ(return_from(0), 0);
    SAYS("r");
    CHECK_EQ(return_from(1), 0);
    SAYS("i1r");
    CHECK_EQ(return_from(2), 3);
    SAYS("ni1r");
}

/* D5: break, continue, goto, and the end of each round. */
GO_TEST(defer_loops)
{
    for (int i = 0; i < 5; i++) {
        rn_defer(say_char, (char)('0' + i));
        if (i == 1)
            continue;
        rn_defer(say_two, "t", 7.0);
        if (i == 3)
            break;
        say("b");
    }
    SAYS("bt70"
         "1"
         "bt72"
         "t73");

    for (int i = 0;; i++) {
        rn_defer(say, "g");
        if (i == 2)
            goto out;
    }
out:
    SAYS("ggg");

    {
        int i = 0;
again:
        if (i < 3) {
            rn_defer(say_char, (char)('a' + i));
            i++;
            goto again; /* backwards, out of the block */
        }
    }
    SAYS("abc");
}

static void switched(int n)
{
    switch (n) {
    case 0: {
        rn_defer(say, "0");
        break;
    }
    case 1: {
        rn_defer(say_two, "1", 1.0);
        return;
    }
    default:
        say("d");
    }
    say("e");
}

GO_TEST(defer_switch)
{
    switched(0);
    switched(1);
    switched(2);
    SAYS("0e11de");
}

/* Fills the stack with what a record left behind would be made of. */
static __attribute__((noinline)) void dirty_stack(void)
{
    volatile unsigned char space[2048];

    memset((unsigned char *)space, 0x5a, sizeof(space));
}

#if !defined(__clang__) /* clang refuses such jumps */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

static __attribute__((noinline)) void run_and_leave(void)
{
    rn_defer(say, "old");
    rn_defer(say_two, "old", 3.0);
    say("");
}

/* The declaration is in scope after case 1, but was never reached. */
static __attribute__((noinline)) void skip_by_switch(int n)
{
    switch (n) {
    case 0:;
        rn_defer(say, "s");
        rn_defer(say_two, "l", 4.0);
        say("0");
        break;
    case 1:
        say("1");
        break;
    }
}

static __attribute__((noinline)) void skip_by_goto(bool skip)
{
    if (skip)
        goto over;
    rn_defer(say, "s");
    rn_defer(say_two, "l", 4.0);
over:
    say("o");
}

#pragma GCC diagnostic pop

/* D5: a record that switch or goto skipped never runs garbage, whatever the stack holds; not even the
 * remains of one that ran at the same place. */
GO_TEST(defer_skipped)
{
    for (int i = 0; i < 100; i++) {
        if (i % 3 == 0)
            dirty_stack();
        else if (i % 3 == 1)
            run_and_leave();
        reset();
        skip_by_switch(1);
        SAYS("1");
        skip_by_goto(true);
        SAYS("o");
        skip_by_switch(0);
        SAYS("0l4s");
        skip_by_switch(1); /* right after it was used in full */
        SAYS("1");
        skip_by_goto(false);
        SAYS("ol4s");
        skip_by_goto(true);
        SAYS("o");
        {
            rn_defer(say, "live"); /* a chain that is not empty */
            skip_by_switch(1);
            skip_by_goto(true);
        }
        SAYS("1olive");
    }
}
#endif

static jmp_buf jump;

static __attribute__((noinline)) void jump_away(void)
{
    rn_defer(say, "never");
    rn_defer(say_two, "never", 1.0);
    longjmp(jump, 1);
}

static __attribute__((noinline)) void jump_over(void)
{
    rn_defer(say, "o");
    if (setjmp(jump) == 0)
        jump_away();
    dirty_stack();
    {
        rn_defer(say, "i");
    }
    say("j");
}

/* D5: records that a longjmp skipped do not run, then or later; those outside do. */
GO_TEST(defer_longjmp)
{
    for (int i = 0; i < 10; i++) {
        jump_over();
        SAYS("ijo");
    }
}

static void exit_inside(int depth)
{
    rn_defer(say_char, (char)('0' + depth));
    if (depth == 3)
        rn_exit(0);
    {
        rn_defer(say_two, "x", (double)depth);
        exit_inside(depth + 1);
    }
    say("never");
}

/* D5, RT-09: rn_exit runs the deferred calls of every caller, innermost first, and no more. */
GO_TEST(defer_exit)
{
    rn_go(exit_inside, 0);
    test_expect_settled(__FILE__, __LINE__);
    SAYS("3x22x11x00");
}

static void clean_up(int *n)
{
    say_char((char)('0' + *n));
}

static void exit_past_a_cleanup(void)
{
    __attribute__((cleanup(clean_up))) int other = 7;

    rn_defer(say, "d");
    rn_defer(say_two, "l", (double)other);
    rn_exit(0);
}

/* D5: rn_exit runs no cleanup attribute of other make: its frames are not left, they are gone. */
GO_TEST(defer_exit_is_not_for_others)
{
    rn_go(exit_past_a_cleanup);
    test_expect_settled(__FILE__, __LINE__);
    SAYS("l7d");
}

static void exit_again(int n)
{
    say_char((char)('0' + n));
    rn_exit(n);
}

static void exit_in_deferred(void)
{
    rn_defer(say, "a");
    rn_defer(exit_again, 5);
    rn_defer(say, "b");
    rn_exit(1);
}

static void exit_in_deferred_at_the_end(void)
{
    rn_defer(say, "a");
    rn_defer(exit_again, 6);
    rn_defer(say, "b");
}

/* RT-09: rn_exit inside a deferred call: the rest of the chain still runs, each call once. */
GO_TEST(defer_exit_in_deferred)
{
    rn_go(exit_in_deferred);
    test_expect_settled(__FILE__, __LINE__);
    SAYS("b5a");
    rn_go(exit_in_deferred_at_the_end);
    test_expect_settled(__FILE__, __LINE__);
    SAYS("b6a");
}

static void defer_in_deferred(int n)
{
    rn_defer(say_char, (char)('a' + n));
    if (n > 0)
        defer_in_deferred(n - 1);
    else
        rn_yield();
}

/* A deferred call may itself defer, wait and move to another thread. */
GO_TEST(defer_in_deferred_calls)
{
    {
        rn_defer(defer_in_deferred, 2);
        rn_defer(defer_in_deferred, 1);
    }
    SAYS("ab"
         "abc");
}

static void say_nothing_of(int n)
{
    (void)n;
}

static void deferring(int me, _Atomic int *sum)
{
    for (int i = 0; i < 100; i++) {
        int local = 0;

        {
            int *at = &local;
            rn_defer(free, malloc(16));
            rn_defer(say_nothing_of, me);
            rn_yield();
            (*at)++;
        }
        *sum += local;
    }
}

/* Each goroutine has a chain of its own, wherever it runs. */
GO_TEST(defer_many_goroutines)
{
    _Atomic int sum = 0;
    rn_wg wg = {0};

    for (int i = 0; i < 50; i++)
        rn_wg_go(&wg, deferring, i, &sum);
    rn_wg_wait(&wg);
    CHECK_EQ(sum, 5000);
}

static void say_int(int n)
{
    say_char((char)('0' + n));
}

static void say_long(long n)
{
    say_int((int)(n - 4000000000));
}

static void say_bool(bool b)
{
    say(b ? "t" : "f");
}

static void say_void(void *p)
{
    say(p);
}

static void say_const_void(const void *p)
{
    say(p);
}

static void say_unsigned_char(unsigned char c)
{
    say_int(c - 250);
}

static void say_double(double d)
{
    say_int((int)d);
}

struct pair {
    long a, b;
};

static void say_pair(struct pair p)
{
    say_int((int)(p.a + p.b));
}

/* Arguments of every kind, converted as a call converts: not every one-argument call is short. */
GO_TEST(defer_argument_types)
{
    {
        char text[] = "v";
        volatile char small = 2;
        struct pair pair = {3, 4};

        rn_defer(say_int, 1);
        rn_defer(say_int, small);       /* char to int */
        rn_defer(say_int, (long)3);     /* long to int */
        rn_defer(say_long, 4000000004); /* above 32 bits */
        rn_defer(say_long, small);      /* widened */
        rn_defer(say_bool, 256);        /* true, not its low byte */
        rn_defer(say_bool, (bool)0);
        rn_defer(say_void, &text[0]);
        rn_defer(say_const_void, "w");
        rn_defer(say_unsigned_char, (unsigned char)255);
        rn_defer(say_double, 6.9);
        rn_defer(say_double, 8); /* int to double */
        rn_defer(say_pair, pair);
        reset();
        small = 9;
        pair.a = 0;
        say("|");
    }
    CHECK(strncmp(said, "|7865wvft", 9) == 0);
    CHECK_STR(said + said_n - 4, "4321");
    reset();
}

/* On a plain thread, with and without a runtime, it works as well. */
PLAIN_TEST(defer_plain_thread)
{
    in_a_block();
    SAYS("<{y5x>-cb2a");
    jump_over();
    SAYS("ijo");
}

static int result_with_defer(void)
{
    rn_defer(say, "d");
    return 3;
}

static int exit_with_defer(void)
{
    rn_defer(say, "e");
    rn_defer(say_two, "f", 1.0);
    rn_exit(4);
}

/* D36, RT-07: the first goroutine of rn_run too; its result is the program's. */
PLAIN_TEST(defer_first_goroutine)
{
    CHECK_EQ(rn_run(result_with_defer), 3);
    SAYS("d");
    CHECK_EQ(rn_run(exit_with_defer), 4);
    SAYS("f1e");
}

static void with_mutex(rn_mutex *m, rn_send_only(int) out)
{
    rn_mutex_lock(m);
    rn_defer(rn_mutex_unlock, m);
    rn_defer(rn_close, out);
    rn_send(out, 1);
}

/* D28: rn_defer(rn_close, out), rn_defer(rn_mutex_unlock, m): functions of the library. */
GO_TEST(defer_library_functions)
{
    rn_chan(int) ch = rn_chan_make(int, 1);
    rn_mutex m = {0};

    with_mutex(&m, ch);
    CHECK(rn_mutex_try_lock(&m));
    CHECK_EQ(rn_recv(ch), 1);
    CHECK(!rn_recv_ok(ch, NULL));
    rn_chan_release(ch);
}
