/* SPDX-License-Identifier: MIT */
/*
 * wait.c - waiting for descriptors: rn_wait_fd and rn_forget_fd.
 */
#define _GNU_SOURCE
#include "pair.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MANY = 50 };

static void put(int fd, const char *text)
{
    CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
}

static void wait_into(int fd, int events, rn_ctx *ctx, rn_send_only(int) out)
{
    rn_send(out, rn_wait_fd(fd, events, ctx));
}

/* As wait_into, and lets the goroutine get as far as its wait, most likely. */
static rn_chan(int) start_waiting(int fd, int events, rn_ctx *ctx)
{
    rn_chan(int) ch = rn_chan_make(int, 1);

    rn_go(wait_into, fd, events, ctx, ch);
    test_let_run();
    rn_sleep(RN_MILLISECOND); /* what comes then finds it waiting, or on its way: both must do */
    return ch;
}

static int result(rn_chan(int) ch)
{
    int n = rn_recv(ch);

    rn_chan_release(ch);
    return n;
}

/* A pipe: empty, it waits for data; the wait sees data, and the end of the stream. */
GO_TEST(pipe_readable)
{
    struct pair p = pipe_new();
    rn_chan(int) ch = start_waiting(p.at[0], RN_READ, NULL);
    char buf[8];

    CHECK_EQ(rn_len(ch), 0);
    put(p.at[1], "a");
    CHECK_EQ(result(ch), RN_READ);
    CHECK_EQ(read(p.at[0], buf, sizeof buf), 1);

    ch = start_waiting(p.at[0], RN_READ, NULL);
    CHECK_EQ(rn_len(ch), 0);
    close(p.at[1]);
    CHECK_EQ(result(ch), RN_READ);
    CHECK_EQ(read(p.at[0], buf, sizeof buf), 0);
    rn_forget_fd(p.at[0]);
    close(p.at[0]);
}

/* What is ready is reported at once, and again as long as it is: as poll(2) does, whatever was read. */
GO_TEST(level_not_edge)
{
    struct pair p = sockets_new();
    char c;

    CHECK_EQ(rn_wait_fd(p.at[0], RN_WRITE, NULL), RN_WRITE);
    put(p.at[1], "abc");
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(rn_wait_fd(p.at[0], RN_READ, NULL), RN_READ);
        CHECK_EQ(rn_wait_fd(p.at[0], RN_READ | RN_WRITE, NULL), RN_READ | RN_WRITE);
        CHECK_EQ(read(p.at[0], &c, 1), 1);
    }
    CHECK_EQ(rn_wait_fd(p.at[0], RN_READ | RN_WRITE, NULL), RN_WRITE);
    pair_end(p);
}

/* A full pipe is waited for until somebody reads from it. */
GO_TEST(pipe_writable)
{
    struct pair p = pipe_new();
    char buf[65536] = {0};
    rn_chan(int) ch;

    while (write(p.at[1], buf, sizeof buf) > 0)
        ;
    ch = start_waiting(p.at[1], RN_WRITE, NULL);
    CHECK_EQ(rn_len(ch), 0);
    while (read(p.at[0], buf, sizeof buf) > 0)
        ;
    CHECK_EQ(result(ch), RN_WRITE);
    pair_end(p);
}

GO_TEST(eventfd_counts)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    rn_chan(int) ch;
    eventfd_t n;

    for (int i = 1; i <= 100; i++) {
        ch = start_waiting(fd, RN_READ, NULL);
        CHECK_EQ(rn_len(ch), 0);
        CHECK_EQ(eventfd_write(fd, (eventfd_t)i), 0);
        CHECK_EQ(result(ch), RN_READ);
        CHECK_EQ(eventfd_read(fd, &n), 0);
        CHECK_EQ(n, i);
    }
    rn_forget_fd(fd);
    close(fd);
}

GO_TEST(regular_file_is_ready)
{
    char name[] = "/tmp/runnel-wait-XXXXXX";
    int fd = mkstemp(name);

    CHECK(fd >= 0);
    CHECK_EQ(rn_wait_fd(fd, RN_READ, NULL), RN_READ);
    CHECK_EQ(rn_wait_fd(fd, RN_READ | RN_WRITE, NULL), RN_READ | RN_WRITE);
    rn_forget_fd(fd);
    close(fd);
    unlink(name);
}

GO_TEST(wrong_arguments)
{
    struct pair p = pipe_new();

    CHECK_EQ(rn_wait_fd(-1, RN_READ, NULL), -EBADF);
    CHECK_EQ(rn_wait_fd(19999, RN_READ, NULL), -EBADF);
    CHECK_EQ(rn_wait_fd(p.at[0], 0, NULL), -EINVAL);
    CHECK_EQ(rn_wait_fd(p.at[0], 4, NULL), -EINVAL);
    CHECK_EQ(rn_wait_fd(p.at[0], RN_READ | 4, NULL), -EINVAL);
    rn_forget_fd(-1);
    rn_forget_fd(19999);
    rn_forget_fd(1 << 30);
    pair_end(p);
}

/* Many waiters for one descriptor and direction: an edge wakes them all. */
GO_TEST(many_waiters)
{
    struct pair p = sockets_new();
    rn_chan(int) readers[MANY], writers[MANY];
    char buf[65536] = {0};

    while (write(p.at[0], buf, sizeof buf) > 0)
        ;
    for (int i = 0; i < MANY; i++) {
        readers[i] = start_waiting(p.at[0], RN_READ, NULL);
        writers[i] = start_waiting(p.at[0], i % 2 ? RN_WRITE : RN_WRITE | RN_READ, NULL);
    }
    put(p.at[1], "x");
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(result(readers[i]), RN_READ);
    test_let_run();
    for (int i = 0; i < MANY; i++)
        if (i % 2)
            CHECK_EQ(rn_len(writers[i]), 0);
        else
            AWAIT(rn_len(writers[i]) == 1);
    while (read(p.at[1], buf, sizeof buf) > 0)
        ;
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(result(writers[i]), i % 2 ? RN_WRITE : RN_READ);
    pair_end(p);
}

/* rn_forget_fd wakes all with -ECANCELED; the descriptor can be waited for again. */
GO_TEST(forget_wakes_all)
{
    struct pair p = sockets_new();
    rn_chan(int) waiters[MANY];

    for (int i = 0; i < MANY; i++)
        waiters[i] = start_waiting(p.at[0], RN_READ, NULL);
    for (int i = 0; i < MANY; i++) {
        while (rn_len(waiters[i]) == 0) { /* one may begin its wait only now */
            rn_forget_fd(p.at[0]);
            rn_yield();
        }
        CHECK_EQ(result(waiters[i]), -ECANCELED);
    }
    waiters[0] = start_waiting(p.at[0], RN_READ, NULL);
    CHECK_EQ(rn_len(waiters[0]), 0);
    put(p.at[1], "x");
    CHECK_EQ(result(waiters[0]), RN_READ);
    pair_end(p);
}

/* A context ends a wait with its error, also one that had ended before, although the descriptor is ready. */
GO_TEST(context_ends_wait)
{
    struct pair p = pipe_new();
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_chan(int) ch[MANY];

    for (int i = 0; i < MANY; i++)
        ch[i] = start_waiting(p.at[0], RN_READ, ctx);
    CHECK_EQ(rn_len(ch[0]), 0);
    rn_ctx_cancel(ctx);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(result(ch[i]), -ECANCELED);
    put(p.at[1], "x");
    CHECK_EQ(rn_wait_fd(p.at[0], RN_READ, ctx), -ECANCELED);
    CHECK_EQ(rn_wait_fd(p.at[0], RN_READ, NULL), RN_READ);
    rn_ctx_end(ctx);
    pair_end(p);
}

GO_TEST(context_deadline_ends_wait)
{
    struct pair p = pipe_new();
    rn_ctx *ctx = rn_ctx_with_timeout(rn_ctx_background(), RN_MILLISECOND);

    CHECK_EQ(rn_wait_fd(p.at[0], RN_READ, ctx), -ETIMEDOUT);
    rn_ctx_end(ctx);
    pair_end(p);
}

/* Cancelling and becoming ready at the same time: each wait has one outcome, and nothing is touched after. */
static void cancel_soon(rn_ctx *ctx, int spins)
{
    for (volatile int i = 0; i < spins; i++)
        ;
    rn_ctx_end(ctx);
}
static void put_soon(int fd, int spins)
{
    for (volatile int i = 0; i < spins; i++)
        ;
    put(fd, "x");
}
GO_TEST(context_races_with_edge)
{
    struct pair p = pipe_new();
    int both[2] = {0, 0};
    rn_wg wg = {0};

    for (int i = 0; i < test_times(20000); i++) {
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
        char c;
        int n;

        rn_wg_go(&wg, cancel_soon, rn_ctx_retain(ctx), rand() % 2000);
        rn_wg_go(&wg, put_soon, p.at[1], rand() % 2000);
        n = rn_wait_fd(p.at[0], RN_READ, ctx);
        CHECK(n == RN_READ || n == -ECANCELED);
        both[n == RN_READ]++;
        rn_wg_wait(&wg);
        CHECK_EQ(read(p.at[0], &c, 1), 1);
        rn_ctx_release(ctx);
    }
    pair_end(p);
}

/* A number whose file was closed without a word, and is another file's now. */
GO_TEST(number_reused_without_forget)
{
    struct pair p = pipe_new(), q;
    rn_chan(int) ch = start_waiting(p.at[0], RN_READ, NULL);

    put(p.at[1], "x");
    CHECK_EQ(result(ch), RN_READ);
    close(p.at[0]);
    close(p.at[1]);
    q = pipe_new();
    CHECK_EQ(q.at[0], p.at[0]);
    ch = start_waiting(q.at[0], RN_READ, NULL);
    CHECK_EQ(rn_len(ch), 0);
    put(q.at[1], "y");
    CHECK_EQ(result(ch), RN_READ);
    pair_end(q);
}

/* The file lives on behind another number after it was forgotten; its edges are nobody's. */
GO_TEST(number_reused_while_file_lives)
{
    struct pair p = pipe_new(), q;
    rn_chan(int) ch = start_waiting(p.at[0], RN_READ, NULL);
    int other = dup(p.at[0]);

    while (rn_len(ch) == 0) {
        rn_forget_fd(p.at[0]);
        rn_yield();
    }
    CHECK_EQ(result(ch), -ECANCELED);
    close(p.at[0]);
    q = pipe_new();
    CHECK_EQ(q.at[0], p.at[0]);
    ch = start_waiting(q.at[0], RN_READ, NULL);
    put(p.at[1], "x");
    test_let_run();
    CHECK_EQ(rn_len(ch), 0);
    CHECK_EQ(rn_wait_fd(other, RN_READ, NULL), RN_READ);
    put(q.at[1], "y");
    CHECK_EQ(result(ch), RN_READ);
    close(p.at[1]);
    rn_forget_fd(other);
    close(other);
    pair_end(q);
}

/* The same with a connection, whose descriptor is closed without asking the kernel to forget the file. */
GO_TEST(number_of_a_connection_reused)
{
    struct pair p = sockets_new(), q;
    rn_chan(int) ch;
    rn_conn *c;
    int other;

    CHECK_EQ(rn_conn_adopt(p.at[0], &c), 0);
    CHECK_EQ(rn_set_read_deadline(c, rn_now() + RN_MILLISECOND), 0);
    CHECK_EQ(rn_read(c, (char[1]){0}, 1),
             -ETIMEDOUT); /* the kernel reports its edges from now on */
    other = dup(p.at[0]);
    rn_conn_close(c);
    q = pipe_new();
    CHECK_EQ(q.at[0], p.at[0]);
    ch = start_waiting(q.at[0], RN_READ, NULL);
    put(p.at[1], "x");
    rn_sleep(10 * RN_MILLISECOND);
    CHECK_EQ(rn_len(ch), 0);
    put(q.at[1], "y");
    CHECK_EQ(result(ch), RN_READ);
    close(other);
    close(p.at[1]);
    pair_end(q);
}

/* Plain threads wait too, woken by whatever. */
static _Atomic int thread_waits;
static void *thread_wait(void *arg)
{
    const int *fd = arg;
    int n;

    thread_waits++;
    n = rn_wait_fd(*fd, RN_READ, NULL);
    return (void *)(intptr_t)n;
}
GO_TEST(thread_waits_for_goroutine)
{
    struct pair p = pipe_new();
    pthread_t t;
    void *n;

    CHECK_EQ(pthread_create(&t, NULL, thread_wait, &p.at[0]), 0);
    AWAIT(thread_waits == 1);
    test_let_run();
    put(p.at[1], "x");
    CHECK_EQ(rn_blocking(pthread_join(t, &n)), 0);
    CHECK_EQ((intptr_t)n, RN_READ);
    pair_end(p);
}
PLAIN_TEST(threads_alone)
{
    struct pair p = pipe_new();
    pthread_t t[4];
    void *n;

    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, thread_wait, &p.at[0]), 0);
    while (thread_waits < 4)
        ;
    usleep(10000);
    put(p.at[1], "x");
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pthread_join(t[i], &n), 0);
        CHECK_EQ((intptr_t)n, RN_READ);
    }
    pair_end(p);
}

/* A thread waits across the ends and beginnings of runtimes. */
static int nothing(void)
{
    rn_yield();
    return 0;
}
PLAIN_TEST(thread_waits_across_runs)
{
    struct pair p = pipe_new();
    pthread_t t;
    void *n;

    for (int i = 0; i < test_times(200); i++) {
        char c;

        CHECK_EQ(pthread_create(&t, NULL, thread_wait, &p.at[0]), 0);
        while (thread_waits <= i)
            ;
        for (int k = 0; k < 3; k++)
            CHECK_EQ(rn_run(nothing), 0);
        put(p.at[1], "x");
        CHECK_EQ(pthread_join(t, &n), 0);
        CHECK_EQ((intptr_t)n, RN_READ);
        CHECK_EQ(read(p.at[0], &c, 1), 1);
    }
    pair_end(p);
}

/* Goroutines that wait when rn_run ends are gone; the descriptor works in the next run. */
static struct pair left;
static rn_ctx *left_ctx[MANY];
static void leave_waiting(void)
{
    for (int i = 0; i < MANY; i++) {
        left_ctx[i] = rn_ctx_with_timeout(rn_ctx_background(), RN_HOUR);
        (void)start_waiting(left.at[0], RN_READ, i % 2 ? left_ctx[i] : NULL);
    }
    for (int i = 0; i < MANY; i += 3) /* also some that are readied when the end comes */
        rn_ctx_cancel(left_ctx[i]);
}
static int wait_again(void)
{
    rn_chan(int) ch = start_waiting(left.at[0], RN_READ, NULL);
    char c;

    CHECK_EQ(rn_len(ch), 0);
    put(left.at[1], "x");
    CHECK_EQ(result(ch), RN_READ);
    CHECK_EQ(read(left.at[0], &c, 1), 1);
    return 0;
}
static int open_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 200; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}
PLAIN_TEST(left_waiting)
{
    int before;

    left = pipe_new();
    before = open_fds();
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(rn_run(test_run_body, __FILE__, __LINE__, leave_waiting, true), 0);
        for (int k = 0; k < MANY; k++)
            rn_ctx_end(left_ctx[k]);  /* finds nobody any more */
        CHECK_EQ(open_fds(), before); /* the instance is closed */
        CHECK_EQ(rn_run(wait_again), 0);
        CHECK_EQ(open_fds(), before);
    }
    pair_end(left);
}

/* Who waits for a descriptor may yet be woken: no deadlock is reported. Where nobody does, it is. */
static void write_later(int fd)
{
    usleep(200000);
    put(fd, "x");
}
static void *write_later_thread(void *arg)
{
    write_later(*(int *)arg);
    return NULL;
}
PLAIN_TEST(waiting_is_no_deadlock)
{
    left = pipe_new();
    pid_t pid =
        fork(); /* the writer is another process, so that no thread of ours explains the wait */

    CHECK(pid >= 0);
    if (pid == 0) {
        write_later_thread(&left.at[1]);
        _exit(0);
    }
    CHECK_EQ(rn_run(rn_wait_fd, left.at[0], RN_READ, (rn_ctx *)NULL), RN_READ);
    pair_end(left);
}
static int deadlock(void)
{
    struct pair p = pipe_new();
    rn_chan(int) never = rn_chan_make(int, 0), ch = start_waiting(p.at[0], RN_READ, NULL);

    put(p.at[1], "x");
    (void)result(ch);
    return rn_recv(never);
}
static void run_deadlock(void)
{
    (void)!rn_run(deadlock);
}
PLAIN_TEST(deadlock_beside_descriptors)
{
    if (test_is_emulated())
        test_skip("a deadlock is not seen beside the emulator's thread");
    (void)
        rn_self_id(); /* so that the library knows of the fork, and expects what ThreadSanitizer makes of it */
    test_expect_death(__FILE__, __LINE__, run_deadlock,
                      "fatal error: all goroutines are asleep - deadlock!");
}

/* Busy goroutines do not keep a ready one from running, with one processor. */
static void spin_yielding(_Atomic bool *stop)
{
    while (!*stop)
        rn_yield();
}
static void ping(rn_recv_only(int) in, rn_send_only(int) out)
{
    rn_range (v, in)
        rn_send(out, v);
    rn_close(out);
}
static void rally(_Atomic bool *stop, rn_send_only(int) out, rn_recv_only(int) in)
{
    while (!*stop) {
        rn_send(out, 1);
        (void)rn_recv(in);
    }
    rn_close(out);
}
GO_TEST_PROCS(woken_beside_busy, 1)
{
    struct pair p = pipe_new();
    rn_chan(int) a = rn_chan_make(int, 0), b = rn_chan_make(int, 0);
    _Atomic bool stop = false;
    rn_wg wg = {0};
    char c;

    rn_wg_go(&wg, spin_yielding, &stop);
    for (int i = 0; i < 100; i++) {
        rn_chan(int) ch = start_waiting(p.at[0], RN_READ, NULL);

        put(p.at[1], "x");
        CHECK_EQ(result(ch), RN_READ);
        CHECK_EQ(read(p.at[0], &c, 1), 1);
    }
    stop = true;
    rn_wg_wait(&wg);
    stop = false;
    rn_wg_go(&wg, ping, a, b);
    rn_wg_go(&wg, rally, &stop, a, b);
    for (int i = 0; i < 100; i++) {
        rn_chan(int) ch = start_waiting(p.at[0], RN_READ, NULL);

        put(p.at[1], "x");
        CHECK_EQ(result(ch), RN_READ);
        CHECK_EQ(read(p.at[0], &c, 1), 1);
    }
    stop = true;
    rn_wg_wait(&wg);
    rn_chan_release(a);
    rn_chan_release(b);
    pair_end(p);
}

/* RT-34: timers and wake-ups from elsewhere are not late while the idle worker sleeps in the poller. */
static void *ready_later(void *arg)
{
    usleep(20000);
    rn_ready(arg);
    return NULL;
}
GO_TEST(poller_is_interrupted)
{
    struct pair p = pipe_new();
    rn_chan(int) ch = start_waiting(p.at[0], RN_READ, NULL);
    rn_time start = rn_now();
    pthread_t t;

    for (int i = 0; i < test_times(50); i++) {
        rn_ticket ticket;

        rn_park_init(&ticket);
        CHECK_EQ(pthread_create(&t, NULL, ready_later, &ticket), 0);
        rn_park(&ticket);
        CHECK_EQ(rn_blocking(pthread_join(t, NULL)), 0);
        rn_sleep(RN_MILLISECOND);
    }
    CHECK(rn_now() - start < 30 * RN_SECOND);
    put(p.at[1], "x");
    CHECK_EQ(result(ch), RN_READ);
    pair_end(p);
}

/* Many pairs pass a token on, each woken by its descriptor, and nothing is lost. */
static void pass_on(int from, int to, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        char c;

        while (read(from, &c, 1) != 1)
            CHECK_EQ(rn_wait_fd(from, RN_READ, NULL), RN_READ);
        put(to, "x");
    }
}
GO_TEST(token_ring)
{
    struct pair p[20];
    int rounds = test_times(2000);
    rn_wg wg = {0};

    for (int i = 0; i < 20; i++)
        p[i] = pipe_new();
    for (int i = 0; i < 20; i++)
        rn_wg_go(&wg, pass_on, p[i].at[0], p[(i + 1) % 20].at[1], rounds);
    for (int i = 0; i < 7; i++)
        put(p[i * 2].at[1], "x");
    rn_wg_wait(&wg);
    for (int i = 0; i < 20; i++)
        pair_end(p[i]);
}
