/* SPDX-License-Identifier: MIT */
/*
 * produce.h - where the pipeline's files come from. Both producers return 0, ctx's error or -ENOMEM.
 */
#ifndef RNSUM_PRODUCE_H
#define RNSUM_PRODUCE_H

#include "pipeline.h"

/* The files below the operands. */
int produce_from_trees(struct pipeline *p, rn_ctx *ctx);

/* The files that the operands, lists of sha256sum, name. */
int produce_from_lists(struct pipeline *p, rn_ctx *ctx);

/* A goroutine: find out how many files and bytes produce_from_trees will meet, for the bar. */
void produce_totals(const struct options *options, struct progress *progress, rn_ctx *ctx);

#endif
