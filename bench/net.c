/* SPDX-License-Identifier: MIT */
/* net.c - TCP over the loopback interface. Workloads: README.md. */
#define _GNU_SOURCE
#include "driver.h"
#include "loopback.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <runnel/net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MESSAGE = 64 };

/* ---- Goroutines ----------------------------------------------------------------------------- */

static void echo(rn_conn *c)
{
    char buf[4096];
    ssize_t n;

    while ((n = rn_read(c, buf, sizeof buf)) > 0)
        if (rn_write(c, buf, (size_t)n) < 0)
            break;
    rn_conn_close(c);
}

static void serve(rn_listener *l)
{
    rn_conn *c;

    while (rn_accept(l, &c) == 0)
        rn_go(echo, c);
    rn_listener_release(l);
}

static void ask(rn_conn *c, int64_t n, rn_wg *ready, rn_recv_only(rn_unit) start)
{
    char out[MESSAGE] = {1}, in[MESSAGE];

    if (rn_write(c, out, MESSAGE) != MESSAGE || rn_read_full(c, in, MESSAGE) != MESSAGE)
        bench_fail("no echo");
    rn_wg_done(ready);
    (void)rn_recv(start);
    for (int64_t i = 0; i < n; i++) {
        out[0] = (char)i;
        if (rn_write(c, out, MESSAGE) != MESSAGE || rn_read_full(c, in, MESSAGE) != MESSAGE ||
            in[0] != out[0])
            bench_fail("no echo");
    }
    rn_conn_close(c);
}

static void echo_tcp(struct bench *b)
{
    int64_t conns = b->arg;
    rn_chan(rn_unit) start = rn_chan_make(rn_unit, 0);
    char at[RN_ADDR_TEXT];
    rn_listener *l;
    rn_wg wg = {0}, ready = {0};
    rn_addr a;

    if (rn_listen("tcp", "127.0.0.1:0", &l) != 0 || rn_listener_addr(l, &a) != 0 ||
        rn_addr_text(&a, at, sizeof at) < 0)
        bench_fail("listen");
    rn_go(serve, rn_listener_retain(l));
    rn_wg_add(&ready, (int)conns);
    for (int64_t i = 0; i < conns; i++) {
        rn_conn *c;

        if (rn_dial("tcp", at, &c) != 0)
            bench_fail("dial");
        rn_wg_go(&wg, ask, c, b->n / conns + (i < b->n % conns), &ready, start);
    }
    rn_wg_wait(&ready);
    bench_reset(b);
    rn_close(start);
    rn_wg_wait(&wg);
    bench_stop(b);
    rn_listener_close(l);
    rn_settle(RN_MINUTE);
    rn_chan_release(start);
}

/* ---- The floor: two threads with a loop around epoll each -------------------------------------- */

struct loop {
    int conns, listener, port;
    int64_t n;
    int fd[20000];
};

static void *server_loop(void *arg)
{
    struct loop *lp = arg;
    int ep = epoll_create1(0), open = lp->conns;
    struct epoll_event evs[128];
    char buf[4096];

    for (int i = 0; i < lp->conns; i++) {
        int fd = accept4(lp->listener, NULL, NULL, SOCK_NONBLOCK);
        struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

        nodelay(fd);
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
    }
    while (open > 0) {
        int n = epoll_wait(ep, evs, 128, -1);

        for (int i = 0; i < n; i++) {
            int fd = evs[i].data.fd;
            ssize_t k = read(fd, buf, sizeof buf);

            if (k > 0 && write(fd, buf, (size_t)k) == k)
                continue;
            if (k < 0 && errno == EAGAIN)
                continue;
            close(fd);
            open--;
        }
    }
    close(ep);
    return NULL;
}

static void *client_loop(void *arg)
{
    struct loop *lp = arg;
    int ep = epoll_create1(0), busy = lp->conns;
    struct epoll_event evs[128];
    int64_t *left = calloc((size_t)lp->conns, sizeof *left);
    char buf[MESSAGE] = {0};

    for (int i = 0; i < lp->conns; i++) {
        struct epoll_event ev = {.events = EPOLLIN, .data.u32 = (uint32_t)i};

        left[i] = lp->n / lp->conns + (i < lp->n % lp->conns) + 1;
        epoll_ctl(ep, EPOLL_CTL_ADD, lp->fd[i], &ev);
        if (write(lp->fd[i], buf, MESSAGE) != MESSAGE)
            bench_fail("write");
    }
    while (busy > 0) {
        int n = epoll_wait(ep, evs, 128, -1);

        for (int i = 0; i < n; i++) {
            int c = (int)evs[i].data.u32;

            if (read(lp->fd[c], buf, MESSAGE) != MESSAGE)
                bench_fail("no echo");
            if (--left[c] > 0) {
                if (write(lp->fd[c], buf, MESSAGE) != MESSAGE)
                    bench_fail("write");
            } else {
                close(lp->fd[c]);
                busy--;
            }
        }
    }
    free(left);
    close(ep);
    return NULL;
}

static void echo_epoll(struct bench *b)
{
    static struct loop lp;
    struct sockaddr_in in;
    pthread_t server, client;

    lp.conns = (int)b->arg;
    lp.n = b->n;
    lp.listener = loopback_listen(&in);
    if (lp.listener < 0)
        bench_fail("listen");
    pthread_create(&server, NULL, server_loop, &lp);
    for (int i = 0; i < lp.conns; i++) {
        lp.fd[i] = loopback_dial(&in);
        if (lp.fd[i] < 0)
            bench_fail("connect");
    }
    bench_reset(b);
    pthread_create(&client, NULL, client_loop, &lp);
    (void)rn_blocking(pthread_join(client, NULL));
    (void)rn_blocking(pthread_join(server, NULL));
    bench_stop(b);
    close(lp.listener);
}

/* ---- One after the other ------------------------------------------------------------------------ */

static void connect_tcp(struct bench *b)
{
    char at[RN_ADDR_TEXT];
    rn_listener *l;
    rn_addr a;

    if (rn_listen("tcp", "127.0.0.1:0", &l) != 0 || rn_listener_addr(l, &a) != 0 ||
        rn_addr_text(&a, at, sizeof at) < 0)
        bench_fail("listen");
    rn_go(serve, rn_listener_retain(l));
    bench_reset(b);
    for (int64_t i = 0; i < b->n; i++) {
        char buf[MESSAGE] = {0};
        rn_conn *c;

        if (rn_dial("tcp", at, &c) != 0 || rn_write(c, buf, MESSAGE) != MESSAGE ||
            rn_read_full(c, buf, MESSAGE) != MESSAGE)
            bench_fail("no echo");
        rn_conn_close(c);
    }
    bench_stop(b);
    rn_listener_close(l);
    rn_settle(RN_MINUTE);
}

static const struct bench_entry entries[] = {
    {"EchoTCP/conns=1", echo_tcp, 1, 0},       {"EchoTCP/conns=64", echo_tcp, 64, 0},
    {"EchoTCP/conns=2000", echo_tcp, 2000, 0}, {"EchoEpoll/conns=1", echo_epoll, 1, 0},
    {"EchoEpoll/conns=64", echo_epoll, 64, 0}, {"ConnectTCP", connect_tcp, 0, 0},
};

int main(int argc, char **argv)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
    return bench_main(argc, argv, entries, sizeof(entries) / sizeof(entries[0]));
}
