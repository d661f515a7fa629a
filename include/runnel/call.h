/* SPDX-License-Identifier: MIT */
/*
 * call.h - how a call is captured by value, for rn_go and everything like it.
 *
 * The macro makes a real call with fn's own prototype, so the compiler checks and converts the
 * arguments; but the address called is an assembly thunk of the library, and a pointer to a
 * struct rn__call rides along in the static-chain register. The thunk stores the argument
 * registers and 64 bytes of the caller's outgoing stack arguments into that record and jumps to
 * the record's op. What op does with it makes the difference between go, defer and the others.
 *
 * Limits, refused at compile time: arguments of more than 16 bytes or of more alignment than 16
 * (pass a pointer, or rn_go_copy, or send it over a channel); arrays other than string literals,
 * which would dangle (pass &a[0] if the array outlives the goroutine); more than 14 arguments.
 * fn returns void or a scalar. A bit-field argument needs a cast.
 *
 * clang's -fsanitize=cfi-icall ends the program at the capturing call, whose target has no one type, and no header can
 * see that flag: functions that use these macros need __attribute__((no_sanitize("cfi-icall"))), or their files
 * -fno-sanitize=cfi-icall.
 */
#ifndef RUNNEL_CALL_H
#define RUNNEL_CALL_H

#include <runnel/base.h>

#if defined(__has_feature)
#if __has_feature(shadow_call_stack)
#error "runnel: -fsanitize=shadow-call-stack reserves a register that argument capture needs"
#endif
#if __has_feature(kcfi)
#error                                                                                             \
    "runnel: -fsanitize=kcfi wants to know each function's type, and the library's thunk stands for any"
#endif
#endif

enum { RN__CALL_GP = 8, RN__CALL_VEC = 8, RN__CALL_STACK = 8 };

/* One captured call. The assembly knows the offsets; call.c asserts them. */
struct rn__call {
    uint64_t gp[RN__CALL_GP];       /* integer argument registers */
    uint64_t vec[RN__CALL_VEC][2];  /* vector argument registers */
    uint64_t stack[RN__CALL_STACK]; /* the first stack arguments */
    void (*fn)(void);               /* what to call */
    void (*op)(struct rn__call *);  /* what to do with the captured call */
} RN__ALIGNED(16);

RN__BEGIN

/* Addresses of the thunks; one for each register in which compilers pass the static chain. */
RN__API extern const uintptr_t rn__capture_at;
#if defined(__aarch64__)
RN__API extern const uintptr_t rn__capture_x15_at;
#endif
/* For other libraries of runnel's: make the captured call, here and now; its int result. The record may be used again. */
RN__API int rn__call_run(struct rn__call *call);

RN__END

#if defined(__aarch64__) && defined(__clang__) && __clang_major__ >= 20
#define RN__CAPTURE_AT rn__capture_x15_at
#else
#define RN__CAPTURE_AT rn__capture_at
#endif

#ifndef __cplusplus

/*
 * clang keeps GNU's noreturn in a function's type, and would drop what comes after the capturing call. The common
 * type of fn and a function without a prototype has no such attribute. It is asked for where the two are compatible:
 * not for variadic functions and parameters of type char, short and float; and not in C23, which has no functions
 * without a prototype. There, declare fn with _Noreturn or [[noreturn]], which are not part of the type.
 */
#if defined(__clang__) && (!defined(__STDC_VERSION__) || __STDC_VERSION__ < 202000L)
#define RN__ANY_FN(...) __typeof__((RN__FIRST(__VA_ARGS__))(RN__REST(__VA_ARGS__))) (*)()
#define RN__CALL_TYPE(...)                                                                         \
    __typeof__(1 ? (RN__FN_TYPE(RN__FIRST(__VA_ARGS__)))0                                          \
                 : __builtin_choose_expr(                                                          \
                       __builtin_types_compatible_p(RN__FN_TYPE(RN__FIRST(__VA_ARGS__)),           \
                                                    RN__ANY_FN(__VA_ARGS__)),                      \
                       (RN__ANY_FN(__VA_ARGS__))0, (RN__FN_TYPE(RN__FIRST(__VA_ARGS__)))0))
#define RN__CALL_QUIET                                                                             \
    _Pragma("clang diagnostic push") _Pragma("clang diagnostic ignored \"-Wstrict-prototypes\"")
#define RN__CALL_LOUD _Pragma("clang diagnostic pop")
#else
#define RN__CALL_TYPE(...) RN__FN_TYPE(RN__FIRST(__VA_ARGS__))
#define RN__CALL_QUIET
#define RN__CALL_LOUD
#endif

/* fn's type as a pointer, without the attributes (noreturn, const, pure) that gcc keeps on a
 * function's own type and that would delete code around the capturing call. */
#define RN__FN_TYPE(fn)                                                                            \
    __typeof__(__builtin_choose_expr(                                                              \
        __builtin_types_compatible_p(__typeof__(fn), __typeof__(&*(fn))), *(fn), fn)) *

#define RN__DECAYED(a) __typeof__(((void)0, (a)))
#define RN__DECAYS(a) (!__builtin_types_compatible_p(__typeof__(a), RN__DECAYED(a)))
#define RN__IS_ARRAY(a)                                                                            \
    (RN__DECAYS(a) &&                                                                              \
     !__builtin_types_compatible_p(                                                                \
         __typeof__(a), __typeof__(*__builtin_choose_expr(RN__DECAYS(a), (a), (int *)0))))

#define RN__CHECK_ARG(a)                                                                           \
    _Static_assert(sizeof(RN__DECAYED(a)) <= 16 && _Alignof(RN__DECAYED(a)) <= 16,                 \
                   "argument above 16 bytes: pass a pointer, or send it over a channel: " #a);     \
    _Static_assert(!RN__IS_ARRAY(a) || __builtin_constant_p(a),                                    \
                   "an array would dangle: pass a pointer to something that outlives the "         \
                   "goroutine: " #a);

/* Is f, which may be a call by mistake, a function or a pointer? They are of one class to both compilers. */
#define RN__IS_FN(f) (__builtin_classify_type(__builtin_choose_expr(RN__IS_VOID(f), 0, (f))) == 5)

/* Checks what the compiler would not, or not in such words: a declaration list for a statement expression. */
#define RN__CHECK_CALL(...)                                                                        \
    _Static_assert(RN__IS_FN(RN__FIRST(__VA_ARGS__)),                                              \
                   "not a function: write (fn, a, b), not (fn(a, b))");                            \
    _Static_assert(RN__COUNT(__VA_ARGS__) <= 15, "at most 14 arguments");                          \
    RN__EACH_REST(RN__CHECK_ARG, __VA_ARGS__)

/* The capturing call itself: RN__CAPTURE(record, fn, args...) */
#define RN__CAPTURE(record, ...)                                                                   \
    RN__CALL_QUIET                                                                                 \
    RN__DROP(__builtin_call_with_static_chain(                                                     \
                 ((RN__CALL_TYPE(__VA_ARGS__))RN__CAPTURE_AT)(RN__REST(__VA_ARGS__)),              \
                 (void *)(record)),                                                                \
             (RN__FIRST(__VA_ARGS__))(RN__REST(__VA_ARGS__)))                                      \
    RN__CALL_LOUD
/* Evaluate the arguments of a call that is not to be made: RN__DISCARD(fn, args...) */
#define RN__DISCARD(...) RN__EACH_REST(RN__DISCARD_ARG, __VA_ARGS__)
#define RN__DISCARD_ARG(a) (void)(a);
/* Evaluate call, whose type is that of like, and drop its value, if any, even where gcc wants it used. */
#define RN__DROP(call, like)                                                                       \
    ((void)!__builtin_choose_expr(RN__IS_VOID(like), 0, call),                                     \
     __builtin_choose_expr(RN__IS_VOID(like), call, (void)0))
#define RN__IS_VOID(like) __builtin_types_compatible_p(__typeof__(like), void)

/* fn's address as a generic function pointer, for the record. */
#define RN__FN(...) ((void (*)(void))(RN__FN_TYPE(RN__FIRST(__VA_ARGS__)))(RN__FIRST(__VA_ARGS__)))

/* For functions whose result is used. */
#define RN__RETURNS_INT(...)                                                                       \
    _Static_assert(__builtin_types_compatible_p(                                                   \
                       __typeof__((RN__FIRST(__VA_ARGS__))(RN__REST(__VA_ARGS__))), int),          \
                   "the function's result is used: it must return int");

#endif /* __cplusplus */
#endif
