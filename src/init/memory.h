/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* Memory of process 1: a sandbox that waits has as little as can be, a blank what its first command needs. */

/* Gives back the whole pages of @size bytes at @start; what is in them is zeros then. */
void memory_give_back(void *start, size_t size);

/* Has the pages of these bytes there. */
void memory_touch(void *from, size_t size);
/* Has the kernel remember what most commands look up in the image first. */
void memory_look_up_usual(void);
