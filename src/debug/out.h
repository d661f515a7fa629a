/* SPDX-License-Identifier: MIT */
/*
 * out.h - text for reports, and memory to make it in, when nothing may be relied on.
 *
 * A report is made while the process is broken or busy: any lock may be held, malloc's too, and the stack may
 * be nearly used up. So text is put together by hand, without printf, in a buffer that the caller provides,
 * and written with write(2); and memory comes in chunks from the kernel, which all go at once.
 */
#ifndef RN_SRC_OUT_H
#define RN_SRC_OUT_H

#include "base/base.h"

/* fd < 0: nothing is written, and what does not fit is lost. */
struct out {
    int fd;
    size_t used, room;
    char *text;
};

void rn__out_str(struct out *o, const char *s);
void rn__out_bytes(struct out *o, const char *s, size_t n);
/* Text of somebody else's, as base/text.h shows it. */
void rn__out_text(struct out *o, const char *s);
/* The same between quotation marks of the caller's: with a backslash before one, and before a backslash. Also in JSON. */
void rn__out_escaped(struct out *o, const char *s);
void rn__out_int(struct out *o, uint64_t n);
void rn__out_hex(struct out *o, uint64_t n); /* with 0x */
/* A time span to two digits or so: 12ms, 3.2s, 3m12s, 2h5m. Negative counts as none. */
void rn__out_span(struct out *o, int64_t ns);
void rn__out_flush(struct out *o);

struct pool_chunk;
struct pool {
    struct pool_chunk *first;
    char *at, *end;
};

extern void *(*rn__pool_map)(size_t size);
/* size bytes, zero, aligned to 16. NULL: there are none. */
void *rn__pool_take(struct pool *p, size_t size);
void rn__pool_free(struct pool *p);

#endif
