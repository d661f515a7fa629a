/* SPDX-License-Identifier: MIT */
/*
 * hash.c - the SHA-256 of a file.
 *
 * read() is called plainly, not through rn_sys: nearly always the data are in the page cache and a
 * call takes microseconds. When one does wait for a disk, the runtime notices within a millisecond
 * and gives the processor to another goroutine.
 */
#include "hash.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <runnel/errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BLOCK_BYTES = 128 << 10,   /* about 0.1 ms of hashing: also how soon a stop is noticed */
    BLOCKS_BETWEEN_YIELDS = 8, /* 1 MiB, about 1 ms: let others run, also with one processor */
};

static EVP_MD *sha256; /* set before the first goroutine, then only read */

bool hash_setup(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    return sha256 != NULL;
}

void hash_teardown(void)
{
    EVP_MD_free(sha256);
    sha256 = NULL;
}

int hasher_init(struct hasher *h)
{
    h->block = malloc(BLOCK_BYTES);
    h->evp = EVP_MD_CTX_new();
    if (h->block && h->evp)
        return 0;
    hasher_deinit(h);
    return -ENOMEM;
}

void hasher_deinit(struct hasher *h)
{
    free(h->block);
    EVP_MD_CTX_free(h->evp);
}

static enum hash_result fail(struct failure *ret_failure, int err, const char *text)
{
    *ret_failure = (struct failure){err, text};
    return HASH_FAILED;
}

static enum hash_result hash_open_file(struct hasher *h, rn_ctx *ctx, int fd,
                                       _Atomic uint64_t *bytes, unsigned char digest[DIGEST_BYTES],
                                       struct failure *ret_failure)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return fail(ret_failure, -errno, NULL);
    if (S_ISDIR(st.st_mode))
        return fail(ret_failure, -EISDIR, NULL);
    if (!S_ISREG(st.st_mode))
        return fail(ret_failure, -EINVAL, "not a regular file");
    if (st.st_size > BLOCK_BYTES)
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);

    if (!EVP_DigestInit_ex(h->evp, sha256, NULL))
        return fail(ret_failure, -ENOMEM, "libcrypto failed");
    for (unsigned blocks = 1;; blocks++) {
        if (rn_ctx_err(ctx) != 0)
            return HASH_STOPPED;
        ssize_t n = read(fd, h->block, BLOCK_BYTES);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(ret_failure, -errno, NULL);
        if (n == 0)
            break;
        if (!EVP_DigestUpdate(h->evp, h->block, (size_t)n))
            return fail(ret_failure, -EIO, "libcrypto failed");
        /* Only a display reads it while we run. */
        atomic_fetch_add_explicit(bytes, (uint64_t)n, memory_order_relaxed);
        if (blocks % BLOCKS_BETWEEN_YIELDS == 0)
            rn_yield();
    }
    if (!EVP_DigestFinal_ex(h->evp, digest, NULL))
        return fail(ret_failure, -EIO, "libcrypto failed");
    return HASH_DONE;
}

enum hash_result hash_file(struct hasher *h, rn_ctx *ctx, const char *path, bool follow,
                           _Atomic uint64_t *bytes, unsigned char digest[DIGEST_BYTES],
                           struct failure *ret_failure)
{
    /* O_NONBLOCK: should a named pipe have taken the file's place, open must not wait for a writer. */
    int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (follow ? 0 : O_NOFOLLOW);
    enum hash_result result;
    int fd;

    if (rn_ctx_err(ctx) != 0)
        return HASH_STOPPED;
    fd = open(path, flags);
    if (fd < 0)
        return fail(ret_failure, -errno, NULL);
    result = hash_open_file(h, ctx, fd, bytes, digest, ret_failure);
    (void)close(fd); /* it was only read */
    return result;
}
