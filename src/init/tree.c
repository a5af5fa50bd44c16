/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "init/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

typedef struct DirectoryEntry { /* linux_dirent64 */
        uint64_t inode;
        int64_t offset;
        uint16_t length;
        uint8_t type;
        char name[];
} DirectoryEntry;

typedef struct TreeLevel {
        int fd;
        long at, n; /* of @buf */
        size_t path_length;
        dev_t device;
        _Alignas(DirectoryEntry) char buf[4096];
} TreeLevel;

static bool is_dots(const char *name) {
        return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* Returns 1 with the next entry, 0 at the end of the folder, -errno. */
static int next_entry(TreeLevel *l, const char **ret_name) {
        for (;;) {
                if (l->at == l->n) {
                        l->at = 0;
                        l->n = syscall(SYS_getdents64, l->fd, l->buf, sizeof l->buf);
                        if (l->n <= 0) {
                                int r = l->n < 0 ? -errno : 0;
                                l->n = 0;
                                return r == -ENOENT ? 0 : r; /* the folder has been deleted */
                        }
                }
                const DirectoryEntry *e = (const DirectoryEntry *) (const void *) (l->buf + l->at);
                l->at += e->length;
                if (is_dots(e->name))
                        continue;
                *ret_name = e->name;
                return 1;
        }
}

static int set_path(Tree *t, size_t parent, const char *name) {
        size_t n = strlen(name), slash = parent > 0 ? 1 : 0;

        if (parent + slash + n >= sizeof t->path)
                return -ENAMETOOLONG;
        if (slash)
                t->path[parent] = '/';
        memcpy(t->path + parent + slash, name, n + 1);
        return 0;
}

/* What processes show of themselves is no tree of files. */
static bool is_proc(int fd) {
        struct statfs fs;

        return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

/* Goes into the folder that the entry is. Returns 0, 1 when it is left out, -errno. */
static int enter(Tree *t, TreeVisit *visit, void *userdata) {
        TreeLevel *parent = &t->levels[t->depth - 1], *l = &t->levels[t->depth];
        _cleanup_fd_ int fd = -EBADF;

        if (t->depth == FILE_DEPTH_MAX)
                return -ENAMETOOLONG;
        fd = openat(parent->fd, t->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0) {
                if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
                        return 1; /* it has become something else */
                t->error = -errno;
                int r = visit(t, TREE_UNREADABLE, userdata);
                return r < 0 ? r : 1;
        }
        if (t->st.st_dev != parent->device && is_proc(fd))
                return 1;
        l->fd = take_fd(fd);
        l->at = l->n = 0;
        l->path_length = strlen(t->path);
        l->device = t->st.st_dev;
        t->depth++;
        return 0;
}

/* Comes back from a folder. Returns what the visitor did. */
static int leave(Tree *t, TreeVisit *visit, void *userdata) {
        TreeLevel *l = &t->levels[t->depth - 1];

        t->path[l->path_length] = '\0';
        t->depth--;
        if (t->depth == 0)
                return 0;
        const char *slash = strrchr(t->path, '/');
        t->folder = t->levels[t->depth - 1].fd;
        t->name = slash ? slash + 1 : t->path;
        int r = visit(t, TREE_LEAVE, userdata);
        if (r == TREE_AGAIN) {
                if (lseek(l->fd, 0, SEEK_SET) < 0)
                        return -errno;
                l->at = l->n = 0;
                t->depth++;
                return 0;
        }
        l->fd = fd_close(l->fd);
        return r;
}

static int walk(Tree *t, TreeVisit *visit, void *userdata) {
        while (t->depth > 0) {
                TreeLevel *l = &t->levels[t->depth - 1];
                int r = next_entry(l, &t->name);
                if (r < 0)
                        return r;
                if (r == 0) {
                        r = leave(t, visit, userdata);
                        if (r < 0)
                                return r;
                        continue;
                }
                t->folder = l->fd;
                r = set_path(t, l->path_length, t->name);
                if (r < 0)
                        return r;
                if (fstatat(l->fd, t->name, &t->st, AT_SYMLINK_NOFOLLOW) < 0) {
                        if (errno == ENOENT)
                                continue;
                        return -errno;
                }
                r = visit(t, TREE_ENTRY, userdata);
                if (r == 0 && S_ISDIR(t->st.st_mode))
                        r = enter(t, visit, userdata);
                if (r < 0)
                        return r;
        }
        return 0;
}

int tree_walk(int folder, TreeVisit *visit, void *userdata) {
        static Tree t; /* too large for a stack, and there is one walk at a time in a process */
        size_t size = sizeof(TreeLevel) * FILE_DEPTH_MAX;
        struct stat st;

        if (fstat(folder, &st) < 0)
                return -errno;
        void *levels = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (levels == MAP_FAILED)
                return -errno;
        t = (Tree){ .depth = 1, .levels = levels };
        t.levels[0].device = st.st_dev;
        t.levels[0].fd = fcntl(folder, F_DUPFD_CLOEXEC, 0);
        int r = t.levels[0].fd < 0 ? -errno : walk(&t, visit, userdata);
        while (t.depth > 0) {
                (void) fd_close(t.levels[t.depth - 1].fd);
                t.depth--;
        }
        (void) munmap(levels, size);
        return r;
}
