/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/*
 * Landlock: a second wall behind namespaces, mounts and the filter. It knows nothing of them: even a folder that leaked
 * in from outside, a mount that is writable by mistake or a capability that was left opens nothing behind it.
 */

#define LANDLOCK_READS (1U << 0)  /* files are read and executed, folders listed */
#define LANDLOCK_WRITES (1U << 1) /* files that are there are written */
#define LANDLOCK_TREE (1U << 2)   /* files and folders are made, moved and deleted */

typedef struct LandlockPlace {
        const char *path;
        unsigned rights; /* for it and all that is below */
} LandlockPlace;

/* The version of the kernel's interface, or 0 when it has none that serves: the first refuses to move files from one
 * folder to another. */
int landlock_version(void);

/* Makes a set of rules: what no place gives is refused. Returns its descriptor or -errno. */
int landlock_rules(const LandlockPlace *places, size_t n);

/* Puts this process and all that it starts behind them, for good; no_new_privs has to be set. Neither can mount anything
 * any more. Returns 0 or -errno. */
int landlock_enter(int rules);
