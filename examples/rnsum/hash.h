/* SPDX-License-Identifier: MIT */
/*
 * hash.h - the SHA-256 of a file, read in blocks, given up between two blocks when a context ends.
 */
#ifndef RNSUM_HASH_H
#define RNSUM_HASH_H

#include <runnel.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { DIGEST_BYTES = 32 };

/* What one worker needs to hash files one after another. */
struct hasher {
    unsigned char *block; /* on the heap: a goroutine's stack is 128 KiB in all */
    struct evp_md_ctx_st *evp;
};

/* Why a file has no digest: a negative errno value, and a text where errno has no good one. */
struct failure {
    int err;
    const char *text; /* static; NULL: the standard text of err */
};

enum hash_result { HASH_DONE, HASH_FAILED, HASH_STOPPED };

/* Load libcrypto's SHA-256, once, before the first goroutine: this part needs much stack. False when
 * libcrypto has none. */
bool hash_setup(void);
void hash_teardown(void);

/* 0, or -ENOMEM with nothing to free. */
int hasher_init(struct hasher *h);
void hasher_deinit(struct hasher *h);

/*
 * Hash the regular file at path.
 *
 *   follow  whether path may be a symbolic link
 *   bytes   grows by what was read, while it is read
 *
 * Returns HASH_DONE with digest set, HASH_FAILED with *ret_failure set, or HASH_STOPPED: ctx ended
 * first.
 */
enum hash_result hash_file(struct hasher *h, rn_ctx *ctx, const char *path, bool follow,
                           _Atomic uint64_t *bytes, unsigned char digest[DIGEST_BYTES],
                           struct failure *ret_failure);

#endif
