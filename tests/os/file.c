/* SPDX-License-Identifier: MIT */
/*
 * file.c - files: through the ring of the kernel's, without it, and where it is refused or lost in the midst.
 *
 * EACH_WAY runs its body in all three: "always" sends every read and write through the ring.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "refuse.h"
#include "ring.h"

enum way { AS_IT_IS, ALWAYS_RING, NO_RING, WAYS };
static const char *const way_setting[WAYS] = {"", "always", "0"};

/* The setting is read once in a process: each way is a test. The body runs as a first goroutine. */
#define FILE_TEST(name)                                                                            \
    static void name##_body(void);                                                                 \
    PLAIN_TEST(name##_as_it_is)                                                                    \
    {                                                                                              \
        in_way(AS_IT_IS, name##_body);                                                             \
    }                                                                                              \
    PLAIN_TEST(name##_by_the_ring)                                                                 \
    {                                                                                              \
        in_way(ALWAYS_RING, name##_body);                                                          \
    }                                                                                              \
    PLAIN_TEST(name##_without_a_ring)                                                              \
    {                                                                                              \
        in_way(NO_RING, name##_body);                                                              \
    }                                                                                              \
    static void name##_body(void)
static void in_way(enum way way, void (*body)(void))
{
    setenv("RUNNEL_IO_URING", way_setting[way], 1);
    CHECK_EQ(rn_run(test_run_body, __FILE__, __LINE__, body, false), 0);
}

static char folder[] = "/tmp/runnel-file-XXXXXX";
static char path_room[200];
static const char *path_of(const char *name)
{
    static bool made;

    if (!made)
        CHECK(mkdtemp(folder) != NULL);
    made = true;
    snprintf(path_room, sizeof path_room, "%s/%s", folder, name);
    return path_room;
}
static void folder_gone(void)
{
    CHECK_EQ(rmdir(folder), 0); /* nothing was left in it */
}

static char pattern(size_t at)
{
    return (char)(at * 31 + at / 251);
}
static char *some(size_t n)
{
    char *text = malloc(n + 1);

    CHECK(text != NULL);
    for (size_t i = 0; i < n; i++)
        text[i] = pattern(i);
    text[n] = 0;
    return text;
}
static rn_file *open_new(const char *name)
{
    rn_file *f;

    CHECK_EQ(rn_file_open(path_of(name), O_RDWR | O_CREAT | O_TRUNC, 0600, &f), 0);
    CHECK(fcntl(rn_file_fd(f), F_GETFD) & FD_CLOEXEC);
    CHECK_EQ(unlink(path_of(name)), 0);
    return f;
}

/* ---- Reading and writing ------------------------------------------------------------------------------------- */

FILE_TEST(file_reads_and_writes)
{
    size_t n = 300000;
    char *in = some(n), *out = calloc(1, n + 1);
    rn_file *f = open_new("a");
    struct iovec iov[300];
    struct stat st;

    CHECK_EQ(rn_file_write(f, in, n), n);
    CHECK_EQ(rn_file_write(f, in, 0), 0);
    CHECK_EQ(rn_file_pread(f, out, n, 0), n);
    CHECK(memcmp(in, out, n) == 0);
    CHECK_EQ(rn_file_pread(f, out, 100, 299950), 50); /* fewer at the end only */
    CHECK_EQ(rn_file_pread(f, out, 100, 300000), 0);
    CHECK_EQ(rn_file_pread(f, out, 100, 400000), 0);
    CHECK_EQ(rn_file_read(f, out, 100), 0);
    CHECK_EQ(rn_file_seek(f, 0, SEEK_SET), 0);
    CHECK_EQ(rn_file_read(f, out, 1), 1);
    for (int i = 0; i < 300; i++)
        iov[i] = (struct iovec){out + 1 + i * 999, i == 299 ? 0 : 999};
    CHECK_EQ(rn_file_readv_ctx(NULL, f, iov, 300), 299 * 999);
    CHECK(memcmp(in, out, 1 + 299 * 999) == 0);
    CHECK_EQ(rn_file_seek(f, 0, SEEK_CUR), 1 + 299 * 999);
    for (int i = 0; i < 300; i++)
        iov[i] = (struct iovec){in + i * 1000, 1000};
    CHECK_EQ(rn_file_pwritev_ctx(NULL, f, iov, 300, 1000000), n);
    CHECK_EQ(rn_file_seek(f, 0, SEEK_CUR), 1 + 299 * 999); /* where it was */
    memset(out, 0, n);
    CHECK_EQ(rn_file_preadv_ctx(NULL, f, &(struct iovec){out, n}, 1, 1000000), n);
    CHECK(memcmp(in, out, n) == 0);
    CHECK_EQ(rn_file_writev_ctx(NULL, f, iov, 2), 2000);
    CHECK_EQ(rn_file_stat(f, &st), 0);
    CHECK_EQ(st.st_size, 1300000);
    CHECK_EQ(rn_file_sync(f), 0);
    CHECK_EQ(rn_file_datasync_ctx(NULL, f), 0);
    CHECK_EQ(rn_file_truncate(f, 10), 0);
    CHECK_EQ(rn_file_pread(f, out, 100, 0), 10);
    CHECK_EQ(rn_file_pread(f, out, 100, -1), -EINVAL);
    CHECK_EQ(rn_file_preadv_ctx(NULL, f, iov, 1025, 0), -EINVAL);
    rn_file_close(f);
    free(in);
    free(out);
    folder_gone();
}

/* What is not in the cache, by many at the same time. */
static rn_file *shared;
static void read_around(int seed, size_t size)
{
    char *buf = malloc(4096);

    for (int i = 0; i < test_times(100); i++) {
        size_t at = ((size_t)(seed * 7919 + i * 104729) * 512) % (size - 4096);

        CHECK_EQ(rn_file_pread(shared, buf, 4096, (int64_t)at), 4096);
        for (size_t k = 0; k < 4096; k += 97)
            CHECK_EQ(buf[k], pattern(at + k));
        if (i % 10 == 0)
            (void)!posix_fadvise(rn_file_fd(shared), 0, 0, POSIX_FADV_DONTNEED);
    }
    free(buf);
}
FILE_TEST(file_many_read_from_the_disk)
{
    size_t n = 4 << 20;
    char *in = some(n);
    rn_wg wg = {0};

    shared = open_new("b");
    CHECK_EQ(rn_file_write(shared, in, n), n);
    CHECK_EQ(rn_file_sync(shared), 0);
    for (int i = 0; i < 200; i++)
        rn_wg_go(&wg, read_around, i, n);
    rn_wg_wait(&wg);
    rn_file_close(shared);
    free(in);
    folder_gone();
}

/* Who appends at the position takes turns: every record is whole, and none lost. */
static void append(rn_file *f, int who)
{
    char record[64];

    memset(record, 'a' + who, sizeof record);
    for (int i = 0; i < test_times(200); i++)
        CHECK_EQ(rn_file_write(f, record, sizeof record), sizeof record);
}
FILE_TEST(file_position_takes_turns)
{
    rn_file *f = open_new("c");
    int n = 20 * test_times(200), counts[20] = {0};
    char record[64];
    rn_wg wg = {0};

    for (int i = 0; i < 20; i++)
        rn_wg_go(&wg, append, f, i);
    rn_wg_wait(&wg);
    CHECK_EQ(rn_file_seek(f, 0, SEEK_SET), 0);
    for (int i = 0; i < n; i++) {
        CHECK_EQ(rn_file_read(f, record, sizeof record), sizeof record);
        CHECK(record[0] >= 'a' && record[0] < 'a' + 20);
        counts[record[0] - 'a']++;
        for (size_t k = 1; k < sizeof record; k++)
            CHECK_EQ(record[k], record[0]);
    }
    CHECK_EQ(rn_file_read(f, record, 1), 0);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(counts[i], test_times(200));
    rn_file_close(f);
    folder_gone();
}

/* Contexts end in the midst of everything: the result or the context's error, and the buffer is the caller's again. */
static void end_soon(rn_ctx *ctx)
{
    rn_yield();
    rn_ctx_cancel(ctx);
}
FILE_TEST(file_contexts)
{
    size_t n = 1 << 20;
    char *in = some(n), *out = malloc(n);
    rn_file *f = open_new("d");
    rn_ctx *ended = rn_ctx_with_cancel(rn_ctx_background());

    CHECK_EQ(rn_file_write(f, in, n), n);
    CHECK_EQ(rn_file_sync(f), 0);
    rn_ctx_cancel(ended);
    CHECK_EQ(rn_file_pread_ctx(ended, f, out, n, 0), -ECANCELED);
    CHECK_EQ(rn_file_write_ctx(ended, f, in, n), -ECANCELED);
    CHECK_EQ(rn_file_pwrite_ctx(ended, f, out, n, 0), -ECANCELED);
    CHECK_EQ(rn_file_sync_ctx(ended, f), -ECANCELED);
    rn_ctx_end(ended);
    for (int i = 0; i < test_times(200); i++) {
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
        ssize_t got;

        (void)!posix_fadvise(rn_file_fd(f), 0, 0, POSIX_FADV_DONTNEED);
        memset(out, 'x', n);
        rn_go(end_soon, rn_ctx_retain(ctx));
        got = rn_file_pread_ctx(ctx, f, out, n, 0);
        CHECK(got == -ECANCELED || (got > 0 && memcmp(in, out, (size_t)got) == 0));
        if (got == -ECANCELED) {
            memset(out, 'y', n); /* nobody writes here any more */
            CHECK_EQ(rn_file_sync(f), 0);
            for (size_t k = 0; k < n; k++)
                CHECK_EQ(out[k], 'y');
        }
        AWAIT(rn_ctx_err(ctx));
        rn_ctx_release(ctx);
        rn_ctx_end(ctx);
    }
    rn_file_close(f);
    free(in);
    free(out);
    folder_gone();
}

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

static void says(int code, const char *before)
{
    char text[300];

    snprintf(text, sizeof text, "%s: %s", before, strerror(-code));
    CHECK_STR(rn_errmsg(code), text);
}

FILE_TEST(d31_a_file_says_nothing_of_an_older_one)
{
    char replaced[220];
    rn_file *f;

    CHECK_EQ(rn_file_open("/no/such/file", O_RDONLY, 0, &f), -ENOENT);
    says(-ENOENT, "open /no/such/file");
    CHECK_EQ(rn_file_open("/no/such/other", O_RDONLY, 0, &f), -ENOENT);
    says(-ENOENT, "open /no/such/other");
    CHECK_EQ(mkdir(path_of("d"), 0700), 0);
    CHECK_EQ(rn_file_open(path_of("d"), O_WRONLY, 0, &f), -EISDIR);
    CHECK_EQ(rn_file_replace(NULL, path_of("d"), "x", 1, 0600), -EISDIR);
    snprintf(replaced, sizeof replaced, "replace %s", path_of("d"));
    says(-EISDIR, replaced);
    CHECK_EQ(rmdir(path_of("d")), 0);
    folder_gone();
}

FILE_TEST(file_errors)
{
    rn_file *f;
    struct rlimit old, few;
    char b;

    CHECK_EQ(rn_file_open("/no/such/file", O_RDONLY, 0, &f), -ENOENT);
    CHECK(strstr(rn_errmsg(-ENOENT), "/no/such/file"));
    CHECK_EQ(rn_file_open("/dev/full", O_WRONLY, 0, &f), 0);
    CHECK_EQ(rn_file_write(f, "x", 1), -ENOSPC);
    rn_file_close(f);
    CHECK_EQ(rn_file_open("/tmp", O_RDONLY | O_DIRECTORY, 0, &f), 0);
    CHECK_EQ(rn_file_read(f, &b, 1), -EISDIR);
    CHECK_EQ(rn_file_pread(f, &b, 1, 0), -EISDIR);
    rn_file_cancel(f);
    CHECK_EQ(rn_file_read(f, &b, 1), -ECANCELED);
    CHECK_EQ(rn_file_sync(f), -ECANCELED);
    CHECK_EQ(rn_file_fd(f), -1);
    rn_file_release(f);
    CHECK_EQ(rn_file_open("/proc/self/exe", O_RDONLY, 0, &f), 0);
    CHECK_EQ(rn_file_write(f, "x", 1), -EBADF);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    few = old;
    few.rlim_cur = 1;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    {
        rn_file *g;

        CHECK_EQ(rn_file_open("/proc/self/exe", O_RDONLY, 0, &g), -EMFILE);
        CHECK_EQ(rn_file_pread(f, &b, 1, 0), 1); /* with a ring if there was one, or without */
    }
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    rn_file_close(f);
    CHECK_EQ(rn_file_adopt(999, &f), -EBADF);
}

/* A disk that is full: the error, what was written before, and a replacement that leaves the old file alone. */
/* Buffers without bytes among more than the kernel takes at once; too many, too large; after the close. */
FILE_TEST(file_corners)
{
    static char text[200], got[200], long_path[5000];
    struct iovec iov[201], huge[2] = {{text, SIZE_MAX / 2}, {text, SIZE_MAX / 2}};
    struct stat st;
    rn_file *f;
    int err;

    for (int i = 0; i < 200; i++) {
        text[i] = (char)('a' + i % 26);
        iov[i] = (struct iovec){got + i - i % 2, i % 2 ? 2 : 0};
    }
    iov[200] = (struct iovec){got, 0};
    CHECK_EQ(rn_file_open(path_of("f"), O_RDWR | O_CREAT | O_EXCL, 0600, &f), 0);
    CHECK_EQ(rn_file_pwrite_ctx(NULL, f, text, 200, 0), 200);
    CHECK_EQ(rn_file_preadv_ctx(NULL, f, iov, 201, 0), 200);
    CHECK(memcmp(text, got, 200) == 0);
    CHECK_EQ(rn_file_preadv_ctx(NULL, f, iov, 1025, 0), -EINVAL);
    CHECK_EQ(rn_file_preadv_ctx(NULL, f, huge, 2, 0), -EINVAL);
    CHECK(rn_file_retain(f) == f);
    rn_file_close(f);
    CHECK_EQ(rn_file_read(f, got, 1), -ECANCELED);
    CHECK_EQ(rn_file_seek(f, 0, SEEK_SET), -ECANCELED);
    CHECK_EQ(rn_file_truncate(f, 0), -ECANCELED);
    CHECK_EQ(rn_file_stat(f, &st), -ECANCELED);
    rn_file_release(f);
    unlink(path_of("f"));
    memset(long_path, 'x', sizeof long_path - 1);
    CHECK_EQ(rn_file_replace(NULL, long_path, "", 0, 0600), -ENAMETOOLONG);
    long_path[sizeof long_path - 2] = '/';
    CHECK_EQ(rn_file_replace(NULL, long_path, "", 0, 0600), -ENAMETOOLONG);
    err = rn_file_replace(NULL, "/dev", "", 0,
                          0600); /* of the root folder, where root alone may write */
    CHECK(err == -EISDIR || err == -EACCES || err == -EROFS);
    folder_gone();
}

/* What another has a lease on is opened when he has given it up; a socket's name is no file; a writer that came and went
 * without a byte was one. */
static int leased = -1;
static void give_lease_up(int sig)
{
    (void)sig;
    fcntl(leased, F_SETLEASE, F_UNLCK);
}
FILE_TEST(file_opens_what_others_have)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char *path = strdup(path_of("f")), byte;
    rn_file *f;
    int fd;

    CHECK(path);
    leased = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CHECK(leased >= 0);
    signal(SIGIO, give_lease_up);
    if (fcntl(leased, F_SETLEASE, F_WRLCK) == 0) { /* not every filesystem has leases */
        CHECK_EQ(rn_file_open(path, O_RDONLY, 0, &f), 0);
        CHECK_EQ(fcntl(leased, F_GETLEASE), F_UNLCK);
        rn_file_close(f);
    }
    close(leased);
    unlink(path);

    CHECK(strlen(path) < sizeof at.sun_path);
    strcpy(at.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK_EQ(rn_file_open(path, O_WRONLY, 0, &f), -ENXIO);
    close(fd);
    unlink(path);

    CHECK_EQ(mkfifo(path, 0600), 0);
    CHECK_EQ(rn_file_open(path, O_RDONLY, 0, &f), 0);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    close(fd);
    CHECK_EQ(rn_file_read(f, &byte, 1), 0);
    rn_file_close(f);
    unlink(path);
    free(path);
    folder_gone();
}

FILE_TEST(file_disk_full)
{
    size_t n = 1 << 20, size;
    char *in = some(n), *text;
    rn_file *f;

    if (mkdir(path_of("small"), 0700) != 0 ||
        mount("none", path_of("small"), "tmpfs", 0, "size=256k") != 0) {
        (void)!rmdir(path_of("small"));
        folder_gone();
        free(in);
        return; /* not root: /dev/full has to do */
    }
    CHECK_EQ(rn_file_replace(NULL, path_of("small/x"), "old", 3, 0600), 0);
    CHECK_EQ(rn_file_open(path_of("small/y"), O_RDWR | O_CREAT, 0600, &f), 0);
    CHECK_EQ(rn_file_write(f, in, n), -ENOSPC);
    size = (size_t)rn_file_seek(f, 0, SEEK_CUR);
    CHECK(size > 0 && size < n);
    text = malloc(n);
    CHECK_EQ(rn_file_pread(f, text, n, 0), size);
    CHECK(memcmp(in, text, size) == 0);
    free(text);
    CHECK_EQ(rn_file_replace(NULL, path_of("small/x"), in, n, 0600), -ENOSPC);
    CHECK_EQ(rn_file_load(NULL, path_of("small/x"), 0, &text, &size), 0);
    CHECK_STR(text, "old");
    free(text);
    rn_file_close(f);
    CHECK_EQ(unlink(path_of("small/x")), 0);
    CHECK_EQ(unlink(path_of("small/y")), 0);
    AWAIT(umount(path_of("small")) == 0); /* the ring may hold a closed file a moment longer */
    CHECK_EQ(rmdir(path_of("small")), 0); /* nothing else was left */
    folder_gone();
    free(in);
}

/* ---- Whole files ---------------------------------------------------------------------------------------------------- */

FILE_TEST(file_whole)
{
    size_t n = 100000, size = 0;
    char *in = some(n), *text = NULL;
    struct stat st;

    umask(022);
    CHECK_EQ(rn_file_replace(NULL, path_of("w"), in, n, 0666), 0);
    CHECK_EQ(stat(path_of("w"), &st), 0);
    CHECK_EQ(st.st_mode & 07777, 0644);
    CHECK_EQ(rn_file_load(NULL, path_of("w"), 0, &text, &size), 0);
    CHECK_EQ(size, n);
    CHECK(memcmp(in, text, n) == 0 && text[n] == 0);
    free(text);
    CHECK_EQ(rn_file_load(NULL, path_of("w"), n, &text, NULL), 0);
    free(text);
    text = NULL;
    CHECK_EQ(rn_file_load(NULL, path_of("w"), n - 1, &text, NULL), -EFBIG);
    CHECK(!text);
    CHECK_EQ(chmod(path_of("w"), 0604), 0);
    CHECK_EQ(rn_file_replace(NULL, path_of("w"), "", 0, 0666), 0);
    CHECK_EQ(stat(path_of("w"), &st), 0);
    CHECK_EQ(st.st_mode & 07777, 0604);
    CHECK_EQ(rn_file_load(NULL, path_of("w"), 0, &text, &size), 0);
    CHECK_STR(text, "");
    CHECK_EQ(size, 0);
    free(text);
    CHECK_EQ(unlink(path_of("w")), 0);
    CHECK_EQ(rn_file_load(NULL, path_of("w"), 0, &text, &size), -ENOENT);
    CHECK_EQ(rn_file_load(NULL, "/proc/self/status", 0, &text, &size), 0); /* which has no size */
    CHECK(strstr(text, "Threads:"));
    CHECK_EQ(strlen(text), size);
    free(text);
    CHECK_EQ(rn_file_load(NULL, "/dev/zero", 10000, &text, &size), -EFBIG);
    CHECK_EQ(mkdir(path_of("dir"), 0700), 0);
    CHECK_EQ(rn_file_replace(NULL, path_of("dir"), "x", 1, 0600), -EISDIR);
    CHECK_EQ(rmdir(path_of("dir")), 0);
    CHECK_EQ(rn_file_replace(NULL, "/no/such/folder/x", "x", 1, 0600), -ENOENT);
    {
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());

        rn_ctx_cancel(ctx);
        CHECK_EQ(rn_file_replace(ctx, path_of("w"), "x", 1, 0600), -ECANCELED);
        CHECK_EQ(rn_file_load(ctx, "/proc/self/status", 0, &text, &size), -ECANCELED);
        rn_ctx_end(ctx);
    }
    free(in);
    folder_gone();
}

/* A name that is as long as the filesystem takes. */
FILE_TEST(file_replaced_whose_name_is_long)
{
    char name[256], path[300], *text;

    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    snprintf(path, sizeof path, "%.30s%s", path_of(""), name);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(rn_file_replace(NULL, path, i ? "new" : "old", 3, 0600), 0);
        CHECK_EQ(rn_file_load(NULL, path, 0, &text, NULL), 0);
        CHECK_STR(text, i ? "new" : "old");
        free(text);
    }
    CHECK_EQ(unlink(path), 0);
    folder_gone();
}

/* Whoever reads sees all of one or all of the other. */
static void read_whole(const char *path, rn_ctx *ctx)
{
    while (!rn_ctx_err(ctx)) {
        char *text;
        size_t size;

        CHECK_EQ(rn_file_load(NULL, path, 0, &text, &size), 0);
        CHECK_EQ(size, 50000);
        for (size_t i = 1; i < size; i++)
            CHECK_EQ(text[i], text[0]);
        free(text);
    }
}
FILE_TEST(file_replaced_at_once)
{
    char *text = malloc(50000), *path = strdup(path_of("r"));
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_wg wg = {0};

    memset(text, 'a', 50000);
    CHECK_EQ(rn_file_replace(NULL, path, text, 50000, 0600), 0);
    rn_wg_go(&wg, read_whole, path, ctx);
    for (int i = 0; i < test_times(40); i++) {
        memset(text, 'a' + i % 26, 50000);
        CHECK_EQ(rn_file_replace(NULL, path, text, 50000, 0600), 0);
    }
    rn_ctx_cancel(ctx);
    rn_wg_wait(&wg);
    rn_ctx_end(ctx);
    unlink(path);
    free(path);
    free(text);
    folder_gone();
}

/* ---- FIFOs and other things that are waited for --------------------------------------------------------------------- */

static void read_fifo(rn_ctx *ctx, rn_file *f, char *buf, rn_send_only(ssize_t) out)
{
    rn_send(out, rn_file_read_ctx(ctx, f, buf, 100));
}
static void open_fifo(rn_ctx *ctx, const char *path, rn_file **f, rn_send_only(ssize_t) out)
{
    rn_send(out, rn_file_open_ctx(ctx, path, O_WRONLY, 0, f));
}
FILE_TEST(file_fifo)
{
    rn_chan(ssize_t) ch = rn_chan_make(ssize_t, 1);
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    char *path = strdup(path_of("fifo")), buf[100] = "as it was";
    rn_file *r, *w = NULL;

    signal(SIGPIPE, SIG_DFL);
    CHECK_EQ(mkfifo(path, 0600), 0);
    rn_go(open_fifo, ctx, path, &w, ch); /* waits for a reader, until its context ends */
    test_let_run();
    CHECK_EQ(rn_len(ch), 0);
    rn_ctx_cancel(ctx);
    CHECK_EQ(rn_recv(ch), -ECANCELED);
    rn_ctx_end(ctx);
    ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_go(open_fifo, ctx, path, &w, ch);
    test_let_run();
    CHECK_EQ(rn_file_open(path, O_RDONLY, 0, &r), 0);
    CHECK_EQ(rn_recv(ch), 0);
    rn_go(read_fifo, ctx, r, &buf[0], ch);
    test_let_run();
    rn_ctx_cancel(ctx);
    CHECK_EQ(rn_recv(ch), -ECANCELED);
    CHECK_STR(buf, "as it was");
    CHECK_EQ(rn_file_write(w, "line", 4), 4);
    CHECK_EQ(rn_file_read(r, buf, 100), 4);
    CHECK_EQ(rn_file_pread(r, buf, 100, 0), -ESPIPE);
    rn_file_close(w);
    CHECK_EQ(rn_file_read(r, buf, 100), 0);
    rn_file_close(r);
    rn_ctx_end(ctx);

    CHECK_EQ(rn_file_open(path, O_RDONLY, 0, &r),
             0); /* nobody writes: the first read waits, and a close ends it */
    rn_go(read_fifo, (rn_ctx *)NULL, r, &buf[0], ch);
    test_let_run();
    CHECK_EQ(rn_len(ch), 0);
    CHECK_EQ(rn_file_open(path, O_WRONLY, 0, &w), 0);
    CHECK_EQ(rn_file_write(w, "first", 5), 5);
    CHECK_EQ(rn_recv(ch), 5);
    rn_go(read_fifo, (rn_ctx *)NULL, r, &buf[0], ch);
    test_let_run();
    rn_file_close(r);
    CHECK_EQ(rn_recv(ch), -ECANCELED);
    AWAIT(rn_file_write(w, "x", 1) == -EPIPE);
    rn_file_close(w);
    unlink(path);
    free(path);
    rn_chan_release(ch);
    folder_gone();
}

/* ---- Rings that are refused, or vanish --------------------------------------------------------------------------------- */

static void use_a_file(void)
{
    rn_file *f = open_new("u");
    char b[4] = {0};

    CHECK_EQ(rn_file_write(f, "text", 4), 4);
    (void)!posix_fadvise(rn_file_fd(f), 0, 0, POSIX_FADV_DONTNEED);
    CHECK_EQ(rn_file_pread(f, b, 4, 0), 4);
    CHECK(memcmp(b, "text", 4) == 0);
    CHECK_EQ(rn_file_sync(f), 0);
    rn_file_close(f);
}
static void refused_body(void)
{
    CHECK(refuse_call(425, EPERM)); /* io_uring_setup */
    for (int i = 0; i < 10; i++)
        use_a_file();
    CHECK(!has_ring());
    folder_gone();
}
PLAIN_TEST(file_ring_refused)
{
    if (test_is_emulated())
        test_skip("no seccomp under an emulator");
    in_way(ALWAYS_RING, refused_body);
}
static void lost_body(void)
{
    use_a_file();
    CHECK(has_ring());
    CHECK(refuse_call(426, EPERM)); /* io_uring_enter, with the ring in use */
    for (int i = 0; i < 10; i++)
        use_a_file();
    folder_gone();
}
PLAIN_TEST(file_ring_lost)
{
    if (test_is_emulated())
        test_skip("no seccomp under an emulator");
    in_way(ALWAYS_RING, lost_body);
}

/* After each run nothing is open; the next makes its own. A child process has none of its parent's. */
static void fork_body(void)
{
    int status;
    pid_t pid;

    use_a_file();
    pid = fork();
    if (pid == 0)
        _exit(has_ring());
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    use_a_file();
}
static void *plain_user(void *arg)
{
    (void)arg;
    use_a_file();
    return NULL;
}
PLAIN_TEST(file_runs_and_forks)
{
    pthread_t t;
    int status;
    pid_t pid;

    for (int i = 0; i < 3; i++) {
        in_way(ALWAYS_RING, fork_body);
        CHECK(!has_ring());
    }
    CHECK_EQ(pthread_create(&t, NULL, plain_user, NULL), 0);
    pthread_join(t, NULL);
    pid = fork();
    if (pid == 0) {
        if (!UNDER_TSAN)
            in_way(ALWAYS_RING, fork_body);
        else
            use_a_file();
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    folder_gone();
}

/* rn_run returns with reads and syncs under way: their buffers, on stacks that go, are let go of. */
static int files_left;
static void read_for_ever(rn_file *f, int seed)
{
    char buf[4096];

    for (unsigned i = 0;; i++) {
        unsigned at = ((unsigned)seed * 7919U + i * 104729U) % 1000U * 1024U;

        (void)!rn_file_pread(f, buf, sizeof buf, at);
        (void)!posix_fadvise(rn_file_fd(f), 0, 0, POSIX_FADV_DONTNEED);
        if (i == 3)
            __atomic_add_fetch(&files_left, 1, __ATOMIC_RELAXED);
    }
}
static rn_file *left_file;
static int leave_reads(void)
{
    for (int i = 0; i < 20; i++)
        rn_go(read_for_ever, left_file, i);
    AWAIT(__atomic_load_n(&files_left, __ATOMIC_RELAXED) >= 20);
    return 0;
}
static void end_with_reads(enum way way)
{
    char *in = some(1 << 20), b;
    struct stat st;

    setenv("RUNNEL_IO_URING", way_setting[way], 1);
    left_file = open_new("l");
    CHECK_EQ(rn_file_write(left_file, in, 1 << 20), 1 << 20);
    CHECK_EQ(rn_file_sync(left_file), 0);
    for (int i = 0; i < test_times(40); i++) {
        files_left = 0;
        CHECK_EQ(rn_run(leave_reads), 0);
        CHECK(!has_ring());
    }
    CHECK_EQ(rn_file_pread(left_file, &b, 1, 1000), 1);
    CHECK_EQ(b, pattern(1000));
    {
        int fd = rn_file_fd(left_file);

        rn_file_close(left_file);
        CHECK(fstat(fd, &st) < 0); /* no call is left in it */
    }
    free(in);
    folder_gone();
}
PLAIN_TEST(file_end_of_the_runtime_by_the_ring)
{
    end_with_reads(ALWAYS_RING);
}
PLAIN_TEST(file_end_of_the_runtime_as_it_is)
{
    end_with_reads(AS_IT_IS);
}
