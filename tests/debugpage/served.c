/* SPDX-License-Identifier: MIT */
/*
 * served.c - a program that shows its pages, of whose goroutines debugpage.py knows what they do. It goes on until its standard
 * input ends, and returns what rn_debug_serve or rn_httpd_serve did.
 *
 * usage: debugpage-served own ADDRESS | mounted ADDRESS
 */
#include <runnel.h>
#include <runnel/debugpage.h>

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static rn_chan(int) gate; /* not released: goroutines wait there to the end */
static rn_chan(int) a;
static rn_chan(int) b;
static atomic_int sum;

static void reader(void)
{
    atomic_fetch_add(&sum, rn_recv(gate)); /* debugpage.py: readers wait */
}

static void sleeper(void)
{
    rn_sleep(3600 * RN_SECOND);
    atomic_fetch_add(&sum, 1);
}

/* Something for the recorder. */
static void player(rn_recv_only(int) in, rn_send_only(int) out)
{
    int n;

    while (rn_recv_ok(in, &n)) {
        rn_sleep(RN_MILLISECOND);
        rn_send(out, n + 1);
    }
}

static void front(rn_httpd_request *rq, rn_httpd_response *rs)
{
    rn_httpd_printf(rs, "front %s, recording %d\n", rn_httpd_path(rq), rn_trace_on());
}

static int serve(rn_ctx *ctx, const char *mode, const char *address)
{
    char text[RN_ADDR_TEXT];
    rn_listener *l;
    rn_httpd *h;
    rn_addr at;
    int err;

    if (strcmp(mode, "own") == 0)
        return rn_debug_serve(ctx, address);
    err = rn_listen("tcp", address, &l);
    if (err < 0)
        return err;
    if (rn_listener_addr(l, &at) < 0 || rn_addr_text(&at, text, sizeof text) < 0)
        return 1;
    fprintf(stderr, "at http://%s/\n", text);
    h = rn_httpd_new(NULL);
    rn_httpd_handle(h, "/", front);
    rn_debug_handle(h, NULL);
    err = rn_httpd_serve(ctx, h, l);
    rn_httpd_free(h);
    return err;
}

static void await_end(rn_ctx *ctx)
{
    char c;

    while (rn_blocking((int)read(STDIN_FILENO, &c, 1)) > 0)
        ;
    rn_ctx_cancel(ctx);
}

static int program(const char *mode, const char *address)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    struct rn_metrics m;
    rn_wg ended = {0};
    int err;

    gate = rn_chan_make(int, 0);
    a = rn_chan_make(int, 0);
    b = rn_chan_make(int, 1);
    for (volatile int i = 0; i < 7; i++) /* volatile: one place, not unrolled */
        rn_go_with(RN_ATTR(.name = "<b>\"&reader"), reader);
    rn_go_with(RN_ATTR(.name = "two\nlines \033[1m\xff \xc2\x9b gr\xc3\xbc\xc3\x9f\x65 "
                               "\xe2\x82\xac \xe2\x82\xac"),
               reader);
    for (volatile int i = 0; i < 5; i++)
        rn_go(sleeper);
    do { /* until all of them wait */
        rn_sleep(RN_MILLISECOND);
        rn_metrics(&m, sizeof m);
    } while (m.waiting < 13);
    rn_go(player, a, b);
    rn_go(player, b, a);
    rn_send(b, 1);
    rn_wg_go(&ended, await_end, ctx);
    err = serve(ctx, mode, address);
    rn_wg_wait(&ended); /* it uses the context, also where the server has ended by itself */
    rn_ctx_end(ctx);
    fprintf(stderr, "served: %d\n", err);
    return err == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    return rn_run(program, (const char *)argv[1], (const char *)argv[2]);
}
