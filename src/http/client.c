/* SPDX-License-Identifier: MIT */
/*
 * client.c - clients, and the lines that they keep. See http.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <runnel/ctx.h>
#include <runnel/err.h>
#include <runnel/go.h>
#include <stdlib.h>
#include <string.h>

#include "http/http.h"

static const rn_dur connect_default = 30 * RN_SECOND, idle_default = 90 * RN_SECOND;
enum { REDIRECTS_DEFAULT = 10, IDLE_DEFAULT = 100, HEAD_DEFAULT = 256 * 1024 };

/* ---- Lists ---------------------------------------------------------------------------------------------------- */

static void push(struct lines *list, struct line *l)
{
    l->prev = NULL;
    l->next = list->first;
    if (list->first)
        list->first->prev = l;
    else
        list->last = l;
    list->first = l;
    list->count++;
}

static void take_out(struct lines *list, struct line *l)
{
    if (l->prev)
        l->prev->next = l->next;
    else
        list->first = l->next;
    if (l->next)
        l->next->prev = l->prev;
    else
        list->last = l->prev;
    list->count--;
}

/* ---- Lines ---------------------------------------------------------------------------------------------------- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
    struct line *l = arg;
    int i = 0;

    (void)easy;
    (void)unused;
    while (i < l->socket_count && l->sockets[i].fd != fd)
        i++;
    if (what == CURL_POLL_REMOVE) {
        if (i < l->socket_count)
            l->sockets[i] = l->sockets[--l->socket_count];
        return 0;
    }
    if (i == SOCKETS)
        return -1;
    l->sockets[i].fd = fd;
    l->sockets[i].events = (what & CURL_POLL_IN ? RN_READ : 0) |
                           (what & CURL_POLL_OUT ? RN_WRITE : 0);
    l->socket_count += i == l->socket_count;
    return 0;
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
    struct line *l = arg;

    (void)multi;
    l->due = ms < 0 ? 0 : rn_now() + ms * RN_MILLISECOND;
    return 0;
}

/* Nobody can use it any more. */
static void line_free(struct line *l)
{
    l->t = NULL; /* it was on a stack, which may be gone */
    if (l->added)
        curl_multi_remove_handle(l->multi, l->easy);
    curl_easy_cleanup(l->easy);
    if (l->multi)
        curl_multi_cleanup(l->multi);
    if (l->poll >= 0)
        rn__http_close(l->poll);
    if (l->bound)
        rn_ctx_end(l->bound);
    if (l->limit)
        rn_ctx_end(l->limit);
    if (l->response)
        rn_http_response_free(&l->response->pub);
    curl_slist_free_all(l->headers);
    curl_slist_free_all(l->addresses);
    rn__http_bytes_free(&l->in);
    rn__http_bytes_free(&l->out);
    free(l->url);
    free(l->origin);
    free(l);
}

static int line_new(const char *origin, struct line **ret_l)
{
    struct line *l = calloc(1, sizeof *l);

    if (!l)
        return -ENOMEM;
    l->poll = -1;
    l->multi = curl_multi_init();
    l->easy = curl_easy_init();
    l->origin = strdup(origin);
    if (!l->multi || !l->easy || !l->origin) {
        line_free(l);
        return -ENOMEM;
    }
    curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l);
    curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l);
    /* Its own server's, and that of a redirect. */
    curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, 2L);
    *ret_l = l;
    return 0;
}

/* Those of runs that are over, out of the busy ones; under the lock. Their references are for the caller to give up. */
static void clear_away(rn_http_client *c, struct lines *gone)
{
    uint64_t run = rn__run_number();
    struct line *next;

    if (run != 0 && run == c->run)
        return; /* since the last look no run has ended that left some */
    c->run = run;
    for (struct line *l = c->busy.first; l; l = next) {
        uint32_t place = OUTSIDE;

        next = l->next;
        if (l->run && rn__run_gone(l->run) && cas_acq_rel(&l->place, &place, CLEARED_AWAY)) {
            take_out(&c->busy, l);
            push(gone, l);
        }
    }
}

/* Idle ones that nobody wants any more; under the lock. */
static void expire(rn_http_client *c, struct lines *old)
{
    rn_time before = rn_now() - c->options.idle_timeout;

    while (c->idle.last && (c->idle.count > c->options.max_idle || c->options.idle_timeout < 0 ||
                            c->idle.last->idle_since < before)) {
        struct line *l = c->idle.last;

        take_out(&c->idle, l);
        push(old, l);
    }
}

static void client_free(rn_http_client *c);

void rn__http_client_end(rn_http_client *c)
{
    if (sub_acq_rel(&c->refs, 1) == 1) /* pairs with the others' */
        client_free(c);
}

static void free_lines(struct lines *list)
{
    while (list->first) {
        struct line *l = list->first;

        take_out(list, l);
        line_free(l);
    }
}

int rn__http_line_take(rn_http_client *c, const char *origin, struct line **ret_l)
{
    struct lines gone = {0}, old = {0};
    struct line *l;
    int err = 0;

    pthread_mutex_lock(&c->lock);
    clear_away(c, &gone);
    expire(c, &old);
    for (l = c->idle.first; l && strcmp(l->origin, origin) != 0; l = l->next)
        ;
    if (l)
        take_out(&c->idle, l);
    pthread_mutex_unlock(&c->lock);
    free_lines(&old);
    sub_acq_rel(&c->refs, (uint32_t)gone.count); /* the caller has one more */
    free_lines(&gone);
    if (!l)
        err = line_new(origin, &l);
    if (err)
        return err;
    l->client = c;
    l->run = rn__run_number();
    l->place = INSIDE;
    pthread_mutex_lock(&c->lock);
    push(&c->busy, l);
    pthread_mutex_unlock(&c->lock);
    *ret_l = l;
    return 0;
}

void rn__http_line_give(struct line *l, bool keep)
{
    rn_http_client *c = l->client;
    struct lines old = {0};

    l->idle_since = rn_now();
    pthread_mutex_lock(&c->lock);
    take_out(&c->busy, l);
    push(keep ? &c->idle : &old, l);
    expire(c, &old);
    pthread_mutex_unlock(&c->lock);
    free_lines(&old);
    rn__http_client_end(c);
}

/* ---- Whom to trust -------------------------------------------------------------------------------------------- */

static bool add_pem(X509_STORE *store, const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    STACK_OF(X509_INFO) *infos = bio ? PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL) : NULL;
    int n = 0;

    for (int i = 0; infos && i < sk_X509_INFO_num(infos); i++) {
        X509 *cert = sk_X509_INFO_value(infos, i)->x509;

        n += cert && X509_STORE_add_cert(store, cert) == 1;
    }
    sk_X509_INFO_pop_free(infos, X509_INFO_free);
    BIO_free(bio);
    return n > 0;
}

/* curl would read the system's authorities, hundreds of them, for each line: half a million instructions each. */
static X509_STORE *store_new(const rn_http_client *c)
{
    X509_STORE *store = X509_STORE_new();
    bool ok = store != NULL;

    if (ok && c->ca_file)
        ok = X509_STORE_load_file(store, c->ca_file) == 1;
    if (ok && c->ca_pem)
        ok = add_pem(store, c->ca_pem);
    if (ok && !c->ca_file && !c->ca_pem)
        ok = X509_STORE_set_default_paths(store) == 1;
    /* As curl does: an authority is trusted that is not at the chain's end. */
    if (ok)
        X509_STORE_set_flags(store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
    ERR_clear_error();
    if (!ok) {
        X509_STORE_free(store);
        return NULL;
    }
    return store;
}

X509_STORE *rn__http_store(rn_http_client *c)
{
    X509_STORE *store;

    pthread_mutex_lock(&c->lock);
    if (!c->store)
        c->store = store_new(c);
    store = c->store;
    pthread_mutex_unlock(&c->lock);
    return store;
}

/* ---- Clients -------------------------------------------------------------------------------------------------- */

static int library_error, ssl_index;

int rn__http_ssl_index(void)
{
    return ssl_index;
}

static void library_init(void)
{
    const curl_version_info_data *v;

    /* For the life of the process. */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        library_error = -ENOMEM;
        return;
    }
    v = curl_version_info(CURLVERSION_NOW);
    if (!v->ssl_version || strncmp(v->ssl_version, "OpenSSL/", 8) != 0)
        library_error = -ENOSYS;
    ssl_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    if (ssl_index < 0 && !library_error)
        library_error = -ENOMEM;
}

static void share_lock(CURL *easy, curl_lock_data what, curl_lock_access access, void *arg)
{
    rn_http_client *c = arg;

    (void)easy;
    (void)what;
    (void)access;
    pthread_mutex_lock(&c->share_lock);
}

static void share_unlock(CURL *easy, curl_lock_data what, void *arg)
{
    rn_http_client *c = arg;

    (void)easy;
    (void)what;
    pthread_mutex_unlock(&c->share_lock);
}

static void client_free(rn_http_client *c)
{
    free_lines(&c->idle);
    if (c->share)
        curl_share_cleanup(c->share);
    X509_STORE_free(c->store);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->share_lock);
    free(c->ca_file);
    free(c->ca_pem);
    free(c->cert_file);
    free(c->key_file);
    free(c->proxy);
    free(c->proxy_host);
    free(c->user_agent);
    free(c);
}

static bool copy_text(char **to, const char *text)
{
    if (!text)
        return true;
    *to = strdup(text);
    return *to != NULL;
}

/* Whose name is to be looked up in place of the servers'. */
static int read_proxy(rn_http_client *c)
{
    CURLU *u = curl_url();
    char *port = NULL;
    CURLUcode code = CURLUE_OUT_OF_MEMORY;

    if (u)
        code =
            curl_url_set(u, CURLUPART_URL, c->proxy, CURLU_GUESS_SCHEME | CURLU_NON_SUPPORT_SCHEME);
    if (!code)
        code = curl_url_get(u, CURLUPART_HOST, &c->proxy_host, 0);
    c->proxy_port = 1080; /* curl's default */
    if (!code && curl_url_get(u, CURLUPART_PORT, &port, 0) == CURLUE_OK)
        c->proxy_port = (int)strtol(port, NULL, 10);
    curl_free(port);
    curl_url_cleanup(u);
    if (code == CURLUE_OUT_OF_MEMORY)
        return -ENOMEM;
    return code ? rn_errorf(-EINVAL, "http: the proxy is none: %s", curl_url_strerror(code)) : 0;
}

static int check_files(const rn_http_client *c)
{
    const char *files[] = {c->ca_file, c->cert_file, c->key_file};

    for (int i = 0; i < 3; i++) {
        int err = files[i] ? rn__http_file_error(files[i]) : 0;

        if (err)
            return rn_errorf(err, "http: %.80s: %s", files[i], rn_errmsg(error_bare(err)));
    }
    return 0;
}

static void defaults(rn_http_options *o)
{
    if (o->max_redirects == 0)
        o->max_redirects = REDIRECTS_DEFAULT;
    if (o->max_head == 0)
        o->max_head = HEAD_DEFAULT;
    if (o->connect_timeout <= 0)
        o->connect_timeout = connect_default;
    if (o->idle_timeout == 0)
        o->idle_timeout = idle_default;
    if (o->max_idle <= 0)
        o->max_idle = IDLE_DEFAULT;
}

static int client_new(const rn_http_options *options, rn_http_client **ret_c)
{
    rn_http_client *c = calloc(1, sizeof *c);
    int err = 0;

    if (!c)
        return -ENOMEM;
    c->refs = 1;
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->share_lock, NULL);
    if (options)
        c->options = *options;
    defaults(&c->options);
    c->share = curl_share_init();
    if (!c->share || !copy_text(&c->ca_file, c->options.ca_file) ||
        !copy_text(&c->ca_pem, c->options.ca_pem) ||
        !copy_text(&c->cert_file, c->options.cert_file) ||
        !copy_text(&c->key_file, c->options.key_file) || !copy_text(&c->proxy, c->options.proxy) ||
        !copy_text(&c->user_agent, c->options.user_agent ? c->options.user_agent : "runnel"))
        err = -ENOMEM;
    if (!err) {
        curl_share_setopt(c->share, CURLSHOPT_LOCKFUNC, share_lock);
        curl_share_setopt(c->share, CURLSHOPT_UNLOCKFUNC, share_unlock);
        curl_share_setopt(c->share, CURLSHOPT_USERDATA, c);
        curl_share_setopt(c->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
        err = check_files(c);
    }
    if (!err && (c->ca_file || c->ca_pem)) {
        c->store = store_new(c);
        if (!c->store)
            err = rn_errorf(-EINVAL, "http: %.80s: no certificate in it",
                            c->ca_file ? c->ca_file : "ca_pem");
    }
    if (!err && c->proxy && c->proxy[0])
        err = read_proxy(c);
    if (err) {
        client_free(c);
        return err;
    }
    *ret_c = c;
    return 0;
}

int rn_http_client_new(const rn_http_options *options, rn_http_client **ret_client)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, library_init);
    if (library_error)
        return rn_errorf(library_error, "http: libcurl cannot be used: %s",
                         library_error == -ENOSYS ? "it has no TLS by OpenSSL"
                                                  : "it does not begin");
    return client_new(options, ret_client);
}

/* The default one; ret_c NULL: if there is one. */
static int default_client(bool make, rn_http_client **ret_c)
{
    static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
    static rn_http_client *made; /* for the life of the process */
    int err = 0;

    pthread_mutex_lock(&making);
    if (!made && make)
        err = rn_http_client_new(NULL, &made);
    *ret_c = rn_http_client_retain(made);
    pthread_mutex_unlock(&making);
    return err;
}

int rn__http_client_begin(rn_http_client *c, rn_http_client **ret_c)
{
    if (!c)
        return default_client(true, ret_c);
    *ret_c = rn_http_client_retain(c);
    return 0;
}

rn_http_client *rn_http_client_retain(rn_http_client *c)
{
    if (c)
        add_relaxed(&c->refs, 1); /* the caller has one */
    return c;
}

/* Close what nobody uses, with idle what is kept too, and give a reference up. */
static void let_go(rn_http_client *c, bool idle)
{
    struct lines all = {0}, gone = {0};

    pthread_mutex_lock(&c->lock);
    c->run = 0; /* look for those of runs that are over */
    clear_away(c, &gone);
    while (idle && c->idle.first) {
        struct line *l = c->idle.first;

        take_out(&c->idle, l);
        push(&all, l);
    }
    pthread_mutex_unlock(&c->lock);
    sub_acq_rel(&c->refs, (uint32_t)gone.count); /* the caller has one more */
    free_lines(&gone);
    free_lines(&all);
    rn__http_client_end(c);
}

void rn_http_client_release(rn_http_client *c)
{
    if (c)
        let_go(c, false);
}

void rn_http_client_close_idle(rn_http_client *client)
{
    rn_http_client *c = rn_http_client_retain(client);

    if (!c)
        (void)default_client(false, &c);
    if (c)
        let_go(c, true);
}
