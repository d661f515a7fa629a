/* SPDX-License-Identifier: MIT */
/*
 * call.h - system calls of src/os: the result, or the negative errno, read at once. Begun again after a signal.
 */
#ifndef RN_SRC_OS_CALL_H
#define RN_SRC_OS_CALL_H

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline long call_result(long r)
{
    return r < 0 ? -errno : r;
}

#define CALL(...)                                                                                  \
    __extension__({                                                                                \
        long r_;                                                                                   \
        do                                                                                         \
            r_ = call_result(syscall(__VA_ARGS__));                                                \
        while (r_ == -EINTR);                                                                      \
        r_;                                                                                        \
    })

#endif
