/* SPDX-License-Identifier: MIT */
/*
 * select.h - wait for the first of several channel operations.
 *
 * rn_select(case, ...) waits until one case can proceed, performs it, and returns its position, from 0;
 * among several that can, a fair random choice. With rn_default, which comes last by custom and may
 * stand anywhere, it never waits. Every operand is evaluated exactly once, in order. A case on a NULL
 * channel, and a zero case, never proceeds: without any other it waits for ever. Sending on a closed
 * channel panics. Never allocates, but for a table of timers that grows. From any thread.
 *
 * Happens-before: as the operation that was performed (chan.h, ctx.h).
 */
#ifndef RUNNEL_SELECT_H
#define RUNNEL_SELECT_H

#include <runnel/chan.h>
#include <runnel/time.h>

RN__BEGIN

/* Never defined. A channel in the place of a case is the wrong type of pointer: rn_select(ch). */
struct rn__made_by_rn_on;

/* One case, with the node by which it waits inside. Zero is a nil case. 96 bytes. */
typedef struct rn_case {
    struct rn__made_by_rn_on *rn__ch; /* the channel, or the context of rn_on_done */
    void *rn__elem;   /* what to send, or where to put what is received; NULL discards */
    bool *rn__ok;     /* rn_on_recv_ok */
    int64_t rn__when; /* rn_on_timeout: a duration; rn_on_deadline: a time */
    uint32_t rn__kind;
    uint32_t rn__index;
    uint64_t rn__node[7];
} rn_case;

enum {
    RN__CASE_NIL,
    RN__CASE_SEND,
    RN__CASE_RECV,
    RN__CASE_DEFAULT,
    RN__CASE_TIMEOUT,
    RN__CASE_DEADLINE,
    RN__CASE_DONE
};

/*
 * The function under rn_select, and the form for sets made at run time: n cases, 0 to 65536, in an
 * array that is yours and not const, untouched by others until it returns; it may be used again. Returns the position.
 * Panics, as Go's reflect does, "reflect.Select: too many cases (max 65536)" and "reflect.Select: multiple default cases".
 */
RN__API int rn_select_array(rn_case *cases, size_t n);

RN__END

#ifndef __cplusplus

#define rn_select(...)                                                                             \
    rn__select((rn_case[]){__VA_ARGS__}, sizeof((rn_case[]){__VA_ARGS__}) / sizeof(rn_case))

/* One case and rn_default is a try, as Go compiles it too: the compiler knows the kinds, and makes no case. */
static inline __attribute__((always_inline)) int rn__select(rn_case *cases, size_t n)
{
    if (n == 2 && cases[1].rn__kind == RN__CASE_DEFAULT) {
        void *ch = cases[0].rn__ch;

        if (cases[0].rn__kind == RN__CASE_RECV)
            return rn__try_recv(ch, cases[0].rn__elem, cases[0].rn__ok) ? 0 : 1;
        if (cases[0].rn__kind == RN__CASE_SEND)
            return rn__try_send(ch, cases[0].rn__elem) ? 0 : 1;
    }
    return rn_select_array(cases, n);
}

/* rn_on_send(ch, value): the value is kept in the case; so the case is good until the end of the enclosing block. */
#define rn_on_send(ch, ...)                                                                        \
    ((rn_case){.rn__ch = RN__SENDABLE(ch),                                                         \
               .rn__elem = (rn_elem(ch)[1]){(__VA_ARGS__)},                                        \
               .rn__kind = RN__CASE_SEND})
/* rn_on_send_from(ch, &value): the value is read when it is sent; for cases made in a loop. */
#define rn_on_send_from(ch, src)                                                                   \
    ((rn_case){.rn__ch = RN__SENDABLE(ch),                                                         \
               .rn__elem = RN__UNCONST((__typeof__(const rn_elem(ch) *)){(src)}),                  \
               .rn__kind = RN__CASE_SEND})
/* rn_on_recv(ch, &value), rn_on_recv_ok(ch, &value, &ok): written only if the case is chosen. */
#define rn_on_recv(ch, dest)                                                                       \
    ((rn_case){.rn__ch = RN__RECVABLE_CASE(ch),                                                    \
               .rn__elem = RN__DEST(ch, dest),                                                     \
               .rn__kind = RN__CASE_RECV})
#define rn_on_recv_ok(ch, dest, ok)                                                                \
    ((rn_case){.rn__ch = RN__RECVABLE_CASE(ch),                                                    \
               .rn__elem = RN__DEST(ch, dest),                                                     \
               .rn__ok = (ok),                                                                     \
               .rn__kind = RN__CASE_RECV})
/* d after the select began; zero or less: at once, if nothing else can proceed. */
#define rn_on_timeout(d) ((rn_case){.rn__when = (d), .rn__kind = RN__CASE_TIMEOUT})
/* At t on rn_now's clock: bounds a whole loop, also one that always has something to do: once t has
 * passed, this case is ready like any other. */
#define rn_on_deadline(t) ((rn_case){.rn__when = (t), .rn__kind = RN__CASE_DEADLINE})
/* When ctx ends; never for NULL and the background. */
#define rn_on_done(ctx) ((rn_case){.rn__ch = RN__AS_CTX(ctx), .rn__kind = RN__CASE_DONE})
/* When nothing else can proceed. */
#define rn_default ((rn_case){.rn__kind = RN__CASE_DEFAULT})

#define RN__SENDABLE(ch)                                                                           \
    __extension__({ RN__CAN_SEND(ch)(void *)(uintptr_t)(volatile void *)(ch); })
#define RN__RECVABLE_CASE(ch)                                                                      \
    __extension__({ RN__CAN_RECV(ch)(void *)(uintptr_t)(const void *)(ch); })
#define RN__UNCONST(p) ((void *)(uintptr_t)(const void *)(p))
#define RN__AS_CTX(ctx) ((void *)(struct rn_ctx *){(ctx)})

/*
 * switch (rn_select_named(NAME, case, NAME, case, ...)): the names are enumerators that live in
 * the switch alone; a forgotten one is -Wswitch. Up to 16 cases.
 */
#define rn_select_named(...)                                                                       \
    (__extension__(enum {RN__CAT(RN__ODD_, RN__COUNT(__VA_ARGS__))(__VA_ARGS__)})                  \
         rn_select(RN__CAT(RN__EVEN_, RN__COUNT(__VA_ARGS__))(__VA_ARGS__)))

#define RN__ODD_2(a, b) a
#define RN__ODD_4(a, b, ...) a, RN__ODD_2(__VA_ARGS__)
#define RN__ODD_6(a, b, ...) a, RN__ODD_4(__VA_ARGS__)
#define RN__ODD_8(a, b, ...) a, RN__ODD_6(__VA_ARGS__)
#define RN__ODD_10(a, b, ...) a, RN__ODD_8(__VA_ARGS__)
#define RN__ODD_12(a, b, ...) a, RN__ODD_10(__VA_ARGS__)
#define RN__ODD_14(a, b, ...) a, RN__ODD_12(__VA_ARGS__)
#define RN__ODD_16(a, b, ...) a, RN__ODD_14(__VA_ARGS__)
#define RN__ODD_18(a, b, ...) a, RN__ODD_16(__VA_ARGS__)
#define RN__ODD_20(a, b, ...) a, RN__ODD_18(__VA_ARGS__)
#define RN__ODD_22(a, b, ...) a, RN__ODD_20(__VA_ARGS__)
#define RN__ODD_24(a, b, ...) a, RN__ODD_22(__VA_ARGS__)
#define RN__ODD_26(a, b, ...) a, RN__ODD_24(__VA_ARGS__)
#define RN__ODD_28(a, b, ...) a, RN__ODD_26(__VA_ARGS__)
#define RN__ODD_30(a, b, ...) a, RN__ODD_28(__VA_ARGS__)
#define RN__ODD_32(a, b, ...) a, RN__ODD_30(__VA_ARGS__)
#define RN__EVEN_2(a, b) b
#define RN__EVEN_4(a, b, ...) b, RN__EVEN_2(__VA_ARGS__)
#define RN__EVEN_6(a, b, ...) b, RN__EVEN_4(__VA_ARGS__)
#define RN__EVEN_8(a, b, ...) b, RN__EVEN_6(__VA_ARGS__)
#define RN__EVEN_10(a, b, ...) b, RN__EVEN_8(__VA_ARGS__)
#define RN__EVEN_12(a, b, ...) b, RN__EVEN_10(__VA_ARGS__)
#define RN__EVEN_14(a, b, ...) b, RN__EVEN_12(__VA_ARGS__)
#define RN__EVEN_16(a, b, ...) b, RN__EVEN_14(__VA_ARGS__)
#define RN__EVEN_18(a, b, ...) b, RN__EVEN_16(__VA_ARGS__)
#define RN__EVEN_20(a, b, ...) b, RN__EVEN_18(__VA_ARGS__)
#define RN__EVEN_22(a, b, ...) b, RN__EVEN_20(__VA_ARGS__)
#define RN__EVEN_24(a, b, ...) b, RN__EVEN_22(__VA_ARGS__)
#define RN__EVEN_26(a, b, ...) b, RN__EVEN_24(__VA_ARGS__)
#define RN__EVEN_28(a, b, ...) b, RN__EVEN_26(__VA_ARGS__)
#define RN__EVEN_30(a, b, ...) b, RN__EVEN_28(__VA_ARGS__)
#define RN__EVEN_32(a, b, ...) b, RN__EVEN_30(__VA_ARGS__)

#endif /* __cplusplus */
#endif
