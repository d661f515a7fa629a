/* SPDX-License-Identifier: MIT */
/*
 * report.c - takes the report of rn_dump apart.
 *
 * The pages are made of the same text that a panic prints, rather than of a second way into the runtime: what they show is
 * what the report says, and this part needs nothing but the public headers. The text's form is told in runnel/debug.h:
 *
 *     goroutines 2-51, 60 "reader", 61 {peer="10.0.0.7"} [chan receive, 3 minutes], 52 alike:
 *       for 3m12s on 0x55d2c81f2a0, locked by goroutine 4 "x"
 *         goroutine 3 on 0x55d2c81f2a0, locked by goroutine 4
 *     TAB reader at server.c:41 [0x55d2c67e1b3]
 *     created by goroutine 1 at
 *     TAB program at server.c:102 [0x55d2c67e66e]
 *
 * A line that is none of these is left out: a name may hold anything. The text is cut into pieces where it lies.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debugpage/debugpage.h"

/* If s begins with it, what comes after. */
static char *after(char *s, const char *start)
{
    size_t n = strlen(start);

    return strncmp(s, start, n) == 0 ? s + n : NULL;
}

/* "0x5f, locked by goroutine 4": cut between the two. */
static void read_object(char *s, const char **ret_object, const char **ret_holder)
{
    char *comma = strstr(s, ", locked by ");

    *ret_object = s;
    *ret_holder = NULL;
    if (comma) {
        *comma = 0;
        *ret_holder = comma + strlen(", locked by ");
    }
}

/* "7 "name" [sleep], 3 alike:" of "goroutine(s) ". False: it is not a head. */
static bool read_head(char *s, struct entry *e)
{
    char *open = strrchr(s, '['), *shut = strrchr(s, ']');

    if (!open || !shut || open == s || open[-1] != ' ' || shut < open || s[strlen(s) - 1] != ':')
        return false;
    *e = (struct entry){.ids = s, .state = open + 1, .count = 1};
    open[-1] = 0;
    *shut = 0;
    if (shut[1] == ',')
        e->count = strtoull(shut + 2, NULL, 10);
    return e->count > 0;
}

static void read_wait(char *s, struct entry *e)
{
    char *on = strstr(s, " on 0x"), *several = strstr(s, ", not all on the same");

    e->span = s;
    if (on) {
        *on = 0;
        read_object(on + 4, &e->object, &e->holder);
    } else if (several) {
        *several = 0;
        e->object = "";
    }
}

static void read_line(struct report *r, char *line, size_t *line_count, bool *in_creation)
{
    struct entry *e = r->entries ? &r->entry[r->entries - 1] : NULL;
    char *s, *on;

    if ((s = after(line, "goroutine ")) || (s = after(line, "goroutines "))) {
        if (read_head(s, &r->entry[r->entries])) {
            r->entry[r->entries++].frames = r->lines + *line_count;
            *in_creation = false;
        }
    } else if (!e) {
        return;
    } else if ((s = after(line, "  for "))) {
        read_wait(s, e);
    } else if ((s = after(line, "    goroutine ")) && (on = strstr(s, " on 0x"))) {
        struct single *one = &r->single[r->singles++];

        *on = 0;
        *one = (struct single){.entry = r->entries - 1, .id = s};
        read_object(on + 4, &one->object, &one->holder);
    } else if (after(line, "created by ")) {
        *in_creation = true;
    } else if ((s = after(line, "\t"))) {
        if (*in_creation) {
            e->created_at = e->created_at ? e->created_at : s;
        } else if (*s != '(') {
            r->lines[(*line_count)++] = s;
            e->frame_count++;
        }
    }
}

bool rn__report_read(struct report *r, char *text)
{
    size_t lines = 1, line_count = 0;
    bool in_creation = false;
    char *rest = text;

    for (const char *s = text; *s; s++)
        lines += *s == '\n';
    *r = (struct report){.text = text};
    r->lines = calloc(lines, sizeof *r->lines);
    r->entry = calloc(lines, sizeof *r->entry);
    r->single = calloc(lines, sizeof *r->single);
    if (!r->lines || !r->entry || !r->single) {
        rn__report_free(r);
        return false;
    }
    for (char *line; (line = strsep(&rest, "\n"));)
        read_line(r, line, &line_count, &in_creation);
    return true;
}

void rn__report_free(struct report *r)
{
    free(r->text);
    free(r->lines);
    free(r->entry);
    free(r->single);
}

void rn__report_place(const char *frame, char *to, size_t size)
{
    const char *address = strstr(frame, " [0x");
    size_t n = address ? (size_t)(address - frame) : strlen(frame);

    snprintf(to, size, "%.*s", rn__body_cut(frame, n < size ? n : size - 1), frame);
}

void rn__report_at(const struct entry *e, char *to, size_t size)
{
    size_t i = 0;

    *to = 0;
    while (i + 1 < e->frame_count && strncmp(e->frames[i], "rn_", 3) == 0)
        i++;
    if (e->frame_count)
        rn__report_place(e->frames[i], to, size);
}
