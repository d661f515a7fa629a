/* SPDX-License-Identifier: MIT */
/*
 * recursive-rlock.c - a reader locks for reading once more while a writer waits.
 *
 * A waiting writer holds new readers back, or it would starve. So the second lock waits for the
 * writer, which waits for the first.
 *
 * The deadlock report shows the second read lock and the writer.
 */
#include <runnel.h>

static rn_rwmutex mu;
static int value;

static void writer(void)
{
    rn_rwmutex_lock(&mu); /* BLAMED */
    value++;
    rn_rwmutex_unlock(&mu);
}

static int get(void)
{
    int v;

    rn_rwmutex_rlock(&mu); /* BLAMED */
    v = value;
    rn_rwmutex_runlock(&mu);
    return v;
}

static int program(void)
{
    rn_rwmutex_rlock(&mu);
    rn_go(writer);
    while (rn_rwmutex_try_rlock(&mu)) { /* until the writer waits */
        rn_rwmutex_runlock(&mu);
        rn_yield();
    }
    (void)get();
    rn_rwmutex_runlock(&mu);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
