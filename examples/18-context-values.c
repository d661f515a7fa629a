/* SPDX-License-Identifier: MIT */
/*
 * Contexts: values. What belongs to a request and passes through layers that know nothing of it
 * (its id, its user, its trace) can travel in the context. A key is the address of an object of
 * yours, so two modules never collide; hide it behind two functions with types. Parameters of a
 * function belong in its parameter list, not here.
 */
#include <runnel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char request_id_key; /* never read; not const, as equal constants may be merged */
static char user_key;

struct user {
    char name[16];
};

static rn_ctx *with_request_id(rn_ctx *parent, const char *id)
{
    return rn_ctx_with_value(parent, &request_id_key, id); /* borrowed: id must outlive it */
}

static const char *request_id(const rn_ctx *ctx)
{
    const char *id = rn_ctx_value(ctx, &request_id_key);

    return id ? id : "none";
}

/* An owned value is handed to free when the context's memory goes. */
static rn_ctx *with_user(rn_ctx *parent, const char *name)
{
    struct user *user = calloc(1, sizeof *user);

    if (!user)
        rn_panic("out of memory");
    strncpy(user->name, name, sizeof user->name - 1);
    return rn_ctx_with_owned_value(parent, &user_key, user, free);
}

static void handle(rn_ctx *ctx, char *line, size_t size)
{
    const struct user *user = rn_ctx_value(ctx, &user_key);

    snprintf(line, size, "request %s by %s", request_id(ctx), user ? user->name : "nobody");
}

static int program(void)
{
    char lines[3][64];
    rn_wg wg = {0};
    rn_ctx *root = rn_ctx_background();
    rn_ctx *a = with_request_id(root, "abc123");
    rn_ctx *b = with_user(a, "ada");
    rn_ctx *c = with_request_id(b, "def456"); /* hides the outer one from here downward */

    rn_wg_go(&wg, handle, a, &lines[0][0], sizeof lines[0]);
    rn_wg_go(&wg, handle, b, &lines[1][0], sizeof lines[1]);
    rn_wg_go(&wg, handle, c, &lines[2][0], sizeof lines[2]);
    rn_wg_wait(&wg);
    for (int i = 0; i < 3; i++)
        puts(lines[i]);
    printf("request %s\n", request_id(root));

    rn_ctx_end(c); /* children first, or last: a child keeps its parent's memory */
    rn_ctx_end(b);
    rn_ctx_end(a);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
