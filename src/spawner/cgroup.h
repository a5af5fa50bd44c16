/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "spec/limits.h"

/*
 * The delegated part of the cgroup tree (cgroups(7), version 2): a leaf "slot-N" for each sandbox beside the folder
 * "supervisor" with the spawner itself. Leaves are kept and used again, since making one costs more than all the rest
 * of a sandbox; their limits are written only when they differ.
 */

typedef struct CgroupTree {
        int fd;           /* owned; O_PATH folder of the tree, -EBADF: no cgroups at all */
        bool limits;      /* memory, cpu and pids controllers are all there */
        char missing[64]; /* names of those that are not */
        char path[512];   /* of the folder */
} CgroupTree;

#define CGROUP_TREE_INIT                                                                                               \
        { .fd = -EBADF }

/* Takes the calling process's own cgroup as the tree: moves it into "supervisor", enables the controllers, removes
 * leaves of a former run. Returns 0 or -errno. */
int cgroup_tree_open(CgroupTree *t);

/* For running without a service manager: makes the tree "sandboxd-@name" below the process's own cgroup and gives it to
 * @uid and @gid; removes those that workers which have ended left there. Returns 0 or -errno, -EADDRINUSE when another
 * one has this name: its sandboxes would be killed. */
int cgroup_tree_make(CgroupTree *t, const char *name, uid_t uid, gid_t gid);

/* For a program that follows another in the same process: takes the tree as it is. Returns 0 or -errno. */
int cgroup_tree_reopen(CgroupTree *t);

void cgroup_tree_close(CgroupTree *t);

/* Makes the leaf if needed and writes those of its limits that differ from @now (NULL: none are written yet).
 * Returns an O_PATH descriptor (owned by the caller) or -errno. */
int cgroup_leaf_open(const CgroupTree *t, unsigned slot, const Limits *limits, const Limits *now);

/* Stops all processes in it where they are, or lets them go on. What they have of the page cache is given back, by a
 * process of its own since that may take a while. Returns 0 or -errno. */
int cgroup_leaf_freeze(const CgroupTree *t, unsigned slot, bool freeze);

/* Removes it; it has to be empty. */
int cgroup_leaf_remove(const CgroupTree *t, unsigned slot);
