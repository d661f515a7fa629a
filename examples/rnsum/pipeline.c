/* SPDX-License-Identifier: MIT */
/*
 * pipeline.c - from files to lines. The header has the picture.
 *
 * How it ends: the producer closes paths; the workers, seeing that, return; a goroutine that waits
 * for them closes results; the collector, seeing that, is done. A stop only makes each step happen
 * sooner: the producer stops producing, the workers stop hashing but still pass their jobs on. So
 * the collector has seen every job, and nothing leaks.
 */
#include "pipeline.h"

#include "produce.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNEL_ROOM = 64, FLUSH_BYTES = 64 << 10 };
static const rn_dur FLUSH_PERIOD = 100 * RN_MILLISECOND; /* lines appear in time, though buffered */
static const rn_dur GRACE = 40 * RN_MILLISECOND;         /* for workers, once we are to stop */

/* ---- Producer --------------------------------------------------------------------------------- */

static struct job *job_new(struct pipeline *p, const char *path)
{
    size_t size = strlen(path) + 1;
    struct job *job = malloc(sizeof(*job) + size);

    if (!job)
        return NULL;
    *job = (struct job){.number = p->next_number};
    memcpy(job->path, path, size);
    return job;
}

int pipeline_submit(struct pipeline *p, rn_ctx *ctx, const char *path, bool follow,
                    const unsigned char *expected)
{
    struct job *job;
    int err = rn_sem_acquire(ctx, &p->window, 1);

    if (err < 0)
        return err;
    job = job_new(p, path);
    if (!job)
        return -ENOMEM;
    job->is_file = true;
    job->follow = follow;
    if (expected)
        memcpy(job->expected, expected, DIGEST_BYTES);
    err = rn_send_ctx(ctx, p->paths, job);
    if (err < 0) {
        free(job);
        return err;
    }
    p->next_number++;
    atomic_fetch_add_explicit(&p->progress->found, 1, memory_order_relaxed);
    return 0;
}

int pipeline_submit_failure(struct pipeline *p, rn_ctx *ctx, const char *path, struct failure why)
{
    struct job *job;
    int err = rn_sem_acquire(ctx, &p->window, 1);

    if (err < 0)
        return err;
    job = job_new(p, path);
    if (!job)
        return -ENOMEM;
    job->result = HASH_FAILED;
    job->failure = why;
    p->next_number++;
    rn_send(p->results, job);
    return 0;
}

static int produce(struct pipeline *p, rn_ctx *ctx)
{
    int err = p->options->check ? produce_from_lists(p, ctx) : produce_from_trees(p, ctx);

    p->is_all_produced = err == 0;
    rn_close(p->paths);
    return err < 0 && err != rn_ctx_err(ctx) ? err : 0; /* a stop is not a failure */
}

/* ---- Workers ---------------------------------------------------------------------------------- */

static int work(struct pipeline *p, rn_ctx *ctx)
{
    struct hasher h;
    int err = hasher_init(&h);

    if (err < 0)
        return err;
    rn_range (job, p->paths) {
        job->result = hash_file(&h, ctx, job->path, job->follow, &p->progress->bytes, job->digest,
                                &job->failure);
        if (job->result == HASH_DONE)
            atomic_fetch_add_explicit(&p->progress->files, 1, memory_order_relaxed);
        rn_send(p->results, job); /* waits for the collector alone, who takes all of them */
    }
    hasher_deinit(&h);
    return 0;
}

static void close_results(struct pipeline *p)
{
    p->failure = rn_error_of(rn_group_wait(&p->group));
    rn_close(p->results);
}

/* ---- Collector -------------------------------------------------------------------------------- */

struct collector {
    struct pipeline *p;
    rn_ctx *ctx; /* the collector's: cancelled when the output fails, so that all stop */
    struct output *out;
    struct outcome *outcome;
    struct job **held; /* WINDOW: results that came before their turn, by number; sorted only */
    uint64_t next;     /* the number whose turn it is; sorted only */
    struct job *last;  /* the last one that was listed; sorted only */
    bool is_stopped;   /* nothing more is listed */
    bool is_missing;   /* some job was not done */
};

static void flush(struct collector *c)
{
    int err;

    if (c->outcome->output_err < 0 || c->outcome->is_cut)
        return;
    err = output_flush(c->out, c->ctx);
    if (err == 0)
        return;
    c->is_stopped = true;
    if (err == rn_ctx_err(c->ctx)) {
        c->outcome->is_cut = true;
    } else {
        c->outcome->output_err = err;
        rn_ctx_cancel(c->ctx);
    }
}

static void tell_failure(struct collector *c, const struct job *job)
{
    struct text *t = &c->outcome->problems;

    list_add_quoted(t, job->path);
    text_add_string(t, ": ");
    text_add_string(t, job->failure.text ? job->failure.text : rn_errmsg(job->failure.err));
    text_add_string(t, "\n");
    if (job->failure.err == 0)
        return; /* a remark */
    if (job->is_file || !c->p->options->check)
        c->outcome->unreadable++;
    else
        c->outcome->notices++;
}

/* List the result, or remember why there is none. */
static void list(struct collector *c, const struct job *job)
{
    const struct options *o = c->p->options;
    struct text *t = &c->out->text;

    if (job->result == HASH_FAILED) {
        if (o->ignore_missing && job->is_file && job->failure.err == -ENOENT)
            return;
        tell_failure(c, job);
        if (o->check && job->is_file && !o->silent)
            list_add_verdict(t, job->path, "FAILED open or read");
        return;
    }
    c->outcome->listed++;
    if (!o->check) {
        list_add_line(t, job->digest, job->path, o->zero);
    } else if (memcmp(job->digest, job->expected, DIGEST_BYTES) != 0) {
        c->outcome->mismatched++;
        if (!o->silent)
            list_add_verdict(t, job->path, "FAILED");
    } else if (!o->quiet && !o->silent) {
        list_add_verdict(t, job->path, "OK");
    }
}

/* job's turn has come. */
static void take(struct collector *c, struct job *job)
{
    rn_sem_release(&c->p->window, 1);
    if (job->result == HASH_STOPPED && c->p->options->sorted)
        c->is_stopped = true; /* what came after it would leave a gap in the list */
    if (c->is_stopped || job->result == HASH_STOPPED) {
        c->is_missing = true;
        free(job);
        return;
    }
    list(c, job);
    free(c->last);
    c->last = job;
    if (c->out->text.used >= FLUSH_BYTES)
        flush(c);
}

static void take_in_order(struct collector *c, struct job *job)
{
    c->held[job->number % WINDOW] = job; /* free: the window is not larger than this */
    for (;;) {
        struct job **turn = &c->held[c->next % WINDOW];

        job = *turn;
        if (!job)
            return;
        *turn = NULL;
        c->next++;
        take(c, job);
    }
}

static void collect(struct collector *c)
{
    rn_ticker ticker = {0};
    rn_time give_up_at = 0;
    struct job *job;
    bool is_open;

    rn_ticker_start(&ticker, FLUSH_PERIOD);
    rn_defer(rn_ticker_free, &ticker);
    for (;;) {
        /* First wait for the stop; then for the end of the time that is left. */
        rn_case stop = rn_on_done(c->ctx);
        if (give_up_at != 0)
            stop = rn_on_deadline(give_up_at);

        switch (rn_select_named(RESULT, rn_on_recv_ok(c->p->results, &job, &is_open), TICK,
                                rn_on_recv(rn_ticker_chan(&ticker), NULL), STOP, stop)) {
        case RESULT:
            if (!is_open)
                return;
            if (c->held)
                take_in_order(c, job);
            else
                take(c, job);
            break;
        case TICK:
            flush(c);
            break;
        case STOP:
            if (give_up_at != 0) {
                c->outcome->is_abandoned = true;
                return;
            }
            give_up_at = rn_now() + GRACE;
            break;
        }
    }
}

/* ---- All of it -------------------------------------------------------------------------------- */

static void pipeline_free(struct pipeline *p)
{
    rn_chan_release(p->paths);
    rn_chan_release(p->results);
    free(p);
}

int pipeline_run(const struct options *options, rn_ctx *ctx, struct progress *progress,
                 struct output *out, struct outcome *ret_outcome)
{
    struct pipeline *p = malloc(sizeof(*p)); /* may outlive us: is_abandoned */
    struct job **held = options->sorted ? calloc(WINDOW, sizeof(struct job *)) : NULL;
    struct collector c = {.p = p, .out = out, .outcome = ret_outcome, .held = held};
    rn_ctx *group_ctx;

    *ret_outcome = (struct outcome){0};
    if (!p || (options->sorted && !held)) {
        free(p);
        free(held);
        return -ENOMEM;
    }
    *p = (struct pipeline){.options = options,
                           .progress = progress,
                           .paths = rn_chan_make(struct job *, CHANNEL_ROOM),
                           .results = rn_chan_make(struct job *, CHANNEL_ROOM),
                           .window = RN_SEM(WINDOW)};
    c.ctx = rn_ctx_with_cancel(ctx);
    group_ctx = rn_group_with_ctx(&p->group, c.ctx);

    rn_group_go(&p->group, produce, p, group_ctx);
    for (int i = 0; i < options->jobs; i++)
        rn_group_go(&p->group, work, p, group_ctx);
    rn_go(close_results, p);
    collect(&c);

    flush(&c);
    ret_outcome->malformed = p->malformed;
    if (c.last)
        text_add_string(&ret_outcome->last, c.last->path);
    free(c.last);
    for (size_t i = 0; held && i < WINDOW; i++)
        free(held[i]);
    free(held);
    if (!ret_outcome->is_abandoned) {
        ret_outcome->failure = p->failure;
        ret_outcome->is_complete = p->is_all_produced && !c.is_missing && !ret_outcome->is_cut;
        pipeline_free(p);
    }
    rn_ctx_end(c.ctx);
    return 0;
}
