/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/generation.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/manifest.h"
#include "image/report.h"
#include "image/strings.h"
#include "image/tree.h"
#include "image/usage.h"

#define NAME_LENGTH_MAX 64U /* of names that are given by hand */
#define FOLDER_LENGTH_MAX 112U
#define WORK_SUFFIX_LENGTH 6U
#define MANIFEST_SIZE_MAX (4 * MIB)

void generations_done(Generations *g) {
        g->work_fd = fd_close(g->work_fd);
        if (g->work)
                (void) tree_remove(g->fd, g->work); /* else the next run does */
        free(g->work);
        free(g->name);
        free(g->path);
        g->fd = fd_close(g->fd);
        *g = (Generations){ .fd = -EBADF, .work_fd = -EBADF };
}

/* The number of "NAME-<n>", or 0. */
static unsigned number_of(const char *name, const char *entry) {
        size_t n = strlen(name);
        char *end;

        if (strncmp(entry, name, n) != 0 || entry[n] != '-' || entry[n + 1] < '1' || entry[n + 1] > '9')
                return 0;
        errno = 0;
        unsigned long number = strtoul(entry + n + 1, &end, 10);
        return *end == '\0' && errno == 0 && number < UINT_MAX ? (unsigned) number : 0;
}

static bool is_work(const char *name, const char *entry) {
        size_t n = strlen(name);

        return entry[0] == '.' && strncmp(entry + 1, name, n) == 0 && entry[1 + n] == '.' &&
               strlen(entry) == 1 + n + 1 + WORK_SUFFIX_LENGTH;
}

bool generation_name_is_valid(const char *name) {
        size_t n = strlen(name), digits = 0;

        if (n == 0 || n > NAME_LENGTH_MAX || name[0] == '-' ||
                name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-")])
                return false;
        while (digits < n && isdigit((unsigned char) name[n - 1 - digits]))
                digits++;
        return digits == 0 || digits == n || name[n - 1 - digits] != '-';
}

/* Sets g->current. Returns 1 when NAME is not ours. */
static int find_current(Generations *g) {
        char target[NAME_MAX + 1];
        ssize_t n = readlinkat(g->fd, g->name, target, sizeof target);

        if (n < 0)
                return errno == ENOENT ? 0 : errno == EINVAL ? 1 : -errno;
        if ((size_t) n == sizeof target)
                return 1;
        target[n] = '\0';
        g->current = number_of(g->name, target);
        return g->current == 0;
}

/* The number of ".gone-NAME-<n>", or 0. */
static unsigned gone_number_of(const char *name, const char *entry) {
        return strncmp(entry, GENERATION_GONE, strlen(GENERATION_GONE)) == 0
                       ? number_of(name, entry + strlen(GENERATION_GONE))
                       : 0;
}

/* Is somebody still at work in it? Its lock goes with the process that has it. */
static bool is_at_work(const Generations *g, const char *entry) {
        _cleanup_fd_ int fd = openat(g->fd, entry, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/* Sets g->newest, removes what nobody needs. */
static int tidy(Generations *g, bool look) {
        int fd = openat(g->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(closedir_p) DIR *d = fd < 0 ? NULL : fdopendir(fd);
        unsigned before = 0, number;
        struct dirent *entry;

        if (!d)
                return -errno;
        g->newest = g->current;
        while ((entry = readdir(d))) {
                number = number_of(g->name, entry->d_name);
                g->newest = MAX(g->newest, MAX(number, gone_number_of(g->name, entry->d_name)));
                if (number < g->current)
                        before = MAX(before, number);
                if (is_work(g->name, entry->d_name) && !is_at_work(g, entry->d_name)) {
                        int r = tree_remove(g->fd, entry->d_name);
                        if (r < 0)
                                return r;
                }
        }
        rewinddir(d);
        while ((entry = readdir(d))) {
                number = number_of(g->name, entry->d_name);
                if (number > 0 && number < before && !(look && usage_find(entry->d_name) > 0))
                        (void) tree_remove(g->fd, entry->d_name); /* a remainder is met again by the next run */
        }
        return 0;
}

void generations_drop_gone(const Generations *g) {
        int fd = openat(g->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(closedir_p) DIR *d = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;

        while (d && (entry = readdir(d)))
                if (strncmp(entry->d_name, GENERATION_GONE, strlen(GENERATION_GONE)) == 0 &&
                        usage_find(entry->d_name + strlen(GENERATION_GONE)) == 0)
                        (void) tree_remove(g->fd, entry->d_name); /* a remainder is met again by the next run */
}

int generations_remove(Generations *g, bool *ret_in_use) {
        int fd = openat(g->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(closedir_p) DIR *d = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;

        *ret_in_use = false;
        if (!d)
                return report_write(errno, g->path);
        /* no sandbox begins in it from here on ... */
        if (unlinkat(g->fd, g->name, 0) < 0)
                return report_write(errno, g->path);
        while ((entry = readdir(d))) {
                char gone[sizeof GENERATION_GONE + NAME_MAX];
                if (number_of(g->name, entry->d_name) == 0)
                        continue;
                (void) snprintf(gone, sizeof gone, GENERATION_GONE "%s", entry->d_name);
                if (renameat(g->fd, entry->d_name, g->fd, gone) < 0)
                        return report_write(errno, g->path);
                /* ... not even one that was on its way: it is in the list of mounts, or fails */
                if (usage_find(entry->d_name) != 0)
                        *ret_in_use = true;
        }
        generations_drop_gone(g);
        return 0;
}

int generations_open(const char *path, const char *name, bool look, Generations *ret) {
        _cleanup_(generations_done) Generations g = { .fd = -EBADF, .work_fd = -EBADF };

        g.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (g.fd < 0 && (errno == ENOENT || errno == ENOTDIR))
                return report(errno,
                        "%s: there is no such folder: make it with 'mkdir -p %s', or give another with "
                        "--images",
                        path, path);
        if (g.fd < 0)
                return report_write(errno, path);
        g.path = strdup(path);
        g.name = strdup(name);
        if (!g.path || !g.name)
                return report_memory();
        while (flock(g.fd, LOCK_EX) < 0)
                if (errno != EINTR)
                        return report(errno, "%s: cannot be locked: %s", path, strerror(errno));

        int foreign = find_current(&g);
        if (foreign < 0)
                return report(foreign, "%s/%s: %s", path, name, strerror(-foreign));
        int r = tidy(&g, look);
        if (r < 0)
                return report_write(r, path);
        *ret = g;
        g = (Generations){ .fd = -EBADF, .work_fd = -EBADF };
        return foreign;
}

int generations_open_current(const Generations *g) {
        char path[FOLDER_LENGTH_MAX + 16];

        (void) snprintf(path, sizeof path, "%s-%u", g->name, g->current);
        int fd = openat(g->fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int generations_read_manifest(const Generations *g, char **ret) {
        _cleanup_free_ char *text = NULL;
        struct stat st;

        if (g->current == 0)
                return -ENOENT;
        _cleanup_fd_ int fd = generations_open_current(g);
        if (fd < 0)
                return fd;
        if (fstatat(fd, "rootfs", &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        text = malloc(MANIFEST_SIZE_MAX);
        if (!text)
                return -ENOMEM;
        ssize_t n = file_read(fd, MANIFEST_NAME, text, MANIFEST_SIZE_MAX - 1);
        if (n < 0)
                return (int) n;
        (void) strcpy(text + n, "\n"); /* which file_read() took away */
        *ret = take_ptr(text);
        return 0;
}

int generations_begin(Generations *g) {
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/.%s.XXXXXX", g->path, g->name) < 0)
                return report_memory();
        if (!mkdtemp(path))
                return report_write(errno, g->path);
        g->work = strdup(strrchr(path, '/') + 1);
        if (!g->work) {
                (void) rmdir(path);
                return report_memory();
        }
        g->work_fd = openat(g->fd, g->work, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (g->work_fd < 0 || flock(g->work_fd, LOCK_EX | LOCK_NB) < 0)
                return report_write(errno, path);
        return 0;
}

void generations_unlock(Generations *g) {
        (void) flock(g->fd, LOCK_UN);
}

void generations_take_over(Generations *g, Generations *from) {
        g->work = take_ptr(from->work);
        g->work_fd = take_fd(from->work_fd);
}

int generation_write(int folder_fd, const char *name, const char *text) {
        char temporary[NAME_MAX];

        (void) snprintf(temporary, sizeof temporary, ".%s", name);
        (void) unlinkat(folder_fd, temporary, 0); /* of a killed run */
        _cleanup_fd_ int fd = openat(folder_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        int r = tree_write(fd, text, strlen(text));
        if (r < 0)
                return r;
        if (fchmod(fd, 0644) < 0 || renameat(folder_fd, temporary, folder_fd, name) < 0)
                return -errno;
        return 0;
}

int generations_publish(Generations *g) {
        char folder[FOLDER_LENGTH_MAX + 16], link[FOLDER_LENGTH_MAX + 16];

        (void) snprintf(folder, sizeof folder, "%s-%u", g->name, g->newest + 1);
        (void) snprintf(link, sizeof link, ".%s.000000", g->name); /* as if in the making: tidied up all the same */

        if (fchmod(g->work_fd, 0755) < 0 || syncfs(g->work_fd) < 0)
                return report_write(errno, g->path);
        if (symlinkat(folder, g->fd, link) < 0)
                return report_write(errno, g->path);
        if (renameat(g->fd, g->work, g->fd, folder) < 0) {
                int r = report_write(errno, g->path);

                (void) unlinkat(g->fd, link, 0);
                return r;
        }
        free(g->work);
        g->work = NULL;
        if (renameat(g->fd, link, g->fd, g->name) < 0) {
                int r = report_write(errno, g->path);

                (void) unlinkat(g->fd, link, 0);
                (void) tree_remove(g->fd, folder);
                return r;
        }
        g->current = ++g->newest;
        return 0;
}
