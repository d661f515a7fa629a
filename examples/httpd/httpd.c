/* SPDX-License-Identifier: MIT */
/*
 * httpd - serves the files beneath a folder.
 *
 *     httpd [--listen ADDRESS] [--root DIR] [--cert FILE [--key FILE]] [--links] [--quiet]
 *
 *   --listen  tcp address; 127.0.0.1:8080 if absent
 *   --root    what is served; . if absent. Nothing outside of it is reached
 *   --cert    serve HTTPS, with this certificate and its chain; where librunnel-tls was there to build with
 *   --key     its private key; if absent it stands with the certificate
 *   --links   follow symbolic links that stay inside; without it they are not there
 *   --quiet   no access log
 *
 * Ranges and conditional requests are answered as browsers ask them; a folder is shown as its index.html, or listed.
 * SIGINT and SIGTERM end it in order.
 */
#include <runnel.h>
#include <runnel/httpd.h>
#ifdef HAVE_TLS
#include <runnel/tls.h>
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct site {
    int root;
    bool links;
};

static void put_html(rn_httpd_response *rs, const char *s)
{
    for (size_t n; *s; s += n) {
        n = strcspn(s, "<>&\"");
        rn_httpd_write(rs, s, n);
        if (s[n])
            rn_httpd_printf(rs, "&#%d;", s[n++]);
    }
}

static void put_link(rn_httpd_response *rs, const char *s)
{
    for (; *s; s++)
        if (strchr("-._~", *s) || (*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') ||
            (*s >= 'A' && *s <= 'Z'))
            rn_httpd_write(rs, s, 1);
        else
            rn_httpd_printf(rs, "%%%02X", (unsigned char)*s);
}

static void put_row(rn_httpd_response *rs, const char *name, const struct stat *st)
{
    static const char units[] = "BKMGT";
    double size = (double)st->st_size;
    const char *slash = S_ISDIR(st->st_mode) ? "/" : "";
    char when[40] = "";
    struct tm tm;
    int unit = 0;

    while (size >= 1024 && unit < 4) {
        size /= 1024;
        unit++;
    }
    if (gmtime_r(&st->st_mtime, &tm))
        strftime(when, sizeof when, "%Y-%m-%d %H:%M", &tm);
    rn_httpd_printf(rs, "<tr><td><a href=\"");
    put_link(rs, name);
    rn_httpd_printf(rs, "%s\">", slash);
    put_html(rs, name);
    rn_httpd_printf(rs, "%s</a></td><td>%s</td><td>", slash, when);
    if (!*slash)
        rn_httpd_printf(rs, unit ? "%.1f %c" : "%.0f %c", size, units[unit]);
    rn_httpd_printf(rs, "</td></tr>\n");
}

static void list(rn_httpd_request *rq, rn_httpd_response *rs, const struct site *site, int dir)
{
    struct dirent **names = NULL;
    char proc[40];
    int n;

    snprintf(proc, sizeof proc, "/proc/self/fd/%d", dir);
    n = rn_blocking(scandir(proc, &names, NULL, alphasort));
    if (n < 0) {
        rn_httpd_error(rs, 403, NULL);
        return;
    }
    rn_httpd_set_header(rs, "Content-Type", "text/html; charset=utf-8");
    rn_httpd_printf(rs, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                        "<meta name=\"viewport\" content=\"width=device-width\"><title>");
    put_html(rs, rn_httpd_path(rq));
    rn_httpd_printf(
        rs,
        "</title>\n<style>:root{color-scheme:light dark}"
        "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}"
        "h1{font-size:1.3rem;word-break:break-all}table{border-collapse:collapse;width:100%%}"
        "td{padding:.3rem .6rem;border-top:1px solid #8884}"
        "td+td{white-space:nowrap;text-align:right;opacity:.7;font-variant-numeric:tabular-nums}"
        "a{text-decoration:none}a:hover{text-decoration:underline}"
        "tr:hover{background:#8881}</style></head>\n<body><h1>");
    put_html(rs, rn_httpd_path(rq));
    rn_httpd_printf(rs, "</h1>\n<table>\n");
    if (strcmp(rn_httpd_path(rq), "/") != 0)
        rn_httpd_printf(rs, "<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    for (int i = 0; i < n; i++) {
        const char *name = names[i]->d_name;
        struct stat st;

        if (name[0] != '.' && fstatat(dir, name, &st, site->links ? 0 : AT_SYMLINK_NOFOLLOW) == 0 &&
            (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
            put_row(rs, name, &st);
        free(names[i]);
    }
    free(names);
    rn_httpd_printf(rs, "</table></body></html>\n");
}

static void redirect_to_folder(rn_httpd_request *rq, rn_httpd_response *rs)
{
    const char *target = rn_httpd_target(rq);
    size_t n = strcspn(target, "?");
    char location[4096];

    while (target[0] == '/' && target[1] == '/') { /* that would be another host */
        target++;
        n--;
    }
    snprintf(location, sizeof location, "%.*s/%s", (int)n, target, target + n);
    rn_httpd_redirect(rs, 301, location);
}

static void show(rn_httpd_request *rq, rn_httpd_response *rs, const struct site *site)
{
    const char *path = rn_httpd_path(rq);
    int fd = rn_httpd_open_beneath(site->root, path, site->links), index;

    if (fd < 0) {
        rn_httpd_error(rs, fd == -EACCES ? 403 : 404, NULL);
        return;
    }
    if (rn_httpd_send_fd(rq, rs, fd, path) == -EISDIR) {
        if (path[strlen(path) - 1] != '/') {
            redirect_to_folder(rq, rs);
        } else {
            index = rn_httpd_open_beneath(fd, "index.html", site->links);
            if (index < 0 || rn_httpd_send_fd(rq, rs, index, "index.html") == -EISDIR)
                list(rq, rs, site, fd);
            if (index >= 0)
                close(index);
        }
    }
    close(fd);
}

static void log_access(void *arg, const rn_httpd_request *rq, const rn_httpd_response *rs)
{
    char peer[RN_ADDR_TEXT] = "-", target[200];
    rn_addr a;
    size_t n = 0;

    (void)arg;
    if (rn_httpd_remote(rq, &a) == 0)
        rn_addr_text(&a, peer, sizeof peer);
    for (const char *s = rn_httpd_target(rq); *s && n < sizeof target - 1; s++)
        target[n++] = *s == '"' || (unsigned char)*s >= 127 ? '?' : *s;
    target[n] = 0;
    printf("%s \"%s %s\" %d %lld\n", peer, rn_httpd_method(rq), target, rn_httpd_status(rs),
           (long long)rn_httpd_written(rs));
}

struct options {
    const char *address, *cert, *key;
    bool quiet;
};

#ifdef HAVE_TLS
/* What HTTPS needs, NULL without --cert: a certificate, read before anybody can connect. */
static int secure_start(const struct options *o, rn_tls_config **ret_config)
{
    rn_tls_cert cert = {.cert_file = o->cert, .key_file = o->key};

    *ret_config = NULL;
    if (!o->cert)
        return 0;
    return rn_tls_config_new(&(rn_tls_options){.certs = &cert, .cert_count = 1}, ret_config);
}
static int secure_serve(rn_ctx *stop, rn_httpd *h, rn_listener *l, rn_tls_config *config)
{
    return config ? rn_httpd_serve_over(stop, h, l, rn_tls_httpd(), config)
                  : rn_httpd_serve(stop, h, l);
}
static void secure_end(rn_tls_config *config)
{
    rn_tls_config_release(config);
}
#else
typedef struct rn_tls_config rn_tls_config;

static int secure_start(const struct options *o, rn_tls_config **ret_config)
{
    *ret_config = NULL;
    return o->cert ? rn_errorf(-ENOTSUP, "--cert %s: built without librunnel-tls", o->cert) : 0;
}
static int secure_serve(rn_ctx *stop, rn_httpd *h, rn_listener *l, rn_tls_config *config)
{
    (void)config;
    return rn_httpd_serve(stop, h, l);
}
static void secure_end(rn_tls_config *config)
{
    (void)config;
}
#endif

static int serve(const struct options *o, struct site *site)
{
    rn_httpd_options options = {.log = o->quiet ? NULL : log_access};
    rn_ctx *stop = rn_ctx_with_signals(rn_ctx_background(), SIGINT, SIGTERM);
    rn_httpd *h = rn_httpd_new(&options);
    rn_tls_config *config;
    char text[RN_ADDR_TEXT];
    rn_listener *l;
    rn_addr at;
    int err = secure_start(o, &config);

    if (!err)
        err = rn_listen("tcp", o->address, &l);
    if (!err) {
        rn_httpd_handle(h, "GET /", show, site);
        if (rn_listener_addr(l, &at) == 0 && rn_addr_text(&at, text, sizeof text) > 0)
            printf("listening at %s\n", text);
        fflush(stdout);
        err = secure_serve(stop, h, l, config);
    }
    if (err < 0)
        fprintf(stderr, "httpd: %s\n", rn_errmsg(err));
    else
        printf("stopped: %s\n", rn_errmsg(rn_ctx_cause(stop)));
    secure_end(config);
    rn_httpd_free(h);
    rn_ctx_end(stop);
    return err < 0;
}

int main(int argc, char **argv)
{
    struct options o = {.address = "127.0.0.1:8080"};
    const char *root = ".";
    struct site site = {0};

    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--listen") == 0 && i + 1 < argc)
            o.address = argv[++i];
        else if (strcmp(argv[i], "--root") == 0 && i + 1 < argc)
            root = argv[++i];
        else if (strcmp(argv[i], "--cert") == 0 && i + 1 < argc)
            o.cert = argv[++i];
        else if (strcmp(argv[i], "--key") == 0 && i + 1 < argc)
            o.key = argv[++i];
        else if (strcmp(argv[i], "--links") == 0)
            site.links = true;
        else if (strcmp(argv[i], "--quiet") == 0)
            o.quiet = true;
        else {
            fprintf(stderr,
                    "usage: httpd [--listen ADDRESS] [--root DIR] [--cert FILE [--key FILE]]"
                    " [--links] [--quiet]\n");
            return 2;
        }
    if (o.key && !o.cert) {
        fprintf(stderr, "httpd: --key %s without --cert FILE\n", o.key);
        return 2;
    }
    site.root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (site.root < 0) {
        perror(root);
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    return rn_run(serve, (const struct options *)&o, &site);
}
