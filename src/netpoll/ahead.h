/* SPDX-License-Identifier: MIT */
/*
 * ahead.h - what netpoll.c wants of a way to read from many sockets at once, on behalf of those whom it wakes: one file
 * implements it (ahead.c).
 */
#ifndef RN_SRC_NETPOLL_AHEAD_H
#define RN_SRC_NETPOLL_AHEAD_H

#include "netpoll/netpoll.h"

struct proc;
struct rt;

extern uint32_t rn__ahead_least; /* atomic: so many reads are worth it; 1 before that is known */

/* So many edges have come: is it worth while to look who wants to read? */
static inline bool rn__ahead_pays(uint32_t edges)
{
    return unlikely(edges >= load_relaxed(&rn__ahead_least));
}
/* Read, n times, at most POLL_BATCH, of descriptors that stay open. Each read's n has the result then, or is what it was:
 * that one is to be tried by whoever asked for it; so are all of too few, and where there is no such way. */
void rn__ahead(struct fd_read *const *reads, uint32_t n);

/* The end of p's runtime: nobody polls for p any more. */
void rn__ahead_end(struct proc *p);
/* In the child of a fork: what rt's processors have is the parent's. */
void rn__ahead_fork(struct rt *rt);

#endif
