/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* The terminal of the user, without any meaning of its own in what is typed. It is put back as it was by raw_leave()
 * and whenever the program ends by exit(). */

/* Returns 0 or -errno. */
int raw_enter(void);
void raw_leave(void);
bool raw_is_on(void);

/* Rows and columns, 24 and 80 when they are not known. */
void raw_size(unsigned *ret_rows, unsigned *ret_columns);
