/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/file-place.h"
#include "init/file.h"

#define IN_SIZE (64U * 1024U)
#define PIECE (1024U * 1024U)
#define FOLDER_MODE_MIN 0700 /* what follows has to be written to it */

/*
 * Makes a tree of files from records. Names have been checked by file_record_check(); symbolic links in the folder,
 * there before or from the same archive, are followed as long as they stay below it: the kernel sees to that.
 */
typedef struct Unpack {
        int root;                   /* borrowed */
        int folder;                 /* owned: the one that the last entry lay in */
        char parent[FILE_PATH_MAX]; /* its path */
} Unpack;

static _Alignas(FileRecord) char in[IN_SIZE];
static size_t in_used, in_taken;

/* --- input --- */

static int fill(void) {
        memmove(in, in + in_taken, in_used - in_taken);
        in_used -= in_taken;
        in_taken = 0;
        ssize_t n = read(STDIN_FILENO, in + in_used, sizeof in - in_used);
        if (n < 0)
                return -errno;
        in_used += (size_t) n;
        return n == 0 ? -FILE_ERROR_ABORTED : 0;
}

static int next_record(FileRecord *ret, char *name, char *target) {
        ssize_t n;

        while ((n = file_record_check(in + in_taken, in_used - in_taken)) == 0) {
                int r = fill();
                if (r < 0)
                        return r;
        }
        if (n < 0)
                return (int) n;
        const FileRecord *r = (const FileRecord *) (const void *) (in + in_taken);
        *ret = *r;
        memcpy(name, file_record_name(r), r->name_length);
        name[r->name_length] = '\0';
        memcpy(target, file_record_target(r), r->target_length);
        target[r->target_length] = '\0';
        in_taken += (size_t) n;
        return 0;
}

static int write_all(int fd, const char *bytes, size_t size) {
        while (size > 0) {
                ssize_t n = write(fd, bytes, size);
                if (n < 0)
                        return -errno;
                bytes += n;
                size -= (size_t) n;
        }
        return 0;
}

/* Takes @length bytes of contents, and their padding, out of the input. */
static int receive_contents(int fd, uint64_t length) {
        uint64_t padding = -length & 7;

        while (length > 0) {
                size_t n = MIN(length, in_used - in_taken);
                int r = write_all(fd, in + in_taken, n);
                if (r < 0)
                        return r;
                in_taken += n;
                length -= n;
                while (length > FILE_SMALL) { /* past the buffer, which is empty now */
                        ssize_t k = splice(STDIN_FILENO, NULL, fd, NULL, MIN(length, (uint64_t) PIECE), SPLICE_F_MOVE);
                        if (k <= 0)
                                return k < 0 ? -errno : -FILE_ERROR_ABORTED;
                        length -= (uint64_t) k;
                }
                if (length > 0 && in_taken == in_used && (r = fill()) < 0)
                        return r;
        }
        while (in_used - in_taken < padding) {
                int r = fill();
                if (r < 0)
                        return r;
        }
        in_taken += padding;
        return 0;
}

/* --- places --- */

static int open_below(int root, const char *path) {
        struct open_how how = {
                .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
        };
        int fd = (int) syscall(SYS_openat2, root, path, &how, sizeof how);

        return fd < 0 ? -errno : fd;
}

/* The same, making what is missing: for an archive that does not name all its folders. */
static int make_below(int root, const char *path) {
        _cleanup_fd_ int parent = -EBADF;
        char prefix[FILE_PATH_MAX];
        int fd = open_below(root, path);

        if (fd != -ENOENT)
                return fd;
        memcpy(prefix, path, strlen(path) + 1);
        for (char *name = prefix, *slash; name; name = slash ? slash + 1 : NULL) {
                slash = strchr(name, '/');
                if (slash)
                        *slash = '\0';
                fd = open_below(root, prefix);
                if (fd == -ENOENT) {
                        if (mkdirat(parent >= 0 ? parent : root, name, 0755) < 0 && errno != EEXIST)
                                return -errno;
                        fd = open_below(root, prefix);
                }
                if (fd < 0)
                        return fd;
                (void) fd_close(parent);
                parent = fd;
                if (slash)
                        *slash = '/';
        }
        return take_fd(parent);
}

/* The folder that @name lies in; the last one is kept, since entries come sorted by folders. @name is cut into pieces.
 */
static int find_folder(Unpack *u, char *name, const char **ret_last) {
        char *slash = strrchr(name, '/');

        *ret_last = slash ? slash + 1 : name;
        if (!slash)
                return u->root;
        *slash = '\0';
        if (u->folder >= 0 && strcmp(u->parent, name) == 0)
                return u->folder;
        u->folder = fd_close(u->folder);
        int fd = make_below(u->root, name);
        if (fd < 0)
                return fd;
        memcpy(u->parent, name, strlen(name) + 1);
        u->folder = fd;
        return fd;
}

static int set_time(int folder, const char *name, int64_t mtime) {
        struct timespec times[2] = {
                { .tv_nsec = UTIME_OMIT },
                { .tv_sec = mtime / 1000000000, .tv_nsec = mtime % 1000000000 },
        };

        if (times[1].tv_nsec < 0) {
                times[1].tv_nsec += 1000000000;
                times[1].tv_sec--;
        }
        return utimensat(folder, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int make_folder(int folder, const char *name, mode_t mode) {
        struct stat st;

        mode = (mode & 0777) | FOLDER_MODE_MIN;
        if (mkdirat(folder, name, mode) == 0)
                return 0;
        if (errno != EEXIST)
                return -errno;
        /* one that is there stays, with what it contains; so does a link to one */
        if (fstatat(folder, name, &st, 0) < 0)
                return errno == ENOENT ? -EEXIST : -errno;
        return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int make_link(int folder, const char *name, const char *target) {
        if (unlinkat(folder, name, 0) < 0 && errno != ENOENT)
                return -errno;
        return symlinkat(target, folder, name) < 0 ? -errno : 0;
}

static int make_hard_link(Unpack *u, int folder, const char *name, char *target) {
        _cleanup_fd_ int there = -EBADF;
        char *slash = strrchr(target, '/');

        if (slash) {
                *slash = '\0';
                there = open_below(u->root, target);
                if (there < 0)
                        return there;
        }
        if (unlinkat(folder, name, 0) < 0 && errno != ENOENT)
                return -errno;
        return linkat(slash ? there : u->root, slash ? slash + 1 : target, folder, name, 0) < 0 ? -errno : 0;
}

static int make_regular(int folder, const char *name, const FileRecord *r) {
        _cleanup_place_ Place p = PLACE_EMPTY;

        int k = place_open(&p, folder, name);
        if (k == 0)
                k = receive_contents(p.fd, r->length);
        if (k == 0)
                k = place_commit(&p, r->mode & 0777, false);
        return k;
}

static int unpack_entry(Unpack *u, const FileRecord *r, char *name, char *target) {
        const char *last;
        int k;

        if (name[0] == '\0')
                return -EBADMSG;
        int folder = find_folder(u, name, &last);
        if (folder < 0)
                return folder;
        if (r->flags & FILE_HARD_LINK)
                return make_hard_link(u, folder, last, target);
        if (S_ISDIR(r->mode))
                return make_folder(folder, last, r->mode);
        if (S_ISREG(r->mode))
                k = make_regular(folder, last, r);
        else if (S_ISLNK(r->mode))
                k = make_link(folder, last, target);
        else
                return -FILE_ERROR_NOT_REGULAR;
        return k < 0 || r->mtime == 0 ? k : set_time(folder, last, r->mtime);
}

/* unpack PATH */
int builtin_unpack(int argc, char **argv) {
        static char name[FILE_PATH_MAX], target[FILE_PATH_MAX];
        Unpack u = { .folder = -EBADF };
        uint64_t n = 0;
        FileRecord r = { 0 };
        bool made;

        if (argc != 2)
                return EINVAL;
        _cleanup_fd_ int root = file_open_folder(AT_FDCWD, argv[1], true, &made);
        if (root < 0)
                return -root;
        u.root = root;
        for (;; n++) {
                int k = next_record(&r, name, target);
                if (k == 0 && r.type == FILE_RECORD_END)
                        return -file_send_end(n, 0);
                if (k == 0)
                        k = r.type == FILE_RECORD_NODE && n < FILE_ENTRIES_MAX ? unpack_entry(&u, &r, name, target)
                                                                               : -EBADMSG;
                if (k < 0)
                        return -k;
        }
}
