/* SPDX-License-Identifier: MIT */
/*
 * pipeline.h - from files to lines: a producer, N workers, a collector.
 *
 *                 paths                    results
 *     producer ===========> N workers ==============> collector ---> standard output
 *         |                                               ^
 *         +------------- what cannot be hashed -----------+
 *
 * The producer (produce.c) walks the tree or reads the lists, and numbers what it finds. The workers
 * hash, and finish in any order. The collector puts the results back into the order of the numbers,
 * or with --unsorted leaves them as they come, and is the only one that writes or keeps anything, so
 * nothing here needs a lock.
 *
 * However large the tree, at most WINDOW jobs exist: the producer takes a unit of a semaphore for
 * each, the collector gives it back.
 */
#ifndef RNSUM_PIPELINE_H
#define RNSUM_PIPELINE_H

#include "hash.h"
#include "options.h"
#include "output.h"
#include "progress.h"

/* While one worker hashes a very large file, the others get this far ahead of it. */
enum { WINDOW = 16384 };

/* A file on its way. Whoever received it last owns it. */
struct job {
    uint64_t number;
    enum hash_result result;
    bool follow;
    bool is_file;                         /* false: only a failure to be told */
    struct failure failure;               /* HASH_FAILED */
    unsigned char digest[DIGEST_BYTES];   /* HASH_DONE */
    unsigned char expected[DIGEST_BYTES]; /* --check */
    char path[];
};

/* What came of it all. */
struct outcome {
    uint64_t listed;      /* lines of the list, or files compared */
    uint64_t mismatched;  /* --check */
    uint64_t unreadable;  /* files and directories */
    uint64_t malformed;   /* --check: lines that are not lines of a list */
    uint64_t notices;     /* other problems */
    struct text problems; /* messages, one a line */
    struct text last;     /* in sorted order: the list is complete up to this path */
    int output_err;       /* standard output failed */
    bool is_complete;     /* every file had its turn, although ctx may have ended since */
    bool is_cut;          /* stopped with lines of the list that nobody would take */
    bool is_abandoned;    /* stopped without waiting for goroutines that the kernel holds */
    rn_error failure;     /* the program itself failed: out of memory */
};

struct pipeline {
    const struct options *options;
    struct progress *progress;
    rn_chan(struct job *) paths;
    rn_chan(struct job *) results;
    rn_sem window;
    rn_group group; /* the producer and the workers */
    rn_error failure;
    _Atomic uint64_t malformed;
    uint64_t next_number; /* the producer's */
    bool is_all_produced; /* the producer's, until the group has ended */
};

/*
 * Do what options say, until it is done or ctx ends. Returns 0, or -ENOMEM with nothing done.
 *
 * If ret_outcome->is_abandoned, goroutines are still at work; the process should end.
 */
int pipeline_run(const struct options *options, rn_ctx *ctx, struct progress *progress,
                 struct output *out, struct outcome *ret_outcome);

/* For the producer: both return 0, ctx's error, or -ENOMEM. */
int pipeline_submit(struct pipeline *p, rn_ctx *ctx, const char *path, bool follow,
                    const unsigned char *expected);
int pipeline_submit_failure(struct pipeline *p, rn_ctx *ctx, const char *path, struct failure why);

#endif
