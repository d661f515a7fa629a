/* SPDX-License-Identifier: MIT */
/*
 * nginx.c - the HTTP client against nginx: redirects, ranges, compression, chunks, uploads, HTTPS, HTTP/2.
 *
 * One server for each test, started by its process before the runtime is.
 */
#define _GNU_SOURCE
#include "ca.h"
#include "peer.h"
#include "server.h"

#include <sys/stat.h>

/* Port 0: http. 1: https with HTTP/2. 2 to 4: https with a certificate of another name, one that has expired, and one by
 * an authority that nobody knows. */
static const char conf[] =
    "gzip on; gzip_types text/plain; gzip_min_length 0; default_type application/octet-stream;\n"
    "types { text/plain txt; }\n"
    "client_max_body_size 100m; keepalive_requests 100000;\n"
    "add_header X-Connection $connection;\n"
    "server { listen 127.0.0.1:$PORT0;\n"
    "  root $FOLDER/www;\n"
    "  location = /hello { return 200 hello; }\n"
    "  location = /from { return 301 /via; }\n"
    "  location = /via { return 302 https://localhost:$PORT1/end?a=b; }\n"
    "  location = /loop { return 307 /loop; }\n"
    "  location /put/ { root $FOLDER; dav_methods PUT DELETE; create_full_put_path on; }\n"
    "}\n"
    "server { listen 127.0.0.1:$PORT1 ssl http2; root $FOLDER/www;\n"
    "  ssl_certificate $FOLDER/good.pem; ssl_certificate_key $FOLDER/good.key;\n"
    "  ssl_client_certificate $FOLDER/ca.pem; ssl_verify_client optional;\n"
    "  location = /end { return 200 $server_protocol:$args; }\n"
    "  location = /who { return 200 $ssl_client_verify:$ssl_client_s_dn; }\n"
    "  location /put/ { root $FOLDER; dav_methods PUT DELETE; create_full_put_path on; }\n"
    "}\n"
    "server { listen 127.0.0.1:$PORT2 ssl; ssl_certificate $FOLDER/name.pem;\n"
    "  ssl_certificate_key $FOLDER/name.key; }\n"
    "server { listen 127.0.0.1:$PORT3 ssl; ssl_certificate $FOLDER/old.pem;\n"
    "  ssl_certificate_key $FOLDER/old.key; }\n"
    "server { listen 127.0.0.1:$PORT4 ssl; ssl_certificate $FOLDER/other.pem;\n"
    "  ssl_certificate_key $FOLDER/other.key; }\n";

enum { BIG = 5000000 };

static struct server server;
static char ca_file[200], ca_pem[4000];
static rn_http_client *client;

static char pattern(size_t at)
{
    return (char)(at * 31 + at / 251);
}

static const char *in_folder(const char *name)
{
    static char path[200];

    snprintf(path, sizeof path, "%s/%s", server.folder, name);
    return path;
}

static void write_identity(const char *name, struct identity i)
{
    char file[32];

    snprintf(file, sizeof file, "%s.pem", name);
    write_file(in_folder(file), i.cert_pem);
    snprintf(file, sizeof file, "%s.key", name);
    write_file(in_folder(file), i.key_pem);
    identity_free(&i);
}

static void write_world(void)
{
    struct identity ca = identity_new((struct wanted){.cn = "Test CA", .is_ca = true});
    struct identity other = identity_new((struct wanted){.cn = "Other CA", .is_ca = true});
    const char *names = "DNS:localhost,IP:127.0.0.1";
    FILE *f;

    snprintf(ca_file, sizeof ca_file, "%s", in_folder("ca.pem"));
    write_file(ca_file, ca.cert_pem);
    write_identity("good",
                   identity_new((struct wanted){.cn = "good", .names = names, .issuer = &ca}));
    write_identity("name", identity_new((struct wanted){
                               .cn = "name", .names = "DNS:other.test", .issuer = &ca}));
    write_identity("old",
                   identity_new((struct wanted){
                       .cn = "old", .names = names, .issuer = &ca, .from = -7200, .until = -3600}));
    write_identity("other",
                   identity_new((struct wanted){.cn = "other", .names = names, .issuer = &other}));
    write_identity("client", identity_new((struct wanted){.cn = "client", .issuer = &ca}));
    snprintf(ca_pem, sizeof ca_pem, "%s", ca.cert_pem);
    identity_free(&ca);
    identity_free(&other);
    CHECK_EQ(mkdir(in_folder("www"), 0777), 0);
    CHECK_EQ(mkdir(in_folder("put"), 0777), 0);
    CHECK_EQ(chmod(in_folder("put"), 0777), 0);
    f = fopen(in_folder("www/big.bin"), "w");
    CHECK(f);
    for (size_t i = 0; i < BIG; i++)
        putc(pattern(i), f);
    CHECK_EQ(fclose(f), 0);
    f = fopen(in_folder("www/text.txt"), "w");
    CHECK(f);
    for (int i = 0; i < 100000; i++)
        fprintf(f, "line %d\n", i);
    CHECK_EQ(fclose(f), 0);
    f = fopen(in_folder("www/zeros.txt"), "w"); /* which become a thousandth on the wire */
    CHECK(f);
    CHECK_EQ(ftruncate(fileno(f), 50 << 20), 0);
    CHECK_EQ(fclose(f), 0);
}

static int with_client(void (*body)(void))
{
    client = client_of((rn_http_options){.ca_file = ca_file});
    body();
    rn_http_client_release(client);
    CHECK_EQ(rn_settle(10 * RN_SECOND), 0);
    return 0;
}

/* A test against the server. */
static void with_server(void (*body)(void))
{
    CHECK_EQ(server_folder(&server), 0);
    write_world();
    if (server_nginx(&server, conf) != 0) {
        server_stop(&server);
        FAIL(server.problem);
    }
    CHECK_EQ(rn_run(with_client, body), 0);
    server_stop(&server);
}

#define NGINX_TEST(name)                                                                           \
    static void name##_body(void);                                                                 \
    PLAIN_TEST(name)                                                                               \
    {                                                                                              \
        with_server(name##_body);                                                                  \
    }                                                                                              \
    static void name##_body(void)

static const char *at(int port, const char *path)
{
    static char urls[4][200];
    static int turn;
    char *url = urls[turn++ % 4];

    snprintf(url, 200, "http%s://%s:%d%s", port ? "s" : "", port ? "localhost" : "127.0.0.1",
             server.ports[port], path);
    return url;
}

NGINX_TEST(http_nginx_redirect_from_http_to_https)
{
    rn_http_response *r = answer(client, (rn_http_request){.url = at(0, "/from")});
    rn_http_request rq = {.url = at(0, "/loop")};

    CHECK_EQ(r->status, 200);
    CHECK_EQ(r->redirects, 2);
    CHECK_EQ(r->version, 20);
    CHECK_STR(r->body, "HTTP/2.0:a=b");
    CHECK_STR(r->url, at(1, "/end?a=b"));
    rn_http_response_free(r);
    CHECK_EQ(rn_http_do(NULL, client, &rq, &r), -ELOOP);
}

NGINX_TEST(http_nginx_ranges)
{
    static const char *const range[] = {"Range: bytes=1000-1999", NULL};
    static const char *const beyond[] = {"Range: bytes=9000000-", NULL};
    rn_http_response *r =
        answer(client, (rn_http_request){.url = at(0, "/big.bin"), .headers = range});

    CHECK_EQ(r->status, 206);
    CHECK_EQ(r->size, 1000);
    for (size_t i = 0; i < 1000; i++)
        CHECK_EQ(r->body[i], pattern(1000 + i));
    CHECK_STR(rn_http_header(r, "Content-Range"), "bytes 1000-1999/5000000");
    rn_http_response_free(r);
    r = answer(client, (rn_http_request){.url = at(0, "/big.bin"), .headers = beyond});
    CHECK_EQ(r->status, 416);
    rn_http_response_free(r);
    r = answer(client, (rn_http_request){.url = at(0, "/nowhere")});
    CHECK_EQ(r->status, 404);
    rn_http_response_free(r);
}

NGINX_TEST(http_nginx_gzip_in_chunks)
{
    static const char *const gzip[] = {"Accept-Encoding: gzip", NULL};
    rn_http_request bomb = {.url = at(0, "/zeros.txt"), .max_body = 1 << 20};
    struct stat st;
    rn_http_response *r;
    char *end;

    CHECK_EQ(stat(in_folder("www/text.txt"), &st), 0);
    r = answer(client, (rn_http_request){.url = at(0, "/text.txt")});
    CHECK_STR(rn_http_header(r, "Content-Encoding"), "gzip");
    CHECK_STR(rn_http_header(r, "Transfer-Encoding"), "chunked");
    CHECK_EQ(r->size, st.st_size);
    CHECK_EQ(memcmp(r->body, "line 0\nline 1\n", 14), 0);
    end = strstr(r->body, "line 99999\n");
    CHECK(end && end[11] == 0);
    rn_http_response_free(r);
    r = answer(client, (rn_http_request){.url = at(0, "/text.txt"), .raw = true});
    CHECK(!rn_http_header(r, "Content-Encoding"));
    CHECK_EQ(r->size, st.st_size);
    rn_http_response_free(r);
    /* Who asks for it gets it as it is. */
    r = answer(client, (rn_http_request){.url = at(0, "/text.txt"), .headers = gzip});
    CHECK_STR(rn_http_header(r, "Content-Encoding"), "gzip");
    CHECK_EQ(memcmp(r->body, "\x1f\x8b", 2), 0);
    rn_http_response_free(r);
    CHECK_EQ(rn_http_do(NULL, client, &bomb, &r), -EFBIG);
}

struct checker {
    size_t got;
    bool slow;
};

static int checks(void *arg, const rn_http_response *r, const void *data, size_t size)
{
    struct checker *c = arg;
    const char *bytes = data;

    CHECK_EQ(r->status, 200);
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != pattern(c->got + i))
            test_fail(__FILE__, __LINE__, "byte %zu", c->got + i);
    c->got += size;
    if (c->slow)
        rn_sleep(RN_MILLISECOND);
    return 0;
}
static int zeros(void *arg, const rn_http_response *r, const void *data, size_t size)
{
    size_t *got = arg;

    (void)r;
    (void)data;
    *got += size;
    rn_yield();
    return 0;
}

/* A callback that parks: curl is paused and goes on, in HTTP/1 and HTTP/2, and while it unpacks. */
NGINX_TEST(http_nginx_large_bodies_to_a_slow_callback)
{
    size_t got = 0;

    for (int port = 0; port < 2; port++)
        for (int slow = 0; slow < 2; slow++) {
            struct checker c = {0, slow};
            rn_http_response *r = answer(
                client, (rn_http_request){.url = at(port, "/big.bin"), .write = checks, .arg = &c});

            CHECK_EQ(r->version, port ? 20 : 11);
            CHECK_EQ(c.got, BIG);
            rn_http_response_free(r);
        }
    rn_http_response_free(
        answer(client, (rn_http_request){.url = at(1, "/zeros.txt"), .write = zeros, .arg = &got}));
    CHECK_EQ(got, 50 << 20);
}

static ssize_t patterns(void *arg, void *buf, size_t size)
{
    size_t *sent = arg, n = BIG - *sent < size ? BIG - *sent : size;

    for (size_t i = 0; i < n; i++)
        ((char *)buf)[i] = pattern(*sent + i);
    *sent += n;
    rn_sleep(RN_MICROSECOND);
    return (ssize_t)n;
}

NGINX_TEST(http_nginx_uploads)
{
    for (int i = 0; i < 4; i++) {
        struct checker c = {0, false};
        size_t sent = 0;
        char path[32];
        rn_http_response *r;

        snprintf(path, sizeof path, "/put/%d", i);
        r = answer(client, (rn_http_request){.url = at(i / 2, path),
                                             .method = "PUT",
                                             .read = patterns,
                                             .read_size = i % 2 ? BIG : 0,
                                             .arg = &sent});
        CHECK_EQ(r->status, 201);
        rn_http_response_free(r);
        CHECK_EQ(sent, BIG);
        r = answer(client, (rn_http_request){.url = at(i / 2, path), .write = checks, .arg = &c});
        CHECK_EQ(c.got, BIG);
        rn_http_response_free(r);
        r = answer(client, (rn_http_request){.url = at(i / 2, path), .method = "DELETE"});
        CHECK_EQ(r->status, 204);
        rn_http_response_free(r);
    }
}

NGINX_TEST(http_nginx_certificates)
{
    static const struct {
        int port, err;
        const char *says;
    } bad[] = {{2, -EKEYREJECTED, "localhost"},
               {3, -EKEYEXPIRED, "expired"},
               {4, -EKEYREJECTED, "issuer"}};
    rn_http_client *system = client_of((rn_http_options){0});
    rn_http_client *insecure = client_of((rn_http_options){.insecure = true});
    rn_http_request rq;
    rn_http_response *r;
    int err;

    for (int i = 0; i < 3; i++) {
        rq = (rn_http_request){.url = at(bad[i].port, "/")};
        err = rn_http_do(NULL, client, &rq, &r);
        if (err != bad[i].err)
            test_fail(__FILE__, __LINE__, "%d: %d: %s", bad[i].port, err, rn_errmsg(err));
        says(err, bad[i].says);
        rn_http_response_free(answer(insecure, rq));
    }
    /* Whom we trust, the system does not know. */
    rq = (rn_http_request){.url = at(1, "/end")};
    CHECK_EQ(rn_http_do(NULL, system, &rq, &r), -EKEYREJECTED);
    /* A client that has been refused, or was not careful, is no easier for the next. */
    rn_http_response_free(answer(insecure, rq));
    CHECK_EQ(rn_http_do(NULL, system, &rq, &r), -EKEYREJECTED);
    rn_http_response_free(answer(client, rq));
    rq.url = at(0, "/hello");
    rn_http_response_free(answer(system, rq));
    /* TLS where there is none, and none where there is. */
    {
        char url[100];

        snprintf(url, sizeof url, "https://127.0.0.1:%d/", server.ports[0]);
        rq.url = url;
        err = rn_http_do(NULL, client, &rq, &r);
        CHECK_EQ(err, -EPROTO);
        snprintf(url, sizeof url, "http://127.0.0.1:%d/", server.ports[1]);
        err = rn_http_do(NULL, client, &rq, &r);
        if (!err) {
            CHECK_EQ(r->status, 400); /* nginx is friendly */
            rn_http_response_free(r);
        }
    }
    rn_http_client_release(system);
    rn_http_client_release(insecure);
}

NGINX_TEST(http_nginx_client_certificates)
{
    rn_http_request rq = {.url = at(1, "/who")};
    rn_http_response *r = answer(client, rq);
    rn_http_client *known;
    char cert[200], key[200];

    CHECK_STR(r->body, "NONE:");
    rn_http_response_free(r);
    snprintf(cert, sizeof cert, "%s", in_folder("client.pem"));
    snprintf(key, sizeof key, "%s", in_folder("client.key"));
    known = client_of((rn_http_options){.ca_pem = ca_pem, .cert_file = cert, .key_file = key});
    r = answer(known, rq);
    CHECK_STR(r->body, "SUCCESS:CN=client");
    rn_http_response_free(r);
    rn_http_client_release(known);
    /* A key that is another's. */
    snprintf(key, sizeof key, "%s", in_folder("good.key"));
    known = client_of((rn_http_options){.ca_pem = ca_pem, .cert_file = cert, .key_file = key});
    CHECK_EQ(rn_http_do(NULL, known, &rq, &r), -EINVAL);
    rn_http_client_release(known);
}

NGINX_TEST(http_nginx_keeps_connections)
{
    char first[32] = "";

    for (int port = 0; port < 2; port++) {
        for (int i = 0; i < 10; i++) {
            rn_http_response *r =
                answer(client, (rn_http_request){.url = at(port, port ? "/end" : "/hello")});
            const char *connection = rn_http_header(r, "X-Connection");

            CHECK(connection);
            if (i > 0)
                CHECK_STR(connection, first);
            snprintf(first, sizeof first, "%s", connection);
            rn_http_response_free(r);
        }
    }
}

static void get_text(const char *url, size_t size, int n, _Atomic int *good)
{
    for (int i = 0; i < n; i++) {
        rn_http_response *r = answer(client, (rn_http_request){.url = url, .raw = i % 2});

        CHECK_EQ(r->status, 200);
        CHECK_EQ(r->size, size);
        rn_http_response_free(r);
        ++*good;
    }
}

NGINX_TEST(http_nginx_200_at_the_same_time)
{
    char urls[2][200];
    _Atomic int good = 0;
    struct stat st;
    rn_wg wg = {0};

    CHECK_EQ(stat(in_folder("www/text.txt"), &st), 0);
    for (int i = 0; i < 2; i++)
        snprintf(urls[i], sizeof urls[i], "%s", at(i, "/text.txt"));
    for (int i = 0; i < 200; i++)
        rn_wg_go(&wg, get_text, (const char *)urls[i % 2], (size_t)st.st_size, 2, &good);
    rn_wg_wait(&wg);
    CHECK_EQ(good, 400);
}

static void small_stack(const char *url)
{
    rn_http_response_free(answer(client, (rn_http_request){.url = url, .fresh = true}));
}

NGINX_TEST(http_nginx_tls_on_a_small_stack)
{
    for (int i = 0; i < 2; i++)
        rn_go_with(RN_ATTR(.stack_size = 64 << 10), small_stack, at(1, i ? "/text.txt" : "/end"));
    CHECK_EQ(rn_settle(60 * RN_SECOND), 0);
}

/* An idle connection keeps nobody from seeing that all are asleep. */
static void deadlock(void)
{
    rn_chan(int) never = rn_chan_make(int, 0);

    rn_http_response_free(answer(client, (rn_http_request){.url = at(0, "/hello")}));
    rn_recv(never);
}
static void deadlock_run(void)
{
    (void)!rn_run(with_client, deadlock);
}

PLAIN_TEST(http_nginx_a_kept_connection_hides_no_deadlock)
{
    CHECK_EQ(server_folder(&server), 0);
    write_world();
    if (server_nginx(&server, conf) != 0) {
        server_stop(&server);
        FAIL(server.problem);
    }
    test_expect_death(__FILE__, __LINE__, deadlock_run,
                      "fatal error: all goroutines are asleep - deadlock!");
    server_stop(&server);
}
