/* SPDX-License-Identifier: MIT */
/*
 * net.h - TCP, UDP and Unix sockets for goroutines.
 *
 *     static void serve(rn_conn *c)
 *     {
 *         char buf[4096];
 *         ssize_t n;
 *
 *         while ((n = rn_read(c, buf, sizeof buf)) > 0 && rn_write(c, buf, (size_t)n) > 0)
 *             ;
 *         rn_conn_close(c);
 *     }
 *
 *     rn_listener *l;
 *     rn_conn *c;
 *
 *     if (rn_listen("tcp", ":7000", &l) == 0)
 *         while (rn_accept(l, &c) == 0)
 *             rn_go(serve, c);
 *
 * A call that has to wait lets other goroutines run. Every call works from any goroutine and any thread, and any
 * number may use one connection at the same time: each rn_write goes out as a whole, in turn.
 *
 * Results are counts, or negative errno values; results through ret_ parameters are written on success only. What
 * all calls have in common:
 *
 *   -ECANCELED           the connection or listener was closed on this side, before or meanwhile
 *   -ETIMEDOUT           its deadline passed: before, whatever there is to read, or while the call waited. Also what
 *                        the kernel says when a peer has vanished
 *   the context's error  in the forms with ctx, which may be NULL; also if it had ended before
 *   -ENOMEM              no memory for a first wait
 *
 * Happens-before, within the process: a write, a half-close or a close -> the read that returns because of it.
 *
 * No SIGPIPE is ever raised. TCP connections have TCP_NODELAY set, and keep-alive probes after 15 seconds, every 15
 * seconds, 9 times, as in Go. Descriptors are non-blocking, and closed by exec.
 *
 * Ownership is that of contexts and channels. Whoever makes a connection or listener holds a reference.
 * rn_conn_close is the owner's: it closes the connection for everybody and gives the reference up. A call in progress
 * needs no reference of its own; who may begin one after the owner's close does: rn_conn_retain, rn_conn_release, the
 * last of which closes too. rn_conn_cancel closes and keeps the reference. They survive the end of rn_run.
 *
 * Addresses are texts. network is one of
 *   tcp tcp4 tcp6        host:port; host is a number, [a number with colons], a name, or empty: this machine. port is a
 *   udp udp4 udp6        number or a service's name
 *   unix unixgram        a path, or @name in the abstract namespace
 */
#ifndef RUNNEL_NET_H
#define RUNNEL_NET_H

#include <runnel/io.h>
#include <runnel/time.h>
#include <sys/types.h>
#include <sys/uio.h>

RN__BEGIN

struct rn_ctx;
typedef struct rn_conn rn_conn;
typedef struct rn_listener rn_listener;

/* ---- Addresses -------------------------------------------------------------------------------- */

/* An address of any network. 128 bytes. */
typedef struct rn_addr {
    uint64_t rn__word[16];
} rn_addr;

/* Room for the text of any address, with its end. */
enum { RN_ADDR_TEXT = 128 };

/* The address that text says; numbers only, nothing is looked up. 0 or -EINVAL. */
RN__API RN__NODISCARD int rn_addr_parse(rn_addr *ret_addr, const char *network, const char *text);
/* Write the text of a, with its end, to text. Returns its length, or -ENOBUFS if size is too small. The address of an
 * unnamed socket is empty. */
RN__API int rn_addr_text(const rn_addr *a, char *text, size_t size);
/* The port of a; 0 for Unix sockets. */
RN__API int rn_addr_port(const rn_addr *a);
RN__API bool rn_addr_equal(const rn_addr *a, const rn_addr *b);

/* ---- Listening -------------------------------------------------------------------------------- */

/* Zero means the default. */
typedef struct rn_listen_options {
    int backlog; /* connections that wait to be accepted; default: as many as the kernel allows */
    bool
        reuse_port; /* SO_REUSEPORT: several listeners share the port, and the kernel distributes */
    uint64_t rn__reserved[6];
} rn_listen_options;

/*
 * Listen for connections. With an empty host a tcp listener takes IPv6 and IPv4, where the machine has both. Port 0
 * lets the kernel choose: see rn_listener_addr. A name is looked up, and its first address taken.
 *
 * A path of a Unix socket must not exist; it is removed when the listener is closed.
 *
 * Returns 0, -EINVAL for a network or an address that is none, -EADDRINUSE and what else the kernel says; rn_errmsg
 * tells more. Looking a name up may take its time.
 */
RN__API RN__NODISCARD int rn_listen(const char *network, const char *address, rn_listener **ret_l);
/* options may be NULL. */
RN__API RN__NODISCARD int rn_listen_with(const char *network, const char *address,
                                         const rn_listen_options *options, rn_listener **ret_l);

/*
 * Wait for a connection. Any number may accept at the same time.
 *
 * A connection that was gone before it was accepted is skipped. When the process or the machine has no descriptor or
 * no memory left, it is tried again after 5 ms, then twice as long, up to a second, until one is free: an overload
 * ends no server.
 */
RN__API RN__NODISCARD int rn_accept(rn_listener *l, rn_conn **ret_c);
RN__API RN__NODISCARD int rn_accept_ctx(struct rn_ctx *ctx, rn_listener *l, rn_conn **ret_c);

/* Accepts end with -ETIMEDOUT from t on; 0: no deadline. 0, -ECANCELED, -ENOMEM. */
RN__API int rn_listener_set_deadline(rn_listener *l, rn_time t);
RN__API int rn_listener_addr(const rn_listener *l, rn_addr *ret_addr);
/* Its descriptor, borrowed; -1 once it is closed. */
RN__API int rn_listener_fd(const rn_listener *l);

/* Close l, wake all who accept with -ECANCELED, and give the reference up. The port is free when it returns. NULL is
 * fine. */
RN__API void rn_listener_close(rn_listener *l);
RN__API void rn_listener_cancel(rn_listener *l); /* the same, keeping the reference */
RN__API rn_listener *rn_listener_retain(rn_listener *l);
RN__API void rn_listener_release(rn_listener *l);

/* ---- Connecting ------------------------------------------------------------------------------- */

/*
 * Connect. If a name has several addresses they are tried in the order of the system's preference, the families in
 * turn; the next is begun when one has failed, or has not answered for 250 ms, without giving that up: the first
 * connection wins (RFC 8305). With librunnel-dns the first is begun as soon as the addresses of IPv6 are known, or those
 * of IPv4 for 50 ms. With an empty host, to this machine.
 *
 * udp and unixgram: nothing is sent; the peer's address is fixed for rn_read and rn_write.
 *
 * Returns 0, -EINVAL for a network or an address that is none, -ENOENT for a name that does not exist, or the error of
 * the first attempt. rn_errmsg tells more. There is no time limit but the kernel's and that of ctx, which also ends the
 * looking up of a name.
 */
RN__API RN__NODISCARD int rn_dial(const char *network, const char *address, rn_conn **ret_c);
RN__API RN__NODISCARD int rn_dial_ctx(struct rn_ctx *ctx, const char *network, const char *address,
                                      rn_conn **ret_c);

/*
 * Where names are looked up for rn_dial, rn_listen and rn_bind from now on: librunnel-dns sets it. NULL, the default: by
 * the C library, on a thread that waits for it. Nothing ends such a lookup early, though nobody waits for it any more: so
 * there are at most 256 at a time, no more than half of RUNNEL_MAX_THREADS, and others wait for their turn. For the life of
 * the process.
 *
 * resolve(ctx, host, family, found, arg) calls found(arg, addrs, n) once or more, best as soon as it has addresses of one
 * family (4 or 6; 0: both are wanted), and returns 0 after the last, or an error; 0 without an address becomes -ENOENT. It is
 * called on a goroutine's stack, may wait, and ends with ctx.
 */
typedef void rn_found_fn(void *arg, const rn_addr *addrs, int n);
RN__API void rn_set_resolver(int (*resolve)(struct rn_ctx *ctx, const char *host, int family,
                                            rn_found_fn *found, void *arg));

/*
 * The addresses of host, with port 0, in the order in which they are best tried: as rn_dial finds them.
 *
 *   family  4, 6, or 0 for both
 *   room    of ret_addrs, at least 1; what does not fit is left out
 *
 * Returns how many there are in ret_addrs, at least one; -ENOENT for a name that does not exist, -EAGAIN where nobody
 * knows, -EINVAL for what is no name, ctx's error. ctx may be NULL. Waits.
 */
RN__API RN__NODISCARD int rn_lookup(struct rn_ctx *ctx, const char *host, int family,
                                    rn_addr *ret_addrs, int room);
/* The same by the C library, whatever resolver is set; host is below 256 bytes, and no number. For librunnel-dns. */
RN__API RN__NODISCARD int rn__net_ask_libc(struct rn_ctx *ctx, const char *host, int family,
                                           rn_addr *ret_addrs, int room);

/* A socket of udp or unixgram with a local address, for rn_recv_from and rn_send_to. A path must not exist, and is removed
 * when the socket is closed. Errors as rn_listen. */
RN__API RN__NODISCARD int rn_bind(const char *network, const char *address, rn_conn **ret_c);
/* options may be NULL; of them reuse_port counts: the kernel gives what comes from one address to one of the sockets. */
RN__API RN__NODISCARD int rn_bind_with(const char *network, const char *address,
                                       const rn_listen_options *options, rn_conn **ret_c);

/* A connection from a socket of yours, or a pipe, a terminal or another device, which it owns from then on; it is made
 * non-blocking, for all who share its open file description: see rn_conn_share in os.h. 0, or -EINVAL (a regular file,
 * for which nobody waits), -EBADF, -ENOMEM with fd still yours. */
RN__API RN__NODISCARD int rn_conn_adopt(int fd, rn_conn **ret_c);

/* The options of every connection of TCP, for a socket of which there is no rn_conn: what librunnel-http connects. */
RN__API void rn__net_tcp_options(int fd);

/* ---- Reading and writing ---------------------------------------------------------------------- */

/*
 * Read what there is, at most size bytes, waiting for the first. Returns how many, 0 at the end of the stream,
 * -ECONNRESET if the peer has cut the connection. Of a datagram what does not fit is lost.
 */
RN__API RN__NODISCARD ssize_t rn_read(rn_conn *c, void *buf, size_t size);
RN__API RN__NODISCARD ssize_t rn_read_ctx(struct rn_ctx *ctx, rn_conn *c, void *buf, size_t size);
/* The same into several buffers, at most 1024. */
RN__API RN__NODISCARD ssize_t rn_readv(rn_conn *c, const struct iovec *iov, int count);
RN__API RN__NODISCARD ssize_t rn_readv_ctx(struct rn_ctx *ctx, rn_conn *c, const struct iovec *iov,
                                           int count);
/*
 * Wait until there is something to read: data, the end of the stream, or an error. For who has many connections, most
 * of them idle, and wants no buffer for those. 0, or an error of waiting as above. A read that follows finds it, unless
 * another was faster; in rare cases it waits after all.
 */
RN__API RN__NODISCARD int rn_wait_read(rn_conn *c);
RN__API RN__NODISCARD int rn_wait_read_ctx(struct rn_ctx *ctx, rn_conn *c);
/* Read until buf is full. size, or -EIO if the stream ended in the middle, 0 if it did before the first byte. */
RN__API RN__NODISCARD ssize_t rn_read_full(rn_conn *c, void *buf, size_t size);
RN__API RN__NODISCARD ssize_t rn_read_full_ctx(struct rn_ctx *ctx, rn_conn *c, void *buf,
                                               size_t size);

/*
 * Write all of it, waiting for room. Returns size, or an error; then a part may have gone out: rn_conn_sent tells how
 * much. -EPIPE if the peer, or rn_close_write, has closed this direction, -ECONNRESET as above.
 */
RN__API ssize_t rn_write(rn_conn *c, const void *buf, size_t size);
RN__API ssize_t rn_write_ctx(struct rn_ctx *ctx, rn_conn *c, const void *buf, size_t size);
/* The same from several buffers, any number; they go out as one. */
RN__API ssize_t rn_writev(rn_conn *c, const struct iovec *iov, int count);
RN__API ssize_t rn_writev_ctx(struct rn_ctx *ctx, rn_conn *c, const struct iovec *iov, int count);
/*
 * Write size bytes of the file fd from offset on, as rn_write does, but from the kernel's memory to the kernel's. The
 * file's own position is not used. Returns size, or an error as rn_write; -EIO if the file ends before, -EINVAL if fd is
 * no file that the kernel can send, or c no stream. Reading the file may keep the thread, as any reading of files does.
 */
RN__API ssize_t rn_send_file(rn_conn *c, int fd, int64_t offset, size_t size);
RN__API ssize_t rn_send_file_ctx(struct rn_ctx *ctx, rn_conn *c, int fd, int64_t offset,
                                 size_t size);
/* Bytes that were ever given to the kernel. */
RN__API uint64_t rn_conn_sent(const rn_conn *c);

/* Receive a datagram, and who sent it; ret_from may be NULL. */
RN__API RN__NODISCARD ssize_t rn_recv_from(rn_conn *c, void *buf, size_t size, rn_addr *ret_from);
RN__API RN__NODISCARD ssize_t rn_recv_from_ctx(struct rn_ctx *ctx, rn_conn *c, void *buf,
                                               size_t size, rn_addr *ret_from);
/* Send one datagram to somebody. size or an error: all of it or nothing. */
RN__API ssize_t rn_send_to(rn_conn *c, const void *buf, size_t size, const rn_addr *to);
RN__API ssize_t rn_send_to_ctx(struct rn_ctx *ctx, rn_conn *c, const void *buf, size_t size,
                               const rn_addr *to);

/* ---- About a connection ----------------------------------------------------------------------- */

/* Reads, writes, or both end with -ETIMEDOUT from t on (rn_now()'s clock), those in progress too; 0: no deadline. May
 * be changed at any time, also after it has passed. 0, -ECANCELED, -ENOMEM. */
RN__API int rn_set_read_deadline(rn_conn *c, rn_time t);
RN__API int rn_set_write_deadline(rn_conn *c, rn_time t);
RN__API int rn_set_deadline(rn_conn *c, rn_time t);

/* No more will be written: the peer reads the end of the stream. Or: no more will be read; who reads gets 0. 0 or an
 * error. */
RN__API int rn_close_write(rn_conn *c);
RN__API int rn_close_read(rn_conn *c);

/* An IPv4 peer of a socket that takes both families has its IPv4 address, here and in rn_recv_from. 0, or -ENOTCONN and
 * the like. */
RN__API int rn_local_addr(const rn_conn *c, rn_addr *ret_addr);
RN__API int rn_remote_addr(const rn_conn *c, rn_addr *ret_addr);
/* Its descriptor, borrowed, for options of your own; -1 once it is closed. */
RN__API int rn_conn_fd(const rn_conn *c);

/* Close c, wake all who are in a call on it with -ECANCELED, and give the reference up. The peer is told at once; the
 * descriptor goes when the last call in progress has returned. NULL is fine. */
RN__API void rn_conn_close(rn_conn *c);
RN__API void rn_conn_cancel(rn_conn *c); /* the same, keeping the reference */
RN__API rn_conn *rn_conn_retain(rn_conn *c);
RN__API void rn_conn_release(rn_conn *c);

RN__END
#endif
