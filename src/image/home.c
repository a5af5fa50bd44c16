/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/home.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/source.h"
#include "spec/wire.h"

typedef struct Home {
        struct archive *archive; /* owned */
        uint64_t bytes, entries;
        char path[PATH_MAX];
        char buffer[64 * KIB];
} Home;

static bool is_usual(const char *name) {
        static const char *const usual[] = { ".", "..", ".bashrc", ".profile", ".bash_profile", ".bash_logout" };

        for (size_t i = 0; i < ELEMENTSOF(usual); i++)
                if (strcmp(name, usual[i]) == 0)
                        return true;
        return false;
}

static bool has_more(int fd) {
        int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(closedir_p) DIR *d = again < 0 ? NULL : fdopendir(again);
        struct dirent *entry;

        while (d && (entry = readdir(d)))
                if (!is_usual(entry->d_name))
                        return true;
        return false;
}

static int put_contents(Home *h, int fd, uint64_t size) {
        while (size > 0) {
                ssize_t n = read(fd, h->buffer, MIN(size, sizeof h->buffer));
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                if (archive_write_data(h->archive, h->buffer, (size_t) n) != n)
                        return -archive_errno(h->archive);
                size -= (uint64_t) n;
        }
        return 0;
}

static int put_folder(Home *h, int fd, size_t length);

static int put_entry(Home *h, int folder, const char *name, size_t length) {
        const int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC;
        char target[PATH_MAX];
        struct stat st;

        if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (++h->entries > HOME_ENTRIES_MAX || (S_ISREG(st.st_mode) && (uint64_t) st.st_size > HOME_BYTES_MAX - h->bytes))
                return -EFBIG;
        struct archive_entry *e = archive_entry_new();
        if (!e)
                return -ENOMEM;
        archive_entry_copy_pathname(e, h->path);
        archive_entry_set_mode(e, st.st_mode);
        archive_entry_set_mtime(e, st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
        archive_entry_set_size(e, S_ISREG(st.st_mode) ? st.st_size : 0);
        ssize_t n = S_ISLNK(st.st_mode) ? readlinkat(folder, name, target, sizeof target - 1) : 0;
        if (n > 0) {
                target[n] = '\0';
                archive_entry_copy_symlink(e, target);
        }
        int k = archive_write_header(h->archive, e);
        archive_entry_free(e);
        if (n < 0 || k < ARCHIVE_WARN)
                return n < 0 ? -errno : -archive_errno(h->archive);
        if (S_ISDIR(st.st_mode)) {
                int below = openat(folder, name, flags | O_DIRECTORY);
                return below < 0 ? -errno : put_folder(h, below, length);
        }
        if (!S_ISREG(st.st_mode))
                return 0;
        h->bytes += (uint64_t) st.st_size;
        _cleanup_fd_ int fd = openat(folder, name, flags);
        return fd < 0 ? -errno : put_contents(h, fd, (uint64_t) st.st_size);
}

/* @fd: taken. @length: of h->path, which names it. No deeper than what layers may have. */
static int put_folder(Home *h, int fd, size_t length) {
        _cleanup_(closedir_p) DIR *d = fdopendir(fd);
        struct dirent *entry;
        int r = 0;

        if (!d) {
                r = -errno;
                (void) close(fd);
                return r;
        }
        while (r == 0 && (entry = readdir(d))) {
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                size_t n = strlen(entry->d_name);
                if (length + n + 2 > sizeof h->path)
                        return -ENAMETOOLONG;
                h->path[length] = '/';
                memcpy(h->path + length + 1, entry->d_name, n + 1);
                r = put_entry(h, dirfd(d), entry->d_name, length + 1 + n);
        }
        return r;
}

static int open_home(int root_fd) {
        _cleanup_fd_ int home = openat(root_fd, "home", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return home < 0 ? -ENOENT : openat(home, SANDBOX_USER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int home_pack(int root_fd, int fd) {
        _cleanup_free_ Home *h = calloc(1, sizeof *h);
        _cleanup_fd_ int home = open_home(root_fd);

        if (!h)
                return -ENOMEM;
        if (home < 0 || !has_more(home))
                return 0;
        h->archive = archive_write_new();
        if (!h->archive)
                return -ENOMEM;
        int r = -ENOMEM;
        if (archive_write_set_format_pax_restricted(h->archive) == ARCHIVE_OK &&
                archive_write_open_fd(h->archive, fd) == ARCHIVE_OK) {
                (void) snprintf(h->path, sizeof h->path, "%s", &SANDBOX_HOME[1]);
                r = put_folder(h, take_fd(home), strlen(h->path));
                if (r == 0 && archive_write_close(h->archive) != ARCHIVE_OK)
                        r = -archive_errno(h->archive);
        }
        (void) archive_write_free(h->archive);
        return r;
}
