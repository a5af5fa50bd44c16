/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "image/owner.h"

/* Takes away from this process, which is going to read what strangers wrote, all that it does not need: it becomes the
 * owner of images, sees no file but those below @work_fd and what is open already, has no capability and can start no
 * program. Works for root and for ordinary users. Returns 0 or -errno with @ret_what saying what failed. */
int confine_reader(const Owner *owner, int work_fd, const char **ret_what);
