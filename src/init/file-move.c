/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/file-delete.h"
#include "init/file-place.h"
#include "init/file.h"
#include "init/tree.h"

/* The places that can be written to are mounts of their own, between which nothing can be renamed: it is copied then,
 * and what was there goes when the copy is complete. */

/* mkdir PATH MODE */
int builtin_mkdir(int argc, char **argv) {
        bool made = false;
        struct stat st;

        if (argc != 3)
                return EINVAL;
        _cleanup_fd_ int fd = file_open_folder(AT_FDCWD, argv[1], true, &made);
        if (fd < 0)
                return fd == -ENOTDIR ? EEXIST : -fd;
        if (made && fchmodat(fd, ".", (mode_t) strtoul(argv[2], NULL, 8) & 0777, 0) < 0)
                return errno;
        if (fstat(fd, &st) < 0)
                return errno;
        int r = file_send_node(&st, made ? FILE_WAS_CREATED : 0, "", "");
        return r < 0 ? -r : -file_flush();
}

static int set_time(int folder, const char *name, const struct stat *st) {
        struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, st->st_mtim };

        return utimensat(folder, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int copy_bytes(int from, int to) {
        ssize_t n;

        do
                n = copy_file_range(from, NULL, to, NULL, 16 * MIB, 0);
        while (n > 0);
        return n < 0 ? -errno : 0;
}

static int copy_regular(int from, const char *from_name, int to, const char *to_name, bool new) {
        _cleanup_place_ Place p = PLACE_EMPTY;
        struct stat st;

        _cleanup_fd_ int fd = file_open_regular(from, from_name, &st);
        if (fd < 0)
                return fd;
        int r = place_open(&p, to, to_name);
        if (r == 0)
                r = copy_bytes(fd, p.fd);
        if (r == 0)
                r = place_commit(&p, st.st_mode & 07777, new);
        return r < 0 ? r : set_time(to, to_name, &st);
}

static int copy_link(int from, const char *from_name, const struct stat *st, int to, const char *to_name) {
        char target[FILE_PATH_MAX];
        ssize_t n = readlinkat(from, from_name, target, sizeof target - 1);

        if (n < 0)
                return -errno;
        target[n] = '\0';
        if (symlinkat(target, to, to_name) < 0)
                return -errno;
        return set_time(to, to_name, st);
}

/* Everything but a folder. */
static int copy_entry(int from, const char *from_name, const struct stat *st, int to, const char *to_name, bool new) {
        if (S_ISREG(st->st_mode))
                return copy_regular(from, from_name, to, to_name, new);
        if (!new &&unlinkat(to, to_name, 0) < 0 && errno != ENOENT)
                return -errno;
        if (S_ISLNK(st->st_mode))
                return copy_link(from, from_name, st, to, to_name);
        if (S_ISFIFO(st->st_mode))
                return mknodat(to, to_name, S_IFIFO | (st->st_mode & 0777), 0) < 0 ? -errno : 0;
        return -FILE_ERROR_NOT_REGULAR;
}

typedef struct Copy {
        int to; /* the folder that the copies of entries go to */
} Copy;

/* Is called for folders before what they contain, so that what is left, is left to the folder that it lies in. */
static int visit(Tree *t, TreeStep step, void *userdata) {
        Copy *c = userdata;

        if (step == TREE_UNREADABLE)
                return t->error;
        if (step == TREE_LEAVE) {
                struct stat st;
                int up = openat(c->to, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (up < 0)
                        return -errno;
                (void) fd_close(c->to);
                c->to = up;
                /* what was written to it has changed its time; its mode may forbid writing */
                if (fstatat(t->folder, t->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        return errno == ENOENT ? 0 : -errno;
                if (fchmodat(up, t->name, st.st_mode & 07777, 0) < 0)
                        return -errno;
                return set_time(up, t->name, &st);
        }
        if (!S_ISDIR(t->st.st_mode))
                return copy_entry(t->folder, t->name, &t->st, c->to, t->name, true);
        if (mkdirat(c->to, t->name, 0700) < 0)
                return -errno;
        int fd = openat(c->to, t->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        (void) fd_close(c->to);
        c->to = fd;
        return 0;
}

/* Copies to a name that is not in use, under another one until it is complete. */
static int copy_tree(int from, const char *from_name, const struct stat *st, int to, const char *to_name) {
        char temporary[32];
        uint64_t n;

        (void) snprintf(temporary, sizeof temporary, ".new-folder-%d-%lx", (int) getpid(), (long) st->st_ino);
        _cleanup_fd_ int source = openat(from, from_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (source < 0 || mkdirat(to, temporary, 0700) < 0)
                return -errno;
        Copy c = { .to = openat(to, temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) };
        int r = c.to < 0 ? -errno : tree_walk(source, visit, &c);
        (void) fd_close(c.to);
        if (r == 0 && fchmodat(to, temporary, st->st_mode & 07777, 0) < 0)
                r = -errno;
        if (r == 0)
                r = set_time(to, temporary, st);
        /* as rename(2): takes the place of an empty folder */
        if (r == 0 && renameat(to, temporary, to, to_name) < 0)
                r = -errno;
        if (r < 0)
                (void) file_delete_tree(to, temporary, &n);
        return r;
}

static int copy_and_delete(int from, const char *from_name, int to, const char *to_name, bool replace) {
        struct stat st, there;
        uint64_t n;

        if (fstatat(from, from_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (fstatat(to, to_name, &there, AT_SYMLINK_NOFOLLOW) == 0) {
                if (!replace)
                        return -EEXIST;
                if (S_ISDIR(st.st_mode) != S_ISDIR(there.st_mode))
                        return S_ISDIR(there.st_mode) ? -FILE_ERROR_IS_FOLDER : -ENOTDIR;
        }
        if (S_ISDIR(st.st_mode)) {
                int r = copy_tree(from, from_name, &st, to, to_name);
                return r < 0 ? r : file_delete_tree(from, from_name, &n);
        }
        int r = copy_entry(from, from_name, &st, to, to_name, !replace);
        if (r == 0 && unlinkat(from, from_name, 0) < 0)
                r = -errno;
        return r;
}

/* move FROM TO replace|keep */
int builtin_move(int argc, char **argv) {
        _cleanup_fd_ int from = -EBADF, to = -EBADF;
        const char *from_name, *to_name;
        struct stat st;

        if (argc != 4)
                return EINVAL;
        bool replace = strcmp(argv[3], "replace") == 0;
        from = file_open_parent(AT_FDCWD, argv[1], false, &from_name);
        if (from < 0)
                return -from;
        if (fstatat(from, from_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno;
        to = file_open_parent(AT_FDCWD, argv[2], true, &to_name);
        if (to < 0)
                return -to;

        int r = renameat2(from, from_name, to, to_name, replace ? 0 : RENAME_NOREPLACE) < 0 ? -errno : 0;
        if (r == -EXDEV)
                r = copy_and_delete(from, from_name, to, to_name, replace);
        if (r == 0 && fstatat(to, to_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                r = -errno;
        if (r == 0)
                r = file_send_entry(to, to_name, &st, "");
        return r < 0 ? -r : -file_flush();
}
