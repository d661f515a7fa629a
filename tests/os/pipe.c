/* SPDX-License-Identifier: MIT */
/* pipe.c - pipes as connections, and descriptors that others have too. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "../net/net.h"
#include "refuse.h"

static void read_one(rn_conn *r)
{
    char b;

    CHECK_EQ(rn_read(r, &b, 1), 1);
}
/* Those of the library's own, which it opens with the first wait, included. */
static int descriptors_now(void)
{
    uint64_t before = test_waits();
    rn_conn *r, *w;
    rn_wg wg = {0};

    CHECK_EQ(rn_pipe(&r, &w), 0);
    rn_wg_go(&wg, read_one, r);
    AWAIT(test_waits() == before + 1);
    CHECK_EQ(rn_write(w, "x", 1), 1);
    rn_wg_wait(&wg);
    rn_conn_close(r);
    rn_conn_close(w);
    return open_descriptors();
}

GO_TEST(pipe_carries_bytes)
{
    int before = descriptors_now();
    rn_conn *r, *w;
    char b;

    CHECK_EQ(rn_pipe(&r, &w), 0);
    CHECK(fcntl(rn_conn_fd(r), F_GETFD) & FD_CLOEXEC);
    CHECK(fcntl(rn_conn_fd(w), F_GETFD) & FD_CLOEXEC);
    rn_go(write_pattern, w, 3000000);
    read_pattern(r, 3000000);
    rn_settle(RN_MINUTE);
    CHECK_EQ(rn_conn_sent(w), 3000000);
    CHECK_EQ(rn_read(r, &b, 0), 0);
    rn_conn_close(w);
    expect_end(r);
    rn_conn_close(r);
    AWAIT(open_descriptors() <= before); /* the monitor reads files now and then: before too */
}

static void writev_all(rn_conn *w, char *buf, size_t n)
{
    struct iovec iov[300];

    for (int i = 0; i < 300; i++)
        iov[i] = (struct iovec){buf + n / 300 * (size_t)i, n / 300};
    CHECK_EQ(rn_writev(w, iov, 300), n);
    rn_conn_close(w);
}
GO_TEST(pipe_vectors)
{
    size_t n = 300 * 1000;
    char *in = malloc(n), *out = malloc(n);
    struct iovec iov[2] = {{out, 7}, {out + 7, n - 7}};
    rn_conn *r, *w;
    ssize_t got;

    for (size_t i = 0; i < n; i++)
        in[i] = pattern(i);
    CHECK_EQ(rn_pipe(&r, &w), 0);
    rn_go(writev_all, w, in, n);
    got = rn_readv(r, iov, 2);
    CHECK(got > 0);
    if ((size_t)got < n)
        CHECK_EQ(rn_read_full(r, out + got, n - (size_t)got), n - (size_t)got);
    CHECK(memcmp(in, out, n) == 0);
    expect_end(r);
    rn_conn_close(r);
    free(in);
    free(out);
}

/* A context, a deadline and a close end a read and a write that wait; nothing of the buffer is touched afterwards. */
static void read_into(rn_ctx *ctx, rn_conn *c, char *buf, rn_send_only(ssize_t) out)
{
    rn_send(out, rn_read_ctx(ctx, c, buf, 100));
}
static void fill_into(rn_ctx *ctx, rn_conn *c, rn_send_only(ssize_t) out)
{
    char *buf = calloc(1, 1 << 20);

    rn_send(out, rn_write_ctx(ctx, c, buf, 1 << 20));
    free(buf);
}
GO_TEST(pipe_waits_end)
{
    rn_chan(ssize_t) ch = rn_chan_make(ssize_t, 2);

    for (int kind = 0; kind < 3; kind++) {
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
        char buf[100] = "as it was";
        rn_conn *r, *w;
        ssize_t want = kind == 1 ? -ETIMEDOUT : -ECANCELED;

        CHECK_EQ(rn_pipe(&r, &w), 0);
        rn_go(read_into, ctx, r, &buf[0], ch);
        test_let_run();
        if (kind == 0)
            rn_ctx_cancel(ctx);
        else if (kind == 1)
            CHECK_EQ(rn_set_read_deadline(r, rn_now() + RN_MILLISECOND), 0);
        else
            rn_conn_cancel(r);
        CHECK_EQ(rn_recv(ch), want);
        CHECK_STR(buf, "as it was");
        rn_ctx_end(ctx);
        if (kind < 2) {
            CHECK_EQ(rn_set_read_deadline(r, 0), 0);
            ctx = rn_ctx_with_cancel(rn_ctx_background());
            rn_go(fill_into, ctx, w, ch);
            test_let_run();
            CHECK_EQ(rn_len(ch), 0);
            if (kind == 0)
                rn_ctx_cancel(ctx);
            else
                CHECK_EQ(rn_set_write_deadline(w, rn_now() + RN_MILLISECOND), 0);
            CHECK_EQ(rn_recv(ch), want);
            rn_ctx_end(ctx);
        }
        rn_conn_close(r);
        rn_conn_close(w);
    }
    rn_chan_release(ch);
}

/* Waiting for something to read waits, of a pipe too. */
static void wait_into(rn_conn *c, rn_send_only(int) out)
{
    rn_send(out, rn_wait_read(c));
}
/* What only sockets can do says so, and a closed end that it is closed. */
GO_TEST(pipe_is_no_socket)
{
    rn_conn *r, *w;
    rn_addr a;
    char byte;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    CHECK(fd >= 0);
    CHECK_EQ(rn_pipe(&r, &w), 0);
    CHECK_EQ(rn_addr_parse(&a, "udp4", "127.0.0.1:9"), 0);
    CHECK_EQ(rn_recv_from(r, &byte, 1, &a), -ENOTSOCK);
    CHECK_EQ(rn_send_to(w, "x", 1, &a), -ENOTSOCK);
    rn_conn_cancel(w);
    CHECK_EQ(rn_send_file(w, fd, 0, 10), -ECANCELED);
    rn_conn_release(w);
    rn_conn_close(r);
    close(fd);
}

GO_TEST(pipe_wait_read)
{
    rn_chan(int) ch = rn_chan_make(int, 1);
    rn_conn *r, *w;

    CHECK_EQ(rn_pipe(&r, &w), 0);
    rn_go(wait_into, r, ch);
    test_let_run();
    CHECK_EQ(rn_len(ch), 0);
    CHECK_EQ(rn_write(w, "x", 1), 1);
    CHECK_EQ(rn_recv(ch), 0);
    CHECK_EQ(rn_wait_read(r), 0); /* still there */
    rn_conn_close(r);
    rn_conn_close(w);
    rn_chan_release(ch);
}

/* Writing without readers is an error and no signal, whether the kernel helps or not. */
static void breaks(void)
{
    rn_chan(ssize_t) ch = rn_chan_make(ssize_t, 1);
    rn_conn *r, *w;

    signal(SIGPIPE, SIG_DFL);
    CHECK_EQ(rn_pipe(&r, &w), 0);
    rn_go(fill_into, (rn_ctx *)NULL, w, ch);
    test_let_run();
    rn_conn_close(r);
    CHECK_EQ(rn_recv(ch), -EPIPE);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(rn_write(w, "x", 1), -EPIPE);
    rn_conn_close(w);
    rn_chan_release(ch);
}

GO_TEST(pipe_breaks_without_a_signal)
{
    sigset_t set, waiting;

    breaks();
    if (!refuse_call(SYS_pwritev2, EOPNOTSUPP))
        test_skip("no seccomp here");
    breaks();
    /* A SIGPIPE of somebody else's stays where it is. */
    rn_lock_thread();
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    raise(SIGPIPE);
    breaks();
    CHECK_EQ(sigpending(&waiting), 0);
    CHECK(sigismember(&waiting, SIGPIPE));
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    rn_unlock_thread();
}

GO_TEST(pipe_without_descriptors)
{
    struct rlimit old, few;
    int before = descriptors_now();
    rn_conn *r = NULL, *w = NULL;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    few = old;
    few.rlim_cur = 1;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    CHECK_EQ(rn_pipe(&r, &w), -EMFILE);
    CHECK(!r && !w);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    AWAIT(open_descriptors() <= before); /* the monitor reads files now and then: before too */
}

/* ---- Descriptors of others ---------------------------------------------------------------------------------------- */

/* Reading what others write, with the description left in blocking mode. */
static void share_works(int in, int out, const char *name)
{
    rn_chan(ssize_t) ch = rn_chan_make(ssize_t, 1);
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    int before = descriptors_now();
    rn_conn *r, *w;
    char buf[100] = "as it was";

    printf("%s\n", name);
    CHECK_EQ(rn_conn_share(in, &r), 0);
    CHECK_EQ(rn_conn_share(out, &w), 0);
    rn_go(read_into, ctx, r, &buf[0], ch);
    test_let_run();
    CHECK_EQ(rn_len(ch), 0);
    rn_ctx_cancel(ctx);
    CHECK_EQ(rn_recv(ch), -ECANCELED);
    CHECK_STR(buf, "as it was");

    rn_go(read_into, (rn_ctx *)NULL, r, &buf[0], ch);
    test_let_run();
    CHECK_EQ(rn_write(w, "a line\n", 7), 7);
    CHECK_EQ(rn_recv(ch), 7);
    CHECK(memcmp(buf, "a line\n", 7) == 0);
    rn_go(write_pattern, w, 300000);
    read_pattern(r, 300000);
    rn_settle(RN_MINUTE);
    CHECK(!(fcntl(in, F_GETFL) & O_NONBLOCK));
    CHECK(!(fcntl(out, F_GETFL) & O_NONBLOCK));
    rn_conn_close(r);
    rn_conn_close(w);
    AWAIT(open_descriptors() <= before); /* the monitor reads files now and then: before too */
    rn_ctx_end(ctx);
    rn_chan_release(ch);
}
GO_TEST(share_leaves_the_flags)
{
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    share_works(fds[0], fds[1], "pipe");
    close(fds[0]);
    close(fds[1]);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    share_works(fds[0], fds[1], "socket");
    close(fds[0]);
    close(fds[1]);
}

enum { BIG = 1 << 20 };

static void send_all_of(rn_ctx *ctx, rn_conn *c, int file, rn_send_only(ssize_t) ch)
{
    rn_send(ch, rn_send_file_ctx(ctx, c, file, 1, BIG - 1));
}

/* How many descriptors the process's instances of epoll watch that have number fd. */
static int watched(int fd)
{
    int n = 0;

    for (int i = 0; i < 1024; i++) {
        char path[64], line[256];
        FILE *f;

        snprintf(path, sizeof path, "/proc/self/fdinfo/%d", i);
        f = fopen(path, "re");
        while (f && fgets(line, sizeof line, f)) {
            int tfd;

            n += sscanf(line, "tfd: %d", &tfd) == 1 && tfd == fd;
        }
        if (f)
            fclose(f);
    }
    return n;
}

/* A socket in blocking mode, which stays so: no call waits in the kernel, where nothing could end it. */
GO_TEST(share_waits_by_the_runtime)
{
    char *sent = malloc(BIG), *got = malloc(BIG);
    rn_chan(ssize_t) ch = rn_chan_make(ssize_t, 1);
    int fds[2], file = memfd_create("sent", MFD_CLOEXEC), number;
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_conn *c;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    for (size_t i = 0; i < BIG; i++)
        sent[i] = (char)(i * 31 + i / 251);
    CHECK_EQ(write(file, sent, BIG), BIG);
    CHECK_EQ(rn_conn_share(fds[0], &c), 0);
    CHECK_EQ(rn_set_deadline(c, rn_now() + RN_MILLISECOND), 0);
    CHECK_EQ(rn_wait_read(c), -ETIMEDOUT);
    CHECK_EQ(rn_set_deadline(c, 0), 0);
    rn_go(send_all_of, ctx, c, file, ch);
    AWAIT(rn_conn_sent(c) > 0);
    rn_ctx_cancel(ctx); /* nobody reads, and not all has room */
    CHECK_EQ(rn_recv(ch), -ECANCELED);
    CHECK(rn_conn_sent(c) < BIG);
    CHECK_EQ(read(fds[1], got, BIG), (long long)rn_conn_sent(c));
    CHECK(memcmp(got, sent + 1, (size_t)rn_conn_sent(c)) == 0);

    rn_go(send_all_of, rn_ctx_background(), c, file, ch);
    for (size_t n = 0; n < BIG - 1;) {
        ssize_t k = rn_blocking(read(fds[1], got + n, BIG - n));

        CHECK(k > 0);
        n += (size_t)k;
    }
    CHECK_EQ(rn_recv(ch), BIG - 1);
    CHECK(memcmp(got, sent + 1, BIG - 1) == 0);
    CHECK_EQ(rn_send_file(c, file, BIG - 1, 2), -EIO); /* the file ends before */
    CHECK_EQ(rn_send_file(c, fds[1], 0, 1), -EINVAL);  /* no file */
    CHECK(!(fcntl(fds[0], F_GETFL) & O_NONBLOCK));

    number = rn_conn_fd(c);
    CHECK_EQ(watched(number), 1);
    rn_conn_close(c); /* the socket lives on, and is not watched any more */
    CHECK_EQ(watched(number), 0);
    close(file);
    close(fds[0]);
    close(fds[1]);
    rn_ctx_end(ctx);
    rn_chan_release(ch);
    free(sent);
    free(got);
}

/* Where nothing can be opened by /proc, because it is another's: the same by waiting first. */
GO_TEST(share_without_proc)
{
    int fds[2];
    rn_conn *c;

    CHECK_EQ(pipe(fds), 0);
    if (geteuid() == 0) /* whom permissions do not stop */
        CHECK_EQ(seteuid(65534), 0);
    else
        CHECK_EQ(fchmod(fds[0], 0), 0);
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 0), 0); /* /proc/self is root's now */
    c = NULL;
    share_works(fds[0], fds[1], "pipe of another user");
    if (getuid() == 0)
        CHECK_EQ(seteuid(0), 0);
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0); /* for the leak finder */
    close(fds[0]);
    close(fds[1]);
    CHECK_EQ(rn_conn_share(fds[0], &c), -EBADF);
    CHECK(!c);
}

GO_TEST(share_not_a_regular_file)
{
    int fd = open("/proc/self/exe", O_RDONLY);
    rn_conn *c;

    CHECK(fd >= 0);
    CHECK_EQ(rn_conn_share(fd, &c), -EINVAL);
    close(fd);
    fd = open("/", O_RDONLY | O_DIRECTORY);
    CHECK_EQ(rn_conn_share(fd, &c), -EINVAL);
    CHECK_EQ(rn_conn_adopt(fd, &c), -EINVAL);
    close(fd);
    fd = open("/dev/zero", O_RDONLY);
    CHECK_EQ(rn_conn_share(fd, &c), 0);
    close(fd);
    for (int i = 0; i < 3; i++) {
        char b[5] = "abcd";

        CHECK_EQ(rn_read_full(c, b, 5), 5);
        CHECK(memcmp(b, "\0\0\0\0", 5) == 0);
    }
    rn_conn_close(c);
}

/* A terminal. */
GO_TEST(share_terminal)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY), slave;
    rn_chan(ssize_t) ch = rn_chan_make(ssize_t, 1);
    char buf[100];
    rn_conn *t;

    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
        test_skip("no pseudo terminals here");
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    CHECK(slave >= 0);
    CHECK_EQ(rn_conn_share(slave, &t), 0);
    rn_go(read_into, (rn_ctx *)NULL, t, &buf[0], ch);
    test_let_run();
    CHECK_EQ(write(master, "typed\n", 6), 6);
    CHECK_EQ(rn_recv(ch), 6);
    CHECK(memcmp(buf, "typed\n", 6) == 0);
    CHECK_EQ(rn_write(t, "shown", 5), 5);
    CHECK(!(fcntl(slave, F_GETFL) & O_NONBLOCK));
    rn_go(read_into, (rn_ctx *)NULL, t, &buf[0], ch);
    test_let_run();
    rn_conn_close(t);
    CHECK_EQ(rn_recv(ch), -ECANCELED);
    close(slave);
    close(master);
    rn_chan_release(ch);
}
