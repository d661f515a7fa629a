/* SPDX-License-Identifier: MIT */
/* debugpage.h - what the files of librunnel-debug have in common. */
#ifndef RN_SRC_DEBUGPAGE_H
#define RN_SRC_DEBUGPAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- report.c: rn_dump's text, taken apart -------------------------------------------------------------- */

/* An entry: goroutines that are alike. All text is in the report's own memory. */
struct entry {
    const char *ids;   /* 7 "reader", or 2-51, 60 */
    const char *state; /* Go's text, with its minutes */
    uint64_t count;
    const char *span;   /* how long: 12ms, 3ms to 2.1s; NULL if it does not wait */
    const char *object; /* the address that it waits on; "" if there are several; NULL: on none */
    const char
        *holder; /* who has that: goroutine 4 "x", a thread; NULL: nobody, or it is not known */
    const char **frames; /* function at file:line [address] */
    size_t frame_count;
    const char *created_at; /* the same; NULL: not known */
};

/* One goroutine of an entry whose object differs from the others'. */
struct single {
    size_t entry;
    const char *id, *object, *holder;
};

struct report {
    char *text;
    const char **lines;
    struct entry *entry;
    struct single *single;
    size_t entries, singles;
};

/* text is malloc's and goes with the report. False: no memory, and text is free. */
bool rn__report_read(struct report *r, char *text);
void rn__report_free(struct report *r);
/* Without the address at its end, into to. */
void rn__report_place(const char *frame, char *to, size_t size);

/* Where the program is: the innermost frame that is not the library's; empty if there is none. */
void rn__report_at(const struct entry *e, char *to, size_t size);

/* ---- body.c: the body of a reply, which grows ---------------------------------------------------------- */

struct body {
    char *at;
    size_t used, room;
    bool failed; /* no memory: it is cut */
};
void rn__body_add(struct body *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* For HTML and SVG: <, >, & and quotes escaped; what no XML may hold is '?'. */
void rn__body_escaped(struct body *t, const char *s);
/* The bytes of s, at most so many, that end with a character. */
int rn__body_cut(const char *s, size_t most);

/* ---- waits.c --------------------------------------------------------------------------------------------- */

void rn__waits_draw(struct body *t, const struct report *r);

#endif
