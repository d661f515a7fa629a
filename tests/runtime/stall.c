/* SPDX-License-Identifier: MIT */
/*
 * stall.c - nothing stalls: C calls that block and loops that compute, with no word to the library. Each test could
 * only hang if a processor stayed with a goroutine that does not come back to the runtime.
 */
#define _GNU_SOURCE
#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Calls that block ------------------------------------------------------------------------------------------- */

static void read_one(int fd, _Atomic int *sum)
{
    char c = 0;

    CHECK_EQ(read(fd, &c, 1), 1); /* as any library would */
    *sum += c;
}

static void write_one(int fd, char c)
{
    CHECK_EQ(write(fd, &c, 1), 1);
}

enum { READERS = 20 };

static int blocked_in_read(void)
{
    int fds[READERS][2];
    _Atomic int sum = 0;
    rn_wg wg = {0};

    for (int i = 0; i < READERS; i++) {
        CHECK_EQ(pipe(fds[i]), 0);
        rn_wg_go(&wg, read_one, fds[i][0], &sum);
    }
    test_let_run();
    for (int i = 0; i < READERS; i++)
        rn_wg_go(&wg, write_one, fds[i][1], (char)(i + 1));
    rn_wg_wait(&wg);
    CHECK_EQ(sum, READERS * (READERS + 1) / 2);
    for (int i = 0; i < READERS; i++) {
        close(fds[i][0]);
        close(fds[i][1]);
    }
    return 0;
}

PLAIN_TEST(stall_many_blocked_in_read)
{
    for (int procs = 1; procs <= 2; procs++) {
        CHECK_EQ(rn_set_procs(procs), 0);
        CHECK_EQ(rn_run(blocked_in_read), 0);
    }
}

/* A pthread mutex held across a wait: the holder needs the processor that the others block on. */
static pthread_mutex_t foreign = PTHREAD_MUTEX_INITIALIZER;

static void hold_foreign(rn_chan(rn_unit) held, rn_chan(rn_unit) go_on)
{
    CHECK_EQ(pthread_mutex_lock(&foreign), 0);
    rn_send(held, RN_UNIT);
    (void)rn_recv(go_on);
    CHECK_EQ(pthread_mutex_unlock(&foreign), 0);
}

static void want_foreign(_Atomic int *n)
{
    CHECK_EQ(pthread_mutex_lock(&foreign), 0);
    ++*n;
    CHECK_EQ(pthread_mutex_unlock(&foreign), 0);
}

static int foreign_mutex(void)
{
    rn_chan(rn_unit) held = rn_chan_make(rn_unit, 0), go_on = rn_chan_make(rn_unit, 0);
    _Atomic int n = 0;
    rn_wg wg = {0};

    rn_lock_thread(); /* so that the holder, who must unlock where it locked, is not us by chance */
    rn_wg_go(&wg, hold_foreign, held, go_on);
    (void)rn_recv(held);
    for (int i = 0; i < 8; i++)
        rn_wg_go(&wg, want_foreign, &n);
    test_let_run();
    rn_send(go_on, RN_UNIT);
    rn_wg_wait(&wg);
    CHECK_EQ(n, 8);
    rn_chan_release(held);
    rn_chan_release(go_on);
    return 0;
}

PLAIN_TEST(stall_a_contended_pthread_mutex)
{
    CHECK_EQ(rn_set_procs(1), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(rn_run(foreign_mutex), 0);
}

/* ---- What one without a processor can do --------------------------------------------------------------------------- */

static void set(_Atomic int *flag)
{
    *flag = 1;
}

/* Compute until the one processor has certainly been given to another. */
static void lose_processor(void)
{
    _Atomic int flag = 0;

    rn_go(set, &flag);
    while (!flag)
        ;
}

static void add(_Atomic int *n)
{
    ++*n;
}

static void echo(rn_chan(int) in, rn_chan(int) out)
{
    rn_range (v, in)
        rn_send(out, v + 1);
}

static void end_locked(void)
{
    rn_lock_thread(); /* its thread ends with it, with no processor to give up */
    lose_processor();
}

static int early_exit(void)
{
    lose_processor();
    rn_exit(-7);
}

static int without_processor(void)
{
    rn_chan(int) in = rn_chan_make(int, 0), out = rn_chan_make(int, 0), one = rn_chan_make(int, 1);
    rn_mutex m = {0};
    rn_group g = {0};
    rn_wg wg = {0};
    rn_ctx *ctx;
    _Atomic int n = 0;

    rn_go(echo, in, out);
    for (int i = 0; i < 3; i++) {
        lose_processor(); /* wakes a receiver, and waits */
        rn_send(in, i);
        lose_processor();
        CHECK_EQ(rn_recv(out), i + 1);
        lose_processor(); /* calls that neither wait nor wake */
        rn_send(one, 1);
        CHECK(rn_try_recv(one, NULL));
        rn_mutex_lock(&m);
        rn_mutex_unlock(&m);
        lose_processor(); /* starts another, yields, sleeps */
        rn_wg_go(&wg, add, &n);
        lose_processor();
        rn_yield();
        lose_processor();
        rn_sleep(1000);
        rn_wg_wait(&wg);
        lose_processor(); /* lends a processor that it has not */
        CHECK_EQ(rn_blocking(5), 5);
        lose_processor();
        rn_lock_thread();
        rn_yield();
        lose_processor();
        rn_yield();
        rn_unlock_thread();
        ctx = rn_ctx_with_timeout(rn_ctx_background(), RN_HOUR);
        lose_processor();
        CHECK_EQ(rn_select(rn_on_done(ctx), rn_on_timeout(1000)), 1);
        rn_ctx_end(ctx);
        lose_processor();
        rn_group_go(&g, early_exit);
        CHECK_EQ(rn_group_wait(&g), -7);
        g = (rn_group){0};
        rn_wg_go(&wg, end_locked);
        rn_wg_wait(&wg);
        lose_processor();
    }
    CHECK_EQ(n, 3);
    rn_close(in);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    rn_chan_release(in);
    rn_chan_release(out);
    rn_chan_release(one);
    return 0;
}

PLAIN_TEST(stall_one_without_a_processor_can_do_everything)
{
    CHECK_EQ(rn_set_procs(1), 0);
    CHECK_EQ(rn_run(without_processor), 0);
}

/* A goroutine whose operations always succeed never parks; others get their turn all the same. */
static void always_busy(rn_chan(int) ch, _Atomic int *stop)
{
    while (!*stop) {
        rn_send(ch, 1);
        (void)rn_recv(ch);
    }
}

static int busy_channels(void)
{
    rn_chan(int) ch = rn_chan_make(int, 1);
    _Atomic int stop = 0;
    rn_wg wg = {0};

    for (int i = 0; i < 3; i++) {
        rn_wg_go(&wg, always_busy, ch, &stop);
        rn_sleep(1000);
    }
    stop = 1;
    (void)rn_try_send(ch, 1); /* the last one may wait for a value that another has taken */
    while (rn_count() > 1) {
        (void)rn_try_recv(ch, NULL);
        (void)rn_try_send(ch, 1);
        rn_yield();
    }
    rn_wg_wait(&wg);
    rn_chan_release(ch);
    return 0;
}

PLAIN_TEST(stall_operations_that_always_succeed)
{
    CHECK_EQ(rn_set_procs(1), 0);
    CHECK_EQ(rn_run(busy_channels), 0);
}

/* ---- errno of a call ---------------------------------------------------------------------------------------------------- */

static int move_and_fail(int i, _Atomic int *moves)
{
    pid_t me = gettid();

    rn_sleep(i % 3 * 1000);
    *moves += gettid() != me;
    return i % 2 ? close(-1) : open("/nonexistent/nowhere", O_RDONLY);
}

/* Apart: in a loop the compiler would keep the address of the thread that it began on, which runs another by now. */
static __attribute__((noinline)) void forget_errno(void)
{
    errno = 0;
}

static void fail_elsewhere(_Atomic int *moves)
{
    for (int i = 0; i < test_times(300); i++) {
        forget_errno();
        CHECK_EQ(rn_sys(move_and_fail(i, moves)), i % 2 ? -EBADF : -ENOENT);
    }
}

/* D35: rn_sys knows why the call failed, also if it waited inside and failed on another thread. */
GO_TEST_PROCS(d35_sys_looks_at_the_thread_where_the_call_ended, 4)
{
    _Atomic int moves = 0;

    for (int round = 0; round < 5 || moves == 0; round++) {
        rn_wg wg = {0};

        CHECK(round < 100);
        for (int i = 0; i < 16; i++)
            rn_wg_go(&wg, fail_elsewhere, &moves);
        rn_wg_wait(&wg);
    }
}

/* ---- Threads ---------------------------------------------------------------------------------------------------------- */

static void wait_for(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    CHECK_EQ(rn_blocking(poll(&p, 1, -1)), 1);
}

static int grow_and_shrink(void)
{
    int fds[2], most;
    rn_wg wg = {0};

    CHECK_EQ(pipe(fds), 0);
    for (int i = 0; i < 100; i++)
        rn_wg_go(&wg, wait_for, fds[0]);
    AWAIT(count_threads() >= 100);
    most = count_threads();
    CHECK_EQ(write(fds[1], "x", 1), 1); /* nobody reads it: all see it */
    rn_wg_wait(&wg);
    AWAIT(count_threads() < most / 2);
    close(fds[0]);
    close(fds[1]);
    return 0;
}

PLAIN_TEST(stall_threads_grow_with_the_blocked_and_shrink_after)
{
    CHECK_EQ(rn_run(grow_and_shrink), 0);
}

/*
 * Timers are due while all processors compute: one idle thread after another minds them, finds no processor, and goes on
 * being idle. They end all the same.
 */
static void compute_until(_Atomic int *end)
{
    while (!*end)
        for (volatile int i = 0; i < 1000000; i++)
            ;
}
static void tick_until(_Atomic int *end)
{
    while (!*end)
        rn_sleep(100 * RN_MICROSECOND);
}
static int bursts(int rest)
{
    enum { PROCS = 2, SPARE = 8, BUSY = 3, BLOCKED = 50 };
    _Atomic int end = 0;
    rn_wg busy = {0};

    for (int i = 0; i < BUSY; i++)
        rn_wg_go(&busy, compute_until, &end);
    rn_wg_go(&busy, tick_until, &end);
    for (int round = 0; round < test_times(20); round++) {
        rn_wg wg = {0};
        int fds[2];

        CHECK_EQ(pipe(fds), 0);
        for (int i = 0; i < BLOCKED; i++)
            rn_wg_go(&wg, wait_for, fds[0]);
        AWAIT(count_threads() >= BLOCKED);
        CHECK_EQ(write(fds[1], "x", 1), 1);
        rn_wg_wait(&wg);
        close(fds[0]);
        close(fds[1]);
    }
    end = 1;
    rn_wg_wait(&busy);
    /* Who holds a processor or waits for one, the keeper, the monitor. */
    AWAIT(count_threads() <= rest + PROCS + SPARE + 1 + 1 + PROCS);
    return 0;
}
PLAIN_TEST(stall_threads_end_although_all_compute)
{
    CHECK_EQ(rn_set_procs(2), 0);
    CHECK_EQ(rn_run(bursts, count_threads_at_rest()), 0);
}

static int too_many(void)
{
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    for (int i = 0; i < 100; i++)
        rn_go(wait_for, fds[0]);
    (void)rn_recv(rn_chan_make(int, 0));
    return 0;
}
static void too_many_run(void)
{
    setenv("RUNNEL_MAX_THREADS", "20", 1);
    (void)!rn_run(too_many);
}

/* Fewer than the limit, and often: of threads that are kept or have ended none counts twice. */
static int not_too_many(void)
{
    for (int round = 0; round < 20; round++) {
        rn_wg wg = {0};
        int fds[2];

        CHECK_EQ(pipe(fds), 0);
        for (int i = 0; i < 12; i++)
            rn_wg_go(&wg, wait_for, fds[0]);
        test_let_run();
        CHECK_EQ(write(fds[1], "x", 1), 1);
        rn_wg_wait(&wg);
        close(fds[0]);
        close(fds[1]);
    }
    return 0;
}
static void not_too_many_run(void)
{
    setenv("RUNNEL_MAX_THREADS", "20", 1);
    CHECK_EQ(rn_set_procs(2), 0);
    CHECK_EQ(rn_run(not_too_many), 0);
}

/* RT-19, G: fatal, with the limit. */
PLAIN_TEST(rt_19_too_many_threads)
{
    static const char first[] = "runnel: program exceeds 20-thread limit\n";
    static const char second[] = "fatal error: thread exhaustion\n";
    struct child c = run_child(too_many_run);

    CHECK_EXIT(&c, 2);
    CHECK(strncmp(c.said, first, strlen(first)) == 0);
    CHECK(strncmp(c.said + strlen(first), second, strlen(second)) == 0);
    free(c.said);
    c = run_child(not_too_many_run);
    CHECK_EXIT(&c, 0);
    CHECK_STR(c.said, "");
    free(c.said);
}

/* ---- The number of processors follows the mask ----------------------------------------------------------------------------- */

static void set_mask(const cpu_set_t *set)
{
    DIR *d = opendir("/proc/self/task");
    struct dirent *e;

    CHECK(d != NULL);
    while ((e = readdir(d)))
        if (e->d_name[0] != '.')
            (void)sched_setaffinity(atoi(e->d_name), sizeof(*set), set);
    closedir(d);
}

static int follow_the_mask(void)
{
    cpu_set_t all, one;
    int before = rn_procs();

    CHECK_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    set_mask(&one);
    AWAIT(rn_procs() == 1);
    for (int i = 0; i < 100; i++)
        rn_go(rn_yield);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    set_mask(&all);
    AWAIT(rn_procs() == before);
    for (int i = 0; i < 100; i++)
        rn_go(rn_yield);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    return 0;
}

PLAIN_TEST(stall_processors_follow_the_affinity_mask)
{
    cpu_set_t all;

    CHECK_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
    unsetenv("RUNNEL_PROCS");
    if (CPU_COUNT(&all) < 2)
        SKIP("one CPU");
    CHECK_EQ(rn_run(follow_the_mask), 0);
}

static int gets_company(const cpu_set_t *all)
{
    CHECK_EQ(rn_procs(), 1);
    set_mask(all);
    AWAIT(rn_procs() == CPU_COUNT(all));
    for (int i = 0; i < 100; i++)
        rn_go(rn_yield);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    return 0;
}

/* Also from the one CPU that a program began with. */
PLAIN_TEST(stall_one_processor_gets_company)
{
    cpu_set_t all, one;

    CHECK_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
    unsetenv("RUNNEL_PROCS");
    if (rn_procs() < 2 || rn_procs() < CPU_COUNT(&all))
        SKIP("one CPU, or a quota");
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    set_mask(&one);
    CHECK_EQ(rn_run(gets_company, (const cpu_set_t *)&all), 0);
}

/* ---- fork -------------------------------------------------------------------------------------------------------------------- */

static int exit_status(pid_t pid)
{
    int status = -1;

    CHECK(pid > 0);
    while (waitpid(pid, &status, 0) < 0)
        CHECK_EQ(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int forks(void)
{
    rn_wg wg = {0};
    pid_t pid = fork();

    if (pid == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    CHECK_EQ(exit_status(pid), 0);
    pid = fork();
    if (pid == 0) {
        close(STDERR_FILENO);
        rn_yield(); /* a panic: there is no runtime here */
        _exit(1);
    }
    CHECK_EQ(exit_status(pid), 2);
    rn_wg_go(&wg, test_let_run); /* the parent goes on */
    rn_wg_wait(&wg);
    return 0;
}

PLAIN_TEST(fork_of_a_goroutine_may_exec)
{
    CHECK_EQ(rn_run(forks), 0);
}

static int seven(void)
{
    _Atomic int n = 0;
    rn_wg wg = {0};

    for (int i = 0; i < 50; i++)
        rn_wg_go(&wg, add, &n);
    rn_wg_wait(&wg);
    rn_sleep(1000);
    return n == 50 ? 7 : 1;
}

/* A plain thread's child starts anew, whatever the parent's runtime did. */
PLAIN_TEST(fork_of_a_plain_thread_starts_anew)
{
    rn_chan(int) ch = rn_chan_make(int, 0), back = rn_chan_make(int, 0);
    pid_t pid;

    if (UNDER_TSAN)
        SKIP("that detector does not follow a fork of several threads");
    rn_go(echo, ch, back); /* a runtime that started by itself */
    rn_send(ch, 1);
    CHECK_EQ(rn_recv(back), 2);
    pid = fork();
    if (pid == 0) {
        rn_wg wg = {0};

        if (rn_run(seven) != 7)
            _exit(1);
        rn_wg_go(&wg, test_let_run);
        rn_wg_wait(&wg);
        _exit(7);
    }
    CHECK_EQ(exit_status(pid), 7);
    rn_send(ch, 5);
    CHECK_EQ(rn_recv(back), 6);
    rn_close(ch);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    rn_chan_release(ch);
    rn_chan_release(back);
}

/* What the parent's runtime had under way is nothing to the child: goroutines that wait for a mutex at the same address, a
 * timer that is due, a descriptor that is awaited, threads that are parked. */
static rn_mutex at_one_address;
static _Atomic int fired;
static int parents_pipe[2];

static void hold_it(rn_chan(int) held, rn_chan(int) end)
{
    rn_mutex_lock(&at_one_address);
    rn_send(held, 1);
    (void)rn_recv(end);
    rn_mutex_unlock(&at_one_address);
}

static void want_it(void)
{
    rn_mutex_lock(&at_one_address);
    rn_mutex_unlock(&at_one_address);
}

static void await_pipe(int fd)
{
    CHECK(rn_wait_fd(fd, RN_READ, NULL) > 0);
}

struct parked_thread {
    rn_ticket ticket;
    pthread_t thread;
    _Atomic pid_t tid;
};

static void *park_thread(void *arg)
{
    struct parked_thread *p = arg;

    p->tid = gettid(); /* from here to its wait it sleeps nowhere */
    rn_park(&p->ticket);
    return NULL;
}

static void in_turn(_Atomic int *n)
{
    for (int i = 0; i < 100; i++) {
        rn_mutex_lock(&at_one_address);
        rn_yield(); /* so that the others have to wait */
        ++*n;
        rn_mutex_unlock(&at_one_address);
    }
}

static void write_later(int fd, int i)
{
    if (i % 2)
        rn_sleep(10000);
    write_one(fd, 'c');
}

/* Wakes somebody late, from a thread of which the library knows nothing: no deadlock may be reported before. */
static void *late_waker(void *ticket)
{
    usleep(300000);
    CHECK(rn_ready(ticket));
    return NULL;
}

/* Goroutines that wait, at this moment. */
static uint64_t waiting(void)
{
    struct rn_metrics m;

    rn_metrics(&m, sizeof m);
    return m.waiting;
}

static int childs_program(int fired_before)
{
    _Atomic int n = 0;
    rn_ticket ticket;
    pthread_t thread;
    rn_wg wg = {0};

    rn_mutex_lock(&at_one_address);
    for (int i = 0; i < 4; i++)
        rn_wg_go(&wg, in_turn, &n);
    AWAIT(waiting() == 4); /* where those of the parent waited */
    rn_mutex_unlock(&at_one_address);
    rn_wg_wait(&wg);
    if (n != 400)
        return 1;
    for (int i = 0; i < 50; i++) {
        int fds[2];

        CHECK_EQ(pipe(fds), 0);
        rn_wg_go(&wg, write_later, fds[1], i);
        CHECK(rn_wait_fd(fds[0], RN_READ, NULL) > 0);
        rn_wg_wait(&wg);
        rn_forget_fd(fds[0]);
        close(fds[0]);
        close(fds[1]);
    }
    rn_park_init(&ticket);
    CHECK_EQ(pthread_create(&thread, NULL, late_waker, &ticket), 0);
    rn_park(&ticket);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    return fired == fired_before ? 7 : 2;
}

static void fire(void)
{
    fired++;
}

enum { PARKED_THREADS = 6 };

PLAIN_TEST(fork_leaves_the_parents_waits_behind)
{
    rn_chan(int) held = rn_chan_make(int, 0), end = rn_chan_make(int, 0);
    struct parked_thread threads[PARKED_THREADS] = {0};
    pid_t pid;

    if (UNDER_TSAN)
        SKIP("that detector does not follow a fork of several threads");
    CHECK_EQ(pipe(parents_pipe), 0);
    rn_go(hold_it, held, end);
    CHECK_EQ(rn_recv(held), 1);
    for (int i = 0; i < 4; i++)
        rn_go(want_it);
    rn_go(await_pipe, parents_pipe[0]);
    for (int i = 0; i < PARKED_THREADS; i++) {
        rn_park_init(&threads[i].ticket);
        CHECK_EQ(pthread_create(&threads[i].thread, NULL, park_thread, &threads[i]), 0);
        AWAIT(threads[i].tid && thread_sleeps(threads[i].tid));
    }
    AWAIT(waiting() == 1 + 4 + 1);
    rn_go_after(100 * RN_MILLISECOND, fire);
    pid = fork();
    if (pid == 0) {
        int before = fired;

        at_one_address = (rn_mutex){0};
        _exit(rn_run(childs_program, before));
    }
    CHECK_EQ(exit_status(pid), 7);
    CHECK_EQ(rn_sys(write(parents_pipe[1], "x", 1)), 1); /* and the parent's go on */
    rn_close(end);
    for (int i = 0; i < PARKED_THREADS; i++) {
        CHECK(rn_ready(&threads[i].ticket));
        CHECK_EQ(pthread_join(threads[i].thread, NULL), 0);
    }
    AWAIT(fired == 1);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    rn_chan_release(held);
    rn_chan_release(end);
}

/* ---- Torture: communicate, block, compute and exit at random, while processors go from hand to hand -------------------------- */

struct torture {
    rn_chan(int64_t) ch;
    _Atomic int64_t sent, got;
    _Atomic int live;
};

static uint32_t next_random(uint32_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 17;
    *x ^= *x << 5;
    return *x;
}

static void torture_one(struct torture *t, uint32_t seed, int ops)
{
    uint32_t x = seed * 2654435761u | 1;

    for (int i = 0; i < ops; i++) {
        int64_t v = (int64_t)(next_random(&x) % 1000);

        switch (next_random(&x) % 64) {
        case 0:
            usleep(next_random(&x) % 300);
            break;
        case 1:
            for (volatile int k = 0; k < 20000; k++)
                ;
            break;
        case 2:
            (void)rn_blocking(usleep(next_random(&x) % 100));
            break;
        case 3:
            rn_sleep((rn_dur)(next_random(&x) % 20000));
            break;
        case 4:
            rn_yield();
            break;
        default:
            if (next_random(&x) % 2) {
                if (rn_select(rn_on_send(t->ch, v), rn_on_timeout(100000)) == 0)
                    t->sent += v;
            } else if (rn_select(rn_on_recv(t->ch, &v), rn_on_timeout(100000)) == 0) {
                t->got += v;
            }
        }
    }
    t->live--;
}

static int torture(void)
{
    struct torture t = {.ch = rn_chan_make(int64_t, 4)};
    int64_t v;

    for (int i = 0; i < 24; i++) {
        t.live++;
        rn_go(torture_one, &t, (uint32_t)i + 1, test_times(4000));
    }
    AWAIT(t.live == 0);
    CHECK_EQ(rn_settle(RN_MINUTE), 0);
    while (rn_try_recv(t.ch, &v))
        t.got += v;
    CHECK_EQ(t.sent, t.got);
    rn_chan_release(t.ch);
    return 0;
}

PLAIN_TEST(stall_torture)
{
    for (int procs = 1; procs <= 4; procs++) {
        CHECK_EQ(rn_set_procs(procs), 0);
        CHECK_EQ(rn_run(torture), 0);
    }
}
