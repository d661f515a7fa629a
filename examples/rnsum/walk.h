/* SPDX-License-Identifier: MIT */
/*
 * walk.h - the regular files below some directories, one after another, in the order of their paths.
 */
#ifndef RNSUM_WALK_H
#define RNSUM_WALK_H

#include "hash.h"

struct walk;

struct walk_item {
    const char *path;       /* valid until the next walk_next */
    bool follow;            /* path may be a symbolic link */
    bool is_problem;        /* not a file to hash, but one (or a directory) that cannot be had */
    struct failure failure; /* why, for a problem */
};

/*
 * A walk below n operands. An operand that is a symbolic link is followed; one that is not a
 * directory then is an item with a problem.
 *
 *   operands  borrowed until walk_free
 *   sorted    items come in the byte order of their paths, as from sort in the C locale; else in any
 *   follow    follow symbolic links below the operands too; else they are passed over
 *
 * Returns NULL when out of memory.
 */
struct walk *walk_new(char *const *operands, size_t n, bool sorted, bool follow);

/* 1 with *ret_item set, 0 at the end, or a negative value: ctx's error or -ENOMEM. */
int walk_next(struct walk *w, rn_ctx *ctx, struct walk_item *ret_item);

void walk_free(struct walk *w);

#endif
