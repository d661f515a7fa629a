/* SPDX-License-Identifier: MIT */
/*
 * dial.c - connecting.
 *
 * One address is connected to by the caller itself. Several are raced (RFC 8305): each attempt is a goroutine, the
 * next is started when an attempt has failed or after 250 ms without an answer; the families take turns, so that one
 * which leads nowhere costs that much and no more. The first connection ends the context of the race, and with it the
 * other attempts; all have reported before the dial returns, so that nothing of it is left.
 *
 * Where a resolver tells the families apart, the race begins before all is known: with the first answer if it is IPv6's,
 * and 50 ms after IPv4's, if IPv6's has not come by then (RFC 8305, 3). The lookup is a goroutine of the race's too.
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

static const rn_dur attempt_delay = 250 * RN_MILLISECOND;
static const rn_dur resolution_delay = 50 * RN_MILLISECOND;

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
    int err = op_begin_now(&op, &c->s, ctx, 0, false);

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

enum { BATCH = 16 }; /* addresses that are told at once, of a family at most */

/* What a lookup tells. */
struct batch {
    rn_addr addrs[BATCH];
    int n;
    bool last;
    int err; /* of the lookup, with the last */
    rn_error why;
};

struct race {
    rn_ctx *ctx;
    int type;
    rn_chan(struct report) reports; /* with room for all: an attempt never waits here */

    /* Addresses, IPv6 and IPv4 apart; those below next have been tried. */
    rn_addr addrs[2][NET_ADDRS];
    int n[2], next[2];
    int turn; /* whose address is tried next, if it has one */

    /* The lookup, if there is one. */
    struct net_kind kind;
    const char *host;
    int port;
    rn_chan(struct batch) batches; /* NULL: it is over, or there is none */
};

static void attempt(const struct race *race, const rn_addr *a)
{
    struct report r = {0, NULL};

    r.err = connect_to(race->ctx, a, race->type, &r.c);
    rn_send(race->reports, r);
}

static void race_add(struct race *race, const rn_addr *addrs, int n)
{
    for (int i = 0; i < n; i++) {
        int k = addr_family(&addrs[i]) == AF_INET;

        if (race->n[k] < NET_ADDRS)
            race->addrs[k][race->n[k]++] = addrs[i];
    }
}

/* The next address, the families in turn; NULL: none is left. */
static const rn_addr *race_next(struct race *race)
{
    int k = race->turn;

    if (race->next[k] == race->n[k])
        k = 1 - k;
    if (race->next[k] == race->n[k])
        return NULL;
    race->turn = 1 - k;
    return &race->addrs[k][race->next[k]++];
}

static bool race_has(const struct race *race)
{
    return race->next[0] < race->n[0] || race->next[1] < race->n[1];
}

static void on_found(void *arg, const rn_addr *addrs, int n)
{
    struct race *race = arg;
    struct batch b = {.n = n < BATCH ? n : BATCH};

    for (int i = 0; i < b.n; i++) {
        b.addrs[i] = addrs[i];
        rn__net_set_port(&b.addrs[i], race->port);
    }
    rn_send(race->batches, b);
}

static void look_up(struct race *race)
{
    struct batch b = {.last = true};

    b.err = rn__net_look_up(race->ctx, race->kind, race->host, on_found, race);
    b.why = rn_error_of(b.err < 0 ? b.err : -EIO);
    rn_send(race->batches, b);
}

/* Take in what the lookup tells; until when to wait for IPv6, 0: no longer. */
static int64_t race_told(struct race *race, const struct batch *b, int *ret_err)
{
    race_add(race, b->addrs, b->n);
    if (b->last) {
        rn_chan_release(race->batches);
        race->batches = NULL;
        if (b->err && race->n[0] == 0 && race->n[1] == 0)
            *ret_err = rn_error_raise(&b->why);
        return 0;
    }
    return race->n[0] == 0 && race->kind.family == AF_UNSPEC ? now_ns() + resolution_delay : 0;
}

static int race_run(struct rn_ctx *ctx, struct race *race, rn_conn **ret_c)
{
    struct report r = {0, NULL};
    struct batch *b = NULL;
    rn_conn *won = NULL;
    int started = 0, reported = 0, err = 0, looked = 0;
    int64_t begin_at = 0, next_at = 0; /* not before: the first, the next */
    bool failed = false;

    err = rn__ctx_with_timeout_err(ctx ? ctx : rn_ctx_background(), INT64_MAX, &race->ctx);
    if (err)
        return error_bare(err);
    err = rn_chan_make_err(&race->reports, (size_t)2 * NET_ADDRS);
    if (err) {
        rn_ctx_end(race->ctx);
        return error_bare(err);
    }
    race->batches = NULL;
    if (race->host) {
        b = rn__mem_new(sizeof *b);
        err = b ? rn_chan_make_err(&race->batches, 0) : -ENOMEM;
        if (!err)
            err = rn_go_err(look_up, race);
        if (err && race->batches) {
            rn_chan_release(race->batches);
            race->batches = NULL;
        }
    }
    while (!won && (race->batches || race_has(race) || reported < started)) {
        int64_t now = now_ns(), until = started == 0 ? begin_at : started > reported ? next_at : 0;
        int which;

        if (race_has(race) && (failed || until <= now)) {
            int e = rn_go_err(attempt, race, race_next(race));

            err = err ? err : e;
            failed = e != 0;
            started += !failed;
            next_at = now + attempt_delay;
            continue;
        }
        which = race_has(race)
                    ? rn_select(rn_on_recv(race->reports, &r), rn_on_recv(race->batches, b),
                                rn_on_deadline(until))
                    : rn_select(rn_on_recv(race->reports, &r), rn_on_recv(race->batches, b));
        if (which == 0) {
            reported++;
            if (r.err == 0)
                won = r.c;
            else if (!err)
                err = r.err;
            failed = r.err != 0;
        } else if (which == 1) {
            assert(b); /* there are batches */
            begin_at = race_told(race, b, &looked);
        }
        if (!won && ctx && rn_ctx_err(ctx))
            break;
    }
    rn_ctx_cancel(race->ctx);
    while (race->batches) {
        assert(b);
        rn_recv_ok(race->batches, b);
        (void)race_told(race, b, &looked);
    }
    for (; reported < started; reported++) {
        r = rn_recv(race->reports);
        if (r.err == 0 && won)
            rn_conn_close(r.c);
        else if (r.err == 0)
            won = r.c;
    }
    rn__mem_free(b);
    rn_ctx_end(race->ctx);
    rn_chan_release(race->reports);
    if (won) {
        *ret_c = won;
        return 0;
    }
    if (ctx && rn_ctx_err(ctx))
        return rn_ctx_err(ctx);
    return looked ? looked : error_bare(err); /* what the lookup says has its message */
}

static int race_to(struct rn_ctx *ctx, const rn_addr *addrs, int n, int type, rn_conn **ret_c)
{
    struct race *race = rn__mem_new_zero(sizeof *race, 16);
    int err;

    if (!race)
        return error_bare(-ENOMEM);
    race->type = type;
    race->turn = addr_family(&addrs[0]) == AF_INET;
    race_add(race, addrs, n);
    err = race_run(ctx, race, ret_c);
    rn__mem_free(race);
    return err;
}

static int race_to_name(struct rn_ctx *ctx, struct net_kind kind, const char *host, int port,
                        rn_conn **ret_c)
{
    struct race *race = rn__mem_new_zero(sizeof *race, 16);
    int err;

    if (!race)
        return error_bare(-ENOMEM);
    race->type = kind.type;
    race->kind = kind;
    race->host = host;
    race->port = port;
    err = race_run(ctx, race, ret_c);
    rn__mem_free(race);
    return err;
}

/* Datagrams: the first to which there is a way. */
static int first_of(struct rn_ctx *ctx, const rn_addr *addrs, int n, int type, rn_conn **ret_c)
{
    int err = 0;

    for (int i = 0; i < n; i++) {
        int e = connect_to(ctx, &addrs[i], type, ret_c);

        if (!e)
            return 0;
        err = err ? err : e;
        if (ctx && rn_ctx_err(ctx))
            return rn_ctx_err(ctx);
    }
    return error_bare(err);
}

int rn_dial_ctx(struct rn_ctx *ctx, const char *network, const char *address, rn_conn **ret_c)
{
    rn_addr addrs[NET_ADDRS];
    char host[NET_HOST];
    struct net_kind kind;
    int n = rn__net_kind(network, &kind), err;

    if (n < 0)
        return n;
    err = rn_ctx_err(ctx);
    if (err)
        return err;
    if (kind.type == SOCK_STREAM && rn__net_is_name(kind, address, host, &n)) {
        err = race_to_name(ctx, kind, host, n, ret_c);
    } else {
        n = rn__net_resolve(ctx, kind, network, address, false, addrs, NET_ADDRS);
        if (n < 0)
            return n;
        err = n == 1 || kind.type != SOCK_STREAM ? first_of(ctx, addrs, n, kind.type, ret_c)
                                                 : race_to(ctx, addrs, n, kind.type, ret_c);
    }
    if (err && !(ctx && err == rn_ctx_err(ctx)))
        return rn_errorf(err, "dial %s %.60s: %s", network, address, rn_errmsg(err));
    return err;
}

int rn_dial(const char *network, const char *address, rn_conn **ret_c)
{
    return rn_dial_ctx(NULL, network, address, ret_c);
}
