/* SPDX-License-Identifier: MIT */
/*
 * Atomics. They are C11's own and work across goroutines as across threads. Two uses suffice for
 * most programs: a counter that many increase, and a pointer to a configuration that is never
 * changed in place: a writer builds a new one and publishes it with one store, and a reader loads
 * the pointer once and keeps to what it found.
 */
#include <runnel.h>
#include <stdatomic.h>
#include <stdio.h>

struct config {
    int version;
    int low, high; /* high is always low + 10 */
};

static atomic_long hits;
static _Atomic(const struct config *) live;

static void visit(int times)
{
    for (int i = 0; i < times; i++)
        atomic_fetch_add(&hits, 1);
}

static void watch(int *torn, int *backward)
{
    int last = 0;

    for (int i = 0; i < 1000; i++) {
        const struct config *c = atomic_load(&live); /* one load, one consistent snapshot */

        *torn += c->high != c->low + 10;
        *backward += c->version < last;
        last = c->version;
    }
}

static int program(void)
{
    enum { VERSIONS = 5, WATCHERS = 3 };
    struct config configs[VERSIONS]; /* all outlive the readers: nothing is freed too early */
    int torn[WATCHERS] = {0}, backward[WATCHERS] = {0};
    rn_wg wg = {0};

    for (int i = 0; i < 10; i++)
        rn_wg_go(&wg, visit, 1000);
    rn_wg_wait(&wg);
    printf("%ld hits\n", atomic_load(&hits));

    for (int i = 0; i < VERSIONS; i++) {
        configs[i] = (struct config){.version = i + 1, .low = 5 * i, .high = 5 * i + 10};
        atomic_store(&live, &configs[i]); /* complete before it is seen */
        if (i == 0)
            for (int k = 0; k < WATCHERS; k++)
                rn_wg_go(&wg, watch, &torn[k], &backward[k]);
        rn_yield();
    }
    rn_wg_wait(&wg);
    printf("torn: %d, backward: %d\n", torn[0] + torn[1] + torn[2],
           backward[0] + backward[1] + backward[2]);
    printf("version %d is live\n", atomic_load(&live)->version);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
