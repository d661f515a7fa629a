/* SPDX-License-Identifier: MIT */
/*
 * http.c - the parser's front end under libFuzzer: a head and a chunked body, fed at once and in pieces.
 *
 * Beside what the sanitizers see: both ways must say the same; and what is let through must be what a plain reading
 * of the bytes says: lines end with CR LF, names are names, one host, one length at most, no length beside chunks.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "httpd/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
    int status, count;
    size_t fed, body_len;
    char *head, *body;
    ptrdiff_t rest;
    bool end;
};

static struct result parse(const uint8_t *data, size_t size, size_t step)
{
    struct result r = {0};
    struct head h;
    char *buf = malloc(size + 1);
    size_t n = 0;
    int got = 0;

    rn__head_start(&h, 200, 40, 1000);
    while (got == 0 && n < size) {
        size_t k = size - n < step ? size - n : step;

        memcpy(buf + n, data + n, k);
        n += k;
        got = rn__head_feed(&h, buf, n);
    }
    memcpy(buf, data, size);
    r.status = got > 1 ? got : -1;
    if (got == 1) {
        r.status = rn__head_finish(&h, buf);
        r.fed = h.fed;
    }
    if (got == 1 && r.status == 0) {
        char *path = malloc(h.target_len + 2);
        ptrdiff_t length = rn__path_decode(buf + h.target, h.target_len, path);

        r.count = h.count;
        assert(length == -1 || (size_t)length == strlen(path));
        assert(length == -1 || strcmp(path, "*") == 0 ||
               (path[0] == '/' && !strstr(path, "/../") && !strstr(path, "/./")));
        if (h.target_len > 0)
            rn__query_decode(buf + h.target, h.target_len, path);
        free(path);
        for (int i = 0; i < h.count; i++) {
            assert(rn__is_token(buf + h.fields[i].name, strlen(buf + h.fields[i].name)));
            assert(rn__is_value(buf + h.fields[i].value, strlen(buf + h.fields[i].value)));
        }
        r.head = malloc(h.fed + 1);
        memcpy(r.head, buf, h.fed);
        if (h.chunked) {
            size_t at = h.fed, end = h.fed;

            r.body = malloc(size + 1);
            for (;;) {
                ptrdiff_t used = rn__chunks_feed(&h, buf + at, end - at);

                if (used < 0) {
                    r.rest = -1;
                    break;
                }
                memcpy(r.body + r.body_len, h.part_len ? h.part : "", h.part_len);
                r.body_len += h.part_len;
                at += (size_t)used;
                if (h.end)
                    break;
                if (used == 0 && end == size)
                    break;
                if (at == end)
                    end = size - end < step ? size : end + step;
            }
            if (r.rest == 0)
                r.rest = (ptrdiff_t)at;
            r.end = h.end;
        }
    }
    rn__head_end(&h);
    free(buf);
    return r;
}

/* A reading without a state machine. */
static void check(const uint8_t *data, size_t fed)
{
    const char *at = (const char *)data, *end = at + fed;
    int hosts = 0, lengths = 0, codings = 0;
    bool first = true;

    while (end - at >= 2 && at[0] == '\r' && at[1] == '\n')
        at += 2;
    for (;;) {
        const char *line = at;

        while (at < end && *at != '\r' && *at != '\n')
            at++;
        assert(end - at >= 2 && at[0] == '\r' && at[1] == '\n');
        if (at == line)
            break;
        if (!first) {
            const char *colon = memchr(line, ':', (size_t)(at - line));

            assert(colon && rn__is_token(line, (size_t)(colon - line)));
            hosts += colon - line == 4 && strncasecmp(line, "host", 4) == 0;
            lengths += colon - line == 14 && strncasecmp(line, "content-length", 14) == 0;
            codings += colon - line == 17 && strncasecmp(line, "transfer-encoding", 17) == 0;
        }
        first = false;
        at += 2;
    }
    assert(at + 2 == end);
    assert(hosts <= 1 && lengths + codings <= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct result one = parse(data, size, size ? size : 1);

    if (one.status == 0)
        check(data, one.fed);
    for (size_t step = 1; step < size && step < 100; step = step * 4 + 1) {
        struct result many = parse(data, size, step);

        /* Which status a refusal has may depend on how much of the line was there. */
        assert((many.status > 0 ? 1 : many.status) == (one.status > 0 ? 1 : one.status));
        assert(many.count == one.count);
        if (one.status == 0) {
            assert(many.fed == one.fed && memcmp(many.head, one.head, one.fed) == 0);
            assert(many.end == one.end && (many.rest == -1) == (one.rest == -1));
            if (one.rest != -1)
                assert(many.body_len == one.body_len &&
                       (one.body_len == 0 || memcmp(many.body, one.body, one.body_len) == 0));
        }
        free(many.head);
        free(many.body);
    }
    free(one.head);
    free(one.body);
    return 0;
}
