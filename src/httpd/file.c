/* SPDX-License-Identifier: MIT */
/* file.c - answering with files: types, conditions, ranges; opening what lies beneath a folder. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "httpd/httpd.h"

const char *rn_httpd_type_of(const char *name)
{
    static const char *const types[][2] = {
        {"html", "text/html; charset=utf-8"},
        {"htm", "text/html; charset=utf-8"},
        {"css", "text/css; charset=utf-8"},
        {"js", "text/javascript; charset=utf-8"},
        {"mjs", "text/javascript; charset=utf-8"},
        {"json", "application/json"},
        {"txt", "text/plain; charset=utf-8"},
        {"md", "text/plain; charset=utf-8"},
        {"c", "text/plain; charset=utf-8"},
        {"h", "text/plain; charset=utf-8"},
        {"csv", "text/csv; charset=utf-8"},
        {"xml", "text/xml; charset=utf-8"},
        {"svg", "image/svg+xml"},
        {"png", "image/png"},
        {"jpg", "image/jpeg"},
        {"jpeg", "image/jpeg"},
        {"gif", "image/gif"},
        {"webp", "image/webp"},
        {"avif", "image/avif"},
        {"ico", "image/x-icon"},
        {"pdf", "application/pdf"},
        {"wasm", "application/wasm"},
        {"zip", "application/zip"},
        {"gz", "application/gzip"},
        {"mp3", "audio/mpeg"},
        {"ogg", "audio/ogg"},
        {"wav", "audio/wav"},
        {"mp4", "video/mp4"},
        {"webm", "video/webm"},
        {"woff", "font/woff"},
        {"woff2", "font/woff2"},
        {"ttf", "font/ttf"},
    };
    const char *dot = strrchr(name, '.');

    if (dot && !strchr(dot, '/'))
        for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
            if (strcasecmp(dot + 1, types[i][0]) == 0)
                return types[i][1];
    return "application/octet-stream";
}

/* Kernels before 5.6: segment by segment, no links at all. */
static int open_step_by_step(int dir, const char *path)
{
    int at = dir, fd;
    char part[256];

    for (;;) {
        size_t n = strcspn(path, "/");
        bool last = path[n + strspn(path + n, "/")] == 0;

        if (n >= sizeof part)
            return -ENAMETOOLONG;
        memcpy(part, path, n);
        part[n] = 0;
        if (strcmp(part, "..") == 0)
            fd = -EXDEV;
        else {
            fd = openat(at, n ? part : ".",
                        O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK |
                            (last ? O_RDONLY : O_PATH | O_DIRECTORY));
            if (fd < 0)
                fd = -errno;
        }
        if (at != dir)
            close(at);
        if (fd < 0 || last)
            return fd;
        at = fd;
        path += n;
        path += strspn(path, "/");
    }
}

int rn_httpd_open_beneath(int dir, const char *path, bool follow)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
                                      (follow ? 0 : RESOLVE_NO_SYMLINKS)};
    long fd;

    path += strspn(path, "/");
    fd = syscall(SYS_openat2, dir, *path ? path : ".", &how, sizeof how);
    if (fd >= 0)
        return (int)fd;
    if (errno != ENOSYS && errno != EPERM)
        return -errno;
    return open_step_by_step(dir, path);
}

/* ---- Conditions --------------------------------------------------------------------------------------- */

/* Does a list of entity tags, or *, name tag? Weakly for If-None-Match. */
static bool tag_in(const char *list, const char *tag, bool weak)
{
    size_t n = strlen(tag);

    for (;;) {
        bool w = false;
        size_t k;

        list += strspn(list, " \t,");
        if (*list == '*')
            return true;
        if (list[0] == 'W' && list[1] == '/') {
            w = true;
            list += 2;
        }
        if (*list != '"')
            return false;
        k = strcspn(list + 1, "\"") + 2;
        if (k == n && memcmp(list, tag, n) == 0 && (weak || !w))
            return true;
        if (list[k - 1] != '"')
            return false;
        list += k;
    }
}

/* The time of an HTTP date of the preferred form; -1: it is none. */
static time_t parse_date(const char *s)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm = {0};
    char month[4] = "", check[40], *at;
    time_t t;

    if (strlen(s) != 29 || sscanf(s + 5, "%2d %3s %4d %2d:%2d:%2d", &tm.tm_mday, month, &tm.tm_year,
                                  &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
        return -1;
    at = strstr(months, month);
    if (!at || strlen(month) != 3)
        return -1;
    tm.tm_mon = (int)(at - months) / 3;
    tm.tm_year -= 1900;
    t = timegm(&tm);
    rn__date_text(t, check);
    return strcmp(check + 5, s + 5) == 0 ? t : -1;
}

enum range { WHOLE, PART, NONE };

/* One part of bytes; of more than one the whole is a fair answer, and so it is of what we do not understand. */
static enum range parse_range(const char *s, int64_t size, int64_t *ret_from, int64_t *ret_n)
{
    char *end;
    long long from, to;

    if (strncasecmp(s, "bytes=", 6) != 0 || strchr(s, ','))
        return WHOLE;
    s += 6;
    errno = 0;
    if (*s == '-') {
        if (s[1] < '0' || s[1] > '9')
            return WHOLE;
        to = strtoll(s + 1, &end, 10);
        if (*end)
            return WHOLE;
        if (to == 0 || size == 0)
            return NONE;
        from = to >= size ? 0 : size - to;
        to = size - 1;
    } else {
        if (*s < '0' || *s > '9')
            return WHOLE;
        from = strtoll(s, &end, 10);
        if (*end++ != '-')
            return WHOLE;
        to = size - 1;
        if (*end) {
            if (*end < '0' || *end > '9')
                return WHOLE;
            to = strtoll(end, &end, 10);
            if (*end || to < from)
                return WHOLE;
        }
        if (from >= size)
            return NONE;
        if (to >= size)
            to = size - 1;
    }
    *ret_from = from;
    *ret_n = to - from + 1;
    return PART;
}

/* Of two conditions on the same thing, the one by tag is asked; RFC 9110, 13.2.2. 0: go on. */
static int precondition(rn_httpd_request *rq, const char *tag, time_t changed)
{
    const char *h = rn_httpd_header(rq, "If-Match");
    const char *method = rn_httpd_method(rq);
    time_t t;

    if (h) {
        if (!tag_in(h, tag, false))
            return 412;
    } else if ((h = rn_httpd_header(rq, "If-Unmodified-Since")) && (t = parse_date(h)) != -1 &&
               changed > t) {
        return 412;
    }
    if ((h = rn_httpd_header(rq, "If-None-Match"))) {
        if (tag_in(h, tag, true))
            return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 ? 304 : 412;
    } else if ((h = rn_httpd_header(rq, "If-Modified-Since")) && (t = parse_date(h)) != -1 &&
               changed <= t) {
        return 304;
    }
    return 0;
}

/* ---- Sending -------------------------------------------------------------------------------------------- */

static int send_part(rn_httpd_response *rs, int fd, int64_t from, int64_t n)
{
    struct conn *c = rs->c;
    struct block *b = rs->b;
    int err = rn__rs_seal(rs, n);
    ssize_t k = 0;

    if (err || rs->bodyless)
        return err;
    if (n <= (int64_t)(OUT_SIZE - b->out_size)) { /* with its head, in one write */
        k = pread(fd, b->out + b->out_size, (size_t)n, from);
        if (k > 0) {
            b->out_size += (size_t)k;
            rs->written += k;
        }
        return k == n ? 0 : -EIO;
    }
    err = (int)rn__c_flush(c);
    if (err < 0)
        return err;
    if (is_socket(c)) {
        rn__c_phase(c, WRITING);
        k = rn_send_file(c->stream, fd, from, (size_t)n);
        rn__c_wrote(c);
        if (k > 0)
            rs->written += k;
        if (k < 0 && k != -EINVAL) {
            c->err = (int)k; /* how much is out is nobody's business now: the connection is over */
            return c->err;
        }
    }
    while (rs->written < n) {
        struct iovec iov = {b->out, OUT_SIZE};

        if (n - rs->written < OUT_SIZE)
            iov.iov_len = (size_t)(n - rs->written);
        k = pread(fd, b->out, iov.iov_len, from + rs->written);
        if (k <= 0)
            return -EIO;
        iov.iov_len = (size_t)k;
        k = rn__c_writev(c, &iov, 1);
        if (k < 0)
            return (int)k;
        rs->written += k;
    }
    return 0;
}

int rn_httpd_send_fd(rn_httpd_request *rq, rn_httpd_response *rs, int fd, const char *name)
{
    int64_t from = 0, n;
    char tag[64], when[40], text[100];
    enum range range = WHOLE;
    const char *h;
    struct stat st;
    int status, err;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    if (rs->sealed || rs->written)
        return -EALREADY;
    n = st.st_size;
    snprintf(tag, sizeof tag, "\"%llx-%llx-%llx\"", (unsigned long long)st.st_mtim.tv_sec,
             (unsigned long long)st.st_mtim.tv_nsec, (unsigned long long)st.st_size);
    rn__date_text(st.st_mtim.tv_sec, when);
    rn_httpd_set_header(rs, "ETag", tag);
    rn_httpd_set_header(rs, "Last-Modified", when);
    rn_httpd_set_header(rs, "Accept-Ranges", "bytes");
    status = precondition(rq, tag, st.st_mtim.tv_sec);
    if (status == 412)
        return rn_httpd_error(rs, 412, NULL);
    if (status == 304) {
        rn_httpd_set_status(rs, 304);
        return rn__rs_seal(rs, -1);
    }
    h = rn_httpd_header(rq, "Range");
    if (h && strcmp(rn_httpd_method(rq), "GET") == 0) {
        const char *still = rn_httpd_header(rq, "If-Range");

        if (!still || strcmp(still, tag) == 0 || strcmp(still, when) == 0)
            range = parse_range(h, st.st_size, &from, &n);
    }
    if (range == NONE) {
        snprintf(text, sizeof text, "bytes */%lld", (long long)st.st_size);
        rn_httpd_set_header(rs, "Content-Range", text);
        return rn_httpd_error(rs, 416, NULL);
    }
    if (range == PART) {
        snprintf(text, sizeof text, "bytes %lld-%lld/%lld", (long long)from,
                 (long long)(from + n - 1), (long long)st.st_size);
        rn_httpd_set_header(rs, "Content-Range", text);
        rn_httpd_set_status(rs, 206);
    }
    if (!rn__rs_has(rs, "Content-Type"))
        rn_httpd_set_header(rs, "Content-Type", rn_httpd_type_of(name));
    rs->length = n;
    free(rs->trailers); /* a length, and trailers, do not go together */
    rs->trailers = NULL;
    rs->trailers_size = 0;
    err = send_part(rs, fd, from, n);
    if (rs->is_head)
        rs->written = n;
    return err;
}

int rn_httpd_send_file(rn_httpd_request *rq, rn_httpd_response *rs, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err;

    if (fd < 0) {
        err = errno;
        return rn_httpd_error(rs,
                              err == ENOENT || err == ENOTDIR ? 404
                              : err == EACCES                 ? 403
                                                              : 500,
                              NULL);
    }
    err = rn_httpd_send_fd(rq, rs, fd, path);
    close(fd);
    if (err < 0 && err != -ENOMEM && !rs->sealed)
        return rn_httpd_error(rs, 404, NULL);
    return err;
}
