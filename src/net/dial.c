/* SPDX-License-Identifier: MIT */
/*
 * dial.c - connecting.
 *
 * One address is connected to by the caller itself. Several are raced (RFC 8305): each attempt is a goroutine, the
 * next is started when an attempt has failed or after 250 ms without an answer; the families take turns, so that one
 * which leads nowhere costs that much and no more. The first connection ends the context of the race, and with it the
 * other attempts; all have reported before the dial returns, so that nothing of it is left.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <runnel/chan.h>
#include <runnel/ctx.h>
#include <runnel/err.h>
#include <runnel/go.h>
#include <runnel/select.h>

#include "base/mem.h"
#include "net/sock.h"
#include "os/socket.h"

void rn__net_tcp_options(int fd);

static const rn_dur attempt_delay = 250 * RN_MILLISECOND;

/* A TCP connection to a free port of this machine may meet itself: then nobody listens. */
static bool met_itself(const rn_conn *c)
{
    rn_addr here, there;

    return rn_local_addr(c, &here) == 0 && rn_remote_addr(c, &there) == 0 &&
           rn_addr_equal(&here, &there);
}

/* The end of rn_run takes the goroutine away: nobody else knows the connection. */
static void dial_dropped(struct fd_call *call)
{
    struct op *op = container_of(call, struct op, call);
    rn_conn *c = container_of(op->s, rn_conn, s);

    op_end(op);
    rn_conn_close(c);
}

static int connect_wait(struct rn_ctx *ctx, rn_conn *c, const rn_addr *a)
{
    int64_t delay = RN_MILLISECOND;
    struct op op;
    int err = op_begin_now(&op, &c->s, ctx, 0);

    if (err)
        return err;
    op.call.dropped = dial_dropped;
    for (;;) {
        uint64_t edges = rn__fd_edges(c->s.desc);

        err = rn__os_connect(c->s.fd, a, addr_length_of(a));
        if (err == -EISCONN)
            err = 0;
        if (err == -EINPROGRESS || err == -EALREADY) {
            err = op_wait(&op, RN_WRITE, edges);
        } else if (err == -EAGAIN && addr_family(a) == AF_UNIX) {
            /* Too many wait to be accepted; the kernel does not tell when there is room. */
            err = rn__fd_pause(&op.call, RN_WRITE, now_ns() + delay);
            delay = delay < 50 * RN_MILLISECOND ? delay * 2 : delay;
        } else {
            break;
        }
        if (err)
            break;
    }
    op_end(&op);
    return err;
}

static int connect_to(struct rn_ctx *ctx, const rn_addr *a, int type, rn_conn **ret_c)
{
    int fd, err;
    rn_conn *c;

    wait_point();
    fd = rn__os_socket(addr_family(a), type);
    if (fd < 0)
        return fd;
    if (type == SOCK_STREAM && addr_family(a) != AF_UNIX)
        rn__net_tcp_options(fd);
    c = rn__sock_new(sizeof *c, fd, type == SOCK_STREAM);
    if (!c) {
        rn__os_close(fd);
        return -ENOMEM;
    }
    c->s.tcp = type == SOCK_STREAM && addr_family(a) != AF_UNIX;
    err = connect_wait(ctx, c, a);
    if (!err && type == SOCK_STREAM && addr_family(a) != AF_UNIX && met_itself(c))
        err = -ECONNREFUSED;
    if (err) {
        rn_conn_close(c);
        return err;
    }
    *ret_c = c;
    return 0;
}

/* ---- The race ------------------------------------------------------------------------------------------------- */

struct report {
    int err;
    rn_conn *c;
};

struct race {
    rn_ctx *ctx;
    int type;
    rn_chan(struct report) reports; /* with room for all: an attempt never waits here */
};

static void attempt(const struct race *race, const rn_addr *a)
{
    struct report r = {0, NULL};

    r.err = connect_to(race->ctx, a, race->type, &r.c);
    rn_send(race->reports, r);
}

/* The families in turn, beginning with the first one's. */
static void interleave(rn_addr *addrs, int n)
{
    for (int i = 1; i < n; i++) {
        int j = i;

        while (j < n && addr_family(&addrs[j]) == addr_family(&addrs[i - 1]))
            j++;
        if (j == n)
            return;
        for (rn_addr a = addrs[j]; j >= i; j--)
            addrs[j] = j == i ? a : addrs[j - 1];
    }
}

static int race_to(struct rn_ctx *ctx, rn_addr *addrs, int n, int type, rn_conn **ret_c)
{
    struct race race = {.type = type};
    struct report r;
    rn_conn *won = NULL;
    int started = 0, reported = 0, err = 0;

    interleave(addrs, n);
    race.ctx = rn_ctx_with_cancel(ctx ? ctx : rn_ctx_background());
    race.reports = rn_chan_make(struct report, n);
    while (!won && reported < n) {
        int which;

        if (started == reported || (started < n && err)) {
            rn_go(attempt, &race, &addrs[started]);
            started++;
        }
        which = started < n ? rn_select(rn_on_recv(race.reports, &r), rn_on_timeout(attempt_delay))
                            : rn_select(rn_on_recv(race.reports, &r));
        if (which == 0) {
            reported++;
            if (r.err == 0)
                won = r.c;
            else if (!err)
                err = r.err;
        } else {
            rn_go(attempt, &race, &addrs[started]);
            started++;
        }
        if (!won && ctx && rn_ctx_err(ctx))
            break;
    }
    rn_ctx_cancel(race.ctx);
    for (; reported < started; reported++) {
        r = rn_recv(race.reports);
        if (r.err == 0 && won)
            rn_conn_close(r.c);
        else if (r.err == 0)
            won = r.c;
    }
    rn_ctx_end(race.ctx);
    rn_chan_release(race.reports);
    if (won) {
        *ret_c = won;
        return 0;
    }
    return ctx && rn_ctx_err(ctx) ? rn_ctx_err(ctx) : err;
}

int rn_dial_ctx(struct rn_ctx *ctx, const char *network, const char *address, rn_conn **ret_c)
{
    rn_addr addrs[NET_ADDRS];
    struct net_kind kind;
    int n = rn__net_kind(network, &kind), err;

    if (n < 0)
        return n;
    err = rn_ctx_err(ctx);
    if (err)
        return err;
    n = rn__net_resolve(ctx, kind, network, address, false, addrs, NET_ADDRS);
    if (n < 0)
        return n;
    err = n == 1 || kind.type != SOCK_STREAM ? connect_to(ctx, &addrs[0], kind.type, ret_c)
                                             : race_to(ctx, addrs, n, kind.type, ret_c);
    if (err && !(ctx && err == rn_ctx_err(ctx)))
        return rn_errorf(err, "dial %s %.60s: %s", network, address, rn_errmsg(err));
    return err;
}

int rn_dial(const char *network, const char *address, rn_conn **ret_c)
{
    return rn_dial_ctx(NULL, network, address, ret_c);
}
