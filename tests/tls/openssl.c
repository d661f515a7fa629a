/* SPDX-License-Identifier: MIT */
/*
 * openssl.c - librunnel-tls with peers that are not ours: the openssl program as client (s_client) and as server
 * (s_server). ALPN, resumption, names and times that are wrong, an end in the middle.
 */
#define _GNU_SOURCE
#include "ca.h"
#include "uninstrumented.h"

#include <errno.h>
#include <fcntl.h>
#include <runnel/net.h>
#include <runnel/os.h>
#include <runnel/tls.h>
#include <signal.h>
#include <unistd.h>

struct files {
    char folder[32], ca[64], cert[64], key[64], session[64];
};

static struct files files_new(const struct identity *ca, const struct identity *server)
{
    struct files f = {.folder = "/tmp/runnel-tls-XXXXXX"};

    CHECK(mkdtemp(f.folder));
    snprintf(f.ca, sizeof f.ca, "%s/ca", f.folder);
    snprintf(f.cert, sizeof f.cert, "%s/cert", f.folder);
    snprintf(f.key, sizeof f.key, "%s/key", f.folder);
    snprintf(f.session, sizeof f.session, "%s/session", f.folder);
    write_file(f.ca, ca->cert_pem);
    write_file(f.cert, server->cert_pem);
    write_file(f.key, server->key_pem);
    return f;
}

static void files_end(const struct files *f)
{
    unlink(f->ca);
    unlink(f->cert);
    unlink(f->key);
    unlink(f->session);
    rmdir(f->folder);
}

static void need_openssl(void)
{
    char *text = NULL;
    size_t size;
    int err = rn_exec_output(NULL, &text, &size, "openssl", "version");

    free(text);
    if (err == -ENOENT)
        test_skip("the openssl program is not installed (Debian: openssl)");
    CHECK_EQ(err, 0);
}

static rn_tls_config *config_of(rn_tls_options o)
{
    rn_tls_config *c = NULL;
    int err = rn_tls_config_new(&o, &c);

    if (err)
        test_fail(__FILE__, __LINE__, "configuration: %s", rn_errmsg(err));
    return c;
}

/* ---- Our server, their client -------------------------------------------------------------------------------------- */

struct server {
    rn_listener *l;
    rn_tls_config *config;
    rn_wg wg;
    char at[RN_ADDR_TEXT];
    _Atomic int refused; /* handshakes that failed */
};

/* What was agreed on, and a line back. */
static void serve(struct server *s, rn_conn *c)
{
    rn_tls_info info;
    rn_tls *t;
    char text[700], line[100];
    ssize_t n;

    CHECK_EQ(rn_tls_server(c, s->config, &t), 0);
    if (rn_tls_handshake(NULL, t) != 0) {
        s->refused++;
    } else if ((n = rn_tls_read(t, line, sizeof line)) <=
               0) { /* the verdict came after its handshake */
        s->refused++;
    } else {
        CHECK_EQ(rn_tls_get_info(t, &info), 0);
        snprintf(text, sizeof text, "%s %s %s %s: %.*s", info.version == RN_TLS_1_3 ? "1.3" : "1.2",
                 info.server_name, *info.alpn ? info.alpn : "-", info.resumed ? "resumed" : "new",
                 (int)n, line);
        CHECK_EQ(rn_tls_write(t, text, strlen(text)), strlen(text));
    }
    rn_tls_close(t);
}

static void serve_all(struct server *s)
{
    rn_conn *c;

    while (rn_accept(s->l, &c) == 0)
        rn_wg_go(&s->wg, serve, s, c);
}

static void server_start(struct server *s, const struct identity *i, const char *const *alpn)
{
    rn_tls_cert cert = {.cert_pem = i->cert_pem, .key_pem = i->key_pem};
    rn_addr a;

    *s = (struct server){
        .config = config_of((rn_tls_options){.certs = &cert, .cert_count = 1, .alpn = alpn})};
    CHECK_EQ(rn_listen("tcp", "127.0.0.1:0", &s->l), 0);
    CHECK_EQ(rn_listener_addr(s->l, &a), 0);
    CHECK(rn_addr_text(&a, s->at, sizeof s->at) > 0);
    rn_wg_go(&s->wg, serve_all, s);
}

static void server_end(struct server *s)
{
    rn_listener_cancel(s->l);
    rn_wg_wait(&s->wg);
    rn_listener_release(s->l);
    rn_tls_config_release(s->config);
}

/* What s_client says, output and errors; *ret_status what it exits with. */
static char *s_client(const struct server *s, const struct files *f, int *ret_status,
                      const char *const *more)
{
    const char *argv[32] = {"openssl",     "s_client",   "-quiet",       "-connect",
                            s->at,         "-CAfile",    f->ca,          "-verify_return_error",
                            "-servername", "right.test", "-verify_quiet"};
    int n = 11;
    rn_exec_result r;
    char *said;

    while (*more)
        argv[n++] = *more++;
    CHECK_EQ(rn_exec_with(NULL,
                          &(rn_exec_options){.argv = argv,
                                             .in = RN_STDIO_DATA("hello\n", 6),
                                             .out = RN_STDIO_KEEP(0),
                                             .err = RN_STDIO_OUTPUT},
                          &r),
             0);
    *ret_status = r.status;
    said = strdup(r.out);
    rn_exec_free(&r);
    return said;
}

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define EXPECT(text, what)                                                                         \
    do {                                                                                           \
        char *test_s_ = (text);                                                                    \
        if (!strstr(test_s_, (what)))                                                              \
            test_fail(__FILE__, __LINE__, "no \"%s\" in: %s", (what), test_s_);                    \
        free(test_s_);                                                                             \
    } while (0)

GO_TEST(tls_openssl_s_client)
{
    static const char *const protocols[] = {"h2", "http/1.1", NULL};
    struct identity ca = identity_new((struct wanted){.cn = "Test CA", .is_ca = true});
    struct identity right =
        identity_new((struct wanted){.cn = "server", .names = "DNS:right.test", .issuer = &ca});
    struct identity late = identity_new((struct wanted){
        .cn = "server", .names = "DNS:right.test", .issuer = &ca, .from = -7200, .until = -3600});
    struct files f = files_new(&ca, &right);
    struct server s;
    int status;

    need_openssl();
    server_start(&s, &right, protocols);
    EXPECT(s_client(&s, &f, &status,
                    ARGS("-tls1_2", "-alpn", "spdy/1,http/1.1,h2", "-verify_hostname", "right.test",
                         "-sess_out", f.session)),
           "1.2 right.test h2 new: hello\n");
    CHECK_EQ(status, 0);
    EXPECT(s_client(&s, &f, &status, ARGS("-tls1_2", "-sess_in", f.session)),
           "1.2 right.test - resumed: hello\n");
    EXPECT(s_client(&s, &f, &status, ARGS("-tls1_3", "-alpn", "http/1.1", "-sess_out", f.session)),
           "1.3 right.test http/1.1 new: hello\n");
    EXPECT(s_client(&s, &f, &status, ARGS("-tls1_3", "-alpn", "http/1.1", "-sess_in", f.session)),
           "1.3 right.test http/1.1 resumed: hello\n");
    CHECK_EQ(s.refused, 0);

    /* What it does not accept, or we do not. */
    EXPECT(s_client(&s, &f, &status, ARGS("-verify_hostname", "wrong.test")), "verify failed");
    CHECK(status != 0);
    EXPECT(s_client(&s, &f, &status, ARGS("-alpn", "spdy/1")), "no application protocol");
    CHECK(status != 0);
    EXPECT(s_client(&s, &f, &status, ARGS("-tls1_1", "-cipher", "ALL@SECLEVEL=0")), "version");
    CHECK(status != 0);
    AWAIT(s.refused == 3);
    server_end(&s);

    server_start(&s, &late, NULL);
    EXPECT(s_client(&s, &f, &status, ARGS("-verify_hostname", "right.test")), "verify failed");
    CHECK(status != 0);
    AWAIT(s.refused == 1);
    server_end(&s);
    files_end(&f);
    identity_free(&ca);
    identity_free(&right);
    identity_free(&late);
}

/* ---- Their server, our client -------------------------------------------------------------------------------------- */

struct theirs {
    rn_child *child;
    struct files f;
    char at[RN_ADDR_TEXT];
};

static struct theirs theirs_start(const struct identity *ca, const struct identity *server)
{
    struct theirs t = {.f = files_new(ca, server)};
    /* A bound for what a failed test would leave behind. */
    const char *argv[] = {"timeout",     "600",   "openssl",     "s_server", "-accept",
                          "127.0.0.1:0", "-cert", t.f.cert,      "-key",     t.f.key,
                          "-rev",        "-alpn", "http/1.1,h2", NULL};
    char said[4096] = "", *at;
    size_t n = 0;
    ssize_t more;

    CHECK_EQ(rn_exec_start(
                 NULL,
                 &(rn_exec_options){
                     .argv = argv, .in = RN_STDIO_PIPE, .out = RN_STDIO_PIPE, .err = RN_STDIO_NULL},
                 &t.child),
             0);
    /* "ACCEPT 127.0.0.1:12345" */
    while (!(at = strstr(said, "ACCEPT 127")) || !strchr(at, '\n')) {
        more = rn_read(rn_child_out(t.child), said + n, sizeof said - 1 - n);
        if (more <= 0)
            test_fail(__FILE__, __LINE__, "s_server ends: %s", said);
        n += (size_t)more;
        said[n] = 0;
    }
    snprintf(t.at, sizeof t.at, "%.*s", (int)strcspn(at + 7, "\n"), at + 7);
    return t;
}

static void theirs_end(struct theirs *t)
{
    (void)rn_child_signal_group(t->child, SIGKILL);
    (void)rn_child_wait(t->child, NULL);
    rn_child_release(t->child);
    files_end(&t->f);
}

/* Dial, and have a line turned round. *ret is what was agreed on. 0 or the handshake's error. */
static int turned_round(const struct theirs *their, rn_tls_config *config, rn_tls_info *ret)
{
    char line[4];
    rn_tls *t;
    int err = rn_tls_dial(NULL, "tcp", their->at, config, &t);

    if (err)
        return err;
    CHECK_EQ(rn_tls_write(t, "abc\n", 4), 4);
    CHECK_EQ(rn_tls_read_full(t, line, 4), 4);
    CHECK(memcmp(line, "cba\n", 4) == 0);
    CHECK_EQ(rn_tls_get_info(t, ret), 0);
    rn_tls_close(t);
    return 0;
}

GO_TEST(tls_openssl_s_server)
{
    static const char *const ours[] = {"h2", NULL}, *const none[] = {"spdy/1", NULL};
    struct identity ca = identity_new((struct wanted){.cn = "Test CA", .is_ca = true});
    struct identity other = identity_new((struct wanted){.cn = "Another CA", .is_ca = true});
    struct identity right =
        identity_new((struct wanted){.cn = "server", .names = "DNS:right.test", .issuer = &ca});
    struct identity late = identity_new((struct wanted){
        .cn = "server", .names = "DNS:right.test", .issuer = &ca, .from = -7200, .until = -3600});
    struct theirs their;
    rn_tls_config *config;
    rn_tls_info info;
    rn_tls *t;
    char b;
    ssize_t n;

    need_openssl();
    their = theirs_start(&ca, &right);
    for (int v = RN_TLS_1_2; v <= RN_TLS_1_3; v++) {
        config = config_of((rn_tls_options){.ca_pem = ca.cert_pem,
                                            .server_name = "right.test",
                                            .alpn = ours,
                                            .max_version = (enum rn_tls_version)v});
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(turned_round(&their, config, &info), 0);
            CHECK_EQ(info.version, v);
            CHECK_STR(info.alpn, "h2");
            CHECK_EQ(info.resumed, i > 0);
            CHECK(info.verified);
            CHECK_STR(info.peer_subject, "CN=server");
        }
        rn_tls_config_release(config);
    }

    config = config_of((rn_tls_options){.ca_pem = ca.cert_pem, .server_name = "wrong.test"});
    CHECK_EQ(turned_round(&their, config, &info), -EKEYREJECTED);
    CHECK(strstr(rn_errmsg(-EKEYREJECTED), "wrong.test"));
    rn_tls_config_release(config);
    config = config_of((rn_tls_options){.ca_pem = other.cert_pem, .server_name = "right.test"});
    CHECK_EQ(turned_round(&their, config, &info), -EKEYREJECTED);
    rn_tls_config_release(config);
    config = config_of(
        (rn_tls_options){.ca_pem = ca.cert_pem, .server_name = "right.test", .alpn = none});
    CHECK_EQ(turned_round(&their, config, &info), -EPROTO);
    rn_tls_config_release(config);

    /* It is gone without its goodbye. */
    config = config_of((rn_tls_options){.ca_pem = ca.cert_pem, .server_name = "right.test"});
    CHECK_EQ(rn_tls_dial(NULL, "tcp", their.at, config, &t), 0);
    theirs_end(&their);
    n = rn_tls_read(t, &b, 1);
    CHECK(n == -EIO || n == -ECONNRESET);
    rn_tls_close(t);

    their = theirs_start(&ca, &late);
    CHECK_EQ(turned_round(&their, config, &info), -EKEYEXPIRED);
    theirs_end(&their);
    rn_tls_config_release(config);
    identity_free(&ca);
    identity_free(&other);
    identity_free(&right);
    identity_free(&late);
}
