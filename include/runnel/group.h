/* SPDX-License-Identifier: MIT */
/*
 * group.h - error groups and flights. All calls may be made from any thread.
 */
#ifndef RUNNEL_GROUP_H
#define RUNNEL_GROUP_H

#include <runnel/call.h>
#include <runnel/ctx.h>
#include <runnel/err.h>

RN__BEGIN

/* Goroutines that work on one task and return errors. Zero is ready: no limit, no context. May leave
 * scope after rn_group_wait. Used again after it, it keeps its first error: take a new one. 192 bytes. */
typedef struct rn_group {
    uint64_t rn__word[24];
} rn_group;

/* Give g a context derived from parent: cancelled by the first error, with that error as its cause,
 * and by rn_group_wait, which releases it. Returns it, borrowed: who needs it after the wait retains it. Before the first
 * go. Panics as the constructors of ctx.h. */
RN__API rn_ctx *rn_group_with_ctx(rn_group *g, rn_ctx *parent);
/* At most n functions at once: rn_group_go waits for a slot. 0 blocks every go; negative: no limit. Never waits.
 * Panics "errgroup: modify limit while N goroutines in the group are still active". */
RN__API void rn_group_set_limit(rn_group *g, int n);
/* Wait until all have returned. Returns the first error in time with its message attached, or 0; a context of the group's
 * is cancelled then. Any number may wait.
 * Happens-before: the return of each function -> this return. */
RN__API RN__NODISCARD int rn_group_wait(rn_group *g);

/* rn_group_go for a function pointer and its argument. */
RN__API void rn_group_go_fn(rn_group *g, int (*fn)(void *), void *arg);
RN__API struct rn__call *rn__group_go_begin(rn_group *g, void (*fn)(void));
RN__API struct rn__call *rn__group_try_go_begin(rn_group *g, void (*fn)(void));

/* Calls in flight by key: callers of the same key share one execution. Zero is ready. 64 bytes. */
typedef struct rn_flight {
    uint64_t rn__word[8];
} rn_flight;

struct rn__flight_call {
    struct rn__call call;
    rn_flight *flight;
    const char *key;
    void *out;
    size_t out_size;
    bool *shared;
    int result;
};
RN__API struct rn__call *rn__flight_begin(struct rn__flight_call *c, rn_flight *f, const char *key,
                                          void *out, size_t out_size, bool *shared,
                                          void (*fn)(void));
/* Make the next call of key run anew, even while one is in flight. Never waits. */
RN__API void rn_flight_forget(rn_flight *f, const char *key);

RN__END

#ifndef __cplusplus

/* rn_group_go(&g, fn, args...): start fn, as rn_go does, which returns int: 0 or more is success, negative an error
 * whose message (rn_errorf) travels along. Waits for a slot under a limit; it starts fn even if the group's context has
 * ended. Happens-before: this call -> fn's first step; under a limit n the k-th return -> the start of k + n. */
#define rn_group_go(g, ...)                                                                        \
    __extension__({                                                                                \
        RN__CHECK_CALL(__VA_ARGS__)                                                                \
        RN__RETURNS_INT(__VA_ARGS__)                                                               \
        struct rn__call *rn__rec = rn__group_go_begin((g), RN__FN(__VA_ARGS__));                   \
        RN__CAPTURE(rn__rec, __VA_ARGS__);                                                         \
    })
/* bool rn_group_try_go(&g, fn, args...): the same without waiting: false, with nothing started, at the limit. The
 * arguments are evaluated either way. */
#define rn_group_try_go(g, ...)                                                                    \
    __extension__({                                                                                \
        RN__CHECK_CALL(__VA_ARGS__)                                                                \
        RN__RETURNS_INT(__VA_ARGS__)                                                               \
        struct rn__call *rn__rec = rn__group_try_go_begin((g), RN__FN(__VA_ARGS__));               \
        if (rn__rec) {                                                                             \
            RN__CAPTURE(rn__rec, __VA_ARGS__);                                                     \
        } else {                                                                                   \
            RN__DISCARD(__VA_ARGS__)                                                               \
        }                                                                                          \
        rn__rec != (struct rn__call *)0;                                                           \
    })

/*
 * int rn_flight_do(&flight, key, &out, fn, args...): if a call of key is in flight, wait for it and
 * share its result, with its message; else run fn(args...), here, which returns int and writes *out, with the address of
 * out among its arguments. *out is copied to every follower, so callers of one key have outs of one type; (T *)NULL: none
 * is wanted. key is a string, compared by its text, that stays until the return. Results are not cached; a call of the same
 * key inside fn waits for ever. rn_flight_do_shared has bool *shared after out: whether the result went to more than one
 * caller. Never allocates.
 *
 * Happens-before: fn's return -> every return that shares its result.
 */
#define rn_flight_do(f, key, out, ...) rn_flight_do_shared(f, key, out, (bool *)0, __VA_ARGS__)
#define rn_flight_do_shared(f, key, out, shared, ...)                                              \
    __extension__({                                                                                \
        RN__CHECK_CALL(__VA_ARGS__)                                                                \
        RN__RETURNS_INT(__VA_ARGS__)                                                               \
        struct rn__flight_call rn__flight;                                                         \
        struct rn__call *rn__rec = rn__flight_begin(                                               \
            &rn__flight, (f), (key), (out), sizeof(*(out)), (shared), RN__FN(__VA_ARGS__));        \
        RN__CAPTURE(rn__rec, __VA_ARGS__);                                                         \
        rn__flight.result;                                                                         \
    })

#endif
#endif
