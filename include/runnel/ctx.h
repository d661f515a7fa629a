/* SPDX-License-Identifier: MIT */
/*
 * ctx.h - contexts: cancellation, deadlines, causes and values for a tree of goroutines.
 *
 * Whoever makes a context holds a reference. rn_ctx_end is the creator's: cancel and give the
 * reference up. rn_ctx_retain and rn_ctx_release are a sharer's: release never cancels while others
 * hold references; the last one ends the context. The last must not go while anybody is in another call that was given the
 * context, or in a select that waits for its end. A child keeps its parent's memory. NULL is the
 * background context everywhere but as the parent of rn_ctx_with_*, which panics
 * "cannot create context from nil parent". Constructors allocate, and panic when out of memory; nothing else
 * here allocates or waits but rn_ctx_hook_stop. All calls may be made from any thread.
 *
 * Cancelling is synchronous for descendants: when rn_ctx_cancel returns they are all done; functions
 * registered with rn_ctx_after_func run in goroutines of their own. The first cancellation to reach
 * a context fixes its error and cause for ever.
 *
 * Happens-before: cancel or expiry -> whoever sees the context done; -> after-functions' start.
 */
#ifndef RUNNEL_CTX_H
#define RUNNEL_CTX_H

#include <runnel/call.h>
#include <runnel/chan.h>
#include <runnel/time.h>

RN__BEGIN

typedef struct rn_ctx rn_ctx;

/* Never done, no deadline, no values, never freed; every reference call on it does nothing. */
RN__API rn_ctx *rn_ctx_background(void);

/* A child of parent: done when it is cancelled or parent is done. rn_ctx_end is the caller's then. */
RN__API RN__NODISCARD rn_ctx *rn_ctx_with_cancel(rn_ctx *parent);
/* The same; the name says that it is going to be cancelled with rn_ctx_cancel_cause. */
RN__API RN__NODISCARD rn_ctx *rn_ctx_with_cancel_cause(rn_ctx *parent);
/* The same, and done with -ETIMEDOUT d from now, or at t on rn_now's clock; at once if that is past. A parent's earlier
 * deadline wins. */
RN__API RN__NODISCARD rn_ctx *rn_ctx_with_timeout(rn_ctx *parent, rn_dur d);
RN__API RN__NODISCARD rn_ctx *rn_ctx_with_deadline(rn_ctx *parent, rn_time t);
/* The same with a cause for the expiry, a negative errno value, and the message that this goroutine attached to it; 0 or
 * more: none. */
RN__API RN__NODISCARD rn_ctx *rn_ctx_with_timeout_cause(rn_ctx *parent, rn_dur d, int cause);
RN__API RN__NODISCARD rn_ctx *rn_ctx_with_deadline_cause(rn_ctx *parent, rn_time t, int cause);
/* A value under a key: the address of a non-const object of yours. The value, which may be NULL, stays yours and must
 * outlive the context and its children. Panics "nil key". */
RN__API RN__NODISCARD rn_ctx *rn_ctx_with_value(rn_ctx *parent, const void *key, const void *value);
/* The same; drop(value), if drop is not NULL, is called once when the context's memory goes, by whoever gives up the last
 * reference to it or to its last child. It must not wait. */
RN__API RN__NODISCARD rn_ctx *rn_ctx_with_owned_value(rn_ctx *parent, const void *key, void *value,
                                                      void (*drop)(void *));
/* The parent's values without its cancellation and deadline. */
RN__API RN__NODISCARD rn_ctx *rn_ctx_without_cancel(rn_ctx *parent);

/* As rn_ctx_with_timeout, INT64_MAX: without a time; but -ENOMEM, where that panics. */
RN__API RN__NODISCARD int rn__ctx_with_timeout_err(rn_ctx *parent, rn_dur d, rn_ctx **ret_ctx);
RN__API RN__NODISCARD rn_ctx *rn__ctx_with_signals(rn_ctx *parent, const int *signals, size_t n);

RN__API void rn_ctx_cancel(rn_ctx *ctx); /* cancel and keep the reference; again: no effect */
/* Cancel with a cause (a negative errno value, with this goroutine's message for it; 0: none). The
 * error stays -ECANCELED. */
RN__API void rn_ctx_cancel_cause(rn_ctx *ctx, int cause);
RN__API void rn_ctx_end(rn_ctx *ctx); /* cancel and give the reference up */
RN__API rn_ctx *rn_ctx_retain(rn_ctx *ctx);
RN__API void rn_ctx_release(rn_ctx *ctx);

/* 0 while ctx is not done, then -ECANCELED or -ETIMEDOUT. Attaches no message. A few nanoseconds. */
RN__API int rn_ctx_err(const rn_ctx *ctx);
/* 0 while ctx is not done, then the cause, its message attached to it in this goroutine; the error
 * where no cause was given. */
RN__API int rn_ctx_cause(const rn_ctx *ctx);
/* The nearest value under key, or NULL. */
RN__API void *rn_ctx_value(const rn_ctx *ctx, const void *key);
/* True with *ret_t set if ctx has a deadline. ret_t may be NULL. */
RN__API bool rn_ctx_deadline(const rn_ctx *ctx, rn_time *ret_t);

/* A registered after-function. Zero is ready to use: not registered. 64 bytes. */
typedef struct rn_ctx_hook {
    uint64_t rn__word[8];
} rn_ctx_hook;

RN__API struct rn__call *rn__ctx_after_begin(rn_ctx_hook *hook, rn_ctx *ctx, void (*fn)(void));
/* The same, but fallback with nothing registered, where that panics; as rn__go_err_begin. */
RN__API struct rn__call *rn__ctx_after_err_begin(rn_ctx_hook *hook, rn_ctx *ctx,
                                                 struct rn__call *fallback, void (*fn)(void));
/*
 * Take the after-function back. True if that prevented its run; false if it was started, in which
 * case this waits until it has returned, or if hook was not registered. The hook may then leave scope, or be
 * registered anew. Must not be called from the function itself, which would wait for itself.
 * Happens-before: the function's return -> a return of false.
 */
RN__API bool rn_ctx_hook_stop(rn_ctx_hook *hook);

RN__END

#ifndef __cplusplus
/* The channel that is closed when ctx is done: NULL, the nil channel, for one that never can be.
 * Borrowed: it lives as long as ctx. */
RN__API rn_recv_only(rn_unit) rn_ctx_done(rn_ctx *ctx);

/* rn_ctx_with_signals(parent, SIGINT, SIGTERM, ...): cancelled by the first of these signals, with
 * -EINTR and a message that names the signal as the cause. While such a context is alive the signals
 * do not have their default effect; the second of a kind is ignored too. Afterwards they have what they had. Panics for
 * what is no signal or cannot be caught, and if no thread is to be had that waits for them. */
#define rn_ctx_with_signals(parent, ...)                                                           \
    rn__ctx_with_signals((parent), (const int[]){__VA_ARGS__},                                     \
                         sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

/* rn_ctx_after_func(&hook, ctx, fn, args...): run fn(args...) in a goroutine of its own once ctx is
 * done, at once if it is. The arguments are captured now, as rn_go's. The hook, which is zero or stopped before, is yours
 * and stays in scope until rn_ctx_hook_stop. Panics when out of memory. */
#define rn_ctx_after_func(hook, ctx, ...)                                                          \
    __extension__({                                                                                \
        RN__CHECK_CALL(__VA_ARGS__)                                                                \
        struct rn__call *rn__rec = rn__ctx_after_begin((hook), (ctx), RN__FN(__VA_ARGS__));        \
        RN__CAPTURE(rn__rec, __VA_ARGS__);                                                         \
    })
#endif
#endif
