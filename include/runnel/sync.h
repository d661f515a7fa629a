/* SPDX-License-Identifier: MIT */
/*
 * sync.h - wait groups, mutexes, once, condition variables and weighted semaphores that park
 * goroutines instead of blocking threads.
 *
 * Zero is ready to use. They hold no memory that must be freed, and may leave scope the moment their
 * meaning allows: a wait group after rn_wg_wait, although the last rn_wg_done is still returning; a
 * mutex after the unlock of whoever knows that it was the last. They must not be copied once used.
 * All calls may be made from any thread; none allocates, but rn_wg_go.
 */
#ifndef RUNNEL_SYNC_H
#define RUNNEL_SYNC_H

#include <runnel/call.h>

RN__BEGIN

struct rn_ctx;

/* ---- Mutex ------------------------------------------------------------------------------------
 * Not recursive, without an owner: one goroutine may lock and another unlock, once the lock has
 * returned. A waiter delayed for more than 1 ms is handed the lock, so nobody starves.
 * Reports say who has locked a mutex that is waited for; see <runnel/debug.h>.
 * Happens-before: the n-th unlock -> every later lock's return. */
typedef struct rn_mutex {
    uint32_t rn__state;
    uint32_t rn__by; /* who locked it, for reports: two plain stores beside the one atomic */
    uint64_t rn__at; /* operation, and not read by lock and unlock; 0: nobody */
} rn_mutex;

/* Who was the last to start on the stack at an address: by its bits above the low 14. */
RN__API extern const uint32_t *const rn__on_stacks;
enum { RN__ON_STACKS_SHIFT = 14, RN__ON_STACKS = 1 << 20 };

static inline uintptr_t rn__stack_pointer(void)
{
#if defined(__x86_64__) && defined(__LP64__)
    uintptr_t sp;

    __asm__("{movq %%rsp, %0|mov %0, rsp}" : "=r"(sp));
    return sp;
#elif defined(__aarch64__)
    uintptr_t sp;

    __asm__("mov %0, sp" : "=r"(sp));
    return sp;
#else
    return (uintptr_t)__builtin_frame_address(0);
#endif
}

RN__API void rn__mutex_lock(rn_mutex *m);
RN__API void rn__mutex_unlock(rn_mutex *m);
RN__API void rn__mutex_unlock_rest(rn_mutex *m, uint32_t left);
RN__API bool rn__mutex_try_lock(rn_mutex *m);

/* Lock m, waiting as long as it takes. A second lock by whoever has it waits for ever. */
static inline void rn_mutex_lock(rn_mutex *m)
{
#if RN__INLINE_FAST
    uint32_t unlocked = 0;

    if (RN__LIKELY(__atomic_compare_exchange_n(&m->rn__state, &unlocked, 1, false, __ATOMIC_ACQUIRE,
                                               __ATOMIC_RELAXED))) {
        uintptr_t sp = rn__stack_pointer();

        __atomic_store_n(&m->rn__by, rn__on_stacks[(sp >> RN__ON_STACKS_SHIFT) % RN__ON_STACKS],
                         __ATOMIC_RELAXED);
        __atomic_store_n(&m->rn__at, sp, __ATOMIC_RELEASE);
        return;
    }
#endif
    rn__mutex_lock(m);
}

/* Unlock m. Never waits. Fatal "sync: unlock of unlocked mutex". */
static inline void rn_mutex_unlock(rn_mutex *m)
{
#if RN__INLINE_FAST
    uint32_t left;

    __atomic_store_n(&m->rn__at, 0, __ATOMIC_RELAXED);
    left = __atomic_sub_fetch(&m->rn__state, 1, __ATOMIC_RELEASE);
    if (!RN__LIKELY(left == 0))
        rn__mutex_unlock_rest(m, left);
#else
    rn__mutex_unlock(m);
#endif
}

/* Lock m if that needs no waiting; a failed try orders nothing. */
static inline bool rn_mutex_try_lock(rn_mutex *m)
{
    return rn__mutex_try_lock(m);
}

/* Lock m, waiting until ctx ends; 0, or ctx's error with m not locked. A free one is locked even if ctx has ended. ctx may
 * be NULL. */
RN__API RN__NODISCARD int rn_mutex_lock_ctx(struct rn_ctx *ctx, rn_mutex *m);

/* ---- RWMutex ----------------------------------------------------------------------------------
 * Many readers or one writer. A waiting writer holds back new readers, and the readers that queued
 * behind a writer go before the next one; so a goroutine must not read-lock twice.
 * Happens-before: write unlock -> later locks of both kinds; read unlock -> the next write lock. */
typedef struct rn_rwmutex {
    uint64_t rn__word[5];
} rn_rwmutex;

RN__API void rn_rwmutex_lock(rn_rwmutex *m);    /* to write: waits until nobody else has it */
RN__API void rn_rwmutex_unlock(rn_rwmutex *m);  /* fatal "sync: Unlock of unlocked RWMutex" */
RN__API void rn_rwmutex_rlock(rn_rwmutex *m);   /* to read: waits for a writer, or one that waits */
RN__API void rn_rwmutex_runlock(rn_rwmutex *m); /* fatal "sync: RUnlock of unlocked RWMutex" */
/* Lock if that needs no waiting; a failed try orders nothing. */
RN__API bool rn_rwmutex_try_lock(rn_rwmutex *m);
RN__API bool rn_rwmutex_try_rlock(rn_rwmutex *m); /* fails also while a writer waits */

/* ---- WaitGroup --------------------------------------------------------------------------------
 * Counts goroutines (or anything) and waits until the count is zero. An add from zero must happen
 * before the wait meant to see it; a group may be used again once every wait has returned.
 * Happens-before: each done -> every wait it lets through. */
typedef struct rn_wg {
    uint64_t rn__state;
    uint64_t rn__reserved[2];
} rn_wg;

/* Add delta (negative too); at zero all who wait are let through. Never waits. Panics "sync: negative WaitGroup counter",
 * and "sync: WaitGroup misuse: Add called concurrently with Wait" for an add from zero while somebody waits. */
RN__API void rn_wg_add(rn_wg *wg, int delta);
RN__API void rn_wg_done(rn_wg *wg); /* rn_wg_add(wg, -1) */
/* Wait until the count is zero; return at once if it is. Any number may wait. */
RN__API void rn_wg_wait(rn_wg *wg);
/* The same until ctx ends: 0, or ctx's error with the group still counting. A count of zero is 0 even if ctx has ended.
 * ctx may be NULL. */
RN__API RN__NODISCARD int rn_wg_wait_ctx(struct rn_ctx *ctx, rn_wg *wg);

/* rn_wg_go for a function pointer and its argument. */
RN__API void rn_wg_go_fn(rn_wg *wg, void (*fn)(void *), void *arg);
RN__API struct rn__call *rn__wg_go_begin(rn_wg *wg, void (*fn)(void));

/* ---- Once -------------------------------------------------------------------------------------
 * Happens-before: the return of the one call -> the return of every rn_once_do. */
typedef struct rn_once {
    uint32_t rn__state; /* 2 when done */
    uint32_t rn__reserved;
} rn_once;

struct rn__once_call {
    struct rn__call call;
    rn_once *once;
};
RN__API struct rn__call *rn__once_begin(struct rn__once_call *c, rn_once *once, void (*fn)(void));

static inline bool rn__once_done(const rn_once *once)
{
#if RN__INLINE_FAST
    return __atomic_load_n(&once->rn__state, __ATOMIC_ACQUIRE) == 2;
#else
    (void)once;
    return false;
#endif
}

/* ---- Cond -------------------------------------------------------------------------------------
 * Waiters are woken in the order in which they came; signals without a waiter are not remembered.
 * Happens-before: signal or broadcast -> the return of the wait it wakes. */
typedef struct rn_cond {
    uint64_t rn__word[3];
} rn_cond;

/* Unlock m, wait for a signal, lock m again. Never returns without a signal; re-check the condition
 * in a loop all the same. Panics "sync.Cond is copied". */
RN__API void rn_cond_wait(rn_cond *c, rn_mutex *m);
/* The same until ctx ends: 0, or ctx's error with no signal swallowed; m is locked again either way. ctx may be NULL. */
RN__API RN__NODISCARD int rn_cond_wait_ctx(struct rn_ctx *ctx, rn_cond *c, rn_mutex *m);
/* Wake the one that has waited longest, or all. m need not be locked. They never wait; both panic as the wait does. */
RN__API void rn_cond_signal(rn_cond *c);
RN__API void rn_cond_broadcast(rn_cond *c);

/* ---- Weighted semaphore -----------------------------------------------------------------------
 * rn_sem s = RN_SEM(n) has n units; zero has none. Strictly first come, first served.
 * Happens-before: a release -> the acquire that it makes possible. */
typedef struct rn_sem {
    int64_t rn__size;
    int64_t rn__held;
    uint64_t rn__reserved[3];
} rn_sem;
#define RN_SEM(n) {.rn__size = (n)}

/* Take n units, waiting for them. 0, or ctx's error with nothing taken, also when ctx had ended
 * before. ctx may be NULL. A request above the size waits for ctx only. n below 0: -EINVAL. */
RN__API RN__NODISCARD int rn_sem_acquire(struct rn_ctx *ctx, rn_sem *s, int64_t n);
/* Take n units if they are free and nobody waits; false, with nothing taken, if not, or for n below 0. */
RN__API RN__NODISCARD bool rn_sem_try_acquire(rn_sem *s, int64_t n);
/* Give n units back; who waits longest is served first. Never waits. Panics "semaphore: released more than held", also for
 * n below 0. */
RN__API void rn_sem_release(rn_sem *s, int64_t n);

RN__END

#ifndef __cplusplus

/* rn_wg_go(&wg, fn, args...): add one, start fn(args...) as a goroutine, as rn_go does, done when it ends, by rn_exit too. */
#define rn_wg_go(wg, ...)                                                                          \
    __extension__({                                                                                \
        RN__CHECK_CALL(__VA_ARGS__)                                                                \
        struct rn__call *rn__rec = rn__wg_go_begin((wg), RN__FN(__VA_ARGS__));                     \
        RN__CAPTURE(rn__rec, __VA_ARGS__);                                                         \
    })

/* rn_once_do(&once, fn, args...): call fn(args...) here if this is the first; else return once that call has, waiting for
 * it. The arguments are evaluated always. A call that ends by rn_exit counts as done; one that calls rn_once_do of the
 * same once waits for ever. */
#define rn_once_do(once, ...)                                                                      \
    __extension__({                                                                                \
        RN__CHECK_CALL(__VA_ARGS__)                                                                \
        rn_once *rn__once_p = (once);                                                              \
        if (RN__LIKELY(rn__once_done(rn__once_p))) {                                               \
            RN__DISCARD(__VA_ARGS__)                                                               \
        } else {                                                                                   \
            struct rn__once_call rn__call_p;                                                       \
            struct rn__call *rn__rec =                                                             \
                rn__once_begin(&rn__call_p, rn__once_p, RN__FN(__VA_ARGS__));                      \
            RN__CAPTURE(rn__rec, __VA_ARGS__);                                                     \
        }                                                                                          \
    })

#endif /* __cplusplus */
#endif
