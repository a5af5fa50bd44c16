/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/file-delete.h"
#include "init/file.h"
#include "init/tree.h"

#define PASSES_MAX 16 /* through one folder, where someone keeps adding to it */

typedef struct Deletion {
        uint64_t n;
        unsigned passes;
} Deletion;

static int visit(Tree *t, TreeStep step, void *userdata) {
        Deletion *d = userdata;

        if (step == TREE_UNREADABLE)
                return t->error;
        if (step == TREE_ENTRY && S_ISDIR(t->st.st_mode))
                return 0;
        if (unlinkat(t->folder, t->name, step == TREE_LEAVE ? AT_REMOVEDIR : 0) == 0) {
                d->n++;
                d->passes = 0;
                return 0;
        }
        if (step == TREE_LEAVE && errno == ENOTEMPTY && d->passes++ < PASSES_MAX)
                return TREE_AGAIN;
        return errno == ENOENT ? 0 : -errno;
}

int file_delete_tree(int folder, const char *name, uint64_t *ret_n) {
        Deletion d = { 0 };
        int r = 0;

        for (int i = 0; r == 0 && i < PASSES_MAX; i++) {
                if (unlinkat(folder, name, AT_REMOVEDIR) == 0) {
                        *ret_n = d.n + 1;
                        return 0;
                }
                if (errno != ENOTEMPTY && errno != EEXIST)
                        return -errno;
                _cleanup_fd_ int fd =
                        openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
                if (fd < 0)
                        return -errno;
                r = tree_walk(fd, visit, &d);
        }
        return r < 0 ? r : -ENOTEMPTY;
}

/* delete PATH one|tree */
int builtin_delete(int argc, char **argv) {
        _cleanup_fd_ int folder = -EBADF;
        const char *name;
        struct stat st;
        uint64_t n = 1;
        int r = 0;

        if (argc != 3)
                return EINVAL;
        bool tree = strcmp(argv[2], "tree") == 0;
        if (tree && file_is_served(NULL, NULL))
                return FILE_ERROR_LARGE;
        folder = file_open_parent(AT_FDCWD, argv[1], false, &name);
        if (folder < 0)
                return -folder;
        if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno;
        if (!S_ISDIR(st.st_mode))
                r = unlinkat(folder, name, 0) < 0 ? -errno : 0;
        else if (tree)
                r = file_delete_tree(folder, name, &n);
        else
                r = unlinkat(folder, name, AT_REMOVEDIR) < 0 ? -errno : 0;
        return r < 0 ? -r : -file_send_end(n, 0);
}
