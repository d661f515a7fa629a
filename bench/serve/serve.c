/* SPDX-License-Identifier: MIT */
/* serve.c - the servers that load.c puts load on: serve echo|http P */
#include <runnel.h>
#include <runnel/net.h>
#ifdef BENCH_HAVE_HTTPD
#include <runnel/httpd.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static void echo(rn_conn *c)
{
    char buf[1024];
    ssize_t n;

    while ((n = rn_read(c, buf, sizeof buf)) > 0)
        if (rn_write(c, buf, (size_t)n) < 0)
            break;
    rn_conn_close(c);
}

static int serve_echo(rn_listener *l)
{
    rn_conn *c;

    while (rn_accept(l, &c) == 0)
        rn_go(echo, c);
    return 1;
}

#ifdef BENCH_HAVE_HTTPD
static void hello(rn_httpd_request *rq, rn_httpd_response *rs)
{
    (void)rq;
    rn_httpd_reply(rs, 200, "text/plain", "Hello, world!\n", 14);
}

static int serve_http(rn_listener *l)
{
    rn_httpd *h = rn_httpd_new(NULL);

    rn_httpd_handle(h, "GET /", hello);
    return rn_httpd_serve(NULL, h, l);
}
#else
static int serve_http(rn_listener *l)
{
    (void)l;
    fputs("serve: built without librunnel-httpd\n", stderr);
    return 1;
}
#endif

static int program(const char *kind)
{
    char at[RN_ADDR_TEXT];
    rn_listener *l;
    rn_addr a;

    if (rn_listen("tcp", "127.0.0.1:0", &l) != 0 || rn_listener_addr(l, &a) != 0 ||
        rn_addr_text(&a, at, sizeof at) < 0)
        return 1;
    puts(strrchr(at, ':') + 1);
    fflush(stdout);
    return strcmp(kind, "http") == 0 ? serve_http(l) : serve_echo(l);
}

int main(int argc, char **argv)
{
    struct rlimit r;

    if (argc != 3 || rn_set_procs(atoi(argv[2])) < 0)
        return 2;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
    return rn_run(program, (const char *)argv[1]);
}
