/* SPDX-License-Identifier: MIT */
/*
 * file.c - files.
 *
 * A file is a struct sock (net/sock.h): references, the count of calls in progress, close and turn are the same. How it
 * is read depends on what it is.
 *
 *   pipes, FIFOs, terminals, devices   as connections are: non-blocking, by edges
 *   all else                           nobody can wait for it, so a call that goes to the disk holds whoever makes it
 *
 * For the second kind, measured with pages in the cache (nanoseconds per call, 1 and 64 goroutines on 2 CPUs, ext4,
 * Linux 6.18, the best of six runs):
 *
 *                          read 4 KiB      read 1 MiB          write 4 KiB       write 1 MiB
 *   at once (RWF_NOWAIT)   1,170   1,020   57,800    48,900
 *   rn_blocking              980     780   44,100    45,600     1,890    2,490    39,000   42,000
 *   io_uring               3,850     940   69,100    44,300    22,800    4,510   110,300   66,500
 *
 * So a read asks first for what is in the cache, on the spot, which costs what rn_blocking does without disturbing any
 * other thread, and only what would wait for the disk goes to the ring, or to a helper thread (rn_blocking) where there
 * is none, or where the filesystem cannot say. A write to the cache is made by rn_blocking: it mostly copies, and a ring
 * would hand most filesystems' writes to a kernel thread of its own, which costs up to ten times as much. Writes that go to the disk at once (O_DIRECT, O_SYNC, O_DSYNC) and syncs take the ring.
 *
 * Who uses the file's position has the turn, readers and writers alike.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <runnel/err.h>
#include <runnel/go.h>
#include <runnel/os.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "ctx/ctx.h"
#include "file/ring.h"
#include "net/sock.h"
#include "os/file.h"
#include "os/os.h"
#include "os/ring.h"
#include "os/socket.h"

enum { IOV_ALL = 1024, IOV_ONCE = 64 };

struct rn_file {
    struct sock s;
    bool waits;  /* it can be waited for */
    bool fifo;   /* whose first read waits for a writer */
    bool direct; /* writes go to the disk */
    bool append;
    uint32_t no_now;  /* atomic: the kernel cannot say whether a read would wait */
    uint32_t written; /* atomic: a FIFO has had a writer */
};

/* ---- Opening ------------------------------------------------------------------------------------------------------ */

static int file_new(int fd, const struct stat *st, rn_file **ret_f)
{
    rn_file *f = rn__sock_new(sizeof *f, fd, true);
    int flags = rn__os_flags(fd);

    if (!f)
        return -ENOMEM;
    f->s.how = HOW_FILE;
    f->fifo = S_ISFIFO(st->st_mode);
    f->waits = f->fifo || S_ISCHR(st->st_mode) || S_ISSOCK(st->st_mode);
    f->append = flags >= 0 && flags & O_APPEND;
    f->direct = flags >= 0 && flags & (O_DIRECT | O_SYNC | O_DSYNC);
    *ret_f = f;
    return 0;
}

static int adopt(int fd, rn_file **ret_f)
{
    struct stat st;
    int err = rn__os_stat(fd, &st);

    if (err)
        return err;
    if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode) || S_ISSOCK(st.st_mode))
        err = rn__os_set_nonblocking(fd);
    else if (rn__os_flags(fd) & O_NONBLOCK)
        err = rn__os_set_blocking(fd); /* which means nothing for it, but to the ring */
    return err < 0 ? err : file_new(fd, &st, ret_f);
}

int rn_file_adopt(int fd, rn_file **ret_f)
{
    return adopt(fd, ret_f);
}

int rn_file_open_ctx(struct rn_ctx *ctx, const char *path, int flags, mode_t mode, rn_file **ret_f)
{
    int64_t delay = RN_MILLISECOND;
    int fd, err;

    wait_point();
    for (;;) {
        err = rn_ctx_err(ctx);
        if (err)
            return err;
        fd = rn__os_open(path, flags | O_NONBLOCK, mode);
        if (fd == -EWOULDBLOCK) /* somebody has a lease, and is told to give it up */
            fd = rn_blocking(rn__os_open(path, flags, mode));
        if (fd != -ENXIO || (flags & O_ACCMODE) != O_WRONLY)
            break;
        {
            struct stat st;

            /* A FIFO without readers; the kernel does not tell when there is one. */
            if (stat(path, &st) != 0 || !S_ISFIFO(st.st_mode))
                break;
        }
        err = rn_sleep_ctx(ctx, delay);
        if (err)
            return err;
        delay = delay < 20 * RN_MILLISECOND ? delay * 2 : delay;
    }
    if (fd < 0)
        return rn_errorf(fd, "open %.90s: %s", path, rn_errmsg(error_bare(fd)));
    err = adopt(fd, ret_f);
    if (err)
        rn__os_close(fd);
    return err;
}

int rn_file_open(const char *path, int flags, mode_t mode, rn_file **ret_f)
{
    return rn_file_open_ctx(NULL, path, flags, mode, ret_f);
}

/* ---- Reading and writing -------------------------------------------------------------------------------------------- */

/* Where a list of buffers goes on. */
struct cursor {
    const struct iovec *iov;
    int count;
    size_t skip; /* of *iov */
    struct iovec part[IOV_ONCE];
    int parts;
};

/* The next buffers; false: none are left. */
static bool cursor_fill(struct cursor *c)
{
    while (c->count > 0 && c->skip == c->iov->iov_len) {
        c->iov++;
        c->count--;
        c->skip = 0;
    }
    for (c->parts = 0; c->parts < c->count && c->parts < IOV_ONCE; c->parts++)
        c->part[c->parts] = c->iov[c->parts];
    if (c->parts > 0) {
        c->part[0].iov_base = (char *)c->part[0].iov_base + c->skip;
        c->part[0].iov_len -= c->skip;
    }
    return c->parts > 0;
}

static void cursor_advance(struct cursor *c, size_t n)
{
    while (n > 0) {
        size_t rest = c->iov->iov_len - c->skip;

        if (n < rest) {
            c->skip += n;
            return;
        }
        n -= rest;
        c->iov++;
        c->count--;
        c->skip = 0;
    }
}

static void op_is_dropped(void *arg)
{
    struct op *op = arg;

    op_end(op);
}

/*
 * By the ring; -ENOSYS: not this way. The position is ours while we have the turn. The kernel is not asked to use it:
 * after a write that it could do in part only, a full disk's, it has been seen (Linux 6.18, tmpfs) not to move on, and to
 * write the next part to the same place.
 */
static ssize_t ring_io(rn_file *f, struct ring_request *q)
{
    int64_t at;
    ssize_t n;

    if (q->offset >= 0)
        return rn__ring_do(q);
    if (f->append && q->what == RING_WRITE)
        return -ENOSYS;
    at = rn__os_seek(f->s.fd, 0, SEEK_CUR);
    if (at < 0)
        return -ENOSYS;
    q->offset = at;
    n = rn__ring_do(q);
    if (n > 0)
        (void)rn__os_seek(f->s.fd, at + n, SEEK_SET);
    return n;
}

/* Once, of what nobody can wait for. */
static ssize_t disk_io(rn_file *f, struct op *op, const struct cursor *c, int64_t offset,
                       bool write)
{
    struct ring_request q = {.what = write ? RING_WRITE : RING_READ,
                             .fd = f->s.fd,
                             .iov = c->part,
                             .count = c->parts,
                             .offset = offset,
                             .ctx = op->call.ctx,
                             .dropped = op_is_dropped,
                             .arg = op};
    ssize_t n = -ENOSYS;

    if (unlikely(rn__os_rings() == RINGS_ALWAYS)) {
        n = ring_io(f, &q);
    } else if (!write && !load_relaxed(&f->no_now)) {
        n = rn__os_preadv(f->s.fd, c->part, c->parts, offset, true);
        if (n == -EAGAIN) {
            n = ring_io(f, &q);
        } else if (n == -EOPNOTSUPP || n == -ENOSYS || n == -EINVAL) {
            store_relaxed(&f->no_now, 1);
            n = -ENOSYS;
        }
    } else if (write && f->direct) {
        n = ring_io(f, &q);
    }
    if (n != -ENOSYS)
        return n;
    if (op->call.ctx && rn_ctx_err(op->call.ctx))
        return rn_ctx_err(op->call.ctx);
    op_block(op);
    n = rn_blocking(write ? rn__os_pwritev(f->s.fd, c->part, c->parts, offset)
                          : rn__os_preadv(f->s.fd, c->part, c->parts, offset, false));
    op_unblock();
    return n;
}

/* Once, of what can be waited for. */
static ssize_t stream_io(rn_file *f, struct op *op, const struct cursor *c, int64_t offset,
                         bool write)
{
    for (;;) {
        uint64_t edges = rn__fd_edges(f->s.desc);
        ssize_t n;

        if (offset != -1)
            n = write ? rn__os_pwritev(f->s.fd, c->part, c->parts, offset)
                      : rn__os_preadv(f->s.fd, c->part, c->parts, offset, false);
        else
            n = write ? rn__os_writev(f->s.fd, c->part, c->parts)
                      : rn__os_readv(f->s.fd, c->part, c->parts);
        if (n == 0 && !write && f->fifo && !load_relaxed(&f->written)) {
            if (rn__os_poll(f->s.fd, true, false) == 0)
                n = -EAGAIN; /* not the end: there has been no writer yet */
            else
                store_relaxed(&f->written, 1);
        }
        if (n > 0 && f->fifo)
            store_relaxed(&f->written, 1);
        if (n != -EAGAIN)
            return n;
        n = op_wait(op, write ? RN_WRITE : RN_READ, edges);
        if (n < 0)
            return n;
    }
}

static void announce(const struct iovec *iov, size_t n, bool written)
{
    if (likely(!rn__tools))
        return;
    for (; n > 0; iov++) { /* NOLINTNEXTLINE(clang-analyzer-core.*): n is at most their sum */
        size_t part = iov->iov_len < n ? iov->iov_len : n;

        if (written)
            tool_write(iov->iov_base, part);
        else
            tool_read(iov->iov_base, part);
        n -= part;
    }
}

/* offset -1: the position. */
static ssize_t file_io(struct rn_ctx *ctx, rn_file *f, const struct iovec *iov, int count,
                       int64_t offset, bool write)
{
    struct cursor c = {.iov = iov, .count = count};
    size_t total = 0, done = 0;
    struct op op;
    ssize_t n;

    if (count < 0 || count > IOV_ALL || offset < -1)
        return -EINVAL;
    for (int i = 0; i < count; i++)
        if (__builtin_add_overflow(total, iov[i].iov_len, &total) || total > SSIZE_MAX)
            return -EINVAL;
    if (write)
        announce(iov, total, false);
    n = op_begin(&op, &f->s, ctx, 0);
    if (n)
        return n;
    if (offset == -1 && (write || !f->waits)) {
        n = op_turn(&op);
        if (n)
            return n;
    }
    if (write)
        edge_release(&rn__io_sync);
    while (done < total && cursor_fill(&c)) {
        n = f->waits ? stream_io(f, &op, &c, offset, write) : disk_io(f, &op, &c, offset, write);
        if (n <= 0)
            break;
        done += (size_t)n;
        cursor_advance(&c, (size_t)n);
        if (offset >= 0)
            offset += n;
        if (f->waits && !write)
            break;
    }
    if (n < 0 && f->waits)
        n = op_result(&op, n);
    op_end(&op);
    if (write)
        return done == total ? (ssize_t)total : n < 0 ? n : -EIO;
    edge_acquire(&rn__io_sync);
    announce(iov, done, true);
    return done > 0 || n >= 0 ? (ssize_t)done : n;
}

ssize_t rn_file_preadv_ctx(struct rn_ctx *ctx, rn_file *f, const struct iovec *iov, int count,
                           int64_t offset)
{
    return offset < 0 ? -EINVAL : file_io(ctx, f, iov, count, offset, false);
}
ssize_t rn_file_pwritev_ctx(struct rn_ctx *ctx, rn_file *f, const struct iovec *iov, int count,
                            int64_t offset)
{
    return offset < 0 ? -EINVAL : file_io(ctx, f, iov, count, offset, true);
}
ssize_t rn_file_readv_ctx(struct rn_ctx *ctx, rn_file *f, const struct iovec *iov, int count)
{
    return file_io(ctx, f, iov, count, -1, false);
}
ssize_t rn_file_writev_ctx(struct rn_ctx *ctx, rn_file *f, const struct iovec *iov, int count)
{
    return file_io(ctx, f, iov, count, -1, true);
}
ssize_t rn_file_pread_ctx(struct rn_ctx *ctx, rn_file *f, void *buf, size_t size, int64_t offset)
{
    struct iovec iov = {buf, size};

    return rn_file_preadv_ctx(ctx, f, &iov, 1, offset);
}
ssize_t rn_file_pread(rn_file *f, void *buf, size_t size, int64_t offset)
{
    return rn_file_pread_ctx(NULL, f, buf, size, offset);
}
ssize_t rn_file_pwrite_ctx(struct rn_ctx *ctx, rn_file *f, const void *buf, size_t size,
                           int64_t offset)
{
    struct iovec iov = {(void *)(uintptr_t)buf, size};

    return rn_file_pwritev_ctx(ctx, f, &iov, 1, offset);
}
ssize_t rn_file_pwrite(rn_file *f, const void *buf, size_t size, int64_t offset)
{
    return rn_file_pwrite_ctx(NULL, f, buf, size, offset);
}
ssize_t rn_file_read_ctx(struct rn_ctx *ctx, rn_file *f, void *buf, size_t size)
{
    struct iovec iov = {buf, size};

    return file_io(ctx, f, &iov, 1, -1, false);
}
ssize_t rn_file_read(rn_file *f, void *buf, size_t size)
{
    return rn_file_read_ctx(NULL, f, buf, size);
}
ssize_t rn_file_write_ctx(struct rn_ctx *ctx, rn_file *f, const void *buf, size_t size)
{
    struct iovec iov = {(void *)(uintptr_t)buf, size};

    return file_io(ctx, f, &iov, 1, -1, true);
}
ssize_t rn_file_write(rn_file *f, const void *buf, size_t size)
{
    return rn_file_write_ctx(NULL, f, buf, size);
}

/* ---- Other calls --------------------------------------------------------------------------------------------------- */

static int sync_file(struct rn_ctx *ctx, rn_file *f, bool data_only)
{
    struct ring_request q = {
        .what = data_only ? RING_DATASYNC : RING_SYNC, .ctx = ctx, .dropped = op_is_dropped};
    struct op op;
    int n = op_begin(&op, &f->s, ctx, 0);

    if (n)
        return n;
    q.fd = f->s.fd;
    q.arg = &op;
    n = (int)rn__ring_do(&q);
    if (n == -ENOSYS) {
        op_block(&op);
        n = rn_blocking(rn__os_sync(f->s.fd, data_only));
        op_unblock();
    }
    op_end(&op);
    return n;
}
int rn_file_sync_ctx(struct rn_ctx *ctx, rn_file *f)
{
    return sync_file(ctx, f, false);
}
int rn_file_datasync_ctx(struct rn_ctx *ctx, rn_file *f)
{
    return sync_file(ctx, f, true);
}
int rn_file_sync(rn_file *f)
{
    return sync_file(NULL, f, false);
}

int64_t rn_file_seek(rn_file *f, int64_t offset, int whence)
{
    struct op op;
    int64_t at = op_begin_in_turn(&op, &f->s, NULL, 0);

    if (at)
        return at;
    at = rn__os_seek(f->s.fd, offset, whence);
    op_end(&op);
    return at;
}

int rn_file_truncate(rn_file *f, int64_t size)
{
    struct op op;
    int err = op_begin(&op, &f->s, NULL, 0);

    if (err)
        return err;
    op_block(&op);
    err = rn_blocking(rn__os_truncate(f->s.fd, size));
    op_unblock();
    op_end(&op);
    return err;
}

int rn_file_stat(rn_file *f, struct stat *ret_stat)
{
    struct op op;
    struct stat st;
    int err = op_begin(&op, &f->s, NULL, 0);

    if (err)
        return err;
    err = rn__os_stat(f->s.fd, &st);
    op_end(&op);
    if (!err)
        *ret_stat = st;
    return err;
}

int rn_file_fd(const rn_file *f)
{
    return load_relaxed(&f->s.ops) & OPS_CLOSED ? -1 : f->s.fd;
}

void rn_file_close(rn_file *f)
{
    if (!f)
        return;
    rn__sock_cancel(&f->s);
    rn__sock_release(&f->s);
}

void rn_file_cancel(rn_file *f)
{
    if (f)
        rn__sock_cancel(&f->s);
}

rn_file *rn_file_retain(rn_file *f)
{
    rn__sock_retain(&f->s);
    return f;
}

void rn_file_release(rn_file *f)
{
    if (f)
        rn__sock_release(&f->s);
}

/* ---- Whole files ----------------------------------------------------------------------------------------------------- */

static int read_all(struct rn_ctx *ctx, rn_file *f, size_t limit, char **ret_text, size_t *ret_size)
{
    size_t room = 4096, size = 0;
    char *text = NULL;
    struct stat st;

    if (rn_file_stat(f, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
        (uint64_t)st.st_size < SIZE_MAX / 2)
        room = (size_t)st.st_size + 2; /* with the end, and one to see that there is no more */
    if (limit && limit < SIZE_MAX - 2 && room > limit + 2)
        room = limit + 2;
    for (;;) {
        char *more = realloc(text, room);
        ssize_t n;

        if (!more) {
            free(text);
            return -ENOMEM;
        }
        text = more;
        n = rn_file_read_ctx(ctx, f, text + size, room - 1 - size);
        if (n < 0) {
            free(text);
            return (int)n;
        }
        size += (size_t)n;
        if (limit && size > limit) {
            free(text);
            return -EFBIG;
        }
        if (n == 0)
            break;
        if (room - 1 - size == 0)
            room *= 2;
    }
    text[size] = 0;
    *ret_text = text;
    if (ret_size)
        *ret_size = size;
    return 0;
}

int rn_file_load(struct rn_ctx *ctx, const char *path, size_t limit, char **ret_text,
                 size_t *ret_size)
{
    rn_file *f;
    int err = rn_file_open_ctx(ctx, path, O_RDONLY, 0, &f);

    if (err)
        return err;
    err = read_all(ctx, f, limit, ret_text, ret_size);
    rn_file_close(f);
    return err;
}

/* The folder of path, to be synced. */
static int open_folder(struct rn_ctx *ctx, const char *path, rn_file **ret_f)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;

    if (slash == path)
        n = 1;
    memcpy(folder, path, n);
    folder[n] = 0;
    return rn_file_open_ctx(ctx, slash ? folder : ".", O_RDONLY | O_DIRECTORY, 0, ret_f);
}

int rn_file_replace(struct rn_ctx *ctx, const char *path, const void *data, size_t size,
                    mode_t mode)
{
    char beside[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t folder_size = slash ? (size_t)(slash - path) + 1 : 0;
    struct stat old;
    bool had = false;
    rn_file *f = NULL, *folder;
    int err;

    if (folder_size + 20 > sizeof beside)
        return -ENAMETOOLONG;
    err =
        open_folder(ctx, path, &folder); /* first: what fails shall fail with the old file there */
    if (err)
        return err;
    for (int tries = 0;; tries++) {
        /* A name of its own: one made of path's would be too long where that is as long as may be. */
        snprintf(beside, sizeof beside, "%.*s.%08x.new", (int)folder_size, path,
                 (unsigned)rn__random());
        err = rn_file_open_ctx(ctx, beside, O_WRONLY | O_CREAT | O_EXCL, mode, &f);
        if (err != -EEXIST || tries == 100)
            break;
    }
    if (err == -EEXIST) {
        rn_file_close(folder);
        return err;
    }
    if (!err && lstat(path, &old) == 0) {
        had = S_ISREG(old.st_mode);
        if (S_ISDIR(old.st_mode))
            err = -EISDIR;
    }
    if (!err && had)
        err = rn__os_chmod(f->s.fd, old.st_mode & 07777);
    if (!err) {
        ssize_t n = rn_file_write_ctx(ctx, f, data, size);

        err = n < 0 ? (int)n : 0;
    }
    if (!err)
        err = rn_file_sync_ctx(ctx, f);
    rn_file_close(f);
    if (!err)
        err = rn_ctx_err(ctx);
    if (!err)
        err = rn_blocking(rn__os_rename(beside, path));
    if (err) {
        rn_file_close(folder);
        rn__os_unlink(
            beside); /* which may be there although its open has failed, for want of memory */
        return rn_errorf(err, "replace %.90s: %s", path, rn_errmsg(error_bare(err)));
    }
    err = rn_file_sync_ctx(NULL, folder); /* it is done: the context ends nothing any more */
    rn_file_close(folder);
    return err == -EINVAL ? 0 : err; /* a filesystem that has nothing to say about folders */
}
