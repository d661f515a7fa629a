/* SPDX-License-Identifier: MIT */
/*
 * debugpage.h - what the goroutines of a program do, as pages for a browser and for curl: librunnel-debug.
 *
 *     rn_go(rn_debug_serve, ctx, "127.0.0.1:6060");      a server of its own
 *
 *     rn_debug_handle(h, "/debug/runnel");               or beneath a path of a server that you have
 *
 * The pages, beneath the path:
 *
 *     /                   the scheduler in numbers, goroutines by kind, links to the others
 *     /goroutines         the report of rn_dump; ?folded=1: a line for each kind, "outermost;...;innermost N", for
 *                         flame graphs
 *     /metrics            the text of rn_metrics_write, for Prometheus and others
 *     /trace?seconds=N    records for N seconds (1 if not told, at most 3600), then the flight recorder's file, for
 *                         ui.perfetto.dev; if the recorder is on already, it goes on, and the file begins with what it has
 *     /waits              who waits for what, and who has it, drawn: SVG
 *
 * They change nothing, and cost nothing while nobody asks. But they tell what the program does and where its memory
 * lies, so they are for its makers: who mounts them into a server has to see to who may ask, and the server of their own
 * listens on the loopback address if it is not told another.
 */
#ifndef RUNNEL_DEBUGPAGE_H
#define RUNNEL_DEBUGPAGE_H

#include <runnel/httpd.h>

RN__BEGIN

/*
 * Register the pages with h beneath prefix: "/debug/runnel", or "" for all of h. NULL: "/debug/runnel". Before h serves;
 * panics where rn_httpd_handle does, if a page is there already or there is no memory. Anybody who can reach h can read them.
 */
RN__API void rn_debug_handle(rn_httpd *h, const char *prefix);

/*
 * Serve the pages until ctx ends. address is "host:port"; ":port" or NULL (":6060") listens on 127.0.0.1, not on all
 * addresses; port 0 is any that is free; "/path" is a Unix socket, for which only the file's permissions count (curl
 * --unix-socket). Says on standard error where they are. Of requests by TCP those are refused (403) whose Host is a name
 * other than localhost: a browser on this machine would else let any site that it shows read them.
 *
 * Blocks. Returns 0 after ctx has ended; -EADDRINUSE, -EACCES and the like of rn_listen at once, -EINVAL for an address
 * that is none. Panics when out of memory.
 */
RN__API int rn_debug_serve(struct rn_ctx *ctx, const char *address);

RN__END

#endif
