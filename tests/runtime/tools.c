/* SPDX-License-Identifier: MIT */
/*
 * tools.c - runs race.c, asan.c and reports.c, which were compiled with a sanitizer and linked with the ordinary
 * library, and looks at what they say. RUNNEL_RACE_CLANG, RUNNEL_ASAN_CLANG and so on are their paths, by compiler.
 */
#define _GNU_SOURCE
#include "process.h"

#include <glob.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WITH = 1, WITHOUT = 2 };

/* Run one side of a case: is it as it must be? The detector never invents a race, but it can miss one: two
 * accesses at the very same moment, or one of a goroutine that is gone and whose trace is overwritten. So
 * silence where there must be a report has to come five times in a row. */
static bool race_case_holds(const char *program, const char *name, int side)
{
    const char *const env[] = {"TSAN_OPTIONS=exitcode=66", NULL};
    const char *word = side == WITH ? "with" : "without";

    for (int tries = 0;; tries++) {
        struct child c = run_program((const char *const[]){program, name, word, NULL}, env);
        bool reported = strstr(c.said, "WARNING: ThreadSanitizer: data race") != NULL;
        bool ended = strstr(c.said, "done") != NULL && WIFEXITED(c.status);
        bool holds = side == WITH ? !reported && ended && WEXITSTATUS(c.status) == 0 : reported;

        if (!holds && (side == WITH || tries == 4))
            fprintf(stderr, "---- %s %s%s:\n%.2000s\n", name, word, ended ? "" : " (did not end)",
                    c.said);
        free(c.said);
        if (holds || side == WITH || tries == 4)
            return holds;
    }
}

/* Run all cases of race.c that have this side; part of a few, so that no test takes too long. */
static void race_cases(const char *program, int side, int part, int parts)
{
    char failed[4000] = "", name[60], result[80];
    struct child list;
    int has, n, ran = 0;

    if (!program)
        SKIP("no compiler with ThreadSanitizer");
    list = run_program((const char *const[]){program, "--list", NULL}, NULL);
    CHECK_EXIT(&list, 0);
    for (const char *at = list.said; sscanf(at, "%59s %d %*s%n", name, &has, &n) == 2; at += n) {
        bool holds;

        if (!(has & side) || ran++ % parts != part)
            continue;
        holds = race_case_holds(program, name, side);
        snprintf(result, sizeof(result), "race:%s:%s", name, side == WITH ? "with" : "without");
        test_result(result, holds ? "pass" : "fail", "");
        if (!holds) {
            size_t used = strlen(failed);

            snprintf(failed + used, sizeof(failed) - used, " %s", name);
        }
    }
    free(list.said);
    CHECK(ran > 20);
    if (*failed)
        test_fail(__FILE__, __LINE__, "%s:%s",
                  side == WITH ? "with the edge, a report or worse" : "without the edge, silence",
                  failed);
}

/* By either compiler: each has a detector of its own, and instruments what the headers inline in its own way. */

/* D21, D22, RACE-26: no fast path that is inlined elsewhere hides an edge. */
PLAIN_TEST(race_edges_are_seen_clang_1)
{
    race_cases(getenv("RUNNEL_RACE_CLANG"), WITH, 0, 2);
}
/* D21, D22, RACE-26 */
PLAIN_TEST(race_edges_are_seen_clang_2)
{
    race_cases(getenv("RUNNEL_RACE_CLANG"), WITH, 1, 2);
}
/* D21 */
PLAIN_TEST(race_none_is_invented_clang_1)
{
    race_cases(getenv("RUNNEL_RACE_CLANG"), WITHOUT, 0, 2);
}
/* D21 */
PLAIN_TEST(race_none_is_invented_clang_2)
{
    race_cases(getenv("RUNNEL_RACE_CLANG"), WITHOUT, 1, 2);
}
/* D21, D22, RACE-26 */
PLAIN_TEST(race_edges_are_seen_gcc_1)
{
    race_cases(getenv("RUNNEL_RACE_GCC"), WITH, 0, 2);
}
/* D21, D22, RACE-26 */
PLAIN_TEST(race_edges_are_seen_gcc_2)
{
    race_cases(getenv("RUNNEL_RACE_GCC"), WITH, 1, 2);
}
/* D21 */
PLAIN_TEST(race_none_is_invented_gcc_1)
{
    race_cases(getenv("RUNNEL_RACE_GCC"), WITHOUT, 0, 2);
}
/* D21 */
PLAIN_TEST(race_none_is_invented_gcc_2)
{
    race_cases(getenv("RUNNEL_RACE_GCC"), WITHOUT, 1, 2);
}

/* The number of the line of race.c that has the comment. */
static int race_line(const char *comment)
{
    FILE *f = fopen(RACE_SOURCE, "r");
    char line[300], whole[100];
    int n = 1;

    CHECK(f != NULL);
    snprintf(whole, sizeof whole, "/* tools.c: %s */", comment);
    for (; fgets(line, sizeof line, f); n++) {
        if (strstr(line, whole)) {
            fclose(f);
            return n;
        }
    }
    test_fail(__FILE__, __LINE__, "race.c: no line %s", whole);
}

/* A report has the names that goroutines were given, or gave themselves, and where each was started. */
PLAIN_TEST(race_names_are_in_the_report)
{
    static const char *const lines[] = {"by itself", "at the start", "started", "started, too"};
    const char *program = getenv("RUNNEL_RACE_CLANG"), *symbolizer = getenv("ASAN_SYMBOLIZER_PATH");
    char options[1000], place[40];
    const char *const env[] = {options, NULL};
    struct child c;

    if (!program)
        SKIP("no compiler with ThreadSanitizer");
    snprintf(options, sizeof options, "TSAN_OPTIONS=exitcode=66%s%s",
             symbolizer ? ":external_symbolizer_path=" : "", symbolizer ? symbolizer : "");
    for (int tries = 0; tries < 5; tries++) { /* see race_case_holds */
        c = run_program((const char *const[]){program, "names", NULL}, env);
        if (strstr(c.said, "WARNING: ThreadSanitizer: data race"))
            break;
        free(c.said);
        c.said = NULL;
    }
    CHECK(c.said != NULL);
    CHECK_EXIT(&c, 66);
    CHECK_SAYS_LINE(&c, " 'goroutine 2 at the start' (", " created by thread T");
    CHECK_SAYS_LINE(&c, " 'goroutine 3 by itself' (", " created by thread T");
    CHECK(!strstr(c.said, "goroutine 1 first"));
    for (size_t i = 0; symbolizer && i < sizeof lines / sizeof lines[0]; i++) {
        snprintf(place, sizeof place, "race.c:%d", race_line(lines[i]));
        CHECK_SAYS(&c, place);
    }
    free(c.said);
}

static void reports_are_silent(const char *program)
{
    const char *const env[] = {"TSAN_OPTIONS=exitcode=66", NULL};
    struct child c;

    if (!program)
        SKIP("no compiler with ThreadSanitizer, or no librunnel-symbols");
    c = run_program((const char *const[]){program, NULL}, env);
    CHECK_EXIT(&c, 0);
    CHECK_SAYS(&c, "done");
    CHECK(!strstr(c.said, "Sanitizer"));
    free(c.said);
}

/* D21, RACE-26: what librunnel-symbols does for reports made at the same time is no race. */
PLAIN_TEST(d21_tsan_is_silent_about_reports)
{
    for (int i = 0; i < 3; i++)
        reports_are_silent(getenv("RUNNEL_REPORTS_CLANG"));
}
/* D21, RACE-26 */
PLAIN_TEST(d21_tsan_of_gcc_is_silent_about_reports)
{
    for (int i = 0; i < 3; i++)
        reports_are_silent(getenv("RUNNEL_REPORTS_GCC"));
}

/* A race of two goroutines, with these options. */
static struct child race_with(const char *program, const char *options)
{
    char given[300];
    const char *const env[] = {given, NULL};

    snprintf(given, sizeof(given), "TSAN_OPTIONS=%s", options);
    return run_program((const char *const[]){program, "go", "without", NULL}, env);
}

static void report_is_whole(const char *program, bool names)
{
    struct child c = race_with(program, "");

    CHECK_SAYS(&c, "WARNING: ThreadSanitizer: data race");
    CHECK_SAYS_LINE(&c, "  Write of size 4 at 0x", " by thread T");
    CHECK_SAYS_LINE(&c, "  Previous write of size 4 at 0x", " by thread T");
    CHECK_SAYS_LINE(&c, "'goroutine 1'", "created by main thread at:");
    CHECK_SAYS_LINE(&c, "'goroutine 2'", "created by thread T");
    if (names) {
        CHECK_SAYS_LINE(&c, "#0 write_in_turn ", "race.c:");
        CHECK_SAYS_LINE(&c, "#0 go ", "race.c:");
        CHECK_SAYS_LINE(&c, "#1 go ", "race.c:"); /* where it was started */
    }
    free(c.said);
}
PLAIN_TEST(race_23_what_a_report_has)
{
    const char *clang = getenv("RUNNEL_RACE_CLANG"), *gcc = getenv("RUNNEL_RACE_GCC");

    if (!clang && !gcc)
        SKIP("no compiler with ThreadSanitizer");
    if (clang)
        report_is_whole(clang, false); /* names want a program of clang's in the path */
    if (gcc)
        report_is_whole(gcc, true);
}

PLAIN_TEST(race_24_options)
{
    const char *program = getenv("RUNNEL_RACE_CLANG");
    char folder[] = "/tmp/runnel-tools-XXXXXX", text[200];
    glob_t files;
    struct child c;

    if (!program)
        SKIP("no compiler with ThreadSanitizer");
    c = race_with(program, "");
    CHECK_EXIT(&c, 66);
    CHECK_SAYS(&c, "done");
    CHECK_SAYS(&c, "ThreadSanitizer: reported 1 warnings");
    free(c.said);
    c = race_with(program, "exitcode=7");
    CHECK_EXIT(&c, 7);
    CHECK_SAYS(&c, "done");
    free(c.said);
    c = race_with(program, "halt_on_error=1");
    CHECK_EXIT(&c, 66);
    CHECK(!strstr(c.said, "done"));
    free(c.said);

    CHECK(mkdtemp(folder) != NULL);
    snprintf(text, sizeof(text), "log_path=%s/log", folder);
    c = race_with(program, text);
    CHECK_EXIT(&c, 66);
    CHECK_SAYS(&c, "done");
    CHECK(!strstr(c.said, "WARNING"));
    free(c.said);
    snprintf(text, sizeof(text), "%s/log.*", folder);
    CHECK_EQ(glob(text, 0, NULL, &files), 0);
    CHECK_EQ(files.gl_pathc, 1);
    CHECK_EQ(unlink(files.gl_pathv[0]), 0);
    globfree(&files);
    CHECK_EQ(rmdir(folder), 0);
}

static struct child asan_case_with(const char *what, const char *options)
{
    const char *program = getenv("RUNNEL_ASAN_CLANG");
    const char *const env[] = {options, NULL};

    if (!program)
        SKIP("no compiler with AddressSanitizer");
    return run_program((const char *const[]){program, what, NULL}, env);
}

static struct child asan_case(const char *what)
{
    return asan_case_with(what, "ASAN_OPTIONS=detect_leaks=1:exitcode=23");
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
    if (getenv("ASAN_SYMBOLIZER_PATH"))
        CHECK_SAYS(&c, "write_past_the_frame");
    free(c.said);
    c = asan_case("heap");
    CHECK_EXIT(&c, 23);
    CHECK_SAYS(&c, "AddressSanitizer: heap-use-after-free");
    if (getenv("ASAN_SYMBOLIZER_PATH"))
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

/* With frames in the heap LeakSanitizer would not see them: docs/debugging.md says to do without, for leaks. */
PLAIN_TEST(lsan_knows_variables_of_parked_goroutines)
{
    struct child c = asan_case_with(
        "framed", "ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=0:exitcode=23");

    CHECK_EXIT(&c, 0);
    CHECK_SAYS(&c, "done");
    CHECK(!strstr(c.said, "LeakSanitizer"));
    free(c.said);
}

/* D06: whatever is done with a channel or context that was released is reported, with who did it. */
PLAIN_TEST(d06_asan_finds_every_use_of_what_was_released)
{
    const char *program = getenv("RUNNEL_ASAN_CLANG");
    const char *const env[] = {"ASAN_OPTIONS=detect_leaks=0:exitcode=23", NULL};
    char name[60], who[80], failed[2000] = "";
    struct child list;
    int n, ran = 0;

    if (!program)
        SKIP("no compiler with AddressSanitizer");
    list = run_program((const char *const[]){program, "used", "--list", NULL}, env);
    CHECK_EXIT(&list, 0);
    for (const char *at = list.said; sscanf(at, "%59s%n", name, &n) == 1; at += n, ran++) {
        struct child c = run_program((const char *const[]){program, "used", name, NULL}, env);
        size_t used = strlen(failed);

        snprintf(who, sizeof(who), "in used_%s ", name);
        if (!WIFEXITED(c.status) || WEXITSTATUS(c.status) != 23 ||
            !strstr(c.said, "AddressSanitizer: heap-use-after-free") ||
            (getenv("ASAN_SYMBOLIZER_PATH") && !strstr(c.said, who)))
            snprintf(failed + used, sizeof(failed) - used, " %s", name);
        free(c.said);
    }
    free(list.said);
    CHECK(ran > 20);
    if (*failed)
        test_fail(__FILE__, __LINE__, "not reported:%s", failed);
}
