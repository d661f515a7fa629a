/* SPDX-License-Identifier: MIT */
/*
 * clients.h - what the tests of real clients have in common.
 *
 * Each program is as its user would write it: goroutines that call a client library, which blocks in the kernel and
 * knows nothing of us; a second form says so by rn_blocking. Fifty of them are in the call at the same time, which the
 * server, or the count of calls begun and not ended, tells; as long as they are, a goroutine that sleeps for 1 ms goes
 * on counting. Nothing depends on how long anything takes: the calls end when the test says so, after the counter has
 * gone on, and a runtime that stalls would hang.
 */
#ifndef RN_TESTS_CLIENTS_CLIENTS_H
#define RN_TESTS_CLIENTS_CLIENTS_H

#include "held.h"
#include "process.h"
#include "server.h"

#include <stdlib.h>

enum { CLIENTS = 50, PACES = 100 };

/* The goroutine that sleeps 1 ms, again and again. */
struct pacer {
    _Atomic int count;
    _Atomic bool end;
};

static inline void pacer_run(struct pacer *p)
{
    while (!p->end) {
        rn_sleep(RN_MILLISECOND);
        p->count++;
    }
}

/* It goes on, whatever the others do: called while all of them block. */
static inline void pacer_goes_on(struct pacer *p)
{
    int before = p->count;

    while (p->count < before + PACES)
        rn_sleep(RN_MILLISECOND);
}

/* With CLIENTS goroutines in a call there are that many threads; once they are back, threads go. And at no time are
 * more processors held than there are. */
static inline void clients_blocked(void)
{
    CHECK(count_threads() >= CLIENTS);
    CHECK(procs_held() <= rn_procs());
}

static inline void clients_back(int threads)
{
    AWAIT(count_threads() < threads / 2);
    CHECK(procs_held() <= rn_procs());
}

/* Run body, a program with a runtime of its own, in a child process; then stop the server, whose words are shown if
 * the child failed. */
static inline void clients_run(struct server *s, void (*body)(void))
{
    struct child c = run_child(body);

    if (c.status != 0)
        server_show_log(s);
    server_stop(s);
    CHECK_EXIT(&c, 0);
}

#define SERVER(start, s)                                                                           \
    do {                                                                                           \
        if ((start) != 0) {                                                                        \
            server_show_log(s);                                                                    \
            server_stop(s);                                                                        \
            FAIL((s)->problem);                                                                    \
        }                                                                                          \
    } while (0)

#endif
