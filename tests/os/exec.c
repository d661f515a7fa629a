/* SPDX-License-Identifier: MIT */
/*
 * exec.c - child processes: how they are started, what they inherit, how they end, and that none is left.
 *
 * The children are the shell and small tools of every system. What shall not happen (a signal that is ignored, a pipe
 * that stays open) is made to happen by them.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "refuse.h"
#include "slack.h"

#define SHELL(text) ((const char *const[]){"/bin/sh", "-c", (text), NULL})

/* No child of ours is there, running or dead. Not inlined: whoever calls may have looked at another thread's errno. */
static __attribute__((noinline)) void no_children(void)
{
    siginfo_t info = {0};

    CHECK(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0);
    CHECK_EQ(errno, ECHILD);
}

static int open_now(void)
{
    int n = 0;

    for (int fd = 0; fd < 1000; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* The same, when the library has opened what it needs for waiting. */
static int open_at_rest(void)
{
    int start = open_now();
    rn_conn *r, *w;
    char b;

    CHECK_EQ(rn_exec(NULL, "true"), 0);
    CHECK_EQ(rn_pipe(&r, &w), 0);
    for (rn_dur d = RN_MILLISECOND; d < RN_MINUTE && open_now() <= start + 2; d *= 2) {
        rn_ctx *ctx =
            rn_ctx_with_timeout(rn_ctx_background(), d); /* may end before the wait begins */

        CHECK_EQ(rn_read_ctx(ctx, r, &b, 1), -ETIMEDOUT);
        rn_ctx_end(ctx);
        if (open_now() == start + 2 && d > 100 * RN_MILLISECOND)
            break; /* all was there before */
    }
    rn_conn_close(r);
    rn_conn_close(w);
    return open_now();
}

static bool alive(pid_t pid)
{
    char path[64], text[256] = "";
    FILE *f;
    char *at;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    f = fopen(path, "r");
    if (!f)
        return false;
    if (!fgets(text, sizeof text, f))
        text[0] = 0;
    fclose(f);
    at = strrchr(text, ')');
    return at && at[2] != 'Z' && at[2] != 'X'; /* an orphan's zombie is its new parent's business */
}

/* ---- The short forms ------------------------------------------------------------------------------------------ */

GO_TEST(exec_status)
{
    CHECK_EQ(rn_exec(NULL, "true"), 0);
    CHECK_EQ(rn_exec(NULL, "false"), 1);
    CHECK_EQ(rn_exec(NULL, "/bin/sh", "-c", "exit 42"), 42);
    CHECK_EQ(rn_exec(NULL, "/bin/sh", "-c", "kill -9 $$"), 128 + 9);
    no_children();
}

GO_TEST(exec_output)
{
    char *text = NULL;
    size_t size = 99;

    CHECK_EQ(rn_exec_output(NULL, &text, &size, "echo", "some", "words"), 0);
    CHECK_STR(text, "some words\n");
    CHECK_EQ(size, 11);
    free(text);
    CHECK_EQ(rn_exec_output(NULL, &text, NULL, "true"), 0);
    CHECK_STR(text, "");
    free(text);
    CHECK_EQ(rn_exec_output(NULL, &text, NULL, "/bin/sh", "-c", "echo x; exit 3"), 3);
    CHECK_STR(text, "x\n");
    free(text);
    text = NULL;
    CHECK_EQ(rn_exec_output(NULL, &text, NULL, "/bin/sh", "-c", "head -c 20000000 /dev/zero"),
             -EFBIG);
    CHECK(!text);
    no_children();
}

GO_TEST(d31_a_program_says_nothing_of_an_older_one)
{
    static const char *const programs[] = {"no-such-program", "/no/such/program",
                                           "no-other-program"};
    char text[124];

    for (int i = 0; i < 3; i++) {
        CHECK_EQ(rn_exec(NULL, programs[i]), -ENOENT);
        snprintf(text, sizeof text, "exec %s: %s", programs[i], strerror(ENOENT));
        CHECK_STR(rn_errmsg(-ENOENT), text);
    }
}

static int slack_of_a_child(void)
{
    char *text = NULL;
    int its;

    CHECK(sleeps_exactly() <= WORKERS_SLACK);
    CHECK_EQ(rn_exec_output(NULL, &text, NULL, "cat", "/proc/self/timerslack_ns"), 0);
    its = atoi(text);
    free(text);
    return its;
}

PLAIN_TEST(exec_timer_slack_as_it_was)
{
    CHECK_EQ(slack_set(USUAL_SLACK), 0);
    CHECK_EQ(rn_set_procs(1), 0);
    CHECK_EQ(rn_run(slack_of_a_child), USUAL_SLACK);
}

/* What prevents the start is its error, and no status. */
GO_TEST(exec_failures)
{
    char path[] = "/tmp/runnel-exec-XXXXXX";
    int fd = mkstemp(path), before;
    rn_exec_result r;
    rn_exec_options o = {.argv = (const char *const[]){"true", NULL}, .cwd = "/nowhere/at/all"};

    before = open_at_rest();
    CHECK_EQ(rn_exec(NULL, "no-such-program-anywhere"), -ENOENT);
    CHECK(strstr(rn_errmsg(-ENOENT), "no-such-program-anywhere"));
    CHECK_EQ(rn_exec(NULL, "/no/such/program"), -ENOENT);
    CHECK_EQ(rn_exec(NULL, "/tmp"), -EACCES);
    CHECK(fd >= 0);
    CHECK_EQ(rn_exec(NULL, path), -EACCES);
    CHECK_EQ(fchmod(fd, 0700), 0);
    CHECK_EQ(write(fd, "nonsense", 8), 8);
    close(fd);
    CHECK_EQ(rn_exec(NULL, path), -ENOEXEC);
    unlink(path);
    CHECK_EQ(rn_exec_with(NULL, &o, &r), -ENOENT); /* the folder */
    o.cwd = NULL;
    o.in = (rn_stdio)RN_STDIO_KEEP(1);
    CHECK_EQ(rn_exec_with(NULL, &o, &r), -EINVAL);
    o.in = (rn_stdio)RN_STDIO_FD(999);
    CHECK_EQ(rn_exec_with(NULL, &o, &r), -EBADF);
    o.in = (rn_stdio)RN_STDIO_PIPE;
    CHECK_EQ(rn_exec_with(NULL, &o, &r), -EINVAL);
    o.in = (rn_stdio)RN_STDIO_OUTPUT;
    CHECK_EQ(rn_exec_with(NULL, &o, &r), -EINVAL);
    o.in = (rn_stdio){.rn__kind = 99};
    CHECK_EQ(rn_exec_with(NULL, &o, &r), -EINVAL);
    o.in = (rn_stdio)RN_STDIO_NULL;
    o.out = (rn_stdio)RN_STDIO_DATA("x", 1);
    CHECK_EQ(rn_exec_with(NULL, &o, &r), -EINVAL);
    o.out = (rn_stdio)RN_STDIO_NULL;
    o.argv = (const char *const[]){NULL};
    CHECK_EQ(rn_exec_with(NULL, &o, &r), -EINVAL);
    rn_exec_free(&r);
    CHECK_EQ(open_now() + 1, before); /* that of path */
    no_children();
}

/* What PATH leads to may be no program: the search goes on, and the reason is told if nothing better comes. */
GO_TEST(exec_finds_no_program_in_the_path)
{
    char dir[] = "/tmp/runnel-path-XXXXXX", at[100], path[300];
    rn_exec_result r;
    rn_exec_options o = {.argv = (const char *const[]){"echo", "hello", NULL},
                         .out = RN_STDIO_KEEP(SIZE_MAX)};
    int fd;

    CHECK(mkdtemp(dir));
    snprintf(path, sizeof path, "%s:/usr/bin:/bin", dir);
    CHECK_EQ(setenv("PATH", path, 1), 0);
    snprintf(at, sizeof at, "%s/a-folder", dir);
    CHECK_EQ(mkdir(at, 0700), 0);
    CHECK_EQ(rn_exec(NULL, "a-folder"), -EACCES);
    rmdir(at);
    snprintf(at, sizeof at, "%s/echo", dir);
    fd = open(at, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    close(fd);
    CHECK_EQ(rn_exec_with(NULL, &o, &r), 0); /* not that one */
    CHECK_STR(r.out, "hello\n");
    rn_exec_free(&r);
    unlink(at);
    rmdir(dir);
    no_children();
}

/* ---- Streams ----------------------------------------------------------------------------------------------------- */

static char *words(size_t n)
{
    char *text = malloc(n);

    CHECK(text != NULL);
    for (size_t i = 0; i < n; i++)
        text[i] = (char)('a' + i % 26);
    return text;
}

/* A MiB in, the same out, and more than a pipe holds of errors, all at once. */
GO_TEST(exec_memory_both_ways)
{
    size_t n = 1 << 20;
    char *text = words(n);
    rn_exec_result r;
    rn_exec_options o = {.argv = SHELL("head -c 300000 /dev/zero >&2; exec cat"),
                         .in = RN_STDIO_DATA(text, n),
                         .out = RN_STDIO_KEEP(2 << 20),
                         .err = RN_STDIO_KEEP(1 << 20)};

    CHECK_EQ(rn_exec_with(NULL, &o, &r), 0);
    CHECK_EQ(r.status, 0);
    CHECK(!r.cut);
    CHECK_EQ(r.out_size, n);
    CHECK(memcmp(r.out, text, n) == 0 && r.out[n] == 0);
    CHECK_EQ(r.err_size, 300000);
    CHECK(r.max_rss > 0 && r.user >= 0 && r.system >= 0);
    rn_exec_free(&r);
    free(text);
    no_children();
}

/* Output beyond the limit is read and dropped: the child ends as if nothing were. Input that it does not want either. */
GO_TEST(exec_limits)
{
    static const size_t limits[] = {1, 5, 1023, 1024, 1025, 65536, 100000};
    char *text = words(1 << 20);

    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        rn_exec_result r;
        rn_exec_options o = {.argv = SHELL("head -c 100000 /dev/zero && echo end >&2"),
                             .in = RN_STDIO_DATA(text, 1 << 20),
                             .out = RN_STDIO_KEEP(limits[i]),
                             .err = RN_STDIO_KEEP(100)};

        CHECK_EQ(rn_exec_with(NULL, &o, &r), 0);
        CHECK_EQ(r.status, 0);
        CHECK_EQ(r.out_size, limits[i]);
        CHECK_EQ(r.cut, limits[i] < 100000);
        CHECK_STR(r.err, "end\n");
        rn_exec_free(&r);
    }
    free(text);
}

GO_TEST(exec_streams_of_every_kind)
{
    char path[] = "/tmp/runnel-exec-XXXXXX", text[100] = {0};
    int fd = mkstemp(path), extra[2];
    rn_exec_result r;
    rn_exec_options o = {
        .argv = SHELL("echo out; echo err >&2"), .out = RN_STDIO_KEEP(0), .err = RN_STDIO_OUTPUT};

    CHECK(fd >= 0);
    unlink(path);
    CHECK_EQ(rn_exec_with(NULL, &o, &r), 0);
    CHECK_STR(r.out, "out\nerr\n");
    CHECK(!r.err);
    rn_exec_free(&r);
    o.out = (rn_stdio)RN_STDIO_FD(fd);
    CHECK_EQ(rn_exec_with(NULL, &o, &r), 0);
    CHECK_EQ(pread(fd, text, sizeof text, 0), 8);
    CHECK_STR(text, "out\nerr\n");
    CHECK(!r.out);
    o = (rn_exec_options){.argv = SHELL("cat; cat <&4 >&3; cat"), .out = RN_STDIO_KEEP(0)};
    CHECK_EQ(pipe(extra), 0); /* in the child, the other way round */
    CHECK_EQ(write(extra[1], "through 4", 9), 9);
    close(extra[1]);
    o.fds = (const int[]){fd, extra[0]};
    o.fd_count = 2;
    CHECK_EQ(rn_exec_with(NULL, &o, &r), 0);
    CHECK_STR(r.out, ""); /* the default input is empty */
    CHECK_EQ(pread(fd, text, sizeof text, 8), 9);
    CHECK(memcmp(text, "through 4", 9) == 0);
    rn_exec_free(&r);
    o = (rn_exec_options){.argv = SHELL("cat"), .in = RN_STDIO_FD(fd), .out = RN_STDIO_KEEP(0)};
    CHECK_EQ(lseek(fd, 4, SEEK_SET), 4);
    CHECK_EQ(rn_exec_with(NULL, &o, &r), 0);
    CHECK_STR(r.out, "err\nthrough 4");
    rn_exec_free(&r);
    close(fd);
    close(extra[0]);
}

/* Descriptors that lie where the child's own belong. */
GO_TEST(exec_descriptors_change_places)
{
    int a[2], b[2], saved[2];
    rn_exec_options o = {.argv = SHELL("echo three >&3; echo four >&4"), .fd_count = 2};
    char text[10] = {0};

    CHECK_EQ(pipe(a), 0);
    CHECK_EQ(pipe(b), 0);
    for (int i = 0; i < 2; i++) { /* clear of what is swapped */
        a[i] = fcntl(a[i], F_DUPFD, 100);
        b[i] = fcntl(b[i], F_DUPFD, 100);
        saved[i] = fcntl(3 + i, F_DUPFD, 200);
    }
    CHECK_EQ(dup2(a[1], 4), 4);
    CHECK_EQ(dup2(b[1], 3), 3);
    o.fds = (const int[]){4, 3};
    CHECK_EQ(rn_exec_with(NULL, &o, NULL), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(dup2(saved[i], 3 + i), 3 + i);
    CHECK_EQ(read(a[0], text, sizeof text), 6);
    CHECK(memcmp(text, "three\n", 6) == 0);
    CHECK_EQ(read(b[0], text, sizeof text), 5);
    CHECK(memcmp(text, "four\n", 5) == 0);
}

GO_TEST(exec_pipes)
{
    rn_child *c;
    rn_exec_options o = {.argv = (const char *const[]){"cat", NULL},
                         .in = RN_STDIO_PIPE,
                         .out = RN_STDIO_PIPE,
                         .err = RN_STDIO_PIPE};
    rn_exec_result r;
    char text[10];

    CHECK_EQ(rn_exec_start(NULL, &o, &c), 0);
    for (int i = 0; i < test_times(500); i++) {
        CHECK_EQ(rn_write(rn_child_in(c), "ping", 4), 4);
        CHECK_EQ(rn_read_full(rn_child_out(c), text, 4), 4);
        CHECK(memcmp(text, "ping", 4) == 0);
    }
    rn_conn_cancel(rn_child_in(c));
    CHECK_EQ(rn_read(rn_child_out(c), text, 1), 0);
    CHECK_EQ(rn_read(rn_child_err(c), text, 1), 0);
    CHECK_EQ(rn_child_wait(c, &r), 0);
    CHECK_EQ(r.status, 0);
    CHECK_EQ(rn_child_wait(c, NULL), 0);
    CHECK_EQ(rn_child_signal(c, SIGTERM), -ESRCH);
    rn_child_release(c);
    no_children();
}

/* The child closes its input early: no signal, no error. */
GO_TEST(exec_refuses_input)
{
    char *text = words(1 << 20);
    rn_exec_result r;
    rn_exec_options o = {.argv = SHELL("exec <&-; echo closed"),
                         .in = RN_STDIO_DATA(text, 1 << 20),
                         .out = RN_STDIO_KEEP(0)};

    signal(SIGPIPE, SIG_DFL);
    for (int i = 0; i < test_times(20); i++) {
        CHECK_EQ(rn_exec_with(NULL, &o, &r), 0);
        CHECK_STR(r.out, "closed\n");
        CHECK_EQ(r.status, 0);
        rn_exec_free(&r);
    }
    free(text);
}

/* ---- What it inherits ------------------------------------------------------------------------------------------------ */

/* Nothing but 0, 1, 2, although ours are many and not all marked. */
GO_TEST(exec_inherits_no_descriptor)
{
    int fds[20];
    char *text;

    for (int i = 0; i < 20; i++)
        fds[i] = dup(1);
    CHECK_EQ(rn_exec_output(NULL, &text, NULL, "/bin/sh", "-c",
                            "for i in /proc/self/fd/*; do [ -e $i ] && echo ${i##*/}; done; true"),
             0);
    CHECK_STR(text, "0\n1\n2\n");
    free(text);
    if (refuse_call(SYS_close_range, ENOSYS)) { /* on an older kernel */
        CHECK_EQ(
            rn_exec_output(NULL, &text, NULL, "/bin/sh", "-c",
                           "for i in /proc/self/fd/*; do [ -e $i ] && echo ${i##*/}; done; true"),
            0);
        CHECK_STR(text, "0\n1\n2\n");
        free(text);
    }
    for (int i = 0; i < 20; i++)
        close(fds[i]);
}

/* The masks that /proc shows: nothing blocked; ignored what the process ignored before anybody watched. */
static void on_signal(int sig)
{
    (void)sig;
}
static unsigned long long mask_of(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    CHECK(at != NULL);
    return strtoull(at + strlen(name), NULL, 16);
}
GO_TEST(exec_signals_as_they_were)
{
    unsigned long long ignored;
    sigset_t set;
    rn_ctx *ctx;
    char *text;

    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGUSR1, on_signal);
    sigfillset(&set);
    rn_lock_thread();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    ctx = rn_ctx_with_signals(rn_ctx_background(), SIGHUP, SIGTERM);
    CHECK_EQ(rn_exec_output(NULL, &text, NULL, "cat", "/proc/self/status"), 0);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    rn_unlock_thread();
    CHECK_EQ(mask_of(text, "\nSigBlk:"), 0);
    CHECK_EQ(mask_of(text, "\nSigCgt:"), 0);
    ignored = mask_of(text, "\nSigIgn:");
    CHECK(ignored >> (SIGHUP - 1) & 1);
    CHECK(ignored >> (SIGUSR2 - 1) & 1);
    CHECK(!(ignored >> (SIGUSR1 - 1) & 1));
    CHECK(!(ignored >> (SIGTERM - 1) & 1));
    rn_ctx_end(ctx);
    free(text);
}

GO_TEST(exec_environment_and_folder)
{
    rn_exec_result r;
    rn_exec_options o = {
        .argv = SHELL("echo $COLOUR$HOME; pwd; ps -o pgid= -p $$ >/dev/null 2>&1; true"),
        .env = (const char *const[]){"COLOUR=green", "PATH=/usr/bin:/bin", NULL},
        .cwd = "/usr",
        .out = RN_STDIO_KEEP(0)};
    char *text;

    CHECK_EQ(rn_exec_with(NULL, &o, &r), 0);
    CHECK_STR(r.out, "green\n/usr\n");
    rn_exec_free(&r);
    setenv("COLOUR", "red", 1);
    CHECK_EQ(rn_exec_output(NULL, &text, NULL, "/bin/sh", "-c", "echo $COLOUR"), 0);
    CHECK_STR(text, "red\n");
    free(text);
    setenv("PATH", ":.:relative:/nowhere:/usr/bin:/bin", 1);
    CHECK_EQ(rn_exec(NULL, "true"), 0);
    CHECK_EQ(chdir("/bin"), 0);
    setenv("PATH", ":.", 1);
    CHECK_EQ(rn_exec(NULL, "true"), -ENOENT); /* not from the folder where we happen to be */
    unsetenv("PATH");
    CHECK_EQ(rn_exec(NULL, "true"), 0);
}

/* ---- How it ends ------------------------------------------------------------------------------------------------------- */

static void start_ready(rn_ctx *ctx, rn_exec_options *o, rn_child **c, pid_t *ret_pid)
{
    char text[20] = {0};
    ssize_t n = 0, got;

    o->out = (rn_stdio)RN_STDIO_PIPE;
    CHECK_EQ(rn_exec_start(ctx, o, c), 0);
    do { /* the number of a grandchild, once all is set up */
        got = rn_read(rn_child_out(*c), text + n, 1);
        CHECK_EQ(got, 1);
    } while (text[n++] != '\n');
    *ret_pid = (pid_t)atoi(text);
}

/* A polite child ends by the first signal; its grandchild, which is not, with it. */
GO_TEST(exec_context_ends_the_group)
{
    static const char *const text[] = {
        "trap '' TERM; sleep 1000 & echo $!; wait; sleep 1000",
        "(trap '' TERM; sleep 1000 & echo $!; wait; sleep 1000) & trap - TERM; wait"};

    for (int polite = 0; polite < 2; polite++) {
        rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
        rn_exec_options o = {.argv = SHELL(text[polite]),
                             .grace = polite ? RN_HOUR : 10 * RN_MILLISECOND};
        rn_exec_result r;
        rn_child *c;
        pid_t grandchild;

        start_ready(ctx, &o, &c, &grandchild);
        CHECK(alive(grandchild));
        rn_ctx_cancel(ctx);
        CHECK_EQ(rn_child_wait(c, &r), -ECANCELED);
        CHECK_EQ(r.signal, polite ? SIGTERM : SIGKILL);
        CHECK_EQ(r.status, 128 + r.signal);
        AWAIT(!alive(grandchild));
        CHECK_EQ(rn_child_signal_group(c, SIGKILL), -ESRCH);
        rn_child_release(c);
        rn_ctx_end(ctx);
        no_children();
    }
}

GO_TEST(exec_timeout)
{
    for (int i = 0; i < 2; i++) {
        rn_ctx *ctx = rn_ctx_with_timeout(rn_ctx_background(), 20 * RN_MILLISECOND);
        rn_exec_options o = {.argv = (const char *const[]){"sleep", "1000", NULL},
                             .end_signal = i ? SIGINT : 0};
        rn_exec_result r;

        CHECK_EQ(rn_exec_with(ctx, &o, &r), -ETIMEDOUT);
        CHECK_EQ(r.signal, i ? SIGINT : SIGTERM);
        CHECK_EQ(rn_exec_with(ctx, &o, &r), -ETIMEDOUT); /* before it began */
        CHECK_EQ(rn_exec(ctx, "true"), -ETIMEDOUT);
        rn_ctx_end(ctx);
    }
    no_children();
}

/* A child that writes all the time, and so keeps its pipe full: its context ends it, and so does a time; and a grandchild
 * that goes on writing holds nobody up longer than `drain`. faults-refused has a pipe that is never empty. */
GO_TEST(exec_ends_who_writes_all_the_time)
{
    rn_exec_options o = {
        .argv = SHELL("exec yes"), .out = RN_STDIO_KEEP(1000), .drain = RN_MILLISECOND};
    rn_dur d = RN_MILLISECOND;
    rn_exec_result r;
    rn_child *c;
    rn_ctx *ctx;

    for (int timed = 0; timed < 2; timed++) {
        int err;

        do { /* a time may be over before the child has begun */
            d *= 2;
            ctx = timed ? rn_ctx_with_timeout(rn_ctx_background(), d)
                        : rn_ctx_with_cancel(rn_ctx_background());
            err = rn_exec_start(ctx, &o, &c);
            if (err)
                rn_ctx_end(ctx);
        } while (timed && err == -ETIMEDOUT);
        CHECK_EQ(err, 0);
        if (!timed)
            rn_ctx_cancel(ctx);
        CHECK_EQ(rn_child_wait(c, &r), timed ? -ETIMEDOUT : -ECANCELED);
        CHECK_EQ(r.signal, SIGTERM);
        rn_child_release(c);
        rn_ctx_end(ctx);
    }
    o.argv = SHELL("yes &");
    CHECK_EQ(rn_exec_with(NULL, &o, &r), 0);
    CHECK(r.cut);
    rn_exec_free(&r); /* that one has no reader any more, and ends by itself */
    no_children();
}

/* What the child has written is all there, however short `drain` is. */
GO_TEST(exec_drain_cuts_nothing_of_the_childs)
{
    for (int i = 0; i < test_times(20); i++) {
        rn_exec_result r;
        rn_exec_options o = {.argv = SHELL("sleep 1000 & head -c 60000 /dev/zero; echo $! >&2"),
                             .out = RN_STDIO_KEEP(1 << 20),
                             .err = RN_STDIO_KEEP(0),
                             .drain = 1};

        CHECK_EQ(rn_exec_with(NULL, &o, &r), 0);
        CHECK_EQ(r.out_size, 60000);
        CHECK(r.cut); /* others had it open */
        CHECK(atoi(r.err) > 0);
        kill(atoi(r.err), SIGKILL);
        rn_exec_free(&r);
    }
    no_children();
}

/* A child that handles the signal and exits in good order has that status; the context's error all the same. */
GO_TEST(exec_ends_in_good_order)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_exec_options o = {.argv = SHELL("trap 'exit 7' TERM; echo 0; while :; do sleep 0.01; done"),
                         .grace = RN_HOUR};
    rn_exec_result r;
    rn_child *c;
    pid_t none;

    start_ready(ctx, &o, &c, &none);
    rn_ctx_cancel(ctx);
    CHECK_EQ(rn_child_wait(c, &r), -ECANCELED);
    CHECK_EQ(r.status, 7);
    CHECK_EQ(r.signal, 0);
    rn_child_release(c);
    rn_ctx_end(ctx);
}

/* A wait that its own context ends leaves the child alone. */
GO_TEST(exec_wait_has_its_own_context)
{
    rn_ctx *ctx = rn_ctx_with_timeout(rn_ctx_background(), RN_MILLISECOND);
    rn_exec_options o = {.argv = SHELL("read line; exit 5"), .in = RN_STDIO_PIPE};
    rn_exec_result r;
    rn_child *c;

    CHECK_EQ(rn_exec_start(NULL, &o, &c), 0);
    CHECK_EQ(rn_child_wait_ctx(ctx, c, &r), -ETIMEDOUT);
    CHECK(alive(rn_child_pid(c)));
    CHECK_EQ(rn_write(rn_child_in(c), "\n", 1), 1);
    CHECK_EQ(rn_child_wait(c, &r), 0);
    CHECK_EQ(r.status, 5);
    rn_child_release(c);
    rn_ctx_end(ctx);
}

/* A grandchild keeps the output open: the wait ends all the same, and it lives on. */
GO_TEST(exec_grandchild_keeps_the_pipe)
{
    rn_exec_result r;
    rn_exec_options o = {.argv = SHELL("sleep 1000 & echo $!"),
                         .out = RN_STDIO_KEEP(0),
                         .drain = 20 * RN_MILLISECOND};
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_child *c;
    pid_t pid;

    CHECK_EQ(rn_exec_with(NULL, &o, &r), 0);
    CHECK(r.cut);
    CHECK_EQ(r.status, 0);
    pid = (pid_t)atoi(r.out);
    CHECK(pid > 0 && alive(pid));
    kill(pid, SIGKILL);
    rn_exec_free(&r);

    o.drain = -1; /* for ever, but that the context ends: with the group, of which it is */
    CHECK_EQ(rn_exec_start(ctx, &o, &c), 0);
    {
        siginfo_t info;

        CHECK_EQ(waitid(P_PID, (id_t)rn_child_pid(c), &info, WEXITED | WNOWAIT), 0);
    }
    test_let_run();
    rn_ctx_cancel(ctx);
    CHECK_EQ(rn_child_wait(c, &r), -ECANCELED);
    pid = (pid_t)atoi(r.out);
    CHECK(pid > 0);
    AWAIT(!alive(pid));
    rn_child_release(c);
    rn_ctx_end(ctx);
    no_children();
}

/* Whoever lets go of a child that runs kills it. */
GO_TEST(exec_release_kills)
{
    rn_exec_options o = {.argv = SHELL("trap '' TERM; sleep 1000 & echo $!; wait; sleep 1000"),
                         .grace = RN_HOUR};
    rn_child *c;
    pid_t pid, grandchild;

    start_ready(NULL, &o, &c, &grandchild);
    pid = rn_child_pid(c);
    CHECK_EQ(rn_child_retain(c) == c, 1);
    rn_child_release(c);
    CHECK(alive(pid));
    rn_child_release(c);
    AWAIT(kill(pid, 0) < 0 && errno == ESRCH); /* reaped too */
    AWAIT(!alive(grandchild));
    AWAIT(rn_count() == 1);
    no_children();
}

GO_TEST(exec_signals_to_the_child)
{
    rn_exec_options o = {.argv = SHELL("trap 'exit 9' USR1; sleep 1000 & echo $!; wait")};
    rn_exec_result r;
    rn_child *c;
    pid_t grandchild;

    start_ready(NULL, &o, &c, &grandchild);
    CHECK_EQ(getpgid(rn_child_pid(c)), rn_child_pid(c));
    CHECK_EQ(getpgid(grandchild), rn_child_pid(c));
    CHECK_EQ(rn_child_signal(c, 1000), -EINVAL);
    CHECK_EQ(rn_child_signal(c, SIGUSR1), 0);
    CHECK_EQ(rn_child_wait(c, &r), 0);
    CHECK_EQ(r.status, 9);
    CHECK(alive(grandchild));
    kill(grandchild, SIGKILL);
    rn_child_release(c);
    o.argv = SHELL("sleep 1000 & echo $!; wait");
    start_ready(NULL, &o, &c, &grandchild);
    CHECK_EQ(rn_child_signal_group(c, SIGALRM), 0);
    CHECK_EQ(rn_child_wait(c, &r), 0);
    CHECK_EQ(r.signal, SIGALRM);
    AWAIT(!alive(grandchild));
    rn_child_release(c);
    o.argv = SHELL("echo 0; exec sleep 1000");
    o.same_group = true;
    start_ready(NULL, &o, &c, &grandchild);
    CHECK_EQ(getpgid(rn_child_pid(c)), getpgrp());
    CHECK_EQ(rn_child_signal_group(c, SIGKILL), 0); /* not us */
    CHECK_EQ(rn_child_wait(c, &r), 0);
    rn_child_release(c);
}

/* Somebody else reaps our child. */
GO_TEST(exec_status_taken_away)
{
    rn_exec_options o = {.argv = SHELL("read line"), .in = RN_STDIO_PIPE};
    rn_child *c;

    CHECK_EQ(rn_exec_start(NULL, &o, &c), 0);
    signal(SIGCHLD, SIG_IGN);
    rn_conn_cancel(rn_child_in(c));
    CHECK_EQ(rn_child_wait(c, NULL), -ECHILD);
    rn_child_release(c);
    CHECK_EQ(rn_exec(NULL, "true"), -ECHILD);
    signal(SIGCHLD, SIG_DFL);
    CHECK_EQ(rn_exec(NULL, "true"), 0);
}

/* Where the kernel has no pidfd, or a sandbox refuses it. */
GO_TEST(exec_without_pidfd)
{
    rn_ctx *ctx = rn_ctx_with_timeout(rn_ctx_background(), 20 * RN_MILLISECOND);

    if (!refuse_call(434, EPERM)) /* pidfd_open */
        test_skip("no seccomp here");
    CHECK_EQ(rn_exec(NULL, "/bin/sh", "-c", "exit 42"), 42);
    CHECK_EQ(rn_exec(ctx, "sleep", "1000"), -ETIMEDOUT);
    rn_ctx_end(ctx);
    no_children();
}

/* ---- Many --------------------------------------------------------------------------------------------------------------- */

static void run_many(int n)
{
    for (int i = 0; i < n; i++) {
        char *text, number[20];

        snprintf(number, sizeof number, "%d", i);
        CHECK_EQ(rn_exec_output(NULL, &text, NULL, "echo", number), 0);
        CHECK_EQ(atoi(text), i);
        free(text);
    }
}
static void *sit(void *arg)
{
    sigset_t set;
    int sig;

    (void)arg;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigwait(&set, &sig);
    return NULL;
}
GO_TEST(exec_many_among_many_threads)
{
    enum { THREADS = 200 };
    pthread_t t[THREADS];
    sigset_t set;
    rn_wg wg = {0};
    int before;

    rn_lock_thread();
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, sit, NULL), 0);
    rn_unlock_thread();
    before = open_at_rest();
    for (int i = 0; i < 20; i++)
        rn_wg_go(&wg, run_many, test_times(20));
    rn_wg_wait(&wg);
    CHECK_EQ(open_now(), before);
    for (int i = 0; i < THREADS; i++)
        pthread_kill(t[i], SIGUSR1);
    for (int i = 0; i < THREADS; i++)
        (void)rn_blocking(pthread_join(t[i], NULL));
    no_children();
}

/* Every point at which descriptors may run out. */
GO_TEST(exec_without_descriptors)
{
    rn_exec_options o = {.argv = (const char *const[]){"cat", NULL},
                         .in = RN_STDIO_DATA("text", 4),
                         .out = RN_STDIO_KEEP(0),
                         .err = RN_STDIO_PIPE};
    struct rlimit old, few;
    int before, failed = 0;
    rn_exec_result r;

    before = open_at_rest();
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    for (int more = 0; more < 20; more++) {
        rn_child *c;
        int err;

        few = old;
        few.rlim_cur = (rlim_t)(before + more);
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
        err = rn_exec_start(NULL, &o, &c);
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
        if (err) {
            CHECK_EQ(err, -EMFILE);
            failed++;
            CHECK_EQ(open_now(), before);
            no_children();
            continue;
        }
        CHECK_EQ(rn_child_wait(c, &r), 0);
        CHECK_STR(r.out, "text");
        rn_child_release(c);
    }
    CHECK(failed > 5 && failed < 20);
}

/* ---- Threads, and the end of a runtime ----------------------------------------------------------------------------- */

PLAIN_TEST(exec_from_a_plain_thread)
{
    char *text;

    CHECK_EQ(rn_exec_output(NULL, &text, NULL, "echo", "plain"), 0);
    CHECK_STR(text, "plain\n");
    free(text);
    no_children();
}

static pid_t left_pid[3];
static rn_child *left_child;
static void wait_for_ever(rn_child *c)
{
    (void)rn_child_wait(c, NULL);
}
static int leave_children(void)
{
    rn_exec_options o = {.argv = SHELL("trap '' TERM; sleep 1000 & echo $!; wait; sleep 1000")};

    start_ready(NULL, &o, &left_child, &left_pid[1]);
    left_pid[0] = rn_child_pid(left_child);
    rn_go(wait_for_ever, left_child);
    test_let_run();
    return 0;
}
static int start_and_leave(void)
{
    rn_exec_options o = {.argv = (const char *const[]){"sleep", "1000", NULL}};

    CHECK_EQ(rn_exec_start(NULL, &o, &left_child), 0); /* its minder has not begun, perhaps */
    left_pid[0] = rn_child_pid(left_child);
    return 0;
}
PLAIN_TEST(exec_end_of_the_runtime)
{
    rn_exec_result r;

    CHECK_EQ(rn_run(leave_children), 0);
    CHECK(kill(left_pid[0], 0) < 0 && errno == ESRCH); /* killed and reaped by now */
    CHECK_EQ(rn_child_wait(left_child, &r), -ECANCELED);
    CHECK_EQ(r.signal, SIGKILL);
    for (int i = 0; i < 10000 && alive(left_pid[1]); i++)
        usleep(1000);
    CHECK(!alive(left_pid[1]));
    rn_child_release(left_child);
    no_children();
    for (int i = 0; i < test_times(100); i++) {
        if (i % 2)
            CHECK_EQ(rn_set_procs(1), 0);
        CHECK_EQ(rn_run(start_and_leave), 0);
        CHECK(kill(left_pid[0], 0) < 0 && errno == ESRCH);
        rn_child_release(left_child);
        no_children();
    }
}

/* A fork of the program's own in the midst: the child knows of no children. */
static int fork_in_between(void)
{
    rn_exec_options o = {.argv = SHELL("read line; exit 6"), .in = RN_STDIO_PIPE};
    rn_exec_result r;
    int status;
    pid_t pid;

    CHECK_EQ(rn_exec_start(NULL, &o, &left_child), 0);
    pid = fork();
    if (pid == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    CHECK(pid > 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    rn_conn_cancel(rn_child_in(left_child));
    CHECK_EQ(rn_child_wait(left_child, &r), 0);
    CHECK_EQ(r.status, 6);
    rn_child_release(left_child);
    return 0;
}
PLAIN_TEST(exec_fork_in_between)
{
    int status;
    pid_t pid;

    CHECK_EQ(rn_run(fork_in_between), 0);
    CHECK_EQ(rn_exec(NULL, "true"), 0);
    if (UNDER_TSAN) /* which starts no thread in a child of this kind */
        return;
    pid = fork();
    if (pid == 0)
        _exit(rn_exec(NULL, "/bin/sh", "-c", "exit 3"));
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    CHECK_EQ(rn_exec(NULL, "true"), 0);
}
