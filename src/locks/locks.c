/* SPDX-License-Identifier: MIT */
/*
 * locks.c - librunnel-locks: which locks of libc's a goroutine has, for RUNNEL_LOCKS.
 *
 * A pthread mutex belongs to the thread that locked it. A goroutine that waits leaves its thread to others, and may go on on
 * another one: who of them locks the mutex waits for the very thread that runs it, and the goroutine unlocks what is not its
 * new thread's. This library stands before libc's functions, by being linked or preloaded, and keeps a list for each
 * thread of what its goroutines have locked and from where; librunnel, which knows who leaves the thread, asks for it.
 *
 * A library of its own, since a program that does not ask for it is not to pay for it; and because nothing else sees the calls
 * of an unmodified program and of the libraries that it uses. Rejected: to look through glibc's mutexes (which of them a thread
 * holds is written down for robust ones only), the linker's --wrap (each program would have to be linked anew, and
 * libraries would be missed), uprobes (root only).
 *
 * Whoever waits for a condition has given its mutex back meanwhile, but as a thread, not as a goroutine, so it stays in the
 * list. What is not seen: calls inside libc, and locks made of something else.
 *
 * The list is in the thread, whose address is taken anew in each call: no call here waits as a goroutine does. It takes no
 * lock and no memory, so it works under whatever malloc, and before anything is initialised.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <threads.h>

#include <runnel/debug.h>

#define REPLACES __attribute__((visibility("default")))

enum { HELD_MAX = 16 }; /* by one thread; more are not looked at */

struct held {
    struct rn__held lock;
    uint64_t id; /* the goroutine */
};
static _Thread_local struct {
    unsigned n;
    struct held held[HELD_MAX];
} mine;

/* The caller is the function that stands before libc's. */
static inline __attribute__((always_inline)) void locked(volatile const void *lock,
                                                         const char *what)
{
    struct held *h;

    if (mine.n == HELD_MAX)
        return;
    h = &mine.held[mine.n];
    h->id = rn__goroutine_calls(__builtin_frame_address(0), h->lock.at, RN__HELD_CALLS);
    if (h->id == 0) /* a thread's own */
        return;
    h->lock.lock = (const void *)(uintptr_t)lock;
    h->lock.what = what;
    mine.n++;
}

static void unlocked(volatile const void *lock)
{
    unsigned i = mine.n;

    while (i > 0 && mine.held[i - 1].lock.lock != (const void *)(uintptr_t)lock)
        i--;
    if (i == 0)
        return;
    for (; i < mine.n; i++)
        mine.held[i - 1] = mine.held[i];
    mine.n--;
}

/* Goroutine id leaves this thread. Returns what it has locked, and forgets it. */
static size_t leave(uint64_t id, struct rn__held *ret, size_t room)
{
    unsigned kept = 0;
    size_t n = 0;

    for (unsigned i = 0; i < mine.n; i++) {
        if (mine.held[i].id != id)
            mine.held[kept++] = mine.held[i];
        else if (n < room)
            ret[n++] = mine.held[i].lock;
    }
    mine.n = kept;
    return n;
}

__attribute__((constructor)) static void begin(void)
{
    rn__set_held(leave);
}

/* libc's function of this name. */
#define REAL(name)                                                                                 \
    __extension__({                                                                                \
        static __typeof__(&(name)) real;                                                           \
        __typeof__(&(name)) to = __atomic_load_n(&real, __ATOMIC_RELAXED);                         \
                                                                                                   \
        if (!to) {                                                                                 \
            *(void **)&to = dlsym(RTLD_NEXT, #name);                                               \
            __atomic_store_n(&real, to, __ATOMIC_RELAXED);                                         \
        }                                                                                          \
        to;                                                                                        \
    })

/* LOCKS(name, type, what): takes one argument, and 0 is success; LOCKS_UNTIL: with a time. */
#define LOCKS(name, type, what)                                                                    \
    REPLACES int name(type *l)                                                                     \
    {                                                                                              \
        int result = REAL(name)(l);                                                                \
                                                                                                   \
        if (result == 0 || result == EOWNERDEAD)                                                   \
            locked(l, what);                                                                       \
        return result;                                                                             \
    }
#define LOCKS_UNTIL(name, type, what)                                                              \
    REPLACES int name(type *restrict l, const struct timespec *restrict t)                         \
    {                                                                                              \
        int result = REAL(name)(l, t);                                                             \
                                                                                                   \
        if (result == 0 || result == EOWNERDEAD)                                                   \
            locked(l, what);                                                                       \
        return result;                                                                             \
    }
#define LOCKS_UNTIL_CLOCK(name, type, what)                                                        \
    REPLACES int name(type *restrict l, clockid_t clock, const struct timespec *restrict t)        \
    {                                                                                              \
        int result = REAL(name)(l, clock, t);                                                      \
                                                                                                   \
        if (result == 0 || result == EOWNERDEAD)                                                   \
            locked(l, what);                                                                       \
        return result;                                                                             \
    }
/* Out of the list first: after it the lock may be gone, or another thread's. */
#define UNLOCKS(name, type)                                                                        \
    REPLACES int name(type *l)                                                                     \
    {                                                                                              \
        unlocked(l);                                                                               \
        return REAL(name)(l);                                                                      \
    }

static const char mutex[] = "pthread mutex", reading[] = "pthread rwlock, for reading,",
                  writing[] = "pthread rwlock", spin[] = "pthread spin lock", c11[] = "mtx_t",
                  file[] = "FILE";

LOCKS(pthread_mutex_lock, pthread_mutex_t, mutex)
LOCKS(pthread_mutex_trylock, pthread_mutex_t, mutex)
LOCKS_UNTIL(pthread_mutex_timedlock, pthread_mutex_t, mutex)
LOCKS_UNTIL_CLOCK(pthread_mutex_clocklock, pthread_mutex_t, mutex)
UNLOCKS(pthread_mutex_unlock, pthread_mutex_t)

LOCKS(pthread_rwlock_rdlock, pthread_rwlock_t, reading)
LOCKS(pthread_rwlock_tryrdlock, pthread_rwlock_t, reading)
LOCKS_UNTIL(pthread_rwlock_timedrdlock, pthread_rwlock_t, reading)
LOCKS_UNTIL_CLOCK(pthread_rwlock_clockrdlock, pthread_rwlock_t, reading)
LOCKS(pthread_rwlock_wrlock, pthread_rwlock_t, writing)
LOCKS(pthread_rwlock_trywrlock, pthread_rwlock_t, writing)
LOCKS_UNTIL(pthread_rwlock_timedwrlock, pthread_rwlock_t, writing)
LOCKS_UNTIL_CLOCK(pthread_rwlock_clockwrlock, pthread_rwlock_t, writing)
UNLOCKS(pthread_rwlock_unlock, pthread_rwlock_t)

LOCKS(pthread_spin_lock, pthread_spinlock_t volatile, spin)
LOCKS(pthread_spin_trylock, pthread_spinlock_t volatile, spin)
UNLOCKS(pthread_spin_unlock, pthread_spinlock_t volatile)

_Static_assert(thrd_success == 0, "as the others'");
LOCKS(mtx_lock, mtx_t, c11)
LOCKS(mtx_trylock, mtx_t, c11)
LOCKS_UNTIL(mtx_timedlock, mtx_t, c11)
UNLOCKS(mtx_unlock, mtx_t)

LOCKS(ftrylockfile, FILE, file)
REPLACES void flockfile(FILE *f)
{
    REAL(flockfile)(f);
    locked(f, file);
}
REPLACES void funlockfile(FILE *f)
{
    unlocked(f);
    REAL(funlockfile)(f);
}
