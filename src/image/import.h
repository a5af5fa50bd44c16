/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <signal.h>

#include "image/owner.h"

/* Makes an image out of what other programs wrote. */

typedef struct ImportOptions {
        const char *images; /* the folder of images */
        const char *name;   /* or NULL: as it is called where it comes from */
        const char *wanted; /* which of several, or NULL */
        Owner owner;
        bool owner_given;
        uint64_t bytes_max;
        uint64_t files_max;
        const volatile sig_atomic_t *stop;
} ImportOptions;

#define IMPORT_BYTES_MAX (16 * GIB)
#define IMPORT_FILES_MAX UINT64_C(500000)

#define IMPORT_WORK_NAME "import" /* of what has no name yet; no reference becomes this folder */

/* @path: a tar file, compressed or not, or a folder. Prints what it made. Reports. */
int import_run(const ImportOptions *o, const char *path);
