/* SPDX-License-Identifier: MIT */
/* head.c - see head.h. */
#include "httpd/head.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base.h"

/* ---- What llhttp calls ---------------------------------------------------------------------------- */

static struct head *head_of(llhttp_t *p)
{
    return container_of(p, struct head, parser);
}

static int on_target(llhttp_t *p, const char *at, size_t n)
{
    struct head *h = head_of(p);

    if (h->target_len == 0)
        h->target = (uint32_t)(at - h->base);
    h->target_len += (uint32_t)n;
    if (h->target_len > h->max_target) {
        h->status = 414;
        return HPE_USER;
    }
    return 0;
}

static int trailer_add(struct head *h, const char *at, size_t n)
{
    if (h->trailer_len + n > h->trailer_max) { /* not a matter of how the bytes came */
        h->status = 431;
        return HPE_USER;
    }
    if (h->trailer_len + n > h->trailer_room) {
        size_t room = (h->trailer_len + n) * 2;
        char *more = realloc(h->trailer, room);

        if (!more) {
            h->status = 503;
            return HPE_USER;
        }
        h->trailer = more;
        h->trailer_room = room;
    }
    memcpy(h->trailer + h->trailer_len, at, n);
    h->trailer_len += n;
    return 0;
}

static int on_name(llhttp_t *p, const char *at, size_t n)
{
    struct head *h = head_of(p);
    struct field *f;

    if (h->whole)
        return trailer_add(h, at, n);
    if (h->in_value || h->count == 0) {
        if (h->count == h->max_fields) {
            h->too_many = true;
            return HPE_USER;
        }
        if (h->count == h->room) {
            size_t room = (size_t)h->room * 2;
            struct field *more;

            assert(room > 0);
            more = malloc(room * sizeof *more);
            if (!more) {
                h->status = 503;
                return HPE_USER;
            }
            memcpy(more, h->fields, (size_t)h->count * sizeof *more);
            if (h->fields != h->own)
                free(h->fields);
            h->fields = more;
            h->room = (int)room;
        }
        h->in_value = false;
        f = &h->fields[h->count++];
        *f = (struct field){.name = (uint32_t)(at - h->base)};
    }
    f = &h->fields[h->count - 1];
    f->name_len += (uint32_t)n;
    return 0;
}

static int on_name_end(llhttp_t *p)
{
    struct head *h = head_of(p);

    if (h->whole)
        return trailer_add(h, "", 1);
    if (h->count)
        h->fields[h->count - 1].value = 0;
    return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
    struct head *h = head_of(p);
    struct field *f;

    if (h->whole)
        return trailer_add(h, at, n);
    f = &h->fields[h->count - 1];
    if (f->value == 0)
        f->value = (uint32_t)(at - h->base);
    f->value_len += (uint32_t)n;
    return 0;
}

static int on_value_end(llhttp_t *p)
{
    struct head *h = head_of(p);

    if (h->whole)
        return trailer_add(h, "", 1);
    h->in_value = true;
    return 0;
}

static int on_head(llhttp_t *p)
{
    struct head *h = head_of(p);

    h->whole = true;
    p->upgrade = 0; /* nobody upgrades: the request is served as it is */
    return HPE_PAUSED;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    struct head *h = head_of(p);

    h->part = at;
    h->part_len = n;
    return HPE_PAUSED;
}

static int on_chunk(llhttp_t *p)
{
    head_of(p)->chunks++;
    return 0;
}

static int on_end(llhttp_t *p)
{
    head_of(p)->end = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_target,
    .on_header_field = on_name,
    .on_header_field_complete = on_name_end,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_end,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_chunk_header = on_chunk,
    .on_message_complete = on_end,
};

/* ---- Heads ------------------------------------------------------------------------------------------ */

void rn__head_start(struct head *h, uint32_t max_target, int max_fields, size_t max_trailer)
{
    memset(h, 0, offsetof(struct head, own));
    memset((char *)h + offsetof(struct head, part), 0, sizeof *h - offsetof(struct head, part));
    llhttp_init(&h->parser, HTTP_REQUEST, &settings);
    h->fields = h->own;
    h->room = FIELDS;
    h->max_target = max_target;
    h->max_fields = max_fields;
    h->trailer_max = max_trailer;
}

void rn__head_end(struct head *h)
{
    if (h->fields != h->own)
        free(h->fields);
    free(h->trailer);
    h->fields = h->own;
    h->trailer = NULL;
}

bool rn__is_token(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c && strchr("!#$%&'*+-.^_`|~", c))))
            return false;
    }
    return n > 0;
}

bool rn__is_value(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)s[i] < 32 && s[i] != '\t') || s[i] == 127)
            return false;
    return true;
}

/* Why llhttp refuses: what is well-formed, but not for us, has a status of its own. */
static int refusal(const struct head *h, const char *buf, size_t size)
{
    llhttp_errno_t e = llhttp_get_errno(&h->parser);

    if (h->status)
        return h->status;
    if (h->too_many)
        return 431;
    if (e == HPE_INVALID_METHOD) { /* a method that we do not know, perhaps */
        size_t n = 0;

        while (n < size && buf[n] >= 'A' && buf[n] <= 'Z')
            n++;
        return n > 0 && n < size && buf[n] == ' ' ? 501 : 400;
    }
    if (e == HPE_INVALID_VERSION || e == HPE_PAUSED_H2_UPGRADE) {
        const char *end =
            memchr(buf, '\n', size); /* a version it is, if it stands at the end of the line */

        return end && end - buf > 10 && end[-1] == '\r' && memcmp(end - 10, " HTTP/", 6) == 0 ? 505
                                                                                              : 400;
    }
    return 400;
}

int rn__head_feed(struct head *h, const char *buf, size_t size)
{
    llhttp_errno_t e;

    h->base = buf;
    e = llhttp_execute(&h->parser, buf + h->fed, size - h->fed);
    if (e == HPE_PAUSED && h->whole) {
        h->fed = (uint32_t)(llhttp_get_error_pos(&h->parser) - buf);
        llhttp_resume(&h->parser);
        return 1;
    }
    if (e == HPE_OK) {
        h->fed = (uint32_t)size;
        return 0;
    }
    h->status = refusal(h, buf, size);
    return h->status;
}

static bool is(const struct field *f, const char *buf, const char *name)
{
    size_t n = strlen(name);

    return f->name_len == n && strncasecmp(buf + f->name, name, n) == 0;
}

/* Only the form that all agree on: digits. */
static bool parse_length(const char *s, size_t n, int64_t *ret)
{
    int64_t v = 0;

    if (n == 0 || n > 18)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        v = v * 10 + (s[i] - '0');
    }
    *ret = v;
    return true;
}

static bool is_host(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
              (s[i] >= '0' && s[i] <= '9') || (s[i] && strchr("-._~%!$&'()*+,;=:[]", s[i]))))
            return false;
    return true;
}

/* Each line by itself once more: no line end but CR LF, no folding, nothing before a colon but a name. */
static bool lines_are_plain(const char *buf, size_t size)
{
    bool first = true;

    while (size >= 2 && buf[0] == '\r' && buf[1] == '\n') { /* empty lines before it are borne */
        buf += 2;
        size -= 2;
    }
    for (;;) {
        const char *end = memchr(buf, '\n', size);
        size_t n;

        if (!end || end == buf || end[-1] != '\r')
            return false;
        n = (size_t)(end - 1 - buf);
        if (!rn__is_value(buf, n))
            return false;
        if (n == 0)
            return !first;
        if (!first) {
            const char *colon = memchr(buf, ':', n);

            if (!colon || !rn__is_token(buf, (size_t)(colon - buf)))
                return false;
        } else if (memchr(buf, '\t', n)) {
            return false;
        }
        first = false;
        size -= n + 2;
        buf += n + 2;
    }
}

/* The parser's places are true: a name, a colon, a value, all inside. */
static bool places_are_true(const struct head *h, const char *buf)
{
    const char *method = llhttp_method_name((llhttp_method_t)h->parser.method);
    size_t n = strlen(method), at = 0;

    if (h->target_len == 0 || h->target + h->target_len + 11 > h->fed || n + 2 > h->fed)
        return false;
    /* The line: a method, the target, HTTP/1.x, a space between them. */
    while (buf[at] == '\r' || buf[at] == '\n')
        at++;
    if (memcmp(buf + at, method, n) != 0 || buf[at + n] != ' ' || h->target != at + n + 1 ||
        memcmp(buf + h->target + h->target_len, " HTTP/", 6) != 0 ||
        memcmp(buf + h->target + h->target_len + 9, "\r\n", 2) != 0)
        return false;
    for (int i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];

        if (f->name + f->name_len >= h->fed || buf[f->name + f->name_len] != ':')
            return false;
        if (f->value_len &&
            (f->value <= f->name + f->name_len || f->value + f->value_len >= h->fed))
            return false;
    }
    return true;
}

int rn__head_finish(struct head *h, char *buf)
{
    int hosts = 0, lengths = 0, codings = 0;
    const struct field *host = NULL;
    const char *target = buf + h->target;

    if (!lines_are_plain(buf, h->fed) || !places_are_true(h, buf))
        return 400;
    h->method = llhttp_method_name((llhttp_method_t)llhttp_get_method(&h->parser));
    h->minor = llhttp_get_http_minor(&h->parser);
    if (llhttp_get_http_major(&h->parser) != 1 || h->minor > 1)
        return 505;
    for (int i = 0; i < h->count; i++) {
        struct field *f = &h->fields[i];

        while (f->value_len && strchr(" \t", buf[f->value + f->value_len - 1]))
            f->value_len--;
        if (is(f, buf, "host")) {
            hosts++;
            host = f;
        } else if (is(f, buf, "content-length")) {
            lengths++;
            if (!parse_length(buf + f->value, f->value_len, &h->length))
                return 400;
        } else if (is(f, buf, "transfer-encoding")) {
            codings++;
            if (f->value_len != 7 || strncasecmp(buf + f->value, "chunked", 7) != 0)
                return 501;
            h->chunked = true;
            h->length = -1;
        } else if (is(f, buf, "expect")) {
            if (f->value_len != 12 || strncasecmp(buf + f->value, "100-continue", 12) != 0)
                return 417;
            h->expect = h->minor == 1;
        }
    }
    if (hosts > 1 || (hosts == 0 && h->minor == 1) || lengths > 1 || codings > 1 ||
        (lengths && codings) || (codings && h->minor == 0))
        return 400;
    if (host && !is_host(buf + host->value, host->value_len))
        return 400;
    if (strcmp(h->method, "CONNECT") == 0)
        return 501;
    if (target[0] != '/' &&
        !(h->target_len == 1 && target[0] == '*' && strcmp(h->method, "OPTIONS") == 0)) {
        /* The form for proxies: its host must be the one of the header. */
        uint32_t n = 0, skip = h->target_len > 7 && strncasecmp(target, "http://", 7) == 0    ? 7
                               : h->target_len > 8 && strncasecmp(target, "https://", 8) == 0 ? 8
                                                                                              : 0;

        if (!skip)
            return 400;
        while (skip + n < h->target_len && !strchr("/?#", target[skip + n]))
            n++;
        if (n == 0 || !host || host->value_len != n ||
            strncasecmp(target + skip, buf + host->value, n) != 0)
            return 400;
        if (skip + n < h->target_len && target[skip + n] != '/')
            return 400;
        if (skip + n == h->target_len) { /* "/", in the place of the last byte of the host */
            buf[h->target + h->target_len - 1] = '/';
            h->target += h->target_len - 1;
            h->target_len = 1;
        } else {
            h->target += skip + n;
            h->target_len -= skip + n;
        }
    }
    h->keep_alive = llhttp_should_keep_alive(&h->parser);
    for (int i = 0; i < h->count; i++) {
        struct field *f = &h->fields[i];

        buf[f->name + f->name_len] = 0;
        if (f->value_len == 0)
            f->value = f->name + f->name_len;
        else
            buf[f->value + f->value_len] = 0;
    }
    buf[h->target + h->target_len] = 0;
    h->host = host ? buf + host->value : NULL;
    return 0;
}

/* ---- Chunks ------------------------------------------------------------------------------------------- */

ptrdiff_t rn__chunks_feed(struct head *h, const char *buf, size_t size)
{
    llhttp_errno_t e;
    ptrdiff_t used;

    h->part = NULL;
    h->part_len = 0;
    if (h->end || size == 0)
        return 0;
    h->base = buf;
    e = llhttp_execute(&h->parser, buf, size);
    if (e == HPE_PAUSED) {
        used = llhttp_get_error_pos(&h->parser) - buf;
        llhttp_resume(&h->parser);
    } else if (e == HPE_OK) {
        used = (ptrdiff_t)size;
    } else {
        return -1;
    }
    h->raw += (uint64_t)used;
    h->body += h->part_len;
    /* Chunks of a byte with a kilobyte of extensions each are nobody's. */
    if (h->raw - h->body > 16384 + h->trailer_len + 16 * h->chunks + 2 * h->body)
        return -1;
    return used;
}

/* ---- Decoding ------------------------------------------------------------------------------------------ */

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

ptrdiff_t rn__path_decode(const char *target, size_t size, char *out)
{
    size_t n = 0, k = 0;

    if (size == 1 && target[0] == '*') {
        memcpy(out, "*", 2);
        return 1;
    }
    for (size_t i = 0; i < size && target[i] != '?'; i++) {
        char c = target[i];

        if (c == '%') {
            int hi = i + 2 < size ? hex(target[i + 1]) : -1;
            int lo = hi >= 0 ? hex(target[i + 2]) : -1;

            if (hi < 0 || lo < 0)
                return -1;
            c = (char)(hi << 4 | lo);
            i += 2;
        }
        if (c == 0 || c == '#')
            return -1;
        out[n++] = c;
    }
    out[n] = 0;
    if (out[0] != '/')
        return -1;
    /* k: written so far; a segment begins at a slash. */
    for (size_t i = 0; i < n;) {
        size_t end = i + 1;

        while (end < n && out[end] != '/')
            end++;
        if (end - i == 2 && out[i + 1] == '.') {
            if (end == n)
                out[k++] = '/';
        } else if (end - i == 3 && out[i + 1] == '.' && out[i + 2] == '.') {
            if (k == 0)
                return -1;
            while (out[--k] != '/')
                ;
            if (end == n)
                out[k++] = '/';
        } else {
            memmove(out + k, out + i, end - i);
            k += end - i;
        }
        i = end;
    }
    if (k == 0)
        out[k++] = '/';
    out[k] = 0;
    return (ptrdiff_t)k;
}

size_t rn__query_decode(const char *in, size_t size, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < size; i++) {
        int hi, lo;

        if (in[i] == '+') {
            out[n++] = ' ';
        } else if (in[i] == '%' && i + 2 < size && (hi = hex(in[i + 1])) >= 0 &&
                   (lo = hex(in[i + 2])) >= 0 && (hi | lo)) {
            out[n++] = (char)(hi << 4 | lo);
            i += 2;
        } else {
            out[n++] = in[i];
        }
    }
    out[n] = 0;
    return n;
}
