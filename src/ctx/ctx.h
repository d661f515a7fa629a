/* SPDX-License-Identifier: MIT */
/*
 * ctx.h - contexts inside the library: hooks, by which a wait ends when a context does.
 */
#ifndef RN_SRC_CTX_H
#define RN_SRC_CTX_H

#include <runnel/ctx.h>

#include "chan/chan.h"

/*
 * A hook is in its context's list until the context ends; then fire is called, on the canceller's
 * stack, without any lock held. fire must be short and must not park; it may ready.
 */
struct ctx_hook {
    struct ctx_hook *next, *prev; /* guarded by the context's lock */
    rn_ctx *ctx;                  /* the context in whose list it is */
    void (*fire)(struct ctx_hook *h);
    uint32_t state; /* atomic: HOOK_OUT, HOOK_IN, HOOK_FIRING */
};
enum { HOOK_OUT, HOOK_IN, HOOK_FIRING };

/* Add h. False, with h out and fire not called, if ctx can never end (NULL, the background) or has ended
 * already: ask rn_ctx_err. The caller keeps a reference to ctx while h is in. */
bool rn__ctx_hook_add(rn_ctx *ctx, struct ctx_hook *h);
/* Take h out. True if that prevented fire; false if it was not in, or fire was called: then it has returned
 * when this does (spins for it; not from fire itself). */
bool rn__ctx_hook_remove(struct ctx_hook *h);
/* Keep ctx's memory, without being one of its users: the caller knows that it is there now. */
void rn__ctx_ref(rn_ctx *ctx);
void rn__ctx_unref(rn_ctx *ctx);
/* Call unused(ctx) once the last user's reference has gone; ctx has ended then. Before ctx is shared. */
void rn__ctx_on_unused(rn_ctx *ctx, void (*unused)(rn_ctx *));
/* The context whose that channel is: its memory. */
void rn__ctx_extent(const struct chan *done, const void **ret_lo, const void **ret_hi);
/* For reports (debug/lost.c), atomic: called, if not NULL, with each context that is made; and with its note, if it has one,
 * when its memory goes. */
extern void (*rn__ctx_made)(rn_ctx *ctx);
extern void (*rn__ctx_gone)(void *note);
void **rn__ctx_note(rn_ctx *ctx);
/* The size of its memory; whether a user has a reference; and whether a word of it that lies here is the user's. */
size_t rn__ctx_size(const rn_ctx *ctx);
bool rn__ctx_is_used(const rn_ctx *ctx);
bool rn__ctx_is_value(const rn_ctx *ctx, uintptr_t at);
/* The channel that closes when ctx ends; NULL if it never can. */
struct chan *rn__ctx_done_chan(rn_ctx *ctx);

#endif
