/* SPDX-License-Identifier: MIT */
/*
 * ahead.c - reads that the poller makes for who waits (src/netpoll/ahead.c): that they are made, that nothing is lost or
 * comes twice or to the wrong one, and that all goes on without them. Much of net-stream and net-wait also runs with
 * RUNNEL_IO_URING=always, where every read that waits is made so.
 */
#define _GNU_SOURCE
#include "net.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "../os/refuse.h"
#include "ring.h"

extern uint64_t rn__netpoll_ahead; /* reads made by the poller */
int rn__netpoll_poll(void);
static uint64_t made(void)
{
    return __atomic_load_n(&rn__netpoll_ahead, __ATOMIC_RELAXED);
}

/* A body that runs as a first goroutine, in a process whose every wait for reading, or for many, may be read ahead. */
static void in_way(const char *way, void (*body)(void))
{
    setenv("RUNNEL_IO_URING", way, 1);
    CHECK_EQ(rn_run(test_run_body, __FILE__, __LINE__, body, false), 0);
}
#define AHEAD_TEST(name)                                                                           \
    static void name##_body(void);                                                                 \
    PLAIN_TEST(name##_one_by_one)                                                                  \
    {                                                                                              \
        in_way("always", name##_body);                                                             \
    }                                                                                              \
    PLAIN_TEST(name##_many_at_once)                                                                \
    {                                                                                              \
        in_way("1", name##_body);                                                                  \
    }                                                                                              \
    static void name##_body(void)

static void need_rings(void)
{
    char params[120] = {0};
    long fd = syscall(SYS_io_uring_setup, 1, params);

    if (fd < 0 || test_is_emulated())
        test_skip("the kernel has no io_uring for us");
    close((int)fd);
}

enum { CONNS = 64 };
static struct ends ends[CONNS];
static void open_all(int n)
{
    char at[RN_ADDR_TEXT];
    rn_listener *l = listen_any(TCP4, at);

    for (int i = 0; i < n; i++)
        ends[i] = ends_new(l, TCP4, at);
    rn_listener_close(l);
}
static void close_all(int n)
{
    for (int i = 0; i < n; i++)
        ends_close(ends[i]);
}

/* ---- That they are made ---------------------------------------------------------------------------------------------- */

static _Atomic int got[CONNS];
static void answer(int i)
{
    unsigned char b[8];
    ssize_t n;

    while ((n = rn_read(ends[i].server, b, sizeof b)) > 0) {
        CHECK_EQ(n, 1);
        CHECK_EQ(b[0], (i + got[i]) & 0xff);
        got[i]++;
    }
    CHECK_EQ(n, 0);
}

static rn_wg answering;
static void begin_answers(int n)
{
    uint64_t waits;

    open_all(n);
    waits = test_waits();
    for (int i = 0; i < n; i++)
        rn_wg_go(&answering, answer, i);
    AWAIT(test_waits() >= waits + (uint64_t)n);
}
/* Bytes come for all that wait. */
static void one_round(int n)
{
    int round = got[0];

    for (int i = 0; i < n; i++) {
        unsigned char b = (unsigned char)(i + round);

        CHECK_EQ(rn_write(ends[i].client, &b, 1), 1);
    }
    for (int i = 0; i < n; i++)
        AWAIT(got[i] == round + 1);
}
static void end_answers(int n)
{
    for (int i = 0; i < n; i++)
        CHECK_EQ(rn_close_write(ends[i].client), 0);
    rn_wg_wait(&answering);
    close_all(n);
}

/* The poller has read nearly all of them before it wakes anybody. */
static void many_body(void)
{
    enum { ROUNDS = 20 };
    uint64_t before;

    begin_answers(CONNS);
    before = made();
    for (int i = 0; i < ROUNDS; i++)
        one_round(CONNS);
    CHECK(made() - before >
          ROUNDS * CONNS / 2); /* the others by who found few edges, or has no processor */
    end_answers(CONNS);
}
PLAIN_TEST(ahead_of_many)
{
    need_rings();
    CHECK_EQ(rn_set_procs(1), 0);
    in_way("1", many_body);
    CHECK(!has_ring());
}

/* Every wait, where that is asked for; and none of what is larger than is worth it. */
static void large(rn_conn *c, int n, char *buf, size_t size)
{
    for (int i = 0; i < n; i++) {
        CHECK_EQ(rn_read(c, buf, size), 1);
        CHECK_EQ(buf[0], i & 0x7f);
        CHECK_EQ(rn_write(c, buf, 1), 1);
    }
}
static void sizes_body(void)
{
    enum { ROUNDS = 100 };
    static char room[16385];
    char *to = room;
    static const size_t sizes[] = {1, 16384, 16385};

    open_all(1);
    for (int k = 0; k < 3; k++) {
        uint64_t before = made(), waits;
        rn_wg wg = {0};
        char b;

        waits = test_waits();
        rn_wg_go(&wg, large, ends[0].server, ROUNDS, to, sizes[k]);
        AWAIT(test_waits() >= waits + 1);
        for (int i = 0; i < ROUNDS; i++) {
            b = (char)(i & 0x7f);
            CHECK_EQ(rn_write(ends[0].client, &b, 1), 1);
            CHECK_EQ(rn_read(ends[0].client, &b, 1), 1); /* may be read ahead itself */
        }
        rn_wg_wait(&wg);
        CHECK(made() - before > (sizes[k] == 16385 ? 0 : ROUNDS));
        CHECK(made() - before <= (sizes[k] == 16385 ? 1 : 2) * ROUNDS);
    }
    CHECK(has_ring());
    close_all(1);
}
PLAIN_TEST(ahead_of_all_sizes_but_the_large)
{
    need_rings();
    CHECK_EQ(rn_set_procs(1), 0);
    in_way("always", sizes_body);
    CHECK(!has_ring());
}

/* ---- That nothing is lost ------------------------------------------------------------------------------------------- */

static void read_sizes(rn_conn *c, size_t size, int seed)
{
    static const size_t sizes[] = {1, 7, 100, 4096, 16384, 16385, 50000};
    char *buf = malloc(50000);

    for (size_t at = 0, i = (size_t)seed; at < size; i++) {
        ssize_t n = rn_read(c, buf, sizes[i % 7]);

        CHECK(n > 0);
        check_pattern(buf, at, n);
        at += (size_t)n;
    }
    expect_end(c);
    free(buf);
}
static void write_all_of(rn_conn *c, size_t size)
{
    write_pattern(c, size);
    CHECK_EQ(rn_close_write(c), 0);
}
AHEAD_TEST(ahead_streams_are_whole)
{
    size_t size = (size_t)test_times(300000);
    rn_wg wg = {0};

    open_all(32);
    for (int i = 0; i < 32; i++) {
        rn_wg_go(&wg, read_sizes, ends[i].server, size, i);
        rn_wg_go(&wg, read_sizes, ends[i].client, size, i + 3);
        rn_wg_go(&wg, write_all_of, ends[i].client, size);
        rn_wg_go(&wg, write_all_of, ends[i].server, size);
    }
    rn_wg_wait(&wg);
    close_all(32);
}

/* Several read from one connection: each byte comes to one of them, and the end to all. */
static _Atomic uint64_t bytes, sum;
static void share(rn_conn *c)
{
    unsigned char b[5];
    ssize_t n;

    while ((n = rn_read(c, b, sizeof b)) > 0) {
        bytes += (uint64_t)n;
        while (n > 0)
            sum += b[--n];
    }
    CHECK_EQ(n, 0);
}
AHEAD_TEST(ahead_of_one_of_several_readers)
{
    enum { READERS = 6, PAIRS = 16 };
    int rounds = test_times(3000);
    uint64_t want = 0, want_sum = 0;
    rn_wg wg = {0};

    open_all(PAIRS);
    for (int i = 0; i < PAIRS * READERS; i++)
        rn_wg_go(&wg, share, ends[i % PAIRS].server);
    for (int r = 0; r < rounds; r++)
        for (int i = 0; i < PAIRS; i++) {
            unsigned char b[7] = {1, 2, 3, 4, (unsigned char)i, (unsigned char)r, 7};
            size_t n = (size_t)(1 + (r + i) % 7);

            CHECK_EQ(rn_write(ends[i].client, b, n), n);
            want += n;
            while (n > 0)
                want_sum += b[--n];
        }
    for (int i = 0; i < PAIRS; i++)
        CHECK_EQ(rn_close_write(ends[i].client), 0);
    rn_wg_wait(&wg);
    CHECK_EQ(bytes, want);
    CHECK_EQ(sum, want_sum);
    close_all(PAIRS);
}

/* Waits that end by their context or a deadline at any moment: what was read for them is not lost with them. */
static void read_impatient(int i, size_t size)
{
    rn_conn *c = ends[i].server;
    char b[16];

    for (size_t at = 0, tries = (size_t)i; at < size; tries++) {
        int64_t patience = (int64_t)(tries * 7 % 60) * RN_MICROSECOND; /* sometimes none */
        ssize_t n;

        if (tries % 2) {
            rn_ctx *ctx = rn_ctx_with_timeout(rn_ctx_background(), patience);

            n = rn_read_ctx(ctx, c, b, sizeof b);
            rn_ctx_end(ctx);
        } else {
            CHECK_EQ(rn_set_read_deadline(c, rn_now() + patience), 0);
            n = rn_read(c, b, sizeof b);
            CHECK_EQ(rn_set_read_deadline(c, 0), 0);
        }
        if (n == -ETIMEDOUT)
            continue;
        CHECK(n > 0);
        check_pattern(b, at, n);
        at += (size_t)n;
    }
    expect_end(c);
}
static void write_slowly(rn_conn *c, size_t size)
{
    char b;

    for (size_t at = 0; at < size; at++) {
        b = pattern(at);
        CHECK_EQ(rn_write(c, &b, 1), 1);
        if (at % 3 == 0)
            rn_sleep((int64_t)(at % 50) * RN_MICROSECOND);
    }
    CHECK_EQ(rn_close_write(c), 0);
}
AHEAD_TEST(ahead_and_an_end_at_the_same_time)
{
    size_t size = (size_t)test_times(3000);
    rn_wg wg = {0};

    open_all(16);
    for (int i = 0; i < 16; i++) {
        rn_wg_go(&wg, read_impatient, i, size);
        rn_wg_go(&wg, write_slowly, ends[i].client, size);
    }
    rn_wg_wait(&wg);
    close_all(16);
}

/* Edges that come after the read, and before who waits runs: there is something to read after them. Of two that are woken
 * together the first to run sends the other a second byte, and has its edge counted. */
static _Atomic int ran;
static void tell_the_other(int i)
{
    char b[8];

    CHECK_EQ(rn_read(ends[i].server, b, sizeof b), 1);
    CHECK_EQ(b[0], 'a');
    if (ran++ == 0) {
        CHECK_EQ(rn_write(ends[!i].client, "b", 1), 1);
        rn__netpoll_poll();
    } else {
        CHECK_EQ(rn_read(ends[i].server, b, sizeof b), 1);
        CHECK_EQ(b[0], 'b');
    }
}
static void later_body(void)
{
    uint64_t waits;
    rn_wg wg = {0};

    open_all(2);
    waits = test_waits();
    for (int i = 0; i < 2; i++)
        rn_wg_go(&wg, tell_the_other, i);
    AWAIT(test_waits() >= waits + 2);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(rn_write(ends[i].client, "a", 1), 1);
    rn_wg_wait(&wg);
    close_all(2);
}
PLAIN_TEST(ahead_of_an_edge)
{
    CHECK_EQ(rn_set_procs(1), 0);
    in_way("always", later_body);
}

/* An edge for nothing that a read gets, an urgent byte: the wait goes on, and ends with an edge that is not read for, since
 * it comes alone. */
static void nothing_body(void)
{
    enum { MANY = 8 };
    char b;

    begin_answers(MANY);
    for (int i = 0; i < MANY; i++) {
        b = (char)i;
        CHECK_EQ(send(rn_conn_fd(ends[i].client), &b, 1, i == 0 ? MSG_OOB : 0), 1);
    }
    for (int i = 1; i < MANY; i++)
        AWAIT(got[i] == 1);
    CHECK_EQ(got[0], 0);
    b = 0;
    CHECK_EQ(rn_write(ends[0].client, &b, 1), 1);
    AWAIT(got[0] == 1);
    end_answers(MANY);
}
PLAIN_TEST(ahead_of_nothing)
{
    CHECK_EQ(rn_set_procs(1), 0);
    in_way("1", nothing_body);
}

/* ---- Ends ------------------------------------------------------------------------------------------------------------ */

/* An error is told once, by the socket to us and by us to who waits; the end as often as it is asked for. */
static void read_one(rn_conn *c, ssize_t *ret_n)
{
    char b;

    *ret_n = rn_read(c, &b, 1);
}
AHEAD_TEST(ahead_of_errors_and_ends)
{
    enum { PAIRS = 8 };
    ssize_t n[PAIRS];
    uint64_t waits;
    rn_wg wg = {0};

    open_all(PAIRS);
    waits = test_waits();
    for (int i = 0; i < PAIRS; i++)
        rn_wg_go(&wg, read_one, ends[i].server, &n[i]);
    AWAIT(test_waits() >= waits + PAIRS);
    for (int i = 0; i < PAIRS; i++) {
        struct linger at_once = {1, 0};

        if (i % 2)
            CHECK_EQ(setsockopt(rn_conn_fd(ends[i].client), SOL_SOCKET, SO_LINGER, &at_once,
                                sizeof at_once),
                     0);
        rn_conn_close(ends[i].client);
    }
    rn_wg_wait(&wg);
    for (int i = 0; i < PAIRS; i++) {
        CHECK_EQ(n[i], i % 2 ? -ECONNRESET : 0);
        expect_end(ends[i].server);
        rn_conn_close(ends[i].server);
    }
}

/* Closed by others while bytes come: who reads gets bytes or is told so, and the descriptor's number is soon another's. */
static void read_until_closed(rn_conn *c, char want)
{
    char b[4];
    ssize_t n;

    while ((n = rn_read(c, b, sizeof b)) > 0)
        while (n > 0)
            CHECK_EQ(b[--n], want); /* of nobody else's connection */
    CHECK(n == -ECANCELED || n == 0);
    rn_conn_close(c);
}
static void write_until_closed(rn_conn *c, char what)
{
    while (rn_write(c, &what, 1) == 1)
        rn_yield();
    rn_conn_close(c);
}
AHEAD_TEST(ahead_and_a_close_at_the_same_time)
{
    char at[RN_ADDR_TEXT];
    rn_listener *l = listen_any(TCP4, at);

    for (int round = 0; round < test_times(100); round++) {
        rn_wg wg = {0};

        for (int i = 0; i < 12; i++) {
            struct ends e = ends_new(l, TCP4, at);

            ends[i] = e;
            rn_conn_retain(e.server);
            rn_wg_go(&wg, read_until_closed, e.server, (char)(round + i));
            rn_wg_go(&wg, write_until_closed, e.client, (char)(round + i));
        }
        rn_sleep((int64_t)(round % 10) * 20 * RN_MICROSECOND);
        for (int i = 0; i < 12; i++) {
            rn_conn_cancel(ends[i].server);
            rn_conn_close(ends[i].server);
        }
        rn_wg_wait(&wg);
    }
    rn_listener_close(l);
}

/* ---- Without, and again ---------------------------------------------------------------------------------------------- */

/* No descriptor is to be had for a ring: then all goes on without, and later there is one. */
static void full_body(void)
{
    struct rlimit old, few;

    begin_answers(CONNS);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    few = (struct rlimit){3, old.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    if (!has_ring()) { /* nothing before was a reason for one, unless many edges came at once by chance */
        for (int i = 0; i < 10; i++)
            one_round(CONNS);
        CHECK_EQ(made(), 0);
    }
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    for (int i = 0; i < 10000 && made() == 0; i++)
        one_round(CONNS);
    CHECK(made() > 0);
    CHECK(has_ring());
    end_answers(CONNS);
}
PLAIN_TEST(ahead_without_a_descriptor)
{
    need_rings();
    CHECK_EQ(rn_set_procs(1), 0);
    in_way("1", full_body);
}

static void without_body(void)
{
    begin_answers(8);
    for (int i = 0; i < 10; i++)
        one_round(8);
    CHECK_EQ(made(), 0);
    CHECK(!has_ring());
    end_answers(8);
}
static void refused_body(void)
{
    CHECK(refuse_call(SYS_io_uring_setup, EPERM));
    without_body();
}
PLAIN_TEST(ahead_refused)
{
    if (test_is_emulated())
        test_skip("no seccomp under an emulator");
    in_way("always", refused_body);
}
PLAIN_TEST(ahead_not_wanted)
{
    in_way("0", without_body);
}

/* The kernel stops taking requests, whose rings are there. */
static void lost_body(void)
{
    uint64_t before;

    begin_answers(8);
    for (int i = 0; i < 10; i++)
        one_round(8);
    CHECK(made() > 0);
    CHECK(refuse_call(SYS_io_uring_enter, EPERM));
    before = made();
    for (int i = 0; i < 10; i++)
        one_round(8);
    CHECK_EQ(made(), before);
    end_answers(8);
}
PLAIN_TEST(ahead_lost)
{
    if (test_is_emulated())
        test_skip("no seccomp under an emulator");
    need_rings();
    in_way("always", lost_body);
}

/* A child process has none of its parent's rings, and may have its own; the parent's go on. */
static void child_body(void)
{
    begin_answers(4);
    one_round(4);
    end_answers(4);
}
static void *forks(void *arg)
{
    int status;
    pid_t pid = fork();

    (void)arg;
    if (pid == 0) {
        if (has_ring())
            _exit(3);
        for (int i = 0; i < CONNS; i++)
            got[i] = 0;
        answering = (rn_wg){0};
        if (!UNDER_TSAN)
            in_way("always", child_body);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
    return NULL;
}
static void fork_body(void)
{
    pthread_t t;

    begin_answers(8);
    one_round(8);
    CHECK(has_ring());
    CHECK_EQ(pthread_create(&t, NULL, forks, NULL), 0);
    CHECK_EQ(rn_blocking(pthread_join(t, NULL)), 0);
    one_round(8);
    CHECK(has_ring());
    end_answers(8);
}
PLAIN_TEST(ahead_and_fork)
{
    need_rings();
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < CONNS; k++)
            got[k] = 0;
        in_way("always", fork_body);
        CHECK(!has_ring());
    }
}

/* The end of a runtime takes away who waits at any moment, also while there is something for it. */
static void writes_for_ever(int i)
{
    char b = 0;

    while (rn_write(ends[i].client, &b, 1) == 1)
        rn_yield();
}
static void reads_for_ever(int i)
{
    char b[100];

    while (rn_read(ends[i].server, b, sizeof b) > 0)
        got[i]++;
}
static int leaves_readers(void)
{
    open_all(8);
    for (int i = 0; i < 8; i++) {
        rn_go(reads_for_ever, i);
        rn_go(writes_for_ever, i);
    }
    for (int i = 0; i < 8; i++)
        AWAIT(got[i] > 3);
    return 0;
}
PLAIN_TEST(ahead_at_the_end_of_the_runtime)
{
    setenv("RUNNEL_IO_URING", "always", 1);
    for (int i = 0; i < test_times(50); i++) {
        for (int k = 0; k < 8; k++)
            got[k] = 0;
        CHECK_EQ(rn_run(leaves_readers), 0);
        CHECK(!has_ring());
        close_all(8);
    }
}
