/* SPDX-License-Identifier: MIT */
/*
 * halfopen.c - peers that vanish without a word, as with a cable that is pulled: neither an end nor a reset ever comes.
 *
 * A filter on the peer's socket drops all that reaches it, so that it acknowledges nothing and answers no probe; the peer
 * itself stays silent. Who waits for it is ended by a deadline, by its context, by a close on its own side, and by the
 * kernel's probes.
 */
#define _GNU_SOURCE
#include "net.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define EACH_TCP(n) for (enum network n = TCP4; n <= TCP6; n++)

/* From now on nothing reaches fd. */
static void vanish(int fd)
{
    struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog program = {1, &nothing};

    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0)
        test_skip("the kernel takes no filter for a socket");
}

static void option(rn_conn *c, int level, int name, int value)
{
    CHECK_EQ(setsockopt(rn_conn_fd(c), level, name, &value, sizeof value), 0);
}

/* A connection whose peer, server, has vanished after a word. */
static bool half_open(enum network n, struct ends *ret)
{
    char at[RN_ADDR_TEXT], word[4];
    rn_listener *l = listen_any(n, at);

    if (!l)
        return false;
    *ret = ends_new(l, n, at);
    rn_listener_close(l);
    CHECK_EQ(rn_write(ret->server, "word", 4), 4);
    CHECK_EQ(rn_read_full(ret->client, word, 4), 4);
    vanish(rn_conn_fd(ret->server));
    return true;
}

static void read_into(rn_ctx *ctx, rn_conn *c, _Atomic ssize_t *result)
{
    char b;

    *result = rn_read_ctx(ctx, c, &b, 1);
}
/* More than the kernel keeps. */
static void write_into(rn_ctx *ctx, rn_conn *c, _Atomic ssize_t *result)
{
    size_t size = 30000000;
    char *all = calloc(1, size);

    *result = rn_write_ctx(ctx, c, all, size);
    free(all);
}

enum side { READS, WRITES };
static void wait_begin(rn_wg *wg, enum side side, rn_ctx *ctx, rn_conn *c, _Atomic ssize_t *result)
{
    *result = 1;
    if (side == READS)
        rn_wg_go(wg, read_into, ctx, c, result);
    else
        rn_wg_go(wg, write_into, ctx, c, result);
    test_let_run();
    CHECK_EQ(*result, 1); /* it waits */
}

GO_TEST(half_open_ends_by_a_deadline)
{
    EACH_TCP(n)
    {
        for (int side = READS; side <= WRITES; side++) {
            rn_wg wg = {0};
            _Atomic ssize_t result;
            struct ends e;

            if (!half_open(n, &e))
                continue;
            wait_begin(&wg, (enum side)side, NULL, e.client, &result);
            CHECK_EQ(rn_set_deadline(e.client, rn_now() + 10 * RN_MILLISECOND), 0);
            rn_wg_wait(&wg);
            CHECK_EQ(result, -ETIMEDOUT);
            ends_close(e); /* which waits for nobody either */
        }
    }
}

GO_TEST(half_open_ends_by_a_context_and_by_a_close)
{
    EACH_TCP(n)
    {
        for (int side = READS; side <= WRITES; side++) {
            rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
            rn_wg wg = {0};
            _Atomic ssize_t result;
            struct ends e;

            if (half_open(n, &e)) {
                wait_begin(&wg, (enum side)side, ctx, e.client, &result);
                rn_ctx_cancel(ctx);
                rn_wg_wait(&wg);
                CHECK_EQ(result, -ECANCELED);
                wait_begin(&wg, (enum side)side, NULL, e.client, &result);
                rn_conn_cancel(e.client);
                rn_wg_wait(&wg);
                CHECK_EQ(result, -ECANCELED);
                ends_close(e);
            }
            rn_ctx_end(ctx);
        }
    }
}

/* Only so that a read without an end is a failure. */
static void watch(rn_ctx *over, rn_conn *c)
{
    if (rn_sleep_ctx(over, 60 * RN_SECOND) == 0)
        rn_conn_cancel(c);
}

/* A read alone, of which no deadline is known: the probes that each connection has set find it out. They are made faster
 * here; that they are set is not for the test to do. */
GO_TEST(half_open_ends_by_keepalive)
{
    EACH_TCP(n)
    {
        rn_ctx *over = rn_ctx_with_cancel(rn_ctx_background());
        rn_wg wg = {0};
        struct ends e;
        char b;

        if (half_open(n, &e)) {
            option(e.client, IPPROTO_TCP, TCP_KEEPIDLE, 1);
            option(e.client, IPPROTO_TCP, TCP_KEEPINTVL, 1);
            option(e.client, IPPROTO_TCP, TCP_KEEPCNT, 1);
            rn_wg_go(&wg, watch, over, e.client);
            CHECK_EQ(rn_read(e.client, &b, 1), -ETIMEDOUT);
            CHECK_EQ(rn_read(e.client, &b, 1), 0); /* it is over, says the kernel */
            CHECK_EQ(rn_write(e.client, "x", 1), -EPIPE);
            rn_ctx_cancel(over);
            rn_wg_wait(&wg);
            ends_close(e);
        }
        rn_ctx_end(over);
    }
}

/* The same with bytes under way, which no probe goes past: a limit of the user's on what is not acknowledged. */
GO_TEST(half_open_ends_by_a_user_timeout)
{
    EACH_TCP(n)
    {
        rn_ctx *over = rn_ctx_with_cancel(rn_ctx_background());
        rn_wg wg = {0};
        _Atomic ssize_t result;
        struct ends e;

        if (half_open(n, &e)) {
            option(e.client, IPPROTO_TCP, TCP_USER_TIMEOUT, 500);
            rn_wg_go(&wg, watch, over, e.client);
            write_into(NULL, e.client, &result);
            CHECK_EQ(result, -ETIMEDOUT);
            rn_ctx_cancel(over);
            rn_wg_wait(&wg);
            ends_close(e);
        }
        rn_ctx_end(over);
    }
}

/* Nobody answers a call either. */
GO_TEST(half_open_dial_ends_by_its_context)
{
    EACH_TCP(n)
    {
        char at[RN_ADDR_TEXT];
        rn_listener *l = listen_any(n, at);
        rn_ctx *ctx;
        rn_conn *c = NULL;

        if (!l)
            continue;
        vanish(rn_listener_fd(l));
        ctx = rn_ctx_with_timeout(rn_ctx_background(), 20 * RN_MILLISECOND);
        CHECK_EQ(rn_dial_ctx(ctx, network_name[n], at, &c), -ETIMEDOUT);
        CHECK(!c);
        rn_ctx_end(ctx);
        rn_listener_close(l);
    }
}
