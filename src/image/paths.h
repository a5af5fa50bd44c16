/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "image/packages.h"
#include "image/source.h"
#include "image/strings.h"

/* The paths an image takes from its source: relative, without links in their folders, sorted, each once. The
 * characters are owned by the array: strings_done_all(). */

/* Does an image take what packages have at this path ("usr/bin/sh")? */
bool path_is_wanted(const char *path);

/* All of the chosen packages, what their installation has made of them (alternatives, links between them,
 * compiled python files) and certificates. Reports. */
int paths_collect(const PackageDb *db, Source *source, Strings *ret);

/* The steps of it, for tests. Return 0 or -ENOMEM. */
int paths_add_links(Strings *paths, Source *source, const char *folder);
int paths_add_compiled(Strings *paths, const Source *source);
