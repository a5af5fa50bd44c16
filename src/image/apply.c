/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/apply.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/path.h"
#include "base/fd.h"
#include "image/layer.h"
#include "image/report.h"

#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"
#define META ".wh..wh." /* what else begins so is about the layer, not in it */
#define TAR_OVERHEAD 2048U /* bytes of heads and padding, for each entry that there may be */

mode_t apply_mode(mode_t mode, int64_t uid, int64_t gid, bool folder) {
        mode_t theirs = uid == SANDBOX_UID ? mode >> 6 : gid == SANDBOX_UID ? mode >> 3 : mode;

        if (folder && (mode & 01777) == 01777)
                return 01777;
        theirs &= 05;
        return (folder ? 0700 : 0600 | (mode & 0100)) | theirs << 3 | theirs;
}

static int refuse(const char *path, int r) {
        switch (r) {
        case -EINVAL:
                return report(r, "\"%.300s\" does not lie below the root: the image is refused", path);
        case -ENAMETOOLONG:
                return report(r, "\"%.100s...\" is longer than a path may be: the image is refused", path);
        default:
                return report_write(r, path);
        }
}

/* Takes away what is at @path, with all that is below it. */
static int make_room(TreeWriter *w, const char *path) {
        const char *name;
        struct stat st;

        int fd = tree_enter_parent(w, path, &name);
        if (fd < 0)
                return fd;
        if (unlinkat(fd, name, 0) == 0 || errno == ENOENT)
                return 0;
        if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
                return -errno;
        int r = tree_remove(fd, name);
        tree_writer_done(w); /* the folder it remembers may have been in there */
        return r;
}

/* Of two layers the upper one counts: a file, or a link, gives way to a folder. */
static int on_obstacle(_unused_ TreeWriter *w, int parent_fd, const char *name, _unused_ const char *path) {
        return unlinkat(parent_fd, name, 0) < 0 ? -errno : 0;
}

static int clean_path(struct archive_entry *e, char path[static FILE_PATH_MAX]) {
        const char *name = archive_entry_pathname(e);
        unsigned depth = 0;

        if (!name)
                return report(EBADMSG, "a file has a name that cannot be read: the image is refused");
        int r = entry_path(name, path);
        if (r < 0)
                return refuse(name, r);
        for (const char *p = path; *p; p++)
                depth += *p == '/';
        if (depth >= APPLY_DEPTH_MAX)
                return report(ENAMETOOLONG, "\"%.100s...\" lies in more than %u folders: the image is refused", path,
                        APPLY_DEPTH_MAX);
        return 0;
}

static const char *last_part(const char *path) {
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

static int count(Apply *a) {
        return ++a->entries > a->entries_max
                       ? report(EFBIG, "the image has more than %" PRIu64 " files: --max-files allows more", a->entries_max)
                       : 0;
}

/* --- what a layer hides of those below --- */

static int empty_folder(TreeWriter *w, const char *path) {
        char below[FILE_PATH_MAX + 2];
        const char *name;

        (void) snprintf(below, sizeof below, "%s%sx", path, *path ? "/" : "");
        int fd = tree_open_parent(w, below, &name);
        if (fd < 0)
                return fd == -ENOENT || fd == -ENOTDIR ? 0 : fd;
        int r = tree_empty(fd);
        tree_writer_done(w);
        return r;
}

static int hide(TreeWriter *w, char *path) {
        char *name = (char *) last_part(path);
        const char *hidden = name + strlen(WHITEOUT), *found;

        if (strcmp(name, OPAQUE) == 0) {
                name[name > path ? -1 : 0] = '\0';
                return empty_folder(w, path);
        }
        if (strncmp(name, META, strlen(META)) == 0)
                return 0;
        if (*hidden == '\0' || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
                return -EINVAL;
        memmove(name, hidden, strlen(hidden) + 1);
        _cleanup_fd_ int fd = tree_open_parent(w, path, &found);
        if (fd < 0)
                return fd == -ENOENT || fd == -ENOTDIR ? 0 : fd;
        int r = tree_remove(fd, found);
        tree_writer_done(w);
        return r;
}

/* First of all, whatever the order in the archive: it is about the layers below. */
static int apply_whiteouts(Apply *a, const Bundle *b, const PlanLayer *plan, uint64_t plain_max) {
        _cleanup_(layer_closep) Layer *l = NULL;
        struct archive_entry *e;
        char path[FILE_PATH_MAX];

        int r = layer_open(b, plan, plain_max, &l);
        if (r < 0)
                return r;
        while ((r = layer_next(l, &e)) > 0) {
                r = clean_path(e, path);
                if (r < 0)
                        return r;
                if (strncmp(last_part(path), WHITEOUT, strlen(WHITEOUT)) != 0)
                        continue;
                r = count(a);
                if (r < 0)
                        return r;
                r = hide(a->writer, path);
                if (r < 0)
                        return refuse(archive_entry_pathname(e), r);
        }
        return r;
}

/* --- what it has --- */

static int put_file(Apply *a, Layer *l, struct archive_entry *e, const char *path, mode_t mode) {
        int64_t size = archive_entry_size_is_set(e) ? archive_entry_size(e) : 0;
        const struct timespec times[] = { { .tv_nsec = UTIME_OMIT },
                { .tv_sec = archive_entry_mtime(e), .tv_nsec = archive_entry_mtime_nsec(e) } };

        if (size < 0 || (uint64_t) size > a->bytes_max - a->bytes)
                return report(EFBIG, "the image has more than %" PRIu64 " bytes of files: --max-size allows more",
                        a->bytes_max);
        int r = make_room(a->writer, path);
        if (r < 0)
                return refuse(path, r);
        _cleanup_fd_ int fd = tree_create(a->writer, path, mode);
        if (fd < 0)
                return refuse(path, fd);
        a->bytes += (uint64_t) size;
        r = layer_copy(l, fd, (uint64_t) size);
        if (r == -EBADMSG)
                return r; /* reported */
        if (r < 0)
                return refuse(path, r);
        /* interpreters compare it with what compiled files say; a time that the file system does not know is none */
        (void) futimens(fd, times);
        return 0;
}

static int put_hard_link(Apply *a, const char *path, const char *existing) {
        char target[FILE_PATH_MAX];

        int r = entry_path(existing, target);
        if (r == 0 && target[0] == '\0')
                r = -EINVAL;
        if (r == 0 && strcmp(target, path) == 0)
                return 0;
        /* making room for it could take away what it links to */
        size_t n = strlen(path);
        if (r == 0 && strncmp(target, path, n) == 0 && target[n] == '/')
                r = -EINVAL;
        if (r == 0)
                r = make_room(a->writer, path);
        if (r == 0)
                r = tree_hard_link(a->writer, path, target);
        switch (r) {
        case 0:
                return 0;
        case -EINVAL:
        case -ENOENT:
        case -ENOTDIR:
        case -ELOOP:
                return report(EBADMSG, "\"%.200s\" is a hard link to \"%.200s\", which is no file of the image: it is refused",
                        path, existing);
        default:
                return refuse(path, r);
        }
}

static int put_link(Apply *a, struct archive_entry *e, const char *path) {
        const char *target = archive_entry_symlink(e);

        if (!target || !*target || strlen(target) >= FILE_PATH_MAX)
                return report(EBADMSG, "\"%.200s\" is a link to nothing: the image is refused", path);
        int r = make_room(a->writer, path);
        if (r == 0)
                r = tree_link(a->writer, path, target);
        return r < 0 ? refuse(path, r) : 0;
}

static int put_folder(Apply *a, const char *path, mode_t mode) {
        const char *name;

        int r = tree_folder(a->writer, path, mode);
        if (r == 0) {
                int fd = tree_enter_parent(a->writer, path, &name);
                if (fd < 0 || fchmodat(fd, name, mode, 0) < 0) /* it is no link: it has just been opened as a folder */
                        r = fd < 0 ? fd : -errno;
        }
        return r < 0 ? refuse(path, r) : 0;
}

static int put_entry(Apply *a, Layer *l, struct archive_entry *e) {
        bool folder = archive_entry_filetype(e) == AE_IFDIR;
        mode_t mode = apply_mode(archive_entry_perm(e), archive_entry_uid(e), archive_entry_gid(e), folder);
        const char *link = archive_entry_hardlink(e);
        char path[FILE_PATH_MAX];

        int r = clean_path(e, path);
        if (r < 0)
                return r;
        if (!path[0] || strncmp(last_part(path), WHITEOUT, strlen(WHITEOUT)) == 0)
                return 0;
        r = count(a);
        if (r < 0)
                return r;
        if (link)
                return put_hard_link(a, path, link);
        a->n_setid += !folder && (archive_entry_perm(e) & 06000) != 0;
        switch (archive_entry_filetype(e)) {
        case AE_IFDIR:
                return put_folder(a, path, mode);
        case AE_IFREG:
                return put_file(a, l, e, path, mode);
        case AE_IFLNK:
                return put_link(a, e, path);
        default:
                a->n_special++;
                return 0;
        }
}

static int apply_files(Apply *a, const Bundle *b, const PlanLayer *plan, uint64_t plain_max) {
        _cleanup_(layer_closep) Layer *l = NULL;
        struct archive_entry *e;

        int r = layer_open(b, plan, plain_max, &l);
        if (r < 0)
                return r;
        while ((r = layer_next(l, &e)) > 0) {
                r = put_entry(a, l, e);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : layer_check(l);
}

int apply_layers(Apply *a, const Bundle *b, const Plan *plan) {
        a->writer->obstacle = on_obstacle;
        for (size_t i = 0; i < plan->n_layers; i++) {
                uint64_t plain_max = a->bytes_max - a->bytes + TAR_OVERHEAD * (a->entries_max - a->entries) + MIB;
                int r = i > 0 ? apply_whiteouts(a, b, &plan->layers[i], plain_max) : 0;
                if (r == 0)
                        r = apply_files(a, b, &plan->layers[i], plain_max);
                if (r < 0)
                        return r;
        }
        a->writer->obstacle = NULL;
        return 0;
}
