/* SPDX-License-Identifier: MIT */
/*
 * asan.c - a program with one fault, or none, in a goroutine, for AddressSanitizer and LeakSanitizer.
 *
 *     asan clean                ends with status 0 and says "done"
 *     asan held                 memory that only parked goroutines know of is no leak
 *     asan stack | heap | leak  is reported
 */
#define _GNU_SOURCE
#include <runnel.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int __lsan_do_recoverable_leak_check(void);

static rn_chan(int) gate;
static _Atomic int standing;
static volatile size_t past = 10;

static void write_past_the_frame(void)
{
    volatile char frame[10];

    rn_yield();
    frame[past] = 1;
    past += (size_t)frame[3];
}
static char *volatile kept;
static void use_after_free(void)
{
    kept = malloc(10);
    rn_yield();
    free(kept);
    rn_yield();
    kept[3] = 1;
}
static void lose(void)
{
    char *volatile p = malloc(1234);

    if (p)
        p[0] = 1;
    p = NULL;
    rn_yield();
}

/* The only pointer is in this frame, while it waits. */
static void hold(int i)
{
    char *volatile p = malloc(100 + (size_t)i);
    char *volatile q = NULL;

    if (p)
        memset((void *)p, i, 100);
    standing++;
    (void)rn_recv(gate);
    q = p;
    free((void *)q);
}

static int deep(volatile char *from, int depth)
{
    volatile char frame[100];

    frame[0] = from[0];
    if (depth % 10 == 0)
        rn_yield();
    return depth == 0 ? frame[0] : deep(frame, depth - 1) + frame[0];
}
static void clean(rn_wg *wg, int i)
{
    volatile char c = 1;
    char *p = malloc(1000);

    rn_defer(rn_wg_done, wg);
    if (p)
        memset(p, i, 1000);
    (void)deep(&c, 100);
    free(p);
    if (i % 3 == 0)
        rn_exit(0); /* leaves frames behind on a stack that is used again */
}

static int run(const char *what)
{
    rn_wg wg = {0};
    int found = 0;

    if (strcmp(what, "stack") == 0)
        rn_wg_go(&wg, write_past_the_frame);
    if (strcmp(what, "heap") == 0)
        rn_wg_go(&wg, use_after_free);
    if (strcmp(what, "leak") == 0)
        rn_wg_go(&wg, lose);
    if (strcmp(what, "clean") == 0) {
        for (int round = 0; round < 20; round++) {
            for (int i = 0; i < 50; i++) {
                rn_wg_add(&wg, 1);
                rn_go(clean, &wg, i);
            }
            rn_wg_wait(&wg);
        }
    }
    if (strcmp(what, "held") == 0) {
        gate = rn_chan_make(int, 0);
        for (int i = 0; i < 200; i++)
            rn_wg_go(&wg, hold, i);
        while (standing < 200)
            rn_yield();
        for (int i = 0; i < 200; i++)
            rn_yield();
        found = __lsan_do_recoverable_leak_check();
        rn_close(gate);
    }
    rn_wg_wait(&wg);
    rn_chan_release(gate);
    return found;
}

int main(int argc, char **argv)
{
    int err = argc == 2 ? rn_run(run, (const char *)argv[1]) : 1;

    if (err == 0)
        puts("done");
    return err;
}
