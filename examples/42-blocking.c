/* SPDX-License-Identifier: MIT */
/*
 * Blocking calls. A goroutine runs on a thread, and a call that blocks the thread (a read, a lock
 * of another library, a slow driver) keeps its processor from other goroutines until the runtime
 * notices. rn_blocking(expr) lends it to them from the start. rn_sys(expr) does the same for a
 * system call, and turns a failure into -errno before the goroutine may move to another thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <runnel.h>
#include <stdio.h>
#include <unistd.h>

static int slow_square(int n) /* stands for a library that blocks its thread */
{
    return n * n;
}

static void read_all(int fd, char *text, size_t size, ssize_t *result)
{
    size_t used = 0;
    ssize_t n;

    do {
        n = rn_sys(read(fd, text + used, size - 1 - used)); /* 0 or more, or -errno */
        if (n > 0)
            used += (size_t)n;
    } while (n > 0);
    text[used] = '\0';
    *result = n < 0 ? n : (ssize_t)used;
}

static int program(void)
{
    char text[64];
    ssize_t result;
    int fds[2];
    rn_wg wg = {0};

    printf("nine squared is %d\n", rn_blocking(slow_square(9)));

    /* The reader blocks in the kernel, and the program goes on, even on a single processor. */
    if (pipe(fds) != 0)
        return 1;
    rn_wg_go(&wg, read_all, fds[0], &text[0], sizeof text, &result);
    rn_sleep(RN_MILLISECOND); /* very likely it blocks now; either order will do */
    if (rn_sys(write(fds[1], "hello, ", 7)) != 7 || rn_sys(write(fds[1], "pipe", 4)) != 4)
        return 1;
    close(fds[1]);
    rn_wg_wait(&wg);
    close(fds[0]);
    printf("read %zd bytes: %s\n", result, text);

    /* No errno: the error is the result. */
    int fd = rn_sys(open("/there is no such file", O_RDONLY));
    printf("open: %s\n", fd == -ENOENT ? "ENOENT" : "?");
    result = rn_sys(read(-1, text, sizeof text));
    printf("read: %s\n", rn_errmsg((int)result));
    return 0;
}

int main(void)
{
    return rn_run(program);
}
