/* SPDX-License-Identifier: MIT */
/*
 * stuck_read.c - for a test: preloaded, it makes read() of files named "stuck" wait for a minute, as
 * a disk does that no longer answers. The test expects the program not to wait for it.
 */
#include <string.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t read(int fd, void *buffer, size_t size)
{
    char link[64], path[4096];
    ssize_t n;

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof(path));
    if (n >= 6 && memcmp(path + n - 6, "/stuck", 6) == 0)
        (void)sleep(60);
    return syscall(SYS_read, fd, buffer, size);
}
