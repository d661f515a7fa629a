/* SPDX-License-Identifier: MIT */
/*
 * cut.c - every call of a connection that may wait, cut short in the middle of its wait in every way: by its context, its
 * context's time, a deadline, a close and a reset of the peer's. And what has ended before is not begun.
 */
#define _GNU_SOURCE
#include "net.h"

#include <sys/socket.h>

enum { BIG = 20000000 }; /* more than the kernel takes for a connection whose peer does not read */

static char big[BIG];
static int big_file;

/* Each waits, since the peer says nothing, or does not read. Half of the calls are for reading. */
static ssize_t by_read(rn_ctx *ctx, rn_conn *c)
{
    char b;

    return rn_read_ctx(ctx, c, &b, 1);
}
static ssize_t by_readv(rn_ctx *ctx, rn_conn *c)
{
    char b[2];
    struct iovec iov[2] = {{b, 1}, {b + 1, 1}};

    return rn_readv_ctx(ctx, c, iov, 2);
}
static ssize_t by_read_full(rn_ctx *ctx, rn_conn *c)
{
    char b[2];

    return rn_read_full_ctx(ctx, c, b, 2);
}
static ssize_t by_wait_read(rn_ctx *ctx, rn_conn *c)
{
    return rn_wait_read_ctx(ctx, c);
}
static ssize_t by_recv_from(rn_ctx *ctx, rn_conn *c)
{
    char b;

    return rn_recv_from_ctx(ctx, c, &b, 1, NULL);
}
static ssize_t by_write(rn_ctx *ctx, rn_conn *c)
{
    return rn_write_ctx(ctx, c, big, BIG);
}
static ssize_t by_writev(rn_ctx *ctx, rn_conn *c)
{
    struct iovec iov[2] = {{big, 1}, {big + 1, BIG - 1}};

    return rn_writev_ctx(ctx, c, iov, 2);
}
static ssize_t by_send_file(rn_ctx *ctx, rn_conn *c)
{
    return rn_send_file_ctx(ctx, c, big_file, 0, BIG);
}
static ssize_t by_send_to(rn_ctx *ctx, rn_conn *c)
{
    rn_addr nobody = {{0}}; /* the socket has its peer */
    ssize_t n;

    do
        n = rn_send_to_ctx(ctx, c, big, 1000, &nobody);
    while (n > 0);
    return n;
}

enum kind { READS, READS_HALF /* a byte is there, and is not enough */, WRITES };
static const struct way {
    const char *name;
    ssize_t (*call)(rn_ctx *ctx, rn_conn *c);
    enum kind kind;
    bool datagrams;
    int reset; /* the result when the peer resets */
} ways[] = {
    {"read", by_read, READS, false, -ECONNRESET},
    {"readv", by_readv, READS, false, -ECONNRESET},
    {"read_full", by_read_full, READS_HALF, false, -ECONNRESET},
    {"wait_read", by_wait_read, READS, false, 0}, /* an error is something to read */
    {"recv_from", by_recv_from, READS, false, -ECONNRESET},
    {"recv_from of datagrams", by_recv_from, READS, true, 1 /* the kernel tells nobody */},
    {"write", by_write, WRITES, false, -ECONNRESET},
    {"writev", by_writev, WRITES, false, -ECONNRESET},
    {"send_file", by_send_file, WRITES, false, -ECONNRESET},
    {"send_to of datagrams", by_send_to, WRITES, true, -ECONNREFUSED},
};

static const struct cut {
    const char *name;
    enum { CONTEXT, CONTEXT_TIME, DEADLINE, CLOSE, RESET } how;
    int result;
} cuts[] = {
    {"its context", CONTEXT, -ECANCELED},
    {"its context's time", CONTEXT_TIME, -ETIMEDOUT},
    {"its deadline", DEADLINE, -ETIMEDOUT},
    {"a close", CLOSE, -ECANCELED},
    {"a reset", RESET, 0},
};

static struct ends ends_for(const struct way *w)
{
    struct ends e;
    int fds[2];

    if (!w->datagrams)
        return ends_on(TCP4);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
    CHECK_EQ(rn_conn_adopt(fds[0], &e.client), 0);
    CHECK_EQ(rn_conn_adopt(fds[1], &e.server), 0);
    return e;
}

static void calls(const struct way *w, rn_ctx *ctx, rn_conn *c, rn_send_only(ssize_t) out)
{
    rn_send(out, w->call(ctx, c));
}

static void reset(rn_conn *c)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};

    CHECK_EQ(setsockopt(rn_conn_fd(c), SOL_SOCKET, SO_LINGER, &none, sizeof none), 0);
    rn_conn_close(c);
}

static void expect(const struct way *w, const struct cut *t, ssize_t n, ssize_t expected)
{
    if (n != expected)
        test_fail(__FILE__, __LINE__, "%s, cut by %s: %zd, not %zd", w->name, t->name, n, expected);
}

static void try_cut(const struct way *w, const struct cut *t)
{
    rn_chan(ssize_t) ch = rn_chan_make(ssize_t, 1);
    rn_ctx *ctx = t->how == CONTEXT_TIME
                      ? rn_ctx_with_timeout(rn_ctx_background(), 20 * RN_MILLISECOND)
                      : rn_ctx_with_cancel(rn_ctx_background());
    struct ends e = ends_for(w);
    ssize_t n;

    if (w->kind == READS_HALF)
        CHECK_EQ(rn_write(e.server, "x", 1), 1);
    rn_go(calls, w, ctx, e.client, ch);
    if (w->kind == WRITES && t->how != CONTEXT_TIME)
        AWAIT(rn_conn_sent(e.client) > 0);
    test_let_run();
    if (t->how != CONTEXT_TIME)
        CHECK_EQ(rn_len(ch), 0);
    switch (t->how) {
    case CONTEXT:
        rn_ctx_cancel(ctx);
        break;
    case CONTEXT_TIME:
        break;
    case DEADLINE:
        CHECK_EQ(rn_set_deadline(e.client, 1), 0);
        break;
    case CLOSE:
        rn_conn_cancel(e.client);
        break;
    case RESET:
        if (w->datagrams)
            rn_conn_close(e.server);
        else
            reset(e.server);
        break;
    }
    AWAIT(rn_len(ch) == 1);
    n = rn_recv(ch);
    if (t->how == RESET)
        expect(w, t, n == -EPIPE && w->kind == WRITES ? -ECONNRESET : n, w->reset);
    else
        expect(w, t, n, t->result);

    /* What has ended is not begun, although it could be done. */
    if (t->how != RESET && t->how != CLOSE)
        CHECK_EQ(rn_write(e.server, "xy", 2), 2);
    if (t->how != RESET)
        expect(w, t, w->call(ctx, e.client), t->result);
    /* The connection is none the worse. */
    if (t->how == DEADLINE)
        CHECK_EQ(rn_set_deadline(e.client, 0), 0);
    if (t->how != RESET && t->how != CLOSE && w->kind != WRITES)
        CHECK(w->call(NULL, e.client) >= 0);
    rn_ctx_end(ctx);
    rn_conn_close(e.client);
    if (t->how != RESET)
        rn_conn_close(e.server);
    rn_chan_release(ch);
}

GO_TEST(every_call_is_cut_short)
{
    char name[] = "/tmp/runnel-cut-XXXXXX";

    big_file = mkstemp(name);
    CHECK(big_file >= 0);
    unlink(name);
    CHECK_EQ(ftruncate(big_file, BIG), 0);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        for (size_t k = 0; k < sizeof cuts / sizeof *cuts; k++)
            if (cuts[k].how != RESET || ways[i].reset <= 0)
                try_cut(&ways[i], &cuts[k]);
    close(big_file);
}

/* A listener's calls, and a connection that was reset before anybody accepted it: the reset is the first read's to tell. */
static void accepts(rn_ctx *ctx, rn_listener *l, rn_send_only(ssize_t) out)
{
    rn_conn *c = NULL;
    int err = rn_accept_ctx(ctx, l, &c);

    rn_conn_close(c);
    rn_send(out, err);
}
GO_TEST(accept_is_cut_short)
{
    for (size_t k = 0; k < sizeof cuts / sizeof *cuts - 1; k++) {
        const struct cut *t = &cuts[k];
        rn_chan(ssize_t) ch = rn_chan_make(ssize_t, 1);
        rn_ctx *ctx = t->how == CONTEXT_TIME
                          ? rn_ctx_with_timeout(rn_ctx_background(), 20 * RN_MILLISECOND)
                          : rn_ctx_with_cancel(rn_ctx_background());
        char at[RN_ADDR_TEXT];
        rn_listener *l = listen_any(TCP4, at);
        rn_conn *c;

        rn_go(accepts, ctx, l, ch);
        test_let_run();
        if (t->how == CONTEXT)
            rn_ctx_cancel(ctx);
        if (t->how == DEADLINE)
            CHECK_EQ(rn_listener_set_deadline(l, 1), 0);
        if (t->how == CLOSE)
            rn_listener_cancel(l);
        AWAIT(rn_len(ch) == 1);
        CHECK_EQ(rn_recv(ch), t->result);
        if (t->how != CLOSE) {
            rn_conn *client = dial_ok(TCP4, at);

            CHECK_EQ(rn_accept_ctx(ctx, l, &c), t->result); /* although somebody is there */
            CHECK_EQ(rn_listener_set_deadline(l, 0), 0);
            reset(client);
            CHECK_EQ(rn_accept(l, &c), 0);
            CHECK_EQ(rn_read(c, at, 1), -ECONNRESET);
            rn_conn_close(c);
        }
        rn_ctx_end(ctx);
        rn_listener_close(l);
        rn_chan_release(ch);
    }
}
