/* SPDX-License-Identifier: MIT */
/*
 * response.c - responses. Small ones become one piece of memory and one write: what is written of the body is gathered;
 * when the handler returns, the head is put before it, with its length. When more is written than can be gathered, the
 * head goes out first, and the rest in chunks as it comes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/uio.h>
#include <time.h>

#include "httpd/httpd.h"

const char *rn__status_text(int status)
{
    static const struct {
        short status;
        const char *text;
    } texts[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {203, "Non-Authoritative Information"},
        {204, "No Content"},
        {205, "Reset Content"},
        {206, "Partial Content"},
        {300, "Multiple Choices"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {418, "I'm a teapot"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {425, "Too Early"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {451, "Unavailable For Legal Reasons"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "Unknown";
}

void rn__date_text(time_t t, char out[40])
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm;

    gmtime_r(&t, &tm);
    snprintf(out, 40, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", &days[(size_t)tm.tm_wday % 7 * 3],
             tm.tm_mday % 100, &months[(size_t)tm.tm_mon % 12 * 3], (tm.tm_year + 1900) % 10000,
             tm.tm_hour % 100, tm.tm_min % 100, tm.tm_sec % 100);
}

void rn__rs_start(struct conn *c, struct block *b)
{
    rn_httpd_response *rs = &b->rs;

    memset(rs, 0, offsetof(rn_httpd_response, lines));
    rs->c = c;
    rs->b = b;
    rs->status = 200;
    rs->length = -1;
    rs->lines.text = rs->lines.own;
    rs->lines.room = LINES;
    rs->lines.size = 0;
    rs->trailers = NULL;
    rs->trailers_size = 0;
}

void rn__rs_end(rn_httpd_response *rs)
{
    if (rs->lines.text != rs->lines.own)
        free(rs->lines.text);
    free(rs->trailers);
}

/* Is it made, all of it? */
bool rn__rs_is_whole(const rn_httpd_response *rs)
{
    return rs->sealed && (rs->bodyless || (rs->length >= 0 && rs->length == rs->written));
}

int rn_httpd_status(const rn_httpd_response *rs)
{
    return rs->status;
}
int64_t rn_httpd_written(const rn_httpd_response *rs)
{
    return rs->written;
}

void rn_httpd_set_status(rn_httpd_response *rs, int status)
{
    if (!rs->sealed && status >= 200 && status <= 999)
        rs->status = status;
}

/* ---- Headers ------------------------------------------------------------------------------------- */

static char *line_find(const struct lines *l, const char *name)
{
    size_t n = strlen(name);

    for (char *at = l->text; at < l->text + l->size;
         at = (char *)memchr(at, '\n', (size_t)(l->text + l->size - at)) + 1)
        if (strncasecmp(at, name, n) == 0 && at[n] == ':')
            return at;
    return NULL;
}

bool rn__rs_has(const rn_httpd_response *rs, const char *name)
{
    return line_find(&rs->lines, name) != NULL;
}

static void line_remove(struct lines *l, const char *name)
{
    char *at;

    while ((at = line_find(l, name))) {
        char *end = (char *)memchr(at, '\n', (size_t)(l->text + l->size - at)) + 1;

        memmove(at, end, (size_t)(l->text + l->size - end));
        l->size -= (size_t)(end - at);
    }
}

static int line_add(struct lines *l, const char *name, size_t n, const char *value)
{
    size_t v = strlen(value), size = l->size + n + v + 4;

    if (size > l->room) {
        char *text = malloc(size * 2);

        if (!text)
            return -ENOMEM;
        memcpy(text, l->text, l->size);
        if (l->text != l->own)
            free(l->text);
        l->text = text;
        l->room = size * 2;
    }
    memcpy(l->text + l->size, name, n);
    memcpy(l->text + l->size + n, ": ", 2);
    memcpy(l->text + l->size + n + 2, value, v);
    memcpy(l->text + l->size + n + 2 + v, "\r\n", 2);
    l->size = size;
    return 0;
}

/* With the error of a part of the response: what would go out without that part is not what the handler means. */
static int lacking(rn_httpd_response *rs, int err)
{
    rs->lacks |= err == -ENOMEM;
    return err;
}

static int header(rn_httpd_response *rs, const char *name, const char *value, bool replace)
{
    size_t n = strlen(name);

    if (rs->sealed)
        return -EALREADY;
    if (!rn__is_token(name, n) || (value && !rn__is_value(value, strlen(value))))
        return -EINVAL;
    if (strcasecmp(name, "transfer-encoding") == 0)
        return -EINVAL;
    if (strcasecmp(name, "content-length") == 0) {
        char *end;
        long long v;

        if (!value) {
            rs->length = -1;
            return 0;
        }
        errno = 0;
        v = strtoll(value, &end, 10);
        if (*value < '0' || *value > '9' || *end || errno)
            return -EINVAL;
        rs->length = v;
        return 0;
    }
    if (strcasecmp(name, "connection") == 0 && value && strcasecmp(value, "close") == 0) {
        rs->close = true;
        return 0;
    }
    if (replace)
        line_remove(&rs->lines, name);
    return value ? lacking(rs, line_add(&rs->lines, name, n, value)) : 0;
}

int rn_httpd_set_header(rn_httpd_response *rs, const char *name, const char *value)
{
    return header(rs, name, value, true);
}
int rn_httpd_add_header(rn_httpd_response *rs, const char *name, const char *value)
{
    return header(rs, name, value, false);
}

int rn_httpd_set_trailer(rn_httpd_response *rs, const char *name, const char *value)
{
    size_t n = strlen(name), v = strlen(value);
    char *more;

    if (!rn__is_token(name, n) || !rn__is_value(value, v))
        return -EINVAL;
    if (rs->ended || (rs->sealed && !rs->chunked))
        return -EALREADY;
    more = realloc(rs->trailers, rs->trailers_size + n + v + 5);
    if (!more)
        return lacking(rs, -ENOMEM);
    rs->trailers = more;
    rs->trailers_size +=
        (size_t)snprintf(more + rs->trailers_size, n + v + 5, "%s: %s\r\n", name, value);
    return 0;
}

/* ---- The head -------------------------------------------------------------------------------------- */

static const char *date(struct block *b)
{
    time_t now = time(NULL);

    if (now != b->date_at) {
        b->date_at = now;
        rn__date_text(now, b->date);
    }
    return b->date;
}

static char *put(char *at, const char *text, size_t n)
{
    memcpy(at, text, n);
    return at + n;
}
#define PUT(at, literal) put(at, literal, sizeof(literal) - 1)

static char *put_number(char *at, uint64_t v, unsigned base)
{
    char digits[24];
    int n = 0;

    do
        digits[n++] = "0123456789abcdef"[v % base];
    while ((v /= base) != 0);
    while (n > 0)
        *at++ = digits[--n];
    return at;
}

/* The head to out. length: of the body; -1: not known yet. 0 or an error of writing. */
int rn__rs_seal(rn_httpd_response *rs, int64_t length)
{
    struct block *b = rs->b;
    size_t need = rs->lines.size + 320;
    const char *text = rn__status_text(rs->status), *day = date(b);
    char *begin, *at, *after_lines;
    bool big = need > OUT_SIZE;
    int err = 0;

    if (rs->sealed)
        return 0;
    if (rs->lacks)
        return -ENOMEM;
    rs->sealed = true;
    if (b->rq.rb && !b->rq.done && /* what the handler has not read will not be skipped */
        (b->rq.body_err || b->rq.left > SKIP_MAX || (b->head.expect && !b->rq.continued)))
        rs->close = true;
    rs->bodyless = rs->is_head || rs->status == 204 || rs->status == 304;
    if (need > OUT_SIZE - b->out_size)
        err = (int)rn__c_flush(rs->c);
    if (err < 0)
        return err;
    if (rs->length >= 0)
        length = rs->length;
    rs->chunked = !rs->bodyless && (length < 0 || rs->trailers) && b->head.minor == 1;
    if (length < 0 && !rs->chunked && !rs->bodyless)
        rs->close = true; /* the end of the connection is the end of the body */
    begin = at = b->out + b->out_size;
    at = PUT(at, "HTTP/1.1 ");
    at = put_number(at, (uint64_t)rs->status, 10);
    *at++ = ' ';
    at = put(at, text, strlen(text));
    if (!rn__rs_has(rs, "Date")) {
        at = PUT(at, "\r\nDate: ");
        at = put(at, day, strlen(day));
    }
    at = PUT(at, "\r\n");
    after_lines = at;
    if (!big)
        at = put(at, rs->lines.text, rs->lines.size);
    if (rs->chunked)
        at = PUT(at, "Transfer-Encoding: chunked\r\n");
    else if (length >= 0 && rs->status != 204 && rs->status != 304) {
        at = PUT(at, "Content-Length: ");
        at = put_number(at, (uint64_t)length, 10);
        at = PUT(at, "\r\n");
    }
    if (rs->close)
        at = PUT(at, "Connection: close\r\n");
    else if (b->head.minor == 0)
        at = PUT(at, "Connection: keep-alive\r\n");
    at = PUT(at, "\r\n");
    if (big) { /* out was empty */
        struct iovec iov[] = {{begin, (size_t)(after_lines - begin)},
                              {rs->lines.text, rs->lines.size},
                              {after_lines, (size_t)(at - after_lines)}};

        return rn__c_writev(rs->c, iov, 3) < 0 ? rs->c->err : 0;
    }
    b->out_size += (size_t)(at - begin);
    return 0;
}

/* ---- The body ---------------------------------------------------------------------------------------- */

/* What waits, what was gathered, and n more, now; end: nothing comes after that. */
static int emit(rn_httpd_response *rs, const void *data, size_t n, bool end)
{
    struct block *b = rs->b;
    size_t total = rs->gathered + n;
    char size[24], *at = size;
    struct iovec iov[7];
    int k = 0;

    if (b->out_size)
        iov[k++] = (struct iovec){b->out, b->out_size};
    if (rs->chunked && total) {
        at = put_number(at, total, 16);
        at = PUT(at, "\r\n");
        iov[k++] = (struct iovec){size, (size_t)(at - size)};
    }
    if (rs->gathered)
        iov[k++] = (struct iovec){b->gather, rs->gathered};
    if (n)
        iov[k++] = (struct iovec){(void *)(uintptr_t)data, n};
    if (rs->chunked && total)
        iov[k++] = (struct iovec){(void *)(uintptr_t)"\r\n0\r\n", end ? 5 : 2};
    else if (rs->chunked && end)
        iov[k++] = (struct iovec){(void *)(uintptr_t)"0\r\n", 3};
    if (rs->chunked && end) {
        if (rs->trailers_size)
            iov[k++] = (struct iovec){rs->trailers, rs->trailers_size};
        iov[k++] = (struct iovec){(void *)(uintptr_t)"\r\n", 2};
    }
    b->out_size = 0;
    rs->gathered = 0;
    if (k == 0)
        return rs->c->err;
    return rn__c_writev(rs->c, iov, k) < 0 ? rs->c->err : 0;
}

ssize_t rn_httpd_write(rn_httpd_response *rs, const void *data, size_t size)
{
    int err;

    if (rs->c->err)
        return rs->c->err;
    if (rs->ended)
        return -EALREADY;
    if (rs->lacks)
        return -ENOMEM;
    if (rs->length >= 0 && (int64_t)size > rs->length - rs->written)
        return -EMSGSIZE;
    rs->written += (int64_t)size;
    if (rs->is_head || rs->status == 204 || rs->status == 304)
        return (ssize_t)size;
    if (size <= GATHER - rs->gathered) {
        memcpy(rs->b->gather + rs->gathered, data, size);
        rs->gathered += size;
        return (ssize_t)size;
    }
    err = rn__rs_seal(rs, -1);
    if (err == 0)
        err = emit(rs, data, size, false);
    return err ? err : (ssize_t)size;
}

ssize_t rn_httpd_printf(rn_httpd_response *rs, const char *fmt, ...)
{
    char small[512], *text = small;
    va_list args;
    ssize_t n;

    va_start(args, fmt);
    n = vsnprintf(small, sizeof small, fmt, args);
    va_end(args);
    if (n < 0)
        return -EINVAL;
    if ((size_t)n >= sizeof small) {
        text = malloc((size_t)n + 1);
        if (!text)
            return lacking(rs, -ENOMEM);
        va_start(args, fmt);
        vsnprintf(text, (size_t)n + 1, fmt, args);
        va_end(args);
    }
    n = rn_httpd_write(rs, text, (size_t)n);
    if (text != small)
        free(text);
    return n;
}

int rn_httpd_flush(rn_httpd_response *rs)
{
    int err = rs->c->err ? rs->c->err : rs->lacks ? -ENOMEM : rn__rs_seal(rs, -1);

    return err ? err : emit(rs, NULL, 0, false);
}

int rn_httpd_reply(rn_httpd_response *rs, int status, const char *type, const void *body,
                   size_t size)
{
    int err;

    if (rs->sealed || rs->gathered)
        return -EALREADY;
    rs->lacks = false;
    rn_httpd_set_status(rs, status);
    if (type && (err = rn_httpd_set_header(rs, "Content-Type", type)) < 0)
        return err;
    rs->length = (int64_t)size;
    rs->written = (int64_t)size;
    err = rn__rs_seal(rs, (int64_t)size);
    if (err)
        return err;
    if (rs->bodyless || size == 0)
        return 0;
    if (size <= OUT_SIZE - rs->b->out_size && !rs->chunked) {
        memcpy(rs->b->out + rs->b->out_size, body, size);
        rs->b->out_size += size;
        return 0;
    }
    return emit(rs, body, size, false);
}

int rn_httpd_error(rn_httpd_response *rs, int status, const char *text)
{
    char line[200];
    int n = snprintf(line, sizeof line, "%d %s\n", status, rn__status_text(status));

    rs->gathered = 0;
    if (!rs->sealed)
        rs->length = -1;
    return rn_httpd_reply(rs, status, "text/plain; charset=utf-8", text ? text : line,
                          text ? strlen(text) : (size_t)n);
}

int rn_httpd_redirect(rn_httpd_response *rs, int status, const char *location)
{
    int err = rn_httpd_set_header(rs, "Location", location);

    return err < 0 ? err : rn_httpd_error(rs, status, NULL);
}

/* The handler has returned, and what it has not made again lacks a part. */
static void make_up(rn_httpd_response *rs)
{
    if (rs->sealed) { /* the client sees that the rest does not come */
        rs->c->err = rs->c->err ? rs->c->err : -ENOMEM;
        return;
    }
    rs->lines.size = 0; /* none of its headers: so there is room for ours */
    rs->trailers_size = 0;
    rn_httpd_error(rs, 503, NULL);
}

/* The handler has returned. */
void rn__rs_finish(rn_httpd_response *rs)
{
    struct block *b = rs->b;
    int err = 0;

    if (rs->lacks)
        make_up(rs);
    if (!rs->sealed) {
        if (rs->length >= 0 && rs->length != rs->written && !rs->is_head)
            rs->close = true; /* it promised more */
        err = rn__rs_seal(rs, rs->written);
    }
    rs->ended = true;
    if (rs->chunked || (rs->gathered && rs->gathered > OUT_SIZE - b->out_size)) {
        if (err == 0)
            emit(rs, NULL, 0, true);
    } else if (rs->gathered) {
        memcpy(b->out + b->out_size, b->gather, rs->gathered);
        b->out_size += rs->gathered;
        rs->gathered = 0;
    }
    if (rs->length >= 0 && rs->length != rs->written && !rs->bodyless)
        rs->close = true;
}
