/* SPDX-License-Identifier: MIT */
/*
 * walk.c - the regular files below some directories, the operands.
 *
 * A walk never holds the tree, only the names of the directories from an operand down to the present
 * one: each is read whole, sorted, and closed, so that neither the depth of a tree nor its size costs
 * open files or stack.
 *
 * The paths come out sorted although nobody sorts them: within a directory, a subdirectory counts as
 * if its name ended in "/", which puts "a-b" before everything in "a" and that before "a0". Where
 * one operand lies inside another, their trees are merged.
 */
#include "walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <runnel/errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRIES_BETWEEN_CHECKS = 256 };

enum kind { KIND_FILE, KIND_DIR, KIND_PROBLEM };

struct entry {
    size_t name_at;   /* into the directory's names, while they still grow */
    const char *name; /* the same, afterwards */
    enum kind kind;
    bool is_link;
    int err; /* KIND_PROBLEM */
};

struct dir {
    struct entry *entries;
    size_t count, room, next;
    char *names; /* one after another, each with its NUL */
    size_t names_used, names_room;
    size_t path_len; /* of the path to this directory, with its slash */
    dev_t dev;
    ino_t ino;
};

/* One operand and where the walk is below it. */
struct tree {
    const char *operand;
    bool is_dir;
    struct failure failure; /* of one that is not */
    bool started;

    char *path; /* of the present item */
    size_t path_room;
    struct dir *dirs; /* from the operand down to the present directory */
    size_t depth, dirs_room;
    struct walk_item item; /* the next one, in trees that are active */
};

struct walk {
    struct tree *trees; /* in the order of their paths when sorted */
    size_t count;
    size_t opened;  /* trees before this one were started */
    size_t *active; /* trees that have an item; more than one only where operands overlap */
    size_t active_count;
    struct tree *current; /* whose item was given out last */
    bool sorted;
    bool follow;
};

/* Make room for one more element in an array. False when out of memory. */
static bool grow(void *array_at, size_t *room, size_t needed, size_t size)
{
    void **array = array_at;
    size_t more = *room ? *room : 16;
    void *bigger;

    if (needed <= *room)
        return true;
    while (more < needed)
        more *= 2;
    bigger = realloc(*array, more * size);
    if (!bigger)
        return false;
    *array = bigger;
    *room = more;
    return true;
}

/* ---- Order ------------------------------------------------------------------------------------ */

/* Byte order, where a directory's name goes on with a slash. */
static int compare_names(const char *a, bool a_is_dir, const char *b, bool b_is_dir)
{
    const unsigned char *p = (const unsigned char *)a, *q = (const unsigned char *)b;

    while (*p && *p == *q)
        p++, q++;
    int x = *p ? *p : a_is_dir ? '/' : 0;
    int y = *q ? *q : b_is_dir ? '/' : 0;

    if (x ==
        y) /* a's slash that is not written, and b's that is, or the other way round, or the same */
        return (*q && q[1] ? -1 : 0) + (*p && p[1] ? 1 : 0);
    return x - y;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    return compare_names(x->name, x->kind == KIND_DIR, y->name, y->kind == KIND_DIR);
}

static bool needs_slash(const char *path, size_t len)
{
    return len == 0 || path[len - 1] != '/';
}

/* Where an operand's first item can be at the earliest. */
static int compare_trees(const void *a, const void *b)
{
    const struct tree *x = a, *y = b;

    return compare_names(x->operand, x->is_dir && needs_slash(x->operand, strlen(x->operand)),
                         y->operand, y->is_dir && needs_slash(y->operand, strlen(y->operand)));
}

/* ---- One directory ---------------------------------------------------------------------------- */

static void dir_deinit(struct dir *d)
{
    free(d->entries);
    free(d->names);
}

/* False when out of memory. */
static bool dir_add(struct dir *d, const char *name, enum kind kind, bool is_link, int err)
{
    size_t len = strlen(name) + 1;

    if (!grow(&d->entries, &d->room, d->count + 1, sizeof(*d->entries)) ||
        !grow(&d->names, &d->names_room, d->names_used + len, 1))
        return false;
    memcpy(d->names + d->names_used, name, len);
    d->entries[d->count++] =
        (struct entry){.name_at = d->names_used, .kind = kind, .is_link = is_link, .err = err};
    d->names_used += len;
    return true;
}

/* Add name if it is a file, a directory or, when links are followed, leads to one. */
static bool dir_consider(struct dir *d, int fd, const struct dirent *e, bool follow)
{
    unsigned char type = e->d_type;
    bool is_link = false;
    struct stat st;

    if (type == DT_UNKNOWN || (type == DT_LNK && follow)) {
        if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return dir_add(d, e->d_name, KIND_PROBLEM, false, -errno);
        is_link = S_ISLNK(st.st_mode);
        if (is_link && !follow)
            return true;
        if (is_link && fstatat(fd, e->d_name, &st, 0) < 0)
            return dir_add(d, e->d_name, KIND_PROBLEM, true, -errno);
        type = S_ISREG(st.st_mode) ? DT_REG : S_ISDIR(st.st_mode) ? DT_DIR : DT_FIFO;
    }
    if (type == DT_REG)
        return dir_add(d, e->d_name, KIND_FILE, is_link, 0);
    if (type == DT_DIR)
        return dir_add(d, e->d_name, KIND_DIR, is_link, 0);
    return true;
}

/* Read what is in stream. 0, ctx's error, -ENOMEM, or with *ret_read_err set the disk's own. */
static int dir_fill(struct dir *d, rn_ctx *ctx, DIR *stream, bool follow, int *ret_read_err)
{
    for (size_t seen = 1;; seen++) {
        const struct dirent *e;

        if (seen % ENTRIES_BETWEEN_CHECKS == 0 && rn_ctx_err(ctx) != 0)
            return rn_ctx_err(ctx);
        errno = 0;
        e = readdir(stream);
        if (!e) {
            *ret_read_err = -errno;
            break;
        }
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (!dir_consider(d, dirfd(stream), e, follow))
            return -ENOMEM;
    }
    for (size_t i = 0; i < d->count; i++)
        d->entries[i].name = d->names + d->entries[i].name_at;
    return 0;
}

/* ---- One operand's tree ----------------------------------------------------------------------- */

static void tree_problem(struct tree *t, int err, const char *text)
{
    t->item = (struct walk_item){
        .path = t->path, .is_problem = true, .failure = {.err = err, .text = text}};
}

static bool tree_has_above(const struct tree *t, dev_t dev, ino_t ino)
{
    for (size_t i = 0; i < t->depth; i++)
        if (t->dirs[i].dev == dev && t->dirs[i].ino == ino)
            return true;
    return false;
}

/*
 * Descend into the directory t->path, whose length is len. Returns 1, 0 with the problem as t's item,
 * ctx's error or -ENOMEM.
 */
static int tree_enter(struct tree *t, rn_ctx *ctx, size_t len, const struct walk *w,
                      bool may_be_link)
{
    struct dir d = {0};
    struct stat st;
    int fd, err, read_err = 0;
    DIR *stream;

    fd = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (may_be_link ? 0 : O_NOFOLLOW));
    if (fd < 0) {
        tree_problem(t, -errno, NULL);
        return 0;
    }
    if (fstat(fd, &st) < 0) {
        tree_problem(t, -errno, NULL);
        (void)close(fd);
        return 0;
    }
    if (tree_has_above(t, st.st_dev, st.st_ino)) {
        tree_problem(t, -ELOOP, "a loop: this directory is also one of those above it");
        (void)close(fd);
        return 0;
    }
    stream = fdopendir(fd);
    if (!stream) {
        (void)close(fd);
        return -ENOMEM;
    }
    d.dev = st.st_dev;
    d.ino = st.st_ino;
    err = dir_fill(&d, ctx, stream, w->follow, &read_err);
    (void)closedir(stream);
    if (err == 0 && !grow(&t->dirs, &t->dirs_room, t->depth + 1, sizeof(*t->dirs)))
        err = -ENOMEM;
    if (err == 0 && !grow(&t->path, &t->path_room, len + 2, 1))
        err = -ENOMEM;
    if (err < 0) {
        dir_deinit(&d);
        return err;
    }
    if (read_err < 0)
        tree_problem(t, read_err, NULL); /* what was read of it is walked all the same */
    if (w->sorted && d.count > 1)
        qsort(d.entries, d.count, sizeof(*d.entries), compare_entries);
    d.path_len = len;
    t->dirs[t->depth++] = d;
    return read_err < 0 ? 0 : 1;
}

/* Put name behind the path of the present directory; the length of the whole, or 0 without memory. */
static size_t tree_set_path(struct tree *t, const struct dir *d, const char *name)
{
    size_t at = d->path_len, len = strlen(name);

    if (!grow(&t->path, &t->path_room, at + len + 2, 1))
        return 0;
    if (needs_slash(t->path, at))
        t->path[at++] = '/';
    memcpy(t->path + at, name, len + 1);
    return at + len;
}

/* Set t's item to the next one. 1, 0 at the end, ctx's error or -ENOMEM. */
static int tree_next(struct tree *t, rn_ctx *ctx, const struct walk *w)
{
    int r;

    if (!t->started) {
        size_t len = strlen(t->operand);

        t->started = true;
        if (!grow(&t->path, &t->path_room, len + 1, 1))
            return -ENOMEM;
        memcpy(t->path, t->operand, len + 1);
        if (!t->is_dir) {
            tree_problem(t, t->failure.err, t->failure.text);
            return 1;
        }
        r = tree_enter(t, ctx, len, w, true);
        if (r <= 0)
            return r < 0 ? r : 1;
    }
    while (t->depth > 0) {
        struct dir *d = &t->dirs[t->depth - 1];

        if (d->next == d->count) {
            dir_deinit(d);
            t->depth--;
            continue;
        }
        const struct entry *e = &d->entries[d->next++];
        size_t len = tree_set_path(t, d, e->name);

        if (len == 0)
            return -ENOMEM;
        switch (e->kind) {
        case KIND_FILE:
            t->item = (struct walk_item){.path = t->path, .follow = e->is_link};
            return 1;
        case KIND_PROBLEM:
            tree_problem(t, e->err, e->is_link && e->err == -ENOENT ? "leads nowhere" : NULL);
            return 1;
        case KIND_DIR:
            r = tree_enter(t, ctx, len, w, e->is_link);
            if (r <= 0)
                return r < 0 ? r : 1;
            break;
        }
    }
    return 0;
}

/* What the operand is. */
static void tree_init(struct tree *t, const char *operand)
{
    struct stat st;

    *t = (struct tree){.operand = operand};
    if (stat(operand, &st) < 0)
        t->failure = (struct failure){-errno, NULL};
    else if (S_ISDIR(st.st_mode))
        t->is_dir = true;
    else
        t->failure = (struct failure){-ENOTDIR, S_ISREG(st.st_mode) ? "a file, not a directory"
                                                                    : "not a directory"};
}

static void tree_deinit(struct tree *t)
{
    while (t->depth > 0)
        dir_deinit(&t->dirs[--t->depth]);
    free(t->dirs);
    free(t->path);
    t->dirs = NULL;
    t->path = NULL;
}

/* ---- The walk --------------------------------------------------------------------------------- */

struct walk *walk_new(char *const *operands, size_t n, bool sorted, bool follow)
{
    struct walk *w = calloc(1, sizeof(*w));

    if (!w)
        return NULL;
    *w = (struct walk){.count = n, .sorted = sorted, .follow = follow};
    w->trees = calloc(n ? n : 1, sizeof(*w->trees));
    w->active = calloc(n ? n : 1, sizeof(*w->active));
    if (!w->trees || !w->active) {
        w->count = 0;
        walk_free(w);
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        tree_init(&w->trees[i], operands[i]);
    if (sorted && n > 1)
        qsort(w->trees, n, sizeof(*w->trees), compare_trees);
    return w;
}

void walk_free(struct walk *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->count; i++)
        tree_deinit(&w->trees[i]);
    free(w->trees);
    free(w->active);
    free(w);
}

/* Advance the i-th active tree; it leaves the active ones at its end. */
static int advance(struct walk *w, rn_ctx *ctx, size_t i)
{
    struct tree *t = &w->trees[w->active[i]];
    int r = tree_next(t, ctx, w);

    if (r == 0) {
        tree_deinit(t);
        w->active[i] = w->active[--w->active_count];
    }
    return r < 0 ? r : 0;
}

/* The active tree whose item comes first. */
static size_t first_active(const struct walk *w)
{
    size_t first = 0;

    for (size_t i = 1; i < w->active_count; i++)
        if (strcmp(w->trees[w->active[i]].item.path, w->trees[w->active[first]].item.path) < 0)
            first = i;
    return first;
}

/* Whether the next operand may have an item before that of tree t. */
static bool next_operand_is_due(const struct walk *w, const struct tree *t)
{
    const struct tree *next = &w->trees[w->opened];

    return w->sorted &&
           compare_names(next->operand,
                         next->is_dir && needs_slash(next->operand, strlen(next->operand)),
                         t->item.path, false) <= 0;
}

int walk_next(struct walk *w, rn_ctx *ctx, struct walk_item *ret_item)
{
    int err = rn_ctx_err(ctx);

    if (err == 0 && w->current) { /* its item has been used */
        for (size_t i = 0; i < w->active_count; i++)
            if (&w->trees[w->active[i]] == w->current) {
                err = advance(w, ctx, i);
                break;
            }
        w->current = NULL;
    }
    while (err == 0) {
        struct tree *t = NULL;

        if (w->active_count > 0)
            t = &w->trees[w->active[first_active(w)]];
        if (w->opened == w->count || (t && !next_operand_is_due(w, t))) {
            if (!t)
                return 0;
            w->current = t;
            *ret_item = t->item;
            return 1;
        }
        w->active[w->active_count++] = w->opened++;
        err = advance(w, ctx, w->active_count - 1);
    }
    return err;
}
