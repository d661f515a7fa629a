/* SPDX-License-Identifier: MIT */
/*
 * err.c - messages that travel with error codes (decision 31).
 *
 * A goroutine keeps the last messages that it attached, one per code, in a few slots allocated when it first
 * attaches one; the slot used longest ago makes room. A code without a slot has its standard text.
 */
#define _GNU_SOURCE
#include <runnel/err.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "sched/sched.h"

void rn__errors_free(struct g *g);
RN__API int *rn__errno(void); /* <runnel/errno.h> */

enum { SLOTS = 4 };

struct error_slots {
    struct rn_error slot[SLOTS]; /* newest first */
    char unknown[32];            /* the text of a code that has none */
};

void rn__errors_free(struct g *g)
{
    rn__mem_free(g->errors);
    g->errors = NULL;
}

static void attach(int code, const char *text)
{
    struct g *g = rn__self();
    struct error_slots *s = g->errors;
    int i;

    if (!s) {
        s = g->errors = rn__mem_new_zero(sizeof *s, 16);
        if (!s)
            return;
    }
    for (i = 0; i < SLOTS - 1; i++)
        if (s->slot[i].code == code || s->slot[i].code == 0)
            break;
    for (; i > 0; i--)
        rn__copy(&s->slot[i], &s->slot[i - 1], sizeof s->slot[i]);
    s->slot[0].code = code;
    snprintf(s->slot[0].text, sizeof s->slot[0].text, "%s", text);
}

/* Forget what is attached to code: it comes from elsewhere now, without a message. */
static void detach(int code)
{
    struct g *g = rn__self();

    for (int i = 0; g->errors && i < SLOTS; i++)
        if (g->errors->slot[i].code == code)
            g->errors->slot[i].text[0] = 0;
}

#undef rn_errorf /* base.h, for the analyzer */
int rn_errorf(int code, const char *fmt, ...)
{
    char text[sizeof((struct rn_error *)0)->text];
    va_list args;

    if (code >= 0)
        return code;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args); /* rn_errmsg may be among the arguments */
    va_end(args);
    attach(code, text);
    return code;
}

const char *rn_errmsg(int code)
{
    struct g *g = rn__self();
    const char *text;

    if (code >= 0)
        return "no error";
    for (int i = 0; g->errors && i < SLOTS; i++)
        if (g->errors->slot[i].code == code && g->errors->slot[i].text[0])
            return g->errors->slot[i].text;
    text = strerrordesc_np(code == INT32_MIN ? 0 : -code);
    if (text)
        return text;
    if (!g->errors)
        g->errors = rn__mem_new_zero(sizeof *g->errors, 16);
    if (!g->errors)
        return "unknown error";
    snprintf(g->errors->unknown, sizeof g->errors->unknown, "unknown error %d", code);
    return g->errors->unknown;
}

rn_error rn_error_of(int code)
{
    rn_error e = {.code = code < 0 ? code : 0};
    struct g *g = rn__self();

    for (int i = 0; code < 0 && g->errors && i < SLOTS; i++)
        if (g->errors->slot[i].code == code)
            snprintf(e.text, sizeof e.text, "%s", g->errors->slot[i].text);
    return e;
}

int rn_error_raise(const rn_error *e)
{
    if (!e || e->code >= 0)
        return 0;
    if (e->text[0])
        attach(e->code, e->text);
    else
        detach(e->code);
    return e->code;
}

__attribute__((noinline)) int *rn__errno(void)
{
    int *at = &errno;

    __asm__ volatile("" : "+r"(at));
    return at;
}
