/* SPDX-License-Identifier: MIT */
/*
 * text.c - see text.h.
 *
 * Nothing here calls libc: tools intercept that, and reports are made while it may be in any state.
 */
#include "base/text.h"

/* The bytes of the character that begins with c, 0: none does; *ret_bits: those that are its own. */
static size_t length_of(unsigned char c, uint32_t *ret_bits)
{
    *ret_bits = c < 0x80 ? c : c < 0xe0 ? c & 0x1f : c < 0xf0 ? c & 0xf : c & 7;
    return c < 0x80 ? 1 : c < 0xc0 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf8 ? 4 : 0;
}

/* The bytes of the character at s, 0: there is none. */
static size_t decode(const char *s, uint32_t *ret_code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* by length: below is overlong */
    uint32_t code;
    size_t n = length_of((unsigned char)s[0], &code);

    for (size_t i = 1; i < n; i++) {
        unsigned char c = (unsigned char)s[i]; /* the end is none that follows */

        if ((c & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (c & 0x3f);
    }
    *ret_code = code;
    return code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : n;
}

static bool is_shown(uint32_t code)
{
    return code >= 0x20 && !(code >= 0x7f && code < 0xa0) && code != 0xfffe && code != 0xffff;
}

size_t rn__text_next(const char **at, char *to)
{
    volatile char *t = to; /* so that no compiler makes a call of memcpy */
    const char *s = *at;
    uint32_t code;
    size_t n = decode(s, &code);

    *at = s + (n ? n : 1);
    if (!n || !is_shown(code)) {
        *t = '?';
        return 1;
    }
    for (size_t i = 0; i < n; i++)
        t[i] = s[i];
    return n;
}

void rn__text_copy(char *to, size_t room, const char *from)
{
    volatile char *t = to, *end = t + room - 1;
    char c[4];

    while (*from) {
        size_t n = rn__text_next(&from, c);

        if (n > (size_t)(end - t))
            break;
        for (size_t i = 0; i < n; i++)
            *t++ = c[i];
    }
    *t = 0;
}
