/* SPDX-License-Identifier: MIT */
/*
 * reports.c - goroutines that ask for reports at the same time, with librunnel-symbols linked, for ThreadSanitizer:
 * it must be silent, and "done" is said. The first reports make libbacktrace read what it needs, all at once.
 */
#define _GNU_SOURCE
#include <runnel.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REPORTERS = 4 };

static int out;

static void reporter(void)
{
    rn_dump(out);
    rn_sleep(RN_MILLISECOND);
    (void)rn_leaks(out);
}

static int report(void)
{
    rn_wg wg = {0};

    for (int i = 0; i < REPORTERS; i++)
        rn_wg_go(&wg, reporter);
    rn_wg_wait(&wg);
    return 0;
}

/* The lines are libbacktrace's: without them nothing has been shown. */
static int has_lines(void)
{
    FILE *f = fdopen(out, "r");
    char line[1000];
    int n = 0;

    if (!f)
        return 0;
    rewind(f);
    while (fgets(line, sizeof line, f))
        n += strstr(line, "reports.c:") != NULL;
    (void)fclose(f);
    return n > 0;
}

int main(void)
{
    char name[] = "/tmp/runnel-reports-XXXXXX";
    int status;

    out = mkstemp(name);
    if (out < 0)
        return 3;
    unlink(name);
    if (fcntl(out, F_SETFL, O_APPEND) != 0) /* each report's lines behind the others' */
        return 3;
    status = rn_run(report);
    if (!has_lines())
        return 4;
    puts("done");
    return status;
}
