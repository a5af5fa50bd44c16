/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dirent.h>
#include <limits.h>

#include "base/macro.h"

/* The system that files are taken from: "/" or the root folder of another one. All paths are relative to it,
 * without a leading "/", and links in it are followed as if it were the root. */
typedef struct Source {
        int fd;                  /* owned */
        char root[PATH_MAX];     /* as the kernel names it, without a final "/": "" for the root itself */
        char folder[PATH_MAX];   /* last question of source_resolve() ... */
        char resolved[PATH_MAX]; /* ... and its answer */
} Source;

void source_done(Source *s);

/* Reports. */
int source_open(const char *root, Source *ret);

static inline void closedir_p(DIR **d) {
        if (*d)
                (void) closedir(*d);
}

/* Returns an O_PATH descriptor of a folder, or -errno. */
int source_open_folder(const Source *s, const char *folder);

/* The path of a folder with no link in it, valid until the next call. Returns 0 or -errno. */
int source_resolve(Source *s, const char *folder, const char **ret);

/* Writes the same place, with no link in its folder ("bin/sh" gives "usr/bin/sh"), to @buf. An absolute path is
 * taken as one of the source. Returns 0 or -errno. */
int source_locate(Source *s, const char *path, char buf[static PATH_MAX]);
