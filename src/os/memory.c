/* SPDX-License-Identifier: MIT */
/*
 * memory.c - the memory of this process, byte by byte, for a report that looks for pointers.
 *
 * What is mapped is read from /proc/self/maps, which of it is memory from /proc/self/pagemap, and the bytes by
 * process_vm_readv: others may unmap what we are about to read, and a mapped file may be shorter than its mapping.
 *
 * To read a page that is not there would make it: a shared mapping of 4 GiB that nobody wrote would become 4 GiB of
 * memory, and a sparse file would be read from end to end. So of shared mappings too only what is there is read. Their
 * pages may be there without an entry in our page table, which is what pagemap knows: after a fork, after
 * MADV_DONTNEED, when a huge page was made or split, or if they were written through a mapping that is gone. Of shared
 * memory mincore knows these; not those that were swapped out, so if smaps says that there are any in a mapping, all of
 * it is read.
 *
 * Of files mincore is not asked. To read a page that it names starts readahead, which makes the next one, and so on
 * through the file; and what the kernel has dropped from memory it does not name either.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "os/os.h"

enum {
    LINE = 4096,
    AT_ONCE = 512, /* pages, the bits of which are read in one go */
    TAIL = sizeof(uintptr_t),
};
static const uint64_t in_memory = (uint64_t)3 << 62; /* there, or swapped out */
static const uint64_t too_much = (uint64_t)1 << 40; /* of address space, to look at all its pages */
static const uint64_t too_much_unseen = (uint64_t)1 << 30; /* to be read, there or not */

enum kind { OF_ONE, OF_FILE, OF_SHARED_MEMORY };
struct mapping {
    uintptr_t lo, hi;
    enum kind kind;
    bool left_out;
};

struct walk {
    int pagemap;
    size_t page;
    uint64_t *bits;
    unsigned char *resident;
    uint64_t looked, unseen;
    bool may_be_swapped; /* shared pages were left out */
    bool cannot_skip;
    struct mapping last; /* of which smaps speaks */
    struct os_memory *m;
    char *buffer; /* before it, the TAIL bytes that end at end */
    uintptr_t end;
    size_t room;
};

/* linux/fs.h of 6.7, PAGEMAP_SCAN */
struct scan {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t inverted, all_of, any_of, wanted;
};
enum { SCAN_PRESENT = 1 << 3, SCAN_SWAPPED = 1 << 4 };

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
        if (n > 0) {
            size_t before = lo == w->end ? TAIL : 0; /* a pointer may lie across the two */

            w->m->bytes(w->m, lo - before, w->buffer - before, (size_t)n + before);
            w->end = n >= TAIL ? lo + (size_t)n : 0;
            memcpy(w->buffer - TAIL, w->buffer + (w->end ? n - TAIL : 0), TAIL);
        }
        lo += n > 0 ? (uintptr_t)n & ~(uintptr_t)(w->page - 1) : 0;
        if (n < (ssize_t)size) /* that page is not to be had */
            lo += w->page;
    }
    return 0;
}

/* The first page from lo on that our page table has, or hi; lo if the kernel cannot tell, before 6.7. */
static uintptr_t next_in_table(struct walk *w, uintptr_t lo, uintptr_t hi)
{
    struct {
        uint64_t lo, hi, is;
    } region;
    struct scan s = {
        .size = sizeof s,
        .start = lo,
        .end = hi,
        .vec = (uintptr_t)&region,
        .vec_len = 1,
        .max_pages = 1,
        .any_of = SCAN_PRESENT | SCAN_SWAPPED,
        .wanted = SCAN_PRESENT,
    };
    int n = ioctl(w->pagemap, _IOWR('f', 16, struct scan), &s);

    if (n == 1)
        return region.lo;
    if (n == 0 && s.walk_end == hi)
        return hi;
    w->cannot_skip = true;
    return lo;
}

static int mapping(struct walk *w, const struct mapping *map)
{
    uintptr_t lo = map->lo, hi = map->hi;
    bool resident = map->kind == OF_SHARED_MEMORY, left_out = false;
    uint64_t *bits = w->bits;

    if ((resident || w->cannot_skip) && w->looked + (hi - lo) > too_much) /* do not find out late */
        return -E2BIG;
    while (lo < hi) {
        uintptr_t from = resident ? lo : next_in_table(w, lo, hi);
        size_t pages = (hi - from) / w->page < AT_ONCE ? (hi - from) / w->page : AT_ONCE;
        ssize_t n = pread(w->pagemap, bits, pages * 8, (off_t)(from / w->page * 8));

        left_out = left_out || from > lo;
        lo = from;
        if (n != (ssize_t)(pages * 8))
            return n < 0 ? -errno : -EIO;
        if (resident && mincore((void *)lo, pages * w->page, w->resident))
            return -errno;
        w->looked += pages * w->page;
        if (w->looked > too_much)
            return -E2BIG;
        for (size_t i = 0; resident && i < pages; i++)
            bits[i] |= w->resident[i] & 1 ? in_memory : 0;
        for (size_t i = 0; i < pages;) {
            size_t first = i;
            int err;

            while (i < pages && (bits[i] & in_memory))
                i++;
            err = i > first ? run_of_pages(w, lo + first * w->page, lo + i * w->page) : 0;
            if (err)
                return err;
            for (; i < pages && !(bits[i] & in_memory); i++)
                left_out = true;
        }
        lo += pages * w->page;
    }
    w->may_be_swapped = w->may_be_swapped || (left_out && map->kind != OF_ONE);
    return 0;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Memory that has a name because it is shared. */
static bool is_memory(const char *name)
{
    return *name != '/' || begins(name, "/dev/zero") || begins(name, "/dev/shm/") ||
           begins(name, "/memfd:") || begins(name, "/SYSV");
}

/* A line of maps: lo-hi perms offset dev inode   name */
static int parse(const char *text, struct mapping *ret)
{
    const char *at = text, *perms;
    struct mapping map = {0};

    if (!hex(&at, &map.lo) || *at != '-')
        return -EIO;
    at++;
    if (!hex(&at, &map.hi) || *at != ' ')
        return -EIO;
    perms = ++at;
    for (int field = 0; field < 4; field++) {
        while (*at && *at != ' ')
            at++;
        while (*at == ' ')
            at++;
    }
    if (perms[3] == 's')
        map.kind = is_memory(at) ? OF_SHARED_MEMORY : OF_FILE;
    /* Code holds no pointers that were stored; [v is the kernel's; to read a device may do something. */
    map.left_out = perms[0] != 'r' || (perms[1] != 'w' && perms[2] == 'x') || begins(at, "[v") ||
                   (map.kind == OF_FILE && begins(at, "/dev/"));
    *ret = map;
    return 0;
}

static int line_of_maps(struct walk *w, const char *text)
{
    struct mapping map;
    int err = parse(text, &map);

    return err || map.left_out ? err : mapping(w, &map);
}

/* A line as in maps, then "Swap:  4 kB" among others. */
static int line_of_smaps(struct walk *w, const char *text)
{
    const struct mapping *map = &w->last;

    if (*text < 'A' || *text > 'Z')
        return parse(text, &w->last);
    if (map->left_out || map->kind == OF_ONE || !begins(text, "Swap:"))
        return 0;
    text += strlen("Swap:");
    text += strspn(text, " ");
    if (*text == '0')
        return 0;
    w->unseen += map->hi - map->lo;
    return w->unseen > too_much_unseen ? -E2BIG : run_of_pages(w, map->lo, map->hi);
}

static int lines(struct walk *w, const char *path, int (*line)(struct walk *w, const char *text))
{
    int file = open(path, O_RDONLY | O_CLOEXEC), err = file < 0 ? -errno : 0;
    char *text = w->m->buffer; /* the caller's stack may be small */
    size_t have = 0;

    while (!err) {
        ssize_t n = read(file, text + have, LINE - 1 - have);
        char *from = text, *end;

        if (n <= 0) {
            err = n < 0 ? -errno : have ? -EIO : 0;
            break;
        }
        have += (size_t)n;
        text[have] = 0;
        while (!err && (end = memchr(from, '\n', have - (size_t)(from - text)))) {
            *end = 0;
            err = line(w, from);
            from = end + 1;
        }
        have -= (size_t)(from - text);
        if (have == LINE - 1)
            err = -EIO; /* a name that long */
        memmove(text, from, have);
    }
    if (file >= 0)
        close(file);
    return err;
}

int rn__os_memory(struct os_memory *m)
{
    const size_t head = LINE + AT_ONCE * sizeof(uint64_t) + AT_ONCE + TAIL;
    struct walk w = {.m = m, .page = (size_t)sysconf(_SC_PAGESIZE)};
    int err;

    w.bits = (uint64_t *)(void *)(m->buffer + LINE);
    w.resident = (unsigned char *)(w.bits + AT_ONCE);
    w.buffer = m->buffer + head;
    w.room = (m->room - head) & ~(w.page - 1);
    w.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (w.pagemap < 0)
        return -errno;
    err = lines(&w, "/proc/self/maps", line_of_maps);
    if (!err && w.may_be_swapped)
        err = lines(&w, "/proc/self/smaps", line_of_smaps);
    close(w.pagemap);
    return err;
}
