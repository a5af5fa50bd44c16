/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/file.h"
#include "init/tree.h"

#define PIECE (1024U * 1024U)

typedef struct Pack {
        uint64_t n;
} Pack;

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

static int pack_regular(Tree *t) {
        struct stat st;

        _cleanup_fd_ int fd = file_open_regular(t->folder, t->name, &st);
        if (fd < 0)
                return fd == -EMFILE || fd == -ENOMEM ? fd : 0; /* left out, as what tar may not read */
        int r = file_send_node(&st, 0, t->path, "");
        if (r == 0 && st.st_size > FILE_SMALL)
                r = file_flush();
        return r < 0 ? r : send_contents(fd, (uint64_t) st.st_size);
}

static int visit(Tree *t, TreeStep step, void *userdata) {
        Pack *p = userdata;

        if (step != TREE_ENTRY)
                return 0;
        p->n++;
        if (S_ISREG(t->st.st_mode))
                return pack_regular(t);
        return file_send_entry(t->folder, t->name, &t->st, t->path);
}

/* pack PATH */
int builtin_pack(int argc, char **argv) {
        Pack p = { 0 };
        struct stat st;

        if (argc != 2)
                return EINVAL;
        _cleanup_fd_ int fd = file_open(AT_FDCWD, argv[1], O_RDONLY | O_DIRECTORY | O_NONBLOCK);
        if (fd < 0)
                return -fd;
        if (fstat(fd, &st) < 0)
                return errno;
        int r = file_send_node(&st, 0, "", "");
        if (r == 0)
                r = tree_walk(fd, visit, &p);
        if (r == 0)
                r = file_send_end(p.n, 0);
        return -r;
}
