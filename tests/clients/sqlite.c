/* SPDX-License-Identifier: MIT */
/* sqlite.c - goroutines in sqlite3_step on a file that somebody else has locked, and then on each other. */
#define _GNU_SOURCE
#include "clients.h"

#include <sqlite3.h>

static struct server server; /* a folder */
static char path[160];

static sqlite3 *opened(void)
{
    sqlite3 *db;

    CHECK_EQ(sqlite3_open(path, &db), SQLITE_OK);
    CHECK_EQ(sqlite3_busy_timeout(db, 3600 * 1000), SQLITE_OK);
    CHECK_EQ(sqlite3_exec(db, "pragma synchronous = off", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

static void done(sqlite3 *db, const char *what)
{
    char *why = NULL;

    if (sqlite3_exec(db, what, NULL, NULL, &why) != SQLITE_OK)
        FAIL(why);
}

static int number(sqlite3 *db, const char *question)
{
    sqlite3_stmt *s;
    int n;

    CHECK_EQ(sqlite3_prepare_v2(db, question, -1, &s, NULL), SQLITE_OK);
    CHECK_EQ(sqlite3_step(s), SQLITE_ROW);
    n = sqlite3_column_int(s, 0);
    CHECK_EQ(sqlite3_finalize(s), SQLITE_OK);
    return n;
}

static void client(int i, bool announced, _Atomic int *in_step, _Atomic int *right)
{
    sqlite3 *db = opened();
    sqlite3_stmt *s;
    int result;

    CHECK_EQ(sqlite3_prepare_v2(db, "insert into t values (?)", -1, &s, NULL), SQLITE_OK);
    CHECK_EQ(sqlite3_bind_int(s, 1, i), SQLITE_OK);
    ++*in_step;
    result = announced ? rn_blocking(sqlite3_step(s)) : sqlite3_step(s);
    CHECK_EQ(result, SQLITE_DONE);
    ++*right;
    CHECK_EQ(sqlite3_finalize(s), SQLITE_OK);
    CHECK_EQ(sqlite3_close(db), SQLITE_OK);
}

static int clients(bool announced)
{
    _Atomic int in_step = 0, right = 0;
    struct pacer pacer = {0};
    rn_wg wg = {0}, pace = {0};
    sqlite3 *own = opened();
    int threads;

    done(own, "create table t (n integer)");
    done(own, "begin immediate"); /* others may read and prepare, but not write */
    rn_wg_go(&pace, pacer_run, &pacer);
    for (int i = 0; i < CLIENTS; i++)
        rn_wg_go(&wg, client, i, announced, &in_step, &right);
    while (in_step < CLIENTS)
        rn_sleep(RN_MILLISECOND);
    pacer_goes_on(&pacer);
    clients_blocked();
    CHECK_EQ(right, 0);
    threads = count_threads();
    done(own, "commit");
    rn_wg_wait(&wg);
    CHECK_EQ(right, CLIENTS);
    CHECK_EQ(number(own, "select count(*) from t"), CLIENTS);
    CHECK_EQ(number(own, "select sum(n) from t"), CLIENTS * (CLIENTS - 1) / 2);
    pacer.end = true;
    rn_wg_wait(&pace);
    clients_back(threads);
    CHECK_EQ(sqlite3_close(own), SQLITE_OK);
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

static void with_file(void (*body)(void))
{
    SERVER(server_folder(&server), &server);
    snprintf(path, sizeof(path), "%s/contended.db", server.folder);
    clients_run(&server, body);
}

PLAIN_TEST(clients_in_sqlite3_step)
{
    with_file(plain);
}

PLAIN_TEST(clients_in_sqlite3_step_that_say_so)
{
    with_file(announced);
}
