/* SPDX-License-Identifier: MIT */
/*
 * floor.c - what the hot paths must do at least, without the library: what ours is to be measured by. The bare switch is
 * in spawn.c, the bare loop under an echo in serve/epoll.c, the cache line that goes to another CPU in latency.c.
 */
#define _GNU_SOURCE
#include "driver.h"
#include "loopback.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A library's function is called: neither inlined nor looked into. */
#ifdef __clang__
#define CALLED __attribute__((noinline))
#else
#define CALLED __attribute__((noinline, noclone))
#endif

enum { ROOM = 100 };

static struct ring {
    _Atomic int held;
    uint32_t at, count;
    uint64_t value[ROOM];
} ring;

static CALLED bool put(struct ring *r, const uint64_t *v)
{
    uint32_t i;

    if (r->count == ROOM)
        return false;
    i = r->at + r->count;
    r->value[i < ROOM ? i : i - ROOM] = *v;
    r->count++;
    return true;
}
static CALLED bool take(struct ring *r, uint64_t *ret_v)
{
    if (r->count == 0)
        return false;
    *ret_v = r->value[r->at];
    r->at = r->at + 1 < ROOM ? r->at + 1 : 0;
    r->count--;
    return true;
}

/* A value into a ring buffer and out of it: a buffered channel that one processor has to itself. */
static void through_ring(struct bench *b)
{
    uint64_t v = 1;

    for (int64_t i = 0; i < b->n; i++)
        if (!put(&ring, &v) || !take(&ring, &v))
            bench_fail("the ring is full or empty");
}

static CALLED bool put_locked(struct ring *r, const uint64_t *v)
{
    bool done;

    while (atomic_exchange_explicit(&r->held, 1, memory_order_acquire))
        ;
    done = put(r, v);
    atomic_store_explicit(&r->held, 0, memory_order_release);
    return done;
}
static CALLED bool take_locked(struct ring *r, uint64_t *ret_v)
{
    bool done;

    while (atomic_exchange_explicit(&r->held, 1, memory_order_acquire))
        ;
    done = take(r, ret_v);
    atomic_store_explicit(&r->held, 0, memory_order_release);
    return done;
}

/* The same, each with a lock that is free: a buffered channel of several processors. */
static void through_locked_ring(struct bench *b)
{
    uint64_t v = 1;

    for (int64_t i = 0; i < b->n; i++)
        if (!put_locked(&ring, &v) || !take_locked(&ring, &v))
            bench_fail("the ring is full or empty");
}

/* A compare-exchange and a subtraction on one word: a lock and an unlock. */
static void two_locked(struct bench *b)
{
    static _Atomic uint32_t word;

    for (int64_t i = 0; i < b->n; i++) {
        uint32_t none = 0;

        if (!atomic_compare_exchange_strong_explicit(&word, &none, 1, memory_order_acquire,
                                                     memory_order_relaxed) ||
            atomic_fetch_sub_explicit(&word, 1, memory_order_release) != 1)
            bench_fail("the word is wrong");
    }
}

static CALLED int look(const _Atomic int *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

/* A call that loads a word: has a context ended? */
static void one_load(struct bench *b)
{
    static _Atomic int word;

    for (int64_t i = 0; i < b->n; i++)
        if (look(&word))
            bench_fail("the word is wrong");
}

/* The first touch of a page, and its end: every goroutine that waits has touched one. */
static void first_touch(struct bench *b)
{
    enum { PAGE = 4096, PAGES = 16384 };

    for (int64_t left = b->n; left > 0; left -= PAGES) {
        int64_t pages = left < PAGES ? left : PAGES;
        char *at = mmap(NULL, (size_t)pages * PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (at == MAP_FAILED || madvise(at, (size_t)pages * PAGE, MADV_NOHUGEPAGE) != 0)
            bench_fail("no memory");
        for (int64_t i = 0; i < pages; i++)
            *(volatile char *)(at + i * PAGE) = 1;
        munmap(at, (size_t)pages * PAGE);
    }
}

static void clock_read(struct bench *b)
{
    struct timespec ts;

    for (int64_t i = 0; i < b->n; i++)
        clock_gettime(CLOCK_MONOTONIC, &ts);
}

/* ---- Two threads that wake each other: the cheapest way to put another CPU to work -------------------- */

struct turns {
    _Alignas(BENCH_LINE) _Atomic uint32_t turn;
    uint32_t last;
};

static void await_turn(struct turns *t, uint32_t i)
{
    uint32_t now;

    while ((now = atomic_load_explicit(&t->turn, memory_order_acquire)) != i)
        syscall(SYS_futex, &t->turn, FUTEX_WAIT_PRIVATE, now, NULL, NULL, 0);
}
static void pass_turn(struct turns *t, uint32_t i)
{
    atomic_store_explicit(&t->turn, i, memory_order_release);
    syscall(SYS_futex, &t->turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *turns_peer(void *arg)
{
    struct turns *t = arg;

    for (uint32_t i = 1; i < t->last; i += 2) {
        await_turn(t, i);
        pass_turn(t, i + 1);
    }
    return NULL;
}

static int turns_own(struct turns *t)
{
    pthread_t peer;

    if (pthread_create(&peer, NULL, turns_peer, t) != 0)
        bench_fail("no thread");
    for (uint32_t i = 0; i < t->last; i += 2) {
        await_turn(t, i);
        pass_turn(t, i + 1);
    }
    return pthread_join(peer, NULL);
}

static void futex_round_trip(struct bench *b)
{
    static struct turns t;

    if (b->procs < 2) {
        bench_skip(b);
        return;
    }
    t.last = (uint32_t)(2 * b->n);
    atomic_store(&t.turn, 0);
    (void)rn_blocking(turns_own(&t));
}

/* ---- Sixty-four bytes through the kernel and back ----------------------------------------------------- */

/* One thread writes to one end of a connection, reads from the other, and the same back: the system calls of an echo. */
static void four_calls(struct bench *b)
{
    struct sockaddr_in at;
    int listener = loopback_listen(&at);
    char buf[64] = {0};
    int fds[2];

    fds[0] = loopback_dial(&at);
    fds[1] = accept(listener, NULL, NULL);
    if (fds[0] < 0 || fds[1] < 0)
        bench_fail("no connection");
    nodelay(fds[1]);
    close(listener);
    bench_reset(b);
    for (int64_t i = 0; i < b->n; i++)
        for (int k = 0; k < 2; k++)
            if (write(fds[k], buf, sizeof buf) != sizeof buf ||
                read(fds[1 - k], buf, sizeof buf) != sizeof buf)
                bench_fail("the connection is broken");
    bench_stop(b);
    close(fds[0]);
    close(fds[1]);
}

static const struct bench_entry entries[] = {
    {"Floor/ring", through_ring, 0, 1},
    {"Floor/locked-ring", through_locked_ring, 0, 1},
    {"Floor/two-locked", two_locked, 0, 1},
    {"Floor/load", one_load, 0, 1},
    {"Floor/first-touch", first_touch, 0, 1},
    {"Floor/clock", clock_read, 0, 1},
    {"Floor/futex-round-trip", futex_round_trip, 0, 0},
    {"Floor/four-calls", four_calls, 0, 1},
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, entries, sizeof(entries) / sizeof(entries[0]));
}
