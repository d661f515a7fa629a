/* SPDX-License-Identifier: MIT */
/*
 * pool.h - connections to a PostgreSQL server, shared by any number of goroutines.
 *
 *     static struct pool p;
 *
 *     pool_open(&p, "dbname=shop", 10);
 *     err = pool_ask(ctx, &p, true, "select name from customer where id = $1", 1, &id, &result);
 *     pool_close(&p, RN_SECOND);
 *
 * libpq is used as it is, by its interface that does not block: a goroutine that waits for the server costs no thread,
 * and its context ends the wait. Connections are made when they are first needed; one that breaks is replaced by the next
 * who gets it.
 */
#ifndef RN_EXAMPLES_PGPOOL_POOL_H
#define RN_EXAMPLES_PGPOOL_POOL_H

#include <libpq-fe.h>
#include <runnel.h>

struct link {
    PGconn *conn; /* NULL: not connected */
};

struct pool {
    const char *conninfo; /* as PQconnectdb takes it; borrowed */
    int count;
    struct link *links;
    rn_chan(struct link *) idle;
    _Atomic int opened; /* connections that were ever made */
};

/* Nothing is connected yet. 0 or -ENOMEM. */
int pool_open(struct pool *p, const char *conninfo, int count);

/*
 * Ask sql, with values as $1, $2 and so on, on a connection of the pool: wait for one, make it if need be, wait for the
 * answer.
 *
 *   again       a question whose connection broke meanwhile is asked anew, up to three times in all: for what may be done
 *               twice, as nobody knows whether it had been done
 *   ret_result  to be freed by PQclear
 *
 * Returns 0, the context's error, -ECONNREFUSED if no connection could be made, -ECONNRESET if it broke, -EREMOTEIO if the
 * server refuses the question, -ENOMEM. rn_errmsg has what libpq or the server says. When the context ends the server is
 * told to give up; nobody waits for that but the connection itself.
 */
int pool_ask(rn_ctx *ctx, struct pool *p, bool again, const char *sql, int count,
             const char *const *values, PGresult **ret_result);

/*
 * Close all connections. Those that a server still has to let go are waited for, until patience is over: then they are
 * left to the end of the process, and it returns how many. Nobody may be in pool_ask, or begin it.
 */
int pool_close(struct pool *p, rn_dur patience);

#endif
