/* SPDX-License-Identifier: MIT */
/*
 * Defer. rn_defer calls a function when the enclosing block is left, whichever way: by its end, by
 * return, break, continue or goto. What was deferred last is called first. The arguments are
 * evaluated at the rn_defer. Unlike Go's, it belongs to the block, not to the function: in a loop
 * it runs in each turn. It is a declaration, so it needs braces after if and case.
 */
#include <errno.h>
#include <runnel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say(const char *what, int n)
{
    printf("%s %d\n", what, n);
}

static rn_mutex dictionary;

/* Whatever was acquired is given back on every path, without a label in sight. */
static int is_palindrome(const char *text, size_t limit)
{
    size_t length = strlen(text);
    char *reversed = malloc(length + 1);
    rn_defer(free, reversed);
    if (!reversed)
        return -ENOMEM;

    rn_mutex_lock(&dictionary);
    rn_defer(rn_mutex_unlock, &dictionary);
    if (length > limit)
        return rn_errorf(-E2BIG, "%zu letters are too many", length);

    for (size_t i = 0; i < length; i++)
        reversed[i] = text[length - 1 - i];
    reversed[length] = '\0';
    return strcmp(text, reversed) == 0;
}

static int program(void)
{
    int n = 1, err;

    {
        rn_defer(say, "deferred first, called last; n was", n);
        rn_defer(say, "deferred last, called first:", 2);
        n = 99;
        say("in the block", n);
    }
    for (int i = 0; i < 5; i++) {
        rn_defer(say, "leaving turn", i);
        if (i == 0)
            continue;
        if (i == 1)
            break;
    }
    printf("level: %d, lever: %d\n", is_palindrome("level", 10), is_palindrome("lever", 10));
    err = is_palindrome("was it a car or a cat I saw", 10);
    printf("%s\n", rn_errmsg(err));
    return 0;
}

int main(void)
{
    return rn_run(program);
}
