/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* Copies @text into @buf so that no terminal and no log reader can be fooled: control characters (C0, DEL, C1) and
 * bytes that are no UTF-8 become \n, \t, \r or \xNN. What does not fit is cut at a character and ends in "...".
 * @size: of @buf, NUL included, at least 8. Returns the length. */
size_t escape_text(const char *text, char *buf, size_t size);
