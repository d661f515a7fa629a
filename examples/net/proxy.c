/* SPDX-License-Identifier: MIT */
/*
 * proxy - passes connections on.
 *
 *     proxy LISTEN TARGET       two tcp addresses
 *
 * Two goroutines per connection, one a direction. The end of one direction is passed on, and the other goes on:
 * half-close works through it. What the slower side does not take is not read from the faster one: nothing is kept but
 * one buffer a direction. An error in either direction cuts both.
 */
#include <runnel.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>

static int copy(rn_conn *from, rn_conn *to)
{
    char buf[32768];
    ssize_t n;

    while ((n = rn_read(from, buf, sizeof(buf))) > 0) {
        n = rn_write(to, buf, (size_t)n);
        if (n < 0)
            break;
    }
    if (n == 0)
        return rn_close_write(to);
    rn_conn_cancel(from); /* the other direction ends too */
    rn_conn_cancel(to);
    return (int)n;
}

static void pass_on(rn_ctx *stop, rn_conn *client, const char *target)
{
    rn_ctx *soon = rn_ctx_with_timeout(stop, 10 * RN_SECOND);
    rn_group both = {0};
    rn_conn *server;
    int err = rn_dial_ctx(soon, "tcp", target, &server);

    rn_ctx_end(soon);
    rn_ctx_release(stop);
    if (err < 0) {
        fprintf(stderr, "proxy: %s\n", rn_errmsg(err));
        rn_conn_close(client);
        return;
    }
    rn_group_go(&both, copy, client, server);
    rn_group_go(&both, copy, server, client);
    (void)!rn_group_wait(&both); /* whoever cut it: it is over */
    rn_conn_close(client);
    rn_conn_close(server);
}

static int serve(const char *address, const char *target)
{
    rn_ctx *stop = rn_ctx_with_signals(rn_ctx_background(), SIGINT, SIGTERM);
    char text[RN_ADDR_TEXT];
    rn_listener *l;
    rn_addr at;
    rn_conn *c;
    int err = rn_listen("tcp", address, &l);

    if (err == 0)
        err = rn_listener_addr(l, &at);
    if (err < 0) {
        fprintf(stderr, "proxy: %s\n", rn_errmsg(err));
        return 1;
    }
    rn_addr_text(&at, text, sizeof(text));
    printf("listening at %s\n", text);
    fflush(stdout);
    while (rn_accept_ctx(stop, l, &c) == 0)
        rn_go(pass_on, rn_ctx_retain(stop), c, target);
    rn_listener_close(l);
    rn_settle(RN_SECOND); /* what is open gets a second */
    rn_ctx_end(stop);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: proxy LISTEN TARGET\n");
        return 2;
    }
    return rn_run(serve, argv[1], argv[2]);
}
