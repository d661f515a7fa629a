/* SPDX-License-Identifier: MIT */
/*
 * pool.c - connections to PostgreSQL, shared. See pool.h.
 *
 * The pool is a channel with all connections that nobody uses. Whoever receives one owns it and sends it back, so there is
 * no lock, and who waits longest gets the next.
 *
 * Waiting: libpq says what it waits for, a descriptor to become readable or writable, and rn_wait_fd waits for it. libpq
 * closes descriptors by itself, when a connection breaks or the next address is tried; that is no harm as only the owner
 * waits for them, and rn_wait_fd finds out that a number is another file's by now.
 *
 * What still may block, in name services, on files with passwords and certificates, and while it tells the server to give
 * up, is in rn_blocking: it costs a thread for that long, not a processor.
 */
#include "pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES = 3, CANCELS = 6 };

/* Attach the first line of what libpq says to err; a message has room for about as much. */
static int said(int err, const char *text)
{
    static const char prefix[] = "connection to server ";

    if (strncmp(text, prefix, sizeof prefix - 1) == 0)
        text += sizeof prefix - 1;
    return rn_errorf(err, "%.*s", (int)strcspn(text, "\n"), text);
}

/* ---- A connection --------------------------------------------------------------------------------------------- */

static void link_close(struct link *l)
{
    if (!l->conn)
        return;
    rn_forget_fd(PQsocket(l->conn));
    PQfinish(l->conn);
    l->conn = NULL;
}

/* What servers note by the way would go to standard error. */
static void note_nothing(void *arg, const char *note)
{
    (void)arg;
    (void)note;
}

static int link_connect(rn_ctx *ctx, struct link *l, const char *conninfo)
{
    PostgresPollingStatusType want = PGRES_POLLING_WRITING; /* as if it had said so, says libpq */
    int err;

    l->conn = rn_blocking(PQconnectStart(conninfo));
    if (!l->conn)
        return -ENOMEM;
    PQsetNoticeProcessor(l->conn, note_nothing, NULL);
    while (PQstatus(l->conn) != CONNECTION_BAD && want != PGRES_POLLING_OK &&
           want != PGRES_POLLING_FAILED) {
        err =
            rn_wait_fd(PQsocket(l->conn), want == PGRES_POLLING_READING ? RN_READ : RN_WRITE, ctx);
        if (err < 0) {
            link_close(l);
            return err;
        }
        want = rn_blocking(PQconnectPoll(l->conn));
    }
    if (PQstatus(l->conn) == CONNECTION_OK && PQsetnonblocking(l->conn, 1) == 0)
        return 0;
    err = said(-ECONNREFUSED, PQerrorMessage(l->conn));
    link_close(l);
    return err;
}

/* What has been sent may not be out yet; and as long as it is not, what the server says is to be taken, or each waits for
 * the other. */
static int link_flush(rn_ctx *ctx, struct link *l)
{
    int left, ready;

    while ((left = PQflush(l->conn)) > 0) {
        ready = rn_wait_fd(PQsocket(l->conn), RN_READ | RN_WRITE, ctx);
        if (ready < 0)
            return ready;
        if ((ready & RN_READ) && !PQconsumeInput(l->conn))
            return -ECONNRESET;
    }
    return left < 0 ? -ECONNRESET : 0;
}

/* Wait for the next part of the answer; NULL after the last. */
static int link_next(rn_ctx *ctx, struct link *l, PGresult **ret)
{
    while (PQisBusy(l->conn)) {
        int ready = rn_wait_fd(PQsocket(l->conn), RN_READ, ctx);

        if (ready < 0)
            return ready;
        if (!PQconsumeInput(l->conn))
            return -ECONNRESET;
    }
    *ret = PQgetResult(l->conn);
    return 0;
}

/* Read the answer to its end; the last part is the result, or the first that is an error. */
static int link_answer(rn_ctx *ctx, struct link *l, PGresult **ret)
{
    PGresult *result = NULL, *part;
    int err;

    while ((err = link_next(ctx, l, &part)) == 0 && part) {
        if (result && PQresultStatus(result) == PGRES_FATAL_ERROR) {
            PQclear(part);
            continue;
        }
        PQclear(result);
        result = part;
    }
    if (err) {
        PQclear(result);
        return err;
    }
    *ret = result;
    return 0;
}

static int link_ask(rn_ctx *ctx, struct link *l, const char *sql, int count,
                    const char *const *values, PGresult **ret)
{
    PGresult *result = NULL;
    int err = 0;

    if (!PQsendQueryParams(l->conn, sql, count, NULL, values, NULL, NULL, 0))
        err = -ECONNRESET;
    if (!err)
        err = link_flush(ctx, l);
    if (!err)
        err = link_answer(ctx, l, &result);
    /* A server that ends a connection may say why before it does. */
    if (err == -ECONNRESET || (!err && PQstatus(l->conn) == CONNECTION_BAD)) {
        PQclear(result);
        return said(-ECONNRESET, PQerrorMessage(l->conn));
    }
    if (err)
        return err;
    if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK) {
        err = said(-EREMOTEIO, PQresultErrorMessage(result));
        PQclear(result);
        return err;
    }
    *ret = result;
    return 0;
}

/* ---- The pool ------------------------------------------------------------------------------------------------- */

int pool_open(struct pool *p, const char *conninfo, int count)
{
    *p = (struct pool){.conninfo = conninfo, .count = count};
    p->links = calloc((size_t)count, sizeof *p->links);
    if (!p->links)
        return -ENOMEM;
    p->idle = rn_chan_make(struct link *, count);
    for (int i = 0; i < count; i++)
        rn_send(p->idle, &p->links[i]);
    return 0;
}

/* Tell the server to give up what l has asked, and read what it answers, within patience. */
static int cancel_once(struct link *l, rn_dur patience)
{
    rn_ctx *soon = rn_ctx_with_timeout(rn_ctx_background(), patience);
    PGcancel *cancel = PQgetCancel(l->conn);
    PGresult *result = NULL;
    char problem[256];
    int err = -ECONNRESET;

    if (cancel && rn_blocking(PQcancel(cancel, problem, sizeof problem)))
        err = link_flush(soon, l);
    if (!err)
        err = link_answer(soon, l, &result);
    PQclear(result);
    PQfreeCancel(cancel);
    rn_ctx_end(soon);
    return err;
}

/* A question has been given up in the middle. Once the server has too, the connection is good for others; it is closed if
 * that takes too long. It may be told before it has read the question, which it then goes on with: so it is told again. */
static void settle(struct pool *p, struct link *l)
{
    int err = -ETIMEDOUT;

    for (int i = 0; i < CANCELS && err == -ETIMEDOUT; i++)
        err = cancel_once(l, (RN_SECOND / 32) << i);
    if (err || PQtransactionStatus(l->conn) != PQTRANS_IDLE)
        link_close(l);
    rn_send(p->idle, l);
}

static int ask_once(rn_ctx *ctx, struct pool *p, const char *sql, int count,
                    const char *const *values, PGresult **ret)
{
    struct link *l;
    int err = rn_recv_ctx(ctx, p->idle, &l);

    if (err)
        return err;
    if (!l->conn) {
        err = link_connect(ctx, l, p->conninfo);
        if (!err)
            p->opened++;
    }
    if (!err) {
        err = link_ask(ctx, l, sql, count, values, ret);
        if (PQstatus(l->conn) == CONNECTION_BAD) {
            link_close(l);
        } else if (PQtransactionStatus(l->conn) == PQTRANS_ACTIVE) {
            rn_go(settle, p, l); /* gives it back */
            return err;
        }
    }
    rn_send(p->idle, l);
    return err;
}

int pool_ask(rn_ctx *ctx, struct pool *p, bool again, const char *sql, int count,
             const char *const *values, PGresult **ret_result)
{
    int err = ask_once(ctx, p, sql, count, values, ret_result);

    for (int i = 1; i < TRIES && again && err == -ECONNRESET; i++)
        err = ask_once(ctx, p, sql, count, values, ret_result);
    return err;
}

int pool_close(struct pool *p, rn_dur patience)
{
    rn_ctx *patient = rn_ctx_with_timeout(rn_ctx_background(), patience);
    struct link *l;
    int left = p->count;

    while (left > 0 && rn_recv_ctx(patient, p->idle, &l) == 0) {
        link_close(l);
        left--;
    }
    rn_ctx_end(patient);
    if (left == 0) {
        rn_chan_release(p->idle);
        free(p->links);
    }
    return left;
}
