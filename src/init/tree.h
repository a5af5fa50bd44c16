/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/stat.h>

#include "spec/file.h"

/* Goes through a folder and what lies below it. Every step is taken from a folder that is held open, and never through
 * a symbolic link: what is renamed or replaced meanwhile leads nowhere else. */

typedef enum TreeStep {
        TREE_ENTRY,      /* a file of any kind; folders before what they contain */
        TREE_LEAVE,      /* a folder, after what it contains */
        TREE_UNREADABLE, /* a folder that may not be looked into: after its ENTRY */
} TreeStep;

typedef struct Tree {
        char path[FILE_PATH_MAX]; /* of the entry, relative to where it began */
        unsigned depth;           /* 1: directly in that folder */
        int folder;               /* borrowed: that the entry lies in */
        const char *name;         /* in it */
        struct stat st;           /* of it, not followed */
        int error;                /* of TREE_UNREADABLE, negative */
        struct TreeLevel *levels;
} Tree;

/* Returns 0 to go on, TREE_SKIP (from ENTRY) to stay out of a folder, TREE_AGAIN (from LEAVE) to go through it once
 * more, or -errno to end it all. */
typedef int TreeVisit(Tree *t, TreeStep step, void *userdata);
#define TREE_SKIP 1
#define TREE_AGAIN 2

/* @folder: borrowed, opened for reading. Returns 0 or -errno: what @visit returned, -ENAMETOOLONG when it is deeper or
 * a path longer than can be. */
int tree_walk(int folder, TreeVisit *visit, void *userdata);
