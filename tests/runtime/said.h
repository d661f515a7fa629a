/* SPDX-License-Identifier: MIT */
/* said.h - what a report says, and looks at its text. The includer defines _GNU_SOURCE. */
#ifndef RN_TESTS_RUNTIME_SAID_H
#define RN_TESTS_RUNTIME_SAID_H

#include "support.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* What a report says; to be freed. */
static inline char *said_by(size_t (*report)(int fd))
{
    int fd = memfd_create("report", MFD_CLOEXEC);
    off_t size;
    char *text;

    CHECK(fd >= 0);
    (void)report(fd);
    size = lseek(fd, 0, SEEK_END);
    text = malloc((size_t)size + 1);
    CHECK(text != NULL && pread(fd, text, (size_t)size, 0) == size);
    text[size] = 0;
    close(fd);
    return text;
}
static inline size_t dump(int fd)
{
    rn_dump(fd);
    return 0;
}

static inline void has(const char *report, const char *text)
{
    if (!strstr(report, text))
        fputs(report, stderr), test_fail(__FILE__, __LINE__, "no \"%s\" in that", text);
}
static inline void begins(const char *report, const char *text)
{
    if (strncmp(report, text, strlen(text)) != 0)
        test_fail(__FILE__, __LINE__, "no \"%s\" at the beginning of:\n%s", text, report);
}
static inline void has_not(const char *report, const char *text)
{
    if (strstr(report, text))
        test_fail(__FILE__, __LINE__, "\"%s\" in:\n%s", text, report);
}
static inline int times_in(const char *report, const char *text)
{
    int n = 0;

    for (const char *p = report; (p = strstr(p, text)) != NULL; p++)
        n++;
    return n;
}

#endif
