/* SPDX-License-Identifier: MIT */
/*
 * output.h - standard output, where a reader that does not read must not keep us from stopping.
 */
#ifndef RNSUM_OUTPUT_H
#define RNSUM_OUTPUT_H

#include "list.h"
#include "progress.h"

struct output {
    struct text text; /* written by output_flush */
    struct progress *progress;
    bool is_file;     /* never makes a writer wait for a reader */
    bool is_terminal; /* shared with the progress bar, which must be wiped away before a line */
};

/* progress is borrowed until output_finish. */
void output_init(struct output *o, struct progress *progress);

/*
 * Write what was added to o->text. Returns 0; a negative errno value; or, with part of the text
 * unwritten, ctx's error if nobody read for a moment after ctx ended.
 */
int output_flush(struct output *o, rn_ctx *ctx);

/* Flush and close: some file systems report a full disk only then. Returns as output_flush. */
int output_finish(struct output *o, rn_ctx *ctx);

#endif
