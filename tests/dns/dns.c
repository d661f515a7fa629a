/* SPDX-License-Identifier: MIT */
/*
 * dns.c - lookups, against a server of our own.
 */
#define _GNU_SOURCE
#include "server.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <runnel/dns.h>
#include <sys/socket.h>
#include <unistd.h>

static _Atomic int64_t fake_now;

static rn_time fake_clock(void)
{
    return fake_now;
}

/* A resolver that asks s, and reads no file of this machine's. */
static rn_dns *resolver_with(const struct dns_server *s, rn_dns_options o)
{
    rn_dns *r = NULL;

    o.servers = o.servers ? o.servers : s->at;
    o.search = o.search ? o.search : "";
    o.hosts_file = o.hosts_file ? o.hosts_file : "";
    o.nsswitch_file = o.nsswitch_file ? o.nsswitch_file : "";
    o.resolv_file = "/nonexistent/resolv.conf";
    o.timeout = o.timeout ? o.timeout : 20 * RN_SECOND;
    CHECK_EQ(rn_dns_new(&o, &r), 0);
    return r;
}

static rn_dns *resolver_new(const struct dns_server *s)
{
    return resolver_with(s, (rn_dns_options){0});
}

/* Looks name up; the first addresses, as "192.0.2.1 2001:db8::1" in order of family. */
static int addresses(rn_ctx *ctx, rn_dns *r, const char *name, int family, char text[512])
{
    rn_addr a[64];
    int n = rn_dns_host(ctx, r, name, family, a, 64);
    size_t at = 0;

    text[0] = 0;
    for (int v6 = 0; v6 < 2; v6++)
        for (int i = 0; i < n && i < 4; i++) {
            char one[RN_ADDR_TEXT];

            CHECK(rn_addr_text(&a[i], one, sizeof one) > 0);
            if ((one[0] == '[') == v6)
                at += (size_t)snprintf(text + at, 512 - at, "%s%s", at ? " " : "", one);
        }
    return n;
}

static void expect(rn_dns *r, const char *name, int family, const char *expected)
{
    char text[512];
    int n = addresses(NULL, r, name, family, text);

    if (n < 0)
        test_fail(__FILE__, __LINE__, "%s: %s", name, rn_errmsg(n));
    CHECK_STR(text, expected);
}

static void expect_error(rn_dns *r, const char *name, int expected, const char *says)
{
    rn_addr a;
    int n = rn_dns_host(NULL, r, name, 0, &a, 1);

    if (n != expected)
        test_fail(__FILE__, __LINE__, "%s: %d", name, n);
    if (!strstr(rn_errmsg(n), says))
        test_fail(__FILE__, __LINE__, "%s: \"%s\"", name, rn_errmsg(n));
}

#define BOTH "192.0.2.1:0 [2001:db8::1]:0"

GO_TEST(dns_hosts_and_errors)
{
    struct dns_server *s = dns_server_new();
    rn_dns *r = resolver_new(s);
    char longest[300];
    rn_addr a[2];

    expect(r, "a.test", 0, BOTH);
    expect(r, "A.Test.", 0, BOTH);
    expect(r, "a.test", 4, "192.0.2.1:0");
    expect(r, "a.test", 6, "[2001:db8::1]:0");
    expect(r, "v4.test", 0, "192.0.2.4:0");
    expect(r, "alias.test", 0, BOTH);
    expect(r, "lies.test", 0, BOTH);
    expect(r, "192.0.2.77", 0, "192.0.2.77:0");
    expect(r, "2001:db8::77", 0, "[2001:db8::77]:0");
    expect(r, "localhost", 0, "127.0.0.1:0 [::1]:0");
    expect(r, "x.localhost.", 4, "127.0.0.1:0");
    CHECK_EQ(rn_dns_host(NULL, r, "a.test", 0, a, 1), 2); /* more than there is room for */
    expect_error(r, "none.test", -ENOENT, "lookup none.test: no such host");
    expect_error(r, "v6only.none.test", -ENOENT, "no such host");
    CHECK_EQ(rn_dns_host(NULL, r, "v4.test", 6, a, 1), -ENODATA);
    CHECK(strstr(rn_errmsg(-ENODATA), "lookup v4.test: no such record"));
    expect_error(r, "mx.test", -ENODATA, "no such record"); /* of either family */
    expect_error(r, "fail.test", -EAGAIN, "lookup fail.test: no server has an answer");
    expect_error(r, "ring.test", -EBADMSG, "lookup ring.test: the answer cannot be read");
    expect_error(r, "", -EINVAL, "this is no name");
    expect_error(r, "a..test", -EINVAL, "this is no name");
    expect_error(r, "a b.test", -EINVAL, "this is no name");
    memset(longest, 'x', sizeof longest);
    longest[64] = 0;
    expect_error(r, longest, -EINVAL, "this is no name");
    CHECK(rn_dns_retain(r) == r);
    rn_dns_release(r); /* another's: ours is as it was */
    CHECK_EQ(rn_dns_host(NULL, r, "192.0.2.77", 6, a, 1), -ENODATA);
    CHECK(rn_dns_retain(r) == r);
    rn_dns_release(r);
    expect(r, "a.test", 4, "192.0.2.1:0"); /* one reference is left */
    rn_dns_release(r);
    dns_server_end(s);
}

GO_TEST(dns_records)
{
    struct dns_server *s = dns_server_new();
    rn_dns *r = resolver_new(s);
    rn_dns_answer *a = NULL;
    rn_addr addr;
    char name[100];
    int first[2] = {0, 0};

    CHECK_EQ(rn_dns_lookup(NULL, r, "mx.test", RN_DNS_MX, &a), 3);
    CHECK_STR(a->records[0].name, "first.test");
    CHECK_STR(a->records[1].name, "second.test");
    CHECK_STR(a->records[2].name, "third.test");
    CHECK_EQ(a->records[2].priority, 30);
    CHECK_EQ(a->records[2].ttl, 60);
    rn_dns_answer_free(a);
    CHECK_EQ(rn_dns_lookup(NULL, r, "txt.test", RN_DNS_TXT, &a), 1);
    CHECK_EQ(a->records[0].text_size, 7);
    CHECK_EQ(memcmp(a->records[0].text, "one\0two", 8), 0);
    rn_dns_answer_free(a);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(rn_dns_lookup(NULL, r, "_s._tcp.test", RN_DNS_SRV, &a), 4);
        for (int k = 0; k < 3; k++)
            CHECK_EQ(a->records[k].priority, 1);
        CHECK_EQ(a->records[3].port, 700);
        CHECK_STR(a->records[3].name, "a.test");
        first[0] += a->records[0].port == 701;
        first[1] += a->records[0].port == 702;
        rn_dns_answer_free(a);
    }
    CHECK(first[1] > first[0]); /* 99 to 1, all but surely */
    CHECK_EQ(rn_dns_lookup(NULL, r, "alias.test", RN_DNS_CNAME, &a), 1);
    CHECK_STR(a->records[0].name, "middle.test");
    rn_dns_answer_free(a);
    CHECK_EQ(rn_dns_lookup(NULL, r, "v4.test", RN_DNS_MX, &a), -ENODATA);
    CHECK_EQ(rn_dns_lookup(NULL, r, "none.test", RN_DNS_MX, &a), -ENOENT);
    CHECK_EQ(rn_addr_parse(&addr, "tcp", "192.0.2.1:80"), 0);
    CHECK_EQ(rn_dns_name(NULL, r, &addr, name, sizeof name), 6);
    CHECK_STR(name, "a.test");
    CHECK_EQ(rn_dns_name(NULL, r, &addr, name, 6), -ENOBUFS);
    CHECK_EQ(rn_addr_parse(&addr, "tcp", "[2001:db8::9]:80"), 0);
    CHECK_EQ(rn_dns_name(NULL, r, &addr, name, sizeof name), -ENOENT);
    rn_dns_release(r);
    dns_server_end(s);
}

GO_TEST(dns_cut_off_goes_by_tcp)
{
    struct dns_server *s = dns_server_new();
    rn_dns *r = resolver_new(s);
    rn_dns_answer *a;

    CHECK_EQ(rn_dns_lookup(NULL, r, "big.test", RN_DNS_A, &a), 40);
    CHECK_EQ(s->by_tcp, 1);
    rn_dns_answer_free(a);
    rn_dns_release(r);
    dns_server_end(s);
}

/* A server that resets its connections in the middle of its answers, and one that takes questions there and says nothing. */
GO_TEST(dns_faults_by_tcp)
{
    struct dns_server *s = dns_server_new();
    rn_dns *r = resolver_with(s, (rn_dns_options){.tries = 2});
    rn_ctx *ctx = rn_ctx_with_timeout(rn_ctx_background(), 20 * RN_MILLISECOND);
    rn_addr a;

    expect_error(r, "torn.test", -EAGAIN, "lookup torn.test: no server has an answer");
    CHECK(s->by_tcp >= 2); /* of each family */
    CHECK_EQ(rn_dns_host(ctx, r, "mute.test", 0, &a, 1), -ETIMEDOUT);
    rn_ctx_end(ctx);
    expect(r, "a.test", 0, BOTH); /* nothing is the worse */
    rn_dns_release(r);
    r = resolver_with(s, (rn_dns_options){.timeout = 5 * RN_MILLISECOND, .tries = 1});
    expect_error(r, "mute.test", -EAGAIN, "lookup mute.test: no server has an answer");
    rn_dns_release(r);
    dns_server_end(s);
}

/* ---- Waiting -------------------------------------------------------------------------------------------------- */

static void look_for(rn_ctx *ctx, rn_dns *r, const char *name, int expected)
{
    rn_addr a[4];
    int n = rn_dns_host(ctx, r, name, 0, a, 4);

    if (n != expected)
        test_fail(__FILE__, __LINE__, "%s: %d, not %d", name, n, expected);
}

/* An end of one's context ends one's lookup, and disturbs nobody's: not who waits for the same name, whoever of them
 * had the work. */
GO_TEST(dns_cancel)
{
    struct dns_server *s = dns_server_new();
    rn_dns *r = resolver_new(s);
    rn_wg given_up = {0}, others = {0};
    rn_dns_stats stats;
    rn_ctx *ctx = rn_ctx_with_timeout(rn_ctx_background(), RN_MILLISECOND);

    look_for(ctx, r, "silent.test", -ETIMEDOUT);
    look_for(ctx, r, "silent.test", -ETIMEDOUT);
    rn_ctx_end(ctx);
    ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_wg_go(&given_up, look_for, ctx, r, "held.test", -ECANCELED);
    AWAIT(s->asked >= 3);
    for (int i = 0; i < 20; i++) {
        rn_wg_go(&given_up, look_for, ctx, r, "held.test", -ECANCELED);
        rn_wg_go(&others, look_for, NULL, r, "held.test", 2);
    }
    rn_wg_go(&given_up, look_for, ctx, r, "silent.test", -ECANCELED);
    AWAIT((rn_dns_get_stats(r, &stats), stats.joined) == 40);
    rn_ctx_cancel(ctx);
    rn_wg_wait(&given_up);
    rn_ctx_end(ctx);
    dns_server_release(s);
    rn_wg_wait(&others);
    rn_dns_release(r);
    dns_server_end(s);
}

/* Fifty ask for the same: the server is asked once, for each family. */
GO_TEST(dns_one_question_for_many)
{
    struct dns_server *s = dns_server_new();
    rn_dns *r = resolver_new(s);
    rn_wg wg = {0};
    rn_dns_stats stats;

    for (int i = 0; i < 50; i++)
        rn_wg_go(&wg, look_for, NULL, r, i % 2 ? "held.test" : "HELD.test.", 2);
    AWAIT((rn_dns_get_stats(r, &stats), stats.joined) == 49);
    dns_server_release(s);
    rn_wg_wait(&wg);
    CHECK_EQ(s->asked, 2);
    rn_dns_release(r);
    dns_server_end(s);
}

/* Nobody answers. */
GO_TEST(dns_timeout)
{
    struct dns_server *s = dns_server_new();
    rn_dns *r = resolver_with(s, (rn_dns_options){.timeout = 5 * RN_MILLISECOND, .tries = 2});

    expect_error(r, "silent.test", -EAGAIN, "lookup silent.test: no server has an answer");
    CHECK(s->asked >= 4); /* each family, twice */
    rn_dns_release(r);
    dns_server_end(s);
}

/* The first server of the list is dead: the second is asked. */
GO_TEST(dns_dead_server)
{
    struct dns_server *s = dns_server_new();
    struct dns_server *dead = dns_server_new();
    char list[300];
    rn_dns *r;

    snprintf(list, sizeof list, "%s,%s", dead->at, s->at);
    dns_server_end(dead);
    r = resolver_with(s, (rn_dns_options){.servers = list, .timeout = 50 * RN_MILLISECOND});
    expect(r, "a.test", 0, BOTH);
    rn_dns_release(r);
    dns_server_end(s);
}

static void look_for_number(rn_dns *r, int i)
{
    char name[32], expected[32];

    snprintf(name, sizeof name, "n%d.test", i);
    snprintf(expected, sizeof expected, "10.0.%d.%d:0", i / 256, i % 256);
    expect(r, name, 4, expected);
}

/* A thousand at once; each question from a port of its own, so to speak: those that the system gives. */
GO_TEST(dns_thousand)
{
    struct dns_server *s = dns_server_new();
    rn_dns *r = resolver_with(s, (rn_dns_options){.cache_size = 100});
    rn_wg wg = {0};
    rn_dns_stats stats;
    int different = 0;

    for (int i = 0; i < 1000; i++)
        rn_wg_go(&wg, look_for_number, r, i);
    rn_wg_wait(&wg);
    rn_dns_get_stats(r, &stats);
    CHECK_EQ(stats.entries, 100); /* bounded */
    CHECK_EQ(stats.asked, 1000);
    for (int i = 0; i < 100; i++) {
        bool new = true;

        for (int k = 0; k < i; k++)
            new &= s->ports[i] != s->ports[k];
        different += new;
    }
    CHECK(different > 50);
    rn_dns_release(r);
    dns_server_end(s);
}

static void *thread_lookups(void *arg)
{
    for (int i = 0; i < 100; i++)
        look_for_number(arg, i);
    return NULL;
}

/* Threads and goroutines ask at the same time. */
GO_TEST(dns_plain_threads)
{
    struct dns_server *s = dns_server_new();
    rn_dns *r = resolver_new(s);
    pthread_t t[3];

    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, thread_lookups, r), 0);
    for (int i = 0; i < 100; i++)
        look_for_number(r, i);
    for (int i = 0; i < 3; i++)
        rn_blocking(pthread_join(t[i], NULL));
    rn_dns_release(r);
    dns_server_end(s);
}

/* ---- What is kept --------------------------------------------------------------------------------------------- */

GO_TEST(dns_cache_follows_ttl)
{
    struct dns_server *s = dns_server_new();
    rn_dns *r = resolver_with(s, (rn_dns_options){.clock = fake_clock});
    static const struct {
        const char *name;
        int seconds; /* how long it is kept */
    } cases[] = {{"a.test", 60}, {"short.test", 1}, {"alias.test", 10}, {"none.test", 20}};
    rn_addr a[2];

    for (int i = 0; i < 4; i++) {
        int before = s->asked;

        (void)!rn_dns_host(NULL, r, cases[i].name, 4, a, 2);
        CHECK_EQ(s->asked, before + 1);
        fake_now += cases[i].seconds * RN_SECOND - 1;
        (void)!rn_dns_host(NULL, r, cases[i].name, 4, a, 2);
        CHECK_EQ(s->asked, before + 1);
        fake_now += 1;
        (void)!rn_dns_host(NULL, r, cases[i].name, 4, a, 2);
        CHECK_EQ(s->asked, before + 2);
    }
    /* Neither what says 0, nor what does not say, nor a failure. */
    for (int i = 0; i < 3; i++) {
        static const char *const name[] = {"zero.test", "bare.test", "fail.test"};
        int before = s->asked, once;

        (void)!rn_dns_host(NULL, r, name[i], 4, a, 2);
        once = s->asked - before;
        CHECK(once > 0);
        (void)!rn_dns_host(NULL, r, name[i], 4, a, 2);
        CHECK(s->asked > before + once);
    }
    CHECK_EQ(rn_dns_host(NULL, r, "v4.test", 0, a, 2), 1);
    fake_now +=
        45 * RN_SECOND; /* the address is kept, that there is none of the other family no longer */
    {
        int before = s->asked;

        CHECK_EQ(rn_dns_host(NULL, r, "v4.test", 0, a, 2), 1);
        CHECK_EQ(s->asked, before + 1);
        rn_dns_flush(r);
        CHECK_EQ(rn_dns_host(NULL, r, "v4.test", 0, a, 2), 1);
        CHECK_EQ(s->asked, before + 3);
    }
    rn_dns_release(r);
    dns_server_end(s);
}

/* ---- Files ---------------------------------------------------------------------------------------------------- */

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    CHECK(f);
    CHECK(fputs(text, f) >= 0);
    CHECK_EQ(fclose(f), 0);
}

/* What the C library says of N.libc.test, and what becomes of it. */
static const struct {
    int code, err;
    const char *text;
} system_says[] = {
    {EAI_NONAME, -ENOENT, "lookup 0.libc.test: no such host"},
    {EAI_AGAIN, -EAGAIN, "lookup 1.libc.test: no server has an answer"},
    {EAI_FAIL, -EIO, "lookup 2.libc.test: "},
    {EAI_SYSTEM, -EMFILE, "lookup 3.libc.test: "},
    {EAI_MEMORY, -ENOMEM, "lookup 4.libc.test: "},
};

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret_list)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    void *at;
    int i, end = 0;

    if (name && sscanf(name, "%d.libc.test%n", &i, &end) == 1 && end > 0 && !name[end]) {
        errno = EMFILE;
        return system_says[i].code;
    }
    at = dlsym(RTLD_NEXT, "getaddrinfo");
    memcpy(&real, &at, sizeof real);
    return real(name, service, hints, ret_list);
}

GO_TEST(dns_search_and_hosts)
{
    struct dns_server *s = dns_server_new();
    char hosts[] = "/tmp/runnel-hosts-XXXXXX", nsswitch[] = "/tmp/runnel-nsswitch-XXXXXX";
    rn_dns *r;
    rn_addr a;
    char name[50];
    int asked;

    close(mkstemp(hosts));
    close(mkstemp(nsswitch));
    write_file(hosts,
               "192.0.2.50 printer laser # here\n::50\tprinter\n192.0.2.51 a.test\nnonsense x\n");
    r = resolver_with(s, (rn_dns_options){.search = "nowhere.test,test",
                                          .hosts_file = hosts,
                                          .nsswitch_file = nsswitch});
    expect(r, "printer", 0, "192.0.2.50:0 [::50]:0");
    expect(r, "LASER", 0, "192.0.2.50:0");
    expect(r, "a.test", 0, "192.0.2.51:0"); /* the file comes first */
    CHECK_EQ(s->asked, 0);
    expect(r, "v4", 0, "192.0.2.4:0"); /* v4.nowhere.test, v4.test */
    CHECK_EQ(s->asked, 4);
    expect_error(r, "v4.", -ENOENT, "no such host");
    /* That one of the candidates is there is known although the others are not. */
    CHECK_EQ(rn_dns_host(NULL, r, "v4", 6, &a, 1), -ENODATA);
    expect(r, "corp.a", 0, BOTH); /* has a dot: as it is, then corp.a.nowhere.test, corp.a.test */
    CHECK_EQ(rn_addr_parse(&a, "tcp", "192.0.2.50:1"), 0);
    CHECK_EQ(rn_dns_name(NULL, r, &a, name, sizeof name), 7);
    CHECK_STR(name, "printer");
    /* A change is noticed. */
    write_file(hosts, "192.0.2.60 printer\n");
    expect(r, "printer", 0, "192.0.2.60:0");
    CHECK_EQ(rn_dns_host(NULL, r, "printer", 6, &a, 1), -ENODATA);
    write_file(nsswitch, "passwd: files\nhosts: dns\n");
    expect(r, "a.test", 0, BOTH);
    write_file(nsswitch, "hosts: files\n");
    asked = s->asked;
    expect_error(r, "v4.test", -ENOENT, "no such host");
    CHECK_EQ(s->asked, asked);
    /* What the C library has to be asked for it is asked. */
    write_file(nsswitch, "hosts: ldap files\n");
    expect_error(r, "printer.invalid", -ENOENT, "no such host");
    CHECK_EQ(s->asked, asked);
    for (size_t i = 0; i < sizeof system_says / sizeof *system_says; i++) {
        snprintf(name, sizeof name, "%zu.libc.test", i);
        expect_error(r, name, system_says[i].err, system_says[i].text);
    }
    CHECK_EQ(s->asked, asked);
    unlink(hosts);
    unlink(nsswitch);
    rn_dns_release(r);
    /* One that has no such address does not end the search. */
    r = resolver_with(s, (rn_dns_options){.search = "v4.test,a.test"});
    expect(r, "corp", 6, "[2001:db8::1]:0");
    rn_dns_release(r);
    dns_server_end(s);
}

/* ---- Dialling ------------------------------------------------------------------------------------------------- */

/* rn_dial asks us; and does not wait for an answer about IPv6 that never comes. */
GO_TEST(dns_dial)
{
    static const char *const name[] = {"here.test", "half.test"};
    struct dns_server *s = dns_server_new();
    rn_dns *r = resolver_new(s);
    rn_listener *l;
    rn_addr a;
    rn_conn *c, *there;
    rn_ctx *ctx;
    char at[RN_ADDR_TEXT];

    rn_dns_use(r);
    CHECK_EQ(rn_listen("tcp4", "here.test:0", &l), 0);
    CHECK_EQ(rn_listener_addr(l, &a), 0);
    for (int i = 0; i < 2; i++) {
        snprintf(at, sizeof at, "%s:%d", name[i], rn_addr_port(&a));
        CHECK_EQ(rn_dial("tcp", at, &c), 0);
        CHECK_EQ(rn_accept(l, &there), 0);
        rn_conn_close(c);
        rn_conn_close(there);
    }
    snprintf(at, sizeof at, "here.test:%d", rn_addr_port(&a));
    CHECK_EQ(rn_dial("udp", at, &c), 0);
    rn_conn_close(c);
    CHECK_EQ(rn_dial("tcp6", at, &c), -ENOENT);
    CHECK(strstr(rn_errmsg(-ENOENT), "lookup here.test: no such host"));
    CHECK_EQ(rn_dial("tcp", "none.test:1", &c), -ENOENT);
    CHECK(strstr(rn_errmsg(-ENOENT), "lookup none.test: no such host"));
    ctx = rn_ctx_with_timeout(rn_ctx_background(), RN_MILLISECOND);
    CHECK_EQ(rn_dial_ctx(ctx, "tcp", "silent.test:1", &c), -ETIMEDOUT);
    rn_ctx_end(ctx);
    rn_listener_close(l);
    snprintf(at, sizeof at, "here.test:%d", rn_addr_port(&a));
    CHECK_EQ(rn_dial("tcp", at, &c), -ECONNREFUSED);
    rn_dns_use(NULL);
    CHECK_EQ(rn_dial("tcp", "localhost:1", &c), -ECONNREFUSED); /* by the C library */
    rn_dns_release(r);
    dns_server_end(s);
}

/* A program that is linked with the library has it in use from the start: localhost needs nobody then. */
GO_TEST(dns_is_in_use)
{
    rn_dns_stats stats;
    rn_conn *c;
    rn_ctx *ctx = rn_ctx_with_timeout(rn_ctx_background(), 0);

    CHECK(rn_dns_system());
    CHECK_EQ(rn_dial("tcp", "x.y.localhost:1", &c),
             -ECONNREFUSED); /* only here such a name is known */
    rn_dns_get_stats(NULL, &stats);
    CHECK_EQ(stats.asked, 0);
    CHECK_EQ(rn_dns_host(ctx, NULL, "a.test", 0, NULL, 0), -ETIMEDOUT);
    rn_ctx_end(ctx);
}

/* ---- Runs ----------------------------------------------------------------------------------------------------- */

static int open_descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 1000; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static int first_run(rn_dns *r)
{
    rn_dns_stats stats;

    for (int i = 0; i < 5; i++) { /* are in their wait when the run ends */
        rn_go(look_for, (rn_ctx *)NULL, r, i % 2 ? "silent.test" : "other.silent.test", 12345);
        AWAIT((rn_dns_get_stats(r, &stats), stats.asked) ==
              (i ? 2 : 1)); /* or it waits for a place */
    }
    AWAIT((rn_dns_get_stats(r, &stats), stats.asked) == 2 && stats.joined == 3);
    test_let_run();
    return 0;
}

static int second_run(rn_dns *r)
{
    rn_ctx *ctx = rn_ctx_with_timeout(rn_ctx_background(), 10 * RN_MILLISECOND);

    look_for(ctx, r, "silent.test",
             -ETIMEDOUT); /* a question of its own: nobody drives the old one */
    rn_ctx_end(ctx);
    return 0;
}

/* A server that takes questions, and answers when told. */
static int mute_server(char at[64])
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof in;
    int mute = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    CHECK_EQ(bind(mute, (struct sockaddr *)&in, n), 0);
    CHECK_EQ(getsockname(mute, (struct sockaddr *)&in, &n), 0);
    snprintf(at, 64, "127.0.0.1:%d", ntohs(in.sin_port));
    return mute;
}

/* Answer the next question of IPv4: 192.0.2.7, to be kept for a minute. Those of IPv6 stay without an answer. */
static void answer_ipv4(int mute)
{
    static const unsigned char answer[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7};
    unsigned char text[600];
    struct sockaddr_in from;
    socklen_t length;
    size_t end;

    do {
        length = sizeof from;
        CHECK(recvfrom(mute, text, 512, 0, (struct sockaddr *)&from, &length) > 17);
        for (end = 12; text[end]; end += text[end] + 1u)
            ;
        end += 5;
    } while (text[end - 3] != 1);
    text[2] |= 0x80; /* an answer */
    text[3] = 0x80;
    text[7] = 1;  /* of one record */
    text[11] = 0; /* and nothing more */
    memcpy(text + end, answer, sizeof answer);
    CHECK_EQ(sendto(mute, text, end + sizeof answer, 0, (struct sockaddr *)&from, length),
             (long long)(end + sizeof answer));
}

static rn_dns *patient_resolver(const char *at)
{
    rn_dns *r;

    CHECK_EQ(rn_dns_new(&(rn_dns_options){.servers = at,
                                          .search = "",
                                          .hosts_file = "",
                                          .nsswitch_file = "",
                                          .timeout = 1000 * RN_SECOND,
                                          .parallel = 2,
                                          .resolv_file = "/nonexistent"},
                        &r),
             0);
    return r;
}

/* What goroutines were looking up when their run ended is cleared away by the next lookup, and its place is free. */
PLAIN_TEST(dns_survives_a_run)
{
    static rn_dns *r; /* those that went with their run keep it */
    char at[64];
    int mute = mute_server(at), before;

    r = patient_resolver(at);
    before = open_descriptors();
    CHECK_EQ(rn_run(first_run, r), 0);
    CHECK(open_descriptors() > before);
    CHECK_EQ(rn_run(second_run, r), 0);
    CHECK_EQ(open_descriptors(), before);
    rn_dns_release(r);
    close(mute);
}

static void cancel_once_joined(rn_ctx *ctx, rn_dns *r)
{
    rn_dns_stats stats;

    while ((rn_dns_get_stats(r, &stats), stats.joined) < 3)
        rn_yield();
    rn_ctx_cancel(ctx);
    rn_ctx_release(ctx);
}

/* Who has the work gives up, and the run ends before those who are woken for it have taken it over. */
static int run_of_the_driver(rn_dns *r)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());

    for (int i = 0; i < 3; i++)
        rn_go(look_for, (rn_ctx *)NULL, r, "silent.test", 12345);
    rn_go(cancel_once_joined, rn_ctx_retain(ctx), r);
    look_for(ctx, r, "silent.test", -ECANCELED);
    rn_ctx_end(ctx);
    return 0;
}

PLAIN_TEST(dns_survives_a_run_that_nobody_drives)
{
    static rn_dns *r;
    char at[64];
    int mute = mute_server(at), before;

    CHECK_EQ(rn_set_procs(1), 0);
    r = patient_resolver(at);
    before = open_descriptors();
    CHECK_EQ(rn_run(run_of_the_driver, r), 0);
    CHECK(open_descriptors() > before);
    CHECK_EQ(rn_run(second_run, r), 0);
    CHECK_EQ(open_descriptors(), before);
    rn_dns_release(r);
    close(mute);
}

/* With a half of the answer in hand, and with one from the cache. */
static int half_run(rn_dns *r, int mute)
{
    rn_dns_stats stats;

    rn_go(look_for, (rn_ctx *)NULL, r, "one.test", 12345);
    answer_ipv4(mute); /* blocks, while others go on */
    AWAIT((rn_dns_get_stats(r, &stats), stats.entries) == 1);
    rn_go(look_for, (rn_ctx *)NULL, r, "one.test", 12345);
    AWAIT((rn_dns_get_stats(r, &stats), stats.asked) == 2);
    test_let_run();
    return 0;
}

PLAIN_TEST(dns_survives_a_run_with_half_an_answer)
{
    static rn_dns *r;
    char at[64];
    int mute = mute_server(at), before;

    r = patient_resolver(at);
    before = open_descriptors();
    CHECK_EQ(rn_run(half_run, r, mute), 0);
    CHECK_EQ(rn_run(second_run, r), 0);
    CHECK_EQ(open_descriptors(), before);
    rn_dns_flush(r); /* AddressSanitizer's leak finder sees what is left of the answer */
    rn_dns_release(r);
    close(mute);
}
