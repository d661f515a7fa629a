/* SPDX-License-Identifier: MIT */
/*
 * Names: the addresses of a host, and what an error says. Linked with librunnel-dns, rn_dial looks names up there too.
 */
#include <runnel.h>
#include <runnel/dns.h>
#include <stdio.h>

static void show(const char *host, int family)
{
    rn_addr a[8];
    char text[RN_ADDR_TEXT];
    rn_ctx *ctx = rn_ctx_with_timeout(rn_ctx_background(), 5 * RN_SECOND);
    int n = rn_dns_host(ctx, NULL, host, family, a, 8);

    if (n < 0)
        printf("%s\n", rn_errmsg(n));
    for (int i = 0; i < n && i < 8; i++)
        if (rn_addr_text(&a[i], text, sizeof text) > 0)
            printf("%s: %s\n", host, text);
    rn_ctx_end(ctx);
}

static int program(void)
{
    show("localhost", 4);
    show("localhost", 6);
    show("192.0.2.1", 0);
    show("two..dots", 0);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
