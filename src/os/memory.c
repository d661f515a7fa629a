/* SPDX-License-Identifier: MIT */
/*
 * memory.c - the memory of this process, word by word, for a report that looks for pointers.
 *
 * What is mapped is read from /proc/self/maps, which of it is memory from /proc/self/pagemap, and the words by
 * process_vm_readv: others may unmap what we are about to read, and a mapped file may be shorter than its mapping.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "os/os.h"

enum { LINE = 4096, AT_ONCE = 512 /* pages, the bits of which are read in one go */ };
static const uint64_t in_memory = (uint64_t)3 << 62; /* there, or swapped out */
static const uint64_t too_much = (uint64_t)1 << 40; /* of address space, to look at all its pages */

struct walk {
    int pagemap;
    size_t page;
    uint64_t *bits;
    uint64_t looked;
    struct os_memory *m;
    char *buffer;
    size_t room;
};

static int hex(const char **at, uintptr_t *ret)
{
    uintptr_t v = 0;
    int digits = 0;

    for (;; ++*at, digits++) {
        char c = **at;

        if (c >= '0' && c <= '9')
            v = v * 16 + (uintptr_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v * 16 + (uintptr_t)(c - 'a') + 10;
        else
            break;
    }
    *ret = v;
    return digits;
}

/* Pages that are in memory, all of one kind of mapping. */
static int run_of_pages(struct walk *w, uintptr_t lo, uintptr_t hi)
{
    while (lo < hi) {
        size_t size = hi - lo < w->room ? hi - lo : w->room;
        struct iovec to = {w->buffer, size}, from = {(void *)lo, size};
        ssize_t n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);

        if (n < 0 && errno != EFAULT)
            return -errno;
        if (n > 0)
            w->m->words(w->m, lo, (const uintptr_t *)(const void *)w->buffer,
                        (size_t)n / sizeof(uintptr_t));
        lo += n > 0 ? (uintptr_t)n & ~(uintptr_t)(w->page - 1) : 0;
        if (n < (ssize_t)size) /* that page is not to be had */
            lo += w->page;
    }
    return 0;
}

static int mapping(struct walk *w, uintptr_t lo, uintptr_t hi, bool shared)
{
    uint64_t *bits = w->bits;

    if (shared)
        return run_of_pages(w, lo, hi);
    w->looked += hi - lo;
    if (w->looked > too_much)
        return -E2BIG;
    while (lo < hi) {
        size_t pages = (hi - lo) / w->page < AT_ONCE ? (hi - lo) / w->page : AT_ONCE;
        ssize_t n = pread(w->pagemap, bits, pages * 8, (off_t)(lo / w->page * 8));

        if (n != (ssize_t)(pages * 8))
            return n < 0 ? -errno : -EIO;
        for (size_t i = 0; i < pages;) {
            size_t first = i;
            int err;

            while (i < pages && (bits[i] & in_memory))
                i++;
            err = i > first ? run_of_pages(w, lo + first * w->page, lo + i * w->page) : 0;
            if (err)
                return err;
            while (i < pages && !(bits[i] & in_memory))
                i++;
        }
        lo += pages * w->page;
    }
    return 0;
}

/* A line of maps: lo-hi perms offset dev inode   name */
static int line(struct walk *w, const char *text)
{
    const char *at = text, *name;
    uintptr_t lo, hi;
    bool shared, named;

    if (!hex(&at, &lo) || *at != '-')
        return -EIO;
    at++;
    if (!hex(&at, &hi) || *at != ' ')
        return -EIO;
    at++;
    shared = at[3] == 's';
    if (at[0] != 'r' ||
        (at[1] != 'w' && at[2] == 'x')) /* code holds no pointers that were stored */
        return 0;
    for (int field = 0; field < 4; field++) {
        while (*at && *at != ' ')
            at++;
        while (*at == ' ')
            at++;
    }
    name = at;
    if (strncmp(name, "[v", 2) == 0) /* the kernel's */
        return 0;
    named = *name == '/' && strncmp(name, "/dev/zero", 9) != 0;
    /* Of shared mappings only what is memory: to read a device may do something. */
    if (shared && named && strncmp(name, "/dev/shm/", 9) != 0 && strncmp(name, "/memfd:", 7) != 0 &&
        strncmp(name, "/SYSV", 5) != 0)
        return strncmp(name, "/dev/", 5) == 0 ? 0 : mapping(w, lo, hi, true);
    return mapping(w, lo, hi, shared);
}

int rn__os_memory(struct os_memory *m)
{
    struct walk w = {.m = m, .page = (size_t)sysconf(_SC_PAGESIZE)};
    int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC), err = 0;
    char *text = m->buffer; /* the caller's stack may be small */
    size_t have = 0;

    w.bits = (uint64_t *)(void *)(m->buffer + LINE);
    w.buffer = m->buffer + LINE + AT_ONCE * sizeof *w.bits;
    w.room = m->room - LINE - AT_ONCE * sizeof *w.bits;
    w.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (maps < 0 || w.pagemap < 0)
        err = -errno;
    while (!err) {
        ssize_t n = read(maps, text + have, LINE - 1 - have);
        char *from = text, *end;

        if (n <= 0) {
            err = n < 0 ? -errno : have ? -EIO : 0;
            break;
        }
        have += (size_t)n;
        text[have] = 0;
        while (!err && (end = memchr(from, '\n', have - (size_t)(from - text)))) {
            *end = 0;
            err = line(&w, from);
            from = end + 1;
        }
        have -= (size_t)(from - text);
        if (have == LINE - 1)
            err = -EIO; /* a name that long */
        memmove(text, from, have);
    }
    if (maps >= 0)
        close(maps);
    if (w.pagemap >= 0)
        close(w.pagemap);
    return err;
}
