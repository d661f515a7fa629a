/* SPDX-License-Identifier: MIT */
/*
 * labels.c - what goroutines are labelled with: see labels.h.
 *
 * The text is as reports print it: key="value", key2="value". Keys are in order, so that the same labels are the same text.
 * In values " and \ have a \ before them, and what no report may have is a question mark (base/text.h).
 */
#include "sched/labels.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"

enum { BATCH = 64 };

static struct spin lock; /* guards the next two */
static struct labels *unused;
static struct batch {
    struct batch *next;
    struct labels block[BATCH];
} *batches; /* who looks for memory that nothing refers to finds it by this */

static struct labels *block_take(void)
{
    struct labels *l;
    struct batch *more;

    spin_lock(&lock);
    l = unused;
    if (l)
        unused = l->next;
    spin_unlock(&lock);
    if (!l) {
        more = rn__mem_new_zero(sizeof *more, 16);
        if (!more)
            return NULL;
        l = &more->block[0];
        spin_lock(&lock);
        more->next = batches;
        batches = more;
        for (unsigned i = 1; i < BATCH; i++) {
            more->block[i].next = unused;
            unused = &more->block[i];
        }
        spin_unlock(&lock);
    }
    store_relaxed(&l->turn, l->turn + 1);
    fence_seq_cst(); /* who sees what is written here sees that it is another turn */
    return l;
}

void rn__labels_free(struct labels *l)
{
    if (!l)
        return;
    spin_lock(&lock);
    l->next = unused;
    unused = l;
    spin_unlock(&lock);
}

void rn__labels_fork(void)
{
    lock = (struct spin){0}; /* whoever had it is gone; at worst a block is lost */
}

struct labels *rn__labels_copy(const struct labels *from)
{
    struct labels *l = block_take();

    if (l)
        rn__copy(l->text, from->text, sizeof l->text);
    return l;
}

bool rn__labels_read(struct labels *const *at, char *to)
{
    const struct labels *l = load_acquire(at);
    uint32_t turn;

    if (!l)
        return false;
    turn = load_acquire(&l->turn);
    rn__copy(to, l->text, LABELS_MAX);
    to[LABELS_MAX - 1] = 0;
    fence_acquire(); /* it is read before we look whether it was right */
    return load_relaxed(&l->turn) == turn;
}

/* ---- Public --------------------------------------------------------------------------------------------- */

static bool is_key(const char *key)
{
    size_t n = 0;

    for (; key && key[n]; n++) {
        char c = key[n];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';

        if (!letter && !(n > 0 && ((c >= '0' && c <= '9') || c == '.' || c == '-')))
            return false;
    }
    return n > 0;
}

struct text {
    char at[LABELS_MAX];
    size_t used;
    bool full;
};

static void put(struct text *t, const char *s, size_t n)
{
    if (n >= sizeof t->at - t->used) {
        t->full = true;
        return;
    }
    rn__copy(t->at + t->used, s, n);
    t->used += n;
    t->at[t->used] = 0;
}

static void put_pair(struct text *t, const char *key, const char *value)
{
    char c[4];

    if (t->used > 0)
        put(t, ", ", 2);
    put(t, key, strlen(key));
    put(t, "=\"", 2);
    while (*value) {
        size_t n = rn__text_next(&value, c);

        if (*c == '"' || *c == '\\')
            put(t, "\\", 1);
        put(t, c, n);
    }
    put(t, "\"", 1);
}

/* How long the pair is with which s begins. */
static size_t pair_size(const char *s)
{
    size_t n = strcspn(s, "\"") + 1;

    while (s[n] != '"')
        n += s[n] == '\\' ? 2 : 1;
    return n + 1;
}

int rn_set_label(const char *key, const char *value)
{
    struct g *g = rn__self();
    struct labels *before = g->labels, *l = NULL;
    const char *s = before ? before->text : "";
    struct text t = {.used = 0};
    size_t n;

    if (g->kind != G_GOROUTINE)
        return -ENOTSUP;
    if (!is_key(key))
        return -EINVAL;
    n = strlen(key);
    while (*s) {
        size_t its = strcspn(s, "="), size = pair_size(s);
        int order = strncmp(s, key, its < n ? its : n);

        if (order == 0)
            order = its < n ? -1 : its > n;
        if (order > 0 && value) {
            put_pair(&t, key, value);
            value = NULL;
        }
        if (order != 0) {
            if (t.used > 0)
                put(&t, ", ", 2);
            put(&t, s, size);
        }
        s += size;
        s += *s ? 2 : 0;
    }
    if (value)
        put_pair(&t, key, value);
    if (t.full)
        return -ENOSPC;
    if (t.used > 0) {
        l = block_take();
        if (!l)
            return -ENOMEM;
        rn__copy(l->text, t.at, sizeof l->text);
    }
    store_release(&g->labels, l); /* pairs with rn__labels_read */
    rn__labels_free(before);
    return 0;
}
