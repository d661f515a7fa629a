/* SPDX-License-Identifier: MIT */
/*
 * errno.h - errno that is right after a goroutine moved to another thread.
 *
 * glibc lets compilers compute errno's address once per function; a goroutine that waits in between
 * may come back on another thread and then read the wrong one. The runtime carries the value across
 * every wait; include this header to get the address anew at each use too.
 */
#ifndef RUNNEL_ERRNO_H
#define RUNNEL_ERRNO_H

#include <errno.h>
#include <runnel/base.h>

RN__BEGIN
RN__API int *rn__errno(void);
RN__END

#undef errno
#define errno (*rn__errno())

#endif
