/* SPDX-License-Identifier: MIT */
/* mem.c - see mem.h. */
#include "base/mem.h"

#include <stdlib.h>

#include "base/fiber.h"

void *rn__mem_new(size_t size)
{
    int saved = errno;
    void *p;

    rn__tool_ignore_writes(true);
    p = malloc(size);
    rn__tool_ignore_writes(false);
    errno = saved;
    return p;
}

void *rn__mem_new_aligned(size_t size, size_t align)
{
    int saved = errno;
    void *p = NULL;

    rn__tool_ignore_writes(true);
    if (posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align, size))
        p = NULL;
    rn__tool_ignore_writes(false);
    errno = saved;
    return p;
}

void *rn__mem_new_zero(size_t size, size_t align)
{
    void *p = rn__mem_new_aligned(size, align);

    rn__tool_ignore_writes(true);
    if (p)
        memset(p, 0, size);
    rn__tool_ignore_writes(false);
    return p;
}

void *rn__mem_resize(void *p, size_t size)
{
    int saved = errno;
    void *q;

    rn__tool_ignore_writes(true);
    q = realloc(p, size);
    rn__tool_ignore_writes(false);
    errno = saved;
    return q;
}

void rn__mem_free(void *p)
{
    rn__tool_ignore_writes(true);
    free(p);
    rn__tool_ignore_writes(false);
}
