/* SPDX-License-Identifier: MIT */
/*
 * server.h - a DNS server for tests, on a port of 127.0.0.1, UDP and TCP. Names tell it how to behave; all are under .test:
 *
 *   a           192.0.2.1 and 2001:db8::1, TTL 60
 *   v4          192.0.2.4 alone; NODATA otherwise, kept 30 s. corp.v4 too; corp.a is as a
 *   none        NXDOMAIN, kept 20 s; bare: without a SOA
 *   alias       -> middle -> a, TTL 10 of the first; ring -> ring2 -> ring
 *   big         cut off by UDP, 40 addresses by TCP; torn: reset in the middle of these; mute: nothing by TCP
 *   silent      no answer
 *   half        IPv4 answered (127.0.0.1), IPv6 not
 *   held        answered once released
 *   lies        a wrong number, a wrong question, garbage, and then the truth
 *   short, zero 192.0.2.9, TTL 1 and 0
 *   fail        SERVFAIL
 *   here        127.0.0.1
 *   nN          10.0.x.y of N
 *   mx, txt, _s._tcp, 1.2.0.192.in-addr.arpa    what one thinks
 */
#ifndef TEST_DNS_SERVER_H
#define TEST_DNS_SERVER_H

#include "support.h"

#include <errno.h>
#include <runnel/net.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

enum { PORTS_SEEN = 256 };

struct dns_server {
    rn_conn *udp;
    rn_listener *tcp;
    rn_wg wg;
    char at[RN_ADDR_TEXT];
    _Atomic int asked, by_tcp;        /* questions seen */
    int ports[PORTS_SEEN], questions; /* the ports that the first came from */
    rn_chan(rn_unit) held;            /* closed: released */
};

struct reply {
    unsigned char data[8192];
    size_t size, question_end;
};

static inline void put(struct reply *r, const void *p, size_t n)
{
    memcpy(r->data + r->size, p, n);
    r->size += n;
}
static inline void put16(struct reply *r, unsigned v)
{
    unsigned char b[2] = {(unsigned char)(v >> 8), (unsigned char)v};

    put(r, b, 2);
}
static inline void put32(struct reply *r, unsigned v)
{
    put16(r, v >> 16);
    put16(r, v & 0xffff);
}
static inline void put_name(struct reply *r, const char *name)
{
    while (*name) {
        size_t n = strcspn(name, ".");
        unsigned char length = (unsigned char)n;

        put(r, &length, 1);
        put(r, name, n);
        name += n + (name[n] == '.');
    }
    put(r, "", 1);
}
/* A record of owner, "": the question's name; section 6, 8, 10. Data follows. */
static inline void put_rr(struct reply *r, int section, const char *owner, int type, unsigned ttl,
                          size_t size)
{
    unsigned count = (unsigned)r->data[section] << 8 | r->data[section + 1];

    count++;
    r->data[section] = (unsigned char)(count >> 8);
    r->data[section + 1] = (unsigned char)count;
    if (*owner)
        put_name(r, owner);
    else
        put16(r, 0xc00c);
    put16(r, (unsigned)type);
    put16(r, 1);
    put32(r, ttl);
    put16(r, (unsigned)size);
}
static inline void put_a(struct reply *r, const char *owner, unsigned ttl, unsigned addr)
{
    put_rr(r, 6, owner, 1, ttl, 4);
    put32(r, addr);
}
static inline void put_aaaa(struct reply *r, const char *owner, unsigned ttl)
{
    static const unsigned char addr[16] = {0x20, 1, 0xd, 0xb8, [15] = 1};

    put_rr(r, 6, owner, 28, ttl, 16);
    put(r, addr, 16);
}
static inline size_t name_size(const char *name)
{
    return strlen(name) + 2;
}
static inline void put_target(struct reply *r, const char *owner, int type, unsigned ttl,
                              const char *target)
{
    put_rr(r, 6, owner, type, ttl, name_size(target));
    put_name(r, target);
}
static inline void put_soa(struct reply *r, unsigned ttl, unsigned minimum)
{
    put_rr(r, 8, "test", 6, ttl, name_size("ns.test") + name_size("me.test") + 20);
    put_name(r, "ns.test");
    put_name(r, "me.test");
    for (int i = 0; i < 4; i++)
        put32(r, 1);
    put32(r, minimum);
}

/* The first question's name without ".test"; its type. */
static inline int read_question(const unsigned char *q, size_t size, char name[256],
                                size_t *ret_end)
{
    size_t at = 12, n = 0;

    while (at < size && q[at]) {
        if (n)
            name[n++] = '.';
        memcpy(name + n, q + at + 1, q[at]);
        n += q[at];
        at += (size_t)q[at] + 1;
    }
    name[n] = 0;
    if (n > 5 && strcasecmp(name + n - 5, ".test") == 0)
        name[n - 5] = 0;
    else if (n < 5 || strcasecmp(name + n - 5, ".arpa") != 0)
        strcpy(name, "outside");
    *ret_end = at + 5;
    return q[at + 1] << 8 | q[at + 2];
}

enum verdict { ANSWER, NOTHING };

static inline enum verdict make_reply(struct dns_server *s, const unsigned char *q, size_t size,
                                      bool tcp, struct reply *r)
{
    char name[256];
    size_t end;
    int type = read_question(q, size, name, &end), number;

    memset(r->data, 0, 12);
    r->size = 0;
    put(r, q, end);
    memset(r->data + 6, 0, 6);
    r->data[2] = 0x81;
    r->data[3] = 0x80;
    r->data[5] = 1;
    r->question_end = end;
    s->asked++;
    s->by_tcp += tcp;

    if (strcasecmp(name, "silent") == 0)
        return NOTHING;
    if (strcasecmp(name, "held") == 0)
        (void)rn_recv_ok(s->held, (rn_unit *)NULL);
    if (strcasecmp(name, "half") == 0) {
        if (type != 1)
            return NOTHING;
        put_a(r, "", 60, 0x7f000001);
    } else if (strcasecmp(name, "a") == 0 || strcasecmp(name, "held") == 0 ||
               strcasecmp(name, "lies") == 0 || strcasecmp(name, "corp.a") == 0) {
        if (type == 1)
            put_a(r, "", 60, 0xc0000201);
        if (type == 28)
            put_aaaa(r, "", 60);
    } else if (strcasecmp(name, "v4") == 0 || strcasecmp(name, "corp.v4") == 0) {
        if (type == 1)
            put_a(r, "", 60, 0xc0000204);
        else
            put_soa(r, 100, 30);
    } else if (strcasecmp(name, "alias") == 0) {
        put_target(r, "", 5, 10, "middle.test");
        /* In no good order. */
        if (type == 1)
            put_a(r, "A.test", 60, 0xc0000201);
        if (type == 28)
            put_aaaa(r, "a.TEST", 60);
        put_target(r, "middle.test", 5, 20, "a.test");
    } else if (strcasecmp(name, "ring") == 0) {
        put_target(r, "", 5, 10, "ring2.test");
        put_target(r, "ring2.test", 5, 10, "ring.test");
    } else if (strcasecmp(name, "mute") == 0 && tcp) {
        return NOTHING;
    } else if (strcasecmp(name, "big") == 0 || strcasecmp(name, "torn") == 0 ||
               strcasecmp(name, "mute") == 0) {
        if (!tcp)
            r->data[2] |= 2;
        for (unsigned i = 0; tcp && type == 1 && i < 40; i++)
            put_a(r, "", 60, 0xc0000300 + i);
    } else if (strcasecmp(name, "short") == 0 || strcasecmp(name, "zero") == 0) {
        if (type == 1)
            put_a(r, "", name[0] == 's', 0xc0000209);
    } else if (strcasecmp(name, "here") == 0) {
        if (type == 1)
            put_a(r, "", 60, 0x7f000001);
    } else if (strcasecmp(name, "fail") == 0) {
        r->data[3] |= 2;
    } else if (sscanf(name, "n%d", &number) == 1) {
        if (type == 1)
            put_a(r, "", 60, 0x0a000000 + (unsigned)number);
    } else if (strcasecmp(name, "mx") == 0) {
        static const char *const host[] = {"third.test", "first.test", "second.test"};
        static const unsigned preference[] = {30, 10, 20};

        for (int i = 0; i < 3; i++) {
            put_rr(r, 6, "", 15, 60, 2 + name_size(host[i]));
            put16(r, preference[i]);
            put_name(r, host[i]);
        }
    } else if (strcasecmp(name, "_s._tcp") == 0) {
        static const unsigned v[][3] = {{2, 0, 700}, {1, 1, 701}, {1, 99, 702}, {1, 0, 703}};

        for (int i = 0; i < 4; i++) {
            put_rr(r, 6, "", 33, 60, 6 + name_size("a.test"));
            for (int k = 0; k < 3; k++)
                put16(r, v[i][k]);
            put_name(r, "a.test");
        }
    } else if (strcasecmp(name, "txt") == 0) {
        put_rr(r, 6, "", 16, 60, 4 + 5);
        put(r, "\003one\004\0two", 9);
    } else if (strcasecmp(name, "1.2.0.192.in-addr.arpa") == 0) {
        put_target(r, "", 12, 60, "a.test");
    } else {
        r->data[3] |= 3;
        if (strcasecmp(name, "bare") != 0)
            put_soa(r, 20, 100);
    }
    return ANSWER;
}

struct question {
    unsigned char data[1500];
    size_t size;
    rn_addr from;
};

static inline void answer_udp(struct dns_server *s, struct question *q)
{
    struct reply r;
    char name[256];
    size_t end;

    if (make_reply(s, q->data, q->size, false, &r) == ANSWER) {
        read_question(q->data, q->size, name, &end);
        if (strcasecmp(name, "lies") == 0) {
            struct reply lie = r;

            lie.data[0] ^= 0x55; /* another's */
            lie.data[lie.size - 1] = 66;
            rn_send_to(s->udp, lie.data, lie.size, &q->from);
            lie = r;
            lie.data[13] ^= 1; /* an answer to what nobody asked */
            lie.data[lie.size - 1] = 67;
            rn_send_to(s->udp, lie.data, lie.size, &q->from);
            rn_send_to(s->udp, "garbage", 7, &q->from);
        }
        rn_send_to(s->udp, r.data, r.size, &q->from);
    }
}

static inline void answer_udp_go(struct dns_server *s, struct question *q)
{
    answer_udp(s, q);
    free(q);
    rn_wg_done(&s->wg);
}

static inline void serve_udp(struct dns_server *s)
{
    for (;;) {
        struct question *q = malloc(sizeof *q);
        ssize_t n = rn_recv_from(s->udp, q->data, sizeof q->data, &q->from);

        if (n < 17) {
            free(q);
            if (n == -ECANCELED)
                break;
            continue;
        }
        q->size = (size_t)n;
        if (s->questions < PORTS_SEEN)
            s->ports[s->questions++] = rn_addr_port(&q->from);
        rn_wg_add(&s->wg, 1);
        rn_go(answer_udp_go, s, q);
    }
}

static inline void serve_tcp_one(struct dns_server *s, rn_conn *c)
{
    unsigned char size[2], q[1500];
    struct reply r;

    while (rn_read_full(c, size, 2) == 2) {
        size_t n = (size_t)(size[0] << 8 | size[1]);

        if (n < 17 || n > sizeof q || rn_read_full(c, q, n) != (ssize_t)n)
            break;
        if (make_reply(s, q, n, true, &r) != ANSWER)
            continue;
        size[0] = (unsigned char)(r.size >> 8);
        size[1] = (unsigned char)r.size;
        rn_write(c, size, 2);
        if (q[12] == 4 && strncasecmp((char *)q + 13, "torn", 4) == 0) {
            struct linger none = {.l_onoff = 1, .l_linger = 0};

            rn_write(c, r.data, r.size / 2);
            setsockopt(rn_conn_fd(c), SOL_SOCKET, SO_LINGER, &none, sizeof none);
            break;
        }
        rn_write(c, r.data, r.size);
    }
    rn_conn_close(c);
}

static inline void serve_tcp(struct dns_server *s)
{
    rn_conn *c;

    while (rn_accept(s->tcp, &c) == 0)
        rn_wg_go(&s->wg, serve_tcp_one, s, c);
}

static inline struct dns_server *dns_server_new(void)
{
    struct dns_server *s = calloc(1, sizeof *s);
    rn_addr a;
    int err = -EADDRINUSE;

    while (err == -EADDRINUSE) { /* one port for both */
        CHECK_EQ(rn_bind("udp4", "127.0.0.1:0", &s->udp), 0);
        CHECK_EQ(rn_local_addr(s->udp, &a), 0);
        CHECK(rn_addr_text(&a, s->at, sizeof s->at) > 0);
        err = rn_listen("tcp4", s->at, &s->tcp);
        if (err)
            rn_conn_close(s->udp);
    }
    CHECK_EQ(err, 0);
    s->held = rn_chan_make(rn_unit, 0);
    rn_wg_go(&s->wg, serve_udp, s);
    rn_wg_go(&s->wg, serve_tcp, s);
    return s;
}

static inline void dns_server_release(struct dns_server *s)
{
    rn_close(s->held);
}

static inline void dns_server_end(struct dns_server *s)
{
    rn_conn_cancel(s->udp);
    rn_listener_cancel(s->tcp);
    rn_wg_wait(&s->wg);
    rn_conn_release(s->udp);
    rn_listener_release(s->tcp);
    rn_chan_release(s->held);
    free(s);
}

#endif
