/* SPDX-License-Identifier: MIT */
/*
 * echo - sends back what it receives, on every connection.
 *
 *     echo [ADDRESS]        tcp address to listen at; 127.0.0.1:7000 if absent
 *
 * A goroutine per connection. SIGINT and SIGTERM end it: no more connections are accepted, and those that there are get
 * a second to finish.
 */
#include <runnel.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>

static void echo(rn_ctx *ctx, rn_conn *c)
{
    char buf[16384];
    ssize_t n;

    while ((n = rn_read_ctx(ctx, c, buf, sizeof(buf))) > 0)
        if (rn_write_ctx(ctx, c, buf, (size_t)n) < 0)
            break;
    rn_conn_close(c);
}

static int serve(const char *address)
{
    rn_ctx *stop = rn_ctx_with_signals(rn_ctx_background(), SIGINT, SIGTERM);
    rn_ctx *cut = rn_ctx_with_cancel(rn_ctx_background());
    rn_wg open = {0};
    char text[RN_ADDR_TEXT];
    rn_listener *l;
    rn_addr at;
    rn_conn *c;
    int err = rn_listen("tcp", address, &l);

    if (err == 0)
        err = rn_listener_addr(l, &at);
    if (err < 0) {
        fprintf(stderr, "echo: %s\n", rn_errmsg(err));
        return 1;
    }
    rn_addr_text(&at, text, sizeof(text));
    printf("listening at %s\n", text);
    fflush(stdout);

    while ((err = rn_accept_ctx(stop, l, &c)) == 0)
        rn_wg_go(&open, echo, cut, c);
    rn_listener_close(l);
    printf("stopping: %s\n", rn_errmsg(rn_ctx_cause(stop)));
    {
        rn_ctx *grace = rn_ctx_with_timeout(rn_ctx_background(), RN_SECOND);

        if (rn_wg_wait_ctx(grace, &open) < 0)
            rn_ctx_cancel(cut);
        rn_ctx_end(grace);
    }
    rn_wg_wait(&open);
    rn_ctx_end(cut);
    rn_ctx_end(stop);
    return 0;
}

int main(int argc, char **argv)
{
    return rn_run(serve, argc > 1 ? argv[1] : "127.0.0.1:7000");
}
