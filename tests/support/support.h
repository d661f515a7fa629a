/* SPDX-License-Identifier: MIT */
/*
 * support.h - what the tests stand on.
 *
 * A test registers itself; the program's main() runs each in a process of its own, with libcheck
 * (or, where libcheck is missing, as in a cross build, with a small runner of main.c). The runtime
 * starts inside that process, never before the fork. A failed check ends the process at once, so
 * it may fail on any goroutine's stack.
 *
 *   GO_TEST(name)             the body runs as the first goroutine; none may be left at its end
 *   GO_TEST_LEAVES(name)      the same, but goroutines are left behind on purpose
 *   GO_TEST_PROCS(name, n)    as GO_TEST, with at most n goroutines at the same time
 *   PLAIN_TEST(name)          the body runs on the plain thread, without a runtime
 *   DEATH_TEST(name, text)    the body, a first goroutine, must end the process with that report
 *   DEATH_TEST_PROCS(...)     the same with at most n goroutines at the same time: with one, whoever
 *                             yields to a goroutine has it run until it waits
 *   DEATH_TEST_PLAIN(...)     the same on the plain thread
 *
 * A test says which items it proves, and tests/conformance/conformance.py reads it: by its name, which may
 * begin with a group and numbers (chan_15_16_order proves CHAN-15 and CHAN-16), and by the list that opens
 * the comment right above it ("CHAN-15, CHAN-17, D27: ..."). What a comment mentions later is not claimed.
 * CHAN-01 and so on are items of tests/conformance/items.txt, TEXT-05 and so on of texts.txt; D5, in a name d05,
 * is a decision about the interface, item D-05, and F5 a likely mistake. Names of tests are unique among all programs.
 */
#ifndef TEST_SUPPORT_H
#define TEST_SUPPORT_H

#include <runnel.h>

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#if defined(__has_feature) /* gcc does not tell */
#if __has_feature(undefined_behavior_sanitizer)
#define UNDER_UBSAN 1
#endif
#endif
#ifndef UNDER_ASAN
#define UNDER_ASAN 0
#endif
#ifndef UNDER_UBSAN
#define UNDER_UBSAN 0
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

struct test {
    const char *name, *file;
    int line;
    void (*run)(int unused);
    struct test *next;
    void *checked; /* the runner's */
};

void test_register(struct test *t);
void test_begin(const char *name);

/* A line for RUNNEL_TEST_RESULTS beside those of the tests themselves; state is pass, fail or skip. */
void test_result(const char *name, const char *state, const char *why);
/* End this test as passed, saying why it could not be made. */
void test_skip(const char *why) __attribute__((noreturn));

/* Reports and ends the process; safe on any stack and any thread. */
void test_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 3, 4)));

/* n rounds on bare metal; fewer, but at least one, under sanitizers, Valgrind and emulation. */
int test_times(int n);
/* Whether test_times shortens: what measures is then left out. */
bool test_is_slow(void);
/* Whether an emulator runs the program, which has a thread of its own and passes no seccomp filter on. */
bool test_is_emulated(void);

/* What is left in memory at the end of the process is no matter. */
void test_leaves_behind(void);

/* Let everybody else run for a good while: what could wrongly happen gets its chance. */
void test_let_run(void);

/* Goroutines that are parked now. To await a number of them is to know that so many wait, where none but these can. */
size_t test_parked(void);
/* How often a goroutine has begun to wait so far. Whoever is counted stands in its queue already, so that
 *     uint64_t before = test_waits();
 *     rn_go(...);
 *     AWAIT(test_waits() == before + 1);
 * means just that the new goroutine waits, on any number of processors. Yields do not count. */
uint64_t test_waits(void);

/* Runs body(arg) in a child process, which must end with status 2 and a report on stderr: its
 * first line is text, and a goroutine is named. Returns the report, valid until the next call.
 * (A sanitizer may have something to say first: a send and a close that nothing orders are a race.) */
const char *test_expect_death(const char *file, int line, void (*body)(void), const char *text);

/* Fails if a goroutine besides the caller is left after a generous time. */
void test_expect_settled(const char *file, int line);
int test_run_body(const char *file, int line, void (*body)(void), bool leaves);

/* ---- Checks: silent and cheap when they hold, so they may stand in loops ---------------------- */

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            test_fail(__FILE__, __LINE__, "%s", #cond);                                            \
    } while (0)

#define FAIL(text) test_fail(__FILE__, __LINE__, "%s", text)

#define CHECK_EQ(a, b)                                                                             \
    do {                                                                                           \
        long long test_a_ = (long long)(a), test_b_ = (long long)(b);                              \
        if (test_a_ != test_b_)                                                                    \
            test_fail(__FILE__, __LINE__, "%s is %lld, not %s, %lld", #a, test_a_, #b, test_b_);   \
    } while (0)

#define CHECK_STR(a, b)                                                                            \
    do {                                                                                           \
        const char *test_a_ = (a), *test_b_ = (b);                                                 \
        if (strcmp(test_a_, test_b_) != 0)                                                         \
            test_fail(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #a, test_a_, test_b_);       \
    } while (0)

/* Waits until cond holds; the bound only makes a hang a readable failure. */
#define AWAIT(cond)                                                                                \
    do {                                                                                           \
        rn_time test_bound_ = rn_now() + 60 * RN_SECOND;                                           \
        while (!(cond)) {                                                                          \
            if (rn_now() > test_bound_)                                                            \
                test_fail(__FILE__, __LINE__, "waited in vain for %s", #cond);                     \
            rn_yield();                                                                            \
        }                                                                                          \
    } while (0)

/* ---- Making tests ----------------------------------------------------------------------------- */

#define TEST_REGISTER_(name)                                                                       \
    __attribute__((constructor)) static void name##_register(void)                                 \
    {                                                                                              \
        static struct test t = {#name, __FILE__, __LINE__, name##_test, NULL, NULL};               \
        test_register(&t);                                                                         \
    }

#define PLAIN_TEST(name)                                                                           \
    static void name(void);                                                                        \
    static void name##_test(int unused)                                                            \
    {                                                                                              \
        (void)unused;                                                                              \
        test_begin(#name);                                                                         \
        name();                                                                                    \
    }                                                                                              \
    TEST_REGISTER_(name)                                                                           \
    static void name(void)

#define TEST_GO_(name, procs, leaves)                                                              \
    static void name(void);                                                                        \
    static void name##_test(int unused)                                                            \
    {                                                                                              \
        (void)unused;                                                                              \
        test_begin(#name);                                                                         \
        if ((procs) != 0)                                                                          \
            CHECK_EQ(rn_set_procs(procs), 0);                                                      \
        CHECK_EQ(rn_run(test_run_body, __FILE__, __LINE__, name, leaves), 0);                      \
    }                                                                                              \
    TEST_REGISTER_(name)                                                                           \
    static void name(void)

#define GO_TEST(name) TEST_GO_(name, 0, false)
#define GO_TEST_LEAVES(name) TEST_GO_(name, 0, true)
#define GO_TEST_PROCS(name, procs) TEST_GO_(name, procs, false)

#define DEATH_TEST(name, text) DEATH_TEST_PROCS(name, 0, text)
#define DEATH_TEST_PROCS(name, procs, text)                                                        \
    static void name(void);                                                                        \
    static void name##_run(void)                                                                   \
    {                                                                                              \
        CHECK_EQ(rn_set_procs(procs), 0);                                                          \
        (void)!rn_run(test_run_body, __FILE__, __LINE__, name, true);                              \
    }                                                                                              \
    static void name##_test(int unused)                                                            \
    {                                                                                              \
        (void)unused;                                                                              \
        test_begin(#name);                                                                         \
        test_expect_death(__FILE__, __LINE__, name##_run, text);                                   \
    }                                                                                              \
    TEST_REGISTER_(name)                                                                           \
    static void name(void)

#define DEATH_TEST_PLAIN(name, text)                                                               \
    static void name(void);                                                                        \
    static void name##_test(int unused)                                                            \
    {                                                                                              \
        (void)unused;                                                                              \
        test_begin(#name);                                                                         \
        test_expect_death(__FILE__, __LINE__, name, text);                                         \
    }                                                                                              \
    TEST_REGISTER_(name)                                                                           \
    static void name(void)

#endif
