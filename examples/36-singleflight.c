/* SPDX-License-Identifier: MIT */
/*
 * Singleflight. When many goroutines want the same thing at the same time, one of them fetches it
 * and the others share its result. Nothing is cached: once the call has returned, the next one runs
 * anew. It keeps a cache that has just lost an entry from asking its source a thousand times.
 */
#include <errno.h>
#include <runnel.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { CALLERS = 10 };

static rn_flight flight;
static atomic_int arrived, executions;

/* Runs in the goroutine of the first caller. It returns int, and puts its value where told. */
static int look_up(const char *host, int *address)
{
    atomic_fetch_add(&executions, 1);
    while (atomic_load(&arrived) < CALLERS) /* only for the demonstration: all shall meet here */
        rn_yield();
    rn_sleep(3 * RN_MILLISECOND);
    if (strcmp(host, "nowhere") == 0)
        return rn_errorf(-ENOENT, "%s is unknown", host);
    *address = 1000 + (int)strlen(host);
    return 0;
}

static void caller(const char *host, int *address, int *result)
{
    atomic_fetch_add(&arrived, 1);
    *result = rn_flight_do(&flight, host, address, look_up, host, address);
}

static int program(void)
{
    int addresses[CALLERS], results[CALLERS], right = 0;
    rn_wg wg = {0};

    for (int i = 0; i < CALLERS; i++)
        rn_wg_go(&wg, caller, "example.org", &addresses[i], &results[i]);
    rn_wg_wait(&wg);
    for (int i = 0; i < CALLERS; i++)
        right += results[i] == 0 && addresses[i] == 1011;
    printf("%d of %d callers got the address\n", right, CALLERS);
    printf("fewer executions than callers: %s\n",
           atomic_load(&executions) < CALLERS ? "yes" : "no");

    int before = atomic_load(&executions), address;
    int err = rn_flight_do(&flight, "example.org", &address, look_up, "example.org", &address);
    printf("result %d; ran anew: %s\n", err, atomic_load(&executions) > before ? "yes" : "no");
    err = rn_flight_do(&flight, "nowhere", &address, look_up, "nowhere", &address);
    printf("error: %s\n", rn_errmsg(err));
    return 0;
}

int main(void)
{
    return rn_run(program);
}
