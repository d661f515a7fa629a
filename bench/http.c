/* SPDX-License-Identifier: MIT */
/* http.c - the smallest reply, for bench/http, which puts load on it: http ADDRESS */
#include <runnel.h>
#include <runnel/httpd.h>

static void hello(rn_httpd_request *rq, rn_httpd_response *rs)
{
    (void)rq;
    rn_httpd_reply(rs, 200, "text/plain", "Hello, world!\n", 14);
}

static int program(const char *address)
{
    rn_httpd *h = rn_httpd_new(NULL);

    rn_httpd_handle(h, "GET /", hello);
    return rn_httpd_listen_and_serve(NULL, h, "tcp", address);
}

int main(int argc, char **argv)
{
    return argc == 2 ? rn_run(program, (const char *)argv[1]) : 2;
}
