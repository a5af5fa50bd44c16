/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "image/tree.h"

/* What an image has besides the files of packages: folders to mount on, links in the root, the few files of /etc that
 * every program expects. Nothing in it tells one host from another. Call it when the packages' files are there.
 * @ret_failed: the path that failed. Returns 0 or -errno. */
int skeleton_make(TreeWriter *w, const Source *source, const char **ret_failed);

/* Makes the cache of the dynamic linker of the tree at @path; without it every start of a program is slower, so a
 * failure is no reason to do without the image. Returns 0 or -errno. */
int skeleton_link_cache(TreeWriter *w, const char *path);
