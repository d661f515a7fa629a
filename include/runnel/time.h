/* SPDX-License-Identifier: MIT */
/*
 * time.h - durations, the monotonic clock, sleep, timers and tickers.
 *
 * Timers have the meaning of Go 1.23 and later: a timer that expired but whose value nobody
 * received still counts as pending, stop and reset withdraw that value, and its channel's length
 * and capacity are always 0. Times are never early; they may be late.
 *
 * All calls may be made from any thread, and by several at once for one timer. A timer that has been used is not to be
 * copied or moved. Pending timers stand in tables that grow: where one must and there is no memory, the call that sets
 * a timer panics "out of memory for a timer".
 */
#ifndef RUNNEL_TIME_H
#define RUNNEL_TIME_H

#include <runnel/call.h>
#include <runnel/chan.h>

RN__BEGIN

typedef int64_t rn_dur;  /* nanoseconds */
typedef int64_t rn_time; /* nanoseconds on the monotonic clock */

#define RN_NANOSECOND ((rn_dur)1)
#define RN_MICROSECOND ((rn_dur)1000)
#define RN_MILLISECOND ((rn_dur)1000000)
#define RN_SECOND ((rn_dur)1000000000)
#define RN_MINUTE (60 * RN_SECOND)
#define RN_HOUR (60 * RN_MINUTE)

/* Now, on the monotonic clock. Never waits. */
RN__API rn_time rn_now(void);

/* Wait for at least d; zero or less yields and returns. How much longer is up to the system: the threads that wait for
 * timers ask for no more than 10 us of it to save wake-ups. That is their timer slack: threads and children that are made on
 * one of them have it too, but for those of rn_exec. */
RN__API void rn_sleep(rn_dur d);

struct rn_ctx;
/* The same, but ends early when ctx does, which may be NULL. Returns 0, or ctx's error, also if it had ended before. */
RN__API int rn_sleep_ctx(struct rn_ctx *ctx, rn_dur d);

/* A timer with its channel inside. Zero is ready to use: a stopped timer. 192 bytes. */
typedef struct rn_timer {
    uint64_t rn__word[24];
} rn_timer;

/* A ticker with its channel inside. Zero is ready to use: a stopped ticker. 192 bytes. */
typedef struct rn_ticker {
    uint64_t rn__word[24];
} rn_ticker;

#ifndef __cplusplus
/*
 * The channel that receives the time at which t was due. Belongs to t: it is neither closed nor
 * released, and dies with it. NULL, the nil channel, of a timer of rn_after_func.
 */
RN__API rn_recv_only(rn_time) rn_timer_chan(rn_timer *t);
/* The same for the ticks of a ticker; a slow receiver loses ticks. */
RN__API rn_recv_only(rn_time) rn_ticker_chan(rn_ticker *t);
#endif

/*
 * Arm t to expire d from now (zero or less: at once), whatever it did before. Returns true if it
 * was pending. After it returns only values of the new setting can be received. Never waits for a receiver or a function.
 *
 * Happens-before: this call -> the receive of that firing, or the start of the after-function.
 */
RN__API bool rn_timer_reset(rn_timer *t, rn_dur d);

/* Stop t. True if it was pending, after which nothing fires; false if it had fired (for an
 * after-function: its goroutine was started) or was stopped. Does not wait for the function. */
RN__API bool rn_timer_stop(rn_timer *t);

/* Stop t and give up its memory: a timer of rn_after_func is freed, one of yours may leave scope.
 * NULL is fine. Panics "release of a channel in use" if somebody waits for t's channel. */
RN__API void rn_timer_free(rn_timer *t);

/* Start, or restart, t with a period of d. Panics "non-positive interval for NewTicker". */
RN__API void rn_ticker_start(rn_ticker *t, rn_dur d);
/* Change the period; the next tick comes d from now. True if it was running. Panics
 * "non-positive interval for Ticker.Reset". */
RN__API bool rn_ticker_reset(rn_ticker *t, rn_dur d);
/* No more ticks after this returns; the channel stays open. Harmless on a stopped ticker. */
RN__API void rn_ticker_stop(rn_ticker *t);
/* Stop t; after this it may leave scope. NULL is fine. Panics as rn_timer_free. */
RN__API void rn_ticker_free(rn_ticker *t);

struct rn__after; /* internal: the record of an after-function */
RN__API struct rn__call *rn__after_begin(rn_dur d, void (*fn)(void), rn_timer **ret_timer);

RN__END

#ifndef __cplusplus
/*
 * rn_timer *rn_after_func(d, fn, args...): run fn(args...) in a goroutine of its own, d from now.
 * The arguments are captured now, as rn_go's. The handle is yours: rn_timer_stop, rn_timer_reset, after which fn is run
 * once more with the same arguments, and rn_timer_free in the end, fired or not; it has no channel. Allocates; panics when
 * out of memory.
 */
#define rn_after_func(d, ...)                                                                      \
    __extension__({                                                                                \
        RN__CHECK_CALL(__VA_ARGS__)                                                                \
        rn_timer *rn__timer;                                                                       \
        struct rn__call *rn__rec = rn__after_begin((d), RN__FN(__VA_ARGS__), &rn__timer);          \
        RN__CAPTURE(rn__rec, __VA_ARGS__);                                                         \
        rn__timer;                                                                                 \
    })

/* The same without a handle: it cannot be stopped, and frees itself. */
#define rn_go_after(d, ...)                                                                        \
    __extension__({                                                                                \
        RN__CHECK_CALL(__VA_ARGS__)                                                                \
        struct rn__call *rn__rec = rn__after_begin((d), RN__FN(__VA_ARGS__), (rn_timer **)0);      \
        RN__CAPTURE(rn__rec, __VA_ARGS__);                                                         \
    })
#endif
#endif
