/* SPDX-License-Identifier: MIT */
/*
 * base.h - what every other header of runnel stands on: visibility, diagnostics, the macro tools.
 *
 * Everything named rn__ or RN__ is internal, although visible here; it may change without notice.
 */
#ifndef RUNNEL_BASE_H
#define RUNNEL_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RN_VERSION_MAJOR 0
#define RN_VERSION_MINOR 1
#define RN_VERSION_PATCH 0

#if !defined(__GNUC__)
#error "runnel needs gcc >= 12 or clang >= 14"
#endif

#ifdef __cplusplus
#define RN__BEGIN extern "C" {
#define RN__END }
#else
#define RN__BEGIN
#define RN__END
#endif

#define RN__API __attribute__((visibility("default")))
#define RN__NODISCARD __attribute__((warn_unused_result))
/* No part of the function's type, or clang would drop what follows an rn_go of it: see call.h. */
#ifdef __cplusplus
#define RN__NORETURN [[noreturn]]
#else
#define RN__NORETURN _Noreturn
#endif
#define RN__PRINTF(f, a) __attribute__((format(printf, f, a)))
#define RN__ALIGNED(n) __attribute__((aligned(n)))

/*
 * A wrong element type or a lost direction is a warning by default with some compilers. They are
 * errors here, from the point where this header is included; define RN_LAX first to opt out.
 */
#if !defined(RN_LAX) && !defined(__cplusplus)
#pragma GCC diagnostic error "-Wincompatible-pointer-types"
#pragma GCC diagnostic error "-Wint-conversion"
#if defined(__clang__)
#pragma GCC diagnostic error "-Wincompatible-pointer-types-discards-qualifiers"
#else
#pragma GCC diagnostic error "-Wdiscarded-qualifiers"
#endif
#endif

/* User code under ThreadSanitizer calls the library for everything, so that the library can tell
 * the detector of every edge; elsewhere short fast paths are inlined. */
#if defined(__SANITIZE_THREAD__)
#define RN__INLINE_FAST 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RN__INLINE_FAST 0
#endif
#endif
#ifndef RN__INLINE_FAST
#define RN__INLINE_FAST 1
#endif

#define RN__CAT(a, b) RN__CAT_(a, b)
#define RN__CAT_(a, b) a##b

#define RN__LIKELY(x) __builtin_expect(!!(x), 1)
#define RN__UNLIKELY(x) __builtin_expect(!!(x), 0)

/* The first of a list, and how many there are (1 to 32). A trailing argument keeps C11 content. */
#define RN__FIRST(...) RN__FIRST_(__VA_ARGS__, 0)
#define RN__FIRST_(a, ...) a
#define RN__COUNT(...)                                                                             \
    RN__COUNT_(__VA_ARGS__, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16,    \
               15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define RN__COUNT_(a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17,     \
                   a18, a19, a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, n,   \
                   ...)                                                                            \
    n

/* All but the first of a list of 1 to 15. */
#define RN__REST(...) RN__CAT(RN__REST_, RN__COUNT(__VA_ARGS__))(__VA_ARGS__)
#define RN__REST_1(a)
#define RN__REST_2(a, ...) __VA_ARGS__
#define RN__REST_3(a, ...) __VA_ARGS__
#define RN__REST_4(a, ...) __VA_ARGS__
#define RN__REST_5(a, ...) __VA_ARGS__
#define RN__REST_6(a, ...) __VA_ARGS__
#define RN__REST_7(a, ...) __VA_ARGS__
#define RN__REST_8(a, ...) __VA_ARGS__
#define RN__REST_9(a, ...) __VA_ARGS__
#define RN__REST_10(a, ...) __VA_ARGS__
#define RN__REST_11(a, ...) __VA_ARGS__
#define RN__REST_12(a, ...) __VA_ARGS__
#define RN__REST_13(a, ...) __VA_ARGS__
#define RN__REST_14(a, ...) __VA_ARGS__
#define RN__REST_15(a, ...) __VA_ARGS__

/* M(argument) for each argument after the first (fn): 0 to 14 of them. */
#define RN__EACH_REST(M, ...) RN__CAT(RN__EACH_, RN__COUNT(__VA_ARGS__))(M, __VA_ARGS__)
#define RN__EACH_1(M, f)
#define RN__EACH_2(M, f, a) M(a)
#define RN__EACH_3(M, f, a, ...) M(a) RN__EACH_2(M, f, __VA_ARGS__)
#define RN__EACH_4(M, f, a, ...) M(a) RN__EACH_3(M, f, __VA_ARGS__)
#define RN__EACH_5(M, f, a, ...) M(a) RN__EACH_4(M, f, __VA_ARGS__)
#define RN__EACH_6(M, f, a, ...) M(a) RN__EACH_5(M, f, __VA_ARGS__)
#define RN__EACH_7(M, f, a, ...) M(a) RN__EACH_6(M, f, __VA_ARGS__)
#define RN__EACH_8(M, f, a, ...) M(a) RN__EACH_7(M, f, __VA_ARGS__)
#define RN__EACH_9(M, f, a, ...) M(a) RN__EACH_8(M, f, __VA_ARGS__)
#define RN__EACH_10(M, f, a, ...) M(a) RN__EACH_9(M, f, __VA_ARGS__)
#define RN__EACH_11(M, f, a, ...) M(a) RN__EACH_10(M, f, __VA_ARGS__)
#define RN__EACH_12(M, f, a, ...) M(a) RN__EACH_11(M, f, __VA_ARGS__)
#define RN__EACH_13(M, f, a, ...) M(a) RN__EACH_12(M, f, __VA_ARGS__)
#define RN__EACH_14(M, f, a, ...) M(a) RN__EACH_13(M, f, __VA_ARGS__)
#define RN__EACH_15(M, f, a, ...) M(a) RN__EACH_14(M, f, __VA_ARGS__)

#endif
