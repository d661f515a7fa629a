/* SPDX-License-Identifier: MIT */
/*
 * tls.h - TLS over the connections of net.h, by OpenSSL 3. In librunnel-tls: link with -lrunnel-tls -lrunnel.
 *
 *     static const char question[] = "GET / HTTP/1.0\r\nHost: example.com\r\n\r\n";
 *     rn_tls *t;
 *     char buf[4096];
 *     ssize_t n;
 *
 *     if (rn_tls_dial(ctx, "tcp", "example.com:443", NULL, &t) == 0) {
 *         rn_tls_write(t, question, sizeof question - 1);
 *         while ((n = rn_tls_read(t, buf, sizeof buf)) > 0)
 *             fwrite(buf, 1, (size_t)n, stdout);
 *         rn_tls_close(t);
 *     }
 *
 * What is safe is the default: TLS 1.2 and 1.3, the peer's certificate verified against the system's authorities and
 * the name that was dialled, resumption on, renegotiation, compression, early data and kTLS off (kTLS cannot be had:
 * records are made in memory, and nothing of the connection's descriptor is OpenSSL's).
 *
 * Calls wait as those of net.h do: other goroutines run meanwhile, any goroutine and any plain thread may call, any
 * number at the same time; one may read while another writes. Reads take turns, and so do writes: each rn_tls_write
 * goes out as a whole. Errors are those of net.h, and in addition
 *
 *   -EKEYREJECTED   the peer's certificate does not verify: unknown or untrusted issuer, self-signed, another name, not
 *                   one of the pinned keys, none where one is required
 *   -EKEYEXPIRED    it has expired, or is not valid yet
 *   -EKEYREVOKED    it has been revoked
 *   -EPROTO         what came is not TLS, is damaged, or is not for us: no common version, cipher or ALPN protocol; or
 *                   the peer said so by an alert
 *   -EIO            the stream ended without the peer's goodbye (close_notify): what was read may be the beginning only
 *
 * rn_errmsg names the peer and the reason. After one of these the connection is of no use but to be closed; every
 * later call returns the same. A deadline or a context's end breaks nothing: the handshake, the read or the write may
 * be taken up again.
 *
 * Stack: a handshake with OpenSSL 3.0 is tested on stacks of RN_ATTR(.stack_size = 64 << 10); the default is ample.
 *
 * ThreadSanitizer: OpenSSL is not instrumented, and keeps data for each thread, which the goroutines of that thread use in
 * turn without an edge that could be seen. Run with TSAN_OPTIONS=suppressions=FILE, where FILE has the two lines
 * called_from_lib:libcrypto.so and called_from_lib:libssl.so; what is yours stays under watch.
 *
 * Happens-before: as net.h, a write -> the reads that return its bytes.
 */
#ifndef RUNNEL_TLS_H
#define RUNNEL_TLS_H

#include <runnel/net.h>

RN__BEGIN

struct rn_httpd_transport;
typedef struct rn_tls rn_tls;
typedef struct rn_tls_config rn_tls_config;

/* ---- Configuration ---------------------------------------------------------------------------- */

enum rn_tls_version { RN_TLS_1_2 = 0x0303, RN_TLS_1_3 = 0x0304 };

/* What a server wants of its clients. */
enum rn_tls_client_cert {
    RN_TLS_NO_CLIENT_CERT = 0,
    RN_TLS_ASK_CLIENT_CERT,    /* one that is given must verify; none is fine */
    RN_TLS_REQUIRE_CLIENT_CERT /* and there must be one */
};

/* A certificate with the chain that leads to its authority, and its private key: PEM, from files or as texts. If
 * key_file and key_pem are NULL the key stands with the certificate. */
typedef struct rn_tls_cert {
    const char *cert_file, *key_file;
    const char *cert_pem, *key_pem;
    uint64_t rn__reserved[4];
} rn_tls_cert;

/* Zero means the default. All is copied. */
typedef struct rn_tls_options {
    /* Whom to trust: if neither is given, a client trusts the system's authorities (SSL_CERT_FILE and SSL_CERT_DIR in
     * the environment override them), and a server nobody. */
    const char *ca_file; /* PEM, any number of certificates */
    const char *ca_pem;
    /* NULL, or keys of which the peer's certificate must have one, ended by NULL: "sha256//" and the base64 of the
     * SHA-256 of its public key (SubjectPublicKeyInfo), as curl has them. In addition to all the rest. */
    const char *const *pins;
    /* Verify nothing, but pins if there are any. For tests: whoever sits in between can read and change all. */
    bool insecure;
    bool no_resumption;
    /* The peer must choose one of alpn; by default a peer that knows no ALPN is fine too. */
    bool require_alpn;
    /* What this side shows: a server needs one, a client only if asked. Of a server's several, the first whose names
     * match what the client asked for (SNI) is shown, else the first. */
    const rn_tls_cert *certs;
    size_t cert_count;
    enum rn_tls_client_cert client_cert;
    /* NULL, or protocols ("h2", "http/1.1") in order of preference, ended by NULL. If the peer knows ALPN and none of
     * these, the handshake fails. */
    const char *const *alpn;
    enum rn_tls_version min_version, max_version;
    const char *ciphers;    /* for TLS 1.2, in OpenSSL's words */
    int session_cache_size; /* sessions that a client keeps, of all servers; default 256 */
    /* A client's name for the server, for SNI and verification, if not the host that was dialled. */
    const char *server_name;
    uint64_t rn__reserved[8];
} rn_tls_options;

/*
 * Make a configuration, to be shared by any number of connections, of either side. options may be NULL.
 *
 * Returns 0; -ENOENT, -EACCES and the like for a file; -EINVAL for what is no certificate, a key that does not belong
 * to it, a pin or a name of a cipher that is none; rn_errmsg tells more. Reads files, and waits for nothing else.
 */
RN__API RN__NODISCARD int rn_tls_config_new(const rn_tls_options *options,
                                            rn_tls_config **ret_config);
/*
 * Read the files anew; handshakes that begin later use what is in them now. Clients' sessions are forgotten; tickets
 * that a server has given out are still good, unless it asks for certificates. On an error, as rn_tls_config_new's,
 * nothing has changed.
 */
RN__API RN__NODISCARD int rn_tls_config_reload(rn_tls_config *config);
/* Counted as connections are. A connection keeps its configuration. NULL is fine. */
RN__API rn_tls_config *rn_tls_config_retain(rn_tls_config *config);
RN__API void rn_tls_config_release(rn_tls_config *config);

/* ---- Connecting ------------------------------------------------------------------------------- */

/*
 * rn_dial and a handshake. config may be NULL: the defaults. ctx may be NULL; it ends the dial and the handshake, and
 * has no bearing on the connection afterwards. network is tcp, tcp4, tcp6 or unix; for unix, options.server_name must
 * say whose certificate to expect.
 */
RN__API RN__NODISCARD int rn_tls_dial(struct rn_ctx *ctx, const char *network, const char *address,
                                      rn_tls_config *config, rn_tls **ret_t);

/*
 * TLS over a connection that exists, as a client or as a server; the handshake is made by the first read or write, or
 * by rn_tls_handshake. c belongs to the result from then on. On an error c is still the caller's.
 *
 *   host   the name or number that the server's certificate must have. NULL: options.server_name, and without that
 *          only an insecure configuration is accepted
 *
 * 0, -EINVAL (no name to verify; a server without a certificate), -ENOMEM. Waits for nothing.
 */
RN__API RN__NODISCARD int rn_tls_client(rn_conn *c, const char *host, rn_tls_config *config,
                                        rn_tls **ret_t);
RN__API RN__NODISCARD int rn_tls_server(rn_conn *c, rn_tls_config *config, rn_tls **ret_t);

/* Make the handshake if it is not made yet. 0 or an error. */
RN__API RN__NODISCARD int rn_tls_handshake(struct rn_ctx *ctx, rn_tls *t);

/* ---- Reading and writing ---------------------------------------------------------------------- */

/* Read what there is, at most size bytes, waiting for the first. How many; 0 after the peer's close_notify. */
RN__API RN__NODISCARD ssize_t rn_tls_read(rn_tls *t, void *buf, size_t size);
RN__API RN__NODISCARD ssize_t rn_tls_read_ctx(struct rn_ctx *ctx, rn_tls *t, void *buf,
                                              size_t size);
/* Read until buf is full. size, 0 if the stream ended before the first byte, -EIO if in the middle. */
RN__API RN__NODISCARD ssize_t rn_tls_read_full(rn_tls *t, void *buf, size_t size);
RN__API RN__NODISCARD ssize_t rn_tls_read_full_ctx(struct rn_ctx *ctx, rn_tls *t, void *buf,
                                                   size_t size);

/* Wait until there is something to read: data, or the end of the stream; nothing is taken. 0, or a read's error. */
RN__API RN__NODISCARD int rn_tls_wait_read(rn_tls *t);
RN__API RN__NODISCARD int rn_tls_wait_read_ctx(struct rn_ctx *ctx, rn_tls *t);

/* Write all of it. size, or an error; then rn_tls_sent tells how much is under way: what counts there needs not be
 * written again, even if a part still waits here; the next write sends it first. -EPIPE after rn_tls_close_write. */
RN__API ssize_t rn_tls_write(rn_tls *t, const void *buf, size_t size);
RN__API ssize_t rn_tls_write_ctx(struct rn_ctx *ctx, rn_tls *t, const void *buf, size_t size);
/* The same of count buffers, 0 to 1024, one after the other as a whole; -EINVAL for another count. */
RN__API ssize_t rn_tls_writev(rn_tls *t, const struct iovec *iov, int count);
RN__API ssize_t rn_tls_writev_ctx(struct rn_ctx *ctx, rn_tls *t, const struct iovec *iov,
                                  int count);
/* Bytes that were ever taken to be sent. */
RN__API uint64_t rn_tls_sent(const rn_tls *t);

/* Reads, writes or both, handshakes with both, end with -ETIMEDOUT from t on; 0: no deadline. See rn_set_deadline. */
RN__API int rn_tls_set_read_deadline(rn_tls *t, rn_time at);
RN__API int rn_tls_set_write_deadline(rn_tls *t, rn_time at);
RN__API int rn_tls_set_deadline(rn_tls *t, rn_time at);

/* Say goodbye (close_notify): no more will be written, and the peer reads the end of the stream; reading goes on. Makes
 * the handshake first. A peer with TLS 1.2 may close altogether. 0 or an error. */
RN__API int rn_tls_close_write(rn_tls *t);

/* ---- About a connection ----------------------------------------------------------------------- */

typedef struct rn_tls_info {
    int version;        /* an rn_tls_version */
    const char *cipher; /* IANA's name; static */
    bool resumed;
    bool
        verified; /* the peer showed a certificate, now or when the session began, that was verified */
    char alpn[256];         /* empty: none */
    char server_name[256];  /* that the client asked for (SNI); empty: none */
    char peer_subject[256]; /* "CN=example.com,O=Example", cut to fit; empty: no certificate */
    char peer_issuer[256];
    uint8_t peer_sha256[32];  /* of the certificate; zero: none */
    int64_t peer_valid_until; /* seconds since 1970 */
    uint64_t rn__reserved[8];
} rn_tls_info;

/* 0, or -ENOTCONN before the handshake. */
RN__API int rn_tls_get_info(rn_tls *t, rn_tls_info *ret_info);
/* The connection below, borrowed: for its addresses and options, not to be read or written. */
RN__API rn_conn *rn_tls_conn(rn_tls *t);

/*
 * Close t, wake all who are in a call on it with -ECANCELED, and give the reference up. The peer is sent a close_notify,
 * unless a write is unfinished; if there is no room for it this waits for up to five seconds. NULL is fine.
 */
RN__API void rn_tls_close(rn_tls *t);
/* Close at once, without a word, and keep the reference. */
RN__API void rn_tls_cancel(rn_tls *t);
RN__API rn_tls *rn_tls_retain(rn_tls *t);
RN__API void rn_tls_release(rn_tls *t);

/* ---- HTTPS ------------------------------------------------------------------------------------ */

/*
 * What librunnel-httpd needs to serve over TLS, whose argument is a configuration with a certificate:
 *
 *     err = rn_httpd_serve_over(ctx, h, l, rn_tls_httpd(), config);
 *
 * Static. The configuration is the caller's, until that returns. -EINVAL from there: it is NULL, or has no certificate. The
 * client has the server's idle_timeout for its handshake. This library does not need that one otherwise.
 */
RN__API const struct rn_httpd_transport *rn_tls_httpd(void);

RN__END
#endif
