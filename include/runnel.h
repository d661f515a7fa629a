/* SPDX-License-Identifier: MIT */
/*
 * runnel - Go's concurrency for C: goroutines over all cores, channels, select, contexts.
 *
 *     #include <runnel.h>
 *     #include <stdio.h>
 *
 *     static void produce(rn_send_only(int) out)
 *     {
 *         for (int i = 0; i < 10; i++)
 *             rn_send(out, i);
 *         rn_close(out);
 *     }
 *
 *     static int program(void)
 *     {
 *         rn_chan(int) ch = rn_chan_make(int, 0);
 *
 *         rn_go(produce, ch);
 *         rn_range(n, ch)
 *             printf("%d\n", n);
 *         rn_chan_release(ch);
 *         return 0;
 *     }
 *
 *     int main(void)
 *     {
 *         return rn_run(program);
 *     }
 *
 * Results are 0 or more, errors negative errno values. Every call that may wait works from any
 * thread. No call is async-signal-safe. Only a call that waits may return on another thread; so no
 * address of a thread-local, errno's included, may be kept across one (see <runnel/errno.h>).
 */
#ifndef RUNNEL_H
#define RUNNEL_H

#include <runnel/base.h>
#include <runnel/call.h>
#include <runnel/chan.h>
#include <runnel/ctx.h>
#include <runnel/debug.h>
#include <runnel/err.h>
#include <runnel/go.h>
#include <runnel/group.h>
#include <runnel/io.h>
#include <runnel/metrics.h>
#include <runnel/net.h>
#include <runnel/os.h>
#include <runnel/select.h>
#include <runnel/sync.h>
#include <runnel/time.h>
#include <runnel/trace.h>

#endif
