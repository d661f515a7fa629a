/* SPDX-License-Identifier: MIT */
/*
 * httpd.c - TLS as a transport of librunnel-httpd. Of that only the types are used: whoever has no HTTP server needs none.
 *
 * The first read makes the handshake, under the server's limits for a read. A write does not, for no limit of a write
 * ends a wait for what comes: before it is made there is nobody to answer.
 */
#include <errno.h>
#include <runnel/httpd.h>

#include "tls/tls.h"

static ssize_t stream_read(void *t, void *buf, size_t size)
{
    return rn_tls_read(t, buf, size);
}
static ssize_t stream_writev(void *t, const struct iovec *iov, int count)
{
    const struct rn_tls *tls = t;

    return load_acquire(&tls->ready) /* pairs with its making */
               ? rn_tls_writev(t, iov, count)
               : -ENOTCONN;
}
static int stream_wait_read(struct rn_ctx *ctx, void *t)
{
    return rn_tls_wait_read_ctx(ctx, t);
}
static int stream_set_read_deadline(void *t, rn_time at)
{
    return rn_tls_set_read_deadline(t, at);
}
static int stream_set_write_deadline(void *t, rn_time at)
{
    return rn_tls_set_write_deadline(t, at);
}
static int stream_close_write(void *t)
{
    return rn_tls_close_write(t);
}
static void stream_cancel(void *t)
{
    rn_tls_cancel(t);
}
static int stream_remote(void *t, rn_addr *ret_addr)
{
    return rn_remote_addr(rn_tls_conn(t), ret_addr);
}
static bool stream_has_come(void *t)
{
    return rn__tls_has_come(t);
}

static int config_check(void *config)
{
    return rn__tls_can_serve(config);
}
static int stream_open(rn_conn *c, void *config, void **ret_stream)
{
    rn_tls *t;
    int err = rn_tls_server(c, config, &t);

    if (!err)
        *ret_stream = t;
    return err;
}
static void stream_close(void *t)
{
    rn_tls_close(t);
}

const struct rn_httpd_transport *rn_tls_httpd(void)
{
    static const rn_httpd_transport transport = {
        .stream = {.read = stream_read,
                   .writev = stream_writev,
                   .wait_read = stream_wait_read,
                   .set_read_deadline = stream_set_read_deadline,
                   .set_write_deadline = stream_set_write_deadline,
                   .close_write = stream_close_write,
                   .cancel = stream_cancel,
                   .remote = stream_remote,
                   .has_come = stream_has_come},
        .check = config_check,
        .open = stream_open,
        .close = stream_close,
    };

    return &transport;
}
