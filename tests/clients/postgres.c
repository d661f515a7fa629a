/* SPDX-License-Identifier: MIT */
/* postgres.c - goroutines in libpq, against a PostgreSQL server of our own. */
#define _GNU_SOURCE
#include "clients.h"

#include <libpq-fe.h>

static struct server server;

static PGconn *connected(void)
{
    PGconn *c = PQconnectdb(server.socket);

    if (PQstatus(c) != CONNECTION_OK)
        FAIL(PQerrorMessage(c));
    return c;
}

static PGresult *asked(PGconn *c, const char *question)
{
    PGresult *r = PQexec(c, question);

    if (PQresultStatus(r) != PGRES_TUPLES_OK)
        FAIL(PQerrorMessage(c));
    return r;
}

static int number(PGconn *c, const char *question)
{
    PGresult *r = asked(c, question);
    int n = atoi(PQgetvalue(r, 0, 0));

    PQclear(r);
    return n;
}

static void client(int i, bool announced, rn_chan(rn_unit) go_on, _Atomic int *right)
{
    PGconn *c = announced ? rn_blocking(connected()) : connected();
    char question[100], want[16];
    PGresult *r;

    snprintf(question, sizeof(question), "select %d, pg_advisory_lock_shared(7)", i);
    (void)rn_recv(go_on);
    r = announced ? rn_blocking(PQexec(c, question)) : PQexec(c, question);
    snprintf(want, sizeof(want), "%d", i);
    CHECK_EQ(PQresultStatus(r), PGRES_TUPLES_OK);
    CHECK_STR(PQgetvalue(r, 0, 0), want);
    PQclear(r);
    ++*right;

    /* And by the clock, as in any program. */
    r = announced ? rn_blocking(PQexec(c, "select pg_sleep(0.5)"))
                  : PQexec(c, "select pg_sleep(0.5)");
    CHECK_EQ(PQresultStatus(r), PGRES_TUPLES_OK);
    PQclear(r);
    PQfinish(c);
}

static int clients(bool announced)
{
    rn_chan(rn_unit) go_on = rn_chan_make(rn_unit, 0);
    _Atomic int right = 0;
    struct pacer pacer = {0};
    rn_wg wg = {0}, pace = {0};
    PGconn *own = connected();
    int threads;

    PQclear(asked(own, "select pg_advisory_lock(7)")); /* all clients will wait for it */
    rn_wg_go(&pace, pacer_run, &pacer);
    for (int i = 0; i < CLIENTS; i++)
        rn_wg_go(&wg, client, i, announced, go_on, &right);
    rn_close(go_on);
    while (number(own, "select count(*) from pg_stat_activity where wait_event = 'advisory'") <
           CLIENTS)
        rn_sleep(RN_MILLISECOND);
    pacer_goes_on(&pacer);
    clients_blocked();
    CHECK_EQ(right, 0);
    CHECK_EQ(number(own, "select count(*) from pg_stat_activity where wait_event = 'advisory'"),
             CLIENTS);
    threads = count_threads();
    PQclear(asked(own, "select pg_advisory_unlock(7)"));
    rn_wg_wait(&wg);
    CHECK_EQ(right, CLIENTS);
    pacer.end = true;
    rn_wg_wait(&pace);
    clients_back(threads);
    PQfinish(own);
    rn_chan_release(go_on);
    return 0;
}

static void plain(void)
{
    CHECK_EQ(rn_run(clients, false), 0);
}
static void announced(void)
{
    CHECK_EQ(rn_run(clients, true), 0);
}

PLAIN_TEST(clients_in_PQexec)
{
    SERVER(server_postgres(&server, NULL), &server);
    clients_run(&server, plain);
}

PLAIN_TEST(clients_in_PQexec_that_say_so)
{
    SERVER(server_postgres(&server, NULL), &server);
    clients_run(&server, announced);
}
