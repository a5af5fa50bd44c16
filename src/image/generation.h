/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* The images folder as one name of it sees it:
 *   NAME -> NAME-<n>         a link, changed in one step
 *   NAME-<n>/rootfs          the n-th image made, with NAME-<n>/manifest or config.json
 *   .NAME.XXXXXX             one in the making, locked (flock) by whoever makes it
 *   .gone-NAME-<n>           one that was removed while sandboxes ran from it
 * The folder is locked (flock) as long as the struct lives, or until generations_unlock(). A sandbox may still run from
 * an image that is not the current one, or begin to: so the one before the current is kept. */
#define GENERATION_GONE ".gone-"
typedef struct Generations {
        char *path;       /* owned: the folder */
        char *name;       /* owned */
        int fd;           /* owned: the folder, locked */
        unsigned current; /* 0: none */
        unsigned newest;  /* highest number in use */

        char *work;  /* owned: name of the one in the making, or NULL */
        int work_fd; /* owned */
} Generations;

/* Removes what is in the making, unless it was published. */
void generations_done(Generations *g);

/* May there be an image of this name? Lower case letters, digits and "-", not ending like a number of ours. */
bool generation_name_is_valid(const char *name);

/* Opens and locks the folder, removes what a killed run left behind and what is older than the one before the
 * current; @look: unless a sandbox is seen to use it. Reports. Returns 1 when NAME is not ours: an administrator's folder, or a link to another place. */
int generations_open(const char *path, const char *name, bool look, Generations *ret);

/* The text of the current manifest; -ENOENT when there is none or no root folder. Does not report. */
int generations_read_manifest(const Generations *g, char **ret);

/* Makes an empty folder to build in. Reports. */
int generations_begin(Generations *g);

/* For the time that it takes to build, so that others need not wait. */
void generations_unlock(Generations *g);

/* What was built with @from is @g's from here on, to be published under its name. */
void generations_take_over(Generations *g, Generations *from);

/* Takes NAME and all its generations away. Sandboxes that run from one go on: its files stay until nobody does, and
 * generations_drop_gone() meets them. Reports. */
int generations_remove(Generations *g, bool *ret_in_use);

/* Removes what was taken away under any name and is not in use any more. */
void generations_drop_gone(const Generations *g);

/* Writes the file @name of a generation's folder in one step. Does not report. */
int generation_write(int folder_fd, const char *name, const char *text);
int generations_open_current(const Generations *g);

/* Makes what was built the current one, on disk before it can be seen. Reports. */
int generations_publish(Generations *g);
