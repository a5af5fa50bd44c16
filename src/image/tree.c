/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/tree.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

void tree_writer_done(TreeWriter *w) {
        w->folder_fd = fd_close(w->folder_fd);
        w->folder[0] = '\0';
}

/* Opens the folder @name of @parent_fd, made if it is missing. @path: the same from the root. */
static int folder_enter(TreeWriter *w, int parent_fd, const char *name, const char *path, mode_t mode) {
        const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
        _cleanup_fd_ int fd = openat(parent_fd, name, flags);

        if (fd < 0 && (errno == ENOTDIR || errno == ELOOP) && w->obstacle) {
                int r = w->obstacle(w, parent_fd, name, path);
                if (r < 0)
                        return r;
                errno = ENOENT;
        }
        if (fd < 0 && errno == ENOENT) {
                if (mkdirat(parent_fd, name, 0700) < 0)
                        return -errno;
                fd = openat(parent_fd, name, flags);
                /* the mode last: changing the owner takes bits away */
                if (fd >= 0 && (fchown(fd, w->uid, w->gid) < 0 || fchmod(fd, mode) < 0))
                        return -errno;
        }
        return fd < 0 ? -errno : take_fd(fd);
}

/* The part of @path that begins at @start. Returns its length or -errno. */
static ssize_t take_part(const char *path, size_t start, size_t end, char name[static PATH_MAX]) {
        size_t n = MIN((size_t) (strchrnul(path + start, '/') - (path + start)), end - start);

        *(char *) mempcpy(name, path + start, n) = '\0';
        return n == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ? -EINVAL : (ssize_t) n;
}

/* Makes the folder at the first @length bytes of @path the current one. */
static int folder_select(TreeWriter *w, const char *path, size_t length) {
        char name[PATH_MAX], prefix[PATH_MAX];
        _cleanup_fd_ int fd = -EBADF;

        if (length >= PATH_MAX)
                return -ENAMETOOLONG;
        if (w->folder_fd >= 0 && strlen(w->folder) == length && memcmp(w->folder, path, length) == 0)
                return 0;

        fd = openat(w->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        for (size_t i = 0; i < length;) {
                ssize_t n = take_part(path, i, length, name);
                if (n < 0)
                        return (int) n;
                i += (size_t) n;
                *(char *) mempcpy(prefix, path, i) = '\0';
                i++;

                int next = folder_enter(w, fd, name, prefix, 0755);
                if (next < 0)
                        return next;
                (void) close(fd);
                fd = next;
        }

        tree_writer_done(w);
        *(char *) mempcpy(w->folder, path, length) = '\0';
        w->folder_fd = take_fd(fd);
        return 0;
}

/* Makes the folder of @path the current one. */
static int parent_select(TreeWriter *w, const char *path, const char **ret_name) {
        const char *slash = strrchr(path, '/');

        *ret_name = slash ? slash + 1 : path;
        return folder_select(w, path, slash ? (size_t) (slash - path) : 0);
}

int tree_enter_parent(TreeWriter *w, const char *path, const char **ret_name) {
        int r = parent_select(w, path, ret_name);

        return r < 0 ? r : w->folder_fd;
}

int tree_open_parent(const TreeWriter *w, const char *path, const char **ret_name) {
        const char *slash = strrchr(path, '/');
        size_t length = slash ? (size_t) (slash - path) : 0;
        char name[PATH_MAX];
        _cleanup_fd_ int fd = openat(w->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (length >= PATH_MAX)
                return -ENAMETOOLONG;
        if (fd < 0)
                return -errno;
        for (size_t i = 0; i < length; i++) {
                ssize_t n = take_part(path, i, length, name);
                if (n < 0)
                        return (int) n;
                i += (size_t) n;
                int next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (next < 0)
                        return errno == ELOOP ? -ENOTDIR : -errno;
                (void) close(fd);
                fd = next;
        }
        *ret_name = slash ? slash + 1 : path;
        return take_fd(fd);
}

int tree_folder(TreeWriter *w, const char *path, mode_t mode) {
        const char *name;
        int r = parent_select(w, path, &name);

        if (r < 0)
                return r;
        _cleanup_fd_ int fd = folder_enter(w, w->folder_fd, name, path, mode);
        return fd < 0 ? fd : 0;
}

int tree_link(TreeWriter *w, const char *path, const char *target) {
        const char *name;
        int r = parent_select(w, path, &name);

        if (r < 0)
                return r;
        if (symlinkat(target, w->folder_fd, name) < 0 ||
                fchownat(w->folder_fd, name, w->uid, w->gid, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        return 0;
}

/* A new file: never one that is there already. */
static int file_create(const TreeWriter *w, const char *name, mode_t mode) {
        _cleanup_fd_ int fd =
                openat(w->folder_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);

        if (fd < 0 || fchown(fd, w->uid, w->gid) < 0 || fchmod(fd, mode) < 0)
                return -errno;
        return take_fd(fd);
}

int tree_create(TreeWriter *w, const char *path, mode_t mode) {
        const char *name;
        int r = parent_select(w, path, &name);

        if (r < 0)
                return r;
        int fd = file_create(w, name, mode);
        if (fd >= 0)
                w->n_files++;
        return fd;
}

int tree_hard_link(TreeWriter *w, const char *path, const char *existing) {
        const char *name, *old;
        struct stat st;

        _cleanup_fd_ int from = tree_open_parent(w, existing, &old);
        if (from < 0)
                return from;
        if (fstatat(from, old, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
                return -ENOTDIR;
        int r = parent_select(w, path, &name);
        if (r < 0)
                return r;
        return linkat(from, old, w->folder_fd, name, 0) < 0 ? -errno : 0;
}

int tree_write(int fd, const char *data, size_t n) {
        while (n > 0) {
                ssize_t written = write(fd, data, n);

                if (written < 0)
                        return -errno;
                data += written;
                n -= (size_t) written;
        }
        return 0;
}

int tree_file(TreeWriter *w, const char *path, const char *text) {
        const char *name;
        int r = parent_select(w, path, &name);

        if (r < 0)
                return r;
        _cleanup_fd_ int fd = file_create(w, name, 0644);
        if (fd < 0)
                return fd;
        r = tree_write(fd, text, strlen(text));
        if (r < 0)
                return r;
        w->n_files++;
        w->bytes += strlen(text);
        return 0;
}

static int copy_by_hand(int from, int to) {
        static char buffer[256 * KIB];

        for (;;) {
                ssize_t n = read(from, buffer, sizeof buffer);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : 0;
                int r = tree_write(to, buffer, (size_t) n);
                if (r < 0)
                        return r;
        }
}

/* The kernel copies, or shares extents where the file system can: inodes and page cache are still two. */
static int copy_data(TreeWriter *w, int from, int to, off_t size) {
        off_t done = 0;

        while (!w->no_clone && done < size) {
                ssize_t n = copy_file_range(from, NULL, to, NULL, (size_t) (size - done), 0);

                if (n > 0) {
                        done += n;
                        continue;
                }
                if (n == 0)
                        break; /* shorter than it was, or of a file system that cannot */
                if (errno == EINTR)
                        continue;
                if (errno != EXDEV && errno != ENOSYS && errno != EOPNOTSUPP && errno != EINVAL && errno != EPERM)
                        return -errno;
                w->no_clone = true;
        }
        return done < size ? copy_by_hand(from, to) : 0;
}

static int copy_file(TreeWriter *w, int source_fd, const char *name, const struct stat *st) {
        /* O_NONBLOCK: does not hang on a pipe that takes the file's place meanwhile */
        _cleanup_fd_ int from = openat(source_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        const struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, st->st_mtim };

        if (from < 0) {
                if (errno != EACCES && errno != EPERM)
                        return -errno;
                w->n_unreadable++;
                return 0;
        }
        _cleanup_fd_ int to = file_create(w, name, st->st_mode & 0111 ? 0755 : 0644);
        if (to < 0)
                return to;
        int r = copy_data(w, from, to, st->st_size);
        if (r < 0)
                return r;
        /* python compares it with what compiled files say */
        if (futimens(to, times) < 0)
                return -errno;
        w->n_files++;
        w->bytes += (uint64_t) st->st_size;
        return 0;
}

static int copy_link(TreeWriter *w, int source_fd, const char *name, const char *path) {
        char target[PATH_MAX];
        ssize_t n = readlinkat(source_fd, name, target, sizeof target - 1);

        if (n < 0)
                return -errno;
        target[n] = '\0';
        return tree_link(w, path, target);
}

static bool is_compiled(const char *name) {
        size_t n = strlen(name);

        return n > 4 && strcmp(name + n - 4, ".pyc") == 0;
}

/* @source_fd: the folder of @path in the source. */
static int copy_entry(TreeWriter *w, int source_fd, const char *path) {
        struct stat st;
        const char *name;

        int r = parent_select(w, path, &name);
        if (r < 0)
                return r;
        if (fstatat(source_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;

        if (S_ISLNK(st.st_mode))
                return copy_link(w, source_fd, name, path);
        if (S_ISDIR(st.st_mode))
                return tree_folder(w, path, 0755);
        if (!S_ISREG(st.st_mode))
                return 0;
        /* No sandbox sees what users of the host cannot; a compiled file only says what its source does, and
         * got its mode from the umask of whoever installed it. */
        if (!(st.st_mode & S_IROTH) && !is_compiled(name)) {
                w->n_unreadable++;
                return 0;
        }
        return copy_file(w, source_fd, name, &st);
}

static int source_folder_of(const Source *source, const char *path, char folder[static PATH_MAX]) {
        const char *slash = strrchr(path, '/');
        size_t n = slash ? (size_t) (slash - path) : 0;

        if (n >= PATH_MAX)
                return -ENAMETOOLONG;
        *(char *) mempcpy(folder, path, n) = '\0';
        return source_open_folder(source, folder);
}

int tree_copy(TreeWriter *w, const Source *source, const char *path) {
        const char *failed;

        return tree_copy_all(w, source, &(Strings){ .items = (char *[]){ (char *) path }, .n = 1 }, &failed);
}

int tree_copy_all(TreeWriter *w, const Source *source, const Strings *paths, const char **ret_failed) {
        char folder[PATH_MAX] = "";
        _cleanup_fd_ int fd = -EBADF;

        for (size_t i = 0; i < paths->n; i++) {
                const char *path = paths->items[i], *slash = strrchr(path, '/');
                size_t n = slash ? (size_t) (slash - path) : 0;
                int r = 0;

                if (w->stop && *w->stop)
                        r = -EINTR;
                else if (fd < 0 || strlen(folder) != n || memcmp(folder, path, n) != 0) {
                        (void) fd_close(fd);
                        fd = r = source_folder_of(source, path, folder);
                        if (r == -ENOENT || r == -EACCES || r == -ENOTDIR)
                                continue;
                }
                if (r >= 0)
                        r = copy_entry(w, fd, path);
                if (r < 0) {
                        *ret_failed = path;
                        return r;
                }
        }
        return 0;
}

int tree_remove(int parent_fd, const char *name) {
        if (unlinkat(parent_fd, name, 0) == 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR && errno != EPERM)
                return -errno;

        int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        int r = tree_empty(fd);
        if (r < 0)
                return r;
        return unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

int tree_empty(int fd) {
        DIR *d = fdopendir(fd);
        struct dirent *entry;
        int r = 0;

        if (!d) {
                r = -errno;
                (void) close(fd);
                return r;
        }
        while ((entry = readdir(d))) {
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                int k = tree_remove(dirfd(d), entry->d_name);
                if (k < 0)
                        r = k; /* the rest can go all the same */
        }
        (void) closedir(d);
        return r;
}
