/* SPDX-License-Identifier: MIT */
/*
 * chan.h - channels: typed, directional, buffered or not.
 *
 * rn_chan(T) is a channel of T; rn_send_only(T) and rn_recv_only(T) are its two directions, to
 * which it converts silently and from which nothing converts back. No typedef is needed; the type
 * is the same in every file. NULL is the nil channel: send and receive on it wait for ever, close
 * panics. T has no top-level const or volatile and is not an array or a function (wrap an array in
 * a struct), and is below 64 KiB. Parameters for arrays of channels are rn_chan(T) *.
 *
 * Channels are counted. rn_chan_make gives the creator one reference; rn_chan_retain adds one,
 * rn_chan_release gives one up; who never retains has one owner and one release. An operation that
 * has returned, or that made another goroutine's operation return, no longer touches the channel:
 * the receiver that saw it closed may release it at once.
 *
 * Happens-before: the i-th send -> the completion of the i-th receive; the k-th receive -> the
 * completion of send k + capacity; close -> every receive that returns because of it.
 *
 * Where it says "waits", other goroutines run meanwhile, and a plain thread blocks. Only making a channel allocates. All
 * calls may be made from any thread.
 */
#ifndef RUNNEL_CHAN_H
#define RUNNEL_CHAN_H

#include <runnel/base.h>

RN__BEGIN

struct rn__tag; /* never defined */
struct rn_ctx;

/* An element that carries nothing. */
typedef struct rn_unit {
    unsigned char rn__nothing;
} rn_unit;
#define RN_UNIT ((rn_unit){0})

/* ---- Functions under the macros, and for languages without macros ----------------------------
 * ch is a channel of any element type; elem points to one element of it. */

/* A channel of elements of elem_size bytes (0 to 65535) and capacity cap. Panics
 * "makechan: size out of range", or with a clear text when out of memory. */
RN__API void *rn_chan_make_fn(size_t elem_size, int64_t cap);
RN__API int rn__chan_make_err(void **ret_ch, size_t elem_size, int64_t cap);
/* rn_send of a copy of *elem. */
RN__API void rn_send_fn(volatile void *ch, const void *elem);
/* rn_recv_ok: false when closed and drained; *elem is then zero. elem may be NULL: the value is discarded. */
RN__API bool rn_recv_fn(const void *ch, void *elem);
RN__API bool rn__try_send(volatile void *ch, const void *elem);
RN__API bool rn__try_recv(const void *ch, void *elem, bool *ok);
RN__API int rn__send_ctx(struct rn_ctx *ctx, volatile void *ch, const void *elem);
RN__API int rn__recv_ctx(struct rn_ctx *ctx, const void *ch, void *elem);
RN__API size_t rn__len(const volatile void *ch);
RN__API size_t rn__cap(const volatile void *ch);
RN__API void rn__chan_retain(const volatile void *ch);
RN__API void rn__chan_release(const volatile void *ch);

/*
 * Close ch: receivers drain the buffer, then get zero values; senders panic, also those that wait.
 * Panics "close of closed channel", "close of nil channel". Never waits; ch is still to be released. Happens-before:
 * close -> every receive that returns because the channel is closed. Also a function, so that
 * rn_defer(rn_close, ch) works.
 */
RN__API void rn_close(volatile void *ch);

struct rn__range_state {
    const void *rn__source;
    bool rn__more;
};

RN__END

#ifndef __cplusplus

#define rn_chan(T) __typeof__(__typeof__(T)(**)(struct rn__tag *))
#define rn_recv_only(T) __typeof__(__typeof__(T)(*const *)(struct rn__tag *))
#define rn_send_only(T) __typeof__(__typeof__(T)(*volatile *)(struct rn__tag *))

/* The element type of a channel handle. */
#define rn_elem(ch) __typeof__((*(ch))((struct rn__tag *)0))

#define RN__CHAN_IS(ch, kind) __builtin_types_compatible_p(RN__BARE(ch), kind(rn_elem(ch)))
#define RN__BARE(ch) __typeof__(((void)0, (ch)))
#define RN__IS_CHAN(ch)                                                                            \
    _Static_assert(RN__CHAN_IS(ch, rn_chan) || RN__CHAN_IS(ch, rn_send_only) ||                    \
                       RN__CHAN_IS(ch, rn_recv_only),                                              \
                   "not a channel: " #ch);
#define RN__CAN_SEND(ch)                                                                           \
    _Static_assert(!RN__CHAN_IS(ch, rn_recv_only), "send on a receive-only channel: " #ch);        \
    _Static_assert(RN__CHAN_IS(ch, rn_chan) || RN__CHAN_IS(ch, rn_send_only),                      \
                   "not a channel: " #ch);
#define RN__CAN_RECV(ch)                                                                           \
    _Static_assert(!RN__CHAN_IS(ch, rn_send_only), "receive from a send-only channel: " #ch);      \
    _Static_assert(RN__CHAN_IS(ch, rn_chan) || RN__CHAN_IS(ch, rn_recv_only),                      \
                   "not a channel: " #ch);
#define RN__CAN_CLOSE(ch)                                                                          \
    _Static_assert(!RN__CHAN_IS(ch, rn_recv_only), "close of a receive-only channel: " #ch);       \
    _Static_assert(RN__CHAN_IS(ch, rn_chan) || RN__CHAN_IS(ch, rn_send_only),                      \
                   "not a channel: " #ch);
/* A destination must have exactly the element type: initialising a pointer checks it. */
#define RN__DEST(ch, dest) ((__typeof__(rn_elem(ch) *)){(dest)})

/* rn_chan(T) rn_chan_make(T, cap): a channel with room for cap elements; 0 is a rendezvous. rn_chan_release is the
 * caller's then. Panics "makechan: size out of range" when cap is negative or too large, and when out of memory. */
#define rn_chan_make(T, cap)                                                                       \
    __extension__({                                                                                \
        _Static_assert(sizeof(T) < 65536, "channel element of 64 KiB or more: " #T);               \
        (rn_chan(T)) rn_chan_make_fn(sizeof(T), (cap));                                            \
    })
/* int rn_chan_make_err(&ch, cap): the same as a result: 0; -EINVAL when cap is negative or too large, -ENOMEM, with ch
 * untouched. */
#define rn_chan_make_err(ret_ch, cap)                                                              \
    __extension__({                                                                                \
        _Static_assert(RN__CHAN_IS(*(ret_ch), rn_chan), "not a pointer to a channel: " #ret_ch);   \
        _Static_assert(sizeof(rn_elem(*(ret_ch))) < 65536, "channel element of 64 KiB or more");   \
        void *rn__made = (void *)0;                                                                \
        __typeof__(*(ret_ch)) *rn__to = (ret_ch);                                                  \
        int rn__err = rn__chan_make_err(&rn__made, sizeof(rn_elem(*(ret_ch))), (cap));             \
        if (rn__err == 0)                                                                          \
            *rn__to = (__typeof__(*(ret_ch)))rn__made;                                             \
        rn__err;                                                                                   \
    })

/* Add a reference, from a handle of any direction; its value is the handle. NULL is fine, and a timer's channel, whose
 * references are not counted. */
#define rn_chan_retain(ch)                                                                         \
    __extension__({                                                                                \
        RN__IS_CHAN(ch)                                                                            \
        RN__BARE(ch) rn__kept = (ch);                                                              \
        rn__chan_retain((const volatile void *)rn__kept);                                          \
        rn__kept;                                                                                  \
    })
/* Give up a reference; the last one frees, with what is in the buffer. NULL is fine. Panics "release of a channel in
 * use" when it is the last one and somebody waits on ch; "release of a released channel", if that is noticed, after the
 * last one. Happens-before: a release -> the freeing. */
#define rn_chan_release(ch)                                                                        \
    __extension__({                                                                                \
        RN__IS_CHAN(ch)                                                                            \
        rn__chan_release((const volatile void *)(ch));                                             \
    })

/* Elements in the buffer now, and its size; 0 for NULL. They never wait and order nothing. */
#define rn_len(ch)                                                                                 \
    __extension__({                                                                                \
        RN__IS_CHAN(ch)                                                                            \
        rn__len((const volatile void *)(ch));                                                      \
    })
#define rn_cap(ch)                                                                                 \
    __extension__({                                                                                \
        RN__IS_CHAN(ch)                                                                            \
        rn__cap((const volatile void *)(ch));                                                      \
    })

/* rn_send(ch, value): wait until a receiver takes it or the buffer has room. Panics
 * "send on closed channel", also if it is closed meanwhile. */
#define rn_send(ch, ...) RN__SEND(__COUNTER__, ch, __VA_ARGS__)
#define RN__SEND(n, ch, ...)                                                                       \
    __extension__({                                                                                \
        RN__CAN_SEND(ch)                                                                           \
        volatile void *RN__CAT(rn__c, n) = (volatile void *)(ch);                                  \
        rn_elem(ch) RN__CAT(rn__v, n) = (__VA_ARGS__);                                             \
        rn_send_fn(RN__CAT(rn__c, n), &RN__CAT(rn__v, n));                                         \
    })

/* T rn_recv(ch): wait for a value; the zero value once closed and drained. */
#define rn_recv(ch) RN__RECV(__COUNTER__, ch)
#define RN__RECV(n, ch)                                                                            \
    __extension__({                                                                                \
        RN__CAN_RECV(ch)                                                                           \
        rn_elem(ch) RN__CAT(rn__v, n);                                                             \
        (void)rn_recv_fn((const void *)(ch), &RN__CAT(rn__v, n));                                  \
        RN__CAT(rn__v, n);                                                                         \
    })

/* bool rn_recv_ok(ch, &value): false once closed and drained, with value zero. value may be NULL. */
#define rn_recv_ok(ch, dest)                                                                       \
    __extension__({                                                                                \
        RN__CAN_RECV(ch)                                                                           \
        rn_recv_fn((const void *)(ch), RN__DEST(ch, dest));                                        \
    })

/* rn_range(value, ch) statement: for each value until closed and drained. ch is evaluated once;
 * break and continue do what they always do. */
#define rn_range(value, ch) RN__RANGE(RN__CAT(rn__range, __COUNTER__), value, ch)
#define RN__RANGE(it, value, ch)                                                                   \
    for (struct rn__range_state it = {RN__RECVABLE(ch), true}; it.rn__more; it.rn__more = false)   \
        for (rn_elem(ch) value; rn_recv_fn(it.rn__source, &value);)
#define RN__RECVABLE(ch) __extension__({ RN__CAN_RECV(ch)(const void *)(ch); })

/* bool rn_try_send(ch, value): false, with nothing sent, if it would wait. Panics "send on closed channel". */
#define rn_try_send(ch, ...) RN__TRY_SEND(__COUNTER__, ch, __VA_ARGS__)
#define RN__TRY_SEND(n, ch, ...)                                                                   \
    __extension__({                                                                                \
        RN__CAN_SEND(ch)                                                                           \
        volatile void *RN__CAT(rn__c, n) = (volatile void *)(ch);                                  \
        rn_elem(ch) RN__CAT(rn__v, n) = (__VA_ARGS__);                                             \
        rn__try_send(RN__CAT(rn__c, n), &RN__CAT(rn__v, n));                                       \
    })

/* bool rn_try_recv(ch, &value), rn_try_recv_ok(ch, &value, &ok): false if it would wait, with the
 * destinations untouched; on a closed, drained channel true, zero, and ok false. Destinations may be NULL. */
#define rn_try_recv(ch, dest)                                                                      \
    __extension__({                                                                                \
        RN__CAN_RECV(ch)                                                                           \
        rn__try_recv((const void *)(ch), RN__DEST(ch, dest), (bool *)0);                           \
    })
#define rn_try_recv_ok(ch, dest, ok)                                                               \
    __extension__({                                                                                \
        RN__CAN_RECV(ch)                                                                           \
        rn__try_recv((const void *)(ch), RN__DEST(ch, dest), (ok));                                \
    })

/* int rn_send_ctx(ctx, ch, value): rn_send that gives up when ctx ends: 0, or ctx's error with nothing sent, also if ctx
 * had ended before. ctx may be NULL. */
#define rn_send_ctx(ctx, ch, ...) RN__SEND_CTX(__COUNTER__, ctx, ch, __VA_ARGS__)
#define RN__SEND_CTX(n, ctx, ch, ...)                                                              \
    __extension__({                                                                                \
        RN__CAN_SEND(ch)                                                                           \
        struct rn_ctx *RN__CAT(rn__x, n) = (ctx);                                                  \
        volatile void *RN__CAT(rn__c, n) = (volatile void *)(ch);                                  \
        rn_elem(ch) RN__CAT(rn__v, n) = (__VA_ARGS__);                                             \
        rn__send_ctx(RN__CAT(rn__x, n), RN__CAT(rn__c, n), &RN__CAT(rn__v, n));                    \
    })
/* int rn_recv_ctx(ctx, ch, &value): wait for a value until ctx ends: 0; -EPIPE once closed and drained, with value zero;
 * or ctx's error with nothing received and value untouched, also if ctx had ended before. ctx and &value may be NULL. */
#define rn_recv_ctx(ctx, ch, dest)                                                                 \
    __extension__({                                                                                \
        RN__CAN_RECV(ch)                                                                           \
        rn__recv_ctx((ctx), (const void *)(ch), RN__DEST(ch, dest));                               \
    })

#define rn_close(ch)                                                                               \
    __extension__({                                                                                \
        RN__CAN_CLOSE(ch)                                                                          \
        (rn_close)((volatile void *)(ch));                                                         \
    })

#endif /* __cplusplus */
#endif
