/* SPDX-License-Identifier: MIT */
/*
 * stream.c - connections: reading, writing, ends of all kinds, on each network.
 */
#define _GNU_SOURCE
#include "net.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define EACH_NETWORK(n) for (enum network n = TCP4; n < NETWORKS; n++)

static void echo(rn_conn *c)
{
    char buf[16384];
    ssize_t n;

    while ((n = rn_read(c, buf, sizeof buf)) > 0)
        CHECK_EQ(rn_write(c, buf, (size_t)n), n);
    CHECK_EQ(n, 0);
    rn_conn_close(c);
}

static void serve_echo(rn_listener *l)
{
    rn_conn *c;
    int err;

    while ((err = rn_accept(l, &c)) == 0)
        rn_go(echo, c);
    CHECK_EQ(err, -ECANCELED);
}

GO_TEST(echo_on_every_network)
{
    EACH_NETWORK(n)
    {
        char at[RN_ADDR_TEXT], text[RN_ADDR_TEXT];
        rn_listener *l = listen_any(n, at);
        rn_conn *c;
        rn_addr a;
        rn_wg wg = {0};

        if (!l)
            continue;
        rn_wg_go(&wg, serve_echo, l);
        c = dial_ok(n, at);
        CHECK_EQ(rn_remote_addr(c, &a), 0);
        CHECK(rn_addr_text(&a, text, sizeof text) > 0);
        CHECK_STR(text, at);
        CHECK_EQ(rn_local_addr(c, &a), 0);
        CHECK_EQ(rn_addr_text(&a, text, sizeof text) == 0, n >= UNIX_PATH);
        rn_go(write_pattern, c, 1000000);
        read_pattern(c, 1000000);
        AWAIT(rn_conn_sent(c) == 1000000);
        CHECK_EQ(rn_close_write(c), 0);
        expect_end(c);
        rn_conn_close(c);
        rn_listener_close(l);
        rn_wg_wait(&wg);
        if (n == UNIX_PATH)
            CHECK(access(at, F_OK) != 0);
    }
}

/* TCP_NODELAY and keep-alive, of both ends. */
GO_TEST(options_as_promised)
{
    struct ends e = ends_on(TCP4);

    for (int i = 0; i < 2; i++) {
        int fd = rn_conn_fd(i ? e.client : e.server);
        const int want[][3] = {{IPPROTO_TCP, TCP_NODELAY, 1},
                               {SOL_SOCKET, SO_KEEPALIVE, 1},
                               {IPPROTO_TCP, TCP_KEEPIDLE, 15},
                               {IPPROTO_TCP, TCP_KEEPINTVL, 15},
                               {IPPROTO_TCP, TCP_KEEPCNT, 9}};

        for (int k = 0; k < 5; k++) {
            int value = -1;
            socklen_t size = sizeof value;

            CHECK_EQ(getsockopt(fd, want[k][0], want[k][1], &value, &size), 0);
            CHECK_EQ(value, want[k][2]);
        }
    }
    ends_close(e);
}

/* Half-close: one direction ends, the other goes on, both ways round. */
GO_TEST(half_close)
{
    EACH_NETWORK(n)
    {
        char at[RN_ADDR_TEXT], b;
        rn_listener *l = listen_any(n, at);
        struct ends e;

        if (!l)
            continue;
        for (int way = 0; way < 2; way++) {
            rn_conn *one, *other;

            e = ends_new(l, n, at);
            one = way ? e.client : e.server;
            other = way ? e.server : e.client;
            rn_go(write_pattern, one, 300000);
            read_pattern(other, 300000);
            AWAIT(rn_conn_sent(one) == 300000);
            CHECK_EQ(rn_close_write(one), 0);
            expect_end(other);
            expect_end(other);
            CHECK_EQ(rn_write(one, "x", 1), -EPIPE);
            rn_go(write_pattern, other, 300000);
            read_pattern(one, 300000);
            CHECK_EQ(rn_close_read(one), 0);
            CHECK_EQ(rn_read(one, &b, 1), 0);
            AWAIT(rn_conn_sent(other) == 300000);
            rn_settle(RN_MINUTE);
            ends_close(e);
        }
        rn_listener_close(l);
    }
}

/* rn_close_read ends a read that waits. */
static void read_into(rn_ctx *ctx, rn_conn *c, rn_send_only(ssize_t) out)
{
    char b;

    rn_send(out, rn_read_ctx(ctx, c, &b, 1));
}
static void write_into(rn_ctx *ctx, rn_conn *c, size_t size, rn_send_only(ssize_t) out)
{
    char *buf = calloc(1, size);

    rn_send(out, rn_write_ctx(ctx, c, buf, size));
    free(buf);
}
static void accept_into(rn_ctx *ctx, rn_listener *l, rn_send_only(ssize_t) out)
{
    rn_conn *c = NULL;
    int err = rn_accept_ctx(ctx, l, &c);

    rn_conn_close(c);
    rn_send(out, err);
}
static void dial_into(rn_ctx *ctx, const char *network, const char *at, rn_send_only(ssize_t) out)
{
    rn_conn *c = NULL;
    int err = rn_dial_ctx(ctx, network, at, &c);

    rn_conn_close(c);
    rn_send(out, err);
}
GO_TEST(close_read_ends_a_read)
{
    rn_chan(ssize_t) ch = rn_chan_make(ssize_t, 1);

    EACH_NETWORK(n)
    {
        char at[RN_ADDR_TEXT];
        rn_listener *l = listen_any(n, at);
        struct ends e;

        if (!l)
            continue;
        e = ends_new(l, n, at);
        rn_go(read_into, (rn_ctx *)NULL, e.client, ch);
        test_let_run();
        CHECK_EQ(rn_len(ch), 0);
        CHECK_EQ(rn_close_read(e.client), 0);
        CHECK_EQ(rn_recv(ch), 0);
        ends_close(e);
        rn_listener_close(l);
    }
    rn_chan_release(ch);
}

/* The peer resets: reads and writes say so, those that wait too, and no signal comes. */
static void reset(rn_conn *c)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};

    CHECK_EQ(setsockopt(rn_conn_fd(c), SOL_SOCKET, SO_LINGER, &none, sizeof none), 0);
    rn_conn_close(c);
}
GO_TEST(peer_resets)
{
    rn_chan(ssize_t) ch = rn_chan_make(ssize_t, 1);
    struct ends e = ends_on(TCP4);
    ssize_t n;
    char b;

    signal(SIGPIPE, SIG_DFL);
    reset(e.server);
    CHECK_EQ(rn_read(e.client, &b, 1), -ECONNRESET);
    CHECK_EQ(rn_write(e.client, "x", 1), -EPIPE);
    rn_conn_close(e.client);

    e = ends_on(TCP4);
    rn_go(read_into, (rn_ctx *)NULL, e.client, ch);
    test_let_run();
    CHECK_EQ(rn_len(ch), 0);
    reset(e.server);
    CHECK_EQ(rn_recv(ch), -ECONNRESET);
    rn_conn_close(e.client);

    e = ends_on(TCP4);
    rn_go(write_into, (rn_ctx *)NULL, e.client, 100000000, ch);
    test_let_run();
    CHECK_EQ(rn_len(ch), 0);
    reset(e.server);
    n = rn_recv(ch);
    CHECK(n == -ECONNRESET || n == -EPIPE);
    rn_conn_close(e.client);

    /* The peer closed in order; what is sent to it then is answered by a reset. */
    for (int k = TCP4; k < NETWORKS; k += 2) {
        e = ends_on((enum network)k);
        rn_conn_close(e.server);
        expect_end(e.client);
        do
            n = rn_write(e.client, "x", 1);
        while (n == 1);
        CHECK(n == -EPIPE || n == -ECONNRESET);
        rn_conn_close(e.client);
    }
    rn_chan_release(ch);
}

/* A slow reader: the write waits for room, and goes on when there is some. */
GO_TEST(slow_reader)
{
    EACH_NETWORK(n)
    {
        enum { SIZE = 20000000 };
        rn_chan(ssize_t) ch = rn_chan_make(ssize_t, 1);
        char at[RN_ADDR_TEXT];
        rn_listener *l = listen_any(n, at);
        char *buf = malloc(100000);
        uint64_t before;
        struct ends e;
        size_t got = 0;

        if (l) {
            e = ends_new(l, n, at);
            rn_go(write_into, (rn_ctx *)NULL, e.client, SIZE, ch);
            do {
                before = rn_conn_sent(e.client);
                rn_sleep(10 * RN_MILLISECOND);
            } while (rn_conn_sent(e.client) != before || before == 0);
            CHECK_EQ(rn_len(ch), 0);
            CHECK(before < SIZE);
            while (got < SIZE) {
                ssize_t k = rn_read(e.server, buf, 100000);

                CHECK(k > 0);
                got += (size_t)k;
            }
            CHECK_EQ(rn_recv(ch), SIZE);
            CHECK_EQ(rn_conn_sent(e.client), SIZE);
            ends_close(e);
            rn_listener_close(l);
        }
        free(buf);
        rn_chan_release(ch);
    }
}

/* Each write goes out as a whole, although many wait for room at the same time. */
enum { BLOCK = 200000 };
static void write_blocks(rn_conn *c, char fill, int times)
{
    char *buf = malloc(BLOCK);
    struct iovec iov[100];

    memset(buf, fill, BLOCK);
    for (int i = 0; i < 100; i++)
        iov[i] = (struct iovec){buf + i * (BLOCK / 100), BLOCK / 100};
    for (int i = 0; i < times; i++)
        CHECK_EQ(i % 2 ? rn_write(c, buf, BLOCK) : rn_writev(c, iov, 100), BLOCK);
    free(buf);
}
GO_TEST(writes_are_whole)
{
    enum { WRITERS = 10 };
    struct ends e = ends_on(UNIX_PATH);
    int times = test_times(20), seen[WRITERS] = {0};
    char *buf = malloc(BLOCK);
    rn_wg wg = {0};

    for (int i = 0; i < WRITERS; i++)
        rn_wg_go(&wg, write_blocks, e.client, (char)('a' + i), times);
    for (int i = 0; i < WRITERS * times; i++) {
        CHECK_EQ(rn_read_full(e.server, buf, BLOCK), BLOCK);
        for (int k = 1; k < BLOCK; k++)
            CHECK_EQ(buf[k], buf[0]);
        seen[buf[0] - 'a']++;
    }
    for (int i = 0; i < WRITERS; i++)
        CHECK_EQ(seen[i], times);
    rn_wg_wait(&wg);
    free(buf);
    ends_close(e);
}

/* Lists of buffers: empty ones among them, more than the kernel takes at once, none. */
GO_TEST(lists_of_buffers)
{
    EACH_NETWORK(n)
    {
        enum { PARTS = 500 };
        struct iovec iov[PARTS], in[7];
        char *buf = malloc(1000000), *back = calloc(1, 1000000), at[RN_ADDR_TEXT];
        rn_listener *l = listen_any(n, at);
        size_t size = 0, got = 0;
        struct ends e;

        if (l) {
            e = ends_new(l, n, at);
            for (int i = 0; i < PARTS; i++) {
                iov[i] = (struct iovec){buf + size, (size_t)(i % 7 * 300)};
                size += iov[i].iov_len;
            }
            for (size_t i = 0; i < size; i++)
                buf[i] = pattern(i);
            CHECK_EQ(rn_writev(e.client, iov, 0), 0);
            CHECK_EQ(rn_writev(e.client, iov, 1), 0);
            CHECK_EQ(rn_writev(e.client, iov, -1), -EINVAL);
            rn_go(rn_writev, e.client, (const struct iovec *)iov, PARTS);
            while (got < size) {
                ssize_t k;

                for (int i = 0; i < 7; i++)
                    in[i] = (struct iovec){back + got + i * 1000,
                                           i == 6 && got + 7000 > size ? 0 : 1000};
                k = rn_readv(e.server, in, 7);
                CHECK(k > 0);
                got += (size_t)k;
            }
            CHECK_EQ(got, size);
            CHECK(memcmp(buf, back, size) == 0);
            CHECK_EQ(rn_readv(e.server, in, -1), -EINVAL);
            rn_settle(RN_MINUTE);
            ends_close(e);
            rn_listener_close(l);
        }
        free(buf);
        free(back);
    }
}

GO_TEST(read_full_and_nothing)
{
    struct ends e = ends_on(TCP4);
    char buf[10];

    CHECK_EQ(rn_read(e.client, buf, 0), 0);
    CHECK_EQ(rn_write(e.client, buf, 0), 0);
    CHECK_EQ(rn_write(e.server, "0123456789ABC", 13), 13);
    CHECK_EQ(rn_read_full(e.client, buf, 10), 10);
    CHECK_EQ(memcmp(buf, "0123456789", 10), 0);
    CHECK_EQ(rn_close_write(e.server), 0);
    CHECK_EQ(rn_read_full(e.client, buf, 10), -EIO);
    CHECK_EQ(rn_read_full(e.client, buf, 10), 0);
    ends_close(e);
}

/* ---- Being closed on this side --------------------------------------------------------------------- */

enum { MANY = 20 };

/* A close wakes all who read, write, wait for their turn to write, or accept; later calls get the same. */
/* Each form with a context does what the one without does; with one that has ended it moves nothing. */
GO_TEST(forms_with_a_context)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background()), *ended = rn_ctx_with_cancel(ctx);
    char path[] = "/tmp/runnel-stream-XXXXXX", three[] = "abc", two[] = "de", a[3], b[8];
    const struct iovec out[] = {{three, 3}, {two, 2}}, in[] = {{a, 3}, {b, 8}};
    struct ends e = ends_on(TCP4);
    int fd = mkstemp(path);
    rn_conn *here, *there;
    rn_addr at, from;

    CHECK(fd >= 0 && write(fd, "a file", 6) == 6 && unlink(path) == 0);
    rn_ctx_cancel(ended);

    CHECK_EQ(rn_writev_ctx(ended, e.client, out, 2), -ECANCELED);
    CHECK_EQ(rn_writev_ctx(ctx, e.client, out, 2), 5);
    CHECK_EQ(rn_readv_ctx(ended, e.server, in, 2), -ECANCELED);
    CHECK_EQ(rn_readv_ctx(ctx, e.server, in, 2), 5);
    CHECK(memcmp(a, "abc", 3) == 0 && memcmp(b, "de", 2) == 0);

    CHECK_EQ(rn_send_file_ctx(ended, e.client, fd, 2, 4), -ECANCELED);
    CHECK_EQ(rn_send_file_ctx(ctx, e.client, fd, 2, 4), 4);
    CHECK_EQ(rn_read_full_ctx(ended, e.server, b, 4), -ECANCELED);
    CHECK_EQ(rn_read_full_ctx(ctx, e.server, b, 4), 4);
    CHECK(memcmp(b, "file", 4) == 0);
    CHECK_EQ(rn_conn_sent(e.client), 9);
    close(fd);
    ends_close(e);

    CHECK_EQ(rn_bind("udp4", "127.0.0.1:0", &here), 0);
    CHECK_EQ(rn_bind("udp4", "127.0.0.1:0", &there), 0);
    CHECK_EQ(rn_local_addr(there, &at), 0);
    CHECK_EQ(rn_send_to_ctx(ended, here, "no", 2, &at), -ECANCELED);
    CHECK_EQ(rn_send_to_ctx(ctx, here, "yes", 3, &at), 3);
    CHECK_EQ(rn_recv_from_ctx(ended, there, b, 8, &from), -ECANCELED);
    CHECK_EQ(rn_recv_from_ctx(ctx, there, b, 8, &from), 3);
    CHECK(memcmp(b, "yes", 3) == 0);
    CHECK_EQ(rn_local_addr(here, &at), 0);
    CHECK(rn_addr_equal(&at, &from));
    rn_conn_close(here);
    rn_conn_close(there);
    rn_ctx_end(ended);
    rn_ctx_end(ctx);
}

GO_TEST(close_wakes_all)
{
    EACH_NETWORK(n)
    {
        rn_chan(ssize_t) ch = rn_chan_make(ssize_t, 3 * MANY);
        char at[RN_ADDR_TEXT], b;
        rn_listener *l = listen_any(n, at);
        struct ends e;
        rn_addr a;

        if (!l) {
            rn_chan_release(ch);
            continue;
        }
        e = ends_new(l, n, at);
        rn_listener_retain(l);
        rn_conn_retain(e.client);
        for (int i = 0; i < MANY; i++) {
            rn_go(read_into, (rn_ctx *)NULL, e.client, ch);
            rn_go(write_into, (rn_ctx *)NULL, e.client, 10000000, ch);
            rn_go(accept_into, (rn_ctx *)NULL, l, ch);
        }
        AWAIT(rn_conn_sent(e.client) > 0);
        test_let_run();
        CHECK_EQ(rn_len(ch), 0);
        rn_conn_close(e.client);
        rn_listener_close(l);
        for (int i = 0; i < 3 * MANY; i++)
            CHECK_EQ(rn_recv(ch), -ECANCELED);
        CHECK_EQ(rn_read(e.client, &b, 1), -ECANCELED);
        CHECK_EQ(rn_write(e.client, &b, 1), -ECANCELED);
        CHECK_EQ(rn_set_deadline(e.client, 1), -ECANCELED);
        CHECK_EQ(rn_close_write(e.client), -ECANCELED);
        CHECK_EQ(rn_local_addr(e.client, &a), -ECANCELED);
        CHECK_EQ(rn_conn_fd(e.client), -1);
        CHECK_EQ(rn_accept(l, &e.server), -ECANCELED);
        CHECK_EQ(rn_listener_fd(l), -1);
        rn_conn_cancel(e.client);
        rn_conn_release(e.client);
        rn_listener_cancel(l);
        rn_listener_release(l);
        rn_conn_close(e.server);
        rn_chan_release(ch);
    }
    rn_conn_close(NULL);
    rn_conn_cancel(NULL);
    rn_conn_release(NULL);
    rn_listener_close(NULL);
    rn_listener_cancel(NULL);
    rn_listener_release(NULL);
}

/* The last reference closes; the peer sees the end. */
GO_TEST(last_release_closes)
{
    struct ends e = ends_on(TCP4);

    rn_conn_retain(e.client);
    rn_conn_release(e.client);
    CHECK_EQ(rn_write(e.client, "x", 1), 1);
    rn_conn_release(e.client);
    CHECK_EQ(rn_read_full(e.server, (char[2]){0}, 2), -EIO);
    rn_conn_close(e.server);
}

/* A number is another connection's at once: who read from the old one sees nothing of the new. */
static void reader_of_old(rn_conn *c, rn_send_only(ssize_t) out)
{
    char b = 0;

    rn_send(out, rn_read(c, &b, 1));
    rn_conn_release(c);
}
GO_TEST(number_reused_while_waiting)
{
    rn_chan(ssize_t) ch = rn_chan_make(ssize_t, 4);
    char at[RN_ADDR_TEXT];
    rn_listener *l = listen_any(UNIX_ABSTRACT, at);
    int reused = 0;

    for (int i = 0; i < test_times(3000); i++) {
        struct ends e = ends_new(l, UNIX_ABSTRACT, at), f;
        int fd = rn_conn_fd(e.client);

        /* Readers that wait, or just begin, or begin when the number is another's: then it was free at once. */
        for (int k = 0; k < 4; k++)
            rn_conn_retain(e.client);
        for (int k = 0; k < 4 && i % 3 != 0; k++)
            rn_go(reader_of_old, e.client, ch);
        if (i % 3 == 1)
            rn_yield();
        rn_conn_close(e.client);
        f = ends_new(l, UNIX_ABSTRACT, at);
        reused += rn_conn_fd(f.client) == fd;
        for (int k = 0; k < 4 && i % 3 == 0; k++)
            rn_go(reader_of_old, e.client, ch);
        CHECK_EQ(rn_write(f.server, "y", 1), 1);
        for (int k = 0; k < 4; k++)
            CHECK_EQ(rn_recv(ch), -ECANCELED);
        CHECK_EQ(rn_read(f.client, (char[1]){0}, 1), 1);
        ends_close(f);
        rn_conn_close(e.server);
    }
    CHECK(reused > 0);
    rn_listener_close(l);
    rn_chan_release(ch);
}

/* ---- Contexts ---------------------------------------------------------------------------------------- */

/* In the middle of a read, a write, an accept and a dial. */
enum { BACKLOG_MAX = 200 };
static int fill_backlog(const char *at, rn_ctx *ctx, rn_conn *c[BACKLOG_MAX])
{
    int n = 0;

    /* Full when a dial is not answered any more. */
    for (; n < BACKLOG_MAX; n++) {
        rn_ctx *soon = rn_ctx_with_timeout(ctx, 300 * RN_MILLISECOND);
        int err = rn_dial_ctx(soon, at[0] == '@' ? "unix" : "tcp", at, &c[n]);

        rn_ctx_end(soon);
        if (err == -ETIMEDOUT)
            break;
        CHECK_EQ(err, 0);
    }
    CHECK(n < BACKLOG_MAX);
    return n;
}
GO_TEST(context_cancels)
{
    enum network all[] = {TCP4, UNIX_ABSTRACT};

    for (int i = 0; i < 2; i++) {
        enum network n = all[i];
        rn_chan(ssize_t) ch = rn_chan_make(ssize_t, 4);
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
        char at[RN_ADDR_TEXT], full_at[RN_ADDR_TEXT], b;
        rn_listener *l = listen_any(n, at), *full;
        struct ends e = ends_new(l, n, at);
        rn_conn *filler[BACKLOG_MAX];
        int fillers;
        rn_addr addr;

        if (n == TCP4)
            snprintf(full_at, sizeof full_at, "127.0.0.1:0");
        else
            snprintf(full_at, sizeof full_at, "@runnel-full-%d", (int)getpid());
        CHECK_EQ(
            rn_listen_with(network_name[n], full_at, &(rn_listen_options){.backlog = 1}, &full), 0);
        CHECK_EQ(rn_listener_addr(full, &addr), 0);
        CHECK(rn_addr_text(&addr, full_at, sizeof full_at) > 0);
        fillers = fill_backlog(full_at, ctx, filler);

        rn_go(read_into, ctx, e.client, ch);
        rn_go(write_into, ctx, e.client, 100000000, ch);
        rn_go(accept_into, ctx, l, ch);
        rn_go(dial_into, ctx, network_name[n], (const char *)full_at, ch);
        AWAIT(rn_conn_sent(e.client) > 0);
        test_let_run();
        CHECK_EQ(rn_len(ch), 0);
        rn_ctx_cancel(ctx);
        for (int k = 0; k < 4; k++)
            CHECK_EQ(rn_recv(ch), -ECANCELED);

        /* It had ended before: nothing is tried. The connection is as good as before. */
        CHECK_EQ(rn_write(e.server, "x", 1), 1);
        CHECK_EQ(rn_read_ctx(ctx, e.client, &b, 1), -ECANCELED);
        CHECK_EQ(rn_write_ctx(ctx, e.client, &b, 1), -ECANCELED);
        CHECK_EQ(rn_dial_ctx(ctx, network_name[n], at, &e.client), -ECANCELED);
        CHECK_EQ(rn_read(e.client, &b, 1), 1);
        rn_ctx_end(ctx);
        ends_close(e);
        rn_listener_close(l);
        rn_listener_close(full);
        while (fillers > 0)
            rn_conn_close(filler[--fillers]);
        rn_chan_release(ch);
    }
}

/* Many contexts end while data come: every byte is read once, by whomever. */
static void cancel_soon(rn_ctx *ctx, int spins)
{
    for (volatile int i = 0; i < spins; i++)
        ;
    rn_ctx_end(ctx);
}
GO_TEST(context_races_with_data)
{
    struct ends e = ends_on(UNIX_PATH);
    rn_wg wg = {0};
    unsigned seed = 1;
    int got = 0, rounds = test_times(10000);

    for (int i = 0; i < rounds; i++) {
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
        ssize_t n;
        char b;

        rn_wg_go(&wg, cancel_soon, rn_ctx_retain(ctx), rand_r(&seed) % 1000);
        rn_go(rn_write, e.server, (const void *)"x", (size_t)1);
        n = rn_read_ctx(ctx, e.client, &b, 1);
        CHECK(n == 1 || n == -ECANCELED);
        got += n == 1;
        rn_ctx_release(ctx);
    }
    rn_wg_wait(&wg);
    for (; got < rounds; got++)
        CHECK_EQ(rn_read(e.client, (char[1]){0}, 1), 1);
    rn_settle(RN_MINUTE);
    CHECK_EQ(rn_conn_sent(e.server), rounds);
    ends_close(e);
}

/* ---- Deadlines --------------------------------------------------------------------------------------- */

GO_TEST(deadline_in_the_past)
{
    struct ends e = ends_on(TCP4);
    char b;

    CHECK_EQ(rn_write(e.server, "xy", 2), 2);
    CHECK_EQ(rn_set_read_deadline(e.client, rn_now() - RN_SECOND), 0);
    CHECK_EQ(rn_read(e.client, &b, 1), -ETIMEDOUT); /* although there is something */
    CHECK_EQ(rn_write(e.client, "x", 1), 1);        /* the other direction has none */
    CHECK_EQ(rn_set_deadline(e.client, 1), 0);
    CHECK_EQ(rn_write(e.client, "x", 1), -ETIMEDOUT);
    CHECK_EQ(rn_set_read_deadline(e.client, 0), 0);
    CHECK_EQ(rn_read(e.client, &b, 1), 1);
    CHECK_EQ(rn_write(e.client, "x", 1), -ETIMEDOUT);
    CHECK_EQ(rn_set_write_deadline(e.client, rn_now() + RN_HOUR), 0);
    CHECK_EQ(rn_write(e.client, "x", 1), 1);
    CHECK_EQ(rn_read(e.client, &b, 1), 1); /* nothing was lost */
    ends_close(e);
}

/* A deadline passes while calls wait; one set meanwhile counts for them. */
GO_TEST(deadline_passes)
{
    rn_chan(ssize_t) ch = rn_chan_make(ssize_t, 2 * MANY + 1);
    char at[RN_ADDR_TEXT];
    rn_listener *l = listen_any(TCP4, at);
    struct ends e = ends_new(l, TCP4, at);
    rn_time start = rn_now();
    rn_conn *c;

    CHECK_EQ(rn_set_deadline(e.client, rn_now() + 20 * RN_MILLISECOND), 0);
    CHECK_EQ(rn_listener_set_deadline(l, rn_now() + 20 * RN_MILLISECOND), 0);
    for (int i = 0; i < MANY; i++) {
        rn_go(read_into, (rn_ctx *)NULL, e.client, ch);
        rn_go(write_into, (rn_ctx *)NULL, e.client, 10000000, ch);
    }
    rn_go(accept_into, (rn_ctx *)NULL, l, ch);
    for (int i = 0; i < 2 * MANY + 1; i++)
        CHECK_EQ(rn_recv(ch), -ETIMEDOUT);
    CHECK(rn_now() - start >= 20 * RN_MILLISECOND);
    CHECK_EQ(rn_accept(l, &c), -ETIMEDOUT);
    CHECK_EQ(rn_listener_set_deadline(l, 0), 0);

    /* None, then one in the past. */
    CHECK_EQ(rn_set_deadline(e.client, 0), 0);
    rn_go(read_into, (rn_ctx *)NULL, e.client, ch);
    rn_go(accept_into, (rn_ctx *)NULL, l, ch);
    test_let_run();
    CHECK_EQ(rn_len(ch), 0);
    CHECK_EQ(rn_set_read_deadline(e.client, 1), 0);
    CHECK_EQ(rn_recv(ch), -ETIMEDOUT);
    CHECK_EQ(rn_listener_set_deadline(l, 1), 0);
    CHECK_EQ(rn_recv(ch), -ETIMEDOUT);

    /* Soon, then put off: it does not pass. */
    CHECK_EQ(rn_set_read_deadline(e.client, rn_now() + 50 * RN_MILLISECOND), 0);
    rn_go(read_into, (rn_ctx *)NULL, e.client, ch);
    CHECK_EQ(rn_set_read_deadline(e.client, rn_now() + RN_HOUR), 0);
    rn_sleep(100 * RN_MILLISECOND);
    CHECK_EQ(rn_len(ch), 0);
    CHECK_EQ(rn_write(e.server, "x", 1), 1);
    CHECK_EQ(rn_recv(ch), 1);
    ends_close(e);
    rn_listener_close(l);
    rn_chan_release(ch);
}

/*
 * One message wakes all who read; before they look, the connection is closed, or its time passes. One has the message, and
 * the others, who would go back to wait, are told: whoever tells those who wait has been there already.
 */
static void end_before_they_look(rn_conn *c, rn_conn *ended, bool by_close)
{
    char b;

    CHECK_EQ(rn_read(c, &b, 1), 1);
    if (by_close)
        rn_conn_cancel(ended);
    else
        CHECK_EQ(rn_set_read_deadline(ended, 1), 0);
}
GO_TEST_PROCS(woken_too_late, 1)
{
    for (int by_close = 0; by_close <= 1; by_close++) {
        struct ends first = ends_on(TCP4), e;
        rn_chan(ssize_t) ch = rn_chan_make(ssize_t, MANY);
        int had = 0;

        /* A pipe does not tell its readers that it is closed: only the library can. */
        CHECK_EQ(rn_pipe(&e.client, &e.server), 0);
        rn_go(end_before_they_look, first.client, e.client, (bool)by_close);
        for (int i = 0; i < MANY; i++)
            rn_go(read_into, (rn_ctx *)NULL, e.client, ch);
        test_let_run();
        /* Past the library, so that nobody runs in between: with one processor the first is woken first. */
        CHECK_EQ(write(rn_conn_fd(first.server), "x", 1), 1);
        CHECK_EQ(write(rn_conn_fd(e.server), "x", 1), 1);
        for (int i = 0; i < MANY; i++) {
            ssize_t n = rn_recv(ch);

            had += n == 1;
            CHECK(n == 1 || n == (by_close ? -ECANCELED : -ETIMEDOUT));
        }
        CHECK(had <= 1); /* none, if they were ended before they were woken */
        rn_settle(RN_MINUTE);
        ends_close(first);
        ends_close(e);
        rn_chan_release(ch);
    }
}

/* Deadlines set by many at the same time, while data flow: a read gets data or its time. */
static void set_deadlines(rn_conn *c, _Atomic bool *stop)
{
    while (!*stop) {
        CHECK_EQ(rn_set_read_deadline(c, rn_now() + RN_MICROSECOND * 50), 0);
        rn_yield();
        CHECK_EQ(rn_set_read_deadline(c, 0), 0);
        rn_yield();
    }
}
GO_TEST(deadlines_race_with_data)
{
    struct ends e = ends_on(UNIX_PATH);
    _Atomic bool stop = false;
    size_t size = (size_t)test_times(1000000), got = 0;
    char buf[100];

    rn_go(set_deadlines, e.client, &stop);
    rn_go(set_deadlines, e.client, &stop);
    rn_go(write_pattern, e.server, size);
    while (got < size) {
        ssize_t n = rn_read(e.client, buf, sizeof buf);

        CHECK(n > 0 || n == -ETIMEDOUT);
        for (ssize_t k = 0; k < n; k++)
            CHECK_EQ(buf[k], pattern(got + (size_t)k));
        got += n > 0 ? (size_t)n : 0;
    }
    stop = true;
    rn_settle(RN_MINUTE);
    ends_close(e);
}

/* ---- Accepting ----------------------------------------------------------------------------------------- */

/* No descriptor is left: accept waits until one is free, and can be ended meanwhile. */
GO_TEST(accept_without_descriptors)
{
    enum { CLIENTS = 12 };
    rn_chan(ssize_t) ch = rn_chan_make(ssize_t, 1);
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    char at[RN_ADDR_TEXT];
    rn_listener *l = listen_any(TCP4, at);
    rn_conn *clients[CLIENTS], *servers[CLIENTS];
    struct rlimit old, few;
    int highest = 0, n = 0;

    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = dial_ok(TCP4, at);
        if (rn_conn_fd(clients[i]) > highest)
            highest = rn_conn_fd(clients[i]);
    }
    CHECK_EQ(rn_accept(l, &servers[n++]), 0); /* so that the poller has its descriptors */
    CHECK_EQ(rn_wait_fd(rn_conn_fd(servers[0]), RN_WRITE, NULL), RN_WRITE);
    rn_go(accept_into, ctx, l, ch);
    (void)rn_recv(ch);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    few = old;
    few.rlim_cur = (rlim_t)highest + 5;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    rn_go(accept_into, ctx, l, ch);
    (void)rn_recv(ch);

    /* Until it waits: nothing else can hold it up, for clients are waiting. */
    for (;;) {
        rn_ctx *soon = rn_ctx_with_timeout(ctx, 200 * RN_MILLISECOND);
        int err = rn_accept_ctx(soon, l, &servers[n]);

        rn_ctx_end(soon);
        if (err) {
            CHECK_EQ(err, -ETIMEDOUT);
            break;
        }
        n++;
        CHECK(n < CLIENTS - 2);
    }
    CHECK_EQ(rn_listener_set_deadline(l, rn_now() + 20 * RN_MILLISECOND), 0);
    CHECK_EQ(rn_accept(l, &servers[n]), -ETIMEDOUT);
    CHECK_EQ(rn_listener_set_deadline(l, 0), 0);
    rn_go(accept_into, ctx, l, ch);
    rn_sleep(30 * RN_MILLISECOND);
    CHECK_EQ(rn_len(ch), 0);
    rn_conn_close(servers[--n]); /* one is free */
    CHECK_EQ(rn_recv(ch), 0);
    while (n > 0)
        rn_conn_close(servers[--n]);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    for (int i = 0; i < CLIENTS; i++)
        rn_conn_close(clients[i]);
    rn_ctx_end(ctx);
    rn_listener_close(l);
    rn_chan_release(ch);
}

/* All descriptors that the process may have are connections: who dials is told so, those that are there go on, nobody who got
 * through is lost, and what is given back serves again. */
struct crowd {
    rn_conn **conns;
    _Atomic int n;
};
static void crowd_accept(struct crowd *c, rn_listener *l)
{
    rn_conn *one;

    while (rn_accept(l, &one) == 0) {
        int n = c->n; /* gcc 12 reads an atomic index as if it were none */

        c->conns[n] = one;
        c->n = n + 1;
    }
}
static void crowd_leaves(struct crowd *c)
{
    for (int i = 0; i < c->n; i++)
        rn_conn_close(c->conns[i]);
    c->n = 0;
}
GO_TEST(every_descriptor_is_a_connection)
{
    enum { OTHERS = 64 };
    struct crowd dialled = {0}, accepted = {0};
    rn_wg wg = {0};
    char at[RN_ADDR_TEXT];
    rn_listener *l = listen_any(TCP4, at);
    struct rlimit old, most;
    int limit = test_is_slow() ? 2000 : 20000;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    most = old;
    if (most.rlim_max < (rlim_t)limit)
        limit = (int)most.rlim_max;
    most.rlim_cur = (rlim_t)limit;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &most), 0);
    dialled.conns = calloc((size_t)limit, sizeof *dialled.conns);
    accepted.conns = calloc((size_t)limit, sizeof *accepted.conns);
    CHECK(dialled.conns && accepted.conns);
    rn_wg_go(&wg, crowd_accept, &accepted, l);
    for (int round = 0; round < 2; round++) {
        rn_conn *one;
        char byte = 0;
        int err, all;

        while ((err = rn_dial("tcp4", at, &one)) == 0) {
            all = dialled.n;
            dialled.conns[all] = one;
            dialled.n = all + 1;
            AWAIT(accepted.n + OTHERS / 2 >= dialled.n); /* or all would be one side's */
        }
        CHECK_EQ(err, -EMFILE);
        AWAIT(dialled.n + accepted.n + OTHERS >= limit);
        CHECK_EQ(rn_write(dialled.conns[0], "?", 1), 1);
        CHECK_EQ(rn_read(accepted.conns[0], &byte, 1), 1); /* the first of the queue */
        CHECK_EQ(byte, '?');
        all = dialled.n;
        crowd_leaves(&dialled);
        AWAIT(accepted.n == all); /* those that waited in the queue, too */
        for (int i = 0; i < all; i++)
            expect_end(accepted.conns[i]);
        crowd_leaves(&accepted);
    }
    rn_listener_close(l);
    rn_wg_wait(&wg);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    free(dialled.conns);
    free(accepted.conns);
}

/* Several accept from one listener, several listeners share a port: each connection is accepted once. */
static void accept_count(rn_listener *l, _Atomic int *n)
{
    rn_conn *c;

    while (rn_accept(l, &c) == 0) {
        CHECK_EQ(rn_write(c, "!", 1), 1);
        rn_conn_close(c);
        ++*n;
    }
}
GO_TEST(many_accept)
{
    enum { LISTENERS = 3, ACCEPTORS = 5 };
    int dials = test_times(500);
    const rn_listen_options shared = {.reuse_port = true};
    rn_listener *l[LISTENERS];
    char at[RN_ADDR_TEXT];
    _Atomic int n = 0;
    rn_addr a;
    rn_wg wg = {0};

    CHECK_EQ(rn_listen_with("tcp", "127.0.0.1:0", &shared, &l[0]), 0);
    CHECK_EQ(rn_listener_addr(l[0], &a), 0);
    CHECK(rn_addr_text(&a, at, sizeof at) > 0);
    for (int i = 1; i < LISTENERS; i++)
        CHECK_EQ(rn_listen_with("tcp", at, &shared, &l[i]), 0);
    for (int i = 0; i < LISTENERS * ACCEPTORS; i++)
        rn_wg_go(&wg, accept_count, l[i % LISTENERS], &n);
    for (int i = 0; i < dials; i++) {
        rn_conn *c = dial_ok(TCP4, at);
        char b;

        CHECK_EQ(rn_read(c, &b, 1), 1);
        expect_end(c);
        rn_conn_close(c);
    }
    AWAIT(n == dials);
    for (int i = 0; i < LISTENERS; i++)
        rn_listener_close(l[i]);
    rn_wg_wait(&wg);
    /* The port is free. */
    CHECK_EQ(rn_listen("tcp", at, &l[0]), 0);
    CHECK_EQ(rn_listen("tcp", at, &l[1]), -EADDRINUSE);
    rn_listener_close(l[0]);
}

/* ---- In numbers ------------------------------------------------------------------------------------------ */

static void client(const char *at, int rounds, _Atomic uint64_t *sent, _Atomic uint64_t *received)
{
    rn_conn *c = dial_ok(TCP4, at);
    char out[64], in[64];

    for (int i = 0; i < rounds; i++) {
        memset(out, i, sizeof out);
        CHECK_EQ(rn_write(c, out, sizeof out), sizeof out);
        *sent += sizeof out;
        CHECK_EQ(rn_read_full(c, in, sizeof in), sizeof in);
        *received += sizeof in;
        CHECK_EQ(memcmp(in, out, sizeof in), 0);
    }
    CHECK_EQ(rn_close_write(c), 0);
    expect_end(c);
    rn_conn_close(c);
}
GO_TEST(thousands_echo)
{
    int clients = test_times(2000), rounds = 10;
    _Atomic uint64_t sent = 0, received = 0;
    char at[RN_ADDR_TEXT];
    rn_listener *l = listen_any(TCP4, at);
    struct rlimit r;
    rn_wg wg = {0}, server = {0};

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &r), 0);
    r.rlim_cur = r.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &r), 0);
    if (r.rlim_max < 5000)
        clients = 100;
    rn_wg_go(&server, serve_echo, l);
    for (int i = 0; i < clients; i++)
        rn_wg_go(&wg, client, (const char *)at, rounds, &sent, &received);
    rn_wg_wait(&wg);
    CHECK_EQ(sent, (uint64_t)clients * (uint64_t)rounds * 64);
    CHECK_EQ(received, sent);
    rn_listener_close(l);
    rn_wg_wait(&server);
}

/* Where more connections have something to read than one processor can serve, each gets its share of turns. */
struct turns {
    _Atomic int64_t all; /* round trips */
    int64_t most;        /* how many there are to be */
    int64_t *of;         /* each connection's */
};
static void count_turns(rn_conn *c, struct turns *t, int i)
{
    char x = 'x';

    for (; t->all < t->most; t->of[i]++, t->all++) {
        CHECK_EQ(rn_write(c, &x, 1), 1);
        CHECK_EQ(rn_read(c, &x, 1), 1);
    }
    rn_conn_close(c);
}
GO_TEST_PROCS(served_in_turn, 1)
{
    int conns = test_is_slow() ? 300 : 2000;
    struct turns t = {.most = (int64_t)conns * 50, .of = calloc((size_t)conns, sizeof *t.of)};
    struct rlimit r;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &r), 0);
    r.rlim_cur = r.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &r), 0);
    if (r.rlim_max < (rlim_t)(2 * conns + 100))
        test_skip("too few descriptors");
    for (int i = 0; i < conns; i++) {
        int fds[2];
        rn_conn *a, *b;

        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        CHECK_EQ(rn_conn_adopt(fds[0], &a), 0);
        CHECK_EQ(rn_conn_adopt(fds[1], &b), 0);
        rn_go(echo, b);
        rn_go(count_turns, a, &t, i);
    }
    rn_settle(RN_MINUTE);
    for (int i = 0; i < conns; i++)
        CHECK(t.of[i] >= 25);
    free(t.of);
}

/* ---- Threads, runs -------------------------------------------------------------------------------------- */

static void *thread_serves(void *arg)
{
    rn_conn *c;

    CHECK_EQ(rn_accept(arg, &c), 0);
    echo(c);
    return NULL;
}
static void *thread_dials(void *arg)
{
    _Atomic uint64_t sent = 0, received = 0;

    client(arg, 100, &sent, &received);
    CHECK_EQ(received, 6400);
    return NULL;
}
PLAIN_TEST(threads_talk)
{
    char at[RN_ADDR_TEXT];
    rn_listener *l = listen_any(TCP4, at);
    pthread_t t[8];
    rn_conn *c;

    for (int i = 0; i < 8; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, i < 4 ? thread_serves : thread_dials,
                                i < 4 ? (void *)l : at),
                 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(pthread_join(t[i], NULL), 0);
    CHECK_EQ(rn_listener_set_deadline(l, rn_now() + RN_MILLISECOND), 0);
    CHECK_EQ(rn_accept(l, &c), -ETIMEDOUT);
    rn_listener_close(l);
}
GO_TEST(threads_and_goroutines_talk)
{
    char at[RN_ADDR_TEXT];
    rn_listener *l = listen_any(TCP4, at);
    rn_wg wg = {0};
    pthread_t t[4];

    rn_wg_go(&wg, serve_echo, l);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, thread_dials, at), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(rn_blocking(pthread_join(t[i], NULL)), 0);
    rn_listener_close(l);
    rn_wg_wait(&wg);
}

/* What is left in the middle of everything when rn_run ends: the sockets go on in the next run, and when they are
 * closed nothing is left. */
static char kept_at[RN_ADDR_TEXT];
static rn_listener *kept;
static struct ends
    kept_ends; /* of a Unix socket, whose buffers do not grow while it is read from */
static void leave_all(void)
{
    rn_chan(ssize_t) ch = rn_chan_make(ssize_t, 0);

    for (int i = 0; i < 5; i++) {
        rn_go(accept_into, (rn_ctx *)NULL, kept, ch);
        rn_go(read_into, (rn_ctx *)NULL, kept_ends.server, ch);
        rn_go(write_into, (rn_ctx *)NULL, kept_ends.client, 1000000, ch);
        rn_go(dial_into, (rn_ctx *)NULL, "tcp", (const char *)"127.0.0.1:1", ch);
    }
    CHECK_EQ(rn_set_write_deadline(kept_ends.client, rn_now() + 100 * RN_MILLISECOND), 0);
    test_let_run();
}
static int go_on(void)
{
    struct ends e = ends_new(kept, TCP4, kept_at);
    char *rest = malloc(1000000);

    /* The turn is free again, and the deadline as it was. */
    CHECK_EQ(rn_write(kept_ends.client, rest, 1000000), -ETIMEDOUT);
    CHECK_EQ(rn_set_deadline(kept_ends.client, 0), 0);
    CHECK_EQ(rn_close_write(kept_ends.client), 0);
    while (rn_read(kept_ends.server, rest, 1000000) > 0)
        ;
    free(rest);
    rn_go(write_pattern, e.client, 100000);
    read_pattern(e.server, 100000);
    test_expect_settled(__FILE__, __LINE__);
    ends_close(e);
    return 0;
}
/* Until there is no room. */
static void fill(rn_conn *c)
{
    static const char much[100000];

    while (send(rn_conn_fd(c), much, sizeof much, MSG_DONTWAIT) > 0)
        ;
    CHECK_EQ(errno, EAGAIN);
}
PLAIN_TEST(sockets_survive_runs)
{
    int before = 0, after;

    for (int i = 0; i < 5; i++) {
        kept = listen_any(TCP4, kept_at);
        kept_ends = ends_on(UNIX_ABSTRACT);
        fill(kept_ends.client);
        CHECK_EQ(rn_run(test_run_body, __FILE__, __LINE__, leave_all, true), 0);
        CHECK_EQ(rn_run(go_on), 0);
        rn_listener_close(kept);
        ends_close(kept_ends);
        after = open_descriptors();
        if (i == 0)
            before = after;
        CHECK_EQ(after, before);
    }
}

/* A writer that waits for room, has the turn, and has been readied when rn_run ends, but does not run any more. */
static rn_ctx *ended_ctx;
static void readied_and_left(void)
{
    rn_chan(ssize_t) ch = rn_chan_make(ssize_t, 1);

    ended_ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_go(write_into, ended_ctx, kept_ends.client, 1000000, ch);
    test_let_run(); /* there is one processor: it has run */
    CHECK_EQ(rn_len(ch), 0);
    rn_ctx_cancel(ended_ctx);
}
static int write_in_time(void)
{
    CHECK_EQ(rn_set_write_deadline(kept_ends.client, rn_now() + RN_MILLISECOND), 0);
    return (int)rn_write(kept_ends.client, "x", 1);
}
PLAIN_TEST(readied_but_not_run)
{
    int before, after;

    CHECK_EQ(rn_set_procs(1), 0);
    before = open_descriptors();
    kept_ends = ends_on(UNIX_ABSTRACT);
    fill(kept_ends.client);
    CHECK_EQ(rn_run(test_run_body, __FILE__, __LINE__, readied_and_left, true), 0);
    CHECK_EQ(rn_run(write_in_time), -ETIMEDOUT); /* the turn is free */
    rn_ctx_end(ended_ctx);
    ends_close(kept_ends);
    after = open_descriptors();
    CHECK_EQ(after, before); /* and the call has ended */
}

/* ---- Sockets of one's own ---------------------------------------------------------------------------------- */

/* A process forks while a goroutine is in the middle of a write: the turn is that goroutine's, which the child does not have. */
PLAIN_TEST(forked_in_a_write)
{
    enum { SIZE = 20000000 };
    rn_chan(ssize_t) ch = rn_chan_make(ssize_t, 1);
    struct ends e = ends_on(TCP4);
    char *buf = malloc(SIZE), b = 0;
    int status;
    pid_t pid;

    if (UNDER_TSAN)
        test_skip("ThreadSanitizer lets no thread begin in a child");
    for (int k = 0; k < 2; k++) /* one has the turn, and another waits for it */
        rn_go(write_into, (rn_ctx *)NULL, e.client, (size_t)(k ? 1 : SIZE), ch);
    AWAIT(rn_conn_sent(e.client) > 0);
    test_let_run();
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(60);
        CHECK_EQ(rn_read_full(e.server, buf, SIZE),
                 SIZE); /* the parent's goroutine goes on writing */
        CHECK_EQ(rn_read(e.server, &b, 1), 1);
        CHECK_EQ(rn_write(e.client, "y", 1), 1);
        CHECK_EQ(rn_read(e.server, &b, 1), 1);
        CHECK_EQ(b, 'y');
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(rn_recv(ch) + rn_recv(ch), SIZE + 1);
    free(buf);
    ends_close(e);
    rn_chan_release(ch);
}

GO_TEST(adopted)
{
    int fds[2];
    rn_conn *a, *b;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(rn_conn_adopt(fds[0], &a), 0);
    CHECK_EQ(rn_conn_adopt(fds[1], &b), 0);
    rn_go(write_pattern, a, 1000000);
    read_pattern(b, 1000000);
    rn_settle(RN_MINUTE);
    rn_conn_close(a);
    expect_end(b);
    rn_conn_close(b);
    CHECK_EQ(rn_conn_adopt(fds[0], &a), -EBADF);
    fds[0] = open("/proc/self/exe", O_RDONLY);
    CHECK(fds[0] >= 0);
    CHECK_EQ(rn_conn_adopt(fds[0], &a), -EINVAL);
    close(fds[0]);
}

/* Every call of a connection that is cancelled, or whose peer is gone, says so. */
GO_TEST(calls_of_a_dead_connection)
{
    struct iovec iov[2] = {{(char[]){"ab"}, 2}, {(char[]){"cd"}, 2}};
    struct iovec huge[2] = {{iov, SIZE_MAX / 2}, {iov, SIZE_MAX / 2}};
    struct ends e = ends_on(TCP4);
    rn_addr addr;
    char b[4];
    ssize_t n;

    CHECK_EQ(rn_writev(e.client, huge, 2), -EINVAL);
    rn_conn_close(e.server);
    do /* until the kernel has been told */
        n = rn_writev(e.client, iov, 2);
    while (n == 4);
    CHECK(n == -EPIPE || n == -ECONNRESET);
    rn_conn_cancel(e.client);
    CHECK_EQ(rn_readv(e.client, iov, 2), -ECANCELED);
    CHECK_EQ(rn_read_full(e.client, b, 4), -ECANCELED);
    CHECK_EQ(rn_recv_from(e.client, b, 4, &addr), -ECANCELED);
    CHECK_EQ(rn_writev(e.client, iov, 2), -ECANCELED);
    CHECK_EQ(rn_send_to(e.client, b, 4, &addr), -ECANCELED);
    CHECK_EQ(rn_close_write(e.client), -ECANCELED);
    rn_conn_close(e.client);
}

/* rn_send_to waits for room as a write does. */
static void sends(rn_conn *c, int count)
{
    rn_addr nobody = {{0}};
    char text[1000] = "";

    for (int i = 0; i < count; i++)
        CHECK_EQ(rn_send_to(c, text, sizeof text, &nobody), sizeof text);
}
GO_TEST(send_to_waits_for_room)
{
    enum { COUNT = 2000 };
    rn_conn *a, *b;
    char text[1000];
    int fds[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
    CHECK_EQ(rn_conn_adopt(fds[0], &a), 0);
    CHECK_EQ(rn_conn_adopt(fds[1], &b), 0);
    rn_go(sends, a, COUNT);
    test_let_run();
    for (int i = 0; i < COUNT; i++)
        CHECK_EQ(rn_recv_from(b, text, sizeof text, NULL), sizeof text);
    rn_settle(RN_MINUTE);
    rn_conn_close(b);
    rn_conn_close(a);
}

/* rn_run ends while a goroutine dials: what it has begun is closed. */
static void dials(const char *at)
{
    rn_conn *c;

    if (rn_dial("unix", at, &c) == 0)
        rn_conn_close(c);
}
static rn_listener *full;
static int leaves_dials(void)
{
    static char room[40];
    rn_listen_options one = {.backlog = 1};
    const char *at = room;

    snprintf(room, sizeof room, "@runnel-dial-left-%d", (int)getpid());
    CHECK_EQ(rn_listen_with("unix", at, &one, &full), 0);
    for (int i = 0; i < 8; i++)
        rn_go(dials, at);
    rn_sleep(10 * RN_MILLISECOND);
    return 3;
}
PLAIN_TEST(run_ends_while_dialling)
{
    int before = open_descriptors();

    CHECK_EQ(rn_run(leaves_dials), 3);
    rn_listener_close(full);
    CHECK(open_descriptors() <= before);
}

/* ---- What a read that finds less than it has room for lets the next one save ------------------------- */

/* Read what there is; it must not have to wait long for what has been sent already. */
static ssize_t read_sent(rn_conn *c, char *buf, size_t size)
{
    ssize_t n;

    CHECK_EQ(rn_set_read_deadline(c, rn_now() + 20 * RN_SECOND), 0);
    n = rn_read(c, buf, size);
    CHECK(n != -ETIMEDOUT);
    CHECK_EQ(rn_set_read_deadline(c, 0), 0);
    return n;
}

/* The end of the stream comes together with the last bytes, so no edge follows these. */
GO_TEST(the_end_comes_with_the_last_bytes)
{
    EACH_NETWORK(n)
    {
        struct ends e;
        char at[RN_ADDR_TEXT], buf[100];
        rn_listener *l = listen_any(n, at);

        if (!l)
            continue;
        for (int round = 0; round < 20; round++) {
            e = ends_new(l, n, at);
            CHECK_EQ(rn_write(e.client, "one", 3), 3);
            CHECK_EQ(read_sent(e.server, buf, sizeof buf), 3);
            if (round % 2) { /* now the poller knows the descriptor */
                CHECK_EQ(rn_set_read_deadline(e.server, rn_now() + RN_MILLISECOND), 0);
                CHECK_EQ(rn_read(e.server, buf, sizeof buf), -ETIMEDOUT);
            }
            CHECK_EQ(rn_write(e.client, "last", 4), 4);
            CHECK_EQ(rn_close_write(e.client), 0);
            test_let_run(); /* the poller has told, of both at once */
            CHECK_EQ(read_sent(e.server, buf, sizeof buf), 4);
            CHECK_EQ(read_sent(e.server, buf, sizeof buf), 0);
            CHECK_EQ(read_sent(e.server, buf, sizeof buf), 0);
            ends_close(e);
        }
        rn_listener_close(l);
    }
}

/* A read stops before and after an urgent byte, and where a descriptor was sent, although there is more. */
GO_TEST(reads_that_stop_in_the_middle)
{
    struct ends e = ends_on(TCP4);
    char buf[100], room[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {buf, 1};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    int fds[2], got = 0;

    CHECK_EQ(rn_set_read_deadline(e.server, rn_now() + RN_MILLISECOND), 0);
    CHECK_EQ(rn_read(e.server, buf, sizeof buf), -ETIMEDOUT);
    CHECK_EQ(rn_write(e.client, "ab", 2), 2);
    CHECK_EQ(send(rn_conn_fd(e.client), "!", 1, MSG_OOB), 1);
    CHECK_EQ(rn_write(e.client, "cd", 2), 2);
    test_let_run();
    while (got < 4) {
        ssize_t n = read_sent(e.server, buf + got, sizeof buf - (size_t)got);

        CHECK(n > 0);
        got += (int)n;
    }
    CHECK(memcmp(buf, "abcd", 4) == 0);
    ends_close(e);

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(rn_conn_adopt(fds[0], &e.client), 0);
    CHECK_EQ(rn_conn_adopt(fds[1], &e.server), 0);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fds[0], sizeof(int));
    for (int i = 0; i < 2; i++)
        CHECK_EQ(sendmsg(fds[0], &m, 0), 1);
    test_let_run();
    CHECK_EQ(read_sent(e.server, buf, sizeof buf), 1);
    CHECK_EQ(read_sent(e.server, buf, sizeof buf), 1);
    ends_close(e);
}

static void await_something(rn_conn *c, rn_ctx *ctx, int *result)
{
    *result = rn_wait_read_ctx(ctx, c);
    rn_ctx_release(ctx);
}

static void await_error(const rn_conn *c)
{
    struct pollfd p = {.fd = rn_conn_fd(c)};

    CHECK_EQ(rn_blocking(poll(&p, 1, -1)), 1);
    CHECK(p.revents & POLLERR);
}

static rn_conn *udp_to(const rn_conn *bound)
{
    char at[RN_ADDR_TEXT];
    rn_conn *c;
    rn_addr a;

    CHECK_EQ(rn_local_addr(bound, &a), 0);
    CHECK(rn_addr_text(&a, at, sizeof at) > 0);
    CHECK_EQ(rn_dial("udp", at, &c), 0);
    return c;
}

GO_TEST(wait_read_takes_nothing)
{
    EACH_NETWORK(n)
    {
        struct ends e;
        char at[RN_ADDR_TEXT], buf[100];
        rn_listener *l = listen_any(n, at);
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
        int result;
        rn_wg wg = {0};

        if (!l)
            continue;
        e = ends_new(l, n, at);
        for (int i = 0; i < 10; i++) { /* data, before and meanwhile */
            rn_wg_go(&wg, await_something, e.server, NULL, &result);
            if (i % 2)
                test_let_run();
            CHECK_EQ(rn_write(e.client, "123", 3), 3);
            rn_wg_wait(&wg);
            CHECK_EQ(result, 0);
            CHECK_EQ(rn_wait_read(e.server), 0);
            CHECK_EQ(rn_read(e.server, buf, 2), 2);
            CHECK_EQ(rn_wait_read(e.server), 0);
            CHECK_EQ(rn_read(e.server, buf, i % 3 ? 1 : sizeof buf), 1);
        }
        rn_wg_go(&wg, await_something, e.server, rn_ctx_retain(ctx), &result);
        test_let_run();
        rn_ctx_end(ctx);
        rn_wg_wait(&wg);
        CHECK_EQ(result, -ECANCELED);
        CHECK_EQ(rn_set_read_deadline(e.server, rn_now() + RN_MILLISECOND), 0);
        CHECK_EQ(rn_wait_read(e.server), -ETIMEDOUT);
        CHECK_EQ(rn_set_read_deadline(e.server, 0), 0);
        CHECK_EQ(rn_close_write(e.client), 0); /* the end is something */
        CHECK_EQ(rn_wait_read(e.server), 0);
        expect_end(e.server);
        CHECK_EQ(rn_wait_read(e.server), 0);
        rn_wg_go(&wg, await_something, e.client, NULL, &result);
        test_let_run();
        rn_conn_cancel(e.client);
        rn_wg_wait(&wg);
        CHECK_EQ(result, -ECANCELED);
        ends_close(e);
        rn_listener_close(l);
    }
}

static void read_and_close(rn_conn *c, size_t size)
{
    read_pattern(c, size);
    rn_conn_close(c);
}

GO_TEST(send_file)
{
    enum { SIZE = 3000000 };
    char name[] = "/tmp/runnel-send-XXXXXX", *all = malloc(SIZE);
    int fd = mkstemp(name);

    CHECK(fd >= 0);
    unlink(name);
    for (size_t i = 0; i < SIZE; i++)
        all[i] = pattern(i);
    CHECK_EQ(pwrite(fd, "xxx", 3, 0), 3);
    CHECK_EQ(pwrite(fd, all, SIZE, 3), SIZE);
    free(all);
    EACH_NETWORK(n)
    {
        struct ends e;
        char at[RN_ADDR_TEXT];
        rn_listener *l = listen_any(n, at);
        rn_wg wg = {0};
        ssize_t sent;

        if (!l)
            continue;
        e = ends_new(l, n, at);
        rn_wg_go(&wg, read_pattern, e.client, (size_t)SIZE); /* more than the kernel buffers */
        CHECK_EQ(rn_send_file(e.server, fd, 3, SIZE), SIZE);
        rn_wg_wait(&wg);
        CHECK_EQ(rn_conn_sent(e.server), SIZE);
        CHECK_EQ(rn_send_file(e.server, fd, 3, 0), 0);
        CHECK_EQ(rn_send_file(e.server, fd, -1, 1), -EINVAL);
        CHECK_EQ(rn_send_file(e.server, -1, 0, 1), -EBADF);
        rn_wg_go(&wg, read_pattern, e.client, (size_t)SIZE);
        CHECK_EQ(rn_send_file(e.server, fd, 3, SIZE + 1), -EIO); /* it has less */
        rn_wg_wait(&wg);
        rn_wg_go(&wg, read_and_close, e.client, (size_t)100);
        while ((sent = rn_send_file(e.server, fd, 3, SIZE)) == SIZE)
            ;
        CHECK(sent == -EPIPE || sent == -ECONNRESET);
        rn_wg_wait(&wg);
        rn_conn_close(e.server);
        rn_listener_close(l);
    }
    close(fd);
}

/* A pipe without a reader raises a signal by itself, for which no flag exists: it reaches nobody, and is not left behind
 * where the thread does not take it. */
static void send_into_pipe(void)
{
    enum { SIZE = 300000 }; /* more than a pipe has room for */
    char name[] = "/tmp/runnel-send-XXXXXX", *all = malloc(SIZE);
    int file = mkstemp(name), fds[2];
    rn_conn *in, *out;
    rn_wg wg = {0};
    ssize_t sent;

    CHECK(file >= 0);
    unlink(name);
    for (size_t i = 0; i < SIZE; i++)
        all[i] = pattern(i);
    CHECK_EQ(pwrite(file, all, SIZE, 0), SIZE);
    free(all);
    CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
    CHECK_EQ(rn_conn_adopt(fds[0], &in), 0);
    CHECK_EQ(rn_conn_adopt(fds[1], &out), 0);
    rn_wg_go(&wg, read_pattern, in, (size_t)SIZE);
    CHECK_EQ(rn_send_file(out, file, 0, SIZE), SIZE);
    rn_wg_wait(&wg);
    /* In the middle of a file, and then before its first byte. */
    rn_wg_go(&wg, read_and_close, in, (size_t)100000);
    while ((sent = rn_send_file(out, file, 0, SIZE)) == SIZE)
        ;
    CHECK_EQ(sent, -EPIPE);
    rn_wg_wait(&wg);
    CHECK_EQ(rn_send_file(out, file, 0, SIZE), -EPIPE);
    rn_conn_close(out);
    close(file);
}

GO_TEST(send_file_into_pipe)
{
    signal(SIGPIPE, SIG_DFL);
    send_into_pipe();
}

PLAIN_TEST(send_file_leaves_no_signal)
{
    sigset_t one, pending;

    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&one);
    sigaddset(&one, SIGPIPE);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &one, NULL), 0);
    send_into_pipe();
    CHECK_EQ(sigpending(&pending), 0);
    CHECK_EQ(sigismember(&pending, SIGPIPE), 0);
    /* One that was there before stays. */
    CHECK_EQ(pthread_kill(pthread_self(), SIGPIPE), 0);
    send_into_pipe();
    CHECK_EQ(sigpending(&pending), 0);
    CHECK_EQ(sigismember(&pending, SIGPIPE), 1);
}

/* An error that has come already is for the read, which a wait before it does not take away. */
GO_TEST(wait_read_leaves_the_error)
{
    struct linger at_once = {.l_onoff = 1};
    struct ends e = ends_on(TCP4);
    char byte;
    rn_conn *c;

    CHECK_EQ(setsockopt(rn_conn_fd(e.server), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    rn_conn_close(e.server); /* by a reset */
    await_error(e.client);
    CHECK_EQ(rn_wait_read(e.client), 0);
    CHECK_EQ(rn_wait_read(e.client), 0);
    CHECK_EQ(rn_read(e.client, &byte, 1), -ECONNRESET);
    rn_conn_close(e.client);

    CHECK_EQ(rn_bind("udp", "127.0.0.1:0", &c), 0); /* a port that is nobody's when c is closed */
    e.client = udp_to(c);
    rn_conn_close(c);
    CHECK_EQ(rn_write(e.client, "?", 1), 1);
    await_error(e.client);
    CHECK_EQ(rn_wait_read(e.client), 0);
    CHECK_EQ(rn_read(e.client, &byte, 1), -ECONNREFUSED);
    rn_conn_close(e.client);
}
