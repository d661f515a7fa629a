/* SPDX-License-Identifier: MIT */
/*
 * addr.c - addresses, to and from text, and names.
 *
 * Numbers are read here. A name is looked up by the C library, which waits inside: on a goroutine of its own with a
 * stack that is large enough for it, and the caller waits for that, or no longer than its context lives. The record
 * of a lookup belongs to both. A function that the program, or librunnel-dns, has set looks names up in its stead;
 * services stay with the C library.
 *
 * Nothing ends the C library's lookup before it wants to, and each keeps a thread: so there is a bound on those at work,
 * and the others wait for their turn, or until nobody wants them any more. With a name server that is gone a program
 * whose contexts end would have thread after thread otherwise. They look again, every 50 ms at the latest, since nobody
 * can be told that a turn is free: whoever has it may belong to a runtime that has ended.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <runnel/chan.h>
#include <runnel/ctx.h>
#include <runnel/err.h>
#include <runnel/go.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "base/mem.h"
#include "base/tools.h"
#include "net/sock.h"

_Static_assert(sizeof(struct sockaddr_un) <= ADDR_ROOM, "rn_addr has room");
_Static_assert(sizeof(struct sockaddr_in6) <= ADDR_ROOM, "rn_addr has room");

enum { HOST_MAX = 256, PORT_MAX = 64 };
enum { LOOKUPS = 256 }; /* by the C library at a time, at most */

static const struct {
    const char *name;
    struct net_kind kind;
} networks[] = {
    {"tcp", {AF_UNSPEC, SOCK_STREAM}}, {"tcp4", {AF_INET, SOCK_STREAM}},
    {"tcp6", {AF_INET6, SOCK_STREAM}}, {"udp", {AF_UNSPEC, SOCK_DGRAM}},
    {"udp4", {AF_INET, SOCK_DGRAM}},   {"udp6", {AF_INET6, SOCK_DGRAM}},
    {"unix", {AF_UNIX, SOCK_STREAM}},  {"unixgram", {AF_UNIX, SOCK_DGRAM}},
};

int rn__net_kind(const char *network, struct net_kind *ret_kind)
{
    for (size_t i = 0; network && i < sizeof networks / sizeof networks[0]; i++)
        if (strcmp(network, networks[i].name) == 0) {
            *ret_kind = networks[i].kind;
            return 0;
        }
    return rn_errorf(-EINVAL, "unknown network %s", network ? network : "(null)");
}

static int no_address(const char *text, const char *why)
{
    return rn_errorf(-EINVAL, "address %.60s: %s", text, why);
}

static int no_such_host(const char *host)
{
    return rn_errorf(-ENOENT, "lookup %.80s: no such host", host);
}

/* ---- Text to address ------------------------------------------------------------------------------------------ */

static int unix_addr(rn_addr *ret_addr, const char *text)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t n = strlen(text);
    rn_addr a = {{0}};

    if (n == 0)
        return no_address(text, "a path is missing");
    if (n >= sizeof un.sun_path)
        return no_address(text, "the path is too long");
    memcpy(un.sun_path, text, n);
    if (text[0] == '@')
        un.sun_path[0] = 0;
    memcpy(&a, &un, sizeof un);
    /* An abstract name has no end but its length. */
    addr_set_length(&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (text[0] != '@')));
    *ret_addr = a;
    return 0;
}

/* "host:port", "[host]:port" -> host and port. */
static int split(const char *text, char host[HOST_MAX], char port[PORT_MAX])
{
    const char *colon = strrchr(text, ':'), *end;

    if (!colon)
        return no_address(text, "a port is missing");
    end = colon;
    if (text[0] == '[') {
        text++;
        if (end == text || end[-1] != ']')
            return no_address(text - 1, "a ] before the port is missing");
        end--;
        if (memchr(text, ']', (size_t)(end - text)) || memchr(text, '[', (size_t)(end - text)))
            return no_address(text - 1, "too many brackets");
    } else if (memchr(text, ':', (size_t)(end - text))) {
        return no_address(text, "too many colons; a number with colons stands in brackets");
    } else if (memchr(text, '[', (size_t)(end - text)) || memchr(text, ']', (size_t)(end - text))) {
        return no_address(text, "a bracket without the other");
    }
    if (end - text >= HOST_MAX)
        return no_address(text, "the host is too long");
    if (strlen(colon + 1) >= PORT_MAX)
        return no_address(text, "the port is too long");
    memcpy(host, text, (size_t)(end - text));
    host[end - text] = 0;
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    return 0;
}

/* A number from 0 to 65535; -1: not all digits; -2: too large. */
static int port_number(const char *port)
{
    int n = 0;

    if (!*port)
        return 0;
    for (; *port; port++) {
        if (*port < '0' || *port > '9')
            return -1;
        n = n * 10 + (*port - '0');
        if (n > 65535)
            return -2;
    }
    return n;
}

static void put_in4(rn_addr *ret_addr, struct in_addr in, int port)
{
    struct sockaddr_in sin = {
        .sin_family = AF_INET, .sin_addr = in, .sin_port = htons((uint16_t)port)};
    rn_addr a = {{0}};

    memcpy(&a, &sin, sizeof sin);
    addr_set_length(&a, sizeof sin);
    *ret_addr = a;
}

static void put_in6(rn_addr *ret_addr, struct in6_addr in6, uint32_t scope, int port)
{
    struct sockaddr_in6 sin = {.sin6_family = AF_INET6,
                               .sin6_addr = in6,
                               .sin6_scope_id = scope,
                               .sin6_port = htons((uint16_t)port)};
    rn_addr a = {{0}};

    memcpy(&a, &sin, sizeof sin);
    addr_set_length(&a, sizeof sin);
    *ret_addr = a;
}

/* The address that host says in numbers, of family; false if it does not. */
static bool numeric(rn_addr *ret_addr, const char *host, int family, int port)
{
    char bare[HOST_MAX];
    char *zone;
    struct in_addr in;
    struct in6_addr in6;
    uint32_t scope = 0;

    if (family != AF_INET6 && inet_pton(AF_INET, host, &in) == 1) {
        put_in4(ret_addr, in, port);
        return true;
    }
    if (family == AF_INET)
        return false;
    snprintf(bare, sizeof bare, "%s", host);
    zone = strchr(bare, '%');
    if (zone) {
        int n;

        *zone++ = 0;
        n = port_number(zone);
        scope = n > 0 ? (uint32_t)n : if_nametoindex(zone);
        if (scope == 0)
            return false;
    }
    if (inet_pton(AF_INET6, bare, &in6) != 1)
        return false;
    put_in6(ret_addr, in6, scope, port);
    return true;
}

int rn_addr_parse(rn_addr *ret_addr, const char *network, const char *text)
{
    char host[HOST_MAX], port[PORT_MAX];
    struct net_kind kind;
    int err = rn__net_kind(network, &kind), n;

    if (err)
        return err;
    if (kind.family == AF_UNIX)
        return unix_addr(ret_addr, text);
    err = split(text, host, port);
    if (err)
        return err;
    n = port_number(port);
    if (n < 0 || !*port)
        return no_address(text, "the port is no number up to 65535");
    if (!numeric(ret_addr, host, kind.family, n))
        return no_address(text, "the host is no number of this network");
    return 0;
}

/* ---- Address to text ------------------------------------------------------------------------------------------ */

int rn_addr_port(const rn_addr *a)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;

    if (addr_family(a) == AF_INET) {
        memcpy(&in, a, sizeof in);
        return ntohs(in.sin_port);
    }
    if (addr_family(a) == AF_INET6) {
        memcpy(&in6, a, sizeof in6);
        return ntohs(in6.sin6_port);
    }
    return 0;
}

bool rn_addr_equal(const rn_addr *a, const rn_addr *b)
{
    socklen_t n = addr_length_of(a);

    return n == addr_length_of(b) && memcmp(a, b, n) == 0;
}

int rn_addr_text(const rn_addr *a, char *text, size_t size)
{
    char buf[RN_ADDR_TEXT + 64], number[INET6_ADDRSTRLEN], zone[IF_NAMESIZE + 1] = "";
    int n = 0;

    buf[0] = 0;
    if (addr_length_of(a) < sizeof(sa_family_t)) {
        n = 0;
    } else if (addr_family(a) == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, a, sizeof in);
        inet_ntop(AF_INET, &in.sin_addr, number, sizeof number);
        n = snprintf(buf, sizeof buf, "%s:%d", number, rn_addr_port(a));
    } else if (addr_family(a) == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, a, sizeof in6);
        inet_ntop(AF_INET6, &in6.sin6_addr, number, sizeof number);
        if (in6.sin6_scope_id) {
            zone[0] = '%';
            if (!if_indextoname(in6.sin6_scope_id, zone + 1))
                snprintf(zone + 1, sizeof zone - 1, "%u", in6.sin6_scope_id);
        }
        n = snprintf(buf, sizeof buf, "[%s%s]:%d", number, zone, rn_addr_port(a));
    } else if (addr_family(a) == AF_UNIX) {
        size_t length = addr_length_of(a);
        size_t start = offsetof(struct sockaddr_un, sun_path);
        const char *path = (const char *)a + start;

        length = length > start ? length - start : 0;
        if (length > 0 && path[0] == 0) {
            memcpy(buf, path, length);
            buf[0] = '@';
            n = (int)length;
        } else {
            n = (int)strnlen(path, length);
            memcpy(buf, path, (size_t)n);
        }
        buf[n] = 0;
    }
    if ((size_t)n >= size)
        return -ENOBUFS;
    memcpy(text, buf, (size_t)n + 1);
    return n;
}

void rn__addr_by_kernel(rn_addr *a, socklen_t n)
{
    struct sockaddr_in6 six;
    struct in_addr four;

    addr_set_length(a, n);
    if (n < sizeof six || addr_family(a) != AF_INET6)
        return;
    memcpy(&six, a, sizeof six);
    if (!IN6_IS_ADDR_V4MAPPED(&six.sin6_addr))
        return;
    memcpy(&four, &six.sin6_addr.s6_addr[12], sizeof four);
    *a = (rn_addr){{0}};
    put_in4(a, four, ntohs(six.sin6_port));
}

/* ---- Names ---------------------------------------------------------------------------------------------------- */

struct lookup {
    uint32_t refs; /* atomic */
    char host[HOST_MAX], port[PORT_MAX];
    struct addrinfo hints;
    struct addrinfo *list;
    int code;  /* getaddrinfo's */
    int saved; /* errno for EAI_SYSTEM, negative */
    rn_chan(int) done;
};

static void lookup_unref(struct lookup *l)
{
    edge_release(&l->refs);
    if (sub_acq_rel(&l->refs, 1) != 1) /* pairs with the other's */
        return;
    edge_acquire(&l->refs);
    if (l->list)
        freeaddrinfo(l->list);
    rn_chan_release(l->done);
    rn__mem_free(l);
}

static uint32_t looking; /* atomic: calls of getaddrinfo, those of ended runtimes too */

/* A turn, if one is free: no more than so many, nor half of the threads that there may be. */
static bool look_begin(void)
{
    uint32_t n = load_relaxed(&looking), most = rn__self()->rt->max_workers / 2;

    if (most > LOOKUPS)
        most = LOOKUPS;
    do {
        if (n >= most)
            return false;
    } while (!cas_relaxed(&looking, &n, n + 1));
    return true;
}

/* On a thread without a processor, perhaps for ever. Between look_begin and this nothing takes the goroutine away. */
static void look(struct lookup *l)
{
    l->code =
        getaddrinfo(l->host[0] ? l->host : NULL, l->port[0] ? l->port : "0", &l->hints, &l->list);
    l->saved = l->code == EAI_SYSTEM ? -errno : 0;
    sub_release(&looking, 1);
}

void rn__lookups_fork(void);
void rn__lookups_fork(void)
{
    store_relaxed(&looking, 0); /* those threads are the parent's */
}

static void lookup_run(void *arg)
{
    rn_dur pause = RN_MILLISECOND;
    struct lookup *l = arg;

    while (!look_begin()) {
        if (load_relaxed(&l->refs) == 1) { /* ours: the caller has gone */
            lookup_unref(l);
            return;
        }
        rn_sleep(pause);
        pause = pause < 32 * RN_MILLISECOND ? 2 * pause : 50 * RN_MILLISECOND;
    }
    rn_blocking(look(l));
    rn_send(l->done, 0);
    lookup_unref(l);
}

static int lookup_error(const struct lookup *l)
{
    int code = -EIO;

    switch (l->code) {
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
        return no_such_host(l->host);
    case EAI_SERVICE:
        return rn_errorf(-EINVAL, "lookup %.60s: no such service", l->port);
    case EAI_AGAIN:
        code = -EAGAIN;
        break;
    case EAI_MEMORY:
        code = -ENOMEM;
        break;
    case EAI_SYSTEM:
        code = l->saved ? l->saved : -EIO;
        break;
    default:
        break;
    }
    return rn_errorf(code, "lookup %.60s: %s", l->host, gai_strerror(l->code));
}

static int lookup(struct rn_ctx *ctx, struct net_kind kind, const char *host, const char *port,
                  bool passive, rn_addr *ret_addrs, int room)
{
    struct lookup *l = rn__mem_new_zero(sizeof *l, 16);
    int ignored, err, n = 0;

    if (!l)
        return -ENOMEM;
    l->refs = 2;
    memcpy(l->host, host, strlen(host) + 1);
    memcpy(l->port, port, strlen(port) + 1);
    l->hints = (struct addrinfo){
        .ai_family = kind.family, .ai_socktype = kind.type, .ai_flags = passive ? AI_PASSIVE : 0};
    if (rn_chan_make_err(&l->done, 1)) {
        rn__mem_free(l);
        return -ENOMEM;
    }
    rn_go_with(RN_ATTR(.stack_size = 256 << 10, .name = "lookup"), lookup_run, l);
    err = rn_recv_ctx(ctx, l->done, &ignored);
    if (!err && l->code)
        err = lookup_error(l);
    for (const struct addrinfo *ai = l->list; !err && ai && n < room; ai = ai->ai_next) {
        rn_addr a = {{0}};

        if (ai->ai_addrlen > ADDR_ROOM || (ai->ai_family != AF_INET && ai->ai_family != AF_INET6))
            continue;
        memcpy(&a, ai->ai_addr, ai->ai_addrlen);
        addr_set_length(&a, ai->ai_addrlen);
        ret_addrs[n++] = a;
    }
    if (!err && n == 0)
        err = no_such_host(host);
    lookup_unref(l);
    return err ? err : n;
}

/* ---- Names, by somebody else ---------------------------------------------------------------------------------- */

static int (*resolver)(struct rn_ctx *, const char *, int, rn_found_fn *, void *); /* atomic */

void rn_set_resolver(int (*resolve)(struct rn_ctx *ctx, const char *host, int family,
                                    rn_found_fn *found, void *arg))
{
    store_release(&resolver, resolve); /* pairs with rn__net_look_up */
}

void rn__net_set_port(rn_addr *a, int port)
{
    uint16_t in_order = htons((uint16_t)port);

    _Static_assert(offsetof(struct sockaddr_in, sin_port) ==
                       offsetof(struct sockaddr_in6, sin6_port),
                   "either family's");
    memcpy((char *)a + offsetof(struct sockaddr_in, sin_port), &in_order, sizeof in_order);
}

bool rn__net_is_name(struct net_kind kind, const char *text, char host[NET_HOST], int *ret_port)
{
    char port[PORT_MAX];
    rn_addr a;

    _Static_assert((int)HOST_MAX == (int)NET_HOST, "of the same room");
    if (!load_relaxed(&resolver) || !text || kind.family == AF_UNIX ||
        split(text, host, port) != 0 || !host[0])
        return false;
    *ret_port = port_number(port);
    return *ret_port >= 0 && !numeric(&a, host, kind.family, *ret_port);
}

/* A resolver that says 0 and has told of no address has found none. */
struct found_some {
    rn_found_fn *found;
    void *arg;
    bool any;
};

static void found_some(void *arg, const rn_addr *addrs, int n)
{
    struct found_some *some = arg;

    some->any = some->any || n > 0;
    some->found(some->arg, addrs, n);
}

int rn__net_look_up(struct rn_ctx *ctx, struct net_kind kind, const char *host, rn_found_fn *found,
                    void *arg)
{
    struct found_some some = {found, arg, false};
    int (*resolve)(struct rn_ctx *, const char *, int, rn_found_fn *, void *) =
        load_acquire(&resolver); /* pairs with rn_set_resolver */
    int family = kind.family == AF_INET ? 4 : kind.family == AF_INET6 ? 6 : 0;

    /* It was there; a program that takes it away again finds nobody. */
    int err = resolve ? resolve(ctx, host, family, found_some, &some) : 0;

    return err || some.any ? err : no_such_host(host);
}

/* All of them in a row: IPv6 and IPv4 as they came. */
struct found_all {
    rn_addr *addrs;
    int n, room, port;
};

static void found_all(void *arg, const rn_addr *addrs, int n)
{
    struct found_all *all = arg;

    for (int i = 0; i < n && all->n < all->room; i++) {
        all->addrs[all->n] = addrs[i];
        rn__net_set_port(&all->addrs[all->n++], all->port);
    }
}

int rn__net_resolve(struct rn_ctx *ctx, struct net_kind kind, const char *network, const char *text,
                    bool passive, rn_addr *ret_addrs, int room)
{
    char host[HOST_MAX], port[PORT_MAX];
    int err, number;

    (void)network;
    if (!text)
        return no_address("(null)", "there is none");
    if (kind.family == AF_UNIX) {
        err = unix_addr(&ret_addrs[0], text);
        return err ? err : 1;
    }
    err = split(text, host, port);
    if (err)
        return err;
    if (rn__net_is_name(kind, text, host, &number)) {
        struct found_all all = {ret_addrs, 0, room, number};

        err = rn__net_look_up(ctx, kind, host, found_all, &all);
        return err ? err : all.n;
    }
    number = port_number(port);
    if (number == -2)
        return no_address(text, "the port is above 65535");
    if (number >= 0 && host[0] && numeric(&ret_addrs[0], host, kind.family, number))
        return 1;
    if (number >= 0 && !host[0]) { /* this machine */
        int n = 0;

        if (kind.family != AF_INET)
            put_in6(&ret_addrs[n++], passive ? in6addr_any : in6addr_loopback, 0, number);
        if (kind.family != AF_INET6)
            put_in4(&ret_addrs[n++],
                    (struct in_addr){htonl(passive ? INADDR_ANY : INADDR_LOOPBACK)}, number);
        if (!passive && n == 2) { /* as most of the world listens */
            rn_addr six = ret_addrs[0];

            ret_addrs[0] = ret_addrs[1];
            ret_addrs[1] = six;
        }
        return n;
    }
    return lookup(ctx, kind, host, port, passive, ret_addrs, room);
}

static struct net_kind stream_kind(int family)
{
    return (struct net_kind){
        .family = family == 4   ? AF_INET
                  : family == 6 ? AF_INET6
                                : AF_UNSPEC,
        .type = SOCK_STREAM,
    };
}

int rn__net_ask_libc(struct rn_ctx *ctx, const char *host, int family, rn_addr *ret_addrs, int room)
{
    return lookup(ctx, stream_kind(family), host, "", false, ret_addrs, room);
}

int rn_lookup(struct rn_ctx *ctx, const char *host, int family, rn_addr *ret_addrs, int room)
{
    struct net_kind kind = stream_kind(family);
    struct found_all all = {ret_addrs, 0, room, 0};
    int err = rn_ctx_err(ctx);

    if (err)
        return err;
    if (!host || !host[0] || room <= 0)
        return rn_errorf(-EINVAL, "lookup: there is no host");
    if (strlen(host) >= HOST_MAX)
        return rn_errorf(-EINVAL, "lookup %.60s...: the host is too long", host);
    if (numeric(&ret_addrs[0], host, kind.family, 0))
        return 1;
    if (!load_relaxed(&resolver))
        return rn__net_ask_libc(ctx, host, family, ret_addrs, room);
    err = rn__net_look_up(ctx, kind, host, found_all, &all);
    return err ? err : all.n;
}
