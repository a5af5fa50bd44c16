/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* Reads the kernel's text files as a sandbox shows them; the sandbox may tell anything. */

/* Names in /proc/net/dev, separated by spaces. New string. */
char *proc_interfaces(const char *dev);

/* Has /proc/net/route any line besides its head? */
bool proc_has_routes(const char *route);

/* The hard limit of a row of /proc/self/limits. 0, -ENOENT (no such row) or -ERANGE (unlimited). */
int proc_limit(const char *limits, const char *row, uint64_t *ret);

/* The mount point of a writable tmpfs without size in /proc/self/mounts, NULL when there is none. New string.
 * @ret_size: the largest size of any writable tmpfs in bytes, 0 when there is none. */
char *proc_unlimited_tmpfs(const char *mounts, uint64_t *ret_size);
