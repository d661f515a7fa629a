/* SPDX-License-Identifier: MIT */
/*
 * An HTTP client: a page into memory, a body that is sent, one that comes in pieces, and a context that ends a request.
 *
 * The server is in the same program; it is the one of 48-http-server.c in short.
 */
#include <runnel.h>
#include <runnel/http.h>
#include <runnel/httpd.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void hello(rn_httpd_request *rq, rn_httpd_response *rs)
{
    rn_httpd_printf(rs, "Hello, %s!", rn_httpd_param(rq, "name"));
}

static void moved(rn_httpd_request *rq, rn_httpd_response *rs)
{
    (void)rq;
    rn_httpd_redirect(rs, 302, "/hello/Ada");
}

static void length(rn_httpd_request *rq, rn_httpd_response *rs)
{
    char buf[1000];
    long long n = 0;
    ssize_t k;

    while ((k = rn_httpd_read(rq, buf, sizeof buf)) > 0)
        n += k;
    rn_httpd_printf(rs, "%lld bytes of %s", n, rn_httpd_header(rq, "Content-Type"));
}

static void numbers(rn_httpd_request *rq, rn_httpd_response *rs)
{
    (void)rq;
    for (int i = 1; i <= 3; i++)
        rn_httpd_printf(rs, "%d ", i);
}

static void never(rn_httpd_request *rq, rn_httpd_response *rs)
{
    (void)rs;
    (void)rn_sleep_ctx(rn_httpd_ctx(rq), RN_HOUR); /* until the client goes away */
}

static int get(rn_ctx *ctx, const char *url)
{
    rn_http_response *r;
    int err = rn_http_get(ctx, url, &r);

    if (err)
        return err;
    printf("%d: %s\n", r->status, r->status == 200 ? r->body : "");
    rn_http_response_free(r);
    return 0;
}

static int post(rn_ctx *ctx, const char *url, const char *text)
{
    const char *const headers[] = {"Content-Type: text/plain", NULL};
    rn_http_request rq = {.url = url, .headers = headers, .body = text, .body_size = strlen(text)};
    rn_http_response *r;
    int err = rn_http_do(ctx, NULL, &rq, &r);

    if (err)
        return err;
    printf("%d: %s\n", r->status, r->body);
    rn_http_response_free(r);
    return 0;
}

static int piece(void *arg, const rn_http_response *r, const void *data, size_t size)
{
    (void)r;
    rn_sleep(RN_MILLISECOND); /* it may wait, and the server waits too */
    *(size_t *)arg += size;
    printf("%.*s", (int)size, (const char *)data);
    return 0;
}

static int stream(rn_ctx *ctx, const char *url)
{
    size_t size = 0;
    rn_http_request rq = {.url = url, .write = piece, .arg = &size};
    int err = rn_http_do(ctx, NULL, &rq, NULL);

    printf("are %zu bytes\n", size);
    return err;
}

static const char *at(char url[100], int port, const char *path)
{
    snprintf(url, 100, "http://127.0.0.1:%d%s", port, path);
    return url;
}

static int program(void)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx *brief = rn_ctx_with_timeout(ctx, 20 * RN_MILLISECOND);
    rn_httpd *h = rn_httpd_new(NULL);
    rn_group group = {0};
    rn_listener *l;
    rn_addr address;
    char url[100];
    int port, err;

    if (rn_listen("tcp4", "127.0.0.1:0", &l) || rn_listener_addr(l, &address))
        return 1;
    port = rn_addr_port(&address);
    rn_httpd_handle(h, "GET /hello/{name}", hello);
    rn_httpd_handle(h, "GET /moved", moved);
    rn_httpd_handle(h, "POST /length", length);
    rn_httpd_handle(h, "GET /numbers", numbers);
    rn_httpd_handle(h, "GET /never", never);
    rn_group_go(&group, rn_httpd_serve, ctx, h, l);

    err = get(ctx, at(url, port, "/moved")); /* redirects are followed */
    if (!err)
        err = get(ctx, at(url, port, "/nowhere")); /* a status is no error */
    if (!err)
        err = post(ctx, at(url, port, "/length"), "sea wind");
    if (!err)
        err = stream(ctx, at(url, port, "/numbers"));
    if (!err) {
        err = get(brief, at(url, port, "/never"));
        printf("in time? %s\n", err == -ETIMEDOUT ? "no" : "yes");
    }
    err = get(ctx, "gopher://127.0.0.1/");
    printf("%s\n", rn_errmsg(err));

    rn_ctx_cancel(ctx);
    err = rn_group_wait(&group);
    rn_httpd_free(h);
    rn_ctx_end(brief);
    rn_ctx_end(ctx);
    return err;
}

int main(void)
{
    return rn_run(program);
}
