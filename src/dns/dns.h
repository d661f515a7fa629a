/* SPDX-License-Identifier: MIT */
/*
 * dns.h - what the files of librunnel-dns share.
 */
#ifndef RN_SRC_DNS_H
#define RN_SRC_DNS_H

#include <runnel/dns.h>
#include <sys/types.h>

#include "base/atomic.h"

/* A name as text: 255 bytes at most, of which each may become \ddd. */
enum { DNS_NAME = 1025 };

/* What a server said, or that nobody did. Counted. */
struct answer {
    rn_dns_answer pub;
    uint32_t refs; /* atomic */
    int err;       /* 0, -ENOENT, -ENODATA; others are never kept */
    uint32_t ttl;  /* seconds it may be kept; 0: not at all */
    int type;
    rn_dns_record *records;
    char *names; /* where their texts are */
};

/* ---- answer.c: a message from a server. Pure functions of their arguments --- */

/* Read the answer to (name, type) in a message of size bytes, from whoever. 0 with *ret_answer, whose err may be one;
 * -EBADMSG, -ENOMEM. */
int rn__dns_parse(const uint8_t *msg, size_t size, const char *name, int type,
                  struct answer **ret_answer);
struct answer *rn__dns_no_answer(int err, int type);
struct answer *rn__dns_answer_ref(struct answer *a);
void rn__dns_answer_unref(struct answer *a);
/* A copy that may be put in another order. */
struct answer *rn__dns_answer_copy(const struct answer *a);

/* ---- cache.c: guarded by whoever uses it --- */

struct cache {
    struct entry **buckets;
    struct entry *newest, *oldest;
    size_t count, room, nbuckets;
};

int rn__dns_cache_init(struct cache *c, size_t room);
/* A reference to what is kept at time now, or NULL. */
struct answer *rn__dns_cache_get(struct cache *c, const char *name, int type, rn_time now);
void rn__dns_cache_put(struct cache *c, const char *name, int type, struct answer *a, rn_time now);
void rn__dns_cache_clear(struct cache *c);
void rn__dns_cache_free(struct cache *c);

/* ---- os.c: files, and the sockets of a question --- */

struct text_file {
    char *path; /* NULL: none */
    char *text;
    uint64_t inode, size;
    int64_t changed;
};

/* Read f again if it has changed; its text, "" if there is none. */
const char *rn__dns_file(struct text_file *f, bool *ret_changed);
int rn__dns_poll_new(void);
void rn__dns_poll_set(int poll, int fd, bool readable, bool writable);
struct dns_ready {
    int fd;
    bool readable, writable;
};
int rn__dns_poll_get(int poll, struct dns_ready *ready, int room);
void rn__dns_poll_free(int poll);
/* There is a route to a. */
bool rn__dns_reachable(const rn_addr *a);
bool rn__dns_is_this_machine(const char *name);

/* ---- hosts.c --- */

/* The addresses of host, of family 4 or 6; how many. */
int rn__dns_hosts(const char *text, const char *host, int family, rn_addr *ret_addrs, int room);
/* The name of a; its length, or 0. */
size_t rn__dns_hosts_name(const char *text, const rn_addr *a, char *name, size_t size);

enum dns_source { SOURCE_FILES, SOURCE_DNS, SOURCE_SYSTEM };
/* Who is asked for host, in order, by nsswitch.conf's text. */
int rn__dns_sources(const char *nsswitch, const char *host, enum dns_source sources[4]);

/* a has the number text; port 0. */
bool rn__dns_number(rn_addr *ret_a, const char *text);

#endif
