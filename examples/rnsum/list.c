/* SPDX-License-Identifier: MIT */
/*
 * list.c - the lines that sha256sum writes and checks.
 */
#include "list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_add(struct text *t, const void *data, size_t n)
{
    if (t->room - t->used <= n) {
        size_t room = (t->room ? t->room : 256) * 2;
        char *bigger;

        while (room - t->used <= n)
            room *= 2;
        bigger = realloc(t->at, room);
        if (!bigger) {
            t->lost = true;
            return;
        }
        t->at = bigger;
        t->room = room;
    }
    memcpy(t->at + t->used, data, n);
    t->used += n;
    t->at[t->used] = '\0';
}

void text_add_string(struct text *t, const char *s)
{
    text_add(t, s, strlen(s));
}

void text_deinit(struct text *t)
{
    free(t->at);
    *t = (struct text){0};
}

static void add_escaped(struct text *t, const char *path)
{
    for (;;) {
        size_t plain = strcspn(path, "\\\n\r");

        text_add(t, path, plain);
        path += plain;
        if (!*path)
            return;
        text_add(t, *path == '\n' ? "\\n" : *path == '\r' ? "\\r" : "\\\\", 2);
        path++;
    }
}

void list_add_line(struct text *t, const unsigned char digest[DIGEST_BYTES], const char *path,
                   bool zero)
{
    static const char digits[] = "0123456789abcdef";
    bool escape = !zero && path[strcspn(path, "\\\n\r")] != '\0';
    char hex[2 * DIGEST_BYTES + 2];
    size_t n = 0;

    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        hex[n++] = digits[digest[i] >> 4];
        hex[n++] = digits[digest[i] & 15];
    }
    hex[n++] = ' ';
    hex[n++] = ' ';
    if (escape)
        text_add(t, "\\", 1);
    text_add(t, hex, n);
    if (escape)
        add_escaped(t, path);
    else
        text_add_string(t, path);
    text_add(t, zero ? "" : "\n", 1);
}

void list_add_verdict(struct text *t, const char *path, const char *verdict)
{
    if (strchr(path, '\n')) {
        text_add(t, "\\", 1);
        add_escaped(t, path);
    } else {
        text_add_string(t, path);
    }
    text_add(t, ": ", 2);
    text_add_string(t, verdict);
    text_add(t, "\n", 1);
}

void list_add_quoted(struct text *t, const char *path)
{
    if (!*path)
        text_add_string(t, "''"); /* an empty operand would be invisible */
    for (; *path; path++) {
        unsigned char c = (unsigned char)*path;

        if (c == '\\' || c == '\n' || c == '\r') {
            const char one[] = {(char)c, '\0'};

            add_escaped(t, one);
        } else if (c < ' ' || c == 127) {
            char octal[8];

            text_add(t, octal, (size_t)snprintf(octal, sizeof(octal), "\\%03o", c));
        } else {
            text_add(t, path, 1);
        }
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Undo add_escaped in place. False when path has a backslash that means nothing. */
static bool unescape(char *path)
{
    char *to = path;

    for (; *path; path++) {
        char c = *path;

        if (c == '\\') {
            c = *++path;
            if (c != '\\' && c != 'n' && c != 'r')
                return false;
            c = c == 'n' ? '\n' : c == 'r' ? '\r' : '\\';
        }
        *to++ = c;
    }
    *to = '\0';
    return true;
}

char *list_parse(char *line, unsigned char ret_digest[DIGEST_BYTES])
{
    bool escaped;

    while (*line == ' ' || *line == '\t')
        line++;
    escaped = *line == '\\';
    line += escaped;
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        int high = hex_value(line[0]);
        int low = high < 0 ? -1 : hex_value(line[1]);

        if (low < 0)
            return NULL;
        ret_digest[i] = (unsigned char)(high << 4 | low);
        line += 2;
    }
    if (line[0] != ' ' || (line[1] != ' ' && line[1] != '*') || line[2] == '\0')
        return NULL;
    line += 2;
    return escaped && !unescape(line) ? NULL : line;
}
