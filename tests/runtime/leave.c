/* SPDX-License-Identifier: MIT */
/*
 * leave.c - goroutines that leave their thread with a lock of it are reported, others are not: RUNNEL_LOCKS with
 * librunnel-locks preloaded into leaver.c, which is linked as usual. RUNNEL_LEAVER and RUNNEL_LOCKS_LIBRARY are their paths.
 */
#define _GNU_SOURCE
#include "process.h"

#include "said.h"

#include <sys/wait.h>

enum { NAMES = 40 };

static const char *also; /* a further variable of the environment, or NULL */

static struct child leaver(const char *locks, const char *const names[])
{
    const char *argv[NAMES + 2] = {getenv("RUNNEL_LEAVER")};
    const char *env[4] = {locks};
    char preload[4096];
    int n = 1;

    if (!argv[0] || !getenv("RUNNEL_LOCKS_LIBRARY"))
        SKIP("run by ctest only");
    while (names[n - 1] && n <= NAMES) {
        argv[n] = names[n - 1];
        n++;
    }
    argv[n] = NULL;
    snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", getenv("RUNNEL_LOCKS_LIBRARY"));
    env[1] = preload;
    env[2] = also;
    return run_program(argv, env);
}
static struct child leaver_of(const char *locks, const char *name)
{
    return leaver(locks, (const char *const[]){name, NULL});
}

/* Calls fn with the name of each case and what must be said of it; how many there were. */
static int each_case(void (*fn)(const char *name, const char *what))
{
    struct child list = leaver_of("RUNNEL_LOCKS=0", "--list");
    char name[60], what[60];
    int n = 0, size;

    CHECK_EXIT(&list, 0);
    for (const char *at = list.said; sscanf(at, " %59[^:]:%59[^\n]%n", name, what, &size) == 2;
         at += size, n++)
        fn(name, what);
    free(list.said);
    return n;
}

static void is_said(const char *name, const char *what)
{
    struct child c = leaver_of("RUNNEL_LOCKS=1", name);
    char line[100];

    CHECK_EXIT(&c, 0);
    if (strcmp(what, "-") == 0) {
        if (*c.said)
            fprintf(stderr, "of %s:\n", name);
        CHECK_STR(c.said, "");
    } else {
        snprintf(line, sizeof(line), " with a lock of its thread:\n  %s 0x", what);
        CHECK_EQ(times_in(c.said, " with a lock of its thread:\n"), 1);
        begins(c.said, "runnel: goroutine 2 \"leaver\" ");
        has(c.said, line);
        has(c.said, " locked at\n\t");
        has(c.said, "\ngoroutine 2 \"leaver\" [");
    }
    free(c.said);
}
/* Each of libc's locks, each way to take it; and whoever has none, is locked to its thread, or is none. */
PLAIN_TEST(who_leaves_with_a_lock_of_the_thread)
{
    CHECK(each_case(is_said) > 25);
}

static void says_how(const char *name, const char *how, const char *state)
{
    struct child c = leaver_of("RUNNEL_LOCKS=1", name);

    begins(c.said, "runnel: goroutine 2 \"leaver\" ");
    has(c.said, how);
    has(c.said, state);
    free(c.said);
}
PLAIN_TEST(it_says_how_it_leaves)
{
    says_how("with_mutex", "\"leaver\" waits with",
             "\n\ngoroutine 2 \"leaver\" [chan receive]:\n\t");
    says_how("with_yield", "\"leaver\" yields with", "\n\ngoroutine 2 \"leaver\" [running]:\n\t");
    says_how("with_end", "\"leaver\" ends with", "\n\ngoroutine 2 \"leaver\" [running]:\n\t");
}

/* Once for each place; and by whoever asks for the end, as the end. */
PLAIN_TEST(each_place_once_or_at_once)
{
    struct child c =
        leaver("RUNNEL_LOCKS=1",
               (const char *const[]){"with_mutex", "with_mutex", "with_yield", "with_mutex", NULL});

    CHECK_EXIT(&c, 0);
    CHECK_EQ(times_in(c.said, " with a lock of its thread:\n"), 2);
    free(c.said);
    c = leaver_of("RUNNEL_LOCKS=fatal", "with_mutex");
    CHECK_EXIT(&c, 2);
    begins(
        c.said,
        "fatal error: goroutine 2 \"leaver\" waits with a lock of its thread:\n  pthread mutex 0x");
    free(c.said);
}

/* RUNNEL_STACKS looks at those that leave as well. */
PLAIN_TEST(with_a_census_of_stacks)
{
    struct child c;

    also = "RUNNEL_STACKS=1";
    c = leaver_of("RUNNEL_LOCKS=1", "with_end");
    also = NULL;
    CHECK_EXIT(&c, 0);
    begins(c.said, "runnel: goroutine 2 \"leaver\" ends with a lock of its thread:\n");
    has(c.said, "\nrunnel: peak use of stacks at the end of rn_run, by where the goroutines");
    CHECK_EQ(times_in(c.said, "1 goroutine: "), 2); /* also the one that has left */
    free(c.said);
}

/* Who is not asked says nothing. */
PLAIN_TEST(only_on_request)
{
    struct child c =
        leaver("RUNNEL_LOCKS=0", (const char *const[]){"with_mutex", "with_end", NULL});

    CHECK_EXIT(&c, 0);
    CHECK_STR(c.said, "");
    free(c.said);
}
