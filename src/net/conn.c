/* SPDX-License-Identifier: MIT */
/*
 * conn.c - reading and writing.
 *
 * A connection is a socket, or anything else that is read and written as a stream (enum sock_how).
 *
 * Readers of one connection try at the same time; each gets what the kernel gives it. Writers take turns, so that
 * what each writes goes out as a whole; a writer has the turn while it waits for room.
 *
 * Edges for the tools: a write, a half-close and a close are before every read that returns, as in Go, whatever the
 * connection; the buffers are announced as read and written by the caller.
 */
#include "net/sock.h"

#include <limits.h>
#include <runnel/go.h>
#include <runnel/os.h>

#include "base/mem.h"
#include "ctx/ctx.h"
#include "os/file.h"
#include "os/os.h"
#include "os/socket.h"

enum { IOV_ALL = 1024 /* the kernel's own bound */ };
enum { IOV_ONCE = 64 };                /* buffers of a long list that are written in one go */
static const size_t COPIED = 64 << 10; /* of a file that the kernel cannot send, at a time */

/* In blocking mode: a call that will not block, unless somebody else is faster. */
static COLD ssize_t call_when_ready(struct op *op, const struct iovec *iov, int count, bool read)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.*): count is at least 1, for a message always has its part */
    struct iovec most = {iov->iov_base, iov->iov_len < PIPE_BUF ? iov->iov_len : PIPE_BUF};
    int fd = op->s->fd, ready = rn__os_poll(fd, read, !read);
    ssize_t n;

    if (ready <= 0)
        return ready < 0 ? ready : -EAGAIN;
    while (!read && most.iov_len == 0 && count-- > 1) {
        iov++;
        most = (struct iovec){iov->iov_base, iov->iov_len < PIPE_BUF ? iov->iov_len : PIPE_BUF};
    }
    op_block(op);
    n = rn_blocking(read ? rn__os_readv(fd, iov, count)
                         : rn__os_writev(fd, &most, 1)); /* a ready pipe has room for that */
    op_unblock();
    return n;
}

static NOINLINE ssize_t file_read(struct op *op, void *buf, size_t size)
{
    struct iovec iov = {buf, size};

    return op->s->how == HOW_FILE ? rn__os_readv(op->s->fd, &iov, 1)
                                  : call_when_ready(op, &iov, 1, true);
}
static ALWAYS_INLINE ssize_t sock_recv(struct op *op, void *buf, size_t size)
{
    return likely(op->s->how == HOW_SOCKET) ? rn__os_recv(op->s->fd, buf, size)
                                            : file_read(op, buf, size);
}
static ssize_t sock_recvmsg(struct op *op, struct msghdr *m)
{
    if (likely(op->s->how == HOW_SOCKET))
        return rn__os_recvmsg(op->s->fd, m);
    if (m->msg_name)
        return -ENOTSOCK;
    return op->s->how == HOW_FILE ? rn__os_readv(op->s->fd, m->msg_iov, (int)m->msg_iovlen)
                                  : call_when_ready(op, m->msg_iov, (int)m->msg_iovlen, true);
}
static ssize_t sock_send(struct op *op, const void *buf, size_t size)
{
    struct iovec iov = {(void *)(uintptr_t)buf, size};

    if (likely(op->s->how == HOW_SOCKET))
        return rn__os_send(op->s->fd, buf, size);
    return op->s->how == HOW_FILE ? rn__os_writev(op->s->fd, &iov, 1)
                                  : call_when_ready(op, &iov, 1, false);
}
static ssize_t sock_sendmsg(struct op *op, const struct msghdr *m)
{
    if (likely(op->s->how == HOW_SOCKET))
        return rn__os_sendmsg(op->s->fd, m);
    if (m->msg_name)
        return -ENOTSOCK;
    return op->s->how == HOW_FILE ? rn__os_writev(op->s->fd, m->msg_iov, (int)m->msg_iovlen)
                                  : call_when_ready(op, m->msg_iov, (int)m->msg_iovlen, false);
}

/* Try until it is not EAGAIN. */
#define READ_LOOP(op, n, TRY)                                                                      \
    for (;;) {                                                                                     \
        uint64_t edges_ = rn__fd_edges((op)->s->desc);                                             \
        (n) = (TRY);                                                                               \
        if (likely((n) != -EAGAIN))                                                                \
            break;                                                                                 \
        (n) = op_wait((op), RN_READ, edges_);                                                      \
        if ((n) < 0)                                                                               \
            break;                                                                                 \
    }

static inline void have_read(ssize_t n)
{
    if (n >= 0)
        edge_acquire(&rn__io_sync);
}

/*
 * A read after edges has had the result n. When it has found less than it had room for, the next need not ask the kernel
 * before there has been another edge: that is one system call of three for a request and its answer. Of TCP this is
 * true unless the end or urgent data have come, which the poller knows; Unix sockets also stop where a descriptor is sent.
 */
static inline void note_drained(struct sock *s, uint64_t edges, ssize_t n, size_t size)
{
    bool all = s->tcp && (n == -EAGAIN || (n > 0 && (size_t)n < size)) && !rn__fd_more(s->desc);

    store_relaxed(&s->drained, all ? DRAINED | (uint32_t)edges : 0);
}

static inline bool is_drained(const struct sock *s, uint64_t edges)
{
    return load_relaxed(&s->drained) == (DRAINED | (uint32_t)edges);
}

/* An attempt to read, after edges; -EAGAIN without asking the kernel where that is known. */
static ALWAYS_INLINE ssize_t read_try(struct op *op, void *buf, size_t size, uint64_t edges)
{
    ssize_t n;

    if (is_drained(op->s, edges))
        return -EAGAIN;
    n = sock_recv(op, buf, size);
    note_drained(op->s, edges, n, size);
    return n;
}

int rn_wait_read_ctx(struct rn_ctx *ctx, rn_conn *c)
{
    uint64_t edges;
    struct op op;
    int err = op_begin(&op, &c->s, ctx, RN_READ);

    if (err)
        return err;
    edges = rn__fd_edges(c->s.desc);
    /* Asked without taking anything: a socket tells an error once, and that is for the read. */
    if (is_drained(&c->s, edges) || rn__os_poll(c->s.fd, true, false) == 0)
        err = op_wait(&op, RN_READ, edges);
    err = (int)op_result(&op, err); /* an end and an error are something to read */
    op_end(&op);
    if (err == 0)
        edge_acquire(&rn__io_sync);
    return err;
}

int rn_wait_read(rn_conn *c)
{
    return rn_wait_read_ctx(NULL, c);
}

/* The end of a call that has read: what it returns. */
static ALWAYS_INLINE ssize_t read_done(struct sock *s, void *buf, ssize_t n)
{
    sock_leave(s);
    have_read(n);
    if (n > 0)
        tool_write(buf, (size_t)n);
    return n;
}

/* Go on in a call that has begun: there was nothing after edges. The frame in which an idle connection's goroutine waits. */
static NOINLINE ssize_t read_waiting(struct rn_ctx *ctx, struct sock *s, void *buf, size_t size,
                                     uint64_t edges)
{
    struct fd_read ahead = {.fd = s->fd, .buf = buf, .size = size};
    struct op op;
    ssize_t n;

    op_init(&op, s, ctx, false);
    if (s->how == HOW_SOCKET)
        op.call.read = &ahead;
    do {
        ahead.n = FD_UNREAD;
        n = op_wait(&op, RN_READ, edges);
        if (n < 0)
            break;
        if (ahead.n != FD_UNREAD) { /* the poller has read for us */
            n = (ssize_t)ahead.n;
            edges = ahead.edges;
        } else {
            edges = rn__fd_edges(s->desc);
            n = is_drained(s, edges) ? -EAGAIN : sock_recv(&op, buf, size);
        }
        note_drained(s, edges, n, size);
    } while (n == -EAGAIN);
    return read_done(s, buf, op_result(&op, n));
}

static NOINLINE ssize_t read_slow(struct rn_ctx *ctx, rn_conn *c, void *buf, size_t size)
{
    struct op op;
    uint64_t edges;
    ssize_t n = op_begin(&op, &c->s, ctx, RN_READ);

    if (n)
        return n;
    if (size == 0 && c->s.stream) {
        op_end(&op);
        return 0;
    }
    edges = rn__fd_edges(c->s.desc);
    n = read_try(&op, buf, size, edges);
    return n == -EAGAIN ? read_waiting(ctx, &c->s, buf, size, edges)
                        : read_done(&c->s, buf, op_result(&op, n));
}

/* The first attempt in a call that has begun. */
static NOINLINE ssize_t read_now(struct rn_ctx *ctx, struct sock *s, void *buf, size_t size,
                                 uint64_t edges)
{
    ssize_t n = rn__os_recv(s->fd, buf, size);

    note_drained(s, edges, n, size);
    if (n == -EAGAIN)
        return read_waiting(ctx, s, buf, size, edges);
    return read_done(s, buf, sock_result(s, n));
}

/*
 * Mostly there is something, or it is known that there is nothing: all else is out of the way, and this has no frame when
 * it goes on. In each of the two callers, so that the one without a context asks for none.
 */
static ALWAYS_INLINE ssize_t read_some(struct rn_ctx *ctx, rn_conn *c, void *buf, size_t size)
{
    struct sock *s = &c->s;
    uint64_t edges;

    if (unlikely(s->how != HOW_SOCKET || size == 0 || wait_point_due() ||
                 load_relaxed(&s->deadline[RN_READ - 1]) != 0))
        return read_slow(ctx, c, buf, size);
    if (ctx) {
        int err = rn_ctx_err(ctx);

        if (err)
            return err;
    }
    if (unlikely(!sock_enter(s)))
        return -ECANCELED;
    edges = rn__fd_edges(s->desc);
    return is_drained(s, edges) ? read_waiting(ctx, s, buf, size, edges)
                                : read_now(ctx, s, buf, size, edges);
}

ssize_t rn_read_ctx(struct rn_ctx *ctx, rn_conn *c, void *buf, size_t size)
{
    return read_some(ctx, c, buf, size);
}

ssize_t rn_read(rn_conn *c, void *buf, size_t size)
{
    return read_some(NULL, c, buf, size);
}

/* A number of buffers announced as read or written, up to n bytes. */
static void announce(const struct iovec *iov, size_t n, bool written)
{
    if (likely(!rn__tools))
        return;
    for (; n > 0; iov++) {
        size_t part = iov->iov_len < n ? iov->iov_len : n;

        if (written)
            tool_write(iov->iov_base, part);
        else
            tool_read(iov->iov_base, part);
        n -= part;
    }
}

ssize_t rn_readv_ctx(struct rn_ctx *ctx, rn_conn *c, const struct iovec *iov, int count)
{
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)count};
    struct op op;
    ssize_t n;

    if (count < 0 || count > IOV_ALL)
        return -EINVAL;
    n = op_begin(&op, &c->s, ctx, RN_READ);
    if (n)
        return n;
    READ_LOOP(&op, n, sock_recvmsg(&op, &m))
    n = op_result(&op, n);
    op_end(&op);
    have_read(n);
    if (n > 0)
        announce(iov, (size_t)n, true);
    return n;
}

ssize_t rn_readv(rn_conn *c, const struct iovec *iov, int count)
{
    return rn_readv_ctx(NULL, c, iov, count);
}

ssize_t rn_read_full_ctx(struct rn_ctx *ctx, rn_conn *c, void *buf, size_t size)
{
    size_t got = 0;

    while (got < size) {
        ssize_t n = rn_read_ctx(ctx, c, (char *)buf + got, size - got);

        if (n < 0)
            return n;
        if (n == 0)
            return got ? -EIO : 0;
        got += (size_t)n;
    }
    return (ssize_t)size;
}

ssize_t rn_read_full(rn_conn *c, void *buf, size_t size)
{
    return rn_read_full_ctx(NULL, c, buf, size);
}

ssize_t rn_recv_from_ctx(struct rn_ctx *ctx, rn_conn *c, void *buf, size_t size, rn_addr *ret_from)
{
    rn_addr from = {{0}};
    struct iovec iov = {buf, size};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_name = &from};
    struct op op;
    ssize_t n = op_begin(&op, &c->s, ctx, RN_READ);

    if (n)
        return n;
    READ_LOOP(&op, n, (m.msg_namelen = ADDR_ROOM, sock_recvmsg(&op, &m)))
    n = op_result(&op, n);
    op_end(&op);
    have_read(n);
    if (n >= 0 && ret_from) {
        rn__addr_by_kernel(&from, m.msg_namelen);
        *ret_from = from;
    }
    if (n > 0)
        tool_write(buf, (size_t)n);
    return n;
}

ssize_t rn_recv_from(rn_conn *c, void *buf, size_t size, rn_addr *ret_from)
{
    return rn_recv_from_ctx(NULL, c, buf, size, ret_from);
}

/* ---- Writing -------------------------------------------------------------------------------------------------- */

static inline int write_begin(struct op *op, rn_conn *c, struct rn_ctx *ctx)
{
    int err = op_begin_in_turn(op, &c->s, ctx, RN_WRITE);

    if (!err)
        edge_release(&rn__io_sync);
    return err;
}

static void sent(struct sock *s, ssize_t n)
{
    store_relaxed(&s->sent, load_owned(&s->sent) + (uint64_t)n);
}

/* Go on in a call that has begun, with the turn: the first attempt, after edges, has had the result n. */
static ssize_t write_on(struct op *op, const char *buf, size_t size, ssize_t n, uint64_t edges)
{
    struct sock *s = op->s;
    size_t done = 0;

    for (;;) {
        if (n >= 0) {
            sent(s, n);
            done += (size_t)n;
            if (done == size || !s->stream)
                break;
        } else if (n != -EAGAIN || (n = op_wait(op, RN_WRITE, edges)) < 0) {
            n = op_result(op, n);
            break;
        }
        edges = rn__fd_edges(s->desc);
        n = sock_send(op, buf + done, size - done);
    }
    op_end(op);
    return n < 0 ? n : (ssize_t)size;
}

static NOINLINE ssize_t write_rest(struct rn_ctx *ctx, struct sock *s, const void *buf, size_t size,
                                   ssize_t n, uint64_t edges)
{
    struct op op;

    op_init(&op, s, ctx, true);
    return write_on(&op, buf, size, n, edges);
}

static NOINLINE ssize_t write_slow(struct rn_ctx *ctx, rn_conn *c, const void *buf, size_t size)
{
    struct op op;
    uint64_t edges;
    int err = write_begin(&op, c, ctx);

    if (err)
        return err;
    if (size == 0 && c->s.stream) {
        op_end(&op);
        return 0;
    }
    edges = rn__fd_edges(c->s.desc);
    return write_on(&op, buf, size, sock_send(&op, buf, size), edges);
}

/*
 * Mostly nobody else writes, and there is room: then it is to take the turn, to send, and to give the turn back, and all
 * else is out of the way. In each of the two callers, so that the one without a context asks for none.
 */
static ALWAYS_INLINE ssize_t write_all(struct rn_ctx *ctx, rn_conn *c, const void *buf, size_t size)
{
    struct sock *s = &c->s;
    uint64_t edges;
    ssize_t n;

    tool_read(buf, size);
    if (unlikely(s->how != HOW_SOCKET || size == 0 || wait_point_due() ||
                 load_relaxed(&s->deadline[RN_WRITE - 1]) != 0))
        return write_slow(ctx, c, buf, size);
    if (ctx && (n = rn_ctx_err(ctx)) < 0)
        return n;
    if (unlikely(!sock_enter_alone(s)))
        return write_slow(ctx, c, buf, size);
    edge_release(&rn__io_sync);
    edges = rn__fd_edges(s->desc);
    n = rn__os_send(s->fd, buf, size);
    if (unlikely(n != (ssize_t)size))
        return write_rest(ctx, s, buf, size, n, edges);
    sent(s, n);
    sock_leave_turn(s);
    return n;
}

ssize_t rn_write_ctx(struct rn_ctx *ctx, rn_conn *c, const void *buf, size_t size)
{
    return write_all(ctx, c, buf, size);
}

ssize_t rn_write(rn_conn *c, const void *buf, size_t size)
{
    return write_all(NULL, c, buf, size);
}

ssize_t rn_writev_ctx(struct rn_ctx *ctx, rn_conn *c, const struct iovec *iov, int count)
{
    struct iovec part[IOV_ONCE];
    size_t skip = 0; /* bytes of *iov that are out */
    ssize_t total = 0, n;
    struct op op;

    if (count < 0 || (!c->s.stream && count > IOV_ONCE))
        return -EINVAL;
    for (int i = 0; i < count; i++)
        if (__builtin_add_overflow(total, iov[i].iov_len, &total))
            return -EINVAL;
    announce(iov, (size_t)total, false);
    n = write_begin(&op, c, ctx);
    if (n)
        return n;
    for (;;) {
        uint64_t edges = rn__fd_edges(c->s.desc);
        struct msghdr m = {.msg_iov = part};

        while (count > 0 && skip == iov->iov_len && c->s.stream) {
            iov++;
            count--;
            skip = 0;
        }
        if (count == 0 && c->s.stream)
            break;
        for (int i = 0; i < count && i < IOV_ONCE; i++) {
            part[i] = iov[i];
            if (i == 0) {
                part[0].iov_base = (char *)iov->iov_base + skip;
                part[0].iov_len -= skip;
            }
            m.msg_iovlen++;
        }
        n = sock_sendmsg(&op, &m);
        if (n == -EAGAIN) {
            n = op_wait(&op, RN_WRITE, edges);
            if (n == 0)
                continue;
        }
        if (n < 0)
            break;
        sent(&c->s, n);
        if (!c->s.stream) {
            n = 0;
            break;
        }
        for (; n > 0; iov++, count--) {
            size_t rest = iov->iov_len - skip;

            if ((size_t)n < rest) {
                skip += (size_t)n;
                n = 0;
                break;
            }
            n -= (ssize_t)rest;
            skip = 0;
        }
    }
    n = n < 0 ? op_result(&op, n) : n;
    op_end(&op);
    return n < 0 ? n : total;
}

ssize_t rn_writev(rn_conn *c, const struct iovec *iov, int count)
{
    return rn_writev_ctx(NULL, c, iov, count);
}

/* As rn__os_sendfile, which would wait in the kernel where the descriptor is in blocking mode: by a buffer. */
static COLD ssize_t send_copied(struct op *op, int fd, int64_t *offset, size_t size)
{
    struct iovec iov = {NULL, size < COPIED ? size : COPIED};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    iov.iov_base = rn__mem_new(iov.iov_len);
    if (!iov.iov_base)
        return -ENOMEM;
    n = rn__os_preadv(fd, &iov, 1, *offset, false);
    if (n > 0) {
        iov.iov_len = (size_t)n;
        n = sock_sendmsg(op, &m);
    }
    if (n > 0)
        *offset += n;
    rn__mem_free(iov.iov_base);
    return n == -ESPIPE ? -EINVAL : n;
}

ssize_t rn_send_file_ctx(struct rn_ctx *ctx, rn_conn *c, int fd, int64_t offset, size_t size)
{
    size_t done = 0;
    struct op op;
    ssize_t n;

    if (!c->s.stream || offset < 0)
        return -EINVAL;
    n = write_begin(&op, c, ctx);
    if (n)
        return n;
    while (done < size) {
        uint64_t edges = rn__fd_edges(c->s.desc);

        n = unlikely(c->s.shared) ? send_copied(&op, fd, &offset, size - done)
                                  : rn__os_sendfile(c->s.fd, fd, &offset, size - done);
        if (n == -EAGAIN) {
            n = op_wait(&op, RN_WRITE, edges);
            if (n == 0)
                continue;
        }
        if (n == 0)
            n = -EIO; /* the file is shorter than that, by now at least */
        if (n < 0)
            break;
        sent(&c->s, n);
        done += (size_t)n;
        n = 0;
    }
    n = n < 0 ? op_result(&op, n) : n;
    op_end(&op);
    return n < 0 ? n : (ssize_t)size;
}

ssize_t rn_send_file(rn_conn *c, int fd, int64_t offset, size_t size)
{
    return rn_send_file_ctx(NULL, c, fd, offset, size);
}

uint64_t rn_conn_sent(const rn_conn *c)
{
    return load_relaxed(&c->s.sent);
}

ssize_t rn_send_to_ctx(struct rn_ctx *ctx, rn_conn *c, const void *buf, size_t size,
                       const rn_addr *to)
{
    struct iovec iov = {(void *)(uintptr_t)buf, size};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_name = (void *)(uintptr_t)to,
                       .msg_namelen = addr_length_of(to)};
    struct op op;
    ssize_t n;

    tool_read(buf, size);
    n = write_begin(&op, c, ctx);
    if (n)
        return n;
    for (;;) {
        uint64_t edges = rn__fd_edges(c->s.desc);

        n = sock_sendmsg(&op, &m);
        if (n != -EAGAIN)
            break;
        n = op_wait(&op, RN_WRITE, edges);
        if (n < 0)
            break;
    }
    if (n > 0)
        sent(&c->s, n);
    n = n < 0 ? op_result(&op, n) : n;
    op_end(&op);
    return n;
}

ssize_t rn_send_to(rn_conn *c, const void *buf, size_t size, const rn_addr *to)
{
    return rn_send_to_ctx(NULL, c, buf, size, to);
}

/* ---- About a connection --------------------------------------------------------------------------------------- */

int rn_set_read_deadline(rn_conn *c, rn_time t)
{
    return rn__sock_set_deadline(&c->s, RN_READ, t);
}

int rn_set_write_deadline(rn_conn *c, rn_time t)
{
    return rn__sock_set_deadline(&c->s, RN_WRITE, t);
}

int rn_set_deadline(rn_conn *c, rn_time t)
{
    return rn__sock_set_deadline(&c->s, RN_READ | RN_WRITE, t);
}

static int half_close(rn_conn *c, int how)
{
    struct op op;
    int err = op_begin(&op, &c->s, NULL, 0);

    if (err)
        return err;
    edge_release(&rn__io_sync);
    err = rn__os_shutdown(c->s.fd, how);
    op_end(&op);
    return err;
}

int rn_close_write(rn_conn *c)
{
    return half_close(c, SHUT_WR);
}

int rn_close_read(rn_conn *c)
{
    return half_close(c, SHUT_RD);
}

static int ask(const struct sock *s, int (*get)(int, void *, socklen_t *), rn_addr *ret_addr)
{
    struct sock *mine = (struct sock *)(uintptr_t)s;
    rn_addr a = {{0}};
    socklen_t length = ADDR_ROOM;
    int err;

    if (!sock_enter(mine))
        return -ECANCELED;
    err = get(s->fd, &a, &length);
    sock_leave(mine);
    if (err)
        return err;
    rn__addr_by_kernel(&a, length);
    *ret_addr = a;
    return 0;
}

int rn_local_addr(const rn_conn *c, rn_addr *ret_addr)
{
    return ask(&c->s, rn__os_local, ret_addr);
}

int rn_remote_addr(const rn_conn *c, rn_addr *ret_addr)
{
    return ask(&c->s, rn__os_remote, ret_addr);
}

int rn_listener_addr(const rn_listener *l, rn_addr *ret_addr)
{
    return ask(&l->s, rn__os_local, ret_addr);
}

int rn_conn_fd(const rn_conn *c)
{
    return load_relaxed(&c->s.ops) & OPS_CLOSED ? -1 : c->s.fd;
}

void rn_conn_close(rn_conn *c)
{
    if (!c)
        return;
    rn__sock_cancel(&c->s);
    rn__sock_release(&c->s);
}

void rn_conn_cancel(rn_conn *c)
{
    if (c)
        rn__sock_cancel(&c->s);
}

rn_conn *rn_conn_retain(rn_conn *c)
{
    rn__sock_retain(&c->s);
    return c;
}

void rn_conn_release(rn_conn *c)
{
    if (c)
        rn__sock_release(&c->s);
}

/* ---- From a descriptor ---------------------------------------------------------------------------------------- */

static int conn_new(int fd, bool stream, enum sock_how how, rn_conn **ret_c)
{
    rn_conn *c = rn__sock_new(sizeof *c, fd, stream);
    int domain;

    if (!c)
        return -ENOMEM;
    c->s.how = (uint8_t)how;
    domain = how == HOW_SOCKET && stream ? rn__os_get_option(fd, SOL_SOCKET, SO_DOMAIN) : -1;
    c->s.tcp = domain == AF_INET || domain == AF_INET6;
    *ret_c = c;
    return 0;
}

/* What fd is; whether it is a socket, and of streams. -EINVAL: nobody can wait for it. */
static int what_is(int fd, bool *ret_socket, bool *ret_stream)
{
    struct stat st;
    int err = rn__os_stat(fd, &st), type;

    if (err)
        return err;
    *ret_socket = S_ISSOCK(st.st_mode);
    *ret_stream = true;
    if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode))
        return -EINVAL;
    if (*ret_socket) {
        type = rn__os_get_option(fd, SOL_SOCKET, SO_TYPE);
        if (type < 0)
            return type;
        *ret_stream = type == SOCK_STREAM;
    }
    return 0;
}

int rn_conn_adopt(int fd, rn_conn **ret_c)
{
    bool is_socket, stream;
    int err = what_is(fd, &is_socket, &stream);

    if (err)
        return err;
    err = rn__os_set_nonblocking(fd);
    if (err < 0)
        return err;
    return conn_new(fd, stream, is_socket ? HOW_SOCKET : HOW_FILE, ret_c);
}

int rn_conn_share(int fd, rn_conn **ret_c)
{
    enum sock_how how = HOW_SOCKET;
    bool is_socket, stream;
    int err = what_is(fd, &is_socket, &stream), mine = -1;

    if (err)
        return err;
    if (!is_socket) {
        how = HOW_FILE;
        mine = rn__os_reopen(fd);
        if (mine < 0)
            how = HOW_BLOCKING;
    }
    if (mine < 0)
        mine = rn__os_dup(fd);
    if (mine < 0)
        return mine;
    err = conn_new(mine, stream, how, ret_c);
    if (err)
        rn__os_close(mine);
    else
        (*ret_c)->s.shared = how != HOW_FILE;
    return err;
}

int rn_pipe(rn_conn **ret_read, rn_conn **ret_write)
{
    rn_conn *r;
    int fds[2], err = rn__os_pipe(fds);

    if (err)
        return err;
    err = conn_new(fds[0], true, HOW_FILE, &r);
    if (err) {
        rn__os_close(fds[0]);
    } else {
        err = conn_new(fds[1], true, HOW_FILE, ret_write);
        if (!err) {
            *ret_read = r;
            return 0;
        }
        rn_conn_close(r);
    }
    rn__os_close(fds[1]);
    return err;
}
