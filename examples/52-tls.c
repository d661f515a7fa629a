/* SPDX-License-Identifier: MIT */
/*
 * TLS: a server and a client in one program. The client trusts one certificate, the server's own, and is refused to a
 * server by another name.
 */
#include <runnel.h>
#include <runnel/tls.h>
#include <stdio.h>
#include <string.h>

/* For an example only: everybody knows this key. */
static const char cert[] = "-----BEGIN CERTIFICATE-----\n"
                           "MIIBQTCB6KADAgECAgEBMAoGCCqGSM49BAMCMBQxEjAQBgNVBAMMCWxvY2FsaG9z\n"
                           "dDAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowFDESMBAGA1UEAwwJ\n"
                           "bG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEkO1J8HUPeUGIkAgn\n"
                           "fkfYEaDLLQXJlKQsYtEJI8NHWUsFcBXDHB5jKsgwMXW+gnlgdCKCqk/puFrXDehp\n"
                           "VP06N6MpMCcwFAYDVR0RBA0wC4IJbG9jYWxob3N0MA8GA1UdEwEB/wQFMAMBAf8w\n"
                           "CgYIKoZIzj0EAwIDSAAwRQIgegbAB+uzkb7CzUQwKdCfmauuboPu7my1Qzj+6bWY\n"
                           "fD8CIQDgg4beVldBrMrWaq5SII9qLpxRicZEZpxHfMhyj0J4jQ==\n"
                           "-----END CERTIFICATE-----\n";
static const char key[] = "-----BEGIN PRIVATE KEY-----\n"
                          "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgCPLtRfdXcFF+F70B\n"
                          "C7it3X5SrHv7psrAbxi/d3ZODQ2hRANCAASQ7UnwdQ95QYiQCCd+R9gRoMstBcmU\n"
                          "pCxi0Qkjw0dZSwVwFcMcHmMqyDAxdb6CeWB0IoKqT+m4WtcN6GlU/To3\n"
                          "-----END PRIVATE KEY-----\n";

static void echo(rn_tls *t)
{
    char buf[256];
    ssize_t n;

    while ((n = rn_tls_read(t, buf, sizeof buf)) > 0)
        rn_tls_write(t, buf, (size_t)n);
    rn_tls_close(t);
}

static void serve(rn_listener *l, rn_tls_config *config)
{
    rn_conn *c;
    rn_tls *t;

    while (rn_accept(l, &c) == 0)
        if (rn_tls_server(c, config, &t) == 0)
            rn_go(echo, t); /* the first read shakes hands */
        else
            rn_conn_close(c);
}

static int client(const char *address, rn_tls_config *config)
{
    char buf[256];
    rn_tls_info info;
    rn_tls *t;
    ssize_t n;
    int err = rn_tls_dial(NULL, "tcp", address, config, &t);

    if (err)
        return err;
    rn_tls_get_info(t, &info);
    printf("%s, %s, server %s%s\n", info.version == RN_TLS_1_3 ? "TLS 1.3" : "TLS 1.2", info.alpn,
           info.peer_subject, info.resumed ? ", resumed" : "");
    rn_tls_write(t, "hello", 5);
    rn_tls_close_write(t);
    n = rn_tls_read_full(t, buf, 5);
    printf("echo: %.*s\n", (int)(n > 0 ? n : 0), buf);
    rn_tls_close(t);
    return 0;
}

static int program(void)
{
    static const char *const alpn[] = {"echo/1", NULL};
    rn_tls_cert mine = {.cert_pem = cert, .key_pem = key};
    rn_tls_options server = {.certs = &mine, .cert_count = 1, .alpn = alpn};
    rn_tls_options trusting = {.ca_pem = cert, .alpn = alpn};
    rn_tls_config *server_config, *client_config;
    char address[64];
    rn_listener *l;
    rn_addr at;
    rn_wg wg = {0};
    int err;

    if (rn_tls_config_new(&server, &server_config) ||
        rn_tls_config_new(&trusting, &client_config) || rn_listen("tcp4", "127.0.0.1:0", &l) ||
        rn_listener_addr(l, &at))
        return 1;
    rn_wg_go(&wg, serve, l, server_config);
    snprintf(address, sizeof address, "localhost:%d", rn_addr_port(&at));
    for (int i = 0; i < 2; i++) {
        err = client(address, client_config);
        if (err)
            printf("%s\n", rn_errmsg(err));
    }
    snprintf(address, sizeof address, "127.0.0.1:%d", rn_addr_port(&at));
    err = client(address, client_config);
    printf("%s\n", rn_errmsg(err));
    rn_listener_close(l);
    rn_wg_wait(&wg);
    rn_settle(RN_SECOND);
    rn_tls_config_release(server_config);
    rn_tls_config_release(client_config);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
