/* SPDX-License-Identifier: MIT */
/*
 * A data race, and its three cures. Two goroutines use the same variable, one of them writes, and
 * nothing orders them: the result is undefined, and usually just too small. Build this file with
 * -fsanitize=thread -DRACE to see the report. The cures: a mutex, an atomic, or one owner to whom
 * the others send.
 */
#include <runnel.h>
#include <stdatomic.h>
#include <stdio.h>

enum { GOROUTINES = 10, TIMES = 100 };

#ifdef RACE
static void count_racy(int *counter)
{
    for (int i = 0; i < TIMES; i++)
        ++*counter; /* reads, adds, writes; another goroutine's addition in between is lost */
}
#endif

static void count_locked(rn_mutex *mu, int *counter)
{
    for (int i = 0; i < TIMES; i++) {
        rn_mutex_lock(mu);
        ++*counter;
        rn_mutex_unlock(mu);
    }
}

static void count_atomic(atomic_int *counter)
{
    for (int i = 0; i < TIMES; i++)
        atomic_fetch_add(counter, 1);
}

/* "Share memory by communicating": the number is the owner's alone. */
static void count_by_sending(rn_send_only(int) increments)
{
    for (int i = 0; i < TIMES; i++)
        rn_send(increments, 1);
}

static void own_counter(rn_recv_only(int) increments, int *counter)
{
    rn_range (n, increments)
        *counter += n;
}

static int program(void)
{
    int locked = 0, owned = 0;
    atomic_int shared = 0;
    rn_mutex mu = {0};
    rn_chan(int) increments = rn_chan_make(int, 0);
    rn_wg wg = {0}, owner = {0};

#ifdef RACE
    int racy = 0;
    for (int i = 0; i < GOROUTINES; i++)
        rn_wg_go(&wg, count_racy, &racy);
    rn_wg_wait(&wg);
    printf("racy: %d\n", racy);
#endif
    rn_wg_go(&owner, own_counter, increments, &owned);
    for (int i = 0; i < GOROUTINES; i++) {
        rn_wg_go(&wg, count_locked, &mu, &locked);
        rn_wg_go(&wg, count_atomic, &shared);
        rn_wg_go(&wg, count_by_sending, increments);
    }
    rn_wg_wait(&wg);
    rn_close(increments);
    rn_wg_wait(&owner);
    printf("mutex: %d\natomic: %d\none owner: %d\n", locked, atomic_load(&shared), owned);
    rn_chan_release(increments);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
