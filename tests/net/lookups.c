/* SPDX-License-Identifier: MIT */
/*
 * lookups.c - names that the C library looks up, where no name server answers: its lookup, which is ours here, does not
 * end before the test lets it.
 */
#define _GNU_SOURCE
#include "net.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

enum { MOST = 256 /* LOOKUPS of addr.c */ };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool answers;
    int now, most, all;
} server = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* The address of every name is 192.0.2.1. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **list)
{
    struct found {
        struct addrinfo ai;
        struct sockaddr_in in;
    } *f = calloc(1, sizeof *f);

    (void)node, (void)service;
    pthread_mutex_lock(&server.lock);
    server.all++;
    if (++server.now > server.most)
        server.most = server.now;
    while (!server.answers)
        pthread_cond_wait(&server.changed, &server.lock);
    server.now--;
    pthread_mutex_unlock(&server.lock);
    f->in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000201)};
    f->ai = (struct addrinfo){.ai_family = AF_INET,
                              .ai_socktype = hints->ai_socktype,
                              .ai_addrlen = sizeof f->in,
                              .ai_addr = (struct sockaddr *)&f->in};
    *list = &f->ai;
    return 0;
}
void freeaddrinfo(struct addrinfo *list)
{
    free(list);
}

static int in_progress(void)
{
    int n;

    pthread_mutex_lock(&server.lock);
    n = server.now;
    pthread_mutex_unlock(&server.lock);
    return n;
}

static void let_answer(bool answers)
{
    pthread_mutex_lock(&server.lock);
    server.answers = answers;
    pthread_cond_broadcast(&server.changed);
    pthread_mutex_unlock(&server.lock);
}

static void look_up_once(rn_ctx *ctx, int want)
{
    rn_addr a;
    int n = rn_lookup(ctx, "a.test", 4, &a, 1);

    CHECK_EQ(n, want);
}

/* Twice as many as may be at work, and all give up: what is left of them is bounded, and goes when it may. */
static void give_up(int most)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_wg wg = {0};

    let_answer(false);
    for (int i = 0; i < 2 * most; i++)
        rn_wg_go(&wg, look_up_once, ctx, -ECANCELED);
    AWAIT(in_progress() == most);
    rn_ctx_cancel(ctx);
    rn_wg_wait(&wg);
    rn_ctx_end(ctx);
    AWAIT(rn_count() == (size_t)most + 1); /* those that had no turn are gone, those at work stay */
    CHECK_EQ(in_progress(), most);

    /* Whoever comes now waits, and has its answer when one can be had. */
    for (int i = 0; i < 10; i++)
        rn_wg_go(&wg, look_up_once, rn_ctx_background(), 1);
    test_let_run();
    CHECK_EQ(in_progress(), most);
    let_answer(true);
    rn_wg_wait(&wg);
    CHECK_EQ(server.most, most);
    CHECK_EQ(server.all, most + 10);
    AWAIT(rn_count() == 1);
}

GO_TEST(lookups_without_an_answer_are_bounded)
{
    give_up(MOST);
}

/* Of few threads no more than half. */
static int with_few(void)
{
    give_up(10);
    return 0;
}
PLAIN_TEST(lookups_leave_threads)
{
    setenv("RUNNEL_MAX_THREADS", "20", 1);
    CHECK_EQ(rn_run(with_few), 0);
}

/* Those of a runtime that has ended count as long as they last. */
static void leave_behind(void)
{
    for (int i = 0; i < 10; i++)
        rn_go(look_up_once, rn_ctx_background(), 1);
    AWAIT(in_progress() == 10);
}
static int come_after(void)
{
    rn_wg wg = {0};

    rn_wg_go(&wg, look_up_once, rn_ctx_background(), 1);
    AWAIT(test_parked() == 2); /* who asks, and the lookup: it sleeps, and is not at work */
    test_let_run();
    CHECK_EQ(server.all, 10);
    let_answer(true);
    rn_wg_wait(&wg);
    CHECK_EQ(server.all, 11);
    AWAIT(in_progress() == 0);
    return 0;
}
PLAIN_TEST(lookups_outlast_a_runtime)
{
    setenv("RUNNEL_MAX_THREADS", "20", 1);
    CHECK_EQ(rn_run(test_run_body, __FILE__, __LINE__, leave_behind, true), 0);
    CHECK_EQ(in_progress(), 10);
    CHECK_EQ(rn_run(come_after), 0);
}
