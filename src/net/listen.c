/* SPDX-License-Identifier: MIT */
/*
 * listen.c - listeners, accepting, and sockets with a local address.
 *
 * Options of a TCP listener are inherited by the connections that it accepts, so an accept is one system call.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <runnel/err.h>
#include <stdlib.h>
#include <sys/un.h>

#include "base/mem.h"
#include "ctx/ctx.h"
#include "net/sock.h"
#include "os/socket.h"

void rn__net_tcp_options(int fd)
{
    rn__os_set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    rn__os_set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    rn__os_set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 15);
    rn__os_set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 15);
    rn__os_set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 9);
}

/* The file that a socket bound to a has made, or NULL. */
static const char *path_of(const rn_addr *a)
{
    const char *path = (const char *)a + offsetof(struct sockaddr_un, sun_path);

    return addr_family(a) == AF_UNIX && path[0] ? path : NULL;
}

static void close_bound(int fd, const rn_addr *a)
{
    rn__os_close(fd);
    if (path_of(a))
        rn__os_unlink(path_of(a));
}

/* A bound socket at a, listening if it is a stream; its descriptor. */
static int open_at(const rn_addr *a, struct net_kind kind, const rn_listen_options *o, bool dual)
{
    int fd = rn__os_socket(addr_family(a), kind.type), err = 0;

    if (fd < 0)
        return fd;
    if (addr_family(a) != AF_UNIX) {
        if (kind.type == SOCK_STREAM) {
            rn__os_set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
            rn__net_tcp_options(fd);
        }
        if (addr_family(a) == AF_INET6)
            err = rn__os_set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !dual);
        if (!err && o && o->reuse_port)
            err = rn__os_set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
    if (!err)
        err = rn__os_bind(fd, a, addr_length_of(a));
    if (err) {
        rn__os_close(fd);
        return err;
    }
    if (kind.type == SOCK_STREAM)
        err = rn__os_listen(fd, o && o->backlog > 0 ? o->backlog : INT_MAX);
    if (err) {
        close_bound(fd, a);
        return err;
    }
    return fd;
}

/* The same for text; *ret_addr is where. */
static int open_text(const char *network, const char *text, const rn_listen_options *o, int type,
                     rn_addr *ret_addr)
{
    rn_addr addrs[NET_ADDRS];
    struct net_kind kind;
    int n = rn__net_kind(network, &kind), fd;
    bool dual;

    if (n < 0)
        return n;
    if (kind.type != type)
        return rn_errorf(-EINVAL, "%s: network %s is not for this",
                         type == SOCK_STREAM ? "listen" : "bind", network);
    n = rn__net_resolve(NULL, kind, network, text, true, addrs, NET_ADDRS);
    if (n < 0)
        return n;
    /* An empty host gives the wildcards of both families. One socket takes both. */
    dual = kind.family == AF_UNSPEC && text[0] == ':';
    fd = -EAFNOSUPPORT;
    for (int want = dual ? AF_INET6 : 0; want >= 0; want = want == AF_INET6 ? AF_INET : -1) {
        for (int i = 0; i < n; i++) {
            if (want && addr_family(&addrs[i]) != want)
                continue;
            fd = open_at(&addrs[i], kind, o, dual);
            *ret_addr = addrs[i];
            break;
        }
        if (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL)
            break;
    }
    if (fd < 0)
        return rn_errorf(fd, "%s %s %s: %s", type == SOCK_STREAM ? "listen" : "bind", network, text,
                         rn_errmsg(error_bare(fd)));
    return fd;
}

/* The bound socket's struct sock, size bytes with what follows; it removes what bind has made. NULL: no memory, and
 * nothing is left. */
static void *bound_new(size_t size, int fd, const rn_addr *at)
{
    const char *path = path_of(at);
    char *copy = path ? rn__mem_new(strlen(path) + 1) : NULL;
    struct sock *s = path && !copy ? NULL : rn__sock_new(size, fd, false);

    if (!s) {
        close_bound(fd, at);
        rn__mem_free(copy);
        return NULL;
    }
    if (copy)
        memcpy(copy, path, strlen(path) + 1);
    s->path = copy;
    return s;
}

int rn_listen_with(const char *network, const char *address, const rn_listen_options *options,
                   rn_listener **ret_l)
{
    rn_addr at;
    int fd = open_text(network, address, options, SOCK_STREAM, &at);
    rn_listener *l;

    if (fd < 0)
        return fd;
    l = bound_new(sizeof *l, fd, &at);
    if (!l)
        return -ENOMEM;
    l->s.tcp = addr_family(&at) != AF_UNIX;
    *ret_l = l;
    return 0;
}

int rn_listen(const char *network, const char *address, rn_listener **ret_l)
{
    return rn_listen_with(network, address, NULL, ret_l);
}

int rn_bind_with(const char *network, const char *address, const rn_listen_options *options,
                 rn_conn **ret_c)
{
    rn_addr at;
    int fd = open_text(network, address, options, SOCK_DGRAM, &at);
    rn_conn *c;

    if (fd < 0)
        return fd;
    c = bound_new(sizeof *c, fd, &at);
    if (!c)
        return -ENOMEM;
    *ret_c = c;
    return 0;
}

int rn_bind(const char *network, const char *address, rn_conn **ret_c)
{
    return rn_bind_with(network, address, NULL, ret_c);
}

int rn_accept_ctx(struct rn_ctx *ctx, rn_listener *l, rn_conn **ret_c)
{
    int64_t delay = 0;
    struct op op;
    rn_conn *c;
    int n = op_begin(&op, &l->s, ctx, RN_READ);

    if (n)
        return n;
    for (;;) {
        uint64_t edges = rn__fd_edges(l->s.desc);

        n = rn__os_accept(l->s.fd);
        if (n >= 0) {
            c = rn__sock_new(sizeof *c, n, true);
            if (c) {
                c->s.tcp = l->s.tcp;
                *ret_c = c;
                n = 0;
                break;
            }
            rn__os_close(n);
            n = -ENOMEM;
        }
        switch (-n) {
        case EAGAIN:
            n = op_wait(&op, RN_READ, edges);
            break;
        case ECONNABORTED: /* it was gone before we came; so say also these, of the network */
        case EPROTO:
        case EPERM:
        case ENETDOWN:
        case ENOPROTOOPT:
        case EHOSTDOWN:
        case ENONET:
        case EHOSTUNREACH:
        case ENETUNREACH:
            n = 0;
            break;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            delay = delay == 0 ? 5 * RN_MILLISECOND : delay * 2 > RN_SECOND ? RN_SECOND : delay * 2;
            n = rn__fd_pause(&op.call, RN_READ, now_ns() + delay);
            break;
        default:
            break;
        }
        if (n < 0)
            break;
    }
    n = n < 0 ? (int)op_result(&op, n) : 0;
    op_end(&op);
    if (n == 0)
        edge_acquire(&rn__io_sync);
    return n;
}

int rn_accept(rn_listener *l, rn_conn **ret_c)
{
    return rn_accept_ctx(NULL, l, ret_c);
}

int rn_listener_set_deadline(rn_listener *l, rn_time t)
{
    return rn__sock_set_deadline(&l->s, RN_READ, t);
}

int rn_listener_fd(const rn_listener *l)
{
    return load_relaxed(&l->s.ops) & OPS_CLOSED ? -1 : l->s.fd;
}

void rn_listener_close(rn_listener *l)
{
    if (!l)
        return;
    rn__sock_cancel(&l->s);
    rn__sock_release(&l->s);
}

void rn_listener_cancel(rn_listener *l)
{
    if (l)
        rn__sock_cancel(&l->s);
}

rn_listener *rn_listener_retain(rn_listener *l)
{
    rn__sock_retain(&l->s);
    return l;
}

void rn_listener_release(rn_listener *l)
{
    if (l)
        rn__sock_release(&l->s);
}
