/* SPDX-License-Identifier: MIT */
/*
 * go.h - goroutines: start them, run a program in them, defer, and what one can ask of the runtime.
 *
 * All calls may be made from any thread, but not from a signal handler. Where the function to start is NULL, all end the
 * process with "fatal error: go of nil func value".
 *
 * Happens-before: rn_go -> the goroutine's first step. Its end orders nothing; use a channel, a
 * wait group or a group.
 */
#ifndef RUNNEL_GO_H
#define RUNNEL_GO_H

#include <errno.h>
#include <runnel/call.h>
#include <runnel/time.h>
#include <stdbool.h>

RN__BEGIN

struct rn_wg;

/* What a goroutine may be given at its start. Zero means the default. */
typedef struct rn_attr {
    size_t stack_size; /* bytes, at most 1 GiB; rounded up to 16 KiB, 32 KiB, ... Default 128 KiB */
    const char *name;  /* as by rn_set_name: copied, cut at 31 bytes; for reports. Default: none */
    bool small_stack;  /* see rn_go_with; stack_size must be 0 then */
    uint64_t rn__reserved[3];
} rn_attr;

/* ---- Functions under the macros, and for languages without macros ---------------------------- */

/* rn_go for a function pointer and its argument. */
RN__API void rn_go_fn(void (*fn)(void *), void *arg);
/* rn_run for a function pointer and its argument. */
RN__API int rn_run_fn(int (*fn)(void *), void *arg);

RN__API struct rn__call *rn__go_begin(const rn_attr *attr, void (*fn)(void));
RN__API struct rn__call *rn__go_err_begin(struct rn__call *fallback, void (*fn)(void));
/* rn_go_err with an attribute, for callers inside. */
RN__API struct rn__call *rn__go_with_err_begin(const rn_attr *attr, struct rn__call *fallback,
                                               void (*fn)(void));
RN__API void rn__go_copy(void (*fn)(void), const void *src, size_t size);

struct rn__run {
    struct rn__call call;
    int result;
};
RN__API struct rn__call *rn__run_begin(struct rn__run *run, void (*fn)(void));

/* A deferred call of one integer or pointer argument. */
struct rn__defer1 {
    struct rn__defer1 *next;
    uintptr_t magic;
    void (*fn)(void);
    uint64_t arg;
};
/* Any other. */
struct rn__defer {
    struct rn__defer1 head;
    struct rn__call call;
};
RN__API void rn__defer1_push(struct rn__defer1 *d, void (*fn)(void), uint64_t arg);
RN__API struct rn__call *rn__defer_begin(struct rn__defer *d, void (*fn)(void));
RN__API void rn__defer_run(void *d); /* either form: a cleanup function */

/* ---- Asking and telling the runtime ----------------------------------------------------------- */

/*
 * Let others that can run go first: who was woken, before who has yielded, before who has not run yet; yet each has its
 * turn within a few switches. On a plain thread: the same among the kernel's threads. Returns soon; allocates nothing.
 */
RN__API void rn_yield(void);
/* This goroutine's id: 1 for the first of rn_run; never reused. 0 on a plain thread. */
RN__API uint64_t rn_self_id(void);
/* Name this goroutine, or plain thread, in reports; copied, cut at 31 bytes, between characters. NULL removes the name.
 * A name is UTF-8: control characters (below 0x20, 0x7f to 0x9f), U+FFFE, U+FFFF and bytes that are no UTF-8 are shown as '?'.
 * In a dump a backslash stands before a quotation mark, and before a backslash. */
RN__API void rn_set_name(const char *name);
/*
 * Label this goroutine in reports: which request, user or connection it works for. NULL as value removes the label. Goroutines
 * that it starts from then on begin with the labels that it has, and so do after-functions of contexts; those of timers
 * have none. A key is letters, digits, '_', '.' and '-', the first a letter or '_'; in values what no
 * name may have (rn_set_name) is shown as '?'.
 *
 *     goroutine 12 {peer="10.0.0.7", route="/users"} [IO wait]:
 *
 * Both are copied. Returns 0, -EINVAL if key is none, -ENOSPC if all labels, as shown between the braces, are more
 * than 239 bytes, -ENOMEM, or -ENOTSUP on a plain thread; then nothing has changed. A goroutine that starts when there is no
 * memory for a copy of the labels has none.
 */
RN__API int rn_set_label(const char *key, const char *value);
/* Goroutines alive, started or not, the caller included if it is one; 0 without a runtime. Orders nothing. */
RN__API size_t rn_count(void);
/* How many goroutines run at the same time at most: what rn_set_procs said, else RUNNEL_PROCS in the environment, else
 * the CPUs that this process may use by its affinity mask and cgroup quota, which is followed as they change. Never
 * below 1. Without a runtime: what the next one would have. */
RN__API int rn_procs(void);
/* Set it for the next start of the runtime (1 to 1024; 0: the default). Returns 0, -EINVAL with
 * nothing changed, or -EBUSY while the runtime runs. */
RN__API int rn_set_procs(int n);
/* Wait until no goroutine but the caller's is left, or d has passed (0 or less: only look); returns how many remain.
 * Happens-before: the end of every goroutine -> the return that says that none remains. */
RN__API size_t rn_settle(rn_dur d);

/* End this goroutine now, from however deep in its calls: deferred calls run, other cleanups do not. result goes to the
 * group, flight or run that waits for it. In the first goroutine of rn_run the others go on; rn_run returns result once
 * the last has ended. On a plain thread: panics "rn_exit: not a goroutine". */
RN__NORETURN RN__API void rn_exit(int result);

/*
 * Park and ready: how code of yours makes its own waiting. A ticket is filled by rn_park_init, handed
 * to whoever shall wake (a callback on any thread), and waited for with rn_park, by one goroutine or thread, which
 * returns once rn_ready was called, before or after; a second rn_ready on one ticket does nothing and returns
 * false. The ticket may leave scope once rn_park has returned, if no second rn_ready is to come. rn_ready never waits;
 * none allocates.
 *
 * Happens-before: rn_ready -> the return of rn_park.
 */
typedef struct rn_ticket {
    uint64_t rn__word[2];
} rn_ticket;
RN__API void rn_park_init(rn_ticket *t);
RN__API void rn_park(rn_ticket *t);
RN__API bool rn_ready(rn_ticket *t);

/* Give back the memory of this goroutine's stack that is not in use now: for a goroutine that has called deeply and is
 * going to wait for long. A system call; the memory comes back when the stack is used again. On a plain thread: nothing. */
RN__API void rn_stack_trim(void);

/* Keep this goroutine on its present thread, alone, until as many unlocks or its end. On a plain thread: no
 * effect. A surplus unlock does nothing. Never waits. */
RN__API void rn_lock_thread(void);
RN__API void rn_unlock_thread(void);

/* Which start of the runtime the caller belongs to, from 1; 0 on a plain thread. For what a goroutine may hold while it
 * waits, in an object that outlives its run: what it held then is given back by whoever finds it. */
RN__API uint64_t rn__run_number(void);
/* That start has ended: its goroutines will not come back from a wait. */
RN__API bool rn__run_gone(uint64_t number);

RN__API void rn__block_enter(void);
RN__API void rn__block_leave(void);
RN__API int64_t rn__sys_result(int64_t result);

RN__END

#ifndef __cplusplus

/*
 * rn_go(fn, args...): call fn(args...) in a goroutine of its own. The function and the arguments are
 * evaluated here and now, converted to the parameter types, and copied; a wrong type or count does
 * not compile. fn's result is dropped. Does not wait for it to run; who has computed for so long that others have its
 * processor waits for one, on its thread. May allocate; panics when out of memory, which may
 * be later, if its stack is not to be had once all others wait. The runtime starts by itself.
 */
#define rn_go(...)                                                                                 \
    __extension__({                                                                                \
        RN__CHECK_CALL(__VA_ARGS__)                                                                \
        struct rn__call *rn__rec = rn__go_begin((const rn_attr *)0, RN__FN(__VA_ARGS__));          \
        RN__CAPTURE(rn__rec, __VA_ARGS__);                                                         \
    })
/* rn_go_with(RN_ATTR(.stack_size = ..., .name = ...), fn, args...): the same with a stack of another size, or a name.
 * Panics "rn_go_with: stack_size above 1 GiB".
 *
 * RN_ATTR(.small_stack = true): a stack of 1.5 KiB without a guard, for goroutines that wait by the hundred thousand and call
 * little: each costs 2.5 KiB of memory instead of a page and its tables. The caller vouches that fn and what it calls get
 * along with it. All that waits, locks or starts goroutines here does; printf needs more, as do most of libc's functions of
 * files and text. An overflow is a fatal error at the goroutine's next wait or end, when it has damaged a neighbour already. A
 * signal's handler would need more, too: threads that have run such a goroutine take no signals any more, but those of
 * faults; there must be others that do, as rn_run's. Threads that such a goroutine makes itself have that mask.
 * It is granted where nothing binds functions at their first call, which takes 3 KiB: to static programs and those linked
 * with -z now (some compilers' default) or run with LD_BIND_NOW=1. Else, and under sanitizers, Valgrind, RUNNEL_LOCKS and
 * RUNNEL_STACKS, which shows what is used, it is one of 16 KiB with a guard. Panics "rn_go_with: small_stack with a
 * stack_size". */
#define rn_go_with(attr, ...)                                                                      \
    __extension__({                                                                                \
        RN__CHECK_CALL(__VA_ARGS__)                                                                \
        rn_attr rn__attr = (attr);                                                                 \
        struct rn__call *rn__rec = rn__go_begin(&rn__attr, RN__FN(__VA_ARGS__));                   \
        RN__CAPTURE(rn__rec, __VA_ARGS__);                                                         \
    })
#define RN_ATTR(...) ((rn_attr){__VA_ARGS__})
/* int rn_go_err(fn, args...): rn_go that returns 0, or -ENOMEM with nothing started; the arguments are evaluated all the
 * same. */
#define rn_go_err(...)                                                                             \
    __extension__({                                                                                \
        RN__CHECK_CALL(__VA_ARGS__)                                                                \
        struct rn__call rn__spare;                                                                 \
        struct rn__call *rn__rec = rn__go_err_begin(&rn__spare, RN__FN(__VA_ARGS__));              \
        RN__CAPTURE(rn__rec, __VA_ARGS__);                                                         \
        rn__rec == &rn__spare ? -ENOMEM : 0;                                                       \
    })
/* rn_go_copy(fn, &big): rn_go for an argument of any size: copy big and call fn with a pointer to the copy, which
 * is the goroutine's own, aligned as malloc does, and lives as long as it. Panics when out of memory. */
#define rn_go_copy(f, src)                                                                         \
    __extension__({                                                                                \
        (void)sizeof(((f)((__typeof__(*(src)) *)0), 0));                                           \
        rn__go_copy((void (*)(void))(RN__FN_TYPE(f))(f), (src), sizeof(*(src)));                   \
    })

/*
 * int rn_run(fn, args...): run fn as the first goroutine, on the calling thread at first, and return
 * its int result when it returns. Goroutines left then end: parked ones are dropped without their
 * deferred calls, one inside a C call or computing ends at its next runtime call that waits. May be called again. Panics
 * when called from a goroutine or while another rn_run runs, and when out of memory.
 *
 * Happens-before: this call -> fn's first step; fn's return -> this call's return.
 */
#define rn_run(...)                                                                                \
    __extension__({                                                                                \
        RN__CHECK_CALL(__VA_ARGS__)                                                                \
        RN__RETURNS_INT(__VA_ARGS__)                                                               \
        struct rn__run rn__running;                                                                \
        struct rn__call *rn__rec = rn__run_begin(&rn__running, RN__FN(__VA_ARGS__));               \
        RN__CAPTURE(rn__rec, __VA_ARGS__);                                                         \
        rn__running.result;                                                                        \
    })

/*
 * rn_defer(fn, args...); call fn(args...) when the enclosing block is left: by its end, return,
 * break, continue, goto, or rn_exit. The arguments are evaluated now. It is a declaration: it needs
 * braces after if and case. Last deferred, first called. Not called after a panic, nor where longjmp, or a switch that
 * jumps past it, leaves the block another way. Never allocates; may be used on any thread. About 4 ns where fn takes one
 * pointer or integer of exactly the argument's type.
 */
#define rn_defer(...) RN__DEFER(__COUNTER__, __VA_ARGS__)
#define RN__DEFER(n, ...)                                                                          \
    RN__CAT(RN__DEFER_, RN__COUNT(__VA_ARGS__))(RN__CAT(rn__defer_, n), __VA_ARGS__)

#define RN__IS_POINTER(a) (__builtin_classify_type(a) == 5)
#define RN__IS_SCALAR1(a) (__builtin_classify_type(a) <= 5 && sizeof(RN__DECAYED(a)) <= 8)
#define RN__TAKES(fn, T) __builtin_types_compatible_p(RN__FN_TYPE(fn), void (*)(T))
#define RN__FITS1(fn, a)                                                                           \
    ((RN__TAKES(fn, RN__DECAYED(a)) && RN__IS_SCALAR1(a)) ||                                       \
     (RN__IS_POINTER(a) &&                                                                         \
      (RN__TAKES(fn, void *) || RN__TAKES(fn, const void *) || RN__TAKES(fn, volatile void *))))
/* The argument as 64 bits where the short form applies; 0, unevaluated, elsewhere. */
#define RN__BITS1(fn, a)                                                                           \
    ((uint64_t)__builtin_choose_expr(                                                              \
        RN__FITS1(fn, a),                                                                          \
        __builtin_choose_expr(RN__IS_POINTER(a),                                                   \
                              (uintptr_t)__builtin_choose_expr(RN__FITS1(fn, a), (a), (void *)0),  \
                              (a)),                                                                \
        0))
#define RN__DEFER_1(d, f) RN__DEFER_ANY(d, f)
#define RN__DEFER_2(d, f, a)                                                                       \
    __typeof__(*__builtin_choose_expr(RN__FITS1(f, a), (struct rn__defer1 *)0,                     \
                                      (struct rn__defer *)0)) d                                    \
        __attribute__((cleanup(rn__defer_run))),                                                   \
        *RN__CAT(d, _) __attribute__((unused)) = __extension__({                                   \
            RN__CHECK_CALL(f, a)                                                                   \
            if (RN__FITS1(f, a)) {                                                                 \
                (void)sizeof(((f)(a), 0));                                                         \
                rn__defer1_push((struct rn__defer1 *)(void *)&d, RN__FN(f), RN__BITS1(f, a));      \
            } else {                                                                               \
                RN__CAPTURE(rn__defer_begin((struct rn__defer *)(void *)&d, RN__FN(f)), f, a);     \
            }                                                                                      \
            &d;                                                                                    \
        })
#define RN__DEFER_3(d, ...) RN__DEFER_ANY(d, __VA_ARGS__)
#define RN__DEFER_4(d, ...) RN__DEFER_ANY(d, __VA_ARGS__)
#define RN__DEFER_5(d, ...) RN__DEFER_ANY(d, __VA_ARGS__)
#define RN__DEFER_6(d, ...) RN__DEFER_ANY(d, __VA_ARGS__)
#define RN__DEFER_7(d, ...) RN__DEFER_ANY(d, __VA_ARGS__)
#define RN__DEFER_8(d, ...) RN__DEFER_ANY(d, __VA_ARGS__)
#define RN__DEFER_9(d, ...) RN__DEFER_ANY(d, __VA_ARGS__)
#define RN__DEFER_10(d, ...) RN__DEFER_ANY(d, __VA_ARGS__)
#define RN__DEFER_11(d, ...) RN__DEFER_ANY(d, __VA_ARGS__)
#define RN__DEFER_12(d, ...) RN__DEFER_ANY(d, __VA_ARGS__)
#define RN__DEFER_13(d, ...) RN__DEFER_ANY(d, __VA_ARGS__)
#define RN__DEFER_14(d, ...) RN__DEFER_ANY(d, __VA_ARGS__)
#define RN__DEFER_15(d, ...) RN__DEFER_ANY(d, __VA_ARGS__)
#define RN__DEFER_ANY(d, ...)                                                                      \
    struct rn__defer d __attribute__((cleanup(rn__defer_run))),                                    \
        *RN__CAT(d, _) __attribute__((unused)) = __extension__({                                   \
            RN__CHECK_CALL(__VA_ARGS__)                                                            \
            struct rn__call *rn__rec = rn__defer_begin(&d, RN__FN(__VA_ARGS__));                   \
            RN__CAPTURE(rn__rec, __VA_ARGS__);                                                     \
            &d;                                                                                    \
        })

/* A cleanup function: it comes after the value of the expression, and that may be void. */
static inline void rn__block_over(bool *blocks)
{
    (void)blocks;
    rn__block_leave();
}
/* rn_blocking(expr): the value of expr, if it has one, with this goroutine's processor lent to others while it runs. For
 * calls known to block. After it the goroutine may have to wait for a processor; errno is then that of expr. expr must not
 * use the runtime. On a plain thread: just expr. Where many such calls in a row took less than it costs to lend a
 * processor, it is kept at first, and taken from one that does block as from any call: docs/stalls.md. */
#define rn_blocking(...)                                                                           \
    __extension__({                                                                                \
        bool rn__blocks __attribute__((cleanup(rn__block_over), unused)) = true;                   \
        rn__block_enter();                                                                         \
        (__VA_ARGS__);                                                                             \
    })
/* rn_sys(expr): the same for a system call: its result, of expr's type; a negative one becomes -errno, read before the
 * goroutine can move to another thread. */
#define rn_sys(...)                                                                                \
    __extension__({                                                                                \
        rn__block_enter();                                                                         \
        int64_t rn__value = rn__sys_result((int64_t)(__VA_ARGS__));                                \
        rn__block_leave();                                                                         \
        (__typeof__(__VA_ARGS__))rn__value;                                                        \
    })

#endif /* __cplusplus */
#endif
