/* SPDX-License-Identifier: MIT */
/*
 * labels.c - labels of goroutines: what reports show of them, who gets them from whom, what is refused.
 */
#define _GNU_SOURCE
#include "process.h"
#include "said.h"

#include <errno.h>
#include <pthread.h>

static rn_chan(int) gate;
static _Atomic int arrived;

static void wait_here(void)
{
    arrived++;
    (void)rn_recv(gate);
}
/* One place that starts them. */
static __attribute__((noinline)) void start_waiter(void)
{
    rn_go(wait_here);
}
static void begin(void)
{
    gate = rn_chan_make(int, 0);
    arrived = 0;
}
static void until_arrived(int n)
{
    AWAIT(arrived == n);
    test_let_run();
}
static void end(void)
{
    rn_close(gate);
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(gate);
}

/* The report has this head, and the report of leaks one of a goroutine that waits too. */
static void shows(const char *head)
{
    char *report = said_by(dump);

    has(report, head);
    free(report);
}
static void leaks_show(const char *head)
{
    char *report = said_by(rn_leaks);

    has(report, head);
    free(report);
}

/* Keys come in order; a value that is set again takes the other's place. */
GO_TEST_PROCS(labels_of_the_caller, 1)
{
    char *report;

    CHECK_EQ(rn_set_label("route", "/users"), 0);
    shows("\ngoroutine 1 {route=\"/users\"} [running]:\n");
    CHECK_EQ(rn_set_label("peer", "10.0.0.7"), 0);
    CHECK_EQ(rn_set_label("zone", ""), 0);
    CHECK_EQ(rn_set_label("router", "r1"), 0);
    shows("\ngoroutine 1 {peer=\"10.0.0.7\", route=\"/users\", router=\"r1\", zone=\"\"} "
          "[running]:\n");
    CHECK_EQ(rn_set_label("peer", "::1"), 0);
    CHECK_EQ(rn_set_label("zone", NULL), 0);
    CHECK_EQ(rn_set_label("rout", NULL), 0);
    rn_set_name("server");
    shows("\ngoroutine 1 \"server\" {peer=\"::1\", route=\"/users\", router=\"r1\"} [running]:\n");
    CHECK_EQ(rn_set_label("router", NULL), 0);
    CHECK_EQ(rn_set_label("peer", NULL), 0);
    CHECK_EQ(rn_set_label("route", NULL), 0);
    CHECK_EQ(rn_set_label("route", NULL), 0);
    report = said_by(dump);
    has(report, "\ngoroutine 1 \"server\" [running]:\n");
    has_not(report, "{");
    free(report);
}

/* Whatever a value is made of, it is one value and harmless. */
GO_TEST_PROCS(values_of_all_kinds, 1)
{
    CHECK_EQ(rn_set_label("a", "say \"x\\y\", {z}="), 0);
    CHECK_EQ(rn_set_label("b", "\033[2J\n\x7f\xc3\xa9"), 0);
    CHECK_EQ(rn_set_label("c", "3"), 0);
    shows("\ngoroutine 1 {a=\"say \\\"x\\\\y\\\", {z}=\", b=\"?[2J??\xc3\xa9\", c=\"3\"} "
          "[running]:\n");
    CHECK_EQ(rn_set_label("a", NULL), 0);
    CHECK_EQ(rn_set_label("b", "\\"), 0);
    shows("\ngoroutine 1 {b=\"\\\\\", c=\"3\"} [running]:\n");
}

/* Of names and values alike: UTF-8 stays, whatever is none, or controls a terminal, is a question mark. */
static const struct {
    const char *given, *shown;
} texts[] = {
    {"two\nlines\033\177", "two?lines??"},
    {"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80 \xc2\xa0",
     "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80 \xc2\xa0"},
    {"say \"x\\y\"", "say \\\"x\\\\y\\\""}, /* and what ends the text is told from its end */
    {"\xc2\x80\xc2\x9f", "??"},             /* control characters, too */
    {"a\xff\xfe\x80z", "a???z"},            /* bytes that begin none */
    {"\xc3", "?"},                          /* and ends before its time */
    {"\xc3z\xe2\x82z\xf0\x9f\x98z", "?z??z???z"},
    {"\xc0\xaf\xe0\x80\xaf\xf0\x80\x80\xaf", "?????????"}, /* overlong */
    {"\xc1\xbf\xe0\x9f\xbf\xf0\x8f\xbf\xbf", "?????????"},
    {"\xdf\xbf\xe0\xa0\x80\xf0\x90\x80\x80", "\xdf\xbf\xe0\xa0\x80\xf0\x90\x80\x80"},
    {"\xed\xa0\x80\xed\xbf\xbf", "??????"}, /* surrogates */
    {"\xed\x9f\xbf\xee\x80\x80", "\xed\x9f\xbf\xee\x80\x80"},
    {"\xf4\x8f\xbf\xbf\xf4\x90\x80\x80\xf8\x88\x80\x80\x80", "\xf4\x8f\xbf\xbf?????????"},
    {"\xef\xbf\xbd\xef\xbf\xbe\xef\xbf\xbf", "\xef\xbf\xbd??"}, /* U+FFFE and U+FFFF */
};
GO_TEST_PROCS(names_and_values_are_utf8, 1)
{
    char head[200];

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        rn_set_name(texts[i].given);
        CHECK_EQ(rn_set_label("k", texts[i].given), 0);
        snprintf(head, sizeof head, "\ngoroutine 1 \"%s\" {k=\"%s\"} [running]:\n", texts[i].shown,
                 texts[i].shown);
        shows(head);
    }
}

/* So are functions and files, which are whatever the debug information says. */
static int odd_place(uintptr_t pc, rn_frame_fn *frame, void *arg)
{
    (void)pc;
    frame(arg, "f\033[2J", "a\n\xff\xc3\xa4.c", 7);
    return 1;
}
GO_TEST_PROCS(places_are_utf8, 1)
{
    rn_set_symbolizer(odd_place);
    shows("\tf?[2J at a??\xc3\xa4.c:7 [0x");
    rn_set_symbolizer(NULL);
}

/* The last character of a name is whole: at the cut, none fits of what is left. */
static void wait_named(void)
{
    wait_here();
}
GO_TEST_PROCS(names_are_cut_between_characters, 1)
{
    static const char *const last[] = {"\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    int started = 0;

    begin();
    for (size_t i = 0; i < 3; i++) {
        for (size_t n = 26; n < 32; n++) {
            char name[64] = "", head[100];
            size_t size = strlen(last[i]);

            memset(name, 'x', n);
            strcat(name, last[i]);
            strcat(name, "y");
            snprintf(head, sizeof head, "\"%.*s\" ",
                     (int)(n + size > 31 ? n : n + size + (n + size < 31)), name);
            rn_set_name(name);
            shows(head);
            rn_set_name(NULL);
            rn_go_with(RN_ATTR(.name = name), wait_named);
            until_arrived(++started);
            shows(head); /* the last of those that wait alike */
        }
    }
    end();
}

/* What is refused changes nothing. */
GO_TEST_PROCS(what_is_refused, 1)
{
    char long_value[240];

    CHECK_EQ(rn_set_label("k", "v"), 0);
    CHECK_EQ(rn_set_label("", "v"), -EINVAL);
    CHECK_EQ(rn_set_label(NULL, "v"), -EINVAL);
    CHECK_EQ(rn_set_label("a b", "v"), -EINVAL);
    CHECK_EQ(rn_set_label("1a", "v"), -EINVAL);
    CHECK_EQ(rn_set_label("a=", "v"), -EINVAL);
    CHECK_EQ(rn_set_label("_a.b-C1", "v"), 0);
    CHECK_EQ(rn_set_label("_a.b-C1", NULL), 0);
    memset(long_value, 'x', sizeof(long_value));
    long_value[239 - strlen("k=\"v\", l=\"\"") + 1] = 0;
    CHECK_EQ(rn_set_label("l", long_value), -ENOSPC);
    shows("\ngoroutine 1 {k=\"v\"} [running]:\n");
    long_value[239 - strlen("k=\"v\", l=\"\"")] = 0;
    CHECK_EQ(rn_set_label("l", long_value), 0);
    shows("xxx\"} [running]:\n");
    CHECK_EQ(rn_set_label("k", "vv"), -ENOSPC);
    shows("\ngoroutine 1 {k=\"v\", l=\"xxx");
}

static void *label_thread(void *arg)
{
    (void)arg;
    CHECK_EQ(rn_set_label("k", "v"), -ENOTSUP);
    return NULL;
}
PLAIN_TEST(not_on_a_thread)
{
    pthread_t t;

    CHECK_EQ(rn_set_label("k", "v"), -ENOTSUP);
    CHECK_EQ(pthread_create(&t, NULL, label_thread, NULL), 0);
    CHECK_EQ(pthread_join(t, NULL), 0);
}

/* Who is started has them, before it runs and after, through generations; what is set later is its own. */
static void grandchild(void)
{
    CHECK_EQ(rn_set_label("depth", "2"), 0);
    wait_here();
}
static void child(void)
{
    rn_go(grandchild);
    wait_here();
}
GO_TEST_PROCS(who_is_started_has_them, 1)
{
    if (test_is_emulated())
        test_skip("this goroutine's time is over before all are started");
    begin();
    start_waiter(); /* before there are any */
    CHECK_EQ(rn_set_label("request", "7"), 0);
    rn_go(child);
    shows("\ngoroutine 3 {request=\"7\"} [runnable]:\n");
    CHECK_EQ(rn_set_label("request", "8"), 0);
    rn_go_with(RN_ATTR(.name = "named"), wait_here);
    CHECK_EQ(rn_set_label("request", NULL), 0);
    rn_go(wait_here);
    until_arrived(5);
    shows("\ngoroutine 2 [chan receive]:\n");
    shows("\ngoroutine 3 {request=\"7\"} [chan receive]:\n");
    shows("\ngoroutine 4 \"named\" {request=\"8\"} [chan receive]:\n");
    shows("\ngoroutine 5 [chan receive]:\n");
    shows("\ngoroutine 6 {depth=\"2\", request=\"7\"} [chan receive]:\n");
    leaks_show("\ngoroutine 4 \"named\" {request=\"8\"} [chan receive]:\n");
    end();
}

/* Every way to start one. */
static int wait_in_group(void)
{
    wait_here();
    return 0;
}
static void wait_copied(int *n)
{
    CHECK_EQ(*n, 5);
    wait_here();
}
static void wait_fn(void *arg)
{
    (void)arg;
    wait_here();
}
static void cancel(rn_ctx *ctx)
{
    rn_ctx_cancel(ctx);
    rn_ctx_release(ctx);
}
GO_TEST_PROCS(by_every_start, 1)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx_hook hook = {0}, stopped = {0};
    rn_group group = {0};
    rn_timer *after;
    rn_wg wg = {0};
    char *report;
    int five = 5;

    begin();
    CHECK_EQ(rn_set_label("k", "v"), 0);
    rn_wg_go(&wg, wait_here);
    rn_group_go(&group, wait_in_group);
    rn_go_copy(wait_copied, &five);
    rn_go_fn(wait_fn, NULL);
    CHECK_EQ(rn_go_err(wait_here), 0);
    rn_ctx_after_func(&hook, ctx, wait_here);
    rn_ctx_after_func(&stopped, ctx, wait_here);
    CHECK(rn_ctx_hook_stop(&stopped));
    after = rn_after_func(0, wait_here);
    CHECK_EQ(rn_set_label("k", NULL), 0);
    CHECK_EQ(rn_set_label("not", "this"), 0);
    cancel(rn_ctx_retain(ctx)); /* here, with other labels */
    until_arrived(7);
    report = said_by(dump);
    CHECK_EQ(times_in(report, "{k=\"v\"}"), 6);
    CHECK_EQ(times_in(report, "{not=\"this\"}"), 1); /* the caller: the timer's has none */
    free(report);
    end();
    rn_wg_wait(&wg);
    CHECK_EQ(rn_group_wait(&group), 0);
    rn_timer_free(after);
    rn_ctx_hook_stop(&hook);
    rn_ctx_end(ctx);
}

/* Alike ones are one entry whatever their labels, and each run of ids with the same labels has them once. */
GO_TEST_PROCS(alike_with_other_labels, 1)
{
    begin();
    for (int i = 0; i < 6; i++) {
        if (i == 2)
            CHECK_EQ(rn_set_label("k", "v"), 0);
        if (i == 4)
            CHECK_EQ(rn_set_label("k", "w"), 0);
        start_waiter();
    }
    until_arrived(6);
    shows("\ngoroutines 2-3, 4-5 {k=\"v\"}, 6-7 {k=\"w\"} [chan receive], 6 alike:\n");
    end();
}

/* The next on the stack and in the record of one that ended has none. */
static void label_and_end(void)
{
    CHECK_EQ(rn_set_label("k", "v"), 0);
}
static void label_and_exit(void)
{
    CHECK_EQ(rn_set_label("k", "v"), 0);
    rn_exit(0);
}
GO_TEST_PROCS(they_end_with_the_goroutine, 1)
{
    char *report;

    begin();
    for (int i = 0; i < 10; i++) {
        rn_go(label_and_end);
        rn_go(label_and_exit);
    }
    test_expect_settled(__FILE__, __LINE__);
    for (int i = 0; i < 20; i++)
        start_waiter();
    until_arrived(20);
    report = said_by(dump);
    has_not(report, "{");
    free(report);
    end();
}

/* What they take is given back, by each way to end. */
static size_t resident(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    size_t size, pages;

    CHECK(f != NULL);
    CHECK_EQ(fscanf(f, "%zu %zu", &size, &pages), 2);
    fclose(f);
    return pages * 4096;
}
static void nothing(void) {}
static int leave_labelled(int n)
{
    CHECK_EQ(rn_set_label("k", "v"), 0);
    for (int i = 0; i < n; i++) /* half of them have waited */
        rn_go(wait_here);
    rn_yield();
    for (int i = 0; i < n; i++)
        rn_go(nothing);
    return 0;
}
static int end_labelled(int n)
{
    CHECK_EQ(rn_set_label("k", "v"), 0);
    for (int i = 0; i < n; i++) {
        rn_go(i % 2 ? label_and_exit : nothing);
        while (i % 100 == 0 && rn_count() > 1)
            rn_yield();
    }
    test_expect_settled(__FILE__, __LINE__);
    return 0;
}
PLAIN_TEST(nothing_is_kept)
{
    enum { N = 100000, EACH = 200, LEAST = N / 2 * 256 };
    size_t before;

    if (test_is_slow())
        test_skip("what the tool keeps is more");
    CHECK_EQ(rn_set_procs(1), 0);
    gate = rn_chan_make(int, 0);
    CHECK_EQ(rn_run(end_labelled, 1000), 0);
    before = resident();
    CHECK_EQ(rn_run(end_labelled, N), 0);
    CHECK(resident() < before + LEAST);
    CHECK_EQ(rn_run(leave_labelled, EACH), 0);
    before = resident();
    for (int i = 0; i < N / EACH; i++)
        CHECK_EQ(rn_run(leave_labelled, EACH), 0);
    CHECK(resident() < before + LEAST);
    rn_chan_release(gate);
}

/* Left over at the end of rn_run, run or not, with labels: the next runtime knows nothing of them. */
static int leave_some(void)
{
    gate = rn_chan_make(int, 0);
    CHECK_EQ(rn_set_label("k", "v"), 0);
    for (int i = 0; i < 10; i++)
        rn_go(wait_here);
    rn_yield();
    for (int i = 0; i < 10; i++)
        rn_go(wait_here);
    return 0;
}
static int look_for_some(void)
{
    char *report = said_by(dump);

    has_not(report, "{");
    free(report);
    rn_chan_release(gate);
    return 0;
}
PLAIN_TEST(left_over)
{
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(rn_run(leave_some), 0);
        CHECK_EQ(rn_run(look_for_some), 0);
    }
}

/* A panic's report has them. */
static void broken(void)
{
    rn_panic("broken");
}
static int start_broken(void)
{
    CHECK_EQ(rn_set_label("request", "7"), 0);
    rn_go(broken);
    rn_sleep(RN_HOUR);
    return 0;
}
static void run_broken(void)
{
    exit(rn_run(start_broken));
}
PLAIN_TEST(in_a_panic)
{
    struct child c = run_child(run_broken);

    CHECK_EXIT(&c, 2);
    has(c.said, "panic: broken\n\ngoroutine 2 {request=\"7\"} [running]:\n");
    free(c.said);
}
