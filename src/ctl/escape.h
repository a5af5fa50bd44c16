/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* What a user types to leave a terminal that does not answer: "~." at the beginning of a line, as with ssh; "~~" is one
 * "~". */
typedef struct Escape {
        bool line_start, tilde; /* so far */
} Escape;

#define ESCAPE_INIT                                                                                                    \
        { .line_start = true }

/* Writes what is to be passed on to @out, which has room for twice @size. Returns how many bytes; @ret_left: the user
 * wants to leave, what follows is dropped. */
size_t escape_filter(Escape *e, const char *typed, size_t size, char *out, bool *ret_left);
