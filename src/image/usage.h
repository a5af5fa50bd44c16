/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* Which images sandboxes run from: the mounts of all processes tell, whoever made them. */

/* Does a sandbox run from the folder @folder ("NAME-<n>")? Returns 1, 0, or -errno where it cannot be told, as where
 * /proc does not show the processes of others. */
int usage_find(const char *folder);

/* The same for a text of the form of /proc/PID/mountinfo. */
bool usage_in_text(const char *text, const char *folder);
