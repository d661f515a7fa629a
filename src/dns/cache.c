/* SPDX-License-Identifier: MIT */
/*
 * cache.c - answers by name and type, until they expire; the one unused for longest goes when there is no room.
 */
#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "dns/dns.h"

struct entry {
    struct entry *in_bucket;
    struct entry *next, *prev; /* by last use, newest first */
    struct answer *answer;
    rn_time until;
    int type;
    char name[];
};

int rn__dns_cache_init(struct cache *c, size_t room)
{
    *c = (struct cache){.room = room, .nbuckets = 64};
    while (c->nbuckets < room)
        c->nbuckets *= 2;
    c->buckets = calloc(c->nbuckets, sizeof *c->buckets);
    return c->buckets ? 0 : -ENOMEM;
}

static struct entry **bucket_of(struct cache *c, const char *name, int type)
{
    uint64_t h = 1469598103934665603u ^ (uint64_t)type; /* FNV-1a */

    for (; *name; name++)
        h = (h ^ (uint64_t)tolower((unsigned char)*name)) * 1099511628211u;
    return &c->buckets[(h ^ h >> 32) & (c->nbuckets - 1)];
}

static void order_out(struct cache *c, struct entry *e)
{
    *(e->prev ? &e->prev->next : &c->newest) = e->next;
    *(e->next ? &e->next->prev : &c->oldest) = e->prev;
}

static void order_in(struct cache *c, struct entry *e)
{
    e->prev = NULL;
    e->next = c->newest;
    *(e->next ? &e->next->prev : &c->oldest) = e;
    c->newest = e;
}

static struct entry **find(struct cache *c, const char *name, int type)
{
    struct entry **at = bucket_of(c, name, type);

    while (*at && ((*at)->type != type || strcasecmp((*at)->name, name) != 0))
        at = &(*at)->in_bucket;
    return at;
}

static void take_out(struct cache *c, struct entry **at)
{
    struct entry *e = *at;

    assert(e);
    *at = e->in_bucket;
    order_out(c, e);
    c->count--;
    rn__dns_answer_unref(e->answer);
    free(e);
}

struct answer *rn__dns_cache_get(struct cache *c, const char *name, int type, rn_time now)
{
    struct entry **at = find(c, name, type), *e = *at;

    if (!e)
        return NULL;
    if (e->until <= now) {
        take_out(c, at);
        return NULL;
    }
    order_out(c, e);
    order_in(c, e);
    return rn__dns_answer_ref(e->answer);
}

void rn__dns_cache_put(struct cache *c, const char *name, int type, struct answer *a, rn_time now)
{
    struct entry **at = find(c, name, type), *e;

    if (*at)
        take_out(c, at);
    if (a->ttl == 0 || c->room == 0)
        return;
    e = malloc(sizeof *e + strlen(name) + 1);
    if (!e)
        return;
    while (c->count >= c->room)
        take_out(c, find(c, c->oldest->name, c->oldest->type));
    strcpy(e->name, name);
    e->type = type;
    e->answer = rn__dns_answer_ref(a);
    e->until = now + (rn_time)a->ttl * RN_SECOND;
    at = bucket_of(c, name, type);
    e->in_bucket = *at;
    *at = e;
    order_in(c, e);
    c->count++;
}

void rn__dns_cache_clear(struct cache *c)
{
    while (c->oldest)
        take_out(c, find(c, c->oldest->name, c->oldest->type));
}

void rn__dns_cache_free(struct cache *c)
{
    if (c->buckets)
        rn__dns_cache_clear(c);
    free(c->buckets);
}
