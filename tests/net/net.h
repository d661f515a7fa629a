/* SPDX-License-Identifier: MIT */
/*
 * net.h - what the tests of sockets share: a listener and connections to it, on each kind of network.
 */
#ifndef TEST_NET_H
#define TEST_NET_H

#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum network { TCP4, TCP6, UNIX_PATH, UNIX_ABSTRACT, NETWORKS };
static const char *const network_name[NETWORKS] = {"tcp4", "tcp6", "unix", "unix"};

/* Both ends of a connection. */
struct ends {
    rn_conn *client, *server;
};

/* A listener on a free address, whose text is at. NULL, said once: the machine has no such network. */
static inline rn_listener *listen_any(enum network n, char at[RN_ADDR_TEXT])
{
    static _Atomic int counter;
    rn_listener *l = NULL;
    rn_addr addr;
    int err;

    switch (n) {
    case TCP4:
        snprintf(at, RN_ADDR_TEXT, "127.0.0.1:0");
        break;
    case TCP6:
        snprintf(at, RN_ADDR_TEXT, "[::1]:0");
        break;
    case UNIX_PATH:
        snprintf(at, RN_ADDR_TEXT, "/tmp/runnel-net-%d-%d", (int)getpid(), counter++);
        break;
    default:
        snprintf(at, RN_ADDR_TEXT, "@runnel-net-%d-%d", (int)getpid(), counter++);
        break;
    }
    err = rn_listen(network_name[n], at, &l);
    if (n == TCP6 && (err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL)) {
        static _Atomic bool said;

        if (!said)
            printf("no IPv6 on this machine: left out\n");
        said = true;
        return NULL;
    }
    if (err)
        test_fail(__FILE__, __LINE__, "listen %s %s: %s", network_name[n], at, rn_errmsg(err));
    CHECK_EQ(rn_listener_addr(l, &addr), 0);
    CHECK(rn_addr_text(&addr, at, RN_ADDR_TEXT) > 0);
    return l;
}

static inline rn_conn *dial_ok(enum network n, const char *at)
{
    rn_conn *c = NULL;
    int err = rn_dial(network_name[n], at, &c);

    if (err)
        test_fail(__FILE__, __LINE__, "dial %s %s: %s", network_name[n], at, rn_errmsg(err));
    return c;
}

static inline struct ends ends_new(rn_listener *l, enum network n, const char *at)
{
    struct ends e;

    e.client = dial_ok(n, at);
    CHECK_EQ(rn_accept(l, &e.server), 0);
    return e;
}

/* On a network of its own. */
static inline struct ends ends_on(enum network n)
{
    char at[RN_ADDR_TEXT];
    rn_listener *l = listen_any(n, at);
    struct ends e = ends_new(l, n, at);

    rn_listener_close(l);
    return e;
}

static inline void ends_close(struct ends e)
{
    rn_conn_close(e.client);
    rn_conn_close(e.server);
}

/* A byte of a stream, by its place. */
static inline char pattern(size_t at)
{
    return (char)(at * 31 + at / 251);
}

/* Write, and read and check, size bytes of the pattern. */
static inline void write_pattern(rn_conn *c, size_t size)
{
    static const size_t chunks[] = {1, 100, 4096, 65536, 77777};
    char *buf = malloc(77777);

    for (size_t at = 0, i = 0; at < size; i++) {
        size_t n = chunks[i % 5] < size - at ? chunks[i % 5] : size - at;

        for (size_t k = 0; k < n; k++)
            buf[k] = pattern(at + k);
        CHECK_EQ(rn_write(c, buf, n), n);
        at += n;
    }
    free(buf);
}
static inline void check_pattern(const char *buf, size_t at, ssize_t n)
{
    for (ssize_t k = 0; k < n; k++)
        CHECK_EQ(buf[k], pattern(at + (size_t)k));
}
static inline void read_pattern(rn_conn *c, size_t size)
{
    char *buf = malloc(50000);

    for (size_t at = 0; at < size;) {
        ssize_t n = rn_read(c, buf, size - at < 50000 ? size - at : 50000);

        CHECK(n > 0);
        check_pattern(buf, at, n);
        at += (size_t)n;
    }
    free(buf);
}

static inline void expect_end(rn_conn *c)
{
    char b;

    CHECK_EQ(rn_read(c, &b, 1), 0);
}

/* Descriptors of this process that are open. */
static inline int open_descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 1000; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

#endif
