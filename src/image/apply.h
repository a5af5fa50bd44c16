/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "image/plan.h"
#include "image/tree.h"

/* Puts the layers of an image on top of each other, as one tree of files. */

#define APPLY_DEPTH_MAX 200U /* folders within folders: whoever removes them again has a descriptor for each */

typedef struct Apply {
        TreeWriter *writer; /* borrowed */
        uint64_t bytes_max;
        uint64_t entries_max;

        uint64_t bytes;     /* of regular files, those that a later layer replaced included */
        uint64_t entries;   /* of archives */
        uint64_t n_special; /* devices, FIFOs and sockets, left out */
        uint64_t n_setid;   /* files that had set-id bits */
} Apply;

/* One layer after the other, the lowest first. Reports. */
int apply_layers(Apply *a, const Bundle *b, const Plan *plan);

/* What a file of an archive may be to others than the owner of all of the image: what it would have been to the user of
 * the sandbox, who can change nothing. */
mode_t apply_mode(mode_t mode, int64_t uid, int64_t gid, bool folder);
