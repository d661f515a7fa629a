/* SPDX-License-Identifier: MIT */
/*
 * peer.h - a server that does what a test says, byte by byte: a goroutine for each connection runs the test's script.
 */
#ifndef TEST_HTTP_PEER_H
#define TEST_HTTP_PEER_H

#include "support.h"
#include "uninstrumented.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <runnel/http.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_3 "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"

struct peer;

/* A connection as its script sees it: what has come is in text[at..size). */
struct talk {
    struct peer *peer;
    int fd, number; /* of the connection, from 1 */
    size_t size, at;
    char text[16384];
};

struct peer {
    void (*script)(struct talk *t);
    int fd, port;
    _Atomic int connections, requests, stage;
    rn_ctx *ctx;
    rn_wg wg;
    void *arg;
    char url[64];
};

/* More of what the client says; false at its end. */
static inline bool talk_more(struct talk *t)
{
    ssize_t n;

    CHECK(t->size < sizeof t->text - 1);
    for (;;) {
        n = read(t->fd, t->text + t->size, sizeof t->text - 1 - t->size);
        if (n >= 0 || errno != EAGAIN)
            break;
        if (rn_wait_fd(t->fd, RN_READ, t->peer->ctx) < 0)
            return false;
    }
    if (n <= 0)
        return false;
    t->size += (size_t)n;
    t->text[t->size] = 0;
    return true;
}

/* The next request's head, until the empty line; NULL: there is none. */
static inline char *talk_head(struct talk *t)
{
    char *end, *head;

    memmove(t->text, t->text + t->at, t->size - t->at + 1);
    t->size -= t->at;
    t->at = 0;
    while (!(end = strstr(t->text, "\r\n\r\n")))
        if (!talk_more(t))
            return NULL;
    head = t->text;
    end[2] = 0;
    t->at = (size_t)(end - t->text) + 4;
    t->peer->requests++;
    return head;
}

/* n bytes of a body, in a row with the head. */
static inline char *talk_body(struct talk *t, size_t n)
{
    char *body = t->text + t->at;

    while (t->size - t->at < n)
        if (!talk_more(t))
            return NULL;
    t->at += n;
    return body;
}

static inline bool talk_write(struct talk *t, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = send(t->fd, data, size, MSG_NOSIGNAL);

        if (n > 0) {
            data += n;
            size -= (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            if (rn_wait_fd(t->fd, RN_WRITE, t->peer->ctx) < 0)
                return false;
        } else {
            return false;
        }
    }
    return true;
}
static inline bool talk_say(struct talk *t, const char *text)
{
    return talk_write(t, text, strlen(text));
}
/* Until the client closes. */
static inline void talk_hold(struct talk *t)
{
    do
        t->at = t->size = 0;
    while (talk_more(t));
}
/* The connection is cut when the script returns. */
static inline void talk_cut(struct talk *t)
{
    struct linger now = {1, 0};

    CHECK_EQ(setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
}

static inline void peer_talk(struct peer *p, int fd, int number)
{
    struct talk *t = calloc(1, sizeof *t);

    CHECK(t);
    t->peer = p;
    t->fd = fd;
    t->number = number;
    p->script(t);
    rn_forget_fd(fd);
    close(fd);
    free(t);
}

static inline void peer_accept(struct peer *p)
{
    while (rn_wait_fd(p->fd, RN_READ, p->ctx) > 0) {
        int fd = accept4(p->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0)
            rn_wg_go(&p->wg, peer_talk, p, fd, ++p->connections);
    }
}

static inline int peer_listen(int backlog, int *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    CHECK_EQ(bind(fd, (struct sockaddr *)&a, n), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    CHECK_EQ(listen(fd, backlog), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

static inline void peer_start(struct peer *p, void (*script)(struct talk *t))
{
    *p = (struct peer){.script = script};
    p->fd = peer_listen(1024, &p->port);
    snprintf(p->url, sizeof p->url, "http://127.0.0.1:%d/", p->port);
    p->ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_wg_go(&p->wg, peer_accept, p);
}

static inline void peer_end(struct peer *p)
{
    rn_ctx_cancel(p->ctx);
    rn_wg_wait(&p->wg);
    rn_ctx_end(p->ctx);
    rn_forget_fd(p->fd);
    close(p->fd);
}

/* Sockets that this process has: what the poller has of its own comes and goes. */
static inline int open_sockets(void)
{
    DIR *d = opendir("/proc/self/fd");
    const struct dirent *e;
    int n = 0;

    CHECK(d);
    while ((e = readdir(d))) {
        char to[64] = "";

        n += readlinkat(dirfd(d), e->d_name, to, sizeof to - 1) > 0 &&
             memcmp(to, "socket:", 7) == 0;
    }
    closedir(d);
    return n;
}

/* The client's end of a connection, if it is of this process; else -1. */
static inline int other_end(const struct talk *t)
{
    struct sockaddr_in there, a;
    socklen_t n = sizeof there;
    DIR *d = opendir("/proc/self/fd");
    const struct dirent *e;
    int found = -1;

    CHECK(d);
    CHECK_EQ(getpeername(t->fd, (struct sockaddr *)&there, &n), 0);
    while (found < 0 && (e = readdir(d))) {
        int fd = atoi(e->d_name);

        n = sizeof a;
        if (fd != t->fd && getsockname(fd, (struct sockaddr *)&a, &n) == 0 &&
            a.sin_family == AF_INET && a.sin_port == there.sin_port &&
            a.sin_addr.s_addr == there.sin_addr.s_addr)
            found = fd;
    }
    closedir(d);
    return found;
}

static inline void says(int err, const char *part)
{
    if (!strstr(rn_errmsg(err), part))
        test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", rn_errmsg(err), part);
}

static inline rn_http_client *client_of(rn_http_options o)
{
    rn_http_client *c;
    int err = rn_http_client_new(&o, &c);

    if (err)
        test_fail(__FILE__, __LINE__, "client: %s", rn_errmsg(err));
    return c;
}

static inline rn_http_response *answer(rn_http_client *c, rn_http_request rq)
{
    rn_http_response *r;
    int err = rn_http_do(NULL, c, &rq, &r);

    if (err)
        test_fail(__FILE__, __LINE__, "%s: %d, %s", rq.url, err, rn_errmsg(err));
    return r;
}

#endif
