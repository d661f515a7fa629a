/* SPDX-License-Identifier: MIT */
/*
 * lost.c - contexts that nobody can end any more, when RUNNEL_LEAKS asks: who has made which.
 *
 * Go's vet finds a cancel function that is not called on some way through the function that made it; here it is found out
 * when it has happened: a context that its users have not given up, and to which none of them has a pointer. Each
 * context that is made has a record with the calls that made it; stuck.c looks which are referred to.
 *
 * The records know the contexts by the complement of their addresses, so that they are not taken for references.
 */
#include "base/mem.h"
#include "ctx/ctx.h"
#include "debug/debug.h"

static struct spin lock; /* guards the list, and what is in it */
static struct lost_record *newest;

static void made(rn_ctx *ctx)
{
    struct lost_record *r = rn__mem_new_zero(sizeof *r, 16);

    if (!r)
        return;
    r->hidden = ~(uintptr_t)ctx;
    r->calls = rn__walk_self(r->pc, LOST_CALLS, 1);
    *rn__ctx_note(ctx) = r;
    spin_lock(&lock);
    r->next = newest;
    if (newest)
        newest->prev = r;
    newest = r;
    spin_unlock(&lock);
}

static void gone(void *note)
{
    struct lost_record *r = note;

    spin_lock(&lock);
    if (r->next)
        r->next->prev = r->prev;
    if (r->prev)
        r->prev->next = r->next;
    else
        newest = r->next;
    spin_unlock(&lock);
    rn__mem_free(r);
}

void rn__lost_begin(bool asked)
{
    store_relaxed(&rn__ctx_gone, gone); /* also for those that were made when it was asked for */
    store_relaxed(&rn__ctx_made, asked ? made : NULL);
}

size_t rn__lost_count(void)
{
    size_t n = 0;

    spin_lock(&lock);
    for (const struct lost_record *r = newest; r; r = r->next)
        n += rn__ctx_is_used((rn_ctx *)~r->hidden);
    spin_unlock(&lock);
    return n;
}

size_t rn__lost_list(struct lost *ret, size_t room)
{
    size_t n = 0;

    spin_lock(&lock);
    for (const struct lost_record *r = newest; r && n < room; r = r->next) {
        rn_ctx *ctx = (rn_ctx *)~r->hidden;

        if (!rn__ctx_is_used(ctx))
            continue;
        ret[n] = (struct lost){.hidden = r->hidden, .record = r};
        ret[n].size = rn__ctx_size(ctx);
        n++;
    }
    spin_unlock(&lock);
    return n;
}

static bool same_place(const struct lost_record *a, const struct lost_record *b)
{
    for (size_t i = 0; i < LOST_CALLS; i++)
        if (a->pc[i] != b->pc[i])
            return false;
    return true;
}

void rn__out_lost(struct out *o, struct lost *lost, size_t n)
{
    struct pool pool = {0};
    struct places *known = rn__places_new(&pool);

    for (size_t i = 0; i < n; i++) {
        size_t alike = 1;

        if (lost[i].found)
            continue;
        for (size_t j = i + 1; j < n; j++) {
            if (!lost[j].found && same_place(lost[i].record, lost[j].record)) {
                lost[j].found = true;
                alike++;
            }
        }
        rn__out_str(o, "\nrunnel: ");
        rn__out_int(o, alike);
        rn__out_str(o, alike == 1
                           ? " context was never ended, and nothing refers to it any more: "
                           : " contexts were never ended, and nothing refers to them any more: ");
        rn__out_str(o, "rn_ctx_end is missing. Made at\n");
        rn__out_frames(o, known, lost[i].record->pc, lost[i].record->calls, true);
    }
    rn__pool_free(&pool);
}
