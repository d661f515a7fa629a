/* SPDX-License-Identifier: MIT */
/*
 * labels.h - what a goroutine is labelled with, for reports: rn_set_label.
 *
 * Most goroutines have no labels, and neither their control block nor their record has room for any but a pointer. Those that
 * do have a block of their own, with the text that reports print. It is taken over when the goroutine starts another,
 * by a copy: shared, it would have to be counted, and looked at on the spawn path to be so.
 *
 * Reports read a block at any moment, while its goroutine changes its labels or ends. So the memory of blocks stays, as
 * that of goroutines does, and a text is never changed in its block: a goroutine takes another. turn says whether the
 * block has been taken anew while it was read.
 *
 * Rejected: texts that are kept once each and never given back (labels such as a request's number would fill the
 * memory); contexts that carry them (a report finds goroutines, not contexts).
 */
#ifndef RN_SRC_LABELS_H
#define RN_SRC_LABELS_H

#include "sched/sched.h"

enum { LABELS_MAX = 240 };

struct labels {
    struct labels *next; /* while free */
    uint32_t turn;       /* atomic: how often it was taken */
    char text[LABELS_MAX];
};

/* A copy; NULL if there is no memory. */
struct labels *rn__labels_copy(const struct labels *from);
void rn__labels_free(struct labels *l); /* NULL: nothing */

/* What *at, a field of a goroutine's that may be about anything, is labelled with, to LABELS_MAX bytes. False: it has
 * none, or had them no more while they were read. */
bool rn__labels_read(struct labels *const *at, char *to);

void rn__labels_fork(void);

#endif
