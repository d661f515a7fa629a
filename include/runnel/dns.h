/* SPDX-License-Identifier: MIT */
/*
 * dns.h - names, by c-ares. In librunnel-dns: link with -Wl,--no-as-needed -lrunnel-dns -lrunnel, and rn_dial looks its
 * names up here too.
 *
 *     rn_addr a[16];
 *     int n = rn_dns_host(ctx, NULL, "example.com", 0, a, 16);
 *
 * A lookup waits as a goroutine does, or as a plain thread; no thread is made for it. It ends at once with its context.
 * Addresses of both families are asked for at the same time. Answers are kept as long as they say (their TTL), those
 * that there is none too, and whoever asks while the same is being asked gets the same answer; no two questions to the
 * servers are sent from one port.
 *
 * Where names come from. /etc/hosts, resolv.conf's servers, search, ndots, timeout and attempts, the environment's
 * LOCALDOMAIN and RES_OPTIONS have their effect as in the C library; changes of the files are noticed. The order is that
 * of "hosts:" in nsswitch.conf (files dns without one). What stands there beside files and dns is left to the C library,
 * on a thread that waits for it:
 *   mdns*         for names that end in .local
 *   myhostname    for this machine's name, and _gateway, _outbound
 *   anything else (resolve, ldap, nis, ...), or a [STATUS=action] other than the usual after files and dns: all names
 * localhost, and what ends in .localhost, is this machine without asking anybody (RFC 6761).
 *
 * All calls take a resolver r; NULL is the system's, made at the first use. Results are counts, or
 *   -ENOENT     there is no such name
 *   -ENODATA    there is, but without what was asked for, such as an address of the family; -ENOENT where it is the C
 *               library that is asked, and of rn_dial and rn_lookup
 *   -EAGAIN     no server has answered, or only with failures: later it may
 *   -EINVAL     what was asked for is no name
 *   -EBADMSG    the answer cannot be read
 *   the context's error; -ENOMEM, -EMFILE
 *   -EIO, ...   where the C library is asked: it has failed for a reason of its own
 * rn_errmsg names what was looked up. A lookup needs tens of KiB of the goroutine's stack: leave it the default. What a
 * goroutine that the end of its rn_run takes away in the midst of one has of the resolver's, but for memory, the next
 * lookup gives back.
 */
#ifndef RUNNEL_DNS_H
#define RUNNEL_DNS_H

#include <runnel/net.h>

RN__BEGIN

typedef struct rn_dns rn_dns;

/* Zero means the default. All is copied. */
typedef struct rn_dns_options {
    const char *servers; /* "192.0.2.1,192.0.2.2:5353,[2001:db8::1]:53"; default: resolv.conf's */
    const char *search;  /* "a.example,b.example"; "": none; default: resolv.conf's */
    int ndots;           /* default: resolv.conf's; -1: 0 */
    const char *hosts_file;    /* default: /etc/hosts; "": none */
    const char *resolv_file;   /* default: /etc/resolv.conf */
    const char *nsswitch_file; /* default: /etc/nsswitch.conf; "": files dns */
    rn_dur timeout; /* for a server's answer, of the first try; default: resolv.conf's, or 5 s */
    int tries;      /* of each server; default: resolv.conf's, or 4 */
    int cache_size; /* answers that are kept; default 1024; -1: none */
    int parallel;   /* questions at the same time; more wait; default 100 */
    rn_time (*clock)(void); /* by which answers age; default rn_now. For tests */
    uint64_t rn__reserved[8];
} rn_dns_options;

/* options may be NULL. 0, -EINVAL for servers that are none, -ENOMEM. */
RN__API RN__NODISCARD int rn_dns_new(const rn_dns_options *options, rn_dns **ret_r);
/* Counted; a call in progress needs no reference of its own. NULL is fine. */
RN__API rn_dns *rn_dns_retain(rn_dns *r);
RN__API void rn_dns_release(rn_dns *r);

/*
 * The addresses of host, with port 0.
 *
 *   family  4, 6, or 0 for both: those of a family to which there is a route first, IPv6 before IPv4
 *   room    how many fit into ret_addrs
 *
 * Returns how many there are, at most room are written. A number is its own address. A name without a dot at its end may
 * be tried with the domains of the search list.
 */
RN__API RN__NODISCARD int rn_dns_host(struct rn_ctx *ctx, rn_dns *r, const char *host, int family,
                                      rn_addr *ret_addrs, int room);

/* The name of a's host, without a dot at its end; the hosts file is asked first. Its length, or -ENOBUFS. */
RN__API RN__NODISCARD int rn_dns_name(struct rn_ctx *ctx, rn_dns *r, const rn_addr *a, char *name,
                                      size_t size);

/* What a name can have. */
enum rn_dns_type {
    RN_DNS_A = 1,
    RN_DNS_NS = 2,
    RN_DNS_CNAME = 5,
    RN_DNS_PTR = 12,
    RN_DNS_MX = 15,
    RN_DNS_TXT = 16,
    RN_DNS_AAAA = 28,
    RN_DNS_SRV = 33
};

typedef struct rn_dns_record {
    uint32_t ttl;      /* seconds, when it was received */
    uint16_t priority; /* of MX and SRV: lower first */
    uint16_t weight;   /* of SRV */
    uint16_t port;     /* of SRV */
    rn_addr addr;      /* of A and AAAA */
    const char *name;  /* of NS, CNAME, PTR, MX, SRV: a name without a dot at its end */
    const char
        *text; /* of TXT: its strings put together, ended by a 0 that text_size does not count */
    size_t text_size;
    uint64_t rn__reserved[2];
} rn_dns_record;

typedef struct rn_dns_answer {
    size_t count;
    const rn_dns_record
        *records; /* MX and SRV by priority, SRV of one priority shuffled by weight (RFC 2782) */
} rn_dns_answer;

/* The records of a name, of one type, from the servers alone; name is complete: no search list, no hosts file. A service
 * is the SRV of "_service._proto.name". Returns how many, at least one; rn_dns_answer_free is the caller's then. */
RN__API RN__NODISCARD int rn_dns_lookup(struct rn_ctx *ctx, rn_dns *r, const char *name,
                                        enum rn_dns_type type, rn_dns_answer **ret_answer);
RN__API void rn_dns_answer_free(rn_dns_answer *a);

/* Forget what was learnt. */
RN__API void rn_dns_flush(rn_dns *r);

typedef struct rn_dns_stats {
    uint64_t hits;    /* questions answered from what is kept */
    uint64_t joined;  /* those that waited for another's answer */
    uint64_t asked;   /* those sent to servers */
    uint64_t entries; /* answers kept */
    uint64_t rn__reserved[4];
} rn_dns_stats;
RN__API void rn_dns_get_stats(rn_dns *r, rn_dns_stats *ret_stats);

/* Let rn_dial, rn_listen and rn_bind use r from now on; NULL: the C library. A program that is linked with librunnel-dns
 * begins with the system's resolver in use. r is retained for the life of the process. */
RN__API void rn_dns_use(rn_dns *r);
/* The system's resolver, which NULL stands for; borrowed. NULL if there is no memory for it. */
RN__API rn_dns *rn_dns_system(void);

RN__END
#endif
