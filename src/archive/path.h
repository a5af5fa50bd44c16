/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"
#include "spec/file.h"

/* The path of an entry as it is below the folder: without a leading "/", and without "." and empty parts. "" is the
 * folder itself. Returns 0, -EINVAL when it has a ".." part, -ENAMETOOLONG. */
int entry_path(const char *path, char ret[static FILE_PATH_MAX]);
