/* SPDX-License-Identifier: MIT */
/*
 * response.c - what a response holds: bytes that grow, and headers, which are texts in one of those.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/http.h"

bool rn__http_bytes_add(struct bytes *b, const void *data, size_t size)
{
    if (size > b->room - b->size) {
        size_t room = b->room ? b->room : 512;
        char *more;

        while (room - b->size < size)
            room *= 2;
        more = realloc(b->data, room);
        if (!more)
            return false;
        b->data = more;
        b->room = room;
    }
    memcpy(b->data + b->size, data, size);
    b->size += size;
    return true;
}

void rn__http_bytes_free(struct bytes *b)
{
    free(b->data);
    *b = (struct bytes){0};
}

struct response *rn__http_response_new(void)
{
    struct response *r = calloc(1, sizeof *r);

    if (r)
        r->pub.body = r->pub.url = "";
    return r;
}

/* A head begins: what was before is another's, an interim one's. */
void rn__http_response_reset(struct response *r)
{
    r->head.size = 0;
    r->count = 0;
}

static bool more_headers(struct response *r)
{
    int room = r->room ? 2 * r->room : 16;
    size_t *names, *values;

    if (r->count < r->room)
        return true;
    names = realloc(r->names, (size_t)room * sizeof *names);
    if (names)
        r->names = names;
    values = realloc(r->values, (size_t)room * sizeof *values);
    if (values)
        r->values = values;
    if (!names || !values)
        return false;
    r->room = room;
    return true;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int rn__http_response_line(struct response *r, const char *line, size_t size)
{
    const char *colon = memchr(line, ':', size), *value;
    bool folded = size > 0 && (line[0] == ' ' || line[0] == '\t');

    while (size > 0 && is_space(line[size - 1]))
        size--;
    if (folded && r->count > 0) { /* goes on with the value before */
        while (size > 0 && is_space(*line)) {
            line++;
            size--;
        }
        r->head.size--;
        return rn__http_bytes_add(&r->head, " ", 1) && rn__http_bytes_add(&r->head, line, size) &&
                       rn__http_bytes_add(&r->head, "", 1)
                   ? 0
                   : -ENOMEM;
    }
    if (!colon || colon >= line + size) /* curl lets nothing of the kind through but "name:" */
        colon = line + size;
    value = colon < line + size ? colon + 1 : colon;
    while (value < line + size && is_space(*value))
        value++;
    if (!more_headers(r))
        return -ENOMEM;
    r->names[r->count] = r->head.size;
    if (!rn__http_bytes_add(&r->head, line, (size_t)(colon - line)) ||
        !rn__http_bytes_add(&r->head, "", 1))
        return -ENOMEM;
    r->values[r->count] = r->head.size;
    if (!rn__http_bytes_add(&r->head, value, (size_t)(line + size - value)) ||
        !rn__http_bytes_add(&r->head, "", 1))
        return -ENOMEM;
    r->count++;
    return 0;
}

bool rn__http_is_token(const char *name, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (name[i] <= ' ' || name[i] >= 127 || strchr("\"(),/:;<=>?@[\\]{}", name[i]))
            return false;
    return size > 0;
}

static const struct response *of(const rn_http_response *r)
{
    return (const struct response *)(const void *)r; /* its first member */
}

bool rn_http_header_at(const rn_http_response *r, int i, const char **ret_name,
                       const char **ret_value)
{
    const struct response *mine = of(r);

    if (i < 0 || i >= mine->count)
        return false;
    *ret_name = mine->head.data + mine->names[i];
    *ret_value = mine->head.data + mine->values[i];
    return true;
}

const char *rn_http_header(const rn_http_response *r, const char *name)
{
    const char *its_name, *value;

    for (int i = 0; rn_http_header_at(r, i, &its_name, &value); i++)
        if (strcasecmp(its_name, name) == 0)
            return value;
    return NULL;
}

void rn_http_response_free(rn_http_response *pub)
{
    struct response *r = (struct response *)(void *)pub;

    if (!r)
        return;
    rn__http_bytes_free(&r->body);
    rn__http_bytes_free(&r->head);
    free(r->names);
    free(r->values);
    free(r->url);
    free(r);
}
