/* SPDX-License-Identifier: MIT */
/*
 * text.h - text of the program's as reports show it.
 *
 * Names and labels are whatever the program says, perhaps a stranger's words, and go to terminals, to JSON, HTML and XML. So
 * they are UTF-8, without what controls a terminal or ends a line, and without what XML forbids: control characters (U+0000
 * to U+001F, U+007F to U+009F) and U+FFFE and U+FFFF are shown as '?', and so is each byte that is no part of a character of
 * UTF-8 (an overlong form, a surrogate, one beyond U+10FFFF among them).
 */
#ifndef RN_SRC_TEXT_H
#define RN_SRC_TEXT_H

#include "base/base.h"

/* Write the character at *at, not its end, to to as it is shown; *at is then behind it. Returns its bytes, 1 to 4. */
size_t rn__text_next(const char **at, char *to);

/* Copy from as it is shown, and an end, to room bytes; a character that does not fit is left out, as is what follows it. */
void rn__text_copy(char *to, size_t room, const char *from);

#endif
