/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <limits.h>
#include <signal.h>

#include "image/source.h"
#include "image/strings.h"

typedef struct TreeWriter TreeWriter;

/* Something that is no folder is in the way of one: @name in the folder @parent_fd, at @path. Returns 0 when it has
 * gone, or -errno. */
typedef int TreeObstacle(TreeWriter *w, int parent_fd, const char *name, const char *path);

/* Writes a tree of files below one folder. No link in the tree is ever followed. All files belong to one owner, have
 * inodes of their own, no set-id bits, no capabilities and no extended attributes; everybody may read them and nobody
 * but the owner write. */
struct TreeWriter {
        int root_fd; /* borrowed */
        uid_t uid;
        gid_t gid;
        const volatile sig_atomic_t *stop; /* ends a copy with -EINTR when it becomes set; may be NULL */

        int folder_fd;         /* owned: the folder written last ... */
        char folder[PATH_MAX]; /* ... and its path */
        bool no_clone;         /* the kernel cannot copy between these two file systems */

        size_t n_files; /* regular ones */
        size_t n_unreadable;
        uint64_t bytes;

        TreeObstacle *obstacle; /* NULL: it is an error */
};

/* Also to be called when folders were moved or removed: it can be used again. */
void tree_writer_done(TreeWriter *w);

/* All return 0 or -errno; paths are relative, without links, "." or "..". Folders above are made as needed. */
int tree_folder(TreeWriter *w, const char *path, mode_t mode);
int tree_link(TreeWriter *w, const char *path, const char *target);
int tree_file(TreeWriter *w, const char *path, const char *text);
/* Another name for the regular file, or the link, @existing. -ENOENT or -ENOTDIR when there is none. */
int tree_hard_link(TreeWriter *w, const char *path, const char *existing);
/* Returns the descriptor of a new, empty file, to be filled by the caller. */
int tree_create(TreeWriter *w, const char *path, mode_t mode);
/* Opens the folder that @path lies in, which has to be there; @ret_name: what follows. Returns a descriptor of the
 * caller's. */
int tree_open_parent(const TreeWriter *w, const char *path, const char **ret_name);
/* The same, borrowed, made as needed; valid until the next call. */
int tree_enter_parent(TreeWriter *w, const char *path, const char **ret_name);

/* Copies @path of @source to the same place. What is not there, or neither a regular file, a link nor a folder, or
 * not readable by all users of the host, is left out. */
int tree_copy(TreeWriter *w, const Source *source, const char *path);

/* Copies all of them, sorted so that neighbours share their folder. @ret_failed: the path that failed. */
int tree_copy_all(TreeWriter *w, const Source *source, const Strings *paths, const char **ret_failed);

/* Writes all of it to a file that is open. */
int tree_write(int fd, const char *data, size_t n);

/* Removes the entry @name of a folder and all below it, if it is there. */
int tree_remove(int parent_fd, const char *name);

/* Removes all in the folder @fd, which is taken. */
int tree_empty(int fd);
