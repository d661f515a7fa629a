/* SPDX-License-Identifier: MIT */
/* plain.c - the layer without macros, from C. */
#include "plain.h"

int main(void)
{
    return plain_main();
}
