/* SPDX-License-Identifier: MIT */
/*
 * leftovers.c - a little of everything, and a clean end: for leak checkers. LeakSanitizer and valgrind with
 * all leak kinds must find nothing, neither after rn_run nor where the runtime started by itself.
 */
#define _GNU_SOURCE
#include <runnel.h>

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char key;

static void drop(void *value)
{
    free(value);
}
static void count(_Atomic int *n)
{
    ++*n;
}
static int fail(int code)
{
    return rn_errorf(code, "failed with %d", code);
}
static void send_big(rn_chan(int) ch, const char *text, double factor)
{
    rn_errorf(-EIO, "each goroutine's messages go with it");
    rn_send(ch, (int)((double)strlen(text) * factor));
}
static void forget_me(rn_chan(int) ch, rn_ctx *ctx)
{
    int v;

    rn_errorf(-EIO, "also of those that are left");
    (void)rn_select(rn_on_recv(ch, &v), rn_on_done(ctx), rn_on_timeout(RN_HOUR));
}
struct big {
    char text[2000];
};
static void copied(struct big *b)
{
    rn_set_name(b->text);
    rn_yield();
}
static void copied_and_left(struct big *b)
{
    (void)b;
    rn_sleep(RN_HOUR);
}
static int flight_work(int *out)
{
    *out = 7;
    rn_yield();
    return 0;
}

static void echo(rn_conn *c)
{
    char buf[100];
    ssize_t n;

    while ((n = rn_read(c, buf, sizeof buf)) > 0)
        rn_write(c, buf, (size_t)n);
    rn_conn_close(c);
}
static void serve(rn_listener *l)
{
    rn_conn *c;

    while (rn_accept(l, &c) == 0)
        rn_go(echo, c);
}
static void network(void)
{
    rn_listener *l = NULL;
    rn_conn *c = NULL;
    char at[RN_ADDR_TEXT], b[4];
    rn_addr a;
    int fds[2];

    assert(rn_listen("tcp", "127.0.0.1:0", &l) == 0);
    rn_go(serve, l);
    assert(rn_listener_addr(l, &a) == 0 && rn_addr_text(&a, at, sizeof at) > 0);
    for (int i = 0; i < 10; i++) {
        assert(rn_dial("tcp", at, &c) == 0);
        assert(rn_set_deadline(c, rn_now() + RN_HOUR) == 0);
        assert(rn_write(c, "abcd", 4) == 4 && rn_read_full(c, b, 4) == 4);
        rn_conn_close(c);
    }
    assert(rn_dial("tcp", "localhost:1", &c) < 0);
    rn_listener_close(l);
    assert(pipe(fds) == 0 && write(fds[1], b, 1) == 1);
    assert(rn_wait_fd(fds[0], RN_READ, NULL) == RN_READ);
    rn_forget_fd(fds[0]);
    close(fds[0]);
    close(fds[1]);
}

static int everything(void)
{
    rn_chan(int) ch = rn_chan_make(int, 3);
    rn_ctx *owner =
        rn_ctx_with_owned_value(rn_ctx_background(), &key, strdup("the context's own"), drop);
    rn_ctx *ctx = rn_ctx_with_timeout(owner, RN_HOUR);
    rn_ctx *sig = rn_ctx_with_signals(ctx, 10, 12);
    _Atomic int n = 0;
    rn_ctx_hook hook = {0}, taken = {0};
    rn_group g = {0};
    rn_wg wg = {0};
    rn_flight flight = {0};
    rn_once once = {0};
    rn_timer *after = rn_after_func(RN_HOUR, count, &n), own = {0};
    struct big big = {"copied"};
    int v = 0;

    for (int i = 0; i < 20; i++)
        rn_go(send_big, ch, "text", 2.5);
    for (int i = 0; i < 20; i++)
        assert(rn_recv(ch) == 10);
    rn_go_copy(copied, &big);
    rn_go_with(RN_ATTR(.stack_size = 1 << 20, .name = "large"), count, &n);
    rn_go_after(0, count, &n);
    rn_ctx_after_func(&hook, ctx, count, &n);
    rn_ctx_after_func(&taken, ctx, count, &n);
    assert(rn_ctx_hook_stop(&taken));
    rn_timer_reset(&own, 1000);
    (void)rn_recv(rn_timer_chan(&own));
    rn_wg_go(&wg, count, &n);
    rn_wg_wait(&wg);
    rn_once_do(&once, count, &n);
    assert(rn_flight_do(&flight, "key", &v, flight_work, &v) == 0 && v == 7);
    (void)rn_group_with_ctx(&g, ctx);
    rn_group_go(&g, fail, -EPERM);
    assert(rn_group_wait(&g) == -EPERM);
    (void)rn_blocking(usleep(100));
    network();
    rn_ctx_cancel_cause(ctx, rn_errorf(-EIO, "the cause"));
    assert(!rn_ctx_hook_stop(&hook));
    rn_timer_free(after);
    rn_timer_free(&own);
    rn_ctx_end(sig);
    while (rn_settle(RN_MINUTE) > 0)
        ;
    rn_ctx_end(owner);
    rn_ctx_end(ctx);
    rn_chan_release(ch);
    return v;
}

static void *from_thread(void *arg)
{
    (void)arg;
    assert(everything() == 7);
    return NULL;
}

static rn_listener *left_listener;
static rn_conn *left_conn;
static void read_left(rn_ctx *ctx, rn_conn *c)
{
    char b;

    (void)!rn_read_ctx(ctx, c, &b, 1);
}

static rn_chan(int) left_chan;
static rn_ctx *left_ctx;
static int leave_some(void)
{
    struct big big = {"left"};

    left_chan = rn_chan_make(int, 0);
    left_ctx = rn_ctx_with_cancel(rn_ctx_background());
    assert(rn_listen("unix", "@runnel-leftovers", &left_listener) == 0);
    assert(rn_dial("unix", "@runnel-leftovers", &left_conn) == 0);
    assert(rn_set_deadline(left_conn, rn_now() + RN_HOUR) == 0);
    for (int i = 0; i < 10; i++) {
        rn_go(read_left, left_ctx, left_conn);
        rn_go(forget_me, left_chan, left_ctx);
        rn_go_copy(copied_and_left, &big);
        rn_go_after(RN_HOUR, drop, (void *)0);
    }
    rn_sleep(RN_MILLISECOND);
    for (int i = 0; i < 10; i++) { /* these perhaps never start */
        rn_go(forget_me, left_chan, left_ctx);
        rn_go_copy(copied_and_left, &big);
    }
    return 0;
}

int main(void)
{
    pthread_t t;

    for (int i = 0; i < 5; i++)
        assert(rn_run(everything) == 7);
    assert(rn_run(leave_some) == 0);
    rn_chan_release(left_chan);
    rn_ctx_end(left_ctx);
    rn_conn_close(left_conn);
    rn_listener_close(left_listener);
    assert(everything() == 7); /* the runtime starts by itself */
    pthread_create(&t, NULL, from_thread, NULL);
    pthread_join(t, NULL);
    assert(rn_run(everything) == 7);
    from_thread(NULL); /* and is still there at the end */
    return 0;
}
