/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/file-place.h"
#include "init/file.h"

#define PIECE (1024U * 1024U)
#define LINKS_MAX 16
#define MODE_DEFAULT 0644

/* Opens the folder of the file that is meant: a symbolic link at the end of the path is followed, so that the link
 * stays and the file it leads to is replaced. @path: FILE_PATH_MAX bytes. */
static int find_place(char *path, int *ret_folder, const char **ret_name) {
        char target[FILE_PATH_MAX];
        _cleanup_fd_ int base = AT_FDCWD;

        for (int i = 0; i < LINKS_MAX; i++) {
                if (path[0] != '\0' && path[strlen(path) - 1] == '/')
                        return -FILE_ERROR_IS_FOLDER;
                _cleanup_fd_ int folder = file_open_parent(base, path, true, ret_name);
                if (folder < 0)
                        return folder;
                ssize_t n = readlinkat(folder, *ret_name, target, sizeof target - 1);
                if (n < 0) { /* no link, or nothing at all */
                        *ret_folder = take_fd(folder);
                        return 0;
                }
                target[n] = '\0';
                memcpy(path, target, (size_t) n + 1);
                if (base >= 0)
                        (void) fd_close(base);
                base = take_fd(folder);
        }
        return -ELOOP;
}

/* Is what is there what the client thinks is there? */
static int check_condition(const Place *p, const char *condition) {
        char tag[FILE_TAG_MAX];
        struct stat st;

        if (strcmp(condition, "any") == 0)
                return 0;
        bool there = fstatat(p->folder, p->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
        if (strcmp(condition, "new") == 0)
                return there ? -FILE_ERROR_CONDITION : 0;
        if (!there)
                return -FILE_ERROR_CONDITION;
        (void) snprintf(tag, sizeof tag, "%" PRIx64 "-%" PRIx64 "-%" PRIx64, (uint64_t) st.st_ino,
                (uint64_t) st.st_size, (uint64_t) file_mtime(&st));
        return strcmp(condition, "old") == 0 || strcmp(condition, tag) == 0 ? 0 : -FILE_ERROR_CONDITION;
}

/* Too much is refused before it is sent. */
static int check_room(int folder, const char *length) {
        struct statvfs fs;

        if (strcmp(length, "-") == 0 || fstatvfs(folder, &fs) < 0)
                return 0;
        uint64_t wanted = strtoull(length, NULL, 10), free_blocks = fs.f_bavail;
        return fs.f_blocks > 0 && wanted > 0 && (wanted - 1) / fs.f_frsize >= free_blocks ? -ENOSPC : 0;
}

/* Returns how many bytes came until the end, or -errno. */
static int64_t receive(int fd) {
        const char *bytes;
        int64_t total = 0;
        size_t size;

        if (file_is_served(&bytes, &size)) {
                for (size_t at = 0; at < size;) {
                        ssize_t n = write(fd, bytes + at, size - at);
                        if (n < 0)
                                return -errno;
                        at += (size_t) n;
                }
                return (int64_t) size;
        }

        for (;;) {
                ssize_t n = splice(STDIN_FILENO, NULL, fd, NULL, PIECE, SPLICE_F_MOVE);
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return total;
                total += n;
        }
}

static int write_to(Place *p, const char *length, const char *mode_text, const char *condition) {
        bool new = strcmp(condition, "new") == 0;
        FileCommit commit;
        struct stat st;
        mode_t mode = MODE_DEFAULT;

        int r = check_condition(p, condition);
        if (r == 0)
                r = check_room(p->folder, length);
        if (r < 0)
                return r;
        int64_t total = receive(p->fd);
        if (total < 0)
                return (int) total;
        if (!file_is_served(NULL, NULL)) {
                r = file_receive(STDERR_FILENO, &commit, sizeof commit);
                if (r == 0 && commit.length != (uint64_t) total)
                        r = -FILE_ERROR_ABORTED;
        }
        if (r == 0)
                r = check_condition(p, condition);
        if (r < 0)
                return r;

        if (strcmp(mode_text, "-") != 0)
                mode = (mode_t) strtoul(mode_text, NULL, 8) & 0777;
        else if (p->there && S_ISREG(p->existing.st_mode))
                mode = p->existing.st_mode & 0777;
        r = place_commit(p, mode, new);
        if (r < 0)
                return r == -EEXIST && new ? -FILE_ERROR_CONDITION : r;
        if (fstat(p->fd, &st) < 0)
                return -errno;
        r = file_send_node(&st, p->there ? 0 : FILE_WAS_CREATED, "", "");
        return r < 0 ? r : file_flush();
}

/* write PATH LENGTH MODE CONDITION */
int builtin_write(int argc, char **argv) {
        _cleanup_place_ Place p = PLACE_EMPTY;
        _cleanup_fd_ int folder = -EBADF;
        char path[FILE_PATH_MAX];
        const char *name;

        if (argc != 5 || strlen(argv[1]) >= sizeof path)
                return EINVAL;
        memcpy(path, argv[1], strlen(argv[1]) + 1);
        int r = find_place(path, &folder, &name);
        if (r == 0)
                r = place_open(&p, folder, name);
        if (r == 0)
                r = write_to(&p, argv[2], argv[3], argv[4]);
        return -r;
}
