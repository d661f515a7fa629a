/* SPDX-License-Identifier: MIT */
/*
 * An HTTP server. Handlers are ordinary functions with arguments of their own; each connection is a goroutine.
 *
 * The program is its own client: it writes a request to a socket and prints what comes back.
 */
#include <runnel.h>
#include <runnel/httpd.h>

#include <stdio.h>
#include <string.h>

struct counter {
    rn_mutex lock;
    int visits;
};

static void hello(rn_httpd_request *rq, rn_httpd_response *rs, struct counter *c)
{
    const char *greeting = rn_httpd_query(rq, "greeting");
    int visit;

    rn_mutex_lock(&c->lock);
    visit = ++c->visits;
    rn_mutex_unlock(&c->lock);
    rn_httpd_printf(rs, "%s, %s! You are visitor %d.", greeting ? greeting : "Hello",
                    rn_httpd_param(rq, "name"), visit);
}

static void shout(rn_httpd_request *rq, rn_httpd_response *rs)
{
    char buf[100];
    ssize_t n;

    while ((n = rn_httpd_read(rq, buf, sizeof buf)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            if (buf[i] >= 'a' && buf[i] <= 'z')
                buf[i] = (char)(buf[i] - 'a' + 'A');
        rn_httpd_write(rs, buf, (size_t)n);
    }
}

/* Print the status and the body. */
static void ask(const char *address, const char *request)
{
    char reply[1000];
    size_t n = 0;
    rn_conn *c;
    ssize_t k;
    char *body;

    if (rn_dial("tcp", address, &c) < 0)
        return;
    rn_write(c, request, strlen(request));
    while ((k = rn_read(c, reply + n, sizeof reply - 1 - n)) > 0)
        n += (size_t)k;
    reply[n] = 0;
    rn_conn_close(c);
    body = strstr(reply, "\r\n\r\n");
    printf("%.*s: %s\n", (int)strcspn(reply, "\r"), reply, body ? body + 4 : "");
}

static int program(void)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_httpd *h = rn_httpd_new(NULL);
    struct counter counter = {0};
    char address[RN_ADDR_TEXT];
    rn_group group = {0};
    rn_listener *l;
    rn_addr at;
    int err;

    if (rn_listen("tcp", "127.0.0.1:0", &l) < 0 || rn_listener_addr(l, &at) < 0 ||
        rn_addr_text(&at, address, sizeof(address)) < 0)
        return 1;
    rn_httpd_handle(h, "GET /hello/{name}", hello, &counter);
    rn_httpd_handle(h, "POST /shout", shout);
    rn_group_go(&group, rn_httpd_serve, ctx, h, l);

    ask(address, "GET /hello/Ada HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
    ask(address, "GET /hello/Bob?greeting=Good+morning HTTP/1.0\r\n\r\n");
    ask(address, "POST /shout HTTP/1.0\r\nContent-Length: 8\r\n\r\nsea wind");
    ask(address, "GET /shout HTTP/1.0\r\n\r\n");

    rn_ctx_cancel(ctx); /* every request that has come is still answered */
    err = rn_group_wait(&group);
    printf("stopped: %d\n", err);
    rn_httpd_free(h);
    rn_ctx_end(ctx);
    return err;
}

int main(void)
{
    return rn_run(program);
}
