/* SPDX-License-Identifier: MIT */
/*
 * transfer.c - a request: its hops from redirect to redirect, and how each is driven. See http.h.
 *
 * A step is: let curl work at what is ready (everything of curl's is in there, and nothing of the user's), then give the
 * user's callbacks what has come and ask them for what is wanted, then wait. Between inside() and outside() the line is
 * this goroutine's for certain; outside of that it may never come back, if its run ends.
 *
 * Flow. Body bytes for a callback go to l->in; with BUFFER bytes in it curl is paused and keeps what it has. Bytes from a
 * callback come from l->out; when curl wants some and there are none it is paused too. After the callbacks both are let
 * go on. A body in memory is appended to or read from directly.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <runnel/ctx.h>
#include <runnel/err.h>
#include <runnel/go.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/http.h"

static const int64_t memory_default = 64 << 20;
/* CURLE_TOO_LARGE, which older headers do not have. */
static const CURLcode too_large = (CURLcode)100;

struct transfer {
    rn_ctx *ctx; /* of the caller, with the timeout; NULL: none */
    rn_ctx *callers;
    const rn_http_request *rq;
    rn_http_client *client;
    struct line *l;
    int redirects;
    bool dropped_body; /* by a redirect: GET from here on */
    bool other_server; /* a redirect has led away */
    bool kept;         /* nothing went wrong */

    /* Of a hop: */
    char scheme[8], host[256], peer[300];
    int port;
    const char *method;
    bool has_body, answered, following, cut, paused, wants, source_end, rewind_wanted, again;
    bool until_end;      /* the body has no other end than the connection's */
    bool goodbye;        /* TLS has said that it comes */
    const SSL *ssl;      /* of the connection; NULL: none */
    bool known, unknown; /* the addresses are curl's; are not, and curl wants to connect */
    int err;             /* of a callback, or a limit; ends the hop */
    const char *why;
    size_t head_size, dropped, sent;
    int64_t max_body, got;
    rn_time progress; /* since when there is none; 0: there just was */
};

/* ---- Whose the line is ---------------------------------------------------------------------------------------- */

static void outside(struct line *l)
{
    store_release(&l->place, OUTSIDE); /* pairs with clear_away */
}

static void inside(struct line *l)
{
    uint32_t place = OUTSIDE;

    if (!cas_acq_rel(&l->place, &place,
                     INSIDE)) /* cleared away: the caller is of a run that is over */
        for (;;)
            rn_yield(); /* does not return */
}

/* By a return, or by a callback's rn_exit. */
static void transfer_end(void *arg)
{
    struct transfer *t = arg;
    struct line *l = t->l;

    if (!l) {
        rn__http_client_end(t->client);
        return;
    }
    if (load_relaxed(&l->place) != INSIDE)
        inside(l);
    if (l->added)
        curl_multi_remove_handle(l->multi, l->easy);
    l->added = false;
    curl_easy_reset(l->easy);
    if (l->limit)
        rn_ctx_end(l->limit);
    l->limit = NULL;
    if (l->response)
        rn_http_response_free(&l->response->pub);
    l->response = NULL;
    curl_slist_free_all(l->headers);
    curl_slist_free_all(l->addresses);
    l->headers = l->addresses = NULL;
    rn__http_bytes_free(&l->in);
    rn__http_bytes_free(&l->out);
    free(l->url);
    l->url = NULL;
    l->t = NULL;
    rn__http_line_give(l, t->kept);
    t->l = NULL;
}

/* ---- What curl calls ------------------------------------------------------------------------------------------ */

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* How long the body is, is said once or alike, and is a number. Of several curl takes one, and somebody on the way may
 * have taken another (RFC 9112, 6.3). */
static bool length_is_clear(const rn_http_response *r)
{
    const char *name, *value, *first = NULL;

    for (int i = 0; rn_http_header_at(r, i, &name, &value); i++) {
        if (strcasecmp(name, "Content-Length") != 0)
            continue;
        if (value[strspn(value, "0123456789")] || (first && strcmp(first, value) != 0))
            return false;
        first = value;
    }
    return true;
}

static bool is_until_end(const struct transfer *t)
{
    const rn_http_response *r = &t->l->response->pub;

    return r->version != 20 && r->status != 204 && r->status != 304 &&
           strcmp(t->method, "HEAD") != 0 && !rn_http_header(r, "Content-Length") &&
           !rn_http_header(r, "Transfer-Encoding");
}

static const SSL *ssl_of(CURL *easy)
{
    const struct curl_tlssessioninfo *tls = NULL;

    curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &tls);
    return tls && tls->backend == CURLSSLBACKEND_OPENSSL ? tls->internals : NULL;
}

/* The head is complete. 0, or an error that ends the hop. */
static int on_head(struct transfer *t)
{
    struct response *r = t->l->response;
    const char *length = rn_http_header(&r->pub, "Content-Length");
    long status = 0, version = 0;

    curl_easy_getinfo(t->l->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(t->l->easy, CURLINFO_HTTP_VERSION, &version);
    r->pub.status = (int)status;
    r->pub.version = version == CURL_HTTP_VERSION_1_0 ? 10
                     : version == CURL_HTTP_VERSION_2 ? 20
                                                      : 11;
    if (status < 200)
        return 0; /* an interim one */
    if (!length_is_clear(&r->pub)) {
        t->why = "the head says no one length of the body";
        return -EBADMSG;
    }
    t->answered = true;
    t->until_end = is_until_end(t);
    t->ssl = ssl_of(t->l->easy);
    t->following = !t->rq->no_redirect && is_redirect((int)status) &&
                   rn_http_header(&r->pub, "Location");
    if (!t->following && t->max_body >= 0 && length && strcmp(t->method, "HEAD") != 0 &&
        strtoll(length, NULL, 10) > t->max_body) {
        t->why = "the body is larger than max_body";
        return -EFBIG;
    }
    return 0;
}

static size_t on_header(char *line, size_t one, size_t size, void *arg)
{
    struct transfer *t = arg;
    struct response *r = t->l->response;

    (void)one;
    t->head_size += size;
    if (t->head_size > t->client->options.max_head) {
        t->why = "the head is larger than max_head";
        t->err = -EMSGSIZE;
    } else if (size >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        rn__http_response_reset(r);
    } else if (size == 0 || line[0] == '\r' || line[0] == '\n') {
        t->err = on_head(t);
    } else {
        t->err = rn__http_response_line(r, line, size);
    }
    return t->err ? 0 : size;
}

static size_t on_body(char *data, size_t one, size_t size, void *arg)
{
    struct transfer *t = arg;
    struct line *l = t->l;
    bool to_callback = t->rq->write != NULL;

    (void)one;
    if (t->following) {
        t->dropped += size;
        t->cut = t->dropped > DROP_MAX; /* not worth it: another connection is cheaper */
        return t->cut ? 0 : size;
    }
    if (to_callback && l->in.size >= BUFFER) {
        t->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    t->got += (int64_t)size;
    if (t->max_body >= 0 && t->got > t->max_body) {
        t->why = "the body is larger than max_body";
        t->err = -EFBIG;
    } else if (!rn__http_bytes_add(to_callback ? &l->in : &l->response->body, data, size)) {
        t->err = -ENOMEM;
    }
    return t->err ? 0 : size;
}

static size_t on_read(char *buf, size_t one, size_t room, void *arg)
{
    struct transfer *t = arg;
    struct line *l = t->l;
    size_t n;

    (void)one;
    if (!t->rq->read) {
        n = t->rq->body_size - t->sent < room ? t->rq->body_size - t->sent : room;
        if (n > 0)
            memcpy(buf, (const char *)t->rq->body + t->sent, n);
        t->sent += n;
        return n;
    }
    if (l->out_at == l->out.size) {
        if (t->source_end)
            return 0;
        t->wants = true;
        return CURL_READFUNC_PAUSE;
    }
    n = l->out.size - l->out_at < room ? l->out.size - l->out_at : room;
    memcpy(buf, l->out.data + l->out_at, n);
    l->out_at += n;
    t->sent += n;
    return n;
}

/* curl wants to send the body anew, on another connection. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct transfer *t = arg;

    if (origin != SEEK_SET || offset < 0)
        return CURL_SEEKFUNC_FAIL;
    if (!t->rq->read && (uint64_t)offset <= t->rq->body_size) {
        t->sent = (size_t)offset;
        return CURL_SEEKFUNC_OK;
    }
    /* The user's rewind is not for here: see again. */
    t->rewind_wanted = t->sent > 0 || t->source_end;
    return offset == 0 && !t->rewind_wanted ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    int fd = rn__http_socket(a->family, a->socktype, a->protocol);

    (void)arg;
    (void)purpose;
    if (fd >= 0)
        rn__net_tcp_options(fd); /* else who waits for a peer that has vanished waits for ever */
    return fd;
}

/* curl makes a connection, to a name that it has no addresses for. Looking it up waits, and so is not for here: without
 * them nothing has been sent, and the hop begins again. */
static int on_resolve(void *state, void *reserved, void *arg)
{
    struct transfer *t = arg;

    (void)state;
    (void)reserved;
    t->unknown = !t->known;
    return t->unknown;
}

static int on_close(void *arg, curl_socket_t fd)
{
    (void)arg;
    rn__http_close(fd);
    return 0;
}

/* curl takes an end of the stream without a goodbye for the body's, although whoever sits in between could make it. */
static void on_alert(const SSL *ssl, int what, int alert)
{
    const struct line *l = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), rn__http_ssl_index());

    if (l && l->t && l->t->ssl == ssl && what == SSL_CB_READ_ALERT &&
        (alert & 0xff) == SSL_AD_CLOSE_NOTIFY)
        l->t->goodbye = true;
}

static CURLcode on_ssl(CURL *easy, void *ssl_ctx, void *arg)
{
    struct transfer *t = arg;
    X509_STORE *store;

    (void)easy;
    if (SSL_CTX_set_ex_data(ssl_ctx, rn__http_ssl_index(), t->l) != 1)
        return CURLE_OUT_OF_MEMORY;
    SSL_CTX_set_info_callback(ssl_ctx, on_alert);
    if (t->client->options.insecure)
        return CURLE_OK;
    store = rn__http_store(t->client);
    if (!store)
        return CURLE_SSL_CACERT_BADFILE;
    SSL_CTX_set1_cert_store(ssl_ctx, store);
    return CURLE_OK;
}

/* ---- URLs ----------------------------------------------------------------------------------------------------- */

static int fail(const struct transfer *t, int err, const char *text)
{
    return rn_errorf(err, "http %s: %s", t->peer, text);
}

static CURLUcode part(CURLU *u, CURLUPart what, unsigned flags, char *to, size_t size)
{
    char *text = NULL;
    CURLUcode code = curl_url_get(u, what, &text, flags);

    if (!code && strlen(text) >= size)
        code = CURLUE_BAD_HOSTNAME;
    if (!code)
        memcpy(to, text, strlen(text) + 1);
    curl_free(text);
    return code;
}

static int no_url(CURLUcode code)
{
    return code == CURLUE_OUT_OF_MEMORY
               ? -ENOMEM
               : rn_errorf(-EINVAL, "http: the URL is none: %s", curl_url_strerror(code));
}

/* Read t->l's URL, or url before there is a line. What the response shows of it goes to *ret_shown, if that is not
 * NULL. */
static int read_url(struct transfer *t, const char *url, char **ret_shown)
{
    CURLU *u = curl_url();
    char port[8], scheme[32], *shown = NULL;
    CURLUcode code = CURLUE_OUT_OF_MEMORY;

    if (u)
        code = curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
    if (!code)
        code = part(u, CURLUPART_SCHEME, 0, scheme, sizeof scheme);
    if (!code && strcmp(scheme, "https") != 0 &&
        (strcmp(scheme, "http") != 0 || t->client->options.https_only)) {
        curl_url_cleanup(u);
        return rn_errorf(-EPROTONOSUPPORT, "http: URLs of %s are not asked for", scheme);
    }
    if (!code) {
        memcpy(t->scheme, scheme, strlen(scheme) + 1);
        /* As curl names it; one that has no such form is curl's to refuse. */
        code = part(u, CURLUPART_HOST, CURLU_PUNYCODE, t->host, sizeof t->host);
        if (code && code != CURLUE_OUT_OF_MEMORY)
            code = part(u, CURLUPART_HOST, 0, t->host, sizeof t->host);
    }
    if (!code)
        code = part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT, port, sizeof port);
    if (!code && ret_shown) {
        curl_url_set(u, CURLUPART_USER, NULL, 0);
        curl_url_set(u, CURLUPART_PASSWORD, NULL, 0);
        code = curl_url_get(u, CURLUPART_URL, &shown, 0);
        if (!code) {
            *ret_shown = strdup(shown);
            code = *ret_shown ? CURLUE_OK : CURLUE_OUT_OF_MEMORY;
        }
        curl_free(shown);
    }
    curl_url_cleanup(u);
    if (code)
        return no_url(code);
    t->port = (int)strtol(port, NULL, 10);
    snprintf(t->peer, sizeof t->peer, "%.80s:%d", t->host, t->port);
    return 0;
}

/* Where the redirect leads. */
static int next_url(struct transfer *t)
{
    struct line *l = t->l;
    CURLU *u = curl_url();
    char *next = NULL, origin[300];
    CURLUcode code = CURLUE_OUT_OF_MEMORY;
    int status = l->response->pub.status, err;

    snprintf(origin, sizeof origin, "%s://%s:%d", t->scheme, t->host, t->port);
    if (u)
        code = curl_url_set(u, CURLUPART_URL, l->url, 0);
    if (!code)
        code = curl_url_set(u, CURLUPART_URL, rn_http_header(&l->response->pub, "Location"),
                            CURLU_URLENCODE | CURLU_NON_SUPPORT_SCHEME);
    if (!code)
        code = curl_url_get(u, CURLUPART_URL, &next, 0);
    curl_url_cleanup(u);
    if (code == CURLUE_OUT_OF_MEMORY)
        return -ENOMEM;
    if (code)
        return fail(t, -EBADMSG, "it redirects to what is no URL");
    free(l->url);
    l->url = strdup(next);
    curl_free(next);
    if (!l->url)
        return -ENOMEM;
    if (++t->redirects > t->client->options.max_redirects)
        return fail(t, -ELOOP, "too many redirects");
    /* RFC 9110, 15.4, and what everybody does. */
    if ((status == 303 && strcmp(t->method, "HEAD") != 0) ||
        ((status == 301 || status == 302) && strcmp(t->method, "POST") == 0))
        t->dropped_body = true;
    err = read_url(t, l->url, NULL);
    if (!err) {
        char now[300];

        snprintf(now, sizeof now, "%s://%s:%d", t->scheme, t->host, t->port);
        t->other_server = t->other_server || strcmp(now, origin) != 0;
    }
    return err;
}

/* ---- Options -------------------------------------------------------------------------------------------------- */

static bool has_name(const char *header, const char *name)
{
    size_t n = strlen(name);

    return strncasecmp(header, name, n) == 0 && header[n] == ':';
}

static bool add_header(struct line *l, const char *header)
{
    struct curl_slist *more = curl_slist_append(l->headers, header);

    if (more)
        l->headers = more;
    return more != NULL;
}

/* The caller's headers that go to this hop; *ret_decode: a compressed body is welcome. */
static int set_headers(struct transfer *t, bool *ret_decode)
{
    static const char *const secret[] = {"Authorization", "Cookie", "Proxy-Authorization"};
    struct line *l = t->l;
    bool expect = false;

    curl_slist_free_all(l->headers);
    l->headers = NULL;
    *ret_decode = !t->rq->raw;
    for (const char *const *h = t->rq->headers; h && *h; h++) {
        bool leave = t->dropped_body && strncasecmp(*h, "Content-", 8) == 0;

        for (int i = 0; i < 3; i++)
            leave |= t->other_server && has_name(*h, secret[i]);
        expect |= has_name(*h, "Expect");
        if (has_name(*h, "Range") || has_name(*h, "Accept-Encoding"))
            *ret_decode = false;
        if (!leave && !add_header(l, *h))
            return -ENOMEM;
    }
    /* Else curl waits a second for a permission that few servers give. */
    return expect || add_header(l, "Expect:") ? 0 : -ENOMEM;
}

static int check_request(const rn_http_request *rq)
{
    if (!rq->url)
        return rn_errorf(-EINVAL, "http: no URL");
    if (rq->method && !rn__http_is_token(rq->method, strlen(rq->method)))
        return rn_errorf(-EINVAL, "http: the method is none");
    for (const char *const *h = rq->headers; h && *h; h++)
        if (strpbrk(*h, "\r\n") || !strchr(*h, ':') || !rn__http_is_token(*h, strcspn(*h, ":")))
            return rn_errorf(-EINVAL, "http: header %d is none", (int)(h - rq->headers) + 1);
    return 0;
}

static long ms_of(rn_dur d)
{
    return d <= 0 ? 0 : (long)((d + RN_MILLISECOND - 1) / RN_MILLISECOND);
}

static void set_tls(struct transfer *t, CURL *e)
{
    const rn_http_options *o = &t->client->options;

    curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, o->insecure ? 0L : 1L);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, o->insecure ? 0L : 2L);
    curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(e, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(e, CURLOPT_CA_CACHE_TIMEOUT, 0L);
    curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, on_ssl);
    curl_easy_setopt(e, CURLOPT_SSL_CTX_DATA, t);
    curl_easy_setopt(e, CURLOPT_SSLCERT, t->client->cert_file);
    curl_easy_setopt(e, CURLOPT_SSLKEY, t->client->key_file);
}

static void set_method(const struct transfer *t, CURL *e)
{
    if (strcmp(t->method, "HEAD") == 0) {
        curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    } else if (t->has_body) {
        bool known = !t->rq->read || t->rq->read_size > 0;

        curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
        if (known)
            curl_easy_setopt(
                e, CURLOPT_INFILESIZE_LARGE,
                (curl_off_t)(t->rq->read ? t->rq->read_size : (int64_t)t->rq->body_size));
        curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, t->method);
    } else if (strcmp(t->method, "GET") != 0) {
        curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, t->method);
    }
}

static int set_options(struct transfer *t)
{
    const rn_http_options *o = &t->client->options;
    struct line *l = t->l;
    CURL *e = l->easy;
    bool decode;
    int err = set_headers(t, &decode);

    if (err)
        return err;
    curl_easy_reset(e); /* which keeps connections and names */
    l->text[0] = 0;
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, l->text);
    curl_easy_setopt(e, CURLOPT_SHARE, t->client->share);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_PROXY, t->client->proxy ? t->client->proxy : "");
    curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION,
                     (long)(o->no_http2 ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS));
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, ms_of(o->connect_timeout));
    curl_easy_setopt(e, CURLOPT_MAXAGE_CONN,
                     (long)(o->idle_timeout < 0 ? 0 : o->idle_timeout / RN_SECOND + 1));
    curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, t->rq->fresh || t->again ? 1L : 0L);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    set_tls(t, e);
    set_method(t, e);
    if (t->client->user_agent[0])
        curl_easy_setopt(e, CURLOPT_USERAGENT, t->client->user_agent);
    if (decode)
        curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(e, CURLOPT_READDATA, t);
    curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(e, CURLOPT_SEEKDATA, t);
    curl_easy_setopt(e, CURLOPT_RESOLVE, l->addresses);
    curl_easy_setopt(e, CURLOPT_RESOLVER_START_FUNCTION, on_resolve);
    curl_easy_setopt(e, CURLOPT_RESOLVER_START_DATA, t);
    if (curl_easy_setopt(e, CURLOPT_HTTPHEADER, l->headers) ||
        curl_easy_setopt(e, CURLOPT_URL, l->url))
        return -ENOMEM;
    return 0;
}

/* ---- Names ---------------------------------------------------------------------------------------------------- */

/* What the wait's end means: 0, or whose error it is. */
static int ended(const struct transfer *t)
{
    int err = t->callers ? rn_ctx_err(t->callers) : 0;

    if (!err && t->ctx && rn_ctx_err(t->ctx))
        err = fail(t, -ETIMEDOUT, "no answer within the timeout");
    return err;
}

/* To whom curl connects, as host and as host:port. */
static const char *connects_to(const struct transfer *t, char name[300])
{
    bool proxied = t->client->proxy_host != NULL;
    const char *host = proxied ? t->client->proxy_host : t->host;

    snprintf(name, 300, "%s:%d", host, proxied ? t->client->proxy_port : t->port);
    return host;
}

static int give_addresses(struct line *l, const char *list)
{
    curl_slist_free_all(l->addresses);
    l->addresses = curl_slist_append(NULL, list);
    return l->addresses ? 0 : -ENOMEM;
}

/* Have curl forget what earlier connections were made with, which it would keep for good: it asks then if it makes one. */
static int forget_addresses(struct transfer *t)
{
    char name[300], list[302];
    const char *host = connects_to(t, name);
    rn_addr a;

    curl_slist_free_all(t->l->addresses);
    t->l->addresses = NULL;
    /* A number, or what curl itself knows for this machine. */
    t->known = host[0] == '[' || rn_addr_parse(&a, "tcp", name) == 0 ||
               strcasecmp(host, "localhost") == 0;
    snprintf(list, sizeof list, "-%s", name);
    return t->known ? 0 : give_addresses(t->l, list);
}

static int look_up(struct transfer *t)
{
    struct line *l = t->l;
    char name[300], list[80 + ADDRS * RN_ADDR_TEXT], text[RN_ADDR_TEXT];
    const char *host = connects_to(t, name);
    rn_addr addrs[ADDRS];
    rn_ctx *bound;
    size_t at;
    int n;

    n = rn__ctx_with_timeout_err(t->ctx ? t->ctx : rn_ctx_background(),
                                 t->client->options.connect_timeout, &bound);
    if (n)
        return n;
    l->bound = bound;
    outside(l);
    n = rn_lookup(bound, host, 0, addrs, ADDRS);
    inside(l);
    l->bound = NULL;
    if (n < 0) {
        int err = ended(t);

        if (!err)
            err = rn_ctx_err(bound) ? fail(t, -ETIMEDOUT, "its name is not found in time")
                                    : fail(t, n, rn_errmsg(n));
        rn_ctx_end(bound);
        return err;
    }
    rn_ctx_end(bound);
    at = (size_t)snprintf(list, sizeof list, "%s", name);
    for (int i = 0; i < n && i < ADDRS; i++) {
        char *end;

        if (rn_addr_text(&addrs[i], text, sizeof text) <= 0)
            continue;
        end = strrchr(text, ':'); /* the port */
        if (end)
            *end = 0;
        at += (size_t)snprintf(list + at, sizeof list - at, "%c%s", i == 0 ? ':' : ',', text);
    }
    t->known = true;
    return give_addresses(l, list);
}

/* ---- Driving -------------------------------------------------------------------------------------------------- */

struct ready {
    int fds[SOCKETS], events[SOCKETS], count;
};

/* Several sockets: while a connection is made to one of several addresses. */
static int wait_for_all(struct line *l, rn_ctx *ctx, struct ready *ready)
{
    int err = l->poll = rn__http_poll_new();

    if (err < 0) {
        l->poll = -1;
        return err;
    }
    for (int i = 0; i < l->socket_count; i++)
        if (!rn__http_poll_add(l->poll, l->sockets[i].fd, l->sockets[i].events)) {
            rn__http_close(l->poll);
            l->poll = -1;
            return -ENOMEM;
        }
    outside(l);
    err = rn_wait_fd(l->poll, RN_READ, ctx);
    inside(l);
    ready->count = rn__http_poll_get(l->poll, ready->fds, ready->events);
    rn__http_close(l->poll);
    l->poll = -1;
    return err;
}

/* Wait until a socket is ready or it is time for something. 0 with what is ready, or an error. */
static int wait_ready(struct transfer *t, struct ready *ready)
{
    struct line *l = t->l;
    rn_dur stall = t->client->options.stall_timeout;
    rn_time until = l->due, now = rn_now();
    rn_ctx *ctx = t->ctx;
    int err = 0, whose;

    ready->count = 0;
    if (t->progress == 0)
        t->progress = now;
    if (stall > 0 && (until == 0 || t->progress + stall < until))
        until = t->progress + stall;
    if (until) {
        err = rn__ctx_with_timeout_err(ctx ? ctx : rn_ctx_background(), until - now, &l->bound);
        if (err)
            return err;
        ctx = l->bound;
    }
    if (l->socket_count > 1) {
        err = wait_for_all(l, ctx, ready);
    } else if (l->socket_count == 1) {
        outside(l);
        err = rn_wait_fd(l->sockets[0].fd, l->sockets[0].events, ctx);
        inside(l);
        if (err > 0)
            *ready = (struct ready){{l->sockets[0].fd}, {err}, 1};
    } else if (until) {
        outside(l);
        err = rn_sleep_ctx(t->ctx, until - now);
        inside(l);
    } else {
        err = -EIO; /* curl waits for nothing: it never does */
    }
    if (l->bound) {
        rn_ctx_end(l->bound);
        l->bound = NULL;
    }
    whose = ended(t);
    if (whose)
        return whose;
    if (ready->count > 0)
        t->progress = 0;
    else if (stall > 0 && rn_now() - t->progress >= stall)
        return fail(t, -ETIMEDOUT, "nothing comes");
    return err < 0 && err != -ETIMEDOUT ? err : 0;
}

/* Let curl work at what is ready, or due. */
static void work(struct line *l, const struct ready *ready)
{
    int running;

    rn__http_begin_work();
    for (int i = 0; i < ready->count; i++)
        curl_multi_socket_action(l->multi, ready->fds[i],
                                 (ready->events[i] & RN_READ ? CURL_CSELECT_IN : 0) |
                                     (ready->events[i] & RN_WRITE ? CURL_CSELECT_OUT : 0),
                                 &running);
    if (l->due && l->due <= rn_now()) {
        l->due = 0;
        curl_multi_socket_action(l->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
}

/* The user's turn. 0, or an error that ends the request. */
static int callbacks(struct transfer *t)
{
    struct line *l = t->l;
    int err = 0;

    if (l->in.size > 0) {
        outside(l);
        err = t->rq->write(t->rq->arg, &l->response->pub, l->in.data, l->in.size);
        inside(l);
        l->in.size = 0;
    }
    if (err >= 0 && t->wants) {
        ssize_t n;

        outside(l);
        n = t->rq->read(t->rq->arg, l->out.data, l->out.room);
        inside(l);
        if (n > (ssize_t)l->out.room)
            rn_panic("http: read returned more than there is room for");
        t->wants = false;
        t->paused = true; /* in this direction */
        t->source_end = n == 0;
        l->out.size = n > 0 ? (size_t)n : 0;
        l->out_at = 0;
        err = n < 0 ? (int)n : 0;
    }
    return err < 0 ? err : 0;
}

static bool finished(const struct line *l, CURLcode *ret_code)
{
    int left;
    const CURLMsg *m = curl_multi_info_read(l->multi, &left);

    if (!m || m->msg != CURLMSG_DONE)
        return false;
    *ret_code = m->data.result;
    /* What is beyond one of its limits has no code of its own before libcurl 8.6. */
    if (*ret_code == CURLE_OUT_OF_MEMORY && !rn__http_short_of_memory())
        *ret_code = too_large;
    return true;
}

/* One exchange. *ret_code is curl's word; an error is of the user's, the context's or a time. */
static int drive(struct transfer *t, CURLcode *ret_code)
{
    struct line *l = t->l;
    struct ready ready = {.count = 0};
    bool done = false;
    int err;

    l->due = 0;
    if (curl_multi_add_handle(l->multi, l->easy) != CURLM_OK)
        return -ENOMEM;
    l->added = true;
    t->progress = 0;
    do {
        work(l, &ready);
        ready.count = 0;
        done = finished(l, ret_code);
        if (l->in.size > 0 || (t->wants && !done)) {
            err = t->err ? 0 : callbacks(t);
            if (!err)
                err = ended(t);
            if (err)
                return err;
            t->progress = 0;
        }
        if (!done && t->paused) {
            CURLcode code;

            t->paused = false;
            code = curl_easy_pause(l->easy, CURLPAUSE_CONT);
            if (code) {
                *ret_code = code;
                return 0;
            }
        } else if (!done) {
            err = l->due && l->due <= rn_now() ? ended(t) : wait_ready(t, &ready);
            if (err)
                return err;
        }
    } while (!done);
    return 0;
}

/* ---- Hops ----------------------------------------------------------------------------------------------------- */

static bool sends_body(const struct transfer *t)
{
    return !t->dropped_body &&
           (t->rq->body_size > 0 || t->rq->read || strcmp(t->method, "POST") == 0 ||
            strcmp(t->method, "PUT") == 0 || strcmp(t->method, "PATCH") == 0);
}

static const char *method_of(const struct transfer *t)
{
    const rn_http_request *rq = t->rq;

    if (t->dropped_body)
        return "GET";
    return rq->method ? rq->method : rq->body_size > 0 || rq->read ? "POST" : "GET";
}

/* The body from its beginning. */
static int begin_body(struct transfer *t)
{
    struct line *l = t->l;
    int err = 0;

    l->out.size = l->out_at = 0;
    if (t->has_body && t->rq->read) {
        if (t->sent > 0 || t->source_end) {
            if (!t->rq->rewind)
                return fail(t, -ESPIPE, "the body cannot be sent again");
            outside(l);
            err = t->rq->rewind(t->rq->arg);
            inside(l);
        }
        if (!err && !l->out.data) {
            l->out.data = malloc(BUFFER);
            l->out.room = BUFFER;
            err = l->out.data ? 0 : -ENOMEM;
        }
    }
    t->sent = 0;
    t->source_end = false;
    return err < 0 ? err : 0;
}

/* From the beginning of the request to the end of the answer, or to where curl gives up: *ret_code. */
static int attempt(struct transfer *t, CURLcode *ret_code)
{
    struct line *l = t->l;
    int err;

    t->answered = t->following = t->cut = t->paused = t->wants = t->rewind_wanted = false;
    t->unknown = t->until_end = t->goodbye = false;
    t->ssl = NULL;
    t->head_size = t->dropped = 0;
    t->got = 0;
    rn__http_response_reset(l->response);
    l->response->body.size = l->in.size = 0;
    err = begin_body(t);
    if (!err)
        err = set_options(t);
    if (!err)
        err = drive(t, ret_code);
    if (l->added)
        curl_multi_remove_handle(l->multi, l->easy);
    l->added = false;
    return err;
}

/* One request and its answer. */
static int hop(struct transfer *t)
{
    struct line *l = t->l;
    CURLcode code = CURLE_OK;
    int err;

    t->method = method_of(t);
    t->has_body = sends_body(t);
    t->again = false;
    err = forget_addresses(t);
    for (bool begin = true; begin && !err;) {
        err = attempt(t, &code);
        begin = !err &&
                (t->unknown || (code == CURLE_SEND_FAIL_REWIND && t->rewind_wanted && !t->again));
        if (begin && t->unknown)
            err = look_up(t);
        else if (begin)
            t->again = true; /* begin_body has the user's rewind called */
    }
    if (err)
        return err;
    if (t->err)
        return t->why ? fail(t, t->err, t->why) : t->err;
    if (t->cut)
        return 0;
    if (!code && !t->answered) /* curl takes an end in the middle of a head for the head's end */
        return fail(t, -EIO, "the connection ended before the head did");
    if (!code && t->until_end && t->ssl && !t->goodbye && !t->following)
        return fail(t, -EIO, "the connection ended without a goodbye");
    if (code == too_large)
        return fail(t, -EMSGSIZE,
                    "the request's head, or a line of the answer's, is larger than libcurl takes");
    return code ? fail(t, rn__http_error_of(l, code),
                       l->text[0] ? l->text : curl_easy_strerror(code))
                : 0;
}

static int all_hops(struct transfer *t)
{
    struct response *r = t->l->response;
    int err;

    for (;;) {
        err = hop(t);
        if (err || !t->following)
            return err;
        err = next_url(t);
        if (err)
            return err;
        r->pub.redirects = t->redirects;
        free(r->url);
        r->url = NULL;
        err = read_url(t, t->l->url, &r->url);
        if (err)
            return err;
        r->pub.url = r->url;
    }
}

/* Get a line, and on it all that is freed with it. */
static int begin(struct transfer *t)
{
    rn_dur timeout = t->rq->timeout ? t->rq->timeout : t->client->options.timeout;
    char origin[300];
    struct response *r;
    struct line *l;
    int err = read_url(t, t->rq->url, NULL);

    if (err)
        return err;
    snprintf(origin, sizeof origin, "%s://%s:%d", t->scheme, t->host, t->port);
    err = rn__http_line_take(t->client, origin, &l);
    if (err)
        return err;
    t->l = l;
    l->t = t;
    l->response = r = rn__http_response_new();
    l->url = strdup(t->rq->url);
    if (!r || !l->url)
        return -ENOMEM;
    err = read_url(t, l->url, &r->url);
    if (err)
        return err;
    r->pub.url = r->url;
    if (timeout > 0) {
        err = rn__ctx_with_timeout_err(t->callers ? t->callers : rn_ctx_background(), timeout,
                                       &l->limit);
        if (err)
            return err;
        t->ctx = l->limit;
    }
    t->max_body = t->rq->max_body ? t->rq->max_body : t->client->options.max_body;
    if (t->max_body == 0)
        t->max_body = t->rq->write ? -1 : memory_default;
    return 0;
}

/* The response is the caller's. */
static int hand_over(struct line *l, rn_http_response **ret_response)
{
    struct response *r = l->response;

    if (!ret_response)
        return 0;
    if (!rn__http_bytes_add(&r->body, "", 1))
        return -ENOMEM;
    r->pub.body = r->body.data;
    r->pub.size = r->body.size - 1;
    l->response = NULL;
    *ret_response = &r->pub;
    return 0;
}

static int run(rn_ctx *ctx, rn_http_client *c, const rn_http_request *rq,
               rn_http_response **ret_response)
{
    struct transfer t = {.ctx = ctx, .callers = ctx, .rq = rq, .client = c};
    int err;

    rn_defer(transfer_end, (void *)&t);
    err = begin(&t);
    if (!err)
        err = all_hops(&t);
    if (!err) {
        t.kept = !t.cut;
        err = hand_over(t.l, ret_response);
    }
    return err;
}

int rn_http_do(struct rn_ctx *ctx, rn_http_client *client, const rn_http_request *request,
               rn_http_response **ret_response)
{
    int err = ctx ? rn_ctx_err(ctx) : 0;
    rn_http_client *c;

    if (!err)
        err = check_request(request);
    if (!err)
        err = rn__http_client_begin(client, &c);
    return err ? err : run(ctx, c, request, ret_response);
}

int rn_http_get(struct rn_ctx *ctx, const char *url, rn_http_response **ret_response)
{
    rn_http_request rq = {.url = url};

    return rn_http_do(ctx, NULL, &rq, ret_response);
}
