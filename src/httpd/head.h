/* SPDX-License-Identifier: MIT */
/*
 * head.h - the head of a request, parsed where it lies, and the chunks of a body; no input or output.
 *
 * head_feed is given the same buffer, grown at its end, until it says that the head is whole, or refused. Fields are
 * places in the buffer, so that it may move between two calls; head_finish makes strings of them, in place.
 *
 * llhttp does the work, strict; head_finish checks again what would let two parsers see two different requests, and
 * refuses what a server need not bear.
 */
#ifndef RN_SRC_HTTPD_HEAD_H
#define RN_SRC_HTTPD_HEAD_H

#include <llhttp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct field {
    uint32_t name, name_len, value, value_len;
};

enum { FIELDS = 32 }; /* within the head; more are allocated */

struct head {
    llhttp_t parser;
    const char *base; /* of the call in progress */
    uint32_t fed;     /* bytes given to the parser */
    uint32_t target, target_len;
    struct field *fields;
    int count, room, max_fields;
    uint32_t max_target;
    bool in_value, whole, too_many;
    int status; /* 0, or why it is refused */
    /* After head_finish. */
    const char *method;
    int minor;
    bool keep_alive, chunked, expect;
    int64_t length; /* of the body: -1: chunked */
    const char *host;
    struct field own[FIELDS];
    /* Chunks. */
    const char *part;
    size_t part_len;
    bool end;
    uint64_t raw, body, chunks; /* bytes seen, bytes of body, chunks */
    char *trailer;              /* name\0value\0 ..., allocated */
    size_t trailer_len, trailer_room, trailer_max;
    bool trailer_value;
};

void rn__head_start(struct head *h, uint32_t max_target, int max_fields, size_t max_trailer);
/* More of the head: buf has now size bytes. 0: more is needed; 1: it is whole, with h->fed bytes; else h->status. */
int rn__head_feed(struct head *h, const char *buf, size_t size);
/* Check it, and make strings in buf. 0 or the status with which it is refused. */
int rn__head_finish(struct head *h, char *buf);
/*
 * Bytes of a chunked body, from the first after the head on. Returns how many were used up, with the next part of the
 * body in part and part_len, or end set; -1: malformed, or h->status: trailers beyond the limit, 431, or no memory for
 * them, 503.
 */
ptrdiff_t rn__chunks_feed(struct head *h, const char *buf, size_t size);
/* What was allocated. */
void rn__head_end(struct head *h);
bool rn__is_token(const char *s, size_t n);
bool rn__is_value(const char *s, size_t n);
/*
 * The path of a target, decoded and without dot segments, to out, which has room for size + 2 bytes. Its length, or -1:
 * it is none, or leads above the root.
 */
ptrdiff_t rn__path_decode(const char *target, size_t size, char *out);
/* %xx and, with plus, + of a part of a query; n bytes at most are written, and an end. Its length. */
size_t rn__query_decode(const char *in, size_t size, char *out);

#endif
