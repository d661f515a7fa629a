/* SPDX-License-Identifier: MIT */
/*
 * hosts.c - what the files say: /etc/hosts, and the line "hosts:" of nsswitch.conf. Pure functions of their arguments.
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "dns/dns.h"

bool rn__dns_number(rn_addr *ret_a, const char *text)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    rn_addr a = {{0}};
    socklen_t n;
    char bare[64];
    const char *zone = strchr(text, '%');

    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        n = sizeof in;
        memcpy(&a, &in, sizeof in);
    } else {
        if (strlen(text) >= sizeof bare)
            return false;
        snprintf(bare, sizeof bare, "%.*s", (int)(zone ? (size_t)(zone - text) : strlen(text)),
                 text);
        if (inet_pton(AF_INET6, bare, &in6.sin6_addr) != 1)
            return false;
        if (zone) {
            char *end;
            unsigned long number = strtoul(zone + 1, &end, 10);

            in6.sin6_scope_id = !*end && number ? (uint32_t)number : if_nametoindex(zone + 1);
            if (!in6.sin6_scope_id)
                return false;
        }
        n = sizeof in6;
        memcpy(&a, &in6, sizeof in6);
    }
    memcpy((char *)&a + sizeof a - sizeof n, &n, sizeof n);
    *ret_a = a;
    return true;
}

/* The next word of a line; NULL at its end or a comment's begin. *at goes behind it. */
static const char *next_word(const char **at, size_t *ret_size)
{
    const char *p = *at, *begin;

    while (*p == ' ' || *p == '\t' || *p == '\r')
        p++;
    begin = p;
    while (*p && !strchr(" \t\r\n#", *p))
        p++;
    *at = p;
    *ret_size = (size_t)(p - begin);
    return p == begin ? NULL : begin;
}

static const char *next_line(const char *at)
{
    const char *end = strchr(at, '\n');

    return end ? end + 1 : at + strlen(at);
}

static bool is_word(const char *word, size_t size, const char *name)
{
    size_t n = strlen(name);

    if (n > 1 && name[n - 1] == '.')
        n--;
    return size == n && strncasecmp(word, name, n) == 0;
}

/* The number that begins a line. */
static bool line_number(const char **at, rn_addr *ret_a)
{
    size_t n;
    const char *word = next_word(at, &n);
    char text[64];

    if (!word || n >= sizeof text)
        return false;
    memcpy(text, word, n);
    text[n] = 0;
    return rn__dns_number(ret_a, text);
}

static int family_of(const rn_addr *a)
{
    sa_family_t family;

    memcpy(&family, a, sizeof family);
    return family == AF_INET6 ? 6 : 4;
}

int rn__dns_hosts(const char *text, const char *host, int family, rn_addr *ret_addrs, int room)
{
    int found = 0;

    for (; *text && found < room; text = next_line(text)) {
        const char *at = text, *word;
        size_t n;
        rn_addr a;

        if (!line_number(&at, &a) || family_of(&a) != family)
            continue;
        while ((word = next_word(&at, &n)))
            if (is_word(word, n, host)) {
                ret_addrs[found++] = a;
                break;
            }
    }
    return found;
}

size_t rn__dns_hosts_name(const char *text, const rn_addr *a, char *name, size_t size)
{
    for (; *text; text = next_line(text)) {
        const char *at = text, *word;
        size_t n;
        rn_addr here;

        if (!line_number(&at, &here) || !rn_addr_equal(&here, a))
            continue;
        word = next_word(&at, &n);
        if (!word)
            continue;
        if (n < size) {
            memcpy(name, word, n);
            name[n] = 0;
        }
        return n;
    }
    return 0;
}

/* ---- nsswitch.conf -------------------------------------------------------------------------------------------- */

static bool ends_in(const char *host, const char *suffix)
{
    size_t n = strlen(host), m = strlen(suffix);

    if (n > 0 && host[n - 1] == '.')
        n--;
    return n >= m && strncasecmp(host + n - m, suffix, m) == 0;
}

static bool is_one_of(const char *word, size_t size, const char *const *list)
{
    for (; *list; list++)
        if (size == strlen(*list) && strncasecmp(word, *list, size) == 0)
            return true;
    return false;
}

/* A criterion that says what happens anyway. Others change who comes next: those are the C library's to follow. */
static bool is_usual(const char *word, size_t size)
{
    static const char *const usual[] = {"[SUCCESS=return]", "[NOTFOUND=continue]",
                                        "[UNAVAIL=continue]", "[TRYAGAIN=continue]", NULL};

    return is_one_of(word, size, usual);
}

/* One that makes the answer that there is none final. */
static bool is_final(const char *word, size_t size)
{
    static const char *const final[] = {"[NOTFOUND=return]", "[!UNAVAIL=return]", NULL};

    return is_one_of(word, size, final);
}

static bool begins(const char *word, size_t size, const char *with)
{
    return size >= strlen(with) && strncmp(word, with, strlen(with)) == 0;
}

int rn__dns_sources(const char *nsswitch, const char *host, enum dns_source sources[4])
{
    int n = 0;
    bool skipped = false, final = false, seen[2] = {false, false};

    while (*nsswitch) {
        const char *at = nsswitch, *word;
        size_t size;

        word = next_word(&at, &size);
        if (!word || size < 6 || strncmp(word, "hosts:", 6) != 0) {
            nsswitch = next_line(nsswitch);
            continue;
        }
        at = word + 6;
        while ((word = next_word(&at, &size)) && n < 3) {
            bool left = false; /* to the C library */

            if (*word == '[') {
                /* After dns the end is what follows anyway, unless it is files. */
                bool ends = !skipped && is_final(word, size) && seen[1];

                left = !skipped && !ends && !is_usual(word, size);
                final |= ends;
            } else if (size == 5 && strncmp(word, "files", 5) == 0) {
                skipped = false;
                left = final;
                if (!seen[0])
                    sources[n++] = SOURCE_FILES;
                seen[0] = true;
            } else if (size == 3 && strncmp(word, "dns", 3) == 0) {
                skipped = false;
                if (!seen[1])
                    sources[n++] = SOURCE_DNS;
                seen[1] = true;
            } else if (begins(word, size, "mdns")) {
                left = ends_in(host, ".local");
                skipped = true;
            } else if (size == 10 && strncmp(word, "myhostname", 10) == 0) {
                left = rn__dns_is_this_machine(host) || strcasecmp(host, "_gateway") == 0 ||
                       strcasecmp(host, "_outbound") == 0;
                skipped = true;
            } else {
                left = true;
            }
            if (left) { /* it knows the whole line */
                sources[0] = SOURCE_SYSTEM;
                return 1;
            }
        }
        break;
    }
    if (n == 0) {
        sources[n++] = SOURCE_FILES;
        sources[n++] = SOURCE_DNS;
    }
    return n;
}
