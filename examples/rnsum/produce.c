/* SPDX-License-Identifier: MIT */
/*
 * produce.c - where the pipeline's files come from: trees, or lists to check.
 */
#include "produce.h"

#include "walk.h"

#include <fcntl.h>
#include <poll.h>
#include <runnel/errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Trees ------------------------------------------------------------------------------------ */

int produce_from_trees(struct pipeline *p, rn_ctx *ctx)
{
    const struct options *o = p->options;
    struct walk *w = walk_new(o->operands, o->operand_count, o->sorted, o->follow);
    struct walk_item item;
    int r;

    if (!w)
        return -ENOMEM;
    while ((r = walk_next(w, ctx, &item)) > 0) {
        r = item.is_problem ? pipeline_submit_failure(p, ctx, item.path, item.failure)
                            : pipeline_submit(p, ctx, item.path, item.follow, NULL);
        if (r < 0)
            break;
    }
    walk_free(w);
    return r;
}

void produce_totals(const struct options *options, struct progress *progress, rn_ctx *ctx)
{
    struct walk *w = walk_new(options->operands, options->operand_count, false, options->follow);
    uint64_t files = 0, bytes = 0;
    struct walk_item item;
    int r;

    if (!w)
        return; /* then there is no bar, only numbers */
    while ((r = walk_next(w, ctx, &item)) > 0) {
        struct stat st;

        if (item.is_problem || stat(item.path, &st) < 0 || !S_ISREG(st.st_mode))
            continue;
        files++;
        bytes += (uint64_t)st.st_size;
    }
    walk_free(w);
    if (r < 0)
        return;
    atomic_store(&progress->total_files, files);
    atomic_store(&progress->total_bytes, bytes);
    atomic_store(&progress->total_known, true);
}

/* ---- Lists ------------------------------------------------------------------------------------ */

enum {
    READ_BYTES = 64 << 10,
    LINE_MAX_BYTES = 64 << 10, /* far above any path; a longer line is not one of a list */
    POLL_MS = 10,
};

struct reader {
    int fd;
    bool is_file; /* a read never waits for a writer */
    char *buffer; /* READ_BYTES */
    size_t at, end;
    struct text line;
};

/* Read more. The count, 0 at the end, ctx's error, or the read's. */
static ssize_t reader_fill(struct reader *r, rn_ctx *ctx)
{
    for (;;) {
        struct pollfd in = {.fd = r->fd, .events = POLLIN};
        ssize_t n;

        if (rn_ctx_err(ctx) != 0)
            return rn_ctx_err(ctx);
        if (!r->is_file) {
            int ready = rn_sys(poll(&in, 1, POLL_MS));

            if (ready == 0 || ready == -EINTR)
                continue;
            if (ready < 0)
                return ready;
        }
        n = read(r->fd, r->buffer, READ_BYTES);
        if (n >= 0) {
            r->at = 0;
            r->end = (size_t)n;
            return n;
        }
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
}

/* Read a line into r->line, without its newline. 1; 0 at the end; ctx's error; the read's. */
static int reader_line(struct reader *r, rn_ctx *ctx)
{
    bool any = false;

    r->line.used = 0;
    for (;;) {
        const char *from = r->buffer + r->at, *newline;
        size_t n;

        if (r->at == r->end) {
            ssize_t got = reader_fill(r, ctx);

            if (got < 0)
                return (int)got;
            if (got == 0)
                return any;
            from = r->buffer;
        }
        any = true;
        newline = memchr(from, '\n', r->end - r->at);
        n = newline ? (size_t)(newline - from) : r->end - r->at;
        if (r->line.used <= LINE_MAX_BYTES)
            text_add(&r->line, from, n);
        if (r->line.lost)
            return -ENOMEM;
        r->at += n + (newline != NULL);
        if (newline)
            return 1;
    }
}

static int malformed_line(struct pipeline *p, rn_ctx *ctx, const char *name, uint64_t number)
{
    char where[32];
    struct text path = {0};
    int err;

    p->malformed++;
    if (!p->options->warn)
        return 0;
    (void)snprintf(where, sizeof(where), ": %llu", (unsigned long long)number);
    text_add_string(&path, name);
    text_add_string(&path, where);
    err = path.lost ? -ENOMEM
                    : pipeline_submit_failure(
                          p, ctx, path.at,
                          (struct failure){0, "improperly formatted SHA256 checksum line"});
    text_deinit(&path);
    return err;
}

static int produce_from_list(struct pipeline *p, rn_ctx *ctx, struct reader *r, const char *name)
{
    bool any = false;
    int got;

    for (uint64_t number = 1; (got = reader_line(r, ctx)) > 0; number++) {
        unsigned char expected[DIGEST_BYTES];
        char *path;
        int err;

        if (r->line.used == 0 || r->line.at[0] == '#')
            continue;
        path = r->line.used <= LINE_MAX_BYTES ? list_parse(r->line.at, expected) : NULL;
        any |= path != NULL;
        err = path ? pipeline_submit(p, ctx, path, true, expected)
                   : malformed_line(p, ctx, name, number);
        if (err < 0)
            return err;
    }
    if (got < 0 && (got == -ENOMEM || got == rn_ctx_err(ctx)))
        return got;
    if (got < 0)
        return pipeline_submit_failure(p, ctx, name, (struct failure){got, NULL});
    if (!any)
        return pipeline_submit_failure(
            p, ctx, name, (struct failure){-EINVAL, "no properly formatted checksum lines found"});
    return 0;
}

static int produce_from_file(struct pipeline *p, rn_ctx *ctx, const char *name)
{
    bool is_standard_input = strcmp(name, "-") == 0;
    struct reader r = {.fd = STDIN_FILENO};
    struct stat st;
    int err;

    if (is_standard_input) {
        name = "standard input";
    } else {
        /* O_NONBLOCK: the open of a named pipe must not wait; the reads wait in poll(). */
        r.fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (r.fd < 0)
            return pipeline_submit_failure(p, ctx, name, (struct failure){-errno, NULL});
    }
    r.is_file = fstat(r.fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
    r.buffer = malloc(READ_BYTES);
    text_add(&r.line, "", 0); /* so that a line has text, even an empty one */
    err = r.buffer && !r.line.lost ? produce_from_list(p, ctx, &r, name) : -ENOMEM;
    text_deinit(&r.line);
    free(r.buffer);
    if (!is_standard_input)
        (void)close(r.fd);
    return err;
}

int produce_from_lists(struct pipeline *p, rn_ctx *ctx)
{
    const struct options *o = p->options;

    for (size_t i = 0; i < o->operand_count; i++) {
        int err = produce_from_file(p, ctx, o->operands[i]);

        if (err < 0)
            return err;
    }
    atomic_store(&p->progress->total_files, atomic_load(&p->progress->found));
    atomic_store(&p->progress->total_known, true);
    return 0;
}
