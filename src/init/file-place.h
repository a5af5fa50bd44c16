/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/stat.h>

#include "base/macro.h"

/* A new file that takes its name only when it is complete: before that it has none, or one that nobody expects, and
 * goes away with its process where the file system can do that. */
typedef struct Place {
        int folder;           /* borrowed */
        const char *name;     /* borrowed */
        int fd;               /* owned: to be written to */
        char temporary[32];   /* its name meanwhile, or "" */
        bool there;           /* the name is in use: */
        struct stat existing; /* by this, not followed */
} Place;

#define PLACE_EMPTY                                                                                                    \
        { .folder = -EBADF, .fd = -EBADF }

/* Returns 0 or -errno: -FILE_ERROR_IS_FOLDER, -FILE_ERROR_NOT_REGULAR when the name is in use by such. */
int place_open(Place *p, int folder, const char *name);

/* Gives it its mode and its name. @new: fails with -EEXIST when the name is in use. */
int place_commit(Place *p, mode_t mode, bool new);

/* Gives it up unless it was committed. */
void place_close(Place *p);
#define _cleanup_place_ _cleanup_(place_close)
