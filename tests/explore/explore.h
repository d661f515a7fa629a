/* SPDX-License-Identifier: MIT */
/*
 * explore.h - the atomics of base/atomic.h, each handed to the explorer: see explorer.h.
 *
 * Included by base/atomic.h where RN_EXPLORE is defined. Every use is a site, which knows its operation, its
 * function and its line, so that a report can name it and a test can weaken it (drop a fence, make an acquire
 * relaxed) without compiling anything anew.
 */
#ifndef RN_TESTS_EXPLORE_H
#define RN_TESTS_EXPLORE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum explore_order {
    EXPLORE_RELAXED = 0,
    EXPLORE_ACQUIRE = 1,
    EXPLORE_RELEASE = 2,
    EXPLORE_ACQ_REL = 3,
    EXPLORE_SEQ_CST =
        7, /* of an access: ordered with the other seq_cst accesses; a fence: with everything */
    EXPLORE_OWNED = 8
};

struct explore_site {
    const char *op, *func, *file;
    int line;
    uint8_t order; /* enum explore_order, of a success */
    uint8_t fail;  /* of a compare-exchange that fails */
    uint8_t weak;  /* a test has taken its order away */
    uint8_t unused;
};

uint64_t explore_load(const struct explore_site *s, const void *p, unsigned size);
void explore_store(const struct explore_site *s, void *p, unsigned size, uint64_t v);
enum explore_rmw { EXPLORE_SWAP, EXPLORE_ADD, EXPLORE_SUB, EXPLORE_OR, EXPLORE_AND };
uint64_t explore_rmw(const struct explore_site *s, void *p, unsigned size, enum explore_rmw what,
                     uint64_t v);
bool explore_cas(const struct explore_site *s, void *p, unsigned size, void *expected, uint64_t v);
void explore_fence(const struct explore_site *s);
/* Spinning: go on when somebody has stored something. */
void explore_relax(void);

/* clang-format off */
#define EXPLORE_SITE_(name, ord, onfail)                                                           \
    static struct explore_site explore_site_ __attribute__((section("explore_sites"), used)) =     \
        {name, __func__, __FILE__, __LINE__, (uint8_t)(ord), (uint8_t)(onfail), 0, 0}
#define EXPLORE_LOAD_(name, p, ord) __extension__({                                                \
        EXPLORE_SITE_(name, ord, 0);                                                               \
        (__typeof__(*(p)))explore_load(&explore_site_, (p), sizeof *(p)); })
#define EXPLORE_STORE_(name, p, v, ord) __extension__({                                            \
        EXPLORE_SITE_(name, ord, 0);                                                               \
        explore_store(&explore_site_, (p), sizeof *(p), (uint64_t)(v)); })
#define EXPLORE_RMW_(name, what, p, v, ord) __extension__({                                        \
        EXPLORE_SITE_(name, ord, 0);                                                               \
        (__typeof__(*(p)))explore_rmw(&explore_site_, (p), sizeof *(p), what, (uint64_t)(v)); })
#define EXPLORE_CAS_(name, p, expected, v, ord, onfail) __extension__({                            \
        EXPLORE_SITE_(name, ord, onfail);                                                          \
        explore_cas(&explore_site_, (p), sizeof *(p), (expected), (uint64_t)(v)); })
#define EXPLORE_FENCE_(name, ord) __extension__({                                                  \
        EXPLORE_SITE_(name, ord, 0);                                                               \
        explore_fence(&explore_site_); })

#define load_relaxed(p) EXPLORE_LOAD_("load_relaxed", p, EXPLORE_RELAXED)
#define load_acquire(p) EXPLORE_LOAD_("load_acquire", p, EXPLORE_ACQUIRE)
#define load_seq_cst(p) EXPLORE_LOAD_("load_seq_cst", p, EXPLORE_SEQ_CST)
#define load_owned(p)   EXPLORE_LOAD_("load_owned", p, EXPLORE_OWNED)

#define store_relaxed(p, v) EXPLORE_STORE_("store_relaxed", p, v, EXPLORE_RELAXED)
#define store_release(p, v) EXPLORE_STORE_("store_release", p, v, EXPLORE_RELEASE)
#define store_seq_cst(p, v) EXPLORE_STORE_("store_seq_cst", p, v, EXPLORE_SEQ_CST)

#define swap_relaxed(p, v) EXPLORE_RMW_("swap_relaxed", EXPLORE_SWAP, p, v, EXPLORE_RELAXED)
#define swap_acquire(p, v) EXPLORE_RMW_("swap_acquire", EXPLORE_SWAP, p, v, EXPLORE_ACQUIRE)
#define swap_release(p, v) EXPLORE_RMW_("swap_release", EXPLORE_SWAP, p, v, EXPLORE_RELEASE)
#define swap_acq_rel(p, v) EXPLORE_RMW_("swap_acq_rel", EXPLORE_SWAP, p, v, EXPLORE_ACQ_REL)
#define swap_seq_cst(p, v) EXPLORE_RMW_("swap_seq_cst", EXPLORE_SWAP, p, v, EXPLORE_SEQ_CST)

#define cas_relaxed(p, e, v) EXPLORE_CAS_("cas_relaxed", p, e, v, EXPLORE_RELAXED, EXPLORE_RELAXED)
#define cas_acquire(p, e, v) EXPLORE_CAS_("cas_acquire", p, e, v, EXPLORE_ACQUIRE, EXPLORE_RELAXED)
#define cas_release(p, e, v) EXPLORE_CAS_("cas_release", p, e, v, EXPLORE_RELEASE, EXPLORE_RELAXED)
#define cas_acq_rel(p, e, v) EXPLORE_CAS_("cas_acq_rel", p, e, v, EXPLORE_ACQ_REL, EXPLORE_ACQUIRE)
#define cas_seq_cst(p, e, v) EXPLORE_CAS_("cas_seq_cst", p, e, v, EXPLORE_SEQ_CST, EXPLORE_SEQ_CST)

#define add_relaxed(p, v) EXPLORE_RMW_("add_relaxed", EXPLORE_ADD, p, v, EXPLORE_RELAXED)
#define add_acquire(p, v) EXPLORE_RMW_("add_acquire", EXPLORE_ADD, p, v, EXPLORE_ACQUIRE)
#define add_release(p, v) EXPLORE_RMW_("add_release", EXPLORE_ADD, p, v, EXPLORE_RELEASE)
#define add_acq_rel(p, v) EXPLORE_RMW_("add_acq_rel", EXPLORE_ADD, p, v, EXPLORE_ACQ_REL)
#define add_seq_cst(p, v) EXPLORE_RMW_("add_seq_cst", EXPLORE_ADD, p, v, EXPLORE_SEQ_CST)
#define sub_relaxed(p, v) EXPLORE_RMW_("sub_relaxed", EXPLORE_SUB, p, v, EXPLORE_RELAXED)
#define sub_release(p, v) EXPLORE_RMW_("sub_release", EXPLORE_SUB, p, v, EXPLORE_RELEASE)
#define sub_acq_rel(p, v) EXPLORE_RMW_("sub_acq_rel", EXPLORE_SUB, p, v, EXPLORE_ACQ_REL)
#define sub_seq_cst(p, v) EXPLORE_RMW_("sub_seq_cst", EXPLORE_SUB, p, v, EXPLORE_SEQ_CST)
#define or_relaxed(p, v)  EXPLORE_RMW_("or_relaxed", EXPLORE_OR, p, v, EXPLORE_RELAXED)
#define or_acq_rel(p, v)  EXPLORE_RMW_("or_acq_rel", EXPLORE_OR, p, v, EXPLORE_ACQ_REL)
#define or_seq_cst(p, v)  EXPLORE_RMW_("or_seq_cst", EXPLORE_OR, p, v, EXPLORE_SEQ_CST)
#define and_acq_rel(p, v) EXPLORE_RMW_("and_acq_rel", EXPLORE_AND, p, v, EXPLORE_ACQ_REL)
#define and_release(p, v) EXPLORE_RMW_("and_release", EXPLORE_AND, p, v, EXPLORE_RELEASE)

#define fence_acquire() EXPLORE_FENCE_("fence_acquire", EXPLORE_ACQUIRE)
#define fence_release() EXPLORE_FENCE_("fence_release", EXPLORE_RELEASE)
#define fence_seq_cst() EXPLORE_FENCE_("fence_seq_cst", EXPLORE_SEQ_CST)
/* Nothing to an explorer that reorders nothing within a thread but what the CPU may delay. */
#define fence_compiler() ((void)0)
/* clang-format on */

#endif
