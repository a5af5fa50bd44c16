/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Hash tables. Without memory for one, or for a bigger one, the header would end the process: with this an element is
 * just not added, and whoever adds asks whether it was. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define HASH_HAS(hh, element) ((element)->hh.tbl != NULL)
