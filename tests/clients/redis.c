/* SPDX-License-Identifier: MIT */
/* redis.c - goroutines in hiredis, against a Redis server of our own. */
#define _GNU_SOURCE
#include "clients.h"

#include <hiredis/hiredis.h>

static struct server server;

static redisContext *connected(void)
{
    redisContext *c = redisConnectUnix(server.socket);

    CHECK(c);
    if (c->err)
        FAIL(c->errstr);
    return c;
}

/* What "BLPOP" answers: the key and the value. */
static void client(int i, bool announced, _Atomic int *right)
{
    redisContext *c = announced ? rn_blocking(connected()) : connected();
    redisReply *r = announced ? rn_blocking(redisCommand(c, "BLPOP key:%d 0", i))
                              : redisCommand(c, "BLPOP key:%d 0", i);
    char key[32], value[32];

    snprintf(key, sizeof(key), "key:%d", i);
    snprintf(value, sizeof(value), "value %d", i);
    CHECK(r);
    CHECK_EQ(r->type, REDIS_REPLY_ARRAY);
    CHECK_EQ(r->elements, 2);
    CHECK_STR(r->element[0]->str, key);
    CHECK_STR(r->element[1]->str, value);
    freeReplyObject(r);
    redisFree(c);
    ++*right;
}

/* How many the server says are in BLPOP. */
static int in_blpop(redisContext *c)
{
    redisReply *r = redisCommand(c, "CLIENT LIST");
    int n = 0;

    CHECK(r);
    CHECK_EQ(r->type, REDIS_REPLY_STRING);
    for (const char *at = r->str; (at = strstr(at, " cmd=blpop")) != NULL; at++)
        n++;
    freeReplyObject(r);
    return n;
}

static int clients(bool announced)
{
    _Atomic int right = 0;
    struct pacer pacer = {0};
    rn_wg wg = {0}, pace = {0};
    redisContext *own = connected();
    int threads;

    rn_wg_go(&pace, pacer_run, &pacer);
    for (int i = 0; i < CLIENTS; i++)
        rn_wg_go(&wg, client, i, announced, &right);
    while (in_blpop(own) < CLIENTS)
        rn_sleep(RN_MILLISECOND);
    pacer_goes_on(&pacer);
    clients_blocked();
    CHECK_EQ(right, 0);
    CHECK_EQ(in_blpop(own), CLIENTS);
    threads = count_threads();
    for (int i = 0; i < CLIENTS; i++) {
        char value[32];
        redisReply *r;

        snprintf(value, sizeof(value), "value %d", i);
        r = redisCommand(own, "RPUSH key:%d %s", i, value);
        CHECK(r);
        freeReplyObject(r);
    }
    rn_wg_wait(&wg);
    CHECK_EQ(right, CLIENTS);
    pacer.end = true;
    rn_wg_wait(&pace);
    clients_back(threads);
    redisFree(own);
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

PLAIN_TEST(clients_in_BLPOP)
{
    SERVER(server_redis(&server), &server);
    clients_run(&server, plain);
}

PLAIN_TEST(clients_in_BLPOP_that_say_so)
{
    SERVER(server_redis(&server), &server);
    clients_run(&server, announced);
}
