/* SPDX-License-Identifier: MIT */
/* out.c - see out.h. */
#include "debug/out.h"

#include "base/text.h"
#include "os/os.h"
#include "sched/sched.h"

enum { CHUNK = 256 << 10 };

void *(*rn__pool_map)(size_t size) = rn__os_map; /* a test sets it to NULL: there is no memory */

struct pool_chunk {
    struct pool_chunk *next;
    size_t size;
};
_Static_assert(sizeof(struct pool_chunk) == 16, "keeps what follows it aligned");

void rn__out_flush(struct out *o)
{
    if (o->fd >= 0) {
        rn__os_write(o->fd, o->text, o->used);
        o->used = 0;
    }
}

void rn__out_bytes(struct out *o, const char *s, size_t n)
{
    while (n > 0) {
        size_t part = o->room - o->used;

        if (part == 0) {
            if (o->fd < 0)
                return;
            rn__out_flush(o);
            continue;
        }
        if (part > n)
            part = n;
        rn__copy(o->text + o->used, s, part);
        o->used += part;
        s += part;
        n -= part;
    }
}

void rn__out_str(struct out *o, const char *s)
{
    const volatile char *end =
        s; /* so that no compiler makes a call of strlen, which tools intercept */

    while (*end)
        end++;
    rn__out_bytes(o, s, (size_t)(end - s));
}

static void out_number(struct out *o, uint64_t n, unsigned base)
{
    char digits[24];
    size_t at = sizeof digits;

    do
        digits[--at] = "0123456789abcdef"[n % base];
    while (n /= base);
    rn__out_bytes(o, digits + at, sizeof digits - at);
}

void rn__out_text(struct out *o, const char *s)
{
    char c[4];

    while (*s)
        rn__out_bytes(o, c, rn__text_next(&s, c));
}

void rn__out_escaped(struct out *o, const char *s)
{
    char c[4];

    while (*s) {
        size_t n = rn__text_next(&s, c);

        if (*c == '"' || *c == '\\')
            rn__out_str(o, "\\");
        rn__out_bytes(o, c, n);
    }
}

void rn__out_int(struct out *o, uint64_t n)
{
    out_number(o, n, 10);
}

void rn__out_hex(struct out *o, uint64_t n)
{
    rn__out_str(o, "0x");
    out_number(o, n, 16);
}

void rn__out_span(struct out *o, int64_t ns)
{
    uint64_t ms = ns < 0 ? 0 : (uint64_t)ns / 1000000;
    uint64_t s = ms / 1000;

    if (s == 0) {
        rn__out_int(o, ms);
        rn__out_str(o, "ms");
    } else if (s < 60) {
        rn__out_int(o, s);
        if (ms / 100 % 10) {
            rn__out_str(o, ".");
            rn__out_int(o, ms / 100 % 10);
        }
        rn__out_str(o, "s");
    } else if (s < 3600) {
        rn__out_int(o, s / 60);
        rn__out_str(o, "m");
        rn__out_int(o, s % 60);
        rn__out_str(o, "s");
    } else {
        rn__out_int(o, s / 3600);
        rn__out_str(o, "h");
        rn__out_int(o, s / 60 % 60);
        rn__out_str(o, "m");
    }
}

void *rn__pool_take(struct pool *p, size_t size)
{
    void *got;

    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + 15) & ~(size_t)15;
    if ((size_t)(p->end - p->at) < size) {
        size_t want = size + sizeof(struct pool_chunk) > CHUNK ? size + sizeof(struct pool_chunk)
                                                               : CHUNK;
        struct pool_chunk *c = rn__pool_map ? rn__pool_map(want) : NULL;

        if (!c)
            return NULL;
        c->next = p->first;
        c->size = want;
        p->first = c;
        p->at = (char *)(c + 1);
        p->end = (char *)c + want;
    }
    got = p->at;
    p->at += size;
    return got;
}

void rn__pool_free(struct pool *p)
{
    struct pool_chunk *next;

    for (struct pool_chunk *c = p->first; c; c = next) {
        next = c->next;
        rn__os_unmap(c, c->size);
    }
    p->first = NULL;
    p->at = p->end = NULL;
}
