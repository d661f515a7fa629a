/* SPDX-License-Identifier: MIT */
/*
 * config.c - configurations: an SSL_CTX, made anew by a reload and kept by the connections that began with it.
 *
 * SSL_CTX is thread-safe once it is set up, which it is before anybody else sees it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls/tls.h"

static char *copy_text(const char *text, bool *failed)
{
    char *copy = text ? strdup(text) : NULL;

    *failed |= text && !copy;
    return copy;
}

static const char **copy_list(const char *const *list, bool *failed)
{
    size_t n = 0;
    char **copy;

    if (!list)
        return NULL;
    while (list[n])
        n++;
    copy = calloc(n + 1, sizeof *copy);
    *failed |= !copy;
    for (size_t i = 0; copy && i < n; i++)
        copy[i] = copy_text(list[i], failed);
    return (const char **)copy;
}

static void free_text(const char *text)
{
    free((void *)(uintptr_t)text);
}

static void free_list(const char *const *list)
{
    for (size_t i = 0; list && list[i]; i++)
        free_text(list[i]);
    free((void *)(uintptr_t)list);
}

/* ---- Certificates --------------------------------------------------------------------------------------------- */

static BIO *open_pem(const char *file, const char *pem, int *ret_err)
{
    BIO *bio;

    if (pem) {
        bio = BIO_new_mem_buf(pem, -1);
        *ret_err = -ENOMEM;
        return bio;
    }
    errno = 0;
    bio = BIO_new_file(file, "r");
    if (!bio) {
        int err = errno ? -errno : -EIO;

        *ret_err = rn_errorf(err, "tls %.80s: %s", file, rn_errmsg(error_bare(err)));
        ERR_clear_error();
    }
    return bio;
}

static int no_password(char *buf, int size, int writing, void *arg)
{
    (void)buf, (void)size, (void)writing, (void)arg;
    return -1; /* the default would ask on the terminal */
}

static const char *named(const char *file)
{
    return file ? file : "(text)";
}

static void loaded_free(struct loaded_cert *l)
{
    X509_free(l->cert);
    EVP_PKEY_free(l->key);
    sk_X509_pop_free(l->chain, X509_free);
}

static int load_cert(struct loaded_cert *l, const rn_tls_cert *from)
{
    bool apart = from->key_file || from->key_pem;
    int err = 0;
    BIO *bio;
    X509 *more;

    if (!from->cert_file && !from->cert_pem)
        return rn_errorf(-EINVAL, "tls: a key without its certificate");
    bio = open_pem(from->cert_file, from->cert_pem, &err);
    if (!bio)
        return err;
    l->cert = PEM_read_bio_X509(bio, NULL, no_password, NULL);
    l->chain = sk_X509_new_null();
    while (l->cert && l->chain && (more = PEM_read_bio_X509(bio, NULL, no_password, NULL)))
        if (!sk_X509_push(l->chain, more)) {
            X509_free(more);
            break;
        }
    BIO_free(bio);
    if (!l->cert)
        return rn_errorf(-EINVAL, "tls %.60s: no certificate: %s", named(from->cert_file),
                         rn__tls_reason());
    ERR_clear_error(); /* the end of the file */
    bio = open_pem(apart ? from->key_file : from->cert_file, apart ? from->key_pem : from->cert_pem,
                   &err);
    if (!bio)
        return err;
    l->key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    BIO_free(bio);
    if (!l->key)
        return rn_errorf(-EINVAL, "tls %.60s: no private key that can be read: %s",
                         named(apart ? from->key_file : from->cert_file), rn__tls_reason());
    if (X509_check_private_key(l->cert, l->key) != 1) {
        ERR_clear_error();
        return rn_errorf(-EINVAL, "tls %.60s: the private key is not the certificate's",
                         named(from->cert_file));
    }
    return 0;
}

/* ---- What OpenSSL calls --------------------------------------------------------------------------------------- */

static bool has_pin(const rn_tls_config *c, X509 *cert)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned char *der = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    bool found = false;

    if (n > 0 && EVP_Digest(der, (size_t)n, hash, NULL, EVP_sha256(), NULL) == 1)
        for (size_t i = 0; i < c->pin_count; i++)
            found |= memcmp(hash, c->pins[i], 32) == 0;
    OPENSSL_free(der);
    return found;
}

static int on_verify(X509_STORE_CTX *store, void *arg)
{
    const rn_tls_config *c = arg;

    if (c->options.insecure) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
    } else if (X509_verify_cert(store) != 1) {
        int why = X509_STORE_CTX_get_error(store);
        SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
        struct rn_tls *t = SSL_get_app_data(ssl);

        if (why == X509_V_ERR_HOSTNAME_MISMATCH || why == X509_V_ERR_IP_ADDRESS_MISMATCH)
            rn__tls_names_of(X509_STORE_CTX_get0_cert(store), t->names, sizeof t->names);
        return 0;
    }
    if (c->pin_count > 0 && !has_pin(c, X509_STORE_CTX_get0_cert(store))) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }
    return 1;
}

/* The first of ours that the client knows too. */
static int on_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_size,
                   const unsigned char *theirs, unsigned int size, void *arg)
{
    const rn_tls_config *c = arg;
    unsigned char *chosen;

    (void)ssl;
    if (SSL_select_next_proto(&chosen, ret_size, c->alpn_wire, (unsigned int)c->alpn_size, theirs,
                              size) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* A server's choice among its certificates. */
static int on_cert(SSL *ssl, void *arg)
{
    const struct setup *s = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    for (size_t i = 0; name && i < s->cert_count; i++) {
        const struct loaded_cert *l = &s->certs[i];

        if (X509_check_host(l->cert, name, 0, 0, NULL) == 1)
            return i == 0 || SSL_use_cert_and_key(ssl, l->cert, l->key, l->chain, 1) == 1;
    }
    return 1;
}

/* The name is accepted, whatever it is: on_cert has chosen. Else OpenSSL does not keep it with a session of TLS 1.2, and one
 * that is resumed would have none. */
static int on_name(SSL *ssl, int *alert, void *arg)
{
    (void)ssl;
    (void)alert;
    (void)arg;
    return SSL_TLSEXT_ERR_OK;
}

/* A session of a client's: 1 keeps the reference. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct rn_tls *t = SSL_get_app_data(ssl);

    if (t->is_server || !t->host[0])
        return 0;
    rn__tls_session_keep(t->config, t->setup->generation, t->host, session);
    return 1;
}

/* ---- The setup ------------------------------------------------------------------------------------------------ */

static void setup_free(struct setup *s)
{
    for (size_t i = 0; i < s->cert_count; i++)
        loaded_free(&s->certs[i]);
    free(s->certs);
    SSL_CTX_free(s->ctx);
    free(s);
}

void rn__tls_setup_release(struct setup *s)
{
    if (s && sub_acq_rel(&s->refs, 1) == 1)
        setup_free(s);
}

struct setup *rn__tls_setup_get(rn_tls_config *config)
{
    struct setup *s;

    pthread_mutex_lock(&config->lock);
    s = config->setup;
    add_relaxed(&s->refs, 1); /* under the lock, which holds one */
    pthread_mutex_unlock(&config->lock);
    return s;
}

static int trust(const rn_tls_config *c, SSL_CTX *ctx, bool as_server)
{
    const rn_tls_options *o = &c->options;
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    X509 *cert;
    BIO *bio;
    int n = 0, err = 0;

    if (!o->ca_file && !o->ca_pem) {
        if (!as_server && !o->insecure && SSL_CTX_set_default_verify_paths(ctx) != 1)
            return rn_errorf(-ENOENT, "tls: the system's authorities: %s", rn__tls_reason());
        ERR_clear_error();
        return 0;
    }
    bio = open_pem(o->ca_file, o->ca_pem, &err);
    if (!bio)
        return err;
    while ((cert = PEM_read_bio_X509_AUX(bio, NULL, no_password, NULL))) {
        n += X509_STORE_add_cert(store, cert) == 1;
        /* So that clients know which of their certificates to show. */
        if (o->client_cert)
            (void)SSL_CTX_add_client_CA(ctx, cert);
        X509_free(cert);
    }
    BIO_free(bio);
    ERR_clear_error();
    return n ? 0 : rn_errorf(-EINVAL, "tls %.60s: no certificate", named(o->ca_file));
}

static int setup_ctx(rn_tls_config *c, struct setup *s, const struct setup *before)
{
    static const unsigned char session_context[] = "runnel";
    const rn_tls_options *o = &c->options;
    SSL_CTX *ctx = s->ctx;
    unsigned char keys[80];
    int err;

    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    if (SSL_CTX_set_min_proto_version(ctx, o->min_version ? (int)o->min_version : TLS1_2_VERSION) !=
            1 ||
        SSL_CTX_set_max_proto_version(ctx, (int)o->max_version) != 1)
        return rn_errorf(-EINVAL, "tls: no such version");
    if (o->ciphers && SSL_CTX_set_cipher_list(ctx, o->ciphers) != 1)
        return rn_errorf(-EINVAL, "tls: ciphers %.60s: %s", o->ciphers, rn__tls_reason());
    err = trust(c, ctx, o->client_cert != RN_TLS_NO_CLIENT_CERT);
    if (err)
        return err;
    if (s->cert_count > 0 &&
        SSL_CTX_use_cert_and_key(ctx, s->certs[0].cert, s->certs[0].key, s->certs[0].chain, 1) != 1)
        return rn_errorf(-EINVAL, "tls: certificate: %s", rn__tls_reason());
    if (s->cert_count > 1)
        SSL_CTX_set_cert_cb(ctx, on_cert, s);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
    SSL_CTX_set_cert_verify_callback(ctx, on_verify, c);
    if (c->alpn_size) {
        if (SSL_CTX_set_alpn_protos(ctx, c->alpn_wire, (unsigned int)c->alpn_size) != 0)
            return -ENOMEM;
        SSL_CTX_set_alpn_select_cb(ctx, on_alpn, c);
    }
    SSL_CTX_set_session_id_context(ctx, session_context, sizeof session_context);
    if (o->no_resumption) {
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(ctx, 0);
    } else {
        /* Servers give tickets and keep nothing. */
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(ctx, on_session);
        /* A ticket says that its owner's certificate was verified: by what may be no longer trusted. */
        if (before && !o->client_cert &&
            SSL_CTX_get_tlsext_ticket_keys(before->ctx, keys, sizeof keys) == 1)
            SSL_CTX_set_tlsext_ticket_keys(ctx, keys, sizeof keys);
        OPENSSL_cleanse(keys, sizeof keys);
    }
    return 0;
}

static int setup_new(rn_tls_config *c, const struct setup *before, struct setup **ret_s)
{
    const rn_tls_options *o = &c->options;
    struct setup *s = calloc(1, sizeof *s);
    int err = 0;

    if (!s)
        return -ENOMEM;
    ERR_clear_error();
    s->refs = 1;
    s->config = c;
    s->ctx = SSL_CTX_new(TLS_method());
    s->certs = calloc(o->cert_count + 1, sizeof *s->certs);
    if (!s->ctx || !s->certs)
        err = -ENOMEM;
    while (!err && s->cert_count < o->cert_count) {
        err = load_cert(&s->certs[s->cert_count], &o->certs[s->cert_count]);
        s->cert_count++; /* what is there of it is freed with the rest */
    }
    if (!err)
        err = setup_ctx(c, s, before);
    ERR_clear_error();
    if (err) {
        setup_free(s);
        return err;
    }
    *ret_s = s;
    return 0;
}

/* ---- Options -------------------------------------------------------------------------------------------------- */

static int parse_alpn(rn_tls_config *c)
{
    const char *const *list = c->options.alpn;
    size_t size = 0;

    for (size_t i = 0; list && list[i]; i++) {
        size_t n = strlen(list[i]);

        if (n == 0 || n > 255)
            return rn_errorf(-EINVAL, "tls: ALPN protocol \"%.40s\" is not of 1 to 255 bytes",
                             list[i]);
        size += n + 1;
    }
    if (size > 65535)
        return rn_errorf(-EINVAL, "tls: too many ALPN protocols");
    c->alpn_wire = malloc(size + 1);
    if (!c->alpn_wire)
        return -ENOMEM;
    for (size_t i = 0; list && list[i]; i++) {
        size_t n = strlen(list[i]);

        c->alpn_wire[c->alpn_size++] = (uint8_t)n;
        memcpy(c->alpn_wire + c->alpn_size, list[i], n);
        c->alpn_size += n;
    }
    return 0;
}

static int parse_pins(rn_tls_config *c)
{
    const char *const *list = c->options.pins;
    size_t n = 0;

    while (list && list[n])
        n++;
    c->pins = calloc(n + 1, sizeof *c->pins);
    if (!c->pins)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        uint8_t bytes[33]; /* 44 characters are 33 bytes, the last of them padding */
        const char *text = list[i];

        if (strncmp(text, "sha256//", 8) != 0 || strlen(text) != 8 + 44 || text[51] != '=' ||
            EVP_DecodeBlock(bytes, (const unsigned char *)text + 8, 44) != 33) {
            ERR_clear_error();
            return rn_errorf(-EINVAL, "tls: pin %.60s: expected sha256//BASE64", text);
        }
        memcpy(c->pins[i], bytes, 32);
        c->pin_count++;
    }
    return 0;
}

static void config_free(rn_tls_config *c)
{
    rn__tls_sessions_drop(c);
    if (c->setup)
        rn__tls_setup_release(c->setup);
    free_text(c->options.ca_file);
    free_text(c->options.ca_pem);
    free_text(c->options.ciphers);
    free_text(c->options.server_name);
    free_list(c->options.pins);
    free_list(c->options.alpn);
    for (size_t i = 0; c->options.certs && i < c->options.cert_count; i++) {
        const rn_tls_cert *cert = &c->options.certs[i];

        free_text(cert->cert_file);
        free_text(cert->key_file);
        free_text(cert->cert_pem);
        if (cert->key_pem)
            OPENSSL_cleanse((void *)(uintptr_t)cert->key_pem, strlen(cert->key_pem));
        free_text(cert->key_pem);
    }
    free((void *)(uintptr_t)c->options.certs);
    free(c->alpn_wire);
    free(c->pins);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static bool copy_options(rn_tls_config *c, const rn_tls_options *o)
{
    rn_tls_cert *certs = calloc(o->cert_count + 1, sizeof *certs);
    bool failed = !certs;

    c->options = *o;
    c->options.ca_file = copy_text(o->ca_file, &failed);
    c->options.ca_pem = copy_text(o->ca_pem, &failed);
    c->options.ciphers = copy_text(o->ciphers, &failed);
    c->options.server_name = copy_text(o->server_name, &failed);
    c->options.pins = copy_list(o->pins, &failed);
    c->options.alpn = copy_list(o->alpn, &failed);
    for (size_t i = 0; certs && i < o->cert_count; i++) {
        certs[i].cert_file = copy_text(o->certs[i].cert_file, &failed);
        certs[i].key_file = copy_text(o->certs[i].key_file, &failed);
        certs[i].cert_pem = copy_text(o->certs[i].cert_pem, &failed);
        certs[i].key_pem = copy_text(o->certs[i].key_pem, &failed);
    }
    c->options.certs = certs;
    if (c->options.session_cache_size <= 0)
        c->options.session_cache_size = SESSIONS_DEFAULT;
    return !failed;
}

int rn_tls_config_new(const rn_tls_options *options, rn_tls_config **ret_config)
{
    static const rn_tls_options none;
    rn_tls_config *c = calloc(1, sizeof *c);
    int err;

    if (!c)
        return -ENOMEM;
    c->refs = 1;
    pthread_mutex_init(&c->lock, NULL);
    err = copy_options(c, options ? options : &none) ? 0 : -ENOMEM;
    if (!err && c->options.server_name && strlen(c->options.server_name) >= NAME_MAX_TLS)
        err = rn_errorf(-EINVAL, "tls: the server's name is too long");
    if (!err)
        err = parse_alpn(c);
    if (!err)
        err = parse_pins(c);
    if (!err)
        err = setup_new(c, NULL, &c->setup);
    if (err) {
        config_free(c);
        return err;
    }
    *ret_config = c;
    return 0;
}

int rn_tls_config_reload(rn_tls_config *config)
{
    struct setup *before = rn__tls_setup_get(config), *now = NULL;
    int err = setup_new(config, before, &now);

    if (!err) {
        struct setup *old;

        pthread_mutex_lock(&config->lock);
        old = config->setup;
        config->setup = now;
        now->generation = ++config->generation;
        pthread_mutex_unlock(&config->lock);
        rn__tls_sessions_drop(config);
        rn__tls_setup_release(old);
    }
    rn__tls_setup_release(before);
    return err;
}

rn_tls_config *rn_tls_config_retain(rn_tls_config *config)
{
    if (config)
        add_relaxed(&config->refs, 1); /* the caller holds one */
    return config;
}

void rn_tls_config_release(rn_tls_config *config)
{
    if (config && sub_acq_rel(&config->refs, 1) == 1) /* pairs with the others' */
        config_free(config);
}

/* ---- The default ---------------------------------------------------------------------------------------------- */

/* Made at the first use, for the life of the process; what it says about a failure is tried again. */
rn_tls_config *rn__tls_default(void)
{
    static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
    static rn_tls_config *made;
    rn_tls_config *c;

    pthread_mutex_lock(&making);
    if (!made && rn_tls_config_new(NULL, &made) != 0)
        made = NULL;
    c = made;
    pthread_mutex_unlock(&making);
    return rn_tls_config_retain(c);
}
