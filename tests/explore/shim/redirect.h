/* SPDX-License-Identifier: MIT */
/* redirect.h - included before everything else in the library's sources: memory and threads are the explorer's. */
#ifndef RN_TESTS_EXPLORE_REDIRECT_H
#define RN_TESTS_EXPLORE_REDIRECT_H

#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

void *explore_malloc(size_t size);
int explore_memalign(void **ret_p, size_t align, size_t size);
void *explore_realloc(void *p, size_t size);
void explore_free(void *p);
int explore_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attr, void *(*fn)(void *),
                           void *arg);
int explore_pthread_join(pthread_t thread, void **ret);
int explore_pthread_detach(pthread_t thread);
pthread_t explore_pthread_self(void);
int *explore_errno(void);
int explore_pthread_once(pthread_once_t *once, void (*fn)(void));

#undef errno
#define errno (*explore_errno())
#define malloc(n) explore_malloc(n)
#define posix_memalign(p, align, n) explore_memalign(p, align, n)
#define realloc(p, n) explore_realloc(p, n)
#define free(p) explore_free(p)
#define pthread_create(t, a, f, x) explore_pthread_create(t, a, f, x)
#define pthread_join(t, r) explore_pthread_join(t, r)
#define pthread_detach(t) explore_pthread_detach(t)
#define pthread_self() explore_pthread_self()
#define pthread_once(o, f) explore_pthread_once(o, f)
#define pthread_setspecific(k, v) ((void)(k), (void)(v))

#endif
