/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* Deletes the folder @name of @folder with all that it contains. Returns 0 or -errno; what was deleted until then is
 * gone. */
int file_delete_tree(int folder, const char *name, uint64_t *ret_n);
