/* SPDX-License-Identifier: MIT */
/*
 * parse.c - what is read: messages of servers, hosts files, nsswitch.conf. The functions themselves, without a network.
 */
#include "server.h"

#include "dns/dns.h"

#include <arpa/inet.h>

static int parse(const struct reply *r, const char *name, int type, struct answer **ret_a)
{
    return rn__dns_parse(r->data, r->size, name, type, ret_a);
}

static void question(struct reply *r, const char *name, int type)
{
    static const unsigned char head[12] = {1, 2, 0x81, 0x80, 0, 1};

    r->size = 0;
    put(r, head, 12);
    put_name(r, name);
    put16(r, (unsigned)type);
    put16(r, 1);
}

/* Every beginning of a good message, and every message with one byte changed, is read without a fault. */
PLAIN_TEST(dns_parse_damaged)
{
    static const int types[] = {1, 28, 15, 16, 33, 12, 5};
    struct reply r;
    struct answer *a;

    question(&r, "x.test", 1);
    put_target(&r, "", 5, 10, "y.test");
    put_a(&r, "y.test", 20, 1);
    put_aaaa(&r, "y.test", 20);
    put_rr(&r, 6, "y.test", 15, 60, 2 + 2);
    put16(&r, 10);
    put16(&r, 0xc00c);
    put_rr(&r, 6, "y.test", 16, 60, 4);
    put(&r, "\003one", 4);
    put_rr(&r, 6, "y.test", 33, 60, 6 + name_size("z.test"));
    put(&r, "\0\1\0\2\0\3", 6);
    put_name(&r, "z.test");
    put_soa(&r, 100, 30);
    for (int t = 0; t < 7; t++) {
        unsigned char *copy;

        CHECK_EQ(parse(&r, "X.test", types[t], &a), 0);
        CHECK_EQ(a->err, types[t] == 12 ? -ENODATA : 0);
        CHECK_EQ(a->ttl, types[t] == 12 ? 30 : 10);
        rn__dns_answer_unref(a);
        for (size_t n = 0; n < r.size; n++) {
            copy = malloc(n ? n : 1); /* of that very size, for the tools */
            memcpy(copy, r.data, n);
            if (rn__dns_parse(copy, n, "x.test", types[t], &a) == 0)
                rn__dns_answer_unref(a);
            free(copy);
        }
        copy = malloc(r.size);
        memcpy(copy, r.data, r.size);
        for (size_t at = 0; at < r.size; at++)
            for (int v = 0; v < 256; v += 1 + (test_is_slow() ? 50 : 0)) {
                copy[at] = (unsigned char)v;
                if (rn__dns_parse(copy, r.size, "x.test", types[t], &a) == 0)
                    rn__dns_answer_unref(a);
                copy[at] = r.data[at];
            }
        free(copy);
    }
}

PLAIN_TEST(dns_parse_rings_and_pointers)
{
    struct reply r;
    struct answer *a;

    question(&r, "x.test", 1);
    put_target(&r, "", 5, 10, "y.test");
    put_target(&r, "y.test", 5, 10, "x.test");
    CHECK_EQ(parse(&r, "x.test", 1, &a), -EBADMSG);
    /* A pointer to itself, and one forward. */
    for (unsigned to = 0; to < 2; to++) {
        question(&r, "x.test", 15);
        put_rr(&r, 6, "", 15, 60, 4);
        put16(&r, 1);
        put16(&r, 0xc000 | (unsigned)(r.size + 2 * to));
        CHECK_EQ(parse(&r, "x.test", 15, &a), -EBADMSG);
    }
    /* Another's record, another class's, an address of 3 bytes. */
    question(&r, "x.test", 1);
    put_a(&r, "other.test", 60, 1);
    CHECK_EQ(parse(&r, "x.test", 1, &a), 0);
    CHECK_EQ(a->err, -ENODATA);
    CHECK_EQ(a->ttl, 0); /* nothing says how long */
    rn__dns_answer_unref(a);
    question(&r, "x.test", 1);
    put_rr(&r, 6, "", 1, 60, 3);
    put(&r, "abc", 3);
    CHECK_EQ(parse(&r, "x.test", 1, &a), -EBADMSG);
    /* Strange bytes in a name stay distinct from its dots. */
    question(&r, "x.test", 12);
    put_rr(&r, 6, "", 12, 60, 6);
    put(&r, "\004a.\n\\\0", 6);
    CHECK_EQ(parse(&r, "x.test", 12, &a), 0);
    CHECK_STR(a->records[0].name, "a\\.\\010\\\\");
    rn__dns_answer_unref(a);
    /* A day at most; a TTL with the highest bit is none. */
    question(&r, "x.test", 1);
    put_a(&r, "", 0x7fffffff, 1);
    CHECK_EQ(parse(&r, "x.test", 1, &a), 0);
    CHECK_EQ(a->ttl, 86400);
    rn__dns_answer_unref(a);
    question(&r, "x.test", 1);
    put_a(&r, "", 0x80000000, 1);
    CHECK_EQ(parse(&r, "x.test", 1, &a), 0);
    CHECK_EQ(a->ttl, 0);
    rn__dns_answer_unref(a);
}

PLAIN_TEST(dns_nsswitch)
{
    static const struct {
        const char *line, *host, *sources; /* f d s */
    } cases[] = {
        {"", "x", "fd"},
        {"passwd: files\n", "x", "fd"},
        {"hosts: files dns\n", "x", "fd"},
        {"hosts:\tdns files # comment\n", "x", "df"},
        {"hosts: files dns [NOTFOUND=return]\n", "x", "fd"},
        {"hosts: files\n", "x", "f"},
        {"hosts: files mdns4_minimal [NOTFOUND=return] dns myhostname\n", "x.example", "fd"},
        {"hosts: files mdns4_minimal [NOTFOUND=return] dns myhostname\n", "x.local", "s"},
        {"hosts: files mdns4_minimal [NOTFOUND=return] dns myhostname\n", "x.LOCAL.", "s"},
        {"hosts: files dns myhostname\n", "_gateway", "s"},
        {"hosts: resolve [!UNAVAIL=return] files dns\n", "x", "s"},
        {"hosts: files [NOTFOUND=return] dns\n", "x", "s"},
        {"hosts: dns [!UNAVAIL=return] files\n", "x", "s"},
        {"hosts: files [NOTFOUND=return TRYAGAIN=continue] dns\n", "x", "s"},
        {"hosts: files ldap dns\n", "x", "s"},
        {"hosts: files dns files dns files dns\n", "x", "fd"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum dns_source s[4];
        int n = rn__dns_sources(cases[i].line, cases[i].host, s);
        char text[5] = "";

        for (int k = 0; k < n; k++)
            text[k] = "fds"[s[k]];
        if (strcmp(text, cases[i].sources) != 0)
            test_fail(__FILE__, __LINE__, "%s for %s: %s", cases[i].line, cases[i].host, text);
    }
}

PLAIN_TEST(dns_cache_by_itself)
{
    struct cache c;
    char name[20];
    struct answer *a = rn__dns_no_answer(-ENOENT, 1), *got;

    a->ttl = 10;
    CHECK_EQ(rn__dns_cache_init(&c, 3), 0);
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "n%d", i);
        rn__dns_cache_put(&c, name, 1, a, 0);
        got = rn__dns_cache_get(&c, "n0", 1, 0); /* in use: it stays */
        CHECK(got == a);
        rn__dns_answer_unref(got);
    }
    CHECK_EQ(c.count, 3);
    CHECK(!rn__dns_cache_get(&c, "n998", 28, 0));
    got = rn__dns_cache_get(&c, "N998", 1, 10 * RN_SECOND - 1);
    CHECK(got);
    rn__dns_answer_unref(got);
    CHECK(!rn__dns_cache_get(&c, "n998", 1, 10 * RN_SECOND));
    CHECK_EQ(c.count, 2);
    a->ttl = 0;
    rn__dns_cache_put(&c, "n0", 1, a, 0); /* what is not to be kept takes the old away */
    CHECK_EQ(c.count, 1);
    rn__dns_cache_free(&c);
    CHECK_EQ(a->refs, 1);
    rn__dns_answer_unref(a);
}
