/* SPDX-License-Identifier: MIT */
/*
 * programs_os.c - programs over <runnel/os.h> and <runnel/net.h>, see programs.h. Each call may fail: then with an error
 * that it may have, after which the program gives back what it has and ends; what did not fail is right.
 */
#define _GNU_SOURCE
#include "programs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <runnel.h>
#include <runnel/net.h>
#include <runnel/os.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The number of the line is the program's result: short, and it says where. */
#define RIGHT(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            return __LINE__ % 200 + 3;                                                             \
    } while (0)

/* Is this an error that a refusal explains? */
static bool told(long err)
{
    static const int all[] = {ENOMEM,       EMFILE, ENETUNREACH, EADDRINUSE, ENOBUFS, ECONNRESET,
                              ENOTCONN,     EIO,    EPERM,       ESPIPE,     EACCES,  EBUSY,
                              ECONNREFUSED, EPIPE,  EAGAIN,      ECHILD,     ENOSPC};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (err == -all[i])
            return true;
    return false;
}

enum { SIZE = 10000 };
static unsigned char pattern[SIZE];

static void make_pattern(void)
{
    for (int i = 0; i < SIZE; i++)
        pattern[i] = (unsigned char)(i * 7 + i / 256);
}

/* ---- Files ---------------------------------------------------------------------------------------------- */

static int use_file(rn_file *f, int *ret_err)
{
    static unsigned char got[SIZE];
    struct iovec iov[2] = {{got, 100}, {got + 100, SIZE - 100}};
    struct stat st;
    int64_t n;
    int err;

    n = rn_file_pwrite(f, pattern, SIZE, 0);
    *ret_err = (int)n;
    if (n < 0)
        return 0;
    RIGHT(n == SIZE);
    n = rn_file_preadv_ctx(NULL, f, iov, 2, 0);
    *ret_err = (int)n;
    if (n < 0)
        return 0;
    RIGHT(n == SIZE && memcmp(got, pattern, SIZE) == 0);
    n = rn_file_seek(f, -10, SEEK_END);
    *ret_err = (int)n;
    if (n < 0)
        return 0;
    RIGHT(n == SIZE - 10);
    n = rn_file_read(f, got, SIZE);
    *ret_err = (int)n;
    if (n < 0)
        return 0;
    RIGHT(n == 10 && memcmp(got, pattern + SIZE - 10, 10) == 0);
    err = rn_file_truncate(f, 5);
    *ret_err = err;
    if (err)
        return 0;
    err = rn_file_sync(f);
    *ret_err = err;
    if (err)
        return 0;
    err = rn_file_stat(f, &st);
    *ret_err = err;
    RIGHT(err || st.st_size == 5);
    return 0;
}

static void load(const char *path, rn_chan(int) done)
{
    char *text = NULL;
    size_t size = 0;
    int err = rn_file_load(NULL, path, 0, &text, &size);

    if (!err && (size != SIZE || memcmp(text, pattern, SIZE) != 0 || text[SIZE] != 0))
        err = 1;
    if (err >= 0)
        free(text);
    rn_send(done, err);
}

/* By stdio, which nothing is refused to. */
static bool is_old(const char *path)
{
    char text[8] = {0};
    FILE *f = fopen(path, "r");
    bool is = f && fread(text, 1, sizeof text, f) == 3 && strcmp(text, "old") == 0;

    if (f)
        fclose(f);
    return is;
}

static int files_main(const char *dir)
{
    rn_chan(int) done = NULL;
    char path[200], other[200];
    rn_file *f = NULL;
    int err, entries = 0;
    struct dirent *e;
    DIR *d;

    snprintf(path, sizeof path, "%s/file", dir);
    snprintf(other, sizeof other, "%s/other", dir);
    err = rn_file_open(path, O_CREAT | O_RDWR, 0600, &f);
    RIGHT(err == 0 || told(err));
    if (!err) {
        int wrong = use_file(f, &err);

        rn_file_close(f);
        if (wrong)
            return wrong;
        RIGHT(err >= 0 || told(err));
    }
    err = rn_file_replace(NULL, other, pattern, SIZE, 0600);
    RIGHT(err == 0 || told(err));
    RIGHT(is_old(other) ? err != 0 : err == 0 || err == -EIO);
    if (!err && rn_chan_make_err(&done, 2) == 0) {
        int loads = 0;

        for (int i = 0; i < 2; i++)
            loads += rn_go_err(load, (const char *)other, done) == 0;
        while (loads-- > 0) {
            err = rn_recv(done);
            RIGHT(err == 0 || told(err));
        }
        rn_chan_release(done);
    }
    /* Whole, or as before, and nothing beside it. */
    d = opendir(dir);
    RIGHT(d);
    while ((e = readdir(d)) != NULL)
        entries += e->d_name[0] != '.' || e->d_name[1] > '.';
    closedir(d);
    RIGHT(entries == 1 + (access(path, F_OK) == 0) && access(other, F_OK) == 0);
    return 0;
}

static int files(void)
{
    char dir[] = "/tmp/runnel-faults-XXXXXX", path[200];
    int result;

    make_pattern();
    RIGHT(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/other", dir);
    {
        FILE *old = fopen(path, "w");

        RIGHT(old && fputs("old", old) >= 0 && fclose(old) == 0);
    }
    result = rn_run(files_main, (const char *)dir);
    snprintf(path, sizeof path, "%s/file", dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/other", dir);
    unlink(path);
    rmdir(dir);
    return result;
}

/* ---- Pipes and connections --------------------------------------------------------------------------------- */

/* Writes it ten times and closes. */
static void pour(rn_conn *c, rn_chan(int) done)
{
    int err = 0;

    for (int i = 0; i < 10 && err >= 0; i++)
        err = (int)rn_write(c, pattern, SIZE);
    rn_conn_close(c);
    rn_send(done, err < 0 ? err : 0);
}

/* Reads to the end: all is as it was written. The number of bytes, an error, or 1 for what is wrong. */
static int drink(rn_conn *c)
{
    unsigned char got[4000];
    int all = 0;
    ssize_t n;

    while ((n = rn_read(c, got, sizeof got)) > 0)
        for (ssize_t i = 0; i < n; i++, all++)
            if (got[i] != pattern[all % SIZE])
                return 1;
    return n < 0 ? (int)n : all;
}

/* Through the two ends, which are closed. */
static int through(rn_conn *from, rn_conn *to, rn_chan(int) done)
{
    int all, err, started = rn_go_err(pour, to, done);

    if (started != 0) {
        RIGHT(told(started));
        rn_conn_close(to);
        rn_conn_close(from);
        return 0;
    }
    all = drink(from);
    rn_conn_close(from); /* who still writes is told */
    err = rn_recv(done);
    RIGHT(err == 0 || told(err));
    RIGHT(all == 10 * SIZE || told(all) || (err != 0 && all != 1));
    return 0;
}

static int pipes_main(void)
{
    rn_chan(int) done = NULL;
    rn_conn *from = NULL, *to = NULL, *shared = NULL;
    int err, result = 0, fds[2];

    if (rn_chan_make_err(&done, 1) != 0)
        return 0;
    err = rn_pipe(&from, &to);
    RIGHT(err == 0 || told(err));
    if (!err)
        result = through(from, to, done);
    RIGHT(pipe(fds) == 0);
    err = rn_conn_share(fds[0], &shared);
    RIGHT(err == 0 || told(err));
    if (!err) {
        char byte = 0;
        ssize_t n;

        RIGHT(write(fds[1], "x", 1) == 1);
        n = rn_read(shared, &byte, 1);
        RIGHT(told(n) || (n == 1 && byte == 'x'));
        rn_conn_close(shared);
    }
    RIGHT(close(fds[0]) == 0 && close(fds[1]) == 0);
    rn_chan_release(done);
    return result;
}

static int pipes(void)
{
    make_pattern();
    return rn_run(pipes_main);
}

static void dial(const char *at, rn_chan(int) done)
{
    rn_conn *c = NULL;
    int err = rn_dial("tcp4", at, &c);

    if (err)
        rn_send(done, err);
    else
        pour(c, done);
}

static int connections_main(void)
{
    rn_chan(int) done = NULL;
    rn_listener *l = NULL;
    rn_conn *c = NULL;
    rn_addr a;
    char at[40], text[RN_ADDR_TEXT];
    int err, all, poured;

    if (rn_chan_make_err(&done, 1) != 0)
        return 0;
    err = rn_listen("tcp4", "127.0.0.1:0", &l);
    RIGHT(err == 0 || told(err));
    if (err)
        goto released;
    err = rn_listener_addr(l, &a);
    RIGHT(err == 0 || told(err));
    if (err)
        goto closed;
    snprintf(at, sizeof at, "127.0.0.1:%d", rn_addr_port(&a));
    err = rn_listener_set_deadline(l, rn_now() +
                                          3 * RN_SECOND); /* whoever is to come may be refused */
    RIGHT(err == 0 || told(err));
    if (err)
        goto closed;
    err = rn_go_err(dial, (const char *)at, done);
    RIGHT(err == 0 || told(err));
    if (err)
        goto closed;
    rn_listener_set_deadline(l, rn_now() +
                                    3 * RN_SECOND); /* whoever was to come may have been refused */
    err = rn_accept(l, &c);
    RIGHT(err == 0 || err == -ETIMEDOUT || told(err));
    all = -ENOTCONN;
    if (!err) {
        err = rn_remote_addr(c, &a);
        RIGHT(err == 0 ? rn_addr_text(&a, text, sizeof text) > 0 : told(err));
        err = rn_set_read_deadline(c, rn_now() + 10 * RN_SECOND);
        RIGHT(err == 0 || told(err));
        all = drink(c);
        rn_conn_close(c);
    }
    rn_listener_close(l);
    l = NULL;
    poured = rn_recv(done);
    RIGHT(poured == 0 || told(poured));
    RIGHT(all == 10 * SIZE || told(all) || (poured != 0 && all != 1));
closed:
    rn_listener_close(l);
released:
    rn_chan_release(done);
    return 0;
}

static int connections(void)
{
    make_pattern();
    return rn_run(connections_main);
}

static int packets_main(void)
{
    rn_conn *a = NULL, *b = NULL;
    rn_addr at, from;
    char got[10];
    ssize_t n;
    int err;

    err = rn_bind("udp4", "127.0.0.1:0", &a);
    RIGHT(err == 0 || told(err));
    if (err)
        return 0;
    err = rn_bind("udp4", "127.0.0.1:0", &b);
    RIGHT(err == 0 || told(err));
    if (!err) {
        err = rn_local_addr(a, &at);
        RIGHT(err == 0 || told(err));
        if (!err) {
            n = rn_send_to(b, "hello", 5, &at);
            RIGHT(n == 5 || told(n));
            if (n == 5) {
                n = rn_recv_from(a, got, sizeof got, &from);
                RIGHT(told(n) || (n == 5 && memcmp(got, "hello", 5) == 0));
            }
        }
        rn_conn_close(b);
    }
    rn_conn_close(a);
    return 0;
}

static int packets(void)
{
    return rn_run(packets_main);
}

/* ---- Processes ------------------------------------------------------------------------------------------------ */

static int output_main(void)
{
    char *text = NULL;
    size_t size = 0;
    int status = rn_exec(NULL, "false");

    RIGHT(status == 1 || told(status));
    status = rn_exec_output(NULL, &text, &size, "echo", "hello");
    RIGHT(told(status) || (status == 0 && size == 6 && strcmp(text, "hello\n") == 0));
    if (status >= 0)
        free(text);
    return 0;
}

static int output(void)
{
    return rn_run(output_main);
}

static int streams_main(void)
{
    static const char *const cat[] = {"cat", NULL};
    rn_exec_options o = {.argv = cat,
                         .in = RN_STDIO_DATA(pattern, SIZE),
                         .out = RN_STDIO_KEEP(2 * SIZE),
                         .err = RN_STDIO_OUTPUT};
    rn_exec_result r = {0};
    rn_child *child = NULL;
    int err = rn_exec_with(NULL, &o, &r);

    RIGHT(told(err) || (err == 0 && r.status == 0));
    RIGHT(err || (r.out_size == SIZE && memcmp(r.out, pattern, SIZE) == 0));
    rn_exec_free(&r);
    o = (rn_exec_options){.argv = cat, .in = RN_STDIO_PIPE, .out = RN_STDIO_PIPE};
    err = rn_exec_start(NULL, &o, &child);
    RIGHT(err == 0 || told(err));
    if (!err) {
        char got[6];
        ssize_t n = rn_write(rn_child_in(child), "hello", 5);

        RIGHT(n == 5 || told(n));
        rn_conn_cancel(rn_child_in(child));
        if (n == 5) {
            n = rn_read_full(rn_child_out(child), got, 5);
            RIGHT(told(n) || (n == 5 && memcmp(got, "hello", 5) == 0));
        }
        err = rn_child_wait(child, &r);
        RIGHT(told(err) || (err == 0 && r.status == 0));
        rn_child_release(child);
    }
    return 0;
}

static int streams(void)
{
    make_pattern();
    return rn_run(streams_main);
}

static int killed_main(void)
{
    rn_ctx *ctx = NULL;
    int status = rn__ctx_with_timeout_err(rn_ctx_background(), 5 * RN_MILLISECOND, &ctx);

    RIGHT(status == 0 || told(status));
    if (status)
        return 0;
    status = rn_exec(ctx, "sleep", "1000");
    RIGHT(status == -ETIMEDOUT || told(status));
    rn_ctx_end(ctx);
    return 0;
}

static int killed(void)
{
    return rn_run(killed_main);
}

static int signals_main(void)
{
    rn_chan(int) ch = NULL;
    int err;

    if (rn_chan_make_err(&ch, 1) != 0)
        return 0;
    err = rn_signal_notify(ch, SIGUSR1);
    RIGHT(err == 0 || told(err));
    if (!err) {
        RIGHT(raise(SIGUSR1) == 0);
        RIGHT(rn_recv(ch) == SIGUSR1);
        rn_signal_stop(ch);
    }
    rn_chan_release(ch);
    return 0;
}

static int signals(void)
{
    return rn_run(signals_main);
}

const struct program programs[] = {{"files", files, true, PANICS_GOROUTINE},
                                   {"pipes", pipes, true, PANICS_GOROUTINE},
                                   {"connections", connections, true, PANICS_GOROUTINE},
                                   {"packets", packets, true, PANICS_GOROUTINE},
                                   {"output", output, true, PANICS_GOROUTINE},
                                   {"streams", streams, true, PANICS_GOROUTINE},
                                   {"killed", killed, true, PANICS_GOROUTINE},
                                   {"signals", signals, true, PANICS_GOROUTINE},
                                   {NULL, NULL, false, 0}};
