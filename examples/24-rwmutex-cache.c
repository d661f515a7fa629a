/* SPDX-License-Identifier: MIT */
/*
 * RWMutex. Many readers at once, or one writer: for what is read often and changed rarely, such as
 * a cache. A read lock cannot be turned into a write lock; so after taking the write lock look
 * again, because somebody may have been faster in between (the double check).
 */
#include <runnel.h>
#include <stdio.h>

enum { KEYS = 5 };

struct cache {
    rn_rwmutex mu;
    int value[KEYS];    /* guarded by mu */
    bool present[KEYS]; /* guarded by mu */
    int loads;          /* guarded by mu */
};

static int load_slowly(int key)
{
    rn_sleep(RN_MILLISECOND / 2); /* stands for a database */
    return key * key;
}

static bool cache_peek(struct cache *c, int key, int *value)
{
    rn_rwmutex_rlock(&c->mu);
    rn_defer(rn_rwmutex_runlock, &c->mu);
    *value = c->value[key];
    return c->present[key];
}

static int cache_get(struct cache *c, int key)
{
    int value;

    if (cache_peek(c, key, &value))
        return value; /* the usual case: readers do not hold each other up */

    rn_rwmutex_lock(&c->mu);
    rn_defer(rn_rwmutex_unlock, &c->mu);
    if (!c->present[key]) { /* still missing? */
        c->value[key] = load_slowly(key);
        c->present[key] = true;
        c->loads++;
    }
    return c->value[key];
}

static void reader(struct cache *c, int *sum)
{
    for (int i = 0; i < 4 * KEYS; i++)
        *sum += cache_get(c, i % KEYS);
}

static int program(void)
{
    enum { READERS = 10 };
    struct cache cache = {0};
    int sums[READERS] = {0}, total = 0;
    rn_wg wg = {0};

    for (int i = 0; i < READERS; i++)
        rn_wg_go(&wg, reader, &cache, &sums[i]);
    rn_wg_wait(&wg);
    for (int i = 0; i < READERS; i++)
        total += sums[i];
    printf("%d reads, sum %d\n", READERS * 4 * KEYS, total);
    printf("%d loads for %d keys\n", cache.loads, KEYS); /* perhaps more, without a second look */
    return 0;
}

int main(void)
{
    return rn_run(program);
}
