/* SPDX-License-Identifier: MIT */
/*
 * main.c - runs the registered tests, each in a process of its own.
 *
 *     PROGRAM             all of them
 *     PROGRAM text...     those whose name contains one of the texts
 *     PROGRAM --list      their names
 *
 * RUNNEL_TEST_DIVISOR divides the number of rounds (1 is the full number).
 * RUNNEL_TEST_RESULTS names a file that is written anew: a line for each test that ran, with its name, then
 * pass, fail or skip, then what there is to say. tests/conformance reads it.
 */
#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef TEST_WITH_CHECK
#include <check.h>
#endif

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { BUILT_FOR = 20 };
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
enum { BUILT_FOR = 20 };
#else
enum { BUILT_FOR = 1 };
#endif
#else
enum { BUILT_FOR = 1 };
#endif

static struct test *first;
static int divisor;

void test_register(struct test *t)
{
    struct test **at = &first;

    /* Constructors run in an order of the linker's own choice: sort by file and line. */
    while (*at && (strcmp((*at)->file, t->file) < 0 ||
                   (strcmp((*at)->file, t->file) == 0 && (*at)->line < t->line)))
        at = &(*at)->next;
    t->next = *at;
    *at = t;
}

int test_times(int n)
{
    return n / divisor > 0 ? n / divisor : 1;
}

bool test_is_slow(void)
{
    return divisor > 1;
}

bool test_is_emulated(void)
{
    return getenv("RUNNEL_TEST_EMULATED") != NULL;
}

static void find_divisor(void)
{
    const char *given = getenv("RUNNEL_TEST_DIVISOR");
    const char *preload = getenv("LD_PRELOAD");

    divisor = BUILT_FOR;
    if (preload && strstr(preload, "vgpreload"))
        divisor = 100;
    if (given && atoi(given) > 0)
        divisor = atoi(given);
}

/* ---- Results ---------------------------------------------------------------------------------- */

static const char *current;

void test_begin(const char *name)
{
    current = name;
}

/* The tests of one program are processes of their own: each line is one write to the end of the file. */
static void write_result(int flags, const char *line)
{
    const char *path = getenv("RUNNEL_TEST_RESULTS");
    int fd = path && *path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | flags, 0666)
                           : -1;

    if (fd < 0)
        return;
    if (write(fd, line, strlen(line)) < 0)
        perror(path);
    close(fd);
}

void test_result(const char *name, const char *state, const char *why)
{
    char line[400];

    snprintf(line, sizeof(line), "%s %s%s%.200s\n", name, state, *why ? " " : "", why);
    write_result(0, line);
}

void test_skip(const char *why)
{
    fprintf(stderr, "skipped: %s\n", why);
    test_result(current, "skip", why);
    _exit(0);
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
    char text[1024];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
#ifdef TEST_WITH_CHECK
    ck_abort_msg("%s:%d: %s", file, line, text);
#else
    fprintf(stderr, "%s:%d: %s\n", file, line, text);
#endif
    _exit(1);
}

static bool is_wanted(const struct test *t, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strstr(t->name, argv[i]))
            return true;
    }
    return argc == 1;
}

#ifdef TEST_WITH_CHECK

static int run_all(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    SRunner *runner = srunner_create(NULL);
    Suite *suite = suite_create(slash ? slash + 1 : argv[0]);
    TestResult **results;
    int failed;

    for (struct test *t = first; t; t = t->next) {
        TTest *ttest = malloc(sizeof(*ttest)); /* libcheck keeps the pointer */
        TCase *tcase;

        if (!ttest)
            return 1;
        if (!is_wanted(t, argc, argv)) {
            free(ttest);
            continue;
        }
        t->checked = ttest;
        *ttest = (TTest){t->name, t->run, t->file, t->line};
        tcase = tcase_create(t->name);
        tcase_set_timeout(tcase, divisor > 1 ? 300 : 90);
        tcase_add_test(tcase, ttest);
        suite_add_tcase(suite, tcase);
    }
    srunner_add_suite(runner, suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    results = srunner_results(runner);
    for (int i = 0; i < srunner_ntests_run(runner); i++)
        test_result(tr_tcname(results[i]), tr_rtype(results[i]) == CK_PASS ? "pass" : "fail", "");
    free(results);
    srunner_free(runner);
    return failed != 0;
}

#else

static int run_all(int argc, char **argv)
{
    int failed = 0, ran = 0;

    for (struct test *t = first; t; t = t->next) {
        int status;
        pid_t pid;

        if (!is_wanted(t, argc, argv))
            continue;
        ran++;
        fflush(NULL);
        pid = fork();
        if (pid == 0) {
            alarm(600);
            t->run(0);
            exit(0);
        }
        if (pid < 0) {
            perror("fork");
            return 1;
        }
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
            test_result(t->name, "pass", "");
            continue;
        }
        test_result(t->name, "fail", "");
        failed++;
        if (WIFEXITED(status))
            printf("%s: failed, status %d\n", t->name, WEXITSTATUS(status));
        else
            printf("%s: ended by signal %d (%s)\n", t->name, WTERMSIG(status),
                   strsignal(WTERMSIG(status)));
    }
    printf("%d of %d tests failed\n", failed, ran);
    return failed != 0;
}

#endif

int main(int argc, char **argv)
{
    find_divisor();
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (struct test *t = first; t; t = t->next)
            puts(t->name);
        return 0;
    }
    write_result(O_TRUNC, "");
    return run_all(argc, argv);
}
