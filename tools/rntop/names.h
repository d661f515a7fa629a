/* SPDX-License-Identifier: MIT */
/* names.h - addresses in the process that is looked at, as text. */
#ifndef RNTOP_NAMES_H
#define RNTOP_NAMES_H

#include <stdbool.h>
#include <stdint.h>

/* library: the address of a function of the library's. */
void names_begin(int pid, uint64_t library);
/* The process may have loaded more: what was not known is asked for again. Once per view. */
void names_refresh(void);
/* "function at file:line", as much of it as is known. is_call: pc is a return address. Valid for good. */
const char *names_at(uint64_t pc, bool is_call);
/* Is the return address pc in a function of the library's, in a program linked with librunnel.a? By its name, and by where
 * its source is. */
bool names_is_library(uint64_t pc);

#endif
