/* SPDX-License-Identifier: MIT */
/*
 * dice.h - chance from a seed, which is not 0: xorshift (G. Marsaglia, "Xorshift RNGs", 2003).
 */
#ifndef TESTS_DICE_H
#define TESTS_DICE_H

#include <stdint.h>

struct dice {
    uint64_t state;
};

static inline uint32_t roll(struct dice *d, uint32_t sides)
{
    d->state ^= d->state << 13;
    d->state ^= d->state >> 7;
    d->state ^= d->state << 17;
    return (uint32_t)((d->state >> 20) % sides);
}

#endif
