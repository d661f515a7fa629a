/* SPDX-License-Identifier: MIT */
/*
 * asan.c - a program with one fault, or none, in a goroutine, for AddressSanitizer and LeakSanitizer.
 *
 *     asan clean                ends with status 0 and says "done"
 *     asan held                 memory that only parked goroutines know of is no leak
 *     asan framed               the same where only variables in memory know of it: docs/debugging.md says with what options
 *     asan stack | heap | leak  is reported
 *     asan used OPERATION       on a channel or context that was released: is reported
 *     asan used --list          the operations
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

static char **volatile shown;
/* Nothing that is left below the caller's frame has its pointer. Not in a frame of the sanitizer's: it is that memory. */
__attribute__((noinline, no_sanitize("address"))) static void wipe(void)
{
    volatile char below[4096];

    for (size_t i = 0; i < sizeof below; i++)
        below[i] = 0;
}
static void hold_in_frame(int i)
{
    char *p = malloc(100 + (size_t)i);

    shown = &p; /* so it is read from the frame when it is needed */
    if (p)
        memset(p, i, 100);
    wipe();
    standing++;
    (void)rn_recv(gate);
    free(p);
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

/* ---- Operations on what was released ------------------------------------------------------------------------- */

static rn_chan(int) volatile gone;  /* has one element */
static rn_chan(int) volatile empty; /* has none, and no room */
static rn_ctx *volatile dead;
static rn_ctx_hook hook;

static void nothing(void) {}

/* Each is called with all three released; the names of the functions are looked for in the reports. */
static void used_send(void)
{
    rn_send(gone, 1);
}
static void used_recv(void)
{
    (void)rn_recv(gone);
}
static void used_recv_ok(void)
{
    (void)rn_recv_ok(gone, NULL);
}
static void used_try_send(void)
{
    (void)rn_try_send(gone, 1);
}
static void used_try_recv(void)
{
    int v;

    (void)rn_try_recv(gone, &v);
}
static void used_try_recv_empty(void)
{
    int v;

    (void)rn_try_recv(empty, &v);
}
static void used_send_ctx(void)
{
    (void)rn_send_ctx(rn_ctx_background(), gone, 1);
}
static void used_recv_ctx(void)
{
    int v;

    (void)rn_recv_ctx(rn_ctx_background(), gone, &v);
}
static void used_len(void)
{
    past = rn_len(gone);
}
static void used_cap(void)
{
    past = rn_cap(gone);
}
static void used_close(void)
{
    rn_close(gone);
}
static void used_retain(void)
{
    rn_chan_retain(gone);
}
static void used_release(void)
{
    rn_chan_release(gone);
}
static void used_select_send(void)
{
    (void)rn_select(rn_on_send(gone, 1), rn_on_recv(gate, NULL), rn_default);
}
static void used_select_recv(void)
{
    (void)rn_select(rn_on_recv(gone, NULL), rn_on_recv(gate, NULL), rn_default);
}
static void used_select_or_default(void)
{
    (void)rn_select(rn_on_recv(empty, NULL), rn_default);
}
static void used_select_done(void)
{
    (void)rn_select(rn_on_done(dead), rn_on_recv(gate, NULL), rn_default);
}
static void used_ctx_wait(void)
{
    (void)rn_sleep_ctx(dead, RN_MILLISECOND);
}
static void used_ctx_err(void)
{
    past = (size_t)rn_ctx_err(dead);
}
static void used_ctx_cause(void)
{
    past = (size_t)rn_ctx_cause(dead);
}
static void used_ctx_done(void)
{
    (void)rn_ctx_done(dead);
}
static void used_ctx_value(void)
{
    (void)rn_ctx_value(dead, &hook);
}
static void used_ctx_deadline(void)
{
    (void)rn_ctx_deadline(dead, NULL);
}
static void used_ctx_cancel(void)
{
    rn_ctx_cancel(dead);
}
static void used_ctx_end(void)
{
    rn_ctx_end(dead);
}
static void used_ctx_retain(void)
{
    (void)rn_ctx_retain(dead);
}
static void used_ctx_release(void)
{
    rn_ctx_release(dead);
}
static void used_ctx_child(void)
{
    rn_ctx_end(rn_ctx_with_cancel(dead));
}
static void used_ctx_after(void)
{
    rn_ctx_after_func(&hook, dead, nothing);
}

static const struct {
    const char *name;
    void (*fn)(void);
} used[] = {
#define USED(name) {#name, used_##name}
    USED(send),         USED(recv),
    USED(recv_ok),      USED(try_send),
    USED(try_recv),     USED(try_recv_empty),
    USED(send_ctx),     USED(recv_ctx),
    USED(len),          USED(cap),
    USED(close),        USED(retain),
    USED(release),      USED(select_send),
    USED(select_recv),  USED(select_or_default),
    USED(select_done),  USED(ctx_wait),
    USED(ctx_err),      USED(ctx_cause),
    USED(ctx_done),     USED(ctx_value),
    USED(ctx_deadline), USED(ctx_cancel),
    USED(ctx_end),      USED(ctx_retain),
    USED(ctx_release),  USED(ctx_child),
    USED(ctx_after),
};

static int use(const char *name)
{
    gate = rn_chan_make(int, 0);
    gone = rn_chan_make(int, 2);
    empty = rn_chan_make(int, 0);
    dead = rn_ctx_with_cancel(rn_ctx_background());
    rn_send(gone, 1);
    rn_chan_release(gone);
    rn_chan_release(empty);
    rn_ctx_end(dead);
    for (size_t i = 0; i < sizeof(used) / sizeof(used[0]); i++) {
        if (strcmp(name, "--list") == 0)
            puts(used[i].name);
        else if (strcmp(name, used[i].name) == 0)
            used[i].fn();
    }
    rn_chan_release(gate);
    return 0;
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
    if (strcmp(what, "held") == 0 || strcmp(what, "framed") == 0) {
        gate = rn_chan_make(int, 0);
        for (int i = 0; i < 200; i++)
            rn_wg_go(&wg, what[0] == 'h' ? hold : hold_in_frame, i);
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
    int err = argc == 2   ? rn_run(run, (const char *)argv[1])
              : argc == 3 ? rn_run(use, (const char *)argv[2])
                          : 1;

    if (err == 0 && argc == 2)
        puts("done");
    return err;
}
