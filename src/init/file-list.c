/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/file.h"
#include "init/tree.h"

typedef struct List {
        uint64_t n, limit, depth;
        uint32_t flags;
} List;

static int visit(Tree *t, TreeStep step, void *userdata) {
        List *l = userdata;

        if (step == TREE_LEAVE)
                return 0;
        if (step == TREE_UNREADABLE) { /* told already as what it is */
                l->flags |= FILE_UNREADABLE;
                return 0;
        }
        if (l->n == l->limit) {
                l->flags |= FILE_TRUNCATED;
                return -ERANGE;
        }
        l->n++;
        int r = file_send_entry(t->folder, t->name, &t->st, t->path);
        return r < 0 ? r : t->depth >= l->depth ? TREE_SKIP : 0;
}

/* list PATH DEPTH LIMIT */
int builtin_list(int argc, char **argv) {
        List l = { 0 };
        struct stat st;

        if (argc != 4)
                return EINVAL;
        l.depth = strtoull(argv[2], NULL, 10);
        l.limit = strtoull(argv[3], NULL, 10);
        _cleanup_fd_ int fd = file_open(AT_FDCWD, argv[1], O_RDONLY | O_DIRECTORY | O_NONBLOCK);
        if (fd < 0)
                return -fd;
        if (fstat(fd, &st) < 0)
                return errno;
        int r = file_send_node(&st, 0, "", "");
        if (r == 0)
                r = tree_walk(fd, visit, &l);
        if (r == -ERANGE)
                r = 0;
        if (r == 0)
                r = file_send_end(l.n, l.flags);
        return -r;
}
