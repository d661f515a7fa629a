/* SPDX-License-Identifier: MIT */
/*
 * os.c - what this part asks the kernel: its files, the sockets of a question, routes.
 *
 * The sockets of a question are c-ares' and may be several; they are watched by an epoll instance of the question's
 * own, which is one descriptor for the goroutine to wait for.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dns/dns.h"

enum { FILE_MAX = 16 << 20 };

const char *rn__dns_file(struct text_file *f, bool *ret_changed)
{
    struct stat st = {0};
    int64_t changed;
    int fd;

    if (!f->path)
        return "";
    if (stat(f->path, &st) < 0)
        st = (struct stat){0};
    changed = (int64_t)st.st_mtim.tv_sec * RN_SECOND + st.st_mtim.tv_nsec;
    if (f->text && f->inode == st.st_ino && f->size == (uint64_t)st.st_size &&
        f->changed == changed)
        return f->text;
    if (ret_changed)
        *ret_changed = true;
    free(f->text);
    f->inode = st.st_ino;
    f->size = (uint64_t)st.st_size;
    f->changed = changed;
    f->text = calloc(1, (size_t)(f->size < FILE_MAX ? f->size : 0) + 1);
    if (!f->text)
        return "";
    fd = open(f->path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        size_t at = 0;
        ssize_t n = 1;

        while (n > 0 && f->size < FILE_MAX && at < f->size) {
            n = read(fd, f->text + at, f->size - at);
            at += n > 0 ? (size_t)n : 0;
        }
        close(fd);
    }
    return f->text;
}

int rn__dns_poll_new(void)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

void rn__dns_poll_set(int poll, int fd, bool readable, bool writable)
{
    struct epoll_event e = {.events = (readable ? (uint32_t)EPOLLIN : 0) |
                                      (writable ? (uint32_t)EPOLLOUT : 0),
                            .data.fd = fd};

    if (!readable && !writable)
        epoll_ctl(poll, EPOLL_CTL_DEL, fd, NULL);
    else if (epoll_ctl(poll, EPOLL_CTL_MOD, fd, &e) < 0)
        epoll_ctl(poll, EPOLL_CTL_ADD, fd,
                  &e); /* if that fails, time goes on and c-ares tries again */
}

int rn__dns_poll_get(int poll, struct dns_ready *ready, int room)
{
    struct epoll_event e[16];
    int n = epoll_wait(poll, e, room < 16 ? room : 16, 0);

    for (int i = 0; i < n; i++) {
        ready[i].fd = e[i].data.fd;
        ready[i].readable = e[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP);
        ready[i].writable = e[i].events & EPOLLOUT;
    }
    return n > 0 ? n : 0;
}

void rn__dns_poll_free(int poll)
{
    close(poll);
}

/* Connecting a datagram socket asks the routing table and sends nothing. An address of this host's that reaches only the
 * link (fe80::) is no way to one beyond. */
bool rn__dns_reachable(const rn_addr *a)
{
    struct sockaddr_in6 to, from = {0};
    struct sockaddr_in to4;
    socklen_t n = sizeof from;
    bool reachable = false;
    sa_family_t family;
    int fd;

    memcpy(&family, a, sizeof family);
    memcpy(&to, a, sizeof to);
    memcpy(&to4, a, sizeof to4);
    to.sin6_port = to4.sin_port = htons(53);
    fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (family == AF_INET)
        reachable = connect(fd, (struct sockaddr *)&to4, sizeof to4) == 0;
    else
        reachable =
            connect(fd, (struct sockaddr *)&to, sizeof to) == 0 &&
            getsockname(fd, (struct sockaddr *)&from, &n) == 0 &&
            (!IN6_IS_ADDR_LINKLOCAL(&from.sin6_addr) || IN6_IS_ADDR_LINKLOCAL(&to.sin6_addr));
    close(fd);
    return reachable;
}

bool rn__dns_is_this_machine(const char *name)
{
    char mine[256];

    return gethostname(mine, sizeof mine) == 0 && strcasecmp(mine, name) == 0;
}
