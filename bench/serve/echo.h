/* SPDX-License-Identifier: MIT */
/* echo.h - what the bare loops have in common, so that they differ by their loop alone: the arguments, the limit of
 * descriptors, and a listener on a free port, which is told. */
#ifndef BENCH_SERVE_ECHO_H
#define BENCH_SERVE_ECHO_H

#include "../loopback.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { LOOPS_MAX = 256 };

/* "echo P": P. Ends the process if it is another call. */
static inline int echo_procs(int argc, char **argv)
{
    int procs = argc == 3 ? atoi(argv[2]) : 0;

    if (procs < 1 || procs > LOOPS_MAX || strcmp(argv[1], "echo") != 0)
        exit(2);
    return procs;
}

/* As many descriptors as may be, up to most. Returns the listener, and its port; ends the process if there is none. */
static inline int echo_listen(rlim_t most, int *ret_port)
{
    struct sockaddr_in in;
    struct rlimit r;
    int listener;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max < most ? r.rlim_max : most;
        setrlimit(RLIMIT_NOFILE, &r);
    }
    listener = loopback_listen(&in);
    if (listener < 0)
        exit(1);
    *ret_port = ntohs(in.sin_port);
    return listener;
}

#endif
