/* SPDX-License-Identifier: MIT */
/*
 * leaver.c - goroutines that leave their thread with or without a lock of it, for leave.c. It knows nothing of
 * librunnel-locks.
 *
 *     leaver NAME...      runs those one after the other; each is a place of its own
 *     leaver --list       their names, and what is said of each: "pthread mutex", or "-" if nothing may be
 */
#define _GNU_SOURCE
#include <runnel.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <time.h>

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spin;
static mtx_t c11;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static rn_chan(int) gate;

static void must(int result)
{
    if (result != 0)
        abort();
}
static void must_not(int result)
{
    if (result == 0)
        abort();
}
static struct timespec soon(clockid_t clock)
{
    struct timespec t;

    must(clock_gettime(clock, &t));
    t.tv_sec += 60;
    return t;
}

/* Waits, and is let go. */
static void wait_a_moment(void)
{
    (void)rn_recv(gate);
}

/* ---- With a lock ------------------------------------------------------------------------------------------------ */

static void with_mutex(void)
{
    must(pthread_mutex_lock(&mu));
    wait_a_moment();
    must(pthread_mutex_unlock(&mu));
}
static void with_mutex_try(void)
{
    must(pthread_mutex_trylock(&mu));
    wait_a_moment();
    must(pthread_mutex_unlock(&mu));
}
static void with_mutex_timed(void)
{
    struct timespec t = soon(CLOCK_REALTIME);

    must(pthread_mutex_timedlock(&mu, &t));
    wait_a_moment();
    must(pthread_mutex_unlock(&mu));
}
static void with_mutex_clock(void)
{
    struct timespec t = soon(CLOCK_MONOTONIC);

    must(pthread_mutex_clocklock(&mu, CLOCK_MONOTONIC, &t));
    wait_a_moment();
    must(pthread_mutex_unlock(&mu));
}
static void with_read(void)
{
    must(pthread_rwlock_rdlock(&rw));
    wait_a_moment();
    must(pthread_rwlock_unlock(&rw));
}
static void with_read_try(void)
{
    must(pthread_rwlock_tryrdlock(&rw));
    wait_a_moment();
    must(pthread_rwlock_unlock(&rw));
}
static void with_read_timed(void)
{
    struct timespec t = soon(CLOCK_REALTIME);

    must(pthread_rwlock_timedrdlock(&rw, &t));
    wait_a_moment();
    must(pthread_rwlock_unlock(&rw));
}
static void with_read_clock(void)
{
    struct timespec t = soon(CLOCK_MONOTONIC);

    must(pthread_rwlock_clockrdlock(&rw, CLOCK_MONOTONIC, &t));
    wait_a_moment();
    must(pthread_rwlock_unlock(&rw));
}
static void with_write(void)
{
    must(pthread_rwlock_wrlock(&rw));
    wait_a_moment();
    must(pthread_rwlock_unlock(&rw));
}
static void with_write_try(void)
{
    must(pthread_rwlock_trywrlock(&rw));
    wait_a_moment();
    must(pthread_rwlock_unlock(&rw));
}
static void with_write_timed(void)
{
    struct timespec t = soon(CLOCK_REALTIME);

    must(pthread_rwlock_timedwrlock(&rw, &t));
    wait_a_moment();
    must(pthread_rwlock_unlock(&rw));
}
static void with_write_clock(void)
{
    struct timespec t = soon(CLOCK_MONOTONIC);

    must(pthread_rwlock_clockwrlock(&rw, CLOCK_MONOTONIC, &t));
    wait_a_moment();
    must(pthread_rwlock_unlock(&rw));
}
static void with_spin(void)
{
    must(pthread_spin_lock(&spin));
    wait_a_moment();
    must(pthread_spin_unlock(&spin));
}
static void with_spin_try(void)
{
    must(pthread_spin_trylock(&spin));
    wait_a_moment();
    must(pthread_spin_unlock(&spin));
}
static void with_c11(void)
{
    must(mtx_lock(&c11));
    wait_a_moment();
    must(mtx_unlock(&c11));
}
static void with_c11_try(void)
{
    must(mtx_trylock(&c11));
    wait_a_moment();
    must(mtx_unlock(&c11));
}
static void with_c11_timed(void)
{
    struct timespec t = soon(CLOCK_REALTIME);

    must(mtx_timedlock(&c11, &t));
    wait_a_moment();
    must(mtx_unlock(&c11));
}
static void with_file(void)
{
    flockfile(stderr);
    wait_a_moment();
    funlockfile(stderr);
}
static void with_file_try(void)
{
    must(ftrylockfile(stderr));
    wait_a_moment();
    funlockfile(stderr);
}
/* Of two one is left, the first or the last. */
static void with_first_of_two(void)
{
    must(pthread_rwlock_wrlock(&rw));
    must(pthread_mutex_lock(&mu));
    must(pthread_mutex_unlock(&mu));
    wait_a_moment();
    must(pthread_rwlock_unlock(&rw));
}
static void with_second_of_two(void)
{
    must(pthread_rwlock_wrlock(&rw));
    must(pthread_mutex_lock(&mu));
    must(pthread_rwlock_unlock(&rw));
    wait_a_moment();
    must(pthread_mutex_unlock(&mu));
}
static void with_cond(void)
{
    struct timespec t = {0};

    must(pthread_mutex_lock(&mu));
    must_not(pthread_cond_timedwait(&cond, &mu, &t));
    wait_a_moment();
    must(pthread_mutex_unlock(&mu));
}
static void with_yield(void)
{
    must(pthread_mutex_lock(&mu));
    rn_yield();
    must(pthread_mutex_unlock(&mu));
}
static void with_end(void)
{
    must(pthread_spin_lock(&spin));
    rn_exit(0);
}
static void with_end_on_locked_thread(void)
{
    rn_lock_thread();
    must(pthread_spin_lock(&spin));
}

/* ---- Without ---------------------------------------------------------------------------------------------------- */

static void without(void)
{
    must(pthread_mutex_lock(&mu));
    must_not(pthread_mutex_trylock(&mu));
    must(pthread_mutex_unlock(&mu));
    must(pthread_rwlock_rdlock(&rw));
    must(pthread_rwlock_rdlock(&rw));
    must(pthread_rwlock_unlock(&rw));
    must(pthread_rwlock_unlock(&rw));
    must(pthread_spin_lock(&spin));
    must(pthread_spin_unlock(&spin));
    must(mtx_lock(&c11));
    must(mtx_unlock(&c11));
    flockfile(stdout);
    funlockfile(stdout);
    wait_a_moment();
    rn_yield();
}
static void without_success(void)
{
    must(pthread_mutex_lock(&mu));
    must_not(pthread_mutex_trylock(&mu));
    must_not(pthread_mutex_timedlock(&mu, &(struct timespec){0}));
    must(pthread_mutex_unlock(&mu));
    must(pthread_rwlock_wrlock(&rw));
    must_not(pthread_rwlock_trywrlock(&rw));
    must_not(pthread_rwlock_tryrdlock(&rw));
    must(pthread_rwlock_unlock(&rw));
    wait_a_moment();
}
/* It comes back on this very thread. */
static void without_leaving(void)
{
    rn_lock_thread();
    must(pthread_mutex_lock(&mu));
    wait_a_moment();
    rn_yield();
    must(pthread_mutex_unlock(&mu));
    rn_unlock_thread();
    wait_a_moment();
}
static void without_waiting(void)
{
    static pthread_mutex_t other = PTHREAD_MUTEX_INITIALIZER;

    must(pthread_mutex_lock(&mu));
    must(rn_blocking(pthread_mutex_lock(&other)));
    must(pthread_mutex_unlock(&other));
    must(pthread_mutex_unlock(&mu));
}
static void without_pthread(void)
{
    static rn_mutex own;

    rn_mutex_lock(&own);
    wait_a_moment();
    rn_mutex_unlock(&own);
}
/* A plain thread has it, and waits as a thread. */
static void *wait_in_thread(void *arg)
{
    (void)arg;
    must(pthread_mutex_lock(&mu));
    wait_a_moment();
    must(pthread_mutex_unlock(&mu));
    return NULL;
}
static void without_goroutine(void)
{
    pthread_t t;

    must(pthread_create(&t, NULL, wait_in_thread, NULL));
    rn_send(gate, 1);
    must(pthread_join(t, NULL));
}

static const struct {
    const char *name, *said;
    void (*fn)(void);
} cases[] = {
#define CASE(name, said) {#name, said, name}
    CASE(with_mutex, "pthread mutex"),
    CASE(with_mutex_try, "pthread mutex"),
    CASE(with_mutex_timed, "pthread mutex"),
    CASE(with_mutex_clock, "pthread mutex"),
    CASE(with_read, "pthread rwlock, for reading,"),
    CASE(with_read_try, "pthread rwlock, for reading,"),
    CASE(with_read_timed, "pthread rwlock, for reading,"),
    CASE(with_read_clock, "pthread rwlock, for reading,"),
    CASE(with_write, "pthread rwlock"),
    CASE(with_write_try, "pthread rwlock"),
    CASE(with_write_timed, "pthread rwlock"),
    CASE(with_write_clock, "pthread rwlock"),
    CASE(with_spin, "pthread spin lock"),
    CASE(with_spin_try, "pthread spin lock"),
    CASE(with_c11, "mtx_t"),
    CASE(with_c11_try, "mtx_t"),
    CASE(with_c11_timed, "mtx_t"),
    CASE(with_file, "FILE"),
    CASE(with_file_try, "FILE"),
    CASE(with_first_of_two, "pthread rwlock"),
    CASE(with_second_of_two, "pthread mutex"),
    CASE(with_cond, "pthread mutex"),
    CASE(with_yield, "pthread mutex"),
    CASE(with_end, "pthread spin lock"),
    CASE(with_end_on_locked_thread, "pthread spin lock"),
    CASE(without, "-"),
    CASE(without_success, "-"),
    CASE(without_leaving, "-"),
    CASE(without_waiting, "-"),
    CASE(without_pthread, "-"),
    CASE(without_goroutine, "-"),
};

static int run(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        for (size_t j = 0; j < sizeof(cases) / sizeof(cases[0]); j++) {
            if (strcmp(argv[i], cases[j].name) != 0)
                continue;
            rn_go_with(RN_ATTR(.name = "leaver"), cases[j].fn);
            while (rn_settle(RN_MILLISECOND) > 0)
                (void)rn_try_send(gate, 1);
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    bool list = argc == 2 && strcmp(argv[1], "--list") == 0;

    must(pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE));
    must(mtx_init(&c11, mtx_timed));
    gate = rn_chan_make(int, 0);
    for (size_t j = 0; list && j < sizeof(cases) / sizeof(cases[0]); j++)
        printf("%s:%s\n", cases[j].name, cases[j].said);
    return list ? 0 : rn_run(run, argc, argv);
}
