/* SPDX-License-Identifier: MIT */
/* dump.c - how long the report of all goroutines takes. Linked as a user links it: the shared libraries, with
 * librunnel-symbols if there is one. Workloads: README.md. */
#define _GNU_SOURCE
#include "driver.h"

#include <runnel/debug.h>

#include <sys/mman.h>
#include <unistd.h>

enum { AFTER = 5 };

struct parked {
    rn_chan(int) gate;
    _Atomic int64_t arrived;
};

static void park(struct parked *p)
{
    p->arrived++;
    (void)rn_recv(p->gate);
}

static double report_ms(int fd)
{
    rn_time began = rn_now();

    rn_dump(fd);
    return (double)(rn_now() - began) / RN_MILLISECOND;
}

static void dump(struct bench *b)
{
    int64_t count = b->is_smoke ? 100 : b->arg;
    struct parked p = {.gate = rn_chan_make(int, 0)};
    int fd = memfd_create("report", MFD_CLOEXEC);
    rn_wg wg = {0};
    double least = 0;
    off_t size;

    b->is_final = true;
    if (fd < 0)
        bench_fail("no file for the report");
    for (int64_t i = 0; i < count; i++)
        rn_wg_go(&wg, park, &p);
    while (p.arrived < count)
        rn_sleep(RN_MILLISECOND);
    bench_report(b, report_ms(fd), "first-ms");
    size = lseek(fd, 0, SEEK_END);
    if (size < 100)
        bench_fail("a report of %lld bytes", (long long)size);
    for (int i = 0; i < AFTER; i++) {
        double ms = report_ms(fd);

        if (i == 0 || ms < least)
            least = ms;
    }
    bench_report(b, least, "next-ms");
    close(fd);
    rn_close(p.gate);
    rn_wg_wait(&wg);
    rn_chan_release(p.gate);
}

static const struct bench_entry entries[] = {
    {"Dump/10000", dump, 10000, 0},
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, entries, sizeof(entries) / sizeof(entries[0]));
}
