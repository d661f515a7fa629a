/* SPDX-License-Identifier: MIT */
/*
 * ca.h - a certificate authority for tests: makes keys and certificates as PEM texts, in memory.
 */
#ifndef TEST_CA_H
#define TEST_CA_H

#include "support.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

struct identity {
    EVP_PKEY *key;
    X509 *cert;
    char *cert_pem, *key_pem;
};

struct wanted {
    const char *cn;
    const char *names;             /* "DNS:a.test,IP:127.0.0.1"; NULL: none */
    const struct identity *issuer; /* NULL: itself */
    bool is_ca;
    long from, until; /* seconds from now; both 0: an hour ago to an hour from now */
};

static inline char *bio_text(BIO *bio)
{
    char *data, *text;
    long n = BIO_get_mem_data(bio, &data);

    text = malloc((size_t)n + 1);
    memcpy(text, data, (size_t)n);
    text[n] = 0;
    BIO_free(bio);
    return text;
}

static inline void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *e;

    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    CHECK(e);
    CHECK_EQ(X509_add_ext(cert, e, -1), 1);
    X509_EXTENSION_free(e);
}

static inline struct identity identity_new(struct wanted w)
{
    static _Atomic long serial = 1;
    struct identity i = {.key = EVP_EC_gen("P-256"), .cert = X509_new()};
    X509 *issuer = w.issuer ? w.issuer->cert : i.cert;
    BIO *bio;

    CHECK(i.key && i.cert);
    X509_set_version(i.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(i.cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(i.cert), w.from || w.until ? w.from : -3600);
    X509_gmtime_adj(X509_getm_notAfter(i.cert), w.from || w.until ? w.until : 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(i.cert), "CN", MBSTRING_UTF8,
                               (const unsigned char *)w.cn, -1, -1, 0);
    X509_set_issuer_name(i.cert, X509_get_subject_name(issuer));
    X509_set_pubkey(i.cert, i.key);
    add_extension(i.cert, issuer, NID_basic_constraints, w.is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    add_extension(i.cert, issuer, NID_subject_key_identifier, "hash");
    if (w.names)
        add_extension(i.cert, issuer, NID_subject_alt_name, w.names);
    CHECK(X509_sign(i.cert, w.issuer ? w.issuer->key : i.key, EVP_sha256()) > 0);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, i.cert);
    i.cert_pem = bio_text(bio);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, i.key, NULL, NULL, 0, NULL, NULL);
    i.key_pem = bio_text(bio);
    return i;
}

static inline void identity_free(struct identity *i)
{
    EVP_PKEY_free(i->key);
    X509_free(i->cert);
    free(i->cert_pem);
    free(i->key_pem);
}

/* "sha256//..." of a certificate's key. */
static inline void pin_of(const struct identity *i, char text[64])
{
    unsigned char *der = NULL, hash[32];
    int n = i2d_PUBKEY(i->key, &der);

    CHECK(n > 0);
    CHECK_EQ(EVP_Digest(der, (size_t)n, hash, NULL, EVP_sha256(), NULL), 1);
    OPENSSL_free(der);
    memcpy(text, "sha256//", 8);
    EVP_EncodeBlock((unsigned char *)text + 8, hash, 32);
}

static inline void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    CHECK(f);
    CHECK(fputs(text, f) >= 0);
    CHECK_EQ(fclose(f), 0);
}

#endif
