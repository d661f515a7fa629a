/* SPDX-License-Identifier: MIT */
/*
 * list.h - the lines that sha256sum writes and checks, byte for byte.
 */
#ifndef RNSUM_LIST_H
#define RNSUM_LIST_H

#include "hash.h"

#include <stddef.h>

/* Text that grows. Zero is ready to use. */
struct text {
    char *at; /* with a NUL after it, once anything was added */
    size_t used, room;
    bool lost; /* out of memory: something is missing */
};

void text_add(struct text *t, const void *data, size_t n);
void text_add_string(struct text *t, const char *s);
void text_deinit(struct text *t);

/*
 * Add "digest  path\n". A path with a newline, a carriage return or a backslash is written with
 * \n, \r and \\ in their place, and the line then begins with a backslash. With zero the line ends in
 * NUL and nothing is escaped.
 */
void list_add_line(struct text *t, const unsigned char digest[DIGEST_BYTES], const char *path,
                   bool zero);

/* Add "path: verdict\n" as sha256sum --check does: only a newline makes it escape. */
void list_add_verdict(struct text *t, const char *path, const char *verdict);

/* Add path as it should appear in a message: on one line, and harmless to a terminal. */
void list_add_quoted(struct text *t, const char *path);

/*
 * Take a line of a list apart. line has no newline; it is changed.
 *
 * Returns the path, within line, or NULL: this is not such a line.
 */
char *list_parse(char *line, unsigned char ret_digest[DIGEST_BYTES]);

#endif
