/* SPDX-License-Identifier: MIT */
/*
 * names.c - goroutines in getaddrinfo, against a name server of our own, which keeps all questions until the last
 * client has asked, and the test lets it answer.
 */
#define _GNU_SOURCE
#include "clients.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <resolv.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- The name server: a plain thread ------------------------------------------------------------------------------- */

static struct {
    int fd;
    struct sockaddr_in at;
    _Atomic int asked; /* different names */
    _Atomic bool answers;
} names;

struct question {
    struct sockaddr_in from;
    size_t size;
    unsigned char text[512];
};

/* Turn the question about "cN.runnel.test" into its answer, 10.9.8.N. */
static void answer(struct question *q)
{
    unsigned char a[16] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 9, 8, 0};
    size_t end = 12;

    a[15] = (unsigned char)atoi((const char *)q->text + 14);
    while (q->text[end])
        end += q->text[end] + 1u;
    end += 5;
    q->text[2] |= 0x80; /* an answer */
    q->text[3] = 0x80;
    q->text[7] = 1;  /* one address */
    q->text[11] = 0; /* nothing additional */
    memcpy(q->text + end, a, sizeof(a));
    CHECK_EQ(
        sendto(names.fd, q->text, end + sizeof(a), 0, (struct sockaddr *)&q->from, sizeof(q->from)),
        (long long)(end + sizeof(a)));
}

static void *name_server(void *unused)
{
    static struct question kept[CLIENTS];
    bool known[CLIENTS] = {false};

    for (int n = 0; n < CLIENTS;) {
        struct question q;
        socklen_t length = sizeof(q.from);
        ssize_t got =
            recvfrom(names.fd, q.text, sizeof(q.text) - 32, 0, (struct sockaddr *)&q.from, &length);
        int who = got > 20 ? atoi((const char *)q.text + 14) : -1;

        CHECK(who >= 0 && who < CLIENTS);
        q.size = (size_t)got;
        if (known[who])
            continue; /* asked again */
        known[who] = true;
        kept[n++] = q;
        names.asked++;
    }
    while (!names.answers)
        usleep(1000);
    for (int i = 0; i < CLIENTS; i++)
        answer(&kept[i]);
    return unused;
}

/* ---- The clients ------------------------------------------------------------------------------------------------------ */

/* The C library asks whom resolv.conf names; this thread, ours, and with patience. */
static void use_our_server(void)
{
    CHECK_EQ(res_init(), 0);
    _res.nsaddr_list[0] = names.at;
    _res.nscount = 1;
    _res.retrans = 3600;
    _res.retry = 1;
}

/* Nothing in here is a call of ours, so all of it happens on one thread. */
static int looked_up(const char *name, struct addrinfo **ret)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};

    use_our_server();
    return getaddrinfo(name, "80", &hints, ret);
}

static void client(int i, bool announced, _Atomic int *right)
{
    struct addrinfo *found = NULL;
    char name[32], want[32], is[32];
    int err;

    snprintf(name, sizeof(name), "c%02d.runnel.test.", i);
    snprintf(want, sizeof(want), "10.9.8.%d", i);
    err = announced ? rn_blocking(looked_up(name, &found)) : looked_up(name, &found);
    if (err)
        FAIL(gai_strerror(err));
    CHECK(inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)found->ai_addr)->sin_addr, is,
                    sizeof(is)));
    CHECK_STR(is, want);
    freeaddrinfo(found);
    ++*right;
}

static int clients(bool announced)
{
    _Atomic int right = 0;
    struct pacer pacer = {0};
    rn_wg wg = {0}, pace = {0};
    int threads;

    rn_wg_go(&pace, pacer_run, &pacer);
    for (int i = 0; i < CLIENTS; i++)
        rn_wg_go(&wg, client, i, announced, &right);
    while (names.asked < CLIENTS)
        rn_sleep(RN_MILLISECOND);
    pacer_goes_on(&pacer);
    clients_blocked();
    CHECK_EQ(right, 0);
    threads = count_threads();
    names.answers = true;
    rn_wg_wait(&wg);
    CHECK_EQ(right, CLIENTS);
    pacer.end = true;
    rn_wg_wait(&pace);
    clients_back(threads);
    return 0;
}

static void run(bool announced)
{
    socklen_t length = sizeof(names.at);
    pthread_t thread;

    names.fd = socket(AF_INET, SOCK_DGRAM, 0);
    names.at =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    CHECK_EQ(bind(names.fd, (struct sockaddr *)&names.at, sizeof(names.at)), 0);
    CHECK_EQ(getsockname(names.fd, (struct sockaddr *)&names.at, &length), 0);
    CHECK_EQ(pthread_create(&thread, NULL, name_server, NULL), 0);
    CHECK_EQ(rn_run(clients, announced), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

PLAIN_TEST(clients_in_getaddrinfo)
{
    run(false);
}

PLAIN_TEST(clients_in_getaddrinfo_that_say_so)
{
    run(true);
}
