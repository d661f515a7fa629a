/* SPDX-License-Identifier: MIT */
/*
 * httpd.h - an HTTP/1.1 server: librunnel-httpd.
 *
 *     static void hello(rn_httpd_request *rq, rn_httpd_response *rs, const char *greeting)
 *     {
 *         rn_httpd_printf(rs, "%s, %s\n", greeting, rn_httpd_param(rq, "name"));
 *     }
 *
 *     rn_httpd *h = rn_httpd_new(NULL);
 *     rn_listener *l;
 *     int err = rn_listen("tcp", ":8080", &l);
 *
 *     rn_httpd_handle(h, "GET /hello/{name}", hello, "Good morning");
 *     if (!err)
 *         err = rn_httpd_serve(ctx, h, l);      until ctx ends, and every request has been answered
 *     rn_httpd_free(h);
 *
 * A goroutine per connection, which calls the handlers: they may wait for whatever they like. Requests that arrive
 * together on one connection (pipelining) are handled in turn. A handler that panics ends the process, as all panics.
 *
 * Out of memory, the server goes on: a connection for which there is none is closed, a request for which there is none is
 * answered 503, in the midst of its answer cut off. Only rn_httpd_new and rn_httpd_handle, before it serves, panic.
 *
 * What is malformed, ambiguous or beyond a limit is answered by the server itself and the connection closed, before a
 * handler sees it: 400, 408, 413, 414, 417, 431, 501, 503, 505. In particular a request with both Content-Length and
 * Transfer-Encoding, with two lengths, two hosts or none, with folded lines, bare line ends, or a space before a colon.
 *
 * A request and its response belong to the handler until it returns, and to its goroutine alone. Strings that they hand
 * out live as long. Calls that wait are those that read the body or write the response; none allocates but for what is
 * larger than usual, and -ENOMEM is their result if it is not to be had. All results below 0 are negative errno values.
 */
#ifndef RUNNEL_HTTPD_H
#define RUNNEL_HTTPD_H

#include <runnel/call.h>
#include <runnel/net.h>
#include <runnel/time.h>

RN__BEGIN

struct rn_ctx;
typedef struct rn_httpd rn_httpd;
typedef struct rn_httpd_request rn_httpd_request;
typedef struct rn_httpd_response rn_httpd_response;

/* ---- The server --------------------------------------------------------------------------------- */

/* Zero means the default, which is named here. */
typedef struct rn_httpd_options {
    size_t max_target; /* bytes of a request's target; 8 KiB; beyond: 414 */
    size_t max_head; /* bytes of a request line and headers, and of trailers; 64 KiB; beyond: 431 */
    int max_headers; /* 100; beyond: 431 */
    int64_t max_body; /* bytes; 1 GiB; -1: any; beyond: 413 */
    /* Times are looked at now and then: a limit is reached at most an eighth late. Negative: no limit. */
    rn_dur head_timeout;  /* from a request's first byte to its head's end; 10 s; then 408 */
    rn_dur body_timeout;  /* without a byte of a body that is being read; 30 s */
    rn_dur idle_timeout;  /* between requests; 60 s */
    rn_dur write_timeout; /* without progress of a response, 16 KiB on streams of your own; 30 s */
    rn_dur drain;         /* when ending: how long what is under way is waited for; 100 ms */
    rn_dur
        grace; /* when ending: how long handlers may go on after that; 30 s; then they are cut off */
    size_t stack_size; /* of a connection's goroutine, on which handlers run */
    /* Called after each response, also those that the server made itself, but for a request for which there was no memory
     * at all: for an access log. */
    void (*log)(void *log_arg, const rn_httpd_request *rq, const rn_httpd_response *rs);
    void *log_arg;
    uint64_t rn__reserved[8];
} rn_httpd_options;

/* Make a server; options may be NULL. Never blocks. Panics when out of memory. */
RN__API RN__NODISCARD rn_httpd *rn_httpd_new(const rn_httpd_options *options);
/* Nobody may be serving. NULL is fine. */
RN__API void rn_httpd_free(rn_httpd *h);

/*
 * Accept connections of l and serve them until ctx ends or l is closed; then end in order, and return. Any number may
 * serve at the same time, each its listener. l is closed, and its reference given up.
 *
 * In order means: for the time drain connections are still accepted, and requests on all are answered, with
 * "Connection: close". Then l is closed, and connections without a request are: what had come on an accepted one by then is
 * answered, and those that the kernel had made, but nobody had accepted yet, are reset. Handlers go on for the time grace;
 * then their contexts end and their connections are cut. It returns when the last has returned, so a handler that never
 * does keeps it.
 *
 * Returns 0, the error that made accepting impossible, or -ENOMEM with nothing accepted.
 */
RN__API int rn_httpd_serve(struct rn_ctx *ctx, rn_httpd *h, rn_listener *l);
/* The same with a listener of its own; what rn_listen returns. */
RN__API RN__NODISCARD int rn_httpd_listen_and_serve(struct rn_ctx *ctx, rn_httpd *h,
                                                    const char *network, const char *address);

/*
 * Register a handler. Before serving.
 *
 *   pattern  [METHOD ]/path. A segment {name} stands for any one that is not empty, see rn_httpd_param. A path that ends
 *            in / stands for all that begin with it, another for itself alone. Of several that fit, the one with the
 *            longest equal beginning is taken, and one with a method before one without. A handler for GET answers HEAD too.
 *            Without any: 404, or 405 where only the method is wrong.
 *
 * Panics on a pattern that is none, or is there already, and when out of memory.
 */
RN__API void rn_httpd_handle_fn(rn_httpd *h, const char *pattern,
                                void (*fn)(rn_httpd_request *, rn_httpd_response *, void *),
                                void *arg);
RN__API struct rn__call *rn__httpd_handle_begin(rn_httpd *h, const char *pattern, void (*fn)(void));

/* ---- The request -------------------------------------------------------------------------------- */

RN__API const char *rn_httpd_method(const rn_httpd_request *rq);
/* Decoded, without . and .. segments; begins with /, or is *. */
RN__API const char *rn_httpd_path(const rn_httpd_request *rq);
/* As it came: path and query, encoded. */
RN__API const char *rn_httpd_target(const rn_httpd_request *rq);
/* The value of the first field of that name in the query, decoded; "" if it has none; NULL if there is none. */
RN__API const char *rn_httpd_query(rn_httpd_request *rq, const char *name);
/* The segment for {name} of the handler's pattern; NULL: it has none. */
RN__API const char *rn_httpd_param(rn_httpd_request *rq, const char *name);
/* The first header of that name, whatever its case; NULL if there is none. */
RN__API const char *rn_httpd_header(const rn_httpd_request *rq, const char *name);
/* Header i, from 0; false if there are not as many. */
RN__API bool rn_httpd_header_at(const rn_httpd_request *rq, int i, const char **ret_name,
                                const char **ret_value);
/* A header that came after a chunked body; NULL before the body has been read to its end. */
RN__API const char *rn_httpd_trailer(const rn_httpd_request *rq, const char *name);
RN__API int rn_httpd_minor_version(const rn_httpd_request *rq); /* 0 or 1 */
/* Bytes of the body; -1: unknown before it has been read. */
RN__API int64_t rn_httpd_content_length(const rn_httpd_request *rq);
/* 0 or -ENOTCONN and the like. */
RN__API int rn_httpd_remote(const rn_httpd_request *rq, rn_addr *ret_addr);

/*
 * Read some of the body, waiting for it. How many bytes; 0 at its end. -EFBIG beyond max_body, or max_head for trailers,
 * -EBADMSG if it is malformed, -ENOMEM: after these the answer is the server's, 413, 431, 400 or 503, if none has begun.
 * -EIO if the client went away in the middle, -ETIMEDOUT, -ECANCELED when cut off at the end of the grace.
 * A body that the handler does not read is skipped, or the connection closed if it is long.
 */
RN__API RN__NODISCARD ssize_t rn_httpd_read(rn_httpd_request *rq, void *buf, size_t size);

/*
 * The request's context: ended when the client goes away, when the server has been ending for the time grace, and when
 * the handler returns. Borrowed. The first call makes it, and has somebody read ahead once the body is read: the end of
 * what the client sends, or an error, is how it is known that it went away. That is seen behind further requests too, but
 * for a client that has sent more of them than there is room for, some KiB. Where there is no memory for the context, or for
 * who reads ahead, it has ended, with the cause -ENOMEM, and with the answer it is as with one that lacks something.
 */
RN__API struct rn_ctx *rn_httpd_ctx(rn_httpd_request *rq);

/* ---- The response ------------------------------------------------------------------------------- */

/*
 * A response that lacks something for which there was no memory does not go out as if it were whole: after a header, a
 * trailer or a text that failed with -ENOMEM writes fail with it too, until rn_httpd_reply or rn_httpd_error makes another
 * response. If none does, the server answers 503, or cuts the connection if a part was sent.
 */

/* 200 if not set. Before the first byte is written; later it has no effect. 200 to 999. */
RN__API void rn_httpd_set_status(rn_httpd_response *rs, int status);
/* Set a header, in place of any of that name; or add one. value NULL: none. Before the first byte is written.
 * 0; -EINVAL for a name or value that cannot be one, -EALREADY if the head is out, -ENOMEM. Content-Length is checked against
 * what is written; Connection: close is understood; Transfer-Encoding is the server's. */
RN__API int rn_httpd_set_header(rn_httpd_response *rs, const char *name, const char *value);
RN__API int rn_httpd_add_header(rn_httpd_response *rs, const char *name, const char *value);
/* A header after the body, which is then sent in chunks. At any time before the handler returns. */
RN__API int rn_httpd_set_trailer(rn_httpd_response *rs, const char *name, const char *value);

/* Write a part of the body. Small parts are gathered; a body that fits is sent with its length, else in chunks, or to
 * HTTP/1.0 until the connection is closed. size, or an error: -EPIPE, -ECONNRESET, -ETIMEDOUT, -ECANCELED,
 * -ENOMEM; -EMSGSIZE beyond the Content-Length that was set. */
RN__API ssize_t rn_httpd_write(rn_httpd_response *rs, const void *data, size_t size);
RN__API ssize_t rn_httpd_printf(rn_httpd_response *rs, const char *fmt, ...) RN__PRINTF(2, 3);
/* Send what has been gathered, and the head. 0 or an error. */
RN__API int rn_httpd_flush(rn_httpd_response *rs);
/* The whole response at once. type may be NULL. 0 or an error. */
RN__API int rn_httpd_reply(rn_httpd_response *rs, int status, const char *type, const void *body,
                           size_t size);
/* A line of text with that status; text NULL: the status's own. Headers that were set are kept. */
RN__API int rn_httpd_error(rn_httpd_response *rs, int status, const char *text);
RN__API int rn_httpd_redirect(rn_httpd_response *rs, int status, const char *location);

/*
 * Answer with the regular file fd, at most once and alone: its type by name's ending unless one is set, ETag and
 * Last-Modified, If-None-Match, If-Modified-Since, If-Match, If-Unmodified-Since, Range of one part with If-Range, HEAD.
 * fd stays the caller's. 0 or an error; -EISDIR and the like with nothing answered if it is no regular file.
 */
RN__API int rn_httpd_send_fd(rn_httpd_request *rq, rn_httpd_response *rs, int fd, const char *name);
/* The same with a file that is opened; answers 404, 403 or 500 if it cannot be. */
RN__API int rn_httpd_send_file(rn_httpd_request *rq, rn_httpd_response *rs, const char *path);
/* Open path, which may begin with /, beneath the folder dir: no .. and no symbolic link leads out of it. follow: links
 * that stay inside are followed, else there is none. A descriptor for reading, or an error; -EXDEV, -ELOOP if it would
 * lead out, or is a link. */
RN__API RN__NODISCARD int rn_httpd_open_beneath(int dir, const char *path, bool follow);
/* The media type for a file's name. */
RN__API const char *rn_httpd_type_of(const char *name);

RN__API int rn_httpd_status(const rn_httpd_response *rs);
/* Bytes of the body so far. */
RN__API int64_t rn_httpd_written(const rn_httpd_response *rs);

/* ---- TLS, and streams of your own --------------------------------------------------------------- */

/* Each as its namesake in net.h. The deadlines and cancel are called with locks held, and must not wait. read is called
 * while writev writes, by another goroutine, once a handler has asked for its context; a deadline ends it. */
typedef struct rn_httpd_stream {
    ssize_t (*read)(void *stream, void *buf, size_t size);
    ssize_t (*writev)(void *stream, const struct iovec *iov, int count);
    int (*wait_read)(struct rn_ctx *ctx, void *stream);
    int (*set_read_deadline)(void *stream, rn_time t);
    int (*set_write_deadline)(void *stream, rn_time t);
    int (*close_write)(void *stream);
    void (*cancel)(void *stream);
    int (*remote)(void *stream, rn_addr *ret_addr);
    /* NULL, or: has anything come that wait_read has not told of yet? Must not wait. A connection is not closed for its time,
     * or in the end, over a request that has. Without it there is a millisecond for that, in the end. */
    bool (*has_come)(void *stream);
    uint64_t rn__reserved[3];
} rn_httpd_stream;

/* Serve one connection, in this goroutine, until it ends, at once if there is no memory for it; the caller then closes it. ctx
 * as with rn_httpd_serve. */
RN__API void rn_httpd_serve_stream(struct rn_ctx *ctx, rn_httpd *h, const rn_httpd_stream *ops,
                                   void *stream);

/* What connections are to go over: TLS's is rn_tls_httpd (tls.h). Has to last as long as it is used. arg is what
 * rn_httpd_serve_over was given. */
typedef struct rn_httpd_transport {
    rn_httpd_stream stream;
    /* NULL, or: 0 if arg will do, else the error that rn_httpd_serve_over returns. */
    int (*check)(void *arg);
    /* Make a stream of c, which is the stream's from then on. An error: c is the server's, who closes it. In the connection's
     * goroutine; must not wait for the client, for no time limit is on that: the first wait_read does. */
    int (*open)(rn_conn *c, void *arg, void **ret_stream);
    /* The connection has ended. */
    void (*close)(void *stream);
    uint64_t rn__reserved[4];
} rn_httpd_transport;

/*
 * As rn_httpd_serve, with connections that go over transport:
 *
 *     rn_httpd_serve_over(ctx, h, l, rn_tls_httpd(), config)      with rn_tls_config *config
 *
 * arg is passed on, and has to last until this returns. What it takes to begin, as a handshake, counts as time between
 * requests. Returns what check did with nothing accepted and l closed, or what rn_httpd_serve does.
 */
RN__API int rn_httpd_serve_over(struct rn_ctx *ctx, rn_httpd *h, rn_listener *l,
                                const rn_httpd_transport *transport, void *arg);

RN__END

#ifndef __cplusplus

/*
 * rn_httpd_handle(h, pattern, fn, args...): call fn(rq, rs, args...) for each request of that pattern, in the goroutine
 * of its connection. args are evaluated now, converted and copied, as rn_go's.
 */
#define rn_httpd_handle(h, pattern, ...)                                                           \
    RN__HTTPD_HANDLE(h, pattern, RN__CAT(RN__HTTPD_, RN__COUNT(__VA_ARGS__))(__VA_ARGS__))
#define RN__HTTPD_HANDLE(h, pattern, ...) RN__HTTPD_HANDLE_(h, pattern, __VA_ARGS__)
#define RN__HTTPD_HANDLE_(h, pattern, ...)                                                         \
    __extension__({                                                                                \
        RN__CHECK_CALL(__VA_ARGS__)                                                                \
        struct rn__call *rn__rec = rn__httpd_handle_begin((h), (pattern), RN__FN(__VA_ARGS__));    \
        RN__CAPTURE(rn__rec, __VA_ARGS__);                                                         \
    })
#define RN__HTTPD_1(f) f, (rn_httpd_request *)0, (rn_httpd_response *)0
#define RN__HTTPD_2(f, ...) f, (rn_httpd_request *)0, (rn_httpd_response *)0, __VA_ARGS__
#define RN__HTTPD_3 RN__HTTPD_2
#define RN__HTTPD_4 RN__HTTPD_2
#define RN__HTTPD_5 RN__HTTPD_2
#define RN__HTTPD_6 RN__HTTPD_2
#define RN__HTTPD_7 RN__HTTPD_2
#define RN__HTTPD_8 RN__HTTPD_2

#endif
#endif
