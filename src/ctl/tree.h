/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* A folder on this machine as a tar archive, made or unpacked by a process of its own while a call passes the bytes on.
 */
typedef struct TreeChild {
        pid_t pid;
        int fd; /* owned: to read the archive from, or to write it to */
} TreeChild;

/* @path: the folder, whose contents it is. Return 0 or -errno. */
int tree_pack(const char *path, TreeChild *ret);
int tree_unpack(const char *path, TreeChild *ret);

/* Waits for its end. With @abort it is not to go on. Returns 0, or -EIO when it failed, which it has explained. */
int tree_finish(TreeChild *c, bool abort);
