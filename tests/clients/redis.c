/* SPDX-License-Identifier: MIT */
/* redis.c - goroutines in hiredis, and on its interface that does not block, against a Redis server of our own. */
#define _GNU_SOURCE
#include "clients.h"

#include <errno.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <signal.h>

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

/* ---- Without a thread: hiredis says what it waits for, and rn_wait_fd waits ---------------------------------------- */

struct link {
    redisAsyncContext *ac;
    int fd, wants; /* bits of rn_io_events */
    bool over;     /* hiredis has given ac up */
    char value[32];
    bool answered;
};

static void add_read(void *link)
{
    ((struct link *)link)->wants |= RN_READ;
}
static void del_read(void *link)
{
    ((struct link *)link)->wants &= ~RN_READ;
}
static void add_write(void *link)
{
    ((struct link *)link)->wants |= RN_WRITE;
}
static void del_write(void *link)
{
    ((struct link *)link)->wants &= ~RN_WRITE;
}
static void cleanup(void *link) /* it closes the descriptor next */
{
    struct link *l = link;

    rn_forget_fd(l->fd);
    l->over = true;
}

static void link_open(struct link *l)
{
    *l = (struct link){.ac = redisAsyncConnectUnix(server.socket)};
    CHECK(l->ac);
    if (l->ac->err)
        FAIL(l->ac->errstr);
    l->fd = l->ac->c.fd;
    l->ac->ev.data = l;
    l->ac->ev.addRead = add_read;
    l->ac->ev.delRead = del_read;
    l->ac->ev.addWrite = add_write;
    l->ac->ev.delWrite = del_write;
    l->ac->ev.cleanup = cleanup;
}

/* Until there is an answer, or hiredis gives up. 0 or ctx's error. */
static int link_drive(rn_ctx *ctx, struct link *l)
{
    while (!l->answered && !l->over) {
        int ready = rn_wait_fd(l->fd, l->wants, ctx);

        if (ready < 0)
            return ready;
        if (ready & RN_READ)
            redisAsyncHandleRead(l->ac);
        if (!l->over && (ready & RN_WRITE))
            redisAsyncHandleWrite(l->ac);
    }
    return 0;
}

static void on_answer(redisAsyncContext *ac, void *reply, void *link)
{
    struct link *l = link;
    redisReply *r = reply;

    (void)ac;
    if (!r) /* it ends without one */
        return;
    CHECK_EQ(r->type, REDIS_REPLY_ARRAY);
    CHECK_EQ(r->elements, 2);
    snprintf(l->value, sizeof(l->value), "%s", r->element[1]->str);
    l->answered = true;
}

static void async_client(rn_ctx *ctx, int i, int expected, _Atomic int *right)
{
    struct link l;
    char value[32];
    int err;

    link_open(&l);
    CHECK_EQ(redisAsyncCommand(l.ac, on_answer, &l, "BLPOP key:%d 0", i), REDIS_OK);
    err = link_drive(ctx, &l);
    if (err == 0 && l.over)
        err = -ECONNRESET;
    CHECK_EQ(err, expected);
    snprintf(value, sizeof(value), "value %d", i);
    if (expected == 0)
        CHECK_STR(l.value, value);
    if (!l.over)
        redisAsyncFree(l.ac);
    CHECK(l.over);
    ++*right;
}

static int async_clients(void)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    _Atomic int right = 0, given_up = 0, cut = 0;
    redisContext *own = connected();
    rn_wg wg = {0}, more = {0};

    for (int i = 0; i < CLIENTS; i++)
        rn_wg_go(&wg, async_client, (rn_ctx *)NULL, i, 0, &right);
    for (int i = 0; i < CLIENTS; i++)
        rn_wg_go(&more, async_client, ctx, CLIENTS + i, -ECANCELED, &given_up);
    while (in_blpop(own) < 2 * CLIENTS)
        rn_sleep(RN_MILLISECOND);
    CHECK(count_threads() < CLIENTS / 2); /* all wait, and none holds a thread */
    CHECK_EQ(right + given_up, 0);
    rn_ctx_cancel(ctx);
    rn_wg_wait(&more);
    CHECK_EQ(given_up, CLIENTS);
    while (in_blpop(own) > CLIENTS) /* their connections are closed */
        rn_sleep(RN_MILLISECOND);
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

    /* The server ends in the middle. */
    for (int i = 0; i < CLIENTS; i++)
        rn_wg_go(&wg, async_client, (rn_ctx *)NULL, 1000 + i, -ECONNRESET, &cut);
    while (in_blpop(own) < CLIENTS)
        rn_sleep(RN_MILLISECOND);
    CHECK_EQ(kill(server.pid, SIGKILL), 0);
    rn_wg_wait(&wg);
    CHECK_EQ(cut, CLIENTS);
    redisFree(own);
    rn_ctx_end(ctx);
    return 0;
}

static void async(void)
{
    CHECK_EQ(rn_run(async_clients), 0);
}

PLAIN_TEST(clients_of_hiredis_async_by_rn_wait_fd)
{
    SERVER(server_redis(&server), &server);
    clients_run(&server, async);
}
