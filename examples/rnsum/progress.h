/* SPDX-License-Identifier: MIT */
/*
 * progress.h - counters, and a progress bar made of them where stderr is a terminal.
 */
#ifndef RNSUM_PROGRESS_H
#define RNSUM_PROGRESS_H

#include <runnel.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The counters are written by any goroutine; only the display reads them before the end. */
struct progress {
    _Atomic uint64_t files, bytes; /* hashed */
    _Atomic uint64_t found;        /* files that the pipeline knows of */
    _Atomic uint64_t total_files, total_bytes;
    _Atomic bool
        total_known; /* the totals are final; total_bytes may be 0: not known all the same */

    bool is_on; /* stderr is a terminal */
    rn_time started;
    rn_mutex mutex;
    bool is_drawn;         /* guarded by mutex */
    double rate;           /* guarded by mutex; bytes a second, smoothed */
    uint64_t bytes_before; /* guarded by mutex; when rate was last reckoned */
    rn_time rated_at;      /* guarded by mutex */
};

void progress_init(struct progress *p);

/* A goroutine: draw the bar every tenth of a second until ctx ends, then wipe it away. */
void progress_run(struct progress *p, rn_ctx *ctx);

/* Wipe the bar away and keep it away until progress_show. */
void progress_hide(struct progress *p);
void progress_show(struct progress *p);

enum { AMOUNT_ROOM = 32 };
/* "1.5 GiB" into to, which has AMOUNT_ROOM bytes; returns to. */
char *progress_amount(char *to, double bytes);

#endif
