/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* What an image has in the user's home folder, which each sandbox has for itself: an archive that a new session's home
 * is filled with. */

#define HOME_BYTES_MAX (64 * MIB)
#define HOME_ENTRIES_MAX 10000U

/* Writes the archive to @fd, an empty file, which stays empty when there is no more than what every new user gets
 * (.profile and the like). Returns 0, -EFBIG when it is more than fits the bounds, or -errno. Does not report. */
int home_pack(int root_fd, int fd);
