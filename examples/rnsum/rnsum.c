/* SPDX-License-Identifier: MIT */
/*
 * rnsum - the SHA-256 of every file of a tree, on all processors; and the check of such a list.
 *
 * A program of ordinary size built on runnel. This file has what surrounds the work: contexts that
 * end by a signal or by time, the progress bar, and what is said at the end. The work itself is a
 * pipeline of goroutines, in pipeline.h.
 */
#include "hash.h"
#include "options.h"
#include "output.h"
#include "pipeline.h"
#include "produce.h"
#include "progress.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const rn_dur GRACE = 20 * RN_MILLISECOND; /* for the display, once we are to stop */

/* The contexts, each inside the one before, so that each reason to stop can be told from the others. */
struct stops {
    rn_ctx *interrupted; /* SIGINT */
    rn_ctx *terminated;  /* SIGTERM */
    rn_ctx *timed_out;   /* --timeout */
};

static void stops_init(struct stops *s, const struct options *o)
{
    s->interrupted = rn_ctx_with_signals(rn_ctx_background(), SIGINT);
    s->terminated = rn_ctx_with_signals(s->interrupted, SIGTERM);
    s->timed_out = o->timeout > 0 ? rn_ctx_with_timeout(s->terminated, o->timeout)
                                  : rn_ctx_with_cancel(s->terminated);
}

static void stops_deinit(struct stops *s)
{
    rn_ctx_end(s->timed_out);
    rn_ctx_end(s->terminated);
    rn_ctx_end(s->interrupted);
}

/* Why we stopped, with the exit status that says so; NULL: we did not. */
static const char *why_stopped(const struct stops *s, int *ret_status)
{
    if (rn_ctx_err(s->timed_out) == 0)
        return NULL;
    if (rn_ctx_err(s->interrupted) != 0) {
        *ret_status = STATUS_SIGNAL + SIGINT;
        return "stopped by SIGINT";
    }
    if (rn_ctx_err(s->terminated) != 0) {
        *ret_status = STATUS_SIGNAL + SIGTERM;
        return "stopped by SIGTERM";
    }
    *ret_status = STATUS_TIMEOUT;
    return "time is up";
}

/* ---- What is said at the end ------------------------------------------------------------------ */

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

static void tell_problems(const struct outcome *result)
{
    const char *line = result->problems.at;

    while (line && *line) {
        const char *next = line;

        while (*next && *next != '\n')
            next++;
        (void)fprintf(stderr, "rnsum: %.*s\n", (int)(next - line), line);
        line = *next ? next + 1 : next;
    }
}

/* The counts, in sha256sum's words where it has them. */
static void tell_counts(const struct options *o, const struct outcome *result)
{
    unsigned long long malformed = result->malformed, unreadable = result->unreadable,
                       mismatched = result->mismatched;

    if (!o->check) {
        if (unreadable > 0)
            (void)fprintf(stderr, "rnsum: %llu path%s could not be read\n", unreadable,
                          plural(unreadable));
        return;
    }
    if (o->silent)
        return;
    if (malformed > 0)
        (void)fprintf(stderr, "rnsum: WARNING: %llu line%s improperly formatted\n", malformed,
                      malformed == 1 ? " is" : "s are");
    if (unreadable > 0)
        (void)fprintf(stderr, "rnsum: WARNING: %llu listed file%s could not be read\n", unreadable,
                      plural(unreadable));
    if (mismatched > 0)
        (void)fprintf(stderr, "rnsum: WARNING: %llu computed checksum%s did NOT match\n",
                      mismatched, plural(mismatched));
}

static void tell_how_far(const char *why, const struct options *o, struct progress *p,
                         const struct outcome *result)
{
    unsigned long long files = p->files, found = p->found;
    struct text text = {0};
    char amount[AMOUNT_ROOM];

    (void)fprintf(stderr, "rnsum: %s after %.2f s: %llu of at least %llu file%s hashed, %s read",
                  why, (double)(rn_now() - p->started) / (double)RN_SECOND, files, found,
                  plural(found), progress_amount(amount, (double)p->bytes));
    list_add_quoted(&text, result->last.at ? result->last.at : "");
    if (result->is_cut)
        (void)fputs("; the list was cut, because nobody read it", stderr);
    else if (o->check || !o->sorted)
        (void)fprintf(stderr, "; %llu %s", (unsigned long long)result->listed,
                      o->check ? "checked" : "listed");
    else if (result->last.at && text.at)
        (void)fprintf(stderr, "; the list is complete up to %s", text.at);
    else
        (void)fputs("; nothing is listed", stderr);
    if (result->is_abandoned)
        (void)fputs("; some reads did not end in time", stderr);
    (void)fputc('\n', stderr);
    text_deinit(&text);
}

static int tell(const struct options *o, const struct stops *stops, struct progress *p,
                const struct outcome *result)
{
    int status = STATUS_OK;
    const char *why = why_stopped(stops, &status);

    tell_problems(result);
    tell_counts(o, result);
    if (result->output_err < 0) {
        (void)fprintf(stderr, "rnsum: standard output: %s\n", rn_errmsg(result->output_err));
        return STATUS_BROKEN;
    }
    if (result->failure.code < 0 || result->problems.lost) {
        (void)fprintf(stderr, "rnsum: %s\n",
                      result->failure.text[0] ? result->failure.text : rn_errmsg(-ENOMEM));
        return STATUS_BROKEN;
    }
    if (why && !result->is_complete) {
        tell_how_far(why, o, p, result);
        return status;
    }
    if (o->ignore_missing && result->listed == 0 && result->notices == 0) {
        if (!o->silent)
            (void)fputs("rnsum: no file was verified\n", stderr);
        return STATUS_PROBLEMS;
    }
    if (result->unreadable > 0 || result->mismatched > 0 || result->notices > 0 ||
        (o->strict && result->malformed > 0))
        return STATUS_PROBLEMS;
    return STATUS_OK;
}

/* ---- All of it -------------------------------------------------------------------------------- */

static int program(const struct options *o)
{
    struct progress progress;
    struct output out;
    struct stops stops;
    struct outcome result;
    rn_wg display = {0};
    rn_ctx *display_ctx;
    int status, err;

    stops_init(&stops, o);
    progress_init(&progress);
    output_init(&out, &progress);
    display_ctx = rn_ctx_with_cancel(stops.timed_out);
    if (progress.is_on) {
        rn_wg_go(&display, progress_run, &progress, display_ctx);
        if (!o->check)
            rn_wg_go(&display, produce_totals, o, &progress, display_ctx);
    }

    err = pipeline_run(o, stops.timed_out, &progress, &out, &result);
    if (err < 0)
        result.failure = rn_error_of(err);

    rn_ctx_cancel(display_ctx);
    if (rn_ctx_err(stops.timed_out) != 0) {
        rn_ctx *brief = rn_ctx_with_timeout(rn_ctx_background(), GRACE);

        result.is_abandoned |= rn_wg_wait_ctx(brief, &display) < 0;
        rn_ctx_end(brief);
    } else {
        rn_wg_wait(&display);
    }

    if (result.output_err == 0 && !result.is_cut) {
        err = output_finish(&out, stops.timed_out);
        result.is_cut = err < 0 && err == rn_ctx_err(stops.timed_out);
        result.output_err = result.is_cut ? 0 : err;
        result.is_complete &= !result.is_cut;
    }
    status = tell(o, &stops, &progress, &result);
    if (result.is_abandoned)
        _exit(status); /* goroutines that the kernel holds still use all of this */

    text_deinit(&out.text);
    text_deinit(&result.problems);
    text_deinit(&result.last);
    rn_ctx_end(display_ctx);
    stops_deinit(&stops);
    return status;
}

/* Should a standard descriptor be closed, an opened file would get its number: our output could go
 * into it. Fill the gaps with something that fails when it is used. */
static void fill_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            _exit(STATUS_BROKEN);
}

int main(int argc, char **argv)
{
    struct options options;
    int status;

    fill_standard_descriptors();
    (void)signal(SIGPIPE, SIG_IGN); /* a closed pipe is then an error of write(), which we report */
    if (!options_parse(&options, argc, argv, &status))
        return status;
    if (!hash_setup()) {
        (void)fputs("rnsum: libcrypto has no SHA-256\n", stderr);
        return STATUS_BROKEN;
    }
    status = rn_run(program, &options);
    hash_teardown();
    return status;
}
