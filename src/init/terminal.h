/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* Opens a new pair of terminal ends in the sandbox's own devpts. The slave stands for stdin, stdout and stderr; the
 * master is the worker's. Both are owned by the caller. Returns 0 or -errno. */
int terminal_open(uint16_t rows, uint16_t columns, int *ret_master, int *ret_slave);
