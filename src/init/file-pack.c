/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/file.h"
#include "init/tree.h"

#define PIECE (1024U * 1024U)

#define NAMES_MAX 4

typedef struct Pack {
        uint64_t n;
        const char *folder; /* what all names begin with, or "" */
        char name[2 * FILE_PATH_MAX];
} Pack;

/* The name that the entry gets. */
static const char *full_name(Pack *p, const Tree *t) {
        if (!p->folder[0])
                return t->path;
        (void) snprintf(p->name, sizeof p->name, "%s/%s", p->folder, t->path);
        return strlen(p->name) < FILE_PATH_MAX ? p->name : NULL;
}

/* Exactly @length bytes, whatever becomes of the file meanwhile: they are announced. */
static int send_contents(int fd, uint64_t length) {
        uint64_t left = length;

        while (left > 0 && length > FILE_SMALL) {
                ssize_t n = splice(fd, NULL, STDOUT_FILENO, NULL, MIN(left, (uint64_t) PIECE), 0);
                if (n < 0 && errno == EPIPE)
                        return -errno;
                if (n <= 0)
                        break;
                left -= (uint64_t) n;
        }
        while (left > 0) {
                char buf[4096] = { 0 };
                ssize_t n = read(fd, buf, MIN(left, (uint64_t) sizeof buf));
                size_t size = n > 0 ? (size_t) n : MIN(left, (uint64_t) sizeof buf); /* zeros for what is gone */
                int r = file_send_bytes(buf, size);
                if (r < 0)
                        return r;
                left -= size;
        }
        return file_send_bytes("\0\0\0\0\0\0\0", -length & 7);
}

static int pack_regular(Tree *t, const char *name) {
        struct stat st;

        _cleanup_fd_ int fd = file_open_regular(t->folder, t->name, &st);
        if (fd < 0)
                return fd == -EMFILE || fd == -ENOMEM ? fd : 0; /* left out, as what tar may not read */
        int r = file_send_node(&st, 0, name, "");
        if (r == 0 && st.st_size > FILE_SMALL)
                r = file_flush();
        return r < 0 ? r : send_contents(fd, (uint64_t) st.st_size);
}

static int visit(Tree *t, TreeStep step, void *userdata) {
        Pack *p = userdata;

        if (step != TREE_ENTRY)
                return 0;
        const char *name = full_name(p, t);
        if (!name)
                return -ENAMETOOLONG;
        p->n++;
        if (S_ISREG(t->st.st_mode))
                return pack_regular(t, name);
        return file_send_entry(t->folder, t->name, &t->st, name);
}

static int pack_folder(Pack *p, int root, const char *path, const char *name) {
        struct stat st;

        _cleanup_fd_ int fd = file_open(root, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        p->folder = name;
        int r = file_send_node(&st, 0, name, "");
        return r == 0 ? tree_walk(fd, visit, p) : r;
}

/* pack PATH [NAME...] */
int builtin_pack(int argc, char **argv) {
        static Pack p;
        int r = 0;

        if (argc < 2 || argc > 2 + NAMES_MAX)
                return EINVAL;
        if (argc == 2)
                r = pack_folder(&p, AT_FDCWD, argv[1], "");
        else {
                _cleanup_fd_ int root = file_open(AT_FDCWD, argv[1], O_PATH | O_DIRECTORY);
                if (root < 0)
                        return -root;
                for (int i = 2; i < argc && r == 0; i++)
                        r = pack_folder(&p, root, argv[i], argv[i]);
        }
        if (r == 0)
                r = file_send_end(p.n, 0);
        return -r;
}
