/* SPDX-License-Identifier: MIT */
/*
 * threads.c - some of the benchmarks with what C has without a library: a thread for each goroutine, and channels of a
 * mutex and condition variables. -procs P leaves the process P CPUs. Workloads: ../README.md.
 */
#define _GNU_SOURCE
#include "peer.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>

static void fail(const char *why)
{
    fprintf(stderr, "threads: %s\n", why);
    exit(1);
}

static pthread_t start(void *(*fn)(void *), void *arg)
{
    pthread_t t;

    if (pthread_create(&t, NULL, fn, arg) != 0)
        fail("no thread");
    return t;
}

/* ---- A channel: capacity 0 waits until the element was taken ------------------------------------- */

struct chan {
    pthread_mutex_t m;
    pthread_cond_t room, some, taken;
    int capacity, size, first;
    bool closed;
    int64_t count_in, count_out;
    int64_t at[128];
};

static void chan_init(struct chan *c, int capacity)
{
    *c = (struct chan){.m = PTHREAD_MUTEX_INITIALIZER,
                       .room = PTHREAD_COND_INITIALIZER,
                       .some = PTHREAD_COND_INITIALIZER,
                       .taken = PTHREAD_COND_INITIALIZER,
                       .capacity = capacity};
}

static void chan_send(struct chan *c, int64_t v)
{
    int slots = c->capacity ? c->capacity : 1;
    int64_t mine;

    pthread_mutex_lock(&c->m);
    while (c->size == slots)
        pthread_cond_wait(&c->room, &c->m);
    c->at[(c->first + c->size++) % slots] = v;
    mine = ++c->count_in;
    pthread_cond_signal(&c->some);
    while (c->capacity == 0 && c->count_out < mine)
        pthread_cond_wait(&c->taken, &c->m);
    pthread_mutex_unlock(&c->m);
}

static bool chan_recv(struct chan *c, int64_t *v)
{
    int slots = c->capacity ? c->capacity : 1;

    pthread_mutex_lock(&c->m);
    while (c->size == 0 && !c->closed)
        pthread_cond_wait(&c->some, &c->m);
    if (c->size == 0) {
        pthread_mutex_unlock(&c->m);
        return false;
    }
    *v = c->at[c->first];
    c->first = (c->first + 1) % slots;
    c->size--;
    c->count_out++;
    if (c->capacity == 0)
        pthread_cond_broadcast(&c->taken);
    pthread_cond_signal(&c->room);
    pthread_mutex_unlock(&c->m);
    return true;
}

static void chan_close(struct chan *c)
{
    pthread_mutex_lock(&c->m);
    c->closed = true;
    pthread_cond_broadcast(&c->some);
    pthread_mutex_unlock(&c->m);
}

/* ---- The workloads ------------------------------------------------------------------------------- */

struct link {
    struct chan *in, *out, *end;
    int64_t n;
};

static void *echo(void *arg)
{
    struct link *l = arg;
    int64_t v;

    while (chan_recv(l->in, &v))
        chan_send(l->out, v);
    return NULL;
}

static void ping_pong(int64_t n, int procs)
{
    struct chan ping, pong;
    struct link l = {&ping, &pong, NULL, 0};
    pthread_t t;
    int64_t v;

    (void)procs;
    chan_init(&ping, 0);
    chan_init(&pong, 0);
    t = start(echo, &l);
    for (int64_t i = 0; i < n; i++) {
        chan_send(&ping, i);
        chan_recv(&pong, &v);
    }
    chan_close(&ping);
    pthread_join(t, NULL);
}

static void *produce(void *arg)
{
    struct link *l = arg;

    for (int64_t i = 0; i < l->n; i++)
        chan_send(l->out, i);
    chan_close(l->out);
    return NULL;
}

static void producer_consumer(int64_t n, int procs)
{
    struct chan c;
    struct link l = {NULL, &c, NULL, n};
    pthread_t t;
    int64_t v, sum = 0;

    (void)procs;
    chan_init(&c, 100);
    t = start(produce, &l);
    while (chan_recv(&c, &v))
        sum += v;
    pthread_join(t, NULL);
    if (sum != n * (n - 1) / 2)
        fail("a lost number");
}

static void *nothing(void *arg)
{
    return arg;
}

static void spawn_wait(int64_t n, int procs)
{
    (void)procs;
    for (int64_t i = 0; i < n; i++)
        pthread_join(start(nothing, NULL), NULL);
}

static void spawn_batch(int64_t n, int procs)
{
    pthread_t t[1000];

    (void)procs;
    for (int64_t left = n; left > 0; left -= 1000) {
        int count = left < 1000 ? (int)left : 1000;

        for (int i = 0; i < count; i++)
            t[i] = start(nothing, NULL);
        for (int i = 0; i < count; i++)
            pthread_join(t[i], NULL);
    }
}

struct locks {
    pthread_mutex_t *m;
    int64_t n;
};
static void *lock_often(void *arg)
{
    struct locks *l = arg;
    pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER, *m = l->m ? l->m : &own;

    for (int64_t i = 0; i < l->n; i++) {
        pthread_mutex_lock(m);
        pthread_mutex_unlock(m);
    }
    return NULL;
}
static void lock_by(pthread_mutex_t *m, int64_t n, int procs)
{
    struct locks l = {m, n / procs + 1};
    pthread_t t[PEER_PROCS_MAX];

    for (int i = 0; i < procs; i++)
        t[i] = start(lock_often, &l);
    for (int i = 0; i < procs; i++)
        pthread_join(t[i], NULL);
}
static void mutex_uncontended(int64_t n, int procs)
{
    lock_by(NULL, n, procs);
}
static void mutex(int64_t n, int procs)
{
    pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;

    lock_by(&m, n, procs);
}

enum { RING = 503 };

static void *ring_node(void *arg)
{
    struct link *l = arg;
    int64_t hops;

    while (chan_recv(l->in, &hops))
        chan_send(hops == 0 ? l->end : l->out, hops - 1);
    return NULL;
}

static void ring(int64_t n, int procs)
{
    static struct chan c[RING], end;
    static struct link l[RING];
    pthread_t t[RING];
    int64_t v;

    (void)procs;
    chan_init(&end, 0);
    for (int i = 0; i < RING; i++)
        chan_init(&c[i], 0);
    for (int i = 0; i < RING; i++) {
        l[i] = (struct link){&c[i], &c[(i + 1) % RING], &end, 0};
        t[i] = start(ring_node, &l[i]);
    }
    peer_reset();
    chan_send(&c[0], n);
    chan_recv(&end, &v);
    peer_stop();
    for (int i = 0; i < RING; i++)
        chan_close(&c[i]);
    for (int i = 0; i < RING; i++)
        pthread_join(t[i], NULL);
}

static void *work(void *arg)
{
    struct link *l = arg;
    int64_t v;

    while (chan_recv(l->in, &v)) {
        local_work(100);
        chan_send(l->out, v);
    }
    return NULL;
}

static void worker_pool(int64_t n, int procs)
{
    struct chan jobs, results;
    struct link l = {&jobs, &results, NULL, n}, first = {NULL, &jobs, NULL, n};
    pthread_t t[4 * PEER_PROCS_MAX], submit;
    int64_t v, sum = 0;

    chan_init(&jobs, 100);
    chan_init(&results, 100);
    for (int i = 0; i < 4 * procs; i++)
        t[i] = start(work, &l);
    submit = start(produce, &first);
    for (int64_t i = 0; i < n; i++) {
        chan_recv(&results, &v);
        sum += v;
    }
    pthread_join(submit, NULL);
    for (int i = 0; i < 4 * procs; i++)
        pthread_join(t[i], NULL);
    if (sum != n * (n - 1) / 2)
        fail("a lost job");
}

static void limit(int procs)
{
    cpu_set_t have, want;

    CPU_ZERO(&want);
    sched_getaffinity(0, sizeof have, &have);
    for (int i = 0; i < CPU_SETSIZE && procs > 0; i++)
        if (CPU_ISSET(i, &have)) {
            CPU_SET(i, &want);
            procs--;
        }
    sched_setaffinity(0, sizeof want, &want);
}

int main(int argc, char **argv)
{
    static const struct peer_entry entries[] = {
        {"PingPong", ping_pong},
        {"ProducerConsumer100", producer_consumer},
        {"SpawnWait", spawn_wait},
        {"SpawnBatch1000", spawn_batch},
        {"MutexUncontended", mutex_uncontended},
        {"Mutex", mutex},
        {"Ring503", ring},
        {"WorkerPool", worker_pool},
        {NULL, NULL},
    };

    return peer_main(argc, argv, entries, limit);
}
