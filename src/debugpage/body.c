/* SPDX-License-Identifier: MIT */
/* body.c - the body of a reply, which grows. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debugpage/debugpage.h"

static bool reserve(struct body *t, size_t n)
{
    size_t room = t->room ? t->room : 4096;
    char *more;

    if (t->failed)
        return false;
    while (room - t->used < n + 1)
        room *= 2;
    if (room == t->room)
        return true;
    more = realloc(t->at, room);
    t->failed = !more;
    if (!more)
        return false;
    t->at = more;
    t->room = room;
    return true;
}

void rn__body_add(struct body *t, const char *fmt, ...)
{
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0 || !reserve(t, (size_t)n))
        return;
    va_start(args, fmt);
    vsnprintf(t->at + t->used, t->room - t->used, fmt, args);
    va_end(args);
    t->used += (size_t)n;
}

int rn__body_cut(const char *s, size_t most)
{
    size_t n = strnlen(s, most);

    while (n > 0 && (s[n] & 0xc0) == 0x80) /* within a character */
        n--;
    return (int)n;
}

void rn__body_escaped(struct body *t, const char *s)
{
    for (; *s; s++) {
        char c[2] = {*s, 0};
        const char *as = *s == '<'                              ? "&lt;"
                         : *s == '>'                            ? "&gt;"
                         : *s == '&'                            ? "&amp;"
                         : *s == '"'                            ? "&quot;"
                         : *s == '\''                           ? "&#39;"
                         : (unsigned char)*s < ' ' || *s == 127 ? "?"
                                                                : c;

        rn__body_add(t, "%s", as);
    }
}
