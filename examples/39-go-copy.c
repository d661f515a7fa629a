/* SPDX-License-Identifier: MIT */
/*
 * Large arguments. rn_go takes arguments of up to 16 bytes; rn_go_copy copies something larger into
 * the goroutine itself and calls the function with a pointer to that copy, which lives as long as
 * the goroutine. The original may change or leave scope at once, and nothing must be freed.
 */
#include <runnel.h>
#include <stdio.h>

struct measurement {
    int station;
    double samples[16];
    double *mean; /* where the result goes; a pointer is copied, not what it points to */
    rn_wg *wg;
};

static void analyse(struct measurement *m)
{
    enum { N = sizeof m->samples / sizeof m->samples[0] };
    double sum = 0;

    rn_defer(rn_wg_done, m->wg);
    for (int i = 0; i < N; i++)
        sum += m->samples[i];
    m->samples[0] = -1; /* the copy is the goroutine's own: it may write to it */
    m->mean[m->station] = sum / (double)N;
}

static int program(void)
{
    enum { STATIONS = 4 };
    double mean[STATIONS];
    rn_wg wg = {0};

    rn_wg_add(&wg, STATIONS);
    for (int station = 0; station < STATIONS; station++) {
        struct measurement m = {.station = station, .mean = mean, .wg = &wg};

        for (int i = 0; i < 16; i++)
            m.samples[i] = station * 10 + i;
        rn_go_copy(analyse, &m); /* m leaves scope here */
    }
    rn_wg_wait(&wg);
    for (int i = 0; i < STATIONS; i++)
        printf("station %d: mean %.1f\n", i, mean[i]);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
