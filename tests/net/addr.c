/* SPDX-License-Identifier: MIT */
/*
 * addr.c - addresses and names, dialling, datagrams.
 */
#define _GNU_SOURCE
#include "net.h"

#include <netinet/in.h>
#include <sys/socket.h>

/* Text to address and back. */
PLAIN_TEST(addresses_as_text)
{
    static const struct {
        const char *network, *text, *back;
        int port;
    } good[] = {
        {"tcp", "127.0.0.1:80", "127.0.0.1:80", 80},
        {"tcp4", "255.255.255.255:65535", "255.255.255.255:65535", 65535},
        {"udp", "0.0.0.0:0", "0.0.0.0:0", 0},
        {"tcp", "[::1]:443", "[::1]:443", 443},
        {"tcp6", "[2001:DB8:0:0:0:0:0:1]:7", "[2001:db8::1]:7", 7},
        {"udp6", "[::ffff:1.2.3.4]:9", "[::ffff:1.2.3.4]:9", 9},
        {"tcp", "[fe80::1%1]:5", "[fe80::1%lo]:5", 5},
        {"tcp", "[127.0.0.1]:80", "127.0.0.1:80", 80},
        {"unix", "/tmp/some.socket", "/tmp/some.socket", 0},
        {"unix", "relative", "relative", 0},
        {"unixgram", "@abstract", "@abstract", 0},
    };
    static const struct {
        const char *network, *text;
    } bad[] = {
        {"tcp", ""},
        {"tcp", "127.0.0.1"},
        {"tcp", "127.0.0.1:"},
        {"tcp", "127.0.0.1:65536"},
        {"tcp", "1.2.3.4:-1"},
        {"tcp", "1.2.3.4:80x"},
        {"tcp", "1.2.3:80"},
        {"tcp", "1.2.3.4.5:80"},
        {"tcp", "::1:80"},
        {"tcp", "[::1]80"},
        {"tcp", "[::1:80"},
        {"tcp", "::1]:80"},
        {"tcp", "[[::1]]:80"},
        {"tcp", "[::1"},
        {"tcp", "["},
        {"tcp", "[]:80"},
        {"tcp", ":80"},
        {"tcp", "localhost:80"},
        {"tcp4", "[::1]:80"},
        {"tcp6", "127.0.0.1:80"},
        {"tcp", "1.2.3.4:http"},
        {"tcp", "[fe80::1%nosuchzone]:1"},
        {"tcp", "[::1%]:1"},
        {"tcp", ":"},
        {"tcp", "]:1"},
        {"tcp", "[:1"},
        {"unix", ""},
        {"ip", "1.2.3.4:80"},
        {"tcp", "1.2.3.4:99999999999999999999"},
    };
    char text[RN_ADDR_TEXT], long_path[200];
    rn_addr a, b;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        CHECK_EQ(rn_addr_parse(&a, good[i].network, good[i].text), 0);
        CHECK_EQ(rn_addr_text(&a, text, sizeof text), strlen(good[i].back));
        CHECK_STR(text, good[i].back);
        CHECK_EQ(rn_addr_port(&a), good[i].port);
        CHECK_EQ(rn_addr_text(&a, text, strlen(good[i].back) + 1), strlen(good[i].back));
        CHECK_EQ(rn_addr_text(&a, text, strlen(good[i].back)), -ENOBUFS);
        CHECK_EQ(rn_addr_text(&a, text, 0), -ENOBUFS);
        CHECK_EQ(rn_addr_parse(&b, good[i].network, good[i].back), 0);
        CHECK(rn_addr_equal(&a, &b));
        for (size_t k = 0; k < i; k++) {
            CHECK_EQ(rn_addr_parse(&b, good[k].network, good[k].text), 0);
            CHECK_EQ(rn_addr_equal(&a, &b), strcmp(good[i].back, good[k].back) == 0);
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (rn_addr_parse(&a, bad[i].network, bad[i].text) != -EINVAL)
            test_fail(__FILE__, __LINE__, "%s %s was taken", bad[i].network, bad[i].text);
    CHECK_EQ(rn_addr_parse(&a, NULL, "1.2.3.4:5"), -EINVAL);
    memset(long_path, 'p', sizeof long_path - 1);
    long_path[107] = 0;
    CHECK_EQ(rn_addr_parse(&a, "unix", long_path), 0);
    CHECK_EQ(rn_addr_text(&a, text, sizeof text), 107);
    CHECK_STR(text, long_path);
    long_path[107] = 'p';
    long_path[108] = 0;
    CHECK_EQ(rn_addr_parse(&a, "unix", long_path), -EINVAL);
    long_path[108] = 'p';
    long_path[199] = 0;
    CHECK_EQ(rn_addr_parse(&a, "unix", long_path), -EINVAL);
}

/* A socket that holds a port and does not listen, so that nobody else does there; the address to at. */
static int hold_a_port(char at[RN_ADDR_TEXT])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0 && bind(fd, (const void *)&a, sizeof a) == 0);
    CHECK_EQ(getsockname(fd, (void *)&a, &length), 0);
    snprintf(at, RN_ADDR_TEXT, "127.0.0.1:%d", (int)ntohs(a.sin_port));
    return fd;
}

/* What fails twice says the second time what it says the first time: an older error's message is no part of it. */
GO_TEST(d31_a_dial_says_nothing_of_an_older_one)
{
    char at[RN_ADDR_TEXT], text[2 * RN_ADDR_TEXT];
    int held = hold_a_port(at);
    rn_conn *c;

    for (int i = 0; i < 2; i++) {
        CHECK_EQ(rn_listen("tcp4", at, &(rn_listener *){NULL}), -EADDRINUSE);
        snprintf(text, sizeof text, "listen tcp4 %s: %s", at, strerror(EADDRINUSE));
        CHECK_STR(rn_errmsg(-EADDRINUSE), text);
    }
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(rn_dial("tcp", at, &c), -ECONNREFUSED);
        snprintf(text, sizeof text, "dial tcp %s: %s", at, strerror(ECONNREFUSED));
        CHECK_STR(rn_errmsg(-ECONNREFUSED), text);
        CHECK_EQ(rn_dial("unix", "/nonexistent/socket", &c), -ENOENT);
        snprintf(text, sizeof text, "dial unix /nonexistent/socket: %s", strerror(ENOENT));
        CHECK_STR(rn_errmsg(-ENOENT), text);
    }
    snprintf(text, sizeof text, "localhost:%s",
             strrchr(at, ':') + 1); /* several addresses, perhaps */
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(rn_dial("tcp", text, &c), -ECONNREFUSED);
        CHECK(strstr(rn_errmsg(-ECONNREFUSED), "dial tcp localhost:") == rn_errmsg(-ECONNREFUSED));
        CHECK(!strstr(rn_errmsg(-ECONNREFUSED) + 1, "dial"));
    }
    close(held);
}

GO_TEST(dials_that_fail)
{
    char at[RN_ADDR_TEXT];
    int held = hold_a_port(at);
    rn_listener *l;
    rn_conn *c;

    CHECK_EQ(rn_dial("tcp", at, &c), -ECONNREFUSED);
    CHECK(strstr(rn_errmsg(-ECONNREFUSED), at));
    CHECK_EQ(rn_dial("unix", "/nonexistent/socket", &c), -ENOENT);
    CHECK_EQ(rn_dial("unix", "@nobody listens here", &c), -ECONNREFUSED);
    CHECK_EQ(rn_dial("carrier pigeon", at, &c), -EINVAL);
    CHECK_EQ(rn_dial("tcp", "127.0.0.1", &c), -EINVAL);
    CHECK_EQ(rn_dial("tcp", "127.0.0.1:70000", &c), -EINVAL);
    CHECK_EQ(rn_dial("tcp", NULL, &c), -EINVAL);
    CHECK_EQ(rn_dial("tcp", "127.0.0.1:no such service", &c), -EINVAL);
    CHECK_EQ(rn_dial("tcp4", "[::1]:80", &c), -ENOENT); /* a name, then, and it does not exist */
    CHECK_EQ(rn_listen("udp", "127.0.0.1:0", &l), -EINVAL);
    CHECK_EQ(rn_bind("tcp", "127.0.0.1:0", &c), -EINVAL);
    CHECK_EQ(rn_listen("tcp", "192.0.2.1:0", &l), -EADDRNOTAVAIL);
    close(held);
}

static int port_of(rn_listener *l)
{
    rn_addr a;

    CHECK_EQ(rn_listener_addr(l, &a), 0);
    return rn_addr_port(&a);
}

/* An empty host: every address of this machine to listen at, this machine to dial. */
GO_TEST(empty_host)
{
    rn_listener *l;
    rn_conn *c, *s;
    char at[RN_ADDR_TEXT];

    CHECK_EQ(rn_listen("tcp", ":0", &l), 0);
    snprintf(at, sizeof at, "127.0.0.1:%d", port_of(l));
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(rn_dial("tcp", at, &c), 0);
        CHECK_EQ(rn_accept(l, &s), 0);
        rn_conn_close(c);
        rn_conn_close(s);
        snprintf(at, sizeof at, i == 0 ? ":%d" : "localhost:%d", port_of(l));
    }
    rn_listener_close(l);
}

/* Two addresses, since the empty host is this machine's of both families: the first refuses, or does not answer; the
 * second connects. */
static void dial_second(int port)
{
    char name[RN_ADDR_TEXT], text[RN_ADDR_TEXT];
    rn_conn *c;
    rn_addr a;

    snprintf(name, sizeof name, ":%d", port);
    CHECK_EQ(rn_dial("tcp", name, &c), 0);
    CHECK_EQ(rn_remote_addr(c, &a), 0);
    CHECK(rn_addr_text(&a, text, sizeof text) > 0);
    CHECK(strncmp(text, "[::1]:", 6) == 0);
    rn_conn_close(c);
}
GO_TEST(second_address_wins)
{
    char at[RN_ADDR_TEXT], name[RN_ADDR_TEXT];
    rn_listener *four = NULL, *six;
    rn_conn *c, *fill[100];
    rn_ctx *ctx;
    rn_time start;
    int n = 0;

    six = listen_any(TCP6, at);
    if (!six)
        return;
    dial_second(port_of(six));
    /* A connection that has ended may hold the port on IPv4. */
    for (int tries = 0; !four; tries++) {
        int err;

        snprintf(at, sizeof at, "127.0.0.1:%d", port_of(six));
        err = rn_listen_with("tcp4", at, &(rn_listen_options){.backlog = 1}, &four);
        if (err == -EADDRINUSE && tries < 1000) {
            rn_listener_close(six);
            six = listen_any(TCP6, at);
        } else {
            CHECK_EQ(err, 0);
        }
    }
    for (;;) { /* until it answers no more */
        rn_ctx *soon = rn_ctx_with_timeout(rn_ctx_background(), 300 * RN_MILLISECOND);
        int err = rn_dial_ctx(soon, "tcp4", at, &fill[n]);

        rn_ctx_end(soon);
        if (err)
            break;
        n++;
        CHECK(n < 100);
    }
    start = rn_now();
    dial_second(port_of(six));
    CHECK(rn_now() - start >= 250 * RN_MILLISECOND);
    test_expect_settled(__FILE__, __LINE__); /* the first attempt was given up */

    /* Nobody answers, or all refuse; or the context ends. */
    rn_listener_close(six);
    snprintf(name, sizeof name, ":%d", port_of(four));
    ctx = rn_ctx_with_timeout(rn_ctx_background(), 100 * RN_MILLISECOND);
    CHECK_EQ(rn_dial_ctx(ctx, "tcp", name, &c), -ETIMEDOUT);
    CHECK_EQ(rn_dial_ctx(ctx, "tcp", name, &c), -ETIMEDOUT);
    rn_ctx_end(ctx);
    while (n > 0)
        rn_conn_close(fill[--n]);
    rn_listener_close(four);
    CHECK_EQ(rn_dial("tcp", name, &c), -ECONNREFUSED);
    test_expect_settled(__FILE__, __LINE__);
}

/* ---- Datagrams ------------------------------------------------------------------------------------------ */

static void datagrams(const char *network, const char *at_a, const char *at_b)
{
    rn_conn *a, *b, *c;
    char buf[100], text[RN_ADDR_TEXT];
    rn_addr to_a, to_b, from;

    if (rn_bind(network, at_a, &a) != 0) {
        printf("no %s on this machine: left out\n", network);
        return;
    }
    CHECK_EQ(rn_bind(network, at_b, &b), 0);
    CHECK_EQ(rn_local_addr(a, &to_a), 0);
    CHECK_EQ(rn_local_addr(b, &to_b), 0);
    CHECK_EQ(rn_send_to(a, "hello", 5, &to_b), 5);
    CHECK_EQ(rn_send_to(a, "", 0, &to_b), 0);
    CHECK_EQ(rn_send_to(a, "longer than the room", 20, &to_b), 20);
    CHECK_EQ(rn_recv_from(b, buf, sizeof buf, &from), 5);
    CHECK_EQ(memcmp(buf, "hello", 5), 0);
    CHECK(rn_addr_equal(&from, &to_a));
    CHECK_EQ(rn_recv_from(b, buf, sizeof buf, NULL), 0);
    CHECK_EQ(rn_read(b, buf, 6), 6);
    CHECK_EQ(memcmp(buf, "longer", 6), 0);
    CHECK_EQ(rn_send_to(b, "back", 4, &from), 4);
    CHECK_EQ(rn_recv_from(a, buf, sizeof buf, &from), 4);
    CHECK(rn_addr_equal(&from, &to_b));

    /* A fixed peer. */
    CHECK(rn_addr_text(&to_a, text, sizeof text) > 0);
    CHECK_EQ(rn_dial(network, text, &c), 0);
    CHECK_EQ(rn_write(c, "fixed", 5), 5);
    CHECK_EQ(rn_writev(c, (struct iovec[]){{buf, 1}, {buf, 2}}, 2), 3);
    CHECK_EQ(rn_write(c, "", 0), 0);
    CHECK_EQ(rn_recv_from(a, buf, sizeof buf, &from), 5);
    CHECK_EQ(rn_read(a, buf, sizeof buf), 3);
    CHECK_EQ(rn_read(a, buf, sizeof buf), 0);
    if (strncmp(network, "udp", 3) == 0) {
        CHECK_EQ(rn_send_to(a, "to you", 6, &from), 6);
        CHECK_EQ(rn_read(c, buf, sizeof buf), 6);
    }

    /* Time and contexts, as with streams. */
    CHECK_EQ(rn_set_read_deadline(a, rn_now() + RN_MILLISECOND), 0);
    CHECK_EQ(rn_recv_from(a, buf, sizeof buf, &from), -ETIMEDOUT);
    rn_conn_close(a);
    rn_conn_close(b);
    rn_conn_close(c);
}
GO_TEST(datagrams_on_every_network)
{
    datagrams("udp4", "127.0.0.1:0", "127.0.0.1:0");
    datagrams("udp6", "[::1]:0", "[::1]:0");
    datagrams("unixgram", "@runnel-a", "@runnel-b");
}

/* Nobody is there: the kernel says so to who has a fixed peer. */
GO_TEST(datagram_refused)
{
    rn_conn *a, *c;
    char text[RN_ADDR_TEXT], b;
    rn_addr at;

    CHECK_EQ(rn_bind("udp", "127.0.0.1:0", &a), 0);
    CHECK_EQ(rn_local_addr(a, &at), 0);
    CHECK(rn_addr_text(&at, text, sizeof text) > 0);
    CHECK_EQ(rn_dial("udp", text, &c), 0);
    rn_conn_close(a);
    CHECK_EQ(rn_write(c, "x", 1), 1);
    CHECK_EQ(rn_read(c, &b, 1), -ECONNREFUSED);
    rn_conn_close(c);
}

/* Many at once to one socket, which is slow: senders to a Unix socket wait for room. */
static void send_many(const char *to, int n)
{
    rn_conn *c;

    CHECK_EQ(rn_dial("unixgram", to, &c), 0);
    for (int i = 0; i < n; i++)
        CHECK_EQ(rn_write(c, &i, sizeof i), sizeof i);
    rn_conn_close(c);
}
GO_TEST(datagrams_wait_for_room)
{
    enum { SENDERS = 10 };
    int n = test_times(1000);
    long long sum = 0;
    rn_conn *a;

    CHECK_EQ(rn_bind("unixgram", "@runnel-room", &a), 0);
    for (int i = 0; i < SENDERS; i++)
        rn_go(send_many, "@runnel-room", n);
    test_let_run();
    for (int i = 0; i < SENDERS * n; i++) {
        int value = -1;

        CHECK_EQ(rn_read(a, &value, sizeof value), sizeof value);
        sum += value;
    }
    CHECK_EQ(sum, (long long)SENDERS * n * (n - 1) / 2);
    rn_settle(RN_MINUTE);
    rn_conn_close(a);
}

/* More than a name or a port may have; and an address that is none. */
PLAIN_TEST(addresses_too_long)
{
    char text[1200], none[8] = "x";
    rn_addr zero = {{0}};
    rn_conn *c = NULL;

    memset(text, 'h', 1100);
    strcpy(text + 1100, ":80");
    CHECK_EQ(rn_dial("tcp", text, &c), -EINVAL);
    CHECK(strstr(rn_errmsg(-EINVAL), "the host is too long"));
    strcpy(text, "some.example:");
    memset(text + 13, 'p', 200);
    text[213] = 0;
    CHECK_EQ(rn_dial("tcp", text, &c), -EINVAL);
    CHECK(strstr(rn_errmsg(-EINVAL), "the port is too long"));
    CHECK(rn_addr_text(&zero, none, sizeof none) <= 0);
    CHECK(!c);
}

/* What no address of a network is for, and networks that are none. */
GO_TEST(networks_that_do_not_fit)
{
    rn_listener *l = NULL;
    rn_conn *c = NULL;

    CHECK_EQ(rn_listen("carrier pigeon", "127.0.0.1:0", &l), -EINVAL);
    CHECK_EQ(rn_listen("udp", "127.0.0.1:0", &l), -EINVAL);
    CHECK_EQ(rn_bind("tcp", "127.0.0.1:0", &c), -EINVAL);
    CHECK_EQ(rn_listen("tcp", "127.0.0.1", &l), -EINVAL);
    CHECK(!l && !c);
}

static int knows_two(struct rn_ctx *ctx, const char *host, int family, rn_found_fn *found,
                     void *arg)
{
    rn_addr a[2];

    if (strcmp(host, "asleep.test") == 0)
        return rn_sleep_ctx(ctx, RN_HOUR);
    if (strcmp(host, "empty.test") == 0)
        return 0;
    if (strcmp(host, "two.test") != 0)
        return rn_errorf(-ENOENT, "lookup %s: no such host", host);
    CHECK_EQ(rn_addr_parse(&a[0], "tcp", "[2001:db8::1]:7"), 0);
    CHECK_EQ(rn_addr_parse(&a[1], "tcp", "192.0.2.1:7"), 0);
    if (family != 4)
        found(arg, &a[0], 1);
    if (family != 6)
        found(arg, &a[1], 1);
    return 0;
}

static void looks_up_text(const char *host, int family, const char *const want[2])
{
    char text[RN_ADDR_TEXT];
    rn_addr a[2];
    int n = rn_lookup(NULL, host, family, a, 2);

    for (int i = 0; i < 2 && want[i]; i++) {
        CHECK(i < n);
        CHECK(rn_addr_text(&a[i], text, sizeof text) > 0);
        CHECK_STR(text, want[i]);
    }
    CHECK(n == 2 || !want[1]);
}

/* Numbers, what the C library knows of this machine, and what the program's own resolver says; the port is 0. */
GO_TEST(lookups_of_hosts)
{
    static const char *const six[2] = {"[2001:db8::1]:0"}, *const four[2] = {"192.0.2.1:0"},
                             *const both[2] = {"[2001:db8::1]:0", "192.0.2.1:0"},
                             *const here[2] = {"127.0.0.1:0"}, *const here6[2] = {"[::1]:0"};
    rn_ctx *ctx = rn_ctx_with_timeout(rn_ctx_background(), RN_MILLISECOND);
    char long_name[400];
    rn_listener *l;
    rn_conn *c;
    rn_addr a[2];

    looks_up_text("127.0.0.1", 0, here);
    looks_up_text("::1", 6, here6);
    looks_up_text("localhost", 4, here);
    rn_set_resolver(knows_two);
    looks_up_text("127.0.0.1", 4, here);
    looks_up_text("two.test", 0, both);
    looks_up_text("two.test", 4, four);
    looks_up_text("two.test", 6, six);
    CHECK_EQ(rn_lookup(NULL, "two.test", 0, a, 1), 1);
    CHECK_EQ(rn_lookup(NULL, "none.test", 0, a, 2), -ENOENT);
    CHECK_EQ(rn_lookup(NULL, "empty.test", 0, a, 2), -ENOENT); /* said 0, and told of none */
    CHECK_EQ(rn_dial("tcp", "empty.test:80", &c), -ENOENT);
    CHECK_EQ(rn_dial("udp", "empty.test:80", &c), -ENOENT);
    CHECK_EQ(rn_listen("tcp", "empty.test:0", &l), -ENOENT);
    CHECK_EQ(rn_lookup(ctx, "asleep.test", 0, a, 2), -ETIMEDOUT);
    CHECK_EQ(rn_lookup(ctx, "two.test", 0, a, 2), -ETIMEDOUT); /* it had ended before */
    rn_set_resolver(NULL);
    CHECK_EQ(rn_lookup(NULL, "", 0, a, 2), -EINVAL);
    CHECK_EQ(rn_lookup(NULL, NULL, 0, a, 2), -EINVAL);
    CHECK_EQ(rn_lookup(NULL, "localhost", 0, a, 0), -EINVAL);
    memset(long_name, 'h', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    CHECK_EQ(rn_lookup(NULL, long_name, 0, a, 2), -EINVAL);
    rn_ctx_end(ctx);
}

/* Who is met on an IPv6 socket has the address that it knows as its own. */
static void same_address(rn_conn *theirs, const rn_addr *seen)
{
    char text[RN_ADDR_TEXT], want[RN_ADDR_TEXT];
    rn_addr own;

    CHECK_EQ(rn_local_addr(theirs, &own), 0);
    CHECK(rn_addr_text(&own, want, sizeof want) > 0);
    CHECK(rn_addr_text(seen, text, sizeof text) > 0);
    CHECK_STR(text, want);
    CHECK(rn_addr_equal(seen, &own));
}

GO_TEST(ipv4_peers_of_ipv6_sockets)
{
    rn_conn *client, *server;
    char at[64], buf[8];
    rn_listener *l;
    rn_addr a;

    CHECK_EQ(rn_listen("tcp", ":0", &l), 0);
    CHECK_EQ(rn_listener_addr(l, &a), 0);
    snprintf(at, sizeof at, "127.0.0.1:%d", rn_addr_port(&a));
    CHECK_EQ(rn_dial("tcp", at, &client), 0);
    CHECK_EQ(rn_accept(l, &server), 0);
    CHECK_EQ(rn_remote_addr(server, &a), 0);
    same_address(client, &a);
    rn_conn_close(client);
    rn_conn_close(server);
    rn_listener_close(l);

    CHECK_EQ(rn_bind("udp", ":0", &server), 0);
    CHECK_EQ(rn_local_addr(server, &a), 0);
    snprintf(at, sizeof at, "127.0.0.1:%d", rn_addr_port(&a));
    CHECK_EQ(rn_dial("udp", at, &client), 0);
    CHECK_EQ(rn_write(client, "there", 5), 5);
    CHECK_EQ(rn_recv_from(server, buf, sizeof buf, &a), 5);
    same_address(client, &a);
    CHECK_EQ(rn_send_to(server, "back", 4, &a), 4); /* it is good for an answer, too */
    CHECK_EQ(rn_read(client, buf, sizeof buf), 4);
    rn_conn_close(client);
    rn_conn_close(server);
}

/* How many have come to n sockets since; of counts those of each. */
static int receive_now(rn_conn *const *s, int n, int *of)
{
    int all = 0;
    char b;

    for (int i = 0; i < n; i++)
        for (; recv(rn_conn_fd(s[i]), &b, 1, MSG_DONTWAIT) == 1; all++)
            of[i]++;
    return all;
}

/* Datagrams too may come to several sockets of one port: all that is sent comes, each to one of them. */
GO_TEST(datagrams_of_a_shared_port)
{
    enum { SOCKETS = 4, CLIENTS = 64 };
    const rn_listen_options shared = {.reuse_port = true};
    rn_conn *c, *s[SOCKETS];
    int got = 0, used = 0, of[SOCKETS] = {0};
    char at[RN_ADDR_TEXT];
    rn_addr a;

    CHECK_EQ(rn_bind_with("udp4", "127.0.0.1:0", &shared, &s[0]), 0);
    CHECK_EQ(rn_local_addr(s[0], &a), 0);
    CHECK(rn_addr_text(&a, at, sizeof at) > 0);
    for (int i = 1; i < SOCKETS; i++)
        CHECK_EQ(rn_bind_with("udp4", at, &shared, &s[i]), 0);
    CHECK_EQ(rn_bind("udp4", at, &c), -EADDRINUSE); /* who does not share it has no part in it */
    for (int i = 0; i < CLIENTS; i++) {
        CHECK_EQ(rn_dial("udp4", at, &c), 0);
        CHECK_EQ(rn_write(c, "x", 1), 1);
        rn_conn_close(c);
    }
    AWAIT((got += receive_now(s, SOCKETS, of)) == CLIENTS);
    for (int i = 0; i < SOCKETS; i++) {
        used += of[i] > 0;
        rn_conn_close(s[i]);
    }
    CHECK(used > 1); /* 64 ports that all lead to one of four */
}
