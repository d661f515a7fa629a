/* SPDX-License-Identifier: MIT */
/*
 * labels_read.c - a goroutine's labels are read, as reports do it, while it changes them: by the library's own function and
 * without anything in between, since a report looks too rarely to meet it in the middle.
 */
#define _GNU_SOURCE
#include "sched/labels.h"
#include "support.h"

#include <pthread.h>

static struct g *_Atomic whose;
static _Atomic int stop;

/* A label of one letter only, again and again another, in one block or in two by turns. */
static void change_often(bool two)
{
    char value[200] = {0};

    whose = rn__self();
    for (int i = 0; !stop; i++) {
        memset(value, 'a' + i % 26, sizeof(value) - 1);
        if (!two)
            CHECK_EQ(rn_set_label("x", NULL), 0);
        CHECK_EQ(rn_set_label("x", value), 0);
    }
}
static int change_one(void)
{
    change_often(false);
    return 0;
}
static int change_two(void)
{
    change_often(true);
    return 0;
}
static void *run(void *arg)
{
    int (*body)(void) = arg ? change_two : change_one;

    CHECK_EQ(rn_run(body), 0);
    return NULL;
}

static void read_while(bool two)
{
    int seen = 0, n = test_times(3000000);
    char text[LABELS_MAX];
    pthread_t t;

    CHECK_EQ(pthread_create(&t, NULL, run, two ? &stop : NULL), 0);
    while (!whose)
        ;
    for (int i = 0; i < n || seen == 0; i++) {
        if (!rn__labels_read(&whose->labels, text))
            continue;
        seen++;
        CHECK(strncmp(text, "x=\"", 3) == 0);
        CHECK_EQ(strspn(text + 3, (char[]){text[3], 0}), 199);
        CHECK_STR(text + 202, "\"");
    }
    stop = 1;
    CHECK_EQ(pthread_join(t, NULL), 0);
}
PLAIN_TEST(labels_read_while_they_change_in_place)
{
    read_while(false);
}
PLAIN_TEST(labels_read_while_they_change_by_turns)
{
    read_while(true);
}
