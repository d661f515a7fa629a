/* SPDX-License-Identifier: MIT */
/*
 * tools.c - runs race.c and asan.c, which were compiled with a sanitizer and linked with the ordinary library,
 * and looks at what they say. RUNNEL_RACE and RUNNEL_ASAN are their paths.
 */
#define _GNU_SOURCE
#include "process.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WITH = 1, WITHOUT = 2 };

/* Run all cases of race.c that have this side; part of a few, so that no test takes too long. */
static void race_cases(int side, int part, int parts)
{
    const char *program = getenv("RUNNEL_RACE");
    const char *const env[] = {"TSAN_OPTIONS=exitcode=66", NULL};
    char failed[4000] = "", name[60];
    struct child list;
    int has, n, ran = 0, wrong = 0;

    if (!program)
        SKIP("no compiler with ThreadSanitizer");
    list = run_program((const char *const[]){program, "--list", NULL}, NULL);
    CHECK_EXIT(&list, 0);
    for (const char *at = list.said; sscanf(at, "%59s %d%n", name, &has, &n) == 2; at += n) {
        const char *word = side == WITH ? "with" : "without";
        struct child c;
        bool reported, ended;

        if (!(has & side) || ran++ % parts != part)
            continue;
        c = run_program((const char *const[]){program, name, word, NULL}, env);
        reported = strstr(c.said, "WARNING: ThreadSanitizer: data race") != NULL;
        ended = strstr(c.said, "done") != NULL && WIFEXITED(c.status);
        if (side == WITH ? reported || !ended || WEXITSTATUS(c.status) != 0 : !reported) {
            size_t used = strlen(failed);

            wrong++;
            snprintf(failed + used, sizeof(failed) - used, " %s%s", name, ended ? "" : " (did not end)");
            fprintf(stderr, "---- %s %s:\n%.2000s\n", name, word, c.said);
        }
        free(c.said);
    }
    free(list.said);
    CHECK(ran > 20);
    if (wrong)
        test_fail(__FILE__, __LINE__, "%s %s:%s", side == WITH ? "with" : "without",
                  side == WITH ? "the edge, a report or worse" : "the edge, silence", failed);
}

PLAIN_TEST(race_02_21_edges_are_seen_1)
{
    race_cases(WITH, 0, 2);
}
PLAIN_TEST(race_02_21_edges_are_seen_2)
{
    race_cases(WITH, 1, 2);
}
PLAIN_TEST(race_02_21_none_is_invented_1)
{
    race_cases(WITHOUT, 0, 2);
}
PLAIN_TEST(race_02_21_none_is_invented_2)
{
    race_cases(WITHOUT, 1, 2);
}

static struct child asan_case(const char *what)
{
    const char *program = getenv("RUNNEL_ASAN");
    const char *const env[] = {"ASAN_OPTIONS=detect_leaks=1:exitcode=23", NULL};

    if (!program)
        SKIP("no compiler with AddressSanitizer");
    return run_program((const char *const[]){program, what, NULL}, env);
}

PLAIN_TEST(d21_asan_is_silent_about_a_clean_program)
{
    struct child c = asan_case("clean");

    CHECK_EXIT(&c, 0);
    CHECK_SAYS(&c, "done");
    CHECK(!strstr(c.said, "Sanitizer"));
    free(c.said);
}

PLAIN_TEST(d21_asan_reports_faults_in_goroutines)
{
    struct child c = asan_case("stack");

    CHECK_EXIT(&c, 23);
    CHECK_SAYS(&c, "AddressSanitizer: stack-buffer-overflow");
    CHECK_SAYS(&c, "write_past_the_frame");
    free(c.said);
    c = asan_case("heap");
    CHECK_EXIT(&c, 23);
    CHECK_SAYS(&c, "AddressSanitizer: heap-use-after-free");
    CHECK_SAYS(&c, "use_after_free");
    free(c.said);
}

PLAIN_TEST(d21_lsan_knows_the_stacks_of_parked_goroutines)
{
    struct child c = asan_case("held");

    CHECK_EXIT(&c, 0);
    CHECK_SAYS(&c, "done");
    CHECK(!strstr(c.said, "LeakSanitizer"));
    free(c.said);
    c = asan_case("leak");
    CHECK_EXIT(&c, 23);
    CHECK_SAYS(&c, "LeakSanitizer: detected memory leaks");
    CHECK_SAYS(&c, "1234 byte(s)");
    free(c.said);
}
