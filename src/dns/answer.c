/* SPDX-License-Identifier: MIT */
/*
 * answer.c - messages of servers.
 *
 * c-ares sends, repeats, and checks that what came has our number and our question; what it says is read here, since
 * c-ares tells no TTL of most records and none of the answer that there is none. A message is not trusted: every read
 * is checked against its end, pointers of names only lead back, so each name ends, and all work is bounded by the
 * message's size.
 */
#include "dns/dns.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { HEADER = 12, CHAIN_MAX = 16, CLASS_IN = 1, TYPE_SOA = 6, TYPE_OPT = 41 };
enum { TTL_MAX = 86400, NEGATIVE_MAX = 300, NEGATIVE_DEFAULT = 0 };

struct message {
    const uint8_t *at;
    size_t size;
};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* The name at `at`, as text; where it ends in the message, or 0. */
static size_t read_name(const struct message *m, size_t at, char text[DNS_NAME])
{
    size_t end = 0, n = 0, bytes = 0, lowest = at;

    for (;;) {
        uint8_t length;

        if (at >= m->size)
            return 0;
        length = m->at[at];
        if ((length & 0xc0) == 0xc0) {
            size_t to;

            if (at + 2 > m->size)
                return 0;
            to = get16(m->at + at) & 0x3fff;
            if (!end)
                end = at + 2;
            if (to >= lowest) /* only back */
                return 0;
            lowest = at = to;
            continue;
        }
        if (length & 0xc0)
            return 0;
        at++;
        bytes += (size_t)length + 1;
        if (bytes > 255 || at + length > m->size)
            return 0;
        if (length == 0)
            break;
        if (n > 0)
            text[n++] = '.';
        for (size_t i = 0; i < length; i++) {
            uint8_t c = m->at[at + i];

            if (c == '.' || c == '\\') {
                text[n++] = '\\';
                text[n++] = (char)c;
            } else if (c <= ' ' || c >= 127) {
                text[n++] = '\\';
                text[n++] = (char)('0' + c / 100);
                text[n++] = (char)('0' + c / 10 % 10);
                text[n++] = (char)('0' + c % 10);
            } else {
                text[n++] = (char)c;
            }
        }
        at += length;
    }
    text[n] = 0;
    return end ? end : at;
}

struct rr {
    char owner[DNS_NAME];
    int type, class;
    uint32_t ttl;
    size_t data, size, next;
};

static bool read_rr(const struct message *m, size_t at, struct rr *rr)
{
    at = read_name(m, at, rr->owner);
    if (!at || at + 10 > m->size)
        return false;
    rr->type = get16(m->at + at);
    rr->class = get16(m->at + at + 2);
    rr->ttl = get32(m->at + at + 4);
    if (rr->ttl > 0x7fffffff)
        rr->ttl = 0; /* RFC 2181, 8 */
    rr->size = get16(m->at + at + 8);
    rr->data = at + 10;
    rr->next = rr->data + rr->size;
    return rr->next <= m->size;
}

/* ---- Building ------------------------------------------------------------------------------------------------- */

static void *grow(void *p, size_t count, size_t each)
{
    /* At powers of two. */
    return count & (count - 1) ? p : realloc(p, (count ? count * 2 : 1) * each);
}

struct builder {
    struct answer *a;
    size_t names_size;
};

/* Where the record's text will be: offsets until all are there. */
static bool add_text(struct builder *b, const char *text, size_t size, size_t *ret_at)
{
    char *p = realloc(b->a->names, b->names_size + size + 1);

    if (!p)
        return false;
    memcpy(p + b->names_size, text, size);
    p[b->names_size + size] = 0;
    *ret_at = b->names_size;
    b->a->names = p;
    b->names_size += size + 1;
    return true;
}

/* 0, -EBADMSG, -ENOMEM. */
static int add_record(struct builder *b, const struct message *m, const struct rr *rr)
{
    struct answer *a = b->a;
    const uint8_t *data = m->at + rr->data;
    rn_dns_record r = {.ttl = rr->ttl};
    size_t skip = rr->type == RN_DNS_MX ? 2 : rr->type == RN_DNS_SRV ? 6 : 0, at = 0;
    char text[DNS_NAME];
    rn_dns_record *grown;

    if (rr->size < skip)
        return -EBADMSG;
    switch (rr->type) {
    case RN_DNS_A: {
        struct sockaddr_in in = {.sin_family = AF_INET};
        socklen_t n = sizeof in;

        if (rr->size != 4)
            return -EBADMSG;
        memcpy(&in.sin_addr, data, 4);
        memcpy(&r.addr, &in, sizeof in);
        memcpy((char *)&r.addr + sizeof r.addr - sizeof n, &n, sizeof n);
        break;
    }
    case RN_DNS_AAAA: {
        struct sockaddr_in6 in = {.sin6_family = AF_INET6};
        socklen_t n = sizeof in;

        if (rr->size != 16)
            return -EBADMSG;
        memcpy(&in.sin6_addr, data, 16);
        memcpy(&r.addr, &in, sizeof in);
        memcpy((char *)&r.addr + sizeof r.addr - sizeof n, &n, sizeof n);
        break;
    }
    case RN_DNS_TXT: {
        char *all = malloc(rr->size + 1);

        if (!all)
            return -ENOMEM;
        for (size_t i = 0; i < rr->size; i += (size_t)data[i] + 1) {
            if (i + 1 + data[i] > rr->size) {
                free(all);
                return -EBADMSG;
            }
            memcpy(all + r.text_size, data + i + 1, data[i]);
            r.text_size += data[i];
        }
        if (!add_text(b, all, r.text_size, &at)) {
            free(all);
            return -ENOMEM;
        }
        free(all);
        break;
    }
    default:
        if (rr->type == RN_DNS_MX || rr->type == RN_DNS_SRV)
            r.priority = get16(data);
        if (rr->type == RN_DNS_SRV) {
            r.weight = get16(data + 2);
            r.port = get16(data + 4);
        }
        if (read_name(m, rr->data + skip, text) != rr->next)
            return -EBADMSG;
        if (!add_text(b, text, strlen(text), &at))
            return -ENOMEM;
        break;
    }
    r.rn__reserved[0] = at;
    grown = grow(a->records, a->pub.count, sizeof r);
    if (!grown)
        return -ENOMEM;
    a->records = grown;
    a->records[a->pub.count++] = r;
    if (rr->ttl < a->ttl)
        a->ttl = rr->ttl;
    return 0;
}

static void settle(struct answer *a)
{
    bool is_text = a->type == RN_DNS_TXT, has = a->type != RN_DNS_A && a->type != RN_DNS_AAAA;

    a->pub.records = a->records;
    for (size_t i = 0; has && i < a->pub.count; i++) {
        const char *p = a->names + a->records[i].rn__reserved[0];

        a->records[i].name = is_text ? NULL : p;
        a->records[i].text = is_text ? p : NULL;
    }
}

/* ---- The parts of a message ----------------------------------------------------------------------------------- */

static int read_answers(struct builder *b, const struct message *m, size_t at, int count,
                        const char *name)
{
    char owner[DNS_NAME];
    struct rr *rr = calloc(1, sizeof *rr);
    int err = rr ? 0 : -ENOMEM;

    snprintf(owner, sizeof owner, "%s", name);
    /* An alias leads to another name, in any order. */
    for (int hop = 0; !err && hop <= CHAIN_MAX; hop++) {
        bool alias = false;
        size_t p = at;

        for (int i = 0; !err && i < count; i++, p = rr->next) {
            if (!read_rr(m, p, rr)) {
                err = -EBADMSG;
            } else if (rr->class != CLASS_IN || strcasecmp(rr->owner, owner) != 0) {
                continue;
            } else if (rr->type == b->a->type) {
                err = add_record(b, m, rr);
            } else if (rr->type == RN_DNS_CNAME) {
                if (read_name(m, rr->data, owner) != rr->next)
                    err = -EBADMSG;
                if (rr->ttl < b->a->ttl)
                    b->a->ttl = rr->ttl;
                alias = true;
                break;
            }
        }
        if (!alias)
            break;
        if (hop == CHAIN_MAX)
            err = err ? err : -EBADMSG; /* a ring */
    }
    free(rr);
    return err;
}

/* How long it may be remembered that there is nothing: what the zone's SOA says (RFC 2308). */
static uint32_t negative_ttl(const struct message *m, size_t at, int skip, int count)
{
    struct rr *rr = malloc(sizeof *rr);
    char name[DNS_NAME];
    uint32_t ttl = NEGATIVE_DEFAULT;

    for (int i = 0; rr && i < skip + count && read_rr(m, at, rr); i++, at = rr->next) {
        size_t p;

        if (i < skip || rr->type != TYPE_SOA || rr->class != CLASS_IN)
            continue;
        p = read_name(m, rr->data, name);
        p = p ? read_name(m, p, name) : 0;
        if (!p || p + 20 != rr->next)
            break;
        ttl = get32(m->at + p + 16);
        ttl = ttl < rr->ttl ? ttl : rr->ttl;
        ttl = ttl < NEGATIVE_MAX ? ttl : NEGATIVE_MAX;
        break;
    }
    free(rr);
    return ttl;
}

int rn__dns_parse(const uint8_t *msg, size_t size, const char *name, int type,
                  struct answer **ret_answer)
{
    struct message m = {msg, size};
    struct builder b = {rn__dns_no_answer(0, type), 0};
    char question[DNS_NAME];
    size_t at = HEADER;
    int err, code;

    if (!b.a)
        return -ENOMEM;
    err = size < HEADER || !(msg[2] & 0x80) || get16(msg + 4) != 1 ? -EBADMSG : 0;
    code = err ? 0 : msg[3] & 15;
    if (!err && code != 0 && code != 3)
        err = -EBADMSG;
    if (!err) {
        at = read_name(&m, at, question);
        if (!at || at + 4 > size)
            err = -EBADMSG;
        at += 4;
    }
    b.a->ttl = TTL_MAX;
    if (!err)
        err = read_answers(&b, &m, at, get16(msg + 6), name);
    if (err) {
        rn__dns_answer_unref(b.a);
        return err;
    }
    if (b.a->pub.count == 0) {
        b.a->err = code == 3 ? -ENOENT : -ENODATA;
        b.a->ttl = negative_ttl(&m, at, get16(msg + 6), get16(msg + 8));
    }
    settle(b.a);
    *ret_answer = b.a;
    return 0;
}

/* ---- Answers -------------------------------------------------------------------------------------------------- */

struct answer *rn__dns_no_answer(int err, int type)
{
    struct answer *a = calloc(1, sizeof *a);

    if (a) {
        a->refs = 1;
        a->err = err;
        a->type = type;
    }
    return a;
}

struct answer *rn__dns_answer_copy(const struct answer *a)
{
    struct answer *c = rn__dns_no_answer(a->err, a->type);
    size_t names = 0;

    if (!c)
        return NULL;
    for (size_t i = 0; i < a->pub.count; i++) {
        const rn_dns_record *r = &a->records[i];
        size_t n = r->text ? r->text_size : r->name ? strlen(r->name) : 0;

        if (r->rn__reserved[0] + n + 1 > names)
            names = r->rn__reserved[0] + n + 1;
    }
    c->ttl = a->ttl;
    c->records = malloc((a->pub.count + 1) * sizeof *c->records);
    c->names = malloc(names + 1);
    if (!c->records || !c->names) {
        rn__dns_answer_unref(c);
        return NULL;
    }
    if (a->pub.count)
        memcpy(c->records, a->records, a->pub.count * sizeof *c->records);
    if (a->names)
        memcpy(c->names, a->names, names);
    c->pub.count = a->pub.count;
    settle(c);
    return c;
}

struct answer *rn__dns_answer_ref(struct answer *a)
{
    add_relaxed(&a->refs, 1); /* the caller has one */
    return a;
}

void rn__dns_answer_unref(struct answer *a)
{
    if (a && sub_acq_rel(&a->refs, 1) == 1) { /* pairs with the others' */
        free(a->records);
        free(a->names);
        free(a);
    }
}

void rn_dns_answer_free(rn_dns_answer *a)
{
    if (a)
        rn__dns_answer_unref(container_of(a, struct answer, pub));
}
