/* SPDX-License-Identifier: MIT */
/* spin.h - the real one, but a waiter looks once more before it parks: more only makes runs longer. */
#ifndef RN_TESTS_EXPLORE_SPIN_H
#define RN_TESTS_EXPLORE_SPIN_H

#include_next "sync/spin.h"
#define spin_rounds() 1U
#define spin_round() ((void)0)

#endif
