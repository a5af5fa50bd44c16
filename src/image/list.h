/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "image/strings.h"

/* Which packages an image is made of: one entry a line, "#" starts a comment.
 *   name     must be installed
 *   a|b      the first of them that is installed
 *   ?name    taken when it is installed
 *   !pattern never taken as a dependency, nor what only it needs (shell pattern)
 */
typedef struct PackageList {
        char *path;     /* owned, for messages */
        char *text;     /* owned, the entries point into it */
        Strings wanted; /* with the leading "?" */
        Strings stops;  /* without the "!" */
} PackageList;

void package_list_done(PackageList *l);

/* Reads and checks the file. Reports failures, with the line; -EINVAL when it is not of the form. */
int package_list_read(const char *path, PackageList *ret);

/* Takes over @text. */
int package_list_parse(const char *path, char *text, PackageList *ret);

bool package_list_stops(const PackageList *l, const char *name);
