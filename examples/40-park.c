/* SPDX-License-Identifier: MIT */
/*
 * Park and ready. Many C libraries answer by calling a function of yours, on a thread of theirs. A
 * ticket turns that into a call that waits: rn_park stops this goroutine until somebody, on any
 * thread, says rn_ready for its ticket, before or after. Nothing else is held up meanwhile.
 */
#include <pthread.h>
#include <runnel.h>
#include <stdio.h>

/* ---- A library with callbacks, which knows nothing of goroutines ---- */

struct lookup {
    pthread_t thread;
    const char *name;
    void (*callback)(void *arg, int answer);
    void *arg;
};

static void *lookup_thread(void *lookup)
{
    struct lookup *l = lookup;
    int answer = 0;

    for (const char *p = l->name; *p; p++)
        answer += *p - 'a' + 1;
    l->callback(l->arg, answer);
    return NULL;
}

static int lookup_start(struct lookup *l)
{
    return -pthread_create(&l->thread, NULL, lookup_thread, l);
}

/* ---- The same as a plain call ---- */

struct waiting {
    rn_ticket ticket;
    int answer;
};

static void on_answer(void *arg, int answer) /* on the library's thread */
{
    struct waiting *w = arg;

    w->answer = answer;
    (void)rn_ready(&w->ticket); /* w may be gone from here on */
}

static int look_up(const char *name, int *answer)
{
    struct waiting w;
    struct lookup l = {.name = name, .callback = on_answer, .arg = &w};

    rn_park_init(&w.ticket); /* before anybody can be ready */
    int err = lookup_start(&l);
    if (err < 0)
        return err;
    rn_park(&w.ticket);
    *answer = w.answer;
    return rn_blocking(-pthread_join(l.thread, NULL)); /* may block its thread: see 42-blocking.c */
}

static int program(void)
{
    enum { N = 3 };
    static const char *const names[N] = {"ada", "grace", "edsger"};
    int answers[N];
    rn_group group = {0};

    for (int i = 0; i < N; i++)
        rn_group_go(&group, look_up, names[i], &answers[i]);
    if (rn_group_wait(&group) < 0)
        return 1;
    for (int i = 0; i < N; i++)
        printf("%s: %d\n", names[i], answers[i]);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
