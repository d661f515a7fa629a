/* SPDX-License-Identifier: MIT */
/*
 * http.h - an HTTP client, by libcurl. In librunnel-http: link with -lrunnel-http -lrunnel.
 *
 *     rn_http_response *r;
 *     int err = rn_http_get(ctx, "https://example.com/", &r);
 *
 *     if (err) {
 *         fprintf(stderr, "%s\n", rn_errmsg(err));
 *         return err;
 *     }
 *     printf("%d, %zu bytes\n", r->status, r->size);
 *     rn_http_response_free(r);
 *
 * A request waits as a goroutine does, or as a plain thread, and ends at once with its context, whatever it is doing:
 * looking a name up, connecting, shaking hands, sending or receiving. Nothing of it is left then. Any number may run at
 * the same time, each in the goroutine that makes it, on as many processors as there are. Names are looked up where
 * rn_dial looks them up, whenever a connection is made and only then: how long an answer counts is up to whoever is
 * asked, with librunnel-dns its TTL.
 *
 * What is safe is the default: http and https alone, certificates verified against the system's authorities and the
 * URL's host, at most 10 redirects, bodies in memory of at most 64 MiB, no proxy whatever the environment says, no
 * cookies, no signals. HTTP/2 is spoken with https servers that offer it; a request has its connection to itself even
 * then.
 *
 * A status of 400 and more is no error: there is a response. Errors are negative errno values; rn_errmsg names the
 * URL's host and what libcurl says, and never a path, a password or a header:
 *
 *   -EINVAL           the URL, a header or the method is none
 *   -EPROTONOSUPPORT  the URL, or a redirect's, is neither http nor https
 *   -ENOENT, -EAGAIN  there is no such host; no server knows
 *   -ECONNREFUSED, -EHOSTUNREACH, ...   of connecting, as rn_dial's
 *   -EKEYREJECTED, -EKEYEXPIRED, -EKEYREVOKED, -EPROTO   of TLS, as in tls.h; the last of HTTP/2 too
 *   -ECONNRESET       the peer has cut the connection
 *   -EIO              it has closed it before the answer was complete, or where its end is the answer's, without the
 *                     goodbye of TLS
 *   -EBADMSG          the answer is malformed
 *   -EMSGSIZE         the answer's head is beyond max_head; a line of it, or the request's head, beyond what libcurl takes
 *                     (100 KiB, 1 MiB)
 *   -EFBIG            the answer's body is beyond max_body
 *   -ELOOP            there are more redirects than max_redirects
 *   -ETIMEDOUT        one of the client's times, or the context's deadline; the peer has vanished, says the kernel
 *   the context's error; what a callback returned; -ENOMEM, -EMFILE
 *
 * Connections are kept for the next request to the same server. No goroutine and no timer keeps them, so neither the
 * end of rn_run nor a deadlock's report waits for them; those that have been idle for long are closed when the next
 * request begins or ends. If the peer closes a kept one when the next request has been sent, without a byte of an answer,
 * the request is made again on a new one, whatever its method, as libcurl does: set .fresh where that must not be.
 *
 * A child that a plain thread has forked must make clients of its own: the connections of those from before are its
 * parent's too.
 *
 * Sockets have the options of net.h's connections, keep-alive probes among them: who waits for a peer that has vanished
 * without a word waits for two and a half minutes at most, unless bytes are under way to it, for which the kernel tries
 * longer.
 *
 * Descriptors: a request under way and a kept connection have three each, of which libcurl makes two for itself.
 *
 * Stack: the default is ample; requests with TLS are tested on RN_ATTR(.stack_size = 64 << 10).
 *
 * ThreadSanitizer: libcurl and what it uses are not instrumented. Run with TSAN_OPTIONS=suppressions=FILE, where FILE
 * has the lines called_from_lib:libcurl.so, called_from_lib:libcrypto.so, called_from_lib:libssl.so and
 * called_from_lib:libnghttp2.so; what is yours stays under watch.
 */
#ifndef RUNNEL_HTTP_H
#define RUNNEL_HTTP_H

#include <runnel/base.h>
#include <runnel/time.h>
#include <sys/types.h>

RN__BEGIN

struct rn_ctx;
typedef struct rn_http_client rn_http_client;

/* ---- Responses -------------------------------------------------------------------------------- */

typedef struct rn_http_response {
    int status;       /* 200, 404, ... */
    int version;      /* 10, 11, 20: of HTTP */
    int redirects;    /* that were followed */
    const char *url;  /* what answered in the end, without user and password */
    const char *body; /* decoded, ended by a 0 that size does not count; "" if a callback had it */
    size_t size;
    uint64_t rn__reserved[8];
} rn_http_response;

/* The first header of that name, whatever its case; NULL if there is none. Trailers are among them. */
RN__API const char *rn_http_header(const rn_http_response *r, const char *name);
/* Header i, from 0; false if there are not as many. */
RN__API bool rn_http_header_at(const rn_http_response *r, int i, const char **ret_name,
                               const char **ret_value);
/* Strings and body go with it. NULL is fine. */
RN__API void rn_http_response_free(rn_http_response *r);

/* ---- Requests --------------------------------------------------------------------------------- */

/*
 * GET url with the default client, the body into memory.
 *
 *   ctx  may be NULL
 *   url  http:// or https://; what needs it is percent-encoded
 *
 * 0 with *ret_response, which rn_http_response_free takes, or an error with none.
 */
RN__API RN__NODISCARD int rn_http_get(struct rn_ctx *ctx, const char *url,
                                      rn_http_response **ret_response);

/* Zero means the default. Nothing is kept beyond the call. */
typedef struct rn_http_request {
    const char *url;
    const char *method; /* default: POST where there is a body, else GET */
    /* "Name: value", ended by NULL; in place of libcurl's own of that name, "Name:" for none of it. On the way to another
     * server by redirect Authorization, Cookie and Proxy-Authorization are left out. With Range or Accept-Encoding among
     * them, bodies are not decoded. */
    const char *const *headers;

    /* The body: from memory, or from read(arg, buf, size), which returns how many bytes it has put into buf, 0 at the
     * end, or an error, with which the request ends. */
    const void *body;
    size_t body_size;
    ssize_t (*read)(void *arg, void *buf, size_t size);
    int64_t read_size; /* how many bytes there will be; 0: unknown */
    /* Begin again, for a redirect or a kept connection that was closed. 0, or an error. NULL: it cannot; if it would have
     * to the request ends with -ESPIPE. */
    int (*rewind)(void *arg);

    /* Where the answer's body goes instead of memory: write(arg, r, data, size) returns 0, or an error, with which the
     * request ends. r has status and headers. Not called for a redirect that is followed. */
    int (*write)(void *arg, const rn_http_response *r, const void *data, size_t size);
    /* read, rewind and write are called in the caller's goroutine, in turn, on its own stack, and may wait; the peer
     * waits too, and no time of the client's counts but timeout. They may call rn_exit: the request ends. */
    void *arg;

    int64_t max_body; /* of the answer, decoded; default: the client's. -1: any */
    rn_dur timeout;   /* for all of it; default: the client's */
    bool fresh;       /* on a new connection */
    bool no_redirect; /* a redirect is the answer */
    bool raw;         /* a compressed body is left as it is, and not asked for */
    uint64_t rn__reserved[8];
} rn_http_request;

/*
 * Make a request. client NULL is the default client. ret_response may be NULL, where callbacks have all that is wanted.
 *
 * 0 with *ret_response, or an error with none. Waits; allocates. From any thread.
 */
RN__API RN__NODISCARD int rn_http_do(struct rn_ctx *ctx, rn_http_client *client,
                                     const rn_http_request *request,
                                     rn_http_response **ret_response);

/* ---- Clients ---------------------------------------------------------------------------------- */

/* Zero means the default. All is copied. */
typedef struct rn_http_options {
    /* Whom to trust in place of the system's authorities (which SSL_CERT_FILE and SSL_CERT_DIR in the environment
     * override): PEM, from a file or as a text, or both. */
    const char *ca_file;
    const char *ca_pem;
    /* The client's own certificate and its key, PEM files. */
    const char *cert_file, *key_file;
    bool insecure; /* Verify nothing. For tests: whoever sits in between can read and change all. */
    bool https_only; /* http is -EPROTONOSUPPORT, also for redirects */
    bool no_http2;
    /* "http://[user:password@]host:port", https, socks5h and what else libcurl knows. Default: none, whatever the
     * environment says. Its name and its password are in no message. With socks4 and socks5 libcurl itself looks the
     * servers' names up, on a thread; with the others the proxy does. */
    const char *proxy;
    const char *user_agent; /* default "runnel"; "": none */
    int max_redirects;      /* default 10; -1: none, each is -ELOOP */
    size_t max_head;        /* bytes of status line and headers; default 256 KiB */
    int64_t max_body; /* bytes, decoded; default: 64 MiB in memory, any to a callback. -1: any */
    rn_dur timeout;   /* for a whole request; default: none but the context's */
    rn_dur connect_timeout; /* for connecting and TLS; default 30 s */
    rn_dur stall_timeout;   /* without a byte sent or received once connected; default: none */
    rn_dur idle_timeout;    /* how long a connection is kept; default 90 s; -1: not at all */
    int max_idle;           /* connections kept; default 100 */
    uint64_t rn__reserved[8];
} rn_http_options;

/* options may be NULL. 0; -ENOENT, -EACCES, ... for a file; -ENOMEM; -ENOSYS if libcurl has no TLS by OpenSSL. Reads
 * files, and waits for nothing else. */
RN__API RN__NODISCARD int rn_http_client_new(const rn_http_options *options,
                                             rn_http_client **ret_client);
/* Counted; a request in progress needs no reference of its own. The last release closes what is kept. NULL is fine. */
RN__API rn_http_client *rn_http_client_retain(rn_http_client *client);
RN__API void rn_http_client_release(rn_http_client *client);
/* Close the connections that are kept. client NULL: the default one's. */
RN__API void rn_http_client_close_idle(rn_http_client *client);

RN__END
#endif
